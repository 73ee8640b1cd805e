/* The loops of a group of MAP, REDUCE, LOAD and STORE.
 *
 * What does not depend on the lanes is computed once, before the loop over them. Whole vectors may run past
 * the end of a range, into padding, except where that would reach a reduction or coordinates that mean
 * something: there the last vectors have a body of their own.
 *
 * A long loop runs four vectors at a time, their lines interleaved and a reduction's accumulator for each:
 * the chain of dependent operations of one vector (an exponential is some fifty cycles) would otherwise fill
 * the processor's schedulers with waiting instructions. */
#include "codegen/emit_loops.h"

#include <string.h>

enum kind emit_value_kind(const struct emitter *e, uint32_t value)
{
	return e->value[value].integer ? KIND_INT : KIND_REAL;
}

struct c_block *emit_loop(struct emitter *e, struct c_block *b, uint32_t index)
{
	const struct current *r = e->range[index];
	const char *i = e->index_name[index];
	return c_open(e->arena, b, "for (long %s = %s; %s <= %s; %s++)", i, r->low, i, r->high, i);
}

/* A local's own name when it lives in a register only, else "name_n". */
static const char *local_stem(const struct nest *n, uint32_t value, uint32_t index)
{
	struct emitter *e = n->e;
	if (!e->value[value].memory)
		return e->value[value].name;
	return arena_printf(e->arena, "%s_%s", e->value[value].name,
	                    index == NO_INDEX ? "0" : e->index_name[index]);
}

static void assign_scalar(struct nest *n, struct c_block *b, uint32_t value, const char *text)
{
	struct emitter *e = n->e;
	enum kind kind = emit_value_kind(e, value);
	const struct tile_value *v = &e->program->value.v[value];
	uint32_t last = v->nranks ? v->index[v->nranks - 1] : NO_INDEX;
	if (e->value[value].narrow) {
		n->body = b;
		emit_narrow_store(n, value, text, false);
		return;
	}
	const char *name = nest_temporary(n, b, local_stem(n, value, last), bare(text, kind, false));
	if (e->value[value].memory)
		c_line(e->arena, b, "%s[%s] = %s%s;", e->value[value].name,
		       emit_strip(e, nest_element(n, value)), kind == KIND_INT ? "(int)" : "", name);
	nest_assign(n, value, bare(name, kind, false));
}

static enum kind stored_kind(const struct emitter *e, uint32_t tensor)
{
	return dtype_info[e->program->tensor.v[tensor].dtype].integer ? KIND_INT : KIND_REAL;
}

static void emit_scalar(struct nest *n, const struct tile_statement *s)
{
	struct emitter *e = n->e;
	if (s->kind != TILE_STORE) {
		assign_scalar(n, n->body, s->value,
		              nest_text(n, s->expression, emit_value_kind(e, s->value), false));
		return;
	}
	uint32_t tensor = expr_at(e->pool, s->target)->symbol;
	enum kind kind = stored_kind(e, tensor);
	const char *text = nest_text(n, s->expression, kind, false);
	c_line(e->arena, n->body, "s%s_put_%s(%s, %s);", kind == KIND_REAL ? "" : "i", e->tensor[tensor].get,
	       nest_address(n, s->target, NULL), emit_strip(e, text));
}

/* ---- reductions ---- */

struct fold emit_fold_of(const struct emitter *e, const struct tile_statement *s)
{
	bool logical = s->reduce == REDUCE_ANY || s->reduce == REDUCE_ALL;
	enum kind kind = logical ? KIND_BOOL : emit_value_kind(e, s->value);
	bool end = s->reduce == REDUCE_MAX || s->reduce == REDUCE_MIN;
	return (struct fold){.reduce = s->reduce,
	                     .kind = kind,
	                     .keeps_nan = end && kind == KIND_REAL && !s->numbers};
}

static const char *identity(struct emitter *e, const struct fold *f)
{
	double x = reduction_info[f->reduce].identity;
	if (f->kind == KIND_INT && (x - x) != 0)
		return x < 0 ? "INT_LEAST" : "INT_MOST";
	return emit_number(e, x, f->kind);
}

