/* split_device_test.c: walks in parts, and schedules as a search for a device proposes them, as kernels under
 * the emulator against the interpreter. LONG=1 tries every shape with every example. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/schedule.h"
#include "dsl/parse.h"
#include "targets/resources.h"
#include "tests/emulated.h"
#include "tests/plain_examples.h"
#include "tests/tap.h"

struct shape {
	int64_t n, m, d;
};
/* A decode step, ragged ones, fewer coordinates than parts, rows that see nothing. */
static const struct shape shapes[] = {{1, 200, 64}, {63, 130, 60}, {5, 2, 64}, {70, 31, 128}};
static const int64_t splits[] = {2, 3, 7};
enum { SHAPES = sizeof shapes / sizeof *shapes, SPLITS = sizeof splits / sizeof *splits };

static uint64_t state;
static uint32_t below(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 33) % n);
}

static struct problem *problem(struct arena *a, const char *path, const struct shape *s, bool half,
                               const struct machine *m)
{
	char *text = arena_alloc(a, SOURCE_LIMIT);
	struct diags d;
	FILE *f = fopen(path, "rb");
	size_t size = f ? fread(text, 1, SOURCE_LIMIT - 1, f) : 0;
	if (f)
		fclose(f);
	diags_init(&d, a, path, text, size);
	struct cascade *c = cascade_parse(a, text, size, NULL, 0, &d);
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND) {
			char r = *c->rank.v[i].name;
			c->rank.v[i].extent = r == 'B'   ? 1
			                      : r == 'H' ? 4
			                      : r == 'N' ? s->n
			                      : r == 'M' ? s->m
			                                 : s->d;
		}
	for (uint32_t i = 0; c && half && i < c->tensor.n; i++) {
		struct tensor *t = &c->tensor.v[i];
		if (t->role != ROLE_LOCAL && t->nranks == 4)
			t->dtype = DTYPE_BF16;
	}
	return c ? problem_new(a, c, m, &d) : NULL;
}

/* A random point of the space of a device that has a kernel; the default when twenty have none. */
static struct schedule random_schedule(struct arena *a, const struct problem *p)
{
	struct space space;
	space_init(a, &space, p, ISA_SM80);
	for (int tries = 0; tries < 20; tries++) {
		struct point at = {{0}};
		for (int i = 0; i < space.dimensions; i++)
			at.choice[i] = (uint8_t)below((uint32_t)space.dimension[i].choices);
		struct schedule s = space_schedule(&space, &at);
		if (!schedule_illegal(a, p, &s) && emit_cuda(a, tile_build(a, p, &s)).text)
			return s;
	}
	return schedule_default(p, ISA_SM80);
}

static int cut(struct arena *a, const struct problem *p, struct schedule *s, int64_t parts)
{
	int count = 0;
	for (int i = 0; i < s->nstreams; i++) {
		s->stream[i].split = parts;
		if (split_illegal(a, p, s, i))
			s->stream[i].split = 0;
		else
			count++;
	}
	return count;
}

static double **tensors(struct arena *a, const struct tile_program *p)
{
	double **tensor = arena_new_array(a, p->tensor.n, double *);
	state = 5;
	for (uint32_t i = 0; i < p->tensor.n; i++) {
		const struct tile_tensor *t = &p->tensor.v[i];
		int64_t n = emulated_count(t);
		tensor[i] = arena_new_array(a, (size_t)n + 1, double);
		for (int64_t k = 0; k < n && t->place == PLACE_ARGUMENT && t->role == ROLE_IN; k++) {
			double x = (double)below(1 << 20) / (1 << 18) - 2;
			tensor[i][k] =
			        dtype_round(t->dtype, dtype_info[t->dtype].integer ? (double)(k / 20 % 5)
			                              : t->nranks > 2              ? x
			                                                           : 0.5 + 0.05 * x);
		}
	}
	return tensor;
}

static double apart(const double *expected, const double *got, int64_t n)
{
	double most = 0, scale = 1;
	for (int64_t i = 0; i < n; i++)
		if (isfinite(expected[i]))
			scale = fmax(scale, fabs(expected[i]));
	for (int64_t i = 0; i < n; i++) {
		bool same = expected[i] == got[i] || (isnan(expected[i]) && isnan(got[i]));
		double d = same ? 0 : fabs(expected[i] - got[i]) / scale;
		most = d <= most ? most : isnan(d) ? (double)INFINITY : d;
	}
	return most;
}

static bool agrees(struct arena *a, const struct tile_program *p, double bound, double *worst,
                   struct text *why)
{
	struct kernel_source k = emit_cuda(a, p);
	struct emulated run;
	double **expected = tensors(a, p), **got = tensors(a, p);
	if (!tile_run(a, p, expected, true, why))
		return false;
	bool good = emulated_open(&run, a, p, &k, why) && emulated_run(&run, got, EMULATE_RANDOM, why);
	for (uint32_t i = 0; good && i < p->tensor.n; i++)
		if (p->tensor.v[i].place == PLACE_ARGUMENT && p->tensor.v[i].role == ROLE_OUT)
			*worst = fmax(*worst, apart(expected[i], got[i], emulated_count(&p->tensor.v[i])));
	if (k.text)
		emulated_close(&run);
	return good && *worst <= bound;
}

static void try_one(const char *path, const struct shape *shape, bool half, bool random, int64_t parts)
{
	struct arena a;
	jmp_buf env;
	struct machine m;
	arena_init(&a);
	capability_machine(80, &m);
	if (ARENA_TRY(&a, &env)) {
		struct text why;
		text_init(&why, &a);
		double worst = 0;
		struct problem *p = problem(&a, path, shape, half, &m);
		bool good = p != NULL;
		struct schedule s = {0};
		if (good) {
			s = random ? random_schedule(&a, p) : schedule_default(p, ISA_SM80);
			int cuts = cut(&a, p, &s, parts);
			good = cuts && agrees(&a, tile_build(&a, p, &s), half ? 1.6e-2 : 4e-5, &worst, &why);
		}
		ok(good, "%s N %d M %d D %d %s, %s in %d parts: apart by %.2g %s", strrchr(path, '/') + 1,
		   (int)shape->n, (int)shape->m, (int)shape->d, half ? "bf16" : "f32",
		   random ? "a random point" : "the default", (int)parts, worst, why.s);
		if (!good && p) {
			struct text t;
			text_init(&t, &a);
			schedule_print(p, &s, &t);
			printf("# with the schedule\n%s", t.s);
		}
	} else {
		ok(false, "%s: memory", path);
	}
	arena_free(&a);
}

int main(void)
{
	struct arena a;
	arena_init(&a);
	const char *missing = target_cuda_emulated.missing(&a);
	if (missing) {
		tap_skip(missing);
		return tap_done();
	}
	bool all = getenv("LONG") != NULL;
	for (size_t i = 0; i < PLAIN_EXAMPLES; i++)
		for (size_t k = 0; k < (all ? 4 * SHAPES * SPLITS : 3); k++) {
			size_t at = all ? k / 4 : i + k;
			state = 77 * i + k;
			try_one(plain_example[i], &shapes[at % SHAPES], (all ? k & 1 : k != 1),
			        (all ? k & 2 : k == 2) != 0, splits[(all ? at / SHAPES : i + k) % SPLITS]);
		}
	arena_free(&a);
	return tap_done();
}
