/* Lists of the tiles that hold something, made once a call: phases before the stream's own.
 *
 * For each tile of rows, and each task coordinate that the predicate depends on (heads that it does not mention
 * share a list), the granules of the walked index are classified: empty, partial or full. Neighbours of one class
 * are joined to runs. A list is then a number of runs, and of each the granule it begins at and the one it ends before,
 * times the number of kinds of runs, plus its kind. The stream's tasks walk the runs in tiles of their own. Where the
 * schedule wants heavy tasks first, the lists are sorted by how many granules they have, and tasks are taken in that order.
 *
 * The schedule may tell blocks of a task's rows apart: then a partial granule is also classified by the first and the last
 * block that see some of it, and a run is walked by these only.
 *
 * A tensor that the predicate reads along the walk is summarised before that, once a granule: its least and greatest
 * element, for every coordinate that goes along with the rows. So a list is made in vectors over granules, whatever a
 * granule holds.
 */
#include <math.h>

#include "codegen/build.h"
#include "codegen/interval.h"

enum { BUCKETS = 8 }; /* of tasks by what they have to do */

static struct expr whole(struct builder *b, int64_t n)
{
	return expr_number(b->p->pool, (double)n);
}

static struct expr at_index(struct builder *b, uint32_t index)
{
	return expr_leaf(b->p->pool, OP_INDEX, KIND_INT, index);
}

static struct expr low_of(struct builder *b, uint32_t index)
{
	return expr_leaf(b->p->pool, OP_LOW, KIND_INT, index);
}

static struct expr plus(struct builder *b, struct expr x, int64_t n)
{
	return expr2(b->p->pool, OP_ADD, x, whole(b, n));
}

static struct expr times(struct builder *b, struct expr x, int64_t n)
{
	return expr2(b->p->pool, OP_MUL, x, whole(b, n));
}

static uint32_t new_index(struct builder *b, const char *name, int64_t extent)
{
	name = build_name(b, name, true);
	vec_push(b->arena, &b->p->index, (struct tile_index){name, extent});
	return b->p->index.n - 1;
}

static uint32_t new_value_as(struct builder *b, const char *name, enum dtype dtype, int n, uint32_t index)
{
	struct tile_value v = {.name = build_name(b, name, true), .dtype = dtype, .nranks = (uint8_t)n};
	if (n) {
		int lanes = isa_info[b->schedule->isa].lanes;
		v.index[0] = index;
		v.capacity[0] = (b->p->index.v[index].extent + lanes) / lanes * lanes;
	}
	vec_push(b->arena, &b->p->value, v);
	return b->p->value.n - 1;
}

static uint32_t new_value(struct builder *b, const char *name, int n, uint32_t index)
{
	return new_value_as(b, name, DTYPE_I32, n, index);
}

static void load(struct builder *b, struct tile_block *code, uint32_t value, struct expr e)
{
	vec_push(b->arena, &code->statement,
	         (struct tile_statement){.kind = TILE_LOAD, .value = value, .expression = e});
}

static void reduce(struct builder *b, struct tile_block *code, uint32_t value, enum reduction r, uint32_t along,
                   struct expr e)
{
	vec_push(b->arena, &code->statement,
	         (struct tile_statement){.kind = TILE_REDUCE, .value = value, .index = along, .reduce = r, .expression = e});
}

static void store(struct builder *b, struct tile_block *code, struct expr target, struct expr e)
{
	vec_push(b->arena, &code->statement,
	         (struct tile_statement){.kind = TILE_STORE, .target = target, .expression = e});
}

/* for index by step from low to high: its block, which is valid till the next statement is added to `code`. */
static struct tile_block *loop(struct builder *b, struct tile_block *code, uint32_t index, int64_t step,
                               struct expr low, struct expr high)
{
	vec_push(b->arena, &code->statement,
	         (struct tile_statement){.kind = TILE_FOR, .index = index, .step = step, .low = low, .high = high});
	return &code->statement.v[code->statement.n - 1].body;
}

