/* A cascade cut into parts that are derived one by one, at selections and at tables.
 *
 * No element of a selection is known before all of its fiber is, so its operand and its result are in memory and
 * nothing is fused across it. A table is what a predicate reads and nobody would compute in its place: a whole
 * number or a condition that was gathered or reduced. Part L is whatever is wanted once the cuts of L levels are
 * done: outputs, tables, the operands of selections, each in the first part it can be in, with all they need. What an earlier part
 * has computed as well is read from memory if it is kept there; reductions are, unless they are inner contractions,
 * which are cheaper to compute again than to keep. To a part, what it finds in memory is an input. The parts' streams
 * are put one after the other, each selection after the part its operand is in, as a stream of its own.
 */
#include <string.h>

#include "codegen/derive.h"
#include "dsl/dtype.h"

struct part {
	bool *needs; /* equations of the base */
};

struct definitions {
	VEC(uint32_t) of; /* equations, each once */
};

struct cut {
	struct arena *arena;
	struct cascade *base;  /* as given, but selections read a tensor, and `where` is the presence of its elements */
	uint32_t given;        /* tensors there were */
	struct definitions *reads; /* equations: what they read, of which there is a definition */
	bool *table;           /* equations */
	uint32_t *level;       /* equations: the part they can first be in; of a selection: its operand */
	bool *kept;            /* tensors: in memory after the part of their level */
	struct expr *presence; /* equations */
	uint32_t parts;
	struct part *part;
};

static bool keeps_row(const struct equation *q, uint32_t index)
{
	return index != (q->select == SELECT_MEMBERS ? q->slot : q->along);
}

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

/* A part as a cascade of its own; NULL when there is nothing in it. */
static struct cascade *part_cascade(struct cut *k, uint32_t at)
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

/* The whole again. */

struct joining {
	struct cut *cut;
	struct streams *s;
	uint32_t *tensor; /* of the result, by tensor of the base; NO_TENSOR: not there yet */
	struct cascade *from;
	uint32_t *map, *index; /* of `from`: tensors and index variables of the result */
	struct expr *memo;
};
#define NO_TENSOR UINT32_MAX

static struct expr copy(struct joining *j, struct expr e)
{
	const struct expr_pool *from = &j->from->pool;
	struct expr_pool *to = &j->s->cascade->pool;
	struct expr *node;
	uint32_t n = e.id ? expr_nodes(from, e, &node) : 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node x = *expr_at(from, node[i]);
		struct expr *memo = &j->memo[node[i].id], operand[16];
		for (int o = 0; o < x.count; o++)
			operand[o] = j->memo[expr_operand(from, node[i], o).id];
		if (memo->id)
			continue;
		switch (x.op) {
		case OP_CONST: *memo = expr_number(to, x.number); break;
		case OP_EXTENT: *memo = expr_leaf(to, OP_EXTENT, KIND_INT, x.symbol); break;
		case OP_INDEX: *memo = expr_leaf(to, OP_INDEX, KIND_INT, j->index[x.symbol]); break;
		case OP_READ: *memo = expr_read(to, (enum kind)x.kind, j->map[x.symbol], x.count, operand); break;
		default: *memo = expr_make(to, (enum op)x.op, x.symbol, x.count, operand);
		}
	}
	return e.id ? j->memo[e.id] : NO_EXPR;
}

static struct equation copy_equation(struct joining *j, const struct equation *from)
{
	struct equation q = *from;
	q.tensor = j->map[q.tensor];
	for (int i = 0; i < q.nindex; i++)
		q.index[i] = j->index[q.index[i]];
	for (int i = 0; i < q.nreduced; i++)
		q.reduced[i] = j->index[q.reduced[i]];
	q.body = copy(j, q.body);
	q.where = copy(j, q.where);
	q.otherwise = copy(j, q.otherwise);
	q.argument = copy(j, q.argument);
	return q;
}

