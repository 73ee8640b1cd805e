/* The text of streams_print back to streams.
 *
 * Equations read tensors that later lines define (a local reads the running value of a carry), so a first
 * walk notes where each definition stands, and a definition is read when it is first needed. What the text
 * says is taken as it is: that the streams mean something is for their users to check.
 */
#include <string.h>

#include "codegen/stream.h"
#include "dsl/dtype.h"
#include "dsl/lex.h"
#include "dsl/parse.h"

enum { DEFINITION_DEPTH = 500 };

enum progress { NOT_READ, BEING_READ, WAS_READ };

struct definition {
	uint32_t at; /* token after the '=' */
	enum progress progress;
	bool emitted;
	struct equation q;
};

struct reader {
	struct lexer lexer;
	struct streams *s;
	struct cascade *c;
	struct expr_scope scope;
	VEC(struct definition) definition;
	uint32_t *of; /* definition of each tensor, NO_EQUATION for none */
	uint32_t tensors;
	int depth;
};

static bool read_definition(struct reader *, uint32_t d);

static struct span here(const struct reader *r)
{
	return lexer_peek(&r->lexer)->span;
}

static uint32_t find_index(const struct cascade *c, const char *name)
{
	for (uint32_t i = 0; i < c->index.n; i++)
		if (!strcmp(c->index.v[i].name, name))
			return i;
	return UINT32_MAX;
}

static struct expr resolve_read(void *owner, const char *name, int n, const struct expr *index,
                                struct span span)
{
	struct reader *r = owner;
	uint32_t t = cascade_find_tensor(r->c, name);
	if (t == UINT32_MAX) {
		diag_error(r->scope.diags, span, "there is no tensor '%s'", name);
		return NO_EXPR;
	}
	if (r->c->tensor.v[t].nranks != n) {
		diag_error(r->scope.diags, span, "'%s' has %d ranks, not %d", name, r->c->tensor.v[t].nranks,
		           n);
		return NO_EXPR;
	}
	/* Its kind is known when its definition is. */
	struct expr at[MAX_RANKS];
	if (n)
		memcpy(at, index, (size_t)n * sizeof *at);
	if (t < r->tensors && r->of[t] != NO_EQUATION && r->c->tensor.v[t].role == ROLE_LOCAL &&
	    !read_definition(r, r->of[t]))
		return NO_EXPR;
	return expr_read(&r->c->pool, dtype_kind(r->c->tensor.v[t].dtype), t, n, at);
}

static struct expr resolve_name(void *owner, const char *name, struct span span)
{
	struct reader *r = owner;
	uint32_t i = find_index(r->c, name), k = cascade_find_rank(r->c, name);
	if (i != UINT32_MAX)
		return expr_leaf(&r->c->pool, OP_INDEX, KIND_INT, i);
	if (k != UINT32_MAX)
		return expr_leaf(&r->c->pool, OP_EXTENT, KIND_INT, k);
	if (cascade_find_tensor(r->c, name) != UINT32_MAX)
		return resolve_read(owner, name, 0, NULL, span);
	diag_error(r->scope.diags, span, "there is no index, rank or tensor '%s'", name);
	return NO_EXPR;
}

static bool index_variable(struct reader *r, uint32_t *out)
{
	struct span at = here(r);
	const char *name = lexer_expect_name(&r->lexer, "an index");
	if (!name)
		return false;
	*out = find_index(r->c, name);
	return *out != UINT32_MAX || diag_error(r->scope.diags, at, "there is no index '%s'", name);
}

/* '[' i, j, … ']' */
static bool index_list(struct reader *r, uint32_t *index, uint8_t *n, int limit)
{
	*n = 0;
	if (!lexer_expect_symbol(&r->lexer, '['))
		return false;
	do {
		if (*n == limit)
			return diag_error(r->scope.diags, here(r), "more than %d indices", limit);
		if (!index_variable(r, &index[*n]))
			return false;
		++*n;
	} while (lexer_take_symbol(&r->lexer, ','));
	return lexer_expect_symbol(&r->lexer, ']');
}

static enum dtype dtype_of_body(const struct reader *r, const struct equation *q)
{
	const struct expr_node *n = expr_at(&r->c->pool, q->body);
	if (q->select)
		return selection_info[q->select].dtype;
	if (n->op == OP_CAST && (!q->reduce || q->reduce == REDUCE_MAX || q->reduce == REDUCE_MIN))
		return (enum dtype)n->symbol;
	if (q->reduce == REDUCE_MEAN || n->kind == KIND_REAL)
		return DTYPE_F32;
	return n->kind == KIND_BOOL && q->reduce != REDUCE_ARGMAX ? DTYPE_BOOL : DTYPE_I32;
}

