/* quantised_accuracy_test.c: kernels over narrow types are at most twice as far from float64 as a careful
 * implementation in those types: operands as stored, products and sums in float32, a scale outside the sum where it does
 * not change along it, int8 by int8 exact, weights rounded to bf16 to nearest where the schedule multiplies them so,
 * everything else in float32 until the result is stored. Its sums run forwards or backwards, whichever is worse: one
 * order alone can be lucky. On every ISA that runs here; ordinary inputs, large ones, rows whose scores lie far apart,
 * offsets. LONG=1 takes every schedule on every shape. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attune.h"
#include "tests/tap.h"

enum { MAX_TENSORS = 8, HEADS = 8, GROUP = 4, RUN = 32, BLOCK = 64 };

/* What a scale is of. */
enum scale { SCALE_NONE, SCALE_TENSOR, SCALE_HEAD, SCALE_BLOCK, SCALE_ROW, SCALE_RUN };

#define HEAD_TEXT                                                                                                      \
	"kernel test\nrank B, H, N, M, D, E\nparam G = 4\nparam scale = 1/sqrt(D)\nindex g : H/G\n"                    \
	"in Q[B,H,N,D] : %\nin K[B,H/G,M,D] : %\nin V[B,H/G,M,E] : %\n"
#define SOFTMAX "P = softmax[m](S)\n"

static const struct form {
	const char *name;
	const char *file, *text; /* one of them; in the text each % stands for the next type */
	enum scale q, k, v;      /* q: scales of queries, row by row */
	bool causal;
	const char *types[4]; /* of Q, K, V, O */
} forms[] = {
	{"int8, a scale a row", "examples/kv_int8_decode.att", NULL, SCALE_NONE, SCALE_ROW, SCALE_ROW, true,
	 {"bf16", "i8", "i8", "bf16"}},
	{"int8, a scale a row, f32 beside it", "examples/kv_int8_decode.att", NULL, SCALE_NONE, SCALE_ROW, SCALE_ROW, true,
	 {"f32", "i8", "i8", "f32"}},
	{"int8, a scale a block", NULL,
	 HEAD_TEXT "rank R\nin k_scale[B,H/G,R], v_scale[B,H/G,R] : f32\nout O[B,H,N,E] : %\n"
	           "S[b,h,n,m] = sum[d](Q[b,h,n,d] * (K[b,h/G,m,d] * k_scale[b,h/G,m/64])) * scale\n" SOFTMAX
	           "O[b,h,n,e] = sum[m](P[b,h,n,m] * (V[b,h/G,m,e] * v_scale[b,h/G,m/64]))\n",
	 SCALE_NONE, SCALE_BLOCK, SCALE_BLOCK, false, {"f32", "i8", "i8", "f32"}},
	{"int8, a scale a tensor", NULL,
	 HEAD_TEXT "in k_scale, v_scale : f32\nout O[B,H,N,E] : %\n"
	           "S[b,h,n,m] = sum[d](Q[b,h,n,d] * (K[b,h/G,m,d] * k_scale)) * scale\n" SOFTMAX
	           "O[b,h,n,e] = sum[m](P[b,h,n,m] * (V[b,h/G,m,e] * v_scale))\n",
	 SCALE_NONE, SCALE_TENSOR, SCALE_TENSOR, false, {"f16", "i8", "i8", "f32"}},
	{"int8 by int8, scales by row and key", NULL,
	 HEAD_TEXT "in q_scale[B,H,N], k_scale[B,H/G,M] : f32\nout O[B,H,N,E] : %\n"
	           "S[b,h,n,m] = sum[d](Q[b,h,n,d] * K[b,h/G,m,d]) * (q_scale[b,h,n] * k_scale[b,h/G,m] * scale)\n" SOFTMAX
	           "O[b,h,n,e] = sum[m](P[b,h,n,m] * V[b,h/G,m,e])\n",
	 SCALE_ROW, SCALE_ROW, SCALE_NONE, false, {"i8", "i8", "f32", "f32"}},
	{"int8 by int8, values of bf16", NULL,
	 HEAD_TEXT "in q_scale[B,H,N], k_scale[B,H/G,M] : f32\nout O[B,H,N,E] : %\n"
	           "S[b,h,n,m] = sum[d](Q[b,h,n,d] * K[b,h/G,m,d]) * (q_scale[b,h,n] * k_scale[b,h/G,m] * scale)\n" SOFTMAX
	           "O[b,h,n,e] = sum[m](P[b,h,n,m] * V[b,h/G,m,e])\n",
	 SCALE_ROW, SCALE_ROW, SCALE_NONE, false, {"i8", "i8", "bf16", "bf16"}},
	{"int4, scales of groups", "examples/kv_int4_groups.att", NULL, SCALE_NONE, SCALE_RUN, SCALE_RUN, true,
	 {"bf16", "i4", "i4", "bf16"}},
	{"int4, scales of groups, f32 beside it", "examples/kv_int4_groups.att", NULL, SCALE_NONE, SCALE_RUN, SCALE_RUN, true,
	 {"f32", "i4", "i4", "f32"}},
	{"f8", "examples/kv_f8_decode.att", NULL, SCALE_NONE, SCALE_HEAD, SCALE_HEAD, true,
	 {"bf16", "f8e4m3", "f8e5m2", "bf16"}},
	{"f8, the other way about, f32 beside it", "examples/kv_f8_decode.att", NULL, SCALE_NONE, SCALE_HEAD, SCALE_HEAD,
	 true, {"f32", "f8e5m2", "f8e4m3", "f32"}},
	{"f16", "examples/flash_causal_gqa.att", NULL, SCALE_NONE, SCALE_NONE, SCALE_NONE, true,
	 {"f16", "f16", "f16", "f16"}},
	{"f16 in, f32 out", "examples/flash_causal_gqa.att", NULL, SCALE_NONE, SCALE_NONE, SCALE_NONE, true,
	 {"f16", "f16", "f16", "f32"}},
	{"bf16", "examples/flash_causal_gqa.att", NULL, SCALE_NONE, SCALE_NONE, SCALE_NONE, true,
	 {"bf16", "bf16", "bf16", "bf16"}},
	{"bf16 in, f32 out", "examples/flash_causal_gqa.att", NULL, SCALE_NONE, SCALE_NONE, SCALE_NONE, true,
	 {"bf16", "bf16", "bf16", "f32"}},
	{"f32", "examples/flash_causal_gqa.att", NULL, SCALE_NONE, SCALE_NONE, SCALE_NONE, true, {"f32", "f32", "f32", "f32"}},
};
enum { FORMS = sizeof forms / sizeof *forms };

