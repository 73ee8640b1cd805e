/* attune device */
#include "cli/cli.h"

static void json_rates(const struct attune_device_info *d, cJSON *object)
{
	cJSON *rates = cJSON_AddArrayToObject(object, "rates");
	for (int i = 0; i < d->rates; i++) {
		cJSON *o = cJSON_CreateObject();
		cJSON_AddStringToObject(o, "isa", d->rate[i].isa);
		json_number(o, "f32", d->rate[i].f32);
		json_number(o, "bf16", d->rate[i].bf16);
		json_number(o, "i8", d->rate[i].i8);
		json_number(o, "exps", d->rate[i].exps);
		cJSON_AddItemToArray(rates, o);
	}
	json_number(object, "clock", d->clock);
	json_number(object, "read_l1", d->read_l1);
	json_number(object, "read_l2", d->read_l2);
	json_number(object, "read_l3", d->read_l3);
	json_number(object, "read_all", d->read_all);
}

static void print_rates(const struct attune_device_info *d)
{
	printf("clock      %.2f GHz while measuring; of one core, a cycle in brackets:\n", d->clock * 1e-9);
	for (int i = 0; i < d->rates; i++) {
		printf("%-10s f32 %.1f GFLOP/s (%.0f)", d->rate[i].isa, d->rate[i].f32 * 1e-9,
		       d->rate[i].f32 / d->clock);
		if (d->rate[i].bf16 > 0)
			printf(", bf16 %.1f (%.0f)", d->rate[i].bf16 * 1e-9, d->rate[i].bf16 / d->clock);
		if (d->rate[i].i8 > 0)
			printf(", i8 %.1f (%.0f)", d->rate[i].i8 * 1e-9, d->rate[i].i8 / d->clock);
		if (d->rate[i].exps > 0)
			printf(", exp %.1f G/s (%.1f cycles%s)", d->rate[i].exps * 1e-9,
			       d->rate[i].lanes * d->clock / d->rate[i].exps, d->rate[i].lanes > 1 ? " a vector" : "");
		putchar('\n');
	}
	printf("reads      L1 %.0f GB/s (%.0f), L2 %.0f (%.0f), L3 %.0f (%.0f), memory %.1f; by all cores %.1f\n",
	       d->read_l1 * 1e-9, d->read_l1 / d->clock, d->read_l2 * 1e-9, d->read_l2 / d->clock, d->read_l3 * 1e-9,
	       d->read_l3 / d->clock, d->bandwidth * 1e-9, d->read_all * 1e-9);
}

static int print_device(const struct attune_device_info *d, bool json)
{
	if (json) {
		cJSON *object = cJSON_CreateObject(), *targets = cJSON_CreateArray();
		cJSON_AddStringToObject(object, "model", d->model);
		cJSON_AddStringToObject(object, "isa", d->isa);
		cJSON_AddStringToObject(object, "unused", d->unused);
		cJSON_AddNumberToObject(object, "cores", d->cores);
		cJSON_AddNumberToObject(object, "l1", (double)d->l1);
		cJSON_AddNumberToObject(object, "l2", (double)d->l2);
		cJSON_AddNumberToObject(object, "l3", (double)d->l3);
		json_number(object, "peak_flops", d->peak_flops);
		json_number(object, "bandwidth", d->bandwidth);
		json_rates(d, object);
		cJSON_AddStringToObject(object, "key", d->key);
		for (int i = 0; i < d->targets; i++) {
			cJSON *target = cJSON_CreateObject();
			cJSON_AddStringToObject(target, "name", d->target[i].name);
			cJSON_AddBoolToObject(target, "works", !d->target[i].missing);
			if (d->target[i].missing)
				cJSON_AddStringToObject(target, "missing", d->target[i].missing);
			if (d->target[i].compiler)
				cJSON_AddStringToObject(target, "compiler", d->target[i].compiler);
			if (d->target[i].device)
				cJSON_AddStringToObject(target, "device", d->target[i].device);
			if (d->target[i].no_device)
				cJSON_AddStringToObject(target, "no_device", d->target[i].no_device);
			cJSON_AddItemToArray(targets, target);
		}
		cJSON_AddItemToObject(object, "targets", targets);
		return print_json(object);
	}
	printf("processor  %s\n", d->model);
	printf("isa        %s\n", d->isa);
	if (*d->unused)
		printf("unused     %s: no kernel uses them yet\n", d->unused);
	printf("cores      %d\n", d->cores);
	printf("caches     L1 %lld KiB, L2 %lld KiB, L3 %lld KiB\n", (long long)d->l1 >> 10,
	       (long long)d->l2 >> 10, (long long)d->l3 >> 10);
	print_rates(d);
	for (int i = 0; i < d->targets; i++) {
		printf("target     %s%s%s\n", d->target[i].name, d->target[i].missing ? ": " : "",
		       d->target[i].missing ? d->target[i].missing : "");
		if (d->target[i].compiler)
			printf("           compiler: %s\n", d->target[i].compiler);
		if (d->target[i].device || d->target[i].no_device)
			printf("           %sdevice: %s\n", d->target[i].device ? "" : "no ",
			       d->target[i].device ? d->target[i].device : d->target[i].no_device);
	}
	printf("key        %s\n", d->key);
	return 0;
}

int command_device(const struct options *o)
{
	if (o->word.n)
		return complain_of(ATTUNE_USAGE, "'attune device' takes no argument: '%s'", o->word.v[0]);
	int status = 0;
	struct attune_error error;
	struct attune_device_info info;
	struct attune_context *context = open_context(o, &status);
	if (!context)
		return status;
	status = (o->measure ? attune_device_measure : attune_device)(context, &info, &error) ? complain(&error) : print_device(&info, o->json);
	report_cache(context);
	attune_context_free(context);
	return status;
}
