/* Rows in the lanes: when a stream's contractions may have them there, and when a kernel that nobody has tuned does.
 *
 * Nothing is packed then, and nothing summed across a vector; masks end at blocks of 32 rows by 8 keys and not of 6 by 64.
 * What is read at rows and keys alike would have to be turned, and the last rows have a vector to themselves. */
#include "base/whole.h"
#include "codegen/schedule.h"

const char *schedule_across_illegal(struct arena *arena, const struct problem *problem, const struct schedule *s, int i)
{
	const struct streams *all = problem_streams(problem, s->form);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	if (isa_is_device(s->isa))
		return arena_printf(arena, "stream %d: on a device contractions have their rows in rows", i);
	if (p->group)
		return arena_printf(arena, "stream %d: with rows by groups they stay in rows", i);
	if (p->rows == NO_INDEX || !p->ncontracts)
		return arena_printf(arena, "stream %d has no contraction of rows to put in the lanes", i);
	for (int k = 0; k < p->ncontracts; k++)
		if (plan_reads_local(all, p->stream, p->contract[k].b))
			return arena_printf(arena, "stream %d: what %s is multiplied by is computed here and has no place to stand",
			                    i, all->cascade->index.v[p->rows].name);
	return NULL;
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
		if ((!x->direct && !x->turned) || c->tensor.v[expr_at(&c->pool, x->read)->symbol].dtype != s->compute)
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

/* What is gained over `d`, in parts of the time, by figures of docs/performance.md. */
static double gain(const struct streams *all, const struct stream_plan *p, const struct stream_schedule *d, int64_t block,
                   int64_t l2)
{
	double rows = (double)plan_extent(all, p->rows), sum = 0;
	for (int k = 0; k < p->ncontracts; k++)
		if (p->contract[k].lanes == p->walked)
			sum += d->contract[k].pack ? 10 / (double)schedule_uses(all, &p->contract[k], p->contract[k].read) : 0.05;
	if (p->band || shared_bytes(all, p) > 8 * l2)
		sum += 0.05;
	return sum - ((double)round_up((int64_t)rows, block) / rows - 1);
}

/* Rows a task, at most `most`: as many as leave every core some tasks, or it waits for the last of the others. */
static int64_t rows_of_task(const struct machine *m, const struct streams *all, const struct stream_plan *p, int64_t block,
                            int64_t most)
{
	enum { EACH = 3 };
	int64_t rows = plan_extent(all, p->rows), tile = round_up(rows, block);
	double others = 1;
	for (int i = 0; i < p->ntasks; i++)
		others *= p->task[i] == p->rows ? 1 : (double)plan_extent(all, p->task[i]);
	if (tile > most)
		tile = most / block * block;
	while (tile > block && others * (double)((rows + tile - 1) / tile) < EACH * m->cores)
		tile = tile / block / 2 * block;
	return tile;
}

/* Coordinates a tile. For every tile the sums so far are loaded, scaled and stored; scores of a longer one leave the first
 * level of cache. The wider the operands, the less a score costs beside its products. */
static int64_t stream_tile(const struct streams *all, const struct stream_plan *p, int64_t rows)
{
	enum { LEAST = 128, MOST = 256 };
	int64_t width = 0, walked = round_up(plan_extent(all, p->walked), rows);
	for (int k = 0; k < p->ncontracts; k++)
		width += plan_extent(all, p->contract[k].lanes == p->walked ? p->contract[k].reduced : p->contract[k].lanes);
	int64_t tile = p->band || width * 3 / 4 < LEAST ? LEAST : width * 3 / 4 > MOST ? MOST : width * 3 / 4 / rows * rows;
	return walked < tile ? walked : tile;
}

void schedule_across_default(const struct problem *problem, const struct schedule *s, int i, struct stream_schedule *d)
{
	enum { ROWS_LEAST = 24, ROWS = 64, MANY_ROWS = 256 };
	const double worth = 0.03;
	const struct streams *all = problem_streams(problem, s->form);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	int64_t rows = plan_extent(all, p->rows), l2 = problem->machine->l2 ? problem->machine->l2 : 512 << 10;
	bool odd = rows > 32 && rows <= 48; /* three vectors hold them all */
	struct contract_schedule k = {.rows = odd ? 4 : 8, .lanes = odd ? 3 : 2};
	int64_t block = k.lanes * isa_info[s->isa].lanes, most = ROWS;
	struct schedule one = *s;
	struct arena reason;
	arena_init(&reason);
	one.stream[i] = *d;
	bool may = isa_info[s->isa].registers >= 32 && isa_info[s->isa].lanes >= 16 && s->compute == DTYPE_F32 &&
	           s->form != FORM_NAIVE && !p->whole && rows >= ROWS_LEAST && plan_extent(all, p->walked) > 0 &&
	           !schedule_across_illegal(&reason, problem, &one, i);
	arena_free(&reason);
	if (!may || d->sparsity != SPARSITY_BOUNDS || reads_pairs(all, p) || !stand(all, p, s) || !sums_rows(p) ||
	    gain(all, p, d, block, l2) < worth)
		return;
	d->across = true;
	for (int c = 0; c < d->ncontracts; c++)
		d->contract[c] = k;
	if (p->band || shared_bytes(all, p) > 2 * l2)
		most = MANY_ROWS;
	d->row_tile = rows_of_task(problem->machine, all, p, block, most);
	d->stream_tile = stream_tile(all, p, k.rows);
}
