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
