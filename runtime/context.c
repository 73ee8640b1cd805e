/* context.c: what a user of the library sets once. */
#include "runtime/internal.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* .cache/attune/tune.db in the home directory of the user database; NULL when the user has none. */
static const char *default_cache(struct arena *a)
{
	struct passwd entry, *found = NULL;
	size_t size = 16 << 10;
	char *buffer = arena_alloc(a, size);
	if (getpwuid_r(getuid(), &entry, buffer, size, &found) || !found || !found->pw_dir || !*found->pw_dir)
		return NULL;
	return arena_printf(a, "%s/.cache/attune/tune.db", found->pw_dir);
}

static enum attune_status no_isa(struct arena *a, const char *name, struct attune_error *error)
{
	struct text names;
	text_init(&names, a);
	for (enum isa i = 0; i < HOST_ISAS; i++)
		text_printf(&names, "%s%s", i ? ", " : "", isa_info[i].name);
	return runtime_fail(error, ATTUNE_USAGE, "there is no ISA '%s'; there are: %s", name, names.s);
}

struct context_job {
	struct attune_context *context;
	const struct attune_options *options;
};

static enum attune_status fill(void *data, struct arena *scratch, struct attune_error *error)
{
	const struct context_job *job = data;
	struct attune_context *c = job->context;
	const struct attune_options *o = job->options;
	c->arena.out_of_memory = scratch->out_of_memory;
	machine_detect(&c->machine);
	c->isa = c->machine.isa;
	c->isa_given = o->isa != NULL;
	if (o->isa && (c->isa = isa_find(o->isa)) == ISAS)
		return no_isa(scratch, o->isa, error);
	if (o->target) {
		enum attune_status status;
		struct text names;
		text_init(&names, scratch);
		for (int i = 0; targets[i]; i++)
			text_printf(&names, "%s%s", i ? ", " : "", targets[i]->name);
		c->target = target_find(o->target);
		if (!c->target)
			return runtime_fail(error, ATTUNE_USAGE, "there is no target '%s'; there are: %s",
			                    o->target, names.s);
		if (c->target->device && o->isa)
			return runtime_fail(error, ATTUNE_USAGE,
			                    "target %s is for a device, which has no ISA of this processor's; what "
			                    "it compiles for is said by arch",
			                    o->target);
		/* Of a device the compiler is asked for when there is something to compile: texts need none. */
		const char *missing = c->target->device ? NULL : c->target->missing(scratch);
		if (missing)
			return runtime_fail(error, ATTUNE_SYSTEM, "target %s: %s", c->target->name, missing);
		if (c->target->device && (status = context_device(c, o->arch, scratch, error)))
			return status;
	}
	if (o->arch && !context_on_device(c))
		return runtime_fail(error, ATTUNE_USAGE, "an architecture such as '%s' goes with a target for a device",
		                    o->arch);
	if (o->threads < 0 || o->threads > MAX_THREADS)
		return runtime_fail(error, ATTUNE_USAGE, "the number of threads is from 1 to %d, not %d",
		                    MAX_THREADS, o->threads);
	c->cache_path = !o->cache   ? default_cache(&c->arena)
	                : *o->cache ? arena_strdup(&c->arena, o->cache)
	                            : NULL;
	c->threads = context_on_device(c) ? 1 : o->threads ? o->threads : c->machine.cores;
	return ATTUNE_OK;
}

enum attune_status attune_context_new(const struct attune_options *options, struct attune_context **out,
                                      struct attune_error *error)
{
	struct attune_context *c = calloc(1, sizeof *c);
	if (!c)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	arena_init(&c->arena);
	struct attune_options none = {0};
	enum attune_status status =
	        runtime_try(fill, &(struct context_job){c, options ? options : &none}, error);
	if (status)
		attune_context_free(c);
	else
		*out = c;
	return status;
}

void attune_context_free(struct attune_context *c)
{
	if (!c)
		return;
	pool_free(c->pool);
	if (c->cache)
		cache_close(c->cache);
	arena_free(&c->arena);
	free(c);
}

struct pool *context_pool(struct attune_context *c)
{
	if (!c->pool && c->threads > 1)
		c->pool = pool_new(c->threads);
	return c->pool;
}

struct cache *context_cache(struct attune_context *c)
{
	if (!c->cache)
		c->cache = cache_open(c->cache_path);
	return c->cache;
}

static enum attune_status pick_target(struct attune_context *c, struct arena *arena,
                                      struct attune_error *error)
{
	struct text why;
	text_init(&why, arena);
	for (int i = 0; targets[i]; i++) {
		if (targets[i]->device) /* has to be asked for */
			continue;
		const char *missing = targets[i]->missing(arena);
		if (!missing && (!c->isa_given || targets[i]->supports(c->isa))) {
			c->target = targets[i];
			return ATTUNE_OK;
		}
		text_printf(&why, "\n%s: %s", targets[i]->name,
		            missing ? missing : "does not support this ISA");
	}
	return runtime_fail(error, ATTUNE_SYSTEM, "no compiler works here for %s:%s", isa_info[c->isa].name,
	                    why.s);
}

