/* MAP, REDUCE, LOAD and STORE.
 *
 * Over fragments a thread loops over its own rows and lanes, unrolled so that the fragments stay in registers, and
 * neighbours that loop over the same share the loops. Lanes and rows beyond the ends of their ranges are computed like
 * the others, read as 0, left out of reductions, and never stored. A reduction over lanes is joined among the four
 * threads of a row; one over rows among the eight of a lane, then by way of shared memory among the warps.
 *
 * Over shared memory the threads of the block take the elements in turns. */
#include "codegen/cuda.h"

#include <string.h>

static enum kind value_kind(const struct cuda *c, uint32_t value)
{
	return c->e.value[value].integer ? KIND_INT : KIND_REAL;
}

static const char *c_type(enum kind kind)
{
	return kind == KIND_REAL ? "real" : "int";
}

static enum kind stored_kind(const struct cuda *c, uint32_t tensor)
{
	return dtype_info[c->e.program->tensor.v[tensor].dtype].integer ? KIND_INT : KIND_REAL;
}

/* ---- values as leaves ---- */

bool value_at(const struct cuda *c, uint32_t value, const struct fragment_at *at)
{
	const struct cuda_value *v = &c->value[value];
	switch (v->fragment) {
	case FRAGMENT_SCALAR: return true;
	case FRAGMENT_ROWS: return at->group != NULL;
	case FRAGMENT_LANES: return at->columns && at->lanes == v->lanes;
	case FRAGMENT_MATRIX: return at->group && at->columns && at->lanes == v->lanes;
	default: return false;
	}
}

/* "half * 2 + odd", folded where it is known. */
static const char *quarter(const struct cuda *c, const struct fragment_at *at)
{
	long long half, odd;
	bool known = emit_whole_number(at->half, &half);
	if (known && emit_whole_number(at->odd, &odd))
		return arena_printf(c->e.arena, "%lld", 2 * half + odd);
	if (known)
		return half ? arena_printf(c->e.arena, "%lld + %s", 2 * half, at->odd) : at->odd;
	return arena_printf(c->e.arena, "%s * 2 + %s", at->half, at->odd);
}

const char *fragment_element(const struct cuda *c, uint32_t value, const struct fragment_at *at)
{
	struct arena *a = c->e.arena;
	const char *name = c->e.value[value].name;
	switch (c->value[value].fragment) {
	case FRAGMENT_ROWS: return arena_printf(a, "%s[%s][%s]", name, at->group, at->half);
	case FRAGMENT_LANES: return arena_printf(a, "%s[%s][%s]", name, at->columns, at->odd);
	case FRAGMENT_MATRIX:
		return arena_printf(a, "%s[%s][%s][%s]", name, at->group, at->columns, quarter(c, at));
	default: return name;
	}
}

/* Address of a value's element in shared memory at the nest's coordinates. */
static const char *shared_element(struct cuda *c, const struct nest *n, uint32_t value)
{
	const struct tile_value *v = &c->e.program->value.v[value];
	const char *column = "0";
	if (v->nranks) {
		const char *base = value_base(&c->e, value, v->nranks - 1)->low;
		column = nest_coordinate(n, v->index[v->nranks - 1]);
		if (!strcmp(column, base))
			column = "0";
		else if (strcmp(base, "0"))
			column = arena_printf(c->e.arena, "(%s - %s)", column, base);
	}
	return tile_element(c, &c->value[value].tile, NULL, tile_row(n, c, value), column);
}

struct term cuda_value_leaf(struct nest *n, struct expr x)
{
	struct cuda *c = (struct cuda *)n->e;
	uint32_t value = expr_at(c->e.pool, x)->symbol;
	enum kind kind = value_kind(c, value);
	bool vector = n->spread && value_rank(n->e, value, n->across) >= 0;
	if (value_at(c, value, &c->at)) {
		struct term t = {fragment_element(c, value, &c->at), kind, vector, true};
		if (!n->spread || c->value[value].fragment != FRAGMENT_ROWS)
			return t;
		t.bare = false; /* read once a row */
		return nest_bind(n, x, arena_printf(c->e.arena, "%s_%s", c->e.value[value].name,
		                                    c->e.index_name[c->row_index]), t);
	}
	const char *text = tile_get(c, &c->value[value].tile, shared_element(c, n, value));
	if (c->value[value].tile.element == OPERAND_I8 && kind == KIND_REAL)
		text = arena_printf(c->e.arena, "(real)%s", text);
	return nest_bind(n, x, arena_printf(c->e.arena, "%s_0", c->e.value[value].name),
	                 (struct term){text, kind, vector, false});
}