/* '[' c, k ']' '(' operand ')' */
static bool read_selection(struct reader *r, struct equation *q)
{
	struct lexer *l = &r->lexer;
	bool counts = q->select == SELECT_TOPK;
	lexer_next(l);
	if (!lexer_expect_symbol(l, '[') || !index_variable(r, &q->along))
		return false;
	if (selection_info[q->select].argument &&
	    (!lexer_expect_symbol(l, ',') ||
	     !(q->argument = counts ? expr_parse_coordinate(l, &r->scope) : expr_parse(l, &r->scope)).id))
		return false;
	return lexer_expect_symbol(l, ']') && lexer_expect_symbol(l, '(') &&
	       (q->body = expr_parse(l, &r->scope)).id && lexer_expect_symbol(l, ')');
}

/* The slot of members is the index of the left that the operand lacks. */
static bool find_slot(struct reader *r, struct equation *q)
{
	int found = 0;
	for (int i = 0; i < q->nindex; i++) {
		if (expr_mentions(&r->c->pool, q->body, OP_INDEX, q->index[i]) ||
		    expr_mentions(&r->c->pool, q->where, OP_INDEX, q->index[i]))
			continue;
		q->slot = q->index[i];
		found++;
	}
	return found == 1 || diag_error(r->scope.diags, q->span, "'%s' has no slot, or several",
	                                r->c->tensor.v[q->tensor].name);
}

/* What stands after the '=' of an equation. */
static bool read_right(struct reader *r, struct equation *q)
{
	struct lexer *l = &r->lexer;
	const struct token *t = lexer_peek(l), *u = lexer_peek2(l);
	bool bracketed = t->kind == TOKEN_NAME && u->kind == TOKEN_SYMBOL && u->symbol == '[';
	q->reduce = bracketed ? reduction_find(t->name, strlen(t->name)) : REDUCE_NONE;
	q->select = bracketed ? selection_find(t->name, strlen(t->name)) : SELECT_NONE;
	if (q->select) {
		if (!read_selection(r, q))
			return false;
	} else if (q->reduce) {
		lexer_next(l);
		if (!index_list(r, q->reduced, &q->nreduced, MAX_REDUCED) || !lexer_expect_symbol(l, '(') ||
		    !(q->body = expr_parse(l, &r->scope)).id || !lexer_expect_symbol(l, ')'))
			return false;
	} else if (!(q->body = expr_parse_without_else(l, &r->scope)).id) {
		return false;
	}
	if (lexer_take_word(l, "where") && !(q->where = expr_parse_without_else(l, &r->scope)).id)
		return false;
	if (lexer_take_word(l, "else") && !(q->otherwise = expr_parse(l, &r->scope)).id)
		return false;
	if (q->select == SELECT_MEMBERS && !find_slot(r, q))
		return false;
	return lexer_expect_line_end(l);
}

/* Reads definition d wherever the reader is; returns there. */
static bool read_definition(struct reader *r, uint32_t d)
{
	struct definition *e = &r->definition.v[d];
	if (e->progress == WAS_READ)
		return true;
	if (e->progress == BEING_READ || r->depth == DEFINITION_DEPTH)
		return diag_error(r->scope.diags, here(r), "'%s' depends on itself, or on too long a chain",
		                  r->c->tensor.v[e->q.tensor].name);
	uint32_t at = r->lexer.at, depth = r->lexer.depth;
	e->progress = BEING_READ;
	r->lexer.at = e->at;
	r->lexer.depth = 0;
	r->depth++;
	struct equation q = e->q;
	bool good = read_right(r, &q);
	r->depth--;
	r->lexer.at = at;
	r->lexer.depth = depth;
	if (!good)
		return false;
	e->q = q;
	e->progress = WAS_READ;
	if (r->c->tensor.v[q.tensor].role == ROLE_LOCAL)
		r->c->tensor.v[q.tensor].dtype = dtype_of_body(r, &q);
	return true;
}

/* Declarations. */

