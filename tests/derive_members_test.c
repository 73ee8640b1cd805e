/* derive_members_test.c: reductions over sets as walks over lists, and rows gathered by what they chose: what is made
 * is a plain cascade, which the oracle holds to the original, over random sets: none, some, all; blocks that end
 * short; rows without a member. */
#include <stdlib.h>

#include "tests/stages_c.h"
#include "tests/stages_cuda.h"
#include "tests/tap.h"

struct shape {
	int64_t n, m, d, h;
};

static const struct shape shapes[] = {
        {7, 21, 4, 2}, {1, 33, 3, 4}, {12, 12, 5, 1}, {9, 4, 2, 2}, {3, 1, 1, 1}, {5, 0, 3, 2}, {2, 40, 3, 2},
};

#define ATTENTION "S[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] where "
#define SOFTMAX "\nP, L[b,h,n] = softmax[m](S), logsumexp[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h,m,e]\n"
#define RANKS "kernel test\nrank B, H, N, M, D, E\n"
#define QKV "in Q[B, H, N, D] : f32\nin K[B, H, M, D] : f32\nin V[B, H, M, E] : f32\nout O[B, H, N, E] : f32\n" \
	    "out L[B, H, N] : f32\n"

static const struct {
	const char *name, *text;
	bool members, rows;
} cases[] = {
        {"blocks given as data", RANKS "rank T\n" QKV "in J[B, H, N, T] : bool\n" ATTENTION
                                 "J[b,h,n,m/5] and m <= n + (M - N)" SOFTMAX, true, true},
        {"single keys given as data", RANKS QKV "in J[B, N, M] : bool\n" ATTENTION "J[b,n,m]" SOFTMAX, true, true},
        {"keys that are kept", RANKS QKV "in J[B, M] : bool\n" ATTENTION "not J[b,m] and m <= n" SOFTMAX, true, false},
        {"rows that are on", RANKS QKV "in J[B, H, N] : bool\n" ATTENTION "J[b,h,n] and m >= n" SOFTMAX, false, true},
        {"a group's pages", RANKS "rank T\n" QKV "in J[B, H, T] : bool\n" ATTENTION "J[b,h,m/5]" SOFTMAX, true, false},
        {"the own block beside those chosen",
         RANKS "rank T\n" QKV "in J[B, H, N, T] : bool\n" ATTENTION "(J[b,h,n,m/5] or m/5 == n/5) and m <= n" SOFTMAX,
         true, true},
        {"blocks that top-k chose", RANKS QKV "rank T\n"
         "A[b,h,t,d] = mean[m](K[b,h,m,d]) where m / 5 == t\n"
         "G[b,h,n,t] = Q[b,h,n,d] * A[b,h,t,d] where t < n\n"
         "J[b,h,n,t] = topk[t,2](G)\n" ATTENTION "J[b,h,n,m/5] and m != 3" SOFTMAX, true, true},
        {"moments and an entropy", RANKS "rank T\nin Q[N, D] : f32\nin K[M, D] : f32\nin J[N, T] : bool\nout U[N] : f32\nout R[N] : f32\n"
         "out Y[N] : f32\nout A[N] : bool\nS[n,m] = Q[n,d] * K[m,d] where J[n,m/5]\nP = softmax[m](S)\n"
         "U[n] = -sum[m](P[n,m] * log(P[n,m]))\nW[n] = sum[m](S)\nR[n] = sum[m](pow(S[n,m] - W[n], 2))\n"
         "Y[n] = min[m](S[n,m] * 2 + m)\nA[n] = any[m](S > 1)\n", true, true},
        {"a sum that is cheap", RANKS "in X[N, M] : f32\nin J[N, M] : bool\nout Y[N] : f32\n"
         "S[n,m] = X[n,m] where J[n,m]\nY[n] = sum[m](exp(S))\n", false, false},
        {"rows of some heads", RANKS QKV "in J[B, N, H] : bool\n" ATTENTION "(h == 0 or J[b,n,h-1]) and m <= n" SOFTMAX,
         false, true},
        {"biases of coordinates and blocks", RANKS "rank T\nin X[M, E] : f32\nin Y[N, E] : f32\nin J[N, T] : bool\n"
         "in W[T] : f32\nout Z[N] : f32\nS[n,m] = sum[e](X[m,e] * Y[n,e]) - 0.1 * (n - m) + W[m/5] where J[n,m/5]\n"
         "Z[n] = logsumexp[m](S)\n", true, true},
};

static struct cascade *bound(struct arena *a, const char *source, const struct shape *s, struct text *errors)
{
	struct diags d;
	diags_init(&d, a, "test", source, strlen(source));
	struct cascade *c = cascade_parse(a, source, strlen(source), NULL, 0, &d);
	diags_print(&d, errors);
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND) {
			char r = *c->rank.v[i].name;
			c->rank.v[i].extent = r == 'B'   ? 2
			                      : r == 'H' ? s->h
			                      : r == 'N' ? s->n
			                      : r == 'M' ? s->m
			                      : r == 'T' ? (s->m + 4) / 5
			                                 : s->d;
		}
	return c;
}

/* Bools false, true, or either. */
static void fill(struct stages *s, int sets)
{
	for (uint32_t t = 0; t < s->cascade->tensor.n; t++) {
		if (s->cascade->tensor.v[t].role != ROLE_IN)
			continue;
		stages_fill(s, t);
		for (int64_t i = 0; s->cascade->tensor.v[t].dtype == DTYPE_BOOL && i < s->tensor[t].count; i++)
			s->tensor[t].data[i] = sets < 2 ? sets : stages_below(&s->random, 10) < 3 * (uint32_t)sets - 3;
	}
}

