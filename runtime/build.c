/* build.c: a kernel ahead of time, as files that need nothing of attune. */
#include "runtime/build.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

struct file {
	const char *name;
	const void *bytes;
	size_t size;
};

/* Under another name first, so that a reader sees the old file or the new one. */
static bool write_file(struct arena *a, const char *directory, const struct file *f,
                       struct attune_error *error)
{
	const char *path = arena_printf(a, "%s/%s", directory, f->name);
	char *temporary = arena_printf(a, "%s.XXXXXX", path);
	int fd = mkstemp(temporary);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "wb");
	bool good = out && fwrite(f->bytes, 1, f->size, out) == f->size;
	good = good && !fchmod(fd, 0644);
	if (out)
		good = !fclose(out) && good;
	else if (fd >= 0)
		close(fd);
	if (good && !rename(temporary, path))
		return true;
	runtime_fail(error, ATTUNE_SYSTEM, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		unlink(temporary);
	return false;
}

static bool is_identifier(const char *s)
{
	if (!isalpha((unsigned char)*s) && *s != '_')
		return false;
	while (isalnum((unsigned char)*s) || *s == '_')
		s++;
	return !*s;
}

static cJSON *tensors_json(const struct attune_program *p)
{
	cJSON *list = cJSON_CreateArray();
	for (int i = 0; i < p->ntensors; i++) {
		const struct attune_tensor *t = &p->tensor[i];
		cJSON *one = cJSON_CreateObject(), *shape = cJSON_CreateArray();
		cJSON_AddStringToObject(one, "name", t->name);
		cJSON_AddStringToObject(one, "role", t->role == ATTUNE_IN ? "in" : "out");
		cJSON_AddStringToObject(one, "type", t->type);
		for (int k = 0; k < t->ndim; k++)
			cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->shape[k]));
		cJSON_AddItemToObject(one, "shape", shape);
		cJSON_AddItemToArray(list, one);
	}
	return list;
}

/* What is known of the schedule from the cache: an exact winner was verified against the oracle and timed. */
static cJSON *evidence_json(struct attune_context *c, struct arena *a, const struct variant *v)
{
	cJSON *e = cJSON_CreateObject();
	struct cache_trial trial;
	bool found = cache_find_trial(context_cache(c), a, &v->key, v->choice.source_key, &trial) == CACHE_OK;
	cJSON_AddBoolToObject(e, "verified", found && trial.verified);
	if (!found)
		return e;
	cJSON_AddNumberToObject(e, "largest_error", trial.error);
	cJSON_AddNumberToObject(e, "seconds", trial.seconds);
	cJSON_AddNumberToObject(e, "ratio_to_default", trial.ratio);
	cJSON_AddNumberToObject(e, "runs", trial.runs);
	return e;
}

static const char *manifest(struct arena *a, const struct attune_program *p, const struct variant *v,
                            const struct build *b, const struct file *file, int nfiles)
{
	cJSON *m = cJSON_CreateObject(), *files = cJSON_CreateObject();
	cJSON_AddStringToObject(m, "name", b->name);
	cJSON_AddStringToObject(m, "attune", ATTUNE_VERSION);
	cJSON_AddStringToObject(m, "kernel", attune_program_name(p));
	cJSON_AddStringToObject(m, "cascade", p->digest);
	cJSON_AddStringToObject(m, "shape", b->shape);
	cJSON_AddStringToObject(m, "isa", isa_info[v->choice.schedule.isa].name);
	cJSON_AddStringToObject(m, "march", isa_info[v->choice.schedule.isa].march);
	cJSON_AddStringToObject(m, "toolchain", v->key.env.toolchain);
	cJSON_AddStringToObject(m, "codegen", codegen_digest());
	cJSON_AddStringToObject(m, "source", v->choice.source_key);
	cJSON_AddStringToObject(m, "origin", v->origin);
	cJSON_AddStringToObject(m, "schedule", v->choice.text);
	cJSON_AddNumberToObject(m, "workspace_bytes", (double)(b->work_bytes + b->scratch_bytes));
	cJSON_AddItemToObject(m, "tensors", tensors_json(p));
	cJSON_AddItemToObject(m, "evidence", evidence_json(p->context, a, v));
	for (int i = 0; i < nfiles; i++)
		cJSON_AddStringToObject(files, file[i].name, digest_text(a, file[i].bytes, file[i].size));
	cJSON_AddItemToObject(m, "files", files);
	char *text = cJSON_Print(m);
	cJSON_Delete(m);
	char *kept = text ? arena_printf(a, "%s\n", text) : NULL;
	cJSON_free(text);
	return kept;
}

