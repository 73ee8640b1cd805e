/* interval.c: interval arithmetic on expressions, a rule a row of dsl/ops.h; see interval.h.
 *
 * Ints go through linear forms first. Reals are never rearranged: a non-decreasing operation of an end,
 * rounded, is an end of the rounded values. Where the elements may be computed otherwise than the ends (a
 * product that is contracted with a sum, a quotient, an approximation, an end folded in double) the ends move
 * apart by more than that can be.
 */
#include "codegen/interval.h"

#include <math.h>

#include "codegen/linear.h"

static const struct interval UNKNOWN = {0};

#define INT_MAGNITUDE 0x1p53
#define SAFE 1e38 /* magnitudes that no type of computation takes for infinite */
/* Relative slack: of one rounding more or less; of functions by approximation; of powers. */
#define ROUNDING 0x1p-20
#define APPROXIMATION 0x1p-8
#define POWERS 0x1p-6

bool box_mentions(const struct box *b, struct expr e)
{
	for (int i = 0; i < b->n; i++)
		if (expr_mentions(&b->cascade->pool, e, OP_INDEX, b->ranged[i]))
			return true;
	return false;
}

struct expr box_both(const struct box *b, struct expr x, struct expr y)
{
	struct expr_pool *p = &b->cascade->pool;
	double value;
	if (x.id && expr_is_number(p, x, &value) && value != 0)
		x = NO_EXPR;
	return !x.id || expr_same(x, y) ? y : !y.id ? x : expr2(p, OP_AND, x, y);
}

/* Is its value one and the same wherever it is computed? */
static bool is_exact(const struct expr_pool *p, struct expr e)
{
	const struct expr_node *n = expr_at(p, e);
	switch (op_info[n->op].interval) {
	case RULE_SUM:
	case RULE_PRODUCT:
		if (n->kind == KIND_REAL)
			return false;
		break;
	case RULE_QUOTIENT:
	case RULE_APPROXIMATE:
	case RULE_POSITIVE:
	case RULE_POWER:
	case RULE_DIP:
	case RULE_WAVE: return false;
	default: break;
	}
	for (int i = 0; i < n->count; i++)
		if (!is_exact(p, expr_operand(p, e, i)))
			return false;
	return true;
}

bool box_settles(const struct box *b, struct expr e)
{
	return !box_mentions(b, e) && is_exact(&b->cascade->pool, e);
}

static bool known(const struct interval *v)
{
	return v->low.id != 0;
}

static struct expr number(const struct box *b, double x)
{
	return expr_number(&b->cascade->pool, x);
}

static void presume(const struct box *b, struct interval *v, struct expr given)
{
	v->given = box_both(b, given, v->given);
}

static struct interval operand(const struct box *b, struct expr e, int i)
{
	return interval_of(b, expr_operand(&b->cascade->pool, e, i));
}

/* Without NaNs. */
static struct interval ordered(const struct box *b, struct interval v)
{
	if (v.nan && known(&v))
		presume(b, &v, expr2(&b->cascade->pool, OP_LE, v.low, v.high));
	v.nan = false;
	return v;
}

/* Without infinities, and so without NaNs. */
static struct interval finite_values(const struct box *b, struct interval v)
{
	struct expr_pool *p = &b->cascade->pool;
	if (v.most < SAFE || !known(&v))
		return v;
	presume(b, &v, expr2(p, OP_LT, number(b, -(double)INFINITY), v.low));
	presume(b, &v, expr2(p, OP_LT, v.high, number(b, (double)INFINITY)));
	v.nan = false;
	return v;
}

static struct interval widened(const struct box *b, struct interval v, double relative, double absolute)
{
	struct expr_pool *p = &b->cascade->pool;
	if (!known(&v))
		return v;
	for (int high = 0; high < 2; high++) {
		struct expr *end = high ? &v.high : &v.low;
		struct expr slack = expr2(p, OP_MUL, expr1(p, OP_ABS, *end), number(b, relative));
		slack = expr2(p, OP_ADD, slack, number(b, absolute));
		*end = expr2(p, high ? OP_ADD : OP_SUB, *end, slack);
	}
	v.most = v.most * (1 + relative) + absolute;
	return v;
}

