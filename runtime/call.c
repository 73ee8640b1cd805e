/* call.c: running a compiled kernel. Nothing here allocates once a workspace is at hand; device_call.c
 * is about kernels for a device. */
#include "runtime/kernel.h"

#include <stdlib.h>
#include <sys/mman.h>

void *area_new(size_t size)
{
	enum { PAGE = 4096 };
	const size_t HUGE = (size_t)2 << 20;
	size_t align = size >= HUGE ? HUGE : PAGE;
	size_t rounded = (size + align - 1) / align * align;
	void *p = rounded < size ? NULL : aligned_alloc(align, rounded ? rounded : align);
	if (p && align == HUGE)
		madvise(p, rounded, MADV_HUGEPAGE); /* a wish: without it the kernel is slower, not wrong */
	return p;
}

/* An idle workspace of the kernel that is large enough, or a new one. */
static struct area *take_area(struct attune_kernel *k, size_t size)
{
	for (int i = 0; i < AREAS; i++) {
		if (!atomic_load_explicit(&k->area[i], memory_order_relaxed))
			continue;
		struct area *area = atomic_exchange(&k->area[i], NULL);
		if (area && area->size >= size)
			return area;
		free(area); /* made for the quick form, which wants less */
	}
	struct area *area = area_new(sizeof *area + size);
	if (area)
		area->size = size;
	return area;
}

static void give_area(struct attune_kernel *k, struct area *area)
{
	for (int i = 0; i < AREAS; i++) {
		struct area *none = NULL;
		if (atomic_compare_exchange_strong(&k->area[i], &none, area))
			return;
	}
	free(area);
}

static enum attune_status call(struct attune_kernel *k, const DLTensor *const *tensors, int count, void *workspace,
                               void *stream, bool wait, uint64_t unchanged, struct attune_error *error)
{
	enum attune_status status = tensors_counted(k->name, count, k->ntensors, error);
	if (status)
		return status;
	struct view view[MAX_ARGUMENTS];
	for (int i = 0; i < count; i++) {
		status = tensor_view(&k->tensor[i], k->dtype[i], k->dtype[i], tensors[i], &view[i], error);
		if (status)
			return status;
	}
	const struct code *code = atomic_load_explicit(&k->code, memory_order_acquire);
	for (int i = 0; code->target->device && i < count; i++)
		if (dtype_info[k->dtype[i]].bits < 8)
			return runtime_fail(error, ATTUNE_USAGE, "'%s' has two elements a byte, which a device is not given",
			                    k->tensor[i].name);
	if (code->target->device)
		return device_call(k, code, tensors, view, workspace, stream, wait, error);
	if (stream)
		return runtime_fail(error, ATTUNE_USAGE, "%s runs on this processor, which has no streams", k->name);
	for (int i = 0; i < count; i++)
		if ((status = tensor_on_host(k->tensor[i].name, tensors[i], error)))
			return status;
	if ((uintptr_t)workspace % 64)
		return runtime_fail(error, ATTUNE_USAGE, "the workspace is not aligned to 64 bytes");
	if (workspace) {
		code_run_kept(code, k->pool, view, count, workspace, unchanged);
		return ATTUNE_OK;
	}
	size_t size = code_workspace(code, pool_threads(k->pool));
	struct area *area = take_area(k, size);
	if (!area)
		return runtime_fail(error, ATTUNE_SYSTEM, "no memory for a workspace of %zu bytes", size);
	code_run(code, k->pool, view, count, area + 1);
	give_area(k, area);
	return ATTUNE_OK;
}

enum attune_status attune_call(struct attune_kernel *k, const DLTensor *const *tensors, int count,
                               void *workspace, struct attune_error *error)
{
	return call(k, tensors, count, workspace, NULL, true, 0, error);
}

enum attune_status attune_call_unchanged(struct attune_kernel *k, const DLTensor *const *tensors, int count,
                                         void *workspace, uint64_t unchanged, struct attune_error *error)
{
	if (!workspace)
		return runtime_fail(error, ATTUNE_USAGE,
		                    "what is prepared from unchanged tensors is kept in a workspace of the caller's: give one");
	if (count < 64 && unchanged >> (count > 0 ? count : 0))
		return runtime_fail(error, ATTUNE_USAGE, "%s has %d arguments: bit %d of what is unchanged is none of them",
		                    k->name, count, 63 - __builtin_clzll(unchanged));
	return call(k, tensors, count, workspace, NULL, true, unchanged, error);
}

enum attune_status attune_call_on(struct attune_kernel *k, const DLTensor *const *tensors, int count, void *workspace,
                                  void *stream, struct attune_error *error)
{
	return call(k, tensors, count, workspace, stream, false, 0, error);
}

void attune_kernel_argument(const struct attune_kernel *k, int argument, int *align, bool *unit)
{
	const struct code *code = atomic_load(&((struct attune_kernel *)k)->code);
	const struct kernel_argument *a = code->source && argument >= 0 && argument < k->ntensors
	                                          ? &code->source->argument[argument]
	                                          : &(struct kernel_argument){0};
	*align = a->align > 1 ? a->align : 1;
	*unit = a->unit;
}
