#include <string.h>

#include "dsl/dtype.h"
#include "dsl/lower.h"

/* Tensors and equations that the compiler adds. */

uint32_t add_tensor(struct lower *w, struct tensor t, struct tensor_fact fact)
{
	vec_push(w->arena, &w->tensor, fact);
	return cascade_add_tensor(w->c, t);
}

bool add_equation(const struct env *env, struct equation q)
{
	struct lower *w = env->w;
	if (w->c->equation.n >= EQUATION_LIMIT) {
		w->full = true;
		return fail(env, q.span,
		            "the program has more than %d equations, once templates are expanded",
		            EQUATION_LIMIT)
		        .id;
	}
	if (q.select && ++w->selections > SELECTION_LIMIT) {
		w->full = true;
		return fail(env, q.span, "the program has more than %d selections", SELECTION_LIMIT).id;
	}
	cascade_add_equation(w->c, q);
	return true;
}

struct order {
	struct lower *w;
	uint64_t seen;
	uint32_t *index;
	int n, limit;
};

static void visit_order(struct order *o, struct expr e)
{
	const struct expr_pool *p = &o->w->c->pool;
	const struct expr_node *n = expr_at(p, e);
	if (!(fact_of(o->w, e).free & ~o->seen))
		return;
	if (n->op == OP_INDEX) {
		if (o->n < o->limit)
			o->index[o->n] = n->symbol;
		o->n++;
		o->seen |= (uint64_t)1 << n->symbol;
	}
	for (int i = 0; i < n->count; i++)
		visit_order(o, expr_operand(p, e, i));
}

int index_order(struct lower *w, struct expr e, uint32_t *index, int limit)
{
	struct order o = {.w = w, .index = index, .limit = limit};
	visit_order(&o, e);
	return o.n;
}

enum dtype equation_dtype(const struct expr_pool *p, const struct reduction_parts *r)
{
	const struct expr_node *n = expr_at(p, r->body);
	enum reduction reduce = r->reduce;
	if (r->select)
		return selection_info[r->select].dtype;
	enum kind kind = reduce == REDUCE_MEAN     ? KIND_REAL
	                 : reduce == REDUCE_ARGMAX ? KIND_INT
	                                           : (enum kind)n->kind;
	bool one_of_them = reduce == REDUCE_NONE || reduce == REDUCE_MAX || reduce == REDUCE_MIN;
	if (n->op == OP_CAST && one_of_them)
		return (enum dtype)n->symbol;
	return kind == KIND_BOOL ? DTYPE_BOOL : kind == KIND_INT ? DTYPE_I32 : DTYPE_F32;
}

void share(struct lower *w, const struct reduction_parts *r, uint32_t tensor)
{
	struct shared s = {r->body, r->reduce, r->select, r->set, r->along, r->argument, r->where, tensor};
	vec_push(w->arena, &w->shared, s);
}

struct expr hoist(const struct env *env, struct span span, struct reduction_parts r)
{
	struct lower *w = env->w;
	uint32_t order[MAX_INDICES];
	int n = index_order(w, r.body, order, MAX_INDICES);
	struct meeting m = {order, n, r.set, r.reduce != REDUCE_NONE, 0};
	if (!restrict_ragged(env, span, &m, &r.body, &r.where))
		return NO_EXPR;
	for (uint32_t i = 0; i < w->shared.n; i++) {
		const struct shared *s = &w->shared.v[i];
		if (expr_same(s->body, r.body) && s->reduce == r.reduce && s->reduced == r.set && expr_same(s->where, r.where) &&
		    s->select == r.select && s->along == r.along && expr_same(s->argument, r.argument))
			return cascade_read(w->c, s->tensor, w->tensor.v[s->tensor].index,
			                    w->c->tensor.v[s->tensor].nranks);
	}
	n = index_order(w, r.body, order, MAX_INDICES);
	uint64_t missing = r.where.id ? fact_of(w, r.where).free & ~fact_of(w, r.body).free : 0;
	for (; missing; missing &= missing - 1)
		order[n++] = (uint32_t)__builtin_ctzll(missing);
	struct tensor t = {.name = "X", .role = ROLE_LOCAL, .span = span};
	struct tensor_fact fact = {.defined = true, .hoisted = true, .has_index = true};
	struct equation q = {.reduce = r.reduce,
	                     .nreduced = (uint8_t)r.n,
	                     .body = r.body,
	                     .where = r.where,
	                     .select = r.select,
	                     .along = r.along,
	                     .argument = r.argument,
	                     .span = span};
	for (int i = 0; i < n; i++) {
		if (r.set >> order[i] & 1)
			continue;
		if (t.nranks == MAX_RANKS)
			return fail(env, span, "an intermediate of this has more than %d ranks", MAX_RANKS);
		t.extent[t.nranks] = w->c->index.v[order[i]].extent;
		fact.index[t.nranks] = q.index[t.nranks] = order[i];
		t.nranks++;
	}
	memcpy(q.reduced, r.index, sizeof q.reduced);
	q.nindex = t.nranks;
	t.dtype = equation_dtype(&w->c->pool, &r);
	fact.met = equation_is_map(&q) ? m.met : 0;
	fact.maybe_absent = equation_is_map(&q) && (r.where.id || fact_of(w, r.body).maybe_absent);
	q.tensor = add_tensor(w, t, fact);
	if (!add_equation(env, q))
		return NO_EXPR;
	share(w, &r, q.tensor);
	return cascade_read(w->c, q.tensor, q.index, q.nindex);
}

