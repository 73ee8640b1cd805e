/* Vectors of AVX-512 (F, BW, DQ, VL): types, and what has an instruction but no vector operator. */

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16 };
typedef float vreal __attribute__((vector_size(64)));
typedef int vint __attribute__((vector_size(64)));
typedef float vreal_at __attribute__((vector_size(64), aligned(4), may_alias));
typedef int vint_at __attribute__((vector_size(64), aligned(4), may_alias));
typedef unsigned char vbytes __attribute__((vector_size(16)));
typedef unsigned short vhalves __attribute__((vector_size(32)));
typedef unsigned short vmask; /* a bit a lane */

#define V_LANES_NUMBERED {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

/* The first `left` lanes. */
INLINE vmask v_mask(long left) { return left >= 16 ? 0xffff : left <= 0 ? 0 : (vmask)((1u << left) - 1); }

INLINE vreal v_load_part(const real *p, long left)
{
	vreal a;
	__asm__("vmovups %1, %0%{%2%}%{z%}" : "=v"(a) : "m"(*(const vreal_at *)p), "Yk"(v_mask(left)));
	return a;
}

INLINE void v_store_part(real *p, vreal a, long left)
{
	__asm__("vmovups %1, %0%{%2%}" : "+m"(*(vreal_at *)p) : "v"(a), "Yk"(v_mask(left)));
}

INLINE void vi_store_part(int *p, vint a, long left)
{
	__asm__("vmovdqu32 %1, %0%{%2%}" : "+m"(*(vint_at *)p) : "v"(a), "Yk"(v_mask(left)));
}

/* Of 16 bit integers: the sum of two products a lane. */
INLINE vint vi_multiply_pairs(vint a, vint b)
{
	__asm__("vpmaddwd %2, %1, %0" : "=v"(a) : "v"(a), "v"(b));
	return a;
}

/* One instruction: the second operand where either is NaN. */
INLINE vreal v_max_or_second(vreal a, vreal b)
{
	__asm__("vmaxps %2, %1, %0" : "=v"(a) : "v"(a), "v"(b));
	return a;
}

INLINE vreal v_min_or_second(vreal a, vreal b)
{
	__asm__("vminps %2, %1, %0" : "=v"(a) : "v"(a), "v"(b));
	return a;
}

INLINE vreal v_sqrt(vreal a)
{
	__asm__("vsqrtps %1, %0" : "=v"(a) : "v"(a));
	return a;
}

INLINE vreal v_round(vreal a)
{
	__asm__("vrndscaleps $8, %1, %0" : "=v"(a) : "v"(a));
	return a;
}

INLINE vreal v_floor(vreal a)
{
	__asm__("vrndscaleps $9, %1, %0" : "=v"(a) : "v"(a));
	return a;
}

/* a · 2^n for whole n: infinite, denormal or zero where it must be, and NaN where n is. */
INLINE vreal v_scale(vreal a, vreal n)
{
	__asm__("vscalefps %2, %1, %0" : "=v"(a) : "v"(a), "v"(n));
	return a;
}

/* The sign of a and the smaller of |a| and |limit|; |limit| where a is NaN. */
INLINE vreal v_within(vreal a, vreal limit)
{
	__asm__("vrangeps $2, %2, %1, %0" : "=v"(a) : "v"(a), "v"(limit));
	return a;
}

/* Fused even where the compiler would rather share the product. */
INLINE vreal v_multiply_add(vreal a, vreal b, vreal c)
{
	__asm__("vfmadd213ps %3, %2, %0" : "=v"(a) : "0"(a), "v"(b), "v"(c));
	return a;
}

INLINE vreal v_multiply_subtract(vreal a, vreal b, vreal c)
{
	__asm__("vfmsub213ps %3, %2, %0" : "=v"(a) : "0"(a), "v"(b), "v"(c));
	return a;
}

#define V_EXP2_OF_0 1.0f

/* A fraction within bounds, also of an infinity or NaN: then n alone makes infinity, zero and NaN. */
#define v_exp2_within(fraction) v_within(fraction, v_splat(0.51f))

