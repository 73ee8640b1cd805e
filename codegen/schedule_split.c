/* How many parts a stream's walk is cut in: what is legal, what a search tries, and the default, which cuts
 * only where the tasks alone would leave processors idle and the walk is long enough to share out. */
#include <math.h>

#include "codegen/schedule.h"

enum {
	SPLIT_MOST = 1024,
	PARTS_LIMIT = 1 << 30, /* bytes of what all parts carry */
	TILES_LEAST = 4,       /* of a walk that is cut */
	HOST_WALK =
	        4096, /* coordinates of one that is cut on a host, where joining costs a barrier of threads */
	SHARES = 8,             /* of a processor, of a walk that may be longer than others */
	SCHEDULERS = 4,         /* of a device's processor */
	DEVICE_PROCESSORS = 132 /* of a device that is not at hand: an H100 or H200 */
};

static const struct streams *streams_of(const struct problem *p, const struct schedule *s)
{
	return problem_streams(p, s->form);
}

static int64_t tiles_of(const struct streams *all, const struct stream_plan *p, int64_t tile)
{
	return tile < 1 ? 0 : (plan_extent(all, p->walked) + tile - 1) / tile;
}

/* Bytes of the carries of one part. */
static double carried(const struct streams *all, const struct stream *s)
{
	double bytes = 0;
	for (uint32_t i = 0; i < s->carry.n; i++) {
		const struct equation *q = &all->cascade->equation.v[s->carry.v[i].equation];
		double n = q->reduce == REDUCE_MEAN || q->reduce == REDUCE_ARGMAX ? 8 : 4;
		for (int k = 0; k < q->nindex; k++)
			n *= (double)plan_extent(all, q->index[k]);
		bytes += n;
	}
	return bytes;
}

const char *split_illegal(struct arena *arena, const struct problem *problem, const struct schedule *s,
                          int stream)
{
	const struct streams *all = streams_of(problem, s);
	const struct stream_plan *p = schedule_plan(problem, s, stream);
	int64_t split = s->stream[stream].split;
	if (split >= 0 && split <= 1)
		return NULL;
	if (split < 0 || split > SPLIT_MOST)
		return arena_printf(arena, "stream %d: a walk is cut in 1 to %d parts", stream, SPLIT_MOST);
	if (p->stream->index == NO_INDEX)
		return arena_printf(arena,
		                    "stream %d carries nothing along its walk: there are no parts to join",
		                    stream);
	if (p->whole)
		return arena_printf(
		        arena,
		        "stream %d stores what its tiles compute, so its walk cannot be cut: parts store "
		        "what they carry only",
		        stream);
	for (uint32_t i = 0; i < p->stream->carry.n; i++) {
		const struct equation *q = &all->cascade->equation.v[p->stream->carry.v[i].equation];
		if (q->nindex >= MAX_RANKS)
			return arena_printf(arena,
			                    "stream %d: %s has no room for the rank of parts beside its %d",
			                    stream, all->cascade->tensor.v[q->tensor].name, q->nindex);
	}
	if (p->ntasks >= MAX_TASKS)
		return arena_printf(arena, "stream %d has %d task indices already", stream, p->ntasks);
	if (carried(all, p->stream) * (double)split > (double)PARTS_LIMIT)
		return arena_printf(arena, "stream %d: what %lld parts carry passes the limit of %d MiB",
		                    stream, (long long)split, PARTS_LIMIT >> 20);
	return NULL;
}

/* Blocks of a device's processor that give each of its schedulers a warp. */
static int blocks_that_fill(const struct problem *problem, const struct schedule *s, int stream)
{
	int warps = schedule_device_need(problem, s, stream).threads / 32;
	return warps > 0 && warps < SCHEDULERS ? (SCHEDULERS + warps - 1) / warps : 1;
}

