/* tile_leaves.c: the blocks of a walk that work on a tile, and which of them evaluate predicates.
 *
 * A block works on a tile where it reduces along the walked index, or stores along it. It evaluates
 * predicates where it replaces elements by a number under a condition that moves with the walked index,
 * unless every block of the phase does that under the same condition: then the condition is part of what is
 * computed.
 */
#include "codegen/tile_map.h"

struct conditions {
	VEC(struct expr) of;
};

struct find {
	struct arena *arena;
	const struct tile_program *p;
	uint32_t rows, walked;
	const struct tile_wanted *wanted;
	struct tile_leaves leaves;
	VEC(struct conditions) conditions; /* one a leaf */
};

static bool has_rank(const struct tile_program *p, uint32_t value, uint32_t index)
{
	for (int k = 0; k < p->value.v[value].nranks; k++)
		if (p->value.v[value].index[k] == index)
			return true;
	return false;
}

/* Is it over coordinates, or over what a tensor holds there? Conditions over what is computed are none of
 * ours. */
static bool is_of_coordinates(const struct find *f, struct expr e)
{
	struct expr *node;
	uint32_t n = expr_nodes(f->p->pool, e, &node);
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *x = expr_at(f->p->pool, node[i]);
		if (x->op == OP_INDEX || (x->op == OP_VALUE && (has_rank(f->p, x->symbol, f->walked) ||
		                                                f->p->value.v[x->symbol].dtype == DTYPE_I32)))
			return true;
	}
	return false;
}

static bool has(const struct conditions *c, struct expr e)
{
	for (uint32_t i = 0; i < c->of.n; i++)
		if (expr_same(c->of.v[i], e))
			return true;
	return false;
}

static void collect(struct find *f, struct expr e, struct conditions *c)
{
	struct expr *node;
	uint32_t n = e.id ? expr_nodes(f->p->pool, e, &node) : 0;
	for (uint32_t i = 0; i < n; i++) {
		if (expr_at(f->p->pool, node[i])->op != OP_SELECT ||
		    !expr_is_number(f->p->pool, expr_operand(f->p->pool, node[i], 2), NULL))
			continue;
		struct expr condition = expr_operand(f->p->pool, node[i], 0);
		if (is_of_coordinates(f, condition) && !has(c, condition))
			vec_push(f->arena, &c->of, condition);
	}
}

/* Does the statement carry a tile's work further? What only conditions are made of does not. */
static bool works(const struct find *f, const struct tile_statement *s)
{
	const struct expr_pool *p = f->p->pool;
	if (s->kind == TILE_STORE)
		return expr_mentions(p, s->target, OP_INDEX, f->walked) &&
		       (f->rows == NO_INDEX || expr_mentions(p, s->target, OP_INDEX, f->rows));
	if ((s->kind != TILE_REDUCE && s->kind != TILE_CONTRACT) || s->index != f->walked ||
	    f->wanted->value[s->value])
		return false;
	return f->rows == NO_INDEX || has_rank(f->p, s->value, f->rows);
}

static void least(int64_t *step, int64_t other)
{
	if (!*step || other < *step)
		*step = other;
}

/* The contraction that a block is all about: beside it there are loads, and it may stand under a condition. */
static const struct tile_statement *only_contraction(const struct tile_block *b)
{
	const struct tile_statement *found = NULL;
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		if (s->kind == TILE_LOAD)
			continue;
		if (found || (s->kind != TILE_CONTRACT && s->kind != TILE_IF) || s->other.statement.n)
			return NULL;
		if (!(found = s->kind == TILE_CONTRACT ? s : only_contraction(&s->body)))
			return NULL;
	}
	return found;
}

/* … of the steps of a contraction through a tile, which is no tile of their own; else NULL. */
static const struct tile_statement *stepped(const struct find *f, const struct tile_statement *s)
{
	return s->kind == TILE_FOR && s->index == f->walked ? only_contraction(&s->body) : NULL;
}

static void search(struct find *f, const struct tile_block *b, bool walking)
{
	const struct tile_statement *first = NULL;
	struct conditions c = {0};
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		const struct tile_statement *inner = walking ? stepped(f, s) : NULL;
		s = inner ? inner : s;
		if (s->kind == TILE_FOR || s->kind == TILE_NARROW) {
			if (s->index == f->rows)
				least(&f->leaves.row_step, s->step);
			if (s->index == f->walked)
				least(&f->leaves.walked_step, s->step);
		}
		search(f, &s->body, walking || (s->kind == TILE_FOR && s->index == f->walked));
		search(f, &s->other, walking);
		if (!walking || s->kind == TILE_FOR || s->kind == TILE_IF || s->kind == TILE_NARROW)
			continue;
		collect(f, s->expression, &c);
		if (works(f, s) && !first)
			first = s;
	}
	if (!first)
		return;
	vec_push(f->arena, &f->leaves.leaf, (struct tile_leaf){first, false});
	vec_push(f->arena, &f->conditions, c);
}

struct tile_leaves tile_leaves(struct arena *a, const struct tile_program *p, uint32_t phase, uint32_t rows,
                               uint32_t walked, const struct tile_wanted *wanted)
{
	struct find f = {.arena = a, .p = p, .rows = rows, .walked = walked, .wanted = wanted};
	search(&f, &p->phase.v[phase].body, false);
	if (!f.leaves.leaf.n) /* a walk of one tile is no loop */
		search(&f, &p->phase.v[phase].body, true);
	bool differ = false;
	for (uint32_t i = 0; i < f.leaves.leaf.n; i++)
		for (uint32_t k = 0; k < f.conditions.v[i].of.n; k++)
			for (uint32_t j = 0; j < f.leaves.leaf.n; j++)
				if (!has(&f.conditions.v[j], f.conditions.v[i].of.v[k]))
					differ = f.leaves.leaf.v[i].masked = true;
	for (uint32_t i = 0; i < f.leaves.leaf.n && !differ; i++)
		f.leaves.leaf.v[i].masked = f.conditions.v[i].of.n;
	return f.leaves;
}
