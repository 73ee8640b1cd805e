/* The type of computation: float. */

typedef float real;

#define LIBM(name) name##f

#define REAL_INF (1.0f / 0.0f)

#define REAL_NAN (0.0f / 0.0f)

static inline float s_power_of_two(int n)
{
	union { unsigned u; float f; } x;
	x.u = (unsigned)(n + 127) << 23;
	return x.f;
}

/* 2^(f + n) for |f| up to 1/2 and n from -252 to 254: the power in two steps, so that denormal results are right. */
static inline float s_exp2_of(float f, int n)
{
	float p = f * 0.001326459086f + 0.009671618964f;
	int half = n / 2;
	p = p * f + 0.05550735031f;
	p = p * f + 0.2402224046f;
	p = p * f + 0.6931469764f;
	p = p * f + 1.0f;
	return p * s_power_of_two(half) * s_power_of_two(n - half);
}

/* Without FMA: ln 2 in two parts, the first short enough for an exact product. */
static inline float s_exp(float a)
{
	float n;
	int whole;
	if (!(a > -104.0f))
		return a != a ? a : 0.0f;
	if (a > 89.0f)
		return REAL_INF;
	whole = (int)(a * 1.44269504f + (a < 0 ? -0.5f : 0.5f));
	n = (float)whole;
	return s_exp2_of((a - n * 0.693359375f + n * 2.12194440e-4f) * 1.44269504f, whole);
}

static inline float s_exp2(float a)
{
	int whole;
	if (!(a > -150.0f))
		return a != a ? a : 0.0f;
	if (a >= 128.0f)
		return REAL_INF;
	whole = (int)(a + (a < 0 ? -0.5f : 0.5f));
	return s_exp2_of(a - (float)whole, whole);
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
