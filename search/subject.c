#include "search/subject.h"

#include <math.h>
#include <string.h>

#include "search/model.h"
#include "search/prior.h"

/* A cascade at one shape. */
struct bound {
	struct cascade *cascade;
	struct problem *problem;
};

struct cascade_subject {
	struct subject subject;            /* first: the owner of both is the same */
	struct bound bound[MAX_WORKLOADS]; /* as subject.workload */
	struct space space;
	struct arena *arena, scratch; /* scratch: of questions about legality, emptied now and then */
	const struct tune_place *place;
	struct tune_place host; /* where references run: `place`, but for a device */
	struct machine machine; /* of the host, for a device */
	const struct tune_threads *threads;
};

enum { SCRATCH_LIMIT = 4 << 20 };

static struct arena *scratch(struct cascade_subject *s)
{
	if (s->scratch.total > SCRATCH_LIMIT)
		arena_free(&s->scratch);
	s->scratch.out_of_memory = s->arena->out_of_memory;
	return &s->scratch;
}

static const struct problem *real(const struct cascade_subject *s)
{
	return s->bound[s->subject.workloads - 1].problem;
}

static struct schedule schedule_at(void *owner, const struct point *p)
{
	return space_schedule(&((struct cascade_subject *)owner)->space, p);
}

static struct point nearest(void *owner, const struct schedule *schedule)
{
	return space_nearest(&((struct cascade_subject *)owner)->space, schedule);
}

static bool legal(void *owner, const struct point *p)
{
	struct cascade_subject *s = owner;
	struct schedule schedule = space_schedule(&s->space, p);
	return !schedule_illegal(scratch(s), real(s), &schedule);
}

static const char *schedule_text(void *owner, struct arena *a, const struct schedule *schedule)
{
	struct text t;
	text_init(&t, a);
	schedule_print(real(owner), schedule, &t);
	return t.s;
}

static bool parse(void *owner, struct arena *a, const char *text, struct schedule *schedule)
{
	struct cascade_subject *s = owner;
	struct diags d;
	diags_init(&d, a, "schedule", text, strlen(text));
	return schedule_parse(real(s), text, strlen(text), schedule, &d) && schedule->isa == s->place->isa &&
	       !schedule_illegal(a, real(s), schedule);
}

static bool render(void *owner, struct arena *a, const struct schedule *schedule, int workload,
                   struct kernel_source *source)
{
	struct cascade_subject *s = owner;
	const struct problem *p = s->bound[workload].problem;
	struct schedule fitted = *schedule;
	for (int i = 0;
	     isa_is_device(fitted.isa) && workload < s->subject.workloads - 1 && i < fitted.nstreams; i++)
		schedule_device_lanes(p, &fitted, i);
	schedule = &fitted;
	if (schedule_illegal(a, p, schedule))
		return false;
	*source = emit_kernel(a, tile_build(a, p, schedule), schedule->isa, schedule->exp_degree);
	return source->text; /* without it the schedule passes a limit of the device */
}

static double model(void *owner, struct arena *a, const struct schedule *schedule,
                    const struct kernel_source *source, const struct resources *resources)
{
	struct cascade_subject *s = owner;
	return model_seconds(tile_build(a, real(s), schedule), source, resources, s->place->machine);
}

static const char *refused(void *owner, struct arena *a)
{
	struct cascade_subject *s = owner;
	struct kernel_source k = {0};
	const char *why = schedule_illegal(a, real(s), &s->subject.control);
	if (!why && !render(owner, a, &s->subject.control, s->subject.workloads - 1, &k))
		why = k.reason;
	return why;
}

static double estimate(void *owner, struct arena *a, const struct schedule *schedule)
{
	struct cascade_subject *s = owner;
	struct kernel_source k;
	if (!s->place->target->device)
		return prior_seconds(tile_build(a, real(s), schedule), schedule, s->place->machine, s->place->threads);
	return render(owner, a, schedule, s->subject.workloads - 1, &k) ? model(owner, a, schedule, &k, NULL)
	                                                                 : (double)INFINITY;
}

static void close_subject(void *owner)
{
	arena_free(&((struct cascade_subject *)owner)->scratch);
}

/* ---- small shapes ---- */

enum { HEAD = 96, DEVICE_HEAD = 512 }; /* the most coordinates that the size of a head has */

