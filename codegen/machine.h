/* machine.h: what code generation and search may know of a machine. Filled by targets/machine.c. */
#ifndef ATTUNE_CODEGEN_MACHINE_H
#define ATTUNE_CODEGEN_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* Processors of the host, then devices. ISA_SM80 is CUDA with the tensor cores of compute capability 8.0 and
 * what came after it: a schedule's family, not the architecture that a compiler is told. */
enum isa { ISA_SCALAR, ISA_AVX2, ISA_AVX512, ISA_SM80, ISAS, HOST_ISAS = ISA_SM80 };
struct isa_info {
	const char *name;      /* "avx512" */
	int lanes;             /* f32 lanes of a vector; of a device: columns of a tensor core's result */
	int registers;         /* vector registers; of a device: 32-bit registers of a thread */
	const char *march;     /* "x86-64-v4": what ahead-of-time code is compiled for */
};
extern const struct isa_info isa_info[ISAS];

static inline bool isa_is_device(enum isa i)
{
	return i >= HOST_ISAS;
}

struct machine {
	enum isa isa; /* the best the processor and system allow */
	char vendor[16], model_name[64];
	int family, model, stepping;
	int cores; /* this process may use */
	int64_t l1, l2, l3; /* bytes of data cache a core can use */
	/* measured; 0 until attune_device or a tuning run measures them */
	double peak_flops;  /* f32 fused multiply-add, one core, the best ISA, flop/s */
	double bandwidth;   /* DRAM read, one core or all of a device, bytes/s */
	/* of a device; 0 on a host. Where no device is at hand they are those of the architecture asked for */
	int processors;          /* streaming multiprocessors */
	int64_t shared;          /* bytes of shared memory a block may use */
	int64_t shared_all;      /* … and a multiprocessor has */
	int capability;          /* 80, 90, …: the architecture to compile for */
	double tensor_flops;     /* dense bf16 of the tensor cores, all of the device, flop/s */
};

#endif
