/* measure.h: candidates run, checked against what has to come out, and timed; all in forked children.
 *
 * A candidate is right when, for every input set whose expected values are known, with outputs poisoned and
 * every buffer flush against a page that faults, once on each side, its outputs are within workload_bound and
 * nothing was written beside them. Times are thread CPU time for one thread, wall clock for several. A run is
 * killed when it takes longer than its limit.
 */
#ifndef ATTUNE_SEARCH_MEASURE_H
#define ATTUNE_SEARCH_MEASURE_H

#include "cache/cache.h"
#include "search/tune.h"
#include "search/workload.h"

/* ---- numbers ---- */

struct statistics {
	int runs;
	double envelope;                           /* mean of the two lowest: what is ranked on */
	double least, quartile, median, deviation; /* deviation: median absolute */
};
struct statistics statistics_of(const double *seconds, int n);

enum { MAX_ROUNDS = 41, MAX_RACERS = 12 };

/* Times of several kernels, round by round; kernel 0 is the control. */
struct race {
	int kernels, rounds;
	double seconds[MAX_RACERS][MAX_ROUNDS];
	int64_t switches[MAX_RACERS]; /* involuntary context switches */
};
/* Drops the rounds in which the control took more than 5% above its own envelope, but keeps at least `keep`.
 */
void race_clean(struct race *, int keep);
/* The control's time by kernel k's: of the envelopes, and an interval from the quartiles of the rounds. */
struct ratio {
	double value, low, high;
};
struct ratio race_ratio(const struct race *, int k);

/* Runs, times, switches and ratio of kernel k, the control's ratio being 1, into a trial. */
void race_trial(const struct race *, int k, struct cache_trial *);

/* ---- running ---- */

/* A kernel as an object, for one workload. */
struct binary {
	const struct workload *workload;
	const struct kernel_source *source; /* its text is not needed */
	const struct object *object;
};

struct place_limits {
	const struct tune_place *place;
	const struct tune_threads *threads; /* may be NULL for one thread */
	int optimise;                       /* the objects were compiled with */
	double seconds;  /* processor time of all threads that a run at the real shape may take, by their
	                    number */
	double hopeless; /* seconds of a first run after which a right candidate is measured no further; 0:
	                    none */
};

/* What became of a binary. */
struct verdict {
	enum trial_status status;
	char reason[200]; /* when it is not OK */
	double error;     /* the largest normalised error seen */
	double first;     /* seconds of the first run of the last binary, which finds all memory untouched */
	int runs;
	double seconds[MAX_ROUNDS], control[MAX_ROUNDS]; /* of the last binary, on the normal set; the
	                                                    control's before each */
	int64_t switches;
};
/* Checks each binary of one candidate (small shapes first, the real one last) on the sets that have expected
 * values; then times the last one at least `repetitions` times, in turns with the control where one is given.
 * A hopeless one is right on what it was checked on, and has no runs. */
void measure_candidate(const struct place_limits *, const struct binary *, int n,
                       const struct binary *control, int repetitions, struct verdict *);

/* Runs them round by round in one child, after one run each to warm up. False when the child did not live to
 * the end: *culprit is the kernel that was running, -1 when it was none, and `reason` says what happened. */
bool measure_race(const struct place_limits *, const struct binary *, int n, int rounds, struct race *,
                  int *culprit, char reason[200]);

/* Runs a binary once on a set and stores its outputs as float64 in `out`, one array an argument. */
bool measure_outputs(const struct place_limits *, const struct binary *, int set, double **out,
                     char reason[200]);

/* Compiles in a child. False with the reason; *timeout when that is that it took too long. The object is the
 * caller's to give back. */
bool measure_compile(const struct tune_place *, const char *text, int optimise, double seconds,
                     struct object *, bool *timeout, char reason[200]);

#endif
