/* EQUIV of theory §2: F is an exponential polynomial of u = x - r, so it has a running form anchored at r.
 *
 * F is written Σ w u^j e^(αu) 2^(βu). For every (w, α, β) the accumulators Φ_j = Σ_m w u^j e^(αu) 2^(βu),
 * j = 0 … J, are closed under a move of the anchor: with δ = r_old - r_new,
 * Φ_j' = Σ_l C(j,l) δ^(j-l) e^(αδ) 2^(βδ) Φ_l.
 */
#include "codegen/derive.h"

#include <math.h>

enum { POLY_LIMIT = 12 };

struct poly_term {
	struct expr w, alpha, beta;
	int j;
};
struct poly {
	int n;
	struct poly_term v[POLY_LIMIT];
};
struct anchored {
	struct plan *p;
	struct algebra *algebra;
	struct separator by;
	struct expr u, anchor, variable; /* u = x - anchor; the leaf that stands for u */
	int fuel;
};

static struct expr_pool *pool(const struct anchored *a)
{
	return &a->p->d->c->pool;
}
static struct expr number(const struct anchored *a, double v)
{
	return expr_number(pool(a), v);
}
static bool is(const struct anchored *a, struct expr e, double v)
{
	double x;
	return expr_is_number(pool(a), e, &x) && x == v;
}
static bool has_u(const struct anchored *a, struct expr e)
{
	return expr_mentions(pool(a), e, OP_VALUE, expr_at(pool(a), a->variable)->symbol);
}

static struct expr mul(const struct anchored *a, struct expr x, struct expr y)
{
	return is(a, x, 1) ? y : is(a, y, 1) ? x : expr2(pool(a), OP_MUL, x, y);
}
static struct expr plus(const struct anchored *a, struct expr x, struct expr y)
{
	return is(a, x, 0) ? y : is(a, y, 0) ? x : expr2(pool(a), OP_ADD, x, y);
}

static bool push(struct anchored *a, struct poly *out, struct poly_term t)
{
	t.alpha = algebra_canonical(a->algebra, t.alpha);
	t.beta = algebra_canonical(a->algebra, t.beta);
	for (int i = 0; i < out->n; i++) {
		struct poly_term *o = &out->v[i];
		if (o->j == t.j && expr_same(o->alpha, t.alpha) && expr_same(o->beta, t.beta)) {
			o->w = expr2(pool(a), OP_ADD, o->w, t.w);
			return true;
		}
	}
	if (out->n == POLY_LIMIT || t.j > ACCUMULATORS_LIMIT)
		return false;
	out->v[out->n++] = t;
	return true;
}

static bool poly(struct anchored *, struct expr, struct poly *);

static bool poly_product(struct anchored *a, const struct poly *x, const struct poly *y, struct poly *out)
{
	for (int i = 0; i < x->n; i++)
		for (int k = 0; k < y->n; k++)
			if (!push(a, out,
			          (struct poly_term){
			                  mul(a, x->v[i].w, y->v[k].w), plus(a, x->v[i].alpha, y->v[k].alpha),
			                  plus(a, x->v[i].beta, y->v[k].beta), x->v[i].j + y->v[k].j}))
				return false;
	return true;
}

/* exp of a polynomial of degree 1 whose slope does not vary along the stream */
static bool poly_exp(struct anchored *a, struct expr e, struct poly *out)
{
	enum op op = (enum op)expr_at(pool(a), e)->op;
	struct poly inner;
	struct expr w = number(a, 0), slope = number(a, 0);
	if (!poly(a, expr_operand(pool(a), e, 0), &inner))
		return false;
	for (int i = 0; i < inner.n; i++) {
		if (inner.v[i].j > 1 || !is(a, inner.v[i].alpha, 0) || !is(a, inner.v[i].beta, 0))
			return false;
		if (inner.v[i].j)
			slope = plus(a, slope, inner.v[i].w);
		else
			w = plus(a, w, inner.v[i].w);
	}
	slope = algebra_canonical(a->algebra, slope);
	w = algebra_canonical(a->algebra, w);
	if (separate_streams(&a->by, slope) || separate_depends(&a->by, slope))
		return false;
	w = is(a, w, 0) ? number(a, 1) : expr1(pool(a), op, w);
	struct poly_term t = {w, number(a, 0), number(a, 0), 0};
	*(op == OP_EXP ? &t.alpha : &t.beta) = slope;
	return push(a, out, t);
}

