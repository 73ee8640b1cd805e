/* diag.h: what a user's text got wrong, as data.
 *
 * A mistake of the user's appends a located diagnostic and the caller carries on to find more;
 * nothing below cli/ prints. A diagnostic names file, line and column, shows the line with a
 * caret, says what was expected and, where a mend is likely, gives it.
 */
#ifndef ATTUNE_BASE_DIAG_H
#define ATTUNE_BASE_DIAG_H

#include <stdbool.h>

#include "base/text.h"

/* A half-open range of bytes of the source; {0, 0} is "nowhere". */
struct span {
	uint32_t begin, end;
};

enum severity { SEVERITY_ERROR, SEVERITY_WARNING, SEVERITY_NOTE };

struct diag {
	enum severity severity;
	struct span span;
	uint32_t line, column; /* of span.begin, from 1; 0: no place */
	const char *message;   /* one sentence, no full stop, lower case */
	const char *help;      /* NULL, or the likely mend */
};

enum { DIAG_LIMIT = 100 }; /* further errors are counted, not kept */

struct diags {
	struct arena *arena;
	const char *file, *source;
	size_t size; /* of source */
	VEC(struct diag) list;
	uint32_t errors;
};

void diags_init(struct diags *, struct arena *, const char *file, const char *source, size_t size);
/* Appends an error and returns false, so that a caller can `return diag_error(…)`. */
bool diag_error(struct diags *, struct span, const char *format, ...) __attribute__((format(printf, 3, 4)));
void diag_warning(struct diags *, struct span, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Gives the newest diagnostic its help line. */
void diag_help(struct diags *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* file:line:column: error: message, the line, a caret, help. */
void diag_print(const struct diags *, const struct diag *, struct text *);
void diags_print(const struct diags *, struct text *);

#endif
