/* tune.h: which schedule is fastest and right for a cascade on this machine, and which to use meanwhile.
 *
 * The cascade has all ranks bound. Nothing here prints; what was found out is in the results. Everything that
 * a result refers to lives in the arena it was made with, except objects, which the receiver gives back with
 * object_free.
 */
#ifndef ATTUNE_SEARCH_TUNE_H
#define ATTUNE_SEARCH_TUNE_H

#include <signal.h>

#include "cache/cache.h"
#include "codegen/schedule.h"
#include "targets/target.h"

/* What something is tuned for. */
struct tune_place {
	const struct machine *machine;
	const struct target *target; /* one that is not missing */
	enum isa isa;
	int threads;
	bool modelled; /* a device on which nothing is run: it is emulated, or not at hand */
};

/* How a place compiles; `optimise` as in target_options. */
static inline struct target_options tune_target_options(const struct tune_place *p, int optimise)
{
	return (struct target_options){.isa = p->isa, .optimise = optimise, .capability = p->machine->capability};
}

/* The key of a bound cascade in a place. */
struct cache_key tune_key(struct arena *, const struct cascade *, const struct tune_place *);
/* The digest a trial, winner or artifact is kept under: of generated source and how it is compiled. */
const char *tune_source_key(struct arena *, const struct kernel_source *, const struct target *,
                            const struct target_options *);

/* ---- using what is known ---- */

struct tune_choice {
	enum cache_rung rung; /* what answered */
	const char *shape;    /* of the problem the schedule was tuned for; NULL for the default */
	struct schedule schedule;
	const char *text; /* of the schedule */
	struct tile_program *program;
	struct kernel_source source;
	const char *source_key;
	struct object object;          /* stored code, checked; bytes are NULL where it must be compiled */
	struct target_options options; /* the object was compiled with, or is to be */
};
/* Walks the ladder of cache_lookup: exact winner, nearest shape, same arch, default; takes the first schedule
 * that is legal here, renders it, and for the exact winner brings stored code if the rendered source is the
 * one that was tuned. Never fails: the default is always there. `problem` is of the bound cascade. */
void tune_choose(struct arena *, const struct cascade *, const struct problem *, const struct tune_place *,
                 struct cache *, struct tune_choice *);

/* ---- searching ---- */

/* How the caller runs tasks over threads, so that candidates are timed the way they will run. Used in forked
 * children, where no thread of the parent exists: `start` makes what it needs anew. Needed when threads > 1.
 */
struct tune_threads {
	void *(*start)(int threads); /* NULL when it cannot */
	/* Runs tasks [0, tasks) of a phase; scratch[i] is thread i's own. Returns when all are done. */
	void (*run)(void *pool, at_phase *phase, const struct at_args *, long tasks, void *const *scratch);
	void (*stop)(void *pool);
};

struct tune_progress {
	const char *activity;         /* "reference", "measuring" or "modelling", "racing", "publishing" */
	double elapsed, budget;       /* seconds */
	int evaluated, reused;        /* candidates measured now, and taken from stored trials */
	int rejected[TRIAL_STATUSES]; /* of both, by what became of them; [TRIAL_OK] is 0 */
	double best, control;         /* seconds of a run: best so far, default schedule; 0: not known yet */
	double ratio;                 /* control by best, as measured interleaved */
};

struct strategy;
struct tune_options {
	double seconds;                  /* 0: 60 */
	int evaluations;                 /* 0: no limit */
	uint64_t seed;                   /* 0: 1 */
	const struct strategy *strategy; /* NULL: strategy_genetic */
	const struct tune_threads *threads;
	const volatile sig_atomic_t
	        *stop; /* when nonzero the best so far is kept and returned; may be NULL */
	void (*progress)(void *owner, const struct tune_progress *); /* after every candidate; may be NULL */
	/* For tests: the text to compile instead of a candidate's, NULL to leave it; asked for every text
	 * that is compiled. `evaluation` counts candidates from 0, the control. */
	const char *(*plant)(void *owner, struct arena *, int evaluation, const char *schedule,
	                     const struct kernel_source *);
	void (*record)(void *owner, const char *line); /* a line of the landscape (replay.h); may be NULL */
	void *owner;                                   /* of progress, plant and record */
};

struct tune_result {
	struct schedule schedule; /* of the winner: the default when nothing beat it */
	const char *text;
	double best, control; /* seconds of a run, interleaved */
	double ratio;         /* control by best */
	double peak;  /* share of the peak of the threads used and of what it multiplies, probed in the same run; 0: not known */
	double flops; /* counted on the cascade as written: useful multiply-adds, twice */
	double error; /* the largest normalised error of the winner */
	double noise; /* A/A floor: how far two runs of the control differed, as a share */
	int evaluated, reused;
	int rejected[TRIAL_STATUSES];
	const char *first_reason[TRIAL_STATUSES]; /* an example of each, else NULL */
	bool complete;                            /* the search ended by itself: no limit or stop cut it */
	enum cache_result kept;                   /* CACHE_OK: trials, winner and code are in the cache */
	const char *note;                         /* what a person should know besides, else NULL */
};

/* Searches, verifies, keeps. False with the reason when there is nothing to return: the default schedule
 * itself does not compile or is not right, or the machine gives no memory or processes. `cache` may be off.
 */
bool tune(struct arena *, const struct cascade *, const struct tune_place *, struct cache *,
          const struct tune_options *, struct tune_result *, struct text *reason);

#endif
