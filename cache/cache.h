/* cache.h: what tuning found, kept in one SQLite file a user.
 *
 * Nothing that happens to the file is an error of the caller's: a cache that cannot be opened, written or
 * read answers CACHE_MISS, drops what it is given and says why once (cache_said). Whatever
 * cache_put_trials returned CACHE_OK for survives the death of the process at any later moment.
 *
 * Threads and processes. A struct cache is used by one thread at a time; any number of processes may have the
 * file open. A forked child must touch no cache of its parent's, not even to close it.
 *
 * Why a stale winner cannot match: everything that decides what a kernel is or how fast it runs is in the
 * key, and `source`, the digest of the generated text with its launch geometry and flags, is derived again
 * by whoever uses a winner; a different digest is a miss.
 */
#ifndef ATTUNE_CACHE_CACHE_H
#define ATTUNE_CACHE_CACHE_H

#include <stdbool.h>

#include "base/arena.h"

struct cache;

enum cache_result {
	CACHE_OK,
	CACHE_MISS,     /* not there, or the cache is off */
	CACHE_REFUSED,  /* a winner without a verified trial, or worse than the one that is kept */
	CACHE_READONLY, /* the file or its folder is not writable */
	CACHE_FULL,     /* no room on the disk */
	CACHE_BUSY,     /* another process held the gate too long */
	CACHE_BROKEN,   /* the file was damaged: it is renamed aside and a new one is in its place */
	CACHE_RESULTS
};
extern const char *const cache_result_text[CACHE_RESULTS];

/* What this cache can do now. */
enum cache_state { CACHE_WRITABLE, CACHE_READABLE, CACHE_OFF };

/* Opens the file, made when missing, in a folder that is made 0700 when missing. NULL and "" give a cache
 * that is off. NULL only when memory runs out. */
struct cache *cache_open(const char *path);
void cache_close(struct cache *);
enum cache_state cache_state(const struct cache *);
/* What a person should hear: a damaged file renamed aside, a file of a newer version that is left alone, a
 * full disk. Each is given once; NULL: nothing new. The text lives until the next call on this cache. */
const char *cache_said(struct cache *);
/* As given to cache_open; NULL when off from the start. */
const char *cache_path(const struct cache *);

/* ---- keys ---- */

/* Where a measurement holds. */
struct cache_env {
	const char *hardware; /* machine_key */
	const char *arch;     /* machines of one arch can try each other's schedules */
	const char *isa;
	const char *facts;     /* JSON about the machine; no part of the key */
	const char *codegen;   /* codegen_digest() */
	const char *toolchain; /* the target, its version and resolved flags */
	int threads;
	const char *policy; /* how it was timed */
};

/* What was tuned. */
enum { CACHE_RANKS = 32 };
struct cache_problem {
	const char *workload; /* SHA-256 of the canonical cascade, params folded in, extents left out */
	const char *name;     /* for people; no part of the key */
	const char *contract; /* the arguments in order: name, type, role */
	int nranks;           /* at most CACHE_RANKS */
	const char *rank[CACHE_RANKS];
	int64_t extent[CACHE_RANKS];
};

struct cache_key {
	struct cache_env env;
	struct cache_problem problem;
};

/* ---- machines ---- */

/* Keeps e->facts of the machine that e->hardware, arch and isa name, in place of what was kept; the other fields are
 * not read. */
enum cache_result cache_put_facts(struct cache *, const struct cache_env *e);
/* Those of e->hardware and isa, in the arena; NULL: there are none. */
const char *cache_find_facts(struct cache *, struct arena *, const struct cache_env *e);

/* ---- trials ---- */

/* TRIAL_STATUS(ENUM, spelling): what became of a candidate. */
#define TRIAL_STATUS_TABLE(TRIAL_STATUS)                                                                     \
	TRIAL_STATUS(OK, "ok")                                                                               \
	TRIAL_STATUS(COMPILE_ERROR, "compile_error")                                                         \
	TRIAL_STATUS(TIMEOUT, "timeout")                                                                     \
	TRIAL_STATUS(CRASH, "crash")                                                                         \
	TRIAL_STATUS(WRONG, "wrong")                                                                         \
	TRIAL_STATUS(PRUNED, "pruned")
enum trial_status {
#define TRIAL_STATUS(name, spelling) TRIAL_##name,
	TRIAL_STATUS_TABLE(TRIAL_STATUS)
#undef TRIAL_STATUS
	        TRIAL_STATUSES
};
extern const char *const trial_status_name[TRIAL_STATUSES];

