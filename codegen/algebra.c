#include "codegen/algebra.h"

#include <math.h>
#include <stdlib.h>

/* Past these an expression is left as it is: an atom. */
enum { ADDENDS = 16, FACTORS = 16, NODES_LIMIT = 500, FUEL = 20000, PROOF_FUEL = 2000 };

struct addend {
	struct expr term; /* NO_EXPR: the constant */
	double k;
};
struct sum {
	int n;
	bool overflow;
	struct addend v[ADDENDS];
};
struct factor {
	struct expr base;
	int halves; /* twice the exponent */
};
struct product {
	double k;
	int n;
	bool overflow;
	struct factor v[FACTORS];
	struct sum exponent[2]; /* of e and of 2 */
};

static void sum_of(struct algebra *, struct expr, double k, struct sum *);
static struct expr canonical(struct algebra *, struct expr);

void algebra_init(struct algebra *a, struct cascade *c)
{
	*a = (struct algebra){.c = c};
}

static bool is_sum(const struct expr_pool *p, struct expr e)
{
	const struct expr_node *n = expr_at(p, e);
	return n->kind == KIND_REAL && (n->op == OP_ADD || n->op == OP_SUB);
}

/* Index arithmetic and predicates are somebody else's affair. */
static bool is_opaque(const struct expr_pool *p, struct expr e)
{
	return expr_at(p, e)->kind != KIND_REAL && expr_at(p, e)->op != OP_CONST;
}

static void add_addend(struct sum *s, struct expr term, double k)
{
	for (int i = 0; i < s->n; i++) {
		if (!expr_same(s->v[i].term, term))
			continue;
		s->v[i].k += k;
		if (s->v[i].k == 0)
			s->v[i] = s->v[--s->n];
		return;
	}
	if (k == 0)
		return;
	if (s->n == ADDENDS)
		s->overflow = true;
	else
		s->v[s->n++] = (struct addend){term, k};
}

static void add_factor(struct product *p, struct expr base, int halves)
{
	for (int i = 0; i < p->n; i++) {
		if (!expr_same(p->v[i].base, base))
			continue;
		p->v[i].halves += halves;
		if (!p->v[i].halves)
			p->v[i] = p->v[--p->n];
		return;
	}
	if (p->n == FACTORS)
		p->overflow = true;
	else if (halves)
		p->v[p->n++] = (struct factor){base, halves};
}

static void number_factor(struct product *p, struct expr e, double v, int halves)
{
	if (isfinite(v) && (v > 0 || (v < 0 && halves % 2 == 0)))
		p->k *= pow(v, halves / 2.0);
	else if (v == 0 && halves > 0)
		p->k = 0;
	else
		add_factor(p, e, halves);
}

/* p *= e^(halves / 2) */
static void product_of(struct algebra *a, struct expr e, int halves, struct product *p)
{
	struct expr_pool *pool = &a->c->pool;
	const struct expr_node n = *expr_at(pool, e);
	struct expr x = n.count ? expr_operand(pool, e, 0) : NO_EXPR;
	double v;
	if (p->overflow || abs(halves) > 16 || --a->fuel < 0) {
		p->overflow = true;
		return;
	}
	if (is_opaque(pool, e)) {
		add_factor(p, e, halves);
		return;
	}
	switch (n.op) {
	case OP_CONST: number_factor(p, e, n.number, halves); return;
	case OP_MUL:
	case OP_DIV:
		if (halves % 2) /* sqrt(x * y) is no product unless both are positive */
			break;
		product_of(a, x, halves, p);
		product_of(a, expr_operand(pool, e, 1), n.op == OP_MUL ? halves : -halves, p);
		return;
	case OP_NEG:
		if (halves % 2)
			break;
		p->k *= halves / 2 % 2 ? -1 : 1;
		product_of(a, x, halves, p);
		return;
	case OP_POW:
		if (halves % 2 || !expr_is_number(pool, expr_operand(pool, e, 1), &v) || fabs(v) > 4 ||
		    v != floor(v) || v == 0)
			break;
		product_of(a, x, halves * (int)v, p);
		return;
	case OP_SQRT:
	case OP_RSQRT: {
		if (halves % 2)
			break;
		int inner = n.op == OP_SQRT ? halves / 2 : -halves / 2;
		if (inner % 2)
			add_factor(p, canonical(a, x), inner);
		else
			product_of(a, x, inner, p);
		return;
	}
	case OP_EXP: sum_of(a, x, halves / 2.0, &p->exponent[0]); return;
	case OP_EXP2: sum_of(a, x, halves / 2.0, &p->exponent[1]); return;
	default: break;
	}
	struct expr c = canonical(a, e);
	if (!expr_same(c, e) && halves % 2 == 0 && !is_sum(pool, c))
		product_of(a, c, halves, p);
	else
		add_factor(p, c, halves);
}

