/* cuda.h: what the parts of the CUDA emitter share; no other part of the program includes it.
 *
 * A phase becomes a kernel, a task a block. The rows of a phase are the coordinates of its tiled task index: warp w
 * has rows [w · 16 · groups, (w + 1) · 16 · groups) of the task's, where 16 · groups is what its contractions say
 * (block_rows; 16 where there is none). Rows beyond the end are computed and never stored.
 *
 * A value of the tile program lives
 *
 *   in registers, as a fragment, when its ranks are among (rows, one other index, its lanes):
 *     matrix    x[i][j][c]  row 16 i + 8 (c / 2) + g of the warp's, lane 8 j + 2 t + c % 2     (g = lane / 4, t = lane % 4)
 *     rows      x[i][h]     row 16 i + 8 h + g; the same in the four threads that share the row
 *     lanes     x[j][e]     lane 8 j + 2 t + e; the same in all warps and all g
 *     scalar    x           the same in all threads
 *   in shared memory, as a tile, when somebody reads it otherwise: it is an operand of a contraction that was not
 *   computed as a fragment of that very shape, or it has more ranks, or a reduction runs over one of its own.
 *   Or in both: computed as a fragment and copied. A tile's elements are of the type of the contractions that read it
 *   when nobody else does and they agree, else of the type of computation.
 *
 * Fragments are arrays of the kernel, named as the value is: float or int x[groups][lane_groups][4], x[groups][2],
 * x[lane_groups][2], x. Other names that every kernel has: `shared`, unsigned, where shared memory begins; ints `thread`,
 * `warp`, `lane`, `g`, `t`, and `warp_row`, the warp's first row, counted from the task's. Coordinates are ints.
 *
 * What no fragment can do is done over shared memory by all threads in turns, with barriers around: slower, and
 * always possible. So every checked tile program has its kernel, or a named limit (shared memory, argument bytes).
 *
 * Barriers. Whoever touches a shared tile calls shared_read or shared_write first, which puts a barrier where the
 * last touch was of the other kind; loops and branches are told by cuda.c.
 *
 *   cuda.c           phases, tasks, FOR, IF, barriers; the translation unit
 *   cuda_place.c     where values live; what a warp has
 *   cuda_loops.c     MAP, REDUCE, LOAD, STORE over fragments
 *   cuda_plain.c     the same, and contractions, over shared memory
 *   cuda_ahead.c     loads a step ahead of their loop
 *   cuda_value.c     values in expressions
 *   cuda_fold.c      accumulators
 *   cuda_algebra.c   what is computed in place of what is written
 *   cuda_tile.c      addresses in shared tiles
 *   cuda_copy.c      copying tensors and fragments into them
 *   cuda_contract.c  contractions: tensor cores; plain cores for OPERAND_COMPUTE
 *   cuda_operand.c   their operands as fragments of tensor cores
 *   cuda_select.c    selections
 *   cuda_ring.c      tiles of tensors that contractions read, fetched ahead of the loop that needs them
 *
 * Expressions are emit_expr.c's, over struct emitter, with the leaves of a fragment.
 */
#ifndef ATTUNE_CODEGEN_CUDA_H
#define ATTUNE_CODEGEN_CUDA_H

#include "codegen/emit.h"

/* A matrix in shared memory: rows of `columns` elements, each row a whole number of 16-byte chunks. Chunk k of row r
 * lies at offset + stage · stage_bytes + r · pitch + 16 · (swizzle ? k ^ (r & 7) : k). Swizzled where a row is a
 * multiple of 128 bytes; else pitch / 16 is odd, which is free of conflicts too. */
struct shared_tile {
	int64_t offset;
	int rows, columns; /* whole groups: rows of 8 or 16, columns of a k step of the operand; zero beyond the range:
	                      who writes a tile that a contraction reads writes all of it */
	enum operand_type element; /* COMPUTE and TF32 are 4 bytes, BF16 and F16 2, I8 1 */
	bool integer;         /* i32 where element is COMPUTE */
	int pitch;
	bool swizzle;
	int stages;        /* of a ring; else 1 */
	int64_t stage_bytes;
};

enum fragment { FRAGMENT_NONE, FRAGMENT_SCALAR, FRAGMENT_ROWS, FRAGMENT_LANES, FRAGMENT_MATRIX };

struct cuda_value {
	enum fragment fragment; /* in registers; NONE: not there */
	uint32_t lanes;         /* index in its lanes; NO_INDEX */
	int lane_groups;        /* of 8; even */
	bool shared;
	bool operand; /* a contraction reads the tile: all of it is written, zeroes beyond the ranges */
	struct shared_tile tile; /* ranks but the last are the rows, outermost first */
};

/* A tensor that contractions of a loop's body read: fetched tile by tile into a ring. */
struct ring {
	const struct tile_statement *loop; /* NULL: fetched where it is read */
	struct expr read;                  /* READ, over the program's pool; equal ones share a ring */
	uint32_t rows, columns;            /* its last two coordinates' indices */
	bool still;                        /* the same in all steps of the loop: fetched once, before it */
	struct shared_tile tile;
	const char *stage;                 /* C name of the stage that holds the current tile */
	VEC(const struct tile_statement *) contract; /* those that read it */
};