/* ---- nests over fragments ---- */

/* A nest for expressions at a place of the fragments; what does not depend on the lane goes to `row`. */
static struct nest fragment_nest(struct cuda *c, struct c_block *row, struct c_block *body, struct fragment_at at)
{
	struct emitter *e = &c->e;
	struct nest n = {.e = e,
	                 .row = row,
	                 .body = body,
	                 .lane = NO_INDEX,
	                 .spread = at.columns != NULL,
	                 .across = at.columns ? at.lanes : NO_INDEX,
	                 .uses = arena_alloc(e->arena, e->pool->node.n)};
	c->at = at;
	if (at.group)
		n.loop[n.nloops++] = c->row_index;
	if (at.columns)
		n.loop[n.nloops++] = at.lanes;
	return n;
}

/* Declares the row's coordinate in `to`, which stands before `user`, where that mentions it. */
static void declare_row(struct cuda *c, struct c_block *to, const struct c_block *user, const struct fragment_at *at)
{
	struct emitter *e = &c->e;
	const char *low = e->range[c->row_index]->low, *name = e->index_name[c->row_index];
	if (!c_mentions_within(user, name))
		return;
	const char *sum = emit_sum(e, strcmp(low, "0") ? low : "", "warp_row", 1);
	sum = emit_sum(e, sum, at->group, 16);
	sum = emit_sum(e, sum, at->half, 8);
	c_line(e->arena, to, "const int %s = %s + g;", name, sum);
}

static void declare_lane(struct cuda *c, struct c_block *to, const struct c_block *user, const struct fragment_at *at)
{
	struct emitter *e = &c->e;
	const char *low = e->range[at->lanes]->low, *name = e->index_name[at->lanes];
	if (!c_mentions_within(user, name))
		return;
	const char *sum = emit_sum(e, strcmp(low, "0") ? low : "", at->columns, 8);
	c_line(e->arena, to, "const int %s = %s + %s;", name, emit_sum(e, sum, "t", 2), at->odd);
}

/* "n <= n_high", or NULL where all coordinates of these loops are inside. */
static const char *inside_rows(const struct cuda *c)
{
	if (cuda_whole(c, c->row_index, (int64_t)c->warps * c->groups * 16))
		return NULL;
	return arena_printf(c->e.arena, "%s <= %s", c->e.index_name[c->row_index], c->e.range[c->row_index]->high);
}

static const char *inside_lanes(const struct cuda *c, uint32_t lanes, int groups)
{
	if (cuda_whole(c, lanes, (int64_t)groups * 8))
		return NULL;
	return arena_printf(c->e.arena, "%s <= %s", c->e.index_name[lanes], c->e.range[lanes]->high);
}

static const char *both(const struct cuda *c, const char *x, const char *y)
{
	return !x ? y : !y ? x : arena_printf(c->e.arena, "%s && %s", x, y);
}

/* Opens the loop over the thread's rows; gives its place. */
static struct c_block *row_loop(struct cuda *c, struct c_block *b, struct fragment_at *at)
{
	struct emitter *e = &c->e;
	if (c->groups == 1) {
		at->group = "0";
		at->half = plan_name(e, "half");
		c_line(e->arena, b, "AT_UNROLL");
		return c_open(e->arena, b, "for (int %s = 0; %s < 2; %s++)", at->half, at->half, at->half);
	}
	const char *r = plan_name(e, "r");
	at->group = arena_printf(e->arena, "(%s / 2)", r);
	at->half = arena_printf(e->arena, "(%s %% 2)", r);
	c_line(e->arena, b, "AT_UNROLL");
	return c_open(e->arena, b, "for (int %s = 0; %s < %d; %s++)", r, r, 2 * c->groups, r);
}

