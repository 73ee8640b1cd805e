/* Vectors of AVX2 with FMA and F16C: types, and what has an instruction but no vector operator. */

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8 };
typedef float vreal __attribute__((vector_size(32)));
typedef int vint __attribute__((vector_size(32)));
typedef float vreal_at __attribute__((vector_size(32), aligned(4), may_alias));
typedef int vint_at __attribute__((vector_size(32), aligned(4), may_alias));
typedef unsigned char vbytes __attribute__((vector_size(8)));
typedef unsigned short vhalves __attribute__((vector_size(16)));

#define V_LANES_NUMBERED {0, 1, 2, 3, 4, 5, 6, 7}

INLINE vreal v_load_part(const real *p, long left)
{
	vreal a;
	__asm__("vmaskmovps %1, %2, %0" : "=x"(a) : "m"(*(const vreal_at *)p), "x"(vi_live(left)));
	return a;
}

INLINE void v_store_part(real *p, vreal a, long left)
{
	__asm__("vmaskmovps %1, %2, %0" : "+m"(*(vreal_at *)p) : "x"(a), "x"(vi_live(left)));
}

INLINE void vi_store_part(int *p, vint a, long left)
{
	__asm__("vpmaskmovd %1, %2, %0" : "+m"(*(vint_at *)p) : "x"(a), "x"(vi_live(left)));
}

/* Of 16 bit integers: the sum of two products a lane. */
INLINE vint vi_multiply_pairs(vint a, vint b)
{
	__asm__("vpmaddwd %2, %1, %0" : "=x"(a) : "x"(a), "x"(b));
	return a;
}

/* One instruction: the second operand where either is NaN. */
INLINE vreal v_max_or_second(vreal a, vreal b)
{
	__asm__("vmaxps %2, %1, %0" : "=x"(a) : "x"(a), "x"(b));
	return a;
}

INLINE vreal v_min_or_second(vreal a, vreal b)
{
	__asm__("vminps %2, %1, %0" : "=x"(a) : "x"(a), "x"(b));
	return a;
}

INLINE vreal v_sqrt(vreal a)
{
	__asm__("vsqrtps %1, %0" : "=x"(a) : "x"(a));
	return a;
}

INLINE vreal v_round(vreal a)
{
	__asm__("vroundps $8, %1, %0" : "=x"(a) : "x"(a));
	return a;
}

INLINE vreal v_floor(vreal a)
{
	__asm__("vroundps $9, %1, %0" : "=x"(a) : "x"(a));
	return a;
}

/* Fused even where the compiler would rather share the product. */
INLINE vreal v_multiply_add(vreal a, vreal b, vreal c)
{
	__asm__("vfmadd213ps %3, %2, %0" : "=x"(a) : "0"(a), "x"(b), "x"(c));
	return a;
}

/* The first `left` of LANES bytes; the others are 0 and not touched. */
INLINE vbytes v_bytes_part(const void *p, long left)
{
	const char *from = p;
	unsigned a = 0, b = 0;
	unsigned long both = 0;
	if (left >= 4) { /* two that overlap */
		__builtin_memcpy(&a, from, 4);
		__builtin_memcpy(&b, from + left - 4, 4);
		both = a | (unsigned long)b << (left - 4) * 8;
	} else if (left >= 2) {
		__builtin_memcpy(&a, from, 2);
		__builtin_memcpy(&b, from + left - 2, 2);
		both = a | b << (left - 2) * 8;
	} else if (left == 1) {
		both = (unsigned char)*from;
	}
	return (vbytes)both;
}

/* … of LANES halves, and the same stored. */
INLINE vhalves v_halves_part(const void *p, long left)
{
	typedef unsigned long pair __attribute__((vector_size(16)));
	const char *from = p;
	unsigned long a = 0, b = 0;
	if (left >= 4) { /* two that overlap */
		__builtin_memcpy(&a, from, 8);
		__builtin_memcpy(&b, from + left * 2 - 8, 8);
		return (vhalves)(pair){a, left > 4 ? b >> (8 - left) * 16 : 0};
	}
	if (left >= 2) {
		__builtin_memcpy(&a, from, 4);
		__builtin_memcpy(&b, from + left * 2 - 4, 4);
		a |= b << (left - 2) * 16;
	} else if (left == 1) {
		__builtin_memcpy(&a, from, 2);
	}
	return (vhalves)(pair){a, 0};
}

