/* Texts to cascades. A case is files: NAME.att with NAME.cascade (the canonical text) or NAME.err (what is
 * said of it), or both. Every text that parses, here and under examples/, prints to one that parses to the
 * same. `parse_test golden` rewrites the expectations instead. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dsl/parse.h"
#include "tests/tap.h"

static bool golden;

/* NULL when there is none. The text ends in a NUL that `size` does not count. */
static char *read_file(struct arena *a, const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	struct text t;
	char block[4096];
	if (!f)
		return NULL;
	text_init(&t, a);
	for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
		text_bytes(&t, block, n);
	fclose(f);
	*size = t.len;
	return t.s;
}

static void write_file(const char *path, const char *s)
{
	FILE *f = fopen(path, "wb");
	if (!f || fputs(s, f) == EOF || fclose(f))
		fprintf(stderr, "cannot write %s\n", path);
}

/* With GOLDEN the file becomes what was got; a file is there exactly when there is something to say. */
static void expect(struct arena *a, const char *stem, const char *extension, const char *got)
{
	size_t size;
	const char *path = arena_printf(a, "%s.%s", stem, extension);
	const char *want = read_file(a, path, &size);
	if (golden) {
		if (*got)
			write_file(path, got);
		else
			remove(path);
		return;
	}
	if (!ok(!strcmp(got, want ? want : ""), "%s", path))
		printf("# got:\n%s# end\n", got);
}

static const char *print(struct arena *a, const struct cascade *c)
{
	struct text t;
	text_init(&t, a);
	cascade_print(c, &t);
	return t.s;
}

static void round_trip(struct arena *a, const char *path, struct cascade *c)
{
	const char *once = print(a, c);
	struct diags d;
	struct text said;
	diags_init(&d, a, "printed", once, strlen(once));
	struct cascade *again = cascade_parse(a, once, strlen(once), NULL, 0, &d);
	text_init(&said, a);
	diags_print(&d, &said);
	bool same =
	        again && !strcmp(once, print(a, again)) && !strcmp(cascade_digest(c), cascade_digest(again));
	if (!ok(same && !d.errors, "%s prints to its like", path))
		printf("# %s\n%s\n%s\n", once, said.s, again ? print(a, again) : "");
}

static void try_file(const char *folder, const char *name, bool pinned)
{
	struct arena arena;
	struct diags d;
	struct text said;
	size_t size;
	arena_init(&arena);
	size_t length = strlen(name) - strlen(".att");
	const char *stem = arena_printf(&arena, "%s/%.*s", folder, (int)length, name);
	const char *path = arena_printf(&arena, "%s.att", stem);
	const char *source = read_file(&arena, path, &size);
	diags_init(&d, &arena, name, source, size);
	struct cascade *c = cascade_parse(&arena, source, size, NULL, 0, &d);
	text_init(&said, &arena);
	diags_print(&d, &said);
	if (pinned) {
		expect(&arena, stem, "err", said.s);
		expect(&arena, stem, "cascade", c ? print(&arena, c) : "");
	} else if (!golden && !ok(!said.len, "%s parses without a word", path)) {
		printf("%s", said.s);
	}
	if (!golden && !strcmp(folder, "tests/errors"))
		ok(!c && d.errors, "%s is refused", path);
	if (c && !golden)
		round_trip(&arena, path, c);
	arena_free(&arena);
}

static int is_att(const struct dirent *e)
{
	size_t n = strlen(e->d_name);
	return n > 4 && !strcmp(e->d_name + n - 4, ".att");
}

static int try_folder(const char *folder, bool pinned)
{
	struct dirent **entry;
	int n = scandir(folder, &entry, is_att, alphasort);
	for (int i = 0; i < n; i++) {
		try_file(folder, entry[i]->d_name, pinned);
		free(entry[i]);
	}
	if (n >= 0)
		free(entry);
	return n;
}

static struct cascade *parse(struct arena *a, const char *source, const struct param *p, int n,
                             struct diags *d)
{
	diags_init(d, a, "t", source, strlen(source));
	return cascade_parse(a, source, strlen(source), p, n, d);
}

