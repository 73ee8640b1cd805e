/* dtype.h: storage types as bytes in memory, and the double that stands for them.
 *
 * Floats of 8 and 16 bits are given by their exponent and mantissa widths; f8e4m3 is the variant with no
 * infinity and one NaN. Rounding is to nearest even and saturating: a finite number past the largest finite
 * one becomes that, an infinity stays one where the type has it. i4 is two's complement, two a byte, the
 * low nibble first.
 */
#ifndef ATTUNE_DSL_DTYPE_H
#define ATTUNE_DSL_DTYPE_H

#include <math.h>

#include "dsl/expr.h"

/* Element i of an array at `base`, which need not be aligned. An i64 past 2^53 is rounded. */
double dtype_load(enum dtype, const void *base, int64_t i);
/* Stores dtype_round of the number. */
void dtype_store(enum dtype, void *base, int64_t i, double);
/* Bytes that n elements take. */
static inline int64_t dtype_bytes(enum dtype t, int64_t n)
{
	return dtype_info[t].bits == 4 ? (n + 1) / 2 : n * (dtype_info[t].bits / 8);
}
/* INT for integer types, BOOL for bool, else REAL: the kind of a READ. */
static inline enum kind dtype_kind(enum dtype t)
{
	return t == DTYPE_BOOL ? KIND_BOOL : dtype_info[t].integer ? KIND_INT : KIND_REAL;
}
/* Values of one are values of the other, by a few instructions a vector. */
static inline bool dtype_widens(enum dtype narrow, enum dtype wide)
{
	return narrow == wide || (wide == DTYPE_F32 && dtype_info[narrow].bits <= 16 && narrow != DTYPE_BOOL);
}
/* Binary digits that any of its numbers can be written with: a product of two has as many as both together. */
int dtype_digits(enum dtype);
/* Towards zero, saturating; NaN is 0. */
static inline int64_t double_to_int64(double x)
{
	if (!(x > -9223372036854775808.0))
		return x == x ? INT64_MIN : 0;
	return x < 9223372036854775808.0 ? (int64_t)x : INT64_MAX;
}
/* x, but no less than low and then no more than high; NaN where one of them is. */
static inline double double_clamp(double x, double low, double high)
{
	x = low > x || low != low ? low : x;
	return high < x || high != high ? high : x;
}
/* The least power of two that is not below x; of what is not above 1, 1. */
static inline double double_bit_ceil(double x)
{
	int digits = 0;
	if (!(x > 1))
		return 1;
	frexp(x < 0x1p62 ? ceil(x) - 1 : 0x1p62 - 1, &digits);
	return ldexp(1, digits);
}

#endif
