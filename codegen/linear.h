/* linear.h: k + Σ c·atom over distinct atoms, none of them a sum or a multiple; in exact integers. */
#ifndef ATTUNE_CODEGEN_LINEAR_H
#define ATTUNE_CODEGEN_LINEAR_H

#include "codegen/interval.h"

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
/* Takes the i-th term out. */
void linear_drop(struct linear *, int i);
/* The same set of x where x ≤ 0, in smallest numbers: g·x + k ≤ 0 ⇔ x + ⌈k / g⌉ ≤ 0. */
void linear_reduce(struct linear *);
/* The greatest common divisor of the coefficients; 0 when there are none. */
int64_t linear_content(const struct linear *);
bool linear_mentions_box(const struct box *, const struct linear *);
/* The least (sign -1) or greatest (+1) value in the box; NO_EXPR when unknown. What it presumes of the box joins
 * `given`, a bool or NO_EXPR. */
struct expr linear_extreme(const struct box *, const struct linear *, int sign, struct expr *given);
/* The bool "its least (greatest) value is known and ≤ 0", spelled as a comparison without subtractions. */
struct expr linear_extreme_le0(const struct box *, const struct linear *, int sign);
/* The same over the whole of every index's extent, as a number; ±INFINITY when unknown. */
double linear_limit(const struct box *, const struct linear *, int sign);

#endif
