/* tune_device_test.c: the search for a device on which nothing is run: modelled, judged by the assembler's
 * log where there is one, proved by the emulator, kept and found again. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dsl/parse.h"
#include "search/subject.h"
#include "tests/tap.h"

static struct arena arena;
static char folder[] = "/tmp/attune-tune-device-XXXXXX";

static struct cascade *cascade(int64_t n)
{
	static char text[1 << 14];
	struct diags d;
	FILE *f = fopen("examples/flash_causal_gqa.att", "rb");
	size_t size = f ? fread(text, 1, sizeof text, f) : 0;
	if (f)
		fclose(f);
	diags_init(&d, &arena, "flash_causal_gqa.att", text, size);
	struct cascade *c = cascade_parse(&arena, text, size, NULL, 0, &d);
	for (uint32_t i = 0; c && i < c->rank.n; i++) {
		char r = *c->rank.v[i].name;
		c->rank.v[i].extent = r == 'B' ? 1 : r == 'H' ? 4 : r == 'N' || r == 'M' ? n : 32;
	}
	for (uint32_t i = 0; c && i < c->tensor.n; i++)
		if (c->tensor.v[i].role != ROLE_LOCAL && c->tensor.v[i].nranks == 4)
			c->tensor.v[i].dtype = DTYPE_BF16;
	return c;
}

static struct problem *problem(struct cascade *c, const struct machine *m)
{
	struct diags d;
	diags_init(&d, &arena, "flash_causal_gqa.att", "", 0);
	return c ? problem_new(&arena, c, m, &d) : NULL;
}

static void test_subject(const struct tune_place *place, struct cascade *c)
{
	struct text reason, note;
	text_init(&reason, &arena);
	text_init(&note, &arena);
	struct subject *s = subject_new(&arena, c, place, NULL, 1, &reason, &note);
	if (!ok(s && s->model && s->workloads >= 2,
	        "a cascade for a device becomes a subject with a model %s", reason.s))
		return;
	const struct workload *real = s->workload[s->workloads - 1];
	ok(!real->input[SET_NORMAL] && !real->expected[SET_NORMAL], "nothing is computed at the real shape");
	struct kernel_source k;
	struct resources bad = {.registers = 255, .blocks = 1, .reject = "C7512: …"}, *two;
	for (int i = 0; i < s->workloads; i++)
		ok(s->render(s->owner, &arena, &s->control, i, &k) && k.text, "the default is rendered at %s",
		   s->workload[i]->shape);
	two = arena_new_array(&arena, (size_t)k.nphases, struct resources);
	for (int i = 0; i < k.nphases; i++)
		two[i] = bad;
	ok(isfinite(s->model(s->owner, &arena, &s->control, &k, NULL)), "it is modelled without a log");
	ok(isinf(s->model(s->owner, &arena, &s->control, &k, two)),
	   "… and costs infinity with a log that rejects it");
	s->close(s->owner);
}

static void test_tuning(const struct tune_place *place, struct cascade *c)
{
	struct cache *cache = cache_open(arena_printf(&arena, "%s/tune.db", folder));
	struct text reason;
	struct tune_result r, again;
	struct tune_choice found;
	struct diags d;
	struct schedule s;
	text_init(&reason, &arena);
	struct problem *p = problem(c, place->machine);
	const struct tune_options o = {.seconds = 60, .evaluations = 10};
	bool good = tune(&arena, c, place, cache, &o, &r, &reason);
	if (!ok(good, "a search without a device ends: %d candidates, %.3g s by the model %s",
	        good ? r.evaluated : 0, good ? r.best : 0, reason.s))
		return;
	diags_init(&d, &arena, "schedule", r.text, strlen(r.text));
	ok(schedule_parse(p, r.text, strlen(r.text), &s, &d) && !schedule_illegal(&arena, p, &s),
	   "its winner is a legal schedule");
	ok(r.best > 0 && r.best <= r.control && r.ratio >= 1, "no slower than the default: %.2fx", r.ratio);
	ok(r.note && strstr(r.note, "not measured"), "it says so: %s", r.note ? r.note : "(nothing)");
	ok(r.kept == CACHE_OK && r.error > 0 && r.error < 0.02, "it was proved, with error %.2g, and is kept",
	   r.error);
	tune_choose(&arena, c, p, place, cache, &found);
	ok(found.rung == CACHE_EXACT && !strcmp(found.text, r.text), "the cache answers with it");
	ok(found.object.bytes, "… and its code");
	object_free(&found.object);
	struct cascade *other = cascade(320);
	tune_choose(&arena, other, problem(other, place->machine), place, cache, &found);
	ok(found.rung == CACHE_NEAREST, "another shape starts from it");
	struct tune_place measured = *place;
	measured.modelled = false;
	tune_choose(&arena, c, p, &measured, cache, &found);
	ok(found.rung != CACHE_EXACT, "where things are measured it is not the winner of that very place");
	object_free(&found.object);
	good = tune(&arena, c, place, cache, &o, &again, &reason);
	ok(good && again.reused > 0 && again.best <= r.best * 1.0001,
	   "a second search takes over %d candidates", again.reused);
	cache_close(cache);
}

/* The emulator in place of a device that runs: its times mean nothing, the way to them is a device's. */
static void test_measured(const struct machine *m, struct cascade *c)
{
	const struct tune_place place = {m, &target_cuda_emulated, ISA_SM80, 1, false};
	struct cache *cache = cache_open(arena_printf(&arena, "%s/tune.db", folder));
	struct text reason;
	struct tune_result r;
	struct tune_choice found;
	text_init(&reason, &arena);
	const struct tune_options o = {.seconds = 20, .evaluations = 3};
	bool good = tune(&arena, c, &place, cache, &o, &r, &reason);
	if (!ok(good && r.best > 0 && r.error > 0, "a search where kernels run ends: %d candidates, %.3g s %s",
	        good ? r.evaluated : 0, good ? r.best : 0, reason.s))
		return;
	ok(!r.note, "it has nothing to say of a model %s", r.note ? r.note : "");
	tune_choose(&arena, c, problem(c, m), &place, cache, &found);
	ok(r.kept == CACHE_OK && found.rung == CACHE_EXACT && found.object.bytes, "the cache answers with its winner");
	object_free(&found.object);
	cache_close(cache);
}

