/* The instruction sets code is generated for. */
#include "codegen/machine.h"

const struct isa_info isa_info[ISAS] = {
	[ISA_SCALAR] = {"scalar", 1, 16, "x86-64-v2"},
	[ISA_AVX2] = {"avx2", 8, 16, "x86-64-v3"},
	[ISA_AVX512] = {"avx512", 16, 32, "x86-64-v4"},
	[ISA_SM80] = {"sm80", 8, 255, "sm_80"},
};
