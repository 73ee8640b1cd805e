/* emit_test.c: generated C against the interpreter of tile programs, for every instruction set here, between
 * guard pages, outputs poisoned, with strides as they come. */
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codegen/schedule.h"
#include "dsl/dtype.h"
#include "search/sandbox.h"
#include "targets/target.h"
#include "tests/tap.h"

enum { MAX_TENSORS = 12 };

struct run {
	struct arena *arena;
	const struct tile_program *program;
	double *expected[MAX_TENSORS];
	struct guarded buffer[MAX_TENSORS], work, scratch;
	int64_t stride[MAX_TENSORS][MAX_RANKS];
	bool strange; /* ranks of arguments stored in the opposite order, with gaps */
};

static uint64_t state = 11;
static double uniform(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (double)(state >> 40) / (1 << 23) - 1;
}

static int64_t count_of(const struct tile_tensor *t)
{
	int64_t n = 1;
	for (int r = 0; r < t->nranks; r++)
		n *= t->extent[r];
	return n;
}

/* The place in memory of the i-th element in row-major order. */
static int64_t place(const struct run *run, uint32_t tensor, int64_t i)
{
	const struct tile_tensor *t = &run->program->tensor.v[tensor];
	int64_t at = 0;
	for (int r = t->nranks - 1; r >= 0; r--) {
		at += i % t->extent[r] * run->stride[tensor][r];
		i /= t->extent[r];
	}
	return at;
}

static bool lay_out(struct run *run, uint32_t tensor)
{
	const struct tile_tensor *t = &run->program->tensor.v[tensor];
	int64_t size = 1, n = count_of(t);
	for (int k = 0; k < t->nranks; k++) {
		int r = run->strange ? k : t->nranks - 1 - k;
		run->stride[tensor][r] = size;
		size *= t->extent[r] + (run->strange && k == 0);
	}
	if (!guarded_alloc(&run->buffer[tensor], (size_t)dtype_bytes(t->dtype, size), 1, GUARD_AFTER))
		return false;
	guarded_poison(&run->buffer[tensor]);
	run->expected[tensor] = arena_new_array(run->arena, (size_t)n + 1, double);
	if (t->role == ROLE_OUT)
		return true;
	double range = t->name[0] == 'V' ? 1 : t->name[0] == 'X' ? 40 : 4;
	for (int64_t i = 0; i < n; i++) {
		double x = dtype_info[t->dtype].integer ? t->name[1] == '8' ? floor(128 * uniform()) : floor(3 * (uniform() + 1))
		                                        : range * uniform();
		x = dtype_round(t->dtype, x);
		run->expected[tensor][i] = x;
		dtype_store(t->dtype, run->buffer[tensor].data, place(run, tensor, i), x);
	}
	return true;
}

/* Largest difference in units of the largest magnitude. */
static double apart(const struct run *run, uint32_t tensor)
{
	const struct tile_tensor *t = &run->program->tensor.v[tensor];
	double most = 0, scale = 1e-30;
	for (int64_t i = 0; i < count_of(t); i++)
		if (isfinite(run->expected[tensor][i]))
			scale = fmax(scale, fabs(run->expected[tensor][i]));
	for (int64_t i = 0; i < count_of(t); i++) {
		double x = run->expected[tensor][i];
		double y = dtype_load(t->dtype, run->buffer[tensor].data, place(run, tensor, i));
		double d = x == y || (isnan(x) && isnan(y)) ? 0 : fabs(x - y) / scale;
		if (!(d <= most))
			most = d;
	}
	return most;
}

