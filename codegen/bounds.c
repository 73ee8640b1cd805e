/* bounds.c: predicates as formulas; see formula.h. Full is "the negation is empty", so emptiness of formulas
 * (bounds_empty.c) and the range of an index in them (bounds_range.c) are all there is to derive. */
#include "codegen/bounds.h"

#include <math.h>

#include "codegen/formula.h"

static const struct formula TRUE_FORMULA = {.form = FORM_TRUE}, FALSE_FORMULA = {.form = FORM_FALSE};
/* Logic out of one comparison's min, max, abs and select stops growing here, and the rest is left to
 * intervals. */
enum { MAX_UNFOLD = 6 };

const struct formula *formula_join(const struct box *b, enum form form, const struct formula *x,
                                   const struct formula *y)
{
	enum form unit = form == FORM_ALL ? FORM_TRUE : FORM_FALSE;
	enum form zero = form == FORM_ALL ? FORM_FALSE : FORM_TRUE;
	if (x->form == unit || y->form == zero)
		return y;
	if (y->form == unit || x->form == zero)
		return x;
	struct formula *f = arena_new(b->cascade->arena, struct formula);
	f->form = form;
	f->left = x;
	f->right = y;
	return f;
}

const struct formula *formula_opaque(const struct box *b, struct expr holds, struct expr fails)
{
	double value;
	if (holds.id && expr_is_number(&b->cascade->pool, holds, &value) && value != 0)
		return &TRUE_FORMULA;
	if (fails.id && expr_is_number(&b->cascade->pool, fails, &value) && value != 0)
		return &FALSE_FORMULA;
	struct formula *f = arena_new(b->cascade->arena, struct formula);
	f->form = FORM_OPAQUE;
	f->holds = holds;
	f->fails = fails;
	return f;
}

static const struct formula *unknown(const struct box *b)
{
	return formula_opaque(b, NO_EXPR, NO_EXPR);
}

static const struct formula *le0(const struct box *, struct linear, int unfold);

/* rest + c·atom ≤ 0 for an atom that is one of several, by a choice that is logic. */
static const struct formula *unfolded(const struct box *b, struct linear rest, struct expr atom, int64_t c,
                                      int unfold)
{
	struct expr_pool *p = &b->cascade->pool;
	enum op op = (enum op)expr_at(p, atom)->op;
	int first = op == OP_SELECT;
	struct linear x, y, with_x = rest, with_y = rest;
	if (!linear_of(b, expr_operand(p, atom, first), &x))
		return unknown(b);
	y = x;
	if (op != OP_ABS && !linear_of(b, expr_operand(p, atom, first + 1), &y))
		return unknown(b);
	if (!linear_add(&with_x, &x, c) || !linear_add(&with_y, &y, op == OP_ABS ? -c : c))
		return unknown(b);
	const struct formula *left = le0(b, with_x, unfold + 1), *right = le0(b, with_y, unfold + 1);
	if (op == OP_SELECT) {
		struct expr condition = expr_operand(p, atom, 0);
		left = formula_join(b, FORM_ALL, formula_of(b, condition, false), left);
		right = formula_join(b, FORM_ALL, formula_of(b, condition, true), right);
		return formula_join(b, FORM_ANY, left, right);
	}
	return formula_join(b, (c > 0) == (op == OP_MIN) ? FORM_ANY : FORM_ALL, left, right);
}

/* linear ≤ 0 */
static const struct formula *le0(const struct box *b, struct linear l, int unfold)
{
	struct expr_pool *p = &b->cascade->pool;
	for (int i = 0; i < l.n && unfold < MAX_UNFOLD; i++) {
		struct expr atom = l.atom[i];
		enum op op = (enum op)expr_at(p, atom)->op;
		if ((op != OP_MIN && op != OP_MAX && op != OP_ABS && op != OP_SELECT) ||
		    !box_mentions(b, atom))
			continue;
		int64_t c = l.c[i];
		linear_drop(&l, i);
		return unfolded(b, l, atom, c, unfold);
	}
	linear_reduce(&l);
	if (linear_limit(b, &l, 1) <= 0)
		return &TRUE_FORMULA;
	if (linear_limit(b, &l, -1) > 0)
		return &FALSE_FORMULA;
	struct formula *f = arena_new(b->cascade->arena, struct formula);
	f->form = FORM_LINEAR;
	f->linear = l;
	return f;
}

