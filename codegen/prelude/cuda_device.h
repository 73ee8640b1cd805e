/* The primitives of a device, codegen/primitives.h, as inline PTX for compute capability 8.0 and later. Stands before
 * a kernel's text when it is compiled for a device; CUDA C++ without any header.
 *
 * What touches memory is volatile, so that it stays in the order of the text; no other statement may touch memory
 * that other threads see. Arrays handed over by pointer are in registers once everything is inlined, provided that
 * their subscripts are constants by then: loops over them are AT_UNROLL. Sizes and group counts must be literals. */

#define AT_INLINE static __device__ __forceinline__

#define AT_UNROLL _Pragma("unroll")
/* Of a longer loop, where nothing asks that subscripts are constants: so many addresses would fill the registers. */
#define AT_UNROLL_4 _Pragma("unroll 4")
#define AT_ROLLED _Pragma("unroll 1")

#define AT_KERNEL(name, threads) \
	extern "C" __global__ void __launch_bounds__(threads, 1) name(const __grid_constant__ struct at_device_args at_args)

#define AT_ARGS (&at_args)

/* where am I */
AT_INLINE unsigned at_thread(void)
{
	return threadIdx.x;
}

AT_INLINE unsigned at_block(void)
{
	return blockIdx.x;
}

extern __shared__ __align__(1024) unsigned char at_shared[];
AT_INLINE unsigned at_shared_base(void)
{
	return (unsigned)__cvta_generic_to_shared(at_shared);
}

/* together */
AT_INLINE void at_barrier(void)
{
	asm volatile("bar.sync 0;" ::: "memory");
}

AT_INLINE void at_warp_sync(void)
{
	asm volatile("bar.warp.sync 0xffffffff;" ::: "memory");
}

AT_INLINE unsigned at_shfl_xor(unsigned bits, int mask)
{
	unsigned r;
	asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(r) : "r"(bits), "r"(mask));
	return r;
}

/* shared memory */
AT_INLINE unsigned at_load_shared_u8(unsigned shared)
{
	unsigned r;
	asm volatile("ld.shared.u8 %0, [%1];" : "=r"(r) : "r"(shared));
	return r;
}

AT_INLINE unsigned at_load_shared_u16(unsigned shared)
{
	unsigned short r;
	asm volatile("ld.shared.u16 %0, [%1];" : "=h"(r) : "r"(shared));
	return r;
}

AT_INLINE unsigned at_load_shared_u32(unsigned shared)
{
	unsigned r;
	asm volatile("ld.shared.u32 %0, [%1];" : "=r"(r) : "r"(shared));
	return r;
}

AT_INLINE void at_store_shared_u8(unsigned shared, unsigned bits)
{
	asm volatile("st.shared.u8 [%0], %1;" ::"r"(shared), "r"(bits) : "memory");
}

AT_INLINE void at_store_shared_u16(unsigned shared, unsigned bits)
{
	asm volatile("st.shared.u16 [%0], %1;" ::"r"(shared), "h"((unsigned short)bits) : "memory");
}

AT_INLINE void at_store_shared_u32(unsigned shared, unsigned bits)
{
	asm volatile("st.shared.u32 [%0], %1;" ::"r"(shared), "r"(bits) : "memory");
}

/* global memory */
AT_INLINE unsigned at_load_u8(const void *p)
{
	unsigned r;
	asm volatile("ld.global.u8 %0, [%1];" : "=r"(r) : "l"(p));
	return r;
}

AT_INLINE unsigned at_load_u16(const void *p)
{
	unsigned short r;
	asm volatile("ld.global.u16 %0, [%1];" : "=h"(r) : "l"(p));
	return r;
}

AT_INLINE unsigned at_load_u32(const void *p)
{
	unsigned r;
	asm volatile("ld.global.u32 %0, [%1];" : "=r"(r) : "l"(p));
	return r;
}

AT_INLINE unsigned long at_load_u64(const void *p)
{
	unsigned long r;
	asm volatile("ld.global.u64 %0, [%1];" : "=l"(r) : "l"(p));
	return r;
}

AT_INLINE void at_store_u8(void *p, unsigned bits)
{
	asm volatile("st.global.u8 [%0], %1;" ::"l"(p), "r"(bits) : "memory");
}

