/* A right kernel, tests/cuda/attention.cu, is right in all orders; then faults are planted in it, each a change of the
 * text that applies exactly once, and each must show: by a finding or by a wrong result. What caught it, in which
 * orders, is told. */
#include "tests/emulated.h"

#include <math.h>
#include <stdio.h>

#include "tests/tap.h"

static struct arena arena;

/* The kernel's own numbers. */
enum { HEADS = 4, KV_HEADS = 2, MOST_ROWS = 100, D = 64, BM = 64, SHARED = (64 + 2 * 2 * 32) * 128 };

/* The ring goes round in the larger one; in the smaller one its last tile is both new and not full. */
static const struct size {
	int rows, q, k; /* elements */
} sizes[] = {{50, HEADS * 50 * D, KV_HEADS * 50 * D}, {100, HEADS * 100 * D, KV_HEADS * 100 * D}};
enum { SIZES = 2 };

static struct data {
	uint16_t *q, *k, *v, *o; /* each in a block of its own */
	double *expected;
} data[SIZES];

static double get(const uint16_t *x, int rows, int head, int row, int column)
{
	return dtype_load(DTYPE_BF16, x, (head * rows + row) * D + column);
}

static void reference(const struct data *x, int rows)
{
	for (int h = 0; h < HEADS; h++)
		for (int n = 0; n < rows; n++) {
			double p[MOST_ROWS], most = -INFINITY, sum = 0;
			for (int m = 0; m <= n; m++) {
				p[m] = 0;
				for (int d = 0; d < D; d++)
					p[m] += get(x->q, rows, h, n, d) * get(x->k, rows, h / 2, m, d) / 8;
				most = fmax(most, p[m]);
			}
			for (int m = 0; m <= n; m++)
				sum += p[m] = exp(p[m] - most);
			for (int e = 0; e < D; e++) {
				double y = 0;
				for (int m = 0; m <= n; m++)
					y += p[m] * get(x->v, rows, h / 2, m, e) / sum;
				x->expected[(h * rows + n) * D + e] = y;
			}
		}
}

static uint16_t *fill(int n, uint64_t random)
{
	uint16_t *x = malloc((size_t)n * sizeof *x);
	for (int i = 0; i < n; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		dtype_store(DTYPE_BF16, x, i, (double)(random >> 40) / (1 << 22) - 2);
	}
	return x;
}

static const char *wrong_at(struct module *m, const char *text, int size, enum emulate_order order)
{
	const struct size *n = &sizes[size];
	const struct data *x = &data[size];
	struct {
		void *data[4];
		int64_t stride[13];
		void *work;
	} args = {{x->q, x->k, x->v, x->o}, {0}, NULL};
	for (int i = 0; i < 12; i++)
		args.stride[i] = i % 3 == 0 ? n->rows * D : i % 3 == 1 ? D : 1;
	args.stride[12] = n->rows;
	struct emulate_memory memory[] = {{x->q, (size_t)n->q * 2, false, "Q"},
	                                  {x->k, (size_t)n->k * 2, false, "K"},
	                                  {x->v, (size_t)n->k * 2, false, "V"},
	                                  {x->o, (size_t)n->q * 2, true, "O"}};
	struct emulate_launch l = {.name = "attention",
	                           .text = text,
	                           .kernel = target_cuda_emulated.symbol(m, "attention"),
	                           .args = &args,
	                           .args_size = sizeof args,
	                           .blocks = (n->rows + BM - 1) / BM * HEADS,
	                           .threads = 128,
	                           .shared_bytes = SHARED,
	                           .memory = memory,
	                           .memories = 4};
	struct text said;
	text_init(&said, &arena);
	memset(x->o, 0xff, (size_t)n->q * 2);
	if (!emulate_run(&l, &(struct emulate_options){.order = order, .seed = 3, .steps = 1 << 22}, &said))
		return said.s;
	double worst = 0;
	for (int i = 0; i < n->q; i++) {
		double error = fabs(dtype_load(DTYPE_BF16, x->o, i) - x->expected[i]);
		worst = error <= worst ? worst : isnan(error) ? (double)INFINITY : error;
	}
	return worst <= 0.02 ? NULL : arena_printf(&arena, "%d rows: wrong result, off by %g", n->rows, worst);
}

