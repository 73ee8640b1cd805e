/* stages.h: one cascade through every stage before C, each against the one before, so that a disagreement
 * names the stage at fault.
 *
 *     oracle(cascade) = oracle(streams' cascade) = tile_run(tile_build(…)), with the checker and text between.
 */
#ifndef ATTUNE_TESTS_STAGES_H
#define ATTUNE_TESTS_STAGES_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "codegen/schedule.h"
#include "dsl/oracle.h"
#include "dsl/parse.h"

struct stages {
	struct arena *arena;
	struct cascade *cascade;
	const struct problem *problem;
	struct oracle_tensor *tensor; /* of the cascade, after the oracle */
	struct tile_program *program; /* of the last schedule */
	struct text fault;            /* "stage: what" of the first disagreement */
	uint64_t random;
	bool turned; /* compiled kernels get arguments whose ranks but the last lie in the opposite order */
	bool spreads; /* a NaN may reach half of an output beyond what it should: what a mask cuts off is times zero */
};

/* A file's text, empty when there is none. */
static inline char *stages_file(struct arena *a, const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	char *s = arena_alloc(a, SOURCE_LIMIT);
	*size = f ? fread(s, 1, SOURCE_LIMIT - 1, f) : 0;
	if (f)
		fclose(f);
	return s;
}

static uint32_t stages_below(uint64_t *state, uint32_t n)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((*state >> 33) % n);
}

static const struct machine stages_machine = {
	.isa = ISA_AVX512, .cores = 2, .l1 = 32 << 10, .l2 = 1 << 20, .l3 = 16 << 20};

static int64_t stages_count(const struct cascade *c, uint32_t t)
{
	int64_t n = 1, extent = 0;
	for (int k = 0; k < c->tensor.v[t].nranks; k++) {
		cascade_extent(c, c->tensor.v[t].extent[k], &extent);
		n *= extent;
	}
	return n;
}

/* Reals in [-2, 2) that their type holds; integers as lengths (one rank), or as names of segments. */
static void stages_fill(struct stages *s, uint32_t t)
{
	const struct tensor *x = &s->cascade->tensor.v[t];
	struct oracle_tensor *to = &s->tensor[t];
	to->count = stages_count(s->cascade, t);
	to->data = arena_new_array(s->arena, (size_t)to->count, double);
	for (int64_t i = 0; i < to->count; i++) {
		uint32_t r = stages_below(&s->random, 1 << 20);
		to->data[i] = x->dtype == DTYPE_BOOL           ? r % 3 != 0
		              : dtype_info[x->dtype].integer ? r % (x->nranks == 1 ? 97 : 4)
		                                             : dtype_round(x->dtype, (double)r / (1 << 18) - 2);
	}
}

/* Difference in units of the largest finite magnitude expected; infinite when one misses an infinity or a NaN
 * of the other. */
static double stages_apart(const double *expected, const double *got, int64_t n)
{
	double scale = 1, most = 0;
	for (int64_t i = 0; i < n; i++)
		if (isfinite(expected[i]))
			scale = fmax(scale, fabs(expected[i]));
	for (int64_t i = 0; i < n; i++) {
		bool same = expected[i] == got[i] || (isnan(expected[i]) && isnan(got[i]));
		double d = same ? 0 : fabs(expected[i] - got[i]) / scale;
		most = d <= most ? most : isnan(d) ? (double)INFINITY : d;
	}
	return most;
}

/* stages_apart of an output, which may have more NaN where they spread. */
static double stages_error(const struct stages *s, const double *expected, const double *got, int64_t n)
{
	int64_t more = 0;
	double *mended = s->spreads ? arena_new_array(s->arena, (size_t)n + 1, double) : NULL;
	for (int64_t i = 0; mended && i < n; i++) {
		bool spread = isnan(got[i]) && !isnan(expected[i]);
		mended[i] = spread ? expected[i] : got[i];
		more += spread;
	}
	return stages_apart(expected, mended && more <= n / 2 ? mended : got, n);
}

