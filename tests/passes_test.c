/* The pass table of theory §1, row by row. Cascades are built by hand: some are recurrences, which the
 * language does not have yet. */
#include "codegen/stream.h"
#include "tests/cascade_build.h"
#include "tests/tap.h"

struct row {
	const char *tensor, *index;
	enum reduction reduce;
	const char *reduced, *body;
};
enum { ROWS = 12 };
struct table_row {
	const char *name;
	const char *inputs; /* "Q:ND K:MD" */
	char rank;
	const char *dense;
	int passes;
	struct row row[ROWS];
};

#define SCORES                                                                                               \
	{                                                                                                    \
		"S", "nm", REDUCE_SUM, "d", "Q[n,d] * K[m,d]"                                                \
	}
#define QKV "Q:ND K:MD V:ME"
#define RUNNING                                                                                              \
	SCORES, {"A", "nm", REDUCE_NONE, "", "max(A[n,m-1], S[n,m])"},                                       \
	{                                                                                                    \
		"Z", "nm", REDUCE_NONE, "", "Z[n,m-1] * exp(A[n,m-1] - A[n,m]) + exp(S[n,m] - A[n,m])"       \
	}
#define BACKWARD                                                                                             \
	SCORES, {"P", "nm", REDUCE_NONE, "", "exp(S[n,m] - L[n])"},                                          \
	{                                                                                                    \
		"R", "nm", REDUCE_SUM, "e", "G[n,e] * V[m,e]"                                                \
	}
#define TWO_LEVEL                                                                                            \
	{"S", "nti", REDUCE_SUM, "d", "Q[n,d] * K[t,i,d]"}, {"A", "nt", REDUCE_MAX, "i", "S[n,t,i]"},        \
	        {"G", "n", REDUCE_MAX, "t", "A[n,t]"},                                                       \
	        {"X", "nti", REDUCE_NONE, "", "exp(S[n,t,i] - A[n,t])"},                                     \
	        {"B", "nt", REDUCE_SUM, "i", "X[n,t,i]"},                                                    \
	        {"R", "nt", REDUCE_NONE, "", "exp(A[n,t] - G[n])"},                                          \
	        {"Z", "n", REDUCE_SUM, "t", "B[n,t] * R[n,t]"},                                              \
	        {"P", "nti", REDUCE_NONE, "", "X[n,t,i] * R[n,t] / Z[n]"},                                   \
	{                                                                                                    \
		"O", "ne", REDUCE_SUM, "ti", "P[n,t,i] * V[t,i,e]"                                           \
	}

