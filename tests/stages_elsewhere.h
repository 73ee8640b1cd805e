/* stages_elsewhere.h: stages_c.h for a processor that is not here: a kernel for 64-bit ARM, compiled by Clang in
 * process or by gcc's cross compiler, linked with elsewhere_main.c and run under an emulator of the user's side.
 */
#ifndef ATTUNE_TESTS_STAGES_ELSEWHERE_H
#define ATTUNE_TESTS_STAGES_ELSEWHERE_H

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/stages_c.h"

#define ELSEWHERE_GCC "aarch64-linux-gnu-gcc"
#define ELSEWHERE_EMULATOR "qemu-aarch64"
#define ELSEWHERE_PACKAGES "gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user (scripts/deps long)"
enum { ELSEWHERE_RANKS = 16 };

static char elsewhere_folder[64];

/* A program's exit status; 127 when there is no such program. What it says goes to the file `said`. */
static int elsewhere_spawn(char *const *argv)
{
	posix_spawn_file_actions_t files;
	char said[100];
	pid_t child;
	int status = -1;
	snprintf(said, sizeof said, "%s/said", elsewhere_folder);
	posix_spawn_file_actions_init(&files);
	for (int fd = 1; fd <= 2; fd++)
		posix_spawn_file_actions_addopen(&files, fd, said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int failed = posix_spawnp(&child, argv[0], &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	if (failed || waitpid(child, &status, 0) != child)
		return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const char *elsewhere_path(struct arena *a, const char *name)
{
	return arena_printf(a, "%s/%s", elsewhere_folder, name);
}

static bool elsewhere_write(struct stages *s, const char *name, const void *bytes, size_t n)
{
	FILE *f = fopen(elsewhere_path(s->arena, name), "wb");
	bool good = f && fwrite(bytes, 1, n, f) == n;
	if (f)
		good = !fclose(f) && good;
	return good || stages_fault(s, "elsewhere: %s cannot be written", name);
}

static bool elsewhere_fails(struct stages *s, const char *what, int status)
{
	size_t n;
	return stages_fault(s, "elsewhere: %s ends with %d: %s", what, status,
	                    stages_file(s->arena, elsewhere_path(s->arena, "said"), &n));
}

/* Makes the folder, and the harness's object in it. NULL, or what is missing. */
static const char *elsewhere_begin(void)
{
	char object[100];
	snprintf(elsewhere_folder, sizeof elsewhere_folder, "/tmp/attune-elsewhere.XXXXXX");
	if (!mkdtemp(elsewhere_folder))
		return "a folder in /tmp";
	snprintf(object, sizeof object, "%s/main.o", elsewhere_folder);
	char *compile[] = {ELSEWHERE_GCC, "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-c", "tests/elsewhere_main.c",
	                   "-o", object, NULL};
	char *emulate[] = {ELSEWHERE_EMULATOR, "--version", NULL};
	return elsewhere_spawn(compile) || elsewhere_spawn(emulate) ? ELSEWHERE_PACKAGES : NULL;
}

static void elsewhere_end(void)
{
	static const char *const left[] = {"main.o", "said", "kernel.c", "kernel.o", "kernel", "in", "out"};
	char path[100];
	for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
		snprintf(path, sizeof path, "%s/%s", elsewhere_folder, left[i]);
		unlink(path);
	}
	rmdir(elsewhere_folder);
}

static bool elsewhere_compile(struct stages *s, const char *text, const struct target *target, enum isa isa)
{
	struct target_options options = {.isa = isa, .optimise = 1};
	struct object object;
	struct text why;
	text_init(&why, s->arena);
	if (target) {
		if (!target->compile(text, &options, &object, &why))
			return stages_fault(s, "%s: %s", target->name, why.s);
		bool good = elsewhere_write(s, "kernel.o", object.bytes, object.size);
		object_free(&object);
		return good;
	}
	char *argv[] = {ELSEWHERE_GCC, arena_printf(s->arena, "-march=%s", isa_info[isa].march),
	                "-O2", "-ffp-contract=fast", "-fno-math-errno", "-c",
	                (char *)(uintptr_t)elsewhere_path(s->arena, "kernel.c"), "-o",
	                (char *)(uintptr_t)elsewhere_path(s->arena, "kernel.o"), NULL};
	if (!elsewhere_write(s, "kernel.c", text, strlen(text)))
		return false;
	int status = elsewhere_spawn(argv);
	return !status || elsewhere_fails(s, ELSEWHERE_GCC, status);
}

static bool elsewhere_arguments(struct stages *s, const struct stages_c *c, const struct kernel_source *k)
{
	struct text t;
	int64_t n = 0;
	text_init(&t, s->arena);
	for (int i = 0; i < STAGES_TENSORS; i++)
		n += c->buffer[i].map != NULL;
	int64_t head[3] = {n, k->work_bytes, k->scratch_bytes};
	text_bytes(&t, (const char *)head, sizeof head);
	for (int i = 0; i < n; i++) {
		int64_t size = (int64_t)c->buffer[i].size, stride[ELSEWHERE_RANKS] = {0};
		memcpy(stride, c->stride[i], sizeof c->stride[i]);
		text_bytes(&t, (const char *)&size, sizeof size);
		text_bytes(&t, (const char *)stride, sizeof stride);
	}
	for (int i = 0; i < n; i++)
		text_bytes(&t, c->buffer[i].data, c->buffer[i].size);
	return elsewhere_write(s, "in", t.s, t.len);
}

/* stages_call; the target compiles, or gcc where it is NULL. */
static bool elsewhere_call(struct stages *s, struct stages_c *c, const struct kernel_source *k,
                           const struct target *target, enum isa isa)
{
	struct text t;
	text_init(&t, s->arena);
	text_printf(&t, "%s\nvoid (*const elsewhere_phase[])(const struct at_args *, long, long, void *) = {", k->text);
	for (int p = 0; p < k->nphases; p++)
		text_printf(&t, "%s, ", k->phase[p].symbol);
	text_add(&t, "};\nconst long elsewhere_tasks[] = {");
	for (int p = 0; p < k->nphases; p++)
		text_printf(&t, "%ld, ", k->phase[p].tasks);
	text_printf(&t, "};\nconst int elsewhere_phases = %d;\n", k->nphases);
	char *const made = (char *)(uintptr_t)elsewhere_path(s->arena, "kernel");
	char *const in = (char *)(uintptr_t)elsewhere_path(s->arena, "in");
	char *const out = (char *)(uintptr_t)elsewhere_path(s->arena, "out");
	char *link[] = {ELSEWHERE_GCC, "-static", (char *)(uintptr_t)elsewhere_path(s->arena, "main.o"),
	                (char *)(uintptr_t)elsewhere_path(s->arena, "kernel.o"), "-lm", "-o", made, NULL};
	char *run[] = {ELSEWHERE_EMULATOR, made, in, out, NULL};
	int status;
	if (!elsewhere_compile(s, t.s, target, isa) || !elsewhere_arguments(s, c, k))
		return false;
	if ((status = elsewhere_spawn(link)))
		return elsewhere_fails(s, "the linker", status);
	if ((status = elsewhere_spawn(run)))
		return elsewhere_fails(s, "the kernel", status);
	FILE *f = fopen(out, "rb");
	bool good = f;
	for (int i = 0; good && i < STAGES_TENSORS && c->buffer[i].map; i++)
		good = fread(c->buffer[i].data, 1, c->buffer[i].size, f) == c->buffer[i].size;
	if (f)
		fclose(f);
	return good || stages_fault(s, "elsewhere: the kernel left too little");
}

#endif
