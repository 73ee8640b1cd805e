/* few_rows_test.c: rows by groups, products along rows of an operand that lies turned, and contractions in steps. A
 * decode step's kernels at odd groups and extents, untuned and in random schedules, by groups and not: in the
 * interpreter, and compiled for every ISA here, between guard pages. What is chosen and what is refused. SEED=n another
 * seed, LONG=1 five times as many. */
#include <stdlib.h>

#include "tests/stages_c.h"
#include "tests/tap.h"

static uint64_t state = 11;
static int below(int n)
{
	return (int)stages_below(&state, (uint32_t)n);
}

/* Keys are the first tensor and values the third: every other one lies on strange strides. */
#define TENSORS(keys, values)                                                                    \
	"kernel test\nrank B, H, N, M, D, E\nparam G = 4\nin K[" keys "], Q[B, H, N, D], V[" values "] : f32\n"
#define HEADS TENSORS("B, H/G, M, D", "B, H/G, M, E")
#define O "out O[B, H, N, E] : f32\n"
#define SCORES "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/G,m,d] * 0.3"
#define SOFTMAX "P = softmax[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e]\n"

#define PAGES                                                                                                    \
	"kernel test\nrank B, H, N, M, D, E, C, W\nparam G = 4\nin K[5, C, H/G, D], Q[B, H, N, D], V[5, C, H/G, E] : f32\n" \
	"in table[B, W] : i32, length[B] : i32\n" O                                                              \
	"S[b,h,n,m] = Q[b,h,n,d] * K[table[b,m/C],m%C,h/G,d] where m < length[b]\n"                               \
	"P = softmax[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[table[b,m/C],m%C,h/G,e]\n"

static const struct {
	const char *name, *text;
	const char *narrow; /* tensors of this type, or NULL */
	enum dtype type;
	double tolerance;
} kernel[] = {
        {"decode", HEADS O SCORES "\n" SOFTMAX, NULL, DTYPE_F32, 2e-5},
        {"decode of bf16", HEADS O SCORES "\n" SOFTMAX, "KV", DTYPE_BF16, 5e-3},
        {"decode of f16", HEADS O SCORES "\n" SOFTMAX, "KV", DTYPE_F16, 2e-5},
        {"causal", HEADS O SCORES " where m <= n + (M - N)\n" SOFTMAX, NULL, DTYPE_F32, 2e-5},
        {"a window", HEADS O SCORES " where m <= n + (M - N) and n + (M - N) - m < 20\n" SOFTMAX, NULL, DTYPE_F32, 2e-5},
        {"lengths", HEADS "in length[B] : i32\n" O SCORES " where m < length[b]\n" SOFTMAX, NULL, DTYPE_F32, 2e-5},
        {"a bias of heads and keys", HEADS "in bias[H, N, M] : f32\n" O
                                           "S[b,h,n,m] = sum[d](Q[b,h,n,d] * K[b,h/G,m,d]) + bias[h,n,m]\n" SOFTMAX,
         NULL, DTYPE_F32, 2e-5},
        {"a slope of heads, a scale of keys",
         HEADS "in slope[H] : f32, scale[B, H/G, M] : f32\n" O
               "S[b,h,n,m] = sum[d](Q[b,h,n,d] * K[b,h/G,m,d]) * scale[b,h/G,m] - slope[h] * (M - m)\n" SOFTMAX,
         NULL, DTYPE_F32, 2e-5},
        {"a mask of key heads", HEADS "in on[B, H/G, M] : bool\n" O SCORES " where on[b,h/G,m]\n" SOFTMAX, NULL, DTYPE_F32,
         2e-5},
        {"a mask of queries", HEADS "in on[B, N, M] : bool\n" O SCORES " where on[b,n,m]\n" SOFTMAX, NULL, DTYPE_F32, 2e-5},
        {"keys with heads inside",
         TENSORS("B, M, H/G, D", "B, M, H/G, E") O "S[b,h,n,m] = Q[b,h,n,d] * K[b,m,h/G,d] * 0.3\n"
                                                   "P = softmax[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,m,h/G,e]\n",
         NULL, DTYPE_F32, 2e-5},
        {"pages", PAGES, NULL, DTYPE_F32, 2e-5},
        {"pages of bf16", PAGES, "KVQ", DTYPE_BF16, 2e-5},
        {"pages of bf16, which comes out as well", PAGES, "KVQO", DTYPE_BF16, 1e-2},
        {"no softmax", HEADS O SCORES "\nO[b,h,n,e] = sigmoid(S[b,h,n,m]) * V[b,h/G,m,e]\n", NULL, DTYPE_F32, 2e-5},
        {"groups of two sizes",
         TENSORS("B, H/G, M, D", "B, H/(2*G), M, E") O SCORES
         "\nP = softmax[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h/(2*G),m,e]\n",
         NULL, DTYPE_F32, 2e-5},
};
enum { KERNELS = sizeof kernel / sizeof *kernel };

