/* bench.c: winner, default and naive form of a kernel side by side. */
#include "runtime/bench.h"

#include <string.h>

#include "codegen/roofline.h"
#include "codegen/work.h"

struct bench_job {
	struct attune_program *program;
	int rounds;
	struct attune_bench_result *result;
	struct contenders contenders;
	enum operand_type operand; /* the fastest that one of them multiplies as */
	struct tile_cost cost;     /* of the default schedule */
	enum isa isa;
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
	struct contenders *c = &job->contenders;
	o.wait = true;
	enum attune_status status = attune_compile(job->program, &o, &c->kernel[c->n], error);
	if (!status)
		c->name[c->n++] = name;
	return status;
}

static enum operand_type faster(enum operand_type a, enum operand_type b, enum isa isa)
{
	return machine_peak_probe(isa, a) < machine_peak_probe(isa, b) ? b : a;
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
	job->operand = schedule_operand(&usual);
	job->isa = usual.isa;
	job->cost = tile_cost(tile_build(arena, known.problem, &usual));
	if (known.choice.rung == CACHE_EXACT && !context_on_device(job->program->context))
		job->operand = faster(job->operand, schedule_operand(&known.choice.schedule), usual.isa);
	status = add_contender(job, "default", (struct attune_compile_options){.schedule = text.s}, error);
	if (!status)
		status = add_contender(job, "naive", (struct attune_compile_options){.naive = true}, error);
	return status;
}

void bench_note(struct contenders *c, int i, double seconds)
{
	double *low = c->low[i];
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

/* Also probes the peak between the rounds. */
static enum attune_status processor_bench(const struct attune_context *context, struct arena *arena,
                                          struct contenders *c, struct workload *w, int rounds, enum operand_type operand,
                                          double *peak, struct attune_error *error)
{
	const DLTensor **argument = make_arguments(arena, w);
	/* One thread is timed by its CPU time, which a neighbour on the core does not lengthen. */
	double (*clock)(void) = context->threads == 1 ? thread_seconds : wall_seconds;
	for (int round = 0; round <= rounds; round++) {
		for (int i = 0; i < c->n; i++) {
			double start = clock();
			enum attune_status status = attune_call(c->kernel[i], argument, w->arguments, NULL, error);
			if (status)
				return status;
			if (round) /* the first warms up */
				bench_note(c, i, clock() - start);
		}
		double probe = machine_peak_probe(context->isa, operand);
		*peak = probe > *peak ? probe : *peak;
	}
	return ATTUNE_OK;
}

/* The least that useful work takes: products as fast as the fastest of them, exponentials in the share that the default
 * schedule has of them. */
static struct roofline useful_roofline(const struct bench_job *job, const struct workload *w, double flops)
{
	const struct attune_context *c = job->program->context;
	struct tile_cost useful = {0};
	double bytes = 0, share = job->cost.contract_flops > flops ? flops / job->cost.contract_flops : 1;
	for (int i = 0; i < w->arguments; i++)
		bytes += (double)w->argument[i].bytes;
	useful.contract[job->operand] = flops;
	useful.exps = job->cost.exps * share;
	return roofline(&useful, bytes, &c->machine, job->isa, c->threads);
}

static enum attune_status run_bench(void *data, struct arena *arena, struct attune_error *error)
{
	struct bench_job *job = data;
	struct attune_context *context = job->program->context;
	struct contenders *c = &job->contenders;
	bool device = context_on_device(context);
	if (device && !context->target->device->mark)
		return runtime_fail(error, ATTUNE_USAGE, "target %s has no clock: what it takes says nothing",
		                    context->target->name);
	enum attune_status status = compile_all(job, arena, error);
	if (status)
		return status;
	struct cascade *cascade = cascade_clone(arena, job->program->cascade);
	struct workload *w = workload_new(arena, cascade);
	workload_inputs(arena, w, cascade, SET_NORMAL, 1, 1);
	double flops = workload_flops(w, cascade, SET_NORMAL), peak = 0;
	if (device)
		status = device_bench(context, arena, c, w, job->rounds, error);
	else
		status = processor_bench(context, arena, c, w, job->rounds, job->operand, &peak, error);
	if (status)
		return status;
	struct attune_bench_result r = {.rows = c->n,
	                                .threads = device ? 0 : context->threads,
	                                .peak_flops = device ? context->machine.tensor_flops : peak};
	context_measure(context, false);
	struct roofline least = useful_roofline(job, w, flops);
	r.bound = least.bound;
	r.bound_seconds = least.seconds;
	for (int i = 0; i < c->n; i++) {
		double seconds = envelope(c->low[i]), all = r.peak_flops * (device ? 1 : r.threads);
		r.row[i] = (struct attune_bench_row){
		        .name = c->name[i], .seconds = seconds, .flops = seconds > 0 ? flops / seconds : 0};
		r.row[i].peak = all > 0 ? r.row[i].flops / all : 0;
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
		attune_kernel_free(job.contenders.kernel[i]);
	return status;
}
