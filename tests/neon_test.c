/* neon_test.c: code for 64-bit ARM on a machine that is none. Clang compiles the default schedule of every fourth
 * example. LONG=1: cases of every example with default and random schedules, compiled by gcc and Clang in turn, run
 * under an emulator against the oracle.
 *
 *     neon_test [NAME…]      only these examples
 */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "tests/example_cases.h"
#include "tests/stages_elsewhere.h"
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

static void try_all(void)
{
	glob_t files;
	char name[100];
	if (glob("examples/*.att", 0, NULL, &files))
		return;
	for (size_t i = 0; i < files.gl_pathc; i += all ? 1 : 4) {
		const char *base = strrchr(files.gl_pathv[i], '/') + 1;
		snprintf(name, sizeof name, "%.*s", (int)strcspn(base, "."), base);
		try_example(name);
	}
	globfree(&files);
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
		if (argc == 1)
			try_all();
	}
	if (all)
		elsewhere_end();
	arena_free(&a);
	return tap_done();
}
