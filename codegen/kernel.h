/* kernel.h: the records code generation hands to targets, search and runtime, and the ABI of generated code.
 *
 * Generated text is header-free C. For each phase it defines
 *
 *     void NAME_phase0(const struct at_args *args, long begin, long end, void *scratch);
 *
 * which runs tasks [begin, end) of that phase. There are no threads inside; the caller runs the phases in
 * order, splits each one's tasks over threads as it likes, gives every thread its own scratch (64-byte
 * aligned, scratch_bytes) and all of them one shared work area (64-byte aligned, work_bytes), which keeps
 * its content between the phases of one call and need not be cleared.
 */
#ifndef ATTUNE_CODEGEN_KERNEL_H
#define ATTUNE_CODEGEN_KERNEL_H

#include "base/arena.h"

/* The argument block as generated code declares it. */
struct at_args {
	void *const *data;            /* one an argument tensor, in order of declaration */
	const int64_t *const *stride; /* one array an argument, in elements, one a rank */
	void *work;
};
typedef void at_phase(const struct at_args *, long begin, long end, void *scratch);

struct kernel_phase {
	const char *symbol;
	long tasks;
};

struct kernel_source {
	const char *text;     /* the whole translation unit */
	const char *digest;   /* SHA-256 of text and everything below */
	int nphases;
	struct kernel_phase *phase;
	int64_t work_bytes, scratch_bytes;
};

#endif
