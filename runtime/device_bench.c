/* device_bench.c: kernels timed where they run: tensors on the device, its own clock. */
#include "runtime/bench.h"

enum { WARM_UPS = 5 };

/* Device memory for one argument, rows padded so that every contender takes it. */
struct lent {
	DLTensor tensor;
	int64_t stride[MAX_RANKS];
	int64_t bytes;
};

static void lay_out(const struct contenders *c, int i, const struct argument *g, struct lent *l)
{
	int64_t size = dtype_info[g->dtype].bits / 8, dense = 1, unit = 1;
	for (int k = 0; k < c->n; k++) {
		int align;
		bool last;
		attune_kernel_argument(c->kernel[k], i, &align, &last);
		if (align / size > unit)
			unit = align / size;
	}
	for (int k = g->nranks - 1; k >= 0; k--) {
		l->stride[k] = dense;
		dense *= g->extent[k];
		if (k == g->nranks - 1)
			dense = (dense + unit - 1) / unit * unit;
	}
	l->bytes = dense * size;
	l->tensor = (DLTensor){.device = {kDLCUDA, 0},
	                       .ndim = g->nranks,
	                       .dtype = dtype_dl(g->dtype),
	                       .shape = (int64_t *)g->extent,
	                       .strides = l->stride};
}

struct bench {
	const struct target_device *device;
	struct arena *arena;
	struct contenders *contenders;
	const struct workload *workload;
	struct lent *lent;
	const DLTensor **tensor;
	struct text why;
};

static bool fill(struct bench *b)
{
	for (int i = 0; i < b->workload->arguments; i++) {
		const struct argument *g = &b->workload->argument[i];
		struct lent *l = &b->lent[i];
		lay_out(b->contenders, i, g, l);
		l->tensor.data = b->device->allocate((size_t)l->bytes + 1, &b->why);
		b->tensor[i] = &l->tensor;
		if (!l->tensor.data)
			return false;
		if (g->role != ROLE_IN || !l->bytes)
			continue;
		struct view from = {.data = b->workload->input[SET_NORMAL][i], .nranks = g->nranks};
		struct view to = {.data = arena_alloc(b->arena, (size_t)l->bytes), .nranks = g->nranks};
		for (int k = 0; k < g->nranks; k++) {
			from.stride[k] = g->stride[k];
			to.stride[k] = l->stride[k];
		}
		tensor_copy(&from, &to, g->extent, dtype_info[g->dtype].bits / 8u);
		if (!b->device->copy_in(l->tensor.data, to.data, (size_t)l->bytes, NULL, &b->why))
			return false;
	}
	return true;
}

static enum attune_status time_one(struct bench *b, int i, bool count, struct attune_error *error)
{
	void *first = b->device->mark(NULL, &b->why), *last = NULL;
	double seconds = 0;
	enum attune_status status = ATTUNE_OK;
	if (first)
		status = attune_call_on(b->contenders->kernel[i], b->tensor, b->workload->arguments, NULL, NULL, error);
	if (first && !status)
		last = b->device->mark(NULL, &b->why);
	if (!status && !(last && b->device->between(first, last, &seconds, &b->why)))
		status = runtime_fail(error, ATTUNE_SYSTEM, "timing on the device: %s", b->why.s);
	if (first)
		b->device->unmark(first);
	if (last)
		b->device->unmark(last);
	if (!status && count)
		bench_note(b->contenders, i, seconds);
	return status;
}

enum attune_status device_bench(struct attune_context *context, struct arena *arena, struct contenders *contenders,
                                struct workload *w, int rounds, struct attune_error *error)
{
	struct bench b = {.device = context->target->device,
	                  .arena = arena,
	                  .contenders = contenders,
	                  .workload = w,
	                  .lent = arena_new_array(arena, (size_t)w->arguments, struct lent),
	                  .tensor = arena_new_array(arena, (size_t)w->arguments, const DLTensor *)};
	text_init(&b.why, arena);
	enum attune_status status =
	        fill(&b) ? ATTUNE_OK : runtime_fail(error, ATTUNE_SYSTEM, "memory of the device: %s", b.why.s);
	for (int round = -WARM_UPS; round < rounds; round++)
		for (int i = 0; !status && i < contenders->n; i++)
			status = time_one(&b, i, round >= 0, error);
	for (int i = 0; i < w->arguments; i++)
		if (b.lent[i].tensor.data)
			b.device->release(b.lent[i].tensor.data);
	return status;
}
