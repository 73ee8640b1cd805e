#include "codegen/device_work.h"

#include <math.h>

#include "base/whole.h"
#include "codegen/tile_walk.h"

enum { WARP_ROWS = 16, LANES = 8 };
/* What an instruction contracts over, and bytes of an element as it lies in shared memory. */
static const int depth[OPERANDS] = {[OPERAND_COMPUTE] = 1,
                                    [OPERAND_BF16] = 16,
                                    [OPERAND_F16] = 16,
                                    [OPERAND_TF32] = 8,
                                    [OPERAND_I8] = 32};
static const int element[OPERANDS] = {
        [OPERAND_COMPUTE] = 4, [OPERAND_BF16] = 2, [OPERAND_F16] = 2, [OPERAND_TF32] = 4, [OPERAND_I8] = 1};

struct count {
	struct device_work *total;
	struct tile_price *price; /* by expression id */
	bool *touched;            /* one a tensor */
	bool *rows;               /* one an index: it is in the rows of a contraction */
	double share;             /* of all tasks that this one stands for */
	double before, most, sum; /* work before this task; of the heaviest; of all that were looked at */
	int64_t looked_at;
};

/* One number for how much a task has to do; only its ratio to others' matters. An exp takes as long as some
 * eight operations, a byte as long as two, and a tensor core does sixteen in the time of one. */
static double effort(const struct device_work *d)
{
	double e = d->map_flops + 8 * d->exps + 2 * d->bytes + d->contract[OPERAND_COMPUTE];
	for (int t = OPERAND_BF16; t < OPERANDS; t++)
		e += d->contract[t] / 16;
	return e;
}

static void end_task(struct count *k)
{
	double now = effort(k->total), one = (now - k->before) / (k->share > 0 ? k->share : 1);
	if (k->looked_at) {
		k->most = one > k->most ? one : k->most;
		k->sum += one;
	}
	k->before = now;
}

static void begin_task(struct tile_walk *w, double share)
{
	struct count *k = w->owner;
	end_task(k);
	k->share = share;
	k->total->tasks += share;
	k->looked_at++;
}

static void step(struct tile_walk *w, const struct tile_statement *s)
{
	struct count *k = w->owner;
	k->total->steps += k->share;
	if (s->stages > k->total->stages)
		k->total->stages = s->stages;
}

static double padded(struct tile_walk *w, uint32_t index)
{
	const struct count *k = w->owner;
	int64_t n = tile_count(w, index);
	return (double)(k->rows[index] ? round_up(n, WARP_ROWS) : n);
}

static double volume(struct tile_walk *w, int n, const uint32_t *index)
{
	double v = 1;
	for (int i = 0; i < n; i++)
		v *= padded(w, index[i]);
	return v;
}

static void touch(struct tile_walk *w, struct expr e)
{
	const struct expr_pool *p = w->p->pool;
	const struct expr_node *n = expr_at(p, e);
	struct count *k = w->owner;
	if (n->op == OP_READ && !k->touched[n->symbol]) {
		const struct tile_tensor *t = &w->p->tensor.v[n->symbol];
		double bytes = dtype_info[t->dtype].bits / 8.0;
		for (int r = 0; r < t->nranks; r++)
			bytes *= (double)t->extent[r];
		k->total->footprint += bytes;
		k->touched[n->symbol] = true;
	}
	for (int i = 0; i < n->count; i++)
		touch(w, expr_operand(p, e, i));
}

/* Adds an expression evaluated `times` times, reading what it reads `reads` times. */
static void add(struct tile_walk *w, struct expr e, double times, double reads)
{
	struct count *k = w->owner;
	struct tile_price *one = &k->price[e.id];
	if (!one->known) {
		*one = tile_price(w->p, e);
		touch(w, e);
	}
	k->total->map_flops += k->share * times * one->flops;
	k->total->exps += k->share * times * one->exps;
	k->total->bytes += k->share * reads * one->bytes;
}

