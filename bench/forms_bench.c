/* forms_bench: cascades, and the forms of one, in turn against the first.
 *
 *     forms_bench [-n rounds] [-r RANK=N]… [-p PARAM=X]… FILE[:FORM]…
 *
 * FORM is what a schedule's `fuse` line says, or a file with a schedule; none: the default. Kernels run one after
 * another, round after round, on one thread, by thread CPU time, selections and lists included. Printed are the median
 * time, the median of (the first one's time of the round / the time), how far outputs are from those of the first
 * kernel of the same file, and what each phase takes. */
#include <math.h>
#include <unistd.h>

#include "bench/bench.h"
#include "dsl/parse.h"

enum { MAX_PHASES = 96, MAX_KERNELS = 12, MAX_BOUND = 24 };

struct kernel {
	const char *file, *form;
	struct cascade *cascade;
	struct bench_code code;
	double took[MAX_PHASES], seconds[BENCH_ROUNDS];
};

struct options {
	int rounds, kernels, bound, params;
	struct param param[MAX_BOUND];
	const char *rank[MAX_BOUND];
	int64_t extent[MAX_BOUND];
	struct machine machine;
};

static void fill(void *context, const struct tile_tensor *t, void *data, int64_t n)
{
	(void)context;
	uint64_t random = 88172645463325252u;
	for (const char *s = t->name; *s; s++) /* one tensor, one content, in every kernel */
		random = (random ^ (uint64_t)*s) * 1099511628211u;
	for (int64_t e = 0; e < n; e++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		uint32_t bits = (uint32_t)(random >> 33);
		double x = t->dtype == DTYPE_BOOL ? bits % 10 == 0 : (double)bits / (1 << 29) - 2;
		dtype_store(t->dtype, data, e, dtype_info[t->dtype].integer && t->dtype != DTYPE_BOOL ? bits % 64 : x);
	}
}

static bool schedule_of(struct arena *a, const struct problem *p, const struct kernel *k, const struct machine *machine,
                        struct schedule *s, struct text *why)
{
	*s = schedule_default(p, machine->isa);
	for (int f = 0; k->form && f < FORMS; f++)
		if (!strcmp(k->form, form_name[f]) && problem_streams(p, (enum form)f))
			return *s = schedule_of_form(p, machine->isa, (enum form)f), true;
	if (k->form) {
		size_t size;
		struct diags diags;
		char *source = bench_read(a, k->form, &size);
		diags_init(&diags, a, k->form, source, size);
		if (!source || !schedule_parse(p, source, size, s, &diags)) {
			diags_print(&diags, why);
			text_printf(why, "%s is no form of %s, and no schedule\n", k->form, k->file);
			return false;
		}
	}
	const char *illegal = schedule_illegal(a, p, s);
	if (illegal)
		text_add(why, illegal);
	return !illegal;
}

/* With those of the params that the text declares. */
static struct cascade *known(struct arena *a, const char *file, const char *source, size_t size, const struct options *o,
                             struct diags *diags)
{
	struct param param[MAX_BOUND];
	int n = 0;
	for (int i = 0; i < o->params; i++) {
		struct diags d;
		diags_init(&d, a, file, source, size);
		if (cascade_parse(a, source, size, &o->param[i], 1, &d))
			param[n++] = o->param[i];
	}
	return cascade_parse(a, source, size, param, n, diags);
}

static bool build(struct arena *a, struct kernel *k, const struct options *o, struct text *why)
{
	size_t size;
	char *source = bench_read(a, k->file, &size);
	struct diags diags;
	struct schedule s;
	diags_init(&diags, a, k->file, source, size);
	struct cascade *c = k->cascade = source ? known(a, k->file, source, size, o, &diags) : NULL;
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		for (int r = 0; r < o->bound; r++)
			if (!strcmp(c->rank.v[i].name, o->rank[r]))
				c->rank.v[i].extent = o->extent[r];
	struct problem *p = c ? problem_new(a, c, &o->machine, &diags) : NULL;
	diags_print(&diags, why);
	if (!p || !schedule_of(a, p, k, &o->machine, &s, why))
		return false;
	k->code.program = tile_build(a, p, &s);
	return tile_check(k->code.program, why);
}

static bool prepare(struct arena *a, struct kernel *k, const struct options *o, struct text *why)
{
	if (!build(a, k, o, why) || !bench_compile(a, &k->code, o->machine.isa, 3, fill, NULL, why))
		return false;
	return k->code.source.nphases <= MAX_PHASES || (text_add(why, "too many phases"), false);
}

