#include <string.h>

#include "dsl/lower.h"

/* One left side and its right side. */
struct work {
	struct env env;
	const struct ast_left *left;
	struct ast *right;
	struct span span;
	struct expr where, otherwise;
	const struct ast *where_tree, *otherwise_tree;
	bool where_failed;
	uint32_t tensor;
	uint32_t index[MAX_RANKS];
	int n;
	uint64_t on_left, met;
	struct reduction_parts r;
};

static const char *index_name(const struct work *k, uint32_t index)
{
	return k->env.w->c->index.v[index].name;
}

/* The left side. */

static bool written_indices(struct work *k)
{
	struct lower *w = k->env.w;
	const struct tensor *t = &w->c->tensor.v[k->tensor];
	bool good = true;
	if (k->left->n > MAX_RANKS)
		return diag_error(w->diags, k->left->span, "'%s' has more than %d ranks", t->name, MAX_RANKS);
	if (t->role == ROLE_OUT && k->left->n != t->nranks)
		return diag_error(w->diags, k->left->span,
		                  "'%s' is declared with %d rank%s, but has %d ind%s here", t->name,
		                  t->nranks, t->nranks == 1 ? "" : "s", k->left->n,
		                  k->left->n == 1 ? "ex" : "ices");
	for (int i = 0; i < k->left->n; i++) {
		const struct ast *a = k->left->index[i];
		if (a->kind != AST_NAME) {
			good = diag_error(w->diags, a->span, "the left side has plain indices, not '%s'",
			                  ast_text(&k->env, a));
			continue;
		}
		uint32_t index;
		if (!lower_index(&k->env, a, &index, 1)) {
			good = false;
			continue;
		}
		if (k->on_left & bit(index))
			good = diag_error(w->diags, a->span, "index '%s' stands on the left twice", a->name);
		if (t->role == ROLE_OUT && !same_extent(w, w->c->index.v[index].extent, t->extent[i])) {
			good = diag_error(w->diags, a->span,
			                  "index '%s' walks %s, but dimension %d of '%s' is %s", a->name,
			                  extent_text(w, w->c->index.v[index].extent), i + 1, t->name,
			                  extent_text(w, t->extent[i]));
			const char *meant = walker(w, t->extent[i]);
			if (meant)
				diag_help(w->diags, "did you mean '%s'?", meant);
		}
		k->index[k->n++] = index;
		k->on_left |= bit(index);
	}
	return good;
}

/* A local without brackets has the indices of its right side, by first appearance. */
static bool infer_local(struct work *k)
{
	struct lower *w = k->env.w;
	uint32_t order[MAX_INDICES];
	int n = index_order(w, k->r.body, order, MAX_INDICES);
	for (int i = 0; i < n; i++) {
		if (k->r.set & bit(order[i]))
			continue;
		if (k->n == MAX_RANKS)
			return diag_error(w->diags, k->left->span, "'%s' has more than %d ranks",
			                  k->left->name, MAX_RANKS);
		k->index[k->n++] = order[i];
		k->on_left |= bit(order[i]);
	}
	return true;
}

/* An output without brackets: a rank's index is the one of the right side that walks it; where there are
 * several or none, the one named like the rank. */
static bool infer_output(struct work *k)
{
	struct lower *w = k->env.w;
	const struct tensor *t = &w->c->tensor.v[k->tensor];
	uint64_t free = fact_of(w, k->r.body).free & ~k->r.set;
	for (int d = 0; d < t->nranks; d++) {
		uint32_t found = UINT32_MAX, named = UINT32_MAX;
		int count = 0;
		for (uint32_t i = 0; i < w->c->index.n; i++) {
			if (k->on_left & bit(i) || !same_extent(w, w->c->index.v[i].extent, t->extent[d]))
				continue;
			if (named == UINT32_MAX)
				named = i;
			if (free & bit(i)) {
				found = i;
				count++;
			}
		}
		if (count != 1)
			found = named;
		if (found == UINT32_MAX || (count > 1 && !(free & bit(named)))) {
			diag_error(w->diags, k->left->span, "'%s' needs its indices written here", t->name);
			diag_help(w->diags, "which one walks dimension %d, %s, is not clear", d + 1,
			          extent_text(w, t->extent[d]));
			return false;
		}
		k->index[k->n++] = found;
		k->on_left |= bit(found);
	}
	return true;
}

