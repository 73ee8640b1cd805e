/* emit_share.h: what the files share that emit contractions of a tensor's tile that ask for a later one: emit_contract.c,
 * emit_share.c. */
#ifndef ATTUNE_CODEGEN_EMIT_SHARE_H
#define ATTUNE_CODEGEN_EMIT_SHARE_H

#include "codegen/emit.h"

/* What a call asks for of operand a as a later tile will read it: its lines in the order in which they lie, shared among the
 * blocks that read this tile. All at once they wait for each other: where they are many and a row's are adjacent the
 * micro-kernel asks, `each` elements further at every step, in the next row after `span` of them. */
struct share {
	const char *from;      /* its first element; NULL: nothing */
	const char *row, *one; /* strides of its rows and their elements */
	const char *first;     /* the first line of the first call of a run of them */
	int64_t row_lines, lines;
	int64_t each; /* 0: they are asked for before the call */
	int64_t span; /* 0: a call's are in one row */
};

/* Of a contraction whose blocks micro-kernels do; C text of its operand's strides along the rows and the contracted index.
 * Declared in the block. */
struct share emit_share_of(struct nest *, struct c_block *, const struct tile_statement *, const struct micro *, const char *row,
                           const char *step);
/* Declares the first line that the call for a block of `rows` asks for. */
const char *emit_share_first(struct nest *, struct c_block *, const struct share *, const struct tile_statement *, int rows);
/* When they are asked for step by step: a condition in C, or "" where they always are, or NULL where they never are. */
const char *emit_share_meanwhile(struct nest *, const struct share *);
/* The address of a line. */
const char *emit_share_line(struct nest *, const struct share *, const char *line);
/* Asks for all lines of a call from its first. */
void emit_share(struct nest *, struct c_block *, const struct share *, const char *first);
/* What the first block of rows asks for where it is no call. */
void emit_share_twined(struct nest *, struct c_block *, const struct share *, struct twine *);

#endif
