/* common.c: files, contexts and printing for all commands. */
#include "cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int complain(const struct attune_error *e)
{
	fprintf(stderr, "attune: %s\n", e->message);
	return (int)e->status;
}

int complain_of(enum attune_status status, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	fputs("attune: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	return (int)status;
}

char *read_whole(const char *path, size_t *size)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char *text = NULL, *bigger;
	size_t n = 0, cap = 0, got = 0;
	if (!f)
		goto failed;
	do {
		n += got;
		if (n + 1 >= cap) {
			cap = cap ? 2 * cap : 16 << 10;
			if (!(bigger = realloc(text, cap)))
				goto failed;
			text = bigger;
		}
	} while ((got = fread(text + n, 1, cap - n - 1, f)) > 0);
	if (ferror(f))
		goto failed;
	if (f != stdin)
		fclose(f);
	text[n] = 0;
	*size = n;
	return text;
failed:
	complain_of(ATTUNE_SYSTEM, "%s: %s", path, strerror(errno));
	if (f && f != stdin)
		fclose(f);
	free(text);
	return NULL;
}

struct attune_context *open_context(const struct options *o, int *status)
{
	struct attune_options a = {
	        .cache = o->cache, .threads = o->threads, .isa = o->isa, .target = o->target, .arch = o->arch};
	struct attune_context *context = NULL;
	struct attune_error error;
	if (attune_context_new(&a, &context, &error))
		*status = complain(&error);
	return context;
}

int read_program(struct attune_context *context, const char *path, const struct options *o,
                 struct attune_program **program)
{
	size_t size;
	*program = NULL;
	char *text = read_whole(path, &size);
	if (!text)
		return ATTUNE_SYSTEM;
	struct attune_type types[MAX_WORDS];
	for (int i = 0; i < o->as.n; i++)
		types[i] = (struct attune_type){o->as.v[i].name, o->as.v[i].text};
	struct attune_source source = {
	        .text = text,
	        .size = size,
	        .name = strcmp(path, "-") ? path : "standard input",
	        .params = o->param.v,
	        .nparams = o->param.n,
	        .types = types,
	        .ntypes = o->as.n,
	};
	struct attune_error error;
	int status = (int)attune_program_new(context, &source, program, &error);
	free(text);
	if (status && !*program)
		complain(&error);
	return status;
}

static void print_diagnostics(const struct attune_program *program)
{
	int n;
	const struct attune_diagnostic *d = attune_program_diagnostics(program, &n);
	for (int i = 0; i < n; i++)
		fputs(d[i].text, stderr);
}

struct attune_program *open_program(struct attune_context *context, const struct options *o, int *status)
{
	struct attune_program *program;
	struct attune_error error;
	if (o->word.n != 1) {
		*status = o->word.n ? complain_of(ATTUNE_USAGE,
		                                  "'attune %s' takes one FILE; '%s' is one too many",
		                                  command_name(o->command), o->word.v[1])
		                    : complain_of(ATTUNE_USAGE,
		                                  "'attune %s' takes a FILE; see 'attune help %s'",
		                                  command_name(o->command), command_name(o->command));
		return NULL;
	}
	*status = read_program(context, o->word.v[0], o, &program);
	if (program)
		print_diagnostics(program);
	if (!*status && attune_program_bind(program, o->rank.v, o->rank.n, &error))
		*status = complain(&error);
	if (!*status)
		return program;
	attune_program_free(program);
	return NULL;
}

bool has_extents(const struct attune_program *program, int *status)
{
	char missing[1024] = "";
	int n;
	const struct attune_rank *rank = attune_program_ranks(program, &n);
	for (int i = 0; i < n; i++) {
		size_t used = strlen(missing);
		if (rank[i].extent < 0)
			snprintf(missing + used, sizeof missing - used, " %s=N", rank[i].name);
	}
	if (*missing)
		*status = complain_of(ATTUNE_USAGE, "not every rank has an extent; add  -r%s", missing);
	return !*missing;
}

char *open_schedule(const struct options *o, int *status)
{
	size_t size;
	if (!o->schedule)
		return NULL;
	char *text = read_whole(o->schedule, &size);
	if (!text)
		*status = ATTUNE_SYSTEM;
	return text;
}

void report_cache(struct attune_context *context)
{
	for (const char *said; (said = attune_cache_said(context));)
		fprintf(stderr, "attune: %s\n", said);
}

int print_json(cJSON *json)
{
	char *text = cJSON_Print(json);
	cJSON_Delete(json);
	if (!text)
		return complain_of(ATTUNE_SYSTEM, "out of memory");
	puts(text);
	free(text);
	return 0;
}

void json_number(cJSON *object, const char *name, double value)
{
	if (isfinite(value))
		cJSON_AddNumberToObject(object, name, value);
	else
		cJSON_AddNullToObject(object, name);
}

const char *seconds_text(double s, char text[32])
{
	if (s >= 1)
		snprintf(text, 32, "%.3f s", s);
	else if (s >= 1e-3)
		snprintf(text, 32, "%.3f ms", s * 1e3);
	else
		snprintf(text, 32, "%.2f us", s * 1e6);
	return text;
}
