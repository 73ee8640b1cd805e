/* Every legal point once, in the order of an odometer: for recording a landscape. */
#include "search/strategy.h"

struct strategy_state {
	struct grid grid;
	struct point_set met;
	struct point next;
	bool done;
};

static struct strategy_state *start(struct arena *a, const struct grid *g, uint64_t seed)
{
	(void)seed;
	struct strategy_state *s = arena_new(a, struct strategy_state);
	s->grid = *g;
	point_set_init(&s->met, a, g->dimensions);
	return s;
}

static void advance(struct strategy_state *s)
{
	for (int d = s->grid.dimensions - 1; d >= 0; d--) {
		if (++s->next.choice[d] < s->grid.choices[d])
			return;
		s->next.choice[d] = 0;
	}
	s->done = true;
}

static int propose(struct strategy_state *s, struct point *p, int n)
{
	int count = 0;
	for (; count < n && !s->done; advance(s)) {
		if (point_set_find(&s->met, &s->next) < 0 && s->grid.legal(s->grid.owner, &s->next)) {
			point_set_add(&s->met, &s->next);
			p[count++] = s->next;
		}
	}
	return count;
}

static void observe(struct strategy_state *s, const struct point *p, double cost)
{
	(void)cost;
	point_set_add(&s->met, p);
}

const struct strategy strategy_exhaustive = {"exhaustive", start, propose, observe};
