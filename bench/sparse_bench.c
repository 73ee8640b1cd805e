/* sparse_bench: does the cost follow the work? Generated kernels of static, packed and random masks against the
 * dense one, one thread, default schedules.
 *
 *     sparse_bench [-i isa] [-n rounds] [-N extent] [-H heads] [-c case] [-S schedule] [-w]
 *
 * All cases run in turn, round after round, by thread CPU time. A case's number is its time by (the dense time of
 * the same round × the share of pairs that are present): 1 where nothing is lost. Printed are median and quartiles
 * over the rounds, and what share of the time each phase takes. -w: a window's time a row as the sequence grows,
 * instead. -c: only cases whose name begins so; -S: with the schedule in that file. */
#include <math.h>
#include <unistd.h>

#include "bench/bench.h"
#include "dsl/parse.h"

enum { MAX_PHASES = 16, MEAN = 512, BLOCK = 128, WINDOW = 512 };

struct data {
	int64_t n, heads;
	int32_t *document; /* of each token */
	int32_t *offset;   /* where each begins, and the last ends */
	int64_t documents;
	uint8_t *block;    /* n/BLOCK squared */
};

struct kernel {
	const char *name;
	double present; /* pairs, by all pairs */
	struct bench_code code;
	double took[MAX_PHASES], seconds[BENCH_ROUNDS];
};

/* ---- what is present ---- */

static double dense_pairs(const struct data *d)
{
	return (double)d->n * (double)d->n;
}

static double causal_pairs(const struct data *d)
{
	return 0.5 * (double)d->n * (double)(d->n + 1);
}

static double window_pairs(const struct data *d)
{
	double pairs = 0;
	for (int64_t i = 0; i < d->n; i++)
		pairs += (double)(i + 1 < WINDOW ? i + 1 : WINDOW);
	return pairs;
}

static double document_pairs(const struct data *d, bool causal)
{
	double pairs = 0;
	for (int64_t i = 0, from = 0; i <= d->n; i++)
		if (i == d->n || d->document[i] != d->document[from]) {
			double length = (double)(i - from);
			pairs += causal ? 0.5 * length * (length + 1) : length * length;
			from = i;
		}
	return pairs;
}

static double all_of_documents(const struct data *d)
{
	return document_pairs(d, false);
}

static double causal_documents(const struct data *d)
{
	return document_pairs(d, true);
}

static double block_pairs(const struct data *d)
{
	double blocks = 0;
	for (int64_t i = 0; i < (d->n / BLOCK) * (d->n / BLOCK); i++)
		blocks += d->block[i];
	return blocks * (double)(BLOCK * BLOCK);
}

static const struct bench_case {
	const char *name, *file;
	double (*pairs)(const struct data *);
	double goal;
} cases[] = {
	{"dense", "bench/full.att", dense_pairs, 1},
	{"causal", "bench/causal.att", causal_pairs, 1.08},
	{"window of 512", "bench/sparse/window.att", window_pairs, 1.25},
	{"documents", "bench/sparse/documents.att", all_of_documents, 1.25},
	{"ragged", "bench/sparse/ragged.att", all_of_documents, 1.25},
	{"causal documents", "examples/document_mask.att", causal_documents, 1.25},
	{"blocks of 128, 10%", "bench/sparse/blocks.att", block_pairs, 1.20},
};
enum { CASES = sizeof cases / sizeof *cases };

/* ---- data ---- */