/* An end that was folded in double is none of the same operations in f32. */
static struct interval settled(const struct box *b, struct interval v)
{
	const struct expr_pool *p = &b->cascade->pool;
	double x = 0, y = 0;
	if (!known(&v))
		return v;
	expr_is_number(p, v.low, &x);
	expr_is_number(p, v.high, &y);
	bool whole = (x == floor(x) && fabs(x) < 0x1p24) || isinf(x);
	whole = whole && ((y == floor(y) && fabs(y) < 0x1p24) || isinf(y));
	return whole ? v : widened(b, v, ROUNDING, 0);
}

/* The hull of two. */
static struct interval hull(const struct box *b, struct interval v, struct interval w)
{
	struct expr_pool *p = &b->cascade->pool;
	if (!known(&v) || !known(&w))
		return UNKNOWN;
	v = ordered(b, v);
	w = ordered(b, w);
	return (struct interval){expr2(p, OP_MIN, v.low, w.low), expr2(p, OP_MAX, v.high, w.high),
	                         box_both(b, v.given, w.given), fmax(v.most, w.most), false};
}

/* op at the four pairs of ends: what is monotone in each operand alone has its extremes there. */
static struct interval corners(const struct box *b, enum op op, struct interval v, struct interval w,
                               double most)
{
	struct expr_pool *p = &b->cascade->pool;
	if (!known(&v) || !known(&w))
		return UNKNOWN;
	struct expr given = box_both(b, v.given, w.given), low = NO_EXPR, high = NO_EXPR;
	for (int i = 0; i < 4; i++) {
		struct expr end = expr2(p, op, i & 1 ? v.high : v.low, i & 2 ? w.high : w.low);
		low = low.id ? expr2(p, OP_MIN, low, end) : end;
		high = high.id ? expr2(p, OP_MAX, high, end) : end;
	}
	return (struct interval){low, high, given, most, false};
}

static struct interval absolute(const struct box *b, struct interval v)
{
	struct expr_pool *p = &b->cascade->pool;
	v = ordered(b, v);
	if (!known(&v))
		return v;
	struct expr minus = expr1(p, OP_NEG, v.low), low = v.low;
	v.low = expr2(p, OP_MAX, expr2(p, OP_MAX, low, expr1(p, OP_NEG, v.high)), number(b, 0));
	v.high = expr2(p, OP_MAX, minus, v.high);
	return v;
}

static bool power_of_two(double x)
{
	int exponent;
	return frexp(fabs(x), &exponent) == 0.5;
}

/* v · factor or v / factor */
static struct interval scaled(const struct box *b, enum op op, struct interval v, struct expr by)
{
	struct expr_pool *p = &b->cascade->pool;
	double factor = 1;
	expr_is_number(p, by, &factor);
	if (!known(&v) || factor == 0)
		return UNKNOWN;
	struct expr low = expr2(p, op, v.low, by), high = expr2(p, op, v.high, by);
	v.low = factor > 0 ? low : high;
	v.high = factor > 0 ? high : low;
	v.most = op == OP_MUL ? v.most * fabs(factor) : v.most / fabs(factor);
	return power_of_two(factor) ? settled(b, v) : widened(b, v, ROUNDING, 0);
}

static struct interval product(const struct box *b, struct expr e)
{
	struct expr_pool *p = &b->cascade->pool;
	bool ints = expr_at(p, e)->kind == KIND_INT;
	struct expr x = expr_operand(p, e, 0), y = expr_operand(p, e, 1);
	double factor;
	if (expr_is_number(p, x, &factor) && isfinite(factor))
		return scaled(b, OP_MUL, interval_of(b, y), x);
	if (expr_is_number(p, y, &factor) && isfinite(factor))
		return scaled(b, OP_MUL, interval_of(b, x), y);
	struct interval v = finite_values(b, interval_of(b, x)), w = finite_values(b, interval_of(b, y));
	if (expr_same(x, y) && known(&v)) {
		v = absolute(b, v);
		v.low = expr2(p, OP_MUL, v.low, v.low);
		v.high = expr2(p, OP_MUL, v.high, v.high);
	} else {
		v = corners(b, OP_MUL, v, w, 0);
	}
	v.most = ints ? INT_MAGNITUDE : (double)INFINITY;
	return ints ? v : widened(b, v, ROUNDING, 0);
}

