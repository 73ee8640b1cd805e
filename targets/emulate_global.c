/* Global memory: only what the launch names, and as it says. */
#include "targets/emulate_block.h"

#include <string.h>

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
	             near->name ? near->name : "a tensor", near->size);
}

void emulate_global_at(const struct lane *l, const void *p, unsigned size, unsigned align, bool write)
{
	struct emulation *e = emulation;
	const struct emulate_launch *k = e->launch;
	uintptr_t at = (uintptr_t)p;
	const char *does = write ? "writes" : "reads";
	for (int n = 0, i = e->hint; n < k->memories; n++, i = i + 1 < k->memories ? i + 1 : 0) {
		const struct emulate_memory *m = &k->memory[i];
		uintptr_t base = (uintptr_t)m->base;
		if (at < base || at - base >= m->size || m->size - (at - base) < size)
			continue;
		e->hint = i;
		if (write && !m->writable)
			emulate_fail(l, "writes byte %zu of %s, which is read only", (size_t)(at - base),
			             m->name ? m->name : "a tensor");
		if (at % align)
			emulate_fail(l, "%s %u bytes at byte %zu of %s, an address that is no multiple of %u", does, size,
			             (size_t)(at - base), m->name ? m->name : "a tensor", align);
		return;
	}
	outside(l, does, p, size);
}

#define LOAD(result, name, type)                                                                             \
	result emulate_##name(const void *p)                                                                 \
	{                                                                                                    \
		type bits;                                                                                   \
		emulate_global_at(emulation->self, p, sizeof bits, sizeof bits, false);                      \
		memcpy(&bits, p, sizeof bits);                                                               \
		return bits;                                                                                 \
	}
#define STORE(name, parameter, type)                                                                         \
	void emulate_##name(void *p, parameter bits)                                                         \
	{                                                                                                    \
		type low = (type)bits;                                                                       \
		emulate_global_at(emulation->self, p, sizeof low, sizeof low, true);                         \
		memcpy(p, &low, sizeof low);                                                                 \
	}

LOAD(unsigned, load_u8, uint8_t)
LOAD(unsigned, load_u16, uint16_t)
LOAD(unsigned, load_u32, uint32_t)
LOAD(unsigned long, load_u64, uint64_t)
STORE(store_u8, unsigned, uint8_t)
STORE(store_u16, unsigned, uint16_t)
STORE(store_u32, unsigned, uint32_t)
STORE(store_u64, unsigned long, uint64_t)
