/* interval.h: what values an expression takes over a box of coordinates, as expressions.
 *
 * An index variable with a range lies in [LOW(i), HIGH(i)]; every other one is a single coordinate and stays
 * INDEX(i). A subexpression that mentions no ranged index is its own interval, unless rounding may differ from one
 * place of the code to another. An INDEX of kind
 * REAL stands for elements of a tensor of reals; both its ends are a NaN where one of them is.
 *
 * The rules are by dsl/ops.h's column. Nothing here guesses: where `given` holds, every value of the expression as
 * computed (in f32 or f64, contracted or not, by the approximations of the preludes) lies between the ends and none
 * is a NaN; or the interval is unknown.
 */
#ifndef ATTUNE_CODEGEN_INTERVAL_H
#define ATTUNE_CODEGEN_INTERVAL_H

#include "dsl/cascade.h"

struct box {
	struct cascade *cascade;
	const uint32_t *ranged;
	int n;
};

bool box_mentions(const struct box *, struct expr); /* is a ranged index mentioned? */
/* Is it one value for the whole box, and the same wherever it is computed? */
bool box_settles(const struct box *, struct expr);
/* x and y, where NO_EXPR is "always". */
struct expr box_both(const struct box *, struct expr x, struct expr y);

struct interval {
	struct expr low, high; /* NO_EXPR in both: unknown */
	struct expr given;     /* a bool over the box that it presumes; NO_EXPR: nothing */
	double most;           /* no magnitude is above; infinite where one may be */
	bool nan;              /* one of the values may be a NaN, and then both ends are */
};
struct interval interval_of(const struct box *, struct expr);

#endif
