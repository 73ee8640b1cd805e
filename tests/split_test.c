/* split_test.c: walks cut in parts that are tasks of their own, joined by the derived corrections: every
 * example, every kind of reduction and every mode, at ragged sizes, in the tile interpreter and compiled. */
#include <stdio.h>

#include "dsl/parse.h"
#include "tests/stages_c.h"
#include "tests/plain_examples.h"
#include "tests/tap.h"

struct shape {
	int64_t n, m, d;
	int compiled; /* at one of the splits; 0: at none */
};

static const struct shape shapes[] = {
        {1, 200, 64, 2},                /* a decode step */
        {63, 200, 20, 3}, {5, 2, 8, 7}, /* fewer coordinates than parts */
        {100, 31, 8, 0},                /* rows that see nothing */
        {1, 1, 60, 0},    {3, 0, 8, 0}, {17, 40, 8, 0},
};
static const int64_t splits[] = {2, 3, 7};

#define ROWS "kernel test\nrank N, M, D\nin Q[N, D] : f32\nin K[M, D] : f32\n"
static const struct {
	const char *name, *text;
} cases[] = {
        {"reductions of every kind", ROWS
         "out A[N] : i32\nout F[N] : bool\nout G[N] : bool\nout H[N] : f32\nout I[N] : f32\nout J[N] : f32\n"
         "S[n,m] = sum[d](Q[n,d] * K[m,d])\nA[n] = argmax[m](S)\nF[n] = any[m](S > 3)\nG[n] = all[m](S < 3)\n"
         "H[n] = min[m](S)\nI[n] = prod[m](S / 2)\nJ[n] = mean[m](S)\n"},
        {"… of part of the range",
         ROWS "out A[N] : i32\nout F[N] : bool\nout G[N] : bool\nout J[N] : f32\n"
              "S[n,m] = sum[d](Q[n,d] * K[m,d]) where m > n and m % 3 != 1\n"
              "A[n] = argmax[m](S)\nF[n] = any[m](S > 0)\nG[n] = all[m](S < 0)\nJ[n] = mean[m](S)\n"},
        {"an argmax of ties",
         "kernel test\nrank N, M\nin X[N, M] : i32\nout A[N] : i32\nA[n] = argmax[m](X[n,m] % 2)\n"},
        {"a mean's moments", ROWS "out C[N] : f32\nS[n,m] = sum[d](Q[n,d] * K[m,d])\nU[n] = mean[m](S)\n"
                                  "C[n] = mean[m](pow(S[n,m] - U[n], 3)) + mean[m]((S - U) * (S - U))\n"},
        {"several accumulators", ROWS
         "rank E\nin V[M, E] : f32\nout O[N, E] : f32\nS[n,m] = sum[d](Q[n,d] * K[m,d])\nX[n] = max[m](S)\n"
         "O[n,e] = sum[m]((S - X) * exp(S - X) * V[m,e])\n"},
        {"an expansion", ROWS "out C[N] : f32\nS[n,m] = sum[d](Q[n,d] * K[m,d])\nU[n] = sum[m](abs(S))\n"
                              "C[n] = sum[m](S * S * U[n] + S * (1 + U[n] * U[n]))\n"},
};

static struct cascade *bound(struct arena *a, const char *name, const char *source, size_t size,
                             const struct shape *s, struct text *errors)
{
	struct diags d;
	diags_init(&d, a, name, source, size);
	struct cascade *c = cascade_parse(a, source, size, NULL, 0, &d);
	diags_print(&d, errors);
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND) {
			char r = *c->rank.v[i].name;
			c->rank.v[i].extent = r == 'B'   ? 1
			                      : r == 'H' ? 4
			                      : r == 'N' ? s->n
			                      : r == 'M' ? s->m
			                                 : s->d;
		}
	return c;
}

/* The schedule with every walk cut that may be; how many were. */
static int cut(const struct stages *s, struct schedule *schedule, int64_t parts)
{
	int count = 0;
	for (int i = 0; i < schedule->nstreams; i++) {
		schedule->stream[i].split = parts;
		if (split_illegal(s->arena, s->problem, schedule, i))
			schedule->stream[i].split = 0;
		else
			count++;
	}
	return count;
}

/* The forms of one cut: the default's tiles, small ones walked backwards, the naive form, a random point; the default
 * for a device and a random point of its space. */
static struct schedule form(struct stages *s, int i, enum isa isa)
{
	struct schedule schedule =
	        i == 2 ? schedule_naive(s->problem, isa) : schedule_default(s->problem, isa);
	if (i == 3 || i == 5)
		return stages_random(s, isa);
	for (int k = 0; i == 1 && k < schedule.nstreams; k++) {
		const struct stream_plan *p = &s->problem->fused_plan[k];
		schedule.stream[k].stream_tile = schedule_panel(p, &schedule.stream[k], schedule.isa);
		schedule.stream[k].down = true;
		schedule_settle_steps(s->problem, &schedule, k, &schedule.stream[k]);
	}
	return schedule;
}

static bool through(struct stages *s, int compiled, const char *by, int *cuts)
{
	const struct target *target = target_find(by);
	struct machine here;
	machine_detect(&here);
	bool compiles = target && !target->missing(s->arena);
	for (int k = 0; k < (int)(sizeof splits / sizeof *splits); k++)
		for (int i = 0; i < 6; i++) {
			enum isa isa = i >= 4  ? ISA_SM80
			               : i % 2 ? ISA_AVX2 : ISA_AVX512;
			struct schedule schedule = form(s, i, isa);
			*cuts += cut(s, &schedule, splits[k]);
			bool here_too = compiles && compiled == splits[k] && i == k % 2 &&
			                target->supports(schedule.isa) && schedule.isa <= here.isa;
			if (!stages_tried(s, &schedule, here_too ? target : NULL, 2e-5))
				return false;
		}
	return true;
}

