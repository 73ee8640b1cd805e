/* When an element is there: presence (see cascade.h) as a predicate over index variables.
 *
 * For each node of an expression, operands first, three predicates: when it is present, and for a bool when
 * it is present and true, or present and false; NO_EXPR is "always". Conditions that hold for every
 * coordinate are left out. What makes a predicate's own reads safe stands before it, so that evaluating from
 * the left never needs an element that is not there.
 */
#include <stdlib.h>
#include <string.h>

#include "dsl/cascade.h"
#include "dsl/dtype.h"

/* What is known of an int expression over all values of its index variables. */
struct interval {
	bool known; /* low and high are; needs the extents it depends on to be bound */
	int64_t low, high;
};

enum { DEPTH_LIMIT = 64 };

static struct interval exactly(int64_t v)
{
	return (struct interval){true, v, v};
}

static struct interval corners(enum op op, struct interval a, struct interval b)
{
	const int64_t x[4] = {a.low, a.low, a.high, a.high}, y[4] = {b.low, b.high, b.low, b.high};
	struct interval r = {true, INT64_MAX, INT64_MIN};
	for (int i = 0; i < 4; i++) {
		int64_t v;
		if (op == OP_ADD   ? __builtin_add_overflow(x[i], y[i], &v)
		    : op == OP_SUB ? __builtin_sub_overflow(x[i], y[i], &v)
		                   : __builtin_mul_overflow(x[i], y[i], &v))
			return (struct interval){0};
		r.low = v < r.low ? v : r.low;
		r.high = v > r.high ? v : r.high;
	}
	return r;
}

static int64_t floor_div(int64_t x, int64_t y)
{
	return x / y - (x % y < 0);
}

static struct interval selected(const struct cascade *c, const struct equation *q, int depth);

static struct interval interval(const struct cascade *c, struct expr e, int depth)
{
	const struct expr_node *n = expr_at(&c->pool, e);
	struct interval a, b;
	int64_t v;
	if (depth > DEPTH_LIMIT || n->kind != KIND_INT)
		return (struct interval){0};
	if (n->op == OP_READ && c->tensor.v[n->symbol].equation < c->equation.n)
		return selected(c, &c->equation.v[c->tensor.v[n->symbol].equation], depth);
	if (!(n->ops & ((uint64_t)1 << OP_INDEX | (uint64_t)1 << OP_READ)))
		return cascade_extent(c, e, &v) ? exactly(v) : (struct interval){0};
	if (n->op == OP_INDEX && cascade_extent(c, c->index.v[n->symbol].extent, &v))
		return (struct interval){true, 0, v > 0 ? v - 1 : 0};
	if (n->op == OP_READ || n->count < 1 || n->count > 2)
		return (struct interval){0};
	a = interval(c, expr_operand(&c->pool, e, 0), depth + 1);
	b = n->count == 2 ? interval(c, expr_operand(&c->pool, e, 1), depth + 1) : exactly(0);
	if (n->op == OP_MOD && b.known && b.low == b.high && b.low > 0)
		return a.known && a.low >= 0 && a.high < b.low ? a : (struct interval){true, 0, b.low - 1};
	if (!a.known || !b.known)
		return (struct interval){0};
	switch (n->op) {
	case OP_ADD:
	case OP_SUB:
	case OP_MUL: return corners((enum op)n->op, a, b);
	case OP_NEG: return corners(OP_SUB, exactly(0), a);
	case OP_IDIV:
		if (b.low != b.high || b.low <= 0)
			return (struct interval){0};
		return (struct interval){true, floor_div(a.low, b.low), floor_div(a.high, b.low)};
	case OP_MIN:
		return (struct interval){true, a.low < b.low ? a.low : b.low,
		                         a.high < b.high ? a.high : b.high};
	case OP_MAX:
		return (struct interval){true, a.low > b.low ? a.low : b.low,
		                         a.high > b.high ? a.high : b.high};
	default: return (struct interval){0};
	}
}

