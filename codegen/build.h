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

/* A tensor's values over the rows of a task or the tile of a step, told by their least and largest: for the bounds
 * they are a range like an index's, so an index of the builder's own cascade, of their kind, stands for them. */
struct summary {
	struct expr read; /* of the cascade */
	uint32_t index;
	uint32_t low, high; /* values without ranks */
};

/* Where parts of a walk leave what one value of theirs held: [part, coordinates of the task …, ranks of the
 * value …]. */
struct parts {
	uint32_t equation;
	uint32_t value, tensor;
	struct expr target; /* READ of the tensor at those */
};

/* A contraction as it is done: outer · Σ a · b, where NO_EXPR is 1. */
struct product {
	struct expr a, b, outer;
	bool direct; /* b is read where it stands */
	enum dtype dtype;   /* of its result, and of b where that is a value */
	enum dtype operand; /* of a */
};

/* The lists of a stream's tiles: tile_build_list.c. */
struct list {
	uint32_t tile, run;         /* indices: tile of rows, run of a list */
	uint32_t count, from, upto; /* tensors: runs of a list; of each the granule it begins at; the one it ends before,
	                               and its kind: tile_build_list.c */
	struct expr x[MAX_RANKS];   /* their coordinates: tasks, tile, run */
	int n;                      /* but for the run */
	uint32_t turn;              /* index: of a task's place in the order */
	uint32_t work, order;       /* tensors: granules of a list; the lists' tiles, most work first */
};

/* The run of a list that the program is at. */
struct run {
	struct range at;   /* of the walked index */
	struct expr full;  /* is it? */
	struct expr some;  /* is it walked by some blocks of the task's rows only? NO_EXPR: never */
	struct range rows; /* … by these */
};

struct builder {
	struct arena *arena;
	const struct problem *problem;
	const struct schedule *schedule;
	const struct streams *all;
	struct cascade *c; /* of the streams */
	struct tile_program *p;
	bool *passes_nan;         /* of each equation: streams_pass_nan */
	struct expr *presence_of; /* of each equation, once known */
	bool *presence_known;
	uint32_t *tensor; /* program tensor of each cascade tensor, or NO_VALUE */

