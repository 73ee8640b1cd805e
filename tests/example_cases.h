/* example_cases.h: what an example is tried on. tests/examples/NAME.txt belongs to examples/NAME.att:
 *
 *     # a comment
 *     tolerance 1e-4                 of compiled code, in units of an output's largest element; default 2e-5
 *     passes M 1                     traversals of a rank once what can be fused is
 *     fill                           values of inputs: equations of the language, over the example's own
 *     	doc[b,m] = m / 20             ranks, indices and params, one for each input that is given values
 *     case B=1 H=2 N=63 M=200 D=16   extents, and params; a run of everything
 *     case long B=1 …                … under LONG=1 only
 *     	doc[b,m] = 0                  in the place of that tensor's line under `fill`
 *     	expect L -inf                 all elements of an output are that
 *
 * A real input without values is random: whole multiples of 1/64 in [-2, 2), so that products of two have exact
 * sums in f32 and equal scores are equal at every stage. An integer one must be given values. `random(i; n)` is a
 * whole number below n that looks arbitrary; equations may read inputs that others give. */
#ifndef ATTUNE_TESTS_EXAMPLE_CASES_H
#define ATTUNE_TESTS_EXAMPLE_CASES_H

#include <ctype.h>
#include <glob.h>
#include <stdlib.h>

#include "tests/stages.h"

struct example_line {
	const char *name, *text; /* the tensor it is about; the statement with its continuations */
};

struct example_expectation {
	const char *tensor;
	double value;
};

enum { EXAMPLE_BINDINGS = 24 };

struct example_case {
	const char *label; /* the line that begins it, without `case` */
	bool slow;
	struct param binding[EXAMPLE_BINDINGS];
	int nbindings;
	VEC(struct example_line) fill;
	VEC(struct example_expectation) expect;
};

struct example_passes {
	const char *rank;
	int passes;
};

struct example {
	const char *name, *source;
	size_t size;
	double tolerance;
	VEC(struct example_passes) passes;
	VEC(struct example_line) fill;
	VEC(struct example_case) cases;
};

static bool example_word(const char **s, const char *word)
{
	size_t n = strlen(word);
	if (strncmp(*s, word, n) || (isalnum((unsigned char)(*s)[n]) || (*s)[n] == '_'))
		return false;
	*s += n;
	*s += strspn(*s, " \t");
	return true;
}

static const char *example_name_at(struct arena *a, const char *s)
{
	size_t n = 0;
	while (isalnum((unsigned char)s[n]) || s[n] == '_')
		n++;
	return arena_strndup(a, s, n);
}

static bool example_bindings(struct arena *a, struct example_case *k, const char *s)
{
	while (*s) {
		struct param *p = &k->binding[k->nbindings];
		p->name = example_name_at(a, s);
		s += strlen(p->name);
		char *end;
		if (!*p->name || *s != '=' || k->nbindings + 1 == EXAMPLE_BINDINGS)
			return false;
		p->value = strtod(s + 1, &end);
		if (end == s + 1)
			return false;
		s = end + strspn(end, " \t");
		k->nbindings++;
	}
	return true;
}

/* A line that belongs to the last `fill` or `case`. */
static bool example_indented(struct arena *a, struct example *e, const char *s)
{
	struct example_case *k = e->cases.n ? &e->cases.v[e->cases.n - 1] : NULL;
	if (k && example_word(&s, "expect")) {
		struct example_expectation x = {.tensor = example_name_at(a, s)};
		x.value = strtod(s + strlen(x.tensor), NULL);
		vec_push(a, &k->expect, x);
		return true;
	}
	struct example_line line = {example_name_at(a, s), s};
	if (k)
		vec_push(a, &k->fill, line);
	else
		vec_push(a, &e->fill, line);
	return *line.name;
}

/* A line that is deeper goes on with the one before. */
static bool example_continued(struct arena *a, struct example *e, const char *s)
{
	struct example_case *k = e->cases.n ? &e->cases.v[e->cases.n - 1] : NULL;
	struct example_line *last = k && k->fill.n          ? &k->fill.v[k->fill.n - 1]
	                            : k || !e->fill.n ? NULL
	                                              : &e->fill.v[e->fill.n - 1];
	if (last)
		last->text = arena_printf(a, "%s\n\t%s", last->text, s);
	return last;
}

