/* cuda_test.c: kernels for a device under the emulator against the interpreter of tile programs, with values in
 * fragments and with all of them in shared memory: every example on ragged shapes, and tile programs made up. LONG=1
 * runs the whole grid. With a file and its extents N M D [TYPE [SCHEDULE [plain]]] the kernel is printed instead. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/schedule.h"
#include "dsl/parse.h"
#include "tests/emulated.h"
#include "tests/plain_examples.h"
#include "tests/tap.h"
#include "tests/emit_programs.h"

struct extents {
	int64_t n, m, d;
};

static const struct machine machine = {.isa = ISA_AVX512,
                                       .cores = 2,
                                       .l1 = 32 << 10,
                                       .l2 = 1 << 20,
                                       .l3 = 16 << 20,
                                       .processors = 108,
                                       .shared = 163 << 10,
                                       .shared_all = 164 << 10,
                                       .capability = 80};

static char *slurp(struct arena *a, const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	char *s = arena_alloc(a, SOURCE_LIMIT);
	*size = f ? fread(s, 1, SOURCE_LIMIT - 1, f) : 0;
	if (f)
		fclose(f);
	return s;
}

static int64_t extent_of(const char *rank, struct extents s)
{
	switch (*rank) {
	case 'B': return 1;
	case 'H': return 4;
	case 'N':
	case 'T': return s.n;
	case 'M': return s.m;
	default: return s.d;
	}
}

/* A random legal point; the default when there is none among fifty. */
static struct schedule random_point(struct arena *a, const struct problem *p, uint64_t seed)
{
	struct space space;
	space_init(a, &space, p, ISA_SM80);
	for (int tries = 0; tries < 50; tries++) {
		struct point point = {0};
		for (int i = 0; i < space.dimensions; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			point.choice[i] = (uint8_t)((seed >> 33) % (uint64_t)space.dimension[i].choices);
		}
		struct schedule s = space_schedule(&space, &point);
		if (!schedule_illegal(a, p, &s))
			return s;
	}
	return schedule_default(p, ISA_SM80);
}

/* What a file is scheduled as: by default, in the naive form, or at a random point: 2 and more. */
enum { DEFAULT, NAIVE };

/* The program of a file for a device, its matrices declared of another type where one is named. */
static struct tile_program *program_of(struct arena *a, const char *path, struct extents shape, const char *type,
                                       int point, struct text *why)
{
	size_t size;
	char *source = slurp(a, path, &size);
	struct diags d;
	diags_init(&d, a, path, source, size);
	struct cascade *c = cascade_parse(a, source, size, NULL, 0, &d);
	if (c && type) {
		struct overrides with = {0};
		struct retype *to = arena_new_array(a, c->tensor.n, struct retype);
		for (uint32_t i = 0; i < c->tensor.n; i++)
			if (c->tensor.v[i].role != ROLE_LOCAL && c->tensor.v[i].dtype == DTYPE_F32 &&
			    c->tensor.v[i].nranks > 2)
				to[with.ntypes++] = (struct retype){c->tensor.v[i].name, type};
		with.type = to;
		c = cascade_parse_with(a, source, size, &with, &d);
	}
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND)
			c->rank.v[i].extent = extent_of(c->rank.v[i].name, shape);
	struct problem *p = c ? problem_new(a, c, &machine, &d) : NULL;
	diags_print(&d, why);
	if (!p)
		return NULL;
	struct schedule s = point == NAIVE     ? schedule_naive(p, ISA_SM80)
	                    : point == DEFAULT ? schedule_default(p, ISA_SM80)
	                                       : random_point(a, p, (uint64_t)point);
	const char *illegal = schedule_illegal(a, p, &s);
	if (illegal) {
		text_add(why, illegal);
		return NULL;
	}
	struct tile_program *t = tile_build(a, p, &s);
	return tile_check(t, why) ? t : NULL;
}

static uint64_t state = 5;
static double uniform(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (double)(state >> 40) / (1 << 23) - 1;
}

static double **inputs(struct arena *a, const struct tile_program *p)
{
	double **tensor = arena_new_array(a, p->tensor.n, double *);
	state = 5;
	for (uint32_t i = 0; i < p->tensor.n; i++) {
		const struct tile_tensor *t = &p->tensor.v[i];
		int64_t n = emulated_count(t);
		tensor[i] = arena_new_array(a, (size_t)n + 1, double);
		for (int64_t k = 0; k < n && t->place == PLACE_ARGUMENT && t->role == ROLE_IN; k++)
			tensor[i][k] = dtype_round(t->dtype, dtype_info[t->dtype].integer ? (double)(k / 20 % 5)
			                                     : t->nranks > 2 || n < 3 ? 2 * uniform()
			                                                      : 0.5 + 0.1 * uniform());
	}
	return tensor;
}

