/* Selections on a device: a warp has a fiber, its lanes take the elements in turns, and every pass over the fiber
 * computes them again from memory, so that a fiber may be of any length. Thresholds are found by halving the range of
 * keys and counting; places in order come from counts of the lanes before. Slow, without a barrier or shared memory,
 * and the same in every order of threads. An argsort compares all pairs, and has a limit. */
#include "codegen/cuda.h"

enum { MOST_SORTED = 4096 };

struct selecting {
	struct cuda *c;
	struct emitter *e;
	const struct tile_statement *s;
	struct nest nest;
	uint32_t place;
	long long extent, results;
	bool real;
	const char *at;                  /* C name of the fiber's coordinate */
	const char *there, *key, *value; /* of an element */
};

static void line(struct selecting *x, struct c_block *b, const char *format, const char *p, const char *q, const char *r)
{
	c_line(x->e->arena, b, format, p, q, r);
}

/* Declares what is known of the element at the coordinate: is it there, its key, and its value where asked for. */
static void element(struct selecting *x, struct c_block *b, bool value)
{
	struct emitter *e = x->e;
	const struct tile_statement *s = x->s;
	struct nest n = x->nest;
	c_line(e->arena, b, "int %s = 0, %s = 0;", x->there, x->key);
	if (value)
		c_line(e->arena, b, "real %s = 0;", x->value);
	n.row = n.body = c_open(e->arena, b, "if (%s < %lld)", x->at, x->extent);
	n.uses = arena_alloc(e->arena, e->pool->node.n);
	n.loop[n.nloops++] = s->index;
	nest_count(&n, s->expression);
	if (s->present.id)
		nest_count(&n, s->present);
	uint32_t names = e->taken.n;
	const char *there = s->present.id ? nest_text(&n, s->present, KIND_BOOL, false) : "1";
	line(x, n.body, "%s = %s != 0;%s", x->there, there, "");
	enum kind kind = s->select == SELECT_MEMBERS ? KIND_BOOL : x->real ? KIND_REAL : KIND_INT;
	const char *text = emit_strip(e, nest_text(&n, s->expression, kind, false));
	if (value)
		line(x, n.body, "%s = %s;%s", x->value, text, "");
	line(x, n.body, x->real ? "%s = s_key(%s);%s" : "%s = %s;%s", x->key, value ? x->value : text, "");
	e->taken.n = names;
}

/* for (…) over the fiber, an element a lane. */
static struct c_block *lanes(struct selecting *x, struct c_block *b)
{
	line(x, b, "AT_ROLLED%s%s%s", "", "", "");
	return c_open(x->e->arena, b, "for (int %s = lane; %s < %lld; %s += 32)", x->at, x->at, x->extent, x->at);
}

/* … in order: all lanes are at it together, the last ones beyond the end. */
static struct c_block *in_order(struct selecting *x, struct c_block *b)
{
	const char *base = plan_name(x->e, "base");
	line(x, b, "AT_ROLLED%s%s%s", "", "", "");
	b = c_open(x->e->arena, b, "for (int %s = 0; %s < %lld; %s += 32)", base, base, x->extent, base);
	line(x, b, "const int %s = %s + lane;%s", x->at, base, "");
	return b;
}

/* A new name for how many elements hold to a condition, of what format tells with the key. */
static const char *count(struct selecting *x, struct c_block *b, const char *stem, const char *condition)
{
	const char *name = plan_name(x->e, stem);
	line(x, b, "int %s = 0;%s%s", name, "", "");
	struct c_block *each = lanes(x, b);
	element(x, each, false);
	line(x, each, "%s += %s & (%s);", name, x->there, condition);
	line(x, b, "%s = i_across_sum(%s);%s", name, name, "");
	return name;
}

/* Stores at the target's coordinate, which the block has a name for. */
static void put(struct selecting *x, struct c_block *b, const char *text)
{
	emit_put(&x->nest, b, x->s->target, x->place, text);
}

/* What is chosen: keys above `low`, and the first `more` that equal it. */
static void mark(struct selecting *x, struct c_block *b, const char *low, const char *more)
{
	struct arena *a = x->e->arena;
	const char *before = plan_name(x->e, "before"), *tie = plan_name(x->e, "tie"), *ties = plan_name(x->e, "ties");
	const char *first = plan_name(x->e, "first");
	line(x, b, "int %s = 0;%s%s", before, "", "");
	struct c_block *each = in_order(x, b);
	element(x, each, false);
	c_line(a, each, "const int %s = %s & (%s == %s);", tie, x->there, x->key, low);
	c_line(a, each, "int %s = %s;", ties, tie);
	c_line(a, each, "const int %s = %s + i_before(lane, &%s);", first, before, ties);
	struct c_block *inside = c_open(a, each, "if (%s < %lld)", x->at, x->extent);
	put(x, inside,
	    arena_printf(a, "(%s & (%s > %s)) | (%s & (%s < %s))", x->there, x->key, low, tie, first, more));
	line(x, each, "%s += %s;%s", before, ties, "");
}

