/* Clocks, and what this machine can do at most: multiply-adds and bytes read, per second of one core.
 *
 * A probe of multiply-adds runs for some milliseconds in short stretches timed by thread CPU time and reports the
 * median, so that a neighbour who takes the core for a while does not lower it.
 */
#include "targets/probe.h"
#include "targets/target.h"

#include <stdlib.h>
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

/* The median rate, of `amount` a run, of something that takes some 40 µs. */
static double exps(enum isa isa)
{
	enum { RUNS = 100, TIMES = 20 };
	float x[PROBE_EXPS] __attribute__((aligned(64))) = {0};
	double rate[RUNS];
	probe_exp *loop = probe_exp_loop(isa);
	for (int i = 0; i < RUNS && loop; i++) {
		double start = thread_seconds();
		loop(x, TIMES);
		double took = thread_seconds() - start;
		rate[i] = took > 0 ? TIMES * (double)PROBE_EXPS / took : 0;
	}
	if (!loop)
		return 0;
	qsort(rate, RUNS, sizeof *rate, ascending);
	return rate[RUNS / 2];
}

static double clock_rate(void)
{
	enum { RUNS = 100 };
	const double cycles = 160000;
	double rate[RUNS];
	for (int i = 0; i < RUNS; i++) {
		double start = thread_seconds();
		probe_chain((long)cycles);
		double took = thread_seconds() - start;
		rate[i] = took > 0 ? cycles / took : 0;
	}
	qsort(rate, RUNS, sizeof *rate, ascending);
	return rate[RUNS / 2];
}

void machine_measure(struct machine *m)
{
	enum { STRETCHES = 400 };
	struct machine_limits *l = &m->limits;
	l->clock = clock_rate();
	for (enum isa i = 0; i < HOST_ISAS; i++) {
		if (!isa_runs_on(i, m->isa))
			continue;
		l->exps[i] = exps(i);
		for (enum operand_type t = 0; t < OPERANDS; t++)
			if (isa_multiplies(i, t))
				l->peak[i][t] = peak(i, t, STRETCHES);
	}
	measure_memory(m);
	m->peak_flops = l->peak[m->isa][OPERAND_COMPUTE];
	m->bandwidth = l->read[READ_MEMORY];
}