/* How it went wrong in this order: a finding, or "… wrong result …"; NULL: it did not. */
static const char *went_wrong(struct module *m, const char *text, enum emulate_order order)
{
	const char *how = NULL;
	for (int i = 0; i < SIZES && !how; i++)
		how = wrong_at(m, text, i, order);
	return how;
}

struct fault {
	const char *what, *from, *to;
};

static const struct fault fault[] = {
        {"no wait for copies", "at_cp_wait(STAGES - 1);", ""},
        {"a wait for one group too few", "at_cp_wait(STAGES - 1)", "at_cp_wait(STAGES)"},
        {"no barrier after the wait", "at_barrier(); /* after the wait */", ""},
        {"the barrier before the wait", "at_cp_wait(STAGES - 1);\n\t\tat_barrier();",
         "at_barrier();\n\t\tat_cp_wait(STAGES - 1);"},
        {"a barrier of the warp only", "at_barrier(); /* after the wait */", "at_warp_sync();"},
        {"no barrier before a stage is filled again", "at_barrier(); /* after the step */", ""},
        {"a barrier that some warps skip", "at_barrier(); /* after the step */", "if (warp != 2) at_barrier();"},
        {"a barrier that some lanes skip", "at_barrier(); /* after the step */", "if (lane) at_barrier();"},
        {"tiles are stored without the swizzle", "at_cp_async(chunk_at(tile, row, chunk), p",
         "at_cp_async(tile + (unsigned)(row * PITCH + 16 * chunk), p"},
        {"keys are read without the swizzle",
         "chunk_at(k_ring + here, 16 * j + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2)",
         "k_ring + here + (16 * j + lane % 8 + lane / 16 * 8) * PITCH + 16 * (2 * k + lane / 8 % 2)"},
        {"a swizzle by other bits of the row", "16 * (chunk ^ (row & 7))", "16 * (chunk ^ (row & 15))"},
        {"fragments of a in the order of b", "p[1] = at_pack_bf16(s[2 * k][2], s[2 * k][3]);\n\t\t\tp[2] = at_pack_bf16(s[2 * k + 1][0], s[2 * k + 1][1]);",
         "p[2] = at_pack_bf16(s[2 * k][2], s[2 * k][3]);\n\t\t\tp[1] = at_pack_bf16(s[2 * k + 1][0], s[2 * k + 1][1]);"},
        {"halves of a register the wrong way round", "at_pack_bf16(s[2 * k + 1][2], s[2 * k + 1][3])",
         "at_pack_bf16(s[2 * k + 1][3], s[2 * k + 1][2])"},
        {"halves of b the wrong way round", "at_mma_bf16(o[2 * i], p, f[0], f[1])", "at_mma_bf16(o[2 * i], p, f[1], f[0])"},
        {"values are not transposed", "at_ldmatrix_x4_trans(", "at_ldmatrix_x4("},
        {"keys are transposed", "at_ldmatrix_x4(f, chunk_at(k_ring", "at_ldmatrix_x4_trans(f, chunk_at(k_ring"},
        {"rows of matrices in the wrong order", "16 * j + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2",
         "16 * j + lane % 16, 2 * k + lane / 16"},
        {"a shuffle in a branch", "x = fmaxf(x, at_f32_bits(at_shfl_xor(at_bits_f32(x), 2)));",
         "if (x > most[h]) x = fmaxf(x, at_f32_bits(at_shfl_xor(at_bits_f32(x), 2)));"},
        {"a shuffle across rows", "x = fmaxf(x, at_f32_bits(at_shfl_xor(at_bits_f32(x), 2)));",
         "x = fmaxf(x, at_f32_bits(at_shfl_xor(at_bits_f32(x), 4)));"},
        {"a sum over half the lanes", "all += at_f32_bits(at_shfl_xor(at_bits_f32(all), 2)); /* of the sum */", ""},
        {"shuffles where rows have ended", "if (row < rows) {", "if (row >= rows) return; {"},
        {"the next tile into the stage in use", "next % STAGES * BN * PITCH", "step % STAGES * BN * PITCH"},
        {"the stage that is being filled is read", "(unsigned)(step % STAGES * BN * PITCH)",
         "(unsigned)(next % STAGES * BN * PITCH)"},
        {"one stage where there should be two", "v_ring = k_ring + STAGES * BN * PITCH", "v_ring = k_ring + BN * PITCH"},
        {"a group is not committed", "at_cp_commit(); /* the next */", ""},
        {"the first group is not committed", "at_cp_commit(); /* the first */", ""},
        {"queries are read before they are there", "at_cp_commit(); /* the first */",
         "at_cp_commit(); at_ldmatrix_x4(q[0], chunk_at(q_tile, 16 * warp + lane % 16, lane / 16));"},
        {"one row too many is loaded", "first + row < end", "first + row <= end"},
        {"one row too many is stored", "row < rows", "row <= rows"},
        {"one row too few is stored", "row < rows", "row < rows - 1"},
        {"rows beyond the end are not zeroes", "at_cp_async(chunk_at(tile, row, chunk), p, 16, inside ? 16 : 0);",
         "if (inside) at_cp_async(chunk_at(tile, row, chunk), p, 16, 16);"},
        {"rows beyond the end are fetched", "(inside ? first + row : 0) * pitch + 8 * chunk;\n\t\tat_cp_async(chunk_at(tile, row, chunk), p, 16, inside ? 16 : 0)",
         "(first + row) * pitch + 8 * chunk;\n\t\tat_cp_async(chunk_at(tile, row, chunk), p, 16, 16)"},
        {"half of a chunk is fetched", "p, 16, inside ? 16 : 0", "p, 16, inside ? 8 : 0"},
        {"matrices at odd addresses", "2 * i + lane / 16));", "2 * i + lane / 16) + 8);"},
        {"copies from odd addresses", "* pitch + 8 * chunk;", "* pitch + 4 * chunk;"},
        {"copies to odd addresses", "at_cp_async(chunk_at(tile, row, chunk), p", "at_cp_async(chunk_at(tile, row, chunk) + 4, p"},
        {"shared memory without its base", "q_tile = shared", "q_tile = 0"},
        {"an accumulator that is not set", "o[i][0] = o[i][1] = o[i][2] = o[i][3] = 0.0f;", "o[i][0] = o[i][1] = o[i][2] = 0.0f;"},
        {"scores on top of those before", "\t\tfloat s[BN / 8][4];\n\t\tAT_UNROLL\n\t\tfor (int j = 0; j < BN / 8; j++)\n\t\t\ts[j][0] = s[j][1] = s[j][2] = s[j][3] = 0.0f;\n",
         "\t\tfloat s[BN / 8][4];\n"},
        {"no mask at the diagonal", "column <= row ? s[j][c] * 0.125f : at_f32_bits(0xff800000)", "s[j][c] * 0.125f"},
        {"a mask that is one off", "column <= row", "column < row"},
        {"the result is not corrected", "o[i][2 * h + 1] *= correction;", ""},
        {"the sum is not corrected", "sum[h] = sum[h] * correction;", ""},
        {"the walk ends a step early", "step < steps; step++", "step < steps - 1; step++"},
        {"the wrong lanes store", "8 * i + 2 * t,", "8 * i + 2 * (t ^ 1),"},
        {"the wrong rows are stored", "int row = first + 16 * warp + 8 * h + g;", "int row = first + 16 * warp + 8 * h + lane / 8;"},
        {"a warp leaves early", "unsigned q[D / 16][4];", "unsigned q[D / 16][4]; if (first + 16 * warp >= rows) return;"},
        {"the result goes over the queries", "AT_ARGS->data[3]", "AT_ARGS->data[0]"},
        {"the wrong head's keys", "head / 2 * stride[3]", "head * stride[3]"},
        {"a loop that does not end", "step < steps; step++", "step < steps; step += 0"},
};

