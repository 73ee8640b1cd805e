/* Selections: topk, nucleus and argsort stand anywhere in an expression, where they get an equation of their own;
 * members is a whole right side, for the left names the slot. */
#include <string.h>

#include "dsl/lower.h"

bool is_selection_call(const struct env *env, const struct ast *a)
{
	return a->kind == AST_CALL && a->bracketed && selection_find(a->name, strlen(a->name)) &&
	       !template_find(env, a->name);
}

static const char *index_name(const struct env *env, uint32_t index)
{
	return env->w->c->index.v[index].name;
}

static bool wrong_form(const struct env *env, const struct ast *a, const struct selection_info *info)
{
	const char *argument = !info->argument ? "" : !strcmp(info->spelling, "topk") ? ", k" : ", p";
	if (a->noperand != 1)
		fail(env, a->span, "'%s[…]' takes one operand, not %d", a->name, a->noperand);
	else
		fail(env, a->span, "the brackets of '%s' hold %s, not %d", a->name,
		     info->argument ? "an index and a number" : "one index", a->nbracket);
	diag_help(env->w->diags, "write  %s[i%s](…)", a->name, argument);
	return false;
}

/* k: a whole number, from 0; p: a number from 0 to 1. Made of constants, params and ranks. */
static bool lower_argument(const struct env *env, struct ast *a, struct reduction_parts *r)
{
	struct lower *w = env->w;
	const struct expr_pool *p = &w->c->pool;
	struct env inside = *env;
	double v;
	bool counts = r->select == SELECT_TOPK;
	inside.coordinate = counts;
	if (!(r->argument = lower_expr(&inside, a)).id)
		return false;
	enum kind kind = (enum kind)expr_at(p, r->argument)->kind;
	if (fact_of(w, r->argument).free || expr_mentions(p, r->argument, OP_READ, ANY_SYMBOL))
		return fail(env, a->span, "how many are chosen is made of constants, params and ranks, and '%s' is not",
		            ast_text(env, a))
		        .id;
	if (kind == KIND_BOOL || (counts && kind != KIND_INT))
		return fail(env, a->span, "'%s' takes a %s, and '%s' is not", selection_info[r->select].spelling,
		            counts ? "whole number" : "number", ast_text(env, a))
		        .id;
	if (!expr_is_number(p, r->argument, &v))
		return true;
	if (counts && !(v >= 0))
		return fail(env, a->span, "'topk' chooses a number of elements, and %.0f is negative", v).id;
	if (!counts && !(v >= 0 && v <= 1))
		return fail(env, a->span, "'nucleus' takes a share of the sum, from 0 to 1, not %g", v).id;
	return true;
}

bool lower_selection(const struct env *env, struct ast *a, struct reduction_parts *r)
{
	struct lower *w = env->w;
	*r = (struct reduction_parts){.select = selection_find(a->name, strlen(a->name))};
	const struct selection_info *info = &selection_info[r->select];
	if (a->noperand != 1 || a->nbracket != 1 + info->argument)
		return wrong_form(env, a, info);
	bool good = lower_index(env, a->bracket[0], &r->along, 1) == 1;
	good &= !info->argument || lower_argument(env, a->bracket[1], r);
	if (!(r->body = lower_expr(env, a->operand[0])).id || !good)
		return false;
	bool condition = expr_at(&w->c->pool, r->body)->kind == KIND_BOOL;
	if (r->select == SELECT_MEMBERS && !is_condition(&w->c->pool, r->body)) {
		fail(env, a->operand[0]->span, "'members' takes a condition, not a number");
		diag_help(w->diags, "compare it: %s != 0", ast_text(env, a->operand[0]));
		return false;
	}
	if (r->select != SELECT_MEMBERS && condition) {
		fail(env, a->operand[0]->span, "'%s' takes numbers, not a condition", a->name);
		diag_help(w->diags, "for a number write  select(CONDITION, 1, 0)");
		return false;
	}
	if (r->select == SELECT_MEMBERS)
		r->set = bit(r->along);
	return true;
}

struct expr lower_nested_selection(const struct env *env, struct ast *a)
{
	struct reduction_parts r;
	if (!lower_selection(env, a, &r))
		return NO_EXPR;
	if (r.select == SELECT_MEMBERS) {
		fail(env, a->span, "'members' is a whole right side: the left names the slot that counts them");
		diag_help(env->w->diags, "give it an equation of its own:  L[…, s] = %s", ast_text(env, a));
		return NO_EXPR;
	}
	if (!(fact_of(env->w, r.body).free & bit(r.along)))
		return fail(env, a->span, "'%s' goes along index '%s', but '%s' does not carry it", a->name,
		            index_name(env, r.along), ast_text(env, a->operand[0]));
	return hoist(env, a->span, r);
}

bool check_selection(const struct env *env, const struct ast *a, struct reduction_parts *r, uint64_t on_left,
                     struct expr where)
{
	struct lower *w = env->w;
	bool members = r->select == SELECT_MEMBERS;
	uint64_t carried = fact_of(w, r->body).free, loose = carried & ~on_left & ~bit(r->along);
	if (loose) {
		diag_error(w->diags, a->span, "index '%s' is not on the left, and '%s' goes along '%s'",
		           index_name(env, lowest(loose)), a->name, index_name(env, r->along));
		diag_help(w->diags, "sum inside it, sum[%s](…), or put '%s' on the left",
		          index_name(env, lowest(loose)), index_name(env, lowest(loose)));
		return false;
	}
	if (where.id)
		carried |= fact_of(w, where).free;
	if (!(carried & bit(r->along)))
		return diag_error(w->diags, a->span, "'%s' goes along index '%s', but '%s' does not carry it",
		                  a->name, index_name(env, r->along), ast_text(env, a->operand[0]));
	if (!members && !(on_left & bit(r->along))) {
		diag_error(w->diags, a->span, "'%s' goes along index '%s', which is not on the left", a->name,
		           index_name(env, r->along));
		diag_help(w->diags, "it says of each '%s' what becomes of it: put it there",
		          index_name(env, r->along));
		return false;
	}
	if (!members)
		return true;
	uint64_t slots = on_left & ~carried;
	if (on_left & bit(r->along)) {
		diag_error(w->diags, a->span, "index '%s' is on the left, and 'members' goes over it",
		           index_name(env, r->along));
		diag_help(w->diags, "in its place stands a slot, an index that '%s' does not carry",
		          ast_text(env, a->operand[0]));
		return false;
	}
	if (!slots || slots & (slots - 1)) {
		diag_error(w->diags, a->span,
		           "the slot of 'members' is the one index of the left that its operand does not carry, and "
		           "there %s",
		           slots ? "are several" : "is none");
		return false;
	}
	r->slot = lowest(slots);
	return true;
}
