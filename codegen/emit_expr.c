#include "codegen/emit.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *emit_number(struct emitter *e, double x, enum kind kind)
{
	if (kind != KIND_REAL)
		return x < 0 ? arena_printf(e->arena, "(%lld)", (long long)x)
		             : arena_printf(e->arena, "%lld", (long long)x);
	if (isnan(x))
		return "REAL_NAN";
	if (isinf(x))
		return x < 0 ? "(-REAL_INF)" : "REAL_INF";
	struct text t;
	text_init(&t, e->arena);
	if (x < 0 || (x == 0 && signbit(x)))
		text_char(&t, '(');
	text_number(&t, x);
	if (!strpbrk(t.s, ".e"))
		text_add(&t, ".0");
	if (!e->real_double)
		text_char(&t, 'f');
	if (t.s[0] == '(')
		text_char(&t, ')');
	return t.s;
}

const char *emit_strip(struct emitter *e, const char *s)
{
	size_t n = strlen(s);
	if (n < 2 || s[0] != '(' || s[n - 1] != ')')
		return s;
	int depth = 0;
	for (size_t i = 0; i < n; i++) {
		depth += (s[i] == '(') - (s[i] == ')');
		if (!depth && i + 1 < n)
			return s;
	}
	return arena_strndup(e->arena, s + 1, n - 2);
}

const char *emit_sum(struct emitter *e, const char *sum, const char *term, int64_t times)
{
	if (!times || !strcmp(term, "0"))
		return sum;
	const char *product = times == 1 ? term : arena_printf(e->arena, "%s * %lld", term, (long long)times);
	return *sum ? arena_printf(e->arena, "%s + %s", sum, product) : product;
}

static bool is_bare(const char *s)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '_')
			return false;
	return true;
}

static struct term term_of(const char *text, enum kind kind, bool vector)
{
	return (struct term){text, kind, vector, is_bare(text)};
}

static struct term number_term(struct emitter *e, double x, enum kind kind)
{
	return (struct term){emit_number(e, x, kind), kind, false, true};
}

const char *emit_after(struct emitter *e, const char *high)
{
	char *end;
	long long n = strtoll(high, &end, 10);
	return end != high && !*end ? arena_printf(e->arena, "%lld", n + 1)
	                            : arena_printf(e->arena, "%s + 1", high);
}

const char *emit_left(struct emitter *e, const struct current *r, const char *at)
{
	const char *after = emit_after(e, r->high);
	char *end;
	long long first = strtoll(at, &end, 10);
	if (*end)
		return arena_printf(e->arena, "%s - %s", after, at);
	return first ? arena_printf(e->arena, "%s - %lld", after, first) : after;
}

/* ---- what a loop's statements share ---- */

void nest_count(struct nest *n, struct expr e)
{
	const struct expr_node *node = expr_at(n->e->pool, e);
	if (n->uses[e.id] < 2 && n->uses[e.id]++)
		return;
	for (int i = 0; i < node->count; i++)
		nest_count(n, expr_operand(n->e->pool, e, i));
}

static const struct term *remembered(const struct nest *n, struct expr e)
{
	for (uint32_t i = n->vector.n; i-- > 0;)
		if (n->vector.v[i].expr == e.id)
			return &n->vector.v[i].term;
	for (uint32_t i = n->scalar.n; i-- > 0;)
		if (n->scalar.v[i].expr == e.id)
			return &n->scalar.v[i].term;
	return NULL;
}

static void remember(struct nest *n, uint32_t expr, struct term t)
{
	if (t.vector)
		vec_push(n->e->arena, &n->vector, (struct memo){expr, t});
	else
		vec_push(n->e->arena, &n->scalar, (struct memo){expr, t});
}

static bool is_value(const struct emitter *e, uint32_t expr, uint32_t value)
{
	const struct expr_node *node = expr_at(e->pool, (struct expr){expr});
	return node->op == OP_VALUE && node->symbol == value;
}

void nest_assign(struct nest *n, uint32_t value, struct term term)
{
	for (int side = 0; side < 2; side++) {
		struct memo *v = side ? n->vector.v : n->scalar.v;
		uint32_t *count = side ? &n->vector.n : &n->scalar.n, kept = 0;
		for (uint32_t i = 0; i < *count; i++)
			if (!expr_mentions(n->e->pool, (struct expr){v[i].expr}, OP_VALUE, value))
				v[kept++] = v[i];
		*count = kept;
	}
	for (uint32_t i = 1; i < n->e->pool->node.n; i++)
		if (is_value(n->e, i, value)) {
			remember(n, i, term);
			return;
		}
}

