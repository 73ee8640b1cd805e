#include "gpu/run.h"

#include <stdlib.h>
#include <string.h>

bool run_memory_new(struct run_memory *m, struct arena *a, const struct target_device *device,
                    const struct workload *w, int sets, int64_t work_bytes, struct text *why)
{
	*m = (struct run_memory){.device = device, .workload = w, .sets = sets};
	m->data = arena_new_array(a, (size_t)(sets * w->arguments) + 1, void *);
	for (int s = 0; s < sets; s++)
		for (int i = 0; i < w->arguments; i++) {
			const struct argument *x = &w->argument[i];
			void **to = &m->data[s * w->arguments + i];
			if (!(*to = device->allocate(x->bytes + 1, why)) ||
			    (x->role == ROLE_IN &&
			     !device->copy_in(*to, w->input[SET_NORMAL][i], x->bytes, NULL, why)))
				return false;
		}
	return !work_bytes || (m->work = device->allocate((size_t)work_bytes, why));
}

void run_memory_free(struct run_memory *m)
{
	for (int i = 0; m->data && i < m->sets * m->workload->arguments; i++)
		if (m->data[i])
			m->device->release(m->data[i]);
	if (m->work)
		m->device->release(m->work);
	*m = (struct run_memory){0};
}

bool run_poison(const struct run_memory *m, struct text *why)
{
	const struct workload *w = m->workload;
	bool good = true;
	for (int i = 0; i < w->arguments && good; i++) {
		const struct argument *x = &w->argument[i];
		void *ones = x->role == ROLE_OUT ? malloc(x->bytes + 1) : NULL;
		if (x->role != ROLE_OUT)
			continue;
		good = ones &&
		       m->device->copy_in(m->data[i], memset(ones, 0xff, x->bytes), x->bytes, NULL, why);
		if (!ones)
			text_add(why, "out of memory");
		free(ones);
	}
	return good;
}

bool run_outputs(const struct run_memory *m, void *const *out, struct text *why)
{
	const struct workload *w = m->workload;
	for (int i = 0; i < w->arguments; i++)
		if (w->argument[i].role == ROLE_OUT &&
		    !m->device->copy_out(out[i], m->data[i], w->argument[i].bytes, NULL, why))
			return false;
	return true;
}

bool run_launch(const struct run_memory *m, struct module *module, const struct kernel_source *source,
                int set, struct text *why)
{
	/* struct at_device_args of codegen/kernel.h */
	int64_t word[MAX_DEVICE_ARGUMENT_BYTES / sizeof(int64_t)];
	const struct workload *w = m->workload;
	size_t words = 0;
	for (int i = 0; i < w->arguments; i++)
		word[words++] = (int64_t)(intptr_t)m->data[set * w->arguments + i];
	for (int i = 0; i < w->arguments; i++)
		for (int k = 0; k < w->argument[i].nranks; k++)
			word[words++] = w->argument[i].stride[k];
	word[words++] = (int64_t)(intptr_t)m->work;
	for (int i = 0; i < source->nphases; i++)
		if (source->phase[i].tasks > 0 &&
		    !m->device->launch(module, source, i, word, words * sizeof *word, NULL, why))
			return false;
	return true;
}

bool run_once(const struct run_memory *m, struct module *module, const struct kernel_source *source, int set,
              struct text *why)
{
	return run_launch(m, module, source, set, why) && m->device->wait(NULL, why);
}

bool run_timed(const struct run_memory *m, struct module *module, const struct kernel_source *source,
               int runs, double *seconds, struct text *why)
{
	const struct target_device *d = m->device;
	void *first = d->mark(NULL, why), *last = NULL;
	bool good = first;
	for (int i = 0; i < runs && good; i++)
		good = run_launch(m, module, source, i % m->sets, why);
	good = good && (last = d->mark(NULL, why)) && d->between(first, last, seconds, why);
	*seconds /= runs;
	if (first)
		d->unmark(first);
	if (last)
		d->unmark(last);
	return good;
}
