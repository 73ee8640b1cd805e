/* machine.h: what code generation and search may know of a machine. Filled by targets/machine.c and measure.c. */
#ifndef ATTUNE_CODEGEN_MACHINE_H
#define ATTUNE_CODEGEN_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* Processors, then devices. ISA_AVX512_BF16 is AVX-512 with its dot products of narrow operands, BF16 and VNNI, and VBMI
 * (Zen 4, Sapphire Rapids). ISA_NEON is any 64-bit ARM; its code is made here and runs elsewhere. ISA_SM80 is CUDA with
 * the tensor cores of compute capability 8.0 and what came after it: a schedule's family, not the architecture that a
 * compiler is told. Within a family each one runs what those before it run; tiles of matrix units (AMX) and AVX10 would
 * be rows of their own, told apart by `dots` and lanes. */
enum isa { ISA_SCALAR, ISA_AVX2, ISA_AVX512, ISA_AVX512_BF16, ISA_NEON, ISA_SM80, ISAS, HOST_ISAS = ISA_SM80 };

/* As what a contraction multiplies; tile.h says what it means. */
enum operand_type { OPERAND_COMPUTE, OPERAND_BF16, OPERAND_F16, OPERAND_TF32, OPERAND_I8, OPERANDS };
extern const char *const operand_type_name[OPERANDS]; /* "compute", "bf16", "f16", "tf32", "i8" */

enum processor { PROCESSOR_ANY, PROCESSOR_X86_64, PROCESSOR_AARCH64, PROCESSOR_DEVICE };
struct isa_info {
	const char *name;      /* "avx512" */
	enum processor family; /* of scalar code any */
	int lanes;             /* f32 lanes of a vector; of a device: columns of a tensor core's result */
	int registers;         /* vector registers; of a device: 32-bit registers of a thread */
	unsigned dots;         /* bit t: an instruction sums products of operands of type t into f32 or i32 lanes */
	const char *march;     /* "x86-64-v4": what ahead-of-time code is compiled for */
};
extern const struct isa_info isa_info[ISAS];

/* Does a processor whose best is `best` run code for `isa`? */
bool isa_runs_on(enum isa isa, enum isa best);
/* The best of `best`'s family below `isa`: what to fall back to. ISA_SCALAR has none below it, and is its own. */
enum isa isa_below(enum isa isa);
/* ISAS when no ISA of a host has the name. */
enum isa isa_find(const char *name);

static inline bool isa_multiplies(enum isa isa, enum operand_type t)
{
	return t == OPERAND_COMPUTE || isa_info[isa].dots >> t & 1;
}

static inline bool isa_is_device(enum isa i)
{
	return i >= HOST_ISAS;
}

/* What a processor does at most; targets/measure.c. 0: not measured, or there is no such thing. */
enum read_from { READ_L1, READ_L2, READ_L3, READ_MEMORY, READS };
struct machine_limits {
	double clock;                /* cycles a second */
	double peak[ISAS][OPERANDS]; /* one core: products and sums of such operands, flop/s */
	double exps[ISAS];           /* one core: exponentials a second, difference, sum and store included */
	double read[READS];          /* one core, bytes/s */
	double read_all;             /* of memory, all cores together, bytes/s */
};
/* Of operands that the ISA has no instruction for, the peak in f32. */
static inline double machine_peak(const struct machine_limits *l, enum isa isa, enum operand_type t)
{
	return l->peak[isa][t] > 0 ? l->peak[isa][t] : l->peak[isa][OPERAND_COMPUTE];
}

/* What processors have and no ISA here uses yet: docs/architecture.md says where it would go. */
enum machine_unit { UNIT_AMX_BF16, UNIT_AMX_F16, UNIT_AMX_I8, UNIT_AVX10, UNITS };
extern const char *const machine_unit_name[UNITS];

struct machine {
	enum isa isa; /* the best the processor and system allow */
	unsigned units; /* bit u: the processor has machine_unit u, whether or not the system lets it be used */
	char vendor[16], model_name[64];
	int family, model, stepping;
	int cores; /* this process may use */
	int64_t l1, l2, l3; /* bytes of data cache a core can use */
	/* measured; 0 until attune_device or a tuning run measures them */
	double peak_flops;  /* f32 fused multiply-add, one core, the best ISA, flop/s */
	double bandwidth;   /* DRAM read, one core or all of a device, bytes/s */
	struct machine_limits limits; /* of a processor; the two above are of these */
	/* of a device; 0 on a host. Where no device is at hand they are those of the architecture asked for */
	int processors;          /* streaming multiprocessors */
	int64_t shared;          /* bytes of shared memory a block may use */
	int64_t shared_all;      /* … and a multiprocessor has */
	int capability;          /* 80, 90, …: the architecture to compile for */
	double tensor_flops;     /* dense bf16 of the tensor cores, all of the device, flop/s */
};

#endif