/* An operand a that stays the same in all steps of a loop, in registers since before it:
 * unsigned name[groups][steps of the reduced index][4]. */
struct kept {
	const struct tile_statement *loop, *contract;
	const char *name;
};

/* Where in the fragments an expression stands, in C text: the group of 16 rows and which half of it, the group of 8
 * lanes and which of the thread's two. NULL: it has no such coordinate. */
struct fragment_at {
	const char *group, *half;
	uint32_t lanes; /* index; NO_INDEX */
	const char *columns, *odd;
};

/* A vector that is loaded a step before the loop needs it. */
struct ahead {
	const struct tile_statement *load;
	struct current range; /* of a step; its low to be set */
	const char *name;     /* of the array */
	const char *number, *steps, *end; /* of the loop */
	int64_t step;
	bool down;
};

/* What was done to a shared tile since the last barrier. */
struct touch {
	int64_t offset;
	bool read, written, pending;
};

/* The loops of one statement. As a fragment: over rows, over lanes, over both or none of them; else over elements
 * of the indices, by all threads in turns. */
struct cuda_loops {
	bool fragment, rows;
	uint32_t lanes; /* NO_INDEX: none */
	int lane_groups;
	int n;
	uint32_t index[MAX_RANKS + 1];
};

struct cuda {
	struct emitter e; /* ranges, names, expressions; first, so that an emitter is a struct cuda */
	struct expr_pool pool; /* the program's and what is rewritten */
	bool plain; /* nothing in registers but what has no ranks */
	const struct tile_phase *phase;
	uint32_t row_index; /* NO_INDEX: none */
	int warps, groups;  /* groups of 16 rows a warp */
	int threads;
	struct cuda_value *value; /* one a value of the program */
	double *factor; /* one a value: what it is times where it is read; 0: nothing */
	struct fragment_at at;
	VEC(struct touch) touch;
	VEC(struct ahead) ahead; /* of the loops around */
	struct shared_tile across; /* a line a warp, for reductions over rows; rows 0: none */
	VEC(struct ring) ring;
	VEC(struct kept) kept;
	int64_t shared_bytes;
	struct kernel_argument *argument; /* what the text assumes; see kernel.h */
};

/* ---- cuda_place.c ---- */

/* Rows, warps, where each value lives and at what offset. False, with a reason that names the limit. */
bool cuda_place(struct cuda *, struct text *reason);
/* Room in shared memory, aligned to 128 (1024 where swizzled). */
int64_t cuda_shared(struct cuda *, int64_t bytes, int align);
/* Has the current range of an index `count` coordinates for sure: by its steps, or by a condition around that says
 * high(i) == low(i) + count - 1? */
bool cuda_whole(const struct cuda *, uint32_t index, int64_t count);

/* How a statement runs, given where its value lives. */
struct cuda_loops cuda_loops_of(const struct cuda *, const struct tile_statement *);

/* ---- cuda.c ---- */

/* The block of one statement or several, in its own scope of names. */
void cuda_block(struct cuda *, struct c_block *, const struct tile_statement *, uint32_t n);

/* Barriers where they are needed before this code touches the tile at `offset`. */
void shared_read(struct cuda *, struct c_block *, const struct shared_tile *);
void shared_write(struct cuda *, struct c_block *, const struct shared_tile *);
/* at_barrier(), after which no shared_ call needs one for what was done before. `waited`: a cp_wait stands before it
 * that covers every copy asked for outside of rings. */
void shared_barrier(struct cuda *, struct c_block *, bool waited);
/* The tile is being filled by cp_async, committed: who reads it waits first. */
void shared_pending(struct cuda *, const struct shared_tile *);

/* ---- cuda_tile.c ---- */

/* Rounds rows and columns up to what the operand's steps need; one row of COMPUTE stays one. */
struct shared_tile tile_shape(int rows, int columns, enum operand_type, int stages);
/* A value's tile but its offset: with all rows that warps have, so that reading a fragment of it stays inside. */
struct shared_tile tile_of_value(const struct cuda *, uint32_t value, enum operand_type);
/* C text of the row of a value's tile at the nest's coordinates (the coordinate of the last rank is the column). */
const char *tile_row(const struct nest *, const struct cuda *, uint32_t value);
/* Bytes of an element in a tile. */
int tile_element_bytes(enum operand_type);

/* ---- cuda_copy.c ---- */

/* Copies a value from its fragment, the elements of the current ranges and zeroes beyond, into its tile. Calls
 * shared_write itself. */
