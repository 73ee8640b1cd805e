/* A home for every equation an output needs, and the result in order. */
#include <string.h>

#include "codegen/derive.h"

static struct expr_pool *pool(const struct derivation *d)
{
	return &d->c->pool;
}

static bool is_output(const struct derivation *d, uint32_t i)
{
	return d->c->tensor.v[d->c->equation.v[i].tensor].role == ROLE_OUT;
}

static bool reads_local(const struct derivation *d, struct expr e)
{
	struct expr *read;
	uint32_t n = derive_reads(pool(d), e, &read);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t def = derive_definition(d->c, read[i]);
		if (def != NO_EQUATION && d->fact.v[def].place == PLACE_LOCAL)
			return true;
	}
	return false;
}

/* An output computed and stored tile by tile: in a group that walks its coordinates, or one of its own. */
static void place_dense(struct derivation *d, uint32_t i, uint64_t needs)
{
	const struct equation *q = &d->c->equation.v[i];
	uint32_t index = q->index[q->nindex - 1];
	for (uint32_t g = 0; g < d->group.n; g++) {
		struct group *at = &d->group.v[g];
		if (at->index == NO_INDEX || !index_in(q->index, q->nindex, at->index))
			continue;
		index = at->index;
		if (at->nrow + 1 == q->nindex && index_subset(at->row, at->nrow, q->index, q->nindex) &&
		    !(needs >> g & 1) && derive_joinable(d, needs, (int)g)) {
			vec_push(d->arena, &at->map, i);
			d->fact.v[i].group = (int)g;
			d->stamp++;
			return;
		}
	}
	uint32_t row[MAX_RANKS];
	int n = 0;
	for (int k = 0; k < q->nindex; k++)
		if (q->index[k] != index)
			row[n++] = q->index[k];
	int g = derive_new_group(d, index, row, n);
	vec_push(d->arena, &d->group.v[g].map, i);
	d->fact.v[i].group = g;
}

/* Does a coordinate of the read depend on what group g makes? Such an element is looked up once that is in memory. */
static bool gathers_by(const struct derivation *d, uint32_t g, struct expr read)
{
	for (int k = 0; k < expr_at(pool(d), read)->count; k++) {
		struct expr *inner;
		uint32_t n = derive_reads(pool(d), expr_operand(pool(d), read, k), &inner);
		for (uint32_t i = 0; i < n; i++) {
			uint32_t def = derive_definition(d->c, inner[i]);
			if (def != NO_EQUATION && d->fact.v[def].group == (int)g)
				return true;
		}
	}
	return false;
}

/* Can it be computed row by row when group g has finished a row? */
static bool fits_after(struct derivation *d, uint32_t g, const struct equation *q, struct expr body)
{
	const struct group *at = &d->group.v[g];
	uint32_t has[MAX_RANKS * 4];
	int n = 0;
	if (at->index == NO_INDEX || !at->carry.n)
		return false;
	for (uint32_t i = 0; i < at->carry.n; i++) {
		const struct equation *c = &d->c->equation.v[at->carry.v[i].equation];
		for (int k = 0; k < c->nindex; k++)
			if (!index_in(has, n, c->index[k]) && n < MAX_RANKS * 4)
				has[n++] = c->index[k];
	}
	if (!index_subset(at->row, at->nrow, q->index, q->nindex) ||
	    !index_subset(q->index, q->nindex, has, n))
		return false;
	struct expr *read;
	uint32_t reads = derive_reads(pool(d), body, &read);
	for (uint32_t i = 0; i < reads; i++) {
		uint32_t def = derive_definition(d->c, read[i]);
		if (def != NO_EQUATION && d->fact.v[def].group == (int)g && !derive_identity(d->c, read[i]))
			return false;
		if (gathers_by(d, g, read[i]))
			return false;
	}
	return true;
}

