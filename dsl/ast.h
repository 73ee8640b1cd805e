/* ast.h: an .att file as it is written: names are still names, and everything has its place in the text.
 *
 * parse_expr.c makes expressions, parse.c statements, lower*.c turn them into a cascade. A statement with a
 * syntax error is left out of the tree (the error is appended), so what is here is well formed.
 */
#ifndef ATTUNE_DSL_AST_H
#define ATTUNE_DSL_AST_H

#include "dsl/cascade.h"
#include "dsl/lex.h"

enum ast_kind {
	AST_NUMBER, /* number */
	AST_NAME,   /* name */
	AST_READ,   /* name[bracket, …] */
	AST_CALL,   /* name(operand, …), or name[bracket, …](operand, …) when `bracketed` */
	AST_OP,     /* op over one or two operands */
	AST_ELSE,   /* operand 0 else operand 1 */
	AST_MOVE,   /* in brackets: name := operand 0 */
};

struct ast {
	uint8_t kind;
	bool bracketed;
	enum op op;
	uint16_t height; /* of the tree, at most NESTING_LIMIT */
	uint16_t noperand, nbracket;
	uint16_t before;  /* CALL: operands before the ';', or noperand when there is none */
	struct span span; /* with its parentheses */
	struct span name_span;
	const char *name;
	double number;
	struct ast **operand, **bracket;
	struct expr lowered; /* scratch for the lowering of the statement it stands in */
};

/* NULL after an error. */
struct ast *ast_expression(struct lexer *);
/* … that may be a list in brackets: after the '['; takes the ']'. */
bool ast_brackets(struct lexer *, struct ast *into, struct span open);
/* All of an expression but an `else` at its end. */
struct ast *ast_without_else(struct lexer *);

struct ast_name {
	const char *name;
	struct span span;
	struct ast *value; /* rank: extent, or NULL; param, parameter after ';': default, or NULL */
};

enum statement_kind {
	STATEMENT_NONE,     /* an error was appended */
	STATEMENT_KERNEL,   /* name: one */
	STATEMENT_RANK,     /* name: with extents */
	STATEMENT_INDEX,    /* name; extent: the one they walk */
	STATEMENT_PARAM,    /* name: with values */
	STATEMENT_TENSOR,   /* in, out; name: one; extent: one a rank */
	STATEMENT_TEMPLATE, /* fn, def; name: index parameters */
	STATEMENT_EQUATION, /* line: one */
};

/* Left sides of an equation: NAME or NAME[bracket, …]. */
struct ast_left {
	const char *name;
	struct span name_span, span;
	bool bracketed;
	uint16_t n;
	struct ast **index;
};

struct ast_equation {
	VEC(struct ast_left) left; /* one each; a template's result line has none */
	VEC(struct ast *) right;
	struct ast *where, *otherwise;
	struct span span;
};

struct statement {
	enum statement_kind kind;
	struct span span;
	VEC(struct ast_name) name;
	VEC(struct ast *) extent;
	VEC(struct ast_equation) line;
	/* TENSOR */
	enum role role;
	enum dtype dtype;
	struct ast_name ragged; /* its offsets; no name: it is not */
	/* TEMPLATE */
	struct ast_name template_name;
	VEC(struct ast_name) parameter;
	uint32_t before; /* parameters before the ';' */
	                 /* its lines; the last has no left side and is the result */
};

struct ast_file {
	VEC(struct statement) statement;
	/* Names that a statement with a syntax error may have declared: not knowing them is no new error. */
	VEC(const char *) lost;
};

/* What to say to somebody who took `name` for a type. */
const char *dtype_help(struct arena *, const char *name);

/* Reads as much as is well formed; diagnostics say what is not. */
struct ast_file *ast_parse(struct lexer *);

#endif
