/* What vectors of any width share. v_: vectors of reals, vi_: of ints; truth is 0 or -1 a lane. Written with
 * vector operators; a paragraph is one definition and generated code gets the ones it mentions. */

INLINE vreal v_splat(real a) { return a - (vreal){0}; }

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

INLINE vreal v_get_bf16(const unsigned short *p, long step, long left)
{
	typedef unsigned short half __attribute__((vector_size(LANES * 2), aligned(2), may_alias));
	if (step == 1 && left >= LANES)
		return (vreal)(__builtin_convertvector(*(const half *)p, vint) << 16);
	vreal a = {0};
	for (long i = 0; i < LANES && i < left; i++)
		a[i] = s_get_bf16(p + i * step);
	return a;
}

INLINE vreal v_get_f16(const unsigned short *p, long step, long left)
{
	if (step == 1 && left >= LANES)
		return v_of_f16(p);
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

V_GET(v_get_f8e4m3, vreal, unsigned char, s_get_f8e4m3)

V_GET(v_get_f8e5m2, vreal, unsigned char, s_get_f8e5m2)

V_GET(vi_get_i8, vint, signed char, (int)si_get_i8)

V_GET(vi_get_u8, vint, unsigned char, (int)si_get_u8)

INLINE vint vi_get_i4(long p, long step, long left)
{
	vint a = {0};
	for (long i = 0; i < LANES && i < left; i++)
		a[i] = (int)si_get_i4(p + i * step);
	return a;
}

V_GET(vi_get_i32, vint, int, (int)si_get_i32)

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
	typedef unsigned short half __attribute__((vector_size(LANES * 2)));
	typedef unsigned short half_at __attribute__((vector_size(LANES * 2), aligned(2), may_alias));
	vint bits = (vint)a;
	/* Half of the last kept place, rounding ties to even; a NaN stays one, what is finite stays so. */
	bits += 0x7fff + ((bits >> 16) & 1);
	bits -= (((bits & 0x7fffffff) >= 0x7f800000) & (v_abs(a) < v_splat(REAL_INF))) & 0x10000;
	bits = vi_select(a != a, vi_splat(0x7fc00000), bits) >> 16;
	half kept = __builtin_convertvector(bits, half);
	if (step == 1 && left >= LANES)
		*(half_at *)p = (half_at)kept;
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
	for (long i = 0; i < LANES && i < left; i++)
		si_put_i4(p + i * step, a[i]);
}

V_PUT(vi_put_i32, vint, int, si_put_i32)

V_PUT(vi_put_i64, vint, long, si_put_i64)

V_PUT(vi_put_bool, vint, unsigned char, si_put_bool)

