/* Causal attention with grouped heads, bf16, written by hand over codegen/primitives.h: what the emulator is tried on
 * before there is an emitter, and where its faults are planted. Four warps have sixteen rows each; keys and values
 * come in tiles of BN by a ring of STAGES. O[h,n,e] = softmax over m <= n of Q[h,n,d] K[h/2,m,d] / 8, times V[h/2,m,e]. */
struct at_device_args {
	void *data[4];   /* Q, K, V, O */
	long stride[13]; /* of each: head, row, column; then how many rows there are */
	void *work;
};

enum { D = 64, BM = 64, BN = 32, STAGES = 2, PITCH = 2 * D };

AT_INLINE unsigned chunk_at(unsigned tile, int row, int chunk)
{
	return tile + (unsigned)(row * PITCH + 16 * (chunk ^ (row & 7)));
}

/* Rows from `first` on, by all 128 threads; those from `end` on are zeroes. */
AT_INLINE void fetch(unsigned tile, const unsigned short *from, long pitch, int first, int end, int count, int thread)
{
	for (int i = thread; i < count * 8; i += 128) {
		int row = i / 8, chunk = i % 8;
		int inside = first + row < end;
		const unsigned short *p = from + (inside ? first + row : 0) * pitch + 8 * chunk;
		at_cp_async(chunk_at(tile, row, chunk), p, 16, inside ? 16 : 0);
	}
}