const char *likely_index(const struct env *env, const struct ast *a)
{
	uint32_t order[MAX_INDICES];
	struct expr e = a->noperand ? lower_expr(env, a->operand[0]) : NO_EXPR;
	int n = e.id ? index_order(env->w, e, order, MAX_INDICES) : 0;
	return n ? env->w->c->index.v[order[n - 1]].name : NULL;
}

/* Reductions. */

bool is_reduction_call(const struct env *env, const struct ast *a)
{
	return a->kind == AST_CALL && a->bracketed && reduction_find(a->name, strlen(a->name)) &&
	       !template_find(env, a->name);
}

static bool lower_indices(const struct env *env, const struct ast *a, struct reduction_parts *r)
{
	struct lower *w = env->w;
	for (int i = 0; i < a->nbracket; i++) {
		uint32_t index[MAX_REDUCED];
		int n = lower_index(env, a->bracket[i], index, MAX_REDUCED);
		if (!n)
			return false;
		for (int k = 0; k < n; k++) {
			if (r->set >> index[k] & 1)
				return fail(env, a->bracket[i]->span, "index '%s' stands here twice",
				            w->c->index.v[index[k]].name)
				        .id;
			if (r->n == MAX_REDUCED)
				return fail(env, a->bracket[i]->span, "'%s' is over more than %d indices",
				            a->name, MAX_REDUCED)
				        .id;
			r->index[r->n++] = index[k];
			r->set |= (uint64_t)1 << index[k];
		}
	}
	return true;
}

bool lower_reduction(const struct env *env, struct ast *a, struct reduction_parts *r)
{
	struct lower *w = env->w;
	const struct expr_pool *p = &w->c->pool;
	*r = (struct reduction_parts){.reduce = reduction_find(a->name, strlen(a->name))};
	if (a->noperand != 1)
		return fail(env, a->span, "'%s[…]' takes one operand, not %d", a->name, a->noperand).id;
	if (!a->nbracket)
		return fail(env, a->span, "'%s[]' names no index to go over", a->name).id;
	bool good = lower_indices(env, a, r);
	if (!(r->body = lower_expr(env, a->operand[0])).id || !good)
		return false;
	enum kind kind = (enum kind)expr_at(p, r->body)->kind;
	if (r->reduce == REDUCE_ARGMAX && r->n != 1)
		return fail(env, a->span, "'argmax' goes over one index").id;
	if (r->reduce == REDUCE_ANY || r->reduce == REDUCE_ALL) {
		if (!is_condition(p, r->body)) {
			fail(env, a->operand[0]->span, "'%s' takes a condition, not a number", a->name);
			diag_help(w->diags, "compare it: %s != 0", ast_text(env, a->operand[0]));
			return false;
		}
	} else if (kind == KIND_BOOL) {
		fail(env, a->operand[0]->span, "'%s' takes numbers, not a condition", a->name);
		diag_help(w->diags, "to count, write  select(CONDITION, 1, 0)");
		return false;
	}
	return true;
}

static struct expr extent_product(struct lower *w, const uint32_t *index, int n)
{
	struct expr e = w->c->index.v[index[0]].extent;
	for (int i = 1; i < n; i++)
		e = expr2(&w->c->pool, OP_MUL, e, w->c->index.v[index[i]].extent);
	return e;
}