/* The x of `x % by` with a constant by ≥ 1, where d is that less a constant remainder, or less another one by
 * the same number: then d == 0 where what is returned has remainder 0. */
static bool congruence(const struct box *b, const struct linear *d, struct linear *x, double *by)
{
	struct expr_pool *p = &b->cascade->pool;
	struct linear of, other;
	double same;
	int sign = d->n && d->c[0] > 0 ? 1 : -1;
	if (d->n < 1 || d->n > 2 || d->c[0] != sign || expr_at(p, d->atom[0])->op != OP_MOD ||
	    !expr_is_number(p, expr_operand(p, d->atom[0], 1), by) || *by < 1 ||
	    !linear_of(b, expr_operand(p, d->atom[0], 0), &of))
		return false;
	*x = of;
	if (d->n == 1) {
		x->k += sign * d->k;
		return -sign * d->k >= 0 && (double)(-sign * d->k) < *by;
	}
	return d->c[1] == -sign && !d->k && expr_at(p, d->atom[1])->op == OP_MOD &&
	       expr_is_number(p, expr_operand(p, d->atom[1], 1), &same) && same == *by &&
	       linear_of(b, expr_operand(p, d->atom[1], 0), &other) && linear_add(x, &other, -1);
}

static struct expr linear_expr(const struct box *b, const struct linear *l)
{
	struct expr_pool *p = &b->cascade->pool;
	struct expr e = expr_number(p, (double)l->k);
	for (int i = 0; i < l->n; i++)
		e = expr2(p, OP_ADD, expr2(p, OP_MUL, expr_number(p, (double)l->c[i]), l->atom[i]), e);
	return e;
}

/* The t of xor(t, t - 1) == 2·t - 1, which says that t is 0 or a power of two. */
static bool single_bit(const struct box *b, const struct linear *d, struct linear *t)
{
	struct expr_pool *p = &b->cascade->pool;
	for (int i = 0; i < d->n; i++) {
		if (expr_at(p, d->atom[i])->op != OP_XOR || (d->c[i] != 1 && d->c[i] != -1))
			continue;
		struct linear x, y, apart = {0}, rest = {0};
		if (!linear_of(b, expr_operand(p, d->atom[i], 0), &x) ||
		    !linear_of(b, expr_operand(p, d->atom[i], 1), &y))
			continue;
		apart = x;
		if (!linear_add(&apart, &y, -1) || apart.n || (apart.k != 1 && apart.k != -1))
			continue;
		*t = apart.k == 1 ? x : y;
		struct linear others = *d;
		linear_drop(&others, i);
		if (linear_add(&rest, &others, d->c[i]) && linear_add(&rest, t, 2) && !rest.n && rest.k == 1)
			return true;
	}
	return false;
}

