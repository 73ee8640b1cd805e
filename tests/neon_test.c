/* neon_test.c: code for 64-bit ARM on a machine that is none. Clang compiles the default schedule of every fourth
 * example. LONG=1: programs of each operation and type against the interpreter, and cases of every example with
 * default and random schedules against the oracle, compiled by gcc and Clang, run under an emulator.
 *
 *     neon_test [NAME…]      only these examples
 */
#include <stdlib.h>
#include <string.h>

#include "tests/example_cases.h"
#include "tests/stages_elsewhere.h"
#include "tests/emit_programs.h"
#include "tests/tap.h"

static bool all, clang_here;

/* Compiled only, as far as a compiler in process can. */
static bool compile_only(struct stages *s, struct stages_c *c, const struct kernel_source *k,
                         const struct target *target, enum isa isa)
{
	struct target_options options = {.isa = isa, .optimise = 1};
	struct object object;
	struct text why;
	(void)c;
	text_init(&why, s->arena);
	if (!target->compile(k->text, &options, &object, &why))
		return stages_fault(s, "%s: %s", target->name, why.s);
	object_free(&object);
	return true;
}

static void run_case(struct stages *s, const struct example *e, const char *what)
{
	for (int i = 0; i < 4; i++) {
		struct schedule schedule = i ? stages_random(s, ISA_NEON) : schedule_default(s->problem, ISA_NEON);
		const struct target *target = clang_here && i % 2 ? &target_clang : NULL;
		bool good = stages_schedule(s, &schedule) && stages_through(s, &schedule, elsewhere_call, target, e->tolerance);
		struct text t;
		text_init(&t, s->arena);
		schedule_print(s->problem, &schedule, &t);
		if (!ok(good, "%s by %s: %s", what, target ? "clang" : "gcc", s->fault.s))
			printf("# %s\n", t.s);
		text_init(&s->fault, s->arena);
	}
}

static void compile_case(struct stages *s, const char *what)
{
	struct schedule schedule = schedule_default(s->problem, ISA_NEON);
	struct stages_c c = {.work = {0}};
	struct tile_program *p = tile_build(s->arena, s->problem, &schedule);
	struct kernel_source k = emit_c(s->arena, p, ISA_NEON, schedule.exp_degree);
	ok(compile_only(s, &c, &k, &target_clang, ISA_NEON), "%s: clang compiles the default %s", what, s->fault.s);
}

static void try_case(struct arena *a, const struct example *e, int i)
{
	const struct example_case *k = &e->cases.v[i];
	struct text why;
	text_init(&why, a);
	struct param *param = arena_new_array(a, EXAMPLE_BINDINGS, struct param);
	int nparams = example_params(e, k, param);
	struct cascade *c = example_cascade(a, e, k, param, nparams, &why);
	struct oracle_tensor *inputs = c ? example_inputs(a, e, k, c, param, nparams, &why) : NULL;
	const char *what = arena_printf(a, "%s %s", e->name, k->label);
	struct stages s;
	if (!inputs || !stages_begin_with(&s, a, c, (uint64_t)i + 1, inputs))
		ok(false, "%s: %s", what, inputs ? s.fault.s : why.s);
	else if (all)
		run_case(&s, e, what);
	else
		compile_case(&s, what);
}

static void try_example(const char *name)
{
	struct arena a;
	jmp_buf env;
	struct example e;
	struct text why;
	arena_init(&a);
	a.limit = (size_t)2 << 30;
	if (ARENA_TRY(&a, &env)) {
		text_init(&why, &a);
		if (!example_read(&a, name, &e, &why))
			ok(false, "%s: %s", name, why.s);
		int cases = all ? 2 : 1;
		for (uint32_t i = 0; !why.len && cases && i < e.cases.n; i++)
			if (!e.cases.v[i].slow) {
				try_case(&a, &e, (int)i);
				cases--;
			}
	} else {
		ok(false, "%s: out of memory", name);
	}
	arena_free(&a);
}

static void try_some(const char *name, int number)
{
	if (all || number % 4 == 0)
		try_example(name);
}

/* ---- tile programs for each operation and type ---- */

static double program_value(struct stages *s, const struct tile_tensor *t)
{
	double u = (double)stages_below(&s->random, 1 << 20) / (1 << 19) - 1;
	if (dtype_info[t->dtype].integer)
		return t->name[1] == '8' ? floor(128 * u) : floor(3 * (u + 1));
	return dtype_round(t->dtype, (t->name[0] == 'V' ? 1 : t->name[0] == 'X' ? 40 : 4) * u);
}

