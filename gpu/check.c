#include "gpu/check.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpu/probe.h"
#include "search/sandbox.h"

struct plan {
	struct arena *arena;
	const struct check_options *options;
	struct check_work work;
	VEC(struct job) job;
	struct check_results *results;
	size_t size;
	struct machine machine;
	double copy; /* bytes/s of the fastest so far */
	char when[32];
};

static const char *const state_name[JOB_STATES] = {"not reached", "good", "bad"};

static void tell(const struct plan *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(const struct plan *p, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	const char *line = arena_vprintf(p->arena, format, ap);
	va_end(ap);
	if (p->options->progress)
		p->options->progress(p->options->owner, line);
}

static const char *job_name(struct plan *p, const struct job *j)
{
	const struct pack_case *c = &p->work.pack->cases.v[j->index];
	switch (j->kind) {
	case JOB_DEVICE: return "the device";
	case JOB_PROBE: return probes[j->index].kernel;
	case JOB_COPY: return "copy";
	case JOB_CANDIDATE: return arena_printf(p->arena, "%s, candidate %u", c->name, j->kernel);
	default: return c->name;
	}
}

/* ---- what came of a job ---- */

static void add_timing(cJSON *to, const char *name, const struct timing *t)
{
	cJSON *json = cJSON_AddObjectToObject(to, name);
	cJSON_AddNumberToObject(json, "seconds", t->seconds);
	cJSON_AddNumberToObject(json, "low", t->low);
	cJSON_AddNumberToObject(json, "high", t->high);
}

static void add_verdict(cJSON *to, const struct job_result *r)
{
	if (!*r->output)
		return;
	cJSON *error = cJSON_AddObjectToObject(to, "error");
	cJSON_AddStringToObject(error, "output", r->output);
	cJSON_AddNumberToObject(error, "max", r->verdict.max);
	cJSON_AddNumberToObject(error, "rms", r->verdict.rms);
	cJSON_AddNumberToObject(error, "allowed_max", r->verdict.allowed_max);
	cJSON_AddNumberToObject(error, "allowed_rms", r->verdict.allowed_rms);
}

static void copy_member(cJSON *to, const cJSON *from, const char *name)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(from, name);
	if (x)
		cJSON_AddItemToObject(to, name, cJSON_Duplicate(x, true));
}

static void add_case(struct plan *p, cJSON *json, const struct job *j, const struct job_result *r)
{
	const struct pack_case *c = &p->work.pack->cases.v[j->index];
	const struct pack_kernel *k = NULL;
	for (uint32_t i = 0; i < c->kernel.n && !k; i++)
		if (c->kernel.v[i].capability == p->work.probe->capability &&
		    (j->kind == JOB_CANDIDATE ? i == j->kernel : c->kernel.v[i].role == KERNEL_DEFAULT))
			k = &c->kernel.v[i];
	cJSON_AddStringToObject(json, "case", c->name);
	static const char *const members[] = {"program", "types", "params", "ranks"};
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		copy_member(json, c->json, members[i]);
	cJSON_AddNumberToObject(json, "flops", c->flops);
	cJSON_AddNumberToObject(json, "bytes", c->bytes);
	if (k) {
		kernel_add(k, json);
	}
	add_verdict(json, r);
	if (r->own.seconds > 0)
		add_timing(json, "own", &r->own);
	if (r->control.seconds > 0)
		add_timing(json, "control", &r->control);
	cJSON *peers = r->peers ? cJSON_AddObjectToObject(json, "peers") : NULL;
	for (int i = 0; i < r->peers; i++)
		add_timing(peers, r->peer[i].name, &r->peer[i].timing);
	if (*r->clocks)
		cJSON_AddStringToObject(json, "clocks", r->clocks);
}

/* One job and what came of it. */
static cJSON *job_json(struct plan *p, uint32_t i)
{
	static const char *const kind[] = {"device", "probe", "copy", "right", "speed", "candidate"};
	const struct job *j = &p->job.v[i];
	const struct job_result *r = &p->results->result[i];
	cJSON *json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, "kind", kind[j->kind]);
	cJSON_AddStringToObject(json, "name", job_name(p, j));
	cJSON_AddStringToObject(json, "state", state_name[r->state]);
	if (*r->why)
		cJSON_AddStringToObject(json, "remark", r->why);
	if (j->kind >= JOB_RIGHT)
		add_case(p, json, j, r);
	if (r->bandwidth > 0)
		cJSON_AddNumberToObject(json, "bandwidth", r->bandwidth);
	if (r->peer_bandwidth > 0)
		cJSON_AddNumberToObject(json, "peer_bandwidth", r->peer_bandwidth);
	return json;
}

