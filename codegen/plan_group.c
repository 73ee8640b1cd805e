/* Plans by groups: rows that share what is walked because it depends on their quotient only. */
#include <string.h>

#include "base/whole.h"
#include "codegen/plan.h"

static bool mentions(const struct cascade *c, struct expr e, uint32_t index)
{
	return expr_mentions(&c->pool, e, OP_INDEX, index);
}

/* The divisor of index / divisor; 0: the expression is something else. */
static int64_t divisor(const struct cascade *c, struct expr e, uint32_t index)
{
	const struct expr_node *n = expr_at(&c->pool, e);
	int64_t by = 0;
	if (n->op != OP_IDIV || !cascade_extent(c, expr_operand(&c->pool, e, 1), &by) || by < 2)
		return 0;
	const struct expr_node *x = expr_at(&c->pool, expr_operand(&c->pool, e, 0));
	return x->op == OP_INDEX && x->symbol == index ? by : 0;
}

struct expr plan_by_group(struct cascade *c, const struct stream_plan *p, struct expr e)
{
	if (!p->group || !e.id || !mentions(c, e, p->rows))
		return e;
	const struct expr_node n = *expr_at(&c->pool, e);
	int64_t by = divisor(c, e, p->rows);
	if (by && by % p->group == 0)
		return expr2(&c->pool, OP_IDIV, expr_leaf(&c->pool, OP_LOW, KIND_INT, p->rows),
		             expr_number(&c->pool, (double)by));
	struct expr x[MAX_RANKS];
	for (int i = 0; i < n.count; i++)
		x[i] = plan_by_group(c, p, expr_operand(&c->pool, e, i));
	if (!n.count)
		return e;
	return n.op == OP_READ ? expr_read(&c->pool, (enum kind)n.kind, n.symbol, n.count, x)
	                       : expr_make(&c->pool, (enum op)n.op, n.symbol, n.count, x);
}

/* What all divisors of quotients of the index in the contractions' factors have in common; 0: there are none. */
static int64_t group_of(const struct cascade *c, const struct stream_plan *p, uint32_t index)
{
	int64_t group = 0;
	for (int k = 0; k < p->ncontracts; k++) {
		struct expr *node;
		uint32_t n = expr_nodes(&c->pool, p->contract[k].b, &node);
		for (uint32_t i = 0; i < n; i++)
			group = gcd(group, divisor(c, node[i], index));
	}
	return group;
}

/* Does the predicate read tensors at this index? */
static bool tells_by(const struct cascade *c, struct expr present, uint32_t index)
{
	struct expr *node;
	uint32_t n = present.id ? expr_nodes(&c->pool, present, &node) : 0;
	for (uint32_t i = 0; i < n; i++)
		if (expr_at(&c->pool, node[i])->op == OP_READ && mentions(c, node[i], index))
			return true;
	return false;
}

static bool drop_task(struct stream_plan *p, uint32_t index)
{
	int n = 0;
	for (int i = 0; i < p->ntasks; i++)
		if (p->task[i] != index)
			p->task[n++] = p->task[i];
	bool dropped = n < p->ntasks;
	p->ntasks = n;
	return dropped;
}

static bool is_rank_of_all(const struct streams *all, const struct stream *s, uint32_t index)
{
	for (uint32_t i = 0; i < s->carry.n; i++)
		if (!equation_has_index(&all->cascade->equation.v[s->carry.v[i].equation], index))
			return false;
	return true;
}

void plan_groups(struct arena *arena, const struct streams *all, struct stream_plan *p)
{
	const struct cascade *c = all->cascade;
	const struct stream *s = p->stream;
	if (!p->ncontracts || p->whole)
		return;
	for (uint32_t i = 0; i < s->row.n; i++) {
		uint32_t index = s->row.v[i];
		int64_t group = index == p->rows || index == p->wide || index == p->walked ? 0 : group_of(c, p, index);
		if (group < 2 || !is_rank_of_all(all, s, index))
			continue;
		struct stream_plan *g = arena_new(arena, struct stream_plan);
		*g = (struct stream_plan){.stream = s,
		                          .walked = p->walked,
		                          .rows = index,
		                          .wide = p->wide,
		                          .inner = NO_INDEX,
		                          .ntasks = p->ntasks,
		                          .group = group};
		memcpy(g->task, p->task, sizeof g->task);
		if (plan_extent(all, p->rows) > 1 && is_rank_of_all(all, s, p->rows) &&
		    !tells_by(c, s->present, p->rows) && drop_task(g, p->rows))
			g->inner = p->rows;
		plan_contractions(all, g);
		bool same = g->ncontracts == p->ncontracts;
		for (int k = 0; k < g->ncontracts && same; k++)
			same = g->contract[k].equation == p->contract[k].equation;
		if (!same)
			continue;
		plan_sparsity(all, g);
		p->grouped = g;
		return;
	}
}
