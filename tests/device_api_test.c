/* device_api_test.c: kernels for a device through attune.h alone. The emulated device is everywhere; what needs CUDA's
 * compiler or a device is skipped, with the reason, where there is none. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
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

enum { Q, K, V, O, TENSORS, RANKS = 3 };

struct shape {
	int64_t h, n, m, d, e;
};

/* Inputs in f32 and as the kernel takes them; the output in both, too. */
struct problem {
	int64_t extent[TENSORS][RANKS];
	int64_t count[TENSORS];
	float *plain[TENSORS];
	uint16_t *half[TENSORS];
	DLTensor wide[TENSORS], narrow[TENSORS];
	const DLTensor *pointer[TENSORS];
};

static void problem_init(struct problem *p, struct shape s)
{
	int64_t extent[TENSORS][RANKS] = {{s.h, s.n, s.d}, {s.h, s.m, s.d}, {s.h, s.m, s.e}, {s.h, s.n, s.e}};
	uint32_t random = 7;
	memcpy(p->extent, extent, sizeof extent);
	for (int i = 0; i < TENSORS; i++) {
		p->count[i] = extent[i][0] * extent[i][1] * extent[i][2];
		p->plain[i] = calloc((size_t)p->count[i] + 1, sizeof(float));
		p->half[i] = calloc((size_t)p->count[i] + 1, sizeof(uint16_t));
		if (!p->plain[i] || !p->half[i])
			abort();
		for (int64_t k = 0; k < p->count[i]; k++) {
			random = random * 1664525u + 1013904223u;
			p->plain[i][k] = (float)(random >> 8) / 4194304.0f - 2;
		}
		p->wide[i] = (DLTensor){.data = p->plain[i],
		                        .device = {kDLCPU, 0},
		                        .ndim = RANKS,
		                        .dtype = {kDLFloat, 32, 1},
		                        .shape = p->extent[i]};
		p->narrow[i] = p->wide[i];
		p->narrow[i].data = p->half[i];
		p->narrow[i].dtype = (DLDataType){kDLBfloat, 16, 1};
		p->pointer[i] = &p->narrow[i];
		if (attune_convert(&p->wide[i], &p->narrow[i], NULL))
			abort();
	}
}

static void problem_free(struct problem *p)
{
	for (int i = 0; i < TENSORS; i++) {
		free(p->plain[i]);
		free(p->half[i]);
	}
}

static struct attune_context *context_of(const char *target, const char *arch)
{
	struct attune_context *c = NULL;
	struct attune_error error;
	struct attune_options o = {.cache = "", .target = target, .arch = arch};
	if (attune_context_new(&o, &c, &error))
		printf("# %s\n", error.message);
	return c;
}

static struct attune_program *program_of(struct attune_context *c, const struct problem *p)
{
	static const struct attune_type types[] = {{"Q", "bf16"}, {"K", "bf16"}, {"V", "bf16"}, {"O", "bf16"}};
	struct attune_program *program = NULL;
	struct attune_error error;
	struct attune_source source = {.text = attention, .types = types, .ntypes = TENSORS};
	if (attune_program_new(c, &source, &program, &error) ||
	    attune_program_infer(program, p->pointer, TENSORS, &error))
		printf("# %s\n", error.message);
	return program;
}

/* By the largest element. */
static double difference(const float *have, const float *want, int64_t n)
{
	double most = 0, scale = 1e-30;
	for (int64_t i = 0; i < n; i++) {
		double d = fabs((double)have[i] - (double)want[i]);
		most = !(d <= most) ? d : most;
		scale = fmax(scale, fabs((double)want[i]));
	}
	return most / scale;
}

