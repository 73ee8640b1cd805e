#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "gpu/pack.h"

enum { FORMAT = 1 };

void pack_free(struct pack *p)
{
	cJSON_Delete(p->json);
	p->json = NULL;
}

static const char *path_of(struct arena *a, const char *directory, const char *file)
{
	return arena_printf(a, "%s/%s", directory, file);
}

static bool write_file(struct arena *a, const char *path, const void *bytes, size_t size, struct text *why)
{
	const char *part = arena_printf(a, "%s.part", path);
	FILE *f = fopen(part, "wbe");
	bool good = f && fwrite(bytes, 1, size, f) == size;
	good = f && !fclose(f) && good && !rename(part, path);
	if (!good)
		text_printf(why, "%s: %s", path, strerror(errno));
	return good;
}

/* ---- objects ---- */

const char *object_file(struct arena *a, const struct object *o)
{
	return arena_printf(a, "%.24s.obj", digest_text(a, o->bytes, o->size));
}

bool object_write(const char *directory, const char *file, const struct object *o, struct text *why)
{
	return write_file(why->arena, path_of(why->arena, directory, file), o->bytes, o->size, why);
}

bool object_read(const char *directory, const char *file, struct object *o, struct text *why)
{
	size_t size;
	const char *path = path_of(why->arena, directory, file);
	const char *bytes = file_read(why->arena, path, &size, why);
	*o = (struct object){.bytes = bytes ? malloc(size + 1) : NULL, .size = size};
	if (!o->bytes)
		return false;
	memcpy(o->bytes, bytes, size + 1);
	if (!strcmp(object_file(why->arena, o), file))
		return true;
	text_printf(why, "%s is not what the pack was made with: make it anew, 'make gpu-pack'", path);
	object_free(o);
	return false;
}

void kernel_add(const struct pack_kernel *k, cJSON *json)
{
	cJSON_AddStringToObject(json, "role", kernel_role_name[k->role]);
	cJSON_AddNumberToObject(json, "capability", k->capability);
	cJSON_AddStringToObject(json, "schedule", k->schedule);
	cJSON_AddStringToObject(json, "digest", k->source.digest);
	cJSON_AddNumberToObject(json, "registers", k->registers);
	cJSON_AddNumberToObject(json, "blocks", k->blocks);
	if (k->model > 0)
		cJSON_AddNumberToObject(json, "model", k->model);
}

static bool has_object(const struct pack *p, const char *file)
{
	for (uint32_t i = 0; i < p->probe.n; i++)
		if (!strcmp(p->probe.v[i].file, file))
			return true;
	for (uint32_t i = 0; i < p->cases.n; i++)
		for (uint32_t k = 0; k < p->cases.v[i].kernel.n; k++)
			if (!strcmp(p->cases.v[i].kernel.v[k].file, file))
				return true;
	return false;
}

double objects_tidy(const char *directory, const struct pack *p, struct arena *a)
{
	DIR *d = opendir(directory);
	struct dirent *e;
	struct stat s;
	double bytes = 0;
	while (d && (e = readdir(d))) {
		size_t n = strlen(e->d_name);
		const char *path = path_of(a, directory, e->d_name);
		if (n < 4 || strcmp(e->d_name + n - 4, ".obj"))
			continue;
		if (!has_object(p, e->d_name))
			unlink(path);
		else if (!stat(path, &s))
			bytes += (double)s.st_size;
	}
	if (d)
		closedir(d);
	return bytes;
}

/* ---- kernels ---- */

