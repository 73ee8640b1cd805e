/* peers.h: other people's kernels, timed by a program of theirs that answers over a pipe, one JSON object a
 * line:
 *
 *     {"id": 1, "prepare": CASE}              {"id": 1, "peers": ["sdpa cudnn", …], "notes": "…"}
 *     {"id": 2, "time": "sdpa cudnn", "runs": 3}   {"id": 2, "seconds": 0.0021}
 *     {"id": 3, "copy": BYTES}                {"id": 3, "bandwidth": 4.1e12}
 *     {"id": 4, "clocks": true}               {"id": 4, "clocks": "1980 MHz, …"}
 *
 * "seconds" is one of the runs; a CASE is as in a manifest, without kernels. An answer may have "error"
 * instead. scripts/peers_gpu.py is such a program. The process that starts it and children forked from that
 * may talk to it, one at a time; what is left of a conversation that was cut short is skipped by its id. */
#ifndef ATTUNE_GPU_PEERS_H
#define ATTUNE_GPU_PEERS_H

#include "gpu/pack.h"

enum { MAX_PEERS = 8 };

struct peers;

/* NULL with the reason when no process can be made. `command` is run by sh. */
struct peers *peers_start(const char *command, struct text *why);
void peers_stop(struct peers *);
/* How many names; -1 with the reason when there is no answer. */
int peers_prepare(struct peers *, const struct pack_case *, char name[MAX_PEERS][32], struct text *note);
/* Negative when it failed. */
double peers_time(struct peers *, const char *name, int runs);
double peers_copy(struct peers *, double bytes);
/* "" when nothing is known. */
void peers_clocks(struct peers *, char *clocks, size_t size);

#endif
