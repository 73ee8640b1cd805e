/* tile_test.c: the tile program as text, checked, run and broken. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/tile.h"
#include "tests/tap.h"

/* Causal grouped-query attention, as one would write it by hand. */
static const char attention[] =
	"program attention : f32\n"
	"| isa avx512\n"
	"| tile m:128\n"
	"index b : 2\n"
	"index h : 4\n"
	"index n : %d\n"
	"index m : %d\n"
	"index d : %d\n"
	"index e : %d\n"
	"index h_kv : 2\n"
	"in Q[2, 4, %d, %d] : f32\n"
	"in K[2, 2, %d, %d] : bf16\n"
	"in V[2, 2, %d, %d] : f32\n"
	"out O[2, 4, %d, %d] : f32\n"
	"out L[2, 4, %d] : f32\n"
	"work Kp[2, 2, %d, %d] : f32 panel 64 of 2\n"
	"value k[m:64, d:%d] : f32\n"
	"value q[n:48, d:%d] : f32\n"
	"value x1[n:48] : f32\n"
	"value x3[n:48] : f32\n"
	"value y[n:48, e:%d] : f32\n"
	"value s[n:6, m:128] : f32\n"
	"value t[n:6] : f32\n"
	"value r[n:6] : f32\n"
	"value c[n:6] : f32\n"
	"value x2[n:6, m:128] : f32\n"
	"value u[n:6] : f32\n"
	"phase pack\n"
	"  task b by 1\n"
	"  task h_kv by 1\n"
	"  task m by 64\n"
	"  k = load K[b,h_kv,m,d]\n"
	"  store Kp[b,h_kv,m,d] = k\n"
	"phase main\n"
	"  task b by 1\n"
	"  task h by 1\n"
	"  task n by 48 down\n"
	"  q = load Q[b,h,n,d] * 0.125\n"
	"  x1 = map -inf\n"
	"  x3 = map 0\n"
	"  y = map 0\n"
	"  for m by 128 from max(0, low(n) - %d) // 128 * 128 to high(n) + %d\n"
	"    for n by 6 from low(n) to high(n) + 1\n"
	"      if high(m) < low(n) + %d and high(n) - low(m) <= %d\n"
	"        s = contract q, Kp[b,h/2,m,d] over d rows n:6 lanes m:4\n"
	"        t = reduce max over m of s\n"
	"        r = map max(x1, t)\n"
	"        c = map select(r == -inf, 0, exp(x1 - r))\n"
	"        x2 = map exp(s - r)\n"
	"        u = reduce sum over m of x2\n"
	"        x3 = map x3 * c + u\n"
	"        y = contract x2, V[b,h/2,m,e] over m rows n:6 lanes e:4 accumulate scale c\n"
	"        x1 = map r\n"
	"      else\n"
	"        narrow m by 64 from low(n) - %d to high(n) + %d\n"
	"        s = contract q, Kp[b,h/2,m,d] over d rows n:6 lanes m:4\n"
	"        s = map select(m < n + %d and n - m <= %d, s, -inf)\n"
	"        t = reduce max over m of s\n"
	"        r = map max(x1, t)\n"
	"        c = map select(r == -inf, 0, exp(x1 - r))\n"
	"        x2 = map select(r == -inf, 0, exp(s - r))\n"
	"        u = reduce sum over m of x2\n"
	"        x3 = map x3 * c + u\n"
	"        y = contract x2, V[b,h/2,m,e] over m rows n:6 lanes e:4 accumulate scale c\n"
	"        x1 = map r\n"
	"  store O[b,h,n,e] = select(x3 != 0, y / x3, 0)\n"
	"  store L[b,h,n] = select(x3 != 0, log(x3) + x1, -inf)\n";

struct shape {
	int n, m, d, e;
	int ahead, back; /* present: m < n + ahead and n - m <= back */
};

