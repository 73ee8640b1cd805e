/* bounds_property_test.c: random predicates × random boxes. What is claimed of a box (full, empty, no further than
 * these ends) is held to a table of the predicate's values at every coordinate, in float64, in float32, and in float32
 * with contracted products and inexact functions; how much of what is true is claimed is told for each class, and
 * asked for where there is no excuse. LONG=1 takes a million boxes; SEED=n another seed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/bounds.h"
#include "tests/tap.h"

enum { INDICES = 3, READS = 3, BOXES = 20, ROUNDS = 10 };
static const int64_t extents[INDICES] = {10, 16, 5};
enum { COORDINATES = 10 * 16 * 5 };
/* Tensors, by what an element of theirs depends on: one index, or two. A read is an index of its own to the bounds,
 * INDICES + its number, whose ends are the least and greatest element over the box. */
enum { READ_INT, READ_REAL, READ_BOOL };

enum mode { DOUBLE, SINGLE, CONTRACTED, MODES };

static uint64_t state;
static int below(int n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (int)((state >> 33) % (uint64_t)n);
}

static struct cascade *c;
static struct expr_pool *p;
static double elements[READS][COORDINATES]; /* of the reads, at every coordinate */
static uint32_t read_indices[READS];        /* bit i: on which indices an element depends */

/* ---- values ---- */

struct place {
	double at[INDICES + READS], low[INDICES + READS], high[INDICES + READS];
};

/* An expression's nodes, operands first, so that it is evaluated in a loop. */
struct program {
	uint32_t n;
	struct expr *node;
};

static struct program program_of(struct expr e)
{
	struct program out = {0};
	if (e.id)
		out.n = expr_nodes(p, e, &out.node);
	return out;
}

static double *values; /* by node */

static bool inexact(enum op op)
{
	enum interval_rule r = op_info[op].interval;
	return r == RULE_APPROXIMATE || r == RULE_POSITIVE || r == RULE_POWER || r == RULE_DIP || r == RULE_WAVE;
}

/* An operation in a mode: elements are computed as vectors may be, ends of boxes plainly. */
static double operate(const struct expr_node *n, const double *x, enum mode mode, bool element, struct expr e)
{
	double v = n->op == OP_CAST ? dtype_round((enum dtype)n->symbol, x[0])
	                            : op_value((enum op)n->op, x[0], x[1], x[2]);
	if (n->kind != KIND_REAL || mode == DOUBLE)
		return v;
	if (mode == CONTRACTED && element && inexact((enum op)n->op))
		v += fabs(v) * ((double)(e.id * 2654435761u % 1000) / 500 - 1) * 2e-6;
	for (int i = 0; i < 2 && mode == CONTRACTED && element; i++) {
		if (n->op != OP_ADD && n->op != OP_SUB)
			break;
		struct expr product = expr_operand(p, e, i);
		if (expr_at(p, product)->op != OP_MUL || expr_at(p, product)->kind != KIND_REAL)
			continue;
		float a = (float)values[expr_operand(p, product, 0).id], b = (float)values[expr_operand(p, product, 1).id];
		bool minus = n->op == OP_SUB;
		return i ? fmaf(minus ? -a : a, b, (float)x[0]) : fmaf(a, b, minus ? -(float)x[1] : (float)x[1]);
	}
	return (double)(float)v;
}

static double value(const struct program *program, const struct place *w, enum mode mode, bool element)
{
	for (uint32_t i = 0; i < program->n; i++) {
		struct expr e = program->node[i];
		const struct expr_node *n = expr_at(p, e);
		double x[3] = {0};
		for (int k = 0; k < n->count && k < 3; k++)
			x[k] = values[expr_operand(p, e, k).id];
		switch (n->op) {
		case OP_CONST:
			values[e.id] = n->kind == KIND_REAL && mode != DOUBLE ? (double)(float)n->number : n->number;
			break;
		case OP_INDEX: values[e.id] = w->at[n->symbol]; break;
		case OP_LOW: values[e.id] = w->low[n->symbol]; break;
		case OP_HIGH: values[e.id] = w->high[n->symbol]; break;
		case OP_EXTENT: values[e.id] = (double)c->rank.v[n->symbol].extent; break;
		default: values[e.id] = operate(n, x, mode, element, e);
		}
	}
	return program->n ? values[program->node[program->n - 1].id] : 0;
}

