/* The oracle against values worked out by hand and against plain C loops. */
#include <math.h>

#include "cascade_build.h"
#include "dsl/oracle.h"
#include "tap.h"

static struct arena arena;
static struct build b;
static struct oracle_tensor *tensor;

static double uniform(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (double)(*state >> 40) / 0x1p23 - 1;
}

/* Fills the inputs that have no data yet with numbers in [-1, 1), and runs. */
static bool run(void)
{
	struct cascade *c = b.cascade;
	struct diags diags;
	uint64_t state = 7;
	diags_init(&diags, &arena, "test", "", 0);
	for (uint32_t t = 0; t < c->tensor.n; t++) {
		if (c->tensor.v[t].role != ROLE_IN || tensor[t].data)
			continue;
		int64_t count = 1, extent = 0;
		for (int r = 0; r < c->tensor.v[t].nranks; r++) {
			if (!cascade_extent(c, c->tensor.v[t].extent[r], &extent))
				return false;
			count *= extent;
		}
		tensor[t].count = count;
		tensor[t].data = arena_new_array(&arena, (size_t)count, double);
		for (int64_t i = 0; i < count; i++)
			tensor[t].data[i] = uniform(&state);
	}
	return cascade_check_bound(c, &diags) && oracle_run(&arena, c, tensor, SIZE_MAX, &diags);
}

static struct oracle_tensor *named(const char *name)
{
	uint32_t t = cascade_find_tensor(b.cascade, name);
	if (t == UINT32_MAX)
		build_die("no such tensor", name);
	return &tensor[t];
}

static void given(const char *name, const double *data, int64_t count)
{
	named(name)->data = arena_copy(&arena, data, (size_t)count * sizeof *data);
	named(name)->count = count;
}

/* The content of `name`, NAN meaning absent. */
static void holds(const char *name, const double *expected, int64_t count)
{
	const struct oracle_tensor *t = named(name);
	bool good = t->count == count;
	for (int64_t i = 0; good && i < count; i++) {
		bool here = !t->present || t->present[i];
		good = expected[i] != expected[i] ? !here
		                                  : here && (t->data[i] == expected[i] ||
		                                             fabs(t->data[i] - expected[i]) < 1e-12);
		if (!good)
			printf("# %s[%lld] is %g\n", name, (long long)i, t->data[i]);
	}
	ok(good, "%s", name);
}
#define HOLDS(name, ...)                                                                                     \
	holds(name, (double[]){__VA_ARGS__}, (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)))
#define GIVEN(name, ...)                                                                                     \
	given(name, (double[]){__VA_ARGS__}, (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)))

static void begin(void)
{
	static struct oracle_tensor room[64];
	memset(room, 0, sizeof room);
	tensor = room;
	build_init(&b, &arena);
}

static void map(const char *name, const char *index, const char *body, const char *where)
{
	build_equation(&b, name, index, REDUCE_NONE, "", body, where);
}

static void fold(const char *name, const char *index, enum reduction r, const char *reduced, const char *body,
                 const char *where)
{
	build_equation(&b, name, index, r, reduced, body, where);
}

