/* The C emitter: a tile program to one header-free translation unit (the ABI is codegen/kernel.h). */
#include "codegen/emit.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/whole.h"
#include "codegen/schedule.h"

static void emit_block(struct emitter *, struct c_block *, const struct tile_statement *, uint32_t n);

static void emit_for(struct emitter *e, struct c_block *b, const struct tile_statement *s)
{
	struct current *outer = e->range[s->index];
	long long step = (long long)s->step;
	struct bounds at = emit_bounds(e, b, s);
	struct current r = at.range;
	const char *end = emit_constant(e, b, s->index, "end", at.end);
	/* A coordinate inside a single one of the same index has its name, and hides it. */
	bool hides = r.single && outer->single;
	const char *low = s->down || hides ? emit_constant(e, b, s->index, "first", at.low) : at.low;
	r.low = r.single ? e->index_name[s->index] : emit_range_name(e, s->index, "low");
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
	if (!r.single)
		emit_high(e, body, &r, step, end);
	int64_t fetch = e->fetch;
	uint32_t fetch_along = e->fetch_along, fetched = e->fetched.n, walked = e->walked;
	e->walked = s->down ? NO_INDEX : s->index;
	if (s->stages > 1) {
		e->fetch = (s->stages - 1) * (s->down ? -step : step);
		e->fetch_along = s->index;
	}
	e->range[s->index] = plan_range(e, r);
	emit_block(e, body, s->body.statement.v, s->body.statement.n);
	e->range[s->index] = outer;
	e->fetch = fetch;
	e->fetch_along = fetch_along;
	e->walked = walked;
	e->fetched.n = fetched;
}

/* A tile of what is walked, loaded to be decoded, row by row: nothing is fetched ahead while it is computed with. */
static void emit_loaded(struct emitter *e, struct c_block *b, const struct group *group)
{
	enum { BYTES = 8 << 10 };
	const struct tile_statement *s = group->statement[0];
	const struct tile_value *v = &e->program->value.v[s->value];
	int64_t ahead = e->ahead;
	uint32_t along = e->ahead_along;
	if (!ahead && s->kind == TILE_LOAD && e->walked != NO_INDEX && v->nranks == 2 && v->index[0] == e->walked) {
		int64_t narrowest = 0;
		struct expr *node;
		for (uint32_t k = 0, n = expr_nodes(e->pool, s->expression, &node); k < n; k++) {
			const struct expr_node *x = expr_at(e->pool, node[k]);
			const struct tile_tensor *t = x->op == OP_READ ? &e->program->tensor.v[x->symbol] : NULL;
			if (t && t->nranks && dtype_info[t->dtype].bits <= 8 &&
			    expr_operand(e->pool, node[k], t->nranks - 1).id &&
			    expr_mentions(e->pool, node[k], OP_INDEX, v->index[1]))
				narrowest = t->extent[t->nranks - 1] * dtype_info[t->dtype].bits / 8;
		}
		if (narrowest && narrowest <= BYTES / 2) {
			e->ahead = BYTES / narrowest;
			e->ahead_along = e->walked;
		}
	}
	emit_group(e, b, group);
	e->ahead = ahead;
	e->ahead_along = along;
}

static void emit_if(struct emitter *e, struct c_block *b, const struct tile_statement *s)
{
	struct nest n = {.e = e,
	                 .row = b,
	                 .body = b,
	                 .lane = NO_INDEX,
	                 .uses = arena_alloc(e->arena, e->pool->node.n)};
	const char *condition = emit_condition(&n, s->expression);
	uint32_t fetched = e->fetched.n;
	emit_block(e, c_open(e->arena, b, "if (%s)", condition), s->body.statement.v, s->body.statement.n);
	e->fetched.n = fetched;
	if (s->other.statement.n)
		emit_block(e, c_open(e->arena, b, "else"), s->other.statement.v, s->other.statement.n);
	e->fetched.n = fetched;
}

static void emit_block(struct emitter *e, struct c_block *b, const struct tile_statement *s, uint32_t n)
{
	uint32_t names = e->taken.n;
	struct group group;
	for (uint32_t i = 0; i < n;) {
		switch (s[i].kind) {
		case TILE_FOR: emit_for(e, b, &s[i++]); break;
		case TILE_IF: emit_if(e, b, &s[i++]); break;
		case TILE_CONTRACT: i += emit_contract(e, b, &s[i], n - i, NULL); break;
		case TILE_SELECT: emit_select(e, b, &s[i++]); break;
		case TILE_NARROW: {
			struct current *outer = e->range[s[i].index];
			emit_block(e, emit_narrow(e, b, &s[i]), s + i + 1, n - i - 1);
			e->range[s[i].index] = outer;
			i = n;
			break;
		}
		default:
			group_take(e, s + i, n - i, &group);
			i += (uint32_t)group.count;
			if (i < n && s[i].kind == TILE_CONTRACT && s[i].twine)
				i += emit_contract(e, b, &s[i], n - i, &group);
			else
				emit_loaded(e, b, &group);
		}
	}
	e->taken.n = names;
}

