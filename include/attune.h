/* attune.h: attention kernels derived from their Einsums, tuned on this machine, verified and kept.
 *
 *     struct attune_context *context;
 *     struct attune_program *program;
 *     struct attune_kernel *kernel;
 *     struct attune_error error;
 *     if (attune_context_new(NULL, &context, &error) ||
 *         attune_program_new(context, &(struct attune_source){.text = text}, &program, &error) ||
 *         attune_program_infer(program, tensors, n, &error) ||
 *         attune_compile(program, NULL, &kernel, &error) ||
 *         attune_call(kernel, tensors, n, NULL, &error))
 *             fprintf(stderr, "%s\n", error.message);
 *
 * Descriptors are structs; one that is all zeroes, or a NULL pointer to one, means the defaults.
 *
 * Errors. What can fail returns a status and fills `error`, which may be NULL. An out parameter is set only
 * on ATTUNE_OK, except where said. The library never prints, never exits and reads no environment variable.
 *
 * Ownership. X_new and attune_compile give an object, X_free takes it back (NULL is fine). Free kernels and
 * programs before their context. Strings inside results belong to the object they came from and live as long
 * as it; a `char **text` result belongs to the caller, who gives it back to attune_free. What a descriptor
 * points at is read during the call only.
 *
 * Threads. Nothing is shared between contexts: threads with a context each need no locks. A context with its
 * programs is used by one thread at a time. A compiled kernel may be called by many threads at once, also
 * while its context is used elsewhere.
 *
 * Tensors are DLPack's DLTensor, on the CPU or, for a kernel of target "cuda", on that device. Any strides (in
 * elements; negative ones too), any byte offset that keeps elements aligned to their size; strides == NULL
 * means dense and row-major. bool is an unsigned or a DLPack boolean of 8 bits, bf16 is kDLBfloat of 16,
 * f8e4m3 and f8e5m2 are DLPack's float8_e4m3fn and float8_e5m2.
 * i4 is kDLInt of 4: two elements a byte, the even one low, strides in elements; on this processor only.
 * Extents are checked in 64 bits.
 */
#ifndef ATTUNE_H
#define ATTUNE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <dlpack/dlpack.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATTUNE_VERSION "0.1.0"

/* The values are the exit statuses of the command line. */
enum attune_status {
	ATTUNE_OK = 0,
	ATTUNE_PROGRAM = 1, /* the program is at fault; its diagnostics say where */
	ATTUNE_USAGE = 2,   /* the caller is: an unknown name, a tensor that does not fit, a missing extent */
	ATTUNE_SYSTEM = 3,  /* memory, files, a compiler, the machine */
};

struct attune_error {
	enum attune_status status;
	char message[1000]; /* one or more lines without a final newline; cut at this length */
};

/* Text for people or JSON for programs. */
enum attune_format { ATTUNE_TEXT, ATTUNE_JSON };

void attune_free(char *text);

/* ---- context ---- */

struct attune_context;

struct attune_options {
	const char *cache;  /* the tuning cache, an SQLite file made when missing; NULL: .cache/attune/tune.db
	                       in  the home directory that the user database names; "": none */
	int threads;        /* that a call may use, the caller's included; 0: all usable cores */
	const char *isa;    /* "avx512bf16" (with dot products of bf16 and int8), "avx512", "avx2", "scalar", and "neon" for
	                       64-bit ARM, to emit and build only; NULL: the best this machine allows */
	const char *target; /* "clang", "tcc"; "cuda", "cuda-emulated" for kernels of a device; NULL: the best
	                       for this processor that is installed */
	const char *arch;   /* of a device target: "sm_90"; NULL: that of the device at hand, "sm_80" where there
	                       is none */
	struct pthreadpool
	        *pool; /* lent for the life of the context, overrides `threads`; NULL: one of its own */
};

enum attune_status attune_context_new(const struct attune_options *, struct attune_context **,
                                      struct attune_error *);
void attune_context_free(struct attune_context *);

/* ---- program ---- */

struct attune_program;

/* A param or an extent by name. */
struct attune_binding {
	const char *name;
	double value;
};

