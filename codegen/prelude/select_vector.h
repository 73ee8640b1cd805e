/* What selections do to many elements at a time, by vectors. */

#define SELECT_SHORT 64

INLINE vint vi_keys(vreal x)
{
	vint bits = (vint)x, negative = bits >> 31;
	return vi_select(x != x, vi_splat(KEY_MOST), ((bits & KEY_MOST) ^ negative) - negative);
}

static inline void select_keys(int *key, const float *x, long n)
{
	long i = 0;
	for (; i + LANES <= n; i += LANES)
		vi_store(key + i, vi_keys(v_load(x + i)));
	for (; i < n; i++)
		key[i] = select_key(x[i]);
}

/* How many keys reach `middle`; the largest of the others, and the smallest of these. */
static inline long select_bracket(const int *key, long n, int middle, int *below, int *above)
{
	vint least = vi_splat(KEY_MOST), most = vi_splat(KEY_LEAST), counts = vi_splat(0), m = vi_splat(middle);
	long i = 0, count;
	for (; i + LANES <= n; i += LANES) {
		vint k = vi_load(key + i), reach = k >= m;
		counts -= reach;
		least = vi_min(least, vi_select(reach, k, vi_splat(KEY_MOST)));
		most = vi_max(most, vi_select(reach, vi_splat(KEY_LEAST), k));
	}
	count = vi_across_sum(counts);
	*below = (int)vi_across_max(most);
	*above = (int)vi_across_min(least);
	for (; i < n; i++) {
		count += key[i] >= middle;
		if (key[i] >= middle)
			*above = key[i] < *above ? key[i] : *above;
		else
			*below = key[i] > *below ? key[i] : *below;
	}
	return count;
}

/* The places of bits, from `base`, behind `count` others; four at a time, and so past the end. */
INLINE long select_places(int *at, long count, unsigned long bits, long base)
{
	int *to = at + count;
	count += __builtin_popcountl(bits);
	while (bits) {
		for (int i = 0; i < 4; i++) {
			to[i] = (int)base + __builtin_ctzl(bits | 1ul << 63);
			bits &= bits - 1;
		}
		to += 4;
	}
	return count;
}

/* The places where `test` holds of x[i], which `bits` tells of a vector at p. */
#define V_PLACES(name, element, number, bits_of, test)                          \
	static inline long name(int *at, const element *x, long n, number t)    \
	{                                                                       \
		long count = 0, i = 0;                                          \
		(void)t;                                                        \
		for (; i + 64 <= n; i += 64) {                                  \
			unsigned long bits = 0;                                 \
			for (int k = 0; k < 64; k += LANES) {                   \
				const element *p = x + i + k;                   \
				bits |= (unsigned long)bits_of << k;            \
			}                                                       \
			count = select_places(at, count, bits, i);              \
		}                                                               \
		for (; i < n; i++) {                                            \
			at[count] = (int)i;                                     \
			count += test;                                          \
		}                                                               \
		return count;                                                   \
	}

V_PLACES(select_reach, int, int, vi_bits_reach(vi_load(p), vi_splat(t)), x[i] >= t)

V_PLACES(select_reach_number, float, float, v_bits_reach(v_load(p), v_splat(t)), !(x[i] < t))

V_PLACES(select_flagged, int, int, vi_bits(vi_load(p) != vi_splat(t)), x[i] != t)

/* 32 bytes' bits. */
INLINE unsigned select_byte_bits(const unsigned char *p)
{
	typedef char bytes __attribute__((vector_size(32)));
	typedef char bytes_at __attribute__((vector_size(32), aligned(1), may_alias));
	bytes there = *(const bytes_at *)p != (bytes){0};
	unsigned bits;
	__asm__("vpmovmskb %1, %0" : "=r"(bits) : "x"(there));
	return bits;
}

static inline long select_bytes(int *at, const unsigned char *flag, long n)
{
	long count = 0, i = 0;
	for (; i + 64 <= n; i += 64) {
		unsigned long high = select_byte_bits(flag + i + 32);
		count = select_places(at, count, select_byte_bits(flag + i) | high << 32, i);
	}
	for (; i < n; i++) {
		at[count] = (int)i;
		count += flag[i] != 0;
	}
	return count;
}

/* How many keys go before each, the largest first. */
static inline void select_ranks(int *rank, const int *key, long n)
{
	for (long i = 0; i < n; i += LANES) {
		vint mine = vi_load(key + i), before = vi_splat(0), place = vi_iota(i);
		for (long j = 0; j < n; j++) {
			vint other = vi_splat(key[j]);
			before -= (other > mine) | ((other == mine) & (place > vi_splat(j)));
		}
		vi_store(rank + i, before);
	}
}