static struct text attention_text(struct arena *a, struct shape s)
{
	struct text t;
	text_init(&t, a);
	text_printf(&t, attention, s.n, s.m, s.d, s.e, s.n, s.d, s.m, s.d, s.m, s.e, s.n, s.e, s.n, s.m, s.d, s.d,
	            s.d, s.e, s.back, s.ahead, s.ahead, s.back, s.back, s.ahead, s.ahead, s.back);
	return t;
}

static struct tile_program *parse(struct arena *a, const char *s, struct text *errors)
{
	struct diags d;
	diags_init(&d, a, "program.tile", s, strlen(s));
	struct tile_program *p = tile_parse(a, s, strlen(s), &d);
	text_init(errors, a);
	diags_print(&d, errors);
	return p;
}

static uint64_t state = 7;
static double uniform(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (double)(state >> 40) / (1 << 23) - 1;
}

static double *filled(struct arena *a, int64_t n, double scale)
{
	double *x = arena_new_array(a, (size_t)n, double);
	for (int64_t i = 0; i < n; i++)
		x[i] = scale * uniform();
	return x;
}

/* The largest difference; NaN where either is. */
static double apart(const double *x, const double *y, int64_t n)
{
	double most = 0;
	for (int64_t i = 0; i < n; i++) {
		double d = x[i] == y[i] ? 0 : fabs(x[i] - y[i]);
		if (!(d <= most))
			most = d;
	}
	return most;
}

static void plain_attention(struct shape s, const double *q, const double *k, const double *v, double *o, double *l)
{
	double *w = malloc((size_t)s.m * sizeof *w);
	for (int row = 0; row < 8 * s.n; row++) {
		int n = row % s.n, kv = row / s.n / 4 * 2 + row / s.n % 4 / 2;
		double most = -INFINITY, sum = 0;
		for (int m = 0; m < s.m; m++) {
			w[m] = -INFINITY;
			if (m >= n + s.ahead || n - m > s.back)
				continue;
			w[m] = 0;
			for (int d = 0; d < s.d; d++)
				w[m] += q[row * s.d + d] * 0.125 * k[(kv * s.m + m) * s.d + d];
			most = fmax(most, w[m]);
		}
		for (int e = 0; e < s.e; e++)
			o[row * s.e + e] = 0;
		l[row] = -INFINITY;
		for (int m = 0; m < s.m; m++)
			sum += most > -INFINITY ? exp(w[m] - most) : 0;
		if (sum > 0)
			l[row] = most + log(sum);
		for (int m = 0; m < s.m && sum > 0; m++)
			for (int e = 0; e < s.e; e++)
				o[row * s.e + e] += exp(w[m] - most) / sum * v[(kv * s.m + m) * s.e + e];
	}
	free(w);
}

static void run_attention(struct shape s)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "memory");
		return;
	}
	struct text source = attention_text(&a, s), errors, reason, again;
	struct tile_program *p = parse(&a, source.s, &errors);
	text_init(&reason, &a);
	text_init(&again, &a);
	if (!p || !tile_check(p, &reason)) {
		ok(false, "N %d M %d: %s %s", s.n, s.m, errors.s, reason.s);
		arena_free(&a);
		return;
	}
	tile_print(p, &again);
	struct text third;
	text_init(&third, &a);
	struct tile_program *second = parse(&a, again.s, &errors);
	if (second)
		tile_print(second, &third);
	ok(second && !strcmp(again.s, third.s), "N %d M %d: text round-trips", s.n, s.m);
	int64_t rows = 8 * s.n;
	double *tensor[6] = {filled(&a, rows * s.d, 6), filled(&a, 4 * s.m * s.d, 6), filled(&a, 4 * s.m * s.e, 1),
	                     filled(&a, rows * s.e, 1), filled(&a, rows, 1)};
	double *o = filled(&a, rows * s.e, 0), *l = filled(&a, rows, 0);
	plain_attention(s, tensor[0], tensor[1], tensor[2], o, l);
	bool ran = tile_run(&a, p, tensor, false, &reason);
	double error = ran ? fmax(apart(tensor[3], o, rows * s.e), apart(tensor[4], l, rows)) : (double)NAN;
	ok(ran && error < 1e-11, "N %d M %d D %d E %d ahead %d back %d: as plain loops, error %g %s", s.n, s.m, s.d,
	   s.e, s.ahead, s.back, error, reason.s);
	ran = tile_run(&a, p, tensor, true, &reason);
	error = ran ? fmax(apart(tensor[3], o, rows * s.e), apart(tensor[4], l, rows)) : (double)NAN;
	ok(ran && error < 1e-4 && error > 0, "… rounded to f32, error %g", error);
	struct tile_cost cost = tile_cost(p);
	double whole = 2.0 * 8 * s.n * (double)s.m * (s.d + s.e);
	if (s.ahead > s.m && s.back > s.n)
		ok(cost.contract_flops == whole, "without a mask the work is whole: %g", cost.contract_flops);
	else
		ok(cost.contract_flops <= whole && cost.exps > 0 && cost.bytes > 0, "a mask adds no work: %g of %g",
		   cost.contract_flops, whole);
	arena_free(&a);
}

