/* tile_print.c: a tile program as text. Declarations first, then phases; blocks are told by indentation.
 * docs/tile.md is the reference of this form. */
#include <string.h>

#include "codegen/tile.h"

static const char *symbol_name(const void *owner, enum op op, uint32_t symbol)
{
	const struct tile_program *p = owner;
	switch (op) {
	case OP_READ: return p->tensor.v[symbol].name;
	case OP_VALUE: return p->value.v[symbol].name;
	default: return p->index.v[symbol].name;
	}
}

struct expr_names tile_names(const struct tile_program *p)
{
	return (struct expr_names){symbol_name, p};
}

static void print_expr(const struct tile_program *p, struct expr e, struct text *t)
{
	struct expr_names names = tile_names(p);
	expr_print(p->pool, e, &names, t);
}

static const char *index_name(const struct tile_program *p, uint32_t i)
{
	return p->index.v[i].name;
}

static void print_range(const struct tile_program *p, const struct tile_statement *s, struct text *t)
{
	text_printf(t, " %s by %lld from ", index_name(p, s->index), (long long)s->step);
	print_expr(p, s->low, t);
	text_add(t, " to ");
	print_expr(p, s->high, t);
}

static void print_contract(const struct tile_program *p, const struct tile_statement *s, struct text *t)
{
	text_add(t, "contract ");
	print_expr(p, s->a, t);
	text_add(t, ", ");
	print_expr(p, s->b, t);
	text_printf(t, " over %s", index_name(p, s->index));
	if (s->operand != OPERAND_COMPUTE)
		text_printf(t, " as %s", operand_type_name[s->operand]);
	if (s->rows != UINT32_MAX)
		text_printf(t, " rows %s:%d", index_name(p, s->rows), s->block_rows);
	text_printf(t, " lanes %s:%d", index_name(p, s->lanes), s->block_lanes);
	if (s->twine)
		text_add(t, " twine");
	if (s->accumulate)
		text_add(t, " accumulate");
	if (s->accumulate && s->scale.id) {
		text_add(t, " scale ");
		print_expr(p, s->scale, t);
	}
}

static void print_select(const struct tile_program *p, const struct tile_statement *s, struct text *t)
{
	text_printf(t, "select %s", selection_info[s->select].spelling);
	if (selection_info[s->select].argument) {
		text_char(t, ' ');
		text_number(t, s->argument);
	}
	text_printf(t, " over %s", index_name(p, s->index));
	if (s->select == SELECT_MEMBERS)
		text_printf(t, " slots %s", index_name(p, s->slot));
	text_add(t, " of ");
	print_expr(p, s->expression, t);
	if (s->present.id) {
		text_add(t, " where ");
		print_expr(p, s->present, t);
	}
}

void tile_statement_print(const struct tile_program *p, const struct tile_statement *s, struct text *t)
{
	switch (s->kind) {
	case TILE_FOR:
		text_add(t, "for");
		print_range(p, s, t);
		if (s->down)
			text_add(t, " down");
		if (s->stages)
			text_printf(t, " stages %d", s->stages);
		return;
	case TILE_NARROW:
		text_add(t, "narrow");
		print_range(p, s, t);
		return;
	case TILE_IF:
		text_add(t, "if ");
		print_expr(p, s->expression, t);
		return;
	case TILE_STORE:
	case TILE_SELECT:
		text_add(t, "store ");
		print_expr(p, s->target, t);
		text_add(t, " = ");
		if (s->kind == TILE_SELECT)
			print_select(p, s, t);
		else
			print_expr(p, s->expression, t);
		return;
	default: break;
	}
	text_printf(t, "%s = ", p->value.v[s->value].name);
	switch (s->kind) {
	case TILE_CONTRACT: print_contract(p, s, t); return;
	case TILE_REDUCE:
		text_printf(t, "reduce %s%s over %s of ", reduction_info[s->reduce].spelling, s->numbers ? "num" : "",
		            index_name(p, s->index));
		break;
	case TILE_LOAD: text_add(t, "load "); break;
	default: text_add(t, "map "); break;
	}
	print_expr(p, s->expression, t);
}

static void print_block(const struct tile_program *p, const struct tile_block *b, int depth, struct text *t)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		text_indent(t, depth);
		tile_statement_print(p, s, t);
		text_char(t, '\n');
		print_block(p, &s->body, depth + 1, t);
		if (s->other.statement.n) {
			text_indent(t, depth);
			text_add(t, "else\n");
			print_block(p, &s->other, depth + 1, t);
		}
	}
}

static void print_schedule(const char *s, struct text *t)
{
	while (s && *s) {
		size_t n = strcspn(s, "\n");
		text_add(t, n ? "| " : "|");
		text_bytes(t, s, n);
		text_char(t, '\n');
		s += n + (s[n] == '\n');
	}
}

static void print_tensor(const struct tile_tensor *x, struct text *t)
{
	static const char *const roles[] = {[ROLE_IN] = "in", [ROLE_OUT] = "out", [ROLE_LOCAL] = "work"};
	text_printf(t, "%s %s[", roles[x->place == PLACE_WORK ? ROLE_LOCAL : x->role], x->name);
	for (int k = 0; k < x->nranks; k++)
		text_printf(t, "%s%lld", k ? ", " : "", (long long)x->extent[k]);
	text_printf(t, "] : %s", dtype_info[x->dtype].spelling);
	if (x->panel)
		text_printf(t, " panel %lld of %d", (long long)x->panel, x->lanes);
	if (x->panel && x->group > 1)
		text_printf(t, " by %d", x->group);
	text_char(t, '\n');
}

static void print_value(const struct tile_program *p, const struct tile_value *v, struct text *t)
{
	text_printf(t, "value %s[", v->name);
	for (int k = 0; k < v->nranks; k++)
		text_printf(t, "%s%s:%lld", k ? ", " : "", index_name(p, v->index[k]), (long long)v->capacity[k]);
	text_printf(t, "] : %s\n", dtype_info[v->dtype].spelling);
}

static void print_task(const struct tile_program *p, const struct tile_task *k, struct text *t)
{
	text_printf(t, "  task %s by %lld%s", index_name(p, k->index), (long long)k->step, k->down ? " down" : "");
	if (k->order.id) {
		text_add(t, " order ");
		print_expr(p, k->order, t);
	}
	text_char(t, '\n');
}

void tile_print(const struct tile_program *p, struct text *t)
{
	text_printf(t, "program %s : %s\n", p->name, dtype_info[p->compute].spelling);
	print_schedule(p->schedule, t);
	for (uint32_t i = 0; i < p->index.n; i++)
		text_printf(t, "index %s : %lld\n", p->index.v[i].name, (long long)p->index.v[i].extent);
	for (uint32_t i = 0; i < p->tensor.n; i++)
		print_tensor(&p->tensor.v[i], t);
	for (uint32_t i = 0; i < p->value.n; i++)
		print_value(p, &p->value.v[i], t);
	for (uint32_t i = 0; i < p->phase.n; i++) {
		const struct tile_phase *f = &p->phase.v[i];
		text_printf(t, "phase %s\n", f->name);
		for (uint32_t k = 0; k < f->task.n; k++)
			print_task(p, &f->task.v[k], t);
		print_block(p, &f->body, 1, t);
	}
}
