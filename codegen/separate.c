#include "codegen/separate.h"

#include <assert.h>
#include <math.h>

/* One call's memory: the result of each node, so that a shared node is separated once. */
struct walk {
	struct separator *s;
	struct separation **memo; /* by id; the expression's own nodes only */
	uint32_t n;
	struct expr offender;
	const char *why;
	bool split;
};

bool separate_streams(const struct separator *s, struct expr e)
{
	return expr_mentions(&s->algebra->c->pool, e, OP_INDEX, s->index);
}

bool separate_depends(const struct separator *s, struct expr e)
{
	for (uint32_t i = 0; i < s->carries; i++)
		if (expr_mentions(&s->algebra->c->pool, e, OP_READ, s->carry[i]))
			return true;
	return s->symbol.id && expr_mentions(&s->algebra->c->pool, e, OP_VALUE,
	                                     expr_at(&s->algebra->c->pool, s->symbol)->symbol);
}

static bool fail(struct walk *w, struct expr e, const char *why)
{
	if (!w->why) {
		w->offender = e;
		w->why = why;
	}
	return false;
}

static bool is_one(const struct expr_pool *p, struct expr e)
{
	double v;
	return expr_is_number(p, e, &v) && v == 1;
}

static struct expr mul(struct expr_pool *p, struct expr a, struct expr b)
{
	return is_one(p, a) ? b : is_one(p, b) ? a : expr2(p, OP_MUL, a, b);
}

static struct expr divide(struct expr_pool *p, struct expr a, struct expr b)
{
	return is_one(p, b) ? a : expr2(p, OP_DIV, a, b);
}

static struct expr negate(struct expr_pool *p, struct expr e)
{
	return expr1(p, OP_NEG, e);
}

/* log(exp(x)) is x: separating a logarithm makes these. */
static struct expr logarithm(struct walk *w, enum op op, struct expr e)
{
	struct expr_pool *p = &w->s->algebra->c->pool;
	struct expr c = algebra_canonical(w->s->algebra, e);
	enum op inverse = op == OP_LOG ? OP_EXP : OP_EXP2;
	if (expr_at(p, e)->op == inverse)
		return expr_operand(p, e, 0);
	return expr_at(p, c)->op == inverse ? expr_operand(p, c, 0) : expr1(p, op, e);
}

static struct expr add(struct walk *w, struct expr a, struct expr b)
{
	struct expr_pool *p = &w->s->algebra->c->pool;
	if (expr_at(p, b)->op == OP_NEG)
		return expr2(p, OP_SUB, a, expr_operand(p, b, 0));
	if (expr_at(p, a)->op == OP_NEG)
		return expr2(p, OP_SUB, b, expr_operand(p, a, 0));
	return expr2(p, OP_ADD, a, b);
}

/* Appends a pair, merging with one of equal H. */
static bool push(struct walk *w, struct separation *out, struct expr g, struct expr h)
{
	struct expr ch = algebra_canonical(w->s->algebra, h);
	for (int i = 0; i < out->n; i++) {
		if (expr_same(algebra_canonical(w->s->algebra, out->term[i].h), ch)) {
			out->term[i].g = add(w, out->term[i].g, g);
			return true;
		}
	}
	if (out->n == SEPARATE_LIMIT)
		return fail(w, g, "has too many terms");
	out->term[out->n++] = (struct separation_term){g, h};
	return true;
}

static bool sep(struct walk *, struct expr, bool additive, struct separation *);

static bool sep_sum(struct walk *w, struct expr e, bool additive, struct separation *out)
{
	struct expr_pool *p = &w->s->algebra->c->pool;
	struct separation side;
	enum op op = (enum op)expr_at(p, e)->op;
	for (int k = 0; k < (op == OP_NEG ? 1 : 2); k++) {
		if (!sep(w, expr_operand(p, e, k), additive, &side))
			return false;
		for (int i = 0; i < side.n; i++) {
			struct expr g = side.term[i].g, h = side.term[i].h;
			if (op == OP_NEG || (op == OP_SUB && k))
				*(is_one(p, g) ? &h : &g) = negate(p, is_one(p, g) ? h : g);
			if (!push(w, out, g, h))
				return false;
		}
	}
	return true;
}

static bool sep_product(struct walk *w, const struct separation *a, const struct separation *b,
                        struct separation *out)
{
	struct expr_pool *p = &w->s->algebra->c->pool;
	for (int i = 0; i < a->n; i++)
		for (int j = 0; j < b->n; j++)
			if (!push(w, out, mul(p, a->term[i].g, b->term[j].g),
			          mul(p, a->term[i].h, b->term[j].h)))
				return false;
	return true;
}

