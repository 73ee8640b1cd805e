/* Vectors of one lane: the same generated text for compilers without vectors and for double. Truth is 0 or 1. */

typedef real vreal;
typedef long vint;
enum { LANES = 1 };

#define v_splat(a) ((real)(a))

#define v_ahead(p) ((void)(p))

#define v_load(p) (*(p))

#define v_store(p, a) (*(p) = (a))

#define v_store_part(p, a, left) ((left) > 0 ? (void)(*(p) = (a)) : (void)0)

#define v_load_step(p, step, left) ((left) > 0 ? *(p) : 0)

#define v_transpose(to, to_step, from, from_step, rows, columns) \
	((void)((columns) > 0 ? (*(to) = (rows) > 0 ? *(from) : 0) : 0))

#define vi_splat(a) ((long)(a))

#define vi_all(a) ((long)(a))

#define vi_iota(a) (a)

#define vi_live(left) ((left) > 0)

#define vi_load(p) ((long)*(p))

#define vi_store(p, a) (*(p) = (int)(a))

#define vi_store_part(p, a, left) ((left) > 0 ? (void)(*(p) = (int)(a)) : (void)0)

#define v_get_f64(p, step, left) s_get_f64(p)

#define v_splat_f16(p) s_get_f16(p)

#define v_get_f32(p, step, left) s_get_f32(p)

#define v_gather_f32(p, at, step, extent) \
	((unsigned long)(at) < (unsigned long)(extent) ? s_get_f32((p) + (at) * (step)) : 0)

#define v_get_f16(p, step, left) s_get_f16(p)

#define v_get_bf16(p, step, left) s_get_bf16(p)

#define v_get_f8e4m3(p, step, left) s_get_f8e4m3(p)

#define v_get_f8e5m2(p, step, left) s_get_f8e5m2(p)

#define v_get_i8(p, step, left) ((real)si_get_i8(p))

#define v_get_u8(p, step, left) ((real)si_get_u8(p))

#define v_get_i4(p, step, left) ((real)si_get_i4(p))

#define vi_get_i8(p, step, left) si_get_i8(p)

#define vi_get_u8(p, step, left) si_get_u8(p)

#define vi_get_i4(p, step, left) si_get_i4(p)

#define vi_get_i32(p, step, left) si_get_i32(p)

#define vi_get_i64(p, step, left) si_get_i64(p)

#define vi_get_bool(p, step, left) si_get_bool(p)

#define v_put_f64(p, step, left, a) s_put_f64(p, a)

#define v_put_f32(p, step, left, a) s_put_f32(p, a)

#define v_put_f16(p, step, left, a) s_put_f16(p, a)

#define v_put_bf16(p, step, left, a) s_put_bf16(p, a)

#define v_put_f8e4m3(p, step, left, a) s_put_f8e4m3(p, a)

#define v_put_f8e5m2(p, step, left, a) s_put_f8e5m2(p, a)

#define vi_put_i8(p, step, left, a) si_put_i8(p, a)

#define vi_put_u8(p, step, left, a) si_put_u8(p, a)

#define vi_put_i4(p, step, left, a) si_put_i4(p, a)

#define vi_put_i32(p, step, left, a) si_put_i32(p, a)

#define vi_put_i64(p, step, left, a) si_put_i64(p, a)

#define vi_put_bool(p, step, left, a) si_put_bool(p, a)

#define v_of_int(a) s_of_int(a)

#define v_of_bool(a) s_of_bool(a)

#define vi_of_bool(a) i_of_bool(a)

#define vi_of_real(a) i_of_real(a)

#define v_select(c, a, b) s_select(c, a, b)

#define vi_select(c, a, b) i_select(c, a, b)

#define vi_not(a) i_not(a)

#define v_min(a, b) s_min(a, b)

#define v_max(a, b) s_max(a, b)

#define v_abs(a) s_abs(a)

#define v_sign(a) s_sign(a)

#define v_floor(a) s_floor(a)

