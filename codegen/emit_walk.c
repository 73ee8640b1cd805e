/* Ranges of tasks, loops, narrowing and branches, and the names around them: what is the same for every machine. */
#include "codegen/emit.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/whole.h"

static bool is_one(const struct emitter *e, struct expr x)
{
	double n;
	return expr_is_number(e->pool, x, &n) && n == 1;
}

int64_t emit_align(const struct emitter *e, struct expr x)
{
	const struct expr_node *node = expr_at(e->pool, x);
	switch (node->op) {
	case OP_CONST: return (int64_t)node->number;
	case OP_INDEX:
	case OP_LOW: return e->range[node->symbol]->align;
	case OP_MUL:
		return emit_align(e, expr_operand(e->pool, x, 0)) * emit_align(e, expr_operand(e->pool, x, 1));
	case OP_ADD: {
		const struct expr_node *at = expr_at(e->pool, expr_operand(e->pool, x, 0));
		if (at->op == OP_HIGH && is_one(e, expr_operand(e->pool, x, 1)))
			return gcd(e->range[at->symbol]->ends, e->program->index.v[at->symbol].extent);
	} /* fall through */
	case OP_SUB:
	case OP_MIN:
	case OP_MAX:
		return gcd(emit_align(e, expr_operand(e->pool, x, 0)),
		           emit_align(e, expr_operand(e->pool, x, 1)));
	default: return 1;
	}
}

bool emit_whole_number(const char *s, long long *n)
{
	char *end;
	*n = strtoll(s, &end, 10);
	return end != s && !*end;
}

static const char *int_text(struct emitter *e, struct c_block *b, struct expr x)
{
	struct nest n = {.e = e,
	                 .row = b,
	                 .body = b,
	                 .lane = NO_INDEX,
	                 .uses = arena_alloc(e->arena, e->pool->node.n)};
	return emit_strip(e, nest_text(&n, x, KIND_INT, false));
}

const char *emit_range_name(struct emitter *e, uint32_t index, const char *end)
{
	return plan_name(e, arena_printf(e->arena, "%s_%s", e->program->index.v[index].name, end));
}

/* Is the coordinate after the last surely not beyond the current range? */
static bool ends_inside(const struct emitter *e, struct expr end, const struct current *outer)
{
	const struct expr_node *node = expr_at(e->pool, end);
	long long high;
	if (node->op == OP_CONST)
		return emit_whole_number(outer->high, &high) && node->number <= (double)high + 1;
	if (node->op == OP_ADD && is_one(e, expr_operand(e->pool, end, 1)) &&
	    expr_at(e->pool, expr_operand(e->pool, end, 0))->op == OP_HIGH)
		return emit_whole_number(outer->high, &high) &&
		       e->program->index.v[expr_at(e->pool, expr_operand(e->pool, end, 0))->symbol].extent <=
		               high + 1;
	return node->op == OP_MIN && (ends_inside(e, expr_operand(e->pool, end, 0), outer) ||
	                              ends_inside(e, expr_operand(e->pool, end, 1), outer));
}

static bool begins_inside(const struct emitter *e, struct expr low, const struct current *outer)
{
	const struct expr_node *node = expr_at(e->pool, low);
	long long first;
	if (node->op == OP_CONST)
		return emit_whole_number(outer->low, &first) && node->number >= (double)first;
	if (node->op == OP_LOW && node->symbol == outer->index)
		return true;
	return node->op == OP_MAX && (begins_inside(e, expr_operand(e->pool, low, 0), outer) ||
	                              begins_inside(e, expr_operand(e->pool, low, 1), outer));
}

