#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dsl/dtype.h"
#include "gpu/check.h"
#include "gpu/probe.h"
#include "gpu/run.h"

enum { WARM_UPS = 5, ROUNDS = 25, REPEATS = 3, MOST_RUNS = 50, MOST_SETS = 16 };
static const double least_round = 1e-3;         /* seconds; shorter kernels run several times a round */
static const double least_rotation = 256 << 20; /* bytes; more than any cache */
static const double grace = 20;                 /* seconds that the last job may take past the budget */
static const size_t oracle_memory = (size_t)32 << 30;

/* What a child keeps from one job to the next of the same case. */
struct bench {
	const struct check_work *work;
	const struct target_device *device;
	struct check_results *results;
	struct arena *kept; /* as long as the child */
	struct module *probes;
	struct kernel_source probe_source;

	const struct pack_case *c;
	struct arena arena; /* of the case */
	struct cascade *cascade;
	struct workload *workload;
	struct run_memory memory;
	double **expected;
	struct module *control; /* the default kernel */
	const struct pack_kernel *control_kernel;
};

static const struct pack_kernel *find_kernel(const struct bench *b, const struct pack_case *c,
                                             enum kernel_role role)
{
	for (uint32_t i = 0; i < c->kernel.n; i++)
		if (c->kernel.v[i].role == role && c->kernel.v[i].capability == b->work->probe->capability)
			return &c->kernel.v[i];
	return NULL;
}

static struct module *load(struct bench *b, const struct pack_kernel *k, struct text *why)
{
	struct target_options options = {.isa = ISA_SM80, .optimise = 3, .capability = k->capability};
	struct object object;
	if (!object_read(b->work->directory, k->file, &object, why))
		return NULL;
	struct module *m = b->work->target->load(&object, &options, why);
	object_free(&object);
	return m;
}

/* ---- the device, its primitives, its memory ---- */

static bool probes_loaded(struct bench *b, struct text *why)
{
	if (b->probes)
		return true;
	b->probe_source = b->work->probe->source;
	if (strcmp(probe_source(b->kept).digest, b->probe_source.digest) ||
	    b->probe_source.nphases != PROBES + 1) {
		text_add(why, "the pack's probes are of another attune: make it anew, 'make gpu-pack'");
		return false;
	}
	return (b->probes = load(b, b->work->probe, why));
}

static bool launch_words(struct bench *b, int phase, void *const data[2], struct text *why)
{
	int64_t words[] = {(int64_t)(intptr_t)data[0], (int64_t)(intptr_t)data[1], 1, 1, 0};
	return b->device->launch(b->probes, &b->probe_source, phase, words, sizeof words, NULL, why);
}

