/* Shared memory, and the races on it: two accesses of one place, one of them a write, that nothing puts in order. */
#include "targets/emulate_block.h"

#include <stdlib.h>
#include <string.h>

bool emulate_shared_new(struct emulation *e)
{
	size_t words = (size_t)(e->launch->shared_bytes + 3) / 4;
	e->shared = malloc(4 * words + 1);
	/* Pages of what no access touches are never made. */
	e->word = calloc(words + 1, sizeof *e->word);
	e->byte = calloc(4 * words + 1, sizeof *e->byte);
	return e->shared && e->word && e->byte;
}

void emulate_shared_free(struct emulation *e)
{
	free(e->shared);
	free(e->word);
	free(e->byte);
}

/* All ones are a NaN in f32, f16 and bf16. */
void emulate_shared_begin(struct emulation *e)
{
	memset(e->shared, 0xff, (size_t)e->launch->shared_bytes);
}

unsigned emulate_shared_base(void)
{
	return SHARED_BASE;
}

uint32_t emulate_shared_at(const struct lane *l, const char *what, unsigned address, unsigned size, unsigned align)
{
	int64_t bytes = emulation->launch->shared_bytes, offset = (int64_t)address - SHARED_BASE;
	if (address < SHARED_BASE)
		emulate_fail(l, "%s: shared address %u lies before at_shared_base(), which is %d", what, address,
		             SHARED_BASE);
	if (offset + size > bytes)
		emulate_fail(l, "%s: bytes %lld to %lld of shared memory, which has %lld", what, (long long)offset,
		             (long long)(offset + size - 1), (long long)bytes);
	if (offset % align)
		emulate_fail(l, "%s: shared memory at byte %lld, not a multiple of %u", what, (long long)offset, align);
	return (uint32_t)offset;
}

/* ---- races ---- */

static inline bool ordered(const struct emulation *e, const struct lane *l, unsigned who, const struct touch *t)
{
	return t->when < e->since || t->thread == who ||
	       ((t->thread & ~(unsigned)MANY_LANES) / WARP == l->thread / WARP && t->when < l->warp->since);
}

static _Noreturn void race(const struct lane *l, uint32_t offset, const char *does, const char *did,
                           const struct touch *t)
{
	bool same = (t->thread & ~(unsigned)MANY_LANES) / WARP == l->thread / WARP;
	emulate_fail(l, "%s byte %u of shared memory, which %s %s in line %u with no %s since (race)", does,
	             (unsigned)offset, emulate_who(t->thread).s, did, (unsigned)t->line,
	             same ? "at_barrier or at_warp_sync" : "at_barrier");
}

static inline struct touch touch_now(const struct emulation *e, const struct lane *l, unsigned who)
{
	return (struct touch){e->now, (uint16_t)who, (uint16_t)(l->line < UINT16_MAX ? l->line : UINT16_MAX)};
}

static inline void check_read(const struct emulation *e, const struct lane *l, unsigned who, uint32_t offset,
                              const struct cell *c)
{
	if (!ordered(e, l, who, &c->write))
		race(l, offset, "reads", "wrote", &c->write);
}

static inline void check_write(const struct emulation *e, const struct lane *l, unsigned who, uint32_t offset,
                               const struct cell *c)
{
	if (!ordered(e, l, who, &c->write))
		race(l, offset, "writes", "wrote", &c->write);
	if (!ordered(e, l, who, &c->read))
		race(l, offset, "writes", "read", &c->read);
	if (!ordered(e, l, who, &c->other))
		race(l, offset, "writes", "read", &c->other);
}

/* A second lane of a warp makes it many; of reads by two warps, any write is unordered with one. */
static inline void note_read(const struct emulation *e, const struct lane *l, unsigned who, struct cell *c)
{
	struct touch now = touch_now(e, l, who), *r = &c->read;
	if (r->when >= e->since) {
		if ((r->thread & ~(unsigned)MANY_LANES) / WARP != l->thread / WARP)
			c->other = *r;
		else if (r->when >= l->warp->since && r->thread != who)
			now.thread |= MANY_LANES;
	}
	*r = now;
}

