/* bounds.c: predicates over boxes; see bounds.h.
 *
 * A predicate becomes a formula in negation normal form: conjunctions and disjunctions over literals. A
 * literal is a linear form that is ≤ 0 (comparisons of ints, after min, max and abs became logic), or opaque:
 * all that is known is when it surely holds, or surely fails, on the whole box. Full is "the negation is
 * empty", so emptiness of formulas is all there is to derive.
 */
#include "codegen/bounds.h"

#include <math.h>

#include "base/whole.h"
#include "codegen/interval.h"

enum form { FORM_TRUE, FORM_FALSE, FORM_ALL, FORM_ANY, FORM_LINEAR, FORM_OPAQUE };

struct formula {
	enum form form;
	const struct formula *left, *right; /* ALL, ANY */
	struct linear linear;               /* LINEAR: linear ≤ 0 */
	struct expr holds, fails;           /* OPAQUE: bool expressions over the box; NO_EXPR: never known */
};

static const struct formula TRUE_FORMULA = {.form = FORM_TRUE}, FALSE_FORMULA = {.form = FORM_FALSE};
/* Logic out of one comparison's min, max and abs stops growing here, and becomes opaque. */
enum { MAX_UNFOLD = 6, MAX_CONJUNCTS = 24 };

static const struct formula *formula_join(const struct box *b, enum form form, const struct formula *x,
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

static const struct formula *formula_opaque(const struct box *b, struct expr holds, struct expr fails)
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

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* The greatest common divisor of the coefficients; 0 when there are none. */
static int64_t content(const struct linear *l)
{
	int64_t g = 0;
	for (int i = 0; i < l->n; i++)
		g = gcd(g, l->c[i]);
	return g;
}

/* linear ≤ 0, where max, min and abs of the right sign become conjunctions, others disjunctions. */
static const struct formula *formula_le0(const struct box *b, struct linear l, int unfold)
{
	struct expr_pool *p = &b->cascade->pool;
	for (int i = 0; i < l.n && unfold < MAX_UNFOLD; i++) {
		struct expr atom = l.atom[i];
		enum op op = expr_at(p, atom)->op;
		if ((op != OP_MIN && op != OP_MAX && op != OP_ABS) || !box_mentions(b, atom))
			continue;
		int64_t c = l.c[i];
		l.n--;
		l.atom[i] = l.atom[l.n];
		l.c[i] = l.c[l.n];
		struct linear x, y, with_x = l, with_y = l;
		if (!linear_of(b, expr_operand(p, atom, 0), &x))
			return formula_opaque(b, NO_EXPR, NO_EXPR);
		y = x;
		if (op != OP_ABS && !linear_of(b, expr_operand(p, atom, 1), &y))
			return formula_opaque(b, NO_EXPR, NO_EXPR);
		if (!linear_add(&with_x, &x, c) || !linear_add(&with_y, &y, op == OP_ABS ? -c : c))
			return formula_opaque(b, NO_EXPR, NO_EXPR);
		enum form form = (c > 0) == (op == OP_MIN) ? FORM_ANY : FORM_ALL;
		return formula_join(b, form, formula_le0(b, with_x, unfold + 1),
		                    formula_le0(b, with_y, unfold + 1));
	}
	int64_t g = content(&l);
	if (g > 1) { /* g·x + k ≤ 0 ⇔ x + ⌈k / g⌉ ≤ 0 */
		for (int i = 0; i < l.n; i++)
			l.c[i] /= g;
		l.k = -floor_div(-l.k, g);
	}
	if (linear_limit(b, &l, 1) <= 0)
		return &TRUE_FORMULA;
	if (linear_limit(b, &l, -1) > 0)
		return &FALSE_FORMULA;
	struct formula *f = arena_new(b->cascade->arena, struct formula);
	f->form = FORM_LINEAR;
	f->linear = l;
	return f;
}

/* x op y on ints. */
static const struct formula *compare_ints(const struct box *b, enum op op, struct expr x, struct expr y)
{
	struct linear l, r, d, minus = {0};
	if (!linear_of(b, x, &l) || !linear_of(b, y, &r))
		return formula_opaque(b, NO_EXPR, NO_EXPR);
	d = l;
	if (!linear_add(&d, &r, -1) || !linear_add(&minus, &d, -1))
		return formula_opaque(b, NO_EXPR, NO_EXPR);
	if (op == OP_LE)
		return formula_le0(b, d, 0);
	if (op == OP_LT) {
		d.k++;
		return formula_le0(b, d, 0);
	}
	int64_t g = content(&d);
	if (g > 1 && d.k % g != 0)
		return op == OP_EQ ? &FALSE_FORMULA : &TRUE_FORMULA;
	if (op == OP_EQ)
		return formula_join(b, FORM_ALL, formula_le0(b, d, 0), formula_le0(b, minus, 0));
	d.k++;
	minus.k++;
	return formula_join(b, FORM_ANY, formula_le0(b, d, 0), formula_le0(b, minus, 0));
}

static struct expr both(struct expr_pool *p, struct expr x, struct expr y)
{
	return expr2(p, OP_AND, x, y);
}

/* x op y on reals, and what has no linear form: by the ends of both sides. A NaN in an end makes every
 * comparison with it false, so it claims nothing. */
static const struct formula *compare_reals(const struct box *b, enum op op, struct expr x, struct expr y,
                                           bool negate)
{
	struct expr_pool *p = &b->cascade->pool;
	struct interval v = interval_of(b, x), w = interval_of(b, y);
	if (!v.low.id || !w.low.id)
		return formula_opaque(b, NO_EXPR, NO_EXPR);
	struct expr holds, fails;
	if (op == OP_LT) {
		holds = expr2(p, OP_LT, v.high, w.low);
		fails = expr2(p, OP_LE, w.high, v.low);
	} else if (op == OP_LE) {
		holds = expr2(p, OP_LE, v.high, w.low);
		fails = expr2(p, OP_LT, w.high, v.low);
	} else {
		holds = both(p, expr2(p, OP_LE, v.high, w.low), expr2(p, OP_LE, w.high, v.low));
		struct expr before = expr2(p, OP_LT, v.high, w.low), after = expr2(p, OP_LT, w.high, v.low);
		fails = expr2(p, OP_OR, before, after);
	}
	if ((op == OP_NE) != negate)
		return formula_opaque(b, fails, holds);
	return formula_opaque(b, holds, fails);
}

static const struct formula *formula_of(const struct box *b, struct expr e, bool negate);

/* (c and x) or (not c and y); the negation negates x and y. */
static const struct formula *choose(const struct box *b, struct expr c, struct expr x, struct expr y, bool negate)
{
	return formula_join(b, FORM_ANY,
	                    formula_join(b, FORM_ALL, formula_of(b, c, false), formula_of(b, x, negate)),
	                    formula_join(b, FORM_ALL, formula_of(b, c, true), formula_of(b, y, negate)));
}

static const struct formula *formula_of(const struct box *b, struct expr e, bool negate)
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
	case OP_NE: {
		enum kind k = expr_at(p, x)->kind, l = expr_at(p, y)->kind;
		if (!box_mentions(b, e))
			break;
		if (k == KIND_BOOL && l == KIND_BOOL && (n.op == OP_EQ || n.op == OP_NE))
			return choose(b, x, n.op == OP_EQ ? y : expr1(p, OP_NOT, y),
			              n.op == OP_EQ ? expr1(p, OP_NOT, y) : y, negate);
		if (k != KIND_INT || l != KIND_INT)
			return compare_reals(b, n.op, x, y, negate);
		if (!negate)
			return compare_ints(b, n.op, x, y);
		switch (n.op) {
		case OP_LT: return compare_ints(b, OP_LE, y, x);
		case OP_LE: return compare_ints(b, OP_LT, y, x);
		default: return compare_ints(b, n.op == OP_EQ ? OP_NE : OP_EQ, x, y);
		}
	}
	default: break;
	}
	/* Bools are all that is left; one coordinate's worth decides itself, also a comparison of such. */
	if (box_mentions(b, e))
		return formula_opaque(b, NO_EXPR, NO_EXPR);
	if (n.kind != KIND_BOOL)
		e = expr2(p, OP_NE, e, expr_number(p, 0));
	struct expr not_e = expr1(p, OP_NOT, e);
	return negate ? formula_opaque(b, not_e, e) : formula_opaque(b, e, not_e);
}

