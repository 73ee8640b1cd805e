/* tile_check.c: proves of a tile program what tile.h says of every tile program, one statement at a time and
 * without data: what is known of each index is an upper bound of its range's length, whether it is single,
 * and a divisor of its range's low end. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/whole.h"
#include "dsl/dtype.h"
#include "codegen/tile.h"

struct state {
	int64_t most; /* coordinates */
	bool single, pinned; /* pinned: a condition has fixed its low end to one number */
	bool part; /* not its whole extent */
	int64_t divisor; /* of LOW; 0: LOW is 0 */
};

struct check {
	const struct tile_program *p;
	struct text *reason;
	const struct tile_phase *phase;
	struct state *state; /* one an index */
	bool *hand;          /* one an index: the statement has a coordinate for it */
	bool *live;          /* one a value */
	VEC(uint32_t) defined; /* live ones, in order */
	bool *stored;        /* one a tensor: in an earlier phase */
	bool *stores, *reads; /* in this phase */
	struct arena *arena;
};

__attribute__((format(printf, 3, 4))) static bool fail(struct check *c, const struct tile_statement *s,
                                                       const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	if (c->phase)
		text_printf(c->reason, "phase %s: ", c->phase->name);
	text_add(c->reason, arena_vprintf(c->reason->arena, format, ap));
	va_end(ap);
	if (s) {
		text_add(c->reason, ": ");
		tile_statement_print(c->p, s, c->reason);
	}
	return false;
}

static const char *index_name(const struct check *c, uint32_t i)
{
	return c->p->index.v[i].name;
}

/* A number that divides the expression's value; 0 when the value is 0. */
static int64_t divisor(const struct check *c, struct expr e)
{
	const struct expr_pool *p = c->p->pool;
	const struct expr_node *n = expr_at(p, e);
	int64_t x, y;
	double by;
	switch (n->op) {
	case OP_CONST:
		return n->kind == KIND_INT && n->number > -1e15 && n->number < 1e15 ? gcd((int64_t)n->number, 0) : 1;
	case OP_LOW:
	case OP_INDEX: return c->state[n->symbol].divisor;
	case OP_NEG: return divisor(c, expr_operand(p, e, 0));
	case OP_ADD:
	case OP_SUB:
	case OP_MIN:
	case OP_MAX: return gcd(divisor(c, expr_operand(p, e, 0)), divisor(c, expr_operand(p, e, 1)));
	case OP_SELECT: return gcd(divisor(c, expr_operand(p, e, 1)), divisor(c, expr_operand(p, e, 2)));
	case OP_MUL:
		x = divisor(c, expr_operand(p, e, 0));
		y = divisor(c, expr_operand(p, e, 1));
		return __builtin_mul_overflow(x, y, &x) ? 1 : x;
	case OP_IDIV:
		x = divisor(c, expr_operand(p, e, 0));
		if (!expr_is_number(p, expr_operand(p, e, 1), &by) || by < 1)
			return 1;
		return x % (int64_t)by == 0 ? x / (int64_t)by : 1;
	default: return 1;
	}
}

/* ---- expressions ---- */

enum allow { ALLOW_READ = 1, ALLOW_VALUE = 2 };

static bool at_hand(const struct check *c, uint32_t index)
{
	return c->hand[index] || c->state[index].single;
}

static bool check_read(struct check *c, const struct tile_statement *s, uint32_t tensor)
{
	const struct tile_tensor *t = &c->p->tensor.v[tensor];
	if (c->stores[tensor])
		return fail(c, s, "%s is read in the phase that stores it", t->name);
	if ((t->place == PLACE_WORK || t->role == ROLE_OUT) && !c->stored[tensor])
		return fail(c, s, "%s is read before a phase has stored it", t->name);
	c->reads[tensor] = true;
	return true;
}

static bool check_value(struct check *c, const struct tile_statement *s, uint32_t value)
{
	const struct tile_value *v = &c->p->value.v[value];
	if (!c->live[value])
		return fail(c, s, "%s is used before it is assigned", v->name);
	for (int k = 0; k < v->nranks; k++)
		if (!at_hand(c, v->index[k]))
			return fail(c, s, "%s has rank %s, which has no coordinate here", v->name,
			            index_name(c, v->index[k]));
	return true;
}

