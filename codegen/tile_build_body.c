/* The body of a walk: local Einsums, the carries' updates with their derived corrections, in the order of the
 * derivation. Also translation, since what a read means depends on how far the body has come. */
#include <assert.h>
#include <math.h>

#include "codegen/build.h"

/* A tile value made from a cascade expression under one presence, so that equal operands share it. */
static struct expr tensor_value(struct builder *b, uint32_t tensor, uint32_t value)
{
	struct expr v = build_value(b, value);
	return b->c->tensor.v[tensor].dtype == DTYPE_BOOL
	               ? expr2(b->p->pool, OP_NE, v, expr_number(b->p->pool, 0))
	               : v;
}

static struct expr fresh_value(struct builder *b, uint32_t tensor)
{
	struct expr v = tensor_value(b, tensor, b->fresh[tensor]), factor = b->factor_of[tensor];
	return factor.id ? expr2(b->p->pool, OP_MUL, v, factor) : v;
}

static uint32_t local_equation(const struct builder *b, uint32_t tensor)
{
	for (uint32_t i = 0; i < b->stream->local.n; i++)
		if (b->c->equation.v[b->stream->local.v[i]].tensor == tensor)
			return b->stream->local.v[i];
	return NO_EQUATION;
}

/* How many equations of the stream read a tensor: more than one, and a local is worth keeping. */
static int readers(const struct builder *b, uint32_t tensor)
{
	int count = 0;
	for (uint32_t i = 0; i < b->stream->local.n + b->stream->carry.n; i++) {
		uint32_t q = i < b->stream->local.n ? b->stream->local.v[i]
		                                    : b->stream->carry.v[i - b->stream->local.n].equation;
		count += expr_mentions(&b->c->pool, b->c->equation.v[q].body, OP_READ, tensor);
	}
	for (uint32_t i = 0; i < b->stream->local.n; i++)
		if (b->c->equation.v[b->stream->local.v[i]].tensor == tensor &&
		    stream_stores(b->all, b->number, b->stream->local.v[i]))
			count++;
	return count;
}

/* Ranks of a value that depends on these indices inside the body: rows, then others, the lane last; across, others,
 * then the lane, the rows last. */
static int body_ranks(const struct builder *b, const uint32_t *from, int nfrom, uint32_t lane,
                      uint32_t *index)
{
	int n = 0;
	bool has_lane = false;
	for (int i = 0; i < nfrom && b->across; i++)
		if (from[i] == b->plan->rows)
			lane = from[i];
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < nfrom; i++) {
			if (from[i] == lane) {
				has_lane = true;
				continue;
			}
			bool task = false;
			for (int k = 0; k < b->plan->ntasks; k++)
				task |= b->plan->task[k] == from[i];
			bool rows = from[i] == b->plan->rows;
			task |= from[i] == b->inner;
			if ((pass == 0 && rows) || (pass == 1 && !rows && !task))
				index[n++] = from[i];
		}
	if (has_lane)
		index[n++] = lane;
	return n;
}

static int64_t rows_here(const struct builder *b)
{
	return b->block ? b->block : b->sizes->row_tile;
}

uint32_t build_body_value(struct builder *b, const char *stem, enum dtype dtype, const uint32_t *index,
                          int n)
{
	for (uint32_t i = 0; i < b->storage.n; i++) {
		const struct tile_value *v = &b->p->value.v[b->storage.v[i].value];
		bool same = !b->storage.v[i].used && v->nranks == n && v->dtype == dtype;
		for (int k = 0; k < n && same; k++)
			same = v->index[k] == index[k];
		if (same) {
			b->storage.v[i].used = true;
			return b->storage.v[i].value;
		}
	}
	uint32_t v = build_new_value(b, stem, dtype, index, n, rows_here(b));
	vec_push(b->arena, &b->storage, (struct storage){v, true});
	return v;
}

static uint32_t mapped_as(struct builder *b, const char *stem, const uint32_t *from, int n, uint32_t lane,
                          enum dtype dtype, struct expr e)
{
	uint32_t index[MAX_RANKS];
	n = body_ranks(b, from, n, lane, index);
	uint32_t v = build_body_value(b, stem, dtype, index, n);
	build_map(b, b->body, v, e);
	return v;
}