struct bounds emit_bounds(struct emitter *e, struct c_block *b, const struct tile_statement *s)
{
	struct current *outer = e->range[s->index];
	long long from, to, step = (long long)s->step;
	const char *low = s->low.id ? int_text(e, b, s->low) : outer->low;
	const char *end = s->high.id ? int_text(e, b, s->high) : emit_after(e, outer->high);
	int64_t align = s->low.id && strcmp(low, outer->low) ? emit_align(e, s->low) : outer->align;
	bool inside = s->high.id && ends_inside(e, s->high, outer);
	int64_t after = s->high.id ? emit_align(e, s->high) : 1; /* … and what the end may be cut to: */
	int64_t whole = !s->low.id || !s->high.id ? 1 : inside ? after : gcd(after, gcd(outer->align, outer->multiple));
	if (s->low.id && !begins_inside(e, s->low, outer)) {
		low = arena_printf(e->arena, "i_max(%s, %s)", low, outer->low);
		align = gcd(align, outer->align);
	}
	if (s->high.id && !ends_inside(e, s->high, outer) && strcmp(end, emit_after(e, outer->high)))
		end = arena_printf(e->arena, "i_min(%s, %s)", end, emit_after(e, outer->high));
	bool fixed = emit_whole_number(end, &to) && emit_whole_number(low, &from),
	     all = !strcmp(end, emit_after(e, outer->high)) && !strcmp(low, outer->low);
	struct current r = {.index = s->index,
	                    .single = step == 1,
	                    .step = s->step < outer->step ? s->step : outer->step,
	                    .outer = outer,
	                    .align = gcd(s->step, align),
	                    .multiple = 1};
	r.ends = gcd(step, align);
	if (strcmp(end, emit_after(e, outer->high)))
		r.ends = gcd(r.ends, fixed && to >= e->program->index.v[s->index].extent ? 0
		                     : fixed                                            ? to
		                     : inside                                           ? after
		                     : s->high.id                                       ? gcd(after, outer->ends)
		                                                                        : 1);
	else
		r.ends = gcd(r.ends, outer->ends);
	r.multiple = fixed ? gcd(step, (to - from) % step)
	             : all ? gcd(step, outer->multiple)
	                   : gcd(step, gcd(whole, align));
	r.grain = !strcmp(low, outer->low) ? step : !strcmp(outer->low, "0") ? r.align : 1;
	return (struct bounds){low, end, r};
}

const char *emit_constant(struct emitter *e, struct c_block *b, uint32_t index, const char *stem, const char *text)
{
	long long n;
	if (emit_whole_number(text, &n))
		return text;
	const char *name = emit_range_name(e, index, stem);
	c_line(e->arena, b, "const %s %s = %s;", e->integer, name, text);
	return name;
}

void emit_high(struct emitter *e, struct c_block *b, struct current *r, int64_t step, const char *end)
{
	r->high = emit_range_name(e, r->index, "high");
	if (r->multiple == step)
		c_line(e->arena, b, "const %s %s = %s + %lld;", e->integer, r->high, r->low, (long long)step - 1);
	else
		c_line(e->arena, b, "const %s %s = i_min(%s + %lld, %s) - 1;", e->integer, r->high, r->low,
		       (long long)step, end);
}

/* ---- NARROW ---- */

struct c_block *emit_narrow(struct emitter *e, struct c_block *b, const struct tile_statement *s)
{
	struct current *outer = e->range[s->index];
	long long step = (long long)(s->step ? s->step : 1);
	struct current r = {.index = s->index,
	                    .narrow = true,
	                    .step = outer->step,
	                    .grain = step,
	                    .outer = outer,
	                    .multiple = gcd(step, outer->multiple),
	                    .align = outer->align,
	                    .ends = gcd(step, gcd(outer->align, outer->ends))};
	r.low = outer->low;
	r.high = outer->high;
	if (!tile_keeps_low(e->pool, s)) {
		r.low = emit_range_name(e, s->index, "low");
		r.align = gcd(step, outer->align);
		const char *at = arena_printf(e->arena, "i_max(%s, %s)", outer->low, int_text(e, b, s->low));
		if (step == 1)
			c_line(e->arena, b, "const %s %s = %s;", e->integer, r.low, at);
		else
			c_line(e->arena, b, "const %s %s = %s + (%s - %s) / %lld * %lld;", e->integer, r.low,
			       outer->low, at, outer->low, step, step);
	}
	if (s->high.id) {
		r.high = emit_range_name(e, s->index, "high");
		const char *at = int_text(e, b, s->high);
		if (step == 1)
			c_line(e->arena, b, "const %s %s = i_min(%s + 1, %s) - 1;", e->integer, r.high, outer->high,
			       at);
		else
			c_line(e->arena, b,
			       "const %s %s = i_min(%s + 1, %s + (%s - %s + %lld) / %lld * %lld) - 1;",
			       e->integer, r.high, outer->high, outer->low,
			       strchr(at, ' ') ? arena_printf(e->arena, "(%s)", at) : at, outer->low,
			       step - 1, step, step);
	}
	if (!outer->single) /* of one coordinate there is nothing to name: it is there or not */
		e->range[s->index] = plan_range(e, r);
	return c_open(e->arena, b, "if (%s <= %s)", r.low, r.high);
}

