#include "targets/emulate_block.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL 0xffffffffu

const char *const emulate_order_name[EMULATE_ORDERS] = {"eager", "lazy", "random", "last first"};

_Thread_local struct emulation *emulation;

uint32_t emulate_random(uint32_t below)
{
	struct emulation *e = emulation;
	e->random = e->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((e->random >> 33) % below);
}

/* ---- findings ---- */

struct who emulate_who(unsigned thread)
{
	struct who who;
	if (thread & MANY_LANES)
		snprintf(who.s, sizeof who.s, "warp %u", (thread & ~(unsigned)MANY_LANES) / WARP);
	else
		snprintf(who.s, sizeof who.s, "warp %u, lane %u", thread / WARP, thread % WARP);
	return who;
}

/* Line `n` of a text without its indentation. */
static void quote(char *s, size_t room, const char *text, int n)
{
	for (; text && n > 1; n--)
		if ((text = strchr(text, '\n')))
			text++;
	if (!text || n < 1)
		return;
	text += strspn(text, " \t");
	snprintf(s, room, "\n    %.*s", (int)strcspn(text, "\n"), text);
}

static void finding(struct emulation *e, const struct lane *l, const char *format, va_list ap)
{
	const struct emulate_launch *k = e->launch;
	size_t room = sizeof e->finding, n = 0;
	char *s = e->finding;
	n += (size_t)snprintf(s, room, "kernel %s, ", k->name ? k->name : "without a name");
	if (l->line)
		n += (size_t)snprintf(s + n, room - n, "line %d, ", l->line);
	n += (size_t)snprintf(s + n, room - n, "block %ld, %s: ", e->block, emulate_who(l->thread).s);
	n += (size_t)vsnprintf(s + n, room - n, format, ap);
	if (n < room)
		quote(s + n, room - n, k->text, l->line);
	e->failed = true;
}

void emulate_fail(const struct lane *l, const char *format, ...)
{
	struct emulation *e = emulation;
	va_list ap;
	va_start(ap, format);
	finding(e, l, format, ap);
	va_end(ap);
	/* What the other lanes were at is forgotten with their stacks. */
	fiber_switch(&e->self->fiber, &e->host);
	abort();
}

/* ---- who runs next ---- */

static uint32_t able(const struct warp *w)
{
	return ~(w->waiting | w->barred | w->gone);
}

/* A lane of the warp that can run, those after `after` first; NULL: none. */
static struct lane *able_lane(struct warp *w, unsigned after)
{
	uint32_t can = able(w), later = after == WARP - 1 ? 0 : can & ALL << (after + 1);
	return can ? &w->lane[__builtin_ctz(later ? later : can)] : NULL;
}

/* A warp that can run, other than the one that just did. */
static struct lane *able_warp(struct emulation *e)
{
	int last = (int)(e->self->warp - e->warp), step = e->order == EMULATE_LIFO ? e->warps - 1 : 1;
	int from = e->order == EMULATE_RANDOM ? (int)emulate_random((uint32_t)e->warps) : last + step;
	for (int i = 0; i < e->warps; i++) {
		struct lane *l = able_lane(&e->warp[(from + i * step) % e->warps], WARP - 1);
		if (l)
			return l;
	}
	return NULL;
}

static void run(struct emulation *e, struct lane *to)
{
	struct lane *from = e->self;
	if (to == from)
		return;
	e->self = to;
	fiber_switch(&from->fiber, &to->fiber);
}

static void describe_wait(const struct warp *w, char *s, size_t room)
{
	if (w->gone == ALL)
		snprintf(s, room, "left the kernel");
	else if (w->barred)
		snprintf(s, room, "waits at at_barrier, line %d", w->lane[__builtin_ctz(w->barred)].line);
	else if (w->waiting)
		snprintf(s, room, "waits at at_%s, line %d", w->what, w->line);
	else
		snprintf(s, room, "can run");
}

static _Noreturn void deadlock(struct emulation *e)
{
	char all[1024] = "", what[96], before[96] = "";
	size_t n = 0;
	for (int i = 0; i < e->warps && n < sizeof all - 160; i++) {
		describe_wait(&e->warp[i], what, sizeof what);
		if (strcmp(what, before))
			n += (size_t)snprintf(all + n, sizeof all - n, "%swarp %d %s", i ? "; " : "", i, what);
		else
			n += (size_t)snprintf(all + n, sizeof all - n, ", so does warp %d", i);
		memcpy(before, what, sizeof before);
	}
	emulate_fail(e->self, "nobody can go on (deadlock): %s", all);
}

