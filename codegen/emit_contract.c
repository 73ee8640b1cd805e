/* Contractions: the blocks that call micro-kernels, of which there is one a shape (emit_micro.c).
 *
 * Every row of a block is computed, also where the range ends inside it: scratch has room (plan_value), and what is
 * there means nothing. Where the last vectors would read outside a tensor, or a tensor's lanes are not adjacent, an
 * edge form of the micro-kernel loads what is there. Where b lies turned, its rows along the contracted index, vectors
 * run along that: a dot product an element. Where a is a tensor, a block beyond its last row takes that one again. */
#include "codegen/emit_share.h"

#include <stdlib.h>
#include <string.h>

#include "base/whole.h"

/* Where b comes from. */
struct source {
	bool tensor;             /* reading past the lanes would leave it */
	bool turned;             /* a tensor whose last coordinate is the contracted index */
	const char *step, *lane; /* C text of its strides along the contracted index and the lanes */
	const char *type, *get;
	int group; /* of a tensor in groups; 0: of none */
};

static struct source source_of(struct emitter *e, const struct tile_statement *s)
{
	const struct expr_node *b = expr_at(e->pool, s->b);
	struct source from = {.type = "const real *", .get = "f32"};
	if (e->program->compute == DTYPE_F64)
		from.get = "f64";
	if (b->op == OP_VALUE) {
		e->value[b->symbol].memory = true;
		const int64_t *stride = e->value[b->symbol].stride;
		from.step =
		        arena_printf(e->arena, "%lld", (long long)stride[value_rank(e, b->symbol, s->index)]);
		from.lane =
		        arena_printf(e->arena, "%lld", (long long)stride[value_rank(e, b->symbol, s->lanes)]);
		from.turned = value_rank(e, b->symbol, s->index) == e->program->value.v[b->symbol].nranks - 1;
		return from;
	}
	const struct tile_tensor *t = &e->program->tensor.v[b->symbol];
	struct tensor_plan *p = &e->tensor[b->symbol];
	int lanes = 0, index = 0;
	for (int r = 0; r < b->count; r++) {
		const struct expr_node *at = expr_at(e->pool, expr_operand(e->pool, s->b, r));
		if (at->op == OP_MOD) /* in one block */
			at = expr_at(e->pool, expr_operand(e->pool, expr_operand(e->pool, s->b, r), 0));
		if (at->op == OP_INDEX && at->symbol == s->lanes)
			lanes = r;
		else if (at->op == OP_INDEX && at->symbol == s->index)
			index = r;
	}
	if (t->place == PLACE_ARGUMENT) {
		p->strides |= (uint8_t)(1 << lanes | 1 << index);
		from.step = arena_printf(e->arena, "%s_stride%d", p->name, index);
		from.lane = arena_printf(e->arena, "%s_stride%d", p->name, lanes);
	} else {
		from.group = t->group > 1 ? t->group : 0;
		from.step = arena_printf(e->arena, "%lld", (long long)(from.group ? t->panel * from.group
		                                                       : t->panel ? t->panel
		                                                                  : p->stride[index]));
		from.lane = arena_printf(e->arena, "%lld", (long long)(t->panel ? 1 : p->stride[lanes]));
	}
	from.tensor = !t->panel;
	from.turned = from.tensor && index > lanes;
	if (t->dtype != e->program->compute) {
		from.type = t->dtype == DTYPE_I4 ? "long " : arena_printf(e->arena, "const %s *", p->type);
		from.get = from.group ? dtype_info[t->dtype].spelling : p->get;
	}
	return from;
}

static bool is_number(const char *s)
{
	return *s >= '0' && *s <= '9';
}

/* C text of the strides of operand a, a tensor, along the rows and the contracted index. */
struct far {
	const char *row, *step;
};

