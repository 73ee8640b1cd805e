#include "dsl/expr.h"
#include "dsl/dtype.h"

#include <assert.h>
#include <math.h>
#include <string.h>

const struct op_info op_info[OPS] = {
        [OP_ELSE] = {.spelling = "else", .arity = 2},
        [OP_OLD] = {.spelling = "old", .arity = 1},
        [OP_LOW] = {.spelling = "low"},
        [OP_HIGH] = {.spelling = "high"},
        [OP_CAST] = {.arity = 1},
#define OP(name, spelling, arity, kind, monotone, interval, c, value)                                               \
	[OP_##name] = {spelling, arity, RESULT_##kind, monotone, RULE_##interval, c},
#include "dsl/ops.h"
#undef OP
};

const struct reduction_info reduction_info[REDUCTIONS] = {
#define REDUCTION(name, spelling, identity, combine, value) [REDUCE_##name] = {spelling, identity, combine},
#include "dsl/reductions.h"
#undef REDUCTION
};

const struct selection_info selection_info[SELECTIONS] = {
#define SELECTION(name, spelling, dtype, argument) [SELECT_##name] = {spelling, DTYPE_##dtype, argument},
#include "dsl/selections.h"
#undef SELECTION
};

_Static_assert(OPS <= 64, "expr_node.ops has a bit an operation");

double op_value(enum op op, double x, double y, double z)
{
	(void)y, (void)z;
	switch ((int)op) {
#define OP(name, spelling, arity, kind, monotone, interval, c, value)                                               \
	case OP_##name:                                                                                      \
		return value;
#include "dsl/ops.h"
#undef OP
	}
	assert(op > OP_OLD && op < OPS);
	return NAN;
}

enum op op_find(const char *s, size_t n, int arity)
{
	for (int op = OP_OLD + 1; op < OPS; op++)
		if (op_info[op].arity == arity && strlen(op_info[op].spelling) == n &&
		    !memcmp(op_info[op].spelling, s, n))
			return (enum op)op;
	return OP_NONE;
}

double reduction_value(enum reduction r, double a, double x)
{
	switch ((int)r) {
#define REDUCTION(name, spelling, identity, combine, value)                                                  \
	case REDUCE_##name:                                                                                  \
		return value;
#include "dsl/reductions.h"
#undef REDUCTION
	}
	assert(r > REDUCE_NONE && r < REDUCTIONS);
	return NAN;
}

enum reduction reduction_find(const char *s, size_t n)
{
	for (int r = REDUCE_NONE + 1; r < REDUCTIONS; r++)
		if (strlen(reduction_info[r].spelling) == n && !memcmp(reduction_info[r].spelling, s, n))
			return (enum reduction)r;
	return REDUCE_NONE;
}

enum selection selection_find(const char *s, size_t n)
{
	for (int k = SELECT_NONE + 1; k < SELECTIONS; k++)
		if (strlen(selection_info[k].spelling) == n && !memcmp(selection_info[k].spelling, s, n))
			return (enum selection)k;
	return SELECT_NONE;
}

/* The pool. */

void expr_pool_init(struct expr_pool *p, struct arena *a)
{
	*p = (struct expr_pool){.arena = a, .slots = 64};
	p->slot = arena_new_array(a, p->slots, uint32_t);
	vec_push(a, &p->node, (struct expr_node){0});
}

static uint32_t hash_node(const struct expr_node *n, const struct expr *operand)
{
	uint64_t number;
	memcpy(&number, &n->number, sizeof number);
	uint64_t h = (uint64_t)n->op | (uint64_t)n->kind << 8 | (uint64_t)n->symbol << 16;
	h = (h ^ number) * 0x9e3779b97f4a7c15u;
	for (int i = 0; i < n->count; i++)
		h = ((h ^ h >> 29) + operand[i].id) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32);
}