/* Adds a tensor of j->from, under a name that neither the result nor the base has, unless it is the base's own. */
static uint32_t add_tensor(struct joining *j, uint32_t t, uint32_t own)
{
	struct cascade *c = j->s->cascade;
	struct tensor x = j->from->tensor.v[t];
	x.role = own == NO_TENSOR ? ROLE_LOCAL : x.role;
	for (int i = 0; i < x.nranks; i++)
		x.extent[i] = copy(j, x.extent[i]);
	const char *stem = x.name;
	for (int i = 2; own == NO_TENSOR && (cascade_find_tensor(c, x.name) != UINT32_MAX ||
	                                     cascade_find_tensor(j->cut->base, x.name) != UINT32_MAX);
	     i++)
		x.name = arena_printf(c->arena, "%s%d", stem, i);
	return cascade_add_tensor(c, x);
}

/* From now on expressions are copied from this cascade. Its variables beyond the base's are added. */
static void copy_from(struct joining *j, struct cascade *from)
{
	struct arena *a = j->cut->arena;
	struct cascade *c = j->s->cascade;
	j->from = from;
	j->map = arena_new_array(a, from->tensor.n, uint32_t);
	j->index = arena_new_array(a, from->index.n, uint32_t);
	j->memo = arena_new_array(a, from->pool.node.n, struct expr);
	for (uint32_t i = 0; i < from->index.n; i++) {
		const struct index *x = &from->index.v[i];
		if (i < j->cut->base->index.n) {
			j->index[i] = i;
			continue;
		}
		j->index[i] = cascade_add_index(c, cascade_fresh_index(c, x->name), x->rank);
		c->index.v[j->index[i]].extent = copy(j, x->extent);
	}
}

/* A part's tensors: those of the base by their name. One that the result has a definition of already gets another
 * name: it is computed again, and need not be computed the same way. */
static void join_part(struct joining *j, const struct streams *part)
{
	struct cut *k = j->cut;
	struct cascade *c = j->s->cascade;
	copy_from(j, part->cascade);
	uint32_t *equation = arena_new_array(k->arena, part->cascade->equation.n, uint32_t);
	for (uint32_t t = 0; t < part->cascade->tensor.n; t++) {
		const struct tensor *x = &part->cascade->tensor.v[t];
		uint32_t own = cascade_find_tensor(k->base, x->name);
		bool again = own == NO_TENSOR || (x->equation != NO_EQUATION && j->tensor[own] != NO_TENSOR &&
		                                  c->tensor.v[j->tensor[own]].equation != NO_EQUATION);
		if (again) {
			j->map[t] = add_tensor(j, t, NO_TENSOR);
			continue;
		}
		if (j->tensor[own] == NO_TENSOR) {
			j->tensor[own] = add_tensor(j, t, own);
			c->tensor.v[j->tensor[own]].role = ROLE_LOCAL;
		}
		j->map[t] = j->tensor[own];
	}
	for (uint32_t e = 0; e < part->cascade->equation.n; e++)
		equation[e] = cascade_add_equation(c, copy_equation(j, &part->cascade->equation.v[e]));
	for (uint32_t i = 0; i < part->stream.n; i++) {
		const struct stream *x = &part->stream.v[i];
		struct stream s = {.index = x->index == NO_INDEX ? NO_INDEX : j->index[x->index]};
		s.present = copy(j, x->present);
		for (uint32_t n = 0; n < x->row.n; n++)
			vec_push(k->arena, &s.row, j->index[x->row.v[n]]);
		for (uint32_t n = 0; n < x->local.n; n++)
			vec_push(k->arena, &s.local, equation[x->local.v[n]]);
		for (uint32_t n = 0; n < x->after.n; n++)
			vec_push(k->arena, &s.after, equation[x->after.v[n]]);
		for (uint32_t n = 0; n < x->carry.n; n++) {
			struct carry y = x->carry.v[n];
			y.equation = equation[y.equation];
			for (int t = 0; t < y.terms; t++)
				y.term[t].factor = copy(j, y.term[t].factor);
			vec_push(k->arena, &s.carry, y);
		}
		vec_push(k->arena, &j->s->stream, s);
	}
}

