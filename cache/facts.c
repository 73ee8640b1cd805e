/* facts.c: what is known of machines. */
#include "cache/store.h"

enum cache_result cache_put_facts(struct cache *c, const struct cache_env *e)
{
	enum cache_result r = store_begin(c);
	if (r != CACHE_OK)
		return r;
	sqlite3_stmt *s = store_prepare(c, &r,
	                                "INSERT INTO device (hardware, arch, isa, facts) VALUES (?, ?, ?, ?) "
	                                "ON CONFLICT DO UPDATE SET facts = excluded.facts",
	                                "tttt", e->hardware, e->arch, e->isa, e->facts);
	return store_end(c, store_run(s, r));
}

const char *cache_find_facts(struct cache *c, struct arena *a, const struct cache_env *e)
{
	enum cache_result r;
	if (!c->db)
		return NULL;
	sqlite3_stmt *s = store_prepare(c, &r, "SELECT facts FROM device WHERE hardware = ? AND isa = ?", "tt",
	                                e->hardware, e->isa);
	const char *facts = store_row(s, &r) ? store_text(a, s, 0) : NULL;
	sqlite3_finalize(s);
	if (r != CACHE_OK)
		store_trouble(c, r);
	return facts;
}
