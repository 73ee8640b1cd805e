/* Kernels that call each primitive of codegen/primitives.h on given words, so that what it did can be compared with
 * what it means: a device's prelude against gpu/probe.c, and the emulator against the same. One launch each; 32-bit
 * words in at data[0], out at data[1]. gpu/probe.c has for each kernel the same name, how many words, and the meaning. */

struct at_device_args {
	void *data[2];
	long stride[2];
	void *work;
};

AT_INLINE unsigned input(const struct at_device_args *args, unsigned i)
{
	return at_load_u32((const char *)args->data[0] + 4 * (long)i);
}

AT_INLINE void output(const struct at_device_args *args, unsigned i, unsigned bits)
{
	at_store_u32((char *)args->data[1] + 4 * (long)i, bits);
}

AT_KERNEL(probe_where, 64)
{
	output(AT_ARGS, at_block() * 64 + at_thread(), at_thread() | at_block() << 16);
}

AT_KERNEL(probe_shared, 64)
{
	unsigned base = at_shared_base(), t = at_thread();
	at_store_shared_u32(base + 4 * t, input(AT_ARGS, t));
	at_barrier();
	unsigned word = at_load_shared_u32(base + 4 * (63 - t));
	unsigned half = at_load_shared_u16(base + 2 * (127 - t));
	unsigned byte = at_load_shared_u8(base + 255 - t);
	at_store_shared_u16(base + 1024 + 2 * t, word);
	at_store_shared_u8(base + 2048 + t, word >> 8);
	at_barrier();
	output(AT_ARGS, t, word);
	output(AT_ARGS, 64 + t, half);
	output(AT_ARGS, 128 + t, byte);
	if (t < 32)
		output(AT_ARGS, 192 + t, at_load_shared_u32(base + 1024 + 4 * t));
	if (t < 16)
		output(AT_ARGS, 224 + t, at_load_shared_u32(base + 2048 + 4 * t));
}

AT_KERNEL(probe_warp, 64)
{
	unsigned base = at_shared_base(), t = at_thread(), word = input(AT_ARGS, t);
	at_store_shared_u32(base + 4 * t, word);
	at_warp_sync();
	output(AT_ARGS, t, at_load_shared_u32(base + 4 * (t ^ 5)));
	output(AT_ARGS, 64 + t, at_shfl_xor(word, 1));
	output(AT_ARGS, 128 + t, at_shfl_xor(word, 2));
	output(AT_ARGS, 192 + t, at_shfl_xor(word, 4));
	output(AT_ARGS, 256 + t, at_shfl_xor(word, 8));
	output(AT_ARGS, 320 + t, at_shfl_xor(word, 16));
	output(AT_ARGS, 384 + t, at_shfl_xor(word, 31));
}

AT_KERNEL(probe_global, 64)
{
	const char *from = (const char *)AT_ARGS->data[0];
	char *to = (char *)AT_ARGS->data[1];
	unsigned t = at_thread();
	at_store_u64(to + 8 * (long)t, at_load_u64(from + 8 * (long)(t * 3 % 64)));
	at_store_u16(to + 512 + 2 * (long)t, at_load_u16(from + 2 * (long)(t * 5 % 256)));
	at_store_u8(to + 640 + (long)t, at_load_u8(from + (long)(t * 7 % 512)));
	at_store_u32(to + 704 + 4 * (long)t, at_load_u32(from + 4 * (long)(t * 11 % 128)));
}

AT_KERNEL(probe_copy, 64)
{
	const char *from = (const char *)AT_ARGS->data[0];
	unsigned base = at_shared_base(), t = at_thread();
	for (unsigned i = t; i < 448; i += 64)
		at_store_shared_u32(base + 4 * i, 0xa5a5a5a5u);
	at_barrier();
	at_cp_async(base + 16 * (t * 5 % 64), from + 16 * (long)t, 16, (int)(t % 17));
	at_cp_commit();
	at_cp_async(base + 1024 + 8 * (t * 3 % 64), from + 8 * (long)t, 8, (int)(t % 9));
	at_cp_commit();
	at_cp_async(base + 1536 + 4 * (t * 7 % 64), from + 4 * (long)t, 4, (int)(t % 5));
	at_cp_commit();
	at_cp_wait(1);
	output(AT_ARGS, t, at_load_shared_u32(base + 16 * (t * 5 % 64)));
	output(AT_ARGS, 64 + t, at_load_shared_u32(base + 1024 + 8 * (t * 3 % 64)));
	at_cp_wait(0);
	at_barrier();
	for (unsigned i = t; i < 448; i += 64)
		output(AT_ARGS, 128 + i, at_load_shared_u32(base + 4 * i));
}

AT_KERNEL(probe_ldmatrix, 64)
{
	unsigned base = at_shared_base(), t = at_thread(), r[4];
	unsigned row = base + t / 32 * 512 + 16 * (t % 32 * 5 % 32);
	for (unsigned i = t; i < 256; i += 64)
		at_store_shared_u32(base + 4 * i, input(AT_ARGS, i));
	at_barrier();
	at_ldmatrix_x4(r, row);
	AT_UNROLL
	for (unsigned i = 0; i < 4; i++)
		output(AT_ARGS, 4 * t + i, r[i]);
	at_ldmatrix_x4_trans(r, row);
	AT_UNROLL
	for (unsigned i = 0; i < 4; i++)
		output(AT_ARGS, 256 + 4 * t + i, r[i]);
}

