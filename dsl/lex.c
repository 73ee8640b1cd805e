#include "dsl/lex.h"
#include "dsl/parse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scan {
	struct lexer *l;
	const char *s;
	uint32_t at, size;
	enum lex_mode mode;
	bool bad; /* since the last token */
	/* LEX_STATEMENTS */
	uint32_t statement; /* indent of the statement's first line */
	uint32_t open;      /* brackets not yet closed in it */
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *const symbols[] = {"==", "!=", "<=", ">=", ":=", "//", "->", "=>", "..", "+", "-",
                                      "*",  "/",  "%",  "<",  ">",  "=",  "(",  ")",  "[",  "]", "{",
                                      "}",  ",",  ";",  ":",  "@",  "^",  "&",  "|",  "!",  "?", "."};

/* Symbols after which, or before which, a statement cannot end. */
static bool is_infix(const struct token *t)
{
	/* clang-format off */
	static const uint16_t infix[] = {
		'+', '-', '*', '/', '%', '<', '>', '=', ',', ';', ':', SYMBOL('=', '='), SYMBOL('!', '='),
		SYMBOL('<', '='), SYMBOL('>', '='), SYMBOL(':', '='),
	};
	/* clang-format on */
	static const char *const words[] = {"where", "else", "and", "or"};
	if (t->kind == TOKEN_SYMBOL)
		for (size_t i = 0; i < sizeof infix / sizeof *infix; i++)
			if (t->symbol == infix[i])
				return true;
	if (t->kind == TOKEN_NAME)
		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			if (!strcmp(t->name, words[i]))
				return true;
	return false;
}

/* Does the line that `t` begins belong to the statement before it? */
static bool goes_on(const struct scan *c, const struct token *t)
{
	const struct token *last = &c->l->token.v[c->l->token.n - 1];
	bool deeper = t->indent > c->statement;
	bool closes = t->kind == TOKEN_SYMBOL && (t->symbol == ')' || t->symbol == ']');
	/* `= e` begins the result line of a template. */
	bool result = t->kind == TOKEN_SYMBOL && t->symbol == '=';
	if (c->open)
		return deeper || closes;
	return (is_infix(t) && !result) || (is_infix(last) && deeper);
}

static void push(struct scan *c, struct token t)
{
	struct lexer *l = c->l;
	bool begins = !l->token.n;
	if (t.first && l->token.n) {
		bool newline = c->mode == LEX_LINES || t.kind == TOKEN_END || !goes_on(c, &t);
		bool last_is_newline = l->token.v[l->token.n - 1].kind == TOKEN_NEWLINE;
		if (newline && !last_is_newline) {
			uint32_t end = l->token.v[l->token.n - 1].span.end;
			vec_push(l->arena, &l->token,
			         (struct token){.kind = TOKEN_NEWLINE,
			                        .span = {end, end + 1},
			                        .indent = c->statement});
		}
		begins = newline;
	}
	if (begins) {
		c->statement = t.indent;
		c->open = 0;
	}
	if (t.kind == TOKEN_SYMBOL && (t.symbol == '(' || t.symbol == '['))
		c->open++;
	if (t.kind == TOKEN_SYMBOL && (t.symbol == ')' || t.symbol == ']') && c->open)
		c->open--;
	vec_push(l->arena, &l->token, t);
	/* A block's first line is a statement of its own, wherever it stands. */
	if (t.kind == TOKEN_SYMBOL && t.symbol == '{' && c->mode == LEX_STATEMENTS)
		c->open = 0;
}

static struct token number(struct scan *c)
{
	struct token t = {.kind = TOKEN_NUMBER, .span = {c->at, c->at}};
	uint32_t at = c->at;
	while (at < c->size && is_digit(c->s[at]))
		at++;
	if (at + 1 < c->size && c->s[at] == '.' && is_digit(c->s[at + 1]))
		at++;
	while (at < c->size && is_digit(c->s[at]))
		at++;
	if (at < c->size && (c->s[at] == 'e' || c->s[at] == 'E')) {
		uint32_t exponent = at + 1;
		if (exponent < c->size && (c->s[exponent] == '+' || c->s[exponent] == '-'))
			exponent++;
		if (exponent < c->size && is_digit(c->s[exponent])) {
			at = exponent;
			while (at < c->size && is_digit(c->s[at]))
				at++;
		}
	}
	t.span.end = at;
	char *text = arena_strndup(c->l->arena, c->s + c->at, at - c->at);
	t.number = strtod(text, NULL);
	if (isinf(t.number)) {
		diag_error(c->l->diags, t.span, "the number '%s' is too large", text);
		t.number = 0;
	}
	c->at = at;
	return t;
}

