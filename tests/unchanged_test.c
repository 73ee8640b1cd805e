/* unchanged_test.c: what a caller says is unchanged is not prepared again, and nothing else is ever stale. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attune.h"
#include "tests/tap.h"

enum { N = 600, D = 16, TENSORS = 6 };
enum { Q, K, V, QDOC, KDOC, OUT };

static const char text[] = "kernel documents\nrank N, M, D\nin Q[N, D] : f32\nin K[M, D] : f32\nin V[M, D] : f32\n"
                           "in qdoc[N] : i32\nin kdoc[M] : i32\nout O[N, D] : f32\nindex e : D\n"
                           "S[n,m] = Q[n,d] * K[m,d] where qdoc[n] == kdoc[m]\nP = softmax[m](S)\n"
                           "O[n,e] = P[n,m] * V[m,e]\n";

static float reals[4][N * D], expected[N * D];
static int32_t document[2][N];
static int64_t shape[] = {N, D};
static DLTensor tensor[TENSORS], exact;
static const DLTensor *argument[TENSORS], *defined[TENSORS];
static struct attune_error error;

static void lay_out(void)
{
	static float *const data[] = {reals[0], reals[1], reals[2]};
	for (int i = 0; i < TENSORS; i++) {
		bool whole = i == QDOC || i == KDOC;
		tensor[i] = (DLTensor){.device = {kDLCPU, 0},
		                       .ndim = whole ? 1 : 2,
		                       .dtype = {(uint8_t)(whole ? kDLInt : kDLFloat), 32, 1},
		                       .shape = shape,
		                       .data = i == OUT ? (void *)reals[3] : whole ? (void *)document[i - QDOC] : (void *)data[i]};
		argument[i] = defined[i] = &tensor[i];
	}
	exact = tensor[OUT];
	exact.data = expected;
	defined[OUT] = &exact;
}

static void draw(int from, uint32_t seed)
{
	for (int i = 0; i < N * D; i++) {
		seed = seed * 1664525u + 1013904223u;
		reals[from][i] = (float)(seed >> 9) / (1 << 22) - 1;
	}
}

/* Documents of so many tokens. */
static void pack(int length)
{
	for (int i = 0; i < N; i++)
		document[0][i] = document[1][i] = i / length;
}

static double apart(struct attune_program *program)
{
	double most = 0;
	if (attune_oracle(program, defined, TENSORS, &error))
		return INFINITY;
	for (int i = 0; i < N * D; i++) {
		double d = fabs((double)reals[3][i] - (double)expected[i]);
		most = d <= most ? most : isnan(d) ? (double)INFINITY : d;
	}
	return most;
}

static bool fresh(struct attune_program *program, struct attune_kernel *kernel, void *workspace, uint64_t unchanged)
{
	memset(reals[3], 0xff, sizeof reals[3]);
	return !attune_call_unchanged(kernel, argument, TENSORS, workspace, unchanged, &error) && apart(program) < 1e-4;
}

