#include "search/loop.h"

#include <math.h>
#include <string.h>

#include "search/replay.h"

enum {
	FIRST = 16,
	BATCH = 8,
	TRANSFERS = 4,
	MODEL_SAMPLE = 96,
	MODEL_PICKS = 5,
	MODELLED_SAMPLE = 256, /* where the model is all there is */
	MODELLED_PICKS = 8,
	ROUNDS = 11,
	FINAL_ROUNDS = 21,
	CONTENDERS = 5,
	FINALISTS = 4,
	PLATEAU_EVALUATIONS = 64,
	PLATEAU_BATCHES = 3,
	FRUITLESS = 40, /* batches in a row of nothing new: the space is used up */
};
static const double gain_share = 0.01;   /* less than this is no progress */
static const double model_share = 0.03, modelled_share = 0.2; /* of the budget, that asking the model may take */
static const double prove_share = 0.25;  /* … and that proving what was modelled may */
static const double worth_storing = 0.1; /* seconds of measuring */

static bool over(const struct search *s)
{
	const int most = s->options->evaluations;
	return search_stopped(s) || wall_seconds() >= s->deadline ||
	       (most > 0 && s->progress.evaluated >= most);
}

static void record(struct search *s, const struct candidate *c)
{
	struct arena a;
	jmp_buf env;
	if (!s->options->record || !c->on_grid)
		return;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		struct text t;
		text_init(&t, &a);
		landscape_print_point(s->subject->grid.dimensions, &c->point, c->cost * s->control_seconds,
		                      &t);
		s->options->record(s->options->owner, t.s);
	}
	arena_free(&a);
}

/* ---- batches ---- */

/* Measures what is new among the candidates and stores it, at the end or as soon as there is something that
 * took long enough to be worth a transaction. How many were new. */
static int evaluate(struct search *s, struct candidate **c, int n)
{
	struct candidate *fresh[FIRST + BATCH];
	int nfresh = 0, stored = 0;
	double since = wall_seconds();
	for (int i = 0; i < n && !over(s); i++) {
		if (!isnan(c[i]->cost)) {
			search_observe(s, c[i]);
			continue;
		}
		if (!s->subject->model)
			search_object(s, c[i]);
		int next = i + 1;
		while (next < n && !isnan(c[next]->cost))
			next++;
		if (next < n && !s->subject->model)
			search_ahead(s, c[next]);
		search_evaluate(s, c[i]);
		s->progress.evaluated++;
		if (isinf(c[i]->cost))
			search_reject(s, c[i]);
		search_observe(s, c[i]);
		record(s, c[i]);
		fresh[nfresh++] = c[i];
		if (wall_seconds() - since > worth_storing) {
			search_store(s, fresh + stored, nfresh - stored);
			stored = nfresh;
			since = wall_seconds();
		}
		search_report(s, s->subject->model ? "modelling" : "measuring");
	}
	search_ahead_finish(s);
	if (nfresh > stored)
		search_store(s, fresh + stored, nfresh - stored);
	return nfresh;
}

static int add_point(struct search *s, const struct point *p, struct candidate **c, int n)
{
	struct schedule schedule = s->subject->schedule(s->subject->owner, p);
	struct candidate *x = search_candidate(s, &schedule, p);
	for (int i = 0; i < n; i++) {
		if (c[i] == x)
			return n;
	}
	if (x)
		c[n++] = x;
	return n;
}

/* A schedule from the cache: exactly as it is, and as the point of the grid that it is or is near. */
static struct candidate *add_text(struct search *s, const char *text)
{
	struct schedule schedule;
	if (!s->subject->parse(s->subject->owner, s->arena, text, &schedule))
		return NULL;
	struct point near = s->subject->nearest(s->subject->owner, &schedule);
	struct schedule there = s->subject->schedule(s->subject->owner, &near);
	const char *x = s->subject->text(s->subject->owner, s->arena, &schedule);
	const char *y = s->subject->text(s->subject->owner, s->arena, &there);
	return search_candidate(s, &schedule, strcmp(x, y) ? NULL : &near);
}

