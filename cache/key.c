/* key.c: keys to rows. A digest over every field that identifies, each with its length before it, so that no
 * two keys run together to the same text. */
#include <string.h>

#include "base/hash.h"
#include "base/text.h"
#include "cache/store.h"

static void field(struct text *t, const char *s)
{
	text_printf(t, "%zu:%s\n", s ? strlen(s) : 0, s ? s : "");
}

char *store_shape(struct arena *a, const struct cache_problem *p)
{
	struct text t;
	text_init(&t, a);
	for (int i = 0; i < p->nranks; i++)
		text_printf(&t, "%s%s=%lld", i ? " " : "", p->rank[i], (long long)p->extent[i]);
	return t.s;
}

static const char *env_digest(struct arena *a, const struct cache_env *e)
{
	struct text t;
	text_init(&t, a);
	field(&t, e->hardware);
	field(&t, e->arch);
	field(&t, e->isa);
	field(&t, e->codegen);
	field(&t, e->toolchain);
	text_printf(&t, "%d\n", e->threads);
	field(&t, e->policy);
	return digest_text(a, t.s, t.len);
}

static const char *problem_digest(struct arena *a, const struct cache_problem *p, const char *shape)
{
	struct text t;
	text_init(&t, a);
	field(&t, p->workload);
	field(&t, p->contract);
	field(&t, shape);
	return digest_text(a, t.s, t.len);
}

static enum cache_result find(struct cache *c, const char *sql, const char *digest, int64_t *id)
{
	enum cache_result r;
	sqlite3_stmt *s = store_prepare(c, &r, sql, "t", digest);
	bool there = store_row(s, &r);
	if (there)
		*id = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return there || r != CACHE_OK ? r : CACHE_MISS;
}

static enum cache_result make_env(struct cache *c, const struct cache_env *e, const char *digest)
{
	enum cache_result r;
	sqlite3_stmt *s = store_prepare(c, &r,
	                                "INSERT INTO device (hardware, arch, isa, facts) VALUES (?, ?, ?, ?) "
	                                "ON CONFLICT DO NOTHING",
	                                "tttt", e->hardware, e->arch, e->isa, e->facts ? e->facts : "{}");
	if ((r = store_run(s, r)) != CACHE_OK)
		return r;
	s = store_prepare(c, &r,
	                  "INSERT INTO env (device, digest, codegen, toolchain, threads, policy) "
	                  "SELECT id, ?3, ?4, ?5, ?6, ?7 FROM device WHERE hardware = ?1 AND isa = ?2",
	                  "tttttit", e->hardware, e->isa, digest, e->codegen, e->toolchain,
	                  (int64_t)e->threads, e->policy);
	return store_run(s, r);
}

static enum cache_result make_problem(struct cache *c, const struct cache_problem *p, const char *digest,
                                      const char *shape)
{
	enum cache_result r;
	sqlite3_stmt *s =
	        store_prepare(c, &r,
	                      "INSERT INTO problem (digest, workload, name, contract, shape) "
	                      "VALUES (?, ?, ?, ?, ?)",
	                      "ttttt", digest, p->workload, p->name ? p->name : "", p->contract, shape);
	return store_run(s, r);
}

enum cache_result store_key(struct cache *c, const struct cache_key *key, bool make, struct store_key *k)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	enum cache_result r;
	if (ARENA_TRY(&a, &env)) {
		static const char find_env[] = "SELECT id FROM env WHERE digest = ?";
		static const char find_problem[] = "SELECT id FROM problem WHERE digest = ?";
		const char *shape = store_shape(&a, &key->problem);
		const char *e = env_digest(&a, &key->env), *p = problem_digest(&a, &key->problem, shape);
		if ((r = find(c, find_env, e, &k->env)) == CACHE_MISS && make &&
		    (r = make_env(c, &key->env, e)) == CACHE_OK)
			r = find(c, find_env, e, &k->env);
		if (r == CACHE_OK && (r = find(c, find_problem, p, &k->problem)) == CACHE_MISS && make &&
		    (r = make_problem(c, &key->problem, p, shape)) == CACHE_OK)
			r = find(c, find_problem, p, &k->problem);
	} else {
		r = CACHE_FULL;
	}
	arena_free(&a);
	return r;
}
