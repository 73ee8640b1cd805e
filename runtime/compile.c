/* compile.c: a bound program becomes a kernel that can be called.
 *
 * The ladder: code kept in the cache; else, for a small problem, the scalar form by libtcc at once and the
 * real code behind it; else the real code, compiled here and kept. Where a compiler's library is not open
 * yet, which takes longer than the quick form, a small problem does not wait to hear what the cache has
 * either.
 */
#include "runtime/kernel.h"

#include <stdlib.h>
#include <string.h>

struct compile_job {
	struct attune_program *program;
	struct attune_compile_options options;
	struct attune_kernel *kernel;
};

/* Scalar work at which the quick form answers about as late as the real one. */
static const double QUICK_WORK = 1e8;
/* Work below which waking other threads costs more than it saves. */
static const double SHARED_WORK = 5e5;

/* Operations of all equations as written, absent elements included: an estimate from above that costs
 * nothing, where walking the tiles of a large problem would cost more than loading its code. */
static double work_of(const struct cascade *c)
{
	double work = 0;
	for (uint32_t q = 0; q < c->equation.n; q++) {
		const struct equation *e = &c->equation.v[q];
		struct expr *node;
		double points = (double)expr_nodes(&c->pool, e->body, &node);
		for (int i = 0; i < e->nindex + e->nreduced; i++) {
			uint32_t index = i < e->nindex ? e->index[i] : e->reduced[i - e->nindex];
			int64_t extent;
			points *= cascade_extent(c, c->index.v[index].extent, &extent) ? (double)extent : 1;
		}
		work += points;
	}
	return work;
}

static struct cache_key copy_key(struct arena *a, struct cache_key k)
{
	const char **text[] = {
	        &k.env.hardware,  &k.env.arch,   &k.env.isa,          &k.env.facts,    &k.env.codegen,
	        &k.env.toolchain, &k.env.policy, &k.problem.workload, &k.problem.name, &k.problem.contract,
	};
	for (size_t i = 0; i < sizeof text / sizeof *text; i++)
		*text[i] = *text[i] ? arena_strdup(a, *text[i]) : NULL;
	for (int i = 0; i < k.problem.nranks; i++)
		k.problem.rank[i] = arena_strdup(a, k.problem.rank[i]);
	return k;
}

static struct kernel_source copy_source(struct arena *a, struct kernel_source s)
{
	s.text = arena_strdup(a, s.text);
	s.digest = s.digest ? arena_strdup(a, s.digest) : NULL;
	if (s.device)
		s.argument = arena_copy(a, s.argument, (size_t)s.narguments * sizeof *s.argument);
	s.phase = arena_copy(a, s.phase, (size_t)s.nphases * sizeof *s.phase);
	for (int i = 0; i < s.nphases; i++)
		s.phase[i].symbol = arena_strdup(a, s.phase[i].symbol);
	return s;
}

static void describe_arguments(struct attune_kernel *k, const struct attune_program *p)
{
	struct arena *a = &k->arena;
	k->name = arena_strdup(a, attune_program_name(p));
	k->ntensors = p->ntensors;
	k->tensor = arena_copy(a, p->tensor, (size_t)p->ntensors * sizeof *p->tensor);
	k->dtype = arena_new_array(a, (size_t)p->ntensors, enum dtype);
	for (int i = 0; i < p->ntensors; i++) {
		struct attune_tensor *t = &k->tensor[i];
		k->dtype[i] = p->cascade->tensor.v[p->tensor_id[i]].dtype;
		t->name = arena_strdup(a, t->name);
		t->declared = arena_strdup(a, t->declared);
		t->shape = arena_copy(a, t->shape, MAX_RANKS * sizeof *t->shape);
	}
}

