/* Scalar forms: s_ of reals, i_ of ints (long), si_ moves between int tensors and ints. Plain C for any
 * compiler; what is not here comes from the mathematical library. A paragraph is one definition: generated
 * code gets the ones it mentions. */

#define INT_LEAST (-2147483647 - 1)

#define INT_MOST 2147483647

static inline long i_min(long a, long b) { return a < b ? a : b; }

static inline long i_max(long a, long b) { return a > b ? a : b; }

static inline long i_abs(long a) { return a < 0 ? -a : a; }

static inline long i_sign(long a) { return (a > 0) - (a < 0); }

static inline long i_relu(long a) { return a > 0 ? a : 0; }

static inline long i_idiv(long a, long b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

static inline long i_mod(long a, long b) { return a - b * i_idiv(a, b); }

static inline long i_bit_ceil(long a)
{
	unsigned long x = a > 1 ? (unsigned long)a - 1 : 0;
	for (int shift = 1; shift < 64; shift *= 2)
		x |= x >> shift;
	return (long)x + 1;
}

#define i_select(c, a, b) ((c) ? (a) : (b))

#define i_not(a) (!(a))

#define i_of_bool(a) ((long)(a))

static inline long i_of_real(real a)
{
	real floor_a, part;
	long n;
	if (!(a > -9.2e18f && a < 9.2e18f))
		return a > 0 ? 0x7fffffffffffffffL : a < 0 ? -0x7fffffffffffffffL - 1 : 0;
	n = (long)a;
	floor_a = (real)n;
	if (floor_a > a)
		floor_a = (real)--n;
	part = a - floor_a;
	return n + (part > (real)0.5 || (part == (real)0.5 && (n & 1)));
}

#define i_fold_sum(a, b) ((a) + (b))

#define i_fold_prod(a, b) ((a) * (b))

#define i_fold_max(a, b) i_max(a, b)

#define i_fold_min(a, b) i_min(a, b)

#define i_fold_any(a, b) ((a) | (b))

#define i_fold_all(a, b) ((a) & (b))

#define s_of_int(a) ((real)(a))

#define s_of_bool(a) ((real)(a))

#define s_select(c, a, b) ((c) ? (a) : (b))

static inline real s_min(real a, real b) { return a < b ? a : a != a ? a : b; }

static inline real s_max(real a, real b) { return a > b ? a : a != a ? a : b; }

#define s_fold_sum(a, b) ((a) + (b))

#define s_fold_prod(a, b) ((a) * (b))

#define s_fold_max(a, b) s_max(a, b)

#define s_fold_min(a, b) s_min(a, b)

static inline real s_abs(real a) { return a < 0 ? -a : a + 0; }

static inline real s_sign(real a) { return (real)((a > 0) - (a < 0)); }

real LIBM(floor)(real);
#define s_floor(a) LIBM(floor)(a)

real LIBM(nearbyint)(real);
#define s_round(a) LIBM(nearbyint)(a)

real LIBM(log)(real);
#define s_log(a) LIBM(log)(a)

real LIBM(log2)(real);
#define s_log2(a) LIBM(log2)(a)

real LIBM(log1p)(real);
#define s_log1p(a) LIBM(log1p)(a)

real LIBM(sqrt)(real);
#define s_sqrt(a) LIBM(sqrt)(a)

static inline real s_rsqrt(real a) { return 1 / s_sqrt(a); }

real LIBM(pow)(real, real);
#define s_pow(a, b) LIBM(pow)(a, b)

real LIBM(tanh)(real);
#define s_tanh(a) LIBM(tanh)(a)

static inline real s_sigmoid(real a) { return 1 / (1 + s_exp(-a)); }

static inline real s_softplus(real a) { return a > 0 ? a + s_log1p(s_exp(-a)) : s_log1p(s_exp(a)); }

static inline real s_relu(real a) { return a > 0 ? a : a != a ? a : 0; }

real LIBM(erfc)(real);
static inline real s_gelu(real a) { return (real)0.5 * a * LIBM(erfc)(a * (real)-0.70710678118654752); }

static inline real s_silu(real a) { return a / (1 + s_exp(-a)); }

real LIBM(erf)(real);
#define s_erf(a) LIBM(erf)(a)

real LIBM(sin)(real);
#define s_sin(a) LIBM(sin)(a)

real LIBM(cos)(real);
#define s_cos(a) LIBM(cos)(a)

union s_bits { float f; unsigned u; };

static inline float s_float_of_bits(unsigned u)
{
	union s_bits x;
	x.u = u;
	return x.f;
}

static inline unsigned s_bits_of_float(float f)
{
	union s_bits x;
	x.f = f;
	return x.u;
}

/* A float of `exponent` and `mantissa` bits, the top exponent one like any other, as a float. Without branches, so that
 * compilers do several at once; a denormal is what a number with the least exponent is more than that power. */
static inline float s_widen_finite(unsigned bits, int exponent, int mantissa)
{
	unsigned magnitude = bits & ((1u << (exponent + mantissa)) - 1), sign = bits >> (exponent + mantissa) << 31;
	unsigned shifted = magnitude << (23 - mantissa), bias = (1u << (exponent - 1)) - 1, least = (128 - bias) << 23;
	unsigned small = s_bits_of_float(s_float_of_bits(least + shifted) - s_float_of_bits(least));
	return s_float_of_bits(sign | (magnitude >> mantissa ? shifted + ((127 - bias) << 23) : small));
}

/* … IEEE with infinities. */
static inline float s_widen(unsigned bits, int exponent, int mantissa)
{
	unsigned top = ((1u << exponent) - 1) << mantissa, finite = s_bits_of_float(s_widen_finite(bits, exponent, mantissa));
	return s_float_of_bits((bits & top) == top ? finite + ((128u - (1u << (exponent - 1))) << 23) : finite);
}

/* A double rounded once, to nearest even, to such a float; a finite one to a finite one. */
static inline unsigned s_narrow(double a, int exponent, int mantissa)
{
	union { double d; unsigned long u; } x;
	int bias = (1 << (exponent - 1)) - 1, e;
	unsigned long m, half, kept;
	unsigned sign, top = ((1u << exponent) - 1) << mantissa;
	int drop;
	x.d = a;
	sign = (unsigned)(x.u >> 63) << (exponent + mantissa);
	x.u &= ~0UL >> 1;
	if (x.u > 0x7ff0000000000000UL)
		return sign | top | 1u << (mantissa - 1);
	e = (int)(x.u >> 52) - 1023;
	if (e > bias)
		return sign | (top - (e < 1024));
	m = (x.u & 0xfffffffffffffUL) | 0x10000000000000UL;
	drop = 52 - mantissa + (e < 1 - bias ? 1 - bias - e : 0);
	if (drop > 54)
		return sign;
	half = 1UL << (drop - 1);
	kept = m >> drop;
	m &= (1UL << drop) - 1;
	kept += m > half || (m == half && (kept & 1));
	if (e >= 1 - bias)
		kept += (unsigned long)(e + bias - 1) << mantissa;
	return sign | (kept < top ? (unsigned)kept : top - 1);
}

#define s_get_f64(p) ((real)*(p))

#define s_get_f32(p) ((real)*(p))

#define s_get_bf16(p) ((real)s_float_of_bits((unsigned)*(p) << 16))

#define s_get_f16(p) ((real)s_widen(*(p), 5, 10))

#define s_get_f8e5m2(p) ((real)s_widen(*(p), 5, 2))

/* No infinities: all ones is NaN, the rest of the top exponent is numbers. */
static inline real s_get_f8e4m3(const unsigned char *p)
{
	return (*p & 0x7f) == 0x7f ? REAL_NAN : (real)s_widen_finite(*p, 4, 3);
}

#define s_put_f64(p, a) (*(p) = (double)(a))

#define s_put_f32(p, a) (*(p) = (float)(a))

#define s_put_bf16(p, a) (*(p) = (unsigned short)s_narrow((double)(a), 8, 7))

#define s_put_f16(p, a) (*(p) = (unsigned short)s_narrow((double)(a), 5, 10))

#define s_put_f8e5m2(p, a) (*(p) = (unsigned char)s_narrow((double)(a), 5, 2))

static inline unsigned char s_bits_f8e4m3(double a)
{
	double magnitude = a < 0 ? -a : a;
	unsigned sign = a < 0 ? 0x80 : 0;
	if (a != a)
		return 0x7f;
	if (magnitude >= 448)
		return (unsigned char)(sign | 0x7e);
	if (magnitude >= 256)
		return (unsigned char)(sign | (0x78 + (unsigned)i_of_real((real)(magnitude / 32)) - 8));
	return (unsigned char)(sign | s_narrow(magnitude, 4, 3));
}
#define s_put_f8e4m3(p, a) (*(p) = s_bits_f8e4m3((double)(a)))

#define si_get_i8(p) ((long)*(p))

#define si_get_u8(p) ((long)*(p))

/* Two to a byte, the even element low: a pointer to one is twice the address, plus the element. */
static inline long si_get_i4(long p)
{
	long nibble = *(const unsigned char *)(p >> 1) >> (p & 1) * 4 & 15;
	return nibble < 8 ? nibble : nibble - 16;
}

#define si_get_i32(p) ((long)*(p))

#define si_get_i64(p) ((long)*(p))

#define si_get_bool(p) ((long)(*(p) != 0))

#define si_put_i8(p, a) (*(p) = (signed char)i_cast_i8(a))

#define si_put_u8(p, a) (*(p) = (unsigned char)i_cast_u8(a))

/* Two tasks may store the halves of a byte, each at any time. */
static inline void si_put_i4(long p, long a)
{
	unsigned char *byte = (unsigned char *)(p >> 1);
	int shift = (int)(p & 1) * 4;
	unsigned char kept = (unsigned char)(0xf0 >> shift), half = (unsigned char)((int)(i_cast_i4(a) & 15) << shift);
#ifdef __TINYC__
	__asm__ volatile("lock\n\tandb %1, %0" : "+m"(*byte) : "q"(kept));
	__asm__ volatile("lock\n\torb %1, %0" : "+m"(*byte) : "q"(half));
#else
	__atomic_fetch_and(byte, kept, __ATOMIC_RELAXED);
	__atomic_fetch_or(byte, half, __ATOMIC_RELAXED);
#endif
}

#define si_put_i32(p, a) (*(p) = (int)i_cast_i32(a))

#define si_put_i64(p, a) (*(p) = (long)(a))

#define si_put_bool(p, a) (*(p) = (unsigned char)((a) != 0))

#define i_cast_i8(a) i_max(-128, i_min(a, 127))

#define i_cast_u8(a) i_max(0, i_min(a, 255))

#define i_cast_i4(a) i_max(-8, i_min(a, 7))

#define i_cast_i32(a) i_max(INT_LEAST, i_min(a, INT_MOST))

#define i_cast_i64(a) (a)

#define i_cast_bool(a) ((long)((a) != 0))

#define s_cast_i8(a) i_cast_i8(i_of_real(a))

#define s_cast_u8(a) i_cast_u8(i_of_real(a))

#define s_cast_i4(a) i_cast_i4(i_of_real(a))

#define s_cast_i32(a) i_cast_i32(i_of_real(a))

#define s_cast_i64(a) i_of_real(a)

#define s_cast_bool(a) ((long)((a) == (a) && (a) != 0))

#define i_cast_f32(a) s_cast_f32((real)(a))

#define i_cast_f64(a) ((real)(a))

#define i_cast_f16(a) s_cast_f16((real)(a))

#define i_cast_bf16(a) s_cast_bf16((real)(a))

#define i_cast_f8e4m3(a) s_cast_f8e4m3((real)(a))

#define i_cast_f8e5m2(a) s_cast_f8e5m2((real)(a))

#define s_cast_f64(a) ((real)(a))

#define s_cast_f32(a) ((real)(float)(a))

static inline real s_cast_f16(real a) { return (real)s_widen(s_narrow((double)a, 5, 10), 5, 10); }

static inline real s_cast_bf16(real a) { return (real)s_widen(s_narrow((double)a, 8, 7), 8, 7); }

static inline real s_cast_f8e5m2(real a) { return (real)s_widen(s_narrow((double)a, 5, 2), 5, 2); }

static inline real s_cast_f8e4m3(real a)
{
	unsigned char bits = s_bits_f8e4m3((double)a);
	return s_get_f8e4m3(&bits);
}
