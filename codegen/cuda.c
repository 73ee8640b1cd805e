/* The CUDA emitter: a tile program to one header-free translation unit, a kernel a phase (the ABI is
 * codegen/kernel.h).
 *
 * Every branch and loop is taken by all threads of a block alike, because conditions and bounds are one for the task:
 * a barrier may stand anywhere. Where it is needed is known from what was done to each tile of shared memory since
 * the last one; a loop's body begins as if everything had been done. */
#include "codegen/cuda.h"

#include <string.h>

#include "base/whole.h"
#include "codegen/schedule.h"

static const char *const reserved[] = {
        "shared",  "thread",   "warp",     "lane",     "g",         "t",         "warp_row", "at_args", "bool",
        "true",    "false",    "class",    "new",      "delete",    "this",      "template", "and",     "or",
        "not",     "xor",      "operator", "private",  "public",    "protected", "export",   "using",   "namespace",
        "try",     "catch",    "throw",    "virtual",  "explicit",  "friend",    "mutable",  "typename", "wchar_t",
        "bitand",  "bitor",    "compl",    "and_eq",   "or_eq",     "not_eq",    "xor_eq",   "typeid",  "nullptr",
        "threadIdx", "blockIdx", "blockDim", "gridDim", "warpSize", "constexpr", "decltype", "noexcept", "signed",
        NULL,
};

extern const char embed_codegen_prelude_cuda_math_h[], embed_codegen_prelude_cuda_device_h[];

/* ---- barriers ---- */

static struct touch *touch_of(struct cuda *c, const struct shared_tile *t)
{
	for (uint32_t i = 0; i < c->touch.n; i++)
		if (c->touch.v[i].offset == t->offset)
			return &c->touch.v[i];
	vec_push(c->e.arena, &c->touch, (struct touch){.offset = t->offset});
	return &c->touch.v[c->touch.n - 1];
}

void shared_barrier(struct cuda *c, struct c_block *b, bool waited)
{
	c_line(c->e.arena, b, "at_barrier();");
	for (uint32_t i = 0; i < c->touch.n; i++) {
		c->touch.v[i].read = c->touch.v[i].written = false;
		c->touch.v[i].pending &= !waited;
	}
}

static void settle(struct cuda *c, struct c_block *b, const struct touch *t, bool conflict)
{
	bool pending = t->pending;
	if (pending)
		c_line(c->e.arena, b, "at_cp_wait(0);");
	if (pending || conflict)
		shared_barrier(c, b, pending);
}

void shared_read(struct cuda *c, struct c_block *b, const struct shared_tile *t)
{
	struct touch *touch = touch_of(c, t);
	settle(c, b, touch, touch->written);
	touch->read = true;
}

void shared_write(struct cuda *c, struct c_block *b, const struct shared_tile *t)
{
	struct touch *touch = touch_of(c, t);
	settle(c, b, touch, touch->read || touch->written);
	touch->written = true;
}

void shared_pending(struct cuda *c, const struct shared_tile *t)
{
	touch_of(c, t)->pending = true;
}

struct touches {
	struct touch *v;
	uint32_t n;
};

static struct touches touches_keep(const struct cuda *c)
{
	return (struct touches){arena_copy(c->e.arena, c->touch.v, c->touch.n * sizeof *c->touch.v), c->touch.n};
}

/* What may have been done is what was done on either way. */
static void touches_join(struct cuda *c, struct touches other)
{
	for (uint32_t i = 0; i < other.n; i++) {
		struct shared_tile t = {.offset = other.v[i].offset};
		struct touch *to = touch_of(c, &t);
		to->read |= other.v[i].read;
		to->written |= other.v[i].written;
		to->pending |= other.v[i].pending;
	}
}

static void touches_set(struct cuda *c, struct touches t)
{
	c->touch.n = 0;
	touches_join(c, t);
}

/* Any tile of the phase may have been read or written last. */
static void touches_all(struct cuda *c)
{
	for (uint32_t i = 0; i < c->e.program->value.n; i++)
		if (c->value[i].shared)
			touch_of(c, &c->value[i].tile);
	for (uint32_t i = 0; i < c->ring.n; i++)
		touch_of(c, &c->ring.v[i].tile);
	if (c->across.rows)
		touch_of(c, &c->across);
	for (uint32_t i = 0; i < c->touch.n; i++)
		c->touch.v[i].read = c->touch.v[i].written = true;
}

/* ---- structure ---- */

