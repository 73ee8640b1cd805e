/* The instruction sets code is generated for. */
#include "codegen/machine.h"

#include <string.h>

const struct isa_info isa_info[ISAS] = {
	[ISA_SCALAR] = {"scalar", PROCESSOR_ANY, 1, 16, 0, "x86-64-v2"},
	[ISA_AVX2] = {"avx2", PROCESSOR_X86_64, 8, 16, 0, "x86-64-v3"},
	[ISA_AVX512] = {"avx512", PROCESSOR_X86_64, 16, 32, 0, "x86-64-v4"},
	[ISA_AVX512_BF16] = {"avx512bf16", PROCESSOR_X86_64, 16, 32, 1 << OPERAND_BF16 | 1 << OPERAND_I8, "x86-64-v4"},
	[ISA_NEON] = {"neon", PROCESSOR_AARCH64, 4, 32, 0, "armv8-a"},
	[ISA_SM80] = {"sm80", PROCESSOR_DEVICE, 8, 255,
	              1 << OPERAND_BF16 | 1 << OPERAND_F16 | 1 << OPERAND_TF32 | 1 << OPERAND_I8, "sm_80"},
};

const char *const machine_unit_name[UNITS] = {[UNIT_AMX_BF16] = "amx-bf16",
                                              [UNIT_AMX_F16] = "amx-fp16",
                                              [UNIT_AMX_I8] = "amx-int8",
                                              [UNIT_AVX10] = "avx10"};

const char *const operand_type_name[OPERANDS] = {[OPERAND_COMPUTE] = "compute",
                                                 [OPERAND_BF16] = "bf16",
                                                 [OPERAND_F16] = "f16",
                                                 [OPERAND_TF32] = "tf32",
                                                 [OPERAND_I8] = "i8"};

bool isa_runs_on(enum isa isa, enum isa best)
{
	return isa == ISA_SCALAR || (isa_info[isa].family == isa_info[best].family && isa <= best);
}

enum isa isa_below(enum isa isa)
{
	return isa > ISA_SCALAR && isa_info[isa - 1].family == isa_info[isa].family ? isa - 1 : ISA_SCALAR;
}

enum isa isa_find(const char *name)
{
	enum isa i = 0;
	while (i < HOST_ISAS && strcmp(isa_info[i].name, name))
		i++;
	return i < HOST_ISAS ? i : ISAS;
}
