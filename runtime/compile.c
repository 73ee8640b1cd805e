/* compile.c: a bound program becomes a kernel that can be called.
 *
 * The ladder: code kept in the cache; else, for a small problem, the scalar form by libtcc at once and the
 * real code behind it; else the real code, compiled here and kept.
 */
#include "runtime/kernel.h"

#include <stdlib.h>
#include <string.h>

struct compile_job {
	struct attune_program *program;
	struct attune_compile_options options;
	double start;
	struct attune_kernel *kernel;
	struct object object; /* from the cache */
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
	s.phase = arena_copy(a, s.phase, (size_t)s.nphases * sizeof *s.phase);
	for (int i = 0; i < s.nphases; i++)
		s.phase[i].symbol = arena_strdup(a, s.phase[i].symbol);
	return s;
}

static void describe(struct attune_kernel *k, const struct attune_program *p, const struct variant *v,
                     const struct tune_place *place)
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
	k->info.source = v->origin;
	k->info.schedule = arena_strdup(a, v->choice.text);
	k->info.digest = arena_strdup(a, v->choice.source_key);
	k->recipe = (struct recipe){
	        .target = place->target,
	        .options = v->choice.options,
	        .source = copy_source(a, v->choice.source),
	        .source_key = k->info.digest,
	        .cache_path = p->context->cache_path ? arena_strdup(a, p->context->cache_path) : NULL,
	        .key = copy_key(a, v->key),
	};
}

static bool from_cache(struct compile_job *job, struct variant *v, struct arena *arena)
{
	struct attune_kernel *k = job->kernel;
	job->object = v->choice.object;
	v->choice.object = (struct object){0};
	if (!job->object.bytes &&
	    cache_get_artifact(context_cache(job->program->context), &k->recipe.key, k->recipe.source_key,
	                       &job->object.bytes, &job->object.size) != CACHE_OK)
		return false;
	struct text why;
	text_init(&why, arena);
	k->final = code_load(k->recipe.target, &k->recipe.options, &job->object, &k->recipe.source, &why);
	return k->final != NULL;
}

/* The default schedule in scalar form by the other compiler. False: there is no such answer. */
static bool quick_form(struct compile_job *job, const struct problem *problem, struct arena *arena)
{
	if (target_tcc.missing(arena))
		return false;
	struct schedule s = schedule_default(problem, ISA_SCALAR);
	struct kernel_source source = emit_c(arena, tile_build(arena, problem, &s), ISA_SCALAR, s.exp_degree);
	struct recipe r = {.target = &target_tcc, .options = {.isa = ISA_SCALAR}, .source = source};
	struct text why;
	text_init(&why, arena);
	job->kernel->quick = recipe_cook(&r, NULL, &why);
	return job->kernel->quick != NULL;
}

static void set_workspace(struct attune_kernel *k, int threads)
{
	size_t most = k->quick ? code_workspace(k->quick, threads) : 0;
	size_t round = 63, work = ((size_t)k->recipe.source.work_bytes + round) & ~round;
	size_t scratch = ((size_t)k->recipe.source.scratch_bytes + round) & ~round;
	size_t final = work + (size_t)threads * scratch;
	k->workspace = most > final ? most : final;
}

static enum attune_status compile(void *data, struct arena *arena, struct attune_error *error)
{
	struct compile_job *job = data;
	struct attune_program *p = job->program;
	struct attune_kernel *k = job->kernel;
	k->arena.out_of_memory = arena->out_of_memory;
	struct variant v;
	struct tune_place place;
	enum attune_status status =
	        program_variant(p, arena, job->options.schedule, job->options.naive, &v, error);
	if (status || (status = context_place(p->context, arena, &place, error)))
		return status;
	if (v.choice.schedule.isa > place.machine->isa)
		return runtime_fail(error, ATTUNE_SYSTEM, "this machine has no %s",
		                    isa_info[v.choice.schedule.isa].name);
	if (!place.target->supports(v.choice.schedule.isa))
		return runtime_fail(error, ATTUNE_USAGE, "target %s does not support %s", place.target->name,
		                    isa_info[v.choice.schedule.isa].name);
	if (p->ntensors > MAX_ARGUMENTS)
		return runtime_fail(error, ATTUNE_PROGRAM, "a kernel has at most %d tensors, %s has %d",
		                    MAX_ARGUMENTS, attune_program_name(p), p->ntensors);
	describe(k, p, &v, &place);
	double work = work_of(v.cascade);
	k->pool = work < SHARED_WORK ? NULL : context_pool(p->context);
	int threads = k->pool ? pool_threads(k->pool) : 1;

	if (!from_cache(job, &v, arena)) {
		bool behind = !job->options.wait && place.target != &target_tcc && work < QUICK_WORK &&
		              quick_form(job, v.problem, arena);
		set_workspace(k, threads);
		if (behind && kernel_compile_behind(k)) {
			/* The thread may have been faster: only the first answer is set here. */
			struct code *none = NULL;
			atomic_compare_exchange_strong(&k->code, &none, k->quick);
			return ATTUNE_OK;
		}
		struct text why;
		text_init(&why, arena);
		k->final = recipe_cook(&k->recipe, context_cache(p->context), &why);
		if (!k->final)
			return runtime_fail(error, ATTUNE_SYSTEM, "%s could not compile the kernel:\n%s",
			                    place.target->name, why.s);
	}
	set_workspace(k, threads);
	atomic_store(&k->code, k->final);
	return ATTUNE_OK;
}

enum attune_status attune_compile(struct attune_program *p, const struct attune_compile_options *options,
                                  struct attune_kernel **out, struct attune_error *error)
{
	struct compile_job job = {.program = p, .start = wall_seconds()};
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
	object_free(&job.object);
	k->info.compile_seconds = wall_seconds() - job.start;
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
	for (int i = 0; i < AREAS; i++)
		free(atomic_load(&k->area[i]));
	code_free(k->quick);
	code_free(k->final);
	free(k->failure);
	pthread_mutex_destroy(&k->lock);
	arena_free(&k->arena);
	free(k);
}

size_t attune_kernel_workspace(const struct attune_kernel *k)
{
	return k->workspace;
}

void attune_kernel_describe(const struct attune_kernel *k, struct attune_kernel_info *info)
{
	const struct code *code = atomic_load(&((struct attune_kernel *)k)->code);
	*info = k->info;
	info->isa = isa_info[code->isa].name;
	info->target = code->target->name;
	info->ready = code != k->quick;
}
