/* Streams × schedule to a tile program: translation of expressions, phases. The body of a walk is in
 * tile_build_body.c. */
#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/whole.h"
#include "codegen/bounds.h"
#include "codegen/build.h"

int64_t build_extent(const struct builder *b, uint32_t index)
{
	int64_t n = 0;
	cascade_extent(b->c, b->c->index.v[index].extent, &n);
	return n;
}

static int lanes_of_isa(const struct builder *b)
{
	return isa_info[b->schedule->isa].lanes;
}

static bool name_taken(const struct tile_program *p, const char *name)
{
	for (uint32_t i = 0; i < p->value.n; i++)
		if (!strcmp(p->value.v[i].name, name))
			return true;
	for (uint32_t i = 0; i < p->index.n; i++)
		if (!strcmp(p->index.v[i].name, name))
			return true;
	for (uint32_t i = 0; i < p->tensor.n; i++)
		if (!strcmp(p->tensor.v[i].name, name))
			return true;
	return false;
}

const char *build_name(struct builder *b, const char *stem, bool lower)
{
	char *name = arena_strdup(b->arena, stem);
	for (char *s = name; *s && lower; s++)
		*s = (char)tolower((unsigned char)*s);
	const char *try = name;
	for (int i = 2; name_taken(b->p, try); i++)
		try = arena_printf(b->arena, "%s_%d", name, i);
	return try;
}

/* The last rank is padded to whole panels of the contractions that have it in their lanes. */
int64_t build_padded(const struct builder *b, uint32_t index, int64_t capacity)
{
	int64_t unit = lanes_of_isa(b);
	for (int k = 0; b->plan && k < b->plan->ncontracts; k++)
		if (index == (b->across ? b->plan->contract[k].rows : b->plan->contract[k].lanes)) {
			int64_t width = b->sizes->contract[k].lanes * lanes_of_isa(b);
			if (width > unit)
				unit = width;
		}
	return round_up(capacity < 1 ? 1 : capacity, unit);
}

bool build_shares_wide(const struct builder *b)
{
	return b->sizes->wide_tile && b->sizes->wide_tile < build_extent(b, b->plan->wide);
}

uint32_t build_new_value(struct builder *b, const char *stem, enum dtype dtype, const uint32_t *index, int n,
                         int64_t rows)
{
	struct tile_value v = {.name = build_name(b, stem, true), .dtype = dtype, .nranks = (uint8_t)n};
	if (b->device && b->plan->rows != NO_INDEX) { /* as many warps as there are rows for */
		int64_t all = round_up(build_extent(b, b->plan->rows), DEVICE_WARP_ROWS);
		rows = rows < all ? rows : all;
	}
	for (int i = 0; i < n; i++) {
		v.index[i] = index[i];
		int64_t whole = index[i] == b->plan->rows     ? rows
		                : index[i] == b->plan->walked ? b->sizes->stream_tile
		                : build_shares_wide(b) && index[i] == b->plan->wide ? b->sizes->wide_tile
		                                                                    : build_extent(b, index[i]);
		bool row = index[i] == b->plan->rows;
		v.capacity[i] = i == n - 1 && !(row && n == 1) ? build_padded(b, index[i], whole)
		                : whole < 1                    ? 1
		                                               : whole;
	}
	vec_push(b->arena, &b->p->value, v);
	return b->p->value.n - 1;
}

void build_map(struct builder *b, struct tile_block *code, uint32_t value, struct expr e)
{
	vec_push(b->arena, &code->statement,
	         (struct tile_statement){.kind = TILE_MAP, .value = value, .expression = e});
}

struct expr build_value(struct builder *b, uint32_t v)
{
	enum kind kind = dtype_info[b->p->value.v[v].dtype].integer ? KIND_INT : KIND_REAL;
	return expr_leaf(b->p->pool, OP_VALUE, kind, v);
}

uint32_t build_work_tensor(struct builder *b, struct tile_tensor t)
{
	t.name = build_name(b, t.name, false);
	t.place = PLACE_WORK;
	vec_push(b->arena, &b->p->tensor, t);
	return b->p->tensor.n - 1;
}

