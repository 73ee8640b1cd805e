/* Cascades cut at their selections: the derived and the naive streams mean what the cascade does, their text parses
 * back to itself, and what stands where. */
#include "codegen/stream.h"
#include "tests/stages.h"
#include "tests/tap.h"

struct sample {
	const char *name, *text;
	const char *holds;       /* in the text of the fused streams */
	const char *never;       /* … or not */
	uint32_t streams, rewrites_of_selections;
};

#define HEAD "rank N = 37, M = 41, C = 6, D = 3, E = 2, S = 4, H = 2\n"
static const struct sample samples[] = {
	{"blocks chosen by their means",
         HEAD "in Q[N,D], K[M,D], V[M,E] : f32\nout O[N,E] : f32\n"
              "P[c,d] = mean[m](K[m,d]) where m/8 == c\n"
              "J[n,c] = topk[c, 2](sum[d](Q[n,d] * P[c,d])) where c * 8 <= n\n"
              "S1[n,m] = Q[n,d] * K[m,d] where (J[n,m/8] or m/8 == n/8) and m <= n\n"
              "O[n,e] = softmax[m](S1) * V[m,e]\n",
         "  select J[n,c] = topk[c, 2](X1[n,c]) where c * 8 <= n\n", NULL, 4, 1},
	{"an operand that is a map with absent elements, kept and computed again",
         HEAD "in Q[N,D], K[M,D] : f32\nout O[N], L[N] : f32\nout W[N,M] : bool\n"
              "T[n,m] = Q[n,d] * K[m,d] where m <= n and m % 3 != 1\n"
              "W[n,m] = topk[m, 5](T)\nO[n] = max[m](T) where W[n,m]\nL[n] = logsumexp[m](T)\n",
         "select W[n,m] = topk[m, 5](T[n,m]) where m <= n and m % 3 != 1", NULL, 0, 1},
	{"two levels: of the chosen pages the heaviest, and the rest by members",
         HEAD "in Q[N,D], K[M,D] : f32\nin U[N,C] : f32\nout O[N] : f32\nout L[N,S], R[N,C] : i32\n"
              "J[n,c] = nucleus[c, 0.6](exp(U[n,c]))\n"
              "A[n,c] = sum[m](abs(K[m,0])) where J[n,c] and m/8 == c\n"
              "I[n,c] = topk[c, 2](A[n,c]) where c != 3\n"
              "L[n,s] = members[c](I[n,c] or c == n % 6)\nR = argsort[c](A)\n"
              "O[n] = sum[s,d](Q[n,d] * K[8*L[n,s], d])\n",
         "  select L[n,s] = members[c](L_operand[n,c])\n", NULL, 0, 4},
	{"compressed and selected branches: what the first part summed is read by the second",
         HEAD "in Q[N,D], K[M,D], V[M,E], g[N] : f32\nout O[N,E] : f32\n"
              "Kc[c,d] = mean[m](K[m,d]) where m/8 == c\nVc[c,e] = mean[m](V[m,e]) where m/8 == c\n"
              "Tc[n,c] = Q[n,d] * Kc[c,d] where c * 8 + 7 <= n\nPc = softmax[c](Tc)\nOc[n,e] = Pc[n,c] * Vc[c,e]\n"
              "J[n,c] = topk[c, 2](Pc)\n"
              "Ts[n,m] = Q[n,d] * K[m,d] where J[n,m/8] and m <= n\nOs[n,e] = softmax[m](Ts) * V[m,e]\n"
              "O[n,e] = g[n] * Oc[n,e] + (1 - g[n]) * Os[n,e]\n",
         "after O", "Oc_sum2", 0, 1},
	{"a selection of an input, of another dtype, read by a gather under a cast",
         HEAD "in X[N,C] : f32\nin K[M,D] : f32\nout O[N,C,D] : f32\nout A[N,C] : f32\n"
              "L[n,c] = argsort[c](X[n,c])\nA[n,c] = argsort[c](-X[n,c]) where c < 4\n"
              "O[n,c,d] = K[i32(f32(L[n,c]) * 2), d]\n",
         "select L[n,c] = argsort[c](X[n,c])\n", "L_operand", 0, 2},
	{"a fiber of nothing, and a row of nothing",
         "rank N = 3, C = 0, B = 0, S = 2, D = 4\nin X[N,C], Y[B,D] : f32\nout L[N,S] : i32\nout J[B,D] : bool\n"
         "L[n,s] = members[c](X[n,c] > 0)\nJ[b,d] = topk[d, 2](Y[b,d] * 2)\n",
         "select L[n,s] = members[c](L_operand[n,c])\n", NULL, 0, 2},
	{"the operand needs a softmax, the result restricts its own sum",
         HEAD "in Q[N,D], K[M,D], V[M,E] : f32\nout O[N,E], Z[M] : f32\n"
              "T[n,m] = Q[n,d] * K[m,d] where m <= n + 4\nP = softmax[m](T)\nZ[m] = sum[n](P[n,m])\n"
              "J[m] = topk[m, 7](Z)\nU[n,m] = T[n,m] where J[m]\nO[n,e] = softmax[m](U) * V[m,e]\n",
         "select J[m] = topk[m, 7](Z[m])\n", NULL, 0, 1},
};

static struct cascade *parse(struct arena *a, const char *text)
{
	struct diags d;
	diags_init(&d, a, "sample", text, strlen(text));
	struct cascade *c = cascade_parse(a, text, strlen(text), NULL, 0, &d);
	if (!c)
		printf("# line %u: %s\n", d.list.v[0].line, d.list.v[0].message);
	return c;
}

