/* Units: exponentials become powers of two.
 *
 * exp(x) is exp2(x · log2 e). Where x is a sum of values that can as well be kept times log2 e, no product is left: a
 * contraction's operand is loaded times log2 e (together with whatever number it is loaded times already), a
 * maximum or minimum of scaled things is scaled, and so is a selection, or a number times something. A value is
 * scaled wherever it is assigned, or nowhere; where it is read for something other than an exponential it is
 * multiplied back.
 *
 * Nothing is scaled that would lose by it. The product with log2 e is rounded: that is as much as a contraction or
 * a product has lost already, but not what was read from memory, of which a difference may be exact. So x must be
 * rounded before. Operands of narrow types are not scaled, and what is not free makes the whole exponential stay.
 *
 * First it is found what is rounded; then the values that cannot be scaled, from none upwards, until the rest justify
 * each other; then those of the rest that an exponential wants, and what they want in turn. */
#include <math.h>

#include "codegen/build.h"
#include "dsl/dtype.h"

static const double LOG2_E = 1.4426950408889634, LN_2 = 0.6931471805599453;

/* What is known of a value or a work tensor. */
struct unit {
	bool rounded; /* by what it is computed from */
	int digits;   /* of its elements, where they are a tensor's; of what is computed more than any product has */
	bool never;   /* it cannot be scaled */
	bool scaled;  /* it is */
};

struct units {
	struct tile_program *p;
	struct expr_pool *pool;
	struct unit *value, *tensor;
	uint32_t plain; /* a value that is read as it was, before it is assigned anew; NO_VALUE: none */
	struct expr *memo[2]; /* as it is, and times log2 e, by id */
	uint32_t memos;
	bool changed;
};

/* ---- what an expression is made of ---- */

static struct expr operand(const struct units *u, struct expr e, int i)
{
	return expr_operand(u->pool, e, i);
}

static struct unit *unit_of(struct units *u, struct expr e)
{
	const struct expr_node *n = expr_at(u->pool, e);
	return n->op == OP_VALUE ? &u->value[n->symbol] : &u->tensor[n->symbol];
}

static bool is_number(const struct units *u, struct expr e)
{
	double k;
	return expr_is_number(u->pool, e, &k);
}

enum { MANY_DIGITS = 1000 };

static int digits_of(struct units *u, struct expr e)
{
	const struct expr_node *n = expr_at(u->pool, e);
	if (n->op != OP_VALUE && n->op != OP_READ)
		return MANY_DIGITS;
	if (n->op == OP_READ && u->p->tensor.v[n->symbol].place == PLACE_ARGUMENT)
		return dtype_digits(u->p->tensor.v[n->symbol].dtype);
	return unit_of(u, e)->digits;
}

/* Does a contraction lose by a factor in one of its operands: products are of narrow operands, or exact? */
static bool as_stored(struct units *u, const struct tile_statement *s)
{
	return s->operand != OPERAND_COMPUTE || digits_of(u, s->a) + digits_of(u, s->b) <= dtype_digits(u->p->compute);
}

/* Calls `visit` for each statement of a block, then for those inside it. `last`: the value of a contraction of narrow
 * operands that the statement before made and this one assigns anew; NO_VALUE: none. */
typedef void visit(struct units *, struct tile_statement *, uint32_t last);

static void each(struct units *u, struct tile_block *b, visit *f)
{
	uint32_t last = NO_VALUE;
	for (uint32_t i = 0; i < b->statement.n; i++) {
		struct tile_statement *s = &b->statement.v[i];
		bool again = s->kind == TILE_MAP && s->value == last;
		f(u, s, again ? last : NO_VALUE);
		last = s->kind == TILE_CONTRACT && as_stored(u, s) ? s->value : NO_VALUE;
		each(u, &s->body, f);
		each(u, &s->other, f);
	}
}

static void each_statement(struct units *u, visit *f)
{
	for (uint32_t i = 0; i < u->p->phase.n; i++)
		each(u, &u->p->phase.v[i].body, f);
}

static void until_settled(struct units *u, visit *f)
{
	do {
		u->changed = false;
		each_statement(u, f);
	} while (u->changed);
}

/* A value or a tensor that may be scaled; `plain` is not. */
static bool may_be(struct units *u, struct expr e)
{
	const struct expr_node *n = expr_at(u->pool, e);
	return !unit_of(u, e)->never && !(n->op == OP_VALUE && n->symbol == u->plain);
}

static bool is_free(struct units *u, struct expr e);

