/* Selections: the definition on a fiber, then through the language and the oracle. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dsl/oracle.h"
#include "dsl/parse.h"
#include "dsl/select.h"
#include "tests/tap.h"

enum { LENGTH = 9 };

/* `want`: one character an element, a digit a coordinate or 1 for true, '-' for -1. */
static void fiber(enum selection select, double argument, int n, const double *x, const char *here,
                  const char *want, const char *what)
{
	double result[LENGTH];
	int64_t scratch[LENGTH];
	unsigned char present[LENGTH];
	char got[LENGTH + 1] = {0};
	int results = (int)strlen(want);
	for (int i = 0; here && i < n; i++)
		present[i] = here[i] == 'p';
	select_fiber(select, argument, n, x, here ? present : NULL, scratch, result, results);
	for (int i = 0; i < results; i++)
		got[i] = result[i] < 0 ? '-' : (char)('0' + (int)result[i]);
	if (!ok(!strcmp(got, want), "%s", what))
		printf("# got %s, want %s\n", got, want);
}

static void fibers(void)
{
	const double x[] = {1, 5, 3, 5, -INFINITY, 5, 0}, n[] = {1, NAN, 7, INFINITY, NAN};
	const double p[] = {1, 4, 2, 1}, zero[] = {0.0, -0.0, 0.0}, truth[] = {0, 1, 1, 0, 1};
	fiber(SELECT_TOPK, 2, 7, x, NULL, "0101000", "top 2: ties go to the lower coordinate");
	fiber(SELECT_TOPK, 4, 7, x, NULL, "0111010", "top 4");
	fiber(SELECT_TOPK, 0, 7, x, NULL, "0000000", "top 0");
	fiber(SELECT_TOPK, 9, 7, x, NULL, "1111111", "top 9 of 7: -inf is present");
	fiber(SELECT_TOPK, 3, 7, x, "p.p.p..", "1010100", "top 3 of 3 present");
	fiber(SELECT_TOPK, 3, 7, x, ".......", "0000000", "top 3 of nothing");
	fiber(SELECT_TOPK, 2, 5, n, NULL, "01001", "NaN is the largest");
	fiber(SELECT_TOPK, 3, 5, n, NULL, "01011", "then inf");
	fiber(SELECT_TOPK, 1, 3, zero, NULL, "100", "zeros tie, whatever their sign");
	fiber(SELECT_TOPK, 1, 0, x, NULL, "", "top 1 of an extent of 0");
	fiber(SELECT_NUCLEUS, 0.5, 4, p, NULL, "0100", "half the sum");
	fiber(SELECT_NUCLEUS, 0.51, 4, p, NULL, "0110", "a little more");
	fiber(SELECT_NUCLEUS, 0.8, 4, p, NULL, "1110", "ties by coordinate");
	fiber(SELECT_NUCLEUS, 1, 4, p, NULL, "1111", "all of the sum");
	fiber(SELECT_NUCLEUS, 0, 4, p, NULL, "0100", "one at least");
	fiber(SELECT_NUCLEUS, 0, 4, p, "....", "0000", "none of nothing");
	fiber(SELECT_NUCLEUS, 0.1, 5, n, NULL, "11111", "a sum that is NaN is not reached");
	fiber(SELECT_ARGSORT, 0, 7, x, NULL, "4602135", "ascending");
	fiber(SELECT_ARGSORT, 0, 7, x, "pp.p..p", "6013---", "what is present, then -1");
	fiber(SELECT_ARGSORT, 0, 5, n, NULL, "02314", "NaN last");
	fiber(SELECT_MEMBERS, 0, 5, truth, NULL, "124--", "members");
	fiber(SELECT_MEMBERS, 0, 5, truth, NULL, "12", "fewer slots than members");
	fiber(SELECT_MEMBERS, 0, 5, truth, "p.ppp", "24-", "an absent one is none");
	fiber(SELECT_MEMBERS, 0, 0, truth, NULL, "--", "members of an extent of 0");
}

struct run {
	struct arena *arena;
	struct cascade *cascade;
	struct oracle_tensor *tensor;
};

