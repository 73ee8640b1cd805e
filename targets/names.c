#include "targets/names.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "targets/emulate.h"

/* Each also with the suffix f, of floats. */
/* clang-format off */
#define EACH_MATH(X)                                                                                         \
	X(acos) X(asin) X(atan) X(atan2) X(cbrt) X(ceil) X(copysign) X(cos) X(cosh) X(erf) X(erfc) X(exp)    \
	X(exp2) X(expm1) X(fabs) X(floor) X(fma) X(fmax) X(fmin) X(fmod) X(frexp) X(hypot) X(ldexp) X(log)   \
	X(log10) X(log1p) X(log2) X(lrint) X(nearbyint) X(pow) X(rint) X(round) X(roundeven) X(scalbn)       \
	X(sin) X(sinh) X(sqrt) X(tan) X(tanh) X(trunc)
/* clang-format on */

/* What libtcc calls for conversions of unsigned 64-bit integers, from a library of its own that is not
 * installed with it. */
static double from_u64(uint64_t x)
{
	return (double)x;
}

static float from_u64f(uint64_t x)
{
	return (float)x;
}

static uint64_t to_u64(double x)
{
	return (uint64_t)x;
}

static uint64_t to_u64f(float x)
{
	return (uint64_t)x;
}

/* POSIX lets a function's address be a void *; ISO C only by way of an integer. */
#define ADDRESS(f) ((void *)(uintptr_t)(f))
#define BOTH(g) {#g, ADDRESS(g)}, {#g "f", ADDRESS(g##f)},

const struct name *generated_code_names(void)
{
	static const struct name names[] = {
	        EACH_MATH(BOTH)
	        /* What Clang makes of a sine beside a cosine, and of powers of ten. */
	        BOTH(sincos) BOTH(exp10){"memcpy", ADDRESS(memcpy)},
	        {"memmove", ADDRESS(memmove)},
	        {"memset", ADDRESS(memset)},
	        {"memcmp", ADDRESS(memcmp)},
	        {"__floatundidf", ADDRESS(from_u64)},
	        {"__floatundisf", ADDRESS(from_u64f)},
	        {"__fixunsdfdi", ADDRESS(to_u64)},
	        {"__fixunssfdi", ADDRESS(to_u64f)},
	        {"__ubsan_handle_out_of_bounds_abort", ADDRESS(emulate_out_of_bounds)},
	        {NULL, NULL},
	};
	return names;
}