static void emit_for(struct cuda *c, struct c_block *b, const struct tile_statement *s)
{
	struct emitter *e = &c->e;
	struct arena *a = e->arena;
	struct current *outer = e->range[s->index];
	long long step = (long long)s->step;
	cuda_touch(c, b, s->low);
	cuda_touch(c, b, s->high);
	struct text line;
	text_init(&line, a);
	tile_statement_print(e->program, s, &line);
	c_comment(a, b, line.s);
	struct bounds at = emit_bounds(e, b, s);
	struct current r = at.range;
	const char *low = emit_constant(e, b, s->index, "first", at.low), *end = emit_constant(e, b, s->index, "end", at.end);
	const char *steps = emit_range_name(e, s->index, "steps"), *number = emit_range_name(e, s->index, "step");
	const char *count = strcmp(low, "0") ? arena_printf(a, "%s - %s", end, low) : end;
	if (step == 1)
		c_line(a, b, "const int %s = %s;", steps, count);
	else
		c_line(a, b, "const int %s = (%s + %lld) / %lld;", steps, count, step - 1, step);
	const char *first = low;
	if (s->down) {
		first = emit_range_name(e, s->index, "last");
		c_line(a, b, "const int %s = %s + (%s - 1) * %lld;", first, low, steps, step);
	}
	const char *by = arena_printf(a, s->down ? "-%lld" : "%lld", step);
	ring_before(c, b, s, steps, first, by);
	r.low = r.single ? e->index_name[s->index] : emit_range_name(e, s->index, "low");
	r.high = r.low;
	uint32_t ahead = c->ahead.n;
	ahead_before(c, b, s, &r, number, steps, first, end);
	struct touches before = touches_keep(c);
	/* Few steps would be copied one after the other, for nothing but registers and time to compile. */
	c_line(a, b, "AT_ROLLED");
	struct c_block *body = c_open(a, b, "for (int %s = 0; %s < %s; %s++)", number, number, steps, number);
	const char *from = strcmp(first, "0") ? arena_printf(a, "%s %c ", first, s->down ? '-' : '+') : "";
	if (step == 1)
		c_line(a, body, "const int %s = %s%s;", r.low, from, number);
	else
		c_line(a, body, "const int %s = %s%s * %lld;", r.low, from, number, step);
	if (!r.single)
		emit_high(e, body, &r, step, end);
	e->range[s->index] = plan_range(e, r);
	touches_all(c);
	ring_step(c, body, s, number, steps, first, by);
	cuda_block(c, body, s->body.statement.v, s->body.statement.n);
	e->range[s->index] = outer;
	c->ahead.n = ahead;
	ring_after(c, b, s);
	touches_join(c, before);
}

/* high(i) == low(i) + step - 1 among the condition's conjuncts: ranges that are whole inside. */
static void whole_ranges(struct cuda *c, struct expr x)
{
	const struct expr_pool *p = c->e.pool;
	const struct expr_node *node = expr_at(p, x);
	double more = 0;
	if (node->op == OP_AND) {
		whole_ranges(c, expr_operand(p, x, 0));
		whole_ranges(c, expr_operand(p, x, 1));
		return;
	}
	if (node->op != OP_EQ)
		return;
	for (int side = 0; side < 2; side++) {
		const struct expr_node *high = expr_at(p, expr_operand(p, x, side));
		struct expr sum = expr_operand(p, x, 1 - side);
		const struct expr_node *low = expr_at(p, sum);
		if (low->op == OP_ADD && expr_is_number(p, expr_operand(p, sum, 1), &more))
			low = expr_at(p, expr_operand(p, sum, 0));
		else
			more = 0;
		if (high->op != OP_HIGH || low->op != OP_LOW || high->symbol != low->symbol)
			continue;
		struct current *old = c->e.range[high->symbol], r = *old;
		if ((double)r.step != more + 1)
			continue;
		r.multiple = r.step;
		c->e.range[high->symbol] = plan_range(&c->e, r);
	}
}

static void emit_if(struct cuda *c, struct c_block *b, const struct tile_statement *s)
{
	struct emitter *e = &c->e;
	cuda_touch(c, b, s->expression);
	struct nest n = {.e = e, .row = b, .body = b, .lane = NO_INDEX, .uses = arena_alloc(e->arena, e->pool->node.n)};
	const char *condition = emit_condition(&n, s->expression);
	struct touches before = touches_keep(c), after;
	struct current **kept = arena_copy(e->arena, e->range, e->program->index.n * sizeof *kept);
	whole_ranges(c, s->expression);
	cuda_block(c, c_open(e->arena, b, "if (%s)", condition), s->body.statement.v, s->body.statement.n);
	memcpy(e->range, kept, e->program->index.n * sizeof *kept);
	after = touches_keep(c);
	touches_set(c, before);
	if (s->other.statement.n)
		cuda_block(c, c_open(e->arena, b, "else"), s->other.statement.v, s->other.statement.n);
	touches_join(c, after);
}

