/* interval.c: interval arithmetic on expressions; see interval.h.
 *
 * Ints go through linear forms first, so that what cancels (m - n + n) does not widen. Reals are never
 * rearranged: a non-decreasing operation of an end, rounded, is an end of the rounded values, so the claims
 * hold for floating point as computed.
 */
#include "codegen/interval.h"

#include <math.h>

#define LARGEST ((int64_t)1 << 52)

static const struct interval UNKNOWN = {0};

bool box_mentions(const struct box *b, struct expr e)
{
	for (int i = 0; i < b->n; i++)
		if (expr_mentions(&b->cascade->pool, e, OP_INDEX, b->ranged[i]))
			return true;
	return false;
}

static bool small(int64_t x)
{
	return x > -LARGEST && x < LARGEST;
}

static bool add_term(struct linear *l, struct expr atom, int64_t c)
{
	int i = 0;
	while (i < l->n && !expr_same(l->atom[i], atom))
		i++;
	if (i == MAX_LINEAR)
		return false;
	if (i == l->n) {
		l->atom[l->n] = atom;
		l->c[l->n++] = 0;
	}
	l->c[i] += c;
	if (!small(l->c[i]))
		return false;
	if (!l->c[i]) {
		l->n--;
		l->atom[i] = l->atom[l->n];
		l->c[i] = l->c[l->n];
	}
	return true;
}

bool linear_add(struct linear *into, const struct linear *other, int64_t by)
{
	int64_t k;
	if (__builtin_mul_overflow(other->k, by, &k) || !small(k) || !small(into->k + k))
		return false;
	into->k += k;
	for (int i = 0; i < other->n; i++) {
		int64_t c;
		if (__builtin_mul_overflow(other->c[i], by, &c) || !small(c) ||
		    !add_term(into, other->atom[i], c))
			return false;
	}
	return true;
}

int64_t linear_coefficient(const struct linear *l, struct expr atom)
{
	for (int i = 0; i < l->n; i++)
		if (expr_same(l->atom[i], atom))
			return l->c[i];
	return 0;
}

/* into += by · e */
static bool gather(const struct box *b, struct expr e, int64_t by, struct linear *into)
{
	const struct expr_pool *p = &b->cascade->pool;
	const struct expr_node n = *expr_at(p, e);
	struct linear part = {0};
	int64_t value;
	switch (n.op) {
	case OP_CONST:
		if (n.number != floor(n.number) || fabs(n.number) >= (double)LARGEST)
			return false;
		part.k = (int64_t)n.number;
		return linear_add(into, &part, by);
	case OP_EXTENT:
		if (!cascade_extent(b->cascade, e, &value))
			return add_term(into, e, by);
		part.k = value;
		return linear_add(into, &part, by);
	case OP_ADD:
		return gather(b, expr_operand(p, e, 0), by, into) && gather(b, expr_operand(p, e, 1), by, into);
	case OP_SUB:
		return gather(b, expr_operand(p, e, 0), by, into) && gather(b, expr_operand(p, e, 1), -by, into);
	case OP_NEG:
		return gather(b, expr_operand(p, e, 0), -by, into);
	case OP_CAST:
		if ((n.symbol == DTYPE_I32 || n.symbol == DTYPE_I64) &&
		    expr_at(p, expr_operand(p, e, 0))->kind == KIND_INT)
			return gather(b, expr_operand(p, e, 0), by, into);
		return add_term(into, e, by);
	case OP_MUL:
		for (int i = 0; i < 2; i++) {
			struct linear factor = {0};
			part = (struct linear){0};
			if (!gather(b, expr_operand(p, e, i), 1, &factor) || factor.n)
				continue;
			if (!gather(b, expr_operand(p, e, 1 - i), 1, &part) ||
			    __builtin_mul_overflow(by, factor.k, &by) || !small(by))
				return false;
			return linear_add(into, &part, by);
		}
		return add_term(into, e, by);
	default:
		return add_term(into, e, by);
	}
}

bool linear_of(const struct box *b, struct expr e, struct linear *l)
{
	*l = (struct linear){0};
	return gather(b, e, 1, l);
}