static const char *c_type(const struct nest *n, const struct term *t)
{
	if (t->vector && !n->spread)
		return t->kind == KIND_REAL ? "vreal" : "vint";
	return t->kind == KIND_REAL ? "real" : t->kind == KIND_INT ? n->e->integer : "int";
}

const char *nest_temporary(struct nest *n, struct c_block *block, const char *stem, struct term t)
{
	const char *name = plan_name(n->e, stem);
	c_line(n->e->arena, block, "const %s %s = %s;", c_type(n, &t), name, emit_strip(n->e, t.text));
	if (block == n->row && n->row != n->body)
		vec_push(n->e->arena, &n->row_name, name);
	return name;
}

struct term nest_bind(struct nest *n, struct expr e, const char *stem, struct term t)
{
	if (t.bare)
		return t;
	t.text = nest_temporary(n, t.vector ? n->body : n->row, stem, t);
	t.bare = true;
	remember(n, e.id, t);
	return t;
}

/* ---- leaves ---- */

static struct term value_term(struct nest *n, struct expr e)
{
	struct emitter *m = n->e;
	uint32_t value = expr_at(m->pool, e)->symbol;
	struct value_plan *p = &m->value[value];
	p->memory = true;
	if (m->value_leaf)
		return m->value_leaf(n, e);
	enum kind kind = p->integer ? KIND_INT : KIND_REAL;
	if (n->lane != NO_INDEX && value_rank(m, value, n->lane) >= 0) {
		const char *load = p->integer ? "vi_load" : "v_load";
		const char *text = p->narrow ? emit_narrow_load(n, value, true)
		                             : arena_printf(m->arena, "%s(%s)", load, nest_pointer(n, value));
		return nest_bind(n, e, arena_printf(m->arena, "%s_%s", p->name, m->index_name[n->lane]),
		                 term_of(text, kind, true));
	}
	/* Bound even when used once: what the statement stores may be where it was loaded from. */
	const struct tile_value *v = &m->program->value.v[value];
	const char *at = v->nranks ? m->program->index.v[v->index[v->nranks - 1]].name : "0";
	const char *text = p->narrow ? emit_narrow_load(n, value, false)
	                             : arena_printf(m->arena, "%s[%s]", p->name, emit_strip(m, nest_element(n, value)));
	return nest_bind(n, e, arena_printf(m->arena, "%s_%s", p->name, at), term_of(text, kind, false));
}

/* The condition that a READ's coordinates, but for a gathered one, lie inside the tensor; "" where they are known to. */
static const char *inside(struct nest *n, struct expr e, int gathered)
{
	struct emitter *m = n->e;
	const struct tile_tensor *t = &m->program->tensor.v[expr_at(m->pool, e)->symbol];
	const char *condition = "";
	for (int r = 0; r < t->nranks; r++) {
		struct expr x = expr_operand(m->pool, e, r);
		if (r == gathered || emit_within(m, x, t->extent[r]))
			continue;
		const char *at = nest_text(n, x, KIND_INT, false);
		condition = arena_printf(m->arena, "%s%s(unsigned long)%s < %lld", condition,
		                         *condition ? " && " : "", at, (long long)t->extent[r]);
	}
	for (int i = 0; i < n->guards; i++)
		if (expr_mentions(m->pool, e, OP_INDEX, n->guard[i].index))
			condition = arena_printf(m->arena, "%s%s%s", condition, *condition ? " && " : "",
			                         n->guard[i].inside);
	return condition;
}

/* Asks for what the next task, or a later row of a walk, will read; of the latter once a line. */
static void emit_ahead(struct nest *n, struct expr e, const char *address)
{
	struct emitter *m = n->e;
	const struct expr_node *node = expr_at(m->pool, e);
	const struct tile_tensor *t = &m->program->tensor.v[node->symbol];
	bool walks = m->ahead_along == m->walked;
	if (t->place != PLACE_ARGUMENT || (t->dtype == DTYPE_I4 && !walks) || (walks && n->lane == NO_INDEX))
		return;
	for (int r = 0; r < t->nranks; r++) {
		const struct expr_node *x = expr_at(m->pool, expr_operand(m->pool, e, r));
		if (x->op != OP_INDEX || x->symbol != m->ahead_along || x->symbol == n->lane)
			continue;
		const char *at = arena_printf(m->arena, "%s + %lld * %s_stride%d", address, (long long)m->ahead,
		                              m->tensor[node->symbol].name, r);
		if (t->dtype == DTYPE_I4)
			at = arena_printf(m->arena, "(const void *)((%s) >> 1)", at);
		if (walks)
			at = arena_printf(m->arena, "%s %% %d ? (void)0 : v_ahead(%s)", n->at, 64 * 8 / dtype_info[t->dtype].bits, at);
		else
			at = arena_printf(m->arena, "v_ahead(%s)", at);
		c_line(m->arena, n->body, "%s;", at);
	}
}

