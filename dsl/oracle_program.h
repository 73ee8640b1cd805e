/* oracle_program.h: one expression, made ready to be evaluated at many coordinates.
 *
 * A program evaluates its expression for a chunk of consecutive coordinates of one index, the axis, while
 * the others stand still. A step is a node of the expression; one that does not depend on the axis has one
 * value for the chunk. Every loop around the evaluation has a level, outermost first; a step is evaluated
 * again only when a loop it depends on, or one outside that, has moved.
 */
#ifndef ATTUNE_DSL_ORACLE_PROGRAM_H
#define ATTUNE_DSL_ORACLE_PROGRAM_H

#include "dsl/oracle.h"

enum { CHUNK = 256, NO_AXIS = -1 };

/* Values of a step, and which of them are present: element i is at value[i * stride]. */
struct lanes {
	const double *value;
	const unsigned char *present; /* NULL: all; else with the same stride */
	int stride;                   /* 0: one for the whole chunk */
};

struct step {
	enum op op;
	uint32_t symbol;
	int level;
	bool vector; /* has a value a coordinate of the chunk */
	int noperands;
	uint32_t *operand; /* steps */
	struct lanes out;
	double *value; /* its own room */
	unsigned char *present;
	/* READ: a dimension whose coordinate is base + slope * i along the chunk, base being its step's first
	 */
	int64_t slope[MAX_RANKS], stride[MAX_RANKS], extent[MAX_RANKS];
	bool straight; /* all dimensions are so */
};

struct program {
	const struct oracle_tensor *tensor;
	const int64_t *coordinate; /* of every index variable; of the axis, the chunk's first */
	struct step *step;
	uint32_t n;
	int moved; /* the outermost level that has moved since the last evaluation; the evaluator resets it */
};

/* `level[i]` is the level, from 1, of the loop over index variable i; 0 if it stands still. The cascade's ranks
 * are bound. */
struct program *program_compile(struct arena *, struct cascade *, struct expr, const struct oracle_tensor *,
                                const int64_t *coordinate, const int *level, int64_t axis);
/* A guess at the time an element takes in chunks of `width`, for choosing the axis. */
double program_cost(const struct program *, int64_t width);

/* Evaluates for n coordinates of the axis, n <= CHUNK; what comes back lives until the next call. */
struct lanes program_run(struct program *, int n);

#endif
