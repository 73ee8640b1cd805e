/* Faults planted in a generated kernel, examples/flash_causal_gqa.att in bf16 with a ring of three stages: each is a
 * pattern in its text and what to put there instead, and each must show under the emulator, by a finding or by a wrong
 * result. What caught it, in which orders, is told. Faults that only the compiler for devices can see are planted where
 * there is one. */
#include <math.h>
#include <regex.h>
#include <stdio.h>

#include "codegen/schedule.h"
#include "dsl/parse.h"
#include "tests/emulated.h"
#include "tests/tap.h"

static struct arena arena;

/* ---- the kernel ---- */

/* The ring goes round in the longer one; in the shorter one its last tile is both new and not full, and there are two
 * batches and two groups of heads. */
static const struct shape {
	int64_t batches, heads, length;
} shapes[] = {{2, 8, 80}, {1, 4, 150}};
enum { SHAPES = 2 };

static struct subject {
	struct tile_program *program;
	struct kernel_source source;
	double **tensor, **expected;
} subject[SHAPES];

static char *read_text(const char *path, size_t *size)
{
	FILE *f = fopen(path, "r");
	struct text t;
	text_init(&t, &arena);
	for (int c; f && (c = getc(f)) != EOF;)
		text_char(&t, (char)c);
	if (f)
		fclose(f);
	*size = t.len;
	return t.s;
}

static struct tile_program *build(const struct shape *shape, struct text *why)
{
	static const struct machine machine = {.isa = ISA_SM80,
	                                       .cores = 1,
	                                       .processors = 108,
	                                       .shared = 163 << 10,
	                                       .shared_all = 164 << 10,
	                                       .capability = 80};
	static const struct retype type[] = {{"Q", "bf16"}, {"K", "bf16"}, {"V", "bf16"}, {"O", "bf16"}};
	static const struct overrides with = {.type = type, .ntypes = 4};
	size_t size;
	const char *path = "examples/flash_causal_gqa.att", *source = read_text(path, &size);
	struct diags d;
	diags_init(&d, &arena, path, source, size);
	struct cascade *c = cascade_parse_with(&arena, source, size, &with, &d);
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND) {
			char name = *c->rank.v[i].name;
			c->rank.v[i].extent = name == 'B'                  ? shape->batches
			                      : name == 'H'                ? shape->heads
			                      : name == 'N' || name == 'M' ? shape->length
			                                                   : 64;
		}
	struct problem *p = c ? problem_new(&arena, c, &machine, &d) : NULL;
	diags_print(&d, why);
	if (!p)
		return NULL;
	struct schedule s = schedule_default(p, ISA_SM80);
	struct stream_schedule *stream = &s.stream[0];
	stream->stream_tile = 32;
	stream->stages = 3;
	stream->contract[0].lanes = 4;
	const char *illegal = schedule_illegal(&arena, p, &s);
	if (illegal)
		text_add(why, illegal);
	return illegal ? NULL : tile_build(&arena, p, &s);
}

static bool prepare(struct subject *s, const struct shape *shape, struct text *why)
{
	s->program = build(shape, why);
	if (!s->program)
		return false;
	s->source = emit_cuda(&arena, s->program);
	uint32_t n = s->program->tensor.n;
	s->tensor = arena_new_array(&arena, n, double *);
	s->expected = arena_new_array(&arena, n, double *);
	uint64_t random = 5;
	for (uint32_t i = 0; i < n; i++) {
		const struct tile_tensor *t = &s->program->tensor.v[i];
		size_t count = (size_t)emulated_count(t);
		s->tensor[i] = arena_new_array(&arena, count, double);
		s->expected[i] = t->role == ROLE_IN ? s->tensor[i] : arena_new_array(&arena, count, double);
		for (size_t k = 0; t->role == ROLE_IN && k < count; k++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			s->tensor[i][k] = dtype_round(t->dtype, (double)(random >> 40) / (1 << 22) - 2);
		}
	}
	return s->source.text && tile_run(&arena, s->program, s->expected, false, why);
}

/* How the kernel with this text went wrong in an order: a finding, "wrong result …"; NULL: it did not. */
static const char *went_wrong(struct emulated *k, const struct subject *s, enum emulate_order order)
{
	struct text said;
	text_init(&said, &arena);
	k->steps = 1 << 22;
	if (!emulated_run(k, s->tensor, order, &said))
		return said.s;
	for (int i = 0; i < k->tensors; i++) {
		const struct tile_tensor *t = &s->program->tensor.v[i];
		double worst = 0;
		for (int64_t e = 0; t->role == ROLE_OUT && e < emulated_count(t); e++) {
			double error = fabs(s->tensor[i][e] - s->expected[i][e]);
			worst = error <= worst ? worst : isnan(error) ? (double)INFINITY : error;
		}
		if (worst > 0.02)
			return arena_printf(&arena, "wrong result: %s is off by %g", t->name, worst);
	}
	return NULL;
}

