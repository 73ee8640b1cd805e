#include "codegen/explain_tiles.h"

#include <string.h>

#include "codegen/bounds.h"

/* ---- spelling ---- */

/* low(n) and high(n) as n0 and n1. */
static const char *spell_ends(struct arena *a, const char *s)
{
	struct text t;
	text_init(&t, a);
	while (*s) {
		bool low = !strncmp(s, "low(", 4), high = !strncmp(s, "high(", 5);
		const char *close = low || high ? strchr(s, ')') : NULL;
		bool word =
		        t.len && (t.s[t.len - 1] == '_' || (t.s[t.len - 1] >= 'a' && t.s[t.len - 1] <= 'z'));
		if (!close || word) {
			text_char(&t, *s++);
			continue;
		}
		s += low ? 4 : 5;
		text_bytes(&t, s, (size_t)(close - s));
		text_char(&t, low ? '0' : '1');
		s = close + 1;
	}
	return t.s;
}

static const char *spelled(struct arena *a, const struct expr_pool *p, struct expr e, struct expr_names names)
{
	struct text t;
	text_init(&t, a);
	expr_print(p, e, &names, &t);
	return spell_ends(a, t.s);
}

/* ---- predicates ---- */

static struct expr extent_number(struct expr_pool *p, struct expr e, void *context)
{
	const struct cascade *c = context;
	int64_t v;
	return expr_at(p, e)->op == OP_EXTENT && cascade_extent(c, e, &v) ? expr_number(p, (double)v) : e;
}

static const char *why_unbounded(struct arena *a, const struct cascade *c, struct expr e, uint32_t walked)
{
	static const struct {
		enum op op;
		const char *why;
	} ops[] = {
	        {OP_NE, "what is left out lies between what is present"},
	        {OP_NOT, "what is left out lies between what is present"},
	        {OP_MOD, "it comes back again and again along %s"},
	        {OP_XOR, "it comes back again and again along %s"},
	        {OP_OR, "one of its alternatives is without a bound"},
	};
	const struct expr_pool *p = &c->pool;
	const char *name = c->index.v[walked].name;
	if (!expr_mentions(p, e, OP_INDEX, walked))
		return arena_printf(a, "it is the same for every %s: it leaves out rows", name);
	for (uint32_t t = 0; t < c->tensor.n; t++)
		if (expr_mentions(p, e, OP_READ, t))
			return arena_printf(a, "it depends on what %s holds", c->tensor.v[t].name);
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (expr_at(p, e)->ops & (uint64_t)1 << ops[i].op)
			return arena_printf(a, ops[i].why, name);
	return arena_printf(a, "it is no comparison that is linear in %s", name);
}

static void find_bounds(struct arena *a, struct cascade *c, struct tiles_stream *x, const struct stream *at)
{
	uint32_t *ranged = arena_new_array(a, c->index.n, uint32_t);
	struct expr term[64], rest = expr_rewrite(&c->pool, at->present, extent_number, c);
	int n = 0, terms = 0;
	for (uint32_t i = 0; i < c->index.n; i++) {
		bool single = false; /* the coordinates of tasks, all rows but the last */
		for (uint32_t k = 0; k + 1 < at->row.n; k++)
			single |= at->row.v[k] == i;
		if (!single)
			ranged[n++] = i;
	}
	struct range r = bounds_of(c, rest, at->index, ranged, n);
	struct expr extent = expr_rewrite(&c->pool, c->index.v[at->index].extent, extent_number, c),
	            zero = expr_number(&c->pool, 0);
	r.low = r.low.id ? expr2(&c->pool, OP_MAX, zero, r.low) : zero;
	r.high = r.high.id ? expr2(&c->pool, OP_MIN, extent, r.high) : extent;
	x->low = spelled(a, &c->pool, r.low, cascade_names(c));
	x->high = spelled(a, &c->pool, r.high, cascade_names(c));
	for (; expr_at(&c->pool, rest)->op == OP_AND && terms < 63; rest = expr_operand(&c->pool, rest, 0))
		term[terms++] = expr_operand(&c->pool, rest, 1);
	for (term[terms++] = rest; terms--;) {
		r = bounds_of(c, term[terms], at->index, ranged, n);
		if (!r.low.id && !r.high.id)
			vec_push(a, &x->unbounded,
			         (struct unbounded){spelled(a, &c->pool, term[terms], cascade_names(c)),
			                            why_unbounded(a, c, term[terms], at->index)});
	}
}

/* ---- selections ---- */

