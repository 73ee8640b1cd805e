/* Rows in the lanes: when a stream's contractions may have them there, and when a kernel that nobody has tuned does.
 *
 * Nothing is packed then, and nothing summed across a vector; masks end at blocks of 32 rows by 8 keys and not of 6 by 64.
 * What is read at rows and keys alike would have to be turned, and the last rows have a vector to themselves. */
#include <math.h>

#include "base/whole.h"
#include "codegen/schedule.h"

enum { TILE = 128, MANY_TILES = 8 };

static const char *illegal(struct arena *arena, const struct problem *problem, const struct schedule *s, int i)
{
	const struct streams *all = problem_streams(problem, s->form);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	if (isa_is_device(s->isa))
		return "on a device contractions have their rows in rows";
	if (p->group)
		return "with rows by groups they stay in rows";
	if (p->rows == NO_INDEX || !p->ncontracts)
		return "there is no contraction of rows to put in the lanes";
	for (int k = 0; k < p->ncontracts; k++)
		if (plan_reads_local(all, p->stream, p->contract[k].b))
			return arena_printf(arena, "what %s is multiplied by is computed here and has no place to stand",
			                    all->cascade->index.v[p->rows].name);
	return NULL;
}

const char *schedule_across_illegal(struct arena *arena, const struct problem *problem, const struct schedule *s, int i)
{
	const char *why = illegal(arena, problem, s, i);
	return why ? arena_printf(arena, "stream %d: %s", i, why) : NULL;
}

/* Does the stream read a tensor at the rows' coordinates and the walked ones? */
static bool reads_pairs(const struct streams *all, const struct stream_plan *p)
{
	const struct cascade *c = all->cascade;
	for (uint32_t k = 0; k < stream_equations(p->stream); k++) {
		const struct equation *q = &c->equation.v[stream_equation(p->stream, k)];
		const struct expr of[] = {q->body, q->where};
		for (int i = 0; i < 2; i++) {
			struct expr *node;
			uint32_t n = of[i].id ? expr_nodes(&c->pool, of[i], &node) : 0;
			for (uint32_t j = 0; j < n; j++)
				if (expr_at(&c->pool, node[j])->op == OP_READ &&
				    c->tensor.v[expr_at(&c->pool, node[j])->symbol].role == ROLE_IN &&
				    expr_mentions(&c->pool, node[j], OP_INDEX, p->rows) &&
				    expr_mentions(&c->pool, node[j], OP_INDEX, p->walked))
					return true;
		}
	}
	return false;
}

/* Does every operand that would be broadcast stand as it is, and is one of them multiplied to scores? */
static bool stand(const struct streams *all, const struct stream_plan *p, const struct schedule *s)
{
	const struct cascade *c = all->cascade;
	bool scores = false;
	for (int k = 0; k < p->ncontracts; k++) {
		const struct plan_contract *x = &p->contract[k];
		if (!x->ends || (!x->direct && !x->turned) || c->tensor.v[expr_at(&c->pool, x->read)->symbol].dtype != s->compute)
			return false;
		scores |= x->lanes == p->walked;
	}
	return scores;
}

/* Bytes of the operands that all rows share. */
static int64_t shared_bytes(const struct streams *all, const struct stream_plan *p)
{
	int64_t bytes = 0;
	for (int k = 0; k < p->ncontracts; k++)
		bytes += 4 * plan_extent(all, p->contract[k].lanes) * plan_extent(all, p->contract[k].reduced);
	return bytes;
}

/* Are there sums over the walked index that are no contractions? They are what vectors of rows need not add up across
 * their lanes. */
static bool sums_rows(const struct stream_plan *p)
{
	for (uint32_t i = 0; i < p->stream->carry.n; i++) {
		bool contracts = false;
		for (int k = 0; k < p->ncontracts; k++)
			contracts |= p->contract[k].equation == p->stream->carry.v[i].equation;
		if (!contracts)
			return true;
	}
	return false;
}

/* Are tiles skipped by lists as fine as what tensors say of single rows? */
static bool by_fine_list(const struct stream_plan *p, const struct stream_schedule *d)
{
	return d->sparsity == SPARSITY_LIST && p->tensors && !p->row_granule && !p->walk_granule;
}

/* Have vectors the length and registers the number that AVX-512 has? */
static bool is_wide(enum isa isa)
{
	return isa_info[isa].registers >= 32 && isa_info[isa].lanes >= 16;
}

/* Is a tile's successor worth asking for while it is contracted? It comes from beyond the second level of cache, or from
 * there. */
static bool asks_ahead(const struct streams *all, const struct stream_plan *p, int64_t l2)
{
	return 2 * shared_bytes(all, p) >= l2 && plan_extent(all, p->walked) >= MANY_TILES * TILE;
}

/* What is gained over `d`, in parts of the time, by figures of docs/performance.md; *said: from what. With short vectors a
 * sum across one is cheap, and masks cut no smaller tiles. */