static double model_seconds(struct search *s, const struct point *p)
{
	struct arena work;
	jmp_buf env;
	volatile double seconds = INFINITY;
	arena_init(&work);
	if (ARENA_TRY(&work, &env)) {
		struct schedule schedule = s->subject->schedule(s->subject->owner, p);
		seconds = s->subject->estimate(s->subject->owner, &work, &schedule);
	}
	arena_free(&work);
	return seconds;
}

/* Of some points drawn from the whole space those that the model takes for the quickest. */
static int add_model_picks(struct search *s, struct candidate **c, int n)
{
	struct point_set drawn;
	struct point p[MODELLED_SAMPLE];
	double seconds[MODELLED_SAMPLE];
	const bool modelled = s->subject->model;
	const int sample = modelled ? MODELLED_SAMPLE : MODEL_SAMPLE, picks = modelled ? MODELLED_PICKS : MODEL_PICKS;
	point_set_init(&drawn, s->arena, s->subject->grid.dimensions);
	int points = s->subject->estimate
	                     ? sample_stratified(&s->subject->grid, &drawn, &s->random, p, sample)
	                     : 0;
	const double until = wall_seconds() + (modelled ? modelled_share : model_share) * s->budget;
	for (int i = 0; i < points; i++)
		seconds[i] = wall_seconds() < until ? model_seconds(s, &p[i]) : (double)INFINITY;
	for (int pick = 0; pick < picks && pick < points; pick++) {
		int best = 0;
		for (int i = 1; i < points; i++)
			best = seconds[i] < seconds[best] ? i : best;
		if (isinf(seconds[best]))
			break;
		seconds[best] = INFINITY;
		n = add_point(s, &p[best], c, n);
		point_set_add(&s->met, &p[best]);
	}
	return n;
}

/* The first candidates after the control: winners of the nearest shapes, what the model suggests, then a
 * spread of the whole space. */
static int first_candidates(struct search *s, struct candidate **c)
{
	struct cache_found found[TRANSFERS];
	struct point p[FIRST];
	int n = 0, transfers = cache_lookup(s->cache, s->arena, s->key, found, TRANSFERS);
	for (int i = 0; i < transfers; i++) {
		struct candidate *x = add_text(s, found[i].schedule);
		bool there = !x || x == s->control;
		for (int k = 0; k < n; k++)
			there = there || c[k] == x;
		if (!there)
			c[n++] = x;
	}
	n = add_model_picks(s, c, n);
	int points = sample_stratified(&s->subject->grid, &s->met, &s->random, p, FIRST - 1 - n);
	for (int i = 0; i < points; i++)
		n = add_point(s, &p[i], c, n);
	return n;
}

/* ---- what is known already ---- */

struct stored {
	struct arena *arena;
	VEC(struct cache_trial) trial;
};

static void keep_trial(void *owner, const struct cache_trial *t)
{
	struct stored *s = owner;
	struct cache_trial copy = *t;
	copy.schedule = arena_strdup(s->arena, t->schedule);
	copy.source = arena_strdup(s->arena, t->source);
	copy.reason = t->reason ? arena_strdup(s->arena, t->reason) : NULL;
	vec_push(s->arena, &s->trial, copy);
}

/* Trials of earlier searches count again where rendering their schedule gives the source they were of. */
static void resume(struct search *s)
{
	struct stored stored = {.arena = s->arena};
	cache_each_trial(s->cache, s->key, keep_trial, &stored);
	for (uint32_t i = 0; i < stored.trial.n; i++) {
		const struct cache_trial *t = &stored.trial.v[i];
		struct candidate *c = add_text(s, t->schedule);
		if (!c || strcmp(c->source, t->source) || !isnan(c->cost))
			continue;
		if (t->status == TRIAL_OK && !(t->rung >= 1 && t->ratio > 0))
			continue;
		c->trial = *t;
		c->cost = t->status == TRIAL_OK ? 1 / t->ratio : INFINITY;
		c->reused = true;
		s->progress.reused++;
		if (isinf(c->cost))
			search_reject(s, c);
		search_observe(s, c);
	}
}

