#include "cache/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

extern const char embed_cache_schema_sql[];

const struct store_step store_steps[] = {
        {embed_cache_schema_sql},
};

const char *const cache_result_text[CACHE_RESULTS] = {
        [CACHE_OK] = "kept",
        [CACHE_MISS] = "not in the cache",
        [CACHE_REFUSED] = "refused",
        [CACHE_READONLY] = "the cache is not writable",
        [CACHE_FULL] = "no room to write the cache",
        [CACHE_BUSY] = "another process held the cache too long",
        [CACHE_BROKEN] = "the cache file was damaged",
};

void store_say(struct cache *c, const char *format, ...)
{
	va_list ap;
	char *more = NULL, *all = NULL;
	va_start(ap, format);
	if (vasprintf(&more, format, ap) < 0)
		more = NULL;
	va_end(ap);
	if (more && c->said && asprintf(&all, "%s; %s", c->said, more) >= 0) {
		free(more);
		free(c->said);
		c->said = all;
	} else if (more) {
		free(c->said);
		c->said = more;
	}
}

const char *cache_said(struct cache *c)
{
	free(c->saying);
	c->saying = c->said;
	c->said = NULL;
	return c->saying;
}

enum cache_result store_result(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE: return CACHE_OK;
	case SQLITE_CONSTRAINT: return CACHE_REFUSED;
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH: return CACHE_READONLY;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return CACHE_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return CACHE_BROKEN;
	default: return CACHE_FULL; /* a write the system refused, or no memory for it */
	}
}

static void gate_leave(struct cache *c)
{
	if (c->gate >= 0)
		close(c->gate);
	c->gate = -1;
}

static enum cache_result gate_enter(struct cache *c)
{
	char name[PATH_MAX];
	if (snprintf(name, sizeof name, "%s.lock", c->path) >= (int)sizeof name)
		return CACHE_READONLY;
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == ENOSPC || errno == EDQUOT ? CACHE_FULL : CACHE_READONLY;
	double waited = 0, step = 0.001;
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EINTR && errno != EWOULDBLOCK) {
			close(fd);
			return CACHE_READONLY;
		}
		if (waited >= c->patience) {
			close(fd);
			return CACHE_BUSY;
		}
		nanosleep(&(struct timespec){.tv_nsec = (long)(step * 1e9)}, NULL);
		waited += step;
		step = fmin(step * 2, 0.05);
	}
	c->gate = fd;
	return CACHE_OK;
}

/* All folders of the path but the last are the user's own affair: only missing ones are made, for him alone.
 */
static void make_folders(const char *path)
{
	char name[PATH_MAX];
	if (strlen(path) >= sizeof name)
		return;
	strcpy(name, path);
	for (char *s = strchr(name + 1, '/'); s; s = strchr(s + 1, '/')) {
		*s = 0;
		mkdir(name, 0700);
		*s = '/';
	}
}

static int pragma(sqlite3 *db, const char *sql, int *value)
{
	sqlite3_stmt *s = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
	if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
		*value = sqlite3_column_int(s, 0);
		code = SQLITE_OK;
	}
	sqlite3_finalize(s);
	return code;
}

int store_migrate(sqlite3 *db, const char *path, int from, int to, const struct store_step *steps)
{
	int code = SQLITE_OK;
	if (from > 0 && from < to) {
		char *copy = sqlite3_mprintf("%s.v%d", path, from);
		char *sql = copy ? sqlite3_mprintf("VACUUM INTO %Q", copy) : NULL;
		if (!sql)
			code = SQLITE_NOMEM;
		else if (unlink(copy) && errno != ENOENT)
			code = SQLITE_READONLY;
		else
			code = sqlite3_exec(db, sql, NULL, NULL, NULL);
		sqlite3_free(sql);
		sqlite3_free(copy);
	}
	for (int v = from; v < to && code == SQLITE_OK; v++) {
		char *mark = sqlite3_mprintf("PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
		                             STORE_APPLICATION, v + 1);
		code = mark ? sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) : SQLITE_NOMEM;
		if (code == SQLITE_OK)
			code = sqlite3_exec(db, steps[v].sql, NULL, NULL, NULL);
		if (code == SQLITE_OK)
			code = sqlite3_exec(db, mark, NULL, NULL, NULL);
		if (code != SQLITE_OK)
			sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
		sqlite3_free(mark);
	}
	return code;
}

static void off(struct cache *c)
{
	sqlite3_close_v2(c->db);
	c->db = NULL;
	c->state = CACHE_OFF;
}

