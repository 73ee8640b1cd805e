/* A walk cut in parts that are tasks of their own: few rows over a long rank would leave processors idle.
 *
 * Part p of P takes the p-th share, in whole tiles, of where the walk goes for the rows of its task. It
 * begins from the carries' identities like a walk of its own, and stores what it carries. A phase after it
 * takes the parts in order and joins each with those before: carries a and b make a new one a' ⊕ b', where
 * either side is corrected from what the carries it depends on were to what they are now, by the same derived
 * factors that a step of a walk uses (theory §2: with them, joining is a commutative monoid). A part that saw
 * nothing holds the identities, where the factors are guarded already. Then comes what comes after the
 * stream.
 */
#include <math.h>

#include "codegen/build.h"

enum { JOINED_LANES = 64 };

static struct expr minus(struct expr_pool *p, struct expr x, struct expr y)
{
	double by;
	return expr_is_number(p, y, &by) && by == 0 ? x : expr2(p, OP_SUB, x, y);
}

static struct expr plus(struct expr_pool *p, struct expr x, struct expr y)
{
	double by;
	return expr_is_number(p, x, &by) && by == 0 ? y : expr2(p, OP_ADD, x, y);
}

void build_share(struct builder *b, struct tile_statement *walk)
{
	struct expr_pool *p = b->p->pool;
	double whole = (double)walk->step * (double)b->sizes->split;
	struct expr zero = expr_number(p, 0), tile = expr_number(p, (double)walk->step),
	            part = expr_leaf(p, OP_INDEX, KIND_INT, b->part);
	struct expr length = expr2(p, OP_MAX, zero, minus(p, walk->high, walk->low));
	struct expr up = expr2(p, OP_ADD, length, expr_number(p, whole - 1));
	struct expr share = expr2(p, OP_MUL, expr2(p, OP_IDIV, up, expr_number(p, whole)), tile);
	struct expr end = expr2(p, OP_MUL, expr2(p, OP_ADD, part, expr_number(p, 1)), share);
	walk->high = expr2(p, OP_MIN, walk->high, plus(p, walk->low, end));
	walk->low = plus(p, walk->low, expr2(p, OP_MUL, part, share));
}

/* The work tensor for one value of an equation's carry, and the store into it. */
static void store_part(struct builder *b, struct tile_block *code, uint32_t equation, uint32_t value)
{
	const struct equation *q = &b->c->equation.v[equation];
	struct tile_value v = b->p->value.v[value];
	struct tile_tensor t = {.name = arena_printf(b->arena, "%s_parts", v.name), .dtype = v.dtype};
	uint32_t index[MAX_RANKS] = {b->part};
	int n = 1;
	for (int i = 0; i < q->nindex; i++)
		if (build_is_task(b->plan, q->index[i]))
			index[n++] = q->index[i];
	for (int i = 0; i < v.nranks; i++)
		index[n++] = v.index[i];
	struct expr x[MAX_RANKS];
	for (int i = 0; i < n; i++) {
		t.extent[i] = b->p->index.v[index[i]].extent;
		x[i] = expr_leaf(b->p->pool, OP_INDEX, KIND_INT, index[i]);
	}
	t.nranks = (uint8_t)n;
	struct parts k = {.equation = equation, .value = value, .tensor = build_work_tensor(b, t)};
	k.target = expr_read(b->p->pool, KIND_REAL, k.tensor, n, x);
	vec_push(b->arena, &b->parts, k);
	struct tile_block one = {0};
	vec_push(b->arena, &one.statement,
	         (struct tile_statement){
	                 .kind = TILE_STORE, .target = k.target, .expression = build_value(b, value)});
	one = build_guarded(b, build_once(b, q), one);
	build_append(b, code, &one);
}

void build_parts(struct builder *b, struct tile_block *code)
{
	for (uint32_t i = 0; i < b->stream->carry.n; i++) {
		uint32_t equation = b->stream->carry.v[i].equation, t = b->c->equation.v[equation].tensor;
		store_part(b, code, equation, b->running[t]);
		if (b->count[t] != NO_VALUE)
			store_part(b, code, equation, b->count[t]);
	}
}

