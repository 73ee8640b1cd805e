/* plan.c: what a pack is to hold, from a file such as perf/gpu/plan.json:
 *
 *     {"accuracy": [FILE, …], "cases": [CASE, …]}
 *
 * Every entry of an accuracy file (tests/data/torch_errors.json) becomes a case that is not timed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gpu/pack.h"

const char *file_read(struct arena *a, const char *path, size_t *size, struct text *why)
{
	FILE *f = fopen(path, "rbe");
	struct text t;
	char part[65536];
	size_t n;
	text_init(&t, a);
	while (f && (n = fread(part, 1, sizeof part, f)) > 0)
		text_bytes(&t, part, n);
	bool good = f && !ferror(f);
	if (!good)
		text_printf(why, "%s: %s", path, strerror(errno));
	if (f)
		fclose(f);
	if (size)
		*size = t.len;
	return good ? t.s : NULL;
}

static const char *string(const cJSON *object, const char *name)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(object, name);
	return cJSON_IsString(x) ? x->valuestring : NULL;
}

static double number(const cJSON *object, const char *name)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(object, name);
	return cJSON_IsNumber(x) ? x->valuedouble : 0;
}

/* "flash_causal_gqa bf16 B=1 H=4 …" */
static const char *name_of(struct arena *a, const cJSON *json, const char *program)
{
	const char *slash = strrchr(program, '/'), *stem = slash ? slash + 1 : program;
	const cJSON *types = cJSON_GetObjectItemCaseSensitive(json, "types"), *x;
	struct text t;
	text_init(&t, a);
	text_bytes(&t, stem, strcspn(stem, "."));
	if (types && cJSON_IsString(types->child))
		text_printf(&t, " %s", types->child->valuestring);
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(json, "ranks"))
	        text_printf(&t, " %s=%d", x->string, x->valueint);
	return t.s;
}

/* Are the members of an object all of this kind? */
static bool all(const cJSON *json, const char *object, cJSON_bool (*is)(const cJSON *))
{
	const cJSON *x;
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(json, object))
	{
		if (!x->string || !is(x))
			return false;
	}
	return true;
}

bool case_read(struct arena *a, const cJSON *json, struct pack_case *c, struct text *why)
{
	const char *program = string(json, "program");
	if (!program || !all(json, "types", cJSON_IsString) || !all(json, "params", cJSON_IsNumber) ||
	    !all(json, "ranks", cJSON_IsNumber) || !all(json, "inputs", cJSON_IsObject)) {
		text_printf(
		        why,
		        "a case lacks \"program\", or its types, params, ranks or inputs are not what they "
		        "must be: names with texts, numbers, numbers, objects");
		return false;
	}
	*c = (struct pack_case){.program = program,
	                        .json = json,
	                        .name = string(json, "name") ? string(json, "name")
	                                                     : name_of(a, json, program),
	                        .text = string(json, "text"),
	                        .timed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "timed")),
	                        .candidates = (int)number(json, "candidates"),
	                        .flops = number(json, "flops"),
	                        .bytes = number(json, "bytes")};
	if (!c->text && !(c->text = file_read(a, program, NULL, why)))
		return false;
	return true;
}

static cJSON *parse(struct arena *a, const char *path, struct text *why)
{
	const char *text = file_read(a, path, NULL, why);
	cJSON *json = text ? cJSON_Parse(text) : NULL;
	if (text && !json)
		text_printf(why, "%s is no JSON", path);
	return json;
}

static bool add_cases(struct arena *a, const cJSON *list, struct pack *p, struct text *why)
{
	const cJSON *x;
	cJSON_ArrayForEach(x, list)
	{
		struct pack_case c;
		if (!case_read(a, x, &c, why))
			return false;
		vec_push(a, &p->cases, c);
	}
	return true;
}

bool plan_read(struct arena *a, const char *path, struct pack *p, struct text *why)
{
	*p = (struct pack){.arena = a, .json = parse(a, path, why)};
	cJSON *x, *accuracy = cJSON_GetObjectItemCaseSensitive(p->json, "accuracy");
	bool good = p->json && add_cases(a, cJSON_GetObjectItemCaseSensitive(p->json, "cases"), p, why);
	cJSON_ArrayForEach(x, accuracy)
	{
		cJSON *file = good && cJSON_IsString(x) ? parse(a, x->valuestring, why) : NULL;
		good = file && add_cases(a, cJSON_GetObjectItemCaseSensitive(file, "entries"), p, why);
		if (file && p->json)
			cJSON_AddItemToObject(p->json, x->valuestring, file); /* kept as long as the plan */
	}
	if (good && !p->cases.n) {
		text_printf(why, "%s has no cases", path);
		good = false;
	}
	if (!good)
		pack_free(p);
	return good;
}
