/* ahead_test.c: what contractions ask for of the tile of their operands that comes next. The text is compiled with asking
 * noted: every line of each tile but the first must be asked for; by the micro-kernels, a part of a line at every step,
 * where a row's elements are adjacent, else once. */
#include <stdlib.h>
#include <string.h>

#include "codegen/schedule.h"
#include "dsl/parse.h"
#include "targets/target.h"
#include "tests/tap.h"

enum { TILE = 128, D = 64, LINE = 64, MOST = 1 << 16 };

static const char kernel[] = "kernel test\nrank N, M, D\nin Q[N, D], K[M, D], V[M, D] : f32\nout O[N, D] : f32\nindex e : D\n"
                             "S[n,m] = Q[n,d] * K[m,d]\nP = softmax[m](S)\nO[n,e] = P[n,m] * V[m,e]\n";
static const char asking[] = "INLINE void v_ahead(const void *p) { __builtin_prefetch(p); }";
static const char noting[] = "const void *asked[65536]; long asks; INLINE void v_ahead(const void *p) { asked[asks++] = p; }";

static const struct {
	const char *name;
	int m, gap, unit; /* keys; elements between rows; from one of a row to the next */
	bool one_a_step;
} cases[] = {{"adjacent rows", 3 * TILE, 0, 1, true},
             {"… the last tile short", 2 * TILE + 40, 0, 1, true},
             {"rows apart", 3 * TILE, 80, 1, true},
             {"elements apart", 3 * TILE, 0, 2, false}};
enum { CASES = sizeof cases / sizeof *cases };

static struct tile_program *build(struct arena *a, enum isa isa, int m, struct text *why)
{
	struct machine machine = {.isa = isa, .cores = 1, .l1 = 32 << 10, .l2 = 1 << 20, .l3 = 16 << 20};
	int rows = 2 * isa_info[isa].lanes;
	struct schedule s;
	struct diags d;
	diags_init(&d, a, "test", kernel, strlen(kernel));
	struct cascade *c = cascade_parse(a, kernel, strlen(kernel), NULL, 0, &d);
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		c->rank.v[i].extent = *c->rank.v[i].name == 'N' ? rows : *c->rank.v[i].name == 'M' ? m : D;
	struct problem *p = c ? problem_new(a, c, &machine, &d) : NULL;
	const char *text = arena_printf(a,
	                                "isa %s\nfuse all\nstream m for n\n  rows n:%d\n  tile m:%d up stages 2\n"
	                                "  contract S rows m:4 lanes n:2\n  contract O_sum rows e:4 lanes n:2\n",
	                                isa_info[isa].name, rows, TILE);
	diags_print(&d, why);
	if (!p)
		return NULL;
	diags_init(&d, a, "schedule", text, strlen(text));
	if (!schedule_parse(p, text, strlen(text), &s, &d)) {
		diags_print(&d, why);
		return NULL;
	}
	struct tile_program *program = tile_build(a, p, &s);
	return tile_check(program, why) ? program : NULL;
}

/* Lines of the rows from the second tile on that nobody asked for. */
static int missed(const float *at, int m, long stride, int unit, const void **asked, long asks)
{
	int n = 0;
	for (int row = TILE; row < m; row++)
		for (int i = 0; i < D; i += LINE / 4) {
			const char *line = (const char *)(at + row * stride + i * unit);
			bool found = false;
			for (long k = 0; k < asks && !found; k++)
				found = (const char *)asked[k] >= line && (const char *)asked[k] < line + LINE;
			n += !found;
		}
	return n;
}

static void one(enum isa isa, int number)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "%s: memory", cases[number].name);
		return;
	}
	int n = 2 * isa_info[isa].lanes, m = cases[number].m, unit = cases[number].unit;
	long stride = D * unit + cases[number].gap;
	struct text why;
	struct object object;
	struct target_options options = {.isa = isa, .optimise = 1};
	text_init(&why, &a);
	struct tile_program *p = build(&a, isa, m, &why);
	struct kernel_source k = p ? emit_c(&a, p, isa, 5) : (struct kernel_source){0};
	const char *at = k.text ? strstr(k.text, asking) : NULL;
	const char *text = at ? arena_printf(&a, "%.*s%s%s", (int)(at - k.text), k.text, noting, at + strlen(asking)) : NULL;
	struct module *module = text && target_clang.compile(text, &options, &object, &why)
	                                ? target_clang.load(&object, &options, &why)
	                                : NULL;
	if (!ok(module && k.nphases == 1, "%s, %s: compiled %s", cases[number].name, isa_info[isa].name, why.s)) {
		arena_free(&a);
		return;
	}
	const int64_t strides[] = {stride, unit}, *all[] = {strides, strides, strides, strides};
	void *data[4];
	for (int i = 0; i < 4; i++) {
		size_t bytes = (size_t)((i % 3 ? m : n) * stride) * sizeof(float);
		data[i] = memset(aligned_alloc(LINE, bytes), 0, bytes);
	}
	struct at_args args = {data, all, aligned_alloc(LINE, (size_t)k.work_bytes / LINE * LINE + LINE)};
	void *scratch = aligned_alloc(LINE, (size_t)k.scratch_bytes / LINE * LINE + LINE);
	const void **asked = target_clang.symbol(module, "asked");
	long *asks = target_clang.symbol(module, "asks");
	void *symbol = target_clang.symbol(module, k.phase[0].symbol);
	at_phase *phase;
	memcpy(&phase, &symbol, sizeof phase);
	phase(&args, 0, k.phase[0].tasks, scratch);
	ok(*asks > 0 && *asks < MOST && !missed(data[1], m, stride, unit, asked, *asks), "%s: every line of K", cases[number].name);
	ok(!missed(data[2], m, stride, unit, asked, *asks), "%s: every line of V", cases[number].name);
	long least = m / TILE * TILE * D * 4 / LINE * 2, steps = least * 4;
	ok(cases[number].one_a_step ? *asks >= steps : *asks == least, "%s: %s", cases[number].name,
	   cases[number].one_a_step ? "a part of one at every step" : "once, before the call");
	for (int i = 0; i < 4; i++)
		free(data[i]);
	free(args.work);
	free(scratch);
	target_clang.unload(module);
	object_free(&object);
	arena_free(&a);
}

int main(void)
{
	struct machine machine;
	machine_detect(&machine);
	for (enum isa isa = 0; isa < HOST_ISAS; isa++)
		for (int i = 0; i < CASES && isa_info[isa].lanes > 1 && isa_runs_on(isa, machine.isa); i++)
			one(isa, i);
	return tap_done();
}
