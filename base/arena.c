#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK = 16 << 10, LARGEST_BLOCK = 1 << 20, ALIGN = 16 };

struct arena_block {
	struct arena_block *older;
	size_t size;
};

void arena_init(struct arena *a)
{
	*a = (struct arena){0};
}

void arena_free(struct arena *a)
{
	for (struct arena_block *b = a->block, *older; b; b = older) {
		older = b->older;
		free(b);
	}
	arena_init(a);
}

static _Noreturn void out_of_memory(struct arena *a)
{
	if (a->out_of_memory)
		longjmp(*a->out_of_memory, 1);
	fputs("attune: out of memory outside any ARENA_TRY\n", stderr);
	abort();
}

static void new_block(struct arena *a, size_t need)
{
	size_t size = a->block ? a->block->size * 2 : FIRST_BLOCK;
	if (size > LARGEST_BLOCK)
		size = LARGEST_BLOCK;
	if (size < need + sizeof(struct arena_block) + ALIGN)
		size = need + sizeof(struct arena_block) + ALIGN;
	if (size < need || (a->limit && a->total + size > a->limit))
		out_of_memory(a);
	struct arena_block *b = malloc(size);
	if (!b)
		out_of_memory(a);
	b->older = a->block;
	b->size = size;
	a->block = b;
	a->total += size;
	a->end = (char *)b + size;
	a->at = (char *)(((uintptr_t)(b + 1) + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1));
}

void *arena_alloc(struct arena *a, size_t size)
{
	if (++a->count == a->fail_at || size > SIZE_MAX / 2)
		out_of_memory(a);
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!a->at || size > (size_t)(a->end - a->at))
		new_block(a, size);
	char *p = a->at;
	a->at += size;
	return memset(p, 0, size);
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	if (size && n > SIZE_MAX / 2 / size)
		out_of_memory(a);
	return arena_alloc(a, n * size);
}

void *arena_copy(struct arena *a, const void *from, size_t size)
{
	void *p = arena_alloc(a, size);
	return size ? memcpy(p, from, size) : p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = arena_alloc(a, n + 1);
	if (n)
		memcpy(p, s, n);
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_vprintf(struct arena *a, const char *format, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	char *p = arena_alloc(a, (size_t)(n < 0 ? 0 : n) + 1);
	vsnprintf(p, (size_t)(n < 0 ? 0 : n) + 1, format, ap);
	return p;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	char *p = arena_vprintf(a, format, ap);
	va_end(ap);
	return p;
}

void *vec_grow(struct arena *a, void *old, uint32_t *cap, size_t size)
{
	uint32_t n = *cap;
	if (n > UINT32_MAX / 2)
		out_of_memory(a);
	uint32_t bigger = n ? 2 * n : 8;
	void *v = arena_array(a, bigger, size);
	if (n)
		memcpy(v, old, n * size);
	*cap = bigger;
	return v;
}
