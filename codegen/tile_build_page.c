/* Contractions in steps through a tile, and operands in pages: walked / page, where a step of a contraction lies in one page, is one number, and so is what a table
 * says of it. */
#include "codegen/build.h"

/* A coordinate, of the program, of this rank of a tensor is inside it. */
static void is_inside(struct builder *b, uint32_t tensor, int rank, struct expr x)
{
	struct expr_pool *p = b->p->pool;
	int64_t extent = 0;
	cascade_extent(b->c, b->c->tensor.v[tensor].extent[rank], &extent);
	struct expr there = expr2(p, OP_AND, expr2(p, OP_LE, expr_number(p, 0), x),
	                          expr2(p, OP_LT, x, expr_number(p, (double)extent)));
	b->page_there = b->page_there.id ? expr2(p, OP_AND, b->page_there, there) : there;
}

/* A coordinate over the program's pool; what it reads is loaded beforehand, as values without ranks. */
static struct expr coordinate(struct builder *b, struct expr e, int64_t page)
{
	const struct expr_node n = *expr_at(&b->c->pool, e);
	struct expr_pool *p = b->p->pool;
	uint32_t walked = b->plan->walked;
	struct expr x[MAX_RANKS];
	if (!n.count || !build_mentions(b, e, walked))
		return build_load_expression(b, e);
	struct expr first = expr_operand(&b->c->pool, e, 0);
	if (n.op == OP_IDIV && expr_at(&b->c->pool, first)->op == OP_INDEX && expr_at(&b->c->pool, first)->symbol == walked)
		return expr2(p, OP_IDIV, expr_leaf(p, OP_LOW, KIND_INT, walked), expr_number(p, (double)page));
	for (int i = 0; i < n.count; i++)
		x[i] = coordinate(b, expr_operand(&b->c->pool, e, i), page);
	if (n.op != OP_READ)
		return expr_make(p, (enum op)n.op, n.symbol, n.count, x);
	for (int i = 0; i < n.count; i++)
		if (build_mentions(b, expr_operand(&b->c->pool, e, i), walked))
			is_inside(b, n.symbol, i, x[i]);
	uint32_t v = build_new_value(b, build_load_stem(b, e), DTYPE_I32, NULL, 0, 0);
	vec_push(b->arena, &b->page_code.statement,
	         (struct tile_statement){.kind = TILE_LOAD,
	                                 .value = v,
	                                 .expression = expr_read(p, (enum kind)n.kind, b->tensor[n.symbol], n.count, x)});
	return build_value(b, v);
}

struct expr build_page(struct builder *b, struct expr read, int64_t page)
{
	const struct expr_node n = *expr_at(&b->c->pool, read);
	struct expr_pool *p = b->p->pool;
	struct expr x[MAX_RANKS];
	b->page_code = (struct tile_block){0};
	b->page_there = NO_EXPR;
	for (int i = 0; i < n.count; i++) {
		struct expr e = expr_operand(&b->c->pool, read, i);
		bool inside = expr_at(&b->c->pool, e)->op == OP_MOD || expr_at(&b->c->pool, e)->op == OP_INDEX;
		if (inside || !build_mentions(b, e, b->plan->walked)) {
			x[i] = build_load_expression(b, e);
			continue;
		}
		x[i] = coordinate(b, e, page);
		is_inside(b, n.symbol, i, x[i]);
	}
	return expr_read(p, (enum kind)n.kind, b->tensor[n.symbol], n.count, x);
}

static void in_page(struct builder *b, struct tile_block *code, struct tile_statement s)
{
	struct tile_block one = {0};
	build_append(b, code, &b->page_code);
	vec_push(b->arena, &one.statement, s);
	one = build_guarded(b, b->page_there, one);
	build_append(b, code, &one);
}

void build_steps(struct builder *b, int k, struct tile_statement s)
{
	const struct contract_schedule *c = &b->sizes->contract[k];
	struct expr_pool *p = b->p->pool;
	uint32_t walked = b->plan->walked;
	if (!c->step) {
		vec_push(b->arena, &b->body->statement, s);
		return;
	}
	if (!s.accumulate)
		build_map(b, b->body, s.value, expr_number(p, 0));
	else if (s.scale.id)
		build_map(b, b->body, s.value, expr2(p, OP_MUL, build_value(b, s.value), s.scale));
	s.accumulate = s.index == walked;
	s.scale = NO_EXPR;
	struct tile_statement steps = {.kind = TILE_FOR,
	                               .index = walked,
	                               .step = c->step,
	                               .stages = c->stages,
	                               .low = expr_leaf(p, OP_LOW, KIND_INT, walked)};
	steps.high = expr2(p, OP_ADD, expr_leaf(p, OP_HIGH, KIND_INT, walked), expr_number(p, 1));
	if (b->plan->contract[k].page)
		in_page(b, &steps.body, s);
	else
		vec_push(b->arena, &steps.body.statement, s);
	vec_push(b->arena, &b->body->statement, steps);
}
