/* limits.c: what a processor does at most, measured once and kept in the cache. By name, because the lists of ISAs and
 * types grow. */
#include "runtime/internal.h"

static const char *const read_name[READS] = {"l1", "l2", "l3", "memory"};

static cJSON *limits_json(const struct machine_limits *l)
{
	cJSON *o = cJSON_CreateObject(), *peak = cJSON_AddObjectToObject(o, "peak"),
	      *exps = cJSON_AddObjectToObject(o, "exps"), *read = cJSON_AddObjectToObject(o, "read");
	cJSON_AddNumberToObject(o, "clock", l->clock);
	for (enum isa i = 0; i < HOST_ISAS; i++) {
		if (l->peak[i][OPERAND_COMPUTE] <= 0)
			continue;
		cJSON *of = cJSON_AddObjectToObject(peak, isa_info[i].name);
		for (enum operand_type t = 0; t < OPERANDS; t++)
			if (l->peak[i][t] > 0)
				cJSON_AddNumberToObject(of, operand_type_name[t], l->peak[i][t]);
		if (l->exps[i] > 0)
			cJSON_AddNumberToObject(exps, isa_info[i].name, l->exps[i]);
	}
	for (int i = 0; i < READS; i++)
		cJSON_AddNumberToObject(read, read_name[i], l->read[i]);
	cJSON_AddNumberToObject(o, "read_all", l->read_all);
	return o;
}

/* 0 where there is none: to whoever reads, it was not measured. */
static double number(const cJSON *o, const char *name)
{
	const cJSON *n = cJSON_GetObjectItemCaseSensitive(o, name);
	return cJSON_IsNumber(n) && n->valuedouble > 0 ? n->valuedouble : 0;
}

static struct machine_limits limits_of(const cJSON *o)
{
	const cJSON *peak = cJSON_GetObjectItemCaseSensitive(o, "peak"),
	            *exps = cJSON_GetObjectItemCaseSensitive(o, "exps"),
	            *read = cJSON_GetObjectItemCaseSensitive(o, "read");
	struct machine_limits l = {.clock = number(o, "clock"), .read_all = number(o, "read_all")};
	for (enum isa i = 0; i < HOST_ISAS; i++) {
		const cJSON *of = cJSON_GetObjectItemCaseSensitive(peak, isa_info[i].name);
		for (enum operand_type t = 0; t < OPERANDS; t++)
			l.peak[i][t] = number(of, operand_type_name[t]);
		l.exps[i] = number(exps, isa_info[i].name);
	}
	for (int i = 0; i < READS; i++)
		l.read[i] = number(read, read_name[i]);
	return l;
}

static struct cache_env machine_env(struct arena *a, const struct machine *m)
{
	return (struct cache_env){
	        .hardware = machine_key(a, m), .arch = machine_arch(a, m), .isa = isa_info[m->isa].name};
}

static bool find(struct attune_context *c, struct arena *a)
{
	struct machine *m = &c->machine;
	struct cache_env e = machine_env(a, m);
	const char *facts = cache_find_facts(context_cache(c), a, &e);
	cJSON *all = facts ? cJSON_Parse(facts) : NULL;
	struct machine_limits l = limits_of(cJSON_GetObjectItemCaseSensitive(all, "limits"));
	cJSON_Delete(all);
	for (enum isa i = 0; i < HOST_ISAS; i++) /* older ones know fewer */
		if (isa_runs_on(i, m->isa) && l.exps[i] <= 0)
			return false;
	if (l.clock <= 0 || l.peak[m->isa][OPERAND_COMPUTE] <= 0 || l.read[READ_MEMORY] <= 0 || l.read_all <= 0)
		return false;
	m->limits = l;
	m->peak_flops = l.peak[m->isa][OPERAND_COMPUTE];
	m->bandwidth = l.read[READ_MEMORY];
	return true;
}

static void keep(struct attune_context *c, struct arena *a)
{
	const struct machine *m = &c->machine;
	struct cache_env e = machine_env(a, m);
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "model", m->model_name);
	cJSON_AddNumberToObject(o, "cores", m->cores);
	cJSON_AddItemToObject(o, "limits", limits_json(&m->limits));
	char *text = cJSON_PrintUnformatted(o);
	e.facts = text;
	if (text && cache_state(context_cache(c)) == CACHE_WRITABLE)
		cache_put_facts(context_cache(c), &e);
	cJSON_free(text);
	cJSON_Delete(o);
}

static enum attune_status measure(void *data, struct arena *a, struct attune_error *error)
{
	(void)error;
	struct attune_context *c = data;
	machine_measure(&c->machine);
	keep(c, a);
	return ATTUNE_OK;
}

static enum attune_status recall(void *data, struct arena *a, struct attune_error *error)
{
	(void)error;
	return find(data, a) ? ATTUNE_OK : ATTUNE_SYSTEM;
}

void context_measure(struct attune_context *c, bool again)
{
	if (context_on_device(c) || (!again && c->machine.peak_flops > 0))
		return;
	/* What cannot be kept is measured all the same. */
	if (again || runtime_try(recall, c, NULL))
		runtime_try(measure, c, NULL);
}
