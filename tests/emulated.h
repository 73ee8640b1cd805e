/* emulated.h: kernels for a device under the emulator, in tests.
 *
 * A text by itself: emulated_load, then emulate_run of emulated_symbol. A kernel_source of a tile program:
 *
 *     struct emulated k;
 *     if (!emulated_open(&k, arena, program, source, &why)) …
 *     for (order …) if (!emulated_run(&k, tensor, order, &why)) … else compare tensor[…]
 *     emulated_close(&k);
 *
 * where tensor[i] is the dense content of argument i as tile_run has it: inputs are rounded to their types, outputs
 * come back as the kernel stored them, NaN where it did not. Arguments lie with gaps as far as the source allows, and
 * what is stored into gaps is a failure.
 */
#ifndef ATTUNE_TESTS_EMULATED_H
#define ATTUNE_TESTS_EMULATED_H

#include <stdlib.h>
#include <string.h>

#include "codegen/tile.h"
#include "dsl/dtype.h"
#include "targets/emulate.h"
#include "targets/target.h"

/* Level 0: most kernels run a few times, and compiling would take longer. */
static const struct target_options emulated_options = {.isa = ISA_SM80, .optimise = 0, .capability = 80};

/* NULL with diagnostics. */
__attribute__((unused)) static struct module *emulated_load(const char *text, struct text *why)
{
	const struct target *t = &target_cuda_emulated;
	struct object object;
	if (!t->compile(text, &emulated_options, &object, why))
		return NULL;
	struct module *m = t->load(&object, &emulated_options, why);
	object_free(&object);
	return m;
}

enum { EMULATED_TENSORS = 64 };

struct emulated {
	struct arena *arena;
	const struct tile_program *program;
	const struct kernel_source *source;
	struct module *module;
	int tensors; /* arguments */
	struct emulate_memory memory[EMULATED_TENSORS + 1];
	int64_t stride[EMULATED_TENSORS][MAX_RANKS];
	int64_t size[EMULATED_TENSORS]; /* elements, with gaps */
	uint64_t steps; /* a block may take; 0: the emulator's default */
	double seconds; /* CPU time of the last run */
	struct emulate_counts counts; /* of its last phase */
};

static int64_t emulated_count(const struct tile_tensor *t)
{
	int64_t n = 1;
	for (int r = 0; r < t->nranks; r++)
		n *= t->extent[r];
	return n;
}

static int64_t emulated_place(const struct emulated *k, int i, int64_t element)
{
	const struct tile_tensor *t = &k->program->tensor.v[i];
	int64_t at = 0;
	for (int r = t->nranks - 1; r >= 0; r--) {
		at += element % t->extent[r] * k->stride[i][r];
		element /= t->extent[r];
	}
	return at;
}

static void emulated_lay_out(struct emulated *k, int i)
{
	const struct tile_tensor *t = &k->program->tensor.v[i];
	int64_t align = k->source->argument ? k->source->argument[i].align : 0, size = 1;
	int64_t gap = align > 1 ? align * 8 / dtype_info[t->dtype].bits : 3;
	for (int r = t->nranks - 1; r >= 0; r--) {
		k->stride[i][r] = size;
		size *= t->extent[r];
		if (i % 2 && r == t->nranks - 1 && t->nranks > 1)
			size += gap;
	}
	k->size[i] = size;
	size_t bytes = (size_t)dtype_bytes(t->dtype, size);
	k->memory[i] = (struct emulate_memory){.base = aligned_alloc(256, (bytes / 256 + 1) * 256),
	                                       .size = bytes,
	                                       .writable = t->role == ROLE_OUT,
	                                       .name = t->name};
}

