/* nvrtc.c: looked for where the system looks for libraries, then in the toolkit's own folders. Never linked:
 * a machine without it builds and says so. A folder of stubs has libraries of the right name that do nothing;
 * they are passed by.
 */
#include "targets/nvrtc.h"

#include <dlfcn.h>
#include <elf.h>
#include <glob.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "targets/child.h"
#include "targets/gate.h"

typedef struct program *program; /* nvrtcProgram */

/* What is called of it. All but the strings return 0 when good. */
struct functions {
	int (*Version)(int *major, int *minor);
	int (*GetNumSupportedArchs)(int *);
	int (*GetSupportedArchs)(int *);
	int (*CreateProgram)(program *, const char *source, const char *name, int headers,
	                     const char *const *, const char *const *);
	int (*CompileProgram)(program, int options, const char *const *);
	int (*GetProgramLogSize)(program, size_t *);
	int (*GetProgramLog)(program, char *);
	int (*GetCUBINSize)(program, size_t *);
	int (*GetCUBIN)(program, char *);
	int (*DestroyProgram)(program *);
	const char *(*GetErrorString)(int);
};

/* One a process, as the library is. The lock is only taken inside the gate. */
static struct {
	pthread_mutex_t lock;
	bool open;
	struct functions call;
	struct nvrtc_about about;
} process = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char mend[] =
        "install the CUDA toolkit (12.0 or later), or only its NVRTC (Debian: libnvrtc12; pip: "
        "nvidia-cuda-nvrtc), and put its folder into LD_LIBRARY_PATH if it is an unusual one";

/* ---- finding it ---- */

struct identity {
	ElfW(Addr) base;
	char *build;
	size_t room;
};

/* The build id among the notes of the library that is loaded at `base`. */
static int read_build(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	const struct identity *id = data;
	if (info->dlpi_addr != id->base)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		const unsigned char *note = (const unsigned char *)(uintptr_t)(id->base + header->p_vaddr);
		size_t left = header->p_type == PT_NOTE ? header->p_memsz : 0;
		while (left >= sizeof(ElfW(Nhdr))) {
			ElfW(Nhdr) n;
			memcpy(&n, note, sizeof n);
			size_t name = (n.n_namesz + 3u) & ~3u,
			       whole = sizeof n + name + ((n.n_descsz + 3u) & ~3u);
			if (whole > left)
				break;
			for (size_t k = 0;
			     n.n_type == NT_GNU_BUILD_ID && k < n.n_descsz && 2 * k + 3 <= id->room; k++)
				snprintf(id->build + 2 * k, 3, "%02x", note[sizeof n + name + k]);
			note += whole;
			left -= whole;
		}
	}
	return 1;
}

