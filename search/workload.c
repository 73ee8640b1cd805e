#include "search/workload.h"

#include <math.h>
#include <string.h>

#include "codegen/work.h"
#include "dsl/dtype.h"
#include "dsl/oracle.h"
#include "search/strategy.h"

const char *const input_set_name[INPUT_SETS] = {[SET_NORMAL] = "normal", [SET_LARGE] = "large"};

static void set_shape(const struct cascade *c, const struct tensor *t, struct argument *x)
{
	x->nranks = t->nranks;
	x->count = 1;
	for (int k = t->nranks - 1; k >= 0; k--) {
		cascade_extent(c, t->extent[k], &x->extent[k]);
		x->stride[k] = x->count;
		x->count *= x->extent[k];
	}
	x->bytes = (size_t)dtype_bytes(t->dtype, x->count);
}

/* Elements of the iteration space of an equation. */
static double points(const struct cascade *c, const struct equation *q)
{
	double n = 1;
	int64_t extent;
	for (int i = 0; i < q->nindex; i++)
		n *= cascade_extent(c, c->index.v[q->index[i]].extent, &extent) ? (double)extent : 1;
	for (int i = 0; i < q->nreduced; i++)
		n *= cascade_extent(c, c->index.v[q->reduced[i]].extent, &extent) ? (double)extent : 1;
	return n;
}

struct workload *workload_new(struct arena *a, const struct cascade *c)
{
	struct workload *w = arena_new(a, struct workload);
	struct text shape;
	text_init(&shape, a);
	for (uint32_t i = 0; i < c->rank.n; i++)
		text_printf(&shape, "%s%s=%lld", i ? " " : "", c->rank.v[i].name,
		            (long long)c->rank.v[i].extent);
	w->shape = shape.s;
	w->argument = arena_new_array(a, c->tensor.n, struct argument);
	for (uint32_t i = 0; i < c->tensor.n; i++) {
		const struct tensor *t = &c->tensor.v[i];
		if (t->role == ROLE_LOCAL)
			continue;
		struct argument *x = &w->argument[w->arguments++];
		*x = (struct argument){.name = t->name, .dtype = t->dtype, .role = t->role, .tensor = i};
		set_shape(c, t, x);
	}
	for (uint32_t i = 0; i < c->equation.n; i++)
		w->multiply_adds += points(c, &c->equation.v[i]);
	return w;
}

/* The least extent that the values of integer tensor `t` index, 0 when they index nothing. */
static int64_t indexed(const struct cascade *c, uint32_t t)
{
	int64_t least = 0;
	for (uint32_t i = 1; i < c->pool.node.n; i++) {
		const struct expr_node *n = &c->pool.node.v[i];
		if (n->op != OP_READ)
			continue;
		for (int k = 0; k < n->count; k++) {
			int64_t extent;
			if (expr_mentions(&c->pool, expr_operand(&c->pool, (struct expr){i}, k), OP_READ,
			                  t) &&
			    cascade_extent(c, c->tensor.v[n->symbol].extent[k], &extent) &&
			    (!least || extent < least))
				least = extent;
		}
	}
	return least;
}

enum { FOLLOWED = 8 }; /* maps from one to the other */

/* What a side of a comparison adds up: does tensor t have a part, and over how many coordinates do its indices go? */
static void add_up(const struct cascade *c, struct expr e, uint32_t t, int depth, bool *has, int64_t *extent)
{
	const struct expr_node *n = expr_at(&c->pool, e);
	int64_t own = 0;
	if (depth > FOLLOWED)
		return;
	if (n->op == OP_INDEX && cascade_extent(c, c->index.v[n->symbol].extent, &own) && own > *extent)
		*extent = own;
	if (n->op == OP_READ) {
		uint32_t q = c->tensor.v[n->symbol].equation;
		int64_t ignored = 0;
		*has |= n->symbol == t;
		if (q != NO_EQUATION && equation_is_map(&c->equation.v[q]))
			add_up(c, c->equation.v[q].body, t, depth + 1, has, &ignored);
		return;
	}
	bool sums = n->op == OP_ADD || n->op == OP_SUB || n->op == OP_NEG || n->op == OP_ELSE || n->op == OP_MIN ||
	            n->op == OP_MAX;
	for (int k = 0; sums && k < n->count; k++)
		add_up(c, expr_operand(&c->pool, e, k), t, depth + 1, has, extent);
}

