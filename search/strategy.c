#include "search/strategy.h"

#include <string.h>

#include "base/hash.h"

const struct strategy *const strategies[] = {&strategy_genetic, &strategy_random, &strategy_exhaustive, NULL};

const struct strategy *strategy_find(const char *name)
{
	for (int i = 0; strategies[i]; i++) {
		if (!strcmp(strategies[i]->name, name))
			return strategies[i];
	}
	return NULL;
}

uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

int random_below(uint64_t *state, int n)
{
	return (int)((random_next(state) >> 32) * (uint64_t)n >> 32);
}

void point_set_init(struct point_set *s, struct arena *a, int dimensions)
{
	*s = (struct point_set){.arena = a, .dimensions = dimensions, .slots = 64};
	s->slot = arena_new_array(a, s->slots, uint32_t);
}

/* The slot that holds the point, or the free one where it belongs. */
static uint32_t slot_of(const struct point_set *s, const struct point *p)
{
	size_t n = (size_t)s->dimensions;
	uint32_t i = hash_bytes(p->choice, n, HASH_SEED) & (s->slots - 1);
	while (s->slot[i] && memcmp(s->point.v[s->slot[i] - 1].choice, p->choice, n))
		i = (i + 1) & (s->slots - 1);
	return i;
}

int point_set_find(const struct point_set *s, const struct point *p)
{
	return (int)s->slot[slot_of(s, p)] - 1;
}

int point_set_add(struct point_set *s, const struct point *p)
{
	uint32_t i = slot_of(s, p);
	if (s->slot[i])
		return (int)s->slot[i] - 1;
	vec_push(s->arena, &s->point, *p);
	s->slot[i] = s->point.n;
	if (2 * s->point.n > s->slots) {
		s->slots *= 2;
		s->slot = arena_new_array(s->arena, s->slots, uint32_t);
		for (uint32_t k = 0; k < s->point.n; k++)
			s->slot[slot_of(s, &s->point.v[k])] = k + 1;
	}
	return (int)s->point.n - 1;
}

enum { TRIES = 400 }; /* at a legal new point before giving up */

bool sample_random(const struct grid *g, struct point_set *met, uint64_t *random, struct point *p)
{
	for (int t = 0; t < TRIES; t++) {
		*p = (struct point){0};
		for (int d = 0; d < g->dimensions; d++)
			p->choice[d] = (uint8_t)random_below(random, g->choices[d]);
		if (point_set_find(met, p) < 0 && g->legal(g->owner, p)) {
			point_set_add(met, p);
			return true;
		}
	}
	return false;
}

/* Each dimension deals its choices like cards: all of them before any comes again. A point that turns out
 * illegal or known is dealt afresh in a few dimensions, which keeps most of the balance. */
int sample_stratified(const struct grid *g, struct point_set *met, uint64_t *random, struct point *out, int n)
{
	uint8_t deck[MAX_DIMENSIONS][MAX_CHOICES];
	int left[MAX_DIMENSIONS] = {0};
	int count = 0;
	while (count < n) {
		struct point p = {{0}};
		for (int d = 0; d < g->dimensions; d++) {
			if (!left[d]) {
				for (int c = 0; c < g->choices[d]; c++)
					deck[d][c] = (uint8_t)c;
				left[d] = g->choices[d];
			}
			int at = random_below(random, left[d]);
			p.choice[d] = deck[d][at];
			deck[d][at] = deck[d][--left[d]];
		}
		bool good = false;
		for (int t = 0; t < TRIES / 4 && !good; t++) {
			good = point_set_find(met, &p) < 0 && g->legal(g->owner, &p);
			if (!good && g->dimensions) {
				int d = random_below(random, g->dimensions);
				p.choice[d] = (uint8_t)random_below(random, g->choices[d]);
			}
		}
		if (good)
			point_set_add(met, &p);
		else if (!sample_random(g, met, random, &p))
			break;
		out[count++] = p;
	}
	return count;
}
