/* device_call_test.c: calls of kernels for a device, on a device that is pretended: memory of this process, a kernel in C.
 * What it shows is which tensors are taken, how they are laid out and copied, and what is kept between calls. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/kernel.h"
#include "tests/tap.h"

/* ---- the pretended device ---- */

static atomic_int allocated, released, copied, launched, waited;
static bool refuse_memory, refuse_launch;

static void *allocate(size_t bytes, struct text *why)
{
	if (refuse_memory) {
		text_add(why, "no memory there; free some");
		return NULL;
	}
	atomic_fetch_add(&allocated, 1);
	return aligned_alloc(256, (bytes + 255) / 256 * 256);
}

static void release(void *p)
{
	atomic_fetch_add(&released, 1);
	free(p);
}

static bool copy_in(void *to, const void *from, size_t bytes, void *stream, struct text *why)
{
	(void)stream, (void)why;
	atomic_fetch_add(&copied, 1);
	memcpy(to, from, bytes);
	return true;
}

static bool copy_out(void *to, const void *from, size_t bytes, void *stream, struct text *why)
{
	return copy_in(to, from, bytes, stream, why);
}

/* phase 0: work[n] = X[n,0]; phase 1: Y[n,m] = 2 X[n,m] + work[n]. Blocks are rows, `tasks` of them. */
struct arguments {
	float *x, *y;
	int64_t x_stride[2], y_stride[2];
	float *work;
};

enum { M = 6 };

static bool launch(struct module *module, const struct kernel_source *source, int phase, const void *args, size_t size,
                   void *stream, struct text *why)
{
	(void)module, (void)stream;
	const struct arguments *a = args;
	atomic_fetch_add(&launched, 1);
	if (refuse_launch || size != sizeof *a) {
		text_add(why, "the launch failed");
		return false;
	}
	for (long n = 0; n < source->phase[phase].tasks; n++) {
		if (!phase)
			a->work[n] = a->x[n * a->x_stride[0]];
		for (int m = 0; phase && m < M; m++)
			a->y[n * a->y_stride[0] + m * a->y_stride[1]] =
			        2 * a->x[n * a->x_stride[0] + m * a->x_stride[1]] + a->work[n];
	}
	return true;
}

static bool wait_for(void *stream, struct text *why)
{
	(void)stream, (void)why;
	atomic_fetch_add(&waited, 1);
	return true;
}

static struct module *load(const struct object *o, const struct target_options *options, struct text *why)
{
	(void)o, (void)options, (void)why;
	static char module;
	return (struct module *)&module;
}

static void unload(struct module *m)
{
	(void)m;
}

#define DEVICE                                                                                               \
	.allocate = allocate, .release = release, .copy_in = copy_in, .copy_out = copy_out, .launch = launch, \
	.wait = wait_for
static const struct target_device device = {DEVICE}, emulated = {.emulated = true, DEVICE};
static const struct target pretended = {.name = "pretended", .load = load, .unload = unload, .device = &device};
static const struct target imitated = {.name = "imitated", .load = load, .unload = unload, .device = &emulated};

/* ---- a kernel of it ---- */

enum { X, Y, TENSORS };

struct fixture {
	struct kernel_phase phase[2];
	struct kernel_argument argument[TENSORS];
	struct kernel_source source;
	struct attune_tensor tensor[TENSORS];
	enum dtype dtype[TENSORS];
	int64_t shape[2];
	struct attune_kernel *kernel;
};

