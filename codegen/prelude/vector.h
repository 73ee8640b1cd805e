/* What vectors of any width share. v_: vectors of reals, vi_: of ints; truth is 0 or -1 a lane. Written with
 * vector operators; a paragraph is one definition and generated code gets the ones it mentions. */

INLINE vreal v_splat(real a) { return a - (vreal){0}; }

/* It will be read soon. What is not memory is no fault. */
INLINE void v_ahead(const void *p) { __builtin_prefetch(p); }

INLINE vreal v_load(const real *p) { return (vreal)*(const vreal_at *)p; }

INLINE void v_store(real *p, vreal a) { *(vreal_at *)p = (vreal_at)a; }

INLINE vint vi_splat(long a) { return (int)a - (vint){0}; }

INLINE vint vi_all(int a) { return -a - (vint){0}; }

INLINE vint vi_iota(long a) { return (int)a + (vint)V_LANES_NUMBERED; }

INLINE vint vi_live(long left) { return (vint)V_LANES_NUMBERED < (int)i_min(left, LANES) - (vint){0}; }

INLINE vint vi_load(const int *p) { return (vint)*(const vint_at *)p; }

INLINE void vi_store(int *p, vint a) { *(vint_at *)p = (vint_at)a; }

INLINE vint vi_select(vint c, vint a, vint b) { return (a & c) | (b & ~c); }

INLINE vreal v_select(vint c, vreal a, vreal b) { return (vreal)(((vint)a & c) | ((vint)b & ~c)); }

#define vi_not(a) (~(a))

#define v_of_int(a) __builtin_convertvector(a, vreal)

#define v_of_bool(a) __builtin_convertvector(-(a), vreal)

#define vi_of_bool(a) (-(a))

INLINE vreal v_insert(vreal a, long lane, real x) { return v_select(vi_iota(0) == vi_splat(lane), v_splat(x), a); }

/* ---- between memory of any type and stride, and vectors; lanes that are not there are 0 ---- */

INLINE vreal v_load_step(const real *p, long step, long left)
{
	if (step == 1 && left >= LANES)
		return v_load(p);
	if (step == 1)
		return v_load_part(p, left);
	vreal a = {0};
	for (long i = 0; i < LANES && i < left; i++)
		a[i] = p[i * step];
	return a;
}

INLINE vreal v_get_f32(const float *p, long step, long left) { return v_load_step(p, step, left); }

/* Elements p[at · step]; 0 where `at` is not in [0, extent). One after the other. */
INLINE vreal v_gather_each(const float *p, vint at, long step, long extent)
{
	vreal a = {0};
	for (long i = 0; i < LANES; i++)
		if ((unsigned)at[i] < (unsigned long)extent)
			a[i] = p[at[i] * step];
	return a;
}

INLINE vhalves v_halves(const unsigned short *p, long left)
{
	typedef unsigned short halves_at __attribute__((vector_size(LANES * 2), aligned(2), may_alias));
	return left >= LANES ? (vhalves)*(const halves_at *)p : v_halves_part(p, left);
}

INLINE vreal v_get_bf16(const unsigned short *p, long step, long left)
{
	if (step == 1)
		return (vreal)(__builtin_convertvector(v_halves(p, left), vint) << 16);
	vreal a = {0};
	for (long i = 0; i < LANES && i < left; i++)
		a[i] = s_get_bf16(p + i * step);
	return a;
}

/* One element in all lanes. */
INLINE vreal v_splat_f16(const unsigned short *p) { return v_of_halves(*p - (vhalves){0}); }

INLINE vreal v_get_f16(const unsigned short *p, long step, long left)
{
	if (step == 1 && left >= LANES)
		return v_of_f16(p);
	if (step == 1)
		return v_of_halves(v_halves_part(p, left));
	unsigned short lanes[LANES] = {0};
	for (long i = 0; i < LANES && i < left; i++)
		lanes[i] = p[i * step];
	return v_of_f16(lanes);
}

