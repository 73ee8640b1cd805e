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

/* What one worker begins with: tasks that follow one another read the same operands. */
struct part {
	/* Alone in its cache line: whoever takes tasks of it writes it. */
	_Alignas(64) atomic_long next;
	long end;
};

enum { MAX_PARTS = 256 };
struct job {
	at_phase *phase;
	const struct at_args *args;
	int threads, parts;
	void *const *scratch;
	struct part part[MAX_PARTS];
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

/* Runs what is left of a part, a chunk at a time. */
static void work_off(struct job *job, struct part *p, size_t worker)
{
	long begin = atomic_load_explicit(&p->next, memory_order_relaxed), n;
	while (begin < p->end) {
		n = pool_chunk(p->end - begin, job->threads);
		if (!atomic_compare_exchange_weak_explicit(&p->next, &begin, begin + n, memory_order_relaxed,
		                                           memory_order_relaxed))
			continue;
		job->phase(job->args, begin, begin + n, job->scratch[worker]);
		begin = atomic_load_explicit(&p->next, memory_order_relaxed);
	}
}

/* The library gives every index to exactly one thread, so an index can own a scratch; the balance is ours: its own part
 * first, then the others'. */
static void work(void *context, size_t worker)
{
	struct job *job = context;
	for (int i = 0; i < job->parts; i++)
		work_off(job, &job->part[((int)worker + i) % job->parts], worker);
}

int pool_parts(long tasks, int threads)
{
	/* Of fewer tasks the order matters more, the heaviest first: one part that all take from. */
	enum { MANY = 64 };
	return tasks >= (long)MANY * threads && threads <= MAX_PARTS ? threads : 1;
}

long pool_part(long tasks, int parts, int i)
{
	return tasks * i / parts;
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
	struct job job = {.phase = phase, .args = args, .threads = p->n, .parts = pool_parts(tasks, p->n), .scratch = scratch};
	for (int i = 0; i < job.parts; i++) {
		atomic_init(&job.part[i].next, pool_part(tasks, job.parts, i));
		job.part[i].end = pool_part(tasks, job.parts, i + 1);
	}
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
