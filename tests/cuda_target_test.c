/* The target cuda where there is no device: what its log and objects tell, how the driver is called and how
 * it fails, over tests/fake_cuda.c. For the driver the program runs itself, with the fake in front of the
 * system's libraries. */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "targets/child.h"
#include "targets/cuda_driver.h"
#include "targets/target.h"
#include "tests/tap.h"

static struct arena arena;

static struct text fresh(void)
{
	struct text t;
	text_init(&t, &arena);
	return t;
}

/* ---- the log ---- */

static struct kernel_phase phases[] = {
        {.symbol = "one_phase0", .tasks = 8, .threads = 256, .shared_bytes = 64 << 10},
        {.symbol = "one_phase1", .tasks = 8, .threads = 128},
};
static const struct kernel_source two = {.nphases = 2, .phase = phases, .device = true};

static void logs(void)
{
	/* As NVRTC 13 and as NVRTC 12 write it. */
	static const char log[] =
	        "ptxas info    : 0 bytes gmem\n"
	        "ptxas info    : Compiling entry function 'one_phase1' for 'sm_80'\n"
	        "ptxas info    : Function properties for one_phase1\n"
	        "ptxas         .     16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n"
	        "ptxas info    : Used 32 registers, 416 bytes cmem[0]\n"
	        "ptxas info    : Compiling entry function 'one_phase0' for 'sm_80'\n"
	        "ptxas info    : Function properties for one_phase0\n"
	        "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
	        "ptxas info    : Used 128 registers, used 1 barriers, 1024 bytes smem, 416 bytes cmem[0]\n";
	struct resources *r = resources_of_log(&arena, log, &two, 80);
	ok(r[0].registers == 128 && r[0].barriers == 1 && r[0].shared == 1024 && !r[0].stack &&
	           !r[0].reject && !strcmp(r[0].kernel, "one_phase0"),
	   "a log is read, kernel by kernel");
	ok(r[1].registers == 32 && r[1].spill_stores == 8 && r[1].spill_loads == 12 && r[1].stack == 16 &&
	           r[1].reject && !strcmp(r[1].reject, "spills 20 bytes"),
	   "what spills is rejected: %s", r[1].reject);
	r = resources_of_log(&arena, "", &two, 80);
	ok(r[0].reject && r[1].reject, "a log that does not tell is no leave: %s", r[0].reject);
	static const char remarks[] =
	        "ptxas info    : (C7519) Potential Performance Loss: fence in function 'one_phase0'\n"
	        "ptxas info    : (C7512) Potential Performance Loss: serialised in the function "
	        "'one_phase1'\n"
	        "ptxas info    : Compiling entry function 'one_phase0' for 'sm_90a'\n"
	        "ptxas info    : Used 90 registers\n"
	        "ptxas warning : something odd\n"
	        "ptxas info    : Compiling entry function 'one_phase1' for 'sm_90a'\n"
	        "ptxas info    : Used 90 registers\n";
	r = resources_of_log(&arena, remarks, &two, 90);
	ok(!r[0].reject && r[0].notes && strstr(r[0].notes, "C7519: Pot") &&
	           strstr(r[0].notes, "something odd"),
	   "remarks are notes: %s", r[0].notes);
	ok(r[1].reject && !strncmp(r[1].reject, "C7512: Pot", 10) && !r[1].notes,
	   "but of wgmma made slow: %s", r[1].reject);
	static const char *const codes[] = {"C7504", "C7509", "C7514", NULL};
	for (int i = 0; codes[i]; i++) {
		r = resources_of_log(&arena,
		                     arena_printf(&arena, "ptxas info : (%s) words\n%s", codes[i], remarks),
		                     &two, 90);
		ok(r[0].reject && r[1].reject, "%s said of no kernel is of all", codes[i]);
	}
}

