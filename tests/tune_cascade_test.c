/* The tuner on a real cascade, from text to a kept kernel: what is found is right, is found again, and a
 * schedule that breaks what it computes does not get through. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dsl/parse.h"
#include "search/strategy.h"
#include "search/subject.h"
#include "search/tune.h"
#include "tests/tap.h"

static struct arena arena;
static char folder[] = "/tmp/attune-real-XXXXXX";

static const char attention[] = "kernel attention\n"
                                "rank H, N, M, D, E\n"
                                "in Q[H, N, D] : f32\n"
                                "in K[H, M, D] : f32\n"
                                "in V[H, M, E] : f32\n"
                                "out O[H, N, E] : f32\n"
                                "S[h,n,m] = Q[h,n,d] * K[h,m,d] / sqrt(D) where m <= n\n"
                                "P = softmax[m](S)\n"
                                "O[h,n,e] = P[h,n,m] * V[h,m,e]\n";

/* Operands of f32 that few rows use are read where they stand, in steps, by kernels that compute in f32 only. */
static const char standing[] = "kernel standing\n"
                               "rank D, H, N, M, E\n"
                               "in Q[H, N, D] : f32\n"
                               "in K[H, M, D] : f32\n"
                               "in V[H, M, E] : f32\n"
                               "out O[H, N, E] : f32\n"
                               "S[h,n,m] = Q[h,n,d] * K[h,m,d]\n"
                               "P = softmax[m](S)\n"
                               "O[h,n,e] = P[h,n,m] * V[h,m,e]\n";

/* The later the row, the larger what is added to all of its scores, which exact arithmetic takes away again.
 */
static const char rounding[] = "kernel rounding\n"
                               "rank N, M\n"
                               "in X[N] : f32\n"
                               "in Y[N, M] : f32\n"
                               "out O[N] : f32\n"
                               "P[n,m] = softmax[m](Y[n,m] + 4 * n * X[n])\n"
                               "O[n] = P[n,m] * Y[n,m]\n";

static struct cascade *parsed(const char *text)
{
	struct diags d;
	diags_init(&d, &arena, "test.att", text, strlen(text));
	struct cascade *c = cascade_parse(&arena, text, strlen(text), NULL, 0, &d);
	if (!c) {
		struct text t;
		text_init(&t, &arena);
		diags_print(&d, &t);
		printf("Bail out! %s\n", t.s);
		exit(1);
	}
	return c;
}

static struct cascade *of_extents(const char *text, const int64_t extent[5])
{
	struct cascade *c = parsed(text);
	static const char *const name[] = {"H", "N", "M", "D", "E"};
	for (int i = 0; i < 5; i++)
		c->rank.v[cascade_find_rank(c, name[i])].extent = extent[i];
	return c;
}

static struct cascade *cascade(int64_t n)
{
	return of_extents(attention, (const int64_t[]){2, n, n + 9, 32, 32});
}

struct tried {
	int texts;
	bool sabotage; /* of everything but the control */
};

/* A kernel that does only half of its tasks is faster, and wrong. */
static const char *plant(void *owner, struct arena *a, int number, const char *schedule,
                         const struct kernel_source *k)
{
	struct tried *t = owner;
	(void)schedule;
	t->texts++;
	if (!t->sabotage || number == 0)
		return NULL;
	const char *last = k->phase[k->nphases - 1].symbol;
	return arena_printf(a,
	                    "#define %s inner\n%s\n#undef %s\n"
	                    "void %s(const struct at_args *args, long begin, long end, void *scratch);\n"
	                    "void %s(const struct at_args *args, long begin, long end, void *scratch)\n"
	                    "{\n\tinner(args, begin, begin + (end - begin) / 2, scratch);\n}\n",
	                    last, k->text, last, last, last);
}

static void test_subject(const struct tune_place *place)
{
	struct text reason, note;
	text_init(&reason, &arena);
	text_init(&note, &arena);
	struct subject *s = subject_new(&arena, cascade(200), place, NULL, 1, &reason, &note);
	if (!ok(s != NULL, "a cascade becomes a subject: %s", reason.s))
		return;
	ok(s->workloads >= 2 && !note.len, "with %d small shapes", s->workloads - 1);
	for (int i = 0; i + 1 < s->workloads; i++)
		ok(strcmp(s->workload[i]->shape, s->workload[s->workloads - 1]->shape) &&
		           s->workload[i]->multiply_adds < 1e7 && s->workload[i]->expected[SET_NORMAL] &&
		           s->workload[i]->expected[SET_LARGE],
		   "one is %s", s->workload[i]->shape);
	struct point near = s->nearest(s->owner, &s->control);
	ok(s->grid.legal(s->grid.owner, &near), "the default is near a legal point");
	struct schedule back;
	ok(s->parse(s->owner, &arena, s->text(s->owner, &arena, &s->control), &back) &&
	           !strcmp(s->text(s->owner, &arena, &back), s->text(s->owner, &arena, &s->control)),
	   "and its text reads back");
	ok(!s->parse(s->owner, &arena, "isa z80", &back), "another text does not");
	s->close(s->owner);
	struct cascade *c = of_extents(standing, (const int64_t[]){8, 2048, 2048, 64, 64});
	s = subject_new(&arena, c, place, NULL, 1, &reason, &note);
	if (ok(s != NULL, "so does one whose small shapes use operands where they stand: %s", reason.s))
		s->close(s->owner);
}

