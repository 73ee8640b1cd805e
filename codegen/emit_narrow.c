/* Operands narrower than computation: values in scratch of bf16 and i8, and micro-kernels that multiply them in groups,
 * as many elements along the contracted index as fill 32 bits of a lane. Operand b is in panels of such groups; a group
 * of a row of a, broadcast, meets a vector of them. */
#include "codegen/emit.h"

#include <string.h>

/* ---- values ---- */

const char *emit_narrow_load(const struct nest *n, uint32_t value, bool vector)
{
	const struct value_plan *p = &n->e->value[value];
	const char *prefix = vector ? p->integer ? "vi_load" : "v_load" : p->integer ? "si_get" : "s_get";
	return arena_printf(n->e->arena, "%s_%s(%s)", prefix, p->narrow, nest_pointer(n, value));
}

static void assigned(struct nest *n, uint32_t value, bool vector)
{
	struct value_plan *p = &n->e->value[value];
	p->memory = true;
	nest_assign(n, value, (struct term){emit_narrow_load(n, value, vector), p->integer ? KIND_INT : KIND_REAL, vector, false});
}

/* Does a statement of the loop read the value, or only assign it? */
static bool is_read(const struct nest *n, uint32_t value)
{
	for (uint32_t i = 1; i < n->e->pool->node.n; i++) {
		const struct expr_node *x = expr_at(n->e->pool, (struct expr){i});
		if (x->op == OP_VALUE && x->symbol == value && n->uses[i])
			return true;
	}
	return false;
}

/* Two vectors side by side are rounded by one instruction: the first of them, in a line of its own, waits for the second. */
static bool store_half(struct nest *n, uint32_t value, const char *to, const char *text)
{
	struct emitter *e = n->e;
	if (!n->half || strcmp(e->value[value].narrow, "bf16") != 0 || is_read(n, value))
		return false;
	if (n->half == 1) {
		struct term t = {text, KIND_REAL, true, false};
		text = nest_temporary(n, n->body, e->value[value].name, t);
		vec_push(e->arena, &n->first, (struct narrow_half){value, to, text});
		return true;
	}
	for (uint32_t i = n->first.n; i-- > 0;)
		if (n->first.v[i].value == value) {
			c_line(e->arena, n->body, "v_store_pair_bf16(%s, %s, %s);", n->first.v[i].to, n->first.v[i].text, text);
			return true;
		}
	return false;
}

void emit_narrow_store(struct nest *n, uint32_t value, const char *text, bool vector)
{
	struct emitter *e = n->e;
	const struct value_plan *p = &e->value[value];
	const char *to = nest_pointer(n, value);
	text = emit_strip(e, text);
	if (vector && !n->partial && store_half(n, value, to, text))
		;
	else if (!vector)
		c_line(e->arena, n->body, "%s_put_%s(%s, %s);", p->integer ? "si" : "s", p->narrow, to, text);
	else if (n->partial && !value_may_spill(e, value, value_rank(e, value, n->lane), e->lanes))
		c_line(e->arena, n->body, "%s_store_part_%s(%s, %s, %s);", p->integer ? "vi" : "v", p->narrow, to, text, n->left);
	else
		c_line(e->arena, n->body, "%s_store_%s(%s, %s);", p->integer ? "vi" : "v", p->narrow, to, text);
	assigned(n, value, vector);
}

bool emit_narrow_copy(struct nest *n, const struct tile_statement *s)
{
	struct emitter *e = n->e;
	const struct expr_node *read = expr_at(e->pool, s->expression);
	const char *stride;
	if (!e->value[s->value].narrow || read->op != OP_READ || n->lane == NO_INDEX ||
	    e->program->tensor.v[read->symbol].dtype != e->program->value.v[s->value].dtype ||
	    !nest_inside(n, s->expression))
		return false;
	const char *from = nest_address(n, s->expression, &stride);
	if (!stride)
		return false;
	c_line(e->arena, n->body, "v_copy_%s(%s, %s, %s, %s);", e->value[s->value].narrow, nest_pointer(n, s->value), from,
	       stride, n->left);
	assigned(n, s->value, true);
	return true;
}

