/* emit.h: what the parts of the C emitter share; no other part of the program includes it.
 *
 * A phase is emitted twice. The first round finds out which values are read from memory, which arguments
 * and strides are used; the second prints with that known: a value that nobody reads back lives only in a
 * register, and nothing unused is declared.
 *
 * Widths of vectors are the only thing known of the instruction set here; the rest is the prelude's.
 *
 *   emit_c.c         phases, FOR, IF; the translation unit
 *   emit_walk.c      ranges of tasks, FOR and NARROW; names of a phase
 *   emit_plan.c      names, ranges, layouts, scratch
 *   emit_expr.c      expressions to C text, temporaries
 *   emit_address.c   where elements lie
 *   emit_group.c     which MAP, REDUCE, LOAD and STORE share loops
 *   emit_loops.c     those loops
 *   emit_column.c    … where the lanes lie across what is reduced
 *   emit_twine.c     … and a contraction, what they make for it made while it is used
 *   emit_turn.c      … of what turns rows into lanes
 *   emit_contract.c  contractions: blocks of rows and lanes, calls of micro-kernels
 *   emit_share.c     … what these ask for of a later tile
 *   emit_micro.c     those micro-kernels
 *   emit_next.c      what they ask for of the next task's memory
 *   emit_narrow.c    … of operands in groups; values in scratch narrower than computation
 *   emit_dots.c      … along the contracted index
 *   emit_pairs.c     … of elements that become groups when they are read
 *   emit_select.c    selections
 *   emit_prelude.c   the part of the prelude a text needs
 */
#ifndef ATTUNE_CODEGEN_EMIT_H
#define ATTUNE_CODEGEN_EMIT_H

#include "codegen/ctree.h"
#include "codegen/kernel.h"
#include "codegen/machine.h"
#include "codegen/stream.h"
#include "codegen/tile.h"

/* The current range of an index variable. */
struct current {
	uint32_t index;
	bool single;            /* one coordinate: low and high are the same text */
	bool narrow;            /* made by NARROW: `outer` has the base */
	const char *low, *high; /* first and last coordinate: a C name or a number */
	int64_t step;           /* the most coordinates it holds */
	int64_t grain;    /* it begins and, unless clipped, ends at a multiple of this from outer's low */
	int64_t multiple; /* divides the number of coordinates it holds; 1: nothing known */
	int64_t align;    /* divides low; 0: low is 0 */
	int64_t ends;     /* divides the coordinate after the last, unless that is the extent; 1: nothing known */
	struct current *outer; /* NULL: this is the whole extent */
};

struct value_plan {
	const char *name;
	bool integer;
	const char *narrow; /* "bf16", "i8": its elements in scratch are such; NULL: of computation, or int */
	int bytes;          /* of an element */
	bool memory;  /* somebody reads it back */
	int64_t size; /* elements, padding included */
	int64_t stride[MAX_RANKS];
	int64_t offset; /* bytes into scratch */
};

struct tensor_plan {
	const char *name, *type, *get; /* C type; "f32": the suffix of the prelude's get and put */
	bool used;
	uint8_t strides;           /* argument: bit r set where stride r is used */
	int64_t stride[MAX_RANKS]; /* work tensor without panels */
	int64_t elements;          /* work tensor */
	int64_t offset;            /* bytes into the work area */
};

struct nest;
struct term;
struct emitter {
	struct arena *arena;
	const struct tile_program *program;
	const struct expr_pool *pool;
	int lanes; /* of a vector */
	bool real_double;
	const char *integer;          /* C type of an int: "long", on a device "int" */
	bool unit;                    /* the last rank's elements of an argument lie one after the other */
	const char *const *reserved;  /* further names that nothing may have; NULL: none */
	const char *const *prelude;   /* texts whose functions' names nothing may have either; NULL: none */
	struct term (*value_leaf)(struct nest *, struct expr); /* where values are not in scratch; else NULL */
	struct current **range; /* one an index variable: its current range */
	const char **index_name;
	struct value_plan *value;
	struct tensor_plan *tensor;
	int64_t *row_block, *lane_block; /* one an index variable: the widest register blocks over it */
	VEC(const char *) taken;         /* names in use in this phase */
	struct c_block *functions;       /* micro-kernels, before the phase that calls them */
	VEC(struct micro) micro;
	int64_t select_offset, select_bytes; /* in scratch: room of this phase's selections */
	int64_t scratch_bytes, work_bytes;
	int64_t fetch; /* contractions also ask for rows of operand b so many coordinates of `fetch_along` on */
	uint32_t fetch_along;
	VEC(uint32_t) fetched; /* … or of operand a: of these tensors somebody does already */
	int64_t ahead; /* loads also ask for what is so many coordinates of `ahead_along` on; 0: they do not */
	uint32_t ahead_along;
	uint32_t walked; /* the innermost FOR's index, or NO_INDEX */
	const char *next; /* calls of micro-kernels ask for lines of what this C variable says; NULL: they do not */
};

