/* The locals of a group: inner contractions, and the maps that its bodies share inside a tile.
 *
 * Bodies come here with every map written out. A part that is one of the user's own maps gets its name back;
 * what a wide carry multiplies its wide operand by becomes a map of its own, so that the carry is a
 * contraction of two tensors.
 */
#include "codegen/derive.h"

static struct expr_pool *pool(const struct derivation *d)
{
	return &d->c->pool;
}

struct folding {
	const struct derivation *d;
	const uint32_t *within; /* a map counts when it has all of these indices */
	int nwithin;
	uint32_t before;      /* and stands before this equation */
	uint32_t self;        /* and is not this one */
	struct expr presence; /* of the body: a map with a `where` of its own must be present where that is */
	int group;            /* NO_GROUP, or: an output counts only when this group stores it */
};

static struct expr fold_node(struct expr_pool *p, struct expr e, void *context)
{
	const struct folding *f = context;
	const struct derivation *d = f->d;
	if (!expr_at(p, e)->count || expr_at(p, e)->op == OP_READ || expr_at(p, e)->kind != KIND_REAL)
		return e;
	for (uint32_t i = 0; i < f->before; i++) {
		const struct equation *q = &d->c->equation.v[i];
		const struct fact *t = &d->fact.v[i];
		if (i == f->self || t->place != PLACE_INLINE || !t->folded.id || !expr_same(t->folded, e) ||
		    (q->where.id && !expr_same(t->presence, f->presence)) ||
		    !index_subset(f->within, f->nwithin, q->index, q->nindex))
			continue;
		if (d->c->tensor.v[q->tensor].role == ROLE_OUT && t->group != f->group)
			continue;
		return cascade_read(d->c, q->tensor, q->index, q->nindex);
	}
	return e;
}

/* Every map in terms of the maps over the same indices before it. */
void derive_fold_maps(struct derivation *d)
{
	for (uint32_t i = 0; i < d->c->equation.n; i++) {
		const struct equation *q = &d->c->equation.v[i];
		struct fact *f = &d->fact.v[i];
		if (f->place != PLACE_INLINE || !q->nindex)
			continue;
		struct folding by = {d, q->index, q->nindex, i, i, f->presence, NO_GROUP};
		f->folded = expr_rewrite(pool(d), f->inlined, fold_node, &by);
	}
}

/* A product, taken apart. */
enum { SIDES = 2, FACTORS = 16 };
struct parts {
	int n;
	struct expr factor[FACTORS];
	bool below[FACTORS]; /* divides */
	bool wide[FACTORS];
};

static bool take_apart(const struct derivation *d, struct expr e, bool below, struct parts *p)
{
	const struct expr_node n = *expr_at(pool(d), e);
	if (n.op == OP_MUL || n.op == OP_DIV)
		return take_apart(d, expr_operand(pool(d), e, 0), below, p) &&
		       take_apart(d, expr_operand(pool(d), e, 1), below ^ (n.op == OP_DIV), p);
	if (p->n == FACTORS)
		return false;
	p->factor[p->n] = e;
	p->below[p->n++] = below;
	return true;
}

static struct expr put_together(const struct derivation *d, const struct parts *p, bool wide)
{
	struct expr over = NO_EXPR;
	for (int below = 0; below < SIDES; below++)
		for (int i = 0; i < p->n; i++) {
			if (p->wide[i] != wide || p->below[i] != (bool)below)
				continue;
			if (!over.id)
				over = below ? expr2(pool(d), OP_DIV, expr_number(pool(d), 1), p->factor[i])
				             : p->factor[i];
			else
				over = expr2(pool(d), below ? OP_DIV : OP_MUL, over, p->factor[i]);
		}
	return over;
}