enum attune_status context_place(struct attune_context *c, struct arena *arena, struct tune_place *place,
                                 struct attune_error *error)
{
	enum attune_status status;
	if (!c->target && (status = pick_target(c, arena, error)))
		return status;
	const char *missing = c->target->device ? c->target->missing(arena) : NULL;
	if (missing)
		return runtime_fail(error, ATTUNE_SYSTEM, "target %s: %s", c->target->name, missing);
	while (c->isa != ISA_SCALAR && !c->isa_given && !c->target->supports(c->isa))
		c->isa = isa_below(c->isa);
	if (!c->target->supports(c->isa))
		return runtime_fail(error, ATTUNE_USAGE, "target %s does not support %s", c->target->name,
		                    isa_info[c->isa].name);
	*place = (struct tune_place){&c->machine, c->target, c->isa, c->threads,
	                             c->target->device && (c->target->device->emulated || c->no_device)};
	return ATTUNE_OK;
}

const char *attune_cache_path(const struct attune_context *c)
{
	return c->cache_path;
}

const char *attune_cache_said(struct attune_context *c)
{
	return c->cache ? cache_said(c->cache) : NULL;
}

/* What a target's kernels run on, or why there is nothing. */
static const char *device_text(struct arena *a, const struct target *t, const char **none)
{
	struct machine m = {0};
	struct text why;
	text_init(&why, a);
	if (!t->device->machine(&m, &why)) {
		*none = why.s;
		return NULL;
	}
	struct text all;
	text_init(&all, a);
	text_printf(&all, "%s, sm_%d, %d processors, %lld KiB of shared memory a block, L2 %lld MiB", m.model_name,
	            m.capability, m.processors, (long long)m.shared >> 10, (long long)m.l2 >> 20);
	if (m.bandwidth > 0 && m.tensor_flops > 0)
		text_printf(&all, ", %.2f TB/s, %.0f TFLOP/s bf16", m.bandwidth * 1e-12, m.tensor_flops * 1e-12);
	return all.s;
}

static const char *unused_units(struct arena *a, unsigned units)
{
	struct text t;
	text_init(&t, a);
	for (int u = 0; u < UNITS; u++)
		if (units >> u & 1)
			text_printf(&t, "%s%s", t.len ? ", " : "", machine_unit_name[u]);
	return t.s;
}

static void describe_limits(const struct machine_limits *l, struct attune_device_info *d)
{
	const int most = sizeof d->rate / sizeof *d->rate;
	d->clock = l->clock;
	for (enum isa i = 0; i < HOST_ISAS && d->rates < most; i++) {
		if (l->peak[i][OPERAND_COMPUTE] <= 0)
			continue;
		d->rate[d->rates].isa = isa_info[i].name;
		d->rate[d->rates].lanes = isa_info[i].lanes;
		d->rate[d->rates].f32 = l->peak[i][OPERAND_COMPUTE];
		d->rate[d->rates].bf16 = l->peak[i][OPERAND_BF16];
		d->rate[d->rates].i8 = l->peak[i][OPERAND_I8];
		d->rate[d->rates++].exps = l->exps[i];
	}
	d->read_l1 = l->read[READ_L1];
	d->read_l2 = l->read[READ_L2];
	d->read_l3 = l->read[READ_L3];
	d->read_all = l->read_all;
}

struct device_job {
	struct attune_context *context;
	struct attune_device_info *info;
	bool again;
};

static enum attune_status describe_device(void *data, struct arena *scratch, struct attune_error *error)
{
	const struct device_job *job = data;
	struct attune_context *c = job->context;
	struct arena *a = &c->arena;
	a->out_of_memory = scratch->out_of_memory;
	if (context_on_device(c))
		return runtime_fail(error, ATTUNE_USAGE, "the context is for %s; ask one for this processor",
		                    c->target->name);
	context_measure(c, job->again);
	struct attune_device_info d = {
	        .model = c->machine.model_name,
	        .isa = isa_info[c->machine.isa].name,
	        .unused = unused_units(a, c->machine.units),
	        .cores = c->machine.cores,
	        .l1 = c->machine.l1,
	        .l2 = c->machine.l2,
	        .l3 = c->machine.l3,
	        .peak_flops = c->machine.peak_flops,
	        .bandwidth = c->machine.bandwidth,
	        .key = machine_key(a, &c->machine),
	};
	describe_limits(&c->machine.limits, &d);
	for (int i = 0; targets[i] && d.targets < (int)(sizeof d.target / sizeof *d.target); i++) {
		d.target[d.targets].name = targets[i]->name;
		d.target[d.targets].missing = targets[i]->missing(a);
		d.target[d.targets].compiler = targets[i]->about ? targets[i]->about(a) : NULL;
		if (targets[i]->device)
			d.target[d.targets].device = device_text(a, targets[i], &d.target[d.targets].no_device);
		d.targets++;
	}
	*job->info = d;
	return ATTUNE_OK;
}

enum attune_status attune_device(struct attune_context *c, struct attune_device_info *info,
                                 struct attune_error *error)
{
	return runtime_try(describe_device, &(struct device_job){c, info, false}, error);
}

enum attune_status attune_device_measure(struct attune_context *c, struct attune_device_info *info,
                                         struct attune_error *error)
{
	return runtime_try(describe_device, &(struct device_job){c, info, true}, error);
}