static void place_output(struct derivation *d, uint32_t i)
{
	struct equation *q = &d->c->equation.v[i];
	struct expr body = q->body = d->fact.v[i].inlined;
	uint64_t needs = derive_direct(d, body) | derive_direct(d, d->fact.v[i].presence);
	if (q->nindex && reads_local(d, body)) {
		place_dense(d, i, needs);
		return;
	}
	for (uint32_t g = d->group.n; g-- > 0;) {
		if (!(needs >> g & 1) || !fits_after(d, g, q, body) || !derive_joinable(d, needs, (int)g))
			continue;
		vec_push(d->arena, &d->group.v[g].after, i);
		d->group.v[g].extra |= needs & ~((uint64_t)1 << g);
		d->stamp++;
		return;
	}
	int g = derive_new_group(d, NO_INDEX, q->index, q->nindex);
	vec_push(d->arena, &d->group.v[g].map, i);
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

/* A reduction that was put together after its stream, and that other streams read: they read it from memory
 * rather than put it together for every term. */
static void keep_result(struct derivation *d, uint32_t i)
{
	struct equation *q = &d->c->equation.v[i];
	struct expr result = d->fact.v[i].inlined;
	uint64_t needs = derive_direct(d, result);
	uint32_t home = d->group.n;
	for (uint32_t g = 0; g < d->group.n; g++)
		if ((needs >> g & 1) && fits_after(d, g, q, result) && derive_joinable(d, needs, (int)g))
			home = g;
	if (home == d->group.n || expr_at(pool(d), result)->op == OP_READ)
		return;
	struct naming by = {result, cascade_read(d->c, q->tensor, q->index, q->nindex)};
	bool used = false;
	for (uint32_t k = 0; k < d->c->equation.n; k++) {
		const struct fact *f = &d->fact.v[k];
		if ((f->place != PLACE_CARRY && f->place != PLACE_LOCAL) || f->group == (int)home)
			continue;
		struct expr body = expr_rewrite(pool(d), d->c->equation.v[k].body, put_name, &by);
		used |= !expr_same(body, d->c->equation.v[k].body);
		d->c->equation.v[k].body = body;
	}
	if (!used)
		return;
	for (uint32_t k = i + 1; k < d->c->equation.n; k++)
		if (d->fact.v[k].place == PLACE_INLINE && is_output(d, k))
			d->fact.v[k].inlined = expr_rewrite(pool(d), d->fact.v[k].inlined, put_name, &by);
	q = &d->c->equation.v[i];
	q->body = result;
	d->fact.v[i].place = PLACE_MAP;
	d->fact.v[i].group = (int)home;
	vec_push(d->arena, &d->group.v[home].after, i);
	d->group.v[home].extra |= needs & ~((uint64_t)1 << home);
	d->stamp++;
}

/* Liveness. */

static void live_expr(struct derivation *, struct expr);

static void live(struct derivation *d, uint32_t i)
{
	struct fact *f = &d->fact.v[i];
	if (f->live)
		return;
	f->live = true;
	live_expr(d, d->c->equation.v[i].body);
	live_expr(d, d->c->equation.v[i].where);
	live_expr(d, d->fact.v[i].presence);
	if (f->place != PLACE_CARRY || f->group == NO_GROUP)
		return;
	struct group *g = &d->group.v[f->group];
	for (uint32_t k = 0; k < g->carry.n; k++) {
		if (g->carry.v[k].equation != i)
			continue;
		for (int t = 0; t < g->carry.v[k].terms; t++) {
			live(d, g->carry.v[g->carry.v[k].term[t].carry].equation);
			live_expr(d, g->carry.v[k].term[t].factor);
		}
	}
}

static void live_expr(struct derivation *d, struct expr e)
{
	struct expr *read;
	uint32_t n = derive_reads(pool(d), e, &read);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t def = derive_definition(d->c, read[i]);
		if (def != NO_EQUATION)
			live(d, def);
	}
}

