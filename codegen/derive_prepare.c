#include <string.h>

#include "codegen/derive.h"
#include "dsl/dtype.h"

uint32_t derive_reads(const struct expr_pool *p, struct expr e, struct expr **list)
{
	uint32_t n = 0, all = e.id ? expr_nodes(p, e, list) : 0;
	for (uint32_t i = 0; i < all; i++)
		if (expr_at(p, (*list)[i])->op == OP_READ)
			(*list)[n++] = (*list)[i];
	return n;
}

uint32_t derive_definition(const struct cascade *c, struct expr read)
{
	return c->tensor.v[expr_at(&c->pool, read)->symbol].equation;
}

/* The variable a coordinate is, or UINT32_MAX. */
static uint32_t plain(const struct expr_pool *p, struct expr e)
{
	return expr_at(p, e)->op == OP_INDEX ? expr_at(p, e)->symbol : UINT32_MAX;
}

bool derive_identity(const struct cascade *c, struct expr read)
{
	uint32_t def = derive_definition(c, read);
	if (def == NO_EQUATION)
		return false;
	const struct equation *q = &c->equation.v[def];
	for (int i = 0; i < q->nindex; i++)
		if (plain(&c->pool, expr_operand(&c->pool, read, i)) != q->index[i])
			return false;
	return true;
}

struct substitution {
	int n;
	const uint32_t *from;
	const struct expr *to;
};

static struct expr substitute(struct expr_pool *p, struct expr e, void *context)
{
	const struct substitution *s = context;
	if (expr_at(p, e)->op == OP_INDEX)
		for (int i = 0; i < s->n; i++)
			if (s->from[i] == expr_at(p, e)->symbol)
				return s->to[i];
	return e;
}

struct expr derive_substitute(struct cascade *c, struct expr e, int n, const uint32_t *from,
                              const struct expr *to)
{
	bool same = true;
	for (int i = 0; i < n; i++)
		same &= plain(&c->pool, to[i]) == from[i];
	if (same || !e.id)
		return e;
	return expr_rewrite(&c->pool, e, substitute, &(struct substitution){n, from, to});
}

static struct expr inline_read(struct expr_pool *p, struct expr e, void *context)
{
	struct derivation *d = context;
	if (expr_at(p, e)->op != OP_READ)
		return e;
	uint32_t def = derive_definition(d->c, e);
	if (def == NO_EQUATION || d->fact.v[def].place != PLACE_INLINE)
		return e;
	const struct equation q = d->c->equation.v[def];
	if (!d->fact.v[def].inlined.id)
		d->fact.v[def].inlined = derive_inlined(d, q.body);
	struct expr to[MAX_RANKS];
	for (int i = 0; i < q.nindex; i++)
		to[i] = expr_operand(p, e, i);
	return derive_substitute(d->c, d->fact.v[def].inlined, q.nindex, q.index, to);
}

struct expr derive_inlined(struct derivation *d, struct expr e)
{
	return e.id && expr_mentions(&d->c->pool, e, OP_READ, ANY_SYMBOL)
	               ? expr_rewrite(&d->c->pool, e, inline_read, d)
	               : e;
}

uint32_t derive_new_tensor(struct derivation *d, const char *name, const struct equation *like)
{
	struct cascade *c = d->c;
	struct tensor t = {.name = cascade_fresh_tensor(c, name), .dtype = DTYPE_F32, .role = ROLE_LOCAL};
	if (c->tensor.v[like->tensor].dtype == DTYPE_F64)
		t.dtype = DTYPE_F64;
	t.nranks = like->nindex;
	t.span = like->span;
	for (int i = 0; i < like->nindex; i++)
		t.extent[i] = c->index.v[like->index[i]].extent;
	return cascade_add_tensor(c, t);
}

uint32_t derive_new_equation(struct derivation *d, const char *name, struct equation q, uint32_t origin)
{
	q.tensor = derive_new_tensor(d, name, &q);
	vec_push(d->arena, &d->fact, (struct fact){.origin = origin, .group = NO_GROUP});
	return cascade_add_equation(d->c, q);
}

static const char *stem(struct derivation *d, uint32_t tensor, const char *suffix)
{
	return arena_printf(d->arena, "%s_%s", d->c->tensor.v[tensor].name, suffix);
}

