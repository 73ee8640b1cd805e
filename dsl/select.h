/* select.h: the definition of a selection (selections.h) on one fiber. */
#ifndef ATTUNE_DSL_SELECT_H
#define ATTUNE_DSL_SELECT_H

#include "dsl/expr.h"

/* Of n elements x, present where `here` says so (NULL: all). `argument` is k or p; k below 1 chooses none, k of
 * n and more all. `result` gets n values, of SELECT_MEMBERS `slots`; `scratch` is room for n. NaN is larger than
 * every number; ties go to the lower coordinate; -0 ties with 0. */
void select_fiber(enum selection, double argument, int64_t n, const double *x, const unsigned char *here,
                  int64_t *scratch, double *result, int64_t slots);

#endif