/* ---- emit_plan.c ---- */

void plan_init(struct emitter *);
/* Offsets in scratch of the values in memory. */
void plan_scratch(struct emitter *);
/* `stem`, or stem2, stem3, …: a name that nothing has in this phase. */
const char *plan_name(struct emitter *, const char *stem);
struct current *plan_range(struct emitter *, struct current);
/* The range whose low is the first coordinate that rank r of a value holds. */
const struct current *value_base(const struct emitter *, uint32_t value, int r);
/* Whether blocks of `width` coordinates from the low of the index's current range may run past its end
 * without touching coordinates of the value that mean something. */
bool value_may_spill(const struct emitter *, uint32_t value, int r, int64_t width);
/* Position of an index among a value's ranks, or -1. */
int value_rank(const struct emitter *, uint32_t value, uint32_t index);
/* The number of coordinates is a multiple of n. */
bool range_whole(const struct current *, int64_t n);

/* ---- emit_walk.c ---- */

/* The bounds of a FOR, inside the current range, and its range but for low and high. */
struct bounds {
	const char *low, *end;
	struct current range;
};
/* A number that divides the value of an int expression; 0 when it is 0. */
int64_t emit_align(const struct emitter *, struct expr);
struct bounds emit_bounds(struct emitter *, struct c_block *, const struct tile_statement *);
/* text, or where it is no number a constant "index_stem" that holds it. */
const char *emit_constant(struct emitter *, struct c_block *, uint32_t index, const char *stem, const char *text);
/* Declares the last coordinate of a step that begins at r->low. */
void emit_high(struct emitter *, struct c_block *, struct current *r, int64_t step, const char *end);
const char *emit_range_name(struct emitter *, uint32_t index, const char *end);
bool emit_whole_number(const char *text, long long *n);
/* Makes the current range the narrowed one; the block that runs where it is not empty. */
struct c_block *emit_narrow(struct emitter *, struct c_block *, const struct tile_statement *);
long emit_tasks(const struct emitter *, const struct tile_phase *);
/* The ranges of a task's indices from its number `task`. */
void emit_task(struct emitter *, struct c_block *, const struct tile_phase *);
void emit_whole_ranges(struct emitter *);
/* `known`: only the values in memory have their names already. */
void emit_start_names(struct emitter *, bool known);
/* Constants for the tensors in use and their strides; `flat`: those of all arguments lie one after the other. */
void emit_tensors(struct emitter *, struct c_block *, const char *args, bool flat);
/* The schedule as the text's first comment; a name made an identifier; the digest of a kernel. */
void emit_schedule(const char *schedule, struct text *);
const char *emit_identifier(struct arena *, const char *name);
const char *emit_digest(struct arena *, const struct kernel_source *);
/* Inputs and outputs of the phases. */
void emit_inputs(struct arena *, const struct tile_program *, struct kernel_source *);

/* ---- emit_expr.c ---- */

/* A C expression that needs no parentheses around it as an operand. */
struct term {
	const char *text;
	enum kind kind;
	bool vector;
	bool bare; /* a name or a number: as good as a temporary */
};

struct memo {
	uint32_t expr;
	struct term term;
};

enum { MAX_TOGETHER = 4 };

struct narrow_half {
	uint32_t value;
	const char *to, *text;
};