/* The output at hand against the oracle's, for the inputs as rounded. */
static double error_of(struct attune_program *program, struct problem *p)
{
	uint16_t *kept = p->half[O];
	float *have = p->plain[O], *want = calloc((size_t)p->count[O] + 1, sizeof *want);
	uint16_t *oracle = calloc((size_t)p->count[O] + 1, sizeof *oracle);
	struct attune_error error;
	if (!want || !oracle || attune_convert(&p->narrow[O], &p->wide[O], NULL))
		abort();
	p->narrow[O].data = oracle;
	if (attune_oracle(program, p->pointer, TENSORS, &error))
		printf("# %s\n", error.message);
	p->wide[O].data = want;
	if (attune_convert(&p->narrow[O], &p->wide[O], NULL))
		abort();
	p->wide[O].data = have;
	p->narrow[O].data = kept;
	double d = difference(have, want, p->count[O]);
	free(want);
	free(oracle);
	return d;
}

/* ---- without anything to run ---- */

static bool refused(struct attune_options o, enum attune_status status, const char *word)
{
	struct attune_context *c = NULL;
	struct attune_error error = {0};
	o.cache = "";
	bool good = attune_context_new(&o, &c, &error) == status && !c && strstr(error.message, word);
	if (!good)
		printf("# %s\n", error.message);
	attune_context_free(c);
	return good;
}

static bool has(const char *text, const char *word)
{
	bool found = text && strstr(text, word);
	if (!found)
		printf("# no '%s'\n", word);
	return found;
}

static void test_texts(void)
{
	ok(refused((struct attune_options){.target = "cuda", .arch = "sm_12"}, ATTUNE_USAGE, "sm_80"),
	   "an architecture that is none; those there are");
	ok(refused((struct attune_options){.target = "cuda", .isa = "avx2"}, ATTUNE_USAGE, "arch"),
	   "an ISA is nothing for a device");
	ok(refused((struct attune_options){.arch = "sm_80"}, ATTUNE_USAGE, "target"),
	   "an architecture is nothing for this processor");
	struct attune_context *c = context_of("cuda", "sm_90");
	struct problem x;
	problem_init(&x, (struct shape){2, 65, 130, 64, 64});
	struct attune_program *p = program_of(c, &x);
	char *schedule = NULL, *tile = NULL, *text = NULL, *told = NULL;
	struct attune_error error = {0};
	ok(attune_emit(p, ATTUNE_STAGE_SCHEDULE, NULL, &schedule, &error) == ATTUNE_OK && has(schedule, "sm80"),
	   "a schedule of a device, wherever this runs %s", error.message);
	ok(attune_emit(p, ATTUNE_STAGE_TILE, schedule, &tile, &error) == ATTUNE_OK && has(tile, " as bf16"),
	   "its tile program multiplies as the tensors are stored %s", error.message);
	ok(attune_emit(p, ATTUNE_STAGE_C, NULL, &text, &error) == ATTUNE_OK && has(text, "AT_KERNEL(") &&
	           has(text, "asm volatile"),
	   "its text is all that is compiled %s", error.message);
	ok(attune_explain(p, NULL, ATTUNE_TEXT, &told, &error) == ATTUNE_OK && has(told, "sm_90") && has(told, "threads"),
	   "explain tells how it is launched %s", error.message);
	attune_free(schedule);
	attune_free(tile);
	attune_free(text);
	attune_free(told);
	attune_program_free(p);
	problem_free(&x);
	attune_context_free(c);
}

/* ---- emulated ---- */

static bool emulates(void)
{
	struct attune_context *c = context_of(NULL, NULL);
	struct attune_device_info info;
	struct attune_error error;
	bool works = false;
	if (c && !attune_device(c, &info, &error))
		for (int i = 0; i < info.targets; i++)
			if (!strcmp(info.target[i].name, "cuda-emulated"))
				works = !info.target[i].missing;
	attune_context_free(c);
	return works;
}

