#include <string.h>

#include "dsl/dtype.h"
#include "dsl/lower.h"

struct expr fail(const struct env *env, struct span span, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	const char *message = arena_vprintf(env->w->arena, format, ap);
	va_end(ap);
	if (env->inside)
		diag_error(env->w->diags, env->blame, "in template '%s': %s",
		           env->inside->statement->template_name.name, message);
	else
		diag_error(env->w->diags, span, "%s", message);
	return NO_EXPR;
}

const char *ast_text(const struct env *env, const struct ast *a)
{
	/* On one line, however it was written. */
	char *s = arena_strndup(env->w->arena, env->source + a->span.begin, a->span.end - a->span.begin);
	char *to = s;
	for (const char *from = s; *from; from++) {
		bool space = *from == ' ' || *from == '\t' || *from == '\n' || *from == '\r';
		if (!space)
			*to++ = *from;
		else if (to != s && to[-1] != ' ')
			*to++ = ' ';
	}
	*to = 0;
	return s;
}

/* Facts. */

static bool plain_inside(const struct lower *w, struct expr at, struct expr extent)
{
	const struct expr_node *n = expr_at(&w->c->pool, at);
	return n->op == OP_INDEX && expr_same(w->c->index.v[n->symbol].extent, extent);
}

static struct fact new_fact(const struct lower *w, struct expr e)
{
	const struct expr_pool *p = &w->c->pool;
	const struct expr_node *n = expr_at(p, e);
	struct fact f = {.size = 1, .depth = 1};
	if (n->op == OP_INDEX)
		f.free = (uint64_t)1 << n->symbol;
	if (n->op == OP_READ)
		f.maybe_absent = w->tensor.v[n->symbol].maybe_absent;
	for (int i = 0; i < n->count; i++) {
		struct expr x = expr_operand(p, e, i);
		const struct fact *o = &w->fact.v[x.id];
		f.free |= o->free;
		f.size = f.size + o->size > EXPR_SIZE ? EXPR_SIZE + 1 : f.size + o->size;
		f.depth = o->depth >= f.depth ? (uint16_t)(o->depth + 1) : f.depth;
		if (n->op == OP_ELSE && i == 0)
			continue;
		f.maybe_absent |= o->maybe_absent;
		if (n->op == OP_READ)
			f.maybe_absent |= !plain_inside(w, x, w->c->tensor.v[n->symbol].extent[i]);
	}
	return f;
}

/* A fold can make several nodes of one; depth stays near the operands', so it never wraps. */
struct fact fact_of(struct lower *w, struct expr e)
{
	while (w->fact.n < w->c->pool.node.n) {
		struct fact f = new_fact(w, (struct expr){w->fact.n});
		vec_push(w->arena, &w->fact, f);
	}
	return w->fact.v[e.id];
}

static struct expr checked(const struct env *env, struct span span, struct expr e)
{
	struct fact f = fact_of(env->w, e);
	if (e.id >= POOL_LIMIT) {
		if (!env->w->full)
			fail(env, span,
			     "the program has more than %d operations, once templates are expanded",
			     POOL_LIMIT);
		env->w->full = true;
		return NO_EXPR;
	}
	if (f.depth > EXPR_DEPTH)
		fail(env, span,
		     "this expression nests deeper than the limit of %d, once templates are expanded",
		     EXPR_DEPTH);
	else if (f.size > EXPR_SIZE)
		fail(env, span,
		     "this expression is larger than the limit of %d operations, once templates are expanded",
		     EXPR_SIZE);
	else
		return e;
	diag_help(env->w->diags, "give a part of it an equation of its own");
	return NO_EXPR;
}

/* Operations. */

bool is_condition(const struct expr_pool *p, struct expr e)
{
	double v;
	return expr_at(p, e)->kind == KIND_BOOL || (expr_is_number(p, e, &v) && (v == 0 || v == 1));
}

static bool takes_conditions(enum op op)
{
	return op == OP_AND || op == OP_OR || op == OP_NOT;
}

static bool check_kinds(const struct env *env, struct span span, enum op op, int n, const struct expr *x)
{
	const struct expr_pool *p = &env->w->c->pool;
	const char *sign = op_info[op].spelling;
	bool whole = op_info[op].result == RESULT_INT;
	for (int i = 0; i < n; i++) {
		enum kind kind = (enum kind)expr_at(p, x[i])->kind;
		bool condition = takes_conditions(op) || (op == OP_SELECT && i == 0);
		if (condition && !is_condition(p, x[i])) {
			fail(env, span, "'%s' takes a condition, not a number", sign);
			diag_help(env->w->diags, "compare it: … != 0");
			return false;
		}
		if (!condition && kind == KIND_BOOL && op != OP_SELECT && op != OP_EQ && op != OP_NE &&
		    op != OP_ELSE) {
			fail(env, span, "'%s' takes numbers, not a condition", sign);
			diag_help(env->w->diags, "to leave elements out write  where CONDITION, for a number "
			                         " select(CONDITION, 1, 0)");
			return false;
		}
		if (whole && kind == KIND_REAL) {
			fail(env, span, "'%s' takes whole numbers", sign);
			diag_help(env->w->diags, "a cast makes one: i32(…)");
			return false;
		}
	}
	return true;
}