static bool example_line(struct arena *a, struct example *e, const char *s)
{
	if (s[0] == '\t')
		return s[1] == '\t' ? example_continued(a, e, s + 1) : example_indented(a, e, s + 1);
	if (example_word(&s, "fill"))
		return !*s && !e->cases.n;
	if (example_word(&s, "tolerance"))
		return (e->tolerance = strtod(s, NULL)) > 0;
	if (example_word(&s, "passes")) {
		struct example_passes p = {.rank = example_name_at(a, s)};
		p.passes = atoi(s + strlen(p.rank));
		vec_push(a, &e->passes, p);
		return p.passes > 0;
	}
	if (!example_word(&s, "case"))
		return false;
	struct example_case k = {.label = s};
	k.slow = example_word(&s, "long");
	if (!example_bindings(a, &k, s))
		return false;
	vec_push(a, &e->cases, k);
	return true;
}

/* Both files of an example. */
static bool example_read(struct arena *a, const char *name, struct example *e, struct text *why)
{
	*e = (struct example){.name = name, .tolerance = 2e-5};
	const char *path = arena_printf(a, "tests/examples/%s.txt", name);
	e->source = stages_file(a, arena_printf(a, "examples/%s.att", name), &e->size);
	size_t size;
	char *s = stages_file(a, path, &size);
	for (int number = 1; *s; number++) {
		size_t n = strcspn(s, "\n"), used = n;
		const char *comment = memchr(s, '#', n);
		used = comment ? (size_t)(comment - s) : n;
		while (used && isspace((unsigned char)s[used - 1]))
			used--;
		if (used && !example_line(a, e, arena_strndup(a, s, used))) {
			text_printf(why, "%s:%d: cannot be read", path, number);
			return false;
		}
		s += n + (s[n] == '\n');
	}
	if (!e->cases.n)
		text_printf(why, "no case: an example needs a file %s with a line \"case\" and extents", path);
	return e->cases.n;
}

/* Gives ranks their extents; params were known when the text was parsed. How many names were ranks. */
static int example_bind(struct cascade *c, const struct example_case *k)
{
	int found = 0;
	for (int i = 0; i < k->nbindings; i++) {
		uint32_t r = cascade_find_rank(c, k->binding[i].name);
		if (r != UINT32_MAX) {
			c->rank.v[r].extent = (int64_t)k->binding[i].value;
			found++;
		}
	}
	return found;
}

/* Does the text declare a param of that name? Declared is what stands first or after a comma, outside parentheses. */
static bool example_has_param(const struct example *e, const char *name)
{
	bool param = false, first = false;
	int depth = 0;
	for (const char *s = e->source; *s; s++) {
		if (s == e->source || s[-1] == '\n') {
			const char *word = s;
			bool begins = example_word(&word, "param");
			param = begins || (param && isspace((unsigned char)*s));
			if (begins) {
				first = true;
				s = word;
			}
		}
		if (*s == '#') {
			s += strcspn(s, "\n") - 1;
		} else if (param && isalpha((unsigned char)*s)) {
			const char *rest = s;
			if (first && !depth && example_word(&rest, name))
				return true;
			first = false;
			while (isalnum((unsigned char)s[1]) || s[1] == '_')
				s++;
		} else {
			depth += (*s == '(') - (*s == ')');
			first = first ? isspace((unsigned char)*s) : *s == ',' && !depth;
		}
	}
	return false;
}

static int example_params(const struct example *e, const struct example_case *k, struct param *to)
{
	int n = 0;
	for (int i = 0; i < k->nbindings; i++)
		if (example_has_param(e, k->binding[i].name))
			to[n++] = k->binding[i];
	return n;
}

/* The cascade with its ranks bound. NULL with the reason. */
static struct cascade *example_cascade(struct arena *a, const struct example *e, const struct example_case *k,
                                       const struct param *param, int nparams, struct text *why)
{
	struct diags d;
	diags_init(&d, a, e->name, e->source, e->size);
	struct cascade *c = cascade_parse(a, e->source, e->size, param, nparams, &d);
	if (!c)
		diags_print(&d, why);
	else if (example_bind(c, k) + nparams != k->nbindings)
		text_add(why, "a name that is neither rank nor param");
	for (uint32_t r = 0; c && r < c->rank.n; r++)
		if (c->rank.v[r].extent == NOT_BOUND)
			text_printf(why, "no extent for rank %s", c->rank.v[r].name);
	return why->len ? NULL : c;
}

