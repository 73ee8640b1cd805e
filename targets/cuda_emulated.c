/* Kernels for CUDA on the host, by the emulator: slow, and told of every mistake it can see. Never chosen unless it
 * is named.
 *
 * The text, after the emulator's prelude, is compiled by Clang, or by libtcc where that is missing. Device memory is
 * the host's, but a kernel reaches only what was allocated here. */
#include "targets/target.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "targets/emulate.h"

extern const char embed_codegen_prelude_cuda_emulated_h[];

struct module {
	struct module *code; /* of the target below */
};

/* Who compiles for the host. */
static const struct target *below(struct arena *a)
{
	return target_clang.missing(a) ? &target_tcc : &target_clang;
}

static struct target_options options_below(const struct target_options *o)
{
	return (struct target_options){.isa = ISA_SCALAR, .optimise = o->optimise, .checked = true};
}

static const struct target *below_now(void)
{
	struct arena a;
	arena_init(&a);
	const struct target *t = below(&a);
	arena_free(&a);
	return t;
}

static const char *missing(struct arena *a)
{
	return below(a)->missing(a);
}

static bool opened(void)
{
	return !target_clang.opened || target_clang.opened();
}

static const char *version(struct arena *a, const struct target_options *o)
{
	struct target_options host = options_below(o);
	const struct target *t = below(a);
	return arena_printf(a, "emulated, %s", t->version(a, &host));
}

static bool supports(enum isa isa)
{
	return isa == ISA_SM80;
}

static bool compile(const char *source, const struct target_options *o, struct object *object,
                    struct text *diagnostics)
{
	static const char line[] = "#line 1\n";
	const char *prelude = embed_codegen_prelude_cuda_emulated_h;
	struct target_options host = options_below(o);
	size_t n = strlen(prelude), m = strlen(source);
	*object = (struct object){0};
	char *text = malloc(n + sizeof line + m);
	if (!text) {
		text_add(diagnostics, "out of memory\n");
		return false;
	}
	memcpy(text, prelude, n);
	memcpy(text + n, line, sizeof line - 1);
	memcpy(text + n + sizeof line - 1, source, m + 1);
	bool good = below_now()->compile(text, &host, object, diagnostics);
	free(text);
	return good;
}

static struct module *load(const struct object *object, const struct target_options *o, struct text *diagnostics)
{
	struct target_options host = options_below(o);
	const struct target *t = below_now();
	struct module *m = malloc(sizeof *m);
	if (!m || !(m->code = t->load(object, &host, diagnostics))) {
		if (!m)
			text_add(diagnostics, "out of memory\n");
		free(m);
		return NULL;
	}
	const void **interface = t->symbol(m->code, "at_emulator");
	if (!interface) {
		text_add(diagnostics, "not an object of the emulator's: it has no at_emulator\n");
		t->unload(m->code);
		free(m);
		return NULL;
	}
	*interface = emulate_interface();
	return m;
}

static void *symbol(struct module *m, const char *name)
{
	return below_now()->symbol(m->code, name);
}

static void unload(struct module *m)
{
	if (m)
		below_now()->unload(m->code);
	free(m);
}

/* ---- memory ---- */

/* What is allocated, of all who emulate in this process. */
struct allocation {
	struct allocation *next;
	unsigned char *base;
	size_t size;
};
static struct {
	pthread_mutex_t lock;
	struct allocation *first;
} process = {PTHREAD_MUTEX_INITIALIZER, NULL};

/* A fork waits for its turn, so that the child finds the list whole. */
static void lock(void)
{
	pthread_mutex_lock(&process.lock);
}

static void unlock(void)
{
	pthread_mutex_unlock(&process.lock);
}

static void watch_forks(void)
{
	pthread_atfork(lock, unlock, unlock);
}

enum { ALIGN = 256 };

static void *allocate(size_t bytes, struct text *why)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, watch_forks);
	struct allocation *a = malloc(sizeof *a);
	void *base = a ? aligned_alloc(ALIGN, (bytes / ALIGN + 1) * ALIGN) : NULL;
	if (!base) {
		free(a);
		text_printf(why, "no memory for %zu bytes", bytes);
		return NULL;
	}
	memset(base, 0xff, bytes);
	*a = (struct allocation){.base = base, .size = bytes};
	lock();
	a->next = process.first;
	process.first = a;
	unlock();
	return base;
}

static void release(void *p)
{
	lock();
	struct allocation **at = &process.first;
	while (*at && (*at)->base != p)
		at = &(*at)->next;
	struct allocation *a = *at;
	if (a)
		*at = a->next;
	unlock();
	if (a)
		free(a->base);
	free(a);
}

