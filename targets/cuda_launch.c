/* cuda_launch.c: memory, modules and launches on the driver's first device. */
#include "targets/cuda_driver_internal.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shared memory that a function may use without having asked for it. */
enum { PLAIN_SHARED = 48 << 10 };

struct function {
	char *name;
	cuda_function handle;
	int64_t shared; /* asked for */
	struct function *next;
};

struct module {
	cuda_module loaded;
	pthread_mutex_t lock;
	struct function *function;
};

/* Hands what went wrong to the caller, outside of every lock. */
static bool tell(bool done, const struct words *words, struct text *why)
{
	if (!done)
		text_add(why, words->s);
	return done;
}

/* ---- memory ---- */

void *driver_allocate(size_t bytes, struct text *why)
{
	struct words words;
	cuda_pointer p = 0;
	const struct driver *d = driver_enter(&words);
	bool done = d && driver_good(d->allocate(&p, bytes ? bytes : 1), "cuMemAlloc", &words);
	if (d)
		driver_leave();
	return tell(done, &words, why) ? (void *)(uintptr_t)p : NULL;
}

/* Nobody can do anything about a failure: a context that is lost has lost its memory too. */
void driver_release(void *p)
{
	struct words words;
	const struct driver *d = p ? driver_enter(&words) : NULL;
	if (!d)
		return;
	d->release((cuda_pointer)(uintptr_t)p);
	driver_leave();
}

bool driver_copy_in(void *device, const void *host, size_t bytes, void *stream, struct text *why)
{
	struct words words;
	if (!bytes)
		return true;
	const struct driver *d = driver_enter(&words);
	bool done = d &&
	            driver_good(d->copy_in((cuda_pointer)(uintptr_t)device, host, bytes, stream),
	                        "cuMemcpyHtoDAsync", &words) &&
	            driver_good(d->stream_wait(stream), "copying to the device", &words);
	if (d)
		driver_leave();
	return tell(done, &words, why);
}

bool driver_copy_out(void *host, const void *device, size_t bytes, void *stream, struct text *why)
{
	struct words words;
	if (!bytes)
		return true;
	const struct driver *d = driver_enter(&words);
	bool done = d &&
	            driver_good(d->copy_out(host, (cuda_pointer)(uintptr_t)device, bytes, stream),
	                        "cuMemcpyDtoHAsync", &words) &&
	            driver_good(d->stream_wait(stream), "copying from the device", &words);
	if (d)
		driver_leave();
	return tell(done, &words, why);
}

/* ---- modules ---- */

