/* Micro-kernels of contractions: one noinline function a shape.
 *
 * It keeps rows × vectors of the result in named vectors and streams over the contracted index: a from rows of
 * scratch or of a tensor, broadcast; b from panels or rows of memory. Rows that a tensor does not have are its last
 * one again. */
#include "codegen/emit.h"

#include <string.h>

static bool same_micro(const struct micro *x, const struct micro *y)
{
	return x->rows == y->rows && x->vectors == y->vectors && x->a_row == y->a_row && x->a_step == y->a_step &&
	       x->far == y->far && x->scale_lanes == y->scale_lanes && x->b_step == y->b_step &&
	       x->out_row == y->out_row && x->edge == y->edge && x->part == y->part && x->dots == y->dots &&
	       x->count == y->count && x->ahead == y->ahead && x->each == y->each && x->span == y->span &&
	       x->accumulate == y->accumulate && x->scale == y->scale && x->fold == y->fold &&
	       x->fold_rows == y->fold_rows && x->group == y->group && x->pairs == y->pairs &&
	       x->tail == y->tail && !strcmp(x->get, y->get);
}

const char *emit_times(struct emitter *e, const char *p, int64_t elements, int vectors)
{
	const char *s = p;
	if (elements)
		s = arena_printf(e->arena, "%s + %lld", s, (long long)elements);
	if (vectors)
		s = arena_printf(e->arena, vectors == 1 ? "%s + LANES" : "%s + %d * LANES", s, vectors);
	return s;
}

static const char *load_b(struct emitter *e, const struct micro *k, int v)
{
	struct arena *a = e->arena;
	bool widens = strcmp(k->type, "const real *");
	const char *at = !v ? "b" : k->edge ? arena_printf(a, "b + %d * LANES * b_lane", v) : emit_times(e, "b", 0, v);
	const char *left = v ? arena_printf(a, "left - %d * LANES", v) : "left";
	if (k->part && v == k->vectors - 1)
		return widens ? arena_printf(a, "v_get_%s(%s, 1, %s)", k->get, at, left)
		              : arena_printf(a, "v_load_part(%s, %s)", at, left);
	if (!k->edge)
		return widens ? arena_printf(a, "v_get_%s(%s, 1, LANES)", k->get, at) : arena_printf(a, "v_load(%s)", at);
	if (!widens)
		return arena_printf(a, "v_load_step(%s, b_lane, %s)", at, left);
	/* Of one lane, nothing else keeps from reading past the last. */
	return arena_printf(a, "%s > 0 ? v_get_%s(%s, b_lane, %s) : v_splat(0)", left, k->get, at, left);
}

const char *emit_line_ahead(struct emitter *e, const struct micro *k, const char *element)
{
	/* Two elements of four bits have an address. */
	return arena_printf(e->arena, strcmp(k->get, "i4") ? "v_ahead(%s);" : "v_ahead((const void *)((%s) >> 1));", element);
}

int emit_line_elements(const struct micro *k)
{
	int bits = 0;
	for (enum dtype t = 0; t < DTYPES; t++)
		if (!strcmp(k->get, dtype_info[t].spelling))
			bits = dtype_info[t].bits;
	return 64 * 8 / bits;
}

static void emit_start(struct emitter *e, struct c_block *b, const struct micro *k)
{
	struct text t;
	for (int r = 0; r < k->rows; r++) {
		text_init(&t, e->arena);
		for (int v = 0; v < k->vectors; v++)
			text_printf(&t, "%sc%d_%d = v_splat(0)", v ? ", " : "vreal ", r, v);
		c_line(e->arena, b, "%s;", t.s);
	}
}

/* What is there joins the sums at their end: a long sum is one of short ones, and its error does not grow with its
 * length. */
void emit_joins(struct emitter *e, struct c_block *b, const struct micro *k)
{
	struct text t;
	for (int v = 0; v < k->vectors && k->scale_lanes; v++)
		c_line(e->arena, b, "const vreal s%d = v_load(%s);", v, emit_times(e, "scale", 0, v));
	for (int r = 0; r < k->rows && k->accumulate; r++) {
		if (k->scale && !k->scale_lanes)
			c_line(e->arena, b, "const vreal s%d = v_splat(scale[%d]);", r, r);
		text_init(&t, e->arena);
		for (int v = 0; v < k->vectors; v++) {
			text_printf(&t, "%sc%d_%d += v_load(%s)", v ? " " : "", r, v, emit_times(e, "out", r * k->out_row, v));
			if (k->scale)
				text_printf(&t, " * s%d", k->scale_lanes ? v : r);
			text_add(&t, ";");
		}
		c_line(e->arena, b, "%s", t.s);
	}
}

/* The r-th row's element of a. */
static const char *element_a(struct emitter *e, const struct micro *k, int r)
{
	if (!k->far)
		return arena_printf(e->arena, "a[%lld]", (long long)(r * k->a_row));
	return r ? arena_printf(e->arena, "a[row%d]", r) : "a[0]";
}

void emit_folds(struct emitter *e, struct c_block *f, const struct micro *k)
{
	struct arena *a = e->arena;
	int kept = k->fold_rows ? k->vectors : k->rows, folded = k->fold_rows ? k->rows : k->vectors;
	for (int i = 0; k->fold && i < kept; i++) {
		const char *at = emit_times(e, "fold", 0, i), *so_far = arena_printf(a, "v_load(%s)", at);
		for (int j = 0; j < folded; j++)
			so_far = arena_printf(a, "v_fold_%s(%s, c%d_%d)", reduction_info[k->fold].spelling, so_far,
			                      k->fold_rows ? j : i, k->fold_rows ? i : j);
		c_line(a, f, "v_store(%s, %s);", at, so_far);
	}
}

