/* Operands of a contraction as the fragments that mma takes, codegen/primitives.h: from tiles in shared
 * memory by ldmatrix where the tile has the operand's type and its rows run the right way (b of 16 bits
 * either way: transposed), else element by element; a also from the registers it was computed in. */
#include <string.h>

#include "base/whole.h"
#include "codegen/cuda_product.h"

/* Computed fragments have adjacent lanes 2t, 2t + 1 where tf32's operand has t, t + 4: the order of the
 * reduced index in a step is as one pleases if b follows. */
static bool permuted(const struct product *p)
{
	return p->registers_a && p->s->operand == OPERAND_TF32;
}

static int bits_of(const struct product *p)
{
	return 8 * tile_element_bytes(p->s->operand);
}

/* The tile's bytes are what mma takes, but for the rounding of tf32. */
static bool has_type(const struct product *p, const struct shared_tile *t)
{
	return t->element == p->s->operand ||
	       (p->s->operand == OPERAND_TF32 && t->element == OPERAND_COMPUTE && !t->integer);
}

/* Column of the first coordinate of a value's last rank. */
static const char *first_column(const struct product *p, uint32_t value)
{
	struct emitter *e = &p->c->e;
	const struct tile_value *v = &e->program->value.v[value];
	const char *low = e->range[v->index[v->nranks - 1]]->low,
	           *base = value_base(e, value, v->nranks - 1)->low;
	if (!strcmp(low, base))
		return "0";
	return strcmp(base, "0") ? arena_printf(e->arena, "(%s - %s)", low, base) : low;
}

static const char *first_row(const struct product *p, uint32_t value)
{
	struct nest n = {.e = &p->c->e, .lane = NO_INDEX};
	return emit_strip(&p->c->e, tile_row(&n, p->c, value));
}

void product_init_a(struct product *p, struct cuda *c, const struct tile_statement *s)
{
	*p = (struct product){.c = c, .s = s, .a = expr_at(c->e.pool, s->a)->symbol};
	const struct current *reduced = c->e.range[s->index];
	int64_t step = reduced->step > 0 ? reduced->step : 1;
	p->each = 256 / bits_of(p);
	p->steps = (int)((step + p->each - 1) / p->each);
	p->registers_a = contract_from_fragment(c, s);
	bool padded = false; /* zeroes beyond: its tile's writer saw to it */
	if (!p->registers_a) {
		p->tile_a = &c->value[p->a].tile;
		p->row_a = first_row(p, p->a);
		p->column_a = first_column(p, p->a);
		p->matrix_a = has_type(p, p->tile_a) && !strcmp(p->column_a, "0");
		padded = !reduced->outer && p->steps * p->each <= p->tile_a->columns;
	}
	if (!padded && !cuda_whole(c, s->index, (int64_t)p->steps * p->each))
		p->left = reduced->single ? "1" : emit_strip(&c->e, emit_left(&c->e, reduced, reduced->low));
}

void product_init_b(struct product *p, struct c_block *block)
{
	struct cuda *c = p->c;
	const struct tile_statement *s = p->s;
	const struct expr_node *b = expr_at(c->e.pool, s->b);
	int64_t lanes = (c->e.range[s->lanes]->step + 7) / 8;
	p->lanes = c->value[s->value].lane_groups;
	if (lanes < p->lanes)
		p->lanes = (int)lanes;
	p->row_b = p->column_b = "0";
	if (b->op == OP_VALUE) {
		p->tile_b = &c->value[b->symbol].tile;
		p->stage_b = "0";
		p->row_b = first_row(p, b->symbol);
		p->column_b = first_column(p, b->symbol);
	} else {
		const struct ring *r = ring_of(c, block, s);
		p->tile_b = &r->tile;
		p->stage_b = r->stage;
		p->b_by_lanes = r->rows == s->lanes;
	}
	bool turns = p->b_by_lanes ? !permuted(p) : bits_of(p) == 16;
	p->matrix_b = turns && has_type(p, p->tile_b) && !strcmp(p->column_b, "0");
}