static void add_contract(struct tile_walk *w, const struct tile_statement *s)
{
	struct count *k = w->owner;
	enum operand_type t = s->operand;
	bool cores = t == OPERAND_COMPUTE;
	double rows =
	        (double)(s->rows == UINT32_MAX ? WARP_ROWS : round_up(tile_count(w, s->rows), WARP_ROWS));
	double lanes = (double)(cores ? tile_count(w, s->lanes) : round_up(tile_count(w, s->lanes), LANES));
	double steps = (double)round_up(tile_count(w, s->index), depth[t]);
	double warp = s->block_rows > WARP_ROWS ? s->block_rows : WARP_ROWS;
	k->total->contract[t] += k->share * 2 * rows * lanes * steps;
	*(cores ? &k->total->plain_chain : &k->total->matrix_chain) += k->share * steps / depth[t];
	k->total->operand_bytes += k->share * ceil(rows / warp) * lanes * steps * element[t];
	if (expr_at(w->p->pool, s->b)->op == OP_READ)
		add(w, s->b, 0, (double)tile_count(w, s->index) * (double)tile_count(w, s->lanes));
	if (s->scale.id)
		k->total->map_flops += k->share * rows * lanes;
}

/* The threshold is found by counting, a bit of the key a pass over the fiber, which stays in a cache. */
static void add_select(struct tile_walk *w, const struct tile_statement *s)
{
	const double passes = 32;
	struct count *k = w->owner;
	uint32_t tensor = expr_at(w->p->pool, s->target)->symbol;
	double results, fibers = tile_fibers(w, s, &results), fiber = (double)tile_count(w, s->index);
	add(w, s->expression, passes * fibers * fiber, fibers * fiber);
	k->total->map_flops += k->share * passes * fibers * fiber;
	k->total->bytes += k->share * fibers * results * dtype_info[w->p->tensor.v[tensor].dtype].bits / 8.0;
}

static bool statement(struct tile_walk *w, const struct tile_statement *s)
{
	struct count *k = w->owner;
	const struct expr_pool *p = w->p->pool;
	if (s->kind == TILE_CONTRACT) {
		add_contract(w, s);
		return true;
	}
	if (s->kind == TILE_STORE) {
		const struct expr_node *n = expr_at(p, s->target);
		double there = 1, done = 1;
		for (int i = 0; i < n->count; i++) {
			uint32_t index = expr_at(p, expr_operand(p, s->target, i))->symbol;
			there *= (double)tile_count(w, index);
			done *= padded(w, index);
		}
		add(w, s->expression, done, 0);
		touch(w, s->target);
		k->total->bytes += k->share * there * dtype_info[w->p->tensor.v[n->symbol].dtype].bits / 8.0;
		return true;
	}
	if (s->kind == TILE_SELECT) {
		add_select(w, s);
		return true;
	}
	const struct tile_value *value = &w->p->value.v[s->value];
	double done = volume(w, value->nranks, value->index), there = 1;
	for (int i = 0; i < value->nranks; i++)
		there *= (double)tile_count(w, value->index[i]);
	if (s->kind == TILE_REDUCE) {
		done *= padded(w, s->index);
		k->total->map_flops += k->share * done;
		k->total->reductions += k->share;
	}
	add(w, s->expression, done, there);
	k->total->maps += k->share;
	if (k->price[s->expression.id].exps > 0)
		k->total->special_maps += k->share;
	return true;
}

static void find_rows(struct count *k, const struct tile_block *b)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		if (s->kind == TILE_CONTRACT && s->rows != UINT32_MAX)
			k->rows[s->rows] = true;
		find_rows(k, &s->body);
		find_rows(k, &s->other);
	}
}

void device_work(const struct tile_program *p, uint32_t phase, int64_t sample, struct device_work *out)
{
	const struct tile_phase *f = &p->phase.v[phase];
	*out = (struct device_work){.heaviest = 1};
	struct count k = {.total = out,
	                  .price = arena_new_array(p->arena, p->pool->node.n, struct tile_price),
	                  .touched = arena_new_array(p->arena, p->tensor.n + 1, bool),
	                  .rows = arena_new_array(p->arena, p->index.n + 1, bool)};
	struct tile_walk w = {.p = p,
	                      .arena = p->arena,
	                      .statement = statement,
	                      .value = tile_no_value,
	                      .read = tile_no_read,
	                      .task = begin_task,
	                      .step = step,
	                      .sample = sample,
	                      .lenient = true,
	                      .owner = &k};
	find_rows(&k, &f->body);
	tile_walk_phase(&w, phase);
	end_task(&k);
	for (uint32_t i = 0; i < f->task.n; i++)
		out->down |= f->task.v[i].down;
	if (k.sum > 0)
		out->heaviest = k.most * (double)k.looked_at / k.sum;
}
