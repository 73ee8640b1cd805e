/* Narrow values in scratch, and operands of contractions that are multiplied in groups: as many elements along the
 * contracted index as fill 32 bits of a lane. What multiplies them is in dot_*.h. */

typedef unsigned short v_half_at __attribute__((vector_size(LANES * 2), aligned(2), may_alias));
typedef signed char v_byte_at __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef int v_group_at __attribute__((aligned(1), may_alias));

INLINE vreal v_load_bf16(const unsigned short *p) { return (vreal)(__builtin_convertvector(*(const v_half_at *)p, vint) << 16); }

INLINE void v_store_part_bf16(unsigned short *p, vreal a, long left)
{
	unsigned short lanes[LANES];
	v_store_bf16(lanes, a);
	v_store_halves_part(p, v_halves(lanes, LANES), left);
}

INLINE vint vi_load_i8(const signed char *p) { return __builtin_convertvector(*(const v_byte_at *)p, vint); }

INLINE void vi_store_i8(signed char *p, vint a) { *(v_byte_at *)p = __builtin_convertvector(vi_cast_i8(a), v_byte_at); }

INLINE void vi_store_part_i8(signed char *p, vint a, long left)
{
	for (long i = 0; i < LANES && i < left; i++)
		p[i] = (signed char)vi_cast_i8(a)[i];
}

/* Elements as they are. */
INLINE void v_copy_bf16(unsigned short *to, const unsigned short *p, long step, long left)
{
	if (step == 1 && left >= LANES)
		*(v_half_at *)to = *(const v_half_at *)p;
	else if (step == 1)
		v_store_halves_part(to, v_halves_part(p, left), left);
	else
		for (long i = 0; i < LANES && i < left; i++)
			to[i] = p[i * step];
}

INLINE void v_copy_i8(signed char *to, const signed char *p, long step, long left)
{
	if (step == 1 && left >= LANES)
		*(v_byte_at *)to = *(const v_byte_at *)p;
	else
		for (long i = 0; i < LANES && i < left; i++)
			to[i] = p[i * step];
}

/* One group in every lane; a group a lane. */
INLINE vint v_group(const void *p) { return *(const v_group_at *)p - (vint){0}; }

INLINE vint v_groups(const void *p) { return vi_load((const int *)p); }

#define v_group_bf16(p) v_group(p)

#define v_group_i8(p) v_group(p)

#define v_groups_bf16(p) v_groups(p)

#define v_groups_i8(p) v_groups(p)

/* The elements of a group that are there, one to three. */
INLINE vint v_live_bf16(long left) { return vi_splat((long)((1u << left * 16) - 1)); }

INLINE vint v_live_i8(long left) { return vi_splat((long)((1u << left * 8) - 1)); }

/* A square of groups, of which `rows` rows exist, becomes the `columns` first of its columns. */
INLINE void v_turn_bf16(unsigned short *to, long to_step, const unsigned short *from, long from_step, long rows, long columns)
{
	v_transpose((real *)to, to_step, (const real *)from, from_step, rows, columns);
}

INLINE void v_turn_i8(signed char *to, long to_step, const signed char *from, long from_step, long rows, long columns)
{
	v_transpose((real *)to, to_step, (const real *)from, from_step, rows, columns);
	for (long i = 0; DOT_BIAS && i < LANES && i < columns; i++)
		vi_store((int *)to + i * to_step, v_groups((int *)to + i * to_step) ^ (int)(DOT_BIAS * 0x01010101u));
}

/* Elements of rows that follow one another become groups. */
INLINE void v_weave_bf16(unsigned short *to, const unsigned short *from, long row)
{
	vint even = __builtin_convertvector(*(const v_half_at *)from, vint);
	vint odd = __builtin_convertvector(*(const v_half_at *)(from + row), vint);
	vi_store((int *)to, even | odd << 16);
}

INLINE void v_weave_i8(signed char *to, const signed char *from, long row)
{
	vint a = vi_load_i8(from) & 255, b = vi_load_i8(from + row) & 255, c = vi_load_i8(from + 2 * row) & 255;
	vint d = vi_load_i8(from + 3 * row);
	vi_store((int *)to, (a | b << 8 | c << 16 | d << 24) ^ (int)(DOT_BIAS * 0x01010101u));
}

/* Elements of tensors in groups of i8, one at a time. */
#define si_put_i8_biased(p, a) (*(p) = (signed char)(i_cast_i8(a) ^ DOT_BIAS))

V_PUT(vi_put_i8_biased, vint, signed char, si_put_i8_biased)
