/* list_test.c: walks that skip by lists and tests of granules mean what the cascade means: predicates over tensors
 * of every kind that lists know, ragged sizes, rows that see nothing, in the tile interpreter and compiled. */
#include <stdio.h>

#include "dsl/parse.h"
#include "tests/stages_c.h"
#include "tests/tap.h"

struct shape {
	int64_t n, m;
	int compiled; /* at this granule; 0: at none */
};

static const struct shape shapes[] = {
        {63, 140, 32}, {90, 63, 64}, {50, 259, 64}, {1, 90, 32}, {5, 0, 32}, {17, 40, 0},
};
static const int64_t granules[] = {32, 64, 128};

#define HEAD                                                                                                 \
	"kernel test\nrank B, H, N, M, D\nin Q[B, H, N, D] : f32\nin K[B, H, M, D] : f32\n"                  \
	"in V[B, H, M, D] : f32\nout O[B, H, N, D] : f32\nout L[B, H, N] : f32\n"
#define TAIL                                                                                                 \
	"\nP, L = softmax[m](S), logsumexp[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h,m,e]\nindex e : D\n"
#define SCORES "S[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] where "
static const struct {
	const char *name, *text;
} cases[] = {
        {"documents", HEAD "in q[B, N] : i32\nin k[B, M] : i32\n" SCORES "q[b,n] == k[b,m]" TAIL},
        {"causal documents of one tensor each",
         HEAD "in q[N] : i32\nin k[M] : i32\n" SCORES "q[n] / 8 == k[m] / 8 and m <= n + (M - N)" TAIL},
        {"blocks", HEAD "in Mk[16, 16] : bool\n" SCORES "Mk[n/16, m/32]" TAIL},
        {"odd blocks a head", HEAD "in Mk[H, 40, 40] : bool\n" SCORES "Mk[h, n/5, m/7]" TAIL},
        {"columns switched off", HEAD "in on[B, M] : bool\n" SCORES "on[b,m]" TAIL},
        {"rows switched off", HEAD "in on[B, N] : bool\n" SCORES "on[b,n]" TAIL},
        {"lengths", HEAD "in length[B] : i32\nin from[N] : i32\n" SCORES "m < length[b] and from[n] <= m" TAIL},
        {"windows a head", HEAD "in w[H] : i32\n" SCORES "n - m < w[h] / 8 and m - n < w[h]" TAIL},
        {"every element's own", HEAD "in Mk[B, N, M] : bool\n" SCORES "Mk[b,n,m] or m == 0" TAIL},
        {"a stride and a sink", HEAD SCORES "(n - m) % 5 == 0 and m < 37 or m > 190" TAIL},
        {"thresholds", HEAD "in ks[B, M], qs[B, N] : f32\n" SCORES "qs[b,n] < ks[b,m] + 1.5 and ks[b,m] * 0.5 < 0.4" TAIL},
        {"a threshold an element", HEAD "in gate[N, M] : f32\n" SCORES "gate[n,m] < 0.9 or m == 3" TAIL},
        {"butterflies of names", HEAD "in q[N], k[M] : i32\n" SCORES "xor(q[n] / 16, k[m] / 16) < 2" TAIL},
        {"past the end of the mask", HEAD "in Mk[3, 4] : bool\n" SCORES "Mk[n/16 - 1, m/16 + 1]" TAIL},
};
enum { COUNT = sizeof cases / sizeof *cases };

static struct cascade *bound(struct arena *a, int i, const struct shape *s, struct text *errors)
{
	struct diags d;
	const char *source = cases[i].text;
	diags_init(&d, a, cases[i].name, source, strlen(source));
	struct cascade *c = cascade_parse(a, source, strlen(source), NULL, 0, &d);
	diags_print(&d, errors);
	for (uint32_t k = 0; c && k < c->rank.n; k++)
		if (c->rank.v[k].extent == NOT_BOUND) {
			char r = *c->rank.v[k].name;
			c->rank.v[k].extent = r == 'B' || r == 'H' ? 2 : r == 'N' ? s->n : r == 'M' ? s->m : 8;
		}
	return c;
}

/* The default's streams with that sparsity where it is legal; how many have it. */
static int skip(const struct stages *s, struct schedule *schedule, enum sparsity sparsity, int64_t granule, int form)
{
	int count = 0;
	for (int i = 0; i < schedule->nstreams; i++) {
		struct stream_schedule *d = &schedule->stream[i], before = *d;
		d->sparsity = sparsity;
		d->granule = granule;
		d->stream_tile = form ? granule : 2 * granule;
		d->down = form == 1;
		d->split = form == 2 ? 3 : 0;
		d->row_tile = d->ncontracts ? d->contract[0].rows * (form + 1) : 8;
		if (schedule_illegal(s->arena, s->problem, schedule))
			*d = before;
		else
			count++;
	}
	return count;
}