/* ---- faults ---- */

struct fault {
	const char *what;
	const char *pattern, *by; /* POSIX extended; \1 … in `by` */
	int place;                /* which match is changed, from 1; 0: all */
};

#define WAIT "at_cp_wait\\(1\\);"
#define BARRIER "at_barrier\\(\\);"

static const struct fault fault[] = {
        {"no wait for copies in the loop", WAIT, "", 0},
        {"a wait for one group too few", WAIT, "at_cp_wait(2);", 0},
        {"no barrier after the wait", "(" WAIT "[ \t\n]*)" BARRIER, "\\1", 0},
        {"the barrier before the wait", "(" WAIT ")([ \t\n]*)(" BARRIER ")", "\\3\\2\\1", 0},
        {"a barrier of the warp only", "(" WAIT "[ \t\n]*)" BARRIER, "\\1at_warp_sync();", 0},
        {"a barrier that a warp skips", "(" WAIT "[ \t\n]*)" BARRIER, "\\1if (warp != 2) at_barrier();", 0},
        {"a barrier that a lane skips", "(" WAIT "[ \t\n]*)" BARRIER, "\\1if (lane) at_barrier();", 0},
        {"queries are read before they are there", "at_cp_wait\\(2\\);[ \t\n]*" BARRIER, "", 1},
        {"a group is not committed", "at_cp_commit\\(\\);", "", 1},
        {"no group is committed in the loop", "(\\}[ \t\n]*)at_cp_commit\\(\\);([ \t\n]*if \\(\\(m_high)", "\\1\\2", 1},
        {"the next tile into the stage in use", "\\(m_step \\+ 2\\) % 3", "m_step % 3", 0},
        {"the stage that is being filled is read", "const int stage = m_step % 3", "const int stage = (m_step + 2) % 3", 1},
        {"a stage less than there are tiles under way", "m_step % 3", "m_step % 2", 0},
        {"tiles are stored without the swizzle", "\\(part \\^ \\(row & 7\\)\\)", "part", 2},
        {"a swizzle by other bits of the row", "part \\^ \\(row & 7\\)", "part ^ (row >> 1 \\& 7)", 1},
        {"keys are read without the swizzle", "\\(\\(lane >> 3 & 1\\) \\^ \\(lane & 7\\)\\)", "(lane >> 3 \\& 1)", 0},
        {"values are read without the swizzle", "(lane & 15\\) \\* 128 \\+ )\\(\\(lane >> 4\\) \\^ \\(lane & 7\\)\\)", "\\1(lane >> 4)", 1},
        {"values are not transposed", "at_ldmatrix_x4_trans", "at_ldmatrix_x4", 0},
        {"keys are transposed", "at_ldmatrix_x4\\(y", "at_ldmatrix_x4_trans(y", 0},
        {"rows of matrices in the wrong order", "\\(lane & 7\\) \\+ \\(lane >> 4\\) \\* 8", "(lane \\& 15)", 0},
        {"fragments of a in the order of b", "x\\[i\\]\\[1\\] =([^;]*);([ \t\n]*)x\\[i\\]\\[2\\] =",
         "x[i][2] =\\1;\\2x[i][1] =", 0},
        {"halves of a register the wrong way round",
         "at_pack_bf16\\((x3\\[i\\]\\[2 \\* k\\]\\[0\\]), (x3\\[i\\]\\[2 \\* k\\]\\[1\\])\\)", "at_pack_bf16(\\2, \\1)", 0},
        {"halves of b the wrong way round", "(at_mma_bf16\\(o_sum[^;]*), y\\[0\\], y\\[1\\]\\)", "\\1, y[1], y[0])", 0},
        {"a product of the neighbour's columns", "(at_mma_bf16\\(x1[^;]*), y\\[0\\], y\\[1\\]\\)", "\\1, y[2], y[3])", 0},
        {"registers of a are overwritten before they are used",
         "(at_mma_bf16\\(o_sum\\[i\\]\\[j\\], x\\[i\\], y\\[0\\], y\\[1\\]\\);)", "\\1 x[i][0] = y[0];", 0},
        {"matrices at odd addresses", "(at_ldmatrix_x4_trans\\(y, [^;]*)\\);", "\\1 + 8);", 0},
        {"copies from odd addresses", "K_stride2 \\+ part \\* 8", "K_stride2 + part * 4", 0},
        {"copies to odd addresses", "at_cp_async\\(shared \\+", "at_cp_async(shared + 4 +", 1},
        {"one row too many is loaded", "row < left", "row <= left", 0},
        {"rows beyond the end are fetched", "const int ok = row < left", "const int ok = 1", 0},
        {"rows beyond the end are not zeroes", "(const int ok = row < left;[ \t\n]*)(at_cp_async)", "\\1if (ok) \\2", 0},
        {"half of each chunk is fetched", "16, ok \\? 16 : 0", "16, ok ? 8 : 0", 0},
        {"one row too many is stored", "n <= n_high", "n <= n_high + 1", 0},
        {"one row too few is stored", "n <= n_high", "n < n_high", 0},
        {"every lane of a row stores it, another value", "n <= n_high && t == 0\\) \\{([^;]*)x2\\[0\\]\\[half\\]",
         "n <= n_high) {\\1t + x2[0][half]", 1},
        {"a row's wrong lane stores its neighbour's", "const int e = j \\* 8 \\+ t \\* 2",
         "const int e = j * 8 + (t ^ 1) * 2", 0},
        {"the result goes to the wrong rows", "\\+ n \\* O_stride2", "+ (n ^ 1) * O_stride2", 0},
        {"shared memory without its base", "shared = at_shared_base\\(\\)", "shared = 0", 1},
        {"the result begins unset", "o_sum\\[0\\]\\[j\\]\\[half \\* 2 \\+ odd\\] = [^;]*;", "", 1},
        {"scores begin unset", "x1\\[i\\]\\[j\\]\\[2 \\* h[_0-9]*\\] = 0;", "", 0},
        {"no mask at the diagonal", "s_select\\(m <= n, ", "s_select(1, ", 0},
        {"a mask that is one off", "m <= n,", "m < n,", 0},
        {"the result is not corrected", "o_sum\\[i\\]\\[j\\]\\[2 \\* h[_0-9]*\\] \\*= [^;]*;", "", 0},
        {"the sum is not corrected", "\\(x4\\[0\\]\\[half\\] \\* [^)]*\\)", "x4[0][half]", 0},
        {"a shuffle across rows", "PARTNER\\(a, 2\\)", "PARTNER(a, 4)", 1},
        {"half the lanes of a row are left out", "return fold\\(a, PARTNER\\(a, 2\\)\\);", "return a;", 1},
        {"a shuffle in a branch", "s_quad_max\\(([a-z0-9_]*)\\)", "(lane < 16 ? s_quad_max(\\1) : \\1)", 0},
        {"a warp leaves early", "int rest = task;", "int rest = task; if (warp == 3) return;", 1},
        {"the walk ends a step early", "m_step < m_steps; m_step\\+\\+", "m_step < m_steps - 1; m_step++", 1},
        {"a loop that does not end", "m_step < m_steps; m_step\\+\\+", "m_step < m_steps; at_thread()", 1},
        {"the first batch's values", "b \\* V_stride0", "0 * V_stride0", 0},
        {"one group of heads only", "\\(h >> 2\\) \\* K_stride1", "(h >> 3) * K_stride1", 0},
        {"the wrong head's keys", "\\(h >> 2\\) \\* K_stride1", "h * K_stride1", 0},
        {"the result goes over the queries", "unsigned short \\*const O = \\(unsigned short \\*\\)AT_ARGS->data\\[3\\]",
         "unsigned short *const O = (unsigned short *)AT_ARGS->data[0]", 1},
};

