/* internal.h: what the objects of attune.h are, and the few helpers every file of runtime/ uses. */
#ifndef ATTUNE_RUNTIME_INTERNAL_H
#define ATTUNE_RUNTIME_INTERNAL_H

#include <cjson/cJSON.h>

#include "attune.h"
#include "cache/cache.h"
#include "codegen/schedule.h"
#include "dsl/oracle.h"
#include "runtime/pool.h"
#include "search/tune.h"
#include "targets/target.h"

/* Fills `error`, which may be NULL, and returns the status. */
enum attune_status runtime_fail(struct attune_error *, enum attune_status, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* … from the first error of `d`. */
enum attune_status runtime_fail_diags(struct attune_error *, enum attune_status, const struct diags *);

/* Runs `work` with an arena of its own, freed afterwards. Memory that runs out inside becomes ATTUNE_SYSTEM;
 * `work` keeps nothing else that would leak then. */
typedef enum attune_status runtime_work(void *job, struct arena *, struct attune_error *);
enum attune_status runtime_try(runtime_work *, void *job, struct attune_error *);
/* A malloc'ed copy of a finished text, for the caller of the library. */
enum attune_status runtime_give(const struct text *, char **, struct attune_error *);

struct attune_context {
	struct arena arena;
	const char *cache_path;      /* NULL: none */
	struct cache *cache;         /* opened at first use */
	const struct target *target; /* NULL: the best that is installed, decided at first use */
	enum isa isa;
	bool isa_given;
	struct machine machine; /* that code is for; a processor's peak and bandwidth are measured at first need */
	const char *no_device;  /* why the target's code cannot run here; NULL: it can */
	struct pool *pool;      /* made at first use */
	int threads;
};

/* The machine of a device target: the device at hand, or the architecture asked for. */
enum attune_status context_device(struct attune_context *, const char *arch, struct arena *, struct attune_error *);
bool context_on_device(const struct attune_context *);
/* limits.c: a processor's limits into c->machine, as they are kept in the cache; measured and kept where they are not,
 * or when `again`. */
void context_measure(struct attune_context *, bool again);
/* One thread: NULL, which pool_run takes for a direct call. */
struct pool *context_pool(struct attune_context *);
/* Never NULL but when memory runs out; without a path it is off. */
struct cache *context_cache(struct attune_context *);
/* Where things are tuned and compiled for: target, ISA, threads. Fails with the reasons when no target works
 * here or it does not support the ISA. */
enum attune_status context_place(struct attune_context *, struct arena *, struct tune_place *,
                                 struct attune_error *);

struct attune_program {
	struct attune_context *context;
	struct arena arena;
	struct diags diags;
	struct cascade *cascade; /* NULL when the text was at fault */
	const char *digest;
	struct attune_diagnostic *diagnostic;
	int ndiagnostics;
	struct attune_rank *rank; /* in the order of the cascade */
	const char **bound_by;    /* one a rank: the tensor its extent came from, or NULL */
	struct attune_tensor *tensor;
	uint32_t *tensor_id; /* of the cascade, one an argument */
	int ntensors;
	const struct param *param; /* overridden */
	int nparams;
};

/* Fails, naming a rank or tensor, unless every rank is bound and every tensor within limits. */
enum attune_status program_check_bound(const struct attune_program *, struct attune_error *);
/* "B=1 H=8 …", as the cache spells it. */
const char *program_shape(const struct attune_program *, struct arena *);
/* Brings the public views of ranks and tensors up to date after extents changed. */
void program_refresh(struct attune_program *);
/* Derives everything of a bound program, in `arena`, from a copy of its cascade. */
enum attune_status program_problem(const struct attune_program *, struct arena *, struct cascade **,
                                   struct problem **, struct attune_error *);

/* A kernel before it is compiled: a schedule, where it came from, and its text. */
struct variant {
	const char *origin;      /* as attune_kernel_info.source */
	struct cascade *cascade; /* a bound copy of the program\'s */
	struct problem *problem;
	struct tune_choice choice; /* `shape` and `object` only where the cache answered */
	struct cache_key key;
};
/* `schedule`: text, or NULL for the best that is known; `naive` as in attune_compile_options. */
enum purpose { FOR_TEXT, FOR_CODE };
enum attune_status program_variant(const struct attune_program *, struct arena *, const char *schedule, bool naive,
                                   enum purpose, struct variant *, struct attune_error *);
/* The best that is known for code of that ISA, which need not be the context's. */
enum attune_status program_variant_for(const struct attune_program *, struct arena *, enum isa, struct variant *,
                                       struct attune_error *);

/* ---- fill.c ---- */

/* Values of inputs of a bound program from lines of the language, "doc[m] = m / 512", into data[tensor of its cascade],
 * in `arena`. Equations may read what others give, and random(i; n), a whole number below n that looks arbitrary. */
enum attune_status program_fill(const struct attune_program *, struct arena *, const char *equations,
                                struct oracle_tensor *data, struct attune_error *);

/* ---- device_explain.c ---- */

/* Adds what a bound program's kernels take of the device, to the text or to the JSON; `schedule` as for
 * program_variant. */
enum attune_status device_explain(const struct attune_program *, const char *schedule, struct arena *, struct text *,
                                  cJSON *, struct attune_error *);
/* Launch geometry and, where they are known, resources; the caller deletes it. */
cJSON *device_phases_json(const struct kernel_source *, const struct resources *);

struct strategy;
/* NULL names the default. */
enum attune_status strategy_named(const char *name, struct arena *, const struct strategy **,
                                  struct attune_error *);

/* ---- tensors ---- */

enum dtype dtype_of(DLDataType); /* DTYPES: none of ours */
DLDataType dtype_dl(enum dtype);
/* An argument as a call needs it: its first element and a stride a rank. */
struct view {
	char *data;
	int nranks;
	int64_t stride[MAX_RANKS];
};
/* Checks a tensor against its declaration; an extent of -1 there stands for any. Its type must be `as`, or
 * `or_as`, which is as good. */
enum attune_status tensor_view(const struct attune_tensor *, enum dtype as, enum dtype or_as,
                               const DLTensor *, struct view *, struct attune_error *);
/* In memory of this processor? Else an error. */
enum attune_status tensor_on_host(const char *name, const DLTensor *, struct attune_error *);
/* Copies elements of one type and shape. */
void tensor_copy(const struct view *from, const struct view *to, const int64_t *shape, size_t element);
/* Elements of a tensor whose extents were checked. */
int64_t tensor_count(const DLTensor *);
/* The elements in row-major order as doubles, and back, rounded. Bytes given for a declared bool become 0
 * or 1. */
void tensor_to_doubles(const DLTensor *, const struct view *, double *);
void tensor_from_doubles(const DLTensor *, const struct view *, const double *, enum dtype declared);
enum attune_status tensors_counted(const char *kernel, int have, int want, struct attune_error *);

/* ---- code ---- */

enum { MAX_ARGUMENTS = 64, MAX_THREADS = 1024 };

/* Loaded code of one kernel. */
struct code {
	const struct target *target;
	struct module *module;
	enum isa isa;
	int nphases;
	at_phase **phase; /* of code for this processor */
	long *tasks;
	struct kernel_phase *what;       /* `inputs` and `outputs` of each */
	uint64_t identity;               /* of this very loading of it in this process */
	const struct kernel_source *source; /* of code for a device: lives as long as the code */
	size_t work_bytes, scratch_bytes; /* multiples of 64 */
};
/* Loads an object; NULL, with the target's words, when it does not. Give back with code_free. */
struct code *code_load(const struct target *, const struct target_options *, const struct object *,
                       const struct kernel_source *, struct text *why);
void code_free(struct code *);
/* Bytes a call on `threads` threads needs. */
size_t code_workspace(const struct code *, int threads);
/* `count` is at most MAX_ARGUMENTS. */
void code_run(const struct code *, struct pool *, const struct view *, int count, void *workspace);
/* The same in a workspace of the caller's, whose first KEPT_BYTES, beside what code_workspace says, tell what was
 * prepared in it. Phases that do so are left out where they depend on `unchanged` arguments only (bit i: the i-th). */
enum { KEPT_BYTES = 64 + 8 * MAX_ARGUMENTS };
void code_run_kept(const struct code *, struct pool *, const struct view *, int count, void *workspace,
                   uint64_t unchanged);
/* Bytes of a device's argument block for tensors of these ranks. */
size_t code_argument_bytes(const struct attune_tensor *, int count);
/* Begins all phases on a stream of the device. False with the driver's words. */
bool code_launch(const struct code *, const struct view *, int count, void *work, void *stream, struct text *why);

/* Memory of `size` bytes aligned to a page, in huge pages where it is large; NULL: none. Give back with free.
 */
void *area_new(size_t size);

#endif
