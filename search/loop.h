/* loop.h: one search, its state and its steps, for the files that carry it.
 *
 * loop.c goes round: points, candidates, races. evaluate.c takes one candidate from schedule to trial, race.c
 * compares several. modelled.c does both where nothing runs. publish.c compiles the winner for keeping and proves it again.
 */
#ifndef ATTUNE_SEARCH_LOOP_H
#define ATTUNE_SEARCH_LOOP_H

#include "search/ahead.h"
#include "search/subject.h"

struct candidate {
	struct schedule schedule;
	struct point point; /* on the grid, or the nearest to it */
	bool on_grid;
	const char *text;
	const char *source;          /* key */
	int number;                  /* of the evaluation; what `plant` is told */
	struct kernel_source kernel; /* of the real shape; its text is not kept */
	struct object object;        /* of the real shape; bytes NULL until needed */
	struct cache_trial trial;
	double cost; /* its time by the control's; INFINITY: rejected */
	bool reused; /* the trial was stored before this search */
	bool raced;  /* in this search */
};

struct search {
	struct arena *arena;
	struct subject *subject;
	const struct tune_place *place;
	const struct tune_options *options;
	struct cache *cache;
	const struct cache_key *key;
	int64_t session;
	enum cache_result kept; /* the worst of what storing came to */

	const struct strategy *strategy;
	struct strategy_state *state;
	struct point_set met;
	uint64_t random;

	VEC(struct candidate *) all;
	struct candidate *control, *incumbent;
	double control_seconds; /* envelope, from the latest race */
	double best_run;        /* seconds of the quickest first run so far: what limits are made of */
	double control_first;   /* seconds of the control's first run */
	double noise;
	double began, budget, deadline; /* wall clock; deadline: when to stop searching and publish */
	struct ahead ahead;             /* a compilation under way … */
	struct candidate *ahead_of;     /* … and whose; NULL: none */
	struct tune_progress progress;
	const char *first_reason[TRIAL_STATUSES];
};

/* ---- evaluate.c ---- */

enum { OPTIMISE_SEARCH = 1, OPTIMISE_KEEP = 3 };

/* Limits of running objects compiled at `optimise`. */
struct place_limits search_limits(const struct search *, int optimise);
bool search_stopped(const struct search *);
double search_elapsed(const struct search *);
void search_report(struct search *, const char *activity);
/* Notes what storing something came to. */
void search_kept(struct search *, enum cache_result);
/* Counts a rejected candidate. */
void search_reject(struct search *, const struct candidate *);

/* The candidate of a schedule: rendered, with its key; known ones are found again instead. NULL when it is
 * not legal at the real shape. Its number is the next. */
struct candidate *search_candidate(struct search *, const struct schedule *, const struct point *);
/* Compiles and measures a new candidate up to rung 1: fills in trial and cost. */
void search_evaluate(struct search *, struct candidate *);
/* Sees to it that the object of the real shape is at hand; a failure becomes the trial. */
bool search_object(struct search *, struct candidate *);
/* Begins to compile a candidate that is measured after another, where there is a core to spare. */
void search_ahead(struct search *, struct candidate *);
/* Waits for it, if it is under way, and gives the candidate its object or its failure. */
void search_ahead_finish(struct search *);
/* Waits for it and throws away what came of it; allocates nothing. */
void search_ahead_drop(struct search *);
/* Text as it is compiled: what `plant` gives, or the source's own. */
const char *search_text(struct search *, struct arena *, const struct candidate *,
                        const struct kernel_source *);
void search_fail(struct candidate *, enum trial_status, int rung, const char *reason);

/* ---- publish.c ---- */

/* Compiles the incumbent and the default for keeping, proves the winner on all shapes, races them and stores
 * trial, winner and code. Fills in what the result says of it. */
void search_publish(struct search *, bool complete, struct tune_result *);

/* ---- modelled.c: what is known of code for a device without running it ---- */

/* What a candidate's object takes, one a phase, where the target tells. NULL with the candidate failed where it does
 * not compile, or the assembler's log refuses it. */
const struct resources *search_resources(struct search *, struct arena *work, struct candidate *);
/* The others: where the subject has a model and nothing runs. */

/* As search_evaluate: compiled, judged by its log, given the model's seconds. */
void search_model(struct search *, struct candidate *);
/* Makes the best of these the incumbent, if it is better. */
void search_model_best(struct search *, struct candidate *const *, int n);
/* Proves the best in the emulator and keeps it; the incumbent is what is kept, or the control. */
void search_model_publish(struct search *, bool complete, struct tune_result *);

/* ---- race.c ---- */

/* Stores trials that are finished. */
void search_store(struct search *, struct candidate *const *, int n);
/* Makes the incumbent the cache's winner, incomplete, before the search goes on. */
void search_commit(struct search *);
/* Tells the strategy. */
void search_observe(struct search *, const struct candidate *);
/* Races the control with itself: fills in `noise`. */
void search_noise(struct search *);
/* Up to `contenders` of the most promising of some candidates, against the incumbent and the control: all of
 * them are stored with what came of it, and the best is the incumbent, committed. */
void search_race(struct search *, struct candidate *const *, int n, int contenders, int rounds);
/* Rounds for a race of so many kernels: `most` or as many as keep it within its share of the budget; more
 * when the kernels are quick. */
int search_rounds(const struct search *, int kernels, int most);

/* ---- loop.c ---- */

/* The whole search over a subject, which `began` at that wall_seconds. As tune(); of `options`, seconds, seed
 * and strategy are set. Leaves flops and peak of the result alone. */
bool search_run(struct arena *, struct subject *, const struct tune_place *, const struct cache_key *,
                struct cache *, const struct tune_options *, double began, struct tune_result *,
                struct text *reason);

#endif
