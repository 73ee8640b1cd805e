/* probe.h: loops that do nothing but what is to be measured, in assembly, because a limit must not depend on how
 * this file was compiled. */
#ifndef ATTUNE_TARGETS_PROBE_H
#define ATTUNE_TARGETS_PROBE_H

#include "codegen/machine.h"

struct probe_loop {
	void (*steps)(long n); /* NULL: this processor has no such instruction */
	double operations;     /* of one step: multiplications and additions */
};
/* Products of operands of a type summed by an ISA's own instruction; of OPERAND_COMPUTE, in f32. */
struct probe_loop probe_loop(enum isa, enum operand_type);

#endif
