/* A contraction whose operand a is made while it is used (schedule_twine.c): one block of rows, the first block of lanes.
 *
 * The statements that make a are a group of loops over rows and the contracted index. A chunk of adjacent elements of
 * each row is made, one row after the other, and after each come some of the multiply-adds of the chunk before, so that
 * the instructions of neither wait in line behind the other's. The first chunk is made before, and what is less than a
 * chunk after. No loop is unrolled: the compiler would mix what is apart, and has no registers left for that. */
#include "codegen/emit_loops.h"

#include <string.h>

struct twining {
	struct emitter *e;
	const struct twine *t;
	const struct group *making;
	struct nest nest;             /* of what is made */
	struct fold fold[MAX_GROUP];  /* its reductions: accumulators are elements, one a row, of arrays */
	const char *a, *b;            /* names: pointers to the elements that are multiplied next */
	const char *sum[MAX_TWINED];  /* accumulators, rows by vectors */
	int group;                    /* elements multiplied at once */
};

static int chunk_of(const struct emitter *e, const struct micro *k)
{
	return (k->group ? 2 : 1) * e->lanes; /* two vectors of narrow elements are rounded at once */
}

bool emit_may_twine(const struct emitter *e, const struct twine *t, const struct group *making)
{
	const struct tile_statement *s = t->statement;
	const struct current *rows = s->rows == NO_INDEX ? NULL : e->range[s->rows], *along = e->range[s->index];
	const struct expr_node *a = expr_at(e->pool, s->a);
	const struct micro *k = &t->micro;
	bool makes = false;
	if (!rows || rows->single || along->single || rows->step != k->rows || making->shape.shape != SHAPE_LANES ||
	    making->shape.lane != s->index || making->shape.nouter != 1 || making->shape.outer[0] != s->rows || k->far ||
	    k->tail || k->edge || k->pairs || k->scale_lanes || along->step < chunk_of(e, k) || k->rows * k->vectors > MAX_TWINED ||
	    k->a_step != 1 || e->real_double)
		return false;
	for (int i = 0; i < making->count; i++) {
		uint32_t value = making->statement[i]->value;
		if (making->statement[i]->kind == TILE_STORE)
			return false;
		makes |= a->op == OP_VALUE && value == a->symbol;
		if (value == s->value || (s->scale.id && expr_mentions(e->pool, s->scale, OP_VALUE, value)) ||
		    expr_mentions(e->pool, s->b, OP_VALUE, value))
			return false;
	}
	return makes;
}

const char *emit_twine_condition(struct emitter *e, const struct twine *t)
{
	const struct current *rows = e->range[t->statement->rows], *along = e->range[t->statement->index];
	int chunk = chunk_of(e, &t->micro);
	const char *all = "", *also = "";
	if (!range_whole(rows, t->micro.rows)) {
		all = arena_printf(e->arena, "%s + %d <= %s", rows->low, t->micro.rows - 1, rows->high);
		also = " && ";
	}
	if (!range_whole(along, chunk))
		all = arena_printf(e->arena, "%s%s%s + %d <= %s", all, also, along->low, chunk - 1, along->high);
	return all;
}

/* ---- what is made ---- */

/* The current row, counted from the first. */
static const char *row_of(const struct twining *w)
{
	const struct tile_statement *s = w->t->statement;
	return arena_printf(w->e->arena, "%s - %s", w->e->index_name[s->rows], w->e->range[s->rows]->low);
}

static void begin_making(struct twining *w, struct c_block *b)
{
	struct emitter *e = w->e;
	struct nest *n = &w->nest;
	int rows = w->t->micro.rows;
	*n = (struct nest){.e = e, .beside = true, .uses = arena_alloc(e->arena, e->pool->node.n)};
	n->loop[n->nloops++] = w->t->statement->rows;
	emit_begin_together(n, b, w->making);
	for (int i = 0; i < w->making->count; i++) {
		const struct tile_statement *s = w->making->statement[i];
		c_comment(e->arena, b, emit_describe(e, s));
		nest_count(n, s->expression);
		if (s->kind != TILE_REDUCE)
			continue;
		struct fold *f = &w->fold[i];
		*f = emit_fold_of(e, s);
		const char *name = plan_name(e, arena_printf(e->arena, "%s_%s", e->value[s->value].name,
		                                             e->index_name[w->t->statement->index]));
		c_line(e->arena, b, "%s %s[%d];", f->kind == KIND_REAL ? "vreal" : "vint", name, rows);
		for (int r = 0; r < rows; r++)
			c_line(e->arena, b, "%s[%d] = %s;", name, r, emit_vector_identity(e, f));
		f->accumulator = arena_printf(e->arena, "%s[%s]", name, row_of(w));
	}
}

