/* emulated_words.h: small hand-written kernels over two arrays of words, under the emulator. */
#ifndef ATTUNE_TESTS_EMULATED_WORDS_H
#define ATTUNE_TESTS_EMULATED_WORDS_H

#include "tests/emulated.h"

static struct arena arena;

enum { WORDS = 4096 };
/* Apart, so that a little past the one is not in the other. */
static struct {
	uint32_t before[WORDS], in[WORDS], between[WORDS], out[WORDS], after[WORDS];
} global;
static uint32_t *const in = global.in, *const out = global.out;

/* A kernel over `in` and `out`, words both. */
struct program {
	const char *what, *body; /* what it says; the kernel's lines from line 2 on */
	int threads;
	int shared;
	long blocks;
};

static const char head[] =
        "struct at_device_args { void *data[2]; long stride[1]; void *work; }; AT_KERNEL(k, 64) { "
        "const unsigned *in = (const unsigned *)AT_ARGS->data[0]; unsigned *out = (unsigned *)AT_ARGS->data[1]; "
        "unsigned thread = at_thread(), s = at_shared_base(); int lane = (int)thread % 32; "
        "(void)in; (void)out; (void)s; (void)lane;\n";

static struct emulate_counts counts; /* of the last one that went well */

static bool run(const struct program *p, enum emulate_order order, struct text *said)
{
	struct {
		void *data[2];
		long stride[1];
		void *work;
	} args = {{in, out}, {0}, NULL};
	struct emulate_memory memory[] = {{in, sizeof global.in, false, "in"}, {out, sizeof global.out, true, "out"}};
	struct text text;
	text_init(&text, &arena);
	text_add(&text, head);
	text_add(&text, p->body);
	text_add(&text, "\n}\n");
	struct module *m = emulated_load(text.s, said);
	if (!m)
		return false;
	struct emulate_launch l = {.name = "k",
	                           .text = text.s,
	                           .kernel = target_cuda_emulated.symbol(m, "k"),
	                           .args = &args,
	                           .args_size = sizeof args,
	                           .blocks = p->blocks ? p->blocks : 1,
	                           .threads = p->threads ? p->threads : 32,
	                           .shared_bytes = p->shared,
	                           .memory = memory,
	                           .memories = 2};
	memset(out, 0xff, sizeof global.out);
	bool good = emulate_run(&l, &(struct emulate_options){.order = order, .seed = 7, .steps = 1 << 20, .counts = &counts}, said);
	target_cuda_emulated.unload(m);
	return good;
}

#endif
