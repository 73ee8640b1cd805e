/* Products of groups where no instruction takes them: as that would, but for the rounding of intermediate sums. */

enum { DOT_BIAS = 0 };

INLINE void v_store_bf16(unsigned short *p, vreal a) { v_put_bf16(p, 1, LANES, a); }

INLINE void v_store_pair_bf16(unsigned short *p, vreal a, vreal b)
{
	v_store_bf16(p, a);
	v_store_bf16(p + LANES, b);
}

INLINE vreal v_dot_bf16(vreal c, vint a, vint b)
{
	c += (vreal)(a & -65536) * (vreal)(b & -65536);
	return c + (vreal)(a << 16) * (vreal)(b << 16);
}

typedef unsigned v_unsigned __attribute__((vector_size(LANES * 4)));

/* Of two vectors that bf16 holds: a lane of each to a group; those of the first, then those of the second, two adjacent
 * ones to a group. */
INLINE vint v_pair(vreal a, vreal b) { return (vint)((v_unsigned)a >> 16) | ((vint)b & -65536); }

INLINE vint v_side(vreal a, vreal b)
{
	unsigned short to[2 * LANES];
	vint x = (vint)a >> 16, y = (vint)b >> 16;
	for (int i = 0; i < LANES; i++) {
		to[i] = (unsigned short)x[i];
		to[i + LANES] = (unsigned short)y[i];
	}
	return vi_load((const int *)to);
}

/* Of each pair of 16 bits the first byte, and the second, with their signs. */
INLINE vint v_even_i8(vint a)
{
	typedef short v_pairs __attribute__((vector_size(LANES * 4)));
	return (vint)((v_pairs)a << 8 >> 8);
}

INLINE vint v_odd_i8(vint a)
{
	typedef short v_pairs __attribute__((vector_size(LANES * 4)));
	return (vint)((v_pairs)a >> 8);
}

INLINE vint vi_dot_i8(vint c, vint a, vint b)
{
	return c + vi_multiply_pairs(v_even_i8(a), v_even_i8(b)) + vi_multiply_pairs(v_odd_i8(a), v_odd_i8(b));
}

#define vi_dot_start_i8(a, count) 0