static struct token name(struct scan *c)
{
	uint32_t at = c->at;
	while (at < c->size && (is_letter(c->s[at]) || is_digit(c->s[at])))
		at++;
	struct token t = {.kind = TOKEN_NAME, .span = {c->at, at}};
	t.name = arena_strndup(c->l->arena, c->s + c->at, at - c->at);
	c->at = at;
	return t;
}

/* 3x: said here, and then a '*' stands between them. */
static void product(struct scan *c, struct token number)
{
	uint32_t end = c->at;
	while (end < c->size && (is_letter(c->s[end]) || is_digit(c->s[end])))
		end++;
	if (end == c->at)
		return;
	struct span span = {number.span.begin, end};
	diag_error(c->l->diags, span, "'%.*s' is not a number", (int)(end - span.begin), c->s + span.begin);
	diag_help(c->l->diags, "a product is written with '*': %.*s * %.*s", (int)(c->at - span.begin),
	          c->s + span.begin, (int)(end - c->at), c->s + c->at);
	push(c, (struct token){.kind = TOKEN_SYMBOL, .symbol = '*', .span = {c->at, end}});
}

/* The bytes of one character in UTF-8, so that a message shows it whole. */
static uint32_t character(const struct scan *c)
{
	uint32_t n = 1;
	if ((unsigned char)c->s[c->at] >= 0xc0)
		while (n < 4 && c->at + n < c->size && ((unsigned char)c->s[c->at + n] & 0xc0) == 0x80)
			n++;
	return n;
}

static bool bad(struct scan *c)
{
	unsigned char b = (unsigned char)c->s[c->at];
	uint32_t n = character(c);
	struct span span = {c->at, c->at + n};
	if (b < ' ' || b == 0x7f || (b >= 0x80 && n == 1))
		diag_error(c->l->diags, span, "byte 0x%02x has no place in a text", b);
	else
		diag_error(c->l->diags, span, "the character '%.*s' has no meaning here", (int)n,
		           c->s + c->at);
	c->at += n;
	c->bad = true;
	return false;
}

static bool token(struct scan *c, struct token *t)
{
	char b = c->s[c->at];
	if (is_letter(b)) {
		*t = name(c);
		return true;
	}
	if (is_digit(b) || (b == '.' && c->at + 1 < c->size && is_digit(c->s[c->at + 1]))) {
		*t = number(c);
		return true;
	}
	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		size_t n = strlen(symbols[i]);
		if (n <= c->size - c->at && !memcmp(c->s + c->at, symbols[i], n)) {
			*t = (struct token){.kind = TOKEN_SYMBOL,
			                    .symbol = SYMBOL(symbols[i][0], symbols[i][1]),
			                    .span = {c->at, c->at + (uint32_t)n}};
			c->at += (uint32_t)n;
			return true;
		}
	}
	return bad(c);
}

static void scan(struct scan *c)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf";
	uint32_t indent = 0;
	bool first = true;
	if (c->size >= 3 && !memcmp(c->s, byte_order_mark, 3))
		c->at = 3;
	while (c->at < c->size) {
		char b = c->s[c->at];
		struct token t;
		if (b == '\n') {
			c->at++;
			first = true;
			indent = 0;
		} else if (b == ' ' || b == '\t' || b == '\r') {
			c->at++;
			indent += first;
		} else if (b == '#') {
			while (c->at < c->size && c->s[c->at] != '\n')
				c->at++;
		} else if (token(c, &t)) {
			t.first = first;
			t.after_bad = c->bad;
			c->bad = false;
			t.indent = indent;
			first = false;
			push(c, t);
			if (t.kind == TOKEN_NUMBER)
				product(c, t);
		}
	}
	push(c,
	     (struct token){
	             .kind = TOKEN_END, .first = true, .after_bad = c->bad, .span = {c->size, c->size + 1}});
}

void lexer_init(struct lexer *l, struct arena *a, const char *source, size_t size, enum lex_mode mode,
                struct diags *d)
{
	*l = (struct lexer){.arena = a, .diags = d, .source = source};
	if (size > SOURCE_LIMIT) {
		diag_error(d, (struct span){0}, "the text is longer than the limit of %d bytes",
		           SOURCE_LIMIT);
		size = 0;
	}
	struct scan c = {.l = l, .s = source, .size = (uint32_t)size, .mode = mode};
	scan(&c);
}

const struct token *lexer_peek2(const struct lexer *l)
{
	return &l->token.v[l->at + (l->at + 1 < l->token.n)];
}

const struct token *lexer_next(struct lexer *l)
{
	const struct token *t = lexer_peek(l);
	l->at += t->kind != TOKEN_END;
	return t;
}

uint32_t lexer_end(const struct lexer *l)
{
	return l->at ? l->token.v[l->at - 1].span.end : 0;
}

bool lexer_at_symbol(const struct lexer *l, uint16_t symbol)
{
	return lexer_peek(l)->kind == TOKEN_SYMBOL && lexer_peek(l)->symbol == symbol;
}

