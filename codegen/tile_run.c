/* tile_run.c: the meaning of a tile program, in float64 and straight loops. */
#include "codegen/tile_run.h"

#include <math.h>

#include "dsl/select.h"

/* What a value holds now. */
struct cell {
	double *data; /* capacity of every rank */
	int64_t base[MAX_RANKS];
	int64_t elements;
	bool live;
};

struct run {
	struct cell *cell;
	double **tensor;
	bool rounded;
	const struct tile_wanted *wanted; /* NULL: everything */
	void (*seen)(void *, const struct tile_walk *, const struct tile_statement *);
	void *user;
	VEC(uint32_t) live; /* values in the order they were defined; blocks cut it back */
	/* of a selection: a fiber and its result, with room for so many */
	int64_t room, *order;
	double *fiber, *result;
	unsigned char *here;
};

static double *element(struct tile_walk *w, uint32_t value)
{
	struct run *r = w->owner;
	const struct tile_value *v = &w->p->value.v[value];
	struct cell *c = &r->cell[value];
	int64_t offset = 0;
	for (int k = 0; k < v->nranks; k++) {
		int64_t i = (int64_t)w->at[v->index[k]] - c->base[k];
		if (i < 0 || i >= v->capacity[k])
			return NULL;
		offset = offset * v->capacity[k] + i;
	}
	return c->live ? &c->data[offset] : NULL;
}

static double value_at(struct tile_walk *w, uint32_t value)
{
	double *x = element(w, value);
	return x ? *x : (double)NAN;
}

static double tensor_at(struct tile_walk *w, uint32_t tensor, int n, const double *coordinate)
{
	struct run *r = w->owner;
	const struct tile_tensor *t = &w->p->tensor.v[tensor];
	int64_t offset = 0;
	for (int k = 0; k < n; k++) {
		if (!(coordinate[k] >= 0 && coordinate[k] < (double)t->extent[k]))
			return 0;
		offset = offset * t->extent[k] + (int64_t)coordinate[k];
	}
	return r->tensor[tensor][offset];
}

static uint32_t enter_block(struct tile_walk *w)
{
	return ((struct run *)w->owner)->live.n;
}

static void leave_block(struct tile_walk *w, uint32_t mark)
{
	struct run *r = w->owner;
	while (r->live.n > mark)
		r->cell[r->live.v[--r->live.n]].live = false;
}

/* The first assignment in a block defines. */
static void define(struct tile_walk *w, uint32_t value)
{
	struct run *r = w->owner;
	const struct tile_value *v = &w->p->value.v[value];
	struct cell *c = &r->cell[value];
	if (c->live)
		return;
	if (!c->data) {
		c->elements = 1;
		for (int k = 0; k < v->nranks; k++)
			c->elements *= v->capacity[k];
		c->data = arena_new_array(w->arena, (size_t)c->elements, double);
	}
	for (int64_t i = 0; i < c->elements; i++)
		c->data[i] = NAN;
	for (int k = 0; k < v->nranks; k++)
		c->base[k] = w->range[v->index[k]].low;
	c->live = true;
	vec_push(w->arena, &r->live, value);
}

static bool outside(struct tile_walk *w, const struct tile_statement *s)
{
	text_add(w->reason, "an element outside its value's capacity: ");
	tile_statement_print(w->p, s, w->reason);
	return false;
}

static double rounded(const struct run *r, enum dtype t, double x)
{
	return r->rounded ? dtype_round(t, x) : x;
}

static double reduce(struct tile_walk *w, const struct tile_statement *s)
{
	double sum = reduction_info[s->reduce].identity;
	for (bool more = tile_first(w, 1, &s->index); more; more = tile_next(w, 1, &s->index)) {
		double x = tile_evaluate(w, s->expression);
		if (!s->numbers || !isnan(x))
			sum = reduction_value(s->reduce, sum, x);
	}
	return sum;
}

/* A line of elements along the contracted index; NULL: zeroes. */
struct line {
	const double *first;
	int64_t stride;
};

static struct line value_line(struct tile_walk *w, uint32_t value, uint32_t along)
{
	const struct tile_value *v = &w->p->value.v[value];
	struct line l = {element(w, value), 1};
	for (int k = v->nranks - 1; v->index[k] != along; k--)
		l.stride *= v->capacity[k];
	return l;
}

static struct line tensor_line(struct tile_walk *w, struct expr read, uint32_t along)
{
	struct run *r = w->owner;
	const struct expr_pool *p = w->p->pool;
	const struct expr_node *n = expr_at(p, read);
	const struct tile_tensor *t = &w->p->tensor.v[n->symbol];
	struct line l = {0};
	int64_t offset = 0;
	for (int k = 0; k < n->count; k++) {
		struct expr e = expr_operand(p, read, k);
		double i = tile_evaluate(w, e);
		if (!(i >= 0 && i < (double)t->extent[k]))
			return (struct line){0};
		offset = offset * t->extent[k] + (int64_t)i;
		if (expr_at(p, e)->op == OP_MOD) /* in one block of it */
			e = expr_operand(p, e, 0);
		l.stride = expr_at(p, e)->op == OP_INDEX && expr_at(p, e)->symbol == along ? 1
		                                                                           : l.stride * t->extent[k];
	}
	l.first = r->tensor[n->symbol] + offset;
	return l;
}

