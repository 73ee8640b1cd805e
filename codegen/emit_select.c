/* Selections: a fiber at a time, by the functions of codegen/prelude/select.h, which know lists of places.
 *
 * Comparisons of the fiber's index with what does not mention it become the fiber's ends. Where nothing else says
 * what is there, and the operand lies in memory as the functions want it, they read it where it stands. Else it is
 * computed into scratch, with a flag an element, and what is absent is left out before anything is compared. */
#include "codegen/emit.h"

#include <string.h>

#include "base/whole.h"

enum { SPARE = 64 }; /* the prelude stores whole vectors */

struct selecting {
	struct emitter *e;
	const struct tile_statement *s;
	struct nest nest;
	uint32_t place;        /* the target's index: the fiber's or the slots' */
	bool real;             /* elements are compared as reals */
	const char *low, *end; /* of the fiber's coordinates that matter */
	struct expr also;      /* what else must hold for an element to be there; NO_EXPR: nothing */
	const char *at;        /* list of places */
	const char *where;     /* list of coordinates that places count; NULL: from low on */
	const char *i;         /* counts elements */
	int64_t used;          /* bytes of the phase's room */
};

static const char *format(struct selecting *x, const char *f, const char *a, const char *b)
{
	return arena_printf(x->e->arena, f, a, b);
}

/* Room in scratch for as many elements as the fiber has. */
static const char *room(struct selecting *x, struct c_block *b, const char *type, const char *stem)
{
	struct emitter *e = x->e;
	bool wide = e->real_double && (!strcmp(type, "real") || !strcmp(type, "at_key"));
	const char *name = plan_name(e, stem);
	c_line(e->arena, b, "%s *const %s = (%s *)((char *)scratch + %lld);", type, name, type,
	       (long long)(e->select_offset + x->used));
	x->used += round_up((e->program->index.v[x->s->index].extent + SPARE) * (wide ? 8 : 4), 64);
	if (e->select_bytes < x->used)
		e->select_bytes = x->used;
	return name;
}

static struct c_block *each(struct selecting *x, struct c_block *b, const char *count)
{
	return c_open(x->e->arena, b, "for (long %s = 0; %s < %s; %s++)", x->i, x->i, count, x->i);
}

/* ---- what is there ---- */

static bool mentions(const struct selecting *x, struct expr e)
{
	return expr_mentions(x->e->pool, e, OP_INDEX, x->s->index);
}

static bool is_index(const struct selecting *x, struct expr e)
{
	const struct expr_node *n = expr_at(x->e->pool, e);
	return n->op == OP_INDEX && n->symbol == x->s->index;
}

/* index < e or index <= e; e < index or e <= index. */
static bool is_end(struct selecting *x, struct expr e)
{
	struct emitter *m = x->e;
	const struct expr_node *n = expr_at(m->pool, e);
	if (n->op != OP_LT && n->op != OP_LE)
		return false;
	struct expr a = expr_operand(m->pool, e, 0), b = expr_operand(m->pool, e, 1);
	bool strict = n->op == OP_LT, upper = is_index(x, a);
	struct expr bound = upper ? b : a;
	if (!(upper || is_index(x, b)) || mentions(x, bound) || expr_at(m->pool, bound)->kind != KIND_INT)
		return false;
	const char *text = emit_strip(m, nest_text(&x->nest, bound, KIND_INT, false));
	if (upper)
		x->end = format(x, strict ? "i_min(%s, %s)" : "i_min(%s, (%s) + 1)", x->end, text);
	else
		x->low = format(x, strict ? "i_max(%s, (%s) + 1)" : "i_max(%s, %s)", x->low, text);
	return true;
}

static void take_ends(struct selecting *x, struct expr e)
{
	struct expr_pool *p = x->e->program->pool;
	if (expr_at(p, e)->op == OP_AND) {
		struct expr a = expr_operand(p, e, 0), b = expr_operand(p, e, 1);
		take_ends(x, a);
		take_ends(x, b);
	} else if (!is_end(x, e)) {
		x->also = x->also.id ? expr2(p, OP_AND, x->also, e) : e;
	}
}

