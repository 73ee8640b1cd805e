#include "search/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "targets/target.h"

/* Lowers a limit. `grace` beyond it the kernel no longer asks. */
static void limit(enum __rlimit_resource resource, rlim_t value, rlim_t grace)
{
	struct rlimit r;
	if (getrlimit(resource, &r))
		return;
	if (r.rlim_max > value + grace) /* RLIM_INFINITY is the largest value */
		r.rlim_max = value + grace;
	r.rlim_cur = value < r.rlim_max ? value : r.rlim_max;
	setrlimit(resource, &r);
}

static rlim_t address_space(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (f) {
		if (fscanf(f, "%llu", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* What the host or LLVM does on a fault or an interrupt is not for the child: a fault ends it. */
static void default_signals(void)
{
	static const int numbers[] = {SIGSEGV, SIGBUS,  SIGILL,  SIGFPE,  SIGABRT,  SIGTRAP, SIGSYS,
	                              SIGINT,  SIGTERM, SIGQUIT, SIGHUP,  SIGPIPE,  SIGALRM, SIGXCPU,
	                              SIGUSR1, SIGUSR2, SIGCHLD, SIGPROF, SIGVTALRM};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		signal(numbers[i], SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become_child(const struct sandbox_limits *l, pid_t parent)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before prctl */
		_exit(1);
	default_signals();
	limit(RLIMIT_CORE, 0, 0);
	limit(RLIMIT_CPU, (rlim_t)ceil(l->cpu_seconds), 1);
	if (l->memory)
		limit(RLIMIT_AS, address_space() + (rlim_t)l->memory, 0);
	if (l->quiet) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (null >= 0) {
			dup2(null, STDOUT_FILENO);
			dup2(null, STDERR_FILENO);
			close(null);
		}
	}
}

/* Waits for the child to end, but no longer than it may run. */
static enum sandbox_status watch(int pidfd, const struct sandbox_limits *l, double start)
{
	for (;;) {
		double left = start + l->seconds - wall_seconds();
		if (l->stop && atomic_load(l->stop))
			return SANDBOX_STOPPED;
		if (left <= 0)
			return SANDBOX_TIMEOUT;
		double slice = l->stop && left > 0.1 ? 0.1 : left > 3600 ? 3600 : left;
		struct pollfd p = {.fd = pidfd, .events = POLLIN};
		if (poll(&p, 1, (int)ceil(slice * 1e3)) > 0)
			return SANDBOX_OK;
	}
}

static struct sandbox_outcome outcome(enum sandbox_status watched, const siginfo_t *end)
{
	if (watched != SANDBOX_OK)
		return (struct sandbox_outcome){.status = watched};
	if (end->si_code == CLD_EXITED || !end->si_code)
		return (struct sandbox_outcome){.status = end->si_status ? SANDBOX_EXIT : SANDBOX_OK,
		                                .code = end->si_status};
	return (struct sandbox_outcome){.status =
	                                        end->si_status == SIGXCPU ? SANDBOX_TIMEOUT : SANDBOX_SIGNAL,
	                                .code = end->si_status};
}

/* A callback that calls exit(0) has not returned: the flag behind the result tells the two apart. */
struct sandbox_outcome sandbox_run(void (*callback)(void *context, void *result), void *context, void *result,
                                   size_t size, const struct sandbox_limits *limits)
{
	struct sandbox_limits l = *limits;
	if (l.seconds <= 0)
		l.seconds = 10;
	if (l.cpu_seconds <= 0)
		l.cpu_seconds = ceil(l.seconds) + 1;
	double start = wall_seconds();
	char *shared = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return (struct sandbox_outcome){.status = SANDBOX_FAILED, .code = errno};
	if (size)
		memcpy(shared, result, size);
	pid_t parent = getpid(), child = fork();
	if (!child) {
		become_child(&l, parent);
		callback(context, shared);
		shared[size] = 1;
		_exit(0);
	}
	int pidfd = child < 0 ? -1 : pidfd_open(child, 0);
	struct sandbox_outcome out = {.status = SANDBOX_FAILED, .code = errno};
	if (child > 0) {
		setpgid(child, child); /* both do it, so neither waits for the other */
		enum sandbox_status watched = pidfd < 0 ? SANDBOX_FAILED : watch(pidfd, &l, start);
		/* While it is not reaped its number cannot be another's; with it go any it has made. */
		kill(-child, SIGKILL);
		kill(child, SIGKILL);
		siginfo_t end = {0}; /* stays so where the host has children reaped unseen */
		while (waitid(P_PID, (id_t)child, &end, WEXITED) && errno == EINTR)
			;
		if (watched != SANDBOX_FAILED)
			out = outcome(watched, &end);
		if (out.status == SANDBOX_OK && !shared[size])
			out.status = SANDBOX_EXIT;
	}
	if (pidfd >= 0)
		close(pidfd);
	if (size)
		memcpy(result, shared, size);
	munmap(shared, size + 1);
	out.seconds = wall_seconds() - start;
	return out;
}

const char *sandbox_describe(struct sandbox_outcome o, char text[32])
{
	switch (o.status) {
	case SANDBOX_OK: return strcpy(text, "ok");
	case SANDBOX_TIMEOUT: return strcpy(text, "timeout");
	case SANDBOX_STOPPED: return strcpy(text, "stopped");
	case SANDBOX_SIGNAL: snprintf(text, 32, "signal %d", o.code); break;
	case SANDBOX_EXIT: snprintf(text, 32, "exit %d", o.code); break;
	case SANDBOX_FAILED: snprintf(text, 32, "no child, errno %d", o.code); break;
	}
	return text;
}
