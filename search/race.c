#include "search/loop.h"

#include <math.h>
#include <string.h>

enum { NOISE_ROUNDS = 7, LEAST_ROUNDS = 5 };
static const double tie_share = 0.02;  /* closer than this is no difference */
static const double near_share = 0.10; /* three repetitions may be this far off */
static const double race_share = 0.15; /* of the budget, that one race may take */
static const double quick_race = 0.2;  /* seconds */

void search_store(struct search *s, struct candidate *const *c, int n)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		struct cache_trial *t = arena_new_array(&a, (size_t)n, struct cache_trial);
		for (int i = 0; i < n; i++)
			t[i] = c[i]->trial;
		search_kept(s, cache_put_trials(s->cache, s->key, s->session, t, n));
	} else {
		search_kept(s, CACHE_FULL);
	}
	arena_free(&a);
}

void search_commit(struct search *s)
{
	const struct candidate *c = s->incumbent;
	if (cache_put_winner(s->cache, s->key, c->source, false, false) == CACHE_OK && c->object.bytes)
		search_kept(s,
		            cache_put_artifact(s->cache, s->key, c->source, c->object.bytes, c->object.size));
}

void search_observe(struct search *s, const struct candidate *c)
{
	if (!c->on_grid)
		return;
	point_set_add(&s->met, &c->point);
	s->strategy->observe(s->state, &c->point, c->cost);
}

static struct binary binary_of(const struct search *s, const struct candidate *c)
{
	return (struct binary){s->subject->workload[s->subject->workloads - 1], &c->kernel, &c->object};
}

static void take_race(struct search *s, struct candidate *c, const struct race *r, int k)
{
	c->trial.rung = 2;
	race_trial(r, k, &c->trial);
	c->cost = 1 / c->trial.ratio;
	c->raced = true;
	search_observe(s, c);
}

/* Two candidates that a race cannot tell apart. */
static double tie(const struct search *s, const struct candidate *x)
{
	double interval = (x->trial.ratio_high - x->trial.ratio_low) / 2 / x->trial.ratio;
	return fmax(fmax(tie_share, s->noise), isfinite(interval) ? fmin(interval, 0.1) : 0);
}

/* Among ties: the incumbent, then less workspace, smaller code, the schedule's text. */
static bool preferred(const struct search *s, const struct candidate *x, const struct candidate *y)
{
	if (x == s->incumbent || y == s->incumbent)
		return x == s->incumbent;
	if (x->kernel.work_bytes != y->kernel.work_bytes)
		return x->kernel.work_bytes < y->kernel.work_bytes;
	if (x->object.size != y->object.size)
		return x->object.size < y->object.size;
	return strcmp(x->text, y->text) < 0;
}

static void choose_incumbent(struct search *s, struct candidate *const *c, int n)
{
	struct candidate *fastest = s->incumbent, *best;
	for (int i = 0; i < n; i++) {
		if (c[i]->cost < fastest->cost)
			fastest = c[i];
	}
	best = fastest;
	for (int i = 0; i < n; i++) {
		if (c[i]->cost <= fastest->cost * (1 + tie(s, fastest)) && preferred(s, c[i], best))
			best = c[i];
	}
	s->incumbent = best;
}

int search_rounds(const struct search *s, int kernels, int most)
{
	double round = kernels * fmax(s->control_seconds, 1e-6);
	if (round * (int)MAX_ROUNDS < quick_race)
		return MAX_ROUNDS;
	double fit = race_share * s->budget / round;
	int rounds = fit < most ? (int)fit : most;
	return rounds > LEAST_ROUNDS ? rounds : LEAST_ROUNDS;
}

/* Races c[0 … n), the control first. One that dies is out, for good, and the others race again. */
static void race(struct search *s, struct candidate **c, int n, int most)
{
	struct race r;
	struct binary b[MAX_RACERS];
	char reason[200];
	int culprit;
	search_report(s, "racing");
	while (n > 1 && !search_stopped(s)) {
		for (int i = 0; i < n; i++)
			b[i] = binary_of(s, c[i]);
		const struct place_limits limits = search_limits(s, OPTIMISE_SEARCH);
		if (measure_race(&limits, b, n, search_rounds(s, n, most), &r, &culprit, reason))
			break;
		if (culprit <= 0)
			return; /* the machine's trouble, or the control's: nothing is learnt of the others */
		search_fail(c[culprit], strstr(reason, "timeout") ? TRIAL_TIMEOUT : TRIAL_CRASH, 2,
		            arena_strdup(s->arena, reason));
		search_reject(s, c[culprit]);
		search_observe(s, c[culprit]);
		search_store(s, &c[culprit], 1);
		if (s->incumbent == c[culprit])
			s->incumbent = s->control;
		memmove(c + culprit, c + culprit + 1, (size_t)(n - culprit - 1) * sizeof *c);
		n--;
	}
	if (n < 2 || search_stopped(s))
		return;
	race_clean(&r, LEAST_ROUNDS);
	s->control_seconds = statistics_of(r.seconds[0], r.rounds).envelope;
	for (int i = 0; i < n; i++)
		take_race(s, c[i], &r, i);
	choose_incumbent(s, c, n);
	search_store(s, c, n);
	search_commit(s);
	search_report(s, "racing");
}

static void sort_by_cost(struct candidate **c, int n)
{
	for (int i = 1; i < n; i++) {
		struct candidate *x = c[i];
		int k = i;
		for (; k > 0 && c[k - 1]->cost > x->cost; k--)
			c[k] = c[k - 1];
		c[k] = x;
	}
}

void search_race(struct search *s, struct candidate *const *from, int n, int contenders, int rounds)
{
	if (s->subject->model) {
		search_model_best(s, from, n);
		return;
	}
	struct candidate **good = arena_new_array(s->arena, (size_t)n, struct candidate *), *c[MAX_RACERS];
	int ngood = 0, nc = 0;
	for (int i = 0; i < n; i++) {
		if (from[i]->trial.verified && from[i] != s->control && from[i] != s->incumbent)
			good[ngood++] = from[i];
	}
	sort_by_cost(good, ngood);
	c[nc++] = s->control;
	if (s->incumbent != s->control)
		c[nc++] = s->incumbent;
	const int fixed = nc;
	for (int i = 0; i < ngood && nc < fixed + contenders && nc < MAX_RACERS; i++) {
		/* Compiled before the race: nothing compiles while it runs. */
		if (good[i]->cost <= s->incumbent->cost * (1 + near_share) && search_object(s, good[i]))
			c[nc++] = good[i];
	}
	if (nc > fixed && search_object(s, s->control) && search_object(s, s->incumbent))
		race(s, c, nc, rounds);
}

void search_noise(struct search *s)
{
	struct race r;
	char reason[200];
	int culprit;
	const struct binary b[2] = {binary_of(s, s->control), binary_of(s, s->control)};
	const struct place_limits limits = search_limits(s, OPTIMISE_SEARCH);
	if (s->subject->model)
		return; /* a model has none */
	s->noise = tie_share;
	if (!measure_race(&limits, b, 2, search_rounds(s, 2, NOISE_ROUNDS), &r, &culprit, reason))
		return;
	s->noise = fabs(race_ratio(&r, 1).value - 1);
	s->control_seconds = statistics_of(r.seconds[0], r.rounds).envelope;
}
