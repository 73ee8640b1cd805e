/* model.h: how long a kernel takes on a device on which nothing has run: from what its phases ask of it, what
 * the assembler's log says they take, and the machine's rates.
 *
 * It orders candidates where there is no device and suggests what to measure where there is one; it is no
 * measurement. Every constant and its source stand in model.c.
 */
#ifndef ATTUNE_SEARCH_MODEL_H
#define ATTUNE_SEARCH_MODEL_H

#include "codegen/device_work.h"
#include "codegen/machine.h"
#include "targets/resources.h"

struct model_phase {
	double seconds; /* INFINITY: it cannot or must not run */
	int blocks;     /* at a time on a multiprocessor */
	/* seconds of the busiest multiprocessor, each as if it were alone; memory is the whole device's */
	double tensor, cores, special, shared, l2, spills, latency, memory;
	const char *bound; /* which of them decides, or what refuses it */
};

/* Of one phase. `resources` may be NULL: then registers are guessed. */
void model_phase(const struct device_work *, const struct kernel_phase *, const struct resources *,
                 const struct machine *, struct model_phase *);
/* Of all phases of a checked program and its text, one after the other in `out`; `resources`: one a phase, or NULL. */
void model_phases(const struct tile_program *, const struct kernel_source *, const struct resources *,
                  const struct machine *, struct model_phase *out);
/* … and all together, launches included. */
double model_seconds(const struct tile_program *, const struct kernel_source *, const struct resources *,
                     const struct machine *);

#endif
