/* tile.h: the tile program, cascade × schedule, still with no instruction set.
 *
 * A program is a sequence of phases; each phase is a parallel loop over tasks, and ends before the next
 * begins. A task runs a tree of statements over tile values. Six kinds of statement carry everything:
 * contract, map, reduce, select, move (load, store) and structure (for, if, narrow).
 *
 * Ranges. Every index variable has a current range of coordinates, always inside its extent. A task sets it
 * to one step, FOR walks it in steps, NARROW shrinks it, an index that nothing has set ranges over its whole
 * extent. LOW(i) and HIGH(i) in expressions are the ends of the current range. A FOR walks the part of
 * [low, high) inside the current range, from its first coordinate; each step's range ends with the step or
 * with that part. An index is *single* where its range is one coordinate by construction: extent 1, a task
 * or FOR of step 1. Bounds and conditions are over numbers, LOW, HIGH, INDEX of single indices, and VALUEs
 * without ranks; everything else has a coordinate for each index of its value (or target), of the reduced
 * index, and of single indices, and may mention no other INDEX.
 *
 * Values. A tile value has a name, a type and ranks: index variables with a capacity each. Its first
 * assignment in a block defines it, till the end of that block: it holds the current range of each rank, and
 * that range's base is where it begins. Inside a narrower range the same name is the part of it in that
 * range; assigning again replaces that part. An operand's ranks are among the coordinates at hand: the value's
 * own, the reduced index, single indices. A value lives in one task.
 *
 * Tensors. Arguments of the kernel, and work tensors in memory that phases share: materialised
 * intermediates and packed operands. A packed tensor stores its last two ranks as panels:
 * [panel][contracted][width] with zeroes past the extents (storing the last panel fills them), or, where elements
 * are narrower than 32 bits and as many as fill those are multiplied at once, [panel][contracted / group][width][group]
 * with anything past the extents. The program addresses it as if it were dense; one in groups is read by contractions
 * only, from a multiple of the group, and stored from one. A tensor is either only read in a phase or only stored in it. The target
 * of a STORE or SELECT has a coordinate for every task index of more than one step, so that tasks do not meet. Where a
 * contraction reads a packed tensor, or one is stored, the current range of the index in its lanes begins at
 * a multiple of the panel.
 *
 * Types. Values are F32 (F64 where the schedule computes in F64) or I32 for integers and truth (0 or 1), or, where
 * computation is in F32, BF16 or I8: what is assigned is rounded. Loads convert from, and stores to, the tensor's
 * type. A VALUE of an I32 value is an int. A contraction says as
 * what its operands are multiplied: each element of a and b is rounded to that type, products and sums are of
 * the type of computation, which is then F32; of OPERAND_I8 they are exact integers, and a, the result and b, if
 * it is a value, are I32. Where b is a tensor in groups, and only there, a is of its type; but where a host multiplies a
 * tensor's elements where they stand, it is of the type of the operands, and b of any that this holds: operand_stands. A
 * tensor that a contraction reads otherwise has that type; with OPERAND_COMPUTE and OPERAND_TF32 it has the type of
 * computation or, with the former and F32, is of at most 16 bits: dtype_widens. All rounding is left out where a program is run as real numbers (tile_run).
 *
 * Names of indices, tensors and values are distinct.
 *
 * It must not know: vector widths beyond the panel width and block counts the schedule chose, instructions,
 * pointers, softmax, attention. Every statement means an Einsum on its tiles, so tile_run interprets it and
 * tile_check proves ranks, extents and types.
 */
#ifndef ATTUNE_CODEGEN_TILE_H
#define ATTUNE_CODEGEN_TILE_H

#include "codegen/machine.h"
#include "dsl/cascade.h"

