/* device_explain.c: what kernels for a device take of it, before any of them ran. */
#include "runtime/internal.h"

#include <math.h>

#include "search/model.h"

/* A bound program's kernels, compiled for the context's architecture. */
struct kernels {
	const struct attune_context *context;
	struct variant variant;
	const struct resources *resources; /* one a phase; NULL: not known, and `missing` says why */
	const char *missing;
	struct model_phase *model; /* one a phase; NULL where there is no text */
};

static enum attune_status find_out(const struct attune_program *p, const char *schedule, struct arena *arena,
                                   struct kernels *k, struct attune_error *error)
{
	const struct target *target = p->context->target;
	*k = (struct kernels){.context = p->context, .missing = target->missing(arena)};
	enum attune_status status = program_variant(p, arena, schedule, false, k->missing ? FOR_TEXT : FOR_CODE,
	                                            &k->variant, error);
	object_free(&k->variant.choice.object);
	const struct kernel_source *source = &k->variant.choice.source;
	if (status)
		return status;
	if (!source->text)
		return runtime_fail(error, ATTUNE_PROGRAM, "there is no kernel for this schedule: %s", source->reason);
	if (k->missing)
		return ATTUNE_OK;
	if (!target->device->resources) {
		k->missing = "this target has none to tell of";
		return ATTUNE_OK;
	}
	struct object object = {0};
	struct text why;
	text_init(&why, arena);
	if (!target->compile(source->text, &k->variant.choice.options, &object, &why))
		return runtime_fail(error, ATTUNE_SYSTEM, "%s could not compile the kernel:\n%s", target->name, why.s);
	k->resources = target->device->resources(arena, &object, source, &k->variant.choice.options);
	object_free(&object);
	if (!k->resources)
		k->missing = "the compiler did not tell";
	return ATTUNE_OK;
}

static void ask_model(struct kernels *k, struct arena *arena)
{
	const struct tune_choice *c = &k->variant.choice;
	k->model = arena_new_array(arena, (size_t)c->source.nphases + 1, struct model_phase);
	model_phases(c->program, &c->source, k->resources, &k->context->machine, k->model);
}

static void print_model(const struct model_phase *m, struct text *t)
{
	if (isfinite(m->seconds))
		text_printf(t, "    %.4g ms by the model, bound by %s\n", 1e3 * m->seconds, m->bound);
}

static void print_phase(const struct kernel_phase *phase, const struct resources *r, struct text *t)
{
	text_printf(t, "  %s: %ld block%s of %d threads, %lld B of shared memory\n", phase->symbol, phase->tasks,
	            phase->tasks == 1 ? "" : "s", phase->threads, (long long)(phase->shared_bytes + (r ? r->shared : 0)));
	if (!r)
		return;
	text_printf(t, "    %d registers a thread, ", r->registers);
	if (r->spill_stores || r->spill_loads)
		text_printf(t, "spilled: %d B stored, %d B loaded", r->spill_stores, r->spill_loads);
	else
		text_add(t, "none spilled");
	if (r->stack)
		text_printf(t, ", %d B of stack", r->stack);
	text_printf(t, "\n    %d block%s at a time on a processor, occupancy %.0f%%, bound by %s\n", r->blocks,
	            r->blocks == 1 ? "" : "s", 100 * r->occupancy, r->bound ? r->bound : "nothing");
	if (r->reject)
		text_printf(t, "    not to be used: %s\n", r->reject);
	if (r->notes)
		text_printf(t, "    noted: %s\n", r->notes);
}

static void print(const struct kernels *k, struct text *t)
{
	const struct kernel_source *source = &k->variant.choice.source;
	const struct machine *m = &k->context->machine;
	text_printf(t, "\nKernels\n\n  By the %s schedule, for sm_%d (%s, %d processors)\n", k->variant.origin, m->capability,
	            m->model_name, m->processors);
	for (int i = 0; i < source->nphases; i++) {
		print_phase(&source->phase[i], k->resources ? &k->resources[i] : NULL, t);
		if (k->model)
			print_model(&k->model[i], t);
	}
	if (k->missing)
		text_printf(t, "  Registers and occupancy are not known: %s\n", k->missing);
}

cJSON *device_phases_json(const struct kernel_source *source, const struct resources *resources)
{
	cJSON *list = cJSON_CreateArray();
	for (int i = 0; i < source->nphases; i++) {
		const struct kernel_phase *phase = &source->phase[i];
		const struct resources *r = resources ? &resources[i] : NULL;
		cJSON *o = cJSON_CreateObject();
		cJSON_AddItemToArray(list, o);
		cJSON_AddStringToObject(o, "kernel", phase->symbol);
		cJSON_AddNumberToObject(o, "blocks", (double)phase->tasks);
		cJSON_AddNumberToObject(o, "threads", phase->threads);
		cJSON_AddNumberToObject(o, "shared_bytes", (double)phase->shared_bytes);
		if (!r)
			continue;
		cJSON_AddNumberToObject(o, "registers", r->registers);
		cJSON_AddNumberToObject(o, "spill_stores", r->spill_stores);
		cJSON_AddNumberToObject(o, "spill_loads", r->spill_loads);
		cJSON_AddNumberToObject(o, "stack", r->stack);
		cJSON_AddNumberToObject(o, "static_shared_bytes", (double)r->shared);
		cJSON_AddNumberToObject(o, "blocks_at_a_time", r->blocks);
		cJSON_AddNumberToObject(o, "occupancy", r->occupancy);
		if (r->bound)
			cJSON_AddStringToObject(o, "bound_by", r->bound);
		if (r->reject)
			cJSON_AddStringToObject(o, "reject", r->reject);
		if (r->notes)
			cJSON_AddStringToObject(o, "notes", r->notes);
	}
	return list;
}

enum attune_status device_explain(const struct attune_program *p, const char *schedule, struct arena *arena,
                                  struct text *text, cJSON *json, struct attune_error *error)
{
	struct kernels k;
	enum attune_status status = find_out(p, schedule, arena, &k, error);
	if (status)
		return status;
	ask_model(&k, arena);
	if (!json) {
		print(&k, text);
		return ATTUNE_OK;
	}
	cJSON_AddStringToObject(json, "arch", arena_printf(arena, "sm_%d", k.context->machine.capability));
	cJSON_AddStringToObject(json, "schedule", k.variant.origin);
	cJSON_AddItemToObject(json, "kernels", device_phases_json(&k.variant.choice.source, k.resources));
	for (int i = 0; k.model && i < k.variant.choice.source.nphases; i++) {
		cJSON *one = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "kernels"), i);
		if (isfinite(k.model[i].seconds))
			cJSON_AddNumberToObject(one, "modelled_seconds", k.model[i].seconds);
		cJSON_AddStringToObject(one, "modelled_bound", k.model[i].bound);
	}
	if (k.missing)
		cJSON_AddStringToObject(json, "resources_missing", k.missing);
	return ATTUNE_OK;
}