/* Is every element of an expression there? Never said of one that is not. */
static bool always_there(const struct cascade *c, struct expr e, int depth)
{
	const struct expr_node *n = expr_at(&c->pool, e);
	if (depth > DEPTH_LIMIT || (n->op == OP_READ && c->tensor.v[n->symbol].equation != NO_EQUATION &&
	                            (c->tensor.v[n->symbol].equation >= c->equation.n ||
	                             equation_is_map(&c->equation.v[c->tensor.v[n->symbol].equation]))))
		return false;
	for (int i = n->op == OP_ELSE; i < n->count; i++) {
		struct expr x = expr_operand(&c->pool, e, i);
		int64_t extent;
		struct interval at;
		if (!always_there(c, x, depth + 1))
			return false;
		if (n->op != OP_READ)
			continue;
		at = interval(c, x, depth + 1);
		if (!at.known || at.low < 0 || !cascade_extent(c, c->tensor.v[n->symbol].extent[i], &extent) ||
		    at.high >= extent)
			return false;
	}
	return true;
}

/* What a selection's result may be: coordinates of its fiber, -1 where there are too few. All are there in order
 * when all elements are. */
static struct interval selected(const struct cascade *c, const struct equation *q, int depth)
{
	int64_t extent;
	if ((q->select != SELECT_ARGSORT && q->select != SELECT_MEMBERS) ||
	    !cascade_extent(c, c->index.v[q->along].extent, &extent))
		return (struct interval){0};
	bool all = q->select == SELECT_ARGSORT && !q->where.id && always_there(c, q->body, depth + 1);
	return (struct interval){true, all ? 0 : -1, extent - 1};
}

/* Without extents: is it an index, an extent, or made of such by what keeps the sign? */
static bool non_negative(const struct cascade *c, struct expr e, int depth)
{
	const struct expr_pool *p = &c->pool;
	const struct expr_node *n = expr_at(p, e);
	if (depth > DEPTH_LIMIT)
		return false;
	switch (n->op) {
	case OP_CONST: return n->number >= 0;
	case OP_INDEX:
	case OP_EXTENT:
	case OP_ABS: return true;
	case OP_MOD: return non_negative(c, expr_operand(p, e, 1), depth + 1);
	case OP_ADD:
	case OP_MUL:
	case OP_IDIV:
	case OP_MIN:
		return non_negative(c, expr_operand(p, e, 0), depth + 1) &&
		       non_negative(c, expr_operand(p, e, 1), depth + 1);
	case OP_MAX:
		return non_negative(c, expr_operand(p, e, 0), depth + 1) ||
		       non_negative(c, expr_operand(p, e, 1), depth + 1);
	default: return false;
	}
}

/* Without extents: n < N, n / G < N / G, x % G < G, n - x < N for x not negative. */
static bool below(const struct cascade *c, struct expr e, struct expr extent)
{
	const struct expr_pool *p = &c->pool;
	const struct expr_node *n = expr_at(p, e), *x = expr_at(p, extent);
	struct expr whole = extent;
	if (n->op == OP_MOD)
		return expr_same(expr_operand(p, e, 1), extent) && non_negative(c, extent, 0);
	if (n->op == OP_SUB)
		return non_negative(c, expr_operand(p, e, 1), 0) && below(c, expr_operand(p, e, 0), extent);
	if (n->op == OP_IDIV) {
		if ((x->op != OP_IDIV && x->op != OP_DIV) ||
		    !expr_same(expr_operand(p, e, 1), expr_operand(p, extent, 1)))
			return false;
		whole = expr_operand(p, extent, 0);
		n = expr_at(p, expr_operand(p, e, 0));
	}
	return n->op == OP_INDEX && expr_same(c->index.v[n->symbol].extent, whole);
}

static bool inside_low(const struct cascade *c, struct expr e)
{
	struct interval i = interval(c, e, 0);
	return (i.known && i.low >= 0) || non_negative(c, e, 0);
}

static bool inside_high(const struct cascade *c, struct expr e, struct expr extent)
{
	int64_t v;
	struct interval i = interval(c, e, 0);
	return (i.known && cascade_extent(c, extent, &v) && i.high < v) || below(c, e, extent);
}

/* Predicates, where NO_EXPR is true. */

static int by_id(const void *a, const void *b)
{
	uint32_t x = ((const struct expr *)a)->id, y = ((const struct expr *)b)->id;
	return (x > y) - (x < y);
}

/* The conditions of a left-nested conjunction, in order. */
static uint32_t conditions(struct expr_pool *p, struct expr e, struct expr **list)
{
	uint32_t n = 1;
	for (struct expr x = e; expr_at(p, x)->op == OP_AND; x = expr_operand(p, x, 0))
		n++;
	*list = arena_new_array(p->arena, n, struct expr);
	for (uint32_t i = n; i-- > 1; e = expr_operand(p, e, 0))
		(*list)[i] = expr_operand(p, e, 1);
	(*list)[0] = e;
	return n;
}

