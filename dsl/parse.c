/* Statements. Each begins a line; one with a syntax error is reported, skipped, and what it may have declared
 * is remembered as lost.
 *
 *     kernel NAME
 *     rank NAME ['=' extent], …           index NAME, … ':' extent           param NAME ['=' expression], …
 *     in|out NAME ['[' extent, … ']'] ['ragged' 'by' NAME] [':' type] ['ragged' 'by' NAME], …
 *     fn NAME '(' parameters ')' '=' expression
 *     def NAME ['[' names ']'] '(' parameters ')' ('=' expression | '{' lines '}')
 *     NAME ['[' indices ']'], … '=' expression, … ['where' condition] ['else' expression]
 */
#include <string.h>

#include "dsl/ast.h"
#include "dsl/parse.h"

static const char *const keywords[] = {"kernel", "rank", "index", "param", "in",
                                       "out",    "fn",   "def",   "init",  "final"};
enum { KEYWORDS = sizeof keywords / sizeof *keywords };

static bool parse_name(struct lexer *l, const char *what, struct ast_name *n)
{
	static const char *const reserved[] = {"where", "else", "and", "or", "not", "inf", "nan"};
	const struct token *t = lexer_peek(l);
	*n = (struct ast_name){.span = t->span};
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (lexer_at_word(l, reserved[i]))
			return diag_error(l->diags, t->span, "'%s' is a word of the language, not a name",
			                  reserved[i]);
	return (n->name = lexer_expect_name(l, what)) != NULL;
}

/* NAME ['=' value], …; the values only where `values`. */
static bool parse_names(struct lexer *l, struct statement *s, const char *what, bool values)
{
	do {
		struct ast_name n;
		if (!parse_name(l, what, &n))
			return false;
		if (values && lexer_take_symbol(l, '=') && !(n.value = ast_expression(l)))
			return false;
		vec_push(l->arena, &s->name, n);
	} while (lexer_take_symbol(l, ','));
	return true;
}

static bool parse_extents(struct lexer *l, struct statement *s)
{
	struct ast list = {0};
	struct span open = lexer_peek(l)->span;
	if (!lexer_take_symbol(l, '['))
		return true;
	if (!ast_brackets(l, &list, open))
		return false;
	for (int i = 0; i < list.nbracket; i++)
		vec_push(l->arena, &s->extent, list.bracket[i]);
	return true;
}

const char *dtype_help(struct arena *a, const char *name)
{
	const char *spelling[DTYPES];
	struct text all;
	text_init(&all, a);
	text_add(&all, "the types are");
	for (int i = 0; i < DTYPES; i++) {
		spelling[i] = dtype_info[i].spelling;
		text_printf(&all, " %s", spelling[i]);
	}
	const char *near = lexer_nearest(name, spelling, DTYPES);
	return near ? arena_printf(a, "did you mean '%s'?", near) : all.s;
}

static bool parse_type(struct lexer *l, enum dtype *type)
{
	const struct token *t = lexer_peek(l);
	const char *name = lexer_expect_name(l, "a type");
	if (!name)
		return false;
	if ((*type = dtype_find(name, strlen(name))) != DTYPES)
		return true;
	diag_error(l->diags, t->span, "there is no type '%s'", name);
	diag_help(l->diags, "%s", dtype_help(l->arena, name));
	*type = DTYPE_F32; /* and so the rest of the statement counts */
	return true;
}

/* ['ragged' 'by' NAME]; of the last tensor. */
static bool parse_ragged(struct lexer *l, struct ast_file *f)
{
	struct statement *s = &f->statement.v[f->statement.n - 1];
	struct ast_name n;
	struct span at = lexer_peek(l)->span;
	if (!lexer_take_word(l, "ragged"))
		return true;
	if (!lexer_expect_word(l, "by") || !parse_name(l, "the name of the offsets", &n))
		return false;
	if (s->ragged.name)
		return diag_error(l->diags, at, "'%s' is ragged by '%s' already", s->name.v[0].name, s->ragged.name);
	s->ragged = n;
	return true;
}

