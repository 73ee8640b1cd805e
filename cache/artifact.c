/* artifact.c: compiled code, trusted only after it says itself what it is.
 *
 * The body is a record, one line of text with the version of this form and every field that decides what the
 * code is, and after its line feed the bytes. The stored SHA-256 is of the whole body. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/text.h"
#include "cache/store.h"

enum { ABI = 1 }; /* of at_phase and this record */

static struct text record(struct arena *a, const struct cache_key *key, const char *source)
{
	struct text t;
	text_init(&t, a);
	text_printf(&t, "attune object abi %d source %s workload %s shape %s isa %s codegen %s toolchain %s",
	            ABI, source, key->problem.workload, store_shape(a, &key->problem), key->env.isa,
	            key->env.codegen, key->env.toolchain);
	for (char *s = t.s; *s; s++) {
		if (*s == '\n')
			*s = ' ';
	}
	text_char(&t, '\n');
	return t;
}

enum cache_result cache_put_artifact(struct cache *c, const struct cache_key *key, const char *source,
                                     const void *bytes, size_t size)
{
	struct store_key k;
	struct arena a;
	jmp_buf env;
	enum cache_result r = store_begin(c);
	if (r != CACHE_OK)
		return r;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		struct text body = record(&a, key, source);
		text_bytes(&body, bytes, size);
		r = store_key(c, key, true, &k);
		if (r == CACHE_OK) {
			sqlite3_stmt *s = store_prepare(
			        c, &r,
			        "INSERT OR REPLACE INTO artifact (env, problem, source, kind, codec, sha256, "
			        "body, at) "
			        "VALUES (?, ?, ?, 'object', 'raw', ?, ?, unixepoch())",
			        "iittb", k.env, k.problem, source, digest_text(&a, body.s, body.len),
			        (const void *)body.s, body.len);
			r = store_run(s, r);
		}
	} else {
		r = CACHE_FULL;
	}
	arena_free(&a);
	return store_end(c, r);
}

/* Out of the way of every later reader; a cache that cannot be written just misses. */
static void quarantine(struct cache *c, int64_t env, int64_t problem, const char *source, const char *reason)
{
	enum cache_result r = store_begin(c);
	if (r != CACHE_OK)
		return;
	sqlite3_stmt *s = store_prepare(c, &r,
	                                "INSERT INTO quarantine (source, sha256, reason, body, at) "
	                                "SELECT source, sha256, ?4, body, unixepoch() FROM artifact "
	                                "WHERE env = ?1 AND problem = ?2 AND source = ?3",
	                                "iitt", env, problem, source, reason);
	if ((r = store_run(s, r)) == CACHE_OK) {
		s = store_prepare(c, &r, "DELETE FROM artifact WHERE env = ? AND problem = ? AND source = ?",
		                  "iit", env, problem, source);
		r = store_run(s, r);
	}
	store_end(c, r);
}

enum cache_result cache_get_artifact(struct cache *c, const struct cache_key *key, const char *source,
                                     void **bytes, size_t *size)
{
	struct store_key k;
	struct arena a;
	jmp_buf env;
	if (!c->db)
		return CACHE_MISS;
	enum cache_result r = store_key(c, key, false, &k);
	if (r != CACHE_OK)
		return store_trouble(c, r);
	sqlite3_stmt *s = store_prepare(
	        c, &r, "SELECT sha256, body FROM artifact WHERE env = ? AND problem = ? AND source = ?",
	        "iit", k.env, k.problem, source);
	if (!store_row(s, &r)) {
		sqlite3_finalize(s);
		return store_trouble(c, r == CACHE_OK ? CACHE_MISS : r);
	}
	const char *volatile wrong = NULL;
	volatile enum cache_result given = CACHE_MISS;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		const char *claimed = (const char *)sqlite3_column_text(s, 0);
		const char *body = sqlite3_column_blob(s, 1);
		size_t n = (size_t)sqlite3_column_bytes(s, 1);
		struct text head = record(&a, key, source);
		if (!claimed || !body || strcmp(claimed, digest_text(&a, body, n)))
			wrong = "its SHA-256 does not match";
		else if (n < head.len || memcmp(body, head.s, head.len))
			wrong = "its record is for something else";
		else if ((*bytes = malloc(n - head.len + 1))) {
			*size = n - head.len;
			memcpy(*bytes, body + head.len, *size);
			given = CACHE_OK;
		}
	}
	arena_free(&a);
	sqlite3_finalize(s);
	if (wrong)
		quarantine(c, k.env, k.problem, source, wrong);
	return given;
}

struct suspect {
	int64_t env, problem;
	const char *source;
};

