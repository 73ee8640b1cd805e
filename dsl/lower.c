#include "dsl/lower.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

extern const char embed_dsl_prelude_att[];

/* Declarations. */

bool add_index(struct lower *w, const char *name, uint32_t rank, struct expr extent, struct span span)
{
	if (w->c->index.n == MAX_INDICES) {
		if (!w->full)
			diag_error(w->diags, span, "the program has more than %d index variables",
			           MAX_INDICES);
		w->full = true;
		return false;
	}
	if (!name_add(w, name, NAME_INDEX, w->c->index.n, span))
		return false;
	uint32_t i = cascade_add_index(w->c, name, rank);
	if (extent.id)
		w->c->index.v[i].extent = extent;
	return true;
}

static void declare_rank(struct lower *w, const struct ast_name *n)
{
	char *lower = arena_strdup(w->arena, n->name);
	for (char *s = lower; *s; s++)
		*s = (char)tolower((unsigned char)*s);
	if (!strcmp(lower, n->name)) {
		char *upper = arena_strdup(w->arena, n->name);
		for (char *s = upper; *s; s++)
			*s = (char)toupper((unsigned char)*s);
		diag_error(w->diags, n->span, "a rank has upper case letters; '%s' is how an index looks",
		           n->name);
		diag_help(w->diags, "write  rank %s", upper);
		name_add(w, lower, NAME_LOST, 0, n->span);
		name_add(w, upper, NAME_LOST, 0, n->span);
		return;
	}
	if (!w->full && name_add(w, n->name, NAME_RANK, w->c->rank.n, n->span))
		add_index(w, lower, cascade_add_rank(w->c, n->name, NOT_BOUND), NO_EXPR, n->span);
}

/* Is it made of constants, and of extents where those are allowed? */
static bool made_of(struct lower *w, struct expr e, bool extents)
{
	const struct expr_pool *p = &w->c->pool;
	return !fact_of(w, e).free && !expr_mentions(p, e, OP_READ, ANY_SYMBOL) &&
	       (extents || !expr_mentions(p, e, OP_EXTENT, ANY_SYMBOL));
}

static void bind_rank(struct lower *w, const struct ast_name *n)
{
	struct env env = env_of(w);
	const struct name *name = name_find(w, n->name);
	double v;
	if (!n->value || !name || name->kind != NAME_RANK)
		return;
	struct expr e = lower_expr(&env, n->value);
	if (!e.id)
		return;
	if (!expr_is_number(&w->c->pool, e, &v) || expr_at(&w->c->pool, e)->kind != KIND_INT) {
		diag_error(w->diags, n->value->span,
		           "the extent of a rank is a whole number, and '%s' is not",
		           ast_text(&env, n->value));
		return;
	}
	if (v < 0 || v >= (double)EXTENT_LIMIT)
		diag_error(w->diags, n->value->span, "extent %.0f of rank '%s' is outside 0 to %lld", v,
		           n->name, (long long)EXTENT_LIMIT - 1);
	else
		w->c->rank.v[name->id].extent = (int64_t)v;
}

static const struct param *given(const struct lower *w, const char *name)
{
	for (int i = 0; i < w->given->nparams; i++)
		if (!strcmp(w->given->param[i].name, name))
			return &w->given->param[i];
	return NULL;
}

static enum dtype given_type(const struct lower *w, const char *name, enum dtype declared)
{
	for (int i = w->given->ntypes - 1; i >= 0; i--) {
		const struct retype *t = &w->given->type[i];
		enum dtype type = strcmp(t->name, name) ? DTYPES : dtype_find(t->type, strlen(t->type));
		if (type != DTYPES)
			return type;
	}
	return declared;
}

static const struct ast *first_read(const struct ast *a)
{
	const struct ast *found = a->kind == AST_READ ? a : NULL;
	for (int i = 0; i < a->noperand && !found; i++)
		found = first_read(a->operand[i]);
	return found;
}

static void declare_param(struct lower *w, const struct ast_name *n)
{
	struct env env = env_of(w);
	const struct param *p = given(w, n->name);
	struct expr value = NO_EXPR;
	if (p) {
		value = expr_number(&w->c->pool, p->value);
	} else if (!n->value) {
		diag_error(w->diags, n->span, "param '%s' has no value", n->name);
		diag_help(w->diags, "give it one here, or from outside: -p %s=…", n->name);
	} else if (first_read(n->value)) {
		diag_error(w->diags, first_read(n->value)->span,
		           "a param is made of constants, params and ranks");
	} else if ((value = lower_expr(&env, n->value)).id && !made_of(w, value, true)) {
		diag_error(w->diags, n->value->span, "a param is made of constants, params and ranks");
		value = NO_EXPR;
	}
	struct name *name = name_add(w, n->name, NAME_PARAM, 0, n->span);
	if (name)
		name->value = value;
}

