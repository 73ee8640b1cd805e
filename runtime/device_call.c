/* device_call.c: calls of a kernel whose code runs on a device.
 *
 * Tensors that lie on the device are handed over as they are, once they are known to be what the kernel's text assumes
 * of them. Tensors of the host are copied through an area of device memory, where each is dense but for rows that are
 * padded to what the text assumes; what is not laid out so on the host goes through memory of the host as well. Areas
 * are kept in the kernel: a later call allocates nothing. On an emulated device every tensor has an allocation of its
 * own instead, so that it sees a kernel reach past one.
 */
#include "runtime/kernel.h"

#include <stdlib.h>

#include "base/whole.h"

enum { AREA_ALIGN = 256 };

/* ---- where tensors are ---- */

static bool on_host(const DLTensor *d)
{
	return d->device.device_type == kDLCPU || d->device.device_type == kDLCUDAHost;
}

static bool on_device(const DLTensor *d)
{
	return d->device.device_type == kDLCUDA || d->device.device_type == kDLCUDAManaged;
}

static enum attune_status find_side(const struct attune_kernel *k, const struct code *code,
                                    const DLTensor *const *tensors, bool *device, struct attune_error *error)
{
	const char *target = code->target->name;
	int host = -1, there = -1;
	for (int i = 0; i < k->ntensors; i++) {
		const DLTensor *d = tensors[i];
		if (!on_host(d) && !on_device(d))
			return runtime_fail(error, ATTUNE_USAGE,
			                    "'%s' is on a device that target %s does not know (DLPack device type %d)",
			                    k->tensor[i].name, target, (int)d->device.device_type);
		if (on_device(d) && code->target->device->emulated)
			return runtime_fail(error, ATTUNE_USAGE,
			                    "'%s' is in the memory of a device, but target %s runs on this processor; "
			                    "copy the tensor to the memory of the CPU",
			                    k->tensor[i].name, target);
		if (on_device(d) && d->device.device_id)
			return runtime_fail(error, ATTUNE_USAGE,
			                    "'%s' is on device %d, but the kernel was made for device 0; copy the "
			                    "tensor there",
			                    k->tensor[i].name, d->device.device_id);
		*(on_host(d) ? &host : &there) = i;
	}
	if (host >= 0 && there >= 0)
		return runtime_fail(error, ATTUNE_USAGE,
		                    "'%s' is in the memory of the CPU and '%s' in that of the device; give all "
		                    "tensors on one side",
		                    k->tensor[host].name, k->tensor[there].name);
	*device = there >= 0;
	return ATTUNE_OK;
}

/* A tensor on the device against what the text assumes. A stride along a rank of one coordinate means nothing. */
static enum attune_status check_layout(const struct attune_tensor *t, const struct kernel_argument *a, int size,
                                       struct view *v, struct attune_error *error)
{
	int64_t count = 1;
	for (int k = 0; k < t->ndim; k++)
		count *= t->shape[k];
	for (int k = 0; k < t->ndim; k++)
		if (t->shape[k] <= 1)
			v->stride[k] = k == t->ndim - 1;
	if (!count)
		return ATTUNE_OK;
	if (a->unit && t->ndim && v->stride[t->ndim - 1] != 1)
		return runtime_fail(error, ATTUNE_USAGE,
		                    "'%s' has a stride of %lld along its last rank, but the kernel reads elements that "
		                    "lie one after the other; make the tensor contiguous",
		                    t->name, (long long)v->stride[t->ndim - 1]);
	if (a->align > 1 && (uintptr_t)v->data % (uintptr_t)a->align)
		return runtime_fail(error, ATTUNE_USAGE,
		                    "'%s' begins at an address that is no multiple of %d bytes, which the kernel reads "
		                    "at a time; copy the tensor to one that does",
		                    t->name, a->align);
	for (int k = 0; a->align > 1 && k < t->ndim - 1; k++)
		if (t->shape[k] > 1 && v->stride[k] * size % a->align)
			return runtime_fail(error, ATTUNE_USAGE,
			                    "'%s' has a stride of %lld elements along rank %d, %lld bytes, but the kernel "
			                    "reads %d at a time; make the stride a multiple of %d elements",
			                    t->name, (long long)v->stride[k], k + 1, (long long)v->stride[k] * size,
			                    a->align, a->align / size);
	return ATTUNE_OK;
}

/* ---- areas ---- */

void device_area_free(const struct code *code, struct area *area)
{
	if (!area)
		return;
	if (area->device)
		code->target->device->release(area->device);
	free(area->staging);
	free(area);
}

