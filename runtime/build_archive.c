/* build_archive.c: ar(5). */
#include "runtime/build.h"

#include <string.h>

static void print_member(const char *name, size_t size, struct text *t)
{
	text_printf(t, "%-16s%-12d%-6d%-6d%-8s%-10zu`\n", name, 0, 0, 0, "644", size);
}

static void big_endian(size_t n, struct text *t)
{
	char byte[4] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
	text_bytes(t, byte, sizeof byte);
}

/* NAME with each of the endings, then the phases; each ended by NUL. */
static const char *symbols(struct arena *a, const char *name, const char *const *ending, const struct kernel_source *s)
{
	struct text names;
	text_init(&names, a);
	for (; *ending; ending++) {
		text_printf(&names, "%s%s", name, *ending);
		text_char(&names, 0);
	}
	for (int i = 0; s && i < s->nphases; i++) {
		text_add(&names, s->phase[i].symbol);
		text_char(&names, 0);
	}
	text_char(&names, 0);
	return names.s;
}

const char *build_symbols(const struct build *b, struct arena *a)
{
	static const char *const all[] = {"", "_run", "_tasks", NULL};
	return symbols(a, b->name, strcmp(b->name, b->library) ? all + 1 : all, b->source);
}

const char *build_choice_symbols(const struct build *b, struct arena *a)
{
	static const char *const all[] = {"", "_run", "_tasks", "_isa", "_use", NULL};
	return symbols(a, b->library, all, NULL);
}

/* The index: a count, the place of the defining member for every symbol, the names. */
void build_archive(const struct build_member *member, int n, struct text *t)
{
	const size_t MAGIC = 8, HEAD = 60;
	struct text names;
	size_t count = 0;
	text_init(&names, t->arena);
	for (int i = 0; i < n; i++)
		for (const char *s = member[i].symbols; *s; s += strlen(s) + 1, count++)
			text_bytes(&names, s, strlen(s) + 1);
	if (names.len % 2)
		text_char(&names, 0);
	size_t index = 4 + 4 * count + names.len, at = MAGIC + HEAD + index;
	text_add(t, "!<arch>\n");
	print_member("/", index, t);
	big_endian(count, t);
	for (int i = 0; i < n; i++) {
		for (const char *s = member[i].symbols; *s; s += strlen(s) + 1)
			big_endian(at, t);
		at += HEAD + member[i].size + member[i].size % 2;
	}
	text_bytes(t, names.s, names.len);
	for (int i = 0; i < n; i++) {
		print_member(arena_printf(t->arena, "%s/", member[i].name), member[i].size, t);
		text_bytes(t, member[i].bytes, member[i].size);
		if (member[i].size % 2)
			text_char(t, '\n');
	}
}
