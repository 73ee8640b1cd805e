/* explain.c: what was found in a program, and what its predicates come to in a kernel. */
#include "runtime/internal.h"

#include <string.h>

#include "codegen/explain.h"
#include "codegen/explain_choices.h"
#include "codegen/explain_tiles.h"
#include "codegen/roofline.h"
#include "dsl/dtype.h"
#include "search/workload.h"

enum { PAIRS_QUICK = 1 << 24, PAIRS_ASKED = 1 << 27 }; /* looked at for a few lines, and for a picture */

struct explain_job {
	struct attune_program *program;
	const struct attune_explain_options *options;
	enum attune_format format;
	char **out;
	cJSON *json;
};

static bool is_bound(const struct cascade *c)
{
	for (uint32_t i = 0; i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND)
			return false;
	return true;
}

/* ---- data ---- */

/* The caller's tensor of that name as doubles; *given false where there is none. */
static enum attune_status take_given(const struct explain_job *job, struct arena *arena, const char *name,
                                     struct oracle_tensor *to, bool *given, struct attune_error *error)
{
	const struct attune_program *p = job->program;
	for (int i = 0; i < p->ntensors && i < job->options->count; i++) {
		const DLTensor *t = job->options->tensors[i];
		struct view view;
		if (!t || strcmp(p->tensor[i].name, name))
			continue;
		enum dtype type = p->cascade->tensor.v[p->tensor_id[i]].dtype;
		enum attune_status status = tensor_view(&p->tensor[i], type, type, t, &view, error);
		if (status || (status = tensor_on_host(name, t, error)))
			return status;
		to->count = tensor_count(t);
		to->data = arena_new_array(arena, (size_t)to->count, double);
		tensor_to_doubles(t, &view, to->data);
		*given = true;
		return ATTUNE_OK;
	}
	return ATTUNE_OK;
}

static void generate(struct arena *arena, struct cascade *c, uint32_t tensor, struct oracle_tensor *to)
{
	struct workload *w = workload_new(arena, c);
	for (int i = 0; i < w->arguments; i++) {
		const struct argument *x = &w->argument[i];
		uint64_t random = 1 + tensor;
		if (x->tensor != tensor)
			continue;
		void *data = arena_alloc(arena, x->bytes);
		workload_fill(c, x, 1, &random, data);
		to->count = x->count;
		to->data = arena_new_array(arena, (size_t)x->count, double);
		for (int64_t k = 0; k < x->count; k++)
			to->data[k] = dtype_load(x->dtype, data, k);
	}
}

/* The inputs that the maps need, given or generated; *said: which are which. */
static enum attune_status find_data(const struct explain_job *job, struct arena *arena,
                                    const struct streams *s, const struct tile_program *program,
                                    struct oracle_tensor *data, const char **said, struct attune_error *error)
{
	struct cascade *c = s->cascade;
	struct text given, made;
	bool *needed = arena_new_array(arena, c->tensor.n, bool);
	text_init(&given, arena);
	text_init(&made, arena);
	const struct cascade *own = job->program->cascade;
	struct oracle_tensor *filled = arena_new_array(arena, own->tensor.n, struct oracle_tensor);
	enum attune_status status =
	        job->options->fill ? program_fill(job->program, arena, job->options->fill, filled, error)
	                           : ATTUNE_OK;
	if (status)
		return status;
	for (uint32_t i = 0; i < s->stream.n; i++)
		if (s->stream.v[i].index != NO_INDEX && s->stream.v[i].present.id)
			tile_map_needs(arena, s, i, program, needed);
	for (uint32_t t = 0; t < c->tensor.n; t++) {
		bool found = false;
		if (!needed[t] || c->tensor.v[t].role != ROLE_IN)
			continue;
		status = take_given(job, arena, c->tensor.v[t].name, &data[t], &found, error);
		if (status)
			return status;
		uint32_t same = cascade_find_tensor(own, c->tensor.v[t].name);
		if (!found && same != UINT32_MAX && filled[same].data) {
			data[t] = filled[same];
			found = true;
		}
		if (!found)
			generate(arena, c, t, &data[t]);
		struct text *list = found ? &given : &made;
		text_printf(list, "%s%s",
		            list->len ? ", "
		            : found   ? "given: "
		                      : "generated: ",
		            c->tensor.v[t].name);
	}
	if (given.len || made.len)
		*said = arena_printf(arena, "%s%s%s", given.s, given.len && made.len ? "; " : "", made.s);
	return ATTUNE_OK;
}

/* ---- tiles ---- */