static cJSON *device_json(const struct machine *m)
{
	cJSON *device = cJSON_CreateObject();
	cJSON_AddStringToObject(device, "name", m->model_name);
	cJSON_AddNumberToObject(device, "capability", m->capability);
	cJSON_AddNumberToObject(device, "processors", m->processors);
	return device;
}

/* Says it, and hands on what was timed at once: the machine may be taken away any minute. */
static void job_done(struct plan *p, uint32_t i)
{
	const struct job_result *r = &p->results->result[i];
	p->copy = fmax(p->copy, fmax(r->bandwidth, r->peer_bandwidth));
	if (p->job.v[i].kind == JOB_DEVICE)
		return;
	tell(p, "%s: %s%s%s", job_name(p, &p->job.v[i]), state_name[r->state], *r->why ? ", " : "", r->why);
	struct text line;
	text_init(&line, p->arena);
	cJSON *json = job_json(p, i), *device = device_json(&p->machine);
	if (p->options->record &&
	    report_record(json, device, p->work.pack->toolchain, p->copy, p->when, &line))
		p->options->record(p->options->owner, line.s);
	cJSON_Delete(json);
	cJSON_Delete(device);
}

/* ---- running them ---- */

/* Jobs that one child does: a case with all that is to be measured of it, or some that are quick. */
static uint32_t group_end(const struct plan *p, uint32_t first)
{
	enum { QUICK = 16 };
	const struct job *j = p->job.v;
	uint32_t end = first + 1;
	bool quick = j[first].kind == JOB_PROBE || j[first].kind == JOB_RIGHT;
	while (end < p->job.n && j[end].kind == j[first].kind && (!quick || end - first < QUICK) &&
	       (quick || j[end].index == j[first].index))
		end++;
	return end;
}

static void run_group(struct plan *p)
{
	struct check_results *r = p->results;
	uint32_t before = r->next;
	struct sandbox_limits limits = {.seconds = 24 * 3600};
	struct sandbox_outcome end = sandbox_run(check_child, &p->work, r, p->size, &limits);
	bool late = p->work.deadline > 0 && wall_seconds() > p->work.deadline;
	if (end.status == SANDBOX_OK && (r->next > before || late))
		return;
	char how[32];
	struct job_result *bad = &r->result[r->next];
	bad->state = JOB_BAD;
	snprintf(bad->why, sizeof bad->why, "its process ended: %s%s", sandbox_describe(end, how),
	         end.status == SANDBOX_SIGNAL && end.code == SIGALRM ? ", the alarm: it hangs" : "");
	r->next++;
}

static void run_jobs(struct plan *p)
{
	struct check_results *r = p->results;
	r->next = 0;
	while (r->next < p->work.jobs) {
		if (p->work.deadline > 0 && wall_seconds() > p->work.deadline)
			return;
		uint32_t before = r->next;
		p->work.until = group_end(p, before);
		run_group(p);
		for (uint32_t i = before; i < r->next && p->work.probe; i++)
			job_done(p, i);
	}
}

static void new_results(struct plan *p)
{
	p->work.jobs = p->job.n;
	p->work.job = p->job.v;
	p->size = sizeof *p->results + p->job.n * sizeof *p->results->result;
	p->results = arena_alloc(p->arena, p->size);
}

static void add_job(struct plan *p, enum job_kind kind, uint32_t index, uint32_t kernel)
{
	vec_push(p->arena, &p->job, (struct job){kind, index, kernel});
}

/* The code for this device: of its own capability, or for devices of 8.x the nearest below; from 9.0 on code
 * has features of its own architecture's, and runs on that alone. */
static const struct pack_kernel *choose_code(const struct pack *pack, int capability)
{
	const struct pack_kernel *best = NULL;
	for (uint32_t i = 0; i < pack->probe.n; i++) {
		const struct pack_kernel *k = &pack->probe.v[i];
		bool runs = k->capability == capability ||
		            (k->capability < 90 && k->capability / 10 == capability / 10 &&
		             k->capability < capability);
		if (runs && (!best || k->capability > best->capability))
			best = k;
	}
	return best;
}

static bool find_device(struct plan *p, struct text *why)
{
	struct machine *m = &p->machine;
	p->job.n = 0;
	add_job(p, JOB_DEVICE, 0, 0);
	new_results(p);
	run_jobs(p);
	*m = p->results->machine;
	if (p->results->result[0].state != JOB_GOOD) {
		text_add(why, p->results->result[0].why);
		return false;
	}
	p->work.probe = choose_code(p->work.pack, m->capability);
	if (p->work.probe)
		return true;
	text_printf(why, "the pack has no code for %s, capability %d; it has it for", m->model_name,
	            m->capability);
	for (uint32_t i = 0; i < p->work.pack->probe.n; i++)
		text_printf(why, "%s %d", i ? "," : "", p->work.pack->probe.v[i].capability);
	text_printf(why, ". Make it anew: make gpu-pack ARCHS=%d", m->capability);
	return false;
}

