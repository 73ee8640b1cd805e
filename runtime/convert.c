/* convert.c: strided tensors of any type as dense doubles, and back. */
#include "runtime/internal.h"

#include <string.h>

#include "dsl/dtype.h"

int64_t tensor_count(const DLTensor *d)
{
	int64_t n = 1;
	for (int k = 0; k < d->ndim; k++)
		n *= d->shape[k];
	return n;
}

/* Walks in row-major order; `position` is the coordinate, all zero at first. */
static bool next_element(int64_t *position, const DLTensor *d, const struct view *v, int64_t *offset)
{
	for (int k = d->ndim - 1; k >= 0; k--) {
		*offset += v->stride[k];
		if (++position[k] < d->shape[k])
			return true;
		*offset -= v->stride[k] * d->shape[k];
		position[k] = 0;
	}
	return false;
}

void tensor_to_doubles(const DLTensor *d, const struct view *v, double *dense)
{
	if (!tensor_count(d))
		return;
	enum dtype type = dtype_of(d->dtype);
	int64_t position[MAX_RANKS] = {0}, offset = 0;
	do
		*dense++ = dtype_load(type, v->data, offset);
	while (next_element(position, d, v, &offset));
}

void tensor_from_doubles(const DLTensor *d, const struct view *v, const double *dense, enum dtype declared)
{
	if (!tensor_count(d))
		return;
	enum dtype type = dtype_of(d->dtype);
	if (declared == DTYPE_BOOL && type == DTYPE_U8)
		type = DTYPE_BOOL;
	int64_t position[MAX_RANKS] = {0}, offset = 0;
	do
		dtype_store(type, v->data, offset, *dense++);
	while (next_element(position, d, v, &offset));
}

/* Doubles would lose digits of i64 and the payload of NaNs. */
static void copy_elements(const DLTensor *from, const struct view *source, const DLTensor *to,
                          const struct view *target, size_t size)
{
	if (!tensor_count(from))
		return;
	int64_t here[MAX_RANKS] = {0}, there[MAX_RANKS] = {0}, i = 0, k = 0;
	do
		memcpy(target->data + k * (int64_t)size, source->data + i * (int64_t)size, size);
	while (next_element(here, from, source, &i) && next_element(there, to, target, &k));
}

struct convert_job {
	const DLTensor *from, *to;
};

static enum attune_status run_convert(void *data, struct arena *arena, struct attune_error *error)
{
	const struct convert_job *job = data;
	const DLTensor *from = job->from, *to = job->to;
	if (from->ndim < 0 || from->ndim > MAX_RANKS)
		return runtime_fail(error, ATTUNE_USAGE, "a tensor has at most %d ranks, not %d", MAX_RANKS, from->ndim);
	static const int64_t any[MAX_RANKS] = {-1, -1, -1, -1, -1, -1, -1, -1};
	struct attune_tensor source = {.name = "the source", .declared = "it", .ndim = from->ndim, .shape = any};
	struct attune_tensor target = {
		.name = "the target", .declared = "the source", .ndim = from->ndim, .shape = from->shape};
	enum dtype source_type = dtype_of(from->dtype), target_type = dtype_of(to->dtype);
	struct view source_view, target_view;
	enum attune_status status = tensor_view(&source, source_type, source_type, from, &source_view, error);
	if (status || (status = tensor_view(&target, target_type, target_type, to, &target_view, error)))
		return status;
	if (source_type == target_type) {
		copy_elements(from, &source_view, to, &target_view, dtype_info[source_type].bits / 8u);
		return ATTUNE_OK;
	}
	double *dense = arena_new_array(arena, (size_t)tensor_count(from), double);
	tensor_to_doubles(from, &source_view, dense);
	tensor_from_doubles(to, &target_view, dense, target_type);
	return ATTUNE_OK;
}

enum attune_status attune_convert(const DLTensor *from, const DLTensor *to, struct attune_error *error)
{
	return runtime_try(run_convert, &(struct convert_job){from, to}, error);
}
