/* The prelude's templates and the meaning of programs, through parser and oracle, against straight C. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dsl/oracle.h"
#include "dsl/parse.h"
#include "tests/tap.h"

#define N 5
#define M 6

static struct arena arena;
static double x[N][M], w[M];

/* Runs a program with `in X[N, M], W[M]`, both reals; the named output, NULL after telling why not. */
static const double *run(const char *source, const char *output)
{
	struct diags d;
	struct text said;
	diags_init(&d, &arena, "t", source, strlen(source));
	struct cascade *c = cascade_parse(&arena, source, strlen(source), NULL, 0, &d);
	if (c) {
		struct oracle_tensor *t = arena_new_array(&arena, c->tensor.n, struct oracle_tensor);
		uint32_t in = cascade_find_tensor(c, "X"), weight = cascade_find_tensor(c, "W");
		for (uint32_t r = 0; r < c->rank.n; r++)
			c->rank.v[r].extent = *c->rank.v[r].name == 'N' ? N : M;
		if (in != UINT32_MAX)
			t[in] = (struct oracle_tensor){.data = *x, .count = N * M};
		if (weight != UINT32_MAX)
			t[weight] = (struct oracle_tensor){.data = w, .count = M};
		if (oracle_run(&arena, c, t, 1 << 20, &d))
			return t[cascade_find_tensor(c, output)].data;
	}
	text_init(&said, &arena);
	diags_print(&d, &said);
	printf("# %s\n", said.s);
	return NULL;
}

/* out O[N, M] = expression, with whatever lines come before it. */
static const double *value(const char *lines, const char *expression)
{
	return run(arena_printf(&arena, "rank N, M\nin X[N, M], W[M]\nout O[N, M]\n%s\nO[n,m] = %s\n", lines,
	                        expression),
	           "O");
}

static bool close_to(double a, double b)
{
	return a == b || fabs(a - b) <= 1e-12 * fmax(1, fabs(b));
}

/* Is every O[n][m] what `want` says? */
#define EACH_IS(got, want, ...)                                                                              \
	do {                                                                                                 \
		const double *o_ = (got);                                                                    \
		bool same_ = o_ != NULL;                                                                     \
		for (int n = 0; same_ && n < N; n++)                                                         \
			for (int m = 0; same_ && m < M; m++)                                                 \
				if (!close_to(o_[n * M + m], (want))) {                                      \
					printf("# [%d,%d] is %g, not %g\n", n, m, o_[n * M + m], (want));    \
					same_ = false;                                                       \
				}                                                                            \
		ok(same_, __VA_ARGS__);                                                                      \
	} while (0)

static double row(int n, double (*f)(double, double), double start)
{
	for (int m = 0; m < M; m++)
		start = f(start, x[n][m]);
	return start;
}

static double add(double a, double b)
{
	return a + b;
}

static double add_square(double a, double b)
{
	return a + b * b;
}

static double add_exp(double a, double b)
{
	return a + exp(b);
}

static double variance(int n)
{
	double mean = row(n, add, 0) / M, v = 0;
	for (int m = 0; m < M; m++)
		v += (x[n][m] - mean) * (x[n][m] - mean) / M;
	return v;
}

/* The half-split and the neighbouring layout of a rotary embedding. */
static double rotated(int n, int m, bool neighbours, double base)
{
	int pair = neighbours ? m / 2 : m % (M / 2), first = neighbours ? m & ~1 : pair;
	int second = neighbours ? first + 1 : first + M / 2;
	double angle = n * pow(base, -2.0 * pair / M);
	return m == first ? x[n][first] * cos(angle) - x[n][second] * sin(angle)
	                  : x[n][second] * cos(angle) + x[n][first] * sin(angle);
}

static void templates(void)
{
	EACH_IS(value("", "softmax[m](X)"), exp(x[n][m]) / row(n, add_exp, 0), "softmax");
	EACH_IS(value("", "logsumexp[m](X) + W[m]"), log(row(n, add_exp, 0)) + w[m], "logsumexp");
	EACH_IS(value("", "l2norm[m](X)"), x[n][m] / sqrt(row(n, add_square, 0) + 1e-6), "l2norm");
	EACH_IS(value("", "rmsnorm[m](X; 0.5)"), x[n][m] / sqrt(row(n, add_square, 0) / M + 0.5), "rmsnorm");
	EACH_IS(value("", "layernorm[m](X) * W[m]"),
	        (x[n][m] - row(n, add, 0) / M) / sqrt(variance(n) + 1e-5) * w[m], "layernorm");
	EACH_IS(value("", "softcap(X; 2)"), 2 * tanh(x[n][m] / 2), "softcap");
	EACH_IS(value("", "rope[m](X; n)"), rotated(n, m, false, 10000), "rope");
	EACH_IS(value("", "rope_pairs[m](X; n, 100)"), rotated(n, m, true, 100), "rope_pairs");
	EACH_IS(value("", "softmax[m](X * 1000)"),
	        (double)(x[n][m] ==
	                 fmax(fmax(fmax(x[n][0], x[n][1]), fmax(x[n][2], x[n][3])), fmax(x[n][4], x[n][5]))),
	        "softmax of large logits");
}

