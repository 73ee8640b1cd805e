/* The forked children of measure.c where code runs on a device, or in the emulator of one.
 *
 * The device is opened here, in the child, and dies with it: a kernel that hangs or breaks the context breaks
 * nothing else. Buffers lie dense but for rows padded to what the text assumes, between edges that must stay
 * as they were where nobody else checks bounds.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dsl/dtype.h"
#include "search/measure_child.h"

static const double far_behind = 1.5;   /* times the control's time */
static const double long_enough = 0.02; /* seconds of repetitions */
enum { EDGE = 256, EDGE_BYTE = 0xa5, FLUSH = 2 /* times the second-level cache */ };

/* An argument in the device's memory. */
struct place {
	char *base, *data;
	int64_t stride[MAX_RANKS];
	size_t bytes;
	unsigned char *host; /* as it lies there, edges left out */
};

struct instance {
	const struct binary *binary;
	const struct target *target;
	struct module *module;
	struct place place[MAX_ARGUMENTS];
	void *work;
	size_t edge; /* 0: the target checks bounds */
	uint64_t *word;
	size_t words;
};

struct child {
	const struct place_limits *limits;
	struct arena arena;
	struct text why;
	void *flush,
	        *flushed; /* read and written between timed runs, so that none finds its inputs in a cache */
	size_t flush_bytes;
};

static const struct target_device *device_of(const struct instance *x)
{
	return x->target->device;
}

/* Rows padded to the alignment that the text assumes. */
static void lay_out(const struct argument *g, const struct kernel_argument *k, struct place *p)
{
	int64_t size = dtype_bytes(g->dtype, 1), unit = k->align > size ? k->align / size : 1, dense = 1;
	for (int r = g->nranks - 1; r >= 0; r--) {
		p->stride[r] = dense;
		dense *= g->extent[r];
		if (r == g->nranks - 1)
			dense = (dense + unit - 1) / unit * unit;
	}
	p->bytes = g->count ? (size_t)(dense * size) : 0;
}

/* The place of the i-th element in row-major order. */
static int64_t place_of(const struct argument *g, const struct place *p, int64_t i)
{
	int64_t at = 0;
	for (int r = g->nranks - 1; r >= 0; r--) {
		at += i % g->extent[r] * p->stride[r];
		i /= g->extent[r];
	}
	return at;
}

static bool place_argument(struct child *c, struct instance *x, int i)
{
	const struct argument *g = &x->binary->workload->argument[i];
	struct place *p = &x->place[i];
	lay_out(g, &x->binary->source->argument[i], p);
	p->host = arena_alloc(&c->arena, p->bytes + 2 * x->edge + 1);
	p->base = device_of(x)->allocate(p->bytes + 2 * x->edge, &c->why);
	p->data = p->base + x->edge;
	return p->base;
}

static bool load(struct child *c, struct instance *x, const struct binary *b, char reason[200])
{
	const struct tune_place *place = c->limits->place;
	const struct target_options options = tune_target_options(place, c->limits->optimise);
	const struct workload *w = b->workload;
	*x = (struct instance){
	        .binary = b, .target = place->target, .edge = place->target->device->emulated ? 0 : EDGE};
	size_t strides = 0;
	for (int i = 0; i < w->arguments; i++)
		strides += (size_t)w->argument[i].nranks;
	x->words = (size_t)w->arguments + strides + 1;
	x->module = w->arguments <= MAX_ARGUMENTS && b->source->narguments == w->arguments
	                    ? place->target->load(b->object, &options, &c->why)
	                    : NULL;
	bool good = x->module;
	for (int i = 0; i < w->arguments && good; i++)
		good = place_argument(c, x, i);
	good = good && (x->work = device_of(x)->allocate((size_t)b->source->work_bytes + 1, &c->why));
	if (!good) {
		snprintf(reason, 200, "loading it: %.150s", c->why.s ? c->why.s : "");
		return false;
	}
	uint64_t *word = x->word = arena_new_array(&c->arena, x->words, uint64_t);
	for (int i = 0; i < w->arguments; i++)
		*word++ = (uint64_t)(uintptr_t)x->place[i].data;
	for (int i = 0; i < w->arguments; i++)
		for (int r = 0; r < w->argument[i].nranks; r++)
			*word++ = (uint64_t)x->place[i].stride[r];
	*word = (uint64_t)(uintptr_t)x->work;
	return true;
}