static bool begin(struct run *r, struct arena *a, const char *source)
{
	struct diags d;
	diags_init(&d, a, "select", source, strlen(source));
	*r = (struct run){a, cascade_parse(a, source, strlen(source), NULL, 0, &d), NULL};
	if (!r->cascade) {
		printf("# %s\n", d.list.n ? d.list.v[0].message : "");
		return false;
	}
	r->tensor = arena_new_array(a, r->cascade->tensor.n, struct oracle_tensor);
	return true;
}

static double *input(struct run *r, const char *name)
{
	uint32_t t = cascade_find_tensor(r->cascade, name);
	const struct tensor *tensor = &r->cascade->tensor.v[t];
	int64_t count = 1, extent = 0;
	for (int k = 0; k < tensor->nranks; k++) {
		cascade_extent(r->cascade, tensor->extent[k], &extent);
		count *= extent;
	}
	r->tensor[t].count = count;
	return r->tensor[t].data = arena_new_array(r->arena, (size_t)count, double);
}

static const double *output(struct run *r, const char *name)
{
	struct diags d;
	uint32_t t = cascade_find_tensor(r->cascade, name);
	diags_init(&d, r->arena, "select", "", 0);
	if (!r->tensor[t].data && !oracle_run(r->arena, r->cascade, r->tensor, (size_t)1 << 30, &d))
		return NULL;
	return r->tensor[t].data;
}

static const char *const walks[] = {
	/* Attention over the 2 best blocks of 4 keys and one's own, against the loop of `blocks`. */
	"rank N = 11, M = 11, C = 3, D = 2\n"
	"in Q[N,D], K[M,D] : f32\n"
	"out O[N] : f32\n"
	"P[c,d] = mean[m](K[m,d]) where m / 4 == c\n"
	"J[n,c] = topk[c, 2](sum[d](Q[n,d] * P[c,d])) where c < n / 4\n"
	"O[n] = sum[m](sum[d](Q[n,d] * K[m,d])) where (J[n,m/4] or m / 4 == n / 4) and m <= n\n",
	/* The same, walking a list of members. */
	"rank N = 11, M = 11, C = 3, D = 2, S = 3, I = 4\n"
	"in Q[N,D], K[M,D] : f32\n"
	"out O[N] : f32\n"
	"P[c,d] = mean[m](K[m,d]) where m / 4 == c\n"
	"L[n,s] = members[c](topk[c, 2](select(c < n / 4, sum[d](Q[n,d] * P[c,d]), -inf)) and c < n / 4 or c == n / 4)\n"
	"T[n,s,i] = Q[n,d] * K[L[n,s] * 4 + i, d] where L[n,s] >= 0 and L[n,s] * 4 + i <= n\n"
	"O[n] = sum[s,i](T[n,s,i])\n",
};

static void blocks(const double *q, const double *k, double *o)
{
	for (int n = 0; n < 11; n++) {
		bool chosen[3] = {0};
		double score[3];
		chosen[n / 4] = true;
		for (int c = 0; c < n / 4; c++) {
			double sum[2] = {0};
			for (int m = 4 * c; m < 4 * c + 4; m++)
				for (int d = 0; d < 2; d++)
					sum[d] += k[2 * m + d];
			score[c] = (q[2 * n] * sum[0] + q[2 * n + 1] * sum[1]) / 4;
		}
		for (int times = 0; times < 2; times++) {
			int best = -1;
			for (int c = 0; c < n / 4; c++)
				if (!chosen[c] && (best < 0 || score[c] > score[best]))
					best = c;
			if (best >= 0)
				chosen[best] = true;
		}
		o[n] = 0;
		for (int m = 0; m <= n; m++)
			if (chosen[m / 4])
				o[n] += q[2 * n] * k[2 * m] + q[2 * n + 1] * k[2 * m + 1];
	}
}

static void walk(struct arena *a)
{
	for (size_t w = 0; w < sizeof walks / sizeof *walks; w++) {
		struct run r;
		double want[11], most = 0;
		if (!ok(begin(&r, a, walks[w]), "walk %zu: parses", w))
			continue;
		double *q = input(&r, "Q"), *k = input(&r, "K");
		for (int i = 0; i < 22; i++) {
			q[i] = sin(3 * i + 1);
			k[i] = cos(5 * i * i);
		}
		blocks(q, k, want);
		const double *got = output(&r, "O");
		for (int n = 0; got && n < 11; n++)
			most = fmax(most, fabs(got[n] - want[n]));
		ok(got && most < 1e-12, "walk %zu: as the loop, off by %g", w, most);
	}
}

