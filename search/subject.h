/* subject.h: what the tuning loop needs to know of the thing it tunes: points, schedules, sources, and what
 * has to come out. A cascade is one; tests make others. */
#ifndef ATTUNE_SEARCH_SUBJECT_H
#define ATTUNE_SEARCH_SUBJECT_H

#include "search/measure.h"
#include "search/strategy.h"

enum { MAX_WORKLOADS = 4 };
struct subject {
	struct grid grid;
	const struct space *space; /* to head a landscape; may be NULL */
	struct schedule control;   /* the default */
	/* Small and awkward shapes first, the real one last; each has inputs and expected values of the sets
	 * it is checked on. */
	int workloads;
	struct workload *workload[MAX_WORKLOADS];

	struct schedule (*schedule)(void *owner, const struct point *);
	struct point (*nearest)(void *owner, const struct schedule *);
	const char *(*text)(void *owner, struct arena *, const struct schedule *);
	/* False when the text is no schedule, or not legal here. */
	bool (*parse)(void *owner, struct arena *, const char *text, struct schedule *);
	/* False when the schedule is not legal at that workload's shape. */
	bool (*render)(void *owner, struct arena *, const struct schedule *, int workload,
	               struct kernel_source *);
	/* Seconds by the machine model, for choosing what to measure early; NULL: there is no model. */
	double (*estimate)(void *owner, struct arena *, const struct schedule *);
	/* Where nothing is run: seconds by the static model, of a schedule rendered at the real shape, with what its
	 * object takes, one a phase, or NULL; INFINITY when it fits no multiprocessor. NULL: candidates are run. */
	double (*model)(void *owner, struct arena *, const struct schedule *, const struct kernel_source *,
	                const struct resources *);
	/* Why the default is not legal, or has no text, at the real shape; NULL: it is not to be known. */
	const char *(*refused)(void *owner, struct arena *);
	/* Fills in `careful` of the real workload; NULL: it stays unknown. */
	bool (*careful)(void *owner, struct text *reason);
	void (*close)(void *owner); /* gives back what is not in the arena; may be NULL */
	void *owner;
};

/* Of a bound cascade, with expected values where it is run: small shapes by the oracle; the real one by the oracle too where
 * that is quick, else by a float64 kernel, naive and scalar, which is first held against the oracle on the
 * small shapes. NULL with the reason when no expected values can be had. `note`: what could not be checked.
 */
struct subject *subject_new(struct arena *, const struct cascade *, const struct tune_place *,
                            const struct tune_threads *, uint64_t seed, struct text *reason,
                            struct text *note);

#endif
