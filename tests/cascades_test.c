/* cascades_test.c: random cascades × random legal schedules against the oracle, with a shrinker.
 *
 * A cascade is made from a list of genes: every choice takes the next gene, modulo the number of choices, and
 * choice 0 is the plainest. Shrinking sets genes to 0 while the failure stays. Each attempt runs in a child, so
 * that a crash is a failure that shrinks like any other.
 *
 *     cascades_test [COUNT [FIRST SEED]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dsl/parse.h"
#include "tests/stages_c.h"
#include "tests/stages_cuda.h"
#include "tests/tap.h"

enum { GENES = 64, SCHEDULES = 8, TEXT = 16 << 10, SECONDS = 20 };

static char *shared; /* the child's account of itself */
static bool tcc_here, clang_here;
static enum isa best;

struct genes {
	uint8_t v[GENES];
	int at;
};

static int pick(struct genes *g, int n)
{
	return g->at < GENES ? g->v[g->at++] % n : 0;
}

static const char *one_of(struct genes *g, int n, const char *const *among)
{
	return among[pick(g, n)];
}
#define ONE_OF(g, among) one_of((g), (int)(sizeof(among) / sizeof *(among)), (among))

static const char *mask(struct genes *g)
{
	static const char *const masks[] = {
		"m <= n", "m < n", "m <= n + (M - N)", "n - m < 5 and m <= n", "abs(n - m) <= 3", "m/4 <= n/4",
		"(n - m) % 3 == 0", "seg[b,n] == key_seg[b,m]", "m < len[b]", "block[b,m/8]", "m < 2 or n - m < 4",
		"not (m > n)", "m >= n", "m != n", "xor(n, m) % 4 != 1", "slope[h] * (n - m) < 1.5", "min(n, 6) >= m",
		"seg[b,n] == key_seg[b,m] and m <= n", "m == n", "m > N + M", "score[n,m] < 0.5", "2*m <= 3*n + 1"};
	return ONE_OF(g, masks);
}

static void score(struct genes *g, struct text *t)
{
	static const char *const terms[] = {"", " + slope[h] * (m - n)", " + score[n,m]", " + shift[b,h,m]",
	                                    " - 0.1 * abs(n - m)", " + slope[h] * score[n,m]", " * (1 + 0.5 * gate[b,h,n])",
	                                    " + select(m < n, 0.25, gate[b,h,n])"};
	static const char *const wraps[] = {"%s", "2 * tanh((%s) / 2)", "relu(%s)", "(%s) + 0.5", "max(%s, -1)"};
	text_add(t, "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/G,m,d] * 0.3");
	if (pick(g, 4) == 1)
		text_printf(t, " where %s", mask(g));
	const char *const sum = arena_printf(t->arena, "S[b,h,n,m]%s%s", ONE_OF(g, terms), pick(g, 3) ? "" : ONE_OF(g, terms));
	const char *wrap = ONE_OF(g, wraps), *at = strstr(wrap, "%s");
	text_printf(t, "\nT[b,h,n,m] = %.*s%s%s", (int)(at - wrap), wrap, sum, at + 2);
	if (pick(g, 4)) {
		text_printf(t, " where %s", mask(g));
		if (pick(g, 4) == 1)
			text_printf(t, " and (%s)", mask(g));
	}
	text_add(t, "\n");
}