/* The extent of an index that integer tensor `t` is compared with, as offsets and lengths are; 0 when there is none. */
static int64_t compared(const struct cascade *c, uint32_t t)
{
	int64_t most = 0;
	for (uint32_t i = 1; i < c->pool.node.n; i++) {
		const struct expr_node *n = &c->pool.node.v[i];
		bool has = false;
		int64_t extent = 0;
		if (n->op != OP_LE && n->op != OP_LT)
			continue;
		for (int k = 0; k < 2; k++)
			add_up(c, expr_operand(&c->pool, (struct expr){i}, k), t, 0, &has, &extent);
		if (has && extent > most)
			most = extent;
	}
	return most;
}

static double uniform(uint64_t *random)
{
	return ((double)(random_next(random) >> 11) + 0.5) * 0x1p-53;
}

static double normal(uint64_t *random)
{
	double r = sqrt(-2 * log(uniform(random)));
	return r * cos(6.28318530717958647692 * uniform(random));
}

/* `range`: of values that index; `end`: of values that are compared with an index. */
static void fill(const struct argument *x, int64_t range, int64_t end, double amplitude, uint64_t *random, void *data)
{
	int64_t last = x->nranks ? x->extent[x->nranks - 1] : 1;
	for (int64_t i = 0; i < x->count; i++) {
		double v;
		if (x->dtype == DTYPE_BOOL)
			v = uniform(random) < 0.75;
		else if (!dtype_info[x->dtype].integer)
			v = amplitude * normal(random);
		else if (range)
			v = floor(uniform(random) * (double)range);
		else if (end)
			v = last > 1 ? floor((double)(i % last) * (double)end / (double)(last - 1)) : (double)end;
		else
			v = floor((double)(i % last) * 4 / (double)last); /* four documents a row */
		dtype_store(x->dtype, data, i, v);
	}
}

void workload_fill(const struct cascade *c, const struct argument *x, double amplitude, uint64_t *random, void *data)
{
	bool integer = dtype_info[x->dtype].integer && x->dtype != DTYPE_BOOL;
	fill(x, integer ? indexed(c, x->tensor) : 0, integer ? compared(c, x->tensor) : 0, amplitude, random, data);
}

void workload_inputs(struct arena *a, struct workload *w, const struct cascade *c, int set, double amplitude,
                     uint64_t seed)
{
	uint64_t random = seed * INPUT_SETS + (uint64_t)set;
	w->input[set] = arena_new_array(a, (size_t)w->arguments, void *);
	w->expected[set] = NULL;
	for (int i = 0; i < w->arguments; i++) {
		const struct argument *x = &w->argument[i];
		if (x->role != ROLE_IN)
			continue;
		w->input[set][i] = arena_alloc(a, x->bytes);
		workload_fill(c, x, amplitude, &random, w->input[set][i]);
	}
}

bool workload_oracle(struct arena *a, struct workload *w, const struct cascade *c, int set, size_t memory,
                     struct text *reason)
{
	struct arena work;
	struct diags d;
	jmp_buf env;
	double **expected = arena_new_array(a, (size_t)w->arguments, double *);
	for (int i = 0; i < w->arguments; i++) {
		if (w->argument[i].role == ROLE_OUT)
			expected[i] = arena_new_array(a, (size_t)w->argument[i].count, double);
	}
	arena_init(&work);
	volatile bool good = false;
	if (ARENA_TRY(&work, &env)) {
		struct cascade *copy = cascade_clone(&work, c);
		struct oracle_tensor *t = arena_new_array(&work, copy->tensor.n, struct oracle_tensor);
		diags_init(&d, &work, w->shape, "", 0);
		for (int i = 0; i < w->arguments; i++) {
			const struct argument *x = &w->argument[i];
			if (x->role != ROLE_IN)
				continue;
			t[x->tensor].count = x->count;
			t[x->tensor].data = arena_new_array(&work, (size_t)x->count, double);
			for (int64_t k = 0; k < x->count; k++)
				t[x->tensor].data[k] = dtype_load(x->dtype, w->input[set][i], k);
		}
		good = oracle_run(&work, copy, t, memory, &d);
		for (int i = 0; i < w->arguments && good; i++) {
			const struct argument *x = &w->argument[i];
			if (x->role == ROLE_OUT)
				memcpy(expected[i], t[x->tensor].data, (size_t)x->count * sizeof(double));
		}
		if (!good)
			text_printf(reason, "the oracle at %s: %s", w->shape,
			            d.list.n ? d.list.v[0].message : "it failed");
	} else {
		text_printf(reason, "the oracle at %s: out of memory", w->shape);
	}
	arena_free(&work);
	if (good)
		w->expected[set] = expected;
	return good;
}