/* Which of two neighbouring chunks a lane's matrices are in, in bytes from a row's start. Rows of matrices
 * begin at multiples of 8, so that row & 7 is lane & 7. */
static const char *chunk_of_lane(struct product *p, const struct shared_tile *t, const char *which)
{
	return arena_printf(p->c->e.arena, t->swizzle ? "((%s) ^ (lane & 7)) * 16" : "(%s) * 16", which);
}

/* Of the elements of the reduced index that a thread has in half `half` of a step, the first: "k * 16 + 8",
 * to which comes what own_offset says. */
static const char *step_at(const struct product *p, int half, bool permute)
{
	struct arena *a = p->c->e.arena;
	int apart = permute ? 1 : p->each / 2;
	return half ? arena_printf(a, "%s * %d + %d", p->k, p->each, apart)
	            : arena_printf(a, "%s * %d", p->k, p->each);
}

/* "2 * t": of a half step's elements four threads have as many each, one after the other. */
static const char *own_offset(const struct product *p, bool permute)
{
	int own = permute ? 2 : p->each / 8;
	return own > 1 ? arena_printf(p->c->e.arena, "%d * t", own) : "t";
}

static const char *reduced_at(const struct product *p, int half, bool permute)
{
	return arena_printf(p->c->e.arena, "%s + %s", step_at(p, half, permute), own_offset(p, permute));
}

void product_begin_a(struct product *p, struct c_block *b)
{
	struct cuda *c = p->c;
	struct arena *a = c->e.arena;
	/* Counted from the thread's own first element, so that tests compare with a number of the unrolled
	 * text. */
	if (p->left) {
		const char *left = plan_name(&c->e, "left");
		c_line(a, b, "const int %s = %s - %s;", left, p->left, own_offset(p, permuted(p)));
		p->left = left;
	}
	if (!p->matrix_a)
		return;
	const char *row = arena_printf(a, "%s%swarp_row + (lane & 15)", strcmp(p->row_a, "0") ? p->row_a : "",
	                               strcmp(p->row_a, "0") ? " + " : "");
	p->at_a = plan_name(&c->e, arena_printf(a, "%s_at", c->e.value[p->a].name));
	c_line(a, b, "const unsigned %s = %s + %s;", p->at_a, tile_start(c, p->tile_a, "0", row),
	       chunk_of_lane(p, p->tile_a, "lane >> 4"));
}

/* The lanes of a warp say where matrices are: of two groups of columns, first the two halves of the step's
 * chunks; with rows = the reduced index, first its two halves. */
void product_begin_b(struct product *p, struct c_block *b)
{
	struct cuda *c = p->c;
	struct arena *a = c->e.arena;
	if (!p->matrix_b)
		return;
	const char *row = p->b_by_lanes ? "(lane & 7) + (lane >> 4) * 8" : "lane & 15";
	if (strcmp(p->row_b, "0"))
		row = arena_printf(a, "%s + (%s)", p->row_b, row);
	p->at_b = plan_name(&c->e, "b_at");
	c_line(a, b, "const unsigned %s = %s + %s;", p->at_b, tile_start(c, p->tile_b, p->stage_b, row),
	       chunk_of_lane(p, p->tile_b, p->b_by_lanes ? "lane >> 3 & 1" : "lane >> 4"));
}

/* The address of chunk `fixed`, an even number once loops are unrolled, or the one after, as the lane has
 * said. A swizzle changes what the lane's bits are joined with, not how: no register holds an address a
 * chunk. */
static const char *chunk_at(struct product *p, const struct shared_tile *t, const char *at, const char *fixed,
                            const char *more)
{
	struct arena *a = p->c->e.arena;
	if (!t->swizzle)
		return arena_printf(a, "%s + %s + %s * 16", at, more, fixed);
	if (t->pitch == 128)
		return arena_printf(a, "(%s ^ %s * 16) + %s", at, fixed, more);
	return arena_printf(a, "(%s ^ %s %% 8 * 16) + %s + %s / 8 * 128", at, fixed, more, fixed);
}