static bool check_node(struct check *c, const struct tile_statement *s, struct expr e, unsigned allow)
{
	const struct tile_program *p = c->p;
	const struct expr_node *n = expr_at(p->pool, e);
	switch (n->op) {
	case OP_INDEX:
	case OP_LOW:
	case OP_HIGH:
		if (n->symbol >= p->index.n)
			return fail(c, s, "there is no index %u", n->symbol);
		if (n->op == OP_INDEX && !at_hand(c, n->symbol))
			return fail(c, s, "index %s has no coordinate here", index_name(c, n->symbol));
		return true;
	case OP_VALUE:
		if (n->symbol >= p->value.n)
			return fail(c, s, "there is no value %u", n->symbol);
		if (!(allow & ALLOW_VALUE))
			return fail(c, s, "a %s reads tensors, not the value %s", s->kind == TILE_SELECT ? "selection" : "load",
			            p->value.v[n->symbol].name);
		return check_value(c, s, n->symbol);
	case OP_READ:
		if (n->symbol >= p->tensor.n || n->count != p->tensor.v[n->symbol].nranks)
			return fail(c, s, "a read of no tensor, or with other than its ranks");
		if (!(allow & ALLOW_READ))
			return fail(c, s, "%s is read outside load, select and contract", p->tensor.v[n->symbol].name);
		if (p->tensor.v[n->symbol].group > 1)
			return fail(c, s, "%s is in groups, which contractions read", p->tensor.v[n->symbol].name);
		return check_read(c, s, n->symbol);
	case OP_NONE:
	case OP_EXTENT:
	case OP_ELSE:
	case OP_OLD: return fail(c, s, "'%s' has no meaning in a tile program",
		                         n->op == OP_ELSE ? "else" : n->op == OP_OLD ? "old" : "an extent");
	default: return true;
	}
}

static bool check_expression(struct check *c, const struct tile_statement *s, struct expr e, unsigned allow)
{
	struct expr *list;
	if (!e.id)
		return fail(c, s, "an expression is missing");
	uint32_t n = expr_nodes(c->p->pool, e, &list);
	for (uint32_t i = 0; i < n; i++)
		if (!check_node(c, s, list[i], allow))
			return false;
	return true;
}

static void take_hand(struct check *c, int n, const uint32_t *index)
{
	memset(c->hand, 0, c->p->index.n * sizeof *c->hand);
	for (int k = 0; k < n; k++)
		c->hand[index[k]] = true;
}

/* Bounds and conditions: values without ranks, single indices. */
static bool check_scalar(struct check *c, const struct tile_statement *s, struct expr e)
{
	struct expr *list;
	take_hand(c, 0, NULL);
	if (!check_expression(c, s, e, ALLOW_VALUE))
		return false;
	uint32_t n = expr_nodes(c->p->pool, e, &list);
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *node = expr_at(c->p->pool, list[i]);
		if (node->op == OP_VALUE && c->p->value.v[node->symbol].nranks)
			return fail(c, s, "%s has ranks and stands in a bound or condition",
			            c->p->value.v[node->symbol].name);
	}
	return true;
}

static bool check_kind(struct check *c, const struct tile_statement *s, enum dtype t, struct expr e)
{
	return !dtype_info[t].integer || expr_at(c->p->pool, e)->kind != KIND_REAL ||
	       fail(c, s, "a real is assigned to what holds integers");
}

/* ---- statements ---- */

/* The value is assigned: defined, if it is not yet. */
static bool assign(struct check *c, const struct tile_statement *s)
{
	const struct tile_value *v = &c->p->value.v[s->value];
	if (c->live[s->value])
		return true;
	for (int k = 0; k < v->nranks; k++)
		if (v->capacity[k] < c->state[v->index[k]].most)
			return fail(c, s, "%s has room for %lld of rank %s, whose range has up to %lld", v->name,
			            (long long)v->capacity[k], index_name(c, v->index[k]),
			            (long long)c->state[v->index[k]].most);
	c->live[s->value] = true;
	vec_push(c->arena, &c->defined, s->value);
	return true;
}

static bool has_rank(const struct tile_value *v, uint32_t index)
{
	for (int k = 0; k < v->nranks; k++)
		if (v->index[k] == index)
			return true;
	return false;
}

