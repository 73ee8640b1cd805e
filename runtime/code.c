/* code.c: objects become callable code, and calls become runs of their phases. */
#include "runtime/internal.h"

#include <stdlib.h>

#include "base/whole.h"

struct code *code_load(const struct target *target, const struct target_options *options,
                       const struct object *object, const struct kernel_source *source, struct text *why)
{
	struct code *c = calloc(1, sizeof *c);
	size_t n = (size_t)source->nphases;
	if (c) {
		c->phase = calloc(n ? n : 1, sizeof(at_phase *));
		c->tasks = calloc(n ? n : 1, sizeof(long));
	}
	if (!c || !c->phase || !c->tasks) {
		text_add(why, "out of memory");
		code_free(c);
		return NULL;
	}
	c->target = target;
	c->source = target->device ? source : NULL;
	c->isa = options->isa;
	c->nphases = source->nphases;
	c->work_bytes = (size_t)round_up(source->work_bytes, 64);
	c->scratch_bytes = (size_t)round_up(source->scratch_bytes, 64);
	c->module = target->load(object, options, why);
	for (int i = 0; c->module && !target->device && i < c->nphases; i++) {
		void *symbol = target->symbol(c->module, source->phase[i].symbol);
		if (!symbol) {
			text_printf(why, "the code lacks %s", source->phase[i].symbol);
			code_free(c);
			return NULL;
		}
		*(void **)&c->phase[i] = symbol;
		c->tasks[i] = source->phase[i].tasks;
	}
	if (!c->module) {
		code_free(c);
		return NULL;
	}
	return c;
}

void code_free(struct code *c)
{
	if (!c)
		return;
	if (c->module)
		c->target->unload(c->module);
	free(c->phase);
	free(c->tasks);
	free(c);
}

size_t code_workspace(const struct code *c, int threads)
{
	return c->work_bytes + (size_t)threads * c->scratch_bytes;
}

void code_run(const struct code *c, struct pool *pool, const struct view *view, int count, void *workspace)
{
	void *data[MAX_ARGUMENTS], *scratch[MAX_THREADS];
	const int64_t *stride[MAX_ARGUMENTS];
	for (int i = 0; i < count; i++) {
		data[i] = view[i].data;
		stride[i] = view[i].stride;
	}
	struct at_args args = {data, stride, workspace};
	int threads = pool ? pool_threads(pool) : 1;
	for (int i = 0; i < threads; i++)
		scratch[i] = (char *)workspace + c->work_bytes + (size_t)i * c->scratch_bytes;
	for (int i = 0; i < c->nphases; i++)
		pool_run(pool, c->phase[i], &args, c->tasks[i], scratch);
}

size_t code_argument_bytes(const struct attune_tensor *tensor, int count)
{
	size_t words = 1 + (size_t)count;
	for (int i = 0; i < count; i++)
		words += (size_t)tensor[i].ndim;
	return words * sizeof(int64_t);
}

bool code_launch(const struct code *c, const struct view *view, int count, void *work, void *stream, struct text *why)
{
	/* struct at_device_args of codegen/kernel.h */
	int64_t word[MAX_DEVICE_ARGUMENT_BYTES / sizeof(int64_t)];
	size_t words = 0;
	for (int i = 0; i < count; i++)
		word[words++] = (int64_t)(intptr_t)view[i].data;
	for (int i = 0; i < count; i++)
		for (int k = 0; k < view[i].nranks; k++)
			word[words++] = view[i].stride[k];
	word[words++] = (int64_t)(intptr_t)work;
	for (int i = 0; i < c->nphases; i++)
		if (c->source->phase[i].tasks > 0 &&
		    !c->target->device->launch(c->module, c->source, i, word, words * sizeof *word, stream, why))
			return false;
	return true;
}
