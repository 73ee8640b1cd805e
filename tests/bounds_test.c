/* bounds_test.c: predicates over boxes against brute force. */
#include "codegen/bounds.h"

#include <math.h>
#include <string.h>

#include "tests/tap.h"

enum { INDICES = 3, BOXES = 12 };
static const int64_t extents[INDICES] = {9, 11, 6};
enum { TENSOR_LEN, TENSOR_SEG, TENSOR_SLOPE, TENSOR_MASK, TENSORS };

static uint64_t state;
static int below(int n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (int)((state >> 33) % (uint64_t)n);
}

struct place {
	const struct cascade *c;
	double at[INDICES], low[INDICES], high[INDICES];
};

static double read_value(uint32_t tensor, int coordinate)
{
	switch (tensor) {
	case TENSOR_LEN: return (coordinate * 7 + 3) % 11;
	case TENSOR_SEG: return coordinate / 3;
	case TENSOR_SLOPE: return coordinate == 4 ? (double)NAN : coordinate * 1.5 - 4;
	default: return coordinate % 4 != 1;
	}
}

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
	case OP_READ: return read_value(n->symbol, (int)x[0]);
	case OP_CAST: return dtype_round((enum dtype)n->symbol, x[0]);
	default: return op_value((enum op)n->op, x[0], x[1], x[2]);
	}
}