static void try_all(struct attune_program *program, struct attune_kernel *kernel, struct attune_kernel *other)
{
	const uint64_t docs = 1 << QDOC | 1 << KDOC, all = docs | 1 << K;
	size_t size = (attune_kernel_workspace(kernel) + 63) / 64 * 64;
	size_t least = (attune_kernel_workspace(other) + 63) / 64 * 64;
	size = size > least ? size : least;
	char *workspace = aligned_alloc(64, size), *second = aligned_alloc(64, size);
	struct attune_kernel_info info;
	if (!workspace || !second)
		abort();
	memset(workspace, 0, size);
	memset(second, 0x5a, size);
	attune_kernel_describe(kernel, &info);
	ok(strstr(info.schedule, "sparsity list") != NULL, "documents are walked by lists");

	pack(100);
	ok(fresh(program, kernel, workspace, all), "a claim at the first call in a workspace of zeroes is disregarded");
	ok(fresh(program, kernel, second, all), "… and of anything");
	draw(Q, 5);
	ok(fresh(program, kernel, workspace, all), "a true claim, the queries moved");
	draw(K, 6);
	ok(fresh(program, kernel, workspace, docs), "the keys moved too, and are not claimed");
	pack(37);
	ok(fresh(program, kernel, workspace, 1 << K | 1 << V), "documents moved, and are not claimed");
	pack(150);
	ok(fresh(program, kernel, workspace, 0), "no claim: nothing is stale");
	pack(41);
	ok(!attune_call(kernel, argument, TENSORS, workspace, &error) && apart(program) < 1e-4, "… nor in attune_call");
	ok(fresh(program, kernel, workspace, all), "attune_call prepared for a claim that follows");
	ok(!attune_call(kernel, argument, TENSORS, NULL, &error) && apart(program) < 1e-4,
	   "a workspace of the kernel's own");

	pack(300);
	ok(!fresh(program, kernel, workspace, docs), "a wrong claim is the caller's stale result");
	ok(fresh(program, kernel, workspace, docs ^ 1 << KDOC), "one of the two claimed is not enough to leave lists as they are");
	pack(90);
	ok(!attune_call(other, argument, TENSORS, workspace, &error) && apart(program) < 1e-4,
	   "another kernel in the same workspace");
	ok(fresh(program, kernel, workspace, all), "a claim after that is disregarded");

	static int32_t elsewhere[N];
	for (int i = 0; i < N; i++)
		elsewhere[i] = document[1][i] = i / 55;
	memcpy(document[0], elsewhere, sizeof elsewhere);
	tensor[KDOC].data = elsewhere;
	ok(fresh(program, kernel, workspace, 1 << KDOC | 1 << K), "a claim for a tensor that lies elsewhere is disregarded");

	ok(attune_call_unchanged(kernel, argument, TENSORS, NULL, all, &error) == ATTUNE_USAGE,
	   "a claim needs a workspace: %s", error.message);
	ok(attune_call_unchanged(kernel, argument, TENSORS, workspace, 1 << TENSORS, &error) == ATTUNE_USAGE,
	   "a claim of no argument: %s", error.message);
	free(workspace);
	free(second);
}

/* What is prepared from no argument at all is prepared all the same: in a workspace of anything, and again in one
 * whose bytes nobody answers for. */
static void from_nothing(struct attune_context *context)
{
	char *source = strdup(text), *where = source ? strstr(source, "qdoc[n] == kdoc[m]") : NULL;
	static const char static_mask[] = "m%97<5 or n%89<3  ";
	struct attune_program *program = NULL;
	struct attune_kernel *kernel = NULL;
	if (!where)
		abort();
	memcpy(where, static_mask, sizeof static_mask - 1);
	bool good = !attune_program_new(context, &(struct attune_source){.text = source}, &program, &error) &&
	            !attune_program_infer(program, argument, TENSORS, &error) &&
	            !attune_compile(program, &(struct attune_compile_options){.wait = true}, &kernel, &error);
	if (ok(good, "a mask of no tensor: %s", error.message)) {
		size_t size = (attune_kernel_workspace(kernel) + 63) / 64 * 64, header = 64 + 8 * 64;
		struct attune_kernel_info info;
		char *workspace = aligned_alloc(64, size);
		if (!workspace)
			abort();
		memset(workspace, 0x5a, size);
		attune_kernel_describe(kernel, &info);
		ok(strstr(info.schedule, "sparsity list") != NULL, "it is listed too");
		ok(fresh(program, kernel, workspace, 0), "in a workspace of anything");
		memset(workspace + header, 0x5a, size - header);
		ok(fresh(program, kernel, workspace, 0), "whose bytes are changed, without a claim");
		ok(fresh(program, kernel, workspace, 1 << K), "as it is, with one");
		memset(reals[3], 0xff, sizeof reals[3]);
		ok(!attune_call(kernel, argument, TENSORS, NULL, &error) && apart(program) < 1e-4, "one of the kernel's own");
		free(workspace);
	}
	attune_kernel_free(kernel);
	attune_program_free(program);
	free(source);
}

int main(void)
{
	struct attune_context *context;
	struct attune_program *program;
	struct attune_kernel *kernel, *other;
	lay_out();
	draw(Q, 1);
	draw(K, 2);
	draw(V, 3);
	if (attune_context_new(&(struct attune_options){.cache = "", .threads = 2}, &context, &error) ||
	    attune_program_new(context, &(struct attune_source){.text = text}, &program, &error) ||
	    attune_program_infer(program, argument, TENSORS, &error) ||
	    attune_compile(program, &(struct attune_compile_options){.wait = true}, &kernel, &error) ||
	    attune_compile(program, &(struct attune_compile_options){.wait = true}, &other, &error)) {
		printf("Bail out! %s\n", error.message);
		return 1;
	}
	try_all(program, kernel, other);
	from_nothing(context);
	attune_kernel_free(kernel);
	attune_kernel_free(other);
	attune_program_free(program);
	attune_context_free(context);
	return tap_done();
}
