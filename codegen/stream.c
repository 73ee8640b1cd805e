#include "codegen/stream.h"

#include "codegen/derive.h"

const char *const mode_name[MODES] = {
        [MODE_FREE] = "FREE",       [MODE_REASSOC] = "REASSOC", [MODE_DEFER] = "DEFER",
        [MODE_COMMUTE] = "COMMUTE", [MODE_RUN] = "RUN",         [MODE_EXPAND] = "EXPAND",
        [MODE_EQUIV] = "EQUIV",     [MODE_APPROX] = "APPROX",   [MODE_BARRIER] = "BARRIER",
        [MODE_ANCHOR] = "ANCHOR",
};

void streams_define(struct streams *s)
{
	struct cascade *c = s->cascade;
	for (uint32_t i = 0; i < c->tensor.n; i++)
		c->tensor.v[i].equation = NO_EQUATION;
	for (uint32_t i = 0; i < c->equation.n; i++)
		c->tensor.v[c->equation.v[i].tensor].equation = i;
}

static struct expr renumber(struct expr_pool *p, struct expr e, void *context)
{
	const uint32_t *tensor = context;
	const struct expr_node n = *expr_at(p, e);
	struct expr at[MAX_RANKS];
	if (n.op != OP_READ)
		return e;
	for (int i = 0; i < n.count; i++)
		at[i] = expr_operand(p, e, i);
	return expr_read(p, (enum kind)n.kind, tensor[n.symbol], n.count, at);
}

void streams_compact(struct streams *all)
{
	struct cascade *c = all->cascade;
	uint32_t n = 0, *to = arena_new_array(c->arena, c->tensor.n + 1, uint32_t);
	for (uint32_t i = 0; i < c->tensor.n; i++) {
		to[i] = n;
		if (c->tensor.v[i].role != ROLE_LOCAL || c->tensor.v[i].equation != NO_EQUATION)
			c->tensor.v[n++] = c->tensor.v[i];
	}
	c->tensor.n = n;
	for (uint32_t i = 0; i < c->equation.n; i++) {
		struct equation *q = &c->equation.v[i];
		q->tensor = to[q->tensor];
		q->body = expr_rewrite(&c->pool, q->body, renumber, to);
		q->where = expr_rewrite(&c->pool, q->where, renumber, to);
		q->otherwise = expr_rewrite(&c->pool, q->otherwise, renumber, to);
	}
	for (uint32_t i = 0; i < all->stream.n; i++) {
		struct stream *s = &all->stream.v[i];
		s->present = expr_rewrite(&c->pool, s->present, renumber, to);
		for (uint32_t k = 0; k < s->carry.n; k++)
			for (int t = 0; t < s->carry.v[k].terms; t++)
				s->carry.v[k].term[t].factor =
				        expr_rewrite(&c->pool, s->carry.v[k].term[t].factor, renumber, to);
	}
}

struct streams *derive_streams(struct arena *a, const struct cascade *from, const struct stream_options *options)
{
	static const struct stream_options unfused = {.unfused = true};
	if (!options->unfused && from->equation.n <= EQUATIONS_LIMIT) {
		struct derivation *d = derive_prepare(a, from, options);
		derive_classify(d);
		derive_hoist(d);
		derive_fuse(d);
		if (d->group.n < GROUPS_LIMIT)
			return derive_place(d);
	}
	struct streams *s = derive_unfused(derive_prepare(a, from, &unfused));
	if (!options->unfused)
		vec_push(a, &s->rewrite,
		         (struct rewrite){.mode = MODE_BARRIER,
		                          .tensor = from->equation.v[from->equation.n - 1].tensor,
		                          .on = UINT32_MAX,
		                          .reason = "the cascade is too large to fuse, so every equation "
		                                    "runs on its own"});
	return s;
}

struct streams *streams_derive(struct arena *a, const struct cascade *from,
                               const struct stream_options *options)
{
	static const struct stream_options defaults = {0};
	return (derive_has_parts(a, from) ? derive_parts : derive_streams)(a, from, options ? options : &defaults);
}
