/* A cascade cut into parts that are derived one by one, at selections and at tables.
 *
 * No element of a selection is known before all of its fiber is, so its operand and its result are in memory and
 * nothing is fused across it. A table is what a predicate reads and nobody would compute in its place: a whole
 * number or a condition that was gathered or reduced. Part L is whatever is wanted once the cuts of L levels are
 * done: outputs, tables, the operands of selections, each in the first part it can be in, with all they need. What
 * an earlier part has computed as well is read from memory if it is kept there; reductions are, unless they are
 * inner contractions, which are cheaper to compute again than to keep. To a part, what it finds in memory is an
 * input.
 */
#include <string.h>

#include "codegen/derive_parts.h"
#include "dsl/dtype.h"

static bool is_plain_read(const struct expr_pool *p, struct expr e)
{
	const struct expr_node *n = expr_at(p, e);
	uint32_t seen[MAX_RANKS];
	for (int i = 0; n->op == OP_READ && i < n->count; i++) {
		const struct expr_node *at = expr_at(p, expr_operand(p, e, i));
		if (at->op != OP_INDEX || index_in(seen, i, at->symbol))
			return false;
		seen[i] = at->symbol;
	}
	return n->op == OP_READ;
}

/* The operand as a tensor of its own, at the fiber's coordinates that it mentions. */
static struct expr materialise(struct cut *k, struct equation *q)
{
	struct cascade *c = k->base;
	const struct expr_node *n = expr_at(&c->pool, q->body);
	struct equation x = {.body = q->body, .where = q->where, .span = q->span};
	struct tensor t = {.role = ROLE_LOCAL, .span = q->span};
	const char *stem = arena_printf(k->arena, "%s_operand", c->tensor.v[q->tensor].name);
	t.name = cascade_fresh_tensor(c, stem);
	t.dtype = n->kind == KIND_BOOL ? DTYPE_BOOL : n->kind == KIND_INT ? DTYPE_I32 : DTYPE_F32;
	if (n->op == OP_CAST && n->symbol == DTYPE_F64)
		t.dtype = DTYPE_F64;
	for (int i = 0; i < q->nindex; i++)
		if (keeps_row(q, q->index[i]) && (expr_mentions(&c->pool, q->body, OP_INDEX, q->index[i]) ||
		                                  expr_mentions(&c->pool, q->where, OP_INDEX, q->index[i])))
			x.index[x.nindex++] = q->index[i];
	x.index[x.nindex++] = q->along;
	for (int i = 0; i < x.nindex; i++)
		t.extent[t.nranks++] = c->index.v[x.index[i]].extent;
	x.tensor = cascade_add_tensor(c, t);
	cascade_add_equation(c, x);
	q->where = NO_EXPR;
	return cascade_read(c, x.tensor, x.index, x.nindex);
}

static void keep_read(struct cut *k, struct expr e)
{
	struct expr *read;
	uint32_t n = derive_reads(&k->base->pool, e, &read);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t def = derive_definition(k->base, read[i]);
		if (def != NO_EQUATION && !k->base->equation.v[def].select)
			k->kept[expr_at(&k->base->pool, read[i])->symbol] = true;
	}
}

static void mark_reads(const struct cascade *c, struct expr e, bool *marked)
{
	struct expr *read;
	uint32_t n = derive_reads(&c->pool, e, &read);
	for (uint32_t i = 0; i < n; i++)
		if (derive_definition(c, read[i]) != NO_EQUATION)
			marked[derive_definition(c, read[i])] = true;
}

static bool gathers(const struct cascade *c, struct expr e)
{
	struct expr *read;
	uint32_t n = derive_reads(&c->pool, e, &read);
	for (uint32_t i = 0; i < n; i++)
		for (int k = 0; k < expr_at(&c->pool, read[i])->count; k++)
			if (expr_mentions(&c->pool, expr_operand(&c->pool, read[i], k), OP_READ, ANY_SYMBOL))
				return true;
	return false;
}

/* The equations whose tensors are tables. They are present everywhere: memory does not tell what is absent. */
static bool *find_tables(struct arena *a, const struct cascade *c, const struct expr *presence)
{
	bool *table = arena_new_array(a, c->equation.n, bool);
	bool *asked = arena_new_array(a, c->equation.n, bool); /* by a predicate */
	if (c->equation.n > EQUATIONS_LIMIT)
		return table; /* what is too large to fuse has every tensor in memory */
	for (uint32_t e = c->equation.n; e-- > 0;) {
		const struct equation *q = &c->equation.v[e];
		mark_reads(c, q->where, asked);
		if (!asked[e] || q->select)
			continue;
		bool whole = dtype_kind(c->tensor.v[q->tensor].dtype) != KIND_REAL;
		table[e] = whole && (q->reduce || (gathers(c, q->body) && !presence[e].id));
		if (!table[e] && equation_is_map(q))
			mark_reads(c, q->body, asked);
	}
	return table;
}

