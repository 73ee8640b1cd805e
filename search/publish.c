#include <math.h>
#include <string.h>

#include "search/loop.h"

enum { FINAL_REPETITIONS = 3, PUBLISH_ROUNDS = 11 };
static const double compile_limit = 60;

/* A candidate compiled as it will be kept. */
struct kept {
	struct candidate *candidate;
	struct kernel_source kernel[MAX_WORKLOADS];
	struct object object[MAX_WORKLOADS]; /* bytes NULL where it is not legal */
	struct binary binary[MAX_WORKLOADS];
	int n;
	const char *source;
	struct verdict verdict;
};

static void drop(struct kept *k)
{
	for (int i = 0; i < MAX_WORKLOADS; i++)
		object_free(&k->object[i]);
}

/* Compiles for all workloads, or the real one only, and proves what was compiled. */
static bool make(struct search *s, struct arena *work, struct candidate *c, bool all, struct kept *k)
{
	const int real = s->subject->workloads - 1;
	const struct target_options options = tune_target_options(s->place, OPTIMISE_KEEP);
	const struct place_limits limits = search_limits(s, OPTIMISE_KEEP);
	bool timeout;
	*k = (struct kept){.candidate = c};
	for (int i = all ? 0 : real; i <= real; i++) {
		if (!s->subject->render(s->subject->owner, work, &c->schedule, i, &k->kernel[i]))
			continue;
		const char *text = search_text(s, work, c, &k->kernel[i]);
		if (!measure_compile(s->place, text, OPTIMISE_KEEP, compile_limit, &k->object[i], &timeout,
		                     k->verdict.reason))
			return false;
		k->binary[k->n++] = (struct binary){s->subject->workload[i], &k->kernel[i], &k->object[i]};
	}
	k->source =
	        arena_strdup(s->arena, tune_source_key(work, &k->kernel[real], s->place->target, &options));
	measure_candidate(&limits, k->binary, k->n, NULL, FINAL_REPETITIONS, &k->verdict);
	return k->verdict.status == TRIAL_OK;
}

/* The trial of what is kept: kernel `at` of a race, or, without one, its own repetitions. */
static struct cache_trial trial_of(const struct kept *k, const struct race *race, int at)
{
	struct cache_trial t = {
	        .schedule = k->candidate->text,
	        .source = k->source,
	        .status = TRIAL_OK,
	        .rung = 2,
	        .verified = true,
	        .error = fmax(k->verdict.error, k->candidate->trial.error),
	};
	struct race own = {.kernels = 1, .rounds = k->verdict.runs, .switches = {k->verdict.switches}};
	memcpy(own.seconds[0], k->verdict.seconds, sizeof k->verdict.seconds);
	race_trial(race ? race : &own, race ? at : 0, &t);
	return t;
}

static void keep(struct search *s, const struct kept *k, const struct cache_trial *t, bool complete)
{
	const int real = s->subject->workloads - 1;
	search_kept(s, cache_put_trials(s->cache, s->key, s->session, t, 1));
	search_kept(s, cache_put_winner(s->cache, s->key, k->source, complete, true));
	search_kept(s, cache_put_artifact(s->cache, s->key, k->source, k->object[real].bytes,
	                                  k->object[real].size));
}

static void describe(const struct search *s, const struct candidate *c, struct tune_result *r)
{
	r->schedule = c->schedule;
	r->text = c->text;
	r->ratio = 1 / c->cost;
	r->control = s->control_seconds;
	r->best = s->control_seconds * c->cost;
	r->error = c->trial.error;
}

/* Winner and default, both as they will be kept, one against the other: which of them is `best`? */
static bool decide(struct search *s, struct kept *control, struct kept *winner, bool complete,
                   struct tune_result *result)
{
	const int real = s->subject->workloads - 1;
	const struct place_limits limits = search_limits(s, OPTIMISE_KEEP);
	const struct binary b[2] = {control->binary[control->n - 1], winner->binary[winner->n - 1]};
	struct race r;
	char reason[200];
	int culprit;
	if (!control->object[real].bytes || !winner->object[real].bytes ||
	    !measure_race(&limits, b, 2, search_rounds(s, 2, PUBLISH_ROUNDS), &r, &culprit, reason))
		return false;
	race_clean(&r, PUBLISH_ROUNDS / 2);
	struct cache_trial first = trial_of(control, &r, 0), second = trial_of(winner, &r, 1);
	search_kept(s, cache_put_trials(s->cache, s->key, s->session, &first, 1));
	bool better = second.ratio > 1;
	keep(s, better ? winner : control, better ? &second : &first, complete);
	describe(s, better ? winner->candidate : control->candidate, result);
	result->control = first.seconds;
	result->best = better ? second.seconds : first.seconds;
	result->ratio = better ? second.ratio : 1;
	result->error = better ? second.error : first.error;
	return true;
}

static void publish(struct search *s, struct arena *work, bool complete, struct tune_result *result)
{
	static const char failed[] =
	        "the winner is kept as compiled for searching: compiled for keeping it failed (%s)";
	struct kept control = {0}, winner = {0};
	bool good = make(s, work, s->incumbent, true, &winner);
	if (!good) {
		result->note = arena_printf(s->arena, failed, winner.verdict.reason);
	} else if (s->incumbent == s->control) {
		struct cache_trial t = trial_of(&winner, NULL, 0);
		keep(s, &winner, &t, complete);
		result->control = result->best = t.seconds;
		result->error = t.error;
	} else if (make(s, work, s->control, true, &control)) {
		decide(s, &control, &winner, complete, result);
	} else {
		struct cache_trial t = trial_of(&winner, NULL, 0);
		t.ratio = s->incumbent->trial.ratio;
		t.ratio_low = s->incumbent->trial.ratio_low;
		t.ratio_high = s->incumbent->trial.ratio_high;
		keep(s, &winner, &t, complete);
	}
	drop(&control);
	drop(&winner);
}

void search_publish(struct search *s, bool complete, struct tune_result *result)
{
	struct arena work;
	jmp_buf env;
	if (s->subject->model) {
		search_model_publish(s, complete, result);
		describe(s, s->incumbent, result);
		if (!isfinite(result->best)) { /* refused at the end: the default, which nothing was found against */
			result->best = result->control;
			result->ratio = 1;
		}
		return;
	}
	describe(s, s->incumbent, result);
	if (search_stopped(s))
		return; /* the best so far was committed after its race */
	search_report(s, "publishing");
	arena_init(&work);
	if (ARENA_TRY(&work, &env))
		publish(s, &work, complete, result);
	else
		result->note = "the winner is kept as compiled for searching: out of memory";
	arena_free(&work);
}