static struct tile_block *when(struct builder *b, struct tile_block *code, struct expr condition)
{
	vec_push(b->arena, &code->statement, (struct tile_statement){.kind = TILE_IF, .expression = condition});
	return &code->statement.v[code->statement.n - 1].body;
}

/* ---- summaries ---- */

/* Least and greatest of what a read of the predicate holds in each granule: [dimension of the rows' coordinate,
 * task coordinates, granule]. */
struct granular {
	uint32_t low, high; /* tensors */
	enum dtype dtype;
	struct expr x[MAX_RANKS]; /* coordinates, over the program */
	int n;
};

static struct expr granular_read(struct builder *b, const struct granular *s, bool high)
{
	return expr_read(b->p->pool, dtype_info[s->dtype].integer ? KIND_INT : KIND_REAL, high ? s->high : s->low, s->n,
	                 s->x);
}

static int64_t granules(const struct builder *b)
{
	int64_t n = build_extent(b, b->plan->walked), g = b->sizes->granule;
	return (n + g - 1) / g;
}

static struct expr granule_low(struct builder *b)
{
	return times(b, at_index(b, b->granule), b->sizes->granule);
}

/* The ends of a coordinate's values over current ranges; those of its dimension where no others are known. */
static struct range ends_of(struct builder *b, struct expr coordinate, int64_t extent)
{
	uint32_t ranged[2] = {b->plan->walked, b->plan->rows};
	struct box box = {b->c, ranged, 2};
	struct interval v = interval_of(&box, coordinate);
	if (!v.low.id || v.given.id)
		return (struct range){expr_number(&b->c->pool, 0), expr_number(&b->c->pool, (double)(extent - 1))};
	return (struct range){v.low, v.high};
}

/* Where a coordinate divides the walked index into blocks of whole granules, it is one for each granule: over the
 * program, NO_EXPR elsewhere. */
static struct expr same_in_granule(struct builder *b, struct expr x)
{
	const struct expr_pool *p = &b->c->pool;
	int64_t by, g = b->sizes->granule;
	if (expr_at(p, x)->op != OP_IDIV || expr_at(p, expr_operand(p, x, 0))->op != OP_INDEX ||
	    !cascade_extent(b->c, expr_operand(p, x, 1), &by) || by < 1 || by % g)
		return NO_EXPR;
	return expr2(b->p->pool, OP_IDIV, at_index(b, b->granule), whole(b, by / g));
}