static int coordinate(const double *at)
{
	return (int)((at[0] * (double)extents[1] + at[1]) * (double)extents[2] + at[2]);
}

static void make_reads(void)
{
	for (int r = 0; r < READS; r++) {
		double by[COORDINATES];
		read_indices[r] = below(2) ? 1u << below(INDICES) : 1u << below(INDICES) | 1u << below(INDICES);
		int density = below(4), slope = below(3);
		for (int i = 0; i < COORDINATES; i++) {
			double x = r == READ_INT ? below(5) - 1 : r == READ_BOOL ? below(4) >= density : below(64) / 8.0 - 4;
			static const double odd[] = {(double)INFINITY, -(double)INFINITY, (double)NAN};
			by[i] = r == READ_REAL && !below(60) ? odd[below(3)] : x;
		}
		double at[INDICES];
		for (at[0] = 0; at[0] < (double)extents[0]; at[0]++)
			for (at[1] = 0; at[1] < (double)extents[1]; at[1]++)
				for (at[2] = 0; at[2] < (double)extents[2]; at[2]++) {
					double key[INDICES];
					for (int i = 0; i < INDICES; i++)
						key[i] = read_indices[r] >> i & 1 ? at[i] : 0;
					double e = by[coordinate(key)];
					if (r == READ_INT && slope) /* as names of documents in order */
						e = floor((key[0] + key[1] + key[2]) / (1 + slope));
					elements[r][coordinate(at)] = e;
				}
	}
}

/* ---- predicates ---- */

static struct expr number(double x)
{
	return expr_number(p, x);
}

static struct expr an_index(void)
{
	return expr_leaf(p, OP_INDEX, KIND_INT, (uint32_t)below(INDICES));
}

static struct expr read_of(int r)
{
	struct expr e = expr_leaf(p, OP_INDEX, r == READ_REAL ? KIND_REAL : KIND_INT, (uint32_t)(INDICES + r));
	return r == READ_BOOL ? expr2(p, OP_NE, e, number(0)) : e;
}

static struct expr affine(int most)
{
	struct expr e = number(below(13) - 6);
	for (int i = 0; i < INDICES; i++) {
		int by = below(3) ? below(3) - 1 : below(2 * most + 1) - most;
		struct expr index = expr_leaf(p, OP_INDEX, KIND_INT, (uint32_t)i);
		if (by)
			e = expr2(p, OP_ADD, e, expr2(p, OP_MUL, number(by), index));
	}
	return e;
}

static struct expr inequality(void)
{
	return expr2(p, below(2) ? OP_LT : OP_LE, affine(3), below(2) ? affine(1) : number(below(9) - 4));
}

static struct expr single(void)
{
	if (below(4))
		return expr2(p, below(2) ? OP_LT : OP_LE, affine(3), number(below(9) - 4));
	return expr2(p, below(2) ? OP_EQ : OP_NE, affine(1), number(below(5) - 2));
}

static struct expr joined(enum op op)
{
	struct expr e = inequality();
	for (int n = 1 + below(2); n > 0; n--)
		e = expr2(p, op, e, inequality());
	return e;
}

static struct expr conjunction(void)
{
	return joined(OP_AND);
}

static struct expr disjunction(void)
{
	return joined(OP_OR);
}

static struct expr logic(int depth)
{
	if (depth == 0 || !below(4))
		return inequality();
	struct expr x = logic(depth - 1);
	if (!below(5))
		return expr1(p, OP_NOT, x);
	return expr2(p, below(2) ? OP_AND : OP_OR, x, logic(depth - 1));
}

static struct expr affine_logic(void)
{
	return logic(2);
}

static struct expr congruence(void)
{
	struct expr k = number(2 + below(5)), x = expr2(p, OP_MOD, affine(1), k);
	static const enum op all[] = {OP_LT, OP_LE, OP_EQ, OP_NE};
	return expr2(p, all[below(4)], x, below(4) ? number(below(6)) : expr2(p, OP_MOD, an_index(), k));
}