static double gain(struct arena *arena, const struct streams *all, const struct stream_plan *p, enum isa isa,
                   const struct stream_schedule *d, int64_t block, int64_t l2, bool loses_twine, const char **said)
{
	enum { LARGE_WIDTH = 256 };
	const bool wide = is_wide(isa), large = shared_bytes(all, p) > (wide ? 8 : 1) * l2;
	const bool asks = asks_ahead(all, p, l2) && !(wide && p->band); /* a band's walk is short */
	const double copy = !wide ? 16 : asks ? 24 : 10; /* what is copied was asked for by nobody */
	double across = 0.05;
	double rows = (double)plan_extent(all, p->rows), sum = 0, empty = (double)round_up((int64_t)rows, block) / rows - 1;
	const struct cascade *c = all->cascade;
	int64_t width = 0;
	struct text t;
	text_init(&t, arena);
	for (int k = 0; k < p->ncontracts; k++)
		width += plan_extent(all, p->contract[k].lanes == p->walked ? p->contract[k].reduced : p->contract[k].lanes);
	if (!wide) /* what is gained is that the next tile is asked for */
		across = asks && width < LARGE_WIDTH ? 0.25 : 0;
	for (int k = 0; k < p->ncontracts; k++) {
		int64_t uses = schedule_uses(all, &p->contract[k], p->contract[k].read);
		const char *operand = c->tensor.v[expr_at(&c->pool, p->contract[k].read)->symbol].name;
		if (p->contract[k].lanes != p->walked)
			continue;
		sum += d->contract[k].pack ? copy / (double)uses : across;
		text_printf(&t, "%s%s ", t.len ? ", " : "", operand);
		if (d->contract[k].pack)
			text_printf(&t, "needs no copy, used %lld times", (long long)uses);
		else
			text_add(&t, across > 0 ? "is summed across no vector" : "has no copy either way");
	}
	if (by_fine_list(p, d)) {
		sum += 0.10;
		text_add(&t, ", runs of a list are short");
	} else if (asks && wide && width >= LARGE_WIDTH && shared_bytes(all, p) > 2 * l2) {
		sum += 0.075;
		text_add(&t, ", the next tile is asked for");
	} else if ((p->band && wide) || (large && (wide || sum > 0))) {
		sum += large ? 0.05 : 0.02;
		text_add(&t, p->band && wide ? ", a mask cuts smaller tiles" : ", operands are beyond the second cache");
	} else if (asks && wide) {
		sum += 0.015;
		text_add(&t, ", the next tile is asked for");
	}
	if (loses_twine) {
		sum -= 0.04;
		text_add(&t, ", no operand is made while it is used");
	}
	if (empty > 0)
		text_printf(&t, ", the last vectors of rows are %.2g%% more work", 100 * empty);
	*said = t.s;
	return sum - empty;
}

/* Would operands of a stream of these sizes be made while they are used? */
static bool is_twined(const struct problem *problem, const struct schedule *s, int i, struct stream_schedule d)
{
	bool any = false;
	schedule_twine_default(problem, s, i, &d);
	for (int k = 0; k < d.ncontracts; k++)
		any |= d.contract[k].twine;
	return any;
}

static struct stream_schedule across(struct stream_schedule d, const struct contract_schedule *block)
{
	d.across = true;
	for (int k = 0; k < d.ncontracts; k++)
		d.contract[k] = *block;
	return d;
}

/* The rule. NULL: a stream whose other sizes are `d` has its rows in the lanes, in blocks of `block`, for what is said.
 * Else why not. */
static const char *refused(struct arena *arena, const struct problem *problem, const struct schedule *s, int i,
                           const struct stream_schedule *d, const struct contract_schedule *block, const char **said)
{
	enum { ROWS_LEAST = 24 };
	const double worth = 0.03;
	const struct streams *all = problem_streams(problem, s->form);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	int64_t l2 = problem->machine->l2 ? problem->machine->l2 : 512 << 10;
	struct schedule one = *s;
	one.stream[i] = *d;
	const char *cannot = illegal(arena, problem, &one, i);
	if (cannot)
		return cannot;
	const char *rows = all->cascade->index.v[p->rows].name, *walked = all->cascade->index.v[p->walked].name;
	if (!is_wide(s->isa) && s->isa != ISA_AVX2)
		return arena_printf(arena, "with %s they gain nothing that was measured", isa_info[s->isa].name);
	if (s->compute != DTYPE_F32)
		return "computation is not in f32";
	if (s->form == FORM_NAIVE || p->whole)
		return arena_printf(arena, "every pair of %s and %s is kept", rows, walked);
	if (plan_extent(all, p->rows) < ROWS_LEAST)
		return arena_printf(arena, "%s has %lld coordinates, fewer than %d", rows,
		                    (long long)plan_extent(all, p->rows), ROWS_LEAST);
	if (plan_extent(all, p->walked) < 1)
		return arena_printf(arena, "%s has no coordinates", walked);
	if (d->sparsity != SPARSITY_BOUNDS && !(by_fine_list(p, d) && is_wide(s->isa)))
		return arena_printf(arena, "tiles are skipped by %s", sparsity_name[d->sparsity]);
	if (reads_pairs(all, p))
		return arena_printf(arena, "what is read at %s and %s would have to be turned", rows, walked);
	if (!stand(all, p, s))
		return "an operand is not elements of a tensor in the type of computation";
	if (!sums_rows(p))
		return arena_printf(arena, "no sum over %s but contractions would be saved", walked);
	bool loses_twine = is_twined(problem, s, i, *d) && !is_twined(problem, s, i, across(*d, block));
	double by = gain(arena, all, p, s->isa, d, block->lanes * isa_info[s->isa].lanes, l2, loses_twine, said);
	return by < worth ? arena_printf(arena, "they would %s about %.2g%%: %s", by < 0 ? "lose" : "gain only", 100 * fabs(by), *said)
	                  : NULL;
}

