#include "dsl/dtype.h"

#include <math.h>
#include <string.h>

const struct dtype_info dtype_info[DTYPES] = {
#define DTYPE(name, spelling, bits, integer) [DTYPE_##name] = {spelling, bits, integer},
#include "dsl/dtypes.h"
#undef DTYPE
};

enum dtype dtype_find(const char *s, size_t n)
{
	for (int t = 0; t < DTYPES; t++)
		if (strlen(dtype_info[t].spelling) == n && !memcmp(dtype_info[t].spelling, s, n))
			return (enum dtype)t;
	return DTYPES;
}

/* Widths in bits of an IEEE-like binary format; mantissa without the hidden bit. */
struct format {
	int exponent, mantissa;
	bool infinity; /* else the top exponent holds numbers, and all ones is NaN */
};

static const struct format format[DTYPES] = {
        [DTYPE_F32] = {8, 23, true},   [DTYPE_F16] = {5, 10, true},   [DTYPE_BF16] = {8, 7, true},
        [DTYPE_F8E5M2] = {5, 2, true}, [DTYPE_F8E4M3] = {4, 3, false},
};

int dtype_digits(enum dtype t)
{
	return t == DTYPE_F64 ? 53 : format[t].mantissa ? format[t].mantissa + 1 : t == DTYPE_BOOL ? 1 : dtype_info[t].bits;
}

static int bias(struct format f)
{
	return (1 << (f.exponent - 1)) - 1;
}

static double largest(struct format f)
{
	if (f.infinity)
		return ldexp(2 - ldexp(1, -f.mantissa), bias(f));
	return ldexp(2 - ldexp(2, -f.mantissa), bias(f) + 1);
}

static double round_float(struct format f, double x)
{
	/* Where the format has all its bits and the result cannot pass its largest, which is nearly always, those of a
	 * double are cut: half of what is cut is added first, and a bit less where that is even. */
	uint64_t bits, cut = (uint64_t)1 << (52 - f.mantissa);
	memcpy(&bits, &x, 8);
	int binade = (int)(bits >> 52 & 0x7ff) - 1023;
	if (binade >= 1 - bias(f) && binade < bias(f)) {
		bits = (bits + cut / 2 - 1 + (bits / cut & 1)) & -cut;
		memcpy(&x, &bits, 8);
		return x;
	}
	if (x != x || x == 0 || (isinf(x) && f.infinity))
		return x;
	if (fabs(x) > largest(f))
		return copysign(largest(f), x);
	int e;
	frexp(x, &e); /* |x| in [2^(e-1), 2^e) */
	int least = 1 - bias(f);
	int quantum = (e - 1 < least ? least : e - 1) - f.mantissa;
	double y = ldexp(nearbyint(ldexp(x, -quantum)), quantum);
	return fabs(y) > largest(f) ? copysign(largest(f), x) : y;
}

static double round_int(double low, double high, double x)
{
	if (x != x)
		return 0;
	x = nearbyint(x);
	return x < low ? low : x > high ? high : x + 0.0; /* + 0: no negative zero */
}

double dtype_round(enum dtype t, double x)
{
	switch (t) {
	case DTYPE_F64: return x;
	case DTYPE_I8: return round_int(-128, 127, x);
	case DTYPE_U8: return round_int(0, 255, x);
	case DTYPE_I4: return round_int(-8, 7, x);
	case DTYPE_I32: return round_int(INT32_MIN, INT32_MAX, x);
	case DTYPE_I64: return round_int(-0x1p63, 0x1p63 - 1024, x); /* the last double below 2^63 */
	case DTYPE_BOOL: return x == x && x != 0;
	default: return round_float(format[t], x);
	}
}

