/* roofline.h: what a machine's limits allow (Williams, Waterman, Patterson 2009), arithmetic in two parts: products, each
 * at the peak of what it multiplies, and exponentials, which come on top of them; where they can be made between the
 * multiply-adds (schedule_twine.c), only with what they multiply themselves. */
#ifndef ATTUNE_CODEGEN_ROOFLINE_H
#define ATTUNE_CODEGEN_ROOFLINE_H

#include "codegen/machine.h"
#include "codegen/tile.h"

struct roofline {
	double products, exps, memory; /* seconds that each takes by itself at the least; 0: nothing of it, or no limit known */
	double beside;                 /* that exponentials add to products where they are made between them; 0: they are not */
	double seconds;                /* that all of it takes at the least; 0: not known */
	const char *bound;             /* what decides: "multiply-adds", "exponentials", "memory"; NULL: not known */
};

/* Of work by an ISA on so many threads of a processor whose limits were measured. `bytes`: of arguments, each read or
 * written once; as many as the last level of cache holds count as read from there. */
struct roofline roofline(const struct tile_cost *, double bytes, const struct machine *, enum isa, int threads);

/* Exponentials a second that one core makes between multiply-adds, as far as multiplications go; 0: none. `narrow`: of which
 * 13 bits are right. */
double roofline_beside(const struct machine_limits *, enum isa, bool narrow);

#endif