static _Noreturn void in_flight(const struct lane *l, uint32_t offset, const char *does, const struct word *w)
{
	emulate_fail(l, "%s byte %u of shared memory while the copy is in flight that %s asked for in line %u", does,
	             (unsigned)offset, emulate_who(w->flight - 1u).s, (unsigned)w->cell.write.line);
}

void emulate_read_words(const struct lane *l, unsigned who, uint32_t offset, unsigned words)
{
	struct emulation *e = emulation;
	for (struct word *w = &e->word[offset / 4]; words--; w++, offset += 4) {
		/* Nobody has written since, else that would have been a race or has come before this. */
		if (w->cell.read.when == e->now && w->cell.read.thread == who && !w->flight && w->split < e->since)
			continue;
		if (w->flight)
			in_flight(l, offset, "reads", w);
		check_read(e, l, who, offset, &w->cell);
		if (w->split >= e->since)
			for (uint32_t i = offset; i < offset + 4; i++)
				check_read(e, l, who, i, &e->byte[i]);
		note_read(e, l, who, &w->cell);
	}
}

void emulate_write_words(const struct lane *l, unsigned who, uint32_t offset, unsigned words)
{
	struct emulation *e = emulation;
	for (struct word *w = &e->word[offset / 4]; words--; w++, offset += 4) {
		if (w->flight)
			in_flight(l, offset, "writes", w);
		check_write(e, l, who, offset, &w->cell);
		if (w->split >= e->since)
			for (uint32_t i = offset; i < offset + 4; i++)
				check_write(e, l, who, i, &e->byte[i]);
		w->cell.write = touch_now(e, l, who);
	}
}

/* Of less than a word. */
static void touch_bytes(const struct lane *l, uint32_t offset, unsigned size, bool write)
{
	struct emulation *e = emulation;
	struct word *w = &e->word[offset / 4];
	unsigned who = l->thread;
	if (w->flight)
		in_flight(l, offset, write ? "writes" : "reads", w);
	(write ? check_write : check_read)(e, l, who, offset, &w->cell);
	for (uint32_t i = offset; i < offset + size; i++) {
		struct cell *c = &e->byte[i];
		(write ? check_write : check_read)(e, l, who, i, c);
		if (write)
			c->write = touch_now(e, l, who);
		else
			note_read(e, l, who, c);
	}
	w->split = e->now;
}

/* ---- primitives ---- */

unsigned emulate_load_shared_u8(unsigned shared)
{
	struct lane *l = emulation->self;
	uint32_t offset = emulate_shared_at(l, "at_load_shared_u8", shared, 1, 1);
	touch_bytes(l, offset, 1, false);
	return emulation->shared[offset];
}

unsigned emulate_load_shared_u16(unsigned shared)
{
	struct lane *l = emulation->self;
	uint32_t offset = emulate_shared_at(l, "at_load_shared_u16", shared, 2, 2);
	touch_bytes(l, offset, 2, false);
	uint16_t bits;
	memcpy(&bits, emulation->shared + offset, 2);
	return bits;
}

unsigned emulate_load_shared_u32(unsigned shared)
{
	struct lane *l = emulation->self;
	uint32_t offset = emulate_shared_at(l, "at_load_shared_u32", shared, 4, 4), bits;
	emulate_read_words(l, l->thread, offset, 1);
	memcpy(&bits, emulation->shared + offset, 4);
	return bits;
}

void emulate_store_shared_u8(unsigned shared, unsigned bits)
{
	struct lane *l = emulation->self;
	uint32_t offset = emulate_shared_at(l, "at_store_shared_u8", shared, 1, 1);
	touch_bytes(l, offset, 1, true);
	emulation->shared[offset] = (unsigned char)bits;
}

void emulate_store_shared_u16(unsigned shared, unsigned bits)
{
	struct lane *l = emulation->self;
	uint32_t offset = emulate_shared_at(l, "at_store_shared_u16", shared, 2, 2);
	touch_bytes(l, offset, 2, true);
	uint16_t low = (uint16_t)bits;
	memcpy(emulation->shared + offset, &low, 2);
}

void emulate_store_shared_u32(unsigned shared, unsigned bits)
{
	struct lane *l = emulation->self;
	uint32_t offset = emulate_shared_at(l, "at_store_shared_u32", shared, 4, 4);
	emulate_write_words(l, l->thread, offset, 1);
	memcpy(emulation->shared + offset, &bits, 4);
}
