/* Walks over expressions: rewriting, substitution, search. Iterative, and each distinct node once: a long
 * sum is a deep tree, and a shared node is reached by exponentially many paths. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dsl/expr.h"

/* The nodes of one expression in ascending order, so operands before users, with a value each. */
struct walk {
	VEC(uint32_t) id;
	uint32_t *slot, slots; /* open addressing: position in id plus one */
	struct expr *result;
};

static uint32_t *find(struct walk *w, uint32_t id)
{
	uint32_t at = id * 2654435769u & (w->slots - 1);
	while (w->slot[at] && w->id.v[w->slot[at] - 1] != id)
		at = (at + 1) & (w->slots - 1);
	return &w->slot[at];
}

static void fill_slots(struct walk *w)
{
	memset(w->slot, 0, w->slots * sizeof *w->slot);
	for (uint32_t i = 0; i < w->id.n; i++)
		*find(w, w->id.v[i]) = i + 1;
}

static void add(struct arena *a, struct walk *w, uint32_t id)
{
	uint32_t *slot = find(w, id);
	if (*slot)
		return;
	vec_push(a, &w->id, id);
	*slot = w->id.n;
	if (w->id.n > w->slots / 2) {
		w->slots *= 2;
		w->slot = arena_new_array(a, w->slots, uint32_t);
		fill_slots(w);
	}
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static struct walk walk_of(const struct expr_pool *p, struct expr e)
{
	struct walk w = {.slots = 32};
	w.slot = arena_new_array(p->arena, w.slots, uint32_t);
	add(p->arena, &w, e.id);
	for (uint32_t i = 0; i < w.id.n; i++) {
		struct expr x = {w.id.v[i]};
		for (int k = 0; k < expr_at(p, x)->count; k++)
			add(p->arena, &w, expr_operand(p, x, k).id);
	}
	qsort(w.id.v, w.id.n, sizeof *w.id.v, ascending);
	fill_slots(&w);
	return w;
}

uint32_t expr_nodes(const struct expr_pool *p, struct expr e, struct expr **list)
{
	struct walk w = walk_of(p, e);
	*list = arena_new_array(p->arena, w.id.n, struct expr);
	for (uint32_t i = 0; i < w.id.n; i++)
		(*list)[i] = (struct expr){w.id.v[i]};
	return w.id.n;
}

/* Folding may leave only an operand, or an operand's operand: something that has its visit behind it. */
static bool is_part(const struct expr_pool *p, struct expr e, int n, const struct expr *operand)
{
	for (int i = 0; i < n; i++) {
		if (expr_same(e, operand[i]))
			return true;
		for (int k = 0; k < expr_at(p, operand[i])->count; k++)
			if (expr_same(e, expr_operand(p, operand[i], k)))
				return true;
	}
	return false;
}

struct expr expr_rewrite(struct expr_pool *p, struct expr e, expr_visit *visit, void *context)
{
	if (!e.id)
		return e;
	struct walk w = walk_of(p, e);
	w.result = arena_new_array(p->arena, w.id.n, struct expr);
	for (uint32_t i = 0; i < w.id.n; i++) {
		struct expr old = {w.id.v[i]}, now = old, operand[16];
		struct expr_node n = *expr_at(p, old); /* a copy: the pool may move */
		bool changed = false;
		assert(n.count <= 16);
		for (int k = 0; k < n.count; k++) {
			struct expr x = expr_operand(p, old, k);
			operand[k] = w.result[*find(&w, x.id) - 1];
			changed |= !expr_same(x, operand[k]);
		}
		if (changed && n.op == OP_READ)
			now = expr_read(p, (enum kind)n.kind, n.symbol, n.count, operand);
		else if (changed)
			now = expr_make(p, (enum op)n.op, n.symbol, n.count, operand);
		w.result[i] = changed && is_part(p, now, n.count, operand) ? now : visit(p, now, context);
	}
	return w.result[w.id.n - 1];
}

struct substitution {
	uint32_t from;
	struct expr to;
};

static struct expr substitute(struct expr_pool *p, struct expr e, void *context)
{
	const struct substitution *s = context;
	return expr_at(p, e)->op == OP_INDEX && expr_at(p, e)->symbol == s->from ? s->to : e;
}

struct expr expr_substitute(struct expr_pool *p, struct expr e, uint32_t from, struct expr to)
{
	if (!e.id || !expr_mentions(p, e, OP_INDEX, from))
		return e;
	return expr_rewrite(p, e, substitute, &(struct substitution){from, to});
}

bool expr_mentions(const struct expr_pool *p, struct expr e, enum op op, uint32_t symbol)
{
	if (!e.id || !(expr_at(p, e)->ops >> op & 1))
		return false;
	if (symbol == ANY_SYMBOL)
		return true;
	if (!(expr_at(p, e)->symbols & expr_symbol_bit(op, symbol)))
		return false;
	/* Most expressions are small: a bounded search without memory first. */
	struct expr stack[32];
	int depth = 0, budget = 128;
	bool complete = true;
	stack[depth++] = e;
	while (depth && budget--) {
		struct expr x = stack[--depth];
		const struct expr_node *n = expr_at(p, x);
		if (n->op == op && n->symbol == symbol)
			return true;
		for (int k = 0; k < n->count; k++) {
			const struct expr_node *o = expr_at(p, expr_operand(p, x, k));
			if (!(o->ops >> op & 1) || !(o->symbols & expr_symbol_bit(op, symbol)))
				continue;
			if (depth == 32)
				complete = false;
			else
				stack[depth++] = expr_operand(p, x, k);
		}
	}
	if (complete && !depth)
		return false;
	struct walk w = walk_of(p, e);
	for (uint32_t i = 0; i < w.id.n; i++) {
		const struct expr_node *n = &p->node.v[w.id.v[i]];
		if (n->op == op && n->symbol == symbol)
			return true;
	}
	return false;
}

bool expr_is_long(const struct expr_pool *p, struct expr e)
{
	for (enum op op = OP_EXP; op <= OP_COS; op++)
		if (op != OP_SQRT && op != OP_RELU && expr_mentions(p, e, op, ANY_SYMBOL))
			return true;
	return false;
}
