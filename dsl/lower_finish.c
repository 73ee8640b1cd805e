/* The cascade as others see it: only what an output needs, everything named, expressions in a pool that
 * holds nothing else. */
#include <string.h>

#include "dsl/lower.h"

struct finish {
	struct lower *w;
	const struct cascade *from;
	struct cascade *to;
	bool *tensor_used, *index_used, *rank_used;
	uint32_t *tensor, *index, *rank; /* new numbers */
	struct expr *expr;               /* by old id */
};

static bool comes_with_rank(const struct cascade *c, uint32_t i)
{
	/* A rank's own index was declared first of those that walk all of it. */
	const struct index *index = &c->index.v[i];
	if (expr_at(&c->pool, index->extent)->op != OP_EXTENT)
		return false;
	for (uint32_t k = 0; k < i; k++)
		if (expr_same(c->index.v[k].extent, index->extent))
			return false;
	return true;
}

static void use(struct finish *f, struct expr e)
{
	struct expr *node;
	uint32_t n = e.id ? expr_nodes(&f->from->pool, e, &node) : 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *x = expr_at(&f->from->pool, node[i]);
		if (x->op == OP_READ)
			f->tensor_used[x->symbol] = true;
		if (x->op == OP_EXTENT)
			f->rank_used[x->symbol] = true;
		if (x->op == OP_INDEX)
			f->index_used[x->symbol] = true;
	}
}

static void use_equation(struct finish *f, const struct equation *q)
{
	use(f, q->body);
	use(f, q->where);
	use(f, q->otherwise);
	use(f, q->argument);
	if (q->select)
		f->index_used[q->along] = true;
	for (int i = 0; i < q->nindex; i++)
		f->index_used[q->index[i]] = true;
	for (int i = 0; i < q->nreduced; i++)
		f->index_used[q->reduced[i]] = true;
}

static void warn(const struct finish *f)
{
	struct lower *w = f->w;
	for (uint32_t t = 0; t < f->from->tensor.n; t++) {
		const struct tensor *tensor = &f->from->tensor.v[t];
		if (f->tensor_used[t] || w->tensor.v[t].hoisted || tensor->role == ROLE_OUT)
			continue;
		if (tensor->role == ROLE_IN)
			diag_warning(w->diags, tensor->span, "input '%s' is not used", tensor->name);
		else
			diag_warning(w->diags, tensor->span, "'%s' is not used by any output and is left out",
			             tensor->name);
	}
	for (uint32_t i = 0; i < w->name.n; i++) {
		const struct name *n = &w->name.v[i];
		if (n->kind == NAME_RANK && !f->rank_used[n->id])
			diag_warning(w->diags, n->span, "rank '%s' is not used", n->text);
		if (n->kind == NAME_PARAM && !n->used)
			diag_warning(w->diags, n->span, "param '%s' is not used", n->text);
	}
}

/* Operands first; depth is at most EXPR_DEPTH. */
static struct expr copy(struct finish *f, struct expr e)
{
	struct expr x[MAX_RANKS];
	if (!e.id || f->expr[e.id].id)
		return f->expr[e.id];
	const struct expr_node n = *expr_at(&f->from->pool, e);
	struct expr_pool *p = &f->to->pool;
	for (int i = 0; i < n.count; i++)
		x[i] = copy(f, expr_operand(&f->from->pool, e, i));
	switch (n.op) {
	case OP_CONST: e = f->expr[e.id] = expr_number(p, n.number); return e;
	case OP_INDEX: return f->expr[e.id] = expr_leaf(p, OP_INDEX, KIND_INT, f->index[n.symbol]);
	case OP_EXTENT: return f->expr[e.id] = expr_leaf(p, OP_EXTENT, KIND_INT, f->rank[n.symbol]);
	case OP_READ: return f->expr[e.id] = expr_read(p, (enum kind)n.kind, f->tensor[n.symbol], n.count, x);
	default: return f->expr[e.id] = expr_make(p, (enum op)n.op, n.symbol, n.count, x);
	}
}

