/* Expressions: hash-consing, what folds and what must not, printing, walks. */
#include <math.h>
#include <string.h>

#include "dsl/cascade.h"
#include "dsl/dtype.h"
#include "tap.h"

static struct arena arena;
static struct cascade *c;
static struct expr_pool *p;
static uint32_t n, m, N, X, SEG;

static struct expr I(uint32_t i) {
	return expr_leaf(p, OP_INDEX, KIND_INT, i);
} static struct expr num(double x)
{
	return expr_number(p, x);
}
static struct expr read1(uint32_t t, struct expr at)
{
	return expr_read(p, dtype_kind(c->tensor.v[t].dtype), t, 1, &at);
}

static const char *print(struct expr e)
{
	struct text t;
	struct expr_names names = cascade_names(c);
	text_init(&t, &arena);
	expr_print(p, e, &names, &t);
	return t.s;
}

static void prints(struct expr e, const char *expected)
{
	const char *s = print(e);
	if (!ok(!strcmp(s, expected), "prints %s", expected))
		printf("#   got %s\n", s);
}

static void setup(void)
{
	c = cascade_new(&arena, "test");
	p = &c->pool;
	N = cascade_add_rank(c, "N", NOT_BOUND);
	n = cascade_add_index(c, "n", N);
	m = cascade_add_index(c, "m", N);
	struct expr extent = expr_leaf(p, OP_EXTENT, KIND_INT, N);
	X = cascade_add_tensor(
	        c, (struct tensor){.name = "X", .dtype = DTYPE_F32, .nranks = 1, .extent = {extent}});
	SEG = cascade_add_tensor(
	        c, (struct tensor){.name = "seg", .dtype = DTYPE_I32, .nranks = 1, .extent = {extent}});
}

static void folding(void)
{
	struct expr x = read1(X, I(n)), zero = num(0), one = num(1);
	ok(expr_same(expr2(p, OP_ADD, I(n), I(m)), expr2(p, OP_ADD, I(n), I(m))),
	   "equal expressions are one");
	ok(!expr_same(expr2(p, OP_ADD, I(n), I(m)), expr2(p, OP_ADD, I(m), I(n))),
	   "operands keep their order");
	ok(expr_same(expr2(p, OP_ADD, x, zero), x) && expr_same(expr2(p, OP_MUL, one, x), x) &&
	           expr_same(expr2(p, OP_DIV, x, one), x) && expr_same(expr2(p, OP_SUB, x, zero), x),
	   "x + 0, 1 * x, x / 1, x - 0 are x");
	ok(!expr_same(expr2(p, OP_MUL, zero, x), zero), "0 * x stays: x may be inf");
	ok(!expr_same(expr2(p, OP_SUB, x, x), zero), "x - x stays for reals");
	ok(expr_same(expr2(p, OP_SUB, I(n), I(n)), zero), "n - n is 0 for an index");
	ok(expr_same(expr2(p, OP_LE, I(n), I(n)), one) && expr_same(expr2(p, OP_LT, I(n), I(n)), zero),
	   "n <= n and n < n fold");
	struct expr s = read1(SEG, I(n));
	ok(expr_at(p, expr2(p, OP_EQ, s, s))->op == OP_EQ, "a read may be absent, so seg[n] == seg[n] stays");
	ok(expr_at(p, expr2(p, OP_EQ, x, x))->op == OP_EQ, "x == x stays: x may be NaN");
	ok(expr_same(expr1(p, OP_NEG, expr1(p, OP_NEG, x)), x), "--x is x");
	ok(expr_same(expr3(p, OP_SELECT, zero, x, one), one), "select of a constant");
	struct expr b = expr2(p, OP_LT, I(n), I(m));
	ok(expr_same(expr2(p, OP_AND, b, one), b) && expr_same(expr2(p, OP_AND, zero, b), zero) &&
	           expr_same(expr2(p, OP_OR, b, one), one) && expr_same(expr2(p, OP_OR, zero, b), b),
	   "and, or with constants");
	double v;
	ok(expr_is_number(p, expr2(p, OP_DIV, num(1), expr1(p, OP_SQRT, num(64))), &v) && v == 0.125,
	   "1 / sqrt(64) is a number");
	ok(expr_at(p, expr2(p, OP_IDIV, one, zero))->op == OP_IDIV, "1 // 0 is left alone");
	ok(expr_at(p, expr1(p, OP_LOG, num(-1)))->op == OP_LOG, "log(-1), a NaN, is left alone");
	ok(expr_same(expr2(p, OP_SUB, expr2(p, OP_ADD, I(n), one), one), I(n)), "n + 1 - 1 is n");
	ok(expr_at(p, expr2(p, OP_ADD, s, one))->kind == KIND_INT &&
	           expr_at(p, expr2(p, OP_ADD, x, one))->kind == KIND_REAL &&
	           expr_at(p, b)->kind == KIND_BOOL &&
	           expr_at(p, expr3(p, OP_SELECT, b, I(n), x))->kind == KIND_REAL &&
	           expr_at(p, expr3(p, OP_SELECT, b, I(n), num(3)))->kind == KIND_INT &&
	           expr_at(p, expr2(p, OP_DIV, I(n), num(3)))->kind == KIND_REAL,
	   "kinds");
}

