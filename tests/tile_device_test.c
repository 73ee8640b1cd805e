/* Tile programs in the shape of a device: what `as` means, what is refused, and every example at device schedules
 * with tensors of 16 bits, as real numbers against the oracle and rounded as a device would. */
#include <stdio.h>

#include "dsl/dtype.h"
#include "dsl/parse.h"
#include "tests/stages.h"
#include "tests/plain_examples.h"
#include "tests/tap.h"

/* ---- one product ---- */

/* Names of: the type of B, values' type twice, coordinates of B, type of the operands. */
static const char product[] = "program product : f32\n"
                              "index n : 3\n"
                              "index k : 5\n"
                              "index e : 4\n"
                              "in A[3, 5] : f32\n"
                              "in B[%s] : %s\n"
                              "out O[3, 4] : f32\n"
                              "value a[n:16, k:16] : %s\n"
                              "value o[n:16, e:8] : %s\n"
                              "phase main\n"
                              "  task n by 16\n"
                              "  a = load %s\n"
                              "  o = map 0\n"
                              "  for k by 2 from 0 to 5 down stages 3\n"
                              "    o = contract a, B[%s] over k%s rows n:16 lanes e:1 accumulate\n"
                              "  store O[n,e] = o\n";

static struct tile_program *parse(struct arena *a, const char *s, struct text *errors)
{
	struct diags d;
	diags_init(&d, a, "program.tile", s, strlen(s));
	struct tile_program *p = tile_parse(a, s, strlen(s), &d);
	text_init(errors, a);
	diags_print(&d, errors);
	return p;
}

/* To `bits` bits after the leading one: nearest, half to even or away from zero. Normal numbers only. */
static double rounded(double x, int bits, bool away)
{
	int e;
	frexp(x, &e);
	double units = ldexp(x, bits + 1 - e), whole = floor(fabs(units)), rest = fabs(units) - whole;
	if (rest > 0.5 || (rest == 0.5 && (away || fmod(whole, 2) == 1)))
		whole++;
	return x == 0 ? 0 : copysign(ldexp(whole, e - bits - 1), x);
}

static double as_operand(enum operand_type t, double x)
{
	switch (t) {
	case OPERAND_BF16: return rounded(x, 7, false);
	case OPERAND_F16: return rounded(x, 10, false);
	case OPERAND_TF32: return rounded(x, 10, true);
	default: return x;
	}
}

static void test_product(enum operand_type t, bool turned)
{
	static const char *const types[OPERANDS] = {"f32", "bf16", "f16", "f32", "i8"};
	struct arena a;
	arena_init(&a);
	bool ints = t == OPERAND_I8;
	const char *of = t == OPERAND_COMPUTE ? "" : arena_printf(&a, " as %s", operand_type_name[t]);
	const char *source = arena_printf(&a, product, turned ? "4, 5" : "5, 4", types[t], ints ? "i32" : "f32",
	                                  ints ? "i32" : "f32", ints ? "i32(A[n,k])" : "A[n,k]",
	                                  turned ? "e,k" : "k,e", of);
	struct text errors, once, twice, reason;
	struct tile_program *p = parse(&a, source, &errors);
	text_init(&once, &a);
	text_init(&twice, &a);
	text_init(&reason, &a);
	if (!ok(p && tile_check(p, &reason), "a product as %s%s checks %s%s", operand_type_name[t],
	        turned ? ", turned" : "", errors.s, reason.s)) {
		arena_free(&a);
		return;
	}
	tile_print(p, &once);
	p = parse(&a, once.s, &errors);
	if (p)
		tile_print(p, &twice);
	ok(p && !strcmp(once.s, twice.s) && (!*of || strstr(once.s, arena_printf(&a, "over k%s rows", of))) &&
	           strstr(once.s, " down stages 3\n"),
	   "… prints and parses back");
	double *tensor[3] = {arena_new_array(&a, 15, double), arena_new_array(&a, 20, double),
	                     arena_new_array(&a, 12, double)};
	uint64_t state = 11;
	/* Halves of units in the last place of every type are among them. */
	for (int i = 0; i < 15; i++)
		tensor[0][i] = ints ? (double)stages_below(&state, 256) - 128
		                    : 1 + ldexp((double)stages_below(&state, 4096), -13) * (i % 2 ? 1 : -1);
	for (int i = 0; i < 20; i++)
		tensor[1][i] = ints ? (double)stages_below(&state, 256) - 128
		                    : as_operand(t, 1 + ldexp((double)stages_below(&state, 8), -11));
	for (int round = 0; round < 2; round++) {
		bool ran = p && tile_run(&a, p, tensor, round, &reason), same = ran;
		for (int i = 0; i < 12 && same; i++) {
			double sum = 0;
			for (int k = 4; k >= 0; k--) {
				double y = tensor[1][turned ? i % 4 * 5 + k : k * 4 + i % 4];
				double x = tensor[0][i / 4 * 5 + k];
				sum += round ? as_operand(t, x) * as_operand(t, y) : x * y;
			}
			same = fabs(tensor[2][i] - sum) <= (round && !ints ? 1e-6 : 0);
		}
		ok(same, "… %s", round ? "rounded as its operands are" : "as real numbers");
	}
	arena_free(&a);
}