AT_KERNEL(attention, 128)
{
	int thread = (int)at_thread(), warp = thread / 32, lane = thread % 32, g = lane / 4, t = lane % 4;
	const long *stride = AT_ARGS->stride;
	int rows = (int)stride[12], blocks = (rows + BM - 1) / BM;
	int block = (int)at_block(), head = block / blocks, first = (blocks - 1 - block % blocks) * BM;
	const unsigned short *q_from = (const unsigned short *)AT_ARGS->data[0] + head * stride[0];
	const unsigned short *k_from = (const unsigned short *)AT_ARGS->data[1] + head / 2 * stride[3];
	const unsigned short *v_from = (const unsigned short *)AT_ARGS->data[2] + head / 2 * stride[6];
	unsigned short *o_to = (unsigned short *)AT_ARGS->data[3] + head * stride[9];
	unsigned shared = at_shared_base();
	unsigned q_tile = shared, k_ring = q_tile + BM * PITCH, v_ring = k_ring + STAGES * BN * PITCH;
	int steps = first + BM < rows ? (first + BM + BN - 1) / BN : (rows + BN - 1) / BN;
	unsigned q[D / 16][4];
	float o[D / 8][4], most[2], sum[2];

	fetch(q_tile, q_from, stride[1], first, rows, BM, thread);
	fetch(k_ring, k_from, stride[4], 0, rows, BN, thread);
	fetch(v_ring, v_from, stride[7], 0, rows, BN, thread);
	at_cp_commit(); /* the first */
	AT_UNROLL
	for (int i = 0; i < D / 8; i++)
		o[i][0] = o[i][1] = o[i][2] = o[i][3] = 0.0f;
	most[0] = most[1] = at_f32_bits(0xff800000);
	sum[0] = sum[1] = 0.0f;

	for (int step = 0; step < steps; step++) {
		int next = step + 1, m = step * BN;
		if (next < steps) {
			unsigned stage = (unsigned)(next % STAGES * BN * PITCH);
			fetch(k_ring + stage, k_from, stride[4], next * BN, rows, BN, thread);
			fetch(v_ring + stage, v_from, stride[7], next * BN, rows, BN, thread);
		}
		at_cp_commit(); /* the next */
		at_cp_wait(STAGES - 1);
		at_barrier(); /* after the wait */

		if (step == 0) {
			AT_UNROLL
			for (int k = 0; k < D / 16; k++)
				at_ldmatrix_x4(q[k], chunk_at(q_tile, 16 * warp + lane % 16, 2 * k + lane / 16));
		}

		unsigned here = (unsigned)(step % STAGES * BN * PITCH);
		float s[BN / 8][4];
		AT_UNROLL
		for (int j = 0; j < BN / 8; j++)
			s[j][0] = s[j][1] = s[j][2] = s[j][3] = 0.0f;
		AT_UNROLL
		for (int k = 0; k < D / 16; k++) {
			AT_UNROLL
			for (int j = 0; j < BN / 16; j++) {
				unsigned f[4];
				at_ldmatrix_x4(f, chunk_at(k_ring + here, 16 * j + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
				at_mma_bf16(s[2 * j], q[k], f[0], f[1]);
				at_mma_bf16(s[2 * j + 1], q[k], f[2], f[3]);
			}
		}

		AT_UNROLL
		for (int j = 0; j < BN / 8; j++) {
			AT_UNROLL
			for (int c = 0; c < 4; c++) {
				int row = first + 16 * warp + 8 * (c / 2) + g, column = m + 8 * j + 2 * t + c % 2;
				s[j][c] = column <= row ? s[j][c] * 0.125f : at_f32_bits(0xff800000);
			}
		}

		AT_UNROLL
		for (int h = 0; h < 2; h++) {
			float x = most[h], correction;
			AT_UNROLL
			for (int j = 0; j < BN / 8; j++)
				x = fmaxf(x, fmaxf(s[j][2 * h], s[j][2 * h + 1]));
			x = fmaxf(x, at_f32_bits(at_shfl_xor(at_bits_f32(x), 1)));
			x = fmaxf(x, at_f32_bits(at_shfl_xor(at_bits_f32(x), 2)));
			correction = at_exp2((most[h] - x) * 1.44269504f);
			most[h] = x;
			sum[h] = sum[h] * correction;
			AT_UNROLL
			for (int j = 0; j < BN / 8; j++) {
				s[j][2 * h] = at_exp2((s[j][2 * h] - x) * 1.44269504f);
				s[j][2 * h + 1] = at_exp2((s[j][2 * h + 1] - x) * 1.44269504f);
				sum[h] += s[j][2 * h] + s[j][2 * h + 1];
			}
			AT_UNROLL
			for (int i = 0; i < D / 8; i++) {
				o[i][2 * h] *= correction;
				o[i][2 * h + 1] *= correction;
			}
		}

		AT_UNROLL
		for (int k = 0; k < BN / 16; k++) {
			unsigned p[4];
			p[0] = at_pack_bf16(s[2 * k][0], s[2 * k][1]);
			p[1] = at_pack_bf16(s[2 * k][2], s[2 * k][3]);
			p[2] = at_pack_bf16(s[2 * k + 1][0], s[2 * k + 1][1]);
			p[3] = at_pack_bf16(s[2 * k + 1][2], s[2 * k + 1][3]);
			AT_UNROLL
			for (int i = 0; i < D / 16; i++) {
				unsigned f[4];
				at_ldmatrix_x4_trans(f, chunk_at(v_ring + here, 16 * k + lane % 16, 2 * i + lane / 16));
				at_mma_bf16(o[2 * i], p, f[0], f[1]);
				at_mma_bf16(o[2 * i + 1], p, f[2], f[3]);
			}
		}
		at_barrier(); /* after the step */
	}

	AT_UNROLL
	for (int h = 0; h < 2; h++) {
		int row = first + 16 * warp + 8 * h + g;
		float all = sum[h];
		all += at_f32_bits(at_shfl_xor(at_bits_f32(all), 1)); /* of the sum */
		all += at_f32_bits(at_shfl_xor(at_bits_f32(all), 2)); /* of the sum */
		if (row < rows) {
			AT_UNROLL
			for (int i = 0; i < D / 8; i++)
				at_store_u32(o_to + row * stride[10] + 8 * i + 2 * t,
				             at_pack_bf16(o[i][2 * h] / all, o[i][2 * h + 1] / all));
		}
	}
}