/* The whole number of ranks an expression is; NO_EXPR after an error. */
static struct expr lower_declared_extent(struct lower *w, struct ast *a)
{
	struct env env = env_of(w);
	env.coordinate = true;
	struct expr e = lower_expr(&env, a);
	if (!e.id)
		return e;
	const struct name *n = a->kind == AST_NAME ? name_find(w, a->name) : NULL;
	if (n && n->kind == NAME_INDEX) {
		diag_error(w->diags, a->span, "'%s' is an index; an extent is made of ranks", a->name);
		diag_help(w->diags, "write  %s", w->c->rank.v[w->c->index.v[n->id].rank].name);
		return NO_EXPR;
	}
	if (made_of(w, e, true) && expr_at(&w->c->pool, e)->kind == KIND_INT)
		return e;
	diag_error(w->diags, a->span, "an extent is a whole number made of ranks and constants");
	return NO_EXPR;
}

static void declare_index(struct lower *w, const struct statement *s)
{
	struct expr extent = lower_declared_extent(w, s->extent.v[0]), *node;
	uint32_t rank = UINT32_MAX, n = extent.id ? expr_nodes(&w->c->pool, extent, &node) : 0;
	for (uint32_t i = 0; i < n && rank == UINT32_MAX; i++)
		if (expr_at(&w->c->pool, node[i])->op == OP_EXTENT)
			rank = expr_at(&w->c->pool, node[i])->symbol;
	if (extent.id && rank == UINT32_MAX)
		diag_error(w->diags, s->extent.v[0]->span, "an index walks a rank");
	for (uint32_t i = 0; i < s->name.n; i++)
		if (rank == UINT32_MAX)
			name_add(w, s->name.v[i].name, NAME_LOST, 0, s->span);
		else
			add_index(w, s->name.v[i].name, rank, extent, s->name.v[i].span);
}

static void declare_tensor(struct lower *w, const struct statement *s)
{
	const struct ast_name *n = &s->name.v[0];
	struct tensor t = {.name = n->name,
	                   .dtype = given_type(w, n->name, s->dtype),
	                   .role = s->role,
	                   .span = n->span};
	struct tensor_fact f = {.has_index = true, .defined = s->role == ROLE_IN};
	uint64_t seen = 0;
	if (s->extent.n > MAX_RANKS) {
		diag_error(w->diags, s->span, "'%s' has more than %d ranks", n->name, MAX_RANKS);
		f.broken = true;
	}
	for (uint32_t i = 0; i < s->extent.n && i < MAX_RANKS; i++) {
		struct expr e = lower_declared_extent(w, s->extent.v[i]);
		t.extent[t.nranks++] = e.id ? e : expr_number(&w->c->pool, 1);
		f.broken |= !e.id;
		uint32_t index = UINT32_MAX;
		for (uint32_t k = 0; k < w->c->index.n && index == UINT32_MAX; k++)
			if (expr_at(&w->c->pool, e)->op == OP_EXTENT && expr_same(w->c->index.v[k].extent, e))
				index = k;
		f.has_index &= index != UINT32_MAX && !(seen >> index & 1);
		if (index != UINT32_MAX) {
			f.index[i] = index;
			seen |= (uint64_t)1 << index;
		}
	}
	if (s->role == ROLE_OUT)
		f.has_index = false; /* until its equation says which they are */
	if (name_add(w, n->name, NAME_TENSOR, w->c->tensor.n, n->span)) {
		uint32_t id = add_tensor(w, t, f);
		/* An output is unreadable until its equation is made. */
		w->tensor.v[id].broken |= s->role == ROLE_OUT;
	}
}

/* Left sides that no `out` declares are locals. */
static void declare_left(struct lower *w, const struct ast_left *left)
{
	struct name *n = name_find(w, left->name);
	if (!n || n->kind != NAME_TENSOR) {
		if (!name_add(w, left->name, NAME_TENSOR, w->c->tensor.n, left->name_span))
			return;
		struct tensor t = {
		        .name = left->name, .dtype = DTYPE_F32, .role = ROLE_LOCAL, .span = left->name_span};
		add_tensor(w, t, (struct tensor_fact){.defined = true, .broken = true});
		return;
	}
	struct tensor_fact *f = &w->tensor.v[n->id];
	if (w->c->tensor.v[n->id].role == ROLE_IN) {
		diag_error(w->diags, left->name_span, "'%s' is an input and cannot be defined", left->name);
		diag_help(w->diags, "if it is computed here, declare it  out");
	} else if (f->defined) {
		diag_error(w->diags, left->name_span, "'%s' is defined twice", left->name);
	}
	f->defined = true;
}

