/* derive_parts.h: shared by derive_parts.c, which cuts a cascade, and derive_join.c, which puts its parts together. */
#ifndef ATTUNE_CODEGEN_DERIVE_PARTS_H
#define ATTUNE_CODEGEN_DERIVE_PARTS_H

#include "codegen/derive.h"

struct part {
	bool *needs; /* equations of the base */
};

struct definitions {
	VEC(uint32_t) of; /* equations, each once */
};

struct cut {
	struct arena *arena;
	struct cascade *base; /* as given, but selections read a tensor; `where` is the presence of its elements */
	uint32_t given;       /* tensors there were */
	struct definitions *reads; /* of equations: what they read, of which there is a definition */
	bool *table;               /* of equations */
	uint32_t *level;           /* of equations: the part they can first be in; of a selection: its operand */
	struct expr *presence;     /* of equations */
	bool *kept;                /* of tensors: in memory after the part of their level */
	uint32_t parts;
	struct part *part;
};

/* Of a selection: is it an index of its rows, not the fiber's or the slot's? */
static inline bool keeps_row(const struct equation *q, uint32_t index)
{
	return index != (q->select == SELECT_MEMBERS ? q->slot : q->along);
}

/* Part `at` as a cascade of its own; NULL when there is nothing in it. */
struct cascade *part_cascade(struct cut *, uint32_t at);

/* derive_join.c: derives each part and puts their streams one after the other, selections between them. */
struct streams *derive_joined(struct cut *, const struct stream_options *);

#endif