static bool check_reduce(struct check *c, const struct tile_statement *s)
{
	const struct tile_value *v = &c->p->value.v[s->value];
	if (s->index >= c->p->index.n || s->reduce <= REDUCE_NONE || s->reduce >= REDUCTIONS)
		return fail(c, s, "no such index or reduction");
	if (s->reduce == REDUCE_MEAN || s->reduce == REDUCE_ARGMAX)
		return fail(c, s, "%s is no fold", reduction_info[s->reduce].spelling);
	if (has_rank(v, s->index))
		return fail(c, s, "%s keeps rank %s, which is reduced", v->name, index_name(c, s->index));
	take_hand(c, v->nranks, v->index);
	c->hand[s->index] = true;
	return check_expression(c, s, s->expression, ALLOW_VALUE) && check_kind(c, s, v->dtype, s->expression) &&
	       assign(c, s);
}

/* The tensor in groups that a contraction's b is, or NULL. */
static const struct tile_tensor *grouped(const struct check *c, const struct tile_statement *s)
{
	const struct expr_node *n = expr_at(c->p->pool, s->b);
	return n->op == OP_READ && n->symbol < c->p->tensor.n && c->p->tensor.v[n->symbol].group > 1
	               ? &c->p->tensor.v[n->symbol]
	               : NULL;
}

/* A tile of a contraction: its last rank, another one (unless UINT32_MAX), the rest single. */
static bool check_tile(struct check *c, const struct tile_statement *s, uint32_t value, uint32_t other,
                       uint32_t last)
{
	const struct tile_value *v = &c->p->value.v[value];
	const struct tile_tensor *groups = last == s->index ? grouped(c, s) : NULL;
	enum dtype wanted = groups                       ? groups->dtype
	                    : last == s->index && tile_stands(c->p, s) ? operand_dtype(s->operand, c->p->compute)
	                    : s->operand == OPERAND_I8 ? DTYPE_I32
	                                               : c->p->compute;
	if (groups && v->dtype != wanted)
		return fail(c, s, "%s is %s, where elements of %s are %s in groups of %d", v->name,
		            dtype_info[v->dtype].spelling, groups->name, dtype_info[wanted].spelling, groups->group);
	if (v->dtype != wanted)
		return fail(c, s, "%s is %s, where %s in %s", v->name, dtype_info[v->dtype].spelling,
		            s->operand == OPERAND_I8 ? "a contraction as i8 is" : "computation is", dtype_info[wanted].spelling);
	if (!v->nranks || v->index[v->nranks - 1] != last)
		return fail(c, s, "the last rank of %s is not %s", v->name, index_name(c, last));
	if (other != UINT32_MAX && !has_rank(v, other))
		return fail(c, s, "%s does not have rank %s", v->name, index_name(c, other));
	for (int k = 0; k < v->nranks; k++)
		if (v->index[k] != last && v->index[k] != other && !c->state[v->index[k]].single)
			return fail(c, s, "%s has rank %s, which is neither contracted nor kept nor single", v->name,
			            index_name(c, v->index[k]));
	return true;
}

static bool is_index(const struct check *c, struct expr e, uint32_t index)
{
	const struct expr_node *n = expr_at(c->p->pool, e);
	return n->op == OP_INDEX && n->symbol == index;
}

static bool check_panel(struct check *c, const struct tile_statement *s, uint32_t tensor, uint32_t index)
{
	const struct tile_tensor *t = &c->p->tensor.v[tensor];
	int64_t d = c->state[index].divisor;
	return !t->panel || d % t->panel == 0 ||
	       fail(c, s, "the range of %s may begin inside a panel of %lld of %s", index_name(c, index),
	            (long long)t->panel, t->name);
}

/* The range of the rank that a tensor has in groups begins with one. */
static bool check_group(struct check *c, const struct tile_statement *s, const struct tile_tensor *t, uint32_t index)
{
	return t->group < 2 || c->state[index].divisor % t->group == 0 ||
	       fail(c, s, "the range of %s may begin inside a group of %d of %s", index_name(c, index), t->group, t->name);
}

