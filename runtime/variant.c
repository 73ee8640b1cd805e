/* variant.c: from a bound program to the text of one kernel. */
#include "runtime/internal.h"

#include <string.h>

enum attune_status program_problem(const struct attune_program *p, struct arena *arena,
                                   struct cascade **cascade, struct problem **problem,
                                   struct attune_error *error)
{
	enum attune_status status = program_check_bound(p, error);
	if (status)
		return status;
	struct diags diags;
	diags_init(&diags, arena, p->diags.file, p->diags.source, p->diags.size);
	*cascade = cascade_clone(arena, p->cascade);
	*problem = problem_new(arena, *cascade, &p->context->machine, &diags);
	return *problem ? ATTUNE_OK : runtime_fail_diags(error, ATTUNE_PROGRAM, &diags);
}

/* Tile program, text and key of a schedule that was not chosen by the tuner. */
static void render(struct arena *arena, const struct problem *problem, const struct tune_place *place,
                   struct tune_choice *c)
{
	struct text text;
	text_init(&text, arena);
	schedule_print(problem, &c->schedule, &text);
	c->rung = CACHE_DEFAULT;
	c->text = text.s;
	c->program = tile_build(arena, problem, &c->schedule);
	c->source = emit_kernel(arena, c->program, c->schedule.isa, c->schedule.exp_degree);
	c->options = tune_target_options(place, 3);
	c->options.isa = c->schedule.isa;
	c->source_key = tune_source_key(arena, &c->source, place->target, &c->options);
}

static enum attune_status given(const struct attune_context *c, struct arena *arena, const struct problem *problem,
                                const char *text, struct schedule *s, struct attune_error *error)
{
	struct diags diags;
	diags_init(&diags, arena, "schedule", text, strlen(text));
	if (!schedule_parse(problem, text, strlen(text), s, &diags))
		return runtime_fail_diags(error, ATTUNE_USAGE, &diags);
	if (c->isa_given && s->isa != c->isa)
		return runtime_fail(error, ATTUNE_USAGE, "the schedule is for %s, and %s was asked for", isa_info[s->isa].name,
		                    isa_info[c->isa].name);
	const char *why = schedule_illegal(arena, problem, s);
	return why ? runtime_fail(error, ATTUNE_USAGE, "the schedule is not legal: %s", why) : ATTUNE_OK;
}

static enum attune_status chosen(const struct attune_program *p, struct arena *arena, const struct tune_place *place,
                                 struct variant *v, struct attune_error *error)
{
	struct cache *cache = context_cache(p->context);
	if (!cache)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	tune_choose(arena, v->cascade, v->problem, place, cache, &v->choice);
	v->origin = cache_rung_name[v->choice.rung];
	return ATTUNE_OK;
}

enum attune_status program_variant_for(const struct attune_program *p, struct arena *arena, enum isa isa,
                                       struct variant *v, struct attune_error *error)
{
	*v = (struct variant){0};
	struct tune_place place;
	enum attune_status status = program_problem(p, arena, &v->cascade, &v->problem, error);
	if (status || (status = context_place(p->context, arena, &place, error)))
		return status;
	place.isa = isa;
	v->key = tune_key(arena, v->cascade, &place);
	return chosen(p, arena, &place, v, error);
}

enum attune_status program_variant(const struct attune_program *p, struct arena *arena, const char *schedule,
                                   bool naive, enum purpose purpose, struct variant *v,
                                   struct attune_error *error)
{
	*v = (struct variant){0};
	struct tune_place place;
	enum attune_status status = program_problem(p, arena, &v->cascade, &v->problem, error);
	if (status)
		return status;
	if (purpose == FOR_CODE && (status = context_place(p->context, arena, &place, error)))
		return status;
	/* A text needs no compiler: one for an ISA that none here compiles for is nobody's winner. */
	if (purpose == FOR_TEXT && context_place(p->context, arena, &place, NULL))
		place = (struct tune_place){&p->context->machine, &target_tcc, p->context->isa,
		                            p->context->threads, false};
	v->key = tune_key(arena, v->cascade, &place);
	if (schedule) {
		v->origin = "given";
		if ((status = given(p->context, arena, v->problem, schedule, &v->choice.schedule, error)))
			return status;
		render(arena, v->problem, &place, &v->choice);
	} else if (naive) {
		v->origin = "naive";
		v->choice.schedule = schedule_naive(v->problem, place.isa);
		render(arena, v->problem, &place, &v->choice);
	} else {
		return chosen(p, arena, &place, v, error);
	}
	return ATTUNE_OK;
}
