/* nan_test.c: a NaN in an input reaches what is computed from it at every stage. One element of a real input of every
 * example is one; streams, interpreter and code compiled for an instruction set of this machine after the other have NaN
 * where the oracle has, and little more. Then the rule by which a maximum may pass over NaN (stream_nan.c), on small
 * cascades. LONG=1 takes every input with every instruction set.
 *
 *     nan_test [NAME…]      only these examples
 */
#include <stdlib.h>
#include <string.h>

#include "tests/example_cases.h"
#include "tests/stages_c.h"
#include "tests/tap.h"

static bool all;
static const struct target *scalar_target, *vector_target;
static enum isa best;

static bool is_real_input(const struct cascade *c, uint32_t t)
{
	return c->tensor.v[t].role == ROLE_IN && !dtype_info[c->tensor.v[t].dtype].integer && c->tensor.v[t].dtype != DTYPE_BOOL;
}

/* Random reals where the example gives none, one of them NaN in tensor t. */
static void poison(struct stages *s, struct oracle_tensor *inputs, uint32_t t)
{
	if (!inputs[t].data) {
		struct stages own = {.arena = s->arena, .cascade = s->cascade, .tensor = inputs, .random = s->random};
		stages_fill(&own, t);
	}
	if (inputs[t].count)
		inputs[t].data[stages_below(&s->random, (uint32_t)inputs[t].count)] = NAN;
}

static bool try_schedule(struct stages *s, const struct schedule *schedule, double tolerance)
{
	const struct target *target = schedule->isa == ISA_SCALAR ? scalar_target : vector_target;
	return stages_schedule(s, schedule) && (!target || stages_target(s, schedule, target, tolerance));
}

static void try_input(struct arena *a, const struct example *e, uint32_t t, enum isa isa)
{
	const struct example_case *k = &e->cases.v[0];
	struct text why;
	struct stages s = {.arena = a, .random = t + 1};
	struct param *param = arena_new_array(a, EXAMPLE_BINDINGS, struct param);
	text_init(&why, a);
	int nparams = example_params(e, k, param);
	s.cascade = example_cascade(a, e, k, param, nparams, &why);
	struct oracle_tensor *inputs = s.cascade ? example_inputs(a, e, k, s.cascade, param, nparams, &why) : NULL;
	if (!inputs) {
		ok(false, "%s: %s", e->name, why.s);
		return;
	}
	poison(&s, inputs, t);
	bool good = stages_begin_with(&s, a, s.cascade, t + 1, inputs);
	s.spreads = true;
	if (good) {
		int kind = all ? (int)(t + isa) % 3 : 0;
		struct schedule schedule = kind == 0   ? schedule_default(s.problem, isa)
		                           : kind == 1 ? schedule_naive(s.problem, isa)
		                                       : stages_random(&s, isa);
		good = try_schedule(&s, &schedule, e->tolerance);
		if (!good)
			schedule_print(s.problem, &schedule, &s.fault);
	}
	ok(good, "%s, NaN in %s, %s: %s", e->name, s.cascade->tensor.v[t].name, isa_info[isa].name, s.fault.s);
}

static int reals(struct arena *a, const struct example *e, uint32_t *real)
{
	struct text why;
	struct param param[EXAMPLE_BINDINGS];
	text_init(&why, a);
	const struct cascade *c = example_cascade(a, e, &e->cases.v[0], param, example_params(e, &e->cases.v[0], param), &why);
	int n = 0;
	for (uint32_t t = 0; c && t < c->tensor.n && n < STAGES_TENSORS; t++)
		if (is_real_input(c, t))
			real[n++] = t;
	return n;
}

