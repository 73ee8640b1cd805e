/* tile_map.h: which pairs of a row and a walked coordinate the kernel of a stream visits, against those that
 * are present.
 *
 * What the kernel does is read off its tile program, whose loops, narrowing and branches are run
 * (tile_run.h): the map cannot disagree with the code. What is present is evaluated an element at a time
 * (tile_truth.h). A pair is visited plainly where the code evaluates no predicate. Of tasks that neither
 * predicate nor program tells apart one is looked at, and of those it does, equal ones are told together.
 */
#ifndef ATTUNE_CODEGEN_TILE_MAP_H
#define ATTUNE_CODEGEN_TILE_MAP_H

#include "codegen/schedule.h"
#include "codegen/tile_run.h"
#include "codegen/tile_truth.h"

/* A map has at most so many cells unless their size is given, and then at most MAP_CELLS. */
enum { MAP_ROWS = 40, MAP_COLUMNS = 80, MAP_CELLS = 1 << 18, MAP_HEADS = 64, MAP_EXACT = 1 << 16 };

struct tile_map_options {
	int64_t rows,
	        columns; /* of a cell; 0: the least multiple of what the code takes at a time that fits */
	int64_t limit;   /* pairs looked at, about; beyond it tiles of rows are sampled. 0: 2^26 */
	void (*progress)(void *user, double share);
	void *user;
};

struct map_cell {
	int64_t pairs, present, certain; /* certain: everything of the stream is present there */
	int64_t visited, plain;
	int64_t missed, admitted,
	        twice; /* present but not visited; absent but visited plainly; visited again */
};

/* How tiles of the schedule's size divide into classes. */
struct map_classes {
	int64_t empty, partial, full;
};

/* Tasks with the same map. */
struct map_head {
	VEC(int64_t) task;     /* their numbers among all that were looked at: see tile_map */
	struct map_cell total; /* of one of them; of what was looked at */
	struct map_classes kernel, truth;
	int64_t sparse_rows;   /* rows where nothing is present */
	struct map_cell *cell; /* [rows][columns]; no pairs: not looked at */
	unsigned char *exact;  /* [rows][walked] of MAP_BIT_…; NULL when there are more than MAP_EXACT */
	uint64_t digest;       /* of all of it */
};
enum { MAP_BIT_PRESENT = 1, MAP_BIT_VISITED = 2, MAP_BIT_PLAIN = 4, MAP_BIT_TWICE = 8, MAP_BIT_CERTAIN = 16 };

struct tile_map {
	const struct stream_plan *plan;
	int64_t rows, walked;          /* extents */
	int64_t row_tile, walked_tile; /* of the schedule, which may tell less than a tile apart */
	int64_t row_step, walked_step; /* what the code takes at a time where it takes least */
	int64_t cell_rows, cell_columns;
	int64_t map_rows, map_columns; /* cells */
	/* Coordinates that tell tasks apart: task k has, counted in mixed radix, the last fastest, number k.
	 */
	int ntold;
	uint32_t told[MAX_RANKS];
	int64_t told_extent[MAX_RANKS];
	int64_t tasks;         /* of them all */
	int64_t looked;        /* how many were looked at: every (tasks / looked)-th */
	int64_t alike;         /* tasks that each of them stands for */
	double share;          /* of the rows, that was looked at */
	struct map_cell total; /* of all tasks, in pairs that were looked at */
	VEC(struct map_head) head;
	bool sound; /* nothing missed, admitted or visited twice */
};

/* The phase of the program that walks a stream; -1: it has none of its own. */
int tile_map_phase(const struct tile_program *, uint32_t stream);
/* Marks the tensors of the streams' cascade that a map needs data of. */
void tile_map_needs(struct arena *, const struct streams *, uint32_t stream, const struct tile_program *,
                    bool *tensor);
/* NULL with a reason when a named limit is passed. `data` as for truth_new, with what tile_map_needs marks.
 * `program` has passed tile_check. */
struct tile_map *tile_map(struct arena *, const struct streams *, const struct stream_plan *,
                          const struct stream_schedule *, const struct tile_program *,
                          struct oracle_tensor *data, const struct tile_map_options *, const char **why);

/* What is looked at of a phase: the statements that stand for the blocks which work on a tile. In
 * tile_leaves.c. */
struct tile_leaf {
	const struct tile_statement *statement;
	bool masked; /* its block evaluates predicates */
};
struct tile_leaves {
	VEC(struct tile_leaf) leaf;
	int64_t row_step, walked_step; /* the least steps of loops and narrowing around them; 0: none */
};
struct tile_leaves tile_leaves(struct arena *, const struct tile_program *, uint32_t phase, uint32_t rows,
                               uint32_t walked, const struct tile_wanted *);

#endif