AT_INLINE void at_store_u16(void *p, unsigned bits)
{
	asm volatile("st.global.u16 [%0], %1;" ::"l"(p), "h"((unsigned short)bits) : "memory");
}

AT_INLINE void at_store_u32(void *p, unsigned bits)
{
	asm volatile("st.global.u32 [%0], %1;" ::"l"(p), "r"(bits) : "memory");
}

AT_INLINE void at_store_u64(void *p, unsigned long bits)
{
	asm volatile("st.global.u64 [%0], %1;" ::"l"(p), "l"(bits) : "memory");
}

/* global to shared, behind the thread's back: 16 bytes pass by the first-level cache */
AT_INLINE void at_cp_async(unsigned shared, const void *p, int size, int bytes)
{
	if (size == 16)
		asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(p), "r"(bytes) : "memory");
	else if (size == 8)
		asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared), "l"(p), "r"(bytes) : "memory");
	else
		asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared), "l"(p), "r"(bytes) : "memory");
}

AT_INLINE void at_cp_commit(void)
{
	asm volatile("cp.async.commit_group;" ::: "memory");
}

/* More than seven groups are as good as seven: waiting for more than was asked is right. */
AT_INLINE void at_cp_wait(int groups)
{
	switch (groups) {
	case 0:
		asm volatile("cp.async.wait_group 0;" ::: "memory");
		break;
	case 1:
		asm volatile("cp.async.wait_group 1;" ::: "memory");
		break;
	case 2:
		asm volatile("cp.async.wait_group 2;" ::: "memory");
		break;
	case 3:
		asm volatile("cp.async.wait_group 3;" ::: "memory");
		break;
	case 4:
		asm volatile("cp.async.wait_group 4;" ::: "memory");
		break;
	case 5:
		asm volatile("cp.async.wait_group 5;" ::: "memory");
		break;
	case 6:
		asm volatile("cp.async.wait_group 6;" ::: "memory");
		break;
	default:
		asm volatile("cp.async.wait_group 7;" ::: "memory");
	}
}

/* matrices */
AT_INLINE void at_ldmatrix_x4(unsigned *r, unsigned shared)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
	             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
	             : "r"(shared));
}

AT_INLINE void at_ldmatrix_x4_trans(unsigned *r, unsigned shared)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
	             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
	             : "r"(shared));
}

AT_INLINE void at_mma_bf16(float *d, const unsigned *a, unsigned b0, unsigned b1)
{
	asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

AT_INLINE void at_mma_f16(float *d, const unsigned *a, unsigned b0, unsigned b1)
{
	asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

AT_INLINE void at_mma_tf32(float *d, const unsigned *a, unsigned b0, unsigned b1)
{
	asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

AT_INLINE void at_mma_i8(int *d, const unsigned *a, unsigned b0, unsigned b1)
{
	asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
	    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	    : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* numbers */
AT_INLINE unsigned at_bits_f32(float x)
{
	return __float_as_uint(x);
}

AT_INLINE float at_f32_bits(unsigned bits)
{
	return __uint_as_float(bits);
}

AT_INLINE unsigned at_pack_bf16(float low, float high)
{
	unsigned r;
	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
	return r;
}

AT_INLINE unsigned at_pack_f16(float low, float high)
{
	unsigned r;
	asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
	return r;
}

AT_INLINE float at_f32_f16(unsigned half)
{
	float x;
	asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((unsigned short)half));
	return x;
}

AT_INLINE unsigned at_tf32(float x)
{
	unsigned r;
	asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
	return r;
}

AT_INLINE float at_max(float x, float y)
{
	float z;
	asm("max.NaN.f32 %0, %1, %2;" : "=f"(z) : "f"(x), "f"(y));
	return z;
}

AT_INLINE float at_min(float x, float y)
{
	float z;
	asm("min.NaN.f32 %0, %1, %2;" : "=f"(z) : "f"(x), "f"(y));
	return z;
}

AT_INLINE float at_div(float a, float b)
{
	float x;
	asm("div.full.f32 %0, %1, %2;" : "=f"(x) : "f"(a), "f"(b));
	return x;
}

AT_INLINE float at_reciprocal(float x)
{
	float y;
	asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
	return y;
}

AT_INLINE float at_exp2(float x)
{
	float y;
	asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
	return y;
}
