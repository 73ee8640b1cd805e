/* Passes over a rank, as theory §1 counts them (FuseMax, Nayak et al. 2024, made an algorithm).
 *
 * Every tensor has a state along one index variable of the rank: nothing yet, or (n, stale): n passes over
 * the fiber were needed to make it, and stale says that it also needs something that is known only when pass
 * n is over. Reading the fiber again while stale begins pass n + 1. Equations may read themselves or later
 * ones at earlier coordinates (recurrences), so states are raised to a fixpoint; if there is none, the pass
 * count is PASSES_ENDLESS.
 */
#include "codegen/derive.h"

struct state {
	int n;
	bool stale, some;
};

struct counting {
	struct arena *arena;
	const struct cascade *c;
	uint32_t index;
	const uint32_t *dense; /* ranks */
	int ndense;
	const struct stream *stream; /* whose carries stream along with their readers; NULL: none do */
};

static bool less(struct state a, struct state b)
{
	if (a.some != b.some)
		return b.some;
	return a.n != b.n ? a.n < b.n : !a.stale && b.stale;
}

static void raise(struct state *s, struct state to)
{
	to.some = true;
	if (less(*s, to))
		*s = to;
}

enum reach { REACH_NONE, REACH_ALONG, REACH_AHEAD };

/* How a coordinate moves with the index: in step or behind it, or in some other way. */
static enum reach reach_of(const struct counting *k, struct expr e)
{
	const struct expr_pool *p = &k->c->pool;
	double shift;
	if (!expr_mentions(p, e, OP_INDEX, k->index))
		return REACH_NONE;
	if (expr_at(p, e)->op == OP_INDEX)
		return REACH_ALONG;
	if (expr_at(p, e)->op == OP_SUB && expr_at(p, expr_operand(p, e, 0))->op == OP_INDEX &&
	    expr_is_number(p, expr_operand(p, e, 1), &shift) && shift >= 0)
		return REACH_ALONG;
	return REACH_AHEAD;
}

static enum reach reach(const struct counting *k, struct expr read)
{
	enum reach most = REACH_NONE;
	for (int i = 0; i < expr_at(&k->c->pool, read)->count; i++) {
		enum reach r = reach_of(k, expr_operand(&k->c->pool, read, i));
		most = r > most ? r : most;
	}
	return most;
}

static bool mentions_rank(const struct counting *k, struct expr read, uint32_t rank)
{
	for (uint32_t i = 0; i < k->c->index.n; i++)
		if (k->c->index.v[i].rank == rank && expr_mentions(&k->c->pool, read, OP_INDEX, i))
			return true;
	return false;
}

/* Is what is read a fiber: does it carry the index and all the co-ranks? */
static bool is_fiber(const struct counting *k, struct expr read)
{
	for (int i = 0; i < k->ndense; i++)
		if (!mentions_rank(k, read, k->dense[i]))
			return false;
	return reach(k, read) != REACH_NONE;
}

static bool streams_with(const struct counting *k, uint32_t tensor)
{
	for (uint32_t i = 0; k->stream && i < k->stream->carry.n; i++)
		if (k->c->equation.v[k->stream->carry.v[i].equation].tensor == tensor)
			return true;
	return false;
}

static bool iterates(const struct counting *k, const struct equation *q)
{
	return index_in(q->index, q->nindex, k->index) || index_in(q->reduced, q->nreduced, k->index) ||
	       (q->select && q->along == k->index);
}

/* The state of an equation's result from those of what it reads. */
static struct state step(const struct counting *k, const struct equation *q, const struct state *state)
{
	struct state s = {0};
	bool over = iterates(k, q), fiber = false;
	for (int side = 0; side < 2; side++) {
		struct expr *read;
		uint32_t n = derive_reads(&k->c->pool, side ? q->where : q->body, &read);
		for (uint32_t i = 0; i < n; i++) {
			uint32_t t = expr_at(&k->c->pool, read[i])->symbol;
			struct state x = state[t];
			fiber |= is_fiber(k, read[i]);
			if (!x.some)
				continue;
			if (over && reach(k, read[i]) != REACH_ALONG && !streams_with(k, t))
				x.stale = true;
			raise(&s, x);
		}
	}
	if (!over)
		return s;
	if (!s.some)
		s = (struct state){0, true, true};
	if (fiber && s.stale)
		s = (struct state){s.n + 1, false, true};
	/* No element of a selection is known before the fiber's last. */
	s.stale |= q->select && q->along == k->index;
	return s;
}

