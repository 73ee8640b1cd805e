/* Schedules of devices: what a stream gets untuned, and what is legal.
 *
 * A task is a block of warps, each with the same 16 or 32 rows of it; a tile of the walked index is what one
 * step brings into shared memory. A warp has all lanes of a contraction's result in its registers. */
#include "base/whole.h"
#include "codegen/schedule.h"

enum { MAX_WARPS = 16, PROCESSORS = 132, COMFORTABLE = 192 /* registers, by what the assembler made of the examples */ };

static const struct streams *streams_of(const struct problem *p, const struct schedule *s)
{
	return problem_streams(p, s->form);
}

/* ---- sizes ---- */

/* Not where a tile's Einsums sum over it. */
static bool wide_splits(const struct streams *all, const struct stream_plan *p)
{
	if (p->wide == NO_INDEX)
		return false;
	for (uint32_t k = 0; k < stream_equations(p->stream); k++)
		if (equation_reduces(&all->cascade->equation.v[stream_equation(p->stream, k)], p->wide))
			return false;
	return true;
}

bool schedule_device_shares_wide(const struct problem *problem, enum form form, int i)
{
	return wide_splits(problem_streams(problem, form), &problem_plan(problem, form)[i]);
}

/* Groups of eight lanes that hold all there are. */
static int64_t all_lanes(const struct streams *all, const struct stream_plan *p, const struct plan_contract *k,
                         const struct stream_schedule *d)
{
	return round_up(device_range(all, p, d, k->lanes), 8) / 8;
}

int64_t schedule_device_panel(const struct stream_schedule *d)
{
	for (int k = 0; k < d->ncontracts; k++)
		if (d->contract[k].operand == OPERAND_I8)
			return 32;
	return 16;
}

/* The widest of what contractions have beside the walked index. */
static int64_t widest(const struct streams *all, const struct stream_plan *p, const struct stream_schedule *d)
{
	int64_t most = 1;
	for (int k = 0; k < p->ncontracts; k++) {
		const struct plan_contract *c = &p->contract[k];
		int64_t n = device_range(all, p, d, c->lanes == p->walked ? c->reduced : c->lanes);
		most = n > most ? n : most;
	}
	return most;
}

struct device_need schedule_device_need(const struct problem *problem, const struct schedule *s, int i)
{
	return device_need_of(streams_of(problem, s), schedule_plan(problem, s, i), s, &s->stream[i]);
}

/* ---- the default ---- */

/* With room for what an assembler makes of it. */
static bool fits(const struct problem *problem, struct device_need n)
{
	int registers = schedule_device_registers(n.threads);
	return n.registers <= (registers < COMFORTABLE ? registers : COMFORTABLE) &&
	       n.shared <= schedule_device_shared(problem);
}

static void fill_lanes(const struct streams *all, const struct stream_plan *p, struct stream_schedule *d)
{
	for (int k = 0; k < d->ncontracts; k++) {
		int64_t lanes = all_lanes(all, p, &p->contract[k], d);
		d->contract[k].lanes = (uint8_t)(lanes < UINT8_MAX ? lanes : UINT8_MAX);
	}
}

void schedule_device_lanes(const struct problem *problem, struct schedule *s, int i)
{
	fill_lanes(streams_of(problem, s), schedule_plan(problem, s, i), &s->stream[i]);
}

/* The i-th tile of the wide index to try, the wanted first; -1: there are no more. */
static int64_t wide_choice(const struct streams *all, const struct stream_plan *p, int64_t wanted, int i)
{
	int64_t n = wanted ? wanted : plan_extent(all, p->wide);
	if (!i)
		return wanted;
	for (; i; i--) {
		if (n <= 32 || !wide_splits(all, p))
			return -1;
		n = n > 128 ? 128 : round_up(n / 2, DEVICE_WARP_ROWS);
	}
	return n;
}

