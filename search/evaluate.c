#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "search/loop.h"

enum { REPETITIONS = 3 };
static const double compile_limit = 20; /* seconds */
static const double first_limit = 120;  /* of a run, before one is known */
static const double least_limit = 1;    /* a stalled machine is no fault of the candidate */
static const double patience = 4;       /* times the best a run may take */
static const double far_behind = 1.5;   /* times the control's time */
static const double hopeless = 2; /* times the control's first run; but the measuring of what is quick … */
static const double least_hopeless = 0.005; /* … in seconds, costs nothing */

struct place_limits search_limits(const struct search *s, int optimise)
{
	double limit = s->best_run > 0 ? fmax(patience * s->best_run, least_limit) : first_limit;
	return (struct place_limits){s->place, s->options->threads, optimise, limit, 0};
}

bool search_stopped(const struct search *s)
{
	return s->options->stop && *s->options->stop;
}

double search_elapsed(const struct search *s)
{
	return wall_seconds() - s->began;
}

void search_report(struct search *s, const char *activity)
{
	s->progress.activity = activity;
	s->progress.elapsed = search_elapsed(s);
	s->progress.budget = s->budget;
	s->progress.control = s->control_seconds;
	s->progress.best = s->incumbent ? s->control_seconds * s->incumbent->cost : 0;
	s->progress.ratio = s->incumbent ? 1 / s->incumbent->cost : 0;
	if (s->options->progress)
		s->options->progress(s->options->owner, &s->progress);
}

void search_kept(struct search *s, enum cache_result r)
{
	if (r != CACHE_OK && r != CACHE_REFUSED && s->kept == CACHE_OK)
		s->kept = r;
}

void search_reject(struct search *s, const struct candidate *c)
{
	enum trial_status status = c->trial.status;
	s->progress.rejected[status]++;
	if (!s->first_reason[status])
		s->first_reason[status] = c->trial.reason;
}

void search_fail(struct candidate *c, enum trial_status status, int rung, const char *reason)
{
	c->trial.status = status;
	c->trial.reason = reason;
	c->trial.verified = false;
	c->trial.rung = rung;
	c->cost = INFINITY;
}

const char *search_text(struct search *s, struct arena *a, const struct candidate *c,
                        const struct kernel_source *source)
{
	const char *text = NULL;
	if (s->options->plant)
		text = s->options->plant(s->options->owner, a, c->number, c->text, source);
	return text ? text : source->text;
}

static struct candidate *find_source(const struct search *s, const char *source)
{
	for (uint32_t i = 0; i < s->all.n; i++) {
		if (!strcmp(s->all.v[i]->source, source))
			return s->all.v[i];
	}
	return NULL;
}

static struct kernel_source keep_geometry(struct arena *a, const struct kernel_source *from)
{
	struct kernel_source k = *from;
	k.text = NULL;
	k.digest = arena_strdup(a, from->digest);
	k.phase = arena_copy(a, from->phase, (size_t)from->nphases * sizeof *from->phase);
	for (int i = 0; i < k.nphases; i++)
		k.phase[i].symbol = arena_strdup(a, from->phase[i].symbol);
	k.argument = arena_copy(a, from->argument, (size_t)from->narguments * sizeof *from->argument);
	return k;
}

/* The text and all else that is bulky lives only as long as `work`. */
static struct candidate *candidate(struct search *s, struct arena *work, const struct schedule *schedule,
                                   const struct point *point)
{
	struct kernel_source k;
	const struct target_options options = tune_target_options(s->place, OPTIMISE_SEARCH);
	struct candidate c = {.schedule = *schedule, .number = (int)s->all.n, .cost = NAN};
	if (point)
		c.point = *point;
	if (!s->subject->render(s->subject->owner, work, schedule, s->subject->workloads - 1, &k))
		return NULL;
	c.text = s->subject->text(s->subject->owner, s->arena, schedule);
	const char *text = search_text(s, work, &c, &k);
	if (text != k.text)
		k.digest = arena_printf(work, "%s%s", k.digest, digest_text(work, text, strlen(text)));
	c.source = tune_source_key(work, &k, s->place->target, &options);
	struct candidate *known = find_source(s, c.source);
	if (known)
		return known;
	c.source = arena_strdup(s->arena, c.source);
	c.kernel = keep_geometry(s->arena, &k);
	c.trial = (struct cache_trial){.schedule = c.text, .source = c.source};
	struct candidate *out = arena_copy(s->arena, &c, sizeof c);
	vec_push(s->arena, &s->all, out);
	return out;
}

