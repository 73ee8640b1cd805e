/* What the predicates of a stream say of its tiles: where the walk goes, which tiles are full, which hold nothing
 * (theory §3). Reads of tensors are known by their least and greatest value: tile_build_summary.c. */
#include "base/whole.h"
#include "codegen/build.h"

/* Which indices are ranges: all but the tasks' single coordinates. */
static int ranged(const struct builder *b, uint32_t **index)
{
	int n = 0;
	*index = arena_new_array(b->arena, b->c->index.n, uint32_t);
	for (uint32_t i = 0; i < b->c->index.n; i++)
		if (!build_is_task(b->plan, i))
			(*index)[n++] = i;
	return n;
}

static bool by_bounds(const struct builder *b)
{
	return b->stream->present.id && b->sizes->sparsity != SPARSITY_MASK;
}

struct range build_walk_range(struct builder *b)
{
	uint32_t *index;
	if (!by_bounds(b) || b->sizes->sparsity == SPARSITY_LIST)
		return (struct range){NO_EXPR, NO_EXPR};
	struct expr present = build_summarised(b, b->stream->present, false);
	int n = ranged(b, &index);
	return bounds_of(b->c, present, b->plan->walked, index, n);
}

struct range build_tile_range(struct builder *b)
{
	uint32_t *index;
	if (!by_bounds(b))
		return (struct range){NO_EXPR, NO_EXPR};
	struct expr present = b->stream->present; /* a list knows better where tensors let something be */
	if (b->sizes->sparsity != SPARSITY_LIST)
		present = build_summarised(b, present, true);
	int n = ranged(b, &index);
	return bounds_within(b->c, present, b->plan->walked, index, n);
}

static struct expr full(struct builder *b, uint32_t equation)
{
	uint32_t *index;
	struct expr presence = build_presence(b, equation);
	if (by_bounds(b))
		presence = build_summarised(b, presence, true);
	int n = ranged(b, &index);
	return bounds_full(b->c, presence, index, n);
}

struct expr build_full_condition(struct builder *b)
{
	struct expr all = expr_number(&b->c->pool, 1);
	for (uint32_t i = 0; i < b->stream->carry.n; i++)
		all = expr2(&b->c->pool, OP_AND, all, full(b, b->stream->carry.v[i].equation));
	for (uint32_t i = 0; i < b->stream->local.n; i++)
		if (stream_stores(b->all, b->number, b->stream->local.v[i]))
			all = expr2(&b->c->pool, OP_AND, all, full(b, b->stream->local.v[i]));
	return all;
}

struct expr build_occupied_condition(struct builder *b)
{
	uint32_t *index;
	double known;
	if (!by_bounds(b) || b->sizes->sparsity != SPARSITY_TEST)
		return NO_EXPR;
	struct expr present = build_summarised(b, b->stream->present, true);
	int n = ranged(b, &index);
	struct expr empty = bounds_empty(b->c, present, index, n);
	if (expr_is_number(&b->c->pool, empty, &known))
		return NO_EXPR;
	return build_translate(b, expr1(&b->c->pool, OP_NOT, empty));
}

/* Does a statement contract over the walked index what is there before? */
static bool contracts_walk(const struct builder *b, const struct tile_statement *s)
{
	return s->kind == TILE_CONTRACT && s->index == b->plan->walked && !s->twine;
}

void build_narrow_to_vectors(struct builder *b, struct tile_block *code)
{
	struct tile_statement narrow = code->statement.v[0], to_end, exact;
	struct tile_block all = {0};
	struct expr_pool *p = b->p->pool;
	uint32_t last = 0;
	int64_t groups = 1;
	double least;
	narrow.step = isa_info[b->schedule->isa].lanes;
	for (int k = 0; k < b->plan->ncontracts; k++)
		if (b->plan->contract[k].page && narrow.step % (b->sizes->contract[k].step ? b->sizes->contract[k].step : 1))
			return; /* steps begin where pages do */
	for (int k = 0; k < b->plan->ncontracts; k++) {
		int64_t group = operand_group(b->sizes->contract[k].operand);
		if (b->plan->contract[k].reduced == b->plan->walked)
			groups = groups / gcd(groups, group) * group;
	}
	narrow.step = narrow.step / gcd(narrow.step, groups) * groups;
	for (uint32_t i = 1; i < code->statement.n; i++)
		if (code->statement.v[i].kind == TILE_CONTRACT && code->statement.v[i].lanes == b->plan->walked)
			last = i;
	if (!last)
		return;
	to_end = exact = narrow;
	to_end.low = expr_number(p, 0);
	exact.step = groups;
	bool from_start = expr_is_number(p, narrow.low, &least) && least <= 0, finer = narrow.step != code->statement.v[0].step;
	for (uint32_t i = 0; i < code->statement.n; i++) {
		if (i > last && contracts_walk(b, &code->statement.v[i])) {
			vec_push(b->arena, &all.statement, exact);
			last = code->statement.n;
		}
		if (i || !finer || !from_start)
			vec_push(b->arena, &all.statement, code->statement.v[i]);
		if (!i && finer)
			vec_push(b->arena, &all.statement, to_end);
		if (i == last && finer && !from_start)
			vec_push(b->arena, &all.statement, narrow);
	}
	*code = all;
}
