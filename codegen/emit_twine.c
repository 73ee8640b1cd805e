/* A contraction whose operand is made while it is used (schedule_twine.c).
 *
 * Of operand a one block of rows, the first block of lanes. The statements that make it are a group of loops over rows and
 * the contracted index. A chunk of adjacent elements of each row is made, one row after the other, and after each come some
 * of the multiply-adds of the chunk before, so that the instructions of neither wait in line behind the other's. The first
 * chunk is made before, and what is less than a chunk after. No loop is unrolled: the compiler would mix what is apart, and
 * has no registers left for that.
 *
 * Of operand b, whose rows lie in the lanes, one block of these, the first block of a's columns: in each step the vectors of
 * one coordinate of the contracted index are made, and those made AHEAD steps before multiplied. Nobody has touched this
 * tile of a tensor yet, so it is asked for. */
#include "codegen/emit_loops.h"

#include <string.h>

enum { AHEAD = 8, ASKED_AHEAD = 16 };

struct twining {
	struct emitter *e;
	const struct twine *t;
	const struct group *making;
	struct nest nest;             /* of what is made */
	struct fold fold[MAX_GROUP];  /* its reductions: accumulators are elements, one a row, of arrays */
	const char *a, *b;            /* names: pointers to the elements that are multiplied next */
	const char *row[MAX_TWINED];  /* of a tensor: how far a row is from the first */
	const char *sum[MAX_TWINED];  /* accumulators, rows by vectors */
	int group;                    /* elements multiplied at once */
};

static int chunk_of(const struct emitter *e, const struct micro *k)
{
	return (k->group ? 2 : 1) * e->lanes; /* two vectors of narrow elements are rounded at once */
}

/* Do these statements make it, and nothing else that the contraction reads? */
static bool makes_operand(const struct emitter *e, const struct twine *t, const struct group *making)
{
	const struct tile_statement *s = t->statement;
	const struct expr_node *made = expr_at(e->pool, t->second ? s->b : s->a);
	bool makes = false;
	for (int i = 0; i < making->count; i++) {
		uint32_t value = making->statement[i]->value;
		if (making->statement[i]->kind == TILE_STORE)
			return false;
		makes |= made->op == OP_VALUE && value == made->symbol;
		if (value == s->value || (s->scale.id && expr_mentions(e->pool, s->scale, OP_VALUE, value)) ||
		    expr_mentions(e->pool, t->second ? s->a : s->b, OP_VALUE, value))
			return false;
	}
	return makes;
}

static bool may_twine_lanes(const struct emitter *e, const struct twine *t, const struct group *making)
{
	const struct tile_statement *s = t->statement;
	const struct shape_of *shape = &making->shape;
	const struct micro *k = &t->micro;
	bool column = shape->shape == SHAPE_COLUMN && shape->inner == s->index && !shape->nouter,
	     each = shape->shape == SHAPE_LANES && shape->nouter == 1 && shape->outer[0] == s->index;
	return (column || each) && shape->lane == s->lanes && s->rows != NO_INDEX && !e->range[s->rows]->single &&
	       !e->range[s->index]->single && e->range[s->lanes]->step == (int64_t)k->vectors * e->lanes &&
	       k->vectors <= MAX_LANES_TWINED && k->rows * k->vectors <= MAX_TWINED && !k->edge && !k->pairs && !k->group &&
	       !e->real_double && (!k->scale || k->scale_lanes) && makes_operand(e, t, making);
}

bool emit_may_twine(const struct emitter *e, const struct twine *t, const struct group *making)
{
	const struct tile_statement *s = t->statement;
	const struct current *rows = s->rows == NO_INDEX ? NULL : e->range[s->rows], *along = e->range[s->index];
	const struct micro *k = &t->micro;
	if (t->second)
		return may_twine_lanes(e, t, making);
	return rows && !k->far && !rows->single && !along->single && rows->step == k->rows && making->shape.shape == SHAPE_LANES &&
	       making->shape.lane == s->index && making->shape.nouter == 1 && making->shape.outer[0] == s->rows && !k->tail &&
	       !k->edge && !k->pairs && !k->scale_lanes && along->step >= chunk_of(e, k) && k->rows * k->vectors <= MAX_TWINED &&
	       k->a_step == 1 && !e->real_double && makes_operand(e, t, making);
}