/* Statements of the text that begin with one of these words, and the indented lines after them. */
static void example_declarations(struct arena *a, const struct example *e, struct text *to)
{
	bool wanted = false;
	for (const char *s = e->source; *s;) {
		size_t n = strcspn(s, "\n");
		const char *line = arena_strndup(a, s, n), *word = line;
		if (!isspace((unsigned char)*s) && *s != '#')
			wanted = example_word(&word, "rank") || example_word(&word, "param") ||
			         example_word(&word, "index");
		if (wanted)
			text_printf(to, "%s\n", line);
		s += n + (s[n] == '\n');
	}
}

static const struct example_line *example_given(const struct example *e, const struct example_case *k,
                                                const char *name)
{
	for (uint32_t i = 0; i < k->fill.n; i++)
		if (!strcmp(k->fill.v[i].name, name))
			return &k->fill.v[i];
	for (uint32_t i = 0; i < e->fill.n; i++)
		if (!strcmp(e->fill.v[i].name, name))
			return &e->fill.v[i];
	return NULL;
}

static double *example_random(struct arena *a, const struct tensor *t, int64_t count, uint64_t *state)
{
	double *x = arena_new_array(a, (size_t)count + 1, double);
	for (int64_t i = 0; i < count; i++)
		x[i] = dtype_round(t->dtype, (double)stages_below(state, 256) / 64 - 2);
	return x;
}

/* Values of all inputs of a bound cascade. NULL, with the reason, when the file does not give them. */
static struct oracle_tensor *example_inputs(struct arena *a, const struct example *e,
                                            const struct example_case *k, struct cascade *c,
                                            const struct param *param, int nparams, struct text *why)
{
	struct oracle_tensor *inputs = arena_new_array(a, c->tensor.n, struct oracle_tensor);
	struct text fill;
	uint64_t state = 20;
	int given = 0;
	text_init(&fill, a);
	text_printf(&fill, "kernel fill\n");
	example_declarations(a, e, &fill);
	text_add(&fill, "fn random(i; n) = xor((i + 12345) * 40503 % 65536, (i + 777) * 9973 % 65521) % n\n");
	for (uint32_t i = 0; i < c->tensor.n; i++) {
		const struct tensor *t = &c->tensor.v[i];
		const struct example_line *line = t->role == ROLE_IN ? example_given(e, k, t->name) : NULL;
		if (line) {
			tensor_print(c, i, ROLE_OUT, &fill);
			text_printf(&fill, "%s\n", line->text);
			given++;
		} else if (t->role == ROLE_IN && (dtype_info[t->dtype].integer || t->dtype == DTYPE_BOOL)) {
			text_printf(why, "tests/examples/%s.txt gives %s no values", e->name, t->name);
		} else if (t->role == ROLE_IN) {
			inputs[i].count = stages_count(c, i);
			inputs[i].data = example_random(a, t, inputs[i].count, &state);
		}
	}
	if (why->len || !given)
		return why->len ? NULL : inputs;
	struct diags d;
	diags_init(&d, a, "fill", fill.s, fill.len);
	struct cascade *f = cascade_parse(a, fill.s, fill.len, param, nparams, &d);
	struct oracle_tensor *value = f ? arena_new_array(a, f->tensor.n, struct oracle_tensor) : NULL;
	if (f)
		example_bind(f, k);
	if (!f || !oracle_run(a, f, value, STAGES_LIMIT, &d)) {
		diags_print(&d, why);
		return NULL;
	}
	for (uint32_t i = 0; i < f->tensor.n; i++) {
		uint32_t to = cascade_find_tensor(c, f->tensor.v[i].name);
		if (f->tensor.v[i].role != ROLE_OUT)
			continue;
		inputs[to] = value[i];
		inputs[to].present = NULL;
		for (int64_t j = 0; j < value[i].count; j++)
			inputs[to].data[j] = dtype_round(c->tensor.v[to].dtype, value[i].data[j]);
	}
	return inputs;
}

/* The names of all examples, with their numbers. */
__attribute__((unused)) static void example_each(void (*each)(const char *name, int number))
{
	glob_t files;
	if (glob("examples/*.att", 0, NULL, &files))
		return;
	for (size_t i = 0; i < files.gl_pathc; i++) {
		char name[100];
		const char *base = strrchr(files.gl_pathv[i], '/') + 1;
		snprintf(name, sizeof name, "%.*s", (int)strcspn(base, "."), base);
		each(name, (int)i);
	}
	globfree(&files);
}

#endif
