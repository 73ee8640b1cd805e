/* program.c: a text, its diagnostics, its ranks and arguments. */
#include "runtime/internal.h"

#include <stdlib.h>
#include <string.h>

#include "dsl/parse.h"

struct parse_job {
	struct attune_program *program;
	const struct attune_source *source;
};

static void collect_diagnostics(struct attune_program *p)
{
	p->ndiagnostics = (int)p->diags.list.n;
	p->diagnostic = arena_new_array(&p->arena, p->diags.list.n, struct attune_diagnostic);
	for (uint32_t i = 0; i < p->diags.list.n; i++) {
		const struct diag *g = &p->diags.list.v[i];
		struct text t;
		text_init(&t, &p->arena);
		diag_print(&p->diags, g, &t);
		p->diagnostic[i] = (struct attune_diagnostic){
		        .severity = (enum attune_severity)g->severity,
		        .file = p->diags.file,
		        .line = (int)g->line,
		        .column = (int)g->column,
		        .begin = g->span.begin,
		        .end = g->span.end,
		        .message = g->message,
		        .help = g->help,
		        .text = t.s,
		};
	}
}

static const char *declared(struct attune_program *p, const struct tensor *t)
{
	struct text s;
	text_init(&s, &p->arena);
	text_add(&s, t->name);
	text_char(&s, '[');
	struct expr_names names = cascade_names(p->cascade);
	for (int i = 0; i < t->nranks; i++) {
		text_add(&s, i ? ", " : "");
		expr_print(&p->cascade->pool, t->extent[i], &names, &s);
	}
	text_char(&s, ']');
	return s.s;
}

static void collect_tensors(struct attune_program *p)
{
	const struct cascade *c = p->cascade;
	p->tensor = arena_new_array(&p->arena, c->tensor.n, struct attune_tensor);
	p->tensor_id = arena_new_array(&p->arena, c->tensor.n, uint32_t);
	for (uint32_t i = 0; i < c->tensor.n; i++) {
		const struct tensor *t = &c->tensor.v[i];
		if (t->role == ROLE_LOCAL)
			continue;
		p->tensor_id[p->ntensors] = i;
		p->tensor[p->ntensors++] = (struct attune_tensor){
		        .name = t->name,
		        .role = t->role == ROLE_IN ? ATTUNE_IN : ATTUNE_OUT,
		        .type = dtype_info[t->dtype].spelling,
		        .dtype = dtype_dl(t->dtype),
		        .ndim = t->nranks,
		        .shape = arena_new_array(&p->arena, MAX_RANKS, int64_t),
		        .declared = declared(p, t),
		};
	}
}

void program_refresh(struct attune_program *p)
{
	for (uint32_t i = 0; i < p->cascade->rank.n; i++)
		p->rank[i] = (struct attune_rank){p->cascade->rank.v[i].name, p->cascade->rank.v[i].extent};
	for (int i = 0; i < p->ntensors; i++) {
		const struct tensor *t = &p->cascade->tensor.v[p->tensor_id[i]];
		int64_t *shape = (int64_t *)p->tensor[i].shape;
		for (int k = 0; k < t->nranks; k++)
			if (!cascade_extent(p->cascade, t->extent[k], &shape[k]))
				shape[k] = -1;
	}
}

static enum attune_status parse(void *data, struct arena *scratch, struct attune_error *error)
{
	struct parse_job *job = data;
	struct attune_program *p = job->program;
	const struct attune_source *s = job->source;
	p->arena.out_of_memory = scratch->out_of_memory;

	size_t size = s->size ? s->size : strlen(s->text);
	const char *source = arena_strndup(&p->arena, s->text, size);
	diags_init(&p->diags, &p->arena, arena_strdup(&p->arena, s->name ? s->name : "program"), source,
	           size);
	struct param *param = arena_new_array(&p->arena, (size_t)s->nparams, struct param);
	for (int i = 0; i < s->nparams; i++)
		param[i] = (struct param){arena_strdup(&p->arena, s->params[i].name), s->params[i].value};
	p->param = param;
	p->nparams = s->nparams;
	struct retype *type = arena_new_array(scratch, (size_t)s->ntypes, struct retype);
	for (int i = 0; i < s->ntypes; i++)
		type[i] = (struct retype){arena_strdup(&p->arena, s->types[i].name),
		                          arena_strdup(&p->arena, s->types[i].type)};
	struct overrides given = {param, s->nparams, type, s->ntypes};
	p->cascade = cascade_parse_with(&p->arena, source, size, &given, &p->diags);
	collect_diagnostics(p);
	if (!p->cascade)
		return runtime_fail_diags(error, ATTUNE_PROGRAM, &p->diags);
	/* The cache knows a kernel by its digest without extents, those of static ranks too. */
	struct cascade *open = cascade_clone(scratch, p->cascade);
	for (uint32_t i = 0; i < open->rank.n; i++)
		open->rank.v[i].extent = NOT_BOUND;
	p->digest = arena_strdup(&p->arena, cascade_digest(open));
	p->rank = arena_new_array(&p->arena, p->cascade->rank.n, struct attune_rank);
	p->bound_by = arena_new_array(&p->arena, p->cascade->rank.n, const char *);
	collect_tensors(p);
	program_refresh(p);
	return ATTUNE_OK;
}

