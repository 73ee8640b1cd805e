/* resources.c: the assembler's log of a kernel, and how many of its blocks a multiprocessor holds.
 *
 * Occupancy follows NVIDIA's occupancy calculator: registers go to a warp in units of 256, a quarter of the
 * registers and warps is each scheduler's, shared memory comes in units of 128 bytes, and the system takes 1
 * KiB of it a block.
 */
#include "targets/resources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { WARP = 32, SCHEDULERS = 4, REGISTER_UNIT = 256, SHARED_UNIT = 128, SHARED_SYSTEM = 1024 };

#define KIB(n) ((int64_t)(n) << 10)
#define MIB(n) ((int64_t)(n) << 20)
/* clang-format off */
static const struct capability capabilities[] = {
	{ 80, "sm_80",  64, 32, 65536, KIB(164), KIB(163),  64, 2048, "A100 80 GB",             108, 1.41e9, 2.039e12, MIB(40)},
	{ 86, "sm_86",  48, 16, 65536, KIB(100), KIB(99),  128, 1024, "A40",                     84, 1.74e9, 0.696e12, MIB(6)},
	{ 87, "sm_87",  48, 16, 65536, KIB(164), KIB(163), 128, 2048, "Jetson AGX Orin",         16, 1.30e9, 0.205e12, MIB(4)},
	{ 89, "sm_89",  48, 24, 65536, KIB(100), KIB(99),  128, 1024, "L40S",                   142, 2.52e9, 0.864e12, MIB(96)},
	{ 90, "sm_90",  64, 32, 65536, KIB(228), KIB(227), 128, 4096, "H100 SXM",               132, 1.83e9, 3.352e12, MIB(50)},
	{100, "sm_100", 64, 32, 65536, KIB(228), KIB(227), 128, 8192, "B200",                   148, 1.85e9, 8.000e12, MIB(126)},
	{103, "sm_103", 64, 32, 65536, KIB(228), KIB(227), 128, 8192, "B300",                   148, 1.85e9, 8.000e12, MIB(126)},
	{110, "sm_110", 48, 24, 65536, KIB(228), KIB(227), 128, 8192, "Jetson Thor",             20, 1.57e9, 0.273e12, MIB(32)},
	{120, "sm_120", 48, 24, 65536, KIB(100), KIB(99),  128, 1024, "RTX PRO 6000 Blackwell", 188, 2.62e9, 1.792e12, MIB(128)},
	{121, "sm_121", 48, 24, 65536, KIB(100), KIB(99),  128, 1024, "GB10",                    48, 2.50e9, 0.273e12, MIB(24)},
};
/* clang-format on */
enum { CAPABILITIES = sizeof capabilities / sizeof *capabilities };

const struct capability *capability_find(int capability)
{
	for (int i = 0; i < CAPABILITIES; i++)
		if (capabilities[i].capability == capability)
			return &capabilities[i];
	return NULL;
}

bool capability_machine(int capability, struct machine *m)
{
	const struct capability *c = capability_find(capability);
	if (!c)
		return false;
	*m = (struct machine){
	        .isa = ISA_SM80,
	        .vendor = "NVIDIA",
	        .cores = c->processors,
	        .l2 = c->l2,
	        .l3 = c->l2,
	        .peak_flops = 2.0 * c->lanes * c->clock,
	        .bandwidth = c->bandwidth,
	        .processors = c->processors,
	        .shared = c->shared_block,
	        .shared_all = c->shared,
	        .capability = capability,
	        .tensor_flops = c->tensor * c->clock * c->processors,
	};
	snprintf(m->model_name, sizeof m->model_name, "NVIDIA %s (not at hand)", c->device);
	return true;
}

/* ---- the log ---- */