/* x op y on ints. */
static const struct formula *compare_ints(const struct box *b, enum op op, struct expr x, struct expr y)
{
	struct expr_pool *p = &b->cascade->pool;
	struct linear l, r, d, minus = {0};
	double by;
	if (!linear_of(b, x, &l) || !linear_of(b, y, &r))
		return unknown(b);
	d = l;
	if (!linear_add(&d, &r, -1) || !linear_add(&minus, &d, -1))
		return unknown(b);
	if (op == OP_LE)
		return le0(b, d, 0);
	if (op == OP_LT) {
		d.k++;
		return le0(b, d, 0);
	}
	int64_t g = linear_content(&d);
	if (g > 1 && d.k % g != 0)
		return op == OP_EQ ? &FALSE_FORMULA : &TRUE_FORMULA;
	if (congruence(b, &d, &r, &by)) {
		struct expr rest = expr2(p, OP_MOD, linear_expr(b, &r), expr_number(p, by));
		d = (struct linear){1, {rest}, {op == OP_EQ ? 1 : -1}, op == OP_NE};
		return le0(b, d, 0);
	}
	if (single_bit(b, &d, &r)) {
		struct expr t = linear_expr(b, &r), next = expr1(p, OP_BIT_CEIL, t), zero = expr_number(p, 0);
		bool is = op == OP_EQ;
		return formula_join(b, is ? FORM_ANY : FORM_ALL, compare_ints(b, op, t, zero),
		                    compare_ints(b, is ? OP_LE : OP_LT, is ? next : t, is ? t : next));
	}
	if (op == OP_EQ)
		return formula_join(b, FORM_ALL, le0(b, d, 0), le0(b, minus, 0));
	d.k++;
	minus.k++;
	return formula_join(b, FORM_ANY, le0(b, d, 0), le0(b, minus, 0));
}

/* x op y on reals, and what has no linear form: by the ends of both sides. A NaN in an end makes every
 * comparison with it false, so it claims nothing. */
static const struct formula *compare_reals(const struct box *b, enum op op, struct expr x, struct expr y,
                                           bool negate)
{
	struct expr_pool *p = &b->cascade->pool;
	struct interval v = interval_of(b, x), w = interval_of(b, y);
	if (!v.low.id || !w.low.id)
		return unknown(b);
	struct expr holds, fails, given = box_both(b, v.given, w.given);
	if (op == OP_LT) {
		holds = expr2(p, OP_LT, v.high, w.low);
		fails = expr2(p, OP_LE, w.high, v.low);
	} else if (op == OP_LE) {
		holds = expr2(p, OP_LE, v.high, w.low);
		fails = expr2(p, OP_LT, w.high, v.low);
	} else {
		struct expr before = expr2(p, OP_LT, v.high, w.low), after = expr2(p, OP_LT, w.high, v.low);
		holds = expr2(p, OP_AND, expr2(p, OP_LE, v.high, w.low), expr2(p, OP_LE, w.high, v.low));
		fails = expr2(p, OP_OR, before, after);
	}
	holds = box_both(b, given, holds);
	fails = box_both(b, given, fails);
	return (op == OP_NE) != negate ? formula_opaque(b, fails, holds) : formula_opaque(b, holds, fails);
}

/* (c and x) or (not c and y); the negation negates x and y. */
static const struct formula *choose(const struct box *b, struct expr c, struct expr x, struct expr y,
                                    bool negate)
{
	return formula_join(b, FORM_ANY,
	                    formula_join(b, FORM_ALL, formula_of(b, c, false), formula_of(b, x, negate)),
	                    formula_join(b, FORM_ALL, formula_of(b, c, true), formula_of(b, y, negate)));
}

static const struct formula *compare(const struct box *b, enum op op, struct expr x, struct expr y,
                                     bool negate)
{
	struct expr_pool *p = &b->cascade->pool;
	enum kind k = (enum kind)expr_at(p, x)->kind, l = (enum kind)expr_at(p, y)->kind;
	if ((k == KIND_BOOL || l == KIND_BOOL) && (op == OP_EQ || op == OP_NE)) {
		struct expr not_y = expr1(p, OP_NOT, y);
		return choose(b, x, op == OP_EQ ? y : not_y, op == OP_EQ ? not_y : y, negate);
	}
	if (k != KIND_INT || l != KIND_INT)
		return compare_reals(b, op, x, y, negate);
	if (!negate)
		return compare_ints(b, op, x, y);
	switch (op) {
	case OP_LT: return compare_ints(b, OP_LE, y, x);
	case OP_LE: return compare_ints(b, OP_LT, y, x);
	default: return compare_ints(b, op == OP_EQ ? OP_NE : OP_EQ, x, y);
	}
}