static void emit_rest_narrowed(struct cuda *c, struct c_block *b, const struct tile_statement *s, uint32_t n)
{
	struct current *outer = c->e.range[s->index];
	cuda_touch(c, b, s->low);
	cuda_touch(c, b, s->high);
	struct touches before = touches_keep(c);
	cuda_block(c, emit_narrow(&c->e, b, s), s + 1, n - 1);
	c->e.range[s->index] = outer;
	touches_join(c, before);
}

/* Contractions take fragments by name. */
static void mark_values(struct cuda *c, struct expr x)
{
	struct expr *node;
	uint32_t n = x.id ? expr_nodes(c->e.pool, x, &node) : 0;
	for (uint32_t i = 0; i < n; i++)
		if (expr_at(c->e.pool, node[i])->op == OP_VALUE)
			c->e.value[expr_at(c->e.pool, node[i])->symbol].memory = true;
}

static void emit_contraction(struct cuda *c, struct c_block *b, const struct tile_statement *s)
{
	c_comment(c->e.arena, b, emit_describe(&c->e, s));
	c->factor[s->value] = 0;
	if (!cuda_loops_of(c, s).fragment) {
		plain_contract(c, b, s);
		return;
	}
	c->e.value[s->value].memory = true;
	mark_values(c, s->a);
	mark_values(c, s->b);
	mark_values(c, s->scale);
	cuda_contract(c, b, s);
	if (c->value[s->value].shared) {
		shared_write(c, b, &c->value[s->value].tile);
		tile_copy(c, b, s->value);
	}
}

void cuda_block(struct cuda *c, struct c_block *b, const struct tile_statement *s, uint32_t n)
{
	uint32_t names = c->e.taken.n;
	for (uint32_t i = 0; i < n;) {
		switch (s[i].kind) {
		case TILE_FOR: emit_for(c, b, &s[i++]); break;
		case TILE_IF: emit_if(c, b, &s[i++]); break;
		case TILE_CONTRACT: emit_contraction(c, b, &s[i++]); break;
		case TILE_SELECT: cuda_select(c, b, &s[i++]); break;
		case TILE_NARROW:
			emit_rest_narrowed(c, b, &s[i], n - i);
			i = n;
			break;
		default: i += cuda_statements(c, b, s + i, n - i);
		}
	}
	c->e.taken.n = names;
}

/* ---- phases ---- */

static void declare_values(struct cuda *c, struct c_block *b)
{
	struct arena *a = c->e.arena;
	for (uint32_t i = 0; i < c->e.program->value.n; i++) {
		const struct value_plan *p = &c->e.value[i];
		const struct cuda_value *v = &c->value[i];
		const char *type = p->integer ? "int" : "real";
		if (!p->memory)
			continue;
		switch (v->fragment) {
		case FRAGMENT_NONE: break;
		case FRAGMENT_SCALAR: c_line(a, b, "%s %s;", type, p->name); break;
		case FRAGMENT_ROWS: c_line(a, b, "%s %s[%d][2];", type, p->name, c->groups); break;
		case FRAGMENT_LANES: c_line(a, b, "%s %s[%d][2];", type, p->name, v->lane_groups); break;
		case FRAGMENT_MATRIX:
			c_line(a, b, "%s %s[%d][%d][4];", type, p->name, c->groups, v->lane_groups);
		}
	}
}

static void emit_threads(const struct cuda *c, struct c_block *b)
{
	struct arena *a = c->e.arena;
	c_line(a, b, "const unsigned shared = at_shared_base();");
	c_line(a, b, "const int thread = (int)at_thread(), warp = thread / 32, lane = thread %% 32;");
	c_line(a, b, "const int g = lane / 4, t = lane %% 4, warp_row = warp * %d;", 16 * c->groups);
}

/* A copy that no way through the kernel has waited for would outlive it. */
static void emit_end(struct cuda *c, struct c_block *b)
{
	bool pending = false;
	for (uint32_t i = 0; i < c->touch.n; i++)
		pending |= c->touch.v[i].pending;
	if (pending)
		c_line(c->e.arena, b, "at_cp_wait(0);");
}

