/* Rows gathered by the block they chose: where each row n ranges over a few of the blocks c of the walked index, and
 * which ones differs from row to row, the pairs of a row and the t-th of its blocks are put in the order of the blocks,
 *
 *     L[i …, n, t] = members[c](J[i …, n, c])
 *     A[i …, p]    = argsort[p](L at pair p, those without a block last)     pair p is row p / T, its block p % T
 *     I[i …, p]    = argsort[p](A[i …, p])                                  where pair p went
 *
 * and the stream runs with those places for its rows: n := A[i …, p] / T, over the coordinates of that pair's block
 * only. Rows in a row of places mostly share their block, so a tile of them is dense, and bounds of the predicate lead
 * the walk there. What the stream carries is a part; another stream over t joins the parts of a row by the same
 * corrections that a step of the walk uses, with the part in place of what was before: joining is the
 * commutative monoid of theory §2.
 *
 * A set that tells rows only (J[i …, n]) is the case of one block, all there is: rows that are absent are put last.
 */
#include <string.h>

#include "codegen/derive.h"
#include "codegen/lists.h"
#include "codegen/plan.h"

enum { ROWS_A_BLOCK = 16, PAIR_COSTS = 32 /* coordinates more: its row is loaded, its part stored and joined */ };
#define PARTS_LIMIT 0x1p33 /* bytes of all parts */
#define PARTS_USUAL 0x1p31 /* … that are worth it unasked */

struct gather {
	struct lists *l;
	const struct stream *s;
	const struct set *k;
	uint32_t row;                          /* the gathered one */
	uint32_t list, order, place;           /* L, A, I */
	uint32_t pair, slot;                   /* p, t */
	struct exchange x;
	struct expr part[MAX_RANKS * 4];       /* of each carry: its part of row n and slot t */
};

/* How many reads in the stream's tiles mention the walked index and this one. */
static int walked_reads(const struct lists *l, const struct stream *s, uint32_t row)
{
	const struct expr_pool *p = &l->c->pool;
	int count = 0;
	for (uint32_t i = 0; i < s->local.n + s->carry.n; i++) {
		struct expr *read;
		uint32_t n = derive_reads(p, l->c->equation.v[stream_equation(s, i)].body, &read);
		for (uint32_t r = 0; r < n; r++)
			count += l->c->tensor.v[expr_at(p, read[r])->symbol].role == ROLE_IN &&
			         expr_mentions(p, read[r], OP_INDEX, s->index) && expr_mentions(p, read[r], OP_INDEX, row);
	}
	return count;
}

uint32_t lists_gathered(const struct lists *l, const struct stream *s, const struct set *k)
{
	uint32_t row = NO_INDEX;
	for (int i = 0; i < k->nrow; i++)
		if (!walked_reads(l, s, k->row[i]))
			row = k->row[i];
	return row;
}

/* A read at the set's rows, with `row` for the gathered one, and more coordinates after; `skip`: without it. */
static struct expr read_rows(const struct gather *g, uint32_t tensor, bool skip, struct expr row, struct expr last)
{
	struct expr at[MAX_RANKS];
	int n = 0;
	for (int i = 0; i < g->k->nrow; i++)
		if (g->k->row[i] != g->row)
			at[n++] = lists_coordinate(g->l, g->k->row[i]);
		else if (!skip)
			at[n++] = row;
	at[n++] = last;
	return expr_read(&g->l->c->pool, KIND_INT, tensor, n, at);
}

static struct expr by_slots(const struct gather *g, enum op op, struct expr pair)
{
	return expr2(&g->l->c->pool, op, pair, expr_number(&g->l->c->pool, (double)g->k->most));
}

static struct expr row_of(const struct gather *g, struct expr pair)
{
	return g->k->most > 1 ? by_slots(g, OP_IDIV, pair) : pair;
}

static struct expr block_of(const struct gather *g, struct expr pair)
{
	struct expr slot = g->k->most > 1 ? by_slots(g, OP_MOD, pair) : expr_number(&g->l->c->pool, 0);
	return read_rows(g, g->list, false, row_of(g, pair), slot);
}

