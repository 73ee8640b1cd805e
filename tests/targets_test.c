/* What every target promises, and this machine's description. With LONG in the environment the leak test is
 * four times as long. */
#include "targets/probe.h"
#include "targets/target.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/tap.h"

static struct arena arena;

static struct text fresh(void)
{
	struct text t;
	text_init(&t, &arena);
	return t;
}

/* Compiles and loads; NULL with diagnostics. */
static struct module *build(const struct target *t, const struct target_options *o, const char *source,
                            struct text *diagnostics)
{
	struct object object;
	if (!t->compile(source, o, &object, diagnostics))
		return NULL;
	struct module *m = t->load(&object, o, diagnostics);
	object_free(&object);
	return m;
}

static int call_int(const struct target *t, struct module *m, const char *name, int x)
{
	int (*f)(int);
	*(void **)&f = t->symbol(m, name);
	return f ? f(x) : -12345;
}

static void basics(const struct target *t, const struct target_options *o)
{
	const char *isa = isa_info[o->isa].name;
	struct text d = fresh();
	struct module *m = build(t, o, "static int k = 40; int f(int x) { return x + k++; }", &d);
	if (!ok(m, "%s %s: compiles and loads", t->name, isa)) {
		printf("# %s\n", d.s);
		return;
	}
	ok(call_int(t, m, "f", 2) == 42 && call_int(t, m, "f", 2) == 43, "%s %s: runs, with its own data",
	   t->name, isa);
	ok(!t->symbol(m, "g"), "%s %s: a name it does not define is NULL", t->name, isa);
	struct module *again = build(t, o, "int f(int x) { return -x; }", &d);
	ok(again && call_int(t, again, "f", 2) == -2 && call_int(t, m, "f", 2) == 44,
	   "%s %s: two modules with one name do not meet", t->name, isa);
	if (again)
		t->unload(again);
	ok(call_int(t, m, "f", 2) == 45, "%s %s: unloading one leaves the other", t->name, isa);
	t->unload(m);
}

static void errors(const struct target *t, const struct target_options *o)
{
	struct object object;
	struct text d = fresh();
	ok(!t->compile("int f(int x)\n{\n\treturn nowhere;\n}\n", o, &object, &d) && strstr(d.s, "nowhere") &&
	           strstr(d.s, "3"),
	   "%s: an error comes back as text with its line", t->name);
	d = fresh();
	struct module *m = build(t, o, "int nowhere(int); int f(int x) { return nowhere(x); }", &d);
	ok(!m && strstr(d.s, "nowhere"), "%s: an unknown function is an error that names it", t->name);
	struct object junk = {.bytes = malloc(64), .size = 64};
	memset(junk.bytes, 0x5a, 64);
	d = fresh();
	ok(!t->load(&junk, o, &d) && d.len, "%s: bytes that are no object are refused", t->name);
	object_free(&junk);
	d = fresh();
	m = build(t, o, "int f(int x) { return x; }", &d);
	ok(m && call_int(t, m, "f", 7) == 7, "%s: works after errors", t->name);
	if (m)
		t->unload(m);
}

/* Each function through the generated code against the one linked here. */
static void mathematics(const struct target *t, const struct target_options *o)
{
/* clang-format off */
#define UNARY(X)                                                                                          \
	X(exp) X(exp2) X(log) X(log2) X(log1p) X(sqrt) X(tanh) X(erf) X(sin) X(cos) X(floor) X(nearbyint) X(fabs)
#define DECLARE(f)                                                                                        \
	"double " #f "(double); float " #f "f(float);"                                                    \
	"double d_" #f "(double x) { return " #f "(x); } float f_" #f "(float x) { return " #f "f(x); }\n"
	static const char source[] = UNARY(DECLARE)
		"double pow(double, double); double d_pow(double x) { return pow(x, 1.7); }\n"
		"double u64(unsigned long long x) { return (double)x + (double)(float)x; }\n"
		"unsigned long long to64(double x) { return (unsigned long long)x; }\n"
		"struct s { int v[40]; }; int f(int x) { struct s a = {{0}}, b; a.v[39] = x; b = a; return b.v[39] + b.v[3]; }\n";
	static const struct {
		const char *name;
		double (*d)(double);
		float (*f)(float);
	} table[] = {
#define ROW(g) {#g, g, g##f},
		UNARY(ROW)};
	/* clang-format on */
	struct text d = fresh();
	struct module *m = build(t, o, source, &d);
	if (!ok(m, "%s %s: the mathematics of the C library resolves", t->name, isa_info[o->isa].name)) {
		printf("# %s\n", d.s);
		return;
	}
	int wrong = 0;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		double (*g)(double);
		float (*h)(float);
		*(void **)&g = t->symbol(m, arena_printf(&arena, "d_%s", table[i].name));
		*(void **)&h = t->symbol(m, arena_printf(&arena, "f_%s", table[i].name));
		for (double x = 0.25; x < 4; x += 0.37)
			if (!g || !h || fabs(g(x) - table[i].d(x)) > 1e-15 * fabs(g(x)) ||
			    fabsf(h((float)x) - table[i].f((float)x)) > 2e-7f * fabsf(h((float)x))) {
				printf("# %s(%g)\n", table[i].name, x);
				wrong++;
				break;
			}
	}
	ok(!wrong, "%s %s: and computes what it does here", t->name, isa_info[o->isa].name);
	double (*u)(unsigned long long);
	unsigned long long (*v)(double);
	*(void **)&u = t->symbol(m, "u64");
	*(void **)&v = t->symbol(m, "to64");
	ok(u && v && u(1ull << 63) == 0x1p64 && v(0x1p63) == 1ull << 63 && call_int(t, m, "f", 5) == 5,
	   "%s %s: unsigned 64-bit conversions and struct copies", t->name, isa_info[o->isa].name);
	t->unload(m);
}

