/* The emulator: what each primitive means, in all orders. */
#include "tests/emulated_words.h"

#include <math.h>

#include "tests/tap.h"

/* Runs it in all orders; true when `right` says that `out` is. */
static void means(const struct program *p, bool (*right)(void))
{
	for (enum emulate_order o = 0; o < EMULATE_ORDERS; o++) {
		struct text said;
		text_init(&said, &arena);
		bool ran = run(p, o, &said);
		if (!ran || !right() || o == EMULATE_ORDERS - 1) {
			if (!ok(ran && right(), "%s (%s)", p->what, emulate_order_name[o]))
				printf("# %s\n", said.s);
			return;
		}
	}
}

/* ---- what the primitives mean ---- */

static float as_float(uint32_t bits)
{
	float x;
	memcpy(&x, &bits, 4);
	return x;
}

static uint32_t as_bits(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, 4);
	return bits;
}

static bool numbered(void)
{
	for (uint32_t i = 0; i < 192; i++)
		if (out[i] != i % 64 + 1000 * (i / 64))
			return false;
	return out[192] == 0xffffffff;
}

static bool shuffled(void)
{
	for (uint32_t i = 0; i < 32; i++)
		if (out[i] != in[i ^ 1] || out[32 + i] != in[i ^ 18] || out[64 + i] != in[i])
			return false;
	return true;
}

static bool reversed(void)
{
	for (uint32_t i = 0; i < 128; i++)
		if (out[i] != in[127 - i])
			return false;
	return true;
}

static bool bytes_and_halves(void)
{
	const unsigned char *from = (const unsigned char *)in, *to = (const unsigned char *)out;
	for (int i = 0; i < 64; i++)
		if (to[i] != from[63 - i] || memcmp(to + 64 + 2 * i, from + 2 * (63 - i), 2) ||
		    memcmp(to + 256 + 8 * i, from + 8 * (63 - i), 8))
			return false;
	return true;
}

static bool poisoned(void)
{
	return isnan(as_float(out[0])) && (out[1] & 0x7fff) > 0x7f80 && (out[2] & 0x7fff) > 0x7c00 && out[3] == 0 &&
	       isnan(as_float(out[4])) && isnan(as_float(out[5]));
}

/* Three groups of copies: 16, 8 of 16 and 0 of 4 bytes. */
static bool copied(void)
{
	for (int i = 0; i < 32; i++) {
		const uint32_t zero[4] = {0};
		if (memcmp(out + 4 * i, in + 4 * i, 16) || memcmp(out + 128 + 4 * i, in + 4 * i, 8) ||
		    memcmp(out + 128 + 4 * i + 2, zero, 8) || out[256 + i] != 0 || memcmp(out + 288 + 2 * i, in + 2 * i, 8))
			return false;
	}
	return true;
}

static uint16_t half_at(const uint32_t *from, int i)
{
	return (uint16_t)(from[i / 2] >> 16 * (i % 2));
}

/* 32 rows of 8 halves, as they lie in `in`. */
static bool matrices(void)
{
	for (int lane = 0; lane < 32; lane++)
		for (int i = 0; i < 4; i++) {
			int g = lane / 4, t = lane % 4;
			uint32_t plain = in[(8 * i + g) * 4 + t], turned = out[256 + 4 * lane + i];
			if (out[4 * lane + i] != plain || (turned & 0xffff) != half_at(in, (8 * i + 2 * t) * 8 + g) ||
			    turned >> 16 != half_at(in, (8 * i + 2 * t + 1) * 8 + g))
				return false;
		}
	return true;
}

/* The products read a[i] from in[4 · lane + i], b from in[128 + 2 · lane], add to d[i] from in[192 + 4 · lane + i]. */
static enum operand_type multiplied_as;

