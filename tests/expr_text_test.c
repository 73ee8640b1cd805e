/* Expressions as text: what is printed reads back to the same id, for random expressions of every operation,
 * and no shorter way with a pair of parentheses left out does. */
#include <math.h>

#include "cascade_build.h"
#include "tap.h"

enum { EXPRESSIONS = 20000, DEPTH = 5 };

static struct arena arena;
static struct build b;
static struct expr_pool *p;
static uint64_t state = 1;

static uint32_t below(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

static struct expr leaf(const char *name)
{
	return build_name(&b, name, (struct span){0});
}

static struct expr an_int(int depth)
{
	static const enum op two[] = {OP_ADD, OP_SUB, OP_MUL, OP_IDIV, OP_MOD, OP_XOR, OP_MIN, OP_MAX};
	struct expr at;
	if (depth > 0 && below(3)) {
		if (below(8) == 0)
			return expr1(p, OP_NEG, an_int(depth - 1));
		struct expr x = an_int(depth - 1), y = an_int(depth - 1);
		return expr2(p, two[below(8)], x, y);
	}
	switch (below(5)) {
	case 0: return leaf("n");
	case 1: return leaf("m");
	case 2: return leaf("N");
	case 3: at = an_int(depth - 1); return build_read(&b, "T", 1, &at, (struct span){0});
	default: return expr_number(p, (double)below(20) - 10);
	}
}

static struct expr any(int depth);

static struct expr operation(int depth)
{
	enum op op = (enum op)(OP_OLD + 1 + (int)below(OPS - OP_OLD - 1));
	struct expr x[3];
	if (op_info[op].result == RESULT_INT)
		return an_int(depth);
	for (int i = 0; i < op_info[op].arity; i++)
		x[i] = any(depth - 1);
	/* Real division of two ints that vary has no text of its own, and the language never makes it. */
	if (op == OP_DIV && expr_slash_floors(p, x[0], x[1]))
		op = OP_MUL;
	return expr_make(p, op, 0, op_info[op].arity, x);
}

static struct expr any(int depth)
{
	if (depth > 0 && below(5))
		return operation(depth);
	struct expr x;
	switch (below(9)) {
	case 0: return an_int(depth);
	case 1: return expr_number(p, ldexp((double)below(1000) - 500, (int)below(60) - 30));
	case 2: return expr_number(p, below(2) ? INFINITY : -INFINITY);
	case 3:
		x = depth > 0 ? any(depth - 1) : leaf("n");
		return expr_make(p, OP_CAST, below(DTYPES), 1, &x);
	case 4: x = any(depth - 1); return expr2(p, OP_ELSE, x, any(depth - 1));
	case 5: return leaf("s");
	case 6: return expr_leaf(p, below(2) ? OP_LOW : OP_HIGH, KIND_INT, 0);
	default: x = an_int(depth - 1); return build_read(&b, "X", 1, &x, (struct span){0});
	}
}

static const char *print(struct expr e)
{
	struct expr_names names = cascade_names(b.cascade);
	struct text t;
	text_init(&t, &arena);
	expr_print(p, e, &names, &t);
	return t.s;
}

static struct expr parse(const char *text)
{
	struct diags diags;
	struct lexer lexer;
	struct expr_scope scope = {p, &diags, build_name, build_read, &b};
	diags_init(&diags, &arena, "expression", text, strlen(text));
	lexer_init(&lexer, &arena, text, strlen(text), LEX_LINES, &diags);
	struct expr e = expr_parse(&lexer, &scope);
	return lexer_expect_line_end(&lexer) && !diags.errors ? e : NO_EXPR;
}

/* Leaves out each pair of parentheses that follows no name, in turn: is one needless? An `else` keeps its
 * own. */
static bool has_needless(struct expr e, const char *text)
{
	size_t n = strlen(text);
	for (size_t i = 0; i < n; i++) {
		if (text[i] != '(' || (i && (isalnum((unsigned char)text[i - 1]))))
			continue;
		size_t close = i;
		bool has_else = false;
		for (int depth = 0; close < n; close++) {
			depth += (text[close] == '(') - (text[close] == ')');
			has_else |= depth == 1 && !strncmp(text + close, " else ", 6);
			if (!depth)
				break;
		}
		char *shorter = arena_strdup(&arena, text);
		shorter[i] = shorter[close] = ' ';
		if (!has_else && expr_same(parse(shorter), e)) {
			printf("# needless: %s\n", text);
			return true;
		}
	}
	return false;
}

int main(void)
{
	jmp_buf env;
	arena_init(&arena);
	if (!ARENA_TRY(&arena, &env))
		return 1;
	int bad = 0, needless = 0;
	size_t longest = 0;
	for (int i = 0; i < EXPRESSIONS; i++) {
		if (i % 500 == 0) {
			arena_free(&arena);
			arena.out_of_memory = &env;
			build_init(&b, &arena);
			p = &b.cascade->pool;
			build_rank(&b, "N", NOT_BOUND);
			build_rank(&b, "M", NOT_BOUND);
			build_tensor(&b, ROLE_IN, "X", "N", DTYPE_F32);
			build_tensor(&b, ROLE_IN, "T", "N", DTYPE_I32);
			build_tensor(&b, ROLE_IN, "s", "", DTYPE_F32);
		}
		struct expr e = any(1 + (int)below(DEPTH));
		const char *text = print(e);
		longest = strlen(text) > longest ? strlen(text) : longest;
		struct expr back = parse(text);
		if (!expr_same(e, back) && bad++ < 5)
			printf("# %s\n#   reads as %s\n", text, back.id ? print(back) : "an error");
		else if (i % 10 == 0)
			needless += has_needless(e, text);
	}
	ok(!bad, "%d random expressions print and read back", EXPRESSIONS);
	ok(!needless, "no parentheses to spare");
	ok(longest > 200, "the longest has %zu bytes", longest);
	arena_free(&arena);
	return tap_done();
}