static void printing(void)
{
	struct expr a = read1(X, I(n)), b = read1(X, I(m)), q = read1(X, expr2(p, OP_SUB, I(n), num(1)));
	prints(expr2(p, OP_SUB, a, expr2(p, OP_SUB, b, q)), "X[n] - (X[m] - X[n-1])");
	prints(expr2(p, OP_SUB, expr2(p, OP_SUB, a, b), q), "X[n] - X[m] - X[n-1]");
	prints(expr2(p, OP_MUL, expr2(p, OP_ADD, a, b), q), "(X[n] + X[m]) * X[n-1]");
	prints(expr2(p, OP_ADD, a, expr2(p, OP_MUL, b, q)), "X[n] + X[m] * X[n-1]");
	prints(expr2(p, OP_MUL, expr1(p, OP_NEG, a), num(-2)), "-X[n] * -2");
	prints(expr1(p, OP_NEG, expr2(p, OP_MUL, a, b)), "-(X[n] * X[m])");
	prints(read1(X, expr2(p, OP_IDIV, I(n), num(4))), "X[n/4]");
	prints(read1(X, expr2(p, OP_MOD, expr2(p, OP_ADD, I(n), I(m)), num(4))), "X[(n+m)%4]");
	prints(expr2(p, OP_DIV, a, b), "X[n] / X[m]");
	prints(expr2(p, OP_IDIV, expr_leaf(p, OP_EXTENT, KIND_INT, N), num(2)), "N // 2");
	prints(expr2(p, OP_AND, expr2(p, OP_LE, I(m), I(n)),
	             expr2(p, OP_LT, expr2(p, OP_SUB, I(n), I(m)), num(64))),
	       "m <= n and n - m < 64");
	prints(expr2(p, OP_AND, expr2(p, OP_OR, expr2(p, OP_LE, I(m), I(n)), expr2(p, OP_EQ, I(m), num(0))),
	             expr1(p, OP_NOT, expr2(p, OP_EQ, I(m), num(3)))),
	       "(m <= n or m == 0) and not m == 3");
	prints(expr2(p, OP_ELSE, q, num(0)), "(X[n-1] else 0)");
	prints(expr_make(p, OP_CAST, DTYPE_I8, 1, &(struct expr){expr2(p, OP_DIV, a, b).id}),
	       "i8(X[n] / X[m])");
	prints(expr2(p, OP_MAX, a, num(-INFINITY)), "X[n]");
	prints(expr3(p, OP_SELECT, expr2(p, OP_EQ, a, num(-INFINITY)), num(0), a),
	       "select(X[n] == -inf, 0, X[n])");
	prints(num(0.1), "0.1");
}

static void walks(void)
{
	struct expr e = I(n);
	for (int i = 0; i < 40; i++)
		e = expr2(p, OP_MUL, e, e);
	ok(expr_mentions(p, e, OP_INDEX, n) && !expr_mentions(p, e, OP_INDEX, m),
	   "a search of a shared expression");
	struct expr f = expr_substitute(p, e, n, I(m));
	ok(expr_mentions(p, f, OP_INDEX, m) && !expr_mentions(p, f, OP_INDEX, n),
	   "substitution visits a shared node once");
	ok(expr_same(expr_substitute(p, f, m, I(n)), e), "substituting back gives the same id");
	struct expr sum = read1(X, num(0));
	for (int i = 1; i < 200000; i++)
		sum = expr2(p, OP_ADD, sum, read1(X, num(i)));
	ok(expr_mentions(p, sum, OP_READ, X) && !expr_mentions(p, sum, OP_READ, SEG),
	   "a search of a long sum");
	ok(strlen(print(sum)) > 200000, "printing a long sum needs no stack");
	ok(expr_same(expr_substitute(p, read1(X, I(n)), n, num(3)), read1(X, num(3))),
	   "substitution inside a read");
	struct expr before = read1(X, expr2(p, OP_SUB, I(n), num(1)));
	ok(expr_same(expr_substitute(p, before, n, expr2(p, OP_ADD, I(n), num(1))), read1(X, I(n))),
	   "n - 1 for n + 1 is n, and not n + 1 again");
	ok(expr_same(expr_substitute(p, expr1(p, OP_NEG, I(n)), n, expr1(p, OP_NEG, I(n))), I(n)),
	   "-n for -n is n");
}

