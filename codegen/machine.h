/* machine.h: what code generation and search may know of a machine. Filled by targets/machine.c. */
#ifndef ATTUNE_CODEGEN_MACHINE_H
#define ATTUNE_CODEGEN_MACHINE_H

#include <stdint.h>

enum isa { ISA_SCALAR, ISA_AVX2, ISA_AVX512, ISAS };
struct isa_info {
	const char *name;      /* "avx512" */
	int lanes;             /* f32 lanes of a vector */
	int registers;         /* vector registers */
	const char *march;     /* "x86-64-v4": what ahead-of-time code is compiled for */
};
extern const struct isa_info isa_info[ISAS];

struct machine {
	enum isa isa; /* the best the processor and system allow */
	char vendor[16], model_name[64];
	int family, model, stepping;
	int cores; /* this process may use */
	int64_t l1, l2, l3; /* bytes of data cache a core can use */
	/* measured; 0 until attune_device or a tuning run measures them */
	double peak_flops;  /* f32 fused multiply-add, one core, the best ISA, flop/s */
	double bandwidth;   /* DRAM read, one core, bytes/s */
};

#endif