static double apart(const double *expected, const double *got, int64_t n)
{
	double most = 0, scale = 1e-30;
	for (int64_t i = 0; i < n; i++)
		if (isfinite(expected[i]))
			scale = fmax(scale, fabs(expected[i]));
	for (int64_t i = 0; i < n; i++) {
		double x = expected[i], y = got[i];
		double d = x == y || (isnan(x) && isnan(y)) ? 0 : fabs(x - y) / scale;
		most = d <= most ? most : isnan(d) ? (double)INFINITY : d;
	}
	return most;
}

/* Bounds by what the arguments hold: two roundings of an output, and of what is rounded on the way. */
static double bound_of(const struct tile_program *p, double exact)
{
	double bound = exact;
	for (uint32_t i = 0; i < p->tensor.n; i++)
		if (p->tensor.v[i].dtype == DTYPE_BF16)
			bound = fmax(bound, 1.6e-2);
		else if (p->tensor.v[i].dtype == DTYPE_F16)
			bound = fmax(bound, 2e-3);
	return bound;
}

static bool compare(struct arena *a, const struct tile_program *p, bool plain, double bound, int orders,
                    double *worst, struct text *why)
{
	struct kernel_source k = plain ? emit_cuda_plain(a, p) : emit_cuda(a, p);
	struct emulated run;
	double **expected = inputs(a, p), **got = inputs(a, p);
	if (!tile_run(a, p, expected, true, why))
		return false;
	bool good = emulated_open(&run, a, p, &k, why);
	for (int order = 0; good && order < orders; order++) {
		good = emulated_run(&run, got, (enum emulate_order)order, why);
		for (uint32_t i = 0; good && i < p->tensor.n; i++)
			if (p->tensor.v[i].place == PLACE_ARGUMENT && p->tensor.v[i].role == ROLE_OUT) {
				double d = apart(expected[i], got[i], emulated_count(&p->tensor.v[i]));
				*worst = fmax(*worst, d);
				if (!(d <= bound)) {
					text_printf(why, "%s is apart by %g", p->tensor.v[i].name, d);
					good = false;
				}
			}
	}
	if (k.text)
		emulated_close(&run);
	return good;
}

static void try_example(const char *path, struct extents s, const char *type, int point, bool plain, int orders)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	a.limit = (size_t)2 << 30;
	const char *form = plain ? "shared memory" : "fragments", *name = strrchr(path, '/') + 1;
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "%s: memory", path);
		arena_free(&a);
		return;
	}
	struct text why;
	text_init(&why, &a);
	double worst = 0;
	struct tile_program *p = program_of(&a, path, s, type, point, &why);
	bool good = p && compare(&a, p, plain, bound_of(p, 4e-5), orders, &worst, &why);
	if (!good && p)
		printf("# %s\n", p->schedule);
	ok(good, "%s N %d M %d D %d %s, schedule %d, by %s: apart by %.2g %s", name, (int)s.n, (int)s.m, (int)s.d,
	   type ? type : "f32", point, form, worst, why.s);
	arena_free(&a);
}

static int occurrences(const char *text, const char *what)
{
	int n = 0;
	for (; text && (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

/* What makes a kernel fast, as far as its text says. */
static void try_text(void)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "memory");
		arena_free(&a);
		return;
	}
	struct text why;
	text_init(&why, &a);
	const struct extents s = {63, 200, 64};
	struct tile_program *p = program_of(&a, "examples/flash_causal_gqa.att", s, "bf16", DEFAULT, &why);
	const char *text = p ? emit_cuda(&a, p).text : NULL;
	ok(text && occurrences(text, "at_barrier();") == 2, "one barrier before the walk and one a step: %d of them %s",
	   occurrences(text, "at_barrier();"), why.s);
	ok(text && occurrences(text, "at_store_shared") == 0, "nothing that was computed goes through shared memory");
	ok(text && strstr(text, "s_exp2((x1[") && !strstr(text, "s_exp("), "exponentials are powers of two of a multiply-add");
	p = program_of(&a, "examples/document_mask.att", s, "bf16", DEFAULT, &why);
	text = p ? emit_cuda(&a, p).text : NULL;
	ok(text && strstr(text, "came one step ahead"), "documents of keys are loaded a step ahead %s", why.s);
	arena_free(&a);
}