/* One statement a tensor; a type belongs to all before it that have none. */
static bool parse_tensors(struct lexer *l, struct ast_file *f, enum role role)
{
	uint32_t untyped = f->statement.n;
	do {
		struct statement s = {.kind = STATEMENT_TENSOR, .role = role, .dtype = DTYPE_F32};
		struct ast_name n;
		if (!parse_name(l, "the name of a tensor", &n))
			return false;
		vec_push(l->arena, &s.name, n);
		if (!parse_extents(l, &s))
			return false;
		s.span = (struct span){n.span.begin, lexer_end(l)};
		vec_push(l->arena, &f->statement, s);
		if (!parse_ragged(l, f))
			return false;
		if (lexer_take_symbol(l, ':')) {
			enum dtype type;
			if (!parse_type(l, &type))
				return false;
			for (; untyped < f->statement.n; untyped++)
				f->statement.v[untyped].dtype = type;
		}
		if (!parse_ragged(l, f))
			return false;
	} while (lexer_take_symbol(l, ','));
	return lexer_expect_line_end(l);
}

static bool parse_equation(struct lexer *l, struct ast_equation *e, bool in_template)
{
	uint32_t begin = lexer_peek(l)->span.begin;
	while (!in_template || !lexer_at_symbol(l, '=')) {
		struct ast_left left = {0};
		struct ast list = {0};
		struct ast_name n;
		if (!parse_name(l, "the name of a tensor", &n))
			return false;
		struct span open = lexer_peek(l)->span;
		if (lexer_take_symbol(l, '[')) {
			left.bracketed = true;
			if (!ast_brackets(l, &list, open))
				return false;
		}
		left.name = n.name;
		left.name_span = n.span;
		left.span = (struct span){n.span.begin, lexer_end(l)};
		left.n = list.nbracket;
		left.index = list.bracket;
		vec_push(l->arena, &e->left, left);
		if (!lexer_take_symbol(l, ','))
			break;
	}
	if (lexer_at_symbol(l, SYMBOL(':', '=')) || lexer_at_symbol(l, SYMBOL('=', '='))) {
		lexer_expected(l, "'='");
		diag_help(l->diags, "an equation is written with a single '='");
		return false;
	}
	if (!lexer_expect_symbol(l, '='))
		return false;
	do {
		struct ast *a = ast_without_else(l);
		if (!a)
			return false;
		vec_push(l->arena, &e->right, a);
	} while (lexer_take_symbol(l, ','));
	if (!in_template && lexer_take_word(l, "where") && !(e->where = ast_without_else(l)))
		return false;
	if (lexer_take_word(l, "else") && !(e->otherwise = ast_expression(l)))
		return false;
	e->span = (struct span){begin, lexer_end(l)};
	if (in_template && lexer_at_word(l, "where"))
		return diag_error(l->diags, lexer_peek(l)->span, "a template's line has no 'where'");
	uint32_t want = e->left.n ? e->left.n : 1;
	if (e->right.n != want)
		return diag_error(l->diags, e->span, "%u on the left of '=', but %u on the right", want,
		                  e->right.n);
	return true;
}

/* '(' NAME, … [';' NAME ['=' default], …] ')' */
static bool parse_parameters(struct lexer *l, struct statement *s)
{
	bool semicolon = false;
	if (!lexer_expect_symbol(l, '('))
		return false;
	while (!lexer_at_symbol(l, ')') || s->parameter.n) {
		struct ast_name n;
		if (!parse_name(l, "the name of a parameter", &n))
			return false;
		if (semicolon && lexer_take_symbol(l, '=') && !(n.value = ast_expression(l)))
			return false;
		vec_push(l->arena, &s->parameter, n);
		s->before += !semicolon;
		if (!semicolon && lexer_take_symbol(l, ';'))
			semicolon = true;
		else if (!lexer_take_symbol(l, ','))
			break;
	}
	return lexer_expect_symbol(l, ')');
}

/* Has the block been left open? A declaration no deeper than `def` says so. */
static bool left_open(const struct lexer *l, uint32_t indent)
{
	const struct token *t = lexer_peek(l);
	if (t->kind == TOKEN_END)
		return true;
	if (t->indent > indent || lexer_peek2(l)->kind != TOKEN_NAME)
		return false;
	for (int i = 0; i < KEYWORDS; i++)
		if (lexer_at_word(l, keywords[i]))
			return true;
	return false;
}