uint32_t build_mapped(struct builder *b, const char *stem, const uint32_t *from, int n, uint32_t lane,
                      struct expr e)
{
	return mapped_as(b, stem, from, n, lane, b->p->compute, e);
}

/* A value that is loaded lies as the tensors do: turned, where a host can multiply it so. */
static struct expr operand_b(struct builder *b, int k, const struct product *p)
{
	const struct plan_contract *c = &b->plan->contract[k];
	if (b->packed[k].id)
		return b->packed[k];
	if (p->direct && b->plan->contract[k].page)
		return build_page(b, p->b, b->plan->contract[k].page);
	if (p->direct)
		return build_load_expression(b, p->b);
	bool turned = !b->device && !b->across && !build_is_carried(b, c->equation) && !build_reads_along(b, p->b, c->lanes) &&
	              build_reads_along(b, p->b, c->reduced);
	return build_value(b, build_load_as(b, p->b, turned ? c->reduced : c->lanes, p->dtype));
}

static int contract_of(const struct builder *b, uint32_t equation)
{
	for (int k = 0; k < b->plan->ncontracts; k++)
		if (b->plan->contract[k].equation == equation)
			return k;
	return -1;
}

/* Operand a of a contraction, zero where the sum has nothing. */
static struct expr operand_a(struct builder *b, int k, const struct product *p, struct expr presence)
{
	const struct plan_contract *c = &b->plan->contract[k];
	if (!(b->partial && presence.id) && build_is_input(b, p->a) &&
	    (b->device || !build_mentions(b, p->a, b->plan->walked)))
		return build_value(b, build_load_as(b, p->a, c->reduced, p->operand));
	for (uint32_t i = 0; i < b->operand.n; i++)
		if (expr_same(b->operand.v[i].expression, p->a) &&
		    expr_same(b->operand.v[i].presence, presence) &&
		    b->p->value.v[b->operand.v[i].value].dtype == p->operand)
			return build_value(b, b->operand.v[i].value);
	uint32_t from[] = {c->rows, c->reduced};
	const char *stem = b->c->tensor.v[b->c->equation.v[c->equation].tensor].name;
	stem = arena_printf(b->arena, "%s_a", stem);
	struct expr a = p->a;
	const struct expr_node *n = expr_at(&b->c->pool, a);
	uint32_t local = n->op == OP_READ ? local_equation(b, n->symbol) : NO_EQUATION;
	if (local != NO_EQUATION && b->c->equation.v[local].reduce == REDUCE_NONE &&
	    b->fresh[n->symbol] == NO_VALUE) {
		stem = b->c->tensor.v[n->symbol].name; /* made where it is needed, already masked */
		a = b->c->equation.v[local].body;
	}
	struct expr e = build_masked(b, presence, build_translate(b, a), 0);
	uint32_t v = mapped_as(b, stem, from, 2, c->reduced, p->dtype, e);
	vec_push(b->arena, &b->operand, (struct operand){p->a, presence, v});
	if (p->operand != p->dtype) { /* what else reads it reads it as it is before it is rounded */
		v = mapped_as(b, arena_printf(b->arena, "%s_%s", stem, dtype_info[p->operand].spelling), from, 2, c->reduced,
		              p->operand, build_value(b, v));
		vec_push(b->arena, &b->operand, (struct operand){p->a, presence, v});
	}
	build_forget(b);
	return build_value(b, v);
}

/* Vectors of a register block: no more than a block of rows has. */
static uint8_t block_lanes(const struct builder *b, int k)
{
	int64_t lanes = b->sizes->contract[k].lanes, most = b->apart / isa_info[b->schedule->isa].lanes;
	return (uint8_t)(b->apart && most < lanes ? most : lanes);
}

static struct tile_statement contract_statement(struct builder *b, int k, const struct product *p, uint32_t value,
                                                struct expr presence)
{
	const struct plan_contract *c = &b->plan->contract[k];
	struct tile_statement s = {.kind = TILE_CONTRACT,
	                           .value = value,
	                           .index = c->reduced,
	                           .rows = c->rows,
	                           .lanes = c->lanes,
	                           .block_rows = b->sizes->contract[k].rows,
	                           .block_lanes = block_lanes(b, k),
	                           .operand = b->sizes->contract[k].operand,
	                           .twine = b->sizes->contract[k].twine};
	s.a = operand_a(b, k, p, presence);
	s.b = operand_b(b, k, p);
	if (b->across) {
		s.rows = c->lanes;
		s.lanes = c->rows;
		struct expr a = s.a;
		s.a = s.b;
		s.b = a;
	}
	return s;
}

