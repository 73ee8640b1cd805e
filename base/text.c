#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_init(struct text *t, struct arena *a)
{
	*t = (struct text){.arena = a, .cap = 256};
	t->s = arena_alloc(a, t->cap);
}

static void reserve(struct text *t, size_t more)
{
	if (more < t->cap - t->len)
		return;
	size_t cap = t->cap;
	while (cap - t->len <= more)
		cap *= 2;
	char *s = arena_alloc(t->arena, cap);
	memcpy(s, t->s, t->len);
	t->s = s;
	t->cap = cap;
}

void text_bytes(struct text *t, const char *s, size_t n)
{
	reserve(t, n);
	memcpy(t->s + t->len, s, n);
	t->s[t->len += n] = 0;
}

void text_char(struct text *t, char c)
{
	text_bytes(t, &c, 1);
}

void text_add(struct text *t, const char *s)
{
	text_bytes(t, s, strlen(s));
}

void text_printf(struct text *t, const char *format, ...)
{
	va_list ap, again;
	va_start(ap, format);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n > 0) {
		reserve(t, (size_t)n);
		vsnprintf(t->s + t->len, (size_t)n + 1, format, ap);
		t->len += (size_t)n;
	}
	va_end(ap);
}

void text_indent(struct text *t, int depth)
{
	while (depth-- > 0)
		text_add(t, "  ");
}

void text_number(struct text *t, double x)
{
	if (isnan(x)) {
		text_add(t, "nan");
		return;
	}
	if (isinf(x)) {
		text_add(t, x < 0 ? "-inf" : "inf");
		return;
	}
	char s[40];
	if (x == floor(x) && fabs(x) < 1e15) {
		snprintf(s, sizeof s, "%.0f", x);
		text_add(t, x == 0 && signbit(x) ? "-0" : s);
		return;
	}
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(s, sizeof s, "%.*g", digits, x);
		if (strtod(s, NULL) == x)
			break;
	}
	text_add(t, s);
}
