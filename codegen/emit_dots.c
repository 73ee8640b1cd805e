/* Micro-kernels of contractions whose operand b lies turned, its rows along the contracted index: of each coordinate of
 * the lanes the products of b's row with rows of a, vectors along the contracted index. */
#include "codegen/emit.h"

void emit_dots(struct emitter *e, const struct micro *k, const char *what)
{
	struct arena *a = e->arena;
	c_line(a, e->functions, "%s", "");
	c_comment(a, e->functions, what);
	struct c_block *f = c_open(a, e->functions,
	                           "static __attribute__((noinline)) void %s(const real *a, %sb, long b_lane, "
	                           "long lanes, real *out, long count)",
	                           k->name, k->type);
	struct c_block *lane = c_open(a, f, "for (long j = 0; j < lanes; j++, b += b_lane)");
	struct text sums, whole, part;
	text_init(&sums, a);
	text_init(&whole, a);
	text_init(&part, a);
	for (int r = 0; r < k->rows; r++) {
		text_printf(&sums, "%sc%d = v_splat(0)", r ? ", " : "vreal ", r);
		text_printf(&whole, "%sc%d += v_load(a + %lld + k) * x;", r ? " " : "", r, (long long)(r * k->a_row));
		text_printf(&part, "%sc%d += v_load_step(a + %lld + k, 1, count - k) * x;", r ? " " : "", r,
		            (long long)(r * k->a_row));
	}
	c_line(a, lane, "%s;", sums.s);
	c_line(a, lane, "long k = 0;");
	struct c_block *loop = c_open(a, lane, "for (; k + LANES <= count; k += LANES)");
	c_line(a, loop, "const vreal x = v_get_%s(b + k, 1, LANES);", k->get);
	c_line(a, loop, "%s", whole.s);
	struct c_block *rest = c_open(a, lane, "if (k < count)");
	c_line(a, rest, "const vreal x = v_get_%s(b + k, 1, count - k);", k->get);
	c_line(a, rest, "%s", part.s);
	for (int r = 0; r < k->rows; r++)
		c_line(a, lane, "out[%lld + j] = v_across_sum(c%d);", (long long)(r * k->out_row), r);
}
