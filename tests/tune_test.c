/* The tuner on a made-up kernel: row sums in hand-written C whose speed depends on the point in a known way,
 * with planted faults. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dsl/dtype.h"
#include "search/loop.h"
#include "tests/tap.h"

static struct arena arena;
static char folder[] = "/tmp/attune-tune-XXXXXX";

enum { A = 6, B = 5, POINTS = A * B };

/* ---- the subject ---- */

struct sums {
	struct subject subject;
	int64_t n[2], k[2];
};

static int code_of(const struct schedule *s)
{
	return (int)s->stream[0].row_tile;
}

static bool legal(void *owner, const struct point *p)
{
	(void)owner;
	return p->choice[0] + p->choice[1] != 7;
}

static struct schedule schedule_at(void *owner, const struct point *p)
{
	(void)owner;
	struct schedule s = {.isa = ISA_SCALAR};
	s.stream[0].row_tile = p->choice[0] * B + p->choice[1];
	return s;
}

static struct point nearest(void *owner, const struct schedule *s)
{
	(void)owner;
	return (struct point){{(uint8_t)(code_of(s) / B), (uint8_t)(code_of(s) % B)}};
}

static const char *schedule_text(void *owner, struct arena *a, const struct schedule *s)
{
	(void)owner;
	return arena_printf(a, "sum %d", code_of(s));
}

static bool parse(void *owner, struct arena *a, const char *text, struct schedule *s)
{
	(void)owner;
	(void)a;
	*s = (struct schedule){.isa = ISA_SCALAR};
	if (strncmp(text, "sum ", 4))
		return false;
	s->stream[0].row_tile = atoi(text + 4);
	return code_of(s) < POINTS;
}

/* The rows are summed this many times over: the control 9, the best point (2, 3) once. */
static int passes(int code)
{
	int a = code / B, b = code % B;
	return 1 + 2 * abs(a - 2) + 2 * abs(b - 3);
}
enum { CONTROL = 0, BEST = 2 * B + 3 };

static bool render(void *owner, struct arena *a, const struct schedule *s, int workload,
                   struct kernel_source *k)
{
	const struct sums *x = owner;
	static const char form[] =
	        "struct at_args { void *const *data; const long *const *stride; void *work; };\n"
	        "/* schedule %d */\n"
	        "void sum_phase0(const struct at_args *args, long begin, long end, void *scratch)\n"
	        "{\n"
	        "	const float *x = args->data[0];\n"
	        "	float *y = args->data[1];\n"
	        "	double *t = scratch;\n"
	        "	for (int pass = 0; pass < %d; pass++)\n"
	        "		for (long i = begin; i < end; i++) {\n"
	        "			t[0] = 0;\n"
	        "			for (long k = 0; k < %d; k++)\n"
	        "				t[0] += x[i * %d + k];\n"
	        "			y[i] = t[0];\n"
	        "		}\n"
	        "}\n";
	int n = (int)x->n[workload], columns = (int)x->k[workload];
	*k = (struct kernel_source){.nphases = 1, .scratch_bytes = 8};
	k->text = arena_printf(a, form, code_of(s), passes(code_of(s)), columns, columns);
	k->digest = arena_printf(a, "%d at %d x %d", code_of(s), n, columns);
	k->phase = arena_new(a, struct kernel_phase);
	*k->phase = (struct kernel_phase){.symbol = "sum_phase0", .tasks = n};
	return true;
}

static struct argument argument(const char *name, enum role role, int nranks, int64_t n, int64_t k)
{
	struct argument x = {.name = name,
	                     .dtype = DTYPE_F32,
	                     .role = role,
	                     .nranks = nranks,
	                     .extent = {n, k},
	                     .stride = {nranks == 2 ? k : 1, 1},
	                     .count = nranks == 2 ? n * k : n};
	x.bytes = (size_t)dtype_bytes(x.dtype, x.count);
	return x;
}

