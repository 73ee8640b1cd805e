/* work.h: what a cascade has to compute, whatever the schedule. */
#ifndef ATTUNE_CODEGEN_WORK_H
#define ATTUNE_CODEGEN_WORK_H

#include "dsl/cascade.h"

/* Useful floating-point work of a bound cascade: two for every present element of every sum of products, the
 * usual count that shares of a machine's peak refer to. What a predicate keeps of a range is found by a fixed,
 * evenly spread sample, to about a thousandth; what depends on the data of a tensor counts as present. */
double cascade_flops(struct cascade *);

#endif