/* An argument's type, by name and by the language's spelling, "bf16". */
struct attune_type {
	const char *name, *type;
};

struct attune_source {
	const char *text;
	size_t size;                         /* 0: text ends in a NUL */
	const char *name;                    /* of the file, for diagnostics; NULL: "program" */
	const struct attune_binding *params; /* override the defaults of the text */
	int nparams;
	const struct attune_type *types; /* declare arguments of other types than the text does */
	int ntypes;
};

/* Parses and analyses. On ATTUNE_PROGRAM too *program is set, to an object that has diagnostics and nothing
 * else, to be freed as usual; error.message is then the first of them. */
enum attune_status attune_program_new(struct attune_context *, const struct attune_source *,
                                      struct attune_program **, struct attune_error *);
void attune_program_free(struct attune_program *);

enum attune_severity { ATTUNE_ERROR, ATTUNE_WARNING, ATTUNE_NOTE };

struct attune_diagnostic {
	enum attune_severity severity;
	const char *file;
	int line, column;  /* from 1; 0: no place */
	size_t begin, end; /* bytes of the text, half open */
	const char *message;
	const char *help; /* the likely mend, or NULL */
	const char *text; /* all of it as lines for a terminal: place, message, source line, caret, help */
};

/* All diagnostics, errors and warnings, in the order found. */
const struct attune_diagnostic *attune_program_diagnostics(const struct attune_program *, int *count);

struct attune_rank {
	const char *name;
	int64_t extent; /* -1: not bound */
};

enum attune_role { ATTUNE_IN, ATTUNE_OUT };

/* An argument of the kernel. */
struct attune_tensor {
	const char *name;
	enum attune_role role;
	const char *type; /* "bf16" */
	DLDataType dtype;
	int ndim;
	const int64_t *shape; /* -1 where a rank is not bound yet */
	const char *declared; /* "K[B, H / 4, M, D]" */
};

/* "" until the program has a name of its own. */
const char *attune_program_name(const struct attune_program *);
/* SHA-256 of the canonical cascade: what identifies the kernel whatever its shape. */
const char *attune_program_digest(const struct attune_program *);
const struct attune_rank *attune_program_ranks(const struct attune_program *, int *count);
/* Arguments in the order of declaration: the order attune_call takes them in. */
const struct attune_tensor *attune_program_tensors(const struct attune_program *, int *count);

/* Gives ranks their extents. ATTUNE_USAGE, naming the rank, for one the program does not have, one bound to
 * another extent already, or a value that is no whole number from 0 to 2^31 - 1. */
enum attune_status attune_program_bind(struct attune_program *, const struct attune_binding *, int count,
                                       struct attune_error *);
/* The same from the shapes of arguments, in the order of declaration; NULL for one that is not at hand. On
 * disagreement the message names both tensors, or the tensor and the rank. Checks rank counts and types. */
enum attune_status attune_program_infer(struct attune_program *, const DLTensor *const *tensors, int count,
                                        struct attune_error *);

/* ---- what the compiler did ---- */

struct attune_explain_options {
	const char *schedule; /* text: of the kernels that are told of; NULL: the cached winner or the default */
	/* What predicates read, by argument as for attune_call; NULL for one that is not at hand. NULL, 0: none is. */
	const DLTensor *const *tensors;
	int count;
	/* Values of others, one to a line in the language itself, "doc[m] = m / 512"; NULL: none. What is missing still is
	 * generated, and the text says so. */
	const char *fill;
	bool maps; /* draw the tiles of every stream with a predicate, also where that takes many lines */
	bool utf8; /* the text may hold other characters than ASCII */
	char **svg; /* gets the maps as a picture of their own, to be given back to attune_free; NULL: not wanted */
	/* How much of the maps is done, often; may be NULL. */
	void (*progress)(void *user, double share);
	void *user;
};
/* The canonical cascade, passes as written and after each rewrite, rewrites with reasons, what is fused, where
 * predicates lead the walks; and, once all ranks are bound, flops, bytes, intensity, the roofline bound of this
 * machine, and what the predicates leave out of the work against what they could. NULL options are all zeroes. */