/* The derived cascade, its tile program by the default and by random schedules, and that compiled. */
static bool form(struct stages *s, enum form form, bool wanted, const struct target *target)
{
	const struct streams *streams = problem_streams(s->problem, form);
	struct schedule schedule;
	if (!streams != !wanted)
		return stages_fault(s, "%s: %s", form_name[form], wanted ? "none" : "one that is not possible");
	if (!streams)
		return true;
	if (!stages_derived(s, form_name[form], streams))
		return false;
	schedule = schedule_of_form(s->problem, target == &target_tcc ? ISA_SCALAR : ISA_AVX2, form);
	const char *why = schedule_illegal(s->arena, s->problem, &schedule);
	if (why)
		return stages_fault(s, "%s: %s", form_name[form], why);
	if (!stages_schedule(s, &schedule) || (target && !stages_target(s, &schedule, target, 1e-3)))
		return stages_fault(s, " (%s)", form_name[form]);
	return true;
}

/* The schedule's text, and the form for a device, through the emulator where it has a kernel. */
static bool elsewhere(struct stages *s, enum form form, bool emulate)
{
	struct schedule schedule = schedule_of_form(s->problem, ISA_SM80, form), back;
	struct text once, twice;
	struct diags d;
	text_init(&once, s->arena);
	text_init(&twice, s->arena);
	schedule_print(s->problem, &schedule, &once);
	diags_init(&d, s->arena, "schedule", once.s, once.len);
	if (!schedule_parse(s->problem, once.s, once.len, &back, &d))
		return stages_fault(s, "schedule text: %s", d.list.v[0].message);
	schedule_print(s->problem, &back, &twice);
	if (strcmp(once.s, twice.s))
		return stages_fault(s, "schedule text is printed differently after parsing");
	if (schedule_illegal(s->arena, s->problem, &schedule))
		return true;
	return (stages_schedule(s, &schedule) && (!emulate || stages_cuda(s, false, EMULATE_RANDOM, 1e-3))) ||
	       stages_fault(s, " (%s, on a device)", form_name[form]);
}

static bool text_is_kept(struct stages *s, const struct streams *streams)
{
	struct text once, twice;
	struct diags d;
	text_init(&once, s->arena);
	text_init(&twice, s->arena);
	if (!streams)
		return true;
	streams_print(streams, &once);
	diags_init(&d, s->arena, "streams", once.s, once.len);
	struct streams *back = streams_parse(s->arena, once.s, once.len, &d);
	if (!back)
		return stages_fault(s, "streams' text: line %u: %s", d.list.v[0].line, d.list.v[0].message);
	streams_print(back, &twice);
	return !strcmp(once.s, twice.s) || stages_fault(s, "streams' text is printed differently after parsing");
}

static bool through(int k, int at, int sets, struct text *fault)
{
	struct arena a;
	arena_init(&a);
	struct stages s;
	struct text errors;
	const struct shape *shape = &shapes[at];
	text_init(&errors, &a);
	struct cascade *c = bound(&a, cases[k].text, shape, &errors);
	if (!c) {
		text_add(fault, errors.s);
		arena_free(&a);
		return false;
	}
	struct oracle_tensor *tensor = arena_new_array(&a, c->tensor.n, struct oracle_tensor);
	s = (struct stages){.arena = &a, .cascade = c, .tensor = tensor, .random = (uint64_t)(sets * 100 + k)};
	fill(&s, sets);
	struct machine here;
	machine_detect(&here);
	const struct target *target = (at + k + sets) % 4 ? NULL : &target_tcc;
	if ((at + k + sets) % 12 == 1 && here.isa >= ISA_AVX2 && !target_clang.missing(&a))
		target = &target_clang;
	bool good = stages_begin_with(&s, &a, c, (uint64_t)(sets * 100 + k), tensor) &&
	            form(&s, FORM_MEMBERS, cases[k].members, target) &&
	            form(&s, FORM_ROWS, cases[k].rows, target) &&
	            (!s.problem->members || elsewhere(&s, FORM_MEMBERS, (at + k + sets) % 12 == 3)) &&
	            (!s.problem->rows || elsewhere(&s, FORM_ROWS, (at + k + sets) % 12 == 3)) &&
	            text_is_kept(&s, s.problem->members) && text_is_kept(&s, s.problem->rows);
	for (int i = 0; i < 3 && good; i++) {
		struct schedule schedule = stages_random(&s, ISA_AVX512);
		good = stages_schedule(&s, &schedule);
	}
	if (!good)
		text_printf(fault, "N=%d M=%d sets %d: %s", (int)shape->n, (int)shape->m, sets, s.fault.s);
	arena_free(&a);
	return good;
}

int main(void)
{
	const int ncases = (int)(sizeof cases / sizeof *cases), nshapes = (int)(sizeof shapes / sizeof *shapes);
	for (int k = 0; k < ncases; k++) {
		struct arena a;
		struct text fault;
		arena_init(&a);
		text_init(&fault, &a);
		bool good = true;
		for (int i = 0; i < nshapes && good; i++)
			for (int sets = 0; sets < 4 && good; sets++)
				good = through(k, i, sets, &fault);
		ok(good, "%s%s%s", cases[k].name, good ? "" : ": ", good ? "" : fault.s);
		arena_free(&a);
	}
	return tap_done();
}
