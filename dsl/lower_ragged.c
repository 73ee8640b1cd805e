/* Ragged ranks. A rank T that is packed by offsets o holds segments side by side: segment k is o[k] <= t < o[k+1].
 *
 * An equation that reads ragged tensors at two plain indices t and u is present where both are in segments of one
 * number; one that reads a ragged input at t alone, where t is in a segment. Both are said in the language itself,
 * with locals over the first of the indices, so nothing later knows of segments:
 *
 *     X1[t] = sum[i](select(o[i] <= t, 1, 0))        t's segment, plus one
 *     X2[t] = (p[X1[t] - 1] else U)                  the first u of the segment of that number
 *     X3[t] = (p[X1[t]] else 0)                      the last one, plus one
 *     … where X2[t] <= u and u < X3[t]
 *
 * Where t is in no segment, X2 and X3 leave nothing between them.
 */
#include <string.h>

#include "dsl/dtype.h"
#include "dsl/lower.h"

static const struct ragged *ragged_of(const struct lower *w, struct expr extent)
{
	const struct expr_node *n = expr_at(&w->c->pool, extent);
	for (uint32_t i = 0; n->op == OP_EXTENT && i < w->ragged.n; i++)
		if (w->ragged.v[i].rank == n->symbol)
			return &w->ragged.v[i];
	return NULL;
}

static const struct ragged *walks(const struct lower *w, uint32_t index)
{
	return ragged_of(w, w->c->index.v[index].extent);
}

/* Declarations. */

static bool check_offsets(struct lower *w, const struct statement *s, const struct name *offsets)
{
	const char *name = s->ragged.name;
	if (!offsets || offsets->kind == NAME_LOST) {
		if (!name_lost(w, name)) {
			diag_error(w->diags, s->ragged.span, "there is no '%s' here", name);
			diag_help(w->diags, "offsets are an input of one rank: in %s[B+1] : i32", name);
		}
		return false;
	}
	const struct tensor *t = offsets->kind == NAME_TENSOR ? &w->c->tensor.v[offsets->id] : NULL;
	if (t && t->role == ROLE_IN && t->nranks == 1 && dtype_info[t->dtype].integer && t->dtype != DTYPE_BOOL)
		return true;
	diag_error(w->diags, s->ragged.span, "offsets are an input of one rank and whole numbers, and '%s' is not",
	           name);
	diag_help(w->diags, "write  in %s[B+1] : i32", name);
	return false;
}

static uint32_t rank_of(const struct expr_pool *p, struct expr extent)
{
	struct expr *node;
	uint32_t n = expr_nodes(p, extent, &node);
	for (uint32_t i = 0; i < n; i++)
		if (expr_at(p, node[i])->op == OP_EXTENT)
			return expr_at(p, node[i])->symbol;
	return UINT32_MAX;
}

void declare_ragged(struct lower *w, const struct statement *s)
{
	const struct name *offsets = name_find(w, s->ragged.name), *own = name_find(w, s->name.v[0].name);
	if (!check_offsets(w, s, offsets) || !own || own->kind != NAME_TENSOR)
		return;
	const struct tensor *t = &w->c->tensor.v[own->id];
	struct expr first = t->nranks ? t->extent[0] : NO_EXPR;
	if (w->tensor.v[own->id].broken && t->role == ROLE_IN)
		return;
	if (!first.id || expr_at(&w->c->pool, first)->op != OP_EXTENT) {
		diag_error(w->diags, s->span, "the first rank of a ragged tensor is packed, and '%s' %s", t->name,
		           first.id ? "begins with part of one" : "has none");
		return;
	}
	const struct ragged *known = ragged_of(w, first);
	struct ragged r = {expr_at(&w->c->pool, first)->symbol, offsets->id, UINT32_MAX};
	if (known && known->offsets != r.offsets) {
		diag_error(w->diags, s->ragged.span, "rank %s is ragged by '%s' already", w->c->rank.v[r.rank].name,
		           w->c->tensor.v[known->offsets].name);
		return;
	}
	struct expr extent = w->c->tensor.v[r.offsets].extent[0];
	for (uint32_t i = 0; i < w->c->index.n; i++)
		if (r.index == UINT32_MAX && expr_same(w->c->index.v[i].extent, extent))
			r.index = i;
	uint32_t rank = rank_of(&w->c->pool, extent);
	if (r.index == UINT32_MAX && rank == UINT32_MAX) {
		diag_error(w->diags, s->ragged.span, "the extent of offsets is made of a rank, and that of '%s' is not",
		           w->c->tensor.v[r.offsets].name);
		return;
	}
	if (r.index == UINT32_MAX) {
		const char *name = cascade_fresh_index(w->c, "i");
		while (name_find(w, name))
			name = cascade_fresh_index(w->c, arena_printf(w->arena, "%s_", name));
		r.index = w->c->index.n;
		if (!add_index(w, name, rank, extent, s->ragged.span))
			return;
	}
	if (!known)
		vec_push(w->arena, &w->ragged, r);
}