/* The checks that need both sides. */

static bool check_explicit(const struct work *k)
{
	struct lower *w = k->env.w;
	uint64_t carried = fact_of(w, k->r.body).free | (k->where.id ? fact_of(w, k->where).free : 0);
	for (int i = 0; i < k->r.n; i++) {
		if (k->on_left & bit(k->r.index[i]))
			return diag_error(w->diags, k->right->span,
			                  "index '%s' is on the left, and '%s' goes over it",
			                  index_name(k, k->r.index[i]), k->right->name);
		if (!(carried & bit(k->r.index[i])) && !k->where_failed)
			return diag_error(w->diags, k->right->span,
			                  "'%s' goes over index '%s', but '%s' does not carry it",
			                  k->right->name, index_name(k, k->r.index[i]),
			                  ast_text(&k->env, k->right->operand[0]));
	}
	return true;
}

static bool check_where(struct work *k)
{
	struct lower *w = k->env.w;
	double v;
	uint64_t loose;
	if (k->where.id) {
		if (!is_condition(&w->c->pool, k->where)) {
			diag_error(w->diags, k->where_tree->span, "'where' takes a condition, not a number");
			diag_help(w->diags, "compare it: %s != 0", ast_text(&k->env, k->where_tree));
			return false;
		}
		if ((loose = fact_of(w, k->where).free & ~(k->on_left | k->r.set))) {
			diag_error(w->diags, k->where_tree->span,
			           "index '%s' of this condition is neither on the left nor reduced",
			           index_name(k, lowest(loose)));
			if (!k->r.reduce)
				diag_help(w->diags,
				          "'where' speaks of the whole equation: give what goes over '%s' "
				          "one of its own",
				          index_name(k, lowest(loose)));
			return false;
		}
		if (expr_is_number(&w->c->pool, k->where, &v) && v != 0)
			k->where = NO_EXPR;
	}
	if (!k->otherwise.id)
		return true;
	if (k->r.select)
		return diag_error(w->diags, k->otherwise_tree->span,
		                  "'%s' is present everywhere, so this is stored nowhere", k->right->name);
	if (w->c->tensor.v[k->tensor].role != ROLE_OUT) {
		diag_error(w->diags, k->otherwise_tree->span,
		           "'%s' is no output, so nothing is stored where it is absent", k->left->name);
		diag_help(w->diags, "to read a value there write  (%s else …)  where it is read",
		          k->left->name);
		return false;
	}
	if ((loose = fact_of(w, k->otherwise).free & ~k->on_left))
		return diag_error(w->diags, k->otherwise_tree->span, "index '%s' is not on the left",
		                  index_name(k, lowest(loose)));
	return true;
}

static bool check_type(const struct work *k)
{
	struct lower *w = k->env.w;
	const struct tensor *t = &w->c->tensor.v[k->tensor];
	const struct expr_node *n = expr_at(&w->c->pool, k->r.body);
	bool condition = n->kind == KIND_BOOL && k->r.reduce != REDUCE_ARGMAX;
	if (k->r.select)
		condition = selection_info[k->r.select].dtype == DTYPE_BOOL;
	if (t->role != ROLE_OUT || condition == (t->dtype == DTYPE_BOOL))
		return true;
	if (condition) {
		diag_error(w->diags, k->right->span, "'%s' is %s, but this is a condition", t->name,
		           dtype_info[t->dtype].spelling);
		diag_help(w->diags, "declare it  : bool, or write select(…, 1, 0)");
		return false;
	}
	if (!k->r.select && is_condition(&w->c->pool, k->r.body))
		return true;
	diag_error(w->diags, k->right->span, "'%s' is bool, but this is a number", t->name);
	if (k->r.select)
		diag_help(w->diags, "declare it  : %s", dtype_info[selection_info[k->r.select].dtype].spelling);
	else
		diag_help(w->diags, "compare it: %s != 0", ast_text(&k->env, k->right));
	return false;
}

