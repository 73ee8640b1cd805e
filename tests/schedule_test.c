/* Schedules of every shipped example: text both ways, legality with a reason, the way between points and
 * schedules, and that tile programs come out of all of them. */
#include <stdlib.h>
#include <string.h>

#include "codegen/schedule.h"
#include "dsl/parse.h"
#include "tests/plain_examples.h"
#include "tests/tap.h"

static const struct machine machine = {
        .isa = ISA_AVX512, .cores = 2, .l1 = 48 << 10, .l2 = 1 << 20, .l3 = 32 << 20};

static char *slurp(struct arena *a, const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return NULL;
	struct text t;
	text_init(&t, a);
	char buffer[4096];
	size_t n;
	while ((n = fread(buffer, 1, sizeof buffer, f)) > 0)
		text_bytes(&t, buffer, n);
	fclose(f);
	*size = t.len;
	return t.s;
}

static struct problem *problem_of(struct arena *a, const char *path, int64_t extent, struct diags *d)
{
	size_t size = 0;
	char *source = slurp(a, path, &size);
	diags_init(d, a, path, source, size);
	struct cascade *c = cascade_parse(a, source, size, NULL, 0, d);
	if (!c)
		return NULL;
	for (uint32_t i = 0; i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND)
			c->rank.v[i].extent = extent;
	return problem_new(a, c, &machine, d);
}

static bool round_trips(struct arena *a, const struct problem *p, const struct schedule *s)
{
	struct text first, second;
	struct diags d;
	struct schedule back;
	text_init(&first, a);
	text_init(&second, a);
	schedule_print(p, s, &first);
	diags_init(&d, a, "schedule", first.s, first.len);
	if (!schedule_parse(p, first.s, first.len, &back, &d))
		return false;
	schedule_print(p, &back, &second);
	return !strcmp(first.s, second.s);
}

static bool same_text(struct arena *a, const struct problem *p, const struct schedule *x, const struct schedule *y)
{
	struct text s, t;
	text_init(&s, a);
	text_init(&t, a);
	schedule_print(p, x, &s);
	schedule_print(p, y, &t);
	return !strcmp(s.s, t.s);
}

static struct schedule random_point(const struct space *space, unsigned *seed)
{
	struct point at = {{0}};
	for (int k = 0; k < space->dimensions; k++)
		at.choice[k] = (uint8_t)((*seed = *seed * 1103515245u + 12345u) >> 16) % (uint8_t)space->dimension[k].choices;
	return space_schedule(space, &at);
}

static void test_example(const char *path, enum isa isa)
{
	struct arena a;
	arena_init(&a);
	struct diags d;
	struct problem *p = problem_of(&a, path, 96, &d);
	if (!ok(p != NULL, "%s: a problem for %s", path, isa_info[isa].name)) {
		arena_free(&a);
		return;
	}
	struct schedule s = schedule_default(p, isa), naive = schedule_naive(p, isa);
	const char *why = schedule_illegal(&a, p, &s);
	ok(!why, "%s: the default is legal on %s%s%s", path, isa_info[isa].name, why ? ": " : "",
	   why ? why : "");
	why = schedule_illegal(&a, p, &naive);
	ok(!why, "%s: the naive form is legal%s%s", path, why ? ": " : "", why ? why : "");
	ok(round_trips(&a, p, &s) && round_trips(&a, p, &naive), "%s: text round trip", path);
	struct text reason;
	text_init(&reason, &a);
	ok(tile_check(tile_build(&a, p, &s), &reason), "%s: the default's tile program checks%s%s", path,
	   reason.len ? ": " : "", reason.s);
	text_init(&reason, &a);
	ok(tile_check(tile_build(&a, p, &naive), &reason), "%s: the naive tile program checks%s%s", path,
	   reason.len ? ": " : "", reason.s);

	struct space space;
	space_init(&a, &space, p, isa);
	struct point nearest = space_nearest(&space, &s);
	struct schedule again = space_schedule(&space, &nearest);
	ok(!schedule_illegal(&a, p, &again), "%s: the point nearest to the default is legal", path);
	if (isa_is_device(isa))
		ok(same_text(&a, p, &s, &again), "%s: it is the default", path);
	unsigned seed = 7;
	int legal = 0, refused = 0, unexplained = 0, broken = 0, lost = 0;
	for (int i = 0; i < 60; i++) {
		struct schedule one = random_point(&space, &seed);
		why = schedule_illegal(&a, p, &one);
		if (why) {
			refused++;
			unexplained += !*why;
			continue;
		}
		legal++;
		lost += !round_trips(&a, p, &one);
		text_init(&reason, &a);
		if (!tile_check(tile_build(&a, p, &one), &reason) && !broken++)
			printf("# %s\n", reason.s);
	}
	ok(legal > 0 && !unexplained && !broken && !lost,
	   "%s: %d random points legal and sound, %d refused with a reason (%d broken, %d lost in text)",
	   path, legal, refused, broken, lost);
	arena_free(&a);
}

