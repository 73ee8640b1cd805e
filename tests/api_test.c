/* api_test.c: the library as a program of someone else's uses it, through attune.h alone. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attune.h"
#include "tests/tap.h"

static const char attention[] = "kernel attention\n"
                                "rank H, N, M, D, E\n"
                                "in  Q[H, N, D] : f32\n"
                                "in  K[H, M, D] : f32\n"
                                "in  V[H, M, E] : f32\n"
                                "out O[H, N, E] : f32\n"
                                "S[h,n,m] = Q[h,n,d] * K[h,m,d] / sqrt(D)  where m <= n + (M - N)\n"
                                "P = softmax[m](S)\n"
                                "O[h,n,e] = P[h,n,m] * V[h,m,e]\n";

enum { Q, K, V, O, TENSORS };

struct shape {
	int64_t h, n, m, d, e;
};

/* Four dense tensors of a shape. */
struct problem {
	DLTensor tensor[TENSORS];
	const DLTensor *pointer[TENSORS];
	int64_t extent[TENSORS][3];
	float *data[TENSORS];
	size_t count[TENSORS];
};

static void problem_init(struct problem *p, struct shape s)
{
	int64_t extent[TENSORS][3] = {{s.h, s.n, s.d}, {s.h, s.m, s.d}, {s.h, s.m, s.e}, {s.h, s.n, s.e}};
	uint32_t random = 1;
	memcpy(p->extent, extent, sizeof extent);
	for (int i = 0; i < TENSORS; i++) {
		p->count[i] = (size_t)(extent[i][0] * extent[i][1] * extent[i][2]);
		p->data[i] = calloc(p->count[i] + 1, sizeof(float));
		if (!p->data[i])
			abort();
		for (size_t k = 0; k < p->count[i]; k++) {
			random = random * 1664525u + 1013904223u;
			p->data[i][k] = (float)(random >> 8) / 4194304.0f - 2;
		}
		p->tensor[i] = (DLTensor){.data = p->data[i],
		                          .device = {kDLCPU, 0},
		                          .ndim = 3,
		                          .dtype = {kDLFloat, 32, 1},
		                          .shape = p->extent[i]};
		p->pointer[i] = &p->tensor[i];
	}
}

static void problem_free(struct problem *p)
{
	for (int i = 0; i < TENSORS; i++)
		free(p->data[i]);
}

static float *copy_of(const float *x, size_t n)
{
	float *y = malloc((n + 1) * sizeof *y);
	if (!y)
		abort();
	memcpy(y, x, n * sizeof *y);
	return y;
}

static double worst(const float *x, const float *y, size_t n)
{
	double most = 0;
	for (size_t i = 0; i < n; i++) {
		double d = fabs((double)x[i] - (double)y[i]);
		if (!(d <= most))
			most = d;
	}
	return most;
}

static struct attune_context *context_with(const char *cache, int threads)
{
	struct attune_context *c = NULL;
	struct attune_error error;
	if (attune_context_new(&(struct attune_options){.cache = cache, .threads = threads}, &c, &error))
		printf("# %s\n", error.message);
	return c;
}

