/* tile_select_test.c: selections in tile programs: text, checks, the interpreter, and generated C for every instruction
 * set and compiler here on fibers of all lengths and kinds, between guard pages. */
#include <math.h>
#include <string.h>

#include "codegen/schedule.h"
#include "dsl/dtype.h"
#include "search/sandbox.h"
#include "targets/target.h"
#include "tests/tap.h"

enum { ROWS = 22, MAX_TENSORS = 16 };

/* Rows i, fibers c, slots s. */
static const char selections[] =
	"program selections : f32\n"
	"index i : 22\n"
	"index c : %d\n"
	"index s : %d\n"
	"in X[22, %d] : f32\n"
	"in Y[22, %d] : i32\n"
	"in M[22, %d] : bool\n"
	"in L[22] : i32\n"
	"out A[22, %d] : bool\n"
	"out B[22, %d] : bool\n"
	"out C[22, %d] : i32\n"
	"out D[22, %d] : bool\n"
	"out E[22, %d] : f32\n"
	"out F[22, %d] : i32\n"
	"out G[22, %d] : i32\n"
	"out H[22, %d] : i32\n"
	"out J[22, %d] : i32\n"
	"work W[22, %d] : bool\n"
	"phase largest\n"
	"  task i by 3\n"
	"  store A[i,c] = select topk %d over c of X[i,c]\n"
	"  store W[i,c] = select topk %d over c of -X[i,c]\n"
	"phase where\n"
	"  task i by 1\n"
	"  store B[i,c] = select topk %d over c of X[i,c] where c < L[i] and M[i,c]\n"
	"phase ends\n"
	"  task i by 5\n"
	"  store C[i,c] = select topk %d over c of X[i,c] where L[i] // 3 < c and c <= L[i]\n"
	"phase ints\n"
	"  store D[i,c] = select topk %d over c of Y[i,c]\n"
	"phase nucleus\n"
	"  task i by 2\n"
	"  store E[i,c] = select nucleus 0.7 over c of abs(X[i,c]) where 1 <= c\n"
	"phase order\n"
	"  task i by 3\n"
	"  store F[i,c] = select argsort over c of X[i,c] where M[i,c]\n"
	"phase order_ints\n"
	"  task i by 3\n"
	"  store G[i,c] = select argsort over c of Y[i,c]\n"
	"phase members\n"
	"  task i by 3\n"
	"  store H[i,s] = select members over c slots s of W[i,c]\n"
	"phase members_where\n"
	"  task i by 3\n"
	"  store J[i,s] = select members over c slots s of Y[i,c] == 2 where 3 <= c and c < L[i]\n";

static struct text source_of(struct arena *a, int n, int slots, int k)
{
	struct text t;
	text_init(&t, a);
	text_printf(&t, selections, n, slots, n, n, n, n, n, n, n, n, n, n, slots, slots, n, k, k, k, k, k);
	return t;
}

static struct tile_program *parse(struct arena *a, const char *s, struct text *why)
{
	struct diags d;
	diags_init(&d, a, "select.tile", s, strlen(s));
	struct tile_program *p = tile_parse(a, s, strlen(s), &d);
	diags_print(&d, why);
	return p;
}

static uint64_t state = 5;
static uint32_t below(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 33) % n);
}

/* Element c of n in a row of the row's own kind: what a threshold by sampling, halving or counting could trip over. */
static double element(int row, int64_t c, int64_t n)
{
	double u = (double)below(1 << 23) / (1 << 22) - 1;
	switch (row % 11) {
	case 0: return u;
	case 1: return 1.5;
	case 2: return (double)c;
	case 3: return (double)(n - c);
	case 4: return below(2) ? 3 : -2;
	case 5: return below(3) ? u : (double)NAN;
	case 6: return -INFINITY;
	case 7: return below(2) ? 0.0 : -0.0;
	case 8: return ldexp(below(2) ? 1 : -1, (int)below(250) - 125);
	case 9: return c % 1000 == 7 ? 100 + u : u; /* what a sample may miss */
	default: return below(4) ? (double)NAN : below(2) ? (double)INFINITY : -(double)INFINITY;
	}
}

struct buffers {
	struct guarded data[MAX_TENSORS], work, scratch;
	double *expected[MAX_TENSORS];
	int64_t stride[MAX_TENSORS][MAX_RANKS];
	int64_t count[MAX_TENSORS];
};

static int64_t place(const struct tile_tensor *t, const int64_t *stride, int64_t i)
{
	int64_t at = 0;
	for (int r = t->nranks - 1; r >= 0; r--) {
		at += i % t->extent[r] * stride[r];
		i /= t->extent[r];
	}
	return at;
}

