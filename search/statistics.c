/* Numbers from times: on a shared machine the lower envelope of interleaved runs orders kernels where medians
 * do not. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/measure.h"

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Of sorted numbers, at a fraction of the way, between neighbours where it falls between. */
static double at(const double *v, int n, double fraction)
{
	double x = fraction * (n - 1);
	int i = (int)x;
	return i + 1 < n ? v[i] + (x - i) * (v[i + 1] - v[i]) : v[n - 1];
}

struct statistics statistics_of(const double *seconds, int n)
{
	double v[MAX_ROUNDS];
	if (n > MAX_ROUNDS)
		n = MAX_ROUNDS;
	if (n <= 0)
		return (struct statistics){.envelope = INFINITY, .least = INFINITY};
	memcpy(v, seconds, (size_t)n * sizeof *v);
	qsort(v, (size_t)n, sizeof *v, ascending);
	struct statistics s = {
	        .runs = n,
	        .envelope = n > 1 ? (v[0] + v[1]) / 2 : v[0],
	        .least = v[0],
	        .quartile = at(v, n, 0.25),
	        .median = at(v, n, 0.5),
	};
	for (int i = 0; i < n; i++)
		v[i] = fabs(v[i] - s.median);
	qsort(v, (size_t)n, sizeof *v, ascending);
	s.deviation = at(v, n, 0.5);
	return s;
}

void race_clean(struct race *r, int keep)
{
	double floor = statistics_of(r->seconds[0], r->rounds).envelope * 1.05;
	double sorted[MAX_ROUNDS];
	memcpy(sorted, r->seconds[0], (size_t)r->rounds * sizeof *sorted);
	qsort(sorted, (size_t)r->rounds, sizeof *sorted, ascending);
	if (keep > 0 && keep <= r->rounds && sorted[keep - 1] > floor)
		floor = sorted[keep - 1];
	int kept = 0;
	for (int i = 0; i < r->rounds; i++) {
		if (r->seconds[0][i] > floor)
			continue;
		for (int k = 0; k < r->kernels; k++)
			r->seconds[k][kept] = r->seconds[k][i];
		kept++;
	}
	r->rounds = kept;
}

struct ratio race_ratio(const struct race *r, int k)
{
	double v[MAX_ROUNDS];
	int n = r->rounds;
	if (n <= 0)
		return (struct ratio){1, 0, INFINITY};
	for (int i = 0; i < n; i++)
		v[i] = r->seconds[0][i] / r->seconds[k][i];
	qsort(v, (size_t)n, sizeof *v, ascending);
	/* Half the spread of the quartiles, by the root of the rounds: a notch around the median. */
	double notch = 1.57 * (at(v, n, 0.75) - at(v, n, 0.25)) / sqrt(n);
	double value = statistics_of(r->seconds[0], n).envelope / statistics_of(r->seconds[k], n).envelope;
	return (struct ratio){value, value - notch, value + notch};
}

void race_trial(const struct race *r, int k, struct cache_trial *t)
{
	struct statistics own = statistics_of(r->seconds[k], r->rounds);
	struct ratio ratio = k ? race_ratio(r, k) : (struct ratio){1, 1, 1};
	t->runs = own.runs;
	t->seconds = own.envelope;
	t->least = own.least;
	t->quartile = own.quartile;
	t->median = own.median;
	t->deviation = own.deviation;
	t->switches = r->switches[k];
	t->ratio = ratio.value;
	t->ratio_low = ratio.low;
	t->ratio_high = ratio.high;
}
