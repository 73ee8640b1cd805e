/* oracle.h: the definition. A float64 interpreter of a cascade: straight loops over every equation.
 *
 * Presence is as cascade.h says, an element at a time. In particular a read outside a tensor's extents is
 * absent, a gather's too: a coordinate of -1 in a table of pages means "no page".
 */
#ifndef ATTUNE_DSL_ORACLE_H
#define ATTUNE_DSL_ORACLE_H

#include "dsl/cascade.h"

/* Every tensor of the cascade, dense and row-major in float64, after a run; `present` is NULL when
 * every element is. Inputs are what the caller put there. An absent element of a result holds what is
 * stored for it: the equation's `otherwise`, or 0. */
struct oracle_tensor {
	double *data;
	unsigned char *present; /* 0 or 1 an element */
	int64_t count;
};

/* Evaluates all equations. `tensor` has one entry a tensor of the cascade, inputs filled by the caller;
 * the others are allocated in `arena`. Needs all ranks bound and within cascade_check_bound. Outputs are
 * rounded to nothing: storage rounding is the caller's. False, with a diagnostic, when the results would
 * take more than `limit` bytes. Sums are plain float64, in no particular order. */
bool oracle_run(struct arena *, struct cascade *, struct oracle_tensor *tensor, size_t limit, struct diags *);

#endif