/* ---- tasks ---- */

static long tasks_along(const struct emitter *e, const struct tile_task *t)
{
	int64_t extent = e->program->index.v[t->index].extent;
	return (long)((extent + t->step - 1) / t->step);
}

long emit_tasks(const struct emitter *e, const struct tile_phase *p)
{
	long n = 1;
	for (uint32_t i = 0; i < p->task.n; i++)
		n *= tasks_along(e, &p->task.v[i]);
	return n;
}

/* The ranges of a task's indices from its number: the last index varies fastest. */
/* Declares a task's range from the number of its step. */
static void emit_task_range(struct emitter *e, struct c_block *b, const struct tile_task *t, const char *number,
                            bool simple)
{
	struct arena *a = e->arena;
	int64_t extent = e->program->index.v[t->index].extent;
	long long step = (long long)t->step;
	struct current r = {.index = t->index,
	                    .step = t->step < extent ? t->step : extent,
	                    .grain = t->step,
	                    .align = t->step,
	                    .ends = t->step,
	                    .multiple = gcd(t->step, extent % t->step),
	                    .outer = e->range[t->index]};
	r.single = step == 1;
	r.low = r.single ? e->index_name[t->index] : emit_range_name(e, t->index, "low");
	if (!r.single)
		number = arena_printf(a, simple ? "%s * %lld" : "(%s) * %lld", number, step);
	c_line(a, b, "const %s %s = %s;", e->integer, r.low, number);
	r.high = r.low;
	if (!r.single) {
		r.high = emit_range_name(e, t->index, "high");
		if (extent % step)
			c_line(a, b, "const %s %s = i_min(%s + %lld, %lld) - 1;", e->integer, r.high, r.low, step,
			       (long long)extent);
		else
			c_line(a, b, "const %s %s = %s + %lld;", e->integer, r.high, r.low, step - 1);
	}
	e->range[t->index] = plan_range(e, r);
}

/* The turn of a task whose steps have an order: the index that stands for it. */
static void emit_turn(struct emitter *e, struct c_block *b, const struct tile_task *t, const char *number)
{
	const struct expr_node *n = expr_at(e->pool, t->order);
	uint32_t turn = expr_at(e->pool, expr_operand(e->pool, t->order, n->count - 1))->symbol;
	struct current r = {.index = turn,
	                    .step = 1,
	                    .grain = 1,
	                    .align = 1,
	                    .ends = 1,
	                    .multiple = 1,
	                    .single = true,
	                    .low = e->index_name[turn],
	                    .high = e->index_name[turn],
	                    .outer = e->range[turn]};
	c_line(e->arena, b, "const %s %s = %s;", e->integer, r.low, number);
	e->range[turn] = plan_range(e, r);
}

void emit_task(struct emitter *e, struct c_block *b, const struct tile_phase *p)
{
	struct arena *a = e->arena;
	bool many = p->task.n > 1;
	if (many)
		c_line(a, b, "%s rest = task;", e->integer);
	for (uint32_t i = p->task.n; i-- > 0;) {
		const struct tile_task *t = &p->task.v[i];
		long long count = tasks_along(e, t);
		const char *part = !many ? "task" : i ? arena_printf(a, "rest %% %lld", count) : "rest";
		if (t->down)
			part = arena_printf(a, "%lld - %s", count - 1, part);
		if (t->order.id)
			emit_turn(e, b, t, part);
		else
			emit_task_range(e, b, t, part, !(t->down || (many && i)));
		if (i)
			c_line(a, b, "rest /= %lld;", count);
	}
	for (uint32_t i = 0; i < p->task.n; i++) /* now that all that an order depends on is known */
		if (p->task.v[i].order.id)
			emit_task_range(e, b, &p->task.v[i], int_text(e, b, p->task.v[i].order), false);
}

void emit_whole_ranges(struct emitter *e)
{
	for (uint32_t i = 0; i < e->program->index.n; i++) {
		int64_t extent = e->program->index.v[i].extent;
		e->range[i] = plan_range(
		        e, (struct current){.index = i,
		                            .low = "0",
		                            .step = extent,
		                            .grain = extent,
		                            .multiple = extent,
		                            .single = extent == 1,
		                            .high = arena_printf(e->arena, "%lld", (long long)extent - 1)});
	}
}