enum tile_kind {
	TILE_FOR,      /* for i by step from low to high (exclusive): body */
	TILE_NARROW,   /* range of i becomes [low, high) ∩ current, where low is rounded down and high up to whole
	                  steps from the current range's low end; an empty range skips the rest of the block,
	                  where the range is back as it was */
	TILE_IF,       /* if condition: body, else: other */
	TILE_LOAD,     /* value = expression of READs, numbers, indices; 0 outside extents and, in padding, 0 */
	TILE_MAP,      /* value = expression of VALUEs, numbers, indices, LOW, HIGH; no READ */
	TILE_REDUCE,   /* value = reduce over `index` of expression (as MAP); a fold: neither MEAN nor ARGMAX */
	TILE_CONTRACT, /* value[rows, lanes] = (value · scale +) Σ over `index` of a[rows, index] · b[index, lanes] */
	TILE_STORE,    /* tensor[coordinates] = expression (as MAP), over the current ranges */
	TILE_SELECT,   /* tensor[coordinates] = a selection (dsl/selections.h) over `index` of expression (as LOAD): fibers
	                  are in memory, however long, before and after. The target has `index`, or `slot` of
	                  SELECT_MEMBERS, in its place, and both range over their whole extents */
};

enum { MAX_STAGES = 8 }; /* of a FOR */

struct tile_block {
	VEC(struct tile_statement) statement;
};

struct tile_statement {
	enum tile_kind kind;
	uint32_t value;  /* LOAD, MAP, REDUCE, CONTRACT: what is assigned */
	uint32_t index;  /* FOR, NARROW; REDUCE, CONTRACT: the reduced index; SELECT: the fiber's */
	int64_t step;    /* FOR, NARROW */
	bool down;       /* FOR: last step first */
	uint8_t stages;  /* FOR: 2 and more: tensors that contractions of the body read are fetched so many
	                    steps, less one, ahead. 0 or 1: where they are read. Means nothing to the result */
	struct expr low, high;  /* FOR, NARROW */
	struct expr expression; /* LOAD, MAP, REDUCE, SELECT, STORE; IF: the condition; CONTRACT: NO_EXPR */
	enum reduction reduce;  /* REDUCE */
	bool numbers;           /* … by MAX or MIN of reals, that may pass over a NaN: nothing that is stored depends on it */
	enum selection select;  /* SELECT */
	uint32_t slot;          /* SELECT of members: the index that counts them */
	struct expr present;    /* SELECT: which elements there are (as LOAD); NO_EXPR: all */
	double argument;        /* SELECT: of top-k, a whole number, and nucleus */
	struct expr target;     /* STORE, SELECT: READ of the tensor at plain distinct index variables */
	/* CONTRACT */
	struct expr a;    /* VALUE with ranks rows and index, one of them last (and single ones), or, on a host, READ of a
	                     tensor without panels whose last two coordinates are those, in either order, in the type of
	                     computation. Its other coordinates are over single indices */
	struct expr b;    /* VALUE with ranks index and lanes, one of them last (and single ones), or READ of a tensor that has one of
	                     the variables index and lanes as its last coordinate and the other anywhere, as it is or, where
	                     its range lies in one block of n, as its remainder by n; on a device they are the last two,
	                     plain. When packed the lanes are the rank in panels. Its other coordinates are over single
	                     indices, LOW, HIGH and values without ranks */
	uint32_t rows, lanes;    /* index variables; rows may be UINT32_MAX: one row */
	uint8_t block_rows, block_lanes; /* register block: rows by vectors; on a device: what a warp holds */
	enum operand_type operand;
	bool twine;              /* operand a, or b of rows in the lanes, which the statements just before make, is made while
	                            it is used: host. Means nothing to the result */
	bool accumulate;         /* keep what value holds, times scale */
	struct expr scale;       /* with accumulate: expression (as MAP) over rows, or, on a host, over lanes; NO_EXPR: 1 */
	struct tile_block body, other; /* FOR, IF */
};

/* Is a tensor what it assigns? */
static inline bool tile_stores(const struct tile_statement *s)
{
	return s->kind == TILE_STORE || s->kind == TILE_SELECT;
}

/* Does a NARROW leave the first coordinate as it is? */
static inline bool tile_keeps_low(const struct expr_pool *pool, const struct tile_statement *s)
{
	double low;
	return !s->low.id || (expr_is_number(pool, s->low, &low) && low <= 0);
}

/* Of a contraction: the type a tensor has whose elements are multiplied as they stand; how many of them a host's
 * instructions take at a time, where they take several. */