struct cache_trial {
	const char *schedule; /* text */
	const char *source;   /* digest of the generated text, launch geometry and flags */
	enum trial_status status;
	const char *reason; /* why it is not OK, NULL when it is */
	int rung;           /* how far it was measured: 0 right, 1 three repetitions, 2 interleaved rounds */
	bool verified;
	int runs;
	double seconds; /* the lower envelope: mean of the two lowest; what is ranked on */
	double least, quartile, median, deviation; /* seconds; deviation: median absolute */
	int64_t switches;                          /* involuntary context switches */
	double ratio, ratio_low, ratio_high; /* seconds of the control by seconds of this; its interval */
	double error;                        /* the largest normalised error seen */
};

/* Stores a finished batch in one transaction: all of it is durable when this returns CACHE_OK. A trial that
 * is there already is replaced only by one that was measured as far or further. `session` may be 0. */
enum cache_result cache_put_trials(struct cache *, const struct cache_key *, int64_t session,
                                   const struct cache_trial *, int n);
/* The stored trial of that source under this very key. */
enum cache_result cache_find_trial(struct cache *, struct arena *, const struct cache_key *,
                                   const char *source, struct cache_trial *);
/* Every stored trial under the key, oldest first: what a search that starts again need not measure. The
 * strings live during the call of `each`, which must not use the cache. */
enum cache_result cache_each_trial(struct cache *, const struct cache_key *,
                                   void (*each)(void *, const struct cache_trial *), void *owner);

/* ---- winners ---- */

/* Makes the stored, verified trial of `source` the winner of its key; of a better one only when `replace`,
 * which says that the one there was measured again and lost. Code kept for other sources of the key goes. */
enum cache_result cache_put_winner(struct cache *, const struct cache_key *, const char *source,
                                   bool complete, bool replace);

/* The rung of the ladder that answered. */
enum cache_rung { CACHE_EXACT, CACHE_NEAREST, CACHE_ARCH, CACHE_DEFAULT, CACHE_RUNGS };
extern const char *const cache_rung_name[CACHE_RUNGS]; /* "exact", "nearest", "arch", "default" */

struct cache_found {
	enum cache_rung rung;
	const char *schedule;
	const char *source; /* for CACHE_EXACT: what must come out when the schedule is rendered again */
	const char *shape;  /* "B=1 H=8" of the problem it was tuned for */
	double seconds, ratio, error;
	bool complete;
};
/* The ladder for a key, best first: the exact winner; winners of the same environment for other shapes, the
 * nearest first; winners on machines of the same arch. At most `max`; returns how many. The caller takes the
 * first whose schedule is legal for its own problem, else the default. */
int cache_lookup(struct cache *, struct arena *, const struct cache_key *, struct cache_found *, int max);

/* ---- artifacts ---- */

/* Keeps the object made from `source`. */
enum cache_result cache_put_artifact(struct cache *, const struct cache_key *, const char *source,
                                     const void *bytes, size_t size);
/* The object, malloc'ed for the caller. It is given only after its SHA-256 and the record inside it, which
 * names the ABI, key and source it is for, were checked; one that fails is put in quarantine and missed. */
enum cache_result cache_get_artifact(struct cache *, const struct cache_key *, const char *source,
                                     void **bytes, size_t *size);

/* ---- sessions ---- */

enum cache_session_state { SESSION_RUNNING, SESSION_COMPLETE, SESSION_STOPPED, SESSION_STATES };
/* Notes that a search began; its id, or 0 when it could not be noted. */
int64_t cache_session_begin(struct cache *, const struct cache_key *, uint64_t seed, const char *strategy,
                            double budget);
void cache_session_note(struct cache *, int64_t session, enum cache_session_state, int evaluations);

/* ---- for people ---- */

struct cache_entry {
	const char *name, *workload, *shape, *isa, *toolchain, *schedule, *when; /* when: UTC, ISO 8601 */
	int threads, trials, generation;
	double seconds, ratio, error;
	bool complete;
};
/* Every winner whose name or workload begins with `prefix` (NULL: all), by name and shape. The strings live
 * during the call of `each`. */
enum cache_result cache_list(struct cache *, const char *prefix,
                             void (*each)(void *, const struct cache_entry *), void *owner);

struct cache_report {
	int winners, trials, artifacts, quarantined;
	bool sound;          /* SQLite's integrity and foreign key checks pass, every winner has its trial */
	const char *finding; /* in the arena: the first thing that was wrong, else NULL */
};
/* Reads everything. Artifacts that do not check are put in quarantine. */
enum cache_result cache_check(struct cache *, struct arena *, struct cache_report *);

#endif
