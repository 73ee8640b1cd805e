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

static cJSON *tensors_json(const struct attune_program *p, const struct kernel_source *source)
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
		if (source->device) {
			cJSON_AddNumberToObject(one, "align", source->argument[i].align > 1 ? source->argument[i].align : 1);
			cJSON_AddBoolToObject(one, "unit", source->argument[i].unit);
		}
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
                            const struct build *b, const struct resources *resources,
                            const struct file *file, int nfiles)
{
	cJSON *m = cJSON_CreateObject(), *files = cJSON_CreateObject();
	cJSON_AddStringToObject(m, "name", b->name);
	cJSON_AddStringToObject(m, "attune", ATTUNE_VERSION);
	cJSON_AddStringToObject(m, "kernel", attune_program_name(p));
	cJSON_AddStringToObject(m, "cascade", p->digest);
	cJSON_AddStringToObject(m, "shape", b->shape);
	cJSON_AddStringToObject(m, "isa", isa_info[v->choice.schedule.isa].name);
	cJSON_AddStringToObject(m, "march", b->arch ? b->arch : isa_info[v->choice.schedule.isa].march);
	cJSON_AddStringToObject(m, "toolchain", v->key.env.toolchain);
	cJSON_AddStringToObject(m, "codegen", codegen_digest());
	cJSON_AddStringToObject(m, "source", v->choice.source_key);
	cJSON_AddStringToObject(m, "origin", v->origin);
	cJSON_AddStringToObject(m, "schedule", v->choice.text);
	cJSON_AddNumberToObject(m, "workspace_bytes", (double)(b->work_bytes + b->scratch_bytes));
	cJSON_AddItemToObject(m, "tensors", tensors_json(p, b->source));
	if (b->arch)
		cJSON_AddItemToObject(m, "phases", device_phases_json(b->source, resources));
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

enum { MAX_FILES = 6 };

static enum attune_status compile(struct build_job *job, const struct tune_place *place, const struct variant *v,
                                  const char *text, struct arena *a, struct attune_error *error)
{
	struct text why;
	text_init(&why, a);
	return place->target->compile(text, &v->choice.options, &job->object, &why)
	               ? ATTUNE_OK
	               : runtime_fail(error, ATTUNE_SYSTEM, "%s could not compile the kernel:\n%s", place->target->name,
	                              why.s);
}

/* All files but the manifest; how many there are, or 0 after an error. */
static int processor_files(struct build_job *job, const struct tune_place *place, const struct variant *v,
                           struct build *b, struct arena *a, struct file *file, struct attune_error *error)
{
	struct text source, header, archive;
	text_init(&source, a);
	text_init(&header, a);
	text_init(&archive, a);
	build_source(b, &source);
	build_header(b, &header);
	if (compile(job, place, v, source.s, a, error))
		return 0;
	build_archive(b, job->object.bytes, job->object.size, &archive);
	const char *package = package_text(a, b);
	const struct file list[] = {
	        {arena_printf(a, "%s.c", b->name), source.s, source.len},
	        {arena_printf(a, "%s.h", b->name), header.s, header.len},
	        {arena_printf(a, "%s.o", b->name), job->object.bytes, job->object.size},
	        {arena_printf(a, "lib%s.a", b->name), archive.s, archive.len},
	        {arena_printf(a, "%s.pc", b->name), package, strlen(package)},
	};
	memcpy(file, list, sizeof list);
	return sizeof list / sizeof *list;
}

static int device_files(struct build_job *job, const struct tune_place *place, const struct variant *v,
                        struct build *b, struct arena *a, struct file *file, struct attune_error *error)
{
	struct text source, header;
	text_init(&source, a);
	text_init(&header, a);
	if (compile(job, place, v, b->source->text, a, error))
		return 0;
	text_printf(&source, "%s\n%s", place->target->device->prelude, b->source->text);
	build_device_header(b, &header);
	const struct file list[] = {
	        {arena_printf(a, "%s.cu", b->name), source.s, source.len},
	        {arena_printf(a, "%s.h", b->name), header.s, header.len},
	        {arena_printf(a, "%s.%s.cubin", b->name, b->arch), job->object.bytes, job->object.size},
	};
	memcpy(file, list, sizeof list);
	return sizeof list / sizeof *list;
}

static enum attune_status check_buildable(const struct tune_place *place, const struct variant *v, const char *name,
                                          struct attune_error *error)
{
	if (place->target->device ? place->target->device->emulated : place->target != &target_clang)
		return runtime_fail(error, ATTUNE_USAGE, "target %s makes no %s; build needs %s", place->target->name,
		                    place->target->device ? "code for a device" : "object files",
		                    place->target->device ? "cuda" : "clang");
	if (!v->choice.source.text)
		return runtime_fail(error, ATTUNE_PROGRAM, "there is no kernel for this schedule: %s",
		                    v->choice.source.reason);
	if (!is_identifier(name))
		return runtime_fail(error, ATTUNE_USAGE, "'%s' can name no C function; give another name", name);
	return ATTUNE_OK;
}

static enum attune_status run_build(void *data, struct arena *a, struct attune_error *error)
{
	struct build_job *job = data;
	struct attune_program *p = job->program;
	struct variant v;
	struct tune_place place;
	enum attune_status status = program_variant(p, a, job->options->schedule, false, FOR_CODE, &v, error);
	object_free(&v.choice.object); /* the calling functions are compiled with the kernel */
	const char *name = job->options->name ? job->options->name : attune_program_name(p);
	if (status || (status = context_place(p->context, a, &place, error)) ||
	    (status = check_buildable(&place, &v, name, error)))
		return status;
	const struct target_device *device = place.target->device;
	struct build b = {
	        .name = name,
	        .kernel = attune_program_name(p),
	        .shape = program_shape(p, a),
	        .origin = v.origin,
	        .isa = v.choice.schedule.isa,
	        .arch = device ? arena_printf(a, "sm_%d", place.machine->capability) : NULL,
	        .tensor = p->tensor,
	        .ntensors = p->ntensors,
	        .source = &v.choice.source,
	};
	build_sizes(&b);
	struct file file[MAX_FILES];
	int files = (device ? device_files : processor_files)(job, &place, &v, &b, a, file, error);
	if (!files)
		return ATTUNE_SYSTEM;
	const struct resources *resources =
	        device && device->resources ? device->resources(a, &job->object, b.source, &v.choice.options) : NULL;
	const char *text = manifest(a, p, &v, &b, resources, file, files);
	if (!text)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	file[files++] = (struct file){"manifest.json", text, strlen(text)};
	if (mkdir(job->options->directory, 0777) && errno != EEXIST)
		return runtime_fail(error, ATTUNE_SYSTEM, "%s: %s", job->options->directory, strerror(errno));
	for (int i = 0; i < files; i++)
		if (!write_file(a, job->options->directory, &file[i], error))
			return ATTUNE_SYSTEM;
	struct text give = {.s = (char *)text, .len = strlen(text)};
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