void emit_weave(struct nest *n, const struct tile_statement *s, const struct shape_of *shape)
{
	struct emitter *e = n->e;
	struct arena *a = e->arena;
	uint32_t value = expr_at(e->pool, s->expression)->symbol;
	const struct tile_tensor *t = &e->program->tensor.v[expr_at(e->pool, s->target)->symbol];
	const struct value_plan *p = &e->value[value];
	const struct current *lanes = e->range[shape->lane], *across = e->range[shape->inner];
	const char *l = e->index_name[shape->lane], *k = e->index_name[shape->inner];
	e->value[value].memory = true;
	n->loop[n->nloops++] = shape->lane;
	n->loop[n->nloops++] = shape->inner;
	struct c_block *b = c_open(a, n->body, "for (long %s = %s; %s <= %s; %s += %d)", k, across->low, k, across->high, k,
	                           t->group);
	b = c_open(a, b, "for (long %s = %s; %s <= %s; %s += LANES)", l, lanes->low, l, lanes->high, l);
	n->row = n->body = b;
	n->groups = true;
	int before_last = e->program->value.v[value].nranks - 2;
	c_line(a, b, "v_weave_%s(%s, %s, %lld);", p->narrow, nest_address(n, s->target, NULL), nest_pointer(n, value),
	       (long long)p->stride[before_last]);
}

/* ---- contractions ---- */

static const char *limit(struct arena *a, const struct tile_program *p, const struct tile_block *b)
{
	const char *why = NULL;
	for (uint32_t i = 0; i < b->statement.n && !why; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		if (!(why = limit(a, p, &s->body)))
			why = limit(a, p, &s->other);
		if (why || s->kind != TILE_CONTRACT || s->operand == OPERAND_COMPUTE)
			continue;
		const struct expr_node *from = expr_at(p->pool, s->b);
		if (!tile_stands(p, s) && (from->op != OP_READ || p->tensor.v[from->symbol].group < 2))
			why = arena_printf(a, "%s is contracted as %s, and code for a host takes such an operand in panels of groups",
			                   p->value.v[s->value].name, operand_type_name[s->operand]);
		else if (s->operand == OPERAND_I8 && s->accumulate && s->scale.id)
			why = arena_printf(a, "%s is contracted as i8 and scaled before, which code for a host does not do",
			                   p->value.v[s->value].name);
	}
	return why;
}

const char *emit_narrow_limit(struct arena *a, const struct tile_program *p)
{
	const char *why = NULL;
	for (uint32_t i = 0; i < p->phase.n && !why; i++)
		why = limit(a, p, &p->phase.v[i].body);
	return why;
}

const char *emit_group_start(struct nest *n, struct c_block *b, const struct tile_statement *s, int block)
{
	struct emitter *e = n->e;
	struct arena *a = e->arena;
	const struct current *rows = s->rows == NO_INDEX ? NULL : e->range[s->rows];
	const char *name = plan_name(e, arena_printf(a, "%s_start", e->value[s->value].name));
	const char *count = emit_left(e, e->range[s->index], e->range[s->index]->low);
	uint32_t from = expr_at(e->pool, s->a)->symbol;
	c_line(a, b, "int %s[%lld] = {0};", name, (long long)((rows ? rows->step : 1) + block));
	if (!rows || rows->single) {
		c_line(a, b, "%s[0] = vi_dot_start_i8(%s, %s);", name, nest_pointer(n, from), count);
		return name;
	}
	b = emit_loop(e, b, s->rows);
	n->loop[n->nloops++] = s->rows;
	c_line(a, b, "%s[%s - %s] = vi_dot_start_i8(%s, %s);", name, e->index_name[s->rows], rows->low, nest_pointer(n, from),
	       count);
	n->nloops--;
	return name;
}

