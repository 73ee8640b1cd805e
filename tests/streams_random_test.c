/* Random chains of dependent reductions: whatever modes are chosen, the derived cascade means what the
 * original means, and its text reads back. The seed and the text of a failure are printed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/stream.h"
#include "dsl/oracle.h"
#include "dsl/parse.h"
#include "tests/stages.h"
#include "tests/tap.h"

enum { CASCADES = 330, TILED = 5 /* of them one in so many */, DEPTH = 3, SCALARS = 4,
       SOURCES = 3 /* of them one in so many has two sources of keys */ };

struct maker {
	struct arena *arena;
	struct text text;
	uint64_t state;
	int scalars; /* r1 … are defined */
	int maps;    /* t1[n,m] … are defined, and u1[n,p] … */
	bool other;  /* speak of keys p, not m */
	bool weighs; /* r1 is the largest score of all, and weights against it are leaves */
};

static uint32_t below(struct maker *k, uint32_t n)
{
	k->state = k->state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((k->state >> 33) % n);
}

static const char *leaf(struct maker *k)
{
	const char *score = k->other ? "T[n,p]" : "S[n,m]", *input = k->other ? "Y[n,p]" : "X[n,m]";
	switch (below(k, 8)) {
	case 0: return k->other ? "WP[p]" : "W[m]";
	case 1: return "B[n]";
	case 2: return "0.5";
	case 3:
	case 4:
		return k->scalars ? arena_printf(k->arena, "r%u[n]", 1 + below(k, (uint32_t)k->scalars))
		                  : score;
	case 5:
		return k->maps ? arena_printf(k->arena, k->other ? "u%u[n,p]" : "t%u[n,m]",
		                              1 + below(k, (uint32_t)k->maps))
		               : input;
	case 6: return score;
	case 7:
		if (k->weighs)
			return arena_printf(k->arena, "exp(%s - r1[n])", score);
		return input;
	default: return input;
	}
}

static const char *expression(struct maker *k, int depth)
{
	/* At most two of each, so that the text stays small. */
	static const char *const shape[] = {
	        "(%s + %s)",
	        "(%s - %s)",
	        "(%s - %s)",
	        "%s * %s",
	        "%s * %s",
	        "exp(0.3 * (%s - %s))",
	        "exp(%s - %s)",
	        "max(%s, %s)",
	        "%s / (1 + abs(%s))",
	        "abs(%s - %s)",
	        "sigmoid(%s - %s)",
	        "relu(%s * %s)",
	        "select(m < 2, %s, %s)",
	        "sqrt(1 + abs(%s * %s))",
	        "pow(%s - %s, 2)",
	        "exp2(0.5 * (%s - %s))",
	};
	if (depth == DEPTH || !below(k, 5))
		return leaf(k);
	const char *a = expression(k, depth + 1), *b = expression(k, depth + 1);
	const char *s = shape[below(k, sizeof shape / sizeof *shape)];
	if (k->other && strstr(s, "m < 2"))
		s = "select(p < 2, %s, %s)";
	const char *first = strstr(s, "%s"), *second = strstr(first + 2, "%s");
	return arena_printf(k->arena, "%.*s%s%.*s%s%s", (int)(first - s), s, a, (int)(second - first - 2),
	                    first + 2, b, second + 2);
}

static const char *make(struct maker *k)
{
	static const char *const reduction[] = {"sum", "sum", "sum", "mean", "max", "max", "min"};
	const char *where = below(k, 3) ? "" : below(k, 2) ? " where m <= n" : " where m != 1 and n < 3";
	int n = 1 + (int)below(k, SCALARS);
	text_add(&k->text,
	         "kernel random\nrank N, M, D, E\nin X[N, M] : f64\nin Q[N, D] : f64\nin K[M, D] : f64\n"
	         "in V[M, E] : f64\nin W[M] : f64\nin B[N] : f64\nout O[N, E] : f64\nout R[N] : f64\n");
	bool dense = !below(k, 4);
	if (dense)
		text_add(&k->text, "out P[N, M] : f64\n");
	text_printf(&k->text, "S[n,m] = sum[d](Q[n,d] * K[m,d])%s\n", where);
	while (k->scalars < n) {
		if (!below(k, 3)) {
			text_printf(&k->text, "t%d[n,m] = X[n,m] - S[n,m] + %s\n", k->maps + 1,
			            expression(k, 1));
			k->maps++;
		}
		const char *e = expression(k, 0);
		text_printf(&k->text, "r%d[n] = %s[m](X[n,m] * 0.1 + %s)\n", k->scalars + 1,
		            reduction[below(k, 7)], e);
		k->scalars++;
	}
	text_printf(&k->text, "R[n] = r%d[n] + B[n]\n", k->scalars);
	text_printf(&k->text, "O[n,e] = sum[m](%s * V[m,e])\n", expression(k, 1));
	if (dense)
		text_printf(&k->text, "P[n,m] = X[n,m] + S[n,m] + %s\n", expression(k, 1));
	return k->text.s;
}

