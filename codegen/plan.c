#include "codegen/plan.h"

bool equation_has_index(const struct equation *q, uint32_t index)
{
	for (int i = 0; i < q->nindex; i++)
		if (q->index[i] == index)
			return true;
	return false;
}

bool equation_reduces(const struct equation *q, uint32_t index)
{
	for (int i = 0; i < q->nreduced; i++)
		if (q->reduced[i] == index)
			return true;
	return false;
}

static bool mentions(const struct cascade *c, struct expr e, uint32_t index)
{
	return expr_mentions(&c->pool, e, OP_INDEX, index);
}

static bool in_row(const struct stream *s, uint32_t index)
{
	for (uint32_t i = 0; i < s->row.n; i++)
		if (s->row.v[i] == index)
			return true;
	return false;
}

/* Is tensor t computed inside this stream's tiles? */
static bool is_local(const struct streams *all, const struct stream *s, uint32_t t)
{
	for (uint32_t i = 0; i < s->local.n; i++)
		if (all->cascade->equation.v[s->local.v[i]].tensor == t)
			return true;
	return false;
}

bool plan_reads_local(const struct streams *all, const struct stream *s, struct expr e)
{
	const struct expr_pool *p = &all->cascade->pool;
	for (uint32_t t = 0; t < all->cascade->tensor.n; t++)
		if (is_local(all, s, t) && expr_mentions(p, e, OP_READ, t))
			return true;
	for (uint32_t i = 0; i < s->carry.n; i++)
		if (expr_mentions(p, e, OP_READ, all->cascade->equation.v[s->carry.v[i].equation].tensor))
			return true;
	return false;
}

uint32_t stream_equations(const struct stream *s)
{
	return s->local.n + s->carry.n + s->after.n;
}

uint32_t stream_equation(const struct stream *s, uint32_t k)
{
	if (k < s->local.n)
		return s->local.v[k];
	k -= s->local.n;
	return k < s->carry.n ? s->carry.v[k].equation : s->after.v[k - s->carry.n];
}

/* A correction may read what no body does. */
static bool corrects_by(const struct cascade *c, const struct stream *s, uint32_t tensor)
{
	for (uint32_t k = 0; k < s->carry.n; k++)
		for (int t = 0; t < s->carry.v[k].terms; t++)
			if (expr_mentions(&c->pool, s->carry.v[k].term[t].factor, OP_READ, tensor))
				return true;
	return false;
}

bool stream_stores(const struct streams *all, uint32_t stream, uint32_t equation)
{
	const struct cascade *c = all->cascade;
	uint32_t t = c->equation.v[equation].tensor;
	if (c->tensor.v[t].role == ROLE_OUT)
		return true;
	for (uint32_t i = stream + 1; i < all->stream.n; i++) {
		const struct stream *s = &all->stream.v[i];
		if (is_local(all, s, t))
			continue;
		if (corrects_by(c, s, t))
			return true;
		for (uint32_t k = 0; k < stream_equations(s); k++) {
			uint32_t q = stream_equation(s, k);
			const struct equation *e = &c->equation.v[q];
			if (expr_mentions(&c->pool, e->body, OP_READ, t) ||
			    (e->where.id && expr_mentions(&c->pool, e->where, OP_READ, t)))
				return true;
		}
	}
	return false;
}

/* The factors of a product, signs and quotients included, gathered on two sides. */
struct split {
	struct cascade *c;
	uint32_t rows, lanes, reduced;
	struct expr a, b, after; /* after: of b, without the reduced index */
	struct expr inner_a, inner_b, outer; /* outer: without the reduced index and the lanes; numbers apart */
	struct expr number;
	bool fails;
};

static void multiply(struct split *s, struct expr *side, bool inverse, struct expr e)
{
	*side = expr2(&s->c->pool, inverse ? OP_DIV : OP_MUL, *side, e);
}

