#include "dsl/cascade.h"
#include "dsl/dtype.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct cascade *cascade_new(struct arena *a, const char *name)
{
	struct cascade *c = arena_new(a, struct cascade);
	c->arena = a;
	c->name = arena_strdup(a, name);
	expr_pool_init(&c->pool, a);
	return c;
}

/* A copy of a vector's content with no spare room. */
#define CLONE(arena, to, from)                                                                               \
	((to)->v = arena_copy((arena), (from)->v, (from)->n * sizeof *(from)->v),                            \
	 (to)->n = (to)->cap = (from)->n)

struct cascade *cascade_clone(struct arena *a, const struct cascade *from)
{
	struct cascade *c = cascade_new(a, from->name);
	CLONE(a, &c->pool.node, &from->pool.node);
	CLONE(a, &c->pool.operand, &from->pool.operand);
	c->pool.slots = from->pool.slots;
	c->pool.slot = arena_copy(a, from->pool.slot, from->pool.slots * sizeof *from->pool.slot);
	CLONE(a, &c->rank, &from->rank);
	CLONE(a, &c->index, &from->index);
	CLONE(a, &c->tensor, &from->tensor);
	CLONE(a, &c->equation, &from->equation);
	for (uint32_t i = 0; i < c->rank.n; i++)
		c->rank.v[i].name = arena_strdup(a, c->rank.v[i].name);
	for (uint32_t i = 0; i < c->index.n; i++)
		c->index.v[i].name = arena_strdup(a, c->index.v[i].name);
	for (uint32_t i = 0; i < c->tensor.n; i++)
		c->tensor.v[i].name = arena_strdup(a, c->tensor.v[i].name);
	return c;
}

uint32_t cascade_add_rank(struct cascade *c, const char *name, int64_t extent)
{
	vec_push(c->arena, &c->rank, (struct rank){arena_strdup(c->arena, name), extent});
	return c->rank.n - 1;
}

uint32_t cascade_add_index(struct cascade *c, const char *name, uint32_t rank)
{
	assert(rank < c->rank.n);
	struct index index = {arena_strdup(c->arena, name), rank,
	                      expr_leaf(&c->pool, OP_EXTENT, KIND_INT, rank)};
	vec_push(c->arena, &c->index, index);
	return c->index.n - 1;
}

uint32_t cascade_add_tensor(struct cascade *c, struct tensor t)
{
	t.name = arena_strdup(c->arena, t.name);
	t.equation = NO_EQUATION;
	vec_push(c->arena, &c->tensor, t);
	return c->tensor.n - 1;
}

uint32_t cascade_add_equation(struct cascade *c, struct equation q)
{
	assert(q.tensor < c->tensor.n);
	vec_push(c->arena, &c->equation, q);
	return c->tensor.v[q.tensor].equation = c->equation.n - 1;
}

uint32_t cascade_find_rank(const struct cascade *c, const char *name)
{
	for (uint32_t i = 0; i < c->rank.n; i++)
		if (!strcmp(c->rank.v[i].name, name))
			return i;
	return UINT32_MAX;
}

uint32_t cascade_find_tensor(const struct cascade *c, const char *name)
{
	for (uint32_t i = 0; i < c->tensor.n; i++)
		if (!strcmp(c->tensor.v[i].name, name))
			return i;
	return UINT32_MAX;
}

static bool index_exists(const struct cascade *c, const char *name)
{
	for (uint32_t i = 0; i < c->index.n; i++)
		if (!strcmp(c->index.v[i].name, name))
			return true;
	return false;
}

const char *cascade_fresh_tensor(struct cascade *c, const char *stem)
{
	const char *name = arena_strdup(c->arena, stem);
	for (int i = 2; cascade_find_tensor(c, name) != UINT32_MAX; i++)
		name = arena_printf(c->arena, "%s%d", stem, i);
	return name;
}

const char *cascade_fresh_index(struct cascade *c, const char *stem)
{
	const char *name = arena_strdup(c->arena, stem);
	for (int i = 2; index_exists(c, name); i++)
		name = arena_printf(c->arena, "%s%d", stem, i);
	return name;
}

struct expr cascade_read(struct cascade *c, uint32_t t, const uint32_t *index, int n)
{
	struct expr at[MAX_RANKS];
	assert(n == c->tensor.v[t].nranks);
	for (int i = 0; i < n; i++)
		at[i] = expr_leaf(&c->pool, OP_INDEX, KIND_INT, index[i]);
	return expr_read(&c->pool, dtype_kind(c->tensor.v[t].dtype), t, n, at);
}

/* Extents. */