/* A phase that stores the summary of `read`; `along`: an index over the dimension that goes along with the rows. */
static void summary_phase(struct builder *b, struct expr read, int rows_at, uint32_t along, struct granular *s)
{
	const struct expr_node n = *expr_at(&b->c->pool, read);
	const struct tensor *from = &b->c->tensor.v[n.symbol];
	struct tile_phase phase = {.name = arena_printf(b->arena, "granules_%s", from->name)};
	struct tile_tensor t = {.name = arena_printf(b->arena, "%s_least", from->name), .dtype = s->dtype};
	struct expr x[MAX_RANKS];
	for (int i = 0; i < b->plan->ntasks; i++) {
		uint32_t index = b->plan->task[i];
		if (index == b->plan->rows || !build_mentions(b, read, index))
			continue;
		vec_push(b->arena, &phase.task, (struct tile_task){.index = index, .step = 1});
		t.extent[s->n] = build_extent(b, index);
		s->x[s->n++] = at_index(b, index);
	}
	if (along != NO_INDEX) {
		vec_push(b->arena, &phase.task, (struct tile_task){.index = along, .step = 1});
		t.extent[s->n] = b->p->index.v[along].extent;
		s->x[s->n++] = at_index(b, along);
	}
	t.extent[s->n] = granules(b);
	s->x[s->n++] = at_index(b, b->granule);
	t.nranks = (uint8_t)s->n;
	s->low = build_work_tensor(b, t);
	t.name = arena_printf(b->arena, "%s_greatest", from->name);
	s->high = build_work_tensor(b, t);

	bool constant = false;
	for (int i = 0; i < n.count; i++) {
		struct expr e = expr_operand(&b->c->pool, read, i);
		struct expr same = build_mentions(b, e, b->plan->walked) ? same_in_granule(b, e) : NO_EXPR;
		constant |= same.id != 0;
		x[i] = i == rows_at ? at_index(b, along) : same.id ? same : build_load_expression(b, e);
	}
	if (constant) { /* plan_listable: no other coordinate goes along with the walk */
		uint32_t value = new_value_as(b, from->name, s->dtype, 1, b->granule);
		load(b, &phase.body, value, expr_read(b->p->pool, (enum kind)n.kind, b->tensor[n.symbol], n.count, x));
		for (int high = 0; high < 2; high++)
			store(b, &phase.body, granular_read(b, s, high), build_value(b, value));
		vec_push(b->arena, &b->p->phase, phase);
		return;
	}
	struct tile_block inner = {0};
	uint32_t walked = b->plan->walked, value = new_value_as(b, from->name, s->dtype, 1, walked);
	b->p->value.v[value].capacity[0] = build_padded(b, walked, b->sizes->granule);
	load(b, &inner, value, expr_read(b->p->pool, (enum kind)n.kind, b->tensor[n.symbol], n.count, x));
	for (int high = 0; high < 2; high++) {
		uint32_t v = new_value_as(b, high ? "greatest" : "least", s->dtype, 0, 0);
		reduce(b, &inner, v, high ? REDUCE_MAX : REDUCE_MIN, walked, build_value(b, value));
		store(b, &inner, granular_read(b, s, high), build_value(b, v));
	}
	struct tile_block *each = loop(b, &phase.body, b->granule, 1, whole(b, 0), whole(b, granules(b)));
	*loop(b, each, walked, b->sizes->granule, granule_low(b), plus(b, granule_low(b), b->sizes->granule)) = inner;
	vec_push(b->arena, &b->p->phase, phase);
}

/* The index that stands for a read of the predicate in what bounds say, with its values where the list is made. */
static uint32_t summary_of(struct builder *b, struct expr read)
{
	for (uint32_t i = 0; i < b->summary.n; i++)
		if (expr_same(b->summary.v[i].read, read))
			return b->summary.v[i].index;
	const struct expr_node n = *expr_at(&b->c->pool, read);
	const char *name = b->c->tensor.v[n.symbol].name;
	struct cascade *c = b->c;
	struct summary s = {.read = read, .index = cascade_add_index(c, cascade_fresh_index(c, "of"), 0)};
	c->index.v[s.index].extent = expr_leaf(&c->pool, OP_INDEX, KIND_INT, s.index);
	bool walks = build_mentions(b, read, b->plan->walked);
	int rows_at = -1;
	for (int i = 0; i < n.count; i++)
		if (build_mentions(b, expr_operand(&c->pool, read, i), b->plan->rows))
			rows_at = i;
	struct range rows = {NO_EXPR, NO_EXPR};
	uint32_t along = NO_INDEX;
	if (rows_at >= 0 && walks) {
		int64_t extent = 0;
		cascade_extent(c, c->tensor.v[n.symbol].extent[rows_at], &extent);
		rows = ends_of(b, expr_operand(&c->pool, read, rows_at), extent);
		along = new_index(b, arena_printf(b->arena, "%s_at", c->index.v[b->plan->rows].name), extent);
	}
	bool real = n.kind == KIND_REAL;
	struct granular g = {.dtype = real ? b->p->compute : DTYPE_I32};
	if (walks)
		summary_phase(b, read, rows_at, along, &g);
	s.low = new_value_as(b, arena_printf(b->arena, "%s_min", name), g.dtype, walks, b->granule);
	s.high = new_value_as(b, arena_printf(b->arena, "%s_max", name), g.dtype, walks, b->granule);
	for (int high = 0; high < 2; high++) {
		uint32_t v = high ? s.high : s.low;
		struct expr from = walks ? granular_read(b, &g, high) : NO_EXPR;
		if (!walks) {
			reduce(b, b->task_code, v, high ? REDUCE_MAX : REDUCE_MIN, b->plan->rows,
			       build_value(b, build_load(b, read, NO_INDEX)));
		} else if (along == NO_INDEX) {
			load(b, b->task_code, v, from);
		} else {
			uint32_t one = new_value_as(b, arena_printf(b->arena, "%s_one", name), g.dtype, 1, b->granule);
			double none = real ? (double)INFINITY : INT32_MAX;
			build_map(b, b->task_code, v, expr_number(b->p->pool, !high ? none : real ? -none : INT32_MIN));
			struct tile_block *each = loop(b, b->task_code, along, 1, build_load_expression(b, rows.low),
			                               plus(b, build_load_expression(b, rows.high), 1));
			load(b, each, one, from);
			build_map(b, each, v,
			          expr2(b->p->pool, high ? OP_MAX : OP_MIN, build_value(b, v), build_value(b, one)));
		}
	}
	vec_push(b->arena, &b->summary, s);
	return s.index;
}

