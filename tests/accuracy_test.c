/* accuracy_test.c: kernels over 16-bit types are at most twice as far from float64 as PyTorch's own are, on
 * inputs that both make from the same words. tests/data/torch_errors.json, made by scripts/torch_errors.py,
 * has PyTorch's errors and the definition of the inputs. LONG=1 takes all of its entries. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attune.h"
#include "tests/tap.h"

enum { MAX_TENSORS = 8 };

static const struct {
	const char *target;
	int quick_depths; /* of 60, 64, 128, 256, in the short test */
} place[] = {{"clang", 1}, {"cuda-emulated", 2}};

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = calloc(1, 1 << 20);
	if (!f || !text || !fread(text, 1, (1 << 20) - 1, f))
		abort();
	fclose(f);
	return text;
}

static int number(const cJSON *entry, const char *name)
{
	return cJSON_GetObjectItem(entry, name)->valueint;
}

static const char *string(const cJSON *entry, const char *name)
{
	return cJSON_GetObjectItem(entry, name)->valuestring;
}

static int64_t elements(const struct attune_tensor *t)
{
	int64_t n = 1;
	for (int i = 0; i < t->ndim; i++)
		n *= t->shape[i];
	return n;
}

static uint64_t word(int argument, int64_t k)
{
	uint64_t z = ((uint64_t)argument << 32) + (uint64_t)(k + 1) * 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static float normal(int argument, int64_t k)
{
	uint64_t z = word(argument, k);
	int64_t sum = (int64_t)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));
	return (float)(sum - 131070) / 32768;
}

static float vector(const char *name, int argument, int64_t k)
{
	if (!strcmp(name, "slope"))
		return exp2f(-8 * (float)(k + 1) / 4);
	return normal(argument, k) / 8 + (strcmp(name, "gain") ? strcmp(name, "bias") ? 0.0f : -5.0f : 1.0f);
}

/* Tensors of one run: those of the kernel, and as float64, whose outputs are the oracle's. */
struct tensors {
	int count;
	const struct attune_tensor *type;
	DLTensor kernel[MAX_TENSORS], exact[MAX_TENSORS];
	const DLTensor *actual[MAX_TENSORS], *expected[MAX_TENSORS];
};

static DLTensor tensor_new(const struct attune_tensor *t, DLDataType dtype)
{
	size_t size = (size_t)elements(t) * dtype.bits / 8 + 8;
	DLTensor x = {.device = {kDLCPU, 0}, .ndim = t->ndim, .dtype = dtype, .data = malloc(size)};
	x.shape = (int64_t *)(uintptr_t)t->shape;
	if (!x.data)
		abort();
	memset(x.data, 0xff, size); /* NaN in every float type */
	return x;
}

static bool fill(const struct attune_tensor *t, int argument, int shift, const DLTensor *to)
{
	int64_t n = elements(t);
	if (t->dtype.code == kDLInt) {
		int64_t row = t->shape[t->ndim - 1];
		for (int64_t k = 0; k < n; k++)
			((int32_t *)to->data)[k] = (int32_t)((k % row + (*t->name == 'q' ? shift : 0)) / 20);
		return true;
	}
	DLTensor x = tensor_new(t, (DLDataType){kDLFloat, 32, 1});
	for (int64_t k = 0; k < n; k++)
		((float *)x.data)[k] = t->ndim > 1 ? normal(argument, k) : vector(t->name, argument, k);
	bool good = !attune_convert(&x, to, NULL);
	free(x.data);
	return good;
}

static bool tensors_init(struct tensors *a, struct attune_program *program, int shift)
{
	a->type = attune_program_tensors(program, &a->count);
	if (a->count > MAX_TENSORS)
		abort();
	bool good = true;
	for (int i = 0; i < a->count; i++) {
		const struct attune_tensor *t = &a->type[i];
		bool out = t->role == ATTUNE_OUT;
		a->kernel[i] = tensor_new(t, t->dtype);
		a->exact[i] = out ? tensor_new(t, (DLDataType){kDLFloat, 64, 1}) : a->kernel[i];
		good = good && (out || fill(t, i, shift, &a->kernel[i]));
		a->actual[i] = &a->kernel[i];
		a->expected[i] = &a->exact[i];
	}
	return good;
}