enum { STAGES_LIMIT = 1 << 30 };
#define STAGES_TOLERANCE 1e-9

__attribute__((format(printf, 2, 3))) static bool stages_fault(struct stages *s, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	text_add(&s->fault, arena_vprintf(s->arena, format, ap));
	va_end(ap);
	return false;
}

static bool stages_same(struct stages *s, const char *stage, const char *name, const double *got)
{
	uint32_t t = cascade_find_tensor(s->cascade, name);
	if (t == UINT32_MAX)
		return stages_fault(s, "%s: output %s is not the cascade's", stage, name);
	double error = stages_error(s, s->tensor[t].data, got, s->tensor[t].count);
	return error <= STAGES_TOLERANCE || stages_fault(s, "%s: %s is off by %g", stage, name, error);
}

/* The oracle on the streams' cascade, with the same inputs. */
static bool stages_derived(struct stages *s, const char *stage, const struct streams *streams)
{
	struct cascade *c = streams->cascade;
	struct diags d;
	struct oracle_tensor *tensor = arena_new_array(s->arena, c->tensor.n, struct oracle_tensor);
	for (uint32_t t = 0; t < c->tensor.n; t++)
		if (c->tensor.v[t].role == ROLE_IN)
			tensor[t] = s->tensor[cascade_find_tensor(s->cascade, c->tensor.v[t].name)];
	diags_init(&d, s->arena, stage, "", 0);
	if (!oracle_run(s->arena, c, tensor, STAGES_LIMIT, &d))
		return stages_fault(s, "%s: oracle: %s", stage, d.list.v[0].message);
	for (uint32_t t = 0; t < c->tensor.n; t++)
		if (c->tensor.v[t].role == ROLE_OUT && !stages_same(s, stage, c->tensor.v[t].name, tensor[t].data))
			return false;
	return true;
}

/* A cascade whose ranks are bound, and values of its inputs: random ones for those without data. False when
 * something is wrong already. */
static bool stages_begin_with(struct stages *s, struct arena *a, struct cascade *c, uint64_t seed,
                              struct oracle_tensor *inputs)
{
	struct diags d;
	*s = (struct stages){.arena = a, .cascade = c, .random = seed, .tensor = inputs};
	text_init(&s->fault, a);
	diags_init(&d, a, "cascade", "", 0);
	for (uint32_t t = 0; t < c->tensor.n; t++)
		if (c->tensor.v[t].role == ROLE_IN && !s->tensor[t].data)
			stages_fill(s, t);
	if (!cascade_check_bound(c, &d) || !oracle_run(a, c, s->tensor, STAGES_LIMIT, &d))
		return stages_fault(s, "oracle: %s", d.list.v[0].message);
	s->problem = problem_new(a, c, &stages_machine, &d);
	if (!s->problem)
		return stages_fault(s, "problem: %s", d.list.v[0].message);
	return stages_derived(s, "streams", s->problem->fused) &&
	       stages_derived(s, "streams, unfused", s->problem->unfused);
}

static inline bool stages_begin(struct stages *s, struct arena *a, struct cascade *c, uint64_t seed)
{
	return stages_begin_with(s, a, c, seed, arena_new_array(a, c->tensor.n, struct oracle_tensor));
}

static bool stages_text(struct stages *s, const struct tile_program *p)
{
	struct text once, twice, reason;
	struct diags d;
	text_init(&once, s->arena);
	text_init(&twice, s->arena);
	text_init(&reason, s->arena);
	tile_print(p, &once);
	diags_init(&d, s->arena, "tile", once.s, once.len);
	struct tile_program *q = tile_parse(s->arena, once.s, once.len, &d);
	if (!q)
		return stages_fault(s, "tile text: line %u: %s", d.list.v[0].line, d.list.v[0].message);
	tile_print(q, &twice);
	if (strcmp(once.s, twice.s))
		return stages_fault(s, "tile text: printed differently after parsing");
	return tile_check(q, &reason) || stages_fault(s, "tile text, parsed: %s", reason.s);
}