/* A divisor that floors is a positive constant, or at least not one that moves. */
static bool check_divisor(const struct env *env, struct span span, enum op op, struct expr divisor)
{
	double v;
	const char *sign = op == OP_MOD ? "%" : "/";
	if (expr_is_number(&env->w->c->pool, divisor, &v) && v <= 0)
		return fail(env, span, "'%s' of whole numbers needs a positive divisor", sign).id;
	if (env->coordinate &&
	    (fact_of(env->w, divisor).free || expr_mentions(&env->w->c->pool, divisor, OP_READ, ANY_SYMBOL)))
		return fail(env, span, "in a coordinate, '%s' divides by a constant", sign).id;
	return true;
}

struct expr lower_operation(const struct env *env, struct span span, enum op op, int n, const struct expr *x)
{
	struct lower *w = env->w;
	struct expr_pool *p = &w->c->pool;
	if (op == OP_DIV && (env->coordinate || expr_slash_floors(p, x[0], x[1])))
		op = OP_IDIV;
	if (!check_kinds(env, span, op, n, x))
		return NO_EXPR;
	if ((op == OP_IDIV || op == OP_MOD) && !check_divisor(env, span, op, x[1]))
		return NO_EXPR;
	if (op == OP_MUL && env->coordinate && fact_of(w, x[0]).free && fact_of(w, x[1]).free) {
		fail(env, span, "a coordinate is affine: it has no product of two indices");
		return NO_EXPR;
	}
	return checked(env, span, expr_make(p, op, 0, n, x));
}

/* Names. */

static struct expr leaf(const struct lower *w, enum op op, uint32_t symbol)
{
	return expr_leaf(&w->c->pool, op, KIND_INT, symbol);
}

static struct expr several(const struct env *env, struct span span, const char *name)
{
	return fail(env, span, "'%s' stands for several indices and is no coordinate", name);
}

/* A tensor's name without brackets. */
static struct expr bare_tensor(const struct env *env, const struct ast *a, uint32_t t)
{
	struct lower *w = env->w;
	const struct tensor *tensor = &w->c->tensor.v[t];
	if (!w->tensor.v[t].has_index) {
		fail(env, a->name_span, "'%s' needs its indices written here", tensor->name);
		diag_help(w->diags, "write  %s[…]: its ranks do not name one index each", tensor->name);
		return NO_EXPR;
	}
	return cascade_read(w->c, t, w->tensor.v[t].index, tensor->nranks);
}

/* The tensor a name means here, or UINT32_MAX after an error. */
static bool find_tensor(const struct env *env, const struct ast *a, uint32_t *t)
{
	struct lower *w = env->w;
	struct name *n = name_find(w, a->name);
	if (!n || n->kind == NAME_LOST)
		return unknown_value(env, a->name, a->name_span, a->kind == AST_READ).id;
	if (n->kind != NAME_TENSOR && n->claimed)
		return false;
	if (n->kind != NAME_TENSOR) {
		static const char *const kinds[] = {"a rank", "an index", "a param"};
		return fail(env, a->span, "'%s' is %s, not a tensor", a->name, kinds[n->kind]).id;
	}
	n->used = true;
	*t = n->id;
	return !w->tensor.v[n->id].broken;
}

static struct expr lower_name(const struct env *env, const struct ast *a)
{
	struct lower *w = env->w;
	const struct binding *b = binding_find(env, a->name);
	if (b && b->is_index)
		return b->nindex == 1 ? leaf(w, OP_INDEX, b->index[0]) : several(env, a->span, a->name);
	if (b)
		return b->value;
	struct name *n = name_find(w, a->name);
	if (!n || n->kind == NAME_LOST)
		return unknown_value(env, a->name, a->name_span, false);
	n->used = true;
	uint32_t t;
	switch (n->kind) {
	case NAME_RANK: return leaf(w, OP_EXTENT, n->id);
	case NAME_INDEX: return leaf(w, OP_INDEX, n->id);
	case NAME_PARAM: return n->value;
	case NAME_TENSOR: return find_tensor(env, a, &t) ? bare_tensor(env, a, t) : NO_EXPR;
	case NAME_LOST: break;
	}
	return NO_EXPR;
}

