/* What x86-64 multiplies and adds at most. */
#include "targets/probe.h"

/* A step is CHAINS independent accumulators: two units of latency 4 need 8, and 14 leave registers for the
 * operands also where there are 16. Operands are nonzero, so that power and clock are those of real work, and
 * small, so that sums stay finite. */
#define CHAINS 14
#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)
#define CLOBBER                                                                                              \
	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",    \
	        "xmm12", "xmm13", "xmm14", "xmm15", "cc"

static const uint32_t small = 0x3a833a83; /* about 1e-3, as f32 and as two bf16; as bytes far from 0 */

/* clang-format off */
#define CLEAR_ZMM(i) "vpxord %%zmm" #i ", %%zmm" #i ", %%zmm" #i "\n\t"
#define CLEAR_YMM(i) "vpxor %%ymm" #i ", %%ymm" #i ", %%ymm" #i "\n\t"
#define FMA_ZMM(i)   "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #i "\n\t"
#define FMA_YMM(i)   "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n\t"
#define BF16_ZMM(i)  "vdpbf16ps %%zmm14, %%zmm15, %%zmm" #i "\n\t"
#define I8_ZMM(i)    "vpdpbusd %%zmm14, %%zmm15, %%zmm" #i "\n\t"

#define STEPS(name, r, CLEAR, MULTIPLY)                                                                      \
	static void name(long n)                                                                             \
	{                                                                                                    \
		__asm__ volatile(EACH_CHAIN(CLEAR) "vbroadcastss %1, %%" r "14\n\t"                          \
		                 "vbroadcastss %1, %%" r "15\n"                                              \
		                 "1:\n\t" EACH_CHAIN(MULTIPLY) "dec %0\n\t"                                  \
		                 "jnz 1b\n\t"                                                                \
		                 "vzeroupper"                                                                \
		                 : "+r"(n)                                                                   \
		                 : "m"(small)                                                                \
		                 : CLOBBER);                                                                 \
	}
STEPS(steps_avx2, "ymm", CLEAR_YMM, FMA_YMM)
STEPS(steps_avx512, "zmm", CLEAR_ZMM, FMA_ZMM)
STEPS(steps_bf16, "zmm", CLEAR_ZMM, BF16_ZMM)
STEPS(steps_i8, "zmm", CLEAR_ZMM, I8_ZMM)

/* Without fused multiply-add: of each pair of chains one is multiplied and one is added to, 4 lanes. */
static void steps_scalar(long n)
{
	const float one[4] __attribute__((aligned(16))) = {1, 1, 1, 1};
	const float x[4] __attribute__((aligned(16))) = {1e-3f, 1e-3f, 1e-3f, 1e-3f};
#define CLEAR(i) "movaps %1, %%xmm" #i "\n\t"
#define PAIR(i, j) "mulps %%xmm14, %%xmm" #i "\n\taddps %%xmm15, %%xmm" #j "\n\t"
	__asm__ volatile(EACH_CHAIN(CLEAR) "movaps %1, %%xmm14\n\t"
	                 "movaps %2, %%xmm15\n"
	                 "1:\n\t" PAIR(0, 1) PAIR(2, 3) PAIR(4, 5) PAIR(6, 7) PAIR(8, 9) PAIR(10, 11) PAIR(12, 13)
	                 "dec %0\n\t"
	                 "jnz 1b"
	                 : "+r"(n)
	                 : "m"(one), "m"(x)
	                 : CLOBBER);
#undef CLEAR
#undef PAIR
}
/* clang-format on */

struct probe_loop probe_loop(enum isa isa, enum operand_type t)
{
	static const struct probe_loop loop[ISAS][OPERANDS] = {
	        [ISA_SCALAR] = {[OPERAND_COMPUTE] = {steps_scalar, 4 * CHAINS}},
	        [ISA_AVX2] = {[OPERAND_COMPUTE] = {steps_avx2, 2 * 8 * CHAINS}},
	        [ISA_AVX512] = {[OPERAND_COMPUTE] = {steps_avx512, 2 * 16 * CHAINS}},
	        [ISA_AVX512_BF16] = {[OPERAND_COMPUTE] = {steps_avx512, 2 * 16 * CHAINS},
	                             [OPERAND_BF16] = {steps_bf16, 2 * 32 * CHAINS},
	                             [OPERAND_I8] = {steps_i8, 2 * 64 * CHAINS}},
	};
	return loop[isa][t];
}
