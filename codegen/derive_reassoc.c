/* REASSOC of theory §2: Σ_m R_m (Σ_f A_f B_fm) = Σ_f A_f (Σ_m R_m B_fm), when the inner sum on the right is a
 * tensor that the cascade has anyway. The sum over m, which would wait for the end of a pass, is gone.
 */
#include "codegen/derive.h"

static struct expr_pool *pool(const struct derivation *d)
{
	return &d->c->pool;
}

enum { FACTORS = 16 };
struct factors {
	int n;
	struct expr v[FACTORS];
};

static bool factors_of(const struct derivation *d, struct expr e, struct factors *f)
{
	if (expr_at(pool(d), e)->op == OP_MUL)
		return factors_of(d, expr_operand(pool(d), e, 0), f) &&
		       factors_of(d, expr_operand(pool(d), e, 1), f);
	if (f->n == FACTORS)
		return false;
	f->v[f->n++] = e;
	return true;
}

static struct expr times(const struct derivation *d, struct expr a, struct expr b)
{
	return a.id ? expr2(pool(d), OP_MUL, a, b) : b;
}

/* T = Σ_f A·B with A free of `index`: splits its body. */
static bool split(struct derivation *d, const struct equation *t, uint32_t index, struct expr *a,
                  struct expr *b)
{
	struct factors f = {0};
	*a = *b = NO_EXPR;
	if (!factors_of(d, t->body, &f))
		return false;
	for (int i = 0; i < f.n; i++) {
		struct expr *side = expr_mentions(pool(d), f.v[i], OP_INDEX, index) ? b : a;
		*side = times(d, *side, f.v[i]);
	}
	return a->id && b->id;
}

/* Is equation z the sum over `index` of `term` with its own index for f? If so, where to read it. */
static bool finished(struct derivation *d, uint32_t i, uint32_t z, struct expr term, uint32_t f,
                     struct expr *read)
{
	struct cascade *c = d->c;
	const struct equation s = c->equation.v[i], q = c->equation.v[z];
	const struct fact *fact = &d->fact.v[z];
	uint32_t extra = UINT32_MAX;
	if (!fact->original.id || fact->summed != s.reduced[0] || q.nindex != s.nindex + 1 ||
	    !expr_same(fact->wanted, d->fact.v[i].presence))
		return false;
	for (int k = 0; k < q.nindex; k++) {
		if (index_in(s.index, s.nindex, q.index[k]))
			continue;
		if (extra != UINT32_MAX)
			return false;
		extra = q.index[k];
	}
	if (extra == UINT32_MAX || c->index.v[extra].rank != c->index.v[f].rank ||
	    !expr_same(c->index.v[extra].extent, c->index.v[f].extent))
		return false;
	struct expr to = expr_leaf(pool(d), OP_INDEX, KIND_INT, extra);
	term = derive_substitute(c, term, 1, &f, &to);
	if (!expr_same(algebra_canonical(&d->algebra, term), algebra_canonical(&d->algebra, fact->original)))
		return false;
	uint32_t index[MAX_RANKS];
	for (int k = 0; k < q.nindex; k++)
		index[k] = q.index[k] == extra ? f : q.index[k];
	*read = cascade_read(c, q.tensor, index, q.nindex);
	return true;
}

bool derive_reassoc(struct derivation *d, uint32_t i)
{
	struct cascade *c = d->c;
	struct equation s = c->equation.v[i];
	struct factors f = {0};
	if (s.reduce != REDUCE_SUM || s.nreduced != 1 || s.nindex == MAX_RANKS || !factors_of(d, s.body, &f))
		return false;
	for (int k = 0; k < f.n; k++) {
		if (expr_at(pool(d), f.v[k])->op != OP_READ || !derive_identity(c, f.v[k]))
			continue;
		uint32_t t = derive_definition(c, f.v[k]);
		const struct equation inner = c->equation.v[t];
		struct expr a, b, rest = NO_EXPR;
		if (d->fact.v[t].place != PLACE_LOCAL || inner.reduce != REDUCE_SUM || inner.where.id ||
		    index_in(s.index, s.nindex, inner.reduced[0]) || !split(d, &inner, s.reduced[0], &a, &b))
			continue;
		for (int r = 0; r < f.n; r++)
			if (r != k)
				rest = times(d, rest, f.v[r]);
		if (!rest.id || expr_mentions(pool(d), rest, OP_INDEX, inner.reduced[0]))
			continue;
		for (uint32_t z = 0; z < i; z++) {
			struct expr read;
			if (!finished(d, i, z, times(d, rest, b), inner.reduced[0], &read))
				continue;
			struct equation *q = &c->equation.v[i];
			const char *on = c->tensor.v[c->equation.v[z].tensor].name;
			vec_push(d->arena, &d->rewrite,
			         (struct rewrite){.mode = MODE_REASSOC,
			                          .tensor = d->fact.v[i].origin,
			                          .on = d->fact.v[z].origin,
			                          .accumulators = 1,
			                          .reason = arena_printf(d->arena,
			                                                 "the two sums change places: %s is "
			                                                 "the inner one and is there already",
			                                                 on),
			                          .span = s.span});
			q->reduced[0] = inner.reduced[0];
			q->body = derive_inlined(d, expr2(pool(d), OP_MUL, a, read));
			q->where = NO_EXPR;
			d->fact.v[i].presence = NO_EXPR;
			d->stamp++;
			return true;
		}
	}
	return false;
}
