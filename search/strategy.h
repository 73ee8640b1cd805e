/* strategy.h: how a search picks the points it measures. One strategy, one file, one line in strategies[].
 *
 * A strategy sees a grid: dimensions with a number of choices each, and which points are legal. It proposes
 * points and hears their cost; it knows no clock, no kernel and no cache, so it runs the same on a recorded
 * landscape (replay.h). Given a seed it is deterministic. All its memory is in the arena of `start`.
 */
#ifndef ATTUNE_SEARCH_STRATEGY_H
#define ATTUNE_SEARCH_STRATEGY_H

#include "codegen/schedule.h"

struct grid {
	int dimensions;
	int choices[MAX_DIMENSIONS]; /* at least 1 */
	bool (*legal)(void *owner, const struct point *);
	void *owner;
};

struct strategy_state;
struct strategy {
	const char *name;
	struct strategy_state *(*start)(struct arena *, const struct grid *, uint64_t seed);
	/* Fills in up to n legal points that were neither proposed nor observed before; returns how many. 0:
	 * it finds no more. */
	int (*propose)(struct strategy_state *, struct point *, int n);
	/* The cost of a point, smaller is better; INFINITY: it was rejected. Also of points it never
	 * proposed. */
	void (*observe)(struct strategy_state *, const struct point *, double cost);
};
extern const struct strategy strategy_genetic, strategy_random, strategy_exhaustive;
extern const struct strategy *const strategies[];       /* NULL-terminated, the default first */
const struct strategy *strategy_find(const char *name); /* NULL when there is none */

/* ---- what strategies are made of ---- */

/* splitmix64: small, seedable, the same everywhere. */
uint64_t random_next(uint64_t *state);
/* Uniform in [0, n), n > 0. */
int random_below(uint64_t *state, int n);

/* The points met so far, by content. */
struct point_set {
	struct arena *arena;
	int dimensions;
	uint32_t *slot, slots; /* open addressing, a power of two; 0: free, else position + 1 */
	VEC(struct point) point;
};
void point_set_init(struct point_set *, struct arena *, int dimensions);
/* Position of the point, or -1. */
int point_set_find(const struct point_set *, const struct point *);
/* Position, added when new. */
int point_set_add(struct point_set *, const struct point *);

/* Up to n legal points not in `met`, which they join: each dimension's choices appear about equally often. */
int sample_stratified(const struct grid *, struct point_set *met, uint64_t *random, struct point *, int n);
/* One legal point not in `met`, which it joins, uniform; false when none was found in a bounded number of
 * tries. */
bool sample_random(const struct grid *, struct point_set *met, uint64_t *random, struct point *);

#endif
