/* Matrices: what a warp loads and multiplies together. Layouts as codegen/primitives.h has them. */
#include "targets/emulate_block.h"

#include <string.h>

/* ---- ldmatrix ---- */

struct matrices {
	unsigned *r;
	unsigned shared;
};

/* In how many turns the banks give these eight rows: the most that are in one place of 128 bytes, and differ. */
static unsigned turns(const uint32_t at[8])
{
	unsigned most = 1;
	for (int i = 0; i < 8; i++) {
		unsigned same = 1;
		for (int k = 0; k < i; k++)
			same += at[k] % 128 == at[i] % 128 && at[k] != at[i];
		most = same > most ? same : most;
	}
	return most;
}

static void load_matrices(struct lane *l, const void *const argument[WARP], bool transposed)
{
	const char *what = transposed ? "at_ldmatrix_x4_trans" : "at_ldmatrix_x4";
	unsigned char row[WARP][16];
	uint32_t at[WARP];
	for (int i = 0; i < WARP; i++) {
		const struct matrices *m = argument[i];
		const struct lane *asks = &l->warp->lane[i];
		uint32_t offset = emulate_shared_at(asks, what, m->shared, 16, 16);
		/* The lanes that get the row are others than the one that says where it is. */
		emulate_read_words(asks, asks->thread | MANY_LANES, offset, 4);
		memcpy(row[i], emulation->shared + offset, 16);
		at[i] = offset;
	}
	emulation->counts.ldmatrix++;
	for (int i = 0; i < 4; i++)
		emulation->counts.conflicts += turns(at + 8 * i) - 1;
	for (int lane = 0; lane < WARP; lane++) {
		unsigned *r = ((const struct matrices *)argument[lane])->r;
		int g = lane / 4, t = lane % 4;
		for (int i = 0; i < 4; i++) {
			uint16_t low, high;
			memcpy(&low, transposed ? &row[8 * i + 2 * t][2 * g] : &row[8 * i + g][4 * t], 2);
			memcpy(&high, transposed ? &row[8 * i + 2 * t + 1][2 * g] : &row[8 * i + g][4 * t + 2], 2);
			r[i] = low | (unsigned)high << 16;
		}
	}
}

static void load_plain(struct lane *l, const void *const argument[WARP])
{
	load_matrices(l, argument, false);
}

static void load_transposed(struct lane *l, const void *const argument[WARP])
{
	load_matrices(l, argument, true);
}

void emulate_ldmatrix_x4(unsigned *r, unsigned shared)
{
	struct matrices m = {r, shared};
	emulate_meet("ldmatrix_x4", &m, load_plain);
}

void emulate_ldmatrix_x4_trans(unsigned *r, unsigned shared)
{
	struct matrices m = {r, shared};
	emulate_meet("ldmatrix_x4_trans", &m, load_transposed);
}

/* ---- mma ---- */

/* A fragment's element e of register i is at row g + 8 (i % 2), k per · t + e + depth / 2 · (i / 2) of a; per:
 * elements a register has; depth: k of a product. b alike. */
struct product {
	void *d;
	const unsigned *a;
	unsigned b0, b1;
};

static inline float number_bf16(unsigned bits)
{
	return at_f32_bits(bits << 16);
}

/* The cores look at the upper bits only. */
static inline float number_tf32(unsigned bits)
{
	return at_f32_bits(bits & ~0x1fffu);
}

/* 16-bit numbers, two a register, or 32-bit ones. Once for each `number`: a million of these are a small kernel. */
__attribute__((always_inline)) static inline void multiply(const void *const argument[WARP], int per,
                                                           float (*number)(unsigned))
{
	enum { DEPTH = 16 };
	float a[16][DEPTH], b[DEPTH][8], d[16][8];
	emulation->counts.mma++;
	int half = 4 * per;
	unsigned mask = per == 2 ? 0xffff : 0xffffffff;
	for (int lane = 0; lane < WARP; lane++) {
		const struct product *p = argument[lane];
		int g = lane / 4, t = lane % 4;
		for (int e = 0; e < per; e++) {
			for (int i = 0; i < 4; i++)
				a[g + 8 * (i % 2)][per * t + e + half * (i / 2)] = number(p->a[i] >> 16 * e & mask);
			b[per * t + e][g] = number(p->b0 >> 16 * e & mask);
			b[per * t + e + half][g] = number(p->b1 >> 16 * e & mask);
		}
		memcpy(&d[g][2 * t], p->d, 8);
		memcpy(&d[g + 8][2 * t], (const float *)p->d + 2, 8);
	}
	for (int row = 0; row < 16; row++)
		for (int k = 0; k < 2 * half; k++)
			for (int j = 0; j < 8; j++)
				d[row][j] += a[row][k] * b[k][j];
	for (int lane = 0; lane < WARP; lane++) {
		const struct product *p = argument[lane];
		int g = lane / 4, t = lane % 4;
		memcpy(p->d, &d[g][2 * t], 8);
		memcpy((float *)p->d + 2, &d[g + 8][2 * t], 8);
	}
}

static void multiply_bf16(struct lane *l, const void *const argument[WARP])
{
	(void)l;
	multiply(argument, 2, number_bf16);
}

static void multiply_f16(struct lane *l, const void *const argument[WARP])
{
	(void)l;
	multiply(argument, 2, at_f32_f16);
}

static void multiply_tf32(struct lane *l, const void *const argument[WARP])
{
	(void)l;
	multiply(argument, 1, number_tf32);
}

static int signed_byte(unsigned bits, int i)
{
	return (signed char)(bits >> 8 * i & 255);
}

static void multiply_i8(struct lane *l, const void *const argument[WARP])
{
	enum { DEPTH = 32 };
	int a[16][DEPTH], b[DEPTH][8];
	(void)l;
	emulation->counts.mma++;
	for (int lane = 0; lane < WARP; lane++) {
		const struct product *p = argument[lane];
		int g = lane / 4, t = lane % 4;
		for (int e = 0; e < 4; e++) {
			for (int i = 0; i < 4; i++)
				a[g + 8 * (i % 2)][4 * t + e + 16 * (i / 2)] = signed_byte(p->a[i], e);
			b[4 * t + e][g] = signed_byte(p->b0, e);
			b[4 * t + e + 16][g] = signed_byte(p->b1, e);
		}
	}
	for (int row = 0; row < 16; row++)
		for (int j = 0; j < 8; j++) {
			int *d = ((const struct product *)argument[4 * (row % 8) + j / 2])->d;
			unsigned sum = (unsigned)d[2 * (row / 8) + j % 2]; /* it wraps */
			for (int k = 0; k < DEPTH; k++)
				sum += (unsigned)(a[row][k] * b[k][j]);
			d[2 * (row / 8) + j % 2] = (int)sum;
		}
}

void emulate_mma_bf16(float *d, const unsigned *a, unsigned b0, unsigned b1)
{
	struct product p = {d, a, b0, b1};
	emulate_meet("mma_bf16", &p, multiply_bf16);
}

void emulate_mma_f16(float *d, const unsigned *a, unsigned b0, unsigned b1)
{
	struct product p = {d, a, b0, b1};
	emulate_meet("mma_f16", &p, multiply_f16);
}

void emulate_mma_tf32(float *d, const unsigned *a, unsigned b0, unsigned b1)
{
	struct product p = {d, a, b0, b1};
	emulate_meet("mma_tf32", &p, multiply_tf32);
}

void emulate_mma_i8(int *d, const unsigned *a, unsigned b0, unsigned b1)
{
	struct product p = {d, a, b0, b1};
	emulate_meet("mma_i8", &p, multiply_i8);
}
