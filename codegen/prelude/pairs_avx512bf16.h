/* pairs.h by AVX-512 BW and VBMI: bytes are looked up, as bf16 has them, in a table of their low halves and one of their
 * high ones, which the elements of a byte need but for their sign. */

typedef short v_shorts __attribute__((vector_size(LANES * 4)));

typedef int v_ints8 __attribute__((vector_size(LANES * 2)));

typedef int v_ints8_at __attribute__((vector_size(LANES * 2), aligned(1), may_alias));

typedef int v_ints4_at __attribute__((vector_size(LANES), aligned(1), may_alias));

typedef int v_ints16_at __attribute__((vector_size(LANES * 4), aligned(1), may_alias));

typedef long v_longs __attribute__((vector_size(LANES * 4)));

/* Of two vectors that bf16 holds: a lane of each to a group; those of the first, then those of the second, two adjacent
 * ones to a group. */
INLINE vint v_pair(vreal a, vreal b)
{
	return (vint)__builtin_shufflevector((v_shorts)a, (v_shorts)b, 1, 33, 3, 35, 5, 37, 7, 39, 9, 41, 11, 43, 13, 45, 15, 47, 17,
	                                       49, 19, 51, 21, 53, 23, 55, 25, 57, 27, 59, 29, 61, 31, 63);
}

INLINE vint v_side(vreal a, vreal b)
{
	return (vint)__builtin_shufflevector((v_shorts)a, (v_shorts)b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33,
	                                       35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63);
}

/* The first `left` bits. */
INLINE unsigned long v_bits(long left) { return left >= 64 ? -1ul : left <= 0 ? 0 : (1ul << left) - 1; }

INLINE vint v_words_part(const unsigned short *p, long left)
{
	vint a;
	__asm__("vmovdqu16 %1, %0%{%2%}%{z%}" : "=v"(a) : "m"(*(const v_ints16_at *)p), "Yk"((unsigned)v_bits(left)));
	return a;
}

INLINE struct vpairs v_pairs_bf16(const unsigned short *p, long left)
{
	if (left >= 4 * LANES)
		return (struct vpairs){(vint)*(const v_ints16_at *)p, (vint)*(const v_ints16_at *)(p + 2 * LANES)};
	return (struct vpairs){v_words_part(p, left), v_words_part(p + 2 * LANES, left - 2 * LANES)};
}

V_PAIR_ROWS(v_pair_rows_bf16_apart, const unsigned short *, v_get_bf16)

INLINE struct vpairs v_pair_rows_bf16(const unsigned short *p, long step, long left, const unsigned short *q, long more)
{
	v_shorts x, y;
	if (step != 1)
		return v_pair_rows_bf16_apart(p, step, left, q, more);
	x = (v_shorts)(left >= 2 * LANES ? (vint)*(const v_ints16_at *)p : v_words_part(p, left));
	y = (v_shorts)(more >= 2 * LANES ? (vint)*(const v_ints16_at *)q : v_words_part(q, more));
	return (struct vpairs){(vint)__builtin_shufflevector(x, y, 0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 8, 40,
	                                       9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47),
	                       (vint)__builtin_shufflevector(x, y, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
	                                       24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63)};
}

/* Bytes at those places. */
INLINE vint v_bytes_at(vint a, const struct v_places *place)
{
	__asm__("vpermb %1, %2, %0" : "=v"(a) : "v"(a), "v"(*(const v_ints16_at *)place->at));
	return a;
}

/* Low and high bytes become 16 bits, of each lane of 16 bytes the first eight and the others. */
INLINE struct vpairs v_zipped(vint low, vint high)
{
	struct vpairs r;
	__asm__("vpunpcklbw %2, %1, %0" : "=v"(r.a) : "v"(low), "v"(high));
	__asm__("vpunpckhbw %2, %1, %0" : "=v"(r.b) : "v"(low), "v"(high));
	return r;
}

/* Each byte's magnitude is looked up among 128 low halves and as many high ones, which get its sign. */
INLINE struct vpairs v_looked_up(vint bytes, const struct v_byte_halves *low, const struct v_byte_halves *high)
{
	vint l = bytes, h = bytes;
	__asm__("vpermi2b %2, %1, %0" : "+v"(l) : "v"(*(const v_ints16_at *)low->at), "v"(*(const v_ints16_at *)(low->at + 64)));
	__asm__("vpermi2b %2, %1, %0" : "+v"(h) : "v"(*(const v_ints16_at *)high->at), "v"(*(const v_ints16_at *)(high->at + 64)));
	return v_zipped(l, h | (bytes & (int)0x80808080u));
}

struct v_places {
	unsigned char at[64];
};

