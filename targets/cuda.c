/* cuda.c: device kernels by NVRTC and NVIDIA's driver.
 *
 * An object begins with the cubin, so that CUDA's own tools read it, and goes on with the assembler's log, by
 * which resources are told of a stored object too; how long each is stands at the end. Code can be made and
 * judged where there is no device; what needs one says why not.
 */
#include "targets/target.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "targets/cuda_driver.h"
#include "targets/nvrtc.h"

extern const char embed_codegen_prelude_cuda_device_h[];

/* The end of an object. */
struct trailer {
	uint64_t cubin, log; /* bytes; the log's with its NUL */
	uint64_t capability;
	char magic[16];
};
static const char magic[16] = "attune cubin 1";

static bool read_object(const struct object *o, struct trailer *t)
{
	if (o->size < sizeof *t)
		return false;
	memcpy(t, (const char *)o->bytes + o->size - sizeof *t, sizeof *t);
	uint64_t rest = o->size - sizeof *t;
	return !memcmp(t->magic, magic, sizeof magic) && t->cubin <= rest && t->log == rest - t->cubin &&
	       t->log && t->capability < 1000 && !((const char *)o->bytes)[t->cubin + t->log - 1];
}

static int capability_of(const struct target_options *o, struct arena *a)
{
	struct machine m;
	struct text why;
	text_init(&why, a);
	return o->capability ? o->capability : driver_machine(&m, &why) ? m.capability : 80;
}

static const char *missing(struct arena *a)
{
	struct text why;
	text_init(&why, a);
	return nvrtc_about(&why) ? NULL : why.s;
}

static const char *version(struct arena *a, const struct target_options *o)
{
	struct text t, why;
	char arch[16];
	text_init(&t, a);
	text_init(&why, a);
	const struct nvrtc_about *about = nvrtc_about(&why);
	if (!about || !nvrtc_arch(capability_of(o, a), arch, &why))
		return "no NVRTC";
	text_printf(&t, "NVRTC %d.%d %s ", about->major, about->minor, about->build);
	nvrtc_options(arch, &t);
	return t.s;
}

static const char *about(struct arena *a)
{
	struct text t, why;
	text_init(&t, a);
	text_init(&why, a);
	const struct nvrtc_about *n = nvrtc_about(&why);
	if (!n)
		return NULL;
	text_printf(&t, "NVRTC %d.%d", n->major, n->minor);
	for (int i = 0, told = 0; i < n->archs; i++)
		if (n->arch[i] >= 80)
			text_printf(&t, "%s sm_%d", told++ ? "," : ", for", n->arch[i]);
	text_printf(&t, " (%s)", n->path);
	return t.s;
}

static bool supports(enum isa isa)
{
	return isa == ISA_SM80;
}

static bool compile(const char *source, const struct target_options *o, struct object *object,
                    struct text *diagnostics)
{
	struct nvrtc_made made;
	char arch[16];
	*object = (struct object){0};
	int capability = capability_of(o, diagnostics->arena);
	if (!nvrtc_arch(capability, arch, diagnostics) ||
	    !nvrtc_compile(embed_codegen_prelude_cuda_device_h, source, arch, &made, diagnostics))
		return false;
	struct trailer t = {
	        .cubin = made.size, .log = strlen(made.log) + 1, .capability = (uint64_t)capability};
	memcpy(t.magic, magic, sizeof magic);
	object->size = t.cubin + t.log + sizeof t;
	char *bytes = object->bytes = malloc(object->size);
	if (bytes) {
		memcpy(bytes, made.cubin, t.cubin);
		memcpy(bytes + t.cubin, made.log, t.log);
		memcpy(bytes + t.cubin + t.log, &t, sizeof t);
	} else {
		object->size = 0;
		text_add(diagnostics, "out of memory\n");
	}
	free(made.cubin);
	free(made.log);
	return bytes != NULL;
}

static struct module *load(const struct object *object, const struct target_options *o,
                           struct text *diagnostics)
{
	(void)o;
	struct trailer t;
	if (!read_object(object, &t)) {
		text_add(diagnostics, "not an object of NVRTC's: it does not end as one\n");
		return NULL;
	}
	return driver_load(object->bytes, diagnostics);
}

/* The cubin is asked as well: it is what will run, whatever the log of it said. */
static struct resources *resources(struct arena *a, const struct object *object,
                                   const struct kernel_source *source, const struct target_options *o)
{
	struct trailer t;
	if (!read_object(object, &t))
		return NULL;
	int capability = o->capability ? o->capability : (int)t.capability;
	struct resources *r = resources_of_log(a, (const char *)object->bytes + t.cubin, source, capability);
	for (int i = 0; i < source->nphases; i++) {
		int registers = resources_cubin_registers(object->bytes, t.cubin, r[i].kernel);
		if (registers != r[i].registers && !r[i].reject)
			r[i].reject = arena_printf(a, "the log says %d registers, the cubin %d",
			                           r[i].registers, registers);
	}
	return r;
}

static const struct target_device device = {
        .prelude = embed_codegen_prelude_cuda_device_h,
        .machine = driver_machine,
        .allocate = driver_allocate,
        .release = driver_release,
        .copy_in = driver_copy_in,
        .copy_out = driver_copy_out,
        .launch = driver_launch,
        .wait = driver_wait,
        .mark = driver_mark,
        .between = driver_between,
        .unmark = driver_unmark,
        .resources = resources,
};

const struct target target_cuda = {
        .name = "cuda",
        .missing = missing,
        .version = version,
        .about = about,
        .supports = supports,
        .compile = compile,
        .load = load,
        .symbol = driver_symbol,
        .unload = driver_unload,
        .opened = nvrtc_opened,
        .device = &device,
};