static double element(uint32_t bits, int e)
{
	switch (multiplied_as) {
	case OPERAND_BF16:
		return as_float((bits >> 16 * e & 0xffff) << 16);
	case OPERAND_F16: {
		uint16_t half = (uint16_t)(bits >> 16 * e);
		return dtype_load(DTYPE_F16, &half, 0);
	}
	case OPERAND_TF32:
		return as_float(bits & 0xffffe000);
	default:
		return (int8_t)(bits >> 8 * e);
	}
}

static bool multiplied(void)
{
	int per = multiplied_as == OPERAND_TF32 ? 1 : multiplied_as == OPERAND_I8 ? 4 : 2, depth = 8 * per;
	for (int row = 0; row < 16; row++)
		for (int column = 0; column < 8; column++) {
			double sum = 0, size = 0;
			for (int k = 0; k < depth; k++) {
				int far = k / (depth / 2), t = k % (depth / 2) / per, e = k % per;
				double a = element(in[4 * (row % 8 * 4 + t) + row / 8 + 2 * far], e);
				double b = element(in[128 + 2 * (column * 4 + t) + far], e);
				sum += a * b;
				size += fabs(a * b);
			}
			int at = 4 * (row % 8 * 4 + column / 2) + 2 * (row / 8) + column % 2;
			if (multiplied_as == OPERAND_I8 && (int32_t)out[at] != (int32_t)sum + (int32_t)in[192 + at])
				return false;
			if (multiplied_as != OPERAND_I8 && !(fabs(as_float(out[at]) - sum - as_float(in[192 + at])) <=
			                                     1e-5 * (size + 1)))
				return false;
		}
	return true;
}

