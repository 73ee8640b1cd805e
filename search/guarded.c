/* Buffers that catch a stray access; see sandbox.h. */
#include "search/sandbox.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A wrong stride lands far away: guards cost only address space. */
enum { GUARD = 1 << 20, CANARY = 0xa5, POISON = 0xff };

static char *inner(const struct guarded *g)
{
	return (char *)g->map + GUARD;
}

bool guarded_alloc(struct guarded *g, size_t size, size_t align, enum guard_side side)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	*g = (struct guarded){.size = size};
	if (size > SIZE_MAX / 2)
		return false;
	g->inner_size = (size + page) / page * page; /* a page also for no bytes */
	g->map_size = g->inner_size + 2 * (size_t)GUARD;
	g->map = mmap(NULL, g->map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (g->map == MAP_FAILED || mprotect(inner(g), g->inner_size, PROT_READ | PROT_WRITE)) {
		if (g->map != MAP_FAILED)
			munmap(g->map, g->map_size);
		*g = (struct guarded){0};
		return false;
	}
	memset(inner(g), CANARY, g->inner_size);
	size_t at = side == GUARD_BEFORE ? 0 : (g->inner_size - size) & ~(align - 1);
	g->data = inner(g) + at;
	guarded_poison(g);
	return true;
}

void guarded_poison(struct guarded *g)
{
	if (g->size)
		memset(g->data, POISON, g->size);
}

bool guarded_intact(const struct guarded *g)
{
	const char *end = inner(g) + g->inner_size, *data = g->data;
	for (const char *p = inner(g); p < end; p++)
		if ((p < data || p >= data + g->size) && *(const unsigned char *)p != CANARY)
			return false;
	return true;
}

void guarded_free(struct guarded *g)
{
	if (g->map)
		munmap(g->map, g->map_size);
	*g = (struct guarded){0};
}
