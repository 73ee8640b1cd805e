/* The modes of theory §2, tried in that order for one reduction against the carries of a group. */
#include "codegen/derive.h"

#include <math.h>

static struct expr_pool *pool(const struct plan *p)
{
	return &p->d->c->pool;
}
static const struct equation *equation(const struct plan *p)
{
	return &p->d->c->equation.v[p->equation];
}
static struct group *group(const struct plan *p)
{
	return &p->d->group.v[p->group];
}
static const struct equation *carry_equation(const struct plan *p, uint32_t i)
{
	return &p->d->c->equation.v[group(p)->carry.v[i].equation];
}

struct separator plan_separator(const struct plan *p, const uint32_t *carry, uint32_t n)
{
	return (struct separator){.algebra = &p->d->algebra,
	                          .index = group(p)->index,
	                          .carry = carry,
	                          .carries = n,
	                          .approx = false};
}

/* The carries e reads, the newest first. */
static uint32_t dependencies(const struct plan *p, struct expr e, uint32_t carry[DEPENDENCIES])
{
	uint32_t n = 0;
	for (uint32_t i = group(p)->carry.n; i-- > 0 && n < DEPENDENCIES;)
		if (expr_mentions(pool(p), e, OP_READ, carry_equation(p, i)->tensor))
			carry[n++] = carry_equation(p, i)->tensor;
	return n;
}

static uint32_t needed(const struct plan *p, struct expr e, uint32_t carry[2 * DEPENDENCIES])
{
	uint32_t n = dependencies(p, e, carry);
	return n + plan_later(p, e, carry + n);
}

void plan_note(struct plan *p, enum mode mode, uint32_t carry, int accumulators, const char *reason)
{
	if (p->nrewrite == PLAN_REWRITES)
		return;
	uint32_t on = carry == UINT32_MAX ? carry : p->d->fact.v[p->d->c->tensor.v[carry].equation].origin;
	p->rewrite[p->nrewrite++] = (struct rewrite){.mode = mode,
	                                             .tensor = p->d->fact.v[p->equation].origin,
	                                             .on = on,
	                                             .accumulators = accumulators,
	                                             .reason = reason,
	                                             .span = equation(p)->span};
}

/* A new accumulator over the reduction's own range, with what its body mentions of the left side. One that
 * must run along with others has all of the group's rows; else one that lacks a row gets a group of its own.
 */
struct accumulator plan_new(const struct plan *p, struct expr body, const char *suffix, bool running)
{
	const struct equation *q = equation(p);
	struct accumulator a = {.body = body,
	                        .presence = p->d->fact.v[p->equation].presence,
	                        .reduce = q->reduce,
	                        .suffix = suffix};
	for (int i = 0; i < q->nindex; i++)
		if ((running && index_in(group(p)->row, group(p)->nrow, q->index[i])) ||
		    expr_mentions(pool(p), body, OP_INDEX, q->index[i]) ||
		    expr_mentions(pool(p), a.presence, OP_INDEX, q->index[i]))
			a.index[a.nindex++] = q->index[i];
	a.own = !index_subset(group(p)->row, group(p)->nrow, a.index, a.nindex);
	return a;
}

/* The plan's or the group's accumulator that already is this one, or a new one. */
struct expr plan_accumulate(struct plan *p, struct accumulator a)
{
	struct algebra *algebra = &p->d->algebra;
	struct expr key = algebra_canonical(algebra, a.body);
	for (uint32_t i = 0; i < group(p)->carry.n; i++) {
		const struct equation *q = carry_equation(p, i);
		const struct fact *f = &p->d->fact.v[group(p)->carry.v[i].equation];
		if (q->reduce == a.reduce && expr_same(f->presence, a.presence) && q->nindex == a.nindex &&
		    index_subset(q->index, q->nindex, a.index, a.nindex) &&
		    expr_same(algebra_canonical(algebra, q->body), key))
			return cascade_read(p->d->c, q->tensor, q->index, q->nindex);
	}
	for (int k = 0; k < p->n; k++) {
		const struct accumulator *o = &p->accumulator[k];
		if (o->reduce == a.reduce && expr_same(o->presence, a.presence) && o->nindex == a.nindex &&
		    index_subset(o->index, o->nindex, a.index, a.nindex) &&
		    expr_same(algebra_canonical(algebra, o->body), key))
			return expr_leaf(pool(p), OP_VALUE, KIND_REAL, (uint32_t)k);
	}
	if (p->n == PLAN_ACCUMULATORS)
		return NO_EXPR;
	p->accumulator[p->n++] = a;
	return expr_leaf(pool(p), OP_VALUE, KIND_REAL, (uint32_t)p->n - 1);
}