/* Conditions under which a formula is false on the whole box, as a list joined by "or". */
struct claim {
	const struct box *box;
	struct expr any; /* NO_EXPR: none yet */
	bool always;
};

static void claim_add(struct claim *c, struct expr e)
{
	double value;
	if (!e.id || c->always)
		return;
	if (expr_is_number(&c->box->cascade->pool, e, &value)) {
		c->always = value != 0;
		return;
	}
	c->any = c->any.id ? expr2(&c->box->cascade->pool, OP_OR, c->any, e) : e;
}

static struct expr claim_expr(const struct claim *c)
{
	return c->always || !c->any.id ? expr_number(&c->box->cascade->pool, c->always) : c->any;
}

struct conjuncts {
	int n;
	const struct formula *v[MAX_CONJUNCTS];
};

/* Conjuncts past the limit are dropped, which only loses claims. */
static void flatten(const struct formula *f, struct conjuncts *all)
{
	if (f->form == FORM_ALL) {
		flatten(f->left, all);
		flatten(f->right, all);
	} else if (all->n < MAX_CONJUNCTS) {
		all->v[all->n++] = f;
	}
}

/* The bool "linear ≤ 0 holds nowhere in the box". */
static struct expr never_le0(const struct box *b, const struct linear *l)
{
	if (linear_limit(b, l, 1) <= 0)
		return NO_EXPR;
	struct linear minus = {.k = 1};
	if (linear_limit(b, l, -1) > 0)
		return expr_number(&b->cascade->pool, 1);
	return linear_add(&minus, l, -1) ? linear_extreme_le0(b, &minus, 1) : NO_EXPR;
}