/* States of all tensors along one index; false when there is no fixpoint. */
static bool fixpoint(const struct counting *k, struct state *state)
{
	uint32_t limit = k->c->equation.n + 4;
	for (uint32_t round = 0; round < limit; round++) {
		bool changed = false;
		for (uint32_t i = 0; i < k->c->equation.n; i++) {
			const struct equation *q = &k->c->equation.v[i];
			struct state s = step(k, q, state);
			if (s.some && less(state[q->tensor], s)) {
				state[q->tensor] = s;
				changed = true;
			}
		}
		if (!changed)
			return true;
	}
	return false;
}

static struct state *new_states(struct arena *a, const struct cascade *c)
{
	return arena_new_array(a, c->tensor.n, struct state);
}

int passes_over(struct arena *a, struct cascade *from, uint32_t rank, const uint32_t *dense, int ndense)
{
	struct cascade *c = cascade_clone(a, from);
	derive_align(a, c);
	int most = 0;
	for (uint32_t i = 0; i < c->index.n; i++) {
		struct counting k = {a, c, i, dense, ndense, NULL};
		struct state *state = new_states(a, c);
		if (c->index.v[i].rank != rank)
			continue;
		if (!fixpoint(&k, state))
			return PASSES_ENDLESS;
		for (uint32_t t = 0; t < c->tensor.n; t++)
			if (state[t].some && state[t].n > most)
				most = state[t].n;
	}
	return most;
}

struct pass_table pass_table(struct arena *a, struct cascade *from)
{
	struct cascade *c = cascade_clone(a, from);
	struct pass_table table = {0};
	derive_align(a, c);
	for (uint32_t rank = 0; rank < c->rank.n; rank++) {
		int *passes = arena_new_array(a, c->tensor.n, int);
		bool *counts = arena_new_array(a, c->tensor.n, bool);
		for (uint32_t i = 0; i < c->index.n; i++) {
			struct counting k = {.arena = a, .c = c, .index = i};
			if (c->index.v[i].rank != rank)
				continue;
			struct state *state = new_states(a, c);
			bool ends = fixpoint(&k, state);
			for (uint32_t q = 0; q < c->equation.n; q++) {
				uint32_t t = c->equation.v[q].tensor;
				if (!iterates(&k, &c->equation.v[q]) || !state[t].some)
					continue;
				counts[t] = true;
				if (!ends)
					passes[t] = PASSES_ENDLESS;
				else if (passes[t] != PASSES_ENDLESS && state[t].n > passes[t])
					passes[t] = state[t].n;
			}
		}
		for (uint32_t t = 0; t < c->tensor.n; t++)
			if (counts[t])
				vec_push(a, &table.count, (struct pass_count){t, rank, passes[t]});
	}
	return table;
}

/* Streams stand in order and hold no recurrences: one round. Locals are computed anew in each stream. */
static int fused_along(struct counting *k, const struct streams *s)
{
	struct state *state = new_states(k->arena, k->c);
	int most = 0;
	for (uint32_t i = 0; i < s->stream.n; i++) {
		const struct stream *at = &s->stream.v[i];
		bool *inside = arena_new_array(k->arena, k->c->equation.n, bool);
		k->stream = at;
		for (uint32_t n = 0; n < at->local.n; n++)
			inside[at->local.v[n]] = true;
		for (uint32_t n = 0; n < at->carry.n; n++)
			inside[at->carry.v[n].equation] = true;
		for (uint32_t q = 0; q < k->c->equation.n; q++)
			if (inside[q])
				state[k->c->equation.v[q].tensor] = step(k, &k->c->equation.v[q], state);
		k->stream = NULL;
		for (uint32_t n = 0; n < at->after.n; n++) {
			const struct equation *q = &k->c->equation.v[at->after.v[n]];
			state[q->tensor] = step(k, q, state);
		}
		for (uint32_t t = 0; t < k->c->tensor.n; t++)
			if (state[t].some && state[t].n > most)
				most = state[t].n;
	}
	return most;
}

int passes_fused(const struct streams *s, uint32_t rank)
{
	int most = 0;
	for (uint32_t i = 0; i < s->cascade->index.n; i++) {
		struct counting k = {.arena = s->cascade->arena, .c = s->cascade, .index = i};
		if (s->cascade->index.v[i].rank != rank)
			continue;
		int n = fused_along(&k, s);
		most = n > most ? n : most;
	}
	return most;
}