enum attune_status attune_explain(struct attune_program *, const struct attune_explain_options *, enum attune_format,
                                  char **text, struct attune_error *);

enum attune_stage {
	ATTUNE_STAGE_CASCADE,
	ATTUNE_STAGE_STREAMS,
	ATTUNE_STAGE_SCHEDULE,
	ATTUNE_STAGE_TILE,
	ATTUNE_STAGE_C,
};

/* Any stage as text that parses back. From SCHEDULE on all ranks must be bound. `schedule`: text as printed
 * by this function, NULL for the cached winner or the default. An illegal one, or one for another instruction set
 * than the context was told, is ATTUNE_USAGE with the reason. */
enum attune_status attune_emit(struct attune_program *, enum attune_stage, const char *schedule, char **text,
                               struct attune_error *);

/* The definition: runs the cascade in float64, straight loops. Tensors as for attune_call, except that an
 * output may also be float64 to receive the values unrounded. */
enum attune_status attune_oracle(struct attune_program *, const DLTensor *const *tensors, int count,
                                 struct attune_error *);

/* Copies a tensor into one of the same shape and any type: rounds to nearest even and saturates. */
enum attune_status attune_convert(const DLTensor *from, const DLTensor *to, struct attune_error *);

/* ---- compiled kernels ---- */

struct attune_kernel;

struct attune_compile_options {
	const char *schedule; /* text; NULL: the cache's winner for this machine and shape, else its schedule
	                         for the nearest shape, else the default of the machine model */
	bool wait;  /* return only when the final code is ready: never answer with the quick scalar form */
	bool naive; /* every equation a kernel of its own, for comparison; `schedule` must be NULL */
};

/* For the shape the program is bound to. The kernel keeps nothing of the program. */
enum attune_status attune_compile(struct attune_program *, const struct attune_compile_options *,
                                  struct attune_kernel **, struct attune_error *);
void attune_kernel_free(struct attune_kernel *);

/* Runs the kernel and returns when it is done. `tensors`: all arguments in the order of declaration, of the
 * types and extents compiled for; outputs are written in full and must overlap neither inputs nor each other
 * (that is the caller's to ensure: it is not checked). `workspace`: attune_kernel_workspace bytes, aligned to
 * 64, not shared with a concurrent call; NULL: kept inside the kernel, where only the first call, or one more
 * at a time than ever before, allocates. */
enum attune_status attune_call(struct attune_kernel *, const DLTensor *const *tensors, int count,
                               void *workspace, struct attune_error *);
/* The same in a workspace of the caller's (not NULL), with a claim: arguments whose bits are set in `unchanged` (bit i: the
 * i-th) hold what they held at the last call with this kernel and workspace, whichever of the three functions that
 * was. What a kernel prepares from such arguments alone, block lists of a mask or packed keys, is then not made again.
 * Nothing else makes a result stale: without a claim all is made anew, and a claim is disregarded at the first call in a
 * workspace, after a call of another kernel there, for a tensor that lies elsewhere than before, while the code that
 * answers has just changed, and by a kernel for a device. A workspace keeps what was prepared until its bytes are
 * written by others; two that are used by turns are two states, and calls with workspaces of their own may run at the
 * same time. */
enum attune_status attune_call_unchanged(struct attune_kernel *, const DLTensor *const *tensors, int count,
                                         void *workspace, uint64_t unchanged, struct attune_error *);
/* attune_call on a stream of the device's driver (CUstream, cudaStream_t; NULL: the default one). Tensors of the
 * host are copied in and out, through device memory that the kernel keeps, and the call returns when it is
 * done. Tensors on the device, all of them, are used where they lie; the call begins the kernel and returns,
 * what it did wrong shows when the stream is waited for, and `workspace`, of device memory aligned to 256, is
 * the kernel's own till then. Such a tensor must be what the kernel's text assumes (attune_kernel_argument). */
enum attune_status attune_call_on(struct attune_kernel *, const DLTensor *const *tensors, int count,
                                  void *workspace, void *stream, struct attune_error *);
/* What a tensor on the device must be: `align` bytes divide its address and every stride but the last rank's;
 * `unit`: the last rank's elements lie one after the other. */
