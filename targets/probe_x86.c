/* What x86-64 multiplies, adds, exponentiates and reads at most. */
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

/* ---- exponentials ---- */

/* 2^(x·log2 e − m·log2 e): whole part n by rounding, a polynomial of degree 5 of the fraction, n added to its exponent.
 * Six vectors of 16, or four of 8 or of 4, go together: what registers hold. */
static const float exp_number[8][16] __attribute__((aligned(64))) = {
#define COPIES(x) {x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}
        COPIES(1.44269504f), /* log2 e */
        COPIES(1.44269504f), /* m·log2 e: m is 1 */
        COPIES(1.33908633e-3f), COPIES(9.67603177e-3f), COPIES(5.55035695e-2f),
        COPIES(2.40221068e-1f), COPIES(6.93147182e-1f), COPIES(1.0f),
#undef COPIES
};

/* clang-format off */
#define EACH_OF_SIX(X) X(0, 6, 12) X(1, 7, 13) X(2, 8, 14) X(3, 9, 15) X(4, 10, 16) X(5, 11, 17)
#define LOAD_ZMM(f, n, p)  "vmovaps " #f "*64(%0), %%zmm" #f "\n\t"
#define SCALE_ZMM(f, n, p) "vfmsub213ps %%zmm25, %%zmm24, %%zmm" #f "\n\t"
#define ROUND_ZMM(f, n, p) "vrndscaleps $8, %%zmm" #f ", %%zmm" #n "\n\t"
#define SPLIT_ZMM(f, n, p) "vsubps %%zmm" #n ", %%zmm" #f ", %%zmm" #f "\n\t"
#define FIRST_ZMM(f, n, p) "vmovaps %%zmm26, %%zmm" #p "\n\t"
#define TERM_ZMM(k, p, f)  "vfmadd213ps %%zmm" #k ", %%zmm" #f ", %%zmm" #p "\n\t"
#define TERM5_ZMM(f, n, p) TERM_ZMM(27, p, f)
#define TERM4_ZMM(f, n, p) TERM_ZMM(28, p, f)
#define TERM3_ZMM(f, n, p) TERM_ZMM(29, p, f)
#define TERM2_ZMM(f, n, p) TERM_ZMM(30, p, f)
#define TERM1_ZMM(f, n, p) TERM_ZMM(31, p, f)
#define POWER_ZMM(f, n, p) "vscalefps %%zmm" #n ", %%zmm" #p ", %%zmm" #p "\n\t"
#define STORE_ZMM(f, n, p) "vmovaps %%zmm" #p ", " #f "*64(%0)\n\t"
#define SUM_ZMM(f, n, p)   "vaddps %%zmm" #p ", %%zmm18, %%zmm18\n\t"

/* A compiler that may not use these registers has no name for them. */
#ifdef __AVX512F__
#define CLOBBER_HIGH                                                                                         \
	, "xmm16", "xmm17", "xmm18", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31"
#else
#define CLOBBER_HIGH
#endif

/* %0 walks the elements, %1 counts sixes of vectors. */
static void exp_avx512(float *x, long n)
{
	for (; n; n--) {
		float *at = x;
		long groups = PROBE_EXPS / 96;
		__asm__ volatile("vmovaps (%2), %%zmm24\n\tvmovaps 64(%2), %%zmm25\n\tvmovaps 128(%2), %%zmm26\n\t"
		                 "vmovaps 192(%2), %%zmm27\n\tvmovaps 256(%2), %%zmm28\n\tvmovaps 320(%2), %%zmm29\n\t"
		                 "vmovaps 384(%2), %%zmm30\n\tvmovaps 448(%2), %%zmm31\n\t"
		                 "vpxord %%zmm18, %%zmm18, %%zmm18\n"
		                 "1:\n\t" EACH_OF_SIX(LOAD_ZMM) EACH_OF_SIX(SCALE_ZMM) EACH_OF_SIX(ROUND_ZMM)
		                 EACH_OF_SIX(SPLIT_ZMM) EACH_OF_SIX(FIRST_ZMM) EACH_OF_SIX(TERM5_ZMM) EACH_OF_SIX(TERM4_ZMM)
		                 EACH_OF_SIX(TERM3_ZMM) EACH_OF_SIX(TERM2_ZMM) EACH_OF_SIX(TERM1_ZMM) EACH_OF_SIX(POWER_ZMM)
		                 EACH_OF_SIX(STORE_ZMM) EACH_OF_SIX(SUM_ZMM)
		                 "add $384, %0\n\t"
		                 "dec %1\n\t"
		                 "jnz 1b\n\t"
		                 "vzeroupper"
		                 : "+r"(at), "+r"(groups)
		                 : "r"(exp_number)
		                 : CLOBBER CLOBBER_HIGH, "memory");
	}
}

