/* Several sources under one reduction: theory §2 where r is known only when other streams are done.
 *
 * Let r = f(r1, t), where r1 is what this stream accumulates and t comes of streams that wait for it: the maximum
 * over the stream's own keys, and that over all keys. C(r1, r) exists for any two values of r, so the stream can
 * sum F(x, r1) against its own part, and F(x, r) = C(r1, r) F(x, r1) brings the sum to r when t is there. With
 * δ = r - r1, F(x, r1 + δ) is separated into Σ G_k(x, r1) H_k(δ): the sums of G_k are carried, by whatever mode
 * they need against r1, and joined by H_k after the stream. Where r1 is its identity, nothing was summed and H_k
 * is 0.
 */
#include "codegen/derive.h"

static struct expr_pool *pool(const struct plan *p)
{
	return &p->d->c->pool;
}

uint32_t plan_later(const struct plan *p, struct expr e, uint32_t list[DEPENDENCIES])
{
	struct expr *read;
	uint32_t n = 0, reads = p->later ? derive_reads(pool(p), e, &read) : 0;
	for (uint32_t i = reads; i-- > 0 && n < DEPENDENCIES;) {
		uint32_t tensor = expr_at(pool(p), read[i])->symbol;
		if ((derive_direct(p->d, read[i]) & p->later) && !index_in(list, (int)n, tensor))
			list[n++] = tensor;
	}
	return n;
}

/* The largest parts of e that do not vary along the stream and read what is known later. */
enum { PARTS = 4 };
static int later_parts(const struct separator *by, const struct expr_pool *q, struct expr e, struct expr part[PARTS],
                       int n)
{
	if (!separate_depends(by, e) || n == PARTS)
		return n;
	if (!separate_streams(by, e)) {
		for (int i = 0; i < n; i++)
			if (expr_same(part[i], e))
				return n;
		part[n] = e;
		return n + 1;
	}
	for (int i = 0; i < expr_at(q, e)->count; i++)
		n = later_parts(by, q, expr_operand(q, e, i), part, n);
	return n;
}

struct pair {
	struct expr from, to;
};

static struct expr replace(struct expr_pool *q, struct expr e, void *context)
{
	const struct pair *p = context;
	(void)q;
	return expr_same(e, p->from) ? p->to : e;
}

/* Sums g with `whole` replaced by the carry `own`, and brings the result to it. */
static struct expr anchored(struct plan *p, struct expr g, struct expr whole, uint32_t own, uint32_t on)
{
	struct expr_pool *q = pool(p);
	const struct equation c = p->d->c->equation.v[own];
	struct expr part = cascade_read(p->d->c, c.tensor, c.index, c.nindex), zero = expr_number(q, 0);
	struct expr identity = expr_number(q, reduction_info[c.reduce].identity);
	struct expr delta = expr_leaf(q, OP_VALUE, KIND_REAL, PLAN_ACCUMULATORS);
	struct separator by = plan_separator(p, NULL, 0);
	struct separation s;
	by.symbol = delta;
	struct expr moved = expr_rewrite(q, g, replace, &(struct pair){whole, expr2(q, OP_ADD, part, delta)});
	if (!separate(&by, moved, &s) || !plan_bounded(p, &s)) {
		if (s.why)
			plan_remember(p, on, &s);
		return NO_EXPR;
	}
	struct expr shift = expr2(q, OP_SUB, whole, part), first = NO_EXPR;
	for (int i = 0; i < s.n; i++) {
		struct expr h = expr_rewrite(q, s.term[i].h, replace, &(struct pair){delta, shift});
		h = algebra_canonical(&p->d->algebra, h);
		first = first.id ? first : h;
		if (!expr_is_number(q, h, NULL))
			h = expr3(q, OP_SELECT, expr2(q, OP_EQ, part, identity), zero, h);
		s.term[i].h = h;
	}
	const char *name = p->d->c->tensor.v[c.tensor].name;
	const char *reason =
	        s.n > 1 ? arena_printf(p->d->arena,
	                               "%s is this stream's own part of %s: %d sums are kept against it and joined "
	                               "by their difference after the stream",
	                               name, derive_spell_name(p->d, whole), s.n)
	                : arena_printf(p->d->arena,
	                               "%s is this stream's own part of %s: the terms are summed against it, and the "
	                               "sum is brought to the whole by %s after the stream",
	                               name, derive_spell_name(p->d, whole), derive_spell(p->d, first));
	return plan_attempt(p, &s, MODE_ANCHOR, on, reason);
}

