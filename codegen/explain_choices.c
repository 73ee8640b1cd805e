/* explain_choices.c: the rules of the default asked what they say of a schedule. */
#include "codegen/explain_choices.h"

#include "dsl/dtype.h"

struct telling {
	struct arena *arena;
	const struct problem *problem;
	const struct schedule *schedule;
	const struct streams *all;
	struct choices_told *told;
	int stream;
	const struct stream_schedule *sizes;
	const struct stream_plan *plan; /* that the schedule has */
	struct stream_schedule rule; /* what the default would have with rows in rows, grouped as the schedule is */
};

static void tell(const struct telling *t, const char *what, const char *chosen, const char *why)
{
	vec_push(t->arena, &t->told->choice, (struct choice_told){t->stream, what, chosen, why});
}

/* A reason of the rule for what it takes, where the schedule has something else. */
static const char *otherwise(const struct telling *t, bool same, const char *instead, const char *why)
{
	return same ? why : arena_printf(t->arena, "the schedule says so; by default %s: %s", instead, why);
}

static const char *index_name(const struct telling *t, uint32_t index)
{
	return t->all->cascade->index.v[index].name;
}

static void add_name(struct text *names, const char *name)
{
	text_printf(names, "%s%s", names->len ? " and " : "", name);
}

/* ---- rows ---- */

/* The tensors that contractions multiply the rows with. */
static const char *shared(const struct telling *t)
{
	const struct cascade *c = t->all->cascade;
	struct text names;
	text_init(&names, t->arena);
	for (uint32_t k = 0; k < c->tensor.n; k++) {
		bool any = false;
		for (int i = 0; i < t->plan->ncontracts; i++)
			any |= expr_mentions(&c->pool, t->plan->contract[i].b, OP_READ, k);
		if (any)
			add_name(&names, c->tensor.v[k].name);
	}
	return names.s;
}

static void tell_rows(const struct telling *t)
{
	const struct stream_plan *usual = &problem_plan(t->problem, t->schedule->form)[t->stream],
	                         *g = usual->grouped;
	if (!g || t->plan->rows == NO_INDEX)
		return;
	bool wants = schedule_wants_group(t->problem, t->schedule, t->stream), grouped = t->sizes->grouped;
	const char *by = index_name(t, g->rows), *rows = index_name(t, usual->rows);
	long long count = (long long)plan_extent(t->all, usual->rows);
	long long group = (long long)g->group;
	const char *why =
	        wants ? arena_printf(t->arena,
	                             "the %lld %s of a group read the same %s, and %s has but %lld coordinate%s to "
	                             "share it",
	                             group, by, shared(t), rows, count, count == 1 ? "" : "s")
	              : arena_printf(t->arena,
	                             "%lld coordinate%s of %s share%s %s already, as the %lld %s of a group would",
	                             count, count == 1 ? "" : "s", rows, count == 1 ? "s" : "", shared(t), group, by);
	tell(t, "rows",
	     arena_printf(t->arena, "%s:%lld", index_name(t, t->plan->rows), (long long)t->sizes->row_tile),
	     otherwise(t, wants == grouped, wants ? by : rows, why));
}

/* ---- lanes ---- */

static void tell_lanes(const struct telling *t)
{
	struct text lanes;
	bool gains, across = t->sizes->across;
	text_init(&lanes, t->arena);
	if (!t->plan->ncontracts || t->plan->rows == NO_INDEX)
		return;
	for (int k = 0; k < t->plan->ncontracts && !across; k++) {
		bool again = false;
		for (int i = 0; i < k; i++)
			again |= t->plan->contract[i].lanes == t->plan->contract[k].lanes;
		if (!again)
			add_name(&lanes, index_name(t, t->plan->contract[k].lanes));
	}
	const char *rows = index_name(t, t->plan->rows);
	const char *why = schedule_across_why(t->arena, t->problem, t->schedule, t->stream, &t->rule, &gains);
	if (!gains)
		why = arena_printf(t->arena, "not %s: %s", rows, why);
	tell(t, "lanes", across ? rows : lanes.s,
	     otherwise(t, gains == across, gains ? rows : arena_printf(t->arena, "not %s", rows), why));
}

/* ---- operands ---- */

/* Which tensors an operand takes elements from, and as what: "K : bf16 and V : bf16"; "" where it takes none. */
static const char *elements(const struct telling *t, struct expr of)
{
	const struct cascade *c = t->all->cascade;
	struct text names;
	text_init(&names, t->arena);
	for (uint32_t k = 0; k < c->tensor.n; k++)
		if (c->tensor.v[k].role == ROLE_IN && expr_mentions(&c->pool, of, OP_READ, k))
			add_name(&names, arena_printf(t->arena, "%s : %s", c->tensor.v[k].name,
			                              dtype_info[c->tensor.v[k].dtype].spelling));
	return names.s;
}

