/* Exponentials where no instruction multiplies by a power of two: it is made of the bits of the number that the
 * argument was rounded by. A result below the least normal number may be 0, which it is from 2^-126.5. */

/* Added to n, it leaves n + 127, the exponent of 2^n, in the low bits. */
#define V_ROUNDER 12583039.0f

/* Where 2^n begins to be 0, and ends to be finite; NaN stays. */
INLINE vreal v_exp2_bounded(vreal a) { return v_max_or_second(v_splat(-127), v_min_or_second(v_splat(130), a)); }

INLINE vreal v_exp_bounded(vreal a) { return v_max_or_second(v_splat(-88), v_min_or_second(v_splat(90), a)); }

/* The whole number n nearest to a·log2 e, plus V_ROUNDER. */
INLINE vreal v_exp_whole(vreal a) { return v_multiply_add(v_exp_bounded(a), v_splat(1.44269502f), v_splat(V_ROUNDER)); }

/* a·log2 e - n, with log2 e in two parts. */
INLINE vreal v_exp_fraction(vreal a, vreal rounded)
{
	a = v_exp_bounded(a);
	vreal fraction = v_multiply_add(a, v_splat(1.44269502f), V_ROUNDER - rounded);
	return v_multiply_add(a, v_splat(1.92596303e-8f), fraction);
}

INLINE vreal v_exp2_whole(vreal a) { return v_exp2_bounded(a) + V_ROUNDER; }

INLINE vreal v_exp2_fraction(vreal a, vreal rounded) { return v_exp2_bounded(a) - (rounded - V_ROUNDER); }

/* p · 2^n. From n = 128 on the power is no number: p is multiplied by 1 + (n - 127), which is 2 or makes infinity. */
INLINE vreal v_exp2_end(vreal p, vreal rounded)
{
	vreal finite = v_min_or_second(v_splat(V_ROUNDER + 127), rounded);
	return v_multiply_add(p, rounded - finite, p) * (vreal)((vint)finite << 23);
}