static struct expr make_old(struct expr_pool *q, struct expr e, void *context)
{
	const struct plan *p = context;
	const struct expr_node *n = expr_at(q, e);
	if (n->op == OP_VALUE)
		return expr1(q, OP_OLD, e);
	if (n->op == OP_READ)
		for (uint32_t i = 0; i < group(p)->carry.n; i++)
			if (carry_equation(p, i)->tensor == n->symbol)
				return expr1(q, OP_OLD, e);
	return e;
}

struct expr plan_old(struct plan *p, struct expr e)
{
	return expr_rewrite(pool(p), e, make_old, p);
}

/* Evaluation at the empty state. */

struct empty {
	const struct plan *p;
	bool new_too; /* new values are those of the empty state too */
	bool all;     /* … and so are those of other streams */
	double extent;
	bool negative; /* what else there is is less than 0 */
	bool others;   /* carries over another range have accumulated something */
	uint32_t mix;  /* not 0: some of those have, as its bits say */
};

static bool identity_of(const struct plan *p, struct expr e, double *value)
{
	const struct expr_node *n = expr_at(pool(p), e);
	if (n->op == OP_VALUE) {
		*value = reduction_info[p->accumulator[n->symbol].reduce].identity;
		return true;
	}
	if (n->op == OP_READ)
		for (uint32_t i = 0; i < group(p)->carry.n; i++)
			if (carry_equation(p, i)->tensor == n->symbol) {
				*value = reduction_info[carry_equation(p, i)->reduce].identity;
				return true;
			}
	return false;
}

static bool empty_leaf(const struct expr_pool *q, struct expr e, void *context, double *value)
{
	const struct empty *s = context;
	const struct expr_node *n = expr_at(q, e);
	if (n->op == OP_OLD)
		return identity_of(s->p, expr_operand(q, e, 0), value);
	if (n->op == OP_EXTENT) {
		*value = s->extent;
		return true;
	}
	if (n->op != OP_READ && n->op != OP_VALUE && n->op != OP_INDEX)
		return false;
	*value = s->negative && n->op == OP_READ ? -0.7 : 0.7;
	uint32_t def = n->op == OP_READ ? derive_definition(s->p->d->c, e) : NO_EQUATION;
	const struct fact *fact = s->p->d->fact.v;
	if (def != NO_EQUATION && !expr_same(fact[def].presence, fact[s->p->equation].presence) &&
	    (s->mix ? s->mix >> (n->symbol % 5) & 1 : s->others))
		return true;
	if (!s->new_too || identity_of(s->p, e, value) || n->op != OP_READ || !s->all)
		return true;
	if (def != NO_EQUATION && s->p->d->c->equation.v[def].reduce)
		*value = reduction_info[s->p->d->c->equation.v[def].reduce].identity;
	return true;
}

bool plan_guard(struct plan *p, struct expr *factor)
{
	struct expr_pool *q = pool(p);
	struct expr f = *factor, zero = expr_number(q, 0);
	if (expr_is_number(q, f, NULL))
		return true;
	for (uint32_t i = 0; i < group(p)->carry.n; i++) {
		const struct equation *c = carry_equation(p, i);
		struct expr read = cascade_read(p->d->c, c->tensor, c->index, c->nindex);
		struct expr old = expr1(q, OP_OLD, read);
		if (!expr_mentions(q, *factor, OP_READ, c->tensor))
			continue;
		double identity = reduction_info[c->reduce].identity;
		bool known = c->reduce == REDUCE_MAX || c->reduce == REDUCE_MIN ||
		             (c->reduce == REDUCE_SUM && algebra_positive(p->d->c, c->body, true));
		struct empty state = {p, false, false, 2, false, false, 0},
		             both = {p, true, false, 2, false, false, 0};
		if (c->reduce == REDUCE_SUM && isfinite(algebra_evaluate(q, f, empty_leaf, &state)) &&
		    isfinite(algebra_evaluate(q, f, empty_leaf, &both)))
			continue;
		if (known)
			f = expr3(q, OP_SELECT, expr2(q, OP_EQ, old, expr_number(q, identity)), zero, f);
	}
	struct empty state = {p, false, false, 2, false, false, 0}, both = {p, true, false, 2, false, false, 0};
	if (!isfinite(algebra_evaluate(q, f, empty_leaf, &state)) ||
	    !isfinite(algebra_evaluate(q, f, empty_leaf, &both)))
		return false;
	*factor = f;
	return true;
}