/* One node, its operands' values given; false when it has none. */
static bool extent_node(const struct cascade *c, const struct expr_node *n, int64_t x, int64_t y,
                        int64_t *value)
{
	switch (n->op) {
	case OP_CONST: return n->kind == KIND_INT && (*value = (int64_t)n->number, true);
	case OP_EXTENT: return (*value = c->rank.v[n->symbol].extent) != NOT_BOUND;
	case OP_ADD: return !__builtin_add_overflow(x, y, value);
	case OP_SUB: return !__builtin_sub_overflow(x, y, value);
	case OP_MUL: return !__builtin_mul_overflow(x, y, value);
	case OP_NEG: return !__builtin_sub_overflow(0, x, value);
	case OP_DIV:
	case OP_IDIV:
		/* y == -1 could overflow, and no extent needs it. */
		return y != 0 && y != -1 && x % y == 0 && (*value = x / y, true);
	case OP_MOD:
		if (y <= 0)
			return false;
		*value = x % y < 0 ? x % y + y : x % y;
		return true;
	case OP_MIN: return *value = x < y ? x : y, true;
	case OP_MAX: return *value = x > y ? x : y, true;
	case OP_ABS: return x != INT64_MIN && (*value = x < 0 ? -x : x, true);
	default: return false;
	}
}

static int by_id(const void *a, const void *b)
{
	uint32_t x = ((const struct expr *)a)->id, y = ((const struct expr *)b)->id;
	return (x > y) - (x < y);
}

bool cascade_extent(const struct cascade *c, struct expr e, int64_t *value)
{
	const struct expr_pool *p = &c->pool;
	if (!expr_at(p, e)->count)
		return extent_node(c, expr_at(p, e), 0, 0, value);
	struct expr *node;
	uint32_t n = expr_nodes(p, e, &node);
	int64_t *v = arena_new_array(c->arena, n, int64_t);
	for (uint32_t i = 0; i < n; i++) {
		int64_t x[2] = {0};
		int count = expr_at(p, node[i])->count;
		if (count > 2)
			return false;
		for (int k = 0; k < count; k++) {
			struct expr operand = expr_operand(p, node[i], k);
			const struct expr *at = bsearch(&operand, node, i, sizeof *node, by_id);
			x[k] = v[at - node];
		}
		if (!extent_node(c, expr_at(p, node[i]), x[0], x[1], &v[i]))
			return false;
	}
	*value = v[n - 1];
	return true;
}

static struct expr put_extent(struct expr_pool *p, struct expr e, void *context)
{
	const struct cascade *c = context;
	const struct expr_node *n = expr_at(p, e);
	bool known = n->op == OP_EXTENT && c->rank.v[n->symbol].extent != NOT_BOUND;
	return known ? expr_number(p, (double)c->rank.v[n->symbol].extent) : e;
}

double cascade_argument(struct cascade *c, const struct equation *q)
{
	double v = 0;
	struct expr e = q->argument.id ? expr_rewrite(&c->pool, q->argument, put_extent, c) : NO_EXPR;
	return e.id && expr_is_number(&c->pool, e, &v) ? v : 0;
}

static bool check_tensor(const struct cascade *c, const struct tensor *t, struct diags *d)
{
	int64_t count = 1;
	for (int r = 0; r < t->nranks; r++) {
		struct expr_names names = cascade_names(c);
		struct text text;
		int64_t extent;
		text_init(&text, c->arena);
		expr_print_coordinate(&c->pool, t->extent[r], &names, &text);
		if (!cascade_extent(c, t->extent[r], &extent))
			return diag_error(d, t->span,
			                  "extent %s of tensor '%s' is not a whole number in 64 bits", text.s,
			                  t->name);
		if (extent < 0 || extent >= EXTENT_LIMIT)
			return diag_error(d, t->span, "extent %s = %lld of tensor '%s' is outside 0 to %lld",
			                  text.s, (long long)extent, t->name, (long long)EXTENT_LIMIT - 1);
		if (__builtin_mul_overflow(count, extent, &count) || count >= ELEMENT_LIMIT)
			return diag_error(d, t->span, "tensor '%s' has more than %lld elements", t->name,
			                  (long long)ELEMENT_LIMIT - 1);
	}
	return true;
}

bool cascade_check_bound(const struct cascade *c, struct diags *d)
{
	bool good = true;
	for (uint32_t i = 0; i < c->rank.n; i++) {
		const struct rank *r = &c->rank.v[i];
		if (r->extent == NOT_BOUND)
			good = diag_error(d, (struct span){0}, "rank '%s' is not bound", r->name);
		else if (r->extent < 0 || r->extent >= EXTENT_LIMIT)
			good = diag_error(d, (struct span){0},
			                  "extent %lld of rank '%s' is outside 0 to %lld",
			                  (long long)r->extent, r->name, (long long)EXTENT_LIMIT - 1);
	}
	for (uint32_t i = 0; good && i < c->index.n; i++) {
		int64_t extent;
		if (!cascade_extent(c, c->index.v[i].extent, &extent) || extent < 0 || extent >= EXTENT_LIMIT)
			good = diag_error(d, (struct span){0}, "index '%s' has no valid extent",
			                  c->index.v[i].name);
	}
	if (!good)
		return false;
	for (uint32_t i = 0; i < c->tensor.n; i++)
		good &= check_tensor(c, &c->tensor.v[i], d);
	return good;
}

/* Names. */

static const char *name_of(const void *owner, enum op op, uint32_t symbol)
{
	const struct cascade *c = owner;
	switch (op) {
	case OP_EXTENT: return c->rank.v[symbol].name;
	case OP_READ: return c->tensor.v[symbol].name;
	default: return c->index.v[symbol].name;
	}
}

struct expr_names cascade_names(const struct cascade *c)
{
	return (struct expr_names){name_of, c};
}
