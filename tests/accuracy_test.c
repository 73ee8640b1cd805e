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

static const char *const place[] = {"clang", "cuda-emulated"};

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = calloc(1, 1 << 20);
	if (!f || !text || !fread(text, 1, (1 << 20) - 1, f))
		abort();
	fclose(f);
	return text;
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

static double item(const cJSON *object, const char *name, double otherwise)
{
	const cJSON *x = cJSON_GetObjectItem(object, name);
	return x ? x->valuedouble : otherwise;
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

static bool fill(const struct attune_tensor *t, int argument, const cJSON *how, const DLTensor *to)
{
	int64_t n = elements(t);
	if (t->dtype.code == kDLInt) {
		int64_t row = t->shape[t->ndim - 1], from = (int64_t)item(how, "from", 0);
		for (int64_t k = 0; k < n; k++)
			((int32_t *)to->data)[k] =
			        (int32_t)((k % row + from) / (int64_t)item(how, "step", 1));
		return true;
	}
	DLTensor x = tensor_new(t, (DLDataType){kDLFloat, 32, 1});
	float offset = (float)item(how, "offset", 0), scale = (float)item(how, "scale", 1);
	for (int64_t k = 0; k < n; k++)
		((float *)x.data)[k] = normal(argument, k) * scale + offset;
	bool good = !attune_convert(&x, to, NULL);
	free(x.data);
	return good;
}

static bool tensors_init(struct tensors *a, struct attune_program *program, const cJSON *inputs)
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
		good = good && (out || fill(t, i, cJSON_GetObjectItem(inputs, t->name), &a->kernel[i]));
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

/* The members of an object as bindings; how many. */
static int bindings(const cJSON *object, struct attune_binding *b)
{
	const cJSON *x;
	int n = 0;
	cJSON_ArrayForEach(x, object) b[n++] = (struct attune_binding){x->string, x->valuedouble};
	return n;
}

static struct attune_program *program_of(struct attune_context *context, const cJSON *entry,
                                         struct attune_error *error)
{
	char *text = slurp(cJSON_GetObjectItem(entry, "program")->valuestring);
	struct attune_binding param[8], rank[8];
	struct attune_type types[MAX_TENSORS];
	struct attune_source source = {.text = text, .params = param, .types = types};
	struct attune_program *program = NULL;
	const cJSON *x;
	source.nparams = bindings(cJSON_GetObjectItem(entry, "params"), param);
	cJSON_ArrayForEach(x, cJSON_GetObjectItem(entry, "types")) types[source.ntypes++] =
	        (struct attune_type){x->string, x->valuestring};
	if (attune_program_new(context, &source, &program, error) ||
	    attune_program_bind(program, rank, bindings(cJSON_GetObjectItem(entry, "ranks"), rank), error)) {
		attune_program_free(program);
		program = NULL;
	}
	free(text);
	return program;
}

static int extent(const cJSON *entry, const char *rank)
{
	return (int)item(cJSON_GetObjectItem(entry, "ranks"), rank, 0);
}

static void run(struct attune_context *context, const char *where, const cJSON *entry)
{
	char what[160];
	snprintf(what, sizeof what, "%s %s %s N=%d D=%d", where,
	         cJSON_GetObjectItem(entry, "program")->valuestring,
	         cJSON_GetObjectItem(entry, "types")->child->valuestring, extent(entry, "N"),
	         extent(entry, "D"));
	struct attune_error error = {0};
	struct attune_kernel *kernel = NULL;
	struct tensors a = {0};
	struct attune_program *program = program_of(context, entry, &error);
	bool good =
	        program && tensors_init(&a, program, cJSON_GetObjectItem(entry, "inputs")) &&
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

/* Does the short test take it? Ragged depths in one type, whole ones in the other. */
static bool quick(const cJSON *entry)
{
	const char *type = cJSON_GetObjectItem(entry, "types")->child->valuestring;
	return extent(entry, "N") == 63 && extent(entry, "D") == (strcmp(type, "bf16") ? 60 : 64);
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
		            &(struct attune_options){.cache = "", .threads = 2, .target = place[i]}, &context,
		            &error)) {
			tap_skip(error.message);
			continue;
		}
		cJSON_ArrayForEach(entry, cJSON_GetObjectItem(all, "entries"))
		{
			if (thorough || quick(entry))
				run(context, place[i], entry);
		}
		attune_context_free(context);
	}
	cJSON_Delete(all);
	return tap_done();
}
