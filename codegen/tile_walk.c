/* tile_walk.c: see tile_walk.h. The program has passed tile_check. */
#include "codegen/tile_walk.h"

#include <math.h>

struct tile_nodes {
	struct expr *list;
	uint32_t n;
};

double tile_evaluate(struct tile_walk *w, struct expr e)
{
	const struct expr_pool *p = w->p->pool;
	struct tile_nodes *nodes = &w->nodes[e.id];
	if (!nodes->list)
		nodes->n = expr_nodes(p, e, &nodes->list);
	for (uint32_t i = 0; i < nodes->n; i++) {
		const struct expr_node *n = expr_at(p, nodes->list[i]);
		double x[MAX_RANKS] = {0}, v = NAN;
		for (int k = 0; k < n->count; k++)
			x[k] = w->number[p->operand.v[n->first + (uint32_t)k].id];
		switch (n->op) {
		case OP_CONST: v = n->number; break;
		case OP_INDEX: v = w->at[n->symbol]; break;
		case OP_LOW: v = (double)w->range[n->symbol].low; break;
		case OP_HIGH: v = (double)w->range[n->symbol].high; break;
		case OP_VALUE: v = w->value(w, n->symbol); break;
		case OP_READ: v = w->read(w, n->symbol, n->count, x); break;
		case OP_CAST: v = dtype_round((enum dtype)n->symbol, x[0]); break;
		default: v = op_value((enum op)n->op, x[0], x[1], x[2]);
		}
		w->number[nodes->list[i].id] = v;
	}
	return w->number[e.id];
}

bool tile_first(struct tile_walk *w, int n, const uint32_t *index)
{
	for (int k = 0; k < n; k++) {
		if (!tile_count(w, index[k]))
			return false;
		w->at[index[k]] = (double)w->range[index[k]].low;
	}
	return true;
}

bool tile_next(struct tile_walk *w, int n, const uint32_t *index)
{
	while (n--) {
		const struct tile_range *r = &w->range[index[n]];
		if (++w->at[index[n]] <= (double)r->high)
			return true;
		w->at[index[n]] = (double)r->low;
	}
	return false;
}

static bool fail(struct tile_walk *w, const struct tile_statement *s, const char *why)
{
	if (w->reason) {
		text_printf(w->reason, "%s: ", why);
		tile_statement_print(w->p, s, w->reason);
	}
	return false;
}

static void set_range(struct tile_walk *w, uint32_t index, struct tile_range r)
{
	w->range[index] = r;
	w->at[index] = (double)r.low;
}

static int64_t floor_to(int64_t x, int64_t step)
{
	int64_t r = x % step;
	return x - (r < 0 ? r + step : r);
}

/* [low, high) ∩ the current range, as inclusive ends. */
static bool bounds(struct tile_walk *w, const struct tile_statement *s, struct tile_range *out)
{
	const struct tile_range now = w->range[s->index];
	double low = tile_evaluate(w, s->low), high = tile_evaluate(w, s->high);
	if ((isnan(low) || isnan(high)) && !w->lenient)
		return fail(w, s, "a bound has no value");
	*out = now;
	if (low > (double)now.low)
		out->low = low > (double)now.high ? now.high + 1 : (int64_t)low;
	if (high <= (double)now.high)
		out->high = high < (double)now.low ? now.low - 1 : (int64_t)high - 1;
	if (isnan(high) && s->kind == TILE_FOR && s->step == 1) /* the runs of a list: as if there were one */
		out->high = out->low < now.high ? out->low : now.high;
	return true;
}

static bool walk_block(struct tile_walk *, const struct tile_block *);

static bool walk_for(struct tile_walk *w, const struct tile_statement *s)
{
	const struct tile_range outer = w->range[s->index];
	struct tile_range all;
	if (!bounds(w, s, &all))
		return false;
	int64_t steps = all.high < all.low ? 0 : (all.high - all.low) / s->step + 1;
	bool good = true;
	for (int64_t i = 0; i < steps && good; i++) {
		int64_t low = all.low + (s->down ? steps - 1 - i : i) * s->step;
		int64_t high = low + s->step - 1;
		set_range(w, s->index, (struct tile_range){low, high < all.high ? high : all.high});
		if (w->step)
			w->step(w, s);
		good = walk_block(w, &s->body);
	}
	set_range(w, s->index, outer);
	return good;
}

/* Sets *empty where nothing is left. */
static bool narrow(struct tile_walk *w, const struct tile_statement *s, bool *empty)
{
	const struct tile_range outer = w->range[s->index];
	struct tile_range r;
	if (!bounds(w, s, &r))
		return false;
	*empty = r.high < r.low;
	r.low = outer.low + floor_to(r.low - outer.low, s->step);
	r.high = outer.low + floor_to(r.high - outer.low, s->step) + s->step - 1;
	set_range(w, s->index, (struct tile_range){r.low, r.high < outer.high ? r.high : outer.high});
	return true;
}

static bool walk_statement(struct tile_walk *w, const struct tile_statement *s)
{
	if (s->kind == TILE_FOR)
		return walk_for(w, s);
	if (s->kind != TILE_IF)
		return w->statement(w, s);
	double c = tile_evaluate(w, s->expression);
	if (isnan(c) && !w->lenient)
		return fail(w, s, "a condition has no value");
	return walk_block(w, c != 0 && !isnan(c) ? &s->body : &s->other);
}

