/* Where tensors are loaded, and in which order of ranks: as the lanes want it, turned by a map where memory has it
 * otherwise. */
#include "codegen/build.h"

bool build_mentions(const struct builder *b, struct expr e, uint32_t index)
{
	return index != NO_INDEX && expr_mentions(&b->c->pool, e, OP_INDEX, index);
}

const char *build_load_stem(const struct builder *b, struct expr e)
{
	for (uint32_t t = 0; t < b->c->tensor.n; t++)
		if (expr_mentions(&b->c->pool, e, OP_READ, t))
			return b->c->tensor.v[t].name;
	return "t";
}

uint32_t build_load(struct builder *b, struct expr e, uint32_t lane)
{
	enum kind kind = (enum kind)expr_at(&b->c->pool, e)->kind;
	return build_load_as(b, e, lane, kind == KIND_REAL ? b->p->compute : DTYPE_I32);
}

/* The last index of the first tensor that e reads at rows, where those are not its last coordinate; or NO_INDEX. */
static uint32_t read_along(const struct builder *b, struct expr e)
{
	struct expr *node;
	uint32_t n = expr_nodes(&b->c->pool, e, &node);
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node r = *expr_at(&b->c->pool, node[i]);
		if (r.op != OP_READ || !r.count || !build_mentions(b, node[i], b->plan->rows))
			continue;
		const struct expr_node *last = expr_at(&b->c->pool, expr_operand(&b->c->pool, node[i], r.count - 1));
		if (last->op == OP_INDEX && last->symbol != b->plan->rows && !build_is_task(b->plan, last->symbol))
			return last->symbol;
	}
	return NO_INDEX;
}

/* The same value with its last two ranks, the rows and another, in the other order. */
static uint32_t turned_value(struct builder *b, struct tile_block *code, uint32_t value, bool body, int64_t rows)
{
	struct tile_value v = b->p->value.v[value];
	uint32_t last = v.index[v.nranks - 1];
	v.index[v.nranks - 1] = v.index[v.nranks - 2];
	v.index[v.nranks - 2] = last;
	const char *stem = arena_printf(b->arena, "%s_t", v.name);
	uint32_t to = body ? build_body_value(b, stem, v.dtype, v.index, v.nranks)
	                   : build_new_value(b, stem, v.dtype, v.index, v.nranks, rows);
	build_map(b, code, to, build_value(b, value));
	return to;
}

/* Rows are in the lanes, and in memory something else is adjacent: loaded as it lies, then turned. */
static uint32_t load_across(struct builder *b, struct expr e, uint32_t along, enum dtype dtype)
{
	bool walks = build_mentions(b, e, b->plan->walked);
	uint32_t lane = b->plan->rows;
	for (int k = 0; k < 2; k++)
		for (uint32_t i = 0; i < (k ? b->inside.n : b->before.n); i++) {
			const struct loaded *l = k ? &b->inside.v[i] : &b->before.v[i];
			if (expr_same(l->expression, e) && l->lane == lane && b->p->value.v[l->value].dtype == dtype)
				return l->value;
		}
	b->across = false;
	uint32_t value = build_load_as(b, e, along, dtype);
	b->across = true;
	const struct tile_value *v = &b->p->value.v[value];
	if (v->nranks < 2 || v->index[v->nranks - 1] == lane)
		return value;
	value = turned_value(b, walks ? b->body : b->task_code, value, walks && b->block, b->sizes->row_tile);
	struct loaded l = {e, lane, value};
	if (walks)
		vec_push(b->arena, &b->inside, l);
	else
		vec_push(b->arena, &b->before, l);
	return value;
}