/* Where a segment is. */

static struct expr index_leaf(const struct lower *w, uint32_t index)
{
	return expr_leaf(&w->c->pool, OP_INDEX, KIND_INT, index);
}

static struct expr read_offset(const struct lower *w, const struct ragged *r, struct expr at)
{
	return expr_read(&w->c->pool, KIND_INT, r->offsets, 1, &at);
}

/* The number of t's segment plus one: how many offsets are not past t. */
static struct expr segment_count(const struct env *env, struct span span, uint32_t t)
{
	const struct lower *w = env->w;
	struct expr_pool *p = &w->c->pool;
	const struct ragged *r = walks(w, t);
	struct expr reached = expr2(p, OP_LE, read_offset(w, r, index_leaf(w, r->index)), index_leaf(w, t));
	struct reduction_parts sum = {.reduce = REDUCE_SUM, .n = 1, .index = {r->index}, .set = bit(r->index)};
	sum.body = expr3(p, OP_SELECT, reached, expr_number(p, 1), expr_number(p, 0));
	return hoist(env, span, sum);
}

/* Of rank r's segment of the same number as t's: its first coordinate, or the one past its last. */
static struct expr segment_end(const struct env *env, struct span span, uint32_t t, const struct ragged *r,
                               bool last)
{
	const struct lower *w = env->w;
	struct expr_pool *p = &w->c->pool;
	struct expr count = segment_count(env, span, t);
	if (!count.id)
		return NO_EXPR;
	struct expr at = last ? count : expr2(p, OP_SUB, count, expr_number(p, 1));
	struct expr none = last ? expr_number(p, 0) : expr_leaf(p, OP_EXTENT, KIND_INT, r->rank);
	struct reduction_parts map = {.body = expr2(p, OP_ELSE, read_offset(w, r, at), none)};
	return hoist(env, span, map);
}

struct expr lower_segment(const struct env *env, const struct ast *a, enum segment_function what)
{
	struct lower *w = env->w;
	uint32_t t;
	if (a->noperand != 1)
		return fail(env, a->span, "'%s' takes an index", a->name);
	if (!lower_index(env, a->operand[0], &t, 1))
		return NO_EXPR;
	const struct ragged *r = walks(w, t);
	if (!r) {
		fail(env, a->span, "'%s' takes an index over a ragged rank, and '%s' walks %s", a->name,
		     w->c->index.v[t].name, extent_text(w, w->c->index.v[t].extent));
		diag_help(w->diags, "a tensor's first rank is made ragged by  in X[T, …] ragged by OFFSETS");
		return NO_EXPR;
	}
	struct expr_pool *p = &w->c->pool;
	if (what == SEGMENT_NUMBER) {
		struct expr count = segment_count(env, a->span, t);
		return count.id ? expr2(p, OP_SUB, count, expr_number(p, 1)) : NO_EXPR;
	}
	struct expr first = segment_end(env, a->span, t, r, false);
	struct expr from = what == SEGMENT_LENGTH ? segment_end(env, a->span, t, r, true) : index_leaf(w, t);
	return first.id && from.id ? expr2(p, OP_SUB, from, first) : NO_EXPR;
}

/* Restricting an equation. */

struct met {
	uint64_t all, inputs; /* index variables at which ragged tensors are read, and ragged inputs */
};

static void meet(const struct lower *w, struct expr e, struct met *met)
{
	const struct expr_pool *p = &w->c->pool;
	struct expr *node;
	uint32_t n = e.id && expr_mentions(p, e, OP_READ, ANY_SYMBOL) ? expr_nodes(p, e, &node) : 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *x = expr_at(p, node[i]);
		const struct tensor *t = x->op == OP_READ ? &w->c->tensor.v[x->symbol] : NULL;
		for (int k = 0; t && k < x->count; k++) {
			const struct expr_node *at = expr_at(p, expr_operand(p, node[i], k));
			if (at->op != OP_INDEX || !walks(w, at->symbol) || !ragged_of(w, t->extent[k]))
				continue;
			met->all |= bit(at->symbol);
			if (t->role == ROLE_IN)
				met->inputs |= bit(at->symbol);
		}
	}
}