static void test_refused(void)
{
	static const struct {
		const char *from, *to, *why;
	} bad[] = {
		{"in B[5, 4] : bf16", "in B[5, 4] : f16", "B is f16, where the operands are multiplied in bf16"},
		{"in B[5, 4] : bf16", "in B[5, 4] : f32", "B is f32, where the operands are multiplied in bf16"},
		{" as bf16", " as f16", "B is bf16, where the operands are multiplied in f16"},
		{" as bf16", " as tf32", "B is bf16, where the operands are multiplied in f32"},
		{" as bf16", " as i8", "a is f32, where a contraction as i8 is in i32"},
		{"program product : f32", "program product : f64", "value a is f32, not f64"},
		{"B[k,e]", "B[k,k]", "B is not read at its lanes e and contracted rank k"},
		{"B[k,e]", "B[e,k]", "runs past the extents of B"},
		{" as bf16", " as bf17", "operands are multiplied as compute, bf16, f16, tf32 or i8, not as 'bf17'"},
		{" as bf16", " as", "or i8, not as 'rows'"},
		{"stages 3", "stages 9", "expected a whole number from 0 to 8"},
		{"down stages 3", "stages 3 down", "end of the line"},
	};
	struct arena a;
	arena_init(&a);
	const char *whole = arena_printf(&a, product, "5, 4", "bf16", "f32", "f32", "A[n,k]", "k,e", " as bf16");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct text errors, reason;
		const char *at = strstr(whole, bad[i].from);
		if (!ok(at, "'%s' is in the text", bad[i].from))
			continue;
		const char *s = arena_printf(&a, "%.*s%s%s", (int)(at - whole), whole, bad[i].to, at + strlen(bad[i].from));
		struct tile_program *p = parse(&a, s, &errors);
		text_init(&reason, &a);
		bool good = p ? !tile_check(p, &reason) && strstr(reason.s, bad[i].why) : strstr(errors.s, bad[i].why) != NULL;
		if (!ok(good, "refused: %s", bad[i].why))
			printf("# %s %s\n", errors.s, reason.s);
	}
	arena_free(&a);
}

/* ---- the examples ---- */

struct shape {
	int64_t n, m, d;
};
static const struct shape shapes[] = {{1, 200, 64}, {63, 1, 60}, {63, 200, 60}, {200, 64, 64}};

static int64_t extent_of(const char *rank, const struct shape *s)
{
	switch (*rank) {
	case 'B': return 1;
	case 'H': return 4;
	case 'N':
	case 'T': return s->n;
	case 'M': return s->m;
	default: return s->d;
	}
}

/* The example with every f32 argument of two ranks or more of another type. */
static struct cascade *retyped(struct arena *a, const char *path, const struct shape *shape, const char *type,
                               struct text *errors)
{
	size_t size;
	char *source = stages_file(a, path, &size);
	struct retype types[16];
	struct overrides over = {.type = types};
	struct diags d;
	text_init(errors, a);
	diags_init(&d, a, path, source, size);
	struct cascade *c = cascade_parse(a, source, size, NULL, 0, &d);
	for (uint32_t t = 0; c && t < c->tensor.n; t++) {
		const struct tensor *x = &c->tensor.v[t];
		if (x->role != ROLE_LOCAL && x->dtype == DTYPE_F32 && x->nranks > 1 && over.ntypes < 16)
			types[over.ntypes++] = (struct retype){x->name, type};
	}
	c = c ? cascade_parse_with(a, source, size, &over, &d) : NULL;
	diags_print(&d, errors);
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND)
			c->rank.v[i].extent = extent_of(c->rank.v[i].name, shape);
	return c;
}

