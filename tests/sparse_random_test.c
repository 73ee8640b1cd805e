/* sparse_random_test.c: random predicates in whole kernels. What the tile program skips, narrows and calls full, by
 * bounds, by tests and by lists, on ragged sizes and for a device: in the interpreter, compiled and emulated, against
 * the oracle. SEED=n another seed, LONG=1 ten times as many. */
#include <stdlib.h>

#include "tests/stages_c.h"
#include "tests/stages_cuda.h"
#include "tests/tap.h"

enum { KERNELS = 80, SCHEDULES = 6 };

static uint64_t state;
static int below(int n)
{
	return (int)stages_below(&state, (uint32_t)n);
}

#define HEAD                                                                                                          \
	"kernel test\nrank B, H, N, M, D\n"                                                                           \
	"in Q[B, H, N, D], K[B, H, M, D], V[B, H, M, D], qs[B, N], ks[M] : f32\n"                                      \
	"in q[B, N], k[B, M], pair[N, M], len[B], w[H], page[M] : i32\n"                                               \
	"in on[B, M], qon[N], Mk[H, 40, 40], J[B, H, N, 30], rel[H, 400] : bool\n"                                     \
	"out O[B, H, N, D], L[B, H, N] : f32\nindex e : D\n"                                                          \
	"Z[b,m] = sum[d](K[b,0,m,d] * K[b,0,m,d])\n"                                                                   \
	"Y[b,m] = sum[d](log(K[b,1,m,d] + 1.9))\n" /* now and then a NaN */                                           \
	"S[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] where "
#define TAIL "P, L = softmax[m](S), logsumexp[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h,m,e]\n"

/* The %d are small numbers. */
static const char *const leaves[] = {
        "m <= n + (M - N)",
        "n - m < %d",
        "m < %d",
        "2 * m <= n + %d * 3",
        "m / 8 <= n / 8 + %d",
        "abs(n - m) <= %d",
        "(n - m) %% 3 == %d",
        "m %% 16 < %d",
        "m %% 8 == n %% 8",
        "max(n - 20, 0) <= m < min(n + %d, M)",
        "n / 16 == m / 16 + %d",
        "xor(n / 8, m / 8) < %d",
        "xor(n / 4 - m / 4, n / 4 - m / 4 - 1) == 2 * (n / 4 - m / 4) - 1",
        "n * n + m * m < %d * 200",
        "q[b,n] == k[b,m]",
        "k[b,m/16] <= %d",
        "k[b,m-1] == k[b,m]",
        "pair[n,m] < %d",
        "pair[n/4,m/4] != %d",
        "m < len[b]",
        "n - m < w[h]",
        "on[b,m]",
        "qon[n]",
        "Mk[h,n/16,m/8]",
        "Mk[h,n/5,m/7]",
        "J[b,h,n,m/16]",
        "rel[h,m - n + 130]",
        "ks[m] < 0.5",
        "qs[b,n] + 0.25 <= ks[m] * 2",
        "Z[b,m] > %d",
        "exp(ks[m]) > %d * 0.7",
        "tanh(qs[b,n]) < 0.3",
        "k[b,page[m]] == q[b,n]",
        "select(on[b,m], n, m) < %d * 4",
        "Y[b,m] < 2",
        "Y[b,m] <= qs[b,n]",
        "log(ks[m]) < 0.3",
        "sqrt(ks[m]) <= 0.8",
        "1 / ks[m] < 3",
        "ks[m] * qs[b,n] < 0.2",
        "gelu(ks[m]) < 0.1",
        "pow(abs(ks[m]), 1.5) < 1.1",
        "m * 0.3 < n * 0.2 + 0.05 + %d",
        "m * 0.25 <= n * 0.5 - %d",
        "exp2(m - n) < 0.01 * %d",
        "sin(m) < 0.1 * n",
};
enum { LEAVES = sizeof leaves / sizeof *leaves };

