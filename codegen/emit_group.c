/* Which consecutive statements share loops.
 *
 * Values are read at current coordinates only, so iterations of the outer loops never depend on each other:
 * statements over the same outer coordinates may always share them. A statement over one rank is a row
 * scalar beside statements that have that rank outside, and a vector loop beside statements that do not. */
#include "codegen/emit.h"

#include <string.h>

enum { SHORT_RANGE = 64 }; /* a lone one-rank statement up to this long is left to the C compiler */

static bool operand_vectorises(const struct emitter *e, struct expr x, uint32_t lane)
{
	const struct expr_node *node = expr_at(e->pool, x);
	if (node->op == OP_VALUE) {
		int r = value_rank(e, node->symbol, lane);
		return r < 0 || r == e->program->value.v[node->symbol].nranks - 1;
	}
	if (node->op == OP_READ) {
		const struct tile_tensor *t = &e->program->tensor.v[node->symbol];
		int found = 0;
		for (int r = 0; r < node->count; r++) {
			struct expr at = expr_operand(e->pool, x, r);
			if (!expr_mentions(e->pool, at, OP_INDEX, lane))
				continue;
			if (expr_at(e->pool, at)->op != OP_INDEX || e->program->index.v[lane].extent > t->extent[r] ||
			    (t->panel && (r != t->lanes || e->range[lane]->align % e->lanes)))
				return false;
			found++;
		}
		if (found > 1)
			return false;
	}
	for (int i = 0; i < node->count; i++)
		if (!operand_vectorises(e, expr_operand(e->pool, x, i), lane))
			return false;
	return true;
}

/* Can `lane` be in the vectors of this statement? */
static bool vectorises(const struct emitter *e, const struct tile_statement *s, uint32_t lane)
{
	if (!operand_vectorises(e, s->expression, lane))
		return false;
	if (s->kind != TILE_STORE) {
		int r = value_rank(e, s->value, lane);
		return r < 0 || r == e->program->value.v[s->value].nranks - 1;
	}
	const struct expr_node *target = expr_at(e->pool, s->target);
	const struct tile_tensor *t = &e->program->tensor.v[target->symbol];
	if (!t->panel)
		return true;
	struct expr at = expr_operand(e->pool, s->target, t->lanes);
	return expr_at(e->pool, at)->symbol == lane && e->range[lane]->align % e->lanes == 0;
}

/* The indices a statement's result has, single coordinates left out. */
static int result_indices(const struct emitter *e, const struct tile_statement *s, uint32_t *index)
{
	int n = 0;
	if (s->kind == TILE_STORE) {
		const struct expr_node *target = expr_at(e->pool, s->target);
		for (int r = 0; r < target->count; r++) {
			const struct expr_node *at = expr_at(e->pool, expr_operand(e->pool, s->target, r));
			if (at->op == OP_INDEX && !e->range[at->symbol]->single)
				index[n++] = at->symbol;
		}
		return n;
	}
	const struct tile_value *v = &e->program->value.v[s->value];
	for (int r = 0; r < v->nranks; r++)
		if (!e->range[v->index[r]]->single)
			index[n++] = v->index[r];
	return n;
}

static bool transposes(const struct emitter *e, const struct tile_statement *s, const struct shape_of *shape)
{
	const struct expr_node *x = expr_at(e->pool, s->expression);
	if (s->kind != TILE_STORE || x->op != OP_VALUE || shape->nouter < 2)
		return false;
	const struct tile_tensor *t = &e->program->tensor.v[expr_at(e->pool, s->target)->symbol];
	const struct tile_value *v = &e->program->value.v[x->symbol];
	if (!t->panel || t->dtype != v->dtype || v->dtype != e->program->compute || v->nranks < 2)
		return false;
	int inside = t->lanes == t->nranks - 1 ? t->nranks - 2 : t->nranks - 1;
	uint32_t lane = expr_at(e->pool, expr_operand(e->pool, s->target, t->lanes))->symbol;
	uint32_t across = expr_at(e->pool, expr_operand(e->pool, s->target, inside))->symbol;
	return v->index[v->nranks - 2] == lane && v->index[v->nranks - 1] == across && !e->range[lane]->single &&
	       e->range[lane]->align % e->lanes == 0 && t->panel % e->lanes == 0 && !e->range[across]->single;
}

static void drop(struct shape_of *s, uint32_t index)
{
	int n = 0;
	for (int i = 0; i < s->nouter; i++)
		if (s->outer[i] != index)
			s->outer[n++] = s->outer[i];
	s->nouter = n;
}