/* Is the exponent e never positive: k(x - max(x, …)) for a carried maximum of x and a constant k > 0? */
static bool nonpositive(const struct plan *p, struct expr e)
{
	struct algebra *a = &p->d->algebra;
	struct expr_pool *q = pool(p);
	struct expr *node, target = algebra_canonical(a, e);
	uint32_t n = expr_nodes(q, e, &node);
	for (uint32_t i = 0; i < group(p)->carry.n; i++) {
		const struct equation *c = carry_equation(p, i);
		if (c->reduce != REDUCE_MAX || !expr_mentions(q, e, OP_READ, c->tensor))
			continue;
		for (uint32_t j = 0; j < n; j++) {
			const struct expr_node *o = expr_at(q, node[j]);
			if (!(o->op == OP_READ && o->symbol == c->tensor) &&
			    !(o->op == OP_MAX && expr_mentions(q, node[j], OP_READ, c->tensor)))
				continue;
			struct expr u = expr2(q, OP_SUB, c->body, node[j]);
			if (expr_same(algebra_canonical(a, u), target))
				return true;
			for (uint32_t k = 0; k < n; k++) {
				double v;
				if (expr_is_number(q, node[k], &v) && v > 0 &&
				    expr_same(algebra_canonical(a, expr2(q, OP_MUL, u, node[k])), target))
					return true;
			}
		}
	}
	return false;
}

/* No exponential of g that varies along the stream can overflow. */
static bool bounded(const struct plan *p, struct expr g)
{
	struct expr *node;
	uint32_t n = expr_nodes(pool(p), g, &node);
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *o = expr_at(pool(p), node[i]);
		if ((o->op == OP_EXP || o->op == OP_EXP2) &&
		    expr_mentions(pool(p), node[i], OP_INDEX, group(p)->index) &&
		    !nonpositive(p, expr_operand(pool(p), node[i], 0)))
			return false;
	}
	return true;
}

bool plan_bounded(const struct plan *p, const struct separation *s)
{
	for (int i = 0; s->split && i < s->n; i++)
		if (!bounded(p, s->term[i].g))
			return false;
	return true;
}

static struct expr apply(struct plan *p, struct expr h, struct expr value)
{
	struct expr_pool *q = pool(p);
	struct expr *node, shorter = algebra_canonical(&p->d->algebra, h);
	double v;
	if (expr_nodes(q, shorter, &node) <= expr_nodes(q, h, &node))
		h = shorter;
	if (expr_is_number(q, h, &v) && v == 1)
		return value;
	if (expr_at(q, h)->op == OP_DIV && expr_is_number(q, expr_operand(q, h, 0), &v) && v == 1)
		return expr2(q, OP_DIV, value, expr_operand(q, h, 1));
	return expr2(q, OP_MUL, value, h);
}

/* Is h infinite, or no number, where a carry it reads has accumulated nothing though this reduction may have?
 */
static bool may_be_infinite(struct plan *p, struct expr h)
{
	struct empty above = {p, true, false, 2, false, false, 0}, below = {p, true, false, 2, true, false, 0};
	bool other = false;
	for (uint32_t i = 0; i < group(p)->carry.n; i++) {
		const struct fact *f = &p->d->fact.v[group(p)->carry.v[i].equation];
		other |= expr_mentions(pool(p), h, OP_READ, carry_equation(p, i)->tensor) &&
		         !expr_same(f->presence, p->d->fact.v[p->equation].presence);
	}
	return other && (!isfinite(algebra_evaluate(pool(p), h, empty_leaf, &above)) ||
	                 !isfinite(algebra_evaluate(pool(p), h, empty_leaf, &below)));
}

/* Σ H_k · Σ_m G_k */
static struct expr join(struct plan *p, const struct separation *s)
{
	struct expr result = NO_EXPR;
	for (int i = 0; i < s->n; i++) {
		struct expr part = plan_sum(p, s->term[i].g);
		if (!part.id)
			return NO_EXPR;
		struct expr whole = apply(p, s->term[i].h, part);
		/* 0 of something infinite is 0 here: no term of the sum was multiplied by it. */
		if (may_be_infinite(p, s->term[i].h))
			whole = expr3(pool(p), OP_SELECT,
			              expr2(pool(p), OP_EQ, part, expr_number(pool(p), 0)),
			              expr_number(pool(p), 0), whole);
		part = whole;
		result = result.id ? expr2(pool(p), OP_ADD, result, part) : part;
	}
	return result.id ? result : expr_number(pool(p), 0);
}