#define V_GET(name, vector, type, get)                          \
	INLINE vector name(const type *p, long step, long left) \
	{                                                       \
		vector a = {0};                                 \
		for (long i = 0; i < LANES && i < left; i++)    \
			a[i] = get(p + i * step);               \
		return a;                                       \
	}

V_GET(v_get_f64, vreal, double, s_get_f64)

INLINE vbytes v_bytes(const void *p, long left)
{
	typedef unsigned char bytes_at __attribute__((vector_size(LANES), aligned(1), may_alias));
	return left >= LANES ? (vbytes)*(const bytes_at *)p : v_bytes_part(p, left);
}

/* Of elements of a byte: side by side all at once, else one by one. */
#define V_GET_BYTES(name, vector, type, get, decode)            \
	INLINE vector name(const type *p, long step, long left) \
	{                                                       \
		if (step == 1)                                  \
			return decode(v_bytes(p, left));        \
		vector a = {0};                                 \
		for (long i = 0; i < LANES && i < left; i++)    \
			a[i] = get(p + i * step);               \
		return a;                                       \
	}

/* An f16 in half the bits. */
INLINE vreal v_of_f8e5m2(vbytes a) { return v_of_halves(__builtin_convertvector(a, vhalves) << 8); }

typedef signed char vsigned_bytes __attribute__((vector_size(LANES)));

/* The bits of an f16 that is 2^-8 times as large, denormal where this is; all ones are a NaN. */
INLINE vreal v_of_f8e4m3(vbytes a)
{
	typedef short signed_halves __attribute__((vector_size(LANES * 2)));
	signed_halves bits = __builtin_convertvector((vsigned_bytes)a, signed_halves) << 7;
	return v_of_halves((vhalves)((bits & -0x4001) | ((bits & 0x3f80) == 0x3f80))) * 256;
}

INLINE vint vi_of_i8(vbytes a)
{
	return __builtin_convertvector((vsigned_bytes)a, vint);
}

INLINE vint vi_of_u8(vbytes a) { return __builtin_convertvector(a, vint); }

V_GET_BYTES(v_get_f8e4m3, vreal, unsigned char, s_get_f8e4m3, v_of_f8e4m3)

V_GET_BYTES(v_get_f8e5m2, vreal, unsigned char, s_get_f8e5m2, v_of_f8e5m2)

V_GET_BYTES(vi_get_i8, vint, signed char, (int)si_get_i8, vi_of_i8)

V_GET_BYTES(vi_get_u8, vint, unsigned char, (int)si_get_u8, vi_of_u8)

/* Integers as reals. */
#define v_get_i8(p, step, left) v_of_int(vi_get_i8(p, step, left))

#define v_get_u8(p, step, left) v_of_int(vi_get_u8(p, step, left))

#define v_get_i4(p, step, left) v_of_int(vi_get_i4(p, step, left))

INLINE vint vi_get_i4(long p, long step, long left)
{
	unsigned long bits = 0;
	if (step == 1 && !(p & 1) && left >= LANES) {
		__builtin_memcpy(&bits, (const void *)(p >> 1), LANES / 2);
		return vi_of_nibbles(bits);
	}
	if (step == 1 && !(p & 1) && left > 0) {
		vbytes part = v_bytes_part((const void *)(p >> 1), (left + 1) / 2);
		__builtin_memcpy(&bits, &part, LANES / 2);
		return vi_of_nibbles(bits & ((1ul << left * 4) - 1));
	}
	vint a = {0};
	for (long i = 0; i < LANES && i < left; i++)
		a[i] = (int)si_get_i4(p + i * step);
	return a;
}

INLINE vint vi_get_i32(const int *p, long step, long left)
{
	if (step == 1 && left >= LANES)
		return vi_load(p);
	vint a = {0};
	for (long i = 0; i < LANES && i < left; i++)
		a[i] = p[i * step];
	return a;
}

V_GET(vi_get_i64, vint, long, (int)si_get_i64)

