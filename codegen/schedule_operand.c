/* As what contractions multiply: the type their operands have by themselves, and which types hold them. */
#include "codegen/schedule.h"

static bool holds(enum operand_type t, enum dtype d)
{
	switch (t) {
	case OPERAND_BF16: return operand_stands(t, d) || d == DTYPE_BOOL;
	case OPERAND_F16:
		return d == DTYPE_F16 || d == DTYPE_F8E4M3 || d == DTYPE_F8E5M2 || d == DTYPE_I8 || d == DTYPE_U8 ||
		       d == DTYPE_BOOL;
	case OPERAND_I8: return d == DTYPE_I8;
	default: return true;
	}
}

/* The first tensor an expression takes elements from, other than for coordinates, that this type does not hold
 * exactly; and whether it takes any from tensors of the type itself. UINT32_MAX: none. */
static uint32_t stranger(const struct cascade *c, struct expr e, enum operand_type t, enum dtype own, bool *any)
{
	const struct expr_node *n = expr_at(&c->pool, e);
	if (n->op == OP_READ) {
		const struct tensor *from = &c->tensor.v[n->symbol];
		if (from->role != ROLE_IN)
			return UINT32_MAX;
		*any |= from->dtype == own;
		return holds(t, from->dtype) ? UINT32_MAX : n->symbol;
	}
	uint32_t found = UINT32_MAX;
	for (int i = 0; i < n->count && found == UINT32_MAX; i++)
		found = stranger(c, expr_operand(&c->pool, e, i), t, own, any);
	return found;
}

/* A tensor that keeps a contraction's operands from being of a type; UINT32_MAX: none does. What an operand a
 * is computed from does not matter: it is rounded once, at the end. */
static uint32_t refused(const struct cascade *c, const struct plan_contract *k, enum operand_type t, enum dtype own,
                        bool *any)
{
	uint32_t a = UINT32_MAX, b = stranger(c, k->inner_b, t, own, any);
	if (expr_at(&c->pool, k->inner_a)->op == OP_READ)
		a = stranger(c, k->inner_a, t, own, any);
	return b != UINT32_MAX ? b : a;
}

static bool is_element(const struct cascade *c, struct expr e)
{
	const struct expr_node *n = expr_at(&c->pool, e);
	return n->op == OP_READ && c->tensor.v[n->symbol].role == ROLE_IN;
}

static bool plain(const struct cascade *c, struct expr e, enum dtype t)
{
	return is_element(c, e) && c->tensor.v[expr_at(&c->pool, e)->symbol].dtype == t;
}

/* Is the contraction one of several accumulators whose sum is what the program asks for? They may be far larger than
 * that sum: rows of a layer norm, less their mean. */
static bool is_summand(const struct streams *all, const struct stream *s, uint32_t equation)
{
	const struct cascade *c = all->cascade;
	for (uint32_t i = 0; i < all->rewrite.n; i++)
		for (uint32_t k = 0; k < s->after.n; k++) {
			const struct equation *q = &c->equation.v[s->after.v[k]];
			if (all->rewrite.v[i].mode == MODE_EXPAND && all->rewrite.v[i].tensor == q->tensor &&
			    expr_mentions(&c->pool, q->body, OP_READ, c->equation.v[equation].tensor))
				return true;
		}
	return false;
}

enum operand_type operand_default(const struct streams *all, const struct stream *s, const struct plan_contract *k)
{
	const struct cascade *c = all->cascade;
	bool bf16 = false, f16 = false;
	if (plain(c, k->inner_a, DTYPE_I8) && plain(c, k->inner_b, DTYPE_I8))
		return OPERAND_I8;
	if (!(is_element(c, k->inner_a) && is_element(c, k->inner_b)) &&
	    is_summand(all, s, k->equation)) /* what rounding does to an operand would not cancel */
		return OPERAND_COMPUTE;
	if (refused(c, k, OPERAND_BF16, DTYPE_BF16, &bf16) == UINT32_MAX && bf16)
		return OPERAND_BF16;
	if (refused(c, k, OPERAND_F16, DTYPE_F16, &f16) == UINT32_MAX && f16)
		return OPERAND_F16;
	return OPERAND_COMPUTE;
}