const char *emit_vector_identity(struct emitter *e, const struct fold *f)
{
	const char *splat = f->kind == KIND_REAL ? "v_splat" : f->kind == KIND_INT ? "vi_splat" : "vi_all";
	return arena_printf(e->arena, "%s(%s)", splat, emit_strip(e, identity(e, f)));
}

/* "sum", "max", …: the prelude's name for joining two partial results, of vectors or others. */
static const char *fold_name(struct emitter *e, const struct fold *f, bool vector)
{
	const char *name = reduction_info[f->reduce].spelling;
	return vector && f->keeps_nan ? arena_printf(e->arena, "%s_nan", name) : name;
}

void emit_fold_step(struct nest *n, const struct fold *f, int copy, const char *x, bool vector)
{
	const char *prefix = f->kind == KIND_REAL ? vector ? "v" : "s" : vector ? "vi" : "i";
	const char *to = copy ? f->spare[copy - 1] : f->accumulator;
	c_line(n->e->arena, n->body, "%s = %s_fold_%s(%s, %s);", to, prefix, fold_name(n->e, f, vector), to,
	       emit_strip(n->e, x));
}

void emit_fold_end(struct nest *n, struct c_block *b, const struct fold *f,
                          const struct tile_statement *s, bool vector)
{
	struct emitter *e = n->e;
	const char *text = f->accumulator;
	for (int i = 0; vector && i < n->ntogether; i++)
		if (n->together[i].value == s->value) {
			text = nest_temporary(n, b, local_stem(n, s->value, e->program->value.v[s->value].index[0]),
			                      bare(arena_printf(e->arena, "v_across_%s(%s)", fold_name(e, f, true),
			                                        f->accumulator),
			                           f->kind, false));
			c_line(e->arena, b, "%s = v_insert(%s, %s, %s);", n->together[i].name, n->together[i].name,
			       emit_strip(e, nest_element(n, s->value)), text);
			nest_assign(n, s->value, bare(text, f->kind, false));
			return;
		}
	if (vector)
		text = arena_printf(e->arena, "%s_across_%s(%s)", f->kind == KIND_REAL ? "v" : "vi",
		                    fold_name(e, f, true), f->accumulator);
	struct term t = {text, f->kind, false, false};
	text = nest_convert(n, t, emit_value_kind(e, s->value), false).text;
	assign_scalar(n, b, s->value, text);
}

/* ---- vector loops ---- */

void emit_assign_lanes(struct nest *n, uint32_t value, const char *text)
{
	struct emitter *e = n->e;
	enum kind kind = emit_value_kind(e, value);
	if (e->value[value].narrow) {
		emit_narrow_store(n, value, text, true);
		return;
	}
	const char *name = nest_temporary(n, n->body, local_stem(n, value, n->lane), bare(text, kind, true));
	if (e->value[value].memory) {
		int r = value_rank(e, value, n->lane);
		bool part = n->partial && !value_may_spill(e, value, r, e->lanes);
		const char *prefix = kind == KIND_REAL ? "v" : "vi", *to = nest_pointer(n, value);
		if (part)
			c_line(e->arena, n->body, "%s_store_part(%s, %s, %s);", prefix, to, name, n->left);
		else
			c_line(e->arena, n->body, "%s_store(%s, %s);", prefix, to, name);
	}
	nest_assign(n, value, bare(name, kind, true));
}

void emit_lane_statement(struct nest *n, const struct tile_statement *s, const struct fold *f,
                                int copy, const char *live)
{
	struct emitter *e = n->e;
	if (s->kind == TILE_STORE) {
		uint32_t tensor = expr_at(e->pool, s->target)->symbol;
		enum kind kind = stored_kind(e, tensor);
		const char *stride, *x = nest_text(n, s->expression, kind, true);
		const char *to = nest_address(n, s->target, &stride);
		c_line(e->arena, n->body, "v%s_put_%s(%s, %s, %s, %s);", kind == KIND_REAL ? "" : "i",
		       e->tensor[tensor].get, to, stride, n->left, emit_strip(e, x));
	} else if (s->kind == TILE_REDUCE) {
		const char *x = nest_text(n, s->expression, f->kind, true);
		if (live)
			x = arena_printf(e->arena, "%s_select(%s, %s, %s)", f->kind == KIND_REAL ? "v" : "vi",
			                 live, emit_strip(e, x), emit_vector_identity(e, f));
		emit_fold_step(n, f, copy, x, true);
	} else if (!emit_narrow_copy(n, s)) {
		emit_assign_lanes(n, s->value, nest_text(n, s->expression, emit_value_kind(e, s->value), true));
	}
}