static struct c_block *lane_loop(struct cuda *c, struct c_block *b, struct fragment_at *at, int groups)
{
	struct emitter *e = &c->e;
	at->columns = plan_name(e, "j");
	at->odd = plan_name(e, "odd");
	c_line(e->arena, b, "AT_UNROLL");
	b = c_open(e->arena, b, "for (int %s = 0; %s < %d; %s++)", at->columns, at->columns, groups, at->columns);
	c_line(e->arena, b, "AT_UNROLL");
	return c_open(e->arena, b, "for (int %s = 0; %s < 2; %s++)", at->odd, at->odd, at->odd);
}

static void add_guard(struct nest *n, uint32_t index, const char *inside)
{
	if (!inside)
		return;
	n->guard[n->guards].index = index;
	n->guard[n->guards++].inside = inside;
}

/* ---- reductions ---- */

struct fold {
	enum kind kind; /* of the accumulator: BOOL for any and all */
	const char *name, *accumulator;
	double factor; /* of the result; 0: none */
};

static struct fold fold_of(struct cuda *c, const struct tile_statement *s)
{
	bool logical = s->reduce == REDUCE_ANY || s->reduce == REDUCE_ALL;
	return (struct fold){.kind = logical ? KIND_BOOL : value_kind(c, s->value),
	                     .name = reduction_info[s->reduce].spelling,
	                     .accumulator = plan_name(&c->e, arena_printf(c->e.arena, "%s_%s", c->e.value[s->value].name,
	                                                                  reduction_info[s->reduce].spelling))};
}

static const char *fold_prefix(const struct fold *f)
{
	return f->kind == KIND_REAL ? "s" : "i";
}

static const char *fold_identity(struct cuda *c, const struct fold *f, enum reduction r)
{
	double x = reduction_info[r].identity;
	if (f->kind == KIND_INT && (x - x) != 0)
		return x < 0 ? "INT_LEAST" : "INT_MOST";
	return emit_number(&c->e, x, f->kind);
}

static void fold_begin(struct cuda *c, struct c_block *b, const struct fold *f, enum reduction r)
{
	c_line(c->e.arena, b, "%s %s = %s;", c_type(f->kind), f->accumulator,
	       emit_strip(&c->e, fold_identity(c, f, r)));
}

/* `live`: the condition that the element counts, or NULL. */
static void fold_step(struct cuda *c, struct c_block *b, const struct fold *f, enum reduction r, const char *x,
                      const char *live)
{
	if (live)
		x = arena_printf(c->e.arena, "%s_select(%s, %s, %s)", fold_prefix(f), live, emit_strip(&c->e, x),
		                 emit_strip(&c->e, fold_identity(c, f, r)));
	c_line(c->e.arena, b, "%s = %s_fold_%s(%s, %s);", f->accumulator, fold_prefix(f), f->name, f->accumulator,
	       emit_strip(&c->e, x));
}

/* The accumulators of the threads that share a row ("quad") or a lane ("column"), joined. */
static const char *fold_across(struct cuda *c, const struct fold *f, const char *threads)
{
	return arena_printf(c->e.arena, "%s_%s_%s(%s)", fold_prefix(f), threads, f->name, f->accumulator);
}

/* A folded number as the value's kind. */
static const char *fold_result(struct nest *n, const struct fold *f, const char *folded, enum kind kind)
{
	if (f->factor != 0)
		return arena_printf(n->e->arena, "(%s * %s)", folded, emit_number(n->e, f->factor, KIND_REAL));
	return nest_convert(n, (struct term){folded, f->kind, false, folded == f->accumulator}, kind, false).text;
}

/* ---- over fragments ---- */

static void assign_element(struct nest *n, uint32_t value, const char *text, bool vector)
{
	struct cuda *c = (struct cuda *)n->e;
	enum kind kind = value_kind(c, value);
	struct c_block *b = vector ? n->body : n->row;
	const char *name = c->e.value[value].name;
	if (c->e.value[value].memory || c->value[value].shared) {
		name = fragment_element(c, value, &c->at);
		c_line(c->e.arena, b, "%s = %s;", name, emit_strip(&c->e, text));
	} else {
		name = nest_temporary(n, b, name, (struct term){text, kind, vector, false});
	}
	nest_assign(n, value, (struct term){name, kind, vector, true});
}