static bool poly(struct anchored *a, struct expr e, struct poly *out)
{
	struct expr_pool *q = pool(a);
	const struct expr_node n = *expr_at(q, e);
	struct expr zero = number(a, 0), one = number(a, 1);
	struct poly x, y;
	double v;
	*out = (struct poly){0};
	if (--a->fuel < 0)
		return false;
	if (expr_same(e, a->variable))
		return push(a, out, (struct poly_term){one, zero, zero, 1});
	if (!has_u(a, e))
		return push(a, out, (struct poly_term){e, zero, zero, 0});
	switch (n.op) {
	case OP_ADD:
	case OP_SUB:
		if (!poly(a, expr_operand(q, e, 0), out) || !poly(a, expr_operand(q, e, 1), &y))
			return false;
		for (int i = 0; i < y.n; i++) {
			if (n.op == OP_SUB)
				y.v[i].w = expr1(q, OP_NEG, y.v[i].w);
			if (!push(a, out, y.v[i]))
				return false;
		}
		return true;
	case OP_NEG:
		if (!poly(a, expr_operand(q, e, 0), out))
			return false;
		for (int i = 0; i < out->n; i++)
			out->v[i].w = expr1(q, OP_NEG, out->v[i].w);
		return true;
	case OP_MUL:
		return poly(a, expr_operand(q, e, 0), &x) && poly(a, expr_operand(q, e, 1), &y) &&
		       poly_product(a, &x, &y, out);
	case OP_DIV:
		if (!poly(a, expr_operand(q, e, 0), out) || !poly(a, expr_operand(q, e, 1), &y) || y.n != 1 ||
		    y.v[0].j)
			return false;
		for (int i = 0; i < out->n; i++) {
			struct poly_term *t = &out->v[i];
			if (!is(a, y.v[0].w, 1))
				t->w = expr2(q, OP_DIV, t->w, y.v[0].w);
			t->alpha = algebra_canonical(a->algebra, expr2(q, OP_SUB, t->alpha, y.v[0].alpha));
			t->beta = algebra_canonical(a->algebra, expr2(q, OP_SUB, t->beta, y.v[0].beta));
		}
		return true;
	case OP_POW:
		if (!expr_is_number(q, expr_operand(q, e, 1), &v) || v != floor(v) || v < 1 || v > 4 ||
		    !poly(a, expr_operand(q, e, 0), &x))
			return false;
		*out = x;
		for (int i = 1; i < (int)v; i++) {
			struct poly power = *out;
			*out = (struct poly){0};
			if (!poly_product(a, &power, &x, out))
				return false;
		}
		return true;
	case OP_EXP:
	case OP_EXP2: return poly_exp(a, e, out);
	default: return false;
	}
}

struct pair {
	struct expr from, to;
};

static struct expr replace(struct expr_pool *q, struct expr e, void *context)
{
	const struct pair *p = context;
	(void)q;
	return expr_same(e, p->from) ? p->to : e;
}

/* f in u: first where x - r stands, then, if r is left, every x as u + r. */
static bool in_u(struct anchored *a, struct expr f, struct poly *out)
{
	struct expr_pool *q = pool(a);
	struct expr g = expr_rewrite(q, f, replace, &(struct pair){a->u, a->variable});
	for (int round = 0; round < 2; round++) {
		a->fuel = 400;
		if (poly(a, g, out)) {
			bool clean = true;
			for (int i = 0; i < out->n; i++) {
				out->v[i].w = algebra_canonical(a->algebra, out->v[i].w);
				if (is(a, out->v[i].w, 0))
					out->v[i--] = out->v[--out->n];
			}
			for (int i = 0; i < out->n; i++)
				clean &= !separate_depends(&a->by, out->v[i].w);
			if (clean)
				return true;
		}
		struct expr x = expr_operand(q, a->u, 0);
		g = expr_rewrite(q, g, replace, &(struct pair){x, expr2(q, OP_ADD, a->variable, a->anchor)});
	}
	return false;
}