struct candidate *search_candidate(struct search *s, const struct schedule *schedule,
                                   const struct point *point)
{
	struct arena work;
	jmp_buf env;
	struct candidate *volatile c = NULL;
	arena_init(&work);
	if (ARENA_TRY(&work, &env))
		c = candidate(s, &work, schedule, point);
	arena_free(&work);
	if (c && point && !c->on_grid) {
		c->on_grid = true;
		c->point = *point;
	}
	return c;
}

/* Renders and compiles for one workload. A schedule that is not legal at a small shape has no object there.
 */
static bool compile(struct search *s, struct arena *work, struct candidate *c, int workload,
                    struct kernel_source *k, struct object *object)
{
	char reason[200];
	bool timeout;
	if (!s->subject->render(s->subject->owner, work, &c->schedule, workload, k))
		return true;
	const char *text = search_text(s, work, c, k);
	if (measure_compile(s->place, text, OPTIMISE_SEARCH, compile_limit, object, &timeout, reason))
		return true;
	search_fail(c, timeout ? TRIAL_TIMEOUT : TRIAL_COMPILE_ERROR, 0,
	            arena_printf(s->arena, "compiling: %s", reason));
	return false;
}

void search_ahead(struct search *s, struct candidate *c)
{
	struct arena work;
	jmp_buf env;
	if (s->ahead_of || c->object.bytes || s->place->threads >= s->place->machine->cores)
		return;
	arena_init(&work);
	if (ARENA_TRY(&work, &env)) {
		struct kernel_source k;
		if (s->subject->render(s->subject->owner, &work, &c->schedule, s->subject->workloads - 1,
		                       &k) &&
		    ahead_start(&s->ahead, s->place, search_text(s, &work, c, &k), OPTIMISE_SEARCH,
		                compile_limit))
			s->ahead_of = c;
	}
	arena_free(&work);
}

void search_ahead_finish(struct search *s)
{
	struct candidate *c = s->ahead_of;
	bool timeout;
	char reason[200];
	if (!c)
		return;
	s->ahead_of = NULL;
	if (!ahead_finish(&s->ahead, &c->object, &timeout, reason))
		search_fail(c, timeout ? TRIAL_TIMEOUT : TRIAL_COMPILE_ERROR, 0,
		            arena_printf(s->arena, "compiling: %s", reason));
}

void search_ahead_drop(struct search *s)
{
	struct object object = {0};
	bool timeout;
	char reason[200];
	if (s->ahead_of)
		ahead_finish(&s->ahead, &object, &timeout, reason);
	s->ahead_of = NULL;
	object_free(&object);
}

bool search_object(struct search *s, struct candidate *c)
{
	struct arena work;
	jmp_buf env;
	if (s->ahead_of == c)
		search_ahead_finish(s);
	if (c->object.bytes || isinf(c->cost))
		return c->object.bytes;
	arena_init(&work);
	if (ARENA_TRY(&work, &env)) {
		struct kernel_source k;
		if (compile(s, &work, c, s->subject->workloads - 1, &k, &c->object) && c->object.bytes)
			c->kernel = keep_geometry(s->arena, &k);
	} else {
		search_fail(c, TRIAL_COMPILE_ERROR, 0, "out of memory");
	}
	arena_free(&work);
	return c->object.bytes;
}