/* Operand a out of a tensor. */
static bool check_far(struct check *c, const struct tile_statement *s)
{
	const struct tile_program *p = c->p;
	const struct expr_node *n = expr_at(p->pool, s->a);
	const struct tile_tensor *t = n->symbol < p->tensor.n ? &p->tensor.v[n->symbol] : NULL;
	if (!t || n->count != t->nranks || t->nranks < 2 || s->rows == UINT32_MAX)
		return fail(c, s, "operand a is no value, and no tensor of rows and two ranks or more");
	if (s->operand != OPERAND_COMPUTE || t->dtype != p->compute || t->panel)
		return fail(c, s, "operand a is a tensor, %s, and is not multiplied as it stands",
		            t->panel ? "in panels" : dtype_info[t->dtype].spelling);
	int rows = t->nranks - 2 + is_index(c, expr_operand(p->pool, s->a, t->nranks - 1), s->rows),
	    other = 2 * t->nranks - 3 - rows;
	if (!is_index(c, expr_operand(p->pool, s->a, rows), s->rows) ||
	    !is_index(c, expr_operand(p->pool, s->a, other), s->index))
		return fail(c, s, "%s is not read at its rows %s and contracted rank %s last", t->name,
		            index_name(c, s->rows), index_name(c, s->index));
	if (p->index.v[s->rows].extent > t->extent[rows] || p->index.v[s->index].extent > t->extent[other])
		return fail(c, s, "the contraction runs past the extents of %s", t->name);
	take_hand(c, 0, NULL);
	for (int k = 0; k < n->count - 2; k++)
		if (!check_expression(c, s, expr_operand(p->pool, s->a, k), 0))
			return false;
	return check_read(c, s, n->symbol);
}

/* Operand a: a value with the contracted rank or the rows last, or a tensor. */
static bool check_a(struct check *c, const struct tile_statement *s)
{
	const struct expr_node a = *expr_at(c->p->pool, s->a);
	bool rows = s->rows != UINT32_MAX;
	uint32_t coordinates[3] = {s->index, s->lanes, s->rows};
	if (a.op == OP_READ)
		return check_far(c, s);
	if (a.op != OP_VALUE || a.symbol >= c->p->value.n)
		return fail(c, s, "operand a is neither a value nor a tensor");
	const struct tile_value *v = &c->p->value.v[a.symbol];
	bool turned = rows && v->nranks && v->index[v->nranks - 1] == s->rows;
	take_hand(c, rows ? 3 : 2, coordinates);
	if (!check_value(c, s, a.symbol) ||
	    !(turned ? check_tile(c, s, a.symbol, s->index, s->rows) : check_tile(c, s, a.symbol, s->rows, s->index)))
		return false;
	return !has_rank(v, s->lanes) || fail(c, s, "operand a has the lanes");
}

/* What the sum so far is multiplied by: over rows, or over lanes. */
static bool check_scale(struct check *c, const struct tile_statement *s)
{
	struct expr *node;
	bool rows = false, lanes = false;
	uint32_t coordinates[2] = {s->lanes, s->rows};
	take_hand(c, s->rows != UINT32_MAX ? 2 : 1, coordinates);
	if (!check_expression(c, s, s->scale, ALLOW_VALUE))
		return false;
	uint32_t n = expr_nodes(c->p->pool, s->scale, &node);
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *x = expr_at(c->p->pool, node[i]);
		const struct tile_value *v = x->op == OP_VALUE ? &c->p->value.v[x->symbol] : NULL;
		rows |= (x->op == OP_INDEX && x->symbol == s->rows) || (v && has_rank(v, s->rows));
		lanes |= (x->op == OP_INDEX && x->symbol == s->lanes) || (v && has_rank(v, s->lanes));
	}
	return !(rows && lanes) || fail(c, s, "the scale is over rows and over lanes");
}

/* How far a coordinate goes along an index: index, or index % n where the range lies in a block of n. -1: neither. */
static int64_t along(const struct check *c, struct expr e, uint32_t index)
{
	const struct expr_pool *p = c->p->pool;
	double n;
	if (expr_at(p, e)->op != OP_MOD || !is_index(c, expr_operand(p, e, 0), index) ||
	    !expr_is_number(p, expr_operand(p, e, 1), &n) || n < 1)
		return is_index(c, e, index) ? c->p->index.v[index].extent : -1;
	return c->state[index].most <= gcd(c->state[index].divisor, (int64_t)n) ? (int64_t)n : -1;
}