/* By hand, from the occupancy calculator of the CUDA toolkit. */
static void occupancies(void)
{
	static const struct {
		int capability, registers, threads;
		int64_t shared;
		int blocks;
		const char *bound;
	} cases[] = {
	        {80, 128, 256, 64 << 10, 2, "registers"},
	        {80, 128, 256, 100 << 10, 1, "shared memory"},
	        {80, 32, 128, 0, 16, "registers"},
	        {80, 16, 32, 0, 32, "blocks"},
	        {80, 24, 1024, 0, 2, "registers"},
	        {80, 255, 256, 0, 1, "registers"},
	        {86, 40, 128, 0, 12, "registers"},
	        {86, 32, 256, 33 << 10, 2, "shared memory"},
	        {89, 168, 128, 0, 3, "registers"},
	        {90, 168, 384, 200 << 10, 1, "registers"},
	        {90, 64, 128, 227 << 10, 1, "shared memory"},
	        {90, 64, 128, (227 << 10) + 1, 0, "shared memory"},
	        {100, 255, 512, 0, 0, "registers"},
	        {120, 20, 64, 0, 24, "warps"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct kernel_phase p = {.symbol = "k",
		                         .tasks = 1,
		                         .threads = cases[i].threads,
		                         .shared_bytes = cases[i].shared};
		struct kernel_source s = {.nphases = 1, .phase = &p};
		struct resources *r = resources_of_log(
		        &arena,
		        arena_printf(&arena, "Compiling entry function 'k' for\nUsed %d registers\n",
		                     cases[i].registers),
		        &s, cases[i].capability);
		ok(r->blocks == cases[i].blocks && !strcmp(r->bound, cases[i].bound) &&
		           !r->reject == (r->blocks > 0),
		   "capability %d: %d blocks of %d threads, %d registers, %lld bytes (%s)",
		   cases[i].capability, r->blocks, cases[i].threads, cases[i].registers,
		   (long long)cases[i].shared, r->bound);
	}
	struct machine m;
	ok(capability_find(90) && !capability_find(75) && !capability_find(0) && capability_machine(90, &m) &&
	           m.capability == 90 && m.tensor_flops > 9e14 && m.tensor_flops < 1.1e15 &&
	           m.shared == 227 << 10 && !capability_machine(75, &m),
	   "a device that is not at hand has its data sheet");
}

/* ---- children ---- */

static void crash(const void *p, int out)
{
	(void)out;
	*(volatile int *)(uintptr_t)p = 1;
}

static void stay(const void *p, int out)
{
	(void)p;
	(void)out;
	for (;;)
		pause();
}

static void much(const void *p, int out)
{
	static char bytes[1 << 20];
	memset(bytes, *(const char *)p, sizeof bytes);
	child_write(out, bytes, sizeof bytes);
}

static void children(void)
{
	size_t size = 0;
	char why[64] = "", *all = child_read(much, "x", 10, &size, why, sizeof why);
	ok(all && size == 1 << 20 && all[0] == 'x' && all[size - 1] == 'x',
	   "a child gives back what it wrote");
	free(all);
	all = child_read(crash, NULL, 10, &size, why, sizeof why);
	ok(!all, "a child that crashes: %s", why);
	all = child_read(stay, NULL, 1, &size, why, sizeof why);
	ok(!all && strstr(why, "long"), "a child that hangs: %s", why);
}

/* ---- the driver ---- */

static bool good;
/* In a mode: a line only where something is wrong. */
#define must(condition)                                                                                      \
	((condition) || (good = false, printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition), false))

static bool machine(struct machine *m, struct text *why)
{
	*why = fresh();
	return target_cuda.device->machine(m, why);
}