static const struct program places = {
        .what = "thread, block, shared_base",
        .body =
                "at_store_u32(out + at_block() * 64 + thread, thread + 1000 * at_block());\n"
                "if (s % 1024) at_store_u32(out, 0);",
        .threads = 64, .shared = 0, .blocks = 3,
};
static const struct program shuffles = {
        .what = "shfl_xor",
        .body =
                "at_store_u32(out + lane, at_shfl_xor(in[lane], 1));\n"
                "at_store_u32(out + 32 + lane, at_shfl_xor(in[lane], 18));\n"
                "at_store_u32(out + 64 + lane, at_shfl_xor(in[lane], 0));",
};
static const struct program barriers = {
        .what = "barrier, 32-bit loads and stores",
        .body =
                "at_store_shared_u32(s + 4 * thread, at_load_u32(in + thread));\n"
                "at_barrier();\n"
                "at_store_u32(out + thread, at_load_shared_u32(s + 4 * (127 - thread)));",
        .threads = 128, .shared = 512,
};
static const struct program syncs = {
        .what = "warp_sync, loads and stores of 8, 16 and 64 bits",
        .body =
                "const unsigned char *from = (const unsigned char *)in;\n"
                "unsigned char *to = (unsigned char *)out;\n"
                "for (int i = lane; i < 64; i += 32) {\n"
                "at_store_shared_u8(s + i, at_load_u8(from + i));\n"
                "at_store_shared_u16(s + 64 + 2 * i, at_load_u16(from + 2 * i));\n"
                "}\n"
                "at_warp_sync();\n"
                "for (int i = lane; i < 64; i += 32) {\n"
                "at_store_u8(to + i, at_load_shared_u8(s + 63 - i));\n"
                "at_store_u16(to + 64 + 2 * i, at_load_shared_u16(s + 64 + 2 * (63 - i)));\n"
                "at_store_u64(to + 256 + 8 * i, at_load_u64(from + 8 * (63 - i)));\n"
                "}",
        .threads = 32, .shared = 192,
};
static const struct program poison = {
        .what = "shared memory and variables begin as NaN; a copy's zeroes",
        .body =
                "float sum[4]; unsigned a[4] = {0};\n"
                "at_mma_bf16(sum, a, 0, 0);\n"
                "if (lane == 0) {\n"
                "at_store_u32(out, at_load_shared_u32(s));\n"
                "at_store_u32(out + 1, at_load_shared_u16(s + 2));\n"
                "at_store_u32(out + 2, at_load_shared_u16(s + 6));\n"
                "at_cp_async(s + 16, in, 4, 0); at_cp_commit(); at_cp_wait(0);\n"
                "at_store_u32(out + 3, at_load_shared_u32(s + 16));\n"
                "}\n"
                "at_store_u32(out + 4 + lane, at_bits_f32(sum[lane % 4]));",
        .shared = 64,
};
static const struct program copies = {
        .what = "cp_async, cp_commit, cp_wait",
        .body =
                "at_cp_async(s + 16 * thread, in + 4 * thread, 16, 16);\n"
                "at_cp_commit();\n"
                "at_cp_async(s + 512 + 16 * thread, in + 4 * thread, 16, 8); at_cp_async(s + 1024 + 4 * thread, 0, 4, 0);\n"
                "at_cp_commit();\n"
                "at_cp_async(s + 1152 + 8 * thread, in + 2 * thread, 8, 8);\n"
                "at_cp_commit();\n"
                "at_cp_wait(2);\n"
                "for (int i = 0; i < 4; i++) at_store_u32(out + 4 * thread + i, at_load_shared_u32(s + 16 * thread + 4 * i));\n"
                "at_cp_wait(1);\n"
                "for (int i = 0; i < 4; i++)\n"
                "at_store_u32(out + 128 + 4 * thread + i, at_load_shared_u32(s + 512 + 16 * thread + 4 * i));\n"
                "at_store_u32(out + 256 + thread, at_load_shared_u32(s + 1024 + 4 * thread));\n"
                "at_cp_wait(0);\n"
                "for (int i = 0; i < 2; i++)\n"
                "at_store_u32(out + 288 + 2 * thread + i, at_load_shared_u32(s + 1152 + 8 * thread + 4 * i));",
        .threads = 32, .shared = 1408,
};
static const struct program ldmatrix = {
        .what = "ldmatrix_x4, plain and transposed",
        .body =
                "unsigned r[4];\n"
                "for (int i = 0; i < 4; i++) at_store_shared_u32(s + 4 * (lane + 32 * i), at_load_u32(in + lane + 32 * i));\n"
                "at_warp_sync();\n"
                "at_ldmatrix_x4(r, s + 16 * lane);\n"
                "for (int i = 0; i < 4; i++) at_store_u32(out + 4 * lane + i, r[i]);\n"
                "at_ldmatrix_x4_trans(r, s + 16 * lane);\n"
                "for (int i = 0; i < 4; i++) at_store_u32(out + 256 + 4 * lane + i, r[i]);",
        .threads = 32, .shared = 512,
};

