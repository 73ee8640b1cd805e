/* make.c: compiles the cases of a plan, one forked child a case, as many at a time as asked. A child judges
 * what it compiled by the assembler's log and, where the case is small, by the emulator, and hands back its
 * kernels as JSON. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "codegen/work.h"
#include "gpu/pack.h"
#include "gpu/probe.h"
#include "gpu/run.h"
#include "gpu/variants.h"
#include "search/model.h"
#include "search/sandbox.h"
#include "targets/resources.h"

enum { RESULT_BYTES = 1 << 20 };
static const double case_seconds = 900;
static const double emulated_flops = 1e8; /* the most work of a case that the emulator runs */

/* What a child hands back, in shared memory. */
struct made {
	struct pack_counts counts;
	double flops, bytes;
	char note[400];             /* what a person should know */
	char kernels[RESULT_BYTES]; /* JSON; "" when there are none */
};

/* A case being compiled, in its child. */
struct making {
	const struct pack_options *options;
	const struct pack_case *c;
	struct arena *arena;
	struct made *made;
	cJSON *kernels;
	struct cascade *cascade;
	struct workload *workload; /* with expected values, once the emulator was needed */
};

static void note(struct making *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct making *m, const char *format, ...)
{
	va_list ap;
	if (*m->made->note)
		return;
	va_start(ap, format);
	vsnprintf(m->made->note, sizeof m->made->note, format, ap);
	va_end(ap);
}

/* ---- under the emulator ---- */

static bool expected(struct making *m, struct text *why)
{
	if (m->workload)
		return true;
	struct workload *w = workload_new(m->arena, m->cascade);
	case_inputs(m->arena, m->c, w);
	if (!workload_oracle(m->arena, w, m->cascade, SET_NORMAL, (size_t)4 << 30, why))
		return false;
	m->workload = w;
	return true;
}

static bool run_module(struct making *m, const struct target *t, struct module *module,
                       const struct kernel_source *source, struct text *why)
{
	struct run_memory memory;
	const struct workload *w = m->workload;
	void **got = arena_new_array(m->arena, (size_t)w->arguments, void *);
	for (int i = 0; i < w->arguments; i++)
		got[i] = w->argument[i].role == ROLE_OUT ? arena_alloc(m->arena, w->argument[i].bytes + 1)
		                                         : NULL;
	bool good = run_memory_new(&memory, m->arena, t->device, w, 1, source->work_bytes, why) &&
	            run_poison(&memory, why) && run_once(&memory, module, source, 0, why) &&
	            run_outputs(&memory, got, why);
	run_memory_free(&memory);
	if (!good)
		return false;
	struct verdict_of_outputs v = case_judge(m->c, w, got, w->expected[SET_NORMAL]);
	if (!v.good)
		text_printf(why, "%s is off by %.2g (rms %.2g) where %.2g (%.2g) is allowed", v.output, v.max,
		            v.rms, v.allowed_max, v.allowed_rms);
	return v.good;
}

/* True also where there is no emulator to ask. */
static bool emulates(struct making *m, const struct kernel_source *source, struct text *why)
{
	const struct target *t = target_find("cuda-emulated");
	struct target_options options = {.isa = ISA_SM80, .optimise = 1, .capability = 80};
	struct object object = {0};
	if (!t || t->missing(m->arena))
		return true;
	bool good = false;
	if (expected(m, why) && t->compile(source->text, &options, &object, why)) {
		struct module *module = t->load(&object, &options, why);
		good = module && run_module(m, t, module, source, why);
		if (module)
			t->unload(module);
		m->made->counts.emulated++;
	}
	object_free(&object);
	return good;
}

/* ---- one kernel ---- */

/* Is a kernel of this text in the pack? capability 0: of any. */
static bool known(const struct making *m, const char *digest, int capability)
{
	const cJSON *x;
	cJSON_ArrayForEach(x, m->kernels)
	{
		if (!strcmp(cJSON_GetObjectItem(x, "digest")->valuestring, digest) &&
		    (!capability || cJSON_GetObjectItem(x, "capability")->valueint == capability))
			return true;
	}
	return false;
}

