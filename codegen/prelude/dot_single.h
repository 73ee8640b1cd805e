/* narrow.h and dot_*.h where a vector is one lane: a group is the bits of its elements. */

enum { DOT_BIAS = 0 };

#define v_load_bf16(p) s_get_bf16(p)

#define v_store_bf16(p, a) s_put_bf16(p, a)

#define v_store_pair_bf16(p, a, b) (s_put_bf16(p, a), s_put_bf16((p) + 1, b))

#define v_store_part_bf16(p, a, left) ((left) > 0 ? (void)s_put_bf16(p, a) : (void)0)

#define vi_load_i8(p) si_get_i8(p)

#define vi_store_i8(p, a) si_put_i8(p, a)

#define vi_store_part_i8(p, a, left) ((left) > 0 ? (void)si_put_i8(p, a) : (void)0)

#define v_copy_bf16(to, p, step, left) (*(to) = *(p))

#define v_copy_i8(to, p, step, left) (*(to) = *(p))

#define v_group_bf16(p) ((long)((unsigned)(p)[0] | (unsigned)(p)[1] << 16))

#define v_groups_bf16(p) v_group_bf16(p)

static inline long v_group_i8(const signed char *p)
{
	return (long)((p[0] & 255u) | (p[1] & 255u) << 8 | (p[2] & 255u) << 16 | (p[3] & 255u) << 24);
}

#define v_groups_i8(p) v_group_i8(p)

#define v_live_bf16(left) ((long)((1u << (left) * 16) - 1))

#define v_live_i8(left) ((long)((1u << (left) * 8) - 1))

static inline real v_dot_bf16(real c, long a, long b)
{
	c += (real)s_float_of_bits((unsigned)a & 0xffff0000u) * (real)s_float_of_bits((unsigned)b & 0xffff0000u);
	return c + (real)s_float_of_bits((unsigned)a << 16) * (real)s_float_of_bits((unsigned)b << 16);
}

static inline long vi_dot_i8(long c, long a, long b)
{
	for (int i = 0; i < 32; i += 8)
		c += (long)(signed char)(a >> i) * (signed char)(b >> i);
	return c;
}

#define vi_dot_start_i8(a, count) 0

#define V_TURN(name, type, group)                                                              \
	static inline void name(type *to, const type *from, long rows)                         \
	{                                                                                      \
		for (int i = 0; i < (group); i++)                                              \
			to[i] = (type)(rows > 0 ? from[i] : 0);                                \
	}

V_TURN(v_turn_group_bf16, unsigned short, 2)

V_TURN(v_turn_group_i8, signed char, 4)

#define v_turn_bf16(to, to_step, from, from_step, rows, columns) v_turn_group_bf16(to, from, rows)

#define v_turn_i8(to, to_step, from, from_step, rows, columns) v_turn_group_i8(to, from, rows)

static inline void v_weave_bf16(unsigned short *to, const unsigned short *from, long row)
{
	to[0] = from[0];
	to[1] = from[row];
}

static inline void v_weave_i8(signed char *to, const signed char *from, long row)
{
	for (int i = 0; i < 4; i++)
		to[i] = from[i * row];
}

#define si_put_i8_biased(p, a) si_put_i8(p, a)

#define vi_put_i8_biased(p, step, left, a) si_put_i8(p, a)

#define INLINE static inline

/* Of two numbers that bf16 holds. */
static inline long v_pair(real a, real b)
{
	return (long)(s_bits_of_float((float)a) >> 16 | (s_bits_of_float((float)b) & 0xffff0000u));
}

#define v_side(a, b) v_pair(a, b)
