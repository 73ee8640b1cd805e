/* balance_bench: how evenly tasks load threads.
 *
 *     balance_bench [-i isa] [-n rounds] [-c case] [-w]
 *
 * Every chunk of tasks that a worker of the pool takes at a time is timed alone, by thread CPU time, the least of the
 * rounds; then workers take the chunks as the pool's do, each as it becomes free, phases one after the other. Printed are, for 2
 * to 64 threads, the time of all chunks by threads × the time till the last has ended: 1 where none is ever idle; of
 * unequal lengths in brackets that time by the one of equal lengths of the same total. The schedule is the default for
 * so many processors. -w: before that one thread's time by twice that of two threads of a pool, by the wall clock, which
 * says something on a quiet machine only.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "dsl/parse.h"
#include "runtime/pool.h"

enum { MAX_BATCH = 256, THREADS = 64 };

enum lengths { NONE, WHOLE, ONE_LONG, SPREAD };
static const struct sizes {
	const char *name, *file;
	int64_t batch, heads, n, m;
	enum lengths lengths;
} cases[] = {
	{"full", "bench/full.att", 1, 8, 2048, 2048, NONE},
	{"causal", "bench/causal.att", 1, 8, 2048, 2048, NONE},
	{"causal, a head", "bench/causal.att", 1, 1, 2048, 2048, NONE},
	{"decode 1", "bench/lengths.att", 1, 4, 1, 32768, WHOLE},
	{"decode 1, 8 groups", "bench/lengths.att", 1, 32, 1, 32768, WHOLE},
	{"decode 2, one long", "bench/lengths.att", 2, 4, 1, 32768, ONE_LONG},
	{"decode 16, one long", "bench/lengths.att", 16, 8, 1, 32768, ONE_LONG},
	{"decode 16, spread", "bench/lengths.att", 16, 8, 1, 32768, SPREAD},
	{"decode 256, one long", "bench/lengths.att", 256, 4, 1, 8192, ONE_LONG},
	{"decode 256, spread", "bench/lengths.att", 256, 4, 1, 8192, SPREAD},
};
enum { CASES = sizeof cases / sizeof *cases };

struct options {
	int rounds;
	bool wall;
	const char *only;
	struct machine machine;
};

struct data {
	int32_t length[MAX_BATCH];
};

/* The longest is all keys and comes last, the shortest a hundredth or less; `equal`: the same total, shared evenly. */
static void set_lengths(const struct sizes *s, bool equal, struct data *d)
{
	int64_t n = s->batch, total = 0, least = s->m / 100;
	for (int64_t b = 0; b < n; b++) {
		int64_t place = (b * 7 + 7) % n; /* neighbours differ */
		double share = b == n - 1 || s->lengths == WHOLE ? 1 : s->lengths == SPREAD ? (double)place / (double)n : 0;
		d->length[b] = (int32_t)((double)least * pow((double)s->m / (double)least, share));
		total += d->length[b];
	}
	for (int64_t b = 0; b < n && equal; b++)
		d->length[b] = (int32_t)(total / n);
}

static void fill(void *context, const struct tile_tensor *t, void *data, int64_t n)
{
	const struct data *d = context;
	uint32_t x = 1;
	if (t->dtype == DTYPE_I32) {
		memcpy(data, d->length, (size_t)n * sizeof *d->length);
		return;
	}
	int64_t period = n < 65536 ? n : 65536; /* all of it would take seconds */
	for (int64_t i = 0; i < period; i++) {
		x = x * 1664525u + 1013904223u;
		dtype_store(t->dtype, data, i, (double)(x >> 9) / (1 << 22) - 1);
	}
	int64_t bytes = dtype_bytes(t->dtype, period);
	for (int64_t at = bytes, all = dtype_bytes(t->dtype, n); at < all; at += bytes)
		memcpy((char *)data + at, data, (size_t)(all - at < bytes ? all - at : bytes));
}

static bool prepare(struct arena *a, const struct sizes *s, struct bench_code *k, struct data *d,
                    const struct machine *machine, struct text *why)
{
	size_t size;
	char *source = bench_read(a, s->file, &size);
	struct diags diags;
	diags_init(&diags, a, s->file, source, size);
	struct cascade *c = source ? cascade_parse(a, source, size, NULL, 0, &diags) : NULL;
	for (uint32_t i = 0; c && i < c->rank.n; i++) {
		char rank = *c->rank.v[i].name;
		c->rank.v[i].extent = rank == 'N' ? s->n : rank == 'M' ? s->m : rank == 'B' ? s->batch
		                      : rank == 'H' ? s->heads : 64;
	}
	struct problem *p = c ? problem_new(a, c, machine, &diags) : NULL;
	diags_print(&diags, why);
	if (!p)
		return false;
	struct schedule schedule = schedule_default(p, machine->isa);
	k->program = tile_build(a, p, &schedule);
	return tile_check(k->program, why) && bench_compile(a, k, machine->isa, 3, fill, d, why);
}

/* Least time of each chunk of a phase, and the first chunk of each worker's part; how many parts there are. */
static int time_chunks(struct bench_code *k, int phase, int threads, int rounds, double *least, long *first)
{
	struct at_args args = {k->data, k->stride, k->work};
	long tasks = k->source.phase[phase].tasks;
	int parts = pool_parts(tasks, threads);
	for (int r = 0; r < rounds; r++) {
		long n = 0;
		for (int i = 0; i < parts; i++) {
			first[i] = n;
			for (long from = pool_part(tasks, parts, i), end = pool_part(tasks, parts, i + 1), to; from < end; from = to, n++) {
				to = from + pool_chunk(end - from, threads);
				double start = thread_seconds();
				k->phase[phase](&args, from, to, k->scratch);
				double took = thread_seconds() - start;
				if (!r || took < least[n])
					least[n] = took;
			}
		}
		first[parts] = n;
	}
	return parts;
}