static const struct shape {
	int n, m, d;
} shapes[] = {{2, 5000, 64}, {5, 333, 128}, {50, 1000, 96}, {70, 129, 64}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const char *const inputs[] = {"ordinary", "large", "far apart", "offset"};
enum input { ORDINARY, LARGE, APART, OFFSET, INPUTS };

static const char *const isas[] = {"scalar", "avx2", "avx512", "avx512bf16"};

/* The default; operands copied; operands where they stand; every equation by itself. */
enum { SCHEDULES = 4 };
static const char *const schedule_name[SCHEDULES] = {"default", "packed", "where they stand", "naive"};

static float normal(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	int64_t sum = (int64_t)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));
	return (float)(sum - 131070) / 32768;
}

static int64_t elements(const struct attune_tensor *t)
{
	int64_t n = 1;
	for (int i = 0; i < t->ndim; i++)
		n *= t->shape[i];
	return n;
}

static DLTensor tensor_new(const struct attune_tensor *t, DLDataType dtype)
{
	size_t size = (size_t)elements(t) * dtype.bits / 8 + 8;
	DLTensor x = {.device = {kDLCPU, 0}, .ndim = t->ndim, .dtype = dtype, .data = malloc(size)};
	x.shape = (int64_t *)(uintptr_t)t->shape;
	if (!x.data)
		abort();
	memset(x.data, 0xff, size);
	return x;
}

/* One form at one shape: arguments as stored, as float32, and what comes out. */
struct test {
	const struct form *form;
	const struct shape *shape;
	int count;
	const struct attune_tensor *type;
	DLTensor stored[MAX_TENSORS], wide[MAX_TENSORS];
	double *exact;  /* O by the oracle */
	DLTensor *result; /* O as stored */
};

static const float *wide(const struct test *t, const char *name)
{
	for (int i = 0; i < t->count; i++)
		if (!strcmp(t->type[i].name, name))
			return t->wide[i].data;
	return NULL;
}

/* A scale; of a row or a block far from those of others where scores are to be. */
static float scale_value(enum input in, int64_t k, uint64_t *state)
{
	float s = 0.01f * (1 + 0.25f * fabsf(normal(state)));
	return in == LARGE ? s * 8 : in == APART ? ldexpf(s, (int)(k % 11) - 5) : s;
}