static bool sep_power(struct walk *w, struct expr e, struct separation *out)
{
	struct expr_pool *p = &w->s->algebra->c->pool;
	struct expr x = expr_operand(p, e, 0), y = expr_operand(p, e, 1);
	struct separation base, so_far;
	double n;
	if (!expr_is_number(p, y, &n))
		return fail(w, e, "has an exponent that is no constant");
	if (!sep(w, x, false, &base))
		return false;
	if (base.n == 1 &&
	    ((n == floor(n) && fabs(n) <= 4) || (algebra_positive(w->s->algebra->c, base.term[0].g, false) &&
	                                         algebra_positive(w->s->algebra->c, base.term[0].h, true))))
		return push(w, out, expr2(p, OP_POW, base.term[0].g, y), expr2(p, OP_POW, base.term[0].h, y));
	if (n != floor(n) || n < 1 || n > 4)
		return fail(w, e, "is a power of a sum of both");
	so_far = base;
	for (int i = 1; i < (int)n; i++) {
		struct separation next = {0};
		if (!sep_product(w, &so_far, &base, &next))
			return false;
		so_far = next;
	}
	*out = so_far;
	return true;
}

/* Every addend must be purely x or purely r. */
static bool sep_exp(struct walk *w, struct expr e, struct separation *out)
{
	struct expr_pool *p = &w->s->algebra->c->pool;
	enum op op = (enum op)expr_at(p, e)->op;
	struct separation sum;
	struct expr g = NO_EXPR, h = NO_EXPR;
	if (!sep(w, expr_operand(p, e, 0), true, &sum))
		return false;
	for (int i = 0; i < sum.n; i++) {
		struct expr gi = sum.term[i].g, hi = sum.term[i].h;
		if (expr_is_number(p, hi, NULL)) {
			gi = mul(p, gi, hi);
			g = g.id ? add(w, g, gi) : gi;
		} else if (!separate_streams(w->s, gi)) {
			hi = mul(p, hi, gi);
			h = h.id ? add(w, h, hi) : hi;
		} else {
			return fail(w, mul(p, gi, hi), "stands in an exponent and mixes both");
		}
	}
	g = g.id ? expr1(p, op, g) : expr_number(p, 1);
	h = h.id ? algebra_canonical(w->s->algebra, expr1(p, op, h)) : expr_number(p, 1);
	w->split |= separate_streams(w->s, g);
	return push(w, out, g, h);
}

static bool one_term(struct walk *w, struct expr e, struct expr operand, struct separation *out)
{
	*out = (struct separation){0};
	return sep(w, operand, false, out) &&
	       (out->n == 1 || fail(w, e, "is no function of a product of the two"));
}

static bool sep_select(struct walk *w, struct expr e, struct separation *out)
{
	struct expr_pool *p = &w->s->algebra->c->pool;
	struct expr c = expr_operand(p, e, 0), zero = expr_number(p, 0);
	if (separate_depends(w->s, c) && separate_streams(w->s, c))
		return fail(w, c, "compares the two");
	for (int k = 1; k <= 2; k++) {
		struct separation side;
		if (!sep(w, expr_operand(p, e, k), false, &side))
			return false;
		for (int i = 0; i < side.n; i++) {
			struct expr x = separate_depends(w->s, c) ? side.term[i].h : side.term[i].g;
			x = k == 1 ? expr3(p, OP_SELECT, c, x, zero) : expr3(p, OP_SELECT, c, zero, x);
			if (separate_depends(w->s, c) ? !push(w, out, side.term[i].g, x)
			                              : !push(w, out, x, side.term[i].h))
				return false;
		}
	}
	return true;
}

static bool sep_extreme(struct walk *w, struct expr e, struct separation *out)
{
	struct expr_pool *p = &w->s->algebra->c->pool;
	struct algebra *a = w->s->algebra;
	struct separation x, y;
	if (!one_term(w, e, expr_operand(p, e, 0), &x) || !one_term(w, e, expr_operand(p, e, 1), &y))
		return false;
	if (!expr_same(algebra_canonical(a, x.term[0].h), algebra_canonical(a, y.term[0].h)) ||
	    !algebra_positive(a->c, x.term[0].h, true))
		return fail(w, e, "has no positive factor in common");
	return push(w, out, expr2(p, (enum op)expr_at(p, e)->op, x.term[0].g, y.term[0].g), x.term[0].h);
}

