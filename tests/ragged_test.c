/* Ragged ranks against straight loops over segments: empty ones, an empty first one, rows beyond the last offset,
 * more queries than keys; then the same through every stage, with random schedules. */
#include "codegen/stream.h"
#include "tests/stages_c.h"
#include "tests/tap.h"

enum { T = 29, U = 40, B = 6, D = 3, SCHEDULES = 3 };

static const int q_sets[][B + 1] = {
	{0, 5, 5, 12, 13, 20, 29}, {0, 0, 0, 3, 20, 20, 22}, {2, 7, 9, 9, 11, 27, 27}, {0, 0, 0, 0, 0, 0, 0}};
static const int k_sets[][B + 1] = {
	{0, 9, 14, 14, 20, 33, 40}, {0, 4, 4, 4, 30, 37, 37}, {1, 3, 3, 10, 24, 24, 39}, {0, 5, 5, 9, 20, 30, 40}};
enum { SETS = sizeof q_sets / sizeof *q_sets };

struct data {
	double q[T * D], k[U * D], y[T * D], a[B + 1], b[B + 1];
	const int *qo, *ko;
};

#define HEAD "rank T = 29, U = 40, B = 6, D = 3\nindex s : T\nin qo[B+1], ko[B+1] : i32\n" \
	     "in Q[T,D] : f32 ragged by qo\nin K[U,D] ragged by ko : f32\n"

static double product(const double *x, const double *y)
{
	return x[0] * y[0] + x[1] * y[1] + x[2] * y[2];
}

/* One softmax row over [from, to): the weighted sum of v's first column, and log of the sum. */
static void row(const struct data *d, const double *q, const double *keys, int from, int to, double *o, double *l)
{
	double most = -INFINITY, sum = 0, total = 0;
	for (int u = from; u < to; u++)
		most = fmax(most, product(q, keys + u * D));
	for (int u = from; u < to; u++) {
		double e = exp(product(q, keys + u * D) - most);
		sum += e;
		total += e * keys[u * D];
	}
	(void)d;
	*o = sum > 0 ? total / sum : 0;
	*l = most + log(sum);
}

/* `causal`: aligned at the ends of both segments. */
static void attention(const struct data *d, double *o, double *l, bool causal)
{
	for (int t = 0; t < T; t++) {
		o[t] = 0;
		l[t] = -INFINITY;
	}
	for (int s = 0; s < B; s++)
		for (int t = d->qo[s]; t < d->qo[s + 1]; t++) {
			int end = d->ko[s + 1], last = end - (d->qo[s + 1] - 1 - t);
			int to = causal && last < end ? last : end;
			if (to > d->ko[s])
				row(d, d->q + t * D, d->k, d->ko[s], to, &o[t], &l[t]);
		}
}

static void dense(const struct data *d, double *o, double *l)
{
	attention(d, o, l, false);
}

static void causal(const struct data *d, double *o, double *l)
{
	attention(d, o, l, true);
}

static void itself(const struct data *d, double *o, double *l)
{
	for (int t = 0; t < T; t++)
		o[t] = 0, l[t] = -INFINITY;
	for (int s = 0; s < B; s++)
		for (int t = d->qo[s]; t < d->qo[s + 1]; t++)
			row(d, d->q + t * D, d->q, d->qo[s] > t - 3 ? d->qo[s] : t - 3, t + 1, &o[t], &l[t]);
}

/* Sums by segment, places and lengths, an element's own segment's mean, else. */
static void places(const struct data *d, double *o, double *l)
{
	for (int t = 0; t < T; t++)
		o[t] = 0, l[t] = -7;
	for (int s = 0; s < B; s++)
		for (int t = d->qo[s]; t < d->qo[s + 1]; t++) {
			o[t] = d->q[t * D] * (t - d->qo[s]) + 100 * s + (d->qo[s + 1] - d->qo[s]);
			double sum = 0;
			for (int u = d->ko[s]; u < d->ko[s + 1]; u++)
				sum += d->q[t * D] + d->k[u * D];
			int n = d->ko[s + 1] - d->ko[s];
			l[t] = t - d->qo[s] < 1 ? -7 : n ? sum / n : 0;
		}
}