void attune_kernel_argument(const struct attune_kernel *, int argument, int *align, bool *unit);
/* What a caller's own workspace must hold, whichever code answers; waits for the final code. Of a kernel for a
 * device: memory there; with tensors of the host it is not used. */
size_t attune_kernel_workspace(struct attune_kernel *);

struct attune_kernel_info {
	const char *source;   /* what answered: "exact" (tuned for this very shape), "nearest", "arch",
	                         "default",   "given", "naive" */
	const char *schedule; /* text */
	const char *digest;   /* SHA-256 of the generated source, launch geometry included */
	const char *isa, *target;
	bool ready; /* false while the quick scalar form answers and the final code is being compiled */
	double compile_seconds; /* from the call of attune_compile to the first code that could answer */
};
void attune_kernel_describe(const struct attune_kernel *, struct attune_kernel_info *);
/* Waits until the final code is in place. ATTUNE_SYSTEM with the compiler's words if it could not be made:
 * the quick form then keeps answering. */
enum attune_status attune_kernel_wait(struct attune_kernel *, struct attune_error *);

/* ---- tuning ---- */

struct attune_progress {
	const char *activity;   /* "reference", "measuring" or "modelling", "racing", "publishing" */
	double elapsed, budget; /* seconds */
	int evaluated, reused,
	        rejected;     /* candidates measured now; taken from earlier runs; failed, of both */
	double best, control; /* seconds of a run: best so far, default schedule; 0: not known yet */
	double ratio;         /* control by best, as measured interleaved */
};

struct attune_tune_options {
	double seconds;       /* budget; 0: 60 */
	int evaluations;      /* most candidates; 0: no limit but the budget */
	uint64_t seed;        /* 0: 1 */
	const char *strategy; /* "genetic", "random", "exhaustive"; NULL: the best that is built in */
	/* Both from the calling thread; either may be NULL. A recorded line is one of the landscape that
	 * attune_replay reads. */
	void (*progress)(void *user, const struct attune_progress *);
	void (*record)(void *user, const char *line);
	void *user;
	/* When it becomes nonzero, in a signal handler or another thread, the best so far is kept and returned;
	 * NULL: never. */
	const volatile sig_atomic_t *cancel;
};

/* Why candidates were rejected. */
struct attune_rejection {
	const char *reason; /* "compile_error", "wrong", "crash", "timeout", … */
	int count;
	const char *example; /* of the first one, or NULL */
};

struct attune_tune_result {
	double best, control; /* seconds of a run of winner and default, interleaved; or by the model */
	bool modelled;        /* nothing was timed */
	double ratio;         /* control by best; 1 when nothing beat the default */
	double peak;  /* share of the threads' peak in what it multiplies, probed in the same run; 0: not known */
	double flops; /* of one run: useful multiply-adds counted twice */
	double error; /* largest normalised error of the winner against the oracle */
	double noise; /* how far two series of the default differed, as a share */
	int evaluated, reused;
	bool complete;        /* false when a limit or a cancel ended the search */
	bool kept;            /* trials, winner and code are in the cache */
	const char *note;     /* what a person should know besides, or NULL */
	const char *schedule; /* of the winner, as text */
	struct attune_rejection rejection[8];
	int rejections;
	void *memory; /* holds the strings; attune_tune_result_free gives it back */
};

/* Searches schedules for the bound shape on this machine, verifies every candidate, keeps all trials and the
 * winner in the context's cache. A run that was stopped resumes when called again. Candidates run in forked
 * children: while this runs no other thread of the process may compile, be it in attune_compile or for a
 * kernel that is not ready yet. Of a device target where no device is at hand, or an emulated one, nothing is
 * timed: candidates are judged by the compile log and a static model, the winner is proved by the emulator, and
 * the result says so. On a device at hand it comes before the first kernel that this process runs there: the
 * driver does not survive a fork. */
enum attune_status attune_tune(struct attune_program *, const struct attune_tune_options *,
                               struct attune_tune_result *, struct attune_error *);
void attune_tune_result_free(struct attune_tune_result *);