/* ---- phases ---- */

static void declare_values(struct emitter *e, struct c_block *b)
{
	bool any = false;
	for (uint32_t i = 0; i < e->program->value.n; i++) {
		const struct value_plan *v = &e->value[i];
		if (!v->memory)
			continue;
		const char *type = v->narrow ? v->integer ? "signed char" : "unsigned short" : v->integer ? "int" : "real";
		c_line(e->arena, b, "%s *const %s = (%s *)((char *)scratch + %lld);", type, v->name, type,
		       (long long)v->offset);
		any = true;
	}
	if (!any)
		c_line(e->arena, b, "(void)scratch;");
}

/* A phase that only moves waits for memory: at the end of each page, and of each task, no machine fetches ahead. */
static void look_ahead(struct emitter *e, const struct tile_phase *p)
{
	e->ahead = 0;
	e->walked = NO_INDEX;
	for (uint32_t i = 0; i < p->task.n; i++)
		if (p->task.v[i].step > 1 && !p->task.v[i].order.id) {
			e->ahead = p->task.v[i].down ? -p->task.v[i].step : p->task.v[i].step;
			e->ahead_along = p->task.v[i].index;
		}
	for (uint32_t i = 0; i < p->body.statement.n; i++)
		if (p->body.statement.v[i].kind != TILE_LOAD && p->body.statement.v[i].kind != TILE_STORE)
			e->ahead = 0;
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
	e->select_offset = e->select_bytes = 0;
	for (int round = 0; round < 2; round++) {
		struct c_block discard = {0}, *out = round ? unit : &discard;
		e->micro.n = micros;
		if (round) {
			plan_scratch(e);
			e->functions = c_group(e->arena, out);
			c_line(e->arena, out, "%s", "");
			c_comment(e->arena, out, arena_printf(e->arena, "phase %s", p->name));
		} else {
			e->functions = &discard;
		}
		const char *next = emit_next_task(e, p, symbol);
		emit_start_names(e, round);
		emit_whole_ranges(e);
		e->next = next ? plan_name(e, "next") : NULL;
		struct c_block *f = c_open(
		        e->arena, out,
		        "void %s(const struct at_args *args, long begin, long end, void *scratch)", symbol);
		emit_tensors(e, f, "args", false);
		declare_values(e, f);
		if (next) { /* the first task's own walk, which the next one's is compared with */
			c_line(e->arena, f, "struct at_next %s = {0};", e->next);
			c_line(e->arena, c_open(e->arena, f, "if (begin < end)"), "%s(args, begin, &%s);", next, e->next);
		}
		struct c_block *body = c_open(e->arena, f, "for (long task = begin; task < end; task++)");
		if (next)
			c_line(e->arena, c_open(e->arena, body, "if (task + 1 < %ld)", emit_tasks(e, p)), "%s(args, task + 1, &%s);", next,
			       e->next);
		look_ahead(e, p);
		if (p->task.n)
			emit_task(e, body, p);
		emit_block(e, body, p->body.statement.v, p->body.statement.n);
	}
}

struct kernel_source emit_c(struct arena *arena, const struct tile_program *program, enum isa isa,
                            int exp_degree)
{
	struct kernel_source k = {.nphases = (int)program->phase.n};
	struct emitter e = {.arena = arena,
	                    .program = program,
	                    .pool = program->pool,
	                    .integer = "long",
	                    .prelude = emit_prelude_names(),
	                    .real_double = program->compute == DTYPE_F64};
	if ((k.reason = emit_narrow_limit(arena, program)))
		return k;
	if (e.real_double)
		isa = ISA_SCALAR;
	e.lanes = isa_info[isa].lanes;
	plan_init(&e);
	struct c_block unit = {0};
	const char *name = emit_identifier(arena, program->name);
	k.phase = arena_new_array(arena, program->phase.n, struct kernel_phase);
	for (uint32_t i = 0; i < program->phase.n; i++) {
		const struct tile_phase *p = &program->phase.v[i];
		k.phase[i].symbol = arena_printf(arena, "%s_phase%u", name, i);
		k.phase[i].tasks = emit_tasks(&e, p);
		emit_phase(&e, &unit, p, k.phase[i].symbol);
	}
	struct text body, text;
	text_init(&body, arena);
	c_print(&unit, 0, &body);
	text_init(&text, arena);
	emit_schedule(program->schedule, &text);
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
	emit_inputs(arena, program, &k);
	k.digest = emit_digest(arena, &k);
	return k;
}