/* a and b, each condition of b that a does not have yet. */
static struct expr both(struct expr_pool *p, struct expr a, struct expr b)
{
	if (!a.id || !b.id || expr_same(a, b))
		return a.id ? a : b;
	struct expr *of_a, *of_b;
	uint32_t na = conditions(p, a, &of_a), nb = conditions(p, b, &of_b);
	qsort(of_a, na, sizeof *of_a, by_id);
	for (uint32_t i = 0; i < nb; i++)
		if (!bsearch(&of_b[i], of_a, na, sizeof *of_a, by_id))
			a = expr2(p, OP_AND, a, of_b[i]);
	return a;
}

bool condition_has(const struct expr_pool *p, struct expr all, struct expr one)
{
	if (!all.id || expr_same(all, one))
		return all.id;
	return expr_at(p, all)->op == OP_AND &&
	       (condition_has(p, expr_operand(p, all, 0), one) || condition_has(p, expr_operand(p, all, 1), one));
}

bool condition_implies(const struct expr_pool *p, struct expr a, struct expr b)
{
	if (!b.id || condition_has(p, a, b))
		return true;
	return expr_at(p, b)->op == OP_AND && condition_implies(p, a, expr_operand(p, b, 0)) &&
	       condition_implies(p, a, expr_operand(p, b, 1));
}

bool condition_opposite(const struct expr_pool *p, struct expr a, struct expr b)
{
	if ((expr_at(p, b)->op == OP_NOT && expr_same(expr_operand(p, b, 0), a)) ||
	    (expr_at(p, a)->op == OP_NOT && expr_same(expr_operand(p, a, 0), b)))
		return true;
	if (expr_at(p, a)->op == OP_LE) {
		struct expr t = a;
		a = b;
		b = t;
	}
	if (expr_at(p, a)->op != OP_LT || expr_at(p, b)->op != OP_LE)
		return false;
	struct expr x = expr_operand(p, a, 0), y = expr_operand(p, a, 1);
	struct expr low = expr_operand(p, b, 0), high = expr_operand(p, b, 1);
	double zero;
	if (expr_same(low, y) && expr_same(high, x))
		return true;
	return expr_is_number(p, low, &zero) && zero == 0 && expr_at(p, high)->op == OP_SUB &&
	       expr_same(expr_operand(p, high, 0), x) && expr_same(expr_operand(p, high, 1), y);
}

/* Is the opposite of a condition among the alternatives of e? */
static bool alternative(const struct expr_pool *p, struct expr e, struct expr condition)
{
	for (; expr_at(p, e)->op == OP_OR; e = expr_operand(p, e, 0))
		if (condition_opposite(p, expr_operand(p, e, 1), condition))
			return true;
	return condition_opposite(p, e, condition);
}

/* b where a is not: without the conditions that a's falsehood implies. Those that keep a read inside its tensor
 * stay. */
static struct expr beside(struct expr_pool *p, struct expr a, struct expr b)
{
	struct expr *of_b, rest = NO_EXPR;
	if (expr_mentions(p, b, OP_READ, ANY_SYMBOL))
		return b;
	uint32_t n = conditions(p, b, &of_b);
	for (uint32_t i = 0; i < n; i++)
		if (!alternative(p, a, of_b[i]))
			rest = rest.id ? expr2(p, OP_AND, rest, of_b[i]) : of_b[i];
	return rest;
}

static struct expr either(struct expr_pool *p, struct expr a, struct expr b)
{
	if (!a.id || !b.id)
		return NO_EXPR;
	b = beside(p, a, b);
	if (!b.id || !(a = beside(p, b, a)).id)
		return NO_EXPR;
	return expr_same(a, b) ? a : expr2(p, OP_OR, a, b);
}

/* low <= x + c as low - c <= x, for constants, and so on. */
static struct expr compare(struct expr_pool *p, enum op op, struct expr a, struct expr b)
{
	for (int side = 0; side < 2; side++) {
		struct expr sum = side ? a : b, other = side ? b : a;
		const struct expr_node *n = expr_at(p, sum);
		if ((n->op != OP_ADD && n->op != OP_SUB) ||
		    !expr_is_number(p, expr_operand(p, sum, 1), NULL) ||
		    (side ? false : expr_at(p, other)->op != OP_CONST))
			continue;
		struct expr x = expr_operand(p, sum, 0);
		other = expr2(p, n->op == OP_ADD ? OP_SUB : OP_ADD, other, expr_operand(p, sum, 1));
		return side ? expr2(p, op, x, other) : expr2(p, op, other, x);
	}
	return expr2(p, op, a, b);
}