static bool emit_phase(struct cuda *c, struct c_block *unit, const struct tile_phase *p, struct kernel_phase *k,
                       struct text *reason)
{
	struct emitter *e = &c->e;
	c->phase = p;
	for (uint32_t i = 0; i < e->program->tensor.n; i++) {
		e->tensor[i].used = false;
		e->tensor[i].strides = 0;
	}
	for (uint32_t i = 0; i < e->program->value.n; i++)
		e->value[i].memory = false;
	emit_start_names(e, false);
	if (!cuda_place(c, reason))
		return false;
	for (int round = 0; round < 2; round++) {
		struct c_block discard = {0}, *out = round ? unit : &discard;
		emit_start_names(e, false);
		emit_whole_ranges(e);
		c->touch.n = c->ahead.n = 0;
		memset(c->factor, 0, e->program->value.n * sizeof *c->factor);
		c_line(e->arena, out, "%s", "");
		c_comment(e->arena, out, arena_printf(e->arena, "phase %s", p->name));
		struct c_block *f = c_open(e->arena, out, "AT_KERNEL(%s, %d)", k->symbol, c->threads);
		emit_threads(c, f);
		emit_tensors(e, f, "AT_ARGS", true);
		declare_values(c, f);
		if (p->task.n) {
			c_line(e->arena, f, "const int task = (int)at_block();");
			emit_task(e, f, p);
		}
		cuda_block(c, f, p->body.statement.v, p->body.statement.n);
		emit_end(c, f);
	}
	k->threads = c->threads;
	k->shared_bytes = c->shared_bytes;
	return true;
}

/* ---- the unit ---- */

static bool has_rank(const struct tile_program *p, uint32_t value, uint32_t index)
{
	const struct tile_value *v = &p->value.v[value];
	for (int r = 0; r < v->nranks; r++)
		if (v->index[r] == index)
			return true;
	return false;
}

/* Is an expression over an index? */
static bool is_over(const struct tile_program *p, struct expr e, uint32_t index)
{
	struct expr *node;
	uint32_t n = e.id ? expr_nodes(p->pool, e, &node) : 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *x = expr_at(p->pool, node[i]);
		if ((x->op == OP_INDEX && x->symbol == index) || (x->op == OP_VALUE && has_rank(p, x->symbol, index)))
			return true;
	}
	return false;
}

/* Contractions whose operands and scale lie as fragments do. */
static void possible_contracts(const struct tile_program *p, const struct tile_block *b, struct text *reason)
{
	for (uint32_t i = 0; i < b->statement.n && !reason->len; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		possible_contracts(p, &s->body, reason);
		possible_contracts(p, &s->other, reason);
		if (s->kind != TILE_CONTRACT || reason->len)
			continue;
		const struct expr_node *a = expr_at(p->pool, s->a), *y = expr_at(p->pool, s->b);
		const struct tile_value *w = y->op == OP_VALUE ? &p->value.v[y->symbol] : NULL;
		const struct tile_value *v = a->op == OP_VALUE ? &p->value.v[a->symbol] : NULL;
		for (int k = y->count - 2; y->op == OP_READ && k >= 0 && k < y->count && !reason->len; k++) {
			const struct expr_node *x = expr_at(p->pool, expr_operand(p->pool, s->b, k));
			if (x->op != OP_INDEX || (x->symbol != s->lanes && x->symbol != s->index))
				text_printf(reason, "%s is contracted over ranks that are not its last two, as kernels for devices have them",
				            p->tensor.v[y->symbol].name);
		}
		if (reason->len)
			return;
		if (!v || v->index[v->nranks - 1] != s->index)
			text_printf(reason, "operand a of the contraction to %s is %s, and kernels for devices hold it row by row",
			            p->value.v[s->value].name, v ? "turned" : "a tensor");
		else if (w && w->index[w->nranks - 1] != s->lanes)
			text_printf(reason, "operand b of the contraction to %s is a turned value, and kernels for devices hold its lanes last",
			            p->value.v[s->value].name);
		else if (is_over(p, s->scale, s->lanes))
			text_printf(reason, "%s is scaled along its lanes, and kernels for devices scale rows",
			            p->value.v[s->value].name);
	}
}

static bool possible(const struct tile_program *p, struct text *reason)
{
	if (p->compute != DTYPE_F32)
		text_printf(reason, "computes in %s, and kernels for devices compute in f32", dtype_info[p->compute].spelling);
	int64_t words = 1;
	for (uint32_t i = 0; i < p->tensor.n && !reason->len; i++) {
		const struct tile_tensor *t = &p->tensor.v[i];
		if (t->place == PLACE_ARGUMENT)
			words += 1 + t->nranks;
		if (t->panel)
			text_printf(reason, "%s is packed, and kernels for devices read tensors where they are", t->name);
		else if (t->dtype == DTYPE_I4 && (t->role == ROLE_OUT || t->place == PLACE_WORK))
			text_printf(reason, "%s is stored as i4, two threads to a byte", t->name);
	}
	for (uint32_t i = 0; i < p->phase.n && !reason->len; i++)
		possible_contracts(p, &p->phase.v[i].body, reason);
	for (uint32_t i = 0; i < p->phase.n && !reason->len; i++)
		for (uint32_t k = 0; k < p->phase.v[i].task.n; k++)
			if (p->phase.v[i].task.v[k].order.id)
				text_printf(reason, "tasks of %s have an order, and a device takes them as they are numbered",
				            p->phase.v[i].name);
	if (!reason->len && words * 8 > MAX_DEVICE_ARGUMENT_BYTES)
		text_printf(reason, "%lld bytes of arguments, and a kernel takes %d at most", (long long)words * 8,
		            MAX_DEVICE_ARGUMENT_BYTES);
	return !reason->len;
}

