/* gpu_test.c: what only a device would exercise of attune check-gpu, on the emulated one with a clock added:
 * timing in turns with peers, candidates, kernels that hang, a budget that ends, and the report. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gpu/check.h"
#include "tests/tap.h"

static const char plan_text[] =
        "{\"cases\": [{\"name\": \"small\", \"program\": \"examples/flash_causal_gqa.att\", \"timed\": true,"
        " \"candidates\": 2, \"types\": {\"Q\": \"bf16\", \"K\": \"bf16\", \"V\": \"bf16\", \"O\": \"bf16\"},"
        " \"ranks\": {\"B\": 1, \"H\": 4, \"N\": 20, \"M\": 70, \"D\": 16, \"E\": 16}}]}";

/* Answers as scripts/peers_gpu.py does; one peer fails when it is timed. */
static const char peers_command[] =
        "exec perl -MJSON::PP -e '$| = 1; while (<STDIN>) { my $r = decode_json($_); my %a = (id => "
        "$r->{id});"
        " if ($r->{prepare}) { print \"noise\\n\"; %a = (%a, peers => [\"one\", \"lame\"], notes => \"a "
        "note\"); }"
        " elsif ($r->{time}) { %a = $r->{time} eq \"lame\" ? (%a, error => \"no\") : (%a, seconds => 0.25); }"
        " elsif ($r->{copy}) { $a{bandwidth} = 5e9; } else { $a{clocks} = \"1 Hz\"; }"
        " print encode_json(\\%a), \"\\n\"; }'";

/* ---- the emulated device, with a clock; and one on which kernels hang ---- */

static void *mark(void *stream, struct text *why)
{
	struct timespec *t = malloc(sizeof *t);
	(void)stream;
	(void)why;
	if (t)
		clock_gettime(CLOCK_MONOTONIC, t);
	return t;
}

static bool between(void *first, void *last, double *seconds, struct text *why)
{
	const struct timespec *a = first, *b = last;
	(void)why;
	*seconds = (double)(b->tv_sec - a->tv_sec) + 1e-9 * (double)(b->tv_nsec - a->tv_nsec);
	return true;
}

static bool launch_and_die(struct module *m, const struct kernel_source *k, int phase, const void *args,
                           size_t size, void *stream, struct text *why)
{
	if (!strcmp(k->phase[phase].symbol, "probe_copy"))
		raise(SIGALRM);
	return target_cuda_emulated.device->launch(m, k, phase, args, size, stream, why);
}

/* ---- ---- */

static bool make(struct arena *a, const char *folder, struct text *why)
{
	const char *path = arena_printf(a, "%s/plan.json", folder);
	FILE *f = fopen(path, "w");
	int capability = 80;
	struct pack plan;
	struct pack_counts counts;
	struct pack_options options = {.directory = folder,
	                               .target = &target_cuda_emulated,
	                               .capability = &capability,
	                               .capabilities = 1,
	                               .threads = 2};
	if (!f || fputs(plan_text, f) < 0 || fclose(f) || !plan_read(a, path, &plan, why))
		return false;
	bool good = pack_make(a, &plan, &options, &counts, why);
	ok(good && counts.failed == 0 && counts.kernels == 4,
	   "a timed case has a default, an exact kernel and its candidates: %d", counts.kernels);
	pack_free(&plan);
	return good;
}

/* What `make gpu-pack` reads: every program is there and takes its types and extents. */
static void test_plan(struct arena *a)
{
	struct pack plan;
	struct text why;
	uint32_t good = 0;
	text_init(&why, a);
	if (!ok(plan_read(a, "perf/gpu/plan.json", &plan, &why), "the plan is read: %s", why.s))
		return;
	for (uint32_t i = 0; i < plan.cases.n; i++)
		good += case_cascade(a, &plan.cases.v[i], &why) != NULL;
	ok(good == plan.cases.n && good > 100, "all of its %u cases are programs: %s", plan.cases.n, why.s);
	pack_free(&plan);
}

static const cJSON *job(const cJSON *report, const char *kind, int skip)
{
	const cJSON *j;
	cJSON_ArrayForEach(j, cJSON_GetObjectItem(report, "jobs"))
	{
		if (!strcmp(cJSON_GetObjectItem(j, "kind")->valuestring, kind) && !skip--)
			return j;
	}
	return NULL;
}