/* What a part stored, as a value of the joining phase. */
static uint32_t load_part(struct builder *b, const struct parts *k)
{
	struct tile_value v = b->p->value.v[k->value];
	uint32_t value = build_new_value(b, arena_printf(b->arena, "%s_part", v.name), v.dtype, v.index,
	                                 v.nranks, b->sizes->row_tile);
	vec_push(b->arena, &b->body->statement,
	         (struct tile_statement){.kind = TILE_LOAD, .value = value, .expression = k->target});
	return value;
}

/* What the carries so far contribute to a new one. */
static struct expr side(struct builder *b, uint32_t carry)
{
	const struct carry *k = &b->stream->carry.v[carry];
	build_forget(b);
	return build_corrected(b, k, b->c->equation.v[k->equation].tensor);
}

/* … and those of the part. */
static struct expr side_of_part(struct builder *b, uint32_t carry, uint32_t *part)
{
	const struct builder own = *b;
	b->running = part;
	b->factor = b->part_factor;
	struct expr e = side(b, carry);
	b->part_factor = b->factor;
	b->factor = own.factor;
	b->running = own.running;
	return e;
}

struct expr build_joined_mean(struct builder *b, const struct equation *q, struct expr sum, struct expr count)
{
	struct expr_pool *p = b->p->pool;
	struct expr mean = build_value(b, b->running[q->tensor]),
	            before = build_value(b, b->count[q->tensor]);
	uint32_t n = build_mapped(b, "n", q->index, q->nindex, b->plan->wide,
	                    expr2(p, OP_ADD, before, count));
	struct expr all = build_value(b, n), zero = expr_number(p, 0);
	struct expr total = expr2(p, OP_ADD, expr2(p, OP_MUL, mean, before), sum);
	vec_push(b->arena, &b->assign, (struct operand){all, NO_EXPR, b->count[q->tensor]});
	return expr3(p, OP_SELECT, expr2(p, OP_LT, zero, all), expr2(p, OP_DIV, total, all), zero);
}

struct expr build_joined_argmax(struct builder *b, const struct equation *q, struct expr most, struct expr where)
{
	struct expr_pool *p = b->p->pool;
	struct expr best = build_value(b, b->count[q->tensor]), old = build_value(b, b->running[q->tensor]);
	struct expr first = expr2(p, OP_LT, old, expr_number(p, 0)),
	            some = expr2(p, OP_AND, expr2(p, OP_LE, expr_number(p, 0), where),
	                         expr2(p, OP_LT, where, expr_number(p, INFINITY)));
	/* Tiles and parts may come last first: a tie goes to the lesser coordinate, not to the earlier one. */
	struct expr before = expr2(p, OP_OR, first, expr2(p, OP_LT, where, old));
	struct expr number = expr2(p, OP_EQ, best, best), nan = expr2(p, OP_NE, most, most);
	struct expr least = expr2(p, OP_OR, expr2(p, OP_LE, best, most), nan);
	struct expr tie = expr2(p, OP_AND, some, expr2(p, OP_AND, least, before));
	struct expr larger = expr2(p, OP_OR, expr2(p, OP_LT, best, most), expr2(p, OP_AND, number, nan));
	struct expr better = expr2(p, OP_OR, larger, tie);
	vec_push(b->arena, &b->assign,
	         (struct operand){expr2(p, OP_MAX, best, most), NO_EXPR, b->count[q->tensor]});
	return expr3(p, OP_SELECT, better, where, old);
}