const char *plan_defer_reason(struct plan *p, const struct separation *s)
{
	return arena_printf(p->d->arena,
	                    "the factor %s is the same for every term of the sum, so it is applied once, after "
	                    "the stream",
	                    derive_spell(p->d, s->n ? s->term[0].h : expr_number(pool(p), 0)));
}

const char *plan_expand_reason(struct plan *p, const struct separation *s)
{
	return arena_printf(p->d->arena,
	                    "the terms are a sum of %d products, so %d sums are kept and joined after the stream",
	                    s->n, s->n);
}

struct expr plan_attempt(struct plan *p, const struct separation *s, enum mode mode, uint32_t carry,
                         const char *reason)
{
	int n = p->n, notes = p->nrewrite;
	plan_note(p, mode, carry, s->n, reason);
	struct expr e = join(p, s);
	if (!e.id) {
		p->n = n;
		p->nrewrite = notes;
	}
	return e;
}

static struct expr defer(struct plan *p, const struct separation *s, uint32_t carry)
{
	return plan_attempt(p, s, MODE_DEFER, carry, plan_defer_reason(p, s));
}

static struct expr expand(struct plan *p, const struct separation *s, uint32_t carry)
{
	return plan_attempt(p, s, MODE_EXPAND, carry, plan_expand_reason(p, s));
}

static struct expr run(struct plan *p, struct expr g, struct expr h, uint32_t carry, enum mode mode)
{
	struct algebra *a = &p->d->algebra;
	struct expr factor = algebra_canonical(a, expr2(pool(p), OP_DIV, h, plan_old(p, h)));
	const char *spelled = derive_spell(p->d, factor);
	if (expr_at(pool(p), factor)->op == OP_DIV) {
		/* r / r' with both 0: nothing but zeroes was summed so far. */
		struct expr below = expr_operand(pool(p), factor, 1), zero = expr_number(pool(p), 0);
		if (!algebra_positive(p->d->c, below, true))
			factor = expr3(pool(p), OP_SELECT, expr2(pool(p), OP_EQ, below, zero), zero, factor);
	}
	if (!plan_guard(p, &factor))
		return NO_EXPR;
	struct accumulator acc = plan_new(p, g, "sum", true);
	acc.terms = 1;
	acc.term[0] = (struct plan_term){expr_leaf(pool(p), OP_VALUE, KIND_REAL, (uint32_t)p->n), factor};
	int n = p->n;
	struct expr e = plan_accumulate(p, acc);
	if (p->n > n) /* else the stream has it already */
		plan_note(p, mode, carry, 1,
		          arena_printf(p->d->arena,
		                       "when %s moves, what was summed so far is multiplied by %s",
		                       p->d->c->tensor.v[carry].name, spelled));
	return e;
}

void plan_remember(struct plan *p, uint32_t on, const struct separation *s)
{
	if (p->why || !s->why)
		return;
	p->on = on;
	p->why = s->offender.id ? arena_printf(p->d->arena, "%s %s", derive_spell(p->d, s->offender), s->why)
	                        : arena_printf(p->d->arena, "the summed term %s", s->why);
}

/* Takes the factors that are the same for every term out of a product: what is left, and `outer` multiplied by
 * them. Those that read running values are the affair of the modes. */
static struct expr varying(struct plan *p, struct expr g, struct expr *outer)
{
	struct expr_pool *q = pool(p);
	const struct expr_node n = *expr_at(q, g);
	uint32_t carry[2 * DEPENDENCIES];
	if (n.op == OP_NEG) {
		*outer = expr1(q, OP_NEG, *outer);
		return varying(p, expr_operand(q, g, 0), outer);
	}
	if (n.op == OP_MUL) {
		struct expr a = varying(p, expr_operand(q, g, 0), outer);
		return expr2(q, OP_MUL, a, varying(p, expr_operand(q, g, 1), outer));
	}
	if (expr_mentions(q, g, OP_INDEX, group(p)->index) || expr_is_number(q, g, NULL) || needed(p, g, carry))
		return g;
	*outer = expr2(q, OP_MUL, *outer, g);
	return expr_number(q, 1);
}