bool build_is_task(const struct stream_plan *p, uint32_t index)
{
	for (int i = 0; i < p->ntasks; i++)
		if (p->task[i] == index && index != p->rows)
			return true;
	return false;
}

/* ---- translation ---- */

void build_forget(struct builder *b)
{
	b->memos = b->c->pool.node.n;
	b->memo = arena_new_array(b->arena, b->memos, struct expr);
}

static struct expr extent_number(struct builder *b, uint32_t rank)
{
	return expr_number(b->p->pool, (double)b->c->rank.v[rank].extent);
}

struct expr build_load_expression(struct builder *b, struct expr e)
{
	if (!e.id)
		return e;
	const struct expr_node n = *expr_at(&b->c->pool, e);
	switch (n.op) {
	case OP_CONST: return expr_number(b->p->pool, n.number);
	case OP_EXTENT: return extent_number(b, n.symbol);
	case OP_LOW:
	case OP_HIGH:
		if (build_is_summary(b, n.symbol))
			return build_summary(b, n.symbol, n.op == OP_HIGH);
		if (b->granule != NO_INDEX && n.symbol == b->plan->walked)
			return build_granule_end(b, n.op == OP_HIGH);
		return expr_leaf(b->p->pool, (enum op)n.op, KIND_INT, n.symbol);
	case OP_INDEX: return expr_leaf(b->p->pool, OP_INDEX, KIND_INT, n.symbol);
	default: break;
	}
	struct expr x[MAX_RANKS];
	for (int i = 0; i < n.count; i++)
		x[i] = build_load_expression(b, expr_operand(&b->c->pool, e, i));
	if (n.op == OP_READ)
		return expr_read(b->p->pool, (enum kind)n.kind, b->tensor[n.symbol], n.count, x);
	if (n.op == OP_ELSE) {
		struct expr present = cascade_presence_of(b->c, expr_operand(&b->c->pool, e, 0));
		return present.id ? expr3(b->p->pool, OP_SELECT, build_load_expression(b, present), x[0], x[1]) : x[0];
	}
	return expr_make(b->p->pool, (enum op)n.op, n.symbol, n.count, x);
}

struct expr build_presence(struct builder *b, uint32_t equation)
{
	if (!b->presence_known[equation]) {
		b->presence_of[equation] = cascade_presence(b->c, equation);
		b->presence_known[equation] = true;
	}
	return b->presence_of[equation];
}

/* ---- a stream's phase ---- */

struct expr build_masked(struct builder *b, struct expr presence, struct expr x, double absent)
{
	if (!b->partial || !presence.id)
		return x;
	return expr3(b->p->pool, OP_SELECT, build_translate(b, presence), x, expr_number(b->p->pool, absent));
}

void build_append(struct builder *b, struct tile_block *to, const struct tile_block *from)
{
	for (uint32_t i = 0; i < from->statement.n; i++)
		vec_push(b->arena, &to->statement, from->statement.v[i]);
}

struct tile_block build_guarded(struct builder *b, struct expr condition, struct tile_block code)
{
	if (!condition.id)
		return code;
	struct tile_block outer = {0};
	vec_push(b->arena, &outer.statement,
	         (struct tile_statement){.kind = TILE_IF, .expression = condition, .body = code});
	return outer;
}

/* A task coordinate that the equation lacks: its first one. */
struct expr build_once(struct builder *b, const struct equation *q)
{
	struct expr once = NO_EXPR;
	for (int i = 0; i <= b->plan->ntasks + 1; i++) {
		uint32_t index = i < b->plan->ntasks                             ? b->plan->task[i]
		                 : i == b->plan->ntasks && b->in_body            ? b->plan->walked
		                 : i > b->plan->ntasks && build_shares_wide(b) ? b->plan->wide
		                                                                 : NO_INDEX;
		if (index == NO_INDEX || equation_has_index(q, index))
			continue;
		struct expr first = expr2(b->p->pool, OP_EQ, expr_leaf(b->p->pool, OP_LOW, KIND_INT, index),
		                          expr_number(b->p->pool, 0));
		once = once.id ? expr2(b->p->pool, OP_AND, once, first) : first;
	}
	return once;
}