static bool splits(const struct equation *q)
{
	return q->nreduced > 1 && q->reduce != REDUCE_ARGMAX && q->nindex < MAX_RANKS;
}

/* Adds an equation; a reduction over several indices as one inside the other, the first the outermost. */
static void add(struct derivation *d, struct equation q, uint32_t origin)
{
	if (splits(&q)) {
		struct equation inner = q;
		inner.index[inner.nindex++] = q.reduced[0];
		inner.nreduced--;
		memmove(inner.reduced, inner.reduced + 1, inner.nreduced * sizeof *inner.reduced);
		inner.otherwise = NO_EXPR;
		inner.tensor = derive_new_tensor(d, stem(d, q.tensor, "part"), &inner);
		add(d, inner, origin);
		q.body = cascade_read(d->c, inner.tensor, inner.index, inner.nindex);
		q.where = NO_EXPR;
		q.nreduced = 1;
	}
	vec_push(d->arena, &d->fact, (struct fact){.origin = origin, .group = NO_GROUP});
	cascade_add_equation(d->c, q);
}

/* mean = sum / max(count, 1): over nothing it is 0. */
static struct equation split_mean(struct derivation *d, struct equation q)
{
	struct cascade *c = d->c;
	struct expr_pool *p = &c->pool;
	struct equation sum = q;
	sum.reduce = REDUCE_SUM;
	sum.otherwise = NO_EXPR;
	sum.tensor = derive_new_tensor(d, stem(d, q.tensor, "sum"), &q);
	uint32_t first = c->equation.n; /* the innermost sum: what is present there is present */
	add(d, sum, q.tensor);
	q.body = cascade_read(c, sum.tensor, q.index, q.nindex);
	struct expr presence = cascade_presence(c, first), count = expr_number(p, 1);
	if (presence.id) {
		sum.tensor = derive_new_tensor(d, stem(d, q.tensor, "count"), &q);
		sum.body = count;
		sum.where = presence;
		add(d, sum, q.tensor);
		count = cascade_read(c, sum.tensor, q.index, q.nindex);
	} else {
		for (int i = 0; i < q.nreduced; i++)
			count = expr2(p, OP_MUL, count, c->index.v[q.reduced[i]].extent);
	}
	q.body = expr2(p, OP_DIV, q.body, expr2(p, OP_MAX, count, expr_number(p, 1)));
	q.where = NO_EXPR;
	q.reduce = REDUCE_NONE;
	q.nreduced = 0;
	return q;
}

static void note(struct cascade *c, uint32_t *canon, struct expr e)
{
	struct expr *read;
	uint32_t n = derive_reads(&c->pool, e, &read);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t t = expr_at(&c->pool, read[i])->symbol;
		for (int k = 0; k < c->tensor.v[t].nranks; k++)
			if (canon[t * MAX_RANKS + (uint32_t)k] == UINT32_MAX)
				canon[t * MAX_RANKS + (uint32_t)k] =
				        plain(&c->pool, expr_operand(&c->pool, read[i], k));
	}
}

static bool uses(const struct cascade *c, const struct equation *q, uint32_t index)
{
	return index_in(q->index, q->nindex, index) || index_in(q->reduced, q->nreduced, index) ||
	       expr_mentions(&c->pool, q->body, OP_INDEX, index) ||
	       expr_mentions(&c->pool, q->where, OP_INDEX, index);
}

static void rename_index(struct cascade *c, struct equation *q, uint32_t from, uint32_t to)
{
	struct expr e = expr_leaf(&c->pool, OP_INDEX, KIND_INT, to);
	q->body = derive_substitute(c, q->body, 1, &from, &e);
	q->where = derive_substitute(c, q->where, 1, &from, &e);
	q->otherwise = derive_substitute(c, q->otherwise, 1, &from, &e);
	for (int i = 0; i < q->nindex; i++)
		if (q->index[i] == from)
			q->index[i] = to;
	for (int i = 0; i < q->nreduced; i++)
		if (q->reduced[i] == from)
			q->reduced[i] = to;
}

/* Renames one variable of q to the one that defines what it reads; false when there is none to rename.
 * `taken` are variables that were renamed to already: they stay. */