bool derive_has_parts(struct arena *a, const struct cascade *from)
{
	bool asks = false;
	for (uint32_t e = 0; e < from->equation.n; e++) {
		if (from->equation.v[e].select)
			return true;
		struct expr *read;
		uint32_t n = derive_reads(&from->pool, from->equation.v[e].where, &read);
		for (uint32_t i = 0; i < n; i++)
			asks |= derive_definition(from, read[i]) != NO_EQUATION;
	}
	if (!asks)
		return false;
	struct cascade *c = cascade_clone(a, from);
	struct expr *presence = arena_new_array(a, c->equation.n, struct expr);
	cascade_presences(c, presence);
	const bool *table = find_tables(a, c, presence);
	for (uint32_t e = 0; e < c->equation.n; e++)
		if (table[e])
			return true;
	return false;
}

static void prepare(struct cut *k, const struct cascade *from)
{
	struct cascade *c = k->base = cascade_clone(k->arena, from);
	k->given = c->tensor.n;
	memset(&c->equation, 0, sizeof c->equation);
	for (uint32_t i = 0; i < from->equation.n; i++) {
		struct equation q = from->equation.v[i];
		if (q.select && !is_plain_read(&c->pool, q.body))
			q.body = materialise(k, &q);
		cascade_add_equation(c, q);
	}
	k->presence = arena_new_array(k->arena, c->equation.n, struct expr);
	k->kept = arena_new_array(k->arena, c->tensor.n, bool);
	cascade_presences(c, k->presence);
	for (uint32_t i = 0; i < c->equation.n; i++) {
		struct equation *q = &c->equation.v[i];
		k->kept[q->tensor] |= !q->select && c->tensor.v[q->tensor].role == ROLE_OUT;
		if (!q->select)
			continue;
		q->where = k->presence[i];
		keep_read(k, q->body);
		keep_read(k, q->where);
	}
	k->table = find_tables(k->arena, c, k->presence);
	for (uint32_t i = 0; i < c->equation.n; i++)
		k->kept[c->equation.v[i].tensor] |= k->table[i];
}

/* Levels. */

static void find_reads(struct cut *k)
{
	const struct cascade *c = k->base;
	uint32_t *met = arena_new_array(k->arena, c->equation.n, uint32_t);
	k->reads = arena_new_array(k->arena, c->equation.n, struct definitions);
	for (uint32_t e = 0; e < c->equation.n; e++) {
		const struct equation *q = &c->equation.v[e];
		const struct expr side[] = {q->body, q->where, q->otherwise};
		for (int s = 0; s < 3; s++) {
			struct expr *read;
			uint32_t n = derive_reads(&c->pool, side[s], &read);
			for (uint32_t i = 0; i < n; i++) {
				uint32_t def = derive_definition(c, read[i]);
				if (def == NO_EQUATION || met[def] == e)
					continue;
				met[def] = e; /* never 0: what equation 0 reads has no definition */
				vec_push(k->arena, &k->reads[e].of, def);
			}
		}
	}
}

static void find_levels(struct cut *k)
{
	const struct cascade *c = k->base;
	k->level = arena_new_array(k->arena, c->equation.n, uint32_t);
	for (uint32_t i = 0; i < c->equation.n; i++) {
		for (uint32_t r = 0; r < k->reads[i].of.n; r++) {
			uint32_t def = k->reads[i].of.v[r];
			uint32_t level = k->level[def] + (c->equation.v[def].select || k->table[def]);
			k->level[i] = level > k->level[i] ? level : k->level[i];
		}
		k->parts = k->level[i] >= k->parts ? k->level[i] + 1 : k->parts;
	}
}

/* Parts. */

