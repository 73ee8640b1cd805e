/* kernel_bench: generated kernels against the machine's peak, one thread.
 *
 *     kernel_bench [-i isa] [-n rounds] [-1] FILE.tile…
 *
 * Each file is a tile program (attune emit --stage tile). All run in turn, round after round, by thread CPU
 * time. A phase's tasks are timed in eight parts, the FMA peak is probed before each part, and a round's
 * ratio is the time its flops would take at those peaks, by the time they took: clocks that wander move both.
 * Printed are the median ratio, and the sum of each part's least time. -1: compile as while searching, not at
 * -O3. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codegen/schedule.h"
#include "dsl/dtype.h"
#include "targets/target.h"

enum { PARTS = 8, MAX_TENSORS = 32, MAX_ROUNDS = 1000 };

struct kernel {
	const char *file;
	struct tile_program *program;
	struct kernel_source source;
	struct module *module;
	void *data[MAX_TENSORS];
	const int64_t *stride[MAX_TENSORS];
	void *work, *scratch;
	at_phase **phase;
	double (*best)[PARTS], flops;
	double ratio[MAX_ROUNDS];
};

static void *buffer(int64_t bytes)
{
	return aligned_alloc(4096, (size_t)(bytes + 4096) / 4096 * 4096);
}

static bool fill(struct arena *a, struct kernel *k, uint32_t tensor, int at)
{
	const struct tile_tensor *t = &k->program->tensor.v[tensor];
	int64_t *stride = arena_new_array(a, MAX_RANKS, int64_t), n = 1;
	for (int r = t->nranks - 1; r >= 0; r--) {
		stride[r] = n;
		n *= t->extent[r];
	}
	k->stride[at] = stride;
	k->data[at] = buffer(dtype_bytes(t->dtype, n));
	if (!k->data[at])
		return false;
	uint32_t x = 1;
	for (int64_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		dtype_store(t->dtype, k->data[at], i, (double)(x >> 9) / (1 << 22) - 1);
	}
	return true;
}

static char *slurp(struct arena *a, const char *file, size_t *size)
{
	FILE *f = fopen(file, "r");
	struct text t;
	text_init(&t, a);
	char s[4096];
	for (size_t n; f && (n = fread(s, 1, sizeof s, f));)
		text_bytes(&t, s, n);
	*size = t.len;
	if (f)
		fclose(f);
	return f ? t.s : NULL;
}

static bool prepare(struct arena *a, struct kernel *k, enum isa isa, int optimise, struct text *why)
{
	size_t size;
	const char *source = slurp(a, k->file, &size);
	struct diags d;
	diags_init(&d, a, k->file, source, size);
	k->program = source ? tile_parse(a, source, size, &d) : NULL;
	diags_print(&d, why);
	if (!k->program || !tile_check(k->program, why))
		return false;
	k->source = emit_c(a, k->program, isa, 5);
	struct target_options options = {.isa = isa, .optimise = optimise};
	struct object object;
	const char *missing = target_clang.missing(a);
	if (missing)
		text_add(why, missing);
	if (missing || !target_clang.compile(k->source.text, &options, &object, why))
		return false;
	k->module = target_clang.load(&object, &options, why);
	object_free(&object);
	if (!k->module)
		return false;
	int arguments = 0;
	for (uint32_t i = 0; i < k->program->tensor.n; i++)
		if (k->program->tensor.v[i].place == PLACE_ARGUMENT && !fill(a, k, i, arguments++))
			return false;
	k->work = buffer(k->source.work_bytes);
	k->scratch = buffer(k->source.scratch_bytes);
	memset(k->work, 0, (size_t)k->source.work_bytes);
	memset(k->scratch, 0, (size_t)k->source.scratch_bytes);
	k->phase = arena_new_array(a, (size_t)k->source.nphases, at_phase *);
	k->best = arena_alloc(a, sizeof *k->best * (size_t)k->source.nphases);
	for (int p = 0; p < k->source.nphases; p++) {
		void *code = target_clang.symbol(k->module, k->source.phase[p].symbol);
		memcpy(&k->phase[p], &code, sizeof code);
		for (int i = 0; i < PARTS; i++)
			k->best[p][i] = INFINITY;
	}
	return true;
}

static void run(struct kernel *k, enum isa isa, int round)
{
	struct at_args args = {k->data, k->stride, k->work};
	double possible = 0; /* flop in the time it took, at the peaks met */
	for (int p = 0; p < k->source.nphases; p++)
		for (int i = 0; i < PARTS; i++) {
			long tasks = k->source.phase[p].tasks, from = tasks * i / PARTS,
			     to = tasks * (i + 1) / PARTS;
			double peak = machine_peak_probe(isa), start = thread_seconds();
			k->phase[p](&args, from, to, k->scratch);
			double took = thread_seconds() - start;
			possible += took * peak;
			if (took < k->best[p][i])
				k->best[p][i] = took;
		}
	k->ratio[round] = k->flops / possible;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void report(struct kernel *k, int rounds)
{
	double total = 0, *part = calloc((size_t)k->source.nphases, sizeof *part);
	for (int p = 0; part && p < k->source.nphases; p++) {
		for (int i = 0; i < PARTS; i++)
			part[p] += k->best[p][i];
		total += part[p];
	}
	qsort(k->ratio, (size_t)rounds, sizeof *k->ratio, ascending);
	printf("%-32s %9.3f ms %7.1f GFLOP/s  %.3f of peak (%.3f to %.3f) ", k->file, total * 1e3,
	       k->flops / total * 1e-9, k->ratio[rounds / 2], k->ratio[rounds / 10],
	       k->ratio[rounds - 1 - rounds / 10]);
	for (int p = 0; part && p < k->source.nphases; p++)
		printf(" %s %.1f%%", k->program->phase.v[p].name, 100 * part[p] / total);
	putchar('\n');
	free(part);
}