	/* of the stream being built */
	const struct stream *stream;
	const struct stream_plan *plan;
	const struct stream_schedule *sizes;
	uint32_t number;           /* of the stream */
	bool device;               /* the shape of a device: tasks of whole blocks, aligned tiles */
	bool across;               /* what has the tiled row index has it last: struct stream_schedule */
	bool single;               /* the walk is one tile, and nothing is carried: tile_build_single.c */
	int64_t block;             /* rows of the inner loop; 0: there is none */
	struct list list;
	struct tile_block page_code; /* loads that find the page of a step */
	struct expr page_there;    /* the page exists; NO_EXPR: any does */
	uint32_t inner;            /* while the body of a walk that has one is built, the plan's inner index; else NO_INDEX */
	int64_t apart;             /* rows of the blocks, while what only some of a task's see is built; else 0 */
	uint32_t granule;          /* index that stands for the walked one while a list is made; or NO_INDEX */
	uint32_t part;             /* index of the program: parts of the walk that are tasks; or NO_INDEX */
	uint32_t *running, *fresh; /* value of each cascade tensor: before and after this step */
	struct expr *factor_of;    /* of each in `fresh`: what multiplies it, over the program's pool; or NO_EXPR */
	uint32_t *count;           /* of a mean: how many elements so far */
	struct expr *packed;       /* a contraction: READ of its packed operand, or NO_EXPR */
	VEC(struct loaded) before, step, inside; /* what is loaded at each level */
	VEC(struct summary) summary;
	struct tile_block *task_code, *step_code, *body;
	bool in_body;                /* translating for the walk's body, not for before or after it */
	bool partial;                /* … of tiles where the predicates must be evaluated */
	struct expr presence;        /* of the carry whose body is being translated */
	VEC(struct operand) operand; /* cascade expressions kept as values, zero outside a presence */
	VEC(struct operand) factor, part_factor; /* correction factors kept as values; of a part that is joined */
	VEC(struct operand) assign;  /* what the body's end assigns: expressions of the program */
	VEC(struct storage) storage; /* values of the body, shared by both classes of tiles */
	VEC(struct parts) parts;     /* what the carries of a part are stored in */
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
/* Does an expression read a tensor along an index, as it lies? */
bool build_reads_along(const struct builder *, struct expr, uint32_t index);
/* cascade_presence, found once. */
struct expr build_presence(struct builder *, uint32_t equation);
/* VALUE(v) */
struct expr build_value(struct builder *, uint32_t v);
uint32_t build_new_value(struct builder *, const char *stem, enum dtype, const uint32_t *index, int n,
                         int64_t rows);
/* A value of the body. Both classes of tiles use the same storage: the k-th value of a shape in one is the k-th
 * in the other. */
uint32_t build_body_value(struct builder *, const char *stem, enum dtype, const uint32_t *index, int n);
void build_map(struct builder *, struct tile_block *, uint32_t value, struct expr);
void build_forget(struct builder *);
bool build_mentions(const struct builder *, struct expr, uint32_t index); /* false for NO_INDEX */
/* A name nothing in the program has yet. */
const char *build_name(struct builder *, const char *stem, bool lower);
/* … after the first tensor an expression reads. */
const char *build_load_stem(const struct builder *, struct expr);
/* A value over the target's indices, as a value that ends as the target does: itself, or, where that ends in another
 * index than the rows it has last, computed and turned. */
struct expr build_turned(struct builder *, struct tile_block *, const uint32_t *target, int n, struct expr);
/* Do tasks have parts of the wide index? */
bool build_shares_wide(const struct builder *);
/* A last rank's capacity: whole panels of the contractions that have it in their lanes. */
int64_t build_padded(const struct builder *, uint32_t index, int64_t capacity);
int64_t build_extent(const struct builder *, uint32_t index);
uint32_t build_work_tensor(struct builder *, struct tile_tensor);

/* Equations and predicate become what they are in a plan by groups, tile_build_group.c. The equations as they were. */
struct equation *build_by_group(struct builder *);

/* ---- tile_build_page.c ---- */

/* A READ of a tensor in pages of the walked index, for a step that lies in one: what is read to find the page, and that
 * there is one, is for build_steps to say, which follows. */
struct expr build_page(struct builder *, struct expr read, int64_t page);
/* A contraction's statement, or where it takes steps through the tile, those; the sum so far is ready for them then. */
void build_steps(struct builder *, int contract, struct tile_statement);

/* The statement of a stream that is a selection. */
void build_selection(struct builder *, struct tile_block *);
/* Phases that pack operands for the stream, and b->packed. */
void build_packs(struct builder *);
/* The body of the walk for one class of tiles, into b->body. */
void build_body(struct builder *);
/* ---- tile_build_product.c ---- */

/* How the stream's k-th contraction is done. */
struct product build_product(const struct builder *, int k);
bool build_is_carried(const struct builder *, uint32_t equation);
/* Is nothing in it computed in this stream, so that it can be loaded whole? */
bool build_is_input(const struct builder *, struct expr);

/* ---- tile_build_sparse.c: what the predicates say of tiles ---- */

/* Where the walk goes for the rows of a task, and what of a tile matters to a block of rows. */
struct range build_walk_range(struct builder *);
struct range build_tile_range(struct builder *);
/* Everything that must hold for a tile to run without its predicates; over the cascade's pool. */
struct expr build_full_condition(struct builder *);
/* Where a tile may hold something present, over the program's pool; NO_EXPR when the walk's bounds already
 * leave out what is empty, as they do for conjunctions of affine comparisons. */
struct expr build_occupied_condition(struct builder *);
/* ---- tile_build_summary.c: what a predicate's tensors hold ---- */

/* The predicate with an index, whose ends the program computes, for each read that follows the rows, or, where `walked`,
 * the walked index. */
struct expr build_summarised(struct builder *, struct expr predicate, bool walked);
/* The range that the block's first statement has narrowed to panels ends with a vector at once, and begins with one after
 * the last contraction that has the walked index in its lanes: only those begin with a panel. Contractions over the index
 * take no more coordinates than there are. */
void build_narrow_to_vectors(struct builder *, struct tile_block *);
bool build_is_summary(const struct builder *, uint32_t index);
struct expr build_summary(struct builder *, uint32_t index, bool high);
/* A coordinate of every task, other than the tiled rows? */
bool build_is_task(const struct stream_plan *, uint32_t index);

/* ---- tile_build_list.c: lists of what is not empty ---- */

/* The phases that make a stream's lists. */
void build_list(struct builder *);
/* The order of the tasks along the rows, most work first. */
struct expr build_order(struct builder *);
/* The ends of the granule that stands for the walked index. */
struct expr build_granule_end(struct builder *, bool high);
/* The loop over the runs of the current rows' list, its body begun. */
struct tile_statement build_runs(struct builder *, struct run *);

/* ---- what phases of a stream are made of, for tile_build_split.c ---- */

void build_append(struct builder *, struct tile_block *to, const struct tile_block *from);
uint32_t *build_no_values(struct builder *); /* NO_VALUE for each cascade tensor */
/* The coordinates of the stream's tasks; a split stream's parts before its rows. */
void build_tasks(struct builder *, struct tile_phase *, bool parts);
/* Carries begin as what their reductions are over nothing. */
void build_identities(struct builder *, struct tile_block *);
/* The body of one class of tiles, with what it stores; what of a tile matters to a block of rows. */
struct tile_block build_class(struct builder *, bool partial, const struct range *);
/* for index by step over its range: code */
struct tile_block build_in_steps(struct builder *, uint32_t index, int64_t step, struct tile_block code);
/* What follows the walk: equations over finished carries, stores. */
void build_after(struct builder *, struct tile_block *);
/* Where tasks differ in coordinates that the equation lacks, the condition that leaves one of them; or NO_EXPR. */
struct expr build_once(struct builder *, const struct equation *);
struct tile_block build_guarded(struct builder *, struct expr condition, struct tile_block);
/* What the carried tensor `self` contributes to its new value, in terms of b->running and b->fresh. */
struct expr build_corrected(struct builder *, const struct carry *, uint32_t self);
/* Does a later carry's correction look at this one's old value, or at its accumulator? */
bool build_old_is_needed(const struct builder *, uint32_t carry);
/* The new value of a carried mean or argmax when the rest gave `sum` over `count` elements, or `most` first met at
 * coordinate `where`; what is kept beside it is assigned at the end. */
struct expr build_joined_mean(struct builder *, const struct equation *, struct expr sum, struct expr count);
struct expr build_joined_argmax(struct builder *, const struct equation *, struct expr most, struct expr where);
/* A value of the body, over the rows and what else is in `from` but tasks, `lane` last. */
uint32_t build_mapped(struct builder *, const char *stem, const uint32_t *from, int n, uint32_t lane, struct expr);

/* ---- tile_build_split.c: parts of the walk as tasks of their own ---- */

/* Cuts a walk's bounds down to the share of the task's part: whole tiles. */
void build_share(struct builder *, struct tile_statement *walk);
/* Stores the carries of a part, and builds the phase that joins the parts and runs what comes after. */
void build_parts(struct builder *, struct tile_block *);
void build_join(struct builder *);

/* ---- tile_build_single.c ---- */

/* Is the walk one tile, which every row sees whole? */
bool build_is_single(struct builder *);
void build_single(struct builder *, struct tile_block *);
/* Room for the rows of what comes after the walk: those of a task, or of a block. */
int64_t build_after_rows(const struct builder *);

/* ---- tile_twine.c ---- */

/* Orders what stands before contractions whose operand is made while it is used. */
void build_twines(struct builder *, struct tile_block *);

/* ---- tile_units.c ---- */

/* Exponentials of a finished program become powers of two, where what they are of can be kept times log2 e. */
void build_units(struct tile_program *);

/* x with its absent elements replaced, in a partial tile; as it is in a full one. */
struct expr build_masked(struct builder *, struct expr presence, struct expr x, double absent);

#endif