/* ---- the whole ---- */

/* Evaluates a candidate that failed once more, under other rules. */
static void evaluate_again(struct search *s, struct candidate *c)
{
	c->cost = 0;
	search_evaluate(s, c);
}

/* The control is measured, not looked up: all else is compared to it here and now. */
static bool measure_control(struct search *s, struct text *reason, struct text *note)
{
	struct point near = s->subject->nearest(s->subject->owner, &s->subject->control);
	struct schedule there = s->subject->schedule(s->subject->owner, &near);
	const char *x = s->subject->text(s->subject->owner, s->arena, &s->subject->control);
	const char *y = s->subject->text(s->subject->owner, s->arena, &there);
	struct candidate *c = search_candidate(s, &s->subject->control, strcmp(x, y) ? NULL : &near);
	if (!c) {
		const char *why = s->subject->refused ? s->subject->refused(s->subject->owner, s->arena) : NULL;
		text_printf(reason, "the default schedule is not legal%s%s", why ? ": " : "", why ? why : "");
		return false;
	}
	search_evaluate(s, c);
	if (c->trial.status == TRIAL_WRONG && strstr(c->trial.reason, input_set_name[SET_LARGE])) {
		text_printf(note,
		            "large inputs are not right even with the default schedule (%s): candidates were "
		            "checked on normal ones only",
		            c->trial.reason);
		for (int i = 0; i < s->subject->workloads; i++)
			s->subject->workload[i]->expected[SET_LARGE] = NULL;
		evaluate_again(s, c);
	}
	if (c->trial.status == TRIAL_WRONG && s->subject->careful) {
		/* Is it the schedule, or does the program itself multiply every rounding? */
		if (!s->subject->careful(s->subject->owner, reason))
			return false;
		text_printf(note,
		            "%sthis program makes much of rounding (%s): outputs may err twice as much as "
		            "those of "
		            "a careful f32 implementation do",
		            note->len ? "; " : "", c->trial.reason);
		evaluate_again(s, c);
	}
	s->progress.evaluated++;
	search_store(s, &c, 1);
	if (c->trial.status != TRIAL_OK) {
		text_printf(reason, "the default schedule is no good (%s): %s",
		            trial_status_name[c->trial.status], c->trial.reason);
		return false;
	}
	s->control = s->incumbent = c;
	s->control_seconds = c->trial.seconds;
	search_observe(s, c);
	record(s, c);
	search_report(s, s->subject->model ? "modelling" : "measuring");
	return true;
}

/* Batches until the search ends by itself (true) or is ended. */
static bool search_batches(struct search *s)
{
	struct candidate *c[FIRST + BATCH];
	struct point p[BATCH];
	int dry = 0, fruitless = 0;
	while (!over(s)) {
		int n = 0, points = s->strategy->propose(s->state, p, BATCH);
		if (!points)
			return true;
		for (int i = 0; i < points; i++)
			n = add_point(s, &p[i], c, n);
		double before = s->incumbent->cost;
		int fresh = evaluate(s, c, n);
		fruitless = fresh ? 0 : fruitless + 1;
		if (fruitless == FRUITLESS)
			return true;
		if (!fresh || over(s))
			continue;
		search_race(s, c, n, (n + 2) / 3, ROUNDS);
		cache_session_note(s->cache, s->session, SESSION_RUNNING, s->progress.evaluated);
		dry = s->incumbent->cost < before * (1 - gain_share) ? 0 : dry + 1;
		if (s->progress.evaluated + s->progress.reused >= PLATEAU_EVALUATIONS &&
		    dry >= PLATEAU_BATCHES && s->strategy != &strategy_exhaustive)
			return true;
	}
	return false;
}

