/* attune build */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

static void print_summary(const char *directory, const char *manifest)
{
	cJSON *m = cJSON_Parse(manifest), *forms = cJSON_GetObjectItem(m, "forms"), *form, *file;
	printf("%s: %s kernel for %s on %s\n", directory,
	       cJSON_GetStringValue(cJSON_GetObjectItem(m, "origin")),
	       cJSON_GetStringValue(cJSON_GetObjectItem(m, "shape")),
	       cJSON_GetStringValue(cJSON_GetObjectItem(m, "march")));
	cJSON_ArrayForEach(form, forms) if (form != forms->child)
		printf("  and for %s the %s kernel\n", cJSON_GetStringValue(cJSON_GetObjectItem(form, "isa")),
		       cJSON_GetStringValue(cJSON_GetObjectItem(form, "origin")));
	cJSON_ArrayForEach(file, cJSON_GetObjectItem(m, "files")) printf("  %s\n", file->string);
	cJSON_Delete(m);
}

int command_build(const struct options *o)
{
	if (o->output.n != 1)
		return complain_of(ATTUNE_USAGE, "'attune build' takes one folder: -o DIR");
	int status = 0;
	struct attune_error error;
	struct attune_program *program = NULL;
	char *schedule = open_schedule(o, &status);
	struct options one = *o;
	const char *isas = o->isa && strchr(o->isa, ',') ? o->isa : NULL;
	if (isas)
		one.isa = NULL;
	o = &one;
	struct attune_context *context = status ? NULL : open_context(o, &status);
	if (context && (program = open_program(context, o, &status)) && has_extents(program, &status)) {
		struct attune_build_options options = {
		        .directory = o->output.v[0], .name = o->name, .schedule = schedule, .isas = isas};
		char *manifest = NULL;
		if (attune_build(program, &options, &manifest, &error))
			status = complain(&error);
		else if (o->json)
			fputs(manifest, stdout);
		else
			print_summary(o->output.v[0], manifest);
		attune_free(manifest);
		report_cache(context);
	}
	attune_program_free(program);
	attune_context_free(context);
	free(schedule);
	return status;
}
