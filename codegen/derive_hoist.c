/* What a map in memory would compute again for every coordinate that it does not depend on: the angles of a rotation
 * for every head, a decay for every batch. Such a part of its body, where it is long, becomes a map of its own, of
 * fewer ranks, and so in turn do its parts: cos(n · pow(c, d)) is a table over n and d, made with one of pow over d.
 *
 * The parts of what a tile computes stay where they are: a table of theirs could be as large as all tiles. */
#include <string.h>

#include "codegen/derive.h"

/* Is a function among its operations that takes many instructions? */
static bool is_long(const struct expr_pool *p, struct expr e)
{
	static const enum op function[] = {OP_EXP,     OP_EXP2,     OP_LOG,  OP_LOG2, OP_POW, OP_TANH,
	                                   OP_SIGMOID, OP_SOFTPLUS, OP_GELU, OP_SILU, OP_ERF, OP_SIN, OP_COS};
	for (size_t i = 0; i < sizeof function / sizeof *function; i++)
		if (expr_mentions(p, e, function[i], ANY_SYMBOL))
			return true;
	return false;
}

struct hoist {
	struct derivation *d;
	uint32_t equation; /* whose body it is */
	uint32_t last;     /* the table made last; or NO_EQUATION */
};

/* Is there more than one coordinate, as far as is known, along the indices of q that the table lacks? */
static bool is_smaller(const struct cascade *c, const struct equation *table, const struct equation *q)
{
	for (int i = 0; i < q->nindex; i++) {
		int64_t extent;
		if (!index_in(table->index, table->nindex, q->index[i]) &&
		    (!cascade_extent(c, c->index.v[q->index[i]].extent, &extent) || extent > 1))
			return true;
	}
	return false;
}

/* A real number that inputs and some, not all, of the equation's coordinates give. */
static bool stands_alone(const struct hoist *h, struct expr e, struct equation *table)
{
	struct cascade *c = h->d->c;
	const struct equation *q = &c->equation.v[h->equation];
	struct expr *read;
	if (expr_at(&c->pool, e)->kind != KIND_REAL || !is_long(&c->pool, e))
		return false;
	uint32_t n = derive_reads(&c->pool, e, &read);
	for (uint32_t i = 0; i < n; i++)
		if (derive_definition(c, read[i]) != NO_EQUATION)
			return false;
	*table = (struct equation){.tensor = q->tensor, .span = q->span, .body = e};
	for (int i = 0; i < q->nindex; i++)
		if (expr_mentions(&c->pool, e, OP_INDEX, q->index[i]))
			table->index[table->nindex++] = q->index[i];
	return table->nindex && is_smaller(c, table, q);
}

static bool same_index(const struct equation *a, const struct equation *b)
{
	return a->nindex == b->nindex && !memcmp(a->index, b->index, a->nindex * sizeof *a->index);
}

/* A table that is the same; or NO_EQUATION. */
static uint32_t equal(const struct hoist *h, const struct equation *table)
{
	const struct cascade *c = h->d->c;
	for (uint32_t i = 0; i < c->equation.n; i++) {
		const struct equation *q = &c->equation.v[i];
		if (h->d->fact.v[i].place == PLACE_MAP && expr_same(q->body, table->body) && !q->where.id &&
		    same_index(q, table))
			return i;
	}
	return NO_EQUATION;
}

/* A new table; tables of one body over the same coordinates are made together. */
static uint32_t make(struct hoist *h, const struct equation *table)
{
	struct derivation *d = h->d;
	uint32_t origin = d->fact.v[h->equation].origin, last = h->last;
	const char *name = arena_printf(d->arena, "%s_table", d->c->tensor.v[origin].name);
	uint32_t made = h->last = derive_new_equation(d, name, *table, origin);
	if (last != NO_EQUATION && same_index(table, &d->c->equation.v[last])) {
		struct fact *f = &d->fact.v[made];
		f->place = PLACE_MAP;
		f->group = d->fact.v[last].group;
		vec_push(d->arena, &d->group.v[f->group].map, made);
	} else {
		derive_store(d, made);
	}
	return made;
}

/* e with its largest such parts read from tables. */
static struct expr hoisted(struct hoist *h, struct expr e)
{
	struct cascade *c = h->d->c;
	const struct expr_node n = *expr_at(&c->pool, e);
	struct equation table;
	struct expr x[MAX_RANKS];
	bool same = true;
	if (!n.count || !is_long(&c->pool, e))
		return e;
	if (stands_alone(h, e, &table)) {
		uint32_t made = equal(h, &table);
		if (made == NO_EQUATION)
			made = make(h, &table);
		return cascade_read(c, c->equation.v[made].tensor, table.index, table.nindex);
	}
	for (int i = 0; i < n.count; i++) {
		x[i] = hoisted(h, expr_operand(&c->pool, e, i));
		same &= expr_same(x[i], expr_operand(&c->pool, e, i));
	}
	if (same)
		return e;
	return n.op == OP_READ ? e : expr_make(&c->pool, (enum op)n.op, n.symbol, n.count, x);
}

void derive_hoist(struct derivation *d)
{
	for (uint32_t i = 0; i < d->c->equation.n; i++) {
		if (d->fact.v[i].place != PLACE_MAP || d->group.n + 1 >= GROUPS_LIMIT)
			continue;
		struct hoist h = {d, i, NO_EQUATION};
		struct expr body = hoisted(&h, derive_inlined(d, d->c->equation.v[i].body));
		d->c->equation.v[i].body = body; /* not before: equations may have moved */
	}
	for (uint32_t i = 0; i < d->c->equation.n; i++)
		d->fact.v[i].inlined = NO_EXPR;
}
