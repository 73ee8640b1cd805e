/* bounds.h: what a predicate says of a box of coordinates (theory §3).
 *
 * A box gives each index variable an inclusive range by expressions: LOW(i) and HIGH(i) for an index with a
 * current range, or one coordinate. All results are expressions over those, so they serve the tile program,
 * generated code and tests alike. Everything is sound: never calls a tile full that is not, or empty that
 * is not.
 */
#ifndef ATTUNE_CODEGEN_BOUNDS_H
#define ATTUNE_CODEGEN_BOUNDS_H

#include "dsl/cascade.h"

/* The range of `index` outside which the predicate is false for every coordinate of the other ranged
 * indices: low inclusive, high exclusive. NO_EXPR where the predicate bounds it on neither side. Exact for
 * conjunctions of comparisons affine in the index; for a disjunction the hull; anything else, unbounded.
 * `ranged`: which index variables have ranges; others stand for single coordinates. */
struct range {
	struct expr low, high;
};
struct range bounds_of(struct cascade *, struct expr predicate, uint32_t index, const uint32_t *ranged, int n);

/* The same of what is left in the current range of `index`, LOW(index) to HIGH(index): of a disjunction, what has
 * nothing there does not widen the hull. */
struct range bounds_within(struct cascade *, struct expr predicate, uint32_t index, const uint32_t *ranged, int n);

/* A bool expression over LOW and HIGH that implies the predicate holds on the whole box; the number 0 when
 * nothing can be said, 1 when the predicate is NO_EXPR. */
struct expr bounds_full(struct cascade *, struct expr predicate, const uint32_t *ranged, int n);
/* … that implies it holds nowhere in the box. */
struct expr bounds_empty(struct cascade *, struct expr predicate, const uint32_t *ranged, int n);

#endif
