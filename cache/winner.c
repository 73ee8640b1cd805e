/* winner.c: the best of a key, and the ladder that answers when there is none. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/store.h"

const char *const cache_rung_name[CACHE_RUNGS] = {
        [CACHE_EXACT] = "exact",
        [CACHE_NEAREST] = "nearest",
        [CACHE_ARCH] = "arch",
        [CACHE_DEFAULT] = "default",
};

enum cache_result cache_put_winner(struct cache *c, const struct cache_key *key, const char *source,
                                   bool complete, bool replace)
{
	struct store_key k;
	enum cache_result r = store_begin(c);
	if (r != CACHE_OK)
		return r;
	r = store_key(c, key, false, &k);
	if (r == CACHE_OK) {
		sqlite3_stmt *s = store_prepare(
		        c, &r,
		        "INSERT INTO winner (env, problem, config, source, trial, quality, complete, at) "
		        "SELECT env, problem, config, source, id, coalesce(ratio, 1), ?4, unixepoch() FROM "
		        "trial "
		        "WHERE env = ?1 AND problem = ?2 AND source = ?3 "
		        "ON CONFLICT DO UPDATE SET config = excluded.config, source = excluded.source, "
		        "trial = excluded.trial, quality = excluded.quality, complete = excluded.complete, "
		        "generation = generation + 1, at = excluded.at "
		        "WHERE ?5 OR excluded.quality >= (SELECT coalesce(ratio, 1) FROM trial t WHERE t.id "
		        "= "
		        "winner.trial)",
		        "iitii", k.env, k.problem, source, (int64_t)complete, (int64_t)replace);
		r = store_run(s, r);
		if (r == CACHE_OK && sqlite3_changes(c->db) == 0)
			r = CACHE_REFUSED;
		if (r == CACHE_OK) {
			s = store_prepare(
			        c, &r, "DELETE FROM artifact WHERE env = ? AND problem = ? AND source != ?",
			        "iit", k.env, k.problem, source);
			r = store_run(s, r);
		}
	} else if (r == CACHE_MISS) {
		r = CACHE_REFUSED;
	}
	return store_end(c, r);
}

/* How far apart two shapes of one workload are: the sum of the ratios of their extents, in octaves. */
static double distance(const char *shape, const struct cache_problem *p)
{
	double d = 0;
	for (int i = 0; i < p->nranks; i++) {
		size_t n = strlen(p->rank[i]);
		const char *s = shape;
		while (s && (strncmp(s, p->rank[i], n) || s[n] != '='))
			s = (s = strchr(s, ' ')) ? s + 1 : NULL;
		if (!s)
			return INFINITY;
		d += fabs(log2((double)(atoll(s + n + 1) + 1) / (double)(p->extent[i] + 1)));
	}
	return d;
}

struct near {
	struct cache_found found;
	double distance;
};

/* Inserts into the `max` nearest, which are kept in order; equally near ones in order of arrival. */
static int insert(struct near *near, int n, int max, const struct near *one)
{
	int at = n;
	while (at > 0 && near[at - 1].distance > one->distance)
		at--;
	if (at == max)
		return n;
	if (n == max)
		n--;
	memmove(near + at + 1, near + at, (size_t)(n - at) * sizeof *near);
	near[at] = *one;
	return n + 1;
}

#define FOUND                                                                                                \
	"SELECT schedule, winner.source, shape, trial.seconds, winner.quality, trial.error, complete "       \
	"FROM winner JOIN trial ON trial.id = winner.trial JOIN config ON config.id = winner.config "        \
	"JOIN problem ON problem.id = winner.problem JOIN env ON env.id = winner.env "                       \
	"JOIN device ON device.id = env.device "

static enum cache_result gather(struct arena *a, sqlite3_stmt *s, enum cache_result r, enum cache_rung rung,
                                const struct cache_problem *p, struct cache_found *found, int *n, int max)
{
	struct near *near = arena_new_array(a, (size_t)max + 1, struct near);
	int count = 0;
	while (*n < max && store_row(s, &r)) {
		struct near one = {
		        .found = {.rung = rung,
		                  .schedule = store_text(a, s, 0),
		                  .source = store_text(a, s, 1),
		                  .shape = store_text(a, s, 2),
		                  .seconds = store_number(s, 3),
		                  .ratio = store_number(s, 4),
		                  .error = store_number(s, 5),
		                  .complete = sqlite3_column_int(s, 6)},
		};
		one.distance = distance(one.found.shape, p);
		count = insert(near, count, max - *n, &one);
	}
	sqlite3_finalize(s);
	for (int i = 0; i < count; i++)
		found[(*n)++] = near[i].found;
	return r;
}

int cache_lookup(struct cache *c, struct arena *a, const struct cache_key *key, struct cache_found *found,
                 int max)
{
	struct store_key k = {0};
	enum cache_result r;
	int n = 0;
	if (!c->db || max <= 0)
		return 0;
	const struct cache_problem *p = &key->problem;
	r = store_key(c, key, false, &k);
	if (r == CACHE_OK) {
		sqlite3_stmt *s = store_prepare(c, &r, FOUND "WHERE winner.env = ? AND winner.problem = ?",
		                                "ii", k.env, k.problem);
		r = gather(a, s, r, CACHE_EXACT, p, found, &n, max);
	}
	if (k.env && (r == CACHE_OK || r == CACHE_MISS)) {
		sqlite3_stmt *s = store_prepare(
		        c, &r,
		        FOUND
		        "WHERE winner.env = ? AND workload = ? AND contract = ? AND winner.problem != ?",
		        "itti", k.env, p->workload, p->contract, k.problem);
		r = gather(a, s, r, CACHE_NEAREST, p, found, &n, max);
	}
	if (r == CACHE_OK || r == CACHE_MISS) {
		sqlite3_stmt *s =
		        store_prepare(c, &r,
		                      FOUND "WHERE arch = ? AND isa = ? AND workload = ? AND winner.env != ? "
		                            "ORDER BY winner.at DESC",
		                      "ttti", key->env.arch, key->env.isa, p->workload, k.env);
		r = gather(a, s, r, CACHE_ARCH, p, found, &n, max);
	}
	store_trouble(c, r);
	return n;
}
