/* The C emitter: a tile program to one header-free translation unit (the ABI is codegen/kernel.h). */
#include "codegen/emit.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/whole.h"
#include "codegen/schedule.h"

/* A number that divides the value of an int expression; 0 when it is 0. */
static int64_t align_of(const struct emitter *e, struct expr x)
{
	const struct expr_node *node = expr_at(e->pool, x);
	switch (node->op) {
	case OP_CONST: return (int64_t)node->number;
	case OP_INDEX:
	case OP_LOW: return e->range[node->symbol]->align;
	case OP_MUL:
		return align_of(e, expr_operand(e->pool, x, 0)) * align_of(e, expr_operand(e->pool, x, 1));
	case OP_ADD:
	case OP_SUB:
	case OP_MIN:
	case OP_MAX:
		return gcd(align_of(e, expr_operand(e->pool, x, 0)),
		           align_of(e, expr_operand(e->pool, x, 1)));
	default: return 1;
	}
}

static bool number_of(const char *s, long long *n)
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

static const char *range_name(struct emitter *e, uint32_t index, const char *end)
{
	return plan_name(e, arena_printf(e->arena, "%s_%s", e->program->index.v[index].name, end));
}

static void emit_block(struct emitter *, struct c_block *, const struct tile_statement *, uint32_t n);

/* ---- FOR ---- */

static bool is_one(const struct emitter *e, struct expr x)
{
	double n;
	return expr_is_number(e->pool, x, &n) && n == 1;
}

/* Is the coordinate after the last surely not beyond the current range? */
static bool ends_inside(const struct emitter *e, struct expr end, const struct current *outer)
{
	const struct expr_node *node = expr_at(e->pool, end);
	long long high;
	if (node->op == OP_CONST)
		return number_of(outer->high, &high) && node->number <= (double)high + 1;
	if (node->op == OP_ADD && is_one(e, expr_operand(e->pool, end, 1)) &&
	    expr_at(e->pool, expr_operand(e->pool, end, 0))->op == OP_HIGH)
		return number_of(outer->high, &high) &&
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
		return number_of(outer->low, &first) && node->number >= (double)first;
	if (node->op == OP_LOW && node->symbol == outer->index)
		return true;
	return node->op == OP_MAX && (begins_inside(e, expr_operand(e->pool, low, 0), outer) ||
	                              begins_inside(e, expr_operand(e->pool, low, 1), outer));
}

static void emit_for(struct emitter *e, struct c_block *b, const struct tile_statement *s)
{
	struct current *outer = e->range[s->index];
	long long from, to, step = (long long)s->step;
	const char *low = s->low.id ? int_text(e, b, s->low) : outer->low;
	const char *end = s->high.id ? int_text(e, b, s->high) : emit_after(e, outer->high);
	int64_t align = s->low.id && strcmp(low, outer->low) ? align_of(e, s->low) : outer->align;
	if (s->low.id && !begins_inside(e, s->low, outer)) {
		low = arena_printf(e->arena, "i_max(%s, %s)", low, outer->low);
		align = gcd(align, outer->align);
	}
	if (s->high.id && !ends_inside(e, s->high, outer) && strcmp(end, emit_after(e, outer->high)))
		end = arena_printf(e->arena, "i_min(%s, %s)", end, emit_after(e, outer->high));
	bool fixed = number_of(end, &to) && number_of(low, &from),
	     all = !strcmp(end, emit_after(e, outer->high)) && !strcmp(low, outer->low);
	struct current r = {.index = s->index,
	                    .step = s->step < outer->step ? s->step : outer->step,
	                    .outer = outer,
	                    .align = gcd(s->step, align),
	                    .multiple = 1};
	r.multiple = fixed ? gcd(step, (to - from) % step) : all ? gcd(step, outer->multiple) : 1;
	r.grain = !strcmp(low, outer->low) ? step : !strcmp(outer->low, "0") ? r.align : 1;
	if (!number_of(end, &to)) {
		const char *name = range_name(e, s->index, "end");
		c_line(e->arena, b, "const long %s = %s;", name, end);
		end = name;
	}
	if (s->down && !number_of(low, &from)) {
		const char *name = range_name(e, s->index, "first");
		c_line(e->arena, b, "const long %s = %s;", name, low);
		low = name;
	}
	r.single = step == 1;
	r.low = r.single ? e->index_name[s->index] : range_name(e, s->index, "low");
	r.high = r.low;
	struct c_block *body;
	if (s->down)
		body = c_open(
		        e->arena, b,
		        "for (long %s = %s + ((%s - %s + %lld) / %lld - 1) * %lld; %s >= %s; %s -= %lld)",
		        r.low, low, end, low, step - 1, step, step, r.low, low, r.low, step);
	else
		body = c_open(e->arena, b,
		              r.single ? "for (long %s = %s; %s < %s; %s++)"
		                       : "for (long %s = %s; %s < %s; %s += %lld)",
		              r.low, low, r.low, end, r.low, step);
	if (!r.single) {
		r.high = range_name(e, s->index, "high");
		if (r.multiple == step)
			c_line(e->arena, body, "const long %s = %s + %lld;", r.high, r.low, step - 1);
		else
			c_line(e->arena, body, "const long %s = i_min(%s + %lld, %s) - 1;", r.high, r.low,
			       step, end);
	}
	e->range[s->index] = plan_range(e, r);
	emit_block(e, body, s->body.statement.v, s->body.statement.n);
	e->range[s->index] = outer;
}

