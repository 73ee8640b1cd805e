/* The type of computation: double. */

typedef double real;

#define LIBM(name) name

#define REAL_INF (1.0 / 0.0)

#define REAL_NAN (0.0 / 0.0)

double exp(double);
#define s_exp(a) exp(a)

double exp2(double);
#define s_exp2(a) exp2(a)

typedef long at_key;
typedef unsigned long at_unsigned_key;

#define KEY_LEAST (-0x7fffffffffffffffL - 1)

#define KEY_MOST 0x7fffffffffffffffL

/* An int in the order of the numbers; see select.h. */
static inline long select_key(double a)
{
	union { long i; double f; } x;
	x.f = a;
	return a != a ? KEY_MOST : x.i < 0 ? -(x.i & KEY_MOST) : x.i;
}

static inline double select_number(long key)
{
	union { long i; double f; } x;
	x.i = key < 0 ? -key | KEY_LEAST : key;
	return x.f;
}
