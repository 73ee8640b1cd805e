/* attune cache ls | show | check */
#include "cli/cli.h"

#include <string.h>

struct listing {
	cJSON *list; /* NULL: text */
	bool schedules;
	int count;
};

static void add_json(cJSON *list, const struct attune_cache_entry *e)
{
	cJSON *one = cJSON_CreateObject();
	cJSON_AddStringToObject(one, "kernel", e->kernel);
	cJSON_AddStringToObject(one, "digest", e->digest);
	cJSON_AddStringToObject(one, "shape", e->shape);
	cJSON_AddStringToObject(one, "isa", e->isa);
	cJSON_AddStringToObject(one, "toolchain", e->toolchain);
	cJSON_AddNumberToObject(one, "threads", e->threads);
	cJSON_AddNumberToObject(one, "trials", e->trials);
	json_number(one, "seconds", e->seconds);
	json_number(one, "ratio", e->ratio);
	json_number(one, "error", e->error);
	cJSON_AddBoolToObject(one, "complete", e->complete);
	cJSON_AddStringToObject(one, "when", e->when);
	cJSON_AddStringToObject(one, "schedule", e->schedule);
	cJSON_AddItemToArray(list, one);
}

static void print_entry(void *user, const struct attune_cache_entry *e)
{
	struct listing *l = user;
	l->count++;
	if (l->list) {
		add_json(l->list, e);
		return;
	}
	char time[32];
	printf("%.12s  %s  %s  %s  %d thread%s  %s  %.2fx default  %d trials%s  %s\n", e->digest, e->kernel,
	       e->shape, e->isa, e->threads, e->threads == 1 ? "" : "s", seconds_text(e->seconds, time),
	       e->ratio, e->trials, e->complete ? "" : " (stopped early)", e->when);
	if (l->schedules)
		printf("\nerror %.2g, compiled by %s\n%s\n", e->error, e->toolchain, e->schedule);
}

static int list(struct attune_context *context, const struct options *o, bool schedules)
{
	struct attune_error error;
	struct listing l = {.list = o->json ? cJSON_CreateArray() : NULL, .schedules = schedules};
	const char *prefix = o->word.n > 1 ? o->word.v[1] : NULL;
	if (attune_cache_list(context, prefix, print_entry, &l, &error)) {
		cJSON_Delete(l.list);
		return complain(&error);
	}
	if (l.list)
		return print_json(l.list);
	if (!l.count && prefix)
		return complain_of(ATTUNE_PROGRAM, "nothing in the cache begins with '%s'", prefix);
	return 0;
}

static int check(struct attune_context *context, const struct options *o)
{
	struct attune_error error;
	struct attune_cache_report r;
	if (attune_cache_check(context, &r, &error))
		return complain(&error);
	const char *path = attune_cache_path(context);
	if (o->json) {
		cJSON *object = cJSON_CreateObject();
		cJSON_AddStringToObject(object, "file", path ? path : "");
		cJSON_AddBoolToObject(object, "sound", r.sound);
		cJSON_AddNumberToObject(object, "winners", r.winners);
		cJSON_AddNumberToObject(object, "trials", r.trials);
		cJSON_AddNumberToObject(object, "artifacts", r.artifacts);
		cJSON_AddNumberToObject(object, "quarantined", r.quarantined);
		cJSON_AddStringToObject(object, "finding", r.finding);
		print_json(object);
	} else {
		printf("%s: %s; %d winners, %d trials, %d objects, %d in quarantine\n",
		       path ? path : "no cache", r.sound ? "sound" : "damaged", r.winners, r.trials,
		       r.artifacts, r.quarantined);
		if (*r.finding)
			printf("%s\n", r.finding);
	}
	return r.sound ? 0 : ATTUNE_SYSTEM;
}

int command_cache(const struct options *o)
{
	const char *what = o->word.n ? o->word.v[0] : "";
	bool ls = !strcmp(what, "ls"), show = !strcmp(what, "show"), checks = !strcmp(what, "check");
	if (!ls && !show && !checks)
		return complain_of(ATTUNE_USAGE, "'attune cache' takes ls, show or check%s%s%s",
		                   *what ? ", not '" : "", what, *what ? "'" : "");
	if (o->word.n > (checks ? 1 : 2))
		return complain_of(ATTUNE_USAGE, "'attune cache %s': '%s' is one word too many", what,
		                   o->word.v[o->word.n - 1]);
	int status = 0;
	struct attune_context *context = open_context(o, &status);
	if (!context)
		return status;
	status = checks ? check(context, o) : list(context, o, show);
	report_cache(context);
	attune_context_free(context);
	return status;
}
