/* How a stream skips what its predicate leaves out: what is legal, the default, what a search tries. */
#include "codegen/schedule.h"

#include "base/whole.h"

enum {
	LIST_WALK = 512,        /* coordinates of a walk that is worth a list */
	LIST_ROWS = 64,         /* rows that share what is prepared for it */
	LIST_LIMIT = 256 << 20, /* bytes of all lists of a stream */
	FINE_ROWS = 32,         /* of a task whose list is its own: more would walk the union of what they see */
	ROWS_MOST = 128,
	BAND_MOST = 768,        /* coordinates of a tile that holds all that a block of rows sees */
};

const char *const sparsity_name[SPARSITIES] = {[SPARSITY_BOUNDS] = "bounds",
                                               [SPARSITY_TEST] = "test",
                                               [SPARSITY_LIST] = "list",
                                               [SPARSITY_MASK] = "mask"};

static const struct streams *streams_of(const struct problem *p, const struct schedule *s)
{
	return problem_streams(p, s->form);
}

bool sparsity_is_fine(const struct stream_plan *p)
{
	return !p->whole && (p->band || (p->tensors && p->listable));
}

/* Bytes of a stream's lists: at most a run a granule, for every tile of rows and task coordinate. */
static double list_bytes(const struct streams *all, const struct stream_plan *p, const struct stream_schedule *d)
{
	double n = (double)plan_extent(all, p->walked) / (double)d->granule + 1;
	n *= (double)plan_extent(all, p->rows) / (double)d->row_tile + 1;
	for (int i = 0; i < p->ntasks; i++)
		if (p->task[i] != p->rows &&
		    expr_mentions(&all->cascade->pool, p->stream->present, OP_INDEX, p->task[i]))
			n *= (double)plan_extent(all, p->task[i]);
	return 8 * n;
}

static const char *illegal_list(struct arena *arena, const struct streams *all, const struct schedule *s,
                                const struct stream_plan *p, int i)
{
	const struct stream_schedule *d = &s->stream[i];
	if (isa_is_device(s->isa))
		return arena_printf(arena, "stream %d: a device walks no lists; sparsity is bounds, test or mask", i);
	if (!p->stream->present.id || p->rows == NO_INDEX)
		return arena_printf(arena, "stream %d has no %s to list its tiles by", i,
		                    p->rows == NO_INDEX ? "rows" : "predicate");
	if (!p->listable)
		return arena_printf(arena,
		                    "stream %d: its predicate reads tensors in a way that tiles cannot be listed by", i);
	if (d->granule < 1)
		return arena_printf(arena, "stream %d: a list has granules of at least one coordinate", i);
	int64_t lanes = isa_info[s->isa].lanes, block = schedule_block(d, s->isa);
	if (d->granule_rows && (d->granule_rows % lanes || block % d->granule_rows || d->row_tile / d->granule_rows > BLOCKS_APART))
		return arena_printf(arena,
		                    "stream %d: blocks of %lld rows are no vectors of %lld lanes that divide those of %lld, at most %d of "
		                    "them a task",
		                    i, (long long)d->granule_rows, (long long)lanes, (long long)block, BLOCKS_APART);
	if (list_bytes(all, p, d) > (double)LIST_LIMIT)
		return arena_printf(arena, "stream %d: its lists pass the limit of %d MiB", i, LIST_LIMIT >> 20);
	return NULL;
}

const char *sparsity_illegal(struct arena *arena, const struct problem *problem, const struct schedule *s, int i)
{
	const struct stream_plan *p = schedule_plan(problem, s, i);
	const struct stream_schedule *d = &s->stream[i];
	if (p->whole && d->sparsity != SPARSITY_MASK)
		return arena_printf(
		        arena,
		        "stream %d stores what it computes for every coordinate, so it cannot skip any", i);
	if (d->granule_rows && (d->sparsity != SPARSITY_LIST || !d->across))
		return arena_printf(arena, "stream %d: only lists of rows in the lanes tell blocks of rows apart", i);
	const char *why = d->sparsity == SPARSITY_LIST ? illegal_list(arena, streams_of(problem, s), s, p, i) : NULL;
	if (why || !d->granule)
		return why;
	if (d->sparsity != SPARSITY_TEST && d->sparsity != SPARSITY_LIST)
		return arena_printf(arena, "stream %d: sparsity %s has no granule", i, sparsity_name[d->sparsity]);
	int64_t panel = schedule_panel(p, d, s->isa);
	if (d->granule < 1 || d->granule % panel)
		return arena_printf(arena, "stream %d: a granule of %lld is no multiple of the %lld lanes of a panel", i,
		                    (long long)d->granule, (long long)panel);
	if (d->sparsity == SPARSITY_TEST && d->stream_tile % d->granule)
		return arena_printf(arena, "stream %d: a tile of %lld is not cut into granules of %lld", i,
		                    (long long)d->stream_tile, (long long)d->granule);
	if (d->sparsity == SPARSITY_TEST && isa_is_device(s->isa) && d->granule != d->stream_tile)
		return arena_printf(arena, "stream %d: on a device tiles are tested as a whole", i);
	return NULL;
}

/* Halves until it is at most so large. */
static int64_t halved(int64_t x, int64_t most)
{
	while (x > most && x % 2 == 0)
		x /= 2;
	return x;
}

void sparsity_default(const struct problem *problem, const struct schedule *s, int i, struct stream_schedule *d)
{
	const struct streams *all = streams_of(problem, s);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	d->granule = d->granule_rows = 0;
	d->sparsity = p->whole                                ? SPARSITY_MASK
	              : !p->stream->present.id || p->affine ? SPARSITY_BOUNDS
	                                                      : SPARSITY_TEST;
	int64_t panel = schedule_panel(p, d, s->isa), band = round_up(p->width + d->row_tile + panel, panel);
	if (p->width && !isa_is_device(s->isa) && band <= BAND_MOST && band <= round_up(plan_extent(all, p->walked), panel))
		d->stream_tile = band;
	if (d->sparsity != SPARSITY_TEST || s->form == FORM_NAIVE || isa_is_device(s->isa))
		return;
	if (panel > 0 && d->stream_tile % panel == 0 && panel < d->stream_tile)
		d->granule = panel; /* what lies between alternatives is as long as it happens to be */
	if (!p->listable || p->rows == NO_INDEX || plan_extent(all, p->walked) < LIST_WALK ||
	    plan_extent(all, p->rows) < LIST_ROWS)
		return;
	struct stream_schedule list = *d;
	int64_t walk = halved(p->walk_granule, d->stream_tile), block = d->ncontracts ? d->contract[0].rows : 1,
	        rows = halved(p->row_granule, ROWS_MOST);
	list.sparsity = SPARSITY_LIST;
	list.granule = walk && walk <= d->stream_tile && walk % panel == 0 ? walk : panel;
	if (p->tensors)
		list.row_tile = rows && rows <= ROWS_MOST && rows % block == 0 ? rows : round_up(FINE_ROWS, block);
	if (list_bytes(all, p, &list) <= (double)LIST_LIMIT)
		*d = list;
}