/* What v_zipped leaves in the order of a row of 64, or of two rows of 32. */
static const struct v_places v_row_places = {{
	0, 1, 2, 3, 4, 5, 6, 7, 32, 33, 34, 35, 36, 37, 38, 39,
	8, 9, 10, 11, 12, 13, 14, 15, 40, 41, 42, 43, 44, 45, 46, 47,
	16, 17, 18, 19, 20, 21, 22, 23, 48, 49, 50, 51, 52, 53, 54, 55,
	24, 25, 26, 27, 28, 29, 30, 31, 56, 57, 58, 59, 60, 61, 62, 63}};

static const struct v_places v_rows_places = {{
	0, 32, 1, 33, 2, 34, 3, 35, 16, 48, 17, 49, 18, 50, 19, 51,
	4, 36, 5, 37, 6, 38, 7, 39, 20, 52, 21, 53, 22, 54, 23, 55,
	8, 40, 9, 41, 10, 42, 11, 43, 24, 56, 25, 57, 26, 58, 27, 59,
	12, 44, 13, 45, 14, 46, 15, 47, 28, 60, 29, 61, 30, 62, 31, 63}};

INLINE vint v_row_of_bytes(const unsigned char *p, long left)
{
	vint a;
	if (left >= 64)
		return (vint)*(const v_ints16_at *)p;
	__asm__("vmovdqu8 %1, %0%{%2%}%{z%}" : "=v"(a) : "m"(*(const v_ints16_at *)p), "Yk"(v_bits(left)));
	return a;
}

INLINE v_ints8 v_half_row_of_bytes(const unsigned char *p, long left)
{
	v_ints8 a;
	if (left >= 32)
		return (v_ints8)*(const v_ints8_at *)p;
	__asm__("vmovdqu8 %1, %0%{%2%}%{z%}" : "=v"(a) : "m"(*(const v_ints8_at *)p), "Yk"((unsigned)v_bits(left)));
	return a;
}

