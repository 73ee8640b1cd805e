/* Operands that are made while they are used.
 *
 * Between the contractions of a stream stand maps with long chains: an exponential has nine operations, of which the
 * multiply-add units do five, and these units are what a contraction is bound by. In a loop of their own they leave
 * those units waiting for the others; between the multiply-adds of the contraction that takes what they make, they cost
 * what they multiply, and no more. That needs registers beside the accumulators, and as many adjacent elements of the
 * operand as a vector has: so much of the walked index is contracted at a time.
 */
#include "codegen/schedule.h"

#include "dsl/dtype.h"

/* … with the maps of the tile that it reads. */
static bool is_long(const struct cascade *c, const struct stream *s, struct expr e)
{
	if (expr_is_long(&c->pool, e))
		return true;
	for (uint32_t i = 0; i < s->local.n; i++) {
		const struct equation *q = &c->equation.v[s->local.v[i]];
		if (q->reduce == REDUCE_NONE && expr_mentions(&c->pool, e, OP_READ, q->tensor) && !expr_same(q->body, e) &&
		    is_long(c, s, q->body))
			return true;
	}
	return false;
}

const char *schedule_twine_illegal(struct arena *arena, const struct problem *problem, const struct schedule *s, int i,
                                   int k)
{
	const struct streams *all = problem_streams(problem, s->form);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	const struct stream_schedule *d = &s->stream[i];
	const struct plan_contract *c = &p->contract[k];
	const struct contract_schedule *b = &d->contract[k];
	const char *name = all->cascade->tensor.v[all->cascade->equation.v[c->equation].tensor].name;
	if (isa_is_device(s->isa) || isa_info[s->isa].lanes < 2 || s->compute != DTYPE_F32)
		return arena_printf(arena, "contract %s: only vectors of f32 on a host are made while they are used", name);
	if (c->rows == NO_INDEX || c->reduced != p->walked || !plan_reads_local(all, p->stream, c->a))
		return arena_printf(arena, "contract %s: no tile of its first operand is computed, of which vectors could be made "
		                    "while they are used", name);
	if (d->across && b->lanes != d->contract[0].lanes)
		return arena_printf(arena, "contract %s: an operand of %d vectors is not made while %d of them are used", name,
		                    d->contract[0].lanes, b->lanes);
	if (b->step)
		return arena_printf(arena, "contract %s: an operand that is made while it is used is not taken in steps", name);
	if (b->operand != OPERAND_COMPUTE && b->operand != OPERAND_BF16)
		return arena_printf(arena, "contract %s: operands multiplied as %s are made beforehand", name,
		                    operand_type_name[b->operand]);
	if (b->operand != OPERAND_COMPUTE && !b->pack)
		return arena_printf(arena, "contract %s: elements that are put in groups as they are read meet an operand made "
		                    "beforehand", name);
	if (!registers_fit_twined(s->isa, b->rows, b->lanes, d->across))
		return arena_printf(arena, "contract %s: rows %d × %d vectors leave too few of %d registers of %s to make operands "
		                    "meanwhile", name, b->rows, b->lanes, isa_info[s->isa].registers, isa_info[s->isa].name);
	return NULL;
}

void schedule_twine_default(const struct problem *problem, const struct schedule *s, int i, struct stream_schedule *d)
{
	enum { ROWS_LEAST = 4, REGISTERS = 32, LONG_TILE = 1024 }; /* docs/performance.md */
	const struct streams *all = problem_streams(problem, s->form);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	struct schedule one = *s;
	struct arena reason;
	arena_init(&reason);
	one.stream[i] = *d;
	for (int k = 0; k < d->ncontracts; k++) {
		const struct contract_schedule *b = &d->contract[k];
		d->contract[k].twine = isa_info[s->isa].registers >= REGISTERS && b->rows >= ROWS_LEAST && s->form != FORM_NAIVE &&
		                       !schedule_twine_illegal(&reason, problem, &one, i, k) &&
		                       is_long(all->cascade, p->stream, p->contract[k].a);
	}
	arena_free(&reason);
	/* What a tile costs a block of rows beside its products weighs more where exponentials cost less. */
	int64_t bytes = 0, l2 = problem->machine->l2 ? problem->machine->l2 : 512 << 10, walked = plan_extent(all, p->walked);
	bool twined = false;
	for (int k = 0; k < d->ncontracts; k++) {
		const struct plan_contract *c = &p->contract[k];
		bytes += dtype_bytes(operand_dtype(d->contract[k].operand, s->compute),
		                     plan_extent(all, c->lanes == p->walked ? c->reduced : c->lanes));
		twined |= d->contract[k].twine;
	}
	while (twined && !d->across && !p->stream->present.id && 2 * d->stream_tile <= LONG_TILE && d->stream_tile < walked &&
	       2 * d->stream_tile * bytes <= l2 / 2)
		d->stream_tile *= 2;
}
