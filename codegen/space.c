/* The search space of one problem: dimensions, their choices, and the way between points and schedules. */
#include "codegen/schedule.h"

#include <math.h>

#include "base/whole.h"

static const int64_t stream_tiles[] = {64, 128, 192, 256, 384, 512, 768, 1024, 2048};
static const int64_t granules[] = {32, 64, 128, 256, 512};
static const int64_t row_blocks[] = {1, 2, 4, 8, 16, 32};
/* Register blocks as 16 · rows + lanes; those that do not fit an ISA's registers are left out. */
static const int64_t blocks[] = {
        16 * 6 + 4, 16 * 6 + 3, 16 * 4 + 4, 16 * 8 + 3, 16 * 12 + 2, 16 * 10 + 2, 16 * 8 + 2, 16 * 6 + 2,
        16 * 4 + 6, 16 * 3 + 4, 16 * 4 + 2, 16 * 2 + 4, 16 * 1 + 8,  16 * 1 + 4,  16 * 2 + 1, 16 * 1 + 1,
        16 * 6 + 8, 16 * 4 + 8, 16 * 2 + 8,
};
/* Steps of contractions as 16 · coordinates + stages. */
static const int64_t steps[] = {0, 16 * 16 + 3, 16 * 32 + 3, 16 * 64 + 3, 16 * 128 + 3, 16 * 64 + 1};
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))
_Static_assert(COUNT(blocks) <= MAX_CHOICES, "each is a choice");

static const struct stream_plan *plans(const struct space *s)
{
	return problem_plan(s->problem, problem_usual(s->problem, s->isa));
}

static int64_t extent(const struct space *s, uint32_t index)
{
	int64_t n = plan_extent(problem_streams(s->problem, problem_usual(s->problem, s->isa)), index);
	return n < 1 ? 1 : n;
}

struct dimension *space_add(struct space *s, enum field field, int stream, int contract, const char *name)
{
	if (s->dimensions == MAX_DIMENSIONS)
		return NULL;
	struct dimension *d = &s->dimension[s->dimensions++];
	*d = (struct dimension){.name = name, .field = field, .stream = stream, .contract = contract};
	return d;
}

void space_choice(struct dimension *d, int64_t value)
{
	for (int i = 0; d && i < d->choices; i++)
		if (d->value[i] == value)
			return;
	if (d && d->choices < MAX_CHOICES)
		d->value[d->choices++] = value;
}

static void two(struct dimension *d)
{
	space_choice(d, 0);
	space_choice(d, 1);
}

static const char *index_name(const struct space *s, uint32_t index)
{
	return problem_streams(s->problem, problem_usual(s->problem, s->isa))->cascade->index.v[index].name;
}

static const char *tensor_name(const struct space *s, const struct plan_contract *k)
{
	const struct cascade *c = problem_streams(s->problem, problem_usual(s->problem, s->isa))->cascade;
	return c->tensor.v[c->equation.v[k->equation].tensor].name;
}

/* The rows of a task, at most. */
static int64_t most_rows(const struct space *s, const struct stream_plan *p)
{
	int64_t rows = extent(s, p->rows);
	return p->grouped && p->grouped->group > rows ? p->grouped->group : rows;
}

/* In some form of the stream's blocks? */
static bool may_twine(struct arena *arena, const struct space *s, struct schedule usual, int stream, int k)
{
	struct stream_schedule *d = &usual.stream[stream];
	d->grouped = d->across = false;
	d->contract[k].rows = d->contract[k].lanes = 1;
	d->contract[k].step = 0;
	d->contract[k].operand = OPERAND_COMPUTE;
	return d->ncontracts > k && !schedule_twine_illegal(arena, s->problem, &usual, stream, k);
}

