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

/* What one kernel of the library is. */
static void add_form(cJSON *m, struct attune_context *c, struct arena *a, const struct variant *v,
                     const struct build *b)
{
	cJSON_AddStringToObject(m, "isa", isa_info[b->isa].name);
	cJSON_AddStringToObject(m, "march", b->arch ? b->arch : isa_info[b->isa].march);
	cJSON_AddStringToObject(m, "toolchain", v->key.env.toolchain);
	cJSON_AddStringToObject(m, "codegen", codegen_digest());
	cJSON_AddStringToObject(m, "source", v->choice.source_key);
	cJSON_AddStringToObject(m, "origin", v->origin);
	cJSON_AddStringToObject(m, "schedule", v->choice.text);
	cJSON_AddNumberToObject(m, "workspace_bytes", (double)(b->work_bytes + b->scratch_bytes));
	cJSON_AddItemToObject(m, "evidence", evidence_json(c, a, v));
}

/* That of the best form, and a list of all where there are several. */
static const char *manifest(struct arena *a, const struct attune_program *p, const struct variant *v,
                            const struct build *form, int forms, const struct resources *resources,
                            const struct file *file, int nfiles)
{
	cJSON *m = cJSON_CreateObject(), *files = cJSON_CreateObject();
	cJSON_AddStringToObject(m, "name", form->library);
	cJSON_AddStringToObject(m, "attune", ATTUNE_VERSION);
	cJSON_AddStringToObject(m, "kernel", attune_program_name(p));
	cJSON_AddStringToObject(m, "cascade", p->digest);
	cJSON_AddStringToObject(m, "shape", form->shape);
	add_form(m, p->context, a, v, form);
	cJSON_AddItemToObject(m, "tensors", tensors_json(p, form->source));
	if (form->arch)
		cJSON_AddItemToObject(m, "phases", device_phases_json(form->source, resources));
	cJSON *list = forms > 1 ? cJSON_AddArrayToObject(m, "forms") : NULL;
	for (int i = 0; list && i < forms; i++) {
		cJSON *one = cJSON_CreateObject();
		add_form(one, p->context, a, &v[i], &form[i]);
		cJSON_AddItemToArray(list, one);
	}
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
	                    b->library, b->shape, ATTUNE_VERSION, b->library);
}

enum { MAX_FILES = 2 * (MOST_FORMS + 1) + 4 };

struct build_job {
	struct attune_program *program;
	const struct attune_build_options *options;
	char **manifest;
	struct tune_place place;
	int forms; /* the best first */
	struct variant variant[MOST_FORMS];
	struct build form[MOST_FORMS];
	struct object object[MOST_FORMS + 1]; /* one a form, then the one that chooses, if there is one */
	int files;
	struct file file[MAX_FILES];
};

static void add_file(struct build_job *job, const char *name, const void *bytes, size_t size)
{
	job->file[job->files++] = (struct file){name, bytes, size};
}

static enum attune_status compile(struct build_job *job, const char *text, const struct target_options *options,
                                  struct object *object, struct arena *a, struct attune_error *error)
{
	struct text why;
	text_init(&why, a);
	return job->place.target->compile(text, options, object, &why)
	               ? ATTUNE_OK
	               : runtime_fail(error, ATTUNE_SYSTEM, "%s could not compile the kernel:\n%s",
	                              job->place.target->name, why.s);
}

/* A form's text and object, named as its functions. */
static enum attune_status form_files(struct build_job *job, int i, struct arena *a, struct attune_error *error)
{
	const struct build *b = &job->form[i];
	struct text source;
	text_init(&source, a);
	build_source(b, &source);
	if (compile(job, source.s, &job->variant[i].choice.options, &job->object[i], a, error))
		return ATTUNE_SYSTEM;
	add_file(job, arena_printf(a, "%s.c", b->name), source.s, source.len);
	add_file(job, arena_printf(a, "%s.o", b->name), job->object[i].bytes, job->object[i].size);
	return ATTUNE_OK;
}

static enum attune_status choice_files(struct build_job *job, struct arena *a, struct attune_error *error)
{
	struct target_options options = job->variant[0].choice.options;
	struct object *object = &job->object[job->forms];
	struct text source;
	text_init(&source, a);
	build_choice(job->form, job->forms, &source);
	options.isa = ISA_SCALAR; /* what every processor runs */
	if (compile(job, source.s, &options, object, a, error))
		return ATTUNE_SYSTEM;
	add_file(job, arena_printf(a, "%s.c", job->form->library), source.s, source.len);
	add_file(job, arena_printf(a, "%s.o", job->form->library), object->bytes, object->size);
	return ATTUNE_OK;
}

/* All files but the manifest. */
static enum attune_status processor_files(struct build_job *job, struct arena *a, struct attune_error *error)
{
	const struct build *b = job->form;
	struct text header, archive;
	struct build_member member[MOST_FORMS + 1];
	enum attune_status status = ATTUNE_OK;
	const bool chooses = build_chooses(b, job->forms);
	int members = job->forms + chooses;
	text_init(&header, a);
	text_init(&archive, a);
	build_header(b, job->forms, &header);
	add_file(job, arena_printf(a, "%s.h", b->library), header.s, header.len);
	for (int i = 0; !status && i < members; i++) {
		bool choice = i == job->forms;
		status = choice ? choice_files(job, a, error) : form_files(job, i, a, error);
		member[i] = (struct build_member){
		        .name = choice || !chooses ? "kernel.o" : arena_printf(a, "%s.o", isa_info[b[i].isa].name),
		        .bytes = job->object[i].bytes,
		        .size = job->object[i].size,
		        .symbols = choice ? build_choice_symbols(b, a) : build_symbols(&b[i], a)};
	}
	if (status)
		return status;
	build_archive(member, members, &archive);
	const char *package = package_text(a, b);
	add_file(job, arena_printf(a, "lib%s.a", b->library), archive.s, archive.len);
	add_file(job, arena_printf(a, "%s.pc", b->library), package, strlen(package));
	return ATTUNE_OK;
}