static uint32_t random_bits(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static void data_init(struct arena *a, struct data *d)
{
	uint64_t random = 7;
	d->document = arena_new_array(a, (size_t)d->n, int32_t);
	d->offset = arena_new_array(a, (size_t)d->n + 1, int32_t);
	d->documents = 0;
	int32_t document = 0;
	for (int64_t i = 0, end = 0; i < d->n; i++) {
		if (i == end) { /* lengths from 1 to twice the mean */
			document++;
			d->offset[d->documents++] = (int32_t)i;
			end += 1 + random_bits(&random) % (2 * MEAN - 1);
		}
		d->document[i] = document;
	}
	d->offset[d->documents] = (int32_t)d->n;
	int64_t blocks = d->n / BLOCK * (d->n / BLOCK);
	d->block = arena_new_array(a, (size_t)blocks + 1, uint8_t);
	for (int64_t i = 0; i < blocks; i++)
		d->block[i] = random_bits(&random) % 10 == 0;
}

static void fill(void *context, const struct tile_tensor *t, void *data, int64_t n)
{
	const struct data *d = context;
	uint64_t random = 1;
	if (t->dtype == DTYPE_I32)
		memcpy(data, strstr(t->name, "offsets") ? d->offset : d->document, (size_t)n * sizeof *d->document);
	else if (t->dtype == DTYPE_BOOL)
		memcpy(data, d->block, (size_t)n);
	else
		for (int64_t i = 0; i < n; i++)
			dtype_store(t->dtype, data, i, (double)random_bits(&random) / (1 << 29) - 2);
}

/* ---- kernels ---- */

static struct tile_program *program(struct arena *a, const char *file, const struct data *d, const char *schedule,
                                    const struct machine *machine, struct text *why)
{
	size_t size, length;
	char *source = bench_read(a, file, &size);
	struct diags diags;
	diags_init(&diags, a, file, source, size);
	struct cascade *c = source ? cascade_parse(a, source, size, NULL, 0, &diags) : NULL;
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		c->rank.v[i].extent = strchr("NM", *c->rank.v[i].name)   ? d->n
		                      : strchr("DE", *c->rank.v[i].name) ? 64
		                      : *c->rank.v[i].name == 'H'        ? d->heads
		                      : *c->rank.v[i].name == 'S'        ? d->documents + 1
		                                                         : 1;
	struct problem *p = c ? problem_new(a, c, machine, &diags) : NULL;
	diags_print(&diags, why);
	if (!p)
		return NULL;
	struct schedule s = schedule_default(p, machine->isa);
	if (schedule) {
		source = bench_read(a, schedule, &length);
		diags_init(&diags, a, schedule, source, length);
		if (!source || !schedule_parse(p, source, length, &s, &diags)) {
			diags_print(&diags, why);
			return NULL;
		}
		const char *illegal = schedule_illegal(a, p, &s);
		if (illegal) {
			text_add(why, illegal);
			return NULL;
		}
	}
	return tile_build(a, p, &s);
}

static bool prepare(struct arena *a, struct kernel *k, const struct bench_case *c, struct data *d,
                    const char *schedule, const struct machine *machine, struct text *why)
{
	*k = (struct kernel){.name = c->name, .present = c->pairs(d) / dense_pairs(d)};
	k->code.program = program(a, c->file, d, schedule, machine, why);
	if (!k->code.program || !tile_check(k->code.program, why))
		return false;
	if (!bench_compile(a, &k->code, machine->isa, 3, fill, d, why))
		return false;
	return k->code.source.nphases <= MAX_PHASES || (text_add(why, "too many phases"), false);
}

static void run(struct kernel *k, int round)
{
	double warm[MAX_PHASES] = {0}, seconds = bench_run(&k->code, round < 0 ? warm : k->took);
	if (round >= 0)
		k->seconds[round] = seconds;
}

static void report(const struct kernel *k, const struct kernel *dense, int rounds, double goal)
{
	double ratio[BENCH_ROUNDS], all = 0;
	for (int r = 0; r < rounds; r++)
		ratio[r] = k->seconds[r] / (dense->seconds[r] * k->present);
	qsort(ratio, (size_t)rounds, sizeof *ratio, bench_ascending);
	for (int p = 0; p < k->code.source.nphases; p++)
		all += k->took[p];
	printf("%-20s %8.3f%% present %9.3f ms  %.3f (%.3f to %.3f), goal %.2f ", k->name, 100 * k->present,
	       1e3 * all / rounds, ratio[rounds / 2], ratio[rounds / 4], ratio[rounds - 1 - rounds / 4], goal);
	for (int p = 0; p < k->code.source.nphases; p++)
		printf(" %s %.2f%%", k->code.program->phase.v[p].name, 100 * k->took[p] / all);
	putchar('\n');
}

struct options {
	int rounds;
	int64_t n, heads;
	const char *only, *schedule;
	struct machine machine;
};

static int fail(const struct text *why)
{
	fprintf(stderr, "sparse_bench: %s\n", why->s);
	return 1;
}

static int bench(struct arena *a, const struct options *o)
{
	struct kernel *kernel = arena_new_array(a, CASES, struct kernel);
	struct data data = {.n = o->n, .heads = o->heads};
	struct text why;
	text_init(&why, a);
	data_init(a, &data);
	bool wanted[CASES];
	for (int i = 0; i < CASES; i++) {
		wanted[i] = !i || !o->only || !strncmp(cases[i].name, o->only, strlen(o->only));
		if (wanted[i] && !prepare(a, &kernel[i], &cases[i], &data, i ? o->schedule : NULL, &o->machine, &why))
			return fail(&why);
	}
	for (int r = -1; r < o->rounds; r++) /* the first warms up */
		for (int i = 0; i < CASES; i++)
			if (wanted[i])
				run(&kernel[i], r);
	printf("%s, one thread, N = M = %lld, H = %lld, D = 64, %d rounds\n", isa_info[o->machine.isa].name,
	       (long long)o->n, (long long)o->heads, o->rounds);
	for (int i = 0; i < CASES; i++)
		if (wanted[i])
			report(&kernel[i], &kernel[0], o->rounds, cases[i].goal);
	return 0;
}

/* The window's time a row, for sequences twice as long each. */
static int growth(struct arena *a, const struct options *o)
{
	enum { SIZES = 5, WINDOW_CASE = 2 };
	struct kernel *kernel = arena_new_array(a, SIZES, struct kernel);
	struct text why;
	text_init(&why, a);
	for (int i = 0; i < SIZES; i++) {
		struct data data = {.n = (int64_t)4096 << i, .heads = 1};
		data_init(a, &data);
		if (!prepare(a, &kernel[i], &cases[WINDOW_CASE], &data, o->schedule, &o->machine, &why))
			return fail(&why);
	}
	for (int r = -1; r < o->rounds; r++)
		for (int i = 0; i < SIZES; i++)
			run(&kernel[i], r);
	for (int i = 0; i < SIZES; i++) {
		qsort(kernel[i].seconds, (size_t)o->rounds, sizeof *kernel[i].seconds, bench_ascending);
		printf("window of 512, N = %6d: %8.3f us a row\n", 4096 << i,
		       1e6 * kernel[i].seconds[o->rounds / 2] / (4096 << i));
	}
	return 0;
}

static int bench_all(const struct options *o, bool grows)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		fputs("sparse_bench: out of memory\n", stderr);
		arena_free(&a);
		return 3;
	}
	int status = grows ? growth(&a, o) : bench(&a, o);
	arena_free(&a);
	return status;
}

int main(int argc, char **argv)
{
	struct options o = {.rounds = 7, .n = 8192, .heads = 4};
	bool grows = false;
	int option;
	machine_detect(&o.machine);
	enum isa isa = o.machine.isa;
	while ((option = getopt(argc, argv, "i:n:N:H:c:S:w")) != -1)
		switch (option) {
		case 'i':
			isa = isa_find(optarg);
			break;
		case 'n': o.rounds = atoi(optarg); break;
		case 'N': o.n = atoll(optarg); break;
		case 'H': o.heads = atoll(optarg); break;
		case 'c': o.only = optarg; break;
		case 'S': o.schedule = optarg; break;
		case 'w': grows = true; break;
		default: optind = argc + 1;
		}
	bool runs = isa != ISAS && isa_runs_on(isa, o.machine.isa);
	o.machine.isa = isa;
	if (optind != argc || !runs || o.rounds < 1 || o.rounds > BENCH_ROUNDS || o.n < BLOCK || o.n % BLOCK || o.heads < 1) {
		fputs("usage: sparse_bench [-i isa] [-n rounds] [-N extent] [-H heads] [-c case] [-S schedule] [-w]\n", stderr);
		return 2;
	}
	return bench_all(&o, grows);
}
