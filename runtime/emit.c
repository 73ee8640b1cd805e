/* emit.c: any stage of a program as text, and what was found in it. */
#include "runtime/internal.h"

#include "codegen/explain.h"

struct emit_job {
	struct attune_program *program;
	enum attune_stage stage;
	const char *schedule;
	char **out;
};

static enum attune_status emit(void *data, struct arena *arena, struct attune_error *error)
{
	const struct emit_job *job = data;
	struct attune_program *p = job->program;
	struct text t;
	text_init(&t, arena);
	if (job->stage == ATTUNE_STAGE_CASCADE) {
		cascade_print(p->cascade, &t);
		return runtime_give(&t, job->out, error);
	}
	if (job->stage == ATTUNE_STAGE_STREAMS) {
		struct stream_options options = {0};
		streams_print(streams_derive(arena, cascade_clone(arena, p->cascade), &options), &t);
		return runtime_give(&t, job->out, error);
	}
	struct variant v;
	enum attune_status status = program_variant(p, arena, job->schedule, false, FOR_TEXT, &v, error);
	if (status)
		return status;
	object_free(&v.choice.object); /* stored code is not what is asked for */
	switch (job->stage) {
	case ATTUNE_STAGE_SCHEDULE: text_add(&t, v.choice.text); break;
	case ATTUNE_STAGE_TILE: tile_print(v.choice.program, &t); break;
	default:
		if (!v.choice.source.text)
			return runtime_fail(error, ATTUNE_PROGRAM, "there is no kernel for this schedule: %s",
			                    v.choice.source.reason);
		if (context_on_device(p->context)) {
			text_add(&t, p->context->target->device->prelude);
			text_char(&t, '\n');
		}
		text_add(&t, v.choice.source.text);
	}
	return runtime_give(&t, job->out, error);
}

enum attune_status attune_emit(struct attune_program *p, enum attune_stage stage, const char *schedule,
                               char **text, struct attune_error *error)
{
	if (!p->cascade)
		return runtime_fail_diags(error, ATTUNE_PROGRAM, &p->diags);
	return runtime_try(emit, &(struct emit_job){p, stage, schedule, text}, error);
}

struct explain_job {
	struct attune_program *program;
	enum attune_format format;
	char **out;
	cJSON *json;
};

static enum attune_status run_explain(void *data, struct arena *arena, struct attune_error *error)
{
	struct explain_job *job = data;
	struct attune_context *context = job->program->context;
	struct cascade *cascade = cascade_clone(arena, job->program->cascade);
	bool bound = true;
	for (uint32_t i = 0; i < cascade->rank.n; i++)
		bound &= cascade->rank.v[i].extent != NOT_BOUND;
	enum attune_status status = bound ? program_check_bound(job->program, error) : ATTUNE_OK;
	if (status)
		return status;
	if (bound)
		context_measure(context);
	struct stream_options options = {0};
	struct streams *streams = streams_derive(arena, cascade, &options);
	struct explanation found = explain(arena, cascade, streams, &context->machine);
	bool kernels = bound && context_on_device(context);
	struct text t;
	text_init(&t, arena);
	if (job->format == ATTUNE_TEXT) {
		explain_text(&found, &t);
		status = kernels ? device_explain(job->program, arena, &t, NULL, error) : ATTUNE_OK;
		return status ? status : runtime_give(&t, job->out, error);
	}
	job->json = explain_json(&found);
	if (kernels && job->json && (status = device_explain(job->program, arena, NULL, job->json, error)))
		return status;
	char *printed = job->json ? cJSON_Print(job->json) : NULL;
	if (!printed)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	text_add(&t, printed);
	text_char(&t, '\n');
	cJSON_free(printed);
	return runtime_give(&t, job->out, error);
}

enum attune_status attune_explain(struct attune_program *p, enum attune_format format, char **text,
                                  struct attune_error *error)
{
	if (!p->cascade)
		return runtime_fail_diags(error, ATTUNE_PROGRAM, &p->diags);
	struct explain_job job = {p, format, text, NULL};
	enum attune_status status = runtime_try(run_explain, &job, error);
	cJSON_Delete(job.json);
	return status;
}