/* Till the last worker is done, when each takes the next chunk of its part, or of the next that has one, as it becomes
 * free. */
static double makespan(const double *chunk, const long *first, int parts, int threads)
{
	double busy[THREADS] = {0}, last = 0;
	long next[THREADS];
	memcpy(next, first, (size_t)parts * sizeof *next);
	for (long i = 0; i < first[parts]; i++) {
		int free_one = 0;
		for (int t = 1; t < threads; t++)
			if (busy[t] < busy[free_one])
				free_one = t;
		int part = free_one % parts;
		while (next[part] == first[part + 1])
			part = (part + 1) % parts;
		busy[free_one] += chunk[next[part]++];
	}
	for (int t = 0; t < threads; t++)
		last = fmax(last, busy[t]);
	return last;
}

/* Least wall time of a call on a pool. */
static double call(struct bench_code *k, struct pool *pool, void *const *scratch)
{
	struct at_args args = {k->data, k->stride, k->work};
	double start = wall_seconds();
	for (int p = 0; p < k->source.nphases; p++)
		pool_run(pool, k->phase[p], &args, k->source.phase[p].tasks, scratch);
	return wall_seconds() - start;
}

static void two_threads(struct bench_code *k, int rounds)
{
	struct pool *two = pool_new(2);
	void *scratch[2] = {k->scratch, bench_buffer(k->source.scratch_bytes)};
	double one = INFINITY, both = INFINITY;
	pool_spread(two);
	for (int r = 0; two && r < 2 * rounds; r++) {
		one = fmin(one, call(k, NULL, scratch));
		both = fmin(both, call(k, two, scratch));
	}
	printf("  wall %.2f (%.2f ms, %.2f ms)", one / (2 * both), 1e3 * one, 1e3 * both);
	pool_free(two);
	free(scratch[1]);
}

/* Runs on so many threads: the time till all is done; *even: the time of all chunks by threads × that. */
static double run(struct arena *a, struct bench_code *k, const struct options *o, int threads, double *even)
{
	double all = 0, till = 0;
	for (int p = 0; p < k->source.nphases; p++) {
		double *chunk = arena_new_array(a, (size_t)k->source.phase[p].tasks + 1, double);
		long first[THREADS + 1];
		int parts = time_chunks(k, p, threads, o->rounds, chunk, first);
		for (long c = 0; c < first[parts]; c++)
			all += chunk[c];
		till += makespan(chunk, first, parts, threads);
	}
	*even = all / (threads * till);
	return till;
}

static bool bench_one(const struct sizes *s, const struct options *o, bool equal, int threads, double *till, double *even)
{
	struct arena a;
	jmp_buf env;
	struct bench_code k = {0};
	struct data d;
	struct text why;
	struct machine machine = o->machine;
	arena_init(&a);
	text_init(&why, &a);
	machine.cores = threads;
	set_lengths(s, equal, &d);
	bool good = ARENA_TRY(&a, &env) && prepare(&a, s, &k, &d, &machine, &why);
	if (good)
		*till = run(&a, &k, o, threads, even);
	else
		fprintf(stderr, "balance_bench: %s: %s\n", s->name, why.s);
	if (good && o->wall && threads == 2 && !equal)
		two_threads(&k, o->rounds);
	for (uint32_t n = 0, at = 0; good && n < k.program->tensor.n; n++)
		if (k.program->tensor.v[n].place == PLACE_ARGUMENT)
			free(k.data[at++]);
	free(k.work);
	free(k.scratch);
	if (k.module)
		target_clang.unload(k.module);
	arena_free(&a);
	return good;
}

static bool bench_case(const struct sizes *s, const struct options *o)
{
	static const int threads[] = {2, 4, 16, 64};
	enum { COUNTS = sizeof threads / sizeof *threads };
	double till, even, equal_till, equal_even;
	printf("%-22s", s->name);
	for (int t = 0; t < COUNTS; t++) {
		if (!bench_one(s, o, false, threads[t], &till, &even))
			return false;
		printf("  %d: %.3f", threads[t], even);
		if (s->lengths < ONE_LONG)
			continue;
		if (!bench_one(s, o, true, threads[t], &equal_till, &equal_even))
			return false;
		printf(" (%.2f)", till / equal_till);
	}
	putchar('\n');
	return true;
}

int main(int argc, char **argv)
{
	struct options o = {.rounds = 5};
	int option;
	machine_detect(&o.machine);
	enum isa isa = o.machine.isa;
	while ((option = getopt(argc, argv, "i:n:c:w")) != -1)
		switch (option) {
		case 'i': isa = isa_find(optarg); break;
		case 'n': o.rounds = atoi(optarg); break;
		case 'w': o.wall = true; break;
		case 'c': o.only = optarg; break;
		default: optind = argc + 1;
		}
	bool runs = isa != ISAS && isa_runs_on(isa, o.machine.isa);
	o.machine.isa = isa;
	if (optind != argc || !runs || o.rounds < 1) {
		fputs("usage: balance_bench [-i isa] [-n rounds] [-c case] [-w]\n", stderr);
		return 2;
	}
	for (int i = 0; i < CASES; i++)
		if ((!o.only || !strncmp(cases[i].name, o.only, strlen(o.only))) && !bench_case(&cases[i], &o))
			return 1;
	return 0;
}