static enum attune_status find_tiles(const struct explain_job *job, struct arena *arena,
                                     const struct streams *derived, struct variant *v,
                                     struct tiles_explained *tiles, struct attune_error *error)
{
	const struct attune_explain_options *o = job->options;
	*tiles = explain_predicates(arena, derived);
	if (!is_bound(derived->cascade))
		return o->schedule || o->maps || o->svg || o->fill ? program_check_bound(job->program, error)
		                                                   : ATTUNE_OK;
	struct attune_error why;
	enum attune_status status =
	        program_variant(job->program, arena, o->schedule, false, FOR_TEXT, v, &why);
	object_free(&v->choice.object);
	if (status && (o->schedule || status == ATTUNE_SYSTEM))
		return runtime_fail(error, status, "%s", why.message);
	if (status) { /* what has no kernel is explained all the same */
		v->choice.program = NULL;
		tiles->no_tiles = arena_strdup(arena, why.message);
		return ATTUNE_OK;
	}
	const struct tile_program *program = v->choice.program;
	struct text reason;
	text_init(&reason, arena);
	if (!tile_check(program, &reason))
		return runtime_fail(error, ATTUNE_SYSTEM, "the tile program is not sound: %s", reason.s);
	const struct streams *s = problem_streams(v->problem, v->choice.schedule.form);
	struct oracle_tensor *data = arena_new_array(arena, s->cascade->tensor.n, struct oracle_tensor);
	struct tile_map_options options = {.limit = o->maps || o->svg ? PAIRS_ASKED : PAIRS_QUICK,
	                                   .progress = o->progress,
	                                   .user = o->user};
	const char *said = NULL;
	status = find_data(job, arena, s, program, data, &said, error);
	if (status)
		return status;
	*tiles = explain_tiles(arena, v->problem, &v->choice.schedule, program, data, &options);
	tiles->origin = v->origin;
	tiles->data = said;
	return ATTUNE_OK;
}

/* ---- the whole ---- */

static void print_schedule(const struct variant *v, struct text *t)
{
	struct tile_cost c = tile_cost(v->choice.program);
	text_add(t, "\nSchedule\n\n");
	for (const char *s = v->choice.text; *s;) {
		size_t n = strcspn(s, "\n");
		text_add(t, "  ");
		text_bytes(t, s, n);
		text_char(t, '\n');
		s += n + (s[n] != 0);
	}
	text_printf(t,
	            "  asks for %.4g flop of contractions, %.4g of the rest, %.4g exponentials and %.4g "
	            "bytes of tensors\n",
	            c.contract_flops, c.map_flops, c.exps, c.bytes);
}

static void json_schedule(const struct variant *v, cJSON *root)
{
	struct tile_cost c = tile_cost(v->choice.program);
	cJSON *o = cJSON_AddObjectToObject(root, "costs");
	cJSON_AddStringToObject(o, "schedule", v->choice.text);
	cJSON_AddNumberToObject(o, "contract_flops", c.contract_flops);
	cJSON_AddNumberToObject(o, "other_flops", c.map_flops);
	cJSON_AddNumberToObject(o, "exponentials", c.exps);
	cJSON_AddNumberToObject(o, "bytes_asked", c.bytes);
}

/* What the schedule asks for takes at the least, by this processor's limits. */
static struct roofline roofline_of(const struct explain_job *job, const struct explanation *found,
                                   const struct variant *v)
{
	const struct attune_context *c = job->program->context;
	struct tile_cost cost = tile_cost(v->choice.program);
	return roofline(&cost, found->work.bytes, &c->machine, v->choice.schedule.isa, c->threads);
}

static void print_roofline(const struct explain_job *job, const struct explanation *found, const struct variant *v,
                           struct text *t)
{
	const struct attune_context *c = job->program->context;
	struct roofline r = roofline_of(job, found, v);
	if (r.bound)
		text_printf(t,
		            "\nBound\n\n  %s, %d thread%s: multiply-adds %.4g ms, exponentials %.4g ms, memory %.4g ms;\n"
		            "  so no less than %.4g ms, most of it %s\n",
		            isa_info[v->choice.schedule.isa].name, c->threads, c->threads == 1 ? "" : "s", r.products * 1e3,
		            r.exps * 1e3, r.memory * 1e3, r.seconds * 1e3, r.bound);
}