static void fill(struct test *t, enum input in)
{
	uint64_t state = (uint64_t)in + 1;
	for (int i = 0; i < t->count; i++) {
		const struct attune_tensor *x = &t->type[i];
		float *to = t->wide[i].data;
		int64_t row = x->ndim ? x->shape[x->ndim - 1] : 1;
		float most = !strcmp(x->type, "i8") ? 40 : !strcmp(x->type, "i4") ? 4 : 1;
		for (int64_t k = 0; k < elements(x); k++) {
			if (x->role == ATTUNE_OUT)
				continue;
			if (strstr(x->name, "_scale")) {
				to[k] = scale_value(in, k, &state) * (strstr(x->type, "f16") ? 10 : 1);
				continue;
			}
			float a = normal(&state) * most;
			if (in == LARGE)
				a *= *x->name == 'V' && most < 2 ? 100 : most < 2 ? 4 : 1;
			if (in == APART && most < 2)
				a *= ldexpf(1, (int)(k / row % 9) - 4);
			if (in == OFFSET)
				a += 2 * most;
			to[k] = a;
		}
		/* What is stored is what all compute from. */
		if (x->role == ATTUNE_IN && (attune_convert(&t->wide[i], &t->stored[i], NULL) ||
		                             attune_convert(&t->stored[i], &t->wide[i], NULL)))
			abort();
	}
}

/* ---- the careful implementation ---- */

static int64_t scale_at(enum scale s, int head, int m, int d, const struct shape *shape)
{
	int64_t row = (int64_t)head * shape->m + m;
	switch (s) {
	case SCALE_HEAD:
		return head;
	case SCALE_BLOCK:
		return (int64_t)head * (shape->m / BLOCK + 1) + m / BLOCK;
	case SCALE_ROW:
		return row;
	case SCALE_RUN:
		return row * (shape->d / RUN) + d / RUN;
	default:
		return 0;
	}
}

/* How it sums and rounds. */
struct manner {
	bool backwards;
	enum { KEEPS, ROUNDS, ROUNDS_SHARES } weights; /* … to bf16, before or after they are divided by their sum */
};

/* One sum, as products of matrices have it. */
static float dot(const float *a, const float *b, const float *scale, int n, bool backwards)
{
	float sum = 0;
	for (int k = 0; k < n; k++) {
		int i = backwards ? n - 1 - k : k;
		sum = fmaf(a[i], scale ? b[i] * scale[i / RUN] : b[i], sum);
	}
	return sum;
}

static float to_bf16(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
	memcpy(&x, &bits, sizeof x);
	return x;
}

static float score(const struct test *t, int h, int n, int m, bool backwards)
{
	const struct form *f = t->form;
	const struct shape *s = t->shape;
	int head = h / GROUP;
	const float *q = wide(t, "Q") + ((int64_t)h * s->n + n) * s->d;
	const float *k = wide(t, "K") + ((int64_t)head * s->m + m) * s->d, *ks = wide(t, "k_scale");
	float by = 1 / sqrtf((float)s->d);
	if (f->k == SCALE_RUN)
		return dot(q, k, ks + scale_at(f->k, head, m, 0, s), s->d, backwards) * by;
	if (f->k)
		by *= ks[scale_at(f->k, head, m, 0, s)];
	if (!f->q)
		return dot(q, k, NULL, s->d, backwards) * by;
	int whole = 0;
	for (int d = 0; d < s->d; d++)
		whole += (int)q[d] * (int)k[d];
	return (float)whole * (wide(t, "q_scale")[h * s->n + n] * by);
}

/* One row: the weights p of `count` keys, then the sum of what they weigh in o. 512 keys at a time, so that a long
 * sum does not grow an error with its length. */