static void split_product(struct split *s, struct expr e, bool inverse)
{
	const struct expr_node *n = expr_at(&s->c->pool, e);
	enum op op = (enum op)n->op;
	if (op == OP_MUL || (op == OP_DIV && !inverse)) {
		struct expr x = expr_operand(&s->c->pool, e, 0), y = expr_operand(&s->c->pool, e, 1);
		split_product(s, x, inverse);
		split_product(s, y, op == OP_DIV);
		return;
	}
	if (op == OP_NEG) {
		s->a = expr1(&s->c->pool, OP_NEG, s->a);
		s->number = expr1(&s->c->pool, OP_NEG, s->number);
		split_product(s, expr_operand(&s->c->pool, e, 0), inverse);
		return;
	}
	bool row = mentions(s->c, e, s->rows), lane = mentions(s->c, e, s->lanes);
	if (row && lane) {
		s->fails = true;
		return;
	}
	multiply(s, lane ? &s->b : &s->a, inverse, e);
	if (mentions(s->c, e, s->reduced))
		multiply(s, lane ? &s->inner_b : &s->inner_a, inverse, e);
	else
		multiply(s, lane ? &s->after : expr_is_number(&s->c->pool, e, NULL) ? &s->number : &s->outer, inverse, e);
}

/* Does b reach the task's coordinates only through whole coordinates of its reads, so that packing can walk
 * those coordinates on their own? */
static bool packable(struct cascade *c, struct expr e, uint32_t lanes, uint32_t reduced, int *outer)
{
	const struct expr_node *n = expr_at(&c->pool, e);
	if (n->op == OP_INDEX)
		return n->symbol == lanes || n->symbol == reduced;
	for (int i = 0; i < n->count; i++) {
		struct expr x = expr_operand(&c->pool, e, i);
		bool inner = mentions(c, x, lanes) || mentions(c, x, reduced);
		if (n->op == OP_READ && !inner && !expr_mentions(&c->pool, x, OP_READ, ANY_SYMBOL)) {
			if (++*outer > MAX_RANKS - 2) /* the packed tensor's ranks */
				return false;
			continue;
		}
		if (!packable(c, x, lanes, reduced, outer))
			return false;
	}
	return true;
}

static bool direct(struct cascade *c, struct expr b, uint32_t before_last, uint32_t last)
{
	const struct expr_node *n = expr_at(&c->pool, b);
	uint32_t lanes = last, reduced = before_last;
	if (n->op != OP_READ || n->count < 2)
		return false;
	for (int i = 0; i < n->count; i++) {
		struct expr x = expr_operand(&c->pool, b, i);
		const struct expr_node *xn = expr_at(&c->pool, x);
		if (i >= n->count - 2) {
			if (xn->op != OP_INDEX || xn->symbol != (i == n->count - 1 ? last : before_last))
				return false;
		} else if (mentions(c, x, lanes) || mentions(c, x, reduced) ||
		           expr_mentions(&c->pool, x, OP_READ, ANY_SYMBOL)) {
			return false;
		}
	}
	return true;
}

int64_t plan_extent(const struct streams *all, uint32_t index)
{
	int64_t n = 1;
	if (index != NO_INDEX)
		cascade_extent(all->cascade, all->cascade->index.v[index].extent, &n);
	return n;
}

/* walked / page, which is one number for what lies in a page. */
static bool is_page(const struct cascade *c, struct expr e, uint32_t walked, int64_t page)
{
	const struct expr_node *n = expr_at(&c->pool, e);
	int64_t by;
	if (n->op != OP_IDIV || !cascade_extent(c, expr_operand(&c->pool, e, 1), &by) || by != page)
		return false;
	const struct expr_node *x = expr_at(&c->pool, expr_operand(&c->pool, e, 0));
	return x->op == OP_INDEX && x->symbol == walked;
}

