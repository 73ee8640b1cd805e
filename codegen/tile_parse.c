/* tile_parse.c: the text of tile_print back to a program. The text must be well formed, names and all; that
 * it makes sense is tile_check's affair. */
#include <math.h>
#include <string.h>

#include "codegen/tile.h"
#include "dsl/dtype.h"
#include "dsl/lex.h"
#include "dsl/parse.h"

struct reader {
	struct lexer lexer;
	struct tile_program *p;
	struct expr_scope scope;
	const char *end; /* of the source */
	int depth;
};

static uint32_t find_index(const struct tile_program *p, const char *name)
{
	for (uint32_t i = 0; i < p->index.n; i++)
		if (!strcmp(p->index.v[i].name, name))
			return i;
	return UINT32_MAX;
}

static uint32_t find_value(const struct tile_program *p, const char *name)
{
	for (uint32_t i = 0; i < p->value.n; i++)
		if (!strcmp(p->value.v[i].name, name))
			return i;
	return UINT32_MAX;
}

static uint32_t find_tensor(const struct tile_program *p, const char *name)
{
	for (uint32_t i = 0; i < p->tensor.n; i++)
		if (!strcmp(p->tensor.v[i].name, name))
			return i;
	return UINT32_MAX;
}

static struct span here(struct reader *r)
{
	return lexer_peek(&r->lexer)->span;
}

static struct expr resolve_read(void *owner, const char *name, int n, const struct expr *index, struct span span)
{
	struct reader *r = owner;
	uint32_t t = find_tensor(r->p, name);
	if (t == UINT32_MAX) {
		diag_error(r->scope.diags, span, "there is no tensor '%s'", name);
		return NO_EXPR;
	}
	if (r->p->tensor.v[t].nranks != n) {
		diag_error(r->scope.diags, span, "'%s' has %d ranks, not %d", name, r->p->tensor.v[t].nranks, n);
		return NO_EXPR;
	}
	return expr_read(r->p->pool, dtype_kind(r->p->tensor.v[t].dtype), t, n, index);
}

static struct expr resolve_name(void *owner, const char *name, struct span span)
{
	struct reader *r = owner;
	uint32_t i = find_index(r->p, name), v = find_value(r->p, name);
	if (i != UINT32_MAX)
		return expr_leaf(r->p->pool, OP_INDEX, KIND_INT, i);
	if (v != UINT32_MAX)
		return expr_leaf(r->p->pool, OP_VALUE, dtype_kind(r->p->value.v[v].dtype), v);
	if (find_tensor(r->p, name) != UINT32_MAX)
		return resolve_read(owner, name, 0, NULL, span);
	diag_error(r->scope.diags, span, "there is no index or value '%s'", name);
	return NO_EXPR;
}

static bool expression(struct reader *r, struct expr *e)
{
	*e = expr_parse(&r->lexer, &r->scope);
	return e->id != 0;
}

static bool whole(struct reader *r, int64_t least, int64_t most, int64_t *out)
{
	struct span at = here(r);
	double x;
	if (!lexer_expect_number(&r->lexer, &x))
		return false;
	if (x != floor(x) || x < (double)least || x > (double)most)
		return diag_error(r->scope.diags, at, "expected a whole number from %lld to %lld", (long long)least,
		                  (long long)most);
	*out = (int64_t)x;
	return true;
}

static bool index_variable(struct reader *r, uint32_t *out)
{
	struct span at = here(r);
	const char *name = lexer_expect_name(&r->lexer, "an index");
	if (!name)
		return false;
	*out = find_index(r->p, name);
	return *out != UINT32_MAX || diag_error(r->scope.diags, at, "there is no index '%s'", name);
}

static bool type_after_colon(struct reader *r, enum dtype *out)
{
	if (!lexer_expect_symbol(&r->lexer, ':'))
		return false;
	struct span at = here(r);
	const char *name = lexer_expect_name(&r->lexer, "a type");
	if (!name)
		return false;
	*out = dtype_find(name, strlen(name));
	return *out != DTYPES || diag_error(r->scope.diags, at, "there is no type '%s'", name);
}