/* Values from outside stand in for what the text says. */
static void params(void)
{
	static const char source[] = "rank H, N\nparam G = 4\nparam W\nin K[H/G, N]\nout O[H, N]\n"
	                             "O[h,n] = K[h/G,n] * G where n < W\n";
	struct arena a;
	struct diags d;
	arena_init(&a);
	struct param p[] = {{"G", 2}, {"W", 16}, {"Gq", 1}};
	struct cascade *c = parse(&a, source, p, 2, &d);
	const char *text = c ? print(&a, c) : "";
	ok(strstr(text, "K[h/2,n] * 2 where n < 16") != NULL, "params from outside");
	ok(!parse(&a, source, p, 1, &d) && strstr(d.list.v[0].message, "'W' has no value"),
	   "a param without value");
	ok(!parse(&a, source, p, 3, &d) && strstr(d.list.v[0].message, "no param 'Gq'") &&
	           strstr(d.list.v[0].help, "'G'"),
	   "a param that is not there");
	p[0].value = 0;
	ok(!parse(&a, source, p, 2, &d), "a param that makes the program wrong");
	p[0].value = NAN;
	ok(!parse(&a, source, p, 2, &d), "a param that is not a number");
	arena_free(&a);
}

/* Arguments of another type than the text declares. */
static void types(void)
{
	static const char source[] = "rank N, M\nin X[N, M], Y[N] : f32\nin J[N] : i32\nout O[N] : f32\n"
	                             "O[n] = sum[m](X[n,m] * Y[n]) + X[n,J[n]]\n";
	struct arena a;
	struct diags d;
	arena_init(&a);
	struct retype t[] = {{"X", "bf16"}, {"O", "f64"}, {"X", "f16"}, {"Xs", "f16"}, {"Y", "bf61"}};
	struct overrides o = {.type = t, .ntypes = 3};
	diags_init(&d, &a, "t", source, strlen(source));
	struct cascade *c = cascade_parse_with(&a, source, strlen(source), &o, &d);
	const char *text = c ? print(&a, c) : "";
	ok(strstr(text, "X[N, M] : f16") && strstr(text, "Y[N] : f32") && strstr(text, "O[N] : f64"),
	   "types from outside, the last one counts");
	o.ntypes = 5;
	ok(!cascade_parse_with(&a, source, strlen(source), &o, &d) && d.errors == 2 && !d.list.v[0].line &&
	           strstr(d.list.v[0].message, "no input or output 'Xs'") && strstr(d.list.v[0].help, "'X'") &&
	           strstr(d.list.v[1].message, "no type 'bf61' for 'Y'") && strstr(d.list.v[1].help, "'bf16'"),
	   "a tensor and a type that are not there");
	o = (struct overrides){.type = &(struct retype){"J", "f32"}, .ntypes = 1};
	diags_init(&d, &a, "t", source, strlen(source));
	ok(!cascade_parse_with(&a, source, strlen(source), &o, &d) && d.list.v[0].line == 5,
	   "a coordinate of a type that is none");
	arena_free(&a);
}

/* What does not change the kernel does not change its digest; what does, does. */
static void digests(void)
{
	static const char *const same[] = {
	        "rank N, M\nin X[N, M]\nout O[N]\nO[n] = softmax[m](X) * X[n,m]\n",
	        "# a comment\nrank A, B\nin X[A,B]\nout O[A]\n\nP = softmax[b](X)  # with a name\nO[a] = P * "
	        "X\n",
	};
	static const char *const other[] = {
	        "rank N, M\nin X[N, M]\nout O[N]\nO[n] = softmax[m](X) * X[n,m] * 2\n",
	        "rank N, M = 8\nin X[N, M]\nout O[N]\nO[n] = softmax[m](X) * X[n,m]\n",
	        "rank N, M\nin Y[N, M]\nout O[N]\nO[n] = softmax[m](Y) * Y[n,m]\n",
	};
	struct arena a;
	struct diags d;
	arena_init(&a);
	struct cascade *first = parse(&a, same[0], NULL, 0, &d), *second = parse(&a, same[0], NULL, 0, &d);
	const char *digest = cascade_digest(first);
	ok(!strcmp(digest, cascade_digest(second)), "the same text has the same digest");
	for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
		second = parse(&a, other[i], NULL, 0, &d);
		ok(second && strcmp(digest, cascade_digest(second)) != 0,
		   "another text %zu has another digest", i);
	}
	second = parse(&a,
	               "rank A, B\nindex c : B\nin X[A,B]\nout O[A]\n\n# renamed\nO[a] = softmax[c](X[a,c]) "
	               "* X[a,c]\n",
	               NULL, 0, &d);
	ok(second && !strcmp(digest, cascade_digest(second)),
	   "renamed ranks and indices have the same digest");
	second = parse(&a, same[1], NULL, 0, &d);
	ok(second != NULL, "a product of bare names is a product over all of their indices");
	arena_free(&a);
}

