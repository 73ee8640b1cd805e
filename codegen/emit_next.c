/* What the next task touches first is asked for while this one computes.
 *
 * A task begins with rows that nobody has read and ends with rows that nobody has written: bursts that no
 * processor fetches ahead, while in between it computes from its caches. So a function of the phase's own
 * writes down what the next task loads and stores, and what its walk takes of operands beyond this task's,
 * and every call of a micro-kernel asks for a few lines of that. The function is made of the same statements
 * as the phase: ranges of tasks, bounds of the walk, and the numbers they are made of, lists of runs
 * included. What it cannot tell it leaves out: none of it means anything to the result. */
#include "codegen/emit.h"

#include <string.h>

#include "base/whole.h"

enum {
	ROWS_LEAST = 16, /* that share what is read: with fewer a kernel takes all that memory gives anyway */
	WALKS = 4,       /* operands, as struct at_next has them */
};

struct next {
	struct emitter *e;
	bool *known; /* one a value: a number that the function has */
	uint32_t operand[WALKS];
	int operands;
	bool any;
};

/* The index of the rank, where the coordinate is that and no more. */
static uint32_t plain(const struct emitter *e, struct expr read, int rank)
{
	const struct expr_node *at = expr_at(e->pool, expr_operand(e->pool, read, rank));
	return at->op == OP_INDEX ? at->symbol : NO_INDEX;
}

static bool is_known(const struct next *x, struct expr of)
{
	const struct expr_pool *p = x->e->pool;
	struct expr *node;
	uint32_t n = of.id ? expr_nodes(p, of, &node) : 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *k = expr_at(p, node[i]);
		if ((k->op == OP_VALUE && !x->known[k->symbol]) ||
		    (k->op == OP_INDEX && !x->e->range[k->symbol]->single))
			return false;
	}
	return true;
}

/* How a tensor's elements lie whose coordinates are one step along an index and all along another. */
struct lie {
	const char *bytes;         /* in one piece, of the walk's coordinates or of all the others' … */
	const char *unit;          /* from one coordinate along the index to the next */
	const char *rows, *stride; /* pieces and what lies between them, where the index runs inside one;
	                              NULL: each of its coordinates is a piece */
	int64_t panel; /* the index runs through panels of so many coordinates, one piece all of them; 0: it
	                  does not */
};

static const char *stride_of(struct emitter *e, uint32_t tensor, int rank, int64_t size)
{
	struct tensor_plan *p = &e->tensor[tensor];
	if (e->program->tensor.v[tensor].place != PLACE_ARGUMENT)
		return arena_printf(e->arena, "%lld", (long long)(p->stride[rank] * size));
	p->strides |= (uint8_t)(1 << rank);
	return arena_printf(e->arena, "%s_stride%d * %lld", p->name, rank, (long long)size);
}

static const char *number(struct emitter *e, int64_t n)
{
	return arena_printf(e->arena, "%lld", (long long)n);
}

static bool lies(const struct next *x, struct expr read, uint32_t along, struct lie *l)
{
	struct emitter *e = x->e;
	const struct expr_node *node = expr_at(e->pool, read);
	uint32_t tensor = node->symbol;
	const struct tile_tensor *t = &e->program->tensor.v[tensor];
	int64_t size = dtype_info[t->dtype].bits / 8;
	int at = -1, other = -1;
	for (int r = 0; r < t->nranks; r++) {
		uint32_t i = plain(e, read, r);
		if (i == along)
			at = r;
		else if (i != NO_INDEX && !e->range[i]->single && other < 0)
			other = r;
		else if (!is_known(x, expr_operand(e->pool, read, r)))
			return false;
	}
	*l = (struct lie){.rows = "1", .stride = "0"};
	if (at < 0 || size < 1 ||
	    (other < 0 ? at != t->nranks - 1 : at != t->nranks - 1 && other != t->nranks - 1))
		return false;
	if (t->panel) {
		int inside = t->lanes == t->nranks - 1 ? t->nranks - 2 : t->nranks - 1;
		int64_t deep = round_up(t->extent[inside], t->group > 1 ? t->group : 1);
		if (other < 0 || at + other != t->lanes + inside)
			return false;
		if (at == t->lanes) {
			l->unit = number(e, deep * size);
			l->panel = t->panel;
		} else {
			l->unit = number(e, t->panel * size);
			l->rows = number(e, (t->extent[t->lanes] + t->panel - 1) / t->panel);
			l->stride = number(e, t->panel * deep * size);
		}
	} else if (other < 0 || at == t->nranks - 1) {
		l->unit = stride_of(e, tensor, at, size);
		if (other >= 0) {
			l->rows = number(e, t->extent[other]);
			l->stride = stride_of(e, tensor, other, size);
		}
	} else {
		l->rows = NULL;
		l->unit = stride_of(e, tensor, at, size);
		l->bytes = number(e, t->extent[other] * size);
	}
	return true;
}

