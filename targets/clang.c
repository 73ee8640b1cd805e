/* Clang in process: the text of a kernel to an object, and LLVM's JIT linker from that to code.
 *
 * LLVM is large (some 15 ms and 65 MB to open), so it lives in a library of its own that is opened on first
 * use, from beside the running program or library, where an installation put it, or from ATTUNE_LIBDIR.
 */
#include "targets/target.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "targets/clang_shim.h"
#include "targets/gate.h"

#define SHIM_FILE "libattune-clang.so"

struct module {
	void *loaded;
};

/* The shim is one a process, as LLVM is; once open it stays. The lock is only taken inside the gate. */
static struct {
	pthread_mutex_t lock;
	const struct clang_shim *shim;
} process = {PTHREAD_MUTEX_INITIALIZER, NULL};

/* `path` becomes FOLDER/file, where FOLDER holds `of`. */
static void beside(char path[PATH_MAX], const char *of, const char *file)
{
	const char *slash = strrchr(of, '/');
	int folder = slash ? (int)(slash - of) : 1;
	snprintf(path, PATH_MAX, "%.*s/%s", folder, slash ? of : ".", file);
}

/* Opens the library at `path` if there is a file; what dlopen says when it fails goes to `why`. */
static void *open_file(const char *path, char *why, size_t room)
{
	if (access(path, R_OK))
		return NULL;
	void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		snprintf(why, room, "%s", dlerror());
	return library;
}

static void *open_library(char *why, size_t room)
{
	/* Beside: a build tree, tests one folder down in it; an installation with bin/ and lib/. */
	static const char *const place[] = {SHIM_FILE, "../" SHIM_FILE, "../lib/" SHIM_FILE};
	char self[2][PATH_MAX] = {"", ""}, path[PATH_MAX];
	Dl_info info;
	if (dladdr(&process, &info) && info.dli_fname)
		snprintf(self[0], PATH_MAX, "%s", info.dli_fname);
	ssize_t n = readlink("/proc/self/exe", self[1], PATH_MAX - 1);
	self[1][n > 0 ? n : 0] = 0;
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; *self[i] && k < sizeof place / sizeof *place; k++) {
			beside(path, self[i], place[k]);
			void *library = open_file(path, why, room);
			if (library)
				return library;
		}
	return open_file(ATTUNE_LIBDIR "/" SHIM_FILE, why, room);
}

/* NULL with the reason in `why`. */
static const struct clang_shim *open_shim(char *why, size_t room)
{
	*why = 0;
	void *library = open_library(why, room);
	if (!library) {
		if (!*why)
			snprintf(why, room,
			         SHIM_FILE
			         " is neither beside this program nor in " ATTUNE_LIBDIR
			         ": build it with `make all` where LLVM is installed (`make deps`)");
		return NULL;
	}
	clang_shim_open *open;
	*(void **)&open = dlsym(library, CLANG_SHIM_SYMBOL);
	char *diagnostics = NULL;
	const struct clang_shim *shim = open ? open(generated_code_names(), &diagnostics) : NULL;
	if (shim && shim->abi == CLANG_SHIM_ABI)
		return shim;
	snprintf(why, room, "%s", diagnostics ? diagnostics : SHIM_FILE " is of another version: rebuild it");
	free(diagnostics);
	dlclose(library);
	return NULL;
}

/* The shim, the gate entered; NULL with the reason, outside. */
static const struct clang_shim *enter(char *why, size_t room)
{
	gate_enter();
	pthread_mutex_lock(&process.lock);
	if (!process.shim)
		process.shim = open_shim(why, room);
	const struct clang_shim *shim = process.shim;
	pthread_mutex_unlock(&process.lock);
	if (!shim)
		gate_leave();
	return shim;
}

static const char *missing(struct arena *a)
{
	char why[1024];
	if (!enter(why, sizeof why))
		return arena_strdup(a, why);
	gate_leave();
	return NULL;
}

/* The driver would spell the floating-point ones -ffp-contract=fast -fno-math-errno -fno-trapping-math;
 * -ffast-math is out, because infinities and NaN mean something here. Loops are vectorised at every level, so
 * a search at level 1 ranks candidates as level 3 does. A processor of level v4 is by default tuned to avoid
 * 512-bit registers, and vectors of that size would be split in two. */
