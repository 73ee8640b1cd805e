/* A cascade as text: the .att program it is, and the name-free text its digest is made of. */
#include <ctype.h>
#include <string.h>

#include "base/hash.h"
#include "dsl/cascade.h"

struct printer {
	const struct cascade *cascade;
	struct expr_names names;
	struct text *out;
};

static const char *rank_name(const struct printer *p, uint32_t r)
{
	return p->names.name(p->names.owner, OP_EXTENT, r);
}

static const char *index_name(const struct printer *p, uint32_t i)
{
	return p->names.name(p->names.owner, OP_INDEX, i);
}

static void print_expr(const struct printer *p, struct expr e)
{
	expr_print(&p->cascade->pool, e, &p->names, p->out);
}

static void print_indices(const struct printer *p, const uint32_t *index, int n, bool scalar_too)
{
	if (!n && !scalar_too)
		return;
	for (int i = 0; i < n; i++)
		text_printf(p->out, "%s%s", i ? "," : "[", index_name(p, index[i]));
	text_char(p->out, ']');
}

static void print_tensor(const struct printer *p, uint32_t t, enum role role)
{
	const struct tensor *tensor = &p->cascade->tensor.v[t];
	text_printf(p->out, "%s %s", role == ROLE_IN ? "in " : "out", p->names.name(p->names.owner, OP_READ, t));
	for (int i = 0; i < tensor->nranks; i++) {
		text_add(p->out, i ? ", " : "[");
		expr_print_coordinate(&p->cascade->pool, tensor->extent[i], &p->names, p->out);
	}
	text_printf(p->out, "%s : %s\n", tensor->nranks ? "]" : "", dtype_info[tensor->dtype].spelling);
}

/* Up to its operand. A whole number stands there as a coordinate does. */
static void print_selection(const struct printer *p, const struct equation *q)
{
	const struct expr_pool *pool = &p->cascade->pool;
	text_printf(p->out, "%s[%s", selection_info[q->select].spelling, index_name(p, q->along));
	if (q->argument.id)
		text_add(p->out, ", ");
	if (q->argument.id && q->select == SELECT_TOPK)
		expr_print_coordinate(pool, q->argument, &p->names, p->out);
	else if (q->argument.id)
		print_expr(p, q->argument);
	text_add(p->out, "](");
}

static void print_equation(const struct printer *p, const struct equation *q)
{
	text_add(p->out, p->names.name(p->names.owner, OP_READ, q->tensor));
	print_indices(p, q->index, q->nindex, false);
	text_add(p->out, " = ");
	if (q->reduce) {
		text_add(p->out, reduction_info[q->reduce].spelling);
		print_indices(p, q->reduced, q->nreduced, true);
		text_char(p->out, '(');
	}
	if (q->select)
		print_selection(p, q);
	print_expr(p, q->body);
	if (!equation_is_map(q))
		text_char(p->out, ')');
	if (q->where.id) {
		text_add(p->out, " where ");
		print_expr(p, q->where);
	}
	if (q->otherwise.id) {
		text_add(p->out, " else ");
		print_expr(p, q->otherwise);
	}
	text_char(p->out, '\n');
}

void tensor_print(const struct cascade *c, uint32_t tensor, enum role role, struct text *out)
{
	print_tensor(&(struct printer){c, cascade_names(c), out}, tensor, role);
}

void equation_print(const struct cascade *c, const struct equation *q, struct text *out)
{
	print_equation(&(struct printer){c, cascade_names(c), out}, q);
}

/* Declaring rank N declares the index n over all of it. */
static bool comes_with_rank(const struct cascade *c, const struct index *index)
{
	const char *r = c->rank.v[index->rank].name, *i = index->name;
	if (expr_at(&c->pool, index->extent)->op != OP_EXTENT)
		return false;
	while (*r && tolower((unsigned char)*r) == *i)
		r++, i++;
	return !*r && !*i;
}