/* What the emitter lays out in shared memory is about what was estimated: the rule of legality means something. */
static void test_need(const char *path)
{
	struct arena a;
	arena_init(&a);
	struct diags d;
	struct problem *p = problem_of(&a, path, 96, &d);
	int tried = 0, apart = 0, none = 0;
	struct space space;
	unsigned seed = 3;
	space_init(&a, &space, p, ISA_SM80);
	for (int i = 0; i < 300 && tried < 12; i++) {
		struct schedule s = i ? random_point(&space, &seed) : schedule_default(p, ISA_SM80);
		if (schedule_illegal(&a, p, &s) || s.form != FORM_FUSED)
			continue;
		struct kernel_source k = emit_cuda(&a, tile_build(&a, p, &s));
		int phase = 0;
		tried++;
		none += !k.text;
		for (int n = 0; n < s.nstreams && k.text; n++, phase += s.stream[n - 1].split > 1 ? 2 : 1) {
			int64_t need = schedule_device_need(p, &s, n).shared, is = k.phase[phase].shared_bytes;
			if (need - is > 4096 || is - need > 4096) {
				if (!apart++)
					printf("# %lld bytes where %lld were estimated\n", (long long)is, (long long)need);
			}
		}
	}
	ok(tried == 12 && !apart && !none, "%s: shared memory of %d device kernels is about what was estimated (%d are not, %d are none)",
	   path, tried, apart, none);
	arena_free(&a);
}

static void refused(struct problem *p, struct schedule s, const char *expected)
{
	struct arena a;
	arena_init(&a);
	const char *why = schedule_illegal(&a, p, &s);
	ok(why && strstr(why, expected), "refused: %s", why ? why : "(legal)");
	arena_free(&a);
}