enum attune_status attune_program_new(struct attune_context *context, const struct attune_source *source,
                                      struct attune_program **out, struct attune_error *error)
{
	if (!source || !source->text)
		return runtime_fail(error, ATTUNE_USAGE, "there is no program text");
	struct attune_program *p = calloc(1, sizeof *p);
	if (!p)
		return runtime_fail(error, ATTUNE_SYSTEM, "out of memory");
	p->context = context;
	arena_init(&p->arena);
	enum attune_status status = runtime_try(parse, &(struct parse_job){p, source}, error);
	if (status == ATTUNE_OK || status == ATTUNE_PROGRAM)
		*out = p;
	else
		attune_program_free(p);
	return status;
}

void attune_program_free(struct attune_program *p)
{
	if (!p)
		return;
	arena_free(&p->arena);
	free(p);
}

const struct attune_diagnostic *attune_program_diagnostics(const struct attune_program *p, int *count)
{
	*count = p->ndiagnostics;
	return p->diagnostic;
}

const char *attune_program_name(const struct attune_program *p)
{
	return p->cascade && p->cascade->name ? p->cascade->name : "";
}

const char *attune_program_digest(const struct attune_program *p)
{
	return p->digest ? p->digest : "";
}

const struct attune_rank *attune_program_ranks(const struct attune_program *p, int *count)
{
	*count = p->cascade ? (int)p->cascade->rank.n : 0;
	return p->rank;
}

const struct attune_tensor *attune_program_tensors(const struct attune_program *p, int *count)
{
	*count = p->ntensors;
	return p->tensor;
}

const char *program_shape(const struct attune_program *p, struct arena *a)
{
	struct text t;
	text_init(&t, a);
	const struct cascade *c = p->cascade;
	for (uint32_t i = 0; i < c->rank.n; i++)
		text_printf(&t, "%s%s=%lld", i ? " " : "", c->rank.v[i].name, (long long)c->rank.v[i].extent);
	return t.s;
}

static const char *rank_list(struct arena *a, const struct cascade *c)
{
	struct text t;
	text_init(&t, a);
	for (uint32_t i = 0; i < c->rank.n; i++)
		text_printf(&t, "%s%s", i ? ", " : "", c->rank.v[i].name);
	return t.s;
}

struct bind_job {
	struct attune_program *program;
	const struct attune_binding *binding;
	int count;
};

static enum attune_status bind(void *data, struct arena *scratch, struct attune_error *error)
{
	const struct bind_job *job = data;
	struct cascade *c = job->program->cascade;
	for (int i = 0; i < job->count; i++) {
		const struct attune_binding *b = &job->binding[i];
		uint32_t r = cascade_find_rank(c, b->name);
		if (r == UINT32_MAX)
			return runtime_fail(error, ATTUNE_USAGE, "there is no rank '%s'; the ranks are %s",
			                    b->name, rank_list(scratch, c));
		if (!(b->value >= 0 && b->value < (double)EXTENT_LIMIT) ||
		    b->value != (double)(int64_t)b->value)
			return runtime_fail(
			        error, ATTUNE_USAGE,
			        "the extent of rank '%s' is a whole number from 0 to %lld, not %.17g",
			        b->name, (long long)EXTENT_LIMIT - 1, b->value);
		int64_t extent = (int64_t)b->value, *old = &c->rank.v[r].extent;
		const char *by = job->program->bound_by[r];
		if (*old != NOT_BOUND && *old != extent)
			return by ? runtime_fail(error, ATTUNE_USAGE, "rank '%s' is %lld in '%s', not %lld",
			                         b->name, (long long)*old, by, (long long)extent)
			          : runtime_fail(error, ATTUNE_USAGE, "rank '%s' is %lld already, not %lld",
			                         b->name, (long long)*old, (long long)extent);
		*old = extent;
	}
	program_refresh(job->program);
	return ATTUNE_OK;
}

enum attune_status attune_program_bind(struct attune_program *p, const struct attune_binding *binding,
                                       int count, struct attune_error *error)
{
	if (!p->cascade)
		return runtime_fail_diags(error, ATTUNE_PROGRAM, &p->diags);
	return runtime_try(bind, &(struct bind_job){p, binding, count}, error);
}

struct check_job {
	const struct attune_program *program;
};

static enum attune_status check_bound(void *data, struct arena *arena, struct attune_error *error)
{
	const struct attune_program *p = ((struct check_job *)data)->program;
	struct diags diags;
	diags_init(&diags, arena, p->diags.file, p->diags.source, p->diags.size);
	return cascade_check_bound(p->cascade, &diags) ? ATTUNE_OK
	                                               : runtime_fail_diags(error, ATTUNE_USAGE, &diags);
}

enum attune_status program_check_bound(const struct attune_program *p, struct attune_error *error)
{
	if (!p->cascade)
		return runtime_fail_diags(error, ATTUNE_PROGRAM, &p->diags);
	return runtime_try(check_bound, &(struct check_job){p}, error);
}