/* A kernel that stores nothing is quicker, and wrong. */
static const char *sabotage(void *owner, struct arena *a, int number, const char *schedule,
                            const struct kernel_source *k)
{
	struct text t;
	(void)owner, (void)schedule;
	if (!number)
		return NULL;
	text_init(&t, a);
	text_printf(&t, "struct at_device_args { void *data[%d]; long stride[1]; void *work; };\n", k->narguments);
	for (int i = 0; i < k->nphases; i++)
		text_printf(&t, "AT_KERNEL(%s, 32)\n{\n\t(void)AT_ARGS;\n}\n", k->phase[i].symbol);
	return t.s;
}

static void test_wrong(const struct machine *m, struct cascade *c)
{
	const struct tune_place place = {m, &target_cuda_emulated, ISA_SM80, 1, false};
	struct cache *off = cache_open(NULL);
	struct text reason;
	struct tune_result r;
	text_init(&reason, &arena);
	const struct tune_options o = {.seconds = 20, .evaluations = 3, .plant = sabotage};
	bool good = tune(&arena, c, &place, off, &o, &r, &reason);
	ok(good && r.rejected[TRIAL_WRONG] == r.evaluated - 1 && r.ratio == 1,
	   "kernels that store nothing are found wrong: %s %s", good ? r.first_reason[TRIAL_WRONG] : "", reason.s);
	cache_close(off);
}

/* Every kernel but the default's keeps more numbers than a thread of a block of 1024 may have registers. */
static const char *plant(void *owner, struct arena *a, int number, const char *schedule,
                         const struct kernel_source *k)
{
	struct text t;
	(void)owner, (void)schedule;
	if (!number)
		return NULL;
	text_init(&t, a);
	text_printf(&t, "struct at_device_args { void *data[%d]; long stride[1]; void *work; };\n",
	            k->narguments);
	for (int i = 0; i < k->nphases; i++)
		text_printf(
		        &t,
		        "AT_KERNEL(%s, 1024)\n{\n\tfloat x[160], *p = (float *)AT_ARGS->data[0];\n"
		        "\tAT_UNROLL\n\tfor (int i = 0; i < 160; i++)\n\t\tx[i] = p[32 * i + at_thread()];\n"
		        "\tfor (long r = 0; r < AT_ARGS->stride[0]; r++) {\n\t\tAT_UNROLL\n"
		        "\t\tfor (int i = 0; i < 160; i++)\n\t\t\tx[i] = x[i] * x[(i + 77) %% 160] + "
		        "p[r];\n\t}\n"
		        "\tAT_UNROLL\n\tfor (int i = 0; i < 160; i++)\n\t\tp[32 * i + at_thread()] = "
		        "x[i];\n}\n",
		        k->phase[i].symbol);
	return t.s;
}

static void test_log(const struct machine *m, struct cascade *c)
{
	const struct tune_place place = {m, &target_cuda, ISA_SM80, 1, true};
	const char *missing = target_cuda.missing(&arena);
	struct text reason;
	struct tune_result r;
	text_init(&reason, &arena);
	if (missing) {
		tap_skip(missing);
		return;
	}
	const struct tune_options o = {.seconds = 120, .evaluations = 4, .plant = plant};
	struct cache *off = cache_open(NULL);
	bool good = tune(&arena, c, &place, off, &o, &r, &reason);
	const char *why = good ? r.first_reason[TRIAL_PRUNED] : NULL;
	ok(good && r.rejected[TRIAL_PRUNED] == r.evaluated - 1 && why && strstr(why, "spills"),
	   "kernels that spill are refused by the assembler's log: %s %s", why ? why : "(none were)",
	   reason.s);
	ok(good && r.ratio == 1, "… and the default stays");
	cache_close(off);
}

int main(void)
{
	struct machine m;
	arena_init(&arena);
	const char *missing = target_cuda_emulated.missing(&arena);
	if (missing || !mkdtemp(folder) || !capability_machine(80, &m)) {
		tap_skip(missing ? missing : "no folder to test in");
		return tap_done();
	}
	const struct tune_place place = {&m, &target_cuda_emulated, ISA_SM80, 1, true};
	struct cascade *c = cascade(256);
	test_subject(&place, c);
	test_tuning(&place, c);
	c = cascade(48);
	test_measured(&m, c);
	test_wrong(&m, c);
	test_log(&m, cascade(256));
	for (int i = 0; i < 4; i++) {
		static const char *const file[] = {"tune.db", "tune.db.lock", "tune.db-wal", "tune.db-shm"};
		remove(arena_printf(&arena, "%s/%s", folder, file[i]));
	}
	rmdir(folder);
	arena_free(&arena);
	return tap_done();
}