static struct attune_kernel *kernel_new(struct fixture *f, const struct target *target, int64_t n)
{
	struct arena a;
	struct text why;
	arena_init(&a);
	text_init(&why, &a);
	*f = (struct fixture){
	        .phase = {{"k_phase0", (long)n, 32, 0}, {"k_phase1", (long)n, 32, 0}},
	        .argument = {{16, true}, {16, false}},
	        .dtype = {DTYPE_F32, DTYPE_F32},
	        .shape = {n, M},
	};
	f->source = (struct kernel_source){.nphases = 2,
	                                   .phase = f->phase,
	                                   .device = true,
	                                   .narguments = TENSORS,
	                                   .argument = f->argument,
	                                   .work_bytes = n * (int64_t)sizeof(float)};
	for (int i = 0; i < TENSORS; i++)
		f->tensor[i] = (struct attune_tensor){.name = i == X ? "X" : "Y",
		                                      .role = i == X ? ATTUNE_IN : ATTUNE_OUT,
		                                      .type = "f32",
		                                      .dtype = dtype_dl(DTYPE_F32),
		                                      .ndim = 2,
		                                      .shape = f->shape,
		                                      .declared = i == X ? "X[N, M]" : "Y[N, M]"};
	struct attune_kernel *k = calloc(1, sizeof *k);
	if (!k)
		abort();
	arena_init(&k->arena);
	pthread_mutex_init(&k->lock, NULL);
	k->name = "k";
	k->tensor = f->tensor;
	k->dtype = f->dtype;
	k->ntensors = TENSORS;
	struct target_options options = {.isa = ISA_SM80};
	k->final = code_load(target, &options, &(struct object){0}, &f->source, &why);
	atomic_store(&k->code, k->final);
	arena_free(&a);
	return f->kernel = k;
}

enum { ROOM = 4096 };
struct data {
	_Alignas(256) float x[ROOM], y[ROOM];
	int64_t shape[2], stride[TENSORS][2];
	DLTensor tensor[TENSORS];
	const DLTensor *pointer[TENSORS];
};

static void data_init(struct data *d, int64_t n, int64_t row, int64_t column, DLDeviceType type)
{
	*d = (struct data){.shape = {n, M}};
	for (int i = 0; i < ROOM; i++) {
		d->x[i] = (float)i;
		d->y[i] = -1;
	}
	for (int i = 0; i < TENSORS; i++) {
		d->stride[i][0] = row;
		d->stride[i][1] = column;
		d->tensor[i] = (DLTensor){.data = i == X ? d->x : d->y,
		                          .device = {type, 0},
		                          .ndim = 2,
		                          .dtype = dtype_dl(DTYPE_F32),
		                          .shape = d->shape,
		                          .strides = d->stride[i]};
		d->pointer[i] = &d->tensor[i];
	}
}

/* Every element of Y, and nothing between them. */
static bool is_right(const struct data *d)
{
	int64_t n = d->shape[0], written = 0;
	const float *x = (const float *)((const char *)d->x + d->tensor[X].byte_offset);
	const float *y = (const float *)((const char *)d->y + d->tensor[Y].byte_offset);
	for (int64_t i = 0; i < n; i++)
		for (int64_t m = 0; m < M; m++) {
			const int64_t *s = d->stride[X], *t = d->stride[Y];
			if (y[i * t[0] + m * t[1]] != 2 * x[i * s[0] + m * s[1]] + x[i * s[0]])
				return false;
		}
	for (int i = 0; i < ROOM; i++)
		written += d->y[i] >= 0;
	return written == n * M;
}

static enum attune_status call(struct fixture *f, struct data *d, struct attune_error *error)
{
	*error = (struct attune_error){0};
	return attune_call(f->kernel, d->pointer, TENSORS, NULL, error);
}

static bool complains(struct fixture *f, struct data *d, const char *a, const char *b)
{
	struct attune_error error;
	int before = launched;
	bool good = call(f, d, &error) == ATTUNE_USAGE && strstr(error.message, a) && strstr(error.message, b) &&
	            launched == before;
	if (!good)
		printf("# %d: %s\n", (int)error.status, error.message);
	return good;
}

static struct data d; /* large for a stack */