/* `vectors` of the current row from coordinate `at`; the last may be `partial`. */
static void make(struct twining *w, struct c_block *b, const char *at, int vectors, bool partial)
{
	struct emitter *e = w->e;
	struct nest *n = &w->nest;
	uint32_t names = e->taken.n;
	struct c_block copy[2] = {{0}};
	n->lane = w->t->statement->index;
	n->row = c_group(e->arena, b);
	n->scalar.n = 0;
	n->partial = partial;
	for (int v = 0; v < vectors; v++) {
		n->at = v ? plan_name(e, e->index_name[n->lane]) : at;
		n->left = emit_left(e, e->range[n->lane], n->at);
		n->half = vectors > 1 ? v + 1 : 0;
		emit_lane_body(n, &copy[v], w->making, w->fold, 0);
		if (v && c_mentions(&copy[v], n->at))
			c_line(e->arena, b, "const long %s = %s + LANES;", n->at, at);
	}
	c_interleave(e->arena, b, copy, vectors);
	n->first.n = 0;
	n->vector.n = 0;
	emit_end_names(n, names);
}

static void end_making(struct twining *w, struct c_block *b)
{
	struct emitter *e = w->e;
	struct nest *n = &w->nest;
	struct c_block *row = emit_loop(e, b, w->t->statement->rows);
	bool folds = false;
	n->lane = NO_INDEX;
	n->row = n->body = row;
	n->scalar.n = 0;
	for (int i = 0; i < w->making->count; i++)
		if (w->fold[i].accumulator) {
			emit_fold_end(n, row, &w->fold[i], w->making->statement[i], true);
			folds = true;
		}
	if (folds)
		emit_end_together(n, b);
}

/* ---- what uses it ---- */

static void begin_sums(struct twining *w, struct c_block *b)
{
	struct emitter *e = w->e;
	const struct micro *k = &w->t->micro;
	struct text t;
	for (int r = 0; r < k->rows; r++) {
		text_init(&t, e->arena);
		for (int v = 0; v < k->vectors; v++) {
			w->sum[r * k->vectors + v] = plan_name(e, arena_printf(e->arena, "c%d_%d", r, v));
			text_printf(&t, "%s%s = v_splat(0)", v ? ", " : "vreal ", w->sum[r * k->vectors + v]);
		}
		c_line(e->arena, b, "%s;", t.s);
	}
	w->a = plan_name(e, "a_at");
	w->b = plan_name(e, "b_at");
	c_line(e->arena, b, "const %s *%s = %s;", k->group ? "unsigned short" : "real", w->a, w->t->a);
	c_line(e->arena, b, "%s%s = %s;", k->type, w->b, w->t->b);
}

/* Products of as many elements of a row as are multiplied at once. */
static void step(struct twining *w, struct c_block *b)
{
	struct arena *a = w->e->arena;
	const struct micro *k = &w->t->micro;
	bool widens = strcmp(k->type, "const real *") != 0;
	struct text t;
	text_init(&t, a);
	for (int v = 0; v < k->vectors; v++) {
		const char *at = k->group ? v ? arena_printf(a, "%s + %d * LANES", w->b, v * k->group) : w->b
		                          : emit_times(w->e, w->b, 0, v);
		const char *load = k->group ? arena_printf(a, "v_groups_%s(%s)", k->get, at)
		                   : widens ? arena_printf(a, "v_get_%s(%s, 1, LANES)", k->get, at)
		                            : arena_printf(a, "v_load(%s)", at);
		text_printf(&t, "%sb%d = %s", v ? ", " : k->group ? "const vint " : "const vreal ", v, load);
	}
	c_line(a, b, "%s;", t.s);
	c_line(a, b, k->group ? "vint x;" : "vreal x;");
	for (int r = 0; r < k->rows; r++) {
		text_init(&t, a);
		if (k->group)
			text_printf(&t, "x = v_group_%s(%s + %lld);", k->get, w->a, (long long)(r * k->a_row));
		else
			text_printf(&t, "x = v_splat(%s[%lld]);", w->a, (long long)(r * k->a_row));
		for (int v = 0; v < k->vectors; v++) {
			const char *sum = w->sum[r * k->vectors + v];
			if (k->group)
				text_printf(&t, " %s = v_dot_%s(%s, x, b%d);", sum, k->get, sum, v);
			else
				text_printf(&t, " %s += x * b%d;", sum, v);
		}
		c_line(a, b, "%s", t.s);
	}
	c_line(a, b, "%s += %d;", w->a, w->group);
	c_line(a, b, "%s += %s;", w->b, w->t->b_step);
}

