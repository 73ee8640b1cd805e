/* SEP: what separates, into how many terms, and what does not; the canonical form; the proofs of sign. */
#include "codegen/separate.h"
#include "tests/cascade_build.h"
#include "tests/tap.h"

/* r: some carry; z: a carry that is a sum of exponentials; X, W vary along m. */
static const struct {
	const char *text;
	int terms; /* 0: a barrier */
	bool split;
	const char *offender;
} cases[] = {
        {"X[m]", 1, false, NULL},
        {"exp(X[m] - r)", 1, true, NULL},
        {"exp2(3 * (X[m] - r))", 1, true, NULL},
        {"exp(X[m]) / z * W[m]", 1, false, NULL},
        {"exp(X[m] - W[m]) / (z + exp(r))", 1, false, NULL},
        {"X[m] - r", 2, false, NULL},
        {"(X[m] - r) * W[m]", 2, false, NULL},
        {"(X[m] - r) * rsqrt(z) * W[m] + W[m]", 2, false, NULL},
        {"(X[m] - r) * rsqrt(z) + W[m]", 3, false, NULL},
        {"pow(X[m] - r, 2)", 3, false, NULL},
        {"pow(X[m] - r, 3)", 4, false, NULL},
        {"(X[m] - r) * exp(X[m] - r)", 2, true, NULL},
        {"log(exp(X[m]) / z)", 2, false, NULL},
        {"abs(X[m] * r)", 1, false, NULL},
        {"relu(X[m] / z)", 1, false, NULL},
        {"sqrt(exp(X[m]) / z)", 1, false, NULL},
        {"max(X[m] / z, W[m] / z)", 1, false, NULL},
        {"select(m < 3, X[m] * r, W[m])", 2, false, NULL},
        {"select(r < 3, X[m], W[m])", 2, false, NULL},
        {"X[m] * r - r * X[m]", 0, false, ""},
        {"r * X[m] + 2 * r * X[m]", 1, false, NULL},
        {"X[m] * (r + z)", 1, false, NULL},
        {"sigmoid(X[m]) * r", 1, false, NULL},
        {"sigmoid(X[m] - r)", 0, false, "sigmoid(X[m] - r)"},
        {"abs(X[m] - r)", 0, false, "abs(X[m] - r)"},
        {"exp(X[m] * r)", 0, true, "X[m] * r"},
        {"W[m] * tanh(X[m] / z)", 0, false, "tanh(X[m] / z)"},
        {"X[m] / (X[m] + r)", 0, false, "X[m] / (X[m] + r)"},
        {"pow(X[m] - r, 5)", 0, false, "pow(X[m] - r, 5)"},
        {"pow(X[m], r)", 0, false, "pow(X[m], r)"},
        {"select(X[m] < r, X[m], W[m])", 0, false, "X[m] < r"},
        {"relu(X[m] * r)", 0, false, "relu(X[m] * r)"},
        {"i8(X[m] / z)", 0, false, "i8(X[m] / z)"},
        {"pow(X[m] - r, 2) * pow(W[m] - z, 2)", 0, false, NULL},
};

static const struct {
	const char *a, *b;
} equal[] = {
        {"exp(X[m]) / exp(r)", "exp(X[m] - r)"},
        {"1 / exp(log(z))", "1 / z"},
        {"exp2(X[m]) * exp2(-r)", "exp2(X[m] - r)"},
        {"3 * (X[m] - r)", "X[m] * 3 - 3 * r"},
        {"X[m] * W[m] / (W[m] * z)", "X[m] / z"},
        {"sqrt(z) * sqrt(z)", "z"},
        {"rsqrt(z) * z", "sqrt(z)"},
        {"pow(X[m] - r, 2)", "X[m] * X[m] - 2 * X[m] * r + r * r"},
        {"exp(-(r + log(z)))", "exp(-r) / z"},
        {"log(exp(X[m]) * exp(r))", "X[m] + r"},
};

static const char *print(struct build *b, struct expr e)
{
	struct text t;
	struct expr_names names = cascade_names(b->cascade);
	text_init(&t, b->arena);
	if (e.id)
		expr_print(&b->cascade->pool, e, &names, &t);
	return t.s;
}

int main(void)
{
	struct arena a;
	struct build b;
	struct algebra algebra;
	arena_init(&a);
	build_init(&b, &a);
	build_rank(&b, "M", NOT_BOUND);
	build_tensor(&b, ROLE_IN, "X", "M", DTYPE_F32);
	build_tensor(&b, ROLE_IN, "W", "M", DTYPE_F32);
	uint32_t r = build_equation(&b, "r", "", REDUCE_MAX, "m", "X[m]", NULL);
	uint32_t z = build_equation(&b, "z", "", REDUCE_SUM, "m", "exp(X[m])", NULL);
	uint32_t carry[] = {b.cascade->equation.v[r].tensor, b.cascade->equation.v[z].tensor};
	algebra_init(&algebra, b.cascade);
	struct separator s = {
	        .algebra = &algebra, .index = build_find_index(&b, "m", 1), .carry = carry, .carries = 2};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct separation out;
		struct expr e = build_expr(&b, cases[i].text);
		bool good = separate(&s, e, &out);
		bool nothing = cases[i].offender && !*cases[i].offender;
		if (cases[i].terms || nothing) {
			int rank = separate_rank(&s, e);
			ok(good && out.n == cases[i].terms && rank == out.n && out.split == cases[i].split,
			   "%s: %d terms, rank %d", cases[i].text, out.n, rank);
		} else {
			const char *offender = print(&b, out.offender);
			ok(!good && out.why && (!cases[i].offender || !strcmp(offender, cases[i].offender)),
			   "%s: '%s' %s", cases[i].text, offender, out.why);
		}
	}
	s.approx = true;
	struct separation out;
	ok(separate(&s, build_expr(&b, "i8(X[m] / z) * W[m]"), &out) && out.n == 1,
	   "a cast is the identity when asked");
	for (size_t i = 0; i < sizeof equal / sizeof *equal; i++) {
		struct expr x = algebra_canonical(&algebra, build_expr(&b, equal[i].a));
		struct expr y = algebra_canonical(&algebra, build_expr(&b, equal[i].b));
		ok(expr_same(x, y), "%s is %s: %s", equal[i].a, equal[i].b, print(&b, x));
	}
	static const struct {
		const char *text;
		bool positive, nonnegative;
	} signs[] = {
	        {"exp(X[m])", true, true},
	        {"z", true, true},
	        {"r", false, false},
	        {"X[m] * X[m]", false, true},
	        {"abs(r) + 1", true, true},
	        {"max(r, 1)", true, true},
	        {"sqrt(z) / (1 + z)", true, true},
	        {"X[m] - X[m]", false, false},
	        {"relu(X[m])", false, true},
	        {"z - 1", false, false},
	        {"pow(r, 2)", false, true},
	};
	for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
		struct expr e = build_expr(&b, signs[i].text);
		ok(algebra_positive(b.cascade, e, true) == signs[i].positive &&
		           algebra_positive(b.cascade, e, false) == signs[i].nonnegative,
		   "the sign of %s", signs[i].text);
	}
	arena_free(&a);
	return tap_done();
}
