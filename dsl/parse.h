/* parse.h: an .att text to a cascade. */
#ifndef ATTUNE_DSL_PARSE_H
#define ATTUNE_DSL_PARSE_H

#include "dsl/cascade.h"

/* A `-p NAME=VALUE` from outside: overrides the param's default. */
struct param {
	const char *name;
	double value;
};

/* A `--as NAME=TYPE` from outside: an argument is declared of another type than the text says. */
struct retype {
	const char *name, *type; /* "bf16" */
};

/* What is said of a text from outside. */
struct overrides {
	const struct param *param;
	int nparams;
	const struct retype *type; /* of two for one name the last counts */
	int ntypes;
};

enum { SOURCE_LIMIT = 1 << 20, NESTING_LIMIT = 200 };

/* Parses, expands templates, checks, canonicalises. All errors of the text are reported in one run.
 * NULL when there was any. The cascade lives in the arena; `source` need not outlive the call. */
struct cascade *cascade_parse(struct arena *, const char *source, size_t size, const struct param *,
                              int nparams, struct diags *);
/* … with types too. */
struct cascade *cascade_parse_with(struct arena *, const char *source, size_t size, const struct overrides *,
                                   struct diags *);

/* For stages that write expressions in the same syntax: how names are resolved there. `name` is given a bare
 * name, `read` a name with coordinates; low(i) and high(i) take a name that resolves to an INDEX. Each
 * returns NO_EXPR after appending a diagnostic. */
struct lexer;
struct expr_scope {
	struct expr_pool *pool;
	struct diags *diags;
	struct expr (*name)(void *owner, const char *name, struct span);
	struct expr (*read)(void *owner, const char *name, int n, const struct expr *index, struct span);
	void *owner;
};
/* The longest expression at the next token, every operation of ops.h and special form included; what
 * expr_print printed reads back to the same id. NO_EXPR after appending a diagnostic; then the position is
 * somewhere on that line (lexer_skip_line). */
struct expr expr_parse(struct lexer *, const struct expr_scope *);
/* … that does not take an `else`, which then is the caller's. */
struct expr expr_parse_without_else(struct lexer *, const struct expr_scope *);
/* … as expr_print_coordinate prints it: '/' floors. */
struct expr expr_parse_coordinate(struct lexer *, const struct expr_scope *);

#endif
