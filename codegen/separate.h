/* separate.h: SEP of theory §2. Writes F(x, r) as Σ_k G_k(x) H_k(r), or says which term forbids it.
 *
 * x is what varies along the streamed index: whatever mentions it. r are the READs of some carries, which
 * do not. Anything else (row scalars, other carries, constants) goes with either side. A maximal part that
 * does not mention the streamed index but does mention r is an H as a whole.
 */
#ifndef ATTUNE_CODEGEN_SEPARATE_H
#define ATTUNE_CODEGEN_SEPARATE_H

#include "codegen/algebra.h"

enum { SEPARATE_LIMIT = 12, ACCUMULATORS_LIMIT = 4 };

struct separation_term {
	struct expr g, h;
};
struct separation {
	int n;
	struct separation_term term[SEPARATE_LIMIT];
	bool split;           /* an exponential was cut in two: its G may be unbounded */
	struct expr offender; /* of a failure: the smallest term that does not separate, else NO_EXPR */
	const char *why;      /* … and what is wrong with it */
};

struct separator {
	struct algebra *algebra;
	uint32_t index;        /* the streamed index */
	const uint32_t *carry; /* tensors that are r */
	uint32_t carries;
	bool approx; /* take casts for the identity */
	struct expr symbol; /* NO_EXPR, or a VALUE that is r too */
};

/* e mentions the streamed index; e reads one of the carries. */
bool separate_streams(const struct separator *, struct expr e);
bool separate_depends(const struct separator *, struct expr e);

/* False with offender and why set when e does not separate into at most ACCUMULATORS_LIMIT terms. Equal H are
 * merged, then equal G. The result has passed the rank probe below. */
bool separate(struct separator *, struct expr e, struct separation *);

/* The numerical rank in float64 of F(x_a, r_b) on a random grid; -1 when e is not finite on any grid tried.
 * A separation into fewer terms than this is wrong. */
int separate_rank(const struct separator *, struct expr e);

#endif
