#include "gpu/peers.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct peers {
	pid_t process;
	int channel;
	char *line; /* what came and is not read yet */
	size_t used;
};

extern char **environ;

enum { LINE = 1 << 20 };
static const double longest = 300; /* seconds; compiling a peer's kernels is slow */

struct peers *peers_start(const char *command, struct text *why)
{
	int end[2];
	struct peers *p = calloc(1, sizeof *p);
	char *arguments[] = {"sh", "-c", (char *)(uintptr_t)command, NULL};
	posix_spawn_file_actions_t actions;
	if (!p || !(p->line = malloc(LINE)) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end)) {
		text_add(why, strerror(errno));
		free(p ? p->line : NULL);
		free(p);
		return NULL;
	}
	p->channel = end[0];
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, end[1], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, end[1], STDOUT_FILENO);
	int failed = posix_spawn(&p->process, "/bin/sh", &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(end[1]);
	if (failed) {
		text_printf(why, "%s: %s", command, strerror(failed));
		p->process = 0;
		peers_stop(p);
		return NULL;
	}
	return p;
}

void peers_stop(struct peers *p)
{
	if (!p)
		return;
	close(p->channel); /* it ends when nobody asks any more */
	if (p->process) {
		for (int i = 0; i < 20 && !waitpid(p->process, NULL, WNOHANG); i++) {
			struct timespec pause = {.tv_nsec = 100000000};
			nanosleep(&pause, NULL);
			if (i == 18)
				kill(p->process, SIGKILL);
		}
	}
	free(p->line);
	free(p);
}

/* ---- talking ---- */

/* Larger than any before, of whichever process: children that talked earlier may be gone. */
static double new_id(void)
{
	return floor(wall_seconds() * 1e6);
}

static bool say(struct peers *p, const char *text, size_t size)
{
	while (size) {
		ssize_t n = send(p->channel, text, size, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		size -= (size_t)n;
	}
	return true;
}

/* The next line, cut from what came; NULL when there is none in time. */
static char *hear(struct peers *p, double until)
{
	for (;;) {
		char *end = memchr(p->line, '\n', p->used);
		if (end) {
			size_t n = (size_t)(end + 1 - p->line);
			char *line = strndup(p->line, n - 1);
			memmove(p->line, end + 1, p->used -= n);
			return line;
		}
		double left = until - wall_seconds();
		struct pollfd f = {.fd = p->channel, .events = POLLIN};
		if (left <= 0 || p->used == LINE || poll(&f, 1, (int)(left * 1e3) + 1) == 0)
			return NULL;
		ssize_t n = recv(p->channel, p->line + p->used, LINE - p->used, 0);
		if (n == 0 || (n < 0 && errno != EINTR))
			return NULL;
		p->used += n > 0 ? (size_t)n : 0;
	}
}

/* Takes the request; the answer is to be deleted, NULL when there is none. */
static cJSON *ask(struct peers *p, cJSON *request)
{
	double id = new_id();
	cJSON_AddNumberToObject(request, "id", id);
	char *text = cJSON_PrintUnformatted(request), *line;
	cJSON_Delete(request);
	bool said = text && say(p, text, strlen(text)) && say(p, "\n", 1);
	free(text);
	while (said && (line = hear(p, id * 1e-6 + longest))) {
		cJSON *answer = cJSON_Parse(line);
		free(line);
		const cJSON *own = cJSON_GetObjectItemCaseSensitive(answer, "id");
		if (cJSON_IsNumber(own) && own->valuedouble == id)
			return answer;
		cJSON_Delete(answer);
	}
	return NULL;
}

static const char *string(const cJSON *answer, const char *name)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(answer, name);
	return cJSON_IsString(x) ? x->valuestring : NULL;
}

static double number(cJSON *answer, const char *name)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(answer, name);
	double value = cJSON_IsNumber(x) ? x->valuedouble : -1;
	cJSON_Delete(answer);
	return value;
}

int peers_prepare(struct peers *p, const struct pack_case *c, char name[MAX_PEERS][32], struct text *note)
{
	cJSON *request = cJSON_CreateObject(), *json = cJSON_Duplicate(c->json, true);
	cJSON_DeleteItemFromObjectCaseSensitive(json, "kernels");
	cJSON_DeleteItemFromObjectCaseSensitive(json, "text");
	cJSON_AddItemToObject(request, "prepare", json);
	cJSON *answer = ask(p, request);
	const cJSON *x;
	int n = 0;
	if (!answer || string(answer, "error")) {
		text_printf(note, "peers: %s", answer ? string(answer, "error") : "no answer");
		cJSON_Delete(answer);
		return -1;
	}
	if (string(answer, "notes"))
		text_add(note, string(answer, "notes"));
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(answer, "peers"))
	{
		if (n < MAX_PEERS && cJSON_IsString(x))
			snprintf(name[n++], 32, "%s", x->valuestring);
	}
	cJSON_Delete(answer);
	return n;
}

double peers_time(struct peers *p, const char *name, int runs)
{
	cJSON *request = cJSON_CreateObject();
	cJSON_AddStringToObject(request, "time", name);
	cJSON_AddNumberToObject(request, "runs", runs);
	return number(ask(p, request), "seconds");
}

double peers_copy(struct peers *p, double bytes)
{
	cJSON *request = cJSON_CreateObject();
	cJSON_AddNumberToObject(request, "copy", bytes);
	return number(ask(p, request), "bandwidth");
}

void peers_clocks(struct peers *p, char *clocks, size_t size)
{
	cJSON *request = cJSON_CreateObject();
	cJSON_AddTrueToObject(request, "clocks");
	cJSON *answer = ask(p, request);
	snprintf(clocks, size, "%s", string(answer, "clocks") ? string(answer, "clocks") : "");
	cJSON_Delete(answer);
}