static void add_template(struct lower *w, const struct statement *s, bool prelude)
{
	const char *name = s->template_name.name;
	size_t length = strlen(name);
	bool builtin =
	        reduction_find(name, length) || selection_find(name, length) ||
	        dtype_find(name, length) != DTYPES || !strcmp(name, "extent") || segment_find(name);
	for (int k = 1; k <= 3; k++)
		builtin |= op_find(name, length, k) != OP_NONE;
	if (builtin) {
		diag_error(w->diags, s->template_name.span, "'%s' is built in and cannot be defined again",
		           name);
		return;
	}
	for (uint32_t i = 0; i < w->template.n; i++)
		if (!w->template.v[i].prelude &&
		    !strcmp(w->template.v[i].statement->template_name.name, name)) {
			diag_error(w->diags, s->template_name.span, "template '%s' is defined twice", name);
			return;
		}
	const char *source = prelude ? embed_dsl_prelude_att : w->source;
	vec_push(w->arena, &w->template,
	         (struct template){.statement = s, .source = source, .prelude = prelude});
}

/* The prelude is a text like any other, but a mistake in it is ours. */
static void read_prelude(struct lower *w)
{
	struct diags *d = arena_new(w->arena, struct diags);
	struct lexer l;
	size_t size = strlen(embed_dsl_prelude_att);
	diags_init(d, w->arena, "prelude", embed_dsl_prelude_att, size);
	lexer_init(&l, w->arena, embed_dsl_prelude_att, size, LEX_STATEMENTS, d);
	const struct ast_file *f = ast_parse(&l);
	assert(!d->errors);
	for (uint32_t i = 0; i < f->statement.n; i++)
		if (f->statement.v[i].kind == STATEMENT_TEMPLATE)
			add_template(w, &f->statement.v[i], true);
}

/* Is one of the names given from outside not among those declared, that is a mistake with no place in the text. */
static void check_known(struct lower *w, const char *what, const char *name, const char *const *all, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i], name))
			return;
	diag_error(w->diags, (struct span){0}, "the program has no %s '%s'", what, name);
	const char *near = lexer_nearest(name, all, n);
	if (near)
		diag_help(w->diags, "did you mean '%s'?", near);
}

static void check_given_params(struct lower *w)
{
	VEC(const char *) all = {0};
	const struct statement *s;
	EACH (w, STATEMENT_PARAM, s)
		for (uint32_t i = 0; i < s->name.n; i++)
			vec_push(w->arena, &all, s->name.v[i].name);
	for (int i = 0; i < w->given->nparams; i++)
		check_known(w, "param", w->given->param[i].name, all.v, all.n);
}

static void check_given_types(struct lower *w)
{
	VEC(const char *) all = {0};
	const struct statement *s;
	EACH (w, STATEMENT_TENSOR, s)
		vec_push(w->arena, &all, s->name.v[0].name);
	for (int i = 0; i < w->given->ntypes; i++) {
		const struct retype *t = &w->given->type[i];
		check_known(w, "input or output", t->name, all.v, all.n);
		if (dtype_find(t->type, strlen(t->type)) == DTYPES) {
			diag_error(w->diags, (struct span){0}, "there is no type '%s' for '%s'", t->type, t->name);
			diag_help(w->diags, "%s", dtype_help(w->arena, t->type));
		}
	}
}

static void declare(struct lower *w)
{
	const struct statement *s;
	bool named = false;
	EACH (w, STATEMENT_KERNEL, s) {
		if (named)
			diag_error(w->diags, s->name.v[0].span, "a file has one kernel");
		else
			w->c->name = s->name.v[0].name;
		named = true;
	}
	EACH (w, STATEMENT_RANK, s)
		for (uint32_t i = 0; i < s->name.n; i++)
			declare_rank(w, &s->name.v[i]);
	EACH (w, STATEMENT_PARAM, s)
		for (uint32_t i = 0; i < s->name.n; i++)
			declare_param(w, &s->name.v[i]);
	check_given_params(w);
	check_given_types(w);
	EACH (w, STATEMENT_RANK, s)
		for (uint32_t i = 0; i < s->name.n; i++)
			bind_rank(w, &s->name.v[i]);
	EACH (w, STATEMENT_INDEX, s)
		declare_index(w, s);
	EACH (w, STATEMENT_TENSOR, s)
		declare_tensor(w, s);
	EACH (w, STATEMENT_TENSOR, s)
		if (s->ragged.name)
			declare_ragged(w, s);
	EACH (w, STATEMENT_EQUATION, s)
		for (uint32_t i = 0; i < s->line.v[0].left.n; i++)
			declare_left(w, &s->line.v[0].left.v[i]);
	EACH (w, STATEMENT_TEMPLATE, s)
		add_template(w, s, false);
}