/* Sums `c · atom` for coefficients of one sign, all counted positive; `end` replaces each atom. */
static struct expr half(const struct box *b, const struct linear *l, int sign, int extreme, bool *known)
{
	struct expr_pool *p = &b->cascade->pool;
	struct expr sum = expr_number(p, 0);
	for (int i = 0; i < l->n; i++) {
		if ((l->c[i] > 0) != (sign > 0))
			continue;
		struct expr end = l->atom[i];
		if (extreme && box_mentions(b, end)) {
			struct interval v = interval_of(b, end);
			end = (extreme > 0) == (l->c[i] > 0) ? v.high : v.low;
			if (!end.id) {
				*known = false;
				return sum;
			}
		}
		sum = expr2(p, OP_ADD, sum,
		            expr2(p, OP_MUL, expr_number(p, (double)(sign * l->c[i])), end));
	}
	return sum;
}

static struct expr join(const struct box *b, const struct linear *l, int extreme)
{
	struct expr_pool *p = &b->cascade->pool;
	bool known = true;
	struct expr plus = half(b, l, 1, extreme, &known), minus = half(b, l, -1, extreme, &known);
	if (!known)
		return NO_EXPR;
	struct expr sum = expr2(p, OP_SUB, plus, minus);
	return l->k < 0 ? expr2(p, OP_SUB, sum, expr_number(p, (double)-l->k))
	                : expr2(p, OP_ADD, sum, expr_number(p, (double)l->k));
}

struct expr linear_expr(const struct box *b, const struct linear *l)
{
	return join(b, l, 0);
}

struct expr linear_extreme(const struct box *b, const struct linear *l, int sign)
{
	return join(b, l, sign);
}

struct expr linear_extreme_le0(const struct box *b, const struct linear *l, int sign)
{
	struct expr_pool *p = &b->cascade->pool;
	bool known = true;
	struct expr plus = half(b, l, 1, sign, &known), minus = half(b, l, -1, sign, &known);
	if (!known)
		return NO_EXPR;
	if (l->k == 1)
		return expr2(p, OP_LT, plus, minus);
	if (l->k > 0)
		plus = expr2(p, OP_ADD, plus, expr_number(p, (double)l->k));
	else
		minus = expr2(p, OP_ADD, minus, expr_number(p, (double)-l->k));
	return expr2(p, OP_LE, plus, minus);
}

double linear_limit(const struct box *b, const struct linear *l, int sign)
{
	const struct cascade *c = b->cascade;
	double sum = (double)l->k;
	for (int i = 0; i < l->n; i++) {
		const struct expr_node *n = expr_at(&c->pool, l->atom[i]);
		int64_t extent;
		if (n->op != OP_INDEX || !cascade_extent(c, c->index.v[n->symbol].extent, &extent) || extent < 1)
			return (double)sign * (double)INFINITY;
		if ((l->c[i] > 0) == (sign > 0))
			sum += (double)(l->c[i] * (extent - 1));
	}
	return sum;
}

static bool known(struct interval v)
{
	return v.low.id != 0;
}

static struct interval apply1(const struct box *b, enum op op, uint32_t symbol, struct interval v, char monotone)
{
	struct expr_pool *p = &b->cascade->pool;
	struct expr low = expr_make(p, op, symbol, 1, &v.low), high = expr_make(p, op, symbol, 1, &v.high);
	return monotone == '-' ? (struct interval){high, low, v.finite} : (struct interval){low, high, v.finite};
}

/* The hull of a set of candidate ends. */
static struct interval hull(const struct box *b, int n, const struct expr *end, bool finite)
{
	struct expr_pool *p = &b->cascade->pool;
	struct interval v = {end[0], end[0], finite};
	for (int i = 1; i < n; i++) {
		v.low = expr2(p, OP_MIN, v.low, end[i]);
		v.high = expr2(p, OP_MAX, v.high, end[i]);
	}
	return v;
}

