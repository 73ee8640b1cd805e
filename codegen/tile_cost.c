/* tile_cost.c: what a run of a tile program does, counted by walking it without data. Bytes are those that
 * loads, stores and contractions ask of tensors; caches are not modelled. Bounds that
 * depend on data count as the whole range, the runs of a list as one that is the whole range; of an `if` that does, the
 * second branch counts. */
#include <math.h>

#include "codegen/tile_walk.h"

static bool transcendental(enum op op)
{
	switch (op) {
	case OP_EXP:
	case OP_EXP2:
	case OP_LOG:
	case OP_LOG2:
	case OP_POW:
	case OP_TANH:
	case OP_SIGMOID:
	case OP_SOFTPLUS:
	case OP_GELU:
	case OP_SILU:
	case OP_ERF:
	case OP_SIN:
	case OP_COS: return true;
	default: return false;
	}
}

struct account {
	struct tile_cost total;
	struct tile_price *price; /* by expression id */
};

struct tile_price tile_price(const struct tile_program *p, struct expr e)
{
	struct tile_price sum = {.known = true};
	struct expr *list;
	uint32_t n = expr_nodes(p->pool, e, &list);
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *node = expr_at(p->pool, list[i]);
		if (node->op == OP_READ)
			sum.bytes += dtype_info[p->tensor.v[node->symbol].dtype].bits / 8.0;
		else if (transcendental((enum op)node->op))
			sum.exps++;
		else if (node->count && node->kind == KIND_REAL)
			sum.flops++;
	}
	return sum;
}

/* Adds an expression evaluated `times` times. */
static void count(struct tile_walk *w, struct expr e, double times)
{
	struct account *a = w->owner;
	struct tile_price *one = &a->price[e.id];
	if (!one->known)
		*one = tile_price(w->p, e);
	a->total.map_flops += times * one->flops;
	a->total.exps += times * one->exps;
	a->total.bytes += times * one->bytes;
}

static double volume(struct tile_walk *w, int n, const uint32_t *index)
{
	double v = 1;
	for (int k = 0; k < n; k++)
		v *= (double)tile_count(w, index[k]);
	return v;
}

/* A fiber is read once and its result written once; on the way a few passes over it compare. */
static void count_select(struct tile_walk *w, const struct tile_statement *s)
{
	const double passes = 4;
	struct tile_cost *c = &((struct account *)w->owner)->total;
	uint32_t tensor = expr_at(w->p->pool, s->target)->symbol;
	double results, fibers = tile_fibers(w, s, &results), fiber = (double)tile_count(w, s->index);
	c->map_flops += passes * fibers * fiber;
	count(w, s->expression, fibers * fiber);
	if (s->present.id)
		count(w, s->present, fibers * fiber);
	c->bytes += fibers * results * dtype_info[w->p->tensor.v[tensor].dtype].bits / 8.0;
}

static bool count_statement(struct tile_walk *w, const struct tile_statement *s)
{
	struct tile_cost *c = &((struct account *)w->owner)->total;
	const struct expr_pool *p = w->p->pool;
	if (s->kind == TILE_STORE) {
		const struct expr_node *n = expr_at(p, s->target);
		double v = 1;
		for (int k = 0; k < n->count; k++)
			v *= (double)tile_count(w, expr_at(p, expr_operand(p, s->target, k))->symbol);
		count(w, s->expression, v);
		c->bytes += v * dtype_info[w->p->tensor.v[n->symbol].dtype].bits / 8.0;
		return true;
	}
	if (s->kind == TILE_SELECT) {
		count_select(w, s);
		return true;
	}
	const struct tile_value *value = &w->p->value.v[s->value];
	double v = volume(w, value->nranks, value->index);
	if (s->kind == TILE_CONTRACT) {
		double steps = (double)tile_count(w, s->index);
		c->contract_flops += 2 * v * steps;
		c->contract[s->operand] += 2 * v * steps;
		count(w, s->b, steps * (double)tile_count(w, s->lanes));
		if (s->rows != UINT32_MAX)
			count(w, s->a, steps * (double)tile_count(w, s->rows));
		if (s->scale.id)
			count(w, s->scale, s->rows == UINT32_MAX ? 1 : (double)tile_count(w, s->rows));
		return true;
	}
	if (s->kind == TILE_REDUCE) {
		v *= (double)tile_count(w, s->index);
		c->map_flops += v;
	}
	count(w, s->expression, v);
	return true;
}

struct tile_cost tile_cost(const struct tile_program *p)
{
	struct account a = {.price = arena_new_array(p->arena, p->pool->node.n, struct tile_price)};
	struct tile_walk w = {.p = p, .arena = p->arena, .statement = count_statement, .value = tile_no_value,
	                      .read = tile_no_read, .lenient = true, .owner = &a};
	tile_walk(&w);
	return a.total;
}
