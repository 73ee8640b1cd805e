#include "search/ahead.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void *compile(void *context)
{
	struct ahead *a = context;
	a->good = measure_compile(a->place, a->text, a->optimise, a->seconds, &a->object, &a->timeout,
	                          a->reason);
	return NULL;
}

bool ahead_start(struct ahead *a, const struct tune_place *place, const char *text, int optimise,
                 double seconds)
{
	sigset_t all, before;
	*a = (struct ahead){.place = place, .text = strdup(text), .optimise = optimise, .seconds = seconds};
	if (!a->text)
		return false;
	/* Signals are for the threads of the caller. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	a->running = !pthread_create(&a->thread, NULL, compile, a);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!a->running)
		free(a->text);
	return a->running;
}

bool ahead_finish(struct ahead *a, struct object *object, bool *timeout, char reason[200])
{
	pthread_join(a->thread, NULL);
	free(a->text);
	a->running = false;
	*object = a->object;
	*timeout = a->timeout;
	memcpy(reason, a->reason, sizeof a->reason);
	return a->good;
}
