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
		return fail(env, q.span, "the program has more than %d equations, once templates are expanded",
		            EQUATION_LIMIT)
			.id;
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

enum dtype equation_dtype(const struct expr_pool *p, enum reduction reduce, struct expr body)
{
	const struct expr_node *n = expr_at(p, body);
	enum kind kind = reduce == REDUCE_MEAN ? KIND_REAL : reduce == REDUCE_ARGMAX ? KIND_INT : (enum kind)n->kind;
	bool one_of_them = reduce == REDUCE_NONE || reduce == REDUCE_MAX || reduce == REDUCE_MIN;
	if (n->op == OP_CAST && one_of_them)
		return (enum dtype)n->symbol;
	return kind == KIND_BOOL ? DTYPE_BOOL : kind == KIND_INT ? DTYPE_I32 : DTYPE_F32;
}

struct expr hoist(const struct env *env, struct span span, struct reduction_parts r)
{
	struct lower *w = env->w;
	for (uint32_t i = 0; i < w->shared.n; i++) {
		const struct shared *s = &w->shared.v[i];
		if (expr_same(s->body, r.body) && s->reduce == r.reduce && s->reduced == r.set && !r.where.id)
			return cascade_read(w->c, s->tensor, w->tensor.v[s->tensor].index,
			                    w->c->tensor.v[s->tensor].nranks);
	}
	uint32_t order[MAX_INDICES];
	int n = index_order(w, r.body, order, MAX_INDICES);
	uint64_t missing = r.where.id ? fact_of(w, r.where).free & ~fact_of(w, r.body).free : 0;
	for (; missing; missing &= missing - 1)
		order[n++] = (uint32_t)__builtin_ctzll(missing);
	struct tensor t = {.name = "X", .role = ROLE_LOCAL, .span = span};
	struct tensor_fact fact = {.defined = true, .hoisted = true, .has_index = true};
	struct equation q = {.reduce = r.reduce, .nreduced = (uint8_t)r.n, .body = r.body, .where = r.where, .span = span};
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
	t.dtype = equation_dtype(&w->c->pool, r.reduce, r.body);
	fact.maybe_absent = !r.reduce && fact_of(w, r.body).maybe_absent;
	q.tensor = add_tensor(w, t, fact);
	if (!add_equation(env, q))
		return NO_EXPR;
	if (!r.where.id)
		vec_push(w->arena, &w->shared, (struct shared){r.body, r.reduce, r.set, q.tensor});
	return cascade_read(w->c, q.tensor, q.index, q.nindex);
}

/* A value with a name becomes an equation, unless it is a tensor already or nothing but indices. */
static struct expr settle(const struct env *env, struct span span, struct expr e)
{
	const struct expr_pool *p = &env->w->c->pool;
	if (!e.id || expr_at(p, e)->op == OP_READ || !expr_mentions(p, e, OP_READ, ANY_SYMBOL))
		return e;
	return hoist(env, span, (struct reduction_parts){.body = e});
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
				return fail(env, a->bracket[i]->span, "'%s' is over more than %d indices", a->name,
				            MAX_REDUCED)
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
			diag_help(w->diags, "compare it: … != 0");
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

static struct expr lower_nested_reduction(const struct env *env, struct ast *a)
{
	struct lower *w = env->w;
	struct reduction_parts r;
	if (!lower_reduction(env, a, &r))
		return NO_EXPR;
	struct fact f = fact_of(w, r.body);
	for (int i = 0; i < r.n; i++)
		if (!(f.free >> r.index[i] & 1))
			return fail(env, a->span, "'%s' goes over index '%s', but '%s' does not carry it", a->name,
			            w->c->index.v[r.index[i]].name, ast_text(env, a->operand[0]));
	if (r.reduce == REDUCE_MEAN && !f.maybe_absent)
		return lower_mean(env, a->span, r);
	return hoist(env, a->span, r);
}

/* Templates. */

static uint32_t uses_in(const struct ast *a, const char *name)
{
	uint32_t n = (a->kind == AST_NAME || a->kind == AST_READ) && !strcmp(a->name, name);
	for (int i = 0; i < a->nbracket; i++)
		n += uses_in(a->bracket[i], name);
	for (int i = 0; i < a->noperand; i++)
		n += uses_in(a->operand[i], name);
	return n;
}

static uint32_t uses(const struct statement *s, const char *name)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->line.n; i++)
		for (uint32_t k = 0; k < s->line.v[i].right.n; k++)
			n += uses_in(s->line.v[i].right.v[k], name);
	return n;
}

