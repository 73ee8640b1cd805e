/* attune check: every error of every file. */
#include "cli/cli.h"

static cJSON *diagnostics_json(const struct attune_program *program)
{
	static const char *const severity[] = {"error", "warning", "note"};
	cJSON *list = cJSON_CreateArray();
	int n;
	const struct attune_diagnostic *d = attune_program_diagnostics(program, &n);
	for (int i = 0; i < n; i++) {
		cJSON *one = cJSON_CreateObject();
		cJSON_AddStringToObject(one, "severity", severity[d[i].severity]);
		cJSON_AddNumberToObject(one, "line", d[i].line);
		cJSON_AddNumberToObject(one, "column", d[i].column);
		cJSON_AddNumberToObject(one, "begin", (double)d[i].begin);
		cJSON_AddNumberToObject(one, "end", (double)d[i].end);
		cJSON_AddStringToObject(one, "message", d[i].message);
		if (d[i].help)
			cJSON_AddStringToObject(one, "help", d[i].help);
		cJSON_AddItemToArray(list, one);
	}
	return list;
}

int command_check(const struct options *o)
{
	if (!o->word.n)
		return complain_of(ATTUNE_USAGE, "'attune check' takes one FILE or more");
	int worst = 0;
	struct attune_context *context = open_context(o, &worst);
	if (!context)
		return worst;
	cJSON *files = o->json ? cJSON_CreateArray() : NULL;
	for (int i = 0; i < o->word.n; i++) {
		struct attune_program *program;
		int status = read_program(context, o->word.v[i], o, &program);
		worst = status > worst ? status : worst;
		if (!program)
			continue;
		if (files) {
			cJSON *file = cJSON_CreateObject();
			cJSON_AddStringToObject(file, "file", o->word.v[i]);
			cJSON_AddBoolToObject(file, "ok", !status);
			if (!status)
				cJSON_AddStringToObject(file, "kernel", attune_program_name(program));
			cJSON_AddItemToObject(file, "diagnostics", diagnostics_json(program));
			cJSON_AddItemToArray(files, file);
		} else {
			int n;
			const struct attune_diagnostic *d = attune_program_diagnostics(program, &n);
			for (int k = 0; k < n; k++)
				fputs(d[k].text, stderr);
		}
		attune_program_free(program);
	}
	if (files && print_json(files))
		worst = ATTUNE_SYSTEM;
	attune_context_free(context);
	return worst;
}
