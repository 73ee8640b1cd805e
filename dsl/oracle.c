/* The loops over an equation: its left-hand indices, inside them its reduced ones, and at the place of one
 * of them, the axis, chunks of its coordinates. An axis of the left-hand side gives a chunk of results at
 * a time; a reduced one gives a chunk of terms of one result. */
#include "dsl/oracle.h"

#include <math.h>
#include <string.h>

#include "dsl/oracle_program.h"
#include "dsl/select.h"

struct loop {
	uint32_t index;
	int64_t extent, step;
};

struct evaluation {
	struct cascade *cascade;
	const struct equation *equation;
	struct oracle_tensor *result;
	int64_t stride[MAX_RANKS]; /* of the result, a left-hand index each */
	struct loop loop[MAX_RANKS + MAX_REDUCED];
	int loops, left; /* the first `left` are over the left-hand side */
	int64_t axis, axis_stride;
	int64_t *extent; /* of every index variable the equation has */
	bool axis_reduced;
	int64_t *coordinate;
	struct program *body, *where, *otherwise;
	/* What has been reduced so far, of each result of the chunk: its present terms, and for ARGMAX where
	 * the largest was. */
	double total[CHUNK];
	int64_t count[CHUNK], at[CHUNK];
};

static int64_t index_extent(const struct cascade *c, uint32_t index)
{
	int64_t extent = 0;
	cascade_extent(c, c->index.v[index].extent, &extent); /* bound, says the caller */
	return extent;
}

static void add_loop(struct evaluation *v, uint32_t index, bool as_axis)
{
	if ((v->axis == index) != as_axis)
		return;
	v->loop[v->loops++] = (struct loop){index, v->extent[index], as_axis ? CHUNK : 1};
}

static void plan_loops(struct evaluation *v, int64_t axis)
{
	const struct equation *q = v->equation;
	v->axis = axis;
	v->loops = 0;
	for (int as_axis = 0; as_axis < 2; as_axis++)
		for (int i = 0; i < q->nindex; i++)
			add_loop(v, q->index[i], as_axis);
	v->left = v->loops;
	for (int as_axis = 0; as_axis < 2; as_axis++)
		for (int i = 0; i < q->nreduced; i++)
			add_loop(v, q->reduced[i], as_axis);
	v->axis_reduced = false;
	v->axis_stride = 0;
	for (int i = 0; i < q->nreduced; i++)
		v->axis_reduced |= q->reduced[i] == axis;
	for (int i = 0; i < q->nindex; i++)
		if (q->index[i] == axis)
			v->axis_stride = v->stride[i];
}

static struct program *compile(struct evaluation *v, struct arena *a, struct expr e,
                               const struct oracle_tensor *t)
{
	if (!e.id)
		return NULL;
	int *level = arena_new_array(a, v->cascade->index.n, int);
	for (int i = 0; i < v->loops; i++) /* an axis of one chunk never moves */
		level[v->loop[i].index] = v->loop[i].extent <= v->loop[i].step ? 0 : i + 1;
	return program_compile(a, v->cascade, e, t, v->coordinate, level, v->axis);
}

/* The axis that the body and the predicate read fastest along. */
static void choose_axis(struct evaluation *v, struct arena *a, const struct oracle_tensor *t)
{
	const struct equation *q = v->equation;
	double least = INFINITY;
	int64_t best = NO_AXIS;
	for (int i = 0; i < q->nindex + q->nreduced; i++) {
		uint32_t index = i < q->nindex ? q->index[i] : q->reduced[i - q->nindex];
		int64_t extent = v->extent[index];
		plan_loops(v, index);
		double cost = program_cost(compile(v, a, q->body, t), extent > 0 ? extent : 1);
		if (q->where.id)
			cost += program_cost(compile(v, a, q->where, t), extent > 0 ? extent : 1);
		if (cost < least) {
			least = cost;
			best = index;
		}
	}
	plan_loops(v, best);
	v->body = compile(v, a, q->body, t);
	v->where = compile(v, a, q->where, t);
	v->otherwise = compile(v, a, q->otherwise, t);
}

static void moved(struct evaluation *v, int level)
{
	struct program *all[] = {v->body, v->where, v->otherwise};
	for (int i = 0; i < 3; i++)
		if (all[i] && level < all[i]->moved)
			all[i]->moved = level;
}

/* Steps the loops [from, to), the last fastest; false after the last coordinates, which leaves them at 0. */
static bool advance(struct evaluation *v, int from, int to)
{
	for (int i = to; i-- > from;) {
		int64_t *at = &v->coordinate[v->loop[i].index];
		moved(v, i + 1);
		*at += v->loop[i].step;
		if (*at < v->loop[i].extent)
			return true;
		*at = 0;
	}
	return false;
}

/* Coordinates of the axis in the current chunk. */
static int chunk_of(const struct evaluation *v)
{
	if (v->axis == NO_AXIS)
		return 1;
	int64_t rest = v->extent[v->axis] - v->coordinate[v->axis];
	return rest < CHUNK ? (int)rest : CHUNK;
}

/* Evaluates body and predicate; true when anything in the chunk is there. `mask` gets which; a NULL present
 * means all are. */
