/* prior.h: how long a kernel of a processor may take, before anything was compiled: what a search proposes first. */
#ifndef ATTUNE_SEARCH_PRIOR_H
#define ATTUNE_SEARCH_PRIOR_H

#include "codegen/schedule.h"

/* Seconds on so many threads. It knows the machine's limits, how register blocks feed the multipliers and how many tasks
 * there are to share out, not what caches do, so that it orders candidates and rejects none. */
double prior_seconds(const struct tile_program *, const struct schedule *, const struct machine *, int threads);

#endif
