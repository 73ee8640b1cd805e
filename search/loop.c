#include "search/loop.h"

#include <math.h>
#include <string.h>

#include "search/replay.h"

enum {
	FIRST = 16,
	BATCH = 8,
	TRANSFERS = 4,
	MODEL_SAMPLE = 32,
	MODEL_PICKS = 3,
	NOISE_ROUNDS = 7,
	ROUNDS = 11,
	FINAL_ROUNDS = 21,
	LEAST_ROUNDS = 5,
	CONTENDERS = 5,
	FINALISTS = 4,
	PLATEAU_EVALUATIONS = 64,
	PLATEAU_BATCHES = 3,
	FRUITLESS = 40, /* batches in a row of nothing new: the space is used up */
};
static const double tie_share = 0.02;     /* closer than this is no difference */
static const double gain_share = 0.01;    /* less than this is no progress */
static const double near_share = 0.10;    /* three repetitions may be this far off */
static const double race_share = 0.15;    /* of the budget, that one race may take */
static const double quick_race = 0.2;    /* seconds */
static const double model_share = 0.01;  /* of the budget, that asking the model may take */
static const double worth_storing = 0.1; /* seconds of measuring */

static bool over(const struct search *s)
{
	const int most = s->options->evaluations;
	return search_stopped(s) || wall_seconds() >= s->deadline ||
	       (most > 0 && s->progress.evaluated >= most);
}

/* Stores a finished batch of trials. */
static void store(struct search *s, struct candidate *const *c, int n)
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

/* The best so far is in the cache before the search goes on. */
static void commit(struct search *s)
{
	const struct candidate *c = s->incumbent;
	if (cache_put_winner(s->cache, s->key, c->source, false, false) == CACHE_OK && c->object.bytes)
		search_kept(s, cache_put_artifact(s->cache, s->key, c->source, c->object.bytes, c->object.size));
}

static void observe(struct search *s, const struct candidate *c)
{
	point_set_add(&s->met, &c->point);
	if (c->on_grid)
		s->strategy->observe(s->state, &c->point, c->cost);
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
		landscape_print_point(s->subject->grid.dimensions, &c->point, c->cost * s->control_seconds, &t);
		s->options->record(s->options->owner, t.s);
	}
	arena_free(&a);
}

/* ---- races ---- */

static struct binary binary_of(const struct search *s, const struct candidate *c)
{
	return (struct binary){s->subject->workload[s->subject->workloads - 1], &c->kernel, &c->object};
}