struct shape {
	int64_t group, n, m, d, e, page;
};
static const struct shape shapes[] = {
        {4, 1, 100, 32, 32, 8}, {3, 1, 64, 17, 16, 2},  {7, 1, 33, 16, 48, 3},   {8, 1, 70, 24, 7, 16},
        {2, 3, 50, 40, 64, 5},  {5, 2, 1, 8, 8, 1},     {16, 1, 40, 5, 16, 6},   {4, 5, 150, 16, 16, 33},
        {6, 1, 200, 64, 80, 8}, {1, 1, 90, 48, 32, 10}, {12, 1, 41, 33, 9, 12},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static struct cascade *bound(struct arena *a, int k, const struct shape *s, struct text *errors)
{
	struct diags d;
	const char *source = kernel[k].text;
	struct param g = {"G", (double)s->group};
	diags_init(&d, a, "kernel", source, strlen(source));
	struct cascade *c = cascade_parse(a, source, strlen(source), &g, 1, &d);
	diags_print(&d, errors);
	for (uint32_t i = 0; c && i < c->rank.n; i++) {
		const int64_t of[] = {['B'] = 1,       ['H'] = 2 * s->group, ['N'] = s->n, ['M'] = s->m,
		                      ['D'] = s->d, ['E'] = s->e,         ['C'] = s->page,
		                      ['W'] = (s->m + s->page - 1) / s->page};
		if (c->rank.v[i].extent == NOT_BOUND)
			c->rank.v[i].extent = of[(int)*c->rank.v[i].name];
	}
	for (uint32_t i = 0; c && kernel[k].narrow && i < c->tensor.n; i++)
		if (strstr(kernel[k].narrow, c->tensor.v[i].name))
			c->tensor.v[i].dtype = kernel[k].type;
	return c;
}

static int schedules, most_isa;
static const struct target *tcc, *clang; /* NULL where they are not here */

/* Every stream by groups that can be, or none; and in parts. */
static struct schedule grouped(struct stages *s, enum isa isa, bool by, int64_t split)
{
	struct schedule schedule = schedule_default(s->problem, isa);
	struct space space;
	space_init(s->arena, &space, s->problem, isa);
	struct point at = space_nearest(&space, &schedule);
	for (int i = 0; i < space.dimensions; i++)
		for (int k = 0; space.dimension[i].field == FIELD_GROUPED && k < space.dimension[i].choices; k++)
			if (space.dimension[i].value[k] == by)
				at.choice[i] = (uint8_t)k;
	struct schedule changed = space_schedule(&space, &at), cut = changed;
	for (int i = 0; i < cut.nstreams; i++) {
		cut.stream[i].split = split;
		if (split_illegal(s->arena, s->problem, &cut, i))
			cut.stream[i].split = 0;
	}
	return schedule_illegal(s->arena, s->problem, &changed) ? schedule : cut;
}

static bool through(struct stages *s, int k, int shape)
{
	for (int i = 0; i < schedules; i++) {
		enum isa isa = (enum isa)((i + shape) % (most_isa + 1));
		const struct target *target = isa == ISA_SCALAR ? tcc : (k + shape + i) % 3 ? NULL : clang;
		struct schedule schedule = i == 0   ? schedule_default(s->problem, isa)
		                           : i == 1 ? grouped(s, isa, true, 2)
		                           : i == 2 ? grouped(s, isa, false, 0)
		                                    : stages_random(s, isa);
		if (!stages_tried(s, &schedule, target, kernel[k].tolerance))
			return false;
	}
	return true;
}

static void try_one(int k, int shape)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	a.limit = (size_t)2 << 30;
	const struct shape *x = &shapes[shape];
	if (ARENA_TRY(&a, &env)) {
		struct text errors;
		struct stages s = {0};
		text_init(&errors, &a);
		struct cascade *c = bound(&a, k, x, &errors);
		bool good = c && stages_begin(&s, &a, c, state + (uint64_t)below(1000)) && through(&s, k, shape);
		ok(good, "%s, groups of %d, N %d M %d D %d E %d %s%s", kernel[k].name, (int)x->group, (int)x->n, (int)x->m,
		   (int)x->d, (int)x->e, errors.s ? errors.s : "", s.fault.s ? s.fault.s : "");
	} else {
		ok(false, "%s: memory", kernel[k].name);
	}
	arena_free(&a);
}