/* Sums of what is there, times the scale, and the new ones; that is last, so that a long sum is one of short ones. */
static void end_sums(struct twining *w, struct c_block *b)
{
	struct emitter *e = w->e;
	struct arena *a = e->arena;
	const struct micro *k = &w->t->micro;
	const char *out = plan_name(e, "out_at");
	struct text t;
	c_line(a, b, "real *const %s = %s;", out, w->t->out);
	for (int r = 0; r < k->rows; r++) {
		text_init(&t, a);
		for (int v = 0; v < k->vectors; v++) {
			const char *sum = w->sum[r * k->vectors + v], *to = emit_times(e, out, r * k->out_row, v);
			if (k->accumulate && k->scale)
				sum = arena_printf(a, "v_load(%s) * v_splat((%s)[%d]) + %s", to, w->t->scale, r, sum);
			else if (k->accumulate)
				sum = arena_printf(a, "v_load(%s) + %s", to, sum);
			text_printf(&t, "%sv_store(%s, %s);", v ? " " : "", to, sum);
		}
		c_line(a, b, "%s", t.s);
	}
}

void emit_twine(struct emitter *e, struct c_block *b, const struct twine *t, const struct group *making)
{
	struct arena *a = e->arena;
	const struct micro *k = &t->micro;
	const struct current *along = e->range[t->statement->index];
	const char *index = e->index_name[t->statement->index], *high = along->high;
	struct twining w = {.e = e, .t = t, .making = making, .group = k->group ? k->group : 1};
	int chunk = chunk_of(e, k), steps = chunk / w.group, vectors = chunk / e->lanes;
	uint32_t names = e->taken.n;
	begin_making(&w, b);
	begin_sums(&w, b);
	const char *at = plan_name(e, index), *next = plan_name(e, index), *done = plan_name(e, "done");
	c_line(a, b, "long %s = %s;", at, along->low);
	make(&w, emit_loop(e, b, t->statement->rows), at, vectors, false);
	if (along->step > chunk) {
		struct c_block *loop = c_open(a, b, "for (; %s + %d <= %s; %s += %d)", at, 2 * chunk - 1, high, at, chunk);
		c_line(a, loop, "const long %s = %s + %d;", next, at, chunk);
		c_line(a, loop, "int %s = 0;", done);
		c_line(a, loop, "_Pragma(\"GCC unroll 1\")");
		loop = emit_loop(e, loop, t->statement->rows);
		make(&w, loop, next, vectors, false);
		c_line(a, loop, "_Pragma(\"GCC unroll 1\")");
		const char *upto = steps % k->rows ? arena_printf(a, "(%s + 1) * %d / %d", row_of(&w), steps, k->rows)
		                                   : arena_printf(a, "(%s + 1) * %d", row_of(&w), steps / k->rows);
		step(&w, c_open(a, loop, "for (; %s < %s; %s++)", done, upto, done));
	}
	if (!range_whole(along, chunk)) {
		struct c_block *rest = c_open(a, b, "for (long %s = %s + %d; %s <= %s; %s += LANES)", next, at, chunk, next, high,
		                              next);
		make(&w, emit_loop(e, rest, t->statement->rows), next, 1, true);
	}
	c_line(a, b, "_Pragma(\"GCC unroll 1\")");
	step(&w, c_open(a, b, "for (; %s <= %s; %s += %d)", at, high, at, w.group));
	end_sums(&w, b);
	end_making(&w, b);
	e->taken.n = names;
}
