/* The parts of a cascade (derive_parts.c) as one: their streams one after the other in one cascade, each selection
 * after the part its operand is in, as a stream of its own.
 */
#include <string.h>

#include "codegen/derive_parts.h"

struct joining {
	struct cut *cut;
	struct streams *s;
	uint32_t *tensor; /* of the result, by tensor of the base; NO_TENSOR: not there yet */
	struct cascade *from;
	uint32_t *map, *index; /* of `from`: tensors and index variables of the result */
	struct expr *memo;
};
#define NO_TENSOR UINT32_MAX

static struct expr copy(struct joining *j, struct expr e)
{
	const struct expr_pool *from = &j->from->pool;
	struct expr_pool *to = &j->s->cascade->pool;
	struct expr *node;
	uint32_t n = e.id ? expr_nodes(from, e, &node) : 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node x = *expr_at(from, node[i]);
		struct expr *memo = &j->memo[node[i].id], operand[16];
		for (int o = 0; o < x.count; o++)
			operand[o] = j->memo[expr_operand(from, node[i], o).id];
		if (memo->id)
			continue;
		switch (x.op) {
		case OP_CONST: *memo = expr_number(to, x.number); break;
		case OP_EXTENT: *memo = expr_leaf(to, OP_EXTENT, KIND_INT, x.symbol); break;
		case OP_INDEX: *memo = expr_leaf(to, OP_INDEX, KIND_INT, j->index[x.symbol]); break;
		case OP_READ: *memo = expr_read(to, (enum kind)x.kind, j->map[x.symbol], x.count, operand); break;
		default: *memo = expr_make(to, (enum op)x.op, x.symbol, x.count, operand);
		}
	}
	return e.id ? j->memo[e.id] : NO_EXPR;
}

static struct equation copy_equation(struct joining *j, const struct equation *from)
{
	struct equation q = *from;
	q.tensor = j->map[q.tensor];
	for (int i = 0; i < q.nindex; i++)
		q.index[i] = j->index[q.index[i]];
	for (int i = 0; i < q.nreduced; i++)
		q.reduced[i] = j->index[q.reduced[i]];
	q.body = copy(j, q.body);
	q.where = copy(j, q.where);
	q.otherwise = copy(j, q.otherwise);
	q.argument = copy(j, q.argument);
	return q;
}

/* Adds a tensor of j->from, under a name that neither the result nor the base has, unless it is the base's own. */
static uint32_t add_tensor(struct joining *j, uint32_t t, uint32_t own)
{
	struct cascade *c = j->s->cascade;
	struct tensor x = j->from->tensor.v[t];
	x.role = own == NO_TENSOR ? ROLE_LOCAL : x.role;
	for (int i = 0; i < x.nranks; i++)
		x.extent[i] = copy(j, x.extent[i]);
	const char *stem = x.name;
	for (int i = 2; own == NO_TENSOR && (cascade_find_tensor(c, x.name) != UINT32_MAX ||
	                                     cascade_find_tensor(j->cut->base, x.name) != UINT32_MAX);
	     i++)
		x.name = arena_printf(c->arena, "%s%d", stem, i);
	return cascade_add_tensor(c, x);
}

/* From now on expressions are copied from this cascade. Its variables beyond the base's are added. */
static void copy_from(struct joining *j, struct cascade *from)
{
	struct arena *a = j->cut->arena;
	struct cascade *c = j->s->cascade;
	j->from = from;
	j->map = arena_new_array(a, from->tensor.n, uint32_t);
	j->index = arena_new_array(a, from->index.n, uint32_t);
	j->memo = arena_new_array(a, from->pool.node.n, struct expr);
	for (uint32_t i = 0; i < from->index.n; i++) {
		const struct index *x = &from->index.v[i];
		if (i < j->cut->base->index.n) {
			j->index[i] = i;
			continue;
		}
		j->index[i] = cascade_add_index(c, cascade_fresh_index(c, x->name), x->rank);
		c->index.v[j->index[i]].extent = copy(j, x->extent);
	}
}

/* A part's tensors: those of the base by their name. One that the result has a definition of already gets another
 * name: it is computed again, and need not be computed the same way. */