static void json_roofline(const struct explain_job *job, const struct explanation *found, const struct variant *v,
                          cJSON *root)
{
	struct roofline r = roofline_of(job, found, v);
	if (!r.bound)
		return;
	cJSON *o = cJSON_AddObjectToObject(root, "bound");
	cJSON_AddStringToObject(o, "by", r.bound);
	cJSON_AddNumberToObject(o, "threads", job->program->context->threads);
	cJSON_AddNumberToObject(o, "multiply_adds", r.products);
	cJSON_AddNumberToObject(o, "exponentials", r.exps);
	cJSON_AddNumberToObject(o, "memory", r.memory);
	cJSON_AddNumberToObject(o, "seconds", r.seconds);
}

static enum attune_status print_text(struct explain_job *job, struct arena *arena,
                                     const struct explanation *found, const struct tiles_explained *tiles,
                                     const struct variant *v, bool kernels, struct attune_error *error)
{
	const struct attune_explain_options *o = job->options;
	struct text t;
	text_init(&t, arena);
	explain_text(found, &t);
	if (v->choice.program)
		print_roofline(job, found, v, &t);
	if (v->choice.program) {
		struct choices_told told = explain_choices(arena, v->problem, &v->choice.schedule, v->origin);
		choices_text(&told, &t);
	}
	tiles_text(tiles, o->maps ? MAPS_ALL : MAPS_SMALL, o->utf8, &t);
	if (o->schedule)
		print_schedule(v, &t);
	enum attune_status status =
	        kernels ? device_explain(job->program, o->schedule, arena, &t, NULL, error) : ATTUNE_OK;
	return status ? status : runtime_give(&t, job->out, error);
}

static enum attune_status print_json(struct explain_job *job, struct arena *arena,
                                     const struct explanation *found, const struct tiles_explained *tiles,
                                     const struct variant *v, bool kernels, struct attune_error *error)
{
	const char *schedule = job->options->schedule;
	struct text t;
	enum attune_status status;
	text_init(&t, arena);
	job->json = explain_json(found);
	if (job->json && tiles->stream.n)
		tiles_json(tiles, cJSON_AddObjectToObject(job->json, "predicates"));
	if (job->json && v->choice.program)
		json_schedule(v, job->json);
	if (job->json && v->choice.program) {
		struct choices_told told = explain_choices(arena, v->problem, &v->choice.schedule, v->origin);
		json_roofline(job, found, v, job->json);
		choices_json(&told, cJSON_AddArrayToObject(job->json, "choices"));
	}
	if (kernels && job->json &&
	    (status = device_explain(job->program, schedule, arena, NULL, job->json, error)))
		return status;
	char *printed = job->json ? cJSON_Print(job->json) : NULL;
	if (!printed)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	text_add(&t, printed);
	text_char(&t, '\n');
	cJSON_free(printed);
	return runtime_give(&t, job->out, error);
}

static enum attune_status run_explain(void *data, struct arena *arena, struct attune_error *error)
{
	struct explain_job *job = data;
	struct attune_context *context = job->program->context;
	struct cascade *cascade = cascade_clone(arena, job->program->cascade);
	struct variant v = {0};
	struct tiles_explained tiles;
	struct text svg;
	bool bound = is_bound(cascade);
	enum attune_status status = bound ? program_check_bound(job->program, error) : ATTUNE_OK;
	if (status)
		return status;
	if (bound)
		context_measure(context, false);
	struct stream_options options = {0};
	struct streams *streams = streams_derive(arena, cascade, &options);
	struct explanation found = explain(arena, cascade, streams, &context->machine);
	status = find_tiles(job, arena, streams, &v, &tiles, error);
	if (status)
		return status;
	bool kernels = bound && context_on_device(context);
	status = job->format == ATTUNE_TEXT ? print_text(job, arena, &found, &tiles, &v, kernels, error)
	                                    : print_json(job, arena, &found, &tiles, &v, kernels, error);
	if (status || !job->options->svg)
		return status;
	text_init(&svg, arena);
	tiles_svg(&tiles, cascade->name, &svg);
	status = runtime_give(&svg, job->options->svg, error);
	if (status)
		attune_free(*job->out);
	return status;
}

enum attune_status attune_explain(struct attune_program *p, const struct attune_explain_options *options,
                                  enum attune_format format, char **text, struct attune_error *error)
{
	static const struct attune_explain_options none = {0};
	if (!p->cascade)
		return runtime_fail_diags(error, ATTUNE_PROGRAM, &p->diags);
	if (options && options->tensors) {
		enum attune_status status =
		        tensors_counted(attune_program_name(p), options->count, p->ntensors, error);
		if (status)
			return status;
	}
	struct explain_job job = {p, options ? options : &none, format, text, NULL};
	enum attune_status status = runtime_try(run_explain, &job, error);
	cJSON_Delete(job.json);
	return status;
}
