/* across_test.c: contractions with the rows' index in their lanes, lists that tell blocks of such rows apart, and
 * contractions whose operand is made while it is used. Kernels of every kind of operand and mask, at few and odd extents, in random schedules of these forms: in the
 * interpreter, and compiled for every ISA here, between guard pages on odd strides. What is refused, and that an untuned
 * kernel is of either form. SEED=n another seed, LONG=1 five times as many. */
#include <stdlib.h>

#include "tests/stages_c.h"
#include "tests/tap.h"

static uint64_t state = 7;
static int below(int n)
{
	return (int)stages_below(&state, (uint32_t)n);
}

#define HEAD                                                                                     \
	"kernel test\nrank B, H, N, M, D, E\nin Q[B, H, N, D], K[B, H, M, D], V[B, H, M, E] : f32\n" \
	"out O[B, H, N, E] : f32\n"
#define SOFTMAX "P = softmax[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h,m,e]\n"

static const struct {
	const char *name, *text;
	double tolerance;
} kernel[] = {
        {"attention", HEAD "S[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] * 0.3\n" SOFTMAX, 2e-5},
        {"causal", HEAD "S[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] where m <= n + (M - N)\n" SOFTMAX, 2e-5},
        {"a window", HEAD "S[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] where abs(n - m) <= 20\n" SOFTMAX, 2e-5},
        {"a bias, a soft cap",
         HEAD "in bias[H, N, M] : f32\nS[b,h,n,m] = sum[d](Q[b,h,n,d] * K[b,h,m,d]) + bias[h,n,m]\nT = 5 * tanh(S / 5)\n"
              "P = softmax[m](T)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h,m,e]\n",
         2e-5},
        {"a bool mask",
         HEAD "in on[B, N, M] : bool\nS[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] where on[b,n,m]\n" SOFTMAX, 2e-5},
        {"documents",
         HEAD "in q[B, N], k[B, M] : i32\nS[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] where q[b,n] == k[b,m]\n" SOFTMAX, 2e-5},
        {"causal documents and a sink",
         HEAD "in q[N], k[M] : i32\nS[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] where m <= n and q[n] / 16 == k[m] / 16 or m == 1\n" SOFTMAX,
         2e-5},
        {"factors of rows and keys",
         HEAD "in a[B, N], k[B, M] : f32\nS[b,h,n,m] = Q[b,h,n,d] * a[b,n] * K[b,h,m,d] * k[b,m]\n" SOFTMAX, 2e-5},
        {"narrow operands",
         "kernel test\nrank B, H, N, M, D, E\nin Q[B, H, N, D], K[B, H, M, D], V[B, H, M, E] : bf16\n"
         "out O[B, H, N, E] : f16\nS[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d]\n" SOFTMAX,
         2e-3},
        {"keys that lie turned, values too",
         "kernel test\nrank B, H, N, M, D, E\nin Q[B, H, D, N], K[B, H, D, M], V[B, H, E, M] : f32\n"
         "out O[B, H, E, N] : f32\nS[b,h,n,m] = Q[b,h,d,n] * K[b,h,d,m]\nP = softmax[m](S)\n"
         "O[b,h,e,n] = P[b,h,n,m] * V[b,h,e,m]\n",
         2e-5},
        {"shared heads, pages",
         "kernel test\nrank B, H, N, M, D, E\nin Q[B, H, N, D], K[B, 2, M, D], V[B, 2, M, E] : f32\n"
         "in page[B, M] : i32\nout O[B, H, N, E] : f32\nS[b,h,n,m] = Q[b,h,n,d] * K[b,h/2,min(page[b,m/4],M-1),d]\n"
         "P = softmax[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h/2,m,e]\n",
         2e-5},
        {"probabilities stored",
         HEAD "out A[B, H, N, M] : f32\nS[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d]\nA = softmax[m](S)\n"
              "O[b,h,n,e] = A[b,h,n,m] * V[b,h,m,e]\n",
         2e-5},
        {"scores stored",
         HEAD "out A[B, H, N, M] : f32\nA[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d]\nP = softmax[m](A)\n"
              "O[b,h,n,e] = P[b,h,n,m] * V[b,h,m,e]\n",
         2e-5},
        {"several sums",
         HEAD "out C[B, H, N] : f32\nS[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d]\nX[b,h,n] = max[m](S)\nC = mean[m](S * S)\n"
              "O[b,h,n,e] = sum[m]((S - X) * exp(S - X) * V[b,h,m,e])\n",
         2e-5},
        {"no softmax", HEAD "S[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d]\nO[b,h,n,e] = sigmoid(S[b,h,n,m]) * V[b,h,m,e]\n", 2e-5},
};
enum { KERNELS = sizeof kernel / sizeof *kernel };