static bool parse_block(struct lexer *l, struct statement *s, struct span open, uint32_t indent)
{
	bool good = true;
	for (;;) {
		while (lexer_peek(l)->kind == TOKEN_NEWLINE || lexer_at_symbol(l, ';'))
			lexer_next(l);
		if (lexer_take_symbol(l, '}'))
			break;
		if (left_open(l, indent))
			return diag_error(l->diags, open, "this '{' is never closed");
		struct ast_equation e = {0};
		bool fine = parse_equation(l, &e, true);
		if (fine && lexer_peek(l)->kind != TOKEN_NEWLINE && !lexer_at_symbol(l, ';') &&
		    !lexer_at_symbol(l, '}'))
			fine = lexer_expected(l, "the end of the line");
		if (fine && s->line.n && !s->line.v[s->line.n - 1].left.n)
			fine = diag_error(l->diags, e.span, "a template's result, '= …', is its last line");
		if (!fine)
			lexer_skip_line(l);
		good &= fine;
		vec_push(l->arena, &s->line, e);
	}
	if (good && (!s->line.n || s->line.v[s->line.n - 1].left.n)) {
		diag_error(l->diags, s->template_name.span, "template '%s' has no result",
		           s->template_name.name);
		diag_help(l->diags, "its last line is written  = …");
		return false;
	}
	return good;
}

static bool parse_template(struct lexer *l, struct statement *s, bool is_def)
{
	uint32_t indent = lexer_peek(l)->indent;
	s->kind = STATEMENT_TEMPLATE;
	if (!parse_name(l, "the name of a template", &s->template_name))
		return false;
	if (is_def && lexer_take_symbol(l, '[') &&
	    (!parse_names(l, s, "the name of an index parameter", false) || !lexer_expect_symbol(l, ']')))
		return false;
	if (!parse_parameters(l, s))
		return false;
	struct span open = lexer_peek(l)->span;
	if (is_def && lexer_take_symbol(l, '{'))
		return parse_block(l, s, open, indent);
	if (!lexer_at_symbol(l, '='))
		return lexer_expected(l, is_def ? "'=' or '{'" : "'='");
	struct ast_equation e = {0};
	if (!parse_equation(l, &e, true))
		return false;
	vec_push(l->arena, &s->line, e);
	return true;
}

static bool parse_index(struct lexer *l, struct statement *s)
{
	s->kind = STATEMENT_INDEX;
	if (!parse_names(l, s, "the name of an index", false))
		return false;
	if (!lexer_at_symbol(l, ':')) {
		lexer_expected(l, "':' and the rank");
		diag_help(l->diags, "write  index %s : N", s->name.v[0].name);
		return false;
	}
	lexer_next(l);
	struct ast *extent = ast_expression(l);
	if (!extent)
		return false;
	vec_push(l->arena, &s->extent, extent);
	return true;
}

static bool parse_kernel(struct lexer *l, struct statement *s)
{
	struct ast_name n;
	s->kind = STATEMENT_KERNEL;
	if (!parse_name(l, "the name of the kernel", &n))
		return false;
	vec_push(l->arena, &s->name, n);
	return true;
}

static bool parse_listed(struct lexer *l, struct statement *s, enum statement_kind kind, const char *what)
{
	s->kind = kind;
	return parse_names(l, s, what, true);
}

/* The end of a statement, or what may have been meant by what stands there. */
static bool expect_end(struct lexer *l, bool equation)
{
	const struct token *t = lexer_peek(l);
	if (lexer_expect_line_end(l))
		return true;
	if (t->after_bad)
		return false;
	if (t->kind == TOKEN_NAME && !strcmp(t->name, "if"))
		diag_help(l->diags, "a condition is written  where …");
	else if (equation && t->kind != TOKEN_SYMBOL)
		diag_help(l->diags, "a product is written with '*'");
	if (t->symbol == '^')
		diag_help(l->diags, "a power is written pow(x, y)");
	if (t->symbol == '&' || t->symbol == '|')
		diag_help(l->diags, "write '%s'", t->symbol == '&' ? "and" : "or");
	return false;
}

