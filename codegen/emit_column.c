/* The loops of a group whose lanes lie across what is reduced: SHAPE_COLUMN. */
#include "codegen/emit_loops.h"

void emit_column_steps(struct nest *n, struct c_block *body, const struct group *g, uint32_t along, const struct fold *fold,
                       int copies)
{
	struct emitter *e = n->e;
	uint32_t names = e->taken.n, kept = n->vector.n;
	const char *first = e->index_name[along];
	struct c_block copy[UNROLL] = {{0}};
	n->staged = copies > 1;
	for (int i = 0; i < copies; i++) {
		if (i)
			e->index_name[along] = plan_name(e, first);
		n->row = n->body = &copy[i];
		n->scalar.n = 0;
		n->vector.n = kept;
		for (int k = 0; k < g->count; k++)
			emit_lane_statement(n, g->statement[k], &fold[k], i, NULL);
		if (i && c_mentions(&copy[i], e->index_name[along]))
			c_line(e->arena, body, "const long %s = %s + %d;", e->index_name[along], first, i);
	}
	e->index_name[along] = first;
	c_interleave(e->arena, body, copy, copies);
	n->staged = false;
	n->scalar.n = 0;
	n->vector.n = kept;
	emit_end_names(n, names);
}

static bool is_assigned(const struct group *g, uint32_t value)
{
	for (int k = 0; k < g->count; k++)
		if (assigns(g->statement[k]) && g->statement[k]->value == value)
			return true;
	return false;
}

void emit_column_hold(struct nest *n, const struct group *g, uint32_t inner)
{
	struct emitter *e = n->e;
	for (int k = 0; k < g->count; k++) {
		struct expr *node;
		uint32_t count = expr_nodes(e->pool, g->statement[k]->expression, &node);
		for (uint32_t i = 0; i < count; i++) {
			const struct expr_node *x = expr_at(e->pool, node[i]);
			if (x->op == OP_VALUE && value_rank(e, x->symbol, n->lane) >= 0 &&
			    value_rank(e, x->symbol, inner) < 0 && !is_assigned(g, x->symbol))
				nest_term(n, node[i]);
		}
	}
}

void emit_column_end(struct nest *n, const struct group *g, const struct fold *fold)
{
	struct emitter *e = n->e;
	n->vector.n = 0;
	for (int k = 0; k < g->count; k++) {
		const struct fold *f = &fold[k];
		if (f->accumulator)
			emit_assign_lanes(n, g->statement[k]->value,
			             nest_convert(n, bare(f->accumulator, f->kind, true), emit_value_kind(e, g->statement[k]->value), true)
			                     .text);
	}
}

/* Other coordinates in the lanes, the reduced one in a loop inside, several of its coordinates at a time. */
void emit_column(struct nest *n, const struct group *g)
{
	struct emitter *e = n->e;
	struct arena *a = e->arena;
	const struct current *r = e->range[g->shape.lane], *along = e->range[g->shape.inner];
	const char *at = n->at = e->index_name[g->shape.lane], *i = e->index_name[g->shape.inner];
	bool unroll = e->lanes > 1 && !along->single && along->step >= UNROLL, rest = !unroll || !range_whole(along, UNROLL);
	struct fold fold[MAX_GROUP] = {{0}};
	n->lane = g->shape.lane;
	n->left = emit_left(e, r, at);
	n->partial = !range_whole(r, e->lanes);
	struct c_block *body =
	        c_open(a, n->body, "for (long %s = %s; %s <= %s; %s += LANES)", at, r->low, at, r->high, at);
	for (int k = 0; k < g->count; k++) {
		if (g->statement[k]->kind != TILE_REDUCE)
			continue;
		fold[k] = emit_fold_of(e, g->statement[k]);
		for (int c = 0; c < (unroll ? UNROLL : 1); c++) {
			const char *name = plan_name(e, "folded");
			*(c ? &fold[k].spare[c - 1] : &fold[k].accumulator) = name;
			c_line(a, body, "%s %s = %s;", fold[k].kind == KIND_REAL ? "vreal" : "vint", name,
			       emit_vector_identity(e, &fold[k]));
		}
	}
	n->row = n->body = body;
	emit_column_hold(n, g, g->shape.inner);
	if (!along->single)
		n->loop[n->nloops++] = g->shape.inner;
	if (unroll) {
		c_line(a, body, "long %s = %s;", i, along->low);
		emit_column_steps(n, c_open(a, body, "for (; %s + %d <= %s; %s += %d)", i, UNROLL - 1, along->high, i, UNROLL), g,
		                  g->shape.inner, fold, UNROLL);
	}
	if (along->single)
		emit_column_steps(n, body, g, g->shape.inner, fold, 1);
	else if (rest)
		emit_column_steps(n,
		                  unroll ? c_open(a, body, "for (; %s <= %s; %s++)", i, along->high, i)
		                         : emit_loop(e, body, g->shape.inner),
		                  g, g->shape.inner, fold, 1);
	if (!along->single)
		n->nloops--;
	n->row = n->body = body;
	for (int k = 0; k < g->count; k++)
		for (int c = 0; fold[k].accumulator && unroll && c < UNROLL - 1; c++)
			emit_fold_step(n, &fold[k], 0, fold[k].spare[c], true);
	emit_column_end(n, g, fold);
}