static void tensors_free(struct tensors *a)
{
	for (int i = 0; i < a->count; i++) {
		if (a->type[i].role == ATTUNE_OUT)
			free(a->exact[i].data);
		free(a->kernel[i].data);
	}
}

struct measure {
	double max, rms;
};

static struct measure measure(const struct attune_tensor *t, const DLTensor *kernel, const double *exact)
{
	DLTensor wide = tensor_new(t, (DLDataType){kDLFloat, 32, 1});
	const float *x = wide.data;
	double most = 0, largest = 0, squares = 0, errors = 0;
	if (attune_convert(kernel, &wide, NULL))
		abort();
	for (int64_t k = 0; k < elements(t); k++) {
		double e = fabs((double)x[k] - exact[k]);
		most = e <= most ? most : isnan(e) ? INFINITY : e;
		largest = fmax(largest, fabs(exact[k]));
		errors += isnan(e) ? INFINITY : e * e;
		squares += exact[k] * exact[k];
	}
	free(wide.data);
	return (struct measure){most / largest, sqrt(errors / squares)};
}

/* The inputs are PyTorch's where the oracle's output is its float64 one. */
static bool same_reference(const cJSON *output, const struct attune_tensor *t, const double *exact)
{
	const cJSON *reference = cJSON_GetObjectItem(output, "reference");
	double first = cJSON_GetObjectItem(reference, "first")->valuedouble;
	double total = cJSON_GetObjectItem(reference, "absolute_sum")->valuedouble, sum = 0;
	for (int64_t k = 0; k < elements(t); k++)
		sum += fabs(exact[k]);
	return fabs(exact[0] - first) <= 1e-9 * (1 + fabs(first)) && fabs(sum - total) <= 1e-9 * total;
}

static void judge(const cJSON *entry, const char *what, const struct tensors *a)
{
	for (int i = 0; i < a->count; i++) {
		const struct attune_tensor *t = &a->type[i];
		if (t->role != ATTUNE_OUT)
			continue;
		const cJSON *output = cJSON_GetObjectItem(cJSON_GetObjectItem(entry, "outputs"), t->name),
		            *peer;
		struct measure ours = measure(t, &a->kernel[i], a->exact[i].data),
		               best = {INFINITY, INFINITY};
		const char *who = "";
		cJSON_ArrayForEach(peer, cJSON_GetObjectItem(output, "peers"))
		{
			double rms = cJSON_GetObjectItem(peer, "rms")->valuedouble;
			if (rms < best.rms) {
				best = (struct measure){cJSON_GetObjectItem(peer, "max")->valuedouble, rms};
				who = peer->string;
			}
		}
		ok(same_reference(output, t, a->exact[i].data), "%s %s: the same inputs as PyTorch's", what,
		   t->name);
		ok(ours.max <= 2 * best.max && ours.rms <= 2 * best.rms,
		   "%s %s: within twice the error of PyTorch", what, t->name);
		printf("# %s %s: max %.2e, rms %.2e; PyTorch (%s) max %.2e, rms %.2e\n", what, t->name,
		       ours.max, ours.rms, who, best.max, best.rms);
	}
}

