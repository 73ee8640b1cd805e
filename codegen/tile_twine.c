/* Statements around contractions whose operand is made while it is used, in the order that this wants: what the operand
 * and its sums take first, then the maps and reductions over the walked index that make it, then the contraction, then
 * what depends on those reductions.
 *
 * Of the maps and reductions that stand before a contraction only. Where moving one would change what another reads,
 * the block stays as it is, and the operand is made beforehand.
 */
#include "codegen/build.h"

enum side { BEFORE, MAKER, AFTER };

struct order {
	const struct tile_program *p;
	const struct tile_statement *s; /* n, and then the contraction */
	uint32_t n;
	enum side *side;
	bool second; /* operand b is made, of rows in the lanes; else a */
};

static bool reads(const struct order *o, const struct tile_statement *s, uint32_t value)
{
	const struct expr of[] = {s->expression, s->a, s->b, s->scale};
	for (int i = 0; i < 4; i++)
		if (of[i].id && expr_mentions(o->p->pool, of[i], OP_VALUE, value))
			return true;
	return s->kind == TILE_CONTRACT && s->accumulate && s->value == value;
}

/* Is it one number, or more, a coordinate of the contracted index, or a reduction over that? */
static bool is_along(const struct order *o, const struct tile_statement *s)
{
	const struct tile_value *v = &o->p->value.v[s->value];
	uint32_t walked = o->s[o->n].index;
	if (s->kind == TILE_REDUCE)
		return s->index == walked;
	if (o->second)
		return v->nranks > 1 && v->index[v->nranks - 1] == o->s[o->n].lanes && v->index[v->nranks - 2] == walked;
	return v->nranks && v->index[v->nranks - 1] == walked;
}

/* Does j read what i assigned, with nothing between that assigns it again? */
static bool follows(const struct order *o, uint32_t i, uint32_t j)
{
	for (uint32_t k = i + 1; k < j; k++)
		if (o->s[k].value == o->s[i].value)
			return false;
	return reads(o, &o->s[j], o->s[i].value);
}

/* Statement i was before j, and comes after it now: does one of them touch what the other assigns? */
static bool conflict(const struct order *o, uint32_t i, uint32_t j)
{
	const struct tile_statement *x = &o->s[i], *y = &o->s[j];
	return x->value == y->value || reads(o, x, y->value) || reads(o, y, x->value);
}

/* Does the contraction read statement i, but as the operand that is made? */
static bool takes(const struct order *o, uint32_t i)
{
	const struct tile_statement *c = &o->s[o->n];
	struct tile_statement rest = *c;
	*(o->second ? &rest.b : &rest.a) = NO_EXPR;
	rest.accumulate = false;
	for (uint32_t k = i + 1; k < o->n; k++)
		if (o->s[k].value == o->s[i].value)
			return false;
	return reads(o, &rest, o->s[i].value);
}

/* What makes the operand, as far as it is not `needed` before: maps over the walked index from which it comes, and
 * reductions of them. */
static void find_makers(struct order *o, uint32_t made, const bool *needed)
{
	for (uint32_t j = 0; j < o->n; j++)
		o->side[j] = BEFORE;
	o->side[made] = MAKER;
	for (uint32_t j = made; j-- > 0;)
		for (uint32_t k = j + 1; k <= made && o->s[j].kind == TILE_MAP && is_along(o, &o->s[j]) && !needed[j]; k++)
			if (o->side[k] == MAKER && follows(o, j, k))
				o->side[j] = MAKER;
	for (uint32_t j = 0; j < o->n; j++)
		for (uint32_t i = 0; i < j && o->side[j] != MAKER && !needed[j]; i++)
			if (o->side[i] != BEFORE && follows(o, i, j)) {
				bool sum = o->s[j].kind == TILE_REDUCE && is_along(o, &o->s[j]) && o->s[i].kind == TILE_MAP;
				o->side[j] = sum && o->side[i] == MAKER && o->side[j] != AFTER ? MAKER : AFTER;
			}
}

/* What the contraction or a maker takes whole stands before, and so does what that depends on. False where the operand
 * would. */
static bool classify(struct order *o, uint32_t made, bool *needed)
{
	for (bool changed = true; changed;) {
		changed = false;
		find_makers(o, made, needed);
		for (uint32_t i = o->n; i-- > 0;) {
			bool along = o->s[i].kind == TILE_MAP && is_along(o, &o->s[i]), now = takes(o, i);
			for (uint32_t k = i + 1; k < o->n && !now; k++)
				now = follows(o, i, k) && (needed[k] || (o->side[k] == MAKER && !along));
			changed |= now && !needed[i];
			needed[i] |= now;
		}
	}
	return !needed[made];
}

static bool may_move(const struct order *o)
{
	for (uint32_t j = 0; j <= o->n; j++)
		for (uint32_t i = 0; i < j; i++)
			if (o->side[i] > (j < o->n ? o->side[j] : MAKER) && conflict(o, i, j))
				return false;
	return true;
}

/* The map that makes an operand, along the walked index; n: there is none. */
static uint32_t find_made(const struct order *o, struct expr operand)
{
	const struct expr_node *x = expr_at(o->p->pool, operand);
	uint32_t made = o->n;
	for (uint32_t i = 0; i < o->n && x->op == OP_VALUE; i++)
		if (o->s[i].kind == TILE_MAP && x->symbol == o->s[i].value)
			made = i;
	return made < o->n && is_along(o, &o->s[made]) ? made : o->n;
}

static void order_before(struct builder *b, struct tile_block *block, uint32_t at)
{
	uint32_t from = at;
	while (from && (block->statement.v[from - 1].kind == TILE_MAP || block->statement.v[from - 1].kind == TILE_REDUCE))
		from--;
	struct order o = {b->p, &block->statement.v[from], at - from, arena_alloc(b->arena, (at - from) * sizeof(enum side) + 1), false};
	uint32_t made = find_made(&o, o.s[o.n].a);
	if (made == o.n) {
		o.second = true;
		made = find_made(&o, o.s[o.n].b);
	}
	if (made == o.n)
		return;
	if (!classify(&o, made, arena_alloc(b->arena, o.n + 1)) || !may_move(&o))
		return;
	struct tile_statement *moved = arena_alloc(b->arena, (o.n + 1) * sizeof *moved);
	uint32_t n = 0;
	for (enum side side = BEFORE; side <= AFTER; side++) {
		for (uint32_t i = 0; i < o.n; i++)
			if (o.side[i] == side)
				moved[n++] = o.s[i];
		if (side == MAKER)
			moved[n++] = o.s[o.n];
	}
	for (uint32_t i = 0; i < n; i++)
		block->statement.v[from + i] = moved[i];
}

void build_twines(struct builder *b, struct tile_block *block)
{
	for (uint32_t i = 0; i < block->statement.n; i++) {
		struct tile_statement *s = &block->statement.v[i];
		build_twines(b, &s->body);
		build_twines(b, &s->other);
		if (s->kind == TILE_CONTRACT && s->twine)
			order_before(b, block, i);
	}
}
