/* Takes the streamed reductions in order and puts each into a group, by a plan of derive_modes.c. */
#include "codegen/derive.h"

static struct expr_pool *pool(const struct derivation *d)
{
	return &d->c->pool;
}

int derive_new_group(struct derivation *d, uint32_t index, const uint32_t *row, int nrow)
{
	struct group g = {.index = index, .nrow = (uint8_t)nrow};
	for (int i = 0; i < nrow; i++)
		g.row[i] = row[i];
	vec_push(d->arena, &d->group, g);
	d->stamp++;
	return (int)d->group.n - 1;
}

static uint64_t direct_of(struct derivation *d, uint32_t q)
{
	struct fact *f = &d->fact.v[q];
	if (f->group != NO_GROUP)
		return (uint64_t)1 << f->group;
	if (f->place == PLACE_CARRY || f->place == PLACE_MAP)
		return 0; /* not yet placed */
	if (f->stamp != d->stamp) {
		uint64_t all = derive_direct(d, d->c->equation.v[q].body) |
		               derive_direct(d, d->c->equation.v[q].where);
		d->fact.v[q].direct = all;
		d->fact.v[q].stamp = d->stamp;
	}
	return d->fact.v[q].direct;
}

uint64_t derive_direct(struct derivation *d, struct expr e)
{
	struct expr *read;
	uint32_t n = derive_reads(pool(d), e, &read);
	uint64_t all = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t def = derive_definition(d->c, read[i]);
		if (def != NO_EQUATION)
			all |= direct_of(d, def);
	}
	return all;
}

static uint64_t needs_of_equation(struct derivation *d, uint32_t q)
{
	return derive_direct(d, d->c->equation.v[q].body) | derive_direct(d, d->c->equation.v[q].where) |
	       derive_direct(d, d->fact.v[q].presence);
}

uint64_t derive_closure(struct derivation *d, uint64_t groups)
{
	uint64_t done = 0;
	while (groups & ~done) {
		uint32_t g = (uint32_t)__builtin_ctzll(groups & ~done);
		const struct group *at = &d->group.v[g];
		uint64_t needs = at->extra;
		done |= (uint64_t)1 << g;
		for (uint32_t i = 0; i < at->carry.n; i++)
			needs |= needs_of_equation(d, at->carry.v[i].equation);
		for (uint32_t i = 0; i < at->map.n; i++)
			needs |= needs_of_equation(d, at->map.v[i]);
		groups |= needs & ~((uint64_t)1 << g);
	}
	return groups;
}

/* Spelling. */

struct spelling {
	struct derivation *d;
};

static struct expr spell(struct expr_pool *p, struct expr e, void *context)
{
	struct derivation *d = ((struct spelling *)context)->d;
	if (!expr_at(p, e)->count || expr_at(p, e)->op == OP_READ)
		return e;
	for (uint32_t i = 0; i < d->c->equation.n; i++) {
		const struct equation *q = &d->c->equation.v[i];
		if (d->fact.v[i].place == PLACE_INLINE && d->fact.v[i].inlined.id &&
		    expr_same(d->fact.v[i].inlined, e))
			return cascade_read(d->c, q->tensor, q->index, q->nindex);
	}
	return e;
}

static const char *name_of(const void *owner, enum op op, uint32_t symbol)
{
	const struct cascade *c = owner;
	if (op == OP_VALUE)
		return "sum";
	struct expr_names names = cascade_names(c);
	return names.name(names.owner, op, symbol);
}

const char *derive_spell(struct derivation *d, struct expr e)
{
	struct text t;
	struct expr_names names = {name_of, d->c};
	struct expr_node n = *expr_at(pool(d), e);
	struct expr x[3];
	text_init(&t, d->arena);
	/* The whole is not named: it is what the sentence is about. */
	if (n.count && n.op != OP_READ) {
		for (int i = 0; i < n.count; i++)
			x[i] = expr_rewrite(pool(d), expr_operand(pool(d), e, i), spell,
			                    &(struct spelling){d});
		e = expr_make(pool(d), (enum op)n.op, n.symbol, n.count, x);
	}
	expr_print(pool(d), e, &names, &t);
	return t.s;
}

