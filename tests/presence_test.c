/* Presence: what the predicate of an equation's body says, and what it need not say. */
#include "cascade_build.h"
#include "tap.h"

static struct arena arena;
static struct build b;

static void says(uint32_t equation, const char *expected)
{
	struct expr e = cascade_presence(b.cascade, equation);
	struct expr_names names = cascade_names(b.cascade);
	struct text t;
	text_init(&t, &arena);
	if (e.id)
		expr_print(&b.cascade->pool, e, &names, &t);
	else
		text_add(&t, "always");
	const struct equation *q = &b.cascade->equation.v[equation];
	if (!ok(!strcmp(t.s, expected), "%s: %s", b.cascade->tensor.v[q->tensor].name, expected))
		printf("#   got %s\n", t.s);
}

static void setup(int64_t h, int64_t n)
{
	build_init(&b, &arena);
	build_rank(&b, "H", h);
	build_rank(&b, "N", n);
	build_rank(&b, "M", n);
	cascade_add_index(b.cascade, "i", cascade_find_rank(b.cascade, "N"));
	build_tensor(&b, ROLE_IN, "X", "N", DTYPE_F32);
	build_tensor(&b, ROLE_IN, "Z", "M", DTYPE_F32);
	build_tensor(&b, ROLE_IN, "K", "H/4", DTYPE_F32);
	build_tensor(&b, ROLE_IN, "seg", "N", DTYPE_I32);
	build_tensor(&b, ROLE_IN, "page", "N", DTYPE_I32);
}

static uint32_t local(const char *name, const char *index, const char *body, const char *where)
{
	return build_equation(&b, name, index, REDUCE_NONE, "", body, where);
}

static void bounds(void)
{
	setup(NOT_BOUND, NOT_BOUND);
	says(local("A1", "n", "X[n] * 2", NULL), "always");
	says(local("A2", "h", "K[h/4]", NULL), "always");
	says(local("A3", "n", "X[n-1]", NULL), "1 <= n");
	says(local("A4", "n", "X[n+1] + X[n+1]", NULL), "n < N - 1");
	says(local("A5", "n", "X[n-1] + X[n+1]", NULL), "1 <= n and n < N - 1");
	says(local("A6", "n", "(X[n-1] else 0)", NULL), "always");
	says(local("A7", "n", "X[page[n]]", NULL), "0 <= page[n] and page[n] < N");
	says(local("A8", "n", "X[page[n-1]]", NULL), "1 <= n and 0 <= page[n-1] and page[n-1] < N");
	says(local("A9", "n", "X[n%N]", NULL), "always");
	says(local("A10", "m", "X[m]", NULL), "m < N");
	says(local("A11", "h", "K[h]", NULL), "h < H / 4");
	setup(8, 16);
	says(local("B1", "m", "X[m]", NULL), "always");
	says(local("B2", "h", "K[h/4]", NULL), "always");
	says(local("B3", "h", "K[h]", NULL), "h < H / 4");
	says(local("B4", "h", "K[h%2]", NULL), "always");
	says(local("B5", "h", "X[2*h+1]", NULL), "always");
	says(local("B6", "h", "X[2*h+2]", NULL), "2 * h < N - 2");
	says(local("B7", "n", "X[n] ", "n < 16"), "always");
	says(local("B8", "n", "X[15-n]", NULL), "always");
}

static void flow(void)
{
	setup(NOT_BOUND, NOT_BOUND);
	says(local("S", "nm", "X[n] * Z[m]", "m <= n"), "m <= n");
	says(local("P", "nm", "exp(S[n,m])", NULL), "m <= n");
	says(local("T", "nm", "S[n-1,m] + S[n,m]", NULL), "1 <= n and m <= n - 1 and m <= n");
	says(build_equation(&b, "R", "n", REDUCE_SUM, "m", "S[n,m]", "m != 3"), "m != 3 and m <= n");
	says(local("U", "n", "R[n] + 1", NULL), "always");
	says(local("V", "n", "R[n-1]", NULL), "1 <= n");
	says(local("W", "in", "S[n,i]", NULL), "i < M and i <= n");
	says(local("D", "ni", "X[n]", "seg[n] == seg[i]"), "seg[n] == seg[i]");
	says(local("D2", "n", "X[n]", "seg[n-1] == seg[n]"), "1 <= n and seg[n-1] == seg[n]");
	says(local("D3", "n", "X[n]", "n == 0 or seg[n-1] == seg[n]"),
	     "n == 0 or 1 <= n and seg[n-1] == seg[n]");
	says(local("D4", "n", "X[n]", "not seg[n-1] == seg[n]"), "1 <= n and not seg[n-1] == seg[n]");
	says(local("E", "n", "select(n < 1, 0, X[n-1])", NULL), "always");
	says(local("F", "n", "(X[n-1] else X[n+1])", NULL), "1 <= n or n < N - 1");
	says(local("G", "n", "X[n]", "n == n"), "always");
}

int main(void)
{
	jmp_buf env;
	arena_init(&arena);
	if (!ARENA_TRY(&arena, &env))
		return 1;
	bounds();
	flow();
	arena_free(&arena);
	return tap_done();
}