const char *operand_compute_why(struct arena *arena, const struct streams *all, const struct stream *s,
                                const struct plan_contract *k)
{
	const struct cascade *c = all->cascade;
	bool any = false;
	if (!(is_element(c, k->inner_a) && is_element(c, k->inner_b)) && is_summand(all, s, k->equation))
		return "it is one of several sums that are added up, where its rounding would not cancel";
	if (!is_element(c, k->inner_a) && operand_default(all, s, k) == OPERAND_BF16)
		return "what is computed is rounded for bf16 only, and nothing that comes of it is";
	uint32_t from = refused(c, k, OPERAND_BF16, DTYPE_BF16, &any);
	if (!any || from == UINT32_MAX)
		from = refused(c, k, OPERAND_F16, DTYPE_F16, &any);
	return any && from != UINT32_MAX
	               ? arena_printf(arena, "so narrow a type would not hold %s : %s", c->tensor.v[from].name,
	                              dtype_info[c->tensor.v[from].dtype].spelling)
	               : "not all it is multiplied with is i8, and none of it bf16 or f16";
}

/* As what does that come out which is computed from a tensor, or is it? */
static void leaves(const struct cascade *c, uint32_t tensor, bool *as_bf16, bool *as_other)
{
	if (c->tensor.v[tensor].role == ROLE_OUT)
		*(c->tensor.v[tensor].dtype == DTYPE_BF16 ? as_bf16 : as_other) = true;
	for (uint32_t i = 0; i < c->equation.n; i++) {
		const struct equation *q = &c->equation.v[i];
		if (q->tensor != tensor && expr_mentions(&c->pool, q->body, OP_READ, tensor))
			leaves(c, q->tensor, as_bf16, as_other);
	}
}

/* Is what is computed rounded to bf16 to be multiplied? Where the sum is rounded to that, a careful implementation would
 * round it, too, also to meet elements that are narrower still; where nothing comes out so narrow, none would. */
static enum operand_type operand_computed(const struct streams *all, const struct stream *s, const struct plan_contract *k,
                                          enum operand_type usual)
{
	const struct cascade *c = all->cascade;
	bool as_bf16 = false, as_other = false;
	leaves(c, c->equation.v[k->equation].tensor, &as_bf16, &as_other);
	if (usual == OPERAND_BF16)
		return as_bf16 ? usual : OPERAND_COMPUTE;
	bool meets_narrow = is_element(c, k->inner_b) &&
	                    operand_stands(OPERAND_BF16, c->tensor.v[expr_at(&c->pool, k->inner_b)->symbol].dtype);
	return as_bf16 && !as_other && meets_narrow && !is_summand(all, s, k->equation) ? OPERAND_BF16 : usual;
}

enum operand_type operand_of_host(const struct streams *all, const struct stream *s, const struct plan_contract *k,
                                  enum isa isa)
{
	enum operand_type t = operand_default(all, s, k);
	if (!is_element(all->cascade, k->inner_a))
		t = operand_computed(all, s, k, t);
	for (uint32_t i = 0; i < all->cascade->tensor.n; i++)
		if (all->cascade->tensor.v[i].dtype == DTYPE_F64)
			return OPERAND_COMPUTE;
	return operand_group(t) > 1 && isa_multiplies(isa, t) && k->packable ? t : OPERAND_COMPUTE;
}

const char *operand_illegal(struct arena *arena, const struct cascade *c, const struct plan_contract *k,
                            enum operand_type t, const char *name)
{
	bool any = false;
	if (t >= OPERANDS)
		return arena_printf(arena, "contract %s: no type of operands", name);
	if (t == OPERAND_I8 && !(plain(c, k->inner_a, DTYPE_I8) && plain(c, k->inner_b, DTYPE_I8)))
		return arena_printf(arena, "contract %s: as i8 where its operands are not elements of i8 tensors", name);
	uint32_t from = refused(c, k, t, DTYPE_F32, &any);
	if (from != UINT32_MAX)
		return arena_printf(arena, "contract %s: as %s, which does not hold what is in %s : %s", name,
		                    operand_type_name[t], c->tensor.v[from].name,
		                    dtype_info[c->tensor.v[from].dtype].spelling);
	return NULL;
}
