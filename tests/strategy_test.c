/* Search strategies: what they promise of every proposal, and that they find their way on known landscapes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/replay.h"
#include "tests/tap.h"

static struct arena arena;
static const int choices[] = {9, 6, 12, 2, 3};
enum { DIMENSIONS = 5 };

/* Like a tiled kernel: each choice has an optimum, two of them interact, register blocks that do not fit fall
 * off a cliff, and part of the box is illegal. */
static bool legal(void *owner, const struct point *p)
{
	(void)owner;
	return (p->choice[0] + 2 * p->choice[1] + p->choice[4]) % 7 != 3;
}

static double cost(const struct point *p)
{
	double tile = p->choice[0] - 5.0, rows = p->choice[1] - 2.0 - p->choice[3],
	       block = p->choice[2] - 7.0;
	double x = 0.03 * tile * tile + 0.08 * rows * rows + 0.02 * fabs(tile * rows);
	x += p->choice[2] % 3 == 0 ? 0.7 : 0.015 * block * block;
	x += p->choice[4] == 1 ? 0 : 0.1 * p->choice[4] + 0.05;
	return 0.01 * exp(x);
}

static const struct grid *grid(void)
{
	static struct grid g = {.dimensions = DIMENSIONS, .legal = legal};
	memcpy(g.choices, choices, sizeof choices);
	return &g;
}

static void next(struct point *p)
{
	for (int d = DIMENSIONS - 1; d >= 0 && ++p->choice[d] == choices[d]; d--)
		p->choice[d] = 0;
}

static int record(struct landscape *l)
{
	struct point p = {{0}};
	int n = 0;
	landscape_init(&arena, l, DIMENSIONS, choices);
	for (int i = 0; i < 9 * 6 * 12 * 2 * 3; i++, next(&p)) {
		if (legal(NULL, &p)) {
			landscape_add(l, &p, n % 50 == 17 ? INFINITY : cost(&p));
			n++;
		}
	}
	return n;
}

static void test_promises(const struct strategy *strategy, int all)
{
	struct strategy_state *s = strategy->start(&arena, grid(), 7);
	struct point_set met;
	struct point p[8], given = {{1, 0, 0, 0, 0}};
	point_set_init(&met, &arena, DIMENSIONS);
	strategy->observe(s, &given, cost(&given));
	point_set_add(&met, &given);
	bool good = true;
	int n, rounds = 0;
	while (rounds++ < 600 && (n = strategy->propose(s, p, 8)) > 0) {
		for (int i = 0; i < n; i++) {
			good = good && legal(NULL, &p[i]) && point_set_find(&met, &p[i]) < 0;
			for (int d = 0; d < DIMENSIONS; d++)
				good = good && p[i].choice[d] < choices[d];
			point_set_add(&met, &p[i]);
			strategy->observe(s, &p[i], i == 3 ? INFINITY : cost(&p[i]));
		}
	}
	ok(good, "%s proposes legal points that are new", strategy->name);
	int found = (int)met.point.n;
	if (strategy == &strategy_exhaustive)
		ok(found == all, "%s finds all %d", strategy->name, all);
	else
		ok(found > all * 9 / 10, "%s finds most before it gives up: %d of %d", strategy->name, found,
		   all);
}