/* Probes; what is right; copies; speed of defaults; then a candidate of each timed case in turn. */
static void plan_jobs(struct plan *p, bool timed)
{
	const struct pack *pack = p->work.pack;
	p->job.n = 0;
	for (uint32_t i = 0; i < PROBES; i++)
		add_job(p, JOB_PROBE, i, 0);
	if (timed)
		add_job(p, JOB_COPY, 0, 0);
	for (uint32_t i = 0; i < pack->cases.n && timed; i++)
		if (pack->cases.v[i].timed)
			add_job(p, JOB_SPEED, i, 0);
	for (uint32_t i = 0; i < pack->cases.n; i++)
		if (!pack->cases.v[i].timed)
			add_job(p, JOB_RIGHT, i, 0);
	for (uint32_t i = 0; i < pack->cases.n && timed; i++)
		for (uint32_t k = 0; k < pack->cases.v[i].kernel.n; k++)
			if (pack->cases.v[i].timed && pack->cases.v[i].kernel.v[k].role == KERNEL_CANDIDATE &&
			    pack->cases.v[i].kernel.v[k].capability == p->work.probe->capability)
				add_job(p, JOB_CANDIDATE, i, k);
	new_results(p);
}

/* ---- all of it ---- */

static cJSON *report_of(struct plan *p, bool timed)
{
	cJSON *report = cJSON_CreateObject();
	int count[JOB_STATES] = {0};
	cJSON_AddStringToObject(report, "target", p->work.target->name);
	cJSON_AddStringToObject(report, "toolchain", p->work.pack->toolchain);
	cJSON_AddItemToObject(report, "device", device_json(&p->machine));
	cJSON_AddBoolToObject(report, "timed", timed);
	cJSON *jobs = cJSON_AddArrayToObject(report, "jobs");
	for (uint32_t i = 0; i < p->job.n; i++) {
		enum job_state state = p->results->result[i].state;
		cJSON_AddItemToArray(jobs, job_json(p, i));
		count[state] += p->job.v[i].kind != JOB_CANDIDATE || state != JOB_NOT_REACHED;
	}
	for (int i = 0; i < JOB_STATES; i++)
		cJSON_AddNumberToObject(report, state_name[i], count[i]);
	return report;
}

static const struct target *find_target(const struct check_options *o, const struct pack *pack,
                                        struct text *why)
{
	const struct target *t = o->instead ? o->instead : target_find(pack->target);
	if (o->target && strcmp(o->target, pack->target)) {
		text_printf(why,
		            "the pack is for target %s, not %s: make one with 'attune gpu-pack --target %s'",
		            pack->target, o->target, o->target);
		return NULL;
	}
	if (!t || !t->device)
		text_printf(why, "the pack is for target '%s', which this attune does not have",
		            pack->target);
	return t && t->device ? t : NULL;
}

cJSON *check_pack(struct arena *a, const struct check_options *o, enum check_status *status, struct text *why)
{
	struct pack pack;
	struct plan p = {.arena = a, .options = o};
	struct tm utc;
	time_t now = time(NULL);
	strftime(p.when, sizeof p.when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	*status = CHECK_PACK;
	if (!pack_read(a, o->directory, &pack, why))
		return NULL;
	p.work = (struct check_work){
	        .pack = &pack, .directory = o->directory, .target = find_target(o, &pack, why)};
	cJSON *report = NULL;
	if (!p.work.target)
		goto out;
	*status = CHECK_DEVICE;
	if (!find_device(&p, why))
		goto out;
	tell(&p, "%s, capability %d, code for %d", p.machine.model_name, p.machine.capability,
	     p.work.probe->capability);
	const bool timed = p.work.target->device->mark != NULL;
	struct text trouble;
	text_init(&trouble, a);
	if (timed && o->peers && !(p.work.peers = peers_start(o->peers, &trouble)))
		tell(&p, "no peers: %s", trouble.s);
	plan_jobs(&p, timed);
	p.work.deadline = o->seconds > 0 ? wall_seconds() + o->seconds : 0;
	run_jobs(&p);
	peers_stop(p.work.peers);
	report = report_of(&p, timed);
	*status = CHECK_GOOD;
	for (uint32_t i = 0; i < p.job.n; i++)
		if (p.results->result[i].state == JOB_BAD && p.job.v[i].kind != JOB_CANDIDATE)
			*status = CHECK_BAD;
out:
	pack_free(&pack);
	return report;
}