/* Replaces the first `from` in the attention program; the check must refuse it for `why`. */
struct broken {
	const char *from, *to, *why;
};

static const struct broken broken[] = {
	{"contract q, Kp", "contract x2, Kp", "x2 is used before it is assigned"},
	{"V[b,h/2,m,e]", "V[b,m,h/2,e]", "the contraction runs past the extents of V"},
	{"V[b,h/2,m,e]", "V[b,h/2,m%16,e]", "V is not read at its lanes e and contracted rank m in their places"},
	{"V[b,h/2,m,e]", "V[b,h/2,e,m/2]", "V is not read at its lanes e and contracted rank m in their places"},
	{"Kp[b,h/2,m,d] over d", "Kp[b,h/2,d,m] over d", "Kp is not read at its lanes m"},
	{"Kp[b,h/2,m,d] over d", "K[b,h/2,m,d] over d as f16", "K is bf16, where the operands are multiplied in f16"},
	{"rows n:6 lanes m:4", "rows n:6 lanes e:4", "Kp is not read at its lanes e"},
	{"rows n:6 lanes m:4", "lanes m:4", "q has rank n, which has no coordinate here"},
	{"rows n:6 lanes m:4", "rows n:6 lanes m:3", "a panel of 64 is not cut into 3 vectors"},
	{"value s[n:6, m:128]", "value s[n:6, m:127]", "s has room for 127 of rank m, whose range has up to 128"},
	{"value q[n:48, d:", "value q[n:47, d:", "q has room for 47 of rank n"},
	{"for m by 128 from", "for m by 96 from", "the range of m may begin inside a panel of 64 of Kp"},
	{"narrow m by 64 from", "narrow m by 32 from", "the range of m may begin inside a panel of 64 of Kp"},
	{"task m by 64", "task m by 32", "the range of m may begin inside a panel of 64 of Kp"},
	{"r = map max(x1, t)", "r = map max(x1, Q[b,h,n,0])", "Q is read outside load, select and contract"},
	{"q = load Q[b,h,n,d] * 0.125", "q = load x1 * Q[b,h,n,d]", "a load reads tensors, not the value x1"},
	{"q = load Q[b,h,n,d]", "q = load Q[b,h,n,e]", "index e has no coordinate here"},
	{"q = load Q[b,h,n,d]", "q = load O[b,h,n,d]", "O is read before a phase has stored it"},
	{"store O[b,h,n,e] =", "store Q[b,h,n,e] =", "Q is an input"},
	{"store O[b,h,n,e] =", "store O[b,h,n,d] =", "y has rank e, which has no coordinate here"},
	{"store O[b,h,n,e] =", "store O[b,h,n,n] =", "index n is twice in the target"},
	{"store O[b,h,n,e] =", "store O[b,b,n,e] =", "index b is twice in the target"},
	{"store L[b,h,n] =", "store L[b,h_kv,n] =", "tasks along h store to the same elements"},
	{"store L[b,h,n] = select(x3 != 0, log(x3) + x1, -inf)", "store L[b,h,n] = log(s)", "s is used before"},
	{"t = reduce max over m of s", "t = reduce max over d of s", "s has rank m, which has no coordinate"},
	{"t = reduce max over m of s", "t = reduce mean over m of s", "mean is no fold"},
	{"t = reduce max over m of s", "s = reduce max over m of s", "s keeps rank m, which is reduced"},
	{"  y = map 0\n", "", "y is accumulated before it is assigned"},
	{"accumulate scale c", "accumulate scale s", "s has rank m, which has no coordinate here"},
	{"y = contract x2,", "y = contract y,", "the last rank of y is not m"},
	{"x2 = map exp(s - r)", "x2 = map exp(s - r) else 0", "'else' has no meaning"},
	{"if high(m) <", "if x3 < 1 and high(m) <", "x3 has rank n, which has no coordinate here"},
	{"if high(m) <", "if n <", "index n has no coordinate here"},
	{"value t[n:6] : f32", "value t[n:6] : i32", "a real is assigned to what holds integers"},
	{"value x2[n:6, m:128] : f32", "value x2[n:6, m:128] : f64", "value x2 is f64, not f32 or i32"},
	{"value c[n:6]", "value c[n:6, n:6]", "value c has a rank twice"},
	{"panel 64 of 2", "panel 64 of 1", "panels cut one of the last two ranks"},
	{"store Kp[b,h_kv,m,d] = k", "store Kp[b,h_kv,m,d] = k\n  q = load Kp[b,h_kv,m,d]",
	 "index m has no coordinate here"},
	{"store Kp[b,h_kv,m,d] = k", "store Kp[b,h_kv,m,d] = k\n  k = load Kp[b,h_kv,m,d]",
	 "Kp is read in the phase that stores it"},
	{": f32\n| isa", ": bf16\n| isa", "computation is in f32 or f64, not bf16"},
};