struct shape {
	int64_t n, m, d, e;
};
static const struct shape shapes[] = {
        {64, 96, 16, 16}, {1, 40, 8, 8},   {2, 3, 5, 7},    {15, 33, 17, 6}, {16, 16, 16, 16}, {17, 100, 24, 40},
        {31, 1, 1, 1},    {33, 70, 60, 9}, {47, 64, 13, 30}, {100, 31, 7, 18}, {5, 0, 3, 3},    {80, 200, 20, 12},
        {50, 1100, 8, 70},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static struct cascade *bound(struct arena *a, const char *source, const struct shape *s, struct text *errors)
{
	struct diags d;
	diags_init(&d, a, "kernel", source, strlen(source));
	struct cascade *c = cascade_parse(a, source, strlen(source), NULL, 0, &d);
	diags_print(&d, errors);
	for (uint32_t i = 0; c && i < c->rank.n; i++) {
		char r = *c->rank.v[i].name;
		if (c->rank.v[i].extent == NOT_BOUND)
			c->rank.v[i].extent = r == 'B' ? 1 : r == 'H' ? 4 : r == 'N' ? s->n : r == 'M' ? s->m : r == 'D' ? s->d : s->e;
	}
	return c;
}

static int in_form(const struct schedule *s, enum field form)
{
	int count = 0;
	for (int i = 0; i < s->nstreams; i++) {
		count += form == FIELD_ACROSS && s->stream[i].across;
		count += form == FIELD_GRANULE_ROWS && s->stream[i].granule_rows;
		for (int k = 0; k < s->stream[i].ncontracts; k++)
			count += form == FIELD_TWINE && s->stream[i].contract[k].twine;
	}
	return count;
}

/* Of a dimension that mostly leaves none: the choice that leaves it; with rows in the lanes or without. */
static bool leaves_twine(enum field field, int64_t value, bool across, int tries)
{
	return (field == FIELD_ACROSS && (value != 0) == across) || (field == FIELD_STEP && !value) ||
	       (field == FIELD_PACK && tries % 2 && value);
}

/* … that a form needs. */
static bool needs(enum field form, enum field field, int64_t value)
{
	return form == FIELD_GRANULE_ROWS &&
	       ((field == FIELD_ACROSS && value) || (field == FIELD_SPARSITY && value == SPARSITY_LIST));
}

/* A random point of the form in every stream, or every contraction, where that may be. */
static bool random_form(struct stages *s, enum isa isa, enum field form, struct schedule *out)
{
	struct space space;
	space_init(s->arena, &space, s->problem, isa);
	bool lanes = below(2);
	for (int tries = 0; tries < 50; tries++) {
		struct point point = {0};
		bool across = lanes && tries < 25; /* else it cannot be */
		for (int i = 0; i < space.dimensions; i++) {
			const struct dimension *d = &space.dimension[i];
			point.choice[i] = (uint8_t)below(d->choices);
			for (int k = 0; k < d->choices; k++)
				if ((d->field == form && d->value[k]) || needs(form, d->field, d->value[k]) ||
				    (form == FIELD_TWINE && leaves_twine(d->field, d->value[k], across, tries)) ||
				    (d->field == FIELD_FUSE && d->value[k] == (int64_t)problem_usual(s->problem, isa)))
					point.choice[i] = (uint8_t)k;
		}
		*out = space_schedule(&space, &point);
		if (!schedule_illegal(s->arena, s->problem, out) && in_form(out, form))
			return true;
	}
	return false;
}

static int schedules, most_isa;
static const struct target *tcc, *clang; /* NULL where they are not here */

static bool through(struct stages *s, int k, int shape, enum field form)
{
	struct schedule schedule;
	for (int i = 0; i < schedules; i++) {
		enum isa isa = (enum isa)(i % (most_isa + 1));
		if (form == FIELD_TWINE && isa == ISA_SCALAR) /* it has no vectors */
			isa = (enum isa)most_isa;
		if (!random_form(s, isa, form, &schedule))
			return stages_fault(s, "no legal schedule of the form");
		const struct target *target = isa == ISA_SCALAR ? tcc : (k + shape + i) % 4 ? NULL : clang;
		if (!stages_tried(s, &schedule, target, kernel[k].tolerance))
			return false;
	}
	return true;
}

static void try_one(int k, int shape, enum field form)
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
		struct cascade *c = bound(&a, kernel[k].text, x, &errors);
		bool good = c && stages_begin(&s, &a, c, (uint64_t)(k + 1)) && through(&s, k, shape, form);
		ok(good, "%s, N %d M %d D %d E %d, %s %s%s", kernel[k].name, (int)x->n, (int)x->m, (int)x->d, (int)x->e,
		   form == FIELD_TWINE          ? "an operand made while it is used"
		   : form == FIELD_GRANULE_ROWS ? "blocks of rows apart"
		                                : "rows in the lanes",
		   errors.s ? errors.s : "",
		   s.fault.s ? s.fault.s : "");
	} else {
		ok(false, "%s: memory", kernel[k].name);
	}
	arena_free(&a);
}