static void add_contract(struct arena *arena, struct space *s, const struct schedule *usual, int stream, int k)
{
	const struct plan_contract *c = &plans(s)[stream].contract[k];
	const int width = isa_info[s->isa].lanes;
	struct dimension *d =
	        space_add(s, FIELD_BLOCK, stream, k, arena_printf(arena, "block %s", tensor_name(s, c)));
	for (int i = 0; i < COUNT(blocks); i++) {
		int rows = (int)(blocks[i] / 16), lanes = (int)(blocks[i] % 16);
		bool wasteful = (lanes - 1) * width >= extent(s, c->lanes) || rows - 1 >= most_rows(s, &plans(s)[stream]);
		if (registers_fit(s->isa, rows, lanes) && (!wasteful || (rows == 1 && lanes == 1)))
			space_choice(d, blocks[i]);
	}
	enum operand_type narrow = operand_of_host(problem_streams(s->problem, problem_usual(s->problem, s->isa)),
	                                           plans(s)[stream].stream, c, s->isa);
	if (narrow != OPERAND_COMPUTE) {
		d = space_add(s, FIELD_OPERAND, stream, k, arena_printf(arena, "as %s", tensor_name(s, c)));
		space_choice(d, OPERAND_COMPUTE);
		space_choice(d, narrow);
	}
	if (c->packable)
		two(space_add(s, FIELD_PACK, stream, k, arena_printf(arena, "pack %s", tensor_name(s, c))));
	if (may_twine(arena, s, *usual, stream, k))
		two(space_add(s, FIELD_TWINE, stream, k, arena_printf(arena, "twine %s", tensor_name(s, c))));
	if (c->direct || c->turned) {
		d = space_add(s, FIELD_STEP, stream, k, arena_printf(arena, "steps %s", tensor_name(s, c)));
		for (int i = 0; i < COUNT(steps); i++)
			space_choice(d, steps[i]);
	}
}

/* Sizes of a stream's blocks and tiles on a host. */
static void add_tiles(struct arena *arena, struct space *s, int i)
{
	const struct stream_plan *p = &plans(s)[i];
	struct dimension *d;
	if (p->grouped) {
		const char *name = arena_printf(arena, "rows %s or %s", index_name(s, p->rows), index_name(s, p->grouped->rows));
		two(space_add(s, FIELD_GROUPED, i, 0, name));
	}
	if (p->rows != NO_INDEX) {
		d = space_add(s, FIELD_ROW_BLOCKS, i, 0, arena_printf(arena, "blocks %s", index_name(s, p->rows)));
		for (int k = 0; k < COUNT(row_blocks); k++)
			if (row_blocks[k] <= most_rows(s, p))
				space_choice(d, row_blocks[k]);
	}
	if (p->walked != NO_INDEX) {
		d = space_add(s, FIELD_STREAM_TILE, i, 0, arena_printf(arena, "tile %s", index_name(s, p->walked)));
		for (int k = 0; k < COUNT(stream_tiles); k++)
			if (!k || stream_tiles[k - 1] < extent(s, p->walked))
				space_choice(d, stream_tiles[k]);
	}
	struct schedule usual = schedule_default(s->problem, s->isa);
	for (int k = 0; k < p->ncontracts; k++)
		add_contract(arena, s, &usual, i, k);
	usual.stream[i].grouped = false;
	if (!p->ncontracts || schedule_across_illegal(arena, s->problem, &usual, i))
		return;
	two(space_add(s, FIELD_ACROSS, i, 0, arena_printf(arena, "lanes %s", index_name(s, p->rows))));
	if (p->walked != NO_INDEX) {
		d = space_add(s, FIELD_STAGES, i, 0, arena_printf(arena, "stages %s", index_name(s, p->walked)));
		space_choice(d, 0);
		space_choice(d, 2);
	}
}

static void add_sparsity(struct arena *arena, struct space *s, int i)
{
	const struct stream_plan *p = &plans(s)[i];
	const char *walked = index_name(s, p->walked);
	struct dimension *d = space_add(s, FIELD_SPARSITY, i, 0, arena_printf(arena, "sparsity %s", walked));
	bool lists = !isa_is_device(s->isa) && p->rows != NO_INDEX && p->listable;
	space_choice(d, SPARSITY_BOUNDS);
	if (!p->affine)
		space_choice(d, SPARSITY_TEST);
	if (lists)
		space_choice(d, SPARSITY_LIST);
	space_choice(d, SPARSITY_MASK);
	if (isa_is_device(s->isa) || (p->affine && !lists))
		return;
	d = space_add(s, FIELD_GRANULE, i, 0, arena_printf(arena, "granule %s", walked));
	for (int k = 0; k < COUNT(granules); k++)
		space_choice(d, granules[k]);
	if (p->walk_granule)
		space_choice(d, p->walk_granule);
	if (lists && p->ncontracts)
		two(space_add(s, FIELD_GRANULE_ROWS, i, 0, arena_printf(arena, "granule %s", index_name(s, p->rows))));
}