/* Opens the search of the largest key from low on of which `enough` holds; its middle is a name. */
static struct c_block *search(struct selecting *x, struct c_block *b, const char *low, const char *least,
                              const char **high, const char **middle)
{
	struct arena *a = x->e->arena;
	*high = plan_name(x->e, "high");
	*middle = plan_name(x->e, "middle");
	c_line(a, b, "int %s = %s, %s = INT_MOST;", low, least, *high);
	b = c_open(a, b, "while (%s < %s)", low, *high);
	c_line(a, b, "const int %s = %s + (int)(((unsigned)%s - (unsigned)%s) / 2 + 1);", *middle, low, *high, low);
	return b;
}

static void narrow(struct selecting *x, struct c_block *b, const char *enough, const char *low, const char *high,
                   const char *middle)
{
	line(x, c_open(x->e->arena, b, "if (%s)", enough), "%s = %s;%s", low, middle, "");
	line(x, c_open(x->e->arena, b, "else"), "%s = %s - 1;%s", high, middle, "");
}

static void topk(struct selecting *x, struct c_block *b)
{
	struct arena *a = x->e->arena;
	double most = (double)x->extent;
	long long k = x->s->argument < 1 ? 0 : x->s->argument > most ? x->extent : (long long)x->s->argument;
	const char *low = plan_name(x->e, "low"), *high, *middle;
	struct c_block *half = search(x, b, low, "INT_LEAST", &high, &middle);
	const char *reach = count(x, half, "reach", arena_printf(a, "%s >= %s", x->key, middle));
	narrow(x, half, arena_printf(a, "%s >= %lld", reach, k), low, high, middle);
	const char *above = count(x, b, "above", arena_printf(a, "%s > %s", x->key, low));
	mark(x, b, low, arena_printf(a, "%lld - %s", k, above));
}

/* A new name for the sum of elements whose keys hold to a condition, in double. */
static const char *sum(struct selecting *x, struct c_block *b, const char *stem, const char *condition)
{
	const char *name = plan_name(x->e, stem);
	line(x, b, "double %s = 0;%s%s", name, "", "");
	struct c_block *each = lanes(x, b);
	element(x, each, true);
	c_line(x->e->arena, each, "%s += (%s & (%s)) ? (double)%s : 0;", name, x->there, condition, x->value);
	line(x, b, "%s = s_across_sum(%s);%s", name, name, "");
	return name;
}

/* Among elements above 0 sums grow as more are taken. Where all of those are not enough, the largest element alone is,
 * or none are: all are chosen. */
static void nucleus(struct selecting *x, struct c_block *b)
{
	struct emitter *e = x->e;
	struct arena *a = e->arena;
	struct text p;
	text_init(&p, a);
	text_number(&p, x->s->argument);
	const char *all = sum(x, b, "all", "1"), *target = plan_name(e, "target"), *low = plan_name(e, "low"), *high;
	const char *middle, *more = plan_name(e, "more"), *so_far, *top = plan_name(e, "top");
	c_line(a, b, "const double %s = %s * %s;", target, p.s, all);
	struct c_block *half = search(x, b, low, "0", &high, &middle);
	const char *reach = sum(x, half, "reach", arena_printf(a, "%s >= %s", x->key, middle));
	narrow(x, half, arena_printf(a, "%s >= %s", reach, target), low, high, middle);
	c_line(a, b, "int %s = 1;", more);
	struct c_block *enough = c_open(a, b, "if (%s > 0)", low);
	so_far = sum(x, enough, "so_far", arena_printf(a, "%s > %s", x->key, low));
	c_line(a, enough, "for (%s += s_of_key(%s); !(%s >= %s) && %s < %lld; %s++)", so_far, low, so_far, target, more,
	       x->extent, more);
	c_line(a, enough, "\t%s += s_of_key(%s);", so_far, low);
	struct c_block *none = c_open(a, b, "else");
	c_line(a, none, "int %s = INT_LEAST;", top);
	struct c_block *each = lanes(x, none);
	element(x, each, false);
	c_line(a, each, "%s = %s && %s > %s ? %s : %s;", top, x->there, x->key, top, x->key, top);
	c_line(a, none, "%s = i_across_max(%s);", top, top);
	c_line(a, none, "%s = %s <= 0 && s_of_key(%s) >= %s ? %s : INT_LEAST;", low, top, top, target, top);
	mark(x, b, low, more);
}

static void fill(struct selecting *x, struct c_block *b, const char *from)
{
	struct emitter *e = x->e;
	const char *at = e->index_name[x->place];
	b = c_open(e->arena, b, "for (int %s = %s + lane; %s < %lld; %s += 32)", at, from, at, x->results, at);
	put(x, b, "-1");
}

