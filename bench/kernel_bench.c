/* kernel_bench: generated kernels against the machine's peak, one thread.
 *
 *     kernel_bench [-i isa] [-n rounds] [-1] FILE.tile…
 *
 * Each file is a tile program (attune emit --stage tile). All run in turn, round after round, by thread CPU
 * time. A phase's tasks are timed in eight parts, the peak is probed before each part, and a round's
 * ratio is the time its flops would take at those peaks, by the time they took: clocks that wander move both.
 * The peak is that of the type that most of the kernel's flops multiply as; those of other types count by their share of
 * its rate, probed once. Printed are the median ratio, and the sum of each part's least time. -1: compile as while
 * searching, not at -O3. */
#include <math.h>
#include <unistd.h>

#include "bench/bench.h"

enum { PARTS = 8 };

struct kernel {
	const char *file;
	struct bench_code code;
	double (*best)[PARTS], flops;
	enum operand_type operand; /* that most flops are of */
	double weighed;            /* flops, each by how much longer it takes than one of `operand` */
	double ratio[BENCH_ROUNDS];
};

static void fill(void *context, const struct tile_tensor *t, void *data, int64_t n)
{
	(void)context;
	uint32_t x = 1;
	for (int64_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		dtype_store(t->dtype, data, i, (double)(x >> 9) / (1 << 22) - 1);
	}
}

static bool prepare(struct arena *a, struct kernel *k, enum isa isa, int optimise, struct text *why)
{
	size_t size;
	const char *source = bench_read(a, k->file, &size);
	struct diags d;
	diags_init(&d, a, k->file, source, size);
	k->code.program = source ? tile_parse(a, source, size, &d) : NULL;
	diags_print(&d, why);
	if (!k->code.program || !tile_check(k->code.program, why))
		return false;
	if (!bench_compile(a, &k->code, isa, optimise, fill, NULL, why))
		return false;
	k->best = arena_alloc(a, sizeof *k->best * (size_t)k->code.source.nphases);
	for (int p = 0; p < k->code.source.nphases; p++)
		for (int i = 0; i < PARTS; i++)
			k->best[p][i] = INFINITY;
	return true;
}

static void run(struct kernel *k, enum isa isa, int round)
{
	struct at_args args = {k->code.data, k->code.stride, k->code.work};
	double possible = 0; /* flop in the time it took, at the peaks met */
	for (int p = 0; p < k->code.source.nphases; p++)
		for (int i = 0; i < PARTS; i++) {
			long tasks = k->code.source.phase[p].tasks, from = tasks * i / PARTS,
			     to = tasks * (i + 1) / PARTS;
			double peak = machine_peak_probe(isa, k->operand), start = thread_seconds();
			k->code.phase[p](&args, from, to, k->code.scratch);
			double took = thread_seconds() - start;
			possible += took * peak;
			if (took < k->best[p][i])
				k->best[p][i] = took;
		}
	k->ratio[round] = k->weighed / possible;
}

static void weigh(struct kernel *k, enum isa isa)
{
	struct tile_cost c = tile_cost(k->code.program);
	double peak[OPERANDS];
	for (enum operand_type t = 0; t < OPERANDS; t++) {
		peak[t] = machine_peak_probe(isa, t);
		if (c.contract[t] > c.contract[k->operand])
			k->operand = t;
	}
	k->flops = c.contract_flops;
	for (enum operand_type t = 0; t < OPERANDS; t++)
		k->weighed += c.contract[t] * peak[k->operand] / peak[t];
}

static void report(struct kernel *k, int rounds)
{
	double total = 0, *part = calloc((size_t)k->code.source.nphases, sizeof *part);
	for (int p = 0; part && p < k->code.source.nphases; p++) {
		for (int i = 0; i < PARTS; i++)
			part[p] += k->best[p][i];
		total += part[p];
	}
	qsort(k->ratio, (size_t)rounds, sizeof *k->ratio, bench_ascending);
	printf("%-32s %9.3f ms %7.1f GFLOP/s  %.3f of %s peak (%.3f to %.3f) ", k->file, total * 1e3,
	       k->flops / total * 1e-9, k->ratio[rounds / 2],
	       k->operand ? operand_type_name[k->operand] : "f32", k->ratio[rounds / 10],
	       k->ratio[rounds - 1 - rounds / 10]);
	for (int p = 0; part && p < k->code.source.nphases; p++)
		printf(" %s %.1f%%", k->code.program->phase.v[p].name, 100 * part[p] / total);
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
		weigh(&kernel[i], isa);
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
			isa = isa_find(optarg);
		} else if (option == 'n') {
			rounds = atoi(optarg);
		} else if (option == '1') {
			optimise = 1;
		}
	}
	if (optind == argc || isa == ISAS || !isa_runs_on(isa, machine.isa) || rounds < 1 || rounds > BENCH_ROUNDS) {
		fputs("usage: kernel_bench [-i scalar|avx2|avx512] [-n rounds] [-1] FILE.tile…\n", stderr);
		return 2;
	}
	return bench_all(argv + optind, argc - optind, isa, rounds, optimise);
}
