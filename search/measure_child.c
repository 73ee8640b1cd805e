#include "search/measure_child.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "dsl/dtype.h"
#include "search/sandbox.h"

static const double far_behind = 1.5;   /* times the control's time */
static const double long_enough = 0.02; /* seconds of repetitions */
enum { MAX_PHASES = 64, MAX_THREADS = 256, LINE = 64 };

void verdict_fail(struct verdict *v, enum trial_status status, const char *format, ...)
{
	va_list ap;
	v->status = status;
	va_start(ap, format);
	vsnprintf(v->reason, sizeof v->reason, format, ap);
	va_end(ap);
}

/* Loaded code with its buffers: guarded ones to check with, plain ones to time with. */
struct instance {
	const struct binary *binary;
	struct module *module;
	at_phase *phase[MAX_PHASES];
	void *data[MAX_ARGUMENTS];
	const int64_t *stride[MAX_ARGUMENTS];
	void *work;
	void *scratch[MAX_THREADS];
	struct guarded guard[MAX_ARGUMENTS + MAX_THREADS + 1];
	int guards;
};

struct child {
	const struct place_limits *limits;
	void *pool; /* NULL: one thread */
};

static bool load(const struct child *c, struct instance *x, const struct binary *b, char reason[200])
{
	struct arena a;
	jmp_buf env;
	const struct tune_place *p = c->limits->place;
	const struct target_options options = tune_target_options(p, c->limits->optimise);
	*x = (struct instance){.binary = b};
	if (b->workload->arguments > MAX_ARGUMENTS || b->source->nphases > MAX_PHASES ||
	    p->threads > MAX_THREADS) {
		snprintf(reason, 200, "more arguments, phases or threads than can be tried");
		return false;
	}
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		struct text d;
		text_init(&d, &a);
		x->module = p->target->load(b->object, &options, &d);
		snprintf(reason, 200, "loading it: %.150s", x->module ? "" : d.s);
	}
	arena_free(&a);
	for (int i = 0; x->module && i < b->source->nphases; i++) {
		*(void **)&x->phase[i] = p->target->symbol(x->module, b->source->phase[i].symbol);
		if (!x->phase[i]) {
			snprintf(reason, 200, "it has no %s", b->source->phase[i].symbol);
			return false;
		}
	}
	for (int i = 0; i < b->workload->arguments; i++)
		x->stride[i] = b->workload->argument[i].stride;
	return x->module;
}

/* One buffer: guarded on a side, or plain (side < 0) for timing. */
static void *buffer(struct instance *x, size_t size, size_t align, int side)
{
	if (side < 0) {
		void *p = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE,
		               MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		return p == MAP_FAILED ? NULL : p;
	}
	struct guarded *g = &x->guard[x->guards];
	if (!guarded_alloc(g, size, align, (enum guard_side)side))
		return NULL;
	x->guards++;
	return g->data;
}

static bool place_buffers(const struct child *c, struct instance *x, int side)
{
	const struct workload *w = x->binary->workload;
	const struct kernel_source *s = x->binary->source;
	bool good = true;
	for (int i = 0; i < w->arguments && good; i++) {
		size_t align = (size_t)dtype_bytes(w->argument[i].dtype, 1);
		good = (x->data[i] = buffer(x, w->argument[i].bytes, align, side));
	}
	good = good && (x->work = buffer(x, (size_t)s->work_bytes, LINE, side));
	for (int i = 0; i < c->limits->place->threads && good; i++)
		good = (x->scratch[i] = buffer(x, (size_t)s->scratch_bytes, LINE, side));
	return good;
}

static void drop_guards(struct instance *x)
{
	for (int i = 0; i < x->guards; i++)
		guarded_free(&x->guard[i]);
	x->guards = 0;
}

static void put_inputs(struct instance *x, int set)
{
	const struct workload *w = x->binary->workload;
	for (int i = 0; i < w->arguments; i++) {
		if (w->argument[i].role == ROLE_IN)
			memcpy(x->data[i], w->input[set][i], w->argument[i].bytes);
	}
}

/* The kernel must not work longer than its limit: SIGPROF ends the child. The clock is the processor time of
 * all its threads, so that a busy machine fails nobody; what sleeps for ever meets the sandbox's deadline. */
