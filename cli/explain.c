/* attune explain: texts, and pictures of what predicates leave out. */
#include "cli/arguments.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct screen {
	time_t start;
	int last; /* percent, as shown */
};

/* What takes over two seconds says how far it is. */
static void show_progress(void *user, double share)
{
	struct screen *s = user;
	int percent = (int)(100 * share);
	if (percent == s->last || time(NULL) - s->start < 3)
		return;
	s->last = percent;
	fprintf(stderr, "\r\033[K%s%d%%%s", percent < 100 ? "looking at tiles: " : "", percent,
	        percent < 100 ? "" : "\r\033[K");
	fflush(stderr);
}

static int write_picture(const char *path, const char *text)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "we") : stdout;
	if (!f)
		return complain_of(ATTUNE_SYSTEM, "%s: %s", path, strerror(errno));
	fputs(text, f);
	if (f == stdout)
		return 0;
	bool bad = ferror(f);
	return fclose(f) || bad ? complain_of(ATTUNE_SYSTEM, "%s: %s", path, strerror(errno)) : 0;
}

static int print(struct attune_program *program, const struct options *o,
                 const struct attune_explain_options *options)
{
	struct attune_error error;
	char *text = NULL;
	int status = 0;
	if (attune_explain(program, options, o->json ? ATTUNE_JSON : ATTUNE_TEXT, &text, &error))
		return complain(&error);
	if (options->svg)
		status = write_picture(o->svg, *options->svg);
	if (!o->svg || strcmp(o->svg, "-"))
		fputs(text, stdout);
	attune_free(text);
	return status;
}

/* Lines of the equations given; malloc'ed, NULL where there are none. */
static char *join(const struct words *w)
{
	size_t n = 1;
	for (int i = 0; i < w->n; i++)
		n += strlen(w->v[i]) + 1;
	char *text = w->n ? calloc(1, n) : NULL;
	for (int i = 0; text && i < w->n; i++) {
		strcat(text, w->v[i]);
		strcat(text, "\n");
	}
	return text;
}

int command_explain(const struct options *o)
{
	int status = 0;
	struct arguments arguments = {0};
	struct attune_program *program = NULL;
	char *picture = NULL, *fill = join(&o->fill), *schedule = open_schedule(o, &status);
	struct attune_context *context = status ? NULL : open_context(o, &status);
	if (context && (program = open_program(context, o, &status))) {
		struct screen screen = {time(NULL), -1};
		status = arguments_read(&arguments, program, o, false);
		struct attune_explain_options options = {.schedule = schedule,
		                                         .tensors = arguments.pointer,
		                                         .count = arguments.n,
		                                         .fill = fill,
		                                         .maps = o->map,
		                                         .utf8 = o->utf8 && isatty(STDOUT_FILENO),
		                                         .svg = o->svg ? &picture : NULL,
		                                         .progress =
		                                                 isatty(STDERR_FILENO) ? show_progress : NULL,
		                                         .user = &screen};
		if (!status)
			status = print(program, o, &options);
		attune_free(picture);
		arguments_free(&arguments);
		report_cache(context);
	}
	attune_program_free(program);
	attune_context_free(context);
	free(schedule);
	free(fill);
	return status;
}