/* Which keyword begins the statement, or NULL: an equation, or nothing known. */
static const char *keyword(const struct lexer *l)
{
	const struct token *next = lexer_peek2(l);
	if (next->kind == TOKEN_SYMBOL && (next->symbol == '=' || next->symbol == '[' || next->symbol == ','))
		return NULL;
	for (int i = 0; i < KEYWORDS; i++)
		if (lexer_at_word(l, keywords[i]))
			return keywords[i];
	return NULL;
}

static bool not_a_statement(struct lexer *l)
{
	const struct token *t = lexer_peek(l);
	if (t->kind == TOKEN_SYMBOL && t->symbol == SYMBOL('/', '/')) {
		lexer_expected(l, "a statement");
		diag_help(l->diags, "a comment begins with '#'");
		return false;
	}
	if (t->kind != TOKEN_NAME)
		return lexer_expected(l, "a statement");
	const char *near = lexer_nearest(t->name, keywords, KEYWORDS);
	diag_error(l->diags, t->span, "'%s' begins no statement", t->name);
	if (near)
		diag_help(l->diags, "did you mean '%s'?", near);
	else
		diag_help(l->diags,
		          "a statement is an equation or begins with kernel, rank, index, param, in, out, "
		          "fn or def");
	return false;
}

static bool parse_statement(struct lexer *l, struct ast_file *f, struct statement *s)
{
	const char *word = keyword(l);
	uint32_t begin = lexer_peek(l)->span.begin;
	bool good;
	if (!word) {
		const struct token *t = lexer_peek(l), *next = lexer_peek2(l);
		if (t->kind != TOKEN_NAME || next->kind == TOKEN_NAME)
			return not_a_statement(l);
		struct ast_equation e = {0};
		if (!parse_equation(l, &e, false))
			return false;
		s->kind = STATEMENT_EQUATION;
		vec_push(l->arena, &s->line, e);
		s->span = e.span;
		return expect_end(l, true);
	}
	lexer_next(l);
	if (!strcmp(word, "in") || !strcmp(word, "out"))
		return parse_tensors(l, f, *word == 'i' ? ROLE_IN : ROLE_OUT);
	if (!strcmp(word, "init") || !strcmp(word, "final")) {
		struct span span = l->token.v[l->at - 1].span;
		return diag_error(l->diags, span, "'%s' of a recurrence is not supported yet", word);
	}
	if (!strcmp(word, "kernel"))
		good = parse_kernel(l, s);
	else if (!strcmp(word, "rank"))
		good = parse_listed(l, s, STATEMENT_RANK, "the name of a rank");
	else if (!strcmp(word, "param"))
		good = parse_listed(l, s, STATEMENT_PARAM, "the name of a param");
	else if (!strcmp(word, "index"))
		good = parse_index(l, s);
	else
		good = parse_template(l, s, *word == 'd');
	s->span = (struct span){begin, lexer_end(l)};
	return good && expect_end(l, false);
}

/* The names on the left of '=', or all of them. */
static void lose(struct lexer *l, struct ast_file *f, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to && i < l->token.n; i++) {
		const struct token *t = &l->token.v[i];
		if (t->kind == TOKEN_SYMBOL && (t->symbol == '=' || t->symbol == '{'))
			break;
		if (t->kind == TOKEN_NAME)
			vec_push(l->arena, &f->lost, t->name);
	}
}

struct ast_file *ast_parse(struct lexer *l)
{
	struct ast_file *f = arena_new(l->arena, struct ast_file);
	while (lexer_peek(l)->kind != TOKEN_END) {
		struct statement s = {0};
		uint32_t from = l->at;
		bool good = parse_statement(l, f, &s);
		if (!good) {
			/* A block left open ends at the next statement, which is whole. */
			bool at_next = l->at > from && l->token.v[l->at - 1].kind == TOKEN_NEWLINE;
			if (!at_next)
				lexer_skip_line(l);
			lose(l, f, from, l->at);
		} else if (s.kind != STATEMENT_NONE) {
			vec_push(l->arena, &f->statement, s);
		}
		l->depth = 0;
	}
	return f;
}
