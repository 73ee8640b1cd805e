/* kept.c: the cache, for people. */
#include "runtime/internal.h"

#include <stdio.h>

struct list_job {
	void (*each)(void *user, const struct attune_cache_entry *);
	void *user;
};

static void list_entry(void *owner, const struct cache_entry *e)
{
	const struct list_job *job = owner;
	struct attune_cache_entry entry = {
	        .kernel = e->name,
	        .digest = e->workload,
	        .shape = e->shape,
	        .isa = e->isa,
	        .toolchain = e->toolchain,
	        .schedule = e->schedule,
	        .when = e->when,
	        .threads = e->threads,
	        .trials = e->trials,
	        .seconds = e->seconds,
	        .ratio = e->ratio,
	        .error = e->error,
	        .complete = e->complete,
	};
	job->each(job->user, &entry);
}

/* No cache was asked for: then there is nothing in it, and nothing amiss. One that cannot be used is. */
static enum attune_status outcome(struct attune_context *c, enum cache_result result, struct attune_error *error)
{
	if (c->cache_path && cache_state(c->cache) == CACHE_OFF)
		return runtime_fail(error, ATTUNE_SYSTEM, "%s cannot be used", c->cache_path);
	if (result == CACHE_OK || result == CACHE_MISS)
		return ATTUNE_OK;
	return runtime_fail(error, ATTUNE_SYSTEM, "%s: %s", c->cache_path ? c->cache_path : "no cache",
	                    cache_result_text[result]);
}

enum attune_status attune_cache_list(struct attune_context *c, const char *prefix,
                                     void (*each)(void *user, const struct attune_cache_entry *), void *user,
                                     struct attune_error *error)
{
	struct cache *cache = context_cache(c);
	if (!cache)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	return outcome(c, cache_list(cache, prefix, list_entry, &(struct list_job){each, user}), error);
}

struct check_job {
	struct attune_context *context;
	struct attune_cache_report *report;
};

static enum attune_status check(void *data, struct arena *arena, struct attune_error *error)
{
	const struct check_job *job = data;
	struct cache *cache = context_cache(job->context);
	if (!cache)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	struct cache_report r = {.sound = true};
	enum attune_status status = outcome(job->context, cache_check(cache, arena, &r), error);
	if (status)
		return status;
	*job->report = (struct attune_cache_report){
	        .winners = r.winners,
	        .trials = r.trials,
	        .artifacts = r.artifacts,
	        .quarantined = r.quarantined,
	        .sound = r.sound,
	};
	snprintf(job->report->finding, sizeof job->report->finding, "%s", r.finding ? r.finding : "");
	return ATTUNE_OK;
}

enum attune_status attune_cache_check(struct attune_context *c, struct attune_cache_report *report,
                                      struct attune_error *error)
{
	return runtime_try(check, &(struct check_job){c, report}, error);
}
