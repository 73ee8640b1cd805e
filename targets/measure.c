/* Clocks, and what this machine can do at most: f32 multiply-adds and bytes read, per second of one core.
 *
 * A probe runs in short stretches timed by thread CPU time and reports the best decile, so a neighbour who
 * takes the core or the caches for a while does not lower it. The loops are assembly, because a limit must
 * not depend on how this file was compiled.
 */
#include "targets/target.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double thread_seconds(void)
{
	return seconds(CLOCK_THREAD_CPUTIME_ID);
}

double wall_seconds(void)
{
	return seconds(CLOCK_MONOTONIC);
}

/* A step is CHAINS independent accumulators: two units of latency 4 need 8, and 14 leave registers for the
 * operands also where there are 16. Operands are nonzero, so that power and clock are those of real work, and
 * small, so that sums stay finite. */
#define CHAINS 14
#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)
#define CLOBBER                                                                                              \
	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",    \
	        "xmm12", "xmm13", "xmm14", "xmm15", "cc"

/* clang-format off */
static void steps_avx512(long n)
{
	const float x = 1e-3f, y = 2e-3f;
#define CLEAR(i) "vpxord %%zmm" #i ", %%zmm" #i ", %%zmm" #i "\n\t"
#define FMA(i)   "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #i "\n\t"
	__asm__ volatile(EACH_CHAIN(CLEAR) "vbroadcastss %1, %%zmm14\n\t"
	                 "vbroadcastss %2, %%zmm15\n"
	                 "1:\n\t" EACH_CHAIN(FMA) "dec %0\n\t"
	                 "jnz 1b\n\t"
	                 "vzeroupper"
	                 : "+r"(n)
	                 : "m"(x), "m"(y)
	                 : CLOBBER);
#undef CLEAR
#undef FMA
}

static void steps_avx2(long n)
{
	const float x = 1e-3f, y = 2e-3f;
#define CLEAR(i) "vpxor %%ymm" #i ", %%ymm" #i ", %%ymm" #i "\n\t"
#define FMA(i)   "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n\t"
	__asm__ volatile(EACH_CHAIN(CLEAR) "vbroadcastss %1, %%ymm14\n\t"
	                 "vbroadcastss %2, %%ymm15\n"
	                 "1:\n\t" EACH_CHAIN(FMA) "dec %0\n\t"
	                 "jnz 1b\n\t"
	                 "vzeroupper"
	                 : "+r"(n)
	                 : "m"(x), "m"(y)
	                 : CLOBBER);
#undef CLEAR
#undef FMA
}

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

static const struct {
	void (*steps)(long n);
	double flops; /* of one step */
} fma_loop[ISAS] = {
        [ISA_SCALAR] = {steps_scalar, 4.0 * CHAINS},
        [ISA_AVX2] = {steps_avx2, 2.0 * 8 * CHAINS},
        [ISA_AVX512] = {steps_avx512, 2.0 * 16 * CHAINS},
        [ISA_AVX512_BF16] = {steps_avx512, 2.0 * 16 * CHAINS},
};

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Not the very best stretch: in a virtual machine the time a neighbour took is at times subtracted twice. */
static double peak(enum isa isa, int stretches)
{
	const double steps = 20000; /* about 40 µs */
	enum { MOST = 1024 };
	double rate[MOST];
	for (int i = 0; i < stretches; i++) {
		double start = thread_seconds();
		fma_loop[isa].steps((long)steps);
		double took = thread_seconds() - start;
		rate[i] = took > 0 ? steps * fma_loop[isa].flops / took : 0;
	}
	qsort(rate, (size_t)stretches, sizeof *rate, ascending);
	return rate[stretches * 9 / 10];
}

double machine_peak_probe(enum isa isa)
{
	return peak(isa, 48);
}

static void read_bytes(const char *at, long lines)
{
	__asm__ volatile("1:\n\t"
	                 "movaps (%0), %%xmm0\n\t"
	                 "movaps 16(%0), %%xmm1\n\t"
	                 "movaps 32(%0), %%xmm2\n\t"
	                 "movaps 48(%0), %%xmm3\n\t"
	                 "add $64, %0\n\t"
	                 "dec %1\n\t"
	                 "jnz 1b"
	                 : "+r"(at), "+r"(lines)
	                 :
	                 : "xmm0", "xmm1", "xmm2", "xmm3", "cc", "memory");
}

/* Reads past the caches: more than four times the last level, but at most 1 GiB. 0 when memory is short. */
static double bandwidth(int64_t l3)
{
	enum { STRETCH = 4 << 20, STRETCHES = 256, LEAST = 16, PASSES = 4 };
	size_t n = (size_t)l3 * 4 / STRETCH + 1;
	n = n < LEAST ? LEAST : n > STRETCHES ? STRETCHES : n;
	char *p = mmap(NULL, n * STRETCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return 0;
	madvise(p, n * STRETCH, MADV_HUGEPAGE);
	for (size_t i = 0; i < n * STRETCH; i += 4096)
		p[i] = 1; /* untouched pages would all be one page of zeros */
	double least[STRETCHES], total = 0;
	for (int pass = 0; pass < PASSES; pass++)
		for (size_t i = 0; i < n; i++) {
			double start = thread_seconds();
			read_bytes(p + i * STRETCH, STRETCH / 64);
			double took = thread_seconds() - start;
			if (!pass || took < least[i])
				least[i] = took;
		}
	munmap(p, n * STRETCH);
	for (size_t i = 0; i < n; i++)
		total += least[i];
	return total > 0 ? (double)(n * STRETCH) / total : 0;
}

void machine_measure(struct machine *m)
{
	m->peak_flops = peak(m->isa, 1024);
	m->bandwidth = bandwidth(m->l3);
}