/* The factor of a product that is scaled: the one of fewer ranks. */
static int scaled_factor(struct units *u, struct expr product)
{
	bool free[2];
	int ranks[2] = {MAX_RANKS, MAX_RANKS};
	for (int i = 0; i < 2; i++) {
		const struct expr_node *x = expr_at(u->pool, operand(u, product, i));
		free[i] = is_free(u, operand(u, product, i));
		if (x->op == OP_VALUE)
			ranks[i] = u->p->value.v[x->symbol].nranks;
	}
	return !free[0] ? 1 : !free[1] ? 0 : ranks[1] < ranks[0];
}

/* Can it be scaled at no cost in the lanes but what it is made of? */
static bool is_free(struct units *u, struct expr e)
{
	const struct expr_node n = *expr_at(u->pool, e);
	if (n.op == OP_CONST || n.kind == KIND_INT)
		return true;
	if (n.kind != KIND_REAL)
		return false;
	switch (n.op) {
	case OP_VALUE: return may_be(u, e);
	case OP_READ: return u->p->tensor.v[n.symbol].place == PLACE_ARGUMENT || may_be(u, e);
	case OP_NEG: return is_free(u, operand(u, e, 0));
	case OP_ADD:
	case OP_SUB:
	case OP_MAX:
	case OP_MIN: return is_free(u, operand(u, e, 0)) && is_free(u, operand(u, e, 1));
	case OP_MUL: return is_free(u, operand(u, e, 0)) || is_free(u, operand(u, e, 1));
	case OP_DIV: return is_number(u, operand(u, e, 1)) || is_free(u, operand(u, e, 0));
	case OP_SELECT: return is_free(u, operand(u, e, 1)) && is_free(u, operand(u, e, 2));
	default: return false;
	}
}

/* What a rounded product with log2 e would add to: of a sum or maximum the one that is rounded counts. */
enum grade { GRADE_NUMBER, GRADE_EXACT, GRADE_ROUNDED };

static enum grade grade_of(struct units *u, struct expr e)
{
	const struct expr_node n = *expr_at(u->pool, e);
	enum grade x, y;
	double k;
	int power;
	if (n.op == OP_CONST)
		return GRADE_NUMBER;
	if (n.kind != KIND_REAL)
		return GRADE_EXACT;
	switch (n.op) {
	case OP_VALUE: 
	case OP_READ: return unit_of(u, e)->rounded ? GRADE_ROUNDED : GRADE_EXACT;
	case OP_NEG: return grade_of(u, operand(u, e, 0));
	case OP_ADD:
	case OP_SUB:
	case OP_MAX:
	case OP_MIN:
	case OP_SELECT:
		x = grade_of(u, operand(u, e, n.count - 2));
		y = grade_of(u, operand(u, e, n.count - 1));
		return x > y ? x : y;
	case OP_MUL:
	case OP_DIV:
		for (int i = 0; i < 2; i++)
			if (expr_is_number(u->pool, operand(u, e, i), &k) && (i || n.op == OP_MUL) &&
			    fabs(frexp(k, &power)) == 0.5)
				return grade_of(u, operand(u, e, 1 - i));
		return GRADE_ROUNDED;
	default: return GRADE_ROUNDED;
	}
}

static bool converts(struct units *u, struct expr x)
{
	return is_free(u, x) && grade_of(u, x) == GRADE_ROUNDED;
}

static void note_rounded(struct units *u, struct tile_statement *s, uint32_t last)
{
	(void)last;
	struct unit *to = s->kind == TILE_STORE ? unit_of(u, s->target) : &u->value[s->value];
	bool rounded = s->kind == TILE_CONTRACT || (s->kind == TILE_REDUCE && s->reduce == REDUCE_SUM);
	if (s->kind == TILE_LOAD || s->kind == TILE_MAP || s->kind == TILE_REDUCE || s->kind == TILE_STORE)
		rounded |= grade_of(u, s->expression) == GRADE_ROUNDED;
	if (rounded && !to->rounded)
		u->changed = to->rounded = true;
}

static void note_digits(struct units *u, struct tile_statement *s, uint32_t last)
{
	(void)last;
	bool made = s->kind == TILE_CONTRACT || s->kind == TILE_REDUCE;
	if (!made && s->kind != TILE_LOAD && s->kind != TILE_MAP && s->kind != TILE_STORE)
		return;
	struct unit *to = s->kind == TILE_STORE ? unit_of(u, s->target) : &u->value[s->value];
	int digits = made ? MANY_DIGITS : digits_of(u, s->expression);
	if (digits > to->digits) {
		to->digits = digits;
		u->changed = true;
	}
}