static void weigh(const struct test *t, int head, int count, struct manner how, float *p, float *o, float *run)
{
	const struct form *f = t->form;
	const struct shape *s = t->shape;
	const float *v = wide(t, "V"), *vs = wide(t, "v_scale");
	float most = -INFINITY, sum = 0, part = 0;
	bool rows = f->v == SCALE_ROW || f->v == SCALE_BLOCK;
	for (int m = 0; m < count; m++)
		most = fmaxf(most, p[m]);
	for (int i = 0; i < count; i++) {
		int m = how.backwards ? count - 1 - i : i;
		part += p[m] = expf(p[m] - most);
		if (i % 512 == 511 || i + 1 == count) {
			sum += part;
			part = 0;
		}
	}
	memset(o, 0, (size_t)s->d * sizeof *o);
	memset(run, 0, (size_t)s->d * sizeof *run);
	for (int i = 0; i < count; i++) {
		int m = how.backwards ? count - 1 - i : i;
		int64_t at = scale_at(f->v, head, m, 0, s);
		float e = (how.weights == ROUNDS_SHARES ? p[m] / sum : p[m]) * (rows ? vs[at] : 1);
		e = how.weights == KEEPS ? e : to_bf16(e);
		for (int d = 0; d < s->d; d++) {
			float x = v[((int64_t)head * s->m + m) * s->d + d];
			run[d] = fmaf(e, f->v == SCALE_RUN ? x * vs[at + d / RUN] : x, run[d]);
		}
		for (int d = 0; (i % 512 == 511 || i + 1 == count) && d < s->d; d++) {
			o[d] += run[d];
			run[d] = 0;
		}
	}
	float after = f->v == SCALE_TENSOR || f->v == SCALE_HEAD ? vs[scale_at(f->v, head, 0, 0, s)] : 1;
	for (int d = 0; d < s->d; d++)
		o[d] = how.weights == ROUNDS_SHARES ? o[d] * after : o[d] * after / sum;
}

static void careful(const struct test *t, struct manner how, const DLTensor *to)
{
	const struct shape *s = t->shape;
	float *p = calloc((size_t)s->m, sizeof *p), *run = calloc((size_t)s->d, sizeof *run);
	float *all = calloc((size_t)(HEADS * s->n) * (size_t)s->d, sizeof *all);
	DLTensor result = *to;
	result.data = all;
	result.dtype = (DLDataType){kDLFloat, 32, 1};
	for (int row = 0; row < HEADS * s->n; row++) {
		int h = row / s->n, n = row % s->n, count = s->m;
		if (t->form->causal && n + s->m - s->n + 1 < count)
			count = n + s->m - s->n + 1;
		for (int m = 0; m < count; m++)
			p[m] = score(t, h, n, m, how.backwards);
		weigh(t, h / GROUP, count, how, p, all + (int64_t)row * s->d, run);
	}
	if (attune_convert(&result, to, NULL))
		abort();
	free(all);
	free(run);
	free(p);
}

/* ---- kernels ---- */

struct measure {
	double max, rms;
};

static struct measure measure(const struct test *t, const DLTensor *x)
{
	int64_t n = (int64_t)HEADS * t->shape->n * t->shape->d;
	DLTensor wide = *x;
	wide.dtype = (DLDataType){kDLFloat, 32, 1};
	float *data = wide.data = malloc((size_t)n * sizeof *data);
	double most = 0, largest = 0, squares = 0, errors = 0;
	if (attune_convert(x, &wide, NULL))
		abort();
	for (int64_t k = 0; k < n; k++) {
		double e = fabs((double)data[k] - t->exact[k]);
		most = e <= most ? most : isnan(e) ? (double)INFINITY : e;
		largest = fmax(largest, fabs(t->exact[k]));
		errors += isnan(e) ? (double)INFINITY : e * e;
		squares += t->exact[k] * t->exact[k];
	}
	free(data);
	return (struct measure){most / largest, sqrt(errors / squares)};
}

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = calloc(1, 1 << 16);
	if (!f || !text || !fread(text, 1, (1 << 16) - 1, f))
		abort();
	fclose(f);
	return text;
}

static char *text_of(const struct form *f)
{
	if (f->file)
		return slurp(f->file);
	char *text = calloc(1, 1 << 16), *to = text;
	int type = 0;
	if (!text)
		abort();
	for (const char *s = f->text; *s; s++)
		if (*s == '%')
			to += sprintf(to, "%s", f->types[type++]);
		else
			*to++ = *s;
	return text;
}

static struct attune_program *program_of(struct attune_context *context, const struct form *f, const struct shape *s,
                                         struct attune_error *error)
{
	char *text = text_of(f);
	struct attune_type types[] = {{"Q", f->types[0]}, {"K", f->types[1]}, {"V", f->types[2]}, {"O", f->types[3]}};
	struct attune_source source = {.text = text, .types = types, .ntypes = f->file ? 4 : 0};
	struct attune_binding rank[] = {{"B", 1}, {"H", HEADS}, {"N", s->n}, {"M", s->m}, {"D", s->d}, {"E", s->d}};
	struct attune_program *program = NULL;
	bool bad = attune_program_new(context, &source, &program, error) || attune_program_bind(program, rank, 6, error);
	struct attune_binding blocks = {"R", s->m / BLOCK + 1};
	if (bad || (f->k == SCALE_BLOCK && attune_program_bind(program, &blocks, 1, error))) {
		attune_program_free(program);
		program = NULL;
	}
	free(text);
	return program;
}