static struct attune_program *program_of(struct attune_context *c, const char *text, const struct problem *p)
{
	struct attune_program *program = NULL;
	struct attune_error error;
	if (attune_program_new(c, &(struct attune_source){.text = text}, &program, &error) ||
	    (p && attune_program_infer(program, p->pointer, TENSORS, &error)))
		printf("# %s\n", error.message);
	return program;
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- what a caller gets wrong ---- */

static void test_mistakes(void)
{
	struct attune_context *c = NULL;
	struct attune_error error = {0};
	ok(attune_context_new(&(struct attune_options){.isa = "avx9"}, &c, &error) == ATTUNE_USAGE && !c &&
	           strstr(error.message, "avx9"),
	   "an unknown ISA is the caller's mistake, and named");
	ok(attune_context_new(&(struct attune_options){.target = "cc"}, &c, &error) == ATTUNE_USAGE &&
	           strstr(error.message, "clang"),
	   "so is an unknown target; the message has those there are");
	ok(attune_context_new(&(struct attune_options){.threads = -1}, &c, NULL) == ATTUNE_USAGE,
	   "a negative number of threads, without asking for a message");

	c = context_with("", 1);
	struct attune_program *p = NULL;
	enum attune_status status = attune_program_new(
	        c,
	        &(struct attune_source){.text = "kernel k\nrank N\nout Y[N] : f32\nY[n] = X[n] + z\n",
	                                .name = "k.att"},
	        &p, &error);
	int n = 0;
	const struct attune_diagnostic *d = p ? attune_program_diagnostics(p, &n) : NULL;
	ok(status == ATTUNE_PROGRAM && n >= 1 && d[0].line == 4 && d[0].column > 0 &&
	           strstr(d[0].text, "k.att:4:"),
	   "a broken program gives its diagnostics as data");
	ok(n >= 1 && d[0].end > d[0].begin && strstr(error.message, d[0].message), "with ranges of bytes");
	ok(attune_explain(p, NULL, ATTUNE_TEXT, &(char *){NULL}, &error) == ATTUNE_PROGRAM,
	   "and can do nothing else");
	attune_program_free(p);

	struct problem x;
	problem_init(&x, (struct shape){2, 5, 7, 8, 6});
	p = program_of(c, attention, NULL);
	x.extent[V][1] = 6;
	ok(attune_program_infer(p, x.pointer, TENSORS, &error) == ATTUNE_USAGE &&
	           strstr(error.message, "'K'") && strstr(error.message, "'V'") &&
	           strstr(error.message, "'M'"),
	   "tensors that disagree are both named");
	attune_program_free(p);
	p = program_of(c, attention, NULL);
	struct attune_kernel *k = NULL;
	ok(attune_compile(p, NULL, &k, &error) == ATTUNE_USAGE && strstr(error.message, "rank"),
	   "compiling wants extents");
	ok(attune_program_bind(p, &(struct attune_binding){"N", 2.5}, 1, &error) == ATTUNE_USAGE,
	   "half an extent");
	ok(attune_program_bind(p, &(struct attune_binding){"X", 2}, 1, &error) == ATTUNE_USAGE &&
	           strstr(error.message, "H, N, M, D, E"),
	   "an unknown rank; the message has those there are");
	attune_program_free(p);
	x.extent[V][1] = 7;
	p = program_of(c, attention, &x);
	ok(attune_compile(p, &(struct attune_compile_options){.schedule = "nonsense"}, &k, &error) ==
	           ATTUNE_USAGE,
	   "a schedule that is none");
	attune_program_free(p);
	problem_free(&x);
	attune_context_free(c);
}

/* ---- calls ---- */

/* Two elements a byte, rows of odd length; what a row of the result shares with the next is not lost. */
static void test_half_bytes(void)
{
	enum { ROWS = 301, ROW = 7 };
	static const char text[] = "kernel halves\nrank N, D\nin X[N, D] : i4\nout Y[N, D] : i4\n"
	                           "Y[n,d] = i4(max(X[n,d], -7) * (1 - 2 * (d % 2)))\n";
	static unsigned char x[(ROWS * ROW + 1) / 2], y[(ROWS * ROW + 1) / 2];
	int64_t shape[] = {ROWS, ROW};
	DLTensor tensor[2];
	const DLTensor *pointer[] = {&tensor[0], &tensor[1]};
	for (int i = 0; i < 2; i++)
		tensor[i] = (DLTensor){.data = i ? y : x, .device = {kDLCPU, 0}, .ndim = 2, .dtype = {kDLInt, 4, 1}, .shape = shape};
	for (size_t i = 0; i < sizeof x; i++)
		x[i] = (unsigned char)(i * 37 + 11);
	struct attune_context *c = context_with("", 2);
	struct attune_program *p = NULL;
	struct attune_kernel *k = NULL;
	struct attune_error error = {0};
	const struct attune_binding binding[] = {{"N", ROWS}, {"D", ROW}};
	bool good = !attune_program_new(c, &(struct attune_source){.text = text}, &p, &error) &&
	            !attune_program_bind(p, binding, 2, &error) &&
	            !attune_compile(p, &(struct attune_compile_options){.wait = true}, &k, &error);
	int wrong = 0;
	for (int turn = 0; good && turn < 100; turn++) {
		memset(y, turn, sizeof y);
		good = !attune_call(k, pointer, 2, NULL, &error);
		for (int i = 0; good && i < ROWS * ROW; i++) {
			int have = (int)(x[i / 2] >> i % 2 * 4 & 15), got = (int)(y[i / 2] >> i % 2 * 4 & 15);
			have = have < 8 ? have : have - 16;
			have = (have < -7 ? -7 : have) * (i % ROW % 2 ? -1 : 1);
			wrong += (have & 15) != got;
		}
	}
	ok(good && !wrong, "rows of seven halves of a byte, by two threads: %d wrong %s", wrong, error.message);
	attune_kernel_free(k);
	attune_program_free(p);
	attune_context_free(c);
}

/* The text's types are defaults. */
static void test_types(void)
{
	struct attune_context *c = context_with("", 1);
	struct attune_program *p = NULL, *plain = NULL;
	struct attune_error error = {0};
	struct attune_type type[] = {{"Q", "bf16"}, {"O", "f16"}, {"P", "bf16"}};
	struct attune_source source = {.text = attention, .types = type, .ntypes = 2};
	int n = 0;
	ok(attune_program_new(c, &source, &p, &error) == ATTUNE_OK &&
	           attune_program_new(c, &(struct attune_source){.text = attention}, &plain, NULL) == ATTUNE_OK,
	   "a program with types of its caller's %s", error.message);
	const struct attune_tensor *t = attune_program_tensors(p, &n);
	ok(n == TENSORS && t[Q].dtype.code == kDLBfloat && !strcmp(t[K].type, "f32") && !strcmp(t[O].type, "f16"),
	   "declares its arguments so");
	ok(strcmp(attune_program_digest(p), attune_program_digest(plain)) != 0, "and is another kernel");
	attune_program_free(p);
	source.ntypes = 3;
	p = NULL;
	ok(attune_program_new(c, &source, &p, &error) == ATTUNE_PROGRAM && strstr(error.message, "'P'"),
	   "a local is no argument: %s", error.message);
	attune_program_free(p);
	attune_program_free(plain);
	attune_context_free(c);
}

static void test_call(struct shape s, const char *what)
{
	struct attune_context *c = context_with("", 2);
	struct problem x;
	problem_init(&x, s);
	struct attune_program *p = program_of(c, attention, &x);
	struct attune_kernel *k = NULL;
	struct attune_error error = {0};
	struct attune_kernel_info info;
	if (!ok(attune_compile(p, &(struct attune_compile_options){.wait = true}, &k, &error) == ATTUNE_OK,
	        "%s: compile %s", what, error.message))
		goto out;
	ok(attune_call(k, x.pointer, TENSORS, NULL, &error) == ATTUNE_OK, "%s: call %s", what, error.message);
	float *have = copy_of(x.data[O], x.count[O]);
	ok(attune_oracle(p, x.pointer, TENSORS, &error) == ATTUNE_OK, "%s: oracle %s", what, error.message);
	ok(worst(have, x.data[O], x.count[O]) < 2e-5, "%s: kernel and oracle agree within %g", what,
	   worst(have, x.data[O], x.count[O]));
	attune_kernel_describe(k, &info);
	ok(info.ready && *info.schedule && strlen(info.digest) == 64, "%s: described", what);
	free(have);
out:
	attune_kernel_free(k);
	attune_program_free(p);
	problem_free(&x);
	attune_context_free(c);
}

/* Any strides: K transposed in memory, V reversed, Q at an offset, O with gaps. */
static void test_strides(void)
{
	struct attune_context *c = context_with("", 1);
	struct shape s = {3, 21, 34, 20, 18};
	struct problem x;
	problem_init(&x, s);
	struct attune_program *p = program_of(c, attention, &x);
	struct attune_kernel *k = NULL;
	struct attune_error error = {0};
	attune_compile(p, &(struct attune_compile_options){.wait = true}, &k, &error);
	if (!ok(k != NULL, "strides: compile %s", error.message))
		goto out;
	attune_call(k, x.pointer, TENSORS, NULL, &error);
	float *dense = copy_of(x.data[O], x.count[O]);

	struct problem y = x;
	int64_t stride[TENSORS][3] = {{s.n * s.d, s.d, 1},
	                              {s.m * s.d, 1, s.m},
	                              {-s.m * s.e, -s.e, -1},
	                              {2 * s.n * s.e, 2 * s.e, 2}};
	for (int i = 0; i < TENSORS; i++) {
		y.pointer[i] = &y.tensor[i];
		y.tensor[i].shape = y.extent[i];
		y.tensor[i].strides = stride[i];
		y.data[i] = calloc(2 * x.count[i] + 4, sizeof(float));
		if (!y.data[i])
			abort();
		y.tensor[i].data = y.data[i];
	}
	memcpy(y.data[Q] + 3, x.data[Q], x.count[Q] * sizeof(float));
	y.tensor[Q].byte_offset = 3 * sizeof(float);
	for (int64_t h = 0; h < s.h; h++)
		for (int64_t m = 0; m < s.m; m++)
			for (int64_t d = 0; d < s.d; d++)
				y.data[K][(h * s.d + d) * s.m + m] = x.data[K][(h * s.m + m) * s.d + d];
	for (size_t i = 0; i < x.count[V]; i++)
		y.data[V][x.count[V] - 1 - i] = x.data[V][i];
	y.tensor[V].data = y.data[V] + x.count[V] - 1;
	ok(attune_call(k, y.pointer, TENSORS, NULL, &error) == ATTUNE_OK, "strides: call %s", error.message);
	bool same = true, gaps = true;
	for (size_t i = 0; i < x.count[O]; i++) {
		same &= fabsf(y.data[O][2 * i] - dense[i]) < 1e-6f;
		gaps &= y.data[O][2 * i + 1] == 0;
	}
	ok(same, "transposed, reversed, offset and spread tensors give the dense result");
	ok(gaps, "and nothing between the elements is written");

	size_t bytes = attune_kernel_workspace(k);
	char *workspace = aligned_alloc(64, (bytes + 127) / 64 * 64);
	ok(workspace && attune_call(k, x.pointer, TENSORS, workspace, &error) == ATTUNE_OK &&
	           worst(x.data[O], dense, x.count[O]) == 0,
	   "the caller's workspace of %zu bytes", bytes);
	ok(workspace && attune_call(k, x.pointer, TENSORS, workspace + 4, &error) == ATTUNE_USAGE &&
	           strstr(error.message, "64"),
	   "but not one out of line");
	free(workspace);

	struct problem bad = x;
	for (int i = 0; i < TENSORS; i++)
		bad.pointer[i] = &bad.tensor[i];
	bad.tensor[K].dtype.bits = 16;
	ok(attune_call(k, bad.pointer, TENSORS, NULL, &error) == ATTUNE_USAGE &&
	           strstr(error.message, "'K' holds f16"),
	   "a wrong type is named: %s", error.message);
	bad.tensor[K] = x.tensor[K];
	bad.tensor[O].shape = x.extent[V];
	ok(attune_call(k, bad.pointer, TENSORS, NULL, &error) == ATTUNE_USAGE && strstr(error.message, "'O'"),
	   "so is a wrong shape: %s", error.message);
	bad.tensor[O] = x.tensor[O];
	bad.tensor[Q].byte_offset = 2;
	ok(attune_call(k, bad.pointer, TENSORS, NULL, &error) == ATTUNE_USAGE &&
	           strstr(error.message, "aligned"),
	   "so are elements out of line");
	bad.tensor[Q] = x.tensor[Q];
	bad.tensor[Q].device.device_type = kDLCUDA;
	ok(attune_call(k, bad.pointer, TENSORS, NULL, &error) == ATTUNE_USAGE, "and another device");
	bad.pointer[Q] = NULL;
	ok(attune_call(k, bad.pointer, TENSORS, NULL, &error) == ATTUNE_USAGE && strstr(error.message, "'Q'"),
	   "and a tensor that is missing");
	ok(attune_call(k, x.pointer, TENSORS - 1, NULL, &error) == ATTUNE_USAGE, "and one too few");

	for (int i = 0; i < TENSORS; i++)
		free(y.data[i]);
	free(dense);
out:
	attune_kernel_free(k);
	attune_program_free(p);
	problem_free(&x);
	attune_context_free(c);
}

/* ---- threads ---- */

struct caller {
	struct attune_kernel *kernel;
	const struct problem *x;
	const float *want;
	int wrong;
};

static void *call_often(void *data)
{
	struct caller *c = data;
	float *out = calloc(c->x->count[O] + 1, sizeof *out);
	if (!out)
		abort();
	DLTensor o = c->x->tensor[O];
	o.data = out;
	const DLTensor *pointer[TENSORS] = {c->x->pointer[Q], c->x->pointer[K], c->x->pointer[V], &o};
	for (int i = 0; i < 50; i++) {
		memset(out, 0xff, c->x->count[O] * sizeof *out);
		c->wrong += attune_call(c->kernel, pointer, TENSORS, NULL, NULL) != ATTUNE_OK ||
		            !(worst(out, c->want, c->x->count[O]) < 1e-4);
	}
	free(out);
	return NULL;
}

/* While the quick form is being replaced by the final code. */
static void test_many_callers(void)
{
	enum { CALLERS = 6 };
	struct attune_context *c = context_with("", 2);
	struct problem x;
	problem_init(&x, (struct shape){2, 40, 40, 16, 16});
	struct attune_program *p = program_of(c, attention, &x);
	struct attune_kernel *k = NULL;
	struct attune_error error = {0};
	attune_oracle(p, x.pointer, TENSORS, &error);
	float *want = copy_of(x.data[O], x.count[O]);
	if (ok(attune_compile(p, NULL, &k, &error) == ATTUNE_OK, "many callers: compile %s", error.message)) {
		pthread_t thread[CALLERS];
		struct caller caller[CALLERS];
		int wrong = 0;
		for (int i = 0; i < CALLERS; i++) {
			caller[i] = (struct caller){k, &x, want, 0};
			if (pthread_create(&thread[i], NULL, call_often, &caller[i]))
				abort();
		}
		for (int i = 0; i < CALLERS; i++) {
			pthread_join(thread[i], NULL);
			wrong += caller[i].wrong;
		}
		ok(!wrong, "%d threads call one kernel at once: %d calls wrong", CALLERS, wrong);
		struct attune_kernel_info info;
		ok(attune_kernel_wait(k, &error) == ATTUNE_OK, "the final code arrives %s", error.message);
		attune_kernel_describe(k, &info);
		ok(info.ready, "and answers: %s", info.target);
	}
	free(want);
	attune_kernel_free(k);
	attune_program_free(p);
	problem_free(&x);
	attune_context_free(c);
}

static void *whole_life(void *data)
{
	int *wrong = data;
	for (int i = 0; i < 2; i++) {
		struct attune_context *c = context_with("", 1);
		struct problem x;
		problem_init(&x, (struct shape){1, 9 + i, 17, 8, 8});
		struct attune_program *p = program_of(c, attention, &x);
		struct attune_kernel *k = NULL;
		if (attune_compile(p, &(struct attune_compile_options){.wait = true}, &k, NULL) ||
		    attune_call(k, x.pointer, TENSORS, NULL, NULL)) {
			++*wrong;
		} else {
			float *have = copy_of(x.data[O], x.count[O]);
			*wrong += attune_oracle(p, x.pointer, TENSORS, NULL) != ATTUNE_OK ||
			          !(worst(have, x.data[O], x.count[O]) < 2e-5);
			free(have);
		}
		attune_kernel_free(k);
		attune_program_free(p);
		problem_free(&x);
		attune_context_free(c);
	}
	return NULL;
}

static void test_two_contexts(void)
{
	pthread_t thread[2];
	int wrong[2] = {0};
	for (int i = 0; i < 2; i++)
		if (pthread_create(&thread[i], NULL, whole_life, &wrong[i]))
			abort();
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	ok(!wrong[0] && !wrong[1], "two threads with a context each compile and run side by side");
}

/* ---- time; limits are five times what is promised, for a noisy machine ---- */

#ifdef __SANITIZE_ADDRESS__
#define SLACK 200
#else
#define SLACK 5
#endif

static void test_times(const char *cache)
{
	struct attune_context *c = context_with(cache, 1);
	struct problem x;
	problem_init(&x, (struct shape){1, 4, 8, 8, 8});
	struct attune_program *p = program_of(c, attention, &x);
	struct attune_kernel *k = NULL;
	struct attune_error error = {0};
	struct attune_kernel_info info;
	if (!ok(attune_compile(p, NULL, &k, &error) == ATTUNE_OK, "a small problem %s", error.message))
		goto out;
	attune_kernel_describe(k, &info);
	ok(info.compile_seconds < SLACK * 20e-3, "first answer after %.1f ms, by %s", 1e3 * info.compile_seconds,
	   info.target);
	ok(attune_kernel_wait(k, &error) == ATTUNE_OK, "final code %s", error.message);
	attune_kernel_free(k);
	k = NULL;
	double least = 1;
	for (int i = 0; i < 5; i++) {
		attune_kernel_free(k);
		k = NULL;
		if (attune_compile(p, NULL, &k, &error))
			break;
		attune_kernel_describe(k, &info);
		if (info.compile_seconds < least)
			least = info.compile_seconds;
	}
	ok(k && info.ready && least < SLACK * 5e-3, "from the cache after %.2f ms", 1e3 * least);
	if (!k)
		goto out;
	enum { CALLS = 2000 };
	double best = 1;
	for (int round = 0; round < 5; round++) {
		double start = seconds();
		for (int i = 0; i < CALLS; i++)
			attune_call(k, x.pointer, TENSORS, NULL, NULL);
		double one = (seconds() - start) / (double)CALLS;
		if (one < best)
			best = one;
	}
	ok(best < SLACK * 2e-6, "a call of almost nothing takes %.2f us", 1e6 * best);
out:
	attune_kernel_free(k);
	attune_program_free(p);
	problem_free(&x);
	attune_context_free(c);
}

/* ---- tuning ---- */

static volatile sig_atomic_t stop;
static int reports;

static void on_progress(void *user, const struct attune_progress *p)
{
	(void)user;
	reports++;
	stop = p->evaluated >= 3;
}

static void test_tune(const char *cache)
{
	struct attune_context *c = context_with(cache, 1);
	struct problem x;
	problem_init(&x, (struct shape){2, 64, 64, 16, 16});
	struct attune_program *p = program_of(c, attention, &x);
	struct attune_error error = {0};
	struct attune_tune_result r;
	struct attune_tune_options o = {.seconds = 60, .progress = on_progress, .cancel = &stop};
	if (!ok(attune_tune(p, &o, &r, &error) == ATTUNE_OK, "tune, cancelled after a few candidates %s",
	        error.message))
		goto out;
	ok(reports > 0 && !r.complete && r.evaluated >= 3 && r.evaluated < 60, "%d reports, %d candidates",
	   reports, r.evaluated);
	ok(r.kept && *r.schedule, "what was measured is kept");
	attune_tune_result_free(&r);
	o = (struct attune_tune_options){.seconds = 60, .evaluations = 3};
	if (!ok(attune_tune(p, &o, &r, &error) == ATTUNE_OK, "tune again %s", error.message))
		goto out;
	ok(r.reused >= 2, "%d candidates of the first run are not measured again", r.reused);
	ok(r.kept && r.ratio > 0.9 && r.error < 1e-3, "the winner is kept: %.2fx, error %.2g", r.ratio,
	   r.error);
	attune_tune_result_free(&r);
	struct attune_kernel *k = NULL;
	struct attune_kernel_info info = {.source = error.message};
	if (!attune_compile(p, NULL, &k, &error))
		attune_kernel_describe(k, &info);
	ok(k && !strcmp(info.source, "exact"), "and answers the next compile: %s", info.source);
	attune_kernel_free(k);
out:
	attune_program_free(p);
	problem_free(&x);
	attune_context_free(c);
}

int main(void)
{
	char folder[] = "/tmp/attune-api-XXXXXX", cache[64], command[64];
	if (!mkdtemp(folder))
		return 1;
	snprintf(cache, sizeof cache, "%s/tune.db", folder);
	test_mistakes();
	test_half_bytes();
	test_types();
	test_call((struct shape){2, 33, 47, 20, 12}, "ragged");
	test_call((struct shape){1, 1, 1, 1, 1}, "extents of 1");
	test_call((struct shape){2, 0, 5, 8, 8}, "no queries");
	test_call((struct shape){2, 5, 0, 8, 8}, "no keys");
	test_strides();
	test_many_callers();
	test_two_contexts();
	test_times(cache);
	test_tune(cache);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	if (system(command))
		return 1;
	return tap_done();
}