int lower_index(const struct env *env, const struct ast *a, uint32_t *index, int limit)
{
	struct lower *w = env->w;
	if (a->kind != AST_NAME) {
		fail(env, a->span, "expected the name of an index, found '%s'", ast_text(env, a));
		return 0;
	}
	const struct binding *b = binding_find(env, a->name);
	if (b && b->is_index) {
		if (b->nindex > limit) {
			several(env, a->span, a->name);
			return 0;
		}
		memcpy(index, b->index, b->nindex * sizeof *index);
		return b->nindex;
	}
	struct name *n = name_find(w, a->name);
	if (!b && (!n || n->kind == NAME_LOST)) {
		unknown_value(env, a->name, a->name_span, false);
		return 0;
	}
	if (b || n->kind != NAME_INDEX) {
		fail(env, a->span, "'%s' is not an index", a->name);
		if (!b && n->kind == NAME_RANK)
			diag_help(w->diags, "the index that walks rank %s has its lower case name", a->name);
		return 0;
	}
	n->used = true;
	*index = n->id;
	return 1;
}

/* Reads. */

/* An index variable that walks the extent, or NULL. */
const char *walker(const struct lower *w, struct expr extent)
{
	for (uint32_t i = 0; i < w->c->index.n; i++)
		if (expr_same(w->c->index.v[i].extent, extent))
			return w->c->index.v[i].name;
	return NULL;
}

const char *extent_text(const struct lower *w, struct expr e)
{
	struct text t;
	struct expr_names names = cascade_names(w->c);
	text_init(&t, w->arena);
	expr_print(&w->c->pool, e, &names, &t);
	return t.s;
}

/* Extents that are told apart by name are the same when both are known numbers. */
bool same_extent(const struct lower *w, struct expr a, struct expr b)
{
	int64_t x, y;
	if (expr_same(a, b))
		return true;
	if (expr_at(&w->c->pool, a)->op == OP_EXTENT && expr_at(&w->c->pool, b)->op == OP_EXTENT)
		return false;
	return cascade_extent(w->c, a, &x) && cascade_extent(w->c, b, &y) && x == y;
}

static bool check_coordinate(const struct env *env, const struct ast *at, uint32_t t, int dimension,
                             struct expr e)
{
	struct lower *w = env->w;
	const struct expr_node *n = expr_at(&w->c->pool, e);
	const struct tensor *tensor = &w->c->tensor.v[t];
	if (n->kind != KIND_INT) {
		fail(env, at->span, "a coordinate is a whole number, and '%s' is not", ast_text(env, at));
		diag_help(w->diags, "a cast makes one: i32(…)");
		return false;
	}
	if (expr_same(e, tensor->extent[dimension]) && n->op == OP_EXTENT) {
		const char *index = walker(w, e);
		fail(env, at->span, "coordinates of dimension %d of '%s' end before %s", dimension + 1,
		     tensor->name, extent_text(w, e));
		if (index)
			diag_help(w->diags, "the index that walks it is '%s'", index);
		return false;
	}
	if (n->op != OP_INDEX || env->mended || same_extent(w, w->c->index.v[n->symbol].extent, tensor->extent[dimension]))
		return true;
	const struct index *index = &w->c->index.v[n->symbol];
	fail(env, at->span, "index '%s' walks %s, but dimension %d of '%s' is %s", index->name,
	     extent_text(w, index->extent), dimension + 1, tensor->name,
	     extent_text(w, tensor->extent[dimension]));
	const char *meant = walker(w, tensor->extent[dimension]);
	if (meant)
		diag_help(w->diags, "did you mean '%s'?", meant);
	else
		diag_help(w->diags, "an index into it is any expression of indices, as in %s/2", index->name);
	return false;
}

/* x[i := e, …]: the value elsewhere. */
struct move {
	uint32_t index;
	struct expr to;
};
struct moves {
	int n;
	struct move move[MAX_RANKS];
};

static struct expr visit_move(struct expr_pool *p, struct expr e, void *context)
{
	const struct moves *m = context;
	for (int i = 0; expr_at(p, e)->op == OP_INDEX && i < m->n; i++)
		if (m->move[i].index == expr_at(p, e)->symbol)
			return m->move[i].to;
	return e;
}