/* `strange`: the ranks in the opposite order, with a gap. */
static bool lay_out(struct arena *a, const struct tile_tensor *t, struct buffers *b, uint32_t i, bool strange)
{
	int64_t size = 1, n = 1;
	for (int k = 0; k < t->nranks; k++) {
		int r = strange ? k : t->nranks - 1 - k;
		b->stride[i][r] = size;
		size *= t->extent[r] + (strange && !k);
		n *= t->extent[r];
	}
	b->count[i] = n;
	b->expected[i] = arena_new_array(a, (size_t)n + 1, double);
	if (!guarded_alloc(&b->data[i], (size_t)dtype_bytes(t->dtype, size), 1, GUARD_AFTER))
		return false;
	guarded_poison(&b->data[i]);
	for (int64_t k = 0; t->role == ROLE_IN && k < n; k++) {
		int64_t c = t->extent[t->nranks - 1];
		double x = *t->name == 'X'   ? element((int)(k / c), k % c, c)
		           : *t->name == 'L' ? (double)below((uint32_t)b->count[0] / ROWS + 3) - 1
		           : *t->name == 'M' ? below(3) != 0
		                             : (double)below(5) - 1;
		x = dtype_round(t->dtype, x);
		b->expected[i][k] = x;
		dtype_store(t->dtype, b->data[i].data, place(t, b->stride[i], k), x);
	}
	return true;
}

static bool call(struct buffers *b, const struct kernel_source *k, const struct target *target, enum isa isa,
                 struct text *why)
{
	struct target_options options = {.isa = isa, .optimise = 1};
	struct object object;
	if (!target->compile(k->text, &options, &object, why))
		return false;
	struct module *module = target->load(&object, &options, why);
	void *data[MAX_TENSORS];
	const int64_t *stride[MAX_TENSORS];
	for (int i = 0; i < MAX_TENSORS; i++) {
		data[i] = b->data[i].data;
		stride[i] = b->stride[i];
	}
	struct at_args args = {data, stride, b->work.data};
	for (int p = 0; module && p < k->nphases; p++) {
		union {
			void *data;
			at_phase *code;
		} f = {target->symbol(module, k->phase[p].symbol)};
		long half = k->phase[p].tasks / 2;
		guarded_poison(&b->scratch);
		f.code(&args, half, k->phase[p].tasks, b->scratch.data);
		f.code(&args, 0, half, b->scratch.data);
	}
	if (module)
		target->unload(module);
	object_free(&object);
	return module && !why->len;
}

static void one(int n, int slots, int k, enum isa isa, const struct target *target, bool strange)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "memory");
		return;
	}
	struct text why, source = source_of(&a, n, slots, k);
	text_init(&why, &a);
	struct buffers b = {0};
	struct tile_program *p = parse(&a, source.s, &why);
	bool good = p && tile_check(p, &why);
	for (uint32_t i = 0; good && i < p->tensor.n; i++)
		if (p->tensor.v[i].place == PLACE_ARGUMENT)
			good = lay_out(&a, &p->tensor.v[i], &b, i, strange);
	if (good) {
		struct kernel_source source_c = emit_c(&a, p, isa, 5);
		good = guarded_alloc(&b.work, (size_t)source_c.work_bytes, 64, GUARD_AFTER) &&
		       guarded_alloc(&b.scratch, (size_t)source_c.scratch_bytes, 64, GUARD_AFTER) &&
		       tile_run(&a, p, b.expected, true, &why) && call(&b, &source_c, target, isa, &why);
	}
	const char *wrong = good ? NULL : "not run";
	for (uint32_t i = 0; good && i < p->tensor.n; i++) {
		const struct tile_tensor *t = &p->tensor.v[i];
		if (t->place != PLACE_ARGUMENT)
			continue;
		for (int64_t at = 0; at < b.count[i]; at++) {
			double got = dtype_load(t->dtype, b.data[i].data, place(t, b.stride[i], at));
			if (t->role == ROLE_OUT && got != b.expected[i][at] && !wrong)
				wrong = arena_printf(&a, "%s[%d, %d] is %g, not %g", t->name, (int)(at / t->extent[1]),
				                     (int)(at % t->extent[1]), got, b.expected[i][at]);
		}
		if (!guarded_intact(&b.data[i]))
			wrong = arena_printf(&a, "wrote outside %s", t->name);
	}
	if (good && !(guarded_intact(&b.work) && guarded_intact(&b.scratch)))
		wrong = "wrote outside work or scratch";
	ok(!wrong, "fibers of %d, k %d, %s by %s%s: %s%s", n, k, isa_info[isa].name, target->name,
	   strange ? ", strange strides" : "", wrong ? wrong : "as the definition", why.s);
	for (int i = 0; i < MAX_TENSORS; i++)
		if (b.data[i].map)
			guarded_free(&b.data[i]);
	if (b.work.map)
		guarded_free(&b.work);
	if (b.scratch.map)
		guarded_free(&b.scratch);
	arena_free(&a);
}