static bool in_child(void (*what)(void))
{
	int status = 0;
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		good = true;
		what();
		fflush(stdout);
		_exit(good ? 0 : 1);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static void can_use(void)
{
	struct text why = fresh();
	void *p = target_cuda.device->allocate(100, &why);
	must(p && !((uintptr_t)p & 255));
	target_cuda.device->release(p);
}

static void cannot_use(void)
{
	struct text why = fresh();
	must(!target_cuda.device->allocate(100, &why) && strstr(why.s, "forked"));
	why = fresh();
	must(!target_cuda.device->wait(NULL, &why) && strstr(why.s, "forked"));
}

/* NVRTC finds the driver too, and must not open it in this process. */
static void compiles(void)
{
	struct target_options o = {.isa = ISA_SM80, .capability = 90};
	struct object object;
	struct text why = fresh();
	if (target_cuda.missing(&arena))
		return;
	if (must(target_cuda.compile("struct at_device_args { void *data[1]; };\n"
	                             "AT_KERNEL(add_phase0, 32) { at_store_u32(AT_ARGS->data[0], 1); }\n",
	                             &o, &object, &why))) {
		struct module *m = target_cuda.load(&object, &o, &why);
		must(m || strstr(why.s, "forked"));
		target_cuda.unload(m);
	} else {
		printf("# %s\n", why.s);
	}
	object_free(&object);
}

static void compiles_alone(void)
{
	struct target_options o = {.isa = ISA_SM80, .capability = 90};
	struct object object;
	struct text why = fresh();
	if (target_cuda.missing(&arena))
		return;
	must(target_cuda.compile("", &o, &object, &why) || why.len);
	object_free(&object);
	must(in_child(can_use));
}

static void runs(void)
{
	static char image[64] = "\177ELF";
	struct kernel_phase phase[] = {
	        {.symbol = "add_phase0", .tasks = 3, .threads = 128},
	        {.symbol = "big_phase0", .tasks = 3, .threads = 128, .shared_bytes = 200 << 10},
	        {.symbol = "big_phase0", .tasks = 3, .threads = 128, .shared_bytes = 300 << 10},
	        {.symbol = "none_phase0", .tasks = 3, .threads = 128},
	        {.symbol = "add_phase0", .tasks = 0, .threads = 128},
	        {.symbol = "fault_phase0", .tasks = 1, .threads = 128}};
	struct kernel_source source = {.nphases = 6, .phase = phase, .device = true};
	const struct target_device *d = target_cuda.device;
	struct text why = fresh();
	double x[3] = {1, 2, 3}, y[3] = {0};
	void *in = d->allocate(sizeof x, &why), *out = d->allocate(sizeof y, &why);
	must(in && out && d->copy_in(in, x, sizeof x, NULL, &why) && d->copy_in(in, NULL, 0, NULL, &why));
	must(!driver_load("no cubin", &why) && strstr(why.s, "CUDA_ERROR_INVALID_IMAGE"));
	struct module *m = driver_load(image, &why);
	must(m && target_cuda.symbol(m, "add_phase0") && !target_cuda.symbol(m, "none_phase0"));
	struct {
		void *data[2];
		long stride[1];
		void *work;
	} args = {{in, out}, {40}, NULL};
	void *first = d->mark(NULL, &why);
	must(m && d->launch(m, &source, 0, &args, sizeof args, NULL, &why) && d->wait(NULL, &why));
	void *last = d->mark(NULL, &why);
	double seconds = 0;
	must(first && last && d->between(first, last, &seconds, &why) && seconds > 1.4e-3 &&
	     seconds < 1.6e-3);
	d->unmark(first);
	d->unmark(last);
	must(d->copy_out(y, out, sizeof y, NULL, &why) && y[0] == 41 && y[2] == 43);
	must(d->launch(m, &source, 1, &args, sizeof args, NULL, &why) &&
	     d->launch(m, &source, 4, &args, 0, NULL, &why));
	why = fresh();
	must(!d->launch(m, &source, 2, &args, sizeof args, NULL, &why) &&
	     strstr(why.s, "307200 bytes of shared"));
	why = fresh();
	must(!d->launch(m, &source, 3, &args, sizeof args, NULL, &why) &&
	     strstr(why.s, "none_phase0: CUDA_ERROR_NOT_FOUND"));
	why = fresh();
	must(!d->launch(m, &source, 0, &args, 5000, NULL, &why) && strstr(why.s, "arguments"));
	why = fresh();
	must(!d->allocate((size_t)1 << 40, &why) && strstr(why.s, "CUDA_ERROR_OUT_OF_MEMORY"));
	why = fresh();
	must(d->launch(m, &source, 5, &args, sizeof args, NULL, &why) && !d->wait(NULL, &why) &&
	     strstr(why.s, "an illegal memory access") && strstr(why.s, "no more"));
	why = fresh();
	must(!d->copy_out(y, out, sizeof y, NULL, &why) && why.len);
	target_cuda.unload(m);
	d->release(in);
	d->release(out);
	int (*depth)(void);
	void *fake = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
	*(void **)&depth = fake ? dlsym(fake, "fake_depth") : NULL;
	must(depth && !depth());
}

/* One way the driver may be, in a process of its own. */
static int mode(const char *name)
{
	struct text why;
	struct machine m;
	good = true;
	bool there = machine(&m, &why), again = machine(&m, &why);
	must(there == again);
	if (!strcmp(name, "device")) {
		must(there && !strcmp(m.model_name, "Fake H200") && m.capability == 90 &&
		     m.processors == 132 && m.shared == 232448 && m.shared_all == 233472 &&
		     m.l2 == 60 << 20 && m.isa == ISA_SM80);
		must(m.bandwidth > 4.8e12 && m.bandwidth < 5e12 && m.tensor_flops > 1e15 &&
		     m.tensor_flops < 1.1e15);
		/* Asking for the device leaves the process free to fork; using it does not. */
		must(in_child(can_use));
		compiles_alone();
		can_use();
		must(in_child(cannot_use));
		compiles();
		must(in_child(compiles));
		runs();
	} else if (must(!there)) {
		const char *words = !strcmp(name, "none")   ? "CUDA_ERROR_NO_DEVICE"
		                    : !strcmp(name, "stub") ? "stub"
		                    : !strcmp(name, "old")  ? "compute capability 7.0"
		                                            : "crashed";
		must(strstr(why.s, words));
		if (strcmp(name, "old") && strcmp(name, "crash")) {
			struct text other = fresh();
			must(!target_cuda.device->allocate(8, &other) && strstr(other.s, words) &&
			     strstr(other.s, "cuda-emulated"));
		}
	}
	arena_free(&arena);
	return good ? 0 : 1;
}

static bool run_mode(const char *name)
{
	char self[PATH_MAX], folder[PATH_MAX + 8];
	int status = 0;
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	self[n > 0 ? n : 0] = 0;
	char *slash = strrchr(self, '/');
	snprintf(folder, sizeof folder, "%.*s/fake", (int)(slash - self), self);
	fflush(stdout);
	pid_t child = fork();
	if (!child) {
		setenv("LD_LIBRARY_PATH", folder, 1);
		setenv("FAKE_CUDA", name, 1);
		execl(self, self, (char *)NULL);
		_exit(127);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

int main(void)
{
	arena_init(&arena);
	if (getenv("FAKE_CUDA"))
		return mode(getenv("FAKE_CUDA"));
	ok(target_find("cuda") == &target_cuda && target_cuda.supports(ISA_SM80) &&
	           !target_cuda.supports(ISA_AVX2),
	   "the target is found by name and is for devices");
	logs();
	occupancies();
	children();
	static const char *const modes[] = {"device", "none", "stub", "old", "crash", NULL};
	for (int i = 0; modes[i]; i++)
		ok(run_mode(modes[i]), "the driver, mode %s", modes[i]);
	struct text why;
	struct machine m;
	if (!machine(&m, &why))
		ok(why.len > 20, "without a device: %s", why.s);
	else
		ok(m.capability >= 80 && m.bandwidth > 1e9, "%s: capability %d", m.model_name, m.capability);
	arena_free(&arena);
	return tap_done();
}