static void drop_dead(struct derivation *d, struct group *g)
{
	uint32_t n = 0, *moved = arena_new_array(d->arena, g->carry.n, uint32_t);
	for (uint32_t i = 0; i < g->carry.n; i++) {
		moved[i] = n;
		if (d->fact.v[g->carry.v[i].equation].live)
			g->carry.v[n++] = g->carry.v[i];
	}
	g->carry.n = n;
	for (uint32_t i = 0; i < n; i++)
		for (int t = 0; t < g->carry.v[i].terms; t++)
			g->carry.v[i].term[t].carry = moved[g->carry.v[i].term[t].carry];
	n = 0;
	for (uint32_t i = 0; i < g->map.n; i++)
		if (d->fact.v[g->map.v[i]].live)
			g->map.v[n++] = g->map.v[i];
	g->map.n = n;
	n = 0;
	for (uint32_t i = 0; i < g->after.n; i++)
		if (d->fact.v[g->after.v[i]].live)
			g->after.v[n++] = g->after.v[i];
	g->after.n = n;
}

/* An inner contraction that is an output but whose readers are all dead. */
static void place_orphans(struct derivation *d)
{
	for (uint32_t i = 0; i < d->c->equation.n; i++) {
		if (d->fact.v[i].place != PLACE_LOCAL || !is_output(d, i))
			continue;
		bool found = false;
		for (uint32_t g = 0; g < d->group.n; g++)
			for (uint32_t k = 0; k < d->group.v[g].local.n; k++)
				found |= d->group.v[g].local.v[k] == i;
		if (found)
			continue;
		const struct equation *q = &d->c->equation.v[i];
		int g = derive_new_group(d, q->index[q->nindex - 1], q->index, q->nindex - 1);
		vec_push(d->arena, &d->group.v[g].local, i);
	}
}

/* The result. */

struct assembly {
	struct derivation *d;
	struct streams *s;
	VEC(uint32_t) from; /* equation of the working cascade, by equation of the result */
};

static void emit(struct assembly *r, uint32_t i)
{
	struct derivation *d = r->d;
	struct fact *f = &d->fact.v[i];
	if (f->emitted)
		return;
	f->emitted = UINT32_MAX; /* no cycles: a carry reads earlier ones only */
	for (int side = 0; side < 2; side++) {
		struct expr *read;
		uint32_t n = derive_reads(pool(d),
		                          side ? d->c->equation.v[i].where : d->c->equation.v[i].body, &read);
		for (uint32_t k = 0; k < n; k++) {
			uint32_t def = derive_definition(d->c, read[k]);
			if (def != NO_EQUATION)
				emit(r, def);
		}
	}
	vec_push(d->arena, &r->from, i);
	vec_push(r->s->cascade->arena, &r->s->cascade->equation, d->c->equation.v[i]);
	f->emitted = r->s->cascade->equation.n;
}

static uint32_t emitted(struct assembly *r, uint32_t i)
{
	emit(r, i);
	return r->d->fact.v[i].emitted - 1;
}

static struct expr hull(struct derivation *d, const struct group *g)
{
	VEC(struct expr) part = {0};
	for (uint32_t i = 0; i < g->carry.n + g->map.n + g->local.n; i++) {
		uint32_t q = i < g->carry.n              ? g->carry.v[i].equation
		             : i < g->carry.n + g->map.n ? g->map.v[i - g->carry.n]
		                                         : g->local.v[i - g->carry.n - g->map.n];
		if (i >= g->carry.n && !is_output(d, q))
			continue;
		struct expr p = d->fact.v[q].presence;
		const struct equation *e = &d->c->equation.v[q];
		if (!p.id)
			return NO_EXPR;
		for (int k = 0; k < e->nindex; k++)
			if (e->index[k] != g->index && !index_in(g->row, g->nrow, e->index[k]) &&
			    expr_mentions(pool(d), p, OP_INDEX, e->index[k]))
				return NO_EXPR;
		bool covered = false;
		for (uint32_t k = 0; k < part.n; k++)
			covered |= condition_implies(pool(d), p, part.v[k]);
		if (covered)
			continue;
		uint32_t kept = 0;
		for (uint32_t k = 0; k < part.n; k++)
			if (!condition_implies(pool(d), part.v[k], p))
				part.v[kept++] = part.v[k];
		part.n = kept;
		vec_push(d->arena, &part, p);
	}
	struct expr all = NO_EXPR;
	for (uint32_t k = 0; k < part.n; k++)
		all = all.id ? expr2(pool(d), OP_OR, all, part.v[k]) : part.v[k];
	return all;
}