/* An idle area that is large enough and that nothing on another stream may still use, or a new one. */
static struct area *take_area(struct attune_kernel *k, const struct code *code, size_t size, void *stream,
                              struct text *why)
{
	for (int i = 0; i < AREAS; i++) {
		if (!atomic_load_explicit(&k->area[i], memory_order_relaxed))
			continue;
		struct area *area = atomic_exchange(&k->area[i], NULL), *none = NULL;
		if (!area)
			continue;
		if (area->size >= size && (!area->busy || area->stream == stream))
			return area;
		if (area->size < size || !atomic_compare_exchange_strong(&k->area[i], &none, area))
			device_area_free(code, area); /* which waits for what still uses it */
	}
	struct area *area = aligned_alloc(_Alignof(struct area), sizeof *area);
	if (!area) {
		text_add(why, "out of memory");
		return NULL;
	}
	*area = (struct area){.size = size};
	area->device = code->target->device->allocate(size, why);
	if (area->device)
		return area;
	free(area);
	return NULL;
}

static void give_area(struct attune_kernel *k, const struct code *code, struct area *area)
{
	for (int i = 0; i < AREAS; i++) {
		struct area *none = NULL;
		if (atomic_compare_exchange_strong(&k->area[i], &none, area))
			return;
	}
	device_area_free(code, area);
}

/* ---- tensors of the host ---- */

/* An argument's place in an area. */
struct place {
	struct view view; /* its data an offset until the area is there */
	int64_t bytes;
	size_t element;
	bool same; /* laid out as on the host; an output besides without gaps, which are not ours to write */
};

/* Dense, its rows padded to `align`. */
static int64_t lay_out(const struct attune_tensor *t, const struct kernel_argument *a, enum dtype type,
                       const struct view *host, struct place *p)
{
	int64_t size = dtype_info[type].bits / 8, dense = 1, reach = 1, count = 1;
	int64_t unit = a->align > size ? a->align / size : 1;
	*p = (struct place){.element = (size_t)size, .same = true};
	p->view.nranks = t->ndim;
	for (int k = t->ndim - 1; k >= 0; k--) {
		p->view.stride[k] = dense;
		p->same &= t->shape[k] <= 1 || host->stride[k] == dense;
		reach += (t->shape[k] - 1) * dense;
		count *= t->shape[k];
		dense *= t->shape[k];
		if (k == t->ndim - 1)
			dense = round_up(dense, unit);
		if (!t->shape[k])
			reach = dense = 0;
	}
	p->same &= t->role == ATTUNE_IN || reach == count;
	p->bytes = reach * size;
	return p->bytes;
}

static bool copy_in(const struct code *code, const struct attune_tensor *t, const struct view *host,
                    const struct place *p, char *staging, void *stream, struct text *why)
{
	const char *from = host->data;
	if (!p->same) {
		struct view dense = p->view;
		dense.data = staging;
		tensor_copy(host, &dense, t->shape, p->element);
		from = staging;
	}
	return !p->bytes ||
	       code->target->device->copy_in(p->view.data, from, (size_t)p->bytes, stream, why);
}

static bool copy_out(const struct code *code, const struct view *host, const struct place *p, char *staging,
                     void *stream, struct text *why)
{
	return !p->bytes || code->target->device->copy_out(p->same ? host->data : staging, p->view.data,
	                                                   (size_t)p->bytes, stream, why);
}

struct call {
	struct attune_kernel *kernel;
	const struct code *code;
	const struct view *view;
	void *work, *stream;
	bool device; /* the tensors are there */
};

static bool run_copied(const struct call *c, const struct place *place, char *staging, const int64_t *offset,
                       struct text *why)
{
	const struct attune_kernel *k = c->kernel;
	struct view view[MAX_ARGUMENTS];
	bool good = true;
	for (int i = 0; i < k->ntensors; i++) {
		view[i] = place[i].view;
		if (good && k->tensor[i].role == ATTUNE_IN)
			good = copy_in(c->code, &k->tensor[i], &c->view[i], &place[i], staging + offset[i], c->stream, why);
	}
	good = good && code_launch(c->code, view, k->ntensors, c->work, c->stream, why);
	for (int i = 0; good && i < k->ntensors; i++)
		if (k->tensor[i].role == ATTUNE_OUT)
			good = copy_out(c->code, &c->view[i], &place[i], staging + offset[i], c->stream, why);
	/* Also after a failure: the area is used again. */
	struct text unheard = *why;
	good = c->code->target->device->wait(c->stream, good ? why : &unheard) && good;
	for (int i = 0; good && i < k->ntensors; i++) {
		struct view dense = place[i].view;
		dense.data = staging + offset[i];
		if (k->tensor[i].role == ATTUNE_OUT && !place[i].same)
			tensor_copy(&dense, &c->view[i], k->tensor[i].shape, place[i].element);
	}
	return good;
}

struct layout {
	struct place place[MAX_ARGUMENTS];
	int64_t offset[MAX_ARGUMENTS], size;
	bool same; /* no tensor goes through memory of the host */
};

