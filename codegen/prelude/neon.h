/* Vectors of NEON, of 64-bit ARM: types, and what has an instruction but no vector operator. */

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 4 };
typedef float vreal __attribute__((vector_size(16)));
typedef int vint __attribute__((vector_size(16)));
typedef float vreal_at __attribute__((vector_size(16), aligned(4), may_alias));
typedef int vint_at __attribute__((vector_size(16), aligned(4), may_alias));
typedef unsigned char vbytes __attribute__((vector_size(4)));
typedef unsigned short vhalves __attribute__((vector_size(8)));

#define V_LANES_NUMBERED {0, 1, 2, 3}

INLINE vreal v_load_part(const real *p, long left)
{
	vreal a = {0};
	for (long i = 0; i < LANES && i < left; i++)
		a[i] = p[i];
	return a;
}

INLINE void v_store_part(real *p, vreal a, long left)
{
	if (left >= LANES)
		*(vreal_at *)p = (vreal_at)a;
	else if (left == 3)
		p[0] = a[0], p[1] = a[1], p[2] = a[2];
	else if (left == 2)
		p[0] = a[0], p[1] = a[1];
	else if (left == 1)
		p[0] = a[0];
}

INLINE void vi_store_part(int *p, vint a, long left)
{
	if (left >= LANES)
		*(vint_at *)p = (vint_at)a;
	else if (left == 3)
		p[0] = a[0], p[1] = a[1], p[2] = a[2];
	else if (left == 2)
		p[0] = a[0], p[1] = a[1];
	else if (left == 1)
		p[0] = a[0];
}

/* Of 16 bit integers: the sum of two products a lane. */
INLINE vint vi_multiply_pairs(vint a, vint b)
{
	vint low, high;
	__asm__("smull %0.4s, %1.4h, %2.4h" : "=w"(low) : "w"(a), "w"(b));
	__asm__("smull2 %0.4s, %1.8h, %2.8h" : "=w"(high) : "w"(a), "w"(b));
	__asm__("addp %0.4s, %1.4s, %2.4s" : "=w"(a) : "w"(low), "w"(high));
	return a;
}

/* The second operand where either is NaN, which the instructions for it have otherwise. */
INLINE vreal v_max_or_second(vreal a, vreal b) { return v_select(a > b, a, b); }

INLINE vreal v_min_or_second(vreal a, vreal b) { return v_select(a < b, a, b); }

INLINE vreal v_sqrt(vreal a)
{
	__asm__("fsqrt %0.4s, %1.4s" : "=w"(a) : "w"(a));
	return a;
}

INLINE vreal v_round(vreal a)
{
	__asm__("frintn %0.4s, %1.4s" : "=w"(a) : "w"(a));
	return a;
}

INLINE vreal v_floor(vreal a)
{
	__asm__("frintm %0.4s, %1.4s" : "=w"(a) : "w"(a));
	return a;
}

/* Fused even where the compiler would rather share the product. */
INLINE vreal v_multiply_add(vreal a, vreal b, vreal c)
{
	__asm__("fmla %0.4s, %2.4s, %3.4s" : "=w"(c) : "0"(c), "w"(a), "w"(b));
	return c;
}

#define v_gather_f32(p, at, step, extent) v_gather_each(p, at, step, extent)

/* The first `left` of LANES bytes; the others are 0 and not touched. */
INLINE vbytes v_bytes_part(const void *p, long left)
{
	vbytes a = {0};
	for (long i = 0; i < LANES && i < left; i++)
		a[i] = ((const unsigned char *)p)[i];
	return a;
}

/* … of LANES halves, and the same stored. */
INLINE vhalves v_halves_part(const void *p, long left)
{
	vhalves a = {0};
	for (long i = 0; i < LANES && i < left; i++)
		a[i] = ((const unsigned short *)p)[i];
	return a;
}

INLINE void v_store_halves_part(void *p, vhalves a, long left)
{
	for (long i = 0; i < LANES && i < left; i++)
		((unsigned short *)p)[i] = a[i];
}

INLINE vreal v_of_halves(vhalves a)
{
	vreal r;
	__asm__("fcvtl %0.4s, %1.4h" : "=w"(r) : "w"(a));
	return r;
}

/* Whole numbers of four bits, the first lane's lowest. */
INLINE vint vi_of_nibbles(unsigned long bits) { return vi_splat((int)bits) << (vint){28, 24, 20, 16} >> 28; }

INLINE vreal v_of_f16(const unsigned short *p)
{
	typedef short half __attribute__((vector_size(8)));
	typedef short half_at __attribute__((vector_size(8), aligned(2), may_alias));
	vreal a;
	__asm__("fcvtl %0.4s, %1.4h" : "=w"(a) : "w"((half)*(const half_at *)p));
	return a;
}

INLINE void v_to_f16(unsigned short *p, vreal a)
{
	typedef short half __attribute__((vector_size(8)));
	typedef short half_at __attribute__((vector_size(8), aligned(2), may_alias));
	half h;
	__asm__("fcvtn %0.4h, %1.4s" : "=w"(h) : "w"(a));
	*(half_at *)p = (half_at)h;
}

#define V_FOLD_LANES(fold, a)                                    \
	a = fold(a, __builtin_shufflevector(a, a, 2, 3, 0, 1));  \
	a = fold(a, __builtin_shufflevector(a, a, 1, 0, 3, 2))

/* Swaps blocks of `size` lanes between rows i and i + size; log2(LANES) such steps transpose. */
INLINE void v_swap(vreal *a, vreal *b, int size)
{
	vreal x = *a, y = *b;
	if (size == 2) {
		*a = __builtin_shufflevector(x, y, 0, 1, 4, 5);
		*b = __builtin_shufflevector(x, y, 2, 3, 6, 7);
	} else {
		*a = __builtin_shufflevector(x, y, 0, 4, 2, 6);
		*b = __builtin_shufflevector(x, y, 1, 5, 3, 7);
	}
}

#define V_TRANSPOSE_ROWS(a) V_SWAP_ROWS(a, 2) V_SWAP_ROWS(a, 1)

/* A bit a lane: of truth; where a is not less than b. */
INLINE unsigned vi_bits(vint a)
{
	vint sum;
	__asm__("addv %s0, %1.4s" : "=w"(sum) : "w"(a & (vint){1, 2, 4, 8}));
	return (unsigned)sum[0];
}

/* The lanes whose bit is set, side by side: of each lane that stays four bytes. */
INLINE vint vi_squeeze(vint a, unsigned bits)
{
	static const unsigned short stays[16] = {0x0000, 0x0000, 0x0001, 0x0010, 0x0002, 0x0020, 0x0021, 0x0210,
	                                         0x0003, 0x0030, 0x0031, 0x0310, 0x0032, 0x0320, 0x0321, 0x3210};
	int lanes = stays[bits & 15];
	vint order = {lanes & 3, lanes >> 4 & 3, lanes >> 8 & 3, lanes >> 12};
	order = order * 0x04040404 + 0x03020100;
	__asm__("tbl %0.16b, {%1.16b}, %2.16b" : "=w"(a) : "w"(a), "w"(order));
	return a;
}

INLINE unsigned v_bits_reach(vreal a, vreal b) { return vi_bits(~(a < b)); }

INLINE unsigned vi_bits_reach(vint a, vint b) { return vi_bits(~(a < b)); }