enum attune_status kernel_choose(struct attune_kernel *k, const struct attune_program *p,
                                 const struct attune_compile_options *options, struct variant *v,
                                 struct arena *arena, struct attune_error *error)
{
	struct tune_place place;
	enum attune_status status =
	        program_variant(p, arena, options->schedule, options->naive, FOR_CODE, v, error);
	if (status || (status = context_place(p->context, arena, &place, error)))
		return status;
	enum isa isa = v->choice.schedule.isa;
	if (!v->choice.source.text)
		return runtime_fail(error, ATTUNE_PROGRAM, "there is no kernel for this schedule: %s",
		                    v->choice.source.reason);
	if (p->context->no_device)
		return runtime_fail(error, ATTUNE_SYSTEM, "target %s: %s", place.target->name, p->context->no_device);
	if (!place.target->supports(isa))
		return runtime_fail(error, ATTUNE_USAGE, "target %s does not support %s", place.target->name,
		                    isa_info[isa].name);
	if (!isa_runs_on(isa, place.machine->isa))
		return runtime_fail(error, ATTUNE_SYSTEM, "this machine has no %s", isa_info[isa].name);
	size_t bytes = code_argument_bytes(k->tensor, k->ntensors);
	if (v->choice.source.device && bytes > MAX_DEVICE_ARGUMENT_BYTES)
		return runtime_fail(error, ATTUNE_PROGRAM, "the arguments of %s take %zu bytes; a device takes at most %d",
		                    k->name, bytes, MAX_DEVICE_ARGUMENT_BYTES);
	struct arena *a = &k->arena;
	k->final_info = (struct attune_kernel_info){
	        .source = v->origin,
	        .schedule = arena_strdup(a, v->choice.text),
	        .digest = arena_strdup(a, v->choice.source_key),
	};
	k->recipe = (struct recipe){
	        .target = place.target,
	        .options = v->choice.options,
	        .source = copy_source(a, v->choice.source),
	        .source_key = k->final_info.digest,
	        .key = copy_key(a, v->key),
	};
	return ATTUNE_OK;
}

bool kernel_from_cache(struct attune_kernel *k, struct cache *cache, struct variant *v, struct arena *arena)
{
	const struct recipe *r = &k->recipe;
	struct object object = v->choice.object;
	v->choice.object = (struct object){0};
	if (!object.bytes &&
	    cache_get_artifact(cache, &r->key, r->source_key, &object.bytes, &object.size) != CACHE_OK)
		return false;
	struct text why;
	text_init(&why, arena);
	k->final = code_load(r->target, &r->options, &object, &r->source, &why);
	object_free(&object);
	return k->final != NULL;
}

/* The default schedule in scalar form by the other compiler. False: there is no such answer. */
static bool quick_form(struct attune_kernel *k, const struct problem *problem, struct arena *arena)
{
	if (target_tcc.missing(arena))
		return false;
	struct schedule s = schedule_default(problem, ISA_SCALAR);
	struct recipe r = {.target = &target_tcc,
	                   .options = {.isa = ISA_SCALAR},
	                   .source = emit_c(arena, tile_build(arena, problem, &s), ISA_SCALAR, s.exp_degree)};
	struct text why, schedule;
	text_init(&why, arena);
	text_init(&schedule, arena);
	schedule_print(problem, &s, &schedule);
	k->quick_info = (struct attune_kernel_info){
	        .source = cache_rung_name[CACHE_DEFAULT],
	        .schedule = arena_strdup(&k->arena, schedule.s),
	        .digest = arena_strdup(&k->arena, r.source.digest),
	};
	k->quick = recipe_cook(&r, NULL, &why);
	return k->quick != NULL;
}

/* Answers with the quick form and starts the thread that makes the final code; false when that cannot be. */
static bool answer_quickly(struct attune_kernel *k, const struct attune_program *p,
                           const struct problem *problem, struct cascade *cascade, struct arena *arena)
{
	if (!quick_form(k, problem, arena))
		return false;
	struct attune_context *own = calloc(1, sizeof *own);
	if (!own)
		return false;
	arena_init(&own->arena);
	own->target = p->context->target;
	own->isa = p->context->isa;
	own->isa_given = p->context->isa_given;
	own->machine = p->context->machine;
	own->threads = p->context->threads;
	own->cache_path = p->context->cache_path ? arena_strdup(&k->arena, p->context->cache_path) : NULL;
	k->context = own;
	k->cascade = cascade_clone(&k->arena, cascade);
	atomic_store(&k->code, k->quick); /* before the thread, which may be faster than what follows here */
	if (kernel_compile_behind(k))
		return true;
	attune_context_free(own);
	k->context = NULL;
	return false;
}

/* Is the target that will compile still to be opened? */
static bool is_cold(const struct attune_context *c)
{
	const struct target *t = c->target;
	for (int i = 0; !t && targets[i]; i++)
		t = targets[i]->supports(c->isa) ? targets[i] : NULL;
	return t && t->opened && !t->opened();
}

struct shape_search {
	const char *shape;
	bool found;
};

static void compare_shape(void *owner, const struct cache_entry *e)
{
	struct shape_search *s = owner;
	s->found |= !strcmp(e->shape, s->shape);
}

/* Was this shape tuned before? Asked of the cache without the compiler's version, which is not known while
 * its library is closed: a yes only means that it is worth opening. */
