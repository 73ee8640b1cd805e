/* interval.h: what values an expression takes over a box of coordinates, as expressions.
 *
 * An index variable with a range lies in [LOW(i), HIGH(i)]; every other one is a single coordinate and stays
 * INDEX(i). A subexpression that mentions no ranged index is its own interval, whatever it is. Nothing here
 * guesses: a result either contains every value (none of them a NaN) or is unknown.
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

struct interval {
	struct expr low, high; /* NO_EXPR in both: unknown */
	bool finite;           /* no element is an infinity */
};
struct interval interval_of(const struct box *, struct expr);

/* k + Σ c·atom over distinct atoms, none of them a sum or a multiple; in exact integers. */
enum { MAX_LINEAR = 12 };
struct linear {
	int n;
	struct expr atom[MAX_LINEAR];
	int64_t c[MAX_LINEAR];
	int64_t k;
};
/* False when an int expression has too many atoms or too large numbers. */
bool linear_of(const struct box *, struct expr, struct linear *);
/* into += by · other; false as above. */
bool linear_add(struct linear *into, const struct linear *other, int64_t by);
int64_t linear_coefficient(const struct linear *, struct expr atom);
struct expr linear_expr(const struct box *, const struct linear *);
/* The least (sign -1) or greatest (+1) value in the box; NO_EXPR when unknown. */
struct expr linear_extreme(const struct box *, const struct linear *, int sign);
/* The bool "its least (greatest) value is ≤ 0", spelled as a comparison without subtractions. */
struct expr linear_extreme_le0(const struct box *, const struct linear *, int sign);
/* The same over the whole of every index's extent, as a number; ±INFINITY when unknown. */
double linear_limit(const struct box *, const struct linear *, int sign);

#endif