static double largest(enum dtype t)
{
	return dtype_round(t, 1.79e308);
}

static double fiber_rms(const double *want, int64_t n)
{
	double squares = 0;
	for (int64_t i = 0; i < n; i++)
		if (isfinite(want[i]))
			squares += want[i] * want[i];
	return sqrt(squares / (double)n);
}

double workload_error(const struct argument *x, const void *got, const double *want, int64_t *at)
{
	double squares = 0, worst = 0;
	int64_t finite = 0;
	for (int64_t i = 0; i < x->count; i++) {
		if (isfinite(want[i])) {
			squares += want[i] * want[i];
			finite++;
		}
	}
	const bool whole = dtype_info[x->dtype].integer || x->dtype == DTYPE_BOOL;
	const double rms = finite ? sqrt(squares / (double)finite) : 0, most = largest(x->dtype);
	/* Where types are narrow, what is summed is rounded to them too, and that of one fiber is as large as its elements are: the
	 * first rows under a causal mask are means of few values, many times the others. */
	const int64_t fiber = x->nranks && dtype_info[x->dtype].bits <= 16 ? x->extent[x->nranks - 1] : 1;
	double scale = rms;
	*at = 0;
	for (int64_t i = 0; i < x->count; i++) {
		double g = dtype_load(x->dtype, got, i), w = want[i], e;
		if (fiber > 1 && i % fiber == 0)
			scale = fmax(rms, fiber_rms(want + i, fiber));
		if (isfinite(w) && fabs(w) >= most)
			continue;
		if (g == w || (isnan(g) && isnan(w)))
			continue;
		if (whole)
			e = g == dtype_round(x->dtype, w) ? 0 : INFINITY;
		else if (!isfinite(g) || !isfinite(w))
			e = INFINITY;
		else
			e = fabs(g - w) / fmax(fmax(fabs(w), scale), 1e-300);
		if (e > worst) {
			worst = e;
			*at = i;
		}
	}
	return worst;
}

/* An output of n significant bits computed by a long sum in f32: room for the rounding of sums of thousands
 * of terms and of exponents in the hundreds, far below the share of a single key in an attention row. */
double workload_bound(enum dtype t, int set)
{
	double large = set == SET_LARGE ? 10 : 1;
	switch (t) {
	case DTYPE_F64: return 1e-9 * large;
	case DTYPE_F32: return 1e-4 * large;
	case DTYPE_F16: return 4e-3;
	case DTYPE_BF16: return 2e-2;
	case DTYPE_F8E4M3: return 0.15;
	case DTYPE_F8E5M2: return 0.3;
	default: return 0;
	}
}

double workload_allows(const struct workload *w, int i, int set)
{
	const double most = 1e-2; /* a program that makes more of rounding than this has no right answer */
	/* The worst elements of two forms that round alike differ by more than the forms do. */
	const double others = 4;
	double bound = workload_bound(w->argument[i].dtype, set);
	return w->careful && set == SET_NORMAL ? fmax(bound, fmin(others * w->careful[i], most)) : bound;
}

struct set_of_inputs {
	const struct workload *workload;
	int set;
};

static double input_element(const void *owner, uint32_t tensor, const int64_t *coordinate)
{
	const struct set_of_inputs *from = owner;
	const struct workload *w = from->workload;
	for (int i = 0; w->input[from->set] && i < w->arguments; i++) {
		const struct argument *g = &w->argument[i];
		int64_t at = 0;
		if (g->tensor != tensor || !w->input[from->set][i])
			continue;
		for (int r = 0; r < g->nranks; r++)
			at += coordinate[r] * g->stride[r];
		return dtype_load(g->dtype, w->input[from->set][i], at);
	}
	return (double)NAN;
}

double workload_flops(const struct workload *w, struct cascade *c, int set)
{
	return cascade_flops(c, &(struct work_inputs){input_element, &(struct set_of_inputs){w, set}});
}