/* ---- what cannot be scaled ---- */

static void forbid(struct units *u, struct unit *x)
{
	u->changed |= !x->never;
	x->never = true;
}

/* What an exponential that stays is made of stays too. */
static void forbid_in(struct units *u, struct expr x)
{
	struct expr *node;
	uint32_t n = expr_nodes(u->pool, x, &node);
	for (uint32_t i = 0; i < n; i++) {
		enum op op = (enum op)expr_at(u->pool, node[i])->op;
		if (op == OP_VALUE || op == OP_READ)
			forbid(u, unit_of(u, node[i]));
	}
}

static void check_exponentials(struct units *u, struct expr e)
{
	struct expr *node;
	uint32_t n = e.id ? expr_nodes(u->pool, e, &node) : 0;
	for (uint32_t i = 0; i < n; i++)
		if (expr_at(u->pool, node[i])->op == OP_EXP && !converts(u, operand(u, node[i], 0)))
			forbid_in(u, operand(u, node[i], 0));
}

static void check_assigned(struct units *u, struct unit *to, struct expr x)
{
	if (!is_free(u, x))
		forbid(u, to);
}

/* The operand that makes a contraction's result scaled: a value, the first of two. */
static struct expr scaled_operand(const struct units *u, const struct tile_statement *s)
{
	return expr_at(u->pool, s->a)->op == OP_VALUE ? s->a : s->b;
}

static void check_contraction(struct units *u, const struct tile_statement *s)
{
	struct expr operand = scaled_operand(u, s);
	struct unit *v = &u->value[s->value], *x = unit_of(u, operand);
	forbid(u, unit_of(u, expr_same(operand, s->a) ? s->b : s->a));
	bool stored = as_stored(u, s);
	if (expr_at(u->pool, operand)->op == OP_READ || stored)
		forbid(u, x);
	if (stored)
		return;
	if (x->never)
		forbid(u, v);
	else if (v->never)
		forbid(u, x);
}

static void check_statement(struct units *u, struct tile_statement *s, uint32_t last)
{
	u->plain = last;
	check_exponentials(u, s->expression);
	check_exponentials(u, s->scale);
	switch (s->kind) {
	case TILE_LOAD:
	case TILE_MAP: check_assigned(u, &u->value[s->value], s->expression); break;
	case TILE_REDUCE:
		if (s->reduce == REDUCE_SUM || s->reduce == REDUCE_MAX || s->reduce == REDUCE_MIN)
			check_assigned(u, &u->value[s->value], s->expression);
		else
			forbid(u, &u->value[s->value]);
		break;
	case TILE_CONTRACT: check_contraction(u, s); break;
	case TILE_STORE: check_assigned(u, unit_of(u, s->target), s->expression); break;
	case TILE_SELECT:
		forbid_in(u, s->expression);
		if (s->present.id)
			forbid_in(u, s->present);
		break;
	default: break;
	}
}

/* A contraction of narrow operands that no map follows is what it is. */
static void check_narrow(struct units *u, struct tile_block *b)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		struct tile_statement *s = &b->statement.v[i], *next = i + 1 < b->statement.n ? s + 1 : NULL;
		check_narrow(u, &s->body);
		check_narrow(u, &s->other);
		if (s->kind == TILE_CONTRACT && as_stored(u, s) && !(next && next->kind == TILE_MAP && next->value == s->value))
			forbid(u, &u->value[s->value]);
	}
}

/* ---- what is ---- */

static void want(struct units *u, struct expr e)
{
	const struct expr_node n = *expr_at(u->pool, e);
	if (n.kind != KIND_REAL || n.op == OP_CONST)
		return;
	switch (n.op) {
	case OP_READ:
		if (u->p->tensor.v[n.symbol].place == PLACE_ARGUMENT)
			return;
		/* fallthrough */
	case OP_VALUE:
		if (!may_be(u, e))
			return;
		u->changed |= !unit_of(u, e)->scaled;
		unit_of(u, e)->scaled = true;
		return;
	case OP_NEG: want(u, operand(u, e, 0)); return;
	case OP_ADD:
	case OP_SUB:
	case OP_MAX:
	case OP_MIN:
	case OP_SELECT:
		want(u, operand(u, e, n.count - 2));
		want(u, operand(u, e, n.count - 1));
		return;
	case OP_MUL:
		if (!is_number(u, operand(u, e, 0)) && !is_number(u, operand(u, e, 1)))
			want(u, operand(u, e, scaled_factor(u, e)));
		return;
	case OP_DIV:
		if (!is_number(u, operand(u, e, 1)))
			want(u, operand(u, e, 0));
		return;
	default: return;
	}
}

