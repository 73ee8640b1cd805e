/* A driver of CUDA's that is none: what targets/cuda_driver.c calls, over the memory of this process, so that
 * the way to a device is tested where there is none. FAKE_CUDA in the environment says how it is to fail.
 * Kernels are known by name:
 *
 *     add_phase0    data[1][block] = data[0][block] + stride[0], doubles
 *     fault_phase0  reaches outside its memory
 *     next_phase0   data[1][0] = data[0][0] + stride[0], floats
 *     big_phase0    as add_phase0, and wants its shared memory asked for
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GOOD, INVALID_VALUE, OUT_OF_MEMORY, NOT_INITIALIZED, STUB = 34, NO_DEVICE = 100, INVALID_IMAGE = 200 };
enum { INVALID_CONTEXT = 201, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700 };

static pid_t initialised;
static int current, lost, largest;
static double now;

static int is(const char *mode)
{
	const char *said = getenv("FAKE_CUDA");
	return said && !strcmp(said, mode);
}

static int context(void)
{
	return initialised != getpid() ? NOT_INITIALIZED
	       : !current              ? INVALID_CONTEXT
	       : lost                  ? ILLEGAL_ADDRESS
	                               : GOOD;
}

int cuInit(unsigned flags);
int cuInit(unsigned flags)
{
	(void)flags;
	if (is("crash"))
		abort();
	if (initialised && initialised != getpid())
		return NOT_INITIALIZED;
	initialised = getpid();
	return is("none") ? NO_DEVICE : is("stub") ? STUB : GOOD;
}

/* NVRTC asks for tables that no interface tells of, and does without. */
int cuGetExportTable(const void **table, const void *id);
int cuGetExportTable(const void **table, const void *id)
{
	(void)id;
	*table = NULL;
	return INVALID_VALUE;
}

int cuGetErrorName(int status, const char **name);
int cuGetErrorName(int status, const char **name)
{
	*name = status == OUT_OF_MEMORY     ? "CUDA_ERROR_OUT_OF_MEMORY"
	        : status == NO_DEVICE       ? "CUDA_ERROR_NO_DEVICE"
	        : status == STUB            ? "CUDA_ERROR_STUB_LIBRARY"
	        : status == ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS"
	        : status == NOT_FOUND       ? "CUDA_ERROR_NOT_FOUND"
	        : status == INVALID_IMAGE   ? "CUDA_ERROR_INVALID_IMAGE"
	        : status == INVALID_VALUE   ? "CUDA_ERROR_INVALID_VALUE"
	                                    : NULL;
	return *name ? GOOD : INVALID_VALUE;
}

int cuGetErrorString(int status, const char **words);
int cuGetErrorString(int status, const char **words)
{
	*words = status == ILLEGAL_ADDRESS ? "an illegal memory access was encountered" : "words";
	return GOOD;
}

int cuDeviceGet(int *device, int number);
int cuDeviceGet(int *device, int number)
{
	*device = number;
	return GOOD;
}

int cuDeviceGetName(char *name, int room, int device);
int cuDeviceGetName(char *name, int room, int device)
{
	(void)device;
	strncpy(name, "Fake H200", (size_t)room - 1);
	return GOOD;
}

int cuDeviceGetAttribute(int *value, int which, int device);
int cuDeviceGetAttribute(int *value, int which, int device)
{
	static const int table[][2] = {{13, 1980000}, {16, 132}, {36, 3201000}, {37, 6144},  {38, 60 << 20},
	                               {75, 9},       {76, 0},   {81, 233472},  {97, 232448}};
	(void)device;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i][0] == which) {
			*value = is("old") && which == 75 ? 7 : table[i][1];
			return GOOD;
		}
	return INVALID_VALUE;
}

int cuDevicePrimaryCtxRetain(void **c, int device);
int cuDevicePrimaryCtxRetain(void **c, int device)
{
	(void)device;
	*c = &current;
	return initialised == getpid() ? GOOD : NOT_INITIALIZED;
}

int cuCtxPushCurrent_v2(void *c);
int cuCtxPushCurrent_v2(void *c)
{
	current += c == &current;
	return c == &current ? GOOD : INVALID_CONTEXT;
}