static void add_stream(struct arena *arena, struct space *s, int i)
{
	const struct stream_plan *p = &plans(s)[i];
	if (p->stream->selects)
		return;
	if (isa_is_device(s->isa))
		space_device_stream(arena, s, i);
	else
		add_tiles(arena, s, i);
	if (p->rows != NO_INDEX && p->stream->present.id)
		two(space_add(s, FIELD_HEAVY_FIRST, i, 0,
		              arena_printf(arena, "heavy first %s", index_name(s, p->rows))));
	if (p->walked == NO_INDEX)
		return;
	const char *walked = index_name(s, p->walked);
	if (p->stream->present.id) {
		two(space_add(s, FIELD_DOWN, i, 0, arena_printf(arena, "down %s", walked)));
		if (!p->whole)
			add_sparsity(arena, s, i);
	}
	int64_t splits[MAX_CHOICES];
	int n = split_choices(s->problem, s->isa, i, splits, MAX_CHOICES);
	struct dimension *d = n ? space_add(s, FIELD_SPLIT, i, 0, arena_printf(arena, "split %s", walked)) : NULL;
	for (int k = 0; k < n; k++)
		space_choice(d, splits[k]);
}

void space_init(struct arena *arena, struct space *s, const struct problem *problem, enum isa isa)
{
	*s = (struct space){.problem = problem, .isa = isa};
	struct dimension *form = space_add(s, FIELD_FUSE, 0, 0, "fuse");
	for (int f = 0; f < FORMS; f++)
		if (problem_streams(problem, (enum form)f) &&
		    (f != FORM_NAIVE || problem->unfused->stream.n != problem->fused->stream.n))
			space_choice(form, f);
	if (form->choices < 2)
		s->dimensions--;
	if (!isa_is_device(isa)) {
		struct dimension *d = space_add(s, FIELD_EXP, 0, 0, "exp");
		space_choice(d, schedule_of_form(problem, isa, problem_usual(problem, isa)).exp_degree);
		space_choice(d, 5);
		space_choice(d, 6);
	}
	for (int i = 0; i < (int)problem_streams(problem, problem_usual(problem, isa))->stream.n; i++)
		add_stream(arena, s, i);
}

/* A later contraction's rows must divide the block of the first: the largest that does and fits. */
static uint8_t rows_within(enum isa isa, int rows, int block, int lanes)
{
	if (rows > block)
		rows = block;
	while (rows > 1 && (block % rows || !registers_fit(isa, rows, lanes)))
		rows--;
	return (uint8_t)rows;
}

/* Rows of a task and of its blocks that divide a group; where there are groups and they are not taken, at most as many
 * as there are. */
static void settle_group(const struct stream_plan *p, struct stream_schedule *t, int64_t rows, int64_t times)
{
	struct contract_schedule *b = &t->contract[0];
	if (!p->group) {
		b->rows = (uint8_t)(b->rows > rows ? rows : b->rows);
		return;
	}
	b->rows = (uint8_t)(b->rows > p->group ? p->group : b->rows);
	while (p->group % b->rows)
		b->rows--;
	t->row_tile = times * b->rows > p->group ? p->group : times * b->rows;
	while (p->group % t->row_tile || t->row_tile % b->rows)
		t->row_tile -= b->rows;
}

/* … and where rows are in the lanes, its lanes the first one's. */
static void settle_across(enum isa isa, struct stream_schedule *t)
{
	for (int k = 0; k < t->ncontracts; k++) {
		struct contract_schedule *b = &t->contract[k];
		b->pack = false;
		b->operand = OPERAND_COMPUTE;
		if (b->twine)
			b->lanes = t->contract[0].lanes;
		while (t->contract[0].lanes % b->lanes)
			b->lanes--;
		while (b->rows > 1 && !registers_fit(isa, b->rows, b->lanes))
			b->rows--;
	}
}

