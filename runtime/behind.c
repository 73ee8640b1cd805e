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

static void *work(void *data)
{
	struct attune_kernel *k = data;
	struct arena arena;
	arena_init(&arena);
	jmp_buf env;
	if (ARENA_TRY(&arena, &env)) {
		struct text why;
		text_init(&why, &arena);
		/* A cache is used by one thread at a time: this one opens its own. */
		struct cache *cache = cache_open(k->recipe.cache_path);
		k->final = recipe_cook(&k->recipe, cache, &why);
		if (cache)
			cache_close(cache);
		if (!k->final)
			k->failure = strdup(why.s);
	} else {
		k->failure = strdup("out of memory");
	}
	arena_free(&arena);
	if (k->final)
		atomic_store(&k->code, k->final);
	return NULL;
}

bool kernel_compile_behind(struct attune_kernel *k)
{
	pthread_attr_t attr;
	if (pthread_attr_init(&attr))
		return false;
	pthread_attr_setstacksize(&attr, (size_t)8 << 20); /* what a compiler expects of a main thread */
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
	                : runtime_fail(error, ATTUNE_SYSTEM, "%s",
	                               k->failure ? k->failure : "there is no final code");
}
