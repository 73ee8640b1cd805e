#include "dsl/oracle_program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dsl/dtype.h"

/* How a node's value moves along the axis. */
struct motion {
	bool moves, affine;
	int64_t slope;
};

static struct motion motion_of(const struct expr_pool *p, struct expr e, int64_t axis, const struct motion *o)
{
	const struct expr_node *n = expr_at(p, e);
	struct motion m = {.affine = true};
	if (n->op == OP_INDEX && n->symbol == axis)
		return (struct motion){true, true, 1};
	for (int k = 0; k < n->count; k++)
		m.moves |= o[k].moves;
	if (!m.moves)
		return m;
	double c;
	m.affine = o[0].affine && (n->count == 1 || o[1].affine);
	switch (n->op) {
	case OP_ADD: m.slope = o[0].slope + o[1].slope; break;
	case OP_SUB: m.slope = o[0].slope - o[1].slope; break;
	case OP_NEG: m.slope = -o[0].slope; break;
	case OP_MUL:
		if (expr_is_number(p, expr_operand(p, e, 1), &c) && fabs(c) < 1e6)
			m.slope = o[0].slope * (int64_t)c;
		else if (expr_is_number(p, expr_operand(p, e, 0), &c) && fabs(c) < 1e6)
			m.slope = o[1].slope * (int64_t)c;
		else
			m.affine = false;
		break;
	default: m.affine = false;
	}
	if (n->kind != KIND_INT || m.slope > EXTENT_LIMIT || m.slope < -EXTENT_LIMIT)
		m.affine = false;
	return m;
}

static void prepare_read(struct cascade *c, struct step *s, const struct motion *operand)
{
	const struct tensor *t = &c->tensor.v[s->symbol];
	int64_t stride = 1;
	s->straight = true;
	for (int r = t->nranks - 1; r >= 0; r--) {
		cascade_extent(c, t->extent[r], &s->extent[r]); /* bound, says the caller */
		s->stride[r] = stride;
		stride *= s->extent[r];
		s->slope[r] = operand[r].slope;
		s->straight &= operand[r].affine;
	}
}

/* Which steps need a value a coordinate: a straight read needs only the first of its coordinates. */
static void mark_vectors(struct program *p, const struct motion *motion)
{
	for (uint32_t i = p->n; i-- > 0;) {
		struct step *s = &p->step[i];
		s->vector = motion[i].moves && (s->vector || i == p->n - 1);
		bool wants = s->op == OP_READ ? motion[i].moves && !s->straight : s->vector;
		for (int k = 0; k < s->noperands; k++)
			p->step[s->operand[k]].vector |= wants;
	}
}

static int by_id(const void *a, const void *b)
{
	uint32_t x = ((const struct expr *)a)->id, y = ((const struct expr *)b)->id;
	return (x > y) - (x < y);
}

struct program *program_compile(struct arena *a, struct cascade *c, struct expr e,
                                const struct oracle_tensor *tensor, const int64_t *coordinate,
                                const int *level, int64_t axis)
{
	const struct expr_pool *pool = &c->pool;
	struct program *p = arena_new(a, struct program);
	struct expr *node;
	*p = (struct program){.tensor = tensor, .coordinate = coordinate, .n = expr_nodes(pool, e, &node)};
	p->step = arena_new_array(a, p->n, struct step);
	struct motion *motion = arena_new_array(a, p->n, struct motion);
	for (uint32_t i = 0; i < p->n; i++) {
		const struct expr_node *n = expr_at(pool, node[i]);
		struct step *s = &p->step[i];
		struct motion operand[MAX_RANKS];
		*s = (struct step){.op = (enum op)n->op, .symbol = n->symbol, .noperands = n->count};
		s->operand = arena_new_array(a, n->count, uint32_t);
		if (n->op == OP_INDEX)
			s->level = level[n->symbol];
		for (int k = 0; k < n->count; k++) {
			struct expr x = expr_operand(pool, node[i], k);
			s->operand[k] =
			        (uint32_t)((struct expr *)bsearch(&x, node, i, sizeof x, by_id) - node);
			operand[k] = motion[s->operand[k]];
			if (p->step[s->operand[k]].level > s->level)
				s->level = p->step[s->operand[k]].level;
		}
		motion[i] = motion_of(pool, node[i], axis, operand);
		if (n->op == OP_READ)
			prepare_read(c, s, operand);
		int64_t extent = 0;
		if (n->op == OP_EXTENT)
			cascade_extent(c, node[i], &extent);
		size_t room = motion[i].moves ? CHUNK : 1;
		s->value = arena_new_array(a, room, double);
		s->present = arena_new_array(a, room, unsigned char);
		s->value[0] = n->op == OP_EXTENT ? (double)extent : n->number;
		s->out.value = s->value;
	}
	mark_vectors(p, motion);
	return p;
}