/* The last index parameter takes all that are left. */
static bool bind_indices(const struct env *env, struct env *inner, const struct statement *s, const struct ast *a)
{
	struct lower *w = env->w;
	if (s->name.n && !a->bracketed) {
		fail(env, a->span, "'%s' needs to know its index", a->name);
		diag_help(w->diags, "write  %s[%s](…)", a->name, s->name.v[0].name);
		return false;
	}
	if (!s->name.n && a->bracketed)
		return fail(env, a->span, "'%s' takes no indices", a->name).id;
	if (a->nbracket < s->name.n)
		return fail(env, a->span, "'%s' takes %u indices, not %d", a->name, s->name.n, a->nbracket).id;
	for (uint32_t i = 0; i < s->name.n; i++) {
		struct binding b = {.name = s->name.v[i].name, .is_index = true};
		uint32_t to = i + 1 < s->name.n ? i + 1 : a->nbracket;
		for (uint32_t k = i; k < to; k++) {
			int limit = MAX_REDUCED - b.nindex;
			if (!limit)
				return fail(env, a->span, "'%s' is over more than %d indices", a->name, MAX_REDUCED)
					.id;
			int n = lower_index(env, a->bracket[k], b.index + b.nindex, limit);
			if (!n)
				return false;
			b.nindex = (uint8_t)(b.nindex + n);
		}
		vec_push(w->arena, &inner->binding, b);
	}
	return true;
}

static bool check_operands(const struct env *env, const struct statement *s, const struct ast *a)
{
	uint32_t needed = s->parameter.n;
	while (needed > s->before && s->parameter.v[needed - 1].value)
		needed--;
	if (a->noperand < needed || a->noperand > s->parameter.n) {
		const char *range = needed == s->parameter.n ? arena_printf(env->w->arena, "%u", needed)
		                                             : arena_printf(env->w->arena, "%u to %u", needed,
		                                                            s->parameter.n);
		fail(env, a->span, "'%s' takes %s operand%s, not %d", a->name, range,
		     s->parameter.n == 1 ? "" : "s", a->noperand);
		if (a->noperand < needed)
			diag_help(env->w->diags, "'%s' is missing", s->parameter.v[a->noperand].name);
		return false;
	}
	if (a->before != a->noperand && a->before != s->before)
		return fail(env, a->span, "'%s' has %u operand%s before its ';', not %d", a->name, s->before,
		            s->before == 1 ? "" : "s", a->before)
			.id;
	return true;
}

static bool bind_operands(const struct env *env, struct env *inner, const struct statement *s, const struct ast *a)
{
	struct lower *w = env->w;
	bool good = check_operands(env, s, a), inlines = !s->name.n && s->line.n == 1;
	struct env global = {.w = w, .templates = inner->templates, .inside = inner->inside, .blame = inner->blame,
	                     .source = inner->source};
	for (uint32_t i = 0; i < s->parameter.n && (good || i < a->noperand); i++) {
		const struct ast_name *n = &s->parameter.v[i];
		struct binding b = {.name = n->name};
		b.value = i < a->noperand ? lower_expr(env, a->operand[i]) : lower_expr(&global, n->value);
		if (!inlines && uses(s, n->name) > 1)
			b.value = settle(env, a->span, b.value);
		good &= b.value.id != 0;
		vec_push(w->arena, &inner->binding, b);
	}
	return good;
}

static struct expr expand(const struct env *env, const struct template *t, const struct ast *a)
{
	struct lower *w = env->w;
	const struct statement *s = t->statement;
	bool inlines = !s->name.n && s->line.n == 1;
	if (t->broken)
		return NO_EXPR;
	if (env->depth == EXPANSION_DEPTH)
		return fail(env, a->span, "templates stand inside each other deeper than the limit of %d",
		            EXPANSION_DEPTH);
	if (++w->expansions > EXPANSION_LIMIT) {
		w->full = true;
		return fail(env, a->span, "the program expands more than %d templates", EXPANSION_LIMIT);
	}
	struct env inner = {.w = w,
	                    .templates = (uint32_t)(t - w->template.v),
	                    .inside = env->inside ? env->inside : t,
	                    .blame = env->inside ? env->blame : a->span,
	                    .source = t->source,
	                    .depth = env->depth + 1,
	                    .coordinate = env->coordinate};
	bool good = bind_indices(env, &inner, s, a);
	if (!bind_operands(env, &inner, s, a) || !good)
		return NO_EXPR;
	struct expr value = NO_EXPR;
	for (uint32_t i = 0; i < s->line.n; i++) {
		const struct ast_equation *line = &s->line.v[i];
		uint32_t bound = inner.binding.n;
		for (uint32_t k = 0; k < line->right.n; k++) {
			value = lower_expr(&inner, line->right.v[k]);
			if (line->left.n && !inlines)
				value = settle(&inner, inner.blame, value);
			if (!value.id)
				return NO_EXPR;
			if (line->left.n)
				vec_push(w->arena, &inner.binding,
				         (struct binding){.name = "", .value = value});
		}
		/* All right sides are read before any name is given. */
		for (uint32_t k = 0; k < line->left.n; k++)
			inner.binding.v[bound + k].name = line->left.v[k].name;
	}
	return value;
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
		return expand(env, t, a);
	if (is_reduction_call(env, a))
		return lower_nested_reduction(env, a);
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
	enum dtype to = a->noperand == 1 && !a->bracketed ? dtype_find(a->name, length) : DTYPES;
	if (to != DTYPES)
		return lower_cast(env, a, to);
	if (reduction_find(a->name, length) && !name_find(env->w, a->name)) {
		fail(env, a->span, "'%s' does not say over which index", a->name);
		diag_help(env->w->diags, "write  %s[i](…)", a->name);
		return NO_EXPR;
	}
	return unknown_function(env, a);
}