/* The ring and the rows of a task within shared memory: the most rows that leave room for the ring, or for none. */
static bool fit_rows(const struct problem *problem, const struct streams *all, const struct stream_plan *p,
                     const struct schedule *s, struct stream_schedule *d)
{
	struct stream_schedule try = *d;
	for (int stages = d->stages; stages >= 0; stages = stages > 2 ? stages - 1 : stages ? 0 : -1)
		for (int64_t rows = d->row_tile; rows >= (stages && d->row_tile > 64 ? 64 : DEVICE_WARP_ROWS);
		     rows = rows > DEVICE_WARP_ROWS ? round_up(rows / 2, DEVICE_WARP_ROWS) : 0) {
			try.stages = (uint8_t)stages;
			try.row_tile = rows;
			if (fits(problem, device_need_of(all, p, s, &try))) {
				*d = try;
				return true;
			}
		}
	return false;
}

/* The wanted sizes, or the first less than them that fit. Where a tile's Einsums would be computed again for each
 * part of the wide index, a smaller tile comes first. */
static void fit(const struct problem *problem, const struct streams *all, const struct stream_plan *p,
                const struct schedule *s, struct stream_schedule *d)
{
	const struct stream_schedule wanted = *d;
	bool scores = false;
	for (int k = 0; k < p->ncontracts; k++)
		scores |= p->contract[k].lanes == p->walked;
	for (int i = 0; i < 16; i++) {
		int narrower = scores ? i / 4 : i % 4, smaller = scores ? i % 4 : i / 4;
		int64_t wide = wide_choice(all, p, wanted.wide_tile, narrower), tile = wanted.stream_tile >> smaller;
		if (wide < 0 || (smaller && tile < schedule_device_panel(d)))
			continue;
		*d = wanted;
		d->wide_tile = wide;
		d->stream_tile = round_up(tile, schedule_device_panel(d));
		fill_lanes(all, p, d);
		if (fit_rows(problem, all, p, s, d))
			return;
	}
}

/* Where tasks have 128 rows, warps of 32 read operand b from shared memory half as often, which is what bounds those
 * of 16: taken with a tile short enough that all stays in registers. */
static bool twice_the_rows(const struct problem *problem, const struct streams *all, const struct stream_plan *p,
                           const struct schedule *s, struct stream_schedule *d)
{
	struct stream_schedule try = *d;
	if (!d->ncontracts || d->row_tile != 128)
		return false;
	for (int k = 0; k < d->ncontracts; k++) {
		try.contract[k].rows = 2 * DEVICE_WARP_ROWS;
		if (d->contract[k].operand == OPERAND_COMPUTE || d->contract[k].operand == OPERAND_TF32)
			return false;
	}
	for (try.stream_tile = 32; try.stream_tile >= schedule_device_panel(d); try.stream_tile /= 2) {
		if (try.stream_tile > d->stream_tile)
			continue;
		enum { MOST = 208 }; /* beyond that assemblers spill, for 9.x now and then only */
		fill_lanes(all, p, &try);
		struct device_need n = device_need_of(all, p, s, &try);
		if (n.registers <= MOST && n.shared <= schedule_device_shared(problem)) {
			*d = try;
			return true;
		}
	}
	return false;
}

struct stream_schedule schedule_device_default(const struct problem *problem, const struct schedule *s, int i)
{
	const struct streams *all = streams_of(problem, s);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	struct stream_schedule d = {.ncontracts = p->ncontracts};
	sparsity_default(problem, s, i, &d);
	for (int k = 0; k < d.ncontracts; k++)
		d.contract[k] = (struct contract_schedule){
		        .rows = DEVICE_WARP_ROWS, .operand = operand_default(all, p->stream, &p->contract[k])};
	if (plan_extent(all, p->wide) > 256 && wide_splits(all, p))
		d.wide_tile = 128;
	int64_t wide = widest(all, p, &d), rows = round_up(at_least_one(plan_extent(all, p->rows)), DEVICE_WARP_ROWS),
	        walked = round_up(at_least_one(plan_extent(all, p->walked)), schedule_device_panel(&d));
	int processors = problem->machine->processors > 0 ? problem->machine->processors : PROCESSORS;
	bool alone = rows == DEVICE_WARP_ROWS && d.ncontracts; /* one warp: memory is all that matters */
	d.row_tile = d.ncontracts && wide <= 128 && schedule_tasks(all, p, d.wide_tile, 128) >= processors ? 128 : 64;
	d.row_tile = p->rows == NO_INDEX ? DEVICE_WARP_ROWS : d.row_tile < rows ? d.row_tile : rows;
	d.stream_tile = !d.ncontracts ? 64 : wide > 128 || (wide > 64 && alone) ? 32 : wide > 32 ? 64 : 128;
	d.stream_tile = d.stream_tile < walked ? d.stream_tile : walked;
	d.stages = !d.ncontracts || d.stream_tile >= walked ? 0 : alone ? 3 : 2;
	d.heavy_first = p->stream->present.id != 0 && p->rows != NO_INDEX;
	if (!twice_the_rows(problem, all, p, s, &d))
		fit(problem, all, p, s, &d);
	return d;
}