static bool search_all(struct search *s)
{
	struct candidate *c[FIRST + BATCH];
	resume(s);
	if (s->all.n > 1)
		search_race(s, s->all.v, (int)s->all.n, CONTENDERS, ROUNDS);
	int n = first_candidates(s, c);
	evaluate(s, c, n);
	if (!search_stopped(s))
		search_race(s, c, n, CONTENDERS, ROUNDS);
	bool complete = search_batches(s);
	if (!search_stopped(s)) {
		struct candidate **raced = arena_new_array(s->arena, s->all.n, struct candidate *);
		int count = 0;
		for (uint32_t i = 0; i < s->all.n; i++) {
			if (s->all.v[i]->raced)
				raced[count++] = s->all.v[i];
		}
		search_race(s, raced, count, FINALISTS, FINAL_ROUNDS);
	}
	return complete && !search_stopped(s);
}

static void summarise(struct search *s, struct tune_result *r)
{
	r->noise = s->noise;
	r->evaluated = s->progress.evaluated;
	r->reused = s->progress.reused;
	memcpy(r->rejected, s->progress.rejected, sizeof r->rejected);
	memcpy(r->first_reason, s->first_reason, sizeof r->first_reason);
	r->kept = cache_state(s->cache) == CACHE_WRITABLE ? s->kept
	          : s->kept == CACHE_OK                   ? CACHE_MISS
	                                                  : s->kept;
}

static bool run(struct search *s, struct tune_result *result, struct text *reason)
{
	struct text note;
	text_init(&note, s->arena);
	point_set_init(&s->met, s->arena, s->subject->grid.dimensions);
	s->state = s->strategy->start(s->arena, &s->subject->grid, s->options->seed);
	s->deadline = s->began + s->budget;
	s->session = cache_session_begin(s->cache, s->key, s->options->seed, s->strategy->name, s->budget);
	if (!measure_control(s, reason, &note)) {
		cache_session_note(s->cache, s->session, SESSION_STOPPED, s->progress.evaluated);
		return false;
	}
	/* The end has its share: the last race, two compilations for keeping, the last proof. */
	s->deadline -= s->subject->model ? prove_share * s->budget : fmin(0.25 * s->budget, 2 + 100 * s->best_run);
	search_noise(s);
	search_commit(s);
	bool complete = search_all(s);
	search_publish(s, complete, result);
	result->complete = complete;
	summarise(s, result);
	if (note.len)
		result->note = result->note ? arena_printf(s->arena, "%s; %s", note.s, result->note) : note.s;
	cache_session_note(s->cache, s->session, complete ? SESSION_COMPLETE : SESSION_STOPPED,
	                   s->progress.evaluated);
	return true;
}

bool search_run(struct arena *a, struct subject *subject, const struct tune_place *place,
                const struct cache_key *key, struct cache *cache, const struct tune_options *options,
                double began, struct tune_result *result, struct text *reason)
{
	jmp_buf env, *outer = a->out_of_memory;
	struct search *s = arena_new(a, struct search);
	*s = (struct search){
	        .arena = a,
	        .subject = subject,
	        .place = place,
	        .options = options,
	        .cache = cache,
	        .key = key,
	        .strategy = options->strategy,
	        .random = options->seed,
	        .began = began,
	        .budget = options->seconds,
	};
	*result = (struct tune_result){0};
	/* The compilation under way and the objects must not be left behind when memory runs out. */
	volatile bool good = false, finished = false;
	if (ARENA_TRY(a, &env)) {
		good = run(s, result, reason);
		finished = true;
	}
	a->out_of_memory = outer;
	search_ahead_drop(s);
	for (uint32_t i = 0; i < s->all.n; i++)
		object_free(&s->all.v[i]->object);
	if (!finished && outer)
		longjmp(*outer, 1);
	return good;
}