static void declare_arguments(const struct tile_program *p, struct text *t)
{
	int arguments = 0, strides = 0;
	for (uint32_t i = 0; i < p->tensor.n; i++)
		if (p->tensor.v[i].place == PLACE_ARGUMENT) {
			arguments++;
			strides += p->tensor.v[i].nranks;
		}
	text_printf(t, "struct at_device_args {\n\tvoid *data[%d];\n", arguments);
	if (strides)
		text_printf(t, "\tlong stride[%d];\n", strides);
	text_add(t, "\tvoid *work;\n};\n\n");
}

/* A pool to add to, with the ids of the one it is made from. */
static struct expr_pool copy_pool(struct arena *a, const struct expr_pool *from)
{
	struct expr_pool p = *from;
	p.arena = a;
	p.node.v = arena_copy(a, from->node.v, from->node.n * sizeof *from->node.v);
	p.node.cap = from->node.n;
	p.operand.v = arena_copy(a, from->operand.v, from->operand.n * sizeof *from->operand.v);
	p.operand.cap = from->operand.n;
	p.slot = arena_copy(a, from->slot, from->slots * sizeof *from->slot);
	return p;
}

static struct kernel_source emit_unit(struct arena *arena, const struct tile_program *program, bool plain)
{
	struct kernel_source k = {.nphases = (int)program->phase.n, .device = true};
	const char *const prelude[] = {embed_codegen_prelude_cuda_math_h, embed_codegen_prelude_cuda_device_h, NULL};
	struct cuda c = {.e = {.arena = arena,
	                       .program = program,
	                       .lanes = 1,
	                       .integer = "int",
	                       .unit = true,
	                       .reserved = reserved,
	                       .prelude = prelude,
	                       .value_leaf = cuda_value_leaf},
	                 .plain = plain};
	struct text reason, body, text;
	text_init(&reason, arena);
	for (uint32_t i = 0; i < program->tensor.n; i++)
		k.narguments += program->tensor.v[i].place == PLACE_ARGUMENT;
	c.argument = k.argument = arena_new_array(arena, (size_t)k.narguments, struct kernel_argument);
	/* Else every lane's address is a product of its own, and they fill the registers. */
	for (int i = 0; i < k.narguments; i++)
		k.argument[i].unit = true;
	k.phase = arena_new_array(arena, program->phase.n, struct kernel_phase);
	bool good = possible(program, &reason);
	struct c_block unit = {0};
	c.pool = copy_pool(arena, program->pool);
	c.e.pool = &c.pool;
	c.factor = arena_new_array(arena, program->value.n, double);
	if (good)
		plan_init(&c.e);
	const char *name = emit_identifier(arena, program->name);
	for (uint32_t i = 0; i < program->phase.n && good; i++) {
		k.phase[i].symbol = arena_printf(arena, "%s_phase%u", name, i);
		k.phase[i].tasks = emit_tasks(&c.e, &program->phase.v[i]);
		good = emit_phase(&c, &unit, &program->phase.v[i], &k.phase[i], &reason);
	}
	if (!good) {
		k.reason = reason.s;
		return k;
	}
	text_init(&body, arena);
	c_print(&unit, 0, &body);
	text_init(&text, arena);
	emit_schedule(program->schedule, &text);
	declare_arguments(program, &text);
	emit_cuda_prelude(arena, body.s, &text);
	text_add(&text, body.s);
	k.text = text.s;
	k.work_bytes = c.e.work_bytes;
	emit_inputs(arena, program, &k);
	k.digest = emit_digest(arena, &k);
	return k;
}

struct kernel_source emit_cuda(struct arena *arena, const struct tile_program *program)
{
	return emit_unit(arena, program, false);
}

struct kernel_source emit_cuda_plain(struct arena *arena, const struct tile_program *program)
{
	return emit_unit(arena, program, true);
}