static struct contract_schedule block_of(const struct problem *problem, const struct schedule *s, int i)
{
	int64_t rows = plan_extent(problem_streams(problem, s->form), schedule_plan(problem, s, i)->rows);
	bool odd = rows > 32 && rows <= 48; /* three vectors hold them all */
	if (!is_wide(s->isa))
		return (struct contract_schedule){.rows = 6, .lanes = 2};
	return (struct contract_schedule){.rows = odd ? 4 : 8, .lanes = odd ? 3 : 2};
}

const char *schedule_across_why(struct arena *arena, const struct problem *problem, const struct schedule *s, int i,
                                const struct stream_schedule *d, bool *gains)
{
	const char *said = NULL;
	struct contract_schedule block = block_of(problem, s, i);
	const char *why = refused(arena, problem, s, i, d, &block, &said);
	*gains = !why;
	return why ? why : said;
}

/* Rows a task, at most `most`: as many as leave every core some tasks, or it waits for the last of the others. Where
 * vectors are short the same number for each is enough: half the rows cost a tenth of the time. */
static int64_t rows_of_task(const struct machine *m, const struct streams *all, const struct stream_plan *p, enum isa isa,
                            int64_t block, int64_t most)
{
	enum { EACH = 3 };
	int64_t rows = plan_extent(all, p->rows), tile = round_up(rows, block);
	if (tile > most)
		tile = most / block * block;
	while (tile > block) {
		double tasks = schedule_tasks(all, p, 0, tile);
		if (tasks >= EACH * m->cores || (!is_wide(isa) && rows % tile == 0 && m->cores && fmod(tasks, m->cores) == 0))
			break;
		tile = tile / block / 2 * block;
	}
	return tile;
}

/* Is one tensor read as keys and as values? */
static bool reads_twice(const struct streams *all, const struct stream_plan *p)
{
	const struct expr_pool *pool = &all->cascade->pool;
	for (int k = 1; k < p->ncontracts; k++)
		for (int i = 0; i < k; i++)
			if (expr_at(pool, p->contract[i].read)->symbol == expr_at(pool, p->contract[k].read)->symbol &&
			    (p->contract[i].lanes == p->walked) != (p->contract[k].lanes == p->walked))
				return true;
	return false;
}

void schedule_across_default(const struct problem *problem, const struct schedule *s, int i, struct stream_schedule *d)
{
	enum { LONG_TILE = 256, ROWS = 64, MANY_ROWS = 256 };
	const struct streams *all = problem_streams(problem, s->form);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	int64_t l2 = problem->machine->l2 ? problem->machine->l2 : 512 << 10;
	struct contract_schedule k = block_of(problem, s, i);
	int64_t block = k.lanes * isa_info[s->isa].lanes, most = ROWS;
	struct arena reason;
	const char *said;
	arena_init(&reason);
	bool gains = !refused(&reason, problem, s, i, d, &k, &said);
	struct stream_schedule before = *d;
	if (!gains) {
		arena_free(&reason);
		return;
	}
	*d = across(*d, &k);
	if (by_fine_list(p, d))
		most = block;
	else if ((!p->stream->present.id && shared_bytes(all, p) > 2 * l2) || !is_wide(s->isa))
		most = MANY_ROWS; /* else a mask on one side cuts more of long tasks */
	d->row_tile = rows_of_task(problem->machine, all, p, s->isa, block, most);
	if (asks_ahead(all, p, l2) && !by_fine_list(p, d))
		d->stages = 2;
	bool near = shared_bytes(all, p) <= l2 && is_twined(problem, s, i, *d);
	int64_t tile = by_fine_list(p, d) || near           ? LONG_TILE /* that runs seldom pass */
	               : d->stages > 1 && reads_twice(all, p) ? TILE / 2  /* asked for by one of them: 1 to 2% faster */
	                                                      : TILE;
	int64_t walked = plan_extent(all, p->walked), tiles = at_least_one((walked + tile / 2) / tile);
	d->stream_tile = round_up((walked + tiles - 1) / tiles, k.rows); /* all about as long */
	if (d->sparsity == SPARSITY_LIST) { /* blocks of so many keys end where a run does */
		struct schedule one = *s;
		d->granule = k.rows;
		d->granule_rows = d->row_tile > isa_info[s->isa].lanes ? isa_info[s->isa].lanes : 0;
		one.stream[i] = *d;
		if (sparsity_illegal(&reason, problem, &one, i))
			*d = before;
	}
	arena_free(&reason);
}