/* Adding it leaves the nearest whole number in the low bits. */
#define V_ROUNDER 12582912.0f

/* The whole number nearest to a·log2 e. */
INLINE vreal v_exp_whole(vreal a) { return v_multiply_add(a, v_splat(1.44269502f), v_splat(V_ROUNDER)) - V_ROUNDER; }

/* a·log2 e - n, with log2 e in two parts. */
INLINE vreal v_exp_fraction(vreal a, vreal n)
{
	vreal fraction = v_multiply_subtract(a, v_splat(1.44269502f), n);
	return v_exp2_within(v_multiply_add(a, v_splat(1.92596303e-8f), fraction));
}

/* a less the greatest whole number that is not above; 0 for an infinity. v_scale takes that whole number. */
INLINE vreal v_fraction(vreal a)
{
	__asm__("vreduceps $9, %1, %0" : "=v"(a) : "v"(a));
	return a;
}

#define v_exp2_whole(a) (a)

#define v_exp2_fraction(a, whole) v_fraction(a)

/* 2^a for a from 0 to 1, exact at both; relative error 1e-4, 3e-6, 9e-8, 2e-9 for degrees 3 to 6. */
INLINE vreal v_exp2_power(vreal a)
{
#if EXP_DEGREE == 3
	vreal p = a * 0.07826796999f + 0.2263076826f;
	p = p * a + 0.6954243474f;
#elif EXP_DEGREE == 4
	vreal p = a * 0.01355574727f + 0.05203236894f;
	p = p * a + 0.2413797630f;
	p = p * a + 0.6930321208f;
#elif EXP_DEGREE == 5
	vreal p = a * 0.001879318654f + 0.008990995059f;
	p = p * a + 0.05581867602f;
	p = p * a + 0.2401592714f;
	p = p * a + 0.6931517388f;
#else
	vreal p = a * 0.0002171502578f + 0.001244087696f;
	p = p * a + 0.009678063887f;
	p = p * a + 0.05548415247f;
	p = p * a + 0.2402295133f;
	p = p * a + 0.6931470324f;
#endif
	return p * a + 1.0f;
}

#define v_exp2_end(p, n) v_scale(p, n)

/* a to the next lower multiple of a power of two, of which `rounder` is 3 · 2^22: how many of it are in the low bits. */
INLINE vreal v_exp2_place(vreal a, real rounder)
{
	__asm__("vaddps %{rd-sae%}, %2, %1, %0" : "=v"(a) : "v"(a), "v"(v_splat(rounder)));
	return a;
}

/* 2^(place / 32), 2^(place / 16) and that by 0.7057, of the low bits of a place. */
INLINE vreal v_exp2_of_32nds(vreal place)
{
	static const float power[2 * LANES] __attribute__((aligned(64))) = {
	        1.0f, 1.0218972f, 1.04427373f, 1.06714046f, 1.09050775f, 1.1143868f, 1.13878858f, 1.1637249f,
	        1.18920708f, 1.21524739f, 1.24185777f, 1.26905096f, 1.29683959f, 1.32523668f, 1.35425556f, 1.38390994f,
	        1.41421354f, 1.44518077f, 1.47682619f, 1.50916445f, 1.54221082f, 1.5759809f, 1.61049032f, 1.64575553f,
	        1.68179286f, 1.71861935f, 1.75625217f, 1.79470909f, 1.8340081f, 1.87416768f, 1.91520655f, 1.95714414f};
	vreal a = *(const vreal *)power;
	__asm__("vpermt2ps %2, %1, %0" : "+v"(a) : "v"(place), "m"(*(const vreal *)(power + LANES)));
	return a;
}

INLINE vreal v_exp2_of_16ths(vreal place)
{
	static const float power[LANES] __attribute__((aligned(64))) = {
	        1.0f, 1.04427373f, 1.09050775f, 1.13878858f, 1.18920708f, 1.24185777f, 1.29683959f, 1.35425556f,
	        1.41421354f, 1.47682619f, 1.54221082f, 1.61049032f, 1.68179286f, 1.75625217f, 1.8340081f, 1.91520655f};
	vreal a;
	__asm__("vpermps %2, %1, %0" : "=v"(a) : "v"(place), "m"(*(const vreal *)power));
	return a;
}