static void emit_start(struct emitter *e, struct c_block *b, const struct micro *k, bool whole)
{
	struct text t;
	for (int r = 0; r < k->rows; r++) {
		text_init(&t, e->arena);
		for (int v = 0; v < k->vectors; v++) {
			text_printf(&t, "%sc%d_%d = ", v ? ", " : whole ? "vint " : "vreal ", r, v);
			if (k->accumulate && whole)
				text_printf(&t, "vi_load(%s) + ", emit_times(e, "out", r * k->out_row, v));
			text_add(&t, whole ? arena_printf(e->arena, "vi_splat(start[%d])", r) : "v_splat(0)");
		}
		c_line(e->arena, b, "%s;", t.s);
	}
}

/* Products of a group: of `live` elements only, where that is a name. */
static void emit_step(struct emitter *e, struct c_block *b, const struct micro *k, bool whole, const char *live)
{
	struct arena *a = e->arena;
	struct text t;
	const char *also = live ? arena_printf(a, " & %s", live) : "";
	text_init(&t, a);
	for (int v = 0; v < k->vectors; v++)
		text_printf(&t, "%sb%d = v_groups_%s(%s)%s", v ? ", " : "const vint ", v, k->get,
		            v ? arena_printf(a, "b + %d * LANES", v * k->group) : "b", also);
	c_line(a, b, "%s;", t.s);
	c_line(a, b, "vint x;");
	for (int r = 0; r < k->rows; r++) {
		text_init(&t, a);
		text_printf(&t, "x = v_group_%s(a + %lld + k)%s;", k->get, (long long)(r * k->a_row), also);
		for (int v = 0; v < k->vectors; v++)
			text_printf(&t, " c%d_%d = %s_dot_%s(c%d_%d, x, b%d);", r, v, whole ? "vi" : "v", k->get, r, v, v);
		c_line(a, b, "%s", t.s);
	}
}

void emit_groups(struct emitter *e, const struct micro *k, const char *what)
{
	struct arena *a = e->arena;
	bool whole = !strcmp(k->get, "i8");
	struct text t;
	text_init(&t, a);
	text_printf(&t, "static __attribute__((noinline)) void %s(%sa, %sb, ", k->name, k->type, k->type);
	if (k->edge)
		text_add(&t, "long left, ");
	if (k->scale)
		text_add(&t, "const real *scale, ");
	if (whole)
		text_add(&t, "const int *start, ");
	if (k->fold)
		text_add(&t, "real *fold, ");
	text_printf(&t, "%s *out, long count)", whole ? "int" : "real");
	c_line(a, e->functions, "%s", "");
	c_comment(a, e->functions, what);
	struct c_block *f = c_open(a, e->functions, "%s", t.s);
	emit_start(e, f, k, whole);
	if (k->tail)
		c_line(a, f, "long k = 0;");
	struct c_block *loop = k->tail ? c_open(a, f, "for (; k + %d <= count; k += %d)", k->group, k->group)
	                               : c_open(a, f, "for (long k = 0; k < count; k += %d)", k->group);
	emit_step(e, loop, k, whole, NULL);
	c_line(a, loop, "b += %lld;", (long long)k->b_step);
	if (k->tail) {
		struct c_block *rest = c_open(a, f, "if (k < count)");
		c_line(a, rest, "const vint live = v_live_%s(count - k);", k->get);
		emit_step(e, rest, k, whole, "live");
	}
	if (!whole)
		emit_joins(e, f, k);
	for (int r = 0; r < k->rows; r++) {
		text_init(&t, a);
		for (int v = 0; v < k->vectors; v++) {
			const char *to = emit_times(e, "out", r * k->out_row, v), *v_ = whole ? "vi" : "v";
			if (k->edge)
				text_printf(&t, "%s%s_store_part(%s, c%d_%d, left - %d * LANES);", v ? " " : "", v_, to, r, v, v);
			else
				text_printf(&t, "%s%s_store(%s, c%d_%d);", v ? " " : "", v_, to, r, v);
		}
		c_line(a, f, "%s", t.s);
	}
	emit_folds(e, f, k);
}