/* P, the weights, from T. */
static void normaliser(struct genes *g, struct text *t)
{
	static const char *const forms[] = {
		"P = softmax[m](T)\n",
		"P[b,h,n,m] = sigmoid(T[b,h,n,m] - 0.5)\n",
		("A[b,h,n] = max[m](T[b,h,n,m])\nX[b,h,n,m] = exp2(T[b,h,n,m] - A[b,h,n])\n"
		 "Z[b,h,n] = sum[m](X[b,h,n,m])\nP[b,h,n,m] = X[b,h,n,m] / Z[b,h,n]\n"),
		"Z[b,h,n] = sum[m](T[b,h,n,m] * T[b,h,n,m])\nP[b,h,n,m] = T[b,h,n,m] / sqrt(Z[b,h,n] + 1)\n",
		"Z[b,h,n] = sum[m](abs(T[b,h,n,m]))\nP[b,h,n,m] = T[b,h,n,m] / max(Z[b,h,n], 1)\n",
		"Z[b,h,n] = sum[m](relu(T[b,h,n,m]))\nP[b,h,n,m] = relu(T[b,h,n,m]) / (1 + Z[b,h,n])\n",
		"Z[b,h,n] = mean[m](T[b,h,n,m])\nP[b,h,n,m] = sigmoid(T[b,h,n,m] - Z[b,h,n])\n",
		"Z[b,h,n] = mean[m](T[b,h,n,m])\nU[b,h,n,m] = T[b,h,n,m] * (1 + 0.1 * Z[b,h,n])\nP = softmax[m](U)\n",
		"Z[b,h,n] = mean[m](T[b,h,n,m])\nP[b,h,n,m] = T[b,h,n,m] - Z[b,h,n]\n",
		"A[b,h,n] = max[m](abs(T[b,h,n,m]))\nP[b,h,n,m] = T[b,h,n,m] / (A[b,h,n] + 1)\n",
		"R = softmax[m](T)\nP = softmax[m](R)\n",
		"P[b,h,n,m] = T[b,h,n,m]\n"};
	text_add(t, ONE_OF(g, forms));
}

static void outputs(struct genes *g, struct text *head, struct text *t)
{
	static const struct {
		const char *declaration, *equation;
	} more[] = {
		{"", ""},
		{"out L[B, H, N] : f32\n", "L = logsumexp[m](T)\n"},
		{"out C[B, H, M] : f32\n", "C[b,h,m] = sum[n](P[b,h,n,m])\n"},
		{"out W[B, H, N] : f32\n", "W[b,h,n] = max[m](P[b,h,n,m])\n"},
		{"out I[B, H, N] : i32\n", "I[b,h,n] = argmax[m](T[b,h,n,m])\n"},
		{"out Y[B, H, N] : f32\n", "Y[b,h,n] = mean[m](T[b,h,n,m])\n"},
		{"out P[B, H, N, M] : f32\n", ""},
		{"out F[B, H, N] : f32\n", "F[b,h,n] = sum[m](P[b,h,n,m] * T[b,h,n,m])\n"},
		{"out O2[B, H, N, E] : f32\n", "O2[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e] * slope[h] * score[n,m]\n"},
		{"out J[B, H, E] : f32\n", "J[b,h,e] = sum[n](O[b,h,n,e])\n"},
		{"out Y[B, H, N] : f32\n", "Y[b,h,n] = sum[e](O[b,h,n,e] * O[b,h,n,e])\n"},
		{"out F[B, H, N] : f32\n", "F[b,h,n] = prod[m](1 + 0.01 * P[b,h,n,m])\n"},
	};
	static const char *const results[] = {
		"O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e]\n", "O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e] * gate[b,h,n]\n",
		"O[b,h,n,e] = sum[m](P[b,h,n,m] * V[b,h/G,m,e] + 0.1)\n",
		"O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e] where n % 3 != 1 else -1\n",
		"O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m + 1,e]\n", "O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,table[m],e]\n"};
	text_add(t, ONE_OF(g, results));
	int k = pick(g, (int)(sizeof more / sizeof *more)), l = pick(g, 3) ? 0 : pick(g, 6);
	text_add(head, more[k].declaration);
	text_add(t, more[k].equation);
	if (l != k && !(k == 10 && l == 5)) {
		text_add(head, more[l].declaration);
		text_add(t, more[l].equation);
	}
}