static const char *stride_text(struct emitter *e, uint32_t tensor, int rank)
{
	struct tensor_plan *p = &e->tensor[tensor];
	if (e->program->tensor.v[tensor].place != PLACE_ARGUMENT)
		return arena_printf(e->arena, "%lld", (long long)p->stride[rank]);
	p->strides |= (uint8_t)(1 << rank);
	return arena_printf(e->arena, "%s_stride%d", p->name, rank);
}

static struct far far_of(struct emitter *e, const struct tile_statement *s)
{
	const struct expr_node *a = expr_at(e->pool, s->a);
	const struct expr_node *last = expr_at(e->pool, expr_operand(e->pool, s->a, a->count - 1));
	int rows = last->symbol == s->rows ? a->count - 1 : a->count - 2;
	return (struct far){stride_text(e, a->symbol, rows), stride_text(e, a->symbol, 2 * a->count - 3 - rows)};
}

struct call {
	const struct tile_statement *s;
	struct source from;
	struct far far;
	struct micro micro;
	const char *scale; /* array of the factors, from the low of the rows or lanes; NULL: a value's own */
	const char *start; /* … of what sums begin with, from the low of the rows; NULL: nothing */
	const char *fold;  /* a vector a row, of what results are folded in; NULL: nothing */
	bool ragged;       /* the last lanes may be missing and must not be touched */
	bool cut;          /* some of the last vector's are missing */
	struct share share;
	const char *later; /* the first element that the micro-kernel asks for, as its `each` says */
	bool exact;        /* the last block takes the vectors that it has and no more: of a range cut to them */
	int64_t last_rows, last_lanes; /* of the blocks at the extents, see last_of */
};

/* How many coordinates of an index the last block of `width` holds, where blocks are whole that do not end at the extent;
 * 0: all, or it is not known. */
static int64_t last_of(const struct emitter *e, uint32_t index, int64_t width)
{
	const struct current *r = e->range[index];
	return r->align % width || r->ends % width ? 0 : e->program->index.v[index].extent % width;
}

/* The arguments of a call that say what it asks for ahead: where the first of it is, and how far apart it is for one
 * coordinate and the next. Memory is read fastest in the order in which it lies: where the rows of b are adjacent, each
 * block of lanes asks for its share of the rows of a later step, one after the other, not for its own columns of them. */
static const char *ahead_arguments(struct nest *n, const struct call *c, const char *b_at, const char *count)
{
	struct emitter *e = n->e;
	struct arena *a = e->arena;
	const struct current *lanes = e->range[c->s->lanes];
	const char *rows = arena_printf(a, "%s + %lld * %s", b_at, (long long)c->micro.ahead, c->from.step);
	int64_t width = (int64_t)c->micro.vectors * e->lanes, extent = e->program->index.v[c->s->lanes].extent;
	if (lanes->outer || lanes->step != extent)
		return arena_printf(a, "%s, %s, ", rows, c->from.step);
	const char *at = nest_coordinate(n, c->s->lanes);
	return arena_printf(a, "%s + (%s == %lld ? %s * (%s - 1) : 0), %s == %lld ? %lld : %s, ", rows, c->from.step,
	                    (long long)extent, at, count, c->from.step, (long long)extent, (long long)width, c->from.step);
}