/* The lane that runs cannot go on. */
static void run_other(struct emulation *e)
{
	struct lane *l = able_lane(e->self->warp, e->self->thread % WARP);
	if (!l)
		l = able_warp(e);
	if (l)
		run(e, l);
	else if (e->gone == e->launch->threads)
		fiber_switch(&e->self->fiber, &e->host);
	else
		deadlock(e);
}

/* A good moment for another warp to come in between. */
static void interrupt(struct emulation *e)
{
	if (e->order != EMULATE_RANDOM)
		return;
	emulate_copies_drift(e->self);
	if (emulate_random(8))
		return;
	struct lane *l = able_warp(e);
	if (l)
		run(e, l);
}

/* ---- who waits for whom ---- */

/* No lane of the warp may be elsewhere. */
static void together(const struct lane *l, const char *what)
{
	const struct warp *w = l->warp;
	if (w->gone)
		emulate_fail(l, "at_%s, but lane %d of the warp has left the kernel (divergence)", what,
		             __builtin_ctz(w->gone));
	if (w->waiting && (w->line != l->line || w->what != what)) /* a primitive names itself in one place */
		emulate_fail(l, "at_%s, but lane %d of the warp is at at_%s, line %d (divergence)", what,
		             __builtin_ctz(w->waiting), w->what, w->line);
}

void emulate_meet(const char *what, const void *argument, collective *act)
{
	struct emulation *e = emulation;
	struct lane *l = e->self;
	struct warp *w = l->warp;
	if (w->gone | w->waiting)
		together(l, what);
	if (w->barred)
		emulate_fail(l, "at_%s, but lane %d of the warp is at at_barrier, line %d (divergence)", what,
		             __builtin_ctz(w->barred), w->lane[__builtin_ctz(w->barred)].line);
	w->what = what;
	w->line = l->line;
	w->argument[l->thread % WARP] = argument;
	w->waiting |= l->bit;
	if (w->waiting != ALL) {
		run_other(e);
		return;
	}
	w->waiting = 0;
	act(l, w->argument);
	interrupt(e);
}

void emulate_barrier(void)
{
	struct emulation *e = emulation;
	struct lane *l = e->self;
	together(l, "barrier");
	if (e->barred && e->barrier_line != l->line) {
		int i = 0;
		while (!e->warp[i].barred)
			i++;
		emulate_fail(l, "at_barrier, but %s is at another one, line %d (divergence)",
		             emulate_who(e->warp[i].lane[__builtin_ctz(e->warp[i].barred)].thread).s,
		             e->barrier_line);
	}
	e->barrier_line = l->line;
	l->warp->barred |= l->bit;
	if (++e->barred < e->launch->threads) {
		run_other(e);
		return;
	}
	e->barred = 0;
	e->since = ++e->now;
	for (int i = 0; i < e->warps; i++) {
		e->warp[i].barred = 0;
		e->warp[i].since = e->since;
	}
	if (e->order == EMULATE_RANDOM)
		for (int i = 0; i < e->launch->threads; i++)
			emulate_copies_drift(&e->lane[i]);
	interrupt(e);
}

static void leave(struct emulation *e, struct lane *l)
{
	struct warp *w = l->warp;
	emulate_copies_end(l);
	if (w->waiting || w->barred) {
		uint32_t others = w->waiting | w->barred;
		emulate_fail(l, "leaves the kernel after this, but lane %d of the warp is at at_%s, line %d (divergence)",
		             __builtin_ctz(others), w->waiting ? w->what : "barrier",
		             w->lane[__builtin_ctz(others)].line);
	}
	w->gone |= l->bit;
	e->gone++;
	run_other(e);
}

static void live(void *context)
{
	struct emulation *e = emulation;
	union {
		void *address;
		void (*code)(const void *);
	} kernel = {e->launch->kernel};
	kernel.code(e->launch->args);
	leave(e, context);
}

/* ---- small primitives ---- */

unsigned emulate_thread(void)
{
	return emulation->self->thread;
}

unsigned emulate_block(void)
{
	return (unsigned)emulation->block;
}

static void sync_warp(struct lane *l, const void *const argument[WARP])
{
	(void)argument;
	l->warp->since = ++emulation->now;
}

void emulate_warp_sync(void)
{
	emulate_meet("warp_sync", NULL, sync_warp);
}

struct shuffle {
	unsigned bits, result;
	int mask;
};

static void shuffle(struct lane *l, const void *const argument[WARP])
{
	for (int i = 0; i < WARP; i++) {
		/* Its lane waits with it on its stack. */
		struct shuffle *s = (struct shuffle *)(uintptr_t)argument[i];
		if (s->mask < 0 || s->mask >= WARP)
			emulate_fail(&l->warp->lane[i], "at_shfl_xor by %d: a warp has 32 lanes", s->mask);
		s->result = ((const struct shuffle *)argument[i ^ s->mask])->bits;
	}
}

