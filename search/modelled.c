/* A search for a device on which nothing is run: it is not at hand, or only emulated. Candidates are compiled
 * where the target tells what came of it, refused by the assembler's log, and ordered by the static model;
 * the best of them are proved by the emulator at the small shapes, and the first that is right is kept.
 */
#include <math.h>
#include <string.h>

#include "search/loop.h"
#include "search/measure_child.h"

enum { FINALISTS = 4 };
static const double far_behind = 2;                            /* times the best */
static const double compile_limit = 60, emulation_limit = 120; /* seconds; of a run at a small shape */

const struct resources *search_resources(struct search *s, struct arena *work, struct candidate *c)
{
	const struct target_options options = tune_target_options(s->place, OPTIMISE_SEARCH);
	if (!search_object(s, c))
		return NULL;
	struct resources *r = s->place->target->device->resources(work, &c->object, &c->kernel, &options);
	if (!r) {
		search_fail(c, TRIAL_COMPILE_ERROR, 0, "the target does not tell what its object takes");
		return NULL;
	}
	for (int i = 0; i < c->kernel.nphases; i++)
		if (r[i].reject) {
			search_fail(c, TRIAL_PRUNED, 0,
			            arena_printf(s->arena, "%s: %s", c->kernel.phase[i].symbol, r[i].reject));
			return NULL;
		}
	return r;
}

static void take_seconds(struct search *s, struct candidate *c, double seconds)
{
	if (!s->control)
		s->control_seconds = s->control_first = seconds;
	c->trial.status = TRIAL_OK;
	c->trial.rung = 1;
	c->trial.seconds = c->trial.least = c->trial.quartile = c->trial.median = seconds;
	c->trial.ratio = c->trial.ratio_low = c->trial.ratio_high = s->control_seconds / seconds;
	c->cost = seconds / s->control_seconds;
}

static void evaluate(struct search *s, struct arena *work, struct candidate *c)
{
	const struct subject *subject = s->subject;
	const struct resources *r = NULL;
	struct kernel_source k;
	if (!subject->render(subject->owner, work, &c->schedule, subject->workloads - 1, &k)) {
		search_fail(c, TRIAL_COMPILE_ERROR, 0, "not legal");
		return;
	}
	double seconds = subject->model(subject->owner, work, &c->schedule, &k, NULL);
	/* What registers turn out to be will not make up for this: it is not worth a compilation. */
	bool hopeless = s->control && seconds > far_behind * s->control_seconds * fmin(s->incumbent->cost, 1);
	if (s->place->target->device->resources && !hopeless && isfinite(seconds)) {
		if (!(r = search_resources(s, work, c)))
			return;
		seconds = subject->model(subject->owner, work, &c->schedule, &k, r);
	}
	if (isfinite(seconds) && seconds > 0)
		take_seconds(s, c, seconds);
	else
		search_fail(c, TRIAL_PRUNED, 0, "it fits no multiprocessor");
}

void search_model(struct search *s, struct candidate *c)
{
	struct arena work;
	jmp_buf env;
	arena_init(&work);
	if (ARENA_TRY(&work, &env))
		evaluate(s, &work, c);
	else
		search_fail(c, TRIAL_COMPILE_ERROR, 0, "out of memory");
	arena_free(&work);
	object_free(&c->object); /* the winner is compiled again */
}

void search_model_best(struct search *s, struct candidate *const *c, int n)
{
	for (int i = 0; i < n; i++)
		if (isfinite(c[i]->cost)) {
			c[i]->raced = true;
			if (c[i]->cost < s->incumbent->cost)
				s->incumbent = c[i];
		}
	search_report(s, "modelling");
}

/* ---- the end ---- */

/* Is the candidate right at the small shapes, as the emulator runs it? Real ones only where they are small.
 */
static bool prove(struct search *s, struct arena *work, struct candidate *c, struct verdict *v)
{
	struct tune_place place = *s->place;
	struct kernel_source kernel[MAX_WORKLOADS];
	struct object object[MAX_WORKLOADS] = {0};
	struct binary binary[MAX_WORKLOADS];
	int n = 0, last = s->subject->workloads > 1 ? s->subject->workloads - 1 : 1;
	bool good = true, timeout;
	place.target = &target_cuda_emulated;
	place.threads = 1;
	const struct place_limits limits = {&place, NULL, OPTIMISE_SEARCH, emulation_limit, 0};
	*v = (struct verdict){.status = TRIAL_COMPILE_ERROR};
	for (int i = 0; i < last && good; i++) {
		if (!s->subject->render(s->subject->owner, work, &c->schedule, i, &kernel[n]))
			continue;
		kernel[n].text = search_text(s, work, c, &kernel[n]);
		good = measure_compile(&place, kernel[n].text, OPTIMISE_SEARCH, compile_limit, &object[n],
		                       &timeout, v->reason);
		binary[n] = (struct binary){s->subject->workload[i], &kernel[n], &object[n]};
		n++;
	}
	if (good && n)
		measure_candidate(&limits, binary, n, NULL, 0, v);
	else if (good)
		verdict_fail(v, TRIAL_PRUNED, "its schedule is not legal at any small shape");
	for (int i = 0; i < n; i++)
		object_free(&object[i]);
	return v->status == TRIAL_OK;
}