static bool evaluate(struct evaluation *v, int n, unsigned char mask[CHUNK], struct lanes *x)
{
	const unsigned char *present = NULL;
	if (v->where) {
		struct lanes w = program_run(v->where, n);
		bool any = false, all = true;
		for (int i = 0; i < (w.stride ? n : 1); i++) {
			mask[i] = w.value[i * w.stride] != 0 && (!w.present || w.present[i * w.stride]);
			any |= mask[i];
			all &= mask[i];
		}
		if (!any)
			return false;
		present = all ? NULL : mask;
	}
	*x = program_run(v->body, n);
	if (x->present) {
		for (int i = 0; i < n; i++) /* `present`, when there, is the mask of the whole chunk */
			mask[i] = x->present[i * x->stride] && (!present || present[i]);
		present = mask;
	}
	x->present = present;
	return true;
}

static int64_t flat_position(const struct evaluation *v, int along_axis)
{
	const struct equation *q = v->equation;
	int64_t position = 0;
	for (int i = 0; i < q->nreduced; i++) {
		int64_t at = v->coordinate[q->reduced[i]] + (q->reduced[i] == v->axis ? along_axis : 0);
		position = position * v->extent[q->reduced[i]] + at;
	}
	return position;
}

static void take_largest(struct evaluation *v, int result, double x, int along_axis)
{
	double most = v->total[result];
	int64_t at = flat_position(v, along_axis);
	bool first = !v->count[result]++, nan = x != x, both = nan && most != most;
	bool larger = x > most || (nan && !both), tie = x == most || both;
	if (!first && !larger && !(tie && at < v->at[result]))
		return;
	v->total[result] = x;
	v->at[result] = at;
}

/* The most common case: a sum along the axis with all terms there. */
static double sum_of(const double *x, int n)
{
	double s[4] = {0};
	int i = 0;
	for (; i + 4 <= n; i += 4)
		for (int k = 0; k < 4; k++)
			s[k] += x[i + k];
	for (; i < n; i++)
		s[0] += x[i];
	return (s[0] + s[1]) + (s[2] + s[3]);
}

static void accumulate(struct evaluation *v, struct lanes terms, int n)
{
	double *total = v->total;
	const int step = !v->axis_reduced; /* of the totals along the chunk */
	const enum reduction reduce = v->equation->reduce;
	if (reduce == REDUCE_SUM && !terms.present && !step && terms.stride) {
		*total += sum_of(terms.value, n);
		return;
	}
	if (reduce == REDUCE_ARGMAX) {
		for (int i = 0; i < n; i++)
			if (!terms.present || terms.present[i])
				take_largest(v, i * step, terms.value[i * terms.stride], i);
		return;
	}
	for (int i = 0; reduce == REDUCE_MEAN && i < n; i++)
		v->count[i * step] += !terms.present || terms.present[i];
	switch ((int)reduce) {
#define REDUCTION(name, spelling, identity, combine, next)                                                   \
	case REDUCE_##name:                                                                                  \
		for (int i = 0; i < n; i++) {                                                                \
			const double a = total[i * step], x = terms.value[i * terms.stride];                 \
			(void)a;                                                                             \
			if (!terms.present || terms.present[i])                                              \
				total[i * step] = next;                                                      \
		}                                                                                            \
		break;
#include "dsl/reductions.h"
#undef REDUCTION
	}
}

static int64_t offset_of(const struct evaluation *v)
{
	int64_t offset = 0;
	for (int i = 0; i < v->equation->nindex; i++)
		offset += v->coordinate[v->equation->index[i]] * v->stride[i];
	return offset;
}

/* A chunk of results of an equation with a reduction, or one result when the axis is reduced. */
static void reduce_chunk(struct evaluation *v)
{
	const enum reduction reduce = v->equation->reduce;
	int results = v->axis_reduced ? 1 : chunk_of(v);
	for (int i = 0; i < results; i++) {
		v->total[i] = reduction_info[reduce].identity;
		v->count[i] = 0;
		v->at[i] = -1;
	}
	bool any = true;
	for (int i = v->left; i < v->loops; i++)
		any &= v->loop[i].extent > 0;
	while (any) {
		unsigned char mask[CHUNK];
		struct lanes terms;
		int n = chunk_of(v);
		if (evaluate(v, n, mask, &terms))
			accumulate(v, terms, n);
		any = advance(v, v->left, v->loops);
	}
	double *to = v->result->data + offset_of(v);
	for (int i = 0; i < results; i++) {
		double total = reduce == REDUCE_ARGMAX ? (double)v->at[i] : v->total[i];
		to[i * v->axis_stride] =
		        reduce == REDUCE_MEAN && v->count[i] ? total / (double)v->count[i] : total;
	}
}