/* The first coordinates of a range, so many, are in it. */
static const char *has(struct emitter *e, const struct current *r, int64_t coordinates)
{
	return arena_printf(e->arena, "%s + %lld <= %s", r->low, (long long)coordinates - 1, r->high);
}

const char *emit_twine_condition(struct emitter *e, const struct twine *t)
{
	const struct current *rows = e->range[t->statement->rows], *along = e->range[t->statement->index],
	                     *lanes = e->range[t->statement->lanes];
	int64_t chunk = chunk_of(e, &t->micro), width = (int64_t)t->micro.vectors * e->lanes;
	if (t->second)
		return range_whole(lanes, width) ? "" : has(e, lanes, width);
	const char *all = range_whole(rows, t->micro.rows) ? "" : has(e, rows, t->micro.rows);
	if (range_whole(along, chunk))
		return all;
	return *all ? arena_printf(e->arena, "%s && %s", all, has(e, along, chunk)) : has(e, along, chunk);
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
	for (int r = 1; r < k->rows && k->far; r++) {
		w->row[r] = plan_name(e, arena_printf(e->arena, "row%d", r));
		c_line(e->arena, b, "const long %s = i_min(%d, %s - 1) * %s;", w->row[r], r, w->t->left, w->t->a_row);
	}
}

static const char *element_a(const struct twining *w, int r)
{
	struct arena *a = w->e->arena;
	if (w->t->micro.far)
		return arena_printf(a, "%s[%s]", w->a, r ? w->row[r] : "0");
	return arena_printf(a, "%s[%lld]", w->a, (long long)(r * w->t->micro.a_row));
}

/* Products of as many elements of a row as are multiplied at once. */
static void step(struct twining *w, struct c_block *b)
{
	struct arena *a = w->e->arena;
	const struct micro *k = &w->t->micro;
	bool widens = strcmp(k->type, "const real *") != 0;
	struct text t;
	text_init(&t, a);
	if (w->t->later) {
		c_line(a, b, "v_ahead(%s);", w->t->later);
		c_line(a, b, "%s += %s;", w->t->later, w->t->each);
		if (w->t->span)
			c_line(a, b, "if (++%s == %lld) %s = 0, %s += %s;", w->t->asked, (long long)w->t->span, w->t->asked,
			       w->t->later, w->t->row);
	}
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
			text_printf(&t, "x = v_splat(%s);", element_a(w, r));
		for (int v = 0; v < k->vectors; v++) {
			const char *sum = w->sum[r * k->vectors + v];
			if (k->group)
				text_printf(&t, " %s = v_dot_%s(%s, x, b%d);", sum, k->get, sum, v);
			else
				text_printf(&t, " %s += x * b%d;", sum, v);
		}
		c_line(a, b, "%s", t.s);
	}
	if (k->far)
		c_line(a, b, "%s += %s;", w->a, w->t->a_step);
	else
		c_line(a, b, "%s += %lld;", w->a, (long long)(k->a_step * w->group));
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
	const char *scale[MAX_LANES_TWINED] = {NULL};
	for (int v = 0; v < k->vectors && k->scale_lanes; v++) {
		scale[v] = plan_name(e, arena_printf(a, "s%d", v));
		c_line(a, b, "const vreal %s = v_load(%s);", scale[v], emit_times(e, w->t->scale, 0, v));
	}
	for (int r = 0; r < k->rows; r++) {
		text_init(&t, a);
		for (int v = 0; v < k->vectors; v++) {
			const char *sum = w->sum[r * k->vectors + v], *to = emit_times(e, out, r * k->out_row, v);
			if (k->accumulate && k->scale_lanes)
				sum = arena_printf(a, "v_load(%s) * %s + %s", to, scale[v], sum);
			else if (k->accumulate && k->scale)
				sum = arena_printf(a, "v_load(%s) * v_splat((%s)[%d]) + %s", to, w->t->scale, r, sum);
			else if (k->accumulate)
				sum = arena_printf(a, "v_load(%s) + %s", to, sum);
			text_printf(&t, "%sv_store(%s, %s);", v ? " " : "", to, sum);
		}
		c_line(a, b, "%s", t.s);
	}
}