/* Inputs of a set, outputs of NaN, edges. */
static bool put(struct child *c, struct instance *x, int set)
{
	const struct workload *w = x->binary->workload;
	for (int i = 0; i < w->arguments; i++) {
		const struct argument *g = &w->argument[i];
		struct place *p = &x->place[i];
		memset(p->host, EDGE_BYTE, p->bytes + 2 * x->edge);
		memset(p->host + x->edge, 0xff, p->bytes);
		size_t size = (size_t)dtype_bytes(g->dtype, 1);
		for (int64_t k = 0; g->role == ROLE_IN && k < g->count; k++)
			memcpy(p->host + x->edge + (size_t)place_of(g, p, k) * size,
			       (const char *)w->input[set][i] + (size_t)k * size, size);
		if (!device_of(x)->copy_in(p->base, p->host, p->bytes + 2 * x->edge, NULL, &c->why))
			return false;
	}
	return true;
}

static bool launch(struct child *c, const struct instance *x)
{
	const struct kernel_source *s = x->binary->source;
	for (int i = 0; i < s->nphases; i++)
		if (s->phase[i].tasks > 0 && !device_of(x)->launch(x->module, s, i, x->word,
		                                                   x->words * sizeof *x->word, NULL, &c->why))
			return false;
	return true;
}

/* One run; its seconds by the device's own clock where it has one. */
static bool run(struct child *c, const struct instance *x, double *seconds)
{
	const struct target_device *d = device_of(x);
	void *first = d->mark ? d->mark(NULL, &c->why) : NULL;
	double start = wall_seconds();
	bool good = (!d->mark || first) && launch(c, x);
	void *last = good && d->mark ? d->mark(NULL, &c->why) : NULL;
	good = good && d->wait(NULL, &c->why) && (!d->mark || last);
	*seconds = wall_seconds() - start;
	if (good && last)
		good = d->between(first, last, seconds, &c->why);
	if (first)
		d->unmark(first);
	if (last)
		d->unmark(last);
	return good;
}

/* Fills the caches with something else. */
static void flush(struct child *c)
{
	const struct target_device *d = c->limits->place->target->device;
	if (d->emulated)
		return;
	if (!c->flush) {
		c->flush_bytes = FLUSH * (size_t)(c->limits->place->machine->l2 + (1 << 20));
		c->flushed = calloc(1, c->flush_bytes);
		c->flush = c->flushed ? d->allocate(c->flush_bytes, &c->why) : NULL;
	}
	if (c->flush)
		d->copy_in(c->flush, c->flushed, c->flush_bytes, NULL, &c->why);
}

static bool edges_intact(const struct instance *x, const struct place *p)
{
	for (size_t i = 0; i < x->edge; i++)
		if (p->host[i] != EDGE_BYTE || p->host[x->edge + p->bytes + i] != EDGE_BYTE)
			return false;
	return true;
}

static bool right(struct child *c, struct instance *x, int set, struct verdict *v)
{
	const struct workload *w = x->binary->workload;
	for (int i = 0; i < w->arguments; i++) {
		const struct argument *g = &w->argument[i];
		struct place *p = &x->place[i];
		size_t size = (size_t)dtype_bytes(g->dtype, 1);
		if (!device_of(x)->copy_out(p->host, p->base, p->bytes + 2 * x->edge, NULL, &c->why)) {
			verdict_fail(v, TRIAL_CRASH, "%.150s", c->why.s);
			return false;
		}
		if (!edges_intact(x, p)) {
			verdict_fail(v, TRIAL_WRONG, "it wrote beside %s at %s", g->name, w->shape);
			return false;
		}
		char *got = arena_alloc(&c->arena, g->bytes + 1);
		for (int64_t k = 0; k < g->count; k++)
			memcpy(got + (size_t)k * size, p->host + x->edge + (size_t)place_of(g, p, k) * size,
			       size);
		if (g->role == ROLE_IN) {
			if (memcmp(got, w->input[set][i], g->bytes)) {
				verdict_fail(v, TRIAL_WRONG, "it wrote to its input %s at %s", g->name,
				             w->shape);
				return false;
			}
			continue;
		}
		int64_t at;
		double error = workload_error(g, got, w->expected[set][i], &at);
		v->error = fmax(v->error, error);
		if (!(error <= workload_allows(w, i, set))) {
			verdict_fail(v, TRIAL_WRONG,
			             "%s[element %lld] is %g, not %g, on %s inputs at %s (error %.3g)",
			             g->name, (long long)at, dtype_load(g->dtype, got, at),
			             w->expected[set][i][at], input_set_name[set], w->shape, error);
			return false;
		}
	}
	return true;
}