__attribute__((unused)) static bool emulated_open(struct emulated *k, struct arena *a, const struct tile_program *p,
                                                  const struct kernel_source *source, struct text *why)
{
	memset(k, 0, sizeof *k);
	k->arena = a;
	k->program = p;
	k->source = source;
	if (!source->text) {
		text_printf(why, "no kernel: %s", source->reason);
		return false;
	}
	while (k->tensors < (int)p->tensor.n && p->tensor.v[k->tensors].place == PLACE_ARGUMENT)
		k->tensors++;
	if (k->tensors > EMULATED_TENSORS) {
		text_printf(why, "more than %d tensors", EMULATED_TENSORS);
		return false;
	}
	k->module = emulated_load(source->text, why);
	if (!k->module)
		return false;
	for (int i = 0; i < k->tensors; i++)
		emulated_lay_out(k, i);
	size_t bytes = (size_t)source->work_bytes;
	k->memory[k->tensors] = (struct emulate_memory){.base = aligned_alloc(256, (bytes / 256 + 1) * 256),
	                                                .size = bytes,
	                                                .writable = true,
	                                                .name = "work memory"};
	return true;
}

__attribute__((unused)) static void emulated_close(struct emulated *k)
{
	for (int i = 0; i <= k->tensors; i++)
		free(k->memory[i].base);
	if (k->module)
		target_cuda_emulated.unload(k->module);
}

static bool emulated_phases(struct emulated *k, enum emulate_order order, struct text *why)
{
	int strides = 0;
	for (int i = 0; i < k->tensors; i++)
		strides += k->program->tensor.v[i].nranks;
	size_t words = (size_t)(k->tensors + strides + 1);
	union {
		const void *pointer;
		int64_t stride;
	} *args = arena_array(k->arena, words, sizeof *args);
	int n = 0;
	for (int i = 0; i < k->tensors; i++)
		args[n++].pointer = k->memory[i].base;
	for (int i = 0; i < k->tensors; i++)
		for (int r = 0; r < k->program->tensor.v[i].nranks; r++)
			args[n++].stride = k->stride[i][r];
	args[n].pointer = k->memory[k->tensors].base;
	double start = thread_seconds();
	for (int phase = 0; phase < k->source->nphases; phase++) {
		const struct kernel_phase *p = &k->source->phase[phase];
		struct emulate_launch l = {.name = p->symbol,
		                           .text = k->source->text,
		                           .kernel = target_cuda_emulated.symbol(k->module, p->symbol),
		                           .args = args,
		                           .args_size = words * 8,
		                           .blocks = p->tasks,
		                           .threads = p->threads,
		                           .shared_bytes = p->shared_bytes,
		                           .memory = k->memory,
		                           .memories = k->tensors + 1};
		struct emulate_options o = {.order = order, .seed = (uint64_t)phase + 1, .steps = k->steps, .counts = &k->counts};
		if (!emulate_run(&l, &o, why))
			return false;
	}
	k->seconds = thread_seconds() - start;
	return true;
}

/* All phases in this order. */
__attribute__((unused)) static bool emulated_run(struct emulated *k, double **tensor, enum emulate_order order,
                                                 struct text *why)
{
	for (int i = 0; i <= k->tensors; i++)
		memset(k->memory[i].base, 0xff, k->memory[i].size);
	for (int i = 0; i < k->tensors; i++) {
		const struct tile_tensor *t = &k->program->tensor.v[i];
		for (int64_t e = 0; t->role == ROLE_IN && e < emulated_count(t); e++)
			dtype_store(t->dtype, k->memory[i].base, emulated_place(k, i, e), tensor[i][e]);
	}
	if (!emulated_phases(k, order, why))
		return false;
	for (int i = 0; i < k->tensors; i++) {
		const struct tile_tensor *t = &k->program->tensor.v[i];
		if (t->role != ROLE_OUT)
			continue;
		for (int64_t e = 0; e < emulated_count(t); e++) {
			int64_t at = emulated_place(k, i, e);
			tensor[i][e] = dtype_load(t->dtype, k->memory[i].base, at);
			if (dtype_info[t->dtype].bits >= 8) /* leaves gaps as the only ones that may be all ones */
				memset((char *)k->memory[i].base + at * (dtype_info[t->dtype].bits / 8), 0xff,
				       (size_t)dtype_info[t->dtype].bits / 8);
		}
		const unsigned char *byte = k->memory[i].base;
		for (size_t b = 0; b < k->memory[i].size && dtype_info[t->dtype].bits >= 8; b++)
			if (byte[b] != 0xff) {
				text_printf(why, "stored into a gap of %s, at byte %zu", t->name, b);
				return false;
			}
	}
	return true;
}

#endif
