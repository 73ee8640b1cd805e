/* A selection stream: one statement, over the fibers of the task's rows. Operand and result are in memory. */
#include "codegen/build.h"
#include "dsl/dtype.h"

void build_selection(struct builder *b, struct tile_block *code)
{
	const struct equation *q = &b->c->equation.v[b->stream->local.v[0]];
	struct tile_statement s = {.kind = TILE_SELECT, .select = q->select, .index = q->along, .slot = q->slot};
	struct expr presence = build_presence(b, b->stream->local.v[0]), at[MAX_RANKS];
	enum kind kind = dtype_kind(b->c->tensor.v[q->tensor].dtype);
	for (int i = 0; i < q->nindex; i++)
		at[i] = expr_leaf(b->p->pool, OP_INDEX, KIND_INT, q->index[i]);
	s.expression = build_load_expression(b, q->body);
	s.present = build_load_expression(b, presence);
	s.argument = cascade_argument(b->c, q);
	s.target = expr_read(b->p->pool, kind, b->tensor[q->tensor], q->nindex, at);
	vec_push(b->arena, &code->statement, s);
}