/* Extents to try for a rank in place of a larger one, the most awkward first. Ranks of rows and keys get odd
 * numbers that differ from each other; a rank the size of a head keeps about its size, so that the lanes of a
 * schedule still mean something. */
static int awkward(int64_t extent, int64_t head, uint32_t rank, int variant, int64_t out[6])
{
	static const int64_t odd[2][3] = {{67, 131, 45}, {200, 63, 101}};
	int n = 0;
	if (extent > head)
		out[n++] = odd[variant][rank % 3];
	else if (extent > 16)
		out[n++] = variant ? extent - 4 : extent;
	else if (extent > 3)
		out[n++] = 3;
	for (int64_t half = extent / 2; half > 2 && n < 5; half /= 2) {
		if (half <= 64)
			out[n++] = half;
	}
	return n;
}

/* The cascade at a small shape near its own; ranks that must divide others keep what they need. */
static struct cascade *shrink(struct arena *a, const struct cascade *c, const bool *whole, int variant)
{
	struct cascade *small = cascade_clone(a, c);
	for (uint32_t i = 0; i < small->rank.n; i++) {
		int64_t *extent = &small->rank.v[i].extent, was = *extent, choice[6];
		int n = awkward(was, whole && whole[i] ? DEVICE_HEAD : HEAD, i, variant, choice);
		for (int k = 0; k < n; k++) {
			struct diags d;
			diags_init(&d, a, "shape", "", 0);
			*extent = choice[k];
			if (cascade_check_bound(small, &d))
				break;
			*extent = was;
		}
	}
	return small;
}

/* ---- expected values ---- */

static const double oracle_work = 5e8;     /* multiply-adds: a few seconds */
static const double reference_work = 2e10; /* … of the reference: a minute */
#define ORACLE_MEMORY ((size_t)4 << 30)
#define REFERENCE_WORK_BYTES ((int64_t)2 << 30)

/* The reference kernel of a workload: naive where its intermediates fit in memory, else the default's form.
 */
static bool form_source(struct cascade_subject *s, struct arena *a, enum dtype compute, int workload,
                        struct kernel_source *source)
{
	const struct problem *p = s->bound[workload].problem;
	struct schedule forms[] = {schedule_naive(p, ISA_SCALAR), schedule_default(p, ISA_SCALAR)};
	for (int i = 0; i < 2; i++) {
		forms[i].compute = compute;
		forms[i].isa = ISA_SCALAR;
		for (int k = 0; k < forms[i].nstreams; k++) /* as that type lets operands stand */
			schedule_settle_steps(p, &forms[i], k, &forms[i].stream[k]);
		if (schedule_illegal(a, p, &forms[i]))
			continue;
		*source = emit_c(a, tile_build(a, p, &forms[i]), ISA_SCALAR, forms[i].exp_degree);
		if (source->work_bytes <= REFERENCE_WORK_BYTES)
			return true;
	}
	return false;
}

/* Outputs of the reference kernel, which stores them in their own types. */
static bool form_run(struct cascade_subject *s, struct arena *a, enum dtype compute, int workload, int set,
                     double **out, struct text *reason)
{
	struct kernel_source source;
	struct object object;
	bool timeout;
	char why[200];
	const struct place_limits limits = {&s->host, s->threads, 3, 600, 0};
	const struct workload *w = s->subject.workload[workload];
	if (!form_source(s, a, compute, workload, &source)) {
		text_printf(reason, "no scalar %s form at %s", dtype_info[compute].spelling, w->shape);
		return false;
	}
	bool good = measure_compile(&s->host, source.text, 3, 120, &object, &timeout, why);
	if (good) {
		const struct binary b = {w, &source, &object};
		good = measure_outputs(&limits, &b, set, out, why);
		object_free(&object);
	}
	if (!good)
		text_printf(reason, "the scalar %s form at %s: %s", dtype_info[compute].spelling, w->shape,
		            why);
	return good;
}

static double **outputs(struct arena *a, const struct workload *w)
{
	double **out = arena_new_array(a, (size_t)w->arguments, double *);
	for (int i = 0; i < w->arguments; i++) {
		if (w->argument[i].role == ROLE_OUT)
			out[i] = arena_new_array(a, (size_t)w->argument[i].count, double);
	}
	return out;
}