/* The same over two sources of keys: every row scalar takes its share of both. */
static void other_map(struct maker *k)
{
	k->other = true;
	text_printf(&k->text, "u%d[n,p] = Y[n,p] - T[n,p] + %s\n", k->maps + 1, expression(k, 1));
	k->other = false;
}

static const char *make_sources(struct maker *k)
{
	static const char *const reduction[] = {"sum", "sum", "max", "max", "max", "min"};
	const char *where = below(k, 3) ? "" : below(k, 2) ? " where m <= n" : " where m != 1 and n < 3";
	int n = 1 + (int)below(k, SCALARS);
	text_add(&k->text,
	         "kernel random\nrank N, M, P, D, E\nin X[N, M], Y[N, P], Q[N, D], K[M, D], KP[P, D] : f64\n"
	         "in V[M, E], VP[P, E], W[M], WP[P], B[N] : f64\nout O[N, E] : f64\nout R[N] : f64\n");
	text_printf(&k->text, "S[n,m] = sum[d](Q[n,d] * K[m,d])%s\nT[n,p] = sum[d](Q[n,d] * KP[p,d])\n", where);
	k->weighs = below(k, 3);
	if (k->weighs) {
		text_add(&k->text, "r1[n] = max(max[m](S), max[p](T))\n");
		k->scalars = 1;
		n++;
	}
	while (k->scalars < n) {
		if (!below(k, 3)) {
			text_printf(&k->text, "t%d[n,m] = X[n,m] - S[n,m] + %s\n", k->maps + 1,
			            expression(k, 1));
			other_map(k);
			k->maps++;
		}
		const char *own = arena_printf(k->arena, "X[n,m] * 0.1 + %s", expression(k, 0));
		k->other = true;
		const char *shared = arena_printf(k->arena, "Y[n,p] * 0.1 + %s", expression(k, 0));
		k->other = false;
		uint32_t r = below(k, 6);
		text_printf(&k->text, "r%d[n] = ", ++k->scalars);
		own = arena_printf(k->arena, "%s[m](%s)", reduction[r], own);
		shared = arena_printf(k->arena, "%s[p](%s)", reduction[r], shared);
		text_printf(&k->text, r < 2 ? "%s%s + %s\n" : "%s(%s, %s)\n", r < 2 ? "" : reduction[r], own, shared);
	}
	text_printf(&k->text, "R[n] = r%d[n] + B[n]\n", k->scalars);
	text_printf(&k->text, "O[n,e] = sum[m](%s * V[m,e])", expression(k, 1));
	k->other = true;
	text_printf(&k->text, " + sum[p](%s * VP[p,e])\n", expression(k, 1));
	return k->text.s;
}

static bool run(struct arena *a, struct cascade *c, struct oracle_tensor *t)
{
	struct diags d;
	diags_init(&d, a, "oracle", "", 0);
	return oracle_run(a, c, t, (size_t)1 << 26, &d);
}

/* Where the original is finite: past that the two may overflow in different places. */
static double error_of(const struct oracle_tensor *a, const struct oracle_tensor *b)
{
	double scale = 1e-3, worst = 0;
	for (int64_t i = 0; i < a->count; i++)
		if (isfinite(a->data[i]))
			scale = fmax(scale, fabs(a->data[i]));
	for (int64_t i = 0; i < a->count; i++) {
		double x = a->data[i], y = b->data[i];
		if (isfinite(x))
			worst = fmax(worst, isfinite(y) ? fabs(x - y) / scale : INFINITY);
	}
	return worst;
}

static double difference(struct maker *k, struct cascade *c, struct cascade *other)
{
	struct oracle_tensor *t = arena_new_array(k->arena, c->tensor.n, struct oracle_tensor);
	struct oracle_tensor *u = arena_new_array(k->arena, other->tensor.n, struct oracle_tensor);
	double worst = 0;
	for (uint32_t i = 0; i < c->tensor.n; i++) {
		int64_t extent = 0;
		if (c->tensor.v[i].role != ROLE_IN)
			continue;
		t[i].count = 1;
		for (int r = 0; r < c->tensor.v[i].nranks; r++) {
			cascade_extent(c, c->tensor.v[i].extent[r], &extent);
			t[i].count *= extent;
		}
		t[i].data = arena_new_array(k->arena, (size_t)t[i].count + 1, double);
		for (int64_t e = 0; e < t[i].count; e++)
			t[i].data[e] = below(k, 4001) / 1000.0 - 2;
		u[cascade_find_tensor(other, c->tensor.v[i].name)] = t[i];
	}
	if (!run(k->arena, c, t) || !run(k->arena, other, u))
		return INFINITY;
	for (uint32_t i = 0; i < c->tensor.n; i++)
		if (c->tensor.v[i].role == ROLE_OUT)
			worst = fmax(worst,
			             error_of(&t[i], &u[cascade_find_tensor(other, c->tensor.v[i].name)]));
	return worst;
}