/* The granule that a choice comes to beside this tile. */
static void settle_granule(struct stream_schedule *t, int64_t granule, int64_t panel)
{
	int64_t g = granule < panel ? panel : granule / panel * panel;
	if (t->sparsity == SPARSITY_LIST)
		t->granule = g;
	else
		t->granule = t->sparsity == SPARSITY_TEST && g < t->stream_tile && t->stream_tile % g == 0 ? g : 0;
}

static bool twines(const struct space *s, const struct schedule *out, int stream, int k)
{
	struct arena reason;
	arena_init(&reason);
	bool yes = !schedule_twine_illegal(&reason, s->problem, out, stream, k);
	arena_free(&reason);
	return yes;
}

struct schedule space_schedule(const struct space *s, const struct point *at)
{
	struct schedule out = schedule_default(s->problem, s->isa);
	int64_t blocks_of[MAX_STREAMS] = {0}, tile_of[MAX_STREAMS] = {0}, granule_of[MAX_STREAMS] = {0};
	for (int i = 0; i < s->dimensions; i++) {
		const struct dimension *d = &s->dimension[i];
		int64_t v = d->value[at->choice[i] % d->choices];
		struct stream_schedule *t = &out.stream[d->stream];
		switch (d->field) {
		case FIELD_FUSE:
			if (v != (int64_t)problem_usual(s->problem, s->isa))
				return schedule_of_form(s->problem, s->isa, (enum form)v);
			break;
		case FIELD_EXP: out.exp_degree = (int)v; break;
		case FIELD_GROUPED: t->grouped = v != 0; break;
		case FIELD_ROW_BLOCKS: blocks_of[d->stream] = v; break;
		case FIELD_STREAM_TILE: tile_of[d->stream] = v; break;
		case FIELD_HEAVY_FIRST: t->heavy_first = v != 0; break;
		case FIELD_DOWN: t->down = v != 0; break;
		case FIELD_SPARSITY: t->sparsity = (enum sparsity)v; break;
		case FIELD_GRANULE: granule_of[d->stream] = v; break;
		case FIELD_GRANULE_ROWS: t->granule_rows = v * isa_info[s->isa].lanes; break;
		case FIELD_BLOCK:
			t->contract[d->contract].rows = (uint8_t)(v / 16);
			t->contract[d->contract].lanes = (uint8_t)(v % 16);
			break;
		case FIELD_STEP:
			t->contract[d->contract].step = (uint16_t)(v / 16);
			t->contract[d->contract].stages = (uint8_t)(v % 16);
			break;
		case FIELD_PACK: t->contract[d->contract].pack = v != 0; break;
		case FIELD_TWINE: t->contract[d->contract].twine = v != 0; break;
		case FIELD_OPERAND: t->contract[d->contract].operand = (enum operand_type)v; break;
		case FIELD_SPLIT: t->split = v > 1 ? v : 0; break;
		case FIELD_ACROSS: t->across = v != 0; break;
		case FIELD_WARP_ROWS:
			for (int k = 0; k < t->ncontracts; k++)
				t->contract[k].rows = (uint8_t)v;
			break;
		case FIELD_STAGES: t->stages = (uint8_t)v; break;
		case FIELD_WIDE_TILE: t->wide_tile = v; break;
		}
	}
	for (int i = 0; i < out.nstreams; i++) {
		if (isa_is_device(out.isa)) {
			space_device_settle(s, &out, i, blocks_of[i], tile_of[i]);
			continue;
		}
		struct stream_schedule *t = &out.stream[i];
		const struct stream_plan *p = schedule_plan(s->problem, &out, i);
		t->across &= !p->group;
		if (plans(s)[i].grouped && !t->across)
			settle_group(p, t, extent(s, p->rows), blocks_of[i] ? blocks_of[i] : 1);
		for (int k = 0; k < t->ncontracts; k++) {
			if (t->across)
				t->contract[k].operand = OPERAND_COMPUTE;
			if (t->contract[k].operand != OPERAND_COMPUTE &&
			    !schedule_direct(problem_streams(s->problem, out.form), &p->contract[k], &out, &t->contract[k]))
				t->contract[k].pack = true;
		}
		if (t->across)
			settle_across(s->isa, t);
		else
			t->stages = 0;
		for (int k = 1; k < t->ncontracts && !t->across; k++) {
			struct contract_schedule *b = &t->contract[k];
			b->rows = rows_within(s->isa, b->rows, t->contract[0].rows, b->lanes);
		}
		int64_t panel = schedule_panel(p, t, s->isa);
		if (tile_of[i]) {
			int64_t most = round_up(extent(s, p->walked), panel);
			int64_t tile = tile_of[i] < panel ? panel : tile_of[i] / panel * panel;
			t->stream_tile = tile > most ? most : tile;
		}
		settle_granule(t, granule_of[i] ? granule_of[i] : t->granule, panel);
		schedule_settle_steps(s->problem, &out, i, t);
		for (int k = 0; k < t->ncontracts; k++)
			t->contract[k].twine &= twines(s, &out, i, k);
		if (!t->across || t->sparsity != SPARSITY_LIST)
			t->granule_rows = 0;
		if (p->group)
			continue;
		int64_t rows = schedule_block(t, s->isa), all = round_up(extent(s, p->rows), rows);
		t->row_tile = blocks_of[i] ? blocks_of[i] * rows : round_up(t->row_tile, rows);
		if (t->across && t->row_tile > all)
			t->row_tile = all;
		if (t->granule_rows >= t->row_tile || t->row_tile > BLOCKS_APART * t->granule_rows)
			t->granule_rows = 0;
	}
	return out;
}