static const char *package_text(struct arena *a, const struct build *b)
{
	return arena_printf(a,
	                    "prefix=${pcfiledir}\n\n"
	                    "Name: %s\n"
	                    "Description: kernel for %s\n"
	                    "Version: %s\n"
	                    "Cflags: -I${prefix}\n"
	                    "Libs: -L${prefix} -l%s -lm\n",
	                    b->name, b->shape, ATTUNE_VERSION, b->name);
}

struct build_job {
	struct attune_program *program;
	const struct attune_build_options *options;
	char **manifest;
	struct object object;
};

static enum attune_status run_build(void *data, struct arena *a, struct attune_error *error)
{
	struct build_job *job = data;
	struct attune_program *p = job->program;
	struct variant v;
	struct tune_place place;
	enum attune_status status = program_variant(p, a, job->options->schedule, false, FOR_CODE, &v, error);
	object_free(&v.choice.object); /* the calling functions are compiled with the kernel */
	if (status || (status = context_place(p->context, a, &place, error)))
		return status;
	if (place.target != &target_clang)
		return runtime_fail(error, ATTUNE_USAGE, "target %s makes no object files; build needs clang",
		                    place.target->name);
	const char *name = job->options->name ? job->options->name : attune_program_name(p);
	if (!is_identifier(name))
		return runtime_fail(error, ATTUNE_USAGE, "'%s' can name no C function; give another name",
		                    name);
	struct build b = {
	        .name = name,
	        .kernel = attune_program_name(p),
	        .shape = program_shape(p, a),
	        .origin = v.origin,
	        .isa = v.choice.schedule.isa,
	        .tensor = p->tensor,
	        .ntensors = p->ntensors,
	        .source = &v.choice.source,
	};
	build_sizes(&b);
	struct text source, header, why;
	text_init(&source, a);
	text_init(&header, a);
	text_init(&why, a);
	build_source(&b, &source);
	build_header(&b, &header);
	if (!place.target->compile(source.s, &v.choice.options, &job->object, &why))
		return runtime_fail(error, ATTUNE_SYSTEM, "%s could not compile the kernel:\n%s",
		                    place.target->name, why.s);
	struct text archive;
	text_init(&archive, a);
	build_archive(&b, job->object.bytes, job->object.size, &archive);
	const char *package = package_text(a, &b);
	struct file file[] = {
	        {arena_printf(a, "%s.c", name), source.s, source.len},
	        {arena_printf(a, "%s.h", name), header.s, header.len},
	        {arena_printf(a, "%s.o", name), job->object.bytes, job->object.size},
	        {arena_printf(a, "lib%s.a", name), archive.s, archive.len},
	        {arena_printf(a, "%s.pc", name), package, strlen(package)},
	        {"manifest.json", NULL, 0},
	};
	enum { FILES = sizeof file / sizeof *file };
	const char *text = manifest(a, p, &v, &b, file, FILES - 1);
	if (!text)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	file[FILES - 1].bytes = text;
	file[FILES - 1].size = strlen(text);
	if (mkdir(job->options->directory, 0777) && errno != EEXIST)
		return runtime_fail(error, ATTUNE_SYSTEM, "%s: %s", job->options->directory, strerror(errno));
	for (int i = 0; i < FILES; i++)
		if (!write_file(a, job->options->directory, &file[i], error))
			return ATTUNE_SYSTEM;
	struct text give = {.s = (char *)file[FILES - 1].bytes, .len = file[FILES - 1].size};
	return job->manifest ? runtime_give(&give, job->manifest, error) : ATTUNE_OK;
}

enum attune_status attune_build(struct attune_program *p, const struct attune_build_options *options,
                                char **manifest_text, struct attune_error *error)
{
	if (!options || !options->directory)
		return runtime_fail(error, ATTUNE_USAGE, "there is no folder to build in");
	struct build_job job = {.program = p, .options = options, .manifest = manifest_text};
	enum attune_status status = runtime_try(run_build, &job, error);
	object_free(&job.object);
	return status;
}