static bool only_by_page(const struct cascade *c, struct expr e, uint32_t walked, int64_t page)
{
	if (is_page(c, e, walked, page) || !mentions(c, e, walked))
		return true;
	const struct expr_node *n = expr_at(&c->pool, e);
	for (int i = 0; i < n->count; i++)
		if (!only_by_page(c, expr_operand(&c->pool, e, i), walked, page))
			return false;
	return n->count > 0;
}

/* walked % page: the page; else 0. */
static int64_t page_of(const struct cascade *c, struct expr e, uint32_t walked)
{
	const struct expr_node *n = expr_at(&c->pool, e);
	int64_t page;
	if (n->op != OP_MOD || !cascade_extent(c, expr_operand(&c->pool, e, 1), &page) || page < 1)
		return 0;
	const struct expr_node *x = expr_at(&c->pool, expr_operand(&c->pool, e, 0));
	return x->op == OP_INDEX && x->symbol == walked ? page : 0;
}

/* One READ that ends in `last` and has `other` as a coordinate, whole or, if it is walked, in pages. */
static bool stands(const struct streams *all, const struct stream_plan *p, struct expr b, uint32_t other, uint32_t last,
                   int64_t *page)
{
	const struct cascade *c = all->cascade;
	const struct expr_node *n = expr_at(&c->pool, b);
	int64_t extent = 0;
	int at = -1;
	*page = 0;
	if (n->op != OP_READ || n->count < 2)
		return false;
	const struct expr_node *end = expr_at(&c->pool, expr_operand(&c->pool, b, n->count - 1));
	if (end->op != OP_INDEX || end->symbol != last)
		return false;
	for (int i = 0; i + 1 < n->count; i++) {
		struct expr x = expr_operand(&c->pool, b, i);
		const struct expr_node *xn = expr_at(&c->pool, x);
		int64_t in_pages = other == p->walked ? page_of(c, x, other) : 0;
		if ((xn->op != OP_INDEX || xn->symbol != other) && !in_pages)
			continue;
		if (at >= 0 || !cascade_extent(c, c->tensor.v[n->symbol].extent[i], &extent) ||
		    (in_pages ? in_pages : plan_extent(all, other)) > extent)
			return false;
		at = i;
		*page = in_pages;
	}
	for (int i = 0; i + 1 < n->count; i++) {
		struct expr x = expr_operand(&c->pool, b, i);
		if (i != at && (mentions(c, x, last) || (*page ? !only_by_page(c, x, other, *page) : mentions(c, x, other)) ||
		                (!*page && expr_mentions(&c->pool, x, OP_READ, ANY_SYMBOL))))
			return false;
	}
	return at >= 0;
}

/* No coordinate of these indices is past the tensor that a READ ends in them. */
static bool within(const struct streams *all, struct expr read)
{
	const struct cascade *c = all->cascade;
	const struct expr_node *n = expr_at(&c->pool, read);
	for (int i = n->count - 2; i < n->count; i++) {
		int64_t extent = 0;
		cascade_extent(c, c->tensor.v[n->symbol].extent[i], &extent);
		if (plan_extent(all, expr_at(&c->pool, expr_operand(&c->pool, read, i))->symbol) > extent)
			return false;
	}
	return true;
}

/* NO_EXPR for 1. */
static struct expr factor(const struct cascade *c, struct expr e)
{
	double one;
	return expr_is_number(&c->pool, e, &one) && one == 1 ? NO_EXPR : e;
}

/* The product apart for a device; as it is for a host where operand a would be left without rows. */
static void plan_inner(const struct streams *all, const struct stream *stream, const struct split *s,
                       struct plan_contract *out)
{
	struct cascade *c = all->cascade;
	bool apart = mentions(c, s->inner_a, out->rows) && mentions(c, s->inner_a, out->reduced);
	out->inner_a = apart ? s->inner_a : s->a;
	out->inner_b = apart ? s->inner_b : s->b;
	/* What is one number a row is multiplied first, and so once a row. */
	struct expr rows = expr2(&c->pool, OP_MUL, s->number, s->outer), all_of = expr2(&c->pool, OP_MUL, rows, s->after);
	out->outer = apart ? factor(c, all_of) : NO_EXPR;
	out->inner_direct = !plan_reads_local(all, stream, out->inner_b) &&
	                    (direct(c, out->inner_b, out->reduced, out->lanes) ||
	                     direct(c, out->inner_b, out->lanes, out->reduced)) &&
	                    within(all, out->inner_b);
}