/* The one of a READ's coordinates that goes along an index; -1: none, or several do. */
static int place_of(const struct check *c, struct expr read, uint32_t index)
{
	int at = -1, count = expr_at(c->p->pool, read)->count;
	for (int k = 0; k < count; k++)
		if (along(c, expr_operand(c->p->pool, read, k), index) >= 0)
			at = at < 0 ? k : count;
	return at < count ? at : -1;
}

/* Operand b out of a tensor. */
static bool check_operand(struct check *c, const struct tile_statement *s)
{
	const struct tile_program *p = c->p;
	const struct expr_node *n = expr_at(p->pool, s->b);
	const struct tile_tensor *t = n->symbol < p->tensor.n ? &p->tensor.v[n->symbol] : NULL;
	if (!t || n->count != t->nranks || t->nranks < 2)
		return fail(c, s, "operand b is no tensor of two ranks or more");
	enum dtype wanted = operand_dtype(s->operand, c->p->compute);
	if (s->operand == OPERAND_COMPUTE ? !dtype_widens(t->dtype, wanted) : t->dtype != wanted && !tile_stands(c->p, s))
		return fail(c, s, "%s is %s, where %s in %s", t->name, dtype_info[t->dtype].spelling,
		            s->operand == OPERAND_COMPUTE ? "computation is" : "the operands are multiplied",
		            dtype_info[wanted].spelling);
	int lanes = t->panel ? t->lanes : place_of(c, s->b, s->lanes);
	int other = t->panel ? 2 * t->nranks - 3 - lanes : place_of(c, s->b, s->index);
	if (lanes < 0 || other < 0 || (lanes != t->nranks - 1 && other != t->nranks - 1) ||
	    (t->panel && (!is_index(c, expr_operand(p->pool, s->b, lanes), s->lanes) ||
	                  !is_index(c, expr_operand(p->pool, s->b, other), s->index))))
		return fail(c, s, "%s is not read at its lanes %s and contracted rank %s in their places", t->name,
		            index_name(c, s->lanes), index_name(c, s->index));
	if (along(c, expr_operand(p->pool, s->b, lanes), s->lanes) > t->extent[lanes] ||
	    along(c, expr_operand(p->pool, s->b, other), s->index) > t->extent[other])
		return fail(c, s, "the contraction runs past the extents of %s", t->name);
	if (t->group > 1 && t->dtype != operand_dtype(s->operand, c->p->compute))
		return fail(c, s, "%s is in groups, which are multiplied in their own type only", t->name);
	if (!check_group(c, s, t, s->index))
		return false;
	if (t->panel && t->panel % s->block_lanes)
		return fail(c, s, "a panel of %lld is not cut into %d vectors", (long long)t->panel, s->block_lanes);
	take_hand(c, 0, NULL);
	for (int k = 0; k < n->count; k++)
		if (k != lanes && k != other && !check_expression(c, s, expr_operand(p->pool, s->b, k), ALLOW_VALUE))
			return false;
	return check_read(c, s, n->symbol) && check_panel(c, s, n->symbol, s->lanes);
}

static bool check_contract(struct check *c, const struct tile_statement *s)
{
	const struct tile_program *p = c->p;
	bool rows = s->rows != UINT32_MAX;
	if (s->index >= p->index.n || s->lanes >= p->index.n || (rows && s->rows >= p->index.n))
		return fail(c, s, "no such index");
	if (s->index == s->lanes || s->index == s->rows || s->lanes == s->rows)
		return fail(c, s, "rows, lanes and contracted rank are not distinct");
	if (!s->block_rows || !s->block_lanes || (!rows && s->block_rows != 1))
		return fail(c, s, "an empty register block, or one of rows without rows");
	if (s->operand >= OPERANDS || (s->operand != OPERAND_COMPUTE && p->compute != DTYPE_F32))
		return fail(c, s, "operands of another type where computation is in %s", dtype_info[p->compute].spelling);
	if (s->operand == OPERAND_I8 && s->accumulate && s->scale.id &&
	    expr_at(p->pool, s->scale)->kind == KIND_REAL)
		return fail(c, s, "a contraction as i8 is scaled by a real");
	const struct expr_node a = *expr_at(p->pool, s->a), b = *expr_at(p->pool, s->b);
	if (!check_a(c, s))
		return false;
	uint32_t coordinates[3] = {s->index, s->lanes, s->rows};
	take_hand(c, rows ? 3 : 2, coordinates);
	if (b.op == OP_VALUE && b.symbol < p->value.n) {
		const struct tile_value *v = &p->value.v[b.symbol];
		bool turned = v->nranks && v->index[v->nranks - 1] == s->index;
		if (!check_value(c, s, b.symbol) ||
		    !check_tile(c, s, b.symbol, turned ? s->lanes : s->index, turned ? s->index : s->lanes))
			return false;
	} else if (b.op != OP_READ) {
		return fail(c, s, "operand b is neither a value nor a tensor");
	} else if (!check_operand(c, s)) {
		return false;
	}
	if ((a.op == OP_VALUE && a.symbol == s->value) || (b.op == OP_VALUE && b.symbol == s->value))
		return fail(c, s, "%s is an operand of its own contraction", p->value.v[s->value].name);
	if (!check_tile(c, s, s->value, s->rows, s->lanes))
		return false;
	if (s->accumulate && !c->live[s->value])
		return fail(c, s, "%s is accumulated before it is assigned", p->value.v[s->value].name);
	if (s->accumulate && s->scale.id && !check_scale(c, s))
		return false;
	return assign(c, s);
}

