/* What becomes of each equation of the prepared cascade.
 *
 * A reduction whose result is larger than any one of its operands (S[n,m] from Q[n,d] and K[m,d]) and which a
 * later reduction consumes is an inner contraction: it is computed again in every tile that needs it. Any
 * other reduction is streamed. A map is written out where it is read, unless it is an operand of a
 * contraction that would compute it many times over.
 */
#include "codegen/derive.h"

static const struct expr_pool *pool(const struct derivation *d)
{
	return &d->c->pool;
}

void derive_store(struct derivation *d, uint32_t i)
{
	const struct equation *q = &d->c->equation.v[i];
	struct fact *f = &d->fact.v[i];
	if (d->group.n >= GROUPS_LIMIT)
		return; /* streams_derive gives up on so many */
	f->place = PLACE_MAP;
	f->inlined = NO_EXPR;
	f->group = derive_new_group(d, NO_INDEX, q->index, q->nindex);
	vec_push(d->arena, &d->group.v[f->group].map, i);
}

bool derive_is_small(const struct derivation *d, struct expr e)
{
	struct expr *node;
	uint32_t n = expr_nodes(pool(d), e, &node);
	double *size = arena_new_array(d->arena, n, double);
	int *depth = arena_new_array(d->arena, n, int);
	for (uint32_t i = 0; i < n; i++) {
		size[i] = 1;
		for (int k = 0; k < expr_at(pool(d), node[i])->count; k++) {
			uint32_t id = expr_operand(pool(d), node[i], k).id, low = 0, high = i;
			while (low < high) {
				uint32_t middle = (low + high) / 2;
				if (node[middle].id < id)
					low = middle + 1;
				else
					high = middle;
			}
			size[i] += size[low];
			depth[i] = depth[low] + 1 > depth[i] ? depth[low] + 1 : depth[i];
		}
	}
	return n == 0 || (size[n - 1] <= (double)INLINE_SIZE && depth[n - 1] <= INLINE_DEPTH);
}

/* Writes out the maps that e reads, or keeps them in memory when that would be too long a text. */
static struct expr inlined_or_stored(struct derivation *d, struct expr e)
{
	struct expr body = derive_inlined(d, e), *read;
	if (expr_same(body, e) || derive_is_small(d, body))
		return body;
	uint32_t n = derive_reads(pool(d), e, &read);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t def = derive_definition(d->c, read[i]);
		if (def != NO_EQUATION && d->fact.v[def].place == PLACE_INLINE)
			derive_store(d, def);
	}
	return derive_inlined(d, e);
}

static bool mentions_all(const struct derivation *d, struct expr read, const struct equation *q)
{
	for (int i = 0; i < q->nindex; i++)
		if (!expr_mentions(pool(d), read, OP_INDEX, q->index[i]))
			return false;
	return true;
}

/* The operands have its coordinates together (a pool has one of the predicate), no operand has all, and none is an
 * inner contraction it sums along. */
static bool grows(const struct derivation *d, const struct equation *q, struct expr body)
{
	struct expr *read;
	uint32_t n = derive_reads(pool(d), body, &read);
	for (int i = 0; i < q->nindex; i++)
		if (!expr_mentions(pool(d), body, OP_INDEX, q->index[i]))
			return false;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t def = derive_definition(d->c, read[i]);
		bool local = def != NO_EQUATION && d->fact.v[def].place == PLACE_LOCAL;
		if (local ? expr_mentions(pool(d), read[i], OP_INDEX, q->reduced[0])
		          : mentions_all(d, read[i], q))
			return false;
	}
	return n > 0;
}

/* The indices that a reader of T has and T has not are its last ones: then a traversal for the others needs each
 * element of T once. Or its first ones, a batch for which T is the same: then T is made again for each, as a tile of a
 * traversal, rather than kept for all pairs. */
static bool prefix(const struct equation *t, const struct equation *reader)
{
	bool begun = false, ended = false;
	for (int i = 0; i < reader->nindex; i++) {
		bool has = index_in(t->index, t->nindex, reader->index[i]);
		if (has && ended)
			return false;
		begun |= has;
		ended |= begun && !has;
	}
	return true;
}

/* Some reduction sums along the result, and every reader reads it in step. `body`, `where`: inlined, by
 * equation. */