static int64_t program_count(const struct tile_tensor *t)
{
	int64_t n = 1;
	for (int k = 0; k < t->nranks; k++)
		n *= t->extent[k];
	return n;
}

static bool program_fill(struct stages *s, struct stages_c *c, double **expected)
{
	for (uint32_t i = 0; i < s->program->tensor.n; i++) {
		const struct tile_tensor *t = &s->program->tensor.v[i];
		int64_t n = program_count(t), stride = 1;
		if (t->place != PLACE_ARGUMENT)
			continue;
		for (int k = t->nranks - 1; k >= 0; k--) {
			c->stride[i][k] = stride;
			stride *= t->extent[k];
		}
		expected[i] = arena_new_array(s->arena, (size_t)n + 1, double);
		if (i >= STAGES_TENSORS || !guarded_alloc(&c->buffer[i], (size_t)dtype_bytes(t->dtype, n), 1, GUARD_AFTER))
			return stages_fault(s, "memory");
		for (int64_t k = 0; t->role == ROLE_IN && k < n; k++)
			dtype_store(t->dtype, c->buffer[i].data, k, expected[i][k] = program_value(s, t));
	}
	return true;
}

static bool program_same(struct stages *s, struct stages_c *c, double **expected, double bound)
{
	bool good = true;
	for (uint32_t i = 0; i < s->program->tensor.n; i++) {
		const struct tile_tensor *t = &s->program->tensor.v[i];
		if (t->place != PLACE_ARGUMENT || t->role != ROLE_OUT)
			continue;
		int64_t n = program_count(t);
		double *got = arena_new_array(s->arena, (size_t)n + 1, double);
		for (int64_t k = 0; k < n; k++)
			got[k] = dtype_load(t->dtype, c->buffer[i].data, k);
		double apart = stages_apart(expected[i], got, n);
		if (!(apart <= bound))
			good = stages_fault(s, "%s is off by %g ", t->name, apart);
	}
	return good;
}

static void try_program(struct arena *a, size_t which, const struct target *target)
{
	struct diags d;
	struct text why;
	struct stages s = {.arena = a, .random = which};
	struct stages_c *c = arena_new(a, struct stages_c);
	const char *source = program[which].text;
	text_init(&s.fault, a);
	text_init(&why, a);
	diags_init(&d, a, program[which].name, source, strlen(source));
	s.program = tile_parse(a, source, strlen(source), &d);
	bool good = s.program && tile_check(s.program, &why);
	double **expected = good ? arena_new_array(a, s.program->tensor.n, double *) : NULL;
	if (good && program_fill(&s, c, expected)) {
		struct kernel_source k = emit_c(a, s.program, ISA_NEON, 5);
		good = tile_run(a, s.program, expected, true, &why) && elsewhere_call(&s, c, &k, target, ISA_NEON) &&
		       program_same(&s, c, expected, program[which].bound);
	}
	ok(good && !s.fault.len, "%s by %s %s%s", program[which].name, target ? "clang" : "gcc", s.fault.s, why.s);
	for (int i = 0; i < STAGES_TENSORS; i++)
		if (c->buffer[i].map)
			guarded_free(&c->buffer[i]);
}

static void try_one(size_t which, const struct target *target)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (ARENA_TRY(&a, &env))
		try_program(&a, which, target);
	else
		ok(false, "%s: memory", program[which].name);
	arena_free(&a);
}

static void try_programs(void)
{
	for (size_t i = 0; i < sizeof program / sizeof *program; i++)
		for (int clang = 0; clang <= clang_here; clang++)
			try_one(i, clang ? &target_clang : NULL);
}

int main(int argc, char **argv)
{
	struct arena a;
	arena_init(&a);
	const char *missing = target_clang.missing(&a);
	clang_here = !missing;
	all = getenv("LONG") != NULL;
	if (all) {
		missing = elsewhere_begin();
		missing = missing ? arena_printf(&a, "kernels for ARM cannot be run without %s", missing) : NULL;
	}
	if (missing) {
		tap_skip(missing);
	} else {
		for (int i = 1; i < argc; i++)
			try_example(argv[i]);
		if (argc == 1 && all)
			try_programs();
		if (argc == 1)
			example_each(try_some);
	}
	if (all)
		elsewhere_end();
	arena_free(&a);
	return tap_done();
}