static void fiber_ends(struct selecting *x, struct c_block *b)
{
	struct emitter *e = x->e;
	x->low = "0";
	x->end = arena_printf(e->arena, "%lld", (long long)e->program->index.v[x->s->index].extent);
	const char *whole = x->end;
	if (x->s->present.id)
		take_ends(x, x->s->present);
	x->low = emit_constant(e, b, x->s->index, "first", x->low);
	if (strcmp(x->low, "0") || strcmp(x->end, whole))
		x->end = format(x, "i_max(%s, %s)", x->low, x->end);
	x->end = emit_constant(e, b, x->s->index, "end", x->end);
}

/* ---- the operand ---- */

/* An element where an operand of one READ begins, and the stride along the fiber; NULL where the functions cannot
 * read it there. */
static const char *in_memory(struct selecting *x, const char **stride)
{
	struct emitter *e = x->e;
	const struct expr_node *n = expr_at(e->pool, x->s->expression);
	if (n->op != OP_READ || x->also.id)
		return NULL;
	const struct tile_tensor *t = &e->program->tensor.v[n->symbol];
	bool bytes = t->dtype == DTYPE_BOOL || t->dtype == DTYPE_U8;
	if (t->panel || !(x->s->select == SELECT_MEMBERS ? bytes : x->real && t->dtype == e->program->compute))
		return NULL;
	for (int r = 0; r < n->count; r++) {
		struct expr at = expr_operand(e->pool, x->s->expression, r);
		const struct expr_node *a = expr_at(e->pool, at);
		if (a->op != OP_INDEX || e->program->index.v[a->symbol].extent > t->extent[r])
			return NULL;
	}
	if (!mentions(x, x->s->expression))
		return NULL;
	struct nest along = x->nest;
	along.lane = x->s->index;
	along.at = x->low;
	return nest_address(&along, x->s->expression, stride);
}

/* Computes elements, or flags, from low to end into scratch. */
static void compute(struct selecting *x, struct c_block *b, const char *element, const char *flag)
{
	struct emitter *e = x->e;
	struct arena *a = e->arena;
	struct expr flagged = x->s->select == SELECT_MEMBERS ? x->s->expression : x->also;
	if (x->s->select == SELECT_MEMBERS && x->also.id)
		flagged = expr2(e->program->pool, OP_AND, x->also, flagged);
	bool lanes = (!element || group_vectorises(e, x->s->expression, x->s->index)) &&
	             (!flag || group_vectorises(e, flagged, x->s->index));
	uint32_t names = e->taken.n;
	struct nest n = x->nest;
	const char *at = e->index_name[x->s->index], *step = lanes ? "LANES" : "1";
	struct c_block *body =
	        c_open(a, b, "for (long %s = %s; %s < %s; %s += %s)", at, x->low, at, x->end, at, step);
	n.row = n.body = body;
	n.uses = arena_alloc(a, e->pool->node.n);
	memset(&n.scalar, 0, sizeof n.scalar);
	memset(&n.vector, 0, sizeof n.vector);
	memset(&n.row_name, 0, sizeof n.row_name);
	n.lane = lanes ? x->s->index : NO_INDEX;
	n.at = at;
	n.left = arena_printf(a, "%s - %s", x->end, at);
	n.partial = true;
	if (!lanes)
		n.loop[n.nloops++] = x->s->index;
	if (element)
		nest_count(&n, x->s->expression);
	if (flag)
		nest_count(&n, flagged);
	const char *to = strcmp(x->low, "0") ? arena_printf(a, "%s - %s", at, x->low) : at;
	const char *const form = lanes ? "%s_store(%s + %s, %s);" : "%s%s[%s] = %s;";
	if (element)
		c_line(a, body, form, !lanes ? "" : x->real ? "v" : "vi", element, to,
		       emit_strip(e, nest_text(&n, x->s->expression, x->real ? KIND_REAL : KIND_INT, lanes)));
	if (flag)
		c_line(a, body, form, lanes ? "vi" : "", flag, to,
		       emit_strip(e, nest_text(&n, flagged, KIND_BOOL, lanes)));
	e->taken.n = names;
}

