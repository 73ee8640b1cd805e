/* probe.h: what each primitive of codegen/primitives.h means, in straight C, and words to try it on. The
 * kernels are gpu/probe_kernels.h, compiled once for all: phase i of probe_source() is probes[i]. */
#ifndef ATTUNE_GPU_PROBE_H
#define ATTUNE_GPU_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "codegen/kernel.h"

struct probe {
	const char *kernel;
	int blocks, threads, shared_bytes;
	int in, out; /* words */
	void (*fill)(uint32_t *in, uint64_t *random);
	void (*expect)(const uint32_t *in, uint32_t *out);
	/* Is what a device gave as word k as good as what is expected? NULL: only the same bits are. */
	bool (*good)(uint32_t k, uint32_t got, uint32_t want);
};
enum { PROBES = 12, PROBE_WORDS = 8256 }; /* more words than any has, in or out */
extern const struct probe probes[PROBES];

/* One phase a probe, then one that copies, COPY_BLOCK bytes a block; all take the same arguments: memory in,
 * memory out. In `arena`. */
enum { COPY_BLOCK = 16384 };
struct kernel_source probe_source(struct arena *);

#endif
