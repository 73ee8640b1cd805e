/* A cascade as text and as a digest: every example prints and reads back to the same text; what changes a
 * digest and what does not; and programs from text through the oracle. */
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dsl/oracle.h"
#include "dsl/parse.h"
#include "tap.h"

static struct arena arena;

static struct cascade *parse(const char *source)
{
	struct diags diags;
	diags_init(&diags, &arena, "program", source, strlen(source));
	struct cascade *c = cascade_parse(&arena, source, strlen(source), NULL, 0, &diags);
	struct text text;
	text_init(&text, &arena);
	diags_print(&diags, &text);
	printf("%s", text.s);
	return c;
}

static const char *print(const struct cascade *c)
{
	struct text text;
	text_init(&text, &arena);
	if (c)
		cascade_print(c, &text);
	return text.s;
}

static const char *read_file(const char *path)
{
	char *source = arena_alloc(&arena, 1 << 16);
	FILE *f = fopen(path, "r");
	if (!f)
		return source; /* empty: fails as a program */
	size_t n = fread(source, 1, (1 << 16) - 1, f);
	fclose(f);
	source[n] = 0;
	return source;
}

static void round_trip(const char *name, struct cascade *c)
{
	const char *once = print(c);
	struct cascade *again = c ? parse(once) : NULL;
	const char *twice = print(again);
	if (!ok(c && again && !strcmp(once, twice) && !strcmp(cascade_digest(c), cascade_digest(again)),
	        "%s prints, reads back and has one digest", name))
		printf("# %s\n# %s\n", once, twice);
}

static void examples(void)
{
	glob_t found;
	if (!ok(!glob("examples/*.att", 0, NULL, &found), "there are examples"))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct cascade *c = parse(read_file(found.gl_pathv[i]));
		round_trip(found.gl_pathv[i], c);
		for (uint32_t r = 0; c && r < c->rank.n; r++)
			if (c->rank.v[r].extent == NOT_BOUND)
				c->rank.v[r].extent = 8 * (r + 1);
		round_trip("… with its ranks bound", c);
	}
	globfree(&found);
}

#define HEAD "kernel k\nrank N, M, D\nparam s = 2\nin Q[N, D] : f32\nin K[M, D] : f32\nout O[N] : f32\n"

static void digests(void)
{
	const char *base = cascade_digest(parse(HEAD "S[n,m] = Q[n,d] * K[m,d] * s where m <= n\n"
	                                             "O[n] = max[m](S[n,m])\n"));
	struct {
		bool same;
		const char *what, *source;
	} cases[] = {
	        {true, "a comment and spaces",
	         "# hello\n" HEAD "S[n,m]=Q[n,d]*K[m,d]*s   where m<=n # x\nO[n] = max[m](S)\n"},
	        {true, "a local of another name",
	         HEAD "T[n,m] = Q[n,d] * K[m,d] * s where m <= n\nO[n] = max[m](T[n,m])\n"},
	        {true, "an index of another name",
	         "kernel k\nrank N, M, D\nindex q : N\nparam s = 2\nin Q[N, D] : f32\nin K[M, D] : f32\n"
	         "out O[N] : f32\nS[q,m] = Q[q,d] * K[m,d] * s where m <= q\nO[q] = max[m](S[q,m])\n"},
	        {true, "ranks of other names, in another order",
	         "kernel k\nrank E, R, C\nin Q[R, E] : f32\nin K[C, E] : f32\nout O[R] : f32\n"
	         "S[r,c] = Q[r,e] * K[c,e] * 2 where c <= r\nO[r] = max[c](S[r,c])\n"},
	        {false, "another constant",
	         HEAD "S[n,m] = Q[n,d] * K[m,d] * 3 where m <= n\nO[n] = max[m](S[n,m])\n"},
	        {false, "another condition",
	         HEAD "S[n,m] = Q[n,d] * K[m,d] * s where m < n\nO[n] = max[m](S[n,m])\n"},
	        {false, "another reduction",
	         HEAD "S[n,m] = Q[n,d] * K[m,d] * s where m <= n\nO[n] = min[m](S[n,m])\n"},
	        {false, "another type",
	         "kernel k\nrank N, M, D\nin Q[N, D] : bf16\nin K[M, D] : f32\nout O[N] : f32\n"
	         "S[n,m] = Q[n,d] * K[m,d] * 2 where m <= n\nO[n] = max[m](S[n,m])\n"},
	        {false, "a bound rank",
	         "kernel k\nrank N, M, D = 64\nin Q[N, D] : f32\nin K[M, D] : f32\nout O[N] : f32\n"
	         "S[n,m] = Q[n,d] * K[m,d] * 2 where m <= n\nO[n] = max[m](S[n,m])\n"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct cascade *c = parse(cases[i].source);
		ok(c && !strcmp(base, cascade_digest(c)) == cases[i].same, "%s: %s digest", cases[i].what,
		   cases[i].same ? "the same" : "another");
	}
}

/* Runs a program whose only input is X[N] = 1, 2, 4, 8, … and compares its output Y. */
static void gives(const char *equations, int64_t n, const double *expected, int64_t count)
{
	struct cascade *c =
	        parse(arena_printf(&arena, "kernel k\nrank N = %lld\n%s", (long long)n, equations));
	struct diags diags;
	if (!ok(c != NULL, "parses"))
		return;
	struct oracle_tensor *t = arena_new_array(&arena, c->tensor.n, struct oracle_tensor);
	uint32_t x = cascade_find_tensor(c, "X"), y = cascade_find_tensor(c, "Y");
	t[x] = (struct oracle_tensor){arena_new_array(&arena, (size_t)n, double), NULL, n};
	for (int64_t i = 0; i < n; i++)
		t[x].data[i] = ldexp(1, (int)i);
	diags_init(&diags, &arena, "program", "", 0);
	bool good = oracle_run(&arena, c, t, SIZE_MAX, &diags) && t[y].count == count;
	for (int64_t i = 0; good && i < count; i++)
		if (!(good = t[y].data[i] == expected[i] || fabs(t[y].data[i] - expected[i]) < 1e-12))
			printf("# Y[%lld] = %.17g, not %.17g\n", (long long)i, t[y].data[i], expected[i]);
	ok(good, "%s", strrchr(equations, '\n') ? "… and gives what it should" : equations);
	round_trip("…", c);
}
#define GIVES(equations, n, ...)                                                                             \
	gives(equations, n, (double[]){__VA_ARGS__},                                                         \
	      (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)))

