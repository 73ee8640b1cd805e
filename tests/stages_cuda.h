/* stages_cuda.h: the last stages for a device: a tile program as kernels, run by the emulator, against what the oracle
 * said. */
#ifndef ATTUNE_TESTS_STAGES_CUDA_H
#define ATTUNE_TESTS_STAGES_CUDA_H

#include "tests/emulated.h"
#include "tests/stages.h"

/* The last schedule's program. A program that has no kernel for a reason is none to be wrong. */
__attribute__((unused)) static bool stages_cuda(struct stages *s, bool plain, enum emulate_order order, double bound)
{
	const struct tile_program *p = s->program;
	struct kernel_source k = plain ? emit_cuda_plain(s->arena, p) : emit_cuda(s->arena, p);
	struct emulated run;
	struct text why;
	text_init(&why, s->arena);
	if (!k.text)
		return *k.reason || stages_fault(s, "cuda: no kernel and no reason");
	if (!emulated_open(&run, s->arena, p, &k, &why))
		return stages_fault(s, "cuda: %s", why.s);
	double **tensor = arena_new_array(s->arena, p->tensor.n, double *);
	for (uint32_t i = 0; i < p->tensor.n && p->tensor.v[i].place == PLACE_ARGUMENT; i++) {
		const struct oracle_tensor *from = &s->tensor[cascade_find_tensor(s->cascade, p->tensor.v[i].name)];
		tensor[i] = p->tensor.v[i].role == ROLE_IN
		                    ? from->data
		                    : arena_new_array(s->arena, (size_t)from->count + 1, double);
	}
	bool good = emulated_run(&run, tensor, order, &why) || stages_fault(s, "cuda: %s", why.s);
	for (uint32_t i = 0; good && i < p->tensor.n; i++) {
		const struct tile_tensor *t = &p->tensor.v[i];
		if (t->place != PLACE_ARGUMENT || t->role != ROLE_OUT)
			continue;
		const struct oracle_tensor *want = &s->tensor[cascade_find_tensor(s->cascade, t->name)];
		double error = stages_apart(want->data, tensor[i], want->count);
		good = error <= bound || stages_fault(s, "cuda: %s is off by %g", t->name, error);
	}
	emulated_close(&run);
	return good;
}

#endif