cJSON *kernel_json(const struct pack_kernel *k)
{
	cJSON *json = cJSON_CreateObject(), *phases = cJSON_CreateArray(), *arguments = cJSON_CreateArray();
	cJSON_AddStringToObject(json, "file", k->file);
	kernel_add(k, json);
	cJSON_AddNumberToObject(json, "work", (double)k->source.work_bytes);
	for (int i = 0; i < k->source.nphases; i++) {
		const struct kernel_phase *p = &k->source.phase[i];
		cJSON *phase = cJSON_CreateObject();
		cJSON_AddStringToObject(phase, "symbol", p->symbol);
		cJSON_AddNumberToObject(phase, "tasks", (double)p->tasks);
		cJSON_AddNumberToObject(phase, "threads", p->threads);
		cJSON_AddNumberToObject(phase, "shared", (double)p->shared_bytes);
		cJSON_AddItemToArray(phases, phase);
	}
	for (int i = 0; i < k->source.narguments; i++) {
		cJSON *argument = cJSON_CreateObject();
		cJSON_AddNumberToObject(argument, "align", k->source.argument[i].align);
		cJSON_AddBoolToObject(argument, "unit", k->source.argument[i].unit);
		cJSON_AddItemToArray(arguments, argument);
	}
	cJSON_AddItemToObject(json, "phases", phases);
	cJSON_AddItemToObject(json, "arguments", arguments);
	return json;
}

/* Members that must be there; the first that is not makes `good` false. */
static const char *text_member(const cJSON *json, const char *name, bool *good)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(json, name);
	*good = *good && cJSON_IsString(x);
	return cJSON_IsString(x) ? x->valuestring : "";
}

static double number_member(const cJSON *json, const char *name, double least, double most, bool *good)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(json, name);
	bool fits = cJSON_IsNumber(x) && x->valuedouble >= least && x->valuedouble <= most;
	*good = *good && fits;
	return fits ? x->valuedouble : least;
}

bool kernel_read(struct arena *a, const cJSON *json, struct pack_kernel *k)
{
	bool good = true;
	const cJSON *phases = cJSON_GetObjectItemCaseSensitive(json, "phases"), *x;
	const cJSON *arguments = cJSON_GetObjectItemCaseSensitive(json, "arguments");
	const char *role = text_member(json, "role", &good);
	*k = (struct pack_kernel){.role = KERNEL_ROLES,
	                          .capability = (int)number_member(json, "capability", 0, 1000, &good),
	                          .schedule = text_member(json, "schedule", &good),
	                          .file = text_member(json, "file", &good),
	                          .registers = (int)number_member(json, "registers", 0, 1 << 16, &good),
	                          .blocks = (int)number_member(json, "blocks", -1, 1 << 16, &good)};
	const cJSON *model = cJSON_GetObjectItemCaseSensitive(json, "model");
	k->model = cJSON_IsNumber(model) ? model->valuedouble : 0;
	for (int i = 0; i < KERNEL_ROLES; i++)
		if (!strcmp(role, kernel_role_name[i]))
			k->role = (enum kernel_role)i;
	struct kernel_source *s = &k->source;
	s->digest = text_member(json, "digest", &good);
	s->device = true;
	s->work_bytes = (int64_t)number_member(json, "work", 0, 1e13, &good);
	s->phase = arena_new_array(a, (size_t)cJSON_GetArraySize(phases) + 1, struct kernel_phase);
	s->argument = arena_new_array(a, (size_t)cJSON_GetArraySize(arguments) + 1, struct kernel_argument);
	cJSON_ArrayForEach(x, phases) s->phase[s->nphases++] =
	        (struct kernel_phase){.symbol = text_member(x, "symbol", &good),
	                              .tasks = (long)number_member(x, "tasks", 0, 0x7fffffff, &good),
	                              .threads = (int)number_member(x, "threads", 1, 1024, &good),
	                              .shared_bytes = (int64_t)number_member(x, "shared", 0, 1 << 20, &good)};
	cJSON_ArrayForEach(x, arguments) s->argument[s->narguments++] =
	        (struct kernel_argument){.align = (int)number_member(x, "align", 0, 256, &good),
	                                 .unit = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(x, "unit"))};
	return good && k->role < KERNEL_ROLES && s->nphases && !strchr(k->file, '/');
}

/* ---- the whole ---- */