/* Where this carry has accumulated nothing, neither has the reduction. */
static bool covers(const struct plan *p, uint32_t carry)
{
	struct expr range = p->d->fact.v[p->equation].presence, of = p->d->fact.v[carry].presence;
	return !of.id || (range.id && condition_implies(pool(p), range, of));
}

/* Each carried maximum or minimum of the stream is tried for its own part of what is known later. */
static struct expr anchor(struct plan *p, struct expr g, const uint32_t *later, uint32_t n)
{
	struct separator by = plan_separator(p, later, n);
	struct expr part[PARTS], e;
	int parts = later_parts(&by, pool(p), g, part, 0);
	const struct group at = p->d->group.v[p->group];
	for (int i = 0; i < parts; i++) {
		uint32_t on = later[0];
		for (uint32_t k = 0; k < n; k++)
			if (expr_mentions(pool(p), part[i], OP_READ, later[k]))
				on = later[k];
		for (uint32_t k = at.carry.n; k-- > 0;) {
			const struct equation *c = &p->d->c->equation.v[at.carry.v[k].equation];
			if ((c->reduce == REDUCE_MAX || c->reduce == REDUCE_MIN) &&
			    index_subset(c->index, c->nindex, at.row, at.nrow) &&
			    covers(p, at.carry.v[k].equation) &&
			    (e = anchored(p, g, part[i], at.carry.v[k].equation, on)).id)
				return e;
		}
	}
	return NO_EXPR;
}

/* What separates from everything known later is applied after the stream, as it would be if it came of this
 * one. */
struct expr plan_sources(struct plan *p, struct expr g, const uint32_t *later, uint32_t n)
{
	struct separation each[DEPENDENCIES], all;
	bool good[DEPENDENCIES];
	struct expr e;
	for (uint32_t i = 0; i < n; i++) {
		struct separator by = plan_separator(p, &later[i], 1);
		good[i] = separate(&by, g, &each[i]) && plan_bounded(p, &each[i]);
		if (good[i] && each[i].n <= 1 &&
		    (e = plan_attempt(p, &each[i], MODE_DEFER, later[i], plan_defer_reason(p, &each[i]))).id)
			return e;
	}
	struct separator by = plan_separator(p, later, n);
	bool good_all = separate(&by, g, &all);
	if (!good_all)
		plan_remember(p, later[0], &all);
	good_all = good_all && plan_bounded(p, &all);
	if (good_all && all.n <= 1 &&
	    (e = plan_attempt(p, &all, MODE_DEFER, later[0], plan_defer_reason(p, &all))).id)
		return e;
	for (uint32_t i = 0; i < n; i++)
		if (good[i] &&
		    (e = plan_attempt(p, &each[i], MODE_EXPAND, later[i], plan_expand_reason(p, &each[i]))).id)
			return e;
	if (good_all && (e = plan_attempt(p, &all, MODE_EXPAND, later[0], plan_expand_reason(p, &all))).id)
		return e;
	if ((e = anchor(p, g, later, n)).id)
		return e;
	if (!p->why) {
		p->on = later[0];
		p->why = arena_printf(p->d->arena, "%s is known too late, and the stream has no bounded part of it",
		                      derive_spell(p->d, g));
	}
	return NO_EXPR;
}
