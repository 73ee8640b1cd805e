/* fill.c: values of inputs by equations of the language, over the program's own ranks, indices and params. */
#include "runtime/internal.h"

#include <ctype.h>
#include <string.h>

#include "dsl/parse.h"

static bool begins(const char *s, const char *word)
{
	size_t n = strlen(word);
	return !strncmp(s, word, n) && (s[n] == ' ' || s[n] == '\t');
}

/* Lines of the program's text that declare what equations may name, and the indented lines after them. */
static void declarations(const struct attune_program *p, struct text *to)
{
	bool wanted = false;
	const char *end = p->diags.source + p->diags.size;
	for (const char *s = p->diags.source; s < end;) {
		size_t n = strcspn(s, "\n");
		if (!isspace((unsigned char)*s) && *s != '#')
			wanted = begins(s, "rank") || begins(s, "param") || begins(s, "index");
		if (wanted) {
			text_bytes(to, s, n);
			text_char(to, '\n');
		}
		s += n + (s[n] == '\n');
	}
}

/* Declares the input that a line gives values to. */
static enum attune_status declare_line(const struct attune_program *p, struct arena *arena, const char *line,
                                       struct text *to, struct attune_error *error)
{
	size_t n = 0;
	while (isalnum((unsigned char)line[n]) || line[n] == '_')
		n++;
	const char *name = arena_strndup(arena, line, n);
	uint32_t t = n ? cascade_find_tensor(p->cascade, name) : UINT32_MAX;
	if (t == UINT32_MAX || p->cascade->tensor.v[t].role != ROLE_IN)
		return runtime_fail(error, ATTUNE_USAGE, "'%s' gives values to no input of the program",
		                    line);
	tensor_print(p->cascade, t, ROLE_OUT, to);
	return ATTUNE_OK;
}

static enum attune_status fail(struct diags *d, uint32_t before, struct attune_error *error)
{
	for (uint32_t i = 0; i < d->list.n; i++) /* lines of the caller's text */
		d->list.v[i].line = d->list.v[i].line > before ? d->list.v[i].line - before : 0;
	return runtime_fail_diags(error, ATTUNE_USAGE, d);
}

static uint32_t count_lines(const char *s)
{
	uint32_t n = 0;
	for (; *s; s++)
		n += *s == '\n';
	return n;
}

enum attune_status program_fill(const struct attune_program *p, struct arena *arena, const char *equations,
                                struct oracle_tensor *data, struct attune_error *error)
{
	const size_t memory = (size_t)2 << 30;
	struct text text;
	struct diags d;
	text_init(&text, arena);
	text_add(&text, "kernel fill\n");
	declarations(p, &text);
	/* A whole number below n that looks arbitrary. */
	text_add(&text, "fn random(i; n) = xor((i + 12345) * 40503 % 65536, (i + 777) * 9973 % 65521) % n\n");
	for (const char *s = equations; *s;) {
		size_t n = strcspn(s, "\n");
		const char *line = arena_strndup(arena, s, n);
		enum attune_status status = n && !isspace((unsigned char)*line)
		                                    ? declare_line(p, arena, line, &text, error)
		                                    : ATTUNE_OK;
		if (status)
			return status;
		s += n + (s[n] == '\n');
	}
	uint32_t before = count_lines(text.s);
	text_printf(&text, "%s\n", equations);
	diags_init(&d, arena, "fill", text.s, text.len);
	struct cascade *c = cascade_parse(arena, text.s, text.len, p->param, p->nparams, &d);
	if (!c)
		return fail(&d, before, error);
	for (uint32_t r = 0; r < c->rank.n; r++) {
		uint32_t same = cascade_find_rank(p->cascade, c->rank.v[r].name);
		if (same != UINT32_MAX)
			c->rank.v[r].extent = p->cascade->rank.v[same].extent;
	}
	struct oracle_tensor *value = arena_new_array(arena, c->tensor.n, struct oracle_tensor);
	if (!cascade_check_bound(c, &d) || !oracle_run(arena, c, value, memory, &d))
		return fail(&d, before, error);
	for (uint32_t i = 0; i < c->tensor.n; i++) {
		uint32_t to = c->tensor.v[i].role == ROLE_OUT
		                      ? cascade_find_tensor(p->cascade, c->tensor.v[i].name)
		                      : UINT32_MAX;
		if (to == UINT32_MAX)
			continue;
		data[to] = (struct oracle_tensor){.data = value[i].data, .count = value[i].count};
		for (int64_t k = 0; k < value[i].count; k++)
			data[to].data[k] = dtype_round(c->tensor.v[i].dtype, value[i].data[k]);
	}
	return ATTUNE_OK;
}
