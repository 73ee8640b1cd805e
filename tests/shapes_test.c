/* shapes_test.c: extents that are no multiple of anything, operands of unlike width, few rows, strides of any kind, and
 * lengths that tensors give: interpreted, and compiled for every ISA that runs here. LONG=1 takes every number of rows
 * and random schedules. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/stages_c.h"
#include "tests/tap.h"

#define BOUND 2e-5

struct shape {
	int n, m, d, e;
};

static const struct shape shapes[] = {
	{13, 77, 24, 24},   {13, 37, 60, 60},   {8, 129, 80, 80},   {14, 33, 96, 96},  {7, 50, 160, 160}, {6, 66, 192, 192},
	{5, 35, 256, 256},  {11, 65, 192, 128}, {10, 18, 64, 256},  {9, 197, 17, 33},  {4, 1, 72, 40},    {50, 7, 20, 100},
	{1, 100, 64, 1},    {2, 31, 1, 64},     {3, 17, 48, 112},
};
static const int rows[] = {1, 2, 3, 5, 7, 12, 13, 16, 19, 25, 31, 33, 47};

#define ATTENTION                                                                                                 \
	"kernel attention\nrank B = 1, H = 2, N, M, D, E\nparam scale = 1/sqrt(D)\nin Q[B,H,N,D] : f32\n"          \
	"in K[B,H,M,D] : f32\nin V[B,H,M,E] : f32\nout O[B,H,N,E] : f32\nS[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] * scale"
#define REST "\nP = softmax[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h,m,e]\n"
static const char full[] = ATTENTION REST, causal[] = ATTENTION " where m <= n + (M - N)" REST;

/* G heads of queries a head of keys; as many keys as a sequence has. */
static const char lengths[] =
        "kernel lengths\nrank B, H = 4, N, M, D, E\nparam G = 2\nparam scale = 1/sqrt(D)\nin Q[B,H,N,D] : f32\n"
        "in K[B,H/G,M,D] : f32\nin V[B,H/G,M,E] : f32\nin length[B] : i32\nout O[B,H,N,E] : f32\nout L[B,H,N] : f32\n"
        "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/G,m,d] * scale where m < length[b] - (N - 1 - n)\n"
        "P, L = softmax[m](S), logsumexp[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e]\n";

static enum isa best;
static bool thorough;

static struct cascade *bound(struct arena *a, const char *source, const struct shape *s, int batch, struct text *errors)
{
	struct diags d;
	text_init(errors, a);
	diags_init(&d, a, "shape", source, strlen(source));
	struct cascade *c = cascade_parse(a, source, strlen(source), NULL, 0, &d);
	diags_print(&d, errors);
	for (uint32_t i = 0; c && i < c->rank.n; i++) {
		char r = *c->rank.v[i].name;
		if (c->rank.v[i].extent == NOT_BOUND)
			c->rank.v[i].extent = r == 'N' ? s->n : r == 'M' ? s->m : r == 'D' ? s->d : r == 'E' ? s->e : batch;
	}
	return c;
}

/* One schedule through the interpreter, where that is asked for, and through C with both kinds of strides. */
static bool everywhere(struct stages *s, const struct schedule *schedule, bool interpret)
{
	const struct target *target = schedule->isa == ISA_SCALAR && !thorough ? &target_tcc : &target_clang;
	struct text reason;
	text_init(&reason, s->arena);
	if (interpret && !stages_schedule(s, schedule))
		return false;
	s->program = tile_build(s->arena, s->problem, schedule);
	if (!tile_check(s->program, &reason))
		return stages_fault(s, "tile check: %s", reason.s);
	for (int turned = 0; turned < 2; turned++) {
		s->turned = turned;
		if (!stages_target(s, schedule, target, BOUND))
			return false;
	}
	return true;
}

static bool at_every_isa(struct stages *s)
{
	for (enum isa isa = ISA_SCALAR; isa < HOST_ISAS; isa++) {
		if (!isa_runs_on(isa, best))
			continue;
		struct schedule schedule = schedule_default(s->problem, isa);
		if (!everywhere(s, &schedule, true))
			return stages_fault(s, " by default for %s", isa_info[isa].name);
		for (int i = 0; i < (thorough ? 3 : 0); i++) {
			schedule = stages_random(s, isa);
			if (everywhere(s, &schedule, false))
				continue;
			text_add(&s->fault, " with\n");
			schedule_print(s->problem, &schedule, &s->fault);
			return false;
		}
	}
	return true;
}

/* What is not random: lengths, where there are any. */
static struct oracle_tensor *inputs_of(struct arena *a, const struct cascade *c, const int *length, int batch)
{
	struct oracle_tensor *inputs = arena_new_array(a, c->tensor.n, struct oracle_tensor);
	if (!length)
		return inputs;
	struct oracle_tensor *given = &inputs[cascade_find_tensor(c, "length")];
	given->count = batch;
	given->data = arena_new_array(a, (size_t)batch, double);
	for (int i = 0; i < batch; i++)
		given->data[i] = length[i];
	return inputs;
}

static void try_one(const char *name, const char *source, const struct shape *shape, const int *length, int batch)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "%s: memory", name);
		arena_free(&a);
		return;
	}
	struct text errors;
	struct stages s = {0};
	text_init(&s.fault, &a);
	struct cascade *c = bound(&a, source, shape, batch, &errors);
	bool good = c && stages_begin_with(&s, &a, c, length ? 6 : 5, inputs_of(&a, c, length, batch));
	int64_t split = good ? schedule_default(s.problem, best).stream[0].split : 0;
	good = good && at_every_isa(&s);
	ok(good, "%s, N %d M %d D %d E %d %s%s", name, shape->n, shape->m, shape->d, shape->e, errors.s, s.fault.s);
	if (length)
		ok((split > 1) == (shape->m >= 4096), "… its walks are cut where they may be long: in %d", (int)split);
	arena_free(&a);
}

static void try_shape(const char *name, const char *source, const struct shape *shape)
{
	try_one(name, source, shape, NULL, 1);
}

/* Nothing, one, all, and what ends anywhere. */
static void try_lengths(const char *name, const struct shape *shape, const int *length, int batch)
{
	try_one(name, lengths, shape, length, batch);
}

int main(void)
{
	static const int few[] = {0, 1, 5000, 100, 4999}, one[] = {5000}, none[] = {0, 0}, beyond[] = {130, 200, 64, 0};
	struct machine machine;
	machine_detect(&machine);
	best = machine.isa;
	thorough = getenv("LONG") != NULL;
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		try_shape(i % 2 ? "causal" : "full", i % 2 ? causal : full, &shapes[i]);
	for (int n = 1; n < 48; n++) {
		bool taken = thorough;
		for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
			taken |= rows[i] == n;
		if (taken)
			try_shape("rows", n % 2 ? full : causal, &(struct shape){n, 50, 24, 40});
	}
	try_lengths("lengths 0, 1, all, 100, all but one", &(struct shape){1, 5000, 16, 24}, few, 5);
	try_lengths("one sequence", &(struct shape){1, 5000, 16, 24}, one, 1);
	try_lengths("nothing", &(struct shape){1, 5000, 8, 8}, none, 2);
	try_lengths("more new tokens than one", &(struct shape){3, 5000, 8, 8}, few, 5);
	try_lengths("short walks, one beyond the keys", &(struct shape){2, 150, 24, 24}, beyond, 4);
	return tap_done();
}