static void by_hand(void)
{
	begin();
	build_rank(&b, "N", 4);
	build_rank(&b, "M", 3);
	build_rank(&b, "Z", 0);
	build_tensor(&b, ROLE_IN, "X", "N", DTYPE_F32);
	build_tensor(&b, ROLE_IN, "A", "NM", DTYPE_F32);
	build_tensor(&b, ROLE_IN, "T", "N", DTYPE_I32);
	build_tensor(&b, ROLE_IN, "s", "", DTYPE_F32);
	GIVEN("X", 1, 2, 4, 8);
	GIVEN("A", 1, 5, 2, -1, -1, -1, 7, 0, 7, 3, 4, 9);
	GIVEN("T", 2, -1, 0, 4);
	GIVEN("s", 0.5);
	map("shift", "n", "X[n-1] + X[n]", NULL);
	map("ahead", "n", "X[n+2]", NULL);
	map("mended", "n", "X[n] - 0.5 * (X[n-1] else 0)", NULL);
	map("gather", "n", "X[T[n]]", NULL);
	map("gather_mended", "n", "(X[T[n]] else -1)", NULL);
	map("flip", "n", "X[3-n]", NULL);
	map("twice", "n", "X[2*n]", NULL);
	map("half", "n", "X[n/2] + n % 2", NULL);
	map("scaled", "n", "s * X[n]", NULL);
	map("masked", "n", "X[n]", "n % 2 == 0");
	map("through", "n", "masked[n] + masked[n-2]", NULL);
	map("chosen", "n", "select(n < 1, 0, X[n-1])", NULL);
	map("either", "n", "X[n]", "n == 0 or X[n-1] > 3");
	map("neither", "n", "X[n]", "not X[n-1] > 3");
	map("extent", "n", "N * 10 + n", NULL);
	map("cast", "n", "i8(X[n] * 100.5)", NULL);
	fold("sums", "n", REDUCE_SUM, "m", "A[n,m]", NULL);
	fold("largest", "n", REDUCE_MAX, "m", "A[n,m]", NULL);
	fold("least", "n", REDUCE_MIN, "m", "A[n,m]", NULL);
	fold("product", "n", REDUCE_PROD, "m", "A[n,m]", NULL);
	fold("average", "n", REDUCE_MEAN, "m", "A[n,m]", "m < n");
	fold("where_largest", "n", REDUCE_ARGMAX, "m", "A[n,m]", "m < n");
	fold("column", "m", REDUCE_ARGMAX, "n", "A[n,m]", NULL);
	fold("all_of", "n", REDUCE_ALL, "m", "A[n,m] > 0", NULL);
	fold("any_of", "n", REDUCE_ANY, "m", "A[n,m] > 4", "m > 0");
	fold("everything", "", REDUCE_SUM, "nm", "A[n,m] * X[n]", NULL);
	fold("present_only", "", REDUCE_SUM, "n", "masked[n]", NULL);
	fold("shifted", "", REDUCE_SUM, "n", "X[n-1] * X[n]", NULL);
	fold("empty_sum", "n", REDUCE_SUM, "m", "A[n,m]", "m > n + 9");
	fold("empty_max", "n", REDUCE_MAX, "m", "A[n,m]", "m > n + 9");
	fold("no_terms", "", REDUCE_MIN, "z", "z", NULL);
	fold("counted", "n", REDUCE_SUM, "m", "1", "m <= n");
	ok(run(), "runs");
	HOLDS("shift", NAN, 3, 6, 12);
	HOLDS("ahead", 4, 8, NAN, NAN);
	HOLDS("mended", 1, 1.5, 3, 6);
	HOLDS("gather", 4, NAN, 1, NAN);
	HOLDS("gather_mended", 4, -1, 1, -1);
	HOLDS("flip", 8, 4, 2, 1);
	HOLDS("twice", 1, 4, NAN, NAN);
	HOLDS("half", 1, 2, 2, 3);
	HOLDS("scaled", 0.5, 1, 2, 4);
	HOLDS("masked", 1, NAN, 4, NAN);
	HOLDS("through", NAN, NAN, 5, NAN);
	HOLDS("chosen", 0, 1, 2, 4);
	HOLDS("either", 1, NAN, NAN, 8);
	HOLDS("neither", NAN, 2, 4, NAN);
	HOLDS("extent", 40, 41, 42, 43);
	HOLDS("cast", 100, 127, 127, 127);
	HOLDS("sums", 8, -3, 14, 16);
	HOLDS("largest", 5, -1, 7, 9);
	HOLDS("least", 1, -1, 0, 3);
	HOLDS("product", 10, -1, 0, 108);
	HOLDS("average", 0, -1, 3.5, 16. / 3);
	HOLDS("where_largest", -1, 0, 0, 2);
	HOLDS("column", 2, 0, 3);
	HOLDS("all_of", 1, 0, 0, 1);
	HOLDS("any_of", 1, 0, 1, 1);
	HOLDS("everything", 8 - 6 + 56 + 128);
	HOLDS("present_only", 5);
	HOLDS("shifted", 2 + 8 + 32);
	HOLDS("empty_sum", 0, 0, 0, 0);
	HOLDS("empty_max", -INFINITY, -INFINITY, -INFINITY, -INFINITY);
	HOLDS("no_terms", INFINITY);
	HOLDS("counted", 1, 2, 3, 3);
}