struct module *driver_load(const void *cubin, struct text *why)
{
	struct words words = {"out of memory"};
	struct module *m = calloc(1, sizeof *m);
	const struct driver *d = m ? driver_enter(&words) : NULL;
	bool done = d && driver_good(d->module_load(&m->loaded, cubin), "cuModuleLoadData", &words);
	if (d)
		driver_leave();
	if (!done) {
		free(m);
		text_add(why, words.s);
		return NULL;
	}
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

void driver_unload(struct module *m)
{
	struct words words;
	if (!m)
		return;
	const struct driver *d = driver_enter(&words);
	if (d) {
		d->module_unload(m->loaded);
		driver_leave();
	}
	for (struct function *f = m->function, *next; f; f = next) {
		next = f->next;
		free(f->name);
		free(f);
	}
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* Inside the module's lock and the driver. NULL with the reason. */
static struct function *find(const struct driver *d, struct module *m, const char *name, struct words *why)
{
	struct function *f = m->function;
	while (f && strcmp(f->name, name))
		f = f->next;
	if (f)
		return f;
	f = calloc(1, sizeof *f);
	if (!f || !(f->name = strdup(name))) {
		*why = (struct words){"out of memory"};
		free(f);
		return NULL;
	}
	if (!driver_good(d->module_function(&f->handle, m->loaded, name), name, why)) {
		free(f->name);
		free(f);
		return NULL;
	}
	f->next = m->function;
	m->function = f;
	return f;
}

void *driver_symbol(struct module *m, const char *name)
{
	struct words words;
	const struct driver *d = driver_enter(&words);
	if (!d)
		return NULL;
	pthread_mutex_lock(&m->lock);
	const struct function *f = find(d, m, name, &words);
	pthread_mutex_unlock(&m->lock);
	driver_leave();
	return f ? f->handle : NULL;
}

/* ---- launches ---- */

/* More shared memory than every device has must be asked for, once a function. And so many blocks at a time
 * are to fit as there is shared memory for: these kernels have little use for a first-level cache, which is
 * what is left of it. */
static bool ask_shared(const struct driver *d, struct function *f, int64_t bytes, struct words *why)
{
	char what[256];
	if (bytes <= f->shared)
		return true;
	snprintf(what, sizeof what, "%lld bytes of shared memory for %s", (long long)bytes, f->name);
	if (!driver_good(d->function_set(f->handle, CUDA_FUNCTION_CARVEOUT, 100), what, why) ||
	    (bytes > PLAIN_SHARED &&
	     !driver_good(d->function_set(f->handle, CUDA_FUNCTION_SHARED, (int)bytes), what, why)))
		return false;
	f->shared = bytes;
	return true;
}

bool driver_launch(struct module *m, const struct kernel_source *source, int phase, const void *args,
                   size_t args_size, void *stream, struct text *why)
{
	const struct kernel_phase *p = &source->phase[phase];
	struct words words;
	if (p->tasks > INT_MAX || p->shared_bytes > INT_MAX || args_size > MAX_DEVICE_ARGUMENT_BYTES) {
		text_printf(why, "%s has more blocks or arguments than a launch may", p->symbol);
		return false;
	}
	if (!p->tasks)
		return true;
	const struct driver *d = driver_enter(&words);
	if (!d)
		return tell(false, &words, why);
	void *parameters[] = {(void *)(uintptr_t)args};
	pthread_mutex_lock(&m->lock);
	struct function *f = find(d, m, p->symbol, &words);
	bool begun = f && ask_shared(d, f, p->shared_bytes, &words);
	pthread_mutex_unlock(&m->lock);
	if (begun)
		begun = driver_good(d->launch(f->handle, (unsigned)p->tasks, 1, 1, (unsigned)p->threads, 1, 1,
		                              (unsigned)p->shared_bytes, stream, parameters, NULL),
		                    p->symbol, &words);
	driver_leave();
	return tell(begun, &words, why);
}

bool driver_wait(void *stream, struct text *why)
{
	struct words words;
	const struct driver *d = driver_enter(&words);
	bool done = d && driver_good(d->stream_wait(stream), "waiting for a kernel", &words);
	if (d)
		driver_leave();
	return tell(done, &words, why);
}

/* ---- time ---- */

void *driver_mark(void *stream, struct text *why)
{
	struct words words;
	cuda_event e = NULL;
	const struct driver *d = driver_enter(&words);
	bool made = d && driver_good(d->event_new(&e, 0), "cuEventCreate", &words);
	bool done = made && driver_good(d->event_record(e, stream), "cuEventRecord", &words);
	if (made && !done)
		d->event_free(e);
	if (d)
		driver_leave();
	return tell(done, &words, why) ? e : NULL;
}

bool driver_between(void *first, void *last, double *seconds, struct text *why)
{
	struct words words;
	float milliseconds = 0;
	const struct driver *d = driver_enter(&words);
	bool done = d && driver_good(d->event_wait(last), "waiting for a kernel", &words) &&
	            driver_good(d->event_elapsed(&milliseconds, first, last), "cuEventElapsedTime", &words);
	if (d)
		driver_leave();
	*seconds = 1e-3 * (double)milliseconds;
	return tell(done, &words, why);
}

void driver_unmark(void *mark)
{
	struct words words;
	const struct driver *d = mark ? driver_enter(&words) : NULL;
	if (!d)
		return;
	d->event_free(mark);
	driver_leave();
}
