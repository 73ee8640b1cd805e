/* single_test.c: a walk of one tile begins at no identity, corrects and carries nothing, and finishes a block of rows at a
 * time; what a mask cuts, and what is longer than a tile, is walked as ever. Through every stage, on every ISA here. */
#include <stdlib.h>

#include "dsl/parse.h"
#include "tests/stages_c.h"
#include "tests/tap.h"

static bool clang_here;
static enum isa best;

#define HEAD "kernel test\nrank N, M, D\nin Q[N, D], K[M, D], V[M, D] : f32\nout O[N, D] : f32\nout L[N] : f32\n"
static const struct {
	const char *name, *text;
	bool single; /* where a tile holds all keys */
} kernels[] = {
	{"softmax and its logarithm",
	 HEAD "S[n,m] = sum[d](Q[n,d] * K[m,d]) * 0.1\nP, L = softmax[m](S), logsumexp[m](S)\nO[n,d] = P[n,m] * V[m,d]\n", true},
	{"a factor inside the second sum, and a mean of two reductions",
	 HEAD "in w : f32\nS[n,m] = sum[d](Q[n,d] * K[m,d]) * 0.1\nP = softmax[m](S)\nA[n] = max[m](P)\nL[n] = A[n] + min[m](S)\n"
	      "O[n,d] = sum[m](P[n,m] * V[m,d] * w)\n", true},
	{"a count beside the sum",
	 HEAD "S[n,m] = sum[d](Q[n,d] * K[m,d]) * 0.1\nP = softmax[m](S)\nL[n] = mean[m](S)\nO[n,d] = P[n,m] * V[m,d]\n", true},
	{"a mask",
	 HEAD "S[n,m] = sum[d](Q[n,d] * K[m,d]) * 0.1 where m < n\nP, L = softmax[m](S), logsumexp[m](S)\n"
	      "O[n,d] = P[n,m] * V[m,d]\n", false},
};

static struct cascade *cascade_of(struct arena *a, const char *text, int64_t keys, struct text *errors)
{
	struct diags d;
	diags_init(&d, a, "test", text, strlen(text));
	struct cascade *c = cascade_parse(a, text, strlen(text), NULL, 0, &d);
	diags_print(&d, errors);
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		c->rank.v[i].extent = *c->rank.v[i].name == 'N' ? 70 : *c->rank.v[i].name == 'M' ? keys : 40;
	return c;
}

/* The default, short tiles, and at random. */
static bool through(struct stages *s, bool single)
{
	for (enum isa isa = 0; isa < HOST_ISAS; isa++)
		for (int form = 0; form < 3; form++) {
			if (form && form != 1 + (int)(isa + s->cascade->equation.n) % 2)
				continue;
			struct schedule schedule = form > 1 ? stages_random(s, isa) : schedule_default(s->problem, isa);
			for (int k = 0; form == 1 && k < schedule.nstreams; k++)
				schedule.stream[k].stream_tile = 64;
			if (form == 1 && schedule_illegal(s->arena, s->problem, &schedule))
				continue;
			const struct target *target = clang_here && isa_runs_on(isa, best) ? &target_clang : NULL;
			if (!stages_tried(s, &schedule, target, 2e-5))
				return false;
			struct text program;
			text_init(&program, s->arena);
			tile_print(s->program, &program);
			bool carries = strstr(program.s, "= map -inf") != NULL;
			if (form == 0 && carries == single)
				return stages_fault(s, "the walk %s", carries ? "carries" : "does not carry");
		}
	return true;
}

static void try_one(int kernel, int64_t keys)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		struct text errors;
		struct stages s = {0};
		text_init(&errors, &a);
		struct cascade *c = cascade_of(&a, kernels[kernel].text, keys, &errors);
		bool single = kernels[kernel].single && keys > 0 && keys < 1000;
		bool good = c && stages_begin(&s, &a, c, 1) && through(&s, single);
		ok(good, "%s, %d keys %s%s", kernels[kernel].name, (int)keys, errors.s ? errors.s : "", s.fault.s ? s.fault.s : "");
	} else {
		ok(false, "%s: memory", kernels[kernel].name);
	}
	arena_free(&a);
}

int main(void)
{
	static const int64_t keys[] = {0, 1, 77, 1500};
	struct arena a;
	struct machine here;
	arena_init(&a);
	machine_detect(&here);
	best = here.isa;
	clang_here = !target_clang.missing(&a);
	arena_free(&a);
	for (int k = 0; k < (int)(sizeof kernels / sizeof *kernels); k++)
		for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
			try_one(k, keys[i]);
	return tap_done();
}