/* What is said of u's segment is said of t's instead, which is the same where both meet: then only u itself moves
 * with u. */
struct renaming {
	int n;
	struct expr from[3], to[3];
};

static struct expr rename_segment(struct expr_pool *p, struct expr e, void *context)
{
	const struct renaming *r = context;
	(void)p;
	for (int i = 0; i < r->n; i++)
		if (expr_same(e, r->from[i]))
			return r->to[i];
	return e;
}

struct linear {
	int n;
	bool fails;
	struct {
		struct expr e;
		int64_t times;
	} term[16];
	int64_t constant;
};

static void add_term(struct linear *l, struct expr e, int64_t times)
{
	int i = 0;
	while (i < l->n && !expr_same(l->term[i].e, e))
		i++;
	if (i == 16) {
		l->fails = true;
		return;
	}
	if (i == l->n)
		l->term[l->n++].e = e, l->term[i].times = 0;
	l->term[i].times += times;
}

static void add_linear(const struct expr_pool *p, struct linear *l, struct expr e, int64_t times)
{
	const struct expr_node *n = expr_at(p, e);
	double v;
	if (expr_is_number(p, e, &v) && v > -1e9 && v < 1e9) {
		l->constant += times * (int64_t)v;
	} else if (n->op == OP_ADD || n->op == OP_SUB) {
		add_linear(p, l, expr_operand(p, e, 0), times);
		add_linear(p, l, expr_operand(p, e, 1), n->op == OP_ADD ? times : -times);
	} else if (n->op == OP_NEG) {
		add_linear(p, l, expr_operand(p, e, 0), -times);
	} else {
		add_term(l, e, times);
	}
}

/* Σ sign · term over those but `without`. */
static struct expr sum_of(struct expr_pool *p, const struct linear *l, int64_t sign, int without)
{
	struct expr sum = NO_EXPR, number = expr_number(p, (double)(sign * l->constant));
	for (int negative = 0; negative < 2; negative++)
		for (int i = 0; i < l->n; i++) {
			int64_t times = sign * l->term[i].times;
			if (i == without || !times || (times < 0) != negative)
				continue;
			int64_t many = negative ? -times : times;
			struct expr e = many == 1 ? l->term[i].e
			                          : expr2(p, OP_MUL, l->term[i].e, expr_number(p, (double)many));
			sum = sum.id ? expr2(p, negative ? OP_SUB : OP_ADD, sum, e)
			      : negative ? expr1(p, OP_NEG, e) : e;
		}
	return !sum.id ? number : l->constant ? expr2(p, OP_ADD, sum, number) : sum;
}

/* A comparison of whole numbers as u against the rest, with what cancels left out. */
static struct expr isolate(struct expr_pool *p, struct expr e, void *context)
{
	const uint64_t *others = context;
	const struct expr_node *n = expr_at(p, e);
	struct linear l = {0};
	if ((n->op != OP_LE && n->op != OP_LT) || !expr_mentions(p, e, OP_READ, ANY_SYMBOL) ||
	    expr_at(p, expr_operand(p, e, 0))->kind != KIND_INT || expr_at(p, expr_operand(p, e, 1))->kind != KIND_INT)
		return e;
	enum op op = (enum op)n->op;
	add_linear(p, &l, expr_operand(p, e, 0), 1);
	add_linear(p, &l, expr_operand(p, e, 1), -1);
	int alone = -1;
	for (int i = 0; i < l.n; i++) {
		const struct expr_node *x = expr_at(p, l.term[i].e);
		if (x->op == OP_INDEX && (*others & bit(x->symbol)) && (l.term[i].times == 1 || l.term[i].times == -1))
			alone = i;
	}
	if (l.fails || alone < 0)
		return e;
	bool left = l.term[alone].times == 1;
	struct expr rest = sum_of(p, &l, left ? -1 : 1, alone);
	return left ? expr2(p, op, l.term[alone].e, rest) : expr2(p, op, rest, l.term[alone].e);
}

static bool joined(const struct expr_pool *p, struct expr all, struct expr one)
{
	if (expr_same(all, one))
		return true;
	return expr_at(p, all)->op == OP_AND && (joined(p, expr_operand(p, all, 0), one) ||
	                                         joined(p, expr_operand(p, all, 1), one));
}

/* all and each condition of e */
static struct expr append(struct expr_pool *p, struct expr all, struct expr e)
{
	if (expr_at(p, e)->op != OP_AND)
		return expr2(p, OP_AND, all, e);
	return append(p, append(p, all, expr_operand(p, e, 0)), expr_operand(p, e, 1));
}