void emit_start_names(struct emitter *e, bool known)
{
	e->taken.n = 0;
	for (uint32_t i = 0; i < e->program->tensor.n; i++)
		vec_push(e->arena, &e->taken, e->tensor[i].name);
	for (uint32_t i = 0; i < e->program->index.n; i++)
		vec_push(e->arena, &e->taken, e->index_name[i]);
	for (uint32_t i = 0; i < e->program->value.n; i++)
		if (!known || e->value[i].memory)
			vec_push(e->arena, &e->taken, e->value[i].name);
}

void emit_tensors(struct emitter *e, struct c_block *b, const char *args, bool flat)
{
	struct arena *a = e->arena;
	int argument = 0, strides = 0;
	for (uint32_t i = 0; i < e->program->tensor.n; i++) {
		const struct tile_tensor *t = &e->program->tensor.v[i];
		const struct tensor_plan *p = &e->tensor[i];
		int at = t->place == PLACE_ARGUMENT ? argument++ : -1;
		int first = strides;
		if (at >= 0)
			strides += t->nranks;
		if (!p->used)
			continue;
		const char *from = at < 0 ? arena_printf(a, "(char *)%s->work + %lld", args, (long long)p->offset)
		                          : arena_printf(a, "%s->data[%d]", args, at);
		if (t->dtype == DTYPE_I4) /* half bytes have no address: see si_get_i4 */
			c_line(a, b, "const long %s = (long)(%s) * 2;", p->name, from);
		else if (at < 0)
			c_line(a, b, "%s *const %s = (%s *)(%s);", p->type, p->name, p->type, from);
		else
			c_line(a, b,
			       t->role == ROLE_OUT ? "%s *const %s = (%s *)%s;"
			                           : "const %s *const %s = (const %s *)%s;",
			       p->type, p->name, p->type, from);
		for (int r = 0; at >= 0 && r < t->nranks; r++)
			if (p->strides >> r & 1)
				c_line(a, b, flat ? "const long %s_stride%d = %s->stride[%d];"
				                  : "const long %s_stride%d = %s->stride[%d][%d];",
				       p->name, r, args, flat ? first + r : at, r);
	}
}

/* ---- the unit ---- */

void emit_schedule(const char *schedule, struct text *t)
{
	text_add(t, "/*");
	for (const char *s = schedule ? schedule : ""; *s;) {
		size_t n = strcspn(s, "\n");
		text_add(t, *s == '\n' ? "" : " ");
		for (size_t i = 0; i < n; i++) {
			text_char(t, s[i]);
			if (s[i] == '*' && s[i + 1] == '/')
				text_char(t, ' ');
		}
		s += n + (s[n] == '\n');
		if (*s)
			text_add(t, "\n *");
	}
	text_add(t, " */\n\n");
}

const char *emit_identifier(struct arena *a, const char *name)
{
	char *s = arena_strdup(a, name ? name : "kernel");
	for (char *c = s; *c; c++)
		if (!isalnum((unsigned char)*c))
			*c = '_';
	return isdigit((unsigned char)*s) ? arena_printf(a, "_%s", s) : s;
}

void emit_inputs(struct arena *a, const struct tile_program *p, struct kernel_source *k)
{
	struct tile_inputs *inputs = arena_new_array(a, p->phase.n + 1, struct tile_inputs);
	tile_phase_inputs(a, p, inputs);
	for (uint32_t i = 0; i < p->phase.n; i++) {
		k->phase[i].inputs = inputs[i].of;
		k->phase[i].outputs = inputs[i].outputs;
	}
}

const char *emit_digest(struct arena *a, const struct kernel_source *k)
{
	struct text t;
	text_init(&t, a);
	text_add(&t, k->text);
	for (int i = 0; i < k->nphases; i++)
		text_printf(&t, "\n%s %ld %d %lld %llx %d", k->phase[i].symbol, k->phase[i].tasks, k->phase[i].threads,
		            (long long)k->phase[i].shared_bytes, (unsigned long long)k->phase[i].inputs,
		            k->phase[i].outputs);
	for (int i = 0; i < k->narguments; i++)
		text_printf(&t, "\n%d %d", k->argument[i].align, k->argument[i].unit);
	text_printf(&t, "\n%lld %lld", (long long)k->work_bytes, (long long)k->scratch_bytes);
	return digest_text(a, t.s, t.len);
}