/* `text` with the one place of `from` changed; NULL when there is none, or more. */
static char *changed(const char *text, const struct fault *f)
{
	const char *at = strstr(text, f->from);
	if (!at || strstr(at + 1, f->from))
		return NULL;
	return arena_printf(&arena, "%.*s%s%s", (int)(at - text), text, f->to, at + strlen(f->from));
}

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "r");
	struct text t;
	text_init(&t, &arena);
	for (int c; f && (c = getc(f)) != EOF;)
		text_char(&t, (char)c);
	if (f)
		fclose(f);
	return t.s;
}

static void plant(const char *text, const struct fault *f)
{
	struct text said, orders;
	text_init(&said, &arena);
	text_init(&orders, &arena);
	const char *bad = changed(text, f), *first = NULL;
	struct module *m = bad ? emulated_load(bad, &said) : NULL;
	for (enum emulate_order order = 0; m && order < EMULATE_ORDERS; order++) {
		const char *how = went_wrong(m, bad, order);
		if (how)
			text_printf(&orders, "%s%s", orders.len ? ", " : "", emulate_order_name[order]);
		first = first ? first : how;
	}
	if (!ok(first, "%s: caught in %s", f->what, orders.s))
		printf("# %s\n", !bad ? "the change does not apply once" : !m ? said.s : "nothing went wrong");
	else
		printf("#   %.*s\n", (int)strcspn(first, "\n"), first);
	target_cuda_emulated.unload(m);
}