/* sum of (narrow · wide) with a narrow part that is more than one tensor: gives that a name. */
static void name_narrow(struct derivation *d, uint32_t g, uint32_t carry)
{
	const struct group at = d->group.v[g];
	struct equation q = d->c->equation.v[carry];
	struct parts p = {0};
	int narrow = 0, wide = 0;
	if (q.reduce != REDUCE_SUM || q.nindex <= at.nrow || !take_apart(d, q.body, false, &p))
		return;
	for (int i = 0; i < p.n; i++) {
		for (int k = 0; k < q.nindex; k++)
			p.wide[i] |= !index_in(at.row, at.nrow, q.index[k]) &&
			             expr_mentions(pool(d), p.factor[i], OP_INDEX, q.index[k]);
		*(p.wide[i] ? &wide : &narrow) += 1;
	}
	if (!wide || !narrow)
		return;
	struct expr left = put_together(d, &p, false), right = put_together(d, &p, true);
	if (expr_at(pool(d), left)->op == OP_READ || !expr_mentions(pool(d), left, OP_INDEX, at.index))
		return;
	/* A map that was named for another carry of this group serves here too. */
	uint32_t made = NO_EQUATION;
	for (uint32_t i = 0; i < at.local.n && made == NO_EQUATION; i++)
		if (expr_same(d->c->equation.v[at.local.v[i]].body, left))
			made = at.local.v[i];
	if (made == NO_EQUATION) {
		struct equation e = {.tensor = q.tensor, .nindex = at.nrow, .body = left, .span = q.span};
		for (int i = 0; i < at.nrow; i++)
			e.index[i] = at.row[i];
		if (e.nindex == MAX_RANKS)
			return;
		e.index[e.nindex++] = at.index;
		made = derive_new_equation(d,
		                           arena_printf(d->arena, "%s_weight", d->c->tensor.v[q.tensor].name),
		                           e, d->fact.v[carry].origin);
		struct fact *f = &d->fact.v[made];
		f->place = PLACE_INLINE;
		f->inlined = f->folded = left;
		f->live = f->made = true;
		vec_push(d->arena, &d->group.v[g].local, made);
	}
	const struct equation *m = &d->c->equation.v[made];
	d->c->equation.v[carry].body =
	        expr2(pool(d), OP_MUL, cascade_read(d->c, m->tensor, m->index, m->nindex), right);
}

static void fold_body(struct derivation *d, uint32_t g, uint32_t equation)
{
	const struct group *at = &d->group.v[g];
	uint32_t within[MAX_RANKS + 1];
	int n = 0;
	for (; n < at->nrow; n++)
		within[n] = at->row[n];
	within[n++] = at->index;
	struct folding by = {d, within, n, d->c->equation.n, equation, d->fact.v[equation].presence, (int)g};
	struct equation *q = &d->c->equation.v[equation];
	q->body = expr_rewrite(pool(d), q->body, fold_node, &by);
}

static void collect(struct derivation *d, uint32_t g, struct expr e)
{
	struct expr *read;
	uint32_t n = derive_reads(pool(d), e, &read);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t def = derive_definition(d->c, read[i]);
		if (def == NO_EQUATION)
			continue;
		struct fact *f = &d->fact.v[def];
		if (f->place != PLACE_LOCAL && f->place != PLACE_INLINE)
			continue;
		bool known = false;
		for (uint32_t k = 0; k < d->group.v[g].local.n; k++)
			known |= d->group.v[g].local.v[k] == def;
		if (known)
			continue;
		if (f->place == PLACE_INLINE && f->folded.id)
			d->c->equation.v[def].body = f->folded;
		f->live = true;
		collect(d, g, d->c->equation.v[def].body);
		vec_push(d->arena, &d->group.v[g].local, def);
	}
}

/* Parts that several bodies of a tile compute. */

/* Over the rows and the streamed index, all of them and no others. */
static bool same_indices(const struct derivation *d, const struct group *g, struct expr e)
{
	for (uint32_t i = 0; i < d->c->index.n; i++)
		if ((i == g->index || index_in(g->row, g->nrow, i)) != expr_mentions(pool(d), e, OP_INDEX, i))
			return false;
	return true;
}

static bool worth_a_name(const struct derivation *d, const struct group *g, struct expr e)
{
	const struct expr_node *n = expr_at(pool(d), e);
	return n->kind == KIND_REAL && n->count && n->op != OP_READ && n->op != OP_NEG && n->op != OP_OLD &&
	       expr_mentions(pool(d), e, OP_READ, ANY_SYMBOL) && same_indices(d, g, e);
}

static bool other_group_has(const struct derivation *d, const struct group *g, uint32_t equation)
{
	for (uint32_t i = 0; i < d->group.n; i++) {
		const struct group *o = &d->group.v[i];
		bool same = o->index == g->index && o->nrow == g->nrow &&
		            index_subset(o->row, o->nrow, g->row, g->nrow);
		for (uint32_t k = 0; !same && k < o->local.n; k++)
			if (o->local.v[k] == equation)
				return true;
	}
	return false;
}

/* The equations whose bodies are computed in the group's tiles, but inner contractions and maps that streams
 * of another kind have too. */
static uint32_t tile_equations(const struct derivation *d, const struct group *g, uint32_t *list)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < g->carry.n; i++)
		list[n++] = g->carry.v[i].equation;
	for (uint32_t i = 0; i < g->local.n; i++)
		if (d->fact.v[g->local.v[i]].place == PLACE_INLINE && !other_group_has(d, g, g->local.v[i]))
			list[n++] = g->local.v[i];
	return n;
}