static char *replaced(struct arena *a, const char *s, const char *from, const char *to)
{
	const char *at = strstr(s, from);
	return at ? arena_printf(a, "%.*s%s%s", (int)(at - s), s, to, at + strlen(from)) : NULL;
}

static void refuse(void)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "memory");
		return;
	}
	struct text source = attention_text(&a, (struct shape){63, 200, 64, 64, 1, 1000});
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
		struct text errors, reason;
		char *s = replaced(&a, source.s, broken[i].from, broken[i].to);
		struct tile_program *p = s ? parse(&a, s, &errors) : NULL;
		text_init(&reason, &a);
		bool good = p && !tile_check(p, &reason) && strstr(reason.s, broken[i].why);
		if (!ok(good, "refused: %s", broken[i].why))
			printf("# %s %s\n", p ? reason.s : s ? errors.s : "not in the text:", broken[i].from);
	}
	arena_free(&a);
}

/* Texts that do not parse; each names its place. */
static void misspelled(void)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"", "expected 'program'"},
		{"program p : f32\nindex n : -4\n", "expected a whole number from 0"},
		{"program p : f32\nindex n : 4\nindex n : 5\n", "'n' is declared twice"},
		{"program p : f32\nindex n : 4.5\n", "expected a whole number"},
		{"program p : f33\n", "there is no type 'f33'"},
		{"program p : f32\nvalue x[k:4] : f32\n", "there is no index 'k'"},
		{"program p : f32\nphase a\n  x = map 0\n", "there is no value 'x'"},
		{"program p : f32\nvalue x[] : f32\nphase a\n  x = maps 0\n", "expected 'load', 'map'"},
		{"program p : f32\nvalue x[] : f32\nphase a\n  x = map y\n", "there is no index or value 'y'"},
		{"program p : f32\nin T[4] : f32\nvalue x[] : f32\nphase a\n  x = load T[0,0]\n",
		 "'T' has 1 ranks, not 2"},
		{"program p : f32\nvalue x[] : f32\nphase a\n  x = reduce most over n of 1\n", "no reduction 'most'"},
		{"program p : f32\nvalue x[] : f32\nphase a\n  x = map 1\n    x = map 2\n", "indented unlike"},
		{"program p : f32\nthing\n", "expected 'index', 'in'"},
		{"program p : f32\nvalue x[] : f32\nphase a\n  store x = 1\n", "expected a tensor"},
	};
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "memory");
		return;
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct text errors;
		struct tile_program *p = parse(&a, bad[i].text, &errors);
		const char *why = bad[i].why;
		if (!ok(!p && strstr(errors.s, why) && strstr(errors.s, "program.tile:"), "misspelled: %s", why))
			printf("# %s\n", errors.s);
	}
	arena_free(&a);
}

