/* quantised_test.c: tensors of narrow types that contractions read where they stand: every code of every type, scales
 * inside and outside the sum, whole vectors and parts of them, on every ISA here, through every stage. Each case runs
 * one kind of schedule an ISA in turn; LONG=1 runs them all. */
#include <stdio.h>
#include <stdlib.h>

#include "dsl/parse.h"
#include "tests/stages_c.h"
#include "tests/tap.h"

static bool clang_here, tcc_here, all;
static enum isa best;

static const enum dtype types[] = {DTYPE_I8, DTYPE_U8, DTYPE_I4, DTYPE_F8E4M3, DTYPE_F8E5M2, DTYPE_BF16, DTYPE_F16};
enum { TYPES = sizeof types / sizeof *types, FORMS_TRIED = 7 };

struct shape {
	int64_t n, m, d;
};
/* The last two ranks of operands in whole vectors of every ISA; in parts; odd, so that rows of half bytes begin within
 * a byte; nothing. */
static const struct shape shapes[] = {{1, 200, 64}, {3, 70, 128}, {5, 33, 40}, {2, 21, 37}, {1, 0, 16}, {40, 64, 32}};

#define HEAD "kernel test\nrank N, M, D\nin Q[N, D] : f32\n"
static const struct {
	const char *name, *text; /* % stands for the type */
	bool any; /* it takes what is no number */
} programs[] = {
	{"loaded", "kernel test\nrank M, D\nin X[M, D] : %\nout Y[M, D] : f32\nY[m,d] = X[m,d] / 2\n", true},
	{"a scale a key",
	 HEAD "in K[M, D], V[M, D] : %\nin ks[M], vs[M] : f32\nout O[N, D] : f32\n"
	      "S[n,m] = sum[d](Q[n,d] * (K[m,d] * ks[m])) * 0.01\nP = softmax[m](S)\n"
	      "O[n,d] = sum[m](P[n,m] * (V[m,d] * vs[m]))\n", false},
	{"a quotient a key, and an offset",
	 HEAD "in K[M, D] : %\nin ks[M], zero[M] : f32\nout S[N, M] : f32\n"
	      "S[n,m] = sum[d](Q[n,d] * ((K[m,d] - zero[m]) / (ks[m] + 2)))\n", false},
	{"a scale a channel",
	 HEAD "in K[M, D], V[M, D] : %\nin ks[D], vs[D] : f32\nout O[N, D] : f32\n"
	      "S[n,m] = sum[d](Q[n,d] * (K[m,d] * ks[d])) * 0.01\nP = softmax[m](S)\n"
	      "O[n,d] = sum[m](P[n,m] * (V[m,d] * vs[d]))\n", false},
	{"a scale eight channels",
	 HEAD "in K[M, D] : %\nin ks[M, D] : f16\nout S[N, M] : f32\n"
	      "S[n,m] = sum[d](Q[n,d] * (K[m,d] * ks[m,d/8])) where m % 3 < 2\n", false},
	{"a scale sixteen channels",
	 HEAD "in K[M, D], V[M, D] : %\nin ks[M, D], vs[M, D] : f16\nout O[N, D] : f32\n"
	      "S[n,m] = sum[d](Q[n,d] * (K[m,d] * ks[m,d/16])) * 0.01\nP = softmax[m](S)\n"
	      "O[n,d] = sum[m](P[n,m] * (V[m,d] * vs[m,d/16]))\n", false},
	{"a scale a channel and sixteen keys",
	 HEAD "in K[M, D] : %\nin ks[M, D] : f32\nout S[N, M] : f32\n"
	      "S[n,m] = sum[d](Q[n,d] * (K[m,d] * ks[m/16,d] + ks[m,(d+3)/16])) where m % 5 != 2\n", false},
	{"both of one type",
	 "kernel test\nrank N, M, D\nin A[N, M], B[M, D] : %\nin s : f32\nout O[N, D] : f32\n"
	 "O[n,d] = sum[m](A[n,m] * B[m,d] * s)\n", false},
};

static struct cascade *cascade_of(struct arena *a, const char *text, enum dtype t, const struct shape *shape,
                                  struct text *errors)
{
	struct text source;
	struct diags d;
	text_init(&source, a);
	for (const char *s = text; *s; s++)
		if (*s == '%' && s[-1] == ' ' && (s[1] == '\n' || s[1] == ','))
			text_add(&source, dtype_info[t].spelling);
		else
			text_char(&source, *s);
	diags_init(&d, a, "test", source.s, source.len);
	struct cascade *c = cascade_parse(a, source.s, source.len, NULL, 0, &d);
	diags_print(&d, errors);
	for (uint32_t i = 0; c && i < c->rank.n; i++) {
		char r = *c->rank.v[i].name;
		c->rank.v[i].extent = r == 'N' ? shape->n : r == 'M' ? shape->m : shape->d;
	}
	return c;
}

