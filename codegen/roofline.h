/* roofline.h: what a machine's limits allow (Williams, Waterman, Patterson 2009), arithmetic in two parts: products, each
 * at the peak of what it multiplies, and exponentials, which occupy the same units and so come on top. */
#ifndef ATTUNE_CODEGEN_ROOFLINE_H
#define ATTUNE_CODEGEN_ROOFLINE_H

#include "codegen/machine.h"
#include "codegen/tile.h"

struct roofline {
	double products, exps, memory; /* seconds that each takes at the least; 0: nothing of it, or no limit known */
	double seconds;                /* that all of it takes at the least; 0: not known */
	const char *bound;             /* what decides: "multiply-adds", "exponentials", "memory"; NULL: not known */
};

/* Of work by an ISA on so many threads of a processor whose limits were measured. `bytes`: of arguments, each read or
 * written once; as many as the last level of cache holds count as read from there. */
struct roofline roofline(const struct tile_cost *, double bytes, const struct machine *, enum isa, int threads);

#endif
