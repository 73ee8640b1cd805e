/* Uniform over the legal points: what every other strategy has to beat. */
#include "search/strategy.h"

struct strategy_state {
	struct grid grid;
	struct point_set met;
	uint64_t random;
};

static struct strategy_state *start(struct arena *a, const struct grid *g, uint64_t seed)
{
	struct strategy_state *s = arena_new(a, struct strategy_state);
	s->grid = *g;
	s->random = seed;
	point_set_init(&s->met, a, g->dimensions);
	return s;
}

static int propose(struct strategy_state *s, struct point *p, int n)
{
	int count = 0;
	while (count < n && sample_random(&s->grid, &s->met, &s->random, &p[count]))
		count++;
	return count;
}

static void observe(struct strategy_state *s, const struct point *p, double cost)
{
	(void)cost;
	point_set_add(&s->met, p);
}

const struct strategy strategy_random = {"random", start, propose, observe};