static void join_carry(struct builder *b, uint32_t carry, uint32_t *part, uint32_t *part_count)
{
	const struct equation *q = &b->c->equation.v[b->stream->carry.v[carry].equation];
	const char *name = b->c->tensor.v[q->tensor].name;
	struct expr_pool *p = b->p->pool;
	struct expr update;
	if (q->reduce == REDUCE_MEAN) {
		struct expr mean = build_value(b, part[q->tensor]),
		            count = build_value(b, part_count[q->tensor]);
		update = build_joined_mean(b, q, expr2(p, OP_MUL, mean, count), count);
	} else if (q->reduce == REDUCE_ARGMAX) {
		update = build_joined_argmax(b, q, build_value(b, part_count[q->tensor]),
		                             build_value(b, part[q->tensor]));
	} else {
		enum op join = q->reduce == REDUCE_ANY   ? OP_MAX /* truth as 0 and 1 */
		               : q->reduce == REDUCE_ALL ? OP_MIN
		                                         : reduction_info[q->reduce].combine;
		struct expr x = side(b, carry), y = side_of_part(b, carry, part);
		update = expr2(p, join, x, y);
	}
	uint32_t v = b->running[q->tensor];
	if (build_old_is_needed(b, carry)) {
		v = build_mapped(b, arena_printf(b->arena, "%s_new", name), q->index, q->nindex,
		                 b->plan->wide, update);
		vec_push(b->arena, &b->assign,
		         (struct operand){build_value(b, v), NO_EXPR, b->running[q->tensor]});
	} else {
		build_map(b, b->body, v, update);
	}
	b->fresh[q->tensor] = v;
}

/* One part after another into the running carries. */
static struct tile_statement join_parts(struct builder *b)
{
	struct tile_statement walk = {.kind = TILE_FOR,
	                              .index = b->part,
	                              .step = 1,
	                              .low = expr_number(b->p->pool, 0),
	                              .high = expr_number(b->p->pool, (double)b->sizes->split)};
	uint32_t *part = build_no_values(b), *part_count = build_no_values(b);
	b->body = &walk.body;
	for (uint32_t i = 0; i < b->parts.n; i++) {
		uint32_t t = b->c->equation.v[b->parts.v[i].equation].tensor;
		*(part[t] == NO_VALUE ? &part[t] : &part_count[t]) = load_part(b, &b->parts.v[i]);
	}
	b->in_body = true;
	for (uint32_t i = 0; i < b->stream->carry.n; i++)
		join_carry(b, i, part, part_count);
	for (uint32_t i = 0; i < b->assign.n; i++)
		build_map(b, b->body, b->assign.v[i].value, b->assign.v[i].expression);
	b->in_body = false;
	b->body = NULL;
	return walk;
}

/* On a device tasks share out the wide index of what they join, whatever the walk did: nothing is computed twice
 * but factors of rows, and three tiles of it are in registers at a time. */
static struct stream_schedule joining(const struct builder *b)
{
	struct stream_schedule s = *b->sizes;
	if (b->device && b->plan->wide != NO_INDEX && (!s.wide_tile || s.wide_tile > JOINED_LANES))
		s.wide_tile = JOINED_LANES;
	return s;
}

void build_join(struct builder *b)
{
	const struct stream_schedule *sizes = b->sizes, own = joining(b);
	b->sizes = &own;
	struct tile_phase phase = {.name = arena_printf(b->arena, "join%u", b->number + 1)};
	struct tile_block loads = {0}, code = {0};
	b->before.n = b->step.n = b->inside.n = b->summary.n = 0;
	b->operand.n = b->factor.n = b->part_factor.n = b->assign.n = b->storage.n = 0;
	b->running = build_no_values(b);
	b->fresh = build_no_values(b);
	b->count = build_no_values(b);
	b->block = 0;
	b->partial = true;
	b->presence = NO_EXPR;
	b->task_code = &loads;
	build_forget(b);
	build_tasks(b, &phase, false);
	build_identities(b, &code);
	vec_push(b->arena, &code.statement, join_parts(b));
	build_after(b, &code);
	build_append(b, &phase.body, &loads);
	build_append(b, &phase.body, &code);
	vec_push(b->arena, &b->p->phase, phase);
	b->sizes = sizes;
}