static void extents(void)
{
	struct expr e = expr2(p, OP_IDIV, expr_leaf(p, OP_EXTENT, KIND_INT, N), num(4));
	int64_t v;
	ok(!cascade_extent(c, e, &v), "an extent over an unbound rank has no value");
	c->rank.v[N].extent = 64;
	ok(cascade_extent(c, e, &v) && v == 16, "N // 4 = 16");
	c->rank.v[N].extent = 65;
	ok(!cascade_extent(c, e, &v), "an inexact division has no value");
	struct expr big = expr_leaf(p, OP_EXTENT, KIND_INT, N);
	for (int i = 0; i < 12; i++)
		big = expr2(p, OP_MUL, big, expr_leaf(p, OP_EXTENT, KIND_INT, N));
	ok(!cascade_extent(c, big, &v), "65^13 leaves int64");
	ok(!strcmp(cascade_fresh_tensor(c, "X"), "X2") && !strcmp(cascade_fresh_tensor(c, "Y"), "Y"),
	   "fresh names");
	struct cascade *copy = cascade_clone(&arena, c);
	ok(expr_same(expr2(&copy->pool, OP_IDIV, expr_leaf(&copy->pool, OP_EXTENT, KIND_INT, N), num(4)), e),
	   "ids keep their meaning in a clone");
	expr_number(&copy->pool, 12345.5);
	ok(copy->pool.node.n == c->pool.node.n + 1, "a clone grows alone");
}

/* Every finite 16 and 8 bit float survives; halfway cases go to even; the ends saturate. */
static void dtypes(void)
{
	static const enum dtype narrow[] = {DTYPE_F16, DTYPE_BF16, DTYPE_F8E4M3, DTYPE_F8E5M2};
	for (int t = 0; t < 4; t++) {
		bool good = true;
		for (uint32_t bits = 0; bits < 1u << dtype_info[narrow[t]].bits; bits++) {
			uint16_t in = (uint16_t)bits, out = 0;
			double x = dtype_load(narrow[t], &in, 0);
			dtype_store(narrow[t], &out, 0, x);
			good &= x != x ? dtype_load(narrow[t], &out, 0) != dtype_load(narrow[t], &out, 0)
			               : out == in;
		}
		ok(good, "every %s reads back", dtype_info[narrow[t]].spelling);
	}
	bool good = true;
	for (uint32_t i = 0; i < 100000; i++) {
		uint32_t bits = i * 2654435769u;
		float f;
		memcpy(&f, &bits, sizeof f);
		if (f == f)
			good &= dtype_round(DTYPE_F32, (double)f) == (double)f;
		double d = (double)f * 1.0000000123;
		if (fabs(d) < 3.4e38)
			good &= dtype_round(DTYPE_F32, d) == (double)(float)d || d != d;
	}
	ok(good, "rounding to f32 is the machine's");
	ok(dtype_round(DTYPE_BF16, 1 + 0x1p-8) == 1 && dtype_round(DTYPE_BF16, 1 + 0x3p-8) == 1 + 0x2p-7,
	   "bf16 halves to even");
	ok(dtype_round(DTYPE_F16, 65520) == 65504 && dtype_round(DTYPE_F16, INFINITY) == INFINITY,
	   "f16 saturates");
	ok(dtype_round(DTYPE_F8E4M3, 1e9) == 448 && dtype_round(DTYPE_F8E4M3, -INFINITY) == -448,
	   "f8e4m3 ends at 448");
	ok(dtype_round(DTYPE_F8E5M2, 1e9) == 57344, "f8e5m2 ends at 57344");
	ok(dtype_round(DTYPE_F16, 0x1p-25) == 0 && dtype_round(DTYPE_F16, 0x1.8p-25) == 0x1p-24,
	   "f16 subnormals");
	ok(dtype_round(DTYPE_I8, 2.5) == 2 && dtype_round(DTYPE_I8, 3.5) == 4 &&
	           dtype_round(DTYPE_I8, 1e9) == 127 && dtype_round(DTYPE_I8, NAN) == 0 &&
	           dtype_round(DTYPE_U8, -3) == 0,
	   "integers: nearest even, saturating, NaN to 0");
	unsigned char nibbles[2] = {0};
	for (int i = 0; i < 4; i++)
		dtype_store(DTYPE_I4, nibbles, i, i * 5 - 8);
	ok(nibbles[0] == 0xd8 && nibbles[1] == 0x72 && dtype_load(DTYPE_I4, nibbles, 1) == -3,
	   "i4: low nibble first");
	int64_t big = 0;
	dtype_store(DTYPE_I64, &big, 0, 1e30);
	ok(big > 0x7ffffffffffff000 && dtype_bytes(DTYPE_I4, 5) == 3, "i64 saturates");
}

int main(void)
{
	jmp_buf env;
	arena_init(&arena);
	if (!ARENA_TRY(&arena, &env))
		return 1;
	setup();
	folding();
	printing();
	walks();
	extents();
	dtypes();
	arena_free(&arena);
	return tap_done();
}