static void emit_one_call(struct nest *n, struct c_block *b, const struct call *c, bool edge)
{
	struct emitter *e = n->e;
	const struct tile_statement *s = c->s;
	const struct expr_node *from = expr_at(e->pool, s->b), *a = expr_at(e->pool, s->a);
	struct micro k = c->micro;
	k.edge = edge;
	k.part = !edge && c->cut;
	if (edge && !k.dots)
		k.ahead = 0;
	uint32_t known = n->scalar.n; /* what coordinates are made of is bound in this block */
	n->row = n->body = b;
	n->groups = k.group;
	const char *count = e->range[s->index]->single
	                            ? "1"
	                            : emit_left(e, e->range[s->index], e->range[s->index]->low);
	const char *b_at = from->op == OP_VALUE ? nest_pointer(n, from->symbol) : nest_address(n, s->b, NULL);
	struct text t;
	text_init(&t, e->arena);
	if (e->next)
		c_line(e->arena, b, "v_next_ask(&%s);", e->next);
	text_printf(&t, "%s(%s, %s, ", emit_micro(e, k, s), k.far ? nest_address(n, s->a, NULL) : nest_pointer(n, a->symbol),
	            b_at);
	if (k.dots) {
		c_line(e->arena, b, "%s%s, %s, %s, %s);", t.s, c->from.lane,
		       emit_left(e, e->range[s->lanes], nest_coordinate(n, s->lanes)), nest_pointer(n, s->value), count);
		n->scalar.n = known;
		return;
	}
	if (!k.b_step)
		text_printf(&t, "%s, ", c->from.step);
	if (k.ahead)
		text_add(&t, ahead_arguments(n, c, b_at, count));
	if (k.each)
		text_printf(&t, "%s, ", c->later);
	if (k.span)
		text_printf(&t, "%s - %lld, ", c->share.row, (long long)(k.span * k.each));
	if (edge && !k.group)
		text_printf(&t, "%s, ", c->from.lane);
	if (k.edge || k.part)
		text_printf(&t, "%s, ", emit_left(e, e->range[s->lanes], nest_coordinate(n, s->lanes)));
	if (k.far)
		text_printf(&t, "%s, %s, %s, ", c->far.row, c->far.step,
		            emit_left(e, e->range[s->rows], nest_coordinate(n, s->rows)));
	if (k.scale && !c->scale)
		text_printf(&t, "%s, ", nest_pointer(n, expr_at(e->pool, s->scale)->symbol));
	for (int i = 0; i < 2; i++) {
		uint32_t along = !i && k.scale_lanes ? s->lanes : s->rows;
		const char *at = along == NO_INDEX ? "0" : nest_coordinate(n, along);
		const char *low = along == NO_INDEX ? "0" : e->range[along]->low, *array = i ? c->start : c->scale;
		if (array && (i || k.scale))
			text_printf(&t, strcmp(at, low) ? "%s + (%s - %s), " : "%s, ", array, at, low);
	}
	if (c->fold)
		text_printf(&t, "(real *)%s, ", c->fold);
	c_line(e->arena, b, "%s%s, %s);", t.s, nest_pointer(n, s->value), count);
	n->scalar.n = known;
}

static void emit_call(struct nest *n, struct c_block *b, const struct call *c)
{
	struct emitter *e = n->e;
	bool runtime = !is_number(c->from.lane), apart = !runtime && strcmp(c->from.lane, "1");
	int64_t width = (int64_t)c->micro.vectors * e->lanes;
	const struct current *lanes = e->range[c->s->lanes];
	/* A range shorter than a block is all edge. */
	if (apart || (c->cut && c->micro.group) || (c->ragged && lanes->step < width)) {
		emit_one_call(n, b, c, true);
		return;
	}
	const char *condition = "";
	if (runtime)
		condition = arena_printf(e->arena, "%s == 1", c->from.lane);
	if (c->ragged)
		condition = arena_printf(e->arena, "%s%s%s + %lld <= %s", condition, runtime ? " && " : "",
		                         nest_coordinate(n, c->s->lanes), (long long)width - 1, lanes->high);
	if (!*condition) {
		emit_one_call(n, b, c, false);
		return;
	}
	emit_one_call(n, c_open(e->arena, b, "if (%s)", condition), c, false);
	emit_one_call(n, c_open(e->arena, b, "else"), c, true);
}

static void emit_dots_call(struct nest *n, struct c_block *b, const struct call *c)
{
	emit_one_call(n, b, c, false);
}

