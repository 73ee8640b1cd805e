/* Tensors that contractions read, fetched ahead of the loop that walks them.
 *
 * A ring of S stages holds the tiles of S steps. Before the loop those of the first S - 1 are asked for, a
 * group of copies each. In step s, first thing: wait till at most S - 2 later groups are under way, so that
 * its own has come; a barrier, after which all threads' copies are visible and nobody reads the tile of step
 * s - 1 any more; ask for that of step s + S - 1, which takes its place. A group is committed in every step,
 * empty past the end, so that the count stays right. With one stage a tile is fetched when its step begins.
 */
#include <stdlib.h>
#include <string.h>

#include "base/whole.h"
#include "codegen/cuda.h"

/* ---- which there are ---- */

struct walk {
	struct cuda *c;
	int64_t *count;                    /* most coordinates of each index's range here */
	const struct tile_statement *loop; /* innermost */
};

/* Is the range that the READ is over known only inside the loop? */
static bool narrowed(const struct cuda *c, const struct tile_block *b, struct expr read)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		if ((s->kind == TILE_NARROW && expr_mentions(c->e.pool, read, OP_INDEX, s->index)) ||
		    narrowed(c, &s->body, read) || narrowed(c, &s->other, read))
			return true;
	}
	return false;
}

static bool mentions(const struct cuda *c, struct expr read, uint32_t index)
{
	return expr_mentions(c->e.pool, read, OP_INDEX, index) ||
	       expr_mentions(c->e.pool, read, OP_LOW, index) ||
	       expr_mentions(c->e.pool, read, OP_HIGH, index);
}

static void add_ring(struct walk *w, const struct tile_statement *s)
{
	struct cuda *c = w->c;
	const struct expr_node *read = expr_at(c->e.pool, s->b);
	const struct expr_node *last = expr_at(c->e.pool, expr_operand(c->e.pool, s->b, read->count - 1));
	const struct tile_statement *loop = w->loop && !narrowed(c, &w->loop->body, s->b) ? w->loop : NULL;
	struct ring r = {.loop = loop, .read = s->b, .stage = "0"};
	r.columns = last->symbol == s->lanes ? s->lanes : s->index;
	r.rows = last->symbol == s->lanes ? s->index : s->lanes;
	r.still = loop && !mentions(c, s->b, loop->index);
	bool integer = dtype_info[c->e.program->value.v[s->value].dtype].integer;
	for (uint32_t i = 0; i < c->ring.n; i++) {
		struct ring *old = &c->ring.v[i];
		if (old->loop == loop && expr_same(old->read, s->b) && old->tile.element == s->operand &&
		    old->tile.integer == integer && old->rows == r.rows && old->columns == r.columns) {
			vec_push(c->e.arena, &old->contract, s);
			return;
		}
	}
	int rows =
	        w->count[r.rows] > 1 ? (int)w->count[r.rows] : 2; /* not the single row that a vector has */
	r.tile = tile_shape(rows, (int)w->count[r.columns], s->operand, loop && !r.still ? loop->stages : 1);
	r.tile.integer = integer;
	r.tile.offset = cuda_shared(c, r.tile.stages * r.tile.stage_bytes, r.tile.swizzle ? 1024 : 128);
	vec_push(c->e.arena, &r.contract, s);
	vec_push(c->e.arena, &c->ring, r);
}

static void find(struct walk *w, const struct tile_block *b)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		if (s->kind == TILE_CONTRACT && expr_at(w->c->e.pool, s->b)->op == OP_READ)
			add_ring(w, s);
		if (s->kind == TILE_IF) {
			find(w, &s->body);
			find(w, &s->other);
		}
		if (s->kind != TILE_FOR)
			continue;
		const struct tile_statement *loop = w->loop;
		int64_t count = w->count[s->index];
		w->loop = s;
		w->count[s->index] = s->step < count ? s->step : count;
		find(w, &s->body);
		w->count[s->index] = count;
		w->loop = loop;
	}
}

void ring_place(struct cuda *c)
{
	const struct tile_program *p = c->e.program;
	struct walk w = {.c = c, .count = arena_new_array(c->e.arena, p->index.n, int64_t)};
	for (uint32_t i = 0; i < p->index.n; i++)
		w.count[i] = p->index.v[i].extent;
	for (uint32_t i = 0; i < c->phase->task.n; i++) {
		const struct tile_task *t = &c->phase->task.v[i];
		if (t->step < w.count[t->index])
			w.count[t->index] = t->step;
	}
	find(&w, &c->phase->body);
}

/* ---- fetching ---- */

static bool has(const struct cuda *c, const struct tile_statement *loop, bool still)
{
	for (uint32_t i = 0; i < c->ring.n; i++)
		if (c->ring.v[i].loop == loop && c->ring.v[i].still == still)
			return true;
	return false;
}

static int stages_of(const struct tile_statement *loop)
{
	return loop->stages > 1 ? loop->stages : 1;
}

static bool fetch_ring(struct cuda *c, struct c_block *b, const struct ring *r, const char *stage)
{
	return tile_fetch(c, b, &r->tile, stage, r->read, r->rows, r->columns, c->e.range[r->rows]->low,
	                  c->e.range[r->columns]->low);
}

/* The tiles of the step that begins at coordinate `at`, a C name or number, a multiple of `align`. */
static void fetch_step(struct cuda *c, struct c_block *b, const struct tile_statement *loop,
                       const char *stage, const char *at, int64_t align)
{
	struct current step = *c->e.range[loop->index];
	step.low = step.high = at;
	step.single = loop->step == 1;
	step.step = loop->step;
	step.multiple = 1;
	step.align = align;
	struct current *old = c->e.range[loop->index];
	c->e.range[loop->index] = &step;
	for (uint32_t i = 0; i < c->ring.n; i++)
		if (c->ring.v[i].loop == loop && !c->ring.v[i].still)
			fetch_ring(c, b, &c->ring.v[i], stage);
	c->e.range[loop->index] = old;
}