/* Does an operand take elements of a tensor that is narrower than computation? */
static bool narrow(const struct telling *t, struct expr of)
{
	const struct cascade *c = t->all->cascade;
	for (uint32_t k = 0; k < c->tensor.n; k++)
		if (c->tensor.v[k].role == ROLE_IN &&
		    dtype_info[c->tensor.v[k].dtype].bits < dtype_info[t->schedule->compute].bits &&
		    c->tensor.v[k].dtype != DTYPE_BOOL && expr_mentions(&c->pool, of, OP_READ, k))
			return true;
	return false;
}

static bool is_element(const struct cascade *c, struct expr e)
{
	return expr_at(&c->pool, e)->op == OP_READ && c->tensor.v[expr_at(&c->pool, e)->symbol].role == ROLE_IN;
}

/* Why operands that could be multiplied as `t` by themselves are not. */
static const char *widened(const struct telling *t, const struct plan_contract *k, enum operand_type natural)
{
	const char *isa = isa_info[t->schedule->isa].name;
	if (!isa_multiplies(t->schedule->isa, natural))
		return arena_printf(t->arena, "%s has no sums of products of %s: they are widened", isa,
		                    operand_type_name[natural]);
	if (t->sizes->across)
		return arena_printf(t->arena, "%s is in the lanes, where operands are used one by one",
		                    index_name(t, t->plan->rows));
	return arena_printf(
	        t->arena, "%s is read where it stands: a copy, which products of %s want, is not made for %lld uses",
	        elements(t, k->inner_b), operand_type_name[natural], (long long)schedule_uses(t->all, k, k->read));
}

static void tell_operand(const struct telling *t, int number)
{
	const struct cascade *c = t->all->cascade;
	const struct plan_contract *k = &t->plan->contract[number];
	const enum operand_type is = t->sizes->contract[number].operand, usual = t->rule.contract[number].operand;
	const enum operand_type natural = operand_default(t->all, t->plan->stream, k);
	const char *what = arena_printf(t->arena, "operands %s", c->tensor.v[c->equation.v[k->equation].tensor].name),
	           *why;
	if (is == OPERAND_COMPUTE && natural == OPERAND_COMPUTE && !narrow(t, k->a) && !narrow(t, k->b))
		return;
	if (usual != OPERAND_COMPUTE)
		why = arena_printf(t->arena, "%s is held exactly%s, and %s sums %d of their products at once",
		                   elements(t, k->inner_b),
		                   is_element(c, k->inner_a) ? "" : ", what multiplies it is rounded once",
		                   isa_info[t->schedule->isa].name, operand_group(usual));
	else if (natural != OPERAND_COMPUTE)
		why = widened(t, k, natural);
	else
		why = arena_printf(t->arena, "%s widened: %s",
		                   *elements(t, k->b) ? elements(t, k->b) : elements(t, k->a),
		                   operand_compute_why(t->arena, t->all, t->plan->stream, k));
	tell(t, what, operand_type_name[is], otherwise(t, is == usual, operand_type_name[usual], why));
}

struct choices_told explain_choices(struct arena *a, const struct problem *problem, const struct schedule *s,
                                    const char *origin)
{
	struct choices_told told = {.origin = origin};
	if (isa_is_device(s->isa))
		return told;
	for (int i = 0; i < s->nstreams; i++) {
		struct telling t = {.arena = a,
		                    .problem = problem,
		                    .schedule = s,
		                    .all = problem_streams(problem, s->form),
		                    .told = &told,
		                    .stream = i,
		                    .sizes = &s->stream[i]};
		t.plan = schedule_plan(problem, s, i);
		if (t.plan->stream->selects)
			continue;
		t.rule = schedule_in_rows(problem, s, i);
		tell_rows(&t);
		tell_lanes(&t);
		for (int k = 0; k < t.plan->ncontracts; k++)
			tell_operand(&t, k);
	}
	return told;
}

void choices_text(const struct choices_told *told, struct text *t)
{
	if (!told->choice.n)
		return;
	text_printf(t, "\nChoices (%s)\n\n", told->origin);
	for (uint32_t i = 0; i < told->choice.n; i++) {
		const struct choice_told *c = &told->choice.v[i];
		bool first = !i || told->choice.v[i - 1].stream != c->stream;
		if (first)
			text_printf(t, "  %d. ", c->stream + 1);
		text_printf(t, "%s%s %s: %s\n", first ? "" : "     ", c->what, c->chosen, c->why);
	}
}

void choices_json(const struct choices_told *told, cJSON *list)
{
	for (uint32_t i = 0; i < told->choice.n; i++) {
		const struct choice_told *c = &told->choice.v[i];
		cJSON *o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "stream", c->stream + 1);
		cJSON_AddStringToObject(o, "what", c->what);
		cJSON_AddStringToObject(o, "chosen", c->chosen);
		cJSON_AddStringToObject(o, "why", c->why);
		cJSON_AddItemToArray(list, o);
	}
}
