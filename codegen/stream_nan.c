/* Which maxima and minima may pass over a NaN: docs/theory.md.
 *
 * A maximum M of x over a fiber is looked at in two worlds, one where it is NaN when some x[m] is, and one where it is
 * the largest of the numbers. Of every tensor it is asked, bottom up:
 *
 *   equal    are its elements the same in both worlds?
 *   all      is it NaN in both at the coordinates of M's fiber, whatever its other coordinates?
 *   some     … at those and the m of the fiber where x[m] is NaN?
 *
 * M itself is none of these, x is equal and some, exp(x - M) is some, its sum over m is all and so equal, as is what is
 * computed from the sum and M. M may pass over NaN when every output is equal. A maximum is never `all` here, so that of
 * two each of which would be enough for the other one is kept. */
#include "codegen/stream.h"

#include <string.h>

struct fate {
	bool known, equal, all, some;
};

static const struct fate LOST = {.known = true}, EQUAL = {.known = true, .equal = true};

enum { MAX_GIVEN = 8 };

struct worlds {
	const struct cascade *c;
	const struct equation *max;
	struct expr given[MAX_GIVEN]; /* what holds where an element of its is NaN */
	int ngiven;
	struct expr *presence;        /* of every equation */
	struct fate *tensor;          /* of every tensor that is no input */
	struct fate *memo;            /* of every expression */
};

/* NaN where an operand is. */
static bool is_strict(const struct expr_node *n)
{
	switch ((enum op)n->op) {
	case OP_CAST: return !dtype_info[n->symbol].integer;
	case OP_ADD:
	case OP_SUB:
	case OP_MUL:
	case OP_DIV:
	case OP_NEG:
	case OP_MIN:
	case OP_MAX:
	case OP_ABS:
	case OP_FLOOR:
	case OP_ROUND:
	case OP_EXP:
	case OP_EXP2:
	case OP_LOG:
	case OP_LOG2:
	case OP_SQRT:
	case OP_RSQRT:
	case OP_TANH:
	case OP_SIGMOID:
	case OP_SOFTPLUS:
	case OP_RELU:
	case OP_GELU:
	case OP_SILU:
	case OP_ERF:
	case OP_SIN:
	case OP_COS: return n->kind == KIND_REAL;
	default: return false;
	}
}

static bool is_among(const uint32_t *index, int n, uint32_t i)
{
	while (n-- > 0)
		if (index[n] == i)
			return true;
	return false;
}

/* Has the equation those indices on its left, and the READ of its tensor each of them, plain, in its place? */
static bool at_home(const struct worlds *w, const struct equation *q, struct expr read, const uint32_t *index, int n)
{
	for (int i = 0; i < n; i++) {
		int k = 0;
		while (k < q->nindex && q->index[k] != index[i])
			k++;
		if (k == q->nindex)
			return false;
		const struct expr_node *at = expr_at(&w->c->pool, expr_operand(&w->c->pool, read, k));
		if (at->op != OP_INDEX || at->symbol != index[i])
			return false;
	}
	return true;
}

static struct fate fate_of(struct worlds *, struct expr);

static struct fate read_fate(struct worlds *w, struct expr e, const struct expr_node *n)
{
	for (int i = 0; i < n->count; i++)
		if (!fate_of(w, expr_operand(&w->c->pool, e, i)).equal)
			return LOST;
	uint32_t from = w->c->tensor.v[n->symbol].equation;
	if (from == NO_EQUATION)
		return EQUAL;
	const struct equation *q = &w->c->equation.v[from];
	struct fate f = w->tensor[n->symbol];
	if (!at_home(w, q, e, w->max->index, w->max->nindex))
		return f.equal ? EQUAL : LOST;
	f.some = f.all || (f.some && at_home(w, q, e, w->max->reduced, w->max->nreduced));
	return f;
}

/* Is an operand NaN in both worlds? */
static bool is_nan_among(struct worlds *w, struct expr e)
{
	const struct expr_pool *p = &w->c->pool;
	bool nan = false;
	for (int i = 0; i < expr_at(p, e)->count; i++)
		nan |= fate_of(w, expr_operand(p, e, i)).all;
	return nan;
}

static struct fate operands_fate(struct worlds *w, struct expr e, const struct expr_node *n)
{
	struct fate f = EQUAL, x[3] = {EQUAL, EQUAL, EQUAL};
	for (int i = 0; i < n->count && i < 3; i++) {
		x[i] = fate_of(w, expr_operand(&w->c->pool, e, i));
		f.equal &= x[i].equal;
		f.all |= x[i].all;
		f.some |= x[i].some;
	}
	if (n->count > 3)
		return LOST;
	if (n->op == OP_SELECT) {
		const struct expr_node *condition = expr_at(&w->c->pool, expr_operand(&w->c->pool, e, 0));
		bool unequal = condition->op == OP_NE || condition->op == OP_EQ;
		if (unequal && is_nan_among(w, expr_operand(&w->c->pool, e, 0)))
			return x[condition->op == OP_NE ? 1 : 2];
		if (!x[0].equal)
			return LOST;
		f.all = x[1].all && x[2].all;
		f.some = x[1].some && x[2].some;
	} else if (!is_strict(n)) {
		return f.equal ? EQUAL : LOST;
	}
	f.equal |= f.all;
	return f;
}

