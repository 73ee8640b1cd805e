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
#include "tests/stages.h"
#include "tests/tap.h"

enum { GENES = 64, SCHEDULES = 6, TEXT = 16 << 10, SECONDS = 20 };

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

static const char *source(struct arena *a, struct genes *g)
{
	static const int lengths[] = {5, 1, 2, 7, 16, 17, 33, 40, 0}, widths[] = {4, 1, 8, 16, 20, 24};
	struct text head, body;
	text_init(&head, a);
	text_init(&body, a);
	g->at = 0;
	int groups = 1 + pick(g, 2), n = lengths[pick(g, 9)], m = lengths[pick(g, 9)];
	text_printf(&head, "kernel made_up\nrank B = %d, H = %d, N = %d, M = %d, D = %d, E = %d\nparam G = %d\n",
	            1 + pick(g, 2), groups * (1 + pick(g, 2)), n, m, widths[pick(g, 6)], widths[pick(g, 6)], groups);
	text_printf(&head, "in Q[B, H, N, D] : f32\nin K[B, H/G, M, D] : %s\nin V[B, H/G, M, E] : %s\n",
	            pick(g, 2) ? "bf16" : "f32", pick(g, 2) ? "f16" : "f32");
	text_add(&head, "in slope[H] : f32\nin score[N, M] : f32\nin shift[B, H, M] : f32\nin gate[B, H, N] : f32\n"
	                "in seg[B, N] : i32\nin key_seg[B, M] : i32\nin len[B] : i32\nin block[B, M] : bool\n"
	                "in table[M] : i32\nout O[B, H, N, E] : f32\n");
	score(g, &body);
	normaliser(g, &body);
	outputs(g, &head, &body);
	text_add(&head, body.s);
	return head.s;
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
		                                    : stages_random(&s, (enum isa)(i % ISAS));
		good = stages_schedule(&s, &schedule);
		if (!good) {
			text_add(&s.fault, "\n");
			schedule_print(s.problem, &schedule, &s.fault);
		}
	}
	snprintf(fault, TEXT, "%s", s.fault.s);
	arena_free(&a);
	return good;
}

static char *shared; /* the child's account of itself */

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
	return strcspn(fault, ":");
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
	int count = argc > 1 ? atoi(argv[1]) : 200, failed = 0;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
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
