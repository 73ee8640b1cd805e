/* next_test.c: what generated code asks for before a task touches it. The function that writes it down is
 * called for every task in turn: the rows of a task and all that its walk takes and the one before had not
 * must be in it, and nothing twice that one asking was enough for. */
#include <stdlib.h>
#include <string.h>

#include "codegen/schedule.h"
#include "dsl/dtype.h"
#include "dsl/parse.h"
#include "targets/target.h"
#include "tests/tap.h"

enum { N = 320, HEADS = 2, D = 32, ARGUMENTS = 8, PIECES = 16, WALKS = 4 };

/* As codegen/prelude/next.h has it. */
struct next {
	long n, done, column;
	struct {
		const char *at;
		long bytes, rows, stride;
		int store;
	} piece[PIECES];
	struct {
		const char *base;
		long from, to;
	} walk[WALKS], before[WALKS];
};
typedef void probe(const struct at_args *, long task, struct next *);

#define KERNEL(more, where)                                                                                  \
	"kernel test\nrank B = 1, H, N, M, D\nin Q[B, H, N, D] : f32\nin K[B, H, M, D] : f32\n"              \
	"in V[B, H, M, D] : f32\n" more "out O[B, H, N, D] : f32\nS[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] "     \
	"where " where "\nP = softmax[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h,m,e]\nindex e : D\n"

static const struct {
	const char *name, *text;
	bool once; /* tasks that follow one another walk over ranges that do */
} cases[] = {
        {"causal", KERNEL("", "m <= n"), true},
        {"window", KERNEL("", "m <= n and n - m < 70"), true},
        {"documents", KERNEL("in qdoc[B, N], kdoc[B, M] : i32\n", "qdoc[b,n] == kdoc[b,m] and m <= n"), false},
};
enum { CASES = sizeof cases / sizeof *cases };

struct memory {
	char *data;
	unsigned char *asked; /* one a byte: how often, 255 at most; of rows that are written, 128 and more */
	int64_t bytes, stride[MAX_RANKS];
};

static bool build(struct arena *a, const char *text, enum isa isa, int64_t rows,
                  struct tile_program **program, struct kernel_source *k, struct text *why)
{
	struct machine machine = {.isa = isa, .cores = 2, .l1 = 32 << 10, .l2 = 1 << 20, .l3 = 16 << 20};
	struct diags d;
	diags_init(&d, a, "test", text, strlen(text));
	struct cascade *c = cascade_parse(a, text, strlen(text), NULL, 0, &d);
	for (uint32_t i = 0; c && i < c->rank.n; i++) {
		char rank = *c->rank.v[i].name;
		c->rank.v[i].extent = rank == 'B'   ? 1
		                      : rank == 'H' ? HEADS
		                      : rank == 'D' ? D
		                      : rank == 'N' ? rows
		                                    : N;
	}
	struct problem *p = c ? problem_new(a, c, &machine, &d) : NULL;
	diags_print(&d, why);
	if (!p)
		return false;
	struct schedule s = schedule_default(p, isa);
	*program = tile_build(a, p, &s);
	if (!tile_check(*program, why))
		return false;
	*k = emit_c(a, *program, isa, s.exp_degree);
	return k->text != NULL;
}

static void lay_out(struct arena *a, const struct tile_program *p, struct memory *t, struct at_args *args)
{
	void **data = arena_new_array(a, ARGUMENTS, void *);
	const long **stride = arena_new_array(a, ARGUMENTS, const long *);
	int n = 0;
	for (uint32_t i = 0; i < p->tensor.n; i++) {
		const struct tile_tensor *x = &p->tensor.v[i];
		if (x->place != PLACE_ARGUMENT)
			continue;
		int64_t size = 1;
		for (int r = x->nranks - 1; r >= 0; r--) {
			t[n].stride[r] = size;
			size *= x->extent[r];
		}
		t[n].bytes = dtype_bytes(x->dtype, size);
		t[n].data = arena_alloc(a, (size_t)t[n].bytes);
		t[n].asked = arena_alloc(a, (size_t)t[n].bytes);
		memset(t[n].data, 0, (size_t)t[n].bytes);
		memset(t[n].asked, 0, (size_t)t[n].bytes);
		for (int64_t k = 0; k < size && x->dtype == DTYPE_I32; k++)
			((int32_t *)t[n].data)[k] = (int32_t)(k / 90);
		data[n] = t[n].data;
		stride[n] = (const long *)t[n].stride;
		n++;
	}
	args->data = data;
	args->stride = stride;
}