static void test_reasons(void)
{
	struct arena a;
	arena_init(&a);
	struct diags d;
	struct problem *p = problem_of(&a, "examples/cross_attention.att", 96, &d);
	if (!ok(p && p->fused_plan[0].ncontracts == 2, "attention has two contractions")) {
		arena_free(&a);
		return;
	}
	static const char keys[] = "isa avx512\nstream m for b h n\n  rows n:48\n  tile m:128 up\n"
	                           "  contract S rows n:6 lanes m:4 pack\n  contract O_sum rows n:6 lanes e:4\n";
	struct schedule s, bad;
	diags_init(&d, &a, "schedule", keys, strlen(keys));
	ok(schedule_parse(p, keys, strlen(keys), &s, &d) && !schedule_illegal(&a, p, &s), "keys in the lanes");
	bad = s, bad.stream[0].contract[0].rows = 7, bad.stream[0].row_tile = 7;
	refused(p, bad, "rows 7 × 4 vectors needs 33 registers, avx512 has 32");
	bad = s, bad.stream[0].row_tile++;
	refused(p, bad, "no multiple of the block's");
	bad = s, bad.stream[0].contract[1].rows = 4;
	refused(p, bad, "do not divide the block");
	bad = s, bad.stream[0].stream_tile += 16;
	refused(p, bad, "is no multiple of its 64 lanes");
	bad = s, bad.exp_degree = 9;
	refused(p, bad, "degree is 3 to 6");
	bad = s, bad.nstreams = 3;
	refused(p, bad, "streams");
	bad = s, bad.compute = DTYPE_F64;
	refused(p, bad, "scalar form only");

	struct schedule device = schedule_default(p, ISA_SM80);
	bad = s, bad.stream[0].contract[1].operand = OPERAND_TF32;
	refused(p, bad, "a host multiplies as compute, bf16 or i8, not as tf32");
	bad = s, bad.stream[0].contract[0].operand = OPERAND_BF16;
	refused(p, bad, "as bf16, which does not hold what is in K : f32");
	bad = s, bad.stream[0].stages = 2;
	refused(p, bad, "where rows are in the lanes only");
	bad = s, bad.stream[0].wide_tile = 64;
	refused(p, bad, "tasks have all of the wide index");
	bad = device, bad.compute = DTYPE_F64;
	refused(p, bad, "devices are given f32 programs only");
	bad = device, bad.stream[0].contract[0].rows = 24;
	refused(p, bad, "a warp has 16 or 32 rows, not 24");
	bad = device, bad.stream[0].contract[1].rows = 32;
	refused(p, bad, "32 rows a warp, where the stream's first contraction has 16");
	bad = device, bad.stream[0].contract[0].lanes++;
	refused(p, bad, "a warp has all lanes of a tile");
	bad = device, bad.stream[0].contract[0].pack = true;
	refused(p, bad, "nothing is packed on a device");
	bad = device, bad.stream[0].contract[0].operand = OPERAND_BF16;
	refused(p, bad, "as bf16, which does not hold what is in K : f32");
	bad = device, bad.stream[0].contract[1].operand = OPERAND_I8;
	refused(p, bad, "as i8 where its operands are not elements of i8 tensors");
	bad = device, bad.stream[0].row_tile = 17 * 16;
	refused(p, bad, "are not 1 to 16 warps of 16");
	bad = device, bad.stream[0].row_tile = 24;
	refused(p, bad, "are not 1 to 16 warps of 16");
	bad = device, bad.stream[0].stream_tile = 24, schedule_device_lanes(p, &bad, 0);
	refused(p, bad, "a tile of 24 is no multiple of 16");
	bad = device, bad.stream[0].stages = 5;
	refused(p, bad, "5 stages, where 4 are the most");
	bad = device, bad.stream[0].wide_tile = 24, schedule_device_lanes(p, &bad, 0);
	refused(p, bad, "no multiple of 16");
	bad = device, bad.stream[0].row_tile = 256, bad.stream[0].stream_tile = 512, schedule_device_lanes(p, &bad, 0);
	refused(p, bad, "registers a thread, where 192 threads have 255 each");
	bad = device, bad.stream[0].row_tile = 64, bad.stream[0].stages = 4;
	refused(p, bad, "bytes of shared memory a block, which may have 101376");
	bad = device, bad.stream[0].contract[0].operand = bad.stream[0].contract[1].operand = OPERAND_TF32;
	ok(!schedule_illegal(&a, p, &bad) && round_trips(&a, p, &bad), "tf32 where a schedule says so");
	static const char few[] = "isa sm80\nstream m for b h n\n  tile m:32 down stages 2\n";
	diags_init(&d, &a, "schedule", few, strlen(few));
	ok(schedule_parse(p, few, strlen(few), &bad, &d) && !schedule_illegal(&a, p, &bad) &&
	           bad.stream[0].contract[0].lanes == 4 && bad.stream[0].stages == 2,
	   "lanes that a text says nothing of follow from its tiles");

	static const char *const broken[][2] = {
	        {"isa avx9000\n", "unknown instruction set; known: scalar avx2 avx512 avx512bf16 neon sm80"},
	        {"fuse some\n", "fuse is all or none"},
	        {"stream q for b\n", "walks"},
	        {"stream m for b h n\n  rows n:0\n", "a number from 1"},
	        {"stream m for b h n\n  contract Z rows n:6 lanes m:4\n", "no such contraction"},
	        {"stream m for b h n\n  tiles m:64\n", "expected rows, tile"},
	        {"stream m for b h n\n  tile m:64 up stages 9\n", "stages are 0 to 8"},
	        {"stream m for b h n\n  tile m:64 up stages\n", "stages are 0 to 8"},
	        {"stream m for b h n\n  tile m:64 up slowly\n", "expected 'stages'"},
	        {"stream m for b h n\n  wide m:64\n", "expected 'e:'"},
	        {"stream m for b h n\n  contract S rows n:16 lanes m:8 as f64\n", "operands are multiplied as"},
	        {"stream m for b h n\n  contract S rows n:16 lanes m:8 as\n", "operands are multiplied as"},
	        {"stream m for b h n\n  contract S rows n:16 lanes m:8 as bf16 packed\n", "expected 'pack'"},
	        {"stream m for b h n\nstream m for b h n\nstream m for b h n\n", "streams only"},
	};
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
		diags_init(&d, &a, "schedule", broken[i][0], strlen(broken[i][0]));
		bool good = schedule_parse(p, broken[i][0], strlen(broken[i][0]), &bad, &d);
		ok(!good && d.list.n && strstr(d.list.v[0].message, broken[i][1]), "schedule text: %s",
		   d.list.n ? d.list.v[0].message : "(accepted)");
	}
	arena_free(&a);
}

