/* build.h: the texts that `attune build` writes, apart from the writing. */
#ifndef ATTUNE_RUNTIME_BUILD_H
#define ATTUNE_RUNTIME_BUILD_H

#include "runtime/internal.h"

struct build {
	const char *name;   /* of files and function */
	const char *kernel; /* the program's */
	const char *shape, *origin;
	enum isa isa;
	const char *arch; /* "sm_90"; NULL: for a processor */
	const struct attune_tensor *tensor;
	int ntensors;
	const struct kernel_source *source;
	long long work_bytes, scratch_bytes; /* multiples of 64 */
};

void build_sizes(struct build *);
/* The kernel's own text, and after it the functions that build_header declares. */
void build_source(const struct build *, struct text *);
void build_header(const struct build *, struct text *);
/* An archive of one object, with the index of symbols that linkers ask for. */
void build_archive(const struct build *, const void *object, size_t size, struct text *);

/* The name of a tensor as C may have it. */
void build_c_name(const char *name, struct text *);

/* ---- build_device.c ---- */

/* Launch geometry and the argument block. */
void build_device_header(const struct build *, struct text *);

#endif
