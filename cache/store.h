/* store.h: the SQLite file behind a cache, for the files of this folder.
 *
 * Writing goes store_begin, statements, store_end. One writer at a time holds the gate, an flock on
 * FILE.lock, and a transaction that was begun IMMEDIATE, so it never fails half way for another's sake.
 */
#ifndef ATTUNE_CACHE_STORE_H
#define ATTUNE_CACHE_STORE_H

#include <sqlite3.h>
#include <sys/stat.h>

#include "cache/cache.h"

struct cache {
	char *path;
	sqlite3 *db; /* NULL when off */
	enum cache_state state;
	struct stat file;         /* what `db` has open */
	char *said, *saying;      /* not given yet; last given */
	bool told[CACHE_RESULTS]; /* each kind of trouble is said once */
	int gate;                 /* held: the descriptor; else -1 */
	double patience;          /* seconds to wait for another writer */
};

/* One version of the schema to the next. steps[i] brings version i to i + 1; the first makes the file. */
struct store_step {
	const char *sql;
};
extern const struct store_step store_steps[];
enum { STORE_VERSION = 1, STORE_APPLICATION = 1635021941 /* "attu" */ };
/* Brings an open file of version `from` to `to`, a step at a time, each in its own transaction, after a copy
 * of it at PATH.vFROM when it holds anything. The gate must be held. An SQLite result code. */
int store_migrate(sqlite3 *, const char *path, int from, int to, const struct store_step *steps);

/* Adds a sentence for cache_said. */
void store_say(struct cache *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What an SQLite result code means to a caller. */
enum cache_result store_result(int code);
/* Notes trouble: says it once, and renames a damaged file aside. Returns what it is given. Not within
 * store_begin and store_end, which call it themselves. */
enum cache_result store_trouble(struct cache *, enum cache_result);

enum cache_result store_begin(struct cache *);
/* Commits when `so_far` is CACHE_OK, else rolls back; leaves the gate. What the whole transaction came to. */
enum cache_result store_end(struct cache *, enum cache_result so_far);

/* Prepares and binds: one letter a parameter, in order: t text (NULL: null), i int64_t, d double (NaN: null),
 * b a const void * and a size_t. NULL with the reason in *result. */
sqlite3_stmt *store_prepare(struct cache *, enum cache_result *result, const char *sql, const char *types,
                            ...);
/* Runs a statement that gives no rows, and finishes it; NULL is fine and leaves `so_far`. */
enum cache_result store_run(sqlite3_stmt *, enum cache_result so_far);
/* One step of a statement: is there a row? When not, why not is in *result, CACHE_OK at the end of the rows.
 */
bool store_row(sqlite3_stmt *, enum cache_result *result);

/* Column as arena text; NULL where null. */
const char *store_text(struct arena *, sqlite3_stmt *, int column);
double store_number(sqlite3_stmt *, int column); /* NaN where null */

/* Rows of a key. */
struct store_key {
	int64_t env, problem;
};
/* Finds them, makes them when `make`; CACHE_MISS when they are not there. */
enum cache_result store_key(struct cache *, const struct cache_key *, bool make, struct store_key *);
/* "B=1 H=8", in the arena. */
char *store_shape(struct arena *, const struct cache_problem *);

#endif