/* Stores T[index] = e, once. */
static void store(struct builder *b, struct tile_block *code, const struct equation *q, struct expr e)
{
	struct expr x[MAX_RANKS];
	e = build_turned(b, code, q->index, q->nindex, e);
	for (int i = 0; i < q->nindex; i++)
		x[i] = expr_leaf(b->p->pool, OP_INDEX, KIND_INT, q->index[i]);
	struct tile_statement s = {.kind = TILE_STORE,
	                           .expression = e,
	                           .target = expr_read(b->p->pool, (enum kind)expr_at(b->p->pool, e)->kind,
	                                               b->tensor[q->tensor], q->nindex, x)};
	struct tile_block one = {0};
	vec_push(b->arena, &one.statement, s);
	one = build_guarded(b, build_once(b, q), one);
	build_append(b, code, &one);
}

static void put_last(uint32_t *index, int n, uint32_t last)
{
	for (int k = 0; k + 1 < n; k++)
		if (index[k] == last) {
			index[k] = index[k + 1];
			index[k + 1] = last;
		}
}

/* A value's indices in the order that values have here. */
static void rows_last(const struct builder *b, uint32_t *index, int n)
{
	if (b->across)
		put_last(index, n, b->plan->rows);
}

/* A finished or pointwise equation: kept as a value when others read it here, stored when memory wants it. */
static void build_pointwise(struct builder *b, struct tile_block *code, uint32_t equation, bool read_here)
{
	const struct equation *q = &b->c->equation.v[equation];
	struct expr presence = build_presence(b, equation), e = build_translate(b, q->body);
	struct expr absent = q->otherwise.id ? build_translate(b, q->otherwise) : expr_number(b->p->pool, 0);
	if (read_here) {
		uint32_t index[MAX_RANKS];
		int n = 0;
		for (int i = 0; i < q->nindex; i++)
			if (!build_is_task(b->plan, q->index[i]))
				index[n++] = q->index[i];
		rows_last(b, index, n);
		uint32_t v = build_new_value(b, b->c->tensor.v[q->tensor].name, b->p->compute, index, n,
		                             build_after_rows(b));
		build_map(b, code, v, e);
		b->running[q->tensor] = b->fresh[q->tensor] = v;
		e = build_value(b, v);
	}
	if (!stream_stores(b->all, b->number, equation))
		return;
	if (presence.id)
		e = expr3(b->p->pool, OP_SELECT, build_translate(b, presence), e, absent);
	store(b, code, q, e);
}

static bool read_by_later_after(const struct builder *b, uint32_t from)
{
	uint32_t t = b->c->equation.v[b->stream->after.v[from]].tensor;
	for (uint32_t i = from + 1; i < b->stream->after.n; i++)
		if (expr_mentions(&b->c->pool, b->c->equation.v[b->stream->after.v[i]].body, OP_READ, t))
			return true;
	return false;
}

void build_after(struct builder *b, struct tile_block *code)
{
	b->partial = true;
	if (b->device) /* what only these need is in no register during the walk */
		b->task_code = code;
	build_forget(b);
	for (uint32_t i = 0; i < b->stream->carry.n; i++) {
		uint32_t equation = b->stream->carry.v[i].equation;
		const struct equation *q = &b->c->equation.v[equation];
		if (stream_stores(b->all, b->number, equation))
			store(b, code, q,
			      build_translate(b, cascade_read(b->c, q->tensor, q->index, q->nindex)));
	}
	for (uint32_t i = 0; i < b->stream->after.n; i++)
		build_pointwise(b, code, b->stream->after.v[i], read_by_later_after(b, i));
}

static int64_t panel_of(const struct builder *b)
{
	return schedule_panel(b->plan, b->sizes, b->schedule->isa);
}

static struct expr clip(struct builder *b, struct expr e, bool high)
{
	int64_t extent = build_extent(b, b->plan->walked);
	struct expr_pool *p = b->p->pool;
	if (!e.id)
		return expr_number(p, high ? (double)extent : 0);
	e = build_translate(b, e);
	return high ? expr2(p, OP_MIN, expr_number(p, (double)extent), e)
	            : expr2(p, OP_MAX, expr_number(p, 0), e);
}