static const char *fault(struct maker *k, const char *source, int *modes)
{
	struct diags d;
	struct text t;
	diags_init(&d, k->arena, "random.att", source, strlen(source));
	struct cascade *c = cascade_parse(k->arena, source, strlen(source), NULL, 0, &d);
	text_init(&t, k->arena);
	if (!c) {
		diags_print(&d, &t);
		return t.s;
	}
	for (uint32_t r = 0; r < c->rank.n; r++)
		c->rank.v[r].extent = below(k, 8) ? 1 + below(k, 6) : 0;
	struct streams *s = streams_derive(k->arena, c, NULL);
	for (uint32_t i = 0; i < s->rewrite.n; i++)
		modes[s->rewrite.v[i].mode]++;
	streams_print(s, &t);
	double e = difference(k, c, s->cascade);
	if (!(e <= 1e-9))
		return arena_printf(k->arena, "off by %g\n%s", e, t.s);
	diags_init(&d, k->arena, "streams", t.s, t.len);
	struct streams *back = streams_parse(k->arena, t.s, t.len, &d);
	struct text again;
	text_init(&again, k->arena);
	if (!back) {
		diags_print(&d, &again);
		return again.s;
	}
	streams_print(back, &again);
	return strcmp(t.s, again.s) ? "the text does not read back" : NULL;
}

/* Through the tile program, with the default schedule and random ones. */
static const char *tile_fault(struct maker *k, const char *source)
{
	struct diags d;
	struct stages s;
	diags_init(&d, k->arena, "random.att", source, strlen(source));
	struct cascade *c = cascade_parse(k->arena, source, strlen(source), NULL, 0, &d);
	for (uint32_t r = 0; r < c->rank.n; r++)
		c->rank.v[r].extent = 1 + below(k, 9);
	bool good = stages_begin(&s, k->arena, c, k->state);
	for (uint32_t t = 0; t < c->tensor.n; t++)
		for (int64_t i = 0; c->tensor.v[t].role == ROLE_OUT && i < s.tensor[t].count; i++)
			if (!isfinite(s.tensor[t].data[i]))
				return NULL; /* another text may overflow in another place */
	if (good) {
		struct schedule schedule = schedule_default(s.problem, ISA_AVX512);
		good = stages_schedule(&s, &schedule);
		for (int i = 0; good && i < 3; i++) {
			schedule = stages_random(&s, i == 2 ? ISA_SM80 : i ? ISA_AVX2 : ISA_AVX512);
			if (isa_is_device(schedule.isa) && schedule.compute == DTYPE_F64)
				continue; /* there is none */
			for (int n = 0; n < schedule.nstreams; n++) {
				schedule.stream[n].split = below(k, 5);
				if (split_illegal(k->arena, s.problem, &schedule, n))
					schedule.stream[n].split = 0;
			}
			good = stages_schedule(&s, &schedule);
		}
	}
	return good ? NULL : s.fault.s;
}

int main(int argc, char **argv)
{
	int modes[MODES] = {0}, failed = 0;
	unsigned first = argc > 1 ? (unsigned)atoi(argv[1]) : 1,
	         count = argc > 2 ? (unsigned)atoi(argv[2]) : CASCADES;
	for (unsigned seed = first; seed < first + count; seed++) {
		struct arena a;
		arena_init(&a);
		struct maker k = {.arena = &a, .state = seed * 0x9e3779b97f4a7c15u};
		text_init(&k.text, &a);
		const char *source = seed % SOURCES ? make(&k) : make_sources(&k), *bad = fault(&k, source, modes);
		if (!bad && seed % TILED == 0)
			bad = tile_fault(&k, source);
		if (bad) {
			failed++;
			printf("# seed %u\n%s\n%s\n", seed, source, bad);
		}
		arena_free(&a);
	}
	ok(!failed, "%u random cascades mean what they meant", count);
	for (int m = MODE_FREE; m < MODES; m++)
		if (m != MODE_REASSOC && m != MODE_APPROX)
			ok(modes[m] > 0, "%s was met %d times", mode_name[m], modes[m]);
	return tap_done();
}
