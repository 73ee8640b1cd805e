/* bounds_test.c: what is derived from predicates that people write; bounds_property_test.c has random ones. */
#include "codegen/bounds.h"

#include <string.h>

#include "tests/tap.h"

enum { INDICES = 3 };
static const int64_t extents[INDICES] = {9, 11, 6};

struct place {
	const struct cascade *c;
	double at[INDICES], low[INDICES], high[INDICES];
};

static double value(const struct place *w, struct expr e)
{
	const struct expr_pool *p = &w->c->pool;
	const struct expr_node *n = expr_at(p, e);
	double x[3] = {0};
	for (int i = 0; i < n->count; i++)
		x[i] = value(w, expr_operand(p, e, i));
	switch (n->op) {
	case OP_CONST: return n->number;
	case OP_INDEX: return w->at[n->symbol];
	case OP_LOW: return w->low[n->symbol];
	case OP_HIGH: return w->high[n->symbol];
	case OP_EXTENT: return (double)w->c->rank.v[n->symbol].extent;
	case OP_READ: return 10;
	case OP_CAST: return dtype_round((enum dtype)n->symbol, x[0]);
	default: return op_value((enum op)n->op, x[0], x[1], x[2]);
	}
}

static struct cascade *stage(struct arena *a)
{
	static const char *const names[] = {"I", "J", "K"}, *const lower[] = {"i", "j", "k"};
	struct cascade *c = cascade_new(a, "test");
	for (int i = 0; i < INDICES; i++)
		cascade_add_index(c, lower[i], cascade_add_rank(c, names[i], extents[i]));
	cascade_add_tensor(c, (struct tensor){.name = "len", .dtype = DTYPE_I32, .nranks = 1,
	                                      .extent = {expr_leaf(&c->pool, OP_EXTENT, KIND_INT, 2)},
	                                      .equation = NO_EQUATION});
	return c;
}

static struct expr number(struct cascade *c, int n)
{
	return expr_number(&c->pool, n);
}

static struct expr index_expr(struct cascade *c, int i)
{
	return expr_leaf(&c->pool, OP_INDEX, KIND_INT, (uint32_t)i);
}

static const char *spelled(struct cascade *c, struct expr e)
{
	struct text s;
	text_init(&s, c->arena);
	struct expr_names names = cascade_names(c);
	if (!e.id)
		return "none";
	expr_print(&c->pool, e, &names, &s);
	return s.s;
}

int main(void)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "memory");
		return tap_done();
	}
	struct cascade *c = stage(&a);
	struct expr_pool *p = &c->pool;
	struct expr i = index_expr(c, 0), j = index_expr(c, 1);
	uint32_t both[] = {0, 1};
	struct expr causal = expr2(p, OP_LE, j, i);
	struct range r = bounds_of(c, causal, 1, both, 2);
	/* What the ends are called is the owner's affair, so they are told apart by their values. */
	struct place w = {.c = c, .low = {3, 0}, .high = {5, 10}};
	ok(!r.low.id && r.high.id && value(&w, r.high) == 6, "j <= i: j below high(i) + 1");
	struct expr window = expr2(p, OP_AND, causal, expr2(p, OP_LT, expr2(p, OP_SUB, i, j), number(c, 2)));
	r = bounds_of(c, window, 1, both, 2);
	ok(r.low.id && value(&w, r.low) == 2 && value(&w, r.high) == 6, "a window bounds both sides");
	r = bounds_of(c, expr2(p, OP_EQ, j, i), 1, both, 2);
	ok(value(&w, r.low) == 3 && value(&w, r.high) == 6, "equality bounds both sides");
	r = bounds_of(c, expr2(p, OP_LE, expr2(p, OP_IDIV, j, number(c, 4)), expr2(p, OP_IDIV, i, number(c, 4))), 1,
	              both, 2);
	ok(!r.low.id && value(&w, r.high) == 8, "j / 4 <= i / 4: to the end of the block");
	r = bounds_of(c, expr2(p, OP_LE, expr1(p, OP_ABS, expr2(p, OP_SUB, i, j)), number(c, 1)), 1, both, 2);
	ok(value(&w, r.low) == 2 && value(&w, r.high) == 7, "abs(i - j) <= 1");
	struct expr sink = expr2(p, OP_OR, expr2(p, OP_LT, j, number(c, 2)), expr2(p, OP_LT, number(c, 5), j));
	r = bounds_within(c, sink, 1, both, 2);
	struct place left = {.c = c, .low = {0, 1}, .high = {0, 4}}, middle = {.c = c, .low = {0, 3}, .high = {0, 4}};
	ok(value(&left, r.low) == 1 && value(&left, r.high) == 2 && value(&middle, r.low) >= value(&middle, r.high),
	   "of a disjunction only what meets the range counts");
	struct expr len = expr_read(p, KIND_INT, 0, 1, (struct expr[]){index_expr(c, 2)});
	r = bounds_of(c, expr2(p, OP_LT, j, len), 1, both, 2);
	w.at[2] = 1;
	ok(value(&w, r.high) == 10, "a read that mentions no ranged index is a bound");
	ok(strcmp(spelled(c, bounds_empty(c, NO_EXPR, both, 2)), "0") == 0 &&
	           strcmp(spelled(c, bounds_full(c, NO_EXPR, both, 2)), "1") == 0,
	   "no predicate: full, not empty");
	ok(expr_same(bounds_full(c, expr2(p, OP_LT, j, number(c, 11)), both, 2), number(c, 1)),
	   "what the extents decide is folded");
	/* Conditions run once a tile and are read by people. */
	struct expr pair = expr2(p, OP_OR, causal, expr2(p, OP_LT, i, j));
	ok(expr_same(bounds_full(c, pair, both, 2), number(c, 1)), "j <= i or i < j is everywhere");
	struct expr never = expr2(p, OP_AND, causal, expr2(p, OP_LT, i, j));
	ok(expr_same(bounds_empty(c, never, both, 2), number(c, 1)), "j <= i and i < j is nowhere");
	struct expr twice = expr2(p, OP_AND, window, expr2(p, OP_LE, j, expr2(p, OP_ADD, i, number(c, 3))));
	ok(expr_same(bounds_empty(c, twice, both, 2), bounds_empty(c, window, both, 2)),
	   "what a stronger comparison implies adds nothing");
	struct expr d = expr2(p, OP_SUB, i, j), one = number(c, 1);
	struct expr bit = expr2(p, OP_EQ, expr2(p, OP_XOR, d, expr2(p, OP_SUB, d, one)),
	                        expr2(p, OP_SUB, expr2(p, OP_MUL, number(c, 2), d), one));
	struct expr far = expr2(p, OP_AND, expr2(p, OP_LE, one, d), bit);
	struct expr *nodes;
	ok(expr_nodes(p, bounds_empty(c, far, both, 2), &nodes) < 30, "powers of two: a short condition");
	uint32_t all[] = {0, 1, 2};
	struct expr k = index_expr(c, 2);
	struct expr chain = expr2(p, OP_AND, expr2(p, OP_LT, i, j), expr2(p, OP_AND, expr2(p, OP_LT, j, k), expr2(p, OP_LT, k, i)));
	ok(expr_same(bounds_empty(c, chain, all, 3), number(c, 1)), "i < j < k < i is nowhere");
	arena_free(&a);
	return tap_done();
}