/* ---- NARROW ---- */

/* The rest of the block, [s + 1, s + n), runs where the narrowed range is not empty. */
static void emit_narrow(struct emitter *e, struct c_block *b, const struct tile_statement *s, uint32_t n)
{
	struct current *outer = e->range[s->index];
	long long step = (long long)(s->step ? s->step : 1);
	struct current r = {.index = s->index,
	                    .narrow = true,
	                    .step = outer->step,
	                    .grain = step,
	                    .outer = outer,
	                    .multiple = gcd(step, outer->multiple),
	                    .align = gcd(step, outer->align)};
	double least;
	r.low = outer->low;
	r.high = outer->high;
	if (s->low.id && !(expr_is_number(e->pool, s->low, &least) && least <= 0)) {
		r.low = range_name(e, s->index, "low");
		const char *at = arena_printf(e->arena, "i_max(%s, %s)", outer->low, int_text(e, b, s->low));
		if (step == 1)
			c_line(e->arena, b, "const long %s = %s;", r.low, at);
		else
			c_line(e->arena, b, "const long %s = %s + (%s - %s) / %lld * %lld;", r.low,
			       outer->low, at, outer->low, step, step);
	}
	if (s->high.id) {
		r.high = range_name(e, s->index, "high");
		const char *at = int_text(e, b, s->high);
		if (step == 1)
			c_line(e->arena, b, "const long %s = i_min(%s + 1, %s) - 1;", r.high, outer->high,
			       at);
		else
			c_line(e->arena, b,
			       "const long %s = i_min(%s + 1, %s + (%s - %s + %lld) / %lld * %lld) - 1;",
			       r.high, outer->high, outer->low,
			       strchr(at, ' ') ? arena_printf(e->arena, "(%s)", at) : at, outer->low,
			       step - 1, step, step);
	}
	if (!outer->single) /* of one coordinate there is nothing to name: it is there or not */
		e->range[s->index] = plan_range(e, r);
	emit_block(e, c_open(e->arena, b, "if (%s <= %s)", r.low, r.high), s + 1, n - 1);
	e->range[s->index] = outer;
}

static void emit_if(struct emitter *e, struct c_block *b, const struct tile_statement *s)
{
	struct nest n = {.e = e,
	                 .row = b,
	                 .body = b,
	                 .lane = NO_INDEX,
	                 .uses = arena_alloc(e->arena, e->pool->node.n)};
	const char *condition = emit_condition(&n, s->expression);
	emit_block(e, c_open(e->arena, b, "if (%s)", condition), s->body.statement.v, s->body.statement.n);
	if (s->other.statement.n)
		emit_block(e, c_open(e->arena, b, "else"), s->other.statement.v, s->other.statement.n);
}