V_GET(vi_get_bool, vint, unsigned char, (int)si_get_bool)

INLINE void v_put_f32(float *p, long step, long left, vreal a)
{
	if (step == 1 && left >= LANES)
		v_store(p, a);
	else if (step == 1)
		v_store_part(p, a, left);
	else
		for (long i = 0; i < LANES && i < left; i++)
			p[i * step] = a[i];
}

INLINE void v_put_bf16(unsigned short *p, long step, long left, vreal a)
{
	typedef unsigned short half_at __attribute__((vector_size(LANES * 2), aligned(2), may_alias));
	vint bits = (vint)a;
	/* Half of the last kept place, rounding ties to even; a NaN stays one, what is finite stays so. */
	bits += 0x7fff + ((bits >> 16) & 1);
	bits -= (((bits & 0x7fffffff) >= 0x7f800000) & (v_abs(a) < v_splat(REAL_INF))) & 0x10000;
	bits = vi_select(a != a, vi_splat(0x7fc00000), bits) >> 16;
	vhalves kept = __builtin_convertvector(bits, vhalves);
	if (step == 1 && left >= LANES)
		*(half_at *)p = (half_at)kept;
	else if (step == 1)
		v_store_halves_part(p, kept, left);
	else
		for (long i = 0; i < LANES && i < left; i++)
			p[i * step] = kept[i];
}

INLINE void v_put_f16(unsigned short *p, long step, long left, vreal a)
{
	unsigned short lanes[LANES];
	vreal finite = v_max_or_second(v_splat(-65504), v_min_or_second(v_splat(65504), a));
	a = v_select(v_abs(a) < v_splat(REAL_INF), finite, a);
	if (step == 1 && left >= LANES) {
		v_to_f16(p, a);
		return;
	}
	v_to_f16(lanes, a);
	if (step == 1)
		v_store_halves_part(p, v_halves(lanes, LANES), left);
	else
		for (long i = 0; i < LANES && i < left; i++)
			p[i * step] = lanes[i];
}

#define V_PUT(name, vector, type, put)                                   \
	INLINE void name(type *p, long step, long left, vector a)        \
	{                                                                \
		for (long i = 0; i < LANES && i < left; i++)             \
			put(p + i * step, a[i]);                         \
	}

V_PUT(v_put_f64, vreal, double, s_put_f64)

V_PUT(v_put_f8e4m3, vreal, unsigned char, s_put_f8e4m3)

V_PUT(v_put_f8e5m2, vreal, unsigned char, s_put_f8e5m2)

V_PUT(vi_put_i8, vint, signed char, si_put_i8)

V_PUT(vi_put_u8, vint, unsigned char, si_put_u8)

INLINE void vi_put_i4(long p, long step, long left, vint a)
{
	long i = 0;
	a = vi_cast_i4(a);
	if (step == 1 && !(p & 1)) /* bytes of its own */
		for (; i + 1 < LANES && i + 1 < left; i += 2)
			*(unsigned char *)((p + i) >> 1) = (unsigned char)((a[i] & 15) | (a[i + 1] & 15) << 4);
	for (; i < LANES && i < left; i++)
		si_put_i4(p + i * step, a[i]);
}

V_PUT(vi_put_i32, vint, int, si_put_i32)

V_PUT(vi_put_i64, vint, long, si_put_i64)

V_PUT(vi_put_bool, vint, unsigned char, si_put_bool)

/* Sizes are written out and loops unrolled on demand: the rows must be in registers at any optimisation. */
#define V_SWAP_ROWS(a, size)                                                                            \
	_Pragma("GCC unroll 8") for (int i = 0; i < LANES / 2; i++)                                     \
		v_swap(&a[i / (size) * 2 * (size) + i % (size)],                                        \
		       &a[i / (size) * 2 * (size) + i % (size) + (size)], size);

/* Vectors whose lanes add up to those of a and of b: as v_swap exchanges them, and summed. */
INLINE vreal v_join(vreal a, vreal b, int size)
{
	v_swap(&a, &b, size);
	return a + b;
}

