/* The primitives of a device, codegen/primitives.h, by the emulator of targets/emulate.h. Stands before a kernel's
 * text when it is compiled for a host: plain C17, for Clang and libtcc. What only computes is computed here; the
 * rest goes through at_emulator, which says first in which line of the text it stands. */

struct emulate_api {
	const struct emulate_api *(*at)(int line);
	unsigned (*thread)(void);
	unsigned (*block)(void);
	unsigned (*shared_base)(void);
	void (*barrier)(void);
	void (*warp_sync)(void);
	unsigned (*shfl_xor)(unsigned bits, int mask);
	unsigned (*load_shared_u8)(unsigned shared);
	unsigned (*load_shared_u16)(unsigned shared);
	unsigned (*load_shared_u32)(unsigned shared);
	void (*store_shared_u8)(unsigned shared, unsigned bits);
	void (*store_shared_u16)(unsigned shared, unsigned bits);
	void (*store_shared_u32)(unsigned shared, unsigned bits);
	unsigned (*load_u8)(const void *p);
	unsigned (*load_u16)(const void *p);
	unsigned (*load_u32)(const void *p);
	unsigned long (*load_u64)(const void *p);
	void (*store_u8)(void *p, unsigned bits);
	void (*store_u16)(void *p, unsigned bits);
	void (*store_u32)(void *p, unsigned bits);
	void (*store_u64)(void *p, unsigned long bits);
	void (*cp_async)(unsigned shared, const void *p, int size, int bytes);
	void (*cp_commit)(void);
	void (*cp_wait)(int groups);
	void (*ldmatrix_x4)(unsigned *r, unsigned shared);
	void (*ldmatrix_x4_trans)(unsigned *r, unsigned shared);
	void (*mma_bf16)(float *d, const unsigned *a, unsigned b0, unsigned b1);
	void (*mma_f16)(float *d, const unsigned *a, unsigned b0, unsigned b1);
	void (*mma_tf32)(float *d, const unsigned *a, unsigned b0, unsigned b1);
	void (*mma_i8)(int *d, const unsigned *a, unsigned b0, unsigned b1);
};

#ifndef ATTUNE_TARGETS_EMULATE_H /* the emulator itself takes the rest only */

const struct emulate_api *at_emulator;

#define AT_KERNEL(name, threads) void name(const struct at_device_args *at_args)

#define AT_ARGS at_args

#define AT_UNROLL
#define AT_UNROLL_4
#define AT_ROLLED

#define AT_INLINE static inline

/* what a device has without a header */
/* clang-format off */
float acosf(float); float asinf(float); float atanf(float); float atan2f(float, float); float cbrtf(float);
float ceilf(float); float copysignf(float, float); float cosf(float); float coshf(float); float erff(float);
float erfcf(float); float expf(float); float expm1f(float); float fabsf(float); float floorf(float);
float fmaf(float, float, float); float fmaxf(float, float); float fminf(float, float); float fmodf(float, float);
float hypotf(float, float); float ldexpf(float, int); float logf(float); float log10f(float); float log1pf(float);
float log2f(float); float nearbyintf(float); float powf(float, float); float rintf(float); float roundf(float);
float sinf(float); float sinhf(float); float sqrtf(float); float tanf(float); float tanhf(float); float truncf(float);
/* clang-format on */

#endif

float exp2f(float);

#define AT_HERE (at_emulator->at(__LINE__))