void emit_lane_body(struct nest *n, struct c_block *body, const struct group *g,
                           const struct fold *fold, int copy)
{
	struct emitter *e = n->e;
	n->body = body;
	n->vector.n = 0;
	const char *live = NULL;
	for (int k = 0; n->partial && k < g->count && !live; k++)
		if (g->statement[k]->kind == TILE_REDUCE) {
			live = plan_name(e, "live");
			c_line(e->arena, body, "const vint %s = vi_live(%s);", live, n->left);
		}
	for (int k = 0; k < g->count; k++)
		emit_lane_statement(n, g->statement[k], &fold[k], copy, live);
}

void emit_end_names(struct nest *n, uint32_t names)
{
	n->e->taken.n = names;
	for (uint32_t i = 0; i < n->row_name.n; i++)
		vec_push(n->e->arena, &n->e->taken, n->row_name.v[i]);
	n->row_name.n = 0;
}

static void emit_one_vector(struct nest *n, struct c_block *body, const struct group *g,
                            const struct fold *fold, const char *at, bool partial)
{
	uint32_t names = n->e->taken.n;
	n->at = at;
	n->left = emit_left(n->e, n->e->range[n->lane], at);
	n->partial = partial;
	emit_lane_body(n, body, g, fold, 0);
	emit_end_names(n, names);
}

/* Does it differ from lane to lane? */
static bool moves(const struct nest *n, struct expr x)
{
	const struct expr_node *node = expr_at(n->e->pool, x);
	if (node->op == OP_READ)
		return true;
	if (node->op == OP_INDEX)
		return node->symbol == n->lane;
	if (node->op == OP_VALUE && value_rank(n->e, node->symbol, n->lane) >= 0)
		return true;
	for (int i = 0; i < node->count; i++)
		if (moves(n, expr_operand(n->e->pool, x, i)))
			return true;
	return false;
}

/* … by the same amount, if at all. */
static bool straight(const struct nest *n, struct expr x)
{
	const struct expr_pool *p = n->e->pool;
	const struct expr_node *node = expr_at(p, x);
	if (!moves(n, x) || node->op == OP_INDEX)
		return true;
	if (node->op == OP_NEG)
		return straight(n, expr_operand(p, x, 0));
	return (node->op == OP_ADD || node->op == OP_SUB) && straight(n, expr_operand(p, x, 0)) &&
	       straight(n, expr_operand(p, x, 1));
}

/* Does it hold between any two lanes where it holds? A conjunction of comparisons affine in the lane does. */
static bool convex(const struct nest *n, struct expr x)
{
	const struct expr_pool *p = n->e->pool;
	const struct expr_node *node = expr_at(p, x);
	if (node->op == OP_AND)
		return convex(n, expr_operand(p, x, 0)) && convex(n, expr_operand(p, x, 1));
	if (node->op != OP_LE && node->op != OP_LT)
		return !moves(n, x);
	for (int i = 0; i < 2; i++)
		if (expr_at(p, expr_operand(p, x, i))->kind != KIND_INT || !straight(n, expr_operand(p, x, i)))
			return false;
	return true;
}

/* The first convex condition by which lanes are chosen, or NO_EXPR. */
static struct expr chosen_by(const struct nest *n, struct expr x)
{
	const struct expr_pool *p = n->e->pool;
	const struct expr_node *node = expr_at(p, x);
	struct expr found = NO_EXPR;
	if (node->op == OP_SELECT && moves(n, expr_operand(p, x, 0)) && convex(n, expr_operand(p, x, 0)))
		return expr_operand(p, x, 0);
	for (int i = 0; i < node->count && !found.id; i++)
		found = chosen_by(n, expr_operand(p, x, i));
	return found;
}