/* `count` lanes from lane `from`. */
INLINE void v_store_lanes(real *p, vreal a, int from, int count)
{
	for (int i = 0; i < count; i++)
		p[i] = a[from + i];
}

/* A square of LANES rows, of which `rows` exist, becomes the `columns` first of its columns. */
INLINE void v_transpose(real *to, long to_step, const real *from, long from_step, long rows, long columns)
{
	vreal a[LANES];
#pragma GCC unroll 16
	for (long i = 0; i < LANES; i++)
		a[i] = i < rows ? v_load(from + i * from_step) : v_splat(0);
	V_TRANSPOSE_ROWS(a)
#pragma GCC unroll 16
	for (long i = 0; i < LANES; i++)
		if (i < columns)
			v_store(to + i * to_step, a[i]);
}

/* ---- casts ---- */

#define V_EACH(name, result, operand, one)               \
	INLINE result name(operand a)                    \
	{                                                \
		result r = {0};                          \
		for (int i = 0; i < LANES; i++)          \
			r[i] = one(a[i]);                \
		return r;                                \
	}

V_EACH(vi_of_real, vint, vreal, (int)s_cast_i32)

V_EACH(v_cast_f16, vreal, vreal, s_cast_f16)

V_EACH(v_cast_bf16, vreal, vreal, s_cast_bf16)

V_EACH(v_cast_f8e4m3, vreal, vreal, s_cast_f8e4m3)

V_EACH(v_cast_f8e5m2, vreal, vreal, s_cast_f8e5m2)

V_EACH(v_cast_i8, vint, vreal, (int)s_cast_i8)

V_EACH(v_cast_u8, vint, vreal, (int)s_cast_u8)

V_EACH(v_cast_i4, vint, vreal, (int)s_cast_i4)

#define v_cast_i32(a) vi_of_real(a)

#define v_cast_i64(a) vi_of_real(a)

#define v_cast_f32(a) (a)

#define v_cast_f64(a) (a)

INLINE vint v_cast_bool(vreal a) { return (a == a) & (a != v_splat(0)); }

#define vi_cast_i8(a) vi_max(vi_splat(-128), vi_min(a, vi_splat(127)))

#define vi_cast_u8(a) vi_max(vi_splat(0), vi_min(a, vi_splat(255)))

#define vi_cast_i4(a) vi_max(vi_splat(-8), vi_min(a, vi_splat(7)))

#define vi_cast_i32(a) (a)

#define vi_cast_i64(a) (a)

#define vi_cast_bool(a) ((a) != vi_splat(0))

#define vi_cast_f32(a) v_of_int(a)

#define vi_cast_f64(a) v_of_int(a)

#define vi_cast_f16(a) v_cast_f16(v_of_int(a))

#define vi_cast_bf16(a) v_cast_bf16(v_of_int(a))

#define vi_cast_f8e4m3(a) v_cast_f8e4m3(v_of_int(a))

#define vi_cast_f8e5m2(a) v_cast_f8e5m2(v_of_int(a))

/* ---- folds: of two vectors, and across one ---- */

#define v_fold_sum(a, b) ((a) + (b))

#define v_fold_prod(a, b) ((a) * (b))

/* `so_far` where b is NaN: a maximum passes over them. */
#define v_fold_max(so_far, b) v_max_or_second(b, so_far)

#define v_fold_min(so_far, b) v_min_or_second(b, so_far)

INLINE real v_across_sum(vreal a)
{
	V_FOLD_LANES(v_fold_sum, a);
	return a[0];
}

INLINE real v_across_prod(vreal a)
{
	V_FOLD_LANES(v_fold_prod, a);
	return a[0];
}

INLINE real v_across_max(vreal a)
{
	V_FOLD_LANES(v_fold_max, a);
	return a[0];
}

INLINE real v_across_min(vreal a)
{
	V_FOLD_LANES(v_fold_min, a);
	return a[0];
}

