/* measure_child.h: what the forked children of measure.c do, each with its job and what it writes to the
 * shared page.
 */
#ifndef ATTUNE_SEARCH_MEASURE_CHILD_H
#define ATTUNE_SEARCH_MEASURE_CHILD_H

#include "search/measure.h"

enum { MAX_ARGUMENTS = 64 };

/* Sets what became of it and why. */
void verdict_fail(struct verdict *, enum trial_status, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

struct candidate_job {
	const struct place_limits *limits;
	const struct binary *binary, *control;
	int n, repetitions;
};
/* The result is a struct verdict. */
void measure_candidate_child(void *job, void *verdict);

struct race_job {
	const struct place_limits *limits;
	const struct binary *binary;
	int n, rounds;
};

struct race_result {
	struct race race;
	int running; /* -1: none */
	char reason[200];
	bool failed;
};
void measure_race_child(void *job, void *result);

/* The same two for code of a device: measure_device.c. */
void measure_candidate_device(void *job, void *verdict);
void measure_race_device(void *job, void *result);

struct outputs_job {
	const struct place_limits *limits;
	const struct binary *binary;
	int set;
	double *const *out; /* shared memory, one an argument */
};

struct outputs_result {
	bool good;
	char reason[200];
};
void measure_outputs_child(void *job, void *result);

struct compile_job {
	const struct tune_place *place;
	const char *text;
	int optimise;
	char *bytes; /* shared memory */
	size_t room;
};

struct compile_result {
	size_t size;
	bool good;
	char reason[200];
};
void measure_compile_child(void *job, void *result);

#endif