static bool run_probe(struct bench *b, struct arena *a, int index, struct text *why)
{
	const struct probe *p = &probes[index];
	const struct target_device *d = b->device;
	size_t size = PROBE_WORDS * sizeof(uint32_t);
	uint32_t *in = arena_alloc(a, size), *got = arena_alloc(a, size), *want = arena_alloc(a, size);
	uint64_t random = 2026;
	bool good = probes_loaded(b, why);
	void *data[2] = {good ? d->allocate(size, why) : NULL, good ? d->allocate(size, why) : NULL};
	good = data[0] && data[1];
	for (int round = 0; round < REPEATS && good; round++) {
		p->fill(in, &random);
		p->expect(in, want);
		good = d->copy_in(data[0], in, size, NULL, why) &&
		       d->copy_in(data[1], memset(got, 0xff, size), size, NULL, why) &&
		       launch_words(b, index, data, why) && d->wait(NULL, why) &&
		       d->copy_out(got, data[1], size, NULL, why);
		for (uint32_t k = 0; k < (uint32_t)p->out && good; k++) {
			good = got[k] == want[k] || (p->good && p->good(k, got[k], want[k]));
			if (!good)
				text_printf(why, "word %u is %08x, not %08x", k, got[k], want[k]);
		}
	}
	for (int i = 0; i < 2; i++)
		if (data[i])
			d->release(data[i]);
	return good;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static struct timing timing_of(double *seconds, int n)
{
	qsort(seconds, (size_t)n, sizeof *seconds, compare_doubles);
	return (struct timing){n ? seconds[n / 2] : 0, n ? seconds[n / 4] : 0,
	                       n ? seconds[n - 1 - n / 4] : 0};
}

static bool copy_once(struct bench *b, void *const data[2], double *seconds, struct text *why)
{
	const struct target_device *d = b->device;
	void *first = d->mark(NULL, why), *last = NULL;
	bool good = first && launch_words(b, PROBES, data, why) && (last = d->mark(NULL, why)) &&
	            d->between(first, last, seconds, why);
	if (first)
		d->unmark(first);
	if (last)
		d->unmark(last);
	return good;
}

static bool run_copy(struct bench *b, struct job_result *r, struct text *why)
{
	const struct target_device *d = b->device;
	double seconds[ROUNDS];
	bool good = probes_loaded(b, why);
	size_t size = good ? (size_t)b->probe_source.phase[PROBES].tasks * COPY_BLOCK : 0;
	void *data[2] = {good ? d->allocate(size, why) : NULL, good ? d->allocate(size, why) : NULL};
	good = data[0] && data[1];
	for (int i = -WARM_UPS; i < ROUNDS && good; i++)
		good = copy_once(b, data, &seconds[i < 0 ? 0 : i], why);
	if (good) {
		r->own = timing_of(seconds, ROUNDS);
		r->bandwidth = 2 * (double)size / r->own.seconds;
		r->peer_bandwidth = b->work->peers ? peers_copy(b->work->peers, (double)size) : 0;
	}
	for (int i = 0; i < 2; i++)
		if (data[i])
			d->release(data[i]);
	return good;
}

/* ---- a case ---- */

static void close_case(struct bench *b)
{
	if (!b->c)
		return;
	run_memory_free(&b->memory);
	if (b->control)
		b->work->target->unload(b->control);
	b->control = NULL;
	b->c = NULL;
	arena_free(&b->arena);
}

static int64_t most_work(const struct bench *b, const struct pack_case *c)
{
	int64_t most = 0;
	for (uint32_t i = 0; i < c->kernel.n; i++)
		if (c->kernel.v[i].capability == b->work->probe->capability &&
		    c->kernel.v[i].source.work_bytes > most)
			most = c->kernel.v[i].source.work_bytes;
	return most;
}

/* Inputs on the device, in as many copies as a rotation takes where the case is timed. */
static bool open_case(struct bench *b, const struct pack_case *c, jmp_buf *env, struct text *why)
{
	if (b->c == c)
		return true;
	close_case(b);
	arena_init(&b->arena);
	b->arena.out_of_memory = env;
	b->c = c;
	b->expected = NULL;
	b->control_kernel = find_kernel(b, c, KERNEL_DEFAULT);
	if (!b->control_kernel) {
		text_printf(why, "the pack has no default kernel of it for sm_%d",
		            b->work->probe->capability);
		return false;
	}
	if (!(b->cascade = case_cascade(&b->arena, c, why)))
		return false;
	b->workload = workload_new(&b->arena, b->cascade);
	case_inputs(&b->arena, c, b->workload);
	double sets = c->timed ? ceil(least_rotation / fmax(c->bytes, 1)) : 1;
	return run_memory_new(&b->memory, &b->arena, b->device, b->workload,
	                      (int)fmin(fmax(sets, 1), MOST_SETS), most_work(b, c), why) &&
	       (b->control = load(b, b->control_kernel, why));
}

static void **new_outputs(struct bench *b, struct arena *a)
{
	const struct workload *w = b->workload;
	void **out = arena_new_array(a, (size_t)w->arguments, void *);
	for (int i = 0; i < w->arguments; i++)
		out[i] = w->argument[i].role == ROLE_OUT ? arena_alloc(a, w->argument[i].bytes + 1) : NULL;
	return out;
}

static bool poisoned_run(struct bench *b, struct module *m, const struct pack_kernel *k, void *const *out,
                         struct text *why)
{
	return run_poison(&b->memory, why) && run_once(&b->memory, m, &k->source, 0, why) &&
	       run_outputs(&b->memory, out, why);
}

/* What large cases are held against: the same program multiplied in f32, by a kernel of its own. */
static bool expect_exact(struct bench *b, struct text *why)
{
	const struct pack_kernel *k = find_kernel(b, b->c, KERNEL_EXACT);
	const struct workload *w = b->workload;
	if (!k) {
		text_add(why, "not compared: the pack has no exact kernel of it");
		return false;
	}
	struct module *m = load(b, k, why);
	void **out = new_outputs(b, &b->arena);
	bool good = m && poisoned_run(b, m, k, out, why);
	if (m)
		b->work->target->unload(m);
	if (!good)
		return false;
	b->expected = arena_new_array(&b->arena, (size_t)w->arguments, double *);
	for (int i = 0; i < w->arguments; i++) {
		const struct argument *x = &w->argument[i];
		if (x->role != ROLE_OUT)
			continue;
		b->expected[i] = arena_new_array(&b->arena, (size_t)x->count, double);
		for (int64_t e = 0; e < x->count; e++)
			b->expected[i][e] = dtype_load(x->dtype, out[i], e);
	}
	return true;
}

static bool expect(struct bench *b, struct text *why)
{
	if (b->expected)
		return true;
	if (b->c->timed)
		return expect_exact(b, why);
	if (!workload_oracle(&b->arena, b->workload, b->cascade, SET_NORMAL, oracle_memory, why))
		return false;
	b->expected = b->workload->expected[SET_NORMAL];
	return true;
}

/* Runs a kernel on poisoned outputs, more than once, and compares. */
static bool judge(struct bench *b, struct arena *a, struct module *m, const struct pack_kernel *k,
                  struct job_result *r, struct text *why)
{
	const struct workload *w = b->workload;
	void **first = new_outputs(b, a), **again = new_outputs(b, a);
	if (!poisoned_run(b, m, k, first, why))
		return false;
	for (int i = 1; i < REPEATS; i++) {
		if (!poisoned_run(b, m, k, again, why))
			return false;
		for (int n = 0; n < w->arguments; n++)
			if (first[n] && memcmp(first[n], again[n], w->argument[n].bytes)) {
				text_printf(why, "%s differs from run to run", w->argument[n].name);
				return false;
			}
	}
	r->verdict = case_judge(b->c, w, first, b->expected);
	snprintf(r->output, sizeof r->output, "%s", r->verdict.output ? r->verdict.output : "");
	r->verdict.output = NULL;
	if (!r->verdict.good)
		text_printf(why, "%s is off by %.2g (rms %.2g) where %.2g (%.2g) is allowed", r->output,
		            r->verdict.max, r->verdict.rms, r->verdict.allowed_max, r->verdict.allowed_rms);
	return r->verdict.good;
}

static bool run_right(struct bench *b, struct arena *a, struct job_result *r, struct text *why)
{
	return expect(b, why) && judge(b, a, b->control, b->control_kernel, r, why);
}

/* ---- speed ---- */

struct contestant {
	struct module *module; /* NULL: a peer */
	const struct kernel_source *source;
	const char *peer;
	int runs; /* a round */
	double seconds[ROUNDS];
	bool lost; /* a peer that failed */
};

static bool one_round(struct bench *b, struct contestant *c, double *seconds, struct text *why)
{
	if (c->module)
		return run_timed(&b->memory, c->module, c->source, c->runs, seconds, why);
	*seconds = c->lost ? -1 : peers_time(b->work->peers, c->peer, c->runs);
	c->lost = *seconds <= 0;
	return true;
}

/* Warm-ups, which also say how many runs make a round, then rounds in turns, every second one backwards. */
static bool race(struct bench *b, struct contestant *c, int n, struct text *why)
{
	for (int i = 0; i < n; i++) {
		double seconds = 0;
		c[i].runs = 1;
		for (int k = 0; k < WARM_UPS; k++)
			if (!one_round(b, &c[i], &seconds, why))
				return false;
		double runs = seconds > 0 ? ceil(least_round / seconds) : 1;
		c[i].runs = (int)fmin(runs, MOST_RUNS);
	}
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < n; i++) {
			int turn = round % 2 ? n - 1 - i : i;
			if (!one_round(b, &c[turn], &c[turn].seconds[round], why))
				return false;
		}
	return true;
}

