/* Micro-kernels of contractions whose operand b lies turned, its rows along the contracted index: products of rows of b
 * with rows of a, vectors along the contracted index.
 *
 * Several rows of b at a time, as many as the accumulators leave registers for, so that what is read of a row of b
 * serves all rows of a and the sums across their vectors are made together. */
#include "codegen/emit.h"

/* The most rows of b at a time. */
static int columns_of(const struct emitter *e, const struct micro *k)
{
	enum { PAIRS = 8 }; /* two columns of what is read, and tables that it is made by */
	int registers = e->lanes >= 16 ? 32 : 16, t = e->lanes;
	while (t > 1 && k->rows * t + (k->pairs ? PAIRS : k->rows > 1 ? t + 1 : 2) > registers)
		t /= 2;
	return t;
}

static const char *accumulators(struct emitter *e, const struct micro *k, int columns)
{
	struct text t;
	text_init(&t, e->arena);
	for (int r = 0; r < k->rows; r++)
		for (int c = 0; c < columns; c++)
			text_printf(&t, "%sc%d_%d = v_splat(0)", t.len ? ", " : "vreal ", r, c);
	return t.s;
}

/* The accumulators' share of a step: `left` elements of each row, or NULL for a vector. */
static void emit_step(struct emitter *e, struct c_block *b, const struct micro *k, int columns, const char *left)
{
	struct arena *a = e->arena;
	struct text t;
	if (k->pairs) {
		emit_pair_step(e, b, k, columns, left);
		return;
	}
	text_init(&t, a);
	for (int c = 0; c < columns; c++) {
		const char *at = c ? arena_printf(a, c == 1 ? "b + b_lane + k" : "b + %d * b_lane + k", c) : "b + k";
		text_printf(&t, "%sx%d = v_get_%s(%s, 1, %s)", c ? ", " : "const vreal ", c, k->get, at,
		            left ? left : "LANES");
	}
	c_line(a, b, "%s;", t.s);
	c_line(a, b, "vreal y;");
	for (int r = 0; r < k->rows; r++) {
		text_init(&t, a);
		if (left)
			text_printf(&t, "y = v_load_step(a + %lld + k, 1, %s);", (long long)(r * k->a_row), left);
		else
			text_printf(&t, "y = v_load(a + %lld + k);", (long long)(r * k->a_row));
		for (int c = 0; c < columns; c++)
			text_printf(&t, " c%d_%d += y * x%d;", r, c, c);
		c_line(a, b, "%s", t.s);
	}
}

/* Halves of vectors are added till one holds all sums: of rows `from` to from + n, each times `columns`, in order. */
static void emit_joined(struct emitter *e, struct c_block *b, int from, int n, int columns)
{
	int vectors = n * columns;
	struct text t;
	for (int size = vectors / 2; size > 0; size /= 2) {
		text_init(&t, e->arena);
		for (int i = 0; i < size; i++) {
			int j = i + size;
			text_printf(&t, "%sc%d_%d = v_join(c%d_%d, c%d_%d, %d);", i ? " " : "", from + i / columns, i % columns,
			            from + i / columns, i % columns, from + j / columns, j % columns, size);
		}
		c_line(e->arena, b, "%s", t.s);
	}
	for (int size = vectors; size < e->lanes; size *= 2)
		c_line(e->arena, b, "c%d_0 = v_join(c%d_0, c%d_0, %d);", from, from, from, size);
}

static void emit_sums(struct emitter *e, struct c_block *b, const struct micro *k, int columns)
{
	struct arena *a = e->arena;
	for (int r = 0, n; r < k->rows; r += n) {
		n = e->lanes / columns;
		while (n > k->rows - r)
			n /= 2;
		emit_joined(e, b, r, n, columns);
		for (int i = 0; i < n; i++)
			c_line(a, b, "v_store_lanes(out + %lld + j, c%d_0, %d, %d);", (long long)((r + i) * k->out_row), r,
			       i * columns, columns);
	}
}

static void emit_ahead(struct emitter *e, struct c_block *b, const struct micro *k, int columns)
{
	struct arena *a = e->arena;
	if (!k->ahead)
		return;
	struct c_block *row = c_open(a, b, "for (long i = %lld; i < %lld; i++)", (long long)k->ahead,
	                             (long long)(k->ahead + columns));
	c_line(a, c_open(a, row, "for (long k = 0; k < count; k += %d)", emit_line_elements(k)), "%s",
	       emit_line_ahead(e, k, "b + i * b_lane + k"));
}

/* Blocks of so many rows of b. */
static void emit_block(struct emitter *e, struct c_block *f, const struct micro *k, int columns)
{
	struct arena *a = e->arena;
	struct c_block *b = c_open(a, f, "for (; j + %d <= lanes; j += %d, b += %d * b_lane)", columns, columns, columns);
	if (columns > 1 && k->ahead)
		emit_ahead(e, b, k, columns);
	c_line(a, b, "%s;", accumulators(e, k, columns));
	c_line(a, b, "long k = 0;");
	int step = k->pairs ? emit_pair_elements(e) : e->lanes;
	const char *elements = k->pairs ? arena_printf(a, "%d", step) : "LANES";
	if (!k->count || k->count >= step)
		emit_step(e, c_open(a, b, "for (; k + %s <= count; k += %s)", elements, elements), k, columns, NULL);
	if (!k->count || k->count % step)
		emit_step(e, c_open(a, b, "if (k < count)"), k, columns, "count - k");
	if (columns > 1)
		emit_sums(e, b, k, columns);
	else
		for (int r = 0; r < k->rows; r++)
			c_line(a, b, "out[%lld + j] = v_across_sum(c%d_0);", (long long)(r * k->out_row), r);
}

void emit_dots(struct emitter *e, const struct micro *k, const char *what)
{
	struct arena *a = e->arena;
	c_line(a, e->functions, "%s", "");
	c_comment(a, e->functions, what);
	struct c_block *f = c_open(a, e->functions,
	                           "static __attribute__((noinline)) void %s(const %s *a, %sb, long b_lane, "
	                           "long lanes, real *out, long count)",
	                           k->name, k->pairs ? "unsigned short" : "real", k->type);
	c_line(a, f, "long j = 0;");
	int columns = columns_of(e, k);
	emit_block(e, f, k, columns);
	if (columns > 1)
		emit_block(e, f, k, 1);
}
