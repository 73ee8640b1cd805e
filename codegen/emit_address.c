/* Where elements lie: coordinates, tile values in scratch, tensors by strides or in panels. */
#include "codegen/emit.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/whole.h"

const char *nest_coordinate(const struct nest *n, uint32_t index)
{
	if (index == n->lane)
		return n->at;
	for (int i = 0; i < n->nloops; i++)
		if (n->loop[i] == index)
			return n->e->index_name[index];
	return n->e->range[index]->low;
}

/* "(n - n_low)": where a coordinate lies from the base. */
static const char *from_base(struct emitter *e, const char *at, const char *base)
{
	if (!strcmp(at, base))
		return "0";
	return strcmp(base, "0") ? arena_printf(e->arena, "(%s - %s)", at, base) : at;
}

const char *nest_element(const struct nest *n, uint32_t value)
{
	struct emitter *e = n->e;
	const struct tile_value *v = &e->program->value.v[value];
	const char *sum = "";
	for (int r = 0; r < v->nranks; r++) {
		const char *at = nest_coordinate(n, v->index[r]);
		sum = emit_sum(e, sum, from_base(e, at, value_base(e, value, r)->low),
		               e->value[value].stride[r]);
	}
	return *sum ? sum : "0";
}

/* ---- coordinates of a READ ---- */

struct reach {
	double low, high;
};

/* What a whole number comes to over all coordinates; from -inf to inf where nothing is known, as
 * deep in an expression. */
static struct reach reach_of(const struct emitter *e, struct expr x, int depth)
{
	const struct expr_node *node = expr_at(e->pool, x);
	if (node->op == OP_CONST)
		return (struct reach){node->number, node->number};
	if (node->op == OP_INDEX || node->op == OP_LOW)
		return (struct reach){0, (double)e->program->index.v[node->symbol].extent - 1};
	if (node->count != 2 || depth > 8)
		return (struct reach){-HUGE_VAL, HUGE_VAL};
	struct reach a = reach_of(e, expr_operand(e->pool, x, 0), depth + 1),
	             b = reach_of(e, expr_operand(e->pool, x, 1), depth + 1);
	bool by = b.low == b.high && b.low >= 1;
	switch (node->op) {
	case OP_ADD: return (struct reach){a.low + b.low, a.high + b.high};
	case OP_SUB: return (struct reach){a.low - b.high, a.high - b.low};
	case OP_MIN: return (struct reach){fmin(a.low, b.low), fmin(a.high, b.high)};
	case OP_MAX: return (struct reach){fmax(a.low, b.low), fmax(a.high, b.high)};
	case OP_MUL:
		if (by)
			return (struct reach){a.low * b.low, a.high * b.low};
		break;
	case OP_IDIV:
		if (by)
			return (struct reach){floor(a.low / b.low), floor(a.high / b.low)};
		break;
	case OP_MOD:
		if (by)
			return (struct reach){0, b.low - 1};
		break;
	default: break;
	}
	return (struct reach){-HUGE_VAL, HUGE_VAL};
}

bool emit_within(const struct emitter *e, struct expr x, int64_t extent)
{
	struct reach r = reach_of(e, x, 0);
	return expr_at(e->pool, x)->kind == KIND_INT && r.low >= 0 && r.high < (double)extent;
}

bool nest_inside(const struct nest *n, struct expr e)
{
	const struct expr_node *node = expr_at(n->e->pool, e);
	for (int r = 0; r < node->count; r++)
		if (!emit_within(n->e, expr_operand(n->e->pool, e, r), n->e->program->tensor.v[node->symbol].extent[r]))
			return false;
	return true;
}

int emit_lane_step(const struct emitter *e, struct expr x, uint32_t lane)
{
	const struct expr_node *node = expr_at(e->pool, x);
	if (node->op == OP_INDEX)
		return node->symbol == lane;
	if (node->op != OP_ADD && node->op != OP_SUB)
		return 0;
	struct expr a = expr_operand(e->pool, x, 0), b = expr_operand(e->pool, x, 1);
	bool in_a = expr_mentions(e->pool, a, OP_INDEX, lane), in_b = expr_mentions(e->pool, b, OP_INDEX, lane);
	if (in_a == in_b)
		return 0;
	int step = emit_lane_step(e, in_a ? a : b, lane);
	return in_b && node->op == OP_SUB ? -step : step;
}

/* Is a whole number the same in 32 bits? One that is read, as it stands, from elements of no more bits is; of others
 * all that it is made of must be known to be. */
static bool narrow(const struct emitter *e, struct expr x)
{
	const struct expr_node *node = expr_at(e->pool, x);
	if (node->op == OP_READ)
		return dtype_info[e->program->tensor.v[node->symbol].dtype].bits <= 32;
	struct reach r = reach_of(e, x, 0);
	bool fits = r.low >= -INT32_MAX && r.high <= INT32_MAX && node->kind == KIND_INT;
	for (int i = 0; i < node->count && fits; i++)
		fits = narrow(e, expr_operand(e->pool, x, i));
	return fits;
}

bool emit_uniform(const struct emitter *e, struct expr x, uint32_t lane)
{
	const struct expr_node *node = expr_at(e->pool, x);
	double by;
	if (lane == NO_INDEX || node->op != OP_IDIV || !expr_is_number(e->pool, expr_operand(e->pool, x, 1), &by))
		return false;
	const struct expr_node *of = expr_at(e->pool, expr_operand(e->pool, x, 0));
	return of->op == OP_INDEX && of->symbol == lane && by >= e->lanes && fmod(by, e->lanes) == 0 &&
	       e->range[lane]->align % e->lanes == 0;
}