static void products(void)
{
	static const char *const body[OPERANDS] = {
	        [OPERAND_BF16] = "float d[4]; AT_UNROLL for (int i = 0; i < 4; i++) d[i] = at_f32_bits(in[192 + 4 * lane + i]);\n"
	                         "at_mma_bf16(d, in + 4 * lane, in[128 + 2 * lane], in[129 + 2 * lane]);\n"
	                         "for (int i = 0; i < 4; i++) at_store_u32(out + 4 * lane + i, at_bits_f32(d[i]));",
	        [OPERAND_F16] = "float d[4]; AT_UNROLL for (int i = 0; i < 4; i++) d[i] = at_f32_bits(in[192 + 4 * lane + i]);\n"
	                        "at_mma_f16(d, in + 4 * lane, in[128 + 2 * lane], in[129 + 2 * lane]);\n"
	                        "for (int i = 0; i < 4; i++) at_store_u32(out + 4 * lane + i, at_bits_f32(d[i]));",
	        [OPERAND_TF32] = "float d[4]; AT_UNROLL for (int i = 0; i < 4; i++) d[i] = at_f32_bits(in[192 + 4 * lane + i]);\n"
	                         "at_mma_tf32(d, in + 4 * lane, in[128 + 2 * lane], in[129 + 2 * lane]);\n"
	                         "for (int i = 0; i < 4; i++) at_store_u32(out + 4 * lane + i, at_bits_f32(d[i]));",
	        [OPERAND_I8] = "int d[4]; AT_UNROLL for (int i = 0; i < 4; i++) d[i] = (int)in[192 + 4 * lane + i];\n"
	                       "at_mma_i8(d, in + 4 * lane, in[128 + 2 * lane], in[129 + 2 * lane]);\n"
	                       "for (int i = 0; i < 4; i++) at_store_u32(out + 4 * lane + i, (unsigned)d[i]);"};
	for (enum operand_type t = OPERAND_BF16; t < OPERANDS; t++) {
		uint32_t kept[320];
		memcpy(kept, in, sizeof kept);
		for (int i = 0; i < 192; i++)
			switch (t) {
			case OPERAND_BF16: /* numbers of usual sizes */
				in[i] = (in[i] & 0x80ff80ff) | 0x3f003f00;
				break;
			case OPERAND_F16:
				in[i] = (in[i] & 0x8fff8fff) | 0x30003000;
				break;
			case OPERAND_TF32:
				in[i] = (in[i] & 0x807fffff) | 0x3f000000;
				break;
			default:
				break;
			}
		for (int i = 192; i < 320; i++)
			in[i] = t == OPERAND_I8 ? in[i] >> 8 : as_bits((float)(in[i] >> 8) * 0x1p-22f);
		multiplied_as = t;
		struct program p = {.what = arena_printf(&arena, "mma_%s", operand_type_name[t]), .body = body[t]};
		means(&p, multiplied);
		memcpy(in, kept, sizeof kept);
	}
}

/* Numbers by the prelude's own C, against dtype.h: every half, and bits at random and at the edges. */
static const char numbers_body[] =
        "for (int i = lane; i < 512; i += 32) {\n"
        "float x = at_f32_bits(at_load_u32(in + i));\n"
        "at_store_u32(out + 4 * i, at_pack_bf16(x, -x)); at_store_u32(out + 4 * i + 1, at_pack_f16(x, -x));\n"
        "at_store_u32(out + 4 * i + 2, at_tf32(x)); at_store_u32(out + 4 * i + 3, at_bits_f32(at_exp2(x)));\n"
        "}\n"
        "for (int i = lane; i < 2048; i += 32)\n"
        "at_store_u32(out + 2048 + i, at_bits_f32(at_f32_f16(at_load_u32(in + 2048 + i))));";

static bool same_or_nan(double a, double b)
{
	return a == b || (isnan(a) && isnan(b));
}

/* dtype_round saturates where the hardware goes on to infinity. */
static double rounded(enum dtype t, float x)
{
	double most = t == DTYPE_F16 ? 65520 : 0x1.ffp127;
	return isfinite(x) && fabsf(x) >= most ? copysign((double)INFINITY, x) : dtype_round(t, x);
}

static bool numbers_right(void)
{
	for (int i = 0; i < 512; i++) {
		float x = as_float(in[i]);
		for (int e = 0; e < 2; e++) {
			uint16_t bf16 = half_at(out + 4 * i, e), f16 = half_at(out + 4 * i + 1, e);
			if (!same_or_nan(dtype_load(DTYPE_BF16, &bf16, 0), rounded(DTYPE_BF16, e ? -x : x)) ||
			    !same_or_nan(dtype_load(DTYPE_F16, &f16, 0), rounded(DTYPE_F16, e ? -x : x)))
				return false;
		}
		float tf32 = as_float(out[4 * i + 2]), power = as_float(out[4 * i + 3]), expected = exp2f(x);
		if (!isnan(x) && isfinite(tf32) &&
		    (as_bits(tf32) & 0x1fff || fabsf(tf32 - x) > ldexpf(fabsf(x), -11) + 0x1p-136f))
			return false;
		if (isnan(x) ? !isnan(tf32) || !isnan(power)
		             : fabsf(power - expected) > 3e-7f * expected + 0x1p-126f)
			return false;
	}
	for (int i = 0; i < 2048; i++) {
		uint16_t half = (uint16_t)in[2048 + i];
		if (!same_or_nan(as_float(out[2048 + i]), dtype_load(DTYPE_F16, &half, 0)))
			return false;
	}
	return true;
}