static const char *selection_line(struct arena *a, const struct cascade *c, const struct equation *q)
{
	const char *name = c->tensor.v[q->tensor].name, *along = c->index.v[q->along].name;
	int64_t k, all;
	switch (q->select) {
	case SELECT_TOPK:
		if (!cascade_extent(c, q->argument, &k) ||
		    !cascade_extent(c, c->index.v[q->along].extent, &all))
			return arena_printf(a, "%s: of every fiber over %s the largest few are chosen", name,
			                    along);
		if (k >= all)
			return arena_printf(a,
			                    "%s: all of %lld %s are chosen: there are no more than asked for",
			                    name, (long long)all, along);
		return arena_printf(
		        a, "%s: %lld of %lld %s are chosen, so what walks those alone leaves out %.3g%%",
		        name, (long long)k, (long long)all, along, 100 * (1 - (double)k / (double)all));
	case SELECT_NUCLEUS:
		return arena_printf(a,
		                    "%s: as many of %s are chosen as reach the share: the data says how many",
		                    name, along);
	case SELECT_MEMBERS:
		return arena_printf(a,
		                    "%s: the list of the %s where its condition holds: what walks the list "
		                    "visits no other",
		                    name, along);
	default:
		return arena_printf(a, "%s: the order of %s, smallest first: nothing is left out", name,
		                    along);
	}
}

/* ---- what the program asks of a tile ---- */

struct reading {
	struct arena *arena;
	const struct tile_program *p;
	const struct tile_leaves *leaves;
	const struct tile_wanted *wanted;
	struct tiles_stream *x;
	uint32_t walked;
	struct expr *load; /* of each value: what it is loaded from */
	bool found;        /* the walk */
};

static bool has_leaf(const struct reading *r, const struct tile_block *b, bool masked)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		for (uint32_t k = 0; k < r->leaves->leaf.n; k++)
			if (r->leaves->leaf.v[k].statement == &b->statement.v[i] &&
			    r->leaves->leaf.v[k].masked == masked)
				return true;
		if (has_leaf(r, &b->statement.v[i].body, masked) ||
		    has_leaf(r, &b->statement.v[i].other, masked))
			return true;
	}
	return false;
}

static const char *program_spelled(const struct reading *r, struct expr e)
{
	return spelled(r->arena, r->p->pool, e, tile_names(r->p));
}

static void read_walk(struct reading *r, const struct tile_statement *s)
{
	r->found = true;
	if (r->x->sizes->sparsity == SPARSITY_LIST || r->x->sizes->split > 1)
		return; /* it goes where the list says, or through its part of what the predicate bounds */
	const struct expr_pool *p = r->p->pool;
	struct expr low = s->low;
	double step;
	const struct expr_node *n = expr_at(p, low);
	if (n->op == OP_MUL && expr_at(p, expr_operand(p, low, 0))->op == OP_IDIV &&
	    expr_is_number(p, expr_operand(p, low, 1), &step)) {
		r->x->begun_at = (int64_t)step;
		low = expr_operand(p, expr_operand(p, low, 0), 0);
	}
	r->x->low = program_spelled(r, low);
	r->x->high = program_spelled(r, s->high);
}

static void read_condition(struct reading *r, const struct tile_statement *s)
{
	bool plain = has_leaf(r, &s->body, false), other = has_leaf(r, &s->other, true);
	if (plain && other && !r->x->plain)
		r->x->plain = r->x->sizes->sparsity == SPARSITY_LIST ? "the list says so"
		                                                     : program_spelled(r, s->expression);
	else if (!s->other.statement.n && (plain || has_leaf(r, &s->body, true)))
		vec_push(r->arena, &r->x->tested, program_spelled(r, s->expression));
}

static void read_block(struct reading *r, const struct tile_block *b)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		if (s->kind == TILE_FOR && s->index == r->walked && !r->found &&
		    (has_leaf(r, &s->body, false) || has_leaf(r, &s->body, true)))
			read_walk(r, s);
		else if (s->kind == TILE_IF)
			read_condition(r, s);
		else if (s->kind == TILE_LOAD)
			r->load[s->value] = s->expression;
		else if (s->kind == TILE_REDUCE && r->wanted->value[s->value] &&
		         expr_at(r->p->pool, s->expression)->op == OP_VALUE) {
			uint32_t from = expr_at(r->p->pool, s->expression)->symbol;
			vec_push(r->arena, &r->x->summary,
			         arena_printf(r->arena, "%s = %s over %s of %s", r->p->value.v[s->value].name,
			                      reduction_info[s->reduce].spelling,
			                      r->p->index.v[s->index].name,
			                      r->load[from].id ? program_spelled(r, r->load[from])
			                                       : r->p->value.v[from].name));
		}
		read_block(r, &s->body);
		read_block(r, &s->other);
	}
}

