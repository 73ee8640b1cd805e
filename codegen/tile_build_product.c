/* How contractions are done: which factors stay in the sum, and as what operands are multiplied. */
#include "codegen/build.h"
#include "dsl/dtype.h"

static bool is_computed(const struct builder *b, uint32_t tensor)
{
	for (uint32_t k = 0; k < stream_equations(b->stream); k++)
		if (b->c->equation.v[stream_equation(b->stream, k)].tensor == tensor)
			return true;
	return false;
}

bool build_is_input(const struct builder *b, struct expr e)
{
	const struct expr_node *n = expr_at(&b->c->pool, e);
	if (n->op == OP_OLD || (n->op == OP_READ && is_computed(b, n->symbol)))
		return false;
	for (int i = 0; i < n->count; i++)
		if (!build_is_input(b, expr_operand(&b->c->pool, e, i)))
			return false;
	return true;
}

bool build_is_carried(const struct builder *b, uint32_t equation)
{
	for (uint32_t i = 0; i < b->stream->carry.n; i++)
		if (b->stream->carry.v[i].equation == equation)
			return true;
	return false;
}

/* Is the plan's operand b a tensor that is multiplied as it stands, its lanes in rows? */
static bool stands(const struct builder *b, const struct plan_contract *c)
{
	return c->ends && (c->direct || c->turned) &&
	       b->c->tensor.v[expr_at(&b->c->pool, c->read)->symbol].dtype == b->p->compute;
}

/* Are the products of its operands as they are stored exact in the type of computation? */
static bool is_exact(const struct builder *b, const struct plan_contract *c)
{
	int digits = 0;
	for (int i = 0; i < 2; i++) {
		const struct expr_node *n = expr_at(&b->c->pool, i ? c->inner_b : c->inner_a);
		if (n->op != OP_READ || b->c->tensor.v[n->symbol].role != ROLE_IN)
			return false;
		digits += dtype_digits(b->c->tensor.v[n->symbol].dtype);
	}
	return digits <= dtype_digits(b->p->compute);
}

/* On a host an operand that is read where it stands leaves what does not mention the reduced index to after the
 * sum. Where operands are rounded, or narrow ones have exact products, all such factors come after it, so that an
 * operand that is a tensor's element is multiplied as it is stored. A carry would need a tile of its own for the sum:
 * there they go into an operand that is computed, and so rounded, anyway. */
struct product build_product(const struct builder *b, int k)
{
	const struct plan_contract *c = &b->plan->contract[k];
	const struct contract_schedule *s = &b->sizes->contract[k];
	bool whole = s->operand == OPERAND_I8, carry = build_is_carried(b, c->equation);
	enum dtype result = whole ? DTYPE_I32 : b->p->compute;
	struct product p = {c->a, c->b, NO_EXPR, false, result, result};
	if (!b->device && s->operand == OPERAND_COMPUTE) {
		p.direct = b->across ? stands(b, c) : !s->pack && schedule_direct(b->all, c, b->schedule, s);
		if (p.direct) {
			p.b = c->read;
			p.outer = build_extent(b, c->reduced) ? c->after : NO_EXPR;
		}
		if (!carry && is_exact(b, c) && (p.direct || !build_mentions(b, c->outer, c->lanes))) {
			p.a = c->inner_a;
			p.b = c->inner_b;
			p.outer = build_extent(b, c->reduced) ? c->outer : NO_EXPR;
		}
		return p;
	}
	bool direct = !b->device && !s->pack && schedule_direct(b->all, c, b->schedule, s);
	bool computed = expr_at(&b->c->pool, c->inner_a)->op != OP_READ || !build_is_input(b, c->inner_a);
	if (!carry || !c->outer.id || !computed || whole || build_mentions(b, c->outer, c->lanes))
		p = (struct product){c->inner_a, c->inner_b, c->outer, false, result, result};
	if (direct && !expr_same(p.b, c->read)) /* where it stands it is an element and no more */
		p = (struct product){c->a, c->read, c->after, false, result, result};
	if (!build_extent(b, c->reduced))
		p.outer = NO_EXPR; /* the sum of nothing is 0, even where the factor is infinite */
	p.direct = b->device ? schedule_direct(b->all, c, b->schedule, s) : direct;
	if (!b->device)
		p.operand = operand_dtype(s->operand, b->p->compute);
	return p;
}