static void grow_slots(struct expr_pool *p)
{
	p->slots *= 2;
	p->slot = arena_new_array(p->arena, p->slots, uint32_t);
	for (uint32_t id = 1; id < p->node.n; id++) {
		const struct expr_node *n = &p->node.v[id];
		uint32_t at = hash_node(n, p->operand.v + n->first) & (p->slots - 1);
		while (p->slot[at])
			at = (at + 1) & (p->slots - 1);
		p->slot[at] = id;
	}
}

/* The one node with these contents. `operand` must not point into the pool. */
static struct expr intern(struct expr_pool *p, struct expr_node n, const struct expr *operand)
{
	uint32_t at = hash_node(&n, operand) & (p->slots - 1);
	for (; p->slot[at]; at = (at + 1) & (p->slots - 1)) {
		const struct expr_node *o = &p->node.v[p->slot[at]];
		if (o->op == n.op && o->kind == n.kind && o->count == n.count && o->symbol == n.symbol &&
		    !memcmp(&o->number, &n.number, sizeof n.number) &&
		    (!n.count || !memcmp(p->operand.v + o->first, operand, n.count * sizeof *operand)))
			return (struct expr){p->slot[at]};
	}
	n.first = p->operand.n;
	n.ops = (uint64_t)1 << n.op;
	n.symbols = expr_symbol_bit((enum op)n.op, n.symbol);
	for (int i = 0; i < n.count; i++) {
		n.ops |= expr_at(p, operand[i])->ops;
		n.symbols |= expr_at(p, operand[i])->symbols;
		vec_push(p->arena, &p->operand, operand[i]);
	}
	uint32_t id = p->node.n;
	vec_push(p->arena, &p->node, n);
	p->slot[at] = id;
	if (p->node.n > p->slots / 2)
		grow_slots(p);
	return (struct expr){id};
}

/* Leaves. */

static bool whole(double x)
{
	return fabs(x) <= 0x1p53 && x == floor(x);
}

struct expr expr_number(struct expr_pool *p, double x)
{
	if (x == 0)
		x = 0; /* a constant has no negative zero: it would not survive printing */
	if (x != x)
		x = NAN;
	return intern(
	        p, (struct expr_node){.op = OP_CONST, .kind = whole(x) ? KIND_INT : KIND_REAL, .number = x},
	        NULL);
}

struct expr expr_leaf(struct expr_pool *p, enum op op, enum kind kind, uint32_t symbol)
{
	assert(op == OP_INDEX || op == OP_EXTENT || op == OP_VALUE || op == OP_LOW || op == OP_HIGH);
	return intern(p, (struct expr_node){.op = (uint8_t)op, .kind = (uint8_t)kind, .symbol = symbol},
	              NULL);
}

enum { OPERANDS_LIMIT = 16 };

struct expr expr_read(struct expr_pool *p, enum kind kind, uint32_t tensor, int n, const struct expr *index)
{
	assert(n <= OPERANDS_LIMIT);
	struct expr copy[OPERANDS_LIMIT];
	if (n)
		memcpy(copy, index, (size_t)n * sizeof *index);
	return intern(p,
	              (struct expr_node){
	                      .op = OP_READ, .kind = (uint8_t)kind, .count = (uint16_t)n, .symbol = tensor},
	              copy);
}

bool expr_is_number(const struct expr_pool *p, struct expr e, double *value)
{
	if (expr_at(p, e)->op != OP_CONST)
		return false;
	if (value)
		*value = expr_at(p, e)->number;
	return true;
}

/* Folding. */

static enum kind kind_of(const struct expr_pool *p, struct expr e)
{
	return (enum kind)expr_at(p, e)->kind;
}

static bool is_bit(const struct expr_pool *p, struct expr e)
{
	double v;
	return expr_is_number(p, e, &v) && (v == 0 || v == 1);
}

/* The kind of a value that is one or the other. */
static enum kind join(const struct expr_pool *p, struct expr a, struct expr b)
{
	enum kind ka = kind_of(p, a), kb = kind_of(p, b);
	if (ka == kb)
		return ka;
	if ((ka == KIND_BOOL && is_bit(p, b)) || (kb == KIND_BOOL && is_bit(p, a)))
		return KIND_BOOL;
	return ka == KIND_REAL || kb == KIND_REAL ? KIND_REAL : KIND_INT;
}