static void read_program(struct arena *a, const struct tile_program *p, const struct stream_plan *plan,
                         int phase, struct tiles_stream *x)
{
	struct tile_wanted wanted = tile_wanted(a, p, (uint32_t)phase);
	struct tile_leaves leaves = tile_leaves(a, p, (uint32_t)phase, plan->rows, plan->walked, &wanted);
	struct reading r = {
	        .arena = a, .p = p, .leaves = &leaves, .wanted = &wanted, .x = x, .walked = plan->walked};
	r.load = arena_new_array(a, p->value.n, struct expr);
	bool masked = false;
	for (uint32_t i = 0; i < leaves.leaf.n; i++)
		masked |= leaves.leaf.v[i].masked;
	read_block(&r, &p->phase.v[phase].body);
	if (!masked)
		x->plain = "";
	for (int i = 0; i < phase; i++)
		if (wanted.phase[i])
			vec_push(a, &x->prepass, p->phase.v[i].name);
}

/* ---- all of it ---- */

static struct tiles_stream begin(struct arena *a, const struct streams *s, uint32_t i,
                                 const struct stream_plan *plan)
{
	const struct stream *at = &s->stream.v[i];
	struct cascade *c = cascade_clone(a, s->cascade);
	struct expr_names names = cascade_names(c);
	struct tiles_stream x = {.stream = i, .walked = c->index.v[at->index].name};
	uint32_t row = plan ? plan->rows : at->row.n ? at->row.v[at->row.n - 1] : NO_INDEX;
	if (row != NO_INDEX)
		x.row = c->index.v[row].name;
	if (at->selects) {
		x.selects = selection_line(a, c, &c->equation.v[at->local.v[0]]);
		return x;
	}
	x.present = at->present.id ? spelled(a, &c->pool, at->present, names) : NULL;
	if (x.present)
		find_bounds(a, c, &x, at);
	return x;
}

static bool tells(const struct stream *at)
{
	return at->index != NO_INDEX && (at->present.id || at->selects);
}

struct tiles_explained explain_predicates(struct arena *a, const struct streams *s)
{
	struct tiles_explained e = {.streams = s};
	for (uint32_t i = 0; i < s->stream.n; i++)
		if (tells(&s->stream.v[i]))
			vec_push(a, &e.stream, begin(a, s, i, NULL));
	return e;
}

/* What the contractions of each form that walks sets come to, at their defaults: bounds that data gives count
 * whole. */
static const char *forms_line(struct arena *a, const struct problem *problem, const struct schedule *schedule)
{
	static const char *const what[FORMS] = {[FORM_FUSED] = "walk everything and skip",
	                                        [FORM_MEMBERS] = "walk lists of what was chosen",
	                                        [FORM_ROWS] = "gather the rows that chose a block"};
	struct text t;
	text_init(&t, a);
	if (!problem->members && !problem->rows)
		return NULL;
	for (int form = FORM_FUSED; form < FORMS; form++) {
		if (!problem_streams(problem, (enum form)form))
			continue;
		struct schedule s = schedule_of_form(problem, schedule->isa, (enum form)form);
		if (schedule_illegal(a, problem, &s))
			continue;
		struct tile_cost cost = tile_cost(tile_build(a, problem, &s));
		text_printf(&t, "%s%s (%s) %.3g Gflop%s", t.len ? "; " : "", form_name[form], what[form],
		            (cost.contract_flops + cost.map_flops) * 1e-9,
		            (enum form)form == schedule->form ? ", this one" : "");
	}
	return t.s;
}

struct tiles_explained explain_tiles(struct arena *a, const struct problem *problem,
                                     const struct schedule *schedule, const struct tile_program *program,
                                     struct oracle_tensor *data, const struct tile_map_options *options)
{
	const struct streams *s = problem_streams(problem, schedule->form);
	struct tiles_explained e = {.streams = s};
	if (schedule->form != FORM_FUSED)
		e.form = problem->why[schedule->form] ? arena_printf(a, "%s: %s", form_name[schedule->form],
		                                                     problem->why[schedule->form])
		                                      : form_name[schedule->form];
	e.forms = forms_line(a, problem, schedule);
	for (uint32_t i = 0; i < s->stream.n; i++) {
		if (!tells(&s->stream.v[i]))
			continue;
		const struct stream_plan *plan = schedule_plan(problem, schedule, (int)i);
		struct tiles_stream x = begin(a, s, i, plan);
		x.sizes = &schedule->stream[i];
		int phase = tile_map_phase(program, i);
		if (phase >= 0 && !x.selects)
			read_program(a, program, plan, phase, &x);
		if (options && !x.selects)
			x.map = tile_map(a, s, plan, x.sizes, program, data, options, &x.no_map);
		vec_push(a, &e.stream, x);
	}
	return e;
}