/* It, an expression of the program, can be infinite, or no number, where what it multiplies is a sum of nothing. */
static bool may_be_infinite(const struct builder *b, struct expr e)
{
	const struct expr_pool *p = b->p->pool;
	struct expr *node;
	uint32_t n = expr_nodes(p, e, &node);
	double number;
	if (expr_is_number(p, e, &number))
		return !isfinite(number);
	for (uint32_t i = 0; i < n; i++) {
		enum op op = (enum op)expr_at(p, node[i])->op;
		if (op == OP_EXP || op == OP_EXP2 || op == OP_LOG || op == OP_LOG2 || op == OP_RSQRT || op == OP_POW ||
		    (op == OP_DIV && !expr_is_number(p, expr_operand(p, node[i], 1), NULL)))
			return true;
	}
	return false;
}

/* A product of numbers and values, which costs as little again wherever it is read. */
static bool is_plain_product(const struct expr_pool *p, struct expr e)
{
	const struct expr_node *n = expr_at(p, e);
	if (n->op == OP_CONST)
		return isfinite(n->number);
	return n->op == OP_VALUE || (n->op == OP_MUL && is_plain_product(p, expr_operand(p, e, 0)) &&
	                             is_plain_product(p, expr_operand(p, e, 1)));
}

/* outer · value, which was just contracted. */
static struct expr scaled(struct builder *b, const struct product *p, uint32_t value)
{
	struct expr v = build_value(b, value), zero = expr_number(b->p->pool, 0);
	if (!p->outer.id)
		return v;
	struct expr outer = build_translate(b, p->outer), whole = expr2(b->p->pool, OP_MUL, v, outer);
	return may_be_infinite(b, outer) ? expr3(b->p->pool, OP_SELECT, expr2(b->p->pool, OP_EQ, v, zero), zero, whole)
	                                    : whole;
}

/* value = reduce over the indices one after another, innermost first; the result lacks all of them. */
static uint32_t reduced_value(struct builder *b, const struct equation *q, const char *stem,
                              enum reduction reduce, struct expr e)
{
	uint32_t have[2 * MAX_RANKS], index[MAX_RANKS];
	int n = 0;
	for (int i = 0; i < q->nindex; i++)
		have[n++] = q->index[i];
	uint32_t v = NO_VALUE;
	for (int r = q->nreduced - 1; r >= 0; r--) {
		int m = n;
		for (int i = 0; i < r; i++)
			have[m++] = q->reduced[i];
		uint32_t lane = NO_INDEX; /* what is left of walked or wide goes last */
		for (int i = 0; i < m; i++)
			if (have[i] == b->plan->walked || (have[i] == b->plan->wide && lane == NO_INDEX))
				lane = have[i];
		int ranks = body_ranks(b, have, m, lane, index);
		v = build_body_value(b, stem, b->p->compute, index, ranks);
		vec_push(b->arena, &b->body->statement,
		         (struct tile_statement){.kind = TILE_REDUCE,
		                                 .value = v,
		                                 .index = q->reduced[r],
		                                 .reduce = reduce,
		                                 .numbers = q->reduce == reduce && b->passes_nan[q - b->c->equation.v],
		                                 .expression = e});
		e = build_value(b, v);
	}
	return v;
}

