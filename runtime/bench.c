/* bench.c: winner, default and naive form of a kernel side by side. */
#include "runtime/internal.h"

#include <string.h>

#include "codegen/work.h"
#include "search/workload.h"

enum { CONTENDERS = 3 };

struct bench_job {
	struct attune_program *program;
	int rounds;
	struct attune_bench_result *result;
	struct attune_kernel *kernel[CONTENDERS];
	const char *name[CONTENDERS];
	int n;
	struct workload *workload;
};

/* The arguments as a caller would pass them, inputs drawn, outputs made. */
static const DLTensor **make_arguments(struct arena *a, struct workload *w)
{
	const DLTensor **list = arena_new_array(a, (size_t)w->arguments, const DLTensor *);
	for (int i = 0; i < w->arguments; i++) {
		struct argument *g = &w->argument[i];
		DLTensor *t = arena_new(a, DLTensor);
		*t = (DLTensor){.device = {kDLCPU, 0},
		                .ndim = g->nranks,
		                .dtype = dtype_dl(g->dtype),
		                .shape = g->extent,
		                .strides = g->stride,
		                .data = g->role == ROLE_IN ? w->input[SET_NORMAL][i]
		                                           : arena_alloc(a, g->bytes ? g->bytes : 1)};
		list[i] = t;
	}
	return list;
}

static enum attune_status add_contender(struct bench_job *job, const char *name,
                                        struct attune_compile_options o, struct attune_error *error)
{
	o.wait = true;
	enum attune_status status = attune_compile(job->program, &o, &job->kernel[job->n], error);
	if (!status)
		job->name[job->n++] = name;
	return status;
}

static enum attune_status compile_all(struct bench_job *job, struct arena *arena, struct attune_error *error)
{
	struct variant known;
	enum attune_status status =
	        program_variant(job->program, arena, NULL, false, FOR_CODE, &known, error);
	object_free(&known.choice.object);
	if (!status && known.choice.rung == CACHE_EXACT)
		status = add_contender(job, "tuned", (struct attune_compile_options){0}, error);
	if (status)
		return status;
	struct schedule usual = schedule_default(known.problem, known.choice.schedule.isa);
	struct text text;
	text_init(&text, arena);
	schedule_print(known.problem, &usual, &text);
	status = add_contender(job, "default", (struct attune_compile_options){.schedule = text.s}, error);
	if (!status)
		status = add_contender(job, "naive", (struct attune_compile_options){.naive = true}, error);
	return status;
}

/* Keeps the two lowest. */
static void note(double *low, double seconds)
{
	if (low[0] == 0 || seconds < low[0]) {
		low[1] = low[0];
		low[0] = seconds;
	} else if (low[1] == 0 || seconds < low[1]) {
		low[1] = seconds;
	}
}

static double envelope(const double *low)
{
	return low[1] > 0 ? 0.5 * (low[0] + low[1]) : low[0];
}

static enum attune_status run_bench(void *data, struct arena *arena, struct attune_error *error)
{
	struct bench_job *job = data;
	struct attune_context *context = job->program->context;
	enum attune_status status = compile_all(job, arena, error);
	if (status)
		return status;
	struct cascade *cascade = cascade_clone(arena, job->program->cascade);
	struct workload *w = workload_new(arena, cascade);
	workload_inputs(arena, w, cascade, SET_NORMAL, 1, 1);
	const DLTensor **argument = make_arguments(arena, w);

	/* One thread is timed by its CPU time, which a neighbour on the core does not lengthen. */
	double (*clock)(void) = context->threads == 1 ? thread_seconds : wall_seconds;
	double low[CONTENDERS][2] = {{0}}, peak = 0;
	for (int round = 0; round <= job->rounds; round++) {
		for (int i = 0; i < job->n; i++) {
			double start = clock();
			status = attune_call(job->kernel[i], argument, w->arguments, NULL, error);
			if (status)
				return status;
			if (round) /* the first warms up */
				note(low[i], clock() - start);
		}
		double probe = machine_peak_probe(context->machine.isa);
		peak = probe > peak ? probe : peak;
	}
	double flops = cascade_flops(cascade);
	struct attune_bench_result r = {.rows = job->n, .threads = context->threads, .peak_flops = peak};
	for (int i = 0; i < job->n; i++) {
		double seconds = envelope(low[i]);
		r.row[i] = (struct attune_bench_row){
		        .name = job->name[i], .seconds = seconds, .flops = seconds > 0 ? flops / seconds : 0};
		r.row[i].peak = r.row[i].flops / (peak * context->threads);
	}
	*job->result = r;
	return ATTUNE_OK;
}

enum attune_status attune_bench(struct attune_program *p, const struct attune_bench_options *options,
                                struct attune_bench_result *result, struct attune_error *error)
{
	const int ROUNDS = 11;
	struct bench_job job = {.program = p,
	                        .result = result,
	                        .rounds = options && options->rounds ? options->rounds : ROUNDS};
	enum attune_status status = runtime_try(run_bench, &job, error);
	for (int i = 0; i < CONTENDERS; i++)
		attune_kernel_free(job.kernel[i]);
	return status;
}
