/* model_test.c: the static model of a device orders what ought to be ordered. */
#include <math.h>
#include <stdio.h>

#include "dsl/parse.h"
#include "search/model.h"
#include "codegen/schedule.h"
#include "tests/tap.h"

struct shape {
	int64_t h, n, m, d;
};
static const struct shape decode = {8, 1, 65536, 128}, long_context = {16, 8192, 8192, 128};

static struct machine device(int capability)
{
	struct machine m;
	if (!capability_machine(capability, &m))
		m = (struct machine){0};
	return m;
}

static struct problem *problem(struct arena *a, const char *path, const struct shape *s, bool half,
                               const struct machine *m)
{
	static char text[1 << 16];
	struct diags d;
	FILE *f = fopen(path, "rb");
	size_t size = f ? fread(text, 1, sizeof text, f) : 0;
	if (f)
		fclose(f);
	diags_init(&d, a, path, text, size);
	struct cascade *c = cascade_parse(a, text, size, NULL, 0, &d);
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND) {
			char r = *c->rank.v[i].name;
			c->rank.v[i].extent = r == 'B'   ? 1
			                      : r == 'H' ? s->h
			                      : r == 'N' ? s->n
			                      : r == 'M' ? s->m
			                                 : s->d;
		}
	for (uint32_t i = 0; c && half && i < c->tensor.n; i++)
		if (c->tensor.v[i].role != ROLE_LOCAL && c->tensor.v[i].nranks > 3)
			c->tensor.v[i].dtype = DTYPE_BF16;
	return c ? problem_new(a, c, m, &d) : NULL;
}

static double seconds(struct arena *a, const struct problem *p, const struct schedule *s,
                      const struct resources *each)
{
	const char *why = schedule_illegal(a, p, s);
	if (why) {
		printf("# %s\n", why);
		return NAN;
	}
	struct tile_program *t = tile_build(a, p, s);
	struct device_need need = schedule_device_need(p, s, 0);
	struct kernel_source k = {.nphases = (int)t->phase.n};
	k.phase = arena_new_array(a, (size_t)k.nphases, struct kernel_phase);
	for (int i = 0; i < k.nphases; i++)
		k.phase[i] =
		        (struct kernel_phase){.threads = need.threads, .shared_bytes = i ? 0 : need.shared};
	struct resources *known = each ? arena_new_array(a, (size_t)k.nphases, struct resources) : NULL;
	for (int i = 0; known && i < k.nphases; i++)
		known[i] = *each;
	return model_seconds(t, &k, known, p->machine);
}

static void test_split(int capability)
{
	struct arena a;
	arena_init(&a);
	struct machine m = device(capability);
	struct problem *p = problem(&a, "examples/cross_attention.att", &decode, true, &m);
	struct schedule s = schedule_default(p, ISA_SM80);
	double last = INFINITY;
	for (int split = 1; split * decode.h <= m.processors; split *= 2) {
		s.stream[0].split = split;
		double now = seconds(&a, p, &s, NULL);
		ok(now < last, "sm_%d, decode: %d parts take %.0f µs, fewer %.0f", capability, split,
		   now * 1e6, last * 1e6);
		last = now;
	}
	s.stream[0].split = 1024;
	double many = seconds(&a, p, &s, NULL),
	       bytes = 2.0 * 2 * (double)decode.h * (double)decode.m * (double)decode.d;
	ok(many > last, "… and 1024 more again: %.0f µs", many * 1e6);
	ok(last > bytes / m.bandwidth, "… never quicker than memory brings %.0f MB", bytes / 1e6);
	arena_free(&a);
}

static void test_tiles(void)
{
	struct arena a;
	arena_init(&a);
	struct machine m = device(90);
	struct problem *p = problem(&a, "examples/flash_causal_gqa.att", &long_context, true, &m);
	struct schedule s = schedule_default(p, ISA_SM80), small;
	s.stream[0].stream_tile = 32;
	schedule_device_lanes(p, &s, 0);
	small = s;
	small.stream[0].stream_tile = 16;
	schedule_device_lanes(p, &small, 0);
	double usual = seconds(&a, p, &s, NULL), fine = seconds(&a, p, &small, NULL);
	ok(usual < fine, "long context: a tile of %d keys %.2f ms, of 16 %.2f", (int)s.stream[0].stream_tile,
	   usual * 1e3, fine * 1e3);
	small = s;
	small.stream[0].row_tile = 16;
	for (int k = 0; k < small.stream[0].ncontracts; k++)
		small.stream[0].contract[k].rows = 16;
	fine = seconds(&a, p, &small, NULL);
	ok(usual < fine, "… a block of %d rows %.2f ms, of 16 %.2f", (int)s.stream[0].row_tile, usual * 1e3,
	   fine * 1e3);
	small = s;
	small.stream[0].stages = 0;
	fine = seconds(&a, p, &small, NULL);
	ok(usual < fine, "… copies ahead %.2f ms, waited for %.2f", usual * 1e3, fine * 1e3);
	small = s;
	small.stream[0].sparsity = SPARSITY_MASK;
	fine = seconds(&a, p, &small, NULL);
	ok(1.5 * usual < fine, "… empty tiles left out %.2f ms, masked %.2f", usual * 1e3, fine * 1e3);
	double flop =
	        2.0 * 2 * (double)(long_context.h * long_context.n * long_context.m * long_context.d) / 2;
	double share = flop / usual / m.tensor_flops;
	ok(share > 0.15 && share < 0.62, "… at %.2f of the tensor cores' peak", share);
	p = problem(&a, "examples/flash_causal_gqa.att", &long_context, false, &m);
	s = schedule_default(p, ISA_SM80);
	double full = seconds(&a, p, &s, NULL);
	ok(2 * usual < full, "… and in f32, on plain cores, %.2f ms", full * 1e3);
	arena_free(&a);
}

static void test_resources(void)
{
	struct arena a;
	arena_init(&a);
	struct machine m = device(80);
	struct problem *p = problem(&a, "examples/cross_attention.att", &long_context, true, &m);
	struct schedule s = schedule_default(p, ISA_SM80);
	struct resources two = {.registers = 128, .blocks = 2}, one = two, spilled = two, more = two,
	                 bad = two, none = two;
	one.blocks = 1;
	spilled.spill_stores = 64;
	more.spill_stores = more.spill_loads = 64;
	bad.reject = "C7512: …";
	none.blocks = 0;
	s.stream[0].split = 0;
	double t = seconds(&a, p, &s, &two);
	ok(isfinite(t) && t > 0, "two blocks a multiprocessor: %.2f ms", t * 1e3);
	ok(seconds(&a, p, &s, &one) >= t, "one is no better: %.2f ms", seconds(&a, p, &s, &one) * 1e3);
	ok(seconds(&a, p, &s, &spilled) > t, "a spill is worse: %.2f ms", seconds(&a, p, &s, &spilled) * 1e3);
	ok(seconds(&a, p, &s, &more) > seconds(&a, p, &s, &spilled), "… and more of it worse still");
	ok(isinf(seconds(&a, p, &s, &bad)), "what the log rejects costs infinity");
	ok(isinf(seconds(&a, p, &s, &none)), "… and what fits no multiprocessor");
	struct machine half = m;
	half.processors /= 2;
	half.tensor_flops /= 2;
	half.bandwidth /= 2;
	p->machine = &half;
	ok(seconds(&a, p, &s, &two) > 1.8 * t, "half a device takes twice as long");
	arena_free(&a);
}

int main(void)
{
	test_split(80);
	test_split(90);
	test_tiles();
	test_resources();
	return tap_done();
}
