/* Random cascades: the oracle, chunk by chunk along an axis of its choice, against a recursive evaluation of
 * one element at a time, and the presence that dsl/presence.c derives against the presence that is. */
#include <math.h>

#include "cascade_build.h"
#include "dsl/oracle.h"
#include "tap.h"

enum { CASCADES = 400, EQUATIONS = 6, LARGEST = 300 };

static struct arena arena;
static struct build b;
static struct oracle_tensor *have, *want;
static int64_t coordinate[8];
static uint64_t state = 3;

static uint32_t below(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

/* The definition of an element. */
struct element {
	double value;
	bool present;
};

static const struct element absent = {0, false};

static struct element evaluate(struct expr e);

static struct element read_element(struct expr e)
{
	const struct expr_node *n = expr_at(&b.cascade->pool, e);
	const struct tensor *t = &b.cascade->tensor.v[n->symbol];
	int64_t offset = 0, extent = 0;
	for (int r = 0; r < n->count; r++) {
		struct element at = evaluate(expr_operand(&b.cascade->pool, e, r));
		if (!cascade_extent(b.cascade, t->extent[r], &extent) || !at.present || at.value < 0 ||
		    at.value >= (double)extent)
			return absent;
		offset = offset * extent + (int64_t)at.value;
	}
	const struct oracle_tensor *w = &want[n->symbol];
	return (struct element){w->data[offset], !w->present || w->present[offset]};
}

static struct element evaluate(struct expr e)
{
	const struct expr_node *n = expr_at(&b.cascade->pool, e);
	struct element x[3] = {{0, true}, {0, true}, {0, true}};
	int64_t extent = 0;
	switch (n->op) {
	case OP_CONST: return (struct element){n->number, true};
	case OP_INDEX: return (struct element){(double)coordinate[n->symbol], true};
	case OP_EXTENT: cascade_extent(b.cascade, e, &extent); return (struct element){(double)extent, true};
	case OP_READ: return read_element(e);
	default: break;
	}
	for (int i = 0; i < n->count; i++)
		x[i] = evaluate(expr_operand(&b.cascade->pool, e, i));
	switch (n->op) {
	case OP_ELSE: return x[0].present ? x[0] : x[1];
	case OP_SELECT: return !x[0].present ? absent : x[0].value != 0 ? x[1] : x[2];
	case OP_AND:
	case OP_OR: {
		bool decides = n->op == OP_OR;
		for (int i = 0; i < 2; i++)
			if (x[i].present && (x[i].value != 0) == decides)
				return (struct element){decides, true};
		return (struct element){!decides, x[0].present && x[1].present};
	}
	default:
		return (struct element){op_value((enum op)n->op, x[0].value, x[1].value, x[2].value),
		                        x[0].present && x[1].present && x[2].present};
	}
}

static int64_t extent_of(uint32_t index)
{
	int64_t v = 0;
	cascade_extent(b.cascade, b.cascade->index.v[index].extent, &v);
	return v;
}

/* Steps the coordinates of `n` indices, the last fastest; false after the last. */
static bool next(const uint32_t *index, int n)
{
	while (n-- > 0) {
		if (++coordinate[index[n]] < extent_of(index[n]))
			return true;
		coordinate[index[n]] = 0;
	}
	return false;
}

static bool presence_agrees = true;

static struct element body(const struct equation *q, struct expr presence)
{
	struct element where = {1, true}, x = evaluate(q->body), derived = {1, true};
	if (q->where.id)
		where = evaluate(q->where);
	x.present = x.present && where.present && where.value != 0;
	if (presence.id)
		derived = evaluate(presence);
	presence_agrees &= (derived.present && derived.value != 0) == x.present;
	return x;
}

static double reduce(const struct equation *q, struct expr presence)
{
	double value = reduction_info[q->reduce].identity, largest = -INFINITY;
	int64_t count = 0, at = 0;
	for (int i = 0; i < q->nreduced; i++)
		if (!extent_of(q->reduced[i]))
			return value;
	do {
		struct element x = body(q, presence);
		if (x.present && q->reduce == REDUCE_ARGMAX && (!count || x.value > largest)) {
			largest = x.value;
			value = (double)at;
		} else if (x.present && q->reduce != REDUCE_ARGMAX) {
			value = reduction_value(q->reduce, value, x.value);
		}
		count += x.present;
		at++;
	} while (next(q->reduced, q->nreduced));
	return q->reduce == REDUCE_MEAN && count ? value / (double)count : value;
}

static void define(uint32_t equation)
{
	const struct equation *q = &b.cascade->equation.v[equation];
	struct expr presence = cascade_presence(b.cascade, equation);
	struct oracle_tensor *w = &want[q->tensor];
	w->count = 1;
	for (int i = 0; i < q->nindex; i++)
		w->count *= extent_of(q->index[i]);
	w->data = arena_new_array(&arena, (size_t)w->count, double);
	w->present = arena_new_array(&arena, (size_t)w->count, unsigned char);
	memset(coordinate, 0, sizeof coordinate);
	for (int64_t i = 0; i < w->count; i++, next(q->index, q->nindex)) {
		struct element x = {0, true};
		if (q->reduce)
			x.value = reduce(q, presence);
		else
			x = body(q, presence);
		w->data[i] = x.present ? x.value : 0;
		w->present[i] = x.present;
	}
}

/* Texts of random expressions over the indices i and j, tensors of ranks I, J, IJ, and what is defined so
 * far. */
static const char *random_int(int depth)
{
	static const char *const leaves[] = {"i",    "j",      "i-1",      "i+1",     "j-1",   "j+1",
	                                     "i+j",  "2*i",    "j/2",      "i%3",     "I-1-i", "3",
	                                     "G[i]", "G[j-1]", "min(i,j)", "xor(i,1)"};
	if (depth > 0 && below(4) == 0)
		return arena_printf(&arena, "(%s)%c(%s)", random_int(depth - 1), "+-"[below(2)],
		                    random_int(depth - 1));
	return leaves[below(sizeof leaves / sizeof *leaves)];
}

static const char *random_bool(int depth)
{
	static const char *const compare[] = {"<", "<=", "==", "!=", ">", ">="};
	if (depth > 0 && below(3) == 0)
		return arena_printf(&arena, "(%s) %s (%s)", random_bool(depth - 1), below(2) ? "and" : "or",
		                    random_bool(depth - 1));
	if (depth > 0 && below(5) == 0)
		return arena_printf(&arena, "not (%s)", random_bool(depth - 1));
	if (below(6) == 0)
		return "F[i-1]";
	return arena_printf(&arena, "%s %s %s", random_int(1), compare[below(6)], random_int(1));
}

static const char *random_read(uint32_t tensors)
{
	const struct tensor *t = &b.cascade->tensor.v[below(tensors)];
	struct text text;
	text_init(&text, &arena);
	text_add(&text, t->name);
	for (int r = 0; r < t->nranks; r++) {
		const char *plain = expr_same(t->extent[r], b.cascade->index.v[0].extent) ? "i" : "j";
		text_printf(&text, "%c%s", r ? ',' : '[', below(2) ? plain : random_int(1));
	}
	text_add(&text, t->nranks ? "]" : "");
	return text.s;
}

static const char *random_real(int depth, uint32_t tensors)
{
	static const char *const call[] = {"exp", "tanh", "abs", "relu", "sigmoid"};
	if (depth <= 0 || below(5) == 0)
		return below(4) ? random_read(tensors) : random_int(1);
	const char *x = random_real(depth - 1, tensors), *y = random_real(depth - 1, tensors);
	switch (below(6)) {
	case 0: return arena_printf(&arena, "%s(%s)", call[below(5)], x);
	case 1: return arena_printf(&arena, "((%s) else %s)", x, below(2) ? "0.5" : y);
	case 2: return arena_printf(&arena, "select(%s, %s, %s)", random_bool(1), x, y);
	case 3: return arena_printf(&arena, "max(%s, %s)", x, y);
	default: return arena_printf(&arena, "(%s) %c (%s)", x, "+-*"[below(3)], y);
	}
}

static void input(const char *name, const char *extents, enum dtype dtype, int low, int values)
{
	uint32_t t = build_tensor(&b, ROLE_IN, name, extents, dtype);
	int64_t count = 1, extent = 0;
	for (int r = 0; r < b.cascade->tensor.v[t].nranks; r++)
		count *= cascade_extent(b.cascade, b.cascade->tensor.v[t].extent[r], &extent) ? extent : 0;
	have[t] = (struct oracle_tensor){.data = arena_new_array(&arena, (size_t)count, double),
	                                 .count = count};
	for (int64_t i = 0; i < count; i++)
		have[t].data[i] = dtype == DTYPE_F32 ? (double)below(64) / 32 - 1
		                                     : (double)(low + (int)below((uint32_t)values));
	want[t] = have[t];
}

static int64_t random_extent(void)
{
	static const int64_t extents[] = {0, 1, 2, 3, 7, 30, 255, 256, 257, LARGEST};
	return extents[below(10)];
}

static void random_cascade(void)
{
	static struct oracle_tensor room[2][32];
	memset(room, 0, sizeof room);
	have = room[0];
	want = room[1];
	build_init(&b, &arena);
	int64_t i = random_extent(), j = random_extent();
	build_rank(&b, "I", i);
	build_rank(&b, "J", j > 7 && i > 7 && below(8) ? 5 : j);
	input("X", "I", DTYPE_F32, 0, 0);
	input("Y", "J", DTYPE_F32, 0, 0);
	input("Z", "IJ", DTYPE_F32, 0, 0);
	input("G", "I", DTYPE_I32, -1, (int)i + 2);
	input("F", "I", DTYPE_BOOL, 0, 2);
	input("s", "", DTYPE_F32, 0, 0);
	for (int q = 0; q < EQUATIONS; q++) {
		static const char *const left[] = {"", "i", "j", "ij", "ji"}, *const reduced[] = {
		                                                                      "ij", "j", "i", "", ""};
		static const char *const also[] = {"ji", "j", "i", "", ""};
		uint32_t shape = below(5), tensors = b.cascade->tensor.n;
		enum reduction r = shape < 3 ? (enum reduction)(1 + below(REDUCTIONS - 1)) : REDUCE_NONE;
		const char *name = arena_printf(&arena, "T%d", q), *where = below(2) ? random_bool(2) : NULL;
		const char *text = random_real(3, tensors);
		if (r == REDUCE_PROD || r == REDUCE_ANY || r == REDUCE_ALL)
			text = arena_printf(&arena, "select(%s, 0.5, 1)", random_bool(2));
		build_equation(&b, name, left[shape], r, below(2) ? reduced[shape] : also[shape], text,
		               where);
	}
}

static bool close_to(double a, double c)
{
	return a == c || (a != a && c != c) || fabs(a - c) <= 1e-9 * (fabs(a) + fabs(c) + 1) ||
	       fabs(c) > 1e300;
}

static bool agrees(void)
{
	struct cascade *c = b.cascade;
	struct diags diags;
	diags_init(&diags, &arena, "random", "", 0);
	if (!oracle_run(&arena, c, have, SIZE_MAX, &diags))
		return false;
	for (uint32_t q = 0; q < c->equation.n; q++) {
		define(q);
		uint32_t t = c->equation.v[q].tensor;
		for (int64_t i = 0; i < want[t].count; i++) {
			bool here = !have[t].present || have[t].present[i];
			if (here == want[t].present[i] &&
			    (!here || close_to(have[t].data[i], want[t].data[i])))
				continue;
			struct text text;
			text_init(&text, &arena);
			equation_print(c, &c->equation.v[q], &text);
			printf("# at %lld: %g (%d), not %g (%d)\n# %s", (long long)i, have[t].data[i], here,
			       want[t].data[i], want[t].present[i], text.s);
			return false;
		}
		/* What follows is judged on the same ground. */
		want[t].data = have[t].data;
	}
	return presence_agrees;
}

int main(void)
{
	jmp_buf env;
	arena_init(&arena);
	if (!ARENA_TRY(&arena, &env))
		return 1;
	int bad = 0;
	for (int i = 0; i < CASCADES; i++) {
		arena_free(&arena);
		arena.out_of_memory = &env;
		random_cascade();
		presence_agrees = true;
		if (!agrees() && bad++ < 3)
			printf("# cascade %d%s\n", i, presence_agrees ? "" : ": derived presence");
	}
	ok(!bad, "%d random cascades", CASCADES);
	arena_free(&arena);
	return tap_done();
}