static bool run_speed(struct bench *b, struct arena *a, struct job_result *r, struct text *why)
{
	struct contestant c[1 + MAX_PEERS] = {{.module = b->control, .source = &b->control_kernel->source}};
	char name[MAX_PEERS][32];
	struct text note;
	text_init(&note, a);
	if (expect(b, &note) && !judge(b, a, b->control, b->control_kernel, r, why))
		return false;
	int peers = b->work->peers ? peers_prepare(b->work->peers, b->c, name, &note) : 0;
	peers = peers < 0 ? 0 : peers;
	for (int i = 0; i < peers; i++)
		c[1 + i].peer = name[i];
	if (!race(b, c, 1 + peers, why))
		return false;
	r->own = timing_of(c[0].seconds, ROUNDS);
	for (int i = 0; i < peers; i++) {
		if (c[1 + i].lost) {
			text_printf(&note, "%s%s failed while timed", note.len ? "; " : "", name[i]);
			continue;
		}
		memcpy(r->peer[r->peers].name, name[i], sizeof name[i]);
		r->peer[r->peers++].timing = timing_of(c[1 + i].seconds, ROUNDS);
	}
	if (b->work->peers)
		peers_clocks(b->work->peers, r->clocks, sizeof r->clocks);
	snprintf(r->why, sizeof r->why, "%s", note.s);
	return true;
}