/* A constant factor of the weight. */
static double coefficient(const struct anchored *a, struct expr *w)
{
	struct expr_pool *q = pool(a);
	double k;
	if (expr_is_number(q, *w, &k)) {
		*w = number(a, 1);
		return k;
	}
	if (expr_at(q, *w)->op == OP_MUL && expr_is_number(q, expr_operand(q, *w, 1), &k)) {
		*w = expr_operand(q, *w, 0);
		return k;
	}
	if (expr_at(q, *w)->op == OP_NEG) {
		*w = expr_operand(q, *w, 0);
		return -1;
	}
	return 1;
}

struct ladder {
	struct expr w, alpha, beta;
	int top;
	struct expr phi[ACCUMULATORS_LIMIT + 1];
};

static struct expr raise(const struct anchored *a, struct expr e, int n)
{
	struct expr r = number(a, 1);
	for (int i = 0; i < n; i++)
		r = mul(a, r, e);
	return r;
}

/* e^(alpha d) 2^(beta d) */
static struct expr exponential(const struct anchored *a, const struct ladder *l, struct expr d)
{
	struct expr_pool *q = pool(a);
	struct expr e = number(a, 1);
	if (!is(a, l->alpha, 0))
		e = expr1(q, OP_EXP, mul(a, d, l->alpha));
	if (!is(a, l->beta, 0))
		e = mul(a, e, expr1(q, OP_EXP2, mul(a, d, l->beta)));
	return e;
}

/* A mean's anchor is the sum so far over the count so far; the count is the accumulator of weight 1. */
static struct expr running_anchor(struct anchored *a, struct expr count)
{
	struct expr_pool *q = pool(a);
	const struct cascade *c = a->p->d->c;
	struct expr one = number(a, 1);
	struct expr extent = c->index.v[a->by.index].extent;
	struct expr divisor = expr2(q, OP_MAX, extent, one);
	return expr_rewrite(q, a->anchor, replace, &(struct pair){divisor, expr2(q, OP_MAX, count, one)});
}

static bool climb(struct anchored *a, struct ladder *l, struct expr u, struct expr delta)
{
	static const int binomial[5][5] = {{1}, {1, 1}, {1, 2, 1}, {1, 3, 3, 1}, {1, 4, 6, 4, 1}};
	struct expr_pool *q = pool(a);
	for (int j = 0; j <= l->top; j++) {
		struct expr body = mul(a, l->w, mul(a, raise(a, u, j), exponential(a, l, u)));
		struct accumulator acc = plan_new(a->p, body, "moment", true);
		for (int k = 0; k <= j; k++) {
			struct expr f = mul(a, exponential(a, l, delta), raise(a, delta, j - k));
			f = mul(a, f, number(a, binomial[j][k]));
			if (!plan_guard(a->p, &f))
				return false;
			struct expr of =
			        k == j ? expr_leaf(q, OP_VALUE, KIND_REAL, (uint32_t)a->p->n) : l->phi[k];
			acc.term[k] = (struct plan_term){of, f};
		}
		acc.terms = (uint8_t)(j + 1);
		/* Plain accumulation: the one factor is 1. */
		if (j == 0 && expr_is_number(q, acc.term[0].factor, NULL))
			acc.terms = 0;
		l->phi[j] = plan_accumulate(a->p, acc);
		if (!l->phi[j].id)
			return false;
	}
	return true;
}