void tile_copy(struct cuda *, struct c_block *, uint32_t value);
/* C text of the shared address where a row begins. */
const char *tile_start(struct cuda *, const struct shared_tile *, const char *stage, const char *row);
/* C text of the shared address of an element, or of a 16-byte chunk; row, column and chunk are C text. */
const char *tile_element(struct cuda *, const struct shared_tile *, const char *stage, const char *row, const char *column);
const char *tile_chunk(struct cuda *, const struct shared_tile *, const char *stage, const char *row, const char *chunk);
/* C text of one element as a real (or int) from, and a statement that puts a real into, the tile: rounded to its type. */
const char *tile_get(struct cuda *, const struct shared_tile *, const char *address);
const char *tile_put(struct cuda *, const struct shared_tile *, const char *address, const char *x);
/* Code that begins to copy the current ranges of `rows` and `columns` of a READ into the tile by all threads of the
 * block: cp_async where type and alignment allow, else element by element, converted. Zeroes beyond extents. Neither
 * announces, commits nor waits; returns whether it used cp_async. */
bool tile_fetch(struct cuda *, struct c_block *, const struct shared_tile *, const char *stage, struct expr read,
                uint32_t rows, uint32_t columns, const char *first_row, const char *first_column);

/* ---- cuda_ring.c ---- */

/* The rings of the READs in contractions of a loop's body (or, with loop NULL, of statements outside of any loop that
 * walks them), placed before code is made. */
void ring_place(struct cuda *);
/* Before the loop: what is fetched ahead. In its body, first thing: waits for this step's tiles, barrier, asks for
 * those of the step stages - 1 later. `step`: C name of the number of this step from 0, `steps` of how many; the
 * coordinate of step s is first + s · by. After it: everything waited for. */
void ring_before(struct cuda *, struct c_block *, const struct tile_statement *loop, const char *steps, const char *first,
                 const char *by);
void ring_step(struct cuda *, struct c_block *, const struct tile_statement *loop, const char *step, const char *steps,
               const char *first, const char *by);
void ring_after(struct cuda *, struct c_block *, const struct tile_statement *loop);
/* The ring of a contraction's operand b, its tile fetched: outside of loops this fetches it now. */
const struct ring *ring_of(struct cuda *, struct c_block *, const struct tile_statement *contract);

/* ---- cuda_contract.c ---- */

/* Is there a way to make this contraction's result as a fragment, FRAGMENT_MATRIX over row_index and s->lanes? Asked
 * before anything is placed. What it declines, plain_contract does. */
bool contract_fits(const struct cuda *, const struct tile_statement *);
/* Can operand a be taken from the registers it was computed in? */
bool contract_from_fragment(const struct cuda *, const struct tile_statement *);
/* The result is a fragment; a is one that contract_from_fragment takes, or a tile; b a tile or a READ. Lanes of a and
 * rows of b beyond the current range of s->index are left out. */
void cuda_contract(struct cuda *, struct c_block *, const struct tile_statement *);

/* Operands a that a loop's contractions may keep in registers: chosen, and whether tiles are among them; then code
 * before the loop that fills them, once their tiles are there. */
bool contract_choose_kept(struct cuda *, const struct tile_statement *loop);
void contract_fill_kept(struct cuda *, struct c_block *, const struct tile_statement *loop);

/* ---- cuda_algebra.c ---- */

/* An expression as a device computes it, with the factors of the values in it. */
struct expr cuda_rewritten(struct cuda *, struct expr);
/* The factor that a reduction's result takes instead of its elements; 0: none does. */
double cuda_factor_past(const struct cuda *, const struct tile_statement *);
/* k, where this statement, first of n that follow each other in a block, is x = x * k and better left to those who
 * read x; else 0. */
double cuda_deferred(struct cuda *, const struct tile_statement *, uint32_t n);

/* ---- cuda_value.c ---- */

/* Is the value at this place of the fragments in registers? */
bool value_at(const struct cuda *, uint32_t value, const struct fragment_at *);
/* The leaf of a value, for the emitter. */
struct term cuda_value_leaf(struct nest *, struct expr);
/* Barriers before the values of an expression that is one for the block are read. */
void cuda_touch(struct cuda *, struct c_block *, struct expr);

/* ---- cuda_ahead.c ---- */

/* Before a loop whose steps have this range but for its low: which loads go ahead, and the first of each. */
void ahead_before(struct cuda *, struct c_block *, const struct tile_statement *loop, const struct current *,
                  const char *number, const char *steps, const char *first, const char *end);
/* Is this LOAD one of them? Then its code: what has come, and asking for the next. */
bool ahead_takes(const struct cuda *, const struct tile_statement *load);
void ahead_step(struct cuda *, struct c_block *, const struct tile_statement *load);

/* ---- cuda_loops.c, cuda_plain.c ---- */

/* One statement that is neither structure nor contraction; neighbours may be taken along: returns how many. */
uint32_t cuda_statements(struct cuda *, struct c_block *, const struct tile_statement *, uint32_t n);
/* A contraction whose result lives in shared memory, element by element. */
void plain_contract(struct cuda *, struct c_block *, const struct tile_statement *);

/* ---- cuda_select.c ---- */

void cuda_select(struct cuda *, struct c_block *, const struct tile_statement *);
/* False, with the reason, for what has a limit. */
bool cuda_select_fits(const struct cuda *, const struct tile_statement *, struct text *reason);

#endif
