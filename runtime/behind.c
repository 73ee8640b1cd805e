/* behind.c: the final code of a kernel, made while its quick form answers. */
#include "runtime/kernel.h"

#include <stdlib.h>
#include <string.h>

struct code *recipe_cook(const struct recipe *r, struct cache *cache, struct text *why)
{
	struct object object = {0};
	if (!r->target->compile(r->source.text, &r->options, &object, why))
		return NULL;
	struct code *code = code_load(r->target, &r->options, &object, &r->source, why);
	if (code && cache)
		cache_put_artifact(cache, &r->key, r->source_key, object.bytes, object.size);
	object_free(&object);
	return code;
}

static enum attune_status make_final(void *data, struct arena *arena, struct attune_error *error)
{
	struct attune_kernel *k = data;
	struct cache *cache = context_cache(k->context);
	k->arena.out_of_memory = arena->out_of_memory;
	if (!k->recipe.target) {
		struct attune_program program = {.context = k->context, .cascade = k->cascade};
		struct attune_compile_options usual = {0};
		struct variant v;
		enum attune_status status = kernel_choose(k, &program, &usual, &v, arena, error);
		if (status)
			return status;
		if (kernel_from_cache(k, cache, &v, arena))
			return ATTUNE_OK;
	}
	struct text why;
	text_init(&why, arena);
	k->final = recipe_cook(&k->recipe, cache, &why);
	return k->final ? ATTUNE_OK : runtime_fail(error, ATTUNE_SYSTEM, "%s", why.s);
}

static void *work(void *data)
{
	struct attune_kernel *k = data;
	struct attune_error error;
	if (runtime_try(make_final, k, &error))
		k->failure = strdup(error.message);
	else
		atomic_store(&k->code, k->final);
	attune_context_free(k->context);
	k->context = NULL;
	return NULL;
}

bool kernel_compile_behind(struct attune_kernel *k)
{
	const size_t STACK = (size_t)8 << 20; /* what a compiler expects of a main thread */
	pthread_attr_t attr;
	if (pthread_attr_init(&attr))
		return false;
	pthread_attr_setstacksize(&attr, STACK);
	k->compiling = !pthread_create(&k->compiler, &attr, work, k);
	pthread_attr_destroy(&attr);
	return k->compiling;
}

enum attune_status attune_kernel_wait(struct attune_kernel *k, struct attune_error *error)
{
	pthread_mutex_lock(&k->lock);
	if (k->compiling)
		pthread_join(k->compiler, NULL);
	k->compiling = false;
	pthread_mutex_unlock(&k->lock);
	return k->final ? ATTUNE_OK
	                : runtime_fail(error, ATTUNE_SYSTEM, "%s", k->failure ? k->failure : "out of memory");
}