/* Every contraction of the default multiplies as the type says. */
static bool multiplies_as(const struct problem *p, const struct schedule *s, enum operand_type t)
{
	bool any = false;
	for (int i = 0; i < s->nstreams; i++)
		for (int k = 0; k < s->stream[i].ncontracts; k++) {
			any = true;
			if (s->stream[i].contract[k].operand != t)
				return false;
		}
	return any || !p->fused_plan[0].ncontracts;
}

/* The program run with all its rounding: within what operands of so many bits allow. */
static bool rounded_near(struct stages *s, double bound)
{
	struct text reason;
	const struct tile_program *p = s->program;
	text_init(&reason, s->arena);
	double **tensor = arena_new_array(s->arena, p->tensor.n, double *);
	for (uint32_t i = 0; i < p->tensor.n && p->tensor.v[i].place == PLACE_ARGUMENT; i++) {
		uint32_t t = cascade_find_tensor(s->cascade, p->tensor.v[i].name);
		tensor[i] = p->tensor.v[i].role == ROLE_IN
		                    ? s->tensor[t].data
		                    : arena_new_array(s->arena, (size_t)s->tensor[t].count, double);
	}
	if (!tile_run(s->arena, p, tensor, true, &reason))
		return stages_fault(s, "rounded run: %s", reason.s);
	for (uint32_t i = 0; i < p->tensor.n; i++) {
		uint32_t t = cascade_find_tensor(s->cascade, p->tensor.v[i].name);
		if (p->tensor.v[i].place != PLACE_ARGUMENT || p->tensor.v[i].role != ROLE_OUT)
			continue;
		double error = stages_apart(s->tensor[t].data, tensor[i], s->tensor[t].count);
		if (!(error <= bound))
			return stages_fault(s, "rounded, %s is off by %g", p->tensor.v[i].name, error);
	}
	return true;
}

static void try_example(const char *path, const struct shape *shape, const char *type, enum operand_type as, double bound)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	a.limit = (size_t)2 << 30;
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "%s: memory", path);
		arena_free(&a);
		return;
	}
	struct text errors;
	struct cascade *c = retyped(&a, path, shape, type, &errors);
	if (!c) {
		ok(false, "%s in %s parses: %s", path, type, errors.s);
		arena_free(&a);
		return;
	}
	struct stages s;
	bool good = stages_begin(&s, &a, c, 5);
	for (int i = 0; good && i < 3; i++) {
		struct schedule schedule = i == 0   ? schedule_default(s.problem, ISA_SM80)
		                           : i == 1 ? schedule_naive(s.problem, ISA_SM80)
		                                    : stages_random(&s, ISA_SM80);
		const char *why = schedule_illegal(&a, s.problem, &schedule);
		good = !why || stages_fault(&s, "not legal: %s", why);
		good = good && (i || multiplies_as(s.problem, &schedule, as) ||
		                stages_fault(&s, "the default does not multiply as %s", operand_type_name[as]));
		good = good && stages_schedule(&s, &schedule) && (i || rounded_near(&s, bound));
		if (!good) {
			schedule_print(s.problem, &schedule, &errors);
			printf("# with the schedule\n%s", errors.s);
		}
	}
	ok(good, "%s in %s, N %d M %d D %d: at device schedules %s", path, type, (int)shape->n, (int)shape->m,
	   (int)shape->d, s.fault.s);
	arena_free(&a);
}

int main(void)
{
	for (int t = 0; t < OPERANDS; t++)
		for (int turned = 0; turned < 2; turned++)
			test_product((enum operand_type)t, turned);
	test_refused();
	for (size_t i = 0; i < PLAIN_EXAMPLES; i++)
		for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
			bool half = (i + k) % 2; /* each type at about half of them */
			/* Of a layer norm's sums most cancels: what rounding an operand does would be left. */
			bool cancels = strstr(plain_example[i], "layernorm") != NULL;
			try_example(plain_example[i], &shapes[k], half ? "f16" : "bf16",
			            cancels ? OPERAND_COMPUTE : half ? OPERAND_F16 : OPERAND_BF16, half ? 4e-3 : 3e-2);
		}
	return tap_done();
}
