/* Statements over shared memory: the threads of the block take the elements in turns. */
#include <string.h>

#include "codegen/cuda_loops.h"

static const char *both(const struct cuda *c, const char *x, const char *y)
{
	return !x ? y : !y ? x : arena_printf(c->e.arena, "%s && %s", x, y);
}

/* A loop over the elements of some indices, by all threads in turns; the body has their coordinates. `padded`: the
 * last two run over a whole tile, and `inside` says which of it is in the ranges; else only what is, is run. */
static struct c_block *turns(struct cuda *c, struct c_block *b, struct nest *n, const uint32_t *index, int count,
                             const struct shared_tile *padded, const char **inside)
{
	struct emitter *e = &c->e;
	struct arena *a = e->arena;
	int64_t size[MAX_RANKS + 1], all = 1;
	for (int i = 0; i < count; i++) {
		size[i] = e->range[index[i]]->step;
		if (padded && i == count - 1)
			size[i] = padded->columns;
		else if (padded && count == 2)
			size[i] = padded->rows;
		if (size[i] < 1)
			size[i] = 1; /* an extent of 0: nothing is inside */
		all *= size[i];
	}
	const char *at = plan_name(e, "at");
	b = c_open(a, b, "for (int %s = thread; %s < %lld; %s += %d)", at, at, (long long)all, at, c->threads);
	const char *condition = NULL;
	int64_t below = all;
	for (int i = 0; i < count; i++) {
		const struct current *r = e->range[index[i]];
		const char *name = e->index_name[index[i]], *part = at;
		bool first = below == all;
		below /= size[i];
		if (below > 1)
			part = arena_printf(a, "%s / %lld", part, (long long)below);
		if (!first)
			part = arena_printf(a, "%s %% %lld", part, (long long)size[i]);
		if (size[i] == 1)
			part = "0";
		if (strcmp(r->low, "0"))
			part = strcmp(part, "0") ? arena_printf(a, "%s + %s", r->low, part) : r->low;
		c_line(a, b, "const int %s = %s;", name, part);
		if (!cuda_whole(c, index[i], size[i]))
			condition = both(c, condition, arena_printf(a, "%s <= %s", name, r->high));
		n->loop[n->nloops++] = index[i];
	}
	*inside = condition;
	return b;
}

static struct nest shared_nest(struct cuda *c)
{
	c->at = (struct fragment_at){.lanes = NO_INDEX};
	return (struct nest){.e = &c->e, .lane = NO_INDEX, .uses = arena_alloc(c->e.arena, c->e.pool->node.n)};
}

static void plain_store(struct cuda *c, struct c_block *b, const struct tile_statement *s, const struct cuda_loops *l)
{
	struct nest n = shared_nest(c);
	const char *inside;
	n.row = n.body = turns(c, b, &n, l->index, l->n, NULL, &inside);
	if (inside)
		n.row = n.body = c_open(c->e.arena, n.body, "if (%s)", inside);
	cuda_count(&n, s, s->expression);
	cuda_store(&n, s, s->expression, NULL);
}

/* Σ over the reduced index of an expression of a REDUCE or the product of a CONTRACT, into an accumulator. */
static const char *plain_fold(struct nest *n, const struct tile_statement *s)
{
	struct cuda *c = (struct cuda *)n->e;
	struct emitter *e = &c->e;
	struct c_block *outer = n->body;
	struct fold f = fold_of(c, s);
	fold_begin(c, outer, &f, s->reduce);
	bool single = e->range[s->index]->single && e->range[s->index]->outer;
	n->row = n->body = single ? c_group(e->arena, outer) : emit_loop(e, outer, s->index);
	if (!single)
		n->loop[n->nloops++] = s->index;
	fold_step(c, n->body, &f, s->reduce, nest_text(n, s->expression, f.kind, false), NULL);
	if (!single)
		n->nloops--;
	n->row = n->body = outer;
	n->scalar.n = 0;
	return fold_result(n, &f, f.accumulator, cuda_kind(c, s->value));
}

/* An operand of a contraction, rounded to what it is multiplied as. */
static const char *rounded(struct nest *n, struct expr x, enum operand_type as)
{
	static const char *const form[OPERANDS] = {[OPERAND_COMPUTE] = "%s",
	                                           [OPERAND_BF16] = "s_cast_bf16(%s)",
	                                           [OPERAND_F16] = "s_cast_f16(%s)",
	                                           [OPERAND_TF32] = "at_f32_bits(at_tf32(%s))",
	                                           [OPERAND_I8] = "i_cast_i8(%s)"};
	struct emitter *e = n->e;
	const char *text = nest_text(n, x, as == OPERAND_I8 ? KIND_INT : KIND_REAL, false), *hole = strstr(form[as], "%s");
	const char *rest = hole + 2;
	return *rest ? arena_printf(e->arena, "%.*s%s%s", (int)(hole - form[as]), form[as], emit_strip(e, text), rest)
	             : text;
}

