/* cuda_driver_internal.h: what cuda_driver.c and cuda_launch.c know of the driver's interface. Only they
 * include it. No header of CUDA's is needed: these are its types and numbers, from the CUDA Driver API
 * reference. */
#ifndef ATTUNE_TARGETS_CUDA_DRIVER_INTERNAL_H
#define ATTUNE_TARGETS_CUDA_DRIVER_INTERNAL_H

#include "targets/cuda_driver.h"

typedef int cuda_device;
typedef unsigned long long cuda_pointer;
typedef struct cuda_context_state *cuda_context;
typedef struct cuda_module_state *cuda_module;
typedef struct cuda_function_state *cuda_function;
typedef struct cuda_event_state *cuda_event;

enum cuda_status {
	CUDA_STUB_LIBRARY = 34,
	CUDA_NO_DEVICE = 100,
	CUDA_NOT_INITIALIZED = 3,
	CUDA_ILLEGAL_ADDRESS =
	        700, /* this and the faults below: what a kernel did, and the context is lost */
	CUDA_FAULTS = 714,
	CUDA_LAST_FAULT = 719,
};
enum cuda_attribute {
	CUDA_CLOCK_RATE = 13, /* kHz */
	CUDA_MULTIPROCESSORS = 16,
	CUDA_MEMORY_CLOCK_RATE = 36, /* kHz; two transfers a clock */
	CUDA_BUS_WIDTH = 37,         /* bits */
	CUDA_L2 = 38,
	CUDA_CAPABILITY_MAJOR = 75,
	CUDA_CAPABILITY_MINOR = 76,
	CUDA_SHARED_MULTIPROCESSOR = 81,
	CUDA_SHARED_BLOCK = 97, /* that a function may ask for */
};
/* Attributes of a function: most dynamic shared memory; percent of a multiprocessor's memory that is to be
 * shared. */
enum { CUDA_FUNCTION_SHARED = 8, CUDA_FUNCTION_CARVEOUT = 9 };

struct driver {
	int (*error_name)(int, const char **);
	int (*error_string)(int, const char **);
	int (*init)(unsigned flags);
	int (*device_get)(cuda_device *, int number);
	int (*device_name)(char *, int room, cuda_device);
	int (*device_attribute)(int *, int which, cuda_device);
	int (*context_retain)(cuda_context *, cuda_device);
	int (*context_push)(cuda_context);
	int (*context_pop)(cuda_context *);
	int (*module_load)(cuda_module *, const void *image);
	int (*module_unload)(cuda_module);
	int (*module_function)(cuda_function *, cuda_module, const char *name);
	int (*function_set)(cuda_function, int attribute, int value);
	int (*launch)(cuda_function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
	              unsigned block_y, unsigned block_z, unsigned shared, void *stream, void **parameters,
	              void **extra);
	int (*allocate)(cuda_pointer *, size_t);
	int (*release)(cuda_pointer);
	int (*copy_in)(cuda_pointer, const void *, size_t, void *stream);
	int (*copy_out)(void *, cuda_pointer, size_t, void *stream);
	int (*stream_wait)(void *stream);
	int (*event_new)(cuda_event *, unsigned flags);
	int (*event_record)(cuda_event, void *stream);
	int (*event_wait)(cuda_event);
	int (*event_elapsed)(float *milliseconds, cuda_event, cuda_event);
	int (*event_free)(cuda_event);
};
#define DRIVER_FUNCTIONS(X)                                                                                  \
	X(error_name, "cuGetErrorName")                                                                      \
	X(error_string, "cuGetErrorString")                                                                  \
	X(init, "cuInit")                                                                                    \
	X(device_get, "cuDeviceGet")                                                                         \
	X(device_name, "cuDeviceGetName")                                                                    \
	X(device_attribute, "cuDeviceGetAttribute")                                                          \
	X(context_retain, "cuDevicePrimaryCtxRetain")                                                        \
	X(context_push, "cuCtxPushCurrent_v2")                                                               \
	X(context_pop, "cuCtxPopCurrent_v2")                                                                 \
	X(module_load, "cuModuleLoadData")                                                                   \
	X(module_unload, "cuModuleUnload")                                                                   \
	X(module_function, "cuModuleGetFunction")                                                            \
	X(function_set, "cuFuncSetAttribute")                                                                \
	X(launch, "cuLaunchKernel")                                                                          \
	X(allocate, "cuMemAlloc_v2")                                                                         \
	X(release, "cuMemFree_v2")                                                                           \
	X(copy_in, "cuMemcpyHtoDAsync_v2")                                                                   \
	X(copy_out, "cuMemcpyDtoHAsync_v2")                                                                  \
	X(stream_wait, "cuStreamSynchronize")                                                                \
	X(event_new, "cuEventCreate")                                                                        \
	X(event_record, "cuEventRecord")                                                                     \
	X(event_wait, "cuEventSynchronize")                                                                  \
	X(event_elapsed, "cuEventElapsedTime")                                                               \
	X(event_free, "cuEventDestroy_v2")

/* Why something failed: in no arena, whose end by longjmp would leave a lock or a context behind. */
struct words {
	char s[512];
};

/* The driver with its first device's primary context current, till driver_leave; NULL with the reason. */
const struct driver *driver_enter(struct words *why);
void driver_leave(void);
/* Is status 0? Else `why` is "what: NAME (words)", and what that means here. */
bool driver_good(int status, const char *what, struct words *why);

#endif
