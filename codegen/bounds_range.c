/* bounds_range.c: where an index may be for a formula to hold; see formula.h. */
#include <math.h>

#include "codegen/formula.h"

/* The end of what `atom` may be where c·atom + others ≤ 0; NO_EXPR when unknown.
 * c > 0: atom ≤ ⌊max(-others) / c⌋; c < 0: atom ≥ ⌈min(others) / -c⌉ */
static struct expr end_of(const struct box *b, const struct linear *others, int64_t c)
{
	struct expr_pool *p = &b->cascade->pool;
	struct linear rest = {0};
	struct expr given = NO_EXPR;
	if (!linear_add(&rest, others, c > 0 ? -1 : 1))
		return NO_EXPR;
	struct expr end = linear_extreme(b, &rest, c > 0 ? 1 : -1, &given);
	if (!end.id || given.id)
		return NO_EXPR;
	if (c > 1)
		return expr2(p, OP_IDIV, end, expr_number(p, (double)c));
	if (c < -1) {
		end = expr2(p, OP_ADD, end, expr_number(p, (double)(-c - 1)));
		end = expr2(p, OP_IDIV, end, expr_number(p, (double)-c));
	}
	return end;
}

/* Narrows r, a range of inclusive ends, by "linear ≤ 0". */
static void narrow(const struct box *b, const struct linear *l, uint32_t index, struct range *r)
{
	struct expr_pool *p = &b->cascade->pool;
	int at = -1;
	for (int i = 0; i < l->n; i++) {
		if (!expr_mentions(p, l->atom[i], OP_INDEX, index))
			continue;
		if (at >= 0)
			return; /* twice: no closed form */
		at = i;
	}
	if (at < 0)
		return;
	struct expr atom = l->atom[at];
	int64_t c = l->c[at];
	struct linear others = *l;
	linear_drop(&others, at);
	struct expr end = end_of(b, &others, c);
	double by;
	if (!end.id)
		return;
	if (expr_at(p, atom)->op == OP_INDEX) {
		struct expr *old = c > 0 ? &r->high : &r->low;
		*old = old->id ? expr2(p, c > 0 ? OP_MIN : OP_MAX, *old, end) : end;
	} else if (expr_at(p, atom)->op == OP_IDIV && expr_is_number(p, expr_operand(p, atom, 1), &by) &&
	           by >= 1) {
		/* ⌊x / by⌋ ≤ end ⇔ x ≤ by·end + by - 1; ≥ end ⇔ x ≥ by·end */
		struct linear inner, ends = {0};
		struct expr scaled = expr2(p, OP_MUL, end, expr_number(p, by));
		if (c > 0)
			scaled = expr2(p, OP_ADD, scaled, expr_number(p, by - 1));
		if (!linear_of(b, expr_operand(p, atom, 0), &inner) || !linear_of(b, scaled, &ends) ||
		    !linear_add(&inner, &ends, -1))
			return;
		struct linear minus = {0};
		if (c < 0 && !linear_add(&minus, &inner, -1))
			return;
		narrow(b, c > 0 ? &inner : &minus, index, r);
	}
}

/* Part of a disjunct that is left inside the current range, as ends that no longer count when it is nothing.
 */
static struct range visible(const struct box *b, struct range r, uint32_t index)
{
	struct expr_pool *p = &b->cascade->pool;
	struct expr low = expr_leaf(p, OP_LOW, KIND_INT, index),
	            high = expr_leaf(p, OP_HIGH, KIND_INT, index);
	if (!r.low.id && !r.high.id)
		return (struct range){low, high};
	struct expr from = r.low.id ? expr2(p, OP_MAX, low, r.low) : low;
	struct expr to = r.high.id ? expr2(p, OP_MIN, high, r.high) : high;
	struct expr some = expr2(p, OP_LE, from, to), one = expr_number(p, 1);
	return (struct range){expr3(p, OP_SELECT, some, from, expr2(p, OP_ADD, high, one)),
	                      expr3(p, OP_SELECT, some, to, expr2(p, OP_SUB, low, one))};
}

/* min (max) of two ends, where max (min) of one of them with anything absorbs. */
static struct expr outer(struct expr_pool *p, enum op op, struct expr x, struct expr y)
{
	enum op inner = op == OP_MIN ? OP_MAX : OP_MIN;
	for (int i = 0; i < 2; i++) {
		if (expr_at(p, x)->op == inner &&
		    (expr_same(expr_operand(p, x, 0), y) || expr_same(expr_operand(p, x, 1), y)))
			return y;
		struct expr swap = x;
		x = y;
		y = swap;
	}
	return expr2(p, op, x, y);
}

struct range formula_range(const struct box *b, const struct formula *f, uint32_t index, bool within)
{
	struct expr_pool *p = &b->cascade->pool;
	struct range r = {NO_EXPR, NO_EXPR}, x, y;
	switch (f->form) {
	case FORM_FALSE: return (struct range){expr_number(p, 0), expr_number(p, -1)};
	case FORM_LINEAR: narrow(b, &f->linear, index, &r); return r;
	case FORM_ALL:
	case FORM_ANY: break;
	default: return r;
	}
	x = formula_range(b, f->left, index, within);
	y = formula_range(b, f->right, index, within);
	if (f->form == FORM_ALL) {
		r.low = !x.low.id ? y.low : !y.low.id ? x.low : expr2(p, OP_MAX, x.low, y.low);
		r.high = !x.high.id ? y.high : !y.high.id ? x.high : expr2(p, OP_MIN, x.high, y.high);
		return r;
	}
	bool bounded = (x.low.id || x.high.id) && (y.low.id || y.high.id);
	if (within && bounded) {
		x = visible(b, x, index);
		y = visible(b, y, index);
	}
	if (x.low.id && y.low.id)
		r.low = outer(p, OP_MIN, x.low, y.low);
	if (x.high.id && y.high.id)
		r.high = outer(p, OP_MAX, x.high, y.high);
	return r;
}