void emit_micro_end(struct emitter *e, struct c_block *f, const struct micro *k)
{
	struct arena *a = e->arena;
	struct text t;
	emit_joins(e, f, k);
	for (int r = 0; r < k->rows; r++) {
		text_init(&t, a);
		for (int v = 0; v < k->vectors; v++) {
			const char *to = emit_times(e, "out", r * k->out_row, v);
			if (k->edge || (k->part && v == k->vectors - 1))
				text_printf(&t, "%sv_store_part(%s, c%d_%d, left - %d * LANES);",
				            v ? " " : "", to, r, v, v);
			else
				text_printf(&t, "%sv_store(%s, c%d_%d);", v ? " " : "", to, r, v);
		}
		c_line(a, f, "%s", t.s);
	}
	emit_folds(e, f, k);
}

struct c_block *emit_micro_open(struct emitter *e, const struct micro *k, const char *type, const char *what)
{
	struct arena *a = e->arena;
	struct text t;
	text_init(&t, a);
	text_printf(&t, "static __attribute__((noinline)) void %s(%sa, %sb, ", k->name, type, k->type);
	if (!k->b_step)
		text_add(&t, "long b_step, ");
	if (k->ahead)
		text_printf(&t, "%snext, long next_step, ", k->type);
	if (k->each)
		text_add(&t, "const real *later, ");
	if (k->span)
		text_add(&t, "long later_row, ");
	if (k->edge)
		text_add(&t, "long b_lane, ");
	if (k->edge || k->part)
		text_add(&t, "long left, ");
	if (k->far)
		text_add(&t, "long a_row, long a_step, long rows, ");
	if (k->scale)
		text_add(&t, "const real *scale, ");
	if (k->fold)
		text_add(&t, "real *fold, ");
	text_add(&t, "real *out, long count)");
	c_line(a, e->functions, "%s", "");
	c_comment(a, e->functions, what);
	struct c_block *f = c_open(a, e->functions, "%s", t.s);
	emit_start(e, f, k);
	return f;
}

static void emit_outer(struct emitter *e, const struct micro *k, const char *what)
{
	struct arena *a = e->arena;
	struct text t;
	struct c_block *f = emit_micro_open(e, k, "const real *", what);
	for (int r = 1; k->far && r < k->rows; r++)
		c_line(a, f, "const long row%d = i_min(%d, rows - 1) * a_row;", r, r);
	struct c_block *loop;
	if (k->span) {
		loop = c_open(a, f, "for (long k = 0; k < count; later += later_row)");
		loop = c_open(a, loop, "for (const long end = i_min(k + %lld, count); k < end; k++)", (long long)k->span);
	} else {
		loop = c_open(a, f, "for (long k = 0; k < count; k++)");
	}
	text_init(&t, a);
	for (int v = 0; v < k->vectors; v++)
		text_printf(&t, "%sb%d = %s", v ? ", " : "const vreal ", v, load_b(e, k, v));
	c_line(a, loop, "%s;", t.s);
	for (int at = 0, step = emit_line_elements(k); k->ahead && at < k->vectors * e->lanes; at += step)
		c_line(a, loop, "%s", emit_line_ahead(e, k, at ? arena_printf(a, "next + %d", at) : "next"));
	if (k->ahead)
		c_line(a, loop, "next += next_step;");
	if (k->each) {
		c_line(a, loop, "v_ahead(later);");
		c_line(a, loop, "later += %lld;", (long long)k->each);
	}
	c_line(a, loop, "vreal x;");
	for (int r = 0; r < k->rows; r++) {
		text_init(&t, a);
		text_printf(&t, "x = v_splat(%s);", element_a(e, k, r));
		for (int v = 0; v < k->vectors; v++)
			text_printf(&t, " c%d_%d += x * b%d;", r, v, v);
		c_line(a, loop, "%s", t.s);
	}
	if (k->far)
		c_line(a, loop, "a += a_step;");
	else
		c_line(a, loop, "a += %lld;", (long long)k->a_step);
	if (k->b_step)
		c_line(a, loop, "b += %lld;", (long long)k->b_step);
	else
		c_line(a, loop, "b += b_step;");
	emit_micro_end(e, f, k);
}

const char *emit_micro(struct emitter *e, struct micro k, const struct tile_statement *s)
{
	for (uint32_t i = 0; i < e->micro.n; i++)
		if (same_micro(&e->micro.v[i], &k))
			return e->micro.v[i].name;
	const char *stem = arena_printf(e->arena, "contract_%s%s", e->program->value.v[s->value].name,
	                                k.edge ? "_edge" : k.part ? "_part" : k.dots ? "_dots" : "");
	k.name = stem;
	for (uint32_t i = 0, n = 2; i < e->micro.n; i++)
		if (!strcmp(e->micro.v[i].name, k.name)) {
			k.name = arena_printf(e->arena, "%s_%u", stem, n++);
			i = UINT32_MAX;
		}
	vec_push(e->arena, &e->micro, k);
	const char *what = arena_printf(e->arena, "%d row%s by %d vector%s of  %s", k.rows, k.rows == 1 ? "" : "s",
	                                k.vectors, k.vectors == 1 ? "" : "s", emit_describe(e, s));
	if (k.dots)
		emit_dots(e, &k, arena_printf(e->arena, "%d row%s by any number of  %s", k.rows, k.rows == 1 ? "" : "s",
		                              emit_describe(e, s)));
	else if (k.group)
		emit_groups(e, &k, what);
	else if (k.pairs)
		emit_pairs(e, &k, what);
	else
		emit_outer(e, &k, what);
	return k.name;
}