/* The constants stay in memory: there are 16 registers. */
#define EACH_OF_FOUR(X) X(0, 4, 8) X(1, 5, 9) X(2, 6, 10) X(3, 7, 11)
#define LOAD_YMM(f, n, p)  "vmovaps " #f "*32(%0), %%ymm" #f "\n\t"
#define SCALE_YMM(f, n, p) "vfmsub213ps 64(%2), %%ymm13, %%ymm" #f "\n\t"
#define ROUND_YMM(f, n, p) "vroundps $8, %%ymm" #f ", %%ymm" #n "\n\t"
#define SPLIT_YMM(f, n, p) "vsubps %%ymm" #n ", %%ymm" #f ", %%ymm" #f "\n\t"
#define FIRST_YMM(f, n, p) "vmovaps %%ymm14, %%ymm" #p "\n\t"
#define TERM5_YMM(f, n, p) "vfmadd213ps 192(%2), %%ymm" #f ", %%ymm" #p "\n\t"
#define TERM4_YMM(f, n, p) "vfmadd213ps 256(%2), %%ymm" #f ", %%ymm" #p "\n\t"
#define TERM3_YMM(f, n, p) "vfmadd213ps 320(%2), %%ymm" #f ", %%ymm" #p "\n\t"
#define TERM2_YMM(f, n, p) "vfmadd213ps 384(%2), %%ymm" #f ", %%ymm" #p "\n\t"
#define TERM1_YMM(f, n, p) "vfmadd213ps %%ymm15, %%ymm" #f ", %%ymm" #p "\n\t"
#define WHOLE_YMM(f, n, p) "vcvtps2dq %%ymm" #n ", %%ymm" #n "\n\tvpslld $23, %%ymm" #n ", %%ymm" #n "\n\t"
#define POWER_YMM(f, n, p) "vpaddd %%ymm" #n ", %%ymm" #p ", %%ymm" #p "\n\t"
#define STORE_YMM(f, n, p) "vmovaps %%ymm" #p ", " #f "*32(%0)\n\t"
#define SUM_YMM(f, n, p)   "vaddps %%ymm" #p ", %%ymm12, %%ymm12\n\t"

static void exp_avx2(float *x, long n)
{
	for (; n; n--) {
		float *at = x;
		long groups = PROBE_EXPS / 32;
		__asm__ volatile("vmovaps (%2), %%ymm13\n\tvmovaps 128(%2), %%ymm14\n\tvmovaps 448(%2), %%ymm15\n\t"
		                 "vpxor %%ymm12, %%ymm12, %%ymm12\n"
		                 "1:\n\t" EACH_OF_FOUR(LOAD_YMM) EACH_OF_FOUR(SCALE_YMM) EACH_OF_FOUR(ROUND_YMM)
		                 EACH_OF_FOUR(SPLIT_YMM) EACH_OF_FOUR(FIRST_YMM) EACH_OF_FOUR(TERM5_YMM)
		                 EACH_OF_FOUR(TERM4_YMM) EACH_OF_FOUR(TERM3_YMM) EACH_OF_FOUR(TERM2_YMM)
		                 EACH_OF_FOUR(TERM1_YMM) EACH_OF_FOUR(WHOLE_YMM) EACH_OF_FOUR(POWER_YMM)
		                 EACH_OF_FOUR(STORE_YMM) EACH_OF_FOUR(SUM_YMM)
		                 "add $128, %0\n\t"
		                 "dec %1\n\t"
		                 "jnz 1b\n\t"
		                 "vzeroupper"
		                 : "+r"(at), "+r"(groups)
		                 : "r"(exp_number)
		                 : CLOBBER, "memory");
	}
}

