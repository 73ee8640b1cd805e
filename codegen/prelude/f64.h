/* The type of computation: double. */

typedef double real;

#define LIBM(name) name

#define REAL_INF (1.0 / 0.0)

#define REAL_NAN (0.0 / 0.0)

double exp(double);
#define s_exp(a) exp(a)