#define at_thread AT_HERE->thread
#define at_block AT_HERE->block
#define at_shared_base AT_HERE->shared_base
#define at_barrier AT_HERE->barrier
#define at_warp_sync AT_HERE->warp_sync
#define at_shfl_xor AT_HERE->shfl_xor
#define at_load_shared_u8 AT_HERE->load_shared_u8
#define at_load_shared_u16 AT_HERE->load_shared_u16
#define at_load_shared_u32 AT_HERE->load_shared_u32
#define at_store_shared_u8 AT_HERE->store_shared_u8
#define at_store_shared_u16 AT_HERE->store_shared_u16
#define at_store_shared_u32 AT_HERE->store_shared_u32
#define at_load_u8 AT_HERE->load_u8
#define at_load_u16 AT_HERE->load_u16
#define at_load_u32 AT_HERE->load_u32
#define at_load_u64 AT_HERE->load_u64
#define at_store_u8 AT_HERE->store_u8
#define at_store_u16 AT_HERE->store_u16
#define at_store_u32 AT_HERE->store_u32
#define at_store_u64 AT_HERE->store_u64
#define at_cp_async AT_HERE->cp_async
#define at_cp_commit AT_HERE->cp_commit
#define at_cp_wait AT_HERE->cp_wait
#define at_ldmatrix_x4 AT_HERE->ldmatrix_x4
#define at_ldmatrix_x4_trans AT_HERE->ldmatrix_x4_trans
#define at_mma_bf16 AT_HERE->mma_bf16
#define at_mma_f16 AT_HERE->mma_f16
#define at_mma_tf32 AT_HERE->mma_tf32
#define at_mma_i8 AT_HERE->mma_i8

union at_word {
	unsigned bits;
	float x;
};

static inline unsigned at_bits_f32(float x)
{
	union at_word w;
	w.x = x;
	return w.bits;
}

static inline float at_f32_bits(unsigned bits)
{
	union at_word w;
	w.bits = bits;
	return w.x;
}

static inline unsigned at_bf16(float x)
{
	unsigned b = at_bits_f32(x);
	return x != x ? 0x7fff : (b + 0x7fff + (b >> 16 & 1)) >> 16;
}

static inline unsigned at_pack_bf16(float low, float high)
{
	return at_bf16(low) | at_bf16(high) << 16;
}

/* Below 2^-14 the last place is 2^-24, which is that of floats at 1/2: the sum rounds there. */
static inline unsigned at_f16(float x)
{
	unsigned b = at_bits_f32(x), sign = b >> 16 & 0x8000;
	b &= 0x7fffffff;
	if (b > 0x7f800000)
		return 0x7fff;
	if (b >= 0x477ff000) /* halfway from the largest finite one to 2^16 */
		return sign | 0x7c00;
	if (b < 0x38800000)
		return sign | (at_bits_f32(at_f32_bits(b) + 0.5f) - 0x3f000000);
	return sign | (b - 0x38000000 + 0xfff + (b >> 13 & 1)) >> 13;
}

static inline unsigned at_pack_f16(float low, float high)
{
	return at_f16(low) | at_f16(high) << 16;
}

/* The exponent moves by a product with 2^112, which also makes subnormal ones normal. */
static inline float at_f32_f16(unsigned half)
{
	unsigned sign = (half & 0x8000) << 16, b = half & 0x7fff;
	if (b > 0x7c00)
		return at_f32_bits(0x7fffffff);
	if (b == 0x7c00)
		return at_f32_bits(sign | 0x7f800000);
	return at_f32_bits(sign | at_bits_f32(at_f32_bits(b << 13) * 0x1p112f));
}

static inline unsigned at_tf32(float x)
{
	return x != x ? 0x7fffffff : (at_bits_f32(x) + 0x1000) & ~0x1fffu;
}

/* Equal ones differ in the sign of a zero at most. */
static inline float at_max(float x, float y)
{
	if (x == y)
		return at_f32_bits(at_bits_f32(x) & at_bits_f32(y));
	return x > y ? x : y > x ? y : at_f32_bits(0x7fffffff);
}

static inline float at_min(float x, float y)
{
	if (x == y)
		return at_f32_bits(at_bits_f32(x) | at_bits_f32(y));
	return x < y ? x : y < x ? y : at_f32_bits(0x7fffffff);
}

static inline float at_div(float a, float b)
{
	return a / b;
}

/* The device's own makes subnormal results 0, and so does this. */
static inline float at_reciprocal(float x)
{
	float y = 1 / x;
	return y < 0x1p-126f && y > -0x1p-126f ? 0 : y;
}

/* The device's own makes subnormal results 0. */
static inline float at_exp2(float x)
{
	return x < -126 ? 0 : exp2f(x);
}