static struct problem *problem_of(struct arena *a, int k, const struct shape *shape)
{
	struct diags d;
	struct text errors;
	text_init(&errors, a);
	diags_init(&d, a, "test", "", 0);
	struct cascade *c = bound(a, k, shape, &errors);
	return c ? problem_new(a, c, &stages_machine, &d) : NULL;
}

static void test_choice(void)
{
	static const struct {
		int kernel;
		struct shape shape;
		bool grouped, inner;
	} want[] = {
	        {0, {4, 1, 8192, 128, 128, 8}, true, false}, {0, {4, 4, 8192, 128, 128, 8}, true, true},
	        {0, {4, 64, 8192, 128, 128, 8}, false, false}, {0, {1, 1, 8192, 128, 128, 8}, false, false},
	        {9, {4, 4, 8192, 128, 128, 8}, false, false},  {15, {4, 1, 8192, 128, 128, 8}, true, false},
	};
	struct arena a;
	arena_init(&a);
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		const struct problem *p = problem_of(&a, want[i].kernel, &want[i].shape);
		struct schedule s = schedule_default(p, ISA_AVX512);
		const struct stream_plan *plan = schedule_plan(p, &s, 0);
		ok(s.stream[0].grouped == want[i].grouped && (plan->inner != NO_INDEX) == want[i].inner,
		   "%s, groups of %d, N %d: by groups %d, one query after the other %d", kernel[want[i].kernel].name,
		   (int)want[i].shape.group, (int)want[i].shape.n, s.stream[0].grouped, plan->inner != NO_INDEX);
		ok(!schedule_default(p, ISA_SM80).stream[0].grouped, "never on a device");
	}
	arena_free(&a);
}

static void test_refusals(void)
{
	static const struct {
		const char *from, *to, *why;
	} edit[] = {
	        {"rows h:4", "rows h:8", "do not divide groups of 4"},
	        {"S rows h:4 lanes m:4 by m:32", "S rows h:4 lanes m:4 by m:48", "not cut into steps of 48"},
	        {"S rows h:4 lanes m:4 by m:32", "S rows h:4 lanes m:4 pack by m:32", "read where it stands"},
	        {"stages 3", "stages 9", "stages are 0 to 8"},
	        {"by m:32 stages 3", "by e:32 stages 3", "expected 'm:'"},
	        {"by m:32 stages 3", "by m:32 stages 3 more", "the end of the line"},
	};
	static const char text[] = "isa avx512\nfuse all\nstream m for b h n\n  rows h:4\n  tile m:512 up\n  sparsity bounds\n"
	                           "  contract S rows h:4 lanes m:4 by m:32 stages 3\n  contract O_sum rows h:4 lanes e:4\n";
	static const struct shape shape = {4, 1, 1024, 128, 128, 8};
	struct arena a;
	struct diags d;
	arena_init(&a);
	const struct problem *p = problem_of(&a, 0, &shape);
	for (size_t i = 0; i < sizeof edit / sizeof *edit; i++) {
		const char *at = strstr(text, edit[i].from);
		const char *one = arena_printf(&a, "%.*s%s%s", (int)(at - text), text, edit[i].to, at + strlen(edit[i].from));
		struct schedule s;
		diags_init(&d, &a, "schedule", one, strlen(one));
		const char *why = schedule_parse(p, one, strlen(one), &s, &d) ? schedule_illegal(&a, p, &s)
		                                                              : d.list.v[0].message;
		ok(why && strstr(why, edit[i].why), "%s: %s", edit[i].to, why ? why : "(legal)");
	}
	struct schedule s = schedule_default(p, ISA_SM80);
	s.stream[0].grouped = true;
	ok(schedule_illegal(&a, p, &s), "a device has no rows by groups: %s", schedule_illegal(&a, p, &s));
	p = problem_of(&a, 11, &shape);
	s = schedule_default(p, ISA_AVX512);
	struct kernel_source none = emit_cuda(&a, tile_build(&a, p, &s));
	ok(s.stream[0].contract[0].step && !none.text, "pages where they stand are for no device: %s", none.reason);
	arena_free(&a);
}

int main(void)
{
	struct arena a;
	struct machine here;
	const char *seed = getenv("SEED"), *full = getenv("LONG");
	arena_init(&a);
	machine_detect(&here);
	most_isa = (int)here.isa;
	tcc = target_tcc.missing(&a) ? NULL : &target_tcc;
	clang = target_clang.missing(&a) ? NULL : &target_clang;
	schedules = full ? 25 : 5;
	if (seed)
		state = strtoull(seed, NULL, 10);
	for (int k = 0; k < KERNELS; k++)
		for (int i = 0; i < SHAPES; i++)
			try_one(k, i);
	test_choice();
	test_refusals();
	arena_free(&a);
	return tap_done();
}