struct outcome {
	int tried, parsed, ran;
};

/* Cuts the text at byte `at`, or drops that byte. */
static void mutilate(const char *whole, size_t at, struct outcome *o)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	o->tried++;
	if (ARENA_TRY(&a, &env)) {
		char *s = arena_strdup(&a, whole);
		if (at % 2)
			s[at] = 0;
		else
			memmove(s + at, s + at + 1, strlen(whole) - at);
		struct text errors, reason;
		struct tile_program *p = parse(&a, s, &errors);
		text_init(&reason, &a);
		o->parsed += p != NULL;
		if (p && p->tensor.n <= 8 && tile_check(p, &reason)) {
			double *tensor[8];
			for (uint32_t t = 0; t < p->tensor.n; t++)
				tensor[t] = filled(&a, 1 << 12, 1);
			o->ran += tile_run(&a, p, tensor, false, &reason);
			tile_cost(p);
		}
	}
	arena_free(&a);
}

/* A program or a refusal; never a crash. */
static void mutilated(void)
{
	struct arena a;
	jmp_buf env;
	struct outcome o = {0};
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		struct text whole = attention_text(&a, (struct shape){7, 9, 4, 4, 1, 1000});
		for (size_t i = 0; i < whole.len; i += 3)
			mutilate(whole.s, i, &o);
	}
	ok(o.tried > 500 && o.parsed > 20 && o.ran > 2, "%d mutilated texts: %d parse, %d run", o.tried, o.parsed,
	   o.ran);
	arena_free(&a);
}

/* Parses, checks and runs with the n-th allocation failing; true when there was no n-th. */
static bool starved(const char *source, uint64_t n)
{
	struct arena a;
	jmp_buf env;
	volatile bool finished = false;
	arena_init(&a);
	a.fail_at = n;
	if (ARENA_TRY(&a, &env)) {
		struct text errors, reason;
		struct tile_program *p = parse(&a, source, &errors);
		double *tensor[8] = {0};
		text_init(&reason, &a);
		for (uint32_t t = 0; p && t < p->tensor.n; t++)
			tensor[t] = filled(&a, 1 << 10, 1);
		finished = p && tile_run(&a, p, tensor, false, &reason);
	}
	arena_free(&a);
	return finished;
}

static void out_of_memory(void)
{
	struct arena a;
	jmp_buf env;
	volatile uint64_t n = 1;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		struct text whole = attention_text(&a, (struct shape){3, 5, 2, 2, 1, 1000});
		while (n < 20000 && !starved(whole.s, n))
			n += 1 + n / 64;
	}
	ok(n > 500 && n < 20000, "an allocation that fails anywhere ends the work, no more (about %llu of them)",
	   (unsigned long long)n);
	arena_free(&a);
}

int main(void)
{
	static const struct shape shapes[] = {
		{63, 200, 64, 64, 1, 1000}, {200, 63, 60, 64, 1, 1000}, {1, 1, 64, 64, 1, 1000},
		{200, 200, 64, 16, 1, 40},  {63, 1, 8, 8, 1, 1000},     {1, 200, 8, 8, 500, 1000},
		{63, 200, 16, 8, 500, 1000}, {130, 300, 8, 8, -70, 1000}, {200, 20, 8, 8, 1, 9},
	};
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		run_attention(shapes[i]);
	refuse();
	misspelled();
	mutilated();
	out_of_memory();
	return tap_done();
}