/* Takes what the log says into the record; why the kernel must not be used, or NULL. */
static const char *judge_log(struct making *m, const struct tile_program *program,
                             const struct machine *machine, const struct object *o,
                             const struct target_options *options, struct pack_kernel *k)
{
	const struct target_device *d = m->options->target->device;
	const struct resources *r = d->resources ? d->resources(m->arena, o, &k->source, options) : NULL;
	for (int i = 0; r && i < k->source.nphases; i++) {
		if (r[i].reject)
			return r[i].reject;
		if (!r[i].blocks)
			return arena_printf(m->arena, "no block of it fits a multiprocessor: %s", r[i].bound);
		k->registers = r[i].registers > k->registers ? r[i].registers : k->registers;
		k->blocks = i == 0 || r[i].blocks < k->blocks ? r[i].blocks : k->blocks;
	}
	double seconds = model_seconds(program, &k->source, r, machine);
	k->model = isfinite(seconds) ? seconds : 0;
	return NULL;
}

/* Compiles, judges, writes. True when the kernel is in the pack. */
static bool add_kernel(struct making *m, const struct problem *problem, const struct schedule *s,
                       enum kernel_role role, int capability, struct text *why)
{
	const struct pack_options *o = m->options;
	struct target_options options = {.isa = ISA_SM80, .optimise = 3, .capability = capability};
	struct object object = {0};
	struct text text;
	text_init(&text, m->arena);
	schedule_print(problem, s, &text);
	const struct tile_program *program = tile_build(m->arena, problem, s);
	struct pack_kernel k = {.role = role,
	                        .capability = capability,
	                        .schedule = text.s,
	                        .source = emit_kernel(m->arena, program, s->isa, s->exp_degree)};
	if (!k.source.text) {
		text_add(why, k.source.reason);
		return false;
	}
	if (known(m, k.source.digest, capability))
		return false;
	bool good = o->target->compile(k.source.text, &options, &object, why);
	const char *reject = good ? judge_log(m, program, problem->machine, &object, &options, &k) : NULL;
	if (reject) {
		text_add(why, reject);
		m->made->counts.rejected++;
		good = false;
	}
	if (good && o->emulate && m->made->flops <= emulated_flops && !known(m, k.source.digest, 0) &&
	    !emulates(m, &k.source, why)) {
		note(m, "%s %s, wrong under the emulator: %s", m->c->name, kernel_role_name[role], why->s);
		m->made->counts.wrong++;
		good = false;
	}
	k.file = good ? object_file(m->arena, &object) : "";
	good = good && object_write(o->directory, k.file, &object, why);
	object_free(&object);
	if (good) {
		cJSON_AddItemToArray(m->kernels, kernel_json(&k));
		m->made->counts.kernels++;
	}
	return good;
}

static void add_exact(struct making *m, const struct problem *problem, const struct schedule *s,
                      int capability)
{
	enum { HALVINGS = 6 };
	struct text why;
	text_init(&why, m->arena);
	for (int i = 0; i <= HALVINGS; i++) {
		struct schedule exact;
		if (variant_exact(m->arena, problem, s, i, &exact) &&
		    add_kernel(m, problem, &exact, KERNEL_EXACT, capability, &why))
			return;
	}
	note(m, "sm_%d: no exact kernel: %s", capability, why.s);
}

static void add_candidates(struct making *m, const struct problem *problem, const struct schedule *s,
                           int capability)
{
	struct variants v;
	int have = 0;
	const struct kernel_source first =
	        emit_kernel(m->arena, tile_build(m->arena, problem, s), s->isa, s->exp_degree);
	long tasks = 0;
	for (int i = 0; i < first.nphases; i++)
		tasks = first.phase[i].tasks > tasks ? first.phase[i].tasks : tasks;
	bool split = tasks < 2 * problem->machine->processors;
	for (int i = 0; i < s->nstreams; i++)
		split |= s->stream[i].split > 1;
	variants_of(m->arena, problem, s, split, &v);
	variants_by_model(m->arena, problem, &v);
	for (uint32_t i = 0; i < v.list.n && have < m->c->candidates; i++) {
		struct text why;
		text_init(&why, m->arena);
		have += add_kernel(m, problem, &v.list.v[i], KERNEL_CANDIDATE, capability, &why);
	}
}