static void join(struct expr_pool *p, struct expr *where, struct expr condition)
{
	if (!where->id)
		*where = condition;
	else if (!joined(p, *where, condition))
		*where = append(p, condition, *where);
}

/* u is in the segment of t's number; `told`: what is read says so already. */
static bool restrict_pair(const struct env *env, struct span span, uint32_t t, uint32_t u, bool told,
                          struct expr *body, struct expr *where)
{
	struct lower *w = env->w;
	struct expr_pool *p = &w->c->pool;
	const struct ragged *r = walks(w, u);
	uint64_t others = bit(u);
	struct renaming name = {3,
	                        {segment_count(env, span, u), segment_end(env, span, u, r, false),
	                         segment_end(env, span, u, r, true)},
	                        {segment_count(env, span, t), segment_end(env, span, t, r, false),
	                         segment_end(env, span, t, r, true)}};
	for (int i = 0; i < name.n; i++)
		if (!name.from[i].id || !name.to[i].id)
			return false;
	*body = expr_rewrite(p, *body, rename_segment, &name);
	if (where->id) {
		struct expr renamed = expr_rewrite(p, *where, rename_segment, &name);
		*where = expr_same(renamed, *where) ? renamed : expr_rewrite(p, renamed, isolate, &others);
	}
	if (told)
		return true;
	join(p, where, expr2(p, OP_LT, index_leaf(w, u), name.to[2]));
	join(p, where, expr2(p, OP_LE, name.to[1], index_leaf(w, u)));
	return true;
}

/* t is in a segment: between the first offset and the last. */
static void restrict_single(const struct env *env, uint32_t t, struct expr *where)
{
	struct lower *w = env->w;
	struct expr_pool *p = &w->c->pool;
	const struct ragged *r = walks(w, t);
	struct expr end = expr2(p, OP_SUB, w->c->tensor.v[r->offsets].extent[0], expr_number(p, 1));
	struct expr first = read_offset(w, r, expr_number(p, 0)), last = read_offset(w, r, end);
	join(p, where, expr2(p, OP_LT, index_leaf(w, t), last));
	join(p, where, expr2(p, OP_LE, first, index_leaf(w, t)));
}

/* Does the body need an element that is absent unless all of these meet? */
static bool is_told(const struct lower *w, struct expr body, uint64_t set)
{
	static const enum op lenient[] = {OP_ELSE, OP_SELECT, OP_AND, OP_OR};
	const struct expr_pool *p = &w->c->pool;
	struct expr *node;
	uint32_t n = expr_nodes(p, body, &node);
	for (size_t i = 0; i < sizeof lenient / sizeof *lenient; i++)
		if (expr_mentions(p, body, lenient[i], 0))
			return false;
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *x = expr_at(p, node[i]);
		const struct tensor_fact *f = x->op == OP_READ ? &w->tensor.v[x->symbol] : NULL;
		bool there = f && (f->met & set) == set;
		for (int k = 0; there && k < x->count; k++) {
			const struct expr_node *at = expr_at(p, expr_operand(p, node[i], k));
			there = at->op == OP_INDEX && at->symbol == f->index[k];
		}
		if (there)
			return true;
	}
	return false;
}

bool restrict_ragged(const struct env *env, struct span span, struct meeting *m, struct expr *body,
                     struct expr *where)
{
	struct lower *w = env->w;
	struct met met = {0};
	uint32_t t = UINT32_MAX;
	m->met = 0;
	if (!w->ragged.n)
		return true;
	meet(w, *body, &met);
	meet(w, *where, &met);
	if (!met.all)
		return true;
	for (int i = 0; i < m->n && t == UINT32_MAX; i++)
		if ((met.all & bit(m->order[i])) && !(m->set & bit(m->order[i])))
			t = m->order[i];
	t = t == UINT32_MAX ? lowest(met.all) : t;
	uint64_t others = met.all & ~bit(t);
	if (!others && (met.inputs & bit(t)) && (!m->inner || (m->set & bit(t))))
		restrict_single(env, t, where);
	for (uint64_t rest = others; rest; rest &= rest - 1) {
		uint64_t both = bit(t) | bit(lowest(rest));
		bool skips = m->inner && !(m->set & both);
		if (!skips && !restrict_pair(env, span, t, lowest(rest), is_told(w, *body, both), body, where))
			return false;
	}
	m->met = others ? met.all : 0;
	return true;
}
