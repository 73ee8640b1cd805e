/* stands_test.c: operands multiplied as bf16 where they stand, by every stage: each type that bf16 holds, keys and values
 * with either rank last, whole vectors and parts of them, every code of the type, on every ISA. */
#include <stdlib.h>

#include "tests/tap.h"
#include "tests/stages_c.h"

#define HEAD "kernel test\nrank H = 2, N, M, D, E\n"
#define PRODUCT "kernel test\nrank H = 2, N, M, D\n"
#define QUERY "in Q[H,N,D] : bf16\n"
#define SOFTMAX "P = softmax[m](S)\n"

static const struct {
	const char *name, *text; /* % stands for the type */
	int contractions;        /* that can be such */
} cases[] = {
	{"rows of keys and of values",
	 HEAD QUERY "in K[1,M,D], V[1,M,E] : %\nout O[H,N,E] : bf16\nS[h,n,m] = Q[h,n,d] * K[h/2,m,d] * 0.05\n" SOFTMAX
	 "O[h,n,e] = P[h,n,m] * V[h/2,m,e]\n", 2},
	{"a scale a row, causal",
	 HEAD QUERY "in K[1,M,D], V[1,M,E] : %\nin k[1,M], v[1,M] : f32\nout O[H,N,E] : bf16\n"
	 "S[h,n,m] = sum[d](Q[h,n,d] * (K[h/2,m,d] * k[h/2,m])) * 0.05 where m <= n + (M - N) - 3\n" SOFTMAX
	 "O[h,n,e] = P[h,n,m] * (V[h/2,m,e] * v[h/2,m])\n", 2},
	{"columns of keys and of values",
	 HEAD QUERY "in K[H,D,M], V[H,E,M] : %\nout O[H,N,E] : bf16\nS[h,n,m] = Q[h,n,d] * K[h,d,m] * 0.05\n" SOFTMAX
	 "O[h,n,e] = P[h,n,m] * V[h,e,m]\n", 2},
	{"a product", PRODUCT QUERY "in K[H,M,D] : %\nout S[H,N,M] : f32\nS[h,n,m] = Q[h,n,d] * K[h,m,d]\n", 1},
	{"a sum of rows", PRODUCT "in A[H,N,M] : bf16\nin V[H,M,D] : %\nout O[H,N,D] : f32\nO[h,n,d] = A[h,n,m] * V[h,m,d]\n", 1},
};

static const enum dtype types[] = {DTYPE_BF16, DTYPE_I8, DTYPE_U8, DTYPE_I4, DTYPE_F8E4M3, DTYPE_F8E5M2};
static const int64_t shapes[][4] = {{2, 200, 128, 128}, {7, 131, 33, 24}, {1, 70, 200, 80}, {6, 3, 17, 5}, {1, 65, 64, 70}};
enum { CASES = sizeof cases / sizeof *cases, TYPES = sizeof types / sizeof *types, SHAPES = sizeof shapes / sizeof *shapes };

static struct cascade *bound(struct arena *a, int i, enum dtype t, const int64_t *shape, struct text *why)
{
	static const char *const rank[] = {"N", "M", "D", "E"};
	struct diags d;
	struct text source;
	text_init(&source, a);
	for (const char *s = cases[i].text; *s; s++)
		if (*s == '%')
			text_add(&source, dtype_info[t].spelling);
		else
			text_char(&source, *s);
	diags_init(&d, a, cases[i].name, source.s, source.len);
	struct cascade *c = cascade_parse(a, source.s, source.len, NULL, 0, &d);
	diags_print(&d, why);
	for (uint32_t r = 0; c && r < c->rank.n; r++)
		for (int k = 0; k < 4; k++)
			if (!strcmp(c->rank.v[r].name, rank[k]))
				c->rank.v[r].extent = shape[k];
	return c;
}