static void round_tf32(struct product *p, struct c_block *b, const char *x, int n)
{
	for (int r = 0; r < n; r++)
		c_line(p->c->e.arena, b, "%s[%d] = at_tf32(at_f32_bits(%s[%d]));", x, r, x, r);
}

/* One element of a tile for mma, its bits in the lowest: the type's own, or converted. */
static const char *element_bits(struct product *p, const struct shared_tile *t, const char *address)
{
	struct arena *a = p->c->e.arena;
	if (t->element == p->s->operand && t->element != OPERAND_TF32)
		return arena_printf(
		        a, t->element == OPERAND_I8 ? "at_load_shared_u8(%s)" : "at_load_shared_u16(%s)",
		        address);
	const char *x = tile_get(p->c, t, address);
	switch (p->s->operand) {
	case OPERAND_BF16: return arena_printf(a, "at_pack_bf16(%s, 0.0f)", x);
	case OPERAND_F16: return arena_printf(a, "at_pack_f16(%s, 0.0f)", x);
	case OPERAND_I8:
		return arena_printf(a, "((unsigned)%s(%s) & 255)", t->integer ? "i_cast_i8" : "s_cast_i8", x);
	default: return arena_printf(a, "at_tf32(%s)", x);
	}
}

/* 32 bits of a fragment out of single elements. `along` is the coordinate of the reduced index of the first,
 * `other` that of the row or lane; the tile holds nothing from `limit` on. */
static void gather(struct product *p, struct c_block *b, const char *x, const struct shared_tile *t,
                   const char *stage, bool by_rows, const char *row0, const char *column0, const char *along,
                   const char *other)
{
	struct cuda *c = p->c;
	struct arena *a = c->e.arena;
	int own = 32 / bits_of(p), limit = by_rows ? t->rows : t->columns;
	struct text sum;
	text_init(&sum, a);
	for (int e = 0; e < own; e++) {
		const char *at = e ? arena_printf(a, "%s + %d", along, e) : along;
		const char *row = by_rows ? at : other, *column = by_rows ? other : at;
		if (strcmp(row0, "0"))
			row = arena_printf(a, "%s + %s", row0, row);
		if (strcmp(column0, "0"))
			column = arena_printf(a, "%s + %s", column0, column);
		const char *bits = element_bits(p, t,
		                                tile_element(c, t, stage, arena_printf(a, "(%s)", row),
		                                             arena_printf(a, "(%s)", column)));
		if (p->steps * p->each > limit)
			bits = arena_printf(a, "(%s < %d ? %s : 0u)", at, limit, bits);
		text_printf(&sum, e ? " | %s << %d" : "%s", bits, e * bits_of(p));
	}
	c_line(a, b, "%s = %s;", x, sum.s);
}

/* Elements of a beyond the range become zero: what is there means nothing, and may be no number. */
static void mask_a(struct product *p, struct c_block *b, const char *x)
{
	struct arena *a = p->c->e.arena;
	for (int r = 0; r < 4; r++) {
		const char *at = step_at(p, r >> 1, false);
		if (bits_of(p) == 32) {
			c_line(a, b, "%s[%d] = %s < %s ? %s[%d] : 0u;", x, r, at, p->left, x, r);
			continue;
		}
		int own = 32 / bits_of(p);
		const char *masked = arena_printf(a, "%s[%d]", x, r);
		for (int e = own - 1; e > 0; e--)
			masked = arena_printf(a, "%s + %d < %s ? %s : %s[%d] & 0x%xu", at, e, p->left,
			                      e == own - 1 ? masked : arena_printf(a, "(%s)", masked), x, r,
			                      (1u << e * bits_of(p)) - 1);
		c_line(a, b, "%s[%d] = %s < %s ? %s : 0u;", x, r, at, p->left,
		       own > 1 ? arena_printf(a, "(%s)", masked) : masked);
	}
}

