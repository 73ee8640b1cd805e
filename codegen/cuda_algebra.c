/* What a device computes in place of what is written, the same but for rounding.
 *
 * exp(x) is 2^(x · log2 e), the factor carried inwards over sums, differences and constant factors: of exp(k s - r) it
 * leaves one fused multiply-add, s · (k log2 e) - r · log2 e, whose second product is the same for all of a row.
 *
 * A contraction's result that is first of all multiplied by a positive constant, x = x * k, is left as it is, and times
 * k where it is read: there the factor goes into an exponential, a fused multiply-add, another constant, or past a
 * reduction. */
#include <math.h>

#include "codegen/cuda.h"

#define LOG2_E 1.44269504088896340736

static struct expr times(struct expr_pool *p, struct expr x, double k)
{
	const struct expr_node node = *expr_at(p, x);
	struct expr a = node.count > 0 ? expr_operand(p, x, 0) : NO_EXPR, b = node.count > 1 ? expr_operand(p, x, 1) : NO_EXPR;
	double number;
	if (expr_is_number(p, x, &number))
		return expr_number(p, number * k);
	if (node.kind == KIND_REAL)
		switch (node.op) {
		case OP_ADD:
		case OP_SUB: return expr2(p, (enum op)node.op, times(p, a, k), times(p, b, k));
		case OP_NEG: return expr1(p, OP_NEG, times(p, a, k));
		case OP_SELECT: return expr3(p, OP_SELECT, a, times(p, b, k), times(p, expr_operand(p, x, 2), k));
		case OP_MUL:
			if (expr_is_number(p, a, &number))
				return times(p, b, k * number);
			if (expr_is_number(p, b, &number))
				return times(p, a, k * number);
			break;
		case OP_DIV:
			if (expr_is_number(p, b, &number) && number != 0)
				return times(p, a, k / number);
			break;
		default: break;
		}
	return expr2(p, OP_MUL, x, expr_number(p, k));
}

static struct expr visit(struct expr_pool *p, struct expr x, void *context)
{
	const struct cuda *c = context;
	const struct expr_node *node = expr_at(p, x);
	if (node->op == OP_VALUE && c->factor[node->symbol] != 0)
		return expr2(p, OP_MUL, x, expr_number(p, c->factor[node->symbol]));
	if (node->op == OP_EXP)
		return expr1(p, OP_EXP2, times(p, expr_operand(p, x, 0), LOG2_E));
	double number;
	if ((node->op == OP_MUL || node->op == OP_DIV) && node->kind == KIND_REAL) {
		struct expr a = expr_operand(p, x, 0), b = expr_operand(p, x, 1);
		bool divided = node->op == OP_DIV;
		if (expr_is_number(p, b, &number) && isfinite(1 / number) && expr_at(p, a)->op == OP_MUL)
			return times(p, a, divided ? 1 / number : number);
		if (!divided && expr_is_number(p, a, &number) && expr_at(p, b)->op == OP_MUL)
			return times(p, b, number);
	}
	return x;
}

struct expr cuda_rewritten(struct cuda *c, struct expr x)
{
	return expr_rewrite(&c->pool, x, visit, c);
}

static bool reads(const struct cuda *c, struct expr x, uint32_t value)
{
	return x.id && expr_mentions(c->e.pool, x, OP_VALUE, value);
}

/* The value that x is, or is where a condition holds, and else a number that no factor changes. */
static uint32_t chosen_value(const struct cuda *c, struct expr x)
{
	const struct expr_pool *p = c->e.pool;
	double number;
	if (expr_at(p, x)->op == OP_SELECT && expr_is_number(p, expr_operand(p, x, 2), &number) &&
	    (number == 0 || isinf(number))) {
		struct expr inside = expr_operand(p, x, 1);
		uint32_t value = expr_at(p, inside)->op == OP_VALUE ? expr_at(p, inside)->symbol : NO_INDEX;
		return value != NO_INDEX && !reads(c, expr_operand(p, x, 0), value) ? value : NO_INDEX;
	}
	return expr_at(p, x)->op == OP_VALUE ? expr_at(p, x)->symbol : NO_INDEX;
}

double cuda_factor_past(const struct cuda *c, const struct tile_statement *s)
{
	if (s->kind != TILE_REDUCE || (s->reduce != REDUCE_MAX && s->reduce != REDUCE_MIN && s->reduce != REDUCE_SUM))
		return 0;
	uint32_t value = chosen_value(c, s->expression);
	return value == NO_INDEX ? 0 : c->factor[value];
}

/* ---- factors left for later ---- */

