/* trial.c: what became of candidates, and the sessions that tried them. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/hash.h"
#include "cache/store.h"

const char *const trial_status_name[TRIAL_STATUSES] = {
#define TRIAL_STATUS(name, spelling) [TRIAL_##name] = spelling,
        TRIAL_STATUS_TABLE(TRIAL_STATUS)
#undef TRIAL_STATUS
};

static const char *const session_state_name[SESSION_STATES] = {
        [SESSION_RUNNING] = "running",
        [SESSION_COMPLETE] = "complete",
        [SESSION_STOPPED] = "stopped",
};

static enum cache_result put_config(struct cache *c, const char *schedule, int64_t *id)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	enum cache_result r;
	if (ARENA_TRY(&a, &env)) {
		const char *digest = digest_text(&a, schedule, strlen(schedule));
		/* The update changes nothing; it makes RETURNING answer for a row that is there. */
		sqlite3_stmt *s = store_prepare(c, &r,
		                                "INSERT INTO config (digest, schedule) VALUES (?, ?) "
		                                "ON CONFLICT DO UPDATE SET digest = digest RETURNING id",
		                                "tt", digest, schedule);
		if (store_row(s, &r))
			*id = sqlite3_column_int64(s, 0);
		r = store_run(s, r);
	} else {
		r = CACHE_FULL;
	}
	arena_free(&a);
	return r;
}

static enum cache_result put_trial(struct cache *c, const struct store_key *k, int64_t session,
                                   const struct cache_trial *t)
{
	int64_t config = 0;
	enum cache_result r = put_config(c, t->schedule, &config);
	if (r != CACHE_OK)
		return r;
	sqlite3_stmt *s = store_prepare(
	        c, &r,
	        "INSERT INTO trial (env, problem, source, config, session, status, reason, rung, verified, "
	        "runs, seconds, least, quartile, median, deviation, switches, ratio, ratio_low, ratio_high, "
	        "error, at) VALUES (?1, ?2, ?3, ?4, nullif(?5, 0), ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, "
	        "?15, ?16, ?17, ?18, ?19, ?20, unixepoch()) "
	        "ON CONFLICT (env, problem, source) DO UPDATE SET config = excluded.config, "
	        "session = excluded.session, status = excluded.status, reason = excluded.reason, "
	        "rung = excluded.rung, verified = excluded.verified, runs = excluded.runs, "
	        "seconds = excluded.seconds, least = excluded.least, quartile = excluded.quartile, "
	        "median = excluded.median, deviation = excluded.deviation, switches = excluded.switches, "
	        "ratio = excluded.ratio, ratio_low = excluded.ratio_low, ratio_high = excluded.ratio_high, "
	        "error = excluded.error, at = excluded.at "
	        "WHERE excluded.rung >= trial.rung",
	        "iitiittiiidddddidddd", k->env, k->problem, t->source, config, session,
	        trial_status_name[t->status], t->reason, (int64_t)t->rung, (int64_t)t->verified,
	        (int64_t)t->runs, t->seconds, t->least, t->quartile, t->median, t->deviation, t->switches,
	        t->ratio, t->ratio_low, t->ratio_high, t->error);
	return store_run(s, r);
}

enum cache_result cache_put_trials(struct cache *c, const struct cache_key *key, int64_t session,
                                   const struct cache_trial *trial, int n)
{
	struct store_key k;
	enum cache_result r = store_begin(c);
	if (r != CACHE_OK)
		return r;
	r = store_key(c, key, true, &k);
	for (int i = 0; i < n && r == CACHE_OK; i++)
		r = put_trial(c, &k, session, &trial[i]);
	return store_end(c, r);
}

static enum trial_status status_of(const char *name)
{
	for (int i = 0; name && i < TRIAL_STATUSES; i++) {
		if (!strcmp(name, trial_status_name[i]))
			return (enum trial_status)i;
	}
	return TRIAL_PRUNED;
}

#define TRIAL                                                                                                \
	"SELECT schedule, source, status, reason, rung, verified, runs, seconds, least, quartile, median, "  \
	"deviation, switches, ratio, ratio_low, ratio_high, error FROM trial "                               \
	"JOIN config ON config.id = trial.config WHERE env = ? AND problem = ? "

