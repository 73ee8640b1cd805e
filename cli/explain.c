/* attune explain */
#include "cli/cli.h"

int command_explain(const struct options *o)
{
	int status = 0;
	struct attune_error error;
	struct attune_program *program = NULL;
	struct attune_context *context = open_context(o, &status);
	if (context && (program = open_program(context, o, &status))) {
		char *text = NULL;
		if (attune_explain(program, o->json ? ATTUNE_JSON : ATTUNE_TEXT, &text, &error))
			status = complain(&error);
		else
			fputs(text, stdout);
		attune_free(text);
	}
	attune_program_free(program);
	attune_context_free(context);
	return status;
}
