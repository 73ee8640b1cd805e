/* What a predicate's reads of tensors hold over the rows of a task, or over the tile of a step: their least
 * and greatest element, reductions in the program before the conditions that use them. Truth is 0 and 1; a
 * NaN among reals becomes both. Inputs, outputs and work tensors alike, as long as another stream stores
 * them. */
#include <math.h>

#include "base/whole.h"
#include "codegen/build.h"
#include "codegen/linear.h"

struct summarise {
	struct builder *b;
	bool walked;        /* tiles may be summarised too, not the rows only */
	struct expr *known; /* by node: what it became */
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

static uint32_t scalar(struct builder *b, const char *stem, enum reduction r, enum dtype dtype)
{
	const char *name = arena_printf(b->arena, "%s_%s", stem, reduction_info[r].spelling);
	return build_new_value(b, name, dtype, NULL, 0, 0);
}

static void reduce(struct builder *b, struct tile_block *code, uint32_t value, enum reduction r,
                   uint32_t along, struct expr e)
{
	vec_push(b->arena, &code->statement,
	         (struct tile_statement){
	                 .kind = TILE_REDUCE, .value = value, .index = along, .reduce = r, .expression = e});
}

/* ---- reads that follow the rows, or the walked index ---- */

static void along_one(struct builder *b, struct expr read, bool walks, struct summary *s)
{
	const char *stem = build_load_stem(b, read);
	uint32_t value = build_load(b, read, b->plan->walked);
	enum dtype dtype = b->p->value.v[value].dtype;
	struct tile_block *code = walks ? b->step_code : b->task_code;
	uint32_t along = walks ? b->plan->walked : b->plan->rows;
	s->low = scalar(b, stem, REDUCE_MIN, dtype);
	s->high = scalar(b, stem, REDUCE_MAX, dtype);
	reduce(b, code, s->low, REDUCE_MIN, along, build_value(b, value));
	reduce(b, code, s->high, REDUCE_MAX, along, build_value(b, value));
}

/* ---- reads that follow both ---- */

enum { MAX_MOVING = 3, AT_ONCE = 512 };
/* A device reduces across a block's threads for each of the others: it is worth few of them. */
enum { DEVICE_LINES = 8 };

/* A read's coordinates that move within a tile. Each runs over an index, its own or that of the rows or the
 * walk, from the least to the greatest it can be: m/64 over a tile of 512 over nine. */
struct moving {
	int n;
	struct {
		uint32_t index;        /* of the program */
		struct expr low, high; /* of the cascade */
		int64_t most;          /* so many coordinates */
		bool plain;            /* all of the index's range as it is */
	} v[MAX_MOVING];
	struct expr x[MAX_RANKS]; /* all coordinates, over the program */
};

/* The most values that an int takes in a tile. */
static int64_t span(const struct builder *b, const struct box *box, struct expr e, int64_t extent)
{
	const struct expr_pool *p = &b->c->pool;
	struct linear l;
	int64_t most = 1;
	double by;
	if (!linear_of(box, e, &l))
		return extent;
	for (int i = 0; i < l.n; i++) {
		const struct expr_node *n = expr_at(p, l.atom[i]);
		int64_t one = extent, c = l.c[i] < 0 ? -l.c[i] : l.c[i];
		if (!box_mentions(box, l.atom[i]))
			continue;
		if (n->op == OP_INDEX)
			one = n->symbol == b->plan->rows ? b->sizes->row_tile : b->sizes->stream_tile;
		else if ((n->op == OP_IDIV || n->op == OP_MOD) &&
		         expr_is_number(p, expr_operand(p, l.atom[i], 1), &by) && by >= 1)
			one = n->op == OP_MOD
			              ? (int64_t)by
			              : span(b, box, expr_operand(p, l.atom[i], 0), extent) / (int64_t)by + 2;
		if (__builtin_mul_overflow(one - 1, c, &one) || __builtin_add_overflow(most, one, &most))
			return extent;
	}
	return most < extent ? most : extent;
}

static bool moves(struct builder *b, const struct box *box, struct expr read, int i, struct moving *m)
{
	const struct expr_pool *p = &b->c->pool;
	const struct expr_node n = *expr_at(p, read);
	struct expr x = expr_operand(p, read, i);
	const struct expr_node at = *expr_at(p, x);
	int64_t extent = 0;
	uint32_t index = NO_INDEX;
	if (m->n == MAX_MOVING || at.ops & (uint64_t)1 << OP_READ ||
	    !cascade_extent(b->c, b->c->tensor.v[n.symbol].extent[i], &extent))
		return false;
	struct interval v = interval_of(box, x);
	if (!v.low.id || v.given.id)
		return false;
	if (at.op == OP_INDEX)
		index = at.symbol;
	for (int k = 0; k < m->n; k++)
		if (m->v[k].index == index)
			index = NO_INDEX; /* it moves by itself already */
	if (index == NO_INDEX) {
		const char *name = arena_printf(b->arena, "%s_at", b->c->tensor.v[n.symbol].name);
		name = build_name(b, name, true);
		vec_push(b->arena, &b->p->index, (struct tile_index){name, extent});
		index = b->p->index.n - 1;
	}
	m->v[m->n].index = index;
	m->v[m->n].low = v.low;
	m->v[m->n].high = v.high;
	m->v[m->n].plain = index == at.symbol && at.op == OP_INDEX;
	m->v[m->n++].most = at_least_one(span(b, box, x, extent));
	m->x[i] = expr_leaf(b->p->pool, OP_INDEX, KIND_INT, index);
	return true;
}

static bool moving_of(struct builder *b, struct expr read, struct moving *m)
{
	const struct expr_pool *p = &b->c->pool;
	const struct expr_node n = *expr_at(p, read);
	uint32_t ranged[2] = {b->plan->rows, b->plan->walked};
	struct box box = {b->c, ranged, 2};
	uint32_t indices = b->p->index.n;
	*m = (struct moving){0};
	for (int i = 0; i < n.count; i++) {
		struct expr x = expr_operand(p, read, i);
		if (!box_mentions(&box, x)) {
			m->x[i] = build_load_expression(b, x);
		} else if (!moves(b, &box, read, i, m)) {
			b->p->index.n = indices;
			return false;
		}
	}
	int64_t lines = 1;
	for (int k = 0; k + 1 < m->n; k++)
		lines *= m->v[k].most < DEVICE_LINES ? m->v[k].most : DEVICE_LINES + 1;
	if (b->device && lines > DEVICE_LINES) {
		b->p->index.n = indices;
		return false;
	}
	return true;
}

/* The block over a coordinate's values, so many at a time. */
static struct tile_block *loop(struct builder *b, struct tile_block *code, const struct moving *m, int k,
                               int64_t step)
{
	if (m->v[k].plain && m->v[k].most <= step)
		return code;
	struct expr high = build_load_expression(b, m->v[k].high);
	struct tile_statement s = {.kind = TILE_FOR, .index = m->v[k].index, .step = step};
	s.low = build_load_expression(b, m->v[k].low);
	s.high = expr2(b->p->pool, OP_ADD, high, expr_number(b->p->pool, 1));
	vec_push(b->arena, &code->statement, s);
	return &code->statement.v[code->statement.n - 1].body;
}

/* For each value of the first coordinate that moves, elements along the last, so many at a time. */
static void along_both(struct builder *b, struct expr read, const struct moving *m, struct summary *s)
{
	const struct expr_node n = *expr_at(&b->c->pool, read);
	const char *stem = build_load_stem(b, read);
	struct expr_pool *p = b->p->pool;
	bool real = n.kind == KIND_REAL;
	int last = m->n - 1;
	int64_t wide = m->v[last].most < AT_ONCE ? m->v[last].most : AT_ONCE;
	struct tile_value v = {
	        .name = build_name(b, stem, true), .dtype = real ? b->p->compute : DTYPE_I32, .nranks = 1};
	v.index[0] = m->v[last].index;
	v.capacity[0] = round_up(wide, isa_info[b->schedule->isa].lanes);
	vec_push(b->arena, &b->p->value, v);
	uint32_t value = b->p->value.n - 1;
	s->low = scalar(b, stem, REDUCE_MIN, v.dtype);
	s->high = scalar(b, stem, REDUCE_MAX, v.dtype);
	build_map(b, b->step_code, s->low, expr_number(p, real ? (double)INFINITY : INT32_MAX));
	build_map(b, b->step_code, s->high, expr_number(p, real ? -(double)INFINITY : INT32_MIN));
	struct tile_block *inner = b->step_code;
	for (int k = 0; k <= last; k++)
		inner = loop(b, inner, m, k, k < last ? 1 : wide);
	vec_push(b->arena, &inner->statement,
	         (struct tile_statement){
	                 .kind = TILE_LOAD,
	                 .value = value,
	                 .expression = expr_read(p, (enum kind)n.kind, b->tensor[n.symbol], n.count, m->x)});
	for (int high = 0; high < 2; high++) {
		enum reduction r = high ? REDUCE_MAX : REDUCE_MIN;
		uint32_t part = scalar(b, stem, r, v.dtype), all = high ? s->high : s->low;
		reduce(b, inner, part, r, v.index[0], build_value(b, value));
		build_map(b, inner, all,
		          expr2(p, high ? OP_MAX : OP_MIN, build_value(b, all), build_value(b, part)));
	}
}

/* ---- */

/* Is all of it in memory, and its coordinates no more than those of tasks, rows and the walk? */
static bool in_memory(const struct builder *b, struct expr read)
{
	if (plan_reads_local(b->all, b->stream, read))
		return false;
	for (uint32_t t = 0; t < b->c->tensor.n; t++)
		if (b->tensor[t] == NO_VALUE && expr_mentions(&b->c->pool, read, OP_READ, t))
			return false;
	for (uint32_t i = 0; i < b->c->index.n; i++)
		if (i != b->plan->rows && i != b->plan->walked && !build_is_task(b->plan, i) &&
		    build_mentions(b, read, i))
			return false;
	return true;
}

/* What stands for a read of the predicate, made if it is not yet; the read itself where nothing is known of
 * it. */
static struct expr of_read(struct summarise *s, struct expr e)
{
	struct builder *b = s->b;
	struct cascade *c = b->c;
	struct expr_pool *p = &c->pool;
	const struct expr_node n = *expr_at(p, e);
	bool rows = build_mentions(b, e, b->plan->rows), walks = build_mentions(b, e, b->plan->walked);
	if ((!rows && !walks) || (walks && !s->walked) || !in_memory(b, e))
		return e;
	uint32_t known = 0;
	while (known < b->summary.n && !expr_same(b->summary.v[known].read, e))
		known++;
	if (known == b->summary.n) {
		struct summary one = {.read = e};
		struct moving m;
		if (rows && walks && !moving_of(b, e, &m))
			return e;
		/* Not an extent: nothing may be concluded from one. */
		one.index = cascade_add_index(c, cascade_fresh_index(c, "of"), 0);
		c->index.v[one.index].extent = expr_leaf(p, OP_INDEX, KIND_INT, one.index);
		if (rows && walks)
			along_both(b, e, &m, &one);
		else
			along_one(b, e, walks, &one);
		vec_push(b->arena, &b->summary, one);
	}
	struct expr of =
	        expr_leaf(p, OP_INDEX, n.kind == KIND_REAL ? KIND_REAL : KIND_INT, b->summary.v[known].index);
	return n.kind == KIND_BOOL ? expr2(p, OP_LE, expr_number(p, 1), of) : of;
}

/* Reads from outside: one at coordinates out of other tensors is known by what it gives, not by where it is.
 */
static struct expr summarised(struct summarise *s, struct expr e)
{
	struct expr_pool *p = &s->b->c->pool;
	const struct expr_node n = *expr_at(p, e);
	struct expr x[MAX_RANKS];
	if (!(n.ops & (uint64_t)1 << OP_READ))
		return e;
	if (n.op == OP_READ)
		return of_read(s, e);
	if (s->known[e.id].id)
		return s->known[e.id];
	for (int i = 0; i < n.count; i++)
		x[i] = summarised(s, expr_operand(p, e, i));
	return s->known[e.id] = expr_make(p, (enum op)n.op, n.symbol, n.count, x);
}

struct expr build_summarised(struct builder *b, struct expr predicate, bool walked)
{
	struct summarise s = {b, walked, NULL};
	if (!predicate.id)
		return predicate;
	s.known = arena_new_array(b->arena, predicate.id + 1, struct expr);
	return summarised(&s, predicate);
}
