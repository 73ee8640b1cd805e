/* What a stream's predicate is made of, as far as choosing how tiles are skipped goes. */
#include <math.h>

#include "base/whole.h"
#include "codegen/bounds.h"
#include "codegen/plan.h"

/* What bounds in closed form do not say all of. */
#define BEYOND_BOUNDS                                                                                        \
	((uint64_t)1 << OP_OR | (uint64_t)1 << OP_NOT | (uint64_t)1 << OP_NE | (uint64_t)1 << OP_SELECT |    \
	 (uint64_t)1 << OP_MOD | (uint64_t)1 << OP_XOR | (uint64_t)1 << OP_MIN | (uint64_t)1 << OP_MAX)

struct look {
	const struct streams *all;
	struct stream_plan *plan;
	uint32_t walked, rows;
};

static bool mentions(const struct look *l, struct expr e, uint32_t index)
{
	return index != NO_INDEX && expr_mentions(&l->all->cascade->pool, e, OP_INDEX, index);
}

static void take_division(struct look *l, const struct expr_pool *pool, struct expr e)
{
	struct expr x = expr_operand(pool, e, 0);
	int64_t by;
	bool walks = mentions(l, x, l->walked), rows = mentions(l, x, l->rows);
	if (walks == rows || !cascade_extent(l->all->cascade, expr_operand(pool, e, 1), &by) || by < 2)
		return;
	if (expr_at(pool, x)->op != OP_INDEX)
		by = 1; /* shifted, or scaled: its blocks begin anywhere */
	int64_t *granule = walks ? &l->plan->walk_granule : &l->plan->row_granule;
	*granule = gcd(*granule, by);
}

/* A read that lists know by its least and greatest value in a box: each coordinate goes along with the rows, or
 * with the walked index, or with neither. */
bool plan_listable(const struct streams *all, const struct stream_plan *p, struct expr read)
{
	const struct expr_pool *pool = &all->cascade->pool;
	const struct look l = {.all = all, .walked = p->walked, .rows = p->rows};
	const struct expr_node *n = expr_at(pool, read);
	int rows = 0, walks = 0;
	if (n->count >= MAX_RANKS)
		return false;
	for (int i = 0; i < n->count; i++) {
		struct expr x = expr_operand(pool, read, i);
		const struct index *index = all->cascade->index.v;
		for (uint32_t k = 0; k < all->cascade->index.n; k++) {
			bool task = k == p->rows || k == p->walked;
			for (int t = 0; t < p->ntasks; t++)
				task |= p->task[t] == k;
			if (!task && index && mentions(&l, x, k))
				return false;
		}
		if (mentions(&l, x, p->rows) && mentions(&l, x, p->walked))
			return false;
		if (expr_at(pool, x)->ops & (uint64_t)1 << OP_READ)
			return false;
		rows += mentions(&l, x, p->rows);
		walks += mentions(&l, x, p->walked);
	}
	return rows <= 1 && walks <= 1;
}

/* The value of a bound where every range is the one coordinate `at`; NaN where it depends on more. */
static double bound_at(const struct cascade *c, struct expr e, double at)
{
	const struct expr_node *n = expr_at(&c->pool, e);
	int64_t extent;
	double x[3] = {0};
	switch (n->op) {
	case OP_CONST: return n->number;
	case OP_LOW:
	case OP_HIGH: return at;
	case OP_EXTENT: return cascade_extent(c, e, &extent) ? (double)extent : NAN;
	case OP_INDEX:
	case OP_READ: return NAN;
	default: break;
	}
	if (!n->count || n->count > 3)
		return NAN;
	for (int i = 0; i < n->count; i++)
		x[i] = bound_at(c, expr_operand(&c->pool, e, i), at);
	return op_value((enum op)n->op, x[0], x[1], x[2]);
}

static int64_t width_of(const struct cascade *c, const struct range *r)
{
	static const double rows[] = {1 << 20, (1 << 21) + 77};
	double width[2];
	for (int i = 0; i < 2; i++)
		width[i] = bound_at(c, r->high, rows[i]) - bound_at(c, r->low, rows[i]);
	return width[0] == width[1] && width[0] >= 1 && width[0] < (1 << 20) ? (int64_t)width[0] : 0;
}

/* Has a conjunction a part that the walked index is not in? It leaves out rows, which no bounds of the walk say. */
static bool leaves_out_rows(const struct look *l, const struct expr_pool *pool, struct expr e)
{
	for (; expr_at(pool, e)->op == OP_AND; e = expr_operand(pool, e, 0))
		if (!mentions(l, expr_operand(pool, e, 1), l->walked))
			return true;
	return !mentions(l, e, l->walked);
}

void plan_sparsity(const struct streams *all, struct stream_plan *p)
{
	struct cascade *c = all->cascade;
	struct expr present = plan_by_group(c, p, p->stream->present);
	if (!present.id || p->walked == NO_INDEX)
		return;
	struct look l = {all, p, p->walked, p->rows};
	struct expr *list;
	uint32_t nodes = expr_nodes(&c->pool, present, &list), ranged[2] = {p->walked, p->rows};
	p->affine = !(expr_at(&c->pool, present)->ops & BEYOND_BOUNDS) && !leaves_out_rows(&l, &c->pool, present);
	p->listable = p->inner == NO_INDEX;
	for (uint32_t i = 0; i < nodes; i++) {
		const struct expr_node *n = expr_at(&c->pool, list[i]);
		if (n->op == OP_IDIV)
			take_division(&l, &c->pool, list[i]);
		if (n->op != OP_READ || (!mentions(&l, list[i], p->walked) && !mentions(&l, list[i], p->rows)))
			continue;
		p->tensors = true;
		p->affine = false; /* what is one number a task, as a length, is as good as a constant */
		p->listable &= plan_listable(all, p, list[i]);
	}
	struct range r = bounds_of(c, present, p->walked, ranged, p->rows == NO_INDEX ? 1 : 2);
	p->band = r.low.id && r.high.id;
	p->width = p->band ? width_of(c, &r) : 0;
}
