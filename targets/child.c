/* child.c: a fork, a pipe back, and a wall clock. */
#include "targets/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "targets/target.h"

bool child_write(int out, const void *bytes, size_t size)
{
	for (const char *at = bytes; size;) {
		ssize_t n = write(out, at, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

/* A crash ends the child and nothing else: no handler of the process's, no core file. */
static _Noreturn void be_child(void (*work)(const void *, int), const void *data, int out)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGPIPE};
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
		signal(fatal[i], SIG_DFL);
	work(data, out);
	_exit(0);
}

struct bytes {
	char *s;
	size_t n, cap;
};

/* One more piece; 1 when there may be more, 0 at the end, -1 when memory is short. */
static int read_piece(int in, struct bytes *b)
{
	if (b->n == b->cap) {
		size_t cap = b->cap ? 2 * b->cap : 1 << 16;
		char *s = realloc(b->s, cap);
		if (!s)
			return -1;
		b->s = s;
		b->cap = cap;
	}
	ssize_t n = read(in, b->s + b->n, b->cap - b->n);
	if (n < 0)
		return errno == EINTR;
	b->n += (size_t)n;
	return n > 0;
}

/* NULL when it ended well, or why not. */
static const char *read_all(int in, double until, struct bytes *b)
{
	for (;;) {
		double left = until - wall_seconds();
		struct pollfd ready = {.fd = in, .events = POLLIN};
		int n = left > 0 ? poll(&ready, 1, (int)(left * 1e3) + 1) : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? "poll failed" : "it takes too long";
		int more = read_piece(in, b);
		if (more <= 0)
			return more ? "out of memory" : NULL;
	}
}

void *child_read(void (*work)(const void *data, int out), const void *data, int seconds, size_t *size,
                 char *why, size_t room)
{
	struct bytes b = {0};
	int end[2], status = 0;
	if (pipe2(end, O_CLOEXEC)) {
		snprintf(why, room, "no pipe: %s", strerror(errno));
		return NULL;
	}
	pid_t pid = fork();
	if (!pid)
		be_child(work, data, end[1]);
	close(end[1]);
	const char *wrong = pid < 0 ? "no child could be made" : read_all(end[0], wall_seconds() + seconds, &b);
	close(end[0]);
	if (pid > 0) {
		if (wrong)
			kill(pid, SIGKILL);
		/* A process that ignores SIGCHLD is not told how it ended. */
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (!wrong && WIFSIGNALED(status))
		snprintf(why, room, "crashed: signal %d", WTERMSIG(status));
	else if (!wrong && WEXITSTATUS(status))
		snprintf(why, room, "gave up: exit %d", WEXITSTATUS(status));
	else if (wrong)
		snprintf(why, room, "%s", wrong);
	else if (b.s) {
		*size = b.n;
		return b.s;
	} else
		snprintf(why, room, "out of memory");
	free(b.s);
	return NULL;
}