/* Where the default must not be used, the nearest schedule that may stands for it, so that the case is tried
 * at all; it counts as failed all the same. */
static bool stand_in(struct making *m, const struct problem *problem, const struct schedule *s,
                     int capability)
{
	enum { TRIES = 12 };
	struct variants v;
	variants_of(m->arena, problem, s, false, &v);
	for (uint32_t i = 0; i < v.list.n && i < TRIES; i++) {
		struct text why;
		text_init(&why, m->arena);
		if (add_kernel(m, problem, &v.list.v[i], KERNEL_DEFAULT, capability, &why))
			return true;
	}
	return false;
}

static void make_for(struct making *m, int capability)
{
	struct machine *machine = arena_new(m->arena, struct machine);
	struct diags d;
	struct text why;
	text_init(&why, m->arena);
	diags_init(&d, m->arena, m->c->program, m->c->text, strlen(m->c->text));
	struct problem *problem = NULL;
	if (!capability_machine(capability, machine))
		text_printf(&why, "nothing is known of capability %d", capability);
	else if (!(problem = problem_new(m->arena, m->cascade, machine, &d)))
		text_add(&why, d.list.n ? d.list.v[0].message : "it has no streams");
	if (problem) {
		struct schedule s = schedule_default(problem, ISA_SM80);
		bool good = add_kernel(m, problem, &s, KERNEL_DEFAULT, capability, &why);
		if ((good || stand_in(m, problem, &s, capability)) && m->c->timed) {
			add_exact(m, problem, &s, capability);
			add_candidates(m, problem, &s, capability);
		}
		if (good)
			return;
	}
	note(m, "sm_%d: the default is not to be used: %s", capability, why.s);
	m->made->counts.failed++;
}

static void make_case(struct making *m)
{
	struct text why;
	text_init(&why, m->arena);
	m->kernels = cJSON_CreateArray();
	m->cascade = case_cascade(m->arena, m->c, &why);
	if (!m->cascade) {
		note(m, "%s", why.s);
		m->made->counts.failed++;
		return;
	}
	const struct workload *w = workload_new(m->arena, m->cascade);
	for (int i = 0; i < w->arguments; i++)
		m->made->bytes += (double)w->argument[i].bytes;
	m->made->flops = cascade_flops(cascade_clone(m->arena, m->cascade), NULL);
	for (int i = 0; i < m->options->capabilities; i++)
		make_for(m, m->options->capability[i]);
}

static void child(void *context, void *result)
{
	struct making *m = context;
	struct arena arena;
	jmp_buf env;
	m->made = result;
	m->arena = &arena;
	arena_init(&arena);
	if (ARENA_TRY(&arena, &env)) {
		make_case(m);
		if (m->kernels &&
		    !cJSON_PrintPreallocated(m->kernels, m->made->kernels, RESULT_BYTES, false)) {
			*m->made->kernels = 0;
			note(m, "%s: too many kernels", m->c->name);
		}
	} else {
		note(m, "%s: out of memory", m->c->name);
		m->made->counts.failed++;
	}
}

/* ---- all of them ---- */

struct crew {
	const struct pack_options *options;
	struct pack *plan;
	cJSON **kernels; /* one a case: what it came to */
	struct pack_counts *counts;
	atomic_uint next;
	pthread_mutex_t lock; /* of counts and progress */
};

static void take(struct crew *crew, uint32_t i, struct sandbox_outcome end, const struct made *made)
{
	const struct pack_options *o = crew->options;
	struct pack_case *c = &crew->plan->cases.v[i];
	char how[32], line[600];
	struct pack_counts *sum = crew->counts;
	crew->kernels[i] = *made->kernels ? cJSON_Parse(made->kernels) : NULL;
	c->flops = made->flops;
	c->bytes = made->bytes;
	pthread_mutex_lock(&crew->lock);
	sum->kernels += made->counts.kernels;
	sum->rejected += made->counts.rejected;
	sum->emulated += made->counts.emulated;
	sum->wrong += made->counts.wrong;
	sum->failed += made->counts.failed + (end.status != SANDBOX_OK);
	if (end.status != SANDBOX_OK)
		snprintf(line, sizeof line, "%s: %s", c->name, sandbox_describe(end, how));
	else
		snprintf(line, sizeof line, "%s: %d kernels in %.1f s%s%s", c->name, made->counts.kernels,
		         end.seconds, *made->note ? "; " : "", made->note);
	if (o->progress)
		o->progress(o->owner, line);
	pthread_mutex_unlock(&crew->lock);
}