/* Argument over ranks, casts around the operand, the result of another type, extents of 0 and 1. */
static void edges(struct arena *a)
{
	struct run r;
	ok(begin(&r, a,
	         "rank N = 2, C = 7\n"
	         "in X[N,C] : f32\n"
	         "out J[N,C] : bool\n"
	         "out R[N,C] : f32\n"
	         "out A[N,C] : i64\n"
	         "J[n,c] = topk[c, C/2](i8(X[n,c]))\n"
	         "R[n,c] = argsort[c](X[n,c]) where c != 1\n"
	         "A[n,c] = i64(argsort[c](-X[n,c]))\n"),
	   "edges: parses");
	double *x = input(&r, "X");
	static const double row[] = {1.2, 300, 200, 0.9, -5, 1.4, 127};
	for (int i = 0; i < 14; i++)
		x[i] = i < 7 ? row[i] : row[13 - i];
	const double *j = output(&r, "J"), *s = output(&r, "R"), *l = output(&r, "A");
	static const double want_j[] = {0, 1, 1, 0, 0, 0, 1}, want_r[] = {4, 3, 0, 5, 6, 2, -1};
	static const double want_a[] = {1, 2, 6, 5, 0, 3, 4};
	bool good = true;
	for (int i = 0; i < 7; i++)
		good &= j[i] == want_j[i] && s[i] == want_r[i] && l[i] == want_a[i];
	ok(good, "edges: topk of half of them, saturated by a cast; argsort into other types");
	ok(begin(&r, a,
	         "rank N = 3, C = 0, S = 2\nin X[N,C] : f32\nout L[N,S] : i32\nout J[N,C] : bool\n"
	         "J[n,c] = nucleus[c, 0.9](X[n,c])\nL[n,s] = members[c](X[n,c] > 0)\n"),
	   "nothing to choose from: parses");
	input(&r, "X");
	const double *none = output(&r, "L");
	good = none != NULL;
	for (int i = 0; good && i < 6; i++)
		good &= none[i] == -1;
	ok(good, "nothing to choose from: every slot is empty");
}

static const char *digest(struct arena *a, const char *source)
{
	struct run r;
	return begin(&r, a, source) ? cascade_digest(r.cascade) : "";
}

static void names(struct arena *a)
{
	const char *plain = digest(a, "rank N, C\nin X[N,C] : f32\nout J[N,C] : bool\nJ[n,c] = topk[c, 2](X[n,c])\n");
	const char *other = digest(a, "rank M, D\nin X[M,D] : f32\nout J[M,D] : bool\n"
	                              "J[m,d] = topk[d, 1 + 1](X[m,d])   # renamed\n");
	ok(*plain && !strcmp(plain, other), "a digest does not depend on names");
	other = digest(a, "rank N, C\nin X[N,C] : f32\nout J[N,C] : bool\nJ[n,c] = topk[c, 3](X[n,c])\n");
	ok(strcmp(plain, other) != 0, "… but on the number");
	other = digest(a, "rank N, C\nin X[N,C] : f32\nout J[N,C] : bool\nJ[n,c] = topk[n, 2](X[n,c])\n");
	ok(strcmp(plain, other) != 0, "… and on the fiber");
}

static void limit(struct arena *a)
{
	struct text t;
	struct diags d;
	text_init(&t, a);
	text_add(&t, "rank N\nin X[N] : f32\nout J[N] : bool\nJ[n] = topk[n, 1](X[n])");
	for (int i = 1; i < 65; i++)
		text_printf(&t, " or topk[n, 1](%d * X[n])", i + 1);
	diags_init(&d, a, "many", t.s, t.len);
	ok(!cascade_parse(a, t.s, t.len, NULL, 0, &d) && d.list.n == 1 && d.list.v[0].line == 4 &&
	           strstr(d.list.v[0].message, "more than 64 selections"),
	   "too many selections");
}

int main(void)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env))
		return 1;
	fibers();
	walk(&a);
	edges(&a);
	names(&a);
	limit(&a);
	arena_free(&a);
	return tap_done();
}
