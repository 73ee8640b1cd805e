/* formula.h: a predicate as logic over what boxes can decide. Private to bounds*.c.
 *
 * Negation normal form: conjunctions and disjunctions over literals. A literal is a linear form that is ≤ 0
 * (comparisons of ints, after min, max, abs and select became logic), or opaque: all that is known is when it surely
 * holds, or surely fails, on the whole box.
 */
#ifndef ATTUNE_CODEGEN_FORMULA_H
#define ATTUNE_CODEGEN_FORMULA_H

#include "codegen/bounds.h"
#include "codegen/linear.h"

enum form { FORM_TRUE, FORM_FALSE, FORM_ALL, FORM_ANY, FORM_LINEAR, FORM_OPAQUE };

struct formula {
	enum form form;
	const struct formula *left, *right; /* ALL, ANY */
	struct linear linear;               /* LINEAR: linear ≤ 0 */
	struct expr holds, fails;           /* OPAQUE: bool expressions over the box; NO_EXPR: never known */
};

/* The predicate, or its negation. */
const struct formula *formula_of(const struct box *, struct expr predicate, bool negate);
const struct formula *formula_opaque(const struct box *, struct expr holds, struct expr fails);
/* x and y (ALL), x or y (ANY). */
const struct formula *formula_join(const struct box *, enum form, const struct formula *x, const struct formula *y);

/* bounds_empty.c: a bool over the box that implies that the formula is false on all of it; a number when that is
 * decided already. */
struct expr formula_empty(const struct box *, const struct formula *);
/* bounds_range.c: inclusive ends of `index` outside which it is false; NO_EXPR: none. `within`: only the current
 * range of `index` counts. */
struct range formula_range(const struct box *, const struct formula *, uint32_t index, bool within);

#endif