struct tile_block build_class(struct builder *b, bool partial, const struct range *r)
{
	struct tile_block code = {0};
	struct expr_pool *p = b->p->pool;
	b->body = &code;
	b->partial = partial;
	b->inside.n = 0;
	build_forget(b);
	bool narrows = partial && !b->device && b->sizes->sparsity != SPARSITY_MASK && (r->low.id || r->high.id);
	if (narrows) {
		struct tile_statement narrow = {
		        .kind = TILE_NARROW, .index = b->plan->walked, .step = panel_of(b)};
		narrow.low = r->low.id ? clip(b, r->low, false) : expr_number(p, 0);
		narrow.high = clip(b, r->high, true);
		vec_push(b->arena, &code.statement, narrow);
	}
	build_body(b);
	for (uint32_t i = 0; i < b->stream->local.n; i++)
		if (stream_stores(b->all, b->number, b->stream->local.v[i])) {
			const struct equation *q = &b->c->equation.v[b->stream->local.v[i]];
			struct expr e =
			        build_translate(b, cascade_read(b->c, q->tensor, q->index, q->nindex));
			double absent = 0;
			if (q->otherwise.id)
				expr_is_number(&b->c->pool, q->otherwise, &absent);
			store(b, &code, q,
			      build_masked(b, build_presence(b, b->stream->local.v[i]), e, absent));
		}
	if (narrows)
		build_narrow_to_vectors(b, &code);
	b->body = NULL;
	return code;
}

/* What tells a whole tile, on a device, where code for one differs: from there on the range of the walked index
 * has all its coordinates. NO_EXPR where every tile is whole, or none. */
static struct expr whole_tile(struct builder *b, const struct range *r)
{
	int64_t step = b->sizes->stream_tile, extent = build_extent(b, b->plan->walked);
	struct expr_pool *p = b->p->pool;
	if (!b->device || extent < step || (extent % step == 0 && !r->high.id))
		return NO_EXPR;
	struct expr low = expr_leaf(p, OP_LOW, KIND_INT, b->plan->walked);
	return expr2(p, OP_EQ, expr_leaf(p, OP_HIGH, KIND_INT, b->plan->walked),
	             expr2(p, OP_ADD, low, expr_number(p, (double)(step - 1))));
}

struct tile_block build_in_steps(struct builder *b, uint32_t index, int64_t step, struct tile_block code)
{
	struct expr_pool *p = b->p->pool;
	struct expr high = expr2(p, OP_ADD, expr_leaf(p, OP_HIGH, KIND_INT, index), expr_number(p, 1));
	struct tile_block out = {0};
	vec_push(b->arena, &out.statement,
	         (struct tile_statement){.kind = TILE_FOR,
	                                 .index = index,
	                                 .step = step,
	                                 .low = expr_leaf(p, OP_LOW, KIND_INT, index),
	                                 .high = high,
	                                 .body = code});
	return out;
}

/* for each block of rows: code */
static struct tile_block in_blocks(struct builder *b, struct tile_block code)
{
	return b->block ? build_in_steps(b, b->plan->rows, b->block, code) : code;
}

/* What of a partial run all rows of a task walk, or where it says so some blocks of them, one after the other. */
static struct tile_block all_or_some(struct builder *b, const struct run *run, const struct range *inside,
                                     struct tile_block all)
{
	struct tile_statement blocks = {.kind = TILE_FOR,
	                                .index = b->plan->rows,
	                                .step = b->sizes->granule_rows,
	                                .low = run->rows.low,
	                                .high = run->rows.high},
	                      when = {.kind = TILE_IF, .expression = run->some, .other = all};
	struct tile_block out = {0};
	b->apart = b->sizes->granule_rows;
	blocks.body = build_class(b, true, inside);
	b->apart = 0;
	vec_push(b->arena, &when.body.statement, blocks);
	vec_push(b->arena, &out.statement, when);
	return out;
}

/* for walked: step loads; for rows, and coordinates within a task: full or partial body */
static struct tile_statement build_walk(struct builder *b)
{
	struct expr_pool *p = b->p->pool;
	struct tile_block inner = {0}, step_code = {0}, ahead = {0};
	b->step_code = &ahead; /* what the conditions load is there whatever they say */
	bool list = b->sizes->sparsity == SPARSITY_LIST;
	struct range r = build_walk_range(b), inside = build_tile_range(b);
	struct run run = {0};
	struct expr full = list ? NO_EXPR : build_full_condition(b);
	struct tile_statement runs;
	double known = -1;
	if (full.id)
		expr_is_number(&b->c->pool, full, &known);
	if (b->sizes->sparsity == SPARSITY_MASK && known != 1)
		known = 0;

