#include <math.h>
#include <string.h>

#include "dsl/dtype.h"
#include "dsl/parse.h"
#include "gpu/pack.h"

const char *const kernel_role_name[KERNEL_ROLES] = {
        [KERNEL_DEFAULT] = "default", [KERNEL_EXACT] = "exact", [KERNEL_CANDIDATE] = "candidate"};

static const cJSON *member(const struct pack_case *c, const char *object)
{
	return cJSON_GetObjectItemCaseSensitive(c->json, object);
}

static double number(const cJSON *object, const char *name, double otherwise)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(object, name);
	return cJSON_IsNumber(x) ? x->valuedouble : otherwise;
}

struct cascade *case_cascade(struct arena *a, const struct pack_case *c, struct text *why)
{
	const cJSON *types = member(c, "types"), *params = member(c, "params"), *x;
	struct retype *type = arena_new_array(a, (size_t)cJSON_GetArraySize(types) + 1, struct retype);
	struct param *param = arena_new_array(a, (size_t)cJSON_GetArraySize(params) + 1, struct param);
	struct overrides given = {.param = param, .type = type};
	struct diags d;
	cJSON_ArrayForEach(x, types) type[given.ntypes++] = (struct retype){x->string, x->valuestring};
	cJSON_ArrayForEach(x, params) param[given.nparams++] = (struct param){x->string, x->valuedouble};
	diags_init(&d, a, c->program, c->text, strlen(c->text));
	struct cascade *cascade = cascade_parse_with(a, c->text, strlen(c->text), &given, &d);
	if (!cascade) {
		text_printf(why, "%s: ", c->name);
		diags_print(&d, why);
		return NULL;
	}
	cJSON_ArrayForEach(x, member(c, "ranks"))
	{
		uint32_t r = cascade_find_rank(cascade, x->string);
		if (r == UINT32_MAX) {
			text_printf(why, "%s: %s has no rank '%s'", c->name, c->program, x->string);
			return NULL;
		}
		cascade->rank.v[r].extent = (int64_t)x->valuedouble;
	}
	if (cascade_check_bound(cascade, &d))
		return cascade;
	text_printf(why, "%s: %s", c->name, d.list.n ? d.list.v[0].message : "not every rank has an extent");
	return NULL;
}

/* The sum of the four parts of a word: 0 to 4 · 65535, near a normal distribution. */
enum { SUMS = 4 * 65535 + 1 };
static int32_t word_sum(int argument, int64_t k)
{
	uint64_t z = ((uint64_t)argument << 32) + (uint64_t)(k + 1) * 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return (int32_t)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));
}

/* Every element is one of SUMS numbers, which are rounded once. */
static void fill_reals(struct arena *a, const struct argument *x, int argument, float offset, float scale,
                       void *data)
{
	size_t size = dtype_info[x->dtype].bits / 8u;
	char *number = arena_alloc(a, SUMS * size), *to = data;
	for (int32_t i = 0; i < SUMS; i++)
		dtype_store(x->dtype, number, i, (double)((float)(i - 131070) / 32768 * scale + offset));
	for (int64_t k = 0; k < x->count; k++, to += size)
		memcpy(to, number + (size_t)word_sum(argument, k) * size, size);
}

static void fill_integers(const struct argument *x, int64_t from, int64_t step, void *data)
{
	int64_t last = x->nranks ? x->extent[x->nranks - 1] : 1;
	for (int64_t k = 0; k < x->count; k++)
		dtype_store(x->dtype, data, k, (double)((k % last + from) / (step > 0 ? step : 1)));
}

void case_inputs(struct arena *a, const struct pack_case *c, struct workload *w)
{
	w->input[SET_NORMAL] = arena_new_array(a, (size_t)w->arguments, void *);
	for (int i = 0; i < w->arguments; i++) {
		const struct argument *x = &w->argument[i];
		if (x->role != ROLE_IN)
			continue;
		const cJSON *how = cJSON_GetObjectItemCaseSensitive(member(c, "inputs"), x->name);
		void *data = w->input[SET_NORMAL][i] = arena_alloc(a, x->bytes);
		if (dtype_info[x->dtype].integer || dtype_info[x->dtype].bits < 8)
			fill_integers(x, (int64_t)number(how, "from", 0), (int64_t)number(how, "step", 1),
			              data);
		else
			fill_reals(a, x, i, (float)number(how, "offset", 0), (float)number(how, "scale", 1),
			           data);
	}
}

/* The error of the best of PyTorch's ways; infinite where none is known. */
static void peer_error(const cJSON *output, double *max, double *rms)
{
	const cJSON *peer;
	*max = *rms = INFINITY;
	cJSON_ArrayForEach(peer, cJSON_GetObjectItemCaseSensitive(output, "peers"))
	{
		if (number(peer, "rms", INFINITY) < *rms) {
			*rms = number(peer, "rms", INFINITY);
			*max = number(peer, "max", INFINITY);
		}
	}
}

static void measure(const struct argument *x, const void *got, const double *want, double *max, double *rms)
{
	double most = 0, largest = 0, errors = 0, squares = 0;
	for (int64_t k = 0; k < x->count; k++) {
		double g = dtype_load(x->dtype, got, k), e = g == want[k] ? 0 : fabs(g - want[k]);
		if (!(e < INFINITY))
			e = INFINITY;
		most = fmax(most, e);
		largest = fmax(largest, fabs(want[k]));
		errors += e * e;
		squares += want[k] * want[k];
	}
	*max = most > 0 ? most / largest : 0;
	*rms = errors > 0 ? sqrt(errors / squares) : 0;
}

struct verdict_of_outputs case_judge(const struct pack_case *c, const struct workload *w, void *const *got,
                                     double *const *want)
{
	struct verdict_of_outputs v = {.good = true};
	double worst = -1;
	for (int i = 0; i < w->arguments; i++) {
		const struct argument *x = &w->argument[i];
		double max, rms, allowed_max, allowed_rms;
		if (x->role != ROLE_OUT)
			continue;
		measure(x, got[i], want[i], &max, &rms);
		peer_error(cJSON_GetObjectItemCaseSensitive(member(c, "outputs"), x->name), &allowed_max,
		           &allowed_rms);
		if (isfinite(allowed_rms)) {
			allowed_max *= 2;
			allowed_rms *= 2;
		} else {
			allowed_max = allowed_rms = workload_bound(x->dtype, SET_NORMAL);
		}
		double share = fmax(max / allowed_max, rms / allowed_rms);
		if (!(share <= worst)) {
			worst = share;
			v.max = max;
			v.rms = rms;
			v.allowed_max = allowed_max;
			v.allowed_rms = allowed_rms;
			v.output = x->name;
		}
		v.good = v.good && share <= 1;
	}
	return v;
}
