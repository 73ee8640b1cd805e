/* Accumulators of reductions. */
#include "codegen/cuda_loops.h"

struct fold fold_of(struct cuda *c, const struct tile_statement *s)
{
	bool logical = s->reduce == REDUCE_ANY || s->reduce == REDUCE_ALL;
	return (struct fold){.kind = logical ? KIND_BOOL : cuda_kind(c, s->value),
	                     .name = reduction_info[s->reduce].spelling,
	                     .accumulator = plan_name(&c->e, arena_printf(c->e.arena, "%s_%s", c->e.value[s->value].name,
	                                                                  reduction_info[s->reduce].spelling))};
}

static const char *fold_prefix(const struct fold *f)
{
	return f->kind == KIND_REAL ? "s" : "i";
}

static const char *fold_identity(struct cuda *c, const struct fold *f, enum reduction r)
{
	double x = reduction_info[r].identity;
	if (f->kind == KIND_INT && (x - x) != 0)
		return x < 0 ? "INT_LEAST" : "INT_MOST";
	return emit_number(&c->e, x, f->kind);
}

void fold_begin(struct cuda *c, struct c_block *b, const struct fold *f, enum reduction r)
{
	c_line(c->e.arena, b, "%s %s = %s;", cuda_c_type(f->kind), f->accumulator,
	       emit_strip(&c->e, fold_identity(c, f, r)));
}

void fold_step(struct cuda *c, struct c_block *b, const struct fold *f, enum reduction r, const char *x,
                      const char *live)
{
	if (live)
		x = arena_printf(c->e.arena, "%s_select(%s, %s, %s)", fold_prefix(f), live, emit_strip(&c->e, x),
		                 emit_strip(&c->e, fold_identity(c, f, r)));
	c_line(c->e.arena, b, "%s = %s_fold_%s(%s, %s);", f->accumulator, fold_prefix(f), f->name, f->accumulator,
	       emit_strip(&c->e, x));
}

const char *fold_across(struct cuda *c, const struct fold *f, const char *threads)
{
	return arena_printf(c->e.arena, "%s_%s_%s(%s)", fold_prefix(f), threads, f->name, f->accumulator);
}

const char *fold_result(struct nest *n, const struct fold *f, const char *folded, enum kind kind)
{
	if (f->factor != 0)
		return arena_printf(n->e->arena, "(%s * %s)", folded, emit_number(n->e, f->factor, KIND_REAL));
	return nest_convert(n, (struct term){folded, f->kind, false, folded == f->accumulator}, kind, false).text;
}
