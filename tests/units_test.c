/* units_test.c: which exponentials of a tile program become powers of two, and that it means the same. */
#include <stdio.h>

#include "dsl/parse.h"
#include "tests/stages_c.h"
#include "tests/tap.h"

#define ROWS "kernel test\nrank N = 37, M = 50, D = 12\nin Q[N, D] : f32\nin K[M, D] : f32\n"
#define SCORES "S[n,m] = Q[n,d] * K[m,d] * 0.3\n"
#define LOG2_E "1.442695"

static const struct {
	const char *name, *text;
	const char *has[4], *lacks[2]; /* the program's text; statements are looked for from the first phase on */
} cases[] = {
        {"a softmax of scores", ROWS "out P[N] : f32\n" SCORES
                                "X[n] = max[m](S)\nP[n] = sum[m](exp(S - X) * S[n,m])\n",
         {"exp2(s - x", "* 0.693147"}, {"exp("}},
        {"its logarithm", ROWS "out L[N] : f32\n" SCORES "X[n] = max[m](S)\nZ[n] = sum[m](exp(S - X))\nL[n] = X + log(Z)\n",
         {"load Q[n,d] * 0.4328085", "exp2(", "* 0.6931471805599453 + log("}, {"exp("}},
        {"a bias, read and computed", ROWS "in T[N, M] : f32\nin A[N] : f32\nout P[N] : f32\n" SCORES
         "U[n,m] = S + T[n,m] - A[n] * (n - m) where m <= n\nP[n] = logsumexp[m](U)\n",
         {"load T[n,m] * " LOG2_E, "load A[n] * " LOG2_E, "exp2("}, {"exp("}},
        {"a soft cap", ROWS "out P[N] : f32\n" SCORES "U[n,m] = 5 * tanh(S / 5)\nP[n] = logsumexp[m](U)\n",
         {"* 7.213475", "exp2("}, {"exp("}},
        {"scores that are read are not rounded again",
         "kernel test\nrank N = 37, M = 50\nin S[N, M] : f32\nout P[N] : f32\nP[n] = logsumexp[m](S)\n", {"exp("}, {"exp2("}},
        {"… and what meets them there stays", ROWS "in T[N, M] : f32\nout P[N] : f32\nout R[N] : f32\n" SCORES
         "X[n] = max[m](T)\nP[n] = sum[m](exp(T - X))\nR[n] = sum[m](exp(S - X))\n", {"exp("}, {"exp2(", LOG2_E}},
        {"an operand of two contractions", ROWS "in J[M, D] : f32\nout P[N] : f32\nout R[N] : f32\n" SCORES
         "U[n,m] = sum[d](Q[n,d] * J[m,d])\nP[n] = logsumexp[m](S)\nR[n] = sum[m](U * U)\n", {"exp2("}, {"exp("}},
        {"a condition on scores", ROWS "out P[N] : f32\n" SCORES "U[n,m] = S where S < 1.5\nP[n] = logsumexp[m](U)\n",
         {"exp2("}, {"exp("}},
#define WIDE(m) "kernel test\nrank N = 37, M = " #m ", D = 12\nin Q[N, D] : f32\nin K[M, D] : f32\nout L[N] : f32\nout I[N] : f32\n"
        {"a maximum and a minimum of whole vectors", WIDE(192) SCORES "L[n] = logsumexp[m](S)\nI[n] = min[m](S)\n", {"exp2("}, {"exp("}},
        {"… of a last block of fewer", WIDE(176) SCORES "L[n] = logsumexp[m](S)\n" "I[n] = min[m](S)\n", {"exp2("}, {"exp("}},
        {"… and of part of a vector", WIDE(170) SCORES "L[n] = logsumexp[m](S)\n" "I[n] = min[m](S)\n", {"exp2("}, {"exp("}},
        {"a walk in parts", "kernel test\nrank N = 1, M = 40000, D = 8\nin Q[N, D] : f32\nin K[M, D] : f32\nout L[N] : f32\n" SCORES
         "L[n] = logsumexp[m](S)\n", {"exp2("}, {"exp("}},
};

static bool mentions(const char *text, const char *part)
{
	for (; text; text = strstr(text + 1, part))
		if (!strncmp(text, part, strlen(part)))
			return true;
	return false;
}

static void try_case(int i)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	a.limit = (size_t)2 << 30;
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "%s: memory", cases[i].name);
		arena_free(&a);
		return;
	}
	struct diags d;
	struct stages s = {0};
	struct text t;
	const char *source = cases[i].text, *fault = "";
	diags_init(&d, &a, cases[i].name, source, strlen(source));
	struct cascade *c = cascade_parse(&a, source, strlen(source), NULL, 0, &d);
	text_init(&t, &a);
	diags_print(&d, &t);
	bool good = c && stages_begin(&s, &a, c, 7);
	for (enum isa isa = ISA_SCALAR; good && isa < HOST_ISAS; isa++) {
		struct schedule schedule = schedule_default(s.problem, isa);
		good = stages_schedule(&s, &schedule);
		struct text program;
		text_init(&program, &a);
		tile_print(s.program, &program);
		const char *phases = strstr(program.s, "\nphase ");
		for (int k = 0; good && k < 4 && cases[i].has[k]; k++)
			if (!mentions(phases, cases[i].has[k])) {
				good = false;
				fault = arena_printf(&a, "no '%s' in\n%s", cases[i].has[k], program.s);
			}
		for (int k = 0; good && k < 2 && cases[i].lacks[k]; k++)
			if (mentions(phases, cases[i].lacks[k])) {
				good = false;
				fault = arena_printf(&a, "'%s' in\n%s", cases[i].lacks[k], program.s);
			}
		for (int k = 0; good && k < 3; k++) {
			schedule = k ? stages_random(&s, isa) : schedule_naive(s.problem, isa);
			good = stages_schedule(&s, &schedule);
		}
		const struct target *target = target_find(isa == ISA_SCALAR ? "tcc" : "clang");
		struct machine here;
		machine_detect(&here);
		schedule = schedule_default(s.problem, isa);
		if (good && target && !target->missing(&a) && isa_runs_on(isa, here.isa))
			good = stages_target(&s, &schedule, target, 2e-5);
	}
	ok(good, "%s%s%s%s", cases[i].name, t.s ? t.s : "", s.fault.s ? s.fault.s : "", fault);
	arena_free(&a);
}

int main(void)
{
	for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++)
		try_case(i);
	return tap_done();
}