unsigned emulate_shfl_xor(unsigned bits, int mask)
{
	struct shuffle s = {bits, 0, mask};
	emulate_meet("shfl_xor", &s, shuffle);
	return s.result;
}

/* ---- launches ---- */

enum { FIRST_POISON = 8 << 10 };

static void run_block(struct emulation *e, long block)
{
	e->block = block;
	e->counts.primitives += e->steps;
	e->steps = 0;
	e->gone = e->barred = 0;
	e->since = ++e->now;
	emulate_shared_begin(e);
	for (int i = 0; i < e->warps; i++) {
		struct warp *w = &e->warp[i];
		w->waiting = w->barred = w->gone = 0;
		w->since = e->since;
	}
	for (int i = 0; i < e->launch->threads; i++) {
		struct lane *l = &e->lane[i];
		/* Variables that the kernel forgets to set are NaN, not what the last block left there. */
		size_t used = (size_t)(l->fiber.high - l->deepest);
		fiber_start(&l->fiber, live, l, used > FIRST_POISON ? used : FIRST_POISON);
		l->line = 0;
	}
	int first = e->order == EMULATE_LIFO     ? e->warps - 1
	            : e->order == EMULATE_RANDOM ? (int)emulate_random((uint32_t)e->warps)
	                                         : 0;
	e->self = e->warp[first].lane;
	fiber_switch(&e->host, &e->self->fiber);
}

static bool prepare(struct emulation *e)
{
	int n = e->launch->threads;
	e->warps = n / WARP;
	e->lane = calloc((size_t)n, sizeof *e->lane);
	e->warp = calloc((size_t)e->warps, sizeof *e->warp);
	if (!e->lane || !e->warp || !emulate_shared_new(e) || !emulate_global_new(e))
		return false;
	struct fiber *fiber[MAX_THREADS];
	for (int i = 0; i < n; i++) {
		struct lane *l = &e->lane[i];
		fiber[i] = &l->fiber;
		l->thread = (unsigned)i;
		l->bit = 1u << i % WARP;
		l->warp = &e->warp[i / WARP];
	}
	for (int i = 0; i < e->warps; i++)
		e->warp[i].lane = &e->lane[i * WARP];
	if (!fiber_stacks_new(&e->stacks, fiber, n))
		return false;
	for (int i = 0; i < n; i++)
		e->lane[i].deepest = fiber[i]->high;
	return true;
}

static void finish(struct emulation *e)
{
	fiber_stacks_free(&e->stacks);
	emulate_shared_free(e);
	emulate_global_free(e);
	for (int i = 0; e->lane && i < e->launch->threads; i++)
		free(e->lane[i].copy);
	free(e->lane);
	free(e->warp);
}

bool emulate_run(const struct emulate_launch *launch, const struct emulate_options *o, struct text *finding)
{
	const char *name = launch->name ? launch->name : "without a name";
	if (!launch->kernel || launch->threads < WARP || launch->threads > MAX_THREADS || launch->threads % WARP ||
	    launch->shared_bytes < 0 || launch->shared_bytes > MAX_SHARED || launch->blocks < 0) {
		text_printf(finding,
		            "kernel %s cannot be launched: %ld blocks of %d threads (a multiple of 32 up to 1024) with "
		            "%lld bytes of shared memory (up to %d)",
		            name, launch->blocks, launch->threads, (long long)launch->shared_bytes, MAX_SHARED);
		return false;
	}
	struct emulation *e = calloc(1, sizeof *e), *outer = emulation;
	bool good = e != NULL;
	if (e) {
		e->launch = launch;
		e->order = o->order;
		e->random = o->seed * 2 + 1;
		e->most_steps = o->steps ? o->steps : (uint64_t)1 << 30;
		emulation = e;
		good = prepare(e);
		for (long i = 0; good && i < launch->blocks && !e->failed; i++)
			run_block(e, i);
		emulation = outer;
		e->counts.primitives += e->steps;
		if (good && !e->failed && o->counts)
			*o->counts = e->counts;
	}
	/* Not before the lanes' stacks are out of use: who finds no memory for the text leaves by longjmp. */
	char said[sizeof e->finding];
	snprintf(said, sizeof said, "kernel %s: out of memory", name);
	bool failed = !good || e->failed;
	if (e && e->failed)
		memcpy(said, e->finding, sizeof said);
	if (e)
		finish(e);
	free(e);
	if (failed)
		text_add(finding, said);
	return !failed;
}