/* What is stored where nothing is there. */
static void otherwise(void)
{
	begin();
	build_rank(&b, "N", 3);
	build_tensor(&b, ROLE_IN, "X", "N", DTYPE_F32);
	build_tensor(&b, ROLE_OUT, "Y", "N", DTYPE_F32);
	build_tensor(&b, ROLE_OUT, "Z", "N", DTYPE_F32);
	GIVEN("X", 1, 2, 3);
	map("Y", "n", "X[n]", "n > 0");
	uint32_t q = build_equation(&b, "Z", "n", REDUCE_NONE, "", "X[n]", "n > 0");
	b.cascade->equation.v[q].otherwise = build_expr(&b, "-10 * X[n]");
	ok(run() && named("Y")->data[0] == 0 && named("Y")->data[2] == 3, "absent is stored as 0");
	ok(named("Z")->data[0] == -10 && named("Z")->data[1] == 2, "or as `else` says");
}

/* NaN and infinity go through, but not from absent elements. */
static void specials(void)
{
	begin();
	build_rank(&b, "N", 3);
	build_tensor(&b, ROLE_IN, "X", "N", DTYPE_F32);
	GIVEN("X", NAN, INFINITY, 2);
	fold("most", "", REDUCE_MAX, "n", "X[n]", NULL);
	fold("most_after", "", REDUCE_MAX, "n", "X[n]", "n > 0");
	fold("sum_after", "", REDUCE_SUM, "n", "X[n]", "n > 1");
	fold("zero_times", "", REDUCE_SUM, "n", "0 * X[n]", "n > 0");
	ok(run(), "runs");
	ok(isnan(named("most")->data[0]), "max of NaN is NaN");
	HOLDS("most_after", INFINITY);
	HOLDS("sum_after", 2);
	ok(isnan(named("zero_times")->data[0]), "0 * inf is NaN");
}

struct shape {
	int64_t b, h, group, n, m, d, e;
	int64_t window; /* 0: none */
};

/* Grouped-query attention by loops, causal from the bottom right, as one would write it in C. */
static void attention_loops(struct shape s, const double *q, const double *k, const double *v, double *o,
                            double *l)
{
	double *p = arena_new_array(&arena, (size_t)s.m, double);
	for (int64_t bh = 0; bh < s.b * s.h; bh++)
		for (int64_t n = 0; n < s.n; n++) {
			int64_t kv = bh / s.h * (s.h / s.group) + bh % s.h / s.group;
			const double *row = q + (bh * s.n + n) * s.d;
			double most = -INFINITY, sum = 0;
			int64_t last = n + s.m - s.n;
			for (int64_t m = 0; m <= last && m < s.m; m++) {
				p[m] = 0;
				for (int64_t d = 0; d < s.d; d++)
					p[m] += row[d] * k[(kv * s.m + m) * s.d + d];
				if (s.window && last - m >= s.window)
					p[m] = -INFINITY;
				most = fmax(most, p[m]);
			}
			double *to = o + (bh * s.n + n) * s.e;
			memset(to, 0, (size_t)s.e * sizeof *to);
			for (int64_t m = 0; m <= last && m < s.m; m++) {
				p[m] = exp(p[m] - most);
				sum += p[m];
			}
			for (int64_t m = 0; m <= last && m < s.m; m++)
				for (int64_t e = 0; e < s.e; e++)
					to[e] += p[m] / sum * v[(kv * s.m + m) * s.e + e];
			l[bh * s.n + n] = most + log(sum);
		}
}