static void map_chunk(struct evaluation *v)
{
	int n = chunk_of(v);
	int64_t offset = offset_of(v);
	unsigned char mask[CHUNK];
	struct lanes x = {0}, otherwise = {0};
	bool any = evaluate(v, n, mask, &x);
	if (v->otherwise && (!any || x.present))
		otherwise = program_run(v->otherwise, n);
	for (int i = 0; i < n; i++, offset += v->axis_stride) {
		bool here = any && (!x.present || x.present[i]);
		if (here)
			v->result->data[offset] = x.value[i * x.stride];
		else if (otherwise.value && (!otherwise.present || otherwise.present[i * otherwise.stride]))
			v->result->data[offset] = otherwise.value[i * otherwise.stride];
		if (v->result->present)
			v->result->present[offset] = here;
	}
}

/* Selections: the loops are over the coordinates of a fiber, then chunks along it. */

static void plan_fibers(struct evaluation *v, struct arena *a, const struct oracle_tensor *t)
{
	const struct equation *q = v->equation;
	v->extent[q->along] = index_extent(v->cascade, q->along);
	v->axis = q->along;
	for (int i = 0; i < q->nindex; i++) {
		bool counted = q->index[i] == (q->select == SELECT_MEMBERS ? q->slot : q->along);
		if (counted)
			v->axis_stride = v->stride[i];
		else
			v->loop[v->loops++] = (struct loop){q->index[i], v->extent[q->index[i]], 1};
	}
	v->left = v->loops;
	v->loop[v->loops++] = (struct loop){q->along, v->extent[q->along], CHUNK};
	v->body = compile(v, a, q->body, t);
	v->where = compile(v, a, q->where, t);
}

static void select_fibers(struct evaluation *v, struct arena *a)
{
	const struct equation *q = v->equation;
	int64_t n = v->extent[q->along], results = q->select == SELECT_MEMBERS ? v->extent[q->slot] : n;
	double argument = cascade_argument(v->cascade, q);
	double *value = arena_new_array(a, (size_t)n, double);
	double *result = arena_new_array(a, (size_t)results, double);
	unsigned char *here = arena_new_array(a, (size_t)n, unsigned char);
	int64_t *scratch = arena_new_array(a, (size_t)n, int64_t);
	do {
		for (bool more = n > 0; more;) {
			unsigned char mask[CHUNK];
			struct lanes x;
			int64_t from = v->coordinate[q->along];
			int chunk = chunk_of(v);
			bool any = evaluate(v, chunk, mask, &x);
			for (int i = 0; i < chunk; i++) {
				here[from + i] = any && (!x.present || x.present[i]);
				value[from + i] = any ? x.value[i * x.stride] : 0;
			}
			more = advance(v, v->left, v->loops);
		}
		select_fiber(q->select, argument, n, value, here, scratch, result, results);
		double *to = v->result->data + offset_of(v);
		for (int64_t i = 0; i < results; i++)
			to[i * v->axis_stride] = result[i];
	} while (advance(v, 0, v->left));
}

static void run_equation(struct arena *a, struct cascade *c, uint32_t equation, struct oracle_tensor *tensor)
{
	const struct equation *q = &c->equation.v[equation];
	struct evaluation *v = arena_new(a, struct evaluation);
	*v = (struct evaluation){.cascade = c, .equation = q, .result = &tensor[q->tensor]};
	v->coordinate = arena_new_array(a, c->index.n, int64_t);
	v->extent = arena_new_array(a, c->index.n, int64_t);
	int64_t stride = 1;
	for (int i = q->nindex - 1; i >= 0; i--) {
		v->stride[i] = stride;
		stride *= v->extent[q->index[i]] = index_extent(c, q->index[i]);
	}
	for (int i = 0; i < q->nreduced; i++)
		v->extent[q->reduced[i]] = index_extent(c, q->reduced[i]);
	if (q->select)
		plan_fibers(v, a, tensor);
	else
		choose_axis(v, a, tensor);
	for (int i = 0; i < v->left; i++)
		if (!v->loop[i].extent)
			return;
	if (q->select) {
		select_fibers(v, a);
		return;
	}
	do {
		if (q->reduce)
			reduce_chunk(v);
		else
			map_chunk(v);
	} while (advance(v, 0, v->left));
}

bool oracle_run(struct arena *a, struct cascade *c, struct oracle_tensor *tensor, size_t limit,
                struct diags *d)
{
	size_t used = 0;
	struct expr *presence = arena_new_array(a, c->equation.n, struct expr);
	cascade_presences(c, presence);
	for (uint32_t i = 0; i < c->equation.n; i++) {
		const struct equation *q = &c->equation.v[i];
		struct oracle_tensor *t = &tensor[q->tensor];
		t->count = 1;
		for (int k = 0; k < q->nindex; k++)
			t->count *= index_extent(c, q->index[k]);
		bool absent = equation_is_map(q) && presence[i].id;
		size_t bytes = (size_t)t->count * (sizeof *t->data + absent);
		if (bytes > limit - used)
			return diag_error(
			        d, q->span,
			        "the reference would need %zu MiB for '%s', past its limit of %zu MiB",
			        bytes >> 20, c->tensor.v[q->tensor].name, limit >> 20);
		used += bytes;
		t->data = arena_new_array(a, (size_t)t->count, double);
		t->present = absent ? arena_new_array(a, (size_t)t->count, unsigned char) : NULL;
		run_equation(a, c, i, tensor);
	}
	return true;
}