static void *work(void *data)
{
	struct crew *crew = data;
	struct made *made = malloc(sizeof *made);
	uint32_t i;
	while (made && (i = atomic_fetch_add(&crew->next, 1)) < crew->plan->cases.n) {
		struct making m = {.options = crew->options, .c = &crew->plan->cases.v[i]};
		memset(made, 0, sizeof *made);
		struct sandbox_limits limits = {.seconds = case_seconds};
		struct sandbox_outcome end = sandbox_run(child, &m, made, sizeof *made, &limits);
		take(crew, i, end, made);
	}
	free(made);
	return NULL;
}

static bool make_probes(struct arena *a, struct pack *p, const struct pack_options *o, struct text *why)
{
	for (int i = 0; i < o->capabilities; i++) {
		struct target_options options = {
		        .isa = ISA_SM80, .optimise = 3, .capability = o->capability[i]};
		struct pack_kernel k = {
		        .capability = o->capability[i], .schedule = "", .source = probe_source(a)};
		struct object object = {0};
		if (!o->target->device->mark) /* it tells no time: a copy would only take long */
			k.source.phase[PROBES].tasks = 1;
		bool good = o->target->compile(k.source.text, &options, &object, why);
		k.file = good ? object_file(a, &object) : "";
		good = good && object_write(o->directory, k.file, &object, why);
		object_free(&object);
		if (!good)
			return false;
		vec_push(a, &p->probe, k);
	}
	return true;
}

/* The kernels of a case are in the manifest's form already. */
static void put_kernels(struct arena *a, struct pack *plan, uint32_t i, cJSON *kernels)
{
	struct pack_case *c = &plan->cases.v[i];
	struct cJSON *x;
	cJSON_ArrayForEach(x, kernels)
	{
		struct pack_kernel k;
		if (kernel_read(a, x, &k))
			vec_push(a, &c->kernel, k);
	}
	cJSON_AddItemToObject(plan->json, arena_printf(a, "kernels of %u", i), kernels); /* freed with it */
}

bool pack_make(struct arena *a, struct pack *plan, const struct pack_options *o, struct pack_counts *counts,
               struct text *why)
{
	enum { MOST = 64 };
	*counts = (struct pack_counts){0};
	const char *missing = o->target->missing(a);
	if (missing || !o->target->device) {
		text_printf(why, "target %s: %s", o->target->name, missing ? missing : "it is for no device");
		return false;
	}
	if (mkdir(o->directory, 0777) && errno != EEXIST) {
		text_printf(why, "%s: %s", o->directory, strerror(errno));
		return false;
	}
	struct target_options options = {.isa = ISA_SM80, .optimise = 3, .capability = o->capability[0]};
	plan->target = o->target->name;
	plan->toolchain = o->target->version(a, &options);
	if (!make_probes(a, plan, o, why))
		return false;
	struct crew crew = {.options = o,
	                    .plan = plan,
	                    .counts = counts,
	                    .kernels = arena_new_array(a, plan->cases.n, cJSON *)};
	pthread_t thread[MOST];
	int threads = 0;
	pthread_mutex_init(&crew.lock, NULL);
	while (threads + 1 < o->threads && threads < MOST &&
	       !pthread_create(&thread[threads], NULL, work, &crew))
		threads++;
	work(&crew);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	pthread_mutex_destroy(&crew.lock);
	for (uint32_t i = 0; i < plan->cases.n; i++)
		if (crew.kernels[i])
			put_kernels(a, plan, i, crew.kernels[i]);
	if (!pack_write(o->directory, plan, why))
		return false;
	counts->bytes = objects_tidy(o->directory, plan, a);
	return true;
}