static struct problem *sized(struct arena *a, const char *path, int64_t extent, struct diags *d)
{
	size_t size = 0;
	char *source = slurp(a, path, &size);
	diags_init(d, a, path, source, size);
	struct cascade *c = cascade_parse(a, source, size, NULL, 0, d);
	for (uint32_t i = 0; i < c->rank.n; i++)
		c->rank.v[i].extent = strchr("NM", *c->rank.v[i].name) ? extent : strchr("DE", *c->rank.v[i].name) ? 64 : 8;
	return problem_new(a, c, &machine, d);
}

/* How a predicate's tiles are skipped: by rule, and with reasons where a schedule cannot be. */
static void test_sparsity(void)
{
	struct arena a;
	arena_init(&a);
	struct diags d;
	struct problem *causal = sized(&a, "examples/flash_causal_gqa.att", 1024, &d),
	               *documents = sized(&a, "examples/document_mask.att", 1024, &d),
	               *blocks = sized(&a, "bench/sparse/blocks.att", 1024, &d),
	               *window = sized(&a, "bench/sparse/window.att", 2048, &d),
	               *full = sized(&a, "examples/cross_attention.att", 1024, &d);
	struct schedule s = schedule_default(causal, ISA_AVX512), bad;
	ok(s.stream[0].sparsity == SPARSITY_BOUNDS && !s.stream[0].granule, "causal: bounds say all of it");
	bad = s, bad.stream[0].granule = 64;
	refused(causal, bad, "sparsity bounds has no granule");
	bad = s, bad.stream[0].sparsity = SPARSITY_LIST;
	refused(causal, bad, "a list has granules of at least one coordinate");

	for (enum isa isa = ISA_AVX2; isa <= ISA_AVX512; isa++) {
		s = schedule_default(window, isa);
		ok(!s.stream[0].across && s.stream[0].sparsity == SPARSITY_BOUNDS &&
		           s.stream[0].stream_tile >= 512 + s.stream[0].row_tile - 1 && s.stream[0].stream_tile < 700,
		   "a window of 512: a tile holds what %d rows see, %d keys", (int)s.stream[0].row_tile,
		   (int)s.stream[0].stream_tile);
		ok(!s.stream[0].heavy_first, "… and no task is heavier than another");
	}
	s = schedule_default(documents, ISA_AVX512);
	ok(s.stream[0].across && s.stream[0].sparsity == SPARSITY_LIST && s.stream[0].granule == 8 && s.stream[0].row_tile == 32 &&
	           s.stream[0].granule_rows == 16 && round_trips(&a, documents, &s),
	   "documents: rows in the lanes, lists as fine as a block of keys, which tell vectors of rows apart");
	bad = s, bad.stream[0].granule_rows = 8;
	refused(documents, bad, "blocks of 8 rows are no vectors of 16 lanes");
	bad = s, bad.stream[0].sparsity = SPARSITY_TEST;
	refused(documents, bad, "only lists of rows in the lanes tell blocks of rows apart");

	s = schedule_default(blocks, ISA_AVX512);
	ok(s.stream[0].sparsity == SPARSITY_LIST && s.stream[0].granule == 128 && s.stream[0].row_tile == 128,
	   "blocks of 128: rows and granules keep to them");
	ok(schedule_default(blocks, ISA_SM80).stream[0].sparsity == SPARSITY_TEST, "on a device tiles are tested");
	ok(schedule_naive(blocks, ISA_AVX512).stream[0].sparsity != SPARSITY_LIST, "the naive form has no lists");

	s = schedule_default(documents, ISA_AVX2);
	ok(s.stream[0].sparsity == SPARSITY_LIST && s.stream[0].granule == 16 && round_trips(&a, documents, &s),
	   "documents: lists, a panel a granule");
	bad = s, bad.stream[0].granule = 40;
	refused(documents, bad, "a granule of 40 is no multiple of the 16 lanes of a panel");
	bad = s, bad.stream[0].sparsity = SPARSITY_TEST, bad.stream[0].granule = 96;
	refused(documents, bad, "a tile of 512 is not cut into granules of 96");
	bad = s, bad.stream[0].sparsity = SPARSITY_MASK;
	refused(documents, bad, "sparsity mask has no granule");
	bad = schedule_default(documents, ISA_SM80), bad.stream[0].sparsity = SPARSITY_LIST, bad.stream[0].granule = 64;
	refused(documents, bad, "a device walks no lists");
	s = schedule_default(full, ISA_AVX512);
	bad = s, bad.stream[0].sparsity = SPARSITY_LIST, bad.stream[0].granule = 64;
	refused(full, bad, "has no predicate to list its tiles by");
	struct problem *small = sized(&a, "examples/document_mask.att", 40, &d);
	ok(schedule_default(small, ISA_AVX512).stream[0].sparsity == SPARSITY_TEST, "a short walk is not worth a list");

	static const char *const texts[] = {"test", "test:64", "list:128", "list:8 by n:16", "mask"};
	for (int i = 0; i < 5; i++) {
		const char *text = arena_printf(&a, "isa avx512\nstream m for b h n\n  sparsity %s\n", texts[i]);
		struct text printed;
		text_init(&printed, &a);
		diags_init(&d, &a, "schedule", text, strlen(text));
		bool good = schedule_parse(documents, text, strlen(text), &bad, &d);
		schedule_print(documents, &bad, &printed);
		ok(good && strstr(printed.s, arena_printf(&a, "sparsity %s\n", texts[i])), "sparsity %s both ways", texts[i]);
	}
	static const char wrong[] = "stream m for b h n\n  sparsity lists\n";
	diags_init(&d, &a, "schedule", wrong, strlen(wrong));
	bool accepted = schedule_parse(documents, wrong, strlen(wrong), &bad, &d);
	ok(!accepted && strstr(d.list.v[0].message, "bounds, test, list or mask"), "another word is refused");
	arena_free(&a);
}