INLINE vreal v_exp2_slope_of_16ths(vreal place)
{
	static const float slope[LANES] __attribute__((aligned(64))) = {
	        0.705704033f, 0.736948252f, 0.769575715f, 0.803647757f, 0.839228272f, 0.876384079f, 0.915184915f, 0.955703616f,
	        0.998016238f, 1.04220223f, 1.08834445f, 1.13652956f, 1.18684804f, 1.23939419f, 1.29426694f, 1.35156906f};
	vreal a;
	__asm__("vpermps %2, %1, %0" : "=v"(a) : "v"(place), "m"(*(const vreal *)slope));
	return a;
}

/* a less the next lower multiple of 2^-5, of 2^-4; 0 for an infinity. */
INLINE vreal v_after_32nds(vreal a)
{
	__asm__("vreduceps $0x59, %1, %0" : "=v"(a) : "v"(a));
	return a;
}

INLINE vreal v_after_16ths(vreal a)
{
	__asm__("vreduceps $0x49, %1, %0" : "=v"(a) : "v"(a));
	return a;
}

/* 2^a where multiplications are scarce: powers from a table and one, three or four of them, exact at whole a. Relative error
 * 2e-4, 1e-7, 6e-8 where EXP_DEGREE is 3, 4 or 5, 6. */
INLINE vreal v_exp2_beside(vreal a)
{
#if EXP_DEGREE == 3
	vreal place = v_exp2_place(a, 786432.0f);
	return v_scale(v_after_16ths(a) * v_exp2_slope_of_16ths(place) + v_exp2_of_16ths(place), a);
#else
	vreal power = v_exp2_of_32nds(v_exp2_place(a, 393216.0f)), r = v_after_32nds(a);
#if EXP_DEGREE == 6
	vreal p = r * 0.05608423f + 0.24021599f;
	p = p * r + 0.69314723f;
#else
	vreal p = r * 0.24265273f + 0.69312373f;
#endif
	return v_scale(power * r * p + power, a);
#endif
}

/* The first `left` of LANES bytes; the others are 0 and not touched. */
INLINE vbytes v_bytes_part(const void *p, long left)
{
	typedef unsigned char bytes_at __attribute__((vector_size(16), aligned(1), may_alias));
	vbytes a;
	__asm__("vmovdqu8 %1, %0%{%2%}%{z%}" : "=v"(a) : "m"(*(const bytes_at *)p), "Yk"(v_mask(left)));
	return a;
}

/* … of LANES halves, and the same stored. */
INLINE vhalves v_halves_part(const void *p, long left)
{
	typedef unsigned short halves_at __attribute__((vector_size(32), aligned(2), may_alias));
	vhalves a;
	__asm__("vmovdqu16 %1, %0%{%2%}%{z%}" : "=v"(a) : "m"(*(const halves_at *)p), "Yk"(v_mask(left)));
	return a;
}

INLINE void v_store_halves_part(void *p, vhalves a, long left)
{
	typedef unsigned short halves_at __attribute__((vector_size(32), aligned(2), may_alias));
	__asm__("vmovdqu16 %1, %0%{%2%}" : "+m"(*(halves_at *)p) : "v"(a), "Yk"(v_mask(left)));
}

INLINE vreal v_of_halves(vhalves a)
{
	vreal r;
	__asm__("vcvtph2ps %1, %0" : "=v"(r) : "v"(a));
	return r;
}

/* Whole numbers of four bits, the first lane's lowest. */
INLINE vint vi_of_nibbles(unsigned long bits)
{
	int low = (int)bits, high = (int)(bits >> 32);
	vint a = {low, low, low, low, low, low, low, low, high, high, high, high, high, high, high, high};
	return a << (vint){28, 24, 20, 16, 12, 8, 4, 0, 28, 24, 20, 16, 12, 8, 4, 0} >> 28;
}

