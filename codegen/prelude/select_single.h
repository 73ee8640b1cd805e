/* What selections do to many elements at a time, one at a time: for compilers without vectors and for double. */

#define SELECT_SHORT 8

static inline void select_keys(at_key *key, const real *x, long n)
{
	for (long i = 0; i < n; i++)
		key[i] = select_key(x[i]);
}

/* How many keys reach `middle`; the largest of the others, and the smallest of these. */
static inline long select_bracket(const at_key *key, long n, at_key middle, at_key *below, at_key *above)
{
	at_key least = KEY_MOST, most = KEY_LEAST;
	long count = 0;
	for (long i = 0; i < n; i++) {
		at_key k = key[i];
		count += k >= middle;
		if (k >= middle)
			least = k < least ? k : least;
		else
			most = k > most ? k : most;
	}
	*below = most;
	*above = least;
	return count;
}

/* The places whose keys reach t, and the keys, moved together. */
static inline long select_squeeze(int *at, at_key *key, long n, at_key t)
{
	long count = 0;
	for (long i = 0; i < n; i++) {
		at_key k = key[i];
		at[count] = at[i];
		key[count] = k;
		count += k >= t;
	}
	return count;
}

/* Places and keys of the elements whose keys reach t. */
static inline long select_candidates(int *at, at_key *key, const real *x, long n, at_key t)
{
	long count = 0;
	for (long i = 0; i < n; i++) {
		at_key k = select_key(x[i]);
		at[count] = (int)i;
		key[count] = k;
		count += k >= t;
	}
	return count;
}

/* How many keys go before each, the largest first. */
static inline void select_ranks(int *rank, const at_key *key, long n)
{
	for (long i = 0; i < n; i++) {
		int before = 0;
		for (long j = 0; j < n; j++)
			before += key[j] > key[i] || (key[j] == key[i] && j < i);
		rank[i] = before;
	}
}

static inline long select_flagged(int *at, const int *flag, long n)
{
	long count = 0;
	for (long i = 0; i < n; i++) {
		at[count] = (int)i;
		count += flag[i] != 0;
	}
	return count;
}

static inline long select_bytes(int *at, const unsigned char *flag, long n)
{
	long count = 0;
	for (long i = 0; i < n; i++) {
		at[count] = (int)i;
		count += flag[i] != 0;
	}
	return count;
}
