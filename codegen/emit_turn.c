/* Stores into panels, and maps, that turn rows into lanes. */
#include "codegen/emit.h"

/* How many coordinates there are from `at` on, up to a vector of them: a constant, where all vectors are whole. */
static const char *lanes_from(struct emitter *e, const struct current *r, const char *at)
{
	return range_whole(r, e->lanes) ? "LANES" : arena_printf(e->arena, "%s - %s", emit_after(e, r->high), at);
}

void emit_transpose(struct nest *n, const struct tile_statement *s, const struct shape_of *shape)
{
	struct emitter *e = n->e;
	struct arena *a = e->arena;
	uint32_t value = expr_at(e->pool, s->expression)->symbol,
	         tensor = expr_at(e->pool, s->target)->symbol;
	const struct tile_tensor *t = &e->program->tensor.v[tensor];
	const char *m = e->index_name[shape->lane], *d = e->index_name[shape->inner];
	const struct current *rm = e->range[shape->lane], *rd = e->range[shape->inner];
	const char *end = emit_after(e, rm->high);
	int64_t extent = t->extent[t->lanes], padded = (extent + t->panel - 1) / t->panel * t->panel;
	int group = t->group > 1 ? t->group : 1;
	if (padded != extent) {
		c_comment(a, n->body, "The last panel is filled up with zeroes.");
		const char *name = plan_name(e, arena_printf(a, "%s_end", m));
		c_line(a, n->body, "const long %s = %s == %lld ? %lld : %s;", name, end, (long long)extent,
		       (long long)padded, end);
		end = name;
	}
	e->value[value].memory = true;
	n->loop[n->nloops++] = shape->lane;
	n->loop[n->nloops++] = shape->inner;
	struct c_block *b =
	        c_open(a, n->body, "for (long %s = %s; %s < %s; %s += LANES)", m, rm->low, m, end, m);
	b = c_open(a, b, group > 1 ? "for (long %s = %s; %s <= %s; %s += %d * LANES)" : "for (long %s = %s; %s <= %s; %s += LANES)",
	           d, rd->low, d, rd->high, d, group);
	n->row = n->body = b;
	n->groups = true;
	int last = e->program->value.v[value].nranks - 1;
	const char *turn = group > 1 ? arena_printf(a, "v_turn_%s", e->value[value].narrow) : "v_transpose";
	const char *rows = padded == extent ? lanes_from(e, rm, m) : arena_printf(a, "%s - %s", emit_after(e, rm->high), m);
	const char *columns = lanes_from(e, rd, d);
	if (group > 1)
		columns = arena_printf(a, "(%s - %s + %d) / %d", emit_after(e, rd->high), d, group - 1, group);
	c_line(a, b, "%s(%s, %lld, %s + %s, %lld, %s, %s);", turn, nest_address(n, s->target, NULL), (long long)t->panel,
	       e->value[value].name, nest_element(n, value), (long long)e->value[value].stride[last - 1] / group, rows,
	       columns);
}

void emit_swap(struct nest *n, const struct tile_statement *s, const struct shape_of *shape)
{
	struct emitter *e = n->e;
	struct arena *a = e->arena;
	uint32_t from = expr_at(e->pool, s->expression)->symbol;
	const char *m = e->index_name[shape->lane], *d = e->index_name[shape->inner],
	           *cast = e->value[from].integer ? "(real *)" : "";
	const struct current *rm = e->range[shape->lane], *rd = e->range[shape->inner];
	int rows = e->program->value.v[from].nranks - 2;
	e->value[from].memory = e->value[s->value].memory = true;
	n->loop[n->nloops++] = shape->lane;
	n->loop[n->nloops++] = shape->inner;
	struct c_block *b = c_open(a, n->body, "for (long %s = %s; %s <= %s; %s += LANES)", m, rm->low, m, rm->high, m);
	b = c_open(a, b, "for (long %s = %s; %s <= %s; %s += LANES)", d, rd->low, d, rd->high, d);
	c_line(a, b, "v_transpose(%s(%s), %lld, %s(%s), %lld, %s, %s);", cast, nest_pointer(n, s->value),
	       (long long)e->value[s->value].stride[rows], cast, nest_pointer(n, from),
	       (long long)e->value[from].stride[rows], lanes_from(e, rm, m), lanes_from(e, rd, d));
}