/* Checks every stored body; returns how many rows there were. */
static enum cache_result check_artifacts(struct cache *c, struct arena *a, struct cache_report *report)
{
	VEC(struct suspect) bad = {0};
	enum cache_result r;
	sqlite3_stmt *s = store_prepare(c, &r, "SELECT env, problem, source, sha256, body FROM artifact", "");
	while (store_row(s, &r)) {
		const char *claimed = (const char *)sqlite3_column_text(s, 3);
		const char *body = sqlite3_column_blob(s, 4);
		size_t n = (size_t)sqlite3_column_bytes(s, 4);
		report->artifacts++;
		if (!claimed || strcmp(claimed, digest_text(a, body ? body : "", n)))
			vec_push(a, &bad,
			         (struct suspect){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1),
			                          store_text(a, s, 2)});
	}
	sqlite3_finalize(s);
	for (uint32_t i = 0; i < bad.n; i++)
		quarantine(c, bad.v[i].env, bad.v[i].problem, bad.v[i].source, "its SHA-256 does not match");
	report->artifacts -= (int)bad.n;
	if (bad.n && !report->finding)
		report->finding = arena_printf(a, "%u artifacts did not match their SHA-256", bad.n);
	return r;
}

static enum cache_result count(struct cache *c, const char *sql, int *n)
{
	enum cache_result r;
	sqlite3_stmt *s = store_prepare(c, &r, sql, "");
	if (store_row(s, &r))
		*n = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return r;
}

enum cache_result cache_check(struct cache *c, struct arena *a, struct cache_report *report)
{
	*report = (struct cache_report){.sound = true};
	if (!c->db)
		return CACHE_MISS;
	enum cache_result r, broken = CACHE_OK;
	int loose = 0;
	sqlite3_stmt *s = store_prepare(c, &r, "PRAGMA integrity_check(1)", "");
	if (store_row(s, &r) && strcmp((const char *)sqlite3_column_text(s, 0), "ok")) {
		report->finding = store_text(a, s, 0);
		broken = CACHE_BROKEN;
	}
	sqlite3_finalize(s);
	if (r == CACHE_OK)
		r = broken;
	if (r == CACHE_OK) {
		s = store_prepare(c, &r, "PRAGMA foreign_key_check", "");
		if (store_row(s, &r))
			report->finding = arena_printf(a, "a row of %s refers to nothing",
			                               (const char *)sqlite3_column_text(s, 0));
		sqlite3_finalize(s);
	}
	if (r == CACHE_OK)
		r = count(
		        c,
		        "SELECT count(*) FROM winner w LEFT JOIN trial t ON t.id = w.trial AND t.env = w.env "
		        "AND "
		        "t.problem = w.problem AND t.source = w.source AND t.verified = 1 WHERE t.id IS NULL",
		        &loose);
	if (loose)
		report->finding = arena_printf(a, "%d winners have no verified trial", loose);
	report->sound = r == CACHE_OK && !report->finding;
	if (r == CACHE_OK)
		r = check_artifacts(c, a, report);
	if (r == CACHE_OK)
		r = count(c, "SELECT count(*) FROM winner", &report->winners);
	if (r == CACHE_OK)
		r = count(c, "SELECT count(*) FROM trial", &report->trials);
	if (r == CACHE_OK)
		r = count(c, "SELECT count(*) FROM quarantine", &report->quarantined);
	if (r == CACHE_BROKEN && !report->finding)
		report->finding = cache_result_text[r];
	return store_trouble(c, r);
}

enum cache_result cache_list(struct cache *c, const char *prefix,
                             void (*each)(void *, const struct cache_entry *), void *owner)
{
	enum cache_result r;
	if (!c->db)
		return CACHE_MISS;
	sqlite3_stmt *s = store_prepare(
	        c, &r,
	        "SELECT name, workload, shape, isa, toolchain, schedule, strftime('%Y-%m-%dT%H:%M:%SZ', "
	        "winner.at, "
	        "'unixepoch'), threads, (SELECT count(*) FROM trial t WHERE t.env = winner.env AND t.problem "
	        "= "
	        "winner.problem), generation, seconds, quality, error, complete FROM winner JOIN trial ON "
	        "trial.id = "
	        "winner.trial JOIN config ON config.id = winner.config JOIN problem ON problem.id = "
	        "winner.problem "
	        "JOIN env ON env.id = winner.env JOIN device ON device.id = env.device WHERE substr(name, 1, "
	        "length(?1)) = ?1 OR substr(workload, 1, length(?1)) = ?1 ORDER BY name, shape, isa, threads",
	        "t", prefix ? prefix : "");
	while (store_row(s, &r)) {
		const char *text[7];
		for (int i = 0; i < 7; i++)
			text[i] = (const char *)sqlite3_column_text(s, i);
		each(owner, &(struct cache_entry){
		                    .name = text[0],
		                    .workload = text[1],
		                    .shape = text[2],
		                    .isa = text[3],
		                    .toolchain = text[4],
		                    .schedule = text[5],
		                    .when = text[6],
		                    .threads = sqlite3_column_int(s, 7),
		                    .trials = sqlite3_column_int(s, 8),
		                    .generation = sqlite3_column_int(s, 9),
		                    .seconds = store_number(s, 10),
		                    .ratio = store_number(s, 11),
		                    .error = store_number(s, 12),
		                    .complete = sqlite3_column_int(s, 13),
		            });
	}
	sqlite3_finalize(s);
	return store_trouble(c, r);
}
