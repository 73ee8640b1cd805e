/* Tokens, lines, and expressions with names of the caller's own. */
#include <string.h>

#include "dsl/lex.h"
#include "dsl/parse.h"
#include "tests/tap.h"

static struct arena arena;

static const char *tokens(const char *source, enum lex_mode mode)
{
	struct diags d;
	struct lexer l;
	struct text t;
	diags_init(&d, &arena, "t", source, strlen(source));
	lexer_init(&l, &arena, source, strlen(source), mode, &d);
	text_init(&t, &arena);
	for (const struct token *k = lexer_next(&l); k->kind != TOKEN_END; k = lexer_next(&l)) {
		if (k->kind == TOKEN_NEWLINE)
			text_add(&t, "; ");
		else
			text_printf(&t, "%.*s ", (int)(k->span.end - k->span.begin), source + k->span.begin);
	}
	diags_print(&d, &t);
	return t.s;
}

static void lines(void)
{
	static const struct {
		enum lex_mode mode;
		const char *source, *want;
	} cases[] = {
	        {LEX_LINES, "\n\n a\n\n  b # c\nd", "a ; b ; d ; "},
	        {LEX_LINES, "f(\n x)", "f ( ; x ) ; "},
	        {LEX_STATEMENTS, "a =\n  b\nc", "a = b ; c ; "},
	        {LEX_STATEMENTS, "a =\nb", "a = ; b ; "},
	        {LEX_STATEMENTS, "a\n+ b\nwhere c\n  else d\ne", "a + b where c else d ; e ; "},
	        {LEX_STATEMENTS, "f(a,\n  b\n)\nc", "f ( a , b ) ; c ; "},
	        {LEX_STATEMENTS, "f(a\nc = 1", "f ( a ; c = 1 ; "},
	        {LEX_STATEMENTS, "def f(x) {\n  a = x\n  = a\n}\n", "def f ( x ) { ; a = x ; = a ; } ; "},
	        {LEX_STATEMENTS, "a<=b//2:=c==1.5e-3", "a <= b // 2 := c == 1.5e-3 ; "},
	        {LEX_STATEMENTS, "\xef\xbb\xbf" "a\r\n\tb = 1\r\n", "a ; b = 1 ; "},
	        {LEX_STATEMENTS, "", ""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *got = tokens(cases[i].source, cases[i].mode);
		if (!ok(!strcmp(got, cases[i].want), "tokens of case %zu", i))
			printf("# got  %s\n# want %s\n", got, cases[i].want);
	}
	ok(strstr(tokens("a \x01 b", LEX_LINES), "byte 0x01"), "a control byte is an error");
	ok(strstr(tokens("a \xc3\x97 b", LEX_LINES), "the character '\xc3\x97'"),
	   "a character is shown whole");
	ok(strstr(tokens("2d", LEX_LINES), "2 * d"), "a product without '*' is told of");
	ok(strstr(tokens("1e999", LEX_LINES), "too large"), "a number past the doubles");
}

/* One name a kind of leaf. */
static struct expr name(void *owner, const char *s, struct span span)
{
	struct expr_scope *scope = owner;
	static const struct {
		const char *name;
		enum op op;
		enum kind kind;
		uint32_t symbol;
	} names[] = {{"n", OP_INDEX, KIND_INT, 0},
	             {"m", OP_INDEX, KIND_INT, 1},
	             {"N", OP_EXTENT, KIND_INT, 0},
	             {"x", OP_VALUE, KIND_REAL, 0},
	             {"y", OP_VALUE, KIND_REAL, 1}};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(s, names[i].name))
			return expr_leaf(scope->pool, names[i].op, names[i].kind, names[i].symbol);
	diag_error(scope->diags, span, "no '%s'", s);
	return NO_EXPR;
}

static struct expr read(void *owner, const char *s, int n, const struct expr *index, struct span span)
{
	struct expr_scope *scope = owner;
	if (!strcmp(s, "T"))
		return expr_read(scope->pool, KIND_REAL, 0, n, index);
	diag_error(scope->diags, span, "no tensor '%s'", s);
	return NO_EXPR;
}

static const char *spell(const void *owner, enum op op, uint32_t symbol)
{
	(void)owner;
	static const char *const index[] = {"n", "m"}, *const value[] = {"x", "y"};
	return op == OP_READ ? "T" : op == OP_EXTENT ? "N" : op == OP_VALUE ? value[symbol] : index[symbol];
}