/* Over the packed rank alone: what is in no segment counts for nothing. */
static void whole(const struct data *d, double *o, double *l)
{
	memset(o, 0, T * sizeof *o);
	memset(l, 0, T * sizeof *l);
	for (int t = d->qo[0]; t < d->qo[B]; t++)
		o[0] += d->q[t * D], l[t] = 2 * d->q[t * D + 1];
	for (int i = 1; i < T; i++)
		o[i] = o[0];
}

/* The sum of the two largest scores of the segment, and how many keys it has. */
static void best(const struct data *d, double *o, double *l)
{
	memset(o, 0, T * sizeof *o);
	memset(l, 0, T * sizeof *l);
	for (int s = 0; s < B; s++)
		for (int t = d->qo[s]; t < d->qo[s + 1]; t++) {
			double first = -INFINITY, second = -INFINITY;
			for (int u = d->ko[s]; u < d->ko[s + 1]; u++) {
				double x = product(d->q + t * D, d->k + u * D);
				second = x > first ? first : fmax(second, x);
				first = fmax(first, x);
			}
			l[t] = d->ko[s + 1] - d->ko[s];
			o[t] = (l[t] > 0 ? first : 0) + (l[t] > 1 ? second : 0);
		}
}

static const struct sample {
	const char *name, *text;
	void (*loop)(const struct data *, double *o, double *l);
} samples[] = {
	{"every key of the segment",
         HEAD "out O[T], L[T] : f32\nS[t,u] = Q[t,d] * K[u,d]\n"
              "O[t] = softmax[u](S) * K[u,0]\nL[t] = logsumexp[u](S)\n",
         dense},
	{"the same in one expression",
         HEAD "out O[T], L[T] : f32\nO[t] = softmax[u](sum[d](Q[t,d] * K[u,d])) * K[u,0]\n"
              "L[t] = logsumexp[u](sum[d](Q[t,d] * K[u,d]))\n",
         dense},
	{"causal, aligned at the end",
         HEAD "out O[T], L[T] : f32\n"
              "S[t,u] = Q[t,d] * K[u,d] where position(u) - length(u) <= position(t) - length(t)\n"
              "O[t] = softmax[u](S) * K[u,0]\nL[t] = logsumexp[u](S)\n",
         causal},
	{"a window of one rank over itself",
         HEAD "out O[T], L[T] : f32\nS[t,s] = Q[t,d] * Q[s,d] where 0 <= t - s < 4\n"
              "O[t] = softmax[s](S) * Q[s,0]\nL[t] = logsumexp[s](S)\n",
         itself},
	{"the same by places",
         HEAD "out O[T], L[T] : f32\nS[t,s] = Q[t,d] * Q[s,d] where 0 <= position(t) - position(s) < 4\n"
              "O[t] = softmax[s](S) * Q[s,0]\nL[t] = logsumexp[s](S)\n",
         itself},
	{"segment, position, length, a mean over nothing, an else",
         HEAD "out O[T], L[T] : f32\nO[t] = Q[t,0] * position(t) + 100 * segment(t) + length(t)\n"
              "L[t] = mean[u](Q[t,0] + K[u,0]) where position(t) >= 1 and segment(t) >= 0 and segment(t) < B else -7\n",
         places},
	{"chosen within the segment",
         HEAD "rank I = 40\nout O[T], L[T] : f32\nS[t,u] = Q[t,d] * K[u,d]\n"
              "O[t] = sum[u](S[t,u]) where topk[u, 2](S)\n"
              "X[t,i] = members[u](S[t,u] < 1000)\nL[t] = sum[i](select(X[t,i] >= 0, 1, 0))\n",
         best},
	{"over the packed rank alone",
         HEAD "out O[T], L[T] : f32\nO[t] = sum[s](Q[s,0])\nL[t] = 2 * Q[t,1]\n", whole},
};