/* From the registers of a value: its group of 8 lanes j is half a step of 16-bit elements, a step of tf32. */
static void registers_a(struct product *p, struct c_block *b, const char *x)
{
	struct cuda *c = p->c;
	struct arena *a = c->e.arena;
	const char *name = c->e.value[p->a].name;
	int groups = c->value[p->a].lane_groups;
	for (int r = 0; r < 4; r++) {
		int half = r >> 1;
		if (permuted(p)) {
			const char *y =
			        arena_printf(a, "%s[%s][%s][%d]", name, p->i, p->k, 2 * (r & 1) + half);
			if (p->left)
				y = arena_printf(a, "%s < %s ? %s : 0.0f", step_at(p, half, true), p->left,
				                 y);
			c_line(a, b, "%s[%d] = at_tf32(%s);", x, r, y);
			continue;
		}
		const char *j = arena_printf(a, half ? "2 * %s + 1" : "2 * %s", p->k), *y[2];
		for (int e = 0; e < 2; e++) {
			y[e] = arena_printf(a, "%s[%s][%s][%d]", name, p->i, j, 2 * (r & 1) + e);
			const char *test = "";
			if (2 * p->steps > groups && half)
				test = arena_printf(a, "%s < %d", j, groups);
			if (p->left)
				test = arena_printf(a, "%s%s%s%s < %s", test, *test ? " && " : "",
				                    step_at(p, half, false), e ? " + 1" : "", p->left);
			if (*test)
				y[e] = arena_printf(a, "%s ? %s : 0.0f", test, y[e]);
		}
		c_line(a, b, "%s[%d] = at_pack_%s(%s, %s);", x, r, operand_type_name[p->s->operand], y[0],
		       y[1]);
	}
}

void product_a(struct product *p, struct c_block *b, const char *x)
{
	struct cuda *c = p->c;
	struct arena *a = c->e.arena;
	if (p->registers_a) {
		registers_a(p, b, x);
		return;
	}
	if (p->matrix_a) {
		const char *group = arena_printf(a, "%s * %d", p->i, 16 * p->tile_a->pitch);
		c_line(a, b, "at_ldmatrix_x4(%s, %s);", x,
		       chunk_at(p, p->tile_a, p->at_a, arena_printf(a, "2 * %s", p->k), group));
		if (p->s->operand == OPERAND_TF32)
			round_tf32(p, b, x, 4);
	} else {
		for (int r = 0; r < 4; r++)
			gather(p, b, arena_printf(a, "%s[%d]", x, r), p->tile_a, "0", false, p->row_a,
			       p->column_a, reduced_at(p, r >> 1, false),
			       arena_printf(a, "warp_row + 16 * %s + %sg", p->i, r & 1 ? "8 + " : ""));
	}
	if (p->left)
		mask_a(p, b, x);
}

void product_b(struct product *p, struct c_block *b, const char *x)
{
	struct cuda *c = p->c;
	struct arena *a = c->e.arena;
	const struct shared_tile *t = p->tile_b;
	c_line(a, b, "unsigned %s[%d];", x, p->matrix_b ? 4 : 2);
	if (!p->matrix_b) {
		for (int half = 0; half < 2; half++)
			gather(p, b, arena_printf(a, "%s[%d]", x, half), t, p->stage_b, !p->b_by_lanes,
			       p->row_b, p->column_b, reduced_at(p, half, permuted(p)),
			       arena_printf(a, "8 * %s + g", p->j));
		return;
	}
	if (p->b_by_lanes)
		c_line(a, b, "at_ldmatrix_x4(%s, %s);", x,
		       chunk_at(p, t, p->at_b, arena_printf(a, "2 * %s", p->k),
		                arena_printf(a, "%s * %d", p->j, 8 * t->pitch)));
	else
		c_line(a, b, "at_ldmatrix_x4_trans(%s, %s);", x,
		       chunk_at(p, t, p->at_b, p->j, arena_printf(a, "%s * %d", p->k, 16 * t->pitch)));
	if (p->s->operand == OPERAND_TF32)
		round_tf32(p, b, x, 4);
}
