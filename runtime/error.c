/* error.c: statuses, messages, and the guard that turns lost memory into one of them. */
#include "runtime/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void attune_free(char *text)
{
	free(text);
}

enum attune_status runtime_fail(struct attune_error *error, enum attune_status status, const char *format,
                                ...)
{
	if (!error)
		return status;
	va_list ap;
	va_start(ap, format);
	vsnprintf(error->message, sizeof error->message, format, ap);
	va_end(ap);
	size_t n = strlen(error->message);
	while (n && error->message[n - 1] == '\n')
		error->message[--n] = 0;
	error->status = status;
	return status;
}

enum attune_status runtime_fail_diags(struct attune_error *error, enum attune_status status,
                                      const struct diags *d)
{
	for (uint32_t i = 0; i < d->list.n; i++) {
		const struct diag *g = &d->list.v[i];
		if (g->severity != SEVERITY_ERROR)
			continue;
		const char *file = d->file ? d->file : "program";
		const char *help = g->help ? g->help : "";
		const char *join = g->help ? "; " : "";
		if (g->line)
			return runtime_fail(error, status, "%s:%u:%u: %s%s%s", file, g->line, g->column,
			                    g->message, join, help);
		return runtime_fail(error, status, "%s%s%s", g->message, join, help);
	}
	return runtime_fail(error, status, "the program is at fault");
}

/* On the heap: what longjmp leaves of automatic variables is not to be relied on. */
struct guard {
	struct arena arena;
	jmp_buf env;
};

enum attune_status runtime_try(runtime_work *work, void *context, struct attune_error *error)
{
	struct guard *g = malloc(sizeof *g);
	if (!g)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	arena_init(&g->arena);
	struct guard *volatile kept = g;
	enum attune_status volatile status;
	if (ARENA_TRY(&g->arena, &g->env))
		status = work(context, &kept->arena, error);
	else
		status = runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	arena_free(&kept->arena);
	free(kept);
	return status;
}

enum attune_status runtime_give(const struct text *t, char **out, struct attune_error *error)
{
	char *s = malloc(t->len + 1);
	if (!s)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	memcpy(s, t->s, t->len + 1);
	*out = s;
	return ATTUNE_OK;
}