static bool same_run(const struct strategy *strategy, const struct landscape *l, uint64_t a, uint64_t b)
{
	double x[80], y[80];
	replay(&arena, l, strategy, a, 16, 80, x);
	replay(&arena, l, strategy, b, 16, 80, y);
	return !memcmp(x, y, sizeof x);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* The median over seeds of the fraction of the optimum after n evaluations. */
static double median(const struct strategy *strategy, const struct landscape *l, int n)
{
	enum { SEEDS = 101 };
	double at[SEEDS], fraction[128];
	for (int i = 0; i < SEEDS; i++) {
		replay(&arena, l, strategy, (uint64_t)i + 1, 16, n, fraction);
		at[i] = fraction[n - 1];
	}
	qsort(at, SEEDS, sizeof *at, ascending);
	return at[SEEDS / 2];
}

static void test_replay(struct landscape *l)
{
	ok(same_run(&strategy_genetic, l, 3, 3) && same_run(&strategy_random, l, 3, 3),
	   "a seed gives one run");
	ok(!same_run(&strategy_genetic, l, 3, 4), "another seed another");
	double fraction[64];
	replay(&arena, l, &strategy_random, 1, 16, 64, fraction);
	bool rising = true;
	for (int i = 1; i < 64; i++)
		rising = rising && fraction[i] >= fraction[i - 1] && fraction[i] <= 1;
	ok(rising, "the fraction of the optimum only rises, to at most 1");
	for (int n = 32; n <= 64; n *= 2) {
		double g = median(&strategy_genetic, l, n), r = median(&strategy_random, l, n);
		ok(g > r, "after %d evaluations genetic is at %.3f of the optimum, random at %.3f", n, g, r);
	}
	ok(median(&strategy_genetic, l, 128) > 0.97, "after 128 genetic is within 3%% of the optimum");
}

static void test_text(struct landscape *l)
{
	struct text t, reason;
	struct landscape back;
	text_init(&t, &arena);
	text_init(&reason, &arena);
	text_add(&t, "{\"choices\": [9, 6, 12, 2, 3]}\n");
	for (uint32_t i = 0; i < l->point.point.n; i++)
		landscape_print_point(DIMENSIONS, &l->point.point.v[i], l->seconds.v[i], &t);
	ok(landscape_read(&arena, &back, t.s, t.len, &reason) && back.point.point.n == l->point.point.n &&
	           back.optimum == l->optimum &&
	           !memcmp(back.seconds.v, l->seconds.v, l->seconds.n * sizeof *l->seconds.v),
	   "a landscape reads back as it was written");
	static const char *const bad[] = {
	        "",
	        "{}\n",
	        "[1]\n",
	        "{\"choices\": [0]}\n",
	        "{\"choices\": [2]}\n{\"point\": [2], \"seconds\": 1}\n",
	        "{\"choices\": [2]}\n{\"point\": [1, 1], \"seconds\": 1}\n",
	        "{\"choices\": [2]}\n{\"point\": [1]}\n",
	        "{\"choices\": [2]}\n{\"point\": [1], \"seconds\": -1}\n",
	        "{\"choices\": [2]}\n{\"point\": [0.5], \"seconds\": 1}\n",
	        "{\"choices\": [2]}\nnonsense",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		reason.len = 0;
		ok(!landscape_read(&arena, &back, bad[i], strlen(bad[i]), &reason) && reason.len,
		   "bad landscape %zu is refused: %s", i, reason.s);
	}
}

static void test_samples(void)
{
	struct point_set met;
	struct point p[36];
	uint64_t random = 5;
	int times[12] = {0};
	point_set_init(&met, &arena, DIMENSIONS);
	ok(sample_stratified(grid(), &met, &random, p, 36) == 36, "a stratified sample is as large as asked");
	for (int i = 0; i < 36; i++)
		times[p[i].choice[2]]++;
	int least = 36, most = 0;
	for (int i = 0; i < 12; i++) {
		least = times[i] < least ? times[i] : least;
		most = times[i] > most ? times[i] : most;
	}
	ok(least >= 1 && most <= 6, "of 36 every choice of 12 comes %d to %d times", least, most);
	struct grid tiny = {.dimensions = 1, .choices = {3}, .legal = legal};
	point_set_init(&met, &arena, 1);
	ok(sample_stratified(&tiny, &met, &random, p, 8) == 3, "a space of three gives three");
	ok(strategy_find("genetic") == &strategy_genetic && strategies[0] == &strategy_genetic &&
	           !strategy_find("magic"),
	   "strategies are found by name");
}

int main(void)
{
	jmp_buf env;
	arena_init(&arena);
	if (!ARENA_TRY(&arena, &env))
		return 1;
	struct landscape l;
	int all = record(&l);
	for (int i = 0; strategies[i]; i++)
		test_promises(strategies[i], all);
	test_samples();
	test_replay(&l);
	test_text(&l);
	arena_free(&arena);
	return tap_done();
}