static void test_host(void)
{
	struct fixture f;
	struct attune_error error;
	kernel_new(&f, &pretended, 5);
	allocated = copied = 0;
	data_init(&d, 5, M, 1, kDLCPU);
	ok(call(&f, &d, &error) == ATTUNE_OK && is_right(&d), "dense tensors of the host %s", error.message);
	ok(allocated == 1 && copied == 2, "are copied in and out");
	data_init(&d, 5, M, 1, kDLCPU);
	ok(call(&f, &d, &error) == ATTUNE_OK && is_right(&d) && allocated == 1,
	   "a second call allocates no device memory");
	data_init(&d, 5, 8, 1, kDLCPU);
	ok(call(&f, &d, &error) == ATTUNE_OK && is_right(&d), "rows that are padded as the kernel's");
	data_init(&d, 5, 1, 17, kDLCPU);
	ok(call(&f, &d, &error) == ATTUNE_OK && is_right(&d), "transposed ones");
	data_init(&d, 5, -M, 2 * M * 5, kDLCUDAHost);
	d.tensor[X].byte_offset = d.tensor[Y].byte_offset = 4 * M * sizeof(float);
	ok(call(&f, &d, &error) == ATTUNE_OK && is_right(&d), "negative strides and offsets, in pinned memory");
	refuse_launch = true;
	ok(call(&f, &d, &error) == ATTUNE_SYSTEM && strstr(error.message, "k on pretended: the launch failed"),
	   "what the driver says of a launch is told: %s", error.message);
	refuse_launch = false;
	data_init(&d, 5, M, 1, kDLCPU);
	ok(call(&f, &d, &error) == ATTUNE_OK && is_right(&d) && allocated == 1, "and the next call is well");
	attune_kernel_free(f.kernel);
	ok(allocated == released, "a freed kernel gives its memory back");

	kernel_new(&f, &pretended, 5);
	refuse_memory = true;
	ok(call(&f, &d, &error) == ATTUNE_SYSTEM && strstr(error.message, "free some"), "no memory there: %s",
	   error.message);
	refuse_memory = false;
	attune_kernel_free(f.kernel);

	kernel_new(&f, &pretended, 0);
	launched = 0;
	data_init(&d, 0, M, 1, kDLCPU);
	ok(call(&f, &d, &error) == ATTUNE_OK && !launched, "nothing to do launches nothing %s", error.message);
	attune_kernel_free(f.kernel);
}

static void test_device(void)
{
	struct fixture f;
	struct attune_error error;
	kernel_new(&f, &pretended, 5);
	allocated = released = copied = 0;
	data_init(&d, 5, 8, 1, kDLCUDA);
	ok(call(&f, &d, &error) == ATTUNE_OK && is_right(&d) && !copied, "tensors on the device are not copied %s",
	   error.message);
	data_init(&d, 5, M, 1, kDLCUDA);
	ok(complains(&f, &d, "'X'", "multiple of 4 elements"), "a row stride that is no multiple of what is read");
	data_init(&d, 5, 64, 2, kDLCUDA);
	ok(complains(&f, &d, "'X'", "contiguous"), "a last rank that is strided");
	data_init(&d, 5, 64, 1, kDLCUDA);
	d.stride[Y][1] = 2;
	ok(call(&f, &d, &error) == ATTUNE_OK && is_right(&d), "which is well where the kernel does not mind %s",
	   error.message);
	data_init(&d, 5, 8, 1, kDLCUDA);
	d.tensor[Y].byte_offset = 8;
	ok(complains(&f, &d, "'Y'", "multiple of 16 bytes"), "a misaligned address");
	data_init(&d, 5, 8, 1, kDLCUDA);
	d.tensor[Y].device.device_type = kDLCPU;
	ok(complains(&f, &d, "'X'", "one side"), "tensors on both sides");
	data_init(&d, 5, 8, 1, kDLCUDA);
	d.tensor[Y].device.device_id = 1;
	ok(complains(&f, &d, "'Y'", "device 1"), "a tensor of another device");
	data_init(&d, 5, 8, 1, kDLROCM);
	ok(complains(&f, &d, "'X'", "pretended"), "a device of another make");
	data_init(&d, 5, 8, 1, kDLCUDA);
	d.tensor[X].dtype = dtype_dl(DTYPE_BF16);
	ok(complains(&f, &d, "'X'", "bf16"), "a tensor of another type");
	attune_kernel_free(f.kernel);

	kernel_new(&f, &pretended, 1);
	data_init(&d, 1, 3, 1, kDLCUDA);
	ok(call(&f, &d, &error) == ATTUNE_OK && is_right(&d), "the stride of a rank of one coordinate means nothing %s",
	   error.message);
	attune_kernel_free(f.kernel);

	kernel_new(&f, &imitated, 5);
	data_init(&d, 5, 8, 1, kDLCUDA);
	ok(complains(&f, &d, "'X'", "copy the tensor"), "an imitated device has no memory of a caller's");
	data_init(&d, 5, 8, 1, kDLCPU);
	ok(call(&f, &d, &error) == ATTUNE_OK && is_right(&d), "but takes tensors of the host %s", error.message);
	attune_kernel_free(f.kernel);
}