/* A file that is open by now: attune's, of which version? Makes the tables of a new one. */
static int settle(struct cache *c)
{
	int application = 0, version = 0, tables = 0, code;
	if ((code = pragma(c->db, "PRAGMA application_id", &application)) != SQLITE_OK ||
	    (code = pragma(c->db, "PRAGMA user_version", &version)) != SQLITE_OK ||
	    (code = pragma(c->db, "SELECT count(*) FROM sqlite_schema", &tables)) != SQLITE_OK)
		return code;
	if (application == STORE_APPLICATION && version == STORE_VERSION)
		return SQLITE_OK;
	if (application == STORE_APPLICATION && version > STORE_VERSION) {
		store_say(c,
		          "%s was written by a newer attune (version %d, this one knows %d): it is ignored",
		          c->path, version, STORE_VERSION);
		off(c);
		return SQLITE_OK;
	}
	if (application != STORE_APPLICATION && (application || version || tables)) {
		store_say(c, "%s is a database of something else: it is left alone and nothing is cached",
		          c->path);
		off(c);
		return SQLITE_OK;
	}
	if (c->gate < 0) {
		/* Another process may be making the same tables: look again with the gate held. */
		enum cache_result r = gate_enter(c);
		if (r != CACHE_OK)
			return r == CACHE_BUSY   ? SQLITE_BUSY
			       : r == CACHE_FULL ? SQLITE_FULL
			                         : SQLITE_READONLY;
		code = settle(c);
		gate_leave(c);
		return code;
	}
	return store_migrate(c->db, c->path, version, STORE_VERSION, store_steps);
}

