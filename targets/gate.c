/* gate.c: many readers inside, a fork as the one writer, which is let in first. */
#include "targets/gate.h"

#include <pthread.h>

static pthread_rwlock_t gate = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

static void before_fork(void)
{
	pthread_rwlock_wrlock(&gate);
}

static void in_parent(void)
{
	pthread_rwlock_unlock(&gate);
}

/* The child is another thread to the gate, which remembers who closed it. */
static void in_child(void)
{
	gate = (pthread_rwlock_t)PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
}

static void watch_forks(void)
{
	pthread_atfork(before_fork, in_parent, in_child);
}

static void watch_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, watch_forks);
}

void gate_enter(void)
{
	watch_once();
	pthread_rwlock_rdlock(&gate);
}

bool gate_try(void)
{
	watch_once();
	return !pthread_rwlock_tryrdlock(&gate);
}

void gate_leave(void)
{
	pthread_rwlock_unlock(&gate);
}