/* Programs that are not one attention: %1 is replaced by a predicate over n and m. */
static void others(struct genes *g, struct text *head, struct text *t)
{
	static const struct {
		const char *declaration, *equations;
	} all[] = {
		/* differential attention: two softmaxes in one stream */
		{"in Q2[B, H, N, D] : f32\n",
		 "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/G,m,d] * 0.3 where %\n"
		 "T[b,h,n,m] = Q2[b,h,n,d] * K[b,h/G,m,d] * 0.2 where m <= n + 2\n"
		 "P = softmax[m](S)\nR = softmax[m](T)\n"
		 "O[b,h,n,e] = sum[m]((P[b,h,n,m] - 0.4 * R[b,h,n,m]) * V[b,h/G,m,e])\n"},
		/* keys through a table, and shifted */
		{"", "S[b,h,n,m] = sum[d](Q[b,h,n,d] * K[b,h/G,table[m],d])\nP = softmax[m](S)\n"
		     "O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,table[m],e]\n"},
		{"", "S[b,h,n,m] = sum[d](Q[b,h,n,d] * K[b,h/G,m - 1,d]) where %\nP = softmax[m](S)\n"
		     "O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e]\n"},
		{"", "X[b,h,m,d] = 0.5 * K[b,h/G,m,d] + 0.5 * (K[b,h/G,m - 1,d] else 0)\n"
		     "S[b,h,n,m] = Q[b,h,n,d] * X[b,h,m,d] where %\nP = softmax[m](S)\n"
		     "O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e]\n"},
		/* norms before a product */
		{"in W[D, E] : f32\n", "X = layernorm[d](Q)\nO[b,h,n,e] = X[b,h,n,d] * W[d,e]\n"},
		{"in W[D, E] : f32\n", "X = rmsnorm[d](Q)\nO[b,h,n,e] = sum[d](X[b,h,n,d] * W[d,e]) + gate[b,h,n]\n"},
		{"in W[D, E] : f32\n", "X = l2norm[d](Q)\nO[b,h,n,e] = relu(sum[d](X[b,h,n,d] * W[d,e]))\n"},
		/* the backward of attention from saved row scalars: streams over keys and over queries */
		{"in L[B, H, N] : f32\nin dO[B, H, N, E] : f32\nin Y[B, H, N, E] : f32\nout dV[B, H, M, E] : f32\n"
		 "out dK[B, H, M, D] : f32\nout dQ[B, H, N, D] : f32\n",
		 "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/G,m,d] * 0.3 where %\n"
		 "P[b,h,n,m] = exp(S[b,h,n,m] - L[b,h,n])\n"
		 "O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e]\n"
		 "Dl[b,h,n] = dO[b,h,n,e] * Y[b,h,n,e]\ndP[b,h,n,m] = dO[b,h,n,e] * V[b,h/G,m,e]\n"
		 "dS[b,h,n,m] = P[b,h,n,m] * (dP[b,h,n,m] - Dl[b,h,n])\ndV[b,h,m,e] = P[b,h,n,m] * dO[b,h,n,e]\n"
		 "dQ[b,h,n,d] = dS[b,h,n,m] * K[b,h/G,m,d]\ndK[b,h,m,d] = dS[b,h,n,m] * Q[b,h,n,d]\n"},
		/* reductions over several indices, results with few ranks or none */
		{"out C[B] : f32\nout W[] : f32\n",
		 "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/G,m,d] * 0.3 where %\nC[b] = max[h,n,m](S[b,h,n,m])\n"
		 "W = sum[b,h,n,m](sigmoid(S[b,h,n,m]))\nO[b,h,n,e] = sigmoid(S[b,h,n,m]) * V[b,h/G,m,e]\n"},
		{"out C[B, H] : f32\n", "C[b,h] = sum[n,m](score[n,m] * gate[b,h,n]) where %\n"
		                          "O[b,h,n,e] = V[b,h/G,m,e] * score[n,m] * C[b,h]\n"},
		/* linear attention without a mask: a matrix is carried */
		{"", "X[b,h,m,d] = exp(0.3 * K[b,h/G,m,d])\nA[b,h,d,e] = X[b,h,m,d] * V[b,h/G,m,e]\n"
		     "Z[b,h,d] = sum[m](X[b,h,m,d])\n"
		     "O[b,h,n,e] = sum[d](relu(Q[b,h,n,d]) * A[b,h,d,e]) / (1 + sum[d](relu(Q[b,h,n,d]) * Z[b,h,d]))\n"},
		/* a gather of rows, casts, a convolution */
		{"", "O[b,h,n,e] = V[b,h/G,table[seg[b,n]],e] * gate[b,h,n]\n"},
		{"in W[D, E] : f32\n", "O[b,h,n,e] = sum[d](Q[b,h,n + d - 2,d] * W[d,e])\n"},
		{"out I[B, H, N, D] : i8\n", "A[b,h,n] = max[d](abs(Q[b,h,n,d]))\n"
		                               "I[b,h,n,d] = i8(round(Q[b,h,n,d] / (A[b,h,n] + 1) * 100))\n"
		                               "O[b,h,n,e] = A[b,h,n] * gate[b,h,n] * V[b,h/G,m,e]\n"},
		/* a second stream reads a finished output; any and all */
		{"out C[B, H, M] : f32\nout F[B, H, N] : f32\n",
		 "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/G,m,d] * 0.3 where %\nP = softmax[m](S)\n"
		 "O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e]\nC[b,h,m] = sum[n](P[b,h,n,m] * gate[b,h,n])\n"
		 "A[b,h,n] = sum[m](C[b,h,m] * P[b,h,n,m])\n"
		 "F[b,h,n] = select(any[m](S[b,h,n,m] > 0.5), 1, A[b,h,n]) + select(all[m](S[b,h,n,m] < 2), 2, 0)\n"},
		/* other layouts: keys transposed, heads inside, a result with its ranks turned */
		{"in KT[B, D, M] : f32\nin VH[B, M, H, E] : f32\nout R[N, E, B] : f32\n",
		 "S[b,h,n,m] = Q[b,h,n,d] * KT[b,d,m] * 0.3 where %\nP = softmax[m](S)\n"
		 "O[b,h,n,e] = P[b,h,n,m] * VH[b,m,h,e]\nR[n,e,b] = sum[h](O[b,h,n,e])\n"},
		/* two indices on one rank */
		{"index j : N\n", "S[b,h,n,j] = Q[b,h,n,d] * Q[b,h,j,d] where j <= n and n - j < 9\nP = softmax[j](S)\n"
		                   "O[b,h,n,e] = sum[j](P[b,h,n,j] * gate[b,h,j]) * V[b,h/G,0,e]\n"},
		/* sums over heads; a maximum over heads before the normaliser */
		{"out R[B, N, E] : f32\n",
		 "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/G,m,d] * 0.3 where %\nP = softmax[m](S)\n"
		 "O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e]\nR[b,n,e] = sum[h,m](P[b,h,n,m] * V[b,h/G,m,e])\n"},
		{"", "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/G,m,d] * 0.3 where %\nT[b,n,m] = max[h](S[b,h,n,m])\n"
		     "P = softmax[m](T)\nO[b,h,n,e] = P[b,n,m] * V[b,h/G,m,e] * slope[h]\n"},
		/* pooled keys choose which blocks are seen */
		{"index j : M\nout C[B, H, M, D] : f32\n",
		 "C[b,h,j,d] = mean[m](K[b,h/G,m,d]) where m/4 == j\n"
		 "T[b,h,n,j] = Q[b,h,n,d] * C[b,h,j,d]\n"
		 "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/G,m,d] * 0.3 where m <= n\n"
		 "P[b,h,n,m] = sigmoid(S[b,h,n,m]) * select(T[b,h,n,m/4] > 0.1, 1, 0.5)\n"
		 "O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e]\n"},
		/* a softmax over queries */
		{"", "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/G,m,d] * 0.3 where %\nP = softmax[n](S)\n"
		     "O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e]\n"},
		/* minima, products, ranges */
		{"out C[B, H, N] : f32\nout W[B, H, N] : f32\n",
		 "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/G,m,d] * 0.3 where %\nC[b,h,n] = min[m](S[b,h,n,m])\n"
		 "A[b,h,n] = max[m](S[b,h,n,m])\n"
		 "P[b,h,n,m] = (S[b,h,n,m] - C[b,h,n]) / (A[b,h,n] - C[b,h,n] + 1)\n"
		 "O[b,h,n,e] = P[b,h,n,m] * V[b,h/G,m,e]\nW[b,h,n] = prod[e](1 + 0.1 * O[b,h,n,e])\n"},
		/* pooling without any product */
		{"out C[B, H] : f32\n", "A[b,h,n] = max[d](Q[b,h,n,d]) - mean[d](Q[b,h,n,d])\nC[b,h] = max[n](A[b,h,n])\n"
		                         "O[b,h,n,e] = A[b,h,n] * max[m](V[b,h/G,m,e])\n"},
	};
	int k = pick(g, (int)(sizeof all / sizeof *all));
	text_add(head, all[k].declaration);
	for (const char *s = all[k].equations; *s; s++)
		if (*s == '%')
			text_add(t, mask(g));
		else
			text_char(t, *s);
}

