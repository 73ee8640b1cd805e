/* emit.c: any stage of a program as text. */
#include "runtime/internal.h"

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
