/* primitives.h: what the text of a device kernel may call, one row a primitive. Every row is defined twice with
 * one meaning: as inline PTX in codegen/prelude/cuda_device.h, and by the emulator of targets/emulate.h through
 * codegen/prelude/cuda_emulated.h. The probes that compare the two on a device walk this list.
 *
 *   PRIMITIVE(result, name, (parameters), (arguments))     called as at_NAME(arguments)
 *
 * Addresses. `shared` is an offset in bytes from the block's dynamic shared memory (at_shared_base() on a device
 * adds where that begins; it is a multiple of 1024). Global memory is reached by pointers, through these
 * primitives only, so that the emulator can check every access.
 *
 * Collectives (warp_sync, shfl_xor, ldmatrix, mma) are called by all 32 lanes of a warp with the same primitive at
 * the same place; barrier by all threads of a block.
 *
 * Lanes: g = lane / 4, t = lane % 4. Fragments of 16-bit types, m16n8k16:
 *   a[0] row g, k 2t and 2t + 1   a[1] row g + 8   a[2] row g, k + 8   a[3] row g + 8, k + 8
 *   b0   k 2t and 2t + 1, column g                 b1   k + 8
 *   d[0], d[1] row g, columns 2t and 2t + 1        d[2], d[3] row g + 8
 * the lower k or column in the lower half. TF32, m16n8k8: a[0] row g, k t; a[1] row g + 8; a[2] k + 4; a[3] both; b0
 * k t, column g; b1 k + 4. I8, m16n8k32: a[0] row g, k 4t … 4t + 3, lowest byte first; a[1] row g + 8; a[2] k + 16;
 * a[3] both; b0 k 4t …, column g; b1 k + 16. (PTX ISA, "Matrix fragments for mma".)
 *
 * ldmatrix_x4: lane 8 i + j gives the address of row j of matrix i, 16 bytes, aligned to 16; r[i] of a lane is the
 * 32 bits of matrix i at row g, bytes 4t … 4t + 3. With _trans matrix i, of 16-bit elements, is transposed: r[i] has
 * the elements (row 2t, column g) and (row 2t + 1, column g).
 *
 * cp_async: `size` is 4, 8 or 16, `bytes` of it come from memory and the rest are zeroes; with bytes 0 the source is
 * not read. Both addresses are multiples of size. What is copied may be read by the thread that asked for it after
 * cp_wait(n) left at most n later groups, by others after a barrier besides.
 *
 * mma_*: d += a · b. Order and rounding of the sum inside are the hardware's: probes allow for it.
 */
/* clang-format off */
/* where am I */
PRIMITIVE(unsigned, thread, (void), ())
PRIMITIVE(unsigned, block, (void), ())
PRIMITIVE(unsigned, shared_base, (void), ())
/* together */
PRIMITIVE(void, barrier, (void), ())
PRIMITIVE(void, warp_sync, (void), ())
PRIMITIVE(unsigned, shfl_xor, (unsigned bits, int mask), (bits, mask))
/* shared memory */
PRIMITIVE(unsigned, load_shared_u8, (unsigned shared), (shared))
PRIMITIVE(unsigned, load_shared_u16, (unsigned shared), (shared))
PRIMITIVE(unsigned, load_shared_u32, (unsigned shared), (shared))
PRIMITIVE(void, store_shared_u8, (unsigned shared, unsigned bits), (shared, bits))
PRIMITIVE(void, store_shared_u16, (unsigned shared, unsigned bits), (shared, bits))
PRIMITIVE(void, store_shared_u32, (unsigned shared, unsigned bits), (shared, bits))
/* global memory */
PRIMITIVE(unsigned, load_u8, (const void *p), (p))
PRIMITIVE(unsigned, load_u16, (const void *p), (p))
PRIMITIVE(unsigned, load_u32, (const void *p), (p))
PRIMITIVE(unsigned long, load_u64, (const void *p), (p))
PRIMITIVE(void, store_u8, (void *p, unsigned bits), (p, bits))
PRIMITIVE(void, store_u16, (void *p, unsigned bits), (p, bits))
PRIMITIVE(void, store_u32, (void *p, unsigned bits), (p, bits))
PRIMITIVE(void, store_u64, (void *p, unsigned long bits), (p, bits))
/* global to shared, behind the thread's back */
PRIMITIVE(void, cp_async, (unsigned shared, const void *p, int size, int bytes), (shared, p, size, bytes))
PRIMITIVE(void, cp_commit, (void), ())
PRIMITIVE(void, cp_wait, (int groups), (groups))
/* matrices */
PRIMITIVE(void, ldmatrix_x4, (unsigned *r, unsigned shared), (r, shared))
PRIMITIVE(void, ldmatrix_x4_trans, (unsigned *r, unsigned shared), (r, shared))
PRIMITIVE(void, mma_bf16, (float *d, const unsigned *a, unsigned b0, unsigned b1), (d, a, b0, b1))
PRIMITIVE(void, mma_f16, (float *d, const unsigned *a, unsigned b0, unsigned b1), (d, a, b0, b1))
PRIMITIVE(void, mma_tf32, (float *d, const unsigned *a, unsigned b0, unsigned b1), (d, a, b0, b1))
PRIMITIVE(void, mma_i8, (int *d, const unsigned *a, unsigned b0, unsigned b1), (d, a, b0, b1))
/* numbers: round to nearest even but tf32, which rounds half away from zero; finite to finite never saturates */
PRIMITIVE(unsigned, bits_f32, (float x), (x))
PRIMITIVE(float, f32_bits, (unsigned bits), (bits))
PRIMITIVE(unsigned, pack_bf16, (float low, float high), (low, high))
PRIMITIVE(unsigned, pack_f16, (float low, float high), (low, high))
PRIMITIVE(float, f32_f16, (unsigned half), (half))
PRIMITIVE(unsigned, tf32, (float x), (x))
/* the greater and the lesser; a NaN where either is one; -0 is less than 0 */
PRIMITIVE(float, max, (float x, float y), (x, y))
PRIMITIVE(float, min, (float x, float y), (x, y))
/* a / b with at most 2 units in the last place */
PRIMITIVE(float, div, (float a, float b), (a, b))
/* 1 / x with at most 2 units in the last place; what is subnormal, x or the result, may be 0 */
PRIMITIVE(float, reciprocal, (float x), (x))
/* 2^x with at most 2 units in the last place; 0 for -inf, subnormal results may be 0 */
PRIMITIVE(float, exp2, (float x), (x))
/* clang-format on */