/* Blocks of a power of two, and butterflies. */
static struct expr blocks(void)
{
	struct expr size = number(1 << below(3));
	struct expr i = expr_leaf(p, OP_INDEX, KIND_INT, 0), j = expr_leaf(p, OP_INDEX, KIND_INT, 1);
	struct expr x = expr2(p, OP_XOR, expr2(p, OP_IDIV, i, size), expr2(p, OP_IDIV, j, size));
	return expr2(p, below(2) ? OP_LT : OP_EQ, x, number(1 << below(4)));
}

/* At distances that are powers of two. */
static struct expr far_blocks(void)
{
	struct expr size = number(1 << below(2));
	struct expr i = expr_leaf(p, OP_INDEX, KIND_INT, 0), j = expr_leaf(p, OP_INDEX, KIND_INT, 1);
	struct expr t = expr2(p, OP_SUB, expr2(p, OP_IDIV, i, size), expr2(p, OP_IDIV, j, size));
	struct expr twice = expr2(p, OP_SUB, expr2(p, OP_MUL, number(2), t), number(1));
	struct expr e = expr2(p, OP_EQ, expr2(p, OP_XOR, t, expr2(p, OP_SUB, t, number(1))), twice);
	return below(2) ? e : expr2(p, below(2) ? OP_AND : OP_OR, expr2(p, OP_LE, j, i), e);
}

static struct expr whole(int depth)
{
	if (depth == 0)
		return below(3) ? an_index() : below(3) ? number(below(9) - 1) : read_of(READ_INT);
	struct expr x = whole(depth - 1), y = whole(depth - 1);
	switch (below(17)) {
	case 0:
	case 1: return expr2(p, OP_ADD, x, y);
	case 2:
	case 3: return expr2(p, OP_SUB, x, y);
	case 4: return expr2(p, OP_MUL, x, below(3) ? number(below(5) - 2) : below(2) ? x : y);
	case 5:
	case 6: /* what is divided by is positive */
		y = below(4) ? number(below(5) + 1) : expr2(p, OP_ADD, expr1(p, OP_ABS, y), number(1));
		return expr2(p, below(2) ? OP_IDIV : OP_MOD, x, y);
	case 7: return expr2(p, OP_MIN, x, y);
	case 8: return expr2(p, OP_MAX, x, y);
	case 9: return expr1(p, OP_ABS, x);
	case 10: return expr2(p, OP_XOR, x, y);
	case 11: return expr1(p, OP_BIT_CEIL, x);
	case 12: return expr1(p, below(2) ? OP_SIGN : OP_RELU, x);
	case 13: return expr3(p, OP_SELECT, inequality(), x, y);
	case 14: return expr3(p, OP_CLAMP, x, number(below(3)), number(3 + below(5)));
	case 15: return expr2(p, OP_XOR, expr2(p, OP_SUB, x, number(1)), x);
	default: return expr1(p, OP_NEG, x);
	}
}

static struct expr real(int depth)
{
	if (depth == 0)
		return below(3) ? whole(1) : read_of(READ_REAL);
	struct expr x = real(depth - 1);
	if (below(3)) { /* any operation of one real */
		enum op op;
		do
			op = (enum op)(OP_OLD + 1 + below(OPS - OP_OLD - 1));
		while (op_info[op].arity != 1 || op == OP_NOT || op == OP_BIT_CEIL);
		if (!below(8))
			return expr_make(p, OP_CAST, below(2) ? DTYPE_BF16 : DTYPE_F16, 1, &x);
		return expr1(p, op, x);
	}
	struct expr y = below(2) ? number(below(19) * 0.3 - 2) : real(depth - 1);
	switch (below(8)) {
	case 0: return expr2(p, OP_ADD, x, y);
	case 1: return expr2(p, OP_SUB, x, y);
	case 2: return expr2(p, OP_MUL, x, y);
	case 3: return expr2(p, OP_DIV, x, y);
	case 4: return expr2(p, OP_ADD, expr2(p, OP_MUL, x, number(below(9) * 0.3)), y);
	case 5: return expr2(p, OP_POW, x, below(2) ? number(below(4)) : y);
	case 6: return expr2(p, below(2) ? OP_MIN : OP_MAX, x, y);
	default: return expr3(p, OP_SELECT, inequality(), x, y);
	}
}