static bool check(struct child *c, struct instance *x, struct verdict *v)
{
	const struct workload *w = x->binary->workload;
	for (int set = 0; set < INPUT_SETS; set++) {
		double seconds;
		if (!w->expected[set])
			continue;
		if (!put(c, x, set) || !run(c, x, &seconds)) {
			verdict_fail(v, TRIAL_CRASH, "%.180s", c->why.s);
			return false;
		}
		if (v->first == 0)
			v->first = seconds;
		if (!right(c, x, set, v))
			return false;
	}
	return true;
}

static void start(struct child *c, const struct place_limits *limits)
{
	*c = (struct child){.limits = limits};
	arena_init(&c->arena);
	text_init(&c->why, &c->arena);
}

/* Times the last binary in turns with the control. */
static bool repeat(struct child *c, const struct candidate_job *j, struct instance *x, struct verdict *v)
{
	static struct instance control;
	double warm;
	bool good = put(c, x, SET_NORMAL) && run(c, x, &warm);
	if (v->first == 0)
		v->first = warm;
	if (good && j->control)
		good = load(c, &control, j->control, v->reason) && put(c, &control, SET_NORMAL) &&
		       run(c, &control, &warm);
	bool behind = false;
	double until = wall_seconds() + long_enough;
	for (v->runs = 0;
	     good && !behind && v->runs < MAX_ROUNDS && (v->runs < j->repetitions || wall_seconds() < until);
	     v->runs++) {
		double *own = &v->seconds[v->runs], *other = &v->control[v->runs];
		*other = 0;
		flush(c);
		if (j->control)
			good = run(c, &control, other);
		flush(c);
		good = good && run(c, x, own);
		behind = j->control && *own > far_behind * *other;
	}
	return good;
}

static void candidate(struct child *c, const struct candidate_job *j, struct verdict *v)
{
	static struct instance x;
	v->status = TRIAL_OK;
	for (int i = 0; i < j->n; i++) {
		if (!load(c, &x, &j->binary[i], v->reason)) {
			v->status = TRIAL_COMPILE_ERROR;
			return;
		}
		v->first = 0;
		if (!check(c, &x, v))
			return;
	}
	if (!j->repetitions || (j->limits->hopeless > 0 && v->first > j->limits->hopeless))
		return;
	if (!repeat(c, j, &x, v))
		verdict_fail(v, TRIAL_CRASH, "%.180s", c->why.s ? c->why.s : v->reason);
}

void measure_candidate_device(void *job, void *verdict)
{
	static struct child c;
	jmp_buf env;
	start(&c, ((const struct candidate_job *)job)->limits);
	if (ARENA_TRY(&c.arena, &env))
		candidate(&c, job, verdict);
	else
		verdict_fail(verdict, TRIAL_CRASH, "no memory to try it in");
}

static bool race(struct child *c, const struct race_job *j, struct race_result *r)
{
	struct instance *x = arena_new_array(&c->arena, (size_t)j->n, struct instance);
	double warm;
	for (int k = 0; k < j->n; k++) {
		r->running = k;
		if (!load(c, &x[k], &j->binary[k], r->reason) || !put(c, &x[k], SET_NORMAL) ||
		    !run(c, &x[k], &warm))
			return false;
	}
	r->race.kernels = j->n;
	for (int i = 0; i < j->rounds; i++) {
		for (int turn = 0; turn < j->n; turn++) {
			/* Every second round backwards, so that no kernel always follows the same one. */
			int k = r->running = i % 2 ? j->n - 1 - turn : turn;
			flush(c);
			if (!run(c, &x[k], &r->race.seconds[k][i]))
				return false;
		}
		r->race.rounds = i + 1;
	}
	r->running = -1;
	return true;
}

void measure_race_device(void *job, void *result)
{
	static struct child c;
	struct race_result *r = result;
	jmp_buf env;
	start(&c, ((const struct race_job *)job)->limits);
	if (!ARENA_TRY(&c.arena, &env)) {
		r->failed = true;
		snprintf(r->reason, sizeof r->reason, "no memory to race in");
	} else if (!race(&c, job, r)) {
		r->failed = true;
		if (!*r->reason)
			snprintf(r->reason, sizeof r->reason, "%.180s", c.why.s ? c.why.s : "");
	}
}