const char *derive_spell_name(struct derivation *d, struct expr e)
{
	return derive_spell(d, expr_rewrite(pool(d), e, spell, &(struct spelling){d}));
}

/* Which group. */

static bool reads_along(const struct derivation *d, struct expr e, uint32_t tensor, uint32_t index)
{
	struct expr *read;
	uint32_t n = derive_reads(&d->c->pool, e, &read);
	for (uint32_t i = 0; i < n; i++)
		if (expr_at(&d->c->pool, read[i])->symbol == tensor &&
		    expr_mentions(&d->c->pool, read[i], OP_INDEX, index))
			return true;
	return false;
}

/* Do they read some tensor in common along the streamed index? */
static bool shares(struct derivation *d, const struct group *g, struct expr body)
{
	struct expr *read;
	uint32_t n = derive_reads(pool(d), body, &read);
	for (uint32_t i = 0; i < n; i++) {
		if (!expr_mentions(pool(d), read[i], OP_INDEX, g->index))
			continue;
		for (uint32_t k = 0; k < g->carry.n; k++)
			if (reads_along(d, d->c->equation.v[g->carry.v[k].equation].body,
			                expr_at(pool(d), read[i])->symbol, g->index))
				return true;
	}
	return false;
}

static bool all_free(const struct derivation *d, const struct group *g)
{
	for (uint32_t i = 0; i < g->carry.n; i++) {
		if (g->carry.v[i].terms)
			return false;
		for (uint32_t k = 0; k < g->carry.n; k++)
			if (expr_mentions(&d->c->pool, d->c->equation.v[g->carry.v[i].equation].body, OP_READ,
			                  d->c->equation.v[g->carry.v[k].equation].tensor))
				return false;
	}
	return true;
}

/* Can the rows of the group be, or become, common to it and the equation? */
static bool rows_agree(struct derivation *d, const struct group *g, const struct equation *q, bool depends)
{
	bool more = index_subset(g->row, g->nrow, q->index, q->nindex);
	bool less = index_subset(q->index, q->nindex, g->row, g->nrow);
	if (more && less)
		return true;
	if (more)
		return depends || (g->nrow && shares(d, g, q->body));
	if (!less || depends || !q->nindex || !all_free(d, g) || !shares(d, g, q->body))
		return false;
	for (int i = 0; i < q->nindex; i++)
		if (g->row[i] != q->index[i])
			return false;
	return true;
}

/* Everything q needs outside the group is ready before the group starts. */
bool derive_joinable(struct derivation *d, uint64_t needs, int g)
{
	uint64_t bit = (uint64_t)1 << g;
	return !(derive_closure(d, needs & ~bit) & bit);
}

/* A carry of the group read at other coordinates than its own, or through a tensor in tiles or memory. */
static const char *entangled(struct derivation *d, int g, uint32_t equation, struct expr body, uint32_t *on)
{
	uint64_t bit = (uint64_t)1 << g;
	struct expr *read;
	for (int side = 0; side < 2; side++) {
		struct expr e = side ? d->fact.v[equation].presence : body;
		uint32_t n = derive_reads(pool(d), e, &read);
		for (uint32_t i = 0; i < n; i++) {
			uint32_t def = derive_definition(d->c, read[i]);
			if (def == NO_EQUATION || !(direct_of(d, def) & bit))
				continue;
			*on = d->c->equation.v[def].tensor;
			const struct equation *r = &d->c->equation.v[def];
			if (d->fact.v[def].group != g || d->fact.v[def].place != PLACE_CARRY)
				return arena_printf(d->arena, "%s needs the finished value in every term",
				                    derive_spell(d, read[i]));
			if (!derive_identity(d->c, read[i]))
				return arena_printf(d->arena, "%s reads it at other coordinates than its own",
				                    derive_spell(d, read[i]));
			if (!index_subset(r->index, r->nindex, d->group.v[g].row, d->group.v[g].nrow))
				return arena_printf(d->arena,
				                    "%s has more coordinates than the traversal's rows",
				                    derive_spell(d, read[i]));
		}
	}
	return NULL;
}

