/* forms_bench: cascades, and the forms of one, in turn against the first.
 *
 *     forms_bench [-n rounds] [-r RANK=N]… [-p PARAM=X]… FILE[:FORM]…
 *
 * FORM is what a schedule's `fuse` line says, or a file with a schedule; none: the default. Kernels run one after
 * another, round after round, on one thread, by thread CPU time, selections and lists included. Printed are the median
 * time, the median of (the first one's time of the round / the time), how far outputs are from those of the first
 * kernel of the same file, and what each phase takes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codegen/schedule.h"
#include "dsl/dtype.h"
#include "dsl/parse.h"
#include "targets/target.h"

enum { MAX_TENSORS = 24, MAX_ROUNDS = 1000, MAX_PHASES = 96, MAX_KERNELS = 12, MAX_BOUND = 24 };

struct kernel {
	const char *file, *form;
	struct cascade *cascade;
	struct tile_program *program;
	struct kernel_source source;
	struct module *module;
	void *data[MAX_TENSORS];
	const int64_t *stride[MAX_TENSORS];
	void *work, *scratch;
	at_phase *phase[MAX_PHASES];
	double took[MAX_PHASES], seconds[MAX_ROUNDS];
};

struct options {
	int rounds, kernels, bound, params;
	struct param param[MAX_BOUND];
	const char *rank[MAX_BOUND];
	int64_t extent[MAX_BOUND];
	struct machine machine;
};

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

static void *buffer(int64_t bytes)
{
	void *p = NULL;
	if (posix_memalign(&p, 64, (size_t)(bytes + 4096) / 64 * 64))
		abort();
	return p;
}

static int64_t fill(struct arena *a, struct kernel *k, uint32_t i)
{
	const struct tile_tensor *t = &k->program->tensor.v[i];
	int64_t n = 1, *stride = arena_new_array(a, MAX_RANKS, int64_t);
	uint64_t random = 88172645463325252u;
	for (const char *s = t->name; *s; s++) /* one tensor, one content, in every kernel */
		random = (random ^ (uint64_t)*s) * 1099511628211u;
	for (int r = t->nranks - 1; r >= 0; r--) {
		stride[r] = n;
		n *= t->extent[r];
	}
	k->stride[i] = stride;
	k->data[i] = buffer(n * 8);
	for (int64_t e = 0; e < n; e++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		uint32_t bits = (uint32_t)(random >> 33);
		double x = t->dtype == DTYPE_BOOL ? bits % 10 == 0 : (double)bits / (1 << 29) - 2;
		dtype_store(t->dtype, k->data[i], e, dtype_info[t->dtype].integer && t->dtype != DTYPE_BOOL ? bits % 64 : x);
	}
	return n;
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
		char *source = slurp(a, k->form, &size);
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
	char *source = slurp(a, k->file, &size);
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
	k->program = tile_build(a, p, &s);
	return tile_check(k->program, why);
}

static bool prepare(struct arena *a, struct kernel *k, const struct options *o, struct text *why)
{
	struct target_options options = {.isa = o->machine.isa, .optimise = 3};
	struct object object;
	int arguments = 0;
	if (!build(a, k, o, why))
		return false;
	k->source = emit_c(a, k->program, o->machine.isa, 5);
	const char *missing = target_clang.missing(a);
	if (missing)
		text_add(why, missing);
	for (uint32_t i = 0; i < k->program->tensor.n; i++)
		arguments += k->program->tensor.v[i].place == PLACE_ARGUMENT;
	if (k->source.nphases > MAX_PHASES || arguments > MAX_TENSORS)
		return text_add(why, "too many phases or arguments"), false;
	if (missing || !target_clang.compile(k->source.text, &options, &object, why))
		return false;
	k->module = target_clang.load(&object, &options, why);
	object_free(&object);
	if (!k->module)
		return false;
	for (uint32_t i = 0; i < k->program->tensor.n && k->program->tensor.v[i].place == PLACE_ARGUMENT; i++)
		fill(a, k, i);
	k->work = buffer(k->source.work_bytes);
	k->scratch = buffer(k->source.scratch_bytes);
	for (int p = 0; p < k->source.nphases; p++) {
		void *code = target_clang.symbol(k->module, k->source.phase[p].symbol);
		memcpy(&k->phase[p], &code, sizeof code);
	}
	return true;
}

static void run(struct kernel *k, int round)
{
	struct at_args args = {k->data, k->stride, k->work};
	double total = 0;
	for (int p = 0; p < k->source.nphases; p++) {
		double start = thread_seconds();
		k->phase[p](&args, 0, k->source.phase[p].tasks, k->scratch);
		double took = thread_seconds() - start;
		total += took;
		if (round >= 0)
			k->took[p] += took;
	}
	if (round >= 0)
		k->seconds[round] = total;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* The greatest difference of outputs, by the greatest element. */
static double apart(const struct kernel *k, const struct kernel *from)
{
	double worst = 0, scale = 1e-30;
	for (uint32_t i = 0; i < k->program->tensor.n && k->program->tensor.v[i].place == PLACE_ARGUMENT; i++) {
		const struct tile_tensor *t = &k->program->tensor.v[i];
		int64_t n = 1;
		for (int r = 0; r < t->nranks; r++)
			n *= t->extent[r];
		for (int64_t e = 0; e < n && t->role == ROLE_OUT; e++) {
			double x = dtype_load(t->dtype, k->data[i], e), y = dtype_load(t->dtype, from->data[i], e);
			scale = isfinite(y) ? fmax(scale, fabs(y)) : scale;
			worst = x == y ? worst : isnan(x - y) ? (double)INFINITY : fmax(worst, fabs(x - y));
		}
	}
	return worst / scale;
}

static void report(struct kernel *all, int i, int rounds)
{
	struct kernel *k = &all[i], *from = all;
	double ratio[MAX_ROUNDS], time[MAX_ROUNDS];
	while (strcmp(from->file, k->file))
		from++;
	for (int r = 0; r < rounds; r++) {
		time[r] = k->seconds[r];
		ratio[r] = all->seconds[r] / k->seconds[r];
	}
	qsort(ratio, (size_t)rounds, sizeof *ratio, ascending);
	qsort(time, (size_t)rounds, sizeof *time, ascending);
	printf("%s%s%s: %.3f ms, %.2fx (%.2f to %.2f), off by %.2g;", k->file, k->form ? ":" : "", k->form ? k->form : "",
	       1e3 * time[rounds / 2], ratio[rounds / 2], ratio[rounds / 4], ratio[rounds - 1 - rounds / 4], apart(k, from));
	for (int p = 0; p < k->source.nphases; p++)
		printf(" %s %.3f", k->program->phase.v[p].name, 1e3 * k->took[p] / rounds);
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
	if (!good || o.kernels < 1 || o.kernels > MAX_KERNELS || o.rounds < 1 || o.rounds > MAX_ROUNDS) {
		fputs("usage: forms_bench [-n rounds] [-r RANK=N]... [-p PARAM=X]... FILE[:FORM]...\n", stderr);
		return 2;
	}
	arena_init(&a);
	int status = bench(&a, &o, argv + optind);
	arena_free(&a);
	return status;
}
