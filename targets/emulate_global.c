/* Global memory: only what the launch names, and as it says. Blocks are in no order, so none may read what another
 * writes, and two threads may store one place only if they store the same. */
#include "targets/emulate_block.h"

#include <stdlib.h>
#include <string.h>

bool emulate_global_new(struct emulation *e)
{
	e->written = calloc((size_t)e->launch->memories + 1, sizeof *e->written);
	return e->written != NULL;
}

void emulate_global_free(struct emulation *e)
{
	for (int i = 0; e->written && i < e->launch->memories; i++)
		free(e->written[i]);
	free(e->written);
}

static const char *name_of(const struct emulate_memory *m)
{
	return m->name ? m->name : "a tensor";
}

enum { FAR = 1 << 24 };

/* Where it lies, beside the memory it is nearest to. */
static _Noreturn void outside(const struct lane *l, const char *does, const void *pointer, unsigned size)
{
	const struct emulate_launch *k = emulation->launch;
	const struct emulate_memory *near = NULL;
	uintptr_t least = UINTPTR_MAX, p = (uintptr_t)pointer;
	for (int i = 0; i < k->memories; i++) {
		uintptr_t base = (uintptr_t)k->memory[i].base, end = base + k->memory[i].size;
		uintptr_t away = p < base ? base - p : p >= end ? p - end : 0;
		if (away < least) {
			least = away;
			near = &k->memory[i];
		}
	}
	if (!near || least > FAR)
		emulate_fail(l, "%s at address %p, which is far from all it may reach", does, pointer);
	emulate_fail(l, "%s bytes %lld to %lld of %s, which has %zu", does,
	             (long long)(p - (uintptr_t)near->base), (long long)(p - (uintptr_t)near->base + size - 1),
	             name_of(near), near->size);
}

/* The memory that `size` bytes at p are in; fails when there is none. */
static int memory_at(const struct lane *l, const char *does, const void *p, unsigned size, unsigned align)
{
	struct emulation *e = emulation;
	const struct emulate_launch *k = e->launch;
	uintptr_t at = (uintptr_t)p;
	for (int n = 0, i = e->hint; n < k->memories; n++, i = i + 1 < k->memories ? i + 1 : 0) {
		const struct emulate_memory *m = &k->memory[i];
		uintptr_t base = (uintptr_t)m->base;
		if (at < base || at - base >= m->size || m->size - (at - base) < size)
			continue;
		e->hint = i;
		if (at % align)
			emulate_fail(l, "%s %u bytes at byte %zu of %s, an address that is no multiple of %u", does, size,
			             (size_t)(at - base), name_of(m), align);
		return i;
	}
	outside(l, does, p, size);
}

static _Noreturn void disorder(const struct lane *l, const char *does, size_t offset, const struct emulate_memory *m,
                               uint32_t writer)
{
	unsigned threads = (unsigned)emulation->launch->threads;
	emulate_fail(l, "%s byte %zu of %s, which block %u, %s wrote; nothing puts them in order", does, offset, name_of(m),
	             (writer - 1) / threads, emulate_who((writer - 1) % threads).s);
}

void emulate_global_read(const struct lane *l, const void *p, unsigned size, unsigned align)
{
	struct emulation *e = emulation;
	int i = memory_at(l, "reads", p, size, align);
	const struct emulate_memory *m = &e->launch->memory[i];
	if (!e->written[i])
		return;
	size_t offset = (size_t)((const char *)p - (const char *)m->base);
	for (size_t b = offset; b < offset + size; b++)
		if (e->written[i][b] && (e->written[i][b] - 1) / (unsigned)e->launch->threads != (uint32_t)e->block)
			disorder(l, "reads", b, m, e->written[i][b]);
}

static void write_global(const struct lane *l, void *p, const void *from, unsigned size)
{
	struct emulation *e = emulation;
	int i = memory_at(l, "writes", p, size, size);
	const struct emulate_memory *m = &e->launch->memory[i];
	size_t offset = (size_t)((char *)p - (char *)m->base);
	uint32_t me = (uint32_t)e->block * (unsigned)e->launch->threads + l->thread + 1;
	if (!m->writable)
		emulate_fail(l, "writes byte %zu of %s, which is read only", offset, name_of(m));
	if (!e->written[i] && !(e->written[i] = calloc(m->size, sizeof **e->written)))
		emulate_fail(l, "out of memory");
	uint32_t *writer = e->written[i] + offset;
	for (unsigned b = 0; b < size; b++) {
		if (writer[b] && writer[b] != me && ((unsigned char *)p)[b] != ((const unsigned char *)from)[b])
			disorder(l, "writes", offset + b, m, writer[b]);
		writer[b] = me;
	}
	memcpy(p, from, size);
	e->counts.stored += size;
}

#define LOAD(result, name, type)                                                                             \
	result emulate_##name(const void *p)                                                                 \
	{                                                                                                    \
		type bits;                                                                                   \
		emulate_global_read(emulation->self, p, sizeof bits, sizeof bits);                           \
		emulation->counts.loaded += sizeof bits;                                                     \
		memcpy(&bits, p, sizeof bits);                                                               \
		return bits;                                                                                 \
	}
#define STORE(name, parameter, type)                                                                         \
	void emulate_##name(void *p, parameter bits)                                                         \
	{                                                                                                    \
		type low = (type)bits;                                                                       \
		write_global(emulation->self, p, &low, sizeof low);                                          \
	}

LOAD(unsigned, load_u8, uint8_t)
LOAD(unsigned, load_u16, uint16_t)
LOAD(unsigned, load_u32, uint32_t)
LOAD(unsigned long, load_u64, uint64_t)
STORE(store_u8, unsigned, uint8_t)
STORE(store_u16, unsigned, uint16_t)
STORE(store_u32, unsigned, uint32_t)
STORE(store_u64, unsigned long, uint64_t)
