/* Exponentials where no instruction multiplies by a power of two: half of one is made of the bits of the number that
 * the argument was rounded by, and the polynomial is doubled. Results below 2^-125.5 are 0. */

#define V_EXP2_OF_0 2.0f

/* Added to n, it leaves n + 126, the exponent of 2^(n - 1), in the low bits. */
#define V_ROUNDER 12583038.0f

/* From below where 2^(n - 1) is 0; NaN stays. */
#define v_exp_bounded(a) v_max_or_second(v_splat(-87.5f), a)

#define v_exp2_bounded(a) v_max_or_second(v_splat(-126), a)

/* From above where 2^(n - 1) is infinite, and the fraction that is left is not negative. As ints, so that another unit
 * than that of the exponential's additions does it. What NaN becomes is no matter: the fraction is NaN too. */
INLINE vreal v_exp2_rounded(vreal rounded) { return (vreal)vi_min((vint)rounded, (vint)v_splat(V_ROUNDER + 129)); }

/* The whole number n nearest to a·log2 e, plus V_ROUNDER. */
INLINE vreal v_exp_whole(vreal a)
{
	return v_exp2_rounded(v_multiply_add(v_exp_bounded(a), v_splat(1.44269502f), v_splat(V_ROUNDER)));
}

/* a·log2 e - n, with log2 e in two parts. */
INLINE vreal v_exp_fraction(vreal a, vreal rounded)
{
	a = v_exp_bounded(a);
	vreal fraction = v_multiply_add(a, v_splat(1.44269502f), V_ROUNDER - rounded);
	return v_multiply_add(a, v_splat(1.92596303e-8f), fraction);
}

INLINE vreal v_exp2_whole(vreal a) { return v_exp2_rounded(v_exp2_bounded(a) + V_ROUNDER); }

INLINE vreal v_exp2_fraction(vreal a, vreal rounded) { return v_exp2_bounded(a) - (rounded - V_ROUNDER); }

#define v_exp2_power(fraction) v_exp2_polynomial(fraction)

#define v_exp2_end(p, rounded) ((p) * (vreal)((vint)(rounded) << 23))

#define v_exp2_beside(a) v_exp2(a)