static void take_race(struct search *s, struct candidate *c, const struct race *r, int k)
{
	struct statistics own = statistics_of(r->seconds[k], r->rounds);
	struct ratio ratio = k ? race_ratio(r, k) : (struct ratio){1, 1, 1};
	struct cache_trial *t = &c->trial;
	t->rung = 2;
	t->runs = own.runs;
	t->seconds = own.envelope;
	t->least = own.least;
	t->quartile = own.quartile;
	t->median = own.median;
	t->deviation = own.deviation;
	t->switches = r->switches[k];
	t->ratio = ratio.value;
	t->ratio_low = ratio.low;
	t->ratio_high = ratio.high;
	c->cost = 1 / ratio.value;
	c->raced = true;
	observe(s, c);
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
		observe(s, c[culprit]);
		store(s, &c[culprit], 1);
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
	store(s, c, n);
	commit(s);
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

/* The most promising of some candidates against the incumbent and the control. */
static void race_best(struct search *s, struct candidate *const *from, int n, int contenders, int rounds)
{
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

/* ---- batches ---- */

/* Measures what is new among the candidates and stores it, at the end or as soon as there is something that took
 * long enough to be worth a transaction. How many were new. */
static int evaluate(struct search *s, struct candidate **c, int n)
{
	struct candidate *fresh[FIRST + BATCH];
	int nfresh = 0, stored = 0;
	double since = wall_seconds();
	for (int i = 0; i < n && !over(s); i++) {
		if (!isnan(c[i]->cost)) {
			observe(s, c[i]);
			continue;
		}
		search_object(s, c[i]);
		int next = i + 1;
		while (next < n && !isnan(c[next]->cost))
			next++;
		if (next < n)
			search_ahead(s, c[next]);
		search_evaluate(s, c[i]);
		s->progress.evaluated++;
		if (isinf(c[i]->cost))
			search_reject(s, c[i]);
		observe(s, c[i]);
		record(s, c[i]);
		fresh[nfresh++] = c[i];
		if (wall_seconds() - since > worth_storing) {
			store(s, fresh + stored, nfresh - stored);
			stored = nfresh;
			since = wall_seconds();
		}
		search_report(s, "measuring");
	}
	search_ahead_finish(s);
	if (nfresh > stored)
		store(s, fresh + stored, nfresh - stored);
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
	struct point p[MODEL_SAMPLE];
	double seconds[MODEL_SAMPLE];
	point_set_init(&drawn, s->arena, s->subject->grid.dimensions);
	int points = s->subject->estimate ? sample_stratified(&s->subject->grid, &drawn, &s->random, p, MODEL_SAMPLE) : 0;
	const double until = wall_seconds() + model_share * s->budget;
	for (int i = 0; i < points; i++)
		seconds[i] = wall_seconds() < until ? model_seconds(s, &p[i]) : (double)INFINITY;
	for (int pick = 0; pick < MODEL_PICKS && pick < points; pick++) {
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

/* The first candidates after the control: winners of the nearest shapes, what the model suggests, then a spread
 * of the whole space. */
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
		observe(s, c);
	}
}

/* ---- the whole ---- */

/* The control is measured, not looked up: all else is compared to it here and now. */
static bool measure_control(struct search *s, struct text *reason, struct text *note)
{
	struct point near = s->subject->nearest(s->subject->owner, &s->subject->control);
	struct schedule there = s->subject->schedule(s->subject->owner, &near);
	const char *x = s->subject->text(s->subject->owner, s->arena, &s->subject->control);
	const char *y = s->subject->text(s->subject->owner, s->arena, &there);
	struct candidate *c = search_candidate(s, &s->subject->control, strcmp(x, y) ? NULL : &near);
	if (!c) {
		text_add(reason, "the default schedule is not legal");
		return false;
	}
	search_evaluate(s, c);
	if (c->trial.status == TRIAL_WRONG && strstr(c->trial.reason, input_set_name[SET_LARGE])) {
		text_printf(note, "large inputs are not right even with the default schedule (%s): candidates were "
		                  "checked on normal ones only", c->trial.reason);
		for (int i = 0; i < s->subject->workloads; i++)
			s->subject->workload[i]->expected[SET_LARGE] = NULL;
		search_evaluate(s, c);
	}
	s->progress.evaluated++;
	store(s, &c, 1);
	if (c->trial.status != TRIAL_OK) {
		text_printf(reason, "the default schedule is no good (%s): %s", trial_status_name[c->trial.status],
		            c->trial.reason);
		return false;
	}
	s->control = s->incumbent = c;
	s->control_seconds = c->trial.seconds;
	observe(s, c);
	record(s, c);
	search_report(s, "measuring");
	return true;
}

/* How far two runs of one kernel differ. */
static void measure_noise(struct search *s)
{
	struct race r;
	char reason[200];
	int culprit;
	const struct binary b[2] = {binary_of(s, s->control), binary_of(s, s->control)};
	const struct place_limits limits = search_limits(s, OPTIMISE_SEARCH);
	s->noise = tie_share;
	if (!measure_race(&limits, b, 2, search_rounds(s, 2, NOISE_ROUNDS), &r, &culprit, reason))
		return;
	s->noise = fabs(race_ratio(&r, 1).value - 1);
	s->control_seconds = statistics_of(r.seconds[0], r.rounds).envelope;
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
		race_best(s, c, n, (n + 2) / 3, ROUNDS);
		cache_session_note(s->cache, s->session, SESSION_RUNNING, s->progress.evaluated);
		dry = s->incumbent->cost < before * (1 - gain_share) ? 0 : dry + 1;
		if (s->progress.evaluated + s->progress.reused >= PLATEAU_EVALUATIONS && dry >= PLATEAU_BATCHES &&
		    s->strategy != &strategy_exhaustive)
			return true;
	}
	return false;
}

static bool search_all(struct search *s)
{
	struct candidate *c[FIRST + BATCH];
	resume(s);
	if (s->all.n > 1)
		race_best(s, s->all.v, (int)s->all.n, CONTENDERS, ROUNDS);
	int n = first_candidates(s, c);
	evaluate(s, c, n);
	if (!search_stopped(s))
		race_best(s, c, n, CONTENDERS, ROUNDS);
	bool complete = search_batches(s);
	if (!search_stopped(s)) {
		struct candidate **raced = arena_new_array(s->arena, s->all.n, struct candidate *);
		int count = 0;
		for (uint32_t i = 0; i < s->all.n; i++) {
			if (s->all.v[i]->raced)
				raced[count++] = s->all.v[i];
		}
		race_best(s, raced, count, FINALISTS, FINAL_ROUNDS);
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
	r->kept = cache_state(s->cache) == CACHE_WRITABLE ? s->kept : s->kept == CACHE_OK ? CACHE_MISS : s->kept;
}

bool search_run(struct arena *a, struct subject *subject, const struct tune_place *place,
                const struct cache_key *key, struct cache *cache, const struct tune_options *options, double began,
                struct tune_result *result, struct text *reason)
{
	struct text note;
	struct search s = {
		.arena = a, .subject = subject, .place = place, .options = options, .cache = cache, .key = key,
		.strategy = options->strategy, .random = options->seed, .began = began, .budget = options->seconds,
	};
	*result = (struct tune_result){0};
	text_init(&note, a);
	point_set_init(&s.met, a, subject->grid.dimensions);
	s.state = s.strategy->start(a, &subject->grid, options->seed);
	s.deadline = began + s.budget;
	s.session = cache_session_begin(cache, key, options->seed, s.strategy->name, s.budget);
	if (!measure_control(&s, reason, &note)) {
		cache_session_note(cache, s.session, SESSION_STOPPED, s.progress.evaluated);
		return false;
	}
	/* The end has its share: the last race, two compilations for keeping, the last proof. */
	s.deadline -= fmin(0.25 * s.budget, 2 + 100 * s.best_run);
	measure_noise(&s);
	commit(&s);
	bool complete = search_all(&s);
	search_publish(&s, complete, result);
	result->complete = complete;
	summarise(&s, result);
	if (note.len)
		result->note = result->note ? arena_printf(a, "%s; %s", note.s, result->note) : note.s;
	cache_session_note(cache, s.session, complete ? SESSION_COMPLETE : SESSION_STOPPED, s.progress.evaluated);
	for (uint32_t i = 0; i < s.all.n; i++)
		object_free(&s.all.v[i]->object);
	return true;
}