static void want_exponentials(struct units *u, struct expr e)
{
	struct expr *node;
	uint32_t n = e.id ? expr_nodes(u->pool, e, &node) : 0;
	for (uint32_t i = 0; i < n; i++)
		if (expr_at(u->pool, node[i])->op == OP_EXP && converts(u, operand(u, node[i], 0)))
			want(u, operand(u, node[i], 0));
}

static void want_statement(struct units *u, struct tile_statement *s, uint32_t last)
{
	u->plain = last;
	want_exponentials(u, s->expression);
	want_exponentials(u, s->scale);
	if (s->kind == TILE_STORE) {
		if (unit_of(u, s->target)->scaled)
			want(u, s->expression);
	} else if (s->kind == TILE_CONTRACT) {
		struct unit *v = &u->value[s->value], *x = unit_of(u, scaled_operand(u, s));
		if (!as_stored(u, s) && v->scaled != x->scaled)
			u->changed = v->scaled = x->scaled = true;
	} else if ((s->kind == TILE_LOAD || s->kind == TILE_MAP || s->kind == TILE_REDUCE) &&
	           u->value[s->value].scaled) {
		want(u, s->expression);
	}
}

/* ---- writing it ---- */

static struct expr scaled(struct units *, struct expr, double k);

static struct expr times(struct units *u, struct expr e, double k)
{
	return k == 1 ? e : expr2(u->pool, OP_MUL, e, expr_number(u->pool, k));
}

static bool is_scaled(struct units *u, struct expr e)
{
	const struct expr_node *n = expr_at(u->pool, e);
	return (n->op == OP_VALUE || n->op == OP_READ) && unit_of(u, e)->scaled &&
	       !(n->op == OP_VALUE && n->symbol == u->plain);
}

static bool mentions_scaled(struct units *u, struct expr e)
{
	if (is_scaled(u, e))
		return true;
	for (int i = 0; i < expr_at(u->pool, e)->count; i++)
		if (mentions_scaled(u, operand(u, e, i)))
			return true;
	return false;
}

static struct expr *memo(struct units *u, struct expr e, int which)
{
	return e.id < u->memos && u->plain == NO_VALUE ? &u->memo[which][e.id] : NULL;
}

/* A comparison of numbers holds in any unit. */
static bool compares_scaled(struct units *u, struct expr e)
{
	const struct expr_node *n = expr_at(u->pool, e);
	if (op_info[n->op].result != RESULT_BOOL || n->count != 2 || !mentions_scaled(u, e))
		return false;
	for (int i = 0; i < 2; i++) {
		struct expr x = operand(u, e, i);
		if (!is_free(u, x) || (grade_of(u, x) != GRADE_NUMBER && !mentions_scaled(u, x)))
			return false;
	}
	return true;
}

/* … and so has a sum one factor. */
static bool is_sum_of_scaled(struct units *u, struct expr e)
{
	const struct expr_node *n = expr_at(u->pool, e);
	if (n->kind != KIND_REAL || (n->op != OP_ADD && n->op != OP_SUB))
		return false;
	for (int i = 0; i < 2; i++)
		if (!is_free(u, operand(u, e, i)) || !mentions_scaled(u, operand(u, e, i)))
			return false;
	return true;
}

/* Of a quotient by a number a product, where a function is no steeper than its argument: its own error is as large as
 * the second rounding. */
static struct expr product(struct units *u, struct expr e)
{
	double k;
	if (expr_at(u->pool, e)->op != OP_DIV || !expr_is_number(u->pool, operand(u, e, 1), &k) || k == 0)
		return e;
	return times(u, operand(u, e, 0), 1 / k);
}

/* The expression, of what it reads as it is kept now. */
static struct expr unscaled(struct units *u, struct expr e)
{
	const struct expr_node n = *expr_at(u->pool, e);
	struct expr x[MAX_RANKS], r, *known = e.id ? memo(u, e, 0) : NULL;
	if (!e.id || (!n.count && n.op != OP_VALUE))
		return e;
	if (known && known->id)
		return *known;
	if (is_scaled(u, e)) {
		r = times(u, e, LN_2);
	} else if (n.op == OP_READ || !n.count) {
		r = e;
	} else if (n.op == OP_EXP && converts(u, operand(u, e, 0))) {
		r = expr1(u->pool, OP_EXP2, scaled(u, operand(u, e, 0), 1));
	} else if (is_sum_of_scaled(u, e)) {
		r = times(u, scaled(u, e, 1), LN_2);
	} else {
		bool both = compares_scaled(u, e);
		for (int i = 0; i < n.count; i++)
			x[i] = both ? scaled(u, operand(u, e, i), 1) : unscaled(u, operand(u, e, i));
		if (n.op == OP_TANH || n.op == OP_ERF)
			x[0] = product(u, x[0]);
		r = expr_make(u->pool, (enum op)n.op, n.symbol, n.count, x);
	}
	if (known)
		*memo(u, e, 0) = r;
	return r;
}