static void fill(struct stages *s, const struct data *d)
{
	static const char *const names[] = {"Q", "K", "qo", "ko"};
	const double *const from[] = {d->q, d->k, d->a, d->b};
	for (int i = 0; i < 4; i++) {
		uint32_t t = cascade_find_tensor(s->cascade, names[i]);
		if (t == UINT32_MAX)
			continue;
		s->tensor[t].count = stages_count(s->cascade, t);
		s->tensor[t].data = arena_new_array(s->arena, (size_t)s->tensor[t].count, double);
		memcpy(s->tensor[t].data, from[i], (size_t)s->tensor[t].count * sizeof(double));
	}
}

/* Tile programs of random schedules, by the interpreter and compiled. */
static bool stages(struct stages *s, struct diags *d)
{
	const struct target *compiler = target_find("tcc");
	if (!(s->problem = problem_new(s->arena, s->cascade, &stages_machine, d)))
		return stages_fault(s, "problem: %s", d->list.v[0].message);
	for (int i = 0; i < SCHEDULES; i++) {
		struct schedule schedule = i ? stages_random(s, i == 1 ? ISA_SCALAR : ISA_AVX512)
		                             : schedule_default(s->problem, ISA_SCALAR);
		if (stages_schedule(s, &schedule) &&
		    (!compiler || schedule.isa != ISA_SCALAR || stages_target(s, &schedule, compiler, 2e-5)))
			continue;
		schedule_print(s->problem, &schedule, &s->fault);
		return false;
	}
	return true;
}

static void sample(struct arena *a, const struct sample *x, int set)
{
	struct data *d = arena_new(a, struct data);
	struct stages s = {.arena = a, .random = 11};
	struct diags diags;
	double o[T], l[T];
	diags_init(&diags, a, "ragged", x->text, strlen(x->text));
	s.cascade = cascade_parse(a, x->text, strlen(x->text), NULL, 0, &diags);
	if (!ok(s.cascade, "%s: parses", x->name)) {
		printf("# line %u: %s\n", diags.list.v[0].line, diags.list.v[0].message);
		return;
	}
	d->qo = q_sets[set];
	d->ko = k_sets[set];
	for (int i = 0; i <= B; i++)
		d->a[i] = d->qo[i], d->b[i] = d->ko[i];
	for (int i = 0; i < T * D; i++)
		d->q[i] = (double)stages_below(&s.random, 2001) / 1000 - 1;
	for (int i = 0; i < U * D; i++)
		d->k[i] = (double)stages_below(&s.random, 2001) / 1000 - 1;
	text_init(&s.fault, a);
	s.tensor = arena_new_array(a, s.cascade->tensor.n, struct oracle_tensor);
	fill(&s, d);
	if (!ok(oracle_run(a, s.cascade, s.tensor, STAGES_LIMIT, &diags), "%s: oracle", x->name))
		return;
	x->loop(d, o, l);
	double wrong_o = stages_apart(o, s.tensor[cascade_find_tensor(s.cascade, "O")].data, T);
	double wrong_l = stages_apart(l, s.tensor[cascade_find_tensor(s.cascade, "L")].data, T);
	ok(wrong_o < 1e-12 && wrong_l < 1e-12, "%s, offsets %d: as the loop, off by %g, %g", x->name, set, wrong_o,
	   wrong_l);
	for (int unfused = 0; unfused < 2; unfused++) {
		const struct streams *t = streams_derive(a, s.cascade, &(struct stream_options){.unfused = unfused});
		if (!ok(stages_derived(&s, unfused ? "unfused" : "fused", t), "%s, offsets %d: streams%s", x->name,
		        set, unfused ? ", unfused" : "")) {
			struct text text;
			text_init(&text, a);
			streams_print(t, &text);
			printf("# %s\n%s# end\n", s.fault.s, text.s);
		}
	}
	if (!ok(stages(&s, &diags), "%s, offsets %d: every stage", x->name, set))
		printf("# %s\n", s.fault.s);
}

int main(void)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env))
		return 1;
	for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
		for (int set = 0; set < SETS; set++)
			sample(&a, &samples[i], set);
	arena_free(&a);
	return tap_done();
}