/* What is stored, and at which indices; they are at hand then. */
static bool check_target(struct check *c, const struct tile_statement *s, uint32_t *index)
{
	const struct tile_program *p = c->p;
	const struct expr_node *n = s->target.id ? expr_at(p->pool, s->target) : NULL;
	if (!n || n->op != OP_READ || n->symbol >= p->tensor.n || n->count != p->tensor.v[n->symbol].nranks)
		return fail(c, s, "the target of a store is no tensor with its ranks");
	const struct tile_tensor *t = &p->tensor.v[n->symbol];
	if (t->place == PLACE_ARGUMENT && t->role == ROLE_IN)
		return fail(c, s, "%s is an input", t->name);
	for (int k = 0; k < n->count; k++) {
		const struct expr_node *x = expr_at(p->pool, expr_operand(p->pool, s->target, k));
		if (x->op != OP_INDEX || x->symbol >= p->index.n)
			return fail(c, s, "coordinate %d of the target is not an index variable", k);
		index[k] = x->symbol;
		for (int m = 0; m < k; m++)
			if (index[m] == index[k])
				return fail(c, s, "index %s is twice in the target", index_name(c, index[k]));
		if (p->index.v[index[k]].extent > t->extent[k])
			return fail(c, s, "index %s runs past the extent of %s", index_name(c, index[k]), t->name);
	}
	if (t->panel && (!check_panel(c, s, n->symbol, index[t->lanes]) ||
	                 !check_group(c, s, t, index[2 * t->nranks - 3 - t->lanes])))
		return false;
	take_hand(c, n->count, index);
	for (uint32_t k = 0; k < c->phase->task.n; k++) {
		const struct tile_task *task = &c->phase->task.v[k];
		if (!c->hand[task->index] && !c->state[task->index].pinned &&
		    p->index.v[task->index].extent > task->step)
			return fail(c, s, "tasks along %s store to the same elements", index_name(c, task->index));
	}
	if (c->reads[n->symbol])
		return fail(c, s, "%s is stored in the phase that reads it", t->name);
	c->stores[n->symbol] = true;
	return true;
}

static bool check_store(struct check *c, const struct tile_statement *s)
{
	uint32_t index[MAX_RANKS];
	return check_target(c, s, index) && check_expression(c, s, s->expression, ALLOW_VALUE);
}