/* Do all lanes of a vector read one element, but not those of the next? */
static bool shares(const struct nest *n, struct expr read)
{
	const struct expr_node *node = expr_at(n->e->pool, read);
	bool any = false;
	for (int r = 0; r < node->count && !n->spread; r++)
		any |= emit_uniform(n->e, expr_operand(n->e->pool, read, r), n->lane);
	return any;
}

static struct term read_term(struct nest *n, struct expr e)
{
	struct emitter *m = n->e;
	const struct expr_node *node = expr_at(m->pool, e);
	const struct tensor_plan *p = &m->tensor[node->symbol];
	const struct tile_tensor *t = &m->program->tensor.v[node->symbol];
	int gathered = n->spread ? -1 : emit_gathered(m, e, n->lane);
	const char *stride, *condition = inside(n, e, gathered), *address = nest_address(n, e, &stride), *text;
	enum kind kind = (enum kind)node->kind == KIND_REAL ? KIND_REAL : KIND_INT;
	const char *prefix = kind == KIND_REAL ? "" : "i";
	if (stride && m->ahead && (m->ahead_along == m->walked || !*condition))
		emit_ahead(n, e, address);
	if (gathered >= 0)
		text = arena_printf(m->arena, "v_gather_%s(%s, %s, %s, %lld)", p->get, address,
		                    nest_text(n, expr_operand(m->pool, e, gathered), KIND_INT, true), stride,
		                    (long long)m->program->tensor.v[node->symbol].extent[gathered]);
	else if (stride)
		text = arena_printf(m->arena, "v%s_get_%s(%s, %s, %s)", prefix, p->get, address, stride,
		                    n->left);
	else
		text = arena_printf(m->arena, "s%s_get_%s(%s)", prefix, p->get, address);
	bool shared = !stride && shares(n, e);
	if (shared) {
		text = t->dtype == DTYPE_F16 ? arena_printf(m->arena, "v_splat_f16(%s)", address)
		                             : arena_printf(m->arena, "v%s_splat(%s)", prefix, text);
		stride = "0";
	}
	if (*condition)
		text = arena_printf(m->arena, "(%s ? %s : %s)", condition, text,
		                    stride ? kind == KIND_REAL ? "v_splat(0)" : "vi_splat(0)" : "0");
	bool vector = stride || (n->spread && expr_mentions(m->pool, e, OP_INDEX, n->across));
	return nest_bind(n, e, arena_printf(m->arena, "%s_0", p->name), term_of(text, kind, vector));
}

static struct term index_term(struct nest *n, struct expr e)
{
	uint32_t index = expr_at(n->e->pool, e)->symbol;
	if (index != n->lane)
		return term_of(nest_coordinate(n, index), KIND_INT, n->spread && index == n->across);
	return nest_bind(n, e, arena_printf(n->e->arena, "%s_lanes", n->e->index_name[index]),
	             term_of(arena_printf(n->e->arena, "vi_iota(%s)", n->at), KIND_INT, true));
}

/* ---- operations ---- */