static enum op comparison(void)
{
	static const enum op all[] = {OP_LT, OP_LE, OP_LT, OP_LE, OP_EQ, OP_NE};
	return all[below(6)];
}

static struct expr mixed(int depth, struct expr (*leaf)(void))
{
	if (depth == 0 || !below(4))
		return leaf();
	struct expr x = mixed(depth - 1, leaf), y = mixed(depth - 1, leaf);
	switch (below(8)) {
	case 0: return expr1(p, OP_NOT, x);
	case 1: return expr3(p, OP_SELECT, x, y, mixed(depth - 1, leaf));
	case 2: return expr2(p, below(2) ? OP_EQ : OP_NE, x, y);
	case 3:
	case 4: return expr2(p, OP_OR, x, y);
	default: return expr2(p, OP_AND, x, y);
	}
}

static struct expr whole_leaf(void)
{
	int depth = below(3);
	return expr2(p, comparison(), whole(depth), whole(below(3)));
}

static struct expr real_leaf(void)
{
	struct expr y = below(2) ? number(below(17) * 0.5 - 4) : real(below(2));
	return expr2(p, comparison(), real(1 + below(2)), y);
}

static struct expr read_leaf(void)
{
	switch (below(5)) {
	case 0: return read_of(READ_BOOL);
	case 1: return expr2(p, comparison(), read_of(READ_REAL), number(below(16) * 0.5 - 4));
	case 2: return expr2(p, comparison(), read_of(READ_INT), number(below(5)));
	case 3: return expr2(p, comparison(), read_of(READ_INT), affine(1));
	default: return inequality();
	}
}

static struct expr any_whole(void)
{
	return mixed(below(3), whole_leaf);
}

static struct expr any_real(void)
{
	return mixed(below(2), real_leaf);
}

static struct expr any_read(void)
{
	return mixed(below(3), read_leaf);
}

/* ---- boxes ---- */

struct class {
	const char *name;
	struct expr (*make)(void);
	double least; /* share of true claims that must be made */
	bool exact;   /* of the range, too */
	bool aligned; /* boxes of sizes that are powers of two, at multiples of them */
	int weight;   /* predicates a round */
};

static const struct class classes[] = {
        {"one affine comparison", single, 1, true, false, 60},
        {"conjunctions of affine comparisons", conjunction, 0.95, false, false, 60},
        {"disjunctions of affine comparisons", disjunction, 0.95, false, false, 60},
        {"and, or, not of affine comparisons", affine_logic, 0.95, false, false, 80},
        {"remainders", congruence, 0.95, false, false, 40},
        {"xor of blocks, aligned boxes", blocks, 0.95, false, true, 30},
        {"blocks at distances of powers of two", far_blocks, 0.7, false, false, 30},
        {"any operation on ints", any_whole, 0, false, false, 100},
        {"any operation on reals", any_real, 0, false, false, 60},
        {"elements of tensors", any_read, 0, false, false, 60},
};

enum { CLASSES = sizeof classes / sizeof *classes };

static struct tally {
	int boxes, full, full_called, empty, empty_called, wrong, wider;
} tallies[CLASSES];

static void say_wrong(const struct class *k, const char *what, struct expr e, const struct place *w, enum mode mode)
{
	struct text s;
	struct expr_names names = cascade_names(c);
	if (tallies[k - classes].wrong++ > 4)
		return;
	text_init(&s, c->arena);
	expr_print(p, e, &names, &s);
	printf("# %s, mode %d: wrongly %s: %s in [%g,%g] [%g,%g] [%g,%g]\n", k->name, mode, what, s.s, w->low[0],
	       w->high[0], w->low[1], w->high[1], w->low[2], w->high[2]);
}

static bool truth[MODES][COORDINATES];

static void fill_truth(struct expr e)
{
	struct program program = program_of(e);
	for (int mode = 0; mode < MODES; mode++) {
		struct place w = {0};
		for (w.at[0] = 0; w.at[0] < (double)extents[0]; w.at[0]++)
			for (w.at[1] = 0; w.at[1] < (double)extents[1]; w.at[1]++)
				for (w.at[2] = 0; w.at[2] < (double)extents[2]; w.at[2]++) {
					int i = coordinate(w.at);
					for (int r = 0; r < READS; r++)
						w.at[INDICES + r] = elements[r][i];
					truth[mode][i] = value(&program, &w, (enum mode)mode, true) != 0;
				}
	}
}