/* Where the elements begin, of coordinate 0 along an index. */
static const char *base_of(const struct next *x, struct c_block *b, struct expr read, uint32_t along)
{
	struct emitter *e = x->e;
	struct current *range = e->range[along], zero = *range;
	struct nest n = {.e = e,
	                 .row = b,
	                 .body = b,
	                 .lane = NO_INDEX,
	                 .groups = true,
	                 .uses = arena_alloc(e->arena, e->pool->node.n)};
	zero.low = "0";
	e->range[along] = &zero;
	const char *text = nest_address(&n, read, NULL);
	e->range[along] = range;
	return text;
}

/* What a task loads or stores of its own rows. */
static void ask_rows(struct next *x, struct c_block *b, struct expr read, bool store)
{
	struct emitter *e = x->e;
	struct lie l;
	for (int r = 0; r < expr_at(e->pool, read)->count; r++) {
		uint32_t along = plain(e, read, r);
		if (along == NO_INDEX || !e->range[along]->outer || e->range[along]->single ||
		    !lies(x, read, along, &l) || l.panel)
			continue;
		const struct current *range = e->range[along];
		const char *base = base_of(x, b, read, along);
		c_line(e->arena, b, "v_next(next, (const char *)(%s), %s, %s, %s, %s, %s, %s, %d);", base,
		       range->low, emit_after(e, range->high), l.unit, l.bytes ? l.bytes : "0",
		       l.rows ? l.rows : "0", l.rows ? l.stride : "0", store);
		x->any = true;
		return;
	}
}

static void ask_loads(struct next *x, struct c_block *b, struct expr of)
{
	struct expr *node;
	uint32_t n = of.id ? expr_nodes(x->e->pool, of, &node) : 0;
	for (uint32_t i = 0; i < n; i++)
		if (expr_at(x->e->pool, node[i])->op == OP_READ)
			ask_rows(x, b, node[i], false);
}

/* What a walk from one coordinate to another takes of an operand, where it stands. */
static void ask_operand(struct next *x, struct c_block *b, struct expr read, uint32_t along, const char *from,
                        const char *to)
{
	struct emitter *e = x->e;
	struct lie l;
	int k = 0;
	if (expr_at(e->pool, read)->op != OP_READ || !lies(x, read, along, &l))
		return;
	while (k < x->operands && x->operand[k] != read.id)
		k++;
	if (k == WALKS)
		return;
	if (k == x->operands)
		x->operand[x->operands++] = read.id;
	const char *base = base_of(x, b, read, along);
	if (l.panel) {
		from = arena_printf(e->arena, "%s / %lld * %lld", from, (long long)l.panel,
		                    (long long)l.panel);
		to = arena_printf(e->arena, "(%s + %lld) / %lld * %lld", to, (long long)l.panel - 1,
		                  (long long)l.panel, (long long)l.panel);
	}
	c_line(e->arena, b, "v_next_walk(next, %d, (const char *)(%s), %s, %s, %s, %s, %s, %s);", k, base,
	       from, to, l.unit, l.bytes ? l.bytes : "0", l.rows ? l.rows : "0", l.rows ? l.stride : "0");
	x->any = true;
}

static void ask_operands(struct next *x, struct c_block *b, const struct tile_block *in, uint32_t along,
                         const char *from, const char *to)
{
	for (uint32_t i = 0; i < in->statement.n; i++) {
		const struct tile_statement *s = &in->statement.v[i];
		ask_operands(x, b, &s->body, along, from,
		             to); /* the other form of a condition has the same operands */
		if (s->kind == TILE_CONTRACT) {
			ask_operand(x, b, s->a, along, from, to);
			ask_operand(x, b, s->b, along, from, to);
		}
	}
}

static void ask_block(struct next *x, struct c_block *b, const struct tile_block *in);

static void ask_walk(struct next *x, struct c_block *b, const struct tile_statement *s)
{
	struct emitter *e = x->e;
	struct current *outer = e->range[s->index];
	if (!is_known(x, s->low) || !is_known(x, s->high))
		return;
	struct bounds at = emit_bounds(e, b, s);
	const char *from = emit_constant(e, b, s->index, "from", at.low),
	           *to = emit_constant(e, b, s->index, "to", at.end);
	if (s->step > 1) {
		ask_operands(x, b, &s->body, s->index, from, to);
		return;
	}
	at.range.low = at.range.high = e->index_name[s->index];
	e->range[s->index] = plan_range(e, at.range);
	ask_block(x,
	          c_open(e->arena, b, "for (long %s = %s; %s < %s; %s++)", at.range.low, from, at.range.low,
	                 to, at.range.low),
	          &s->body);
	e->range[s->index] = outer;
}

