/* Values in expressions, in registers or in shared memory; statements that store them. */
#include <string.h>

#include "codegen/cuda_loops.h"

enum kind cuda_kind(const struct cuda *c, uint32_t value)
{
	return c->e.value[value].integer ? KIND_INT : KIND_REAL;
}

const char *cuda_c_type(enum kind kind)
{
	return kind == KIND_REAL ? "real" : "int";
}

static enum kind stored_kind(const struct cuda *c, uint32_t tensor)
{
	return dtype_info[c->e.program->tensor.v[tensor].dtype].integer ? KIND_INT : KIND_REAL;
}

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

const char *fragment_element(struct cuda *c, uint32_t value, const struct fragment_at *at)
{
	struct arena *a = c->e.arena;
	const char *name = c->e.value[value].name, *group = at->group ? emit_strip(&c->e, at->group) : NULL;
	switch (c->value[value].fragment) {
	case FRAGMENT_ROWS: return arena_printf(a, "%s[%s][%s]", name, group, emit_strip(&c->e, at->half));
	case FRAGMENT_LANES: return arena_printf(a, "%s[%s][%s]", name, at->columns, at->odd);
	case FRAGMENT_MATRIX:
		return arena_printf(a, "%s[%s][%s][%s * 2 + %s]", name, group, at->columns, at->half, at->odd);
	default: return name;
	}
}

const char *cuda_shared_element(struct cuda *c, const struct nest *n, uint32_t value)
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
	enum kind kind = cuda_kind(c, value);
	bool vector = n->spread && value_rank(n->e, value, n->across) >= 0;
	if (value_at(c, value, &c->at)) {
		struct term t = {fragment_element(c, value, &c->at), kind, vector, true};
		if (!n->spread || c->value[value].fragment != FRAGMENT_ROWS)
			return t;
		t.bare = false; /* read once a row */
		return nest_bind(n, x, arena_printf(c->e.arena, "%s_%s", c->e.value[value].name,
		                                    c->e.index_name[c->row_index]), t);
	}
	const char *text = tile_get(c, &c->value[value].tile, cuda_shared_element(c, n, value));
	if (c->value[value].tile.element == OPERAND_I8 && kind == KIND_REAL)
		text = arena_printf(c->e.arena, "(real)%s", text);
	return nest_bind(n, x, arena_printf(c->e.arena, "%s_0", c->e.value[value].name),
	                 (struct term){text, kind, vector, false});
}

void cuda_touch_in(struct cuda *c, struct c_block *b, struct expr x, const struct cuda_loops *l)
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
	cuda_touch_in(c, b, x, &none);
}

void cuda_count(struct nest *n, const struct tile_statement *s, struct expr x)
{
	nest_count(n, x);
	if (s->kind == TILE_STORE)
		nest_count(n, s->target);
}

void cuda_store(struct nest *n, const struct tile_statement *s, struct expr x, const char *condition)
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