/* A contraction alone: its last index is wide, the others are the rows. */
static int contraction_rows(const struct derivation *d, const struct group *g)
{
	if (g->index == NO_INDEX)
		return g->nrow > 1 ? g->nrow - 1 : g->nrow;
	for (uint32_t i = 0; i < g->carry.n; i++) {
		const struct equation *q = &d->c->equation.v[g->carry.v[i].equation];
		struct expr *read;
		uint32_t n = derive_reads(pool(d), q->body, &read);
		if (q->reduce != REDUCE_SUM || g->carry.v[i].terms || q->nindex != g->nrow || g->nrow < 2 ||
		    n < 2)
			return g->nrow;
		for (uint32_t k = 0; k < n; k++)
			if (index_subset(q->index, q->nindex, g->row, g->nrow) &&
			    derive_definition(d->c, read[k]) == g->carry.v[i].equation)
				return g->nrow;
		int left = 0, right = 0;
		uint32_t last = g->row[g->nrow - 1];
		for (uint32_t k = 0; k < n; k++) {
			if (!expr_mentions(pool(d), read[k], OP_INDEX, g->index))
				continue;
			bool all = true;
			for (int r = 0; r < g->nrow; r++)
				all &= expr_mentions(pool(d), read[k], OP_INDEX, g->row[r]);
			if (all)
				return g->nrow;
			if (expr_mentions(pool(d), read[k], OP_INDEX, last))
				right++;
			else
				left++;
		}
		if (!left || !right)
			return g->nrow;
	}
	return g->carry.n ? g->nrow - 1 : g->nrow;
}

static void emit_group(struct assembly *r, uint32_t at)
{
	struct derivation *d = r->d;
	struct arena *a = d->arena;
	const struct group *g = &d->group.v[at];
	struct stream s = {.index = g->index, .present = g->present};
	int rows = contraction_rows(d, g);
	for (int i = 0; i < rows; i++)
		vec_push(a, &s.row, g->row[i]);
	for (uint32_t i = 0; i < g->local.n; i++)
		vec_push(a, &s.local, emitted(r, g->local.v[i]));
	for (uint32_t i = 0; i < g->carry.n; i++) {
		struct carry c = g->carry.v[i];
		c.equation = emitted(r, c.equation);
		vec_push(a, &s.carry, c);
	}
	for (uint32_t i = 0; g->index == NO_INDEX && i < g->map.n; i++)
		vec_push(a, &s.after, emitted(r, g->map.v[i]));
	for (uint32_t i = 0; i < g->after.n; i++)
		vec_push(a, &s.after, emitted(r, g->after.v[i]));
	vec_push(a, &r->s->stream, s);
}

/* Presence was written out with the bodies: what a body alone no longer says goes into `where`. A carry says
 * it only if its body does not: the others are put right first, then carries get their own `where`, then all
 * of it. */
static void restore_presence(struct assembly *r)
{
	struct cascade *c = r->s->cascade;
	struct expr *now = arena_new_array(c->arena, c->equation.n, struct expr);
	for (int round = 0; round < 4; round++) {
		if (round)
			cascade_presences(c, now);
		for (uint32_t i = 0; i < c->equation.n; i++) {
			uint32_t from = r->from.v[i];
			const struct fact *f = &r->d->fact.v[from];
			struct equation *q = &c->equation.v[i];
			if (f->made)
				continue;
			bool carry = f->place == PLACE_CARRY;
			if (round == 0 && carry)
				q->where = NO_EXPR;
			else if (round && carry == (round > 1) && !expr_same(now[i], f->presence))
				q->where = round == 2 ? r->d->c->equation.v[from].where : f->presence;
		}
	}
}

