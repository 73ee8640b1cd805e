/* reference.c: the oracle on a caller's tensors. */
#include "runtime/internal.h"

#include <unistd.h>

#include "dsl/oracle.h"

struct oracle_job {
	struct attune_program *program;
	const DLTensor *const *tensor;
	int count;
};

static size_t memory_limit(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	return pages > 0 && size > 0 ? (size_t)pages / 4 * 3 * (size_t)size : (size_t)4 << 30;
}

static enum attune_status run_oracle(void *data, struct arena *arena, struct attune_error *error)
{
	const struct oracle_job *job = data;
	struct attune_program *p = job->program;
	struct cascade *c = cascade_clone(arena, p->cascade);
	struct view *view = arena_new_array(arena, (size_t)p->ntensors, struct view);
	enum attune_status status;
	for (int i = 0; i < p->ntensors; i++) {
		enum dtype type = c->tensor.v[p->tensor_id[i]].dtype;
		enum dtype other = p->tensor[i].role == ATTUNE_OUT ? DTYPE_F64 : type;
		status = tensor_view(&p->tensor[i], type, other, job->tensor[i], &view[i], error);
		if (status || (status = tensor_on_host(p->tensor[i].name, job->tensor[i], error)))
			return status;
	}
	size_t limit = memory_limit(), inputs = 0;
	for (int i = 0; i < p->ntensors; i++)
		if (p->tensor[i].role == ATTUNE_IN)
			inputs += (size_t)tensor_count(job->tensor[i]) * sizeof(double);
	if (inputs > limit)
		return runtime_fail(error, ATTUNE_SYSTEM,
		                    "the oracle would need %zu bytes for the inputs alone", inputs);
	struct oracle_tensor *tensor = arena_new_array(arena, c->tensor.n, struct oracle_tensor);
	for (int i = 0; i < p->ntensors; i++) {
		if (p->tensor[i].role != ATTUNE_IN)
			continue;
		struct oracle_tensor *t = &tensor[p->tensor_id[i]];
		t->count = tensor_count(job->tensor[i]);
		t->data = arena_new_array(arena, (size_t)t->count, double);
		tensor_to_doubles(job->tensor[i], &view[i], t->data);
	}
	struct diags diags;
	diags_init(&diags, arena, p->diags.file, p->diags.source, p->diags.size);
	if (!oracle_run(arena, c, tensor, limit, &diags))
		return runtime_fail_diags(error, ATTUNE_PROGRAM, &diags);
	for (int i = 0; i < p->ntensors; i++)
		if (p->tensor[i].role == ATTUNE_OUT)
			tensor_from_doubles(job->tensor[i], &view[i], tensor[p->tensor_id[i]].data,
			                    c->tensor.v[p->tensor_id[i]].dtype);
	return ATTUNE_OK;
}

enum attune_status attune_oracle(struct attune_program *p, const DLTensor *const *tensors, int count,
                                 struct attune_error *error)
{
	enum attune_status status = program_check_bound(p, error);
	if (status)
		return status;
	status = tensors_counted(attune_program_name(p), count, p->ntensors, error);
	if (status)
		return status;
	return runtime_try(run_oracle, &(struct oracle_job){p, tensors, count}, error);
}