/* The default with every contraction's operand copied into panels, or with none. */
static char *schedule_text(struct attune_program *program, int which, struct attune_error *error)
{
	char *text = NULL;
	if (attune_emit(program, ATTUNE_STAGE_SCHEDULE, NULL, &text, error))
		return NULL;
	char *made = calloc(1, 2 * strlen(text) + 200), *to = made;
	for (char *line = strtok(text, "\n"); line && to; line = strtok(NULL, "\n")) {
		char *pack = strstr(line, " pack"), *steps = strstr(line, " steps");
		int length = (int)strcspn(line, "");
		if (strstr(line, "contract ") && which == 1 && !pack && !steps)
			to += sprintf(to, "%s pack\n", line);
		else if (strstr(line, "contract ") && which == 2 && pack && !strstr(line, " as "))
			to += sprintf(to, "%.*s%s\n", (int)(pack - line), line, pack + 5);
		else
			to += sprintf(to, "%.*s\n", length, line);
	}
	attune_free(text);
	return made;
}

/* Are the weights of values rounded to bf16? */
static bool rounds(const char *schedule)
{
	const char *line = strstr(schedule, "contract O");
	return line && memmem(line, strcspn(line, "\n"), "as bf16", 7);
}

static void tensors_init(struct test *t, struct attune_program *program)
{
	t->type = attune_program_tensors(program, &t->count);
	if (t->count > MAX_TENSORS)
		abort();
	for (int i = 0; i < t->count; i++) {
		const struct attune_tensor *x = &t->type[i];
		t->stored[i] = tensor_new(x, x->dtype);
		t->wide[i] = tensor_new(x, (DLDataType){kDLFloat, 32, 1});
		if (!strcmp(x->name, "O"))
			t->result = &t->stored[i];
	}
	t->exact = malloc((size_t)(HEADS * t->shape->n) * (size_t)t->shape->d * sizeof *t->exact);
}

static void tensors_free(struct test *t)
{
	for (int i = 0; i < t->count; i++) {
		free(t->stored[i].data);
		free(t->wide[i].data);
	}
	free(t->exact);
}

static bool call(struct test *t, struct attune_kernel *kernel, struct attune_error *error)
{
	const DLTensor *argument[MAX_TENSORS];
	for (int i = 0; i < t->count; i++)
		argument[i] = &t->stored[i];
	memset(t->result->data, 0xff, (size_t)HEADS * (size_t)t->shape->n * (size_t)t->shape->d * t->result->dtype.bits / 8);
	return !attune_call(kernel, argument, t->count, NULL, error);
}

/* What is expected: the oracle's, and how far careful implementations are from it, by what they do to weights. */
struct expected {
	double *exact;
	struct measure careful[3];
};

static bool expect(struct test *t, struct attune_program *program, struct expected *to, struct attune_error *error)
{
	DLTensor out[MAX_TENSORS];
	const DLTensor *argument[MAX_TENSORS];
	int64_t n = (int64_t)HEADS * t->shape->n * t->shape->d;
	for (int i = 0; i < t->count; i++) {
		out[i] = t->stored[i];
		if (t->type[i].role == ATTUNE_OUT) {
			out[i] = tensor_new(&t->type[i], (DLDataType){kDLFloat, 64, 1});
			if (&t->stored[i] == t->result) {
				free(out[i].data);
				out[i].data = t->exact;
			}
		}
		argument[i] = &out[i];
	}
	bool good = !attune_oracle(program, argument, t->count, error);
	for (int i = 0; i < t->count; i++)
		if (t->type[i].role == ATTUNE_OUT && out[i].data != t->exact)
			free(out[i].data);
	to->exact = malloc((size_t)n * sizeof *to->exact);
	memcpy(to->exact, t->exact, (size_t)n * sizeof *to->exact);
	for (int i = 0; good && i < 6; i++) {
		careful(t, (struct manner){i % 2, i / 2}, t->result);
		struct measure one = measure(t, t->result), *worst = &to->careful[i / 2];
		*worst = (struct measure){fmax(one.max, worst->max), fmax(one.rms, worst->rms)};
	}
	return good;
}