/* A name that nothing has yet. */
static const char *new_name(struct reader *r, const char *what)
{
	struct span at = here(r);
	const char *name = lexer_expect_name(&r->lexer, what);
	if (name && (find_index(r->p, name) != UINT32_MAX || find_value(r->p, name) != UINT32_MAX ||
	             find_tensor(r->p, name) != UINT32_MAX)) {
		diag_error(r->scope.diags, at, "'%s' is declared twice", name);
		return NULL;
	}
	return name;
}

static bool read_index(struct reader *r)
{
	struct tile_index x = {0};
	if (!(x.name = new_name(r, "the name of an index")) || !lexer_expect_symbol(&r->lexer, ':') ||
	    !whole(r, 0, EXTENT_LIMIT - 1, &x.extent))
		return false;
	vec_push(r->p->arena, &r->p->index, x);
	return true;
}

/* '[' … ']' with at most MAX_RANKS entries, each read by `one`. */
static bool ranks(struct reader *r, uint8_t *n, bool (*one)(struct reader *, void *, int), void *into)
{
	if (!lexer_expect_symbol(&r->lexer, '['))
		return false;
	for (*n = 0; !lexer_at_symbol(&r->lexer, ']'); ++*n) {
		if (*n && !lexer_expect_symbol(&r->lexer, ','))
			return false;
		if (*n == MAX_RANKS)
			return diag_error(r->scope.diags, here(r), "more than %d ranks", MAX_RANKS);
		if (!one(r, into, *n))
			return false;
	}
	return lexer_expect_symbol(&r->lexer, ']');
}

static bool tensor_rank(struct reader *r, void *into, int k)
{
	struct tile_tensor *x = into;
	return whole(r, 0, EXTENT_LIMIT - 1, &x->extent[k]);
}

static bool read_tensor(struct reader *r, enum tile_place place, enum role role)
{
	struct tile_tensor x = {.place = place, .role = role};
	int64_t lanes = 0, group = 0;
	if (!(x.name = new_name(r, "the name of a tensor")) || !ranks(r, &x.nranks, tensor_rank, &x) ||
	    !type_after_colon(r, &x.dtype))
		return false;
	if (lexer_take_word(&r->lexer, "panel") &&
	    (!whole(r, 1, EXTENT_LIMIT - 1, &x.panel) || !lexer_expect_word(&r->lexer, "of") ||
	     !whole(r, 0, MAX_RANKS - 1, &lanes) ||
	     (lexer_take_word(&r->lexer, "by") && !whole(r, 2, 4, &group))))
		return false;
	x.lanes = (uint8_t)lanes;
	x.group = (uint8_t)group;
	vec_push(r->p->arena, &r->p->tensor, x);
	return true;
}

static bool value_rank(struct reader *r, void *into, int k)
{
	struct tile_value *x = into;
	return index_variable(r, &x->index[k]) && lexer_expect_symbol(&r->lexer, ':') &&
	       whole(r, 0, EXTENT_LIMIT - 1, &x->capacity[k]);
}

static bool read_value(struct reader *r)
{
	struct tile_value x = {0};
	if (!(x.name = new_name(r, "the name of a value")) || !ranks(r, &x.nranks, value_rank, &x) ||
	    !type_after_colon(r, &x.dtype))
		return false;
	vec_push(r->p->arena, &r->p->value, x);
	return true;
}

static bool read_range(struct reader *r, struct tile_statement *s)
{
	return index_variable(r, &s->index) && lexer_expect_word(&r->lexer, "by") &&
	       whole(r, 1, EXTENT_LIMIT - 1, &s->step) && lexer_expect_word(&r->lexer, "from") &&
	       expression(r, &s->low) && lexer_expect_word(&r->lexer, "to") && expression(r, &s->high);
}