static const char *new_name(struct reader *r, const char *what)
{
	struct span at = here(r);
	const char *name = lexer_expect_name(&r->lexer, what);
	if (name && (cascade_find_rank(r->c, name) != UINT32_MAX || find_index(r->c, name) != UINT32_MAX ||
	             cascade_find_tensor(r->c, name) != UINT32_MAX)) {
		diag_error(r->scope.diags, at, "'%s' is declared twice", name);
		return NULL;
	}
	return name;
}

static bool read_ranks(struct reader *r)
{
	do {
		const char *name = new_name(r, "the name of a rank");
		double extent = NOT_BOUND;
		if (!name)
			return false;
		struct span at = here(r);
		if (lexer_take_symbol(&r->lexer, '=') && !lexer_expect_number(&r->lexer, &extent))
			return false;
		if (extent != (double)(int64_t)extent || extent >= (double)EXTENT_LIMIT)
			return diag_error(r->scope.diags, at, "an extent is a whole number below %lld",
			                  (long long)EXTENT_LIMIT);
		uint32_t rank = cascade_add_rank(r->c, name, (int64_t)extent);
		char *index = arena_strdup(r->c->arena, name);
		for (char *p = index; *p; p++)
			*p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
		if (find_index(r->c, index) == UINT32_MAX)
			cascade_add_index(r->c, index, rank);
	} while (lexer_take_symbol(&r->lexer, ','));
	return lexer_expect_line_end(&r->lexer);
}

/* The first rank an extent mentions. */
static uint32_t rank_of(const struct cascade *c, struct expr e)
{
	for (uint32_t k = 0; k < c->rank.n; k++)
		if (expr_mentions(&c->pool, e, OP_EXTENT, k))
			return k;
	return UINT32_MAX;
}

static bool read_index(struct reader *r)
{
	const char *name = new_name(r, "the name of an index");
	if (!name || !lexer_expect_symbol(&r->lexer, ':'))
		return false;
	struct span at = here(r);
	struct expr extent = expr_parse_coordinate(&r->lexer, &r->scope);
	if (!extent.id)
		return false;
	uint32_t rank = rank_of(r->c, extent);
	if (rank == UINT32_MAX)
		return diag_error(r->scope.diags, at, "an index walks a rank");
	r->c->index.v[cascade_add_index(r->c, name, rank)].extent = extent;
	return lexer_expect_line_end(&r->lexer);
}

static bool read_tensor(struct reader *r, enum role role)
{
	struct lexer *l = &r->lexer;
	struct tensor t = {.role = role, .span = here(r)};
	if (!(t.name = new_name(r, "the name of a tensor")))
		return false;
	if (lexer_take_symbol(l, '[')) {
		do {
			if (t.nranks == MAX_RANKS)
				return diag_error(r->scope.diags, here(r), "more than %d ranks", MAX_RANKS);
			if (!(t.extent[t.nranks++] = expr_parse_coordinate(l, &r->scope)).id)
				return false;
		} while (lexer_take_symbol(l, ','));
		if (!lexer_expect_symbol(l, ']'))
			return false;
	}
	if (!lexer_expect_symbol(l, ':'))
		return false;
	struct span at = here(r);
	const char *type = lexer_expect_name(l, "a type");
	if (!type)
		return false;
	t.dtype = dtype_find(type, strlen(type));
	if (t.dtype == DTYPES)
		return diag_error(r->scope.diags, at, "there is no type '%s'", type);
	cascade_add_tensor(r->c, t);
	return lexer_expect_line_end(l);
}

static bool read_declaration(struct reader *r)
{
	struct lexer *l = &r->lexer;
	if (lexer_take_word(l, "rank"))
		return read_ranks(r);
	if (lexer_take_word(l, "index"))
		return read_index(r);
	if (lexer_take_word(l, "in"))
		return read_tensor(r, ROLE_IN);
	if (lexer_take_word(l, "out"))
		return read_tensor(r, ROLE_OUT);
	return lexer_expected(l, "'rank', 'index', 'in', 'out', 'stream' or 'maps'");
}

/* Definitions. */

static bool at_definition(const struct reader *r)
{
	const struct lexer *l = &r->lexer;
	return lexer_at_word(l, "local") || lexer_at_word(l, "carry") || lexer_at_word(l, "after") ||
	       lexer_at_word(l, "select");
}