static bool call(struct run *run, const struct kernel_source *k, const struct target *target, enum isa isa,
                 struct text *why)
{
	struct target_options options = {.isa = isa, .optimise = 1};
	struct object object;
	if (!target->compile(k->text, &options, &object, why))
		return false;
	struct module *module = target->load(&object, &options, why);
	void *data[MAX_TENSORS];
	const int64_t *stride[MAX_TENSORS];
	for (int i = 0; i < MAX_TENSORS; i++) {
		data[i] = run->buffer[i].data;
		stride[i] = run->stride[i];
	}
	struct at_args args = {data, stride, run->work.data};
	for (int p = 0; module && p < k->nphases; p++) {
		union {
			void *data;
			at_phase *code;
		} f = {target->symbol(module, k->phase[p].symbol)};
		if (!f.data) {
			text_printf(why, "no symbol %s", k->phase[p].symbol);
			break;
		}
		/* In two parts, the later first: tasks are independent. */
		long half = k->phase[p].tasks / 2;
		guarded_poison(&run->scratch);
		f.code(&args, half, k->phase[p].tasks, run->scratch.data);
		f.code(&args, 0, half, run->scratch.data);
	}
	if (module)
		target->unload(module);
	object_free(&object);
	return module && !why->len;
}

static void one(const char *name, const char *source, enum isa isa, const struct target *target, bool strange,
                double bound)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "%s: memory", name);
		return;
	}
	struct diags d;
	struct text why;
	text_init(&why, &a);
	diags_init(&d, &a, name, source, strlen(source));
	struct run run = {
	        .arena = &a, .program = tile_parse(&a, source, strlen(source), &d), .strange = strange};
	diags_print(&d, &why);
	bool good = run.program && tile_check(run.program, &why);
	for (uint32_t i = 0; good && i < run.program->tensor.n; i++)
		if (run.program->tensor.v[i].place == PLACE_ARGUMENT)
			good = lay_out(&run, i);
	if (good) {
		struct kernel_source k = emit_c(&a, run.program, isa, 5);
		good = guarded_alloc(&run.work, (size_t)k.work_bytes, 64, GUARD_AFTER) &&
		       guarded_alloc(&run.scratch, (size_t)k.scratch_bytes, 64, GUARD_AFTER);
		guarded_poison(&run.work);
		good = good && tile_run(&a, run.program, run.expected, true, &why) &&
		       call(&run, &k, target, isa, &why);
	}
	double worst = 0;
	for (uint32_t i = 0; good && i < run.program->tensor.n; i++)
		if (run.program->tensor.v[i].role == ROLE_OUT &&
		    run.program->tensor.v[i].place == PLACE_ARGUMENT)
			worst = fmax(worst, isnan(apart(&run, i)) ? (double)INFINITY : apart(&run, i));
	bool intact = good && guarded_intact(&run.work) && guarded_intact(&run.scratch);
	for (int i = 0; i < MAX_TENSORS; i++)
		intact = intact && (!run.buffer[i].map || guarded_intact(&run.buffer[i]));
	ok(good && intact && worst <= bound, "%s, %s by %s%s: apart by %.2g%s%s", name, isa_info[isa].name,
	   target->name, strange ? ", strange strides" : "", worst, good && !intact ? ", wrote outside" : "",
	   why.s);
	for (int i = 0; i < MAX_TENSORS; i++)
		if (run.buffer[i].map)
			guarded_free(&run.buffer[i]);
	if (run.work.map)
		guarded_free(&run.work);
	if (run.scratch.map)
		guarded_free(&run.scratch);
	arena_free(&a);
}