	struct expr occupied = build_occupied_condition(b), condition = whole_tile(b, &r);
	if (b->device && build_extent(b, b->plan->walked) < b->sizes->stream_tile && known < 0)
		known = 0; /* no tile is both whole and full */
	if (list) {
		runs = build_runs(b, &run);
		condition = run.full;
	} else if (known < 0) {
		full = build_translate(b, full);
		condition = condition.id ? expr2(p, OP_AND, full, condition) : full;
	}
	b->step_code = &step_code;
	b->in_body = true;
	b->inner = b->plan->inner;
	if (!condition.id) {
		inner = build_class(b, known == 0, &inside);
	} else {
		struct tile_statement when = {.kind = TILE_IF, .expression = condition};
		when.body = build_class(b, known == 0, &inside);
		when.other = build_class(b, known != 1, &inside);
		if (run.some.id) {
			when.body = in_blocks(b, when.body);
			when.other = all_or_some(b, &run, &inside, in_blocks(b, when.other));
		}
		vec_push(b->arena, &inner.statement, when);
	}
	b->in_body = false;
	b->inner = NO_INDEX;
	struct tile_statement walk = {.kind = TILE_FOR,
	                              .index = b->plan->walked,
	                              .step = b->sizes->sparsity == SPARSITY_TEST && b->sizes->granule
	                                              ? b->sizes->granule
	                                              : b->sizes->stream_tile,
	                              .down = b->sizes->down,
	                              .stages = b->sizes->stages,
	                              .low = clip(b, r.low, false),
	                              .high = clip(b, r.high, true)};
	if (r.low.id) { /* tiles start on a panel; on a device at a multiple of the tile */
		struct expr panel = expr_number(p, (double)(b->device ? b->sizes->stream_tile : panel_of(b)));
		walk.low = expr2(p, OP_MUL, expr2(p, OP_IDIV, walk.low, panel), panel);
	}
	if (list) {
		walk.low = run.at.low;
		walk.high = run.at.high;
	}
	if (b->part != NO_INDEX)
		build_share(b, &walk);
	build_append(b, &walk.body, &step_code);
	if (b->plan->inner != NO_INDEX)
		inner = build_in_steps(b, b->plan->inner, 1, inner);
	if (!run.some.id)
		inner = in_blocks(b, inner);
	build_append(b, &walk.body, &inner);
	struct tile_block guard = build_guarded(b, occupied, walk.body);
	walk.body = ahead;
	build_append(b, &walk.body, &guard);
	if (!list)
		return walk;
	vec_push(b->arena, &runs.body.statement, walk);
	return runs;
}

/* A pure map: no walk carries anything; every coordinate is computed and stored. */
static void build_pure(struct builder *b, struct tile_block *code)
{
	struct tile_block body = {0}, step_code = {0};
	b->body = &body;
	b->step_code = &step_code;
	b->in_body = b->plan->walked != NO_INDEX;
	b->partial = true;
	build_forget(b);
	for (uint32_t i = 0; i < b->stream->after.n; i++)
		build_pointwise(b, &body, b->stream->after.v[i], read_by_later_after(b, i));
	if (!b->in_body) {
		build_append(b, code, &body);
		return;
	}
	struct tile_statement walk = {
	        .kind = TILE_FOR,
	        .index = b->plan->walked,
	        .step = b->sizes->stream_tile,
	        .low = expr_number(b->p->pool, 0),
	        .high = expr_number(b->p->pool, (double)build_extent(b, b->plan->walked))};
	build_append(b, &walk.body, &step_code);
	build_append(b, &walk.body, &body);
	vec_push(b->arena, &code->statement, walk);
	b->in_body = false;
}