/* clang-format off */
static const char *const common[] = {
	"-std=gnu17", "-x", "c", "-fgnuc-version=4.2.1",
	"-mrelocation-model", "pic", "-pic-level", "2", "-mframe-pointer=none",
	"-ffp-contract=fast", "-fno-rounding-math", "-ffp-exception-behavior=ignore",
	"-vectorize-loops", "-vectorize-slp",
	"-discard-value-names", "-disable-llvm-verifier", "-clear-ast-before-backend", "-ferror-limit", "20",
};
/* clang-format on */
enum { COMMON = sizeof common / sizeof *common, MOST_FLAGS = COMMON + 8 };

static int flags(const char *flag[MOST_FLAGS], const struct target_options *o)
{
	memcpy(flag, common, sizeof common);
	int n = COMMON;
	flag[n++] = o->optimise >= 3 ? "-O3" : o->optimise == 2 ? "-O2" : o->optimise == 1 ? "-O1" : "-O0";
	bool arm = isa_info[o->isa].family == PROCESSOR_AARCH64;
	flag[n++] = "-triple";
	flag[n++] = arm ? "aarch64-unknown-linux-gnu" : "x86_64-pc-linux-gnu";
	flag[n++] = "-target-cpu";
	flag[n++] = arm ? "generic" : isa_info[o->isa].march;
	if (arm) {
		flag[n++] = "-target-feature";
		flag[n++] = "+neon";
	}
	if (isa_info[o->isa].lanes == 16)
		flag[n++] = "-mprefer-vector-width=512";
	if (o->checked)
		flag[n++] = "-fsanitize=array-bounds";
	return n;
}

static const char *version(struct arena *a, const struct target_options *o)
{
	char why[1024];
	const struct clang_shim *shim = enter(why, sizeof why);
	if (shim)
		gate_leave();
	struct text t;
	text_init(&t, a);
	text_add(&t, shim ? shim->version : "no clang");
	const char *flag[MOST_FLAGS];
	int n = flags(flag, o);
	for (int i = 0; i < n; i++) {
		text_char(&t, ' ');
		text_add(&t, flag[i]);
	}
	return t.s;
}

static const char *about(struct arena *a)
{
	char why[1024];
	const struct clang_shim *shim = enter(why, sizeof why);
	if (!shim)
		return NULL;
	gate_leave();
	return arena_strdup(a, shim->version);
}

static bool supports(enum isa isa)
{
	return isa < HOST_ISAS;
}

static bool compile(const char *source, const struct target_options *o, struct object *object,
                    struct text *diagnostics)
{
	*object = (struct object){0};
	char why[1024];
	const struct clang_shim *shim = enter(why, sizeof why);
	if (!shim) {
		text_add(diagnostics, why);
		return false;
	}
	const char *flag[MOST_FLAGS];
	int n = flags(flag, o);
	char *said = NULL;
	int status = shim->compile(source, flag, n, &object->bytes, &object->size, &said);
	gate_leave();
	text_add(diagnostics, said ? said : "out of memory\n");
	free(said);
	return status == 0;
}

static struct module *load(const struct object *object, const struct target_options *o,
                           struct text *diagnostics)
{
	(void)o;
	char why[1024];
	const struct clang_shim *shim = enter(why, sizeof why);
	if (!shim) {
		text_add(diagnostics, why);
		return NULL;
	}
	char *said = NULL;
	struct module *m = malloc(sizeof *m);
	if (m && !(m->loaded = shim->load(object->bytes, object->size, &said))) {
		free(m);
		m = NULL;
	}
	gate_leave();
	if (!m)
		text_add(diagnostics, said ? said : "out of memory\n");
	free(said);
	return m;
}

static void *symbol(struct module *m, const char *name)
{
	return process.shim->symbol(m->loaded, name);
}

static void unload(struct module *m)
{
	if (!m)
		return;
	gate_enter();
	process.shim->unload(m->loaded);
	gate_leave();
	free(m);
}

static bool opened(void)
{
	/* Who holds the lock may be opening it. */
	if (!gate_try())
		return false;
	bool free = !pthread_mutex_trylock(&process.lock), open = free && process.shim;
	if (free)
		pthread_mutex_unlock(&process.lock);
	gate_leave();
	return open;
}

const struct target target_clang = {
        .name = "clang",
        .missing = missing,
        .version = version,
        .about = about,
        .supports = supports,
        .compile = compile,
        .load = load,
        .symbol = symbol,
        .unload = unload,
        .opened = opened,
};