static struct interval multiply(const struct box *b, struct expr x, struct expr y, bool ints)
{
	struct expr_pool *p = &b->cascade->pool;
	double factor;
	if (expr_is_number(p, x, &factor)) {
		struct expr swap = x;
		x = y;
		y = swap;
	}
	struct interval v = interval_of(b, x);
	if (!known(v))
		return UNKNOWN;
	if (expr_is_number(p, y, &factor) && isfinite(factor) && factor != 0) {
		struct expr low = expr2(p, OP_MUL, v.low, y), high = expr2(p, OP_MUL, v.high, y);
		bool finite = v.finite && (ints || fabs(factor) <= 1);
		return factor > 0 ? (struct interval){low, high, finite} : (struct interval){high, low, finite};
	}
	/* A real factor that is not known may be infinite, and 0 · ∞ is a NaN inside the interval. */
	struct interval w = interval_of(b, y);
	if (!ints || !known(w))
		return UNKNOWN;
	struct expr end[4] = {expr2(p, OP_MUL, v.low, w.low), expr2(p, OP_MUL, v.low, w.high),
	                      expr2(p, OP_MUL, v.high, w.low), expr2(p, OP_MUL, v.high, w.high)};
	return hull(b, 4, end, true);
}

/* Is the int expression never negative, by its form alone? */
static bool nonnegative(const struct expr_pool *p, struct expr e)
{
	double value;
	switch (expr_at(p, e)->op) {
	case OP_CONST: return expr_at(p, e)->number >= 0;
	case OP_INDEX:
	case OP_EXTENT:
	case OP_ABS: return true;
	case OP_IDIV:
		return nonnegative(p, expr_operand(p, e, 0)) && nonnegative(p, expr_operand(p, e, 1));
	case OP_MOD: return expr_is_number(p, expr_operand(p, e, 1), &value) && value > 0;
	case OP_ADD:
	case OP_MUL:
	case OP_XOR:
	case OP_MIN: return nonnegative(p, expr_operand(p, e, 0)) && nonnegative(p, expr_operand(p, e, 1));
	default: return false;
	}
}

/* Floor division and remainder by a positive number. */
static struct interval divide(const struct box *b, enum op op, struct expr x, struct expr y)
{
	struct expr_pool *p = &b->cascade->pool;
	struct interval v = interval_of(b, x);
	int64_t extent;
	double by;
	if (expr_at(p, y)->op == OP_EXTENT && cascade_extent(b->cascade, y, &extent))
		y = expr_number(p, (double)extent);
	if (!known(v) || !expr_is_number(p, y, &by) || by < 1)
		return UNKNOWN;
	struct expr low = expr2(p, OP_IDIV, v.low, y), high = expr2(p, OP_IDIV, v.high, y);
	if (op == OP_IDIV)
		return (struct interval){low, high, true};
	struct expr same = expr2(p, OP_EQ, low, high);
	return (struct interval){
		expr3(p, OP_SELECT, same, expr2(p, OP_MOD, v.low, y), expr_number(p, 0)),
		expr3(p, OP_SELECT, same, expr2(p, OP_MOD, v.high, y), expr_number(p, by - 1)), true};
}

/* For a, b ≥ 0: |a - b| ≤ a xor b ≤ a + b. */
static struct interval exclusive_or(const struct box *b, struct expr x, struct expr y)
{
	struct expr_pool *p = &b->cascade->pool;
	struct interval v = interval_of(b, x), w = interval_of(b, y);
	if (!known(v) || !known(w) || !nonnegative(p, x) || !nonnegative(p, y))
		return UNKNOWN;
	struct expr apart = expr2(p, OP_MAX, expr2(p, OP_SUB, v.low, w.high), expr2(p, OP_SUB, w.low, v.high));
	return (struct interval){expr2(p, OP_MAX, apart, expr_number(p, 0)), expr2(p, OP_ADD, v.high, w.high),
	                         true};
}

static struct interval absolute(const struct box *b, struct interval v)
{
	struct expr_pool *p = &b->cascade->pool;
	struct expr minus = expr1(p, OP_NEG, v.low);
	struct expr apart = expr2(p, OP_MAX, v.low, expr1(p, OP_NEG, v.high));
	return (struct interval){expr2(p, OP_MAX, apart, expr_number(p, 0)), expr2(p, OP_MAX, minus, v.high),
	                         v.finite};
}

/* Operations whose result may be a NaN or an infinity where the operands are neither. */
static bool partial(enum op op)
{
	return op == OP_LOG || op == OP_LOG2 || op == OP_SQRT || op == OP_RSQRT || op == OP_POW;
}

