/* work.h: what a cascade has to compute, whatever the schedule. */
#ifndef ATTUNE_CODEGEN_WORK_H
#define ATTUNE_CODEGEN_WORK_H

#include "dsl/cascade.h"

/* Elements of the cascade's inputs; NaN of a tensor whose data is not at hand. */
struct work_inputs {
	double (*element)(const void *owner, uint32_t tensor, const int64_t *coordinate);
	const void *owner;
};

/* Useful floating-point work of a bound cascade: two for every element of every sum of products that is present
 * and wanted by a reader, the usual count that shares of a machine's peak refer to. What a predicate keeps of a range
 * is found by a fixed, evenly spread sample, good to about a thousandth of the range; what depends on data that is not
 * among `inputs`, which may be NULL, counts as present. */
double cascade_flops(struct cascade *, const struct work_inputs *inputs);

#endif