static struct workload *workload(int64_t n, int64_t k)
{
	struct workload *w = arena_new(&arena, struct workload);
	w->shape = arena_printf(&arena, "N=%d K=%d", (int)n, (int)k);
	w->arguments = 2;
	w->argument = arena_new_array(&arena, 2, struct argument);
	w->argument[0] = argument("X", ROLE_IN, 2, n, k);
	w->argument[1] = argument("Y", ROLE_OUT, 1, n, 1);
	w->multiply_adds = (double)(n * k);
	for (int set = 0; set < INPUT_SETS; set++) {
		float *x = arena_new_array(&arena, (size_t)(n * k), float);
		double *y = arena_new_array(&arena, (size_t)n, double);
		uint64_t random = 9;
		for (int64_t i = 0; i < n * k; i++) {
			x[i] = (float)random_below(&random, 1000) * (set ? 100.0f : 0.01f);
			y[i / k] += (double)x[i];
		}
		w->input[set] = arena_new_array(&arena, 2, void *);
		w->expected[set] = arena_new_array(&arena, 2, double *);
		w->input[set][0] = x;
		w->expected[set][1] = y;
	}
	return w;
}

static struct sums *subject(void)
{
	struct sums *x = arena_new(&arena, struct sums);
	*x = (struct sums){.n = {37, 400}, .k = {19, 150}};
	x->subject = (struct subject){
	        .grid = {.dimensions = 2, .choices = {A, B}, .legal = legal, .owner = x},
	        .control = {.isa = ISA_SCALAR},
	        .workloads = 2,
	        .workload = {workload(37, 19), workload(400, 150)},
	        .schedule = schedule_at,
	        .nearest = nearest,
	        .text = schedule_text,
	        .parse = parse,
	        .render = render,
	        .owner = x,
	};
	return x;
}

/* ---- faults ---- */

enum fault {
	NONE,
	WRONG_RESULT,
	CRASH,
	LOOP,
	BESIDE,
	NOT_A_NUMBER,
	COMPILE_ERROR,
	INPUT_WRITTEN,
	RARELY_WRONG,
	FAULTS
};
static const enum trial_status fate[FAULTS] = {
        [NONE] = TRIAL_OK,
        [WRONG_RESULT] = TRIAL_WRONG,
        [CRASH] = TRIAL_CRASH,
        [LOOP] = TRIAL_TIMEOUT,
        [BESIDE] = TRIAL_CRASH,
        [NOT_A_NUMBER] = TRIAL_WRONG,
        [COMPILE_ERROR] = TRIAL_COMPILE_ERROR,
        [INPUT_WRITTEN] = TRIAL_WRONG,
        [RARELY_WRONG] = TRIAL_WRONG,
};
static const char *const evil[FAULTS] = {
        [WRONG_RESULT] = "begin = 0; end = 0; args->data[0];",
        [CRASH] = "*(volatile int *)8 = 1;",
        [LOOP] = "for (volatile int i = 0;; i++) ;",
        [BESIDE] = "((volatile float *)args->data[1])[end] = 1; ((volatile float *)args->data[1])[-1] = 1;",
        [NOT_A_NUMBER] = "((float *)args->data[1])[begin] = 0.0f / 0.0f; begin++;",
        [COMPILE_ERROR] = "this is no C;",
        [INPUT_WRITTEN] = "((float *)args->data[0])[begin] += 0.0001f;",
        [RARELY_WRONG] =
                "((float *)args->data[1])[end - 1] = 0; if (end > 300) end--;", /* not at the small shape */
};

static enum fault fault_of(int code)
{
	if (code == BEST)
		return WRONG_RESULT; /* what looks fastest is wrong */
	return code != CONTROL && code % 3 == 1 ? (enum fault)(1 + code / 3 % (FAULTS - 1)) : NONE;
}

struct planted {
	int compiled; /* texts asked for, evil ones too */
	int stop_after;
	volatile sig_atomic_t stop;
	double last_elapsed;
	int reports;
};

static const char *plant(void *owner, struct arena *a, int number, const char *schedule,
                         const struct kernel_source *k)
{
	struct planted *p = owner;
	(void)number;
	enum fault f = fault_of(atoi(schedule + 4));
	p->compiled++;
	const char *brace = strstr(k->text, "{\n\tconst float *x");
	return f == NONE ? NULL
	                 : arena_printf(a, "%.*s{\n%s\n%s", (int)(brace - k->text), k->text, evil[f],
	                                brace + 2);
}

