/* emulate_block.h: one launch while it is emulated; what the parts of the emulator share. Private to emulate*.c.
 *
 *   emulate.c         blocks, warps, lanes: who runs next, who waits for whom; findings
 *   emulate_fiber.c   stacks and the switch between them
 *   emulate_shared.c  shared memory and the races on it
 *   emulate_copy.c    asynchronous copies
 *   emulate_global.c  global memory
 *   emulate_matrix.c  ldmatrix and mma
 *   emulate_api.c     what a module calls
 *
 * Time. `now` counts everything that puts an order on accesses: each barrier and each warp_sync that was passed is
 * a tick. Two accesses are ordered if they are of one lane, if the later one's block has passed a barrier since the
 * earlier, or if they are of one warp that has passed a warp_sync since.
 *
 * Lanes hand over to each other without a scheduler between. A warp runs until all its lanes wait or are gone.
 */
#ifndef ATTUNE_TARGETS_EMULATE_BLOCK_H
#define ATTUNE_TARGETS_EMULATE_BLOCK_H

#include "targets/emulate.h"
#include "targets/emulate_fiber.h"

#include "codegen/prelude/cuda_emulated.h"

enum {
	WARP = 32,
	MAX_THREADS = 1024,
	SHARED_BASE = 1024, /* where dynamic shared memory begins: not 0, so that who forgets it is found */
	MAX_SHARED = 227 << 10,
	MANY_LANES = 1 << 15, /* in touch.thread: several lanes of its warp */
};

/* An access: when, by whom, from where. */
struct touch {
	uint32_t when;
	uint16_t thread, line;
};

/* The last write, the last read, and the last read by a warp that the last one is not of. */
struct cell {
	struct touch write, read, other;
};

/* Four bytes of shared memory. Accesses to all four are in `cell`; to fewer, in cells of the bytes, of which the
 * last was at `split`. */
struct word {
	struct cell cell;
	uint32_t split;
	uint16_t flight; /* 1 + the thread whose copy is to fill it; 0: none */
};

struct copy {
	const void *from;
	uint32_t to; /* offset in shared memory */
	uint32_t group;
	uint16_t line;
	uint8_t size, bytes;
	bool filled;
};

struct lane {
	struct fiber fiber;
	struct warp *warp;
	unsigned thread;
	uint32_t bit; /* of its warp */
	int line;     /* of the last primitive it called */
	char *deepest; /* its stack has been used to here */
	/* copies asked for and not waited for, in order */
	struct copy *copy;
	int first_copy, copies, copies_room;
	uint32_t group; /* that the next copy belongs to */
};

typedef void collective(struct lane *, const void *const argument[WARP]);

/* A lane of a warp is at a collective (waiting), at the barrier (barred), gone, or can run. */
struct warp {
	struct lane *lane;
	uint32_t waiting, barred, gone;
	const char *what; /* it waits at, when some do */
	int line;
	const void *argument[WARP];
	uint32_t since; /* when it passed the last warp_sync or barrier */
};

struct emulation {
	const struct emulate_launch *launch;
	enum emulate_order order;
	uint64_t random, steps, most_steps;
	long block;
	int warps;
	struct lane *lane, *self;
	struct warp *warp;
	struct fiber host;
	struct fiber_stacks stacks;
	int gone, barred; /* lanes */
	int barrier_line;
	uint32_t now, since; /* …, when the last barrier was passed */
	unsigned char *shared;
	struct word *word;
	struct cell *byte;
	int hint; /* memory that was reached last */
	uint32_t **written; /* of each memory that was stored to, a byte: 1 + block · threads + thread; 0: nobody */
	struct emulate_counts counts;
	bool failed;
	char finding[2048];
};

/* The launch that the calling thread emulates. */
extern _Thread_local struct emulation *emulation;

/* ---- emulate.c ---- */

/* Ends the launch with a finding about this lane, where it stands. Runs on, or off, the lane's stack. */
__attribute__((format(printf, 2, 3), noreturn)) void emulate_fail(const struct lane *, const char *format, ...);
struct who {
	char s[32];
};
struct who emulate_who(unsigned thread); /* "warp 3, lane 5"; of a touch's thread */
/* Waits for the other lanes of the warp; the last one does `act` for all. */
void emulate_meet(const char *what, const void *argument, collective *act);
uint32_t emulate_random(uint32_t below);

/* ---- emulate_shared.c ---- */

bool emulate_shared_new(struct emulation *);
void emulate_shared_free(struct emulation *);
void emulate_shared_begin(struct emulation *); /* a block */
/* Offset of `size` bytes at an address, in bounds and aligned; `what` is the primitive. */
uint32_t emulate_shared_at(const struct lane *, const char *what, unsigned address, unsigned size, unsigned align);
/* Notes an access of whole words by `who` (a thread, or MANY_LANES with one) for the lane; fails on a race. */
void emulate_read_words(const struct lane *, unsigned who, uint32_t offset, unsigned words);
void emulate_write_words(const struct lane *, unsigned who, uint32_t offset, unsigned words);

/* ---- emulate_copy.c ---- */

/* In EMULATE_RANDOM, some of what is asked for arrives. */
void emulate_copies_drift(struct lane *);
/* The lane leaves, or its block begins. */
void emulate_copies_end(struct lane *);

/* ---- emulate_global.c ---- */

bool emulate_global_new(struct emulation *);
void emulate_global_free(struct emulation *);
/* Fails unless `size` bytes at p are in one of the launch's memories, aligned, and not another block's to write. */
void emulate_global_read(const struct lane *, const void *p, unsigned size, unsigned align);

#define PRIMITIVE(result, name, parameters, arguments) result emulate_##name parameters;
#include "codegen/primitives.h"
#undef PRIMITIVE

#endif