/* A selection over all pairs. */
static uint32_t order(struct gather *g, const char *suffix, uint32_t pair, struct expr key)
{
	struct equation q = {.select = SELECT_ARGSORT, .along = pair, .body = key};
	for (int i = 0; i < g->k->nrow; i++)
		if (g->k->row[i] != g->row)
			q.index[q.nindex++] = g->k->row[i];
	int rows = q.nindex;
	uint32_t row[MAX_RANKS];
	memcpy(row, q.index, sizeof row);
	q.index[q.nindex++] = pair;
	return lists_select(g->l, lists_name(g->l, g->k, suffix), q, row, rows);
}

static void make_order(struct gather *g)
{
	struct lists *l = g->l;
	struct expr_pool *p = &l->c->pool;
	uint32_t pair = g->pair;
	struct expr at = lists_coordinate(l, pair), zero = expr_number(p, 0), key;
	g->slot = lists_index(l, "t", g->k->most);
	if (g->k->block) {
		g->list = lists_members(l, g->s, g->k, g->slot);
		key = block_of(g, at);
		key = expr3(p, OP_SELECT, expr2(p, OP_LE, zero, key), key, expr_number(p, (double)g->k->blocks));
	} else {
		key = expr3(p, OP_SELECT, expr_substitute(p, g->k->condition, g->row, at), zero, expr_number(p, 1));
		key = expr2(p, OP_ELSE, key, expr_number(p, 1)); /* every pair has a place */
	}
	g->order = order(g, "_order", pair, key);
	g->place = order(g, "_place", pair, read_rows(g, g->order, true, NO_EXPR, at));
}

/* The walk of pairs in order: over their blocks only. */
static void add_parts(struct gather *g)
{
	struct lists *l = g->l;
	struct expr_pool *p = &l->c->pool;
	struct expr m = lists_coordinate(l, g->s->index), size = expr_number(p, (double)g->k->block);
	struct expr pair = read_rows(g, g->order, true, NO_EXPR, lists_coordinate(l, g->x.position)), condition[2];
	int n = 1;
	g->x.to = row_of(g, pair);
	if (!g->k->block) {
		condition[0] = expr_substitute(p, g->k->condition, g->row, g->x.to);
	} else {
		struct expr first = block_of(g, pair);
		if (g->k->block > 1)
			first = expr2(p, OP_MUL, first, size);
		condition[0] = expr2(p, OP_LE, first, m);
		condition[1] = expr2(p, OP_LT, m, expr2(p, OP_ADD, first, size));
		n = 2;
	}
	struct stream t = lists_exchanged(&g->x, g->s, n, condition);
	vec_push(l->arena, &l->to->stream, t);
}

static struct expr put_part(struct expr_pool *p, struct expr e, void *context)
{
	const struct gather *g = context;
	if (expr_at(p, e)->op != OP_OLD)
		return e;
	uint32_t tensor = expr_at(p, expr_operand(p, e, 0))->symbol;
	for (uint32_t i = 0; i < g->s->carry.n; i++)
		if (g->l->c->equation.v[g->s->carry.v[i].equation].tensor == tensor)
			return g->part[i];
	return e;
}

static struct expr part_of(const struct gather *g, const struct equation *q, struct expr place)
{
	struct expr at[MAX_RANKS];
	enum kind kind = KIND_REAL;
	for (int i = 0; i < q->nindex; i++)
		at[i] = q->index[i] == g->row ? place : lists_coordinate(g->l, q->index[i]);
	if (g->l->c->tensor.v[q->tensor].dtype == DTYPE_BOOL)
		kind = KIND_BOOL;
	else if (dtype_info[g->l->c->tensor.v[q->tensor].dtype].integer)
		kind = KIND_INT;
	return expr_read(&g->l->c->pool, kind, g->x.tensor[q->tensor], q->nindex, at);
}

