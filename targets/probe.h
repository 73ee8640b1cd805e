/* probe.h: loops that do nothing but what is to be measured, in assembly, because a limit must not depend on how
 * this file was compiled. NULL functions: this processor has no such instruction, or no loop was written. */
#ifndef ATTUNE_TARGETS_PROBE_H
#define ATTUNE_TARGETS_PROBE_H

#include "codegen/machine.h"

struct probe_loop {
	void (*steps)(long n);
	double operations; /* of one step: multiplications and additions */
};
/* Products of operands of a type summed by an ISA's own instruction; of OPERAND_COMPUTE, in f32. */
struct probe_loop probe_loop(enum isa, enum operand_type);

/* exp(x − m), to a relative error of 2e-7 without special cases, of PROBE_EXPS elements at `x`, stored over them, which
 * for x from 0 to 1 stay there, and their sum taken; n times. The elements are aligned to 64 bytes. */
enum { PROBE_EXPS = 1536 };
typedef void probe_exp(float *x, long n);
probe_exp *probe_exp_loop(enum isa);

/* Reads 256 bytes at a time, from an address aligned to 64. */
typedef void probe_read(const char *at, long bytes);
probe_read *probe_read_loop(enum isa);

/* n dependent additions: a cycle each. */
void probe_chain(long n);

/* measure_memory.c: what reads of the caches and of memory reach, into m->limits. */
void measure_memory(struct machine *);

#endif