/* Does a condition only say that a coordinate of a READ that is a factor in `e` is inside its extent? What is outside is a
 * zero then; what is read to find a coordinate would be one, too. */
static bool only_bounds(const struct cascade *c, struct expr condition, struct expr e)
{
	const struct expr_pool *p = &c->pool;
	const struct expr_node *n = expr_at(p, condition), *read = expr_at(p, e);
	if (n->op != OP_LE && n->op != OP_LT)
		return false;
	for (int k = 0; k < read->count; k++) {
		struct expr x = expr_operand(p, e, k), low = expr_operand(p, condition, 0), high = expr_operand(p, condition, 1);
		int64_t extent = 0, bound = -1;
		double zero = -1;
		if (read->op == OP_MUL && only_bounds(c, condition, x))
			return true;
		if (read->op != OP_READ)
			continue;
		cascade_extent(c, c->tensor.v[read->symbol].extent[k], &extent);
		if (n->op == OP_LE ? expr_same(high, x) && expr_is_number(p, low, &zero) && zero == 0
		                   : expr_same(low, x) && cascade_extent(c, high, &bound) && bound == extent)
			return true;
	}
	return false;
}

/* Does a local's presence hold wherever anything of the stream is present, condition by condition, but for what makes
 * its operand b zero? */
static bool implied(const struct cascade *c, struct expr present, struct expr presence, struct expr b)
{
	const struct expr_pool *p = &c->pool;
	if (condition_has(p, present, presence))
		return true;
	if (expr_at(p, presence)->op == OP_AND)
		return implied(c, present, expr_operand(p, presence, 0), b) &&
		       implied(c, present, expr_operand(p, presence, 1), b);
	return only_bounds(c, presence, b);
}

static bool contraction(const struct streams *all, const struct stream_plan *p, uint32_t equation, uint32_t lanes,
                        struct plan_contract *out)
{
	const struct stream *stream = p->stream;
	uint32_t rows = p->rows;
	struct cascade *c = all->cascade;
	const struct equation *q = &c->equation.v[equation];
	if (q->reduce != REDUCE_SUM || q->nreduced != 1 || rows == NO_INDEX || lanes == NO_INDEX ||
	    !equation_has_index(q, rows) || !equation_has_index(q, lanes))
		return false;
	struct split s = {.c = c,
	                  .rows = rows,
	                  .lanes = lanes,
	                  .reduced = q->reduced[0]};
	s.a = s.b = s.after = s.inner_a = s.inner_b = s.outer = s.number = expr_number(&c->pool, 1);
	split_product(&s, plan_by_group(c, p, q->body), false);
	uint32_t reduced = s.reduced;
	if (s.fails || !mentions(c, s.a, reduced) || !mentions(c, s.b, reduced) || !mentions(c, s.a, rows))
		return false;
	/* What is absent becomes a zero of operand a, so it must be told without the lanes; a local's sum
	 * over fewer coordinates is left to a plain reduction, unless nothing that is present reads it there. */
	struct expr presence = cascade_presence(c, equation);
	presence = plan_by_group(c, p, presence);
	if (presence.id && (reduced == stream->index ? mentions(c, presence, lanes) : !implied(c, plan_by_group(c, p, stream->present), presence, s.b)))
		return false;
	*out = (struct plan_contract){
	        .equation = equation, .rows = rows, .lanes = lanes, .reduced = reduced, .a = s.a, .b = s.b};
	out->read = s.inner_b;
	out->after = factor(c, s.after);
	if (!plan_reads_local(all, stream, s.b)) {
		int64_t pages;
		out->direct = stands(all, p, out->read, reduced, lanes, &out->page);
		out->turned = !out->direct && stands(all, p, out->read, lanes, reduced, &pages);
		out->page = out->turned ? pages : out->page;
		out->ends = direct(c, out->read, reduced, lanes) || direct(c, out->read, lanes, reduced);
		int outer = 0;
		out->packable = packable(c, s.b, lanes, reduced, &outer);
	}
	plan_inner(all, stream, &s, out);
	return true;
}

