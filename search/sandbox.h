/* sandbox.h: running what may crash, hang, eat memory or write anywhere, and living to count it.
 *
 * The callback runs in a forked child with its own process group, limits on CPU time, memory and core files,
 * and a wall clock; what it writes to its result comes back through a shared page. The child dies with the
 * thread that forked it, so a tuner killed by SIGKILL leaves no orphans.
 *
 * Fork copies one thread and every lock as it is. Targets hold a fork back until none of their calls runs, so
 * other threads may compile; a child finds LLVM warm if the parent has it loaded. It makes its own thread
 * pool: threads are not copied.
 */
#ifndef ATTUNE_SEARCH_SANDBOX_H
#define ATTUNE_SEARCH_SANDBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sandbox_status {
	SANDBOX_OK,      /* the callback returned */
	SANDBOX_TIMEOUT, /* past the wall clock or the limit on CPU time; killed */
	SANDBOX_SIGNAL,  /* ended by a signal: `code` */
	SANDBOX_EXIT,    /* left by exit: `code` */
	SANDBOX_STOPPED, /* *stop became true; killed */
	SANDBOX_FAILED,  /* no child could be made: `code` is errno */
};

struct sandbox_limits {
	double seconds;          /* wall clock from the fork; 0: 10 */
	double cpu_seconds;      /* rounded up to whole seconds; 0: one more than `seconds` */
	int64_t memory;          /* address space beyond what the parent has, bytes; 0: no limit */
	bool quiet;              /* what the child prints goes to /dev/null */
	const atomic_bool *stop; /* NULL, or looked at ten times a second and on every signal */
};

struct sandbox_outcome {
	enum sandbox_status status;
	int code;
	double seconds; /* wall clock it took */
};

/* Runs callback(context, result) in a child. The child sees a copy of the `size` bytes at `result`; after it
 * has ended, for whatever reason, they hold what it had written there. `context` is the child's own copy. */
struct sandbox_outcome sandbox_run(void (*callback)(void *context, void *result), void *context, void *result,
                                   size_t size, const struct sandbox_limits *);

/* "ok", "timeout", "signal 11", "exit 3", … in `text`, which has room for 32 bytes and is returned. */
const char *sandbox_describe(struct sandbox_outcome, char text[32]);

/* A buffer of `size` bytes between pages that fault when touched. The bytes lie flush against one of the
 * guards, as far as `align` (a power of two, at most a page) allows; the slack this leaves holds a canary. */
enum guard_side { GUARD_AFTER, GUARD_BEFORE };
struct guarded {
	void *data;
	size_t size;
	void *map; /* the rest is private to sandbox.c */
	size_t map_size, inner_size;
};

/* Filled with poison. False when memory is short. Give it back with guarded_free. */
bool guarded_alloc(struct guarded *, size_t size, size_t align, enum guard_side);
/* Fills data with bytes 0xff: NaN in f64, f32, f16 and bf16, -1 in integers. */
void guarded_poison(struct guarded *);
/* False when the slack between data and the guards was written to. */
bool guarded_intact(const struct guarded *);
void guarded_free(struct guarded *);

#endif
