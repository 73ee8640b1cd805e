/* nvrtc.h: NVIDIA's run-time compiler, opened when first needed: CUDA C++ to a cubin, with no device at hand.
 */
#ifndef ATTUNE_TARGETS_NVRTC_H
#define ATTUNE_TARGETS_NVRTC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

enum { NVRTC_ARCHS = 64 };
struct nvrtc_about {
	int major, minor;
	int arch[NVRTC_ARCHS], archs; /* compute capabilities, rising: 80, 86, … */
	char path[512];               /* of the library */
	char build[48];               /* its build id: what tells patches of a version apart */
};

/* What is there; NULL, with the mend in `why`, where there is none. Opens it. */
const struct nvrtc_about *nvrtc_about(struct text *why);
bool nvrtc_opened(void);

/* The architecture to compile for so that a device of this capability runs it: "sm_86"; "sm_90a" from 9.0 on,
 * with what only that one has; an older one of the family where the compiler does not know the device. False
 * when it knows none. */
bool nvrtc_arch(int capability, char arch[16], struct text *why);

/* The options of a compilation, one after the other, with blanks between. */
void nvrtc_options(const char *arch, struct text *);

/* `prelude` and then `source`, whose lines are counted from 1, compiled in a child, so that nothing of it
 * stays in this process. `cubin` and `log` are malloc'ed, the log with the assembler's account of every
 * kernel. False with diagnostics. Thread-safe. */
struct nvrtc_made {
	void *cubin;
	size_t size;
	char *log;
};
bool nvrtc_compile(const char *prelude, const char *source, const char *arch, struct nvrtc_made *,
                   struct text *diagnostics);

#endif