/* Only one thread stores what several have. */
static const char *storing(const struct cuda *c, const struct cuda_loops *l)
{
	const char *inside = NULL;
	if (l->rows)
		inside = inside_rows(c);
	if (l->lanes != NO_INDEX)
		inside = both(c, inside, inside_lanes(c, l->lanes, l->lane_groups));
	if (l->rows)
		return l->lanes == NO_INDEX ? both(c, inside, "t == 0") : inside;
	return both(c, inside, l->lanes == NO_INDEX ? "thread == 0" : "warp == 0 && g == 0");
}

static void store_element(struct nest *n, const struct tile_statement *s, struct expr x, const char *condition)
{
	struct cuda *c = (struct cuda *)n->e;
	uint32_t tensor = expr_at(c->e.pool, s->target)->symbol;
	enum kind kind = stored_kind(c, tensor);
	struct c_block *b = n->body;
	const char *text = nest_text(n, x, kind, false);
	const char *to = nest_address(n, s->target, NULL);
	if (condition)
		b = c_open(c->e.arena, b, "if (%s)", condition);
	c_line(c->e.arena, b, "s%s_put_%s(%s, %s);", kind == KIND_REAL ? "" : "i", c->e.tensor[tensor].get, to,
	       emit_strip(&c->e, text));
}

static void count_uses(struct nest *n, const struct tile_statement *s, struct expr x)
{
	nest_count(n, x);
	if (s->kind == TILE_STORE)
		nest_count(n, s->target);
}

static void emit_fragments(struct cuda *c, struct c_block *b, const struct tile_statement *const *s, int count,
                           const struct cuda_loops *l)
{
	struct emitter *e = &c->e;
	struct fragment_at at = {.lanes = NO_INDEX};
	struct fold fold[MAX_GROUP] = {{0}};
	struct expr x[MAX_GROUP];
	bool lanes = l->lanes != NO_INDEX;
	struct c_block *row = l->rows ? row_loop(c, b, &at) : lanes ? c_group(e->arena, b) : b;
	struct c_block *coordinates = c_group(e->arena, row), *before = c_group(e->arena, row), *body = row,
	               *lane_coordinate = NULL;
	for (int k = 0; k < count; k++) {
		double factor = cuda_factor_past(c, s[k]);
		x[k] = factor != 0 ? s[k]->expression : cuda_rewritten(c, s[k]->expression);
		if (s[k]->kind != TILE_STORE)
			c->factor[s[k]->value] = 0;
		if (s[k]->kind != TILE_REDUCE)
			continue;
		fold[k] = fold_of(c, s[k]);
		fold[k].factor = factor;
		fold_begin(c, row, &fold[k], s[k]->reduce);
	}
	if (lanes) {
		at.lanes = l->lanes;
		body = lane_loop(c, row, &at, l->lane_groups);
		lane_coordinate = c_group(e->arena, body);
	}
	struct nest n = fragment_nest(c, lanes ? before : body, body, at);
	for (int k = 0; k < count; k++)
		count_uses(&n, s[k], x[k]);
	const char *inside = lanes ? inside_lanes(c, l->lanes, l->lane_groups) : NULL;
	if (l->rows)
		add_guard(&n, c->row_index, inside_rows(c));
	if (lanes)
		add_guard(&n, l->lanes, inside);
	for (int k = 0; k < count; k++) {
		if (s[k]->kind == TILE_STORE)
			store_element(&n, s[k], x[k], storing(c, l));
		else if (s[k]->kind == TILE_REDUCE)
			fold_step(c, body, &fold[k], s[k]->reduce, nest_text(&n, x[k], fold[k].kind, lanes),
			          inside);
		else
			assign_element(&n, s[k]->value, nest_text(&n, x[k], value_kind(c, s[k]->value), lanes),
			               lanes);
	}
	n.row = n.body = row;
	n.spread = false;
	n.vector.n = n.scalar.n = 0;
	c->at.columns = NULL;
	for (int k = 0; k < count; k++)
		if (s[k]->kind == TILE_REDUCE) {
			const char *folded = lanes ? fold_across(c, &fold[k], "quad") : fold[k].accumulator;
			assign_element(&n, s[k]->value, fold_result(&n, &fold[k], folded, value_kind(c, s[k]->value)),
			               false);
		}
	if (lanes)
		declare_lane(c, lane_coordinate, body, &at);
	if (l->rows)
		declare_row(c, coordinates, row, &at);
}

