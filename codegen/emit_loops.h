/* emit_loops.h: what the files share that emit the loops of a group: emit_loops.c, emit_column.c. */
#ifndef ATTUNE_CODEGEN_EMIT_LOOPS_H
#define ATTUNE_CODEGEN_EMIT_LOOPS_H

#include "codegen/emit.h"

enum { UNROLL = 4 };

static inline bool assigns(const struct tile_statement *s)
{
	return s->kind != TILE_STORE;
}

static inline struct term bare(const char *name, enum kind kind, bool vector)
{
	return (struct term){name, kind, vector, true};
}

/* A reduction on its way: what partial results are kept in. */
struct fold {
	enum reduction reduce;
	enum kind kind; /* of the accumulator: BOOL for any and all */
	bool keeps_nan; /* which costs a maximum of vectors two instructions more */
	const char *accumulator, *spare[UNROLL - 1];
};

enum kind emit_value_kind(const struct emitter *, uint32_t value);
struct fold emit_fold_of(const struct emitter *, const struct tile_statement *);
const char *emit_vector_identity(struct emitter *, const struct fold *);
/* x joined with copy 0 … of a partial result. */
void emit_fold_step(struct nest *, const struct fold *, int copy, const char *x, bool vector);
/* The finished scalar, assigned. */
void emit_fold_end(struct nest *, struct c_block *, const struct fold *, const struct tile_statement *, bool vector);
void emit_assign_lanes(struct nest *, uint32_t value, const char *text);
void emit_lane_statement(struct nest *, const struct tile_statement *, const struct fold *, int copy, const char *live);
/* One vector of the group's statements. Names of its temporaries are free again after emit_end_names, but for those of
 * the row. */
void emit_lane_body(struct nest *, struct c_block *, const struct group *, const struct fold *, int copy);
void emit_end_names(struct nest *, uint32_t names);
/* What is one number a row of a block is a vector over the rows to whoever reads it next. Stored a row at a time, the
 * processor would wait until all of them are in the cache before it reads the vector: they are joined in a register. */
void emit_begin_together(struct nest *, struct c_block *, const struct group *);
/* … which is stored. */
void emit_end_together(struct nest *, struct c_block *);
void emit_column(struct nest *, const struct group *);
/* Its parts: values of the lanes that are the same all along `inner`, in registers before it; `copies` steps along that, from
 * the coordinate that it has a name for, with their lines interleaved; what was reduced. */
void emit_column_hold(struct nest *, const struct group *, uint32_t inner);
void emit_column_steps(struct nest *, struct c_block *, const struct group *, uint32_t inner, const struct fold *, int copies);
void emit_column_end(struct nest *, const struct group *, const struct fold *);

#endif
