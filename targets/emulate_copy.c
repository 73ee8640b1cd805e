/* Asynchronous copies. From when one is asked for till its group is waited for, nobody may touch its destination:
 * then it is a write by the thread that asked. When the bytes really arrive is up to the order; a kernel that waits
 * as it should cannot tell. */
#include "targets/emulate_block.h"

#include <stdlib.h>
#include <string.h>

static void fill(struct copy *c)
{
	unsigned char *to = emulation->shared + c->to;
	if (c->bytes)
		memcpy(to, c->from, c->bytes);
	memset(to + c->bytes, 0, (size_t)c->size - c->bytes);
	c->filled = true;
}

void emulate_cp_async(unsigned shared, const void *p, int size, int bytes)
{
	struct emulation *e = emulation;
	struct lane *l = e->self;
	if (size != 4 && size != 8 && size != 16)
		emulate_fail(l, "at_cp_async of %d bytes: it is 4, 8 or 16", size);
	if (bytes < 0 || bytes > size)
		emulate_fail(l, "at_cp_async with %d bytes of %d from memory", bytes, size);
	uint32_t to = emulate_shared_at(l, "at_cp_async", shared, (unsigned)size, (unsigned)size);
	if ((uintptr_t)p % (unsigned)size)
		emulate_fail(l, "at_cp_async from an address that is no multiple of %d", size);
	if (bytes)
		emulate_global_read(l, p, (unsigned)bytes, 1);
	e->counts.copied += (unsigned)bytes;
	emulate_write_words(l, l->thread, to, (unsigned)size / 4);
	for (int i = 0; i < size / 4; i++)
		e->word[to / 4 + (unsigned)i].flight = (uint16_t)(l->thread + 1);
	memset(e->shared + to, 0xff, (size_t)size);
	if (l->copies == l->copies_room) {
		int room = 2 * l->copies_room + 16;
		struct copy *more = realloc(l->copy, (size_t)room * sizeof *more);
		if (!more)
			emulate_fail(l, "out of memory");
		l->copy = more;
		l->copies_room = room;
	}
	struct copy *c = &l->copy[l->copies++];
	*c = (struct copy){.from = p,
	                   .to = to,
	                   .group = l->group,
	                   .line = e->word[to / 4].cell.write.line,
	                   .size = (uint8_t)size,
	                   .bytes = (uint8_t)bytes};
	if (e->order == EMULATE_EAGER)
		fill(c);
}

void emulate_cp_commit(void)
{
	emulation->self->group++;
}

void emulate_cp_wait(int groups)
{
	struct emulation *e = emulation;
	struct lane *l = e->self;
	if (groups < 0)
		emulate_fail(l, "at_cp_wait for %d groups", groups);
	int end = l->first_copy;
	while (end < l->copies && l->copy[end].group < l->group && l->group - l->copy[end].group > (unsigned)groups)
		end++;
	bool last_first = e->order == EMULATE_LIFO;
	for (int i = l->first_copy; i < end; i++) {
		struct copy *c = &l->copy[last_first ? end - 1 - (i - l->first_copy) : i];
		if (!c->filled)
			fill(c);
		for (struct word *w = &e->word[c->to / 4]; w < &e->word[(c->to + c->size) / 4]; w++) {
			w->cell.write.when = e->now;
			w->flight = 0;
		}
	}
	l->first_copy = end;
	if (end == l->copies)
		l->first_copy = l->copies = 0;
}

void emulate_copies_drift(struct lane *l)
{
	for (int i = l->first_copy; i < l->copies; i++)
		if (!l->copy[i].filled && !emulate_random(4))
			fill(&l->copy[i]);
}

void emulate_copies_end(struct lane *l)
{
	if (l->first_copy < l->copies) {
		const struct copy *c = &l->copy[l->first_copy];
		bool committed = c->group < l->group;
		emulate_fail(l, "leaves the kernel after this, but the copy it asked for in line %u was never %s", (unsigned)c->line,
		             committed ? "waited for" : "committed");
	}
	l->group = 0;
}