static struct expr summarise_node(struct expr_pool *p, struct expr e, void *context)
{
	struct builder *b = context;
	const struct expr_node n = *expr_at(p, e);
	if (n.op != OP_READ || (!build_mentions(b, e, b->plan->rows) && !build_mentions(b, e, b->plan->walked)) ||
	    !plan_listable(b->all, b->plan, e))
		return e;
	struct expr of = expr_leaf(p, OP_INDEX, n.kind == KIND_REAL ? KIND_REAL : KIND_INT, summary_of(b, e));
	return n.kind == KIND_BOOL ? expr2(p, OP_LE, expr_number(p, 1), of) : of;
}

static struct expr summarised(struct builder *b, struct expr predicate)
{
	return predicate.id ? expr_rewrite(&b->c->pool, predicate, summarise_node, b) : predicate;
}

/* ---- the list ---- */

struct expr build_granule_end(struct builder *b, bool high)
{
	struct expr_pool *p = b->p->pool;
	struct expr size = expr_number(p, (double)b->sizes->granule),
	            low = expr2(p, OP_MUL, expr_leaf(p, OP_INDEX, KIND_INT, b->granule), size);
	return !high ? low
	             : expr2(p, OP_SUB,
	                     expr2(p, OP_MIN, expr_number(p, (double)build_extent(b, b->plan->walked)),
	                           expr2(p, OP_ADD, low, size)),
	                     expr_number(p, 1));
}


/* Of a run, beside where it ends; the last one and those after it say which blocks of rows see it: SOME + blocks of a task ·
 * the first + the last. A granule's class is its kind plus 1, or 0: it is empty. */
enum { PARTIAL, FULL, SOME };

static int64_t blocks_apart(const struct builder *b)
{
	return b->sizes->granule_rows ? b->sizes->row_tile / b->sizes->granule_rows : 1;
}

static int64_t kinds(const struct builder *b)
{
	int64_t n = blocks_apart(b);
	return SOME + (n > 1 ? n * n : 0);
}

/* Which indices are ranges: all but the tasks' single coordinates. */
static int ranged(struct builder *b, uint32_t **index)
{
	int n = 0;
	*index = arena_new_array(b->arena, b->c->index.n, uint32_t);
	for (uint32_t i = 0; i < b->c->index.n; i++)
		if (!build_is_task(b->plan, i))
			(*index)[n++] = i;
	return n;
}

/* Over the program's pool. */
static struct expr class_of(struct builder *b)
{
	struct expr_pool *c = &b->c->pool, *p = b->p->pool;
	struct expr present = summarised(b, b->stream->present), all = expr_number(c, 1);
	uint32_t *index;
	for (uint32_t i = 0; i < b->stream->carry.n; i++) {
		struct expr one = summarised(b, build_presence(b, b->stream->carry.v[i].equation));
		all = one.id ? expr2(c, OP_AND, all, one) : all;
	}
	int n = ranged(b, &index);
	struct expr full = bounds_full(b->c, all, index, n), empty = bounds_empty(b->c, present, index, n);
	build_forget(b);
	struct expr of = expr3(p, OP_SELECT, build_translate(b, full), whole(b, FULL + 1), whole(b, PARTIAL + 1));
	return expr3(p, OP_SELECT, build_translate(b, empty), whole(b, 0), of);
}