static void test_call(struct attune_context *c, struct shape s, const char *what)
{
	struct problem x;
	problem_init(&x, s);
	struct attune_program *p = program_of(c, &x);
	struct attune_kernel *k = NULL;
	struct attune_error error = {0};
	if (ok(attune_compile(p, NULL, &k, &error) == ATTUNE_OK &&
	               attune_call(k, x.pointer, TENSORS, NULL, &error) == ATTUNE_OK,
	       "%s %s", what, error.message)) {
		double d = error_of(p, &x);
		ok(d < 1e-2, "%s: error %.2g", what, d);
		size_t size = (size_t)x.count[O] * sizeof(uint16_t);
		uint16_t *first = malloc(size + 1);
		if (!first)
			abort();
		memcpy(first, x.half[O], size);
		memset(x.half[O], 0xff, size);
		ok(attune_call(k, x.pointer, TENSORS, NULL, NULL) == ATTUNE_OK && !memcmp(first, x.half[O], size),
		   "%s: the same bits again", what);
		free(first);
	}
	attune_kernel_free(k);
	attune_program_free(p);
	problem_free(&x);
}

/* The queries' and outputs' ranks in another order, with gaps and from the end. */
static void test_strides(struct attune_context *c)
{
	struct problem x;
	problem_init(&x, (struct shape){2, 19, 21, 20, 12});
	struct attune_program *p = program_of(c, &x);
	struct attune_kernel *k = NULL;
	struct attune_error error = {0};
	if (!ok(attune_compile(p, NULL, &k, &error) == ATTUNE_OK, "for strides %s", error.message))
		goto out;
	attune_call(k, x.pointer, TENSORS, NULL, NULL);
	size_t room = (size_t)(x.count[O] + x.count[Q]) * 4;
	uint16_t *q = calloc(room, sizeof *q), *o = calloc(room, sizeof *o);
	if (!q || !o)
		abort();
	/* [h,n,d] → d slowest, n backwards, h with a gap */
	int64_t stride[RANKS] = {1, -3, 3 * x.extent[Q][1]}, base = 3 * (x.extent[Q][1] - 1);
	DLTensor tq = x.narrow[Q], to = x.narrow[O];
	tq.data = q;
	to.data = o;
	tq.strides = to.strides = stride;
	tq.byte_offset = to.byte_offset = (uint64_t)base * sizeof *q;
	if (attune_convert(&x.narrow[Q], &tq, &error))
		printf("# %s\n", error.message);
	const DLTensor *pointer[TENSORS] = {&tq, x.pointer[K], x.pointer[V], &to};
	ok(attune_call(k, pointer, TENSORS, NULL, &error) == ATTUNE_OK, "strided tensors %s", error.message);
	int64_t wrong = 0, at = 0, touched = 0;
	for (int64_t h = 0; h < x.extent[O][0]; h++)
		for (int64_t n = 0; n < x.extent[O][1]; n++)
			for (int64_t e = 0; e < x.extent[O][2]; e++)
				wrong += o[base + h * stride[0] + n * stride[1] + e * stride[2]] != x.half[O][at++];
	for (size_t i = 0; i < room; i++)
		touched += o[i] != 0;
	ok(!wrong && touched <= x.count[O], "%d elements wrong, nothing between them written", (int)wrong);

	DLTensor there = x.narrow[K];
	there.device.device_type = kDLCUDA;
	pointer[K] = &there;
	ok(attune_call(k, pointer, TENSORS, NULL, &error) == ATTUNE_USAGE && has(error.message, "'K'"),
	   "the emulated device has no memory of a caller's");
	pointer[K] = NULL;
	ok(attune_call(k, pointer, TENSORS, NULL, &error) == ATTUNE_USAGE && has(error.message, "'K' is missing"),
	   "a missing tensor");
	free(q);
	free(o);
out:
	attune_kernel_free(k);
	attune_program_free(p);
	problem_free(&x);
}

struct caller {
	struct attune_kernel *kernel;
	struct problem problem;
	const uint16_t *want;
	int wrong;
};

static void *many_calls(void *data)
{
	struct caller *c = data;
	size_t size = (size_t)c->problem.count[O] * sizeof(uint16_t);
	for (int i = 0; i < 3; i++) {
		memset(c->problem.half[O], 0xff, size);
		c->wrong += attune_call(c->kernel, c->problem.pointer, TENSORS, NULL, NULL) != ATTUNE_OK ||
		            memcmp(c->want, c->problem.half[O], size) != 0;
	}
	return NULL;
}

