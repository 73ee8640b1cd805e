/* tile_walk.h: the structure of a tile program, run: tasks, loops, narrowing and branches, with what a
 * statement does left to the caller. The interpreter and the cost model walk the same way by this.
 */
#ifndef ATTUNE_CODEGEN_TILE_WALK_H
#define ATTUNE_CODEGEN_TILE_WALK_H

#include "codegen/tile.h"

struct tile_range {
	int64_t low, high; /* both inclusive; high < low: empty */
};

struct tile_walk {
	const struct tile_program *p;
	struct arena *arena;
	struct tile_range *range; /* current, one an index */
	double *at;               /* coordinates INDEX means, one an index; LOW in bounds and conditions */
	/* LOAD, MAP, REDUCE, CONTRACT, SELECT and STORE; false ends the walk. */
	bool (*statement)(struct tile_walk *, const struct tile_statement *);
	/* A block has ended, with all that was defined in it; may be NULL. */
	void (*leave)(struct tile_walk *, uint32_t mark);
	uint32_t (*enter)(struct tile_walk *);
	double (*value)(struct tile_walk *, uint32_t value); /* at `at` */
	double (*read)(struct tile_walk *, uint32_t tensor, int n, const double *coordinate);
	/* A task, which stands for `share` tasks, and a step of a FOR begin; may be NULL. */
	void (*task)(struct tile_walk *, double share);
	void (*step)(struct tile_walk *, const struct tile_statement *);
	int64_t sample; /* at most so many tasks of a phase, spread over all of them; 0: every one */
	/* A bound or condition that is a NaN: take the whole range, of a walk by single coordinates the first, and the
	 * second branch, instead of failing. */
	bool lenient;
	struct text *reason;
	void *owner;
	struct tile_nodes *nodes; /* private: the nodes of each expression met so far, by id */
	double *number;           /* private: values of nodes */
};

/* For walks without data: values and tensors are not known, NaN. */
double tile_no_value(struct tile_walk *, uint32_t value);
double tile_no_read(struct tile_walk *, uint32_t tensor, int n, const double *coordinate);

/* Runs all phases, or one. False when a statement said so, or a bound has no value (with a reason). */
bool tile_walk(struct tile_walk *);
bool tile_walk_phase(struct tile_walk *, uint32_t phase);
/* … or one task of a phase: of each of its task indices, in order, the number of the step along it. */
bool tile_walk_task(struct tile_walk *, uint32_t phase, const int64_t *step);
/* Value of an expression at w->at. */
double tile_evaluate(struct tile_walk *, struct expr);

/* Visits the coordinates of n indices in their current ranges, the last fastest:
 *     for (bool more = tile_first(w, n, index); more; more = tile_next(w, n, index)) … w->at … */
bool tile_first(struct tile_walk *, int n, const uint32_t *index);
bool tile_next(struct tile_walk *, int n, const uint32_t *index);

/* What one evaluation of an expression costs: operations on reals, transcendental functions, bytes of tensors. */
struct tile_price {
	bool known; /* for whoever keeps prices */
	double flops, exps, bytes;
};
struct tile_price tile_price(const struct tile_program *, struct expr);

/* Fibers that a SELECT goes along, and coordinates of its result in each. */
double tile_fibers(const struct tile_walk *, const struct tile_statement *, double *results);

static inline int64_t tile_count(const struct tile_walk *w, uint32_t index)
{
	int64_t n = w->range[index].high - w->range[index].low + 1;
	return n > 0 ? n : 0;
}

#endif
