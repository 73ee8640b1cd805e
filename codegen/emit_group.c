/* How statements run, and which consecutive ones share loops.
 *
 * Values are read at current coordinates only, so iterations of the outer loops never depend on each other,
 * and statements over the same outer coordinates and lanes share them. A reduction's result is not needed
 * inside the loops that make it: rows stay independent of each other, one row's end overlaps the next one's
 * beginning, and what is one number a row (a maximum's correction, say) is a vector over rows. */
#include "codegen/emit.h"

#include <string.h>

bool group_vectorises(const struct emitter *e, struct expr x, uint32_t lane)
{
	const struct expr_node *node = expr_at(e->pool, x);
	if (node->op == OP_VALUE) {
		int r = value_rank(e, node->symbol, lane);
		return r < 0 || r == e->program->value.v[node->symbol].nranks - 1;
	}
	if (node->op == OP_READ) {
		const struct tile_tensor *t = &e->program->tensor.v[node->symbol];
		int found = 0, gathered = emit_gathered(e, x, lane);
		for (int r = 0; r < node->count; r++) {
			struct expr at = expr_operand(e->pool, x, r);
			if (r == gathered || !expr_mentions(e->pool, at, OP_INDEX, lane) ||
			    (emit_uniform(e, at, lane) && emit_within(e, at, t->extent[r]) && !t->panel))
				continue;
			bool plain = expr_at(e->pool, at)->op == OP_INDEX;
			if (!emit_lane_step(e, at, lane) || !emit_within(e, at, t->extent[r]) ||
			    (!plain && (t->panel || dtype_info[t->dtype].bits < 8)) ||
			    (t->panel && (r != t->lanes || e->range[lane]->align % e->lanes)))
				return false;
			found++;
		}
		if (found > 1)
			return false;
	}
	for (int i = 0; i < node->count; i++)
		if (!group_vectorises(e, expr_operand(e->pool, x, i), lane))
			return false;
	return true;
}

