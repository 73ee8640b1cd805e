/* What both rewrites of reductions over sets are made of: the cascade that is made, finding sets, exchanging what a
 * stream mentions, and lists of members. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "codegen/derive.h"
#include "codegen/lists.h"
#include "codegen/plan.h"

/* ---- the cascade that is made ---- */

struct lists lists_start(struct arena *arena, const struct streams *from)
{
	struct lists l = {.arena = arena, .from = from, .c = cascade_clone(arena, from->cascade)};
	uint32_t n = l.c->equation.n;
	l.to = arena_new(arena, struct streams);
	l.to->rewrite.v = from->rewrite.v;
	l.to->rewrite.n = l.to->rewrite.cap = from->rewrite.n;
	l.position = arena_new_array(arena, n + 1, uint32_t);
	memset(l.position, 0xff, (n + 1) * sizeof *l.position);
	l.presence = arena_new_array(arena, n + 1, struct expr);
	cascade_presences(l.c, l.presence);
	return l;
}

uint32_t lists_emit(struct lists *l, uint32_t old)
{
	if (l->position[old] == NO_EQUATION) {
		vec_push(l->arena, &l->equation, l->c->equation.v[old]);
		l->position[old] = l->equation.n - 1;
	}
	return l->position[old];
}

void lists_keep(struct lists *l, const struct stream *s)
{
	struct stream t = {.index = s->index, .row = s->row, .selects = s->selects, .present = s->present};
	for (uint32_t q = 0; q < l->c->equation.n; q++) /* in their order, whatever they are in the stream */
		for (uint32_t k = 0; k < stream_equations(s); k++)
			if (stream_equation(s, k) == q)
				lists_emit(l, q);
	for (uint32_t i = 0; i < s->local.n; i++)
		vec_push(l->arena, &t.local, lists_emit(l, s->local.v[i]));
	for (uint32_t i = 0; i < s->carry.n; i++) {
		struct carry c = s->carry.v[i];
		c.equation = lists_emit(l, c.equation);
		vec_push(l->arena, &t.carry, c);
	}
	for (uint32_t i = 0; i < s->after.n; i++)
		vec_push(l->arena, &t.after, lists_emit(l, s->after.v[i]));
	vec_push(l->arena, &l->to->stream, t);
}

/* The new equations take the place of the old ones; tensors that nothing defines any more are dropped. */
struct streams *lists_finish(struct lists *l)
{
	struct cascade *c = l->c;
	c->equation.v = l->equation.v;
	c->equation.n = l->equation.n;
	c->equation.cap = l->equation.cap;
	l->to->cascade = c;
	streams_define(l->to);
	streams_compact(l->to);
	return l->to;
}

static bool is_taken(const struct cascade *c, const char *name)
{
	for (uint32_t i = 0; i < c->index.n; i++)
		if (!strcmp(c->index.v[i].name, name))
			return true;
	return cascade_find_rank(c, name) != UINT32_MAX || cascade_find_tensor(c, name) != UINT32_MAX;
}

uint32_t lists_index(struct lists *l, const char *stem, int64_t extent)
{
	struct cascade *c = l->c;
	const char *index = stem;
	for (int i = 2;; i++) {
		char *rank = arena_strdup(c->arena, index);
		for (char *s = rank; *s; s++)
			*s = (char)toupper((unsigned char)*s);
		if (!is_taken(c, index) && !is_taken(c, rank))
			return cascade_add_index(c, index, cascade_add_rank(c, rank, extent));
		index = arena_printf(c->arena, "%s%d", stem, i);
	}
}

uint32_t lists_tensor(struct lists *l, const char *stem, const struct equation *like, enum dtype dtype)
{
	struct tensor t = {.name = cascade_fresh_tensor(l->c, stem), .dtype = dtype, .role = ROLE_LOCAL,
	                   .nranks = like->nindex};
	for (int i = 0; i < like->nindex; i++)
		t.extent[i] = l->c->index.v[like->index[i]].extent;
	return cascade_add_tensor(l->c, t);
}

int64_t lists_extent(const struct lists *l, uint32_t index)
{
	int64_t n = 0;
	cascade_extent(l->c, l->c->index.v[index].extent, &n);
	return n;
}

struct expr lists_coordinate(struct lists *l, uint32_t index)
{
	return expr_leaf(&l->c->pool, OP_INDEX, KIND_INT, index);
}