static void progress(void *owner, const struct tune_progress *t)
{
	struct planted *p = owner;
	p->reports += t->activity && t->elapsed >= p->last_elapsed;
	p->last_elapsed = t->elapsed;
	if (p->stop_after && t->evaluated >= p->stop_after)
		p->stop = 1;
}

/* ---- running it ---- */

static struct cache_key key(void)
{
	return (struct cache_key){
	        .env = {.hardware = "hw",
	                .arch = "any",
	                .isa = "scalar",
	                .facts = "{}",
	                .codegen = "test",
	                .toolchain = "tcc",
	                .threads = 1,
	                .policy = "cpu"},
	        .problem = {.workload = "sums",
	                    .name = "sums",
	                    .contract = "X, Y",
	                    .nranks = 1,
	                    .rank = {"N"},
	                    .extent = {400}},
	};
}

struct run {
	const struct strategy *strategy;
	struct planted *planted;
	int evaluations;
	double seconds;
	uint64_t seed;
};

static bool search(const char *path, const struct run *how, struct tune_result *r)
{
	static struct machine machine;
	machine_detect(&machine);
	const struct tune_place place = {&machine, &target_tcc, ISA_SCALAR, 1, false};
	const struct tune_options o = {
	        .seconds = how->seconds > 0 ? how->seconds : 60,
	        .evaluations = how->evaluations,
	        .seed = how->seed ? how->seed : 1,
	        .strategy = how->strategy ? how->strategy : &strategy_genetic,
	        .stop = how->planted ? &how->planted->stop : NULL,
	        .progress = how->planted ? progress : NULL,
	        .plant = how->planted ? plant : NULL,
	        .owner = how->planted,
	};
	struct text reason;
	text_init(&reason, &arena);
	struct cache *c = cache_open(path);
	const struct cache_key k = key();
	struct sums *x = subject();
	bool good = search_run(&arena, &x->subject, &place, &k, c, &o, wall_seconds(), r, &reason);
	if (!good)
		printf("# %s\n", reason.s);
	cache_close(c);
	return good;
}

static char *file(const char *name)
{
	return arena_printf(&arena, "%s/%s/tune.db", folder, name);
}

static int legal_points(void)
{
	int n = 0;
	for (int code = 0; code < POINTS; code++)
		n += legal(NULL, &(struct point){{(uint8_t)(code / B), (uint8_t)(code % B)}});
	return n;
}

static int rejected(const struct tune_result *r)
{
	int n = 0;
	for (int i = 0; i < TRIAL_STATUSES; i++)
		n += r->rejected[i];
	return n;
}

/* The schedules on record and what became of them. */
struct recorded {
	int count, wrong_fate;
	bool seen[POINTS];
};

static void look(void *owner, const struct cache_trial *t)
{
	struct recorded *r = owner;
	int code = atoi(t->schedule + 4);
	r->count++;
	r->seen[code] = true;
	r->wrong_fate += t->status != fate[fault_of(code)] || (t->status != TRIAL_OK && !t->reason);
}

static struct recorded recorded(const char *path)
{
	struct recorded r = {0};
	struct cache *c = cache_open(path);
	const struct cache_key k = key();
	cache_each_trial(c, &k, look, &r);
	cache_close(c);
	return r;
}

static struct cache_found winner(const char *path)
{
	struct cache_found f = {.rung = CACHE_DEFAULT};
	struct cache *c = cache_open(path);
	const struct cache_key k = key();
	cache_lookup(c, &arena, &k, &f, 1);
	cache_close(c);
	return f;
}

/* The least number of passes among the points without a fault. */
static int fewest_passes(void)
{
	int least = 99;
	for (int code = 0; code < POINTS; code++) {
		if (fault_of(code) == NONE && passes(code) < least &&
		    legal(NULL, &(struct point){{(uint8_t)(code / B), (uint8_t)(code % B)}}))
			least = passes(code);
	}
	return least;
}

static double full_search; /* seconds that a whole search takes here */