/* To nearest, half away from zero, at 10 bits after the leading one: what conversion to tf32 does. */
static double round_tf32(double x)
{
	int exponent;
	if (!isfinite(x) || x == 0)
		return x;
	frexp(x, &exponent);
	int quantum = (exponent < -125 ? -125 : exponent) - 11;
	return ldexp(round(ldexp(x, -quantum)), quantum);
}

/* An element of a or b as what it is multiplied. */
static double operand(const struct run *r, enum operand_type t, double x)
{
	if (!r->rounded)
		return x;
	switch (t) {
	case OPERAND_BF16: return dtype_round(DTYPE_BF16, x);
	case OPERAND_F16: return dtype_round(DTYPE_F16, x);
	case OPERAND_TF32: return round_tf32(x);
	case OPERAND_I8: return dtype_round(DTYPE_I8, x);
	default: return x;
	}
}

static double contract(struct tile_walk *w, const struct tile_statement *s, double so_far)
{
	const struct expr_node *a = expr_at(w->p->pool, s->a), *b = expr_at(w->p->pool, s->b);
	double sum = s->accumulate ? s->scale.id ? so_far * tile_evaluate(w, s->scale) : so_far : 0;
	if (!tile_first(w, 1, &s->index))
		return sum;
	struct line x = a->op == OP_VALUE ? value_line(w, a->symbol, s->index) : tensor_line(w, s->a, s->index);
	struct line y = b->op == OP_VALUE ? value_line(w, b->symbol, s->index) : tensor_line(w, s->b, s->index);
	if ((a->op == OP_VALUE && !x.first) || (b->op == OP_VALUE && !y.first))
		return NAN;
	for (int64_t i = tile_count(w, s->index); i && x.first && y.first; i--) {
		sum += operand(w->owner, s->operand, *x.first) * operand(w->owner, s->operand, *y.first);
		x.first += x.stride;
		y.first += y.stride;
	}
	return sum;
}

static bool assign(struct tile_walk *w, const struct tile_statement *s)
{
	struct run *r = w->owner;
	const struct tile_value *v = &w->p->value.v[s->value];
	define(w, s->value);
	for (bool more = tile_first(w, v->nranks, v->index); more; more = tile_next(w, v->nranks, v->index)) {
		double *x = element(w, s->value), new;
		if (!x)
			return outside(w, s);
		switch (s->kind) {
		case TILE_REDUCE: new = reduce(w, s); break;
		case TILE_CONTRACT: new = contract(w, s, *x); break;
		default: new = tile_evaluate(w, s->expression);
		}
		*x = rounded(r, v->dtype, new);
	}
	return true;
}

/* Where the element of a target lies. */
static double *stored(struct tile_walk *w, struct expr target)
{
	struct run *r = w->owner;
	const struct expr_node *n = expr_at(w->p->pool, target);
	const struct tile_tensor *t = &w->p->tensor.v[n->symbol];
	int64_t offset = 0;
	for (int k = 0; k < n->count; k++) {
		uint32_t index = expr_at(w->p->pool, expr_operand(w->p->pool, target, k))->symbol;
		offset = offset * t->extent[k] + (int64_t)w->at[index];
	}
	return r->tensor[n->symbol] + offset;
}

static bool store(struct tile_walk *w, const struct tile_statement *s)
{
	struct run *r = w->owner;
	const struct expr_node *n = expr_at(w->p->pool, s->target);
	const struct tile_tensor *t = &w->p->tensor.v[n->symbol];
	uint32_t index[MAX_RANKS];
	for (int k = 0; k < n->count; k++)
		index[k] = expr_at(w->p->pool, expr_operand(w->p->pool, s->target, k))->symbol;
	for (bool more = tile_first(w, n->count, index); more; more = tile_next(w, n->count, index))
		*stored(w, s->target) = rounded(r, t->dtype, tile_evaluate(w, s->expression));
	return true;
}

