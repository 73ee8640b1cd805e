/* tile_truth.h: which pairs of a row and a walked coordinate are present, by the definition: the oracle
 * evaluates the stream's predicates an element at a time. Nothing of bounds, tiles or code is asked.
 */
#ifndef ATTUNE_CODEGEN_TILE_TRUTH_H
#define ATTUNE_CODEGEN_TILE_TRUTH_H

#include "codegen/plan.h"
#include "dsl/oracle.h"

/* Marks the tensors of the streams' cascade that presence in this stream depends on: those it reads, and all
 * that they are computed from. */
void truth_needs(const struct streams *, const struct stream *, bool *tensor);

/* Does presence in this stream differ between coordinates of an index? */
bool truth_depends(const struct streams *, const struct stream *, uint32_t index);

struct truth;
/* `data`: one entry a tensor of the streams' cascade; inputs that truth_needs names are filled, what the
 * cascade computes of it is computed here, once, and kept there. NULL with a reason when that is too much. */
struct truth *truth_new(struct arena *, const struct streams *, const struct stream_plan *,
                        struct oracle_tensor *data, const char **why);

/* At the coordinates of all other indices: any[m] where something of the stream is present at m, all[m] where
 * everything is. `moved`: other coordinates than the row's have changed since the last call. */
void truth_row(struct truth *, const int64_t *coordinate, bool moved, unsigned char *any, unsigned char *all);

#endif
