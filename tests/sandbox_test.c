/* Planted faults: each must be told for what it is, and none may harm the process that planted it. */
#include "search/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/pool.h"
#include "targets/target.h"
#include "tests/tap.h"

static volatile int zero;

static void answer(void *context, void *result)
{
	*(int *)result = *(int *)context + 1;
}

static void crash(void *context, void *result)
{
	(void)context;
	*(volatile int *)result = 7;
	*(volatile int *)(uintptr_t)(zero + 8) = 1;
}

static void trap(void *context, void *result)
{
	(void)context, (void)result;
	__builtin_trap();
}

static void spin(void *context, void *result)
{
	(void)context;
	*(volatile int *)result = 7;
	for (volatile unsigned i = 0;; i++)
		;
}

static void wait_forever(void *context, void *result)
{
	(void)context, (void)result;
	for (;;)
		pause();
}

static void leave(void *context, void *result)
{
	(void)result;
	_exit(*(int *)context);
}

static int dig(volatile int *above)
{
	volatile int frame[1000];
	frame[0] = *above;
	if (zero)
		return 0;
	return dig(frame) + frame[1]; /* not a tail call */
}

static void overflow_stack(void *context, void *result)
{
	*(int *)result = dig(context);
}

static void devour(void *context, void *result)
{
	size_t size = *(size_t *)context;
	char *p = malloc(size);
	*(int *)result = p != NULL;
	for (size_t i = 0; p && i < size; i += 4096)
		((volatile char *)p)[i] = 1;
}

static void write_past(void *context, void *result)
{
	volatile char *p = *(char **)context;
	(void)result;
	*p = 1;
}

static void chatter(void *context, void *result)
{
	(void)context, (void)result;
	dprintf(STDOUT_FILENO, "not ok - this must not be seen\n");
}

static void breed(void *context, void *result)
{
	(void)context;
	pid_t child = fork();
	if (!child)
		wait_forever(NULL, NULL);
	*(pid_t *)result = child;
}

struct compile {
	const struct target *target;
	const char *source;
};

static void compile_and_run(void *context, void *result)
{
	const struct compile *c = context;
	struct target_options o = {.isa = ISA_SCALAR, .optimise = 1};
	struct arena a;
	struct text d;
	struct object object;
	arena_init(&a);
	text_init(&d, &a);
	if (!c->target->compile(c->source, &o, &object, &d))
		_exit(9);
	struct module *m = c->target->load(&object, &o, &d);
	int (*f)(int) = NULL;
	if (m)
		*(void **)&f = c->target->symbol(m, "f");
	*(int *)result = f ? f(3) : -1;
}

static void add_task(const struct at_args *args, long begin, long end, void *scratch)
{
	(void)scratch;
	for (long i = begin; i < end; i++)
		((long *)args->data[0])[i] = i;
}

static void pool_in_child(void *context, void *result)
{
	(void)context;
	enum { N = 1000 };
	static long out[N];
	void *data[] = {out}, *scratch[] = {NULL, NULL};
	struct at_args args = {.data = data};
	struct pool *p = pool_new(2);
	pool_run(p, add_task, &args, N, scratch);
	pool_free(p);
	long sum = 0;
	for (int i = 0; i < N; i++)
		sum += out[i];
	*(int *)result = sum == (long)N * (N - 1) / 2;
}

static void with_limits(void *context, void *result)
{
	(void)context;
	struct rlimit core;
	getrlimit(RLIMIT_CORE, &core);
	*(int *)result = core.rlim_cur == 0 && getpgrp() == getpid();
}

static const struct sandbox_limits brief = {.seconds = 5, .quiet = true};

static struct sandbox_outcome try(void (*callback)(void *, void *), void *context, int *result)
{
	return sandbox_run(callback, context, result, sizeof *result, &brief);
}

