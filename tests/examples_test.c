/* examples_test.c: every shipped example through every target, through attune.h alone: compiled code against
 * the oracle on ragged shapes, with outputs poisoned beforehand. LONG=1 runs the whole grid of shapes. */
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attune.h"
#include "tests/tap.h"

enum { MAX_TENSORS = 12 };

struct shape {
	int n, m, d;
};

static const struct shape quick[] = {{1, 200, 64}, {63, 1, 60}, {200, 63, 128}, {63, 200, 60}, {5, 0, 64}};

/* What runs the kernel; the shapes [0, quick) of `quick` it takes in the short test. */
static const struct {
	const char *target, *isa;
	int quick;
} place[] = {{"clang", "avx512", 5}, {"clang", "avx2", 2}, {"clang", "scalar", 1}, {"tcc", "scalar", 5}};

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = calloc(1, 1 << 16);
	if (!f || !text || !fread(text, 1, (1 << 16) - 1, f))
		abort();
	fclose(f);
	return text;
}

static double extent_of(const char *rank, struct shape s)
{
	switch (*rank) {
	case 'B': return 2;
	case 'H': return 4;
	case 'N': return s.n;
	case 'M': return s.m;
	case 'D': return s.d;
	case 'E': return s.d == 128 ? 60 : s.d; /* values narrower than keys, too */
	default: return 33;
	}
}

static int64_t elements(const struct attune_tensor *t)
{
	int64_t n = 1;
	for (int i = 0; i < t->ndim; i++)
		n *= t->shape[i];
	return n;
}

/* The arguments of one call, vectors a tenth as large, as slopes and biases are: inputs shared by oracle and
 * kernel, float64 outputs for the oracle. */
struct arguments {
	int count;
	DLTensor tensor[MAX_TENSORS], exact[MAX_TENSORS];
	const DLTensor *actual[MAX_TENSORS], *expected[MAX_TENSORS];
	const struct attune_tensor *type;
};

static void *poisoned(int64_t n, size_t size)
{
	void *p = malloc((size_t)(n + 1) * size);
	if (!p)
		abort();
	return memset(p, 0xff, (size_t)(n + 1) * size); /* NaN in every float type */
}

static void arguments_init(struct arguments *a, struct attune_program *program)
{
	a->type = attune_program_tensors(program, &a->count);
	if (a->count > MAX_TENSORS)
		abort();
	uint32_t random = 12345;
	for (int i = 0; i < a->count; i++) {
		const struct attune_tensor *t = &a->type[i];
		int64_t n = elements(t);
		a->tensor[i] = (DLTensor){.device = {kDLCPU, 0},
		                          .ndim = t->ndim,
		                          .dtype = t->dtype,
		                          .shape = (int64_t *)(uintptr_t)t->shape,
		                          .data = poisoned(n, (size_t)t->dtype.bits / 8)};
		a->exact[i] = a->tensor[i];
		for (int64_t k = 0; k < n && t->role == ATTUNE_IN; k++) {
			random = random * 1664525u + 1013904223u;
			if (t->dtype.code == kDLFloat)
				((float *)a->tensor[i].data)[k] =
				        ((float)(random >> 8) / 4194304.0f - 2) * (t->ndim > 1 ? 1 : 0.1f);
			else
				((int32_t *)a->tensor[i].data)[k] = (int32_t)(k / 20);
		}
		if (t->role == ATTUNE_OUT) {
			a->exact[i].dtype = (DLDataType){kDLFloat, 64, 1};
			a->exact[i].data = poisoned(n, sizeof(double));
		}
		a->actual[i] = &a->tensor[i];
		a->expected[i] = &a->exact[i];
	}
}

static void arguments_free(struct arguments *a)
{
	for (int i = 0; i < a->count; i++) {
		if (a->type[i].role == ATTUNE_OUT)
			free(a->exact[i].data);
		free(a->tensor[i].data);
	}
}

/* The largest difference of an output, by its largest magnitude or 1; infinities must agree. */
static double worst_error(const struct arguments *a)
{
	double worst = 0;
	for (int i = 0; i < a->count; i++) {
		if (a->type[i].role != ATTUNE_OUT)
			continue;
		const float *x = a->tensor[i].data;
		const double *y = a->exact[i].data;
		double most = 1, difference = 0;
		for (int64_t k = 0; k < elements(&a->type[i]); k++) {
			if (isfinite(y[k]))
				most = fmax(most, fabs(y[k]));
			double d = isfinite(y[k])         ? fabs((double)x[k] - y[k])
			           : (double)x[k] == y[k] ? 0
			                                  : INFINITY;
			difference = d <= difference ? difference : isnan(d) ? INFINITY : d;
		}
		worst = fmax(worst, difference / most);
	}
	return worst;
}

static void run_example(struct attune_context *context, const char *where, const char *path, struct shape s)
{
	struct attune_program *program = NULL;
	struct attune_kernel *kernel = NULL;
	struct attune_error error = {0};
	char *text = slurp(path);
	bool good = !attune_program_new(context, &(struct attune_source){.text = text, .name = path},
	                                &program, &error);
	int ranks = 0;
	const struct attune_rank *rank = good ? attune_program_ranks(program, &ranks) : NULL;
	for (int i = 0; i < ranks && good; i++)
		if (rank[i].extent < 0)
			good = !attune_program_bind(
			        program, &(struct attune_binding){rank[i].name, extent_of(rank[i].name, s)},
			        1, &error);
	struct arguments a = {0};
	if (good) {
		arguments_init(&a, program);
		good = !attune_oracle(program, a.expected, a.count, &error) &&
		       !attune_compile(program, &(struct attune_compile_options){.wait = true}, &kernel,
		                       &error) &&
		       !attune_call(kernel, a.actual, a.count, NULL, &error);
	}
	double e = good ? worst_error(&a) : INFINITY;
	ok(good && e < 2e-5, "%s %s N=%d M=%d D=%d: error %.2g %s", where, path, s.n, s.m, s.d, e,
	   error.message);
	arguments_free(&a);
	attune_kernel_free(kernel);
	attune_program_free(program);
	free(text);
}

static void run_place(int i, bool all)
{
	struct attune_context *context = NULL;
	struct attune_error error = {0};
	char where[32];
	snprintf(where, sizeof where, "%s %s", place[i].target, place[i].isa);
	if (attune_context_new(
	            &(struct attune_options){
	                    .cache = "", .threads = 2, .isa = place[i].isa, .target = place[i].target},
	            &context, &error)) {
		tap_skip(error.message);
		return;
	}
	glob_t g;
	if (glob("examples/*.att", 0, NULL, &g))
		abort();
	static const int extents[] = {1, 63, 200}, depths[] = {60, 64, 128};
	for (size_t k = 0; k < g.gl_pathc; k++) {
		for (int q = 0; q < place[i].quick; q++)
			run_example(context, where, g.gl_pathv[k], quick[q]);
		for (int q = 0; q < 27 && all; q++)
			run_example(context, where, g.gl_pathv[k],
			            (struct shape){extents[q / 9], extents[q / 3 % 3], depths[q % 3]});
	}
	globfree(&g);
	attune_context_free(context);
}

int main(void)
{
	for (size_t i = 0; i < sizeof place / sizeof *place; i++)
		run_place((int)i, getenv("LONG") != NULL);
	return tap_done();
}
