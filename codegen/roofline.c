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

double roofline_beside(const struct machine_limits *l, enum isa isa, bool narrow)
{
	/* codegen/prelude/avx512.h, v_exp2_beside */
	enum { MULTIPLIES = 3, MULTIPLIES_NARROW = 1 };
	if (isa != ISA_AVX512 && isa != ISA_AVX512_BF16)
		return 0;
	return l->peak[isa][OPERAND_COMPUTE] / (2 * (narrow ? MULTIPLIES_NARROW : MULTIPLIES));
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
	double beside = roofline_beside(l, isa, c->contract[OPERAND_BF16] > 0);
	if (beside > 0)
		r.beside = c->exps / beside / threads;
	double arithmetic = beside > 0 ? fmax(r.products + r.beside, r.exps) : r.products + r.exps;
	r.seconds = fmax(arithmetic, r.memory);
	r.bound = r.memory > arithmetic ? "memory" : r.exps > r.products ? "exponentials" : "multiply-adds";
	return r;
}