/* A lane's words: a[4], b0, b1, d[4]. */
AT_KERNEL(probe_mma_bf16, 32)
{
	unsigned first = (at_block() * 32 + at_thread()) * 10, a[4];
	float d[4];
	AT_UNROLL
	for (unsigned i = 0; i < 4; i++) {
		a[i] = input(AT_ARGS, first + i);
		d[i] = at_f32_bits(input(AT_ARGS, first + 6 + i));
	}
	at_mma_bf16(d, a, input(AT_ARGS, first + 4), input(AT_ARGS, first + 5));
	AT_UNROLL
	for (unsigned i = 0; i < 4; i++)
		output(AT_ARGS, (at_block() * 32 + at_thread()) * 4 + i, at_bits_f32(d[i]));
}

AT_KERNEL(probe_mma_f16, 32)
{
	unsigned first = (at_block() * 32 + at_thread()) * 10, a[4];
	float d[4];
	AT_UNROLL
	for (unsigned i = 0; i < 4; i++) {
		a[i] = input(AT_ARGS, first + i);
		d[i] = at_f32_bits(input(AT_ARGS, first + 6 + i));
	}
	at_mma_f16(d, a, input(AT_ARGS, first + 4), input(AT_ARGS, first + 5));
	AT_UNROLL
	for (unsigned i = 0; i < 4; i++)
		output(AT_ARGS, (at_block() * 32 + at_thread()) * 4 + i, at_bits_f32(d[i]));
}

AT_KERNEL(probe_mma_tf32, 32)
{
	unsigned first = (at_block() * 32 + at_thread()) * 10, a[4];
	float d[4];
	AT_UNROLL
	for (unsigned i = 0; i < 4; i++) {
		a[i] = input(AT_ARGS, first + i);
		d[i] = at_f32_bits(input(AT_ARGS, first + 6 + i));
	}
	at_mma_tf32(d, a, input(AT_ARGS, first + 4), input(AT_ARGS, first + 5));
	AT_UNROLL
	for (unsigned i = 0; i < 4; i++)
		output(AT_ARGS, (at_block() * 32 + at_thread()) * 4 + i, at_bits_f32(d[i]));
}

AT_KERNEL(probe_mma_i8, 32)
{
	unsigned first = (at_block() * 32 + at_thread()) * 10, a[4];
	int d[4];
	AT_UNROLL
	for (unsigned i = 0; i < 4; i++) {
		a[i] = input(AT_ARGS, first + i);
		d[i] = (int)input(AT_ARGS, first + 6 + i);
	}
	at_mma_i8(d, a, input(AT_ARGS, first + 4), input(AT_ARGS, first + 5));
	AT_UNROLL
	for (unsigned i = 0; i < 4; i++)
		output(AT_ARGS, (at_block() * 32 + at_thread()) * 4 + i, (unsigned)d[i]);
}

AT_KERNEL(probe_numbers, 128)
{
	unsigned i = at_block() * 128 + at_thread(), bits = input(AT_ARGS, i), next = input(AT_ARGS, i ^ 1);
	float x = at_f32_bits(bits), y = at_f32_bits(next);
	output(AT_ARGS, i, at_bits_f32(x));
	output(AT_ARGS, 1024 + i, at_pack_bf16(x, y));
	output(AT_ARGS, 2048 + i, at_pack_f16(x, y));
	output(AT_ARGS, 3072 + i, at_bits_f32(at_f32_f16(bits >> 16)));
	output(AT_ARGS, 4096 + i, at_tf32(x));
	if (i % 4 == 0)
		x = at_f32_bits(0x7fc00000u);
	output(AT_ARGS, 5120 + i, at_bits_f32(at_max(x, i % 8 == 2 ? -x : y)));
	output(AT_ARGS, 6144 + i, at_bits_f32(at_min(x, i % 8 == 2 ? -x : y)));
	output(AT_ARGS, 7168 + i, at_bits_f32(at_div(x, i % 8 == 2 ? -x : y)));
}

AT_KERNEL(probe_exp2, 128)
{
	unsigned i = at_block() * 128 + at_thread();
	output(AT_ARGS, i, at_bits_f32(at_exp2(at_f32_bits(input(AT_ARGS, i)))));
	output(AT_ARGS, 1024 + i, at_bits_f32(at_reciprocal(at_f32_bits(input(AT_ARGS, i)))));
}

/* Copies blocks of 16 KiB, as fast as words of eight bytes go: what the memory gives. */
AT_KERNEL(copy_words, 256)
{
	const char *from = (const char *)AT_ARGS->data[0] + 16384 * (long)at_block() + 8 * (long)at_thread();
	char *to = (char *)AT_ARGS->data[1] + 16384 * (long)at_block() + 8 * (long)at_thread();
	unsigned long word[8];
	AT_UNROLL
	for (int i = 0; i < 8; i++)
		word[i] = at_load_u64(from + 2048 * i);
	AT_UNROLL
	for (int i = 0; i < 8; i++)
		at_store_u64(to + 2048 * i, word[i]);
}
