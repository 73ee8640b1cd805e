/* Every task runs exactly once, and no scratch is shared by two workers at a time. */
#include "runtime/pool.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/tap.h"

enum { THREADS = 4, MOST = 5000 };

struct own {
	atomic_int users;
	long calls;
};

struct seen {
	atomic_int times[MOST];
	atomic_int clashes;
};

static void phase(const struct at_args *args, long begin, long end, void *scratch)
{
	struct seen *seen = args->work;
	struct own *own = scratch;
	if (atomic_fetch_add(&own->users, 1))
		atomic_fetch_add(&seen->clashes, 1);
	own->calls++;
	for (long i = begin; i < end; i++)
		atomic_fetch_add(&seen->times[i], 1);
	if (end - begin == 1) /* long enough for the others to come */
		for (volatile int k = 0; k < 1000; k++)
			;
	atomic_fetch_sub(&own->users, 1);
}

static bool once(const struct seen *s, long tasks)
{
	bool good = !s->clashes;
	for (long i = 0; i < MOST; i++)
		good &= s->times[i] == (i < tasks);
	return good;
}

static void runs(int threads)
{
	static const long counts[] = {0, 1, 2, 3, 4, 5, 63, 64, 257, MOST};
	struct own own[THREADS] = {{0}};
	void *scratch[THREADS];
	for (int i = 0; i < THREADS; i++)
		scratch[i] = &own[i];
	struct seen *seen = malloc(sizeof *seen);
	struct pool *p = pool_new(threads);
	bool good = p && seen && pool_threads(p) == threads;
	for (size_t i = 0; good && i < sizeof counts / sizeof *counts; i++) {
		memset(seen, 0, sizeof *seen);
		struct at_args args = {.work = seen};
		pool_run(p, phase, &args, counts[i], scratch);
		good &= once(seen, counts[i]);
	}
	ok(good, "%d threads: each task once, each scratch one worker's", threads);
	pool_free(p);
	free(seen);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void count_call(const struct at_args *args, long begin, long end, void *scratch)
{
	(void)args;
	*(long *)scratch += end - begin;
}

static double least_call(struct pool *p, long tasks, long count[2])
{
	void *scratch[] = {&count[0], &count[1]};
	struct at_args args = {.work = NULL};
	double best = 1;
	for (int k = 0; k < 50; k++) {
		double start = now();
		for (int i = 0; i < 100; i++)
			pool_run(p, count_call, &args, tasks, scratch);
		double took = (now() - start) / 100;
		best = took < best ? took : best;
	}
	return best;
}

/* Notes the processor it runs on, after a millisecond, so that every thread gets some. */
static void where(const struct at_args *args, long begin, long end, void *scratch)
{
	(void)scratch;
	for (long i = begin; i < end; i++) {
		for (clock_t start = clock(); clock() - start < CLOCKS_PER_SEC / 1000;)
			;
		atomic_store(&((atomic_int *)args->work)[i], sched_getcpu());
	}
}

static void test_spread(void)
{
	cpu_set_t usable;
	if (sched_getaffinity(0, sizeof usable, &usable) || CPU_COUNT(&usable) < 2) {
		tap_skip("one processor");
		return;
	}
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		static atomic_int at[40];
		static char scratch[2][64];
		struct pool *p = pool_new(2);
		pool_spread(p);
		pool_run(p, where, &(struct at_args){.work = at}, 40, (void *[]){scratch[0], scratch[1]});
		int other = 0;
		for (int i = 0; i < 40; i++)
			other += at[i] != at[0];
		_exit(other ? 0 : 1);
	}
	int status = 1;
	ok(child > 0 && waitpid(child, &status, 0) == child && !status,
	   "in a process just forked, two threads are at once on two processors");
	pool_spread(NULL);
}

int main(void)
{
	for (int threads = 1; threads <= THREADS; threads++)
		runs(threads);
	struct pool *p = pool_new(-3);
	ok(p && pool_threads(p) == 1, "no threads count as one");
	pool_free(p);
	pool_free(NULL);

	struct own own = {0};
	void *scratch[] = {&own};
	struct seen *seen = calloc(1, sizeof *seen);
	struct at_args args = {.work = seen};
	pool_run(NULL, phase, &args, 100, scratch);
	ok(once(seen, 100) && own.calls == 1 && pool_threads(NULL) == 1,
	   "without a pool it is one direct call");
	free(seen);

	long total[2] = {0};
	p = pool_new(2);
	printf("# a call costs %.3f us by one thread, %.2f us by two\n", least_call(NULL, 8, total) * 1e6,
	       least_call(p, 8, total) * 1e6);
	ok(total[0] + total[1] == 2L * 50 * 100 * 8, "ten thousand calls lose nothing");
	pool_free(p);
	test_spread();
	return tap_done();
}