/* f32 as f64, everywhere. */
static void widen(char *s)
{
	while ((s = strstr(s, "f32")) != NULL)
		memcpy(s, "f64", 3);
}

static const char *source(struct arena *a, struct genes *g)
{
	static const int lengths[] = {5, 1, 2, 7, 16, 17, 33, 40, 0, 70}, widths[] = {4, 1, 8, 16, 20, 24};
	struct text head, body;
	text_init(&head, a);
	text_init(&body, a);
	g->at = 0;
	int groups = 1 + pick(g, 2), n = lengths[pick(g, 10)], m = lengths[pick(g, 10)];
	bool wide = pick(g, 8) == 1;
	text_printf(&head, "kernel made_up\nrank B = %d, H = %d, N = %d, M = %d, D = %d, E = %d\nparam G = %d\n",
	            1 + pick(g, 2), groups * (1 + pick(g, 2)), n, m, widths[pick(g, 6)], widths[pick(g, 6)], groups);
	text_printf(&head, "in Q[B, H, N, D] : f32\nin K[B, H/G, M, D] : %s\nin V[B, H/G, M, E] : %s\n",
	            pick(g, 2) ? "bf16" : "f32", pick(g, 2) ? "f16" : "f32");
	text_add(&head, "in slope[H] : f32\nin score[N, M] : f32\nin shift[B, H, M] : f32\nin gate[B, H, N] : f32\n"
	                "in seg[B, N] : i32\nin key_seg[B, M] : i32\nin len[B] : i32\nin block[B, M] : bool\n"
	                "in table[M] : i32\nout O[B, H, N, E] : f32\n");
	if (pick(g, 3) == 1) {
		others(g, &head, &body);
	} else {
		score(g, &body);
		normaliser(g, &body);
		outputs(g, &head, &body);
	}
	text_add(&head, body.s);
	if (wide)
		widen(head.s);
	return head.s;
}

