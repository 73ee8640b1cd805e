/* What a search may choose of a stream on a device. As what operands are multiplied is no choice: it would
 * change the result. */
#include "base/whole.h"
#include "codegen/schedule.h"

static const int64_t warps[] = {1, 2, 4, 8, 12, 16};
static const int64_t tiles[] = {16, 32, 64, 96, 128, 192};
static const int64_t ring_stages[] = {0, 2, 3, 4};
static const int64_t wide_tiles[] = {0, 64, 128, 256};
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

static int64_t extent(const struct space *s, uint32_t index)
{
	int64_t n = plan_extent(problem_streams(s->problem, problem_usual(s->problem, s->isa)), index);
	return n < 1 ? 1 : n;
}

static const char *index_name(const struct space *s, uint32_t index)
{
	return problem_streams(s->problem, problem_usual(s->problem, s->isa))->cascade->index.v[index].name;
}

static void add_rows(struct arena *arena, struct space *s, int i, const struct stream_schedule *usual)
{
	const struct stream_plan *p = &problem_plan(s->problem, problem_usual(s->problem, s->isa))[i];
	const char *rows = index_name(s, p->rows);
	struct dimension *d = space_add(s, FIELD_ROW_BLOCKS, i, 0, arena_printf(arena, "warps %s", rows));
	for (int k = 0; k < COUNT(warps); k++)
		if (!k || warps[k - 1] * DEVICE_WARP_ROWS < extent(s, p->rows))
			space_choice(d, warps[k]);
	space_choice(d, usual->row_tile / (usual->ncontracts ? usual->contract[0].rows : DEVICE_WARP_ROWS));
	if (p->ncontracts && extent(s, p->rows) > DEVICE_WARP_ROWS) {
		d = space_add(s, FIELD_WARP_ROWS, i, 0, arena_printf(arena, "rows a warp %s", rows));
		space_choice(d, DEVICE_WARP_ROWS);
		space_choice(d, 2 * DEVICE_WARP_ROWS);
	}
}

void space_device_stream(struct arena *arena, struct space *s, int i)
{
	const struct stream_plan *p = &problem_plan(s->problem, problem_usual(s->problem, s->isa))[i];
	const struct schedule all = schedule_default(s->problem, s->isa);
	const struct stream_schedule *usual = &all.stream[i]; /* the default is a point */
	if (p->rows != NO_INDEX)
		add_rows(arena, s, i, usual);
	if (p->walked != NO_INDEX) {
		const char *walked = index_name(s, p->walked);
		struct dimension *d = space_add(s, FIELD_STREAM_TILE, i, 0, arena_printf(arena, "tile %s", walked));
		for (int k = 0; k < COUNT(tiles); k++)
			if (!k || tiles[k - 1] < extent(s, p->walked))
				space_choice(d, tiles[k]);
		space_choice(d, usual->stream_tile);
		if (p->ncontracts) {
			d = space_add(s, FIELD_STAGES, i, 0, arena_printf(arena, "stages %s", walked));
			for (int k = 0; k < COUNT(ring_stages); k++)
				space_choice(d, ring_stages[k]);
			space_choice(d, usual->stages);
		}
	}
	if (schedule_device_shares_wide(s->problem, problem_usual(s->problem, s->isa), i) && extent(s, p->wide) > 64) {
		struct dimension *d = space_add(s, FIELD_WIDE_TILE, i, 0,
		                                arena_printf(arena, "wide %s", index_name(s, p->wide)));
		for (int k = 0; k < COUNT(wide_tiles); k++)
			if (wide_tiles[k] ? wide_tiles[k] < extent(s, p->wide) : extent(s, p->wide) <= 512)
				space_choice(d, wide_tiles[k]);
		space_choice(d, usual->wide_tile);
	}
}

void space_device_settle(const struct space *s, struct schedule *out, int i, int64_t blocks, int64_t tile)
{
	const struct stream_plan *p = &problem_plan(s->problem, problem_usual(s->problem, s->isa))[i];
	struct stream_schedule *t = &out->stream[i];
	int rows = t->ncontracts ? t->contract[0].rows : DEVICE_WARP_ROWS;
	int64_t unit = schedule_panel(p, t, out->isa);
	if (blocks)
		t->row_tile = blocks * rows;
	else
		t->row_tile = round_up(t->row_tile, rows);
	if (tile)
		t->stream_tile = round_up(tile, unit);
	if (t->stream_tile > round_up(extent(s, p->walked), unit))
		t->stream_tile = round_up(extent(s, p->walked), unit);
	schedule_device_lanes(s->problem, out, i);
}
