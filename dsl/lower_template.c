#include <string.h>

#include "dsl/lower.h"

/* Checking a template where it stands. */

static bool check_names(const struct env *, const struct ast *);

static bool check_call(const struct env *env, const struct ast *a)
{
	size_t length = strlen(a->name);
	const struct template *t = template_find(env, a->name);
	bool over = reduction_find(a->name, length) || selection_find(a->name, length);
	if (t || (a->bracketed && over) || !strcmp(a->name, "extent") ||
	    segment_find(a->name) ||
	    (a->noperand <= 3 && op_find(a->name, length, a->noperand)) ||
	    dtype_find(a->name, length) != DTYPES)
		return true;
	if (over)
		return true; /* told of where it is called */
	return unknown_function(env, a).id != 0;
}

static bool check_names(const struct env *env, const struct ast *a)
{
	bool good = true;
	if ((a->kind == AST_NAME || a->kind == AST_READ || a->kind == AST_MOVE) &&
	    !binding_find(env, a->name) && (!name_find(env->w, a->name) || name_lost(env->w, a->name)))
		good = unknown_value(env, a->name, a->name_span, a->kind == AST_READ).id != 0;
	if (a->kind == AST_CALL)
		good = check_call(env, a);
	for (int i = 0; i < a->nbracket; i++)
		good &= check_names(env, a->bracket[i]);
	for (int i = 0; i < a->noperand; i++)
		good &= check_names(env, a->operand[i]);
	return good;
}

static bool bind_name(struct env *env, const char *s, struct span span)
{
	for (uint32_t i = 0; i < env->binding.n; i++)
		if (!strcmp(env->binding.v[i].name, s))
			return diag_error(env->w->diags, span, "'%s' is already a name in this template", s);
	vec_push(env->w->arena, &env->binding, (struct binding){.name = s});
	return true;
}

void template_check(struct lower *w, struct template *t)
{
	const struct statement *s = t->statement;
	struct env env = {.w = w, .templates = (uint32_t)(t - w->template.v), .source = t->source};
	bool good = true;
	for (uint32_t i = 0; i < s->name.n; i++)
		good &= bind_name(&env, s->name.v[i].name, s->name.v[i].span);
	for (uint32_t i = 0; i < s->parameter.n; i++) {
		good &= bind_name(&env, s->parameter.v[i].name, s->parameter.v[i].span);
		if (s->parameter.v[i].value)
			good &= check_names(&(struct env){.w = w, .templates = env.templates},
			                    s->parameter.v[i].value);
	}
	for (uint32_t i = 0; i < s->line.n; i++) {
		const struct ast_equation *e = &s->line.v[i];
		for (uint32_t k = 0; k < e->right.n; k++)
			good &= check_names(&env, e->right.v[k]);
		for (uint32_t k = 0; k < e->left.n; k++) {
			const struct ast_left *left = &e->left.v[k];
			if (left->bracketed)
				good = diag_error(
				        w->diags, left->span,
				        "a template's lines name values: write '%s' without indices",
				        left->name);
			else
				good &= bind_name(&env, left->name, left->name_span);
		}
	}
	t->broken = !good;
}

/* Expanding it where it is called. */

/* A value with a name becomes an equation, unless it is a tensor already or nothing but indices. */
static struct expr settle(const struct env *env, struct span span, struct expr e)
{
	const struct expr_pool *p = &env->w->c->pool;
	if (!e.id || expr_at(p, e)->op == OP_READ || !expr_mentions(p, e, OP_READ, ANY_SYMBOL))
		return e;
	return hoist(env, span, (struct reduction_parts){.body = e});
}

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
static bool bind_indices(const struct env *env, struct env *inner, const struct statement *s,
                         const struct ast *a)
{
	struct lower *w = env->w;
	if (s->name.n && !a->bracketed) {
		const char *index = likely_index(env, a);
		fail(env, a->span, "'%s' needs to know its index", a->name);
		diag_help(w->diags, "write  %s[%s](…)", a->name, index ? index : s->name.v[0].name);
		return false;
	}
	if (!s->name.n && a->bracketed)
		return fail(env, a->span, "'%s' takes no indices", a->name).id;
	if (a->nbracket < s->name.n)
		return fail(env, a->span, "'%s' takes %u indices, not %d", a->name, s->name.n, a->nbracket)
		        .id;
	for (uint32_t i = 0; i < s->name.n; i++) {
		struct binding b = {.name = s->name.v[i].name, .is_index = true};
		uint32_t to = i + 1 < s->name.n ? i + 1 : a->nbracket;
		for (uint32_t k = i; k < to; k++) {
			int limit = MAX_REDUCED - b.nindex;
			if (!limit)
				return fail(env, a->span, "'%s' is over more than %d indices", a->name,
				            MAX_REDUCED)
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
		const char *range = needed == s->parameter.n
		                            ? arena_printf(env->w->arena, "%u", needed)
		                            : arena_printf(env->w->arena, "%u to %u", needed, s->parameter.n);
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

static bool bind_operands(const struct env *env, struct env *inner, const struct statement *s,
                          const struct ast *a)
{
	struct lower *w = env->w;
	bool good = check_operands(env, s, a), inlines = !s->name.n && s->line.n == 1;
	struct env global = {.w = w,
	                     .templates = inner->templates,
	                     .inside = inner->inside,
	                     .blame = inner->blame,
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

/* An index that no operand carries is a slip, better told of here than inside. */
static bool check_carried(const struct env *env, const struct env *inner, const struct ast *a)
{
	struct lower *w = env->w;
	uint64_t carried = 0;
	for (uint32_t i = 0; i < inner->binding.n; i++)
		if (!inner->binding.v[i].is_index)
			carried |= fact_of(w, inner->binding.v[i].value).free;
	for (uint32_t i = 0; i < inner->binding.n; i++) {
		const struct binding *b = &inner->binding.v[i];
		for (int k = 0; b->is_index && k < b->nindex; k++)
			if (!(carried & bit(b->index[k])))
				return fail(env, a->span, "'%s' goes over index '%s', but %s", a->name,
				            w->c->index.v[b->index[k]].name,
				            a->noperand == 1
				                    ? arena_printf(w->arena, "'%s' does not carry it",
				                                   ast_text(env, a->operand[0]))
				                    : "no operand carries it")
				        .id;
	}
	return true;
}

struct expr template_expand(const struct env *env, const struct template *t, const struct ast *a)
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
	if (!bind_indices(env, &inner, s, a) || !bind_operands(env, &inner, s, a) ||
	    !check_carried(env, &inner, a))
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