/* A condition at one coordinate of the lanes' index. */
static const char *holds_at(struct nest *n, struct expr condition, const char *at)
{
	struct emitter *e = n->e;
	struct current *range = e->range[n->lane], one = *range;
	uint32_t lane = n->lane, known = n->scalar.n;
	uint8_t *uses = n->uses;
	one.low = at;
	e->range[lane] = &one;
	n->lane = NO_INDEX;
	n->uses = arena_alloc(e->arena, e->pool->node.n); /* nothing is kept */
	const char *text = nest_text(n, condition, KIND_BOOL, false);
	n->uses = uses;
	n->scalar.n = known;
	n->lane = lane;
	e->range[lane] = range;
	return text;
}

static void emit_copies(struct nest *n, struct c_block *body, const struct group *g,
                        const struct fold *fold, const char *at)
{
	struct emitter *e = n->e;
	uint32_t names = e->taken.n;
	struct c_block copy[UNROLL] = {{0}};
	n->staged = e->lanes > 1;
	n->partial = false;
	for (int i = 0; i < UNROLL; i++) {
		n->at = i ? plan_name(e, e->index_name[n->lane]) : at;
		n->left = emit_left(e, e->range[n->lane], n->at);
		n->half = i % 2 + 1;
		emit_lane_body(n, &copy[i], g, fold, i);
		if (i && c_mentions(&copy[i], n->at))
			c_line(e->arena, body,
			       i == 1 ? "const long %s = %s + LANES;" : "const long %s = %s + %d * LANES;",
			       n->at, at, i);
	}
	c_interleave(e->arena, body, copy, UNROLL);
	n->staged = false;
	n->half = 0;
	emit_end_names(n, names);
}

/* Several vectors at a time; where a mask holds at both ends of them, without it. */
static void emit_unrolled(struct nest *n, struct c_block *body, const struct group *g,
                          const struct fold *fold, const char *at)
{
	struct arena *a = n->e->arena;
	struct expr mask = NO_EXPR;
	for (int k = 0; k < g->count && !mask.id; k++)
		mask = chosen_by(n, g->statement[k]->expression);
	if (mask.id) {
		const char *last = arena_printf(a, "(%s + %d * LANES - 1)", at, UNROLL);
		n->body = body;
		n->holds = mask;
		emit_copies(n, c_open(a, body, "if (%s && %s)", holds_at(n, mask, at), holds_at(n, mask, last)), g, fold, at);
		n->holds = NO_EXPR;
		body = c_open(a, body, "else");
	}
	emit_copies(n, body, g, fold, at);
}

static void emit_lanes(struct nest *n, const struct group *g)
{
	struct emitter *e = n->e;
	struct arena *a = e->arena;
	struct c_block *row = n->body;
	struct fold fold[MAX_GROUP] = {{0}};
	bool careful = false, unroll = false;
	n->lane = g->shape.lane;
	const struct current *r = e->range[n->lane];
	for (int k = 0; k < g->count; k++) {
		const struct tile_statement *s = g->statement[k];
		bool folds = s->kind == TILE_REDUCE;
		c_comment(a, row, emit_describe(e, s));
		unroll |= folds || expr_is_long(e->pool, s->expression);
		careful |=
		        folds || (assigns(s) && e->value[s->value].memory &&
		                  !value_may_spill(e, s->value, value_rank(e, s->value, n->lane), e->lanes));
	}
	unroll &= r->step >= UNROLL * e->lanes;
	n->row = c_group(a, row);
	for (int k = 0; k < g->count; k++) {
		const struct tile_statement *s = g->statement[k];
		if (s->kind != TILE_REDUCE)
			continue;
		struct fold *f = &fold[k];
		*f = emit_fold_of(e, s);
		for (int i = 0; i < (unroll ? UNROLL : 1); i++) {
			const char *name = plan_name(
			        e, arena_printf(a, "%s_%s", e->value[s->value].name, e->index_name[n->lane]));
			*(i ? &f->spare[i - 1] : &f->accumulator) = name;
			c_line(a, row, "%s %s = %s;", f->kind == KIND_REAL ? "vreal" : "vint", name,
			       emit_vector_identity(e, f));
		}
	}
	bool masked = careful && !range_whole(r, e->lanes),
	     rest = !unroll || !range_whole(r, UNROLL * e->lanes);
	bool main = !unroll && masked && r->step >= e->lanes, several = (unroll && rest) || main;
	const char *at = several ? plan_name(e, e->index_name[n->lane]) : e->index_name[n->lane];
	const char *end = emit_after(e, r->high),
	           *start = several ? "" : arena_printf(a, "long %s = %s", at, r->low);
	if (several)
		c_line(a, row, "long %s = %s;", at, r->low);
	if (unroll)
		emit_unrolled(n,
		              c_open(a, row, "for (%s; %s + %d * LANES <= %s; %s += %d * LANES)", start, at,
		                     UNROLL, end, at, UNROLL),
		              g, fold, at);
	if (main)
		emit_one_vector(n, c_open(a, row, "for (; %s + LANES <= %s; %s += LANES)", at, end, at), g,
		                fold, at, false);
	if (rest)
		emit_one_vector(n,
		                main ? c_open(a, row, "if (%s < %s)", at, end)
		                     : c_open(a, row, "for (%s; %s < %s; %s += LANES)", start, at, end, at),
		                g, fold, at, masked);
	n->lane = NO_INDEX;
	n->vector.n = 0;
	n->row = n->body = row;
	for (int k = 0; k < g->count; k++) {
		struct fold *f = &fold[k];
		for (int i = 0; f->accumulator && unroll && i < UNROLL - 1; i++)
			emit_fold_step(n, f, 0, f->spare[i], true);
		if (f->accumulator)
			emit_fold_end(n, row, f, g->statement[k], true);
	}
}

