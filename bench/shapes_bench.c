/* shapes_bench: what odd extents cost. Plain attention of many shapes against the machine's peak, one thread, default
 * schedules.
 *
 *     shapes_bench [-i isa] [-n rounds] [-c case] [-s] [-S schedule]…
 *
 * All shapes run in turn, round after round, by thread CPU time; the FMA peak is probed before each. A shape's number is
 * what its useful flops would take at that peak by what it took, packing included: the median of the rounds. Beside it
 * is what can be hoped for: a pair of a query and a key wants D multiplications and E, whole vectors of the values'
 * columns of them, and the time of PAIR more for the exponential and what else a score wants; and the ratio of both. -c:
 * only shapes whose name begins so; -S: those also with the schedule in that file; -s: arguments lie as [B, N, H, D]. */
#include <math.h>
#include <unistd.h>

#include "bench/bench.h"
#include "dsl/parse.h"

enum { MAX_CASES = 96, MAX_SCHEDULES = 8, PAIR = 16 /* multiply-adds a pair */ };

struct shape {
	const char *name;
	int64_t n, m, d, e;
};

static const struct shape shapes[] = {
	{"D 64", 1024, 1024, 64, 64},
	{"D 24", 1024, 1024, 24, 24},
	{"D 32", 1024, 1024, 32, 32},
	{"D 40", 1024, 1024, 40, 40},
	{"D 48", 1024, 1024, 48, 48},
	{"D 60", 1024, 1024, 60, 60},
	{"D 72", 1024, 1024, 72, 72},
	{"D 80", 1024, 1024, 80, 80},
	{"D 96", 1024, 1024, 96, 96},
	{"D 112", 1024, 1024, 112, 112},
	{"D 128", 1024, 1024, 128, 128},
	{"D 160", 1024, 1024, 160, 160},
	{"D 192", 1024, 1024, 192, 192},
	{"D 256", 1024, 1024, 256, 256},
	{"D 192, E 128", 1024, 1024, 192, 128},
	{"D 64, E 256", 1024, 1024, 64, 256},
	{"D 100, E 36", 1024, 1024, 100, 36},
	{"M 1", 1024, 1, 64, 64},
	{"M 7", 1024, 7, 64, 64},
	{"M 17", 1024, 17, 64, 64},
	{"M 33", 1024, 33, 64, 64},
	{"M 77", 1024, 77, 64, 64},
	{"M 129", 1024, 129, 64, 64},
	{"M 197", 1024, 197, 64, 64},
	{"M 256", 1024, 256, 64, 64},
	{"M 577", 1024, 577, 64, 64},
	{"M 1025", 1024, 1025, 64, 64},
	{"M 1100", 1024, 1100, 64, 64},
	{"N 1", 1, 1024, 64, 64},
	{"N 2", 2, 1024, 64, 64},
	{"N 3", 3, 1024, 64, 64},
	{"N 4", 4, 1024, 64, 64},
	{"N 5", 5, 1024, 64, 64},
	{"N 6", 6, 1024, 64, 64},
	{"N 7", 7, 1024, 64, 64},
	{"N 8", 8, 1024, 64, 64},
	{"N 9", 9, 1024, 64, 64},
	{"N 11", 11, 1024, 64, 64},
	{"N 13", 13, 1024, 64, 64},
	{"N 16", 16, 1024, 64, 64},
	{"N 19", 19, 1024, 64, 64},
	{"N 25", 25, 1024, 64, 64},
	{"N 31", 31, 1024, 64, 64},
	{"N 47", 47, 1024, 64, 64},
	{"N 49", 49, 1024, 64, 64},
	{"N 55", 55, 1024, 64, 64},
	{"N 197", 197, 197, 64, 64},
	{"N 577, D 72", 577, 577, 72, 72},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct kernel {
	const struct shape *shape;
	const char *schedule;
	struct bench_code code;
	double flops, bound, ratio[BENCH_ROUNDS], took[16];
};

struct options {
	int rounds, nschedules;
	const char *only, *schedule[MAX_SCHEDULES];
	bool turned;
	struct machine machine;
};

static void fill(void *context, const struct tile_tensor *t, void *data, int64_t n)
{
	uint32_t x = 1;
	(void)context;
	for (int64_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		dtype_store(t->dtype, data, i, (double)(x >> 9) / (1 << 22) - 1);
	}
}

static double whole_vectors(int64_t n, enum isa isa)
{
	int64_t lanes = isa_info[isa].lanes;
	return (double)((n + lanes - 1) / lanes * lanes);
}

/* Heads, so that a run takes milliseconds. */
static int64_t heads(const struct shape *s)
{
	double one = 2.0 * (double)s->n * (double)s->m * (double)(s->d + s->e), all = ceil(6e8 / one);
	return all > 512 ? 512 : (int64_t)all;
}

static struct tile_program *program(struct arena *a, const struct shape *s, const char *schedule,
                                    const struct machine *machine, struct text *why)
{
	const char *file = "bench/full.att";
	size_t size, length;
	char *source = bench_read(a, file, &size);
	struct diags diags;
	diags_init(&diags, a, file, source, size);
	struct cascade *c = source ? cascade_parse(a, source, size, NULL, 0, &diags) : NULL;
	for (uint32_t i = 0; c && i < c->rank.n; i++) {
		char rank = *c->rank.v[i].name;
		c->rank.v[i].extent = rank == 'N' ? s->n : rank == 'M' ? s->m : rank == 'D' ? s->d : rank == 'E' ? s->e
		                      : rank == 'H' ? heads(s) : 1;
	}
	struct problem *p = c ? problem_new(a, c, machine, &diags) : NULL;
	diags_print(&diags, why);
	if (!p)
		return NULL;
	struct schedule sizes = schedule_default(p, machine->isa);
	if (schedule) {
		source = bench_read(a, schedule, &length);
		diags_init(&diags, a, schedule, source, length);
		if (!source || !schedule_parse(p, source, length, &sizes, &diags)) {
			diags_print(&diags, why);
			return NULL;
		}
		const char *illegal = schedule_illegal(a, p, &sizes);
		if (illegal)
			return text_add(why, illegal), NULL;
	}
	return tile_build(a, p, &sizes);
}

/* The same bytes as [B, N, H, D]. */
static void turn(struct arena *a, struct bench_code *k)
{
	for (uint32_t i = 0, at = 0; i < k->program->tensor.n; i++) {
		const struct tile_tensor *t = &k->program->tensor.v[i];
		if (t->place != PLACE_ARGUMENT)
			continue;
		int64_t *stride = arena_new_array(a, MAX_RANKS, int64_t);
		stride[3] = 1;
		stride[1] = t->extent[3];
		stride[2] = t->extent[1] * stride[1];
		stride[0] = t->extent[2] * stride[2];
		k->stride[at++] = stride;
	}
}

static bool prepare(struct arena *a, struct kernel *k, const struct options *o, struct text *why)
{
	const struct shape *s = k->shape;
	k->flops = 2.0 * (double)(heads(s) * s->n * s->m * (s->d + s->e));
	k->bound = (double)(s->d + s->e) / ((double)s->d + whole_vectors(s->e, o->machine.isa) + PAIR);
	k->code.program = program(a, s, k->schedule, &o->machine, why);
	if (!k->code.program || !tile_check(k->code.program, why) ||
	    !bench_compile(a, &k->code, o->machine.isa, 3, fill, NULL, why))
		return false;
	if (o->turned)
		turn(a, &k->code);
	return true;
}

static int bench(struct arena *a, const struct options *o)
{
	struct kernel *kernel = arena_new_array(a, MAX_CASES, struct kernel);
	struct text why;
	int n = 0;
	text_init(&why, a);
	for (int i = 0; i < SHAPES; i++)
		for (int k = -1; k < o->nschedules && n < MAX_CASES; k++) {
			kernel[n] = (struct kernel){.shape = &shapes[i], .schedule = k < 0 ? NULL : o->schedule[k]};
			if (o->only && strncmp(shapes[i].name, o->only, strlen(o->only)))
				continue;
			if (!prepare(a, &kernel[n++], o, &why)) {
				fprintf(stderr, "shapes_bench: %s: %s\n", shapes[i].name, why.s);
				return 1;
			}
		}
	for (int r = -1; r < o->rounds; r++) /* the first warms up */
		for (int i = 0; i < n; i++) {
			double part[16] = {0}, peak = machine_peak_probe(o->machine.isa, OPERAND_COMPUTE);
			double took = bench_run(&kernel[i].code, part);
			for (int p = 0; r >= 0 && p < kernel[i].code.source.nphases; p++)
				kernel[i].took[p] += part[p];
			if (r >= 0)
				kernel[i].ratio[r] = kernel[i].flops / (took * peak);
		}
	printf("%s, one thread, %d rounds\n", isa_info[o->machine.isa].name, o->rounds);
	for (int i = 0; i < n; i++) {
		struct kernel *k = &kernel[i];
		qsort(k->ratio, (size_t)o->rounds, sizeof *k->ratio, bench_ascending);
		double median = k->ratio[o->rounds / 2], all = 0;
		printf("%-16s N %4lld M %4lld D %3lld E %3lld  %.3f of peak (%.3f to %.3f), hoped for %.3f: %.2f ",
		       k->schedule ? k->schedule : k->shape->name, (long long)k->shape->n, (long long)k->shape->m,
		       (long long)k->shape->d, (long long)k->shape->e, median, k->ratio[o->rounds / 4],
		       k->ratio[o->rounds - 1 - o->rounds / 4], k->bound, median / k->bound);
		for (int p = 0; p < k->code.source.nphases; p++)
			all += k->took[p];
		for (int p = 0; p < k->code.source.nphases; p++)
			printf(" %s %.0f%%", k->code.program->phase.v[p].name, 100 * k->took[p] / all);
		putchar('\n');
	}
	return 0;
}

static int bench_all(const struct options *o)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		fputs("shapes_bench: out of memory\n", stderr);
		arena_free(&a);
		return 3;
	}
	int status = bench(&a, o);
	arena_free(&a);
	return status;
}

int main(int argc, char **argv)
{
	struct options o = {.rounds = 9};
	int option;
	machine_detect(&o.machine);
	enum isa isa = o.machine.isa;
	while ((option = getopt(argc, argv, "i:n:c:sS:")) != -1)
		switch (option) {
		case 'i': isa = isa_find(optarg); break;
		case 'n': o.rounds = atoi(optarg); break;
		case 'c': o.only = optarg; break;
		case 's': o.turned = true; break;
		case 'S':
			if (o.nschedules < MAX_SCHEDULES)
				o.schedule[o.nschedules++] = optarg;
			break;
		default: optind = argc + 1;
		}
	bool runs = isa != ISAS && isa_runs_on(isa, o.machine.isa);
	o.machine.isa = isa;
	if (optind != argc || !runs || o.rounds < 1 || o.rounds > BENCH_ROUNDS) {
		fputs("usage: shapes_bench [-i isa] [-n rounds] [-c case] [-s] [-S schedule]…\n", stderr);
		return 2;
	}
	return bench_all(&o);
}