static bool through(struct stages *s, const struct shape *shape, const struct target *target, int *lists)
{
	struct machine here;
	machine_detect(&here);
	for (int k = 0; k < (int)(sizeof granules / sizeof *granules); k++)
		for (int form = 0; form < 6; form++) {
			if (form < 3 && form != k && form != (k + 1) % 3)
				continue;
			struct schedule schedule = schedule_default(s->problem, form % 2 ? ISA_AVX2 : ISA_AVX512);
			if (form == 5)
				schedule = stages_random(s, ISA_AVX2);
			else if (form > 2)
				skip(s, &schedule, SPARSITY_TEST, granules[k], form % 3);
			else
				*lists += skip(s, &schedule, SPARSITY_LIST, granules[k], form);
			bool compiles = shape->compiled == granules[k] && (form == k || form == 3) && target &&
			                target->supports(schedule.isa) && schedule.isa <= here.isa;
			if (!stages_tried(s, &schedule, compiles ? target : NULL, 2e-5))
				return false;
		}
	return true;
}

static void try_one(int i, const struct shape *shape)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	a.limit = (size_t)2 << 30;
	if (ARENA_TRY(&a, &env)) {
		const struct target *target = target_find("clang");
		struct text errors;
		struct stages s = {0};
		int lists = 0;
		if (target && target->missing(&a))
			target = NULL;
		text_init(&errors, &a);
		struct cascade *c = bound(&a, i, shape, &errors);
		bool good = c && stages_begin(&s, &a, c, 1) && through(&s, shape, target, &lists);
		ok(good && lists, "%s N %d M %d: %d lists mean the same %s%s", cases[i].name, (int)shape->n,
		   (int)shape->m, lists, errors.s ? errors.s : "", s.fault.s ? s.fault.s : "");
	} else {
		ok(false, "%s: memory", cases[i].name);
	}
	arena_free(&a);
}

/* Tasks are taken by what their lists hold, most first: of rows that are unequal, each once. */
static void test_order(void)
{
	static const char text[] = "kernel test\nrank N, M, D\nin Q[N, D] : f32\nin K[M, D] : f32\nin V[M, D] : f32\n"
	                           "in q[N] : i32\nin k[M] : i32\nout O[N, D] : f32\nindex e : D\n"
	                           "S[n,m] = Q[n,d] * K[m,d] where q[n] == k[m]\nP = softmax[m](S)\nO[n,e] = P[n,m] * V[m,e]\n";
	struct arena a;
	arena_init(&a);
	struct diags d;
	struct text why;
	struct stages s = {.arena = &a};
	text_init(&why, &a);
	diags_init(&d, &a, "order", text, strlen(text));
	struct cascade *c = cascade_parse(&a, text, strlen(text), NULL, 0, &d);
	for (uint32_t i = 0; i < c->rank.n; i++)
		c->rank.v[i].extent = *c->rank.v[i].name == 'D' ? 8 : 1024;
	s.problem = problem_new(&a, c, &stages_machine, &d);
	struct schedule schedule = schedule_default(s.problem, ISA_AVX512);
	struct stream_schedule *t = &schedule.stream[0];
	ok(t->sparsity == SPARSITY_LIST && t->heavy_first, "documents are walked by lists, the heavy ones first");
	struct tile_program *p = tile_build(&a, s.problem, &schedule);
	double **tensor = arena_new_array(&a, p->tensor.n, double *), *order = NULL;
	for (uint32_t i = 0; i < p->tensor.n; i++) {
		int64_t n = 1;
		for (int r = 0; r < p->tensor.v[i].nranks; r++)
			n *= p->tensor.v[i].extent[r];
		tensor[i] = arena_new_array(&a, (size_t)n, double);
		for (int64_t k = 0; k < n && (*p->tensor.v[i].name == 'q' || *p->tensor.v[i].name == 'k'); k++)
			tensor[i][k] = k < 160 ? 0 : k < 200 ? (double)k : 1; /* in the middle, documents of one token */
	}
	bool ran = tile_run(&a, p, tensor, false, &why);
	for (uint32_t i = 0; i < p->tensor.n; i++)
		if (!strcmp(p->tensor.v[i].name, "m_order"))
			order = tensor[i];
	int tiles = (int)(1024 / t->row_tile), met = 0, first = 0;
	bool taken[1024] = {false}, sorted = true;
	for (int i = 0; ran && order && i < tiles; i++) {
		int tile = (int)order[i];
		met += tile >= 0 && tile < tiles && !taken[tile];
		taken[tile] = true;
		bool heavy = (tile + 1) * t->row_tile > 200;
		first += heavy && i == first;
		sorted = sorted && (i == 0 || tile > order[i - 1] || i == first);
	}
	ok(ran && met == tiles, "an order takes each of %d tiles of rows once%s", tiles, why.s ? why.s : "");
	ok(first == tiles - 200 / (int)t->row_tile && sorted, "the long document's before the others', in their order");
	arena_free(&a);
}

int main(void)
{
	test_order();
	for (int i = 0; i < COUNT; i++)
		for (int k = 0; k < (int)(sizeof shapes / sizeof *shapes); k++)
			try_one(i, &shapes[k]);
	return tap_done();
}