/* The largest expression that has two users among the bodies, or NO_EXPR. */
static struct expr shared_part(struct derivation *d, const struct group *g, const uint32_t *list, uint32_t n)
{
	uint32_t size = pool(d)->node.n;
	uint8_t *users = arena_new_array(d->arena, size, uint8_t);
	bool *seen = arena_new_array(d->arena, size, bool);
	struct expr *node, best = NO_EXPR;
	for (uint32_t i = 0; i < n; i++) {
		struct expr body = d->c->equation.v[list[i]].body;
		uint32_t nodes = expr_nodes(pool(d), body, &node);
		users[body.id] = (uint8_t)(users[body.id] < 2 ? users[body.id] + 1 : 2);
		for (uint32_t k = 0; k < nodes; k++) {
			if (seen[node[k].id] || expr_at(pool(d), node[k])->op == OP_READ)
				continue;
			seen[node[k].id] = true;
			for (int o = 0; o < expr_at(pool(d), node[k])->count; o++) {
				uint32_t id = expr_operand(pool(d), node[k], o).id;
				users[id] = (uint8_t)(users[id] < 2 ? users[id] + 1 : 2);
			}
		}
	}
	for (uint32_t id = 1; id < size; id++)
		if (users[id] == 2 && worth_a_name(d, g, (struct expr){id}))
			best = (struct expr){id};
	return best;
}

struct naming {
	struct expr from, to;
};

static struct expr put_name(struct expr_pool *p, struct expr e, void *context)
{
	const struct naming *n = context;
	(void)p;
	return expr_same(e, n->from) ? n->to : e;
}

void derive_shared_parts(struct derivation *d, uint32_t g)
{
	enum { NAMES = 8 };
	if (d->group.v[g].index == NO_INDEX)
		return;
	for (int round = 0; round < NAMES; round++) {
		const struct group at = d->group.v[g];
		uint32_t *list = arena_new_array(d->arena, at.carry.n + at.local.n, uint32_t);
		uint32_t n = tile_equations(d, &at, list);
		struct expr part = shared_part(d, &at, list, n);
		if (!part.id || at.nrow == MAX_RANKS)
			return;
		uint32_t user = list[0]; /* the last of them gives the name */
		for (uint32_t i = 0; i < n; i++) {
			struct expr *node;
			uint32_t nodes = expr_nodes(pool(d), d->c->equation.v[list[i]].body, &node);
			for (uint32_t k = 0; k < nodes; k++)
				user = expr_same(node[k], part) ? list[i] : user;
		}
		const struct equation like = d->c->equation.v[user];
		struct equation e = {
		        .tensor = like.tensor, .nindex = at.nrow, .body = part, .span = like.span};
		for (int i = 0; i < at.nrow; i++)
			e.index[i] = at.row[i];
		e.index[e.nindex++] = at.index;
		uint32_t made = derive_new_equation(
		        d, arena_printf(d->arena, "%s_part", d->c->tensor.v[d->fact.v[user].origin].name), e,
		        d->fact.v[user].origin);
		struct fact *f = &d->fact.v[made];
		f->place = PLACE_INLINE;
		f->inlined = f->folded = part;
		f->live = f->made = true;
		struct naming by = {part,
		                    cascade_read(d->c, d->c->equation.v[made].tensor, e.index, e.nindex)};
		for (uint32_t i = 0; i < n; i++) {
			struct equation *q = &d->c->equation.v[list[i]];
			q->body = expr_rewrite(pool(d), q->body, put_name, &by);
			if (d->fact.v[list[i]].place == PLACE_INLINE)
				d->fact.v[list[i]].folded = q->body;
		}
		vec_push(d->arena, &d->group.v[g].local, made);
	}
	d->stamp++;
}

void derive_collect_locals(struct derivation *d, uint32_t g)
{
	if (d->group.v[g].index == NO_INDEX)
		return;
	d->group.v[g].local.n = 0;
	for (uint32_t i = 0; i < d->group.v[g].carry.n; i++)
		collect(d, g, d->c->equation.v[d->group.v[g].carry.v[i].equation].body);
	for (uint32_t i = 0; i < d->group.v[g].map.n; i++) {
		collect(d, g, d->c->equation.v[d->group.v[g].map.v[i]].body);
		vec_push(d->arena, &d->group.v[g].local, d->group.v[g].map.v[i]);
	}
}

void derive_locals(struct derivation *d, uint32_t g)
{
	if (d->group.v[g].index == NO_INDEX)
		return;
	for (uint32_t i = 0; i < d->group.v[g].carry.n; i++)
		fold_body(d, g, d->group.v[g].carry.v[i].equation);
	for (uint32_t i = 0; i < d->group.v[g].map.n; i++)
		fold_body(d, g, d->group.v[g].map.v[i]);
	for (uint32_t i = 0; i < d->group.v[g].carry.n; i++)
		name_narrow(d, g, d->group.v[g].carry.v[i].equation);
	d->stamp++;
	/* Once more: what was named last may be a part of the other bodies. */
	for (uint32_t i = 0; i < d->group.v[g].carry.n; i++)
		fold_body(d, g, d->group.v[g].carry.v[i].equation);
	derive_collect_locals(d, g);
}
