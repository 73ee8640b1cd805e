/* pack.h: a folder of compiled kernels with all that is needed to try them where nothing can be compiled.
 *
 * manifest.json names cases, each a program with types and extents, and its kernels; an object lies in a file
 * named after its content. gpu/plan.c reads what a pack is to hold; gpu/make.c compiles it; gpu/check.c tries
 * it.
 *
 * A case as JSON, in a plan and in a manifest: "name", "program" (path of the text), "types", "params",
 * "ranks" by name; "inputs", which are not plain random numbers; "outputs", with PyTorch's own errors where
 * they are known (both as tests/data/torch_errors.json defines them); "timed", true where speed counts, and
 * then how many "candidates" to try beside the default and, where not all, which "peers". The manifest adds
 * "text", "flops", "bytes", "kernels".
 */
#ifndef ATTUNE_GPU_PACK_H
#define ATTUNE_GPU_PACK_H

#include <cjson/cJSON.h>

#include "search/workload.h"
#include "targets/target.h"

enum kernel_role {
	KERNEL_DEFAULT,   /* of the schedule that an untuned kernel runs */
	KERNEL_EXACT,     /* the same program multiplied in f32: what large cases are held against */
	KERNEL_CANDIDATE, /* to be timed */
	KERNEL_ROLES,
};
extern const char *const kernel_role_name[KERNEL_ROLES];

struct pack_kernel {
	enum kernel_role role;
	int capability;
	const char *schedule, *file;
	struct kernel_source source; /* without its text */
	int registers, blocks;       /* most of any phase; fewest that fit a multiprocessor. 0: not known */
	double model;                /* seconds by the static model; 0: not known */
};

struct pack_case {
	const char *name, *program, *text;
	bool timed;
	int candidates;
	double flops, bytes; /* useful work of one run; arguments read or written once */
	const cJSON *json;   /* the rest */
	VEC(struct pack_kernel) kernel;
};

struct pack {
	struct arena *arena;
	cJSON *json; /* freed by pack_free */
	const char *target, *toolchain;
	VEC(struct pack_case) cases;
	VEC(struct pack_kernel) probe; /* one a capability: the kernels of probe.h, then the copying one */
};
void pack_free(struct pack *);

/* ---- gpu/manifest.c ---- */

/* Reads DIRECTORY/manifest.json. False with what is wrong and the mend. */
bool pack_read(struct arena *, const char *directory, struct pack *, struct text *why);
bool pack_write(const char *directory, const struct pack *, struct text *why);
cJSON *kernel_json(const struct pack_kernel *);
/* What a manifest and a record both tell of a kernel. */
void kernel_add(const struct pack_kernel *, cJSON *to);
/* Its strings are the JSON's. */
bool kernel_read(struct arena *, const cJSON *, struct pack_kernel *);
/* Of an object's bytes, in its file: "0123456789abcdef.obj". */
const char *object_file(struct arena *, const struct object *);
bool object_write(const char *directory, const char *file, const struct object *, struct text *why);
/* Removes objects that no kernel of the pack has: of an earlier one. Bytes of those that stay. */
double objects_tidy(const char *directory, const struct pack *, struct arena *);
/* To be given back with object_free; checked against its name. */
bool object_read(const char *directory, const char *file, struct object *, struct text *why);

/* ---- gpu/plan.c ---- */

/* The cases of a plan, without kernels; to be given back with pack_free. False with the reason. */
bool plan_read(struct arena *, const char *path, struct pack *, struct text *why);
/* One case from its JSON, without kernels. */
bool case_read(struct arena *, const cJSON *, struct pack_case *, struct text *why);
/* A file's content in `arena`; NULL with the reason. */
const char *file_read(struct arena *, const char *path, size_t *size, struct text *why);

/* ---- gpu/case.c ---- */

/* The program of a case with its types, params and extents. NULL with the reason. */
struct cascade *case_cascade(struct arena *, const struct pack_case *, struct text *why);
/* Inputs of a case as tests/data/torch_errors.json defines them, as w->input[SET_NORMAL]. */
void case_inputs(struct arena *, const struct pack_case *, struct workload *);

/* How far outputs are from expected values: the worst of all outputs. */
struct verdict_of_outputs {
	double max, rms; /* as torch_errors.json defines them */
	double allowed_max, allowed_rms;
	const char *output;
	bool good;
};
/* Twice PyTorch's own error where that is known, else what tuning takes for right (workload_bound). */
struct verdict_of_outputs case_judge(const struct pack_case *, const struct workload *, void *const *got,
                                     double *const *want);

/* ---- gpu/make.c ---- */

struct pack_options {
	const char *directory;
	const struct target *target;
	const int *capability; /* to compile for */
	int capabilities, threads;
	bool emulate; /* run small cases under the emulator; what is wrong there is left out */
	void (*progress)(void *owner, const char *line);
	void *owner;
};
struct pack_counts {
	int kernels, rejected, emulated, wrong, failed; /* failed: defaults that must not be used */
	double bytes;                                   /* of all objects */
};
/* Compiles all cases of a plan into the folder. False with the reason. */
bool pack_make(struct arena *, struct pack *plan, const struct pack_options *, struct pack_counts *,
               struct text *why);

#endif
