/* The type of computation: float. */

typedef float real;

#define LIBM(name) name##f

#define REAL_INF (1.0f / 0.0f)

#define REAL_NAN (0.0f / 0.0f)

/* 2 · 2^f for |f| up to 1/2. */
static inline float s_exp2_polynomial(float f)
{
	float p = f * (2 * 0.001326459086f) + 2 * 0.009671618964f;
	p = p * f + 2 * 0.05550735031f;
	p = p * f + 2 * 0.2402224046f;
	p = p * f + 2 * 0.6931469764f;
	return p * f + 2.0f;
}

/* Added to n, it leaves n + 126, the exponent of 2^(n - 1), in the low bits. */
#define S_ROUNDER 12583038.0f

static inline float s_power_of_two(float rounded)
{
	union { float f; unsigned u; } x;
	x.f = rounded;
	x.u <<= 23;
	return x.f;
}

/* Choices in place of branches, so that compilers make vectors of it; results below 2^-125.5 are 0. Without FMA: ln 2
 * in two parts, the first short enough for an exact product. */
static inline float s_exp(float a)
{
	float least = a > -87.5f ? a : -87.5f, b = least < 89.25f ? least : 89.25f;
	float rounded = b * 1.44269504f + S_ROUNDER, n = rounded - S_ROUNDER;
	float f = (b - n * 0.693359375f + n * 2.12194440e-4f) * 1.44269504f;
	float e = s_exp2_polynomial(f) * s_power_of_two(rounded);
	return a != a ? a : e;
}

static inline float s_exp2(float a)
{
	float least = a > -126.0f ? a : -126.0f, b = least < 129.0f ? least : 129.0f;
	float rounded = b + S_ROUNDER;
	float e = s_exp2_polynomial(b - (rounded - S_ROUNDER)) * s_power_of_two(rounded);
	return a != a ? a : e;
}

typedef int at_key;
typedef unsigned at_unsigned_key;

#define KEY_LEAST (-2147483647 - 1)

#define KEY_MOST 2147483647

/* An int in the order of the numbers; see select.h. */
static inline int select_key(float a)
{
	union { int i; float f; } x;
	x.f = a;
	return a != a ? KEY_MOST : x.i < 0 ? -(x.i & KEY_MOST) : x.i;
}

static inline float select_number(int key)
{
	union { int i; float f; } x;
	x.i = key < 0 ? -key | KEY_LEAST : key;
	return x.f;
}
