#include "base/diag.h"

#include <string.h>

void diags_init(struct diags *d, struct arena *a, const char *file, const char *source, size_t size)
{
	*d = (struct diags){.arena = a, .file = file, .source = source, .size = size};
}

static void locate(const struct diags *d, struct diag *g)
{
	if (!g->span.begin && !g->span.end)
		return;
	g->line = 1;
	uint32_t start = 0;
	for (uint32_t i = 0; i < g->span.begin && i < d->size; i++)
		if (d->source[i] == '\n') {
			g->line++;
			start = i + 1;
		}
	g->column = g->span.begin - start + 1;
}

static void add(struct diags *d, enum severity severity, struct span span, const char *format, va_list ap)
{
	if (severity == SEVERITY_ERROR)
		d->errors++;
	if (d->list.n >= DIAG_LIMIT)
		return;
	struct diag g = {.severity = severity, .span = span, .message = arena_vprintf(d->arena, format, ap)};
	locate(d, &g);
	vec_push(d->arena, &d->list, g);
}

bool diag_error(struct diags *d, struct span span, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	add(d, SEVERITY_ERROR, span, format, ap);
	va_end(ap);
	return false;
}

void diag_warning(struct diags *d, struct span span, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	add(d, SEVERITY_WARNING, span, format, ap);
	va_end(ap);
}

void diag_help(struct diags *d, const char *format, ...)
{
	if (!d->list.n)
		return;
	va_list ap;
	va_start(ap, format);
	d->list.v[d->list.n - 1].help = arena_vprintf(d->arena, format, ap);
	va_end(ap);
}

/* One source line; tabs become single spaces so that the caret stays under its column. */
static void print_line(const struct diags *d, const struct diag *g, struct text *t)
{
	size_t start = g->span.begin - (g->column - 1), end = start;
	while (end < d->size && d->source[end] != '\n' && d->source[end] != '\r')
		end++;
	text_printf(t, "%4u | ", g->line);
	for (size_t i = start; i < end; i++)
		text_char(t, (unsigned char)d->source[i] < ' ' ? ' ' : d->source[i]);
	text_add(t, "\n     | ");
	for (uint32_t i = 1; i < g->column; i++)
		text_char(t, ' ');
	text_char(t, '^');
	for (size_t i = g->span.begin + 1; i < g->span.end && i < end; i++)
		text_char(t, '~');
	text_char(t, '\n');
}

void diag_print(const struct diags *d, const struct diag *g, struct text *t)
{
	static const char *const severity[] = {"error", "warning", "note"};
	text_printf(t, "%s:", d->file);
	if (g->line)
		text_printf(t, "%u:%u:", g->line, g->column);
	text_printf(t, " %s: %s\n", severity[g->severity], g->message);
	if (g->line && d->source)
		print_line(d, g, t);
	if (g->help)
		text_printf(t, "help: %s\n", g->help);
}

void diags_print(const struct diags *d, struct text *t)
{
	for (uint32_t i = 0; i < d->list.n; i++)
		diag_print(d, &d->list.v[i], t);
	if (d->errors > DIAG_LIMIT)
		text_printf(t, "%s: %u errors in all; the first %d are shown\n", d->file, d->errors,
		            DIAG_LIMIT);
}
