/* examples_test.c: every example in examples/, on the cases that tests/examples/ has for it (example_cases.h): the
 * oracle, the derived cascade by the oracle, tile programs of several schedules by the interpreter, and compiled code
 * of every ISA here; through attune.h too, with threads. LONG=1 adds cases, schedules and emulated device kernels.
 *
 *     examples_test [NAME…]      only these; LONG=1 as above
 */
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attune.h"
#include "tests/example_cases.h"
#include "tests/stages_c.h"
#include "tests/stages_cuda.h"
#include "tests/tap.h"

enum { SECONDS = 60, REPORT = 64 << 10 };

static bool all, tcc_here, clang_here, emulator_here;
static enum isa best;

/* A child's account: lines that begin with + (good), - (bad) or # (skipped, why); then what it was at. */
struct report {
	size_t n;
	char at[200], text[REPORT];
};

static struct report *report;

__attribute__((format(printf, 2, 3))) static void tell(char how, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int n = report->n + 1 < REPORT ? snprintf(report->text + report->n, REPORT - report->n, "%c", how) : 0;
	report->n += (size_t)n;
	n = vsnprintf(report->text + report->n, REPORT - report->n, format, ap);
	va_end(ap);
	for (char *s = report->text + report->n; *s; s++)
		if (*s == '\n')
			*s = '\t'; /* one line each */
	report->n += (size_t)n;
	if (report->n + 1 < REPORT)
		report->text[report->n++] = '\n';
	else
		report->n = REPORT - 1;
}

/* ---- through the library ---- */

/* Arguments that hold what the oracle was given, and what a call gives. */
struct call {
	int n;
	DLTensor tensor[STAGES_TENSORS];
	const DLTensor *pointer[STAGES_TENSORS];
	const struct attune_tensor *type;
};

static bool call_run(struct stages *s, struct attune_program *program, struct call *c, double tolerance)
{
	struct attune_kernel *kernel = NULL;
	struct attune_error error = {0};
	bool good = !attune_compile(program, &(struct attune_compile_options){.wait = true}, &kernel, &error) &&
	            !attune_call(kernel, c->pointer, c->n, NULL, &error);
	attune_kernel_free(kernel);
	if (!good)
		return stages_fault(s, "library: %s", error.message);
	for (int i = 0; good && i < c->n; i++) {
		const struct oracle_tensor *want = &s->tensor[cascade_find_tensor(s->cascade, c->type[i].name)];
		enum dtype dtype = dtype_find(c->type[i].type, strlen(c->type[i].type));
		double *got = arena_new_array(s->arena, (size_t)want->count + 1, double);
		for (int64_t k = 0; k < want->count; k++)
			got[k] = dtype_load(dtype, c->tensor[i].data, k);
		double error_here = stages_apart(want->data, got, want->count);
		if (c->type[i].role == ATTUNE_OUT && !dtype_info[dtype].integer && !(error_here <= tolerance))
			good = stages_fault(s, "library: %s is off by %g", c->type[i].name, error_here);
	}
	return good;
}

static bool through_library(struct stages *s, const struct example *e, const struct example_case *k,
                            const struct param *param, int nparams)
{
	struct attune_context *context = NULL;
	struct attune_program *program = NULL;
	struct attune_error error = {0};
	struct attune_binding *binding = arena_new_array(s->arena, EXAMPLE_BINDINGS, struct attune_binding);
	struct call *c = arena_new(s->arena, struct call);
	for (int i = 0; i < nparams; i++)
		binding[i] = (struct attune_binding){param[i].name, param[i].value};
	bool good = !attune_context_new(&(struct attune_options){.cache = "", .threads = 2, .isa = "scalar", .target = "tcc"},
	                                &context, &error) &&
	            !attune_program_new(context,
	                                &(struct attune_source){.text = e->source, .name = e->name, .params = binding,
	                                                        .nparams = nparams},
	                                &program, &error);
	for (int i = 0; good && i < k->nbindings; i++)
		if (cascade_find_rank(s->cascade, k->binding[i].name) != UINT32_MAX)
			good = !attune_program_bind(program, &(struct attune_binding){k->binding[i].name, k->binding[i].value},
			                            1, &error);
	c->type = good ? attune_program_tensors(program, &c->n) : NULL;
	for (int i = 0; i < c->n && i < STAGES_TENSORS; i++) {
		const struct attune_tensor *t = &c->type[i];
		const struct oracle_tensor *from = &s->tensor[cascade_find_tensor(s->cascade, t->name)];
		enum dtype dtype = dtype_find(t->type, strlen(t->type));
		size_t bytes = (size_t)dtype_bytes(dtype, from->count);
		c->tensor[i] = (DLTensor){.device = {kDLCPU, 0}, .ndim = t->ndim, .dtype = t->dtype,
		                          .shape = (int64_t *)(uintptr_t)t->shape,
		                          .data = memset(arena_alloc(s->arena, bytes + 64), 0xff, bytes)};
		for (int64_t j = 0; j < from->count && t->role == ATTUNE_IN; j++)
			dtype_store(dtype, c->tensor[i].data, j, from->data[j]);
		c->pointer[i] = &c->tensor[i];
	}
	good = good ? call_run(s, program, c, e->tolerance) : stages_fault(s, "library: %s", error.message);
	attune_program_free(program);
	attune_context_free(context);
	return good;
}