/* Sizes an attacker would try: an error or a cascade, soon, and no deep recursion. */
static void limits(void)
{
	static const struct {
		const char *head, *repeated, *tail;
		int times;
		const char *want; /* in some diagnostic; NULL: it parses */
	} cases[] = {
	        {"rank N\nin X[N]\nout O[N]\nO[n] = ", "X[n] + ", "1\n", 300, "nests deeper"},
	        {"rank N\nin X[N]\nout O[N]\nO[n] = ", "exp(", "X[n]", 100000, "nests deeper"},
	        {"rank N\nin X[N]\nout O[N]\n", "O[n] = X[n]\n", "", 20000, "defined twice"},
	        {"", "rank N\n", "", 5000, "already a rank"},
	        {"", "index i : N\n", "", 5000, "no 'N'"},
	        {"", "(", "", 100000, "expected a statement"},
	        {"", "def f(x) {\n", "", 10000, "never closed"},
	        {"rank N\nin X[N", ",N", "]\nout O\nO = 1\n", 9, "more than 8 ranks"},
	        {"rank N\nin X[N]\nout O[N]\nO[n] = X[", "n,", "n]\n", 70000, "nests deeper"},
	        {"rank N\nin X[N]\nout O[N]\nO[n] = X[n]\n", "T = T\n", "", 1, "reads itself"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct arena a;
		struct diags d;
		struct text t;
		arena_init(&a);
		text_init(&t, &a);
		text_add(&t, cases[i].head);
		for (int k = 0; k < cases[i].times; k++)
			text_add(&t, cases[i].repeated);
		text_add(&t, cases[i].tail);
		struct cascade *c = parse(&a, t.s, NULL, 0, &d);
		bool found = false;
		for (uint32_t k = 0; k < d.list.n; k++)
			found |= cases[i].want && strstr(d.list.v[k].message, cases[i].want) != NULL;
		if (!ok(cases[i].want ? !c && found : c != NULL, "limit: %s", cases[i].want))
			printf("# %s\n", d.list.n ? d.list.v[0].message : "nothing");
		arena_free(&a);
	}
}

/* A chain of equations in the wrong order, and templates that call each other twice. */
static void growth(void)
{
	struct arena a;
	struct diags d;
	struct text t;
	arena_init(&a);
	text_init(&t, &a);
	text_add(&t, "rank N\nin X[N]\nout O[N]\nO[n] = T0[n]\n");
	for (int i = 0; i < 2000; i++)
		text_printf(&t, "T%d[n] = T%d[n] + 1\n", i, i + 1);
	text_add(&t, "T2000[n] = X[n]\n");
	struct cascade *c = parse(&a, t.s, NULL, 0, &d);
	ok(c && c->equation.n == 2002 && c->equation.v[2001].tensor == cascade_find_tensor(c, "O"),
	   "2000 equations in reverse order");

	text_init(&t, &a);
	text_add(&t, "rank N\nin X[N]\nout O[N]\nfn f0(x) = x * x\n");
	for (int i = 1; i < 15; i++)
		text_printf(&t, "fn f%d(x) = f%d(f%d(x))\n", i, i - 1, i - 1);
	text_add(&t, "O[n] = f14(X[n])\n");
	ok(!parse(&a, t.s, NULL, 0, &d) && d.errors == 1, "2^14 templates inside each other");
	printf("# %s\n", d.list.v[0].message);

	/* Wide and shallow, and called often. */
	text_init(&t, &a);
	text_add(&t, "rank N\nin X[N]\nout O[N]\nfn leaf(x) = ");
	for (int i = 0; i < 80; i++)
		text_printf(&t, "x * %d + ", i);
	text_add(&t, "1\nfn wide(x) = ");
	for (int i = 0; i < 80; i++)
		text_printf(&t, "leaf(x + %d) + ", i);
	text_add(&t, "0\n");
	for (int i = 0; i < 90; i++)
		text_printf(&t, "T%d[n] = wide(X[n] * %d)\n", i, i + 1000);
	text_add(&t, "O[n] = T0[n]\n");
	ok(!parse(&a, t.s, NULL, 0, &d) && strstr(d.list.v[0].message, "more than 1048576 operations"),
	   "more operations than a program may have");
	if (d.list.n)
		printf("# %s\n", d.list.v[0].message);

	text_init(&t, &a);
	text_add(&t, "rank N\nin X[N]\nout O[N]\nfn g0(x) = x + 1\n");
	for (int i = 1; i < 40; i++)
		text_printf(&t, "fn g%d(x) = g%d(x)\n", i, i - 1);
	text_add(&t, "O[n] = g39(X[n])\n");
	ok(!parse(&a, t.s, NULL, 0, &d) && strstr(d.list.v[0].message, "deeper than the limit of 16"),
	   "templates too deep inside each other");
	arena_free(&a);
}

/* The n-th allocation fails, for every n: out through the arena, and nothing else. */
static void allocation(void)
{
	static const char source[] =
	        "rank N, M\nin X[N, M]\nin V[M]\nout O[N]\nout L[N]\nfn f(x; c) = c * x\n"
	        "S = f(X; 2) where m <= n\nP, L = softmax[m](S), logsumexp[m](S)\n"
	        "O[n] = P[n,m] * V[m]\nbroken[n = \n";
	volatile uint64_t total = 0;
	volatile bool all = true;
	for (volatile uint64_t n = 0; n <= total; n++) {
		struct arena a;
		struct diags d;
		jmp_buf env;
		volatile bool failed = false;
		arena_init(&a);
		a.fail_at = n;
		if (ARENA_TRY(&a, &env)) {
			parse(&a, source, NULL, 0, &d);
			if (!n)
				total = a.count;
		} else {
			failed = true;
		}
		all = all && failed == (n > 0);
		arena_free(&a);
	}
	ok(all && total > 100, "each of %d allocations can fail", (int)total);
}

/* The fenced block of docs/language.md that begins so. */
static const char *example(struct arena *a, const char *page, const char *begin)
{
	const char *from = strstr(page, arena_printf(a, "```\n%s", begin));
	const char *to = from ? strstr(from + 4, "```") : NULL;
	return to ? arena_strndup(a, from + 4, (size_t)(to - from - 4)) : "";
}

/* What the reference shows is what there is. */
static void reference(void)
{
	struct arena a;
	struct diags d;
	size_t size;
	arena_init(&a);
	const char *page = read_file(&a, "docs/language.md", &size);
	struct cascade *c = parse(&a, example(&a, page, "# Causal"), NULL, 0, &d);
	const char *canonical = example(&a, page, "X1[b,h,n,m]");
	ok(c && *canonical && strstr(print(&a, c), canonical), "the canonical cascade of the reference");
	const char *templates = example(&a, page, "fn  softcap");
	c = parse(&a,
	          arena_printf(&a, "%srank N, M\nin X[N,M]\nout O[N,M]\nO = softmax[m](l2norm[m](X))",
	                       templates),
	          NULL, 0, &d);
	ok(c && *templates, "the templates of the reference");
	arena_free(&a);
}

int main(int argc, char **argv)
{
	golden = argc > 1 && !strcmp(argv[1], "golden");
	int cases = try_folder("tests/cases", true), errors = try_folder("tests/errors", true);
	if (golden)
		return 0;
	ok(cases > 0 && errors >= 40, "%d cases, %d broken programs", cases, errors);
	ok(try_folder("examples", false) > 0, "there are examples");
	params();
	types();
	digests();
	limits();
	growth();
	reference();
	allocation();
	return tap_done();
}