/* Strategies judged on a recorded landscape, without touching a clock. `text`: JSON lines as attune_tune
 * records them. fraction[i]: the optimum by the best that was found after i + 1 evaluations; 0 while all were
 * rejected. */
struct attune_replay_options {
	const char *strategy; /* NULL: the best that is built in */
	uint64_t seed;        /* 0: 1 */
	int first;            /* stratified points before the strategy proposes; 0: 16 */
};
enum attune_status attune_replay(const char *text, size_t size, const struct attune_replay_options *,
                                 int evaluations, double *fraction, struct attune_error *);
/* The names of the strategies that are built in, the default first; NULL past the last. */
const char *attune_strategy(int i);

struct attune_bench_options {
	int rounds; /* interleaved; 0: 11 */
};
struct attune_bench_row {
	const char *name; /* "tuned", "default", "naive" */
	double seconds;   /* a run: the mean of the two lowest */
	double flops;     /* useful multiply-adds counted twice, by seconds */
	double peak;      /* share of the threads' peak, probed between the rounds; on a device of what its
	                     tensor cores are said to do in bf16 */
};
struct attune_bench_result {
	struct attune_bench_row row[3];
	int rows;          /* "tuned" is absent where nothing is cached */
	int threads;       /* 0: on a device, timed by its clock, tensors there */
	const char *bound; /* what decides at the least: "multiply-adds", "exponentials", "memory"; NULL: not known */
	double bound_seconds; /* that useful work takes at the least, by the limits that attune_device tells */
	double peak_flops; /* of one thread, in the fastest type that one of them multiplies, or of the device */
};
enum attune_status attune_bench(struct attune_program *, const struct attune_bench_options *,
                                struct attune_bench_result *, struct attune_error *);

/* ---- ahead of time ---- */

struct attune_build_options {
	const char *directory; /* made when missing; its parent must exist */
	const char *name;      /* of files and function; NULL: the program's */
	const char *schedule;  /* as for attune_compile */
	const char *isas;      /* "avx512,avx2,scalar": a kernel for each; NULL: for the context's ISA where one was asked
	                          for, else for the best here and, where that is more, avx2 and scalar */
};

/* Writes NAME.c, NAME.h, NAME.o, libNAME.a, NAME.pc and manifest.json: the kernel for the bound shape as
 * plain C that needs neither attune nor a header of the system, compiled by clang. Of several ISAs, or of one that not
 * every processor has, each kernel is NAME_ISA.c and NAME_ISA.o, and NAME.c takes the best that the processor runs
 * when it is first called; where it runs none, calls return -1.
 * Of a device target: NAME.cu, NAME.h, NAME.ARCH.cubin and manifest.json; NAME.cu is the whole text, NAME.h
 * tells how to launch the phases. Existing files of these names are replaced, each at once. `manifest`: its
 * JSON text for the caller, or NULL. */
enum attune_status attune_build(struct attune_program *, const struct attune_build_options *, char **manifest,
                                struct attune_error *);

/* ---- packs for a machine with a device ---- */

/* A pack is a folder of compiled kernels with all that is needed to try them on a machine where nothing can be
 * compiled: made here, checked there (docs/gpu.md). */
struct attune_gpu_pack_options {
	const char *plan;      /* what it is to hold, a file such as perf/gpu/plan.json */
	const char *directory; /* made when missing; its parent must exist */
	const char *target;    /* NULL: "cuda" */
	const char *archs;     /* "90,80", of "cuda"; NULL: these two, of "cuda-emulated" "80" */
	int threads;           /* cases compiled at a time; 0: all usable cores */
	bool quick;            /* leave out the emulator, which else runs what is small */
	void (*progress)(void *user, const char *line); /* a case that is done; may be NULL */
	void *user;
};
struct attune_gpu_pack_result {
	int cases, kernels;
	int rejected; /* by the assembler's log: registers, spills */
	int emulated, wrong;
	int failed; /* default schedules whose kernel must not be used */
	double bytes; /* of all objects */
};
/* ATTUNE_SYSTEM when there is no compiler for the target. */
enum attune_status attune_gpu_pack(const struct attune_gpu_pack_options *, struct attune_gpu_pack_result *,
                                   struct attune_error *);