static void planted(void)
{
	char text[32];
	int result = 0, number = 41;
	struct sandbox_outcome o = try(answer, &number, &result);
	ok(o.status == SANDBOX_OK && result == 42 && number == 41, "a callback that returns: %s",
	   sandbox_describe(o, text));
	o = try(crash, NULL, &result);
	ok(o.status == SANDBOX_SIGNAL && o.code == SIGSEGV && result == 7,
	   "a crash: %s, what it wrote is kept", sandbox_describe(o, text));
	o = try(trap, NULL, &result);
	ok(o.status == SANDBOX_SIGNAL, "an illegal instruction: %s", sandbox_describe(o, text));
	o = try(overflow_stack, &number, &result);
	ok(o.status == SANDBOX_SIGNAL && o.code == SIGSEGV, "a stack overflow: %s",
	   sandbox_describe(o, text));
	number = 3;
	o = try(leave, &number, &result);
	ok(o.status == SANDBOX_EXIT && o.code == 3, "an exit: %s", sandbox_describe(o, text));
	number = 0;
	o = try(leave, &number, &result);
	ok(o.status == SANDBOX_EXIT && o.code == 0, "exit(0) is not a return: %s", sandbox_describe(o, text));
}

static void time_limits(void)
{
	char text[32];
	int result = 0;
	struct sandbox_limits limits = {.seconds = 0.2};
	struct sandbox_outcome o = sandbox_run(spin, NULL, &result, sizeof result, &limits);
	ok(o.status == SANDBOX_TIMEOUT && result == 7 && o.seconds >= 0.2 && o.seconds < 3,
	   "an infinite loop: %s after %.2f s", sandbox_describe(o, text), o.seconds);
	o = sandbox_run(wait_forever, NULL, &result, sizeof result, &limits);
	ok(o.status == SANDBOX_TIMEOUT, "a wait without end: %s", sandbox_describe(o, text));
	limits = (struct sandbox_limits){.seconds = 60, .cpu_seconds = 1};
	o = sandbox_run(spin, NULL, &result, sizeof result, &limits);
	ok(o.status == SANDBOX_TIMEOUT && o.seconds < 30, "the limit on CPU time: %s",
	   sandbox_describe(o, text));
}

static void memory_limit(void)
{
	char text[32];
	int result = -1;
	size_t size = (size_t)1 << 30;
	struct sandbox_limits limits = {.seconds = 5, .memory = 64 << 20, .quiet = true};
	struct sandbox_outcome o = sandbox_run(devour, &size, &result, sizeof result, &limits);
	ok(o.status != SANDBOX_OK || result == 0, "a huge allocation is refused: %s",
	   sandbox_describe(o, text));
	size = 8 << 20;
	o = sandbox_run(devour, &size, &result, sizeof result, &limits);
	ok(o.status == SANDBOX_OK && result == 1, "a small one is not: %s", sandbox_describe(o, text));
}

static void guards(void)
{
	char text[32];
	int result = 0;
	static const size_t sizes[] = {0, 1, 60, 4096, 5000};
	for (int side = 0; side < 2; side++)
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			struct guarded g;
			if (!ok(guarded_alloc(&g, sizes[i], 4, side ? GUARD_BEFORE : GUARD_AFTER),
			        "%zu guarded bytes", sizes[i]))
				continue;
			float first = 0;
			if (sizes[i] >= sizeof first)
				memcpy(&first, g.data, sizeof first);
			bool poisoned = sizes[i] < sizeof first || isnan(first);
			size_t end = (sizes[i] + 3) / 4 * 4;
			char *past = side ? (char *)g.data - 1 : (char *)g.data + end;
			struct sandbox_outcome o = try(write_past, &past, &result);
			ok(poisoned && guarded_intact(&g) && o.status == SANDBOX_SIGNAL && o.code == SIGSEGV,
			   "a write just %s %zu bytes: %s", side ? "before" : "past", sizes[i],
			   sandbox_describe(o, text));
			if (sizes[i]) {
				char *inside = (char *)g.data + sizes[i] - 1;
				o = try(write_past, &inside, &result);
				ok(o.status == SANDBOX_OK, "the last byte is writable");
			}
			guarded_free(&g);
		}
	struct guarded g;
	ok(guarded_alloc(&g, 5, 64, GUARD_AFTER) && (uintptr_t)g.data % 64 == 0, "alignment is kept");
	((char *)g.data)[4] = 1;
	ok(guarded_intact(&g), "and the canary by writes inside");
	((char *)g.data)[5] = 1;
	ok(!guarded_intact(&g), "a write into the slack is seen");
	guarded_free(&g);
	ok(!guarded_alloc(&g, SIZE_MAX / 4, 64, GUARD_AFTER), "an impossible size is refused");
	guarded_free(&g);
}