/* Two conjuncts that pull an atom in opposite directions: their sum without it must be ≤ 0 too. */
static void eliminate(struct claim *claim, const struct linear *x, const struct linear *y)
{
	const struct box *b = claim->box;
	int64_t times[2 * MAX_LINEAR][2];
	int tried = 0;
	for (int i = 0; i < x->n; i++) {
		int64_t cx = x->c[i], cy = linear_coefficient(y, x->atom[i]);
		if (!box_mentions(b, x->atom[i]) || !cy || (cx > 0) == (cy > 0))
			continue;
		int64_t g = gcd(cx, cy), by_x = (cy < 0 ? -cy : cy) / g, by_y = (cx < 0 ? -cx : cx) / g;
		bool again = false;
		for (int k = 0; k < tried; k++)
			again |= times[k][0] == by_x && times[k][1] == by_y;
		if (again)
			continue;
		times[tried][0] = by_x;
		times[tried++][1] = by_y;
		struct linear sum = {0};
		if (!linear_add(&sum, x, by_x) || !linear_add(&sum, y, by_y))
			continue;
		int64_t c = content(&sum);
		if (c > 1) {
			for (int k = 0; k < sum.n; k++)
				sum.c[k] /= c;
			sum.k = -floor_div(-sum.k, c);
		}
		claim_add(claim, never_le0(b, &sum));
	}
}