INLINE void v_store_halves_part(void *p, vhalves a, long left)
{
	typedef unsigned long pair __attribute__((vector_size(16)));
	pair both = (pair)a;
	unsigned long low = both[0], last;
	char *to = p;
	if (left >= 4) {
		last = left > 4 ? low >> (left - 4) * 16 | both[1] << (8 - left) * 16 : low;
		__builtin_memcpy(to, &low, 8);
		__builtin_memcpy(to + left * 2 - 8, &last, 8);
	} else if (left >= 2) {
		last = low >> (left - 2) * 16;
		__builtin_memcpy(to, &low, 4);
		__builtin_memcpy(to + left * 2 - 4, &last, 4);
	} else if (left == 1) {
		__builtin_memcpy(to, &low, 2);
	}
}

INLINE vreal v_of_halves(vhalves a)
{
	vreal r;
	__asm__("vcvtph2ps %1, %0" : "=x"(r) : "x"(a));
	return r;
}

/* Whole numbers of four bits, the first lane's lowest. */
INLINE vint vi_of_nibbles(unsigned long bits) { return vi_splat((int)bits) << (vint){28, 24, 20, 16, 12, 8, 4, 0} >> 28; }

/* The instruction is no faster than its loads. */
#define v_gather_f32(p, at, step, extent) v_gather_each(p, at, step, extent)

INLINE vreal v_of_f16(const unsigned short *p)
{
	typedef short half_at __attribute__((vector_size(16), aligned(2), may_alias));
	vreal a;
	__asm__("vcvtph2ps %1, %0" : "=x"(a) : "m"(*(const half_at *)p));
	return a;
}

INLINE void v_to_f16(unsigned short *p, vreal a)
{
	typedef short half_at __attribute__((vector_size(16), aligned(2), may_alias));
	__asm__("vcvtps2ph $0, %1, %0" : "=m"(*(half_at *)p) : "x"(a));
}

#define V_FOLD_LANES(fold, a)                                                      \
	a = fold(a, __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3));        \
	a = fold(a, __builtin_shufflevector(a, a, 2, 3, 0, 1, 6, 7, 4, 5));        \
	a = fold(a, __builtin_shufflevector(a, a, 1, 0, 3, 2, 5, 4, 7, 6))

/* Swaps blocks of `size` lanes between rows i and i + size; log2(LANES) such steps transpose. */
INLINE void v_swap(vreal *a, vreal *b, int size)
{
	vreal x = *a, y = *b;
	if (size == 4) {
		*a = __builtin_shufflevector(x, y, 0, 1, 2, 3, 8, 9, 10, 11);
		*b = __builtin_shufflevector(x, y, 4, 5, 6, 7, 12, 13, 14, 15);
	} else if (size == 2) {
		*a = __builtin_shufflevector(x, y, 0, 1, 8, 9, 4, 5, 12, 13);
		*b = __builtin_shufflevector(x, y, 2, 3, 10, 11, 6, 7, 14, 15);
	} else {
		*a = __builtin_shufflevector(x, y, 0, 8, 2, 10, 4, 12, 6, 14);
		*b = __builtin_shufflevector(x, y, 1, 9, 3, 11, 5, 13, 7, 15);
	}
}

#define V_TRANSPOSE_ROWS(a) V_SWAP_ROWS(a, 4) V_SWAP_ROWS(a, 2) V_SWAP_ROWS(a, 1)

/* A bit a lane: of truth; where a is not less than b. */
INLINE unsigned vi_bits(vint a)
{
	unsigned bits;
	__asm__("vmovmskps %1, %0" : "=r"(bits) : "x"(a));
	return bits;
}

/* The lanes whose bit is set, side by side. A byte a lane: those numbers of lanes that stay, drawn together. */
INLINE vint vi_squeeze(vint a, unsigned bits)
{
	unsigned long lanes = __builtin_ia32_pdep_di(bits, 0x0101010101010101UL) * 255;
	lanes = __builtin_ia32_pext_di(0x0706050403020100UL, lanes);
	vint order;
	__asm__("vmovq %1, %x0\n\tvpmovzxbd %x0, %0" : "=x"(order) : "r"(lanes));
	__asm__("vpermd %1, %2, %0" : "=x"(a) : "x"(a), "x"(order));
	return a;
}

INLINE unsigned v_bits_reach(vreal a, vreal b) { return vi_bits(~(a < b)); }

INLINE unsigned vi_bits_reach(vint a, vint b) { return vi_bits(~(a < b)); }