/* Carrying out a plan. */

struct places {
	struct derivation *d;
	struct expr at[PLAN_ACCUMULATORS];
};

static struct expr put_places(struct expr_pool *p, struct expr e, void *context)
{
	const struct places *q = context;
	return expr_at(p, e)->op == OP_VALUE ? q->at[expr_at(p, e)->symbol] : e;
}

static uint32_t carry_position(const struct derivation *d, int g, struct expr read)
{
	uint32_t t = expr_at(&d->c->pool, read)->symbol;
	for (uint32_t i = 0; i < d->group.v[g].carry.n; i++)
		if (d->c->equation.v[d->group.v[g].carry.v[i].equation].tensor == t)
			return i;
	return UINT32_MAX;
}

/* A group for a plain accumulation that needs none of a stream's rows. */
static int own_group(struct derivation *d, uint32_t index, const struct equation *q, uint64_t needs)
{
	for (uint32_t g = 0; g < d->group.n; g++) {
		const struct group *at = &d->group.v[g];
		if (at->index == index && at->carry.n && at->nrow == q->nindex &&
		    index_subset(q->index, q->nindex, at->row, at->nrow) &&
		    derive_joinable(d, needs, (int)g) &&
		    derive_closure(d, (uint64_t)1 << g) == (uint64_t)1 << g)
			return (int)g;
	}
	return derive_new_group(d, index, q->index, q->nindex);
}

static void carry_out(struct derivation *d, struct plan *p)
{
	struct cascade *c = d->c;
	struct expr_pool *q = pool(d);
	struct equation s = c->equation.v[p->equation];
	struct places places = {.d = d};
	const char *name = c->tensor.v[s.tensor].name;
	bool whole = expr_at(q, p->result)->op == OP_VALUE;
	for (int k = 0; k < p->n; k++) {
		struct accumulator *a = &p->accumulator[k];
		bool is_result = whole && (int)expr_at(q, p->result)->symbol == k && a->nindex == s.nindex;
		struct equation e = {.tensor = s.tensor,
		                     .nindex = a->nindex,
		                     .reduce = a->reduce,
		                     .nreduced = 1,
		                     .reduced = {d->group.v[p->group].index},
		                     .body = expr_rewrite(q, a->body, put_places, &places),
		                     .where = a->presence,
		                     .span = s.span};
		for (int i = 0; i < a->nindex; i++)
			e.index[i] = a->index[i];
		uint32_t at = p->equation;
		if (is_result) {
			e.where = s.where;
			c->equation.v[at] = e;
		} else {
			at = derive_new_equation(d, arena_printf(d->arena, "%s_%s", name, a->suffix), e,
			                         d->fact.v[p->equation].origin);
		}
		const struct equation *made = &c->equation.v[at];
		places.at[k] = cascade_read(c, made->tensor, made->index, made->nindex);
		int g = a->own ? own_group(d, e.reduced[0], &e,
		                           derive_direct(d, e.body) | derive_direct(d, a->presence))
		               : p->group;
		d->fact.v[at].place = PLACE_CARRY;
		d->fact.v[at].group = g;
		d->fact.v[at].done = true;
		d->fact.v[at].presence = a->presence;
		struct carry carry = {.equation = at, .terms = a->terms};
		vec_push(d->arena, &d->group.v[g].carry, carry);
		struct carry *kept = &d->group.v[g].carry.v[d->group.v[g].carry.n - 1];
		for (int t = 0; t < a->terms; t++) {
			struct expr of = expr_rewrite(q, a->term[t].of, put_places, &places);
			kept->term[t].carry = carry_position(d, g, of);
			kept->term[t].factor = expr_rewrite(q, a->term[t].factor, put_places, &places);
		}
	}
	if (d->fact.v[p->equation].group == NO_GROUP) {
		struct equation *t = &c->equation.v[p->equation];
		t->reduce = REDUCE_NONE;
		t->nreduced = 0;
		t->where = NO_EXPR;
		t->body = expr_rewrite(q, p->result, put_places, &places);
		d->fact.v[p->equation].place = PLACE_INLINE;
		d->fact.v[p->equation].presence = NO_EXPR;
		d->fact.v[p->equation].inlined = derive_inlined(d, t->body);
		if (!derive_is_small(d, t->body))
			derive_store(d, p->equation);
	}
	for (int i = 0; i < p->nrewrite; i++)
		vec_push(d->arena, &d->rewrite, p->rewrite[i]);
	d->stamp++;
}

