/* cuda_driver.h: NVIDIA's driver, opened when first needed: the first device, its memory, modules and
 * launches.
 *
 * A process that has opened the driver cannot share it with its forked children: in those every function here
 * fails and says so. What a device is like is therefore asked for in a child, unless the driver is open
 * already, so that a process that only plans work may still fork. Thread-safe; the caller's current context
 * is left as it was.
 */
#ifndef ATTUNE_TARGETS_CUDA_DRIVER_H
#define ATTUNE_TARGETS_CUDA_DRIVER_H

#include "codegen/kernel.h"
#include "codegen/machine.h"
#include "targets/target.h"

/* As struct target_device has them. */
bool driver_machine(struct machine *, struct text *why);
void *driver_allocate(size_t bytes, struct text *why);
void driver_release(void *);
bool driver_copy_in(void *device, const void *host, size_t bytes, void *stream, struct text *why);
bool driver_copy_out(void *host, const void *device, size_t bytes, void *stream, struct text *why);
bool driver_launch(struct module *, const struct kernel_source *, int phase, const void *args,
                   size_t args_size, void *stream, struct text *why);
bool driver_wait(void *stream, struct text *why);
void *driver_mark(void *stream, struct text *why);
bool driver_between(void *first, void *last, double *seconds, struct text *why);
void driver_unmark(void *);

/* A cubin in the device's memory; to be given back. */
struct module *driver_load(const void *cubin, struct text *why);
void *driver_symbol(struct module *, const char *name);
void driver_unload(struct module *);

#endif