/* Blocks of an index from its low: inside the loop its coordinate is the block's first. */
static struct c_block *emit_blocks(struct nest *n, struct c_block *b, uint32_t index, int64_t width)
{
	struct emitter *e = n->e;
	const struct current *r = e->range[index];
	if (r->step <= width)
		return b;
	const char *i = e->index_name[index];
	n->loop[n->nloops++] = index;
	return c_open(e->arena, b, "for (long %s = %s; %s <= %s; %s += %lld)", i, r->low, i, r->high, i,
	              (long long)width);
}

/* Is an expression over an index? */
static bool is_over(const struct emitter *e, struct expr x, uint32_t index)
{
	const struct expr_node *n = expr_at(e->pool, x);
	if ((n->op == OP_INDEX && n->symbol == index) || (n->op == OP_VALUE && value_rank(e, n->symbol, index) >= 0))
		return true;
	for (int i = 0; i < n->count; i++)
		if (is_over(e, expr_operand(e->pool, x, i), index))
			return true;
	return false;
}

/* A scale that is not simply a value over `along`, the rows or lanes, is computed into an array of its own. */
static const char *emit_scale(struct nest *n, struct c_block *b, const struct tile_statement *s, uint32_t along,
                              int64_t block)
{
	struct emitter *e = n->e;
	const struct expr_node *x = expr_at(e->pool, s->scale);
	if (x->op == OP_VALUE && along != NO_INDEX && !e->value[x->symbol].integer) {
		int r = value_rank(e, x->symbol, along);
		if (r >= 0 && e->value[x->symbol].stride[r] == 1) {
			e->value[x->symbol].memory = true;
			return NULL;
		}
	}
	const char *name =
	        plan_name(e, arena_printf(e->arena, "%s_scale", e->program->value.v[s->value].name));
	const struct current *all = along == NO_INDEX ? NULL : e->range[along];
	c_line(e->arena, b, "real %s[%lld] = {0};", name, (long long)((all ? all->step : 1) + block));
	nest_count(n, s->scale);
	if (!all || all->single) {
		n->row = n->body = b;
		c_line(e->arena, b, "%s[0] = %s;", name,
		       emit_strip(e, nest_text(n, s->scale, KIND_REAL, false)));
	} else {
		n->row = n->body = emit_loop(e, b, along);
		n->loop[n->nloops++] = along;
		const char *text = nest_text(n, s->scale, KIND_REAL, false);
		c_line(e->arena, n->body, "%s[%s - %s] = %s;", name, e->index_name[along], all->low,
		       emit_strip(e, text));
		n->nloops--;
	}
	n->scalar.n = 0;
	return name;
}

typedef void emit_calls(struct nest *, struct c_block *, const struct call *);

/* Calls for a block of rows, the last at the extent with those that it has. */
static void emit_row(struct nest *n, struct c_block *b, const struct call *c, emit_calls *call)
{
	struct emitter *e = n->e;
	const struct current *rows = c->s->rows == NO_INDEX ? NULL : e->range[c->s->rows];
	if (c->last_rows && !range_whole(rows, c->micro.rows)) {
		struct call last = *c;
		last.micro.rows = (int)c->last_rows;
		call(n, c_open(e->arena, b, "if (%s + %d > %s)", nest_coordinate(n, c->s->rows), c->micro.rows - 1, rows->high),
		     &last);
		b = c_open(e->arena, b, "else");
	}
	call(n, b, c);
}

/* … that ask for their share of a later tile. */
static void emit_row_sharing(struct nest *n, struct c_block *b, const struct call *c, emit_calls *call)
{
	struct arena *a = n->e->arena;
	const struct share *h = &c->share;
	const char *when = emit_share_meanwhile(n, h), *first = emit_share_first(n, b, h, c->s, c->micro.rows);
	if (when) {
		struct call asking = *c;
		asking.micro.each = h->each;
		asking.micro.span = h->span;
		asking.later = emit_share_line(n, h, first);
		emit_row(n, *when ? c_open(a, b, "if (%s)", when) : b, &asking, call);
		if (!*when)
			return;
		b = c_open(a, b, "else");
	}
	emit_share(n, b, h, first);
	emit_row(n, b, c, call);
}