/* The statements from the i-th on: what follows a NARROW runs inside it. */
static bool walk_from(struct tile_walk *w, const struct tile_block *b, uint32_t i)
{
	for (; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		if (s->kind == TILE_NARROW) {
			const struct tile_range outer = w->range[s->index];
			bool empty = false, good = narrow(w, s, &empty) && (empty || walk_from(w, b, i + 1));
			set_range(w, s->index, outer);
			return good;
		}
		if (!walk_statement(w, s))
			return false;
	}
	return true;
}

static bool walk_block(struct tile_walk *w, const struct tile_block *b)
{
	uint32_t mark = w->enter ? w->enter(w) : 0;
	bool good = walk_from(w, b, 0);
	if (w->leave)
		w->leave(w, mark);
	return good;
}

static void begin(struct tile_walk *w)
{
	const struct tile_program *p = w->p;
	w->range = arena_new_array(w->arena, p->index.n, struct tile_range);
	w->at = arena_new_array(w->arena, p->index.n, double);
	w->nodes = arena_new_array(w->arena, p->pool->node.n, struct tile_nodes);
	w->number = arena_new_array(w->arena, p->pool->node.n, double);
}

static void whole_ranges(struct tile_walk *w)
{
	for (uint32_t i = 0; i < w->p->index.n; i++)
		set_range(w, i, (struct tile_range){0, w->p->index.v[i].extent - 1});
}

static bool walk_task(struct tile_walk *w, const struct tile_phase *f, const int64_t *step, double share)
{
	for (uint32_t k = 0; k < f->task.n; k++) {
		const struct tile_task *t = &f->task.v[k];
		int64_t low = step[k] * t->step, high = low + t->step - 1, last = w->p->index.v[t->index].extent - 1;
		set_range(w, t->index, (struct tile_range){low, high < last ? high : last});
	}
	if (w->task)
		w->task(w, share);
	return walk_block(w, &f->body);
}

/* The steps whose turn it is, where tasks have an order. */
static bool take_turns(struct tile_walk *w, const struct tile_phase *f, int64_t *at, const int64_t *steps)
{
	for (uint32_t k = 0; k < f->task.n; k++) {
		const struct tile_task *t = &f->task.v[k];
		if (!t->order.id)
			continue;
		const struct expr_node *n = expr_at(w->p->pool, t->order);
		struct expr turn = expr_operand(w->p->pool, t->order, n->count - 1);
		for (uint32_t i = 0; i < f->task.n; i++)
			w->at[f->task.v[i].index] = (double)(at[i] * f->task.v[i].step);
		w->at[expr_at(w->p->pool, turn)->symbol] = (double)at[k];
		double step = tile_evaluate(w, t->order);
		if (isnan(step) && w->lenient)
			continue;
		if (!(step >= 0 && step < (double)steps[k])) {
			if (w->reason)
				text_printf(w->reason, "phase %s: an order that names no step", f->name);
			return false;
		}
		at[k] = (int64_t)step;
	}
	return true;
}

static bool walk_phase(struct tile_walk *w, const struct tile_phase *f)
{
	int64_t steps[MAX_TASKS], at[MAX_TASKS] = {0}, total = 1;
	int n = (int)f->task.n;
	whole_ranges(w);
	for (int k = 0; k < n; k++) {
		const struct tile_task *t = &f->task.v[k];
		steps[k] = (w->p->index.v[t->index].extent + t->step - 1) / t->step;
		total *= steps[k];
	}
	int64_t most = w->sample && w->sample < total ? w->sample : total;
	for (int64_t i = 0; i < most; i++) {
		/* Anywhere in its part of all tasks, so that no period of theirs is met. */
		double within = most < total ? fmod((double)i * 0.6180339887498949, 1) : 0;
		int64_t task = (int64_t)(((double)i + within) * (double)total / (double)most), rest = task;
		for (int k = n - 1; k >= 0; k--) {
			at[k] = rest % steps[k];
			if (f->task.v[k].down)
				at[k] = steps[k] - 1 - at[k];
			rest /= steps[k];
		}
		if (!take_turns(w, f, at, steps) || !walk_task(w, f, at, (double)total / (double)most))
			return false;
	}
	return true;
}

bool tile_walk_phase(struct tile_walk *w, uint32_t phase)
{
	if (!w->range)
		begin(w);
	return walk_phase(w, &w->p->phase.v[phase]);
}

bool tile_walk_task(struct tile_walk *w, uint32_t phase, const int64_t *step)
{
	if (!w->range)
		begin(w);
	whole_ranges(w);
	return walk_task(w, &w->p->phase.v[phase], step, 1);
}

bool tile_walk(struct tile_walk *w)
{
	const struct tile_program *p = w->p;
	begin(w);
	for (uint32_t i = 0; i < p->phase.n; i++)
		if (!walk_phase(w, &p->phase.v[i]))
			return false;
	return true;
}

double tile_no_value(struct tile_walk *w, uint32_t value)
{
	(void)w, (void)value;
	return NAN;
}

double tile_no_read(struct tile_walk *w, uint32_t tensor, int n, const double *coordinate)
{
	(void)w, (void)tensor, (void)n, (void)coordinate;
	return NAN;
}

double tile_fibers(const struct tile_walk *w, const struct tile_statement *s, double *results)
{
	const struct expr_pool *p = w->p->pool;
	const struct expr_node *n = expr_at(p, s->target);
	uint32_t place = s->select == SELECT_MEMBERS ? s->slot : s->index;
	double fibers = 1;
	for (int i = 0; i < n->count; i++) {
		uint32_t index = expr_at(p, expr_operand(p, s->target, i))->symbol;
		fibers *= index == place ? 1 : (double)tile_count(w, index);
	}
	*results = (double)tile_count(w, place);
	return fibers;
}