/* Sum of a term over k in [from, to). */
static double total(int from, int to, double (*term)(int n, int m, int k), int n, int m)
{
	double sum = 0;
	for (int k = from; k < to; k++)
		sum += term(n, m, k);
	return sum;
}

static double plain(int n, int m, int k)
{
	(void)m;
	return x[n][k];
}

static double exponential(int n, int m, int k)
{
	(void)m;
	return exp(x[n][k]);
}

static double reversed(int n, int m, int k)
{
	return x[n][k] * w[m - k];
}

static double product(int n, int m, int k)
{
	(void)m;
	return x[n][k] * w[k];
}

static double surprise(int n, int m, int k)
{
	double p = exp(x[n][k]) / row(n, add_exp, 0);
	(void)m;
	return -p * log(p);
}

static void presence(void)
{
	EACH_IS(value("S[n,m] = X[n,m] where m < n", "softmax[m](S)"),
	        m < n ? exp(x[n][m]) / total(0, n, exponential, n, m) : 0,
	        "a masked softmax is 0 outside, and in an empty row");
	EACH_IS(value("S[n,m] = X[n,m] where m < n\nL = logsumexp[m](S)", "W[m] + L where n < 1"),
	        n < 1 ? -(double)INFINITY : 0, "the log-sum-exp of an empty row is -inf");
	EACH_IS(value("", "0.25 * X[n,m] + (X[n-1,m] else 3)"), 0.25 * x[n][m] + (n ? x[n - 1][m] : 3),
	        "a shift with a value before the first");
	EACH_IS(value("index k : M", "X[n,k] * W[m-k] + 0 * X[n,k]"), total(0, m + 1, reversed, n, m),
	        "what runs outside is left out of a sum");
	EACH_IS(value("index k : M\nA[n,m] = X[n,k] * W[k] where k <= m and n > 1", "(A else 7)"),
	        n > 1 ? total(0, m + 1, product, n, m) : 7,
	        "of a condition on a sum, part restricts and part leaves out");
	EACH_IS(value("A[n] = mean[m](X) where m >= n", "A * W[m]"),
	        w[m] * total(n, M, plain, n, m) / (M - n), "a mean counts what is there");
	EACH_IS(value("", "X where m == 2 else -1"), m == 2 ? x[n][m] : -1, "what is stored elsewhere");
}

static void index_arithmetic(void)
{
	EACH_IS(value("", "X[n, xor(m, 1)] + n / 2 + m % 4 + M / 4"), x[n][m ^ 1] + n / 2 + m % 4 + M / 4.0,
	        "'/' floors for indices, not for extents");
	EACH_IS(value("", "X[n, min(m, M - 1 - m)] * abs(m - n) / M"),
	        x[n][m < M - 1 - m ? m : M - 1 - m] * abs(m - n) / M, "min and abs");
	EACH_IS(value("J[n] = argmax[m](X)", "X[n, J[n]] + 0 * W[m]"),
	        fmax(fmax(fmax(x[n][0], x[n][1]), fmax(x[n][2], x[n][3])), fmax(x[n][4], x[n][5])),
	        "a gather at the largest");
	EACH_IS(value("", "i8(X * 10) / 10 + f32(n) / 2"),
	        floor(fmin(fmax(nearbyint(x[n][m] * 10), -128), 127) / 10) + n / 2.0,
	        "casts make whole numbers, and numbers of them");
	EACH_IS(value("A, B = X * 2, X + W", "A[n,m] - B"), x[n][m] - w[m], "two at once");
}

static void entropy(void)
{
	EACH_IS(value("P = softmax[m](X)\nE = sum[m](P * log(P))", "W[m] - E[n]"),
	        w[m] + total(0, M, surprise, n, m), "the entropy of a softmax");
}

int main(void)
{
	arena_init(&arena);
	srand(1);
	for (int n = 0; n < N; n++)
		for (int m = 0; m < M; m++)
			x[n][m] = rand() / (double)RAND_MAX * 4 - 2;
	for (int m = 0; m < M; m++)
		w[m] = rand() / (double)RAND_MAX;
	templates();
	presence();
	index_arithmetic();
	entropy();
	arena_free(&arena);
	return tap_done();
}