static void lay_out_all(const struct call *c, struct layout *l)
{
	const struct attune_kernel *k = c->kernel;
	l->size = 0;
	l->same = true;
	for (int i = 0; i < k->ntensors; i++) {
		int64_t bytes = lay_out(&k->tensor[i], &c->code->source->argument[i], k->dtype[i], &c->view[i],
		                        &l->place[i]);
		l->offset[i] = l->size;
		l->size = round_up(l->size + bytes, AREA_ALIGN);
		l->same &= l->place[i].same;
	}
}

static bool call_with_area(struct call *c, struct layout *l, struct text *why)
{
	struct attune_kernel *k = c->kernel;
	struct area *area = take_area(k, c->code, (size_t)l->size + c->code->work_bytes + 1, c->stream, why);
	if (!area)
		return false;
	if (!l->same && !area->staging && !(area->staging = malloc(area->size))) {
		text_add(why, "out of memory");
		give_area(k, c->code, area);
		return false;
	}
	for (int i = 0; i < k->ntensors; i++)
		l->place[i].view.data = (char *)area->device + l->offset[i];
	c->work = (char *)area->device + l->size;
	bool good = run_copied(c, l->place, area->staging, l->offset, why);
	area->busy = false;
	give_area(k, c->code, area);
	return good;
}

static bool call_emulated(struct call *c, struct layout *l, struct text *why)
{
	const struct target_device *d = c->code->target->device;
	int n = c->kernel->ntensors;
	char *staging = malloc((size_t)l->size + 1);
	bool good = staging && (c->work = d->allocate(c->code->work_bytes, why));
	for (int i = 0; i < n; i++) {
		l->place[i].view.data = good ? d->allocate((size_t)l->place[i].bytes, why) : NULL;
		good = good && l->place[i].view.data;
	}
	if (!staging)
		text_add(why, "out of memory");
	good = good && run_copied(c, l->place, staging, l->offset, why);
	for (int i = 0; i < n; i++)
		if (l->place[i].view.data)
			d->release(l->place[i].view.data);
	if (c->work)
		d->release(c->work);
	free(staging);
	return good;
}

static bool call_with_copies(struct call *c, struct text *why)
{
	struct layout l;
	lay_out_all(c, &l);
	return (c->code->target->device->emulated ? call_emulated : call_with_area)(c, &l, why);
}

/* ---- tensors of the device ---- */

static bool call_in_place(struct call *c, struct text *why)
{
	struct attune_kernel *k = c->kernel;
	if (c->work || !c->code->work_bytes)
		return code_launch(c->code, c->view, k->ntensors, c->work, c->stream, why);
	struct area *area = take_area(k, c->code, c->code->work_bytes, c->stream, why);
	if (!area)
		return false;
	bool good = code_launch(c->code, c->view, k->ntensors, area->device, c->stream, why);
	area->busy = true;
	area->stream = c->stream;
	give_area(k, c->code, area);
	return good;
}

static enum attune_status run_call(void *data, struct arena *arena, struct attune_error *error)
{
	struct call *c = data;
	struct text why;
	text_init(&why, arena);
	return (c->device ? call_in_place : call_with_copies)(c, &why)
	               ? ATTUNE_OK
	               : runtime_fail(error, ATTUNE_SYSTEM, "%s on %s: %s", c->kernel->name, c->code->target->name,
	                              why.s);
}

enum attune_status device_call(struct attune_kernel *k, const struct code *code, const DLTensor *const *tensors,
                               struct view *view, void *workspace, void *stream, bool wait,
                               struct attune_error *error)
{
	struct call c = {.kernel = k, .code = code, .view = view, .stream = stream};
	enum attune_status status = find_side(k, code, tensors, &c.device, error);
	for (int i = 0; !status && c.device && i < k->ntensors; i++)
		status = check_layout(&k->tensor[i], &code->source->argument[i], dtype_info[k->dtype[i]].bits / 8,
		                      &view[i], error);
	if (status)
		return status;
	if (c.device && (uintptr_t)workspace % AREA_ALIGN)
		return runtime_fail(error, ATTUNE_USAGE, "the workspace is not aligned to %d bytes", AREA_ALIGN);
	c.work = c.device ? workspace : NULL;
	if ((status = runtime_try(run_call, &c, error)) || !c.device || !wait)
		return status;
	return device_wait(code, k->name, stream, error);
}

struct wait_job {
	const struct code *code;
	const char *name;
	void *stream;
};

static enum attune_status run_wait(void *data, struct arena *arena, struct attune_error *error)
{
	const struct wait_job *job = data;
	struct text why;
	text_init(&why, arena);
	return job->code->target->device->wait(job->stream, &why)
	               ? ATTUNE_OK
	               : runtime_fail(error, ATTUNE_SYSTEM, "%s on %s: %s", job->name, job->code->target->name, why.s);
}

enum attune_status device_wait(const struct code *code, const char *name, void *stream, struct attune_error *error)
{
	return runtime_try(run_wait, &(struct wait_job){code, name, stream}, error);
}