void cascade_print(const struct cascade *c, struct text *out)
{
	struct printer p = {c, cascade_names(c), out};
	text_printf(out, "kernel %s\n\n", c->name);
	for (uint32_t r = 0; r < c->rank.n; r++) {
		text_printf(out, "%s%s", r ? ", " : "rank ", c->rank.v[r].name);
		if (c->rank.v[r].extent != NOT_BOUND)
			text_printf(out, " = %lld", (long long)c->rank.v[r].extent);
	}
	if (c->rank.n)
		text_char(out, '\n');
	for (uint32_t i = 0; i < c->index.n; i++) {
		if (comes_with_rank(c, &c->index.v[i]))
			continue;
		text_printf(out, "index %s : ", c->index.v[i].name);
		expr_print_coordinate(&c->pool, c->index.v[i].extent, &p.names, out);
		text_char(out, '\n');
	}
	text_char(out, '\n');
	for (uint32_t t = 0; t < c->tensor.n; t++)
		if (c->tensor.v[t].role != ROLE_LOCAL)
			print_tensor(&p, t, c->tensor.v[t].role);
	text_char(out, '\n');
	for (uint32_t q = 0; q < c->equation.n; q++)
		print_equation(&p, &c->equation.v[q]);
}

/* Names by order of appearance: what has none yet gets the next. No name of a text starts with %. */
struct renaming {
	struct cascade *cascade;
	uint32_t *rank, *index, *tensor; /* number from 1; 0: not met */
	uint32_t ranks, indices, tensors;
};

static const char *number_name(struct arena *a, char letter, uint32_t *number, uint32_t *count)
{
	if (!*number)
		*number = ++*count;
	return arena_printf(a, "%%%c%u", letter, *number);
}

static const char *renamed(const void *owner, enum op op, uint32_t symbol)
{
	/* The printer promises to leave the owner of names alone; this one is ours. */
	struct renaming *r = *(struct renaming *const *)owner;
	struct cascade *c = r->cascade;
	if (op == OP_EXTENT)
		return number_name(c->arena, 'R', &r->rank[symbol], &r->ranks);
	if (op == OP_INDEX)
		return number_name(c->arena, 'i', &r->index[symbol], &r->indices);
	if (c->tensor.v[symbol].role != ROLE_LOCAL)
		return c->tensor.v[symbol].name;
	return number_name(c->arena, 't', &r->tensor[symbol], &r->tensors);
}

const char *cascade_digest(struct cascade *c)
{
	struct text text;
	text_init(&text, c->arena);
	struct renaming renaming = {.cascade = c}, *owner = &renaming;
	renaming.rank = arena_new_array(c->arena, c->rank.n, uint32_t);
	renaming.index = arena_new_array(c->arena, c->index.n, uint32_t);
	renaming.tensor = arena_new_array(c->arena, c->tensor.n, uint32_t);
	struct printer p = {c, {renamed, &owner}, &text};
	text_printf(&text, "kernel %s\n", c->name);
	for (uint32_t t = 0; t < c->tensor.n; t++)
		if (c->tensor.v[t].role != ROLE_LOCAL)
			print_tensor(&p, t, c->tensor.v[t].role);
	for (uint32_t q = 0; q < c->equation.n; q++)
		print_equation(&p, &c->equation.v[q]);
	/* What was used is declared after its uses, in order of number. */
	for (uint32_t n = 1; n <= renaming.indices; n++)
		for (uint32_t i = 0; i < c->index.n; i++)
			if (renaming.index[i] == n) {
				text_printf(&text, "index %s : ", index_name(&p, i));
				print_expr(&p, c->index.v[i].extent);
				text_char(&text, '\n');
			}
	for (uint32_t n = 1; n <= renaming.ranks; n++)
		for (uint32_t r = 0; r < c->rank.n; r++)
			if (renaming.rank[r] == n)
				text_printf(&text, "rank %s = %lld\n", rank_name(&p, r),
				            (long long)c->rank.v[r].extent);
	return digest_text(c->arena, text.s, text.len);
}
