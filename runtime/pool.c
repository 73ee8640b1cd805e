#include "runtime/pool.h"

#include <pthreadpool.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct pool {
	pthreadpool_t threads; /* NULL for one thread */
	int n;
};

struct job {
	at_phase *phase;
	const struct at_args *args;
	long tasks;
	int threads;
	void *const *scratch;
	/* Alone in its cache line: every worker writes it. */
	_Alignas(64) atomic_long next;
};

struct pool *pool_new(int threads)
{
	struct pool *p = malloc(sizeof *p);
	if (!p)
		return NULL;
	*p = (struct pool){.n = threads < 1 ? 1 : threads};
	if (p->n > 1 && !(p->threads = pthreadpool_create((size_t)p->n))) {
		free(p);
		return NULL;
	}
	return p;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	if (p->threads)
		pthreadpool_destroy(p->threads);
	free(p);
}

int pool_threads(const struct pool *p)
{
	return p ? p->n : 1;
}

/* The library gives every index to exactly one thread, so an index can own a scratch; the balance is ours. */
static void work(void *context, size_t worker)
{
	struct job *job = context;
	long begin = atomic_load_explicit(&job->next, memory_order_relaxed), n;
	while (begin < job->tasks) {
		n = pool_chunk(job->tasks - begin, job->threads);
		if (!atomic_compare_exchange_weak_explicit(&job->next, &begin, begin + n, memory_order_relaxed,
		                                           memory_order_relaxed))
			continue;
		job->phase(job->args, begin, begin + n, job->scratch[worker]);
		begin = atomic_load_explicit(&job->next, memory_order_relaxed);
	}
}

long pool_chunk(long left, int threads)
{
	/* Light tasks come in great numbers: a worker's 32nd of what is left keeps the counter cheap, and the last, one by
	 * one, the balance. */
	enum { TURNS = 32 };
	long n = left / ((long)threads * TURNS);
	return n < 1 ? 1 : n;
}

void pool_run(struct pool *p, at_phase *phase, const struct at_args *args, long tasks, void *const *scratch)
{
	if (!p || !p->threads || tasks <= 1) {
		if (tasks > 0)
			phase(args, 0, tasks, scratch[0]);
		return;
	}
	long workers = tasks < p->n ? tasks : p->n;
	struct job job = {.phase = phase,
	                  .args = args,
	                  .tasks = tasks,
	                  .threads = p->n,
	                  .scratch = scratch};
	pthreadpool_parallelize_1d(p->threads, work, &job, (size_t)workers, 0);
}

struct spread {
	cpu_set_t usable;
	int n;
	atomic_int here;
};

/* The k-th processor of a set. */
static size_t processor(const cpu_set_t *set, size_t k)
{
	size_t cpu = 0;
	while (!CPU_ISSET(cpu, set) || k--)
		cpu++;
	return cpu;
}

static void bind_worker(void *context, size_t worker)
{
	struct spread *s = context;
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(processor(&s->usable, worker), &one);
	sched_setaffinity(0, sizeof one, &one);
	/* None leaves before all have come, or one thread would take two turns; a second is for ever. */
	atomic_fetch_add(&s->here, 1);
	for (time_t end = time(NULL) + 2; atomic_load(&s->here) < s->n && time(NULL) < end;)
		sched_yield();
}

void pool_spread(struct pool *p)
{
	struct spread s = {.n = pool_threads(p)};
	if (p && p->threads && !sched_getaffinity(0, sizeof s.usable, &s.usable) &&
	    CPU_COUNT(&s.usable) >= s.n)
		pthreadpool_parallelize_1d(p->threads, bind_worker, &s, (size_t)s.n, 0);
}