static void join_part(struct joining *j, const struct streams *part)
{
	struct cut *k = j->cut;
	struct cascade *c = j->s->cascade;
	copy_from(j, part->cascade);
	uint32_t *equation = arena_new_array(k->arena, part->cascade->equation.n, uint32_t);
	for (uint32_t t = 0; t < part->cascade->tensor.n; t++) {
		const struct tensor *x = &part->cascade->tensor.v[t];
		uint32_t own = cascade_find_tensor(k->base, x->name);
		bool again = own == NO_TENSOR || (x->equation != NO_EQUATION && j->tensor[own] != NO_TENSOR &&
		                                  c->tensor.v[j->tensor[own]].equation != NO_EQUATION);
		if (again) {
			j->map[t] = add_tensor(j, t, NO_TENSOR);
			continue;
		}
		if (j->tensor[own] == NO_TENSOR) {
			j->tensor[own] = add_tensor(j, t, own);
			c->tensor.v[j->tensor[own]].role = ROLE_LOCAL;
		}
		j->map[t] = j->tensor[own];
	}
	for (uint32_t e = 0; e < part->cascade->equation.n; e++)
		equation[e] = cascade_add_equation(c, copy_equation(j, &part->cascade->equation.v[e]));
	for (uint32_t i = 0; i < part->stream.n; i++) {
		const struct stream *x = &part->stream.v[i];
		struct stream s = {.index = x->index == NO_INDEX ? NO_INDEX : j->index[x->index]};
		s.present = copy(j, x->present);
		for (uint32_t n = 0; n < x->row.n; n++)
			vec_push(k->arena, &s.row, j->index[x->row.v[n]]);
		for (uint32_t n = 0; n < x->local.n; n++)
			vec_push(k->arena, &s.local, equation[x->local.v[n]]);
		for (uint32_t n = 0; n < x->after.n; n++)
			vec_push(k->arena, &s.after, equation[x->after.v[n]]);
		for (uint32_t n = 0; n < x->carry.n; n++) {
			struct carry y = x->carry.v[n];
			y.equation = equation[y.equation];
			for (int t = 0; t < y.terms; t++)
				y.term[t].factor = copy(j, y.term[t].factor);
			vec_push(k->arena, &s.carry, y);
		}
		vec_push(k->arena, &j->s->stream, s);
	}
}

/* The tensor of the given cascade that one of the base stands for: an operand's is the selection's. */
static uint32_t given(const struct cut *k, uint32_t tensor)
{
	const struct cascade *c = k->base;
	for (uint32_t e = 0; tensor != UINT32_MAX && tensor >= k->given && e < c->equation.n; e++)
		if (c->equation.v[e].select && expr_at(&c->pool, c->equation.v[e].body)->symbol == tensor)
			return c->equation.v[e].tensor;
	return tensor;
}

static void join_selection(struct joining *j, uint32_t e)
{
	struct cut *k = j->cut;
	struct cascade *base = k->base;
	const struct equation *q = &base->equation.v[e];
	const struct selection_info *info = &selection_info[q->select];
	copy_from(j, base);
	if (j->tensor[q->tensor] == NO_TENSOR)
		j->tensor[q->tensor] = add_tensor(j, q->tensor, q->tensor);
	memcpy(j->map, j->tensor, base->tensor.n * sizeof *j->map);
	uint32_t made = cascade_add_equation(j->s->cascade, copy_equation(j, q));
	struct stream s = {.index = q->along, .selects = true};
	s.present = j->s->cascade->equation.v[made].where;
	for (int i = 0; i < q->nindex; i++)
		if (keeps_row(q, q->index[i]))
			vec_push(k->arena, &s.row, q->index[i]);
	vec_push(k->arena, &s.local, made);
	vec_push(k->arena, &j->s->stream, s);
	uint32_t operand = expr_at(&base->pool, q->body)->symbol;
	struct rewrite r = {.mode = MODE_BARRIER, .tensor = q->tensor, .on = given(k, operand), .span = q->span};
	r.on = r.on == q->tensor || base->tensor.v[operand].equation == NO_EQUATION ? UINT32_MAX : r.on;
	r.reason = arena_printf(k->arena, "%s needs the whole fiber over %s before anything is known of an element",
	                        info->spelling, base->index.v[q->along].name);
	vec_push(k->arena, &j->s->rewrite, r);
}

struct streams *derive_joined(struct cut *k, const struct stream_options *options)
{
	struct arena *a = k->arena;
	struct joining j = {.cut = k, .s = arena_new(a, struct streams)};
	struct cascade *c = j.s->cascade = cascade_clone(a, k->base);
	memset(&c->equation, 0, sizeof c->equation);
	memset(&c->tensor, 0, sizeof c->tensor);
	j.tensor = arena_new_array(a, k->base->tensor.n, uint32_t);
	memset(j.tensor, 0xff, k->base->tensor.n * sizeof *j.tensor);
	copy_from(&j, k->base);
	for (uint32_t t = 0; t < k->given; t++)
		if (k->base->tensor.v[t].role != ROLE_LOCAL)
			j.tensor[t] = add_tensor(&j, t, t);
	for (uint32_t at = 0; at < k->parts; at++) {
		struct cascade *part = part_cascade(k, at);
		struct streams *s = part ? derive_streams(a, part, options) : NULL;
		if (s)
			join_part(&j, s);
		for (uint32_t i = 0; s && i < s->rewrite.n; i++) {
			struct rewrite r = s->rewrite.v[i];
			r.tensor = given(k, r.tensor);
			r.on = given(k, r.on);
			vec_push(a, &j.s->rewrite, r);
		}
		for (uint32_t e = 0; e < k->base->equation.n; e++)
			if (k->base->equation.v[e].select && k->level[e] == at)
				join_selection(&j, e);
	}
	return j.s;
}