static struct interval operation(const struct box *b, struct expr e)
{
	struct expr_pool *p = &b->cascade->pool;
	const struct expr_node n = *expr_at(p, e);
	bool ints = n.kind == KIND_INT;
	struct expr x = n.count > 0 ? expr_operand(p, e, 0) : NO_EXPR;
	struct expr y = n.count > 1 ? expr_operand(p, e, 1) : NO_EXPR;
	struct interval v, w;
	double by;
	switch (n.op) {
	case OP_MUL: return multiply(b, x, y, ints);
	case OP_DIV:
		v = interval_of(b, x);
		if (!known(v) || !expr_is_number(p, y, &by) || !isfinite(by) || by == 0)
			return UNKNOWN;
		v.low = expr2(p, OP_DIV, v.low, y);
		v.high = expr2(p, OP_DIV, v.high, y);
		v.finite = v.finite && fabs(by) >= 1;
		return by > 0 ? v : (struct interval){v.high, v.low, v.finite};
	case OP_IDIV:
	case OP_MOD: return divide(b, n.op, x, y);
	case OP_XOR: return exclusive_or(b, x, y);
	case OP_ABS:
		v = interval_of(b, x);
		return known(v) ? absolute(b, v) : UNKNOWN;
	case OP_CAST:
		v = interval_of(b, x);
		return known(v) ? apply1(b, OP_CAST, n.symbol, v, '+') : UNKNOWN;
	case OP_SELECT: {
		v = interval_of(b, y);
		w = interval_of(b, expr_operand(p, e, 2));
		struct expr end[4] = {v.low, v.high, w.low, w.high};
		return known(v) && known(w) ? hull(b, 4, end, v.finite && w.finite) : UNKNOWN;
	}
	default: break;
	}
	const char *monotone = n.op < OPS ? op_info[n.op].monotone : NULL;
	if (!monotone || monotone[0] == '?' || partial(n.op) || n.kind == KIND_BOOL)
		return UNKNOWN;
	v = interval_of(b, x);
	if (!known(v))
		return UNKNOWN;
	if (n.count == 1) {
		struct interval one = apply1(b, n.op, 0, v, monotone[0]);
		one.finite = v.finite && n.op != OP_EXP && n.op != OP_EXP2;
		return one;
	}
	w = interval_of(b, y);
	/* The emitted comparisons drop NaNs in either operand differently; ∞ - ∞ would be one. */
	if (!known(w) || monotone[1] == '?' || ((n.op == OP_ADD || n.op == OP_SUB) && !(v.finite && w.finite)))
		return UNKNOWN;
	if (n.count == 2)
		return (struct interval){expr2(p, n.op, v.low, monotone[1] == '-' ? w.high : w.low),
		                         expr2(p, n.op, v.high, monotone[1] == '-' ? w.low : w.high),
		                         v.finite && w.finite};
	struct interval u = interval_of(b, expr_operand(p, e, 2));
	if (!known(u))
		return UNKNOWN;
	return (struct interval){expr3(p, n.op, v.low, w.low, u.low), expr3(p, n.op, v.high, w.high, u.high),
	                         v.finite && w.finite && u.finite};
}

struct interval interval_of(const struct box *b, struct expr e)
{
	struct expr_pool *p = &b->cascade->pool;
	const struct expr_node n = *expr_at(p, e);
	if (!box_mentions(b, e))
		return (struct interval){e, e, n.kind != KIND_REAL || (n.op == OP_CONST && isfinite(n.number))};
	if (n.op == OP_INDEX)
		return (struct interval){expr_leaf(p, OP_LOW, KIND_INT, n.symbol),
		                         expr_leaf(p, OP_HIGH, KIND_INT, n.symbol), true};
	struct linear l;
	if (n.kind == KIND_INT && (n.op == OP_ADD || n.op == OP_SUB || n.op == OP_NEG || n.op == OP_MUL) &&
	    linear_of(b, e, &l) && !(l.n == 1 && expr_same(l.atom[0], e))) {
		struct interval v = {linear_extreme(b, &l, -1), linear_extreme(b, &l, 1), true};
		return v.low.id && v.high.id ? v : UNKNOWN;
	}
	return operation(b, e);
}