static bool all_int(const struct expr_pool *p, int n, const struct expr *x)
{
	for (int i = 0; i < n; i++)
		if (kind_of(p, x[i]) != KIND_INT)
			return false;
	return true;
}

static enum kind result_kind(const struct expr_pool *p, enum op op, uint32_t symbol, int n,
                             const struct expr *x)
{
	if (op == OP_CAST)
		return dtype_kind((enum dtype)symbol);
	if (op == OP_OLD)
		return kind_of(p, x[0]);
	if (op == OP_ELSE)
		return join(p, x[0], x[1]);
	switch (op_info[op].result) {
	case RESULT_ARITH: return all_int(p, n, x) ? KIND_INT : KIND_REAL;
	case RESULT_INT: return KIND_INT;
	case RESULT_BOOL: return KIND_BOOL;
	case RESULT_LAST: return join(p, x[1], x[2]);
	case RESULT_REAL: break;
	}
	return KIND_REAL;
}

static bool is(const struct expr_pool *p, struct expr e, double v)
{
	double u;
	return expr_is_number(p, e, &u) && u == v;
}

/* A READ may be absent, so an expression that has one cannot be dropped. */
static bool always_present(const struct expr_pool *p, struct expr e)
{
	return !(expr_at(p, e)->ops >> OP_READ & 1);
}

/* An operation on numbers, or NO_EXPR when its value is not one to bake: NaN, or an int past 2^53. */
static struct expr fold_numbers(struct expr_pool *p, enum op op, uint32_t symbol, int n, const struct expr *x)
{
	double v[3] = {0}, value;
	for (int i = 0; i < n; i++)
		if (!expr_is_number(p, x[i], &v[i]))
			return NO_EXPR;
	if (op == OP_CAST)
		return expr_number(p, dtype_round((enum dtype)symbol, v[0]));
	if (op <= OP_OLD)
		return NO_EXPR;
	value = op_value(op, v[0], v[1], v[2]);
	if (value != value || (result_kind(p, op, symbol, n, x) == KIND_INT && !whole(value)))
		return NO_EXPR;
	return expr_number(p, value);
}

/* Ints: a + -d is a - d; (a + c) + d and the like, for constants c and d, has one constant. */
static struct expr fold_int_sum(struct expr_pool *p, enum op op, struct expr a, struct expr b)
{
	double c, d;
	const struct expr_node *n = expr_at(p, a);
	if (n->kind != KIND_INT || !expr_is_number(p, b, &d) || kind_of(p, b) != KIND_INT)
		return NO_EXPR;
	if (d < 0)
		return expr2(p, op == OP_ADD ? OP_SUB : OP_ADD, a, expr_number(p, -d));
	if (n->op != OP_ADD && n->op != OP_SUB)
		return NO_EXPR;
	struct expr x = expr_operand(p, a, 0);
	if (!expr_is_number(p, expr_operand(p, a, 1), &c))
		return NO_EXPR;
	double sum = (n->op == OP_SUB ? -c : c) + (op == OP_SUB ? -d : d);
	if (!whole(sum))
		return NO_EXPR;
	return sum < 0 ? expr2(p, OP_SUB, x, expr_number(p, -sum)) : expr2(p, OP_ADD, x, expr_number(p, sum));
}

/* What stands for the operation, or NO_EXPR. A fold keeps value, kind and presence: it drops an operand only
 * where the operation is absent without it or never absent through it. */
