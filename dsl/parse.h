/* parse.h: an .att text to a cascade. */
#ifndef ATTUNE_DSL_PARSE_H
#define ATTUNE_DSL_PARSE_H

#include "dsl/cascade.h"

/* A `-p NAME=VALUE` from outside: overrides the param's default. */
struct param {
	const char *name;
	double value;
};

enum { SOURCE_LIMIT = 1 << 20, NESTING_LIMIT = 200 };

/* Parses, expands templates, checks, canonicalises. All errors of the text are reported in one run.
 * NULL when there was any. The cascade lives in the arena; `source` need not outlive the call. */
struct cascade *cascade_parse(struct arena *, const char *source, size_t size, const struct param *,
                              int nparams, struct diags *);

/* For stages that write expressions in the same syntax: how names are resolved there. Each returns
 * NO_EXPR after appending a diagnostic. */
struct lexer;
struct expr_scope {
	struct expr_pool *pool;
	struct diags *diags;
	struct expr (*name)(void *owner, const char *name, struct span);
	struct expr (*read)(void *owner, const char *name, int n, const struct expr *index, struct span);
	void *owner;
};

#endif