static void finish(struct assembly *r)
{
	streams_define(r->s);
	if (!r->d->options->unfused)
		restore_presence(r);
	streams_compact(r->s);
}

static struct assembly start(struct derivation *d)
{
	struct assembly r = {.d = d, .s = arena_new(d->arena, struct streams)};
	r.s->cascade = cascade_clone(d->arena, d->c);
	memset(&r.s->cascade->equation, 0, sizeof r.s->cascade->equation);
	r.s->rewrite.v = d->rewrite.v;
	r.s->rewrite.n = r.s->rewrite.cap = d->rewrite.n;
	return r;
}

struct streams *derive_place(struct derivation *d)
{
	uint32_t n = d->c->equation.n;
	for (uint32_t i = 0; i < n; i++)
		if (d->fact.v[i].place == PLACE_INLINE && d->fact.v[i].original.id)
			keep_result(d, i);
	for (uint32_t i = 0; i < n; i++)
		if (d->fact.v[i].place == PLACE_INLINE && is_output(d, i))
			place_output(d, i);
	for (uint32_t i = 0; i < n; i++)
		if (is_output(d, i))
			live(d, i);
	for (uint32_t g = 0; g < d->group.n; g++)
		drop_dead(d, &d->group.v[g]);
	derive_fold_maps(d);
	for (uint32_t g = 0; g < d->group.n; g++)
		derive_locals(d, g);
	for (uint32_t g = 0; g < d->group.n; g++)
		derive_shared_parts(d, g);
	for (uint32_t g = 0; g < d->group.n; g++)
		derive_collect_locals(d, g);
	place_orphans(d);
	uint64_t all = d->group.n == 64 ? UINT64_MAX : ((uint64_t)1 << d->group.n) - 1, done = 0;
	uint64_t *needs = arena_new_array(d->arena, d->group.n, uint64_t);
	for (uint32_t g = 0; g < d->group.n; g++) {
		needs[g] = derive_closure(d, (uint64_t)1 << g) & ~((uint64_t)1 << g);
		d->group.v[g].present = hull(d, &d->group.v[g]);
	}
	struct assembly r = start(d);
	while (done != all) {
		uint32_t g = 0;
		while ((done >> g & 1) || (needs[g] & ~done))
			g++;
		done |= (uint64_t)1 << g;
		const struct group *at = &d->group.v[g];
		if (at->carry.n || at->map.n || at->local.n || at->after.n)
			emit_group(&r, g);
	}
	finish(&r);
	return r.s;
}

/* The naive form: every equation on its own, every tensor in memory. */
struct streams *derive_unfused(struct derivation *d)
{
	for (uint32_t i = 0; i < d->c->equation.n; i++) {
		const struct equation *q = &d->c->equation.v[i];
		struct group g = {.index = q->nreduced ? q->reduced[0] : NO_INDEX, .nrow = q->nindex};
		memcpy(g.row, q->index, sizeof g.row);
		if (q->nreduced)
			vec_push(d->arena, &g.carry, (struct carry){.equation = i});
		else
			vec_push(d->arena, &g.map, i);
		d->fact.v[i].place = q->nreduced ? PLACE_CARRY : PLACE_MAP;
		vec_push(d->arena, &d->group, g);
	}
	for (uint32_t g = 0; g < d->group.n; g++)
		d->group.v[g].present = hull(d, &d->group.v[g]);
	struct assembly r = start(d);
	for (uint32_t g = 0; g < d->group.n; g++)
		emit_group(&r, g);
	finish(&r);
	return r.s;
}
