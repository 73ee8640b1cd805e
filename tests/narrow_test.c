/* narrow_test.c: contractions of operands narrower than computation on hosts, by every stage: with an ISA's own
 * instructions and where they are emulated, on ragged shapes and random schedules. */
#include "tests/tap.h"
#include "tests/stages_c.h"

#define HEAD                                                                                                     \
	"rank B = 1, H = 4, G = 2, N, M, D, E\nin Q[B,H,N,D] : bf16\nin K[B,G,M,D] : bf16\nin V[B,G,M,E] : bf16\n" \
	"out O[B,H,N,E] : f32\n"
#define TAIL "P = softmax[m](S)\nO[b,h,n,e] = P[b,h,n,m] * V[b,h*G/H,m,e]\n"

static const struct {
	const char *name, *text;
	int contractions; /* narrow ones of the default */
} cases[] = {
        {"full", "kernel full\n" HEAD "S[b,h,n,m] = Q[b,h,n,d] * K[b,h*G/H,m,d] * 0.25\n" TAIL, 2},
        {"causal", "kernel causal\n" HEAD "S[b,h,n,m] = Q[b,h,n,d] * K[b,h*G/H,m,d] / sqrt(D) where m <= n\n" TAIL, 2},
        {"window", "kernel window\n" HEAD
                   "S[b,h,n,m] = Q[b,h,n,d] * K[b,h*G/H,m,d] / 8 where m <= n and n - m < 37\n" TAIL,
         2},
        {"documents",
         "kernel documents\n" HEAD "in a[N] : i32\nin c[M] : i32\n"
         "S[b,h,n,m] = Q[b,h,n,d] * K[b,h*G/H,m,d] where a[n] == c[m] // 4\n" TAIL,
         2},
        {"sigmoid",
         "kernel gate\n" HEAD "S[b,h,n,m] = Q[b,h,n,d] * K[b,h*G/H,m,d]\n"
         "O[b,h,n,e] = sigmoid(S[b,h,n,m] * 0.125 - 4) * V[b,h*G/H,m,e]\n",
         2},
        {"i8 keys of bf16 queries",
         "kernel keys\nrank H = 2, N, M, D, E\nin Q[H,N,D] : bf16\nin K[H,M,D] : i8\nin s[H,M] : f32\nin V[H,M,E] : bf16\n"
         "out O[H,N,E] : bf16\nS[h,n,m] = Q[h,n,d] * K[h,m,d] * s[h,m] * 0.1\nP = softmax[m](S)\n"
         "O[h,n,e] = P[h,n,m] * V[h,m,e]\n",
         2},
        {"i8 queries and keys, scales by row and by key",
         "kernel sage\nrank H = 2, N, M, D, E\nin Q[H,N,D] : i8\nin K[H,M,D] : i8\nin q[H,N] : f32\nin k[H,M] : f32\n"
         "in V[H,M,E] : bf16\nout O[H,N,E] : f32\nS[h,n,m] = Q[h,n,d] * K[h,m,d] * q[h,n] * k[h,m] * 0.05\n"
         "P = softmax[m](S)\nO[h,n,e] = P[h,n,m] * V[h,m,e]\n",
         2},
};

static const int64_t shapes[][4] = {{31, 200, 64, 64}, {70, 131, 33, 24}, {1, 70, 8, 80}, {50, 3, 17, 5}};

static struct cascade *bound(struct arena *a, int i, const int64_t *shape, struct text *why)
{
	static const char *const rank[] = {"N", "M", "D", "E"};
	struct diags d;
	diags_init(&d, a, cases[i].name, cases[i].text, strlen(cases[i].text));
	struct cascade *c = cascade_parse(a, cases[i].text, strlen(cases[i].text), NULL, 0, &d);
	diags_print(&d, why);
	for (uint32_t r = 0; c && r < c->rank.n; r++)
		for (int k = 0; k < 4; k++)
			if (!strcmp(c->rank.v[r].name, rank[k]))
				c->rank.v[r].extent = shape[k];
	return c;
}

