/* Selections along one fiber (dsl/selections.h). Elements are compared by keys: integers in the order of the numbers,
 * a NaN above them all, -0 as 0. Results are lists of places in the fiber. Time is linear in the fiber, whatever
 * it holds: a threshold is found by counting, at most once a bit of a key. Room for lists and keys is the caller's,
 * 64 elements more than the fiber: stores are of whole vectors. select_vector.h and select_single.h have what
 * depends on those. */

/* The k-th largest of n keys, k from 1 to n, none of which is below `low`; or any that k to `most` of them reach. */
static inline at_key select_threshold(const at_key *key, long n, long k, long most, at_key low)
{
	at_key high = KEY_MOST, below, above;
	while (low < high) {
		at_key middle = low + (at_key)(((at_unsigned_key)high - (at_unsigned_key)low) / 2 + 1);
		long reach = select_bracket(key, n, middle, &below, &above);
		if (reach < k)
			high = below;
		else
			low = above;
		if (reach >= k && reach <= most)
			break;
	}
	return low;
}

/* Of n places in order, with their keys beside them, k: those above t and the first that equal it. */
static inline long select_keep(int *at, at_key *key, long n, long k, at_key t)
{
	long count = select_squeeze(at, key, n, t), above = 0, i;
	if (count <= k)
		return count;
	for (n = count, i = 0; i < n; i++)
		above += key[i] > t;
	for (i = count = 0; i < n; i++) {
		int tie = key[i] == t;
		at[count] = at[i];
		count += !tie | (above < k);
		above += tie;
	}
	return count;
}

/* The places of the k largest of n keys, ascending; the keys may be moved. */
static inline long select_largest(int *at, at_key *key, long n, long k)
{
	long count = 0, i;
	if (k < 1)
		return 0;
	if (k < n && n <= SELECT_SHORT) {
		select_ranks(at, key, n);
		for (i = 0; i < n; i++) {
			int rank = at[i];
			at[count] = (int)i;
			count += rank < k;
		}
		return count;
	}
	for (i = 0; i < n; i++)
		at[i] = (int)i;
	return select_keep(at, key, n, k, k < n ? select_threshold(key, n, k, k, KEY_LEAST) : KEY_LEAST);
}

/* The places of the k largest of n elements, ascending. Of many, those are compared that reach what, by a sample, some
 * more than k reach; if it is not so, all are. */
static inline long select_topk(int *at, const real *x, long n, long k, at_key *key)
{
	enum { CHUNK = 16, CHUNKS = 128 };
	if (n >= 16384 && k > 0 && k < n / 8) {
		long expected = k * (CHUNK * CHUNKS) / n, margin = 4, count, i;
		at_key t;
		while (margin * margin < 9 * expected)
			margin++;
		for (i = 0; i < CHUNKS; i++)
			select_keys(key + i * CHUNK, x + i * (n - CHUNK) / (CHUNKS - 1) / CHUNK * CHUNK, CHUNK);
		margin += expected;
		t = select_threshold(key, CHUNK * CHUNKS, margin, margin + margin / 16, KEY_LEAST);
		count = t < KEY_MOST ? select_candidates(at, key, x, n, t) : 0;
		if (count >= k)
			return select_keep(at, key, count, k, select_threshold(key, count, k, k, t));
	}
	select_keys(key, x, n);
	return select_largest(at, key, n, k);
}

static inline void select_sort_few(at_key *key, int *at, long n)
{
	for (long i = 1; i < n; i++) {
		at_key k = key[i];
		int p = at[i];
		long j = i;
		for (; j > 0 && key[j - 1] > k; j--) {
			key[j] = key[j - 1];
			at[j] = at[j - 1];
		}
		key[j] = k;
		at[j] = p;
	}
}

/* Stable by the keys, ascending; places go along. Byte by byte, the lowest first; a byte that all share costs a
 * count only. */
static inline void select_sort(at_key *key, int *at, long n, at_key *other_key, int *other_at)
{
	at_key *from_key = key, *to_key = other_key, *t;
	int *from_at = at, *to_at = other_at, *s;
	if (n <= 32) {
		select_sort_few(key, at, n);
		return;
	}
	for (int shift = 0; shift < (int)sizeof(at_key) * 8; shift += 8) {
		long first[256], at_first = 0, i;
		int flip = shift == (int)sizeof(at_key) * 8 - 8 ? 128 : 0;
		for (i = 0; i < 256; i++)
			first[i] = 0;
		for (i = 0; i < n; i++)
			first[((int)(from_key[i] >> shift) & 255) ^ flip]++;
		if (first[((int)(from_key[0] >> shift) & 255) ^ flip] == n)
			continue;
		for (i = 0; i < 256; i++) {
			long count = first[i];
			first[i] = at_first;
			at_first += count;
		}
		for (i = 0; i < n; i++) {
			long to = first[((int)(from_key[i] >> shift) & 255) ^ flip]++;
			to_key[to] = from_key[i];
			to_at[to] = from_at[i];
		}
		t = from_key, from_key = to_key, to_key = t;
		s = from_at, from_at = to_at, to_at = s;
	}
	for (long i = 0; from_at != at && i < n; i++)
		at[i] = from_at[i];
}

/* Places by ascending keys. */
static inline void select_order(int *at, at_key *key, long n, at_key *other_key, int *other_at)
{
	for (long i = 0; i < n; i++)
		at[i] = (int)i;
	select_sort(key, at, n, other_key, other_at);
}

/* The places of the fewest largest elements whose sum reaches p of the sum of all, the largest first; the sums in
 * double, in that order. */
static inline long select_nucleus(int *at, const real *x, long n, double p, at_key *key, at_key *other_key,
                                  int *other_at)
{
	double all = 0, sum = 0;
	long i;
	select_keys(key, x, n);
	for (i = 0; i < n; i++)
		key[i] = ~key[i];
	select_order(at, key, n, other_key, other_at);
	for (i = 0; i < n; i++)
		all += (double)x[at[i]];
	for (i = 0; i < n; i++)
		if ((sum += (double)x[at[i]]) >= p * all)
			return i + 1;
	return n;
}