static bool run_candidate(struct bench *b, struct arena *a, uint32_t index, struct job_result *r,
                          struct text *why)
{
	const struct pack_kernel *k = &b->c->kernel.v[index];
	struct text note;
	text_init(&note, a);
	struct module *m = load(b, k, why);
	struct contestant c[2] = {{.module = m, .source = &k->source},
	                          {.module = b->control, .source = &b->control_kernel->source}};
	bool good = m && (!expect(b, &note) || judge(b, a, m, k, r, why)) && race(b, c, 2, why);
	if (good) {
		r->own = timing_of(c[0].seconds, ROUNDS);
		r->control = timing_of(c[1].seconds, ROUNDS);
		snprintf(r->why, sizeof r->why, "%s", note.s);
	}
	if (m)
		b->work->target->unload(m);
	return good;
}

/* ---- jobs ---- */

/* Seconds a job may take before its child is ended. */
static unsigned limit_of(const struct job *j)
{
	static const unsigned seconds[] = {[JOB_DEVICE] = 60, [JOB_PROBE] = 60,  [JOB_COPY] = 300,
	                                   [JOB_RIGHT] = 120, [JOB_SPEED] = 400, [JOB_CANDIDATE] = 120};
	return seconds[j->kind];
}

static bool run_job(struct bench *b, struct arena *a, jmp_buf *env, const struct job *j, struct job_result *r,
                    struct text *why)
{
	const struct pack_case *c = &b->work->pack->cases.v[j->index];
	switch (j->kind) {
	case JOB_DEVICE: return b->device->machine(&b->results->machine, why);
	case JOB_PROBE: return run_probe(b, a, (int)j->index, why);
	case JOB_COPY: return run_copy(b, r, why);
	default: break;
	}
	if (!open_case(b, c, env, why))
		return false;
	switch (j->kind) {
	case JOB_RIGHT: return run_right(b, a, r, why);
	case JOB_SPEED: return run_speed(b, a, r, why);
	default: return run_candidate(b, a, j->kernel, r, why);
	}
}

/* A case whose job failed is opened anew by the next: an error of a kernel sticks to the context. */
static bool one_job(struct bench *b, const struct job *j, struct job_result *r)
{
	struct arena a;
	struct text why;
	jmp_buf env;
	volatile bool good = false;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		text_init(&why, &a);
		b->arena.out_of_memory = b->kept->out_of_memory = &env;
		good = run_job(b, &a, &env, j, r, &why);
		if (!good)
			snprintf(r->why, sizeof r->why, "%s", why.s);
	} else {
		snprintf(r->why, sizeof r->why, "out of memory");
	}
	r->state = good ? JOB_GOOD : JOB_BAD;
	arena_free(&a);
	return good;
}

void check_child(void *work, void *results)
{
	struct arena kept;
	struct bench b = {.work = work,
	                  .results = results,
	                  .device = ((struct check_work *)work)->target->device,
	                  .kept = &kept};
	arena_init(&kept);
	while (b.results->next < b.work->until) {
		const struct job *j = &b.work->job[b.results->next];
		struct job_result *r = &b.results->result[b.results->next];
		if (b.work->deadline > 0 && wall_seconds() > b.work->deadline)
			return;
		double left = b.work->deadline - wall_seconds() + grace;
		unsigned limit = limit_of(j);
		alarm(b.work->deadline > 0 && left < limit ? (unsigned)left : limit);
		bool good = one_job(&b, j, r);
		alarm(0);
		b.results->next++;
		if (!good && j->kind >= JOB_PROBE)
			return; /* the rest in a child with a context of its own */
	}
	close_case(&b);
}
