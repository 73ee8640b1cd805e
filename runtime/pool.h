/* pool.h: threads for the tasks of a phase, over libpthreadpool.
 *
 * A pool belongs to the process that made it: after a fork the child makes its own. Calls from several
 * threads on one pool take turns.
 */
#ifndef ATTUNE_RUNTIME_POOL_H
#define ATTUNE_RUNTIME_POOL_H

#include "codegen/kernel.h"

struct pool;

/* threads < 1 counts as 1. NULL when threads cannot be made. Give it back with pool_free. */
struct pool *pool_new(int threads);
void pool_free(struct pool *);
int pool_threads(const struct pool *);

/* Runs tasks [0, tasks) of a phase and returns when all are done. Workers take tasks in ascending order as they become
 * free, so the heaviest belong first; where there are many, each begins with a part of them that follow one another, for
 * these read the same operands, and then takes others'. scratch: one a thread of the pool, each private to one
 * worker during the call. A NULL pool, a pool of one thread or a single task is a direct call. */
void pool_run(struct pool *, at_phase *, const struct at_args *, long tasks, void *const *scratch);

/* Parts that tasks are cut into, and the first task of the i-th. */
int pool_parts(long tasks, int threads);
long pool_part(long tasks, int parts, int i);

/* How many of the tasks that are left of a part a worker takes at a time: fewer as the end comes near. */
long pool_chunk(long left, int threads);

/* Binds each thread of the pool, the caller's included, to a processor of its own, where there are enough. A
 * process that was just forked needs that to be measured: the system leaves its new threads on the processor
 * of the first for some 50 ms. Not for a process that has other work: the binding stays. */
void pool_spread(struct pool *);

#endif
