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
 *
 * Text for a device is the common part of C17 and CUDA C++ without a header. For each phase it defines
 *
 *     AT_KERNEL(NAME_phase0, threads)
 *
 * a kernel of `tasks` blocks of `threads` threads, block i being task i, with `shared_bytes` of dynamic
 * shared memory. Its one parameter, by value, is
 *
 *     struct at_device_args { void *data[ARGUMENTS]; long stride[STRIDES]; void *work; };
 *
 * with the strides of all arguments one after the other, in elements, one a rank: an array of eight-byte
 * words. AT_KERNEL and every at_ function come from one of two preludes: inline PTX for a device, the
 * emulator's for a host. What the text assumes of its arguments is in kernel_source.argument.
 */
#ifndef ATTUNE_CODEGEN_KERNEL_H
#define ATTUNE_CODEGEN_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

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
	int threads;          /* of a block; 0: code for a host */
	int64_t shared_bytes; /* dynamic shared memory of a block */
	/* Bit i: what it leaves depends on argument i (63: on that or a later one), also through phases before it. A phase
	 * without outputs whose inputs are as they were may be left out when the work area is as it was. */
	uint64_t inputs;
	bool outputs; /* it stores arguments, not in the work area only */
};

/* What code for a device assumes of an argument; what a caller must check. */
struct kernel_argument {
	int align; /* bytes that divide the address and every stride but the last rank's; 0 or 1: nothing */
	bool unit; /* the last rank's elements lie one after the other */
};
enum { MAX_DEVICE_ARGUMENT_BYTES = 4096 };

struct kernel_source {
	const char *text;     /* the whole translation unit; NULL: there is none, and `reason` names the limit */
	const char *digest;   /* SHA-256 of text and everything below */
	int nphases;
	struct kernel_phase *phase;
	bool device;                      /* for a device; the two below are of that */
	int narguments;
	struct kernel_argument *argument; /* one an argument tensor */
	int64_t work_bytes, scratch_bytes;
	const char *reason;
};

#endif
