#include "search/tune.h"

#include <string.h>

#include "search/loop.h"
#include "search/replay.h"

static const double default_seconds = 60;

static struct tune_options with_defaults(const struct tune_options *given)
{
	struct tune_options o = given ? *given : (struct tune_options){0};
	if (o.seconds <= 0)
		o.seconds = default_seconds;
	if (!o.seed)
		o.seed = 1;
	if (!o.strategy)
		o.strategy = &strategy_genetic;
	return o;
}

/* The compiler's libraries are brought in here, so that every forked child finds them warm. */
static bool warm(const struct tune_place *place, struct arena *a, struct text *reason)
{
	const char *missing = place->target->missing(a);
	if (missing)
		text_add(reason, missing);
	if (missing || place->threads < 1)
		return false;
	struct object object = {0};
	struct text d;
	text_init(&d, a);
	const struct target_options options = tune_target_options(place, 1);
	if (place->target->compile("int attune_warm;", &options, &object, &d))
		object_free(&object);
	return true;
}

static void record_head(const struct tune_options *o, const struct subject *s, struct arena *a)
{
	struct text t;
	if (!o->record || !s->space)
		return;
	text_init(&t, a);
	landscape_print_head(s->space, &t);
	o->record(o->owner, t.s);
}

bool tune(struct arena *a, const struct cascade *c, const struct tune_place *place, struct cache *cache,
          const struct tune_options *given, struct tune_result *result, struct text *reason)
{
	const struct tune_options o = with_defaults(given);
	const double began = wall_seconds();
	const struct tune_progress first = {.activity = "reference", .budget = o.seconds};
	struct text note;
	text_init(&note, a);
	*result = (struct tune_result){0};
	if (!warm(place, a, reason))
		return false;
	if (place->modelled)
		target_cuda_emulated.missing(a); /* what proves the winner, too */
	if (place->threads > 1 && !o.threads && !place->target->device) {
		text_add(reason, "no threads were given to time with");
		return false;
	}
	if (o.progress)
		o.progress(o.owner, &first);
	struct subject *subject = subject_new(a, c, place, o.threads, o.seed, reason, &note);
	if (!subject)
		return false;
	record_head(&o, subject, a);
	const struct cache_key key = tune_key(a, c, place);
	bool good = search_run(a, subject, place, &key, cache, &o, began, result, reason);
	if (good) {
		result->flops = workload_flops(subject->workload[subject->workloads - 1], cascade_clone(a, c), SET_NORMAL);
		double peak = place->target->device ? 0 : machine_peak_probe(place->isa, schedule_operand(&result->schedule)) * place->threads;
		result->peak = peak > 0 && result->best > 0 ? result->flops / result->best / peak : 0;
		if (note.len)
			result->note =
			        result->note ? arena_printf(a, "%s; %s", note.s, result->note) : note.s;
	}
	subject->close(subject->owner);
	return good;
}
