/* tile.h: the tile program, cascade × schedule, still with no instruction set.
 *
 * A program is a sequence of phases; each phase is a parallel loop over tasks, and ends before the next
 * begins. A task runs a tree of statements over tile values. Five kinds of statement carry everything:
 * contract, map, reduce, move (load, store) and structure (for, if, narrow).
 *
 * Ranges. Every index variable has a current range of coordinates, always inside its extent. A task sets it
 * to one step (or one coordinate), FOR walks it in steps, NARROW shrinks it, an index that nothing has set
 * ranges over its whole extent. LOW(i) and HIGH(i) in expressions are the ends of the current range.
 *
 * Values. A tile value has a name, a type and ranks: index variables with a capacity each. It holds the
 * coordinates from the base of each rank's range where the value was first assigned; inside a narrower
 * range the same name is the part of it in that range. Assigning again replaces that part. Elements of a
 * tile outside the current range are undefined. A value lives in one task.
 *
 * Tensors. Arguments of the kernel, and work tensors in memory that phases share: materialised
 * intermediates and packed operands. A packed tensor stores its last two ranks as panels:
 * [panel][contracted][width] with zeroes past the extents; the program addresses it as if it were dense.
 *
 * Types. Values are F32 (F64 where the schedule computes in F64) or I32 for integers; loads convert from, and
 * stores to, the tensor's type.
 *
 * It must not know: vector widths beyond the panel width and block counts the schedule chose, instructions,
 * pointers, softmax, attention. Every statement means an Einsum on its tiles, so tile_run interprets it and
 * tile_check proves ranks, extents and types.
 */
#ifndef ATTUNE_CODEGEN_TILE_H
#define ATTUNE_CODEGEN_TILE_H

#include "dsl/cascade.h"

enum tile_kind {
	TILE_FOR,      /* for i by step from low to high (exclusive): body */
	TILE_NARROW,   /* range of i becomes [low, high) ∩ current, low rounded down and high up to `step`
	                  coordinates from the base of the enclosing FOR; an empty range skips the rest of
	                  the block */
	TILE_IF,       /* if condition: body, else: other */
	TILE_LOAD,     /* value = expression of READs, numbers, indices; 0 outside extents and, in padding, 0 */
	TILE_MAP,      /* value = expression of VALUEs, numbers, indices, LOW, HIGH; no READ */
	TILE_REDUCE,   /* value = reduce over `index` of expression (as MAP) */
	TILE_CONTRACT, /* value[rows, lanes] = (value · scale +) Σ over `index` of a[rows, index] · b[index, lanes] */
	TILE_STORE,    /* tensor[coordinates] = expression (as MAP), over the current ranges */
};

struct tile_block {
	VEC(struct tile_statement) statement;
};

struct tile_statement {
	enum tile_kind kind;
	uint32_t value;  /* LOAD, MAP, REDUCE, CONTRACT: what is assigned */
	uint32_t index;  /* FOR, NARROW; REDUCE, CONTRACT: the reduced index */
	int64_t step;    /* FOR, NARROW */
	bool down;       /* FOR: last step first */
	struct expr low, high;  /* FOR, NARROW */
	struct expr expression; /* LOAD, MAP, REDUCE, STORE; IF: the condition; CONTRACT: NO_EXPR */
	enum reduction reduce;  /* REDUCE */
	struct expr target;     /* STORE: READ of the tensor at plain index variables */
	/* CONTRACT */
	struct expr a;    /* VALUE with ranks rows and index */
	struct expr b;    /* VALUE with ranks index and lanes, or READ of a tensor whose last two coordinates are
	                     the plain variables index and lanes (either order when packed) */
	uint32_t rows, lanes;    /* index variables; rows may be NO_INDEX: one row */
	uint8_t block_rows, block_lanes; /* register block: rows by vectors */
	bool accumulate;         /* keep what value holds, times scale */
	struct expr scale;       /* with accumulate: expression (as MAP) over rows; NO_EXPR: 1 */
	struct tile_block body, other; /* FOR, IF */
};

struct tile_value {
	const char *name;
	enum dtype dtype;
	uint8_t nranks;
	uint32_t index[MAX_RANKS]; /* outermost first; the last is contiguous */
	int64_t capacity[MAX_RANKS];
};

enum tile_place { PLACE_ARGUMENT, PLACE_WORK };
struct tile_tensor {
	const char *name;
	enum dtype dtype;
	enum tile_place place;
	enum role role; /* of an argument */
	uint8_t nranks;
	int64_t extent[MAX_RANKS];
	int64_t panel;  /* 0: dense. Else the last two ranks are stored in panels of this many coordinates of
	                   rank `lanes`, the other one of the two running inside the panel */
	uint8_t lanes;  /* position of the rank that is cut into panels: nranks-1 or nranks-2 */
};

struct tile_task {
	uint32_t index;
	int64_t step;
	bool down; /* last first */
};
struct tile_phase {
	const char *name;
	VEC(struct tile_task) task; /* outermost first; the last varies fastest */
	struct tile_block body;
};

struct tile_index {
	const char *name;
	int64_t extent;
};

struct tile_program {
	struct arena *arena;
	struct expr_pool *pool; /* INDEX, LOW, HIGH: position in `index`; READ: in `tensor`; VALUE: in `value` */
	const char *name;
	const char *schedule; /* the schedule's text, printed as the kernel's header comment */
	enum dtype compute;   /* DTYPE_F32 or DTYPE_F64 */
	VEC(struct tile_index) index;
	VEC(struct tile_tensor) tensor; /* arguments first, in the order of the declaration */
	VEC(struct tile_value) value;
	VEC(struct tile_phase) phase;
};

struct expr_names tile_names(const struct tile_program *);

/* print(parse(print(p))) == print(p). tile_parse gives NULL with diagnostics on a bad text. */
void tile_print(const struct tile_program *, struct text *);
struct tile_program *tile_parse(struct arena *, const char *source, size_t size, struct diags *);

/* Proves what the comment above states: ranges set before use, ranks of operands, capacities large enough
 * for every range, READ only in LOAD and CONTRACT, types, panels. False, with a reason, when not. */
bool tile_check(const struct tile_program *, struct text *reason);

/* The interpreter: the meaning of a tile program. `tensor[i]` is the dense row-major float64 content of
 * tensor i; work tensors are allocated by the call. Values are rounded to their types after every statement
 * when `rounded`. Undefined elements are NaN. */
bool tile_run(struct arena *, const struct tile_program *, double **tensor, bool rounded, struct text *reason);

/* Floating-point work and bytes moved to and from tensors by one run, counted on the program. */
struct tile_cost {
	double contract_flops, map_flops, exps, bytes;
};
struct tile_cost tile_cost(const struct tile_program *);

#endif