static void alarm_in(const struct place_limits *limits, double runs)
{
	double seconds = runs * limits->seconds * limits->place->threads;
	struct itimerval t = {
	        .it_value = {.tv_sec = (time_t)seconds, .tv_usec = (suseconds_t)(fmod(seconds, 1) * 1e6)}};
	setitimer(ITIMER_PROF, &t, NULL);
}

static void run(const struct child *c, const struct instance *x)
{
	const struct kernel_source *s = x->binary->source;
	const struct at_args args = {x->data, x->stride, x->work};
	for (int i = 0; i < s->nphases; i++) {
		if (c->pool)
			c->limits->threads->run(c->pool, x->phase[i], &args, s->phase[i].tasks, x->scratch);
		else
			x->phase[i](&args, 0, s->phase[i].tasks, x->scratch[0]);
	}
}

static double timed(const struct child *c, const struct instance *x)
{
	double (*clock)(void) = c->pool ? wall_seconds : thread_seconds;
	double start = clock();
	run(c, x);
	return clock() - start;
}

static int64_t switches(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_nivcsw;
}

static bool outputs_right(const struct instance *x, int set, struct verdict *v)
{
	const struct workload *w = x->binary->workload;
	for (int i = 0; i < w->arguments; i++) {
		const struct argument *g = &w->argument[i];
		int64_t at;
		if (g->role != ROLE_OUT)
			continue;
		double error = workload_error(g, x->data[i], w->expected[set][i], &at);
		v->error = fmax(v->error, error);
		if (!(error <= workload_allows(w, i, set))) {
			verdict_fail(v, TRIAL_WRONG,
			             "%s[element %lld] is %g, not %g, on %s inputs at %s (error %.3g)",
			             g->name, (long long)at, dtype_load(g->dtype, x->data[i], at),
			             w->expected[set][i][at], input_set_name[set], w->shape, error);
			return false;
		}
	}
	for (int i = 0; i < x->guards; i++) {
		if (!guarded_intact(&x->guard[i])) {
			verdict_fail(v, TRIAL_WRONG, "it wrote beside a buffer at %s", w->shape);
			return false;
		}
	}
	for (int i = 0; i < w->arguments; i++) {
		if (w->argument[i].role == ROLE_IN &&
		    memcmp(x->data[i], w->input[set][i], w->argument[i].bytes)) {
			verdict_fail(v, TRIAL_WRONG, "it wrote to its input %s at %s", w->argument[i].name,
			             w->shape);
			return false;
		}
	}
	return true;
}

/* Both guards, all sets: set and side change together where that tries everything in fewer runs. */
static bool check(const struct child *c, struct instance *x, struct verdict *v)
{
	const struct workload *w = x->binary->workload;
	bool small = w->multiply_adds < 1e7;
	for (int side = GUARD_AFTER; side <= GUARD_BEFORE; side++) {
		if (!place_buffers(c, x, side)) {
			verdict_fail(v, TRIAL_CRASH, "no memory for its buffers at %s", w->shape);
			return false;
		}
		for (int set = 0; set < INPUT_SETS; set++) {
			/* At the real shape each guard gets one set, both sets one guard. */
			if (!w->expected[set] || (!small && w->expected[SET_LARGE] && set != side))
				continue;
			for (int i = 0; i < x->guards; i++)
				guarded_poison(&x->guard[i]);
			put_inputs(x, set);
			alarm_in(c->limits, 1);
			double seconds = timed(c, x);
			alarm_in(c->limits, 0);
			if (v->first == 0)
				v->first = seconds;
			if (!outputs_right(x, set, v))
				return false;
		}
		drop_guards(x);
		if (c->limits->hopeless > 0 && v->first > c->limits->hopeless)
			break; /* not worth a second look */
	}
	return true;
}

static void start(struct child *c, const struct place_limits *limits)
{
	*c = (struct child){.limits = limits};
	if (limits->place->threads > 1 && limits->threads)
		c->pool = limits->threads->start(limits->place->threads);
}

