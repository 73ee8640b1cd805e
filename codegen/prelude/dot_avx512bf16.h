/* Products of groups by AVX-512 BF16 and VNNI. The former takes denormals for zeroes and rounds each of its two sums to
 * nearest. The latter multiplies unsigned by signed bytes: operand b is stored with 128 added, and each sum begins with
 * what that adds to it, taken away. */

enum { DOT_BIAS = 128 };

INLINE void v_store_bf16(unsigned short *p, vreal a)
{
	typedef unsigned short half __attribute__((vector_size(LANES * 2)));
	half kept;
	__asm__("vcvtneps2bf16 %1, %0" : "=v"(kept) : "v"(a));
	*(v_half_at *)p = (v_half_at)kept;
}

INLINE void v_store_pair_bf16(unsigned short *p, vreal a, vreal b)
{
	vint kept;
	__asm__("vcvtne2ps2bf16 %1, %2, %0" : "=v"(kept) : "v"(a), "v"(b));
	vi_store((int *)p, kept);
}

INLINE vreal v_dot_bf16(vreal c, vint a, vint b)
{
	__asm__("vdpbf16ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
	return c;
}

INLINE vint vi_dot_i8(vint c, vint a, vint b)
{
	__asm__("vpdpbusd %2, %1, %0" : "+v"(c) : "v"(b), "v"(a));
	return c;
}

/* -128 times the sum of a row. */
INLINE int vi_dot_start_i8(const signed char *a, long count)
{
	vint sum = {0}, ones = vi_splat(0x01010101);
	long k = 0;
	for (; k + 4 * LANES <= count; k += 4 * LANES)
		sum = vi_dot_i8(sum, v_groups(a + k), ones);
	int rest = (int)vi_across_sum(sum);
	for (; k < count; k++)
		rest += a[k];
	return rest * -128;
}