/* NAME[indices] =, with the tensor made when it is new. */
static bool read_left(struct reader *r, struct equation *q)
{
	struct span at = here(r);
	const char *name = lexer_expect_name(&r->lexer, "a tensor");
	*q = (struct equation){.span = at};
	if (!name)
		return false;
	if (lexer_at_symbol(&r->lexer, '[') && !index_list(r, q->index, &q->nindex, MAX_RANKS))
		return false;
	q->tensor = cascade_find_tensor(r->c, name);
	if (q->tensor == UINT32_MAX) {
		struct tensor t = {.name = name,
		                   .dtype = DTYPE_F32,
		                   .role = ROLE_LOCAL,
		                   .nranks = q->nindex,
		                   .span = at};
		for (int i = 0; i < q->nindex; i++)
			t.extent[i] = r->c->index.v[q->index[i]].extent;
		q->tensor = cascade_add_tensor(r->c, t);
	}
	const struct tensor *t = &r->c->tensor.v[q->tensor];
	if (t->role == ROLE_IN || t->nranks != q->nindex)
		return diag_error(r->scope.diags, at,
		                  t->role == ROLE_IN ? "'%s' is an input" : "'%s' has other ranks", name);
	return lexer_expect_symbol(&r->lexer, '=');
}

static bool note_definitions(struct reader *r)
{
	struct lexer *l = &r->lexer;
	bool good = true;
	uint32_t begin = l->at;
	VEC(uint32_t) tensor = {0};
	for (; lexer_peek(l)->kind != TOKEN_END; lexer_skip_line(l)) {
		struct definition d = {0};
		if (!at_definition(r))
			continue;
		lexer_next(l);
		if (!read_left(r, &d.q)) {
			good = false;
			continue;
		}
		d.at = l->at;
		bool again = false;
		for (uint32_t i = 0; i < tensor.n; i++)
			again |= tensor.v[i] == d.q.tensor;
		if (again)
			continue;
		vec_push(l->arena, &tensor, d.q.tensor);
		vec_push(l->arena, &r->definition, d);
	}
	l->at = begin;
	r->tensors = r->c->tensor.n;
	r->of = arena_new_array(l->arena, r->tensors, uint32_t);
	for (uint32_t i = 0; i < r->tensors; i++)
		r->of[i] = NO_EQUATION;
	for (uint32_t i = 0; i < tensor.n; i++)
		r->of[tensor.v[i]] = i;
	return good;
}

static bool same_equation(const struct equation *a, const struct equation *b)
{
	return a->nindex == b->nindex && !memcmp(a->index, b->index, a->nindex * sizeof *a->index) &&
	       a->select == b->select && a->along == b->along && a->slot == b->slot &&
	       expr_same(a->argument, b->argument) && a->reduce == b->reduce && a->nreduced == b->nreduced &&
	       !memcmp(a->reduced, b->reduced, a->nreduced * sizeof *a->reduced) &&
	       expr_same(a->body, b->body) && expr_same(a->where, b->where) &&
	       expr_same(a->otherwise, b->otherwise);
}

/* One of a stream's equations; the list gets the number of its definition. */
static bool read_equation(struct reader *r, uint32_t *number)
{
	struct equation q;
	struct span at = here(r);
	if (!read_left(r, &q))
		return false;
	*number = r->of[q.tensor];
	if (!read_definition(r, *number) || !read_right(r, &q))
		return false;
	return same_equation(&q, &r->definition.v[*number].q) ||
	       diag_error(r->scope.diags, at, "'%s' is defined in two ways", r->c->tensor.v[q.tensor].name);
}

static bool read_correction(struct reader *r, struct stream *s)
{
	struct span at = here(r);
	const char *name = lexer_expect_name(&r->lexer, "a carry");
	if (!name || !lexer_expect_word(&r->lexer, "by"))
		return false;
	struct carry *c = s->carry.n ? &s->carry.v[s->carry.n - 1] : NULL;
	if (!c || c->terms == MAX_TERMS)
		return diag_error(r->scope.diags, at,
		                  "a carry has at most %d corrections, which stand below it", MAX_TERMS);
	struct correction_term *t = &c->term[c->terms];
	for (t->carry = 0; t->carry < s->carry.n; t->carry++) {
		uint32_t tensor = r->definition.v[s->carry.v[t->carry].equation].q.tensor;
		if (!strcmp(r->c->tensor.v[tensor].name, name))
			break;
	}
	if (t->carry == s->carry.n)
		return diag_error(r->scope.diags, at, "'%s' is no carry of this stream above this line",
		                  name);
	c->terms++;
	return (t->factor = expr_parse(&r->lexer, &r->scope)).id && lexer_expect_line_end(&r->lexer);
}