/* Elements p[at · step]; 0 where `at` is not in [0, extent). */
INLINE vreal v_gather_f32(const float *p, vint at, long step, long extent)
{
	typedef int half __attribute__((vector_size(32)));
	typedef long wide __attribute__((vector_size(64)));
	typedef float real8 __attribute__((vector_size(32)));
	half at0 = __builtin_shufflevector(at, at, 0, 1, 2, 3, 4, 5, 6, 7),
	     at1 = __builtin_shufflevector(at, at, 8, 9, 10, 11, 12, 13, 14, 15);
	wide by0 = __builtin_convertvector(at0, wide) * step, by1 = __builtin_convertvector(at1, wide) * step;
	real8 a0 = {0}, a1 = {0};
	vmask live;
	__asm__("vpcmpud $1, %2, %1, %0" : "=Yk"(live) : "v"(at), "v"((int)extent - (vint){0}));
	vmask rest = live >> 8;
	__asm__("vgatherqps (%2,%3,4), %0%{%1%}" : "+&v"(a0), "+&Yk"(live) : "r"(p), "v"(by0) : "memory");
	__asm__("vgatherqps (%2,%3,4), %0%{%1%}" : "+&v"(a1), "+&Yk"(rest) : "r"(p), "v"(by1) : "memory");
	return __builtin_shufflevector(a0, a1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

INLINE vreal v_of_f16(const unsigned short *p)
{
	typedef short half_at __attribute__((vector_size(32), aligned(2), may_alias));
	vreal a;
	__asm__("vcvtph2ps %1, %0" : "=v"(a) : "m"(*(const half_at *)p));
	return a;
}

INLINE void v_to_f16(unsigned short *p, vreal a)
{
	typedef short half_at __attribute__((vector_size(32), aligned(2), may_alias));
	__asm__("vcvtps2ph $0, %1, %0" : "=m"(*(half_at *)p) : "v"(a));
}

#define V_FOLD_LANES(fold, a)                                                                               \
	a = fold(a, __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));   \
	a = fold(a, __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));   \
	a = fold(a, __builtin_shufflevector(a, a, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));   \
	a = fold(a, __builtin_shufflevector(a, a, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14))

/* Swaps blocks of `size` lanes between rows i and i + size; log2(LANES) such steps transpose. */
INLINE void v_swap(vreal *a, vreal *b, int size)
{
	vreal x = *a, y = *b;
	if (size == 8) {
		*a = __builtin_shufflevector(x, y, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
		*b = __builtin_shufflevector(x, y, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
	} else if (size == 4) {
		*a = __builtin_shufflevector(x, y, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
		*b = __builtin_shufflevector(x, y, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
	} else if (size == 2) {
		*a = __builtin_shufflevector(x, y, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
		*b = __builtin_shufflevector(x, y, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
	} else {
		*a = __builtin_shufflevector(x, y, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
		*b = __builtin_shufflevector(x, y, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
	}
}

#define V_TRANSPOSE_ROWS(a) V_SWAP_ROWS(a, 8) V_SWAP_ROWS(a, 4) V_SWAP_ROWS(a, 2) V_SWAP_ROWS(a, 1)

/* A bit a lane: of truth; where a is not less than b. */
INLINE unsigned vi_bits(vint a)
{
	vmask bits;
	__asm__("vpmovd2m %1, %0" : "=Yk"(bits) : "v"(a));
	return bits;
}

INLINE unsigned v_bits_reach(vreal a, vreal b)
{
	vmask bits;
	__asm__("vcmpps $5, %2, %1, %0" : "=Yk"(bits) : "v"(a), "v"(b));
	return bits;
}

/* The lanes whose bit is set, side by side, and zeroes. */
INLINE vint vi_squeeze(vint a, unsigned bits)
{
	__asm__("vpcompressd %1, %0%{%2%}%{z%}" : "=v"(a) : "v"(a), "Yk"((vmask)bits));
	return a;
}

INLINE unsigned vi_bits_reach(vint a, vint b)
{
	vmask bits;
	__asm__("vpcmpd $5, %2, %1, %0" : "=Yk"(bits) : "v"(a), "v"(b));
	return bits;
}