static struct problem *plain(struct arena *a)
{
	static const struct shape shape = {64, 256, 64, 64};
	struct diags d;
	struct text errors;
	text_init(&errors, a);
	diags_init(&d, a, "test", "", 0);
	return problem_new(a, bound(a, kernel[0].text, &shape, &errors), &stages_machine, &d);
}

/* The second form of a schedule's text; what is not legal. */
static void test_refusals(void)
{
	static const struct {
		const char *from, *to, *why;
	} edit[] = {
	        {"S rows m:4 lanes n:2", "S rows m:4 lanes n:2 twine", "no tile of its first operand is computed"},
	        {"S rows m:4 lanes n:2\n  contract O_sum rows e:4 lanes n:2", "S rows m:4 lanes n:4\n  contract O_sum rows e:4 lanes n:2 twine",
	         "an operand of 4 vectors is not made while 2"},
	        {"O_sum rows e:4 lanes n:2", "O_sum rows e:13 lanes n:2 twine", "leave too few of 32"},
	        {"S rows m:4 lanes n:2", "S rows m:4 lanes n:2 pack", "nothing is packed"},
	        {"S rows m:4 lanes n:2", "S rows m:5 lanes n:2", "no multiple of its 5 rows"},
	        {"O_sum rows e:4 lanes n:2", "O_sum rows e:4 lanes n:3", "lanes 3 do not divide"},
	        {"rows n:64\n", "rows n:48\n", "no multiple of the block's 32"},
	        {"O_sum rows e:4 lanes n:2", "O_sum rows n:4 lanes e:2", "agree on which"},
	        {"S rows m:4 lanes n:2", "S rows m:16 lanes n:2", "needs 35 registers"},
	};
	static const char text[] = "isa avx512\nfuse all\nstream m for b h n\n  rows n:64\n  tile m:128 up\n  sparsity bounds\n"
	                           "  contract S rows m:4 lanes n:2\n  contract O_sum rows e:4 lanes n:2\n";
	struct arena a;
	struct diags d;
	arena_init(&a);
	struct problem *p = plain(&a);
	for (size_t i = 0; i < sizeof edit / sizeof *edit; i++) {
		const char *at = strstr(text, edit[i].from);
		const char *one = arena_printf(&a, "%.*s%s%s", (int)(at - text), text, edit[i].to, at + strlen(edit[i].from));
		struct schedule s;
		diags_init(&d, &a, "schedule", one, strlen(one));
		const char *why = schedule_parse(p, one, strlen(one), &s, &d) ? schedule_illegal(&a, p, &s)
		                                                              : d.list.v[0].message;
		ok(why && strstr(why, edit[i].why), "%s: %s", edit[i].to, why ? why : "(legal)");
	}
	struct schedule s, device = schedule_default(p, ISA_SM80);
	diags_init(&d, &a, "schedule", text, strlen(text));
	ok(schedule_parse(p, text, strlen(text), &s, &d) && s.stream[0].across && !schedule_illegal(&a, p, &s),
	   "a schedule with rows in the lanes");
	const char *plain = emit_c(&a, tile_build(&a, p, &s), ISA_AVX512, 5).text;
	s.stream[0].stages = 2;
	const char *ahead = emit_c(&a, tile_build(&a, p, &s), ISA_AVX512, 5).text;
	ok(!schedule_illegal(&a, p, &s) && plain && ahead && !strstr(plain, "v_ahead(K_next") && strstr(ahead, "v_ahead(K_next") &&
	           strstr(ahead, "v_ahead(V_next"),
	   "in stages both operands of a tile are asked for while the one before is contracted");
	ok(plain && strstr(plain, "v_store(x1_t + LANES, x1_t_lanes[1])"),
	   "the maximum of a tile's scores is taken by the contraction that makes them");
	s.stream[0].stages = 0;
	ok(!emit_cuda(&a, tile_build(&a, p, &s)).text, "… is none for a device: %s",
	   emit_cuda(&a, tile_build(&a, p, &s)).reason);
	device.stream[0].across = true;
	ok(schedule_illegal(&a, p, &device), "nor is a device's of the form");
	arena_free(&a);
}