static double difference(const struct oracle_tensor *t, const double *to)
{
	double most = 0;
	for (int64_t i = 0; i < t->count; i++) {
		if ((t->present && !t->present[i]) || isnan(t->data[i]))
			return INFINITY;
		if (t->data[i] != to[i])
			most = fmax(most, fabs(t->data[i] - to[i]));
	}
	return most;
}

static void attention(struct shape s)
{
	begin();
	build_rank(&b, "B", s.b);
	build_rank(&b, "H", s.h);
	build_rank(&b, "N", s.n);
	build_rank(&b, "M", s.m);
	build_rank(&b, "D", s.d);
	build_rank(&b, "E", s.e);
	char kv[32], at[64], where[64];
	snprintf(kv, sizeof kv, "B,H/%lld,M,", (long long)s.group);
	build_tensor(&b, ROLE_IN, "Q", "BHND", DTYPE_F32);
	snprintf(at, sizeof at, "%sD", kv);
	build_tensor(&b, ROLE_IN, "K", at, DTYPE_F32);
	snprintf(at, sizeof at, "%sE", kv);
	build_tensor(&b, ROLE_IN, "V", at, DTYPE_F32);
	snprintf(at, sizeof at, "Q[b,h,n,d] * K[b,h/%lld,m,d]", (long long)s.group);
	snprintf(where, sizeof where,
	         s.window ? "m <= n + (M - N) and n + (M - N) - m < %lld" : "m <= n + (M - N)",
	         (long long)s.window);
	fold("S", "bhnm", REDUCE_SUM, "d", at, NULL);
	map("SM", "bhnm", "S[b,h,n,m]", where);
	fold("X", "bhn", REDUCE_MAX, "m", "SM[b,h,n,m]", NULL);
	map("P", "bhnm", "exp(SM[b,h,n,m] - X[b,h,n])", NULL);
	fold("T", "bhn", REDUCE_SUM, "m", "P[b,h,n,m]", NULL);
	snprintf(at, sizeof at, "P[b,h,n,m] / T[b,h,n] * V[b,h/%lld,m,e]", (long long)s.group);
	fold("O", "bhne", REDUCE_SUM, "m", at, NULL);
	map("L", "bhn", "X[b,h,n] + log(T[b,h,n])", NULL);
	bool ran = run();
	double *o = arena_new_array(&arena, (size_t)(s.b * s.h * s.n * s.e), double);
	double *l = arena_new_array(&arena, (size_t)(s.b * s.h * s.n), double);
	attention_loops(s, named("Q")->data, named("K")->data, named("V")->data, o, l);
	ok(ran && difference(named("O"), o) < 1e-13 && difference(named("L"), l) < 1e-13,
	   "attention b %lld h %lld/%lld n %lld m %lld d %lld e %lld window %lld", (long long)s.b,
	   (long long)s.h, (long long)s.group, (long long)s.n, (long long)s.m, (long long)s.d, (long long)s.e,
	   (long long)s.window);
}

static void limit(void)
{
	begin();
	build_rank(&b, "N", 1 << 20);
	map("A", "n", "n", NULL);
	struct diags diags;
	diags_init(&diags, &arena, "test", "", 0);
	ok(!oracle_run(&arena, b.cascade, tensor, 1 << 20, &diags) && diags.errors == 1, "a limit on memory");
}

int main(void)
{
	jmp_buf env;
	arena_init(&arena);
	if (!ARENA_TRY(&arena, &env))
		return 1;
	by_hand();
	otherwise();
	specials();
	attention((struct shape){1, 2, 1, 5, 5, 3, 4, 0});
	attention((struct shape){2, 4, 2, 7, 19, 8, 16, 0});
	attention((struct shape){1, 2, 2, 9, 4, 3, 5, 0}); /* the first rows see nothing */
	attention((struct shape){1, 3, 1, 33, 700, 5, 300, 40});
	attention((struct shape){1, 1, 1, 3, 1, 1, 1, 1});
	attention((struct shape){1, 1, 1, 2, 0, 4, 4, 0});
	attention((struct shape){1, 1, 1, 300, 300, 64, 64, 0});
	limit();
	arena_free(&arena);
	return tap_done();
}
