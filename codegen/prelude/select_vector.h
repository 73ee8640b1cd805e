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
	for (; i < n / LANES * LANES; i += LANES)
		vi_store(key + i, vi_keys(v_load(x + i)));
	for (; i < n; i++)
		key[i] = select_key(x[i]);
}

/* How many keys reach `middle`; the largest of the others, and the smallest of these. */
static inline long select_bracket(const int *key, long n, int middle, int *below, int *above)
{
	vint least = vi_splat(KEY_MOST), most = vi_splat(KEY_LEAST), counts = vi_splat(0), m = vi_splat(middle);
	long i = 0, count;
	for (; i < n / LANES * LANES; i += LANES) {
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

/* The places whose keys reach t, and the keys, moved together. */
static inline long select_squeeze(int *at, int *key, long n, int t)
{
	long count = 0, i = 0;
	for (; i < n / LANES * LANES; i += LANES) {
		vint k = vi_load(key + i), place = vi_load(at + i);
		unsigned bits = vi_bits_reach(k, vi_splat(t));
		vi_store(key + count, vi_squeeze(k, bits));
		vi_store(at + count, vi_squeeze(place, bits));
		count += __builtin_popcount(bits);
	}
	for (; i < n; i++) {
		int k = key[i];
		at[count] = at[i];
		key[count] = k;
		count += k >= t;
	}
	return count;
}

/* The lanes whose bit is set, of which there are `count`, side by side: few are as a rule, and short stores cross
 * fewer lines. */
INLINE void select_store(int *to, vint a, unsigned bits, long count)
{
	typedef int few __attribute__((vector_size(16), aligned(4), may_alias));
	a = vi_squeeze(a, bits);
	if (count <= 4)
		*(few *)to = (few)__builtin_shufflevector(a, a, 0, 1, 2, 3);
	else
		vi_store(to, a);
}

/* Places and keys of the elements whose keys reach t. */
static inline long select_candidates(int *at, int *key, const float *x, long n, int t)
{
	vreal all = v_splat(select_number(t));
	long count = 0, i = 0, more;
	for (; i < n / LANES * LANES; i += LANES, count += more) {
		vreal a = v_load(x + i);
		unsigned bits = v_bits_reach(a, all);
		more = __builtin_popcount(bits);
		select_store(key + count, (vint)a, bits, more);
		select_store(at + count, vi_iota(i), bits, more);
	}
	if (i < n) {
		vreal a = v_load_part(x + i, n - i);
		unsigned bits = v_bits_reach(a, all) & ((1u << (n - i)) - 1);
		more = __builtin_popcount(bits);
		select_store(key + count, (vint)a, bits, more);
		select_store(at + count, vi_iota(i), bits, more);
		count += more;
	}
	for (i = 0; i < count; i += LANES)
		vi_store(key + i, vi_keys((vreal)vi_load(key + i)));
	return count;
}

static inline long select_flagged(int *at, const int *flag, long n)
{
	long count = 0, i = 0;
	for (; i < n / LANES * LANES; i += LANES) {
		unsigned bits = vi_bits(vi_load(flag + i) != vi_splat(0));
		vi_store(at + count, vi_squeeze(vi_iota(i), bits));
		count += __builtin_popcount(bits);
	}
	for (; i < n; i++) {
		at[count] = (int)i;
		count += flag[i] != 0;
	}
	return count;
}

/* 32 bytes' bits. */
INLINE unsigned select_byte_bits(const unsigned char *p)
{
	typedef char bytes __attribute__((vector_size(32)));
	typedef char bytes_at __attribute__((vector_size(32), aligned(1), may_alias));
	bytes there = *(const bytes_at *)p != (bytes){0};
	unsigned bits = 0;
#ifdef __x86_64__
	__asm__("vpmovmskb %1, %0" : "=r"(bits) : "x"(there));
#else
	/* Of each eight bytes a bit each, summed into the highest byte. */
	typedef unsigned long eights __attribute__((vector_size(32)));
	eights marks = ((eights)there & 0x8040201008040201UL) * 0x0101010101010101UL >> 56;
	for (int i = 0; i < 4; i++)
		bits |= (unsigned)marks[i] << 8 * i;
#endif
	return bits;
}

static inline long select_bytes(int *at, const unsigned char *flag, long n)
{
	long count = 0, i = 0;
	for (; i < n / 32 * 32; i += 32) {
		unsigned bits = select_byte_bits(flag + i);
		for (long base = i; bits; base += LANES, bits >>= LANES) {
			unsigned some = bits & ((1u << LANES) - 1);
			vi_store(at + count, vi_squeeze(vi_iota(base), some));
			count += __builtin_popcount(some);
		}
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