int emit_gathered(const struct emitter *e, struct expr read, uint32_t lane)
{
	const struct expr_node *node = expr_at(e->pool, read);
	const struct tile_tensor *t = &e->program->tensor.v[node->symbol];
	int gathered = -1;
	if (t->panel || t->dtype != DTYPE_F32 || lane == NO_INDEX)
		return -1;
	for (int r = 0; r < t->nranks; r++) {
		struct expr at = expr_operand(e->pool, read, r);
		if (!expr_mentions(e->pool, at, OP_INDEX, lane) || emit_uniform(e, at, lane))
			continue;
		bool straight = emit_lane_step(e, at, lane) && emit_within(e, at, t->extent[r]);
		if (straight || gathered >= 0 || t->extent[r] > INT32_MAX || !narrow(e, at))
			return -1;
		gathered = r;
	}
	return gathered;
}

/* A coordinate that steps along the lanes, or that they share, at the vector's first lane. */
static const char *first_lane(struct nest *n, struct expr x)
{
	const struct expr_node *node = expr_at(n->e->pool, x);
	if (!expr_mentions(n->e->pool, x, OP_INDEX, n->lane))
		return nest_text(n, x, KIND_INT, false);
	if (node->op == OP_INDEX)
		return n->at;
	const char *a = first_lane(n, expr_operand(n->e->pool, x, 0)), *b = first_lane(n, expr_operand(n->e->pool, x, 1));
	return arena_printf(n->e->arena, "(%s %c %s)", a, node->op == OP_IDIV ? '/' : node->op == OP_ADD ? '+' : '-', b);
}

/* "p" or "(p + i)". */
static const char *advance(struct emitter *e, const char *p, const char *i)
{
	if (!strcmp(i, "0"))
		return p;
	/* A shift, comparison or choice binds looser than '+'. */
	return arena_printf(e->arena, "%s + %s", p, strpbrk(i, "<>&|?") ? i : emit_strip(e, i));
}

const char *nest_pointer(const struct nest *n, uint32_t value)
{
	return advance(n->e, n->e->value[value].name, nest_element(n, value));
}

static const char *panel_offset(struct nest *n, uint32_t tensor, const char *const *at)
{
	struct emitter *e = n->e;
	const struct tile_tensor *t = &e->program->tensor.v[tensor];
	int lanes = t->lanes, inside = lanes == t->nranks - 1 ? t->nranks - 2 : t->nranks - 1;
	const char *sum = "";
	for (int r = 0; r < t->nranks - 2; r++)
		sum = emit_sum(e, sum, at[r], e->tensor[tensor].stride[r]);
	long long width = (long long)t->panel, group = t->group > 1 ? t->group : 1;
	if (strcmp(at[lanes], "0"))
		sum = emit_sum(e, sum, arena_printf(e->arena, "%s / %lld", at[lanes], width),
		               round_up(t->extent[inside], group) * width);
	if (group > 1 && !n->groups) {
		sum = emit_sum(e, sum, arena_printf(e->arena, "%s / %lld", at[inside], group), width * group);
		sum = emit_sum(e, sum, arena_printf(e->arena, "%s %% %lld", at[inside], group), 1);
	} else {
		sum = emit_sum(e, sum, at[inside], width);
	}
	return strcmp(at[lanes], "0") ? emit_sum(e, sum, arena_printf(e->arena, "%s %% %lld", at[lanes], width), group) : sum;
}

const char *nest_address(struct nest *n, struct expr e, const char **lane_stride)
{
	struct emitter *m = n->e;
	const struct expr_node *node = expr_at(m->pool, e);
	const struct tile_tensor *t = &m->program->tensor.v[node->symbol];
	struct tensor_plan *p = &m->tensor[node->symbol];
	const char *at[MAX_RANKS], *sum = "";
	int gathered = n->spread ? -1 : emit_gathered(m, e, n->lane);
	p->used = true;
	if (lane_stride)
		*lane_stride = NULL;
	for (int r = 0; r < t->nranks; r++) {
		struct expr x = expr_operand(m->pool, e, r);
		int step = n->lane == NO_INDEX ? 0 : r == gathered ? 1 : emit_lane_step(m, x, n->lane);
		bool in_lane = step;
		bool shared = !n->spread && emit_uniform(m, x, n->lane);
		at[r] = r == gathered ? "0" : in_lane || shared ? first_lane(n, x) : nest_text(n, x, KIND_INT, false);
		const char *stride = NULL;
		if (t->place == PLACE_ARGUMENT && m->unit && r == t->nranks - 1) {
			stride = "1";
			sum = emit_sum(m, sum, at[r], 1);
		} else if (t->place == PLACE_ARGUMENT) {
			stride = arena_printf(m->arena, "%s_stride%d", p->name, r);
			if (in_lane || strcmp(at[r], "0"))
				p->strides |= (uint8_t)(1 << r);
			if (strcmp(at[r], "0"))
				sum = emit_sum(m, sum, arena_printf(m->arena, "%s * %s", at[r], stride), 1);
		} else if (t->panel) {
			stride = arena_printf(m->arena, "%lld", r == t->lanes ? t->group > 1 ? t->group : 1 : (long long)t->panel);
		} else {
			stride = arena_printf(m->arena, "%lld", (long long)p->stride[r]);
			if (p->elements > INT32_MAX && !strcmp(m->integer, "int"))
				at[r] = arena_printf(m->arena, "(long)%s", at[r]);
			sum = emit_sum(m, sum, at[r], p->stride[r]);
		}
		if (in_lane && lane_stride)
			*lane_stride = step > 0 ? stride : arena_printf(m->arena, "-%s", stride);
	}
	if (t->panel)
		sum = panel_offset(n, node->symbol, at);
	return advance(m, p->name, *sum ? sum : "0");
}
