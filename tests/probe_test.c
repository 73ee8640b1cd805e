/* probe_test.c: the kernels of gpu/probe_kernels.h do under the emulator what gpu/probe.c says primitives
 * mean, and call every primitive there is. On a device `attune check-gpu` holds them against the same. */
#include <stdlib.h>
#include <string.h>

#include "gpu/probe.h"
#include "targets/target.h"
#include "tests/tap.h"

extern const char embed_gpu_probe_kernels_h[];

static const char *const primitives[] = {
#define PRIMITIVE(result, name, parameters, arguments) "at_" #name "(",
#include "codegen/primitives.h"
#undef PRIMITIVE
};

/* The first word that is not as expected; -1: all are. */
static int first_wrong(const struct probe *p, const uint32_t *got, const uint32_t *want)
{
	for (int k = 0; k < p->out; k++)
		if (p->good ? !p->good((uint32_t)k, got[k], want[k]) : got[k] != want[k])
			return k;
	return -1;
}

static void run(const struct target *target, struct module *module, const struct kernel_source *source,
                int phase, uint64_t random)
{
	static uint32_t in[PROBE_WORDS], got[PROBE_WORDS], want[PROBE_WORDS];
	const struct probe *p = &probes[phase];
	const struct target_device *d = target->device;
	struct arena a;
	struct text why;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env))
		abort();
	text_init(&why, &a);
	p->fill(in, &random);
	p->expect(in, want);
	memset(got, 0xff, sizeof got);
	void *data[2] = {d->allocate(sizeof in, &why), d->allocate(sizeof got, &why)};
	int64_t words[] = {(int64_t)(intptr_t)data[0], (int64_t)(intptr_t)data[1], 1, 1, 0};
	bool good = data[0] && data[1] && d->copy_in(data[0], in, sizeof in, NULL, &why) &&
	            d->copy_in(data[1], got, sizeof got, NULL, &why) &&
	            d->launch(module, source, phase, words, sizeof words, NULL, &why) &&
	            d->wait(NULL, &why) && d->copy_out(got, data[1], sizeof got, NULL, &why);
	int k = good ? first_wrong(p, got, want) : 0;
	ok(good && k < 0 && got[p->out] == 0xffffffff, "%s means what it says", p->kernel);
	if (!good)
		printf("# %s\n", why.s);
	else if (k >= 0)
		printf("# word %d is %08x, not %08x\n", k, got[k], want[k]);
	for (int i = 0; i < 2; i++)
		if (data[i])
			d->release(data[i]);
	arena_free(&a);
}

static void run_all(struct arena *a)
{
	const struct target *target = target_find("cuda-emulated");
	struct kernel_source source = probe_source(a);
	struct target_options options = {.isa = ISA_SM80, .optimise = 1, .capability = 80};
	struct object object = {0};
	struct text why;
	text_init(&why, a);
	const char *missing = target ? target->missing(a) : "there is no such target";
	if (missing) {
		tap_skip(missing);
		return;
	}
	struct module *module = NULL;
	ok(target->compile(source.text, &options, &object, &why) &&
	           (module = target->load(&object, &options, &why)),
	   "the probes compile for the emulator");
	if (!module)
		printf("# %s\n", why.s);
	for (int i = 0; i < PROBES && module; i++)
		for (uint64_t seed = 1; seed <= 3; seed++)
			run(target, module, &source, i, seed);
	if (module)
		target->unload(module);
	object_free(&object);
}

int main(void)
{
	struct arena a;
	jmp_buf env;
	for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++)
		ok(strstr(embed_gpu_probe_kernels_h, primitives[i]), "a probe calls %s)", primitives[i]);
	arena_init(&a);
	if (ARENA_TRY(&a, &env))
		run_all(&a);
	else
		ok(false, "there is memory");
	arena_free(&a);
	return tap_done();
}
