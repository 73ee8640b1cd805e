/* What a module calls: one function a primitive that the prelude does not compute by itself. */
#include "targets/emulate_block.h"

#include <stdlib.h>

/* The prelude has every row of the list, of the row's type. */
#define PRIMITIVE(result, name, parameters, arguments)                                                       \
	_Static_assert(_Generic(at_##name, result(*) parameters: 1, default: 0), "at_" #name);
#define at_emulator ((const struct emulate_api *)0)
#include "codegen/primitives.h"
#undef at_emulator
#undef PRIMITIVE

enum { STACK_LEFT = 8 << 10 };

/* Before each primitive: where it stands; whether this still goes well. */
static const struct emulate_api *at(int line);

static const struct emulate_api api = {
        .at = at,
        .thread = emulate_thread,
        .block = emulate_block,
        .shared_base = emulate_shared_base,
        .barrier = emulate_barrier,
        .warp_sync = emulate_warp_sync,
        .shfl_xor = emulate_shfl_xor,
        .load_shared_u8 = emulate_load_shared_u8,
        .load_shared_u16 = emulate_load_shared_u16,
        .load_shared_u32 = emulate_load_shared_u32,
        .store_shared_u8 = emulate_store_shared_u8,
        .store_shared_u16 = emulate_store_shared_u16,
        .store_shared_u32 = emulate_store_shared_u32,
        .load_u8 = emulate_load_u8,
        .load_u16 = emulate_load_u16,
        .load_u32 = emulate_load_u32,
        .load_u64 = emulate_load_u64,
        .store_u8 = emulate_store_u8,
        .store_u16 = emulate_store_u16,
        .store_u32 = emulate_store_u32,
        .store_u64 = emulate_store_u64,
        .cp_async = emulate_cp_async,
        .cp_commit = emulate_cp_commit,
        .cp_wait = emulate_cp_wait,
        .ldmatrix_x4 = emulate_ldmatrix_x4,
        .ldmatrix_x4_trans = emulate_ldmatrix_x4_trans,
        .mma_bf16 = emulate_mma_bf16,
        .mma_f16 = emulate_mma_f16,
        .mma_tf32 = emulate_mma_tf32,
        .mma_i8 = emulate_mma_i8,
};

static const struct emulate_api *at(int line)
{
	struct emulation *e = emulation;
	struct lane *l = e->self;
	l->line = line;
	char *here = __builtin_frame_address(0);
	if (here < l->deepest) {
		l->deepest = here;
		if (here < l->fiber.low + STACK_LEFT)
			emulate_fail(l, "its stack of %d bytes is full", (int)(l->fiber.high - l->fiber.low));
	}
	if (++e->steps > e->most_steps)
		emulate_fail(l, "no end in sight after %llu primitives of this block",
		             (unsigned long long)e->most_steps);
	return &api;
}

const void *emulate_interface(void)
{
	return &api;
}

/* As the checks of Clang's undefined-behaviour sanitizer lay them out. */
struct type_record {
	uint16_t kind, width; /* of an integer: bit 0: signed; log2 of its bits above */
	char name[1];         /* in quotes */
};
struct bounds_record {
	const char *file;
	uint32_t line, column;
	const struct type_record *array, *subscript;
};

void emulate_out_of_bounds(const void *place, uintptr_t subscript)
{
	const struct bounds_record *r = place;
	if (!emulation)
		abort();
	struct lane *l = emulation->self;
	bool is_int = r->subscript->width == (5 << 1 | 1);
	l->line = (int)r->line;
	emulate_fail(l, "subscript %lld of an array %s", is_int ? (long long)(int)subscript : (long long)subscript,
	             r->array->name);
}