/* Can `lane` be in the vectors of this statement? */
static bool vectorises(const struct emitter *e, const struct tile_statement *s, uint32_t lane)
{
	if (!group_vectorises(e, s->expression, lane))
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

/* A value that is another one with its last two ranks swapped. */
static bool swaps(const struct emitter *e, const struct tile_statement *s)
{
	const struct tile_value *to = &e->program->value.v[s->value],
	                        *from = &e->program->value.v[expr_at(e->pool, s->expression)->symbol];
	int n = to->nranks;
	if (n < 2 || from->nranks != n || to->dtype != from->dtype || (e->real_double && dtype_info[to->dtype].integer))
		return false;
	for (int r = 0; r < n - 2; r++)
		if (to->index[r] != from->index[r])
			return false;
	return to->index[n - 1] == from->index[n - 2] && to->index[n - 2] == from->index[n - 1] &&
	       !e->range[to->index[n - 1]]->single && !e->range[to->index[n - 2]]->single &&
	       value_may_spill(e, s->value, n - 1, e->lanes);
}

/* Does a store move rows of a value into panels, or, `weaves`, rows that follow one another into groups of them? Or is a
 * value another one with its ranks swapped? */
static bool transposes(const struct emitter *e, const struct tile_statement *s, const struct shape_of *shape, bool weaves)
{
	const struct expr_node *x = expr_at(e->pool, s->expression);
	if (x->op != OP_VALUE || shape->nouter < 2)
		return false;
	if (s->kind == TILE_MAP)
		return swaps(e, s);
	if (s->kind != TILE_STORE)
		return false;
	const struct tile_tensor *t = &e->program->tensor.v[expr_at(e->pool, s->target)->symbol];
	const struct tile_value *v = &e->program->value.v[x->symbol];
	if (!t->panel || t->dtype != v->dtype || (v->dtype != e->program->compute && t->group < 2) || v->nranks < 2)
		return false;
	uint32_t before = v->index[v->nranks - 2], last = v->index[v->nranks - 1];
	if (weaves && t->group < 2)
		return false;
	int inside = t->lanes == t->nranks - 1 ? t->nranks - 2 : t->nranks - 1;
	uint32_t lane = expr_at(e->pool, expr_operand(e->pool, s->target, t->lanes))->symbol;
	uint32_t across = expr_at(e->pool, expr_operand(e->pool, s->target, inside))->symbol;
	return before == (weaves ? across : lane) && last == (weaves ? lane : across) &&
	       !e->range[lane]->single && e->range[lane]->align % e->lanes == 0 && t->panel % e->lanes == 0 &&
	       !e->range[across]->single;
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
	if (s->kind == TILE_MAP && transposes(e, s, &shape, false)) {
		shape.shape = SHAPE_TRANSPOSE;
		shape.nouter -= 2;
		shape.inner = shape.outer[shape.nouter];
		shape.lane = shape.outer[shape.nouter + 1];
		return shape;
	}
	bool weaves = s->kind == TILE_STORE && transposes(e, s, &shape, true);
	if (weaves || (s->kind == TILE_STORE && transposes(e, s, &shape, false))) {
		const struct expr_node *target = expr_at(e->pool, s->target);
		const struct tile_tensor *t = &e->program->tensor.v[target->symbol];
		shape.shape = weaves ? SHAPE_WEAVE : SHAPE_TRANSPOSE;
		shape.lane = expr_at(e->pool, expr_operand(e->pool, s->target, t->lanes))->symbol;
		drop(&shape, shape.lane);
		shape.inner = shape.outer[shape.nouter - 1];
		drop(&shape, shape.inner);
		return shape;
	}
	if (s->kind == TILE_STORE && shape.nouter) {
		const struct expr_node *target = expr_at(e->pool, s->target);
		const struct tile_tensor *t = &e->program->tensor.v[target->symbol];
		uint32_t lane = t->panel
		                        ? expr_at(e->pool, expr_operand(e->pool, s->target, t->lanes))->symbol
		                        : last;
		if (!e->range[lane]->single && vectorises(e, s, lane)) {
			shape.shape = SHAPE_LANES;
			shape.lane = lane;
			drop(&shape, lane);
		}
		return shape;
	}
	if (shape.nouter && vectorises(e, s, last)) {
		shape.shape = SHAPE_LANES;
		shape.lane = last;
		shape.nouter--;
	}
	return shape;
}

static bool reads(const struct emitter *e, const struct tile_statement *s, uint32_t value)
{
	return expr_mentions(e->pool, s->expression, OP_VALUE, value);
}

bool group_allows(const struct emitter *e, const struct tile_statement *const *group, int count,
                  const struct tile_statement *s)
{
	bool folds = s->kind == TILE_REDUCE;
	for (int i = 0; i < count; i++) {
		const struct tile_statement *before = group[i];
		if (before->kind == TILE_REDUCE &&
		    (reads(e, s, before->value) || (s->kind != TILE_STORE && s->value == before->value)))
			return false;
		if (folds && reads(e, before, s->value))
			return false;
	}
	return true;
}

static bool same_outer(const struct shape_of *x, const struct shape_of *y, int n)
{
	return !memcmp(x->outer, y->outer, (size_t)n * sizeof *x->outer);
}

/* Is a map over the loops of a column: its outer ones, the inner, the lanes? */
static bool along_column(const struct shape_of *map, const struct shape_of *column)
{
	return map->shape == SHAPE_LANES && column->shape == SHAPE_COLUMN && map->lane == column->lane &&
	       map->nouter == column->nouter + 1 && map->outer[column->nouter] == column->inner &&
	       same_outer(map, column, column->nouter);
}

static bool has_reduction(const struct group *g)
{
	for (int i = 0; i < g->count; i++)
		if (g->statement[i]->kind == TILE_REDUCE)
			return true;
	return false;
}

/* May a statement of this shape follow the group inside its loops? These become those of a column where maps are
 * reduced along a loop around their lanes. */
static bool joins(const struct emitter *e, struct group *g, const struct tile_statement *s,
                  const struct shape_of *shape)
{
	const struct shape_of *own = &g->shape;
	bool same = shape->shape == own->shape && shape->lane == own->lane && shape->nouter == own->nouter &&
	            same_outer(shape, own, shape->nouter) &&
	            (shape->shape <= SHAPE_LANES || (shape->shape == SHAPE_COLUMN && shape->inner == own->inner));
	bool follows = s->kind != TILE_REDUCE && along_column(shape, own),
	     turns = !has_reduction(g) && along_column(own, shape);
	if ((!same && !follows && !turns) || !group_allows(e, g->statement, g->count, s))
		return false;
	if (turns)
		g->shape = *shape;
	return true;
}

void group_take(const struct emitter *e, const struct tile_statement *s, uint32_t n, struct group *g)
{
	g->count = 0;
	for (uint32_t i = 0; i < n && g->count < MAX_GROUP; i++) {
		if (s[i].kind != TILE_MAP && s[i].kind != TILE_REDUCE && s[i].kind != TILE_LOAD &&
		    s[i].kind != TILE_STORE)
			break;
		struct shape_of shape = shape_of(e, &s[i]);
		if (!g->count)
			g->shape = shape;
		else if (!joins(e, g, &s[i], &shape))
			break;
		g->statement[g->count++] = &s[i];
	}
}