static void emit_block(struct emitter *e, struct c_block *b, const struct tile_statement *s, uint32_t n)
{
	uint32_t names = e->taken.n;
	struct group group;
	for (uint32_t i = 0; i < n;) {
		switch (s[i].kind) {
		case TILE_FOR: emit_for(e, b, &s[i++]); break;
		case TILE_IF: emit_if(e, b, &s[i++]); break;
		case TILE_CONTRACT: emit_contract(e, b, &s[i++]); break;
		case TILE_NARROW:
			emit_narrow(e, b, &s[i], n - i);
			i = n;
			break;
		default:
			group_take(e, s + i, n - i, &group);
			emit_group(e, b, &group);
			i += (uint32_t)group.count;
		}
	}
	e->taken.n = names;
}

/* ---- phases ---- */

static long tasks_along(const struct emitter *e, const struct tile_task *t)
{
	int64_t extent = e->program->index.v[t->index].extent;
	return (long)((extent + t->step - 1) / t->step);
}

/* The ranges of a task's indices from its number: the last index varies fastest. */
static void emit_task(struct emitter *e, struct c_block *b, const struct tile_phase *p)
{
	struct arena *a = e->arena;
	bool many = p->task.n > 1;
	if (many)
		c_line(a, b, "long rest = task;");
	for (uint32_t i = p->task.n; i-- > 0;) {
		const struct tile_task *t = &p->task.v[i];
		int64_t extent = e->program->index.v[t->index].extent;
		long long step = (long long)t->step, count = tasks_along(e, t);
		struct current r = {.index = t->index,
		                    .step = t->step < extent ? t->step : extent,
		                    .grain = t->step,
		                    .align = t->step,
		                    .multiple = gcd(t->step, extent % t->step),
		                    .outer = e->range[t->index]};
		const char *part = !many ? "task" : i ? arena_printf(a, "rest %% %lld", count) : "rest";
		r.single = step == 1;
		r.low = r.single ? e->index_name[t->index] : range_name(e, t->index, "low");
		if (t->down)
			part = arena_printf(a, "%lld - %s", count - 1, part);
		if (!r.single)
			part = arena_printf(a, t->down || (many && i) ? "(%s) * %lld" : "%s * %lld", part,
			                    step);
		c_line(a, b, "const long %s = %s;", r.low, part);
		r.high = r.low;
		if (!r.single) {
			r.high = range_name(e, t->index, "high");
			if (extent % step)
				c_line(a, b, "const long %s = i_min(%s + %lld, %lld) - 1;", r.high, r.low,
				       step, (long long)extent);
			else
				c_line(a, b, "const long %s = %s + %lld;", r.high, r.low, step - 1);
		}
		if (i)
			c_line(a, b, "rest /= %lld;", count);
		e->range[t->index] = plan_range(e, r);
	}
}

static void whole_ranges(struct emitter *e)
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

static void start_names(struct emitter *e, bool known)
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

static void declare_tensors(struct emitter *e, struct c_block *b)
{
	struct arena *a = e->arena;
	int argument = 0;
	for (uint32_t i = 0; i < e->program->tensor.n; i++) {
		const struct tile_tensor *t = &e->program->tensor.v[i];
		const struct tensor_plan *p = &e->tensor[i];
		int at = t->place == PLACE_ARGUMENT ? argument++ : -1;
		if (!p->used)
			continue;
		const char *from = at < 0 ? arena_printf(a, "(char *)args->work + %lld", (long long)p->offset)
		                          : arena_printf(a, "args->data[%d]", at);
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
				c_line(a, b, "const long %s_stride%d = args->stride[%d][%d];", p->name, r, at,
				       r);
	}
}

static void declare_values(struct emitter *e, struct c_block *b)
{
	bool any = false;
	for (uint32_t i = 0; i < e->program->value.n; i++) {
		const struct value_plan *v = &e->value[i];
		if (!v->memory)
			continue;
		const char *type = v->integer ? "int" : "real";
		c_line(e->arena, b, "%s *const %s = (%s *)((char *)scratch + %lld);", type, v->name, type,
		       (long long)v->offset);
		any = true;
	}
	if (!any)
		c_line(e->arena, b, "(void)scratch;");
}

