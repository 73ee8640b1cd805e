/* The merge law of theory §2 and §6: partial carries merged by the derived corrections, in any order and
 * shape of tree, empty parts included, give what one traversal gives.
 *
 * Every rank but the streamed one has extent 1, so a carry is one number. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/algebra.h"
#include "codegen/stream.h"
#include "dsl/oracle.h"
#include "dsl/parse.h"
#include "tests/tap.h"

enum { LENGTH = 24, CARRIES = 12, TREES = 40 };

struct merge_case {
	const char *name, *text;
};

#define ATTENTION                                                                                            \
	"kernel test\nrank N, M, D, E\nin Q[N, D] : f64\nin K[M, D] : f64\nin V[M, E] : f64\n"               \
	"S[n,m] = Q[n,d] * K[m,d]\n"

static const struct merge_case cases[] = {
        {"softmax", ATTENTION "out O[N, E] : f64\nP[n,m] = softmax[m](S)\nO[n,e] = P[n,m] * V[m,e]\n"},
        {"base 2", ATTENTION "out O[N, E] : f64\nX[n] = max[m](S)\nP[n,m] = exp2(S - X)\nZ[n] = "
                             "sum[m](P)\nO[n,e] = P[n,m] / Z[n] * V[m,e]\n"},
        {"sink",
         ATTENTION "in b[N] : f64\nout O[N, E] : f64\nX[n] = max(max[m](S), b[n])\nP[n,m] = exp(S - X)\n"
                   "Z[n] = sum[m](P) + exp(b[n] - X[n])\nO[n,e] = P[n,m] / Z[n] * V[m,e]\n"},
        {"entropy", ATTENTION "out C[N] : f64\nP[n,m] = softmax[m](S)\nC[n] = -sum[m](P * log(P))\n"},
        {"second moment of the shifted scores",
         ATTENTION "out C[N] : f64\nX[n] = max[m](S)\nC[n] = sum[m]((S - X) * (S - X) * exp(S - X))\n"},
        {"variance",
         ATTENTION "out C[N] : f64\nU[n] = mean[m](S)\nC[n] = mean[m]((S[n,m] - U[n]) * (S[n,m] - U[n]))\n"},
        {"third moment",
         ATTENTION "out C[N] : f64\nU[n] = mean[m](S)\nC[n] = sum[m](pow(S[n,m] - U[n], 3))\n"},
        {"shifted by the least",
         ATTENTION "out C[N] : f64\nX[n] = min[m](S)\nC[n] = sum[m](exp(X[n] - S[n,m]))\n"},
};

struct state {
	double value[CARRIES];
};

struct law {
	struct arena *arena;
	struct streams *s;
	const struct stream *at;
	double k[LENGTH], v[LENGTH], q, b;
	const struct state *old, *now;
};

static uint64_t random_state = 7;
static double uniform(void)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (double)(random_state >> 40) / (1 << 24) * 2 - 1;
}

static const struct equation *carry_equation(const struct law *l, uint32_t i)
{
	return &l->s->cascade->equation.v[l->at->carry.v[i].equation];
}

/* The state after elements [from, to), by the oracle. */
static struct state part(struct law *l, int from, int to)
{
	struct cascade *c = l->s->cascade;
	struct state s = {0};
	struct diags d;
	struct oracle_tensor *t = arena_new_array(l->arena, c->tensor.n, struct oracle_tensor);
	diags_init(&d, l->arena, "oracle", "", 0);
	for (uint32_t r = 0; r < c->rank.n; r++)
		c->rank.v[r].extent = strcmp(c->rank.v[r].name, "M") ? 1 : to - from;
	for (uint32_t i = 0; i < c->tensor.n; i++) {
		double *data = !strcmp(c->tensor.v[i].name, "K")   ? l->k + from
		               : !strcmp(c->tensor.v[i].name, "V") ? l->v + from
		               : !strcmp(c->tensor.v[i].name, "b") ? &l->b
		                                                   : &l->q;
		if (c->tensor.v[i].role == ROLE_IN)
			t[i] = (struct oracle_tensor){
			        .data = data, .count = data == &l->q || data == &l->b ? 1 : to - from};
	}
	if (!oracle_run(l->arena, c, t, 1 << 20, &d))
		abort();
	for (uint32_t i = 0; i < l->at->carry.n; i++)
		s.value[i] = t[carry_equation(l, i)->tensor].data[0];
	return s;
}