static int print(int argc, char **argv)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env))
		return 1;
	struct text why;
	text_init(&why, &a);
	struct extents s = {atoi(argv[2]), atoi(argv[3]), atoi(argv[4])};
	const char *type = argc > 5 && strcmp(argv[5], "f32") != 0 ? argv[5] : NULL;
	struct tile_program *p = program_of(&a, argv[1], s, type, argc > 6 ? atoi(argv[6]) : 0, &why);
	struct kernel_source k = {.reason = why.s};
	if (p) {
		struct text t;
		text_init(&t, &a);
		tile_print(p, &t);
		fputs(t.s, stderr);
		k = argc > 7 ? emit_cuda_plain(&a, p) : emit_cuda(&a, p);
	}
	fputs(k.text ? k.text : k.reason, stdout);
	arena_free(&a);
	return !k.text;
}

/* Tile programs with what examples do not have. */
static const struct {
	const char *name, *text;
	double bound;
} more[] = {
        {"reductions over rows of a task, to a vector and to a number",
         "program down : f32\nindex n : 75\nindex m : 21\nin X[75, 21] : f32\nin I[75] : i32\n"
         "out A[3, 21] : f32\nout B[3] : i32\nout C[3] : f32\nindex k : 3\n"
         "value x[n:32, m:21] : f32\nvalue i[n:32] : i32\nvalue a[m:21] : f32\nvalue b[] : i32\nvalue c[] : f32\n"
         "value r[n:32] : f32\n"
         "phase main\n  task k by 1\n  for n by 32 from k * 32 to min(75, k * 32 + 32)\n    x = load X[n,m]\n"
         "    i = load I[n]\n    a = reduce sum over n of x * 2\n    b = reduce max over n of i\n"
         "    r = reduce max over m of x\n    c = reduce min over n of r\n"
         "    store A[k,m] = a\n    store B[k] = b\n    store C[k] = c\n",
         2e-6},
        {"reductions over tiled rows",
         "program rows : f32\nindex n : 40\nindex b : 2\nindex m : 21\nin X[2, 40, 21] : f32\nin I[2, 40] : i32\n"
         "out A[2, 21] : f32\nout B[2] : i32\nout C[2] : f32\nout D[2] : bool\n"
         "value x[n:40, m:21] : f32\nvalue i[n:40] : i32\nvalue a[m:21] : f32\nvalue least[] : i32\nvalue c[] : f32\n"
         "value r[n:40] : f32\nvalue y[n:40, m:21] : f32\nvalue d[] : i32\n"
         "phase main\n  task b by 1\n  task n by 40\n  x = load X[b,n,m]\n  i = load I[b,n]\n"
         "  a = reduce sum over n of x * n\n  least = reduce max over n of i\n  r = reduce max over m of x\n"
         "  c = reduce min over n of r\n  y = map x + a\n  r = reduce sum over m of y\n"
         "  d = reduce all over n of i < 4\n  if low(n) == 0\n    store A[b,m] = a\n    store B[b] = least\n"
         "    store C[b] = c\n    store D[b] = d\n",
         2e-6},
        {"a contraction of integers and one rounded to tf32",
         "program types : f32\nindex n : 50\nindex m : 70\nindex d : 40\nin A[50, 40] : i8\nin B[70, 40] : i8\n"
         "in X[50, 40] : f32\nin Y[70, 40] : f32\nout C[50, 70] : i32\nout Z[50, 70] : f32\n"
         "value a[n:32, d:40] : i32\nvalue c[n:32, m:32] : i32\nvalue x[n:32, d:40] : f32\n"
         "value z[n:32, m:32] : f32\n"
         "phase main\n  task n by 32\n  a = load A[n,d]\n  x = load X[n,d]\n  for m by 32 from 0 to 70 stages 2\n"
         "    c = contract a, B[m,d] over d as i8 rows n:16 lanes m:4\n    store C[n,m] = c\n"
         "    z = contract x, Y[m,d] over d as tf32 rows n:16 lanes m:4\n    store Z[n,m] = z\n",
         2e-6},
        {"every storage type but half bytes out",
         "program types : f32\nindex n : 5\nindex m : 37\n"
         "in A[5, 37] : f64\nin B[5, 37] : f16\nin C[5, 37] : bf16\nin D[5, 37] : f8e4m3\nin E[5, 37] : f8e5m2\n"
         "in F[5, 37] : u8\nin G[5, 37] : i4\n"
         "out H[5, 37] : f64\nout I[5, 37] : f8e4m3\nout J[5, 37] : f8e5m2\nout K[5, 37] : u8\nout L[5, 37] : f16\n"
         "out M[5, 37] : bf16\n"
         "value a[n:5, m:37] : f32\nvalue g[n:5, m:37] : i32\n"
         "phase main\n  a = load A[n,m] + B[n,m] * C[n,m] + D[n,m] - E[n,m] * 9 + F[n,m]\n  g = load G[n,m]\n"
         "  store H[n,m] = a + g\n  store I[n,m] = a\n  store J[n,m] = a * 20\n  store K[n,m] = a * 30\n"
         "  store L[n,m] = a * 30000\n  store M[n,m] = a / 7\n",
         1e-6},
        {"a product of computed values, and the transpose of one",
         "program values : f32\nindex n : 40\nindex m : 24\nindex d : 20\nin A[40, 20] : f32\nin B[24, 20] : f32\n"
         "out C[40, 24] : f32\nout D[24] : f32\nout E[24, 40] : f32\n"
         "value a[n:40, d:20] : f32\nvalue b[d:20, m:24] : f32\nvalue c[n:40, m:24] : f32\nvalue o[d:20] : f32\n"
         "value e[m:24, n:40] : f32\nvalue r[m:24] : f32\n"
         "phase main\n  task n by 40\n  a = load A[n,d] + 1\n  b = load B[m,d] * 2\n"
         "  c = contract a, b over d as f16 rows n:16 lanes m:3\n  c = contract a, b over d as f16 rows n:16 lanes m:3 "
         "accumulate scale n - 3\n"
         "  e = map c - m\n  store C[n,m] = c\n  o = map d\n  r = contract o, b over d lanes m:3\n"
         "  if low(n) == 0\n    store D[m] = r\n  store E[m,n] = e\n",
         3e-3},
};

