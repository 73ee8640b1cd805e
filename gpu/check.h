/* check.h: trying a pack on a device, step by step, in forked children.
 *
 * gpu/check.c plans the jobs and reads their results; gpu/check_child.c does them. A child does one job after
 * the other and sets an alarm before each: a kernel that hangs wedges the driver's context, so the child dies
 * of it and the next one goes on behind that job. Only children open the driver.
 */
#ifndef ATTUNE_GPU_CHECK_H
#define ATTUNE_GPU_CHECK_H

#include "gpu/pack.h"
#include "gpu/peers.h"

enum job_kind {
	JOB_DEVICE,    /* what is at hand */
	JOB_PROBE,     /* index: of probes[] */
	JOB_COPY,      /* bandwidth of a copy */
	JOB_RIGHT,     /* index: a case, held against the oracle */
	JOB_SPEED,     /* index: a timed case, default kernel and peers in turns */
	JOB_CANDIDATE, /* … and another kernel of it, in turns with the default */
};
struct job {
	enum job_kind kind;
	uint32_t index, kernel;
};

enum job_state { JOB_NOT_REACHED, JOB_GOOD, JOB_BAD, JOB_STATES };
struct timing {
	double seconds;   /* median of the rounds */
	double low, high; /* quartiles */
};
struct job_result {
	enum job_state state;
	char why[400]; /* of a bad one; of a good one a remark */
	struct verdict_of_outputs verdict;
	char output[32];
	struct timing own, control; /* of the default, in the same rounds */
	int peers;
	struct {
		char name[32];
		struct timing timing;
	} peer[MAX_PEERS];
	double bandwidth, peer_bandwidth; /* of a copy, bytes/s read and written */
	char clocks[120];                 /* as the driver's tool says, right after */
};

/* Shared with the children. */
struct check_results {
	uint32_t next; /* the job that begins or runs */
	struct machine machine;
	struct job_result result[]; /* one a job */
};

struct check_work {
	const struct pack *pack;
	const char *directory;
	const struct target *target;
	struct peers *peers; /* NULL: none */
	const struct pack_kernel *probe;
	double deadline; /* wall_seconds() */
	uint32_t jobs;  /* that there are */
	uint32_t until; /* the child ends before this one */
	const struct job *job;
};
/* For sandbox_run: struct check_work, struct check_results. */
void check_child(void *work, void *results);

/* ---- gpu/check.c ---- */

struct check_options {
	const char *directory;
	const char *target; /* NULL: the pack's */
	double seconds;
	const char *peers;            /* a command, or NULL */
	const struct target *instead; /* for tests: used instead of the pack's target; may be NULL */
	void (*progress)(void *owner, const char *line);
	void (*record)(void *owner, const char *line); /* of each kernel timed, as soon as it is; may be NULL */
	void *owner;
};
enum check_status { CHECK_GOOD, CHECK_BAD, CHECK_PACK, CHECK_DEVICE };
/* What came of it as JSON, to be given back with cJSON_Delete; NULL with the reason when there is no pack or
 * no device to check. The members are those of the records in perf/gpu (docs/gpu.md). */
cJSON *check_pack(struct arena *, const struct check_options *, enum check_status *, struct text *why);

/* ---- gpu/report.c ---- */

/* A report as a table for people. */
void report_print(const cJSON *report, struct text *);
/* One of its jobs as perf/gpu keeps what was timed, without a newline. False: it was not timed, or is not right. */
bool report_record(const cJSON *job, const cJSON *device, const char *toolchain, double copy, const char *when,
                   struct text *);

#endif