/* Every contraction that can be, in the type its operands have; how many. */
static int narrow(const struct stages *s, struct schedule *schedule)
{
	int count = 0;
	for (int i = 0; i < schedule->nstreams; i++) {
		const struct streams *all = problem_streams(s->problem, schedule->form);
		const struct stream_plan *p = schedule_plan(s->problem, schedule, i);
		struct stream_schedule *d = &schedule->stream[i];
		for (int k = 0; k < d->ncontracts; k++) {
			struct contract_schedule before = d->contract[k];
			d->contract[k].operand = operand_default(all, p->stream, &p->contract[k]);
			d->contract[k].pack = true;
			d->contract[k].step = d->contract[k].stages = 0;
			int64_t panel = schedule_panel(p, d, schedule->isa), tile = d->stream_tile;
			d->stream_tile = (tile + panel - 1) / panel * panel;
			if (schedule_illegal(s->arena, s->problem, schedule)) {
				d->contract[k] = before;
				d->stream_tile = tile;
			} else {
				count += operand_group(d->contract[k].operand) > 1;
			}
		}
	}
	return count;
}

static bool through(struct stages *s, const struct target *target, int *contractions)
{
	struct machine here;
	machine_detect(&here);
	enum { RANDOM = 4 };
	for (int i = 0; i < HOST_ISAS + RANDOM; i++) {
		enum isa isa = i < HOST_ISAS ? (enum isa)i : ISA_AVX512_BF16;
		struct schedule schedule = i < HOST_ISAS ? schedule_default(s->problem, isa) : stages_random(s, isa);
		if (i < HOST_ISAS)
			*contractions += narrow(s, &schedule);
		bool compiles = target && target->supports(schedule.isa) && isa_runs_on(schedule.isa, here.isa);
		/* Exponentials are rounded to 8 bits. */
		if (!stages_tried(s, &schedule, compiles ? target : NULL, 5e-3))
			return false;
	}
	return true;
}

static void try_one(int i, const int64_t *shape)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		const struct target *target = target_find("clang");
		struct text why;
		struct stages s = {0};
		int contractions = 0;
		text_init(&why, &a);
		if (target && target->missing(&a))
			target = NULL;
		struct cascade *c = bound(&a, i, shape, &why);
		bool good = c && stages_begin(&s, &a, c, 1) && through(&s, target, &contractions);
		ok(good && contractions == cases[i].contractions * HOST_ISAS,
		   "%s, N %d M %d D %d E %d: %d narrow contractions on all ISAs %s%s", cases[i].name, (int)shape[0],
		   (int)shape[1], (int)shape[2], (int)shape[3], contractions, why.s ? why.s : "", s.fault.s ? s.fault.s : "");
	} else {
		ok(false, "%s: memory", cases[i].name);
	}
	arena_free(&a);
}

/* The default has instructions for it, or leaves it. */
static void test_default(void)
{
	struct arena a;
	arena_init(&a);
	struct text why;
	text_init(&why, &a);
	struct diags d;
	diags_init(&d, &a, "default", "", 0);
	const int64_t large[] = {512, 2048, 64, 64};
	struct cascade *c = bound(&a, 0, large, &why);
	struct problem *p = c ? problem_new(&a, c, &stages_machine, &d) : NULL;
	if (p) {
		struct schedule wide = schedule_default(p, ISA_AVX512_BF16);
		ok(wide.stream[0].contract[0].operand == OPERAND_BF16 && wide.stream[0].contract[1].operand == OPERAND_COMPUTE,
		   "what is computed stays as it is where f32 comes out");
		c->tensor.v[cascade_find_tensor(c, "O")].dtype = DTYPE_BF16;
		p = problem_new(&a, c, &stages_machine, &d);
	}
	if (ok(p, "a problem %s", why.s)) {
		struct schedule has = schedule_default(p, ISA_AVX512_BF16), lacks = schedule_default(p, ISA_AVX512);
		ok(has.stream[0].contract[0].operand == OPERAND_BF16 && has.stream[0].contract[1].operand == OPERAND_BF16 &&
		           lacks.stream[0].contract[0].operand == OPERAND_COMPUTE,
		   "bf16 is multiplied as such where instructions do");
		struct space space;
		space_init(&a, &space, p, ISA_AVX512_BF16);
		int choices = 0;
		for (int i = 0; i < space.dimensions; i++)
			choices += space.dimension[i].field == FIELD_OPERAND;
		ok(choices == 2, "a search may choose otherwise for each contraction");
		has.stream[0].contract[0].pack = false;
		const char *reason = schedule_illegal(&a, p, &has);
		ok(!reason, "bf16 that stands in memory need not be packed: %s", reason ? reason : "legal");
		c = bound(&a, 6, large, &why);
		p = problem_new(&a, c, &stages_machine, &d);
		has = schedule_default(p, ISA_AVX512_BF16);
		has.stream[0].contract[0].pack = false;
		reason = schedule_illegal(&a, p, &has);
		ok(reason && strstr(reason, "what a host multiplies as i8 is packed"), "refused: %s", reason ? reason : "(legal)");
	}
	arena_free(&a);
}