static int64_t up(int64_t n, int64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* The most important first: on a tie the earlier one is named. */
static void occupancy(struct resources *r, const struct kernel_phase *phase, const struct capability *c)
{
	if (!c || phase->threads < 1) {
		r->blocks = -1;
		return;
	}
	int64_t warps = up(phase->threads, WARP) / WARP;
	int64_t each = up((int64_t)r->registers * WARP, REGISTER_UNIT);
	int64_t held = each ? c->registers / SCHEDULERS / each * SCHEDULERS : c->warps;
	int64_t shared = up(r->shared + phase->shared_bytes + SHARED_SYSTEM, SHARED_UNIT);
	/* A launch is checked as if its warps were spread evenly over the schedulers. */
	if (each * up(warps, SCHEDULERS) > c->registers)
		held = 0;
	const struct {
		const char *name;
		int64_t blocks;
	} limit[] = {{"registers", held / warps},
	             {"shared memory", c->shared / shared},
	             {"warps", c->warps / warps},
	             {"blocks", c->blocks}};
	int64_t blocks = c->blocks;
	for (int i = 3; i >= 0; i--)
		if (limit[i].blocks <= blocks) {
			blocks = limit[i].blocks;
			r->bound = limit[i].name;
		}
	if (r->shared + phase->shared_bytes > c->shared_block) {
		blocks = 0;
		r->bound = "shared memory";
	}
	r->blocks = (int)blocks;
	r->occupancy = (double)(blocks * warps) / c->warps;
}

/* The number before `word` in the line, or 0. */
static int before(const char *line, const char *end, const char *word)
{
	const char *at = strstr(line, word);
	if (!at || at >= end)
		return 0;
	while (at > line && at[-1] == ' ')
		at--;
	while (at > line && at[-1] >= '0' && at[-1] <= '9')
		at--;
	return atoi(at);
}

/* What stands between quotes after `word`, as one of the kernels: its number, or -1. */
static int named(const char *line, const char *end, const char *word, const struct kernel_source *source)
{
	const char *at = strstr(line, word);
	if (!at || at >= end)
		return -1;
	at += strlen(word);
	for (int i = 0; i < source->nphases; i++) {
		size_t n = strlen(source->phase[i].symbol);
		if (!strncmp(at, source->phase[i].symbol, n) && at[n] == '\'')
			return i;
	}
	return -1;
}

static void add(struct arena *arena, const char **list, const char *remark)
{
	*list = *list ? arena_printf(arena, "%s; %s", *list, remark) : remark;
}

/* Codes by which the assembler says that it made something slow of what was fast: accumulators of wgmma that
 * did not fit (7512), were read before their wait (7514) or crossed a call (7509), and a setmaxnreg it
 * ignored (7504). What it says of other serialised wgmma is the same news. */
static bool bad(const char *remark)
{
	static const char *const code[] = {"C7504", "C7509", "C7512", "C7514"};
	for (size_t i = 0; i < sizeof code / sizeof *code; i++)
		if (!strncmp(remark, code[i], strlen(code[i])))
			return true;
	return strstr(remark, "are serialized") != NULL;
}

/* "(C7512) Potential …" and warnings; of one kernel, or of all when it is not said of which. */
static void read_remark(struct arena *arena, const char *line, const char *end,
                        const struct kernel_source *source, struct resources *r, int current)
{
	const char *code = strstr(line, "(C"), *warning = strstr(line, "warning"), *at = NULL;
	if (code && code < end)
		at = code + 1;
	else if (warning && warning < end && (at = strchr(warning, ':')))
		at += at[1] == ' ' ? 2 : 1;
	if (!at || at >= end)
		return;
	char *remark = arena_strndup(arena, at, (size_t)(end - at));
	char *close = strchr(remark, ')');
	if (at[-1] == '(' && close)
		*close = ':';
	int of = named(line, end, "function '", source);
	of = of >= 0 ? of : current;
	for (int i = of >= 0 ? of : 0; i < (of >= 0 ? of + 1 : source->nphases); i++)
		add(arena, bad(remark) ? &r[i].reject : &r[i].notes, remark);
}

static void judge(struct arena *arena, struct resources *r, const struct kernel_phase *phase,
                  const struct capability *c)
{
	if (!r->registers)
		add(arena, &r->reject, "the log does not tell of it");
	if (r->spill_stores || r->spill_loads)
		add(arena, &r->reject,
		    arena_printf(arena, "spills %d bytes", r->spill_stores + r->spill_loads));
	else if (r->stack)
		add(arena, &r->notes, arena_printf(arena, "%d bytes of stack", r->stack));
	occupancy(r, phase, c);
	if (r->registers && !r->blocks)
		add(arena, &r->reject,
		    arena_printf(
		            arena,
		            "no block of %d threads, %d registers each and %lld bytes of shared memory fits",
		            phase->threads, r->registers, (long long)(r->shared + phase->shared_bytes)));
}

struct resources *resources_of_log(struct arena *arena, const char *log, const struct kernel_source *source,
                                   int capability)
{
	const struct capability *c = capability_find(capability);
	struct resources *r = arena_new_array(arena, (size_t)source->nphases + 1, struct resources);
	int current = -1;
	for (const char *line = log, *next; *line; line = next) {
		const char *end = line + strcspn(line, "\n");
		next = *end ? end + 1 : end;
		int entry = named(line, end, "Compiling entry function '", source);
		if (entry >= 0)
			current = entry;
		read_remark(arena, line, end, source, r, current);
		if (current < 0)
			continue;
		/* Functions that are called tell their frames too, before the kernel tells its registers. */
		struct resources *k = &r[current];
		k->stack += before(line, end, "bytes stack frame");
		k->spill_stores += before(line, end, "bytes spill stores");
		k->spill_loads += before(line, end, "bytes spill loads");
		int registers = before(line, end, "registers");
		if (registers) {
			const char *used = strstr(line, ", used ");
			k->registers = registers;
			k->barriers = used && used < end ? atoi(used + 7) : 0;
			k->shared = before(line, end, "bytes smem");
		}
	}
	for (int i = 0; i < source->nphases; i++) {
		r[i].kernel = source->phase[i].symbol;
		judge(arena, &r[i], &source->phase[i], c);
	}
	return r;
}
