/* Clocks, and what this machine can do at most: multiply-adds and bytes read, per second of one core.
 *
 * A probe of multiply-adds runs for some milliseconds in short stretches timed by thread CPU time and reports the
 * median, so that a neighbour who takes the core for a while does not lower it.
 */
#include "targets/probe.h"
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

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* The median stretch: what a loop goes on doing for longer than one. The best ones are of a clock that does not
 * last, and in a virtual machine the time a neighbour took is at times subtracted twice. */
static double peak(enum isa isa, enum operand_type t, int stretches)
{
	const double steps = 20000; /* about 40 µs */
	enum { MOST = 1024 };
	double rate[MOST];
	struct probe_loop loop = probe_loop(isa, t);
	if (!loop.steps)
		loop = probe_loop(isa, OPERAND_COMPUTE);
	for (int i = 0; i < stretches && loop.steps; i++) {
		double start = thread_seconds();
		loop.steps((long)steps);
		double took = thread_seconds() - start;
		rate[i] = took > 0 ? steps * loop.operations / took : 0;
	}
	if (!loop.steps)
		return 0;
	qsort(rate, (size_t)stretches, sizeof *rate, ascending);
	return rate[stretches / 2];
}

double machine_peak_probe(enum isa isa, enum operand_type t)
{
	return peak(isa, t, 48);
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
	m->peak_flops = peak(m->isa, OPERAND_COMPUTE, 1024);
	m->bandwidth = bandwidth(m->l3);
}