static bool consumed(const struct derivation *d, uint32_t i, const struct expr *body,
                     const struct expr *where)
{
	const struct equation *t = &d->c->equation.v[i];
	bool along = false;
	for (uint32_t r = i + 1; r < d->c->equation.n; r++) {
		const struct equation *q = &d->c->equation.v[r];
		struct expr *read;
		bool reads = false;
		if (expr_mentions(pool(d), where[r], OP_READ, t->tensor))
			return false;
		if (!expr_mentions(pool(d), body[r], OP_READ, t->tensor))
			continue;
		uint32_t n = derive_reads(pool(d), body[r], &read);
		for (uint32_t k = 0; k < n; k++) {
			if (expr_at(pool(d), read[k])->symbol != t->tensor)
				continue;
			if (!derive_identity(d->c, read[k]))
				return false;
			reads = true;
		}
		if (!reads)
			continue;
		if (d->fact.v[r].place == PLACE_MAP)
			return false;
		if (q->reduce == REDUCE_NONE)
			continue;
		if (q->nreduced == 1 && index_in(t->index, t->nindex, q->reduced[0])) {
			along = true;
			if (!prefix(t, q))
				return false;
		}
	}
	return along;
}

/* A coordinate whose neighbours are not its index's neighbours. */
static bool scattered(const struct derivation *d, struct expr coordinate)
{
	struct expr *node;
	uint32_t n = expr_nodes(pool(d), coordinate, &node);
	for (uint32_t i = 0; i < n; i++) {
		enum op op = (enum op)expr_at(pool(d), node[i])->op;
		if (op != OP_INDEX && op != OP_CONST && op != OP_EXTENT && op != OP_ADD && op != OP_SUB && op != OP_IDIV)
			return true;
	}
	return false;
}

/* Worth keeping in memory when it would be computed many times: more than a product or two. */
static bool costly(const struct derivation *d, struct expr e)
{
	struct expr *node;
	uint32_t n = expr_nodes(pool(d), e, &node), reads = 0, spared = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *o = expr_at(pool(d), node[i]);
		spared += o->op == OP_ELSE; /* one side or the other */
		if (o->op == OP_READ) {
			reads++;
			for (int k = 0; k < o->count; k++)
				if (scattered(d, expr_operand(pool(d), node[i], k)))
					return true;
		} else if (o->kind == KIND_REAL && o->count && o->op != OP_ADD && o->op != OP_SUB &&
		           o->op != OP_MUL && o->op != OP_NEG && o->op != OP_SELECT && o->op != OP_CAST &&
		           o->op != OP_ELSE) {
			return true;
		}
	}
	return reads > 2 + spared;
}

/* Keeps in memory the maps among the operands of reduction r that it would compute again for every
 * coordinate they lack. */
static void store_operands(struct derivation *d, uint32_t r, struct expr e)
{
	const struct equation q = d->c->equation.v[r];
	struct expr *read;
	uint32_t n = derive_reads(pool(d), e, &read);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t def = derive_definition(d->c, read[i]);
		if (def == NO_EQUATION || d->fact.v[def].place != PLACE_INLINE)
			continue;
		const struct equation z = d->c->equation.v[def];
		struct expr body = derive_inlined(d, z.body), *inner;
		uint32_t m = derive_reads(pool(d), body, &inner);
		bool keep = index_in(z.index, z.nindex, q.reduced[0]) && costly(d, body) &&
		            !index_subset(q.index, q.nindex, z.index, z.nindex);
		for (uint32_t k = 0; k < m; k++) {
			uint32_t of = derive_definition(d->c, inner[k]);
			if (of != NO_EQUATION &&
			    (d->fact.v[of].place == PLACE_LOCAL ||
			     (d->fact.v[of].place == PLACE_CARRY && d->fact.v[r].place != PLACE_LOCAL)))
				keep = false;
		}
		if (keep)
			derive_store(d, def);
		else
			store_operands(d, r, z.body);
	}
}

/* Does a reduction over part of it range over a set that a tensor gives? Then what the set leaves out is better not
 * computed, however small the result. */