/* Calls for each block of rows. `spill`: the last may run past the range. */
static void emit_rows(struct nest *n, struct c_block *b, const struct call *c, bool spill, emit_calls *call)
{
	struct emitter *e = n->e;
	const struct tile_statement *s = c->s;
	const struct current *rows = s->rows == NO_INDEX ? NULL : e->range[s->rows];
	const struct micro *k = &c->micro;
	int loops = n->nloops;
	if (!rows || rows->step <= k->rows || range_whole(rows, k->rows) || spill || c->last_rows) {
		if (rows)
			b = emit_blocks(n, b, s->rows, k->rows);
		(c->share.from ? emit_row_sharing : emit_row)(n, b, c, call);
	} else {
		/* The rows after the range belong to somebody: whole blocks, then row by row. */
		const char *i = e->index_name[s->rows];
		n->loop[n->nloops++] = s->rows;
		b = c_open(e->arena, b, "for (long %s = %s, step; %s <= %s; %s += step)", i, rows->low, i,
		           rows->high, i);
		c_line(e->arena, b, "step = %s + %d <= %s ? %d : 1;", i, k->rows - 1, rows->high, k->rows);
		struct call one = *c;
		one.micro.rows = 1;
		call(n, c_open(e->arena, b, "if (step == 1)"), &one);
		call(n, c_open(e->arena, b, "else"), c);
	}
	n->nloops = loops;
}

/* Calls for each block of lanes, the last with the vectors that it has. */
static void emit_lanes(struct nest *n, struct c_block *b, const struct call *c, bool spill)
{
	struct emitter *e = n->e;
	int64_t width = (int64_t)c->micro.vectors * e->lanes, vectors = (c->last_lanes + e->lanes - 1) / e->lanes;
	const struct current *lanes = e->range[c->s->lanes];
	b = emit_blocks(n, b, c->s->lanes, width);
	for (int v = 1; c->exact && v < c->micro.vectors; v++) {
		struct call last = *c;
		last.micro.vectors = v;
		emit_rows(n, c_open(e->arena, b, "%sif (%s + %d * LANES > %s)", v > 1 ? "else " : "", nest_coordinate(n, c->s->lanes), v,
		                    lanes->high),
		          &last, spill, emit_call);
	}
	if (c->exact)
		b = c_open(e->arena, b, "else");
	bool cut = c->ragged && c->last_lanes % e->lanes;
	if (c->last_lanes && (cut || vectors < c->micro.vectors) && !range_whole(lanes, width)) {
		struct call last = *c;
		last.micro.vectors = (int)vectors;
		last.cut = cut;
		last.ragged = false;
		struct c_block *short_block = b;
		if (lanes->step >= width)
			short_block = c_open(e->arena, b, "if (%s + %lld > %s)", nest_coordinate(n, c->s->lanes),
			                     (long long)width - 1, lanes->high);
		emit_rows(n, short_block, &last, spill, emit_call);
		if (lanes->step < width)
			return;
		b = c_open(e->arena, b, "else");
		last = *c;
		last.ragged = false;
		emit_rows(n, b, &last, spill, emit_call);
		return;
	}
	emit_rows(n, b, c, spill, emit_call);
}

/* Is the next statement a maximum or minimum of numbers over the lanes of what is contracted, of one block of rows and whole vectors,
 * or over its rows, of one block of whole vectors? While the results are in registers it costs no pass over them. */