static void note(const struct next *next, struct memory *t)
{
	for (long i = 0; i < next->n; i++)
		for (long row = 0; row < next->piece[i].rows; row++)
			for (int k = 0; k < ARGUMENTS; k++) {
				const char *at = next->piece[i].at + row * next->piece[i].stride;
				if (!t[k].data || at < t[k].data || at >= t[k].data + t[k].bytes)
					continue;
				for (long b = at - t[k].data, n = b + next->piece[i].bytes;
				     b < n && b < t[k].bytes; b++)
					t[k].asked[b] = (unsigned char)(t[k].asked[b] +
					                                (next->piece[i].store ? 128 : 1));
			}
}

/* Is every byte asked for so often? 0: at least once. */
static bool all_asked(const struct memory *t, int times)
{
	for (int64_t b = 0; b < t->bytes; b++)
		if (times ? t->asked[b] != times : !t->asked[b])
			return false;
	return true;
}

static void one(int number, enum isa isa)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "%s: memory", cases[number].name);
		return;
	}
	enum { Q, K, V };
	struct text why;
	struct tile_program *p = NULL;
	struct kernel_source k;
	struct object object = {0};
	struct memory t[ARGUMENTS] = {{0}};
	struct target_options options = {.isa = isa, .optimise = 1};
	text_init(&why, &a);
	bool good = build(&a, cases[number].text, isa, N, &p, &k, &why);
	const struct kernel_phase *main = good ? &k.phase[k.nphases - 1] : NULL;
	const char *text =
	        good ? arena_printf(
	                       &a,
	                       "%s\nvoid probe(const struct at_args *args, long task, struct at_next *next) "
	                       "{ %s_next(args, task, next); }\n",
	                       k.text, main->symbol)
	             : NULL;
	struct module *m = text && target_clang.compile(text, &options, &object, &why)
	                           ? target_clang.load(&object, &options, &why)
	                           : NULL;
	if (!ok(m, "%s, %s: it is written down %s", cases[number].name, isa_info[isa].name, why.s)) {
		object_free(&object);
		arena_free(&a);
		return;
	}
	ok(strstr(k.text, arena_printf(&a, "%s_next(args, begin, &", main->symbol)),
	   "%s: the first task of a call writes down its own walk", cases[number].name);
	struct at_args args = {.work = aligned_alloc(64, (size_t)k.work_bytes + 64)};
	void *scratch = aligned_alloc(64, (size_t)k.scratch_bytes + 64),
	     *code = target_clang.symbol(m, "probe");
	lay_out(&a, p, t, &args);
	for (int i = 0; i < k.nphases; i++) { /* what tells the last phase its way */
		void *symbol = target_clang.symbol(m, k.phase[i].symbol);
		at_phase *phase;
		memcpy(&phase, &symbol, sizeof phase);
		phase(&args, 0, k.phase[i].tasks, scratch);
	}
	probe *ask;
	memcpy(&ask, &code, sizeof ask);
	struct next next = {0};
	for (long task = 0; task < main->tasks; task++) {
		ask(&args, task, &next);
		note(&next, t);
	}
	int out = cases[number].once ? 3 : 5;
	ok(all_asked(&t[Q], 1), "%s: the rows of every task, once", cases[number].name);
	ok(all_asked(&t[out], 128), "%s: where results go, to be written", cases[number].name);
	ok(all_asked(&t[V], cases[number].once), "%s: what walks take%s", cases[number].name,
	   cases[number].once ? ", once" : "");
	free(args.work);
	free(scratch);
	target_clang.unload(m);
	object_free(&object);
	arena_free(&a);
}

/* Where few rows share what is read, and where there are no vectors, nothing is. */
static void none(enum isa isa, int64_t rows, const char *what)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		struct text why;
		struct tile_program *p;
		struct kernel_source k;
		text_init(&why, &a);
		bool good = build(&a, cases[0].text, isa, rows, &p, &k, &why);
		ok(good && !strstr(k.text, "v_next"), "%s: nothing is asked for %s", what, why.s);
	}
	arena_free(&a);
}

int main(void)
{
	struct machine machine;
	machine_detect(&machine);
	for (int isa = 0; isa < HOST_ISAS; isa++)
		for (int i = 0;
		     i < CASES && isa_info[isa].lanes > 1 && isa_runs_on((enum isa)isa, machine.isa); i++)
			one(i, (enum isa)isa);
	none(ISA_SCALAR, N, "scalar code");
	none(ISA_AVX512, 1, "one row");
	return tap_done();
}