static atomic_bool stop;

static void *stop_soon(void *context)
{
	struct timespec t = {0, 100000000};
	nanosleep(&t, NULL);
	atomic_store(&stop, true);
	return context;
}

static void stopping(void)
{
	char text[32];
	int result;
	pthread_t thread;
	pthread_create(&thread, NULL, stop_soon, NULL);
	struct sandbox_limits limits = {.seconds = 60, .stop = &stop};
	struct sandbox_outcome o = sandbox_run(spin, NULL, &result, sizeof result, &limits);
	pthread_join(thread, NULL);
	ok(o.status == SANDBOX_STOPPED && o.seconds < 20, "stopped from outside: %s",
	   sandbox_describe(o, text));
}

/* True when the process is gone, or a zombie nobody reaped yet, within five seconds. */
static bool gone(pid_t pid)
{
	for (int i = 0; i < 500; i++) {
		char path[64], state = 0;
		snprintf(path, sizeof path, "/proc/%d/stat", pid);
		FILE *f = fopen(path, "r");
		if (!f)
			return true;
		if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			state = 'Z';
		fclose(f);
		if (state == 'Z' || state == 'X')
			return true;
		struct timespec t = {0, 10000000};
		nanosleep(&t, NULL);
	}
	return false;
}

static void say_pid(void *context, void *result)
{
	(void)result;
	pid_t pid = getpid();
	if (write(*(int *)context, &pid, sizeof pid) == sizeof pid)
		wait_forever(NULL, NULL);
}

static void orphans(void)
{
	pid_t grandchild = 0;
	struct sandbox_outcome o = sandbox_run(breed, NULL, &grandchild, sizeof grandchild, &brief);
	ok(o.status == SANDBOX_OK && grandchild > 0 && gone(grandchild),
	   "what a callback leaves behind is killed");
	int pipes[2];
	if (!ok(!pipe2(pipes, O_CLOEXEC), "a pipe"))
		return;
	pid_t tuner = fork();
	if (!tuner) {
		struct sandbox_limits limits = {.seconds = 60};
		int nothing = 0;
		sandbox_run(say_pid, &pipes[1], &nothing, sizeof nothing, &limits);
		_exit(0);
	}
	pid_t child = 0;
	bool said = read(pipes[0], &child, sizeof child) == sizeof child;
	kill(tuner, SIGKILL);
	waitpid(tuner, NULL, 0);
	ok(said && child > 0 && gone(child), "SIGKILL of the tuner leaves no orphan");
	close(pipes[0]);
	close(pipes[1]);
	ok(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "every child is reaped");
}

