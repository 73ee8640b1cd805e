/* ahead.h: one compilation that goes on beside the measuring, on another core.
 *
 * A thread of the parent waits for the forked child that compiles; it uses no compiler itself, so other
 * children may be forked meanwhile. Not for use while a race runs: finish first. */
#ifndef ATTUNE_SEARCH_AHEAD_H
#define ATTUNE_SEARCH_AHEAD_H

#include <pthread.h>

#include "search/measure.h"

struct ahead {
	bool running;
	pthread_t thread;
	const struct tune_place *place;
	char *text;
	int optimise;
	double seconds;
	struct object object;
	bool good, timeout;
	char reason[200];
};

/* Begins; the text is copied. False when it cannot: compile in the ordinary way. Must not be running. */
bool ahead_start(struct ahead *, const struct tune_place *, const char *text, int optimise, double seconds);
/* Waits; results are as from measure_compile. */
bool ahead_finish(struct ahead *, struct object *, bool *timeout, char reason[200]);

#endif