static struct interval quotient(const struct box *b, struct expr e)
{
	struct expr_pool *p = &b->cascade->pool;
	struct expr y = expr_operand(p, e, 1);
	double by;
	if (expr_is_number(p, y, &by) && isfinite(by))
		return scaled(b, OP_DIV, operand(b, e, 0), y);
	struct interval v = finite_values(b, operand(b, e, 0)), w = finite_values(b, operand(b, e, 1));
	if (!known(&w))
		return UNKNOWN;
	struct expr zero = number(b, 0);
	presume(b, &w, expr2(p, OP_OR, expr2(p, OP_LT, zero, w.low), expr2(p, OP_LT, w.high, zero)));
	return widened(b, corners(b, OP_DIV, v, w, (double)INFINITY), ROUNDING, 0);
}

/* Floor division and remainder by what is positive. */
static struct interval divided(const struct box *b, enum op op, struct expr e)
{
	struct expr_pool *p = &b->cascade->pool;
	struct interval v = operand(b, e, 0), w = operand(b, e, 1);
	struct expr one = number(b, 1), zero = number(b, 0), y = expr_operand(p, e, 1);
	int64_t extent;
	double by;
	if (!known(&v) || !known(&w))
		return UNKNOWN;
	if (expr_at(p, y)->op == OP_EXTENT && cascade_extent(b->cascade, y, &extent))
		w.low = w.high = number(b, (double)extent);
	presume(b, &w, expr2(p, OP_LE, one, w.low));
	bool fixed = expr_same(w.low, w.high);
	if (!expr_is_number(p, w.low,
	                    &by)) { /* evaluated whatever is given, and then it must not divide by 0 */
		w.low = expr2(p, OP_MAX, w.low, one);
		w.high = fixed ? w.low : expr2(p, OP_MAX, w.high, one);
	} else if (by < 1) {
		return UNKNOWN;
	}
	if (!fixed && op == OP_IDIV)
		return corners(b, OP_IDIV, v, w, INT_MAGNITUDE);
	struct expr given = box_both(b, v.given, w.given), most = expr2(p, OP_SUB, w.high, one);
	if (!fixed)
		return (struct interval){zero, most, given, INT_MAGNITUDE, false};
	struct expr low = expr2(p, OP_IDIV, v.low, w.low), high = expr2(p, OP_IDIV, v.high, w.low);
	if (op == OP_MOD) {
		struct expr same = expr2(p, OP_EQ, low, high);
		low = expr3(p, OP_SELECT, same, expr2(p, OP_MOD, v.low, w.low), zero);
		high = expr3(p, OP_SELECT, same, expr2(p, OP_MOD, v.high, w.low), most);
	}
	return (struct interval){low, high, given, INT_MAGNITUDE, false};
}

/* Of what is not negative: bits above all those that differ within either range are those of xor of the ends.
 * Exact for aligned ranges of as many coordinates as a power of two. */
static struct interval exclusive_or(const struct box *b, struct expr e)
{
	struct expr_pool *p = &b->cascade->pool;
	struct interval v = operand(b, e, 0), w = operand(b, e, 1);
	struct expr zero = number(b, 0), one = number(b, 1), x = expr_operand(p, e, 0);
	struct linear l;
	if (!known(&v) || !known(&w))
		return UNKNOWN;
	for (int i = 0; i < 2; i++, x = expr_operand(p, e, 1))
		if (!linear_of(b, x, &l) || linear_limit(b, &l, -1) < 0)
			presume(b, i ? &w : &v, expr2(p, OP_LE, zero, i ? w.low : v.low));
	struct expr differ =
	        expr2(p, OP_MAX, expr2(p, OP_XOR, v.low, v.high), expr2(p, OP_XOR, w.low, w.high));
	struct expr block = expr1(p, OP_BIT_CEIL, expr2(p, OP_ADD, differ, one));
	struct expr first = expr2(p, OP_XOR, v.low, w.low);
	first = expr2(p, OP_MUL, expr2(p, OP_IDIV, first, block), block);
	return (struct interval){first, expr2(p, OP_ADD, first, expr2(p, OP_SUB, block, one)),
	                         box_both(b, v.given, w.given), INT_MAGNITUDE, false};
}

