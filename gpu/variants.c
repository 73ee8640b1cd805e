#include "gpu/variants.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/model.h"

/* What one decision may be besides what it is. */
enum decision { ROW_TILE, WARP_ROWS, STREAM_TILE, STAGES, SPLIT, DECISIONS };
static const int choice[DECISIONS][6] = {[ROW_TILE] = {64, 128, 192, 256},
                                         [WARP_ROWS] = {16, 32},
                                         [STREAM_TILE] = {32, 64, 96, 128, 192, 256},
                                         [STAGES] = {2, 3, 4},
                                         [SPLIT] = {1, 2, 4, 8, 16, 32}};

/* Lanes follow from the tile where the walked index is in them. */
static void follow(const struct problem *p, struct schedule *s, int stream)
{
	const struct stream_plan *plan = schedule_plan(p, s, stream);
	struct stream_schedule *d = &s->stream[stream];
	for (int k = 0; k < d->ncontracts; k++)
		if (plan->contract[k].lanes == plan->walked)
			d->contract[k].lanes = (uint8_t)((d->stream_tile + 7) / 8);
}

static void decide(const struct problem *p, struct schedule *s, int stream, enum decision what, int value)
{
	struct stream_schedule *d = &s->stream[stream];
	switch (what) {
	case ROW_TILE: d->row_tile = value; break;
	case WARP_ROWS:
		for (int k = 0; k < d->ncontracts; k++)
			d->contract[k].rows = (uint8_t)value;
		break;
	case STREAM_TILE: d->stream_tile = value; break;
	case STAGES: d->stages = (uint8_t)value; break;
	case SPLIT: d->split = value > 1 ? value : 0; break;
	default: break;
	}
	follow(p, s, stream);
}

/* Tiles that hold more than there is are legal, and waste. */
static bool sensible(const struct problem *p, const struct schedule *s, int stream, enum decision what,
                     int value)
{
	const struct streams *all = problem_streams(p, s->form);
	const struct stream_plan *plan = schedule_plan(p, s, stream);
	if (what == ROW_TILE)
		return value < 2 * plan_extent(all, plan->rows);
	return what != STREAM_TILE || value < 2 * plan_extent(all, plan->walked);
}

static void keep(struct arena *a, const struct problem *p, const struct schedule *from,
                 const struct schedule *s, struct variants *v)
{
	if (!memcmp(s, from, sizeof *s) || schedule_illegal(a, p, s))
		return;
	for (uint32_t i = 0; i < v->list.n; i++)
		if (!memcmp(&v->list.v[i], s, sizeof *s))
			return;
	vec_push(a, &v->list, *s);
}

/* Every way to change `changes` decisions of a stream from the `first` on. */
static void change(struct arena *a, const struct problem *p, const struct schedule *from,
                   const struct schedule *s, int stream, int first, int changes, bool split,
                   struct variants *v)
{
	if (!changes) {
		keep(a, p, from, s, v);
		return;
	}
	for (int what = first; what < DECISIONS; what++) {
		if (what == SPLIT && !split)
			continue;
		for (int i = 0; i < 6 && choice[what][i]; i++) {
			struct schedule next = *s;
			if (!sensible(p, s, stream, (enum decision)what, choice[what][i]))
				continue;
			decide(p, &next, stream, (enum decision)what, choice[what][i]);
			if (memcmp(&next, s, sizeof next))
				change(a, p, from, &next, stream, what + 1, changes - 1, split, v);
		}
	}
}

void variants_of(struct arena *a, const struct problem *p, const struct schedule *from, bool split,
                 struct variants *v)
{
	*v = (struct variants){{0}};
	for (int changes = 1; changes <= 3; changes++)
		for (int i = 0; i < from->nstreams; i++)
			if (from->stream[i].ncontracts)
				change(a, p, from, from, i, 0, changes, split, v);
}

struct ranked {
	struct schedule *schedule;
	double seconds;
	bool taken;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = *(struct ranked *const *)a, *y = *(struct ranked *const *)b;
	return x->seconds < y->seconds ? -1 : x->seconds > y->seconds ? 1 : (x > y) - (x < y);
}

static double estimate(const struct problem *p, const struct schedule *s)
{
	struct arena a;
	jmp_buf env;
	volatile double seconds = INFINITY;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		const struct tile_program *program = tile_build(&a, p, s);
		struct kernel_source source = emit_kernel(&a, program, s->isa, s->exp_degree);
		if (source.text)
			seconds = model_seconds(program, &source, NULL, p->machine);
	}
	arena_free(&a);
	return seconds;
}

static void take(struct arena *a, struct ranked *r, struct variants *v)
{
	if (!r->taken)
		vec_push(a, &v->list, *r->schedule);
	r->taken = true;
}

void variants_by_model(struct arena *a, const struct problem *p, struct variants *v)
{
	uint32_t n = v->list.n;
	struct ranked *near = arena_new_array(a, n + 1, struct ranked);
	struct ranked **quick = arena_new_array(a, n + 1, struct ranked *);
	struct variants out = {{0}};
	for (uint32_t i = 0; i < n; i++) {
		near[i] = (struct ranked){.schedule = &v->list.v[i], .seconds = estimate(p, &v->list.v[i])};
		quick[i] = &near[i];
	}
	qsort(quick, n, sizeof *quick, compare_ranked);
	for (uint32_t i = 0; i < n; i++) {
		take(a, quick[i], &out);
		take(a, &near[i], &out);
	}
	*v = out;
}

bool variant_exact(struct arena *a, const struct problem *p, const struct schedule *from, int smaller,
                   struct schedule *out)
{
	*out = *from;
	for (int i = 0; i < out->nstreams; i++) {
		struct stream_schedule *d = &out->stream[i];
		for (int k = 0; k < d->ncontracts; k++) {
			d->contract[k].operand = OPERAND_COMPUTE;
			d->contract[k].rows = 16;
		}
		d->stages = d->stages > 1 ? 2 : d->stages;
		for (int n = 0; n < smaller; n++) {
			if (d->stream_tile > 16 && n % 2 == 0)
				d->stream_tile = (d->stream_tile / 2 + 15) / 16 * 16;
			else if (d->row_tile > 16)
				d->row_tile = (d->row_tile / 2 + 15) / 16 * 16;
		}
		follow(p, out, i);
	}
	return !schedule_illegal(a, p, out);
}