/* A whole fiber for each of the target's other coordinates. */
static bool choose(struct tile_walk *w, const struct tile_statement *s)
{
	struct run *r = w->owner;
	const struct expr_node *n = expr_at(w->p->pool, s->target);
	const struct tile_tensor *t = &w->p->tensor.v[n->symbol];
	uint32_t place = s->select == SELECT_MEMBERS ? s->slot : s->index, index[MAX_RANKS];
	int64_t fiber = w->p->index.v[s->index].extent, results = w->p->index.v[place].extent, step = 1;
	int others = 0;
	for (int k = 0; k < n->count; k++) {
		uint32_t i = expr_at(w->p->pool, expr_operand(w->p->pool, s->target, k))->symbol;
		if (i != place)
			index[others++] = i;
		step = i == place ? 1 : step * t->extent[k];
	}
	if (r->room <= (fiber > results ? fiber : results)) {
		r->room = (fiber > results ? fiber : results) + 1;
		r->fiber = arena_new_array(w->arena, (size_t)r->room, double);
		r->result = arena_new_array(w->arena, (size_t)r->room, double);
		r->here = arena_new_array(w->arena, (size_t)r->room, unsigned char);
		r->order = arena_new_array(w->arena, (size_t)r->room, int64_t);
	}
	enum dtype held = expr_at(w->p->pool, s->expression)->kind == KIND_REAL ? w->p->compute : DTYPE_I32;
	for (bool more = tile_first(w, others, index); more; more = tile_next(w, others, index)) {
		for (int64_t i = 0; i < fiber; i++) {
			w->at[s->index] = (double)i;
			r->here[i] = !s->present.id || tile_evaluate(w, s->present) != 0;
			r->fiber[i] = rounded(r, held, tile_evaluate(w, s->expression));
		}
		select_fiber(s->select, s->argument, fiber, r->fiber, r->here, r->order, r->result, results);
		w->at[place] = 0;
		double *to = stored(w, s->target);
		for (int64_t i = 0; i < results; i++)
			to[i * step] = rounded(r, t->dtype, r->result[i]);
	}
	return true;
}

static bool wants(const struct tile_walk *w, const struct tile_statement *s)
{
	const struct tile_wanted *wanted = ((const struct run *)w->owner)->wanted;
	if (!wanted)
		return true;
	return tile_stores(s) ? wanted->tensor[expr_at(w->p->pool, s->target)->symbol] : wanted->value[s->value];
}

static bool run_statement(struct tile_walk *w, const struct tile_statement *s)
{
	const struct run *r = w->owner;
	if (r->seen)
		r->seen(r->user, w, s);
	if (!wants(w, s))
		return true;
	for (uint32_t i = 0; i < w->p->index.n; i++)
		w->at[i] = (double)w->range[i].low;
	bool good = s->kind == TILE_STORE ? store(w, s) : s->kind == TILE_SELECT ? choose(w, s) : assign(w, s);
	for (uint32_t i = 0; i < w->p->index.n; i++)
		w->at[i] = (double)w->range[i].low;
	return good;
}

static int64_t elements(const struct tile_tensor *t)
{
	int64_t n = 1;
	for (int k = 0; k < t->nranks; k++)
		n *= t->extent[k];
	return n;
}

/* Work tensors and outputs begin as NaN. */
static void make_tensors(struct arena *arena, const struct tile_program *p, const bool *wanted, double **tensor)
{
	for (uint32_t i = 0; i < p->tensor.n; i++) {
		const struct tile_tensor *t = &p->tensor.v[i];
		if ((wanted && !wanted[i]) || (t->place == PLACE_ARGUMENT && t->role != ROLE_OUT))
			continue;
		int64_t n = elements(t);
		if (t->place == PLACE_WORK)
			tensor[i] = arena_new_array(arena, (size_t)n, double);
		for (int64_t k = 0; k < n; k++)
			tensor[i][k] = NAN;
	}
}

static struct tile_walk walk_of(struct arena *arena, const struct tile_program *p, struct run *r, struct text *reason)
{
	r->cell = arena_new_array(arena, p->value.n, struct cell);
	return (struct tile_walk){.p = p, .arena = arena, .statement = run_statement, .enter = enter_block,
	                          .leave = leave_block, .value = value_at, .read = tensor_at, .reason = reason,
	                          .owner = r};
}

bool tile_run(struct arena *arena, const struct tile_program *p, double **tensor, bool round, struct text *reason)
{
	struct run r = {.tensor = tensor, .rounded = round};
	if (!tile_check(p, reason))
		return false;
	make_tensors(arena, p, NULL, tensor);
	struct tile_walk w = walk_of(arena, p, &r, reason);
	return tile_walk(&w);
}

struct tile_walk *tile_runner(struct arena *arena, const struct tile_program *p, const struct tile_wanted *wanted,
                              double **tensor,
                              void (*seen)(void *, const struct tile_walk *, const struct tile_statement *), void *user,
                              struct text *reason)
{
	struct run *r = arena_new(arena, struct run);
	struct tile_walk *w = arena_new(arena, struct tile_walk);
	*r = (struct run){.tensor = tensor, .wanted = wanted, .seen = seen, .user = user};
	make_tensors(arena, p, wanted->tensor, tensor);
	*w = walk_of(arena, p, r, reason);
	return w;
}
