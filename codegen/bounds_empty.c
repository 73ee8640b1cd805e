/* bounds_empty.c: when a formula holds nowhere in a box; see formula.h.
 *
 * A formula is a disjunction of conjunctions of literals, as far as that stays small. A conjunction is false
 * where one of its literals is, or where the sum of positive multiples of some of its linear forms, taken so
 * that indices cancel, cannot be ≤ 0 (Farkas; of two forms over a box that is complete, but for what only
 * whole numbers exclude). The formula is false where each conjunction is.
 */
#include <math.h>
#include <string.h>

#include "codegen/formula.h"

#include "base/whole.h"

/* Past these a disjunction inside a conjunction is one literal, literals are dropped, sums not tried: claims
 * are lost. */
enum { MAX_TERMS = 12, MAX_LITERALS = 24, MAX_SUMS = 40, MAX_CLAIMS = 40 };
/* So many literals make a conjunction in which sums of three are tried. */
enum { MAX_DEEP = 6 };

struct term {
	int n;
	const struct formula *literal[MAX_LITERALS];
};

struct terms {
	int n;
	struct term v[MAX_TERMS];
};

static bool same_literal(const struct formula *x, const struct formula *y)
{
	if (x == y)
		return true;
	if (x->form != y->form)
		return false;
	if (x->form == FORM_OPAQUE)
		return x->fails.id && expr_same(x->fails, y->fails);
	if (x->linear.n != y->linear.n || x->linear.k != y->linear.k)
		return false;
	for (int i = 0; i < x->linear.n; i++)
		if (linear_coefficient(&y->linear, x->linear.atom[i]) != x->linear.c[i])
			return false;
	return true;
}

static void add_literal(struct term *t, const struct formula *f)
{
	for (int i = 0; i < t->n; i++)
		if (same_literal(t->literal[i], f))
			return;
	if (t->n < MAX_LITERALS)
		t->literal[t->n++] = f;
}

/* x and y, term by term. False when there are too many. */
static bool multiply(struct terms *x, const struct terms *y)
{
	if (x->n * y->n > MAX_TERMS)
		return false;
	struct terms all = {0};
	for (int i = 0; i < x->n; i++)
		for (int k = 0; k < y->n; k++) {
			struct term *t = &all.v[all.n++];
			*t = x->v[i];
			for (int m = 0; m < y->v[k].n; m++)
				add_literal(t, y->v[k].literal[m]);
		}
	*x = all;
	return true;
}

static void one_literal(struct terms *t, const struct formula *f)
{
	*t = (struct terms){.n = 1};
	add_literal(&t->v[0], f);
}

static void terms_of(const struct box *b, const struct formula *f, struct terms *t)
{
	*t = (struct terms){0};
	switch (f->form) {
	case FORM_FALSE: return;
	case FORM_TRUE: t->n = 1; return;
	case FORM_LINEAR:
	case FORM_OPAQUE: one_literal(t, f); return;
	case FORM_ALL:
	case FORM_ANY: break;
	}
	struct terms *other = arena_new(b->cascade->arena, struct terms);
	terms_of(b, f->left, t);
	terms_of(b, f->right, other);
	if (f->form == FORM_ANY) {
		if (t->n + other->n <= MAX_TERMS) {
			memcpy(t->v + t->n, other->v, (size_t)other->n * sizeof *t->v);
			t->n += other->n;
			return;
		}
		one_literal(t, formula_opaque(
		                       b, NO_EXPR,
		                       box_both(b, formula_empty(b, f->left), formula_empty(b, f->right))));
		return;
	}
	if (multiply(t, other))
		return;
	/* The side with more terms stands for itself. */
	bool left = t->n > other->n;
	struct terms *large = left ? t : other;
	one_literal(large, formula_opaque(b, NO_EXPR, formula_empty(b, left ? f->left : f->right)));
	multiply(t, other);
}

/* Conditions that each make a conjunction false. */
struct claims {
	const struct box *box;
	bool always;
	int n;
	struct expr v[MAX_CLAIMS];
};

static void claim(struct claims *c, struct expr e)
{
	double value;
	if (!e.id || c->always)
		return;
	if (expr_is_number(&c->box->cascade->pool, e, &value)) {
		c->always = value != 0;
		return;
	}
	for (int i = 0; i < c->n; i++)
		if (expr_same(c->v[i], e))
			return;
	if (c->n < MAX_CLAIMS)
		c->v[c->n++] = e;
}

/* The bool "linear ≤ 0 holds nowhere in the box". */
static struct expr never_le0(const struct box *b, const struct linear *l)
{
	struct linear minus = {.k = 1};
	if (linear_limit(b, l, 1) <= 0)
		return NO_EXPR;
	if (linear_limit(b, l, -1) > 0)
		return expr_number(&b->cascade->pool, 1);
	return linear_add(&minus, l, -1) ? linear_extreme_le0(b, &minus, 1) : NO_EXPR;
}