/* Plain attention of so many queries with so many keys. */
static struct problem *of_queries(struct arena *a, int64_t n, int64_t m, struct diags *d)
{
	size_t size = 0;
	char *source = slurp(a, "examples/cross_attention.att", &size);
	const int64_t extent[] = {1, 4, n, m, 64, 64};
	diags_init(d, a, "cross_attention", source, size);
	struct cascade *c = cascade_parse(a, source, size, NULL, 0, d);
	for (int i = 0; i < 6; i++)
		c->rank.v[cascade_find_rank(c, (const char *[]){"B", "H", "N", "M", "D", "E"}[i])].extent = extent[i];
	return problem_new(a, c, &machine, d);
}

/* A copy of the keys, turned, is made where it is used often enough to pay. */
static void test_packing(void)
{
	struct arena a;
	jmp_buf env;
	struct diags d;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "memory");
		return;
	}
	const int64_t extent[] = {2, 8, 1024};
	for (size_t i = 0; i < sizeof extent / sizeof *extent; i++) {
		const struct problem *p = of_queries(&a, extent[i], 512, &d);
		struct schedule s = schedule_default(p, ISA_AVX2);
		ok(s.stream[0].contract[0].pack == (extent[i] > 16), "keys for %d queries are %s", (int)extent[i],
		   extent[i] > 16 ? "packed" : "read where they stand");
		uint32_t phases[2] = {0};
		for (int packed = 0; packed < 2; packed++) {
			s.stream[0].contract[0].pack = packed;
			s.stream[0].contract[0].step = s.stream[0].contract[0].stages = 0;
			struct tile_program *t = tile_build(&a, p, &s);
			struct text why;
			text_init(&why, &a);
			if (!schedule_illegal(&a, p, &s) && tile_check(t, &why))
				phases[packed] = t->phase.n;
		}
		ok(phases[0] && phases[1] == phases[0] + 1, "a schedule may say either, and a copy is a phase more");
	}
	for (enum isa isa = ISA_SCALAR; isa < HOST_ISAS; isa++)
		for (int64_t n = 16; n <= 1024; n *= 4)
			for (int64_t m = 256; m <= 4096; m *= 4) {
				const struct problem *p = of_queries(&a, n, m, &d);
				struct schedule s = schedule_default(p, isa);
				bool across = isa == ISA_AVX2 && n >= 64 && (m == 4096 || n == 256 || (n == 64 && m == 1024));
				if (isa_info[isa].lanes < 16)
					ok(s.stream[0].across == across && !schedule_illegal(&a, p, &s),
					   "%d queries of %d keys %s vectors of %d", (int)n, (int)m, across ? "lie in" : "do not lie in",
					   isa_info[isa].lanes);
			}
	arena_free(&a);
}

