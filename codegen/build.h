/* build.h: what the files that turn streams and a schedule into a tile program share. Private to
 * tile_build*.c.
 *
 * The program's index variables are the cascade's, with the same ids, followed by those the packing phases
 * add. Expressions are translated from the cascade's pool into the program's: extents become numbers, and a
 * read becomes a tile value once it is loaded. A load is placed at the outermost level where all its indices
 * have ranges: before the walk, at each step of it, or inside the block of rows.
 */
#ifndef ATTUNE_CODEGEN_BUILD_H
#define ATTUNE_CODEGEN_BUILD_H

#include "codegen/bounds.h"
#include "codegen/schedule.h"

#define NO_VALUE UINT32_MAX

struct loaded {
	struct expr expression; /* of the cascade */
	uint32_t lane;
	uint32_t value;
};

struct operand {
	struct expr expression, presence;
	uint32_t value;
};

struct storage {
	uint32_t value;
	bool used; /* by the class being built */
};

/* An integer tensor's values over the rows of a task or the tile of a step, told by their least and largest:
 * for the bounds they are a range like an index's, so an index of the builder's own cascade stands for them.
 */
struct summary {
	struct expr read; /* of the cascade */
	uint32_t index;
	uint32_t low, high; /* values without ranks */
};

struct builder {
	struct arena *arena;
	const struct problem *problem;
	const struct schedule *schedule;
	const struct streams *all;
	struct cascade *c; /* of the streams */
	struct tile_program *p;
	struct expr *presence_of; /* of each equation, once known */
	bool *presence_known;
	uint32_t *tensor; /* program tensor of each cascade tensor, or NO_VALUE */

	/* of the stream being built */
	const struct stream *stream;
	const struct stream_plan *plan;
	const struct stream_schedule *sizes;
	uint32_t number;           /* of the stream */
	bool device;               /* the shape of a device: tasks of whole blocks, aligned tiles */
	int64_t block;             /* rows of the inner loop; 0: there is none */
	uint32_t *running, *fresh; /* value of each cascade tensor: before and after this step */
	uint32_t *count;           /* of a mean: how many elements so far */
	struct expr *packed;       /* a contraction: READ of its packed operand, or NO_EXPR */
	VEC(struct loaded) before, step, inside; /* what is loaded at each level */
	VEC(struct summary) summary;
	struct tile_block *task_code, *step_code, *body;
	bool in_body;                /* translating for the walk's body, not for before or after it */
	bool partial;                /* … of tiles where the predicates must be evaluated */
	struct expr presence;        /* of the carry whose body is being translated */
	VEC(struct operand) operand; /* cascade expressions kept as values, zero outside a presence */
	VEC(struct operand) factor;  /* correction factors kept as values */
	VEC(struct operand) assign;  /* what the body's end assigns: expressions of the program */
	VEC(struct storage) storage; /* values of the body, shared by both classes of tiles */
	struct expr *memo; /* translation of each cascade expression so far, reset when code moves on */
	uint32_t memos;
};

/* expression in the program's pool; reads become loads or values, emitted where they belong. */
struct expr build_translate(struct builder *, struct expr);
/* As a LOAD's expression: reads stay reads. */
struct expr build_load_expression(struct builder *, struct expr);
/* The value that holds a cascade expression free of locals and carries, loaded at the right level with
 * `lane` as its last rank (NO_INDEX: no matter). */
uint32_t build_load(struct builder *, struct expr, uint32_t lane);
/* … as a value of that type. */
uint32_t build_load_as(struct builder *, struct expr, uint32_t lane, enum dtype);
/* cascade_presence, found once. */
struct expr build_presence(struct builder *, uint32_t equation);
/* VALUE(v) */
struct expr build_value(struct builder *, uint32_t v);
uint32_t build_new_value(struct builder *, const char *stem, enum dtype, const uint32_t *index, int n,
                         int64_t rows);
void build_map(struct builder *, struct tile_block *, uint32_t value, struct expr);
void build_forget(struct builder *);
bool build_mentions(const struct builder *, struct expr, uint32_t index); /* false for NO_INDEX */
/* A name nothing in the program has yet. */
const char *build_name(struct builder *, const char *stem, bool lower);
/* … after the first tensor an expression reads. */
const char *build_load_stem(const struct builder *, struct expr);
/* A last rank's capacity: whole panels of the contractions that have it in their lanes. */
int64_t build_padded(const struct builder *, uint32_t index, int64_t capacity);
int64_t build_extent(const struct builder *, uint32_t index);
uint32_t build_work_tensor(struct builder *, struct tile_tensor);

/* Phases that pack operands for the stream, and b->packed. */
void build_packs(struct builder *);
/* The body of the walk for one class of tiles, into b->body. */
void build_body(struct builder *);
/* ---- tile_build_sparse.c: what the predicates say of tiles ---- */

/* Where the walk goes for the rows of a task, and what of a tile matters to a block of rows. */
struct range build_walk_range(struct builder *);
struct range build_tile_range(struct builder *);
/* Everything that must hold for a tile to run without its predicates; over the cascade's pool. */
struct expr build_full_condition(struct builder *);
/* Where a tile may hold something present, over the program's pool; NO_EXPR when the walk's bounds already
 * leave out what is empty, as they do for conjunctions of affine comparisons. */
struct expr build_occupied_condition(struct builder *);
bool build_is_summary(const struct builder *, uint32_t index);
struct expr build_summary(struct builder *, uint32_t index, bool high);
/* A coordinate of every task, other than the tiled rows? */
bool build_is_task(const struct stream_plan *, uint32_t index);

/* x with its absent elements replaced, in a partial tile; as it is in a full one. */
struct expr build_masked(struct builder *, struct expr presence, struct expr x, double absent);

#endif
