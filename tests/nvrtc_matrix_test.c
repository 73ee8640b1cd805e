/* Every example as NVRTC compiles its default schedule: no spill, nothing rejected, no array in memory. A few
 * for two architectures; with LONG in the environment all types, depths and architectures. Registers and
 * occupancy are told as comments. Skipped where NVRTC is missing. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/schedule.h"
#include "dsl/parse.h"
#include "targets/target.h"
#include "tests/plain_examples.h"
#include "tests/tap.h"

enum { MAX_JOBS = 512, LENGTH = 2048, WORKERS = 2 };

/* One kernel to compile, and what came of it. */
struct job {
	const char *path; /* or the text itself */
	const char *type; /* of its matrices; "tf32": f32, multiplied as tf32 */
	int rows, depth, capability;
	bool done, good;
	double seconds;
	struct arena arena;
	struct text said, why;
};
static struct job jobs[MAX_JOBS];
static int njobs;
static atomic_int next;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;

static char *slurp(struct arena *a, const char *path, size_t *size)
{
	enum { LIMIT = 1 << 16 };
	if (!strncmp(path, "kernel ", 7)) {
		*size = strlen(path);
		return arena_strdup(a, path);
	}
	FILE *f = fopen(path, "rb");
	char *s = arena_alloc(a, LIMIT);
	*size = f ? fread(s, 1, LIMIT - 1, f) : 0;
	if (f)
		fclose(f);
	return s;
}

static int64_t extent_of(const char *rank, int rows, int depth)
{
	switch (*rank) {
	case 'B': return 2;
	case 'H': return 8;
	case 'N': return rows;
	case 'D':
	case 'E': return depth;
	case 'F': return 512;
	default: return LENGTH;
	}
}

/* The cascade, its real arguments of two ranks and more declared as `type`. */
static struct cascade *cascade_of(struct job *j)
{
	struct arena *a = &j->arena;
	struct diags d;
	size_t size;
	char *source = slurp(a, j->path, &size);
	diags_init(&d, a, j->path, source, size);
	struct cascade *c = cascade_parse(a, source, size, NULL, 0, &d);
	if (c && j->type && strcmp(j->type, "tf32") != 0) {
		struct retype *to = arena_new_array(a, c->tensor.n, struct retype);
		struct overrides with = {.type = to};
		for (uint32_t i = 0; i < c->tensor.n; i++)
			if (c->tensor.v[i].role != ROLE_LOCAL && c->tensor.v[i].dtype == DTYPE_F32 &&
			    c->tensor.v[i].nranks > 1 && strcmp(c->tensor.v[i].name, "L") != 0)
				to[with.ntypes++] = (struct retype){c->tensor.v[i].name, j->type};
		c = cascade_parse_with(a, source, size, &with, &d);
	}
	diags_print(&d, &j->why);
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND)
			c->rank.v[i].extent = extent_of(c->rank.v[i].name, j->rows, j->depth);
	return c;
}

static bool source_of(struct job *j, struct kernel_source *source)
{
	struct arena *a = &j->arena;
	struct machine *machine = arena_new(a, struct machine);
	struct diags d;
	struct cascade *c = cascade_of(j);
	if (!c || !capability_machine(j->capability, machine))
		return false;
	diags_init(&d, a, j->path, "", 0);
	struct problem *p = problem_new(a, c, machine, &d);
	diags_print(&d, &j->why);
	if (!p)
		return false;
	struct schedule s = schedule_default(p, ISA_SM80);
	for (int i = 0; i < s.nstreams && j->type && !strcmp(j->type, "tf32"); i++)
		for (int k = 0; k < s.stream[i].ncontracts; k++)
			s.stream[i].contract[k].operand = OPERAND_TF32;
	const char *illegal = schedule_illegal(a, p, &s);
	text_add(&j->why, illegal ? illegal : "");
	if (illegal)
		return false;
	struct tile_program *t = tile_build(a, p, &s);
	if (!tile_check(t, &j->why))
		return false;
	*source = emit_kernel(a, t, ISA_SM80, s.exp_degree);
	text_add(&j->why, source->text ? "" : source->reason);
	return source->text != NULL;
}

static void judge(struct job *j, const struct resources *r, const struct kernel_phase *phase)
{
	text_printf(&j->said,
	            "#   %s: %d registers, %lld bytes of shared memory, %d blocks of %d threads, occupancy "
	            "%.2f (%s)%s%s\n",
	            r->kernel, r->registers, (long long)(r->shared + phase->shared_bytes), r->blocks,
	            phase->threads, r->occupancy, r->bound, r->notes ? ", " : "", r->notes ? r->notes : "");
	if (r->reject)
		text_printf(&j->why, "%s: %s; ", r->kernel, r->reject);
	if (r->stack)
		text_printf(&j->why, "%s: %d bytes of stack; ", r->kernel, r->stack);
	j->good = j->good && !r->reject && !r->stack;
}