/* The class of what is partial by the blocks of rows that see some of it. What no block sees is empty after all: a block's
 * least and greatest values are closer. */
static void class_by_blocks(struct builder *b, struct tile_block *code, uint32_t class, struct range some_granules)
{
	struct expr_pool *p = b->p->pool;
	const int64_t n = blocks_apart(b), size = b->sizes->granule_rows;
	const uint32_t rows = b->plan->rows;
	uint32_t first = new_value(b, "first_rows", 1, b->granule), last = new_value(b, "last_rows", 1, b->granule), *index, kept = 0;
	struct tile_block loads = {0};
	build_map(b, code, first, whole(b, n));
	build_map(b, code, last, whole(b, 0));
	for (uint32_t i = 0; i < b->summary.n; i++) /* what granules hold is known; of the rows, of all of them */
		if (build_mentions(b, b->summary.v[i].read, b->plan->walked))
			b->summary.v[kept++] = b->summary.v[i];
	b->summary.n = kept;
	b->task_code = b->step_code = &loads;
	struct expr present = summarised(b, b->stream->present);
	int indices = ranged(b, &index);
	struct expr empty = bounds_empty(b->c, present, index, indices);
	build_forget(b);
	empty = build_translate(b, empty);
	struct expr at = expr2(p, OP_SUB, low_of(b, rows), times(b, at_index(b, b->list.tile), b->sizes->row_tile));
	at = expr2(p, OP_IDIV, at, whole(b, size));
	struct tile_block *each = loop(b, code, rows, size, low_of(b, rows), plus(b, expr_leaf(p, OP_HIGH, KIND_INT, rows), 1));
	build_append(b, each, &loads);
	struct tile_statement narrow = {.kind = TILE_NARROW, .index = b->granule, .step = isa_info[b->schedule->isa].lanes};
	narrow.low = some_granules.low;
	narrow.high = some_granules.high;
	vec_push(b->arena, &each->statement, narrow);
	struct expr least = expr2(p, OP_MIN, build_value(b, first), at);
	build_map(b, each, first, expr3(p, OP_SELECT, empty, build_value(b, first), least));
	build_map(b, each, last, expr3(p, OP_SELECT, empty, build_value(b, last), at));
	struct expr some = expr2(p, OP_ADD, times(b, build_value(b, first), n), build_value(b, last));
	struct expr all = expr2(p, OP_EQ, some, whole(b, n - 1));
	struct expr of = expr3(p, OP_SELECT, all, whole(b, PARTIAL + 1), plus(b, some, SOME + 1));
	of = expr3(p, OP_SELECT, expr2(p, OP_LT, build_value(b, last), build_value(b, first)), whole(b, 0), of);
	struct expr partial = expr2(p, OP_EQ, build_value(b, class), whole(b, PARTIAL + 1));
	build_map(b, code, class, expr3(p, OP_SELECT, partial, of, build_value(b, class)));
}

/* Does anything that is said of tiles depend on a task coordinate? */
static bool depends(struct builder *b, uint32_t index)
{
	bool yes = build_mentions(b, b->stream->present, index);
	for (uint32_t i = 0; i < b->stream->carry.n; i++) {
		struct expr one = build_presence(b, b->stream->carry.v[i].equation);
		yes |= one.id && build_mentions(b, one, index);
	}
	return yes;
}

struct scan {
	struct tile_block *code;
	uint32_t at, last; /* values: runs so far, class of the granule before */
};

