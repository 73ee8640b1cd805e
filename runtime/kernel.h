/* kernel.h: a compiled kernel. Which code answers may change once while it lives: from the quick scalar form
 * to the final code, when a thread of its own has compiled that. Both stay loaded until the kernel is freed,
 * so a call that has begun with the one may end with it. */
#ifndef ATTUNE_RUNTIME_KERNEL_H
#define ATTUNE_RUNTIME_KERNEL_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/internal.h"

/* What a compile needs to know, kept apart from the arena it was derived in. */
struct recipe {
	const struct target *target;
	struct target_options options;
	struct kernel_source source;
	const char *source_key, *cache_path;
	struct cache_key key;
};

enum { AREAS = 16 };
struct attune_kernel {
	struct arena arena; /* descriptions; not touched after attune_compile */
	const char *name;
	struct attune_tensor *tensor;
	enum dtype *dtype;
	int ntensors;
	struct pool *pool; /* NULL where the work is too little to share */
	size_t workspace;
	struct attune_kernel_info info; /* but `target`, `isa` and `ready`, which follow the code */

	_Atomic(struct code *) code; /* what answers: quick or final */
	struct code *quick, *final;
	_Atomic(void *) area[AREAS]; /* idle workspaces */

	struct recipe recipe;
	pthread_t compiler;
	bool compiling; /* the thread was started and not joined yet; under `lock` */
	char *failure;  /* malloc'ed: why there is no final code; written before the thread ends */
	pthread_mutex_t lock;
};

/* Compiles the recipe and loads it; puts the object into the cache if `cache` is not NULL. NULL with the
 * compiler's words. */
struct code *recipe_cook(const struct recipe *, struct cache *, struct text *why);
/* Starts the thread that makes the final code. False when there can be none. */
bool kernel_compile_behind(struct attune_kernel *);

#endif