static const char *through(const char *source)
{
	struct expr_pool pool;
	struct diags d;
	struct lexer l;
	struct text t;
	expr_pool_init(&pool, &arena);
	diags_init(&d, &arena, "t", source, strlen(source));
	lexer_init(&l, &arena, source, strlen(source), LEX_LINES, &d);
	struct expr_scope scope = {&pool, &d, name, read, &scope};
	struct expr_names names = {spell, NULL};
	struct expr e = expr_parse(&l, &scope);
	text_init(&t, &arena);
	if (e.id && lexer_expect_line_end(&l)) {
		expr_print(&pool, e, &names, &t);
		const char *once = arena_strdup(&arena, t.s);
		lexer_init(&l, &arena, once, strlen(once), LEX_LINES, &d);
		if (!expr_same(expr_parse(&l, &scope), e))
			text_add(&t, " does not read back");
	} else {
		diags_print(&d, &t);
	}
	return t.s;
}

static void expressions(void)
{
	static const char *const cases[][2] = {
	        {"x + y * -x - 3", "x + y * -x - 3"},
	        {"x > y", "y < x"},
	        {"0 <= n - m < 4", "0 <= n - m and n - m < 4"},
	        {"not x < y or n == m and x >= 0", "not x < y or n == m and 0 <= x"},
	        {"n / 2 + N / 2", "n / 2 + N / 2"},
	        {"T[n/2, m%N] / 2", "T[n/2,m%N] / 2"},
	        {"T[i32(x / 2), i32(N / 2) / 2]", "T[i32(x / 2),i32(N / 2)/2]"},
	        {"T[N/2, 0]", "T[N/2,0]"},
	        {"select(low(n) <= high(m), exp(old(x) - y), -inf)",
	         "select(low(n) <= high(m), exp(old(x) - y), -inf)"},
	        {"(T[n, n - 1] else x) * bf16(y)", "(T[n,n-1] else x) * bf16(y)"},
	        {"x else y else 1", "(x else (y else 1))"},
	        {"max(min(x, y), clamp(x, 0, 1)) + xor(n, 1)", "max(min(x, y), clamp(x, 0, 1)) + xor(n, 1)"},
	        {"1 / 2 + 1e3", "1000.5"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *got = through(cases[i][0]);
		if (!ok(!strcmp(got, cases[i][1]), "%s", cases[i][0]))
			printf("# got  %s\n# want %s\n", got, cases[i][1]);
	}
	static const char *const wrong[][2] = {
	        {"x +", "the line ends here"},     {"f(x)", "no function 'f'"},
	        {"exp(x, y)", "of 2 operands"},    {"(x", "this '(' is never closed"},
	        {"low(x)", "'x' is not an index"}, {"q", "no 'q'"},
	        {"R[n]", "no tensor 'R'"},         {"x ** 2", "pow(x, y)"},
	        {"T[n := 1]", "no meaning"},       {"x y", "the end of the line"},
	        {"max[n](x)", "no meaning"},       {"T[0,0,0,0,0,0,0,0,0]", "more than 8"},
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		const char *got = through(wrong[i][0]);
		if (!ok(strstr(got, wrong[i][1]) != NULL, "error of %s", wrong[i][0]))
			printf("# got  %s\n", got);
	}
}

static void limits(void)
{
	static const char *const open[] = {"(", "-", "not ", "exp(", "T[", "x+", "x else "};
	for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
		struct text t;
		text_init(&t, &arena);
		for (int k = 0; k < 20000; k++)
			text_add(&t, open[i]);
		text_add(&t, "x");
		ok(strstr(through(t.s), "nests deeper than the limit of 200") != NULL, "20000 times %s",
		   open[i]);
	}
	char *big = arena_alloc(&arena, SOURCE_LIMIT + 2);
	memset(big, 'a', SOURCE_LIMIT + 1);
	ok(strstr(tokens(big, LEX_LINES), "longer than the limit") != NULL, "a text past the limit");
}

static void nearest(void)
{
	static const char *const among[] = {"softmax", "logsumexp", "exp", "scale", "K", "Q"};
	static const char *const cases[][2] = {{"sofmax", "softmax"}, {"scael", "scale"}, {"Scale", "scale"},
	                                       {"ex", "exp"},         {"k", "K"},         {"V", NULL},
	                                       {"bias", NULL}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *got = lexer_nearest(cases[i][0], among, 6);
		ok(got ? cases[i][1] && !strcmp(got, cases[i][1]) : !cases[i][1], "near %s: %s", cases[i][0],
		   got ? got : "none");
	}
}

int main(void)
{
	arena_init(&arena);
	lines();
	expressions();
	limits();
	nearest();
	arena_free(&arena);
	return tap_done();
}
