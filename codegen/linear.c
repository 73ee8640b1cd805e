/* linear.c: sums of multiples of int expressions; see linear.h. What cancels in one (m - n + n) does not
 * widen. */
#include "codegen/linear.h"

#include <math.h>

#include "base/whole.h"

#define LARGEST ((int64_t)1 << 52)

static bool small(int64_t x)
{
	return x > -LARGEST && x < LARGEST;
}

void linear_drop(struct linear *l, int i)
{
	l->n--;
	l->atom[i] = l->atom[l->n];
	l->c[i] = l->c[l->n];
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
	if (!l->c[i])
		linear_drop(l, i);
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

int64_t linear_content(const struct linear *l)
{
	int64_t g = 0;
	for (int i = 0; i < l->n; i++)
		g = gcd(g, l->c[i]);
	return g;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

void linear_reduce(struct linear *l)
{
	int64_t g = linear_content(l);
	if (g < 2)
		return;
	for (int i = 0; i < l->n; i++)
		l->c[i] /= g;
	l->k = -floor_div(-l->k, g);
}

bool linear_mentions_box(const struct box *b, const struct linear *l)
{
	for (int i = 0; i < l->n; i++)
		if (box_mentions(b, l->atom[i]))
			return true;
	return false;
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
		return gather(b, expr_operand(p, e, 0), by, into) &&
		       gather(b, expr_operand(p, e, 1), by, into);
	case OP_SUB:
		return gather(b, expr_operand(p, e, 0), by, into) &&
		       gather(b, expr_operand(p, e, 1), -by, into);
	case OP_NEG: return gather(b, expr_operand(p, e, 0), -by, into);
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
	default: return add_term(into, e, by);
	}
}

bool linear_of(const struct box *b, struct expr e, struct linear *l)
{
	*l = (struct linear){0};
	return gather(b, e, 1, l);
}

/* Sums `c · atom` for coefficients of one sign, all counted positive; the ends towards `extreme` replace the
 * atoms. */
static struct expr half(const struct box *b, const struct linear *l, int sign, int extreme,
                        struct expr *given)
{
	struct expr_pool *p = &b->cascade->pool;
	struct expr sum = expr_number(p, 0);
	for (int i = 0; i < l->n && sum.id; i++) {
		if ((l->c[i] > 0) != (sign > 0))
			continue;
		struct interval v = interval_of(b, l->atom[i]);
		struct expr end = (extreme > 0) == (l->c[i] > 0) ? v.high : v.low;
		if (!end.id)
			return NO_EXPR;
		*given = box_both(b, *given, v.given);
		sum = expr2(p, OP_ADD, sum, expr2(p, OP_MUL, expr_number(p, (double)(sign * l->c[i])), end));
	}
	return sum;
}

struct expr linear_extreme(const struct box *b, const struct linear *l, int sign, struct expr *given)
{
	struct expr_pool *p = &b->cascade->pool;
	struct expr plus = half(b, l, 1, sign, given), minus = half(b, l, -1, sign, given);
	if (!plus.id || !minus.id)
		return NO_EXPR;
	double none = 1;
	if (l->k > 0 && expr_is_number(p, plus, &none) && none == 0)
		return expr2(p, OP_SUB, expr_number(p, (double)l->k), minus);
	struct expr sum = expr2(p, OP_SUB, plus, minus);
	return l->k < 0 ? expr2(p, OP_SUB, sum, expr_number(p, (double)-l->k))
	                : expr2(p, OP_ADD, sum, expr_number(p, (double)l->k));
}

struct expr linear_extreme_le0(const struct box *b, const struct linear *l, int sign)
{
	struct expr_pool *p = &b->cascade->pool;
	struct expr given = NO_EXPR;
	struct expr plus = half(b, l, 1, sign, &given), minus = half(b, l, -1, sign, &given);
	if (!plus.id || !minus.id)
		return NO_EXPR;
	if (l->k == 1)
		return box_both(b, given, expr2(p, OP_LT, plus, minus));
	if (l->k > 0)
		plus = expr2(p, OP_ADD, plus, expr_number(p, (double)l->k));
	else
		minus = expr2(p, OP_ADD, minus, expr_number(p, (double)-l->k));
	return box_both(b, given, expr2(p, OP_LE, plus, minus));
}

/* The least or greatest an int can be, whatever the coordinates. */
static double limit_of(const struct box *b, struct expr e, int sign)
{
	const struct cascade *c = b->cascade;
	const struct expr_pool *p = &c->pool;
	const struct expr_node n = *expr_at(p, e);
	const double unknown = sign * (double)INFINITY;
	struct linear l;
	int64_t extent;
	double by, x[2][2];
	switch (n.op) {
	case OP_INDEX:
		if (!cascade_extent(c, c->index.v[n.symbol].extent, &extent) || extent < 1)
			return unknown;
		return sign < 0 ? 0 : (double)(extent - 1);
	case OP_MOD:
		if (!expr_is_number(p, expr_operand(p, e, 1), &by) || by < 1)
			return unknown;
		return sign < 0 ? 0 : by - 1;
	case OP_IDIV:
		if (!expr_is_number(p, expr_operand(p, e, 1), &by) || by < 1 ||
		    !linear_of(b, expr_operand(p, e, 0), &l))
			return unknown;
		return floor(linear_limit(b, &l, sign) / by);
	case OP_XOR:
	case OP_MIN:
	case OP_MAX:
		for (int i = 0; i < 2; i++) {
			if (!linear_of(b, expr_operand(p, e, i), &l))
				return unknown;
			x[i][0] = linear_limit(b, &l, -1);
			x[i][1] = linear_limit(b, &l, 1);
		}
		if (n.op == OP_MIN)
			return fmin(x[0][sign > 0], x[1][sign > 0]);
		if (n.op == OP_MAX)
			return fmax(x[0][sign > 0], x[1][sign > 0]);
		if (x[0][0] < 0 || x[1][0] < 0)
			return unknown;
		return sign < 0 ? 0 : op_value(OP_BIT_CEIL, fmax(x[0][1], x[1][1]) + 1, 0, 0) - 1;
	case OP_ABS: return sign < 0 ? 0 : unknown;
	default: return unknown;
	}
}

double linear_limit(const struct box *b, const struct linear *l, int sign)
{
	double sum = (double)l->k;
	for (int i = 0; i < l->n; i++)
		sum += (double)l->c[i] * limit_of(b, l->atom[i], l->c[i] > 0 ? sign : -sign);
	return sum;
}