static bool leaf(const struct expr_pool *p, struct expr e, void *context, double *value)
{
	const struct law *l = context;
	bool old = expr_at(p, e)->op == OP_OLD;
	struct expr read = old ? expr_operand(p, e, 0) : e;
	if (expr_at(p, read)->op != OP_READ)
		return false;
	for (uint32_t i = 0; i < l->at->carry.n; i++)
		if (carry_equation(l, i)->tensor == expr_at(p, read)->symbol) {
			*value = (old ? l->old : l->now)->value[i];
			return true;
		}
	*value = l->b; /* the sink is the one other scalar */
	return true;
}

/* What carry i of a part contributes when the others have moved to `now`. */
static double moved(struct law *l, uint32_t i, const struct state *of, const struct state *now)
{
	const struct carry *c = &l->at->carry.v[i];
	double sum = 0;
	if (!c->terms)
		return of->value[i];
	l->old = of;
	l->now = now;
	for (int t = 0; t < c->terms; t++)
		sum += algebra_evaluate(&l->s->cascade->pool, c->term[t].factor, leaf, l) *
		       of->value[c->term[t].carry];
	return sum;
}

static struct state merge(struct law *l, const struct state *a, const struct state *b)
{
	struct state now = {0};
	for (uint32_t i = 0; i < l->at->carry.n; i++) {
		double x = moved(l, i, a, &now), y = moved(l, i, b, &now);
		now.value[i] = reduction_value(carry_equation(l, i)->reduce, x, y);
	}
	return now;
}

/* A random tree over [from, to): cuts may be empty, and the right part may come first. */
static struct state tree(struct law *l, int from, int to, int depth)
{
	if (to - from <= 1 || depth == 6)
		return part(l, from, to);
	int cut = from + (int)((uniform() + 1) / 2 * (to - from + 1));
	cut = cut > to ? to : cut;
	struct state a = tree(l, from, cut, depth + 1), b = tree(l, cut, to, depth + 1);
	return uniform() < 0 ? merge(l, &a, &b) : merge(l, &b, &a);
}

static void check(const struct merge_case *k)
{
	struct arena a;
	struct diags d;
	arena_init(&a);
	diags_init(&d, &a, "case.att", k->text, strlen(k->text));
	struct cascade *c = cascade_parse(&a, k->text, strlen(k->text), NULL, 0, &d);
	if (!ok(c != NULL, "%s: parses", k->name))
		return;
	struct law l = {.arena = &a, .s = streams_derive(&a, c, NULL), .q = 1.5, .b = 0.25};
	if (!ok(l.s->stream.n == 1 && l.s->stream.v[0].carry.n <= CARRIES, "%s: one stream", k->name))
		return;
	l.at = &l.s->stream.v[0];
	double worst = 0;
	bool corrected = false;
	for (uint32_t i = 0; i < l.at->carry.n; i++)
		corrected |= l.at->carry.v[i].terms > 0;
	for (int t = 0; t < TREES; t++) {
		for (int i = 0; i < LENGTH; i++) {
			l.k[i] = uniform() * 4;
			l.v[i] = uniform();
		}
		struct state whole = part(&l, 0, LENGTH), merged = tree(&l, 0, LENGTH, 0);
		for (uint32_t i = 0; i < l.at->carry.n; i++) {
			/* Sums of terms of both signs are measured against the size of their terms. */
			double scale = fmax(fabs(whole.value[i]), 1);
			double e = fabs(whole.value[i] - merged.value[i]) / scale;
			worst = e <= worst ? worst : isnan(e) ? (double)INFINITY : e;
		}
	}
	ok(corrected && worst <= 1e-12, "%s: any order of merging gives the same (%.1e)", k->name, worst);
	arena_free(&a);
}

int main(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check(&cases[i]);
	return tap_done();
}
