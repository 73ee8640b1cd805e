/* tile_wanted.c: what the structure of a phase depends on: values in its bounds and conditions, what those
 * are made of, and the work tensors that are read on the way, with all that earlier phases need for them. */
#include "codegen/tile_run.h"

struct closure {
	const struct tile_program *p;
	struct tile_wanted w;
	bool grew;
};

static void want(struct closure *c, bool *what)
{
	c->grew |= !*what;
	*what = true;
}

static void want_expression(struct closure *c, struct expr e)
{
	struct expr *node;
	uint32_t n = e.id ? expr_nodes(c->p->pool, e, &node) : 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *x = expr_at(c->p->pool, node[i]);
		if (x->op == OP_VALUE)
			want(c, &c->w.value[x->symbol]);
		else if (x->op == OP_READ)
			want(c, &c->w.tensor[x->symbol]);
	}
}

static bool stores_wanted(const struct closure *c, const struct tile_statement *s)
{
	return tile_stores(s) && c->w.tensor[expr_at(c->p->pool, s->target)->symbol];
}

static void scan(struct closure *c, const struct tile_block *b, uint32_t phase)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		bool structure = s->kind == TILE_FOR || s->kind == TILE_NARROW || s->kind == TILE_IF;
		if (stores_wanted(c, s))
			want(c, &c->w.phase[phase]);
		if (c->w.phase[phase] &&
		    (structure || stores_wanted(c, s) || (!tile_stores(s) && c->w.value[s->value]))) {
			const struct expr all[] = {s->low, s->high,  s->expression, s->a,
			                           s->b,   s->scale, s->present};
			for (size_t k = 0; k < sizeof all / sizeof *all; k++)
				want_expression(c, all[k]);
		}
		scan(c, &s->body, phase);
		scan(c, &s->other, phase);
	}
}

struct tile_wanted tile_wanted(struct arena *a, const struct tile_program *p, uint32_t phase)
{
	struct closure c = {.p = p};
	c.w.value = arena_new_array(a, p->value.n, bool);
	c.w.tensor = arena_new_array(a, p->tensor.n, bool);
	c.w.phase = arena_new_array(a, p->phase.n, bool);
	c.w.phase[phase] = true;
	do {
		c.grew = false;
		for (uint32_t i = 0; i <= phase; i++)
			scan(&c, &p->phase.v[i].body, i);
	} while (c.grew);
	return c.w;
}