#define v_round(a) s_round(a)

#define v_exp(a) s_exp(a)

#define v_exp2(a) s_exp2(a)

#define v_log(a) s_log(a)

#define v_log2(a) s_log2(a)

#define v_sqrt(a) s_sqrt(a)

#define v_rsqrt(a) s_rsqrt(a)

#define v_pow(a, b) s_pow(a, b)

#define v_tanh(a) s_tanh(a)

#define v_sigmoid(a) s_sigmoid(a)

#define v_softplus(a) s_softplus(a)

#define v_relu(a) s_relu(a)

#define v_gelu(a) s_gelu(a)

#define v_silu(a) s_silu(a)

#define v_erf(a) s_erf(a)

#define v_sin(a) s_sin(a)

#define v_cos(a) s_cos(a)

#define vi_min(a, b) i_min(a, b)

#define vi_max(a, b) i_max(a, b)

#define vi_abs(a) i_abs(a)

#define vi_sign(a) i_sign(a)

#define vi_relu(a) i_relu(a)

#define vi_bit_ceil(a) i_bit_ceil(a)

#define vi_idiv(a, b) i_idiv(a, b)

#define vi_mod(a, b) i_mod(a, b)

#define v_fold_sum(a, b) s_fold_sum(a, b)

#define v_fold_prod(a, b) s_fold_prod(a, b)

#define v_fold_max(a, b) s_fold_max(a, b)

#define v_fold_min(a, b) s_fold_min(a, b)

#define v_fold_max_nan(a, b) s_fold_max(a, b)

#define v_fold_min_nan(a, b) s_fold_min(a, b)

#define vi_fold_sum(a, b) i_fold_sum(a, b)

#define vi_fold_prod(a, b) i_fold_prod(a, b)

#define vi_fold_max(a, b) i_fold_max(a, b)

#define vi_fold_min(a, b) i_fold_min(a, b)

#define vi_fold_any(a, b) i_fold_any(a, b)

#define vi_fold_all(a, b) i_fold_all(a, b)

#define v_across_sum(a) (a)

#define v_across_prod(a) (a)

#define v_across_max(a) (a)

#define v_across_min(a) (a)

#define v_across_max_nan(a) (a)

#define v_across_min_nan(a) (a)

#define vi_across_sum(a) (a)

#define vi_across_prod(a) (a)

#define vi_across_max(a) (a)

#define vi_across_min(a) (a)

#define vi_across_any(a) (a)

#define vi_across_all(a) (a)

#define v_cast_f64(a) s_cast_f64(a)

#define v_cast_f32(a) s_cast_f32(a)

#define v_cast_f16(a) s_cast_f16(a)

#define v_cast_bf16(a) s_cast_bf16(a)

#define v_cast_f8e4m3(a) s_cast_f8e4m3(a)

#define v_cast_f8e5m2(a) s_cast_f8e5m2(a)

#define v_cast_i8(a) s_cast_i8(a)

#define v_cast_u8(a) s_cast_u8(a)

#define v_cast_i4(a) s_cast_i4(a)

#define v_cast_i32(a) s_cast_i32(a)

#define v_cast_i64(a) s_cast_i64(a)

#define v_cast_bool(a) s_cast_bool(a)

#define vi_cast_i8(a) i_cast_i8(a)

#define vi_cast_u8(a) i_cast_u8(a)

#define vi_cast_i4(a) i_cast_i4(a)

#define vi_cast_i32(a) i_cast_i32(a)

#define vi_cast_i64(a) i_cast_i64(a)

#define vi_cast_bool(a) i_cast_bool(a)

#define vi_cast_f64(a) i_cast_f64(a)

#define vi_cast_f32(a) i_cast_f32(a)

#define vi_cast_f16(a) i_cast_f16(a)

#define vi_cast_bf16(a) i_cast_bf16(a)

#define vi_cast_f8e4m3(a) i_cast_f8e4m3(a)

#define vi_cast_f8e5m2(a) i_cast_f8e5m2(a)
