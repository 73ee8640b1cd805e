/* What an x86-64 processor runs, as far as the system saves its registers: 0, 1 with AVX2 (x86-64-v3), 2 with AVX-512
 * (x86-64-v4), 3 with its products of bf16 and of bytes, and permutations of bytes, too. The levels are those of the psABI, because that is what
 * code is compiled for. C without a header: libraries that are built ahead of time hold this text. */

static void x86_cpuid(unsigned leaf, unsigned part, unsigned r[4])
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(leaf), "2"(part));
}

static int x86_level(void)
{
	enum { A, B, C, D };
	const unsigned fma_movbe_osxsave_avx_f16c = 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29;
	const unsigned bmi_avx2_bmi2 = 1u << 3 | 1u << 5 | 1u << 8, lzcnt = 1u << 5;
	const unsigned f_dq_cd_bw_vl = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31, vnni_vbmi = 1u << 11 | 1u << 1, bf16 = 1u << 5;
	const unsigned saves_avx = 6, saves_avx512 = 0xe6;
	unsigned r[4], seven[4], saved, high;
	x86_cpuid(0, 0, r);
	if (r[A] < 7)
		return 0;
	x86_cpuid(1, 0, r);
	if ((r[C] & fma_movbe_osxsave_avx_f16c) != fma_movbe_osxsave_avx_f16c)
		return 0;
	__asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
	x86_cpuid(7, 0, seven);
	x86_cpuid(0x80000001, 0, r);
	if ((seven[B] & bmi_avx2_bmi2) != bmi_avx2_bmi2 || !(r[C] & lzcnt) || (saved & saves_avx) != saves_avx)
		return 0;
	if ((seven[B] & f_dq_cd_bw_vl) != f_dq_cd_bw_vl || (saved & saves_avx512) != saves_avx512)
		return 1;
	if ((seven[C] & vnni_vbmi) != vnni_vbmi || !seven[A])
		return 2;
	x86_cpuid(7, 1, r);
	return r[A] & bf16 ? 3 : 2;
}
