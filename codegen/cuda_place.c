/* Where the values of a phase live.
 *
 * The phase is walked twice with stand-ins for its ranges. The first walk finds each value's shape: a fragment, if its
 * ranks are rows and one index in lanes, if every statement that assigns it can run in fragments, and if nobody uses
 * a part of it at a narrower range than it was defined at (then a thread would look for elements that another thread
 * has). The second walk finds who reads a value otherwise: those need it in shared memory, and as what they take it
 * decides the type of the tile's elements. */
#include "codegen/cuda.h"

#include <string.h>

#include "base/whole.h"

enum {
	MOST_FLOATS = 256,       /* of a thread, in one fragment */
	MOST_WARPS = 16,
	MOST_GROUPS = 4, /* of 16 rows a warp, where it is free */
	PLAIN_WARPS = 4,
	MOST_SHARED = 227 * 1024 /* bytes a block of any device known may have */
};

struct seen {
	bool live, assigned, never; /* never: in fragments */
	bool load, other_assign;    /* assigned by LOADs; by others */
	bool other;                 /* read by others than contractions' operands */
	uint8_t operands;           /* read by contractions: bit i, as operand type i */
	const struct current *range[MAX_RANKS];
};

struct placer {
	struct cuda *c;
	struct seen *seen;
	bool second;
	VEC(uint32_t) live;
	bool walks_rows; /* a loop of the phase walks the row index */
	int64_t across;  /* lanes of the widest reduction over rows */
};

static bool is_rows(const struct cuda *c, uint32_t index)
{
	return index == c->row_index;
}

/* Has the range one coordinate because of a step of one? Where an extent is 1 it is a row or a lane like another. */
static bool dropped(const struct cuda *c, uint32_t index)
{
	const struct current *r = c->e.range[index];
	return r->single && r->outer && !is_rows(c, index);
}

int64_t cuda_shared(struct cuda *c, int64_t bytes, int align)
{
	int64_t at = round_up(c->shared_bytes, align);
	c->shared_bytes = at + bytes;
	return at;
}

bool cuda_whole(const struct cuda *c, uint32_t index, int64_t count)
{
	const struct current *r = c->e.range[index];
	return count && r->step == count && r->multiple % count == 0;
}

/* ---- how statements run ---- */

static void add_index(const struct cuda *c, struct cuda_loops *l, uint32_t index)
{
	if (dropped(c, index))
		return;
	for (int i = 0; i < l->n; i++)
		if (l->index[i] == index)
			return;
	l->index[l->n++] = index;
}

/* The indices as rows and lanes; false: they are more than that. */
static bool as_fragment(const struct cuda *c, struct cuda_loops *l)
{
	l->lanes = NO_INDEX;
	l->rows = false;
	for (int i = 0; i < l->n; i++) {
		if (is_rows(c, l->index[i]))
			l->rows = true;
		else if (l->lanes == NO_INDEX)
			l->lanes = l->index[i];
		else
			return false;
	}
	int64_t lanes = l->lanes == NO_INDEX ? 0 : c->e.range[l->lanes]->step;
	if (l->lanes != NO_INDEX && lanes < 1)
		lanes = 1; /* of an extent of 0 */
	if (l->lanes != NO_INDEX && !lanes)
		lanes = 1; /* what has no element has a place all the same */
	l->lane_groups = (int)((lanes + 7) / 8);
	return lanes <= 4096 && (l->rows ? (int64_t)c->groups * l->lane_groups * 4 : l->lane_groups * 2) <= MOST_FLOATS &&
	       (!c->plain || !l->n);
}

struct cuda_loops cuda_loops_of(const struct cuda *c, const struct tile_statement *s)
{
	const struct emitter *e = &c->e;
	struct cuda_loops l = {.lanes = NO_INDEX};
	if (s->kind == TILE_STORE) {
		const struct expr_node *target = expr_at(e->pool, s->target);
		for (int r = 0; r < target->count; r++) {
			const struct expr_node *at = expr_at(e->pool, expr_operand(e->pool, s->target, r));
			if (at->op == OP_INDEX)
				add_index(c, &l, at->symbol);
		}
	} else {
		const struct tile_value *v = &e->program->value.v[s->value];
		for (int r = 0; r < v->nranks; r++)
			add_index(c, &l, v->index[r]);
	}
	struct cuda_loops all = l;
	if (s->kind == TILE_REDUCE)
		add_index(c, &all, s->index);
	l.fragment = as_fragment(c, &all);
	if (s->kind == TILE_CONTRACT)
		l.fragment &= all.rows && all.lanes == s->lanes && is_rows(c, s->rows) && contract_fits(c, s);
	if (s->kind != TILE_STORE && c->value[s->value].fragment == FRAGMENT_NONE)
		l.fragment = false;
	l.rows = all.rows;
	l.lanes = all.lanes;
	l.lane_groups = all.lane_groups;
	return l;
}