/* ---- rows in the lanes ---- */

struct column {
	struct nest nest;
	struct fold fold[MAX_GROUP];
};

static void begin_columns(struct twining *w, struct c_block *b, struct column *column)
{
	struct emitter *e = w->e;
	const struct tile_statement *s = w->t->statement;
	const struct current *lanes = e->range[s->lanes];
	for (int i = 0; i < w->making->count; i++)
		c_comment(e->arena, b, emit_describe(e, w->making->statement[i]));
	for (int v = 0; v < w->t->micro.vectors; v++) {
		struct nest *n = &column[v].nest;
		const char *at = v ? plan_name(e, e->index_name[s->lanes]) : lanes->low;
		if (v)
			c_line(e->arena, b, "const long %s = %s + %d * LANES;", at, lanes->low, v);
		*n = (struct nest){.e = e,
		                   .beside = true,
		                   .lane = s->lanes,
		                   .at = at,
		                   .left = emit_left(e, lanes, at),
		                   .uses = arena_alloc(e->arena, e->pool->node.n),
		                   .row = b,
		                   .body = b};
		for (int i = 0; i < w->making->count; i++) {
			const struct tile_statement *m = w->making->statement[i];
			nest_count(n, m->expression);
			if (m->kind != TILE_REDUCE)
				continue;
			struct fold *f = &column[v].fold[i];
			*f = emit_fold_of(e, m);
			f->accumulator = plan_name(e, "folded");
			c_line(e->arena, b, "%s %s = %s;", f->kind == KIND_REAL ? "vreal" : "vint", f->accumulator,
			       emit_vector_identity(e, f));
		}
		emit_column_hold(n, w->making, s->index);
		n->loop[n->nloops++] = s->index;
	}
}

/* The vectors of one coordinate. */
static void make_columns(struct twining *w, struct c_block *b, struct column *column, const char *at)
{
	struct emitter *e = w->e;
	const char **name = &e->index_name[w->t->statement->index], *own = *name;
	*name = at;
	for (int v = 0; v < w->t->micro.vectors; v++)
		emit_column_steps(&column[v].nest, c_open(e->arena, b, "%s", ""), w->making, w->t->statement->index, column[v].fold, 1);
	*name = own;
}

static void end_columns(struct twining *w, struct c_block *b, struct column *column)
{
	for (int v = 0; v < w->t->micro.vectors; v++) {
		struct nest *n = &column[v].nest;
		n->row = n->body = b;
		n->nloops = 0;
		emit_column_end(n, w->making, column[v].fold);
	}
}

static void twine_columns(struct twining *w, struct c_block *b)
{
	struct emitter *e = w->e;
	struct arena *a = e->arena;
	struct column *column = arena_new_array(a, MAX_LANES_TWINED, struct column);
	const struct current *along = e->range[w->t->statement->index];
	const char *index = e->index_name[w->t->statement->index], *made = plan_name(e, index), *at = plan_name(e, index);
	begin_columns(w, b, column);
	begin_sums(w, b);
	c_line(a, b, "long %s = %s, %s = %s;", made, along->low, at, along->low);
	c_line(a, b, "_Pragma(\"GCC unroll 1\")");
	make_columns(w, c_open(a, b, "for (; %s < %s + %d && %s <= %s; %s++)", made, along->low, AHEAD, made, along->high, made),
	             column, made);
	c_line(a, b, "_Pragma(\"GCC unroll 1\")");
	struct c_block *loop = c_open(a, b, "for (; %s <= %s; %s++, %s++)", made, along->high, made, at);
	if (w->t->micro.far)
		c_line(a, loop, "v_ahead(%s + %d * %s);", w->a, ASKED_AHEAD, w->t->a_step);
	make_columns(w, loop, column, made);
	step(w, loop);
	c_line(a, b, "_Pragma(\"GCC unroll 1\")");
	step(w, c_open(a, b, "for (; %s <= %s; %s++)", at, along->high, at));
	end_sums(w, b);
	end_columns(w, b, column);
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
	if (t->second) {
		twine_columns(&w, b);
		e->taken.n = names;
		return;
	}
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