/* runs[…, at] = e, in a block of its own. */
static void put(struct builder *b, struct tile_block *code, const struct scan *s, uint32_t tensor, struct expr e)
{
	struct tile_block *one = loop(b, code, b->list.run, 1, build_value(b, s->at), plus(b, build_value(b, s->at), 1));
	store(b, one, expr_read(b->p->pool, KIND_INT, tensor, b->list.n + 1, b->list.x), e);
}

/* Ends the run before granule `at`, if there is one. */
static void end_run(struct builder *b, struct tile_block *code, const struct scan *s, struct expr at)
{
	struct expr_pool *p = b->p->pool;
	struct expr last = build_value(b, s->last);
	struct tile_block *open = when(b, code, expr2(p, OP_NE, last, whole(b, 0)));
	put(b, open, s, b->list.upto, plus(b, expr2(p, OP_ADD, times(b, at, kinds(b)), last), -1));
	build_map(b, open, s->at, plus(b, build_value(b, s->at), 1));
}

/* Classifies what is not empty by blocks of rows, joins granules of one class to runs, and stores them. */
static void scan(struct builder *b, struct tile_block *code, uint32_t class)
{
	struct expr_pool *p = b->p->pool;
	struct scan s = {code, new_value(b, "runs", 0, 0), new_value(b, "before", 0, 0)};
	uint32_t first = new_value(b, "first", 0, 0), end = new_value(b, "end", 0, 0), now = new_value(b, "now", 0, 0);
	struct expr some = expr2(p, OP_NE, build_value(b, class), whole(b, 0)), g = at_index(b, b->granule);
	reduce(b, code, first, REDUCE_MIN, b->granule, expr3(p, OP_SELECT, some, g, whole(b, granules(b))));
	reduce(b, code, end, REDUCE_MAX, b->granule, expr3(p, OP_SELECT, some, plus(b, g, 1), whole(b, 0)));
	if (blocks_apart(b) > 1)
		class_by_blocks(b, code, class, (struct range){build_value(b, first), build_value(b, end)});
	build_map(b, code, s.at, whole(b, 0));
	build_map(b, code, s.last, whole(b, 0));
	struct tile_block *each = loop(b, code, b->granule, 1, build_value(b, first), build_value(b, end));
	build_map(b, each, now, build_value(b, class));
	struct tile_block *moved = when(b, each, expr2(p, OP_NE, build_value(b, now), build_value(b, s.last)));
	end_run(b, moved, &s, g);
	put(b, when(b, moved, expr2(p, OP_NE, build_value(b, now), whole(b, 0))), &s, b->list.from, g);
	build_map(b, moved, s.last, build_value(b, now));
	end_run(b, code, &s, build_value(b, end));
	store(b, code, expr_read(p, KIND_INT, b->list.count, b->list.n, b->list.x), build_value(b, s.at));
	if (!b->sizes->heavy_first)
		return;
	uint32_t work = new_value(b, "work", 0, 0);
	reduce(b, code, work, REDUCE_SUM, b->granule, expr3(p, OP_SELECT, some, whole(b, 1), whole(b, 0)));
	struct expr share = expr2(p, OP_IDIV, times(b, build_value(b, work), BUCKETS), whole(b, granules(b) + 1));
	store(b, code, expr_read(p, KIND_INT, b->list.work, b->list.n, b->list.x), share);
}

/* ---- the order of tasks ---- */

/* for each tile: what it has to do, in `work`; for the one bucket of as much: its block. */
static struct tile_block *each_bucket(struct builder *b, struct tile_block *code, uint32_t work, uint32_t bucket)
{
	const struct list *l = &b->list;
	struct tile_block *each = loop(b, code, l->tile, 1, whole(b, 0), whole(b, b->p->index.v[l->tile].extent));
	load(b, each, work, expr_read(b->p->pool, KIND_INT, l->work, l->n, l->x));
	return loop(b, each, bucket, 1, build_value(b, work), plus(b, build_value(b, work), 1));
}

/* A phase that sorts a list's tiles by counting: buckets of about as many granules, the fullest first. There are few,
 * and in each the tiles stay in their order, because neighbours read the same keys. */