static void predicate(struct text *t, int depth)
{
	if (depth == 0 || !below(4)) {
		const char *leaf = leaves[below(LEAVES)];
		text_char(t, '(');
		for (; *leaf; leaf++) {
			if (*leaf != '%')
				text_char(t, *leaf);
			else if (*++leaf == 'd')
				text_printf(t, "%d", below(24));
			else
				text_char(t, '%');
		}
		text_char(t, ')');
		return;
	}
	if (!below(6)) {
		text_add(t, "not (");
		predicate(t, depth - 1);
		text_add(t, ")");
		return;
	}
	text_add(t, "(");
	predicate(t, depth - 1);
	text_add(t, below(2) ? " and " : " or ");
	predicate(t, depth - 1);
	text_add(t, ")");
}

/* Every rank bound, few of it. */
static struct cascade *kernel(struct arena *a, const char *source, struct text *errors)
{
	static const int64_t sizes[] = {1, 5, 17, 63, 70, 130};
	struct diags d;
	diags_init(&d, a, "test", source, strlen(source));
	struct cascade *c = cascade_parse(a, source, strlen(source), NULL, 0, &d);
	diags_print(&d, errors);
	for (uint32_t k = 0; c && k < c->rank.n; k++)
		if (c->rank.v[k].extent == NOT_BOUND) {
			char r = *c->rank.v[k].name;
			c->rank.v[k].extent = r == 'B' || r == 'H' ? 2 : r == 'D' ? 4 : sizes[below(6)];
		}
	return c;
}

/* Skips by that where it is legal, in tiles small enough to tell. */
static void skip(const struct stages *s, struct schedule *schedule, enum sparsity sparsity)
{
	for (int i = 0; i < schedule->nstreams; i++) {
		struct stream_schedule *d = &schedule->stream[i], before = *d;
		d->sparsity = sparsity;
		d->granule = sparsity == SPARSITY_LIST ? 32 : 0;
		d->stream_tile = 32;
		d->split = 0;
		d->down = below(2);
		if (!isa_is_device(schedule->isa))
			d->row_tile = d->ncontracts ? d->contract[0].rows * (1 + below(3)) : 8;
		if (schedule_illegal(s->arena, s->problem, schedule))
			*d = before;
	}
}

static bool compiled(struct stages *s, const struct schedule *schedule)
{
	const struct target *target = target_find(schedule->isa == ISA_SCALAR ? "tcc" : "clang");
	struct machine here;
	if (isa_is_device(schedule->isa))
		return stages_cuda(s, below(2), EMULATE_RANDOM, 2e-5);
	machine_detect(&here);
	return !target || target->missing(s->arena) || schedule->isa > here.isa ||
	       stages_target(s, schedule, target, 2e-5);
}

static bool schedules(struct stages *s)
{
	for (int i = 0; i < SCHEDULES; i++) {
		static const enum sparsity way[SCHEDULES] = {SPARSITY_TEST, SPARSITY_BOUNDS, SPARSITY_LIST,
		                                             SPARSITY_TEST, SPARSITY_BOUNDS, SPARSITY_MASK};
		enum isa vectors = getenv("LONG") && !below(8) ? ISA_AVX512 : ISA_SCALAR;
		struct schedule schedule = schedule_default(s->problem, i == 3 ? ISA_SM80 : vectors);
		if (i == 4)
			schedule = stages_random(s, ISA_AVX512);
		else
			skip(s, &schedule, way[i]);
		if (stages_schedule(s, &schedule) && (i > 3 || compiled(s, &schedule)))
			continue;
		return stages_tell(s, &schedule);
	}
	return true;
}

