/* tune.c: the search, as a call. */
#include "runtime/internal.h"

#include <stdlib.h>
#include <string.h>

#include "search/strategy.h"

/* A forked child has none of its parent's threads: it makes a pool of its own. */
static void *start_threads(int threads)
{
	struct pool *p = pool_new(threads);
	pool_spread(p);
	return p;
}

static void run_threads(void *pool, at_phase *phase, const struct at_args *args, long tasks,
                        void *const *scratch)
{
	pool_run(pool, phase, args, tasks, scratch);
}

static void stop_threads(void *pool)
{
	pool_free(pool);
}

struct tune_job {
	struct attune_program *program;
	struct attune_tune_options options;
	struct attune_tune_result *result;
	struct arena *memory; /* of the result's strings */
};

static void report(void *owner, const struct tune_progress *t)
{
	const struct tune_job *job = owner;
	struct attune_progress p = {
	        .activity = t->activity,
	        .elapsed = t->elapsed,
	        .budget = t->budget,
	        .evaluated = t->evaluated,
	        .reused = t->reused,
	        .best = t->best,
	        .control = t->control,
	        .ratio = t->ratio,
	};
	for (int i = 0; i < TRIAL_STATUSES; i++)
		p.rejected += t->rejected[i];
	job->options.progress(job->options.user, &p);
}

static void hand_over(const struct tune_job *job, const struct tune_result *t)
{
	struct arena *a = job->memory;
	struct attune_tune_result *r = job->result;
	*r = (struct attune_tune_result){
	        .best = t->best,
	        .control = t->control,
	        .ratio = t->ratio,
	        .peak = t->peak,
	        .flops = t->flops,
	        .error = t->error,
	        .noise = t->noise,
	        .evaluated = t->evaluated,
	        .reused = t->reused,
	        .complete = t->complete,
	        .kept = t->kept == CACHE_OK,
	        .note = t->note ? arena_strdup(a, t->note) : NULL,
	        .schedule = arena_strdup(a, t->text),
	        .memory = job->memory,
	};
	for (int i = 0; i < TRIAL_STATUSES; i++) {
		if (!t->rejected[i])
			continue;
		struct attune_rejection *j = &r->rejection[r->rejections++];
		j->reason = trial_status_name[i];
		j->count = t->rejected[i];
		j->example = t->first_reason[i] ? arena_strdup(a, t->first_reason[i]) : NULL;
	}
}
_Static_assert(TRIAL_STATUSES <=
                       sizeof((struct attune_tune_result *)0)->rejection / sizeof(struct attune_rejection),
               "a place for every way to fail");

static void record(void *owner, const char *line)
{
	const struct tune_job *job = owner;
	job->options.record(job->options.user, line);
}

static enum attune_status search(void *data, struct arena *arena, struct attune_error *error)
{
	const struct tune_job *job = data;
	struct attune_program *p = job->program;
	job->memory->out_of_memory = arena->out_of_memory;
	struct tune_place place;
	enum attune_status status = program_check_bound(p, error);
	if (status || (status = context_place(p->context, arena, &place, error)))
		return status;
	if (!isa_runs_on(place.isa, place.machine->isa))
		return runtime_fail(error, ATTUNE_SYSTEM, "this machine has no %s", isa_info[place.isa].name);
	if (!context_on_device(p->context))
		context_measure(p->context, false);
	static const struct tune_threads threads = {start_threads, run_threads, stop_threads};
	struct tune_options o = {
	        .seconds = job->options.seconds,
	        .evaluations = job->options.evaluations,
	        .seed = job->options.seed,
	        .threads = &threads,
	        .stop = job->options.cancel,
	        .progress = job->options.progress ? report : NULL,
	        .record = job->options.record ? record : NULL,
	        .owner = data,
	};
	if ((status = strategy_named(job->options.strategy, arena, &o.strategy, error)))
		return status;
	struct cache *cache = context_cache(p->context);
	struct tune_result result;
	struct text reason;
	text_init(&reason, arena);
	struct cascade *cascade = cascade_clone(arena, p->cascade);
	if (!tune(arena, cascade, &place, cache, &o, &result, &reason))
		return runtime_fail(error, ATTUNE_SYSTEM, "%s", reason.s);
	hand_over(job, &result);
	job->result->modelled = place.modelled;
	return ATTUNE_OK;
}

enum attune_status attune_tune(struct attune_program *p, const struct attune_tune_options *options,
                               struct attune_tune_result *result, struct attune_error *error)
{
	struct tune_job job = {.program = p, .result = result, .memory = calloc(1, sizeof *job.memory)};
	if (options)
		job.options = *options;
	if (!job.memory)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	arena_init(job.memory);
	enum attune_status status = runtime_try(search, &job, error);
	if (status) {
		arena_free(job.memory);
		free(job.memory);
	}
	return status;
}

void attune_tune_result_free(struct attune_tune_result *r)
{
	if (!r || !r->memory)
		return;
	arena_free(r->memory);
	free(r->memory);
	r->memory = NULL;
}
