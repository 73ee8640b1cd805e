/* MAP, REDUCE, LOAD and STORE.
 *
 * Over fragments a thread loops over its own rows and lanes, unrolled so that the fragments stay in registers, and
 * neighbours that loop over the same share the loops. Lanes and rows beyond the ends of their ranges are computed like
 * the others, read as 0, left out of reductions, and never stored. A reduction over lanes is joined among the four
 * threads of a row; one over rows among the eight of a lane, then by way of shared memory among the warps. */
#include "codegen/cuda_loops.h"

#include <string.h>

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

/* ---- over fragments ---- */

static void assign_element(struct nest *n, uint32_t value, const char *text, bool vector)
{
	struct cuda *c = (struct cuda *)n->e;
	enum kind kind = cuda_kind(c, value);
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
		cuda_count(&n, s[k], x[k]);
	const char *inside = lanes ? inside_lanes(c, l->lanes, l->lane_groups) : NULL;
	if (l->rows)
		add_guard(&n, c->row_index, inside_rows(c));
	if (lanes)
		add_guard(&n, l->lanes, inside);
	for (int k = 0; k < count; k++) {
		if (s[k]->kind == TILE_STORE)
			cuda_store(&n, s[k], x[k], storing(c, l));
		else if (s[k]->kind == TILE_REDUCE)
			fold_step(c, body, &fold[k], s[k]->reduce, nest_text(&n, x[k], fold[k].kind, lanes),
			          inside);
		else
			assign_element(&n, s[k]->value, nest_text(&n, x[k], cuda_kind(c, s[k]->value), lanes),
			               lanes);
	}
	n.row = n.body = row;
	n.spread = false;
	n.vector.n = n.scalar.n = 0;
	c->at.columns = NULL;
	for (int k = 0; k < count; k++)
		if (s[k]->kind == TILE_REDUCE) {
			const char *folded = lanes ? fold_across(c, &fold[k], "quad") : fold[k].accumulator;
			assign_element(&n, s[k]->value, fold_result(&n, &fold[k], folded, cuda_kind(c, s[k]->value)),
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
	cuda_count(&n, s, x);
	fold_step(c, inner, &f, s->reduce, nest_text(&n, x, f.kind, false), inside_rows(c));
	declare_row(c, coordinate, inner, &at);
	if (lanes)
		declare_lane(c, lane_coordinate, outer, &lane);
	const char *folded = fold_across(c, &f, "column");
	n = (struct nest){.e = e, .row = outer, .body = outer, .lane = NO_INDEX, .uses = n.uses};
	c->at = lane;
	if (c->warps == 1) {
		assign_element(&n, s->value, fold_result(&n, &f, folded, cuda_kind(c, s->value)), false);
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
	assign_element(&n, s->value, fold_result(&n, &f, f.accumulator, cuda_kind(c, s->value)), false);
}

/* ---- the statements ---- */

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
	if (ahead_takes(c, s)) {
		ahead_step(c, b, s);
		return 1;
	}
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
		if (!same_loops(&l, &k) || ahead_takes(c, next) || goes_down(c, next) || !group_allows(e, group, count, next) ||
		    reads_shared(c, next, group, count) || cuda_deferred(c, next, n - (uint32_t)count) != 0)
			break;
		group[count++] = next;
	}
	uint32_t names = e->taken.n;
	for (int k = 0; k < count; k++)
		c_comment(e->arena, b, emit_describe(e, group[k]));
	if (!l.fragment) {
		plain_statement(c, b, s, &l);
	} else {
		for (int k = 0; k < count; k++)
			cuda_touch_in(c, b, group[k]->expression, &l);
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