/* A reduction over rows: lanes outside, the thread's rows inside, then the warps by way of shared memory. */
static void emit_down(struct cuda *c, struct c_block *b, const struct tile_statement *s, const struct cuda_loops *l)
{
	struct emitter *e = &c->e;
	struct arena *a = e->arena;
	struct fragment_at lane = {.lanes = NO_INDEX}, at;
	bool lanes = l->lanes != NO_INDEX;
	struct c_block *outer = b, *lane_coordinate = NULL;
	if (lanes) {
		lane.lanes = l->lanes;
		outer = lane_loop(c, b, &lane, l->lane_groups);
		lane_coordinate = c_group(a, outer);
	}
	struct fold f = fold_of(c, s);
	at = lane;
	fold_begin(c, outer, &f, s->reduce);
	struct c_block *inner = row_loop(c, outer, &at);
	struct c_block *coordinate = c_group(a, inner);
	struct nest n = fragment_nest(c, inner, inner, at);
	n.spread = false;
	struct expr x = cuda_rewritten(c, s->expression);
	n.uses = arena_alloc(a, c->pool.node.n);
	count_uses(&n, s, x);
	fold_step(c, inner, &f, s->reduce, nest_text(&n, x, f.kind, false), inside_rows(c));
	declare_row(c, coordinate, inner, &at);
	if (lanes)
		declare_lane(c, lane_coordinate, outer, &lane);
	const char *folded = fold_across(c, &f, "column");
	n = (struct nest){.e = e, .row = outer, .body = outer, .lane = NO_INDEX, .uses = n.uses};
	c->at = lane;
	if (c->warps == 1) {
		assign_element(&n, s->value, fold_result(&n, &f, folded, value_kind(c, s->value)), false);
		return;
	}
	c_line(a, outer, "%s = %s;", f.accumulator, folded);
	struct shared_tile across = c->across;
	bool real = f.kind == KIND_REAL;
	across.element = OPERAND_COMPUTE;
	across.integer = !real;
	const char *column = lanes ? arena_printf(a, "%s * 8 + t * 2 + %s", lane.columns, lane.odd) : "0";
	struct c_block *one = c_open(a, outer, lanes ? "if (g == 0)" : "if (lane == 0)");
	c_line(a, one, "%s", tile_put(c, &across, tile_element(c, &across, NULL, "warp", column), f.accumulator));
	shared_read(c, b, &across);
	outer = b;
	if (lanes) {
		outer = lane_loop(c, b, &lane, l->lane_groups);
		column = arena_printf(a, "%s * 8 + t * 2 + %s", lane.columns, lane.odd);
	}
	n.row = n.body = outer;
	c->at = lane;
	f.accumulator = plan_name(e, f.accumulator);
	fold_begin(c, outer, &f, s->reduce);
	const char *w = plan_name(e, "w");
	inner = c_open(a, outer, "for (int %s = 0; %s < %d; %s++)", w, w, c->warps, w);
	fold_step(c, inner, &f, s->reduce, tile_get(c, &across, tile_element(c, &across, NULL, w, column)), NULL);
	assign_element(&n, s->value, fold_result(&n, &f, f.accumulator, value_kind(c, s->value)), false);
}

/* ---- over shared memory ---- */

/* A loop over the elements of some indices, by all threads in turns; the body has their coordinates. `padded`: the
 * last two run over a whole tile, and `inside` says which of it is in the ranges; else only what is, is run. */
static struct c_block *turns(struct cuda *c, struct c_block *b, struct nest *n, const uint32_t *index, int count,
                             const struct shared_tile *padded, const char **inside)
{
	struct emitter *e = &c->e;
	struct arena *a = e->arena;
	int64_t size[MAX_RANKS + 1], all = 1;
	for (int i = 0; i < count; i++) {
		size[i] = e->range[index[i]]->step;
		if (padded && i == count - 1)
			size[i] = padded->columns;
		else if (padded && count == 2)
			size[i] = padded->rows;
		all *= size[i];
	}
	const char *at = plan_name(e, "at");
	b = c_open(a, b, "for (int %s = thread; %s < %lld; %s += %d)", at, at, (long long)all, at, c->threads);
	const char *condition = NULL;
	int64_t below = all;
	for (int i = 0; i < count; i++) {
		const struct current *r = e->range[index[i]];
		const char *name = e->index_name[index[i]], *part = at;
		bool first = below == all;
		below /= size[i];
		if (below > 1)
			part = arena_printf(a, "%s / %lld", part, (long long)below);
		if (!first)
			part = arena_printf(a, "%s %% %lld", part, (long long)size[i]);
		if (size[i] == 1)
			part = "0";
		if (strcmp(r->low, "0"))
			part = strcmp(part, "0") ? arena_printf(a, "%s + %s", r->low, part) : r->low;
		c_line(a, b, "const int %s = %s;", name, part);
		if (!cuda_whole(c, index[i], size[i]))
			condition = both(c, condition, arena_printf(a, "%s <= %s", name, r->high));
		n->loop[n->nloops++] = index[i];
	}
	*inside = condition;
	return b;
}