/* A reduction whose operands have its coordinates together, and none has all; another reduction consumes it. */
static bool is_inner(struct cut *k, uint32_t e)
{
	const struct cascade *c = k->base;
	const struct equation *q = &c->equation.v[e];
	bool *reaches = arena_new_array(k->arena, c->equation.n, bool);
	struct expr *read;
	uint32_t n = derive_reads(&c->pool, q->body, &read);
	for (int x = 0; x < q->nindex; x++)
		if (!expr_mentions(&c->pool, q->body, OP_INDEX, q->index[x]))
			return false;
	for (uint32_t i = 0; i < n; i++) {
		bool all = true;
		for (int x = 0; x < q->nindex; x++)
			all &= expr_mentions(&c->pool, read[i], OP_INDEX, q->index[x]);
		if (all)
			return false;
	}
	reaches[e] = true;
	for (uint32_t r = e + 1; r < c->equation.n; r++) {
		for (uint32_t i = 0; i < k->reads[r].of.n; i++)
			reaches[r] |= reaches[k->reads[r].of.v[i]];
		if (reaches[r] && c->equation.v[r].reduce)
			return true;
		reaches[r] &= !c->equation.v[r].select;
	}
	return false;
}

static void need(struct cut *, uint32_t at, uint32_t first);

/* Does it reduce what its first part has anyway? Then it is done there, with the rest of it. */
static bool joins(const struct cut *k, uint32_t e)
{
	const struct cascade *c = k->base;
	const struct equation *q = &c->equation.v[e];
	struct expr *read;
	uint32_t n = derive_reads(&c->pool, q->body, &read);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t def = derive_definition(c, read[i]);
		for (int r = 0; def != NO_EQUATION && r < q->nreduced; r++)
			if (k->part[k->level[e]].needs[def] && expr_mentions(&c->pool, read[i], OP_INDEX, q->reduced[r]))
				return true;
	}
	return false;
}

/* Does part `at` find it in memory? */
static bool finds(struct cut *k, uint32_t at, uint32_t e)
{
	const struct equation *q = &k->base->equation.v[e];
	if (q->select)
		return true;
	if (k->level[e] >= at)
		return false;
	if (equation_is_map(q))
		return k->kept[q->tensor] && !k->presence[e].id; /* memory does not tell what is absent */
	bool *needs = k->part[k->level[e]].needs;
	if (!k->kept[q->tensor] && !is_inner(k, e)) {
		if (!needs[e] && joins(k, e))
			need(k, k->level[e], e);
		k->kept[q->tensor] = needs[e];
	}
	return k->kept[q->tensor];
}

/* Equation `first`, and all that those wanted so far need. */
static void need(struct cut *k, uint32_t at, uint32_t first)
{
	bool *needs = k->part[at].needs;
	needs[first] = true;
	for (uint32_t e = first + 1; e-- > 0;)
		for (uint32_t i = 0; needs[e] && i < k->reads[e].of.n; i++)
			needs[k->reads[e].of.v[i]] |= !finds(k, at, k->reads[e].of.v[i]);
}

static void find_parts(struct cut *k)
{
	const struct cascade *c = k->base;
	k->part = arena_new_array(k->arena, k->parts, struct part);
	for (uint32_t at = 0; at < k->parts; at++) {
		uint32_t last = NO_EQUATION;
		bool *needs = k->part[at].needs = arena_new_array(k->arena, c->equation.n, bool);
		for (uint32_t e = 0; e < c->equation.n; e++)
			if (k->kept[c->equation.v[e].tensor] && k->level[e] == at)
				needs[last = e] = true;
		if (last != NO_EQUATION)
			need(k, at, last);
	}
}

static bool makes(const struct cut *k, uint32_t at, uint32_t e)
{
	return k->level[e] == at && k->kept[k->base->equation.v[e].tensor];
}

struct cascade *part_cascade(struct cut *k, uint32_t at)
{
	const bool *needs = k->part[at].needs;
	struct cascade *c = cascade_clone(k->arena, k->base);
	bool *read = arena_new_array(k->arena, c->tensor.n, bool);
	memset(&c->equation, 0, sizeof c->equation);
	for (uint32_t e = 0; e < k->base->equation.n; e++)
		for (uint32_t i = 0; needs[e] && i < k->reads[e].of.n; i++)
			read[k->base->equation.v[k->reads[e].of.v[i]].tensor] = true;
	for (uint32_t e = 0; e < k->base->equation.n; e++) {
		const struct equation *q = &k->base->equation.v[e];
		struct tensor *t = &c->tensor.v[q->tensor];
		t->equation = NO_EQUATION;
		t->role = !needs[e] && read[q->tensor] ? ROLE_IN : makes(k, at, e) ? ROLE_OUT : ROLE_LOCAL;
		if (needs[e])
			cascade_add_equation(c, *q);
	}
	return c->equation.n ? c : NULL;
}

struct streams *derive_parts(struct arena *a, const struct cascade *from, const struct stream_options *options)
{
	struct cut k = {.arena = a};
	prepare(&k, from);
	find_reads(&k);
	find_levels(&k);
	find_parts(&k);
	return derive_joined(&k, options);
}