/* The texts belong to the statement. */
static struct cache_trial read_trial(sqlite3_stmt *s)
{
	return (struct cache_trial){
	        .schedule = (const char *)sqlite3_column_text(s, 0),
	        .source = (const char *)sqlite3_column_text(s, 1),
	        .status = status_of((const char *)sqlite3_column_text(s, 2)),
	        .reason = (const char *)sqlite3_column_text(s, 3),
	        .rung = sqlite3_column_int(s, 4),
	        .verified = sqlite3_column_int(s, 5),
	        .runs = sqlite3_column_int(s, 6),
	        .seconds = store_number(s, 7),
	        .least = store_number(s, 8),
	        .quartile = store_number(s, 9),
	        .median = store_number(s, 10),
	        .deviation = store_number(s, 11),
	        .switches = sqlite3_column_int64(s, 12),
	        .ratio = store_number(s, 13),
	        .ratio_low = store_number(s, 14),
	        .ratio_high = store_number(s, 15),
	        .error = store_number(s, 16),
	};
}

enum cache_result cache_find_trial(struct cache *c, struct arena *a, const struct cache_key *key,
                                   const char *source, struct cache_trial *t)
{
	struct store_key k;
	if (!c->db)
		return CACHE_MISS;
	enum cache_result r = store_key(c, key, false, &k);
	if (r != CACHE_OK)
		return store_trouble(c, r);
	sqlite3_stmt *s = store_prepare(c, &r, TRIAL "AND source = ?", "iit", k.env, k.problem, source);
	bool there = store_row(s, &r);
	if (there) {
		*t = read_trial(s);
		t->schedule = arena_strdup(a, t->schedule);
		t->source = arena_strdup(a, t->source);
		t->reason = t->reason ? arena_strdup(a, t->reason) : NULL;
	}
	sqlite3_finalize(s);
	return store_trouble(c, there || r != CACHE_OK ? r : CACHE_MISS);
}

enum cache_result cache_each_trial(struct cache *c, const struct cache_key *key,
                                   void (*each)(void *, const struct cache_trial *), void *owner)
{
	struct store_key k;
	if (!c->db)
		return CACHE_MISS;
	enum cache_result r = store_key(c, key, false, &k);
	if (r != CACHE_OK)
		return store_trouble(c, r);
	sqlite3_stmt *s = store_prepare(c, &r, TRIAL "ORDER BY trial.id", "ii", k.env, k.problem);
	while (store_row(s, &r)) {
		struct cache_trial t = read_trial(s);
		each(owner, &t);
	}
	sqlite3_finalize(s);
	return store_trouble(c, r);
}

int64_t cache_session_begin(struct cache *c, const struct cache_key *key, uint64_t seed, const char *strategy,
                            double budget)
{
	struct store_key k;
	int64_t id = 0;
	uint64_t uuid[2] = {0, 0};
	char name[33], seed_text[24];
	enum cache_result r = store_begin(c);
	if (r != CACHE_OK)
		return 0;
	if (getrandom(uuid, sizeof uuid, 0) != sizeof uuid)
		uuid[0] = (uint64_t)time(NULL);
	snprintf(name, sizeof name, "%016llx%016llx", (unsigned long long)uuid[0],
	         (unsigned long long)uuid[1]);
	snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)seed);
	r = store_key(c, key, true, &k);
	if (r == CACHE_OK) {
		sqlite3_stmt *s = store_prepare(
		        c, &r,
		        "INSERT INTO session (uuid, env, problem, seed, strategy, budget, state, begun, "
		        "heartbeat) VALUES (?, ?, ?, ?, ?, ?, 'running', unixepoch(), unixepoch()) RETURNING "
		        "id",
		        "tiittd", name, k.env, k.problem, seed_text, strategy, budget);
		if (store_row(s, &r))
			id = sqlite3_column_int64(s, 0);
		r = store_run(s, r);
	}
	return store_end(c, r) == CACHE_OK ? id : 0;
}

void cache_session_note(struct cache *c, int64_t session, enum cache_session_state state, int evaluations)
{
	enum cache_result r = session ? store_begin(c) : CACHE_MISS;
	if (r != CACHE_OK)
		return;
	sqlite3_stmt *s = store_prepare(
	        c, &r, "UPDATE session SET state = ?, evaluations = ?, heartbeat = unixepoch() WHERE id = ?",
	        "tii", session_state_name[state], (int64_t)evaluations, session);
	store_end(c, store_run(s, r));
}
