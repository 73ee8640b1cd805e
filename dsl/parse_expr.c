/* Expressions: precedence climbing into a tree.
 *
 *     expression := or ['else' expression]
 *     or := and {'or' and};  and := not {'and' not};  not := 'not' not | comparison
 *     comparison := sum {('<' | '<=' | '>' | '>=' | '==' | '!=') sum}      a < b < c is a < b and b < c
 *     sum := product {('+' | '-') product};  product := unary {('*' | '/' | '//' | '%') unary}
 *     unary := '-' unary | primary
 *     primary := number | 'inf' | '(' expression ')' | name [brackets] ['(' arguments ')']
 *
 * Recursion is bounded by NESTING_LIMIT, and so is the height of every tree, so that whoever walks one may
 * recurse.
 */
#include <math.h>
#include <string.h>

#include "dsl/ast.h"
#include "dsl/parse.h"

enum level { LEVEL_OR, LEVEL_AND, LEVEL_NOT, LEVEL_COMPARISON, LEVEL_SUM, LEVEL_PRODUCT, LEVEL_UNARY };

static struct ast *level(struct lexer *, enum level);

static bool too_deep(struct lexer *l, struct span span)
{
	diag_error(l->diags, span, "this expression nests deeper than the limit of %d", NESTING_LIMIT);
	diag_help(l->diags, "give a part of it an equation of its own");
	return true;
}

static struct ast *new_node(struct lexer *l, enum ast_kind kind, struct span span)
{
	struct ast *a = arena_new(l->arena, struct ast);
	a->kind = (uint8_t)kind;
	a->span = span;
	a->height = 1;
	return a;
}

/* NULL when the tree gets too high. */
static struct ast *raise_over(struct lexer *l, struct ast *a, const struct ast *operand)
{
	if (operand->height >= a->height)
		a->height = (uint16_t)(operand->height + 1);
	if (a->height <= NESTING_LIMIT)
		return a;
	too_deep(l, operand->span);
	return NULL;
}

static struct ast *operation(struct lexer *l, enum ast_kind kind, enum op op, struct span span, struct ast *x,
                             struct ast *y)
{
	struct ast *a = new_node(l, kind, span);
	a->op = op;
	a->operand = arena_new_array(l->arena, 2, struct ast *);
	a->operand[0] = x;
	a->operand[1] = y;
	a->noperand = y ? 2 : 1;
	a = raise_over(l, a, x);
	return a && y ? raise_over(l, a, y) : a;
}

static struct span join(const struct ast *x, const struct ast *y)
{
	return (struct span){x->span.begin < y->span.begin ? x->span.begin : y->span.begin,
	                     x->span.end > y->span.end ? x->span.end : y->span.end};
}

/* A list of expressions up to `close`; `semicolon` gets the count before a ';', where one is allowed. */
static bool list(struct lexer *l, uint16_t close, struct span open, uint16_t *n, struct ast ***items,
                 uint16_t *semicolon)
{
	VEC(struct ast *) v = {0};
	bool seen = false;
	while (!lexer_at_symbol(l, close) || v.n) {
		struct ast *a;
		const struct token *t = lexer_peek(l), *assign = lexer_peek2(l);
		if (!semicolon && t->kind == TOKEN_NAME && assign->kind == TOKEN_SYMBOL &&
		    assign->symbol == SYMBOL(':', '=')) {
			lexer_next(l), lexer_next(l);
			struct ast *to = ast_expression(l);
			if (!to)
				return false;
			a = operation(l, AST_MOVE, OP_NONE, (struct span){t->span.begin, to->span.end}, to,
			              NULL);
			if (a) {
				a->name = t->name;
				a->name_span = t->span;
			}
		} else {
			a = ast_expression(l);
		}
		if (!a)
			return false;
		if (v.n >= UINT16_MAX)
			return too_deep(l, a->span), false;
		vec_push(l->arena, &v, a);
		if (semicolon && !seen && lexer_take_symbol(l, ';')) {
			*semicolon = (uint16_t)v.n;
			seen = true;
			continue;
		}
		if (!lexer_take_symbol(l, ','))
			break;
	}
	*n = (uint16_t)v.n;
	*items = v.v;
	if (semicolon && !seen)
		*semicolon = (uint16_t)v.n;
	if (lexer_take_symbol(l, close))
		return true;
	const struct token *t = lexer_peek(l);
	if (t->kind == TOKEN_NEWLINE || t->kind == TOKEN_END)
		return diag_error(l->diags, open, "this '%c' is never closed", close == ')' ? '(' : '[');
	return lexer_expected(l, close == ')' ? "')', ',' or an operator" : "']', ',' or an operator");
}