/* Forms that are ≤ 0 in a conjunction: its own first, then sums of multiples of them. */
struct sums {
	int n;
	struct {
		struct linear linear;
		uint32_t of; /* bit i: the i-th of its own */
		bool weak;   /* another has the same coefficients and more */
	} v[MAX_SUMS];
};

/* Same coefficients: the one with the greater constant implies the other. */
static bool implied(struct sums *s, const struct linear *l)
{
	for (int i = 0; i < s->n; i++) {
		const struct linear *old = &s->v[i].linear;
		bool same = old->n == l->n;
		for (int k = 0; k < l->n && same; k++)
			same = linear_coefficient(old, l->atom[k]) == l->c[k];
		if (same && old->k >= l->k)
			return true;
		if (same)
			s->v[i].weak = true;
	}
	return false;
}

static void add_sum(struct sums *s, const struct linear *l, uint32_t of)
{
	if (s->n == MAX_SUMS || implied(s, l))
		return;
	s->v[s->n].linear = *l;
	s->v[s->n].of = of;
	s->v[s->n++].weak = false;
}

/* Sums of two forms in which an index that they pull in opposite directions is gone. */
static void eliminate(const struct box *b, struct sums *s, int i, int k)
{
	const struct linear x = s->v[i].linear, y = s->v[k].linear;
	uint32_t of = s->v[i].of | s->v[k].of;
	for (int a = 0; a < x.n; a++) {
		int64_t cx = x.c[a], cy = linear_coefficient(&y, x.atom[a]);
		if (!box_mentions(b, x.atom[a]) || !cy || (cx > 0) == (cy > 0))
			continue;
		int64_t g = gcd(cx, cy);
		struct linear sum = {0};
		if (!linear_add(&sum, &x, (cy < 0 ? -cy : cy) / g) ||
		    !linear_add(&sum, &y, (cx < 0 ? -cx : cx) / g))
			continue;
		linear_reduce(&sum);
		if (linear_limit(b, &sum, 1) > 0)
			add_sum(s, &sum, of);
	}
}

static void term_claims(const struct box *b, const struct term *t, struct claims *c)
{
	struct sums *s = arena_new(b->cascade->arena, struct sums);
	*c = (struct claims){.box = b};
	for (int i = 0; i < t->n; i++) {
		if (t->literal[i]->form == FORM_LINEAR)
			add_sum(s, &t->literal[i]->linear, (uint32_t)1 << i);
		else
			claim(c, t->literal[i]->fails);
	}
	int own = s->n;
	for (int i = 0; i < own; i++)
		for (int k = 0; k < i; k++)
			eliminate(b, s, k, i);
	int pairs = s->n;
	for (int i = own; i < pairs && own <= MAX_DEEP; i++)
		for (int k = 0; k < own; k++)
			if (!(s->v[i].of & s->v[k].of))
				eliminate(b, s, k, i);
	for (int i = 0; i < s->n; i++)
		if (!s->v[i].weak)
			claim(c, never_le0(b, &s->v[i].linear));
}

static bool has_claim(const struct claims *c, struct expr e)
{
	for (int i = 0; i < c->n; i++)
		if (expr_same(c->v[i], e))
			return true;
	return false;
}

/* Every claim of x is one of y: where x is false, so is y. */
static bool covers(const struct claims *x, const struct claims *y)
{
	for (int i = 0; i < x->n; i++)
		if (!has_claim(y, x->v[i]))
			return false;
	return true;
}

static struct expr any_of(const struct claims *c, const struct claims *but)
{
	struct expr_pool *p = &c->box->cascade->pool;
	struct expr e = expr_number(p, 0);
	for (int i = 0; i < c->n; i++)
		if (!but || !has_claim(but, c->v[i]))
			e = expr2(p, OP_OR, e, c->v[i]);
	return e;
}

struct expr formula_empty(const struct box *b, const struct formula *f)
{
	struct expr_pool *p = &b->cascade->pool;
	struct terms *t = arena_new(b->cascade->arena, struct terms);
	struct claims *c = arena_new_array(b->cascade->arena, MAX_TERMS, struct claims);
	int n = 0;
	terms_of(b, f, t);
	for (int i = 0; i < t->n; i++) {
		term_claims(b, &t->v[i], &c[n]);
		if (c[n].always)
			continue;
		if (!c[n].n)
			return expr_number(p, 0);
		bool needed = true;
		for (int k = 0; k < n && needed; k++)
			needed = !covers(&c[k], &c[n]);
		n += needed;
	}
	/* What makes all of them false stands before the rest. */
	struct claims all = {.box = b};
	for (int i = 0; n && i < c[0].n; i++) {
		bool every = true;
		for (int k = 1; k < n && every; k++)
			every = has_claim(&c[k], c[0].v[i]);
		if (every)
			claim(&all, c[0].v[i]);
	}
	struct expr rest = expr_number(p, 1);
	for (int i = 0; i < n; i++)
		rest = expr2(p, OP_AND, rest, any_of(&c[i], &all));
	return n ? expr2(p, OP_OR, any_of(&all, NULL), rest) : rest;
}
