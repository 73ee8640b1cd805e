/* attune device */
#include "cli/cli.h"

static int print_device(const struct attune_device_info *d, bool json)
{
	if (json) {
		cJSON *object = cJSON_CreateObject(), *targets = cJSON_CreateArray();
		cJSON_AddStringToObject(object, "model", d->model);
		cJSON_AddStringToObject(object, "isa", d->isa);
		cJSON_AddNumberToObject(object, "cores", d->cores);
		cJSON_AddNumberToObject(object, "l1", (double)d->l1);
		cJSON_AddNumberToObject(object, "l2", (double)d->l2);
		cJSON_AddNumberToObject(object, "l3", (double)d->l3);
		json_number(object, "peak_flops", d->peak_flops);
		json_number(object, "bandwidth", d->bandwidth);
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
	printf("cores      %d\n", d->cores);
	printf("caches     L1 %lld KiB, L2 %lld KiB, L3 %lld KiB\n", (long long)d->l1 >> 10,
	       (long long)d->l2 >> 10, (long long)d->l3 >> 10);
	printf("peak       %.1f GFLOP/s f32 multiply-add, one core\n", d->peak_flops * 1e-9);
	printf("bandwidth  %.1f GB/s read from memory, one core\n", d->bandwidth * 1e-9);
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
	status = attune_device(context, &info, &error) ? complain(&error) : print_device(&info, o->json);
	attune_context_free(context);
	return status;
}
