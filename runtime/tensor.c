/* tensor.c: DLPack tensors against declarations. */
#include "runtime/internal.h"

#include <stdio.h>

/* Of later DLPack versions than the one this is built with. */
enum { DL_BOOL = 6, DL_FLOAT8_E4M3FN = 10, DL_FLOAT8_E5M2 = 12 };

enum dtype dtype_of(DLDataType t)
{
	if (t.lanes != 1)
		return DTYPES;
	switch (t.code) {
	case kDLFloat:
		return t.bits == 64   ? DTYPE_F64
		       : t.bits == 32 ? DTYPE_F32
		       : t.bits == 16 ? DTYPE_F16
		                      : DTYPES;
	case kDLBfloat: return t.bits == 16 ? DTYPE_BF16 : DTYPES;
	case kDLInt:
		return t.bits == 64 ? DTYPE_I64 : t.bits == 32 ? DTYPE_I32 : t.bits == 8 ? DTYPE_I8
		       : t.bits == 4 ? DTYPE_I4 : DTYPES;
	case kDLUInt: return t.bits == 8 ? DTYPE_U8 : DTYPES;
	case DL_BOOL: return t.bits == 8 ? DTYPE_BOOL : DTYPES;
	case DL_FLOAT8_E4M3FN: return t.bits == 8 ? DTYPE_F8E4M3 : DTYPES;
	case DL_FLOAT8_E5M2: return t.bits == 8 ? DTYPE_F8E5M2 : DTYPES;
	default: return DTYPES;
	}
}

DLDataType dtype_dl(enum dtype t)
{
	DLDataType d = {.code = kDLOpaqueHandle, .bits = dtype_info[t].bits, .lanes = 1};
	switch (t) {
	case DTYPE_F64:
	case DTYPE_F32:
	case DTYPE_F16: d.code = kDLFloat; break;
	case DTYPE_BF16: d.code = kDLBfloat; break;
	case DTYPE_F8E4M3: d.code = DL_FLOAT8_E4M3FN; break;
	case DTYPE_F8E5M2: d.code = DL_FLOAT8_E5M2; break;
	case DTYPE_I4:
	case DTYPE_I8:
	case DTYPE_I32:
	case DTYPE_I64: d.code = kDLInt; break;
	case DTYPE_U8:
	case DTYPE_BOOL: d.code = kDLUInt; break;
	default: break;
	}
	return d;
}

/* u8 and bool share their bytes. */
static bool same_storage(enum dtype given, enum dtype wanted)
{
	return given == wanted || (given == DTYPE_U8 && wanted == DTYPE_BOOL);
}

static enum attune_status wrong_shape(const struct attune_tensor *t, const DLTensor *d,
                                      struct attune_error *error)
{
	char have[MAX_RANKS * 24] = "", want[MAX_RANKS * 24] = "";
	for (int i = 0, h = 0, w = 0; i < t->ndim; i++) {
		h += snprintf(have + h, sizeof have - (size_t)h, "%s%lld", i ? ", " : "",
		              (long long)d->shape[i]);
		w += t->shape[i] < 0 ? snprintf(want + w, sizeof want - (size_t)w, "%s*", i ? ", " : "")
		                     : snprintf(want + w, sizeof want - (size_t)w, "%s%lld", i ? ", " : "",
		                                (long long)t->shape[i]);
	}
	return runtime_fail(error, ATTUNE_USAGE, "'%s' has the shape [%s], but %s is [%s] here", t->name,
	                    have, t->declared, want);
}

/* Strides, and that no element's offset leaves 63 bits. */
static bool take_strides(const DLTensor *d, int size, struct view *v)
{
	int64_t dense = 1, reach = 0;
	for (int i = d->ndim - 1; i >= 0; i--) {
		v->stride[i] = d->strides ? d->strides[i] : dense;
		int64_t extent = d->shape[i], span;
		if (__builtin_mul_overflow(dense, extent ? extent : 1, &dense))
			return false;
		if (v->stride[i] == INT64_MIN ||
		    __builtin_mul_overflow(extent > 0 ? extent - 1 : 0,
		                           v->stride[i] < 0 ? -v->stride[i] : v->stride[i], &span) ||
		    __builtin_add_overflow(reach, span, &reach))
			return false;
	}
	return reach <= INT64_MAX / size - 1;
}

enum attune_status tensor_view(const struct attune_tensor *t, enum dtype as, enum dtype or_as,
                               const DLTensor *d, struct view *v, struct attune_error *error)
{
	if (!d)
		return runtime_fail(error, ATTUNE_USAGE, "'%s' is missing", t->name);
	if (d->ndim != t->ndim)
		return runtime_fail(error, ATTUNE_USAGE, "'%s' has %d ranks, but %s has %d", t->name, d->ndim,
		                    t->declared, t->ndim);
	enum dtype given = dtype_of(d->dtype);
	if (given >= DTYPES || !(same_storage(given, as) || given == or_as))
		return runtime_fail(error, ATTUNE_USAGE, "'%s' holds %s, but %s is declared %s", t->name,
		                    given < DTYPES ? dtype_info[given].spelling : "another type", t->declared,
		                    as < DTYPES ? dtype_info[as].spelling : "otherwise");
	bool empty = false;
	for (int i = 0; i < d->ndim; i++) {
		if (d->shape[i] < 0 || (t->shape[i] >= 0 && d->shape[i] != t->shape[i]))
			return wrong_shape(t, d, error);
		empty |= !d->shape[i];
	}
	int size = dtype_info[given].bits < 8 ? 1 : dtype_info[given].bits / 8;
	if (!take_strides(d, size, v))
		return runtime_fail(error, ATTUNE_USAGE, "the strides of '%s' reach further than 63 bits",
		                    t->name);
	v->data = (char *)d->data + d->byte_offset;
	v->nranks = d->ndim;
	if (empty)
		return ATTUNE_OK;
	if (!d->data)
		return runtime_fail(error, ATTUNE_USAGE, "'%s' has no data", t->name);
	if ((uintptr_t)v->data % (uintptr_t)size)
		return runtime_fail(error, ATTUNE_USAGE, "'%s' is not aligned to its elements of %d bytes",
		                    t->name, size);
	return ATTUNE_OK;
}

enum attune_status tensor_on_host(const char *name, const DLTensor *d, struct attune_error *error)
{
	if (!d || d->device.device_type == kDLCPU || d->device.device_type == kDLCUDAHost)
		return ATTUNE_OK;
	return runtime_fail(error, ATTUNE_USAGE, "'%s' is not in the memory of the CPU", name);
}

enum attune_status tensors_counted(const char *kernel, int have, int want, struct attune_error *error)
{
	if (have == want)
		return ATTUNE_OK;
	return runtime_fail(error, ATTUNE_USAGE, "%d tensors given, but %s takes %d", have, kernel, want);
}
