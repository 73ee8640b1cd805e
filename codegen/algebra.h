/* algebra.h: the simplify rules, and what can be proved of an expression without running it.
 *
 * The canonical form of an expression is a sum of products: addends and factors in order of their ids,
 * equal ones merged, powers counted in halves (sqrt), the exponentials of a product joined into one, so
 * that exp(a)/exp(b) is exp(a - b) and 1/exp(log x) is 1/x. It serves to tell that two expressions are
 * equal and to write new ones short; a user's own expression is never replaced by it. It is real-number
 * algebra: it may differ in rounding and where a zero meets an infinity, which is why whoever emits it
 * guards the empty case.
 */
#ifndef ATTUNE_CODEGEN_ALGEBRA_H
#define ATTUNE_CODEGEN_ALGEBRA_H

#include "dsl/cascade.h"

struct algebra {
	struct cascade *c;
	struct expr *memo; /* canonical form by id */
	uint32_t n;
	int fuel; /* steps left to the call in progress: shared nodes could cost exponentially many */
};

void algebra_init(struct algebra *, struct cascade *);
struct expr algebra_canonical(struct algebra *, struct expr);

/* e > 0 (or e >= 0 when not strict) wherever it is defined. A READ counts by what defines its tensor; a sum
 * of positive terms counts as positive, so it is so only over a range that is not empty. */
bool algebra_positive(const struct cascade *, struct expr, bool strict);

/* The value of an expression; `leaf` is asked for every node first and may answer for any of them. A leaf it
 * does not answer for is NaN. */
typedef bool algebra_leaf(const struct expr_pool *, struct expr, void *context, double *value);
double algebra_evaluate(const struct expr_pool *, struct expr, algebra_leaf *, void *context);

#endif
