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

void tensor_copy(const struct view *from, const struct view *to, const int64_t *shape, size_t element)
{
	int last = from->nranks - 1;
	int64_t rows = 1, position[MAX_RANKS] = {0}, here = 0, there = 0;
	int64_t width = last < 0 ? 1 : shape[last];
	int64_t step = last < 0 ? 0 : from->stride[last], stride = last < 0 ? 0 : to->stride[last];
	int64_t size = (int64_t)element;
	bool whole = width <= 1 || (step == 1 && stride == 1);
	for (int k = 0; k < last; k++)
		rows *= shape[k];
	if (width <= 0)
		return;
	for (; rows > 0; rows--) {
		const char *source = from->data + here * size;
		char *target = to->data + there * size;
		if (whole)
			memcpy(target, source, (size_t)width * element);
		for (int64_t i = 0; !whole && i < width; i++)
			memcpy(target + i * stride * size, source + i * step * size, element);
		for (int k = last - 1; k >= 0; k--) {
			here += from->stride[k];
			there += to->stride[k];
			if (++position[k] < shape[k])
				break;
			here -= from->stride[k] * shape[k];
			there -= to->stride[k] * shape[k];
			position[k] = 0;
		}
	}
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
	if ((status = tensor_on_host(source.name, from, error)) || (status = tensor_on_host(target.name, to, error)))
		return status;
	/* Doubles would lose digits of i64 and the payload of NaNs. */
	if (source_type == target_type && dtype_info[source_type].bits >= 8) {
		tensor_copy(&source_view, &target_view, from->shape, dtype_info[source_type].bits / 8u);
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
