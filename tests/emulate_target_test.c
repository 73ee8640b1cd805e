/* Target cuda-emulated: its memory, its launches, its messages; several threads at once. */
#include "tests/emulated.h"

#include <pthread.h>
#include <stdio.h>

#include "tests/tap.h"

static const struct target *const t = &target_cuda_emulated;
static struct arena arena;

static const char text[] = "struct at_device_args { void *data[2]; long stride[2]; void *work; };\n"
                           "AT_KERNEL(twice, 64)\n"
                           "{\n"
                           "\tconst unsigned *x = (const unsigned *)AT_ARGS->data[0];\n"
                           "\tunsigned *y = (unsigned *)AT_ARGS->data[1], i = at_block() * 64 + at_thread();\n"
                           "\tat_store_shared_u32(at_shared_base() + 4 * at_thread(), 2 * at_load_u32(x + i));\n"
                           "\tat_barrier();\n"
                           "\tat_store_u32(y + i, at_load_shared_u32(at_shared_base() + 4 * at_thread()));\n"
                           "}\n";

static struct kernel_phase phase[] = {{.symbol = "twice", .tasks = 4, .threads = 64, .shared_bytes = 256},
                                      {.symbol = "twice", .tasks = 5, .threads = 64, .shared_bytes = 256},
                                      {.symbol = "thrice", .tasks = 4, .threads = 64}};
static const struct kernel_source source = {
        .text = text, .nphases = 3, .phase = phase, .device = true, .narguments = 2};

struct args {
	void *data[2];
	int64_t stride[2];
	void *work;
};

static void described(void)
{
	struct machine m;
	struct text why;
	text_init(&why, &arena);
	ok(t->device->machine(&m, &why) && m.isa == ISA_SM80 && m.capability == 80 && m.processors > 0 && m.shared > 0,
	   "the emulated device is described");
	bool host = false;
	for (enum isa i = 0; i < HOST_ISAS; i++)
		host |= t->supports(i);
	ok(t->supports(ISA_SM80) && !host, "it takes texts for devices only, so that nobody gets it unasked");
	ok(target_find("cuda-emulated") == t && !t->missing(&arena), "it is found by name and always there");
	ok(strstr(t->device->prelude, "at_emulator"), "its prelude can be had");
	ok(strstr(t->version(&arena, &emulated_options), "emulated"), "its version: %s",
	   t->version(&arena, &emulated_options));
}

static void messages(void)
{
	struct object object;
	struct text why;
	text_init(&why, &arena);
	ok(!t->compile("struct at_device_args { void *data[1]; };\nAT_KERNEL(k, 32)\n{\n\tnowhere(1);\n}\n",
	               &emulated_options, &object, &why) || !t->load(&object, &emulated_options, &why),
	   "a text that is wrong is not loaded");
	ok(strstr(why.s, "nowhere"), "and the message says what is wrong: %.*s", (int)strcspn(why.s, "\n"), why.s);
	object_free(&object);
	text_init(&why, &arena);
	bool refused = !t->compile("int f(\n;\n", &emulated_options, &object, &why);
	ok(refused && strstr(why.s, "2"), "in a line of its own: %.*s", (int)strcspn(why.s, "\n"), why.s);
}

static bool launch(struct module *m, int which, struct args *args, struct text *why)
{
	return t->device->launch(m, &source, which, args, sizeof *args, NULL, why) && t->device->wait(NULL, why);
}

static void runs(void)
{
	const struct target_device *d = t->device;
	uint32_t x[256], y[256] = {0};
	struct text why;
	text_init(&why, &arena);
	struct module *m = emulated_load(text, &why);
	if (!ok(m, "a text is compiled and loaded")) {
		printf("# %s\n", why.s);
		return;
	}
	struct args args = {{d->allocate(sizeof x, &why), d->allocate(sizeof y, &why)}, {1, 1}, NULL};
	ok(args.data[0] && args.data[1] && (uintptr_t)args.data[0] % 256 == 0, "memory is allocated, aligned to 256");
	for (uint32_t i = 0; i < 256; i++)
		x[i] = i * i;
	bool good = d->copy_in(args.data[0], x, sizeof x, NULL, &why) && launch(m, 0, &args, &why) &&
	            d->copy_out(y, args.data[1], sizeof y, NULL, &why);
	for (uint32_t i = 0; i < 256; i++)
		good &= y[i] == 2 * i * i;
	ok(good, "copied in, launched, copied out %s", why.s);
	bool refused = !launch(m, 1, &args, &why);
	ok(refused && strstr(why.s, "line 6") && strstr(why.s, "of argument 0, which has 1024"),
	   "what a kernel does wrong is told: %.*s", (int)strcspn(why.s, "\n"), why.s);
	text_init(&why, &arena);
	refused = !launch(m, 2, &args, &why);
	ok(refused && strstr(why.s, "thrice"), "so is a kernel that is not there: %s", why.s);
	text_init(&why, &arena);
	refused = !d->copy_out(y, (char *)args.data[1] + 4, sizeof y, NULL, &why);
	ok(refused && why.len, "a copy out of bounds: %s", why.s);
	d->release(args.data[0]);
	text_init(&why, &arena);
	ok(!launch(m, 0, &args, &why) && !d->copy_in(args.data[0], x, 4, NULL, &why),
	   "what was released is out of reach");
	d->release(args.data[1]);
	t->unload(m);
}

/* Each with a kernel of its own, so that none has to wait for another's. */
static void *emulate_many(void *context)
{
	const struct target_device *d = t->device;
	struct arena a;
	struct text why;
	int *bad = context;
	arena_init(&a);
	text_init(&why, &a);
	struct module *m = emulated_load(text, &why);
	struct args args = {{d->allocate(1024, &why), d->allocate(1024, &why)}, {1, 1}, NULL};
	uint32_t x[256], y[256];
	for (uint32_t round = 0; m && round < 50; round++) {
		for (uint32_t i = 0; i < 256; i++)
			x[i] = round + i;
		bool good = d->copy_in(args.data[0], x, sizeof x, NULL, &why) && launch(m, 0, &args, &why) &&
		            d->copy_out(y, args.data[1], sizeof y, NULL, &why);
		for (uint32_t i = 0; i < 256; i++)
			good &= y[i] == 2 * (round + i);
		*bad += !good;
		*bad += launch(m, 1, &args, &why); /* must not go well */
	}
	*bad += !m;
	d->release(args.data[0]);
	d->release(args.data[1]);
	t->unload(m);
	arena_free(&a);
	return NULL;
}

static void threads(void)
{
	enum { N = 4 };
	pthread_t thread[N];
	int bad[N] = {0}, all = 0;
	for (int i = 0; i < N; i++)
		pthread_create(&thread[i], NULL, emulate_many, &bad[i]);
	for (int i = 0; i < N; i++) {
		pthread_join(thread[i], NULL);
		all += bad[i];
	}
	ok(!all, "four threads emulate at once");
}

int main(void)
{
	arena_init(&arena);
	described();
	messages();
	runs();
	threads();
	arena_free(&arena);
	return tap_done();
}
