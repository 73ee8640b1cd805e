/* lists.h: what the files that turn reductions over a set into walks over lists share (derive_lists.c,
 * derive_members.c, derive_rows.c); nobody else includes it.
 *
 * Both rewrite finished streams into streams of another plain cascade, so the oracle checks them like any
 * derivation. A set is a conjunct of the presence of every carry of a stream that reads a bool tensor in memory, a
 * selection's result or data, and that mentions the walked index m only as m / C (C = 1: as m), or not at all.
 */
#ifndef ATTUNE_CODEGEN_LISTS_H
#define ATTUNE_CODEGEN_LISTS_H

#include "codegen/stream.h"

struct set {
	struct expr condition;
	int64_t block;  /* C; 0 where the walked index is not mentioned */
	int64_t blocks; /* values of m / C; 1 where it is not mentioned */
	int64_t most;   /* of them in the set for one coordinate of the rows, at most */
	double share;   /* of all pairs of rows and values, those in the set at most */
	int nrow;
	uint32_t row[MAX_RANKS]; /* the stream's row indices that the condition mentions */
};

struct lists {
	struct arena *arena;
	const struct streams *from;
	struct cascade *c; /* a clone of theirs, which keeps its equations until lists_finish */
	struct streams *to;
	VEC(struct equation) equation; /* the new ones */
	uint32_t *position;            /* of each old equation among them, or NO_EQUATION */
	struct expr *presence;         /* of each old one */
};

struct lists lists_start(struct arena *, const struct streams *);
struct streams *lists_finish(struct lists *);
/* Appends a stream as it was. */
void lists_keep(struct lists *, const struct stream *);
/* Appends an equation that was, in its new place. */
uint32_t lists_emit(struct lists *, uint32_t old);

/* Of the rows that the set tells apart, one that no operand of the walk depends on, so that a tile of such rows would
 * share them; or NO_INDEX. */
uint32_t lists_gathered(const struct lists *, const struct stream *, const struct set *);
/* Adds a rewritten stream to what is said of a form. */
void lists_tell(struct list_form *, bool worth, const char *reason);
/* The set that a stream's reductions range over; false when there is none. */
bool lists_find(struct lists *, const struct stream *, struct set *);
/* A selection of everything at hand and its stream; `index` and `slot` as in struct equation. */
uint32_t lists_select(struct lists *, const char *name, struct equation, const uint32_t *row, int nrow);
/* L[row …, s] = members[c](the set at m / C = c), where the walked index is mentioned. */
uint32_t lists_members(struct lists *, const struct stream *, const struct set *, uint32_t slot);
/* A name from the tensor that gives the set. */
const char *lists_name(const struct lists *, const struct set *, const char *suffix);

/* A new index over all of a new rank of that extent. */
uint32_t lists_index(struct lists *, const char *stem, int64_t extent);
uint32_t lists_tensor(struct lists *, const char *stem, const struct equation *like, enum dtype);
int64_t lists_extent(const struct lists *, uint32_t index);
struct expr lists_coordinate(struct lists *, uint32_t index);

/* What stands for what in the equations of a stream that is rewritten. */
struct exchange {
	struct lists *l;
	const struct set *set;
	uint32_t index;     /* this one goes … */
	struct expr to;     /* … and this comes */
	uint32_t walked;    /* m / C … */
	struct expr number; /* … is this, or NO_EXPR */
	uint32_t position;  /* the index that stands where `index` did on the left of those in `tensor` */
	uint32_t *tensor, tensors; /* of each of the old ones: what it is called now */
};
struct expr lists_exchange(struct exchange *, struct expr);
/* … without the set's own condition, and with others, in front. */
struct expr lists_where(struct exchange *, struct expr where, int n, const struct expr *condition);
/* New tensors for what the stream computes in its tiles and mentions `index`; false when one is read elsewhere than
 * at its own coordinate of that index. */
bool lists_rename(struct exchange *, const struct stream *, const char *suffix);
/* The stream with its locals and carries exchanged, and the conditions where they asked for the set's; without what
 * comes after. */
struct stream lists_exchanged(struct exchange *, const struct stream *, int n, const struct expr *condition);

#endif
