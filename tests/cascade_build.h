/* cascade_build.h: small cascades for tests of what comes after the front end, without going through it.
 *
 *     struct build b;  build_init(&b, &arena);
 *     build_rank(&b, "N", 8);                      rank N and index n
 *     build_tensor(&b, ROLE_IN, "X", "N", DTYPE_F32);
 *     build_equation(&b, "Y", "n", REDUCE_SUM, "m", "X[m] * X[n]", "m <= n");
 *
 * Ranks have one letter; a list of indices or ranks is a string of them. A mistake ends the program.
 */
#ifndef ATTUNE_TESTS_CASCADE_BUILD_H
#define ATTUNE_TESTS_CASCADE_BUILD_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dsl/cascade.h"
#include "dsl/dtype.h"
#include "dsl/lex.h"
#include "dsl/parse.h"

struct build {
	struct arena *arena;
	struct cascade *cascade;
};

static void build_die(const char *what, const char *text)
{
	printf("Bail out! %s: %s\n", what, text);
	exit(1);
}

static void build_init(struct build *b, struct arena *a)
{
	b->arena = a;
	b->cascade = cascade_new(a, "test");
}

static void build_rank(struct build *b, const char *name, int64_t extent)
{
	char index[2] = {(char)tolower((unsigned char)*name), 0};
	cascade_add_index(b->cascade, index, cascade_add_rank(b->cascade, name, extent));
}

static uint32_t build_find_index(const struct build *b, const char *name, size_t n)
{
	for (uint32_t i = 0; i < b->cascade->index.n; i++)
		if (strlen(b->cascade->index.v[i].name) == n && !memcmp(b->cascade->index.v[i].name, name, n))
			return i;
	return UINT32_MAX;
}

static struct expr build_name(void *owner, const char *name, struct span span)
{
	struct build *b = owner;
	(void)span;
	uint32_t i = build_find_index(b, name, strlen(name)), r = cascade_find_rank(b->cascade, name);
	if (i != UINT32_MAX)
		return expr_leaf(&b->cascade->pool, OP_INDEX, KIND_INT, i);
	if (r != UINT32_MAX)
		return expr_leaf(&b->cascade->pool, OP_EXTENT, KIND_INT, r);
	uint32_t t = cascade_find_tensor(b->cascade, name);
	if (t == UINT32_MAX)
		build_die("no such name", name);
	return cascade_read(b->cascade, t, NULL, 0);
}

static struct expr build_read(void *owner, const char *name, int n, const struct expr *index,
                              struct span span)
{
	struct build *b = owner;
	(void)span;
	uint32_t t = cascade_find_tensor(b->cascade, name);
	if (t == UINT32_MAX || b->cascade->tensor.v[t].nranks != n)
		build_die("no such tensor", name);
	return expr_read(&b->cascade->pool, dtype_kind(b->cascade->tensor.v[t].dtype), t, n, index);
}

static struct expr build_expr(struct build *b, const char *text)
{
	struct diags diags;
	struct lexer lexer;
	struct expr_scope scope = {&b->cascade->pool, &diags, build_name, build_read, b};
	if (!text)
		return NO_EXPR;
	diags_init(&diags, b->arena, "expression", text, strlen(text));
	lexer_init(&lexer, b->arena, text, strlen(text), LEX_LINES, &diags);
	struct expr e = expr_parse(&lexer, &scope);
	if (!e.id)
		build_die(diags.list.n ? diags.list.v[0].message : "bad expression", text);
	return e;
}

/* `extents`: letters of ranks, or expressions between commas. */
__attribute__((unused)) static uint32_t build_tensor(struct build *b, enum role role, const char *name,
                                                     const char *extents, enum dtype dtype)
{
	struct tensor t = {.name = name, .role = role, .dtype = dtype};
	char part[64];
	while (*extents) {
		size_t n = strchr(extents, ',')   ? strcspn(extents, ",")
		           : strchr(extents, '/') ? strlen(extents)
		                                  : 1;
		snprintf(part, sizeof part, "%.*s", (int)n, extents);
		t.extent[t.nranks++] = build_expr(b, part);
		extents += n + (extents[n] == ',');
	}
	return cascade_add_tensor(b->cascade, t);
}

/* The tensor is made a local, its dtype from the body, unless it was declared an output. */
__attribute__((unused)) static uint32_t build_equation(struct build *b, const char *tensor,
                                                       const char *indices, enum reduction reduce,
                                                       const char *reduced, const char *body,
                                                       const char *where)
{
	struct cascade *c = b->cascade;
	struct equation q = {.reduce = reduce, .body = build_expr(b, body), .where = build_expr(b, where)};
	struct tensor t = {.name = tensor, .role = ROLE_LOCAL};
	for (; *indices; indices++) {
		q.index[q.nindex] = build_find_index(b, indices, 1);
		t.extent[t.nranks++] = c->index.v[q.index[q.nindex++]].extent;
	}
	for (; *reduced; reduced++)
		q.reduced[q.nreduced++] = build_find_index(b, reduced, 1);
	enum kind kind = (enum kind)expr_at(&c->pool, q.body)->kind;
	t.dtype = reduce == REDUCE_ARGMAX ? DTYPE_I32
	          : kind == KIND_INT      ? DTYPE_I32
	          : kind == KIND_BOOL     ? DTYPE_BOOL
	                                  : DTYPE_F32;
	q.tensor = cascade_find_tensor(c, tensor);
	if (q.tensor == UINT32_MAX)
		q.tensor = cascade_add_tensor(c, t);
	return cascade_add_equation(c, q);
}

#endif
