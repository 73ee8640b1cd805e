#include "search/prior.h"

#include <math.h>

#include "codegen/roofline.h"
#include "dsl/dtype.h"

/* Vector operations besides products and exponentials: half of the peak counts two flops an instruction, and of loads and
 * dependences half again is lost. */
static const double map_share = 0.25;
static const double exp_flops = 20;           /* worth of an exponential in scalar code, which no probe measures */
static const double guessed_peak = 64e9, guessed_rate = 16e9; /* of a machine that was not measured */

static const double beside = 0.25; /* of the time tiles take to come from a cache, what arithmetic does not cover */

/* Clocks of a register block's step by those of its multiplications alone: two multipliers with a latency of four, and
 * two loads a clock that bring a vector of b each and an element of a for each row. */
static double block_cost(const struct contract_schedule *b)
{
	double multiply = b->rows * b->lanes / 2.0, load = (b->rows + b->lanes) / 2.0, latency = 4;
	return fmax(fmax(multiply, load), latency) / multiply;
}

static double mean_block_cost(const struct schedule *s)
{
	double sum = 0;
	int n = 0;
	for (int i = 0; i < s->nstreams; i++)
		for (int k = 0; k < s->stream[i].ncontracts; k++, n++)
			sum += block_cost(&s->stream[i].contract[k]);
	return n ? sum / n : 1;
}

/* How much longer the busiest thread works than the average one, by the phase with the most of the tasks' indices. */
static double imbalance(const struct tile_program *p, int threads)
{
	double worst = 1;
	for (uint32_t i = 0; i < p->phase.n && threads > 1; i++) {
		double tasks = 1;
		for (uint32_t k = 0; k < p->phase.v[i].task.n; k++) {
			const struct tile_task *t = &p->phase.v[i].task.v[k];
			tasks *= ceil((double)p->index.v[t->index].extent / (double)t->step);
		}
		worst = fmax(worst, ceil(tasks / threads) * threads / tasks);
	}
	return worst;
}

static double argument_bytes(const struct tile_program *p)
{
	double bytes = 0;
	for (uint32_t i = 0; i < p->tensor.n; i++) {
		const struct tile_tensor *t = &p->tensor.v[i];
		int64_t n = 1;
		if (t->place != PLACE_ARGUMENT)
			continue;
		for (int k = 0; k < t->nranks; k++)
			n *= t->extent[k];
		bytes += (double)dtype_bytes(t->dtype, n);
	}
	return bytes;
}

static bool is_twined(const struct schedule *s)
{
	for (int i = 0; i < s->nstreams; i++)
		for (int k = 0; k < s->stream[i].ncontracts; k++)
			if (s->stream[i].contract[k].twine)
				return true;
	return false;
}

double prior_seconds(const struct tile_program *p, const struct schedule *s, const struct machine *m, int threads)
{
	const struct machine_limits *l = &m->limits;
	struct tile_cost c = tile_cost(p);
	double bytes = argument_bytes(p), peak = l->peak[s->isa][OPERAND_COMPUTE];
	if (peak <= 0)
		peak = guessed_peak;
	struct roofline r = roofline(&c, bytes, m, s->isa, threads);
	double products = r.bound ? r.products : c.contract_flops / peak / threads;
	double rest = c.map_flops / (map_share * peak) / threads;
	rest += r.exps > 0 && r.beside > 0 && is_twined(s) ? r.beside
	        : r.exps > 0                               ? r.exps
	                                                   : exp_flops * c.exps / (map_share * peak) / threads;
	/* What tiles ask for again comes from the nearest cache that holds all arguments. */
	double near = bytes < (double)m->l2 / 2 ? l->read[READ_L2] : l->read[READ_L3];
	double asked = c.bytes / (near > 0 ? near : guessed_rate) / threads;
	rest += beside * asked;
	double memory = r.bound ? r.memory : bytes / guessed_rate;
	return fmax(fmax(products * mean_block_cost(s) + rest, asked) * imbalance(p, threads), memory);
}
