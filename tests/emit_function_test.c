/* emit_function_test.c: every function of reals in generated code against the definition in doubles: dense in
 * the middle, over all exponents, infinities, NaN, denormals; for every instruction set here. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/schedule.h"
#include "targets/target.h"
#include "tests/tap.h"

enum { SAMPLES = 60000 };

static const struct {
	const char *call; /* in the language, of x */
	enum op op;
	double relative, absolute; /* error allowed: either */
} function[] = {
        {"exp(x)", OP_EXP, 3e-7, 0},
        {"exp2(x)", OP_EXP2, 3e-7, 0},
        {"log(x)", OP_LOG, 3e-7, 0},
        {"log2(x)", OP_LOG2, 4e-7, 0},
        {"sqrt(x)", OP_SQRT, 1e-7, 0},
        {"rsqrt(x)", OP_RSQRT, 3e-7, 0},
        {"tanh(x)", OP_TANH, 4e-7, 0},
        {"sigmoid(x)", OP_SIGMOID, 1e-6, 0},
        {"softplus(x)", OP_SOFTPLUS, 1e-6, 0},
        {"relu(x)", OP_RELU, 0, 0},
        {"gelu(x)", OP_GELU, 4e-6, 1e-14},
        {"silu(x)", OP_SILU, 1e-6, 3e-37},
        {"erf(x)", OP_ERF, 1e-6, 0},
        {"sin(x)", OP_SIN, 3e-7, 0},
        {"cos(x)", OP_COS, 3e-7, 0},
        {"abs(x)", OP_ABS, 0, 0},
        {"sign(x)", OP_SIGN, 0, 0},
        {"floor(x)", OP_FLOOR, 0, 0},
        {"round(x)", OP_ROUND, 0, 0},
        {"pow(x, 2.5)", OP_POW, 3e-7, 0},
        {"min(x, 2.5)", OP_MIN, 0, 0},
        {"max(x, 2.5)", OP_MAX, 0, 0},
};

static uint64_t state = 5;
static uint32_t random_bits(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 32);
}

static float sample(int i)
{
	static const float special[] = {0,        -0.0f,    1,       -1,      INFINITY, -INFINITY, NAN,
	                                FLT_MIN,  -FLT_MIN, 1e-40f,  -1e-40f, FLT_MAX,  -FLT_MAX,  88.7228f,
	                                -87.336f, -103.97f, 0.5f,    1e-20f,  89,       128,       -126,
	                                -149,     -150,     127.99f, 2,       0.25f};
	enum { SPECIAL = sizeof special / sizeof *special };
	if (i < SPECIAL)
		return special[i];
	if (i % 4 == 0) { /* any float */
		union {
			uint32_t u;
			float f;
		} x = {random_bits()};
		return x.f;
	}
	float range = i % 4 == 1 ? 110 : i % 4 == 2 ? 12 : 1.5f;
	return range * ((float)(random_bits() >> 8) / (1 << 23) - 1);
}

/* gelu: the definition cancels far below 0, where generated code does not. silu: exp(-x) is infinite before
 * x / exp(-x) is too small for a float.
 *
 * Right, as far as a float can be: tiny results may be flushed, the largest may be infinite. */
static double error_of(double expected, double got, double absolute)
{
	if (expected == got || (isnan(expected) && isnan(got)) || fabs(expected - got) <= absolute)
		return 0;
	if (fabs(expected) < 1.7e-38 && fabs(got) < 1.7e-38)
		return 0;
	if (fabs(expected) > (double)FLT_MAX * (1 - 1e-6) && fabs(got) > (double)FLT_MAX * (1 - 1e-6))
		return (expected > 0) == (got > 0) ? 0 : (double)INFINITY;
	return fabs(expected - got) / fabs(expected);
}

static const char *build(struct arena *a, const char *call, const struct target *target, enum isa isa,
                         int degree, struct module **module, struct kernel_source *k)
{
	const char *source = arena_printf(a,
	                                  "program f : f32\nindex n : %d\nin X[%d] : f32\nout Y[%d] : "
	                                  "f32\nvalue x[n:%d] : f32\nvalue y[n:%d] : f32\n"
	                                  "phase main\n  x = load X[n]\n  y = map %s\n  store Y[n] = y\n",
	                                  SAMPLES, SAMPLES, SAMPLES, SAMPLES, SAMPLES, call);
	struct diags d;
	struct text why;
	text_init(&why, a);
	diags_init(&d, a, call, source, strlen(source));
	struct tile_program *p = tile_parse(a, source, strlen(source), &d);
	diags_print(&d, &why);
	*module = NULL;
	if (!p || !tile_check(p, &why))
		return why.s;
	*k = emit_c(a, p, isa, degree);
	struct target_options options = {.isa = isa, .optimise = 1};
	struct object object;
	if (!target->compile(k->text, &options, &object, &why))
		return why.s;
	*module = target->load(&object, &options, &why);
	object_free(&object);
	return why.s;
}

static void one(const char *call, enum op op, double allowed, double absolute, const struct target *target,
                enum isa isa, int degree)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "%s: memory", call);
		return;
	}
	struct kernel_source k = {0};
	struct module *module;
	const char *why = build(&a, call, target, isa, degree, &module, &k);
	if (!module) {
		ok(false, "%s by %s: %s", call, target->name, why);
		arena_free(&a);
		return;
	}
	float *x = arena_new_array(&a, SAMPLES, float), *y = arena_new_array(&a, SAMPLES, float);
	for (int i = 0; i < SAMPLES; i++)
		x[i] = sample(i);
	void *scratch = aligned_alloc(64, (size_t)k.scratch_bytes);
	int64_t one_stride = 1;
	struct at_args args = {(void *[]){x, y}, (const int64_t *[]){&one_stride, &one_stride}, NULL};
	union {
		void *data;
		at_phase *code;
	} f = {target->symbol(module, k.phase[0].symbol)};
	f.code(&args, 0, 1, scratch);
	double worst = 0;
	float at = 0;
	for (int i = 0; i < SAMPLES; i++) {
		double error = error_of(op_value(op, (double)x[i], 2.5, 0), (double)y[i], absolute);
		if (!(error <= worst)) {
			worst = error;
			at = x[i];
		}
	}
	ok(worst <= allowed, "%s, degree %d, %s by %s: %.2g at %.9g", call, degree, isa_info[isa].name,
	   target->name, worst, (double)at);
	free(scratch);
	target->unload(module);
	arena_free(&a);
}

int main(void)
{
	struct arena a;
	struct machine machine;
	machine_detect(&machine);
	arena_init(&a);
	for (const struct target *const *t = targets; *t; t++) {
		if ((*t)->missing(&a))
			continue;
		for (enum isa isa = ISA_SCALAR; isa <= machine.isa; isa++) {
			if (!(*t)->supports(isa))
				continue;
			for (size_t i = 0; i < sizeof function / sizeof *function; i++)
				one(function[i].call, function[i].op, function[i].relative,
				    function[i].absolute, *t, isa, 5);
			one("exp(x)", OP_EXP, 3e-4, 0, *t, isa, 3);
			one("exp(x)", OP_EXP, 5e-6, 0, *t, isa, 4);
			one("exp(x)", OP_EXP, 2e-7, 0, *t, isa, 6);
			one("exp2(x)", OP_EXP2, 3e-4, 0, *t, isa, 3);
			one("exp2(x)", OP_EXP2, 5e-6, 0, *t, isa, 4);
			one("exp2(x)", OP_EXP2, 2e-7, 0, *t, isa, 6);
		}
	}
	arena_free(&a);
	return tap_done();
}
