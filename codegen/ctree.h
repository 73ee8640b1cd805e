/* ctree.h: the small tree of C that an emitter builds and then prints.
 *
 * A block is a list of nodes: a line (one statement or declaration), a comment, a nested block with a head
 * ("for (…)", "else", a function's declarator), or a group: nodes without braces, a place to insert at
 * later. Expressions are text, composed from the operation table's templates. All memory is the arena's.
 */
#ifndef ATTUNE_CODEGEN_CTREE_H
#define ATTUNE_CODEGEN_CTREE_H

#include <stdbool.h>

#include "base/text.h"

enum c_kind { C_LINE, C_COMMENT, C_BLOCK, C_GROUP };

struct c_block {
	struct c_node *first, *last;
};
struct c_node {
	enum c_kind kind;
	const char *text;
	struct c_block body;
	struct c_node *next;
};

void c_line(struct arena *, struct c_block *, const char *format, ...) __attribute__((format(printf, 3, 4)));
void c_comment(struct arena *, struct c_block *, const char *text);
/* Both append and return the new, empty inner block. A block without a head is a scope. */
struct c_block *c_open(struct arena *, struct c_block *, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
struct c_block *c_group(struct arena *, struct c_block *);

/* Appends the lines of n blocks of equally many lines in turn: the first of each, the second of each, … */
void c_interleave(struct arena *, struct c_block *to, const struct c_block *from, int n);

/* Is the name an identifier of a text (NULL: of none)? */
bool c_text_mentions(const char *text, const char *name);
/* … of one of the block's own lines? */
bool c_mentions(const struct c_block *, const char *name);
/* … or of a line, or of a head, anywhere within it? */
bool c_mentions_within(const struct c_block *, const char *name);

void c_print(const struct c_block *, int depth, struct text *);

#endif
