#include "codegen/roofline.h"

#include <math.h>

static double products(const struct tile_cost *c, const struct machine_limits *l, enum isa isa)
{
	double seconds = 0;
	for (enum operand_type t = 0; t < OPERANDS; t++)
		if (c->contract[t] > 0)
			seconds += c->contract[t] / machine_peak(l, isa, t);
	return seconds;
}

/* What so many threads read together: no more than each alone, nor than all cores. */
static double read_rate(const struct machine *m, double bytes, int threads)
{
	const struct machine_limits *l = &m->limits;
	if (bytes < (double)m->l3 / 2)
		return l->read[READ_L3] * threads;
	return fmin(l->read[READ_MEMORY] * threads, l->read_all);
}

struct roofline roofline(const struct tile_cost *c, double bytes, const struct machine *m, enum isa isa, int threads)
{
	const struct machine_limits *l = &m->limits;
	struct roofline r = {0};
	if (isa_is_device(isa) || l->peak[isa][OPERAND_COMPUTE] <= 0 || l->read[READ_MEMORY] <= 0)
		return r;
	r.products = products(c, l, isa) / threads;
	r.exps = l->exps[isa] > 0 ? c->exps / l->exps[isa] / threads : 0;
	r.memory = bytes / read_rate(m, bytes, threads);
	r.seconds = fmax(r.products + r.exps, r.memory);
	r.bound = r.memory > r.products + r.exps ? "memory" : r.exps > r.products ? "exponentials" : "multiply-adds";
	return r;
}
