/* A genetic search with a local one beside it: of eight proposals four are children of good parents, three
 * are neighbours of the best three, one is random. Children are the most promising of a larger brood by what
 * each single choice has cost so far, which is a weak guide, so parents and neighbours never pass through it.
 */
#include "search/strategy.h"

#include <math.h>
#include <string.h>

enum { PARENTS = 8, BROOD = 12, NEIGHBOUR_TRIES = 64 };

struct strategy_state {
	struct grid grid;
	struct point_set met;
	uint64_t random;
	int turn;          /* which of the eight comes next */
	VEC(double) cost;  /* of met.point, as far as observed; NAN: not yet */
	int best[PARENTS]; /* positions, cheapest first */
	int nbest;
	double sum[MAX_DIMENSIONS][MAX_CHOICES], count[MAX_DIMENSIONS][MAX_CHOICES]; /* of log costs */
	double total, observed;
};

static struct strategy_state *start(struct arena *a, const struct grid *g, uint64_t seed)
{
	struct strategy_state *s = arena_new(a, struct strategy_state);
	s->grid = *g;
	s->random = seed;
	point_set_init(&s->met, a, g->dimensions);
	return s;
}

/* What a point is expected to cost: the mean of all, moved by each choice's own mean, which counts the less
 * the fewer points stand behind it. */
static double expected(const struct strategy_state *s, const struct point *p)
{
	double mean = s->observed > 0 ? s->total / s->observed : 0, e = mean;
	for (int d = 0; d < s->grid.dimensions; d++) {
		double n = s->count[d][p->choice[d]];
		e += n > 0 ? (s->sum[d][p->choice[d]] / n - mean) * n / (n + 2) : 0;
	}
	return e;
}

static bool fresh(const struct strategy_state *s, const struct point *p)
{
	return point_set_find(&s->met, p) < 0 && s->grid.legal(s->grid.owner, p);
}

/* One choice becomes another: mostly the next in order, for choices are listed by size. */
static void mutate(struct strategy_state *s, struct point *p)
{
	int d = random_below(&s->random, s->grid.dimensions), n = s->grid.choices[d];
	int step = random_below(&s->random, 4);
	int to = step == 0 ? p->choice[d] - 1 : step == 1 ? p->choice[d] + 1 : random_below(&s->random, n);
	if (to >= 0 && to < n)
		p->choice[d] = (uint8_t)to;
}

/* The better of two picked at random. */
static const struct point *parent(struct strategy_state *s)
{
	int a = random_below(&s->random, s->nbest), b = random_below(&s->random, s->nbest);
	return &s->met.point.v[s->best[a < b ? a : b]];
}

static bool child(struct strategy_state *s, struct point *out)
{
	double least = INFINITY;
	for (int i = 0, made = 0; i < 8 * BROOD && made < BROOD; i++) {
		struct point p = *parent(s);
		const struct point *other = parent(s);
		for (int d = 0; d < s->grid.dimensions; d++) {
			if (random_next(&s->random) & 1)
				p.choice[d] = other->choice[d];
		}
		mutate(s, &p);
		if (random_next(&s->random) & 1)
			mutate(s, &p);
		if (!fresh(s, &p))
			continue;
		made++;
		double e = expected(s, &p);
		if (e < least) {
			least = e;
			*out = p;
		}
	}
	return least < INFINITY;
}

static bool neighbour(struct strategy_state *s, int rank, struct point *out)
{
	for (int i = 0; i < NEIGHBOUR_TRIES; i++) {
		*out = s->met.point.v[s->best[rank % s->nbest]];
		mutate(s, out);
		if (fresh(s, out))
			return true;
	}
	return false;
}

static int propose(struct strategy_state *s, struct point *p, int n)
{
	int count = 0;
	while (count < n) {
		int kind = s->turn++ % 8;
		bool good = s->nbest && s->grid.dimensions &&
		            (kind < 4 ? child(s, &p[count]) : kind < 7 && neighbour(s, kind - 4, &p[count]));
		if (good)
			point_set_add(&s->met, &p[count]);
		else if (!sample_random(&s->grid, &s->met, &s->random, &p[count]))
			break;
		count++;
	}
	return count;
}

static void rank(struct strategy_state *s, int at)
{
	int i = 0, n = s->nbest;
	while (i < n && s->best[i] != at)
		i++;
	if (i < n) {
		memmove(s->best + i, s->best + i + 1, (size_t)(n - i - 1) * sizeof *s->best);
		n = --s->nbest;
	}
	double cost = s->cost.v[at];
	for (i = 0; i < n && s->cost.v[s->best[i]] <= cost; i++)
		;
	if (i == PARENTS || isinf(cost))
		return;
	int kept = n < PARENTS ? n : PARENTS - 1;
	memmove(s->best + i + 1, s->best + i, (size_t)(kept - i) * sizeof *s->best);
	s->best[i] = at;
	s->nbest = kept + 1;
}

static void observe(struct strategy_state *s, const struct point *p, double cost)
{
	int at = point_set_add(&s->met, p);
	while ((int)s->cost.n <= at)
		vec_push(s->met.arena, &s->cost, (double)NAN);
	bool first = isnan(s->cost.v[at]);
	s->cost.v[at] = cost;
	rank(s, at);
	if (!first || isinf(cost))
		return;
	double x = log(cost);
	s->total += x;
	s->observed++;
	for (int d = 0; d < s->grid.dimensions; d++) {
		s->sum[d][p->choice[d]] += x;
		s->count[d][p->choice[d]]++;
	}
}

const struct strategy strategy_genetic = {"genetic", start, propose, observe};
