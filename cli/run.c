/* attune run: a kernel, or the oracle, on .npy files. */
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/npy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct outcome {
	const char *how; /* "oracle", or where the kernel's schedule came from */
	const char *isa, *target;
	double compile_seconds, seconds;
	bool compared;
	double error; /* largest of the outputs, normalised */
	bool right;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What a result may be off by, of the largest element, when stored so: rounding on the way, and of the type.
 * A device multiplies in the type of its inputs, those of 8 bits widened. */
static double bound_of(DLDataType t)
{
	if (t.code == kDLFloat)
		return t.bits == 64 ? 1e-9 : t.bits == 32 ? 1e-4 : 4e-3;
	return t.code == kDLBfloat          ? 2e-2
	       : t.code == DL_FLOAT8_E4M3FN ? 0.13
	       : t.code == DL_FLOAT8_E5M2   ? 0.26
	                                    : 0;
}

/* The largest difference by the largest finite element of the reference; equal infinities are equal. */
static double difference(const double *have, const double *want, int64_t n)
{
	double most = 0, scale = 0;
	for (int64_t i = 0; i < n; i++) {
		if (isfinite(want[i]) && fabs(want[i]) > scale)
			scale = fabs(want[i]);
		if (have[i] == want[i] || (isnan(have[i]) && isnan(want[i])))
			continue;
		double d = fabs(have[i] - want[i]);
		if (!(d <= most))
			most = isnan(d) ? INFINITY : d;
	}
	return most > 0 && scale > 0 ? most / scale : most;
}

static int compare_output(const struct attune_tensor *t, const struct argument *have,
                          const struct argument *want, double bound, struct outcome *out)
{
	struct argument wide = {0};
	struct attune_error error;
	if (!argument_make(&wide, t->name, want->tensor.dtype, t->ndim, t->shape))
		return ATTUNE_SYSTEM;
	int status = 0;
	if (attune_convert(&have->tensor, &wide.tensor, &error)) {
		status = complain(&error);
	} else {
		int64_t n = 1;
		for (int k = 0; k < t->ndim; k++)
			n *= t->shape[k];
		double d = difference(wide.data, want->data, n);
		out->right &= d <= bound;
		if (!(d <= out->error))
			out->error = d;
	}
	free(wide.data);
	return status;
}

/* The oracle on the same inputs, against the outputs at hand. */
static int compare(struct arguments *a, bool device, struct outcome *out)
{
	struct arguments reference = *a;
	struct attune_error error;
	for (int i = 0; i < a->n; i++)
		if (a->declared[i].role == ATTUNE_OUT)
			reference.v[i] = (struct argument){0};
	int status = arguments_make_outputs(&reference, true);
	if (!status && attune_oracle(a->program, reference.pointer, a->n, &error))
		status = complain(&error);
	out->compared = out->right = true;
	double rounding = 0;
	for (int i = 0; i < a->n; i++)
		if (device && a->declared[i].role == ATTUNE_IN && a->declared[i].dtype.bits > 8)
			rounding = fmax(rounding, bound_of(a->declared[i].dtype));
	for (int i = 0; i < a->n; i++) {
		if (a->declared[i].role != ATTUNE_OUT)
			continue;
		double bound = fmax(rounding, bound_of(a->declared[i].dtype));
		if (!status)
			status = compare_output(&a->declared[i], &a->v[i], &reference.v[i], bound, out);
		free(reference.v[i].data);
	}
	return status;
}

static int compute(struct arguments *a, const struct options *o, const char *schedule, struct outcome *out)
{
	struct attune_error error;
	if (o->oracle) {
		double start = now();
		if (attune_oracle(a->program, a->pointer, a->n, &error))
			return complain(&error);
		*out = (struct outcome){.how = "oracle", .seconds = now() - start};
		return 0;
	}
	struct attune_kernel *kernel;
	struct attune_kernel_info info;
	/* Who asks for a form, or for a check, gets the final one; others the first that answers. */
	bool wait = schedule || o->isa || o->target || o->compare;
	struct attune_compile_options options = {.schedule = schedule, .wait = wait};
	if (attune_compile(a->program, &options, &kernel, &error))
		return complain(&error);
	double start = now();
	int status = attune_call(kernel, a->pointer, a->n, NULL, &error) ? complain(&error) : 0;
	double seconds = now() - start;
	attune_kernel_describe(kernel, &info);
	*out = (struct outcome){.how = info.source,
	                        .isa = info.isa,
	                        .target = info.target,
	                        .compile_seconds = info.compile_seconds,
	                        .seconds = seconds};
	attune_kernel_free(kernel);
	return status;
}

static int report(const struct arguments *a, const struct options *o, const struct outcome *out)
{
	int n;
	const struct attune_rank *rank = attune_program_ranks(a->program, &n);
	if (o->json) {
		cJSON *object = cJSON_CreateObject(), *ranks = cJSON_AddObjectToObject(object, "ranks");
		cJSON_AddStringToObject(object, "schedule", out->how);
		if (out->isa) {
			cJSON_AddStringToObject(object, "isa", out->isa);
			cJSON_AddStringToObject(object, "target", out->target);
			json_number(object, "compile_seconds", out->compile_seconds);
		}
		json_number(object, "seconds", out->seconds);
		for (int i = 0; i < n; i++)
			cJSON_AddNumberToObject(ranks, rank[i].name, (double)rank[i].extent);
		if (out->compared) {
			json_number(object, "error", out->error);
			cJSON_AddBoolToObject(object, "right", out->right);
		}
		return print_json(object);
	}
	char time[32], compile[32];
	printf("%s", attune_program_name(a->program));
	for (int i = 0; i < n; i++)
		printf(" %s=%lld", rank[i].name, (long long)rank[i].extent);
	if (out->isa)
		printf(": %s schedule, %s, %s; ready after %s, ran %s\n", out->how, out->isa, out->target,
		       seconds_text(out->compile_seconds, compile), seconds_text(out->seconds, time));
	else
		printf(": %s, ran %s\n", out->how, seconds_text(out->seconds, time));
	if (out->compared)
		printf("%s: largest error against the oracle %.2g\n", out->right ? "right" : "WRONG",
		       out->error);
	return 0;
}

int command_run(const struct options *o)
{
	int status = 0;
	struct arguments arguments = {0};
	if (o->oracle && (o->schedule || o->target || o->compare))
		return complain_of(ATTUNE_USAGE,
		                   "--oracle runs no kernel: it goes with none of --schedule, --target, "
		                   "--compare");
	char *schedule = open_schedule(o, &status);
	struct attune_context *context = status ? NULL : open_context(o, &status);
	struct attune_program *program = context ? open_program(context, o, &status) : NULL;
	struct outcome out = {0};
	if (program) {
		status = arguments_read(&arguments, program, o, true);
		if (!status)
			status = arguments_make_outputs(&arguments, false);
		if (!status)
			status = compute(&arguments, o, schedule, &out);
		if (!status && o->compare)
			status = compare(&arguments, o->target && !strncmp(o->target, "cuda", 4), &out);
		if (!status)
			status = arguments_write(&arguments, o);
		if (!status)
			status = report(&arguments, o, &out);
		if (!status && out.compared && !out.right)
			status = ATTUNE_PROGRAM;
		arguments_free(&arguments);
		report_cache(context);
	}
	attune_program_free(program);
	attune_context_free(context);
	free(schedule);
	return status;
}