static void copy_tensor(struct finish *f, uint32_t t, const char *name)
{
	struct tensor tensor = f->from->tensor.v[t];
	tensor.name = name;
	for (int i = 0; i < tensor.nranks; i++)
		tensor.extent[i] = copy(f, tensor.extent[i]);
	f->tensor[t] = cascade_add_tensor(f->to, tensor);
}

static void copy_equation(struct finish *f, struct equation q)
{
	q.tensor = f->tensor[q.tensor];
	q.body = copy(f, q.body);
	q.where = copy(f, q.where);
	q.otherwise = copy(f, q.otherwise);
	q.argument = copy(f, q.argument);
	q.along = q.select ? f->index[q.along] : 0;
	q.slot = q.select == SELECT_MEMBERS ? f->index[q.slot] : 0;
	for (int i = 0; i < q.nindex; i++)
		q.index[i] = f->index[q.index[i]];
	for (int i = 0; i < q.nreduced; i++)
		q.reduced[i] = f->index[q.reduced[i]];
	cascade_add_equation(f->to, q);
}

static void copy_indices(struct finish *f)
{
	const struct cascade *from = f->from;
	for (uint32_t i = 0; i < from->index.n; i++)
		if (f->index_used[i] || (comes_with_rank(from, i) && f->rank_used[from->index.v[i].rank])) {
			f->index[i] = cascade_add_index(f->to, from->index.v[i].name,
			                                f->rank[from->index.v[i].rank]);
			f->to->index.v[f->index[i]].extent = copy(f, from->index.v[i].extent);
		}
}

struct cascade *lower_finish(struct lower *w)
{
	struct arena *a = w->arena;
	const struct cascade *from = w->c;
	struct finish f = {.w = w, .from = from, .to = cascade_new(a, from->name)};
	f.tensor_used = arena_new_array(a, from->tensor.n, bool);
	f.index_used = arena_new_array(a, from->index.n, bool);
	f.rank_used = arena_new_array(a, from->rank.n, bool);
	f.tensor = arena_new_array(a, from->tensor.n, uint32_t);
	f.index = arena_new_array(a, from->index.n, uint32_t);
	f.rank = arena_new_array(a, from->rank.n, uint32_t);
	f.expr = arena_new_array(a, from->pool.node.n, struct expr);
	for (uint32_t q = from->equation.n; q > 0; q--) {
		const struct equation *e = &from->equation.v[q - 1];
		bool current = from->tensor.v[e->tensor].equation == q - 1;
		if (current && (from->tensor.v[e->tensor].role == ROLE_OUT || f.tensor_used[e->tensor]))
			use_equation(&f, e);
	}
	for (uint32_t t = 0; t < from->tensor.n; t++)
		for (int i = 0; from->tensor.v[t].role != ROLE_LOCAL && i < from->tensor.v[t].nranks; i++)
			use(&f, from->tensor.v[t].extent[i]);
	for (uint32_t i = 0; i < from->index.n; i++)
		if (f.index_used[i])
			use(&f, from->index.v[i].extent);
	warn(&f);
	for (uint32_t r = 0; r < from->rank.n; r++)
		if (f.rank_used[r])
			f.rank[r] = cascade_add_rank(f.to, from->rank.v[r].name, from->rank.v[r].extent);
	copy_indices(&f);
	for (uint32_t t = 0; t < from->tensor.n; t++)
		if (from->tensor.v[t].role != ROLE_LOCAL)
			copy_tensor(&f, t, from->tensor.v[t].name);
	uint32_t number = 0;
	for (uint32_t q = 0; q < from->equation.n; q++) {
		uint32_t t = from->equation.v[q].tensor;
		const struct tensor *tensor = &from->tensor.v[t];
		if (tensor->equation != q || (tensor->role != ROLE_OUT && !f.tensor_used[t]))
			continue;
		const char *name = tensor->name;
		while (w->tensor.v[t].hoisted &&
		       (name = arena_printf(a, "X%u", ++number), name_find(w, name)))
			;
		if (tensor->role == ROLE_LOCAL)
			copy_tensor(&f, t, name);
		copy_equation(&f, from->equation.v[q]);
	}
	return f.to;
}