static bool is(const cJSON *j, const char *state)
{
	return j && !strcmp(cJSON_GetObjectItem(j, "state")->valuestring, state);
}

static double seconds(const cJSON *j, const char *name)
{
	const cJSON *x = cJSON_GetObjectItem(cJSON_GetObjectItem(j, name), "seconds");
	return x ? x->valuedouble : 0;
}

static int lines(const char *text, const char *with)
{
	int n = 0;
	for (const char *at = text; (at = strstr(at, with)); at += strlen(with))
		n++;
	return n;
}

static void keep(void *owner, const char *line)
{
	text_printf(owner, "%s\n", line);
}

static void test_speed(struct arena *a, struct check_options *o, struct text *why)
{
	enum check_status status;
	struct text table, records;
	text_init(&table, a);
	text_init(&records, a);
	o->peers = peers_command;
	o->record = keep;
	o->owner = &records;
	cJSON *report = check_pack(a, o, &status, why);
	ok(report && status == CHECK_GOOD, "a whole check with times: %s", why->s);
	const cJSON *speed = job(report, "speed", 0), *peers = cJSON_GetObjectItem(speed, "peers");
	ok(is(speed, "good") && seconds(speed, "own") > 0, "the default is timed");
	ok(cJSON_GetArraySize(peers) == 1 && seconds(peers, "one") == 0.25,
	   "in turns with the peer that answers");
	ok(speed && strstr(cJSON_GetObjectItem(speed, "remark")->valuestring, "lame failed") &&
	           strstr(cJSON_GetObjectItem(speed, "remark")->valuestring, "a note"),
	   "what peers say is told");
	ok(cJSON_GetObjectItem(speed, "error"), "it was held against the exact kernel first");
	const cJSON *candidate = job(report, "candidate", 1);
	ok(is(candidate, "good") && seconds(candidate, "control") > 0,
	   "candidates are timed in turns with the default");
	const cJSON *copy = job(report, "copy", 0);
	ok(is(copy, "good") && cJSON_GetObjectItem(copy, "peer_bandwidth")->valuedouble == 5e9,
	   "a copy is timed");
	report_print(report, &table);
	ok(strstr(table.s, "attune, default") && strstr(table.s, "of a copy") && strstr(table.s, "1 Hz"),
	   "the table has them");
	ok(lines(records.s, "\n") == 3 && lines(records.s, "\"schedule\"") == 3, "and so have the records");
	cJSON_Delete(report);
}

static void test_trouble(struct arena *a, struct check_options *o, struct text *why)
{
	struct target_device device = *o->instead->device;
	struct target target = *o->instead;
	enum check_status status;
	device.launch = launch_and_die;
	target.device = &device;
	o->instead = &target;
	o->peers = "exit 1";
	o->record = NULL;
	cJSON *report = check_pack(a, o, &status, why);
	ok(report && status == CHECK_BAD && is(job(report, "probe", 4), "bad") &&
	           strstr(cJSON_GetObjectItem(job(report, "probe", 4), "remark")->valuestring, "it hangs"),
	   "a kernel that hangs is found by the alarm");
	ok(is(job(report, "probe", 5), "good") && is(job(report, "speed", 0), "good"),
	   "and the rest goes on");
	cJSON_Delete(report);
	o->seconds = 1e-9;
	report = check_pack(a, o, &status, why);
	ok(report && is(job(report, "speed", 0), "not reached"), "what the budget does not reach is said");
	cJSON_Delete(report);
}

static void run(struct arena *a)
{
	char folder[] = "/tmp/attune-gpu-XXXXXX";
	struct text why;
	text_init(&why, a);
	if (!mkdtemp(folder) || !make(a, folder, &why)) {
		ok(false, "a pack is made: %s", why.s);
		return;
	}
	struct target_device device = *target_cuda_emulated.device;
	struct target target = target_cuda_emulated;
	device.mark = mark;
	device.between = between;
	device.unmark = free;
	target.device = &device;
	struct check_options options = {.directory = folder, .instead = &target};
	test_speed(a, &options, &why);
	test_trouble(a, &options, &why);
	char command[64];
	snprintf(command, sizeof command, "rm -r %s", folder);
	ok(!system(command), "all it wrote is in one folder");
}

int main(void)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env))
		abort();
	const char *missing = target_cuda_emulated.missing(&a);
	test_plan(&a);
	if (missing)
		tap_skip(missing);
	else
		run(&a);
	arena_free(&a);
	return tap_done();
}