int main(void)
{
	arena_init(&arena);
	for (int i = 0; i < SIZES; i++) {
		data[i] = (struct data){.q = fill(sizes[i].q, 1),
		                        .k = fill(sizes[i].k, 2),
		                        .v = fill(sizes[i].k, 3),
		                        .o = fill(sizes[i].q, 4),
		                        .expected = arena_new_array(&arena, (size_t)sizes[i].q, double)};
		reference(&data[i], sizes[i].rows);
	}
	const char *text = read_text("tests/cuda/attention.cu");
	struct text said;
	text_init(&said, &arena);
	struct module *m = emulated_load(text, &said);
	if (ok(m, "tests/cuda/attention.cu compiles")) {
		for (enum emulate_order order = 0; order < EMULATE_ORDERS; order++) {
			double start = thread_seconds();
			const char *how = went_wrong(m, text, order);
			ok(!how, "it is right: %s (%.0f ms)", emulate_order_name[order],
			   (thread_seconds() - start) * 1e3);
			if (how)
				printf("# %s\n", how);
		}
		target_cuda_emulated.unload(m);
	} else {
		printf("# %s\n", said.s);
	}
	const char *missing = target_cuda.missing(&arena);
	if (missing) {
		tap_skip(missing);
	} else {
		struct object object;
		text_init(&said, &arena);
		if (!ok(target_cuda.compile(text, &emulated_options, &object, &said), "it compiles for a device"))
			printf("# %s\n", said.s);
		object_free(&object);
	}
	for (size_t i = 0; i < sizeof fault / sizeof *fault; i++)
		plant(text, &fault[i]);
	for (int i = 0; i < SIZES; i++) {
		free(data[i].q);
		free(data[i].k);
		free(data[i].v);
		free(data[i].o);
	}
	arena_free(&arena);
	return tap_done();
}