/* ---- the walks ---- */

static void shape_value(struct placer *p, uint32_t value)
{
	struct cuda *c = p->c;
	const struct tile_value *v = &c->e.program->value.v[value];
	struct cuda_value *to = &c->value[value];
	struct cuda_loops l = {.lanes = NO_INDEX};
	for (int r = 0; r < v->nranks; r++)
		add_index(c, &l, v->index[r]);
	bool fits = as_fragment(c, &l);
	enum fragment f = !fits                     ? FRAGMENT_NONE
	                  : l.rows && l.lanes != NO_INDEX ? FRAGMENT_MATRIX
	                  : l.rows                  ? FRAGMENT_ROWS
	                  : l.lanes != NO_INDEX     ? FRAGMENT_LANES
	                                            : FRAGMENT_SCALAR;
	if (!p->seen[value].assigned) {
		to->fragment = f;
		to->lanes = l.lanes;
	} else if (f != to->fragment || l.lanes != to->lanes) {
		p->seen[value].never = true;
	}
	if (to->lane_groups < l.lane_groups)
		to->lane_groups = (int)round_up(l.lane_groups, 2);
	p->seen[value].assigned = true;
}

static bool same_ranges(const struct placer *p, uint32_t value)
{
	const struct tile_value *v = &p->c->e.program->value.v[value];
	for (int r = 0; r < v->nranks; r++)
		if (p->seen[value].range[r] != p->c->e.range[v->index[r]])
			return false;
	return true;
}

static void assign(struct placer *p, const struct tile_statement *s)
{
	struct cuda *c = p->c;
	struct seen *seen = &p->seen[s->value];
	const struct tile_value *v = &c->e.program->value.v[s->value];
	if (!seen->live) {
		seen->live = true;
		for (int r = 0; r < v->nranks; r++)
			seen->range[r] = c->e.range[v->index[r]];
		vec_push(c->e.arena, &p->live, s->value);
	}
	if (p->second)
		return;
	*(s->kind == TILE_LOAD ? &seen->load : &seen->other_assign) = true;
	shape_value(p, s->value);
	if (!same_ranges(p, s->value) || !cuda_loops_of(c, s).fragment)
		seen->never = true;
}

static void use(struct placer *p, uint32_t value, const struct fragment_at *at, int operand)
{
	struct seen *seen = &p->seen[value];
	if (!p->second) {
		if (!same_ranges(p, value))
			seen->never = true;
		if (operand < 0)
			seen->other = true;
		return;
	}
	if (value_at(p->c, value, at))
		return;
	p->c->value[value].shared = true;
	if (operand < 0)
		seen->other = true;
	else
		seen->operands |= (uint8_t)(1 << operand);
}

static void use_all(struct placer *p, struct expr x, const struct fragment_at *at)
{
	struct expr *node;
	uint32_t n = x.id ? expr_nodes(p->c->e.pool, x, &node) : 0;
	for (uint32_t i = 0; i < n; i++)
		if (expr_at(p->c->e.pool, node[i])->op == OP_VALUE)
			use(p, expr_at(p->c->e.pool, node[i])->symbol, at, -1);
}

static const struct fragment_at nowhere = {.lanes = NO_INDEX};

static void walk_contract(struct placer *p, const struct tile_statement *s)
{
	struct cuda *c = p->c;
	bool fragment = cuda_loops_of(c, s).fragment;
	struct fragment_at rows = {.lanes = NO_INDEX, .group = "", .half = ""}, matrix = rows;
	matrix.lanes = s->index;
	matrix.columns = matrix.odd = "";
	const struct expr_node *a = expr_at(c->e.pool, s->a), *b = expr_at(c->e.pool, s->b);
	bool registers = fragment && contract_from_fragment(c, s);
	if (a->op == OP_VALUE)
		use(p, a->symbol, registers ? &matrix : &nowhere, (int)s->operand);
	if (b->op == OP_VALUE)
		use(p, b->symbol, &nowhere, (int)s->operand);
	use_all(p, s->scale, fragment ? &rows : &nowhere);
	if (s->accumulate && !fragment)
		use(p, s->value, &nowhere, -1);
}