static const char *printed(struct arena *a, const struct streams *s)
{
	struct text t;
	text_init(&t, a);
	streams_print(s, &t);
	return t.s;
}

static void round_trip(struct stages *s, const struct streams *streams, const char *name, const char *form)
{
	struct diags d;
	const char *once = printed(s->arena, streams);
	diags_init(&d, s->arena, "streams", once, strlen(once));
	const struct streams *again = streams_parse(s->arena, once, strlen(once), &d);
	if (!ok(again && !strcmp(once, printed(s->arena, again)), "%s, %s: text", name, form))
		printf("# %s\n%s# end\n", again ? printed(s->arena, again) : d.list.v[0].message, once);
	if (again && !ok(stages_derived(s, form, again), "%s, %s: the text means the same", name, form))
		printf("# %s\n", s->fault.s);
}

/* A selection is the only equation of its stream, and what it reads stands before it. */
static bool in_order(struct arena *a, const struct streams *s)
{
	const struct cascade *c = s->cascade;
	bool *done = arena_new_array(a, c->tensor.n, bool);
	for (uint32_t t = 0; t < c->tensor.n; t++)
		done[t] = c->tensor.v[t].role == ROLE_IN;
	for (uint32_t i = 0; i < s->stream.n; i++) {
		const struct stream *x = &s->stream.v[i];
		const struct equation *q = x->selects ? &c->equation.v[x->local.v[0]] : NULL;
		if (q && (x->local.n != 1 || x->carry.n || x->after.n || x->index != q->along || !q->select ||
		          expr_at(&c->pool, q->body)->op != OP_READ || !done[expr_at(&c->pool, q->body)->symbol]))
			return false;
		for (uint32_t k = 0; k < x->local.n; k++)
			done[c->equation.v[x->local.v[k]].tensor] = true;
		for (uint32_t k = 0; k < x->carry.n; k++)
			done[c->equation.v[x->carry.v[k].equation].tensor] = true;
		for (uint32_t k = 0; k < x->after.n; k++)
			done[c->equation.v[x->after.v[k]].tensor] = true;
	}
	for (uint32_t t = 0; t < c->tensor.n; t++)
		if (!done[t])
			return false;
	return true;
}

static void sample(struct arena *a, const struct sample *x)
{
	struct stages s = {.arena = a, .random = 7};
	struct diags d;
	s.cascade = parse(a, x->text);
	if (!ok(s.cascade, "%s: parses", x->name))
		return;
	text_init(&s.fault, a);
	diags_init(&d, a, "oracle", "", 0);
	s.tensor = arena_new_array(a, s.cascade->tensor.n, struct oracle_tensor);
	for (uint32_t t = 0; t < s.cascade->tensor.n; t++)
		if (s.cascade->tensor.v[t].role == ROLE_IN)
			stages_fill(&s, t);
	if (!ok(oracle_run(a, s.cascade, s.tensor, STAGES_LIMIT, &d), "%s: oracle", x->name))
		return;
	for (int unfused = 0; unfused < 2; unfused++) {
		const char *form = unfused ? "unfused" : "fused";
		const struct streams *t = streams_derive(a, s.cascade, &(struct stream_options){.unfused = unfused});
		const char *text = printed(a, t);
		uint32_t barriers = 0;
		bool good = stages_derived(&s, form, t);
		if (!ok(good, "%s, %s: means the same", x->name, form))
			printf("# %s\n%s# end\n", s.fault.s, text);
		if (!ok(in_order(a, t), "%s, %s: in order", x->name, form))
			printf("# %s# end\n", text);
		round_trip(&s, t, x->name, form);
		for (uint32_t i = 0; i < t->rewrite.n; i++) {
			const struct rewrite *r = &t->rewrite.v[i];
			bool fine = r->tensor < s.cascade->tensor.n &&
			            (r->on == UINT32_MAX || r->on < s.cascade->tensor.n);
			if (!fine)
				ok(false, "%s, %s: a rewrite speaks of no tensor of the cascade", x->name, form);
			barriers += fine && strstr(r->reason, "needs the whole fiber") != NULL;
		}
		ok(barriers == x->rewrites_of_selections, "%s, %s: %u barriers", x->name, form, barriers);
		if (unfused)
			continue;
		if (!ok(strstr(text, x->holds) && (!x->never || !strstr(text, x->never)), "%s: %s", x->name, x->holds))
			printf("# %s# end\n", text);
		if (x->streams)
			ok(t->stream.n == x->streams, "%s: %u streams", x->name, t->stream.n);
	}
}

static void passes(struct arena *a)
{
	struct cascade *c = parse(a, "rank N, M\nin X[N,M] : f32\nout O[N] : f32\n"
	                             "J[n,m] = topk[m, 3](X[n,m])\nO[n] = sum[m](X[n,m]) where J[n,m]\n");
	uint32_t m = cascade_find_rank(c, "M");
	ok(passes_over(a, c, m, NULL, 0) == 2, "a selection and what it restricts: two passes");
	ok(passes_fused(streams_derive(a, c, NULL), m) == 2, "and as many when derived");
	c = parse(a, "rank N, M\nin X[N,M] : f32\nout O[N] : f32\nO[n] = sum[m](X[n,m]) where X[n,m] > 0\n");
	ok(passes_over(a, c, cascade_find_rank(c, "M"), NULL, 0) == 1, "without one: one");
}

int main(void)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env))
		return 1;
	for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
		sample(&a, &samples[i]);
	passes(&a);
	arena_free(&a);
	return tap_done();
}