static bool folds(const struct emitter *e, const struct call *c, const struct tile_statement *next)
{
	const struct tile_statement *s = c->s;
	const struct micro *k = &c->micro;
	const struct current *rows = s->rows == NO_INDEX ? NULL : e->range[s->rows], *lanes = e->range[s->lanes];
	if (next->kind != TILE_REDUCE || !next->numbers || !rows ||
	    (next->index != s->lanes && next->index != s->rows) || expr_at(e->pool, next->expression)->op != OP_VALUE ||
	    expr_at(e->pool, next->expression)->symbol != s->value)
		return false;
	const struct tile_value *v = &e->program->value.v[s->value], *to = &e->program->value.v[next->value];
	const struct current *left = next->index == s->rows ? lanes : rows;
	int64_t width = (int64_t)k->vectors * e->lanes;
	if (v->nranks != 2 || to->nranks != 1 || to->index[0] != left->index || e->value[next->value].integer ||
	    value_base(e, next->value, 0) != left || left->step > (left == rows ? k->rows : width))
		return false;
	bool whole = range_whole(lanes, width) || (c->last_lanes && c->last_lanes % e->lanes == 0);
	/* Rows that a tensor does not have are its last again, which changes nothing; those of a value are anything. */
	bool all = left == rows ? k->rows <= e->lanes : k->far || range_whole(rows, k->rows);
	return whole && all && e->lanes > 1 && !e->value[s->value].integer && !k->accumulate && !c->from.turned && !c->ragged &&
	       !strcmp(c->from.lane, "1");
}

static void emit_folded(struct emitter *e, struct c_block *b, const struct call *c, const struct tile_statement *next)
{
	struct arena *a = e->arena;
	const char *name = e->value[next->value].name, *rows = plan_name(e, arena_printf(a, "%s_rows", name));
	c_comment(a, b, emit_describe(e, next));
	e->value[next->value].memory = true;
	for (int v = 0; c->micro.fold_rows && v < c->micro.vectors; v++)
		c_line(a, b, "v_store(%s, %s[%d]);", emit_times(e, name, 0, v), c->fold, v);
	if (c->micro.fold_rows)
		return;
	c_line(a, b, "vreal %s = v_splat(0);", rows);
	for (int r = 0; r < c->micro.rows; r++)
		c_line(a, b, "%s = v_insert(%s, %d, v_across_%s(%s[%d]));", rows, rows, r,
		       reduction_info[next->reduce].spelling, c->fold, r);
	c_line(a, b, "v_store(%s, %s);", name, rows);
}

/* The range of an index without its first `width` coordinates. */
static struct current *after_first(struct emitter *e, const struct current *all, int64_t width)
{
	struct current rest = *all;
	rest.narrow = true;
	rest.low = arena_printf(e->arena, "%lld", (long long)width);
	rest.outer = e->range[all->index];
	rest.step -= width;
	rest.multiple = gcd(width, all->multiple);
	rest.align = rest.grain = width;
	rest.ends = gcd(width, all->ends);
	return plan_range(e, rest);
}

/* The first block of lanes among what makes operand a, or of rows among what makes b, where that can be, and the others after
 * it; in a block of its own, whose condition may be false: then the block that is left for that, else NULL. */