uint32_t lists_select(struct lists *l, const char *name, struct equation q, const uint32_t *row, int nrow)
{
	struct stream s = {.index = q.along, .selects = true};
	q.tensor = lists_tensor(l, name, &q, DTYPE_I32);
	vec_push(l->arena, &l->equation, q);
	vec_push(l->arena, &s.local, l->equation.n - 1);
	for (int i = 0; i < nrow; i++)
		vec_push(l->arena, &s.row, row[i]);
	vec_push(l->arena, &l->to->stream, s);
	return q.tensor;
}

/* ---- finding sets ---- */

static bool computed_in(const struct lists *l, const struct stream *s, uint32_t tensor)
{
	for (uint32_t k = 0; k < stream_equations(s); k++)
		if (l->c->equation.v[stream_equation(s, k)].tensor == tensor)
			return true;
	return false;
}

static bool quotient(const struct lists *l, struct expr e, uint32_t walked, int64_t *by)
{
	const struct expr_pool *p = &l->c->pool;
	if (expr_at(p, e)->op != OP_IDIV)
		return false;
	const struct expr_node *x = expr_at(p, expr_operand(p, e, 0));
	struct expr y = expr_operand(p, e, 1);
	return x->op == OP_INDEX && x->symbol == walked && !expr_mentions(p, y, OP_INDEX, ANY_SYMBOL) &&
	       !expr_mentions(p, y, OP_READ, ANY_SYMBOL) && cascade_extent(l->c, y, by) && *by > 1;
}

/* Of what a set's condition is made: memory, the stream's rows, and m / C for one C. */
static bool is_made(const struct lists *l, const struct stream *s, struct expr e, int64_t *block)
{
	const struct expr_node *n = expr_at(&l->c->pool, e);
	int64_t by = 1;
	bool walks = quotient(l, e, s->index, &by);
	if (walks || (n->op == OP_INDEX && n->symbol == s->index)) {
		bool same = !*block || *block == by;
		*block = by;
		return same;
	}
	if (n->op == OP_INDEX) {
		for (uint32_t i = 0; i < s->row.n; i++)
			if (s->row.v[i] == n->symbol)
				return true;
		return false;
	}
	if (n->op == OP_OLD || (n->op == OP_READ && computed_in(l, s, n->symbol)))
		return false;
	for (int i = 0; i < n->count; i++)
		if (!is_made(l, s, expr_operand(&l->c->pool, e, i), block))
			return false;
	return true;
}

/* Truth by bool tensors and logic; comparisons only beside them. */
static bool reads_truth(const struct expr_pool *p, struct expr e)
{
	const struct expr_node *n = expr_at(p, e);
	if (n->op == OP_READ)
		return n->kind == KIND_BOOL;
	bool any = false;
	for (int i = 0; i < n->count && (n->op == OP_AND || n->op == OP_OR || n->op == OP_NOT); i++)
		any |= reads_truth(p, expr_operand(p, e, i));
	return any;
}

/* How many values of m / C the condition lets be, for one coordinate of the rows. */
static int64_t most_of(const struct lists *l, const struct set *k, struct expr e, uint32_t walked)
{
	struct expr_pool *p = &l->c->pool;
	const struct expr_node *n = expr_at(p, e);
	int64_t by = 0;
	if (n->op == OP_OR || n->op == OP_AND) {
		int64_t x = most_of(l, k, expr_operand(p, e, 0), walked), y = most_of(l, k, expr_operand(p, e, 1), walked);
		int64_t sum = x + y < k->blocks ? x + y : k->blocks;
		return n->op == OP_OR ? sum : x < y ? x : y;
	}
	if (n->op == OP_EQ) {
		struct expr x = expr_operand(p, e, 0), y = expr_operand(p, e, 1);
		bool left = quotient(l, x, walked, &by) && !expr_mentions(p, y, OP_INDEX, walked);
		bool right = quotient(l, y, walked, &by) && !expr_mentions(p, x, OP_INDEX, walked);
		return (left || right) && k->blocks > 1 ? 1 : k->blocks;
	}
	if (n->op != OP_READ || l->c->tensor.v[n->symbol].equation == NO_EQUATION)
		return k->blocks;
	const struct equation *q = &l->c->equation.v[l->c->tensor.v[n->symbol].equation];
	for (int i = 0; q->select == SELECT_TOPK && i < q->nindex; i++)
		if (q->index[i] == q->along && expr_mentions(p, expr_operand(p, e, i), OP_INDEX, walked)) {
			double most = cascade_argument(l->c, q);
			return most < (double)k->blocks ? (int64_t)most : k->blocks;
		}
	return k->blocks;
}