bool ast_brackets(struct lexer *l, struct ast *into, struct span open)
{
	return list(l, ']', open, &into->nbracket, &into->bracket, NULL);
}

static struct ast *named(struct lexer *l)
{
	const struct token *t = lexer_next(l);
	struct ast *a = new_node(l, AST_NAME, t->span);
	a->name = t->name;
	a->name_span = t->span;
	if (!strcmp(t->name, "inf") || !strcmp(t->name, "nan")) {
		a->kind = AST_NUMBER;
		a->number = *t->name == 'i' ? INFINITY : NAN;
		return a;
	}
	struct span open = lexer_peek(l)->span;
	if (lexer_take_symbol(l, '[')) {
		a->kind = AST_READ;
		a->bracketed = true;
		if (!ast_brackets(l, a, open))
			return NULL;
	}
	open = lexer_peek(l)->span;
	if (lexer_take_symbol(l, '(')) {
		a->kind = AST_CALL;
		if (!list(l, ')', open, &a->noperand, &a->operand, &a->before))
			return NULL;
	}
	a->span.end = lexer_end(l);
	for (int i = 0; i < a->nbracket; i++)
		if (!raise_over(l, a, a->bracket[i]))
			return NULL;
	for (int i = 0; i < a->noperand; i++)
		if (!raise_over(l, a, a->operand[i]))
			return NULL;
	return a;
}

static struct ast *primary(struct lexer *l)
{
	static const char *const reserved[] = {"where", "else", "and", "or", "not"};
	const struct token *t = lexer_peek(l);
	if (t->kind == TOKEN_NUMBER) {
		struct ast *a = new_node(l, AST_NUMBER, lexer_next(l)->span);
		a->number = t->number;
		return a;
	}
	if (lexer_take_symbol(l, '(')) {
		struct ast *a = ast_expression(l);
		if (!a)
			return NULL;
		if (!lexer_take_symbol(l, ')')) {
			const struct token *next = lexer_peek(l);
			if (next->kind == TOKEN_NEWLINE || next->kind == TOKEN_END)
				diag_error(l->diags, t->span, "this '(' is never closed");
			else
				lexer_expected(l, "')' or an operator");
			return NULL;
		}
		a->span = (struct span){t->span.begin, lexer_end(l)};
		return a;
	}
	bool is_name = t->kind == TOKEN_NAME;
	for (size_t i = 0; is_name && i < sizeof reserved / sizeof *reserved; i++)
		is_name = strcmp(t->name, reserved[i]) != 0;
	if (is_name)
		return named(l);
	lexer_expected(l, "an expression");
	if (t->kind == TOKEN_SYMBOL && t->symbol == '*' && l->at &&
	    l->token.v[l->at - 1].kind == TOKEN_SYMBOL && l->token.v[l->at - 1].symbol == '*')
		diag_help(l->diags, "a power is written pow(x, y)");
	return NULL;
}

static struct ast *unary(struct lexer *l)
{
	const struct token *t = lexer_peek(l);
	if (!lexer_take_symbol(l, '-'))
		return primary(l);
	if (++l->depth > NESTING_LIMIT)
		return too_deep(l, t->span), NULL;
	struct ast *x = unary(l);
	l->depth--;
	return x ? operation(l, AST_OP, OP_NEG, (struct span){t->span.begin, x->span.end}, x, NULL) : NULL;
}