struct term nest_convert(struct nest *n, struct term t, enum kind kind, bool vector)
{
	struct arena *a = n->e->arena;
	if (vector && !t.vector) {
		t = nest_convert(n, t, kind, false);
		if (!t.bare && n->row != n->body) {
			t.text = nest_temporary(n, n->row, "uniform", t);
			t.bare = true;
		}
		if (n->spread) {
			t.vector = true;
			return t;
		}
		const char *splat = kind == KIND_REAL ? "v_splat" : kind == KIND_INT ? "vi_splat" : "vi_all";
		return term_of(arena_printf(a, "%s(%s)", splat, emit_strip(n->e, t.text)), kind, true);
	}
	bool forms = t.vector && !n->spread; /* printed by the forms of vectors */
	if (t.kind == kind || (t.kind == KIND_BOOL && !forms && kind == KIND_INT)) {
		t.kind = kind;
		return t;
	}
	const char *from = t.kind == KIND_BOOL ? "of_bool" : "of_int", *text;
	const char *prefix = forms ? kind == KIND_REAL ? "v_" : "vi_" : kind == KIND_REAL ? "s_" : "i_";
	if (kind == KIND_BOOL)
		text = arena_printf(a, forms ? "(%s != %s)" : "(%s != 0)", t.text,
		                    t.kind == KIND_REAL ? "v_splat(0)" : "vi_splat(0)");
	else if (t.kind == KIND_REAL)
		text = arena_printf(a, "%sof_real(%s)", prefix, emit_strip(n->e, t.text));
	else
		text = arena_printf(a, "%s%s(%s)", prefix, from, emit_strip(n->e, t.text));
	return term_of(text, kind, t.vector);
}

/* The kind an operation's i-th operand is taken as. */
static enum kind operand_kind(const struct emitter *e, struct expr x, int i)
{
	const struct expr_node *node = expr_at(e->pool, x);
	enum op op = (enum op)node->op;
	if (op == OP_SELECT)
		return i ? (enum kind)node->kind : KIND_BOOL;
	if (op == OP_AND || op == OP_OR || op == OP_NOT)
		return KIND_BOOL;
	if (op == OP_CAST)
		return (enum kind)expr_at(e->pool, expr_operand(e->pool, x, 0))->kind == KIND_INT ? KIND_INT
		                                                                                  : KIND_REAL;
	if (op_info[op].result == RESULT_INT)
		return KIND_INT;
	if (op_info[op].result == RESULT_BOOL) {
		for (int j = 0; j < node->count; j++)
			if (expr_at(e->pool, expr_operand(e->pool, x, j))->kind == KIND_REAL)
				return KIND_REAL;
		return KIND_INT;
	}
	return node->kind == KIND_REAL || op_info[op].result == RESULT_REAL ? KIND_REAL : KIND_INT;
}

/* Fills a template of the operation table: %0 %1 %2 are operands, $ the prefix. */
static const char *fill(struct emitter *e, const char *form, const char *prefix, const struct term *x)
{
	struct text t;
	text_init(&t, e->arena);
	for (const char *s = form; *s; s++) {
		if (*s == '$') {
			text_add(&t, prefix);
		} else if (*s == '%' && isdigit((unsigned char)s[1])) {
			const char *text = x[*++s - '0'].text;
			bool argument = s - form > 2 &&
			                ((s[-2] == '(' && isalnum((unsigned char)s[-3])) || s[-3] == ',');
			text_add(&t, argument ? emit_strip(e, text) : text);
		} else {
			text_char(&t, *s);
		}
	}
	return t.s;
}

/* Floor division and remainder by a power of two are a shift and a mask. */
static const char *power_of_two(struct emitter *e, enum op op, struct expr divisor, const struct term *x)
{
	double d;
	if ((op != OP_IDIV && op != OP_MOD) || !expr_is_number(e->pool, divisor, &d) || d < 1 || d > 1 << 30)
		return NULL;
	long long n = (long long)d;
	if (n & (n - 1))
		return NULL;
	return op == OP_IDIV
	               ? arena_printf(e->arena, "(%s >> %d)", x->text, __builtin_ctzll((unsigned long long)n))
	               : arena_printf(e->arena, "(%s & %lld)", x->text, n - 1);
}

/* Long chains in steps, each a line: loops that run several vectors interleave them. %0 is the operand, %1
 * and on the results of the steps before. */
static const struct {
	enum op op;
	const char *step[4];
} staged[] = {
        {OP_EXP,
         {"v_exp_whole(%0)", "v_exp_fraction(%0, %1)", "v_exp2_polynomial(%2)", "v_exp2_end(%3, %1)"}},
        {OP_EXP2, {"v_exp2_whole(%0)", "v_exp2_fraction(%0, %1)", "v_exp2_power(%2)", "v_exp2_end(%3, %1)"}},
        {OP_TANH, {"v_tanh_exponent(%0)", "v_tanh_rounded(%1)", "v_tanh_rest(%1, %2)", "v_tanh_end(%3, %2)"}},
};