static enum attune_status device_files(struct build_job *job, struct arena *a, struct attune_error *error)
{
	const struct build *b = job->form;
	struct text source, header;
	text_init(&source, a);
	text_init(&header, a);
	if (compile(job, b->source->text, &job->variant->choice.options, job->object, a, error))
		return ATTUNE_SYSTEM;
	text_printf(&source, "%s\n%s", job->place.target->device->prelude, b->source->text);
	build_device_header(b, &header);
	add_file(job, arena_printf(a, "%s.cu", b->name), source.s, source.len);
	add_file(job, arena_printf(a, "%s.h", b->name), header.s, header.len);
	add_file(job, arena_printf(a, "%s.%s.cubin", b->name, b->arch), job->object->bytes, job->object->size);
	return ATTUNE_OK;
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

/* A kernel for each ISA that was asked for: of a list those; else of a given schedule, a device or a context for one
 * ISA that one; else the best here and those below it. */
static enum attune_status choose_forms(struct build_job *job, struct arena *a, struct attune_error *error)
{
	struct attune_program *p = job->program;
	const struct attune_build_options *o = job->options;
	enum isa isa[MOST_FORMS];
	enum attune_status status = context_place(p->context, a, &job->place, error);
	if (status)
		return status;
	if (o->isas && (job->place.target->device || o->schedule))
		return runtime_fail(error, ATTUNE_USAGE, "a list of ISAs goes neither with a schedule, which is of one, nor "
		                                         "with a device");
	if (!o->isas && (job->place.target->device || o->schedule || p->context->isa_given)) {
		job->forms = 1;
		return program_variant(p, a, o->schedule, false, FOR_CODE, job->variant, error);
	}
	job->forms = o->isas ? build_isas(o->isas, isa, error) : build_isas_here(job->place.isa, isa);
	status = job->forms ? ATTUNE_OK : ATTUNE_USAGE;
	for (int i = 0; !status && i < job->forms; i++)
		status = program_variant_for(p, a, isa[i], &job->variant[i], error);
	return status;
}

static enum attune_status prepare_form(struct build_job *job, int i, const char *name, struct arena *a,
                                       struct attune_error *error)
{
	struct attune_program *p = job->program;
	struct variant *v = &job->variant[i];
	enum attune_status status = check_buildable(&job->place, v, name, error);
	object_free(&v->choice.object); /* the calling functions are compiled with the kernel */
	if (status)
		return status;
	struct build *b = &job->form[i];
	*b = (struct build){
	        .name = name,
	        .library = name,
	        .kernel = attune_program_name(p),
	        .shape = program_shape(p, a),
	        .origin = v->origin,
	        .isa = v->choice.schedule.isa,
	        .arch = job->place.target->device ? arena_printf(a, "sm_%d", job->place.machine->capability) : NULL,
	        .tensor = p->tensor,
	        .ntensors = p->ntensors,
	        .source = &v->choice.source,
	};
	if (build_chooses(b, job->forms)) {
		struct tile_program renamed = *v->choice.program;
		b->name = renamed.name = arena_printf(a, "%s_%s", name, isa_info[b->isa].name);
		v->choice.source = emit_kernel(a, &renamed, b->isa, v->choice.schedule.exp_degree);
	}
	build_sizes(b);
	return ATTUNE_OK;
}

static enum attune_status run_build(void *data, struct arena *a, struct attune_error *error)
{
	struct build_job *job = data;
	struct attune_program *p = job->program;
	const char *name = job->options->name ? job->options->name : attune_program_name(p);
	enum attune_status status = choose_forms(job, a, error);
	for (int i = 0; !status && i < job->forms; i++)
		status = prepare_form(job, i, name, a, error);
	if (status)
		return status;
	const struct target_device *device = job->place.target->device;
	if ((status = (device ? device_files : processor_files)(job, a, error)))
		return status;
	const struct resources *resources = device && device->resources
	                                            ? device->resources(a, job->object, job->form->source,
	                                                                &job->variant->choice.options)
	                                            : NULL;
	const char *text = manifest(a, p, job->variant, job->form, job->forms, resources, job->file, job->files);
	if (!text)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	add_file(job, "manifest.json", text, strlen(text));
	if (mkdir(job->options->directory, 0777) && errno != EEXIST)
		return runtime_fail(error, ATTUNE_SYSTEM, "%s: %s", job->options->directory, strerror(errno));
	for (int i = 0; i < job->files; i++)
		if (!write_file(a, job->options->directory, &job->file[i], error))
			return ATTUNE_SYSTEM;
	struct text give = {.s = (char *)text, .len = strlen(text)};
	return job->manifest ? runtime_give(&give, job->manifest, error) : ATTUNE_OK;
}

enum attune_status attune_build(struct attune_program *p, const struct attune_build_options *options,
                                char **manifest_text, struct attune_error *error)
{
	if (!options || !options->directory)
		return runtime_fail(error, ATTUNE_USAGE, "there is no folder to build in");
	struct build_job *job = calloc(1, sizeof *job);
	if (!job)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	job->program = p;
	job->options = options;
	job->manifest = manifest_text;
	enum attune_status status = runtime_try(run_build, job, error);
	for (size_t i = 0; i < sizeof job->object / sizeof *job->object; i++)
		object_free(&job->object[i]);
	free(job);
	return status;
}