static void compilers(void)
{
	static const struct {
		const char *what, *source;
		enum sandbox_status status;
		int code, result;
	} cases[] = {
	        {"good code", "int f(int x) { return x + 1; }", SANDBOX_OK, 0, 4},
	        {"a compile error", "int f(int x) { return y; }", SANDBOX_EXIT, 9, 0},
	        {"an unknown function", "int nowhere(int); int f(int x) { return nowhere(x); }", SANDBOX_OK,
	         0, -1},
	        {"code that crashes", "int f(int x) { return *(volatile int *)8; }", SANDBOX_SIGNAL, SIGSEGV,
	         0},
	        {"code that hangs", "int f(int x) { for (volatile int i = 0; ; i++) ; }", SANDBOX_TIMEOUT, 0,
	         0},
	};
	char text[32];
	struct arena a;
	arena_init(&a);
	for (int i = 0; targets[i]; i++) {
		if (targets[i]->device)
			continue;
		if (targets[i]->missing(&a)) { /* also loads it: forks are made with LLVM in the process */
			tap_skip("a target that is missing here");
			continue;
		}
		for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
			struct compile c = {targets[i], cases[k].source};
			struct sandbox_limits limits = {.seconds =
			                                        cases[k].status == SANDBOX_TIMEOUT ? 1 : 30};
			int result = 0;
			struct sandbox_outcome o =
			        sandbox_run(compile_and_run, &c, &result, sizeof result, &limits);
			ok(o.status == cases[k].status && o.code == cases[k].code &&
			           result == cases[k].result,
			   "%s, %s: %s in %.1f ms", targets[i]->name, cases[k].what,
			   sandbox_describe(o, text), o.seconds * 1e3);
		}
	}
	struct compile hang = {&target_clang, "#pragma clang __debug overflow_stack\n"};
	if (!target_clang.missing(&a)) {
		int result = 0;
		struct sandbox_limits limits = {.seconds = 1};
		struct sandbox_outcome o =
		        sandbox_run(compile_and_run, &hang, &result, sizeof result, &limits);
		ok(o.status != SANDBOX_OK && o.status != SANDBOX_FAILED, "a compiler that hangs: %s",
		   sandbox_describe(o, text));
	}
	arena_free(&a);
}

static atomic_bool enough;

static void *compile_on(void *context)
{
	const struct target *t = context;
	struct target_options o = {.isa = ISA_SCALAR, .optimise = 1};
	struct arena a;
	while (!atomic_load(&enough)) {
		arena_init(&a);
		struct text d;
		text_init(&d, &a);
		struct object object;
		struct module *m = NULL;
		if (t->compile("int f(int x) { return x + 1; }", &o, &object, &d))
			m = t->load(&object, &o, &d);
		object_free(&object);
		t->unload(m);
		arena_free(&a);
	}
	return NULL;
}

static void forks_among_compiles(const struct target *t)
{
	pthread_t thread[2];
	struct compile c = {t, "int f(int x) { return x * 7; }"};
	int good = 0;
	atomic_store(&enough, false);
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, compile_on, (void *)(uintptr_t)t);
	for (int i = 0; i < 30; i++) {
		struct sandbox_limits limits = {.seconds = 30};
		int result = 0;
		struct sandbox_outcome o = sandbox_run(compile_and_run, &c, &result, sizeof result, &limits);
		good += o.status == SANDBOX_OK && result == 21;
		if (o.status == SANDBOX_TIMEOUT)
			break;
	}
	atomic_store(&enough, true);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	ok(good == 30, "%s: forks while threads compile find no lock held (%d of 30)", t->name, good);
}

int main(void)
{
	char text[32];
	int result = 0;
	planted();
	time_limits();
	memory_limit();
	guards();
	stopping();
	orphans();
	struct sandbox_outcome o = try(chatter, NULL, &result);
	ok(o.status == SANDBOX_OK, "a quiet child is not heard");
	o = try(with_limits, NULL, &result);
	ok(o.status == SANDBOX_OK && result, "no core files, a process group of its own");
	o = try(pool_in_child, NULL, &result);
	ok(o.status == SANDBOX_OK && result == 1, "a pool made in the child works: %s",
	   sandbox_describe(o, text));
	double best = 1;
	for (int i = 0; i < 20; i++)
		best = fmin(best, try(answer, &(int){1}, &result).seconds);
	printf("# a child costs %.2f ms\n", best * 1e3);
	compilers();
	struct arena a;
	arena_init(&a);
	for (int i = 0; targets[i]; i++)
		if (!targets[i]->device && !targets[i]->missing(&a))
			forks_among_compiles(targets[i]);
	arena_free(&a);
	return tap_done();
}
