#include "gpu/probe.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"

extern const char embed_gpu_probe_kernels_h[];

/* splitmix64 */
static uint32_t draw(uint64_t *random)
{
	uint64_t z = *random += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) >> 32);
}

static uint32_t bits_of(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	return bits;
}

static float float_of(uint32_t bits)
{
	float x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

/* ---- small floats: 1 sign bit, `exponent` and `mantissa` bits ---- */

struct format {
	int exponent, mantissa;
};
static const struct format bf16 = {8, 7}, f16 = {5, 10};

static double decode(struct format f, uint32_t bits)
{
	int width = f.exponent + f.mantissa, bias = (1 << (f.exponent - 1)) - 1;
	int e = (int)(bits >> f.mantissa & ((1u << f.exponent) - 1));
	double m = bits & ((1u << f.mantissa) - 1), sign = bits >> width & 1 ? -1 : 1;
	if (e == (1 << f.exponent) - 1)
		return m > 0 ? NAN : sign * INFINITY;
	return sign *
	       (e ? ldexp(m + ldexp(1, f.mantissa), e - bias - f.mantissa) : ldexp(m, 1 - bias - f.mantissa));
}

/* To nearest even; what is past the largest by half a unit or more becomes infinite. */
static uint32_t encode(struct format f, double x)
{
	int bias = (1 << (f.exponent - 1)) - 1, e;
	uint32_t sign = (signbit(x) ? 1u : 0u) << (f.exponent + f.mantissa);
	uint32_t infinite = ((1u << f.exponent) - 1) << f.mantissa;
	x = fabs(x);
	if (isinf(x) || x == 0)
		return sign | (x > 0 ? infinite : 0);
	frexp(x, &e);
	e = e - 1 < 1 - bias ? 1 - bias : e - 1;
	double units = rint(ldexp(x, f.mantissa - e)); /* at 2^mantissa the exponent field is e + bias */
	double bits = units + ldexp(e + bias - 1, f.mantissa);
	return sign | (bits < infinite ? (uint32_t)bits : infinite);
}

/* ---- words to try things on ---- */

static void fill_words(uint32_t *in, int n, uint64_t *random)
{
	for (int i = 0; i < n; i++)
		in[i] = draw(random);
}

static void fill_64(uint32_t *in, uint64_t *random)
{
	fill_words(in, 64, random);
}

static void fill_256(uint32_t *in, uint64_t *random)
{
	fill_words(in, 256, random);
}

/* Floats of all magnitudes but subnormal, as many near 1 as elsewhere; the halves of a word are no NaN
 * either. */
static void fill_numbers(uint32_t *in, uint64_t *random)
{
	static const float special[] = {0,     -0.0f,      1,     INFINITY,     -INFINITY,
	                                65504, 65519.996f, 65520, 3.3961775e38f};
	for (int i = 0; i < 1024; i++) {
		uint32_t bits = draw(random), exponent = bits >> 23 & 0xff;
		if (i % 2)
			exponent = 127 - 30 + draw(random) % 50;
		bits = (bits & 0x807fffff) | exponent << 23;
		bool bad = exponent == 0 || exponent == 0xff;
		in[i] = i < 9 ? bits_of(special[i]) : bad ? bits_of((float)i) : bits;
	}
}

static void fill_exponents(uint32_t *in, uint64_t *random)
{
	static const float special[] = {0, -0.0f, 1, -1, -INFINITY, INFINITY, -126, 127, -200, 1e-30f, 128};
	for (int i = 0; i < 1024; i++) {
		float u = (float)(draw(random) >> 8) / 16777216;
		in[i] = bits_of(i < 11 ? special[i] : i % 2 ? -8 * u : 250 * u - 125);
	}
}

/* Two blocks of a matrix product: small whole numbers, whose result is exact, and numbers up to 1. */
static double number(int block, uint64_t *random)
{
	int32_t bits = (int32_t)draw(random);
	return block ? (double)bits * 0x1p-31 : bits % 9;
}

static void fill_mma(uint32_t *in, uint64_t *random, const struct format *half)
{
	for (int lane = 0; lane < 64; lane++, in += 10) {
		int block = lane / 32;
		for (int i = 0; i < 6; i++) {
			double x = number(block, random), y = number(block, random);
			in[i] = half ? encode(*half, x) | encode(*half, y) << 16
			             : bits_of((float)x) & ~0x1fffu;
		}
		for (int i = 6; i < 10; i++)
			in[i] = bits_of((float)number(block, random));
	}
}

static void fill_mma_bf16(uint32_t *in, uint64_t *random)
{
	fill_mma(in, random, &bf16);
}

static void fill_mma_f16(uint32_t *in, uint64_t *random)
{
	fill_mma(in, random, &f16);
}

static void fill_mma_tf32(uint32_t *in, uint64_t *random)
{
	fill_mma(in, random, NULL);
}

static void fill_mma_i8(uint32_t *in, uint64_t *random)
{
	fill_words(in, 640, random);
	for (int i = 6; i < 640; i += i % 10 == 9 ? 7 : 1)
		in[i] >>= 8; /* so that no sum overflows */
}

/* ---- what they mean ---- */

static void expect_where(const uint32_t *in, uint32_t *out)
{
	(void)in;
	for (uint32_t i = 0; i < 192; i++)
		out[i] = i % 64 | i / 64 << 16;
}

static void expect_shared(const uint32_t *in, uint32_t *out)
{
	unsigned char *half = (unsigned char *)&out[192], *byte = (unsigned char *)&out[224];
	for (int t = 0; t < 64; t++) {
		out[t] = in[63 - t];
		out[64 + t] = in[(127 - t) / 2] >> 16 * ((127 - t) % 2) & 0xffff;
		out[128 + t] = in[(255 - t) / 4] >> 8 * ((255 - t) % 4) & 0xff;
		memcpy(half + 2 * t, &in[63 - t], 2);
		byte[t] = (unsigned char)(in[63 - t] >> 8);
	}
}

static void expect_warp(const uint32_t *in, uint32_t *out)
{
	static const int mask[] = {5, 1, 2, 4, 8, 16, 31};
	for (int i = 0; i < 7; i++)
		for (int t = 0; t < 64; t++)
			out[64 * i + t] = in[t ^ mask[i]];
}

static void expect_global(const uint32_t *in, uint32_t *out)
{
	const char *from = (const char *)in;
	char *to = (char *)out;
	for (int t = 0; t < 64; t++) {
		memcpy(to + 8 * t, from + 8 * (t * 3 % 64), 8);
		memcpy(to + 512 + 2 * t, from + 2 * (t * 5 % 256), 2);
		memcpy(to + 640 + t, from + t * 7 % 512, 1);
		memcpy(to + 704 + 4 * t, from + 4 * (t * 11 % 128), 4);
	}
}

static void expect_copy(const uint32_t *in, uint32_t *out)
{
	char *shared = (char *)&out[128];
	memset(shared, 0xa5, 448 * 4);
	for (size_t t = 0; t < 64; t++) {
		static const size_t first[] = {0, 1024, 1536}, size[] = {16, 8, 4}, step[] = {5, 3, 7};
		for (size_t i = 0; i < 3; i++) {
			char *to = shared + first[i] + size[i] * (t * step[i] % 64);
			memset(to, 0, size[i]);
			memcpy(to, (const char *)in + size[i] * t, t % (size[i] + 1));
			if (i < 2)
				memcpy(&out[64 * i + t], to, 4);
		}
	}
}

/* Row r of matrix i is what lane 8 i + r points at. */
static void expect_ldmatrix(const uint32_t *in, uint32_t *out)
{
	for (int t = 0; t < 64; t++) {
		const uint32_t *warp = in + t / 32 * 128;
		int g = t % 32 / 4, k = t % 4;
		for (int i = 0; i < 4; i++) {
			const uint32_t *row = warp + 4 * ((8 * i + g) * 5 % 32);
			const uint32_t *even = warp + 4 * ((8 * i + 2 * k) * 5 % 32);
			const uint32_t *odd = warp + 4 * ((8 * i + 2 * k + 1) * 5 % 32);
			int shift = 16 * (g % 2);
			out[4 * t + i] = row[k];
			out[256 + 4 * t + i] =
			        (even[g / 2] >> shift & 0xffff) | (odd[g / 2] >> shift & 0xffff) << 16;
		}
	}
}

enum { MMA_BF16, MMA_F16, MMA_TF32, MMA_I8 };
static const int depth[] = {[MMA_BF16] = 16, [MMA_F16] = 16, [MMA_TF32] = 8, [MMA_I8] = 32};

/* Element `part` of 32 bits of a fragment. */
static double element(int type, uint32_t bits, int part)
{
	switch (type) {
	case MMA_BF16: return decode(bf16, bits >> 16 * part & 0xffff);
	case MMA_F16: return decode(f16, bits >> 16 * part & 0xffff);
	case MMA_TF32: return float_of(bits);
	default: return (int8_t)(bits >> 8 * part & 0xff);
	}
}

/* The fragments laid out as matrices by the rules of primitives.h, multiplied plainly. */
static void expect_mma(int type, const uint32_t *in, uint32_t *out)
{
	int parts = type == MMA_TF32 ? 1 : type == MMA_I8 ? 4 : 2;
	for (int block = 0; block < 2; block++, in += 320, out += 128) {
		double a[16][32], b[32][8];
		for (int lane = 0; lane < 32; lane++) {
			const uint32_t *word = in + 10 * lane;
			int g = lane / 4, t = lane % 4;
			for (int part = 0; part < parts; part++) {
				int k = parts * t + part, half = depth[type] / 2;
				for (int i = 0; i < 4; i++)
					a[g + 8 * (i % 2)][k + half * (i / 2)] = element(type, word[i], part);
				for (int i = 0; i < 2; i++)
					b[k + half * i][g] = element(type, word[4 + i], part);
			}
		}
		for (int i = 0; i < 128; i++) {
			int lane = i / 4, c = i % 4, row = lane / 4 + 8 * (c / 2),
			    column = 2 * (lane % 4) + c % 2;
			uint32_t d = in[10 * lane + 6 + c];
			double sum = type == MMA_I8 ? (int32_t)d : (double)float_of(d);
			for (int k = 0; k < depth[type]; k++)
				sum += a[row][k] * b[k][column];
			out[i] = type == MMA_I8 ? (uint32_t)(int32_t)sum : bits_of((float)sum);
		}
	}
}

static void expect_mma_bf16(const uint32_t *in, uint32_t *out)
{
	expect_mma(MMA_BF16, in, out);
}

static void expect_mma_f16(const uint32_t *in, uint32_t *out)
{
	expect_mma(MMA_F16, in, out);
}

static void expect_mma_tf32(const uint32_t *in, uint32_t *out)
{
	expect_mma(MMA_TF32, in, out);
}

static void expect_mma_i8(const uint32_t *in, uint32_t *out)
{
	expect_mma(MMA_I8, in, out);
}

/* Half away from zero. */
static uint32_t round_tf32(float x)
{
	int e;
	if (isinf(x) || x == 0)
		return bits_of(x);
	frexp((double)x, &e);
	double unit = ldexp(1, e - 11);
	return bits_of((float)copysign(floor(fabs((double)x) / unit + 0.5) * unit, (double)x));
}

static void expect_numbers(const uint32_t *in, uint32_t *out)
{
	for (uint32_t i = 0; i < 1024; i++) {
		float x = float_of(in[i]), y = float_of(in[i ^ 1]);
		out[i] = in[i];
		out[1024 + i] = encode(bf16, (double)x) | encode(bf16, (double)y) << 16;
		out[2048 + i] = encode(f16, (double)x) | encode(f16, (double)y) << 16;
		out[3072 + i] = bits_of((float)decode(f16, in[i] >> 16));
		out[4096 + i] = round_tf32(x);
		if (i % 4 == 0)
			x = NAN;
		if (i % 8 == 2)
			y = -x;
		bool less = x < y || (x == y && signbit(x));
		out[5120 + i] = bits_of(isnan(x) || isnan(y) ? NAN : less ? y : x);
		out[6144 + i] = bits_of(isnan(x) || isnan(y) ? NAN : less ? x : y);
		out[7168 + i] = bits_of(x / y);
	}
}

static void expect_exp2(const uint32_t *in, uint32_t *out)
{
	for (int i = 0; i < 1024; i++) {
		out[i] = bits_of((float)exp2((double)float_of(in[i])));
		out[1024 + i] = bits_of(1 / float_of(in[i]));
	}
}

/* ---- what is near enough ---- */

/* The second block: products of numbers up to 1, added in the hardware's own order and with its own rounding;
 * up to seventeen terms that lose a unit of 2^-23 of a sum below 32 each. */
static bool good_mma(uint32_t k, uint32_t got, uint32_t want)
{
	return got == want || (k >= 128 && fabsf(float_of(got) - float_of(want)) <= 0x1p-14f);
}

/* Which NaN it is is nobody's business; a quotient that is no subnormal number may be two units away. */
static bool good_numbers(uint32_t k, uint32_t got, uint32_t want)
{
	uint32_t form = k / 1024;
	if (got == want || ((form == 3 || form > 4) && isnan(float_of(got)) && isnan(float_of(want))))
		return true;
	if (form == 7 && fabsf(float_of(want)) < 0x1p-125f)
		return fabsf(float_of(got)) < 0x1p-124f;
	return form == 7 && got <= want + 2 && got + 2 >= want;
}

static bool good_exp2(uint32_t k, uint32_t got, uint32_t want)
{
	(void)k;
	if (fabsf(float_of(want)) < 0x1p-126f && got << 1 == 0)
		return true;
	return got <= want + 2 && got + 2 >= want && !isnan(float_of(got));
}

const struct probe probes[PROBES] = {
        {"probe_where", 3, 64, 0, 1, 192, fill_64, expect_where, NULL},
        {"probe_shared", 1, 64, 4096, 64, 240, fill_64, expect_shared, NULL},
        {"probe_warp", 1, 64, 1024, 64, 448, fill_64, expect_warp, NULL},
        {"probe_global", 1, 64, 0, 256, 240, fill_256, expect_global, NULL},
        {"probe_copy", 1, 64, 2048, 256, 576, fill_256, expect_copy, NULL},
        {"probe_ldmatrix", 1, 64, 1024, 256, 512, fill_256, expect_ldmatrix, NULL},
        {"probe_mma_bf16", 2, 32, 0, 640, 256, fill_mma_bf16, expect_mma_bf16, good_mma},
        {"probe_mma_f16", 2, 32, 0, 640, 256, fill_mma_f16, expect_mma_f16, good_mma},
        {"probe_mma_tf32", 2, 32, 0, 640, 256, fill_mma_tf32, expect_mma_tf32, good_mma},
        {"probe_mma_i8", 2, 32, 0, 640, 256, fill_mma_i8, expect_mma_i8, NULL},
        {"probe_numbers", 8, 128, 0, 1024, 8192, fill_numbers, expect_numbers, good_numbers},
        {"probe_exp2", 8, 128, 0, 1024, 2048, fill_exponents, expect_exp2, good_exp2},
};

struct kernel_source probe_source(struct arena *a)
{
	struct kernel_source k = {
	        .text = embed_gpu_probe_kernels_h,
	        .digest = digest_text(a, embed_gpu_probe_kernels_h, strlen(embed_gpu_probe_kernels_h)),
	        .nphases = PROBES + 1,
	        .phase = arena_new_array(a, PROBES + 1, struct kernel_phase),
	        .device = true,
	        .narguments = 2,
	        .argument = arena_new_array(a, 2, struct kernel_argument)};
	for (int i = 0; i < PROBES; i++)
		k.phase[i] = (struct kernel_phase){.symbol = probes[i].kernel,
		                                   .tasks = probes[i].blocks,
		                                   .threads = probes[i].threads,
		                                   .shared_bytes = probes[i].shared_bytes};
	k.phase[PROBES] = (struct kernel_phase){
	        .symbol = "copy_words", .tasks = (1 << 29) / COPY_BLOCK, .threads = 256};
	for (int i = 0; i < 2; i++)
		k.argument[i] = (struct kernel_argument){.align = 16, .unit = true};
	return k;
}
