/* cuda_driver.c: the library, what its errors mean, and what the device is like. What runs on it is
 * cuda_launch.c. */
#include "targets/cuda_driver_internal.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "targets/child.h"
#include "targets/gate.h"

#define ELSEWHERE "; the target cuda-emulated runs the same kernels without a device"
enum { DISCOVERY_SECONDS = 60 };

/* What the driver says of the device, or why not; goes through a pipe. */
struct found {
	bool good;
	struct machine machine;
	struct words why;
};

/* One a process. The lock is only taken inside the gate. */
static struct {
	pthread_mutex_t lock;
	bool open;
	pid_t pid; /* of the process that initialised the driver here; 0: none */
	int status;
	cuda_device device;
	cuda_context context;
	struct driver call;
	bool asked;
	struct found found;
} process = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void enter(void)
{
	gate_enter();
	pthread_mutex_lock(&process.lock);
}

static void leave(void)
{
	pthread_mutex_unlock(&process.lock);
	gate_leave();
}

/* ---- the library ---- */

static const char *open_library(void)
{
	if (process.open)
		return NULL;
	void *library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		return "libcuda.so.1 is not here: it comes with NVIDIA's driver" ELSEWHERE;
	struct link_map *map;
	if (!dlinfo(library, RTLD_DI_LINKMAP, &map) && strstr(map->l_name, "/stubs/")) {
		dlclose(library);
		return "libcuda.so.1 is the toolkit's stub: take its folder out of LD_LIBRARY_PATH" ELSEWHERE;
	}
#define NEED(member, name)                                                                                   \
	if (!(*(void **)&process.call.member = dlsym(library, name))) {                                      \
		dlclose(library);                                                                            \
		return "libcuda.so.1 lacks " name ": the driver is too old";                                 \
	}
	DRIVER_FUNCTIONS(NEED)
#undef NEED
	process.open = true;
	return NULL;
}

bool driver_good(int status, const char *what, struct words *why)
{
	if (!status)
		return true;
	const char *name = NULL, *words = NULL, *more = "";
	process.call.error_name(status, &name);
	process.call.error_string(status, &words);
	if (status == CUDA_STUB_LIBRARY)
		more = ": libcuda.so.1 is the toolkit's stub" ELSEWHERE;
	else if (status == CUDA_NO_DEVICE)
		more = ": there is none, or CUDA_VISIBLE_DEVICES leaves none" ELSEWHERE;
	else if (status == CUDA_NOT_INITIALIZED)
		more = ": a child of a process that uses the driver cannot use it";
	else if (status == CUDA_ILLEGAL_ADDRESS || (status >= CUDA_FAULTS && status <= CUDA_LAST_FAULT))
		more = ": this process can use the device no more";
	snprintf(why->s, sizeof why->s, "%s: %s (%s)%s", what, name ? name : "unknown error",
	         words ? words : "no words", more);
	return false;
}

static bool say(struct words *why, const char *what)
{
	snprintf(why->s, sizeof why->s, "%s", what);
	return false;
}

/* cuInit and the first device, inside the lock. */
static bool initialise(struct words *why)
{
	const char *missing = open_library();
	if (missing)
		return say(why, missing);
	if (process.pid && !process.status && process.pid != getpid())
		return say(why, "this process was forked from one that had opened CUDA's driver, which does "
		                "not survive that: open it in the child only");
	if (!process.pid) {
		process.status = process.call.init(0);
		if (!process.status)
			process.status = process.call.device_get(&process.device, 0);
		process.pid = getpid();
	}
	return driver_good(process.status, "cuInit", why);
}

const struct driver *driver_enter(struct words *why)
{
	enter();
	bool good = initialise(why);
	if (good && !process.context)
		good = driver_good(process.call.context_retain(&process.context, process.device),
		                   "cuDevicePrimaryCtxRetain", why);
	if (good)
		good = driver_good(process.call.context_push(process.context), "cuCtxPushCurrent", why);
	leave();
	return good ? &process.call : NULL;
}

void driver_leave(void)
{
	cuda_context ours;
	process.call.context_pop(&ours);
}

/* ---- the device ---- */

static int attribute(int which)
{
	int value = 0;
	process.call.device_attribute(&value, which, process.device);
	return value;
}

/* Rates per multiprocessor are those of the data sheets; parts for games have half the tensor rate. */
static void describe(struct found *f)
{
	struct machine *m = &f->machine;
	char name[sizeof m->model_name] = "";
	process.call.device_name(name, sizeof name, process.device);
	int capability = 10 * attribute(CUDA_CAPABILITY_MAJOR) + attribute(CUDA_CAPABILITY_MINOR);
	if (capability < 80) {
		snprintf(f->why.s, sizeof f->why.s,
		         "%s has compute capability %d.%d; kernels are for 8.0 and later", name,
		         capability / 10, capability % 10);
		return;
	}
	if (!capability_machine(capability, m) && !capability_machine(capability / 10 * 10, m))
		capability_machine(80, m);
	memcpy(m->model_name, name, sizeof name);
	int nominal = m->processors, clock = attribute(CUDA_CLOCK_RATE);
	double tensor = m->tensor_flops / nominal / capability_find(m->capability)->clock;
	double lanes = m->peak_flops / capability_find(m->capability)->clock;
	double memory = 2e3 * attribute(CUDA_MEMORY_CLOCK_RATE) * attribute(CUDA_BUS_WIDTH) / 8;
	m->capability = capability;
	m->processors = m->cores = attribute(CUDA_MULTIPROCESSORS);
	m->shared = attribute(CUDA_SHARED_BLOCK);
	m->shared_all = attribute(CUDA_SHARED_MULTIPROCESSOR);
	m->l2 = m->l3 = attribute(CUDA_L2);
	m->peak_flops = lanes * 1e3 * clock;
	m->tensor_flops = tensor * 1e3 * clock * m->processors;
	m->bandwidth = memory;
	f->good = true;
}

static void ask(struct found *f)
{
	*f = (struct found){0};
	if (initialise(&f->why))
		describe(f);
}

static void ask_child(const void *unused, int out)
{
	struct found f;
	(void)unused;
	ask(&f);
	child_write(out, &f, sizeof f);
}

/* In a child, so that this process may go on forking. */
static struct found found_by_child(void)
{
	struct found f = {0};
	struct words words = {""};
	size_t size = 0;
	char *reply = child_read(ask_child, NULL, DISCOVERY_SECONDS, &size, words.s, sizeof words.s);
	if (reply && size == sizeof f)
		memcpy(&f, reply, sizeof f);
	else
		snprintf(f.why.s, sizeof f.why.s, "the driver, asked for its device: %.400s",
		         reply ? "crashed" : words.s);
	free(reply);
	return f;
}

bool driver_machine(struct machine *m, struct text *why)
{
	struct found f = {0};
	enter();
	bool asked = process.asked;
	const char *missing = asked ? NULL : open_library();
	if (!asked && !missing && process.pid == getpid()) {
		ask(&process.found);
		asked = process.asked = true;
	}
	if (asked)
		f = process.found;
	leave();
	if (missing) {
		text_add(why, missing);
		return false;
	}
	if (!asked) {
		f = found_by_child();
		enter();
		process.found = f;
		process.asked = true;
		leave();
	}
	if (!f.good) {
		text_add(why, f.why.s);
		return false;
	}
	*m = f.machine;
	return true;
}