static void meanings(void)
{
	double z = 1 + exp(-4) + exp(-6) + exp(-7), r = 1 / sqrt(85. / 4 + 1e-6);
	GIVES("in X[N] : f64\nout Y[N] : f64\nY[n] = softmax[n](X[n])", 4, exp(-7) / z, exp(-6) / z,
	      exp(-4) / z, 1 / z);
	GIVES("in X[N] : f64\nout Y : f64\nY = logsumexp[n](X[n])", 4, 8 + log(z));
	GIVES("in X[N] : f64\nout Y[N] : f64\nY[n] = rmsnorm[n](X[n])", 4, r, 2 * r, 4 * r, 8 * r);
	GIVES("in X[N] : f64\nout Y[N] : f64\nY[n] = X[n] - 0.5 * (X[n-1] else 0)", 4, 1, 1.5, 3, 6);
	GIVES("in X[N] : f64\nout Y[N] : f64\nY[n] = X[n-1]", 3, 0, 1, 2);
	GIVES("in X[N] : f64\nout Y[N] : f64\nY[n] = X[n] where n > 0 else -1", 3, -1, 2, 4);
	GIVES("in X[N] : f64\nout Y[N] : f64\nindex i : N\nS[n,i] = X[i] where i < n\nY[n] = max[i](S)", 3,
	      -INFINITY, 1, 2);
	GIVES("in X[N] : f64\nout Y[N] : f64\nindex i : N\nS[n,i] = X[i] where i < n\nY[n] = "
	      "sum[i](softmax[i](S) * X[i])",
	      2, 0, 1);
	GIVES("in X[N] : f64\nout Y : f64\nY = argmax[n](-abs(X[n] - 5))", 4, 2);
	GIVES("in X[N] : f64\nout Y[N] : f64\nindex i : N\nY[n] = sum[i](X[i] * X[n])", 3, 7, 14, 28);
	GIVES("in X[N] : f64\nout Y : f64\nY = mean[n](X[n])", 4, 15. / 4);
	GIVES("in X[N] : f64\nout Y[N] : f64\nY[n] = X[n/2] + X[n%2] + X[xor(n,1)]", 4, 1 + 1 + 2, 1 + 2 + 1,
	      2 + 1 + 8, 2 + 2 + 4);
}

/* Every allocation of a run from text to results fails in turn; each time control comes back here. */
static void failing_allocations(void)
{
	static const char source[] = HEAD "S[n,m] = Q[n,d] * K[m,d] * s where m <= n\nO[n] = max[m](S)\n";
	volatile uint64_t fail = 0, caught = 0;
	volatile bool done = false;
	while (!done && fail < 100000) {
		struct arena a;
		jmp_buf env;
		arena_init(&a);
		a.fail_at = ++fail;
		if (ARENA_TRY(&a, &env)) {
			struct diags diags;
			struct text text;
			diags_init(&diags, &a, "program", source, strlen(source));
			struct cascade *c = cascade_parse(&a, source, strlen(source), NULL, 0, &diags);
			for (uint32_t r = 0; r < c->rank.n; r++)
				c->rank.v[r].extent = 3;
			text_init(&text, &a);
			cascade_print(cascade_clone(&a, c), &text);
			cascade_digest(c);
			struct oracle_tensor *t = arena_new_array(&a, c->tensor.n, struct oracle_tensor);
			for (uint32_t i = 0; i < 2; i++)
				t[i] = (struct oracle_tensor){arena_new_array(&a, 9, double), NULL, 9};
			done = oracle_run(&a, c, t, SIZE_MAX, &diags);
		} else {
			caught++;
		}
		arena_free(&a);
	}
	ok(done && caught == fail - 1 && caught > 100, "%llu allocations fail, one a run",
	   (unsigned long long)caught);
}

int main(void)
{
	jmp_buf env;
	arena_init(&arena);
	if (!ARENA_TRY(&arena, &env))
		return 1;
	examples();
	digests();
	meanings();
	failing_allocations();
	arena_free(&arena);
	return tap_done();
}