static void conjuncts(struct work *k, struct expr e, struct expr *outer, struct expr *inner)
{
	struct expr_pool *p = &k->env.w->c->pool;
	if (expr_at(p, e)->op == OP_AND) {
		conjuncts(k, expr_operand(p, e, 0), outer, inner);
		conjuncts(k, expr_operand(p, e, 1), outer, inner);
		return;
	}
	struct expr *to = fact_of(k->env.w, e).free & k->r.set ? inner : outer;
	*to = to->id ? expr2(p, OP_AND, *to, e) : e;
}

/* Of the condition on a reduction, what speaks of reduced indices restricts the range; the rest says where
 * the result is at all, and stands with an equation of its own: T = X where rest, X = the reduction. */
static bool split_where(struct work *k)
{
	struct lower *w = k->env.w;
	struct expr outer = NO_EXPR, inner = NO_EXPR, value;
	conjuncts(k, k->where, &outer, &inner);
	if (!outer.id)
		return true;
	k->r.where = inner;
	if (k->r.reduce == REDUCE_MEAN && !inner.id && !fact_of(w, k->r.body).maybe_absent)
		value = lower_mean(&k->env, k->span, k->r);
	else
		value = hoist(&k->env, k->span, k->r);
	k->where = outer;
	k->r = (struct reduction_parts){.body = value};
	return value.id != 0;
}

static bool is_map(const struct reduction_parts *r)
{
	return !r->reduce && !r->select;
}

/* Can the left side be what a selection makes? An output may have another type. */
static bool holds(const struct work *k, enum selection select)
{
	const struct tensor *t = &k->env.w->c->tensor.v[k->tensor];
	return !select || t->role != ROLE_OUT || t->dtype == selection_info[select].dtype;
}

/* T = X, for an X hoisted here over the same indices: T is defined as X is. */
static void take_over(struct work *k, uint32_t since)
{
	struct lower *w = k->env.w;
	const struct expr_node *n = expr_at(&w->c->pool, k->r.body);
	if (!is_map(&k->r) || k->where.id || n->op != OP_READ || n->symbol < since ||
	    fact_of(w, k->r.body).free != k->on_left || n->count != k->n)
		return;
	const struct equation *q = &w->c->equation.v[w->c->tensor.v[n->symbol].equation];
	/* The newest one: nothing reads it yet. */
	if (n->symbol != w->c->tensor.n - 1 || q->where.id || !holds(k, q->select))
		return;
	k->r = (struct reduction_parts){.reduce = q->reduce,
	                                .n = q->nreduced,
	                                .body = q->body,
	                                .select = q->select,
	                                .along = q->along,
	                                .argument = q->argument};
	memcpy(k->r.index, q->reduced, sizeof q->reduced);
	for (int i = 0; i < k->r.n; i++)
		k->r.set |= bit(k->r.index[i]);
	if (w->shared.n && w->shared.v[w->shared.n - 1].tensor == n->symbol)
		w->shared.n--;
}

static void define(struct work *k)
{
	struct lower *w = k->env.w;
	struct tensor *t = &w->c->tensor.v[k->tensor];
	struct tensor_fact *f = &w->tensor.v[k->tensor];
	struct equation q = {.tensor = k->tensor,
	                     .nindex = (uint8_t)k->n,
	                     .reduce = k->r.reduce,
	                     .nreduced = (uint8_t)k->r.n,
	                     .body = k->r.body,
	                     .where = k->where,
	                     .otherwise = k->otherwise,
	                     .select = k->r.select,
	                     .along = k->r.along,
	                     .slot = k->r.slot,
	                     .argument = k->r.argument,
	                     .span = k->span};
	memcpy(q.index, k->index, sizeof q.index);
	memcpy(q.reduced, k->r.index, sizeof q.reduced);
	memcpy(f->index, k->index, sizeof f->index);
	f->has_index = true;
	f->met = equation_is_map(&q) ? k->met : 0;
	f->maybe_absent = equation_is_map(&q) && (q.where.id || fact_of(w, q.body).maybe_absent);
	if (t->role == ROLE_LOCAL) {
		t->nranks = q.nindex;
		for (int i = 0; i < k->n; i++)
			t->extent[i] = w->c->index.v[k->index[i]].extent;
		t->dtype = equation_dtype(&w->c->pool, &k->r);
	}
	if (!add_equation(&k->env, q))
		return;
	f->broken = false;
	bool spans_body = (fact_of(w, q.body).free & ~k->r.set) == k->on_left;
	bool copy = equation_is_map(&q) && expr_at(&w->c->pool, q.body)->op == OP_READ;
	if (t->role == ROLE_LOCAL && !q.where.id && spans_body && !copy)
		share(w, &k->r, k->tensor);
}