static bool may_be_tuned(const struct attune_program *p, struct arena *arena)
{
	struct shape_search s = {.shape = program_shape(p, arena)};
	cache_list(context_cache(p->context), p->digest, compare_shape, &s);
	return s.found;
}

static enum attune_status compile(void *data, struct arena *arena, struct attune_error *error)
{
	struct compile_job *job = data;
	struct attune_program *p = job->program;
	struct attune_context *c = p->context;
	struct attune_kernel *k = job->kernel;
	k->arena.out_of_memory = arena->out_of_memory;
	enum attune_status status = program_check_bound(p, error);
	if (status)
		return status;
	if (p->ntensors > MAX_ARGUMENTS)
		return runtime_fail(error, ATTUNE_PROGRAM, "a kernel has at most %d tensors, %s has %d",
		                    MAX_ARGUMENTS, attune_program_name(p), p->ntensors);
	describe_arguments(k, p);
	struct cascade *cascade = cascade_clone(arena, p->cascade);
	double work = work_of(cascade);
	bool device = context_on_device(c);
	k->pool = device || work < SHARED_WORK ? NULL : context_pool(c);
	bool quick = work < QUICK_WORK && !job->options.wait && !device && c->target != &target_tcc;
	bool usual = !job->options.schedule && !job->options.naive;
	if (quick && usual && is_cold(c) && !may_be_tuned(p, arena)) {
		struct problem *problem;
		if ((status = program_problem(p, arena, &cascade, &problem, error)))
			return status;
		if (answer_quickly(k, p, problem, cascade, arena))
			return ATTUNE_OK;
		quick = false;
	}
	struct variant v;
	if ((status = kernel_choose(k, p, &job->options, &v, arena, error)))
		return status;
	struct cache *cache = context_cache(c);
	if (!kernel_from_cache(k, cache, &v, arena)) {
		if (quick && k->recipe.target != &target_tcc &&
		    answer_quickly(k, p, v.problem, v.cascade, arena))
			return ATTUNE_OK;
		struct text why;
		text_init(&why, arena);
		k->final = recipe_cook(&k->recipe, cache, &why);
		if (!k->final)
			return runtime_fail(error, ATTUNE_SYSTEM, "%s could not compile the kernel:\n%s",
			                    k->recipe.target->name, why.s);
	}
	atomic_store(&k->code, k->final);
	return ATTUNE_OK;
}

enum attune_status attune_compile(struct attune_program *p, const struct attune_compile_options *options,
                                  struct attune_kernel **out, struct attune_error *error)
{
	double start = wall_seconds();
	struct compile_job job = {.program = p};
	if (options)
		job.options = *options;
	if (job.options.schedule && job.options.naive)
		return runtime_fail(error, ATTUNE_USAGE, "either a schedule or the naive form");
	struct attune_kernel *k = job.kernel = calloc(1, sizeof *k);
	if (!k)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	arena_init(&k->arena);
	pthread_mutex_init(&k->lock, NULL);
	enum attune_status status = runtime_try(compile, &job, error);
	k->compile_seconds = wall_seconds() - start;
	if (status)
		attune_kernel_free(k);
	else
		*out = k;
	return status;
}

void attune_kernel_free(struct attune_kernel *k)
{
	if (!k)
		return;
	if (k->compiling)
		pthread_join(k->compiler, NULL);
	for (int i = 0; i < AREAS; i++) {
		struct area *area = atomic_load(&k->area[i]);
		if (k->final && k->final->target->device)
			device_area_free(k->final, area);
		else
			free(area);
	}
	code_free(k->quick);
	code_free(k->final);
	attune_context_free(k->context);
	free(k->failure);
	pthread_mutex_destroy(&k->lock);
	arena_free(&k->arena);
	free(k);
}

size_t attune_kernel_workspace(struct attune_kernel *k)
{
	attune_kernel_wait(k, NULL);
	if (k->final && k->final->target->device)
		return k->final->work_bytes;
	int threads = pool_threads(k->pool);
	size_t quick = k->quick ? code_workspace(k->quick, threads) : 0;
	size_t final = k->final ? code_workspace(k->final, threads) : 0;
	return (quick > final ? quick : final) + KEPT_BYTES;
}

void attune_kernel_describe(const struct attune_kernel *k, struct attune_kernel_info *info)
{
	const struct code *code = atomic_load(&((struct attune_kernel *)k)->code);
	bool quick = code == k->quick;
	*info = quick ? k->quick_info : k->final_info;
	info->isa = isa_info[code->isa].name;
	info->target = code->target->name;
	info->ready = !quick;
	info->compile_seconds = k->compile_seconds;
}
