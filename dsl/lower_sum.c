/* Indices of the right side that are not on the left are summed, over the whole right side. */
#include <string.h>

#include "dsl/lower.h"

static const char *index_name(const struct env *env, uint32_t index)
{
	return env->w->c->index.v[index].name;
}

/* The additive term that does not carry the index, or NULL. A product carries it if a factor does. */
static const struct ast *lacks(struct lower *w, const struct ast *a, uint32_t index)
{
	const struct ast *x, *y;
	bool mentions = fact_of(w, a->lowered).free & bit(index);
	if (!mentions)
		return a;
	if (a->kind != AST_OP)
		return NULL;
	switch (a->op) {
	case OP_NEG: return lacks(w, a->operand[0], index);
	case OP_ADD:
	case OP_SUB: x = lacks(w, a->operand[0], index); return x ? x : lacks(w, a->operand[1], index);
	case OP_MUL:
		x = lacks(w, a->operand[0], index);
		y = lacks(w, a->operand[1], index);
		if (!x || !y)
			return NULL;
		return fact_of(w, a->operand[0]->lowered).free & bit(index) ? x : y;
	case OP_DIV:
		x = lacks(w, a->operand[0], index);
		return x && fact_of(w, a->operand[1]->lowered).free & bit(index) ? NULL : x;
	default: return NULL;
	}
}

static void indices_text(const struct env *env, uint64_t set, struct text *t)
{
	for (const char *sep = ""; set; set &= set - 1, sep = ",")
		text_printf(t, "%s%s", sep, index_name(env, lowest(set)));
}

/* The right side again with each term's sum written out. */
static void explicit_sums(const struct env *env, const struct ast *a, uint64_t summed, bool minus,
                          struct text *t)
{
	struct lower *w = env->w;
	if (a->kind == AST_OP && (a->op == OP_ADD || a->op == OP_SUB)) {
		explicit_sums(env, a->operand[0], summed, minus, t);
		explicit_sums(env, a->operand[1], summed, minus != (a->op == OP_SUB), t);
		return;
	}
	text_add(t, t->len ? minus ? " - " : " + " : minus ? "-" : "");
	uint64_t carried = fact_of(w, a->lowered).free & summed;
	const char *text = ast_text(env, a);
	if (!carried) {
		text_add(t, text);
		return;
	}
	text_add(t, "sum[");
	indices_text(env, carried, t);
	text_printf(t, *text == '(' && a->kind == AST_OP ? "]%s" : "](%s)", text);
}

static bool report_lack(const struct env *env, const struct ast *right, const struct ast *lacking,
                        uint32_t index, uint64_t summed)
{
	struct lower *w = env->w;
	struct text t;
	diag_error(w->diags, lacking->span, "index '%s' is summed here, but '%s' does not carry it",
	           index_name(env, index), ast_text(env, lacking));
	if (right->kind == AST_OP && (right->op == OP_ADD || right->op == OP_SUB)) {
		text_init(&t, w->arena);
		explicit_sums(env, right, summed, false, &t);
		diag_help(w->diags, "write  %s", t.s);
	} else {
		diag_help(w->diags, "write the sum around what it is over: sum[%s](…)",
		          index_name(env, index));
	}
	return false;
}

/* The call with brackets that carries an index summed around it, or NULL: a sum of softmaxes is hardly ever
 * meant, a softmax of sums is. */
static const struct ast *summed_around(const struct env *env, const struct ast *a, uint64_t summed,
                                       uint32_t *index)
{
	struct lower *w = env->w;
	if (a->kind == AST_CALL && a->bracketed) {
		uint64_t own = 0, carried = 0;
		int indices = is_selection_call(env, a) ? 1 : a->nbracket;
		for (int i = 0; i < indices; i++) {
			uint32_t reduced;
			if (lower_index(env, a->bracket[i], &reduced, 1))
				own |= bit(reduced);
		}
		for (int i = 0; i < a->noperand; i++)
			carried |= fact_of(w, a->operand[i]->lowered).free;
		if (!(carried & summed & ~own))
			return NULL;
		*index = lowest(carried & summed & ~own);
		return a;
	}
	const struct ast *found = NULL;
	for (int i = 0; i < a->noperand && !found; i++)
		found = summed_around(env, a->operand[i], summed, index);
	return found;
}

bool lower_implicit_sum(const struct env *env, struct ast *right, struct span span, uint64_t summed,
                        struct reduction_parts *r)
{
	struct lower *w = env->w;
	uint32_t index = lowest(summed), order[MAX_INDICES];
	const struct ast *a = summed_around(env, right, summed, &index);
	if (a) {
		diag_error(w->diags, a->span,
		           "index '%s' would be summed around '%s[…]', and is not on the left",
		           index_name(env, index), a->name);
		diag_help(w->diags, "sum inside it, sum[%s](…), or put '%s' on the left",
		          index_name(env, index), index_name(env, index));
		return false;
	}
	for (uint64_t rest = summed; rest; rest &= rest - 1) {
		const struct ast *lacking = lacks(w, right, lowest(rest));
		if (lacking)
			return report_lack(env, right, lacking, lowest(rest), summed);
	}
	if (expr_at(&w->c->pool, r->body)->kind == KIND_BOOL) {
		diag_error(w->diags, right->span, "index '%s' is summed here, but this is a condition",
		           index_name(env, index));
		diag_help(w->diags, "write any[%s](…), all[%s](…), or count: select(…, 1, 0)",
		          index_name(env, index), index_name(env, index));
		return false;
	}
	int n = index_order(w, r->body, order, MAX_INDICES);
	r->reduce = REDUCE_SUM;
	for (int i = 0; i < n; i++) {
		if (!(summed & bit(order[i])))
			continue;
		if (r->n == MAX_REDUCED)
			return diag_error(w->diags, span, "more than %d indices are summed here",
			                  MAX_REDUCED);
		r->index[r->n++] = order[i];
	}
	r->set = summed;
	return true;
}