static void walk_block(struct placer *, const struct tile_block *);

static void walk_range(struct placer *p, const struct tile_statement *s, const struct tile_block *body)
{
	struct cuda *c = p->c;
	struct current *outer = c->e.range[s->index], r = *outer;
	use_all(p, s->low, &nowhere);
	use_all(p, s->high, &nowhere);
	if (is_rows(c, s->index))
		p->walks_rows = true;
	r.outer = outer;
	r.narrow = s->kind == TILE_NARROW;
	if (s->kind == TILE_FOR) {
		r.single = s->step == 1;
		r.step = s->step < outer->step ? s->step : outer->step;
	}
	c->e.range[s->index] = plan_range(&c->e, r);
	if (body)
		walk_block(p, body);
	if (body)
		c->e.range[s->index] = outer;
}

static void walk_statement(struct placer *p, const struct tile_statement *s)
{
	struct cuda *c = p->c;
	struct cuda_loops l;
	struct fragment_at at = nowhere;
	switch (s->kind) {
	case TILE_FOR: walk_range(p, s, &s->body); return;
	case TILE_NARROW: walk_range(p, s, NULL); return;
	case TILE_IF:
		use_all(p, s->expression, &nowhere);
		walk_block(p, &s->body);
		walk_block(p, &s->other);
		return;
	case TILE_CONTRACT:
		if (s->accumulate && !p->seen[s->value].live)
			p->seen[s->value].never = true;
		walk_contract(p, s);
		assign(p, s);
		return;
	case TILE_SELECT: return; /* from memory to memory */
	default: break;
	}
	if (s->kind != TILE_STORE)
		assign(p, s);
	l = cuda_loops_of(c, s);
	if (l.fragment) {
		at.group = at.half = l.rows ? "" : NULL;
		at.columns = at.odd = l.lanes == NO_INDEX ? NULL : "";
		at.lanes = l.lanes;
		if (s->kind == TILE_REDUCE && s->index == c->row_index) {
			int64_t lanes = l.lanes == NO_INDEX ? 1 : l.lane_groups * 8;
			p->across = p->across > lanes ? p->across : lanes;
		}
	}
	use_all(p, s->expression, &at);
}

static void walk_block(struct placer *p, const struct tile_block *b)
{
	struct cuda *c = p->c;
	uint32_t mark = p->live.n;
	struct current **kept = arena_copy(c->e.arena, c->e.range, c->e.program->index.n * sizeof *kept);
	for (uint32_t i = 0; i < b->statement.n; i++)
		walk_statement(p, &b->statement.v[i]);
	memcpy(c->e.range, kept, c->e.program->index.n * sizeof *kept);
	while (p->live.n > mark)
		p->seen[p->live.v[--p->live.n]].live = false;
}

/* Stand-ins for the ranges of a task. */
static void start(struct cuda *c)
{
	emit_whole_ranges(&c->e);
	for (uint32_t i = 0; i < c->phase->task.n; i++) {
		const struct tile_task *t = &c->phase->task.v[i];
		struct current r = *c->e.range[t->index];
		r.outer = c->e.range[t->index];
		r.single = t->step == 1;
		r.step = t->step < r.step ? t->step : r.step;
		c->e.range[t->index] = plan_range(&c->e, r);
	}
}

/* ---- rows and warps ---- */

static void find_rows(const struct tile_block *b, uint32_t *rows, int *block, bool *agree)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		find_rows(&s->body, rows, block, agree);
		find_rows(&s->other, rows, block, agree);
		if (s->kind != TILE_CONTRACT || s->rows == NO_INDEX)
			continue;
		if (*rows != NO_INDEX && *rows != s->rows)
			*agree = false;
		*rows = s->rows;
		if (*block < s->block_rows)
			*block = s->block_rows;
	}
}