static bool restricted(const struct derivation *d, uint32_t i, const struct expr *body)
{
	const struct equation *t = &d->c->equation.v[i];
	for (uint32_t r = i + 1; r < d->c->equation.n; r++) {
		const struct equation *q = &d->c->equation.v[r];
		struct expr *read, presence = d->fact.v[r].presence;
		if (q->nreduced != 1 || !presence.id || !index_in(t->index, t->nindex, q->reduced[0]) ||
		    !index_subset(q->index, q->nindex, t->index, t->nindex) ||
		    !expr_mentions(pool(d), body[r], OP_READ, t->tensor))
			continue;
		uint32_t n = derive_reads(pool(d), presence, &read);
		for (uint32_t k = 0; k < n; k++)
			if (expr_at(pool(d), read[k])->kind == KIND_BOOL &&
			    expr_mentions(pool(d), read[k], OP_INDEX, q->reduced[0]))
				return true;
	}
	return false;
}

/* Several operands, more than one of which is summed along. */
static bool is_product(const struct derivation *d, const struct equation *q, struct expr body)
{
	struct expr *read;
	uint32_t n = derive_reads(pool(d), body, &read), along = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t def = derive_definition(d->c, read[i]);
		if (def != NO_EQUATION && d->fact.v[def].place == PLACE_LOCAL)
			return false;
		along += expr_mentions(pool(d), read[i], OP_INDEX, q->reduced[0]);
	}
	return q->reduce == REDUCE_SUM && along > 1;
}

static bool inner(const struct derivation *d, uint32_t i, const struct expr *body, const struct expr *where)
{
	const struct equation *q = &d->c->equation.v[i];
	return d->fact.v[i].place == PLACE_CARRY && q->nreduced == 1 && q->nindex &&
	       (grows(d, q, body[i]) || (is_product(d, q, body[i]) && restricted(d, i, body))) &&
	       consumed(d, i, body, where);
}

/* How many reductions read what equation i defines. */
static int readers(const struct derivation *d, uint32_t i, const struct expr *body)
{
	int n = 0;
	for (uint32_t r = i + 1; r < d->c->equation.n; r++)
		n += d->c->equation.v[r].reduce &&
		     expr_mentions(pool(d), body[r], OP_READ, d->c->equation.v[i].tensor);
	return n;
}

/* Of two contractions in a row only one can be inner. It is the first, unless the second has more readers: scores
 * that a projected query is multiplied into, rather than the query. */
static bool gives_way(const struct derivation *d, uint32_t i, const struct expr *body, const struct expr *where)
{
	for (uint32_t r = i + 1; r < d->c->equation.n; r++) {
		const struct equation *q = &d->c->equation.v[r];
		if (q->reduce == REDUCE_SUM && q->nreduced == 1 &&
		    index_in(d->c->equation.v[i].index, d->c->equation.v[i].nindex, q->reduced[0]) &&
		    expr_mentions(pool(d), body[r], OP_READ, d->c->equation.v[i].tensor) && inner(d, r, body, where) &&
		    readers(d, r, body) > readers(d, i, body))
			return true;
	}
	return false;
}

void derive_classify(struct derivation *d)
{
	uint32_t n = d->c->equation.n;
	struct expr *body = arena_new_array(d->arena, n, struct expr);
	struct expr *where = arena_new_array(d->arena, n, struct expr);
	for (uint32_t i = 0; i < n; i++)
		d->fact.v[i].place = d->c->equation.v[i].reduce ? PLACE_CARRY : PLACE_INLINE;
	for (uint32_t i = 0; i < n; i++) {
		body[i] = inlined_or_stored(d, d->c->equation.v[i].body);
		where[i] = inlined_or_stored(d, d->c->equation.v[i].where);
		if (d->fact.v[i].place == PLACE_INLINE)
			d->fact.v[i].inlined = body[i];
	}
	/* What was stored on the way is read as it is now. */
	for (uint32_t i = 0; i < n; i++)
		d->fact.v[i].inlined = NO_EXPR;
	for (uint32_t i = 0; i < n; i++) {
		body[i] = derive_inlined(d, d->c->equation.v[i].body);
		where[i] = derive_inlined(d, d->c->equation.v[i].where);
		if (d->fact.v[i].place == PLACE_INLINE)
			d->fact.v[i].inlined = body[i];
	}
	for (uint32_t i = 0; i < n; i++)
		if (inner(d, i, body, where) && !gives_way(d, i, body, where))
			d->fact.v[i].place = PLACE_LOCAL;
	for (uint32_t i = 0; i < n; i++)
		if (d->c->equation.v[i].nreduced == 1)
			store_operands(d, i, d->c->equation.v[i].body);
	for (uint32_t i = 0; i < n; i++)
		d->fact.v[i].inlined = NO_EXPR;
}