static void test_streams(void)
{
	struct fixture f;
	struct attune_error error = {0};
	static char stream[2];
	static _Alignas(256) char own[256];
	kernel_new(&f, &pretended, 5);
	allocated = released = waited = 0;
	data_init(&d, 5, 8, 1, kDLCUDA);
	for (int i = 0; i < 3; i++)
		attune_call_on(f.kernel, d.pointer, TENSORS, NULL, &stream[0], &error);
	ok(!error.status && is_right(&d) && !waited && allocated == 1,
	   "calls on one stream wait for nothing and share a workspace");
	attune_call_on(f.kernel, d.pointer, TENSORS, NULL, &stream[1], &error);
	ok(!error.status && allocated == 2 && !released, "another stream has its own");
	attune_call_on(f.kernel, d.pointer, TENSORS, own, &stream[1], &error);
	ok(!error.status && allocated == 2, "a caller's own workspace serves");
	ok(attune_call_on(f.kernel, d.pointer, TENSORS, own + 64, &stream[1], &error) == ATTUNE_USAGE &&
	           strstr(error.message, "256"),
	   "if it is aligned: %s", error.message);
	ok(attune_kernel_workspace(f.kernel) == 64, "it is of the size that is asked for");
	int align;
	bool unit;
	attune_kernel_argument(f.kernel, X, &align, &unit);
	ok(align == 16 && unit, "what an argument must be is told");
	attune_kernel_free(f.kernel);
	ok(allocated == released, "all of it is given back");
}

struct caller {
	struct attune_kernel *kernel;
	struct data data;
	int wrong;
};

static void *many_calls(void *data)
{
	struct caller *c = data;
	for (int i = 0; i < 200; i++)
		c->wrong += attune_call(c->kernel, c->data.pointer, TENSORS, NULL, NULL) != ATTUNE_OK || !is_right(&c->data);
	return NULL;
}

static void test_threads(void)
{
	enum { CALLERS = 4 };
	static struct caller caller[CALLERS];
	struct fixture f;
	pthread_t thread[CALLERS];
	int wrong = 0;
	kernel_new(&f, &pretended, 5);
	allocated = released = 0;
	for (int i = 0; i < CALLERS; i++) {
		caller[i].kernel = f.kernel;
		data_init(&caller[i].data, 5, i % 2 ? M : 1, i % 2 ? 1 : 7, kDLCPU);
		if (pthread_create(&thread[i], NULL, many_calls, &caller[i]))
			abort();
	}
	for (int i = 0; i < CALLERS; i++) {
		pthread_join(thread[i], NULL);
		wrong += caller[i].wrong;
	}
	ok(!wrong && allocated <= CALLERS, "%d threads call one kernel: %d wrong, %d areas", CALLERS, wrong,
	   (int)allocated);
	attune_kernel_free(f.kernel);
	ok(allocated == released, "and all areas are given back");
}

int main(void)
{
	test_host();
	test_device();
	test_streams();
	test_threads();
	return tap_done();
}