static const struct table_row table[] = {
        {"softmax attention as written",
         QKV,
         'M',
         "",
         3,
         {SCORES,
          {"A", "n", REDUCE_MAX, "m", "S[n,m]"},
          {"X", "nm", REDUCE_NONE, "", "exp(S[n,m] - A[n])"},
          {"Z", "n", REDUCE_SUM, "m", "X[n,m]"},
          {"P", "nm", REDUCE_NONE, "", "X[n,m] / Z[n]"},
          {"O", "ne", REDUCE_SUM, "m", "P[n,m] * V[m,e]"}}},
        {"with the division deferred",
         QKV,
         'M',
         "",
         2,
         {SCORES,
          {"A", "n", REDUCE_MAX, "m", "S[n,m]"},
          {"X", "nm", REDUCE_NONE, "", "exp(S[n,m] - A[n])"},
          {"Z", "n", REDUCE_SUM, "m", "X[n,m]"},
          {"Y", "ne", REDUCE_SUM, "m", "X[n,m] * V[m,e]"},
          {"O", "ne", REDUCE_NONE, "", "Y[n,e] / Z[n]"}}},
        {"no max subtraction, division deferred",
         QKV,
         'M',
         "",
         1,
         {SCORES,
          {"X", "nm", REDUCE_NONE, "", "exp(S[n,m])"},
          {"Z", "n", REDUCE_SUM, "m", "X[n,m]"},
          {"Y", "ne", REDUCE_SUM, "m", "X[n,m] * V[m,e]"},
          {"O", "ne", REDUCE_NONE, "", "Y[n,e] / Z[n]"}}},
        {"running max with correction",
         QKV,
         'M',
         "",
         1,
         {RUNNING,
          {"Y", "nme", REDUCE_NONE, "",
           "Y[n,m-1,e] * exp(A[n,m-1] - A[n,m]) + exp(S[n,m] - A[n,m]) * V[m,e]"},
          {"O", "ne", REDUCE_NONE, "", "Y[n,M-1,e] / Z[n,M-1]"}}},
        {"two-level", "Q:ND K:TID V:TIE", 'T', "I", 2, {TWO_LEVEL}},
        {"two-level, tile statistics", "Q:ND K:TID V:TIE", 'T', "", 3, {TWO_LEVEL}},
        {"layer norm as written",
         "X:ND",
         'D',
         "",
         3,
         {{"U", "n", REDUCE_MEAN, "d", "X[n,d]"},
          {"C", "nd", REDUCE_NONE, "", "X[n,d] - U[n]"},
          {"W", "n", REDUCE_MEAN, "d", "C[n,d] * C[n,d]"},
          {"Y", "nd", REDUCE_NONE, "", "C[n,d] * rsqrt(W[n])"}}},
        {"layer norm by moments",
         "X:ND",
         'D',
         "",
         2,
         {{"U", "n", REDUCE_MEAN, "d", "X[n,d]"},
          {"W", "n", REDUCE_MEAN, "d", "X[n,d] * X[n,d]"},
          {"Y", "nd", REDUCE_NONE, "", "(X[n,d] - U[n]) * rsqrt(W[n] - U[n] * U[n])"}}},
        {"rms norm then GEMM, as written",
         "X:ND B:DF",
         'D',
         "",
         2,
         {{"W", "n", REDUCE_MEAN, "d", "X[n,d] * X[n,d]"},
          {"T", "nd", REDUCE_NONE, "", "X[n,d] * rsqrt(W[n])"},
          {"Y", "nf", REDUCE_SUM, "d", "T[n,d] * B[d,f]"}}},
        {"rms norm then GEMM, deferred",
         "X:ND B:DF",
         'D',
         "",
         1,
         {{"W", "n", REDUCE_MEAN, "d", "X[n,d] * X[n,d]"},
          {"T", "nf", REDUCE_SUM, "d", "X[n,d] * B[d,f]"},
          {"Y", "nf", REDUCE_NONE, "", "T[n,f] * rsqrt(W[n])"}}},
        {"attention plus column sums, deferred",
         QKV,
         'M',
         "",
         3,
         {SCORES,
          {"A", "n", REDUCE_MAX, "m", "S[n,m]"},
          {"X", "nm", REDUCE_NONE, "", "exp(S[n,m] - A[n])"},
          {"Z", "n", REDUCE_SUM, "m", "X[n,m]"},
          {"Y", "ne", REDUCE_SUM, "m", "X[n,m] * V[m,e]"},
          {"O", "ne", REDUCE_NONE, "", "Y[n,e] / Z[n]"},
          {"P", "nm", REDUCE_NONE, "", "X[n,m] / Z[n]"},
          {"C", "m", REDUCE_SUM, "n", "P[n,m]"}}},
        {"attention plus column sums, from saved L",
         QKV,
         'M',
         "",
         2,
         {RUNNING,
          {"L", "n", REDUCE_NONE, "", "A[n,M-1] + log(Z[n,M-1])"},
          {"P", "nm", REDUCE_NONE, "", "exp(S[n,m] - L[n])"},
          {"C", "m", REDUCE_SUM, "n", "P[n,m]"}}},
        {"attention backward, D = sum of P dP",
         QKV " G:NE L:N",
         'M',
         "",
         2,
         {BACKWARD,
          {"D", "n", REDUCE_SUM, "m", "P[n,m] * R[n,m]"},
          {"B", "nm", REDUCE_NONE, "", "P[n,m] * (R[n,m] - D[n])"},
          {"H", "nd", REDUCE_SUM, "m", "B[n,m] * K[m,d]"}}},
        {"attention backward, D = sum of dO O",
         QKV " G:NE L:N O:NE",
         'M',
         "",
         1,
         {BACKWARD,
          {"D", "n", REDUCE_SUM, "e", "G[n,e] * O[n,e]"},
          {"B", "nm", REDUCE_NONE, "", "P[n,m] * (R[n,m] - D[n])"},
          {"H", "nd", REDUCE_SUM, "m", "B[n,m] * K[m,d]"}}},
        {"linear attention recurrence, over t",
         "Q:TD K:TD V:TE",
         'T',
         "",
         1,
         {{"S", "tde", REDUCE_NONE, "", "S[t-1,d,e] + K[t,d] * V[t,e]"},
          {"O", "te", REDUCE_SUM, "d", "Q[t,d] * S[t,d,e]"}}},
        {"a barrier inside a recurrence",
         "X:NM",
         'M',
         "",
         PASSES_ENDLESS,
         {{"A", "nm", REDUCE_NONE, "", "A[n,m-1] + X[n,m] * Z[n]"}, {"Z", "n", REDUCE_SUM, "m", "A[n,m]"}}},
        {"a look ahead",
         "X:NM",
         'M',
         "",
         2,
         {{"A", "nm", REDUCE_NONE, "", "exp(X[n,m])"}, {"B", "nm", REDUCE_NONE, "", "A[n,m+1] * X[n,m]"}}},
};