/* ---- the shapes that stand alone ---- */

/* One element at a time. */
static void emit_fold(struct nest *n, const struct tile_statement *s)
{
	struct emitter *e = n->e;
	struct arena *a = e->arena;
	struct c_block *row = n->body;
	struct fold f = emit_fold_of(e, s);
	f.accumulator = plan_name(e, "folded");
	c_line(a, row, "%s %s = %s;",
	       f.kind == KIND_REAL  ? "real"
	       : f.kind == KIND_INT ? "long"
	                            : "int",
	       f.accumulator, identity(e, &f));
	bool single = e->range[s->index]->single;
	n->row = n->body = single ? c_group(a, row) : emit_loop(e, row, s->index);
	if (!single)
		n->loop[n->nloops++] = s->index;
	emit_fold_step(n, &f, 0, nest_text(n, s->expression, f.kind, false), false);
	if (!single)
		n->nloops--;
	n->row = n->body = row;
	n->scalar.n = 0;
	emit_fold_end(n, row, &f, s, false);
}

void emit_begin_together(struct nest *n, struct c_block *b, const struct group *g)
{
	struct emitter *e = n->e;
	uint32_t rows = g->shape.outer[0];
	if (g->shape.shape != SHAPE_LANES || g->shape.nouter != 1 || e->lanes == 1 || e->range[rows]->step > e->lanes)
		return;
	for (int k = 0; k < g->count && n->ntogether < MAX_TOGETHER; k++) {
		const struct tile_statement *s = g->statement[k];
		const struct tile_value *v = &e->program->value.v[s->value];
		if (s->kind != TILE_REDUCE || v->nranks != 1 || v->index[0] != rows || !e->value[s->value].memory ||
		    emit_value_kind(e, s->value) != KIND_REAL || value_base(e, s->value, 0) != e->range[rows])
			continue;
		const char *name = plan_name(e, arena_printf(e->arena, "%s_rows", e->value[s->value].name));
		c_line(e->arena, b, "vreal %s = v_splat(0);", name);
		n->together[n->ntogether].value = s->value;
		n->together[n->ntogether++].name = name;
	}
}

void emit_end_together(struct nest *n, struct c_block *b)
{
	for (int i = 0; i < n->ntogether; i++)
		c_line(n->e->arena, b, "v_store(%s, %s);", n->e->value[n->together[i].value].name, n->together[i].name);
}

/* Long chains on few lanes, where only several steps of the loop around them fill the units. */
static bool wants_column(const struct emitter *e, const struct group *g)
{
	bool chains = false;
	if (g->shape.shape != SHAPE_LANES || !g->shape.nouter || e->lanes < 2)
		return false;
	for (int k = 0; k < g->count; k++) {
		if (g->statement[k]->kind == TILE_REDUCE)
			return false;
		chains |= expr_is_long(e->pool, g->statement[k]->expression);
	}
	return chains && e->range[g->shape.lane]->step < UNROLL * e->lanes &&
	       e->range[g->shape.outer[g->shape.nouter - 1]]->step >= UNROLL;
}