static bool allocated(const void *p, size_t bytes, struct text *why)
{
	bool found = false;
	lock();
	for (const struct allocation *a = process.first; a && !found; a = a->next) {
		uintptr_t from = (uintptr_t)p - (uintptr_t)a->base;
		found = (uintptr_t)p >= (uintptr_t)a->base && from <= a->size && bytes <= a->size - from;
	}
	unlock();
	if (!found)
		text_printf(why, "%zu bytes to copy are not in the emulated device's memory", bytes);
	return found;
}

static bool copy_in(void *device, const void *host, size_t bytes, void *stream, struct text *why)
{
	(void)stream;
	if (!bytes)
		return true;
	if (!allocated(device, bytes, why))
		return false;
	memcpy(device, host, bytes);
	return true;
}

static bool copy_out(void *host, const void *device, size_t bytes, void *stream, struct text *why)
{
	(void)stream;
	if (!bytes)
		return true;
	if (!allocated(device, bytes, why))
		return false;
	memcpy(host, device, bytes);
	return true;
}

/* ---- launches ---- */

static bool machine(struct machine *m, struct text *why)
{
	(void)why;
	*m = (struct machine){
	        .isa = ISA_SM80,
	        .vendor = "emulated",
	        .model_name = "emulated device of compute capability 8.0",
	        .cores = 1,
	        .l2 = 40 << 20,
	        .processors = 108,
	        .shared = 99 << 10, /* what every device of the family lets a block have */
	        .shared_all = 100 << 10,
	        .capability = 80,
	};
	return true;
}

struct reachable {
	struct emulate_memory *memory;
	char (*name)[24];
	int n;
};

/* All that is allocated; named where an argument begins there. False: no memory. */
static bool reach(struct reachable *r, const struct kernel_source *k, const void *args)
{
	const void *const *data = args;
	lock();
	r->n = 0;
	for (const struct allocation *a = process.first; a; a = a->next)
		r->n++;
	r->memory = malloc((size_t)(r->n + 1) * sizeof *r->memory);
	r->name = malloc((size_t)(r->n + 1) * sizeof *r->name);
	bool good = r->memory && r->name;
	int i = 0;
	for (const struct allocation *a = process.first; a && good; a = a->next, i++) {
		int argument = 0;
		while (argument < k->narguments && data[argument] != a->base)
			argument++;
		if (argument < k->narguments)
			snprintf(r->name[i], sizeof r->name[i], "argument %d", argument);
		else
			snprintf(r->name[i], sizeof r->name[i], "other memory");
		r->memory[i] = (struct emulate_memory){
		        .base = a->base, .size = a->size, .writable = true, .name = r->name[i]};
	}
	unlock();
	return good;
}

static bool launch(struct module *m, const struct kernel_source *k, int phase, const void *args, size_t args_size,
                   void *stream, struct text *why)
{
	const struct kernel_phase *p = &k->phase[phase];
	struct reachable r;
	(void)stream;
	void *kernel = symbol(m, p->symbol);
	if (!kernel) {
		text_printf(why, "the module has no kernel %s", p->symbol);
		return false;
	}
	bool good = reach(&r, k, args);
	if (good) {
		struct emulate_launch l = {.name = p->symbol,
		                           .text = k->text,
		                           .kernel = kernel,
		                           .args = args,
		                           .args_size = args_size,
		                           .blocks = p->tasks,
		                           .threads = p->threads,
		                           .shared_bytes = p->shared_bytes,
		                           .memory = r.memory,
		                           .memories = r.n};
		good = emulate_run(&l, &(struct emulate_options){.order = EMULATE_LAZY}, why);
	} else {
		text_add(why, "out of memory");
	}
	free(r.memory);
	free(r.name);
	return good;
}

static bool wait(void *stream, struct text *why)
{
	(void)stream;
	(void)why;
	return true;
}

static const struct target_device device = {
        .emulated = true,
        .prelude = embed_codegen_prelude_cuda_emulated_h,
        .machine = machine,
        .allocate = allocate,
        .release = release,
        .copy_in = copy_in,
        .copy_out = copy_out,
        .launch = launch,
        .wait = wait,
};

const struct target target_cuda_emulated = {
        .name = "cuda-emulated",
        .missing = missing,
        .version = version,
        .supports = supports,
        .compile = compile,
        .load = load,
        .symbol = symbol,
        .unload = unload,
        .opened = opened,
        .device = &device,
};