void build_identities(struct builder *b, struct tile_block *code)
{
	for (uint32_t i = 0; i < b->stream->carry.n; i++) {
		const struct equation *q = &b->c->equation.v[b->stream->carry.v[i].equation];
		uint32_t index[MAX_RANKS];
		int n = 0;
		for (int k = 0; k < q->nindex; k++)
			if (!build_is_task(b->plan, q->index[k]))
				index[n++] = q->index[k];
		for (int k = 0; k + 1 < n; k++) /* the lanes last */
			if (index[k] == b->plan->wide) {
				index[k] = index[n - 1];
				index[n - 1] = b->plan->wide;
			}
		rows_last(b, index, n);
		const char *name = b->c->tensor.v[q->tensor].name;
		uint32_t v = build_new_value(b, name, b->p->compute, index, n, b->sizes->row_tile);
		b->running[q->tensor] = v;
		build_map(b, code, v, expr_number(b->p->pool, reduction_info[q->reduce].identity));
		if (q->reduce == REDUCE_MEAN || q->reduce == REDUCE_ARGMAX) {
			v = build_new_value(b,
			                    arena_printf(b->arena, "%s_%s", name,
			                                 q->reduce == REDUCE_MEAN ? "count" : "best"),
			                    b->p->compute, index, n, b->sizes->row_tile);
			b->count[q->tensor] = v;
			build_map(b, code, v,
			          expr_number(b->p->pool, q->reduce == REDUCE_MEAN ? 0 : -INFINITY));
		}
	}
}

uint32_t *build_no_values(struct builder *b)
{
	uint32_t *v = arena_new_array(b->arena, b->c->tensor.n + 1, uint32_t);
	memset(v, 0xff, (b->c->tensor.n + 1) * sizeof *v);
	return v;
}

void build_tasks(struct builder *b, struct tile_phase *phase, bool parts)
{
	bool ordered = b->sizes->heavy_first && b->sizes->sparsity == SPARSITY_LIST; /* by what each has to do */
	for (int i = 0; i <= b->plan->ntasks; i++) {
		uint32_t index = i < b->plan->ntasks ? b->plan->task[i] : NO_INDEX;
		bool tiled = index == b->plan->rows;
		if (parts && tiled) { /* without rows, too: NO_INDEX stands last */
			vec_push(b->arena, &phase->task, (struct tile_task){.index = b->part, .step = 1});
			parts = false;
		}
		if (index != NO_INDEX)
			vec_push(b->arena, &phase->task,
			         (struct tile_task){.index = index,
			                            .step = tiled ? b->sizes->row_tile : 1,
			                            .down = tiled && b->sizes->heavy_first && !ordered,
			                            .order = tiled && ordered ? build_order(b) : NO_EXPR});
	}
	if (build_shares_wide(b))
		vec_push(b->arena, &phase->task,
		         (struct tile_task){.index = b->plan->wide, .step = b->sizes->wide_tile});
}

static void build_stream(struct builder *b, uint32_t number)
{
	b->number = number;
	b->stream = &b->all->stream.v[number];
	b->plan = schedule_plan(b->problem, b->schedule, (int)number);
	memset(b->presence_known, 0, b->c->equation.n * sizeof *b->presence_known);
	struct equation *usual = build_by_group(b);
	b->sizes = &b->schedule->stream[number];
	b->running = build_no_values(b);
	b->fresh = build_no_values(b);
	b->factor_of = arena_new_array(b->arena, b->c->tensor.n + 1, struct expr);
	b->count = build_no_values(b);
	b->before.n = b->step.n = b->inside.n = b->summary.n = b->operand.n = 0;
	b->across = b->sizes->across;
	int64_t block = b->plan->ncontracts ? schedule_block(b->sizes, b->schedule->isa) : 0;
	b->block = block && block < b->sizes->row_tile && !b->device ? block : 0;
	build_forget(b);
	build_packs(b);
	b->storage.n = b->parts.n = 0;
	b->single = false;
	b->part = b->granule = b->inner = NO_INDEX;
	if (b->sizes->sparsity == SPARSITY_LIST)
		build_list(b);
	if (b->sizes->split > 1) {
		const char *name = build_name(b, "part", true);
		vec_push(b->arena, &b->p->index, (struct tile_index){name, b->sizes->split});
		b->part = b->p->index.n - 1;
	}

	struct tile_phase phase = {.name = arena_printf(b->arena, "stream%u", number + 1)};
	build_tasks(b, &phase, b->part != NO_INDEX);
	struct tile_block loads = {0}, code = {0};
	b->task_code = &loads;
	if (b->stream->selects) {
		build_selection(b, &code);
	} else if (b->stream->index == NO_INDEX) {
		build_pure(b, &code);
	} else if (build_is_single(b)) {
		build_single(b, &code);
	} else {
		build_identities(b, &code);
		vec_push(b->arena, &code.statement, build_walk(b));
		b->operand.n = 0; /* values of the walk's tiles */
		if (b->part == NO_INDEX)
			build_after(b, &code);
		else
			build_parts(b, &code);
	}
	build_append(b, &phase.body, &loads);
	build_append(b, &phase.body, &code);
	vec_push(b->arena, &b->p->phase, phase);
	if (b->part != NO_INDEX)
		build_join(b);
	memcpy(b->c->equation.v, usual, b->c->equation.n * sizeof *usual);
}