static struct c_block *emit_twined(struct nest *n, struct c_block *b, const struct call *c, bool spill,
                                   const struct group *making)
{
	struct emitter *e = n->e;
	const struct tile_statement *s = c->s;
	const struct expr_node *a = expr_at(e->pool, s->a), *from = expr_at(e->pool, s->b);
	bool far = c->micro.far, second = false, runtime = !is_number(c->from.lane);
	for (int i = 0; i < making->count; i++)
		second |= from->op == OP_VALUE && making->statement[i]->kind == TILE_MAP && making->statement[i]->value == from->symbol;
	uint32_t blocks = second ? s->rows : s->lanes;
	if (blocks == NO_INDEX)
		return b;
	struct current *all = e->range[blocks];
	int64_t width = second ? c->micro.rows : (int64_t)c->micro.vectors * e->lanes;
	struct twine t = {.statement = s, .second = second, .micro = c->micro};
	if (n->nloops || all->outer || all->step < width || c->from.turned || (!runtime && strcmp(c->from.lane, "1") != 0) ||
	    !emit_may_twine(e, &t, making))
		return b;
	const char *condition = emit_twine_condition(e, &t);
	if (runtime)
		condition = arena_printf(e->arena, "%s == 1%s%s", c->from.lane, *condition ? " && " : "", condition);
	struct c_block *main = *condition ? c_open(e->arena, b, "if (%s)", condition) : c_open(e->arena, b, "%s", "");
	uint32_t known = n->scalar.n;
	n->row = n->body = main;
	n->groups = c->micro.group;
	t.a = far ? nest_address(n, s->a, NULL) : nest_pointer(n, a->symbol);
	t.a_row = c->far.row;
	t.a_step = c->far.step;
	t.left = far ? emit_left(e, all, all->low) : NULL;
	t.b = from->op == OP_VALUE ? nest_pointer(n, from->symbol) : nest_address(n, s->b, NULL);
	t.b_step = c->from.step;
	t.out = nest_pointer(n, s->value);
	t.scale = c->scale;
	if (c->micro.scale && !c->scale)
		t.scale = nest_pointer(n, expr_at(e->pool, s->scale)->symbol);
	if (second && e->next)
		c_line(e->arena, main, "v_next_ask(&%s);", e->next);
	if (c->share.from)
		emit_share_twined(n, main, &c->share, &t);
	emit_twine(e, main, &t, making);
	n->scalar.n = known;
	if (all->step > width) {
		e->range[blocks] = after_first(e, all, width);
		emit_lanes(n, main, c, spill);
		e->range[blocks] = all;
	}
	return *condition ? c_open(e->arena, b, "else") : NULL;
}

