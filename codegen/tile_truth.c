#include "codegen/tile_truth.h"

#include <string.h>

#include "codegen/work.h"
#include "dsl/oracle_program.h"

enum { LEVEL_TASK = 1, LEVEL_ROW, LEVEL_INNER, LEVEL_WALKED };
enum { INNER_LIMIT = 1 << 12 };

struct truth {
	int64_t *coordinate;
	uint32_t indices, walked;
	int64_t extent; /* of the walked index */
	uint32_t inner[MAX_RANKS];
	int64_t inner_extent[MAX_RANKS];
	int ninner;
	struct program *program[1 + MAX_RANKS]; /* the hull, then what each equation asks beyond it */
	int programs;
	bool hull; /* the first program is the hull; else something is present everywhere */
};

static void need_expression(const struct cascade *c, struct expr e, bool *tensor, bool *grew)
{
	for (uint32_t t = 0; t < c->tensor.n; t++)
		if (!tensor[t] && e.id && expr_mentions(&c->pool, e, OP_READ, t))
			*grew = tensor[t] = true;
}

/* The equations whose presence decides what a tile must do: carries, and locals that are stored. */
static int deciding(const struct streams *s, const struct stream *at, uint32_t *equation, int most)
{
	int n = 0;
	for (uint32_t i = 0; i < at->carry.n && n < most; i++)
		equation[n++] = at->carry.v[i].equation;
	for (uint32_t i = 0; i < at->local.n && n < most; i++)
		if (stream_stores(s, (uint32_t)(at - s->stream.v), at->local.v[i]))
			equation[n++] = at->local.v[i];
	return n;
}

static struct expr presences(const struct streams *s, const struct stream *at, struct expr *each, int *n)
{
	uint32_t equation[MAX_RANKS];
	int count = deciding(s, at, equation, MAX_RANKS);
	*n = 0;
	for (int i = 0; i < count; i++) {
		struct expr e = cascade_presence(s->cascade, equation[i]);
		bool known = !e.id || expr_same(e, at->present);
		for (int k = 0; k < *n; k++)
			known |= expr_same(each[k], e);
		if (!known)
			each[(*n)++] = e;
	}
	return at->present;
}

void truth_needs(const struct streams *s, const struct stream *at, bool *tensor)
{
	const struct cascade *c = s->cascade;
	struct expr each[MAX_RANKS];
	int n;
	bool grew = true, first = false;
	need_expression(c, presences(s, at, each, &n), tensor, &first);
	for (int i = 0; i < n; i++)
		need_expression(c, each[i], tensor, &first);
	while (grew) {
		grew = false;
		for (uint32_t q = 0; q < c->equation.n; q++) {
			const struct equation *e = &c->equation.v[q];
			if (!tensor[e->tensor])
				continue;
			need_expression(c, e->body, tensor, &grew);
			need_expression(c, e->where, tensor, &grew);
			need_expression(c, e->otherwise, tensor, &grew);
			need_expression(c, e->argument, tensor, &grew);
		}
	}
}

bool truth_depends(const struct streams *s, const struct stream *at, uint32_t index)
{
	const struct expr_pool *p = &s->cascade->pool;
	struct expr each[MAX_RANKS];
	int n;
	struct expr hull = presences(s, at, each, &n);
	bool mentioned = hull.id && expr_mentions(p, hull, OP_INDEX, index);
	for (int i = 0; i < n; i++)
		mentioned |= expr_mentions(p, each[i], OP_INDEX, index);
	return mentioned;
}

/* The cascade without the equations that nothing here needs, run. */
static bool compute(struct arena *a, const struct streams *s, const bool *needed, struct oracle_tensor *data,
                    const char **why)
{
	const double flops = 4e9;
	const size_t memory = (size_t)2 << 30;
	struct cascade *c = cascade_clone(a, s->cascade);
	struct diags d;
	uint32_t kept = 0;
	for (uint32_t q = 0; q < c->equation.n; q++)
		if (needed[c->equation.v[q].tensor]) {
			c->tensor.v[c->equation.v[q].tensor].equation = kept;
			c->equation.v[kept++] = c->equation.v[q];
		}
	c->equation.n = kept;
	if (!kept)
		return true;
	if (cascade_flops(c, NULL) > flops) {
		*why = "what the predicate is computed from is too much to interpret at these extents";
		return false;
	}
	diags_init(&d, a, "truth", "", 0);
	if (oracle_run(a, c, data, memory, &d))
		return true;
	*why = d.list.v[0].message;
	return false;
}

