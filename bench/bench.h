/* bench.h: what the benches of generated kernels share: a tile program compiled, with its arguments filled. */
#ifndef ATTUNE_BENCH_BENCH_H
#define ATTUNE_BENCH_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "codegen/schedule.h"
#include "dsl/dtype.h"
#include "targets/target.h"

enum { BENCH_TENSORS = 32, BENCH_ROUNDS = 1000 };

struct bench_code {
	struct tile_program *program;
	struct kernel_source source;
	struct module *module;
	void *data[BENCH_TENSORS]; /* of the arguments */
	const int64_t *stride[BENCH_TENSORS];
	void *work, *scratch;
	at_phase **phase;
};

/* Writes the `count` elements of an argument. */
typedef void bench_fill(void *context, const struct tile_tensor *, void *data, int64_t count);

/* A file's text; NULL when it cannot be opened. */
static inline char *bench_read(struct arena *a, const char *file, size_t *size)
{
	FILE *f = fopen(file, "r");
	struct text t;
	text_init(&t, a);
	char s[4096];
	for (size_t n; f && (n = fread(s, 1, sizeof s, f));)
		text_bytes(&t, s, n);
	*size = t.len;
	if (f)
		fclose(f);
	return f ? t.s : NULL;
}

/* Zeroes in huge pages, as the library's own work space. */
static inline void *bench_buffer(int64_t bytes)
{
	const size_t HUGE = (size_t)2 << 20;
	size_t rounded = ((size_t)bytes + HUGE) / HUGE * HUGE;
	void *p = aligned_alloc(HUGE, rounded);
	if (!p)
		abort();
	madvise(p, rounded, MADV_HUGEPAGE);
	return memset(p, 0, rounded);
}

static inline void bench_argument(struct arena *a, struct bench_code *k, uint32_t tensor, int at, bench_fill *fill,
                                  void *context)
{
	const struct tile_tensor *t = &k->program->tensor.v[tensor];
	int64_t *stride = arena_new_array(a, MAX_RANKS, int64_t), n = 1;
	for (int r = t->nranks - 1; r >= 0; r--) {
		stride[r] = n;
		n *= t->extent[r];
	}
	k->stride[at] = stride;
	k->data[at] = bench_buffer(dtype_bytes(t->dtype, n));
	fill(context, t, k->data[at], n);
}

/* Of the schedule a program was made with, where it says. */
static inline int bench_exp_degree(const struct tile_program *p)
{
	const char *exp = p->schedule ? strstr(p->schedule, "exp poly") : NULL;
	return exp && exp[8] >= '3' && exp[8] <= '6' ? exp[8] - '0' : 5;
}

/* Compiles k->program, which is checked, and fills its arguments. False with the reason. */
static inline bool bench_compile(struct arena *a, struct bench_code *k, enum isa isa, int optimise, bench_fill *fill,
                                 void *context, struct text *why)
{
	k->source = emit_c(a, k->program, isa, bench_exp_degree(k->program));
	if (!k->source.text) {
		text_add(why, k->source.reason);
		return false;
	}
	struct target_options options = {.isa = isa, .optimise = optimise};
	struct object object;
	const char *missing = target_clang.missing(a);
	int arguments = 0;
	if (missing)
		text_add(why, missing);
	if (missing || !target_clang.compile(k->source.text, &options, &object, why))
		return false;
	k->module = target_clang.load(&object, &options, why);
	object_free(&object);
	if (!k->module)
		return false;
	for (uint32_t i = 0; i < k->program->tensor.n; i++) {
		if (k->program->tensor.v[i].place != PLACE_ARGUMENT)
			continue;
		if (arguments == BENCH_TENSORS)
			return text_add(why, "too many arguments"), false;
		bench_argument(a, k, i, arguments++, fill, context);
	}
	k->work = bench_buffer(k->source.work_bytes);
	k->scratch = bench_buffer(k->source.scratch_bytes);
	k->phase = arena_new_array(a, (size_t)k->source.nphases, at_phase *);
	for (int p = 0; p < k->source.nphases; p++) {
		void *code = target_clang.symbol(k->module, k->source.phase[p].symbol);
		memcpy(&k->phase[p], &code, sizeof code);
	}
	return true;
}

/* Seconds of CPU time of one run on this thread; what each phase took is added to `took`. */
static inline double bench_run(struct bench_code *k, double *took)
{
	struct at_args args = {k->data, k->stride, k->work};
	double total = 0;
	for (int p = 0; p < k->source.nphases; p++) {
		double start = thread_seconds();
		k->phase[p](&args, 0, k->source.phase[p].tasks, k->scratch);
		double seconds = thread_seconds() - start;
		total += seconds;
		took[p] += seconds;
	}
	return total;
}

static inline int bench_ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

#endif
