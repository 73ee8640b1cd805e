/* Elements that bf16 holds, as groups of two: adjacent ones of a row, or those of a column in two rows. Two vectors of
 * groups at a time, in the order in which elements lie. Of the row `left` are there; the others are 0. */

struct vpairs {
	vint a, b;
};

/* A vector of one lane takes no heed of what is left. */
#define V_PAIR_OF(get, p, step, left) ((left) > 0 ? get(p, step, left) : v_splat(0))

#define V_PAIRS(name, element, get)                                                                                   \
	INLINE struct vpairs name(element p, long left)                                                               \
	{                                                                                                             \
		return (struct vpairs){v_side(V_PAIR_OF(get, p, 1, left),                                             \
		                              V_PAIR_OF(get, p + LANES, 1, left - LANES)),                            \
		                       v_side(V_PAIR_OF(get, p + 2 * LANES, 1, left - 2 * LANES),                     \
		                              V_PAIR_OF(get, p + 3 * LANES, 1, left - 3 * LANES))};                   \
	}

/* Of rows p and q, elements `step` apart; `more`: of q are there. */
#define V_PAIR_ROWS(name, element, get)                                                                               \
	INLINE struct vpairs name(element p, long step, long left, element q, long more)                              \
	{                                                                                                             \
		element p1 = p + LANES * step;                                                                              \
		element q1 = q + LANES * step;                                                 \
		return (struct vpairs){v_pair(V_PAIR_OF(get, p, step, left), V_PAIR_OF(get, q, step, more)),          \
		                       v_pair(V_PAIR_OF(get, p1, step, left - LANES),                                 \
		                              V_PAIR_OF(get, q1, step, more - LANES))};                               \
	}

V_PAIRS(v_pairs_i8, const signed char *, v_get_i8)

V_PAIR_ROWS(v_pair_rows_i8, const signed char *, v_get_i8)

V_PAIRS(v_pairs_u8, const unsigned char *, v_get_u8)

V_PAIR_ROWS(v_pair_rows_u8, const unsigned char *, v_get_u8)