/* The loops around an expression and where its temporaries go. */
struct nest {
	struct emitter *e;
	struct c_block *row;  /* temporaries that are the same for all lanes */
	struct c_block *body; /* the others; the same block where there are no lanes */
	uint32_t lane;        /* index whose coordinates are in the lanes; NO_INDEX: none */
	const char *at;       /* coordinate of the first lane */
	const char *left;     /* coordinates from there to the end of the range */
	bool staged;          /* long chains in steps */
	bool beside;          /* … with as few multiplications as can be: there are others beside them */
	int half;             /* of two vectors that lie side by side and are stored as narrow values at once: 1, 2; 0: one */
	VEC(struct narrow_half) first; /* what the first of two stores */
	bool partial;         /* fewer than a vector may be left */
	bool groups;          /* coordinates of what is in groups are the first of one */
	struct expr holds;    /* a condition that all lanes at hand fulfil, or NO_EXPR */
	/* One element at a time, as threads of a device take them: what depends on `across` counts as a vector,
	 * so that the rest is computed once a row, and is printed in the scalar forms all the same. */
	bool spread;
	uint32_t across;
	/* Coordinates that may lie beyond their range: what is read at them is 0. */
	int guards;
	struct {
		uint32_t index;
		const char *inside;
	} guard[2];
	/* Values over the rows of which a vector is kept in a register until the loop over them has ended. */
	int ntogether;
	struct {
		uint32_t value;
		const char *name;
	} together[MAX_TOGETHER];
	uint32_t loop[MAX_RANKS + 1];
	int nloops;
	uint8_t *uses;              /* one an expression: how often the statements of the loop mention it */
	VEC(const char *) row_name; /* temporaries of `row` made since the body began */
	VEC(struct memo) scalar;
	VEC(struct memo) vector;
};

void nest_count(struct nest *, struct expr);
struct term nest_term(struct nest *, struct expr);
/* The expression as a number of that kind, in a vector if asked. */
const char *nest_text(struct nest *, struct expr, enum kind, bool vector);
struct term nest_convert(struct nest *, struct term, enum kind, bool vector);
/* A value was assigned: what was computed from it is forgotten; `term` is it from now on. */
void nest_assign(struct nest *, uint32_t value, struct term);
const char *nest_temporary(struct nest *, struct c_block *, const char *stem, struct term);
/* … of the block it belongs to, and remembered as what this expression is. */
struct term nest_bind(struct nest *, struct expr, const char *stem, struct term);
const char *emit_number(struct emitter *, double, enum kind);
const char *emit_condition(struct nest *, struct expr);
/* high + 1, and high + 1 - at. */
const char *emit_after(struct emitter *, const char *high);
const char *emit_left(struct emitter *, const struct current *, const char *at);
/* text without one pair of parentheses that encloses all of it. */
const char *emit_strip(struct emitter *, const char *);
/* "a * 3", "a", "" and so on joined by " + ". */
const char *emit_sum(struct emitter *, const char *sum, const char *term, int64_t times);

/* ---- emit_address.c ---- */

/* Coordinate of an index in this nest. */
const char *nest_coordinate(const struct nest *, uint32_t index);
/* Index of a value's element at the current coordinates, for `name[…]`. */
const char *nest_element(const struct nest *, uint32_t value);
/* Its address. */
const char *nest_pointer(const struct nest *, uint32_t value);
/* Address of the element of READ e, and the stride along the lane (NULL when the lane is not in it). Where elements are
 * gathered it is that of coordinate 0 of the rank, and the stride that rank's. */
const char *nest_address(struct nest *, struct expr e, const char **lane_stride);
/* Are all coordinates of a READ known to be inside the tensor? */
bool nest_inside(const struct nest *, struct expr e);
/* Is a coordinate known to lie in [0, extent), wherever its indices are in theirs? */
bool emit_within(const struct emitter *, struct expr coordinate, int64_t extent);
/* 1 or -1 where a coordinate is the lane's plus or minus something that is the same in all lanes; else 0. */
int emit_lane_step(const struct emitter *, struct expr coordinate, uint32_t lane);
/* The rank of a READ whose coordinate is any number from lane to lane, where the elements can be gathered; else -1. */
int emit_gathered(const struct emitter *, struct expr read, uint32_t lane);

/* Is a coordinate the same in all lanes of any vector, though not of all: the lane's by a multiple of their number? */
bool emit_uniform(const struct emitter *, struct expr coordinate, uint32_t lane);

/* ---- emit_group.c, emit_loops.c ---- */

