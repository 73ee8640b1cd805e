/* What kernels are tried on: whole numbers that mean something where they are read. */
#include <math.h>
#include <string.h>

#include "dsl/dtype.h"
#include "dsl/parse.h"
#include "search/workload.h"
#include "tests/tap.h"

static const char source[] =
	"rank T = 60, U = 90, B = 4, N = 7, P = 5, W = 6, D = 2\n"
	"in qo[B+1], ko[B+1], lengths[N], threshold[N,W], doc[T], table[N,W] : i32\n"
	"in Q[T,D] : f32 ragged by qo\nin K[U,D] : f32 ragged by ko\nin X[N,T], Y[P,D] : f32\n"
	"out O[T], S[N], R[N], A[N], Z[N,W] : f32\n"
	"O[t] = softmax[u](sum[d](Q[t,d] * K[u,d])) * K[u,0]\n"
	"S[n] = sum[t](X[n,t]) where t < lengths[n]\n"
	"A[n] = sum[t](X[n,t]) where doc[t] == 1\n"
	"Z[n,w] = sum[d](Y[table[n,w],d])\n"
	"R[n] = sum[w](1) where w <= threshold[n,w] + 2\n";

/* Does it rise from 0 to `end` along its last rank of n? */
static bool rises(const struct workload *w, const char *name, int64_t n, double end)
{
	for (int i = 0; i < w->arguments; i++) {
		const struct argument *x = &w->argument[i];
		if (strcmp(x->name, name))
			continue;
		for (int64_t k = 0; k < x->count; k++) {
			double v = dtype_load(x->dtype, w->input[0][i], k);
			double before = k % n ? dtype_load(x->dtype, w->input[0][i], k - 1) : 0;
			if (v < before || (k % n == 0 && v != 0) || (k % n == n - 1 && v != end))
				return false;
		}
		return true;
	}
	return false;
}

static bool stays(const struct workload *w, const char *name, double below)
{
	double most = 0;
	for (int i = 0; i < w->arguments; i++)
		for (int64_t k = 0; !strcmp(w->argument[i].name, name) && k < w->argument[i].count; k++) {
			double v = dtype_load(w->argument[i].dtype, w->input[0][i], k);
			if (v < 0 || v >= below)
				return false;
			most = fmax(most, v);
		}
	return most > 0;
}

int main(void)
{
	struct arena a;
	struct diags d;
	jmp_buf env;
	arena_init(&a);
	if (!ARENA_TRY(&a, &env))
		return 1;
	diags_init(&d, &a, "workload", source, strlen(source));
	struct cascade *c = cascade_parse(&a, source, strlen(source), NULL, 0, &d);
	if (ok(c, "parses")) {
		struct workload *w = workload_new(&a, c);
		workload_inputs(&a, w, c, 0, 1, 3);
		ok(rises(w, "qo", 5, 60), "offsets rise to the extent they are compared with");
		ok(rises(w, "ko", 5, 90), "… also through what is gathered from them");
		ok(rises(w, "lengths", 7, 60), "lengths");
		ok(rises(w, "threshold", 6, 6), "whole numbers beside others");
		ok(stays(w, "doc", 4), "ids that are only compared with each other are few");
		ok(stays(w, "table", 5), "a table stays inside what it indexes");
	} else {
		printf("# %s\n", d.list.v[0].message);
	}
	arena_free(&a);
	return tap_done();
}
