/* cuda_loops.h: what the loops of the CUDA emitter share, over fragments (cuda_loops.c) and over shared memory
 * (cuda_plain.c). */
#ifndef ATTUNE_CODEGEN_CUDA_LOOPS_H
#define ATTUNE_CODEGEN_CUDA_LOOPS_H

#include "codegen/cuda.h"

/* ---- cuda_value.c ---- */

enum kind cuda_kind(const struct cuda *, uint32_t value);
const char *cuda_c_type(enum kind);
/* An array's element: "x1[i][j][half * 2 + odd]". */
const char *fragment_element(struct cuda *, uint32_t value, const struct fragment_at *);
/* Address of a value's element in shared memory at the nest's coordinates. */
const char *cuda_shared_element(struct cuda *, const struct nest *, uint32_t value);
/* Barriers before the values of an expression are read in these loops. */
void cuda_touch_in(struct cuda *, struct c_block *, struct expr, const struct cuda_loops *);
/* Counts what a statement mentions, whose expression is computed as x. */
void cuda_count(struct nest *, const struct tile_statement *, struct expr x);
/* A STORE's element, where the condition holds (NULL: always). */
void cuda_store(struct nest *, const struct tile_statement *, struct expr x, const char *condition);

/* ---- cuda_fold.c ---- */

struct fold {
	enum kind kind; /* of the accumulator: BOOL for any and all */
	const char *name, *accumulator;
	double factor; /* of the result; 0: none */
};

struct fold fold_of(struct cuda *, const struct tile_statement *);
/* Declares the accumulator. */
void fold_begin(struct cuda *, struct c_block *, const struct fold *, enum reduction);
/* `live`: the condition that the element counts, or NULL. */
void fold_step(struct cuda *, struct c_block *, const struct fold *, enum reduction, const char *x, const char *live);
/* The accumulators of the threads that share a row ("quad") or a lane ("column"), joined. */
const char *fold_across(struct cuda *, const struct fold *, const char *threads);
/* A folded number as the value's kind. */
const char *fold_result(struct nest *, const struct fold *, const char *folded, enum kind);

/* ---- cuda_plain.c ---- */

/* A statement over shared memory: MAP, REDUCE, LOAD or STORE. */
void plain_statement(struct cuda *, struct c_block *, const struct tile_statement *, const struct cuda_loops *);

#endif