/* Only code of Clang's checks it. */
static const struct fault past_end =
        {"a subscript past the end of a fragment", "(int k = 0; k < 2;[^{]*\\{[ \t\n]*unsigned x\\[1\\]\\[4\\];[ \t\n]*AT_UNROLL[ "
         "\t\n]*for \\(int i = 0; i < )1", "\\12", 1};

/* `by` with what the groups matched. */
static void replace(struct text *to, const char *by, const char *at, const regmatch_t *group)
{
	for (; *by; by++)
		if (*by == '\\' && by[1] >= '1' && by[1] <= '9') {
			const regmatch_t *g = &group[*++by - '0'];
			text_bytes(to, at + g->rm_so, (size_t)(g->rm_eo - g->rm_so));
		} else if (*by == '\\') {
			text_char(to, *++by);
		} else {
			text_char(to, *by);
		}
}

/* The text with the fault in it; NULL when its place is not there. */
static char *changed(const char *text, const struct fault *f)
{
	regex_t pattern;
	regmatch_t group[10];
	struct text to;
	int place = 0, changes = 0;
	if (regcomp(&pattern, f->pattern, REG_EXTENDED))
		return NULL;
	text_init(&to, &arena);
	while (!regexec(&pattern, text, 10, group, 0) && group[0].rm_eo > group[0].rm_so) {
		text_bytes(&to, text, (size_t)group[0].rm_so);
		bool here = !f->place || ++place == f->place;
		if (here)
			replace(&to, f->by, text, group);
		else
			text_bytes(&to, text + group[0].rm_so, (size_t)(group[0].rm_eo - group[0].rm_so));
		changes += here;
		text += group[0].rm_eo;
	}
	text_add(&to, text);
	regfree(&pattern);
	return changes ? to.s : NULL;
}