#define PROGRAM(type, panel, read, as)                                                                                \
	"program p : f32\nindex n : 6\nindex m : 64\nindex d : 8\nin Q[6, 8] : bf16\nin K[64, 8] : bf16\n"          \
	"out S[6, 64] : f32\nwork Kp[64, 8] : bf16 " panel "\nvalue k[m:64, d:8] : bf16\nvalue q[n:6, d:8] : " type \
	"\nvalue s[n:6, m:64] : f32\nphase pack\n  k = load K[m,d]\n  store Kp[m,d] = k\nphase main\n"              \
	"  q = load Q[n,d]\n" read "  s = contract q, Kp[m,d] over d" as " rows n:6 lanes m:4\n  store S[n,m] = s\n"

static void test_checks(void)
{
	static const struct {
		const char *text, *reason;
	} wrong[] = {
	        {PROGRAM("bf16", "panel 64 of 0 by 2", "", " as bf16"), ""},
	        {PROGRAM("f32", "panel 64 of 0 by 2", "", " as bf16"), "q is f32, where elements of Kp are bf16 in groups of 2"},
	        {PROGRAM("bf16", "panel 64 of 0", "", " as bf16"), "q is bf16, where computation is in f32"},
	        {PROGRAM("bf16", "panel 64 of 0 by 4", "", " as bf16"), "panels are by 2 of bf16 or by 4 of i8"},
	        {PROGRAM("bf16", "panel 64 of 0 by 2", "", ""), "Kp is in groups, which are multiplied in their own type only"},
	        {PROGRAM("bf16", "panel 64 of 0 by 2", "  s = load Kp[m,2]\n", " as bf16"), "Kp is in groups, which contractions read"},
	        {PROGRAM("bf16", "panel 64 of 0 by 2", "  narrow d by 3 from 3 to 8\n", " as bf16"),
	         "the range of d may begin inside a group of 2 of Kp"},
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct arena a;
		arena_init(&a);
		struct text reason;
		struct diags d;
		text_init(&reason, &a);
		diags_init(&d, &a, "tile", wrong[i].text, strlen(wrong[i].text));
		struct tile_program *p = tile_parse(&a, wrong[i].text, strlen(wrong[i].text), &d);
		diags_print(&d, &reason);
		bool good = p && tile_check(p, &reason);
		ok(*wrong[i].reason ? !good && strstr(reason.s, wrong[i].reason) : good, "%s: %s", good ? "checks" : "refused",
		   reason.s);
		if (good) {
			struct kernel_source device = emit_cuda(&a, p);
			ok(!device.text && device.reason, "on a device: %s", device.reason ? device.reason : "(none)");
		}
		arena_free(&a);
	}
	struct arena a;
	arena_init(&a);
	static const char text[] = PROGRAM("f32", "panel 64 of 0", "", " as bf16");
	struct diags d;
	diags_init(&d, &a, "tile", text, strlen(text));
	struct tile_program *p = tile_parse(&a, text, strlen(text), &d);
	struct kernel_source host = emit_c(&a, p, ISA_AVX512, 5);
	ok(!host.text && host.reason && strstr(host.reason, "takes such an operand in panels of groups"), "on a host: %s",
	   host.reason ? host.reason : "(none)");
	arena_free(&a);
}

int main(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
			try_one((int)i, shapes[k]);
	test_default();
	test_checks();
	return tap_done();
}