static struct shape_of shape_of(const struct emitter *e, const struct tile_statement *s)
{
	struct shape_of shape = {.lane = NO_INDEX, .inner = NO_INDEX};
	shape.nouter = result_indices(e, s, shape.outer);
	uint32_t last = shape.nouter ? shape.outer[shape.nouter - 1] : NO_INDEX;
	if (s->kind == TILE_REDUCE) {
		shape.inner = s->index;
		shape.shape = SHAPE_FOLD;
		if (vectorises(e, s, s->index) && !e->range[s->index]->single) {
			shape.shape = SHAPE_LANES;
			shape.lane = s->index;
		} else if (last != NO_INDEX && vectorises(e, s, last)) {
			shape.shape = SHAPE_COLUMN;
			shape.lane = last;
			shape.nouter--;
		}
		return shape;
	}
	if (transposes(e, s, &shape)) {
		const struct expr_node *target = expr_at(e->pool, s->target);
		const struct tile_tensor *t = &e->program->tensor.v[target->symbol];
		shape.shape = SHAPE_TRANSPOSE;
		shape.lane = expr_at(e->pool, expr_operand(e->pool, s->target, t->lanes))->symbol;
		drop(&shape, shape.lane);
		shape.inner = shape.outer[shape.nouter - 1];
		drop(&shape, shape.inner);
		return shape;
	}
	if (s->kind == TILE_STORE && shape.nouter >= 2) {
		const struct expr_node *target = expr_at(e->pool, s->target);
		const struct tile_tensor *t = &e->program->tensor.v[target->symbol];
		uint32_t lane = t->panel ? expr_at(e->pool, expr_operand(e->pool, s->target, t->lanes))->symbol : last;
		if (!e->range[lane]->single && vectorises(e, s, lane)) {
			shape.shape = SHAPE_LANES;
			shape.lane = lane;
			drop(&shape, lane);
		}
		return shape;
	}
	if (shape.nouter >= 2 && vectorises(e, s, last)) {
		shape.shape = SHAPE_LANES;
		shape.lane = last;
		shape.nouter--;
	}
	return shape;
}

static bool same_outer(const struct shape_of *a, const struct shape_of *b)
{
	return a->nouter == b->nouter && !memcmp(a->outer, b->outer, (size_t)a->nouter * sizeof *a->outer);
}

/* One rank: a row scalar or a vector loop, whichever suits its neighbours. */
static bool undecided(const struct emitter *e, const struct tile_statement *s, const struct shape_of *shape)
{
	return shape->shape == SHAPE_SCALAR && shape->nouter == 1 && vectorises(e, s, shape->outer[0]);
}

static struct shape_of as_lanes(struct shape_of shape)
{
	shape.shape = SHAPE_LANES;
	shape.lane = shape.outer[0];
	shape.nouter = 0;
	return shape;
}

void group_take(const struct emitter *e, const struct tile_statement *s, uint32_t n, struct group *g)
{
	memset(g, 0, sizeof *g);
	bool decided = false, open[MAX_GROUP] = {false};
	struct shape_of outer = {.nouter = 0};
	for (uint32_t i = 0; i < n && g->count < MAX_GROUP; i++) {
		if (s[i].kind != TILE_MAP && s[i].kind != TILE_REDUCE && s[i].kind != TILE_LOAD && s[i].kind != TILE_STORE)
			break;
		struct shape_of shape = shape_of(e, &s[i]);
		bool either = undecided(e, &s[i], &shape), alone = shape.shape > SHAPE_LANES;
		if (alone && g->count)
			break;
		if (either && decided) {
			if (!outer.nouter)
				shape = as_lanes(shape);
			else if (!same_outer(&outer, &shape))
				break;
			either = false;
		} else if (decided && !same_outer(&outer, &shape)) {
			break;
		} else if (!either && !decided) {
			bool fits = true;
			for (int k = 0; k < g->count; k++)
				fits &= !shape.nouter || same_outer(&g->shape[k], &shape);
			if (!fits)
				break;
			decided = true;
			outer = shape;
		} else if (either && g->count && !same_outer(&g->shape[0], &shape)) {
			break;
		}
		open[g->count] = either;
		g->statement[g->count] = &s[i];
		g->shape[g->count++] = shape;
		if (alone)
			break;
	}
	if (!decided) {
		outer = g->shape[0];
		if (e->range[outer.outer[0]]->step > SHORT_RANGE)
			outer.nouter = 0;
	}
	for (int k = 0; k < g->count; k++)
		if (open[k] && !outer.nouter)
			g->shape[k] = as_lanes(g->shape[k]);
	g->nouter = outer.nouter;
	memcpy(g->outer, outer.outer, sizeof g->outer);
}