/* Of the rows, those that a condition on them leaves, at most: k of the fiber where top-k chose them, and of a
 * coordinate below a bound the part that is. */
static double share_of(const struct lists *l, struct expr e)
{
	const struct expr_pool *p = &l->c->pool;
	const struct expr_node *n = expr_at(p, e);
	if (n->op == OP_OR || n->op == OP_AND) {
		double x = share_of(l, expr_operand(p, e, 0)), y = share_of(l, expr_operand(p, e, 1));
		return n->op == OP_AND ? fmin(x, y) : fmin(1, x + y);
	}
	if (n->op == OP_LT && expr_at(p, expr_operand(p, e, 0))->op == OP_INDEX) {
		struct expr bound = expr_operand(p, e, 1);
		int64_t below, all = lists_extent(l, expr_at(p, expr_operand(p, e, 0))->symbol);
		bool known = !expr_mentions(p, bound, OP_INDEX, ANY_SYMBOL) && !expr_mentions(p, bound, OP_READ, ANY_SYMBOL) &&
		             cascade_extent(l->c, bound, &below);
		return known && below < all ? (below < 0 ? 0 : (double)below / (double)all) : 1;
	}
	if (n->op != OP_READ || l->c->tensor.v[n->symbol].equation == NO_EQUATION)
		return 1;
	const struct equation *q = &l->c->equation.v[l->c->tensor.v[n->symbol].equation];
	double all = q->select == SELECT_TOPK ? (double)lists_extent(l, q->along) : 0;
	double most = all > 0 ? cascade_argument(l->c, q) : 1;
	return all > 0 && most < all ? most / all : 1;
}

static bool is_set(const struct lists *l, const struct stream *s, struct expr e, struct set *k)
{
	*k = (struct set){.condition = e, .blocks = 1, .most = 1, .share = 1};
	if (!reads_truth(&l->c->pool, e) || !is_made(l, s, e, &k->block))
		return false;
	for (uint32_t i = 0; i < s->row.n && k->nrow < MAX_RANKS - 1; i++)
		if (expr_mentions(&l->c->pool, e, OP_INDEX, s->row.v[i]))
			k->row[k->nrow++] = s->row.v[i];
	if (!k->block) {
		k->share = share_of(l, e);
		return true;
	}
	k->blocks = (lists_extent(l, s->index) + k->block - 1) / k->block;
	k->most = most_of(l, k, e, s->index);
	k->most = k->most < 0 ? 0 : k->most;
	k->share = k->blocks ? (double)k->most / (double)k->blocks : 1;
	return true;
}

/* The first conjunct that will do; one that tells blocks before one that tells rows only. */
static bool find(const struct lists *l, const struct stream *s, struct expr e, struct set *k)
{
	const struct expr_pool *p = &l->c->pool;
	if (expr_at(p, e)->op == OP_AND) {
		struct set other;
		bool left = find(l, s, expr_operand(p, e, 0), k);
		if (left && k->block)
			return true;
		if (!find(l, s, expr_operand(p, e, 1), &other) || (left && !other.block))
			return left;
		*k = other;
		return true;
	}
	if (!is_set(l, s, e, k))
		return false;
	for (uint32_t i = 0; i < s->carry.n; i++)
		if (!condition_has(p, l->presence[s->carry.v[i].equation], e))
			return false;
	return true;
}

/* Are there products to leave out: an inner reduction, or a carry with more than the rows? Else a list costs more than
 * the walk. */
static bool is_heavy(const struct lists *l, const struct stream *s)
{
	for (uint32_t i = 0; i < s->local.n; i++)
		if (l->c->equation.v[s->local.v[i]].reduce)
			return true;
	for (uint32_t i = 0; i < s->carry.n; i++)
		if (l->c->equation.v[s->carry.v[i].equation].nindex > s->row.n)
			return true;
	return false;
}

bool lists_find(struct lists *l, const struct stream *s, struct set *k)
{
	if (!is_heavy(l, s) || s->index == NO_INDEX || s->selects || !s->carry.n || lists_extent(l, s->index) < 0)
		return false;
	for (uint32_t i = 0; i < s->carry.n; i++) {
		enum reduction r = l->c->equation.v[s->carry.v[i].equation].reduce;
		if (r == REDUCE_ARGMAX || r == REDUCE_MEAN || l->c->equation.v[s->carry.v[i].equation].nreduced != 1)
			return false;
	}
	for (uint32_t i = 0; i < l->from->stream.n; i++) /* what is stored from inside a tile is there for every m */
		for (uint32_t k2 = 0; &l->from->stream.v[i] == s && k2 < s->local.n; k2++)
			if (stream_stores(l->from, i, s->local.v[k2]))
				return false;
	struct expr first = l->presence[s->carry.v[0].equation];
	return first.id && find(l, s, first, k);
}

