/* Micro-kernels of operands that bf16 holds, where operand b lies in memory as it is: elements that are multiplied at once
 * are put side by side as they are read. Two adjacent ones of a row of b, where vectors run along the contracted index
 * (emit_dots.c); else two rows of b, and a pair of a row of a, broadcast, meets a vector of them. */
#include "codegen/emit.h"

int emit_pair_elements(const struct emitter *e)
{
	return 4 * e->lanes;
}

/* Two columns at a time, which is what registers have room for beside the accumulators. */
void emit_pair_step(struct emitter *e, struct c_block *b, const struct micro *k, int columns, const char *left)
{
	struct arena *a = e->arena;
	int width = columns < 2 ? 1 : 2;
	for (int from = 0; from < columns; from += width) {
		for (int c = from; c < from + width; c++)
			c_line(a, b, "const struct vpairs x%d = v_pairs_%s(b + %d * b_lane + k, %s);", c, k->get, c,
			       left ? left : "4 * LANES");
		for (int half = 0; half < 2; half++)
			for (int r = 0; r < k->rows; r++) {
				const char *at = arena_printf(a, "a + %lld + k", (long long)(r * k->a_row));
				const char *y = arena_printf(a, left ? "v_pairs_bf16(%s, %s).%c" : "v_groups_bf16(%s + %s)", at,
				                             left ? left : half ? "2 * LANES" : "0", half ? 'b' : 'a');
				struct text t;
				text_init(&t, a);
				text_printf(&t, "const vint y%d_%d_%d = %s;", from, r, half, y);
				for (int c = from; c < from + width; c++)
					text_printf(&t, " c%d_%d = v_dot_bf16(c%d_%d, y%d_%d_%d, x%d.%c);", r, c, r, c, from, r, half,
					            c, half ? 'b' : 'a');
				c_line(a, b, "%s", t.s);
			}
	}
}

/* The share of two rows of b, or of the last one. */
static void emit_two(struct emitter *e, struct c_block *b, const struct micro *k, bool one)
{
	struct arena *a = e->arena;
	const char *step = k->b_step ? arena_printf(a, "%lld", (long long)k->b_step) : "b_step";
	struct text t;
	for (int v = 0; v < k->vectors; v += 2) {
		bool last = v + 2 >= k->vectors;
		const char *at = !v ? "b" : k->edge ? arena_printf(a, "b + %d * LANES * b_lane", v) : emit_times(e, "b", 0, v);
		const char *left = k->edge || (k->part && last) ? arena_printf(a, "left - %d * LANES", v)
		                   : v + 1 < k->vectors       ? "2 * LANES"
		                                              : "LANES";
		c_line(a, b, "const struct vpairs b%d = v_pair_rows_%s(%s, %s, %s, %s%s%s, %s);", v, k->get, at,
		       k->edge ? "b_lane" : "1", left, at, one ? "" : " + ", one ? "" : step, one ? "0" : left);
	}
	for (int row = 0; k->ahead && !one && row < 2; row++) {
		for (int at = 0; at < k->vectors * e->lanes; at += emit_line_elements(k))
			c_line(a, b, "%s", emit_line_ahead(e, k, at ? arena_printf(a, "next + %d", at) : "next"));
		c_line(a, b, "next += next_step;");
	}
	c_line(a, b, "vint x;");
	for (int r = 0; r < k->rows; r++) {
		text_init(&t, a);
		text_printf(&t, "x = v_group_bf16(a + %lld + k)%s;", (long long)(r * k->a_row), one ? " & v_live_bf16(1)" : "");
		for (int v = 0; v < k->vectors; v++)
			text_printf(&t, " c%d_%d = v_dot_bf16(c%d_%d, x, b%d.%c);", r, v, r, v, v & ~1, v & 1 ? 'b' : 'a');
		c_line(a, b, "%s", t.s);
	}
	if (!one)
		c_line(a, b, "b += 2 * %s;", step);
}

void emit_pairs(struct emitter *e, const struct micro *k, const char *what)
{
	struct arena *a = e->arena;
	struct c_block *f = emit_micro_open(e, k, "const unsigned short *", what);
	c_line(a, f, "long k = 0;");
	emit_two(e, c_open(a, f, "for (; k + 2 <= count; k += 2)"), k, false);
	if (k->tail)
		emit_two(e, c_open(a, f, "if (k < count)"), k, true);
	emit_micro_end(e, f, k);
}
