/* What a search takes for quick before it compiled anything: the order of candidates that differ in one thing. */
#include "search/prior.h"
#include "tests/stages.h"
#include "tests/tap.h"

static struct arena arena;
static struct machine machine;

static const char attention[] = "kernel attention\n"
                                "rank B, H, N, M, D, E\n"
                                "in  Q[B,H,N,D], K[B,H,M,D], V[B,H,M,E] : f32\n"
                                "out O[B,H,N,E] : f32\n"
                                "S[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d]\n"
                                "P          = softmax[m](S)\n"
                                "O[b,h,n,e] = P[b,h,n,m] * V[b,h,m,e]\n";

static const struct problem *bound(int64_t heads, int64_t n, int64_t m)
{
	const struct {
		const char *rank;
		int64_t extent;
	} extent[] = {{"B", 1}, {"H", heads}, {"N", n}, {"M", m}, {"D", 64}, {"E", 64}};
	struct diags d;
	diags_init(&d, &arena, "attention", attention, sizeof attention - 1);
	struct cascade *c = cascade_parse(&arena, attention, sizeof attention - 1, NULL, 0, &d);
	for (uint32_t i = 0; i < c->rank.n; i++)
		for (size_t k = 0; k < sizeof extent / sizeof *extent; k++)
			if (!strcmp(c->rank.v[i].name, extent[k].rank))
				c->rank.v[i].extent = extent[k].extent;
	return problem_new(&arena, c, &machine, &d);
}

static double seconds(const struct problem *p, const struct schedule *s, int threads)
{
	return prior_seconds(tile_build(&arena, p, s), s, &machine, threads);
}

int main(void)
{
	arena_init(&arena);
	machine = stages_machine;
	const struct problem *p = bound(4, 512, 512);
	struct schedule usual = schedule_default(p, ISA_AVX512), thin = usual, naive = schedule_naive(p, ISA_AVX512);
	for (int k = 0; k < thin.stream[0].ncontracts; k++)
		thin.stream[0].contract[k].rows = 1;
	ok(seconds(p, &usual, 1) > 0 && seconds(p, &usual, 1) < 1, "a machine that was not measured is guessed at");
	machine.limits.peak[ISA_AVX512][OPERAND_COMPUTE] = 2e11;
	machine.limits.exps[ISA_AVX512] = 1e10;
	machine.limits.read[READ_L2] = 2e11;
	machine.limits.read[READ_L3] = 1e11;
	machine.limits.read[READ_MEMORY] = machine.limits.read_all = 3e10;
	double flops = 4.0 * 4 * 512 * 512 * 64, least = flops / 2e11 + 4.0 * 512 * 512 / 1e10;
	double one = seconds(p, &usual, 1);
	ok(one >= least && one < 2 * least, "the default takes no less than the limits allow: %.3g ms of %.3g", least * 1e3,
	   one * 1e3);
	ok(seconds(p, &thin, 1) > 1.5 * one, "register blocks of one row wait for loads");
	ok(seconds(p, &naive, 1) > one, "what is stored in between is read again");
	double two = seconds(p, &usual, 2);
	ok(two < 0.6 * one && two >= 0.5 * one, "two threads take half of the time");
	const struct problem *single = bound(1, 48, 4096);
	struct schedule whole = schedule_default(single, ISA_AVX512);
	whole.stream[0].row_tile = 48;
	whole.stream[0].split = 0;
	ok(seconds(single, &whole, 2) > 0.9 * seconds(single, &whole, 1), "one task is not shared out");
	arena_free(&arena);
	return tap_done();
}