void measure_candidate_child(void *context, void *result)
{
	const struct candidate_job *j = context;
	struct verdict *v = result;
	struct child c;
	static struct instance x; /* the child's own: too large for a stack */
	start(&c, j->limits);
	v->status = TRIAL_OK;
	for (int i = 0; i < j->n; i++) {
		if (!load(&c, &x, &j->binary[i], v->reason)) {
			v->status = TRIAL_COMPILE_ERROR;
			return;
		}
		v->first = 0;
		if (!check(&c, &x, v))
			return;
	}
	static struct instance control;
	if (!j->repetitions || (j->limits->hopeless > 0 && v->first > j->limits->hopeless))
		return;
	if (!place_buffers(&c, &x, -1) || (j->control && (!load(&c, &control, j->control, v->reason) ||
	                                                  !place_buffers(&c, &control, -1)))) {
		verdict_fail(v, TRIAL_CRASH, "no memory to time it in");
		return;
	}
	put_inputs(&x, SET_NORMAL);
	alarm_in(c.limits, 2 * (j->repetitions + 1));
	run(&c, &x);
	if (j->control) {
		put_inputs(&control, SET_NORMAL);
		run(&c, &control);
	}
	int64_t before = switches();
	/* One that is far behind after a repetition is not measured further; quick ones are run more often.
	 */
	bool behind = false;
	double until = wall_seconds() + long_enough;
	for (v->runs = 0;
	     !behind && v->runs < MAX_ROUNDS && (v->runs < j->repetitions || wall_seconds() < until);
	     v->runs++) {
		v->control[v->runs] = j->control ? timed(&c, &control) : 0;
		v->seconds[v->runs] = timed(&c, &x);
		behind = j->control && v->seconds[v->runs] > far_behind * v->control[v->runs];
	}
	v->switches = switches() - before;
}

void measure_race_child(void *context, void *result)
{
	const struct race_job *j = context;
	struct race_result *r = result;
	struct child c;
	start(&c, j->limits);
	struct instance *x = calloc((size_t)j->n, sizeof *x);
	for (int k = 0; k < j->n; k++) {
		r->running = k;
		if (!x || !load(&c, &x[k], &j->binary[k], r->reason) || !place_buffers(&c, &x[k], -1)) {
			r->failed = true;
			return;
		}
		put_inputs(&x[k], SET_NORMAL);
		alarm_in(j->limits, 1);
		run(&c, &x[k]);
		alarm_in(j->limits, 0);
	}
	r->race.kernels = j->n;
	for (int i = 0; i < j->rounds; i++) {
		for (int turn = 0; turn < j->n; turn++) {
			/* Every second round backwards, so that no kernel always follows the same one. */
			int k = r->running = i % 2 ? j->n - 1 - turn : turn;
			int64_t before = switches();
			alarm_in(j->limits, 1);
			r->race.seconds[k][i] = timed(&c, &x[k]);
			alarm_in(j->limits, 0);
			r->race.switches[k] += switches() - before;
		}
		r->race.rounds = i + 1;
	}
	r->running = -1;
}

void measure_outputs_child(void *context, void *result)
{
	const struct outputs_job *j = context;
	struct outputs_result *r = result;
	struct child c;
	static struct instance x;
	start(&c, j->limits);
	if (!load(&c, &x, j->binary, r->reason))
		return;
	if (!place_buffers(&c, &x, -1)) {
		snprintf(r->reason, sizeof r->reason, "no memory for its buffers");
		return;
	}
	const struct workload *w = j->binary->workload;
	put_inputs(&x, j->set);
	for (int i = 0; i < w->arguments; i++) {
		if (w->argument[i].role == ROLE_OUT)
			memset(x.data[i], 0xff, w->argument[i].bytes);
	}
	run(&c, &x);
	for (int i = 0; i < w->arguments; i++) {
		for (int64_t e = 0; w->argument[i].role == ROLE_OUT && e < w->argument[i].count; e++)
			j->out[i][e] = dtype_load(w->argument[i].dtype, x.data[i], e);
	}
	r->good = true;
}

void measure_compile_child(void *context, void *result)
{
	const struct compile_job *j = context;
	struct compile_result *r = result;
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env))
		return;
	struct text d;
	struct object o = {0};
	const struct target_options options = tune_target_options(j->place, j->optimise);
	text_init(&d, &a);
	r->good = j->place->target->compile(j->text, &options, &o, &d);
	if (r->good && o.size > j->room) {
		r->good = false;
		text_add(&d, "the object is too large");
	}
	if (r->good)
		memcpy(j->bytes, o.bytes, r->size = o.size);
	else
		snprintf(r->reason, sizeof r->reason, "%.*s", (int)strcspn(d.s, "\n"), d.s);
}