/* The other form's text, and its program: what the contraction takes stands before what makes its operand. */
static void test_twine(void)
{
	static const char in_rows[] = "contract S rows n:%d lanes m:2 pack\n  contract O_sum rows n:%d lanes e:%d twine\n",
	                  in_lanes[] = "contract S rows m:4 lanes n:2\n  contract O_sum rows e:%d lanes n:2 twine\n";
	static const struct {
		const char *isa, *why;
		int rows, lanes;
	} edit[] = {{"avx512", NULL, 6, 4},
	            {"avx2", NULL, 4, 2},
	            {"avx2", "leave too few of 16", 6, 2},
	            {"avx512", "leave too few of 32", 4, 6},
	            {"scalar", "only vectors of f32", 2, 1},
	            {"avx512", NULL, 8, 0},
	            {"avx2", NULL, 4, 0},
	            {"avx2", "leave too few of 16", 5, 0}};
	struct arena a;
	struct diags d;
	arena_init(&a);
	struct problem *p = plain(&a);
	for (size_t i = 0; i < sizeof edit / sizeof *edit; i++) {
		bool across = !edit[i].lanes;
		const char *contracts = across ? arena_printf(&a, in_lanes, edit[i].rows)
		                               : arena_printf(&a, in_rows, edit[i].rows, edit[i].rows, edit[i].lanes);
		const char *one = arena_printf(&a, "isa %s\nfuse all\nstream m for b h n\n  rows n:%d\n  tile m:128 up\n  sparsity bounds\n  %s",
		                               edit[i].isa, across ? 64 : 48, contracts);
		struct schedule s;
		struct text program, again;
		diags_init(&d, &a, "schedule", one, strlen(one));
		bool parsed = schedule_parse(p, one, strlen(one), &s, &d);
		const char *why = parsed ? schedule_illegal(&a, p, &s) : d.list.v[0].message;
		ok(edit[i].why ? why && strstr(why, edit[i].why) : !why, "%d by %d of %s, twined: %s", edit[i].rows, edit[i].lanes,
		   edit[i].isa, why ? why : "(legal)");
		if (why)
			continue;
		text_init(&program, &a);
		text_init(&again, &a);
		schedule_print(p, &s, &again);
		ok(strstr(again.s, " twine\n"), "its text says so");
		const struct tile_program *t = tile_build(&a, p, &s);
		tile_print(t, &program);
		const char *c = strstr(program.s, "c = map"), *x = strstr(program.s, "x2 = map exp2"), *u = strstr(program.s, "x3_t = reduce"),
		           *o = strstr(program.s, "twine accumulate"), *l = strstr(program.s, "x3 = map x3 * c");
		ok(c && x && u && o && l && c < x && x < u && u < o && o < l, "what it takes, what makes it, itself, what depends on its sum");
		ok(strstr(emit_c(&a, t, s.isa, 5).text, "v_exp2_beside"), "exponentials stand between the multiply-adds");
	}
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
	schedules = full ? 20 : 4;
	if (seed)
		state = strtoull(seed, NULL, 10);
	for (int k = 0; k < KERNELS; k++)
		for (int i = 0; i < SHAPES; i++)
			try_one(k, i, FIELD_ACROSS);
	for (int k = 0; k < KERNELS; k++)
		for (int i = 0; i < SHAPES && most_isa > ISA_SCALAR; i++)
			try_one(k, i, FIELD_TWINE);
	for (int k = 0; k < KERNELS; k++)
		for (int i = 0; i < SHAPES && strstr(kernel[k].text, " where "); i++)
			if (shapes[i].n > 16) /* else there are no two vectors of them */
				try_one(k, i, FIELD_GRANULE_ROWS);
	test_refusals();
	test_twine();
	arena_free(&a);
	return tap_done();
}