static void add_join(struct gather *g)
{
	struct lists *l = g->l;
	struct expr_pool *p = &l->c->pool;
	struct expr n = lists_coordinate(l, g->row), t = lists_coordinate(l, g->slot), pair = n;
	if (g->k->most > 1)
		pair = expr2(p, OP_ADD, by_slots(g, OP_MUL, n), t);
	struct expr place = read_rows(g, g->place, true, NO_EXPR, pair);
	struct expr present = g->k->condition;
	if (g->k->block)
		present = expr2(p, OP_LE, expr_number(p, 0), read_rows(g, g->list, false, n, t));
	struct stream join = {.index = g->slot, .present = present};
	for (uint32_t i = 0; i < g->s->row.n; i++)
		vec_push(l->arena, &join.row, g->s->row.v[i]);
	for (uint32_t i = 0; i < g->s->carry.n; i++)
		g->part[i] = part_of(g, &l->c->equation.v[g->s->carry.v[i].equation], place);
	for (uint32_t i = 0; i < g->s->carry.n; i++) {
		struct carry c = g->s->carry.v[i];
		struct equation q = l->c->equation.v[c.equation];
		q.body = c.terms ? NO_EXPR : g->part[i];
		for (int k = 0; k < c.terms; k++) {
			struct expr factor = expr_rewrite(p, c.term[k].factor, put_part, g);
			struct expr term = expr2(p, OP_MUL, g->part[c.term[k].carry], factor);
			q.body = q.body.id ? expr2(p, OP_ADD, q.body, term) : term;
		}
		q.reduced[0] = g->slot;
		q.where = present;
		vec_push(l->arena, &l->equation, q);
		c.equation = l->equation.n - 1;
		vec_push(l->arena, &join.carry, c);
	}
	for (uint32_t i = 0; i < g->s->after.n; i++)
		vec_push(l->arena, &join.after, lists_emit(l, g->s->after.v[i]));
	vec_push(l->arena, &l->to->stream, join);
}

static double bytes_of_parts(const struct lists *l, const struct stream *s, int64_t slots)
{
	double bytes = 0;
	for (uint32_t i = 0; i < s->carry.n; i++) {
		const struct equation *q = &l->c->equation.v[s->carry.v[i].equation];
		double n = 4 * (double)slots;
		for (int k = 0; k < q->nindex; k++)
			n *= (double)lists_extent(l, q->index[k]);
		bytes += n;
	}
	return bytes;
}

static bool gather_rows(struct lists *l, const struct stream *s, const struct set *k)
{
	struct gather g = {.l = l, .s = s, .k = k, .row = lists_gathered(l, s, k)};
	if (g.row == NO_INDEX || s->carry.n > sizeof g.part / sizeof *g.part || k->nrow + 1 >= MAX_RANKS ||
	    lists_extent(l, g.row) * k->most >= EXTENT_LIMIT || bytes_of_parts(l, s, k->most) > PARTS_LIMIT)
		return false;
	for (uint32_t i = 0; i < s->carry.n; i++)
		if (!equation_has_index(&l->c->equation.v[s->carry.v[i].equation], g.row))
			return false;
	g.x = (struct exchange){.l = l, .set = k, .index = g.row, .walked = s->index};
	g.pair = lists_index(l, "p", lists_extent(l, g.row) * k->most);
	g.x.position = cascade_add_index(l->c, cascade_fresh_index(l->c, "i"), l->c->index.v[g.pair].rank);
	if (!lists_rename(&g.x, s, "_part"))
		return false;
	make_order(&g);
	add_parts(&g);
	add_join(&g);
	return true;
}

/* Worth it where blocks are chosen by enough rows to fill a tile. */
static void tell_rows(struct lists *l, const struct stream *s, const struct set *k, struct list_form *form)
{
	int64_t pairs = lists_extent(l, lists_gathered(l, s, k)) * k->most;
	bool fills = pairs >= ROWS_A_BLOCK * k->blocks;
	const char *reason = "rows that are there are put before the others";
	if (k->block)
		reason = arena_printf(l->arena, "rows are gathered by the blocks of %lld that they have, at most %lld of %lld",
		                      (long long)k->block, (long long)k->most, (long long)k->blocks);
	double length = k->block ? (double)k->block : (double)lists_extent(l, s->index) + 1;
	double share = k->share * (1 + (double)PAIR_COSTS / length);
	lists_tell(form, fills && share <= 0.5 && bytes_of_parts(l, s, k->most) <= PARTS_USUAL, reason);
}

struct streams *streams_rows(struct arena *arena, const struct streams *from, struct list_form *form)
{
	struct lists l = lists_start(arena, from);
	bool any = false;
	*form = (struct list_form){0};
	for (uint32_t i = 0; i < from->stream.n; i++) {
		struct set k;
		const struct stream *s = &from->stream.v[i];
		if (!lists_find(&l, s, &k) || !gather_rows(&l, s, &k)) {
			lists_keep(&l, s);
			continue;
		}
		tell_rows(&l, s, &k, form);
		any = true;
	}
	return any ? lists_finish(&l) : NULL;
}