struct node_presence {
	struct expr present, is_true, is_false;
};

struct context {
	struct cascade *cascade;
	struct expr *of; /* an equation each: when its body is present, for those before this one */
};

struct replacement {
	const struct equation *equation;
	struct expr to[MAX_RANKS];
};

static struct expr replace(struct expr_pool *p, struct expr e, void *context)
{
	const struct replacement *r = context;
	enum op op = (enum op)expr_at(p, e)->op;
	if ((op == OP_LE || op == OP_LT) && expr_at(p, expr_operand(p, e, 0))->kind == KIND_INT &&
	    expr_at(p, expr_operand(p, e, 1))->kind == KIND_INT)
		return compare(p, op, expr_operand(p, e, 0), expr_operand(p, e, 1));
	if (op == OP_INDEX)
		for (int i = 0; i < r->equation->nindex; i++)
			if (r->equation->index[i] == expr_at(p, e)->symbol)
				return r->to[i];
	return e;
}

/* Its coordinates inside the extents, then its element there. */
static struct expr read_presence(struct context *x, struct expr e)
{
	struct cascade *c = x->cascade;
	struct expr_pool *p = &c->pool;
	struct expr all = NO_EXPR;
	const struct tensor *t = &c->tensor.v[expr_at(p, e)->symbol];
	for (int r = 0; r < t->nranks; r++) {
		struct expr at = expr_operand(p, e, r);
		if (!inside_low(c, at))
			all = both(p, all, compare(p, OP_LE, expr_number(p, 0), at));
		if (!inside_high(c, at, t->extent[r]))
			all = both(p, all, compare(p, OP_LT, at, t->extent[r]));
	}
	if (t->equation == NO_EQUATION || !equation_is_map(&c->equation.v[t->equation]) || !x->of[t->equation].id)
		return all;
	struct replacement to = {.equation = &c->equation.v[t->equation]};
	for (int r = 0; r < t->nranks; r++)
		to.to[r] = expr_operand(p, e, r);
	return both(p, all, expr_rewrite(p, x->of[t->equation], replace, &to));
}

/* When it is present, and true (or false); of no use for a real. */
static struct expr holds(struct expr_pool *p, struct expr present, struct expr e, bool wanted)
{
	double v;
	if (expr_at(p, e)->kind == KIND_REAL)
		return NO_EXPR;
	if (expr_is_number(p, e, &v) && (v != 0) == wanted)
		return present;
	return both(p, present, wanted ? e : expr1(p, OP_NOT, e));
}

static struct node_presence presence_node(struct context *x, struct expr e, const struct node_presence *o)
{
	struct expr_pool *p = &x->cascade->pool;
	enum op op = (enum op)expr_at(p, e)->op;
	int count = expr_at(p, e)->count;
	struct node_presence r = {0};
	bool strict = true; /* an operand can be absent, all are needed */
	for (int i = 0; i < count; i++)
		strict &= !o[i].present.id;
	strict = strict || (op != OP_AND && op != OP_OR && op != OP_NOT && op != OP_SELECT && op != OP_ELSE);
	if (strict || op == OP_NOT) {
		for (int i = 0; i < count; i++)
			r.present = both(p, r.present, o[i].present);
		if (op == OP_READ)
			r.present = both(p, r.present, read_presence(x, e));
		r.is_true = op == OP_NOT ? o[0].is_false : holds(p, r.present, e, true);
		r.is_false = op == OP_NOT ? o[0].is_true : holds(p, r.present, e, false);
		return r;
	}
	if (op == OP_AND || op == OP_OR) {
		bool and = op == OP_AND;
		r.is_true = and? both(p, o[0].is_true, o[1].is_true) : either(p, o[0].is_true, o[1].is_true);
		r.is_false =
		        and? either(p, o[0].is_false, o[1].is_false) : both(p, o[0].is_false, o[1].is_false);
		r.present = either(p, r.is_true, r.is_false);
		return r;
	}
	if (op == OP_ELSE)
		r.present = either(p, o[0].present, o[1].present);
	else if (!o[0].present.id && o[1].present.id && o[2].present.id &&
	         expr_same(both(p, o[0].is_true, o[1].present), o[0].is_true))
		r.present = either(p, o[0].is_true, o[2].present); /* what is chosen by its presence has it */
	else if (o[1].present.id || o[2].present.id)
		r.present =
		        either(p, both(p, o[0].is_true, o[1].present), both(p, o[0].is_false, o[2].present));
	else
		r.present = o[0].present;
	r.is_true = holds(p, r.present, e, true);
	r.is_false = holds(p, r.present, e, false);
	return r;
}