/* One legal schedule. */
__attribute__((unused)) static bool stages_schedule(struct stages *s, const struct schedule *schedule)
{
	struct tile_program *p = s->program = tile_build(s->arena, s->problem, schedule);
	struct text reason;
	text_init(&reason, s->arena);
	if (!tile_check(p, &reason))
		return stages_fault(s, "tile check: %s", reason.s);
	if (!stages_text(s, p))
		return false;
	double **tensor = arena_new_array(s->arena, p->tensor.n, double *);
	for (uint32_t i = 0; i < p->tensor.n && p->tensor.v[i].place == PLACE_ARGUMENT; i++) {
		uint32_t t = cascade_find_tensor(s->cascade, p->tensor.v[i].name);
		if (t == UINT32_MAX)
			return stages_fault(s, "tile: argument %s is not the cascade's", p->tensor.v[i].name);
		tensor[i] = p->tensor.v[i].role == ROLE_IN
		                    ? s->tensor[t].data
		                    : arena_new_array(s->arena, (size_t)s->tensor[t].count, double);
	}
	if (!tile_run(s->arena, p, tensor, false, &reason))
		return stages_fault(s, "tile run: %s", reason.s);
	for (uint32_t i = 0; i < p->tensor.n; i++)
		if (p->tensor.v[i].place == PLACE_ARGUMENT && p->tensor.v[i].role == ROLE_OUT &&
		    !stages_same(s, "tile program", p->tensor.v[i].name, tensor[i]))
			return false;
	return true;
}

/* A random legal point of the space; the default when fifty are not legal. */
__attribute__((unused)) static struct schedule stages_random(struct stages *s, enum isa isa)
{
	struct space space;
	space_init(s->arena, &space, s->problem, isa);
	for (int tries = 0; tries < 50; tries++) {
		struct point point = {0};
		for (int i = 0; i < space.dimensions; i++)
			point.choice[i] = (uint8_t)stages_below(&s->random, (uint32_t)space.dimension[i].choices);
		struct schedule schedule = space_schedule(&space, &point);
		if (!schedule_illegal(s->arena, s->problem, &schedule))
			return schedule;
	}
	return schedule_default(s->problem, isa);
}

/* A schedule's text reads back as it. */
static inline bool stages_text_is_kept(struct stages *s, const struct schedule *schedule)
{
	struct text once, twice;
	struct diags d;
	struct schedule back;
	text_init(&once, s->arena);
	text_init(&twice, s->arena);
	schedule_print(s->problem, schedule, &once);
	diags_init(&d, s->arena, "schedule", once.s, once.len);
	if (!schedule_parse(s->problem, once.s, once.len, &back, &d))
		return stages_fault(s, "schedule text: %s", d.list.v[0].message);
	schedule_print(s->problem, &back, &twice);
	return !strcmp(once.s, twice.s) ||
	       stages_fault(s, "schedule text is printed differently after parsing");
}

/* A schedule that must be legal, before it is compiled: its text is kept, and the interpreter is right. */
static inline bool stages_legal(struct stages *s, const struct schedule *schedule)
{
	const char *why = schedule_illegal(s->arena, s->problem, schedule);
	return !why ? stages_text_is_kept(s, schedule) && stages_schedule(s, schedule)
	            : stages_fault(s, "not legal: %s", why);
}

/* Tells of the schedule at fault. Always false. */
static inline bool stages_tell(struct stages *s, const struct schedule *schedule)
{
	struct text t;
	text_init(&t, s->arena);
	schedule_print(s->problem, schedule, &t);
	printf("# with the schedule\n%s", t.s);
	return false;
}

#endif