static bool find_inner(struct truth *t, const struct streams *s, const struct stream_plan *plan,
                       const struct expr *predicate, int n, int *level, const char **why)
{
	int64_t all = 1;
	for (uint32_t i = 0; i < s->cascade->index.n; i++) {
		bool mentioned = false, task = false;
		for (int k = 0; k < n; k++)
			mentioned |= expr_mentions(&s->cascade->pool, predicate[k], OP_INDEX, i);
		for (int k = 0; k < plan->ntasks; k++)
			task |= plan->task[k] == i;
		level[i] = i == plan->rows     ? LEVEL_ROW
		           : i == plan->walked ? LEVEL_WALKED
		           : task              ? LEVEL_TASK
		                               : LEVEL_INNER;
		if (level[i] != LEVEL_INNER || !mentioned)
			continue;
		all *= plan_extent(s, i);
		if (t->ninner == MAX_RANKS || all > INNER_LIMIT) {
			*why = "the predicate ranges over more than rows and what is walked";
			return false;
		}
		t->inner_extent[t->ninner] = plan_extent(s, i);
		t->inner[t->ninner++] = i;
	}
	return true;
}

struct truth *truth_new(struct arena *a, const struct streams *s, const struct stream_plan *plan,
                        struct oracle_tensor *data, const char **why)
{
	struct truth *t = arena_new(a, struct truth);
	struct expr predicate[1 + MAX_RANKS];
	int n = 0;
	bool *needed = arena_new_array(a, s->cascade->tensor.n, bool);
	t->indices = s->cascade->index.n;
	t->walked = plan->walked;
	t->extent = plan_extent(s, plan->walked);
	t->coordinate = arena_new_array(a, t->indices, int64_t);
	predicate[0] = presences(s, plan->stream, predicate + 1, &n);
	t->hull = predicate[0].id;
	t->programs = n + t->hull;
	if (!t->hull)
		memmove(predicate, predicate + 1, (size_t)n * sizeof *predicate);
	truth_needs(s, plan->stream, needed);
	int *level = arena_new_array(a, t->indices, int);
	if (!compute(a, s, needed, data, why) || !find_inner(t, s, plan, predicate, t->programs, level, why))
		return NULL;
	for (int i = 0; i < t->programs; i++)
		t->program[i] = program_compile(a, s->cascade, predicate[i], data, t->coordinate, level,
		                                plan->walked);
	return t;
}

static void evaluate(struct truth *t, struct program *p, int moved, bool hull, unsigned char *any,
                     unsigned char *all)
{
	p->moved = moved < p->moved ? moved : p->moved;
	for (int64_t at = 0; at < t->extent; at += CHUNK) {
		int n = t->extent - at < CHUNK ? (int)(t->extent - at) : CHUNK;
		t->coordinate[t->walked] = at;
		if (at && p->moved > LEVEL_WALKED)
			p->moved = LEVEL_WALKED;
		struct lanes x = program_run(p, n);
		for (int i = 0; i < n; i++) {
			unsigned char here =
			        x.value[i * x.stride] != 0 && (!x.present || x.present[i * x.stride]);
			any[at + i] |= (unsigned char)(here & hull);
			all[at + i] &= here;
		}
	}
	t->coordinate[t->walked] = 0;
	if (p->moved > LEVEL_WALKED)
		p->moved = LEVEL_WALKED;
}

static bool next_inner(struct truth *t)
{
	for (int k = t->ninner; k--;) {
		if (++t->coordinate[t->inner[k]] < t->inner_extent[k])
			return true;
		t->coordinate[t->inner[k]] = 0;
	}
	return false;
}

void truth_row(struct truth *t, const int64_t *coordinate, bool moved, unsigned char *any, unsigned char *all)
{
	memset(any, !t->hull, (size_t)t->extent);
	memset(all, 1, (size_t)t->extent);
	memcpy(t->coordinate, coordinate, t->indices * sizeof *coordinate);
	for (int k = 0; k < t->ninner; k++)
		t->coordinate[t->inner[k]] = 0;
	int level = moved ? LEVEL_TASK : LEVEL_ROW;
	do {
		for (int i = 0; i < t->programs; i++)
			evaluate(t, t->program[i], level, t->hull && !i, any, all);
		level = LEVEL_INNER;
	} while (next_inner(t));
}