/* ---- what stands for what ---- */

static struct expr put_number(struct expr_pool *p, struct expr e, void *context)
{
	const struct exchange *x = context;
	int64_t by = 0;
	(void)p;
	return x->number.id && quotient(x->l, e, x->walked, &by) && by == x->set->block ? x->number : e;
}

static struct expr put(struct expr_pool *p, struct expr e, void *context)
{
	const struct exchange *x = context;
	const struct cascade *c = x->l->c;
	const struct expr_node n = *expr_at(p, e);
	struct expr at[MAX_RANKS];
	if (n.op == OP_INDEX && n.symbol == x->index)
		return x->to;
	if (n.op != OP_READ || n.symbol >= x->tensors || x->tensor[n.symbol] == n.symbol)
		return e;
	const struct equation *q = &c->equation.v[c->tensor.v[n.symbol].equation];
	for (int i = 0; i < n.count; i++)
		at[i] = q->index[i] == x->index ? expr_leaf(p, OP_INDEX, KIND_INT, x->position) : expr_operand(p, e, i);
	return expr_read(p, (enum kind)n.kind, x->tensor[n.symbol], n.count, at);
}

struct expr lists_exchange(struct exchange *x, struct expr e)
{
	struct expr_pool *p = &x->l->c->pool;
	if (!e.id)
		return e;
	return expr_rewrite(p, expr_rewrite(p, e, put_number, x), put, x);
}

static struct expr both(struct expr_pool *p, struct expr a, struct expr b)
{
	return !a.id ? b : !b.id || condition_has(p, a, b) ? a : expr2(p, OP_AND, a, b);
}

/* a and each condition of b that is not the set's own. */
static struct expr append(const struct exchange *x, struct expr a, struct expr b)
{
	struct expr_pool *p = &x->l->c->pool;
	if (!b.id || expr_same(b, x->set->condition))
		return a;
	if (expr_at(p, b)->op == OP_AND)
		return append(x, append(x, a, expr_operand(p, b, 0)), expr_operand(p, b, 1));
	return both(p, a, lists_exchange((struct exchange *)x, b));
}

struct expr lists_where(struct exchange *x, struct expr where, int n, const struct expr *condition)
{
	struct expr all = NO_EXPR;
	for (int i = 0; i < n; i++)
		all = both(&x->l->c->pool, all, condition[i]);
	return append(x, all, where);
}

/* Is the tensor that equation q defines read at its own coordinate of the index only? */
static bool in_step(const struct exchange *x, const struct stream *s, const struct equation *q)
{
	const struct expr_pool *p = &x->l->c->pool;
	for (uint32_t k = 0; k < s->local.n + s->carry.n; k++) {
		struct expr *read, of[2] = {x->l->c->equation.v[stream_equation(s, k)].body,
		                            x->l->c->equation.v[stream_equation(s, k)].where};
		for (int side = 0; side < 2; side++) {
			uint32_t n = of[side].id ? derive_reads(p, of[side], &read) : 0;
			for (uint32_t r = 0; r < n; r++)
				for (int i = 0; expr_at(p, read[r])->symbol == q->tensor && i < q->nindex; i++) {
					const struct expr_node *at = expr_at(p, expr_operand(p, read[r], i));
					if (q->index[i] == x->index && (at->op != OP_INDEX || at->symbol != x->index))
						return false;
				}
		}
	}
	return true;
}

bool lists_rename(struct exchange *x, const struct stream *s, const char *suffix)
{
	struct lists *l = x->l;
	x->tensors = l->c->tensor.n;
	x->tensor = arena_new_array(l->arena, x->tensors + 1, uint32_t);
	for (uint32_t i = 0; i < x->tensors; i++)
		x->tensor[i] = i;
	for (uint32_t k = 0; k < s->local.n + s->carry.n; k++)
		if (!in_step(x, s, &l->c->equation.v[stream_equation(s, k)]))
			return false;
	for (uint32_t k = 0; k < s->local.n + s->carry.n; k++) {
		struct equation q = l->c->equation.v[stream_equation(s, k)];
		if (!equation_has_index(&q, x->index))
			continue;
		const struct tensor *t = &l->c->tensor.v[q.tensor];
		for (int i = 0; i < q.nindex; i++)
			q.index[i] = q.index[i] == x->index ? x->position : q.index[i];
		x->tensor[q.tensor] = lists_tensor(l, arena_printf(l->arena, "%s%s", t->name, suffix), &q, t->dtype);
	}
	return true;
}