static inline enum dtype operand_dtype(enum operand_type t, enum dtype compute)
{
	return t == OPERAND_BF16 ? DTYPE_BF16 : t == OPERAND_F16 ? DTYPE_F16 : t == OPERAND_I8 ? DTYPE_I8 : compute;
}

static inline int operand_group(enum operand_type t)
{
	return t == OPERAND_BF16 ? 2 : t == OPERAND_I8 ? 4 : 1;
}

/* May a host multiply such elements of b where they stand? Then a, a value, is of the operands' type. */
static inline bool operand_stands(enum operand_type t, enum dtype b)
{
	return t == OPERAND_BF16 && (b == DTYPE_BF16 || b == DTYPE_F8E4M3 || b == DTYPE_F8E5M2 || b == DTYPE_I8 || b == DTYPE_U8 ||
	                             b == DTYPE_I4);
}

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
	uint8_t group;  /* of a panel: coordinates of the other rank that lie side by side; 0 or 1: none */
};

struct tile_task {
	uint32_t index;
	int64_t step;
	bool down; /* last first */
	/* NO_EXPR, or READ of an integer work tensor that an earlier phase stored: at task indices, the last coordinate
	 * an index that stands for the turn. Of the steps along `index` it names the one taken in that turn; its
	 * values are a permutation of them, which is for whoever stored it to see to. */
	struct expr order;
};
enum { MAX_TASKS = 2 * MAX_RANKS };
struct tile_phase {
	const char *name;
	VEC(struct tile_task) task; /* at most MAX_TASKS, outermost first; the last varies fastest */
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

/* Does a contraction multiply a tensor's elements where they stand, rounded to the type of operands as its a is? */
static inline bool tile_stands(const struct tile_program *p, const struct tile_statement *s)
{
	const struct expr_node *a = expr_at(p->pool, s->a), *b = expr_at(p->pool, s->b);
	return a->op == OP_VALUE && a->symbol < p->value.n && b->op == OP_READ && b->symbol < p->tensor.n &&
	       p->value.v[a->symbol].dtype == operand_dtype(s->operand, p->compute) &&
	       operand_stands(s->operand, p->tensor.v[b->symbol].dtype) && !p->tensor.v[b->symbol].panel;
}

struct expr_names tile_names(const struct tile_program *);

/* print(parse(print(p))) == print(p). tile_parse gives NULL with diagnostics on a bad text. */
void tile_print(const struct tile_program *, struct text *);
struct tile_program *tile_parse(struct arena *, const char *source, size_t size, struct diags *);
/* A statement's own line, without its blocks. */
void tile_statement_print(const struct tile_program *, const struct tile_statement *, struct text *);

/* Proves what the comment above states: ranges set before use, ranks of operands, capacities large enough
 * for every range, READ only in LOAD, SELECT and CONTRACT, types, panels. False, with a reason that names the phase
 * and the statement, when not. */
bool tile_check(const struct tile_program *, struct text *reason);
/* The part of it that looks at no statement: tile_check_names.c. */
bool tile_check_declarations(const struct tile_program *, struct text *reason);

/* The interpreter: the meaning of a checked tile program. `tensor[i]` is the dense row-major float64 content
 * of tensor i; outputs and work tensors, which are allocated by the call, begin as NaN. Values and stored
 * elements are rounded to their types after every statement when `rounded`, and operands of contractions to
 * theirs; without it everything is real arithmetic in float64. False, with a reason, when the program asks for
 * what is not there. */
bool tile_run(struct arena *, const struct tile_program *, double **tensor, bool rounded, struct text *reason);

/* What each phase stores depends on: bit i is argument i (63: that and all later ones), by itself or through what
 * phases before it stored. And whether arguments are among what it stores, or work tensors only. */
struct tile_inputs {
	uint64_t of;
	bool outputs;
};
/* One a phase. */
void tile_phase_inputs(struct arena *, const struct tile_program *, struct tile_inputs *);

/* Floating-point work and bytes moved to and from tensors by one run, counted on a checked program. */
struct tile_cost {
	double contract_flops, map_flops, exps, bytes;
	double contract[OPERANDS]; /* of contract_flops, by what is multiplied */
};
struct tile_cost tile_cost(const struct tile_program *);

#endif