/* The text alone by another compiler, as somebody who ships it would. */
static void ahead_of_time(const char *name, const char *source, enum isa isa)
{
	struct arena a;
	arena_init(&a);
	struct diags d;
	diags_init(&d, &a, name, source, strlen(source));
	struct tile_program *p = tile_parse(&a, source, strlen(source), &d);
	FILE *f = tmpfile();
	if (!p || !f) {
		ok(false, "%s: no program or no file", name);
		arena_free(&a);
		return;
	}
	fputs(emit_c(&a, p, isa, 5).text, f);
	rewind(f);
	posix_spawn_file_actions_t files;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, fileno(f), 0);
	char *gcc = isa_info[isa].family == PROCESSOR_AARCH64 ? "aarch64-linux-gnu-gcc" : "gcc";
	char *argv[] = {gcc,         arena_printf(&a, "-march=%s", isa_info[isa].march),
	                "-O2",       "-Wall",
	                "-Wextra",   "-Werror",
	                "-c",        "-o",
	                "/dev/null", "-x",
	                "c",         "-",
	                NULL};
	pid_t child;
	int status = -1;
	if (posix_spawnp(&child, gcc, &files, NULL, argv, environ))
		tap_skip(arena_printf(&a, "no %s", gcc));
	else
		ok(waitpid(child, &status, 0) == child && status == 0, "%s, %s: gcc has no complaint", name,
		   isa_info[isa].name);
	posix_spawn_file_actions_destroy(&files);
	fclose(f);
	arena_free(&a);
}

static void everywhere(const char *name, const char *source, double bound)
{
	struct arena a;
	struct machine machine;
	machine_detect(&machine);
	arena_init(&a);
	for (const struct target *const *t = targets; *t; t++) {
		if ((*t)->missing(&a))
			continue;
		for (enum isa isa = ISA_SCALAR; isa <= machine.isa; isa++)
			if ((*t)->supports(isa))
				for (int strange = 0; strange < 2; strange++)
					one(name, source, isa, *t, strange, bound);
	}
	arena_free(&a);
}

#include "tests/emit_programs.h"

int main(void)
{
	struct arena a;
	arena_init(&a);
	for (size_t i = 0; i < sizeof program / sizeof *program; i++) {
		everywhere(program[i].name, program[i].text, program[i].bound);
		for (enum isa isa = ISA_SCALAR; isa < HOST_ISAS; isa++)
			ahead_of_time(program[i].name, program[i].text, isa);
	}
	static const struct shape shape[] = {
	        {63, 200, 64, 64, 1, 1000, "f32"},  {1, 200, 128, 60, 1000, 1000, "bf16"},
	        {200, 63, 60, 128, 1, 1000, "f16"}, {65, 129, 33, 17, -40, 1000, "i8"},
	        {50, 50, 64, 64, 1, 7, "f32"},
	};
	for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
		for (int lanes = i ? 4 : 1; lanes <= 4; lanes *= 2) {
			struct text t = attention_text(&a, shape[i], lanes);
			everywhere(arena_printf(&a, "attention N %d M %d D %d E %d in blocks of %d vectors",
			                        shape[i].n, shape[i].m, shape[i].d, shape[i].e, lanes),
			           t.s, 2e-5);
		}
	static const struct shape narrow[] = {
	        {63, 200, 64, 64, 1, 0, ""}, {1, 200, 60, 24, 200, 0, ""}, {70, 131, 17, 33, 1, 0, ""},
	        {13, 1, 1, 1, 1, 0, ""},     {20, 67, 130, 80, 48, 0, ""},
	};
	for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++)
		for (int whole = 0; whole < 2; whole++) {
			const char *type = whole ? "i8" : "bf16";
			struct shape s = narrow[i];
			const char *name = arena_printf(&a, "N %d M %d D %d E %d as %s", s.n, s.m, s.d, s.e, type);
			struct text t = products_text(&a, type, s, i % 2 ? 2 : 4);
			everywhere(arena_printf(&a, "products, %s", name), t.s, whole ? 0 : 2e-6);
			if (i < 2)
				for (enum isa isa = ISA_SCALAR; isa < HOST_ISAS; isa++)
					ahead_of_time(name, t.s, isa);
			/* Exponentials that differ in the last place may be rounded to neighbours. */
			everywhere(arena_printf(&a, "attention, %s", name), narrow_text(&a, type, s, i % 2 ? 2 : 4).s, 3e-3);
		}
	arena_free(&a);
	return tap_done();
}