/* Does the reference agree with the oracle at a small shape, as closely as the types of outputs allow? A
 * reference that is wrong must not pass. */
static bool reference_agrees(struct cascade_subject *s, struct arena *a, int workload, struct text *reason)
{
	const struct workload *w = s->subject.workload[workload];
	double **got = outputs(a, w);
	if (!form_run(s, a, DTYPE_F64, workload, SET_NORMAL, got, reason))
		return false;
	for (int i = 0; i < w->arguments; i++) {
		struct argument x = w->argument[i];
		int64_t at;
		if (x.role != ROLE_OUT)
			continue;
		double bound =
		        workload_bound(x.dtype, SET_NORMAL) / 4; /* rounding to a type of the output's */
		x.dtype = DTYPE_F64;
		double error = workload_error(&x, got[i], w->expected[SET_NORMAL][i], &at);
		if (!(error <= bound)) {
			text_printf(reason,
			            "the float64 reference disagrees with the oracle on %s at %s by %.3g",
			            x.name, w->shape, error);
			return false;
		}
	}
	return true;
}

/* The real shape of a device may be far beyond what a reference on the host can do. */
static bool too_large(const struct cascade_subject *s, int workload)
{
	return s->place->target->device && s->subject.workload[workload]->multiply_adds > reference_work;
}

static bool expect(struct cascade_subject *s, int workload, int set, struct text *reason)
{
	struct workload *w = s->subject.workload[workload];
	const bool small = workload < s->subject.workloads - 1;
	if (too_large(s, workload))
		return true;
	if (small || w->multiply_adds <= oracle_work)
		return workload_oracle(s->arena, w, s->bound[workload].cascade, set, ORACLE_MEMORY, reason);
	double **out = outputs(s->arena, w);
	if (!form_run(s, s->arena, DTYPE_F64, workload, set, out, reason))
		return false;
	w->expected[set] = out;
	return true;
}

/* The errors of the naive scalar form in f32 at the real shape: what rounding alone does to this program. The
 * small shapes stay strict, so that a fault of all forms cannot hide behind it. */
static bool careful(void *owner, struct text *reason)
{
	struct cascade_subject *s = owner;
	int real_one = s->subject.workloads - 1;
	struct workload *w = s->subject.workload[real_one];
	double **got = outputs(s->arena, w);
	if (!form_run(s, s->arena, DTYPE_F32, real_one, SET_NORMAL, got, reason))
		return false;
	double *error = arena_new_array(s->arena, (size_t)w->arguments, double);
	for (int i = 0; i < w->arguments; i++) {
		struct argument x = w->argument[i];
		int64_t at;
		x.dtype = DTYPE_F64;
		if (x.role == ROLE_OUT && !dtype_info[w->argument[i].dtype].integer)
			error[i] = workload_error(&x, got[i], w->expected[SET_NORMAL][i], &at);
	}
	w->careful = error;
	return true;
}

static bool bind(struct cascade_subject *s, struct cascade *c, struct text *reason)
{
	struct diags d;
	diags_init(&d, s->arena, c->name, "", 0);
	struct problem *p = problem_new(s->arena, c, s->place->machine, &d);
	if (!p) {
		text_add(reason, d.list.n ? d.list.v[0].message : "the cascade cannot be scheduled");
		return false;
	}
	int i = s->subject.workloads++;
	s->bound[i] = (struct bound){c, p};
	s->subject.workload[i] = workload_new(s->arena, c);
	return true;
}

static bool same_shape(const struct cascade *x, const struct cascade *y)
{
	for (uint32_t i = 0; i < x->rank.n; i++) {
		if (x->rank.v[i].extent != y->rank.v[i].extent)
			return false;
	}
	return true;
}

/* The ranks that a device's tiles hold whole, neither rows nor walked: their alignment decides how tiles are
 * brought, so it stays as it is. */
