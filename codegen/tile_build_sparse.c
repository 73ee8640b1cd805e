/* What the predicates of a stream say of its tiles: where the walk goes, which tiles are full, which hold nothing
 * (theory §3). Reads of integer tensors are known by their least and largest value over the rows of the task, or
 * over the tile: reductions in the program, before the conditions that use them.
 */
#include "codegen/build.h"

struct summarise {
	struct builder *b;
	bool walked; /* tiles may be summarised too, not the rows only */
};

bool build_is_summary(const struct builder *b, uint32_t index)
{
	for (uint32_t i = 0; i < b->summary.n; i++)
		if (b->summary.v[i].index == index)
			return true;
	return false;
}

struct expr build_summary(struct builder *b, uint32_t index, bool high)
{
	uint32_t i = 0;
	while (b->summary.v[i].index != index)
		i++;
	return build_value(b, high ? b->summary.v[i].high : b->summary.v[i].low);
}

static uint32_t reduced(struct builder *b, struct tile_block *code, const char *stem, enum reduction r,
                        uint32_t along, uint32_t value)
{
	const char *name = arena_printf(b->arena, "%s_%s", stem, reduction_info[r].spelling);
	uint32_t v = build_new_value(b, name, DTYPE_I32, NULL, 0, 0);
	vec_push(b->arena, &code->statement,
	         (struct tile_statement){.kind = TILE_REDUCE, .value = v, .index = along, .reduce = r,
	                                 .expression = build_value(b, value)});
	return v;
}

/* The index variable that stands for a read, with its reductions in place. */
static uint32_t summary_of(struct builder *b, struct expr read, bool walks)
{
	for (uint32_t i = 0; i < b->summary.n; i++)
		if (expr_same(b->summary.v[i].read, read))
			return b->summary.v[i].index;
	struct cascade *c = b->c;
	const char *stem = build_load_stem(b, read);
	struct summary s = {.read = read, .index = cascade_add_index(c, cascade_fresh_index(c, "of"), 0)};
	/* Not an extent: nothing may be concluded from one. */
	c->index.v[s.index].extent = expr_leaf(&c->pool, OP_INDEX, KIND_INT, s.index);
	uint32_t value = build_load(b, read, b->plan->walked);
	struct tile_block *code = walks ? b->step_code : b->task_code;
	uint32_t along = walks ? b->plan->walked : b->plan->rows;
	s.low = reduced(b, code, stem, REDUCE_MIN, along, value);
	s.high = reduced(b, code, stem, REDUCE_MAX, along, value);
	vec_push(b->arena, &b->summary, s);
	return s.index;
}

static struct expr summarise_node(struct expr_pool *p, struct expr e, void *context)
{
	struct summarise *s = context;
	struct builder *b = s->b;
	const struct expr_node n = *expr_at(p, e);
	if (n.op != OP_READ || n.kind != KIND_INT || b->c->tensor.v[n.symbol].role != ROLE_IN)
		return e;
	bool rows = build_mentions(b, e, b->plan->rows), walks = build_mentions(b, e, b->plan->walked);
	if (rows == walks || (walks && !s->walked))
		return e;
	for (uint32_t i = 0; i < b->c->index.n; i++)
		if (i != b->plan->rows && i != b->plan->walked && !build_is_task(b->plan, i) && build_mentions(b, e, i))
			return e;
	return expr_leaf(p, OP_INDEX, KIND_INT, summary_of(b, e, walks));
}

static struct expr summarised(struct builder *b, struct expr predicate, bool walked)
{
	struct summarise s = {b, walked};
	/* Bounds of xor know that an index is not negative; what a tensor holds may be. */
	if (!predicate.id || expr_at(&b->c->pool, predicate)->ops & (uint64_t)1 << OP_XOR)
		return predicate;
	return expr_rewrite(&b->c->pool, predicate, summarise_node, &s);
}

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
	struct expr present = summarised(b, b->stream->present, false);
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
		present = summarised(b, present, true);
	int n = ranged(b, &index);
	return bounds_within(b->c, present, b->plan->walked, index, n);
}

static struct expr full(struct builder *b, uint32_t equation)
{
	uint32_t *index;
	struct expr presence = build_presence(b, equation);
	if (by_bounds(b))
		presence = summarised(b, presence, true);
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
	struct expr present = summarised(b, b->stream->present, true);
	int n = ranged(b, &index);
	struct expr empty = bounds_empty(b->c, present, index, n);
	if (expr_is_number(&b->c->pool, empty, &known))
		return NO_EXPR;
	return build_translate(b, expr1(&b->c->pool, OP_NOT, empty));
}
