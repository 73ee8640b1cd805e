#include "dsl/select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Does element i go before j, the largest first? */
static bool before(const double *x, int64_t i, int64_t j)
{
	bool a = isnan(x[i]), b = isnan(x[j]);
	if (a != b)
		return a;
	if (a || x[i] == x[j])
		return i < j;
	return x[i] > x[j];
}

/* Does element i go before j, the smallest first? */
static bool before_ascending(const double *x, int64_t i, int64_t j)
{
	bool a = isnan(x[i]), b = isnan(x[j]);
	if (a != b)
		return b;
	if (a || x[i] == x[j])
		return i < j;
	return x[i] < x[j];
}

typedef bool order(const double *, int64_t, int64_t);

static void sift(const double *x, int64_t *heap, int64_t at, int64_t n, order *first)
{
	for (int64_t child; (child = 2 * at + 1) < n; at = child) {
		if (child + 1 < n && first(x, heap[child], heap[child + 1]))
			child++;
		if (!first(x, heap[at], heap[child]))
			return;
		int64_t t = heap[at];
		heap[at] = heap[child];
		heap[child] = t;
	}
}

/* By heap: no two elements are alike, since coordinates differ. */
static void sort(const double *x, int64_t *at, int64_t n, order *first)
{
	for (int64_t i = n / 2; i-- > 0;)
		sift(x, at, i, n, first);
	for (int64_t i = n; i-- > 1;) {
		int64_t t = at[0];
		at[0] = at[i];
		at[i] = t;
		sift(x, at, 0, i, first);
	}
}

/* How many of the elements, which are in order, reach their share of the sum. */
static int64_t nucleus(double p, const double *x, const int64_t *at, int64_t n)
{
	double all = 0, sum = 0;
	for (int64_t i = 0; i < n; i++)
		all += x[at[i]];
	for (int64_t i = 0; i < n; i++)
		if ((sum += x[at[i]]) >= p * all)
			return i + 1;
	return n;
}

static bool is_here(const unsigned char *here, int64_t i)
{
	return !here || here[i];
}

void select_fiber(enum selection select, double argument, int64_t n, const double *x, const unsigned char *here,
                  int64_t *at, double *result, int64_t slots)
{
	int64_t count = 0, results = select == SELECT_MEMBERS ? slots : n;
	bool chooses = select == SELECT_TOPK || select == SELECT_NUCLEUS;
	for (int64_t i = 0; i < n; i++)
		if (is_here(here, i) && (select != SELECT_MEMBERS || x[i] != 0))
			at[count++] = i;
	for (int64_t i = 0; i < results; i++)
		result[i] = chooses ? 0 : -1;
	if (select != SELECT_MEMBERS)
		sort(x, at, count, chooses ? before : before_ascending);
	if (select == SELECT_TOPK && argument < (double)count)
		count = argument >= 1 ? (int64_t)argument : 0;
	if (select == SELECT_NUCLEUS)
		count = nucleus(argument, x, at, count);
	for (int64_t i = 0; i < count && (chooses || i < results); i++)
		result[chooses ? at[i] : i] = chooses ? 1 : (double)at[i];
}