static void shrink_rows(struct group *g, const struct equation *q)
{
	if (q->nindex >= g->nrow)
		return;
	g->nrow = q->nindex;
	for (int i = 0; i < q->nindex; i++)
		g->row[i] = q->index[i];
}

/* Does the equation's range cut across those of the group, so that neither is a part of the other? Then each goes its
 * own way: together, every tile of either would be computed for both. */
static bool apart(const struct derivation *d, const struct group *g, uint32_t i)
{
	const struct expr_pool *p = &d->c->pool;
	struct expr range = d->fact.v[i].presence;
	for (uint32_t k = 0; k < g->carry.n; k++) {
		struct expr other = d->fact.v[g->carry.v[k].equation].presence;
		if (!range.id || !other.id || condition_implies(p, range, other) || condition_implies(p, other, range))
			return false;
	}
	return true;
}

/* Those of these groups that wait for group g. */
static uint64_t waiting(struct derivation *d, uint64_t groups, int g)
{
	uint64_t bit = (uint64_t)1 << g, found = 0;
	for (uint32_t k = 0; k < d->group.n; k++)
		if ((groups & ~bit) >> k & 1 && (derive_closure(d, (uint64_t)1 << k) & bit))
			found |= (uint64_t)1 << k;
	return found;
}

/* Tries one group; a failure that is a barrier leaves its reason in plan. `later`: the groups whose results are
 * done without while it runs. */
static bool try_group(struct derivation *d, uint32_t i, int g, bool depends, uint64_t later, struct plan *plan)
{
	const struct equation *q = &d->c->equation.v[i];
	struct group *at = &d->group.v[g];
	uint64_t needs = derive_direct(d, q->body) | derive_direct(d, d->fact.v[i].presence);
	if (at->index != q->reduced[0] || !at->carry.n || !derive_joinable(d, needs & ~later, g) ||
	    !rows_agree(d, at, q, depends) || (!depends && apart(d, at, i)))
		return false;
	struct plan p = {.d = d, .group = g, .equation = i, .later = later};
	uint32_t on = 0;
	p.why = depends ? entangled(d, g, i, q->body, &on) : NULL;
	p.on = on;
	if (p.why || !derive_plan(&p)) {
		*plan = p;
		return false;
	}
	shrink_rows(at, q);
	carry_out(d, &p);
	return true;
}

static void barrier(struct derivation *d, uint32_t i, const struct plan *p)
{
	const struct equation *q = &d->c->equation.v[i];
	uint32_t on = d->fact.v[d->c->tensor.v[p->on].equation].origin;
	vec_push(d->arena, &d->rewrite,
	         (struct rewrite){.mode = MODE_BARRIER,
	                          .tensor = d->fact.v[i].origin,
	                          .on = on,
	                          .reason = p->why,
	                          .span = q->span});
}