static void plant(const struct fault *f)
{
	struct text said, orders;
	const char *first = NULL;
	bool in[EMULATE_ORDERS] = {false}, applies = true;
	text_init(&said, &arena);
	text_init(&orders, &arena);
	for (int i = 0; i < SHAPES && applies && memchr(in, false, sizeof in); i++) {
		struct kernel_source bad = subject[i].source;
		struct emulated k;
		applies = (bad.text = changed(bad.text, f)) != NULL;
		if (!applies || !emulated_open(&k, &arena, subject[i].program, &bad, &said))
			break;
		for (enum emulate_order o = 0; o < EMULATE_ORDERS; o++) {
			const char *how = went_wrong(&k, &subject[i], o);
			in[o] |= how != NULL;
			first = first ? first : how;
		}
		emulated_close(&k);
	}
	for (enum emulate_order o = 0; o < EMULATE_ORDERS; o++)
		if (in[o])
			text_printf(&orders, "%s%s", orders.len ? ", " : "", emulate_order_name[o]);
	if (!ok(first && !said.len, "%s: caught in %s", f->what, orders.s))
		printf("# %s\n", !applies ? "there is no such place" : said.len ? said.s : "nothing went wrong");
	else
		printf("#   %.*s\n", (int)strcspn(first, "\n"), first);
}

/* ---- what only the compiler for devices sees ---- */

static const struct fault unseen[] = {
        {"registers for eight times the threads", "(AT_KERNEL\\([a-z0-9_]*), 128\\)", "\\1, 1024)", 1},
        {"accumulators by a subscript that is not constant",
         "AT_UNROLL([ \t\n]*for \\(int j = 0; j < 8; j \\+= 2\\))", "_Pragma(\"unroll 1\")\\1", 0},
        {"a conversion that C allows and C++ does not", "\\(const unsigned short \\*\\)(AT_ARGS->data\\[1\\])", "\\1", 1},
};

/* What a compilation for a device has against the text: an error, spills, a stack; NULL: nothing. */
static const char *objection(const struct kernel_source *source)
{
	const struct target_options o = {.isa = ISA_SM80, .optimise = 3, .capability = 80};
	struct object object;
	struct text said;
	text_init(&said, &arena);
	if (!target_cuda.compile(source->text, &o, &object, &said))
		return said.len ? said.s : "no reason given";
	struct resources *r = target_cuda.device->resources(&arena, &object, source, &o);
	object_free(&object);
	if (r->reject)
		return r->reject;
	return r->stack ? arena_printf(&arena, "%d bytes of stack", r->stack) : NULL;
}

static void plant_unseen(void)
{
	const char *missing = target_cuda.missing(&arena);
	if (missing) {
		tap_skip(missing);
		return;
	}
	const char *without = objection(&subject[1].source);
	ok(!without, "without a fault the compiler for devices objects to nothing: %s", without ? without : "");
	for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++) {
		struct kernel_source bad = subject[1].source;
		bad.text = changed(bad.text, &unseen[i]);
		const char *told = bad.text ? objection(&bad) : NULL;
		if (ok(told, "%s: caught by the compiler for devices", unseen[i].what))
			printf("#   %.*s\n", (int)strcspn(told, "\n"), told);
	}
}

int main(void)
{
	arena_init(&arena);
	bool good = true;
	for (int i = 0; i < SHAPES && good; i++) {
		struct emulated k;
		struct text why;
		text_init(&why, &arena);
		good = prepare(&subject[i], &shapes[i], &why) &&
		       emulated_open(&k, &arena, subject[i].program, &subject[i].source, &why);
		ok(good, "the kernel of length %d is there %s", (int)shapes[i].length, why.s);
		for (enum emulate_order o = 0; good && o < EMULATE_ORDERS; o++) {
			const char *how = went_wrong(&k, &subject[i], o);
			ok(!how, "without a fault it is right: %s %s", emulate_order_name[o], how ? how : "");
			if (o == EMULATE_EAGER)
				ok(!k.counts.conflicts && k.counts.ldmatrix, "no row of a matrix waits for another's bank (%llu times 4)",
				   (unsigned long long)k.counts.ldmatrix);
		}
		if (good)
			emulated_close(&k);
	}
	for (size_t i = 0; good && i < sizeof fault / sizeof *fault; i++)
		plant(&fault[i]);
	if (good && !target_clang.missing(&arena))
		plant(&past_end);
	if (good)
		plant_unseen();
	arena_free(&arena);
	return tap_done();
}