static int by_base(const void *a, const void *b)
{
	const struct factor *x = a, *y = b;
	return (x->base.id > y->base.id) - (x->base.id < y->base.id);
}

/* Positive addends first, the constant last. */
static int by_term(const void *a, const void *b)
{
	const struct addend *x = a, *y = b;
	if (!x->term.id != !y->term.id)
		return !x->term.id ? 1 : -1;
	if ((x->k < 0) != (y->k < 0))
		return x->k < 0 ? 1 : -1;
	return (x->term.id > y->term.id) - (x->term.id < y->term.id);
}

static struct expr times(struct expr_pool *p, struct expr a, struct expr b)
{
	return a.id ? expr2(p, OP_MUL, a, b) : b;
}

static struct expr real_number(struct algebra *a, double v)
{
	return expr_number(&a->c->pool, v);
}

static struct expr build_sum(struct algebra *a, struct sum *s)
{
	struct expr_pool *p = &a->c->pool;
	struct expr e = NO_EXPR;
	qsort(s->v, (size_t)s->n, sizeof *s->v, by_term);
	for (int i = 0; i < s->n; i++) {
		double k = s->v[i].k, size = e.id ? fabs(k) : k;
		struct expr t = s->v[i].term;
		if (!t.id)
			t = real_number(a, size);
		else if (size == -1)
			t = expr1(p, OP_NEG, t);
		else if (size != 1)
			t = expr2(p, OP_MUL, t, real_number(a, size));
		e = e.id ? expr2(p, k < 0 ? OP_SUB : OP_ADD, e, t) : t;
	}
	return e.id ? e : expr_number(p, 0);
}

static struct expr power(struct algebra *a, struct expr base, int halves)
{
	struct expr_pool *p = &a->c->pool;
	struct expr e = NO_EXPR;
	for (int i = 0; i < halves / 2; i++)
		e = times(p, e, base);
	return halves % 2 ? times(p, e, expr1(p, OP_SQRT, base)) : e;
}

/* log-terms of an exponent are powers: e^(k log t) is t^k. */
static void fold_logs(struct algebra *a, struct product *p)
{
	static const enum op log_of[2] = {OP_LOG, OP_LOG2};
	struct expr_pool *pool = &a->c->pool;
	for (int b = 0; b < 2; b++) {
		struct sum *s = &p->exponent[b];
		for (int i = 0; i < s->n;) {
			double halves = 2 * s->v[i].k;
			struct expr t = s->v[i].term;
			if (t.id && expr_at(pool, t)->op == log_of[b] && halves == floor(halves) &&
			    fabs(halves) <= 8) {
				s->v[i] = s->v[--s->n];
				product_of(a, expr_operand(pool, t, 0), (int)halves, p);
				i = 0;
			} else {
				i++;
			}
		}
	}
}

/* The product without its coefficient. */
static struct expr build_product(struct algebra *a, struct product *p)
{
	static const enum op exp_of[2] = {OP_EXP, OP_EXP2};
	struct expr_pool *pool = &a->c->pool;
	struct expr over = NO_EXPR, under = NO_EXPR;
	qsort(p->v, (size_t)p->n, sizeof *p->v, by_base);
	for (int b = 0; b < 2; b++)
		if (p->exponent[b].n)
			over = times(pool, over, expr1(pool, exp_of[b], build_sum(a, &p->exponent[b])));
	for (int i = 0; i < p->n; i++) {
		struct expr base = p->v[i].base;
		int h = p->v[i].halves;
		if (h > 0) {
			over = times(pool, over, power(a, base, h));
			continue;
		}
		if (h % 2)
			over = times(pool, over, expr1(pool, OP_RSQRT, base));
		if (h < -1)
			under = times(pool, under, power(a, base, -h - -h % 2));
	}
	if (!over.id)
		over = expr_number(pool, 1);
	return under.id ? expr2(pool, OP_DIV, over, under) : over;
}

static bool too_much(const struct product *p)
{
	return p->overflow || p->exponent[0].overflow || p->exponent[1].overflow;
}