static int64_t value_in(const struct dimension *d, const struct schedule *s)
{
	const struct stream_schedule *t = &s->stream[d->stream];
	int rows = t->across        ? (int)schedule_block(t, s->isa)
	           : t->ncontracts       ? t->contract[0].rows
	           : isa_is_device(s->isa) ? DEVICE_WARP_ROWS
	                                   : 1;
	switch (d->field) {
	case FIELD_FUSE: return s->form;
	case FIELD_EXP: return s->exp_degree;
	case FIELD_GROUPED: return t->grouped;
	case FIELD_ROW_BLOCKS: return t->row_tile / (rows ? rows : 1);
	case FIELD_STREAM_TILE: return t->stream_tile;
	case FIELD_HEAVY_FIRST: return t->heavy_first;
	case FIELD_DOWN: return t->down;
	case FIELD_SPARSITY: return t->sparsity;
	case FIELD_GRANULE_ROWS: return t->granule_rows / isa_info[s->isa].lanes;
	case FIELD_GRANULE: return t->granule ? t->granule : t->stream_tile;
	case FIELD_BLOCK: return 16 * t->contract[d->contract].rows + t->contract[d->contract].lanes;
	case FIELD_STEP: return 16 * t->contract[d->contract].step + t->contract[d->contract].stages;
	case FIELD_PACK: return t->contract[d->contract].pack;
	case FIELD_TWINE: return t->contract[d->contract].twine;
	case FIELD_OPERAND: return t->contract[d->contract].operand;
	case FIELD_SPLIT: return t->split > 1 ? t->split : 1;
	case FIELD_ACROSS: return t->across;
	case FIELD_WARP_ROWS: return rows;
	case FIELD_STAGES: return t->stages;
	case FIELD_WIDE_TILE: return t->wide_tile;
	}
	return 0;
}

struct point space_nearest(const struct space *s, const struct schedule *schedule)
{
	struct point at = {{0}};
	for (int i = 0; i < s->dimensions; i++) {
		const struct dimension *d = &s->dimension[i];
		int64_t want = value_in(d, schedule);
		double best = INFINITY;
		for (int k = 0; k < d->choices; k++) {
			double far = fabs(log((double)d->value[k] + 1) - log((double)want + 1));
			if (far < best) {
				best = far;
				at.choice[i] = (uint8_t)k;
			}
		}
	}
	return at;
}