static void try_example(const char *name, int number)
{
	struct arena a;
	jmp_buf env;
	struct example e;
	struct text why;
	arena_init(&a);
	a.limit = (size_t)2 << 30;
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "%s: out of memory", name);
		arena_free(&a);
		return;
	}
	uint32_t real[STAGES_TENSORS];
	text_init(&why, &a);
	if (!example_read(&a, name, &e, &why)) {
		ok(false, "%s: %s", name, why.s);
		arena_free(&a);
		return;
	}
	int n = reals(&a, &e, real);
	for (int i = 0; i < n; i++)
		for (enum isa isa = ISA_SCALAR; isa <= best; isa++)
			if (all || (i == number % n && (int)isa == number / 2 % ((int)best + 1)))
				try_input(&a, &e, real[i], isa);
	arena_free(&a);
}

/* ---- which maxima may pass over NaN ---- */

#define HEAD "kernel k\nrank N, M, D\nin Q[N, D] : f32\nin K[M, D] : f32\nin A[N, M] : f32\n"
#define SCORES "S[n,m] = Q[n,d] * K[m,d]\n"

/* So many of a derived cascade's maxima and minima may, so many may not; and code agrees with the oracle on a NaN. */
static const struct rule {
	const char *name;
	int may, may_not;
	const char *source;
} rule[] = {
	{"softmax and its log-sum-exp", 1, 0,
	 HEAD "out O[N, D] : f32\nout L[N] : f32\n" SCORES "O[n,d] = softmax[m](S) * K[m,d]\nL[n] = logsumexp[m](S)\n"},
	{"a causal softmax", 1, 0,
	 HEAD "out O[N, D] : f32\nS[n,m] = Q[n,d] * K[m,d] where m <= n\nO[n,d] = softmax[m](S) * K[m,d]\n"},
	{"a maximum that comes out", 0, 1, HEAD "out O[N] : f32\n" SCORES "O[n] = max[m](S[n,m])\n"},
	{"… of columns", 0, 1, HEAD "out O[M] : f32\nO[m] = max[n](A[n,m])\n"},
	{"… beside its exponentials' sum", 0, 1,
	 HEAD "out O[N] : f32\nout P[N] : f32\n" SCORES "O[n] = max[m](S[n,m])\nP[n] = sum[m](exp(S[n,m] - O[n]))\n"},
	{"… with a number added that is NaN with it", 1, 0,
	 HEAD "out P[N] : f32\n" SCORES "O[n] = max[m](S[n,m])\nP[n] = O[n] / 2 + log(sum[m](exp(S[n,m] - O[n])))\n"},
	{"… with one that is NaN at another row", 0, 1,
	 HEAD "out P[N] : f32\n" SCORES "O[n] = max[m](S[n,m])\nZ[n] = sum[m](exp(S[n,m] - O[n]))\n"
	 "P[n] = O[n] + Z[N - 1 - n]\n"},
	{"probabilities", 1, 0, HEAD "out P[N, M] : f32\n" SCORES "P[n,m] = softmax[m](S)\n"},
	{"exponentials that nothing divides", 0, 1,
	 HEAD "out P[N, M] : f32\n" SCORES "O[n] = max[m](S[n,m])\nP[n,m] = exp(S[n,m] - O[n])\n"},
	{"how many reach half of it", 0, 1,
	 HEAD "out P[N] : f32\n" SCORES "O[n] = max[m](S[n,m])\nP[n] = sum[m](select(S[n,m] * 2 < O[n], 0, 1))\n"},
	{"a maximum and a minimum, each enough for the other", 0, 2,
	 HEAD "out P[N] : f32\nP[n] = max[m](A[n,m]) - min[m](A[n,m])\n"},
	{"a sum over fewer", 0, 1,
	 HEAD "out P[N] : f32\nO[n] = max[m](A[n,m])\nZ[n] = sum[m](exp(A[n,m] - O[n])) where m < n\nP[n] = O[n] + log(Z[n] + 1)\n"},
	{"a power mean of exponentials below a minimum", 1, 0,
	 HEAD "out P[N] : f32\n" SCORES "O[n] = min[m](S[n,m])\nZ[n] = sum[m](sqrt(exp(O[n] - S[n,m])))\nP[n] = O[n] - 2 * log(Z[n])\n"},
	{"the place of the largest", 0, 0, HEAD "out P[N] : f32\nP[n] = argmax[m](A[n,m]) + 0.5\n"},
	{"a clamp", 0, 0, HEAD "out P[N, M] : f32\nP[n,m] = clamp(A[n,m], -1, 1)\n"},
};