/* By the letters of the operation's row, on each operand. */
static struct interval monotone(const struct box *b, struct expr e)
{
	struct expr_pool *p = &b->cascade->pool;
	const struct expr_node n = *expr_at(p, e);
	struct expr low[3], high[3];
	struct interval all = {.most = 1};
	for (int i = 0; i < n.count && i < 3; i++) {
		struct interval v = ordered(b, operand(b, e, i));
		if (!known(&v))
			return UNKNOWN;
		bool falls = n.op != OP_CAST && op_info[n.op].monotone[i] == '-';
		low[i] = falls ? v.high : v.low;
		high[i] = falls ? v.low : v.high;
		presume(b, &all, v.given);
		all.most = fmax(all.most, v.most);
	}
	all.low = expr_make(p, (enum op)n.op, n.symbol, n.count, low);
	all.high = expr_make(p, (enum op)n.op, n.symbol, n.count, high);
	all.most = n.kind == KIND_INT ? INT_MAGNITUDE : all.most * 2;
	return n.kind == KIND_REAL ? settled(b, all) : all;
}

/* Of reals; sums of ints are linear. */
static struct interval sum(const struct box *b, struct expr e)
{
	struct expr_pool *p = &b->cascade->pool;
	const struct expr_node n = *expr_at(p, e);
	struct interval v = operand(b, e, 0), w = operand(b, e, 1);
	if (n.kind == KIND_REAL) {
		v = finite_values(b, v);
		w = finite_values(b, w);
	}
	if (!known(&v) || !known(&w))
		return UNKNOWN;
	struct interval all = {expr2(p, (enum op)n.op, v.low, n.op == OP_SUB ? w.high : w.low),
	                       expr2(p, (enum op)n.op, v.high, n.op == OP_SUB ? w.low : w.high),
	                       box_both(b, v.given, w.given), v.most + w.most, false};
	return n.kind == KIND_REAL ? settled(b, all) : all;
}

/* One function of one real, computed by approximation, over where it is defined. */
static struct interval approximate(const struct box *b, struct expr e, bool positive)
{
	struct expr_pool *p = &b->cascade->pool;
	enum op op = (enum op)expr_at(p, e)->op;
	struct interval v = finite_values(b, operand(b, e, 0));
	if (!known(&v))
		return UNKNOWN;
	if (positive)
		presume(b, &v, expr2(p, op == OP_SQRT ? OP_LE : OP_LT, number(b, 0), v.low));
	bool falls = op_info[op].monotone[0] == '-';
	struct expr low = expr1(p, op, falls ? v.high : v.low), high = expr1(p, op, falls ? v.low : v.high);
	/* An end that overflows where an element does not becomes a NaN below. */
	struct interval w = {low, high, v.given, (double)INFINITY, true};
	return widened(b, w, APPROXIMATION, APPROXIMATION / 4);
}

/* Of positive numbers: x^y is monotone in each. By a whole number also of others. */
static struct interval power(const struct box *b, struct expr e)
{
	struct expr_pool *p = &b->cascade->pool;
	struct interval v = finite_values(b, operand(b, e, 0)), w = finite_values(b, operand(b, e, 1));
	double by;
	if (!known(&v) || !known(&w))
		return UNKNOWN;
	if (expr_is_number(p, expr_operand(p, e, 1), &by) && by > 0 && by == floor(by) && by < 64) {
		if (fmod(by, 2) == 0)
			v = absolute(b, v);
		v.low = expr2(p, OP_POW, v.low, w.low);
		v.high = expr2(p, OP_POW, v.high, w.high);
		v.most = (double)INFINITY;
	} else {
		presume(b, &v, expr2(p, OP_LT, number(b, 0), v.low));
		v = corners(b, OP_POW, v, w, (double)INFINITY);
	}
	v.nan = true;
	return widened(b, v, POWERS, 0);
}