static void declare_inputs(struct build *b, const char *inputs)
{
	char name[8], ranks[8];
	int used;
	while (sscanf(inputs, " %7[^:]:%7s%n", name, ranks, &used) == 2) {
		build_tensor(b, ROLE_IN, name, ranks, DTYPE_F32);
		inputs += used;
	}
}

static void check(const struct table_row *t)
{
	struct arena a;
	struct build b;
	uint32_t dense[4];
	int n = 0;
	arena_init(&a);
	build_init(&b, &a);
	for (const char *r = "NMTIDEF"; *r; r++)
		build_rank(&b, (char[]){*r, 0}, NOT_BOUND);
	declare_inputs(&b, t->inputs);
	/* Declared first: a recurrence reads what is defined later, or itself. */
	for (const struct row *r = t->row; r->tensor; r++) {
		char ranks[8] = {0};
		for (int i = 0; r->index[i]; i++)
			ranks[i] = (char)toupper((unsigned char)r->index[i]);
		build_tensor(&b, ROLE_LOCAL, r->tensor, ranks, DTYPE_F32);
	}
	for (const struct row *r = t->row; r->tensor; r++)
		build_equation(&b, r->tensor, r->index, r->reduce, r->reduced, r->body, NULL);
	for (const char *r = t->dense; *r; r++)
		dense[n++] = cascade_find_rank(b.cascade, (char[]){*r, 0});
	int passes = passes_over(&a, b.cascade, cascade_find_rank(b.cascade, (char[]){t->rank, 0}), dense, n);
	ok(passes == t->passes, "%s: %d", t->name, passes);
	arena_free(&a);
}

static void check_table(void)
{
	struct arena a;
	struct build b;
	arena_init(&a);
	build_init(&b, &a);
	build_rank(&b, "N", NOT_BOUND);
	build_rank(&b, "M", NOT_BOUND);
	build_tensor(&b, ROLE_IN, "X", "NM", DTYPE_F32);
	build_equation(&b, "A", "n", REDUCE_MAX, "m", "X[n,m]", NULL);
	build_equation(&b, "B", "nm", REDUCE_NONE, "", "X[n,m] - A[n]", NULL);
	struct pass_table t = pass_table(&a, b.cascade);
	uint32_t m = cascade_find_rank(b.cascade, "M"), seen = 0;
	for (uint32_t i = 0; i < t.count.n; i++) {
		const struct pass_count *p = &t.count.v[i];
		const char *name = b.cascade->tensor.v[p->tensor].name;
		if (p->rank == m) {
			seen++;
			ok(p->passes == (*name == 'A' ? 1 : 2), "%s takes %d passes over M", name, p->passes);
		}
	}
	ok(seen == 2, "the table has both tensors under M");
	arena_free(&a);
}

int main(void)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		check(&table[i]);
	check_table();
	return tap_done();
}
