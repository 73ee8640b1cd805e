/* work.h: what a cascade has to compute, whatever the schedule. */
#ifndef ATTUNE_CODEGEN_WORK_H
#define ATTUNE_CODEGEN_WORK_H

#include "dsl/cascade.h"

/* Useful floating-point work of a bound cascade: two for every element of every sum of products that is present
 * and wanted by a reader, the usual count that shares of a machine's peak refer to. What a predicate keeps of a range is found by a fixed,
 * evenly spread sample, good to about a thousandth of the range; what depends on the data of a tensor counts as present. */
double cascade_flops(struct cascade *);

#endif