/* A mean over what is always present is a sum over a known count. Over nothing it is 0 all the same. */
struct expr lower_mean(const struct env *env, struct span span, struct reduction_parts r)
{
	struct lower *w = env->w;
	struct expr_pool *p = &w->c->pool;
	struct expr count = extent_product(w, r.index, r.n);
	int64_t known;
	if (!cascade_extent(w->c, count, &known) || known < 1)
		count = expr2(p, OP_MAX, count, expr_number(p, 1));
	r.reduce = REDUCE_SUM;
	struct expr sum = hoist(env, span, r);
	return sum.id ? expr2(p, OP_DIV, sum, count) : NO_EXPR;
}

/* Will segments leave out some of what is reduced? */
static bool is_restricted(const struct env *env, struct span span, struct reduction_parts r)
{
	struct meeting m = {NULL, 0, r.set, true, 0};
	return !restrict_ragged(env, span, &m, &r.body, &r.where) || r.where.id;
}

static struct expr lower_nested_reduction(const struct env *env, struct ast *a)
{
	struct lower *w = env->w;
	struct reduction_parts r;
	if (!lower_reduction(env, a, &r))
		return NO_EXPR;
	struct fact f = fact_of(w, r.body);
	for (int i = 0; i < r.n; i++)
		if (!(f.free >> r.index[i] & 1))
			return fail(env, a->span, "'%s' goes over index '%s', but '%s' does not carry it",
			            a->name, w->c->index.v[r.index[i]].name, ast_text(env, a->operand[0]));
	if (r.reduce == REDUCE_MEAN && !f.maybe_absent && !is_restricted(env, a->span, r))
		return lower_mean(env, a->span, r);
	return hoist(env, a->span, r);
}

/* Functions. */

static struct expr lower_extent(const struct env *env, const struct ast *a)
{
	uint32_t index[MAX_REDUCED];
	if (a->noperand != 1)
		return fail(env, a->span, "'extent' takes an index");
	int n = lower_index(env, a->operand[0], index, MAX_REDUCED);
	return n ? extent_product(env->w, index, n) : NO_EXPR;
}

static struct expr lower_cast(const struct env *env, struct ast *a, enum dtype to)
{
	struct env value = *env;
	value.coordinate = false;
	struct expr x = lower_expr(&value, a->operand[0]);
	if (!x.id)
		return NO_EXPR;
	struct expr e = expr_make(&env->w->c->pool, OP_CAST, (uint32_t)to, 1, &x);
	/* One more level than its operand: an operation on it checks the depth. */
	if (fact_of(env->w, e).depth > EXPR_DEPTH)
		return fail(env, a->span, "this expression nests deeper than the limit of %d", EXPR_DEPTH);
	return e;
}

struct expr lower_call(const struct env *env, struct ast *a)
{
	size_t length = strlen(a->name);
	const struct template *t = template_find(env, a->name);
	if (t)
		return template_expand(env, t, a);
	if (is_reduction_call(env, a))
		return lower_nested_reduction(env, a);
	if (is_selection_call(env, a))
		return lower_nested_selection(env, a);
	enum op op = a->noperand <= 3 && !a->bracketed ? op_find(a->name, length, a->noperand) : OP_NONE;
	if (op) {
		struct expr x[3];
		for (int i = 0; i < a->noperand; i++)
			x[i] = lower_expr(env, a->operand[i]);
		for (int i = 0; i < a->noperand; i++)
			if (!x[i].id)
				return NO_EXPR;
		return lower_operation(env, a->span, op, a->noperand, x);
	}
	if (!strcmp(a->name, "extent") && !a->bracketed)
		return lower_extent(env, a);
	if (segment_find(a->name) && !a->bracketed)
		return lower_segment(env, a, segment_find(a->name));
	enum dtype to = a->noperand == 1 && !a->bracketed ? dtype_find(a->name, length) : DTYPES;
	if (to != DTYPES)
		return lower_cast(env, a, to);
	enum selection select = selection_find(a->name, length);
	if ((reduction_find(a->name, length) || select) && !name_find(env->w, a->name)) {
		const char *index = likely_index(env, a);
		bool argument = select && selection_info[select].argument;
		fail(env, a->span, "'%s' does not say over which index", a->name);
		diag_help(env->w->diags, "write  %s[%s%s](…)", a->name, index ? index : "i",
		          !argument ? "" : select == SELECT_TOPK ? ", k" : ", p");
		return NO_EXPR;
	}
	return unknown_function(env, a);
}