static bool mentions(const struct cuda *c, const struct tile_statement *s, uint32_t value)
{
	if (reads(c, s->low, value) || reads(c, s->high, value) || reads(c, s->expression, value) ||
	    reads(c, s->a, value) || reads(c, s->b, value) || reads(c, s->scale, value))
		return true;
	return !tile_stores(s) && s->kind != TILE_FOR && s->kind != TILE_NARROW && s->kind != TILE_IF &&
	       s->value == value;
}

static bool block_mentions(const struct cuda *c, const struct tile_block *b, uint32_t value)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		if (mentions(c, s, value) || block_mentions(c, &s->body, value) || block_mentions(c, &s->other, value))
			return true;
	}
	return false;
}

/* Does every block that knows the value begin with a contraction that makes it anew, and end with it? */
static bool made_anew(const struct cuda *c, const struct tile_block *b, uint32_t value)
{
	bool here = false, inside = false;
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		inside |= block_mentions(c, &s->body, value) || block_mentions(c, &s->other, value);
		if (mentions(c, s, value)) {
			if (!here && (s->kind != TILE_CONTRACT || s->value != value || s->accumulate))
				return false;
			here = true;
		}
		if ((here && inside) || !made_anew(c, &s->body, value) || !made_anew(c, &s->other, value))
			return false;
	}
	return true;
}

/* k of x = x * k or x / k; 0: it is not that. */
static double factor_of(const struct cuda *c, const struct tile_statement *s)
{
	const struct expr_pool *p = c->e.pool;
	const struct expr_node *node = expr_at(p, s->expression);
	double k = 0;
	if (s->kind != TILE_MAP || (node->op != OP_MUL && node->op != OP_DIV) ||
	    c->value[s->value].fragment != FRAGMENT_MATRIX || c->value[s->value].shared || c->e.value[s->value].integer)
		return 0;
	struct expr a = expr_operand(p, s->expression, 0), b = expr_operand(p, s->expression, 1);
	if (node->op == OP_MUL && expr_is_number(p, a, &k))
		a = b;
	else if (!expr_is_number(p, b, &k))
		return 0;
	k = node->op == OP_DIV && k != 0 ? 1 / k : k;
	return expr_at(p, a)->op == OP_VALUE && expr_at(p, a)->symbol == s->value && k > 0 && isfinite(k) ? k : 0;
}

/* Does an operation take a factor of its operand for nothing: a sum as a multiply-add, a constant factor, an exponential
 * as part of its own? */
static bool absorbs(const struct expr_pool *p, struct expr x)
{
	const struct expr_node *node = expr_at(p, x);
	double number;
	if (node->op == OP_ADD || node->op == OP_SUB || node->op == OP_EXP)
		return true;
	return (node->op == OP_MUL || node->op == OP_DIV) &&
	       (expr_is_number(p, expr_operand(p, x, 0), &number) || expr_is_number(p, expr_operand(p, x, 1), &number));
}

static bool absorbed(const struct cuda *c, struct expr x, uint32_t value)
{
	struct expr *node;
	uint32_t n = expr_nodes(c->e.pool, x, &node);
	for (uint32_t i = 0; i < n; i++)
		for (int k = 0; k < expr_at(c->e.pool, node[i])->count; k++) {
			const struct expr_node *operand = expr_at(c->e.pool, expr_operand(c->e.pool, node[i], k));
			if (operand->op == OP_VALUE && operand->symbol == value && !absorbs(c->e.pool, node[i]))
				return false;
		}
	return expr_at(c->e.pool, x)->op != OP_VALUE;
}

/* Among the statements that follow, are there only readers that take the factor for nothing? */
static bool worth_while(struct cuda *c, const struct tile_statement *s, uint32_t n, uint32_t value)
{
	for (uint32_t i = 0; i < n; i++) {
		bool read = reads(c, s[i].expression, value);
		if (s[i].kind == TILE_CONTRACT) {
			if (reads(c, s[i].a, value) || reads(c, s[i].b, value) || reads(c, s[i].scale, value) ||
			    (s[i].value == value && s[i].accumulate))
				return false;
			if (s[i].value == value)
				return true;
			continue;
		}
		if (read && cuda_factor_past(c, &s[i]) == 0 && !absorbed(c, s[i].expression, value))
			return false;
		if (s[i].kind == TILE_MAP && s[i].value == value)
			return true;
	}
	return true;
}

double cuda_deferred(struct cuda *c, const struct tile_statement *s, uint32_t n)
{
	double k = factor_of(c, s);
	if (k == 0 || c->factor[s->value] != 0 || !made_anew(c, &c->phase->body, s->value))
		return 0;
	c->factor[s->value] = k;
	bool good = worth_while(c, s + 1, n - 1, s->value);
	c->factor[s->value] = 0;
	return good ? k : 0;
}