/* Operands narrower than 16 bits take every code that is a number. */
static struct oracle_tensor *codes(struct arena *a, const struct cascade *c, enum dtype t)
{
	struct oracle_tensor *tensor = arena_new_array(a, c->tensor.n, struct oracle_tensor);
	for (uint32_t i = 0; i < c->tensor.n && dtype_info[t].bits <= 8; i++) {
		if (c->tensor.v[i].role != ROLE_IN || c->tensor.v[i].dtype != t)
			continue;
		tensor[i].count = stages_count(c, i);
		tensor[i].data = arena_new_array(a, (size_t)tensor[i].count, double);
		for (int64_t k = 0; k < tensor[i].count; k++) {
			uint8_t code = (uint8_t)(k * 167 + i);
			double x = dtype_load(t, &code, 0);
			tensor[i].data[k] = !isfinite(x) || fabs(x) > 200 ? 1 : x;
		}
	}
	return tensor;
}

/* Every contraction that can be; how many. */
static int stand(const struct stages *s, struct schedule *schedule)
{
	int count = 0;
	for (int i = 0; i < schedule->nstreams; i++)
		for (int k = 0; k < schedule->stream[i].ncontracts; k++) {
			struct contract_schedule *b = &schedule->stream[i].contract[k], before = *b;
			b->operand = OPERAND_BF16;
			b->pack = b->twine = false;
			if (schedule_illegal(s->arena, s->problem, schedule))
				*b = before;
			else
				count++;
		}
	return count;
}

static bool through(struct stages *s, const struct target *target, int wanted, int turn, int *contractions)
{
	struct machine here;
	machine_detect(&here);
	enum { RANDOM = 2 };
	for (int i = 0; i < HOST_ISAS + RANDOM; i++) {
		enum isa isa = i < HOST_ISAS ? (enum isa)i : ISA_AVX512_BF16;
		struct schedule schedule = i < HOST_ISAS ? schedule_default(s->problem, isa) : stages_random(s, isa);
		if (i < HOST_ISAS && schedule.stream[0].across)
			schedule = schedule_of_form(s->problem, isa, schedule.form);
		for (int k = 0; k < schedule.nstreams && i < HOST_ISAS; k++)
			schedule.stream[k].across = false;
		if (i < HOST_ISAS && schedule_illegal(s->arena, s->problem, &schedule))
			schedule = schedule_naive(s->problem, isa);
		*contractions = i < HOST_ISAS ? stand(s, &schedule) : wanted;
		if (*contractions < wanted)
			return false;
		bool compiles = target && target->supports(schedule.isa) && isa_runs_on(schedule.isa, here.isa) &&
		                (i >= ISA_AVX512_BF16 || i == turn % HOST_ISAS);
		if (!stages_tried(s, &schedule, compiles ? target : NULL, 8e-3))
			return false;
	}
	return true;
}

static void try_one(int i, enum dtype t, const int64_t *shape, int turn)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		const struct target *target = target_find("clang");
		struct text why;
		struct stages s = {0};
		int contractions = 0;
		text_init(&why, &a);
		if (target && target->missing(&a))
			target = NULL;
		struct cascade *c = bound(&a, i, t, shape, &why);
		bool good = c && stages_begin_with(&s, &a, c, 1, codes(&a, c, t)) &&
		            through(&s, target, cases[i].contractions, turn, &contractions);
		ok(good, "%s of %s, N %d M %d D %d E %d: %d contractions %s%s", cases[i].name, dtype_info[t].spelling,
		   (int)shape[0], (int)shape[1], (int)shape[2], (int)shape[3], contractions, why.s ? why.s : "",
		   s.fault.s ? s.fault.s : "");
	} else {
		ok(false, "%s: memory", cases[i].name);
	}
	arena_free(&a);
}

int main(void)
{
	bool all = getenv("LONG") != NULL;
	int turn = 0;
	for (int i = 0; i < CASES; i++)
		for (int t = 0; t < TYPES; t++)
			for (int k = 0; k < SHAPES; k++)
				if (all || k == (i + t) % SHAPES || k == (i + t + 2) % SHAPES)
					try_one(i, types[t], shapes[k], turn++);
	return tap_done();
}