static void count(struct arena *a, const struct streams *s, int *may, int *may_not)
{
	const bool *passes = streams_pass_nan(a, s);
	for (uint32_t i = 0; i < s->cascade->equation.n; i++) {
		const struct equation *q = &s->cascade->equation.v[i];
		*may += passes[i];
		*may_not += (q->reduce == REDUCE_MAX || q->reduce == REDUCE_MIN) && !passes[i];
	}
}

static void try_rule(struct arena *a, const struct rule *r)
{
	struct diags d;
	struct stages s = {.arena = a, .random = 7};
	static const struct param extent[] = {{"N", 37}, {"M", 90}, {"D", 16}};
	diags_init(&d, a, r->name, r->source, strlen(r->source));
	s.cascade = cascade_parse(a, r->source, strlen(r->source), NULL, 0, &d);
	bool good = s.cascade;
	for (size_t i = 0; good && i < sizeof extent / sizeof *extent; i++)
		s.cascade->rank.v[cascade_find_rank(s.cascade, extent[i].name)].extent = (int64_t)extent[i].value;
	if (!ok(good, "%s: %s", r->name, good ? "" : d.list.v[0].message))
		return;
	struct oracle_tensor *inputs = arena_new_array(a, s.cascade->tensor.n, struct oracle_tensor);
	for (uint32_t t = 0; t < s.cascade->tensor.n; t++)
		if (s.cascade->tensor.v[t].role == ROLE_IN && !strchr("Q", *s.cascade->tensor.v[t].name))
			poison(&s, inputs, t);
	good = stages_begin_with(&s, a, s.cascade, 7, inputs);
	s.spreads = true;
	int may = 0, may_not = 0;
	if (good)
		count(a, s.problem->fused, &may, &may_not);
	ok(good && may == r->may && may_not == r->may_not, "%s: %d may pass over NaN, %d may not %s", r->name, may, may_not,
	   s.fault.s);
	for (enum isa isa = ISA_SCALAR; good && isa <= best; isa++)
		for (int i = 0; i < 4; i++) {
			struct schedule schedule = i == 0 ? schedule_default(s.problem, isa)
			                           : i == 1 ? schedule_naive(s.problem, isa) : stages_random(&s, isa);
			good = try_schedule(&s, &schedule, 2e-5);
			if (!ok(good, "%s, %s: %s", r->name, isa_info[isa].name, s.fault.s))
				break;
		}
}

static void try_rules(void)
{
	for (size_t i = 0; i < sizeof rule / sizeof *rule; i++) {
		struct arena a;
		jmp_buf env;
		arena_init(&a);
		if (ARENA_TRY(&a, &env))
			try_rule(&a, &rule[i]);
		else
			ok(false, "%s: out of memory", rule[i].name);
		arena_free(&a);
	}
}

int main(int argc, char **argv)
{
	struct arena a;
	struct machine machine;
	arena_init(&a);
	machine_detect(&machine);
	all = getenv("LONG") != NULL;
	vector_target = target_clang.missing(&a) ? NULL : &target_clang;
	scalar_target = target_tcc.missing(&a) ? vector_target : &target_tcc;
	best = machine.isa;
	if (!vector_target)
		tap_skip("vectors need Clang");
	for (int i = 1; i < argc; i++)
		try_example(argv[i], i);
	if (argc == 1) {
		try_rules();
		example_each(try_example);
	}
	arena_free(&a);
	return tap_done();
}
