/* stages_c.h: the last stages too: a tile program as C, compiled, run between guard pages on odd strides with
 * poisoned outputs, against what the oracle said.
 */
#ifndef ATTUNE_TESTS_STAGES_C_H
#define ATTUNE_TESTS_STAGES_C_H

#include "dsl/dtype.h"
#include "search/sandbox.h"
#include "targets/target.h"
#include "tests/stages.h"

enum { STAGES_TENSORS = 64 };

struct stages_c {
	struct guarded buffer[STAGES_TENSORS], work, scratch;
	int64_t stride[STAGES_TENSORS][MAX_RANKS];
};

/* The place in memory of the i-th element in row-major order. */
static int64_t stages_place(const struct tile_tensor *t, const int64_t *stride, int64_t i)
{
	int64_t at = 0;
	for (int r = t->nranks - 1; r >= 0; r--) {
		at += i % t->extent[r] * stride[r];
		i /= t->extent[r];
	}
	return at;
}

/* Odd tensors lie in the opposite order of ranks, with gaps; or all with the last rank's elements side by side, rows
 * with gaps, the other ranks in the opposite order. */
static bool stages_lay_out(struct stages *s, struct stages_c *c, uint32_t i)
{
	const struct tile_tensor *t = &s->program->tensor.v[i];
	const struct oracle_tensor *from = &s->tensor[cascade_find_tensor(s->cascade, t->name)];
	int64_t size = 1;
	bool odd = i % 2;
	for (int k = 0; k < t->nranks; k++) {
		int r = s->turned && k ? k - 1 : odd && !s->turned ? k : t->nranks - 1 - k;
		c->stride[i][r] = size;
		size *= t->extent[r] + ((odd || s->turned) && k == 0);
	}
	if (!guarded_alloc(&c->buffer[i], (size_t)dtype_bytes(t->dtype, size), 1, GUARD_AFTER))
		return stages_fault(s, "c: memory");
	for (int64_t k = 0; t->role == ROLE_IN && k < from->count; k++)
		dtype_store(t->dtype, c->buffer[i].data, stages_place(t, c->stride[i], k), from->data[k]);
	return true;
}

static bool stages_call(struct stages *s, struct stages_c *c, const struct kernel_source *k,
                        const struct target *target, enum isa isa)
{
	struct target_options options = {.isa = isa, .optimise = 1};
	struct object object;
	struct text why;
	text_init(&why, s->arena);
	if (!target->compile(k->text, &options, &object, &why))
		return stages_fault(s, "%s: %s", target->name, why.s);
	struct module *module = target->load(&object, &options, &why);
	if (!module)
		return stages_fault(s, "%s: %s", target->name, why.s);
	void *data[STAGES_TENSORS];
	const int64_t *stride[STAGES_TENSORS];
	for (int i = 0; i < STAGES_TENSORS; i++) {
		data[i] = c->buffer[i].data;
		stride[i] = c->stride[i];
	}
	struct at_args args = {data, stride, c->work.data};
	for (int p = 0; p < k->nphases; p++) {
		union {
			void *data;
			at_phase *code;
		} f = {target->symbol(module, k->phase[p].symbol)};
		long half = k->phase[p].tasks / 2;
		guarded_poison(&c->scratch);
		f.code(&args, half, k->phase[p].tasks, c->scratch.data);
		f.code(&args, 0, half, c->scratch.data);
	}
	target->unload(module);
	object_free(&object);
	return true;
}

static bool stages_result(struct stages *s, struct stages_c *c, uint32_t i, double bound)
{
	const struct tile_tensor *t = &s->program->tensor.v[i];
	const struct oracle_tensor *expected = &s->tensor[cascade_find_tensor(s->cascade, t->name)];
	double *got = arena_new_array(s->arena, (size_t)expected->count, double);
	for (int64_t k = 0; k < expected->count; k++)
		got[k] = dtype_load(t->dtype, c->buffer[i].data, stages_place(t, c->stride[i], k));
	double error = stages_error(s, expected->data, got, expected->count);
	return error <= bound || stages_fault(s, "c: %s is off by %g", t->name, error);
}

/* How a kernel is compiled and its phases are run. */
typedef bool stages_caller(struct stages *, struct stages_c *, const struct kernel_source *, const struct target *,
                           enum isa);

/* The last schedule's program through a target. `bound` holds for real outputs, in units of the largest. */
static bool stages_through(struct stages *s, const struct schedule *schedule, stages_caller *call,
                           const struct target *target, double bound)
{
	struct stages_c *c = arena_new(s->arena, struct stages_c);
	struct kernel_source k = emit_c(s->arena, s->program, schedule->isa, schedule->exp_degree);
	uint32_t n = s->program->tensor.n;
	if (n > STAGES_TENSORS)
		return stages_fault(s, "c: more than %d tensors", STAGES_TENSORS);
	bool good = guarded_alloc(&c->work, (size_t)k.work_bytes, 64, GUARD_AFTER) &&
	            guarded_alloc(&c->scratch, (size_t)k.scratch_bytes, 64, GUARD_AFTER);
	for (uint32_t i = 0; good && i < n; i++)
		if (s->program->tensor.v[i].place == PLACE_ARGUMENT)
			good = stages_lay_out(s, c, i);
	good = good && call(s, c, &k, target, schedule->isa);
	if (good && !(guarded_intact(&c->work) && guarded_intact(&c->scratch)))
		good = stages_fault(s, "c: wrote outside its work area or scratch");
	for (uint32_t i = 0; i < n; i++) {
		const struct tile_tensor *t = &s->program->tensor.v[i];
		if (!c->buffer[i].map)
			continue;
		if (good && !guarded_intact(&c->buffer[i]))
			good = stages_fault(s, "c: wrote outside %s", t->name);
		if (good && t->role == ROLE_OUT && !dtype_info[t->dtype].integer)
			good = stages_result(s, c, i, bound);
		guarded_free(&c->buffer[i]);
	}
	guarded_free(&c->work);
	guarded_free(&c->scratch);
	return good;
}

__attribute__((unused)) static bool stages_target(struct stages *s, const struct schedule *schedule,
                                                  const struct target *target, double bound)
{
	return stages_through(s, schedule, stages_call, target, bound);
}

/* A schedule that must be legal, in the interpreter and, unless target is NULL, compiled; tells of one at fault. */
__attribute__((unused)) static bool stages_tried(struct stages *s, const struct schedule *schedule,
                                                 const struct target *target, double bound)
{
	return (stages_legal(s, schedule) && (!target || stages_target(s, schedule, target, bound))) ||
	       stages_tell(s, schedule);
}

#endif