/* Four lanes as every x86-64 has them: products and sums apart, n by conversion there and back. */
#define LOAD_XMM(f, n, p)  "movaps " #f "*16(%0), %%xmm" #f "\n\t"
#define SCALE_XMM(f, n, p) "mulps %%xmm13, %%xmm" #f "\n\tsubps 64(%2), %%xmm" #f "\n\t"
#define ROUND_XMM(f, n, p) "cvtps2dq %%xmm" #f ", %%xmm" #n "\n\tcvtdq2ps %%xmm" #n ", %%xmm" #p "\n\t"
#define SPLIT_XMM(f, n, p) "subps %%xmm" #p ", %%xmm" #f "\n\t"
#define FIRST_XMM(f, n, p) "movaps %%xmm14, %%xmm" #p "\n\t"
#define TERM_XMM(k, f, p)  "mulps %%xmm" #f ", %%xmm" #p "\n\taddps " k ", %%xmm" #p "\n\t"
#define TERM5_XMM(f, n, p) TERM_XMM("192(%2)", f, p)
#define TERM4_XMM(f, n, p) TERM_XMM("256(%2)", f, p)
#define TERM3_XMM(f, n, p) TERM_XMM("320(%2)", f, p)
#define TERM2_XMM(f, n, p) TERM_XMM("384(%2)", f, p)
#define TERM1_XMM(f, n, p) TERM_XMM("%%xmm15", f, p)
#define POWER_XMM(f, n, p) "pslld $23, %%xmm" #n "\n\tpaddd %%xmm" #n ", %%xmm" #p "\n\t"
#define STORE_XMM(f, n, p) "movaps %%xmm" #p ", " #f "*16(%0)\n\t"
#define SUM_XMM(f, n, p)   "addps %%xmm" #p ", %%xmm12\n\t"

static void exp_scalar(float *x, long n)
{
	for (; n; n--) {
		float *at = x;
		long groups = PROBE_EXPS / 16;
		__asm__ volatile("movaps (%2), %%xmm13\n\tmovaps 128(%2), %%xmm14\n\tmovaps 448(%2), %%xmm15\n\t"
		                 "xorps %%xmm12, %%xmm12\n"
		                 "1:\n\t" EACH_OF_FOUR(LOAD_XMM) EACH_OF_FOUR(SCALE_XMM) EACH_OF_FOUR(ROUND_XMM)
		                 EACH_OF_FOUR(SPLIT_XMM) EACH_OF_FOUR(FIRST_XMM) EACH_OF_FOUR(TERM5_XMM)
		                 EACH_OF_FOUR(TERM4_XMM) EACH_OF_FOUR(TERM3_XMM) EACH_OF_FOUR(TERM2_XMM)
		                 EACH_OF_FOUR(TERM1_XMM) EACH_OF_FOUR(POWER_XMM) EACH_OF_FOUR(STORE_XMM)
		                 EACH_OF_FOUR(SUM_XMM)
		                 "add $64, %0\n\t"
		                 "dec %1\n\t"
		                 "jnz 1b"
		                 : "+r"(at), "+r"(groups)
		                 : "r"(exp_number)
		                 : CLOBBER, "memory");
	}
}
/* clang-format on */

probe_exp *probe_exp_loop(enum isa isa)
{
	static probe_exp *const loop[ISAS] = {
	        [ISA_SCALAR] = exp_scalar, [ISA_AVX2] = exp_avx2, [ISA_AVX512] = exp_avx512, [ISA_AVX512_BF16] = exp_avx512};
	return loop[isa];
}

/* ---- memory ---- */

#define READ(name, r, move, width)                                                                           \
	static void name(const char *at, long bytes)                                                         \
	{                                                                                                    \
		__asm__ volatile(".p2align 6\n1:\n\t" move " (%0), %%" r "0\n\t" move " " width "(%0), %%" r "1\n\t" move       \
		                 " 2*" width "(%0), %%" r "2\n\t" move " 3*" width "(%0), %%" r "3\n\t"              \
		                 "add $4*" width ", %0\n\t"                                                  \
		                 "sub $4*" width ", %1\n\t"                                                  \
		                 "jnz 1b"                                                                    \
		                 : "+r"(at), "+r"(bytes)                                                     \
		                 :                                                                           \
		                 : "xmm0", "xmm1", "xmm2", "xmm3", "cc", "memory");                          \
	}
READ(read_sse, "xmm", "movaps", "16")
READ(read_avx, "ymm", "vmovaps", "32")
READ(read_avx512, "zmm", "vmovaps", "64")

probe_read *probe_read_loop(enum isa isa)
{
	static probe_read *const loop[ISAS] = {[ISA_SCALAR] = read_sse,
	                                       [ISA_AVX2] = read_avx,
	                                       [ISA_AVX512] = read_avx512,
	                                       [ISA_AVX512_BF16] = read_avx512};
	return loop[isa];
}

void probe_chain(long n)
{
	long sum = 0;
	__asm__ volatile("1:\n\t"
	                 "add $1, %1\n\tadd $1, %1\n\tadd $1, %1\n\tadd $1, %1\n\t"
	                 "add $1, %1\n\tadd $1, %1\n\tadd $1, %1\n\tadd $1, %1\n\t"
	                 "sub $8, %0\n\t"
	                 "jg 1b"
	                 : "+r"(n), "+r"(sum)
	                 :
	                 : "cc");
}
