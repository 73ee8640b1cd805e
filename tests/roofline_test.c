/* What a machine's limits allow: products by type, exponentials on top of them, or memory, whichever is longer. */
#include <math.h>
#include <string.h>

#include "codegen/roofline.h"
#include "tests/tap.h"

static bool about(double a, double b)
{
	return fabs(a - b) <= 1e-9 * fabs(b);
}

int main(void)
{
	struct machine m = {.isa = ISA_AVX512_BF16, .l3 = 1 << 20};
	struct tile_cost c = {.contract_flops = 3e9, .exps = 1e6};
	c.contract[OPERAND_COMPUTE] = 1e9;
	c.contract[OPERAND_BF16] = 2e9;
	ok(!roofline(&c, 1e6, &m, ISA_AVX2, 1).bound, "nothing is known of a machine that was not measured");
	m.limits.peak[ISA_AVX2][OPERAND_COMPUTE] = 1e11;
	m.limits.peak[ISA_AVX512_BF16][OPERAND_COMPUTE] = 2e11;
	m.limits.peak[ISA_AVX512_BF16][OPERAND_BF16] = 4e11;
	m.limits.exps[ISA_AVX512_BF16] = 1e9;
	m.limits.read[READ_L3] = 1e11;
	m.limits.read[READ_MEMORY] = 2e10;
	m.limits.read_all = 3e10;
	struct roofline r = roofline(&c, 1e6, &m, ISA_AVX512_BF16, 1);
	ok(about(r.products, 0.01) && about(r.exps, 0.001) && about(r.beside, 1e6 * 2 / 2e11) &&
	           about(r.seconds, r.products + r.beside) && r.bound && !strcmp(r.bound, "multiply-adds"),
	   "products of each type at its peak, between them exponentials with one multiplication each");
	c.contract[OPERAND_BF16] = 0;
	r = roofline(&c, 1e6, &m, ISA_AVX512_BF16, 1);
	ok(about(r.beside, 3 * 1e6 * 2 / 2e11), "… with three where they are to be right to the last bit");
	c.contract[OPERAND_BF16] = 2e9;
	m.limits.exps[ISA_AVX2] = 1e9;
	r = roofline(&c, 1e6, &m, ISA_AVX2, 1);
	ok(about(r.exps, 0.001) && r.beside == 0 && about(r.seconds, r.products + r.exps), "after them where none are made beside");
	m.limits.exps[ISA_AVX2] = 0;
	ok(about(r.memory, 1e6 / 2e10), "what the last cache does not hold comes from memory");
	ok(about(roofline(&c, 1e5, &m, ISA_AVX512_BF16, 1).memory, 1e5 / 1e11), "… what it holds comes from there");
	r = roofline(&c, 1e6, &m, ISA_AVX2, 1);
	ok(about(r.products, 0.03) && r.exps == 0, "in f32 where there is no instruction; no exponentials where no limit");
	r = roofline(&c, 3e8, &m, ISA_AVX512_BF16, 2);
	ok(about(r.products, 0.005) && about(r.memory, 0.01) && about(r.seconds, 0.01) && !strcmp(r.bound, "memory"),
	   "two threads halve arithmetic, and read no faster than all cores do");
	c.exps = 1e8;
	ok(!strcmp(roofline(&c, 1e6, &m, ISA_AVX512_BF16, 1).bound, "exponentials"), "exponentials may decide");
	return tap_done();
}