static void emit_phase(struct emitter *e, struct c_block *unit, const struct tile_phase *p,
                       const char *symbol)
{
	for (uint32_t i = 0; i < e->program->tensor.n; i++) {
		e->tensor[i].used = false;
		e->tensor[i].strides = 0;
	}
	for (uint32_t i = 0; i < e->program->value.n; i++)
		e->value[i].memory = false;
	uint32_t micros = e->micro.n;
	for (int round = 0; round < 2; round++) {
		struct c_block discard = {0}, *out = round ? unit : &discard;
		e->micro.n = micros;
		start_names(e, round);
		whole_ranges(e);
		if (round) {
			plan_scratch(e);
			e->functions = c_group(e->arena, out);
			c_line(e->arena, out, "%s", "");
			c_comment(e->arena, out, arena_printf(e->arena, "phase %s", p->name));
		} else {
			e->functions = &discard;
		}
		struct c_block *f = c_open(
		        e->arena, out,
		        "void %s(const struct at_args *args, long begin, long end, void *scratch)", symbol);
		declare_tensors(e, f);
		declare_values(e, f);
		struct c_block *body = c_open(e->arena, f, "for (long task = begin; task < end; task++)");
		if (p->task.n)
			emit_task(e, body, p);
		emit_block(e, body, p->body.statement.v, p->body.statement.n);
	}
}

/* ---- the unit ---- */

static void print_schedule(const char *schedule, struct text *t)
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

static const char *identifier(struct arena *a, const char *name)
{
	char *s = arena_strdup(a, name ? name : "kernel");
	for (char *c = s; *c; c++)
		if (!isalnum((unsigned char)*c))
			*c = '_';
	return isdigit((unsigned char)*s) ? arena_printf(a, "_%s", s) : s;
}

static const char *source_digest(struct arena *a, const struct kernel_source *k)
{
	struct text t;
	text_init(&t, a);
	text_add(&t, k->text);
	for (int i = 0; i < k->nphases; i++)
		text_printf(&t, "\n%s %ld", k->phase[i].symbol, k->phase[i].tasks);
	text_printf(&t, "\n%lld %lld", (long long)k->work_bytes, (long long)k->scratch_bytes);
	return digest_text(a, t.s, t.len);
}

struct kernel_source emit_c(struct arena *arena, const struct tile_program *program, enum isa isa,
                            int exp_degree)
{
	struct kernel_source k = {.nphases = (int)program->phase.n};
	struct emitter e = {.arena = arena,
	                    .program = program,
	                    .pool = program->pool,
	                    .real_double = program->compute == DTYPE_F64};
	if (e.real_double)
		isa = ISA_SCALAR;
	e.lanes = isa_info[isa].lanes;
	plan_init(&e);
	struct c_block unit = {0};
	const char *name = identifier(arena, program->name);
	k.phase = arena_new_array(arena, program->phase.n, struct kernel_phase);
	for (uint32_t i = 0; i < program->phase.n; i++) {
		const struct tile_phase *p = &program->phase.v[i];
		k.phase[i].symbol = arena_printf(arena, "%s_phase%u", name, i);
		k.phase[i].tasks = 1;
		for (uint32_t j = 0; j < p->task.n; j++)
			k.phase[i].tasks *= tasks_along(&e, &p->task.v[j]);
		emit_phase(&e, &unit, p, k.phase[i].symbol);
	}
	struct text body, text;
	text_init(&body, arena);
	c_print(&unit, 0, &body);
	text_init(&text, arena);
	print_schedule(program->schedule, &text);
	text_printf(&text, "#define EXP_DEGREE %d\n", exp_degree);
	emit_prelude(arena, isa, e.real_double, body.s, &text);
	text_add(&text, body.s);
	k.text = text.s;
	/* Kernels may read, never write, a block past the last value. */
	int64_t widest = 0;
	for (uint32_t i = 0; i < program->index.n; i++)
		if (widest < e.lane_block[i])
			widest = e.lane_block[i];
	k.scratch_bytes = (e.scratch_bytes + (widest + e.lanes) * 8 + 63) / 64 * 64;
	k.work_bytes = e.work_bytes;
	k.digest = source_digest(arena, &k);
	return k;
}
