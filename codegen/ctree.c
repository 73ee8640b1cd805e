#include "codegen/ctree.h"

#include <ctype.h>
#include <string.h>

enum { COMMENT_WIDTH = 100 };

static struct c_node *append(struct arena *a, struct c_block *b, enum c_kind kind, const char *text)
{
	struct c_node *n = arena_new(a, struct c_node);
	n->kind = kind;
	n->text = text;
	if (b->last)
		b->last->next = n;
	else
		b->first = n;
	b->last = n;
	return n;
}

void c_line(struct arena *a, struct c_block *b, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	append(a, b, C_LINE, arena_vprintf(a, format, ap));
	va_end(ap);
}

void c_comment(struct arena *a, struct c_block *b, const char *text)
{
	append(a, b, C_COMMENT, text);
}

struct c_block *c_open(struct arena *a, struct c_block *b, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	struct c_node *n = append(a, b, C_BLOCK, arena_vprintf(a, format, ap));
	va_end(ap);
	return &n->body;
}

struct c_block *c_group(struct arena *a, struct c_block *b)
{
	return &append(a, b, C_GROUP, NULL)->body;
}

void c_interleave(struct arena *a, struct c_block *to, const struct c_block *from, int n)
{
	const struct c_node **at = arena_array(a, (size_t)n, sizeof *at);
	for (int i = 0; i < n; i++)
		at[i] = from[i].first;
	while (at[0])
		for (int i = 0; i < n; i++) {
			append(a, to, at[i]->kind, at[i]->text);
			at[i] = at[i]->next;
		}
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

bool c_text_mentions(const char *text, const char *name)
{
	size_t n = strlen(name);
	for (const char *s = text; s && (s = strstr(s, name)); s += n)
		if ((s == text || !is_name(s[-1])) && !is_name(s[n]))
			return true;
	return false;
}

bool c_mentions(const struct c_block *b, const char *name)
{
	for (const struct c_node *node = b->first; node; node = node->next)
		if (c_text_mentions(node->text, name))
			return true;
	return false;
}

bool c_mentions_within(const struct c_block *b, const char *name)
{
	for (const struct c_node *node = b->first; node; node = node->next)
		if ((node->kind != C_COMMENT && c_text_mentions(node->text, name)) ||
		    c_mentions_within(&node->body, name))
			return true;
	return false;
}

static void indent(struct text *t, int depth)
{
	while (depth-- > 0)
		text_char(t, '\t');
}

/* Breaks at spaces; a comment's text cannot end the comment early. */
static void print_comment(const char *s, int depth, struct text *t)
{
	size_t column = 0;
	indent(t, depth);
	text_add(t, "/* ");
	while (*s) {
		size_t n = strcspn(s, " ");
		if (column && column + n > COMMENT_WIDTH) {
			text_char(t, '\n');
			indent(t, depth);
			text_add(t, " * ");
			column = 0;
		} else if (column) {
			text_char(t, ' ');
			column++;
		}
		for (size_t i = 0; i < n; i++) {
			text_char(t, s[i]);
			if (s[i] == '*' && s[i + 1] == '/')
				text_char(t, ' ');
		}
		column += n;
		s += n + strspn(s + n, " ");
	}
	text_add(t, " */\n");
}

void c_print(const struct c_block *b, int depth, struct text *t)
{
	bool follows = false; /* an else, on the line of the brace before it */
	for (const struct c_node *n = b->first; n; n = n->next) {
		switch (n->kind) {
		case C_LINE:
			indent(t, *n->text ? depth : 0);
			text_add(t, n->text);
			text_char(t, '\n');
			break;
		case C_COMMENT: print_comment(n->text, depth, t); break;
		case C_BLOCK:
			indent(t, depth * !follows);
			if (*n->text)
				text_printf(t, depth ? "%s " : "%s\n", n->text);
			text_add(t, "{\n");
			c_print(&n->body, depth + 1, t);
			indent(t, depth);
			follows = n->next && n->next->kind == C_BLOCK && !strncmp(n->next->text, "else", 4);
			text_add(t, follows ? "} " : "}\n");
			break;
		case C_GROUP: c_print(&n->body, depth, t); break;
		}
	}
}