/* The coordinate where a step begins; `step` is C text, a number where it is known. */
static const char *coordinate(struct cuda *c, struct c_block *b, const char *step, const char *first,
                              const char *by)
{
	if (!strcmp(step, "0"))
		return first;
	const char *at = plan_name(&c->e, "ahead"), *way = arena_printf(c->e.arena, "(%s) * %s", step, by);
	if (strcmp(first, "0"))
		way = arena_printf(c->e.arena, "%s + %s", first, way);
	c_line(c->e.arena, b, "const int %s = %s;", at, way);
	return at;
}

static void write_rings(struct cuda *c, struct c_block *b, const struct tile_statement *loop, bool still)
{
	for (uint32_t i = 0; i < c->ring.n; i++)
		if (c->ring.v[i].loop == loop && c->ring.v[i].still == still)
			shared_write(c, b, &c->ring.v[i].tile);
}

void ring_before(struct cuda *c, struct c_block *b, const struct tile_statement *loop, const char *steps,
                 const char *first, const char *by)
{
	struct arena *a = c->e.arena;
	int stages = stages_of(loop);
	bool still = has(c, loop, true), moving = has(c, loop, false), ahead = moving && stages > 1;
	if (still) {
		write_rings(c, b, loop, true);
		for (uint32_t i = 0; i < c->ring.n; i++)
			if (c->ring.v[i].loop == loop && c->ring.v[i].still)
				fetch_ring(c, b, &c->ring.v[i], "0");
		c_line(a, b, "at_cp_commit();");
	}
	if (ahead) {
		int64_t align = gcd(loop->step, c->e.range[loop->index]->align);
		if (loop->low.id)
			align = gcd(align, emit_align(&c->e, loop->low));
		write_rings(c, b, loop, false);
		for (int s = 0; s < stages - 1; s++) {
			uint32_t names = c->e.taken.n;
			const char *number = arena_printf(a, "%d", s);
			struct c_block *asked = c_open(a, b, "if (%d < %s)", s, steps);
			fetch_step(c, asked, loop, number, coordinate(c, asked, number, first, by), align);
			c->e.taken.n = names;
			c_line(a, b, "at_cp_commit();");
		}
	}
	/* Now that everything is under way: what had been asked for before is waited for, and no more. */
	if (contract_choose_kept(c, loop) || (still && !moving)) {
		c_line(a, b, "at_cp_wait(%d);", ahead ? stages - 1 : 0);
		shared_barrier(c, b, true);
	}
	contract_fill_kept(c, b, loop);
}

/* Copies that the body itself asks for, which groups of the ring cannot be told from. */
static bool loads(const struct cuda *c, const struct tile_block *b)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		if ((s->kind == TILE_LOAD && c->value[s->value].shared) || loads(c, &s->body) ||
		    loads(c, &s->other))
			return true;
	}
	return false;
}

void ring_step(struct cuda *c, struct c_block *b, const struct tile_statement *loop, const char *step,
               const char *steps, const char *first, const char *by)
{
	struct arena *a = c->e.arena;
	int stages = stages_of(loop);
	if (!has(c, loop, false))
		return;
	const char *stage = "0";
	if (stages > 1) {
		stage = plan_name(&c->e, "stage");
		c_line(a, b, "const int %s = %s %% %d;", stage, step, stages);
		c_line(a, b, "at_cp_wait(%d);", stages - 2);
		shared_barrier(c, b, stages == 2 || !loads(c, &loop->body));
		uint32_t names = c->e.taken.n;
		const char *next = arena_printf(a, stages == 2 ? "%s + 1" : "%s + %d", step, stages - 1);
		struct c_block *asked = c_open(a, b, "if (%s < %s)", next, steps);
		const char *at = coordinate(c, asked, next, first, by);
		fetch_step(c, asked, loop, arena_printf(a, "((%s) %% %d)", next, stages), at,
		           c->e.range[loop->index]->align);
		c->e.taken.n = names;
		c_line(a, b, "at_cp_commit();");
	} else {
		write_rings(c, b, loop, false);
		uint32_t names = c->e.taken.n;
		struct c_block *now = c_open(a, b, "%s", "");
		fetch_step(c, now, loop, "0", coordinate(c, now, step, first, by),
		           c->e.range[loop->index]->align);
		c->e.taken.n = names;
		c_line(a, b, "at_cp_commit();");
		c_line(a, b, "at_cp_wait(0);");
		shared_barrier(c, b, true);
	}
	for (uint32_t i = 0; i < c->ring.n; i++)
		if (c->ring.v[i].loop == loop && !c->ring.v[i].still)
			c->ring.v[i].stage = stage;
}

void ring_after(struct cuda *c, struct c_block *b, const struct tile_statement *loop)
{
	if (has(c, loop, false) && stages_of(loop) > 1)
		c_line(c->e.arena, b, "at_cp_wait(0);");
}

const struct ring *ring_of(struct cuda *c, struct c_block *b, const struct tile_statement *contract)
{
	const struct ring *found = NULL;
	for (uint32_t i = 0; i < c->ring.n; i++)
		for (uint32_t k = 0; k < c->ring.v[i].contract.n; k++)
			if (c->ring.v[i].contract.v[k] == contract)
				found = &c->ring.v[i];
	if (found->loop)
		return found;
	shared_write(c, b, &found->tile);
	if (fetch_ring(c, b, found, "0")) {
		c_line(c->e.arena, b, "at_cp_commit();");
		shared_pending(c, &found->tile);
	}
	return found;
}