double program_cost(const struct program *p, int64_t width)
{
	double cost = 0;
	for (uint32_t i = 0; i < p->n; i++) {
		const struct step *s = &p->step[i];
		cost += 10 / (double)(width < CHUNK ? width : CHUNK);
		if (!s->vector)
			continue;
		int64_t step = 0;
		for (int k = 0; s->op == OP_READ && k < s->noperands; k++)
			step += s->slope[k] * s->stride[k];
		cost += s->op != OP_READ || (s->straight && step == 1) ? 0.5 : s->straight ? 3 : 6;
	}
	return cost;
}

/* Evaluation. */

static bool is_present(const struct lanes *x, int i)
{
	return !x->present || x->present[i * x->stride];
}

/* Coordinate by coordinate, with every check. */
static void read_slowly(const struct program *p, struct step *s, int n)
{
	const struct oracle_tensor *t = &p->tensor[s->symbol];
	for (int i = 0; i < n; i++) {
		bool here = true;
		int64_t offset = 0;
		for (int r = 0; here && r < s->noperands; r++) {
			const struct lanes *x = &p->step[s->operand[r]].out;
			int64_t at = s->straight ? double_to_int64(x->value[0]) + s->slope[r] * i
			                         : double_to_int64(x->value[i * x->stride]);
			here = is_present(x, s->straight ? 0 : i) && at >= 0 && at < s->extent[r];
			offset += here ? at * s->stride[r] : 0;
		}
		here = here && (!t->present || t->present[offset]);
		s->value[i] = here ? t->data[offset] : 0;
		s->present[i] = here;
	}
	s->out.value = s->value;
	s->out.present = s->present;
}

static void read_tensor(const struct program *p, struct step *s, int n)
{
	const struct oracle_tensor *t = &p->tensor[s->symbol];
	int64_t offset = 0, step = 0;
	bool quick = s->straight;
	for (int r = 0; quick && r < s->noperands; r++) {
		const struct lanes *x = &p->step[s->operand[r]].out;
		int64_t first = double_to_int64(x->value[0]);
		quick = is_present(x, 0) && first >= 0 && first < s->extent[r];
		if (!quick)
			break;
		int64_t last = first + s->slope[r] * (n - 1);
		quick = last >= 0 && last < s->extent[r];
		offset += first * s->stride[r];
		step += s->slope[r] * s->stride[r];
	}
	if (!quick) {
		read_slowly(p, s, n);
		return;
	}
	/* A whole run of elements is there: point at them, or copy them together. */
	s->out.value = t->data + offset;
	s->out.present = t->present ? t->present + offset : NULL;
	if (n == 1 || step == 1)
		return;
	for (int i = 0; i < n; i++)
		s->value[i] = t->data[offset + i * step];
	s->out.value = s->value;
	if (!t->present)
		return;
	for (int i = 0; i < n; i++)
		s->present[i] = t->present[offset + i * step];
	s->out.present = s->present;
}

