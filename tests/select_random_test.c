/* Random cascades with selections, sets of sets and lists: the derived streams and the naive ones mean what the cascade
 * does, and so do tile programs of random schedules, by the interpreter and compiled. All arithmetic is exact, so that
 * ties are ties at every stage. The seed and the text of a failure are printed.
 *
 *     select_random_test [FIRST [COUNT]]
 */
#include <stdlib.h>

#include "tests/stages_c.h"
#include "tests/tap.h"

enum { CASCADES = 200, SCHEDULES = 2, COMPILED = 6 /* one in so many */, STEPS = 5 };

struct maker {
	struct arena *arena;
	struct text text;
	uint64_t state;
	int scores, sets, lists; /* G1[n,c] …, J1[n,c] …, L1[n,s] … */
};

static uint32_t below(struct maker *k, uint32_t n)
{
	return stages_below(&k->state, n);
}

static const char *pick(struct maker *k, const char *letter, int n, const char *coordinates)
{
	return arena_printf(k->arena, "%s%u[%s]", letter, 1 + below(k, (uint32_t)n), coordinates);
}

/* A condition over n and c. */
static const char *condition(struct maker *k)
{
	static const char *const plain[] = {"4 * c <= n", "c != n % 4", "A[n] > c", "(n + c) % 3 != 1", "Z[n,c]", "c == n / 4"};
	const char *a = plain[below(k, 6)], *b = plain[below(k, 6)];
	if (k->sets && below(k, 2))
		a = pick(k, "J", k->sets, "n,c");
	switch (below(k, 5)) {
	case 0: return arena_printf(k->arena, "(%s or %s)", a, b);
	case 1: return arena_printf(k->arena, "not (%s)", a);
	case 2: return arena_printf(k->arena, "%s and %s", a, b);
	default: return a;
	}
}

static const char *where(struct maker *k)
{
	return below(k, 2) ? "" : arena_printf(k->arena, " where %s", condition(k));
}

static const char *score(struct maker *k)
{
	switch (below(k, 9)) {
	case 0: return "X[n,c]";
	case 1: return "-X[n,c]";
	case 7: return "i4(3 * X[n,c]) * i4(-2 * X[n,c])";
	case 8: return "f8e4m3(X[n,c]) + f8e5m2(5 * X[n,c])";
	case 2: return "i8(100 * X[n,c])";
	case 3: return "round(X[n,c]) * (n - c)";
	case 4: return "sum[d](Q[n,d] * P[c,d])";
	default: return k->scores ? pick(k, "G", k->scores, "n,c") : "X[n,c]";
	}
}

static void add_step(struct maker *k)
{
	const char *m_condition = k->sets ? pick(k, "J", k->sets, "n,m/4") : "m % 3 != n % 2";
	switch (below(k, 7)) {
	case 0:
		text_printf(&k->text, "G%d[n,c] = %s + %s%s\n", k->scores + 1, score(k), score(k), where(k));
		k->scores++;
		break;
	case 1:
		text_printf(&k->text, "G%d[n,c] = sum[m](abs(F[n,m])) where m/4 == c and %s\n", k->scores + 1,
		            m_condition);
		k->scores++;
		break;
	case 2:
	case 3:
		text_printf(&k->text, "J%d[n,c] = topk[c, %u](%s)%s\n", k->sets + 1, below(k, 5), score(k), where(k));
		k->sets++;
		break;
	case 4:
		text_printf(&k->text, "J%d[n,c] = nucleus[c, 0.%u](abs(%s))%s\n", k->sets + 1, 1 + below(k, 9), score(k),
		            where(k));
		k->sets++;
		break;
	case 5:
		text_printf(&k->text, "L%d[n,s] = members[c](%s)%s\n", k->lists + 1, condition(k), where(k));
		k->lists++;
		break;
	case 6:
		text_printf(&k->text, "R%d[n,c] = argsort[c](%s)%s\nG%d[n,c] = R%d[n,c] + X[n,c]\n", k->scores + 1,
		            score(k), where(k), k->scores + 1, k->scores + 1);
		k->scores++;
		break;
	}
}