struct expr plan_sum(struct plan *p, struct expr g)
{
	uint32_t carry[DEPENDENCIES], n = dependencies(p, g, carry);
	struct separation s[DEPENDENCIES], joint;
	bool good[DEPENDENCIES] = {false}, good_joint;
	struct expr e;
	double v;
	if (expr_is_number(pool(p), algebra_canonical(&p->d->algebra, g), &v) && v == 0)
		return expr_number(pool(p), 0);
	struct expr outer = expr_number(pool(p), 1), inner = varying(p, g, &outer);
	if (expr_mentions(pool(p), outer, OP_READ, ANY_SYMBOL) && expr_mentions(pool(p), inner, OP_INDEX, group(p)->index))
		return (e = plan_sum(p, inner)).id ? expr2(pool(p), OP_MUL, e, outer) : NO_EXPR;
	uint32_t m = group(p)->index, later[DEPENDENCIES], nlater = plan_later(p, g, later);
	if (nlater)
		return plan_sources(p, g, later, nlater);
	if (!n && !expr_mentions(pool(p), g, OP_INDEX, m) && !p->d->fact.v[p->equation].presence.id)
		return expr2(pool(p), OP_MUL, g, p->d->c->index.v[m].extent);
	if (!n)
		return plan_accumulate(p, plan_new(p, g, "sum", false));
	for (uint32_t i = 0; i < n; i++) {
		struct separator by = plan_separator(p, &carry[i], 1);
		good[i] = separate(&by, g, &s[i]);
		if (!good[i])
			plan_remember(p, carry[i], &s[i]);
		if (good[i] && s[i].n <= 1 && plan_bounded(p, &s[i]) &&
		    (e = defer(p, &s[i], carry[i])).id)
			return e;
	}
	struct separator by_all = plan_separator(p, carry, n);
	good_joint = separate(&by_all, g, &joint);
	if (!good_joint)
		plan_remember(p, carry[0], &joint);
	if (good_joint && joint.n == 1) {
		if (plan_bounded(p, &joint) && (e = defer(p, &joint, carry[0])).id)
			return e;
		if ((e = run(p, g, joint.term[0].h, carry[n - 1], MODE_RUN)).id)
			return e;
	}
	if (plan_equiv(p, g, carry, n, &e))
		return e;
	for (uint32_t i = 0; i < n; i++)
		if (good[i] && s[i].n > 1 && plan_bounded(p, &s[i]) &&
		    (e = expand(p, &s[i], carry[i])).id)
			return e;
	if (good_joint && joint.n > 1 && plan_bounded(p, &joint) &&
	    (e = expand(p, &joint, carry[0])).id)
		return e;
	if (p->d->options->approx) {
		by_all.approx = true;
		if (separate(&by_all, g, &joint) && joint.n == 1)
			return run(p, g, joint.term[0].h, carry[0], MODE_APPROX);
	}
	if (!p->why) {
		p->on = carry[0];
		p->why = arena_printf(p->d->arena, "%s would need a sum that can overflow",
		                      derive_spell(p->d, g));
	}
	return NO_EXPR;
}

/* max and min: the operand down to which everything is monotone. */

static bool letter(const struct plan *p, struct expr e, int operand, int *sign)
{
	const struct expr_node *n = expr_at(pool(p), e);
	const struct cascade *c = p->d->c;
	char m = op_info[n->op].monotone ? op_info[n->op].monotone[operand] : '?';
	if ((n->op == OP_MUL && algebra_positive(c, expr_operand(pool(p), e, !operand), false)) ||
	    (n->op == OP_DIV && operand == 0 && algebra_positive(c, expr_operand(pool(p), e, 1), true)))
		m = '+';
	*sign *= m == '-' ? -1 : 1;
	return m != '?';
}

static struct expr replace(struct expr_pool *q, struct expr e, void *context)
{
	const struct expr *pair = context;
	(void)q;
	return expr_same(e, pair[0]) ? pair[1] : e;
}