/* The tensor of the given cascade that one of the base stands for: an operand's is the selection's. */
static uint32_t given(const struct cut *k, uint32_t tensor)
{
	const struct cascade *c = k->base;
	for (uint32_t e = 0; tensor != UINT32_MAX && tensor >= k->given && e < c->equation.n; e++)
		if (c->equation.v[e].select && expr_at(&c->pool, c->equation.v[e].body)->symbol == tensor)
			return c->equation.v[e].tensor;
	return tensor;
}

static void join_selection(struct joining *j, uint32_t e)
{
	struct cut *k = j->cut;
	struct cascade *base = k->base;
	const struct equation *q = &base->equation.v[e];
	const struct selection_info *info = &selection_info[q->select];
	copy_from(j, base);
	if (j->tensor[q->tensor] == NO_TENSOR)
		j->tensor[q->tensor] = add_tensor(j, q->tensor, q->tensor);
	memcpy(j->map, j->tensor, base->tensor.n * sizeof *j->map);
	uint32_t made = cascade_add_equation(j->s->cascade, copy_equation(j, q));
	struct stream s = {.index = q->along, .selects = true};
	s.present = j->s->cascade->equation.v[made].where;
	for (int i = 0; i < q->nindex; i++)
		if (keeps_row(q, q->index[i]))
			vec_push(k->arena, &s.row, q->index[i]);
	vec_push(k->arena, &s.local, made);
	vec_push(k->arena, &j->s->stream, s);
	uint32_t operand = expr_at(&base->pool, q->body)->symbol;
	struct rewrite r = {.mode = MODE_BARRIER, .tensor = q->tensor, .on = given(k, operand), .span = q->span};
	r.on = r.on == q->tensor || base->tensor.v[operand].equation == NO_EQUATION ? UINT32_MAX : r.on;
	r.reason = arena_printf(k->arena, "%s needs the whole fiber over %s before anything is known of an element",
	                        info->spelling, base->index.v[q->along].name);
	vec_push(k->arena, &j->s->rewrite, r);
}

struct streams *derive_parts(struct arena *a, const struct cascade *from,
                                  const struct stream_options *options)
{
	struct cut k = {.arena = a};
	prepare(&k, from);
	find_reads(&k);
	find_levels(&k);
	find_parts(&k);
	struct joining j = {.cut = &k, .s = arena_new(a, struct streams)};
	struct cascade *c = j.s->cascade = cascade_clone(a, k.base);
	memset(&c->equation, 0, sizeof c->equation);
	memset(&c->tensor, 0, sizeof c->tensor);
	j.tensor = arena_new_array(a, k.base->tensor.n, uint32_t);
	memset(j.tensor, 0xff, k.base->tensor.n * sizeof *j.tensor);
	copy_from(&j, k.base);
	for (uint32_t t = 0; t < k.given; t++)
		if (k.base->tensor.v[t].role != ROLE_LOCAL)
			j.tensor[t] = add_tensor(&j, t, t);
	for (uint32_t at = 0; at < k.parts; at++) {
		struct cascade *part = part_cascade(&k, at);
		struct streams *s = part ? derive_streams(a, part, options) : NULL;
		if (s)
			join_part(&j, s);
		for (uint32_t i = 0; s && i < s->rewrite.n; i++) {
			struct rewrite r = s->rewrite.v[i];
			r.tensor = given(&k, r.tensor);
			r.on = given(&k, r.on);
			vec_push(a, &j.s->rewrite, r);
		}
		for (uint32_t e = 0; e < k.base->equation.n; e++)
			if (k.base->equation.v[e].select && k.level[e] == at)
				join_selection(&j, e);
	}
	return j.s;
}
