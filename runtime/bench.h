/* bench.h: what timing on a processor and on a device share. */
#ifndef ATTUNE_RUNTIME_BENCH_H
#define ATTUNE_RUNTIME_BENCH_H

#include "runtime/internal.h"
#include "search/workload.h"

enum { CONTENDERS = 3 };

struct contenders {
	int n;
	struct attune_kernel *kernel[CONTENDERS];
	const char *name[CONTENDERS];
	double low[CONTENDERS][2]; /* the two lowest times */
};
void bench_note(struct contenders *, int i, double seconds);

/* Times all of them, `rounds` times interleaved after a few to warm up, with tensors on the device and by its clock. */
enum attune_status device_bench(struct attune_context *, struct arena *, struct contenders *, struct workload *,
                                int rounds, struct attune_error *);

#endif