#define vi_fold_sum(a, b) ((a) + (b))

#define vi_fold_prod(a, b) ((a) * (b))

#define vi_fold_max(a, b) vi_max(a, b)

#define vi_fold_min(a, b) vi_min(a, b)

#define vi_fold_any(a, b) ((a) | (b))

#define vi_fold_all(a, b) ((a) & (b))

INLINE long vi_across_sum(vint a)
{
	V_FOLD_LANES(vi_fold_sum, a);
	return a[0];
}

INLINE long vi_across_prod(vint a)
{
	V_FOLD_LANES(vi_fold_prod, a);
	return a[0];
}

INLINE long vi_across_max(vint a)
{
	V_FOLD_LANES(vi_fold_max, a);
	return a[0];
}

INLINE long vi_across_min(vint a)
{
	V_FOLD_LANES(vi_fold_min, a);
	return a[0];
}

INLINE int vi_across_any(vint a)
{
	V_FOLD_LANES(vi_fold_any, a);
	return a[0] != 0;
}

INLINE int vi_across_all(vint a)
{
	V_FOLD_LANES(vi_fold_all, a);
	return a[0] != 0;
}

/* ---- operations on ints ---- */

INLINE vint vi_min(vint a, vint b) { return vi_select(a < b, a, b); }

INLINE vint vi_max(vint a, vint b) { return vi_select(a > b, a, b); }

INLINE vint vi_abs(vint a) { return vi_max(a, -a); }

INLINE vint vi_sign(vint a) { return (a < vi_splat(0)) - (a > vi_splat(0)); }

INLINE vint vi_relu(vint a) { return vi_max(a, vi_splat(0)); }

INLINE vint vi_bit_ceil(vint a)
{
	for (int i = 0; i < LANES; i++)
		a[i] = (int)i_bit_ceil(a[i]);
	return a;
}

INLINE vint vi_idiv(vint a, vint b)
{
	for (int i = 0; i < LANES; i++)
		a[i] = (int)i_idiv(a[i], b[i]);
	return a;
}

INLINE vint vi_mod(vint a, vint b)
{
	for (int i = 0; i < LANES; i++)
		a[i] = (int)i_mod(a[i], b[i]);
	return a;
}

/* ---- operations on reals ---- */

INLINE vreal v_min(vreal a, vreal b) { return v_select(a != a, a, v_min_or_second(a, b)); }

INLINE vreal v_max(vreal a, vreal b) { return v_select(a != a, a, v_max_or_second(a, b)); }

/* Folds that pass over no NaN: of the ends that conditions are made of. */
#define v_fold_max_nan(so_far, b) v_max(so_far, b)

#define v_fold_min_nan(so_far, b) v_min(so_far, b)

INLINE real v_across_max_nan(vreal a)
{
	V_FOLD_LANES(v_max, a);
	return a[0];
}

INLINE real v_across_min_nan(vreal a)
{
	V_FOLD_LANES(v_min, a);
	return a[0];
}

INLINE vreal v_abs(vreal a) { return (vreal)((vint)a & 0x7fffffff); }

INLINE vreal v_sign(vreal a) { return __builtin_convertvector((a < v_splat(0)) - (a > v_splat(0)), vreal); }

INLINE vreal v_relu(vreal a) { return v_select(a < v_splat(0), v_splat(0), a); }

INLINE vreal v_rsqrt(vreal a) { return v_splat(1) / v_sqrt(a); }