static bool check_select(struct check *c, const struct tile_statement *s)
{
	const struct tile_program *p = c->p;
	uint32_t index[MAX_RANKS];
	if (s->select <= SELECT_NONE || s->select >= SELECTIONS || s->index >= p->index.n ||
	    (s->select == SELECT_MEMBERS && s->slot >= p->index.n))
		return fail(c, s, "no such selection or index");
	uint32_t place = s->select == SELECT_MEMBERS ? s->slot : s->index;
	if (c->state[s->index].part || c->state[place].part)
		return fail(c, s, "a selection has part of its fiber, or of its slots, in hand");
	if (!isfinite(s->argument) || (s->select == SELECT_TOPK && s->argument != floor(s->argument)))
		return fail(c, s, "the argument is no number, or of top-k no whole one");
	if (!check_target(c, s, index))
		return false;
	const struct tile_tensor *t = &p->tensor.v[expr_at(p->pool, s->target)->symbol];
	if (t->panel)
		return fail(c, s, "a selection is stored in panels of %s", t->name);
	int k = 0;
	while (k < t->nranks && index[k] != place)
		k++;
	if (k == t->nranks)
		return fail(c, s, "%s has no coordinate %s", t->name, index_name(c, place));
	if (p->index.v[place].extent != t->extent[k])
		return fail(c, s, "a selection stores a whole fiber, and %s has more than %s has", t->name,
		            index_name(c, place));
	index[k] = s->index;
	for (int m = 0; m < t->nranks; m++)
		if (m != k && index[m] == s->index)
			return fail(c, s, "%s keeps %s, which is counted", t->name, index_name(c, s->index));
	take_hand(c, t->nranks, index);
	return check_expression(c, s, s->expression, ALLOW_READ) &&
	       (!s->present.id || check_expression(c, s, s->present, ALLOW_READ));
}

/* low(i) == number, in a conjunction, leaves one task along i. */
static void pin(struct check *c, struct expr e)
{
	const struct expr_pool *p = c->p->pool;
	const struct expr_node *n = expr_at(p, e);
	double number;
	if (n->op == OP_AND) {
		pin(c, expr_operand(p, e, 0));
		pin(c, expr_operand(p, e, 1));
	} else if (n->op == OP_EQ) {
		const struct expr_node *low = expr_at(p, expr_operand(p, e, 0));
		if (low->op == OP_LOW && expr_is_number(p, expr_operand(p, e, 1), &number))
			c->state[low->symbol].pinned = true;
	}
}

static bool check_block(struct check *, const struct tile_block *);

static bool check_if(struct check *c, const struct tile_statement *s)
{
	if (!check_scalar(c, s, s->expression))
		return false;
	struct state *before = arena_copy(c->arena, c->state, c->p->index.n * sizeof *c->state), *now = c->state;
	c->state = before;
	pin(c, s->expression);
	bool good = check_block(c, &s->body);
	c->state = now;
	return good && check_block(c, &s->other);
}

static bool check_range(struct check *c, const struct tile_statement *s)
{
	return s->index >= c->p->index.n ? fail(c, s, "no such index")
	       : s->step < 1             ? fail(c, s, "a step below 1")
	                                 : check_scalar(c, s, s->low) && check_scalar(c, s, s->high);
}

static bool check_for(struct check *c, const struct tile_statement *s)
{
	if (!check_range(c, s))
		return false;
	struct state *now = &c->state[s->index], outer = *now;
	now->divisor = gcd(s->step, gcd(divisor(c, s->low), outer.divisor));
	now->single |= s->step == 1;
	now->part = true;
	if (s->step < now->most)
		now->most = s->step;
	bool good = check_block(c, &s->body);
	c->state[s->index] = outer;
	return good;
}

static bool check_statement(struct check *c, const struct tile_statement *s)
{
	switch (s->kind) {
	case TILE_FOR: return check_for(c, s);
	case TILE_IF: return check_if(c, s);
	case TILE_STORE: return check_store(c, s);
	case TILE_SELECT: return check_select(c, s);
	case TILE_NARROW:
		if (!check_range(c, s))
			return false;
		c->state[s->index].part = true;
		c->state[s->index].divisor = gcd(c->state[s->index].divisor, tile_keeps_low(c->p->pool, s) ? 0 : s->step);
		return true;
	default: break;
	}
	if (s->value >= c->p->value.n)
		return fail(c, NULL, "there is no value %u", s->value);
	const struct tile_value *v = &c->p->value.v[s->value];
	if (s->kind == TILE_REDUCE)
		return check_reduce(c, s);
	if (s->kind == TILE_CONTRACT)
		return check_contract(c, s);
	take_hand(c, v->nranks, v->index);
	return check_expression(c, s, s->expression, s->kind == TILE_LOAD ? ALLOW_READ : ALLOW_VALUE) &&
	       check_kind(c, s, v->dtype, s->expression) && assign(c, s);
}

static bool check_block(struct check *c, const struct tile_block *b)
{
	uint32_t mark = c->defined.n;
	struct state *before = arena_copy(c->arena, c->state, c->p->index.n * sizeof *c->state);
	bool good = true;
	for (uint32_t i = 0; i < b->statement.n && good; i++)
		good = check_statement(c, &b->statement.v[i]);
	memcpy(c->state, before, c->p->index.n * sizeof *c->state);
	while (c->defined.n > mark)
		c->live[c->defined.v[--c->defined.n]] = false;
	return good;
}