/* What is so of a box, where `walked` takes all of its extent as well. */
struct fact {
	bool all, any, outside, outside_within;
	double first, last; /* present coordinates of `walked` over its whole extent */
};

static struct fact look(const struct place *w, uint32_t walked, enum mode mode, double from, double to, double first,
                        double last)
{
	struct fact f = {.all = true, .first = (double)INFINITY, .last = -(double)INFINITY};
	double low[INDICES], high[INDICES], at[INDICES];
	memcpy(low, w->low, sizeof low);
	memcpy(high, w->high, sizeof high);
	low[walked] = 0;
	high[walked] = (double)extents[walked] - 1;
	for (at[0] = low[0]; at[0] <= high[0]; at[0]++)
		for (at[1] = low[1]; at[1] <= high[1]; at[1]++)
			for (at[2] = low[2]; at[2] <= high[2]; at[2]++) {
				bool here = truth[mode][coordinate(at)];
				bool in_box = at[walked] >= w->low[walked] && at[walked] <= w->high[walked];
				f.outside |= here && (at[walked] < from || at[walked] >= to);
				if (here) {
					f.first = fmin(f.first, at[walked]);
					f.last = fmax(f.last, at[walked]);
				}
				if (!in_box)
					continue;
				f.all &= here;
				f.any |= here;
				f.outside_within |= here && (at[walked] < first || at[walked] >= last);
			}
	return f;
}

static void random_box(struct place *w, uint32_t ranged, bool aligned)
{
	for (int i = 0; i < INDICES; i++) {
		int n = (int)extents[i], a = below(n), b = below(n);
		if (aligned) {
			int size = 1 << below(4);
			a = a / size * size;
			b = a + size - 1 < n ? a + size - 1 : a;
		}
		w->at[i] = w->low[i] = a < b ? a : b;
		w->high[i] = ranged >> i & 1 ? (a < b ? b : a) : w->low[i];
	}
}

/* Ends of the reads over a box; of all of `walked` for the range. A NaN among them is both ends. */
static void summarise(struct place *w, const double *low, const double *high)
{
	double at[INDICES];
	for (int r = 0; r < READS; r++) {
		double least = (double)INFINITY, most = -(double)INFINITY;
		for (at[0] = low[0]; at[0] <= high[0]; at[0]++)
			for (at[1] = low[1]; at[1] <= high[1]; at[1]++)
				for (at[2] = low[2]; at[2] <= high[2]; at[2]++) {
					double x = elements[r][coordinate(at)];
					least = reduction_value(REDUCE_MIN, least, x);
					most = reduction_value(REDUCE_MAX, most, x);
				}
		w->low[INDICES + r] = least;
		w->high[INDICES + r] = most;
		w->at[INDICES + r] = elements[r][coordinate(w->low)];
	}
}

