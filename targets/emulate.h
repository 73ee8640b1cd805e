/* emulate.h: kernels for a device, run on the host, one block after the other, so that what is wrong with them
 * shows.
 *
 * Every thread is a fiber and the lanes of a warp meet at collectives. Shared memory begins as NaN; what an
 * asynchronous copy is to fill is poisoned when it is asked for, and filled at once, at the last moment allowed, at
 * a random one, or last asked first filled. Checked are bounds of shared and global memory, alignment, divergence at
 * collectives, deadlock, races on shared memory (two threads touch an element, one of them writes, and no barrier
 * stands between), copies never waited for. A finding names kernel, line of its text, block, warp and lane.
 */
#ifndef ATTUNE_TARGETS_EMULATE_H
#define ATTUNE_TARGETS_EMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum emulate_order { EMULATE_EAGER, EMULATE_LAZY, EMULATE_RANDOM, EMULATE_LIFO, EMULATE_ORDERS };
extern const char *const emulate_order_name[EMULATE_ORDERS];

/* What a kernel may reach in global memory. */
struct emulate_memory {
	void *base;
	size_t size;
	bool writable;
	const char *name; /* for findings */
};

struct emulate_launch {
	const char *name; /* the kernel's, for findings */
	const char *text; /* what it was compiled from, for findings; may be NULL */
	void *kernel;     /* its address in a module compiled with the emulator's prelude */
	const void *args; /* struct at_device_args */
	size_t args_size;
	long blocks;
	int threads; /* of a block: a multiple of 32, at most 1024 */
	int64_t shared_bytes;
	const struct emulate_memory *memory;
	int memories;
};

/* What a launch did, all of its blocks. */
struct emulate_counts {
	uint64_t primitives;            /* that threads called */
	uint64_t mma, ldmatrix;         /* that warps called */
	uint64_t conflicts;             /* turns that ldmatrix took beyond four each, rows being in the same banks */
	uint64_t loaded, stored, copied; /* bytes of global memory; copied: by cp_async */
};

struct emulate_options {
	enum emulate_order order;
	uint64_t seed;  /* of EMULATE_RANDOM */
	uint64_t steps; /* primitives a block may call before it is said to have no end; 0: 2^30 */
	struct emulate_counts *counts; /* filled when all goes well; may be NULL */
};

/* What a module compiled with the emulator's prelude calls: its variable `at_emulator` is to be set to this before a
 * launch, *(const void **)symbol(module, "at_emulator") = emulate_interface(). */
const void *emulate_interface(void);

/* Runs all blocks. False with the first finding. Thread-safe: each calling thread emulates its own launch. A kernel
 * may call primitives only from its own thread and must not touch memory but by them and on its stack. */
bool emulate_run(const struct emulate_launch *, const struct emulate_options *, struct text *finding);

/* What code calls that Clang compiled with its check of arrays' bounds, with a record of its own that tells the place;
 * a finding while it is emulated. */
_Noreturn void emulate_out_of_bounds(const void *place, uintptr_t subscript);

#endif
