#include "search/measure.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "search/measure_child.h"
#include "search/sandbox.h"

static void *shared(size_t size)
{
	void *p = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE,
	               MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static bool timed_out(struct sandbox_outcome o)
{
	return o.status == SANDBOX_TIMEOUT || (o.status == SANDBOX_SIGNAL && o.code == SIGPROF);
}

/* The whole child: loading and checking take a few runs, each of them already within its own limit. Wall
 * clock is the last resort, for what sleeps, and generous to a machine with many neighbours. */
static struct sandbox_limits sandbox_limits(const struct place_limits *l, double runs)
{
	const struct target_device *device = l->place->target->device;
	double seconds = 5 + runs * l->seconds;
	return (struct sandbox_limits){.seconds = 4 * seconds,
	                               .cpu_seconds = ceil(seconds) * l->place->threads + 1,
	                               /* A driver takes as much address space as a device has memory, and more. */
	                               .memory = device && !device->emulated ? 0 : (int64_t)16 << 30,
	                               .quiet = true};
}

void measure_candidate(const struct place_limits *limits, const struct binary *binary, int n,
                       const struct binary *control, int repetitions, struct verdict *v)
{
	struct candidate_job job = {limits, binary, control, n, repetitions};
	char text[32];
	*v = (struct verdict){.status = TRIAL_CRASH};
	struct sandbox_limits l = sandbox_limits(limits, 4 * n + 2 * (repetitions + 1));
	struct sandbox_outcome o =
	        sandbox_run(limits->place->target->device ? measure_candidate_device : measure_candidate_child, &job,
	                    v, sizeof *v, &l);
	if (o.status == SANDBOX_OK)
		return;
	if (timed_out(o))
		verdict_fail(v, TRIAL_TIMEOUT, "a run took longer than %.3g s", limits->seconds);
	else
		verdict_fail(v, TRIAL_CRASH, "%s", sandbox_describe(o, text));
}

bool measure_race(const struct place_limits *limits, const struct binary *binary, int n, int rounds,
                  struct race *race, int *culprit, char reason[200])
{
	struct race_job job = {limits, binary, n, rounds < MAX_ROUNDS ? rounds : MAX_ROUNDS};
	struct race_result r = {.running = -1};
	char text[32];
	struct sandbox_limits l = sandbox_limits(limits, n * (rounds + 1));
	struct sandbox_outcome o =
	        sandbox_run(limits->place->target->device ? measure_race_device : measure_race_child, &job, &r,
	                    sizeof r, &l);
	*race = r.race;
	*culprit = r.running;
	if (o.status == SANDBOX_OK && !r.failed)
		return true;
	if (r.failed)
		snprintf(reason, 200, "%s", r.reason);
	else
		snprintf(reason, 200, "%s in a race", timed_out(o) ? "timeout" : sandbox_describe(o, text));
	return false;
}

bool measure_outputs(const struct place_limits *limits, const struct binary *binary, int set, double **out,
                     char reason[200])
{
	const struct workload *w = binary->workload;
	double *map[MAX_ARGUMENTS] = {0};
	struct outputs_result r = {.good = false};
	bool good = w->arguments <= MAX_ARGUMENTS;
	for (int i = 0; i < w->arguments && good; i++) {
		if (w->argument[i].role == ROLE_OUT)
			good = (map[i] = shared((size_t)w->argument[i].count * sizeof(double)));
	}
	snprintf(reason, 200, "no memory for outputs");
	if (good) {
		struct outputs_job job = {limits, binary, set, map};
		struct sandbox_limits l = sandbox_limits(limits, 1);
		struct sandbox_outcome o = sandbox_run(measure_outputs_child, &job, &r, sizeof r, &l);
		char text[32];
		good = o.status == SANDBOX_OK && r.good;
		snprintf(reason, 200, "%s", o.status == SANDBOX_OK ? r.reason : sandbox_describe(o, text));
	}
	for (int i = 0; i < w->arguments && i < MAX_ARGUMENTS; i++) {
		size_t bytes = (size_t)w->argument[i].count * sizeof(double);
		if (good && map[i] && bytes)
			memcpy(out[i], map[i], bytes);
		if (map[i])
			munmap(map[i], bytes ? bytes : 1);
	}
	return good;
}

bool measure_compile(const struct tune_place *place, const char *text, int optimise, double seconds,
                     struct object *object, bool *timeout, char reason[200])
{
	const size_t room = (size_t)64 << 20; /* touched only as far as an object reaches */
	struct compile_result r = {.good = false};
	struct compile_job job = {place, text, optimise, shared(room), room};
	*object = (struct object){0};
	*timeout = false;
	if (!job.bytes) {
		snprintf(reason, 200, "no memory for an object");
		return false;
	}
	const struct target_device *device = place->target->device;
	struct sandbox_limits l = {.seconds = seconds,
	                           .memory = device && !device->emulated ? 0 : (int64_t)8 << 30,
	                           .quiet = true};
	struct sandbox_outcome o = sandbox_run(measure_compile_child, &job, &r, sizeof r, &l);
	char what[32];
	*timeout = timed_out(o);
	bool good = o.status == SANDBOX_OK && r.good;
	if (good && (object->bytes = malloc(r.size ? r.size : 1))) {
		object->size = r.size;
		memcpy(object->bytes, job.bytes, r.size);
	} else {
		good = false;
		snprintf(reason, 200, "%s", o.status == SANDBOX_OK ? r.reason : sandbox_describe(o, what));
	}
	munmap(job.bytes, room);
	return good;
}