/* The example with its matrices, and the outputs that are matrices of the type too, of type `as`. */
static struct attune_program *example(struct attune_context *context, const cJSON *entry,
                                      struct attune_error *error)
{
	char path[128];
	snprintf(path, sizeof path, "examples/%s.att", string(entry, "example"));
	char *text = slurp(path);
	struct attune_binding window = {"W", 48};
	struct attune_source source = {.text = text, .name = path};
	if (!strcmp(string(entry, "example"), "sliding_window_sink"))
		source.params = &window, source.nparams = 1;
	struct attune_program *plain = NULL, *typed = NULL;
	struct attune_type types[MAX_TENSORS];
	int count = 0, n = 0;
	if (!attune_program_new(context, &source, &plain, error)) {
		const struct attune_tensor *t = attune_program_tensors(plain, &n);
		for (int i = 0; i < n; i++)
			if (t[i].dtype.code == kDLFloat && t[i].ndim > 1 && *t[i].name != 'L' &&
			    *t[i].name != 'C')
				types[count++] = (struct attune_type){t[i].name, string(entry, "type")};
		source.types = types;
		source.ntypes = count;
		if (attune_program_new(context, &source, &typed, error)) {
			attune_program_free(typed);
			typed = NULL;
		}
	}
	attune_program_free(plain);
	free(text);
	return typed;
}

static bool bind_all(struct attune_program *program, const cJSON *entry, struct attune_error *error)
{
	const struct {
		const char *name;
		int value;
	} extent[] = {{"B", 1},
	              {"H", 4},
	              {"N", number(entry, "N")},
	              {"M", number(entry, "M")},
	              {"D", number(entry, "D")},
	              {"E", number(entry, "D")},
	              {"F", number(entry, "M")}};
	int ranks;
	const struct attune_rank *rank = attune_program_ranks(program, &ranks);
	for (int r = 0; r < ranks; r++)
		for (size_t i = 0; i < sizeof extent / sizeof *extent; i++)
			if (!strcmp(rank[r].name, extent[i].name) &&
			    attune_program_bind(program,
			                        &(struct attune_binding){extent[i].name, extent[i].value}, 1,
			                        error))
				return false;
	return true;
}

static void run(struct attune_context *context, const char *where, const cJSON *entry)
{
	char what[160];
	snprintf(what, sizeof what, "%s %s %s N=%d M=%d D=%d", where, string(entry, "example"),
	         string(entry, "type"), number(entry, "N"), number(entry, "M"), number(entry, "D"));
	struct attune_error error = {0};
	struct attune_kernel *kernel = NULL;
	struct tensors a = {0};
	struct attune_program *program = example(context, entry, &error);
	bool good =
	        program && bind_all(program, entry, &error) &&
	        tensors_init(&a, program, number(entry, "M") - number(entry, "N")) &&
	        !attune_oracle(program, a.expected, a.count, &error) &&
	        !attune_compile(program, &(struct attune_compile_options){.wait = true}, &kernel, &error) &&
	        !attune_call(kernel, a.actual, a.count, NULL, &error);
	if (good)
		judge(entry, what, &a);
	else
		ok(false, "%s runs: %s", what, error.message);
	tensors_free(&a);
	attune_kernel_free(kernel);
	attune_program_free(program);
}

int main(void)
{
	char *text = slurp("tests/data/torch_errors.json");
	cJSON *all = cJSON_Parse(text), *entry;
	bool thorough = getenv("LONG") != NULL;
	free(text);
	for (size_t i = 0; i < sizeof place / sizeof *place; i++) {
		struct attune_context *context = NULL;
		struct attune_error error = {0};
		if (attune_context_new(
		            &(struct attune_options){.cache = "", .threads = 2, .target = place[i].target},
		            &context, &error)) {
			tap_skip(error.message);
			continue;
		}
		cJSON_ArrayForEach(entry, cJSON_GetObjectItem(all, "entries"))
		{
			int d = number(entry, "D"), depth = d == 60 ? 0 : d == 64 ? 1 : d == 128 ? 2 : 3;
			if (thorough || (number(entry, "N") == 63 && depth < place[i].quick_depths))
				run(context, place[i].target, entry);
		}
		attune_context_free(context);
	}
	cJSON_Delete(all);
	return tap_done();
}