static struct node_presence presence_of(struct context *x, struct expr e)
{
	struct expr_pool *p = &x->cascade->pool;
	struct expr *node;
	uint32_t n = expr_nodes(p, e, &node);
	struct node_presence *v = arena_new_array(p->arena, n, struct node_presence);
	for (uint32_t i = 0; i < n; i++) {
		struct node_presence operand[16];
		for (int k = 0; k < expr_at(p, node[i])->count; k++) {
			uint32_t low = 0, high = i, id = expr_operand(p, node[i], k).id;
			while (low + 1 < high) {
				uint32_t middle = low + (high - low) / 2;
				if (node[middle].id <= id)
					low = middle;
				else
					high = middle;
			}
			operand[k] = v[low];
		}
		v[i] = presence_node(x, node[i], operand);
	}
	return v[n - 1];
}

/* A comparison that every coordinate satisfies. */
static struct expr drop_certain(struct expr_pool *p, struct expr e, void *context)
{
	const struct cascade *c = context;
	const struct expr_node *n = expr_at(p, e);
	if (n->op != OP_LT && n->op != OP_LE)
		return e;
	struct expr a = expr_operand(p, e, 0), b = expr_operand(p, e, 1);
	if (expr_mentions(p, e, OP_READ, ANY_SYMBOL) || expr_at(p, a)->kind != KIND_INT ||
	    expr_at(p, b)->kind != KIND_INT)
		return e;
	struct interval x = interval(c, a, 0), y = interval(c, b, 0);
	bool certain = x.known && y.known && (n->op == OP_LT ? x.high < y.low : x.high <= y.low);
	certain |= n->op == OP_LT && below(c, a, b);
	certain |= n->op == OP_LE && expr_is_number(p, a, NULL) && expr_at(p, a)->number <= 0 &&
	           non_negative(c, b, 0);
	return certain ? expr_number(p, 1) : e;
}

/* Everything that is certain is left out at the end only: what a condition becomes where it is read through
 * shifted coordinates must not depend on the way there, or there would be as many as there are ways. */
static struct expr simplest(struct cascade *c, struct expr e)
{
	double v;
	e = expr_rewrite(&c->pool, e, drop_certain, c);
	return e.id && expr_is_number(&c->pool, e, &v) && v != 0 ? NO_EXPR : e;
}

static struct expr equation_presence(struct context *x, const struct equation *q)
{
	struct expr where = q->where.id ? presence_of(x, q->where).is_true : NO_EXPR;
	return both(&x->cascade->pool, where, presence_of(x, q->body).present);
}

/* Presence of every equation that is a map before `end`, and of equation `also`. */
static struct context presence_before(struct cascade *c, uint32_t end, uint32_t also)
{
	struct context x = {c, arena_new_array(c->arena, c->equation.n + 1, struct expr)};
	for (uint32_t q = 0; q < end; q++)
		if (q == also || equation_is_map(&c->equation.v[q]))
			x.of[q] = equation_presence(&x, &c->equation.v[q]);
	return x;
}

void cascade_presences(struct cascade *c, struct expr *presence)
{
	struct context x = presence_before(c, c->equation.n, NO_EQUATION);
	for (uint32_t q = 0; q < c->equation.n; q++) {
		const struct equation *equation = &c->equation.v[q];
		presence[q] = simplest(c, equation_is_map(equation) ? x.of[q] : equation_presence(&x, equation));
	}
}

struct expr cascade_presence(struct cascade *c, uint32_t equation)
{
	return simplest(c, presence_before(c, equation + 1, equation).of[equation]);
}

struct expr cascade_presence_of(struct cascade *c, struct expr e)
{
	struct context x = presence_before(c, c->equation.n, NO_EQUATION);
	return simplest(c, presence_of(&x, e).present);
}
