/* perf_gpu_test.c: for every case that was timed on a device, the default schedule of today is the best that
 * was measured there, within 3%. perf/gpu has a line of JSON for each kernel timed (docs/gpu.md); of a case
 * and device the latest run counts. Skipped where nothing was measured, or not the default of today. */
#include <cjson/cJSON.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "attune.h"
#include "tests/tap.h"

static const double within = 1.03;

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "rb");
	size_t size = 64 << 20, n;
	char *text = malloc(size);
	if (!f || !text)
		abort();
	n = fread(text, 1, size - 1, f);
	text[n] = 0;
	fclose(f);
	return text;
}

static const char *string(const cJSON *object, const char *name)
{
	const cJSON *x = cJSON_GetObjectItem(object, name);
	return cJSON_IsString(x) ? x->valuestring : "";
}

static double seconds(const cJSON *record, const char *name)
{
	const cJSON *x = cJSON_GetObjectItem(cJSON_GetObjectItem(record, name), "seconds");
	return cJSON_IsNumber(x) ? x->valuedouble : 0;
}

static int bindings(const cJSON *object, struct attune_binding b[16])
{
	const cJSON *x;
	int n = 0;
	cJSON_ArrayForEach(x, object) if (n < 16) b[n++] = (struct attune_binding){x->string, x->valuedouble};
	return n;
}

/* The default schedule of a record's case on its device; NULL, printed why, when there is none. */
static char *default_schedule(const cJSON *record)
{
	char arch[16], *schedule = NULL, *text = slurp(string(record, "program"));
	struct attune_context *context = NULL;
	struct attune_program *program = NULL;
	struct attune_error error = {0};
	struct attune_binding param[16], rank[16];
	struct attune_type types[16];
	const cJSON *x;
	struct attune_source source = {.text = text, .params = param, .types = types};
	source.nparams = bindings(cJSON_GetObjectItem(record, "params"), param);
	cJSON_ArrayForEach(x, cJSON_GetObjectItem(record, "types")) if (source.ntypes < 16)
	        types[source.ntypes++] = (struct attune_type){x->string, x->valuestring};
	snprintf(arch, sizeof arch, "sm_%d", cJSON_GetObjectItem(record, "capability")->valueint);
	if (attune_context_new(&(struct attune_options){.cache = "", .target = "cuda", .arch = arch},
	                       &context, &error) ||
	    attune_program_new(context, &source, &program, &error) ||
	    attune_program_bind(program, rank, bindings(cJSON_GetObjectItem(record, "ranks"), rank),
	                        &error) ||
	    attune_emit(program, ATTUNE_STAGE_SCHEDULE, NULL, &schedule, &error))
		printf("# %s: %s\n", string(record, "case"), error.message);
	attune_program_free(program);
	attune_context_free(context);
	free(text);
	return schedule;
}

static bool same_device(const cJSON *a, const cJSON *b)
{
	return !strcmp(string(a, "case"), string(b, "case")) &&
	       !strcmp(string(cJSON_GetObjectItem(a, "device"), "name"),
	               string(cJSON_GetObjectItem(b, "device"), "name"));
}

/* How many times the speed of its run's control a kernel had. */
static double speed(const cJSON *record)
{
	return strcmp(string(record, "kind"), "speed") ? seconds(record, "control") / seconds(record, "own")
	                                               : 1;
}

enum outcome { BEST, NOT_BEST, NOT_MEASURED };

/* `first` is the first record of its case and device. */
static enum outcome judge(const cJSON *records, const cJSON *first, double *best, double *own)
{
	const cJSON *x;
	const char *latest = "";
	char *schedule = default_schedule(first);
	*best = *own = 0;
	cJSON_ArrayForEach(x, records) if (same_device(x, first) && strcmp(string(x, "when"), latest) > 0)
	        latest = string(x, "when");
	cJSON_ArrayForEach(x, records)
	{
		if (!same_device(x, first) || strcmp(string(x, "when"), latest))
			continue;
		*best = speed(x) > *best ? speed(x) : *best;
		if (schedule && !strcmp(string(x, "schedule"), schedule))
			*own = speed(x);
	}
	attune_free(schedule);
	return *own <= 0 ? NOT_MEASURED : *best <= within * *own ? BEST : NOT_BEST;
}

static void add_lines(cJSON *records, char *text)
{
	char *rest = NULL;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		cJSON *record = cJSON_Parse(line);
		ok(record && *string(record, "case") && seconds(record, "own") > 0, "a record is whole");
		if (record)
			cJSON_AddItemToArray(records, record);
	}
}

static bool is_first(const cJSON *records, const cJSON *record)
{
	const cJSON *x;
	cJSON_ArrayForEach(x, records)
	{
		if (same_device(x, record))
			return x == record;
	}
	return false;
}

/* Two made-up kernels: today's default, and another that is `ratio` times as fast. */
static enum outcome made_up(double ratio)
{
	static const char form[] =
	        "{\"case\": \"x\", \"program\": \"examples/cross_attention.att\", \"types\": {\"Q\": "
	        "\"bf16\","
	        " \"K\": \"bf16\", \"V\": \"bf16\", \"O\": \"bf16\"}, \"ranks\": {\"B\": 1, \"H\": 2, \"N\": "
	        "64,"
	        " \"M\": 64, \"D\": 64, \"E\": 64}, \"capability\": 90, \"when\": \"2000\", \"kind\": \"%s\","
	        " \"own\": {\"seconds\": %g}, \"control\": {\"seconds\": 1}}";
	char line[600];
	double best, own;
	cJSON *records = cJSON_CreateArray();
	for (int i = 0; i < 2; i++) {
		snprintf(line, sizeof line, form, i ? "candidate" : "speed", i ? 1 / ratio : 1);
		cJSON *record = cJSON_Parse(line);
		char *schedule = default_schedule(record);
		cJSON_AddStringToObject(record, "schedule", i ? "another" : schedule ? schedule : "");
		cJSON_AddItemToArray(records, record);
		attune_free(schedule);
	}
	enum outcome o = judge(records, cJSON_GetArrayItem(records, 0), &best, &own);
	cJSON_Delete(records);
	return o;
}

int main(void)
{
	glob_t g;
	const cJSON *x;
	cJSON *records = cJSON_CreateArray();
	ok(made_up(1.01) == BEST, "a default that nothing beats clearly is the best");
	ok(made_up(1.1) == NOT_BEST, "one that something beats is not");
	if (!glob("perf/gpu/*.jsonl", 0, NULL, &g))
		for (size_t i = 0; i < g.gl_pathc; i++) {
			char *text = slurp(g.gl_pathv[i]);
			add_lines(records, text);
			free(text);
		}
	if (!cJSON_GetArraySize(records))
		tap_skip("nothing was measured on a device yet: perf/gpu has no records");
	cJSON_ArrayForEach(x, records)
	{
		double best, own;
		if (!is_first(records, x))
			continue;
		enum outcome o = judge(records, x, &best, &own);
		if (o == NOT_MEASURED)
			tap_skip("the default of today was not measured");
		else
			ok(o == BEST, "%s: the default has %.3f of the speed of the best measured",
			   string(x, "case"), own / best);
	}
	cJSON_Delete(records);
	return tap_done();
}