/* What the times of a right candidate come to. */
static void take_times(struct search *s, struct candidate *c, const struct verdict *v)
{
	struct race r = {.kernels = 2, .rounds = v->runs, .switches = {0, v->switches}};
	memcpy(r.seconds[0], v->control, sizeof v->control);
	memcpy(r.seconds[1], v->seconds, sizeof v->seconds);
	if (!v->runs) {
		/* Hopeless: the first runs of both are all there is. */
		r.rounds = 1;
		r.seconds[0][0] = s->control_first;
		r.seconds[1][0] = v->first;
	}
	if (!s->control) {
		memcpy(r.seconds[0], v->seconds, sizeof v->seconds);
		s->control_first = v->first;
	}
	c->trial.status = TRIAL_OK;
	c->trial.rung = 1;
	race_trial(&r, 1, &c->trial);
	c->cost = 1 / c->trial.ratio;
	if (s->best_run == 0 || v->first < s->best_run)
		s->best_run = v->first;
}

/* At the real shape: right, and how fast? */
static bool evaluate_real(struct search *s, struct candidate *c)
{
	struct place_limits limits = search_limits(s, OPTIMISE_SEARCH);
	const struct workload *w = s->subject->workload[s->subject->workloads - 1];
	struct verdict v;
	if (!search_object(s, c))
		return false;
	const struct binary own = {w, &c->kernel, &c->object};
	const struct binary control = {w, s->control ? &s->control->kernel : NULL,
	                               s->control ? &s->control->object : NULL};
	if (s->control)
		limits.hopeless = fmax(hopeless * s->control_first, least_hopeless);
	measure_candidate(&limits, &own, 1, s->control ? &control : NULL, REPETITIONS, &v);
	c->trial.error = v.error;
	if (v.status == TRIAL_OK)
		take_times(s, c, &v);
	else
		search_fail(c, v.status, 0, arena_strdup(s->arena, v.reason));
	return v.status == TRIAL_OK;
}

/* At the first small shape: right? */
static void evaluate_small(struct search *s, struct arena *work, struct candidate *c)
{
	const struct place_limits limits = search_limits(s, OPTIMISE_SEARCH);
	struct kernel_source k;
	struct object object = {0};
	struct verdict v;
	if (compile(s, work, c, 0, &k, &object) && object.bytes) {
		const struct binary b = {s->subject->workload[0], &k, &object};
		measure_candidate(&limits, &b, 1, NULL, 0, &v);
		c->trial.error = fmax(c->trial.error, v.error);
		if (v.status != TRIAL_OK)
			search_fail(c, v.status, 0, arena_strdup(s->arena, v.reason));
	}
	object_free(&object);
}

/* Code for a device that its assembler's log does not refuse? */
static bool within_device(struct search *s, struct candidate *c)
{
	const struct target_device *d = s->place->target->device;
	struct arena work;
	jmp_buf env;
	if (!d || !d->resources)
		return true;
	arena_init(&work);
	if (ARENA_TRY(&work, &env))
		search_resources(s, &work, c);
	else
		search_fail(c, TRIAL_COMPILE_ERROR, 0, "out of memory");
	arena_free(&work);
	return !isinf(c->cost);
}

/* The small shape costs a compilation of its own: one that is far behind is not worth it, and is not called
 * verified. */
void search_evaluate(struct search *s, struct candidate *c)
{
	if (s->subject->model) {
		search_model(s, c);
		return;
	}
	struct arena work;
	jmp_buf env;
	if (within_device(s, c) && evaluate_real(s, c) && c->cost < far_behind) {
		c->trial.verified = true;
		arena_init(&work);
		if (s->subject->workloads > 1 && ARENA_TRY(&work, &env))
			evaluate_small(s, &work, c);
		else if (s->subject->workloads > 1)
			search_fail(c, TRIAL_COMPILE_ERROR, 0, "out of memory");
		arena_free(&work);
	}
	if (c->trial.status != TRIAL_OK)
		object_free(&c->object);
}
