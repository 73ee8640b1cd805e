/* Vectors that a loop loads at each step, documents or biases of keys, asked for one step ahead: what comes from memory
 * takes as long as much of a step's work. A vector over the walked index is in registers, so the next step's is too,
 * in an array of its own. */
#include "codegen/cuda.h"

enum { MOST_AHEAD = 32 /* registers of a thread, in one loop */ };

static int registers(const struct cuda *c, uint32_t value)
{
	return c->value[value].lane_groups * 2;
}

static bool fits(const struct cuda *c, const struct tile_statement *loop, const struct tile_statement *s)
{
	if (s->kind != TILE_LOAD)
		return false;
	const struct cuda_value *v = &c->value[s->value];
	return v->fragment == FRAGMENT_LANES && v->lanes == loop->index && !v->shared &&
	       expr_mentions(c->e.pool, s->expression, OP_INDEX, loop->index);
}

/* The load's loops for the step that begins at `low`, into the array ahead. */
static void load(struct cuda *c, struct c_block *b, const struct ahead *x, const char *low)
{
	struct emitter *e = &c->e;
	uint32_t names = e->taken.n, ahead = c->ahead.n, value = x->load->value, index = x->range.index;
	struct current *now = e->range[index], r = x->range;
	struct value_plan kept = e->value[value];
	r.low = low;
	emit_high(e, b, &r, x->step, x->end);
	e->range[index] = plan_range(e, r);
	e->value[value].name = x->name;
	e->value[value].memory = true;
	c->ahead.n = 0;
	cuda_statements(c, b, x->load, 1);
	c->ahead.n = ahead;
	e->value[value] = kept;
	e->range[index] = now;
	e->taken.n = names;
}

void ahead_before(struct cuda *c, struct c_block *b, const struct tile_statement *loop, const struct current *range,
                  const char *number, const char *steps, const char *first, const char *end)
{
	struct emitter *e = &c->e;
	int left = MOST_AHEAD;
	for (uint32_t i = 0; i < loop->body.statement.n && !range->single; i++) {
		const struct tile_statement *s = &loop->body.statement.v[i];
		if (!fits(c, loop, s) || registers(c, s->value) > left)
			continue;
		left -= registers(c, s->value);
		struct ahead x = {.load = s,
		                  .range = *range,
		                  .name = plan_name(e, arena_printf(e->arena, "%s_next", e->value[s->value].name)),
		                  .number = number,
		                  .steps = steps,
		                  .end = end,
		                  .step = loop->step,
		                  .down = loop->down};
		c_line(e->arena, b, "%s %s[%d][2];", e->value[s->value].integer ? "int" : "real", x.name,
		       c->value[s->value].lane_groups);
		load(c, c_open(e->arena, b, "if (0 < %s)", steps), &x, first);
		vec_push(e->arena, &c->ahead, x);
	}
}

bool ahead_takes(const struct cuda *c, const struct tile_statement *s)
{
	for (uint32_t i = 0; i < c->ahead.n; i++)
		if (c->ahead.v[i].load == s)
			return true;
	return false;
}

void ahead_step(struct cuda *c, struct c_block *b, const struct tile_statement *s)
{
	struct emitter *e = &c->e;
	struct arena *a = e->arena;
	const struct ahead *x = c->ahead.v;
	while (x->load != s)
		x++;
	uint32_t names = e->taken.n;
	c_comment(a, b, arena_printf(a, "%s: came one step ahead", emit_describe(e, s)));
	if (e->value[s->value].memory) {
		const char *name = e->value[s->value].name, *j = plan_name(e, "j"), *odd = plan_name(e, "odd");
		c_line(a, b, "AT_UNROLL");
		struct c_block *loop = c_open(a, b, "for (int %s = 0; %s < %d; %s++)", j, j, c->value[s->value].lane_groups, j);
		c_line(a, loop, "AT_UNROLL");
		loop = c_open(a, loop, "for (int %s = 0; %s < 2; %s++)", odd, odd, odd);
		c_line(a, loop, "%s[%s][%s] = %s[%s][%s];", name, j, odd, x->name, j, odd);
	}
	e->taken.n = names;
	struct ahead next = *x;
	b = c_open(a, b, "if (%s + 1 < %s)", x->number, x->steps);
	const char *low = emit_range_name(e, x->range.index, "next");
	c_line(a, b, "const int %s = %s %c %lld;", low, e->range[x->range.index]->low, x->down ? '-' : '+',
	       (long long)x->step);
	load(c, b, &next, low);
	e->taken.n = names;
}