static const char *plain_sum(struct nest *n, const struct tile_statement *s)
{
	struct cuda *c = (struct cuda *)n->e;
	struct emitter *e = &c->e;
	struct c_block *outer = n->body;
	enum kind kind = cuda_kind(c, s->value);
	const char *sum = plan_name(e, arena_printf(e->arena, "%s_sum", e->value[s->value].name)), *first = "0";
	if (s->accumulate) {
		first = tile_get(c, &c->value[s->value].tile, cuda_shared_element(c, n, s->value));
		if (s->scale.id)
			first = arena_printf(e->arena, "%s * %s", first, nest_text(n, s->scale, kind, false));
	}
	c_line(e->arena, outer, "%s %s = %s;", cuda_c_type(kind), sum, first);
	bool single = e->range[s->index]->single && e->range[s->index]->outer;
	n->row = n->body = single ? c_group(e->arena, outer) : emit_loop(e, outer, s->index);
	if (!single)
		n->loop[n->nloops++] = s->index;
	const char *a = rounded(n, s->a, s->operand), *b = rounded(n, s->b, s->operand);
	c_line(e->arena, n->body, "%s += %s * %s;", sum, a, b);
	if (!single)
		n->nloops--;
	n->row = n->body = outer;
	n->scalar.n = 0;
	return sum;
}

static void plain_assign(struct cuda *c, struct c_block *b, const struct tile_statement *s, const struct cuda_loops *l)
{
	struct emitter *e = &c->e;
	struct arena *a = e->arena;
	struct nest n = shared_nest(c);
	const struct cuda_value *v = &c->value[s->value];
	enum kind kind = cuda_kind(c, s->value);
	const char *inside, *x, *result = NULL;
	struct c_block *body = turns(c, b, &n, l->index, l->n, v->operand ? &v->tile : NULL, &inside);
	n.row = n.body = body;
	if (inside && v->operand) {
		result = plan_name(e, arena_printf(a, "%s_0", e->value[s->value].name));
		c_line(a, body, "%s %s = 0;", cuda_c_type(kind), result);
	}
	if (inside)
		n.row = n.body = c_open(a, body, "if (%s)", inside);
	if (s->kind != TILE_CONTRACT)
		cuda_count(&n, s, s->expression);
	if (s->kind == TILE_CONTRACT)
		x = plain_sum(&n, s);
	else if (s->kind == TILE_REDUCE)
		x = plain_fold(&n, s);
	else
		x = nest_text(&n, s->expression, kind, false);
	if (result) {
		c_line(a, n.body, "%s = %s;", result, emit_strip(e, x));
		x = result;
		n.body = body;
	}
	c_line(a, n.body, "%s", tile_put(c, &v->tile, cuda_shared_element(c, &n, s->value), emit_strip(e, x)));
}

/* ---- the statements ---- */

/* A LOAD that copies a matrix as it is. */
static bool fetches(const struct cuda *c, const struct tile_statement *s, uint32_t *rows, uint32_t *columns)
{
	const struct emitter *e = &c->e;
	const struct expr_node *read = expr_at(e->pool, s->expression);
	const struct tile_value *v = &e->program->value.v[s->value];
	if (s->kind != TILE_LOAD || read->op != OP_READ || v->nranks < 2 || !c->value[s->value].operand)
		return false;
	*rows = v->index[v->nranks - 2];
	*columns = v->index[v->nranks - 1];
	for (int r = 0; r < v->nranks - 2; r++)
		if (!e->range[v->index[r]]->single)
			return false;
	for (int r = 0; r < read->count; r++) {
		struct expr at = expr_operand(e->pool, s->expression, r);
		const struct expr_node *x = expr_at(e->pool, at);
		uint32_t wanted = r == read->count - 2 ? *rows : r == read->count - 1 ? *columns : NO_INDEX;
		if (wanted != NO_INDEX && (x->op != OP_INDEX || x->symbol != wanted))
			return false;
		if (wanted == NO_INDEX && (expr_mentions(e->pool, at, OP_INDEX, *rows) ||
		                           expr_mentions(e->pool, at, OP_INDEX, *columns)))
			return false;
	}
	return read->count >= 2;
}

void plain_statement(struct cuda *c, struct c_block *b, const struct tile_statement *s, const struct cuda_loops *l)
{
	uint32_t rows, columns;
	cuda_touch_in(c, b, s->expression, l);
	if (s->kind == TILE_STORE) {
		plain_store(c, b, s, l);
		return;
	}
	shared_write(c, b, &c->value[s->value].tile);
	if (!c->plain && fetches(c, s, &rows, &columns)) {
		const struct shared_tile *t = &c->value[s->value].tile;
		if (tile_fetch(c, b, t, NULL, s->expression, rows, columns, c->e.range[rows]->low,
		               c->e.range[columns]->low)) {
			c_line(c->e.arena, b, "at_cp_commit();");
			shared_pending(c, t);
		}
		return;
	}
	plain_assign(c, b, s, l);
}

void plain_contract(struct cuda *c, struct c_block *b, const struct tile_statement *s)
{
	struct cuda_loops l = cuda_loops_of(c, s);
	l.fragment = false;
	cuda_touch_in(c, b, s->a, &l);
	cuda_touch_in(c, b, s->b, &l);
	cuda_touch_in(c, b, s->scale, &l);
	if (s->accumulate)
		shared_read(c, b, &c->value[s->value].tile);
	shared_write(c, b, &c->value[s->value].tile);
	plain_assign(c, b, s, &l);
}
