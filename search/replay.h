/* replay.h: strategies judged on a recorded landscape, without touching a clock.
 *
 * A landscape is JSON lines: first {"choices": [9, 6, …], "names": ["tile m", …]}, then one line a point,
 * {"point": [0, 3, …], "seconds": 0.0123}, seconds null where it was rejected. Points that are not there are
 * illegal. tune() writes one through tune_options.record.
 */
#ifndef ATTUNE_SEARCH_REPLAY_H
#define ATTUNE_SEARCH_REPLAY_H

#include "base/text.h"
#include "search/strategy.h"

struct landscape {
	struct grid grid; /* its owner is the landscape itself: do not move it */
	struct point_set point;
	VEC(double) seconds; /* of each point; INFINITY: rejected */
	double optimum;      /* the least; INFINITY when there is none */
};

void landscape_init(struct arena *, struct landscape *, int dimensions, const int *choices);
void landscape_add(struct landscape *, const struct point *, double seconds);
/* False, with the line and what is wrong in `reason`, on a text that is no landscape. */
bool landscape_read(struct arena *, struct landscape *, const char *text, size_t size, struct text *reason);

void landscape_print_head(const struct space *, struct text *);
void landscape_print_point(int dimensions, const struct point *, double seconds, struct text *);

/* Runs a strategy as the tuner does, `first` stratified points and then batches of 8, for `evaluations`.
 * fraction[i]: the optimum by the best after i + 1 evaluations, 0 while all were rejected. */
void replay(struct arena *, const struct landscape *, const struct strategy *, uint64_t seed, int first,
            int evaluations, double *fraction);

#endif