static void order_phase(struct builder *b)
{
	const char *rows = b->c->index.v[b->plan->rows].name;
	struct list *l = &b->list;
	struct tile_phase phase = {.name = arena_printf(b->arena, "order%u", b->number + 1)};
	uint32_t bucket = new_index(b, arena_printf(b->arena, "%s_work", rows), BUCKETS);
	uint32_t work = new_value(b, "work", 0, 0), count = new_value(b, "count", 1, bucket),
	         at = new_value(b, "at", 0, 0), here = new_value(b, "here", 0, 0);
	struct expr x[MAX_RANKS];
	for (int i = 0; i < l->n - 1; i++) {
		uint32_t index = expr_at(b->p->pool, l->x[i])->symbol;
		vec_push(b->arena, &phase.task, (struct tile_task){.index = index, .step = 1});
		x[i] = l->x[i];
	}
	x[l->n - 1] = at_index(b, l->turn);
	build_map(b, &phase.body, count, whole(b, 0));
	struct tile_block *one = each_bucket(b, &phase.body, work, bucket);
	build_map(b, one, count, plus(b, build_value(b, count), 1));
	build_map(b, &phase.body, at, whole(b, 0)); /* from how many to where they begin */
	struct tile_block *each = loop(b, &phase.body, bucket, 1, whole(b, 0), whole(b, BUCKETS));
	phase.body.statement.v[phase.body.statement.n - 1].down = true;
	build_map(b, each, here, build_value(b, count));
	build_map(b, each, count, build_value(b, at));
	build_map(b, each, at, expr2(b->p->pool, OP_ADD, build_value(b, at), build_value(b, here)));
	one = each_bucket(b, &phase.body, work, bucket);
	build_map(b, one, here, build_value(b, count));
	struct tile_block *place = loop(b, one, l->turn, 1, build_value(b, here), plus(b, build_value(b, here), 1));
	store(b, place, expr_read(b->p->pool, KIND_INT, l->order, l->n, x), at_index(b, l->tile));
	build_map(b, one, count, plus(b, build_value(b, here), 1));
	vec_push(b->arena, &b->p->phase, phase);
}

struct expr build_order(struct builder *b)
{
	struct list *l = &b->list;
	struct expr x[MAX_RANKS];
	for (int i = 0; i < l->n - 1; i++)
		x[i] = l->x[i];
	x[l->n - 1] = at_index(b, l->turn);
	return expr_read(b->p->pool, KIND_INT, l->order, l->n, x);
}

static uint32_t list_tensor(struct builder *b, struct tile_tensor t, const char *what, int ranks)
{
	t.name = arena_printf(b->arena, "%s_%s", b->c->index.v[b->plan->walked].name, what);
	t.nranks = (uint8_t)ranks;
	return build_work_tensor(b, t);
}