static const char *make(struct maker *k)
{
	static const char *const sizes[] = {"N = 9, M = 22, C = 6", "N = 1, M = 40, C = 10", "N = 17, M = 3, C = 1",
	                                    "N = 5, M = 64, C = 16", "N = 4, M = 0, C = 0", "N = 33, M = 35, C = 40"};
	text_printf(&k->text, "kernel random\nrank %s, D = 3, E = 5, S = %u\n", sizes[below(k, 6)], 1 + below(k, 6));
	static const char *const types[] = {"f64", "f64", "f32", "bf16", "f16", "i8", "i32", "f8e4m3"};
	text_printf(&k->text, "in X[N,C] : %s\n", types[below(k, 8)]);
	text_add(&k->text, "in Q[N,D], K[M,D], V[M,E] : f64\nin A[N] : i32\nin Z[N,C] : bool\n"
	                   "out O[N,E], W[N,C], Y[N] : f64\n"
	                   "P[c,d] = max[m](K[m,d]) where m/4 == c and m != 5\nF[n,m] = Q[n,d] * K[m,d]\n");
	int steps = 2 + (int)below(k, STEPS);
	for (int i = 0; i < steps || !k->sets; i++)
		add_step(k);
	text_printf(&k->text, "T[n,m] = F[n,m] where %s and m <= 2 * n\n", pick(k, "J", k->sets, "n,m/4"));
	text_printf(&k->text, below(k, 2) ? "O[n,e] = softmax[m](T[n,m]) * V[m,e]\n" : "O[n,e] = T[n,m] * V[m,e]\n");
	text_printf(&k->text, "W[n,c] = select(%s, 1, 0) + %s\n", pick(k, "J", k->sets, "n,c"), score(k));
	if (k->lists)
		text_printf(&k->text, "Y[n] = sum[s](Q[n,0] * K[4 * %s + s, 1])\n", pick(k, "L", k->lists, "n,s"));
	else
		text_add(&k->text, "Y[n] = max[m](T[n,m])\n");
	return k->text.s;
}

static const char *fault(struct arena *a, const char *source, unsigned seed, bool compiled)
{
	struct diags d;
	struct stages s;
	diags_init(&d, a, "random", source, strlen(source));
	struct cascade *c = cascade_parse(a, source, strlen(source), NULL, 0, &d);
	if (!c)
		return arena_printf(a, "line %u: %s", d.list.v[0].line, d.list.v[0].message);
	if (!stages_begin(&s, a, c, seed))
		return s.fault.s;
	for (int i = 0; i < SCHEDULES; i++) {
		struct schedule schedule = stages_random(&s, compiled ? ISA_SCALAR : ISA_AVX512);
		if (!stages_schedule(&s, &schedule) ||
		    (compiled && target_find("tcc") && !stages_target(&s, &schedule, target_find("tcc"), 1e-9))) {
			struct text t;
			text_init(&t, a);
			schedule_print(s.problem, &schedule, &t);
			return arena_printf(a, "%s\n%s", s.fault.s, t.s);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned first = argc > 1 ? (unsigned)atoi(argv[1]) : 1, count = argc > 2 ? (unsigned)atoi(argv[2]) : CASCADES;
	int failed = 0;
	for (unsigned seed = first; seed < first + count; seed++) {
		struct arena a;
		arena_init(&a);
		struct maker k = {.arena = &a, .state = seed * 0x9e3779b97f4a7c15u};
		text_init(&k.text, &a);
		const char *source = make(&k), *bad = fault(&a, source, seed, seed % COMPILED == 0);
		if (bad) {
			failed++;
			printf("# seed %u\n%s\n%s\n", seed, source, bad);
		}
		arena_free(&a);
	}
	ok(!failed, "%u random cascades with selections mean what they meant", count);
	return tap_done();
}