static uint32_t rewritten(struct exchange *x, uint32_t old, int n, const struct expr *condition)
{
	struct lists *l = x->l;
	struct equation q = l->c->equation.v[old];
	if (!condition_has(&l->c->pool, l->presence[old], x->set->condition))
		n = 0;
	q.tensor = x->tensor[q.tensor];
	for (int i = 0; i < q.nindex; i++)
		q.index[i] = q.index[i] == x->index ? x->position : q.index[i];
	for (int i = 0; i < q.nreduced; i++)
		q.reduced[i] = q.reduced[i] == x->index ? x->position : q.reduced[i];
	q.body = lists_exchange(x, q.body);
	q.where = lists_where(x, q.where, n, condition);
	q.otherwise = lists_exchange(x, q.otherwise);
	vec_push(l->arena, &l->equation, q);
	return l->equation.n - 1;
}

/* Locals that the exchange says nothing of stay; the others and the carries are rewritten, in their order. */
struct stream lists_exchanged(struct exchange *x, const struct stream *s, int n, const struct expr *condition)
{
	struct lists *l = x->l;
	struct stream t = {.index = s->index == x->index ? x->position : s->index};
	uint32_t all = s->local.n + s->carry.n, *now = arena_new_array(l->arena, all + 1, uint32_t);
	for (uint32_t q = 0; q < l->c->equation.n; q++)
		for (uint32_t k = 0; k < all; k++) {
			const struct equation *e = &l->c->equation.v[q];
			if (stream_equation(s, k) != q)
				continue;
			bool same = k < s->local.n && x->tensor[e->tensor] == e->tensor;
			now[k] = same ? lists_emit(l, q) : rewritten(x, q, n, condition);
		}
	for (uint32_t i = 0; i < s->row.n; i++)
		vec_push(l->arena, &t.row, s->row.v[i] == x->index ? x->position : s->row.v[i]);
	for (uint32_t i = 0; i < s->local.n; i++)
		vec_push(l->arena, &t.local, now[i]);
	for (uint32_t i = 0; i < s->carry.n; i++) {
		struct carry c = s->carry.v[i];
		c.equation = now[s->local.n + i];
		for (int k = 0; k < c.terms; k++)
			c.term[k].factor = lists_exchange(x, c.term[k].factor);
		vec_push(l->arena, &t.carry, c);
	}
	t.present = lists_where(x, s->present, n, condition);
	return t;
}

/* ---- lists ---- */

static struct expr put_slot(struct expr_pool *p, struct expr e, void *context)
{
	const struct exchange *x = context;
	int64_t by = 0;
	const struct expr_node *n = expr_at(p, e);
	bool found = x->set->block > 1 ? quotient(x->l, e, x->walked, &by) : n->op == OP_INDEX && n->symbol == x->walked;
	return found ? x->to : e;
}

static const char *name_of(const struct lists *l, struct expr e)
{
	for (uint32_t t = 0; t < l->c->tensor.n; t++)
		if (l->c->tensor.v[t].dtype == DTYPE_BOOL && expr_mentions(&l->c->pool, e, OP_READ, t))
			return l->c->tensor.v[t].name;
	return "set";
}

const char *lists_name(const struct lists *l, const struct set *k, const char *suffix)
{
	return arena_printf(l->arena, "%s%s", name_of(l, k->condition), suffix);
}

uint32_t lists_members(struct lists *l, const struct stream *s, const struct set *k, uint32_t slot)
{
	uint32_t block = lists_index(l, "c", k->blocks);
	struct exchange x = {.l = l, .set = k, .walked = s->index, .to = lists_coordinate(l, block)};
	struct equation q = {.select = SELECT_MEMBERS, .along = block, .slot = slot};
	for (int i = 0; i < k->nrow; i++)
		q.index[q.nindex++] = k->row[i];
	q.index[q.nindex++] = slot;
	q.body = expr_rewrite(&l->c->pool, k->condition, put_slot, &x);
	return lists_select(l, lists_name(l, k, "_list"), q, k->row, k->nrow);
}

void lists_tell(struct list_form *form, bool worth, const char *reason)
{
	form->worth = worth && (form->worth || !form->reason);
	form->reason = form->reason ? form->reason : reason;
}