static bool emit(struct anchored *a, struct poly *f, struct expr *result)
{
	struct expr_pool *q = pool(a);
	struct ladder ladder[ACCUMULATORS_LIMIT];
	int n = 0, total = 0, from[POLY_LIMIT];
	double k[POLY_LIMIT];
	for (int i = 0; i < f->n; i++) {
		struct poly_term *t = &f->v[i];
		k[i] = coefficient(a, &t->w);
		int at = 0;
		while (at < n && !(expr_same(ladder[at].w, t->w) && expr_same(ladder[at].alpha, t->alpha) &&
		                   expr_same(ladder[at].beta, t->beta)))
			at++;
		if (at == ACCUMULATORS_LIMIT)
			return false;
		if (at == n)
			ladder[n++] = (struct ladder){.w = t->w, .alpha = t->alpha, .beta = t->beta};
		if (t->j > ladder[at].top)
			ladder[at].top = t->j;
		from[i] = at;
	}
	for (int i = 0; i < n; i++)
		total += ladder[i].top + 1;
	if (total > ACCUMULATORS_LIMIT)
		return false;
	struct expr anchor = a->anchor, u = a->u;
	for (int i = 0; i < n; i++) {
		if (!is(a, ladder[i].w, 1) || !is(a, ladder[i].alpha, 0) || !is(a, ladder[i].beta, 0))
			continue;
		struct expr count = plan_accumulate(a->p, plan_new(a->p, number(a, 1), "count", true));
		if (!count.id)
			return false;
		anchor = running_anchor(a, count);
		u = expr2(q, OP_SUB, expr_operand(q, a->u, 0), anchor);
	}
	struct expr delta = expr2(q, OP_SUB, plan_old(a->p, anchor), anchor);
	for (int i = 0; i < n; i++)
		if (!climb(a, &ladder[i], u, delta))
			return false;
	*result = NO_EXPR;
	for (int i = 0; i < f->n; i++) {
		struct expr t = ladder[from[i]].phi[f->v[i].j];
		t = k[i] == -1 ? expr1(q, OP_NEG, t) : mul(a, t, number(a, k[i]));
		*result = result->id ? expr2(q, OP_ADD, *result, t) : t;
	}
	if (!result->id)
		return false;
	plan_note(a->p, MODE_EQUIV, a->by.carry[a->by.carries - 1], total,
	          arena_printf(a->p->d->arena,
	                       "the term is an exponential polynomial of u = %s; %d sums of powers of u are "
	                       "kept and "
	                       "shifted when the anchor moves",
	                       derive_spell(a->p->d, a->u), total));
	return true;
}

bool plan_equiv(struct plan *p, struct expr f, const uint32_t *carry, uint32_t carries, struct expr *result)
{
	struct anchored a = {.p = p,
	                     .algebra = &p->d->algebra,
	                     .by = plan_separator(p, carry, carries)};
	struct expr_pool *q = pool(&a);
	const struct equation *e = &p->d->c->equation.v[p->equation];
	const struct group *g = &p->d->group.v[p->group];
	struct expr *node;
	uint32_t n = expr_nodes(q, f, &node);
	a.variable = expr_leaf(q, OP_VALUE, KIND_REAL, PLAN_ACCUMULATORS);
	for (uint32_t i = 0; i < n; i++) {
		if (expr_at(q, node[i])->op != OP_SUB)
			continue;
		struct expr x = expr_operand(q, node[i], 0), r = expr_operand(q, node[i], 1);
		if (!separate_streams(&a.by, x) || separate_depends(&a.by, x) || separate_streams(&a.by, r) ||
		    !separate_depends(&a.by, r))
			continue;
		struct poly terms;
		struct plan before = *p;
		a.u = node[i];
		a.anchor = r;
		if (!in_u(&a, f, &terms))
			continue;
		/* Moments of a wide result would be as wide; plain moments are cheaper and no less exact
		 * there than the contraction itself. */
		bool plain = true;
		for (int k = 0; k < terms.n; k++)
			plain &= is(&a, terms.v[k].alpha, 0) && is(&a, terms.v[k].beta, 0);
		if (plain && e->nindex > g->nrow)
			continue;
		if (emit(&a, &terms, result))
			return true;
		*p = before;
	}
	return false;
}
