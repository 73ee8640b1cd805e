/* pairs.h where nothing is faster than by way of f32. */

V_PAIRS(v_pairs_bf16, const unsigned short *, v_get_bf16)

V_PAIR_ROWS(v_pair_rows_bf16, const unsigned short *, v_get_bf16)

V_PAIRS(v_pairs_f8e4m3, const unsigned char *, v_get_f8e4m3)

V_PAIR_ROWS(v_pair_rows_f8e4m3, const unsigned char *, v_get_f8e4m3)

V_PAIRS(v_pairs_f8e5m2, const unsigned char *, v_get_f8e5m2)

V_PAIR_ROWS(v_pair_rows_f8e5m2, const unsigned char *, v_get_f8e5m2)

V_PAIRS(v_pairs_i4, long, v_get_i4)

V_PAIR_ROWS(v_pair_rows_i4, long, v_get_i4)
