/* run.h: a kernel's arguments in a device's memory, and its launches. */
#ifndef ATTUNE_GPU_RUN_H
#define ATTUNE_GPU_RUN_H

#include "search/workload.h"
#include "targets/target.h"

struct run_memory {
	const struct target_device *device;
	const struct workload *workload;
	int sets;    /* copies of all arguments, used in turn so that none is still in a cache */
	void **data; /* one a set and argument */
	void *work;
};
/* Inputs copied in. False with the reason; run_memory_free in any case. */
bool run_memory_new(struct run_memory *, struct arena *, const struct target_device *,
                    const struct workload *, int sets, int64_t work_bytes, struct text *why);
void run_memory_free(struct run_memory *);
/* All bytes of the outputs of set 0 ones: NaN in every float type. */
bool run_poison(const struct run_memory *, struct text *why);
/* The outputs of set 0, one an argument, into memory that is there already. */
bool run_outputs(const struct run_memory *, void *const *out, struct text *why);

/* Begins all phases. */
bool run_launch(const struct run_memory *, struct module *, const struct kernel_source *, int set,
                struct text *why);
/* … and waits for the last. */
bool run_once(const struct run_memory *, struct module *, const struct kernel_source *, int set,
              struct text *why);
/* Seconds of one of `runs` runs, one after the other, by the device's clock. */
bool run_timed(const struct run_memory *, struct module *, const struct kernel_source *, int runs,
               double *seconds, struct text *why);

#endif