static void choose_rows(struct cuda *c)
{
	int block = 0;
	bool agree = true;
	c->row_index = NO_INDEX;
	find_rows(&c->phase->body, &c->row_index, &block, &agree);
	for (uint32_t i = 0; i < c->phase->task.n && c->row_index == NO_INDEX; i++)
		if (c->phase->task.v[i].step > 1)
			c->row_index = c->phase->task.v[i].index;
	c->groups = block > 16 ? (block + 15) / 16 : 1;
	c->warps = PLAIN_WARPS;
	if (c->row_index != NO_INDEX) {
		int64_t step = c->e.program->index.v[c->row_index].extent;
		for (uint32_t i = 0; i < c->phase->task.n; i++)
			if (c->phase->task.v[i].index == c->row_index && c->phase->task.v[i].step < step)
				step = c->phase->task.v[i].step;
		while (!block && c->groups < MOST_GROUPS && step > 16 * c->groups * MOST_WARPS)
			c->groups++; /* no contraction says how many */
		int64_t warps = (step + 16 * c->groups - 1) / (16 * c->groups);
		if (!agree || warps > MOST_WARPS)
			c->row_index = NO_INDEX;
		else
			c->warps = warps > 1 ? (int)warps : 1; /* rows there are none of make no task */
	}
	c->threads = c->warps * 32;
}

static bool single_bit(unsigned bits)
{
	return bits && !(bits & (bits - 1));
}

static void place_tile(struct cuda *c, const struct seen *seen, uint32_t value)
{
	enum operand_type element = OPERAND_COMPUTE;
	if (!seen->other && single_bit(seen->operands))
		element = (enum operand_type)__builtin_ctz(seen->operands);
	struct shared_tile t = tile_of_value(c, value, element);
	t.offset = cuda_shared(c, t.stage_bytes, t.swizzle ? 1024 : 128);
	c->value[value].tile = t;
	c->value[value].operand = seen->operands != 0;
}

static bool selections_fit(const struct cuda *c, const struct tile_block *b, struct text *reason)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		if (!selections_fit(c, &s->body, reason) || !selections_fit(c, &s->other, reason) ||
		    (s->kind == TILE_SELECT && !cuda_select_fits(c, s, reason)))
			return false;
	}
	return true;
}

bool cuda_place(struct cuda *c, struct text *reason)
{
	const struct tile_program *program = c->e.program;
	struct placer p = {.c = c, .seen = arena_new_array(c->e.arena, program->value.n, struct seen)};
	c->value = arena_new_array(c->e.arena, program->value.n, struct cuda_value);
	c->ring.n = c->touch.n = 0;
	c->shared_bytes = 0;
	c->at = nowhere;
	choose_rows(c);
	for (uint32_t i = 0; i < program->value.n; i++)
		c->value[i].lanes = NO_INDEX;
	start(c);
	walk_block(&p, &c->phase->body);
	if (p.walks_rows && c->row_index != NO_INDEX) { /* rows are not what the task has */
		c->row_index = NO_INDEX;
		p = (struct placer){.c = c, .seen = arena_new_array(c->e.arena, program->value.n, struct seen)};
		c->value = arena_new_array(c->e.arena, program->value.n, struct cuda_value);
		start(c);
		walk_block(&p, &c->phase->body);
	}
	for (uint32_t i = 0; i < program->value.n; i++) {
		struct seen *s = &p.seen[i];
		/* What contractions alone read goes from memory to where they take it. */
		if (s->never || (s->load && !s->other_assign && !s->other))
			c->value[i].fragment = FRAGMENT_NONE;
		s->other = false;
	}
	p.second = true;
	p.across = 0;
	start(c);
	walk_block(&p, &c->phase->body);
	for (uint32_t i = 0; i < program->value.n; i++) {
		if (p.seen[i].assigned && c->value[i].fragment == FRAGMENT_NONE)
			c->value[i].shared = true;
		if (c->value[i].shared)
			place_tile(c, &p.seen[i], i);
	}
	c->across = (struct shared_tile){0};
	if (p.across && c->warps > 1) {
		c->across = (struct shared_tile){.rows = c->warps, .columns = (int)p.across, .pitch = (int)p.across * 4};
		c->across.offset = cuda_shared(c, (int64_t)c->warps * c->across.pitch, 128);
	}
	start(c);
	ring_place(c);
	if (!selections_fit(c, &c->phase->body, reason))
		return false;
	if (c->shared_bytes > MOST_SHARED)
		text_printf(reason, "phase %s: %lld bytes of shared memory, and a block has %d at most", c->phase->name,
		            (long long)c->shared_bytes, MOST_SHARED);
	return c->shared_bytes <= MOST_SHARED;
}
