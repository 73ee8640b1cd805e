/* oracle.h: the definition. A float64 interpreter of a cascade: straight loops, no cleverness. */
#ifndef ATTUNE_DSL_ORACLE_H
#define ATTUNE_DSL_ORACLE_H

#include "dsl/cascade.h"

/* Every tensor of the cascade, dense and row-major in float64, after a run; `present` is NULL when
 * every element is. Inputs are what the caller put there. */
struct oracle_tensor {
	double *data;
	unsigned char *present; /* 0 or 1 an element */
	int64_t count;
};

/* Evaluates all equations. `tensor` has one entry a tensor of the cascade, inputs filled by the caller;
 * the others are allocated in `arena`. Needs all ranks bound. Outputs are rounded to nothing: storage
 * rounding is the caller's. False, with a diagnostic, on an index read out of a gather's range or when
 * memory would pass `limit` bytes. */
bool oracle_run(struct arena *, struct cascade *, struct oracle_tensor *tensor, size_t limit, struct diags *);

#endif