/* Tasks that walk equally far, where how far depends on what tensors hold; else 0. */
static double tasks_alike(const struct streams *all, const struct stream_plan *p, const struct stream_schedule *d)
{
	const struct expr_pool *pool = &all->cascade->pool;
	struct expr present = p->stream->present;
	if (!present.id || !(expr_at(pool, present)->ops & (uint64_t)1 << OP_READ))
		return 0;
	double n = schedule_tasks(all, p, d->wide_tile, d->row_tile);
	for (int i = 0; i < p->ntasks; i++)
		if (p->task[i] != p->rows && expr_mentions(pool, present, OP_INDEX, p->task[i]))
			n /= (double)plan_extent(all, p->task[i]);
	return n;
}

/* Do tasks of one size keep processors busy for nearly all of the time that they take? */
static bool is_even(double tasks, double processors)
{
	return tasks >= 0.9 * processors * ceil(tasks / processors);
}

int64_t split_default(const struct problem *problem, const struct schedule *s, int stream)
{
	const struct streams *all = streams_of(problem, s);
	const struct stream_plan *p = schedule_plan(problem, s, stream);
	const struct stream_schedule *d = &s->stream[stream];
	const struct machine *m = problem->machine;
	bool device = isa_is_device(s->isa);
	int64_t processors = !device ? m->cores : m->processors ? m->processors : DEVICE_PROCESSORS;
	int64_t tiles = tiles_of(all, p, d->stream_tile);
	double tasks = schedule_tasks(all, p, d->wide_tile, d->row_tile);
	struct schedule cut = *s;
	int64_t split = 1;
	if (tasks < 1 || tiles < TILES_LEAST || (!device && plan_extent(all, p->walked) < HOST_WALK))
		return 0;
	double enough = (double)processors * (device ? blocks_that_fill(problem, s, stream) : 1);
	/* Also where some processors would have a task more than others. */
	while (2 * split <= tiles / 2 &&
	       (tasks * (double)split < enough || (!device && !is_even(tasks * (double)split, (double)processors))))
		split *= 2;
	/* One walk may be nearly all there is: then each processor gets several shares of it, and is idle for a small one
	 * at most. Shares of the others are as many, of whole tiles, and where there is nothing, nothing. */
	double alike = tasks_alike(all, p, d);
	while (!device && alike > 0 && alike * (double)split < SHARES * enough && 2 * split <= tiles / 2)
		split *= 2;
	cut.stream[stream].split = split;
	struct arena reason;
	arena_init(&reason);
	bool legal = split > 1 && !split_illegal(&reason, problem, &cut, stream);
	arena_free(&reason);
	return legal ? split : 0;
}

int split_choices(const struct problem *problem, enum isa isa, int stream, int64_t *choice, int most)
{
	struct schedule s = schedule_default(problem, isa);
	const struct streams *all = streams_of(problem, &s);
	const struct stream_plan *p = schedule_plan(problem, &s, stream);
	const struct machine *m = problem->machine;
	const struct stream_schedule *d = &s.stream[stream];
	double tasks = schedule_tasks(all, p, d->wide_tile, d->row_tile), alike = tasks_alike(all, p, d),
	       enough = (alike > 0 ? 2.0 * SHARES : 4.0) * m->cores;
	int64_t walked = plan_extent(all, p->walked),
	        tile = !isa_is_device(isa) ? d->stream_tile : 64;
	int n = 0;
	if (isa_is_device(isa))
		enough = 4.0 * (m->processors ? m->processors : DEVICE_PROCESSORS);
	else if (walked < HOST_WALK)
		return 0;
	struct arena reason;
	arena_init(&reason);
	for (int64_t split = 1; n < most && split <= SPLIT_MOST; split *= 2) {
		s.stream[stream].split = split;
		if (split > 1 && ((alike > 0 && !isa_is_device(isa) ? alike : tasks) * (double)split > 2 * enough || split * 2 * tile > walked ||
		                  split_illegal(&reason, problem, &s, stream)))
			break;
		choice[n++] = split;
	}
	arena_free(&reason);
	return n > 1 ? n : 0;
}
