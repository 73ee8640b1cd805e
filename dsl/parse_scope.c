/* Expressions for texts other than .att: a tree straight to expr, with names resolved by the caller. */
#include <string.h>

#include "dsl/ast.h"
#include "dsl/parse.h"

struct resolve {
	const struct expr_scope *scope;
	bool coordinate; /* inside brackets, where '/' always floors, but for the operand of a cast */
};

static struct expr resolve(const struct resolve *, const struct ast *);

static struct expr fail(const struct resolve *r, struct span span, const char *message, const char *name)
{
	diag_error(r->scope->diags, span, message, name);
	return NO_EXPR;
}

static struct expr read(const struct resolve *r, const struct ast *a)
{
	struct expr index[MAX_RANKS];
	if (a->nbracket > MAX_RANKS) {
		diag_error(r->scope->diags, a->span, "'%s' has more than %d coordinates", a->name, MAX_RANKS);
		return NO_EXPR;
	}
	struct resolve inside = {r->scope, true};
	for (int i = 0; i < a->nbracket; i++)
		if (!(index[i] = resolve(&inside, a->bracket[i])).id)
			return NO_EXPR;
	return r->scope->read(r->scope->owner, a->name, a->nbracket, index, a->span);
}

/* low(i), high(i) */
static struct expr range_end(const struct resolve *r, const struct ast *a, enum op op)
{
	struct expr_pool *pool = r->scope->pool;
	if (a->noperand != 1 || a->operand[0]->kind != AST_NAME)
		return fail(r, a->span, "'%s' takes the name of an index", a->name);
	struct expr index = resolve(r, a->operand[0]);
	if (index.id && expr_at(pool, index)->op != OP_INDEX)
		return fail(r, a->operand[0]->span, "'%s' is not an index", a->operand[0]->name);
	return index.id ? expr_leaf(pool, op, KIND_INT, expr_at(pool, index)->symbol) : NO_EXPR;
}

static struct expr call(const struct resolve *r, const struct ast *a)
{
	struct expr operand[3];
	size_t length = strlen(a->name);
	if (a->bracketed)
		return fail(r, a->span, "'%s' with brackets and operands has no meaning here", a->name);
	if (!strcmp(a->name, "low") || !strcmp(a->name, "high"))
		return range_end(r, a, *a->name == 'l' ? OP_LOW : OP_HIGH);
	enum op op = a->noperand <= 3 ? op_find(a->name, length, a->noperand) : OP_NONE;
	enum dtype dtype = a->noperand == 1 ? dtype_find(a->name, length) : DTYPES;
	if (a->noperand == 1 && !strcmp(a->name, "old"))
		op = OP_OLD;
	if (dtype != DTYPES)
		op = OP_CAST;
	if (!op) {
		diag_error(r->scope->diags, a->name_span, "there is no function '%s' of %d operands", a->name,
		           a->noperand);
		return NO_EXPR;
	}
	struct resolve inside = {r->scope, r->coordinate && op != OP_CAST};
	for (int i = 0; i < a->noperand; i++)
		if (!(operand[i] = resolve(&inside, a->operand[i])).id)
			return NO_EXPR;
	return expr_make(r->scope->pool, op, dtype != DTYPES ? (uint32_t)dtype : 0, a->noperand, operand);
}

static struct expr resolve(const struct resolve *r, const struct ast *a)
{
	struct expr_pool *pool = r->scope->pool;
	struct expr x, y;
	switch ((enum ast_kind)a->kind) {
	case AST_NUMBER: return expr_number(pool, a->number);
	case AST_NAME: return r->scope->name(r->scope->owner, a->name, a->span);
	case AST_READ: return read(r, a);
	case AST_CALL: return call(r, a);
	case AST_MOVE: return fail(r, a->span, "'%s :=' has no meaning here", a->name);
	case AST_OP:
	case AST_ELSE: break;
	}
	if (!(x = resolve(r, a->operand[0])).id)
		return NO_EXPR;
	if (a->noperand == 1)
		return expr1(pool, a->op, x);
	if (!(y = resolve(r, a->operand[1])).id)
		return NO_EXPR;
	bool floors = a->op == OP_DIV && (r->coordinate || expr_slash_floors(pool, x, y));
	return expr2(pool, floors ? OP_IDIV : a->op, x, y);
}

struct expr expr_parse(struct lexer *l, const struct expr_scope *scope)
{
	struct ast *a = ast_expression(l);
	return a ? resolve(&(struct resolve){scope, false}, a) : NO_EXPR;
}

struct expr expr_parse_without_else(struct lexer *l, const struct expr_scope *scope)
{
	struct ast *a = ast_without_else(l);
	return a ? resolve(&(struct resolve){scope, false}, a) : NO_EXPR;
}

struct expr expr_parse_coordinate(struct lexer *l, const struct expr_scope *scope)
{
	struct ast *a = ast_expression(l);
	return a ? resolve(&(struct resolve){scope, true}, a) : NO_EXPR;
}