static struct fate fate_of(struct worlds *w, struct expr e)
{
	if (!e.id)
		return EQUAL;
	if (w->memo[e.id].known)
		return w->memo[e.id];
	const struct expr_node *n = expr_at(&w->c->pool, e);
	struct fate f = n->op == OP_READ ? read_fate(w, e, n) : operands_fate(w, e, n);
	f.some |= expr_same(e, w->max->body);
	return w->memo[e.id] = f;
}

/* Adds what holds where an expression of index variables is NaN: something is present in the sum that it reads. */
static void give(struct worlds *w, struct expr e)
{
	const struct expr_pool *p = &w->c->pool;
	const struct expr_node *n = expr_at(p, e);
	if (n->op == OP_MUL && !(expr_at(p, expr_operand(p, e, 1))->ops & (uint64_t)1 << OP_READ))
		give(w, expr_operand(p, e, 0));
	if (n->op != OP_READ || w->c->tensor.v[n->symbol].equation == NO_EQUATION || w->ngiven == MAX_GIVEN)
		return;
	uint32_t from = w->c->tensor.v[n->symbol].equation;
	const struct equation *q = &w->c->equation.v[from];
	if (!at_home(w, q, e, q->index, q->nindex) || (q->reduce && q->reduce != REDUCE_SUM))
		return;
	w->given[w->ngiven++] = w->presence[from];
	if (equation_is_map(q))
		give(w, q->body);
}

static bool is_given(const struct worlds *w, struct expr condition)
{
	const struct expr_pool *p = &w->c->pool;
	bool given = !condition.id;
	for (int i = 0; i < w->ngiven; i++)
		given |= condition_has(p, w->given[i], condition);
	return given || (expr_at(p, condition)->op == OP_AND && is_given(w, expr_operand(p, condition, 0)) &&
	                 is_given(w, expr_operand(p, condition, 1)));
}

static struct fate equation_fate(struct worlds *w, uint32_t equation)
{
	const struct equation *q = &w->c->equation.v[equation], *max = w->max;
	struct fate f = fate_of(w, q->body);
	if (q == max)
		return LOST;
	if (!fate_of(w, w->presence[equation]).equal || !fate_of(w, q->otherwise).equal || !fate_of(w, q->argument).equal)
		return LOST;
	bool plain = !q->reduce || q->reduce == REDUCE_SUM || q->reduce == REDUCE_MEAN || q->reduce == REDUCE_PROD;
	for (int i = 0; i < max->nindex; i++)
		plain &= is_among(q->index, q->nindex, max->index[i]);
	if (q->select || !plain)
		return f.equal ? EQUAL : LOST;
	bool there = is_given(w, w->presence[equation]); /* where the fiber has a NaN, and so the sum over the fiber one */
	bool same = q->nreduced == max->nreduced;
	for (int i = 0; i < q->nreduced; i++)
		same &= is_among(max->reduced, max->nreduced, q->reduced[i]);
	f.some = there && f.some && (!q->reduce || same);
	f.all = there && (q->reduce ? f.some : f.all);
	f.equal |= f.all;
	return f;
}

static bool passes_over_nan(struct worlds *w, uint32_t max)
{
	const struct cascade *c = w->c;
	w->max = &c->equation.v[max];
	w->given[0] = w->presence[max];
	w->ngiven = 1;
	give(w, w->max->body);
	bool real = w->max->body.id && expr_at(&c->pool, w->max->body)->kind == KIND_REAL;
	if ((w->max->reduce != REDUCE_MAX && w->max->reduce != REDUCE_MIN) || !real)
		return false;
	memset(w->memo, 0, c->pool.node.n * sizeof *w->memo);
	memset(w->tensor, 0, c->tensor.n * sizeof *w->tensor);
	bool equal = true;
	for (uint32_t i = 0; i < c->equation.n; i++) {
		uint32_t t = c->equation.v[i].tensor;
		w->tensor[t] = equation_fate(w, i);
		equal &= w->tensor[t].equal || c->tensor.v[t].role != ROLE_OUT;
	}
	return equal;
}

bool *streams_pass_nan(struct arena *arena, const struct streams *s)
{
	struct cascade *c = s->cascade;
	struct worlds w = {.c = c};
	w.presence = arena_new_array(arena, c->equation.n + 1, struct expr);
	cascade_presences(c, w.presence);
	w.tensor = arena_new_array(arena, c->tensor.n + 1, struct fate);
	w.memo = arena_new_array(arena, c->pool.node.n + 1, struct fate);
	bool *passes = arena_new_array(arena, c->equation.n + 1, bool);
	for (uint32_t i = 0; i < c->equation.n; i++)
		passes[i] = passes_over_nan(&w, i);
	return passes;
}