/* How many reads inside the stream's tiles mention `walked` and also this row index: the fewer, the more a
 * tile of that index reuses what it has read. */
static int shared_reads(const struct cascade *c, const struct stream *s, uint32_t walked, uint32_t row)
{
	const struct expr_pool *p = &c->pool;
	int count = 0;
	for (uint32_t id = 1; id < p->node.n; id++) {
		struct expr e = {id};
		if (p->node.v[id].op != OP_READ || !mentions(c, e, walked) || !mentions(c, e, row) ||
		    c->tensor.v[p->node.v[id].symbol].role != ROLE_IN)
			continue;
		for (uint32_t i = 0; i < s->local.n + s->carry.n; i++) {
			const struct equation *q =
			        &c->equation.v[i < s->local.n ? s->local.v[i]
			                                      : s->carry.v[i - s->local.n].equation];
			const struct expr_node *n = &p->node.v[id];
			if (expr_mentions(p, q->body, OP_READ, n->symbol)) {
				count++;
				break;
			}
		}
	}
	return count;
}

static int64_t extent_of(const struct cascade *c, uint32_t index)
{
	int64_t n = 1;
	return cascade_extent(c, c->index.v[index].extent, &n) ? n : 1;
}

static uint32_t choose_rows(const struct cascade *c, const struct stream *s, uint32_t walked, uint32_t wide)
{
	uint32_t best = NO_INDEX;
	int best_shared = 0;
	for (uint32_t i = 0; i < s->row.n; i++) {
		uint32_t r = s->row.v[i];
		if (r == wide || r == walked)
			continue;
		int shared = walked == NO_INDEX ? 0 : shared_reads(c, s, walked, r);
		if (best == NO_INDEX || shared < best_shared ||
		    (shared == best_shared && extent_of(c, r) >= extent_of(c, best))) {
			best = r;
			best_shared = shared;
		}
	}
	return best;
}

static void add_task(struct stream_plan *p, uint32_t index)
{
	for (int i = 0; i < p->ntasks; i++)
		if (p->task[i] == index)
			return;
	if (p->ntasks < 2 * MAX_RANKS)
		p->task[p->ntasks++] = index;
}

/* A stream of one equation without an index of its own for the lanes: the last index of the left-hand side
 * that lets its product split. */
static uint32_t lanes_from_row(const struct streams *all, const struct stream *s, uint32_t equation)
{
	const struct equation *q = &all->cascade->equation.v[equation];
	for (int i = q->nindex - 1; i > 0; i--) {
		struct stream_plan p = {.stream = s, .rows = choose_rows(all->cascade, s, s->index, q->index[i])};
		struct plan_contract k;
		if (contraction(all, &p, equation, q->index[i], &k))
			return q->index[i];
	}
	return NO_INDEX;
}

