/* crash.c: signal handlers while somebody is inside, and a way back for each thread that is.
 *
 * The way back is the one piece of thread-local state: a handler is told nothing of whom it interrupted. It
 * runs on a stack of its own, because a stack that has overflown is a crash like another. */
#include "targets/crash.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

enum { CAUGHT = 5, STACK = 64 << 10 };
static const int caught[CAUGHT] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static _Thread_local sigjmp_buf *way_back;

static struct {
	pthread_mutex_t lock;
	int inside;
	struct sigaction before[CAUGHT];
} process = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void crashed(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (way_back)
		siglongjmp(*way_back, number);
	/* Somebody else's: again, and this time the process's own handler hears of it. A fault comes by
	 * itself. */
	for (int i = 0; i < CAUGHT; i++)
		if (caught[i] == number)
			sigaction(number, &process.before[i], NULL);
	if (info->si_code <= 0)
		raise(number);
}

static void enter(void)
{
	struct sigaction handler = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigemptyset(&handler.sa_mask);
	pthread_mutex_lock(&process.lock);
	if (!process.inside++)
		for (int i = 0; i < CAUGHT; i++)
			sigaction(caught[i], &handler, &process.before[i]);
	pthread_mutex_unlock(&process.lock);
}

static void leave(void)
{
	pthread_mutex_lock(&process.lock);
	if (!--process.inside)
		for (int i = 0; i < CAUGHT; i++)
			sigaction(caught[i], &process.before[i], NULL);
	pthread_mutex_unlock(&process.lock);
}

static int caught_call(void (*call)(void *), void *data)
{
	sigjmp_buf back;
	int number = sigsetjmp(back, 1);
	if (!number) {
		way_back = &back;
		call(data);
	}
	way_back = NULL;
	return number;
}

int crash_catch(void (*call)(void *), void *data)
{
	stack_t before, own = {.ss_sp = NULL, .ss_size = STACK};
	bool lent =
	        !sigaltstack(NULL, &before) && before.ss_flags & SS_DISABLE && (own.ss_sp = malloc(STACK));
	if (lent)
		sigaltstack(&own, NULL);
	enter();
	int number = caught_call(call, data);
	leave();
	if (lent)
		sigaltstack(&before, NULL);
	free(own.ss_sp);
	return number;
}
