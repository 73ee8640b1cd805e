#include "codegen/work.h"

#include <math.h>

struct sample {
	const struct cascade *cascade;
	const struct work_inputs *inputs;
	const double *coordinate; /* by index variable */
	double *value;            /* by expression id */
	bool *known;
};

/* An element of an input; NaN where that is not known. */
static double element(const struct sample *s, struct expr read)
{
	const struct expr_node *e = expr_at(&s->cascade->pool, read);
	const struct tensor *t = &s->cascade->tensor.v[e->symbol];
	int64_t at[MAX_RANKS];
	for (int k = 0; k < e->count; k++) {
		struct expr x = expr_operand(&s->cascade->pool, read, k);
		int64_t extent = 0;
		if (!s->known[x.id] || !cascade_extent(s->cascade, t->extent[k], &extent) ||
		    !(s->value[x.id] >= 0 && s->value[x.id] < (double)extent))
			return NAN;
		at[k] = (int64_t)s->value[x.id];
	}
	return s->inputs && t->role == ROLE_IN ? s->inputs->element(s->inputs->owner, e->symbol, at) : NAN;
}

/* Bottom up over the nodes a predicate is made of: operands come before users. NaN: depends on data. */
static double evaluate(const struct sample *s, const struct expr *node, uint32_t n)
{
	const struct expr_pool *p = &s->cascade->pool;
	double last = NAN;
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *e = expr_at(p, node[i]);
		double x[3] = {0}, v = NAN;
		bool known = e->count <= 3;
		for (int k = 0; known && k < e->count; k++) {
			struct expr operand = expr_operand(p, node[i], k);
			x[k] = s->value[operand.id];
			known = s->known[operand.id];
		}
		switch (e->op) {
		case OP_CONST: v = e->number; break;
		case OP_INDEX: v = s->coordinate[e->symbol]; break;
		case OP_EXTENT: v = (double)s->cascade->rank.v[e->symbol].extent; break;
		case OP_AND:
		case OP_OR: {
			/* One side that is known may decide. */
			struct expr a = expr_operand(p, node[i], 0), b = expr_operand(p, node[i], 1);
			double decides = e->op == OP_OR;
			bool by_a = s->known[a.id] && (s->value[a.id] != 0) == (decides != 0);
			bool by_b = s->known[b.id] && (s->value[b.id] != 0) == (decides != 0);
			known = known || by_a || by_b;
			v = by_a || by_b ? decides : op_value((enum op)e->op, x[0], x[1], 0);
			break;
		}
		case OP_READ:
			v = element(s, node[i]);
			known = !isnan(v);
			break;
		case OP_ELSE:
		case OP_CAST: known = false; break;
		default: v = known ? op_value((enum op)e->op, x[0], x[1], x[2]) : NAN; break;
		}
		s->value[node[i].id] = v;
		s->known[node[i].id] = known;
		last = known ? v : NAN;
	}
	return last;
}

/* The share of a box that a predicate keeps. */
static double share(struct cascade *c, const struct work_inputs *inputs, struct expr predicate, const uint32_t *all,
                    int nall)
{
	enum { POINTS = 1 << 17 };
	struct expr *node;
	uint32_t nodes = expr_nodes(&c->pool, predicate, &node);
	struct sample s = {
	        .cascade = c,
	        .inputs = inputs,
	        .coordinate = arena_new_array(c->arena, c->index.n, double),
	        .value = arena_new_array(c->arena, c->pool.node.n, double),
	        .known = arena_new_array(c->arena, c->pool.node.n, bool),
	};
	double *coordinate = (double *)s.coordinate, kept = 0;
	/* Additive recurrence by powers of the inverse of the root of x^(n+1) = x + 1 (Roberts 2018): evenly
	 * spread in any number of dimensions. */
	uint32_t index[MAX_RANKS + MAX_REDUCED]; /* those that matter: fewer dimensions, denser points */
	int n = 0;
	for (int i = 0; i < nall; i++)
		if (expr_mentions(&c->pool, predicate, OP_INDEX, all[i]))
			index[n++] = all[i];
	double root = 2;
	for (int i = 0; i < 60; i++)
		root = pow(1 + root, 1.0 / (n + 1));
	for (int k = 0; k < POINTS; k++) {
		double step = 1;
		for (int i = 0; i < n; i++) {
			int64_t extent = 0;
			step /= root;
			double at = 0.5 + step * (k + 1);
			cascade_extent(c, c->index.v[index[i]].extent, &extent);
			coordinate[index[i]] = floor((at - floor(at)) * (double)extent);
		}
		double present = evaluate(&s, node, nodes);
		kept += isnan(present) || present != 0;
	}
	return kept / (double)POINTS;
}

/* Where somebody reads the result of equation q: a predicate over its own index variables. NO_EXPR:
 * everywhere, also when it is read in a way that is not seen through. A `where` on a score stands in an
 * equation of its own, after the product that it makes needless elsewhere. */
static struct expr wanted(struct cascade *c, uint32_t q)
{
	struct equation e = c->equation.v[q];
	if (c->tensor.v[e.tensor].role != ROLE_LOCAL)
		return NO_EXPR;
	struct expr any = NO_EXPR;
	struct expr here = cascade_read(c, e.tensor, e.index, e.nindex);
	for (uint32_t r = 0; r < c->equation.n; r++) {
		if (!expr_mentions(&c->pool, c->equation.v[r].body, OP_READ, e.tensor))
			continue;
		struct expr *node, present = cascade_presence(c, r);
		uint32_t n = expr_nodes(&c->pool, c->equation.v[r].body, &node);
		for (uint32_t i = 0; i < n; i++) {
			const struct expr_node *x = expr_at(&c->pool, node[i]);
			if (x->op == OP_READ && x->symbol == e.tensor && !expr_same(node[i], here))
				return NO_EXPR;
		}
		if (!present.id)
			return NO_EXPR;
		any = any.id ? expr2(&c->pool, OP_OR, any, present) : present;
	}
	/* A reader with more coordinates wants an element if it does at any of them. */
	for (uint32_t i = 0; i < c->index.n && any.id; i++) {
		bool own = false;
		for (int k = 0; k < e.nindex; k++)
			own |= e.index[k] == i;
		if (!own && expr_mentions(&c->pool, any, OP_INDEX, i))
			return NO_EXPR;
	}
	return any;
}

double cascade_flops(struct cascade *c, const struct work_inputs *inputs)
{
	double flops = 0;
	for (uint32_t q = 0; q < c->equation.n; q++) {
		const struct equation *e = &c->equation.v[q];
		if (e->reduce != REDUCE_SUM || !expr_mentions(&c->pool, e->body, OP_MUL, ANY_SYMBOL))
			continue;
		uint32_t index[MAX_RANKS + MAX_REDUCED];
		int n = 0;
		double points = 1;
		for (int i = 0; i < e->nindex; i++)
			index[n++] = e->index[i];
		for (int i = 0; i < e->nreduced; i++)
			index[n++] = e->reduced[i];
		for (int i = 0; i < n; i++) {
			int64_t extent = 0;
			cascade_extent(c, c->index.v[index[i]].extent, &extent);
			points *= (double)extent;
		}
		struct expr present = cascade_presence(c, q), read = wanted(c, q);
		present = !present.id ? read : !read.id ? present : expr2(&c->pool, OP_AND, present, read);
		flops += 2 * points * (present.id && points > 0 ? share(c, inputs, present, index, n) : 1);
	}
	return flops;
}