/* e · k · log2 e, for k > 0, where is_free(e). */
static struct expr scaled(struct units *u, struct expr e, double k)
{
	const struct expr_node n = *expr_at(u->pool, e);
	struct expr_pool *p = u->pool;
	struct expr r, *known = k == 1 ? memo(u, e, 1) : NULL;
	double number;
	if (known && known->id)
		return *known;
	if (n.op == OP_CONST)
		return expr_number(p, n.number * k * LOG2_E);
	if (n.kind != KIND_REAL || n.op == OP_VALUE || n.op == OP_READ)
		return is_scaled(u, e) ? times(u, e, k) : times(u, unscaled(u, e), k * LOG2_E);
	struct expr x = operand(u, e, 0), y = n.count > 1 ? operand(u, e, 1) : NO_EXPR;
	switch (n.op) {
	case OP_NEG: r = expr1(p, OP_NEG, scaled(u, x, k)); break;
	case OP_SELECT:
		r = expr3(p, OP_SELECT, unscaled(u, x), scaled(u, y, k), scaled(u, operand(u, e, 2), k));
		break;
	case OP_MUL:
	case OP_DIV: {
		int to = n.op == OP_MUL && !expr_is_number(p, y, &number) && expr_is_number(p, x, &number);
		struct expr other = to ? y : x;
		if (!expr_is_number(p, to ? x : y, &number)) {
			int which = n.op == OP_MUL ? scaled_factor(u, e) : 0;
			x = which ? unscaled(u, x) : scaled(u, x, k);
			y = which ? scaled(u, y, k) : unscaled(u, y);
			r = expr2(p, (enum op)n.op, x, y);
			break;
		}
		number = n.op == OP_MUL ? k * number : k / number;
		r = number > 0 && is_free(u, other) && mentions_scaled(u, other)
		            ? scaled(u, other, number)
		            : times(u, unscaled(u, other), number * LOG2_E);
		break;
	}
	default: r = expr2(p, (enum op)n.op, scaled(u, x, k), scaled(u, y, k));
	}
	if (known)
		*memo(u, e, 1) = r;
	return r;
}

static struct expr assigned(struct units *u, const struct unit *to, struct expr e)
{
	return to->scaled ? scaled(u, e, 1) : unscaled(u, e);
}

static void rewrite_statement(struct units *u, struct tile_statement *s, uint32_t last)
{
	u->plain = last;
	s->low = unscaled(u, s->low);
	s->high = unscaled(u, s->high);
	s->scale = unscaled(u, s->scale);
	if (s->kind == TILE_LOAD || s->kind == TILE_MAP || s->kind == TILE_REDUCE)
		s->expression = assigned(u, &u->value[s->value], s->expression);
	else if (s->kind == TILE_STORE)
		s->expression = assigned(u, unit_of(u, s->target), s->expression);
	else if (s->kind != TILE_SELECT)
		s->expression = unscaled(u, s->expression);
}

void build_units(struct tile_program *p)
{
	struct units u = {.p = p, .pool = p->pool, .plain = NO_VALUE};
	u.value = arena_new_array(p->arena, p->value.n + 1, struct unit);
	u.tensor = arena_new_array(p->arena, p->tensor.n + 1, struct unit);
	for (uint32_t i = 0; i < p->value.n; i++)
		u.value[i].never = p->value.v[i].dtype != DTYPE_F32;
	for (uint32_t i = 0; i < p->tensor.n; i++)
		u.tensor[i].never = p->tensor.v[i].place == PLACE_ARGUMENT || p->tensor.v[i].dtype != DTYPE_F32;
	until_settled(&u, note_digits);
	for (uint32_t i = 0; i < p->phase.n; i++)
		check_narrow(&u, &p->phase.v[i].body);
	until_settled(&u, note_rounded);
	until_settled(&u, check_statement);
	until_settled(&u, want_statement);
	u.memos = p->pool->node.n;
	for (int i = 0; i < 2; i++)
		u.memo[i] = arena_new_array(p->arena, u.memos, struct expr);
	each_statement(&u, rewrite_statement);
}