static struct problem *problem(struct cascade *c, const struct machine *m)
{
	struct diags d;
	diags_init(&d, &arena, "attention.att", "", 0);
	return problem_new(&arena, c, m, &d);
}

static void test_tuning(const struct tune_place *place)
{
	struct cache *cache = cache_open(arena_printf(&arena, "%s/tune.db", folder));
	struct text reason;
	struct tune_result r;
	struct tune_choice c;
	struct tried tried = {0};
	text_init(&reason, &arena);
	struct cascade *bound = cascade(100);
	struct problem *p = problem(bound, place->machine);

	tune_choose(&arena, bound, p, place, cache, &c);
	ok(c.rung == CACHE_DEFAULT && !c.object.bytes && c.source_key,
	   "before a search the default is chosen");
	const struct tune_options o = {.seconds = 60, .evaluations = 6, .plant = plant, .owner = &tried};
	if (!ok(tune(&arena, bound, place, cache, &o, &r, &reason), "a cascade is tuned: %s", reason.s))
		return;
	ok(r.evaluated == 6 && r.kept == CACHE_OK && r.error < 1e-3 && r.best > 0 && r.ratio >= 1 &&
	           tried.texts > 6,
	   "after 6 candidates the winner is %.2f times the default", r.ratio);
	struct schedule s = r.schedule;
	ok(!schedule_illegal(&arena, p, &s), "it is legal");
	tune_choose(&arena, bound, p, place, cache, &c);
	ok(c.rung == CACHE_EXACT && !strcmp(c.text, r.text) && c.object.bytes && c.options.optimise == 3,
	   "now the winner is chosen, with its code");
	struct text d;
	text_init(&d, &arena);
	struct module *m = place->target->load(&c.object, &c.options, &d);
	ok(m && place->target->symbol(m, c.source.phase[0].symbol), "which loads");
	if (m)
		place->target->unload(m);
	object_free(&c.object);

	struct cascade *other = cascade(120);
	tune_choose(&arena, other, problem(other, place->machine), place, cache, &c);
	ok(c.rung == CACHE_NEAREST && !c.object.bytes && c.shape, "another shape gets its schedule");
	struct tune_place elsewhere = *place;
	elsewhere.threads = 7;
	tune_choose(&arena, bound, p, &elsewhere, cache, &c);
	ok(c.rung == CACHE_ARCH, "so does another environment of this kind of machine");

	struct tried evil = {.sabotage = true};
	const struct tune_options bad = {
	        .seconds = 60, .evaluations = 5, .seed = 3, .plant = plant, .owner = &evil};
	struct tune_result r2;
	struct cascade *third = cascade(90);
	bool good = tune(&arena, third, place, cache, &bad, &r2, &reason);
	ok(good && r2.rejected[TRIAL_WRONG] == r2.evaluated - 1 && r2.ratio == 1,
	   "kernels that do half the work are rejected, all %d: %s", good ? r2.rejected[TRIAL_WRONG] : 0,
	   good && r2.first_reason[TRIAL_WRONG] ? r2.first_reason[TRIAL_WRONG] : "-");
	cache_close(cache);
}

/* A right schedule of a program that multiplies rounding is not called wrong; nor does that excuse a wrong
 * one. */
static void test_rounding(const struct tune_place *place)
{
	struct cache *cache = cache_open(arena_printf(&arena, "%s/rounding.db", folder));
	struct cascade *c = parsed(rounding);
	c->rank.v[cascade_find_rank(c, "N")].extent = 4000;
	c->rank.v[cascade_find_rank(c, "M")].extent = 20;
	struct tried evil = {.sabotage = true};
	const struct tune_options o = {.seconds = 60, .evaluations = 4, .plant = plant, .owner = &evil};
	struct tune_result r;
	struct text reason;
	text_init(&reason, &arena);
	if (ok(tune(&arena, c, place, cache, &o, &r, &reason),
	       "a program that multiplies rounding is tuned: %s", reason.s)) {
		ok(r.error > 1e-4 && r.error < 1e-2 && r.note && strstr(r.note, "rounding"),
		   "its error of %.2g is allowed, and said", r.error);
		ok(r.rejected[TRIAL_WRONG] == r.evaluated - 1,
		   "and kernels that do half the work are still rejected");
	}
	cache_close(cache);
}

int main(void)
{
	jmp_buf env;
	static struct machine machine;
	arena_init(&arena);
	if (!ARENA_TRY(&arena, &env) || !mkdtemp(folder))
		return 1;
	machine_detect(&machine);
	/* tcc compiles in a millisecond and is always there; what is tuned does not matter here. */
	const struct tune_place place = {&machine, &target_tcc, ISA_SCALAR, 1, false};
	test_subject(&place);
	test_tuning(&place);
	test_rounding(&place);
	if (system(arena_printf(&arena, "rm -rf %s", folder)))
		ok(false, "the folder of the tests could not be removed");
	arena_free(&arena);
	return tap_done();
}