/* s += k · p, a sum among the factors multiplied out. */
static void add_product(struct algebra *a, struct product *p, double k, struct sum *s)
{
	struct expr_pool *pool = &a->c->pool;
	fold_logs(a, p);
	k *= p->k;
	if (too_much(p))
		s->overflow = true;
	if (s->overflow || k == 0)
		return;
	for (int i = 0; i < p->n; i++) {
		if (!is_sum(pool, p->v[i].base) || p->v[i].halves < 2 || p->v[i].halves % 2)
			continue;
		struct sum inner = {0};
		sum_of(a, p->v[i].base, 1, &inner);
		p->v[i].halves -= 2;
		if (!p->v[i].halves)
			p->v[i] = p->v[--p->n];
		p->k = 1;
		if (inner.overflow)
			s->overflow = true;
		for (int j = 0; j < inner.n && !s->overflow; j++) {
			struct product q = *p;
			if (inner.v[j].term.id)
				product_of(a, inner.v[j].term, 2, &q);
			add_product(a, &q, k * inner.v[j].k, s);
		}
		return;
	}
	if (!p->n && !p->exponent[0].n && !p->exponent[1].n)
		add_addend(s, NO_EXPR, k);
	else
		add_addend(s, build_product(a, p), k);
}

/* s += k · e */
static void sum_of(struct algebra *a, struct expr e, double k, struct sum *s)
{
	struct expr_pool *pool = &a->c->pool;
	const struct expr_node n = *expr_at(pool, e);
	if (s->overflow || --a->fuel < 0) {
		s->overflow = true;
		return;
	}
	if (n.op == OP_CONST && isfinite(n.number)) {
		add_addend(s, NO_EXPR, k * n.number);
	} else if (is_opaque(pool, e)) {
		add_addend(s, e, k);
	} else if (n.op == OP_ADD || n.op == OP_SUB) {
		sum_of(a, expr_operand(pool, e, 0), k, s);
		sum_of(a, expr_operand(pool, e, 1), n.op == OP_ADD ? k : -k, s);
	} else if (n.op == OP_NEG) {
		sum_of(a, expr_operand(pool, e, 0), -k, s);
	} else if (n.op == OP_MUL || n.op == OP_DIV || n.op == OP_POW || n.op == OP_SQRT ||
	           n.op == OP_RSQRT || n.op == OP_EXP || n.op == OP_EXP2) {
		struct product p = {.k = 1};
		product_of(a, e, 2, &p);
		add_product(a, &p, k, s);
	} else {
		struct expr c = canonical(a, e);
		if (expr_same(c, e))
			add_addend(s, e, k);
		else
			sum_of(a, c, k, s);
	}
}

static struct expr *memo(struct algebra *a, struct expr e)
{
	if (e.id >= a->n) {
		uint32_t n = a->c->pool.node.n * 2;
		struct expr *v = arena_new_array(a->c->arena, n, struct expr);
		for (uint32_t i = 0; i < a->n; i++)
			v[i] = a->memo[i];
		a->memo = v;
		a->n = n;
	}
	return &a->memo[e.id];
}

static struct expr remake(struct algebra *a, struct expr e)
{
	struct expr_pool *p = &a->c->pool;
	const struct expr_node n = *expr_at(p, e);
	struct expr x[3];
	for (int i = 0; i < n.count; i++)
		x[i] = canonical(a, expr_operand(p, e, i));
	if ((n.op == OP_LOG && expr_at(p, x[0])->op == OP_EXP) ||
	    (n.op == OP_LOG2 && expr_at(p, x[0])->op == OP_EXP2))
		return expr_operand(p, x[0], 0);
	return expr_make(p, (enum op)n.op, n.symbol, n.count, x);
}

static struct expr canonical(struct algebra *a, struct expr e)
{
	struct expr_pool *p = &a->c->pool;
	const struct expr_node n = *expr_at(p, e);
	if (!n.count || n.op == OP_READ || n.kind != KIND_REAL)
		return e;
	if (memo(a, e)->id)
		return *memo(a, e);
	*memo(a, e) = e; /* what a too large expression falls back to */
	struct expr c;
	switch (n.op) {
	case OP_ADD:
	case OP_SUB:
	case OP_NEG:
	case OP_MUL:
	case OP_DIV:
	case OP_POW:
	case OP_SQRT:
	case OP_RSQRT:
	case OP_EXP:
	case OP_EXP2: {
		double v;
		if (n.op == OP_POW && !(expr_is_number(p, expr_operand(p, e, 1), &v) && v == floor(v) &&
		                        fabs(v) <= 4 && v != 0)) {
			c = remake(a, e);
			break;
		}
		struct sum s = {0};
		sum_of(a, e, 1, &s);
		c = s.overflow ? e : build_sum(a, &s);
		break;
	}
	default: c = remake(a, e);
	}
	*memo(a, e) = c;
	*memo(a, c) = c;
	return c;
}