/* One kernel; false with a reason on the output. */
static bool one(int number)
{
	struct arena a;
	jmp_buf env;
	volatile bool good = false;
	arena_init(&a);
	a.limit = (size_t)1 << 30;
	if (ARENA_TRY(&a, &env)) {
		struct text source, errors;
		struct stages s = {0};
		text_init(&source, &a);
		text_init(&errors, &a);
		text_add(&source, HEAD);
		predicate(&source, below(4));
		text_add(&source, "\n" TAIL);
		struct cascade *c = kernel(&a, source.s, &errors);
		good = c && stages_begin(&s, &a, c, (uint64_t)number) && schedules(&s);
		if (!good) {
			printf("# kernel %d: %s%s\n#   where %s#  ", number, c ? "" : errors.s, s.fault.s ? s.fault.s : "",
			       arena_strndup(&a, source.s + strlen(HEAD), source.len - strlen(HEAD TAIL)));
			for (uint32_t i = 0; c && i < c->rank.n; i++)
				printf(" %s=%d", c->rank.v[i].name, (int)c->rank.v[i].extent);
			printf("\n");
		}
	}
	arena_free(&a);
	return good;
}

/* A NaN is no end of what is compared, wherever in a tile it stands: the tile is neither full nor empty. */
static bool nan_among(struct stages *s, enum isa isa, enum sparsity way, int at)
{
	struct arena a;
	jmp_buf env;
	volatile bool good = false;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		static const char text[] = "kernel test\nrank N, M, D\nin Q[N, D], K[M, D], V[M, D], x[M] : f32\n"
		                           "out O[N, D], L[N] : f32\nindex e : D\n"
		                           "S[n,m] = Q[n,d] * K[m,d] where x[m] < 2 or x[m] > 3\n"
		                           "P, L = softmax[m](S), logsumexp[m](S)\nO[n,e] = P[n,m] * V[m,e]\n";
		enum { N = 24, M = 70, D = 16 };
		struct diags d;
		diags_init(&d, &a, "test", text, strlen(text));
		struct cascade *c = cascade_parse(&a, text, strlen(text), NULL, 0, &d);
		for (uint32_t i = 0; c && i < c->rank.n; i++)
			c->rank.v[i].extent = *c->rank.v[i].name == 'N' ? N : *c->rank.v[i].name == 'M' ? M : D;
		struct oracle_tensor *tensor = c ? arena_new_array(&a, c->tensor.n, struct oracle_tensor) : NULL;
		uint32_t x = c ? cascade_find_tensor(c, "x") : 0;
		if (c) {
			tensor[x] = (struct oracle_tensor){.count = M, .data = arena_new_array(&a, M, double)};
			for (int m = 0; m < M; m++)
				tensor[x].data[m] = m == at ? (double)NAN : m < M / 2 ? 1 : 4;
		}
		good = c && stages_begin_with(s, &a, c, 1, tensor);
		struct schedule schedule = good ? schedule_default(s->problem, isa) : (struct schedule){0};
		if (good)
			skip(s, &schedule, way);
		good = good && ((stages_schedule(s, &schedule) && compiled(s, &schedule)) || stages_tell(s, &schedule));
	}
	arena_free(&a);
	return good;
}

static void nans(void)
{
	static const enum sparsity way[] = {SPARSITY_TEST, SPARSITY_LIST};
	for (enum isa isa = 0; isa < HOST_ISAS; isa++)
		for (int w = 0; w < 2; w++) {
			struct stages s = {0};
			bool good = true;
			for (int at = 2; at < 70 && good; at += 19)
				good = nan_among(&s, isa, way[w], at);
			ok(good, "%s, %s: a NaN among what is compared", isa_info[isa].name, w ? "lists" : "tests");
		}
}

int main(void)
{
	const char *text = getenv("SEED");
	uint64_t seed = text ? strtoull(text, NULL, 10) : 1;
	int kernels = getenv("LONG") ? 10 * KERNELS : KERNELS, good = 0;
	printf("# SEED=%llu\n", (unsigned long long)seed);
	for (int i = 0; i < kernels; i++) {
		state = seed * 1000003 + (uint64_t)i;
		good += one(i);
	}
	ok(good == kernels, "%d random predicates in kernels: all of %d agree with the oracle on %d schedules each", good,
	   kernels, SCHEDULES);
	nans();
	return tap_done();
}