static void try_program(const char *name, const char *source, double bound, bool plain)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "%s: memory", name);
		arena_free(&a);
		return;
	}
	struct text why;
	struct diags d;
	text_init(&why, &a);
	diags_init(&d, &a, name, source, strlen(source));
	struct tile_program *p = tile_parse(&a, source, strlen(source), &d);
	diags_print(&d, &why);
	double worst = 0;
	bool good = p && tile_check(p, &why);
	struct kernel_source k = {.text = NULL};
	if (good)
		k = plain ? emit_cuda_plain(&a, p) : emit_cuda(&a, p);
	if (good && k.reason) {
		ok(!k.text && *k.reason, "%s: %s", name, k.reason);
	} else {
		good = good && compare(&a, p, plain, bound, EMULATE_ORDERS, &worst, &why);
		ok(good, "%s by %s: apart by %.2g %s", name, plain ? "shared memory" : "fragments", worst, why.s);
	}
	arena_free(&a);
}

int main(int argc, char **argv)
{
	static const struct extents quick[] = {{63, 200, 64}, {200, 1, 60}, {1, 63, 128}};
	static const int64_t sizes[] = {1, 63, 200}, widths[] = {60, 64, 128, 256};
	if (argc > 4)
		return print(argc, argv);
	for (size_t i = 0; i < PLAIN_EXAMPLES; i++)
		for (size_t k = 0; k < sizeof quick / sizeof *quick; k++)
			for (int form = 0; form < 4; form++)
				try_example(plain_example[i], quick[k], form == 2 ? "bf16" : form == 3 ? "f16" : NULL,
				            DEFAULT, form == 1, form == 2 && !k ? EMULATE_ORDERS : 1);
	for (size_t i = 0; i < PLAIN_EXAMPLES; i++)
		for (int point = 2; point < (getenv("LONG") ? 40 : 4); point++)
			try_example(plain_example[i], (struct extents){point % 2 ? 50 : 133, 85 + point, point % 3 ? 24 : 64},
			            point % 2 ? "bf16" : NULL, point, false, 1);
	for (size_t i = 0; getenv("LONG") && i < PLAIN_EXAMPLES; i++)
		for (int k = 0; k < 9; k++)
			for (int w = 0; w < 4; w++)
				for (int form = 0; form < 5; form++)
					try_example(plain_example[i], (struct extents){sizes[k / 3], sizes[k % 3], widths[w]},
					            form == 3 ? "bf16" : form == 4 ? "f16" : NULL, form == 2 ? NAIVE : DEFAULT,
					            form == 1,
					            form > 2 ? EMULATE_ORDERS : 1);
	try_text();
	for (int plain = 0; plain < 2; plain++) {
		for (size_t i = 0; i < sizeof program / sizeof *program; i++)
			try_program(program[i].name, program[i].text, fmax(program[i].bound, 1e-5), plain);
		for (size_t i = 0; i < sizeof more / sizeof *more; i++)
			try_program(more[i].name, more[i].text, more[i].bound, plain);
	}
	return tap_done();
}