/* V_EXP2_OF_0 · 2^a for |a| up to 1/2, exact at 0; relative error 1e-4, 3e-6, 1e-7, 2e-9 for degrees 3 to 6. */
INLINE vreal v_exp2_polynomial(vreal a)
{
#if EXP_DEGREE == 3
	vreal p = a * (V_EXP2_OF_0 * 0.05500796035f) + V_EXP2_OF_0 * 0.2422149153f;
	p = p * a + V_EXP2_OF_0 * 0.6932834661f;
#elif EXP_DEGREE == 4
	vreal p = a * (V_EXP2_OF_0 * 0.009582777744f) + V_EXP2_OF_0 * 0.05590721296f;
	p = p * a + V_EXP2_OF_0 * 0.2402410449f;
	p = p * a + V_EXP2_OF_0 * 0.6931241049f;
#elif EXP_DEGREE == 5
	vreal p = a * (V_EXP2_OF_0 * 0.001326459086f) + V_EXP2_OF_0 * 0.009671618964f;
	p = p * a + V_EXP2_OF_0 * 0.05550735031f;
	p = p * a + V_EXP2_OF_0 * 0.2402224046f;
	p = p * a + V_EXP2_OF_0 * 0.6931469764f;
#else
	vreal p = a * (V_EXP2_OF_0 * 0.0001535326293f) + V_EXP2_OF_0 * 0.001339900338f;
	p = p * a + V_EXP2_OF_0 * 0.009618438583f;
	p = p * a + V_EXP2_OF_0 * 0.05550332163f;
	p = p * a + V_EXP2_OF_0 * 0.240226479f;
	p = p * a + V_EXP2_OF_0 * 0.693147203f;
#endif
	return p * a + V_EXP2_OF_0;
}

INLINE vreal v_exp(vreal a)
{
	vreal n = v_exp_whole(a);
	return v_exp2_end(v_exp2_polynomial(v_exp_fraction(a, n)), n);
}

INLINE vreal v_exp2(vreal a)
{
	vreal n = v_exp2_whole(a);
	return v_exp2_end(v_exp2_power(v_exp2_fraction(a, n)), n);
}

INLINE vreal v_log(vreal a)
{
	vint small = a < v_splat(1.17549435e-38f);
	vreal scaled = v_select(small, a * 16777216.0f, a);
	/* a = m · 2^e with m from sqrt(1/2) to sqrt(2). */
	vint bits = (vint)scaled - 0x3f3504f3;
	vreal e = v_of_int((bits >> 23) - (small & 24));
	vreal f = (vreal)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f;
	vreal p = f * -0.07634495155f + 0.1276157537f;
	p = p * f - 0.1316018209f;
	p = p * f + 0.1420175824f;
	p = p * f - 0.1662335741f;
	p = p * f + 0.2000122687f;
	p = p * f - 0.2500082103f;
	p = p * f + 0.3333333171f;
	vreal square = f * f;
	vreal r = e * -2.12194440e-4f + p * f * square;
	r = r - 0.5f * square + f;
	r = e * 0.693359375f + r;
	r = v_select((a < v_splat(REAL_INF)) | (a != a), r, v_splat(REAL_INF));
	r = v_select(a == v_splat(0), v_splat(-REAL_INF), r);
	return v_select((a < v_splat(0)) | (a != a), v_splat(REAL_NAN), r);
}

/* Exact at powers of two: the exponent is not multiplied. */
INLINE vreal v_log2(vreal a)
{
	vreal r = v_log(a), n = r * 1.44269502f + r * 1.92596303e-8f, whole = v_round(n);
	return v_select((v_abs(n - whole) < v_splat(1e-5f)) & (v_exp2(whole) == a), whole, n);
}

/* log(1 + a) for a >= 0, without losing a small a. */
INLINE vreal v_log1p(vreal a)
{
	vreal u = a + 1.0f, rest = u - 1.0f;
	return v_select((rest == v_splat(0)) | (u == v_splat(REAL_INF)), a, v_log(u) * (a / rest));
}

/* tanh(a) is x / (x + 2) for x = 2^t - 1, t = a · 2 log2 e. With t = n + f and u = 2^f - 1 of a polynomial that is
 * relatively exact, x is u·2^n + (2^n - 1), in which nothing cancels that matters: relative error 2.5e-7. Beyond 40 all
 * is 1. */