static cJSON *case_json(const struct pack_case *c)
{
	cJSON *json = cJSON_Duplicate(c->json, true), *kernels = cJSON_CreateArray();
	static const char *const own[] = {"name", "text", "flops", "bytes", "kernels"};
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		cJSON_DeleteItemFromObjectCaseSensitive(json, own[i]);
	cJSON_AddStringToObject(json, "name", c->name);
	cJSON_AddStringToObject(json, "text", c->text);
	cJSON_AddNumberToObject(json, "flops", c->flops);
	cJSON_AddNumberToObject(json, "bytes", c->bytes);
	for (uint32_t i = 0; i < c->kernel.n; i++)
		cJSON_AddItemToArray(kernels, kernel_json(&c->kernel.v[i]));
	cJSON_AddItemToObject(json, "kernels", kernels);
	return json;
}

bool pack_write(const char *directory, const struct pack *p, struct text *why)
{
	cJSON *json = cJSON_CreateObject(), *cases = cJSON_CreateArray(), *probes = cJSON_CreateArray();
	cJSON_AddNumberToObject(json, "attune_gpu_pack", FORMAT);
	cJSON_AddStringToObject(json, "target", p->target);
	cJSON_AddStringToObject(json, "toolchain", p->toolchain);
	for (uint32_t i = 0; i < p->probe.n; i++)
		cJSON_AddItemToArray(probes, kernel_json(&p->probe.v[i]));
	for (uint32_t i = 0; i < p->cases.n; i++)
		cJSON_AddItemToArray(cases, case_json(&p->cases.v[i]));
	cJSON_AddItemToObject(json, "probes", probes);
	cJSON_AddItemToObject(json, "cases", cases);
	char *text = cJSON_Print(json);
	cJSON_Delete(json);
	bool good = text && write_file(why->arena, path_of(why->arena, directory, "manifest.json"), text,
	                               strlen(text), why);
	free(text);
	return good;
}

static bool read_kernels(struct arena *a, const cJSON *list, struct pack_case *c)
{
	const cJSON *x;
	cJSON_ArrayForEach(x, list)
	{
		struct pack_kernel k;
		if (!kernel_read(a, x, &k))
			return false;
		vec_push(a, &c->kernel, k);
	}
	return true;
}

static bool read_members(struct arena *a, struct pack *p, struct text *why)
{
	bool good = true;
	const cJSON *x;
	struct pack_case probes = {0};
	p->target = text_member(p->json, "target", &good);
	p->toolchain = text_member(p->json, "toolchain", &good);
	good = good && read_kernels(a, cJSON_GetObjectItemCaseSensitive(p->json, "probes"), &probes);
	for (uint32_t i = 0; i < probes.kernel.n; i++)
		vec_push(a, &p->probe, probes.kernel.v[i]);
	cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(p->json, "cases"))
	{
		struct pack_case c;
		good = good && case_read(a, x, &c, why) &&
		       read_kernels(a, cJSON_GetObjectItemCaseSensitive(x, "kernels"), &c);
		if (good)
			vec_push(a, &p->cases, c);
	}
	return good;
}

bool pack_read(struct arena *a, const char *directory, struct pack *p, struct text *why)
{
	const char *path = path_of(a, directory, "manifest.json");
	const char *text = file_read(a, path, NULL, why);
	*p = (struct pack){.arena = a, .json = text ? cJSON_Parse(text) : NULL};
	if (!text) {
		text_add(why, "; a pack is made by 'make gpu-pack', on any machine with NVRTC");
		return false;
	}
	const cJSON *format = cJSON_GetObjectItemCaseSensitive(p->json, "attune_gpu_pack");
	if (cJSON_IsNumber(format) && format->valueint != FORMAT)
		text_printf(why, "%s is of format %d, this attune reads %d", path, format->valueint, FORMAT);
	else if (cJSON_IsNumber(format) && read_members(a, p, why))
		return true;
	else if (!why->len)
		text_printf(why, "%s is damaged", path);
	text_add(why, ": make it anew, 'make gpu-pack'");
	pack_free(p);
	return false;
}