static bool align_one(struct cascade *c, const uint32_t *canon, struct equation *q, uint32_t *taken,
                      int *ntaken)
{
	struct expr *read;
	uint32_t n = derive_reads(&c->pool, q->body, &read);
	for (uint32_t r = 0; r < n; r++) {
		uint32_t t = expr_at(&c->pool, read[r])->symbol;
		for (int k = 0; k < c->tensor.v[t].nranks; k++) {
			uint32_t from = plain(&c->pool, expr_operand(&c->pool, read[r], k));
			uint32_t to = canon[t * MAX_RANKS + (uint32_t)k];
			if (from == UINT32_MAX || to == UINT32_MAX || from == to || uses(c, q, to) ||
			    index_in(taken, *ntaken, from) || c->index.v[from].rank != c->index.v[to].rank ||
			    !expr_same(c->index.v[from].extent, c->index.v[to].extent))
				continue;
			/* An input has no variables of its own; only what walks it alone follows its first
			 * reader. */
			if (c->tensor.v[t].equation == NO_EQUATION &&
			    !index_in(q->reduced, q->nreduced, from))
				continue;
			rename_index(c, q, from, to);
			taken[(*ntaken)++] = to;
			return true;
		}
	}
	return false;
}

void derive_align(struct arena *arena, struct cascade *c)
{
	size_t size = (size_t)c->tensor.n * MAX_RANKS;
	uint32_t *canon = arena_new_array(arena, size, uint32_t);
	memset(canon, 0xff, size * sizeof *canon);
	for (uint32_t i = 0; i < c->equation.n; i++) {
		struct equation *q = &c->equation.v[i];
		uint32_t taken[MAX_RANKS + MAX_REDUCED];
		int n = 0;
		while (n < MAX_RANKS + MAX_REDUCED && align_one(c, canon, q, taken, &n))
			;
		note(c, canon, q->body);
		for (int k = 0; k < q->nindex; k++)
			canon[q->tensor * MAX_RANKS + (uint32_t)k] = q->index[k];
	}
}

/* An `else` asks whether what it reads is present. Of a map that has a `where`, or reads what has, the condition is
 * known: written out, the map can be inlined like any other. */
static struct expr ask(struct expr_pool *p, struct expr e, void *context)
{
	struct derivation *d = context;
	struct expr *read;
	bool asks = false;
	if (expr_at(p, e)->op != OP_ELSE)
		return e;
	struct expr x = expr_operand(p, e, 0), other = expr_operand(p, e, 1);
	uint32_t n = derive_reads(p, x, &read);
	for (uint32_t r = 0; r < n; r++) {
		uint32_t def = derive_definition(d->c, read[r]);
		asks |= def != NO_EQUATION && !d->c->equation.v[def].reduce && d->fact.v[def].presence.id;
	}
	struct expr presence = asks ? cascade_presence_of(d->c, x) : NO_EXPR;
	return presence.id ? expr3(p, OP_SELECT, presence, x, other) : e;
}

struct derivation *derive_prepare(struct arena *a, const struct cascade *from,
                                  const struct stream_options *options)
{
	struct derivation *d = arena_new(a, struct derivation);
	d->arena = a;
	d->c = cascade_clone(a, from);
	d->options = options;
	d->stamp = 1;
	struct equation *old = d->c->equation.v;
	uint32_t n = d->c->equation.n;
	memset(&d->c->equation, 0, sizeof d->c->equation);
	for (uint32_t i = 0; i < n; i++)
		add(d, old[i].reduce == REDUCE_MEAN ? split_mean(d, old[i]) : old[i], old[i].tensor);
	if (!options->unfused)
		derive_align(a, d->c);
	struct expr *presence = arena_new_array(a, d->c->equation.n, struct expr);
	cascade_presences(d->c, presence);
	for (uint32_t i = 0; i < d->c->equation.n; i++)
		d->fact.v[i].presence = presence[i];
	for (uint32_t i = 0; i < d->c->equation.n; i++) {
		struct equation *q = &d->c->equation.v[i];
		struct expr *of[] = {&q->body, &q->where};
		for (size_t k = 0; k < sizeof of / sizeof *of; k++)
			if (of[k]->id && expr_mentions(&d->c->pool, *of[k], OP_ELSE, 0))
				*of[k] = expr_rewrite(&d->c->pool, *of[k], ask, d);
	}
	algebra_init(&d->algebra, d->c);
	return d;
}