static bool sep_node(struct walk *w, struct expr e, bool additive, struct separation *out)
{
	struct expr_pool *p = &w->s->algebra->c->pool;
	const struct cascade *c = w->s->algebra->c;
	const struct expr_node n = *expr_at(p, e);
	struct expr one = expr_number(p, 1);
	struct separation a, b = {0};
	enum op op = (enum op)n.op;
	if (!separate_depends(w->s, e))
		return push(w, out, e, one);
	bool sum = op == OP_ADD || op == OP_SUB || op == OP_NEG;
	if (!separate_streams(w->s, e) && !(additive && sum))
		return push(w, out, one, e);
	switch (op) {
	case OP_ADD:
	case OP_SUB:
	case OP_NEG: return sep_sum(w, e, additive, out);
	case OP_MUL:
		return sep(w, expr_operand(p, e, 0), additive, &a) &&
		       sep(w, expr_operand(p, e, 1), additive, &b) && sep_product(w, &a, &b, out);
	case OP_DIV:
		if (!sep(w, expr_operand(p, e, 0), additive, &a) || !sep(w, expr_operand(p, e, 1), false, &b))
			return false;
		if (b.n != 1)
			return fail(w, e, "divides by a sum of both");
		for (int i = 0; i < a.n; i++)
			if (!push(w, out, divide(p, a.term[i].g, b.term[0].g),
			          divide(p, a.term[i].h, b.term[0].h)))
				return false;
		return true;
	case OP_POW: return sep_power(w, e, out);
	case OP_EXP:
	case OP_EXP2: return sep_exp(w, e, out);
	case OP_LOG:
	case OP_LOG2:
		if (!one_term(w, e, expr_operand(p, e, 0), &a))
			return false;
		return (is_one(p, a.term[0].g) || push(w, out, logarithm(w, op, a.term[0].g), one)) &&
		       push(w, out, one, logarithm(w, op, a.term[0].h));
	case OP_ABS:
		return one_term(w, e, expr_operand(p, e, 0), &a) &&
		       push(w, out, expr1(p, op, a.term[0].g), expr1(p, op, a.term[0].h));
	case OP_RELU:
		if (!one_term(w, e, expr_operand(p, e, 0), &a))
			return false;
		if (!algebra_positive(c, a.term[0].h, false))
			return fail(w, e, "needs a factor known to be positive");
		return push(w, out, expr1(p, op, a.term[0].g), a.term[0].h);
	case OP_SQRT:
	case OP_RSQRT:
		if (!one_term(w, e, expr_operand(p, e, 0), &a))
			return false;
		if (!algebra_positive(c, a.term[0].h, false) || !algebra_positive(c, a.term[0].g, false))
			return fail(w, e, "needs factors known to be positive");
		return push(w, out, expr1(p, op, a.term[0].g), expr1(p, op, a.term[0].h));
	case OP_MAX:
	case OP_MIN: return sep_extreme(w, e, out);
	case OP_SELECT: return sep_select(w, e, out);
	case OP_CAST:
		if (w->s->approx)
			return sep(w, expr_operand(p, e, 0), additive, out);
		return fail(w, e, "rounds, so it is exact only when its argument is final");
	case OP_READ: return fail(w, e, "reads a running value at a coordinate of the stream");
	case OP_ELSE: return fail(w, e, "chooses by presence");
	default: return fail(w, e, "is no sum of products of the two");
	}
}

static bool sep(struct walk *w, struct expr e, bool additive, struct separation *out)
{
	*out = (struct separation){0};
	if (!additive && e.id < w->n && w->memo[e.id]) {
		*out = *w->memo[e.id];
		return true;
	}
	if (!sep_node(w, e, additive, out))
		return false;
	if (!additive && e.id < w->n)
		w->memo[e.id] = arena_copy(w->s->algebra->c->arena, out, sizeof *out);
	return true;
}

/* Moves constants of H to G, drops zeroes, merges equal G. */
static void tidy(struct walk *w, struct separation *s)
{
	struct algebra *a = w->s->algebra;
	struct expr_pool *p = &a->c->pool;
	double v;
	for (int i = 0; i < s->n; i++) {
		struct expr g = algebra_canonical(a, s->term[i].g);
		if (expr_is_number(p, g, &v) && v == 0) {
			s->term[i--] = s->term[--s->n];
			continue;
		}
		for (int j = 0; j < i; j++) {
			if (!expr_same(algebra_canonical(a, s->term[j].g), g))
				continue;
			s->term[j].h = add(w, s->term[j].h, s->term[i].h);
			s->term[i--] = s->term[--s->n];
			break;
		}
	}
}

static bool holds(const struct separator *, struct expr, const struct separation *);

bool separate(struct separator *s, struct expr e, struct separation *out)
{
	struct expr_pool *p = &s->algebra->c->pool;
	struct walk w = {.s = s, .n = e.id + 1};
	struct expr *list;
	*out = (struct separation){0};
	/* The recursion below is as deep as the expression. */
	if (expr_nodes(p, e, &list) > 400) {
		out->why = "is too large to analyse";
		return false;
	}
	w.memo = arena_new_array(s->algebra->c->arena, w.n, struct separation *);
	bool good = sep(&w, e, false, out);
	out->split = w.split;
	out->offender = w.offender;
	out->why = w.why;
	if (!good)
		return false;
	tidy(&w, out);
	if (out->n > ACCUMULATORS_LIMIT) {
		out->why = "needs more than four accumulators";
		return false;
	}
	/* A sum that pretends to have fewer terms than the function has dimensions is a bug of this file.
	 * Rounding alone can raise the rank, so the terms are put back together first. */
	if (!s->approx && separate_rank(s, e) > out->n && !holds(s, e, out)) {
		assert(0 && "a separation failed its rank probe");
		out->why = "failed the rank probe of its separation";
		return false;
	}
	return true;
}