/* The elements that are there, side by side; how many is a new name, their coordinates are x->where. */
static const char *gather(struct selecting *x, struct c_block *b, const char **elements)
{
	struct emitter *e = x->e;
	struct arena *a = e->arena;
	const char *stride = NULL, *memory = in_memory(x, &stride), *count = plan_name(e, "count"), *own;
	const char *length = strcmp(x->low, "0") ? arena_printf(a, "%s - %s", x->end, x->low) : x->end;
	const char *type = x->s->select == SELECT_MEMBERS ? "unsigned char" : x->real ? "real" : "int";
	*elements = plan_name(e, "fiber");
	if (memory && !strcmp(stride, "1")) {
		c_line(a, b, "const long %s = %s;", count, length);
		c_line(a, b, "const %s *const %s = %s;", type, *elements, emit_strip(e, memory));
		return count;
	}
	own = room(x, b, type, "element");
	c_line(a, b, x->also.id ? "long %s = %s;" : "const long %s = %s;", count, length);
	if (memory) {
		c_line(a, b, "const %s *%s = %s;", type, *elements, emit_strip(e, memory));
		b = c_open(a, b, "if (%s != 1)", stride);
		c_line(a, each(x, b, count), "%s[%s] = %s[%s * %s];", own, x->i, *elements, x->i, stride);
		c_line(a, b, "%s = %s;", *elements, own);
		return count;
	}
	c_line(a, b, "const %s *const %s = %s;", type, *elements, own);
	if (!x->also.id) {
		compute(x, b, own, NULL);
		return count;
	}
	const char *flag = room(x, b, "int", "flag");
	x->where = room(x, b, "int", "there");
	compute(x, b, own, flag);
	c_line(a, b, "%s = select_flagged(%s, %s, %s);", count, x->where, flag, count);
	c_line(a, each(x, b, count), "%s[%s] = %s[%s[%s]];", own, x->i, own, x->where, x->i);
	return count;
}

/* Keys of ints are themselves. */
static const char *int_keys(struct selecting *x, struct c_block *b, const char *elements, const char *count)
{
	const char *key = room(x, b, "at_key", "key");
	c_line(x->e->arena, each(x, b, count), "%s[%s] = %s[%s];", key, x->i, elements, x->i);
	return key;
}

/* ---- the selection ---- */

/* How many of the list x->at are chosen. */
static const char *choose(struct selecting *x, struct c_block *b)
{
	struct emitter *e = x->e;
	struct arena *a = e->arena;
	int64_t extent = e->program->index.v[x->s->index].extent;
	const char *fiber, *stride = NULL, *count, *key, *chosen = plan_name(e, "chosen");
	x->at = room(x, b, "int", "places");
	if (x->s->select == SELECT_MEMBERS && !in_memory(x, &stride)) {
		const char *flag = room(x, b, "int", "flag");
		compute(x, b, NULL, flag);
		c_line(a, b, "const long %s = select_flagged(%s, %s, %s - %s);", chosen, x->at, flag, x->end, x->low);
		return chosen;
	}
	count = gather(x, b, &fiber);
	long long k = x->s->argument < 1 ? 0 : x->s->argument > (double)extent ? extent : (long long)x->s->argument;
	if (x->s->select == SELECT_MEMBERS) {
		c_line(a, b, "const long %s = select_bytes(%s, %s, %s);", chosen, x->at, fiber, count);
	} else if (x->s->select == SELECT_TOPK && x->real) {
		key = room(x, b, "at_key", "key");
		c_line(a, b, "const long %s = select_topk(%s, %s, %s, %lld, %s);", chosen, x->at, fiber, count, k, key);
	} else if (x->s->select == SELECT_TOPK) {
		key = int_keys(x, b, fiber, count);
		c_line(a, b, "const long %s = select_largest(%s, %s, %s, %lld);", chosen, x->at, key, count, k);
	} else {
		const char *other = room(x, b, "at_key", "other_key"), *others = room(x, b, "int", "other_places");
		if (x->s->select == SELECT_NUCLEUS || x->real)
			key = room(x, b, "at_key", "key");
		else
			key = int_keys(x, b, fiber, count);
		if (x->s->select == SELECT_NUCLEUS) {
			struct text p;
			text_init(&p, a);
			text_number(&p, x->s->argument);
			c_line(a, b, "const long %s = select_nucleus(%s, %s, %s, %s, %s, %s, %s);", chosen, x->at, fiber,
			       count, p.s, key, other, others);
			return chosen;
		}
		if (x->real)
			c_line(a, b, "select_keys(%s, %s, %s);", key, fiber, count);
		c_line(a, b, "select_order(%s, %s, %s, %s, %s);", x->at, key, count, other, others);
		c_line(a, b, "const long %s = %s;", chosen, count);
	}
	return chosen;
}