/* ---- stage by stage ---- */

static bool as_expected(struct stages *s, const struct example_case *k)
{
	for (uint32_t i = 0; i < k->expect.n; i++) {
		const struct example_expectation *x = &k->expect.v[i];
		uint32_t t = cascade_find_tensor(s->cascade, x->tensor);
		if (t == UINT32_MAX)
			return stages_fault(s, "expect: there is no %s", x->tensor);
		for (int64_t j = 0; j < s->tensor[t].count; j++)
			if (s->tensor[t].data[j] != x->value)
				return stages_fault(s, "oracle: an element of %s is %g, not %g", x->tensor,
				                    s->tensor[t].data[j], x->value);
	}
	return true;
}

static bool passes_expected(struct stages *s, const struct example *e)
{
	for (uint32_t i = 0; i < e->passes.n; i++) {
		uint32_t rank = cascade_find_rank(s->problem->fused->cascade, e->passes.v[i].rank);
		if (rank == UINT32_MAX)
			return stages_fault(s, "passes: there is no rank %s", e->passes.v[i].rank);
		int got = passes_fused(s->problem->fused, rank);
		if (got != e->passes.v[i].passes)
			return stages_fault(s, "streams: %d passes over %s, not %d", got, e->passes.v[i].rank,
			                    e->passes.v[i].passes);
	}
	return true;
}

/* A schedule in the interpreter; its code by Clang, or by libtcc where that can. */
static bool scheduled(struct stages *s, const struct example *e, struct schedule schedule, bool clang)
{
	bool good = stages_schedule(s, &schedule);
	if (good && clang && clang_here)
		good = stages_target(s, &schedule, &target_clang, e->tolerance);
	else if (good && schedule.isa == ISA_SCALAR && tcc_here)
		good = stages_target(s, &schedule, &target_tcc, e->tolerance);
	if (!good) {
		text_add(&s->fault, "\twith the schedule\t");
		schedule_print(s->problem, &schedule, &s->fault);
	}
	return good;
}

/* The short test has Clang compile the first case of each example, in turn for AVX2 and AVX-512; libtcc compiles a
 * schedule of each case for the library and another here. */
static bool on_processor(struct stages *s, const struct example *e, int i)
{
	enum isa isa = best > ISA_AVX2 && e->size % 2 ? ISA_AVX2 : best;
	bool good = scheduled(s, e, schedule_default(s->problem, isa), all || !i) &&
	            scheduled(s, e, i % 2 ? stages_random(s, ISA_SCALAR) : schedule_naive(s->problem, ISA_SCALAR), false);
	if (good && i % 2 == 0)
		good = scheduled(s, e, stages_random(s, best), false);
	for (isa = ISA_SCALAR; good && all && isa <= best; isa++)
		good = scheduled(s, e, schedule_default(s->problem, isa), true) &&
		       scheduled(s, e, schedule_naive(s->problem, isa), true);
	for (int p = 0; good && all && p < 8; p++)
		good = scheduled(s, e, stages_random(s, p % 2 ? best : ISA_SCALAR), p % 4 == 1);
	return good;
}

/* Values in fragments, all in shared memory, and the naive form. */
static void on_device(struct stages *s, const struct example *e, const char *what)
{
	static const char *const form[] = {"in fragments", "in shared memory", "naive"};
	for (int f = 0; f < 3; f++) {
		struct schedule schedule = f == 2 ? schedule_naive(s->problem, ISA_SM80) : schedule_default(s->problem, ISA_SM80);
		bool plain = f == 1, good = stages_schedule(s, &schedule);
		struct kernel_source k = {.reason = NULL};
		if (good)
			k = plain ? emit_cuda_plain(s->arena, s->program) : emit_cuda(s->arena, s->program);
		if (k.reason) {
			tell('#', "%s on a device, %s: %s", what, form[f], k.reason);
			continue;
		}
		for (int order = 0; good && order < (f ? 1 : EMULATE_ORDERS); order++)
			good = stages_cuda(s, plain, (enum emulate_order)order, fmax(1e-4, e->tolerance));
		tell(good ? '+' : '-', "%s on a device, %s %s", what, form[f], s->fault.s);
	}
}