void emit_group(struct emitter *e, struct c_block *b, const struct group *taken)
{
	uint32_t names = e->taken.n;
	struct group own = *taken, *g = &own;
	if (wants_column(e, g)) {
		g->shape.shape = SHAPE_COLUMN;
		g->shape.inner = g->shape.outer[--g->shape.nouter];
	}
	struct nest n = {.e = e, .lane = NO_INDEX, .uses = arena_alloc(e->arena, e->pool->node.n)};
	struct c_block *whole = b;
	emit_begin_together(&n, b, g);
	for (int i = 0; i < g->shape.nouter; i++) {
		b = emit_loop(e, b, g->shape.outer[i]);
		n.loop[n.nloops++] = g->shape.outer[i];
	}
	n.row = n.body = b;
	for (int k = 0; k < g->count; k++) {
		nest_count(&n, g->statement[k]->expression);
		if (g->statement[k]->kind == TILE_STORE)
			nest_count(&n, g->statement[k]->target);
		if (g->shape.shape != SHAPE_LANES)
			c_comment(e->arena, b, emit_describe(e, g->statement[k]));
	}
	switch (g->shape.shape) {
	case SHAPE_SCALAR:
		for (int k = 0; k < g->count; k++)
			emit_scalar(&n, g->statement[k]);
		break;
	case SHAPE_LANES: emit_lanes(&n, g); break;
	case SHAPE_COLUMN: emit_column(&n, g); break;
	case SHAPE_FOLD: emit_fold(&n, g->statement[0]); break;
	case SHAPE_TRANSPOSE:
		if (g->statement[0]->kind == TILE_MAP)
			emit_swap(&n, g->statement[0], &g->shape);
		else
			emit_transpose(&n, g->statement[0], &g->shape);
		break;
	case SHAPE_WEAVE: emit_weave(&n, g->statement[0], &g->shape);
	}
	emit_end_together(&n, whole);
	if (g->shape.nouter) /* else what it declared is still in scope */
		e->taken.n = names;
}

/* ---- words ---- */

static void describe_list(struct emitter *e, struct text *t, uint32_t value)
{
	const struct tile_value *v = &e->program->value.v[value];
	for (int r = 0; r < v->nranks; r++)
		text_printf(t, "%s%s", r ? "," : "[", e->program->index.v[v->index[r]].name);
	if (v->nranks)
		text_char(t, ']');
}

const char *emit_describe(struct emitter *e, const struct tile_statement *s)
{
	struct expr_names names = tile_names(e->program);
	struct text t;
	text_init(&t, e->arena);
	if (s->kind == TILE_SELECT) {
		tile_statement_print(e->program, s, &t);
		return t.s;
	}
	if (s->kind == TILE_STORE) {
		text_add(&t, "store ");
		expr_print(e->pool, s->target, &names, &t);
		text_add(&t, " = ");
	} else {
		text_add(&t, e->program->value.v[s->value].name);
		describe_list(e, &t, s->value);
		text_add(&t, s->kind == TILE_LOAD ? " = load " : s->kind == TILE_MAP ? " = map " : " = ");
	}
	const char *over = s->kind == TILE_REDUCE || s->kind == TILE_CONTRACT
	                           ? e->program->index.v[s->index].name
	                           : NULL;
	if (s->kind == TILE_CONTRACT) {
		if (s->accumulate) {
			text_add(&t, e->program->value.v[s->value].name);
			if (s->scale.id) {
				text_add(&t, " * ");
				expr_print(e->pool, s->scale, &names, &t);
			}
			text_add(&t, " + ");
		}
		text_add(&t, "contract ");
		expr_print(e->pool, s->a, &names, &t);
		text_add(&t, ", ");
		expr_print(e->pool, s->b, &names, &t);
	} else {
		if (s->kind == TILE_REDUCE)
			text_printf(&t, "reduce %s ", reduction_info[s->reduce].spelling);
		expr_print(e->pool, s->expression, &names, &t);
	}
	if (over)
		text_printf(&t, " over %s", over);
	return t.s;
}