/* ---- the result ---- */

void emit_put(const struct nest *from, struct c_block *b, struct expr target, uint32_t index, const char *text)
{
	struct emitter *e = from->e;
	uint32_t tensor = expr_at(e->pool, target)->symbol;
	bool integer = dtype_info[e->program->tensor.v[tensor].dtype].integer;
	struct nest n = *from;
	n.row = n.body = b;
	n.loop[n.nloops++] = index;
	c_line(e->arena, b, "s%s_put_%s(%s, %s);", integer ? "i" : "", e->tensor[tensor].get,
	       nest_address(&n, target, NULL), text);
}

static void put(struct selecting *x, struct c_block *b, const char *text)
{
	emit_put(&x->nest, b, x->s->target, x->place, text);
}

/* The coordinate of the i-th of the list. */
static const char *coordinate(const struct selecting *x)
{
	struct arena *a = x->e->arena;
	const char *place = arena_printf(a, "%s[%s]", x->at, x->i);
	if (x->where)
		place = arena_printf(a, "%s[%s]", x->where, place);
	return strcmp(x->low, "0") ? arena_printf(a, "%s + %s", x->low, place) : place;
}

/* True at the chosen coordinates, false elsewhere. */
static void mark(struct selecting *x, struct c_block *b, const char *chosen)
{
	struct emitter *e = x->e;
	const char *at = e->index_name[x->place];
	int64_t extent = e->program->index.v[x->place].extent;
	put(x, c_open(e->arena, b, "for (long %s = 0; %s < %lld; %s++)", at, at, (long long)extent, at), "0");
	b = each(x, b, chosen);
	c_line(e->arena, b, "const long %s = %s;", at, coordinate(x));
	put(x, b, "1");
}

/* The chosen coordinates in order, and -1 after them. */
static void list(struct selecting *x, struct c_block *b, const char *chosen)
{
	struct emitter *e = x->e;
	const char *at = e->index_name[x->place];
	int64_t extent = e->program->index.v[x->place].extent;
	const char *count = plan_name(e, "listed");
	c_line(e->arena, b, "const long %s = i_min(%s, %lld);", count, chosen, (long long)extent);
	struct c_block *some = each(x, b, count);
	c_line(e->arena, some, "const long %s = %s;", at, x->i);
	put(x, some, coordinate(x));
	put(x, c_open(e->arena, b, "for (long %s = %s; %s < %lld; %s++)", at, count, at, (long long)extent, at), "-1");
}

void emit_select(struct emitter *e, struct c_block *b, const struct tile_statement *s)
{
	uint32_t names = e->taken.n;
	struct selecting x = {.e = e, .s = s, .place = s->select == SELECT_MEMBERS ? s->slot : s->index};
	const struct expr_node *target = expr_at(e->pool, s->target);
	x.i = plan_name(e, "i");
	x.real = s->select == SELECT_NUCLEUS ||
	         (s->select != SELECT_MEMBERS && expr_at(e->pool, s->expression)->kind == KIND_REAL);
	x.nest = (struct nest){.e = e, .lane = NO_INDEX, .uses = arena_alloc(e->arena, e->pool->node.n)};
	c_comment(e->arena, b, emit_describe(e, s));
	for (int r = 0; r < target->count; r++) {
		uint32_t index = expr_at(e->pool, expr_operand(e->pool, s->target, r))->symbol;
		if (index == x.place || e->range[index]->single)
			continue;
		b = emit_loop(e, b, index);
		x.nest.loop[x.nest.nloops++] = index;
	}
	b = c_group(e->arena, b);
	x.nest.row = x.nest.body = b;
	fiber_ends(&x, b);
	const char *chosen = choose(&x, b);
	if (selection_info[s->select].dtype == DTYPE_BOOL)
		mark(&x, b, chosen);
	else
		list(&x, b, chosen);
	if (x.nest.nloops) /* else what it declared is still in scope */
		e->taken.n = names;
}