static void everywhere(int n, int slots, int k)
{
	struct arena a;
	struct machine machine;
	machine_detect(&machine);
	arena_init(&a);
	for (const struct target *const *t = targets; *t; t++) {
		if ((*t)->missing(&a))
			continue;
		for (enum isa isa = ISA_SCALAR; isa <= machine.isa; isa++)
			for (int strange = 0; (*t)->supports(isa) && strange < 2; strange++)
				one(n, slots, k, isa, *t, strange);
	}
	arena_free(&a);
}

static void round_trip(void)
{
	struct arena a;
	arena_init(&a);
	struct text source = source_of(&a, 40, 7, 3), why, once, again;
	text_init(&why, &a);
	text_init(&once, &a);
	text_init(&again, &a);
	struct tile_program *p = parse(&a, source.s, &why), *q;
	tile_print(p, &once);
	q = parse(&a, once.s, &why);
	if (q)
		tile_print(q, &again);
	ok(q && !strcmp(once.s, again.s) && strstr(once.s, "store B[i,c] = select topk 3 over c of X[i,c] where c < L[i]"),
	   "text round-trips%s", why.s);
	struct tile_cost cost = tile_cost(p);
	ok(cost.bytes > 22 * 40 * 4 && cost.map_flops > 0, "cost: %g bytes, %g comparisons", cost.bytes, cost.map_flops);
	arena_free(&a);
}

/* A statement in place of the first phase's, and what is said of it. */
static void refused(const char *statement, const char *expected)
{
	struct arena a;
	arena_init(&a);
	struct text why;
	text_init(&why, &a);
	const char *s = arena_printf(&a,
	                             "program p : f32\nindex i : 4\nindex c : 8\nindex s : 3\nin X[4, 8] : f32\n"
	                             "out A[4, 8] : bool\nout L[4, 3] : i32\nout T[4, 9] : bool\n"
	                             "value v[c:8] : f32\nphase one\n  task i by 1\n%s\n",
	                             statement);
	struct tile_program *p = parse(&a, s, &why);
	bool good = p && tile_check(p, &why);
	ok(!good && strstr(why.s, expected), "refused: %s", strstr(why.s, expected) ? expected : why.s);
	arena_free(&a);
}

/* All pairs are compared on a device: of more than so many, the limit is named. */
static void limit(void)
{
	struct arena a;
	arena_init(&a);
	struct text why, source;
	text_init(&why, &a);
	text_init(&source, &a);
	text_add(&source, "program p : f32\nindex c : 5000\nin X[5000] : f32\nout A[5000] : i32\n"
	                  "phase sort\n  store A[c] = select argsort over c of X[c]\n");
	struct tile_program *p = parse(&a, source.s, &why);
	struct kernel_source k = emit_cuda(&a, p);
	ok(!k.text && strstr(k.reason, "an argsort of 5000 elements"), "%s", k.reason);
	arena_free(&a);
}

int main(void)
{
	round_trip();
	limit();
	refused("  store A[i,c] = select topk 2.5 over c of X[i,c]", "no whole one");
	refused("  store A[i,c] = select argmax over c of X[i,c]", "there is no selection 'argmax'");
	refused("  v = load X[i,c]\n  store A[i,c] = select argsort over c of v", "a selection reads tensors, not the value v");
	refused("  for c by 4 from 0 to 8\n    store A[i,c] = select topk 2 over c of X[i,c]", "part of its fiber");
	refused("  narrow c by 1 from 0 to 4\n  store A[i,c] = select topk 2 over c of X[i,c]", "part of its fiber");
	refused("  store L[i,s] = select topk 2 over c of X[i,c]", "L has no coordinate c");
	refused("  store A[i,c] = select members over c slots s of X[i,c]", "A has no coordinate s");
	refused("  store T[i,c] = select topk 2 over c of X[i,c]", "T has more than c has");
	refused("  store A[i,c] = select topk 2 over c of X[i,c] where s < 2", "index s has no coordinate here");
	refused("  store A[i,c] = select topk 2 over c of X[i,c] where A[i,c]", "A is read in the phase that stores it");
	everywhere(1, 1, 1);
	everywhere(5, 3, 0);
	everywhere(32, 32, 3);
	everywhere(64, 7, 63);
	everywhere(100, 9, 17);
	everywhere(1000, 100, 1);
	everywhere(4099, 4200, 500);
	everywhere(20011, 20, 900);
	return tap_done();
}
