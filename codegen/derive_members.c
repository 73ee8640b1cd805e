/* Reductions over a set as walks over its members.
 *
 * Where the presence of every carry of a stream asks for J[i …, m / C], the walk over m becomes one over j, with
 *
 *     L[i …, s] = members[c](J[i …, c]),    m := L[i …, j / C] · C + j % C
 *
 * wherever the stream mentions m, and 0 ≤ m where it said J: past the last member L is -1. That is all there is to pages:
 * a selection is a page table. What else the presence says stays. The result is the same for every carry whose
 * reduction does not look at m's place in the walk, which is all but argmax.
 */
#include "codegen/lists.h"

static bool walk_members(struct lists *l, const struct stream *s, const struct set *k)
{
	struct expr_pool *p = &l->c->pool;
	int64_t extent = lists_extent(l, s->index), whole = k->most * k->block;
	if (!k->block || whole >= EXTENT_LIMIT)
		return false;
	struct exchange x = {.l = l, .set = k, .index = s->index, .walked = s->index};
	x.position = lists_index(l, "j", whole);
	struct expr j = lists_coordinate(l, x.position), by = expr_number(p, (double)k->block), at[MAX_RANKS];
	if (!lists_rename(&x, s, "_of"))
		return false;
	uint32_t list = lists_members(l, s, k, lists_index(l, "s", k->most));
	for (int i = 0; i < k->nrow; i++) /* a row that is the only one keeps no operand from being shared by rows */
		at[i] = lists_extent(l, k->row[i]) == 1 ? expr_number(p, 0) : lists_coordinate(l, k->row[i]);
	at[k->nrow] = k->block > 1 ? expr2(p, OP_IDIV, j, by) : j;
	x.number = expr_read(p, KIND_INT, list, k->nrow + 1, at);
	x.to = k->block == 1 ? x.number : expr2(p, OP_ADD, expr2(p, OP_MUL, x.number, by), expr2(p, OP_MOD, j, by));
	/* A block is there where its coordinates are: as reads of them say it. */
	struct expr condition[] = {expr2(p, OP_LE, expr_number(p, 0), x.to),
	                           expr2(p, OP_LT, x.to, expr_number(p, (double)extent))};
	struct stream t = lists_exchanged(&x, s, extent % k->block ? 2 : 1, condition);
	for (uint32_t i = 0; i < s->after.n; i++)
		vec_push(l->arena, &t.after, lists_emit(l, s->after.v[i]));
	vec_push(l->arena, &l->to->stream, t);
	return true;
}

/* A list for every row of a tile would gather the operands for every one of them. */
static void tell_members(struct lists *l, const struct stream *s, const struct set *k, struct list_form *form)
{
	uint32_t row = lists_gathered(l, s, k);
	bool shared = row == NO_INDEX || lists_extent(l, row) <= 1;
	lists_tell(form, shared && k->share <= 0.5,
	           arena_printf(l->arena, "at most %lld of %lld blocks of %lld are there, by a list of them",
	                        (long long)k->most, (long long)k->blocks, (long long)k->block));
}

struct streams *streams_members(struct arena *arena, const struct streams *from, struct list_form *form)
{
	struct lists l = lists_start(arena, from);
	bool any = false;
	*form = (struct list_form){0};
	for (uint32_t i = 0; i < from->stream.n; i++) {
		struct set k;
		const struct stream *s = &from->stream.v[i];
		if (!lists_find(&l, s, &k) || !walk_members(&l, s, &k)) {
			lists_keep(&l, s);
			continue;
		}
		tell_members(&l, s, &k, form);
		any = true;
	}
	return any ? lists_finish(&l) : NULL;
}