static bool resolve(void *library, struct functions *f, const char **lacks)
{
#define NEED(name)                                                                                           \
	if (!(*(void **)&f->name = dlsym(library, *lacks = "nvrtc" #name)))                                  \
		return false;
	NEED(Version)
	NEED(GetNumSupportedArchs)
	NEED(GetSupportedArchs)
	NEED(CreateProgram)
	NEED(CompileProgram)
	NEED(GetProgramLogSize)
	NEED(GetProgramLog)
	NEED(GetCUBINSize)
	NEED(GetCUBIN)
	NEED(DestroyProgram)
	NEED(GetErrorString)
#undef NEED
	return true;
}

/* The library that keeps its built-in headers has a name with the minor version, and may be in no folder the
 * system looks in: opened from beside, it is found by its name afterwards. */
static void open_builtins(const struct nvrtc_about *a)
{
	char path[sizeof a->path + 64];
	int folder = (int)(strrchr(a->path, '/') - a->path);
	snprintf(path, sizeof path, "%.*s/libnvrtc-builtins.so.%d.%d", folder, a->path, a->major, a->minor);
	(void)dlopen(path, RTLD_LAZY | RTLD_LOCAL);
}

/* False with the reason, "" where there is no such library at all. */
static bool open_library(const char *name, char *why, size_t room)
{
	struct nvrtc_about *a = &process.about;
	const char *lacks = NULL;
	struct link_map *map;
	void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
	if (!library || dlinfo(library, RTLD_DI_LINKMAP, &map) || !strchr(map->l_name, '/') ||
	    strstr(map->l_name, "/stubs/"))
		goto no;
	snprintf(a->path, sizeof a->path, "%s", map->l_name);
	if (!resolve(library, &process.call, &lacks)) {
		snprintf(why, room, "%s is too old, it lacks %s: ", a->path, lacks);
		goto no;
	}
	if (process.call.Version(&a->major, &a->minor) || process.call.GetNumSupportedArchs(&a->archs) ||
	    a->archs < 1 || a->archs > NVRTC_ARCHS || process.call.GetSupportedArchs(a->arch)) {
		snprintf(why, room, "%s does not tell its version: ", a->path);
		goto no;
	}
	struct identity id = {map->l_addr, a->build, sizeof a->build};
	dl_iterate_phdr(read_build, &id);
	open_builtins(a);
	return true;
no:
	if (library)
		dlclose(library);
	return false;
}

static bool find(char *why, size_t room)
{
	static const char *const plain[] = {"libnvrtc.so.13", "libnvrtc.so.12"};
	static const char *const folder[] = {"/usr/local/cuda/lib64/libnvrtc.so.1[23]",
	                                     "/usr/local/cuda-1[23]*/lib64/libnvrtc.so.1[23]"};
	enum { N = 2 };
	bool found = false;
	*why = 0;
	for (int i = 0; i < N && !found; i++)
		found = open_library(plain[i], why, room);
	for (int i = 0; i < N && !found; i++) {
		glob_t paths;
		if (glob(folder[i], 0, NULL, &paths))
			continue;
		for (size_t k = paths.gl_pathc; k-- && !found;)
			found = open_library(paths.gl_pathv[k], why, room);
		globfree(&paths);
	}
	return found;
}

const struct nvrtc_about *nvrtc_about(struct text *why)
{
	char reason[1024] = "";
	gate_enter();
	pthread_mutex_lock(&process.lock);
	process.open = process.open || find(reason, sizeof reason);
	bool open = process.open;
	pthread_mutex_unlock(&process.lock);
	gate_leave();
	if (open)
		return &process.about;
	text_printf(why, "%s%s", *reason ? reason : "libnvrtc is not installed: ", mend);
	return NULL;
}

bool nvrtc_opened(void)
{
	/* Who holds the lock may be opening it. */
	if (!gate_try())
		return false;
	bool free = !pthread_mutex_trylock(&process.lock), open = free && process.open;
	if (free)
		pthread_mutex_unlock(&process.lock);
	gate_leave();
	return open;
}

/* ---- compiling ---- */

bool nvrtc_arch(int capability, char arch[16], struct text *why)
{
	const struct nvrtc_about *a = nvrtc_about(why);
	int best = 0;
	if (!a)
		return false;
	for (int i = 0; i < a->archs; i++)
		if (a->arch[i] <= capability && a->arch[i] / 10 == capability / 10 && a->arch[i] > best)
			best = a->arch[i];
	if (best < 80) {
		text_printf(
		        why,
		        "NVRTC %d.%d makes no code for compute capability %d.%d; it knows %d.%d to %d.%d, "
		        "and kernels are for 8.0 and later",
		        a->major, a->minor, capability / 10, capability % 10, a->arch[0] / 10,
		        a->arch[0] % 10, a->arch[a->archs - 1] / 10, a->arch[a->archs - 1] % 10);
		return false;
	}
	snprintf(arch, 16, "sm_%d%s", best, best == capability && best >= 90 ? "a" : "");
	return true;
}

/* -v makes the assembler tell registers and spills. The rest of a prelude is no news. */
enum { OPTIONS = 5, COMPILE_SECONDS = 300 };
static const char *const option[OPTIONS] = {"--gpu-architecture=", "--std=c++17", "-default-device",
                                            "--ptxas-options=-v", "--diag-suppress=177"};

void nvrtc_options(const char *arch, struct text *t)
{
	for (int i = 0; i < OPTIONS; i++)
		text_printf(t, "%s%s%s", i ? " " : "", option[i], i ? "" : arch);
}

struct job {
	const char *source, *arch;
};

/* What the child writes first; then the cubin, and the log with its NUL. */
struct reply {
	size_t cubin, log;
	char failed[128]; /* what, or "" */
};

/* In the child. Nothing is given back: the process ends. */
static void compile(const void *data, int out)
{
	const struct job *j = data;
	const struct functions *f = &process.call;
	struct reply r = {0};
	program p = NULL;
	char architecture[64], *cubin = NULL, *log = NULL;
	const char *flag[OPTIONS];
	/* The driver, which NVRTC asks for, is to look at no device: that takes time. And nothing else of the
	 * environment can decide what is made. */
	static char no_device[] = "CUDA_VISIBLE_DEVICES=", *empty[] = {no_device, NULL};
	environ = empty;
	memcpy(flag, option, sizeof flag);
	snprintf(architecture, sizeof architecture, "%s%s", option[0], j->arch);
	flag[0] = architecture;
	int status = f->CreateProgram(&p, j->source, "kernel", 0, NULL, NULL);
	if (!status) {
		status = f->CompileProgram(p, OPTIONS, flag);
		if (!f->GetProgramLogSize(p, &r.log) && (log = calloc(r.log + 1, 1)))
			f->GetProgramLog(p, log);
		if (!status && !(status = f->GetCUBINSize(p, &r.cubin)) && (cubin = malloc(r.cubin + 1)))
			status = f->GetCUBIN(p, cubin);
	}
	r.cubin = !status && cubin ? r.cubin : 0;
	r.log = log ? strlen(log) + 1 : 0;
	if (status || !r.cubin || !r.log)
		snprintf(r.failed, sizeof r.failed, "%s",
		         status ? f->GetErrorString(status) : "out of memory");
	if (child_write(out, &r, sizeof r) && child_write(out, cubin, r.cubin))
		child_write(out, log, r.log);
}

/* How long the assembler took is not the same twice; everything else about an object is. */
static void forget_time(char *log)
{
	for (char *s = log, *next; *s; s = next) {
		char *end = strchr(s, '\n');
		next = end ? end + 1 : s + strlen(s);
		char *time = strstr(s, "Compile time = ");
		if (time && time < next) {
			memmove(s, next, strlen(next) + 1);
			next = s;
		}
	}
}

/* The parts of a reply of `size` bytes; false when it was cut short, as by a crash that was not told of. */
static bool take_reply(char *reply, size_t size, struct reply *r, char **cubin, char **log)
{
	if (size < sizeof *r)
		return false;
	memcpy(r, reply, sizeof *r);
	size -= sizeof *r;
	*cubin = reply + sizeof *r;
	*log = *cubin + r->cubin;
	return r->cubin <= size && r->log == size - r->cubin && !r->failed[sizeof r->failed - 1] &&
	       (!r->log || !(*log)[r->log - 1]);
}

/* In a child: NVRTC 13 initialises the driver where there is one, and a process that has done that can no
 * longer fork children that use it; and a crash is an error. */
bool nvrtc_compile(const char *prelude, const char *source, const char *arch, struct nvrtc_made *made,
                   struct text *diagnostics)
{
	struct text all;
	struct reply r;
	size_t size = 0;
	char why[1024], *cubin, *log;
	*made = (struct nvrtc_made){0};
	if (!nvrtc_about(diagnostics))
		return false;
	text_init(&all, diagnostics->arena);
	text_printf(&all, "%s\n#line 1 \"kernel\"\n%s", prelude, source);
	struct job job = {all.s, arch};
	char *reply = child_read(compile, &job, COMPILE_SECONDS, &size, why, sizeof why);
	if (!reply || !take_reply(reply, size, &r, &cubin, &log)) {
		text_printf(diagnostics, "NVRTC %s\n", reply ? "crashed" : why);
	} else if (*r.failed) {
		text_printf(diagnostics, "%s%s\n", r.log ? log : "", r.failed);
	} else if ((made->cubin = malloc(r.cubin)) && (made->log = strdup(log))) {
		memcpy(made->cubin, cubin, made->size = r.cubin);
		forget_time(made->log);
	} else {
		text_add(diagnostics, "out of memory\n");
		free(made->cubin);
		*made = (struct nvrtc_made){0};
	}
	free(reply);
	return made->cubin != NULL;
}