static struct nest shared_nest(struct cuda *c)
{
	c->at = (struct fragment_at){.lanes = NO_INDEX};
	return (struct nest){.e = &c->e, .lane = NO_INDEX, .uses = arena_alloc(c->e.arena, c->e.pool->node.n)};
}

static void plain_store(struct cuda *c, struct c_block *b, const struct tile_statement *s, const struct cuda_loops *l)
{
	struct nest n = shared_nest(c);
	const char *inside;
	n.row = n.body = turns(c, b, &n, l->index, l->n, NULL, &inside);
	if (inside)
		n.row = n.body = c_open(c->e.arena, n.body, "if (%s)", inside);
	count_uses(&n, s, s->expression);
	store_element(&n, s, s->expression, NULL);
}

/* Σ over the reduced index of an expression of a REDUCE or the product of a CONTRACT, into an accumulator. */
static const char *plain_fold(struct nest *n, const struct tile_statement *s)
{
	struct cuda *c = (struct cuda *)n->e;
	struct emitter *e = &c->e;
	struct c_block *outer = n->body;
	struct fold f = fold_of(c, s);
	fold_begin(c, outer, &f, s->reduce);
	bool single = e->range[s->index]->single && e->range[s->index]->outer;
	n->row = n->body = single ? c_group(e->arena, outer) : emit_loop(e, outer, s->index);
	if (!single)
		n->loop[n->nloops++] = s->index;
	fold_step(c, n->body, &f, s->reduce, nest_text(n, s->expression, f.kind, false), NULL);
	if (!single)
		n->nloops--;
	n->row = n->body = outer;
	n->scalar.n = 0;
	return fold_result(n, &f, f.accumulator, value_kind(c, s->value));
}

/* An operand of a contraction, rounded to what it is multiplied as. */
static const char *rounded(struct nest *n, struct expr x, enum operand_type as)
{
	static const char *const form[OPERANDS] = {[OPERAND_COMPUTE] = "%s",
	                                           [OPERAND_BF16] = "s_cast_bf16(%s)",
	                                           [OPERAND_F16] = "s_cast_f16(%s)",
	                                           [OPERAND_TF32] = "at_f32_bits(at_tf32(%s))",
	                                           [OPERAND_I8] = "i_cast_i8(%s)"};
	struct emitter *e = n->e;
	const char *text = nest_text(n, x, as == OPERAND_I8 ? KIND_INT : KIND_REAL, false), *hole = strstr(form[as], "%s");
	const char *rest = hole + 2;
	return *rest ? arena_printf(e->arena, "%.*s%s%s", (int)(hole - form[as]), form[as], emit_strip(e, text), rest)
	             : text;
}

static const char *plain_sum(struct nest *n, const struct tile_statement *s)
{
	struct cuda *c = (struct cuda *)n->e;
	struct emitter *e = &c->e;
	struct c_block *outer = n->body;
	enum kind kind = value_kind(c, s->value);
	const char *sum = plan_name(e, arena_printf(e->arena, "%s_sum", e->value[s->value].name)), *first = "0";
	if (s->accumulate) {
		first = tile_get(c, &c->value[s->value].tile, shared_element(c, n, s->value));
		if (s->scale.id)
			first = arena_printf(e->arena, "%s * %s", first, nest_text(n, s->scale, kind, false));
	}
	c_line(e->arena, outer, "%s %s = %s;", c_type(kind), sum, first);
	bool single = e->range[s->index]->single && e->range[s->index]->outer;
	n->row = n->body = single ? c_group(e->arena, outer) : emit_loop(e, outer, s->index);
	if (!single)
		n->loop[n->nloops++] = s->index;
	const char *a = rounded(n, s->a, s->operand), *b = rounded(n, s->b, s->operand);
	c_line(e->arena, n->body, "%s += %s * %s;", sum, a, b);
	if (!single)
		n->nloops--;
	n->row = n->body = outer;
	n->scalar.n = 0;
	return sum;
}