static void try_case(const struct example *e, int i)
{
	const struct example_case *k = &e->cases.v[i];
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	a.limit = (size_t)2 << 30;
	char *what = report->at;
	snprintf(what, sizeof report->at, "%s %s", e->name, k->label);
	if (!ARENA_TRY(&a, &env)) {
		tell('-', "%s: out of memory", what);
		arena_free(&a);
		return;
	}
	struct text why;
	text_init(&why, &a);
	struct param *param = arena_new_array(&a, EXAMPLE_BINDINGS, struct param);
	int nparams = example_params(e, k, param);
	struct cascade *c = example_cascade(&a, e, k, param, nparams, &why);
	struct oracle_tensor *inputs = c ? example_inputs(&a, e, k, c, param, nparams, &why) : NULL;
	struct stages s;
	if (!inputs) {
		tell('-', "%s: %s", what, why.s);
	} else {
		bool good = stages_begin_with(&s, &a, c, (uint64_t)i + 1, inputs) && as_expected(&s, k) &&
		            passes_expected(&s, e) && on_processor(&s, e, i) &&
		            (!tcc_here || through_library(&s, e, k, param, nparams));
		tell(good ? '+' : '-', "%s %s", what, s.fault.s);
		if (good && i < 2 && emulator_here)
			on_device(&s, e, what);
	}
	arena_free(&a);
}

static void try_example(const char *name)
{
	struct arena a;
	jmp_buf env;
	struct example e;
	struct text why;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		text_init(&why, &a);
		if (!example_read(&a, name, &e, &why))
			tell('-', "%s: %s", name, why.s);
		for (uint32_t i = 0; !why.len && i < e.cases.n; i++)
			if (all || !e.cases.v[i].slow) {
				alarm(all ? 10 * SECONDS : SECONDS);
				try_case(&e, (int)i);
			}
	} else {
		tell('-', "%s: out of memory", name);
	}
	arena_free(&a);
}

/* In a child, so that what crashes is one example. */
static void run_example(const char *name)
{
	*report = (struct report){.n = 0};
	snprintf(report->at, sizeof report->at, "%s", name);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		try_example(name);
		_exit(0);
	}
	int status = 1;
	if (child > 0)
		waitpid(child, &status, 0);
	for (char *line = report->text, *end; (end = memchr(line, '\n', report->n - (size_t)(line - report->text)));
	     line = end + 1) {
		*end = 0;
		char *tab = strchr(line, '\t');
		if (tab)
			*tab = 0;
		if (*line == '#')
			tap_skip(line + 1);
		else
			ok(*line == '+', "%s", line + 1);
		for (char *more = tab ? tab + 1 : NULL; more && *more;) {
			int n = (int)strcspn(more, "\t");
			printf("#   %.*s\n", n, more);
			more += n + (more[n] == '\t');
		}
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		ok(false, "%s: %s", report->at,
		   WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "takes too long" : "crashed");
}

/* The name in "folder/NAME.suffix". */
static void name_of(const char *path, char name[100])
{
	const char *base = strrchr(path, '/') + 1;
	snprintf(name, 100, "%.*s", (int)strcspn(base, "."), base);
}

static void run_numbered(const char *name, int number)
{
	(void)number;
	run_example(name);
}

static void run_all(void)
{
	glob_t files;
	char name[100], path[200];
	example_each(run_numbered);
	if (!glob("tests/examples/*", 0, NULL, &files)) {
		for (size_t i = 0; i < files.gl_pathc; i++) {
			name_of(files.gl_pathv[i], name);
			snprintf(path, sizeof path, "examples/%s.att", name);
			if (access(path, R_OK))
				ok(false, "%s: there is no %s", files.gl_pathv[i], path);
		}
		globfree(&files);
	}
}

static bool is_here(const struct target *target, struct arena *a)
{
	const char *missing = target->missing(a);
	if (missing)
		tap_skip(missing);
	return !missing;
}

int main(int argc, char **argv)
{
	struct arena a;
	struct machine machine;
	arena_init(&a);
	machine_detect(&machine);
	best = machine.isa;
	all = getenv("LONG") != NULL;
	tcc_here = is_here(&target_tcc, &a);
	clang_here = is_here(&target_clang, &a);
	emulator_here = all && is_here(&target_cuda_emulated, &a);
	arena_free(&a);
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED) {
		ok(false, "memory");
		return tap_done();
	}
	for (int i = 1; i < argc; i++)
		run_example(argv[i]);
	if (argc == 1)
		run_all();
	munmap(report, sizeof *report);
	return tap_done();
}
