/* choose.c: which schedule to use before, or instead of, a search. */
#include <string.h>

#include "search/tune.h"

enum { CANDIDATES = 8 }; /* of the ladder that are looked at */

static bool usable(struct arena *a, const struct problem *problem, const char *text, enum isa isa,
                   struct schedule *s)
{
	struct diags d;
	diags_init(&d, a, "schedule", text, strlen(text));
	return schedule_parse(problem, text, strlen(text), s, &d) && s->isa == isa &&
	       !schedule_illegal(a, problem, s);
}

static void render(struct arena *a, const struct problem *problem, const struct tune_place *place,
                   struct tune_choice *c)
{
	struct text t;
	text_init(&t, a);
	schedule_print(problem, &c->schedule, &t);
	c->text = t.s;
	c->options = tune_target_options(place, 3);
	c->program = tile_build(a, problem, &c->schedule);
	c->source = emit_kernel(a, c->program, place->isa, c->schedule.exp_degree);
	c->source_key = tune_source_key(a, &c->source, place->target, &c->options);
}

/* Is what was rendered the winner's source, compiled as for keeping or, by a search that was cut short, as
 * for searching? Then its stored code is brought, if there is any. */
static bool is_winner(struct arena *a, const struct tune_place *place, struct cache *cache,
                      const struct cache_key *key, const char *winner, struct tune_choice *c)
{
	static const int levels[] = {3, 1};
	for (int i = 0; i < 2; i++) {
		struct target_options options = tune_target_options(place, levels[i]);
		const char *source = tune_source_key(a, &c->source, place->target, &options);
		if (strcmp(source, winner))
			continue;
		if (cache_get_artifact(cache, key, source, &c->object.bytes, &c->object.size) == CACHE_OK) {
			c->options = options;
			c->source_key = source;
		}
		return true;
	}
	return false;
}

void tune_choose(struct arena *a, const struct cascade *cascade, const struct problem *problem,
                 const struct tune_place *place, struct cache *cache, struct tune_choice *c)
{
	struct cache_found found[CANDIDATES];
	*c = (struct tune_choice){.rung = CACHE_DEFAULT};
	struct cache_key key = tune_key(a, cascade, place);
	int n = cache ? cache_lookup(cache, a, &key, found, CANDIDATES) : 0;
	for (int i = 0; i < n; i++) {
		if (!usable(a, problem, found[i].schedule, place->isa, &c->schedule))
			continue;
		c->rung = found[i].rung;
		c->shape = found[i].shape;
		render(a, problem, place, c);
		if (!c->source.text)
			continue; /* it passes a limit of the device at this shape */
		if (c->rung != CACHE_EXACT || is_winner(a, place, cache, &key, found[i].source, c))
			return;
	}
	*c = (struct tune_choice){.rung = CACHE_DEFAULT, .schedule = schedule_default(problem, place->isa)};
	render(a, problem, place, c);
}