/* Trial, winner and, where the target makes something of its own, code. */
static void keep(struct search *s, struct arena *work, struct candidate *c, const struct verdict *v,
                 bool complete)
{
	const struct target_options options = tune_target_options(s->place, OPTIMISE_KEEP);
	struct kernel_source k;
	struct object object = {0};
	bool timeout;
	char reason[200];
	if (!s->subject->render(s->subject->owner, work, &c->schedule, s->subject->workloads - 1, &k))
		return;
	struct cache_trial t = c->trial;
	t.source = tune_source_key(work, &k, s->place->target, &options);
	t.rung = 2;
	t.verified = true;
	t.error = v->error;
	search_kept(s, cache_put_trials(s->cache, s->key, s->session, &t, 1));
	search_kept(s, cache_put_winner(s->cache, s->key, t.source, complete, true));
	if (measure_compile(s->place, k.text, OPTIMISE_KEEP, compile_limit, &object, &timeout, reason))
		search_kept(s, cache_put_artifact(s->cache, s->key, t.source, object.bytes, object.size));
	object_free(&object);
}

/* The best by the model, none that it takes for slower than the control, and that last; how many. */
static int finalists(struct search *s, struct candidate **c)
{
	int n = 0;
	for (uint32_t i = 0; i < s->all.n; i++) {
		struct candidate *x = s->all.v[i];
		if (!isfinite(x->cost) || x == s->control || x->cost >= s->control->cost)
			continue;
		int at = n;
		for (; at > 0 && c[at - 1]->cost > x->cost; at--)
			c[at] = c[at - 1];
		c[at] = x;
		n += n < FINALISTS;
	}
	if (isfinite(s->control->cost))
		c[n++] = s->control;
	return n;
}

static bool fails_on_large(const struct verdict *v)
{
	return v->status == TRIAL_WRONG && strstr(v->reason, input_set_name[SET_LARGE]);
}

/* Where the default is not right on large inputs either, candidates are held to normal ones. */
static bool relax(struct search *s, struct arena *work)
{
	struct verdict v;
	if (prove(s, work, s->control, &v) || !fails_on_large(&v))
		return false;
	for (int i = 0; i < s->subject->workloads; i++)
		s->subject->workload[i]->expected[SET_LARGE] = NULL;
	return true;
}

/* The first of the best that is right; NULL, with what became of the last, when none is. */
static struct candidate *proved(struct search *s, struct arena *work, struct candidate *const *c, int n,
                                struct verdict *v)
{
	bool relaxed = false;
	for (int i = 0; i < n && !search_stopped(s); i++) {
		search_report(s, "proving");
		if (prove(s, work, c[i], v))
			return c[i];
		if (!relaxed && fails_on_large(v) && (relaxed = relax(s, work))) {
			i--;
			continue;
		}
		search_fail(c[i], v->status, 2, arena_strdup(s->arena, v->reason));
		search_reject(s, c[i]);
		search_store(s, &c[i], 1);
	}
	return NULL;
}

static const char *publish(struct search *s, struct arena *work, bool complete)
{
	struct candidate *c[FINALISTS + 1] = {0};
	struct verdict v = {.reason = "it is refused"};
	const char *missing = target_cuda_emulated.missing(work);
	if (missing)
		return arena_printf(
		        s->arena, "modelled, and nothing is kept: the emulator that proves it is missing, %s",
		        missing);
	struct candidate *best = proved(s, work, c, finalists(s, c), &v);
	s->incumbent = best ? best : s->control;
	if (search_stopped(s) && !best)
		return "modelled, and nothing is kept: stopped before the best was proved";
	if (!best)
		return arena_printf(s->arena,
		                    "modelled, and nothing is kept: none is right in the emulator (%s)",
		                    v.reason);
	best->trial.error = v.error;
	keep(s, work, best, &v, complete);
	return arena_printf(s->arena, "modelled for %s, not measured; proved by the emulator at small shapes",
	                    s->place->machine->model_name);
}

void search_model_publish(struct search *s, bool complete, struct tune_result *result)
{
	struct arena work;
	jmp_buf env;
	arena_init(&work);
	if (ARENA_TRY(&work, &env))
		result->note = publish(s, &work, complete);
	else
		result->note = "modelled, and nothing is kept: out of memory";
	arena_free(&work);
}