/* Which elements of an operation are present; where `and` and `or` are, with an absent operand, that operand
 * is given the value that does not decide. */
static void join_presence(struct step *s, const struct lanes *x, int n)
{
	bool any = false;
	for (int k = 0; k < s->noperands; k++)
		any |= x[k].present != NULL;
	s->out.present = any ? s->present : NULL;
	for (int i = 0; any && i < n; i++) {
		bool here[3] = {true, true, true};
		for (int k = 0; k < s->noperands; k++)
			here[k] = is_present(&x[k], i);
		switch (s->op) {
		case OP_ELSE: s->present[i] = here[0] || here[1]; break;
		case OP_SELECT:
			s->present[i] = here[0] && here[x[0].value[i * x[0].stride] != 0 ? 1 : 2];
			break;
		case OP_AND:
		case OP_OR: {
			bool decides = s->op == OP_OR;
			s->present[i] = here[0] && here[1];
			for (int k = 0; k < 2; k++)
				if (here[k] && (x[k].value[i * x[k].stride] != 0) == decides)
					s->present[i] = 1;
			break;
		}
		default: s->present[i] = here[0] && here[1] && here[2];
		}
	}
}

static void operate(struct step *s, const struct lanes *o, int n)
{
	const double *X = o[0].value, *Y = o[1].value, *Z = o[2].value;
	const int sx = o[0].stride, sy = o[1].stride, sz = o[2].stride;
	double *out = s->value;
	s->out.value = out;
	switch ((int)s->op) {
#define OP(name, spelling, arity, kind, monotone, interval, c, expression)                                          \
	case OP_##name:                                                                                      \
		for (int i = 0; i < n; i++) {                                                                \
			const double x = X[i * sx], y = Y[i * sy], z = Z[i * sz];                            \
			(void)x, (void)y, (void)z;                                                           \
			out[i] = (double)(expression);                                                       \
		}                                                                                            \
		break;
#include "dsl/ops.h"
#undef OP
	case OP_CAST:
		for (int i = 0; i < n; i++)
			out[i] = dtype_round((enum dtype)s->symbol, X[i * sx]);
		break;
	case OP_ELSE:
		for (int i = 0; i < n; i++)
			out[i] = is_present(&o[0], i) ? X[i * sx] : Y[i * sy];
		break;
	case OP_OLD: /* of a finished cascade: the value itself */
		for (int i = 0; i < n; i++)
			out[i] = X[i * sx];
		break;
	}
	if (s->op != OP_AND && s->op != OP_OR)
		return;
	/* Present with an absent operand: the other one decides, and is the value. */
	bool decides = s->op == OP_OR;
	for (int i = 0; (o[0].present || o[1].present) && i < n; i++)
		if (s->present[i] && !(is_present(&o[0], i) && is_present(&o[1], i)))
			out[i] = decides;
}

struct lanes program_run(struct program *p, int n)
{
	static const double nothing = 0;
	for (uint32_t i = 0; i < p->n; i++) {
		struct step *s = &p->step[i];
		if (s->level < p->moved)
			continue;
		int count = s->vector ? n : 1;
		s->out.stride = s->vector;
		switch (s->op) {
		case OP_CONST:
		case OP_EXTENT: break;
		case OP_INDEX:
			for (int k = 0; k < count; k++)
				s->value[k] = (double)(p->coordinate[s->symbol] + k);
			break;
		case OP_READ: read_tensor(p, s, count); break;
		default: {
			struct lanes operand[3] = {
			        {&nothing, NULL, 0}, {&nothing, NULL, 0}, {&nothing, NULL, 0}};
			for (int k = 0; k < s->noperands; k++)
				operand[k] = p->step[s->operand[k]].out;
			join_presence(s, operand, count);
			operate(s, operand, count);
		}
		}
	}
	p->moved = INT32_MAX;
	return p->step[p->n - 1].out;
}
