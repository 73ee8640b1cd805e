#include <ctype.h>
#include <string.h>

#include "base/hash.h"
#include "dsl/lower.h"

static uint32_t *slot_of(const struct lower *w, const char *s)
{
	uint32_t at = hash_bytes(s, strlen(s), HASH_SEED) & (w->slots - 1);
	while (w->slot[at] && strcmp(w->name.v[w->slot[at] - 1].text, s) != 0)
		at = (at + 1) & (w->slots - 1);
	return &w->slot[at];
}

struct name *name_find(const struct lower *w, const char *s)
{
	uint32_t at = w->slots ? *slot_of(w, s) : 0;
	return at ? &w->name.v[at - 1] : NULL;
}

static const char *what(const struct lower *w, const struct name *n)
{
	switch (n->kind) {
	case NAME_RANK: return "a rank";
	case NAME_INDEX: return "an index";
	case NAME_PARAM: return "a param";
	case NAME_TENSOR: break;
	case NAME_LOST: return "lost";
	}
	enum role role = w->c->tensor.v[n->id].role;
	return role == ROLE_IN ? "an input" : role == ROLE_OUT ? "an output" : "a tensor";
}

struct name *name_add(struct lower *w, const char *s, enum name_kind kind, uint32_t id, struct span span)
{
	struct name *old = name_find(w, s);
	struct name name = {.text = s, .kind = kind, .id = id, .span = span};
	if (old && kind != NAME_LOST && old->kind != NAME_LOST) {
		diag_error(w->diags, span, "'%s' is already %s", s, what(w, old));
		old->claimed = true;
		if (old->kind == NAME_INDEX &&
		    expr_at(&w->c->pool, w->c->index.v[old->id].extent)->op == OP_EXTENT)
			diag_help(w->diags, "it walks rank %s; use another name",
			          w->c->rank.v[w->c->index.v[old->id].rank].name);
		return NULL;
	}
	if (old && kind == NAME_LOST)
		return NULL;
	if (old) {
		*old = name;
		return old;
	}
	if (w->name.n >= w->slots / 2) {
		w->slots = w->slots ? 2 * w->slots : 64;
		w->slot = arena_new_array(w->arena, w->slots, uint32_t);
		for (uint32_t i = 0; i < w->name.n; i++)
			*slot_of(w, w->name.v[i].text) = i + 1;
	}
	uint32_t *slot = slot_of(w, s);
	vec_push(w->arena, &w->name, name);
	*slot = w->name.n;
	return &w->name.v[w->name.n - 1];
}

const struct binding *binding_find(const struct env *env, const char *s)
{
	for (uint32_t i = env->binding.n; i > 0; i--)
		if (!strcmp(env->binding.v[i - 1].name, s))
			return &env->binding.v[i - 1];
	return NULL;
}

const struct template *template_find(const struct env *env, const char *s)
{
	for (uint32_t i = env->templates; i > 0; i--)
		if (!strcmp(env->w->template.v[i - 1].statement->template_name.name, s))
			return &env->w->template.v[i - 1];
	return NULL;
}

bool name_lost(const struct lower *w, const char *s)
{
	const struct name *n = name_find(w, s);
	return n && n->kind == NAME_LOST;
}

/* Names that stand for values, in the order of declaration. */
static const char *nearest_value(const struct env *env, const char *s)
{
	VEC(const char *) all = {0};
	if (env->w->diags->errors > DIAG_LIMIT)
		return NULL; /* nobody will see it */
	for (uint32_t i = 0; i < env->binding.n; i++)
		vec_push(env->w->arena, &all, env->binding.v[i].name);
	for (uint32_t i = 0; i < env->w->name.n; i++)
		if (env->w->name.v[i].kind != NAME_LOST)
			vec_push(env->w->arena, &all, env->w->name.v[i].text);
	return lexer_nearest(s, all.v, all.n);
}

static bool is_function(const struct env *env, const char *s)
{
	size_t n = strlen(s);
	return template_find(env, s) || reduction_find(s, n) || selection_find(s, n) || op_find(s, n, 1) ||
	       op_find(s, n, 2) || op_find(s, n, 3);
}

struct expr unknown_value(const struct env *env, const char *s, struct span span, bool read)
{
	struct lower *w = env->w;
	if (name_lost(w, s))
		return NO_EXPR;
	fail(env, span, "there is no '%s' here", s);
	const char *near = nearest_value(env, s);
	if (is_function(env, s))
		diag_help(w->diags, "'%s' is a function: write %s(…)", s, s);
	else if (near)
		diag_help(w->diags, "did you mean '%s'?", near);
	else if (read)
		diag_help(w->diags, "a tensor is declared 'in %s[…]', or defined by an equation", s);
	else if (s[1])
		diag_help(w->diags, "a value is declared 'param %s = …', a tensor 'in %s[…]'", s, s);
	else if (islower((unsigned char)s[0]))
		diag_help(w->diags,
		          "an index comes with its rank, 'rank %c', or is declared: 'index %s : RANK'",
		          toupper((unsigned char)s[0]), s);
	/* Once is enough. */
	if (!env->inside)
		name_add(w, s, NAME_LOST, 0, span);
	return NO_EXPR;
}

struct expr unknown_function(const struct env *env, const struct ast *a)
{
	static const char *const not_yet[] = {"cumsum", "cummax", "cumprod", "logcumsumexp"};
	struct lower *w = env->w;
	size_t length = strlen(a->name);
	if (name_lost(w, a->name))
		return NO_EXPR;
	for (size_t i = 0; i < sizeof not_yet / sizeof *not_yet; i++)
		if (!strcmp(a->name, not_yet[i]))
			return fail(env, a->span, "'%s' is not supported yet", a->name);
	const struct name *n = name_find(w, a->name);
	if (n || binding_find(env, a->name)) {
		fail(env, a->span, "'%s' is not a function", a->name);
		if (n && n->kind == NAME_TENSOR && !a->bracketed)
			diag_help(w->diags, "a tensor is read with brackets: %s[…]", a->name);
		return NO_EXPR;
	}
	for (int k = 1; k <= 3; k++)
		if (op_find(a->name, length, k) && k != a->noperand)
			return fail(env, a->span, "'%s' takes %d operand%s, not %d", a->name, k,
			            k == 1 ? "" : "s", a->noperand);
	VEC(const char *) all = {0};
	for (uint32_t i = 0; i < env->templates; i++)
		vec_push(w->arena, &all, w->template.v[i].statement->template_name.name);
	for (int op = OP_OLD + 1; op < OPS; op++)
		if (islower((unsigned char)*op_info[op].spelling))
			vec_push(w->arena, &all, op_info[op].spelling);
	for (int r = REDUCE_NONE + 1; r < REDUCTIONS; r++)
		vec_push(w->arena, &all, reduction_info[r].spelling);
	for (int k = SELECT_NONE + 1; k < SELECTIONS; k++)
		vec_push(w->arena, &all, selection_info[k].spelling);
	for (int t = 0; t < DTYPES; t++)
		vec_push(w->arena, &all, dtype_info[t].spelling);
	const char *near = lexer_nearest(a->name, all.v, all.n);
	fail(env, a->name_span, "there is no function '%s'", a->name);
	if (near)
		diag_help(w->diags, "did you mean '%s'?", near);
	return NO_EXPR;
}
