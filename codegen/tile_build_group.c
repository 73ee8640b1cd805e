/* The cascade as a plan by groups has it, while a stream of such a plan is built. */
#include <string.h>

#include "codegen/build.h"

struct equation *build_by_group(struct builder *b)
{
	struct cascade *c = b->c;
	struct equation *usual = arena_new_array(b->arena, c->equation.n + 1, struct equation);
	memcpy(usual, c->equation.v, c->equation.n * sizeof *usual);
	if (!b->plan->group)
		return usual;
	struct stream *s = arena_new(b->arena, struct stream);
	*s = *b->stream;
	s->present = plan_by_group(c, b->plan, s->present);
	b->stream = s;
	for (uint32_t i = 0; i < c->equation.n; i++) /* while it is known that h / G is inside an extent of H / G */
		b->presence_of[i] = plan_by_group(c, b->plan, build_presence(b, i));
	for (uint32_t i = 0; i < c->equation.n; i++)
		c->equation.v[i].body = plan_by_group(c, b->plan, c->equation.v[i].body);
	return usual;
}
