/* Printing expressions: the language's syntax with the fewest parentheses. Iterative, as expr_walk.c is. */
#include "dsl/expr.h"

/* How tightly an expression binds, loosest first. */
enum level {
	LEVEL_ANY,
	LEVEL_OR,
	LEVEL_AND,
	LEVEL_NOT,
	LEVEL_COMPARE,
	LEVEL_SUM,
	LEVEL_PRODUCT,
	LEVEL_UNARY,
	LEVEL_PRIMARY,
};

/* What is still to be printed: a text, or an expression in a place that needs `level`. */
struct item {
	const char *text;
	struct expr e;
	enum level level;
	bool compact; /* a coordinate: no spaces, and '/' floors whatever it divides */
};

struct printer {
	const struct expr_pool *pool;
	const struct expr_names *names;
	struct text *out;
	VEC(struct item) stack;
};

bool expr_slash_floors(const struct expr_pool *p, struct expr a, struct expr b)
{
	const uint64_t varies = (uint64_t)1 << OP_INDEX | (uint64_t)1 << OP_READ | (uint64_t)1 << OP_VALUE |
	                        (uint64_t)1 << OP_LOW | (uint64_t)1 << OP_HIGH;
	return expr_at(p, a)->kind == KIND_INT && expr_at(p, b)->kind == KIND_INT &&
	       (expr_at(p, a)->ops & varies);
}

static bool is_word(const char *spelling)
{
	return spelling[0] >= 'a' && spelling[0] <= 'z';
}

static enum level level_of(const struct expr_node *n)
{
	switch (n->op) {
	case OP_CONST: return n->number < 0 ? LEVEL_UNARY : LEVEL_PRIMARY;
	case OP_OR: return LEVEL_OR;
	case OP_AND: return LEVEL_AND;
	case OP_NOT: return LEVEL_NOT;
	case OP_LT:
	case OP_LE:
	case OP_EQ:
	case OP_NE: return LEVEL_COMPARE;
	case OP_ADD:
	case OP_SUB: return LEVEL_SUM;
	case OP_MUL:
	case OP_DIV:
	case OP_IDIV:
	case OP_MOD: return LEVEL_PRODUCT;
	case OP_NEG: return LEVEL_UNARY;
	default: return LEVEL_PRIMARY;
	}
}

static void push_text(struct printer *p, const char *text)
{
	vec_push(p->out->arena, &p->stack, (struct item){.text = text});
}

static void push(struct printer *p, struct expr e, enum level level, bool compact)
{
	vec_push(p->out->arena, &p->stack, (struct item){NULL, e, level, compact});
}

/* name(x, …) or name[x, …]; the stack is last in, first out, so everything is pushed backwards. */
static void push_list(struct printer *p, struct expr e, const char *open, const char *close, bool compact)
{
	push_text(p, close);
	for (int i = expr_at(p->pool, e)->count - 1; i >= 0; i--) {
		push(p, expr_operand(p->pool, e, i), LEVEL_ANY, compact);
		if (i)
			push_text(p, compact ? "," : ", ");
	}
	push_text(p, open);
}

static void push_infix(struct printer *p, struct expr e, enum level level, bool compact)
{
	const struct expr_node *n = expr_at(p->pool, e);
	struct expr a = expr_operand(p->pool, e, 0), b = expr_operand(p->pool, e, 1);
	const char *sign = op_info[n->op].spelling;
	if (n->op == OP_IDIV && (compact || expr_slash_floors(p->pool, a, b)))
		sign = "/";
	bool spaces = !compact || is_word(sign);
	/* Operators of a level group to the left; comparisons do not chain. */
	push(p, b, (enum level)(level + 1), compact);
	if (spaces)
		push_text(p, " ");
	push_text(p, sign);
	if (spaces)
		push_text(p, " ");
	push(p, a, level == LEVEL_COMPARE ? LEVEL_SUM : level, compact);
}

static void print_node(struct printer *p, struct item item)
{
	const struct expr_node *n = expr_at(p->pool, item.e);
	enum op op = (enum op)n->op;
	enum level level = level_of(n);
	if (level < item.level || op == OP_ELSE) {
		push_text(p, ")");
		text_char(p->out, '(');
	}
	switch (op) {
	case OP_CONST: text_number(p->out, n->number); break;
	case OP_INDEX:
	case OP_EXTENT:
	case OP_VALUE: text_add(p->out, p->names->name(p->names->owner, op, n->symbol)); break;
	case OP_READ:
		text_add(p->out, p->names->name(p->names->owner, op, n->symbol));
		if (n->count)
			push_list(p, item.e, "[", "]", true);
		break;
	case OP_LOW:
	case OP_HIGH:
		text_printf(p->out, "%s(%s)", op_info[op].spelling,
		            p->names->name(p->names->owner, op, n->symbol));
		break;
	case OP_CAST:
		/* Its operand is a value again. */
		text_add(p->out, dtype_info[n->symbol].spelling);
		push_list(p, item.e, "(", ")", false);
		break;
	case OP_ELSE:
		push(p, expr_operand(p->pool, item.e, 1), LEVEL_OR, item.compact);
		push_text(p, " else ");
		push(p, expr_operand(p->pool, item.e, 0), LEVEL_OR, item.compact);
		break;
	case OP_NEG:
		text_char(p->out, '-');
		push(p, expr_operand(p->pool, item.e, 0), LEVEL_UNARY, item.compact);
		break;
	case OP_NOT:
		text_add(p->out, "not ");
		push(p, expr_operand(p->pool, item.e, 0), LEVEL_NOT, item.compact);
		break;
	default:
		if (level < LEVEL_PRIMARY) {
			push_infix(p, item.e, level, item.compact);
			break;
		}
		text_add(p->out, op_info[op].spelling);
		push_list(p, item.e, "(", ")", item.compact);
	}
}

static void print(const struct expr_pool *pool, struct expr e, const struct expr_names *names, bool compact,
                  struct text *out)
{
	struct printer p = {.pool = pool, .names = names, .out = out};
	push(&p, e, LEVEL_ANY, compact);
	while (p.stack.n) {
		struct item item = p.stack.v[--p.stack.n];
		if (item.text)
			text_add(out, item.text);
		else
			print_node(&p, item);
	}
}

void expr_print(const struct expr_pool *pool, struct expr e, const struct expr_names *names, struct text *out)
{
	print(pool, e, names, false, out);
}

void expr_print_coordinate(const struct expr_pool *pool, struct expr e, const struct expr_names *names,
                           struct text *out)
{
	print(pool, e, names, true, out);
}