static const bool *held_whole(struct cascade_subject *s, const struct cascade *c)
{
	struct diags d;
	diags_init(&d, s->arena, c->name, "", 0);
	bool *whole = arena_new_array(s->arena, c->rank.n + 1, bool);
	struct problem *p = problem_new(s->arena, c, s->place->machine, &d);
	for (uint32_t i = 0; i < c->rank.n; i++)
		whole[i] = p;
	for (uint32_t k = 0; p && k < p->fused->stream.n; k++) {
		const struct cascade *derived = p->fused->cascade;
		const uint32_t along[] = {p->fused_plan[k].rows, p->fused_plan[k].walked};
		for (int j = 0; j < 2; j++)
			for (uint32_t i = 0; along[j] != NO_INDEX && i < c->rank.n; i++)
				if (expr_mentions(&derived->pool, derived->index.v[along[j]].extent,
				                  OP_EXTENT, i))
					whole[i] = false;
	}
	return whole;
}

static bool bind_all(struct cascade_subject *s, const struct cascade *c, struct text *reason)
{
	struct cascade *before = NULL;
	const bool *whole = s->place->target->device ? held_whole(s, c) : NULL;
	for (int variant = 1; variant >= 0; variant--) {
		struct cascade *small = shrink(s->arena, c, whole, variant);
		if (same_shape(small, c) || (before && same_shape(small, before)))
			continue;
		if (!bind(s, small, reason))
			return false;
		before = small;
	}
	return bind(s, cascade_clone(s->arena, c), reason);
}

/* Who computes references: the place itself, or on the host the best target there is. */
static bool find_host(struct cascade_subject *s, struct text *reason)
{
	s->host = *s->place;
	if (!s->place->target->device)
		return true;
	machine_detect(&s->machine);
	s->host = (struct tune_place){
	        .machine = &s->machine, .isa = ISA_SCALAR, .threads = s->threads ? s->machine.cores : 1};
	for (int i = 0; targets[i] && !s->host.target; i++)
		if (!targets[i]->device && !targets[i]->missing(s->arena))
			s->host.target = targets[i];
	if (!s->host.target && !s->place->modelled)
		text_add(reason, "no compiler for the host, which computes what has to come out");
	return s->host.target || s->place->modelled;
}

struct subject *subject_new(struct arena *a, const struct cascade *c, const struct tune_place *place,
                            const struct tune_threads *threads, uint64_t seed, struct text *reason,
                            struct text *note)
{
	static const double amplitude[INPUT_SETS] = {1, 5};
	struct cascade_subject *s = arena_new(a, struct cascade_subject);
	s->arena = a;
	s->place = place;
	s->threads = threads;
	arena_init(&s->scratch);
	if (!find_host(s, reason) || !bind_all(s, c, reason))
		return NULL;
	for (int i = 0; i < s->subject.workloads; i++) {
		const bool small = i < s->subject.workloads - 1;
		if (place->modelled && !small && i)
			break; /* it is not run */
		for (int set = 0; set < (small ? INPUT_SETS : 1); set++) {
			workload_inputs(a, s->subject.workload[i], s->bound[i].cascade, set, amplitude[set],
			                seed + (uint64_t)i);
			if (!expect(s, i, set, reason))
				return NULL;
		}
		const struct workload *w = s->subject.workload[s->subject.workloads - 1];
		if (small && w->multiply_adds > oracle_work && !place->modelled &&
		    !too_large(s, s->subject.workloads - 1) && !reference_agrees(s, a, i, reason))
			return NULL;
	}
	if (s->subject.workloads == 1 && s->subject.workload[0]->multiply_adds > oracle_work)
		text_add(note, "no small shape of this kernel could be made: it was checked against its own "
		               "reference kernel only");
	if (!place->modelled && too_large(s, s->subject.workloads - 1))
		text_add(note, "the real shape is too large for a reference: it was checked at small ones");
	space_init(a, &s->space, real(s), place->isa);
	s->subject.grid = (struct grid){.dimensions = s->space.dimensions, .legal = legal, .owner = s};
	for (int i = 0; i < s->space.dimensions; i++)
		s->subject.grid.choices[i] = s->space.dimension[i].choices;
	s->subject.space = &s->space;
	s->subject.control = schedule_default(real(s), place->isa);
	s->subject.schedule = schedule_at;
	s->subject.nearest = nearest;
	s->subject.text = schedule_text;
	s->subject.parse = parse;
	s->subject.render = render;
	s->subject.estimate = estimate;
	s->subject.model = place->modelled ? model : NULL;
	s->subject.close = close_subject;
	s->subject.careful = careful;
	s->subject.refused = refused;
	s->subject.owner = s;
	return &s->subject;
}