static const char *illegal_contract(struct arena *arena, const struct streams *all, const struct stream_plan *p,
                                    const struct stream_schedule *d, int k)
{
	const struct cascade *c = all->cascade;
	const struct contract_schedule *b = &d->contract[k];
	const char *name = c->tensor.v[c->equation.v[p->contract[k].equation].tensor].name;
	if (b->rows != DEVICE_WARP_ROWS && b->rows != 2 * DEVICE_WARP_ROWS)
		return arena_printf(arena, "contract %s: a warp has 16 or 32 rows, not %d", name, b->rows);
	if (b->rows != d->contract[0].rows)
		return arena_printf(arena, "contract %s: %d rows a warp, where the stream's first contraction has %d",
		                    name, b->rows, d->contract[0].rows);
	if (b->lanes != all_lanes(all, p, &p->contract[k], d))
		return arena_printf(arena, "contract %s: a warp has all lanes of a tile, lanes %lld and not %d", name,
		                    (long long)all_lanes(all, p, &p->contract[k], d), b->lanes);
	if (b->pack)
		return arena_printf(arena, "contract %s: nothing is packed on a device", name);
	return operand_illegal(arena, c, &p->contract[k], b->operand, name);
}

const char *schedule_device_illegal(struct arena *arena, const struct problem *problem, const struct schedule *s,
                                    int i)
{
	const struct streams *all = streams_of(problem, s);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	const struct stream_schedule *d = &s->stream[i];
	int rows = d->ncontracts ? d->contract[0].rows : DEVICE_WARP_ROWS;
	for (int k = 0; k < d->ncontracts; k++) {
		const char *why = illegal_contract(arena, all, p, d, k);
		if (why)
			return why;
	}
	if (d->row_tile < rows || d->row_tile % rows || d->row_tile / rows > MAX_WARPS)
		return arena_printf(arena, "stream %d: %lld rows a task are not 1 to %d warps of %d", i,
		                    (long long)d->row_tile, MAX_WARPS, rows);
	if (d->stream_tile < 1 || d->stream_tile % schedule_device_panel(d))
		return arena_printf(arena, "stream %d: a tile of %lld is no multiple of %lld, a tensor core's step", i,
		                    (long long)d->stream_tile, (long long)schedule_device_panel(d));
	if (d->stages > 4)
		return arena_printf(arena, "stream %d: %d stages, where 4 are the most", i, d->stages);
	if (d->wide_tile && !wide_splits(all, p))
		return arena_printf(arena, "stream %d has no index that its tasks could share out as its wide one", i);
	if (d->wide_tile < 0 || d->wide_tile % DEVICE_WARP_ROWS)
		return arena_printf(arena, "stream %d: %lld coordinates of the wide index are no multiple of %d", i,
		                    (long long)d->wide_tile, DEVICE_WARP_ROWS);
	struct device_need need = device_need_of(all, p, s, d);
	int registers = schedule_device_registers(need.threads);
	if (need.registers > registers)
		return arena_printf(arena, "stream %d: about %d registers a thread, where %d threads have %d each", i,
		                    need.registers, need.threads, registers);
	if (need.shared > schedule_device_shared(problem))
		return arena_printf(arena, "stream %d: about %lld bytes of shared memory a block, which may have %lld", i,
		                    (long long)need.shared, (long long)schedule_device_shared(problem));
	return NULL;
}