bool lexer_at_word(const struct lexer *l, const char *word)
{
	return lexer_peek(l)->kind == TOKEN_NAME && !strcmp(lexer_peek(l)->name, word);
}

bool lexer_take_symbol(struct lexer *l, uint16_t symbol)
{
	return lexer_at_symbol(l, symbol) && lexer_next(l);
}

bool lexer_take_word(struct lexer *l, const char *word)
{
	return lexer_at_word(l, word) && lexer_next(l);
}

bool lexer_expected(struct lexer *l, const char *what)
{
	const struct token *t = lexer_peek(l);
	if (t->after_bad)
		return false;
	switch (t->kind) {
	case TOKEN_END: return diag_error(l->diags, t->span, "expected %s, but the text ends here", what);
	case TOKEN_NEWLINE: return diag_error(l->diags, t->span, "expected %s, but the line ends here", what);
	default:
		return diag_error(l->diags, t->span, "expected %s, found '%.*s'", what,
		                  (int)(t->span.end - t->span.begin), l->source + t->span.begin);
	}
}

bool lexer_expect_symbol(struct lexer *l, uint16_t symbol)
{
	if (lexer_take_symbol(l, symbol))
		return true;
	char what[] = {'\'', (char)(symbol & 0xff), (char)(symbol >> 8), 0, 0};
	what[symbol >> 8 ? 3 : 2] = '\'';
	return lexer_expected(l, what);
}

bool lexer_expect_word(struct lexer *l, const char *word)
{
	return lexer_take_word(l, word) || lexer_expected(l, arena_printf(l->arena, "'%s'", word));
}

const char *lexer_expect_name(struct lexer *l, const char *what)
{
	if (lexer_peek(l)->kind == TOKEN_NAME)
		return lexer_next(l)->name;
	lexer_expected(l, what);
	return NULL;
}

bool lexer_expect_number(struct lexer *l, double *value)
{
	bool negative = lexer_at_symbol(l, '-') && lexer_peek2(l)->kind == TOKEN_NUMBER && lexer_next(l);
	if (lexer_peek(l)->kind != TOKEN_NUMBER)
		return lexer_expected(l, "a number");
	double x = lexer_next(l)->number;
	*value = negative ? -x : x;
	return true;
}

bool lexer_expect_line_end(struct lexer *l)
{
	if (lexer_peek(l)->kind == TOKEN_END)
		return true;
	if (lexer_peek(l)->kind == TOKEN_NEWLINE)
		return lexer_next(l);
	return lexer_expected(l, "the end of the line");
}

void lexer_skip_line(struct lexer *l)
{
	while (lexer_peek(l)->kind != TOKEN_END && lexer_next(l)->kind != TOKEN_NEWLINE)
		;
	l->depth = 0;
}

/* Edits between two names: insertions, deletions, substitutions, and swaps of neighbours. A letter in the
 * other case is half an edit, so all is counted in halves. */
static uint32_t distance(const char *a, const char *b)
{
	enum { LONGEST = 32 };
	size_t n = strlen(a), m = strlen(b);
	if (n > LONGEST || m > LONGEST)
		return UINT32_MAX;
	uint32_t row[3][LONGEST + 1];
	for (uint32_t j = 0; j <= m; j++)
		row[0][j] = 2 * j;
	for (size_t i = 1; i <= n; i++) {
		uint32_t *now = row[i % 3], *before = row[(i + 2) % 3], *earlier = row[(i + 1) % 3];
		now[0] = 2 * (uint32_t)i;
		for (size_t j = 1; j <= m; j++) {
			char x = a[i - 1], y = b[j - 1];
			bool other_case = is_letter(x) && is_letter(y) && (x ^ y) == ' ';
			uint32_t d = before[j - 1] + (x == y ? 0 : other_case ? 1 : 2);
			if (before[j] + 2 < d)
				d = before[j] + 2;
			if (now[j - 1] + 2 < d)
				d = now[j - 1] + 2;
			if (i > 1 && j > 1 && x == b[j - 2] && a[i - 2] == y && earlier[j - 2] + 2 < d)
				d = earlier[j - 2] + 2;
			now[j] = d;
		}
	}
	return row[n % 3][m];
}

const char *lexer_nearest(const char *name, const char *const *among, size_t n)
{
	const char *best = NULL;
	size_t length = strlen(name);
	/* One edit for each three letters; a single letter only in the other case. */
	uint32_t limit = length < 2 ? 1 : length < 3 ? 2 : 2 * (uint32_t)(length / 3 ? length / 3 : 1);
	for (size_t i = 0; i < n; i++) {
		if (!among[i])
			continue;
		uint32_t d = distance(name, among[i]);
		if (d <= limit && d) {
			best = among[i];
			limit = d - 1;
		}
	}
	return best;
}
