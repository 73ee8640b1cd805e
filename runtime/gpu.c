/* gpu.c: attune_gpu_pack and attune_check_gpu, over gpu/. */
#include <stdlib.h>
#include <string.h>

#include "gpu/check.h"
#include "runtime/internal.h"

enum { MAX_ARCHS = 8 };

/* "90,80", "sm_90a": numbers. 0 when it is no such list. */
static int read_archs(const char *text, int archs[MAX_ARCHS])
{
	int n = 0;
	while (*text && n < MAX_ARCHS) {
		text += strncmp(text, "sm_", 3) ? 0 : 3;
		char *end;
		long value = strtol(text, &end, 10);
		end += *end == 'a';
		if (end == text || value < 80 || value > 999 || (*end && *end != ','))
			return 0;
		archs[n++] = (int)value;
		text = end + (*end == ',');
	}
	return n;
}

struct pack_job {
	const struct attune_gpu_pack_options *options;
	struct attune_gpu_pack_result *result;
};

static enum attune_status make_pack(void *data, struct arena *arena, struct attune_error *error)
{
	const struct pack_job *job = data;
	const struct attune_gpu_pack_options *o = job->options;
	const struct target *target = target_find(o->target ? o->target : "cuda");
	struct machine machine;
	struct pack plan;
	struct text why;
	int archs[MAX_ARCHS];
	text_init(&why, arena);
	if (!target || !target->device)
		return runtime_fail(error, ATTUNE_USAGE,
		                    "there is no target '%s' for a device; there are cuda and cuda-emulated",
		                    o->target);
	const bool emulated = !strcmp(target->name, "cuda-emulated");
	struct pack_options make = {.directory = o->directory,
	                            .target = target,
	                            .capability = archs,
	                            .capabilities = read_archs(o->archs   ? o->archs
	                                                       : emulated ? "80"
	                                                                  : "90,80",
	                                                       archs),
	                            .emulate = !o->quick && !emulated,
	                            .progress = o->progress,
	                            .owner = o->user};
	if (!make.capabilities)
		return runtime_fail(error, ATTUNE_USAGE, "architectures are numbers such as 90,80, not '%s'",
		                    o->archs);
	machine_detect(&machine);
	make.threads = o->threads > 0 ? o->threads : machine.cores;
	if (!plan_read(arena, o->plan, &plan, &why))
		return runtime_fail(error, ATTUNE_USAGE, "%s", why.s);
	struct pack_counts counts;
	bool made = pack_make(arena, &plan, &make, &counts, &why);
	*job->result = (struct attune_gpu_pack_result){.cases = (int)plan.cases.n,
	                                               .kernels = counts.kernels,
	                                               .rejected = counts.rejected,
	                                               .emulated = counts.emulated,
	                                               .wrong = counts.wrong,
	                                               .failed = counts.failed,
	                                               .bytes = counts.bytes};
	pack_free(&plan);
	return made ? ATTUNE_OK : runtime_fail(error, ATTUNE_SYSTEM, "%s", why.s);
}

enum attune_status attune_gpu_pack(const struct attune_gpu_pack_options *o,
                                   struct attune_gpu_pack_result *result, struct attune_error *error)
{
	if (!o || !o->plan || !o->directory)
		return runtime_fail(error, ATTUNE_USAGE, "a pack needs a plan and a folder");
	return runtime_try(make_pack, &(struct pack_job){o, result}, error);
}

struct check_gpu_job {
	const struct attune_check_gpu_options *options;
	enum attune_format format;
	char **report;
	bool *good;
};

static enum attune_status give_report(const struct check_gpu_job *job, struct arena *arena,
                                      const cJSON *report, struct attune_error *error)
{
	struct text text;
	text_init(&text, arena);
	if (job->format == ATTUNE_JSON) {
		char *json = cJSON_Print(report);
		text_add(&text, json ? json : "");
		free(json);
	} else {
		report_print(report, &text);
	}
	return runtime_give(&text, job->report, error);
}

static enum attune_status check_gpu(void *data, struct arena *arena, struct attune_error *error)
{
	const struct check_gpu_job *job = data;
	const struct attune_check_gpu_options *o = job->options;
	struct check_options options = {.directory = o->directory,
	                                .target = o->target,
	                                .seconds = o->seconds,
	                                .peers = o->peers,
	                                .progress = o->progress,
	                                .record = o->record,
	                                .owner = o->user};
	enum check_status status;
	struct text why;
	text_init(&why, arena);
	cJSON *report = check_pack(arena, &options, &status, &why);
	if (!report)
		return runtime_fail(error, status == CHECK_DEVICE ? ATTUNE_SYSTEM : ATTUNE_USAGE, "%s",
		                    why.s);
	*job->good = status == CHECK_GOOD;
	enum attune_status given = give_report(job, arena, report, error);
	cJSON_Delete(report);
	return given;
}

enum attune_status attune_check_gpu(const struct attune_check_gpu_options *o, enum attune_format format,
                                    char **report, bool *good, struct attune_error *error)
{
	if (!o || !o->directory)
		return runtime_fail(error, ATTUNE_USAGE, "the folder of a pack is needed");
	return runtime_try(check_gpu, &(struct check_gpu_job){o, format, report, good}, error);
}