/* As C: the scalar form by libtcc, now and then a vector form by Clang; as kernels under the emulator. */
static bool compiled(struct stages *s, const struct schedule *schedule, uint64_t turn)
{
	bool clang = schedule->isa != ISA_SCALAR || turn % 8 == 0;
	const struct target *target = clang ? &target_clang : &target_tcc;
	if (isa_is_device(schedule->isa))
		/* Each operand's rounding to bf16 is up to 2e-3 of it; sums whose terms cancel are off by more. */
		return !tcc_here || stages_cuda(s, turn % 4 == 0, (enum emulate_order)(turn % EMULATE_ORDERS), 1e-2);
	double bound = schedule->compute == DTYPE_F64 ? 1e-7 : 1e-3;
	if (clang ? !clang_here || turn % 8 || schedule->isa > best : !tcc_here)
		return true;
	return stages_target(s, schedule, target, bound);
}

/* Through all stages; false with what went wrong in `fault`. */
static bool attempt_here(struct genes *g, uint64_t seed, char *fault)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	a.limit = (size_t)1 << 30;
	if (!ARENA_TRY(&a, &env)) {
		snprintf(fault, TEXT, "out of memory");
		return false;
	}
	const char *text = source(&a, g);
	struct diags d;
	diags_init(&d, &a, "made_up.att", text, strlen(text));
	struct cascade *c = cascade_parse(&a, text, strlen(text), NULL, 0, &d);
	if (!c) {
		struct text errors;
		text_init(&errors, &a);
		diags_print(&d, &errors);
		snprintf(fault, TEXT, "parse: %s", errors.s);
		return false;
	}
	struct stages s;
	bool good = stages_begin(&s, &a, c, seed);
	for (int i = 0; good && i < SCHEDULES; i++) {
		struct schedule schedule = i == 0   ? schedule_default(s.problem, ISA_AVX512)
		                           : i == 1 ? schedule_naive(s.problem, ISA_SCALAR)
		                           : i == 3 ? schedule_default(s.problem, ISA_SM80)
		                                    : stages_random(&s, (enum isa)(i % ISAS));
		if (isa_is_device(schedule.isa) && schedule.compute == DTYPE_F64)
			continue; /* there is none */
		struct text plan;
		text_init(&plan, &a);
		schedule_print(s.problem, &schedule, &plan);
		snprintf(fault, TEXT, "crash or timeout\n%s", plan.s);
		good = stages_schedule(&s, &schedule) && compiled(&s, &schedule, seed + (uint64_t)i);
		if (!good)
			text_printf(&s.fault, "\n%s", plan.s);
	}
	snprintf(fault, TEXT, "%s", s.fault.s);
	arena_free(&a);
	return good;
}