/* The probe. */

enum { GRID = 8 };

struct probe {
	const struct separator *s;
	uint32_t a, b, seed; /* where on the grid */
	bool positive;
};

static uint32_t mix(uint32_t x, uint32_t y, uint32_t z)
{
	uint32_t h = x * 0x9e3779b1u ^ y * 0x85ebca77u ^ z * 0xc2b2ae3du;
	h = (h ^ h >> 15) * 0x2c1b3c6du;
	h = (h ^ h >> 12) * 0x297a2d39u;
	return h ^ h >> 15;
}

static bool probe_leaf(const struct expr_pool *p, struct expr e, void *context, double *value)
{
	const struct probe *q = context;
	const struct expr_node *n = expr_at(p, e);
	bool leaf = n->op == OP_READ || n->op == OP_INDEX || n->op == OP_EXTENT || n->op == OP_VALUE;
	bool streams = separate_streams(q->s, e), depends = separate_depends(q->s, e);
	/* A condition may be true and false on the grid only by luck, so it is tossed. */
	if (n->kind == KIND_BOOL && n->op != OP_CONST && !(streams && depends))
		leaf = true;
	if (!leaf)
		return false;
	uint32_t h = mix(e.id, streams ? 1 + q->a : depends ? 101 + q->b : 0, q->seed);
	if (n->kind == KIND_BOOL) {
		*value = h & 1;
		return true;
	}
	*value = 0.3 + (h >> 8) * 0x1p-24;
	if (!q->positive && (h & 2) && !algebra_positive(q->s->algebra->c, e, false))
		*value = -*value;
	return true;
}

static int rank_of(double m[GRID][GRID])
{
	double largest = 0;
	for (int rank = 0; rank < GRID; rank++) {
		int row = rank, column = rank;
		for (int i = rank; i < GRID; i++)
			for (int j = rank; j < GRID; j++)
				if (fabs(m[i][j]) > fabs(m[row][column]))
					row = i, column = j;
		if (!rank)
			largest = fabs(m[row][column]);
		if (fabs(m[row][column]) <= largest * 1e-11)
			return rank;
		for (int j = 0; j < GRID; j++) {
			double t = m[rank][j];
			m[rank][j] = m[row][j];
			m[row][j] = t;
		}
		for (int i = 0; i < GRID; i++) {
			double t = m[i][rank];
			m[i][rank] = m[i][column];
			m[i][column] = t;
		}
		for (int i = rank + 1; i < GRID; i++) {
			double f = m[i][rank] / m[rank][rank];
			for (int j = rank; j < GRID; j++)
				m[i][j] -= f * m[rank][j];
		}
	}
	return GRID;
}

int separate_rank(const struct separator *s, struct expr e)
{
	struct probe q = {.s = s};
	for (q.seed = 0; q.seed < 6; q.seed++) {
		double m[GRID][GRID];
		bool finite = true;
		q.positive = q.seed & 1;
		for (q.a = 0; q.a < GRID && finite; q.a++)
			for (q.b = 0; q.b < GRID && finite; q.b++) {
				double v = algebra_evaluate(&s->algebra->c->pool, e, probe_leaf, &q);
				m[q.a][q.b] = v;
				finite = isfinite(v);
			}
		if (finite)
			return rank_of(m);
	}
	return -1;
}

/* Is Σ G H what e is, on the grid, up to rounding? */
static bool holds(const struct separator *s, struct expr e, const struct separation *out)
{
	const struct expr_pool *p = &s->algebra->c->pool;
	struct probe q = {.s = s, .positive = true};
	for (q.a = 0; q.a < GRID; q.a++)
		for (q.b = 0; q.b < GRID; q.b++) {
			double v = algebra_evaluate(p, e, probe_leaf, &q), sum = 0, size = fabs(v);
			for (int k = 0; k < out->n; k++) {
				double t = algebra_evaluate(p, out->term[k].g, probe_leaf, &q) *
				           algebra_evaluate(p, out->term[k].h, probe_leaf, &q);
				sum += t;
				size = fmax(size, fabs(t));
			}
			if (isfinite(v) && isfinite(sum) && fabs(v - sum) > 1e-6 * size)
				return false;
		}
	return true;
}