/* A local equation's value, computed on first use. */
static struct expr local_value(struct builder *b, uint32_t equation)
{
	const struct equation *q = &b->c->equation.v[equation];
	const char *name = b->c->tensor.v[q->tensor].name;
	uint32_t index[MAX_RANKS];
	int k = contract_of(b, equation);
	if (k >= 0) {
		int n = body_ranks(b, q->index, q->nindex, b->plan->contract[k].lanes, index);
		struct product p = build_product(b, k);
		struct tile_statement s = contract_statement(b, k, &p, NO_VALUE, NO_EXPR);
		uint32_t v = s.value = build_body_value(b, name, p.dtype, index, n);
		build_steps(b, k, s);
		struct expr factor = p.outer.id && !b->device ? build_translate(b, p.outer) : NO_EXPR;
		if (factor.id && is_plain_product(b->p->pool, factor)) { /* whoever reads it multiplies: no pass of its own */
			b->factor_of[q->tensor] = factor;
		} else if (p.outer.id) {
			if (p.dtype != b->p->compute)
				v = build_body_value(b, name, b->p->compute, index, n);
			build_map(b, b->body, v, scaled(b, &p, s.value));
		}
		b->fresh[q->tensor] = v;
	} else if (q->reduce != REDUCE_NONE) {
		struct expr e = build_translate(b, q->body), presence = build_presence(b, equation);
		bool partial = b->partial;
		b->partial = true; /* its own reduced index may be restricted whatever the tile */
		e = build_masked(b, presence, e, reduction_info[q->reduce].identity);
		b->partial = partial;
		b->fresh[q->tensor] = reduced_value(b, q, name, q->reduce, e);
	} else if (readers(b, q->tensor) < 2) {
		return build_translate(b, q->body);
	} else {
		struct expr e = build_translate(b, q->body);
		b->fresh[q->tensor] = build_mapped(b, name, q->index, q->nindex, b->plan->walked, e);
	}
	return fresh_value(b, q->tensor);
}

static struct expr translate_read(struct builder *b, struct expr e, uint32_t tensor)
{
	if (b->fresh[tensor] != NO_VALUE && b->in_body)
		return fresh_value(b, tensor);
	if (b->running[tensor] != NO_VALUE)
		return tensor_value(b, tensor, b->running[tensor]);
	uint32_t local = local_equation(b, tensor);
	if (local != NO_EQUATION)
		return local_value(b, local);
	uint32_t lane = build_mentions(b, e, b->plan->wide) ? b->plan->wide : b->plan->walked;
	uint32_t v = build_load(b, e, lane);
	struct expr value = build_value(b, v);
	return expr_at(&b->c->pool, e)->kind == KIND_BOOL
	               ? expr2(b->p->pool, OP_NE, value, expr_number(b->p->pool, 0))
	               : value;
}

static struct expr translate(struct builder *b, struct expr e)
{
	const struct expr_node n = *expr_at(&b->c->pool, e);
	switch (n.op) {
	case OP_CONST:
	case OP_EXTENT:
	case OP_INDEX:
	case OP_LOW:
	case OP_HIGH: return build_load_expression(b, e);
	case OP_OLD: {
		uint32_t tensor = expr_at(&b->c->pool, expr_operand(&b->c->pool, e, 0))->symbol;
		return tensor_value(b, tensor, b->running[tensor]);
	}
	case OP_READ:
		for (uint32_t i = 0; i < b->operand.n; i++)
			if (expr_same(b->operand.v[i].expression, e) &&
			    expr_same(b->operand.v[i].presence, b->presence))
				return build_value(b, b->operand.v[i].value);
		return translate_read(b, e, n.symbol);
	case OP_ELSE: {
		struct expr x = expr_operand(&b->c->pool, e, 0), presence = cascade_presence_of(b->c, x);
		struct expr value = build_translate(b, x),
		            other = build_translate(b, expr_operand(&b->c->pool, e, 1));
		return presence.id ? expr3(b->p->pool, OP_SELECT, build_translate(b, presence), value, other)
		                   : value;
	}
	default: break;
	}
	for (uint32_t i = 0; i < b->operand.n; i++)
		if (expr_same(b->operand.v[i].expression, e) &&
		    expr_same(b->operand.v[i].presence, b->presence))
			return build_value(b, b->operand.v[i].value);
	struct expr x[MAX_RANKS];
	for (int i = 0; i < n.count; i++)
		x[i] = build_translate(b, expr_operand(&b->c->pool, e, i));
	return expr_make(b->p->pool, (enum op)n.op, n.symbol, n.count, x);
}

struct expr build_translate(struct builder *b, struct expr e)
{
	if (!e.id)
		return e;
	if (e.id < b->memos && b->memo[e.id].id)
		return b->memo[e.id];
	struct expr out = translate(b, e);
	if (e.id < b->memos)
		b->memo[e.id] = out;
	return out;
}

