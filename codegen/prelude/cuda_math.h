/* Numbers on a device: s_ of reals, i_ of ints, si_ between int tensors and ints, over the primitives of
 * codegen/primitives.h. The common part of C17 and CUDA C++; functions that a device has without a header are
 * called by their names. A paragraph is one definition: generated code gets the ones it mentions. */

typedef float real;

#define REAL_INF at_f32_bits(0x7f800000u)

#define REAL_NAN at_f32_bits(0x7fc00000u)

#define INT_LEAST (-2147483647 - 1)

#define INT_MOST 2147483647

AT_INLINE int i_min(int a, int b) { return a < b ? a : b; }

AT_INLINE int i_max(int a, int b) { return a > b ? a : b; }

AT_INLINE int i_abs(int a) { return a < 0 ? -a : a; }

AT_INLINE int i_sign(int a) { return (a > 0) - (a < 0); }

AT_INLINE int i_relu(int a) { return a > 0 ? a : 0; }

AT_INLINE int i_idiv(int a, int b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

AT_INLINE int i_mod(int a, int b) { return a - b * i_idiv(a, b); }

AT_INLINE int i_bit_ceil(int a)
{
	unsigned x = a > 1 ? (unsigned)a - 1 : 0;
	for (int shift = 1; shift < 32; shift *= 2)
		x |= x >> shift;
	return (int)(x + 1);
}

#define i_select(c, a, b) ((c) ? (a) : (b))

#define i_not(a) (!(a))

#define i_of_bool(a) ((int)(a))

/* To nearest even; beyond the ends of an int its ends; NaN is 0. */
AT_INLINE int i_of_real(real a)
{
	if (!(a > -2147483648.0f))
		return a < 0 ? INT_LEAST : 0;
	return a < 2147483648.0f ? (int)rintf(a) : INT_MOST;
}

AT_INLINE int i_of_long(long a) { return a < INT_LEAST ? INT_LEAST : a > INT_MOST ? INT_MOST : (int)a; }

#define i_fold_sum(a, b) ((a) + (b))

#define i_fold_prod(a, b) ((a) * (b))

#define i_fold_max(a, b) i_max(a, b)

#define i_fold_min(a, b) i_min(a, b)

#define i_fold_any(a, b) ((a) | (b))

#define i_fold_all(a, b) ((a) & (b))

#define s_of_int(a) ((real)(a))

#define s_of_bool(a) ((real)(a))

#define s_select(c, a, b) ((c) ? (a) : (b))

#define s_min(a, b) at_min(a, b)

#define s_max(a, b) at_max(a, b)

#define s_div(a, b) at_div(a, b)

#define s_fold_sum(a, b) ((a) + (b))

#define s_fold_prod(a, b) ((a) * (b))

#define s_fold_max(a, b) s_max(a, b)

#define s_fold_min(a, b) s_min(a, b)

#define S_PARTNER(a, mask) at_f32_bits(at_shfl_xor(at_bits_f32(a), mask))

#define I_PARTNER(a, mask) ((int)at_shfl_xor((unsigned)(a), mask))

/* Joins the partial results of the four threads that share a row. */
#define V_QUAD(name, type, fold, PARTNER) \
	AT_INLINE type name(type a) \
	{ \
		a = fold(a, PARTNER(a, 1)); \
		return fold(a, PARTNER(a, 2)); \
	}

/* … of the eight that share a lane. */
#define V_COLUMN(name, type, fold, PARTNER) \
	AT_INLINE type name(type a) \
	{ \
		a = fold(a, PARTNER(a, 4)); \
		a = fold(a, PARTNER(a, 8)); \
		return fold(a, PARTNER(a, 16)); \
	}

V_QUAD(s_quad_sum, real, s_fold_sum, S_PARTNER)

V_COLUMN(s_column_sum, real, s_fold_sum, S_PARTNER)

V_QUAD(s_quad_prod, real, s_fold_prod, S_PARTNER)

V_COLUMN(s_column_prod, real, s_fold_prod, S_PARTNER)

V_QUAD(s_quad_max, real, s_fold_max, S_PARTNER)

V_COLUMN(s_column_max, real, s_fold_max, S_PARTNER)

V_QUAD(s_quad_min, real, s_fold_min, S_PARTNER)

V_COLUMN(s_column_min, real, s_fold_min, S_PARTNER)

V_QUAD(i_quad_sum, int, i_fold_sum, I_PARTNER)

V_COLUMN(i_column_sum, int, i_fold_sum, I_PARTNER)

V_QUAD(i_quad_prod, int, i_fold_prod, I_PARTNER)

V_COLUMN(i_column_prod, int, i_fold_prod, I_PARTNER)

V_QUAD(i_quad_max, int, i_fold_max, I_PARTNER)

V_COLUMN(i_column_max, int, i_fold_max, I_PARTNER)

V_QUAD(i_quad_min, int, i_fold_min, I_PARTNER)

V_COLUMN(i_column_min, int, i_fold_min, I_PARTNER)

V_QUAD(i_quad_any, int, i_fold_any, I_PARTNER)

V_COLUMN(i_column_any, int, i_fold_any, I_PARTNER)

V_QUAD(i_quad_all, int, i_fold_all, I_PARTNER)

V_COLUMN(i_column_all, int, i_fold_all, I_PARTNER)

AT_INLINE real s_abs(real a) { return fabsf(a); }

AT_INLINE real s_sign(real a) { return (real)((a > 0) - (a < 0)); }

#define s_floor(a) floorf(a)

#define s_round(a) rintf(a)

#define s_exp2(a) at_exp2(a)

#define s_exp(a) at_exp2((a) * 1.44269504f)

#define s_log(a) logf(a)

#define s_log2(a) log2f(a)

#define s_log1p(a) log1pf(a)

#define s_sqrt(a) sqrtf(a)

AT_INLINE real s_rsqrt(real a) { return 1 / sqrtf(a); }

#define s_pow(a, b) powf(a, b)

#define s_tanh(a) tanhf(a)

AT_INLINE real s_sigmoid(real a) { return at_reciprocal(1 + s_exp(-a)); }

AT_INLINE real s_softplus(real a) { return a > 0 ? a + log1pf(s_exp(-a)) : log1pf(s_exp(a)); }

AT_INLINE real s_relu(real a) { return a > 0 ? a : a != a ? a : 0; }

AT_INLINE real s_gelu(real a) { return 0.5f * a * erfcf(a * -0.70710678118654752f); }

AT_INLINE real s_silu(real a) { return a * at_reciprocal(1 + s_exp(-a)); }

#define s_erf(a) erff(a)

#define s_sin(a) sinf(a)

#define s_cos(a) cosf(a)

/* A float of `exponent` and `mantissa` bits (IEEE with infinities) as a float. */
AT_INLINE float s_widen(unsigned bits, int exponent, int mantissa)
{
	unsigned magnitude = bits & ((1u << (exponent + mantissa)) - 1), sign = bits >> (exponent + mantissa) << 31;
	unsigned top = ((1u << exponent) - 1) << mantissa, bias = (1u << (exponent - 1)) - 1;
	if (magnitude >= top)
		return at_f32_bits(sign | 0x7f800000u | (magnitude - top) << (23 - mantissa));
	if (magnitude >> mantissa)
		return at_f32_bits(sign | ((magnitude << (23 - mantissa)) + ((127 - bias) << 23)));
	return at_f32_bits(sign | at_bits_f32((float)magnitude * at_f32_bits((128 - bias - (unsigned)mantissa) << 23)));
}

/* A float rounded once, to nearest even, to such a float of less mantissa; a finite one to a finite one. */
AT_INLINE unsigned s_narrow(float a, int exponent, int mantissa)
{
	unsigned u = at_bits_f32(a) & 0x7fffffffu, sign = at_bits_f32(a) >> 31 << (exponent + mantissa);
	unsigned top = ((1u << exponent) - 1) << mantissa, m, half, kept;
	int bias = (1 << (exponent - 1)) - 1, e = (int)(u >> 23) - 127, drop;
	if (u > 0x7f800000u)
		return sign | top | 1u << (mantissa - 1);
	if (e > bias)
		return sign | (top - (e < 128));
	m = e > -127 ? (u & 0x7fffffu) | 0x800000u : u << 1;
	drop = 23 - mantissa + (e < 1 - bias ? 1 - bias - e : 0);
	if (drop > 25)
		return sign;
	half = 1u << (drop - 1);
	kept = m >> drop;
	m &= (1u << drop) - 1;
	kept += m > half || (m == half && (kept & 1));
	if (e >= 1 - bias)
		kept += (unsigned)(e + bias - 1) << mantissa;
	return sign | (kept < top ? kept : top - 1);
}

/* The primitives round what is too large to infinity; infinity and NaN stay. No branch. */
AT_INLINE float s_saturate(float a, float most)
{
	float near = at_max(at_min(a, most), -most);
	return fabsf(a) == REAL_INF ? a : near;
}

#define s_bits_bf16(a) (at_pack_bf16(s_saturate(a, at_f32_bits(0x7f7f0000u)), 0.0f) & 0xffffu)

#define s_bits_f16(a) (at_pack_f16(s_saturate(a, 65504.0f), 0.0f) & 0xffffu)

#define s_get_f32(p) at_f32_bits(at_load_u32(p))

#define s_get_bf16(p) at_f32_bits(at_load_u16(p) << 16)

#define s_get_f16(p) at_f32_f16(at_load_u16(p))

#define s_get_f8e5m2(p) s_widen(at_load_u8(p), 5, 2)

union s_double { double d; unsigned long u; };
AT_INLINE real s_get_f64(const double *p)
{
	union s_double x;
	x.u = at_load_u64(p);
	return (real)x.d;
}

/* No infinities: all ones is NaN, the rest of the top exponent is numbers. */
AT_INLINE real s_of_f8e4m3(unsigned bits)
{
	float magnitude = (bits & 0x7f) == 0x7f ? REAL_NAN : (bits & 0x78) == 0x78 ? (float)(8 + (bits & 7)) * 32 : s_widen(bits & 0x7f, 4, 3);
	return bits & 0x80 ? -magnitude : magnitude;
}
#define s_get_f8e4m3(p) s_of_f8e4m3(at_load_u8(p))

#define s_put_f32(p, a) at_store_u32(p, at_bits_f32(a))

#define s_put_bf16(p, a) at_store_u16(p, s_bits_bf16(a))

#define s_put_f16(p, a) at_store_u16(p, s_bits_f16(a))

#define s_put_f8e5m2(p, a) at_store_u8(p, s_narrow(a, 5, 2))

AT_INLINE void s_put_f64(double *p, real a)
{
	union s_double x;
	x.d = (double)a;
	at_store_u64(p, x.u);
}

AT_INLINE unsigned s_bits_f8e4m3(real a)
{
	float magnitude = fabsf(a);
	unsigned sign = a < 0 ? 0x80u : 0u;
	if (a != a)
		return 0x7f;
	if (magnitude >= 448)
		return sign | 0x7e;
	if (magnitude >= 256)
		return sign | (0x78 + (unsigned)rintf(magnitude / 32) - 8);
	return sign | s_narrow(magnitude, 4, 3);
}
#define s_put_f8e4m3(p, a) at_store_u8(p, s_bits_f8e4m3(a))

#define si_get_i8(p) ((int)(signed char)at_load_u8(p))

#define si_get_u8(p) ((int)at_load_u8(p))

/* Two to a byte, the even element low: a pointer to one is twice the address, plus the element. */
AT_INLINE int si_get_i4(long p)
{
	int nibble = (int)(at_load_u8((const void *)(p >> 1)) >> (p & 1) * 4) & 15;
	return nibble < 8 ? nibble : nibble - 16;
}

#define si_get_i32(p) ((int)at_load_u32(p))

#define si_get_i64(p) i_of_long((long)at_load_u64(p))

#define si_get_bool(p) ((int)(at_load_u8(p) != 0))

#define si_put_i8(p, a) at_store_u8(p, (unsigned)i_cast_i8(a) & 0xffu)

#define si_put_u8(p, a) at_store_u8(p, (unsigned)i_cast_u8(a))

#define si_put_i32(p, a) at_store_u32(p, (unsigned)(a))

#define si_put_i64(p, a) at_store_u64(p, (unsigned long)(long)(a))

#define si_put_bool(p, a) at_store_u8(p, (a) != 0)

#define i_cast_i8(a) i_max(-128, i_min(a, 127))

#define i_cast_u8(a) i_max(0, i_min(a, 255))

#define i_cast_i4(a) i_max(-8, i_min(a, 7))

#define i_cast_i32(a) (a)

#define i_cast_i64(a) (a)

#define i_cast_bool(a) ((int)((a) != 0))

#define s_cast_i8(a) i_cast_i8(i_of_real(a))

#define s_cast_u8(a) i_cast_u8(i_of_real(a))

#define s_cast_i4(a) i_cast_i4(i_of_real(a))

#define s_cast_i32(a) i_of_real(a)

#define s_cast_i64(a) i_of_real(a)

#define s_cast_bool(a) ((int)((a) == (a) && (a) != 0))

#define i_cast_f32(a) ((real)(a))

#define i_cast_f64(a) ((real)(a))

#define i_cast_f16(a) s_cast_f16((real)(a))

#define i_cast_bf16(a) s_cast_bf16((real)(a))

#define i_cast_f8e4m3(a) s_cast_f8e4m3((real)(a))

#define i_cast_f8e5m2(a) s_cast_f8e5m2((real)(a))

#define s_cast_f64(a) (a)

#define s_cast_f32(a) (a)

#define s_cast_f16(a) at_f32_f16(s_bits_f16(a))

#define s_cast_bf16(a) at_f32_bits(s_bits_bf16(a) << 16)

#define s_cast_f8e5m2(a) s_widen(s_narrow(a, 5, 2), 5, 2)

#define s_cast_f8e4m3(a) s_of_f8e4m3(s_bits_f8e4m3(a))

/* An int in the order of the numbers: NaN the largest, -0 as 0. */
AT_INLINE int s_key(real a)
{
	unsigned bits = at_bits_f32(a), magnitude = bits & 0x7fffffffu;
	return magnitude > 0x7f800000u ? INT_MOST : bits >> 31 ? -(int)magnitude : (int)magnitude;
}

AT_INLINE real s_of_key(int key) { return at_f32_bits(key < 0 ? (unsigned)-key | 0x80000000u : (unsigned)key); }

/* Over the lanes of a warp: sums and maxima, the same in all of them. */
AT_INLINE int i_across_sum(int a)
{
	for (int mask = 1; mask < 32; mask *= 2)
		a += (int)at_shfl_xor((unsigned)a, mask);
	return a;
}

AT_INLINE int i_across_max(int a)
{
	for (int mask = 1; mask < 32; mask *= 2)
		a = i_max(a, (int)at_shfl_xor((unsigned)a, mask));
	return a;
}

AT_INLINE double s_across_sum(double a)
{
	for (int mask = 1; mask < 32; mask *= 2) {
		union { double number; unsigned half[2]; } x;
		x.number = a;
		x.half[0] = at_shfl_xor(x.half[0], mask);
		x.half[1] = at_shfl_xor(x.half[1], mask);
		a += x.number;
	}
	return a;
}

/* The sum over the lanes before this one; *a becomes that over all. */
AT_INLINE int i_before(int lane, int *a)
{
	int before = 0;
	for (int mask = 1; mask < 32; mask *= 2) {
		int other = (int)at_shfl_xor((unsigned)*a, mask);
		before += lane & mask ? other : 0;
		*a += other;
	}
	return before;
}