static void judge(struct test *t, struct attune_kernel *kernel, const struct expected *expected, const char *what)
{
	struct attune_kernel_info info;
	struct attune_error error = {0};
	attune_kernel_describe(kernel, &info);
	bool naive = strstr(info.schedule, "fuse none") != NULL;
	/* Where every equation is by itself, numbers are in operands and not outside the sums. */
	double bound = naive ? 4 : 2;
	for (int in = 0; in < INPUTS; in++) {
		fill(t, in);
		memcpy(t->exact, expected[in].exact, (size_t)(HEADS * t->shape->n) * (size_t)t->shape->d * sizeof *t->exact);
		if (!call(t, kernel, &error)) {
			ok(false, "%s: %s", what, error.message);
			continue;
		}
		bool may_round = t->result->dtype.code == kDLBfloat && rounds(info.schedule);
		struct measure ours = measure(t, t->result), best = expected[in].careful[!may_round ? KEEPS : naive ? ROUNDS_SHARES : ROUNDS];
		bool good = ours.max <= bound * best.max && ours.rms <= bound * best.rms;
		ok(good, "%s, %s", what, inputs[in]);
		if (!good || getenv("LONG"))
			printf("# max %.2e, rms %.2e; careful %.2e, %.2e: %.2f %.2f\n", ours.max, ours.rms, best.max, best.rms,
			       ours.max / best.max, ours.rms / best.rms);
		if (!good)
			printf("# with the schedule\n%s", info.schedule);
	}
}

/* One kernel. */
static void run(struct test *t, struct attune_context *context, const char *isa, int schedule, const struct expected *expected)
{
	char what[200];
	struct attune_error error = {0};
	struct attune_kernel *kernel = NULL;
	struct attune_program *program = program_of(context, t->form, t->shape, &error);
	snprintf(what, sizeof what, "%s: %s, N %d M %d D %d, %s", t->form->name, isa, t->shape->n, t->shape->m, t->shape->d,
	         schedule_name[schedule]);
	struct attune_compile_options options = {.wait = true, .naive = schedule == 3};
	char *text = program && (schedule == 1 || schedule == 2) ? schedule_text(program, schedule, &error) : NULL;
	options.schedule = text;
	if (program && attune_compile(program, &options, &kernel, &error) == ATTUNE_USAGE && text)
		ok(true, "%s: none such: %.100s", what, error.message);
	else if (!kernel)
		ok(false, "%s: %s", what, error.message);
	else
		judge(t, kernel, expected, what);
	free(text);
	attune_kernel_free(kernel);
	attune_program_free(program);
}

static void try_form(struct attune_context **context, int f, int s, bool all)
{
	struct test t = {.form = &forms[f], .shape = &shapes[s]};
	struct expected expected[INPUTS] = {0};
	struct attune_error error = {0};
	struct attune_program *program = program_of(context[0], t.form, t.shape, &error);
	if (!program) {
		ok(false, "%s: %s", t.form->name, error.message);
		return;
	}
	tensors_init(&t, program);
	bool good = true;
	for (int in = 0; good && in < INPUTS; in++) {
		fill(&t, in);
		good = expect(&t, program, &expected[in], &error);
	}
	if (!good)
		ok(false, "%s: oracle: %s", t.form->name, error.message);
	for (int i = 0; good && i < (int)(sizeof isas / sizeof *isas); i++)
		for (int k = 0; context[i] && k < SCHEDULES; k++)
			if (all || k == (f + s + i) % SCHEDULES)
				run(&t, context[i], isas[i], k, expected);
	for (int in = 0; in < INPUTS; in++)
		free(expected[in].exact);
	tensors_free(&t);
	attune_program_free(program);
}

int main(void)
{
	enum { ISAS_HERE = sizeof isas / sizeof *isas };
	struct attune_context *context[ISAS_HERE] = {0};
	bool all = getenv("LONG") != NULL;
	for (int i = 0; i < ISAS_HERE; i++) {
		struct attune_error error = {0};
		if (attune_context_new(&(struct attune_options){.cache = "", .threads = 1, .isa = isas[i], .target = "clang"},
		                       &context[i], &error)) {
			tap_skip(error.message);
			context[i] = NULL;
		}
	}
	for (int f = 0; context[0] && f < FORMS; f++)
		for (int s = 0; s < SHAPES; s++)
			if (all || (f + s) % 4 == 0)
				try_form(context, f, s, all);
	for (int i = 0; i < ISAS_HERE; i++)
		attune_context_free(context[i]);
	return tap_done();
}