/* ---- carries ---- */

bool build_old_is_needed(const struct builder *b, uint32_t carry)
{
	uint32_t tensor = b->c->equation.v[b->stream->carry.v[carry].equation].tensor;
	for (uint32_t i = 0; i < b->stream->carry.n; i++)
		for (int k = 0; k < b->stream->carry.v[i].terms; k++) {
			const struct correction_term *t = &b->stream->carry.v[i].term[k];
			if ((t->carry == carry && i != carry) ||
			    expr_mentions(&b->c->pool, t->factor, OP_READ, tensor))
				return true;
		}
	return false;
}

/* A correction factor as a value over the rows; numbers stay numbers. */
static struct expr factor_value(struct builder *b, struct expr factor)
{
	double number;
	if (expr_is_number(&b->c->pool, factor, &number))
		return expr_number(b->p->pool, number);
	for (uint32_t i = 0; i < b->factor.n; i++)
		if (expr_same(b->factor.v[i].expression, factor))
			return build_value(b, b->factor.v[i].value);
	const uint32_t over[] = {b->plan->rows, b->plan->inner};
	int n = over[0] == NO_INDEX ? 0 : over[1] == NO_INDEX ? 1 : 2;
	uint32_t v = build_mapped(b, "c", over, n, NO_INDEX, build_translate(b, factor));
	vec_push(b->arena, &b->factor, (struct operand){factor, NO_EXPR, v});
	return build_value(b, v);
}

/* Σ factor · accumulator, the carried part of T'; NO_EXPR when nothing is corrected. */
struct expr build_corrected(struct builder *b, const struct carry *carry, uint32_t self)
{
	if (!carry->terms)
		return build_value(b, b->running[self]);
	struct expr sum = NO_EXPR;
	for (int k = 0; k < carry->terms; k++) {
		uint32_t from = b->c->equation.v[b->stream->carry.v[carry->term[k].carry].equation].tensor;
		struct expr x = expr2(b->p->pool, OP_MUL, build_value(b, b->running[from]),
		                      factor_value(b, carry->term[k].factor));
		sum = sum.id ? expr2(b->p->pool, OP_ADD, sum, x) : x;
	}
	return sum;
}

static bool only_itself(const struct carry *carry, uint32_t self)
{
	return carry->terms == 1 && carry->term[0].carry == self;
}

static void contract_carry(struct builder *b, uint32_t number, int k, struct expr presence)
{
	const struct carry *carry = &b->stream->carry.v[number];
	const struct equation *q = &b->c->equation.v[carry->equation];
	uint32_t tensor = q->tensor, v = b->running[tensor];
	struct product p = build_product(b, k);
	struct tile_statement s = contract_statement(b, k, &p, v, presence);
	if (b->single) {
		uint32_t index[MAX_RANKS];
		int n = body_ranks(b, q->index, q->nindex, b->plan->contract[k].lanes, index);
		v = s.value = build_body_value(b, b->c->tensor.v[tensor].name, p.dtype, index, n);
		build_steps(b, k, s);
		if (p.outer.id || p.dtype != b->p->compute) {
			v = build_body_value(b, b->c->tensor.v[tensor].name, b->p->compute, index, n);
			build_map(b, b->body, v, scaled(b, &p, s.value));
		}
		b->fresh[tensor] = v;
		return;
	}
	if (p.outer.id || p.dtype != b->p->compute) { /* its own sum, then joined */
		uint32_t index[MAX_RANKS];
		int n = body_ranks(b, q->index, q->nindex, b->plan->contract[k].lanes, index);
		s.value = build_body_value(b, arena_printf(b->arena, "%s_t", b->c->tensor.v[tensor].name), p.dtype, index, n);
		build_steps(b, k, s);
		struct expr sum = scaled(b, &p, s.value);
		build_map(b, b->body, v, expr2(b->p->pool, OP_ADD, build_corrected(b, carry, tensor), sum));
		b->fresh[tensor] = v;
		return;
	}
	s.accumulate = true;
	if (only_itself(carry, number)) {
		struct expr scale = factor_value(b, carry->term[0].factor);
		double one;
		s.scale = expr_is_number(b->p->pool, scale, &one) && one == 1 ? NO_EXPR : scale;
	} else if (carry->terms) {
		build_map(b, b->body, v, build_corrected(b, carry, tensor));
	}
	build_steps(b, k, s);
	b->fresh[tensor] = v;
}

