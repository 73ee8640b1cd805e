/* tile_inputs.c: on which arguments what a phase stores depends; see tile_phase_inputs in tile.h. */
#include "codegen/tile.h"

struct look {
	const struct tile_program *p;
	const uint64_t *tensor; /* what each depends on, so far */
	uint64_t reads;
	bool outputs;
	bool *stores; /* one a tensor: stored in this phase */
};

static void look_at(struct look *l, struct expr e)
{
	struct expr *node;
	uint32_t n = e.id && expr_at(l->p->pool, e)->ops & (uint64_t)1 << OP_READ
	                     ? expr_nodes(l->p->pool, e, &node)
	                     : 0;
	for (uint32_t i = 0; i < n; i++)
		if (expr_at(l->p->pool, node[i])->op == OP_READ)
			l->reads |= l->tensor[expr_at(l->p->pool, node[i])->symbol];
}

static void look_in(struct look *l, const struct tile_block *b)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		const struct expr all[] = {s->expression, s->present,
		                           s->kind == TILE_CONTRACT ? s->a : NO_EXPR,
		                           s->kind == TILE_CONTRACT ? s->b : NO_EXPR};
		for (int k = 0; k < 4; k++)
			look_at(l, all[k]);
		if (tile_stores(s)) {
			uint32_t t = expr_at(l->p->pool, s->target)->symbol;
			l->stores[t] = true;
			l->outputs |= l->p->tensor.v[t].place == PLACE_ARGUMENT;
		}
		look_in(l, &s->body);
		look_in(l, &s->other);
	}
}

void tile_phase_inputs(struct arena *arena, const struct tile_program *p, struct tile_inputs *inputs)
{
	uint64_t *tensor = arena_new_array(arena, p->tensor.n + 1, uint64_t);
	for (uint32_t t = 0; t < p->tensor.n; t++)
		tensor[t] = p->tensor.v[t].place == PLACE_ARGUMENT ? (uint64_t)1 << (t < 63 ? t : 63) : 0;
	for (uint32_t i = 0; i < p->phase.n; i++) {
		struct look l = {p, tensor, 0, false, arena_new_array(arena, p->tensor.n + 1, bool)};
		for (uint32_t k = 0; k < p->phase.v[i].task.n; k++)
			if (p->phase.v[i].task.v[k].order.id)
				l.reads |= tensor[expr_at(p->pool, p->phase.v[i].task.v[k].order)->symbol];
		look_in(&l, &p->phase.v[i].body);
		inputs[i] = (struct tile_inputs){l.reads, l.outputs};
		for (uint32_t t = 0; t < p->tensor.n; t++)
			if (l.stores[t])
				tensor[t] |= l.reads;
	}
}
