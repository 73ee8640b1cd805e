/* derive_members_test.c: reductions over sets as walks over lists, and rows gathered by what they chose: what is made
 * is a plain cascade, which the oracle holds to the original, over random sets: none, some, all; blocks that end
 * short; rows without a member. */
#include <stdlib.h>

#include "tests/stages_c.h"
#include "tests/tap.h"

struct shape {
	int64_t n, m, d, h;
};

static const struct shape shapes[] = {
        {7, 21, 4, 2}, {1, 33, 3, 4}, {12, 12, 5, 1}, {9, 4, 2, 2}, {3, 1, 1, 1}, {5, 0, 3, 2}, {2, 40, 3, 2},
};

#define ATTENTION "S[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] where "
#define SOFTMAX "\nP, L[b,h,n] = softmax[m](S), logsumexp[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h,m,e]\n"
#define RANKS "kernel test\nrank B, H, N, M, D, E\n"
#define QKV "in Q[B, H, N, D] : f32\nin K[B, H, M, D] : f32\nin V[B, H, M, E] : f32\nout O[B, H, N, E] : f32\n" \
	    "out L[B, H, N] : f32\n"

static const struct {
	const char *name, *text;
	bool members, rows;
} cases[] = {
        {"blocks given as data", RANKS "rank T\n" QKV "in J[B, H, N, T] : bool\n" ATTENTION
                                 "J[b,h,n,m/5] and m <= n + (M - N)" SOFTMAX, true, true},
        {"single keys given as data", RANKS QKV "in J[B, N, M] : bool\n" ATTENTION "J[b,n,m]" SOFTMAX, true, true},
        {"keys that are kept", RANKS QKV "in J[B, M] : bool\n" ATTENTION "not J[b,m] and m <= n" SOFTMAX, true, false},
        {"rows that are on", RANKS QKV "in J[B, H, N] : bool\n" ATTENTION "J[b,h,n] and m >= n" SOFTMAX, false, true},
        {"a group's pages", RANKS "rank T\n" QKV "in J[B, H, T] : bool\n" ATTENTION "J[b,h,m/5]" SOFTMAX, true, false},
        {"the own block beside those chosen",
         RANKS "rank T\n" QKV "in J[B, H, N, T] : bool\n" ATTENTION "(J[b,h,n,m/5] or m/5 == n/5) and m <= n" SOFTMAX,
         true, true},
        {"blocks that top-k chose", RANKS QKV "rank T\n"
         "A[b,h,t,d] = mean[m](K[b,h,m,d]) where m / 5 == t\n"
         "G[b,h,n,t] = Q[b,h,n,d] * A[b,h,t,d] where t < n\n"
         "J[b,h,n,t] = topk[t,2](G)\n" ATTENTION "J[b,h,n,m/5] and m != 3" SOFTMAX, true, true},
        {"moments and an entropy", RANKS "rank T\nin X[N, M] : f32\nin J[N, T] : bool\nout U[N] : f32\nout R[N] : f32\n"
         "out Y[N] : f32\nout A[N] : bool\nS[n,m] = X[n,m] where J[n,m/5]\nP = softmax[m](S)\n"
         "U[n] = -sum[m](P[n,m] * log(P[n,m]))\nW[n] = sum[m](S)\nR[n] = sum[m](pow(S[n,m] - W[n], 2))\n"
         "Y[n] = min[m](S[n,m] * 2 + m)\nA[n] = any[m](S > 1)\n", true, false},
        {"biases of coordinates and blocks", RANKS "rank T\nin X[M, E] : f32\nin Y[N, E] : f32\nin J[N, T] : bool\n"
         "in W[T] : f32\nout Z[N] : f32\nS[n,m] = sum[e](X[m,e] * Y[n,e]) - 0.1 * (n - m) + W[m/5] where J[n,m/5]\n"
         "Z[n] = logsumexp[m](S)\n", true, true},
};

static struct cascade *bound(struct arena *a, const char *source, const struct shape *s, struct text *errors)
{
	struct diags d;
	diags_init(&d, a, "test", source, strlen(source));
	struct cascade *c = cascade_parse(a, source, strlen(source), NULL, 0, &d);
	diags_print(&d, errors);
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND) {
			char r = *c->rank.v[i].name;
			c->rank.v[i].extent = r == 'B'   ? 2
			                      : r == 'H' ? s->h
			                      : r == 'N' ? s->n
			                      : r == 'M' ? s->m
			                      : r == 'T' ? (s->m + 4) / 5
			                                 : s->d;
		}
	return c;
}

/* Bools false, true, or either. */
static void fill(struct stages *s, int sets)
{
	for (uint32_t t = 0; t < s->cascade->tensor.n; t++) {
		if (s->cascade->tensor.v[t].role != ROLE_IN)
			continue;
		stages_fill(s, t);
		for (int64_t i = 0; s->cascade->tensor.v[t].dtype == DTYPE_BOOL && i < s->tensor[t].count; i++)
			s->tensor[t].data[i] = sets < 2 ? sets : stages_below(&s->random, 10) < 3 * (uint32_t)sets - 3;
	}
}

static bool same(struct stages *s, const char *form, const struct streams *streams, bool wanted)
{
	if (!streams != !wanted)
		return stages_fault(s, "%s: %s", form, wanted ? "none" : "one that is not possible");
	return !streams || stages_derived(s, form, streams);
}

static bool through(int k, const struct shape *shape, int sets, struct text *fault)
{
	struct arena a;
	arena_init(&a);
	struct stages s = {.arena = &a, .random = (uint64_t)(sets * 100 + k)};
	struct diags d;
	struct text errors;
	text_init(&errors, &a);
	text_init(&s.fault, &a);
	diags_init(&d, &a, "oracle", "", 0);
	s.cascade = bound(&a, cases[k].text, shape, &errors);
	bool good = s.cascade || stages_fault(&s, "%s", errors.s);
	if (good) {
		s.tensor = arena_new_array(&a, s.cascade->tensor.n, struct oracle_tensor);
		fill(&s, sets);
		const struct streams *streams = streams_derive(&a, s.cascade, NULL);
		good = oracle_run(&a, s.cascade, s.tensor, STAGES_LIMIT, &d) && stages_derived(&s, "streams", streams) &&
		       same(&s, "members", streams_members(&a, streams), cases[k].members) &&
		       same(&s, "rows", streams_rows(&a, streams), cases[k].rows);
	}
	if (!good)
		text_printf(fault, "N=%d M=%d sets %d: %s", (int)shape->n, (int)shape->m, sets,
		            s.fault.len ? s.fault.s : "the oracle failed");
	arena_free(&a);
	return good;
}

int main(void)
{
	const int ncases = (int)(sizeof cases / sizeof *cases), nshapes = (int)(sizeof shapes / sizeof *shapes);
	for (int k = 0; k < ncases; k++) {
		struct arena a;
		struct text fault;
		arena_init(&a);
		text_init(&fault, &a);
		bool good = true;
		for (int i = 0; i < nshapes && good; i++)
			for (int sets = 0; sets < 4 && good; sets++)
				good = through(k, &shapes[i], sets, &fault);
		ok(good, "%s%s%s", cases[k].name, good ? "" : ": ", good ? "" : fault.s);
		arena_free(&a);
	}
	return tap_done();
}