static bool read_for(struct reader *r, struct tile_statement *s)
{
	int64_t stages = 0;
	if (!read_range(r, s))
		return false;
	s->down = lexer_take_word(&r->lexer, "down");
	if (lexer_take_word(&r->lexer, "stages") && !whole(r, 0, MAX_STAGES, &stages))
		return false;
	s->stages = (uint8_t)stages;
	return true;
}

static bool register_block(struct reader *r, uint32_t *index, uint8_t *count)
{
	int64_t n = 0;
	if (!index_variable(r, index) || !lexer_expect_symbol(&r->lexer, ':') || !whole(r, 1, UINT8_MAX, &n))
		return false;
	*count = (uint8_t)n;
	return true;
}

static bool operand_type(struct reader *r, enum operand_type *out)
{
	struct span at = here(r);
	const char *name = lexer_expect_name(&r->lexer, "what the operands are multiplied as");
	if (!name)
		return false;
	for (int i = 0; i < OPERANDS; i++)
		if (!strcmp(name, operand_type_name[i])) {
			*out = (enum operand_type)i;
			return true;
		}
	return diag_error(r->scope.diags, at, "operands are multiplied as compute, bf16, f16, tf32 or i8, not as '%s'",
	                  name);
}

static bool read_contract(struct reader *r, struct tile_statement *s)
{
	struct lexer *l = &r->lexer;
	s->kind = TILE_CONTRACT;
	s->rows = UINT32_MAX;
	s->block_rows = 1;
	if (!expression(r, &s->a) || !lexer_expect_symbol(l, ',') || !expression(r, &s->b) ||
	    !lexer_expect_word(l, "over") || !index_variable(r, &s->index))
		return false;
	if (lexer_take_word(l, "as") && !operand_type(r, &s->operand))
		return false;
	if (lexer_take_word(l, "rows") && !register_block(r, &s->rows, &s->block_rows))
		return false;
	if (!lexer_expect_word(l, "lanes") || !register_block(r, &s->lanes, &s->block_lanes))
		return false;
	s->twine = lexer_take_word(l, "twine");
	s->accumulate = lexer_take_word(l, "accumulate");
	return !s->accumulate || !lexer_take_word(l, "scale") || expression(r, &s->scale);
}

static bool read_reduce(struct reader *r, struct tile_statement *s)
{
	struct span at = here(r);
	s->kind = TILE_REDUCE;
	const char *name = lexer_expect_name(&r->lexer, "a reduction");
	if (!name)
		return false;
	s->numbers = !strcmp(name, "maxnum") || !strcmp(name, "minnum");
	s->reduce = reduction_find(name, s->numbers ? 3 : strlen(name));
	if (!s->reduce)
		return diag_error(r->scope.diags, at, "there is no reduction '%s'", name);
	return lexer_expect_word(&r->lexer, "over") && index_variable(r, &s->index) &&
	       lexer_expect_word(&r->lexer, "of") && expression(r, &s->expression);
}

static bool read_assignment(struct reader *r, struct tile_statement *s)
{
	struct lexer *l = &r->lexer;
	struct span at = here(r);
	const char *name = lexer_expect_name(l, "a statement");
	if (!name || !lexer_expect_symbol(l, '='))
		return false;
	s->value = find_value(r->p, name);
	if (s->value == UINT32_MAX)
		return diag_error(r->scope.diags, at, "there is no value '%s'", name);
	if (lexer_take_word(l, "contract"))
		return read_contract(r, s);
	if (lexer_take_word(l, "reduce"))
		return read_reduce(r, s);
	if (lexer_take_word(l, "load"))
		s->kind = TILE_LOAD;
	else if (lexer_take_word(l, "map"))
		s->kind = TILE_MAP;
	else
		return lexer_expected(l, "'load', 'map', 'reduce' or 'contract'");
	return expression(r, &s->expression);
}