static bool plan_commute(struct plan *p, struct expr f)
{
	uint32_t carry[2 * DEPENDENCIES], n = dependencies(p, f, carry);
	n += plan_later(p, f, carry + n);
	struct separator by = plan_separator(p, carry, n);
	struct expr g = f;
	int sign = 1;
	while (separate_depends(&by, g)) {
		const struct expr_node o = *expr_at(pool(p), g);
		int along = -1;
		for (int k = 0; k < o.count && o.op != OP_READ; k++)
			if (separate_streams(&by, expr_operand(pool(p), g, k)))
				along = along < 0 ? k : -2;
		if (along < 0 || !letter(p, g, along, &sign)) {
			p->on = carry[0];
			p->why = arena_printf(p->d->arena,
			                      "%s is not known to be monotone in what varies along %s",
			                      derive_spell(p->d, g), p->d->c->index.v[group(p)->index].name);
			return false;
		}
		g = expr_operand(pool(p), g, along);
	}
	if (!separate_streams(&by, g))
		return false;
	struct accumulator a = plan_new(p, g, "extreme", false);
	if (sign < 0)
		a.reduce = a.reduce == REDUCE_MAX ? REDUCE_MIN : REDUCE_MAX;
	struct expr pair[2] = {g, plan_accumulate(p, a)};
	p->result = expr_rewrite(pool(p), f, replace, pair);
	plan_note(p, MODE_COMMUTE, carry[0], 1,
	          arena_printf(p->d->arena,
	                       "the term is monotone in %s, so the %s is taken of that and the rest applied "
	                       "after the stream",
	                       derive_spell(p->d, g), reduction_info[equation(p)->reduce].spelling));
	return true;
}

/* Over an empty range the result must be the reduction's identity, though what was pulled out of it may be
 * 1/0. */
static bool guard_empty(struct plan *p)
{
	struct expr_pool *q = pool(p);
	const struct equation *s = equation(p);
	double identity = reduction_info[s->reduce].identity;
	struct expr presence = p->d->fact.v[p->equation].presence, some = NO_EXPR;
	if (expr_at(q, p->result)->op == OP_VALUE || expr_at(q, p->result)->op == OP_READ)
		return true;
	bool finite = true;
	for (int k = 0; k < 16; k++) {
		struct empty state = {p, true, k & 1, k & 2 ? 2 : 0, k & 4, k & 8, 0};
		finite &= algebra_evaluate(q, p->result, empty_leaf, &state) == identity;
	}
	for (uint32_t mix = 1; mix < 32; mix++) {
		struct empty state = {p, true, true, 2, mix & 1, true, mix};
		finite &= algebra_evaluate(q, p->result, empty_leaf, &state) == identity;
	}
	if (finite)
		return true;
	for (uint32_t i = 0; i < group(p)->carry.n && !some.id; i++) {
		const struct equation *c = carry_equation(p, i);
		const struct fact *f = &p->d->fact.v[group(p)->carry.v[i].equation];
		if (c->reduce == REDUCE_SUM && expr_same(f->presence, presence) &&
		    expr_mentions(q, p->result, OP_READ, c->tensor) &&
		    algebra_positive(p->d->c, c->body, true))
			some = cascade_read(p->d->c, c->tensor, c->index, c->nindex);
	}
	if (!some.id && !presence.id)
		some = p->d->c->index.v[group(p)->index].extent;
	if (!some.id) {
		struct accumulator a = plan_new(p, expr_number(q, 1), "count", false);
		a.reduce = REDUCE_SUM;
		some = plan_accumulate(p, a);
	}
	if (!some.id)
		return false;
	p->result = expr3(q, OP_SELECT, expr2(q, OP_NE, some, expr_number(q, 0)), p->result,
	                  expr_number(q, identity));
	return true;
}

bool derive_plan(struct plan *p)
{
	const struct equation *q = equation(p);
	uint32_t carry[2 * DEPENDENCIES];
	struct expr presence = p->d->fact.v[p->equation].presence;
	if (!needed(p, q->body, carry) && !needed(p, presence, carry)) {
		struct accumulator a = plan_new(p, q->body, "sum", true);
		a.own = false;
		a.nindex = q->nindex;
		for (int i = 0; i < q->nindex; i++)
			a.index[i] = q->index[i];
		p->result = plan_accumulate(p, a);
		plan_note(p, MODE_FREE, UINT32_MAX, 1,
		          p->n ? "it depends on no other reduction of the stream"
		               : "the stream already accumulates just this");
		return true;
	}
	if (needed(p, presence, carry)) {
		p->on = carry[0];
		p->why = arena_printf(p->d->arena, "%s decides what is summed", derive_spell(p->d, presence));
		return false;
	}
	needed(p, q->body, carry);
	switch (q->reduce) {
	case REDUCE_SUM: p->result = plan_sum(p, q->body); return p->result.id && guard_empty(p);
	case REDUCE_MAX:
	case REDUCE_MIN: return plan_commute(p, q->body) && guard_empty(p);
	default:
		p->on = carry[0];
		p->why = arena_printf(p->d->arena, "%s of a term that depends on it has no running form",
		                      reduction_info[q->reduce].spelling);
		return false;
	}
}