const struct formula *formula_of(const struct box *b, struct expr e, bool negate)
{
	struct expr_pool *p = &b->cascade->pool;
	const struct expr_node n = *expr_at(p, e);
	struct expr x = n.count > 0 ? expr_operand(p, e, 0) : NO_EXPR;
	struct expr y = n.count > 1 ? expr_operand(p, e, 1) : NO_EXPR;
	switch (n.op) {
	case OP_CONST: return (n.number != 0) != negate ? &TRUE_FORMULA : &FALSE_FORMULA;
	case OP_NOT: return formula_of(b, x, !negate);
	case OP_AND:
	case OP_OR:
		return formula_join(b, (n.op == OP_AND) != negate ? FORM_ALL : FORM_ANY,
		                    formula_of(b, x, negate), formula_of(b, y, negate));
	case OP_SELECT: return choose(b, x, y, expr_operand(p, e, 2), negate);
	case OP_LT:
	case OP_LE:
	case OP_EQ:
	case OP_NE:
		if (box_settles(b, e))
			break;
		return compare(b, (enum op)n.op, x, y, negate);
	default: break;
	}
	/* Bools are all that is left; one coordinate's worth decides itself, also a comparison of such. */
	if (!box_settles(b, e))
		return unknown(b);
	if (n.kind != KIND_BOOL)
		e = expr2(p, OP_NE, e, expr_number(p, 0));
	struct expr not_e = expr1(p, OP_NOT, e);
	return negate ? formula_opaque(b, not_e, e) : formula_opaque(b, e, not_e);
}

static struct expr bound_extent(struct expr_pool *p, struct expr e, void *context)
{
	const struct cascade *c = context;
	int64_t extent;
	return expr_at(p, e)->op == OP_EXTENT && cascade_extent(c, e, &extent)
	               ? expr_number(p, (double)extent)
	               : e;
}

/* With numbers for the extents that are known: a division by one, or a product, is by a number then. */
static struct expr with_extents(struct cascade *c, struct expr predicate)
{
	return predicate.id ? expr_rewrite(&c->pool, predicate, bound_extent, c) : predicate;
}

/* e + 1 */
static struct expr after(struct expr_pool *p, struct expr e)
{
	double number;
	if (expr_at(p, e)->op == OP_SUB && expr_is_number(p, expr_operand(p, e, 0), &number) && number < 1e9)
		return expr2(p, OP_SUB, expr_number(p, number + 1), expr_operand(p, e, 1));
	return expr2(p, OP_ADD, e, expr_number(p, 1));
}

static struct range bounds(struct cascade *c, struct expr predicate, uint32_t index, const uint32_t *ranged,
                           int n, bool within)
{
	struct range r = {NO_EXPR, NO_EXPR};
	if (!predicate.id)
		return r;
	uint32_t *all = arena_new_array(c->arena, (size_t)n + 1, uint32_t);
	for (int i = 0; i < n; i++)
		all[i] = ranged[i];
	all[n] = index;
	struct box b = {c, all, n + 1};
	r = formula_range(&b, formula_of(&b, with_extents(c, predicate), false), index, within);
	if (r.high.id)
		r.high = after(&c->pool, r.high);
	return r;
}

struct range bounds_of(struct cascade *c, struct expr predicate, uint32_t index, const uint32_t *ranged,
                       int n)
{
	return bounds(c, predicate, index, ranged, n, false);
}

struct range bounds_within(struct cascade *c, struct expr predicate, uint32_t index, const uint32_t *ranged,
                           int n)
{
	return bounds(c, predicate, index, ranged, n, true);
}

struct expr bounds_full(struct cascade *c, struct expr predicate, const uint32_t *ranged, int n)
{
	struct box b = {c, ranged, n};
	predicate = with_extents(c, predicate);
	return predicate.id ? formula_empty(&b, formula_of(&b, predicate, true)) : expr_number(&c->pool, 1);
}

struct expr bounds_empty(struct cascade *c, struct expr predicate, const uint32_t *ranged, int n)
{
	struct box b = {c, ranged, n};
	predicate = with_extents(c, predicate);
	return predicate.id ? formula_empty(&b, formula_of(&b, predicate, false)) : expr_number(&c->pool, 0);
}
