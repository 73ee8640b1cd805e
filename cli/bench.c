/* attune bench */
#include "cli/cli.h"

static int print_rows(const struct attune_bench_result *r, bool json)
{
	if (json) {
		cJSON *object = cJSON_CreateObject(), *rows = cJSON_CreateArray();
		cJSON_AddNumberToObject(object, "threads", r->threads);
		json_number(object, "peak_flops", r->peak_flops);
		if (r->bound) {
			cJSON_AddStringToObject(object, "bound", r->bound);
			json_number(object, "bound_seconds", r->bound_seconds);
		}
		for (int i = 0; i < r->rows; i++) {
			cJSON *row = cJSON_CreateObject();
			cJSON_AddStringToObject(row, "name", r->row[i].name);
			json_number(row, "seconds", r->row[i].seconds);
			json_number(row, "flops", r->row[i].flops);
			json_number(row, "peak", r->row[i].peak);
			cJSON_AddItemToArray(rows, row);
		}
		cJSON_AddItemToObject(object, "rows", rows);
		return print_json(object);
	}
	if (r->threads)
		printf("%d thread%s, peak %.1f GFLOP/s each\n", r->threads, r->threads == 1 ? "" : "s",
		       r->peak_flops * 1e-9);
	else
		printf("on the device, peak of its tensor cores %.1f TFLOP/s\n", r->peak_flops * 1e-12);
	char time[32];
	if (r->bound)
		printf("bound    %12s  by the limits of this machine, most of it %s\n",
		       seconds_text(r->bound_seconds, time), r->bound);
	for (int i = 0; i < r->rows; i++) {
		char share[32] = "";
		if (r->bound)
			snprintf(share, sizeof share, "  %5.1f%% of bound", 100 * r->bound_seconds / r->row[i].seconds);
		printf("%-8s %12s  %8.1f GFLOP/s  %5.1f%% of peak  %6.2fx default%s\n", r->row[i].name,
		       seconds_text(r->row[i].seconds, time), r->row[i].flops * 1e-9, 100 * r->row[i].peak,
		       r->row[r->rows - 2].seconds / r->row[i].seconds, share);
	}
	return 0;
}

int command_bench(const struct options *o)
{
	int status = 0;
	struct attune_error error;
	struct attune_program *program = NULL;
	struct attune_context *context = open_context(o, &status);
	if (context && (program = open_program(context, o, &status)) && has_extents(program, &status)) {
		struct attune_bench_options options = {.rounds = o->rounds};
		struct attune_bench_result result;
		status = attune_bench(program, &options, &result, &error) ? complain(&error)
		                                                          : print_rows(&result, o->json);
		report_cache(context);
	}
	attune_program_free(program);
	attune_context_free(context);
	return status;
}
