/* The order of equations: each after those that define what it reads. */
#include <string.h>

#include "dsl/lower.h"

struct node {
	const struct ast_equation *equation;
	uint32_t left;       /* which of its left sides */
	VEC(uint32_t) reads; /* nodes */
	uint32_t next;       /* of reads */
	enum { UNSEEN, OPEN, DONE } state;
};

struct graph {
	struct lower *w;
	VEC(struct node) node;
	uint32_t *definer; /* of a tensor: node, or UINT32_MAX */
	uint32_t *met;     /* by template: the last node that went through it, plus one */
	uint32_t at;       /* the node whose reads are being gathered */
	int depth;         /* templates inside each other */
};

static void gather_template(struct graph *, uint32_t position);

static bool binds(const struct statement *s, const char *name)
{
	for (uint32_t i = 0; i < s->name.n; i++)
		if (!strcmp(s->name.v[i].name, name))
			return true;
	for (uint32_t i = 0; i < s->parameter.n; i++)
		if (!strcmp(s->parameter.v[i].name, name))
			return true;
	for (uint32_t i = 0; i < s->line.n; i++)
		for (uint32_t k = 0; k < s->line.v[i].left.n; k++)
			if (!strcmp(s->line.v[i].left.v[k].name, name))
				return true;
	return false;
}

/* `inside`: the template whose body this is, or NULL; `visible`: how many templates it sees. */
static void gather(struct graph *g, const struct ast *a, const struct statement *inside, uint32_t visible)
{
	if (!a)
		return;
	if (a->kind == AST_NAME || a->kind == AST_READ) {
		const struct name *n = inside && binds(inside, a->name) ? NULL : name_find(g->w, a->name);
		if (n && n->kind == NAME_TENSOR && g->definer[n->id] != UINT32_MAX)
			vec_push(g->w->arena, &g->node.v[g->at].reads, g->definer[n->id]);
	}
	for (uint32_t i = visible; a->kind == AST_CALL && i > 0; i--)
		if (!strcmp(g->w->template.v[i - 1].statement->template_name.name, a->name)) {
			gather_template(g, i - 1);
			break;
		}
	for (int i = 0; i < a->nbracket; i++)
		gather(g, a->bracket[i], inside, visible);
	for (int i = 0; i < a->noperand; i++)
		gather(g, a->operand[i], inside, visible);
}

/* Each template once an equation. A chain of templates is followed as deep as it may be expanded. */
static void gather_template(struct graph *g, uint32_t position)
{
	const struct statement *s = g->w->template.v[position].statement;
	if (g->met[position] == g->at + 1 || g->w->template.v[position].prelude)
		return;
	g->met[position] = g->at + 1;
	if (g->depth == EXPANSION_DEPTH)
		return;
	g->depth++;
	for (uint32_t i = 0; i < s->parameter.n; i++)
		gather(g, s->parameter.v[i].value, NULL, position);
	for (uint32_t i = 0; i < s->line.n; i++)
		for (uint32_t k = 0; k < s->line.v[i].right.n; k++)
			gather(g, s->line.v[i].right.v[k], s, position);
	g->depth--;
}

static const struct ast_left *left_of(const struct node *n)
{
	return &n->equation->left.v[n->left];
}

static void report_cycle(struct graph *g, const uint32_t *path, uint32_t n)
{
	struct lower *w = g->w;
	const struct ast_left *first = left_of(&g->node.v[path[0]]);
	struct text t;
	text_init(&t, w->arena);
	for (uint32_t i = 1; i < n && i < 6; i++)
		text_printf(&t, "%s'%s'", i > 1 ? ", which reads " : "", left_of(&g->node.v[path[i]])->name);
	if (n == 1)
		diag_error(w->diags, first->span, "'%s' reads itself; a recurrence is not supported yet",
		           first->name);
	else if (n > 6)
		diag_error(w->diags, first->span,
		           "'%s' reads itself through %u others; a recurrence is not supported yet",
		           first->name, n - 1);
	else
		diag_error(w->diags, first->span,
		           "'%s' reads %s, which reads '%s'; a recurrence is not supported yet", first->name,
		           t.s, first->name);
}

/* Depth first, with the path as a stack of its own: a chain of equations may be long. */
static void visit(struct graph *g, uint32_t start)
{
	struct lower *w = g->w;
	VEC(uint32_t) path = {0};
	vec_push(w->arena, &path, start);
	g->node.v[start].state = OPEN;
	while (path.n) {
		struct node *n = &g->node.v[path.v[path.n - 1]];
		if (n->next == n->reads.n) {
			n->state = DONE;
			path.n--;
			if (!w->full)
				lower_equation(w, n->equation, n->left);
			continue;
		}
		uint32_t to = n->reads.v[n->next++];
		if (g->node.v[to].state == UNSEEN) {
			g->node.v[to].state = OPEN;
			vec_push(w->arena, &path, to);
		} else if (g->node.v[to].state == OPEN) {
			uint32_t from = path.n;
			while (path.v[--from] != to)
				;
			report_cycle(g, path.v + from, path.n - from);
			/* Told of; the members stay undefined and are not looked at again. */
			for (uint32_t i = from; i < path.n; i++)
				g->node.v[path.v[i]].state = DONE;
			path.n = from;
		}
	}
}

void lower_in_order(struct lower *w)
{
	const struct statement *s;
	struct graph g = {.w = w};
	g.definer = arena_new_array(w->arena, w->tensor.n, uint32_t);
	g.met = arena_new_array(w->arena, w->template.n, uint32_t);
	memset(g.definer, 0xff, w->tensor.n * sizeof *g.definer);
	EACH (w, STATEMENT_EQUATION, s)
		for (uint32_t i = 0; i < s->line.v[0].left.n; i++) {
			const struct name *n = name_find(w, s->line.v[0].left.v[i].name);
			if (n && n->kind == NAME_TENSOR && g.definer[n->id] == UINT32_MAX)
				g.definer[n->id] = g.node.n;
			vec_push(w->arena, &g.node, (struct node){.equation = &s->line.v[0], .left = i});
		}
	for (g.at = 0; g.at < g.node.n; g.at++) {
		const struct node *n = &g.node.v[g.at];
		gather(&g, n->equation->right.v[n->left], NULL, w->template.n);
		gather(&g, n->equation->where, NULL, w->template.n);
		gather(&g, n->equation->otherwise, NULL, w->template.n);
	}
	for (uint32_t i = 0; i < g.node.n; i++)
		if (g.node.v[i].state == UNSEEN)
			visit(&g, i);
}