static void argsort(struct selecting *x, struct c_block *b)
{
	struct arena *a = x->e->arena;
	const char *all = count(x, b, "all", "1"), *mine = plan_name(x->e, "mine"), *own = plan_name(x->e, "own");
	const char *rank = plan_name(x->e, "rank");
	struct c_block *each = lanes(x, b);
	element(x, each, false);
	struct c_block *there = c_open(a, each, "if (%s)", x->there);
	c_line(a, there, "const int %s = %s, %s = %s;", mine, x->key, own, x->at);
	c_line(a, there, "int %s = 0;", rank);
	line(x, there, "AT_ROLLED%s%s%s", "", "", "");
	struct c_block *other =
	        c_open(a, there, "for (int %s = 0; %s < %lld; %s++)", x->at, x->at, x->extent, x->at);
	element(x, other, false);
	c_line(a, other, "%s += %s & ((%s < %s) | ((%s == %s) & (%s < %s)));", rank, x->there, x->key, mine, x->key, mine,
	       x->at, own);
	c_line(a, there, "const int %s = %s;", x->at, rank);
	put(x, there, own);
	fill(x, b, all);
}

static void members(struct selecting *x, struct c_block *b)
{
	struct arena *a = x->e->arena;
	const char *before = plan_name(x->e, "before"), *ours = plan_name(x->e, "ours"), *slot = plan_name(x->e, "slot");
	line(x, b, "int %s = 0;%s%s", before, "", "");
	struct c_block *each = in_order(x, b);
	element(x, each, false);
	c_line(a, each, "%s &= %s;", x->there, x->key);
	c_line(a, each, "int %s = %s;", ours, x->there);
	c_line(a, each, "const int %s = %s + i_before(lane, &%s);", slot, before, ours);
	struct c_block *inside = c_open(a, each, "if (%s && %s < %lld)", x->there, slot, x->results);
	c_line(a, inside, "const int %s = %s;", x->e->index_name[x->place], slot);
	put(x, inside, x->at);
	line(x, each, "%s += %s;%s", before, ours, "");
	fill(x, b, before);
}

bool cuda_select_fits(const struct cuda *c, const struct tile_statement *s, struct text *reason)
{
	int64_t extent = c->e.program->index.v[s->index].extent;
	if (s->select == SELECT_ARGSORT && extent > MOST_SORTED)
		text_printf(reason, "an argsort of %lld elements, and on a device it is of %d at most", (long long)extent,
		            MOST_SORTED);
	return !reason->len;
}

void cuda_select(struct cuda *c, struct c_block *b, const struct tile_statement *s)
{
	struct emitter *e = &c->e;
	uint32_t names = e->taken.n;
	const struct expr_node *target = expr_at(e->pool, s->target);
	struct selecting x = {.c = c, .e = e, .s = s, .place = s->select == SELECT_MEMBERS ? s->slot : s->index};
	bool shared_out = false;
	c->at = (struct fragment_at){.lanes = NO_INDEX};
	x.extent = (long long)e->program->index.v[s->index].extent;
	x.results = (long long)e->program->index.v[x.place].extent;
	x.real = s->select == SELECT_NUCLEUS ||
	         (s->select != SELECT_MEMBERS && expr_at(e->pool, s->expression)->kind == KIND_REAL);
	x.at = e->index_name[s->index];
	x.there = plan_name(e, "there");
	x.key = plan_name(e, "key");
	x.value = plan_name(e, "value");
	x.nest = (struct nest){.e = e, .lane = NO_INDEX, .uses = arena_alloc(e->arena, e->pool->node.n)};
	c_comment(e->arena, b, emit_describe(e, s));
	for (int r = 0; r < target->count; r++) {
		uint32_t index = expr_at(e->pool, expr_operand(e->pool, s->target, r))->symbol;
		const struct current *range = e->range[index];
		const char *i = e->index_name[index];
		if (index == x.place || range->single)
			continue;
		line(&x, b, "AT_ROLLED%s%s%s", "", "", "");
		b = shared_out ? emit_loop(e, b, index)
		               : c_open(e->arena, b, "for (int %s = %s + warp; %s <= %s; %s += %d)", i, range->low, i,
		                        range->high, i, c->warps);
		shared_out = true;
		x.nest.loop[x.nest.nloops++] = index;
	}
	if (!shared_out)
		b = c_open(e->arena, b, "if (warp == 0)");
	switch (s->select) {
	case SELECT_TOPK: topk(&x, b); break;
	case SELECT_NUCLEUS: nucleus(&x, b); break;
	case SELECT_ARGSORT: argsort(&x, b); break;
	default: members(&x, b);
	}
	e->taken.n = names;
}