/* How one statement is run: loops over `outer`, then vectors over `lane` or a scalar body. */
enum shape {
	SHAPE_SCALAR,    /* `outer` only */
	SHAPE_LANES,     /* vectors along `lane`; a REDUCE reduces over it */
	SHAPE_COLUMN,    /* vectors along `lane`, of each a loop over `inner`: REDUCEs over that, and what else is there */
	SHAPE_FOLD,      /* a REDUCE over `inner`, one element at a time */
	SHAPE_TRANSPOSE, /* a STORE into panels across the value's rows, or a MAP to a value with its last two ranks swapped */
	SHAPE_WEAVE,     /* a STORE into panels in groups, of rows that follow one another */
};
struct shape_of {
	enum shape shape;
	int nouter;
	uint32_t outer[MAX_RANKS];
	uint32_t lane, inner;
};
enum { MAX_GROUP = 64 };
struct group {
	int count;
	struct shape_of shape;
	const struct tile_statement *statement[MAX_GROUP];
};

/* Takes statements from s[0 … n) that share loops; how many is group->count, at least 1. */
void group_take(const struct emitter *, const struct tile_statement *s, uint32_t n, struct group *);
/* Can an expression be computed for vectors along `lane`? */
bool group_vectorises(const struct emitter *, struct expr, uint32_t lane);
/* May a statement follow those of a group, as far as what they read and assign goes? */
bool group_allows(const struct emitter *, const struct tile_statement *const *group, int count,
                  const struct tile_statement *);
void emit_group(struct emitter *, struct c_block *, const struct group *);
/* The statement in a few words, for a comment. */
const char *emit_describe(struct emitter *, const struct tile_statement *);
/* for (…) over the current range of `index`, whose coordinate gets the index's name. */
struct c_block *emit_loop(struct emitter *, struct c_block *, uint32_t index);

/* ---- emit_turn.c: a square of vectors at a time ---- */

/* A value's rows become the lanes of panels: SHAPE_TRANSPOSE of a STORE. */
void emit_transpose(struct nest *, const struct tile_statement *, const struct shape_of *);
/* A value with its last two ranks swapped: … of a MAP. */
void emit_swap(struct nest *, const struct tile_statement *, const struct shape_of *);

/* ---- emit_contract.c ---- */

/* A micro-kernel; equal ones are emitted once. */
struct micro {
	const char *name;
	int rows, vectors;
	int64_t a_row, a_step;
	bool far; /* a is a tensor's: its strides, and how many rows there are, are arguments */
	int64_t b_step; /* 0: an argument of the call */
	int64_t out_row;
	bool edge; /* lanes may be missing or strided */
	bool part; /* they are adjacent, and of the last vector, only, some are missing */
	bool dots; /* vectors along the contracted index, which is b's last: each element a sum across one. One vector
	              is one coordinate of the lanes, and how many there are is an argument */
	int64_t ahead; /* rows of b that it asks for ahead; 0: none */
	int64_t each;  /* of memory that it asks for besides, an element at every step, so many further; 0: none */
	int64_t span;  /* … steps till the next row of that, which lies anywhere; 0: there is none */
	int64_t count; /* with dots: coordinates of the contracted index; 0: only the call knows */
	const char *type, *get; /* of b's elements: C type of a pointer ("const float *"), and the prelude's way to load
	                           them */
	int group;              /* of a and b: elements that are multiplied at once; 0: one */
	bool pairs;             /* a of bf16, and b of what that holds, lying as in memory: two elements that are multiplied at
	                           once become a group when they are read */
	bool tail;              /* … and fewer may be left */
	bool accumulate;
	bool scale, scale_lanes; /* the sum so far is multiplied by a number a row, or one a lane */
	enum reduction fold;     /* a vector a row of an argument has its result folded in; REDUCE_NONE: there is none */
	bool fold_rows;          /* … one for each vector of lanes, in which all rows' are folded */
};
/* … and, where that can be done on the way, the reduction that follows: how many of the n statements are done. `making`:
 * what stands before it and is not emitted yet, but for NULL. */
uint32_t emit_contract(struct emitter *, struct c_block *, const struct tile_statement *, uint32_t n,
                       const struct group *making);

/* ---- emit_twine.c ---- */

enum { MAX_TWINED = 64, MAX_LANES_TWINED = 8 };
/* A contraction that is not called but stands among what makes its operand: pointers, strides and how many rows of a tensor
 * are left as C text. */