static const char *stage(struct nest *n, enum op op, struct term operand)
{
	for (size_t i = 0; i < sizeof staged / sizeof *staged; i++) {
		if (staged[i].op != op)
			continue;
		struct term x[4] = {operand};
		for (int k = 0; k < 4; k++) {
			struct term *last = &x[k];
			if (!last->bare)
				last->text = nest_temporary(n, n->body, "t", *last);
			last->bare = true;
			const char *text = fill(n->e, staged[i].step[k], "", x);
			if (k == 3)
				return text;
			x[k + 1] = term_of(text, KIND_REAL, true);
		}
	}
	return NULL;
}

static struct term op_term(struct nest *n, struct expr e)
{
	struct emitter *m = n->e;
	const struct expr_node node = *expr_at(m->pool, e);
	struct term x[3] = {{0}};
	bool vector = false;
	for (int i = 0; i < node.count && i < 3; i++) {
		x[i] = nest_term(n, expr_operand(m->pool, e, i));
		vector |= x[i].vector;
	}
	enum kind kind = (enum kind)node.kind;
	for (int i = 0; i < node.count && i < 3; i++) {
		struct expr operand = expr_operand(m->pool, e, i);
		enum kind want = operand_kind(m, e, i);
		double number;
		if (expr_is_number(m->pool, operand, &number) && !vector)
			x[i] = number_term(m, number, want);
		else if (expr_is_number(m->pool, operand, &number))
			x[i] = nest_convert(n, number_term(m, number, want), want, true);
		else
			x[i] = nest_convert(n, x[i], want, vector);
	}
	bool real = (op_info[node.op].result == RESULT_BOOL ? operand_kind(m, e, 0) : kind) == KIND_REAL;
	bool forms = vector && !n->spread;
	const char *prefix = forms ? real ? "v_" : "vi_" : real ? "s_" : "i_", *text;
	if (node.op == OP_CAST) {
		const char *to = dtype_info[node.symbol].spelling;
		text = arena_printf(m->arena, "%scast_%s(%s)",
		                    x[0].kind == KIND_REAL ? (forms ? "v_" : "s_") : prefix, to,
		                    emit_strip(m, x[0].text));
	} else {
		text = node.count == 2 ? power_of_two(m, (enum op)node.op, expr_operand(m->pool, e, 1), x)
		                       : NULL;
		if (!text && vector && n->beside && node.op == OP_EXP2)
			text = fill(m, "v_exp2_beside(%0)", prefix, x);
		if (!text && vector && n->staged)
			text = stage(n, (enum op)node.op, x[0]);
		if (!text && node.op == OP_DIV && m->value_leaf) /* an exact quotient is a call on a device */
			text = fill(m, "s_div(%0, %1)", prefix, x);
		if (!text)
			text = fill(m, op_info[node.op].c, prefix, x);
	}
	struct term t = term_of(text, kind, vector);
	return n->uses[e.id] > 1 ? nest_bind(n, e, "t", t) : t;
}

struct term nest_term(struct nest *n, struct expr e)
{
	const struct term *known = remembered(n, e);
	if (known)
		return *known;
	const struct expr_node *node = expr_at(n->e->pool, e);
	switch (node->op) {
	case OP_CONST: return number_term(n->e, node->number, (enum kind)node->kind);
	case OP_INDEX: return index_term(n, e);
	case OP_LOW: return term_of(n->e->range[node->symbol]->low, KIND_INT, false);
	case OP_HIGH: return term_of(n->e->range[node->symbol]->high, KIND_INT, false);
	case OP_VALUE: return value_term(n, e);
	case OP_READ: return read_term(n, e);
	case OP_SELECT:
		if (n->holds.id && expr_same(expr_operand(n->e->pool, e, 0), n->holds)) {
			struct term chosen = nest_term(n, expr_operand(n->e->pool, e, 1));
			return nest_convert(n, chosen, (enum kind)node->kind, chosen.vector);
		}
		return op_term(n, e);
	default: return op_term(n, e);
	}
}

const char *nest_text(struct nest *n, struct expr e, enum kind kind, bool vector)
{
	double number;
	struct term t =
	        expr_is_number(n->e->pool, e, &number) ? number_term(n->e, number, kind) : nest_term(n, e);
	return nest_convert(n, t, kind, vector).text;
}

const char *emit_condition(struct nest *n, struct expr e)
{
	return emit_strip(n->e, nest_text(n, e, KIND_BOOL, false));
}