static struct cascade *stage(struct arena *a)
{
	static const char *const names[] = {"I", "J", "K"}, *const lower[] = {"i", "j", "k"};
	static const char *const tensors[] = {"len", "seg", "slope", "mask"};
	static const enum dtype types[] = {DTYPE_I32, DTYPE_I32, DTYPE_F32, DTYPE_BOOL};
	struct cascade *c = cascade_new(a, "test");
	for (int i = 0; i < INDICES; i++)
		cascade_add_index(c, lower[i], cascade_add_rank(c, names[i], extents[i]));
	for (int i = 0; i < TENSORS; i++)
		cascade_add_tensor(c, (struct tensor){.name = tensors[i], .dtype = types[i], .nranks = 1,
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

static struct expr read_expr(struct cascade *c, int t)
{
	static const enum kind kinds[] = {KIND_INT, KIND_INT, KIND_REAL, KIND_BOOL};
	struct expr i = index_expr(c, below(INDICES));
	return expr_read(&c->pool, kinds[t], (uint32_t)t, 1, &i);
}

static struct expr affine(struct cascade *c)
{
	struct expr e = number(c, below(9) - 4);
	for (int i = 0; i < INDICES; i++) {
		int by = below(3) ? below(3) - 1 : below(7) - 3;
		e = expr2(&c->pool, OP_ADD, e, expr2(&c->pool, OP_MUL, number(c, by), index_expr(c, i)));
	}
	return e;
}

static struct expr whole(struct cascade *c, int depth)
{
	struct expr_pool *p = &c->pool;
	if (depth == 0)
		return below(3) ? index_expr(c, below(INDICES)) : number(c, below(7));
	struct expr x = whole(c, depth - 1), y = whole(c, depth - 1);
	switch (below(13)) {
	case 0:
	case 1: return expr2(p, OP_ADD, x, y);
	case 2:
	case 3: return expr2(p, OP_SUB, x, y);
	case 4: return expr2(p, OP_MUL, x, below(3) ? number(c, below(5) - 2) : y);
	case 5: return expr2(p, OP_IDIV, x, number(c, below(4) + 1));
	case 6: return expr2(p, OP_MOD, x, number(c, below(4) + 1));
	case 7: return expr2(p, OP_MIN, x, y);
	case 8: return expr2(p, OP_MAX, x, y);
	case 9: return expr1(p, OP_ABS, x);
	case 10: return expr2(p, OP_XOR, index_expr(c, below(INDICES)), index_expr(c, below(INDICES)));
	case 11: return read_expr(c, below(2));
	default: return expr1(p, OP_NEG, x);
	}
}

static struct expr real(struct cascade *c, int depth)
{
	struct expr_pool *p = &c->pool;
	if (depth == 0)
		return below(3) ? whole(c, 1) : read_expr(c, TENSOR_SLOPE);
	struct expr x = real(c, depth - 1);
	static const enum op unary[] = {OP_EXP, OP_SQRT, OP_TANH, OP_LOG, OP_NEG, OP_ABS, OP_FLOOR, OP_COS, OP_RSQRT};
	switch (below(5)) {
	case 0: return expr1(p, unary[below(9)], x);
	case 1: return expr2(p, OP_ADD, x, real(c, depth - 1));
	case 2: return expr2(p, OP_MUL, x, expr_number(p, below(9) * 0.5 - 2));
	case 3: return expr2(p, OP_MUL, x, real(c, depth - 1));
	default: return expr2(p, OP_DIV, x, expr_number(p, below(4) + 0.5));
	}
}

static enum op comparison(void)
{
	static const enum op all[] = {OP_LT, OP_LE, OP_LT, OP_LE, OP_EQ, OP_NE};
	return all[below(6)];
}

static struct expr predicate(struct cascade *c, int depth)
{
	struct expr_pool *p = &c->pool;
	if (depth == 0 || below(4) == 0) {
		switch (below(8)) {
		case 0: return read_expr(c, TENSOR_MASK);
		case 1: return expr2(p, comparison(), real(c, 1), real(c, below(3)));
		case 2:
		case 3: return expr2(p, comparison(), affine(c), number(c, 0));
		default: return expr2(p, comparison(), whole(c, below(3)), whole(c, below(3)));
		}
	}
	struct expr x = predicate(c, depth - 1), y = predicate(c, depth - 1);
	switch (below(6)) {
	case 0: return expr1(p, OP_NOT, x);
	case 1: return expr3(p, OP_SELECT, x, y, predicate(c, depth - 1));
	case 2:
	case 3: return expr2(p, OP_OR, x, y);
	default: return expr2(p, OP_AND, x, y);
	}
}

static struct expr affine_conjunction(struct cascade *c, int n)
{
	struct expr e = NO_EXPR;
	while (n--) {
		struct expr one = expr2(&c->pool, below(2) ? OP_LT : OP_LE, affine(c), affine(c));
		e = e.id ? expr2(&c->pool, OP_AND, e, one) : one;
	}
	return e;
}

struct tally {
	int full, full_called, empty, empty_called, wrong, wider;
};

/* Classifies random boxes by the derived expressions and by visiting every coordinate. */
static void try_predicate(struct cascade *c, struct expr e, struct tally *t)
{
	uint32_t ranged[INDICES];
	int n = 0;
	for (uint32_t i = 0; i < INDICES; i++)
		if (below(4))
			ranged[n++] = i;
	if (!n)
		ranged[n++] = 0;
	struct expr full = bounds_full(c, e, ranged, n), empty = bounds_empty(c, e, ranged, n);
	uint32_t walked = ranged[below(n)];
	struct range r = bounds_of(c, e, walked, ranged, n), in = bounds_within(c, e, walked, ranged, n);
	for (int box = 0; box < BOXES; box++) {
		struct place w = {.c = c};
		for (int i = 0; i < INDICES; i++) {
			int a = below((int)extents[i]), b = below((int)extents[i]);
			w.at[i] = w.low[i] = a < b ? a : b;
			w.high[i] = w.low[i];
			for (int k = 0; k < n; k++)
				if (ranged[k] == (uint32_t)i)
					w.high[i] = a < b ? b : a;
		}
		bool called_full = value(&w, full) != 0, called_empty = value(&w, empty) != 0;
		double from = r.low.id ? value(&w, r.low) : -1e9, to = r.high.id ? value(&w, r.high) : 1e9;
		double first = in.low.id ? value(&w, in.low) : -1e9, last = in.high.id ? value(&w, in.high) : 1e9;
		t->wider += r.low.id && first < from && from <= w.high[walked];
		t->wider += r.high.id && last > to && to > w.low[walked];
		from = from > first ? from : first;
		to = to < last ? to : last;
		struct place at = w;
		bool all = true, any = false, outside = false;
		for (at.at[0] = w.low[0]; at.at[0] <= w.high[0]; at.at[0]++)
			for (at.at[1] = w.low[1]; at.at[1] <= w.high[1]; at.at[1]++)
				for (at.at[2] = w.low[2]; at.at[2] <= w.high[2]; at.at[2]++) {
					bool here = value(&at, e) != 0;
					all &= here;
					any |= here;
					outside |= here && (at.at[walked] < from || at.at[walked] >= to);
				}
		t->full += all;
		t->full_called += called_full;
		t->empty += !any;
		t->empty_called += called_empty;
		if ((called_full && !all) || (called_empty && any) || outside) {
			t->wrong++;
			struct text s;
			text_init(&s, c->arena);
			struct expr_names names = cascade_names(c);
			expr_print(&c->pool, e, &names, &s);
			if (t->wrong < 5)
				printf("# wrong %s: %s in [%g,%g] [%g,%g] [%g,%g]\n",
				       outside ? "range" : called_full ? "full" : "empty", s.s, w.low[0], w.high[0],
				       w.low[1], w.high[1], w.low[2], w.high[2]);
		}
	}
}

static double share(int called, int truly)
{
	return truly ? (double)called / truly : 1;
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
	struct tally any = {0}, single = {0}, several = {0};
	for (int round = 0; round < 60; round++) {
		state = (uint64_t)round + 1;
		struct cascade *c = stage(&a);
		for (int i = 0; i < 50; i++)
			try_predicate(c, predicate(c, below(4)), &any);
		for (int i = 0; i < 30; i++) {
			try_predicate(c, affine_conjunction(c, 1), &single);
			try_predicate(c, affine_conjunction(c, 2 + below(2)), &several);
		}
		arena_free(&a);
		a.out_of_memory = &env;
	}
	ok(!any.wider, "what is left in the current range is no wider than what is left anywhere");
	ok(!any.wrong, "3000 random predicates: never full, empty or out of range wrongly");
	printf("# any predicate: full %d of %d, empty %d of %d\n", any.full_called, any.full, any.empty_called,
	       any.empty);
	ok(!single.wrong && single.full_called == single.full && single.empty_called == single.empty,
	   "one affine comparison: exact, full %d of %d, empty %d of %d", single.full_called, single.full,
	   single.empty_called, single.empty);
	ok(!several.wrong && share(several.full_called, several.full) >= 0.95 &&
	           share(several.empty_called, several.empty) >= 0.95,
	   "affine conjunctions: full %d of %d, empty %d of %d", several.full_called, several.full,
	   several.empty_called, several.empty);

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
	struct expr len = expr_read(p, KIND_INT, TENSOR_LEN, 1, (struct expr[]){index_expr(c, 2)});
	r = bounds_of(c, expr2(p, OP_LT, j, len), 1, both, 2);
	w.at[2] = 1;
	ok(value(&w, r.high) == 10, "a read that mentions no ranged index is a bound");
	ok(strcmp(spelled(c, bounds_empty(c, NO_EXPR, both, 2)), "0") == 0 &&
	           strcmp(spelled(c, bounds_full(c, NO_EXPR, both, 2)), "1") == 0,
	   "no predicate: full, not empty");
	ok(expr_same(bounds_full(c, expr2(p, OP_LT, j, number(c, 11)), both, 2), number(c, 1)),
	   "what the extents decide is folded");
	arena_free(&a);
	return tap_done();
}