static bool read_select(struct reader *r, struct tile_statement *s)
{
	struct lexer *l = &r->lexer;
	struct span at = here(r);
	s->kind = TILE_SELECT;
	const char *name = lexer_expect_name(l, "a selection");
	if (!name)
		return false;
	s->select = selection_find(name, strlen(name));
	if (!s->select)
		return diag_error(r->scope.diags, at, "there is no selection '%s'", name);
	if (selection_info[s->select].argument && !lexer_expect_number(l, &s->argument))
		return false;
	if (!lexer_expect_word(l, "over") || !index_variable(r, &s->index))
		return false;
	if (s->select == SELECT_MEMBERS && (!lexer_expect_word(l, "slots") || !index_variable(r, &s->slot)))
		return false;
	return lexer_expect_word(l, "of") && expression(r, &s->expression) &&
	       (!lexer_take_word(l, "where") || expression(r, &s->present));
}

static bool read_store(struct reader *r, struct tile_statement *s)
{
	struct span at = here(r);
	s->kind = TILE_STORE;
	if (!expression(r, &s->target))
		return false;
	if (expr_at(r->p->pool, s->target)->op != OP_READ)
		return diag_error(r->scope.diags, at, "expected a tensor and its coordinates");
	if (!lexer_expect_symbol(&r->lexer, '='))
		return false;
	/* What is told apart from a choice by its parenthesis. */
	if (lexer_peek2(&r->lexer)->kind == TOKEN_NAME && lexer_take_word(&r->lexer, "select"))
		return read_select(r, s);
	return expression(r, &s->expression);
}

/* A statement's own line, its end included. */
static bool read_line(struct reader *r, struct tile_statement *s)
{
	struct lexer *l = &r->lexer;
	const struct token *second = lexer_peek2(l);
	bool assigns = second->kind == TOKEN_SYMBOL && second->symbol == '=';
	bool good;
	if (!assigns && lexer_take_word(l, "for")) {
		s->kind = TILE_FOR;
		good = read_for(r, s);
	} else if (!assigns && lexer_take_word(l, "narrow")) {
		s->kind = TILE_NARROW;
		good = read_range(r, s);
	} else if (!assigns && lexer_take_word(l, "if")) {
		s->kind = TILE_IF;
		good = expression(r, &s->expression);
	} else if (!assigns && lexer_take_word(l, "store")) {
		good = read_store(r, s);
	} else {
		good = read_assignment(r, s);
	}
	return good && lexer_expect_line_end(l);
}

/* The lines indented deeper than `outer`; a bad one is skipped, so that all errors show in one run. */
static void read_block(struct reader *r, uint32_t outer, struct tile_block *b)
{
	struct lexer *l = &r->lexer;
	uint32_t indent = lexer_peek(l)->indent;
	if (++r->depth > NESTING_LIMIT) {
		diag_error(r->scope.diags, here(r), "blocks nest deeper than the limit of %d", NESTING_LIMIT);
		while (lexer_peek(l)->kind != TOKEN_END)
			lexer_next(l);
	}
	while (lexer_peek(l)->kind != TOKEN_END && lexer_peek(l)->indent > outer) {
		struct tile_statement s = {0};
		if (lexer_peek(l)->indent != indent)
			diag_error(r->scope.diags, here(r), "this line is indented unlike the block it is in");
		if (!read_line(r, &s)) {
			lexer_skip_line(l);
			continue;
		}
		if (s.kind == TILE_FOR || s.kind == TILE_IF)
			read_block(r, indent, &s.body);
		if (s.kind == TILE_IF && lexer_peek(l)->indent == indent && lexer_take_word(l, "else")) {
			if (lexer_expect_line_end(l))
				read_block(r, indent, &s.other);
			else
				lexer_skip_line(l);
		}
		vec_push(r->p->arena, &b->statement, s);
	}
	r->depth--;
}

