/* target.h: what turns C text into callable code. A target is one file and one line in targets[]. */
#ifndef ATTUNE_TARGETS_TARGET_H
#define ATTUNE_TARGETS_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "codegen/kernel.h"
#include "codegen/machine.h"
#include "targets/resources.h"

/* An object: what the cache keeps. For a target without relocatable objects it is the text itself. */
struct object {
	void *bytes; /* malloc'ed; give back with object_free */
	size_t size;
};
void object_free(struct object *);

struct module; /* loaded code, private to its target */

struct target_options {
	enum isa isa;
	int optimise;   /* 1 while searching, 3 for what is kept */
	int capability; /* of a device: 80, 86, 89, 90, 100; 0: of the device at hand, 80 where there is none */
	bool checked;   /* subscripts beyond their arrays call emulate_out_of_bounds, where the compiler can */
};

/* Where a target's code runs beside this process, with memory of its own: the first device of the driver's. Functions
 * that can fail say why, and the mend. A stream is the driver's (CUstream); NULL: the default one. `missing` of such a
 * target is about its compiler: without a device code can still be compiled and judged, and `machine` says that there is
 * none to run it. */
struct target_device {
	bool emulated; /* on this processor: no tensor of a caller's lies in its memory */
	const char *prelude; /* what `compile` puts before a text: with it the text can be read and compiled by hand */
	/* The device: processors, shared memory, capability, peaks as far as they are known. */
	bool (*machine)(struct machine *, struct text *why);
	void *(*allocate)(size_t bytes, struct text *why); /* at least 256-byte aligned */
	void (*release)(void *);
	/* Both return when the bytes are there. */
	bool (*copy_in)(void *device, const void *host, size_t bytes, void *stream, struct text *why);
	bool (*copy_out)(void *host, const void *device, size_t bytes, void *stream, struct text *why);
	/* Begins phase `phase`; args: struct at_device_args. What a kernel did wrong shows here or in `wait`. */
	bool (*launch)(struct module *, const struct kernel_source *, int phase, const void *args, size_t args_size,
	               void *stream, struct text *why);
	bool (*wait)(void *stream, struct text *why);
	/* Points in a stream's work, and the time the device took from one to a later one, which is waited for. Give
	 * back with `unmark`. NULL: this target tells no time. */
	void *(*mark)(void *stream, struct text *why);
	bool (*between)(void *first, void *last, double *seconds, struct text *why);
	void (*unmark)(void *);
	/* One record a phase, in `arena`; NULL: this target has no such thing to tell. */
	struct resources *(*resources)(struct arena *, const struct object *, const struct kernel_source *,
	                               const struct target_options *);
};

struct target {
	const char *name;
	/* NULL when the target works here, else why not and the mend, in `arena`. Loads what it needs. */
	const char *(*missing)(struct arena *);
	/* Its version and resolved flags for these options, for cache keys; never a literal "native". */
	const char *(*version)(struct arena *, const struct target_options *);
	/* What does its work, for a person: "NVRTC 13.0, for sm_80, sm_86". NULL: nothing to tell. */
	const char *(*about)(struct arena *);
	bool (*supports)(enum isa);
	/* Text to object. False with diagnostics on errors; a crash of the compiler is an error too. */
	bool (*compile)(const char *text, const struct target_options *, struct object *,
	                struct text *diagnostics);
	/* Object to code in this process. NULL with diagnostics. Thread-safe. */
	struct module *(*load)(const struct object *, const struct target_options *,
	                       struct text *diagnostics);
	void *(*symbol)(struct module *, const char *name);
	void (*unload)(struct module *);
	/* Is all that `missing` loads loaded already? NULL: there is nothing to load. */
	bool (*opened)(void);
	const struct target_device *device; /* NULL: code of this process, and `symbol` gives its phases */
};

extern const struct target target_clang, target_tcc, target_cuda, target_cuda_emulated;
extern const struct target *const targets[]; /* NULL-terminated, best first */
const struct target *target_find(const char *name);

/* This machine by CPUID and sysfs; measured fields 0. */
void machine_detect(struct machine *);
/* The units among what leaf 7 of CPUID says, in its parts 0 and 1: registers a, b, c, d. */
unsigned machine_units(const uint32_t seven[4], const uint32_t seven_one[4]);
/* Probes m->limits, with as many threads as there are cores for the one that needs them, about half a second. */
void machine_measure(struct machine *);
/* The rate that contractions of operands of a type may reach with an ISA: multiplications and additions a second of
 * thread CPU time, sustained over two milliseconds; for interleaving with kernels. Of a type that no instruction of the
 * ISA sums products of, the rate in f32, to which such operands are converted. */
double machine_peak_probe(enum isa, enum operand_type);
/* Memory in huge pages where there are such, all of it touched; to be given back with munmap. NULL when it is short. */
char *machine_pages(size_t bytes);
/* How fast threads of an ISA read it together, each its part, bytes/s by the wall clock, one by its CPU
 * time. 0: no such threads. */
double machine_read_probe(enum isa, const char *memory, size_t bytes, int threads);
/* Text that identifies hardware for the cache: vendor, family, model, stepping, OS-enabled ISA, caches,
 * usable cores. Not hostname, not clocks. */
const char *machine_key(struct arena *, const struct machine *);
const char *machine_arch(struct arena *, const struct machine *); /* vendor and family */

double thread_seconds(void); /* CPU time of this thread */
double wall_seconds(void);   /* monotonic */

#endif