static void work(struct job *j)
{
	struct kernel_source source;
	struct object object;
	struct target_options o = {.isa = ISA_SM80, .optimise = 3, .capability = j->capability};
	if (!source_of(j, &source) || !target_cuda.compile(source.text, &o, &object, &j->why))
		return;
	struct resources *r = target_cuda.device->resources(&j->arena, &object, &source, &o);
	j->good = r != NULL;
	for (int i = 0; r && i < source.nphases; i++)
		judge(j, &r[i], &source.phase[i]);
	object_free(&object);
}

static void *worker(void *unused)
{
	for (int i; (i = atomic_fetch_add(&next, 1)) < njobs;) {
		jmp_buf env;
		double begin = wall_seconds();
		if (ARENA_TRY(&jobs[i].arena, &env))
			work(&jobs[i]);
		else
			jobs[i].good = false;
		pthread_mutex_lock(&lock);
		jobs[i].seconds = wall_seconds() - begin;
		jobs[i].done = true;
		pthread_cond_signal(&finished);
		pthread_mutex_unlock(&lock);
	}
	return unused;
}

static void add(const char *path, const char *type, int rows, int depth, int capability)
{
	struct job *j = &jobs[njobs];
	if (njobs++ >= MAX_JOBS)
		abort();
	*j = (struct job){.path = path, .type = type, .rows = rows, .depth = depth, .capability = capability};
	arena_init(&j->arena);
	j->arena.limit = (size_t)1 << 30;
	text_init(&j->said, &j->arena);
	text_init(&j->why, &j->arena);
}

/* All types and architectures at depth 128; the other depths, and a single row, on the oldest or on 9.0. */
static void add_all(const char *path)
{
	static const int capabilities[] = {80, 86, 89, 90, 100}, depths[] = {60, 64, 256};
	static const char *const types[] = {NULL, "bf16", "f16", "tf32"};
	for (size_t t = 0; t < 3 + (strstr(path, "cross_attention") != NULL); t++) {
		for (size_t k = 0; k < 5; k++)
			add(path, types[t], LENGTH, 128, capabilities[k]);
		for (size_t k = 0; k < 3; k++) {
			add(path, types[t], LENGTH, depths[k], 80);
			add(path, types[t], LENGTH, depths[k], 90);
		}
		add(path, types[t], 1, 128, 80);
		add(path, types[t], 1, 256, 90);
	}
}

static const char *const int8_product = "kernel int8_product\n"
                                        "rank N, D, F\n"
                                        "in A[N, D] : i8\n"
                                        "in B[F, D] : i8\n"
                                        "out Y[N, F] : i32\n"
                                        "Y[n,f] = A[n,d] * B[f,d]\n";

static void add_few(const char *path)
{
	static const struct {
		const char *name, *type;
	} few[] = {{"flash_causal_gqa", "bf16"},
	           {"h2o_column_sums", "f16"},
	           {"row_entropy", NULL},
	           {"cross_attention", "tf32"}};
	for (size_t k = 0; k < sizeof few / sizeof *few; k++)
		if (strstr(path, few[k].name)) {
			add(path, few[k].type, LENGTH, 64, 80);
			add(path, few[k].type, LENGTH, 64, 90);
		}
}

/* In the order of the list, each as soon as it is there. */
static void report(struct job *j)
{
	const char *slash = strrchr(j->path, '/'), *name = slash ? slash + 1 : "int8_product";
	pthread_mutex_lock(&lock);
	while (!j->done)
		pthread_cond_wait(&finished, &lock);
	pthread_mutex_unlock(&lock);
	ok(j->good, "%s %s N %d D %d, capability %d, %.1f s: %s", name, j->type ? j->type : "f32", j->rows,
	   j->depth, j->capability, j->seconds, j->why.s);
	fputs(j->said.s, stdout);
	fflush(stdout);
	arena_free(&j->arena);
}

int main(void)
{
	struct arena a;
	arena_init(&a);
	const char *missing = target_cuda.missing(&a);
	if (missing)
		printf("# %s\n", missing);
	arena_free(&a);
	if (missing) {
		tap_skip("NVRTC is missing here");
		return tap_done();
	}
	for (size_t i = 0; i < PLAIN_EXAMPLES; i++)
		(getenv("LONG") ? add_all : add_few)(plain_example[i]);
	add(int8_product, NULL, LENGTH, 256, 80);
	add(int8_product, NULL, LENGTH, 256, 90);
	pthread_t thread[WORKERS];
	for (int i = 0; i < WORKERS; i++)
		pthread_create(&thread[i], NULL, worker, NULL);
	for (int i = 0; i < njobs; i++)
		report(&jobs[i]);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	return tap_done();
}