/* Falls to its least value, then rises: the greatest is at an end. */
static struct interval dip(const struct box *b, struct expr e)
{
	struct expr_pool *p = &b->cascade->pool;
	enum op op = (enum op)expr_at(p, e)->op;
	double at = op == OP_GELU ? -0.7517915246935645 : -1.2784645427610738;
	struct interval v = finite_values(b, operand(b, e, 0));
	if (!known(&v))
		return UNKNOWN;
	struct expr x = expr1(p, op, v.low), y = expr1(p, op, v.high), middle = number(b, at);
	struct expr inside =
	        expr2(p, OP_AND, expr2(p, OP_LE, v.low, middle), expr2(p, OP_LE, middle, v.high));
	struct expr least = number(b, op_value(op, at, 0, 0));
	v.low = expr3(p, OP_SELECT, inside, least, expr2(p, OP_MIN, x, y));
	v.high = expr2(p, OP_MAX, x, y);
	v.most += 1;
	return widened(b, v, APPROXIMATION, APPROXIMATION / 4);
}

static struct interval wave(const struct box *b, struct expr e)
{
	struct interval v = finite_values(b, operand(b, e, 0));
	if (!known(&v))
		return UNKNOWN;
	v.low = number(b, -1 - APPROXIMATION);
	v.high = number(b, 1 + APPROXIMATION);
	v.most = 2;
	return v;
}

static struct interval by_rule(const struct box *b, struct expr e)
{
	struct expr_pool *p = &b->cascade->pool;
	const struct expr_node n = *expr_at(p, e);
	switch (op_info[n.op].interval) {
	case RULE_NONE: break;
	case RULE_MONOTONE: return monotone(b, e);
	case RULE_APPROXIMATE: return approximate(b, e, false);
	case RULE_POSITIVE: return approximate(b, e, true);
	case RULE_SUM: return sum(b, e);
	case RULE_PRODUCT: return product(b, e);
	case RULE_QUOTIENT: return quotient(b, e);
	case RULE_FLOORED:
	case RULE_REMAINDER: return divided(b, (enum op)n.op, e);
	case RULE_BITWISE: return exclusive_or(b, e);
	case RULE_POWER: return power(b, e);
	case RULE_MAGNITUDE: return absolute(b, operand(b, e, 0));
	case RULE_DIP: return dip(b, e);
	case RULE_WAVE: return wave(b, e);
	case RULE_TRUTH: return (struct interval){number(b, 0), number(b, 1), NO_EXPR, 1, false};
	case RULE_CHOICE: return hull(b, operand(b, e, 1), operand(b, e, 2));
	}
	return n.op == OP_CAST   ? monotone(b, e)
	       : n.op == OP_ELSE ? hull(b, operand(b, e, 0), operand(b, e, 1))
	                         : UNKNOWN;
}

struct interval interval_of(const struct box *b, struct expr e)
{
	struct expr_pool *p = &b->cascade->pool;
	const struct expr_node n = *expr_at(p, e);
	bool real = n.kind == KIND_REAL;
	if (box_settles(b, e)) {
		bool single = real && n.op != OP_CONST;
		double most = !real ? INT_MAGNITUDE : single ? (double)INFINITY : fabs(n.number);
		return (struct interval){e, e, NO_EXPR, most, single || isnan(n.number)};
	}
	if (n.op == OP_INDEX)
		return (struct interval){expr_leaf(p, OP_LOW, (enum kind)n.kind, n.symbol),
		                         expr_leaf(p, OP_HIGH, (enum kind)n.kind, n.symbol), NO_EXPR,
		                         real ? (double)INFINITY : INT_MAGNITUDE, real};
	struct linear l;
	if (n.kind == KIND_INT && (n.op == OP_ADD || n.op == OP_SUB || n.op == OP_NEG || n.op == OP_MUL) &&
	    linear_of(b, e, &l) && !(l.n == 1 && expr_same(l.atom[0], e))) {
		struct interval v = {.most = INT_MAGNITUDE};
		v.low = linear_extreme(b, &l, -1, &v.given);
		v.high = linear_extreme(b, &l, 1, &v.given);
		return v.low.id && v.high.id ? v : UNKNOWN;
	}
	return by_rule(b, e);
}