INLINE vreal v_tanh_exponent(vreal a)
{
	return v_max_or_second(v_splat(-40), v_min_or_second(v_splat(40), a * 2.88539008f));
}

/* Added to t, it leaves n + 127, the exponent of 2^n, in the low bits. */
#define V_TANH_ROUNDER 12583039.0f

#define v_tanh_rounded(t) ((t) + V_TANH_ROUNDER)

INLINE vreal v_tanh_rest(vreal t, vreal rounded)
{
	vreal f = t - (rounded - V_TANH_ROUNDER);
	vreal p = f * 0.0001540351254f + 0.001339073547f;
	p = p * f + 0.009618237494f;
	p = p * f + 0.05550357434f;
	p = p * f + 0.2402264979f;
	p = p * f + 0.6931471879f;
	return p * f;
}

INLINE vreal v_tanh_end(vreal u, vreal rounded)
{
	vreal power = (vreal)((vint)rounded << 23);
	vreal x = v_multiply_add(u, power, power - 1.0f);
	return x / (x + 2.0f);
}

INLINE vreal v_tanh(vreal a)
{
	vreal t = v_tanh_exponent(a), rounded = v_tanh_rounded(t);
	return v_tanh_end(v_tanh_rest(t, rounded), rounded);
}

INLINE vreal v_sigmoid(vreal a) { return 1.0f / (1.0f + v_exp(-a)); }

INLINE vreal v_silu(vreal a) { return a / (1.0f + v_exp(-a)); }

INLINE vreal v_softplus(vreal a) { return v_relu(a) + v_log1p(v_exp(-v_abs(a))); }

/* erfc(a) for a >= 0.7 or so: exp(-a²) times a polynomial in 1 / (1 + a/2). */
INLINE vreal v_erfc_far(vreal a)
{
	vreal s = 1.0f / (1.0f + 0.5f * a);
	vreal p = s * -0.05482216822f + 0.2741939939f;
	p = p * s - 0.4798974381f;
	p = p * s + 0.2800507062f;
	p = p * s - 0.03224900081f;
	p = p * s + 0.2060299111f;
	p = p * s + 0.2421570167f;
	p = p * s + 0.2825070277f;
	p = p * s + 0.2820792318f;
	/* a² in two parts: its rounding would be multiplied by a². */
	vreal high = (vreal)((vint)a & -4096);
	return s * p * v_exp(-high * high) * v_exp(-(a - high) * (a + high));
}

INLINE vreal v_erf_near(vreal a)
{
	vreal square = a * a;
	vreal p = square * 7.889124432e-5f - 0.0008020842733f;
	p = p * square + 0.005189535501f;
	p = p * square - 0.02685444468f;
	p = p * square + 0.1128360018f;
	p = p * square - 0.3761262714f;
	return a * (p * square + 1.128379166f);
}

INLINE vreal v_erf(vreal a)
{
	vreal magnitude = v_abs(a), far = 1.0f - v_erfc_far(v_min(magnitude, v_splat(10)));
	far = v_select(a < v_splat(0), -far, far);
	return v_select(magnitude < v_splat(1), v_erf_near(a), far);
}

/* x/2 · erfc(-x/√2): nothing cancels on the negative side. */
INLINE vreal v_gelu(vreal a)
{
	vreal t = a * -0.707106781f, magnitude = v_abs(t), far = v_erfc_far(v_min(magnitude, v_splat(14)));
	far = v_select(t < v_splat(0), 2.0f - far, far);
	vreal r = 0.5f * a * v_select(magnitude < v_splat(0.75f), 1.0f - v_erf_near(t), far);
	return v_select(a == v_splat(-REAL_INF), v_splat(REAL_NAN), r);
}

V_EACH(v_sin, vreal, vreal, s_sin)

V_EACH(v_cos, vreal, vreal, s_cos)

INLINE vreal v_pow(vreal a, vreal b)
{
	for (int i = 0; i < LANES; i++)
		a[i] = s_pow(a[i], b[i]);
	return a;
}