static void ask_block(struct next *x, struct c_block *b, const struct tile_block *in)
{
	for (uint32_t i = 0; i < in->statement.n; i++) {
		const struct tile_statement *s = &in->statement.v[i];
		struct group one = {
		        .count = 1, .shape = {.lane = NO_INDEX, .inner = NO_INDEX}, .statement = {s}};
		if (s->kind == TILE_FOR)
			ask_walk(x, b, s);
		else if (s->kind == TILE_STORE)
			ask_rows(x, b, s->target, true);
		else if (s->kind == TILE_LOAD && x->e->program->value.v[s->value].nranks)
			ask_loads(x, b, s->expression);
		else if ((s->kind == TILE_LOAD || s->kind == TILE_MAP) &&
		         !x->e->program->value.v[s->value].nranks) {
			x->known[s->value] = is_known(x, s->expression);
			if (x->known[s->value])
				emit_group(x->e, b, &one);
		}
	}
}

/* Do contractions of the phase have many rows, of one task, that share an operand? */
static bool shares(const struct emitter *e, const struct tile_phase *p, const struct tile_block *in)
{
	for (uint32_t i = 0; i < in->statement.n; i++) {
		const struct tile_statement *s = &in->statement.v[i];
		for (uint32_t k = 0; k < p->task.n && s->kind == TILE_CONTRACT; k++)
			if (p->task.v[k].step >= ROWS_LEAST &&
			    (p->task.v[k].index == s->rows || p->task.v[k].index == s->lanes))
				return true;
		if (shares(e, p, &s->body) || shares(e, p, &s->other))
			return true;
	}
	return false;
}

static bool emit_function(struct next *x, struct c_block *to, const struct tile_phase *p, const char *name)
{
	struct emitter *e = x->e;
	memset(x->known, 0, e->program->value.n);
	x->operands = 0;
	x->any = false;
	emit_start_names(e, true);
	vec_push(e->arena, &e->taken, "next");
	emit_whole_ranges(e);
	c_line(e->arena, to, "%s", "");
	c_comment(e->arena, to, "What the next task touches.");
	struct c_block *f = c_open(e->arena, to,
	                           "static __attribute__((noinline)) void %s(const struct at_args *args, "
	                           "long task, struct at_next *next)",
	                           name);
	emit_tensors(e, f, "args", false);
	for (uint32_t i = 0; i < e->program->value.n; i++)
		if (e->value[i].memory)
			c_line(e->arena, f, "%s %s[1];", e->value[i].integer ? "int" : "real",
			       e->value[i].name);
	c_line(e->arena, f, "v_next_begin(next);");
	emit_task(e, f, p);
	ask_block(x, f, &p->body);
	return x->any;
}

/* Nothing of it is known of what comes after. */
static void forget(struct emitter *e)
{
	for (uint32_t i = 0; i < e->program->tensor.n; i++) {
		e->tensor[i].used = false;
		e->tensor[i].strides = 0;
	}
	for (uint32_t i = 0; i < e->program->value.n; i++)
		e->value[i].memory = false;
}

const char *emit_next_task(struct emitter *e, const struct tile_phase *p, const char *symbol)
{
	struct arena *a = e->arena;
	struct next x = {.e = e, .known = arena_alloc(a, e->program->value.n + 1)};
	uint32_t tensors = e->program->tensor.n, values = e->program->value.n;
	struct tensor_plan *tensor = arena_new_array(a, tensors, struct tensor_plan);
	struct value_plan *value = arena_new_array(a, values, struct value_plan);
	const char *name = arena_printf(a, "%s_next", symbol);
	if (e->lanes < 2 || e->real_double || !p->task.n || !shares(e, p, &p->body))
		return NULL;
	memcpy(tensor, e->tensor, tensors * sizeof *tensor);
	memcpy(value, e->value, values * sizeof *value);
	forget(e);
	struct c_block discard = {0};
	bool any = emit_function(&x, &discard, p, name); /* finds out what is used */
	if (any)
		emit_function(&x, e->functions, p, name);
	memcpy(e->tensor, tensor, tensors * sizeof *tensor);
	memcpy(e->value, value, values * sizeof *value);
	return any ? name : NULL;
}