static void plan_reduction(const struct streams *all, uint32_t stream, struct stream_plan *p)
{
	struct cascade *c = all->cascade;
	const struct stream *s = &all->stream.v[stream];
	p->walked = s->index;
	for (uint32_t i = 0; i < s->carry.n; i++) {
		const struct equation *q = &c->equation.v[s->carry.v[i].equation];
		for (int j = 0; j < q->nindex; j++)
			if (!in_row(s, q->index[j]))
				p->wide = q->index[j];
	}
	if (p->wide == NO_INDEX && s->carry.n == 1 && !s->local.n)
		p->wide = lanes_from_row(all, s, s->carry.v[0].equation);
	p->rows = choose_rows(c, s, p->walked, p->wide);
	for (uint32_t i = 0; i < s->row.n; i++)
		if (s->row.v[i] != p->wide)
			add_task(p, s->row.v[i]);
	for (uint32_t i = 0; i < s->carry.n; i++) {
		const struct equation *q = &c->equation.v[s->carry.v[i].equation];
		for (int j = 0; j < q->nindex; j++)
			/* Without coordinates there would be no task, and nothing of the others. */
			if (q->index[j] != p->wide && extent_of(c, q->index[j]))
				add_task(p, q->index[j]);
	}
	/* A local that is stored may have indices of its own, too. */
	for (uint32_t i = 0; i < s->local.n; i++) {
		const struct equation *q = &c->equation.v[s->local.v[i]];
		if (!stream_stores(all, stream, s->local.v[i]))
			continue;
		p->whole = true;
		for (int j = 0; j < q->nindex; j++)
			if (q->index[j] != p->wide && q->index[j] != p->walked)
				add_task(p, q->index[j]);
	}
}

static void plan_map(const struct streams *all, const struct stream *s, struct stream_plan *p)
{
	const struct cascade *c = all->cascade;
	if (!s->after.n)
		return;
	const struct equation *q = &c->equation.v[s->after.v[0]];
	for (uint32_t i = 1; i < s->after.n; i++) {
		const struct equation *other = &c->equation.v[s->after.v[i]];
		if (other->nindex > q->nindex)
			q = other;
	}
	p->whole = true;
	if (!q->nindex)
		return;
	p->walked = q->index[q->nindex - 1];
	if (q->nindex > 1)
		p->rows = q->index[q->nindex - 2];
	for (int j = 0; j + 1 < q->nindex; j++)
		add_task(p, q->index[j]);
}

/* Fibers are the rows; a task has some of the last index's. */
static void plan_selection(const struct stream *s, struct stream_plan *p)
{
	p->walked = s->index;
	p->whole = true;
	for (uint32_t i = 0; i < s->row.n; i++)
		add_task(p, p->rows = s->row.v[i]);
}

void plan_contractions(const struct streams *all, struct stream_plan *p)
{
	const struct stream *s = p->stream;
	for (uint32_t k = 0; k < s->local.n && p->ncontracts < MAX_CONTRACTS; k++)
		if (contraction(all, p, s->local.v[k], p->walked, &p->contract[p->ncontracts]))
			p->ncontracts++;
	for (uint32_t k = 0; k < s->carry.n && p->ncontracts < MAX_CONTRACTS; k++)
		if (contraction(all, p, s->carry.v[k].equation, p->wide, &p->contract[p->ncontracts]))
			p->ncontracts++;
}

struct stream_plan *plan_streams(struct arena *arena, const struct streams *all)
{
	struct stream_plan *plans = arena_new_array(arena, all->stream.n + 1, struct stream_plan);
	for (uint32_t i = 0; i < all->stream.n; i++) {
		const struct stream *s = &all->stream.v[i];
		struct stream_plan *p = &plans[i];
		*p = (struct stream_plan){.stream = s,
		                          .walked = NO_INDEX,
		                          .rows = NO_INDEX,
		                          .wide = NO_INDEX,
		                          .inner = NO_INDEX};
		if (s->index == NO_INDEX) {
			plan_map(all, s, p);
			continue;
		}
		if (s->selects) {
			plan_selection(s, p);
			continue;
		}
		plan_reduction(all, i, p);
		plan_contractions(all, p);
		plan_sparsity(all, p);
	}
	for (uint32_t i = 0; i < all->stream.n; i++)
		plan_groups(arena, all, &plans[i]);
	return plans;
}
