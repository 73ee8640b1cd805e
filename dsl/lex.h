/* lex.h: tokens of the language, and of the other texts that share its spelling.
 *
 * The whole source becomes tokens at once; a parser is a position among them. `#` begins a comment. Bytes
 * that belong to no token are reported and skipped.
 *
 * Lines. With LEX_LINES every end of a line is a NEWLINE token, never two in a row and none before the first
 * token. With LEX_STATEMENTS a line goes on where a reader would say so: inside ( or [, and after an infix
 * operator or a comma, provided the next line is indented deeper than the statement or closes the bracket;
 * and before a line that begins with an infix operator, `where`, `else`, `and` or `or`. A bracket that
 * is never closed therefore costs one statement, not the rest of the file.
 */
#ifndef ATTUNE_DSL_LEX_H
#define ATTUNE_DSL_LEX_H

#include "base/diag.h"

enum token_kind { TOKEN_END, TOKEN_NEWLINE, TOKEN_NAME, TOKEN_NUMBER, TOKEN_SYMBOL };

/* A symbol is one or two characters: '+', SYMBOL('<', '='). */
#define SYMBOL(a, b) ((uint16_t)((a) | (b) << 8))

struct token {
	uint8_t kind;
	bool first;      /* of its line */
	bool after_bad;  /* bytes before it belonged to no token, and were told of */
	uint16_t symbol; /* SYMBOL */
	uint32_t indent; /* of its line: bytes of white space */
	struct span span;
	const char *name; /* NAME: NUL-terminated, in the arena */
	double number;    /* NUMBER: finite and not negative */
};

enum lex_mode { LEX_LINES, LEX_STATEMENTS };

struct lexer {
	struct arena *arena;
	struct diags *diags;
	const char *source;
	VEC(struct token) token; /* the last is END */
	uint32_t at;             /* the next one */
	uint32_t depth;          /* nesting of the expression being parsed */
};

/* `size` is below SOURCE_LIMIT, or one error says that it is not and there are no tokens. */
void lexer_init(struct lexer *, struct arena *, const char *source, size_t size, enum lex_mode,
                struct diags *);

static inline const struct token *lexer_peek(const struct lexer *l)
{
	return &l->token.v[l->at];
}
/* The token after the next one; END again at the end. */
const struct token *lexer_peek2(const struct lexer *);
/* Takes and returns the next token; at the end, END again and again. */
const struct token *lexer_next(struct lexer *);
/* The end of the last token taken. */
uint32_t lexer_end(const struct lexer *);

bool lexer_at_symbol(const struct lexer *, uint16_t symbol);
bool lexer_at_word(const struct lexer *, const char *word);
/* Takes it if it is there. */
bool lexer_take_symbol(struct lexer *, uint16_t symbol);
bool lexer_take_word(struct lexer *, const char *word);
/* Takes it, or appends "expected …, found …" and returns false (NULL) without moving. */
bool lexer_expect_symbol(struct lexer *, uint16_t symbol);
bool lexer_expect_word(struct lexer *, const char *word);
const char *lexer_expect_name(struct lexer *, const char *what);
bool lexer_expect_number(struct lexer *, double *);
/* A NEWLINE or the END, which stays. */
bool lexer_expect_line_end(struct lexer *);
/* Says so, unless what is there instead follows bytes that were told of; false. */
bool lexer_expected(struct lexer *, const char *what);

/* To the beginning of the next line (LEX_LINES) or statement. */
void lexer_skip_line(struct lexer *);

/* The name among `n` that a reader may have meant by `name`: near in edits, or NULL. */
const char *lexer_nearest(const char *name, const char *const *among, size_t n);

#endif
