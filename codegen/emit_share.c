/* What the calls of a contraction ask for of a later tile. */
#include "codegen/emit_share.h"

enum { LINES_APART = 16 }; /* a call's, from which on its micro-kernel asks */

/* Operand a is a tensor's tile of the walked index, and what FOR fetches ahead the same tile some steps on. */
struct share emit_share_of(struct nest *n, struct c_block *b, const struct tile_statement *s, const struct micro *k,
                           const char *row, const char *step)
{
	struct emitter *e = n->e;
	const struct current *walked = e->range[e->fetch_along], *rows = e->range[s->rows], *lanes = e->range[s->lanes];
	uint32_t tensor = expr_at(e->pool, s->a)->symbol, known = n->scalar.n;
	bool along_rows = e->fetch_along == s->rows;
	for (uint32_t i = 0; i < e->fetched.n; i++)
		if (e->fetched.v[i] == tensor)
			return (struct share){0};
	int64_t width = (int64_t)k->vectors * e->lanes, bytes = dtype_info[e->program->compute].bits / 8, line = 64 / bytes;
	if ((!along_rows && e->fetch_along != s->index) || walked->narrow || lanes->narrow || lanes->step > width ||
	    !walked->step || !e->range[s->index]->step)
		return (struct share){0};
	struct share h = {.row = along_rows ? row : step, .one = along_rows ? step : row};
	int64_t blocks = lanes->outer ? (lanes->outer->step + lanes->step - 1) / lanes->step : 1;
	int64_t calls = (rows->step + k->rows - 1) / k->rows;
	h.row_lines = (e->range[along_rows ? s->index : s->rows]->step + line - 1) / line;
	h.lines = (walked->step * h.row_lines + blocks * calls - 1) / (blocks * calls);
	while (h.lines % h.row_lines && h.row_lines % h.lines) /* whole rows, or a part of one that they have many of */
		h.lines++;
	n->row = n->body = b;
	h.from = plan_name(e, arena_printf(e->arena, "%s_next", e->tensor[tensor].name));
	c_line(e->arena, b, "const real *const %s = %s + %lld * %s;", h.from, nest_address(n, s->a, NULL), (long long)e->fetch,
	       h.row);
	n->scalar.n = known;
	h.first = lanes->outer ? arena_printf(e->arena, "(%s - %s) / %lld * %lld", lanes->low, lanes->outer->low,
	                                      (long long)lanes->step, (long long)(calls * h.lines))
	                       : "0";
	vec_push(e->arena, &e->fetched, tensor);
	int64_t steps = e->range[s->index]->step, part = h.lines;
	if (h.lines >= LINES_APART && h.lines <= steps && !k->group && !k->pairs) {
		if (h.lines > h.row_lines) {
			part = h.row_lines;
			h.span = steps = steps * part / h.lines;
		}
		h.each = (part * line + steps - 1) / steps;
	}
	return h;
}

const char *emit_share_meanwhile(struct nest *n, const struct share *h)
{
	long long number;
	if (!h->each)
		return NULL;
	if (!emit_whole_number(h->one, &number))
		return arena_printf(n->e->arena, "%s == 1", h->one);
	return number == 1 ? "" : NULL;
}

const char *emit_share_line(struct nest *n, const struct share *h, const char *line)
{
	return arena_printf(n->e->arena, "%s + %s / %lld * %s + %s %% %lld * %lld * %s", h->from, line, (long long)h->row_lines,
	                    h->row, line, (long long)h->row_lines,
	                    (long long)(64 * 8 / dtype_info[n->e->program->compute].bits), h->one);
}

void emit_share(struct nest *n, struct c_block *b, const struct share *h, const char *first)
{
	struct arena *a = n->e->arena;
	const char *line = plan_name(n->e, "line");
	c_line(a, c_open(a, b, "for (long %s = %s; %s < %s + %lld; %s++)", line, first, line, first, (long long)h->lines, line),
	       "v_ahead(%s);", emit_share_line(n, h, line));
}

const char *emit_share_first(struct nest *n, struct c_block *b, const struct share *h, const struct tile_statement *s, int block)
{
	const struct current *rows = n->e->range[s->rows];
	const char *first = plan_name(n->e, "first_line"), *low = rows->narrow ? rows->outer->low : rows->low;
	c_line(n->e->arena, b, "const long %s = %s + (%s - %s) / %d * %lld;", first, h->first,
	       nest_coordinate(n, s->rows), low, block, (long long)h->lines);
	return first;
}

void emit_share_twined(struct nest *n, struct c_block *b, const struct share *h, struct twine *t)
{
	struct emitter *e = n->e;
	const char *when = emit_share_meanwhile(n, h), *first = emit_share_first(n, b, h, t->statement, t->micro.rows);
	if (!when) {
		emit_share(n, b, h, first);
		return;
	}
	t->later = plan_name(e, "later");
	t->each = arena_printf(e->arena, "%lld", (long long)h->each);
	c_line(e->arena, b, "const real *%s = %s;", t->later, emit_share_line(n, h, first));
	if (*when) {
		const char *each = plan_name(e, "each");
		c_line(e->arena, b, "const long %s = %s ? %s : 0;", each, when, t->each);
		emit_share(n, c_open(e->arena, b, "if (!%s)", each), h, first);
		t->each = each;
	}
	t->span = h->span;
	if (!t->span)
		return;
	t->asked = plan_name(e, "asked");
	t->row = plan_name(e, "later_row");
	c_line(e->arena, b, "long %s = 0;", t->asked);
	c_line(e->arena, b, "const long %s = %s - %lld * %s;", t->row, h->row, (long long)h->span, t->each);
}