/* What is needed from a finished traversal of an index that this reduction walks again. */
static void walked_again(struct derivation *d, uint32_t i, uint64_t needs)
{
	const struct equation *q = &d->c->equation.v[i];
	for (uint32_t g = 0; g < d->group.n; g++) {
		const struct group *at = &d->group.v[g];
		if (!(needs >> g & 1) || !at->carry.n ||
		    (!index_in(q->index, q->nindex, at->index) &&
		     !index_in(q->reduced, q->nreduced, at->index)))
			continue;
		struct plan p = {.d = d};
		p.on = d->c->equation.v[at->carry.v[at->carry.n - 1].equation].tensor;
		for (uint32_t k = 0; k < at->carry.n; k++) {
			uint32_t t = d->c->equation.v[at->carry.v[k].equation].tensor;
			if (expr_mentions(pool(d), q->body, OP_READ, t))
				p.on = t;
		}
		const char *index = d->c->index.v[at->index].name;
		p.why = arena_printf(
		        d->arena,
		        "it goes along %s again with %s, which is known only when %s has been walked", index,
		        d->c->tensor.v[p.on].name, index);
		barrier(d, i, &p);
		return;
	}
}

/* The groups that what it needs comes of: the traversal with the most rows first, as one with fewer would make the
 * others wide. `sources`: those that wait for one another, as several sources that are reduced together do. */
static bool try_needed(struct derivation *d, uint32_t i, uint64_t needs, bool sources, bool other, struct plan *failed)
{
	uint64_t all = sources ? derive_closure(d, needs) : needs;
	for (int rows = MAX_RANKS; rows >= 0; rows--)
		for (uint32_t g = d->group.n; g-- > 0;) {
			const struct group *at = &d->group.v[g];
			if (!(all >> g & 1) || at->nrow != rows || apart(d, at, i) != other)
				continue;
			uint64_t later = sources ? waiting(d, needs, (int)g) : 0;
			if ((later || !sources) && try_group(d, i, (int)g, true, later, failed))
				return true;
		}
	return false;
}

static void fuse(struct derivation *d, uint32_t i)
{
	struct equation *q = &d->c->equation.v[i];
	q->body = derive_inlined(d, q->body);
	if (q->nreduced == 1 && q->reduce == REDUCE_SUM) {
		d->fact.v[i].original = q->body;
		d->fact.v[i].summed = q->reduced[0];
		d->fact.v[i].wanted = d->fact.v[i].presence;
	}
	derive_reassoc(d, i);
	q = &d->c->equation.v[i];
	uint64_t needs = derive_direct(d, q->body) | derive_direct(d, d->fact.v[i].presence);
	struct plan failed = {0};
	if (q->nreduced == 1 && q->reduce != REDUCE_ARGMAX) {
		for (int other = 0; other < 2; other++)
			for (int sources = 0; sources < 2; sources++)
				if (try_needed(d, i, needs, sources, other, &failed))
					return;
		if (failed.why)
			barrier(d, i, &failed);
		else
			walked_again(d, i, needs);
		for (uint32_t g = 0; g < d->group.n; g++)
			if (!(needs >> g & 1) && try_group(d, i, (int)g, false, 0, &failed))
				return;
	}
	if (!needs)
		vec_push(d->arena, &d->rewrite,
		         (struct rewrite){.mode = MODE_FREE,
		                          .tensor = d->fact.v[i].origin,
		                          .on = UINT32_MAX,
		                          .accumulators = 1,
		                          .reason = "it depends on no other reduction of the stream",
		                          .span = q->span});
	int g = derive_new_group(d, q->nreduced ? q->reduced[0] : NO_INDEX, q->index, q->nindex);
	d->fact.v[i].group = g;
	d->fact.v[i].done = true;
	vec_push(d->arena, &d->group.v[g].carry, (struct carry){.equation = i});
	d->stamp++;
}

void derive_fuse(struct derivation *d)
{
	uint32_t n = d->c->equation.n;
	for (uint32_t i = 0; i < n && d->group.n < GROUPS_LIMIT; i++) {
		struct fact *f = &d->fact.v[i];
		struct equation *q = &d->c->equation.v[i];
		f->presence = derive_inlined(d, f->presence);
		q->where = derive_inlined(d, q->where);
		if (f->place == PLACE_INLINE)
			f->inlined = derive_inlined(d, q->body);
		else if (f->place != PLACE_CARRY)
			q->body = derive_inlined(d, q->body);
		else if (!f->done)
			fuse(d, i);
	}
}