static struct expr empty(const struct box *b, const struct formula *f)
{
	struct expr_pool *p = &b->cascade->pool;
	switch (f->form) {
	case FORM_TRUE: return expr_number(p, 0);
	case FORM_FALSE: return expr_number(p, 1);
	case FORM_OPAQUE: return f->fails.id ? f->fails : expr_number(p, 0);
	case FORM_LINEAR: {
		struct expr e = never_le0(b, &f->linear);
		return e.id ? e : expr_number(p, 0);
	}
	case FORM_ANY: {
		struct expr x = empty(b, f->left), y = empty(b, f->right);
		double value;
		if (expr_is_number(p, x, &value))
			return value != 0 ? y : x;
		if (expr_is_number(p, y, &value))
			return value != 0 ? x : y;
		return both(p, x, y);
	}
	case FORM_ALL: break;
	}
	struct claim claim = {.box = b};
	struct conjuncts all = {0};
	flatten(f, &all);
	for (int i = 0; i < all.n; i++)
		claim_add(&claim, empty(b, all.v[i]));
	for (int i = 0; i < all.n; i++)
		for (int k = 0; k < i; k++)
			if (all.v[i]->form == FORM_LINEAR && all.v[k]->form == FORM_LINEAR)
				eliminate(&claim, &all.v[k]->linear, &all.v[i]->linear);
	return claim_expr(&claim);
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
	struct linear rest = {0}, others = *l;
	others.n--;
	others.atom[at] = others.atom[others.n];
	others.c[at] = others.c[others.n];
	if (!linear_add(&rest, &others, c > 0 ? -1 : 1))
		return;
	/* c > 0: atom ≤ ⌊max(-others) / c⌋; c < 0: atom ≥ ⌈min(others) / -c⌉ */
	struct expr end = linear_extreme(b, &rest, c > 0 ? 1 : -1);
	if (!end.id)
		return;
	if (c > 1) {
		end = expr2(p, OP_IDIV, end, expr_number(p, (double)c));
	} else if (c < -1) {
		end = expr2(p, OP_ADD, end, expr_number(p, (double)(-c - 1)));
		end = expr2(p, OP_IDIV, end, expr_number(p, (double)-c));
	}
	double by;
	if (expr_at(p, atom)->op == OP_INDEX) {
		struct expr *old = c > 0 ? &r->high : &r->low;
		*old = old->id ? expr2(p, c > 0 ? OP_MIN : OP_MAX, *old, end) : end;
	} else if (expr_at(p, atom)->op == OP_IDIV && expr_is_number(p, expr_operand(p, atom, 1), &by) && by >= 1) {
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

/* Part of a disjunct that is left inside the current range, as ends that no longer count when it is nothing. */
static struct range visible(const struct box *b, struct range r, uint32_t index)
{
	struct expr_pool *p = &b->cascade->pool;
	struct expr low = expr_leaf(p, OP_LOW, KIND_INT, index), high = expr_leaf(p, OP_HIGH, KIND_INT, index);
	if (!r.low.id && !r.high.id)
		return (struct range){low, high};
	struct expr from = r.low.id ? expr2(p, OP_MAX, low, r.low) : low;
	struct expr to = r.high.id ? expr2(p, OP_MIN, high, r.high) : high;
	struct expr some = expr2(p, OP_LE, from, to), one = expr_number(p, 1);
	return (struct range){expr3(p, OP_SELECT, some, from, expr2(p, OP_ADD, high, one)),
	                      expr3(p, OP_SELECT, some, to, expr2(p, OP_SUB, low, one))};
}

/* Inclusive ends. `within`: only the current range of `index` counts. */
static struct range formula_range(const struct box *b, const struct formula *f, uint32_t index, bool within)
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
		r.low = expr2(p, OP_MIN, x.low, y.low);
	if (x.high.id && y.high.id)
		r.high = expr2(p, OP_MAX, x.high, y.high);
	return r;
}

static struct range bounds(struct cascade *c, struct expr predicate, uint32_t index, const uint32_t *ranged, int n,
                           bool within)
{
	struct range r = {NO_EXPR, NO_EXPR};
	if (!predicate.id)
		return r;
	uint32_t *all = arena_new_array(c->arena, (size_t)n + 1, uint32_t);
	for (int i = 0; i < n; i++)
		all[i] = ranged[i];
	all[n] = index;
	struct box b = {c, all, n + 1};
	r = formula_range(&b, formula_of(&b, predicate, false), index, within);
	if (r.high.id)
		r.high = expr2(&c->pool, OP_ADD, r.high, expr_number(&c->pool, 1));
	return r;
}

struct range bounds_of(struct cascade *c, struct expr predicate, uint32_t index, const uint32_t *ranged, int n)
{
	return bounds(c, predicate, index, ranged, n, false);
}

struct range bounds_within(struct cascade *c, struct expr predicate, uint32_t index, const uint32_t *ranged, int n)
{
	return bounds(c, predicate, index, ranged, n, true);
}

struct expr bounds_full(struct cascade *c, struct expr predicate, const uint32_t *ranged, int n)
{
	struct box b = {c, ranged, n};
	return predicate.id ? empty(&b, formula_of(&b, predicate, true)) : expr_number(&c->pool, 1);
}

struct expr bounds_empty(struct cascade *c, struct expr predicate, const uint32_t *ranged, int n)
{
	struct box b = {c, ranged, n};
	return predicate.id ? empty(&b, formula_of(&b, predicate, false)) : expr_number(&c->pool, 0);
}