static bool read_task(struct reader *r, struct tile_phase *f)
{
	struct tile_task task = {0};
	if (!index_variable(r, &task.index) || !lexer_expect_word(&r->lexer, "by") ||
	    !whole(r, 1, EXTENT_LIMIT - 1, &task.step))
		return false;
	task.down = lexer_take_word(&r->lexer, "down");
	if (lexer_take_word(&r->lexer, "order") && !expression(r, &task.order))
		return false;
	vec_push(r->p->arena, &f->task, task);
	return lexer_expect_line_end(&r->lexer);
}

static void read_phase(struct reader *r, uint32_t indent)
{
	struct lexer *l = &r->lexer;
	struct tile_phase f = {0};
	if (!(f.name = lexer_expect_name(l, "the name of a phase")) || !lexer_expect_line_end(l)) {
		lexer_skip_line(l);
		return;
	}
	while (lexer_peek(l)->kind != TOKEN_END && lexer_peek(l)->indent > indent &&
	       lexer_peek2(l)->kind == TOKEN_NAME && lexer_take_word(l, "task"))
		if (!read_task(r, &f))
			lexer_skip_line(l);
	if (lexer_peek(l)->indent > indent)
		read_block(r, indent, &f.body);
	vec_push(r->p->arena, &r->p->phase, f);
}

static bool read_header(struct reader *r)
{
	struct lexer *l = &r->lexer;
	return lexer_expect_word(l, "program") && (r->p->name = lexer_expect_name(l, "a name")) != NULL &&
	       type_after_colon(r, &r->p->compute) && lexer_expect_line_end(l);
}

/* Lines of the schedule, as they stand after "| ". */
static void read_schedule(struct reader *r)
{
	struct lexer *l = &r->lexer;
	struct text t;
	text_init(&t, r->p->arena);
	while (lexer_at_symbol(l, '|')) {
		const char *s = l->source + here(r).begin + 1;
		const char *stop = memchr(s, '\n', (size_t)(r->end - s));
		s += s < r->end && *s == ' ';
		text_bytes(&t, s, (size_t)((stop ? stop : r->end) - s));
		text_char(&t, '\n');
		lexer_skip_line(l);
	}
	r->p->schedule = t.len ? t.s : NULL;
}

static bool read_declaration(struct reader *r)
{
	struct lexer *l = &r->lexer;
	bool good;
	if (lexer_take_word(l, "index"))
		good = read_index(r);
	else if (lexer_take_word(l, "in"))
		good = read_tensor(r, PLACE_ARGUMENT, ROLE_IN);
	else if (lexer_take_word(l, "out"))
		good = read_tensor(r, PLACE_ARGUMENT, ROLE_OUT);
	else if (lexer_take_word(l, "work"))
		good = read_tensor(r, PLACE_WORK, ROLE_LOCAL);
	else if (lexer_take_word(l, "value"))
		good = read_value(r);
	else
		return lexer_expected(l, "'index', 'in', 'out', 'work', 'value' or 'phase'");
	return good && lexer_expect_line_end(l);
}

struct tile_program *tile_parse(struct arena *arena, const char *source, size_t size, struct diags *diags)
{
	struct reader r = {.p = arena_new(arena, struct tile_program), .end = source + size};
	uint32_t errors = diags->errors;
	r.p->arena = arena;
	r.p->pool = arena_new(arena, struct expr_pool);
	expr_pool_init(r.p->pool, arena);
	r.scope = (struct expr_scope){r.p->pool, diags, resolve_name, resolve_read, &r};
	lexer_init(&r.lexer, arena, source, size, LEX_LINES, diags);
	if (diags->errors != errors)
		return NULL;
	if (!read_header(&r))
		return NULL;
	read_schedule(&r);
	while (lexer_peek(&r.lexer)->kind != TOKEN_END) {
		uint32_t indent = lexer_peek(&r.lexer)->indent;
		if (lexer_take_word(&r.lexer, "phase"))
			read_phase(&r, indent);
		else if (!read_declaration(&r))
			lexer_skip_line(&r.lexer);
	}
	return diags->errors == errors ? r.p : NULL;
}
