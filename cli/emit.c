/* attune emit */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

static const char *const stages[] = {
        [ATTUNE_STAGE_CASCADE] = "cascade",
        [ATTUNE_STAGE_STREAMS] = "streams",
        [ATTUNE_STAGE_SCHEDULE] = "schedule",
        [ATTUNE_STAGE_TILE] = "tile",
        [ATTUNE_STAGE_C] = "c",
};
enum { STAGES = sizeof stages / sizeof *stages };

static int find_stage(const char *name, int *status)
{
	int stage = 0;
	while (name && stage < STAGES && strcmp(stages[stage], name))
		stage++;
	if (!name || stage == STAGES)
		*status =
		        complain_of(ATTUNE_USAGE, "--stage takes cascade, streams, schedule, tile or c%s%s%s",
		                    name ? ", not '" : "", name ? name : "", name ? "'" : "");
	return stage;
}

static int print_stage(struct attune_program *program, int stage, const char *schedule, bool json)
{
	struct attune_error error;
	char *text = NULL;
	int status = 0;
	if (attune_emit(program, (enum attune_stage)stage, schedule, &text, &error))
		return complain(&error);
	if (json) {
		cJSON *object = cJSON_CreateObject();
		cJSON_AddStringToObject(object, "kernel", attune_program_name(program));
		cJSON_AddStringToObject(object, "digest", attune_program_digest(program));
		cJSON_AddStringToObject(object, "stage", stages[stage]);
		cJSON_AddStringToObject(object, "text", text);
		status = print_json(object);
	} else {
		fputs(text, stdout);
	}
	attune_free(text);
	return status;
}

int command_emit(const struct options *o)
{
	int status = 0, stage = find_stage(o->stage, &status);
	if (status)
		return status;
	struct attune_program *program = NULL;
	char *schedule = open_schedule(o, &status);
	struct attune_context *context = status ? NULL : open_context(o, &status);
	if (context && (program = open_program(context, o, &status)) &&
	    (stage < ATTUNE_STAGE_SCHEDULE || has_extents(program, &status)))
		status = print_stage(program, stage, schedule, o->json);
	if (context)
		report_cache(context);
	attune_program_free(program);
	attune_context_free(context);
	free(schedule);
	return status;
}