/* The order of a task's steps: see tile.h. */
static bool check_order(struct check *c, const struct tile_phase *f, const struct tile_task *t)
{
	const struct tile_program *p = c->p;
	const struct expr_node *n = expr_at(p->pool, t->order);
	const struct tile_tensor *from = n->op == OP_READ && n->symbol < p->tensor.n ? &p->tensor.v[n->symbol] : NULL;
	if (!from || !n->count || n->count != from->nranks || from->place != PLACE_WORK ||
	    !dtype_info[from->dtype].integer || !c->stored[n->symbol])
		return fail(c, NULL, "the order of %s is no integer tensor that a phase before has stored",
		            index_name(c, t->index));
	for (int i = 0; i < n->count; i++) {
		const struct expr_node *x = expr_at(p->pool, expr_operand(p->pool, t->order, i));
		bool task = false;
		for (uint32_t k = 0; k < f->task.n && x->op == OP_INDEX; k++)
			task |= f->task.v[k].index == x->symbol && (f->task.v[k].step == 1 || c->state[x->symbol].most <= 1);
		if (x->op != OP_INDEX || x->symbol >= p->index.n || x->symbol == t->index || task != (i < n->count - 1))
			return fail(c, NULL, "the order of %s is not read at tasks of single coordinates and a turn",
			            index_name(c, t->index));
	}
	int64_t turns = (p->index.v[t->index].extent + t->step - 1) / t->step;
	if (from->extent[n->count - 1] < turns)
		return fail(c, NULL, "%s has no order for all %lld steps of %s", from->name, (long long)turns,
		            index_name(c, t->index));
	c->reads[n->symbol] = true;
	return true;
}

static bool check_phase(struct check *c, const struct tile_phase *f)
{
	const struct tile_program *p = c->p;
	c->phase = f;
	for (uint32_t i = 0; i < p->index.n; i++)
		c->state[i] = (struct state){.most = p->index.v[i].extent, .single = p->index.v[i].extent <= 1};
	memset(c->stores, 0, p->tensor.n * sizeof *c->stores);
	memset(c->reads, 0, p->tensor.n * sizeof *c->reads);
	memset(c->hand, 0, p->index.n * sizeof *c->hand);
	if (f->task.n > MAX_TASKS)
		return fail(c, NULL, "more than %d task indices", MAX_TASKS);
	for (uint32_t k = 0; k < f->task.n; k++) {
		const struct tile_task *t = &f->task.v[k];
		if (t->index >= p->index.n || t->step < 1)
			return fail(c, NULL, "a task of no index, or with a step below 1");
		if (c->hand[t->index])
			return fail(c, NULL, "%s is a task index twice", index_name(c, t->index));
		c->hand[t->index] = true;
		struct state *s = &c->state[t->index];
		if (t->step < s->most)
			*s = (struct state){.most = t->step, .single = t->step == 1, .part = true, .divisor = t->step};
	}
	for (uint32_t k = 0; k < f->task.n; k++)
		if (f->task.v[k].order.id && !check_order(c, f, &f->task.v[k]))
			return false;
	if (!check_block(c, &f->body))
		return false;
	for (uint32_t i = 0; i < p->tensor.n; i++)
		c->stored[i] |= c->stores[i];
	return true;
}

bool tile_check(const struct tile_program *p, struct text *reason)
{
	struct check c = {.p = p, .reason = reason, .arena = reason->arena};
	c.state = arena_new_array(c.arena, p->index.n, struct state);
	c.hand = arena_new_array(c.arena, p->index.n, bool);
	c.live = arena_new_array(c.arena, p->value.n, bool);
	c.stored = arena_new_array(c.arena, p->tensor.n, bool);
	c.stores = arena_new_array(c.arena, p->tensor.n, bool);
	c.reads = arena_new_array(c.arena, p->tensor.n, bool);
	if (!tile_check_declarations(p, reason))
		return false;
	for (uint32_t i = 0; i < p->phase.n; i++)
		if (!check_phase(&c, &p->phase.v[i]))
			return false;
	return true;
}