static void plain_assign(struct cuda *c, struct c_block *b, const struct tile_statement *s, const struct cuda_loops *l)
{
	struct emitter *e = &c->e;
	struct arena *a = e->arena;
	struct nest n = shared_nest(c);
	const struct cuda_value *v = &c->value[s->value];
	enum kind kind = value_kind(c, s->value);
	const char *inside, *x, *result = NULL;
	struct c_block *body = turns(c, b, &n, l->index, l->n, v->operand ? &v->tile : NULL, &inside);
	n.row = n.body = body;
	if (inside && v->operand) {
		result = plan_name(e, arena_printf(a, "%s_0", e->value[s->value].name));
		c_line(a, body, "%s %s = 0;", c_type(kind), result);
	}
	if (inside)
		n.row = n.body = c_open(a, body, "if (%s)", inside);
	if (s->kind != TILE_CONTRACT)
		count_uses(&n, s, s->expression);
	if (s->kind == TILE_CONTRACT)
		x = plain_sum(&n, s);
	else if (s->kind == TILE_REDUCE)
		x = plain_fold(&n, s);
	else
		x = nest_text(&n, s->expression, kind, false);
	if (result) {
		c_line(a, n.body, "%s = %s;", result, emit_strip(e, x));
		x = result;
		n.body = body;
	}
	c_line(a, n.body, "%s", tile_put(c, &v->tile, shared_element(c, &n, s->value), emit_strip(e, x)));
}

/* ---- the statements ---- */

static void touch_reads(struct cuda *c, struct c_block *b, struct expr x, const struct cuda_loops *l)
{
	struct fragment_at at = {.lanes = NO_INDEX};
	if (l->fragment) {
		at.group = at.half = l->rows ? "" : NULL;
		at.columns = at.odd = l->lanes == NO_INDEX ? NULL : "";
		at.lanes = l->lanes;
	}
	struct expr *node;
	uint32_t n = x.id ? expr_nodes(c->e.pool, x, &node) : 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *e = expr_at(c->e.pool, node[i]);
		if (e->op == OP_VALUE && !value_at(c, e->symbol, &at))
			shared_read(c, b, &c->value[e->symbol].tile);
	}
}

void cuda_touch(struct cuda *c, struct c_block *b, struct expr x)
{
	struct cuda_loops none = {.fragment = false};
	touch_reads(c, b, x, &none);
}

/* A LOAD that copies a matrix as it is. */
static bool fetches(const struct cuda *c, const struct tile_statement *s, uint32_t *rows, uint32_t *columns)
{
	const struct emitter *e = &c->e;
	const struct expr_node *read = expr_at(e->pool, s->expression);
	const struct tile_value *v = &e->program->value.v[s->value];
	if (s->kind != TILE_LOAD || read->op != OP_READ || v->nranks < 2 || !c->value[s->value].operand)
		return false;
	*rows = v->index[v->nranks - 2];
	*columns = v->index[v->nranks - 1];
	for (int r = 0; r < v->nranks - 2; r++)
		if (!e->range[v->index[r]]->single)
			return false;
	for (int r = 0; r < read->count; r++) {
		struct expr at = expr_operand(e->pool, s->expression, r);
		const struct expr_node *x = expr_at(e->pool, at);
		uint32_t wanted = r == read->count - 2 ? *rows : r == read->count - 1 ? *columns : NO_INDEX;
		if (wanted != NO_INDEX && (x->op != OP_INDEX || x->symbol != wanted))
			return false;
		if (wanted == NO_INDEX && (expr_mentions(e->pool, at, OP_INDEX, *rows) ||
		                           expr_mentions(e->pool, at, OP_INDEX, *columns)))
			return false;
	}
	return read->count >= 2;
}