struct expr algebra_canonical(struct algebra *a, struct expr e)
{
	struct expr *list;
	if (!e.id || expr_nodes(&a->c->pool, e, &list) > NODES_LIMIT)
		return e;
	a->fuel = FUEL;
	return canonical(a, e);
}

/* Proofs. */

static bool positive(const struct cascade *c, struct expr e, bool strict, int *fuel);

static bool positive_tensor(const struct cascade *c, uint32_t t, bool strict, int *fuel)
{
	if (c->tensor.v[t].equation == NO_EQUATION)
		return false;
	const struct equation *q = &c->equation.v[c->tensor.v[t].equation];
	if (q->otherwise.id)
		return false;
	switch (q->reduce) {
	case REDUCE_NONE:
	case REDUCE_SUM:
	case REDUCE_MEAN:
	case REDUCE_PROD:
	case REDUCE_MIN: return positive(c, q->body, strict, fuel);
	default: return false;
	}
}

static bool positive(const struct cascade *c, struct expr e, bool strict, int *fuel)
{
	const struct expr_pool *p = &c->pool;
	const struct expr_node *n = expr_at(p, e);
	if (--*fuel < 0)
		return false;
	struct expr x = n->count ? expr_operand(p, e, 0) : NO_EXPR;
	struct expr y = n->count > 1 ? expr_operand(p, e, 1) : NO_EXPR;
	double v;
	switch (n->op) {
	case OP_CONST: return strict ? n->number > 0 : n->number >= 0;
	case OP_INDEX:
	case OP_EXTENT: return !strict;
	case OP_READ: return positive_tensor(c, n->symbol, strict, fuel);
	case OP_EXP:
	case OP_EXP2:
	case OP_SIGMOID:
	case OP_SOFTPLUS:
	case OP_RSQRT: return true;
	case OP_ABS:
	case OP_RELU: return !strict || positive(c, x, true, fuel);
	case OP_SQRT: return !strict || positive(c, x, true, fuel);
	case OP_MUL:
		if (expr_same(x, y) && !strict)
			return true;
		return positive(c, x, strict, fuel) && positive(c, y, strict, fuel);
	case OP_DIV: return positive(c, x, strict, fuel) && positive(c, y, strict, fuel);
	case OP_POW:
		if (!strict && expr_is_number(p, y, &v) && fmod(v, 2) == 0)
			return true;
		return positive(c, x, strict, fuel);
	case OP_ADD:
		return positive(c, x, false, fuel) && positive(c, y, false, fuel) &&
		       (!strict || positive(c, x, true, fuel) || positive(c, y, true, fuel));
	case OP_MAX: return positive(c, x, strict, fuel) || positive(c, y, strict, fuel);
	case OP_MIN: return positive(c, x, strict, fuel) && positive(c, y, strict, fuel);
	case OP_CLAMP: return positive(c, y, strict, fuel);
	case OP_SELECT:
		return positive(c, y, strict, fuel) && positive(c, expr_operand(p, e, 2), strict, fuel);
	case OP_OLD: return positive(c, x, strict, fuel);
	default: return n->kind == KIND_BOOL && !strict;
	}
}

bool algebra_positive(const struct cascade *c, struct expr e, bool strict)
{
	int fuel = PROOF_FUEL;
	return positive(c, e, strict, &fuel);
}

double algebra_evaluate(const struct expr_pool *p, struct expr e, algebra_leaf *leaf, void *context)
{
	struct expr *list;
	uint32_t n = expr_nodes(p, e, &list);
	double *value = arena_new_array(p->arena, n, double);
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *o = expr_at(p, list[i]);
		double x[3] = {0};
		if (leaf(p, list[i], context, &value[i]))
			continue;
		value[i] = o->op == OP_CONST ? o->number : NAN;
		if (!o->count || o->op == OP_READ)
			continue;
		for (int k = 0; k < o->count; k++) {
			uint32_t low = 0, high = i, id = expr_operand(p, list[i], k).id;
			while (low < high) {
				uint32_t middle = (low + high) / 2;
				if (list[middle].id < id)
					low = middle + 1;
				else
					high = middle;
			}
			x[k] = value[low];
		}
		if (o->op > OP_OLD)
			value[i] = op_value((enum op)o->op, x[0], x[1], x[2]);
		else if (o->op == OP_CAST || o->op == OP_ELSE || o->op == OP_OLD)
			value[i] = x[0];
	}
	return value[n - 1];
}