static void declare_tensor(struct builder *b, uint32_t t, enum tile_place place)
{
	const struct tensor *from = &b->c->tensor.v[t];
	struct tile_tensor to = {
	        .name = from->name, .place = place, .role = from->role, .nranks = from->nranks};
	to.dtype = place == PLACE_ARGUMENT || dtype_info[from->dtype].integer ? from->dtype : b->p->compute;
	for (int i = 0; i < from->nranks; i++)
		cascade_extent(b->c, from->extent[i], &to.extent[i]);
	if (place == PLACE_WORK) {
		if (to.dtype == DTYPE_I4) /* tasks would meet in a byte */
			to.dtype = DTYPE_I8;
		b->tensor[t] = build_work_tensor(b, to);
		return;
	}
	vec_push(b->arena, &b->p->tensor, to);
	b->tensor[t] = b->p->tensor.n - 1;
}

struct tile_program *tile_build(struct arena *arena, const struct problem *problem,
                                const struct schedule *schedule)
{
	struct builder b = {.arena = arena,
	                    .problem = problem,
	                    .schedule = schedule,
	                    .device = isa_is_device(schedule->isa)};
	b.all = problem_streams(problem, schedule->form);
	b.c = cascade_clone(arena, b.all->cascade); /* translation makes new expressions */
	struct streams own = *b.all;
	own.cascade = b.c;
	b.all = &own;
	b.p = arena_new(arena, struct tile_program);
	b.p->arena = arena;
	b.p->pool = arena_new(arena, struct expr_pool);
	expr_pool_init(b.p->pool, arena);
	b.p->name = b.c->name;
	b.p->compute = schedule->compute;
	struct text t;
	text_init(&t, arena);
	schedule_print(problem, schedule, &t);
	b.p->schedule = t.s;
	b.tensor = build_no_values(&b);
	b.passes_nan = streams_pass_nan(arena, b.all);
	b.presence_of = arena_new_array(arena, b.c->equation.n + 1, struct expr);
	b.presence_known = arena_new_array(arena, b.c->equation.n + 1, bool);
	for (uint32_t i = 0; i < b.c->index.n; i++)
		vec_push(arena, &b.p->index, (struct tile_index){b.c->index.v[i].name, build_extent(&b, i)});
	for (uint32_t i = 0; i < b.c->tensor.n; i++)
		if (b.c->tensor.v[i].role != ROLE_LOCAL)
			declare_tensor(&b, i, PLACE_ARGUMENT);
	for (uint32_t i = 0; i < b.all->stream.n; i++) {
		const struct stream *s = &b.all->stream.v[i];
		for (uint32_t k = 0; k < stream_equations(s); k++) {
			uint32_t q = stream_equation(s, k);
			uint32_t tensor = b.c->equation.v[q].tensor;
			if (b.tensor[tensor] == NO_VALUE && stream_stores(b.all, i, q))
				declare_tensor(&b, tensor, PLACE_WORK);
		}
	}
	for (uint32_t i = 0; i < b.all->stream.n; i++)
		build_stream(&b, i);
	if (!b.device && schedule->compute == DTYPE_F32)
		build_units(b.p);
	for (uint32_t i = 0; i < b.p->phase.n; i++)
		build_twines(&b, &b.p->phase.v[i].body);
	return b.p;
}