uint32_t build_load_as(struct builder *b, struct expr e, uint32_t lane, enum dtype dtype)
{
	bool walks = build_mentions(b, e, b->plan->walked), rows = build_mentions(b, e, b->plan->rows);
	if (b->across && rows) {
		uint32_t along = read_along(b, e);
		if (along != NO_INDEX)
			return load_across(b, e, along, dtype);
		lane = b->plan->rows;
	}
	if (lane != NO_INDEX && !build_mentions(b, e, lane))
		lane = NO_INDEX;
	for (int level = 0; level < 3; level++)
		for (uint32_t i = 0; i < (level == 0   ? b->before.n
		                          : level == 1 ? b->step.n
		                                       : b->inside.n);
		     i++) {
			const struct loaded *l = level == 0   ? &b->before.v[i]
			                         : level == 1 ? &b->step.v[i]
			                                      : &b->inside.v[i];
			if (expr_same(l->expression, e) && (l->lane == lane || lane == NO_INDEX) &&
			    b->p->value.v[l->value].dtype == dtype)
				return l->value;
		}
	uint32_t index[MAX_RANKS];
	int n = 0;
	for (uint32_t i = 0; i < b->c->index.n; i++) /* rows first, the walked index and the lane last */
		if (i == b->plan->rows && rows && i != lane)
			index[n++] = i;
	for (uint32_t i = 0; i < b->c->index.n; i++)
		if (i != b->plan->rows && i != b->plan->walked && i != lane && !build_is_task(b->plan, i) &&
		    !(walks && rows && i == b->inner) &&
		    build_mentions(b, e, i) && n < MAX_RANKS)
			index[n++] = i;
	if (walks && b->plan->walked != lane)
		index[n++] = b->plan->walked;
	if (lane != NO_INDEX)
		index[n++] = lane;
	uint32_t v = b->device && walks && rows
	                     ? build_body_value(b, build_load_stem(b, e), dtype, index, n)
	                     : build_new_value(b, build_load_stem(b, e), dtype, index, n,
	                                       walks && b->block ? b->block : b->sizes->row_tile);
	struct tile_statement s = {.kind = TILE_LOAD, .value = v, .expression = build_load_expression(b, e)};
	struct loaded l = {e, lane, v};
	if (!walks) {
		vec_push(b->arena, &b->before, l);
		vec_push(b->arena, &b->task_code->statement, s);
	} else if (!rows) {
		vec_push(b->arena, &b->step, l);
		vec_push(b->arena, &b->step_code->statement, s);
	} else {
		vec_push(b->arena, &b->inside, l);
		vec_push(b->arena, &b->body->statement, s);
	}
	return v;
}

struct expr build_turned(struct builder *b, struct tile_block *code, const uint32_t *target, int n, struct expr e)
{
	uint32_t index[MAX_RANKS];
	int ranks = 0;
	bool rows = false, body = b->in_body && b->block;
	for (int i = 0; i < n; i++) {
		rows |= target[i] == b->plan->rows;
		if (target[i] != b->plan->rows && !build_is_task(b->plan, target[i]))
			index[ranks++] = target[i];
	}
	if (!b->across || !rows || !ranks || target[n - 1] == b->plan->rows)
		return e;
	index[ranks++] = b->plan->rows;
	const struct expr_node *node = expr_at(b->p->pool, e);
	uint32_t v = node->symbol;
	bool ready = node->op == OP_VALUE && b->p->value.v[v].nranks == ranks;
	for (int i = 0; i < ranks && ready; i++)
		ready = b->p->value.v[v].index[i] == index[i];
	if (!ready) {
		enum dtype t = node->kind == KIND_REAL ? b->p->compute : DTYPE_I32;
		const char *stem = "out";
		v = body ? build_body_value(b, stem, t, index, ranks)
		         : build_new_value(b, stem, t, index, ranks, build_after_rows(b));
		build_map(b, code, v, e);
	}
	return build_value(b, turned_value(b, code, v, body, build_after_rows(b)));
}

bool build_reads_along(const struct builder *b, struct expr e, uint32_t index)
{
	const struct expr_pool *pool = &b->c->pool;
	struct expr *node;
	bool found = false;
	uint32_t n = expr_nodes(pool, e, &node);
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *x = expr_at(pool, node[i]);
		if (x->op != OP_READ || !x->count)
			continue;
		const struct expr_node *last = expr_at(pool, expr_operand(pool, node[i], x->count - 1));
		found |= last->op == OP_INDEX && last->symbol == index;
	}
	return found;
}