/* This tile's count of present elements a row, for a mean. */
static struct expr count_here(struct builder *b, const struct equation *q, struct expr presence)
{
	struct expr_pool *p = b->p->pool;
	uint32_t walked = b->plan->walked;
	if (!b->partial || !presence.id)
		return expr2(p, OP_ADD,
		             expr2(p, OP_SUB, expr_leaf(p, OP_HIGH, KIND_INT, walked),
		                   expr_leaf(p, OP_LOW, KIND_INT, walked)),
		             expr_number(p, 1));
	struct expr one = build_masked(b, presence, expr_number(p, 1), 0);
	return build_value(b, reduced_value(b, q, "n", REDUCE_SUM, one));
}

/* Over the tile: the largest, NaN before all numbers, then the least coordinate that has it; joined with what was best so
 * far. */
static struct expr updated_argmax(struct builder *b, const struct equation *q, struct expr presence,
                                  struct expr x)
{
	struct expr_pool *p = b->p->pool;
	struct expr here = build_value(
	        b, reduced_value(b, q, "best", REDUCE_MAX, build_masked(b, presence, x, -INFINITY)));
	struct expr index = expr_leaf(p, OP_INDEX, KIND_INT, b->plan->walked);
	struct expr most = expr2(p, OP_OR, expr2(p, OP_EQ, x, here), expr2(p, OP_NE, x, x));
	struct expr at = expr3(p, OP_SELECT, most, index, expr_number(p, INFINITY));
	struct expr where = build_value(
	        b, reduced_value(b, q, "at", REDUCE_MIN, build_masked(b, presence, at, INFINITY)));
	return build_joined_argmax(b, q, here, where);
}

/* A maximum or minimum of what a positive number multiplies: the number, and what it multiplies. Rounding keeps order. */
static double take_factor(struct builder *b, struct expr *e)
{
	struct expr_pool *p = b->p->pool;
	const struct expr_node n = *expr_at(p, *e);
	double number;
	if (n.op == OP_SELECT && expr_is_number(p, expr_operand(p, *e, 2), &number) && isinf(number)) {
		struct expr x = expr_operand(p, *e, 1);
		double factor = take_factor(b, &x);
		if (factor != 1)
			*e = expr3(p, OP_SELECT, expr_operand(p, *e, 0), x, expr_operand(p, *e, 2));
		return factor;
	}
	if (n.op != OP_MUL || n.kind != KIND_REAL || expr_at(p, expr_operand(p, *e, 0))->kind != KIND_REAL ||
	    !expr_is_number(p, expr_operand(p, *e, 1), &number) || !(number > 0 && isfinite(number)))
		return 1;
	*e = expr_operand(p, *e, 0);
	return number;
}

