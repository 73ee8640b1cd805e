/* How fast one core reads its caches and memory, and all cores together read memory. Memory is in huge pages, as
 * the library's own is; loads are the widest that the best ISA has. */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "targets/probe.h"
#include "targets/target.h"

#define HUGE ((size_t)2 << 20)
enum { MOST_CORES = 256 };

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

char *machine_pages(size_t bytes)
{
	char *p = mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	size_t skip = (HUGE - (size_t)p % HUGE) % HUGE;
	if (skip)
		munmap(p, skip);
	p += skip;
	if (HUGE - skip)
		munmap(p + bytes, HUGE - skip);
	madvise(p, bytes, MADV_HUGEPAGE);
	for (size_t i = 0; i < bytes; i += 4096)
		p[i] = 1; /* pages that nothing was written to would all be one page of zeros */
	return p;
}

/* The median rate over stretches that read `bytes` as often as makes some 40 µs, after one that fetches them. */
static double cache_rate(probe_read *read, const char *p, int64_t bytes)
{
	enum { STRETCHES = 60, LEAST = 8 << 20 };
	double rate[STRETCHES];
	int times = bytes < LEAST ? (int)(LEAST / bytes) : 1;
	for (int i = -1; i < STRETCHES; i++) {
		double start = thread_seconds();
		for (int k = 0; k < times; k++)
			read(p, bytes);
		double took = thread_seconds() - start;
		if (i >= 0)
			rate[i] = took > 0 ? (double)bytes * times / took : 0;
	}
	qsort(rate, STRETCHES, sizeof *rate, ascending);
	return rate[STRETCHES / 2];
}

/* One of the threads that read memory together, each its own part. */
struct reader {
	probe_read *read;
	const char *memory;
	size_t bytes;
	atomic_int *go; /* 0: wait; below: leave */
	double (*clock)(void);
	double begun, ended;
};

static void *read_part(void *data)
{
	struct reader *r = data;
	int go;
	while (!(go = atomic_load(r->go)))
		sched_yield();
	r->begun = r->clock();
	if (go > 0)
		r->read(r->memory, (long)r->bytes);
	r->ended = r->clock();
	return NULL;
}

double machine_read_probe(enum isa isa, const char *memory, size_t bytes, int threads)
{
	struct reader r[MOST_CORES];
	pthread_t thread[MOST_CORES];
	atomic_int go = 0;
	size_t part = bytes / (size_t)threads / HUGE * HUGE;
	probe_read *loop = probe_read_loop(isa);
	double (*clock)(void) = threads == 1 ? thread_seconds : wall_seconds;
	int started = 0;
	if (threads > MOST_CORES || !part || !loop)
		return 0;
	while (started < threads) {
		r[started] = (struct reader){loop, memory + (size_t)started * part, part, &go, clock, 0, 0};
		if (started && pthread_create(&thread[started], NULL, read_part, &r[started]))
			break;
		started++;
	}
	atomic_store(&go, started == threads ? 1 : -1);
	read_part(&r[0]);
	double begun = r[0].begun, ended = r[0].ended;
	for (int i = 1; i < started; i++) {
		pthread_join(thread[i], NULL);
		begun = r[i].begun < begun ? r[i].begun : begun;
		ended = r[i].ended > ended ? r[i].ended : ended;
	}
	return started == threads && ended > begun ? (double)part * threads / (ended - begun) : 0;
}

/* Stretches of one core, by its CPU time; then all cores together, by the wall clock: the upper quartile of passes,
 * because a pass that another process cut into tells nothing. */
static void memory_rates(struct machine *m, probe_read *read, const char *p, size_t bytes)
{
	enum { STRETCH = 4 << 20, MOST = 1024, PASSES = 16 };
	double rate[MOST], together[PASSES];
	int n = 0;
	for (size_t i = 0; i + STRETCH <= bytes && n < MOST; i += STRETCH) {
		double start = thread_seconds();
		read(p + i, STRETCH);
		double took = thread_seconds() - start;
		rate[n++] = took > 0 ? (double)STRETCH / took : 0;
	}
	qsort(rate, (size_t)n, sizeof *rate, ascending);
	m->limits.read[READ_MEMORY] = rate[n / 2];
	for (int i = 0; i < PASSES; i++)
		together[i] = machine_read_probe(m->isa, p, bytes, m->cores);
	qsort(together, PASSES, sizeof *together, ascending);
	/* One core reads while others may: all cannot be slower, only disturbed. */
	m->limits.read_all = fmax(together[PASSES * 3 / 4], m->limits.read[READ_MEMORY]);
}

/* Past the caches: four times the last level, at most 1 GiB, and for many cores that many times 8 MiB. */
void measure_memory(struct machine *m)
{
	const size_t LEAST = (size_t)64 << 20, MOST = (size_t)1 << 30, PART = (size_t)8 << 20;
	size_t bytes = (size_t)m->l3 * 4, parts = (size_t)m->cores * PART;
	bytes = bytes < LEAST ? LEAST : bytes > MOST ? MOST : bytes;
	bytes = (bytes < parts ? parts : bytes) / HUGE * HUGE;
	char *p = machine_pages(bytes);
	probe_read *read = probe_read_loop(m->isa);
	if (p && read) {
		const int64_t LINE = 256, level[] = {m->l1 / 2, m->l2 / 2, (m->l2 * 2 + m->l3) / 3};
		for (int i = READ_L1; i <= READ_L3; i++)
			m->limits.read[i] = cache_rate(read, p, level[i] / LINE * LINE);
		memory_rates(m, read, p, bytes);
	}
	if (p)
		munmap(p, bytes);
}