uint32_t emit_contract(struct emitter *e, struct c_block *b, const struct tile_statement *s, uint32_t left,
                       const struct group *making)
{
	uint32_t names = e->taken.n;
	struct nest n = {.e = e, .lane = NO_INDEX, .uses = arena_alloc(e->arena, e->pool->node.n)};
	const struct expr_node *from = expr_at(e->pool, s->a);
	uint32_t a = from->symbol;
	bool far = from->op == OP_READ;
	const struct tile_value *v = &e->program->value.v[s->value];
	const struct current *rows = s->rows == NO_INDEX ? NULL : e->range[s->rows];
	int lanes_rank = value_rank(e, s->value, s->lanes),
	    rows_rank = rows ? value_rank(e, s->value, s->rows) : -1;
	e->value[s->value].memory = true;
	if (!far)
		e->value[a].memory = true;
	if (!e->program->index.v[s->lanes].extent || (rows && !e->program->index.v[s->rows].extent)) {
		if (making)
			emit_group(e, b, making);
		return 1; /* the micro-kernel has at least one block */
	}
	c_comment(e->arena, b, emit_describe(e, s));

	struct call c = {.s = s, .from = source_of(e, s)};
	struct micro *k = &c.micro;
	k->rows = rows ? s->block_rows : 1;
	if (rows && rows->step < k->rows)
		k->rows = (int)rows->step;
	k->vectors = s->block_lanes;
	int64_t needed = (e->range[s->lanes]->step + e->lanes - 1) / e->lanes;
	if (needed < k->vectors)
		k->vectors = (int)(needed ? needed : 1);
	k->far = far;
	if (far) {
		c.far = far_of(e, s);
	} else {
		k->a_row = rows ? e->value[a].stride[value_rank(e, a, s->rows)] : 0;
		k->a_step = e->value[a].stride[value_rank(e, a, s->index)];
	}
	k->b_step = is_number(c.from.step) ? strtoll(c.from.step, NULL, 10) : 0;
	k->out_row = rows ? e->value[s->value].stride[rows_rank] : 0;
	k->type = c.from.type;
	k->get = c.from.get;
	k->group = c.from.group;
	k->pairs = s->operand == OPERAND_BF16 && !k->group;
	k->tail = (k->group || k->pairs) && !range_whole(e->range[s->index], k->pairs ? 2 : k->group);
	k->accumulate = s->accumulate;
	k->scale = s->accumulate && s->scale.id;
	k->scale_lanes = k->scale && is_over(e, s->scale, s->lanes);
	int64_t width = (int64_t)k->vectors * e->lanes;
	const struct tile_tensor *panels = expr_at(e->pool, s->b)->op == OP_VALUE
	                                           ? NULL
	                                           : &e->program->tensor.v[expr_at(e->pool, s->b)->symbol];
	c.exact = panels && panels->panel && e->range[s->lanes]->narrow && e->lanes > 1 && k->vectors > 1 &&
	          !range_whole(e->range[s->lanes], width) && value_may_spill(e, s->value, lanes_rank, e->lanes);
	c.ragged = !c.exact && !range_whole(e->range[s->lanes], width) &&
	           (c.from.tensor || !value_may_spill(e, s->value, lanes_rank, width));

	c.last_rows = rows ? last_of(e, s->rows, k->rows) : 0;
	c.last_lanes = last_of(e, s->lanes, width);

	for (int r = 0; r < v->nranks; r++)
		if (v->index[r] != s->lanes && v->index[r] != s->rows && !e->range[v->index[r]]->single) {
			b = emit_loop(e, b, v->index[r]);
			n.loop[n.nloops++] = v->index[r];
		}
	if (k->scale)
		c.scale = emit_scale(&n, b, s, k->scale_lanes ? s->lanes : s->rows, k->scale_lanes ? width : k->rows);
	if (k->group && s->operand == OPERAND_I8)
		c.start = emit_group_start(&n, b, s, k->rows);
	bool spill = rows && value_may_spill(e, s->value, rows_rank, k->rows);
	if (far && rows && e->fetch)
		c.share = emit_share_of(&n, b, s, k, c.far.row, c.far.step);
	if (making) {
		if (!(b = emit_twined(&n, b, &c, spill, making))) {
			e->taken.n = names;
			return 1;
		}
		emit_group(e, b, making);
		names = e->taken.n; /* what it declared may still be in scope */
	}
	if (c.from.turned && !k->accumulate && k->a_step == 1 && !far) {
		const char *unit = is_number(c.from.step) ? NULL : c.from.step;
		struct c_block *along = unit ? c_open(e->arena, b, "if (%s == 1)", unit) : b;
		const struct current *along_b = e->range[s->index];
		k->dots = true;
		k->ahead = c.from.tensor && e->fetch_along == s->lanes ? e->fetch : 0;
		k->count = along_b->outer ? 0 : e->program->index.v[s->index].extent; /* else it may be less */
		emit_rows(&n, along, &c, spill, emit_dots_call);
		k->dots = false;
		k->count = 0;
		k->ahead = 0;
		b = unit ? c_open(e->arena, b, "else") : NULL;
	}
	k->ahead = c.from.tensor && !c.from.turned && e->fetch_along == s->index ? e->fetch : 0;
	if (left > 1 && folds(e, &c, s + 1)) {
		k->fold = s[1].reduce;
		k->fold_rows = s[1].index == s->rows;
		c.fold = plan_name(e, arena_printf(e->arena, "%s_lanes", e->value[s[1].value].name));
		int folds_into = k->fold_rows ? k->vectors : k->rows;
		c_line(e->arena, b, "vreal %s[%d];", c.fold, folds_into);
		for (int r = 0; r < folds_into; r++)
			c_line(e->arena, b, "%s[%d] = v_splat(%s);", c.fold, r,
			       emit_strip(e, emit_number(e, reduction_info[k->fold].identity, KIND_REAL)));
	}
	if (b)
		emit_lanes(&n, b, &c, spill);
	if (c.fold)
		emit_folded(e, b, &c, s + 1);
	if (!c.scale && !c.start && !c.fold && !c.share.from) /* else their arrays are still in scope */
		e->taken.n = names;
	return c.fold ? 2 : 1;
}
