/* whole.h: whole numbers, as tiles and alignments need them. */
#ifndef ATTUNE_BASE_WHOLE_H
#define ATTUNE_BASE_WHOLE_H

#include <stdint.h>

/* The least multiple of `unit`, which is positive, that is not below n >= 0. */
static inline int64_t round_up(int64_t n, int64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static inline int64_t at_least_one(int64_t n)
{
	return n < 1 ? 1 : n;
}

/* Never negative. */
static inline int64_t gcd(int64_t a, int64_t b)
{
	while (b) {
		int64_t rest = a % b;
		a = b;
		b = rest;
	}
	return a < 0 ? -a : a;
}

#endif