static void run(struct kernel *k, int round)
{
	double warm[MAX_PHASES] = {0}, seconds = bench_run(&k->code, round < 0 ? warm : k->took);
	if (round >= 0)
		k->seconds[round] = seconds;
}

/* The greatest difference of outputs, by the greatest element. */
static double apart(const struct kernel *k, const struct kernel *from)
{
	double worst = 0, scale = 1e-30;
	for (uint32_t i = 0; i < k->code.program->tensor.n && k->code.program->tensor.v[i].place == PLACE_ARGUMENT; i++) {
		const struct tile_tensor *t = &k->code.program->tensor.v[i];
		int64_t n = 1;
		for (int r = 0; r < t->nranks; r++)
			n *= t->extent[r];
		for (int64_t e = 0; e < n && t->role == ROLE_OUT; e++) {
			double x = dtype_load(t->dtype, k->code.data[i], e), y = dtype_load(t->dtype, from->code.data[i], e);
			scale = isfinite(y) ? fmax(scale, fabs(y)) : scale;
			worst = x == y ? worst : isnan(x - y) ? (double)INFINITY : fmax(worst, fabs(x - y));
		}
	}
	return worst / scale;
}

static void report(struct kernel *all, int i, int rounds)
{
	struct kernel *k = &all[i], *from = all;
	double ratio[BENCH_ROUNDS], time[BENCH_ROUNDS];
	while (strcmp(from->file, k->file))
		from++;
	for (int r = 0; r < rounds; r++) {
		time[r] = k->seconds[r];
		ratio[r] = all->seconds[r] / k->seconds[r];
	}
	qsort(ratio, (size_t)rounds, sizeof *ratio, bench_ascending);
	qsort(time, (size_t)rounds, sizeof *time, bench_ascending);
	printf("%s%s%s: %.3f ms, %.2fx (%.2f to %.2f), off by %.2g;", k->file, k->form ? ":" : "", k->form ? k->form : "",
	       1e3 * time[rounds / 2], ratio[rounds / 2], ratio[rounds / 4], ratio[rounds - 1 - rounds / 4], apart(k, from));
	for (int p = 0; p < k->code.source.nphases; p++)
		printf(" %s %.3f", k->code.program->phase.v[p].name, 1e3 * k->took[p] / rounds);
	putchar('\n');
}

static int bench(struct arena *a, const struct options *o, char **what)
{
	struct kernel *kernel = arena_new_array(a, MAX_KERNELS, struct kernel);
	struct text why;
	text_init(&why, a);
	for (int i = 0; i < o->kernels; i++) {
		char *colon = strchr(what[i], ':');
		kernel[i].file = what[i];
		kernel[i].form = colon ? colon + 1 : NULL;
		if (colon)
			*colon = 0;
		if (!prepare(a, &kernel[i], o, &why)) {
			fprintf(stderr, "forms_bench: %s: %s\n", what[i], why.s);
			return 1;
		}
	}
	for (int r = -1; r < o->rounds; r++) /* the first warms up */
		for (int i = 0; i < o->kernels; i++)
			run(&kernel[i], r);
	printf("%s, one thread, %d rounds\n", isa_info[o->machine.isa].name, o->rounds);
	for (int i = 0; i < o->kernels; i++)
		report(kernel, i, o->rounds);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = {.rounds = 7};
	struct arena a;
	bool good = true;
	int option;
	machine_detect(&o.machine);
	while ((option = getopt(argc, argv, "n:r:p:")) != -1) {
		char *equals = strchr("rp", option) ? strchr(optarg, '=') : NULL;
		if (option == 'n') {
			o.rounds = atoi(optarg);
		} else if (option == 'p' && equals && o.params < MAX_BOUND) {
			*equals = 0;
			o.param[o.params++] = (struct param){optarg, atof(equals + 1)};
		} else if (option == 'r' && equals && o.bound < MAX_BOUND) {
			*equals = 0;
			o.rank[o.bound] = optarg;
			o.extent[o.bound++] = atoll(equals + 1);
		} else {
			good = false;
		}
	}
	o.kernels = argc - optind;
	if (!good || o.kernels < 1 || o.kernels > MAX_KERNELS || o.rounds < 1 || o.rounds > BENCH_ROUNDS) {
		fputs("usage: forms_bench [-n rounds] [-r RANK=N]... [-p PARAM=X]... FILE[:FORM]...\n", stderr);
		return 2;
	}
	arena_init(&a);
	int status = bench(&a, &o, argv + optind);
	arena_free(&a);
	return status;
}
