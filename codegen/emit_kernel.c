#include "codegen/schedule.h"

struct kernel_source emit_kernel(struct arena *arena, const struct tile_program *program, enum isa isa, int exp_degree)
{
	return isa < HOST_ISAS ? emit_c(arena, program, isa, exp_degree) : emit_cuda(arena, program);
}