struct attune_check_gpu_options {
	const char *directory; /* of the pack */
	const char *target;    /* NULL: the pack's */
	double seconds;        /* budget; 0: no limit */
	const char *peers;     /* a command that times other people's kernels (scripts/peers_gpu.py); NULL: none */
	/* Both may be NULL. A line of JSON for each kernel timed, as soon as it is. */
	void (*progress)(void *user, const char *line);
	void (*record)(void *user, const char *line);
	void *user;
};
/* Tries a pack on the device: primitives, correctness, speed, candidates. `report`, to be given back to attune_free:
 * what was found, as a table or JSON. `good`: nothing was wrong. ATTUNE_USAGE when the pack is missing, damaged or for
 * something else; ATTUNE_SYSTEM when there is no device. Kernels run in forked children of the calling process, which
 * must not have used the device. */
enum attune_status attune_check_gpu(const struct attune_check_gpu_options *, enum attune_format, char **report,
                                    bool *good, struct attune_error *);

/* ---- cache and device ---- */

struct attune_cache_entry {
	const char *kernel, *digest; /* its name, and the digest of its canonical cascade */
	const char *shape;           /* "B=1 H=8 …" */
	const char *isa, *toolchain;
	const char *schedule; /* text */
	const char *when;     /* UTC, ISO 8601 */
	int threads, trials;
	double seconds, ratio, error; /* of the winner: a run; the default's by it; against the oracle */
	bool complete;
};
/* Calls `each` for every winner whose kernel name or digest begins with `prefix` (NULL: all). */
enum attune_status attune_cache_list(struct attune_context *, const char *prefix,
                                     void (*each)(void *user, const struct attune_cache_entry *), void *user,
                                     struct attune_error *);
/* Verifies the file and every stored artifact; what does not check is put in quarantine. */
struct attune_cache_report {
	int winners, trials, artifacts, quarantined;
	bool sound;        /* SQLite's checks pass and every winner has its trial */
	char finding[200]; /* the first thing that was wrong, else "" */
};
enum attune_status attune_cache_check(struct attune_context *, struct attune_cache_report *,
                                      struct attune_error *);
/* The file in use; NULL: none. */
const char *attune_cache_path(const struct attune_context *);
/* What a person should hear of the cache: a damaged file renamed aside, a disk that is full. Each is given
 * once; NULL: nothing new. The text lives until the next call on the context. */
const char *attune_cache_said(struct attune_context *);

struct attune_device_info {
	const char *model, *isa;
	const char *unused; /* what the processor has that no kernel uses: "amx-bf16, amx-int8"; "": nothing known */
	int cores;
	int64_t l1, l2, l3; /* bytes of data cache a core can use */
	double peak_flops;  /* f32 fused multiply-add of one core, flop/s */
	double bandwidth;   /* DRAM read of one core, bytes/s */
	const char *key;    /* what identifies this hardware in the cache */
	double clock;       /* cycles a second */
	struct {
		const char *isa;
		int lanes;             /* f32 of a vector */
		double f32, bf16, i8;  /* one core: products and sums of such operands, flop/s; 0: no instruction */
		double exps;           /* one core: exponentials a second; 0: not known */
	} rate[8];
	int rates;
	double read_l1, read_l2, read_l3; /* of one core, bytes/s */
	double read_all;                  /* DRAM read of all cores together, bytes/s */
	struct {
		const char *name, *missing; /* missing: NULL, or why the target does not work and the mend */
		const char *compiler; /* which one compiles, or NULL */
		const char *device;   /* what its kernels run on; NULL: this processor, or no_device says why none */
		const char *no_device;
	} target[8];
	int targets;
};
/* What was measured is kept in the cache; where it is not, it is measured, about half a second. The second measures in
 * any case: for when the first time the machine was busy. */
enum attune_status attune_device(struct attune_context *, struct attune_device_info *, struct attune_error *);
enum attune_status attune_device_measure(struct attune_context *, struct attune_device_info *, struct attune_error *);

#ifdef __cplusplus
}
#endif
#endif
