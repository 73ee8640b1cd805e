/* Streams as text.
 *
 *     kernel NAME
 *     rank …  in …  out …                     declarations, as cascade_print writes them
 *
 *     stream m for b, h, n where PREDICATE    an index, the rows, the hull of what is present
 *       local EQUATION
 *       select EQUATION                     of a selection's stream, and nothing else
 *       carry EQUATION
 *         correct T by FACTOR                 T' = Σ FACTOR · (T so far) ⊕ tile; for the carry above
 *       after EQUATION
 *     maps                                    a stream without a streamed index
 *       after EQUATION
 */
#include "codegen/stream.h"

#include <string.h>

static void print_equation(const struct streams *s, const char *word, uint32_t q, struct text *t)
{
	text_printf(t, "  %s ", word);
	equation_print(s->cascade, &s->cascade->equation.v[q], t);
	if (t->len && t->s[t->len - 1] != '\n')
		text_char(t, '\n');
}

/* The cascade's declarations: its text up to the first equation. */
static void print_declarations(const struct cascade *c, struct text *t)
{
	struct cascade none = *c;
	memset(&none.equation, 0, sizeof none.equation);
	cascade_print(&none, t);
}

static void print_corrections(const struct streams *s, const struct stream *at, const struct carry *c,
                              struct text *t)
{
	const struct cascade *k = s->cascade;
	struct expr_names names = cascade_names(k);
	for (int i = 0; i < c->terms; i++) {
		uint32_t of = k->equation.v[at->carry.v[c->term[i].carry].equation].tensor;
		text_printf(t, "    correct %s by ", k->tensor.v[of].name);
		expr_print(&k->pool, c->term[i].factor, &names, t);
		text_char(t, '\n');
	}
}

static void print_stream(const struct streams *s, const struct stream *at, struct text *t)
{
	const struct cascade *c = s->cascade;
	struct expr_names names = cascade_names(c);
	text_char(t, '\n');
	if (at->index == NO_INDEX)
		text_add(t, "maps");
	else
		text_printf(t, "stream %s", c->index.v[at->index].name);
	for (uint32_t i = 0; i < at->row.n; i++)
		text_printf(t, "%s%s", i ? ", " : " for ", c->index.v[at->row.v[i]].name);
	if (at->present.id) {
		text_add(t, " where ");
		expr_print(&c->pool, at->present, &names, t);
	}
	text_char(t, '\n');
	for (uint32_t i = 0; i < at->local.n; i++)
		print_equation(s, at->selects ? "select" : "local", at->local.v[i], t);
	for (uint32_t i = 0; i < at->carry.n; i++) {
		print_equation(s, "carry", at->carry.v[i].equation, t);
		print_corrections(s, at, &at->carry.v[i], t);
	}
	for (uint32_t i = 0; i < at->after.n; i++)
		print_equation(s, "after", at->after.v[i], t);
}

void streams_print(const struct streams *s, struct text *t)
{
	print_declarations(s->cascade, t);
	for (uint32_t i = 0; i < s->stream.n; i++)
		print_stream(s, &s->stream.v[i], t);
}