/* What a statement with a syntax error may have declared; a rank's name stands for its index too. */
static void declare_lost(struct lower *w)
{
	for (uint32_t i = 0; i < w->file->lost.n; i++) {
		char *s = arena_strdup(w->arena, w->file->lost.v[i]);
		name_add(w, s, NAME_LOST, 0, (struct span){0});
		s = arena_strdup(w->arena, s);
		for (char *c = s; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		name_add(w, s, NAME_LOST, 0, (struct span){0});
	}
}

/* An output whose equation had a syntax error is not without one. */
static void define_lost(struct lower *w)
{
	for (uint32_t i = 0; i < w->file->lost.n; i++) {
		const struct name *n = name_find(w, w->file->lost.v[i]);
		if (n && n->kind == NAME_TENSOR)
			w->tensor.v[n->id].defined = true;
	}
}

static void check_outputs(struct lower *w)
{
	bool any = false;
	for (uint32_t i = 0; i < w->tensor.n; i++) {
		const struct tensor *t = &w->c->tensor.v[i];
		any |= t->role == ROLE_OUT;
		if (t->role == ROLE_OUT && !w->tensor.v[i].defined) {
			diag_error(w->diags, t->span, "output '%s' is never defined", t->name);
			diag_help(w->diags, "write an equation  %s[…] = …", t->name);
		}
	}
	if (!any && !w->diags->errors)
		diag_error(w->diags, (struct span){0}, "the program has no output: declare one with 'out'");
}

/* Into the order of the text, those without a place first. */
static int by_place(const void *a, const void *b)
{
	const struct diag *x = a, *y = b;
	uint32_t p = x->line ? x->span.begin + 1 : 0, q = y->line ? y->span.begin + 1 : 0;
	if (p != q)
		return (p > q) - (p < q);
	if (x->severity != y->severity)
		return x->severity > y->severity ? 1 : -1;
	return strcmp(x->message, y->message);
}

/* What two left sides share was looked at twice; to say it once is enough. */
static void drop_repeated(struct diags *d, uint32_t first)
{
	uint32_t n = first;
	for (uint32_t i = first; i < d->list.n; i++) {
		const struct diag *g = &d->list.v[i], *last = n > first ? &d->list.v[n - 1] : NULL;
		bool repeated = last && g->line && g->span.begin == last->span.begin &&
		                g->span.end == last->span.end && !strcmp(g->message, last->message);
		if (repeated)
			d->errors -= g->severity == SEVERITY_ERROR;
		else
			d->list.v[n++] = *g;
	}
	d->list.n = n;
}

struct cascade *cascade_parse(struct arena *arena, const char *source, size_t size, const struct param *param,
                              int nparams, struct diags *diags)
{
	struct overrides o = {.param = param, .nparams = nparams};
	return cascade_parse_with(arena, source, size, &o, diags);
}

struct cascade *cascade_parse_with(struct arena *arena, const char *source, size_t size,
                                   const struct overrides *given, struct diags *diags)
{
	struct lexer l;
	struct lower w = {.arena = arena, .diags = diags, .source = source, .given = given};
	struct cascade *c = NULL;
	uint32_t errors = diags->errors, first = diags->list.n;
	w.c = cascade_new(arena, "kernel");
	lexer_init(&l, arena, source, size, LEX_STATEMENTS, diags);
	w.file = ast_parse(&l);
	read_prelude(&w);
	declare_lost(&w);
	declare(&w);
	define_lost(&w);
	for (uint32_t i = 0; i < w.template.n; i++)
		if (!w.template.v[i].prelude)
			template_check(&w, &w.template.v[i]);
	if (!w.full)
		lower_in_order(&w);
	if (!w.full)
		check_outputs(&w);
	if (diags->errors == errors)
		c = lower_finish(&w);
	if (diags->list.n > first)
		qsort(diags->list.v + first, diags->list.n - first, sizeof *diags->list.v, by_place);
	drop_repeated(diags, first);
	return c;
}