static int open_file(struct cache *c)
{
	int code = sqlite3_open_v2(c->path, &c->db,
	                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (code != SQLITE_OK)
		return code;
	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_busy_timeout(c->db, (int)(c->patience * 1e3));
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	code = sqlite3_exec(c->db, "PRAGMA synchronous = NORMAL; PRAGMA mmap_size = 0", NULL, NULL, NULL);
	if (code != SQLITE_OK || (code = settle(c)) != SQLITE_OK)
		return code;
	if (!c->db)
		return SQLITE_OK;
	c->state = sqlite3_db_readonly(c->db, "main") == 1 ? CACHE_READABLE : CACHE_WRITABLE;
	if (c->state == CACHE_WRITABLE)
		code = sqlite3_exec(c->db, "PRAGMA journal_mode = TRUNCATE", NULL, NULL, NULL);
	return code != SQLITE_OK ? code : stat(c->path, &c->file) ? SQLITE_CANTOPEN : SQLITE_OK;
}

static void open_again(struct cache *c, bool rescue);

/* Renames a damaged file and its journal aside, unless another process has done so already. */
static void set_aside(struct cache *c, const struct stat *damaged)
{
	struct stat now;
	char aside[PATH_MAX], journal[PATH_MAX + 16], aside_journal[PATH_MAX + 16];
	off(c);
	if (gate_enter(c) != CACHE_OK) {
		store_say(c, "%s is damaged and cannot be replaced: nothing is cached", c->path);
		return;
	}
	int n = snprintf(aside, sizeof aside, "%s.damaged-%lld-%d", c->path, (long long)time(NULL),
	                 (int)getpid());
	if (n < (int)sizeof aside && !stat(c->path, &now) && now.st_ino == damaged->st_ino &&
	    now.st_dev == damaged->st_dev) {
		snprintf(journal, sizeof journal, "%s-journal", c->path);
		snprintf(aside_journal, sizeof aside_journal, "%s-journal", aside);
		rename(journal, aside_journal);
		if (!rename(c->path, aside))
			store_say(c, "%s was damaged: it is kept as %s and a new one was made", c->path,
			          aside);
	}
	gate_leave(c);
}

/* Has attune kept a cache here before? Else what cannot be read is a file of somebody else's, however it got on
 * the command line, and not ours to move. */
static bool was_ours(const struct cache *c)
{
	char name[PATH_MAX];
	return snprintf(name, sizeof name, "%s.lock", c->path) < (int)sizeof name && !access(name, F_OK);
}

static void open_again(struct cache *c, bool rescue)
{
	int code = open_file(c);
	if (code == SQLITE_OK)
		return;
	if (store_result(code) == CACHE_BROKEN && !was_ours(c)) {
		store_say(c, "%s is no tuning cache: it is left alone and nothing is cached", c->path);
		off(c);
		return;
	}
	if (store_result(code) == CACHE_BROKEN && rescue) {
		struct stat damaged;
		if (!stat(c->path, &damaged)) {
			set_aside(c, &damaged);
			open_again(c, false);
			return;
		}
	}
	store_say(c, "%s cannot be used (%s): nothing is cached", c->path, sqlite3_errstr(code));
	off(c);
}

struct cache *cache_open(const char *path)
{
	struct cache *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	*c = (struct cache){.state = CACHE_OFF, .gate = -1, .patience = 20};
	if (!path || !*path)
		return c;
	if (!(c->path = strdup(path))) {
		free(c);
		return NULL;
	}
	make_folders(path);
	open_again(c, true);
	return c;
}

void cache_close(struct cache *c)
{
	if (!c)
		return;
	off(c);
	gate_leave(c);
	free(c->said);
	free(c->saying);
	free(c->path);
	free(c);
}

enum cache_state cache_state(const struct cache *c)
{
	return c->state;
}

const char *cache_path(const struct cache *c)
{
	return c->path;
}

enum cache_result store_trouble(struct cache *c, enum cache_result r)
{
	if (r == CACHE_BROKEN && c->db) {
		struct stat damaged = c->file;
		set_aside(c, &damaged);
		open_again(c, false);
	} else if ((r == CACHE_FULL || r == CACHE_BUSY || r == CACHE_READONLY) && !c->told[r]) {
		c->told[r] = true;
		store_say(c, "%s: %s", c->path, cache_result_text[r]);
	}
	return r;
}

enum cache_result store_begin(struct cache *c)
{
	if (!c->db)
		return CACHE_MISS;
	if (c->state != CACHE_WRITABLE)
		return store_trouble(c, CACHE_READONLY);
	/* A reader that ran out of memory may have left its statement, which would hold the file. */
	for (sqlite3_stmt *left; (left = sqlite3_next_stmt(c->db, NULL));)
		sqlite3_finalize(left);
	/* A file that was moved or removed since is no longer the cache. */
	struct stat now;
	if (stat(c->path, &now) || now.st_ino != c->file.st_ino || now.st_dev != c->file.st_dev) {
		off(c);
		open_again(c, true);
		if (c->state != CACHE_WRITABLE)
			return CACHE_MISS;
	}
	enum cache_result r = gate_enter(c);
	if (r == CACHE_OK)
		r = store_result(sqlite3_exec(c->db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
	if (r != CACHE_OK)
		gate_leave(c);
	return r == CACHE_OK ? r : store_trouble(c, r);
}

enum cache_result store_end(struct cache *c, enum cache_result so_far)
{
	if (so_far == CACHE_OK)
		so_far = store_result(sqlite3_exec(c->db, "COMMIT", NULL, NULL, NULL));
	if (so_far != CACHE_OK)
		sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
	gate_leave(c);
	return store_trouble(c, so_far);
}

sqlite3_stmt *store_prepare(struct cache *c, enum cache_result *result, const char *sql, const char *types,
                            ...)
{
	sqlite3_stmt *s = NULL;
	int code = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);
	va_list ap;
	va_start(ap, types);
	for (int i = 1; *types && code == SQLITE_OK; i++, types++) {
		if (*types == 't') {
			code = sqlite3_bind_text(s, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
		} else if (*types == 'i') {
			code = sqlite3_bind_int64(s, i, va_arg(ap, int64_t));
		} else if (*types == 'd') {
			code = sqlite3_bind_double(s, i, va_arg(ap, double));
		} else {
			const void *bytes = va_arg(ap, const void *);
			code = sqlite3_bind_blob64(s, i, bytes, va_arg(ap, size_t), SQLITE_TRANSIENT);
		}
	}
	va_end(ap);
	*result = store_result(code);
	if (code == SQLITE_OK)
		return s;
	sqlite3_finalize(s);
	return NULL;
}

enum cache_result store_run(sqlite3_stmt *s, enum cache_result so_far)
{
	if (!s)
		return so_far;
	int code;
	while ((code = sqlite3_step(s)) == SQLITE_ROW)
		;
	sqlite3_finalize(s);
	return so_far == CACHE_OK ? store_result(code) : so_far;
}

bool store_row(sqlite3_stmt *s, enum cache_result *result)
{
	int code = s ? sqlite3_step(s) : SQLITE_OK;
	if (s)
		*result = store_result(code);
	return code == SQLITE_ROW;
}

const char *store_text(struct arena *a, sqlite3_stmt *s, int column)
{
	const char *t = (const char *)sqlite3_column_text(s, column);
	return t ? arena_strdup(a, t) : NULL;
}

double store_number(sqlite3_stmt *s, int column)
{
	return sqlite3_column_type(s, column) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(s, column);
}