struct twine {
	const struct tile_statement *statement;
	bool second; /* that is b; else a */
	struct micro micro; /* of whole blocks */
	const char *a, *a_row, *a_step, *left, *b, *b_step, *scale, *out;
	const char *later, *each; /* a pointer to what it asks for besides at every step, and how much further; or NULL */
	int64_t span;             /* steps till the next row of that; 0: there is none */
	const char *asked, *row;  /* … how many were since the last, and how far it is then */
};
/* Can these statements be run with it? */
bool emit_may_twine(const struct emitter *, const struct twine *, const struct group *making);
/* When the code below is right: a condition in C, or "" where it always is. */
const char *emit_twine_condition(struct emitter *, const struct twine *);
/* Both of them, of the first block of lanes, or of rows where b is made. */
void emit_twine(struct emitter *, struct c_block *, const struct twine *, const struct group *making);

/* ---- emit_micro.c ---- */

/* The name of the micro-kernel that does the statement's block, emitted if there is no equal one. */
const char *emit_micro(struct emitter *, struct micro, const struct tile_statement *);
/* Adds what is there, times the scale, to its results, which are in registers; folds these into the vectors of `fold`. */
void emit_joins(struct emitter *, struct c_block *, const struct micro *);
void emit_folds(struct emitter *, struct c_block *, const struct micro *);
/* Asks for b's element at an address; and how many of them a line of cache has. */
const char *emit_line_ahead(struct emitter *, const struct micro *, const char *element);
int emit_line_elements(const struct micro *);
/* … of one with `dots`, in emit_dots.c. */
void emit_dots(struct emitter *, const struct micro *, const char *what);
/* … of one with `pairs`, in emit_pairs.c; a step of one that also has `dots`: `left` elements of each row, or NULL for all
 * that are taken at a time, and how many those are. */
void emit_pairs(struct emitter *, const struct micro *, const char *what);
void emit_pair_step(struct emitter *, struct c_block *, const struct micro *, int columns, const char *left);
int emit_pair_elements(const struct emitter *);
/* The function's head, what it is in a comment, operand a of C type `type`, and its accumulators, rows by vectors; and its end:
 * what is there joined, stored, folded. */
struct c_block *emit_micro_open(struct emitter *, const struct micro *, const char *type, const char *what);
void emit_micro_end(struct emitter *, struct c_block *, const struct micro *);
/* "p + 32 + 2 * LANES". */
const char *emit_times(struct emitter *, const char *p, int64_t elements, int vectors);

/* ---- emit_next.c ---- */

/* Emits the function that writes down what a task of the phase touches; its name, or NULL where there is none. Names and
 * ranges are this function's afterwards. */
const char *emit_next_task(struct emitter *, const struct tile_phase *, const char *symbol);

/* ---- emit_narrow.c ---- */

/* A micro-kernel with groups. */
void emit_groups(struct emitter *, const struct micro *, const char *what);
/* The array of what the sums of each row begin with, where elements of type i8 are multiplied; a itself is at the
 * coordinates of the nest. */
const char *emit_group_start(struct nest *, struct c_block *, const struct tile_statement *, int block);
/* A narrow value: its elements loaded, in C text; stored. */
const char *emit_narrow_load(const struct nest *, uint32_t value, bool vector);
void emit_narrow_store(struct nest *, uint32_t value, const char *text, bool vector);
/* Is it assigned just what a tensor of its type holds, so that elements can be copied? */
bool emit_narrow_copy(struct nest *, const struct tile_statement *);
/* Value's rows become groups: SHAPE_WEAVE. */
void emit_weave(struct nest *, const struct tile_statement *, const struct shape_of *);
/* Why there is no C of a program: as its operands are multiplied. NULL: there is. */
const char *emit_narrow_limit(struct arena *, const struct tile_program *);

/* ---- emit_select.c ---- */

void emit_select(struct emitter *, struct c_block *, const struct tile_statement *);
/* Stores C text as the element of `target` at the coordinate of `index` that the block has a name for. */
void emit_put(const struct nest *, struct c_block *, struct expr target, uint32_t index, const char *text);

/* ---- emit_prelude.c ---- */

/* Adds to `out` the paragraphs of the ISA's prelude that `body` mentions, and those they mention. */
void emit_prelude(struct arena *, enum isa, bool real_double, const char *body, struct text *out);
/* For emitter.prelude: what any of them may be called. */
const char *const *emit_prelude_names(void);
/* … of the numbers on a device. */
void emit_cuda_prelude(struct arena *, const char *body, struct text *out);

#endif