static void test_faults(void)
{
	const char *path = file("faults");
	struct planted p = {0};
	struct tune_result r;
	int expected[TRIAL_STATUSES] = {0}, points = legal_points();
	for (int code = 0; code < POINTS; code++) {
		if (legal(NULL, &(struct point){{(uint8_t)(code / B), (uint8_t)(code % B)}}))
			expected[fate[fault_of(code)]]++;
	}
	double start = wall_seconds();
	if (!ok(search(path, &(struct run){.strategy = &strategy_exhaustive, .planted = &p}, &r),
	        "a space with faults in it is searched"))
		return;
	full_search = fmin(wall_seconds() - start, 60);
	ok(r.evaluated == points && r.complete, "every point is measured: %d of %d", r.evaluated, points);
	for (int i = TRIAL_OK + 1; i < TRIAL_STATUSES; i++)
		ok(r.rejected[i] == expected[i] && (!expected[i] || r.first_reason[i]),
		   "%d rejected as %s: %s", r.rejected[i], trial_status_name[i],
		   r.first_reason[i] ? r.first_reason[i] : "-");
	int code = code_of(&r.schedule);
	ok(fault_of(code) == NONE && passes(code) == fewest_passes(),
	   "the winner is right and the fastest of the right: %s", r.text);
	ok(r.ratio > 1.3 && r.best < r.control && r.error < 1e-6 && r.kept == CACHE_OK && !r.note,
	   "it is %.2f times as fast as the default", r.ratio);
	ok(p.reports > points, "progress is reported");
	struct cache_found f = winner(path);
	ok(f.rung == CACHE_EXACT && !strcmp(f.schedule, r.text) && f.complete, "the winner is in the cache");
	struct recorded rec = recorded(path);
	ok(rec.count >= points && !rec.wrong_fate, "so is every trial with what became of it");

	struct planted again = {0};
	struct tune_result r2;
	bool good = search(path, &(struct run){.strategy = &strategy_exhaustive, .planted = &again}, &r2);
	ok(good && r2.evaluated == 1 && r2.reused == points - 1,
	   "a second search measures the default only and reuses %d", r2.reused);
	ok(rejected(&r2) == rejected(&r) && passes(code_of(&r2.schedule)) == passes(code),
	   "and comes to the same");
}

static void test_interrupt(void)
{
	const char *path = file("interrupt");
	struct planted p = {.stop_after = 24}, rest = {0};
	struct tune_result r, r2;
	const struct run stopped = {.planted = &p, .strategy = &strategy_random};
	if (!ok(search(path, &stopped, &r), "an interrupted search returns"))
		return;
	ok(!r.complete && r.evaluated <= 24 + 1, "after what it was doing");
	struct cache_found f = winner(path);
	ok(f.rung == CACHE_EXACT && !f.complete && fault_of(atoi(f.schedule + 4)) == NONE &&
	           !strcmp(f.schedule, r.text),
	   "its best so far is kept, marked as incomplete");
	bool good = search(path, &(struct run){.planted = &rest, .strategy = &strategy_exhaustive}, &r2);
	ok(good && r2.complete && r2.reused == r.evaluated - 1 && r2.evaluated == legal_points() - r2.reused,
	   "the next one goes on where it stopped: %d reused, %d new", r2.reused, r2.evaluated);
	ok(passes(code_of(&r2.schedule)) == fewest_passes(), "and finds the best");
}

static void test_limits(void)
{
	struct tune_result r;
	struct planted early = {.stop_after = 1};
	ok(search(file("early"), &(struct run){.planted = &early}, &r) && !r.complete &&
	           winner(file("early")).rung == CACHE_EXACT && code_of(&r.schedule) == CONTROL,
	   "a search that is stopped at once keeps the default");
	struct planted p = {0};
	ok(search(file("few"), &(struct run){.evaluations = 5}, &r) && r.evaluated == 5 && !r.complete,
	   "a limit of evaluations holds");
	double start = wall_seconds();
	bool good = search(file("short"), &(struct run){.seconds = 0.5, .planted = &p}, &r);
	double took = wall_seconds() - start;
	ok(good && !r.complete && took < 5, "so does a limit of time: %.1f s", took);
	ok(search("", &(struct run){.strategy = &strategy_exhaustive}, &r) && code_of(&r.schedule) == BEST &&
	           r.kept != CACHE_OK,
	   "without a cache the winner is found all the same");
	ok(search(file("genetic"), &(struct run){0}, &r) && r.complete && passes(code_of(&r.schedule)) <= 3,
	   "the genetic search ends by itself, near the best");
}

