/* text.h: a growable, NUL-terminated text in an arena.
 *
 * `s` is never NULL after text_init and always ends in a NUL at s[len]. It may move when the text
 * grows; take a copy of the pointer only when the text is finished.
 */
#ifndef ATTUNE_BASE_TEXT_H
#define ATTUNE_BASE_TEXT_H

#include "base/arena.h"

struct text {
	struct arena *arena;
	char *s;
	size_t len, cap;
};

void text_init(struct text *, struct arena *);
void text_char(struct text *, char);
void text_add(struct text *, const char *);
void text_bytes(struct text *, const char *, size_t);
void text_printf(struct text *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_indent(struct text *, int depth); /* two spaces a level */
/* The shortest decimal that reads back as the same double; "inf", "-inf", "nan" are spelled so. */
void text_number(struct text *, double);

#endif