static bool read_stream(struct reader *r)
{
	struct lexer *l = &r->lexer;
	struct stream s = {.index = NO_INDEX};
	uint32_t row;
	if (lexer_take_word(l, "stream")) {
		if (!index_variable(r, &s.index))
			return false;
	} else if (!lexer_expect_word(l, "maps")) {
		return false;
	}
	if (lexer_take_word(l, "for"))
		do {
			if (!index_variable(r, &row))
				return false;
			vec_push(l->arena, &s.row, row);
		} while (lexer_take_symbol(l, ','));
	if (lexer_take_word(l, "where") && !(s.present = expr_parse(l, &r->scope)).id)
		return false;
	if (!lexer_expect_line_end(l))
		return false;
	for (;;) {
		uint32_t n;
		if (lexer_take_word(l, "correct")) {
			if (!read_correction(r, &s))
				return false;
		} else if (at_definition(r)) {
			const char *word = lexer_next(l)->name;
			if (!read_equation(r, &n))
				return false;
			s.selects |= *word == 's';
			if (*word == 'l' || *word == 's')
				vec_push(l->arena, &s.local, n);
			else if (*word == 'c')
				vec_push(l->arena, &s.carry, (struct carry){.equation = n});
			else
				vec_push(l->arena, &s.after, n);
		} else {
			break;
		}
	}
	vec_push(l->arena, &r->s->stream, s);
	return true;
}

/* Into the cascade, what it reads first. */
static void emit(struct reader *r, uint32_t d)
{
	struct definition *e = &r->definition.v[d];
	struct expr *node;
	if (e->emitted)
		return;
	e->emitted = true;
	for (int side = 0; side < 2; side++) {
		struct expr x = side ? e->q.where : e->q.body;
		uint32_t n = x.id ? expr_nodes(&r->c->pool, x, &node) : 0;
		for (uint32_t i = 0; i < n; i++)
			if (expr_at(&r->c->pool, node[i])->op == OP_READ &&
			    r->of[expr_at(&r->c->pool, node[i])->symbol] != NO_EQUATION)
				emit(r, r->of[expr_at(&r->c->pool, node[i])->symbol]);
	}
	cascade_add_equation(r->c, r->definition.v[d].q);
}

static void finish(struct reader *r)
{
	for (uint32_t i = 0; i < r->definition.n; i++)
		emit(r, i);
	for (uint32_t i = 0; i < r->s->stream.n; i++) {
		struct stream *s = &r->s->stream.v[i];
		for (uint32_t k = 0; k < s->local.n; k++)
			s->local.v[k] = r->c->tensor.v[r->definition.v[s->local.v[k]].q.tensor].equation;
		for (uint32_t k = 0; k < s->carry.n; k++)
			s->carry.v[k].equation =
			        r->c->tensor.v[r->definition.v[s->carry.v[k].equation].q.tensor].equation;
		for (uint32_t k = 0; k < s->after.n; k++)
			s->after.v[k] = r->c->tensor.v[r->definition.v[s->after.v[k]].q.tensor].equation;
	}
}

struct streams *streams_parse(struct arena *arena, const char *source, size_t size, struct diags *diags)
{
	struct reader r = {.s = arena_new(arena, struct streams)};
	struct lexer *l = &r.lexer;
	uint32_t errors = diags->errors;
	lexer_init(l, arena, source, size, LEX_LINES, diags);
	if (diags->errors != errors || !lexer_expect_word(l, "kernel"))
		return NULL;
	const char *name = lexer_expect_name(l, "the kernel's name");
	if (!name || !lexer_expect_line_end(l))
		return NULL;
	r.c = r.s->cascade = cascade_new(arena, name);
	r.scope = (struct expr_scope){&r.c->pool, diags, resolve_name, resolve_read, &r};
	while (lexer_peek(l)->kind != TOKEN_END && !lexer_at_word(l, "stream") && !lexer_at_word(l, "maps"))
		if (!read_declaration(&r))
			return NULL;
	if (!note_definitions(&r))
		return NULL;
	while (lexer_peek(l)->kind != TOKEN_END)
		if (!read_stream(&r))
			return NULL;
	if (diags->errors != errors)
		return NULL;
	finish(&r);
	return r.s;
}