int cuCtxPopCurrent_v2(void **c);
int cuCtxPopCurrent_v2(void **c)
{
	*c = &current;
	current--;
	return GOOD;
}

/* For the test: contexts left pushed. */
int fake_depth(void);
int fake_depth(void)
{
	return current;
}

int cuModuleLoadData(void **module, const void *image);
int cuModuleLoadData(void **module, const void *image)
{
	if (context())
		return context();
	*module = &lost;
	return memcmp(image, "\177ELF", 4) ? INVALID_IMAGE : GOOD;
}

int cuModuleUnload(void *module);
int cuModuleUnload(void *module)
{
	(void)module;
	return context();
}

int cuModuleGetFunction(void **function, void *module, const char *name);
int cuModuleGetFunction(void **function, void *module, const char *name)
{
	static char known[][16] = {"add_phase0", "fault_phase0", "big_phase0", "next_phase0"};
	(void)module;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(known[i], name)) {
			*function = known[i];
			return context();
		}
	return NOT_FOUND;
}

int cuFuncSetAttribute(void *function, int which, int value);
int cuFuncSetAttribute(void *function, int which, int value)
{
	(void)function;
	if ((which != 8 && which != 9) || value > 232448)
		return INVALID_VALUE;
	largest = which == 8 ? value : largest;
	return context();
}

int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **parameters, void **extra);
int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **parameters, void **extra)
{
	struct {
		double *data[2];
		long stride[1];
		void *work;
	} args;
	(void)stream;
	if (context())
		return context();
	if (y != 1 || z != 1 || by != 1 || bz != 1 || !bx || bx > 1024 || extra ||
	    (shared > 48 << 10 && (int)shared > largest))
		return INVALID_VALUE;
	memcpy(&args, parameters[0], sizeof args);
	now += 1.5;
	if (!strcmp(function, "fault_phase0"))
		lost = 1;
	else if (!strcmp(function, "next_phase0"))
		*(float *)(void *)args.data[1] = *(const float *)(const void *)args.data[0] + (float)args.stride[0];
	else
		for (unsigned i = 0; i < x; i++)
			args.data[1][i] = args.data[0][i] + (double)args.stride[0];
	return GOOD;
}

int cuMemAlloc_v2(unsigned long long *p, size_t size);
int cuMemAlloc_v2(unsigned long long *p, size_t size)
{
	if (context())
		return context();
	if (size > 1 << 30)
		return OUT_OF_MEMORY;
	*p = (unsigned long long)(size_t)aligned_alloc(256, (size + 255) & ~(size_t)255);
	return GOOD;
}

int cuMemFree_v2(unsigned long long p);
int cuMemFree_v2(unsigned long long p)
{
	free((void *)(size_t)p);
	return context();
}

int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t size, void *stream);
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t size, void *stream)
{
	(void)stream;
	if (!context())
		memcpy((void *)(size_t)to, from, size);
	return context();
}

int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t size, void *stream);
int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t size, void *stream)
{
	(void)stream;
	if (!context())
		memcpy(to, (const void *)(size_t)from, size);
	return context();
}

int cuStreamSynchronize(void *stream);
int cuStreamSynchronize(void *stream)
{
	(void)stream;
	return context();
}

int cuEventCreate(void **event, unsigned flags);
int cuEventCreate(void **event, unsigned flags)
{
	(void)flags;
	*event = malloc(sizeof(double));
	return context();
}

int cuEventRecord(void *event, void *stream);
int cuEventRecord(void *event, void *stream)
{
	(void)stream;
	*(double *)event = now;
	return context();
}

int cuEventSynchronize(void *event);
int cuEventSynchronize(void *event)
{
	(void)event;
	return context();
}

int cuEventElapsedTime(float *milliseconds, void *first, void *last);
int cuEventElapsedTime(float *milliseconds, void *first, void *last)
{
	*milliseconds = (float)(*(double *)last - *(double *)first);
	return context();
}

int cuEventDestroy_v2(void *event);
int cuEventDestroy_v2(void *event)
{
	free(event);
	return GOOD;
}