static struct expr lower_moved(const struct env *env, struct ast *a)
{
	struct lower *w = env->w;
	struct moves moves = {0};
	struct env inside = *env;
	inside.coordinate = true;
	inside.mended = false;
	struct expr x = lower_name(env, a);
	for (int i = 0; i < a->nbracket; i++) {
		struct ast *m = a->bracket[i];
		struct ast name = {
		        .kind = AST_NAME, .name = m->name, .name_span = m->name_span, .span = m->name_span};
		if (m->kind != AST_MOVE || moves.n == MAX_RANKS)
			return fail(env, m->span,
			            "either all in brackets is 'index := coordinate', or nothing is");
		struct move *to = &moves.move[moves.n++];
		if (!lower_index(env, &name, &to->index, 1) ||
		    !(to->to = lower_expr(&inside, m->operand[0])).id)
			return NO_EXPR;
		if (expr_at(&w->c->pool, to->to)->kind != KIND_INT)
			return fail(env, m->span, "a coordinate is a whole number, and '%s' is not",
			            ast_text(env, m->operand[0]));
		if (x.id && !(fact_of(w, x).free >> to->index & 1))
			return fail(env, m->span, "'%s' does not carry index '%s'", a->name,
			            w->c->index.v[to->index].name);
	}
	if (!x.id)
		return NO_EXPR;
	struct expr e = checked(env, a->span, expr_rewrite(&w->c->pool, x, visit_move, &moves)), *node;
	uint32_t n = e.id ? expr_nodes(&w->c->pool, e, &node) : 0;
	/* What a coordinate written out may not be, it may not become. */
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node read = *expr_at(&w->c->pool, node[i]);
		for (int k = 0; read.op == OP_READ && k < read.count; k++)
			if (!check_coordinate(env, a, read.symbol, k, expr_operand(&w->c->pool, node[i], k)))
				return NO_EXPR;
	}
	return e;
}

static struct expr lower_read(const struct env *env, struct ast *a)
{
	struct lower *w = env->w;
	struct expr at[MAX_RANKS];
	struct env inside = *env;
	uint32_t t;
	inside.coordinate = true;
	inside.mended = false;
	if (a->nbracket && a->bracket[0]->kind == AST_MOVE)
		return lower_moved(env, a);
	if (binding_find(env, a->name)) {
		fail(env, a->span, "'%s' is a value here, not a tensor", a->name);
		diag_help(w->diags, "a value at another place is written %s[i := …]", a->name);
		return NO_EXPR;
	}
	size_t length = strlen(a->name);
	enum selection select = selection_find(a->name, length);
	if (!name_find(w, a->name) && (reduction_find(a->name, length) || select) && !name_lost(w, a->name)) {
		fail(env, a->span, "'%s' has no operand", ast_text(env, a));
		diag_help(w->diags, "a %s is written  %s(…)", select ? "selection" : "reduction",
		          ast_text(env, a));
		return NO_EXPR;
	}
	if (!find_tensor(env, a, &t))
		return NO_EXPR;
	const struct tensor *tensor = &w->c->tensor.v[t];
	if (a->nbracket != tensor->nranks)
		return fail(env, a->span, "'%s' has %d rank%s, but is read at %d coordinate%s", a->name,
		            tensor->nranks, tensor->nranks == 1 ? "" : "s", a->nbracket,
		            a->nbracket == 1 ? "" : "s");
	bool good = true;
	for (int i = 0; i < a->nbracket; i++) {
		at[i] = lower_expr(&inside, a->bracket[i]);
		good &= at[i].id && check_coordinate(env, a->bracket[i], t, i, at[i]);
	}
	if (!good)
		return NO_EXPR;
	return checked(env, a->span, expr_read(&w->c->pool, dtype_kind(tensor->dtype), t, a->nbracket, at));
}

static struct expr lower_node(const struct env *env, struct ast *a)
{
	struct expr x[2];
	switch ((enum ast_kind)a->kind) {
	case AST_NUMBER: return expr_number(&env->w->c->pool, a->number);
	case AST_NAME: return lower_name(env, a);
	case AST_READ: return lower_read(env, a);
	case AST_CALL: return lower_call(env, a);
	case AST_MOVE: return fail(env, a->span, "'%s :=' stands alone in the brackets of a value", a->name);
	case AST_OP:
	case AST_ELSE: break;
	}
	struct env mended = *env;
	mended.mended = true;
	/* Both, so that both are told of. */
	for (int i = 0; i < a->noperand; i++)
		x[i] = lower_expr(i == 0 && a->kind == AST_ELSE ? &mended : env, a->operand[i]);
	for (int i = 0; i < a->noperand; i++)
		if (!x[i].id)
			return NO_EXPR;
	return lower_operation(env, a->span, a->op, a->noperand, x);
}

struct expr lower_expr(const struct env *env, struct ast *a)
{
	if (env->w->full)
		return NO_EXPR;
	struct expr e = lower_node(env, a);
	if (!env->inside)
		a->lowered = e;
	return e;
}
