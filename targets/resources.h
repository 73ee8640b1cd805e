/* resources.h: what a compiled kernel of a device takes, and what that says before anything ran. */
#ifndef ATTUNE_TARGETS_RESOURCES_H
#define ATTUNE_TARGETS_RESOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "codegen/kernel.h"
#include "codegen/machine.h"

/* Of one kernel, from the assembler's log and the object's own records. */
struct resources {
	const char *kernel;
	int registers;                        /* of a thread */
	int spill_stores, spill_loads, stack; /* bytes of a thread */
	int barriers;
	int64_t shared;     /* static */
	const char *reject; /* why it must not be used ("C7512: …", "spills 16 bytes"), or NULL */
	const char *notes;  /* other remarks of the log, or NULL */
	/* with the launch's threads and dynamic shared memory on a multiprocessor of `capability` */
	int blocks;        /* that fit at a time; 0: none does; -1: the capability's limits are not known */
	double occupancy;  /* warps of those by the most */
	const char *bound; /* what limits it: "registers", "shared memory", "warps", "blocks" */
};

/* Limits of a multiprocessor, from the CUDA C++ Programming Guide, table "Technical Specifications per
 * Compute Capability", and what a device that has it is like, from NVIDIA's data sheets: for where none is at
 * hand. */
struct capability {
	int capability;   /* 80 */
	const char *arch; /* "sm_80" */
	int warps, blocks;
	int registers;                /* of a multiprocessor */
	int64_t shared, shared_block; /* bytes of a multiprocessor, of a block */
	int lanes, tensor; /* f32 multiply-adds, and flop of the dense bf16 tensor cores, a clock and
	                      multiprocessor */
	const char *device;
	int processors;
	double clock, bandwidth; /* Hz, bytes/s */
	int64_t l2;
};
/* NULL for one that is not known. */
const struct capability *capability_find(int capability);
/* That device as a machine, its vendor's name and "(not at hand)" included. False for one that is not known.
 */
bool capability_machine(int capability, struct machine *);

/* Reads an assembler's log; one record a phase of the source, in `arena`. */
struct resources *resources_of_log(struct arena *, const char *log, const struct kernel_source *,
                                   int capability);
/* Registers as the cubin says (ELF section .nv.info); 0 when it does not. Any bytes will do. */
int resources_cubin_registers(const void *cubin, size_t size, const char *kernel);

#endif
