/* tile_run.h: the interpreter taken apart: some of what a program computes, a phase or a task at a time, watched.
 */
#ifndef ATTUNE_CODEGEN_TILE_RUN_H
#define ATTUNE_CODEGEN_TILE_RUN_H

#include "codegen/tile_walk.h"

/* What must be computed so that loops, narrowing and branches of one phase can be followed. */
struct tile_wanted {
	bool *value, *tensor; /* those that are computed */
	bool *phase;          /* those that have some of it, the followed one included */
};
struct tile_wanted tile_wanted(struct arena *, const struct tile_program *, uint32_t phase);

/* An interpreter in real arithmetic, for tile_walk_phase and tile_walk_task, of a program that tile_check passed. It
 * computes what is wanted, and nothing else; `seen`, which may be NULL, is told of every statement that is no
 * structure. `tensor` as for tile_run, but that only the arguments that are wanted must be there. `reason` gets why a
 * walk failed. */
struct tile_walk *tile_runner(struct arena *, const struct tile_program *, const struct tile_wanted *, double **tensor,
                              void (*seen)(void *, const struct tile_walk *, const struct tile_statement *), void *user,
                              struct text *reason);

#endif