/* The infix operator at the next token on a level; `swapped` for '>' and '>='. */
static enum op infix(const struct lexer *l, enum level at, bool *swapped)
{
	static const struct {
		enum level level;
		uint16_t symbol;
		const char *word;
		enum op op;
		bool swapped;
	} operators[] = {
	        {LEVEL_OR, 0, "or", OP_OR, false},
	        {LEVEL_AND, 0, "and", OP_AND, false},
	        {LEVEL_COMPARISON, '<', NULL, OP_LT, false},
	        {LEVEL_COMPARISON, '>', NULL, OP_LT, true},
	        {LEVEL_COMPARISON, SYMBOL('<', '='), NULL, OP_LE, false},
	        {LEVEL_COMPARISON, SYMBOL('>', '='), NULL, OP_LE, true},
	        {LEVEL_COMPARISON, SYMBOL('=', '='), NULL, OP_EQ, false},
	        {LEVEL_COMPARISON, SYMBOL('!', '='), NULL, OP_NE, false},
	        {LEVEL_SUM, '+', NULL, OP_ADD, false},
	        {LEVEL_SUM, '-', NULL, OP_SUB, false},
	        {LEVEL_PRODUCT, '*', NULL, OP_MUL, false},
	        {LEVEL_PRODUCT, '/', NULL, OP_DIV, false},
	        {LEVEL_PRODUCT, SYMBOL('/', '/'), NULL, OP_IDIV, false},
	        {LEVEL_PRODUCT, '%', NULL, OP_MOD, false},
	};
	for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
		if (operators[i].level != at)
			continue;
		*swapped = operators[i].swapped;
		if (operators[i].word ? lexer_at_word(l, operators[i].word)
		                      : lexer_at_symbol(l, operators[i].symbol))
			return operators[i].op;
	}
	return OP_NONE;
}

static struct ast *comparison(struct lexer *l)
{
	struct ast *x = level(l, LEVEL_SUM), *all = NULL;
	enum op op;
	bool swapped;
	while (x && (op = infix(l, LEVEL_COMPARISON, &swapped))) {
		lexer_next(l);
		struct ast *y = level(l, LEVEL_SUM);
		if (!y)
			return NULL;
		struct ast *one = operation(l, AST_OP, op, join(x, y), swapped ? y : x, swapped ? x : y);
		if (!one)
			return NULL;
		all = all ? operation(l, AST_OP, OP_AND, join(all, one), all, one) : one;
		if (!all)
			return NULL;
		x = y;
	}
	return x && all ? all : x;
}

static struct ast *level(struct lexer *l, enum level at)
{
	if (at == LEVEL_UNARY)
		return unary(l);
	if (at == LEVEL_COMPARISON)
		return comparison(l);
	if (at == LEVEL_NOT) {
		const struct token *t = lexer_peek(l);
		if (!lexer_take_word(l, "not"))
			return comparison(l);
		if (++l->depth > NESTING_LIMIT)
			return too_deep(l, t->span), NULL;
		struct ast *x = level(l, LEVEL_NOT);
		l->depth--;
		return x ? operation(l, AST_OP, OP_NOT, (struct span){t->span.begin, x->span.end}, x, NULL)
		         : NULL;
	}
	struct ast *x = level(l, at + 1);
	enum op op;
	bool swapped;
	while (x && (op = infix(l, at, &swapped))) {
		lexer_next(l);
		struct ast *y = level(l, at + 1);
		x = y ? operation(l, AST_OP, op, join(x, y), x, y) : NULL;
	}
	return x;
}

struct ast *ast_without_else(struct lexer *l)
{
	if (++l->depth > NESTING_LIMIT)
		return too_deep(l, lexer_peek(l)->span), NULL;
	struct ast *x = level(l, LEVEL_OR);
	l->depth--;
	return x;
}

struct ast *ast_expression(struct lexer *l)
{
	struct ast *x = ast_without_else(l);
	if (!x || !lexer_take_word(l, "else"))
		return x;
	if (++l->depth > NESTING_LIMIT)
		return too_deep(l, x->span), NULL;
	struct ast *otherwise = ast_expression(l);
	l->depth--;
	return otherwise ? operation(l, AST_ELSE, OP_ELSE, join(x, otherwise), x, otherwise) : NULL;
}