static void emit_plain(struct cuda *c, struct c_block *b, const struct tile_statement *s, const struct cuda_loops *l)
{
	uint32_t rows, columns;
	touch_reads(c, b, s->expression, l);
	if (s->kind == TILE_STORE) {
		plain_store(c, b, s, l);
		return;
	}
	shared_write(c, b, &c->value[s->value].tile);
	if (!c->plain && fetches(c, s, &rows, &columns)) {
		const struct shared_tile *t = &c->value[s->value].tile;
		if (tile_fetch(c, b, t, NULL, s->expression, rows, columns, c->e.range[rows]->low,
		               c->e.range[columns]->low)) {
			c_line(c->e.arena, b, "at_cp_commit();");
			shared_pending(c, t);
		}
		return;
	}
	plain_assign(c, b, s, l);
}

void plain_contract(struct cuda *c, struct c_block *b, const struct tile_statement *s)
{
	struct cuda_loops l = cuda_loops_of(c, s);
	l.fragment = false;
	touch_reads(c, b, s->a, &l);
	touch_reads(c, b, s->b, &l);
	touch_reads(c, b, s->scale, &l);
	if (s->accumulate)
		shared_read(c, b, &c->value[s->value].tile);
	shared_write(c, b, &c->value[s->value].tile);
	plain_assign(c, b, s, &l);
}

static bool same_loops(const struct cuda_loops *x, const struct cuda_loops *y)
{
	return x->fragment && y->fragment && x->rows == y->rows && x->lanes == y->lanes;
}

static bool goes_down(const struct cuda *c, const struct tile_statement *s)
{
	return s->kind == TILE_REDUCE && s->index == c->row_index;
}

/* Does the statement touch shared memory, other than by a copy of its result? */
static bool reads_shared(const struct cuda *c, const struct tile_statement *s, const struct tile_statement *const *g,
                         int count)
{
	for (int k = 0; k < count; k++)
		if (g[k]->kind != TILE_STORE && c->value[g[k]->value].shared &&
		    expr_mentions(c->e.pool, s->expression, OP_VALUE, g[k]->value))
			return true;
	return false;
}

uint32_t cuda_statements(struct cuda *c, struct c_block *b, const struct tile_statement *s, uint32_t n)
{
	struct emitter *e = &c->e;
	const struct tile_statement *group[MAX_GROUP] = {s};
	struct cuda_loops l = cuda_loops_of(c, s);
	int count = 1;
	double factor = l.fragment ? cuda_deferred(c, s, n) : 0;
	if (factor != 0) {
		c->factor[s->value] = factor;
		c_comment(e->arena, b, arena_printf(e->arena, "%s: left to those who read it", emit_describe(e, s)));
		return 1;
	}
	bool alone = !l.fragment || goes_down(c, s);
	while (!alone && (uint32_t)count < n && count < MAX_GROUP) {
		const struct tile_statement *next = &s[count];
		if (next->kind != TILE_MAP && next->kind != TILE_REDUCE && next->kind != TILE_LOAD &&
		    next->kind != TILE_STORE)
			break;
		struct cuda_loops k = cuda_loops_of(c, next);
		if (!same_loops(&l, &k) || goes_down(c, next) || !group_allows(e, group, count, next) ||
		    reads_shared(c, next, group, count) || cuda_deferred(c, next, n - (uint32_t)count) != 0)
			break;
		group[count++] = next;
	}
	uint32_t names = e->taken.n;
	for (int k = 0; k < count; k++)
		c_comment(e->arena, b, emit_describe(e, group[k]));
	if (!l.fragment) {
		emit_plain(c, b, s, &l);
	} else {
		for (int k = 0; k < count; k++)
			touch_reads(c, b, group[k]->expression, &l);
		if (goes_down(c, s)) {
			if (c->warps > 1)
				shared_write(c, b, &c->across);
			emit_down(c, b, s, &l);
		} else {
			emit_fragments(c, b, group, count, &l);
		}
		for (int k = 0; k < count; k++)
			if (group[k]->kind != TILE_STORE && c->value[group[k]->value].shared) {
				e->value[group[k]->value].memory = true;
				shared_write(c, b, &c->value[group[k]->value].tile);
				tile_copy(c, b, group[k]->value);
			}
	}
	if (!l.fragment || (l.rows && !goes_down(c, s))) /* else what was declared is still in scope */
		e->taken.n = names;
	return (uint32_t)count;
}