static struct expr fold(struct expr_pool *p, enum op op, uint32_t symbol, int n, const struct expr *x)
{
	struct expr e = fold_numbers(p, op, symbol, n, x);
	if (e.id)
		return e;
	enum kind kind = result_kind(p, op, symbol, n, x);
	struct expr a = x[0], b = n > 1 ? x[1] : NO_EXPR;
	bool same_int = n == 2 && expr_same(a, b) && kind_of(p, a) == KIND_INT && always_present(p, a);
	bool keep_a = kind_of(p, a) == kind, keep_b = b.id && kind_of(p, b) == kind;
	switch (op) {
	case OP_ADD:
		if (is(p, b, 0) && keep_a)
			return a;
		if (is(p, a, 0) && keep_b)
			return b;
		return fold_int_sum(p, op, a, b);
	case OP_SUB:
		if (is(p, b, 0) && keep_a)
			return a;
		if (same_int)
			return expr_number(p, 0);
		return fold_int_sum(p, op, a, b);
	case OP_MUL: return is(p, b, 1) && keep_a ? a : is(p, a, 1) && keep_b ? b : NO_EXPR;
	case OP_DIV: return is(p, b, 1) && kind_of(p, a) != KIND_BOOL ? a : NO_EXPR;
	case OP_IDIV: return is(p, b, 1) && keep_a ? a : NO_EXPR;
	case OP_MOD: return is(p, b, 1) && keep_a && always_present(p, a) ? expr_number(p, 0) : NO_EXPR;
	case OP_NEG: return expr_at(p, a)->op == OP_NEG ? expr_operand(p, a, 0) : NO_EXPR;
	case OP_NOT: return expr_at(p, a)->op == OP_NOT ? expr_operand(p, a, 0) : NO_EXPR;
	case OP_MIN:
	case OP_MAX: {
		double none = op == OP_MIN ? INFINITY : -INFINITY;
		if (expr_same(a, b) || (is(p, b, none) && keep_a))
			return a;
		return is(p, a, none) && keep_b ? b : NO_EXPR;
	}
	case OP_LE:
	case OP_EQ: return same_int ? expr_number(p, 1) : NO_EXPR;
	case OP_LT:
	case OP_NE: return same_int ? expr_number(p, 0) : NO_EXPR;
	case OP_AND:
	case OP_OR: {
		/* An absent operand matters only where the other one does not decide. */
		bool decides = op == OP_OR;
		if (is(p, a, decides) || is(p, b, decides))
			return expr_number(p, decides);
		if ((is(p, b, !decides) && keep_a) || (expr_same(a, b) && keep_a))
			return a;
		return is(p, a, !decides) && keep_b ? b : NO_EXPR;
	}
	case OP_SELECT: {
		double c;
		if (expr_is_number(p, a, &c))
			return c != 0 ? x[1] : x[2];
		return expr_same(x[1], x[2]) && always_present(p, a) ? x[1] : NO_EXPR;
	}
	case OP_CAST: return expr_at(p, a)->op == OP_CAST && expr_at(p, a)->symbol == symbol ? a : NO_EXPR;
	case OP_ELSE: return expr_is_number(p, a, NULL) ? a : NO_EXPR;
	default: return NO_EXPR;
	}
}

struct expr expr_make(struct expr_pool *p, enum op op, uint32_t symbol, int n, const struct expr *operand)
{
	assert(op >= OP_CAST && op < OPS && n == op_info[op].arity);
	struct expr x[3];
	memcpy(x, operand, (size_t)n * sizeof *x);
	struct expr e = fold(p, op, symbol, n, x);
	if (e.id)
		return e;
	enum kind kind = result_kind(p, op, symbol, n, x);
	return intern(
	        p,
	        (struct expr_node){
	                .op = (uint8_t)op, .kind = (uint8_t)kind, .count = (uint16_t)n, .symbol = symbol},
	        x);
}

struct expr expr1(struct expr_pool *p, enum op op, struct expr a)
{
	return expr_make(p, op, 0, 1, &a);
}

struct expr expr2(struct expr_pool *p, enum op op, struct expr a, struct expr b)
{
	return expr_make(p, op, 0, 2, (struct expr[]){a, b});
}

struct expr expr3(struct expr_pool *p, enum op op, struct expr a, struct expr b, struct expr c)
{
	return expr_make(p, op, 0, 3, (struct expr[]){a, b, c});
}