/* Heads that share what they read: every core has some tasks, the next tile is asked for, and what is read once comes
 * in steps of 8 KiB. */
static void test_shared(void)
{
	struct arena a;
	arena_init(&a);
	struct diags d;
	size_t size = 0;
	char *source = slurp(&a, "examples/mla_absorbed_decode.att", &size);
	diags_init(&d, &a, "mla", source, size);
	struct cascade *c = cascade_parse(&a, source, size, NULL, 0, &d);
	static const struct {
		char rank;
		int64_t extent;
	} of[] = {{'B', 4}, {'H', 128}, {'N', 1}, {'M', 2048}, {'R', 512}, {'P', 64}, {'D', 128}, {'E', 128}};
	for (uint32_t i = 0; i < c->rank.n; i++)
		for (size_t k = 0; k < sizeof of / sizeof *of; k++)
			if (*c->rank.v[i].name == of[k].rank)
				c->rank.v[i].extent = of[k].extent;
	for (int cores = 1; cores <= 8; cores *= 2) {
		struct machine m = machine;
		m.cores = cores;
		struct problem *p = problem_new(&a, c, &m, &d);
		struct schedule s = schedule_default(p, ISA_AVX512);
		const struct stream_schedule *x = &s.stream[1];
		ok(x->across && x->row_tile % 32 == 0 && (4 * 128 / x->row_tile >= 3 * cores || x->row_tile == 32),
		   "%d cores: %d heads a task", cores, (int)x->row_tile);
		ok(x->stream_tile == 64 && x->stages == 2, "a tile of %d, keys and values at once, asked for ahead", (int)x->stream_tile);
		ok(s.stream[0].contract[0].step * 512 * 4 == 8 << 10 && s.stream[2].contract[0].step * 128 * 4 == 8 << 10,
		   "weights in steps of %d and %d rows", s.stream[0].contract[0].step, s.stream[2].contract[0].step);
	}
	arena_free(&a);
}

int main(void)
{
	for (size_t i = 0; i < PLAIN_EXAMPLES; i++)
		for (int isa = 0; isa < ISAS; isa++)
			test_example(plain_example[i], (enum isa)isa);
	for (size_t i = 0; i < PLAIN_EXAMPLES; i++)
		test_need(plain_example[i]);
	test_reasons();
	test_sparsity();
	test_packing();
	test_shared();
	return tap_done();
}