static void numbers(void)
{
	static const uint32_t edge[] = {0, 0x80000000, 1, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f7fffff, 0x477fe000,
	                                0x477fefff, 0x477ff000, 0x38800000, 0x387fffff, 0x33000000, 0x33000001, 0x3f808000,
	                                0x3f818000, 0x3f801000, 0x3f803000, 0xc2fc0000, 0x43000000, 0x3f800fff, 0x7f7f8000};
	uint32_t kept[WORDS];
	bool good = true;
	struct text said;
	text_init(&said, &arena);
	memcpy(kept, in, sizeof kept);
	memcpy(in, edge, sizeof edge);
	for (size_t i = sizeof edge / sizeof *edge; i < 512; i++) /* of sizes that halves have, half of them */
		if (i % 2)
			in[i] = (in[i] & 0x81ffffff) | 0x38000000;
	for (uint32_t round = 0; round < 32; round++) {
		for (uint32_t i = 0; i < 2048; i++)
			in[2048 + i] = round * 2048 + i;
		struct program p = {.what = "numbers", .body = numbers_body};
		good = good && run(&p, EMULATE_LAZY, &said) && numbers_right();
	}
	if (!ok(good, "pack_bf16, pack_f16, f32_f16, tf32, exp2, bits"))
		printf("# %s\n", said.s);
	memcpy(in, kept, sizeof kept);
}

static const struct program counted = {
        .what = "what is counted",
        .body =
                "unsigned r[4]; float d[4] = {0};\n"
                "for (int i = 0; i < 4; i++) at_cp_async(s + 1024 * i + 16 * thread, in, 16, i);\n"
                "at_cp_commit(); at_cp_wait(0); at_barrier();\n"
                "at_ldmatrix_x4(r, s + 16 * lane);\n"
                "at_ldmatrix_x4(r, s + 128 * (lane % 8));\n"
                "at_ldmatrix_x4(r, s + (lane / 8) * 256 + 16 * (lane % 8 / 2) + 128 * (lane % 2));\n"
                "at_mma_bf16(d, r, 0, 0);\n"
                "at_store_u16(out, at_load_u32(in));",
        .threads = 64,
        .shared = 4096,
        .blocks = 2};

/* Rows side by side, in one place each, and in pairs. */
static bool right_counts(void)
{
	return counts.ldmatrix == 2 * 2 * 3 && counts.mma == 2 * 2 && counts.conflicts == 2 * 2 * (0 + 4 * 7 + 4) &&
	       counts.primitives == 2 * 64 * (2 + 4 + 3 + 3 + 1 + 2) && counts.loaded == 2 * 64 * 4 &&
	       counts.stored == 2 * 64 * 2 && counts.copied == 2 * 64 * (0 + 1 + 2 + 3);
}

int main(void)
{
	arena_init(&arena);
	uint64_t random = 1;
	for (int i = 0; i < WORDS; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		in[i] = (uint32_t)(random >> 32);
	}
	means(&places, numbered);
	means(&shuffles, shuffled);
	means(&barriers, reversed);
	means(&syncs, bytes_and_halves);
	means(&poison, poisoned);
	means(&copies, copied);
	means(&ldmatrix, matrices);
	products();
	numbers();
	means(&counted, right_counts);
	arena_free(&arena);
	return tap_done();
}