INLINE vint v_rows_of_bytes(const unsigned char *p, long left, const unsigned char *q, long more)
{
	v_ints8 x = v_half_row_of_bytes(p, left), y = v_half_row_of_bytes(q, more);
	return __builtin_shufflevector(x, y, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

#define V_PAIRS_LOOKED_UP(name, low, high)                                                                            \
	INLINE struct vpairs name(const unsigned char *p, long left)                                                  \
	{                                                                                                             \
		return v_looked_up(v_bytes_at(v_row_of_bytes(p, left), &v_row_places), &low, &high);                     \
	}

#define V_PAIR_ROWS_LOOKED_UP(name, low, high, apart)                                                                 \
	INLINE struct vpairs name(const unsigned char *p, long step, long left, const unsigned char *q, long more)    \
	{                                                                                                             \
		if (step != 1)                                                                                        \
			return apart(p, step, left, q, more);                                                         \
		return v_looked_up(v_bytes_at(v_rows_of_bytes(p, left, q, more), &v_rows_places), &low, &high);          \
	}

struct v_byte_halves {
	unsigned char at[128];
};

/* Halves of bf16 of exponents e to e + 3, of eight or four mantissas. */
#define V_LOW_8(e) V_LOWS_8((e) % 2 * 128), V_LOWS_8((e) % 2 * 128 ^ 128), V_LOWS_8((e) % 2 * 128), V_LOWS_8((e) % 2 * 128 ^ 128)

#define V_LOWS_8(x) (x), (x) + 16, (x) + 32, (x) + 48, (x) + 64, (x) + 80, (x) + 96, (x) + 112

#define V_HIGH_8(e) V_HIGHS_8((e) >> 1), V_HIGHS_8(((e) + 1) >> 1), V_HIGHS_8(((e) + 2) >> 1), V_HIGHS_8(((e) + 3) >> 1)

#define V_HIGHS_8(x) x, x, x, x, x, x, x, x

#define V_LOW_4(e) V_LOWS_4((e) % 2 * 128), V_LOWS_4((e) % 2 * 128 ^ 128), V_LOWS_4((e) % 2 * 128), V_LOWS_4((e) % 2 * 128 ^ 128)

#define V_LOWS_4(x) (x), (x) + 32, (x) + 64, (x) + 96

#define V_HIGH_4(e) V_HIGHS_4((e) >> 1), V_HIGHS_4(((e) + 1) >> 1), V_HIGHS_4(((e) + 2) >> 1), V_HIGHS_4(((e) + 3) >> 1)

#define V_HIGHS_4(x) x, x, x, x

/* f8e4m3: 2^(e - 7) is 2^(e + 120 - 127); the eight smallest are multiples of 2^-9; the last is no number. */
static const struct v_byte_halves v_low_f8e4m3 = {{
	0, 0, 128, 192, 0, 32, 64, 96, V_LOWS_8(128), V_LOWS_8(0), V_LOWS_8(128), V_LOW_8(124), V_LOW_8(128),
	V_LOWS_8(0), V_LOWS_8(128), V_LOWS_8(0), 128, 144, 160, 176, 192, 208, 224, 192}};

static const struct v_byte_halves v_high_f8e4m3 = {{
	0, 59, 59, 59, 60, 60, 60, 60, V_HIGHS_8(60), V_HIGHS_8(61), V_HIGHS_8(61), V_HIGH_8(124), V_HIGH_8(128),
	V_HIGHS_8(66), V_HIGHS_8(66), V_HIGHS_8(67), 67, 67, 67, 67, 67, 67, 67, 127}};

V_PAIRS_LOOKED_UP(v_pairs_f8e4m3, v_low_f8e4m3, v_high_f8e4m3)

V_PAIR_ROWS(v_pair_rows_f8e4m3_apart, const unsigned char *, v_get_f8e4m3)

V_PAIR_ROWS_LOOKED_UP(v_pair_rows_f8e4m3, v_low_f8e4m3, v_high_f8e4m3, v_pair_rows_f8e4m3_apart)

/* f8e5m2: 2^(e - 15) is 2^(e + 112 - 127); the four smallest are multiples of 2^-16; the last four infinity and NaN. */
static const struct v_byte_halves v_low_f8e5m2 = {{
	0, 128, 0, 64, V_LOWS_4(128), V_LOWS_4(0), V_LOWS_4(128), V_LOW_4(116), V_LOW_4(120), V_LOW_4(124), V_LOW_4(128),
	V_LOW_4(132), V_LOW_4(136), V_LOWS_4(0), V_LOWS_4(128), V_LOWS_4(0), 128, 192, 192, 192}};

static const struct v_byte_halves v_high_f8e5m2 = {{
	0, 55, 56, 56, V_HIGHS_4(56), V_HIGHS_4(57), V_HIGHS_4(57), V_HIGH_4(116), V_HIGH_4(120), V_HIGH_4(124),
	V_HIGH_4(128), V_HIGH_4(132), V_HIGH_4(136), V_HIGHS_4(70), V_HIGHS_4(70), V_HIGHS_4(71), 127, 127, 127, 127}};

V_PAIRS_LOOKED_UP(v_pairs_f8e5m2, v_low_f8e5m2, v_high_f8e5m2)

V_PAIR_ROWS(v_pair_rows_f8e5m2_apart, const unsigned char *, v_get_f8e5m2)

V_PAIR_ROWS_LOOKED_UP(v_pair_rows_f8e5m2, v_low_f8e5m2, v_high_f8e5m2, v_pair_rows_f8e5m2_apart)

/* Fields of four bits of each 64, at the places that the bytes of `at` say, looked up. */
INLINE struct vpairs v_nibbles_looked_up(vint a, v_longs at)
{
	const long l0 = (long)0xe0c0a08040008000, l1 = (long)0x80004080a0c0e000;
	const long h0 = 0x4040404040403f00, h1 = (long)0xbfc0c0c0c0c0c0c1;
	const v_longs low = {l0, l1, l0, l1, l0, l1, l0, l1}, high = {h0, h1, h0, h1, h0, h1, h0, h1};
	vint l, h;
	__asm__("vpmultishiftqb %1, %2, %0" : "=v"(a) : "v"(a), "v"(at));
	a &= 0x0f0f0f0f;
	__asm__("vpshufb %2, %1, %0" : "=v"(l) : "v"(low), "v"(a));
	__asm__("vpshufb %2, %1, %0" : "=v"(h) : "v"(high), "v"(a));
	return v_zipped(l, h);
}

V_PAIRS(v_pairs_i4_each, long, v_get_i4)

INLINE struct vpairs v_pairs_i4(long p, long left)
{
	if (p & 1 || left < 64)
		return v_pairs_i4_each(p, left);
	v_ints8 x = (v_ints8)*(const v_ints8_at *)(p >> 1);
	return v_nibbles_looked_up(__builtin_shufflevector(x, x, 0, 0, 4, 4, 1, 1, 5, 5, 2, 2, 6, 6, 3, 3, 7, 7),
	                           0x1c1814100c080400 - (v_longs){0});
}

V_PAIR_ROWS(v_pair_rows_i4_each, long, v_get_i4)

INLINE struct vpairs v_pair_rows_i4(long p, long step, long left, long q, long more)
{
	const long first = 0x2c0c280824042000, second = 0x3c1c381834143010;
	if (step != 1 || p & 1 || q & 1 || left < 32 || more < 32)
		return v_pair_rows_i4_each(p, step, left, q, more);
	const v_ints4_at x = *(const v_ints4_at *)(p >> 1), y = *(const v_ints4_at *)(q >> 1);
	return v_nibbles_looked_up((vint)__builtin_shufflevector(x, y, 0, 4, 2, 6, 0, 4, 2, 6, 1, 5, 3, 7, 1, 5, 3, 7),
	                           (v_longs){first, first, second, second, first, first, second, second});
}