/* Narrow tensors hold every code in turn; `any`: also those that are no finite numbers. */
static struct oracle_tensor *codes(struct arena *a, const struct cascade *c, enum dtype t, bool any)
{
	struct oracle_tensor *tensor = arena_new_array(a, c->tensor.n, struct oracle_tensor);
	for (uint32_t i = 0; i < c->tensor.n; i++) {
		if (c->tensor.v[i].role != ROLE_IN || c->tensor.v[i].dtype != t || !c->tensor.v[i].nranks)
			continue;
		tensor[i].count = stages_count(c, i);
		tensor[i].data = arena_new_array(a, (size_t)tensor[i].count, double);
		for (int64_t k = 0; k < tensor[i].count; k++) {
			uint16_t code = (uint16_t)(dtype_info[t].bits <= 8 ? k * 167 + i : k * 40503 + i);
			double x = dtype_load(t, &code, 0);
			tensor[i].data[k] = !any && (!isfinite(x) || fabs(x) > 1e4) ? 0.5 : x;
		}
	}
	return tensor;
}

static bool compiled(struct stages *s, const struct schedule *schedule)
{
	bool good = true, rounds = false;
	for (int i = 0; i < schedule->nstreams; i++)
		for (int k = 0; k < schedule->stream[i].ncontracts; k++)
			rounds |= schedule->stream[i].contract[k].operand != OPERAND_COMPUTE;
	double bound = rounds ? 3e-2 : 2e-5; /* an operand of bf16 is 2^-9 of it off, and sums cancel */
	if (clang_here && isa_runs_on(schedule->isa, best))
		good = stages_target(s, schedule, &target_clang, bound);
	if (good && tcc_here && schedule->isa == ISA_SCALAR)
		good = stages_target(s, schedule, &target_tcc, bound);
	return good;
}

/* The default, operands packed, operands where they stand, the naive form; then at random. */
static struct schedule form(struct stages *s, enum isa isa, int i)
{
	struct schedule schedule = i == 3 ? schedule_naive(s->problem, isa) : schedule_default(s->problem, isa);
	const struct stream_plan *plan = problem_plan(s->problem, schedule.form);
	for (int k = 0; (i == 1 || i == 2) && k < schedule.nstreams; k++) {
		for (int j = 0; j < schedule.stream[k].ncontracts; j++) {
			struct contract_schedule *block = &schedule.stream[k].contract[j];
			block->pack = i == 1 && plan[k].contract[j].packable;
			if (!block->pack && block->operand != OPERAND_COMPUTE)
				block->twine = false; /* elements put in groups as they are read meet nothing made beforehand */
		}
		schedule_settle_steps(s->problem, &schedule, k, &schedule.stream[k]);
	}
	return i > 3 ? stages_random(s, isa) : schedule;
}

static bool through(struct stages *s, int turn)
{
	for (enum isa isa = 0; isa < HOST_ISAS; isa++)
		for (int i = 0; i < FORMS_TRIED; i++) {
			if (!all && i != (turn + (int)isa) % FORMS_TRIED)
				continue;
			struct schedule schedule = form(s, isa, i);
			if (!stages_legal(s, &schedule) || !compiled(s, &schedule))
				return stages_tell(s, &schedule);
		}
	return true;
}

static void try_one(int program, enum dtype t, const struct shape *shape, int turn)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		struct text errors;
		struct stages s = {0};
		text_init(&errors, &a);
		struct cascade *c = cascade_of(&a, programs[program].text, t, shape, &errors);
		bool good = c &&
		            stages_begin_with(&s, &a, c, 1, codes(&a, c, t, programs[program].any)) && through(&s, turn);
		ok(good, "%s: %s, N %d M %d D %d %s%s", programs[program].name, dtype_info[t].spelling, (int)shape->n,
		   (int)shape->m, (int)shape->d, errors.s ? errors.s : "", s.fault.s ? s.fault.s : "");
	} else {
		ok(false, "%s: memory", programs[program].name);
	}
	arena_free(&a);
}

int main(void)
{
	struct arena a;
	struct machine here;
	arena_init(&a);
	machine_detect(&here);
	best = here.isa;
	clang_here = !target_clang.missing(&a);
	tcc_here = !target_tcc.missing(&a);
	arena_free(&a);
	all = getenv("LONG") != NULL;
	int turn = 0;
	for (int p = 0; p < (int)(sizeof programs / sizeof *programs); p++)
		for (int t = 0; t < TYPES; t++)
			for (size_t k = (size_t)(p + t) % 3; k < sizeof shapes / sizeof *shapes; k += 3)
				try_one(p, types[t], &shapes[k], turn++);
	return tap_done();
}
