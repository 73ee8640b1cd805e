/* code.c: objects become callable code, and calls become runs of their phases. */
#include "runtime/internal.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/whole.h"

/* A number that no other loading of code has, in this process or another. */
static uint64_t new_identity(void)
{
	uint64_t x = 0;
	struct timespec now;
	if (getrandom(&x, sizeof x, 0) == sizeof x && x)
		return x;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec << 32 ^ (uint64_t)now.tv_nsec << 1 ^ (uint64_t)getpid() << 48 ^ 1;
}

struct code *code_load(const struct target *target, const struct target_options *options,
                       const struct object *object, const struct kernel_source *source, struct text *why)
{
	struct code *c = calloc(1, sizeof *c);
	size_t n = (size_t)source->nphases;
	if (c) {
		c->phase = calloc(n ? n : 1, sizeof(at_phase *));
		c->tasks = calloc(n ? n : 1, sizeof(long));
		c->what = calloc(n ? n : 1, sizeof(struct kernel_phase));
	}
	if (!c || !c->phase || !c->tasks || !c->what) {
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
	c->identity = new_identity();
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
		c->what[i] = source->phase[i];
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
	free(c->what);
	free(c);
}

size_t code_workspace(const struct code *c, int threads)
{
	return c->work_bytes + (size_t)threads * c->scratch_bytes;
}

/* `prepared`: the workspace has what phases left in it whose inputs are all unchanged, none at all included. */
static void run(const struct code *c, struct pool *pool, const struct view *view, int count, void *workspace,
                bool prepared, uint64_t unchanged)
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
		if (!prepared || c->what[i].outputs || c->what[i].inputs & ~unchanged)
			pool_run(pool, c->phase[i], &args, c->tasks[i], scratch);
}

void code_run(const struct code *c, struct pool *pool, const struct view *view, int count, void *workspace)
{
	run(c, pool, view, count, workspace, false, 0);
}

/* What a workspace of the caller's begins with. */
struct kept {
	uint64_t code, argument[MAX_ARGUMENTS]; /* which code prepared, and where each argument lay */
};
_Static_assert(sizeof(struct kept) <= KEPT_BYTES && KEPT_BYTES % 64 == 0, "what follows it is aligned");

static uint64_t place_of(const struct view *v)
{
	uint64_t h = (uint64_t)(uintptr_t)v->data;
	for (int i = 0; i < v->nranks; i++)
		h = (h ^ (uint64_t)v->stride[i]) * 0x9e3779b97f4a7c15u + (h >> 29);
	return h;
}

void code_run_kept(const struct code *c, struct pool *pool, const struct view *view, int count, void *workspace,
                   uint64_t unchanged)
{
	struct kept *kept = workspace;
	/* Who says nothing of arguments says nothing of the workspace's bytes either. */
	bool prepared = unchanged && kept->code == c->identity;
	kept->code = 0; /* till all is done */
	for (int i = 0; i < count; i++) {
		uint64_t place = place_of(&view[i]);
		if (kept->argument[i] != place)
			unchanged &= ~((uint64_t)1 << i);
		kept->argument[i] = place;
	}
	run(c, pool, view, count, (char *)workspace + KEPT_BYTES, prepared, unchanged);
	kept->code = c->identity;
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
