/* plan.h: how one stream maps onto tiles, before any size is chosen.
 *
 * Between streams (pure algebra) and schedule (numbers): which row index is tiled, which index runs in the
 * inner loop, and which reductions are contractions, that is, a sum of a product that splits into a factor
 * over (rows, reduced) and a factor over (reduced, lanes). Schedules name these contractions; the tile
 * builder lowers them; what does not split is lowered as a plain reduction.
 *
 * Where an index reaches what is walked only as a quotient, i / G, its coordinates in a block of G read the same
 * elements, as the G query heads of a key head do. Then there is a second plan, `grouped`, whose rows are that index:
 * the rows of a task share what they read although the usual rows are few, as they are in a step of decoding.
 */
#ifndef ATTUNE_CODEGEN_PLAN_H
#define ATTUNE_CODEGEN_PLAN_H

#include "codegen/stream.h"

enum { MAX_CONTRACTS = 8 };

struct plan_contract {
	uint32_t equation;             /* of the streams' cascade */
	uint32_t rows, lanes, reduced; /* index variables; rows is the stream's tiled row index */
	struct expr a, b; /* the two factors, over the cascade's pool; Σ over reduced of a · b */
	/* b where the operand is used where it stands: Σ of a · b is after · Σ of a · read. `after` has the factors of b
	 * that do not mention the reduced index; it is NO_EXPR for 1. */
	struct expr read, after;
	bool direct;      /* `read` is one READ at [reduced, lanes], lanes last */
	bool turned;      /* … at [lanes, reduced], the latter last: rows of it are multiplied by rows of a where they stand */
	bool ends;        /* … and these are its last two coordinates */
	int64_t page;     /* where it is walked % page and other coordinates are of walked / page: a page has so many; else 0 */
	bool packable;    /* b depends on the rows' coordinates only through whole coordinates of its reads */
	/* The same product for a device, whose operands are rounded: outer · Σ over reduced of inner_a · inner_b.
	 * What does not mention the reduced index is in `outer`, which is NO_EXPR for 1 and may have any lanes. */
	struct expr inner_a, inner_b, outer;
	bool inner_direct; /* inner_b is one READ that ends in reduced and lanes, in either order */
};

struct stream_plan {
	const struct stream *stream;
	uint32_t walked; /* the streamed index; for a pure map the last index of what it computes; or NO_INDEX
	                  */
	uint32_t rows;   /* the tiled row index, or NO_INDEX */
	uint32_t wide; /* index of carries beyond the row, in the lanes of their contractions; or NO_INDEX */
	int ntasks;
	uint32_t task[2 * MAX_RANKS]; /* all task coordinates in order, `rows` included */
	int ncontracts;
	struct plan_contract contract[MAX_CONTRACTS];
	bool whole; /* every coordinate must be visited: the stream stores a local */
	/* Of a plan by groups, else 0 and NO_INDEX. A task's rows lie in one block of `group` coordinates, and
	 * rows / group is LOW(rows) / group in the contractions' factors. `inner` is the index that would have been the
	 * rows where it has several coordinates: a task has all of them, one after another for each tile. */
	int64_t group;
	uint32_t inner;
	const struct stream_plan *grouped; /* the stream's plan by groups, with the same contractions; or NULL */
	/* what the stream's predicate, `present`, is made of */
	bool affine;   /* a conjunction of affine comparisons of the walked index: its bounds say all that it does. What
	                  tensors hold is a constant in them where it is one number a task, as a length is */
	bool band;     /* it bounds the walk on both sides */
	int64_t width; /* … so far apart for one row; 0: not known, or not the same for all */
	bool tensors;  /* it reads tensors at the rows' coordinates or the walked ones */
	bool listable; /* … each of them plan_listable */
	int64_t row_granule, walk_granule; /* it divides coordinates into blocks of so many; 0: it does not */
};

/* One plan a stream, in `arena`. */
struct stream_plan *plan_streams(struct arena *, const struct streams *);

/* A read of a predicate that block lists know by its least and greatest value in a box of rows by granules: each
 * coordinate goes along with the rows, or with the walked index, or with neither. */
bool plan_listable(const struct streams *, const struct stream_plan *, struct expr read);
/* For plan_streams: fills in what the predicate is made of, the contractions, and in plan_group.c the plan by groups. */
void plan_sparsity(const struct streams *, struct stream_plan *);
void plan_contractions(const struct streams *, struct stream_plan *);
void plan_groups(struct arena *, const struct streams *, struct stream_plan *);

/* The expression as a plan by groups has it, where a task's rows have one quotient by the group; as it is in other
 * plans. */
struct expr plan_by_group(struct cascade *, const struct stream_plan *, struct expr);

/* All equations of a stream, counted through: locals, carries, what comes after. */
uint32_t stream_equations(const struct stream *);
uint32_t stream_equation(const struct stream *, uint32_t k);

/* Does stream i keep this equation's tensor in memory: an output, or read by a later stream that does not
 * compute it again? */
bool stream_stores(const struct streams *, uint32_t stream, uint32_t equation);

/* Does an expression read what this stream computes, and not memory only? */
bool plan_reads_local(const struct streams *, const struct stream *, struct expr);

/* Extent of an index of the streams' cascade; 1 of NO_INDEX. */
int64_t plan_extent(const struct streams *, uint32_t index);

bool equation_has_index(const struct equation *, uint32_t index);
bool equation_reduces(const struct equation *, uint32_t index);

#endif