static void try_one(const char *name, const char *source, size_t size, const struct shape *shape,
                    const char *target)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	a.limit = (size_t)2 << 30;
	if (ARENA_TRY(&a, &env)) {
		struct text errors;
		struct stages s = {0};
		int cuts = 0;
		text_init(&errors, &a);
		struct cascade *c = bound(&a, name, source, size, shape, &errors);
		bool good = c && stages_begin(&s, &a, c, 1) && through(&s, shape->compiled, target, &cuts);
		ok(good && cuts, "%s N %d M %d D %d: %d walks in parts mean the same %s%s", name,
		   (int)shape->n, (int)shape->m, (int)shape->d, cuts, errors.s ? errors.s : "",
		   s.fault.s ? s.fault.s : "");
	} else {
		ok(false, "%s: memory", name);
	}
	arena_free(&a);
}

static char *slurp(const char *path, size_t *size)
{
	static char text[1 << 16];
	FILE *f = fopen(path, "rb");
	*size = f ? fread(text, 1, sizeof text, f) : 0;
	if (f)
		fclose(f);
	return text;
}

static struct problem *problem(struct arena *a, const struct machine *m, const char *path,
                               const struct shape *s)
{
	struct text errors;
	struct diags d;
	size_t size;
	text_init(&errors, a);
	diags_init(&d, a, path, "", 0);
	const char *source = slurp(path, &size);
	struct cascade *c = bound(a, path, source, size, s, &errors);
	return c ? problem_new(a, c, m, &d) : NULL;
}

static int64_t choices(struct arena *a, const struct problem *p, enum isa isa)
{
	struct space space;
	space_init(a, &space, p, isa);
	for (int i = 0; i < space.dimensions; i++)
		if (space.dimension[i].field == FIELD_SPLIT)
			return space.dimension[i].value[space.dimension[i].choices - 1];
	return 0;
}

static void test_defaults(void)
{
	static const struct shape decode = {1, 32768, 64, 0}, prefill = {2048, 2048, 64, 0},
	                          narrow = {1, 512, 64, 0};
	const char *path = "examples/flash_causal_gqa.att";
	struct machine eight = stages_machine;
	struct arena a;
	arena_init(&a);
	eight.cores = 8;
	struct problem *p = problem(&a, &eight, path, &decode);
	struct schedule s = schedule_default(p, ISA_AVX512);
	ok(s.stream[0].split == 8, "one group of heads on eight cores: eight parts (%d)", (int)s.stream[0].split);
	ok(choices(&a, p, ISA_AVX512) >= 2, "… and a search tries more (%d)",
	   (int)choices(&a, p, ISA_AVX512));
	p = problem(&a, &stages_machine, path, &decode);
	s = schedule_default(p, ISA_AVX512);
	ok(s.stream[0].split == 2, "one group on two cores: two");
	p = problem(&a, &eight, path, &narrow);
	s = schedule_default(p, ISA_AVX512);
	ok(s.stream[0].split == 0, "a short walk: none");
	p = problem(&a, &eight, path, &prefill);
	s = schedule_default(p, ISA_AVX512);
	ok(s.stream[0].split == 0 && !choices(&a, p, ISA_AVX512), "many rows: none, and none to try");
	arena_free(&a);
}

static void test_refusals(void)
{
	static const struct shape shape = {63, 200, 64, 0};
	static const char pure[] = "kernel test\nrank N, M\nin X[N, M] : f32\nout Y[N, M] : f32\n"
	                           "out R[N] : f32\nY[n,m] = X[n,m] * 2\nR[n] = max[m](X)\n",
	                  dense[] =
	                          ROWS "out P[N, M] : f32\nout R[N] : f32\nP[n,m] = sum[d](Q[n,d] * K[m,d])\n"
	                               "R[n] = sum[m](P)\n";
	struct arena a;
	struct diags d;
	struct text errors;
	arena_init(&a);
	text_init(&errors, &a);
	struct problem *p = problem(&a, &stages_machine, "examples/cross_attention.att", &shape);
	struct schedule s = schedule_default(p, ISA_AVX512);
	s.stream[0].split = 5000;
	const char *why = schedule_illegal(&a, p, &s);
	ok(why && strstr(why, "1 to 1024 parts"), "refused: %s", why ? why : "(legal)");
	static const struct {
		const char *text, *expected;
	} refused[] = {{pure, "no parts to join"}, {dense, "stores what its tiles compute"}};
	for (int k = 0; k < 2; k++) {
		diags_init(&d, &a, "test", "", 0);
		p = problem_new(&a,
		                bound(&a, "test", refused[k].text, strlen(refused[k].text), &shape, &errors),
		                &stages_machine, &d);
		s = schedule_default(p, ISA_AVX512);
		bool met = false;
		for (int i = 0; i < s.nstreams; i++) {
			struct schedule one = s;
			one.stream[i].split = 2;
			why = schedule_illegal(&a, p, &one);
			met |= why && strstr(why, refused[k].expected);
		}
		ok(met, "refused: %s", refused[k].expected);
	}
	arena_free(&a);
}

int main(void)
{
	for (size_t i = 0; i < PLAIN_EXAMPLES; i++) {
		size_t size;
		const char *text = slurp(plain_example[i], &size);
		for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
			try_one(plain_example[i], text, size, &shapes[k], "clang");
	}
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
			try_one(cases[i].name, cases[i].text, strlen(cases[i].text), &shapes[k], "tcc");
	test_defaults();
	test_refusals();
	return tap_done();
}
