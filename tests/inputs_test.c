/* inputs_test.c: on which arguments the phases of a kernel depend, by themselves and through phases before. */
#include "tests/stages.h"
#include "tests/tap.h"

static const char source[] = "kernel test\n"
                             "rank B = 1, H = 2, N = 600, M = 600, D = 16\n"
                             "in q[B, N], k[B, M] : i32\n"
                             "in Q[B, H, N, D], K[B, H, M, D], V[B, H, M, D] : f32\n"
                             "out O[B, H, N, D] : f32\n"
                             "index e : D\n"
                             "S[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] where q[b,n] == k[b,m]\n"
                             "P = softmax[m](S)\n"
                             "O[b,h,n,e] = P[b,h,n,m] * V[b,h,m,e]\n";

/* Bits of the arguments, by their first letters. */
static uint64_t bits(const char *names)
{
	uint64_t all = 0;
	for (; *names; names++)
		all |= (uint64_t)1 << (strchr("qkQKVO", *names) - "qkQKVO");
	return all;
}

int main(void)
{
	static const struct {
		const char *phase, *inputs;
		bool outputs;
	} want[] = {{"pack", "K", false}, {"granules", "k", false}, {"list", "qk", false}, {"stream", "qkQKV", true}};
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "memory");
		return tap_done();
	}
	struct diags d;
	diags_init(&d, &a, "test", source, strlen(source));
	struct cascade *c = cascade_parse(&a, source, strlen(source), NULL, 0, &d);
	struct problem *problem = problem_new(&a, c, &stages_machine, &d);
	struct schedule schedule = schedule_default(problem, ISA_AVX2);
	struct tile_program *p = tile_build(&a, problem, &schedule);
	struct kernel_source k = emit_c(&a, p, ISA_AVX2, schedule.exp_degree);
	int met = 0;
	ok(schedule.stream[0].sparsity == SPARSITY_LIST, "documents are listed");
	for (uint32_t i = 0; i < p->phase.n; i++)
		for (size_t w = 0; w < sizeof want / sizeof *want; w++) {
			if (strncmp(p->phase.v[i].name, want[w].phase, strlen(want[w].phase)) != 0)
				continue;
			met |= 1 << w;
			ok(k.phase[i].inputs == bits(want[w].inputs) && k.phase[i].outputs == want[w].outputs,
			   "%s depends on %s", p->phase.v[i].name, want[w].inputs);
		}
	ok(met == 15, "summaries, lists, packed keys and the walk are phases");
	arena_free(&a);
	return tap_done();
}