static void test_threads(struct attune_context *c)
{
	enum { CALLERS = 2 };
	static const struct shape shape = {1, 17, 33, 16, 16};
	struct caller caller[CALLERS] = {0};
	pthread_t thread[CALLERS];
	struct problem x;
	problem_init(&x, shape);
	struct attune_program *p = program_of(c, &x);
	struct attune_kernel *k = NULL;
	struct attune_error error = {0};
	if (ok(attune_compile(p, NULL, &k, &error) == ATTUNE_OK &&
	               attune_call(k, x.pointer, TENSORS, NULL, &error) == ATTUNE_OK,
	       "for threads %s", error.message)) {
		int wrong = 0;
		for (int i = 0; i < CALLERS; i++) {
			caller[i].kernel = k;
			caller[i].want = x.half[O];
			problem_init(&caller[i].problem, shape);
			if (pthread_create(&thread[i], NULL, many_calls, &caller[i]))
				abort();
		}
		for (int i = 0; i < CALLERS; i++) {
			pthread_join(thread[i], NULL);
			wrong += caller[i].wrong;
			problem_free(&caller[i].problem);
		}
		ok(!wrong, "two threads call one kernel at once: %d wrong", wrong);
	}
	attune_kernel_free(k);
	attune_program_free(p);
	problem_free(&x);
}

static void test_refused(struct attune_context *c)
{
	struct problem x;
	problem_init(&x, (struct shape){1, 16, 16, 16, 16});
	struct attune_program *p = program_of(c, &x);
	struct attune_error error = {0};
	struct attune_bench_result bench;
	ok(attune_bench(p, NULL, &bench, &error) == ATTUNE_USAGE && has(error.message, "clock"),
	   "an emulated device is not timed");
	char folder[] = "/tmp/attune-device-XXXXXX";
	if (!mkdtemp(folder))
		abort();
	struct attune_build_options build = {.directory = folder};
	ok(attune_build(p, &build, NULL, &error) == ATTUNE_USAGE && has(error.message, "cuda"),
	   "and nothing is built for it");
	rmdir(folder);
	attune_program_free(p);
	problem_free(&x);
}

/* ---- a device, if there is one ---- */

static void test_cuda(void)
{
	struct attune_context *c = context_of("cuda", NULL);
	struct problem x;
	problem_init(&x, (struct shape){2, 33, 47, 64, 64});
	struct attune_program *p = program_of(c, &x);
	struct attune_kernel *k = NULL;
	struct attune_error error = {0};
	enum attune_status status = attune_compile(p, NULL, &k, &error);
	if (status) {
		ok(status == ATTUNE_SYSTEM && has(error.message, "target cuda: "), "no device: %s", error.message);
	} else {
		status = attune_call(k, x.pointer, TENSORS, NULL, &error);
		double d = status ? INFINITY : error_of(p, &x);
		ok(d < 1e-2, "a device: error %.2g %s", d, error.message);
	}
	attune_kernel_free(k);
	attune_program_free(p);
	problem_free(&x);
	attune_context_free(c);
}

int main(void)
{
	test_texts();
	test_cuda();
	if (!emulates()) {
		tap_skip("no compiler here serves the emulated device");
		return tap_done();
	}
	struct attune_context *c = context_of("cuda-emulated", NULL);
	test_call(c, (struct shape){2, 33, 47, 20, 12}, "ragged");
	test_call(c, (struct shape){1, 1, 1, 1, 1}, "extents of 1");
	test_call(c, (struct shape){1, 70, 150, 64, 64}, "several tiles");
	test_call(c, (struct shape){2, 0, 5, 8, 8}, "no queries");
	test_call(c, (struct shape){2, 5, 0, 8, 8}, "no keys");
	test_call(c, (struct shape){2, 5, 7, 0, 8}, "a depth of 0: the sum of nothing is 0, times infinity too");
	test_call(c, (struct shape){2, 5, 7, 8, 0}, "values of depth 0");
	test_strides(c);
	test_threads(c);
	test_refused(c);
	attune_context_free(c);
	return tap_done();
}
