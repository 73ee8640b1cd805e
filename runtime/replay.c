/* replay.c: strategies on recorded landscapes. */
#include "search/replay.h"

#include "runtime/internal.h"

struct replay_job {
	const char *text;
	size_t size;
	struct attune_replay_options options;
	int evaluations;
	double *fraction;
};

static enum attune_status run_replay(void *data, struct arena *arena, struct attune_error *error)
{
	const struct replay_job *job = data;
	const struct strategy *strategy;
	enum attune_status status = strategy_named(job->options.strategy, arena, &strategy, error);
	if (status)
		return status;
	struct text reason;
	text_init(&reason, arena);
	struct landscape landscape;
	if (!landscape_read(arena, &landscape, job->text, job->size, &reason))
		return runtime_fail(error, ATTUNE_USAGE, "no landscape: %s", reason.s);
	const int FIRST = 16;
	replay(arena, &landscape, strategy, job->options.seed ? job->options.seed : 1,
	       job->options.first ? job->options.first : FIRST, job->evaluations, job->fraction);
	return ATTUNE_OK;
}

enum attune_status attune_replay(const char *text, size_t size, const struct attune_replay_options *options,
                                 int evaluations, double *fraction, struct attune_error *error)
{
	struct replay_job job = {text, size, {0}, evaluations, fraction};
	if (options)
		job.options = *options;
	if (evaluations < 1)
		return runtime_fail(error, ATTUNE_USAGE, "a replay takes at least one evaluation");
	return runtime_try(run_replay, &job, error);
}

enum attune_status strategy_named(const char *name, struct arena *arena, const struct strategy **found,
                                  struct attune_error *error)
{
	*found = name ? strategy_find(name) : strategies[0];
	if (*found)
		return ATTUNE_OK;
	struct text names;
	text_init(&names, arena);
	for (int i = 0; strategies[i]; i++)
		text_printf(&names, "%s%s", i ? ", " : "", strategies[i]->name);
	return runtime_fail(error, ATTUNE_USAGE, "there is no strategy '%s'; there are %s", name, names.s);
}

const char *attune_strategy(int i)
{
	int n = 0;
	while (strategies[n])
		n++;
	return i >= 0 && i < n ? strategies[i]->name : NULL;
}
