/* infer.c: extents from the shapes of arguments.
 *
 * A declared extent is an expression over ranks, mostly one rank alone. Rounds over all coordinates bind what
 * has one unknown and compare what is known, until nothing changes.
 */
#include "runtime/internal.h"

struct infer_job {
	struct attune_program *program;
	const DLTensor *const *tensor;
	int count;
};

/* Solves `e` = value for the one rank in it that is not bound. Knows the forms that declarations have: a rank
 * times, over, plus or minus what is known. */
static bool solve(struct cascade *c, struct expr e, int64_t value, uint32_t *rank, int64_t *extent)
{
	const struct expr_node *n = expr_at(&c->pool, e);
	if (n->op == OP_EXTENT) {
		*rank = n->symbol;
		*extent = value;
		return c->rank.v[n->symbol].extent == NOT_BOUND;
	}
	if (n->count != 2)
		return false;
	struct expr a = expr_operand(&c->pool, e, 0), b = expr_operand(&c->pool, e, 1);
	int64_t known, inner;
	if (cascade_extent(c, b, &known)) {
		switch (n->op) {
		case OP_ADD:
			return !__builtin_sub_overflow(value, known, &inner) &&
			       solve(c, a, inner, rank, extent);
		case OP_SUB:
			return !__builtin_add_overflow(value, known, &inner) &&
			       solve(c, a, inner, rank, extent);
		case OP_MUL: return known && value % known == 0 && solve(c, a, value / known, rank, extent);
		case OP_DIV:
		case OP_IDIV:
			return !__builtin_mul_overflow(value, known, &inner) &&
			       solve(c, a, inner, rank, extent);
		default: return false;
		}
	}
	if (!cascade_extent(c, a, &known))
		return false;
	switch (n->op) {
	case OP_ADD: return !__builtin_sub_overflow(value, known, &inner) && solve(c, b, inner, rank, extent);
	case OP_MUL: return known && value % known == 0 && solve(c, b, value / known, rank, extent);
	default: return false;
	}
}

static enum attune_status disagreement(const struct attune_program *p, int argument, int k, int64_t want,
                                       int64_t have, struct attune_error *error)
{
	const struct cascade *c = p->cascade;
	const struct tensor *t = &c->tensor.v[p->tensor_id[argument]];
	const struct expr_node *n = expr_at(&c->pool, t->extent[k]);
	if (n->op != OP_EXTENT)
		return runtime_fail(error, ATTUNE_USAGE,
		                    "'%s' has extent %lld at position %d, but %s asks for %lld", t->name,
		                    (long long)have, k + 1, p->tensor[argument].declared, (long long)want);
	const char *rank = c->rank.v[n->symbol].name, *by = p->bound_by[n->symbol];
	if (!by)
		return runtime_fail(error, ATTUNE_USAGE, "rank '%s' is %lld, but %lld in '%s'", rank,
		                    (long long)want, (long long)have, t->name);
	return runtime_fail(error, ATTUNE_USAGE, "rank '%s' is %lld in '%s' but %lld in '%s'", rank,
	                    (long long)want, by, (long long)have, t->name);
}

/* One round over all coordinates: binds what is plain to see and compares what is known. */
static enum attune_status infer_round(struct infer_job *job, bool *changed, struct attune_error *error)
{
	struct attune_program *p = job->program;
	struct cascade *c = p->cascade;
	for (int i = 0; i < job->count && i < p->ntensors; i++) {
		const struct tensor *t = &c->tensor.v[p->tensor_id[i]];
		for (int k = 0; job->tensor[i] && k < t->nranks; k++) {
			int64_t have = job->tensor[i]->shape[k], want, extent;
			uint32_t rank;
			if (cascade_extent(c, t->extent[k], &want)) {
				if (have == want)
					continue;
				return disagreement(p, i, k, want, have, error);
			}
			if (solve(c, t->extent[k], have, &rank, &extent) && extent >= 0 &&
			    extent < EXTENT_LIMIT) {
				c->rank.v[rank].extent = extent;
				p->bound_by[rank] = t->name;
				*changed = true;
			}
		}
	}
	return ATTUNE_OK;
}

static enum attune_status infer(void *data, struct arena *scratch, struct attune_error *error)
{
	(void)scratch;
	struct infer_job *job = data;
	struct attune_program *p = job->program;
	enum attune_status status;
	for (int i = 0; i < job->count && i < p->ntensors; i++) {
		static const int64_t any[MAX_RANKS] = {-1, -1, -1, -1, -1, -1, -1, -1};
		struct attune_tensor loose = p->tensor[i];
		loose.shape = any;
		struct view v;
		enum dtype as = p->cascade->tensor.v[p->tensor_id[i]].dtype;
		if (job->tensor[i] && (status = tensor_view(&loose, as, as, job->tensor[i], &v, error)))
			return status;
	}
	for (bool changed = true; changed;) {
		changed = false;
		if ((status = infer_round(job, &changed, error)))
			return status;
	}
	program_refresh(p);
	return ATTUNE_OK;
}

enum attune_status attune_program_infer(struct attune_program *p, const DLTensor *const *tensors, int count,
                                        struct attune_error *error)
{
	if (!p->cascade)
		return runtime_fail_diags(error, ATTUNE_PROGRAM, &p->diags);
	return runtime_try(infer, &(struct infer_job){p, tensors, count}, error);
}