/* A format of at most 16 bits, from its bits. */
static double decode(struct format f, unsigned bits)
{
	unsigned mantissa = bits & ((1u << f.mantissa) - 1);
	int exponent = (int)(bits >> f.mantissa) & ((1 << f.exponent) - 1);
	int top = (1 << f.exponent) - 1;
	double x;
	if (exponent == top && f.infinity)
		x = mantissa ? NAN : INFINITY;
	else if (exponent == top && mantissa == (1u << f.mantissa) - 1)
		x = NAN;
	else if (exponent)
		x = ldexp((double)(mantissa | 1u << f.mantissa), exponent - bias(f) - f.mantissa);
	else
		x = ldexp((double)mantissa, 1 - bias(f) - f.mantissa);
	return bits >> (f.mantissa + f.exponent) & 1 ? -x : x;
}

/* `x` is already rounded to the format. */
static unsigned encode(struct format f, double x)
{
	unsigned sign = signbit(x) ? 1u << (f.mantissa + f.exponent) : 0;
	unsigned top = ((1u << f.exponent) - 1) << f.mantissa;
	if (x != x)
		return sign | top | (f.infinity ? 1u << (f.mantissa - 1) : (1u << f.mantissa) - 1);
	if (isinf(x))
		return sign | top;
	x = fabs(x);
	int e;
	frexp(x, &e);
	if (x == 0 || e - 1 < 1 - bias(f))
		return sign | (unsigned)ldexp(x, f.mantissa + bias(f) - 1);
	unsigned scaled = (unsigned)ldexp(x, f.mantissa - (e - 1)); /* with the hidden bit */
	return sign | (((unsigned)(e - 1 + bias(f)) << f.mantissa) + (scaled - (1u << f.mantissa)));
}

double dtype_load(enum dtype t, const void *base, int64_t i)
{
	const unsigned char *p = (const unsigned char *)base + dtype_info[t].bits / 8 * i;
	double f64;
	float f32;
	int32_t i32;
	int64_t i64;
	uint16_t u16;
	switch (t) {
	case DTYPE_F64: return memcpy(&f64, p, 8), f64;
	case DTYPE_F32: return memcpy(&f32, p, 4), (double)f32;
	case DTYPE_F16:
	case DTYPE_BF16: return memcpy(&u16, p, 2), decode(format[t], u16);
	case DTYPE_F8E4M3:
	case DTYPE_F8E5M2: return decode(format[t], *p);
	case DTYPE_I8: return (int8_t)*p;
	case DTYPE_U8: return *p;
	case DTYPE_I4: {
		int nibble = ((const unsigned char *)base)[i / 2] >> (i & 1) * 4 & 15;
		return nibble < 8 ? nibble : nibble - 16;
	}
	case DTYPE_I32: return memcpy(&i32, p, 4), (double)i32;
	case DTYPE_I64: return memcpy(&i64, p, 8), (double)i64;
	case DTYPE_BOOL: return *p != 0;
	case DTYPES: break;
	}
	return NAN;
}

void dtype_store(enum dtype t, void *base, int64_t i, double x)
{
	unsigned char *p = (unsigned char *)base + dtype_info[t].bits / 8 * i;
	x = dtype_round(t, x);
	switch (t) {
	case DTYPE_F64: memcpy(p, &x, 8); break;
	case DTYPE_F32: memcpy(p, &(float){(float)x}, 4); break;
	case DTYPE_F16:
	case DTYPE_BF16: memcpy(p, &(uint16_t){(uint16_t)encode(format[t], x)}, 2); break;
	case DTYPE_F8E4M3:
	case DTYPE_F8E5M2: *p = (unsigned char)encode(format[t], x); break;
	case DTYPE_I8: *p = (unsigned char)(int8_t)x; break;
	case DTYPE_U8:
	case DTYPE_BOOL: *p = (unsigned char)x; break;
	case DTYPE_I4: {
		int shift = (int)(i & 1) * 4;
		p = (unsigned char *)base + i / 2;
		*p = (unsigned char)((*p & ~(15 << shift)) | ((int)x & 15) << shift);
		break;
	}
	case DTYPE_I32: memcpy(p, &(int32_t){(int32_t)x}, 4); break;
	case DTYPE_I64: memcpy(p, &(int64_t){double_to_int64(x)}, 8); break;
	case DTYPES: break;
	}
}