void build_list(struct builder *b)
{
	const char *walked = b->c->index.v[b->plan->walked].name, *rows = b->c->index.v[b->plan->rows].name;
	struct list *l = &b->list;
	struct tile_tensor t = {.dtype = DTYPE_I32};
	struct tile_phase phase = {.name = arena_printf(b->arena, "list%u", b->number + 1)};
	int64_t tile = b->sizes->row_tile, tiles = (build_extent(b, b->plan->rows) + tile - 1) / tile;
	*l = (struct list){0};
	b->granule = new_index(b, arena_printf(b->arena, "%s_granule", walked), granules(b));
	l->run = new_index(b, arena_printf(b->arena, "%s_run", walked), granules(b));
	l->tile = new_index(b, arena_printf(b->arena, "%s_tile", rows), tiles);
	for (int i = 0; i < b->plan->ntasks; i++) {
		uint32_t index = b->plan->task[i];
		if (index == b->plan->rows || !depends(b, index))
			continue;
		vec_push(b->arena, &phase.task, (struct tile_task){.index = index, .step = 1});
		t.extent[l->n] = build_extent(b, index);
		l->x[l->n++] = at_index(b, index);
	}
	vec_push(b->arena, &phase.task, (struct tile_task){.index = l->tile, .step = 1});
	t.extent[l->n] = tiles;
	l->x[l->n++] = at_index(b, l->tile);
	t.extent[l->n] = granules(b);
	l->x[l->n] = at_index(b, l->run);
	l->count = list_tensor(b, t, "runs", l->n);
	l->from = list_tensor(b, t, "from", l->n + 1);
	l->upto = list_tensor(b, t, "upto", l->n + 1);
	if (b->sizes->heavy_first) {
		l->turn = new_index(b, arena_printf(b->arena, "%s_turn", rows), tiles);
		l->work = list_tensor(b, t, "work", l->n);
		l->order = list_tensor(b, t, "order", l->n);
	}

	struct tile_block loads = {0}, code = {0};
	b->task_code = b->step_code = &loads;
	struct expr class = class_of(b);
	uint32_t value = new_value(b, "class", 1, b->granule);
	build_map(b, &code, value, class);
	scan(b, &code, value);
	struct expr low = times(b, at_index(b, l->tile), tile);
	struct tile_block *inner = loop(b, &phase.body, b->plan->rows, tile, low, plus(b, low, tile));
	build_append(b, inner, &loads);
	build_append(b, inner, &code);
	vec_push(b->arena, &b->p->phase, phase);
	if (b->sizes->heavy_first)
		order_phase(b);
	b->before.n = b->step.n = b->inside.n = b->summary.n = 0;
	b->granule = NO_INDEX;
	build_forget(b);
}

/* The list's tensors at the current rows and run. */
static struct expr entry(struct builder *b, uint32_t tensor, bool run)
{
	const struct list *l = &b->list;
	struct expr x[MAX_RANKS];
	for (int i = 0; i < l->n; i++)
		x[i] = l->x[i];
	x[l->n - 1] = expr2(b->p->pool, OP_IDIV, low_of(b, b->plan->rows), whole(b, b->sizes->row_tile));
	x[l->n] = l->x[l->n];
	return expr_read(b->p->pool, KIND_INT, tensor, l->n + run, x);
}

struct tile_statement build_runs(struct builder *b, struct run *run)
{
	struct expr_pool *p = b->p->pool;
	uint32_t count = new_value(b, "runs", 0, 0), from = new_value(b, "run_from", 0, 0), upto = new_value(b, "run_upto", 0, 0);
	load(b, b->task_code, count, entry(b, b->list.count, false));
	struct tile_statement runs = {.kind = TILE_FOR, .index = b->list.run, .step = 1, .down = b->sizes->down,
	                              .low = whole(b, 0), .high = build_value(b, count)};
	load(b, &runs.body, from, entry(b, b->list.from, true));
	load(b, &runs.body, upto, entry(b, b->list.upto, true));
	run->at.low = times(b, build_value(b, from), b->sizes->granule);
	run->at.high = expr2(p, OP_MIN, whole(b, build_extent(b, b->plan->walked)),
	                     times(b, expr2(p, OP_IDIV, build_value(b, upto), whole(b, kinds(b))), b->sizes->granule));
	struct expr kind = expr2(p, OP_MOD, build_value(b, upto), whole(b, kinds(b)));
	run->full = expr2(p, OP_EQ, kind, whole(b, FULL));
	const int64_t n = blocks_apart(b), size = b->sizes->granule_rows;
	if (n < 2)
		return runs;
	struct expr some = plus(b, kind, -SOME), low = low_of(b, b->plan->rows);
	struct expr last = expr2(p, OP_MOD, some, whole(b, n));
	run->some = expr2(p, OP_LE, whole(b, SOME), kind);
	run->rows.low = expr2(p, OP_ADD, low, times(b, expr2(p, OP_IDIV, some, whole(b, n)), size));
	run->rows.high = expr2(p, OP_ADD, low, times(b, plus(b, last, 1), size));
	return runs;
}
