/* work_test.c: useful work of cascades whose present elements can be counted by hand. */
#include <math.h>
#include <string.h>

#include "codegen/work.h"
#include "dsl/parse.h"
#include "tests/tap.h"

static double flops_of(struct arena *a, const char *equation, int64_t n, int64_t m, const struct work_inputs *inputs)
{
	const char *text = arena_printf(
	        a,
	        "kernel k\nrank N = %lld, M = %lld, D = 8\nparam W = 10\n"
	        "in Q[N, D] : f32\nin K[M, D] : f32\nin seg[N] : i32\nout O[N, M] : f32\n%s\n%s\n",
	        (long long)n, (long long)m, equation, *equation == 'S' ? "O[n,m] = S[n,m]" : "");
	struct diags d;
	diags_init(&d, a, "k.att", text, strlen(text));
	struct cascade *c = cascade_parse(a, text, strlen(text), NULL, 0, &d);
	return c ? cascade_flops(c, inputs) : -1;
}

static void case_of(const char *equation, int64_t n, int64_t m, double want)
{
	struct arena a;
	arena_init(&a);
	double have = flops_of(&a, equation, n, m, NULL);
	ok(fabs(have - want) <= 2e-3 * want, "%s: %.0f, by hand %.0f", equation, have, want);
	arena_free(&a);
}

/* Two segments, the first a quarter of 200. */
static double segment(const void *owner, uint32_t tensor, const int64_t *coordinate)
{
	(void)owner;
	(void)tensor;
	return coordinate[0] >= 50;
}

static void test_data(void)
{
	struct arena a;
	const struct work_inputs inputs = {segment, NULL};
	const double want = 2.0 * 8 * (50 * 50 + 150 * 150);
	arena_init(&a);
	double have = flops_of(&a, "S[n,m] = Q[n,d] * K[m,d] where seg[n] == seg[min(m, N - 1)]", 200, 200, &inputs);
	ok(fabs(have - want) <= 2e-3 * want, "segments that are at hand: %.0f, by hand %.0f", have, want);
	arena_free(&a);
}

int main(void)
{
	test_data();
	case_of("O[n,m] = Q[n,d] * K[m,d]", 100, 200, 2.0 * 100 * 200 * 8);
	case_of("S[n,m] = Q[n,d] * K[m,d] where m <= n", 200, 200, 2.0 * 8 * 200 * 201 / 2);
	case_of("S[n,m] = Q[n,d] * K[m,d] where m <= n and n - m < W", 500, 500, 2.0 * 8 * (500 * 10 - 45));
	case_of("S[n,m] = Q[n,d] * K[m,d] where seg[n] == 1", 100, 100, 2.0 * 100 * 100 * 8);
	case_of("S[n,m] = Q[n,d] * K[m,d] where m <= n and seg[n] == 1", 200, 200, 2.0 * 8 * 200 * 201 / 2);
	case_of("O[n,m] = Q[n,0] + K[m,0]", 100, 100, 0);
	case_of("O[n,m] = Q[n,d] * K[m,d]", 0, 10, 0);
	return tap_done();
}