static bool attempt(struct genes *g, uint64_t seed)
{
	snprintf(shared, TEXT, "crash or timeout");
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		alarm(SECONDS);
		_exit(!attempt_here(g, seed, shared));
	}
	int status = 1;
	waitpid(child, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The part of the fault that names the stage. */
static size_t stage_length(const char *fault)
{
	return strcspn(fault, ":\n");
}

static void shrink(struct genes *g, uint64_t seed)
{
	char fault[TEXT];
	snprintf(fault, sizeof fault, "%s", shared);
	for (bool better = true; better;) {
		better = false;
		for (int i = 0; i < GENES; i++) {
			struct genes smaller = *g;
			if (!g->v[i])
				continue;
			smaller.v[i] = 0;
			if (!attempt(&smaller, seed) && stage_length(shared) == stage_length(fault) &&
			    !strncmp(shared, fault, stage_length(fault))) {
				*g = smaller;
				better = true;
			}
		}
	}
	attempt(g, seed);
}

static void comment(const char *text)
{
	for (; *text; text += strcspn(text, "\n") + (text[strcspn(text, "\n")] == '\n'))
		printf("#   %.*s\n", (int)strcspn(text, "\n"), text);
}

static void report(struct genes *g, uint64_t seed)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	printf("# seed %llu, shrunk:\n", (unsigned long long)seed);
	if (ARENA_TRY(&a, &env))
		comment(source(&a, g));
	arena_free(&a);
	printf("#\n");
	comment(shared);
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 100, failed = 0;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	struct arena a;
	struct machine machine;
	arena_init(&a);
	machine_detect(&machine);
	best = machine.isa;
	tcc_here = !target_tcc.missing(&a);
	clang_here = !target_clang.missing(&a);
	arena_free(&a);
	shared = mmap(NULL, TEXT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		ok(false, "memory");
		return tap_done();
	}
	for (int i = 0; i < count && failed < 5; i++) {
		uint64_t seed = first + (uint64_t)i, state = seed;
		struct genes g = {0};
		for (int k = 0; k < GENES; k++)
			g.v[k] = (uint8_t)stages_below(&state, 240);
		if (attempt(&g, seed))
			continue;
		failed++;
		shrink(&g, seed);
		report(&g, seed);
	}
	ok(!failed, "%d made-up cascades agree at every stage on %d schedules each", count, SCHEDULES);
	munmap(shared, TEXT);
	return tap_done();
}