static void reduce_carry(struct builder *b, uint32_t number, struct expr presence)
{
	const struct carry *carry = &b->stream->carry.v[number];
	const struct equation *q = &b->c->equation.v[carry->equation];
	const char *name = b->c->tensor.v[q->tensor].name;
	struct expr_pool *p = b->p->pool;
	enum op join = reduction_info[q->reduce].combine;
	struct expr x = build_translate(b, q->body), update;
	if (q->reduce == REDUCE_ANY || q->reduce == REDUCE_ALL) { /* truth as 0 and 1 */
		x = expr3(p, OP_SELECT, x, expr_number(p, 1), expr_number(p, 0));
		join = q->reduce == REDUCE_ANY ? OP_MAX : OP_MIN;
	}
	if (q->reduce == REDUCE_ARGMAX) {
		update = updated_argmax(b, q, presence, x);
	} else {
		enum reduction r = q->reduce == REDUCE_MEAN  ? REDUCE_SUM
		                   : q->reduce == REDUCE_ANY ? REDUCE_MAX
		                   : q->reduce == REDUCE_ALL ? REDUCE_MIN
		                                             : q->reduce;
		struct expr masked = build_masked(b, presence, x, reduction_info[q->reduce].identity);
		for (uint32_t i = 0; i < b->operand.n; i++) /* already zero where absent */
			if (expr_same(b->operand.v[i].presence, presence) &&
			    expr_same(build_value(b, b->operand.v[i].value), x) && r == REDUCE_SUM)
				masked = x;
		double factor = !b->device && (r == REDUCE_MAX || r == REDUCE_MIN) ? take_factor(b, &masked) : 1;
		uint32_t v = reduced_value(b, q, b->single ? name : arena_printf(b->arena, "%s_t", name), r, masked);
		struct expr here = build_value(b, v);
		if (b->single && factor == 1) {
			b->fresh[q->tensor] = v;
			return;
		}
		if (factor != 1)
			here = expr2(p, OP_MUL, here, expr_number(p, factor));
		update = q->reduce == REDUCE_MEAN
		                 ? build_joined_mean(b, q, here, count_here(b, q, presence))
		         : b->single ? here
		                     : expr2(p, join, build_corrected(b, carry, q->tensor), here);
	}
	if (b->single) {
		b->fresh[q->tensor] = build_mapped(b, name, q->index, q->nindex, b->plan->wide, update);
		return;
	}
	if (!build_old_is_needed(b, number)) {
		build_map(b, b->body, b->running[q->tensor], update);
		b->fresh[q->tensor] = b->running[q->tensor];
		return;
	}
	uint32_t v =
	        build_mapped(b, arena_printf(b->arena, "%s_new", name), q->index, q->nindex, b->plan->wide, update);
	b->fresh[q->tensor] = v;
	vec_push(b->arena, &b->assign, (struct operand){build_value(b, v), NO_EXPR, b->running[q->tensor]});
}

/* A sum that a contraction's operand also feeds reads that operand: make those first. */
static void share_operands(struct builder *b, struct expr body, struct expr presence)
{
	for (int k = 0; k < b->plan->ncontracts; k++) {
		const struct plan_contract *c = &b->plan->contract[k];
		struct product p = build_product(b, k);
		double number;
		if (c->reduced != b->plan->walked || expr_is_number(&b->c->pool, p.a, &number) ||
		    !expr_same(build_presence(b, c->equation), presence))
			continue;
		bool inside = expr_same(body, p.a);
		if (!inside && expr_at(&b->c->pool, p.a)->op == OP_READ)
			inside = expr_mentions(&b->c->pool, body, OP_READ, expr_at(&b->c->pool, p.a)->symbol);
		if (inside)
			operand_a(b, k, &p, presence);
	}
}

static void update_carry(struct builder *b, uint32_t number)
{
	uint32_t equation = b->stream->carry.v[number].equation;
	int k = contract_of(b, equation);
	b->presence = build_presence(b, equation);
	build_forget(b);
	if (k >= 0) {
		contract_carry(b, number, k, b->presence);
	} else {
		share_operands(b, b->c->equation.v[equation].body, b->presence);
		reduce_carry(b, number, b->presence);
	}
}

/* A contraction accumulates in place. Those whose corrections draw on one another are updated last to first:
 * a correction's matrix is lower triangular, so each still finds the old values it needs. */
static bool is_tangled(const struct builder *b, uint32_t number)
{
	const struct carry *carry = &b->stream->carry.v[number];
	return !b->single && contract_of(b, carry->equation) >= 0 &&
	       (build_old_is_needed(b, number) || (carry->terms && !only_itself(carry, number)));
}

void build_body(struct builder *b)
{
	for (uint32_t i = 0; i < b->c->tensor.n; i++) {
		b->fresh[i] = NO_VALUE;
		b->factor_of[i] = NO_EXPR;
	}
	for (uint32_t i = 0; i < b->storage.n; i++)
		b->storage.v[i].used = false;
	b->operand.n = b->factor.n = b->assign.n = 0;
	for (uint32_t i = 0; i < b->stream->carry.n; i++)
		if (!is_tangled(b, i))
			update_carry(b, i);
	for (uint32_t i = b->stream->carry.n; i-- > 0;)
		if (is_tangled(b, i))
			update_carry(b, i);
	for (uint32_t i = 0; i < b->assign.n; i++)
		build_map(b, b->body, b->assign.v[i].value, b->assign.v[i].expression);
	b->presence = NO_EXPR;
	build_forget(b);
}