static int bench(struct arena *a, char **file, int n, enum isa isa, int rounds, int optimise)
{
	struct kernel *kernel = arena_new_array(a, (size_t)n, struct kernel);
	for (int i = 0; i < n; i++) {
		struct text why;
		text_init(&why, a);
		kernel[i].file = file[i];
		if (!prepare(a, &kernel[i], isa, optimise, &why)) {
			fprintf(stderr, "kernel_bench: %s: %s\n", file[i], why.s);
			return 1;
		}
		kernel[i].flops = tile_cost(kernel[i].program).contract_flops;
	}
	for (int r = 0; r < rounds; r++)
		for (int i = 0; i < n; i++)
			run(&kernel[i], isa, r);
	printf("%s, one thread, %d rounds\n", isa_info[isa].name, rounds);
	for (int i = 0; i < n; i++)
		report(&kernel[i], rounds);
	return 0;
}

static int bench_all(char **file, int n, enum isa isa, int rounds, int optimise)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		fputs("kernel_bench: out of memory\n", stderr);
		arena_free(&a);
		return 3;
	}
	int status = bench(&a, file, n, isa, rounds, optimise);
	arena_free(&a);
	return status;
}

int main(int argc, char **argv)
{
	enum isa isa;
	struct machine machine;
	int rounds = 15, optimise = 3, option;
	machine_detect(&machine);
	isa = machine.isa;
	while ((option = getopt(argc, argv, "i:n:1")) != -1) {
		if (option == 'i') {
			for (isa = ISA_SCALAR; isa < HOST_ISAS && strcmp(isa_info[isa].name, optarg);)
				isa++;
		} else if (option == 'n') {
			rounds = atoi(optarg);
		} else if (option == '1') {
			optimise = 1;
		}
	}
	if (optind == argc || isa > machine.isa || rounds < 1 || rounds > MAX_ROUNDS) {
		fputs("usage: kernel_bench [-i scalar|avx2|avx512] [-n rounds] [-1] FILE.tile…\n", stderr);
		return 2;
	}
	return bench_all(argv + optind, argc - optind, isa, rounds, optimise);
}