static const char *break_control(void *owner, struct arena *a, int number, const char *schedule,
                                 const struct kernel_source *k)
{
	(void)owner;
	(void)schedule;
	(void)k;
	return number == 0 ? arena_strdup(a, "nonsense") : NULL;
}

static void test_bad_control(void)
{
	static struct machine machine;
	machine_detect(&machine);
	const struct tune_place place = {&machine, &target_tcc, ISA_SCALAR, 1, false};
	const struct tune_options o = {
	        .seconds = 5, .seed = 1, .strategy = &strategy_random, .plant = break_control};
	struct tune_result r;
	struct text reason;
	text_init(&reason, &arena);
	struct cache *c = cache_open(NULL);
	const struct cache_key k = key();
	bool good = search_run(&arena, &subject()->subject, &place, &k, c, &o, wall_seconds(), &r, &reason);
	ok(!good && strstr(reason.s, "compile_error"), "a default that does not compile is said: %s",
	   reason.s);
	cache_close(c);
}

/* In a child: does a search run out of memory when that allocation of it fails? 0 no, 1 yes, else it died. */
static int runs_out(uint64_t allocation)
{
	struct tune_result r;
	struct planted p = {0};
	jmp_buf env;
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		arena.fail_at = arena.count + allocation;
		if (!ARENA_TRY(&arena, &env))
			_exit(1);
		search(file("memory"), &(struct run){.evaluations = 20, .planted = &p}, &r);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_out_of_memory(void)
{
	struct tune_result r;
	struct planted p = {0};
	int out = 0, died = 0;
	static const uint64_t at[] = {40, 120, 160, 240, 1000000};
	for (int i = 0; i < 5; i++) {
		int how = runs_out(at[i]);
		out += how == 1;
		died += how < 0 || how > 1;
	}
	ok(!died && out >= 2 && out < 5, "running out of memory, %d of 5 times, ends a search in good order",
	   out);
	bool good = search(file("memory"), &(struct run){.evaluations = 20, .planted = &p}, &r);
	ok(good && r.kept == CACHE_OK, "and the next one works");
}

static void test_two_at_once(void)
{
	const char *path = file("both");
	pid_t pid[2];
	int failed = 0, st;
	fflush(stdout);
	for (int i = 0; i < 2; i++) {
		if (!(pid[i] = fork())) {
			struct planted p = {0};
			struct tune_result r;
			bool good = search(path,
			                   &(struct run){.strategy = &strategy_exhaustive,
			                                 .planted = &p,
			                                 .seed = (uint64_t)i + 1},
			                   &r);
			_exit(!good || r.kept != CACHE_OK ||
			      passes(code_of(&r.schedule)) > fewest_passes() + 2);
		}
	}
	for (int i = 0; i < 2; i++) {
		waitpid(pid[i], &st, 0);
		failed += st != 0;
	}
	struct cache *c = cache_open(path);
	struct cache_report report;
	ok(!failed, "two searches at once on one cache both finish");
	ok(cache_check(c, &arena, &report) == CACHE_OK && report.sound && report.winners == 1,
	   "and leave it sound with a winner");
	cache_close(c);
}

static void test_sudden_death(void)
{
	const char *path = file("killed");
	int kills = getenv("LONG") ? 100 : 10, good = 0;
	uint64_t random = 77;
	struct recorded before = {0};
	for (int i = 0; i < kills; i++) {
		fflush(stdout);
		pid_t pid = fork();
		if (!pid) {
			struct planted p = {0};
			struct tune_result r;
			search(path,
			       &(struct run){
			               .strategy = &strategy_random, .planted = &p, .seed = (uint64_t)i + 1},
			       &r);
			_exit(0);
		}
		usleep((useconds_t)random_below(&random, (int)(full_search * 1e6)));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		struct cache *c = cache_open(path);
		struct cache_report report;
		bool sound = !cache_said(c) && cache_check(c, &arena, &report) == CACHE_OK && report.sound;
		cache_close(c);
		struct recorded now = recorded(path);
		for (int k = 0; k < POINTS; k++)
			sound = sound && (now.seen[k] || !before.seen[k]);
		good += sound && now.count >= before.count && !now.wrong_fate;
		before = now;
	}
	ok(good == kills, "of %d searches killed at random %d lost no stored trial and left a sound cache",
	   kills, good);
	struct planted p = {0};
	struct tune_result r;
	bool found = search(path, &(struct run){.strategy = &strategy_exhaustive, .planted = &p}, &r);
	ok(found && r.complete && r.reused > 0 && passes(code_of(&r.schedule)) == fewest_passes(),
	   "after them a search reuses %d trials and finds the best", r.reused);
}

static void test_statistics(void)
{
	const double v[] = {5, 1, 2, 9, 3};
	struct statistics s = statistics_of(v, 5);
	ok(s.envelope == 1.5 && s.least == 1 && s.median == 3 && s.quartile == 2 && s.deviation == 2 &&
	           s.runs == 5,
	   "envelope, quartile, median, deviation");
	struct race r = {
	        .kernels = 2, .rounds = 6, .seconds = {{1, 1.01, 2, 1.02, 1, 3}, {0.5, 0.5, 9, 0.5, 0.5, 9}}};
	race_clean(&r, 3);
	ok(r.rounds == 4 && race_ratio(&r, 1).value == 2,
	   "rounds in which the control was disturbed do not count");
	struct race noisy = {.kernels = 1, .rounds = 4, .seconds = {{1, 1, 2, 3}}};
	race_clean(&noisy, 3);
	ok(noisy.rounds == 3, "unless too few would be left");
}

static void test_error(void)
{
	struct argument f = argument("Y", ROLE_OUT, 1, 3, 1), i = f;
	int64_t at;
	float got[] = {1, 2, NAN};
	double want[] = {1, 2, 3};
	ok(isinf(workload_error(&f, got, want, &at)) && at == 2, "a NaN is infinitely wrong");
	got[2] = 3.3f;
	ok(fabs(workload_error(&f, got, want, &at) - 0.1) < 1e-6, "an error is relative");
	want[0] = got[0] = -INFINITY;
	got[2] = 3;
	ok(workload_error(&f, got, want, &at) == 0, "an infinity is itself");
	got[0] = 0;
	ok(isinf(workload_error(&f, got, want, &at)), "and nothing else");
	want[0] = 1e300;
	ok(workload_error(&f, got, want, &at) == 0, "what the type cannot hold is not compared");
	int32_t whole[] = {1, 2, 3};
	double number[] = {1, 2, 4};
	struct argument rows = argument("Y", ROLE_OUT, 1, 8, 1);
	double two[] = {1, -1, 1, 0, 0.01, 0.01, 0.01, 0.01};
	uint16_t stored[8];
	rows.nranks = 2;
	rows.extent[0] = 2;
	rows.extent[1] = 4;
	rows.dtype = DTYPE_BF16;
	for (int k = 0; k < 8; k++)
		dtype_store(DTYPE_BF16, stored, k, two[k] + (k == 3 || k == 7) * 0.01);
	double large = workload_error(&rows, stored, two, &at);
	two[0] = two[1] = two[2] = 0.01;
	for (int k = 0; k < 3; k++)
		dtype_store(DTYPE_BF16, stored, k, two[k]);
	ok(large < 0.02 && workload_error(&rows, stored, two, &at) > 0.9, "of a narrow type by what its row is: %g", large);
	i.dtype = DTYPE_I32;
	ok(isinf(workload_error(&i, whole, number, &at)), "whole numbers are the same or wrong");
}

int main(void)
{
	jmp_buf env;
	arena_init(&arena);
	if (!ARENA_TRY(&arena, &env) || !mkdtemp(folder))
		return 1;
	test_statistics();
	test_error();
	test_faults();
	test_interrupt();
	test_limits();
	test_bad_control();
	test_out_of_memory();
	test_two_at_once();
	test_sudden_death();
	if (system(arena_printf(&arena, "rm -rf %s", folder)))
		ok(false, "the folder of the tests could not be removed");
	arena_free(&arena);
	return tap_done();
}
