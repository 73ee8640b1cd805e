/* A walk of one tile: what its keys give is all there is, so that nothing begins at an identity, is corrected, or is
 * carried from tile to tile, and a block of rows is finished before the next begins. */
#include "codegen/build.h"

static bool is_old(const struct builder *b, struct expr e)
{
	struct expr *node;
	uint32_t n = e.id ? expr_nodes(&b->c->pool, e, &node) : 0;
	for (uint32_t i = 0; i < n; i++)
		if (expr_at(&b->c->pool, node[i])->op == OP_OLD)
			return true;
	return false;
}

bool build_is_single(struct builder *b)
{
	int64_t extent = build_extent(b, b->plan->walked);
	double known = 0;
	if (b->device || b->part != NO_INDEX || b->plan->inner != NO_INDEX || build_shares_wide(b) ||
	    b->stream->present.id || extent < 1 || extent > b->sizes->stream_tile)
		return false;
	for (uint32_t i = 0; i < b->stream->carry.n; i++) {
		const struct equation *q = &b->c->equation.v[b->stream->carry.v[i].equation];
		if (q->reduce == REDUCE_MEAN || q->reduce == REDUCE_ARGMAX || is_old(b, q->body))
			return false;
	}
	for (uint32_t i = 0; i < b->stream->local.n; i++)
		if (is_old(b, b->c->equation.v[b->stream->local.v[i]].body))
			return false;
	struct expr full = build_full_condition(b);
	return expr_is_number(&b->c->pool, full, &known) && known == 1;
}

int64_t build_after_rows(const struct builder *b)
{
	return b->single && b->block ? b->block : b->sizes->row_tile;
}

void build_single(struct builder *b, struct tile_block *code)
{
	struct tile_block step_code = {0};
	struct range all = {NO_EXPR, NO_EXPR};
	b->single = true;
	b->step_code = &step_code;
	b->in_body = true;
	struct tile_block body = build_class(b, false, &all);
	b->in_body = false;
	for (uint32_t i = 0; i < b->stream->carry.n; i++) {
		uint32_t tensor = b->c->equation.v[b->stream->carry.v[i].equation].tensor;
		b->running[tensor] = b->fresh[tensor];
	}
	b->operand.n = 0; /* values of the tile */
	build_after(b, &body);
	if (b->block)
		body = build_in_steps(b, b->plan->rows, b->block, body);
	build_append(b, code, &step_code);
	build_append(b, code, &body);
}