static void vectors(const struct target *t, const struct target_options *o)
{
	struct text d = fresh();
	const char *source = arena_printf(
	        &arena,
	        "typedef float v __attribute__((vector_size(%d), aligned(4), may_alias));\n"
	        "void axpy(float *y, const float *x, const float *a, long n)\n"
	        "{ for (long i = 0; i + %d <= n; i += %d) *(v *)(y + i) += *a * *(const v *)(x + i); }\n",
	        4 * isa_info[o->isa].lanes, isa_info[o->isa].lanes, isa_info[o->isa].lanes);
	struct module *m = build(t, o, source, &d);
	void (*axpy)(float *, const float *, const float *, long) = NULL;
	if (m)
		*(void **)&axpy = t->symbol(m, "axpy");
	float x[65], y[65], a = 3;
	for (int i = 0; i < 65; i++) {
		x[i] = (float)i;
		y[i] = 1;
	}
	if (axpy)
		axpy(y + 1, x + 1, &a, 64);
	bool good = axpy;
	for (int i = 1; i < 65; i++)
		good &= y[i] == 1 + 3 * (float)i;
	ok(good, "%s: vectors of %s", t->name, isa_info[o->isa].name);
	if (m)
		t->unload(m);
}

static long resident_kilobytes(void)
{
	long size = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f && fscanf(f, "%ld %ld", &size, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * sysconf(_SC_PAGESIZE) / 1024;
}

static void leaks(const struct target *t, const struct target_options *o, int n)
{
	struct arena local;
	long warm = 0;
	int bad = 0;
	for (int i = 0; i < n; i++) {
		arena_init(&local);
		struct text d;
		text_init(&d, &local);
		const char *source = arena_printf(&local,
		                                  "float a%d[4096]; float f%d(float *p, int n) { float s = "
		                                  "0; for (int i = 0; i < n; i++)"
		                                  " s += p[i] * a%d[i]; return s + %d; }",
		                                  i, i, i, i);
		struct module *m = build(t, o, source, &d);
		bad += !m || !t->symbol(m, arena_printf(&local, "f%d", i));
		if (m)
			t->unload(m);
		m = build(t, o, "int f(void) { return oops; }", &d);
		bad += m != NULL;
		arena_free(&local);
		if (i == n / 5)
			warm = resident_kilobytes();
	}
	long grown = resident_kilobytes() - warm;
#ifdef __SANITIZE_ADDRESS__
	grown = 0; /* it keeps freed memory for a while, and finds leaks itself */
#endif
	/* A module of these kept would hold 20 KiB, a compilation megabytes. */
	ok(!bad && grown < 4 * n, "%s: %d compiles, loads and errors leave nothing (%ld KiB)", t->name, n,
	   grown);
}

struct worker {
	const struct target *target;
	struct target_options options;
	int seed, bad;
};

static void *compile_many(void *context)
{
	struct worker *w = context;
	for (int i = 0; i < 12; i++) {
		struct arena local;
		arena_init(&local);
		struct text d;
		text_init(&d, &local);
		int k = w->seed + i;
		struct module *m = build(w->target, &w->options,
		                         arena_printf(&local, "int f(int x) { return x + %d; }", k), &d);
		w->bad += !m || call_int(w->target, m, "f", 1) != k + 1;
		if (m)
			w->target->unload(m);
		arena_free(&local);
	}
	return NULL;
}

static void threads(const struct target *t, const struct target_options *o)
{
	enum { N = 4 };
	struct worker w[N];
	pthread_t thread[N];
	int bad = 0;
	for (int i = 0; i < N; i++) {
		w[i] = (struct worker){t, *o, 1000 * i, 0};
		pthread_create(&thread[i], NULL, compile_many, &w[i]);
	}
	for (int i = 0; i < N; i++) {
		pthread_join(thread[i], NULL);
		bad += w[i].bad;
	}
	ok(!bad, "%s: four threads compile, load and run at once", t->name);
}

static void crashes(const struct target *t, const struct target_options *o)
{
#ifdef __SANITIZE_ADDRESS__
	(void)t, (void)o;
	tap_skip("a crash of the compiler leaks what it was at");
#else
	struct object object;
	struct text d = fresh();
	ok(!t->compile("int y; int f(int x) { return x; }\n#pragma clang __debug parser_crash\n", o, &object,
	               &d) &&
	           strstr(d.s, "crashed"),
	   "clang: a crash of the compiler is an error");
	d = fresh();
	ok(!t->compile("#pragma clang __debug llvm_fatal_error\n", o, &object, &d) && strstr(d.s, "crashed"),
	   "clang: so is its own fatal error");
	d = fresh();
	struct module *m = build(t, o, "int f(int x) { return x; }", &d);
	ok(m && call_int(t, m, "f", 7) == 7, "clang: works after a crash");
	if (m)
		t->unload(m);
#endif
}

static void clang_only(void)
{
	const struct target *t = &target_clang;
	struct target_options o = {.isa = ISA_SCALAR, .optimise = 1};
	struct text d = fresh();
	crashes(t, &o);
	struct module *m;
	m = build(t, &o, "int system(const char *); int f(int x) { return system(0); }", &d);
	ok(!m && strstr(d.s, "system"), "clang: code does not see the rest of the process");
	static const char source[] = "float f(float a, float b, float c) { return a * b + c; }\n"
	                             "int g(float x) { return x != x; }";
	struct object low, high, same;
	struct target_options fma = {.isa = ISA_AVX2, .optimise = 1}, more = {.isa = ISA_AVX2, .optimise = 3};
	bool good = t->compile(source, &fma, &low, &d) && t->compile(source, &fma, &same, &d) &&
	            t->compile(source, &more, &high, &d);
	ok(good && low.size == same.size && !memcmp(low.bytes, same.bytes, low.size),
	   "clang: the same text gives the same object");
	object_free(&low);
	object_free(&same);
	object_free(&high);
	struct machine machine;
	machine_detect(&machine);
	if (machine.isa >= ISA_AVX2 && (m = build(t, &fma, source, &d))) {
		float (*f)(float, float, float);
		int (*g)(float);
		*(void **)&f = t->symbol(m, "f");
		*(void **)&g = t->symbol(m, "g");
		float x = 1 + 0x1p-12f;
		ok(f(x, x, -1 - 0x1p-11f) == 0x1p-24f, "clang: products are fused into sums");
		ok(g(NAN) == 1, "clang: NaN keeps its meaning");
		t->unload(m);
	} else {
		tap_skip("no fused multiply-add here");
	}
	ok(strcmp(t->version(&arena, &fma), t->version(&arena, &more)) &&
	           strcmp(t->version(&arena, &fma), t->version(&arena, &o)) &&
	           !strstr(t->version(&arena, &fma), "native"),
	   "clang: the version tells level and processor, resolved");
}

static void tcc_only(void)
{
	const struct target *t = &target_tcc;
	struct target_options o = {.isa = ISA_AVX2, .optimise = 1};
	struct object object;
	struct text d = fresh();
	ok(t->supports(ISA_SCALAR) && !t->supports(ISA_AVX2) && !t->supports(ISA_AVX512),
	   "tcc: the scalar form only");
	ok(!t->compile("int f;", &o, &object, &d) && strstr(d.s, "scalar"), "tcc: and it says so");
	o.isa = ISA_SCALAR;
	double start = thread_seconds();
	struct module *m = build(t, &o, "float f(float x) { return x * x; }", &d);
	double took = thread_seconds() - start;
	ok(m && took < 20e-3, "tcc: the first answer is there within 20 ms (%.2f)", took * 1e3);
	if (m)
		t->unload(m);
}

static void machine_facts(void)
{
	struct machine m;
	machine_detect(&m);
	printf("# %s; %s\n", m.model_name, machine_key(&arena, &m));
	ok(m.cores >= 1 && m.l1 >= 8 << 10 && m.l2 >= m.l1 && m.l3 >= m.l2 && *m.vendor,
	   "the machine is described");
	struct machine other = m;
	other.cores++;
	ok(strcmp(machine_key(&arena, &m), machine_key(&arena, &other)), "its key tells the cores");
	other = m;
	other.peak_flops = 1;
	ok(!strcmp(machine_key(&arena, &m), machine_key(&arena, &other)), "but not what was measured");
	const uint32_t sapphire_rapids[2][4] = {{2, 0xf3bfbfbf, 0xfb417ffe, 0xffdd4432}, {0x1c30, 0, 0, 0}};
	const uint32_t zen4[2][4] = {{1, 0xf1bf97a9, 0x405fce, 0x10000010}, {0x20, 0, 0, 0}};
	ok(machine_units(sapphire_rapids[0], sapphire_rapids[1]) == (1 << UNIT_AMX_BF16 | 1 << UNIT_AMX_I8) &&
	           !machine_units(zen4[0], zen4[1]),
	   "units that multiply tiles are known by their bits");
	double last = 0;
	bool rises = true;
	for (enum isa i = 0; i <= m.isa; i++) {
		double probe = machine_peak_probe(i, OPERAND_COMPUTE);
		printf("# %s: %.1f GFLOP/s\n", isa_info[i].name, probe * 1e-9);
		rises &= probe > last * 0.8 && probe > 1e9; /* AVX-512 may run as two halves */
		last = probe;
	}
	ok(rises, "the probed peak rises with the ISA");
	bool narrow = true;
	for (enum operand_type t = 0; t < OPERANDS; t++) {
		double probe = machine_peak_probe(m.isa, t);
		printf("# %s of %s: %.1f GFLOP/s\n", isa_info[m.isa].name, operand_type_name[t], probe * 1e-9);
		narrow &= isa_multiplies(m.isa, t) && t ? probe > last * 1.2 : probe > last * 0.7 && probe < last * 1.4;
	}
	ok(narrow, "narrow operands have a higher peak where an instruction multiplies them, the f32 peak elsewhere");
	for (enum isa i = 0; i <= m.isa; i++) {
		static float x[PROBE_EXPS] __attribute__((aligned(64)));
		double worst = 0;
		probe_exp *loop = probe_exp_loop(i);
		for (int k = 0; k < PROBE_EXPS; k++)
			x[k] = (float)k / PROBE_EXPS;
		if (loop)
			loop(x, 1);
		for (int k = 0; k < PROBE_EXPS; k++) {
			double want = exp((double)k / PROBE_EXPS - 1), off = fabs(x[k] / want - 1);
			worst = off > worst ? off : worst;
		}
		ok(loop && worst < 1e-6, "exponentials that are timed of %s are right to %.2g", isa_info[i].name, worst);
	}
	machine_measure(&m);
	for (enum isa i = 0; i <= m.isa; i++)
		ok(m.limits.exps[i] > 1e7, "exponentials of %s are timed: %.2f G/s", isa_info[i].name, m.limits.exps[i] * 1e-9);
	printf("# peak %.1f GFLOP/s, reads %.1f GB/s\n", m.peak_flops * 1e-9, m.bandwidth * 1e-9);
	ok(m.peak_flops > 1e9 && m.bandwidth > 1e8 && m.bandwidth < 1e12, "peak and bandwidth are measured");
}

int main(void)
{
	arena_init(&arena);
	struct machine machine;
	machine_detect(&machine);
	int compiles = getenv("LONG") ? 2000 : 500;
	ok(target_find("clang") == &target_clang && target_find("tcc") == &target_tcc && !target_find("gcc"),
	   "targets are found by name");
	for (int i = 0; targets[i]; i++) {
		const struct target *t = targets[i];
		if (t->device) /* tests of their own */
			continue;
		const char *missing = t->missing(&arena);
		if (missing) {
			printf("# %s: %s\n", t->name, missing);
			tap_skip("a target that is missing here");
			continue;
		}
		struct target_options o = {.isa = ISA_SCALAR, .optimise = 1};
		for (o.isa = 0; o.isa <= machine.isa; o.isa++)
			if (t->supports(o.isa)) {
				basics(t, &o);
				mathematics(t, &o);
				if (o.isa != ISA_SCALAR)
					vectors(t, &o);
			}
		o.isa = ISA_SCALAR;
		errors(t, &o);
		threads(t, &o);
		leaks(t, &o, compiles);
	}
	if (!target_clang.missing(&arena))
		clang_only();
	tcc_only();
	machine_facts();
	arena_free(&arena);
	return tap_done();
}
