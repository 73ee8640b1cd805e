/* kernel.h: a compiled kernel. Which code answers may change once while it lives: from the quick scalar form
 * to the final code, when a thread of its own has made that. Both stay loaded until the kernel is freed, so a
 * call that has begun with the one may end with it. */
#ifndef ATTUNE_RUNTIME_KERNEL_H
#define ATTUNE_RUNTIME_KERNEL_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/internal.h"

/* What making the final code needs, kept apart from the arena it was derived in. */
struct recipe {
	const struct target *target;
	struct target_options options;
	struct kernel_source source;
	const char *source_key;
	struct cache_key key;
};

/* A workspace and its size; what a call uses begins behind it, aligned to 64. Of a kernel for a device: memory
 * there, and memory of the host for tensors that are laid out otherwise. */
struct area {
	_Alignas(64) size_t size;
	void *device;
	char *staging; /* of `size` too; NULL until it is needed */
	void *stream;  /* that may still use it while `busy` */
	bool busy;
};

enum { AREAS = 16 };
struct attune_kernel {
	struct arena arena; /* descriptions; after attune_compile only the thread behind touches it */
	const char *name;
	struct attune_tensor *tensor;
	enum dtype *dtype;
	int ntensors;
	struct pool *pool; /* NULL where the work is too little to share */
	double compile_seconds;

	_Atomic(struct code *) code; /* what answers: quick or final */
	struct code *quick, *final;
	struct attune_kernel_info quick_info, final_info; /* source, schedule, digest */
	_Atomic(struct area *) area[AREAS];               /* idle workspaces */

	/* The thread behind. It works for a context and a program of its own, the caller's may be in use. */
	struct attune_context *context;
	struct cascade *cascade;
	struct recipe recipe; /* no target: it is still to be found out */
	pthread_t compiler;
	bool compiling; /* the thread was started and not joined yet; under `lock` */
	char *failure;  /* malloc'ed: why there is no final code; written before the thread ends */
	pthread_mutex_t lock;
};

/* Chooses what the final code is made from. `program` is bound. */
enum attune_status kernel_choose(struct attune_kernel *, const struct attune_program *,
                                 const struct attune_compile_options *, struct variant *, struct arena *,
                                 struct attune_error *);
/* Loads the final code if it is kept; takes `choice.object` from the variant. */
bool kernel_from_cache(struct attune_kernel *, struct cache *, struct variant *, struct arena *);
/* Compiles and loads a recipe; keeps the object where there is a cache. NULL with the compiler's words. */
struct code *recipe_cook(const struct recipe *, struct cache *, struct text *why);
/* Starts the thread that makes the final code, with the context and cascade of the kernel, which it owns from
 * then on. False when there can be none. */
bool kernel_compile_behind(struct attune_kernel *);

/* ---- device_call.c ---- */

/* A call of code for a device; `view` is of checked tensors, none of them NULL, and may be changed. `wait`: also with
 * tensors of the device return when it is done. */
enum attune_status device_call(struct attune_kernel *, const struct code *, const DLTensor *const *tensors,
                               struct view *view, void *workspace, void *stream, bool wait, struct attune_error *);
enum attune_status device_wait(const struct code *, const char *name, void *stream, struct attune_error *);
void device_area_free(const struct code *, struct area *);

#endif