static void try_predicate(const struct class *k, struct expr e)
{
	struct tally *t = &tallies[k - classes];
	uint32_t ranged[INDICES + READS], mask = 0, walked;
	int n = 0;
	for (uint32_t i = 0; i < INDICES; i++)
		if (below(4) || (i == INDICES - 1 && !n)) {
			ranged[n++] = i;
			mask |= 1u << i;
		}
	walked = ranged[below(n)];
	for (uint32_t r = 0; r < READS; r++)
		if (read_indices[r] & mask)
			ranged[n++] = INDICES + r;
	struct expr full_e = bounds_full(c, e, ranged, n), empty_e = bounds_empty(c, e, ranged, n);
	struct range r = bounds_of(c, e, walked, ranged, n), in = bounds_within(c, e, walked, ranged, n);
	values = realloc(values, p->node.n * sizeof *values);
	struct program full = program_of(full_e), empty = program_of(empty_e), low = program_of(r.low),
	               high = program_of(r.high), in_low = program_of(in.low), in_high = program_of(in.high);
	fill_truth(e);
	for (int box = 0; box < BOXES; box++) {
		struct place w, wide;
		random_box(&w, mask, k->aligned);
		wide = w;
		wide.low[walked] = 0;
		wide.high[walked] = (double)extents[walked] - 1;
		summarise(&wide, wide.low, wide.high);
		summarise(&w, w.low, w.high);
		t->boxes++;
		for (int mode = 0; mode < MODES; mode++) {
			enum mode m = (enum mode)mode;
			bool is_full = value(&full, &w, m, false) != 0, is_empty = value(&empty, &w, m, false) != 0;
			double from = low.n ? value(&low, &wide, m, false) : -1e9;
			double to = high.n ? value(&high, &wide, m, false) : 1e9;
			double first = in_low.n ? value(&in_low, &w, m, false) : -1e9;
			double last = in_high.n ? value(&in_high, &w, m, false) : 1e9;
			struct fact f = look(&w, walked, m, from, to, first, last);
			if ((is_full && !f.all) || (is_empty && f.any) || f.outside || f.outside_within)
				say_wrong(k, f.outside ? "out of range" : f.outside_within ? "out of range within"
				                                  : is_full && !f.all  ? "full"
				                                                       : "empty", e, &w, m);
			if (mode != DOUBLE)
				continue;
			t->full += f.all;
			t->full_called += is_full;
			t->empty += !f.any;
			t->empty_called += is_empty;
			from = fmax(from, 0);
			to = fmin(to, (double)extents[walked]);
			bool same = f.first <= f.last ? from == f.first && to == f.last + 1 : from >= to;
			t->wider += k->exact && expr_at(p, e)->op != OP_NE && expr_mentions(p, e, OP_INDEX, walked) && !same;
		}
	}
}

static void stage(struct arena *a)
{
	static const char *const names[] = {"I", "J", "K"}, *const lower[] = {"i", "j", "k", "x", "y", "z"};
	c = cascade_new(a, "test");
	p = &c->pool;
	for (int i = 0; i < INDICES; i++)
		cascade_add_index(c, lower[i], cascade_add_rank(c, names[i], extents[i]));
	for (uint32_t r = 0; r < READS; r++) { /* an index with no extent, as for what tensors hold */
		uint32_t index = cascade_add_index(c, lower[INDICES + r], 0);
		c->index.v[index].extent = expr_leaf(p, OP_INDEX, KIND_INT, index);
	}
}

static double percent(int called, int truly)
{
	return truly ? 100.0 * called / truly : 100;
}

static void report(void)
{
	int boxes = 0;
	for (int i = 0; i < CLASSES; i++) {
		const struct class *k = &classes[i];
		const struct tally *t = &tallies[i];
		double full = percent(t->full_called, t->full), empty = percent(t->empty_called, t->empty);
		printf("# %s: of full boxes %.2f%% of %d are called so, of empty ones %.2f%% of %d\n", k->name, full,
		       t->full, empty, t->empty);
		ok(!t->wrong, "%s: no false claim of %d boxes", k->name, t->boxes);
		if (k->least > 0)
			ok(full >= 100 * k->least && empty >= 100 * k->least, "%s: at least %g%% of full and empty boxes",
			   k->name, 100 * k->least);
		if (k->exact)
			ok(!t->wider, "%s: the range is exact", k->name);
		boxes += t->boxes;
	}
	printf("# %d boxes\n", boxes);
}

int main(void)
{
	struct arena a;
	jmp_buf env;
	const char *seed_text = getenv("SEED");
	uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10) : 1;
	int rounds = getenv("LONG") ? 10 * ROUNDS : ROUNDS;
	arena_init(&a);
	printf("# SEED=%llu\n", (unsigned long long)seed);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "memory");
		return tap_done();
	}
	for (int round = 0; round < rounds; round++) {
		state = seed * 1000003 + (uint64_t)round;
		stage(&a);
		for (int i = 0; i < CLASSES; i++)
			for (int n = 0; n < classes[i].weight; n++) {
				make_reads();
				try_predicate(&classes[i], classes[i].make());
			}
		arena_free(&a);
		a.out_of_memory = &env;
	}
	report();
	free(values);
	return tap_done();
}