/* An output of another type than the selection's is a copy of it. */
static bool keep_apart(struct work *k)
{
	struct lower *w = k->env.w;
	const struct tensor *t = &w->c->tensor.v[k->tensor];
	if (holds(k, k->r.select))
		return true;
	struct tensor x = {.name = "X", .role = ROLE_LOCAL, .nranks = t->nranks, .span = k->span};
	struct tensor_fact f = {.defined = true, .hoisted = true, .has_index = true};
	memcpy(x.extent, t->extent, sizeof x.extent);
	memcpy(f.index, k->index, sizeof f.index);
	struct work own = *k;
	own.tensor = add_tensor(w, x, f);
	define(&own);
	k->where = NO_EXPR;
	k->r = (struct reduction_parts){.body = cascade_read(w->c, own.tensor, k->index, k->n)};
	return !w->tensor.v[own.tensor].broken && !w->full;
}

static void lower_one(struct work *k)
{
	struct lower *w = k->env.w;
	uint32_t since = w->c->tensor.n;
	const struct name *name = name_find(w, k->left->name);
	bool good = name && name->kind == NAME_TENSOR && w->c->tensor.v[name->id].role != ROLE_IN;
	if (good) {
		k->tensor = name->id;
		good = !k->left->bracketed || written_indices(k);
	}
	bool explicit = is_reduction_call(&k->env, k->right), selects = is_selection_call(&k->env, k->right);
	if (explicit)
		explicit = lower_reduction(&k->env, k->right, &k->r), good &= explicit;
	else if (selects)
		good &= lower_selection(&k->env, k->right, &k->r);
	else
		good &= (k->r.body = lower_expr(&k->env, k->right)).id != 0;
	if (!good)
		return;
	k->right->lowered = k->r.body;
	if (!k->left->bracketed &&
	    !(w->c->tensor.v[k->tensor].role == ROLE_OUT ? infer_output(k) : infer_local(k)))
		return;
	uint64_t summed = fact_of(w, k->r.body).free & ~(k->on_left | k->r.set);
	if (summed && explicit) {
		diag_error(w->diags, k->right->span, "index '%s' is neither on the left nor in '%s[…]'",
		           index_name(k, lowest(summed)), k->right->name);
		diag_help(w->diags, "put it in the brackets, or write the sum around it: sum[%s](%s[…](…))",
		          index_name(k, lowest(summed)), k->right->name);
		return;
	}
	if (selects    ? !check_selection(&k->env, k->right, &k->r, k->on_left, k->where)
	    : explicit ? !check_explicit(k)
	    : summed ? !lower_implicit_sum(&k->env, k->right, k->span, summed, &k->r)
	             : false)
		return;
	if (!check_where(k) || !check_type(k))
		return;
	struct meeting m = {k->index, k->n, k->r.set, false, 0};
	if (!restrict_ragged(&k->env, k->span, &m, &k->r.body, &k->where))
		return;
	k->met = m.met;
	if (selects && !keep_apart(k))
		return;
	if (k->r.reduce && k->where.id && !split_where(k))
		return;
	if (k->r.reduce == REDUCE_MEAN && !k->where.id && !fact_of(w, k->r.body).maybe_absent) {
		struct expr e = lower_mean(&k->env, k->span, k->r);
		if (!e.id)
			return;
		k->r = (struct reduction_parts){.body = e};
	}
	take_over(k, since);
	define(k);
}

void lower_equation(struct lower *w, const struct ast_equation *e, uint32_t n)
{
	struct work k = {.env = env_of(w), .span = e->span, .left = &e->left.v[n], .right = e->right.v[n]};
	if (e->where) {
		k.where = lower_expr(&k.env, e->where);
		k.where_tree = e->where;
		k.where_failed = !k.where.id;
	}
	if (e->otherwise) {
		k.otherwise = lower_expr(&k.env, e->otherwise);
		k.otherwise_tree = e->otherwise;
	}
	if (!w->full)
		lower_one(&k);
}
