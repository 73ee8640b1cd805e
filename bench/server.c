/* server: attune as one of the programs that scripts/bench_peers.py times side by side.
 *
 * One JSON object a line on standard input, one answer a line, as gpu/peers.h has it for a device:
 *
 *     {"id": 1, "prepare": {"program": "bench/full.att", "ranks": {"N": 2048, …}, "params": {}, "types": {"Q": "bf16", …},
 *                           "threads": 1, "isa": "avx2", "schedule": FILE, "cache": FILE, "tune": 30,
 *                           "values": {"doc": [0, 0, 1, …]}, "folder": FOLDER}}   {"id": 1, "peers": ["attune"],
 *                                                                             "tensors": [{"name": "Q", …}, …]}
 *     {"id": 2, "time": "attune", "runs": 3}                                    {"id": 2, "seconds": 0.0021}
 *     {"id": 3, "peak": 2, "operand": "bf16", "isa": "avx512bf16"}              {"id": 3, "peak": 9.4e11}
 *     {"id": 3, "exps": 1}                                                      {"id": 3, "exps": 1.3e10, "beside": 4e10}
 *     {"id": 4, "read": 2, "bytes": 536870912}                                  {"id": 4, "bandwidth": 3.1e10}
 *
 * "seconds" is one of the runs, by the wall clock, of one thread by its CPU time. Of "prepare" all but the program may
 * be missing. The default schedule is what is run, or with "cache" the winner that is there; what is not there is
 * tuned for "tune" seconds. A tensor without values is random, one with fewer than it has elements repeats them;
 * FOLDER gets the bytes of all of them, inputs and outputs, in files of their names. "exps" is how many exponentials a
 * second a core does, "beside" between the multiply-adds of such operands. "peak" is what products of an operand type
 * (OPERAND_COMPUTE when missing) summed by an ISA (the machine's best) reach on so many threads at once, flop/s;
 * "read" how fast they read memory, bytes/s. An answer has "error" instead when something failed. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cjson/cJSON.h>

#include "attune.h"
#include "base/arena.h"
#include "codegen/roofline.h"
#include "targets/target.h"

enum { MOST_TENSORS = 32, MOST_THREADS = 256, LINE = 1 << 20 };

struct server {
	struct attune_context *context;
	struct attune_program *program;
	struct attune_kernel *kernel;
	int threads, tensors;
	const char *name[MOST_TENSORS]; /* the program's */
	size_t size[MOST_TENSORS];
	DLTensor tensor[MOST_TENSORS];
	const DLTensor *argument[MOST_TENSORS];
	struct attune_error error;
	struct machine machine;
	char *memory; /* that the bandwidth is probed with */
	size_t bytes;
};

static void forget(struct server *s)
{
	attune_kernel_free(s->kernel);
	attune_program_free(s->program);
	attune_context_free(s->context);
	for (int i = 0; i < s->tensors; i++) {
		munmap(s->tensor[i].data, s->size[i]);
		free(s->tensor[i].shape);
	}
	s->kernel = NULL;
	s->program = NULL;
	s->context = NULL;
	s->tensors = 0;
}

static bool fail(struct server *s, const char *what, const char *name)
{
	s->error.status = ATTUNE_USAGE;
	snprintf(s->error.message, sizeof s->error.message, "%s '%.800s'", what, name);
	return false;
}

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = f ? calloc(1, LINE) : NULL;
	if (text && fread(text, 1, LINE - 1, f) == LINE - 1) {
		free(text);
		text = NULL;
	}
	if (f)
		fclose(f);
	return text;
}

/* Roughly normal numbers, as queries and keys are: sums of four uniform ones, with variance 1. */
static float normal(uint32_t *x)
{
	float sum = 0;
	for (int i = 0; i < 4; i++) {
		*x = *x * 1664525u + 1013904223u;
		sum += (float)(*x >> 8) * (1.0f / (1 << 24)) - 0.5f;
	}
	return sum * 1.7320508f;
}

static bool make_tensor(struct server *s, int i, const struct attune_tensor *t, const cJSON *values)
{
	for (int r = 0; r < t->ndim; r++)
		if (t->shape[r] < 0)
			return fail(s, "no extent is given for a rank of", t->name);
	int64_t n = 1, *shape = calloc((size_t)t->ndim + 1, sizeof *shape);
	for (int r = 0; shape && r < t->ndim; r++)
		n *= shape[r] = t->shape[r];
	size_t bytes = ((size_t)n * (size_t)(t->dtype.bits * t->dtype.lanes) + 7) / 8;
	s->size[i] = (bytes + 8191) / 4096 * 4096;
	s->name[i] = t->name;
	void *data = machine_pages(s->size[i]); /* huge, as numpy's are */
	float *numbers = malloc((size_t)(n ? n : 1) * sizeof *numbers);
	s->tensor[i] = (DLTensor){.data = data, .device = {kDLCPU, 0}, .ndim = t->ndim, .dtype = t->dtype, .shape = shape};
	s->argument[i] = &s->tensor[i];
	s->tensors = i + 1;
	if (!data)
		s->size[i] = 0;
	bool good = shape && data && numbers;
	if (!good)
		fail(s, "no memory for", t->name);
	uint32_t state = (uint32_t)i + 1;
	const cJSON *first = values ? values->child : NULL, *next = first;
	for (int64_t k = 0; good && k < n; k++) {
		numbers[k] = next ? (float)next->valuedouble : normal(&state);
		next = next && next->next ? next->next : first;
	}
	DLTensor from = s->tensor[i];
	from.data = numbers;
	from.dtype = (DLDataType){kDLFloat, 32, 1};
	good = good && !attune_convert(&from, &s->tensor[i], &s->error);
	free(numbers);
	return good;
}

static int bindings(const cJSON *object, struct attune_binding *b)
{
	int n = 0;
	for (const cJSON *x = object ? object->child : NULL; x && n < MOST_TENSORS; x = x->next)
		b[n++] = (struct attune_binding){x->string, x->valuedouble};
	return n;
}

/* Compiles what the cache or the default says; of what the cache does not have, a search decides first. */
static bool make_kernel(struct server *s, const char *schedule, double budget)
{
	const struct attune_compile_options options = {.schedule = schedule, .wait = true};
	if (attune_compile(s->program, &options, &s->kernel, &s->error))
		return false;
	struct attune_kernel_info info;
	attune_kernel_describe(s->kernel, &info);
	if (budget <= 0 || schedule || !strcmp(info.source, "exact"))
		return true;
	struct attune_tune_result found = {0};
	if (attune_tune(s->program, &(struct attune_tune_options){.seconds = budget}, &found, &s->error))
		return false;
	attune_tune_result_free(&found);
	attune_kernel_free(s->kernel);
	s->kernel = NULL;
	return !attune_compile(s->program, &options, &s->kernel, &s->error);
}

static bool save(struct server *s, const char *folder)
{
	char path[4096];
	for (int i = 0; i < s->tensors; i++) {
		const DLTensor *t = &s->tensor[i];
		size_t n = 1, bytes;
		for (int r = 0; r < t->ndim; r++)
			n *= (size_t)t->shape[r];
		bytes = (n * t->dtype.bits * t->dtype.lanes + 7) / 8;
		snprintf(path, sizeof path, "%s/%s", folder, s->name[i]);
		FILE *f = fopen(path, "wb");
		bool good = f && fwrite(t->data, 1, bytes, f) == bytes;
		if (f)
			good = !fclose(f) && good;
		if (!good)
			return fail(s, "cannot write", path);
	}
	return true;
}

static bool prepare(struct server *s, const cJSON *c)
{
	forget(s);
	const char *path = cJSON_GetStringValue(cJSON_GetObjectItem(c, "program"));
	const char *pinned = cJSON_GetStringValue(cJSON_GetObjectItem(c, "schedule"));
	const char *folder = cJSON_GetStringValue(cJSON_GetObjectItem(c, "folder"));
	const char *cache = cJSON_GetStringValue(cJSON_GetObjectItem(c, "cache"));
	const cJSON *threads = cJSON_GetObjectItem(c, "threads"), *types = cJSON_GetObjectItem(c, "types");
	const cJSON *budget = cJSON_GetObjectItem(c, "tune");
	struct attune_binding rank[MOST_TENSORS], param[MOST_TENSORS];
	struct attune_type type[MOST_TENSORS];
	const cJSON *values = cJSON_GetObjectItem(c, "values");
	int ntypes = 0, ntensors = 0;
	for (const cJSON *x = types ? types->child : NULL; x && ntypes < MOST_TENSORS; x = x->next)
		type[ntypes++] = (struct attune_type){x->string, x->valuestring};
	struct attune_options options = {.threads = threads ? threads->valueint : 1,
	                                 .cache = cache ? cache : "",
	                                 .isa = cJSON_GetStringValue(cJSON_GetObjectItem(c, "isa"))};
	s->threads = options.threads;
	char *text = path ? slurp(path) : NULL, *schedule = pinned ? slurp(pinned) : NULL;
	if (!text)
		return fail(s, "cannot read", path ? path : "program");
	struct attune_source source = {.text = text, .name = path, .params = param, .types = type, .ntypes = ntypes,
	                               .nparams = bindings(cJSON_GetObjectItem(c, "params"), param)};
	bool good = (!pinned || schedule || fail(s, "cannot read", pinned)) &&
	            !attune_context_new(&options, &s->context, &s->error) &&
	            !attune_program_new(s->context, &source, &s->program, &s->error) &&
	            !attune_program_bind(s->program, rank, bindings(cJSON_GetObjectItem(c, "ranks"), rank), &s->error);
	free(text);
	const struct attune_tensor *t = good ? attune_program_tensors(s->program, &ntensors) : NULL;
	if (good && ntensors > MOST_TENSORS)
		good = fail(s, "too many tensors in", path);
	for (int i = 0; good && i < ntensors; i++)
		good = make_tensor(s, i, &t[i], values ? cJSON_GetObjectItem(values, t[i].name) : NULL);
	good = good && make_kernel(s, schedule, budget ? budget->valuedouble : 0);
	free(schedule);
	return good && !attune_call(s->kernel, s->argument, s->tensors, NULL, &s->error) && (!folder || save(s, folder));
}

static const char *dtype_text(DLDataType t, char room[8])
{
	static const char *const code[] = {[kDLInt] = "i", [kDLUInt] = "u", [kDLFloat] = "f", [kDLBfloat] = "bf"};
	snprintf(room, 8, "%s%d", t.code <= kDLBfloat && code[t.code] ? code[t.code] : "?", t.bits);
	return room;
}

/* What was prepared: its name, how it came about, and its tensors. */
static void describe(const struct server *s, cJSON *a)
{
	struct attune_kernel_info info;
	char note[256], type[8];
	attune_kernel_describe(s->kernel, &info);
	cJSON *names = cJSON_AddArrayToObject(a, "peers"), *tensors = cJSON_AddArrayToObject(a, "tensors");
	cJSON_AddItemToArray(names, cJSON_CreateString("attune"));
	snprintf(note, sizeof note, "%s schedule, %s, %s", info.source, info.isa, info.target);
	cJSON_AddStringToObject(a, "notes", note);
	for (int i = 0; i < s->tensors; i++) {
		cJSON *t = cJSON_CreateObject(), *shape = cJSON_AddArrayToObject(t, "shape");
		cJSON_AddStringToObject(t, "name", s->name[i]);
		cJSON_AddStringToObject(t, "dtype", dtype_text(s->tensor[i].dtype, type));
		for (int r = 0; r < s->tensor[i].ndim; r++)
			cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)s->tensor[i].shape[r]));
		cJSON_AddItemToArray(tensors, t);
	}
}

static double timed(struct server *s, int runs)
{
	double (*clock)(void) = s->threads == 1 ? thread_seconds : wall_seconds, start = clock();
	for (int i = 0; i < runs; i++)
		if (attune_call(s->kernel, s->argument, s->tensors, NULL, &s->error))
			return -1;
	return (clock() - start) / runs;
}

struct probe {
	enum isa isa;
	enum operand_type operand;
	double result;
};

static void *probe_peak(void *data)
{
	struct probe *p = data;
	p->result = machine_peak_probe(p->isa, p->operand);
	return NULL;
}

static bool together(void *(*run)(void *), struct probe *p, int n)
{
	pthread_t thread[MOST_THREADS];
	int started = 0;
	while (started < n && !pthread_create(&thread[started], NULL, run, &p[started]))
		started++;
	for (int i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	return started == n;
}

/* ISAS: this machine does not run it. */
static enum isa isa_asked(const struct server *s, const cJSON *request)
{
	const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(request, "isa"));
	enum isa isa = name ? isa_find(name) : s->machine.isa;
	return isa == ISAS || isa_runs_on(isa, s->machine.isa) ? isa : ISAS;
}

static double peak(struct server *s, const cJSON *request, int threads)
{
	struct probe p[MOST_THREADS];
	double sum = 0;
	const char *operand = cJSON_GetStringValue(cJSON_GetObjectItem(request, "operand"));
	enum operand_type type = OPERAND_COMPUTE;
	enum isa isa = isa_asked(s, request);
	if (isa == ISAS)
		return fail(s, "this machine does not run", "isa"), -1;
	while (operand && type < OPERANDS && strcmp(operand_type_name[type], operand))
		type++;
	if (type == OPERANDS)
		return fail(s, "no type of operands", operand), -1;
	for (int i = 0; i < threads; i++)
		p[i] = (struct probe){.isa = isa, .operand = type};
	if (!together(probe_peak, p, threads))
		return -1;
	for (int i = 0; i < threads; i++)
		sum += p[i].result;
	return sum;
}

static double bandwidth(struct server *s, int threads, size_t bytes)
{
	if (s->memory && s->bytes != bytes) {
		munmap(s->memory, s->bytes);
		s->memory = NULL;
	}
	if (!s->memory)
		s->memory = machine_pages(bytes);
	s->bytes = bytes;
	double rate = s->memory ? machine_read_probe(s->machine.isa, s->memory, bytes, threads) : 0;
	return rate > 0 ? rate : (fail(s, "cannot be read", "memory"), -1);
}

static void answer(struct server *s, const cJSON *request)
{
	const cJSON *id = cJSON_GetObjectItem(request, "id"), *runs = cJSON_GetObjectItem(request, "runs");
	const cJSON *case_ = cJSON_GetObjectItem(request, "prepare"), *of = cJSON_GetObjectItem(request, "peak");
	const cJSON *read = cJSON_GetObjectItem(request, "read"), *bytes = cJSON_GetObjectItem(request, "bytes");
	cJSON *a = cJSON_CreateObject();
	int threads = of ? of->valueint : read ? read->valueint : 1;
	double value = -1;
	snprintf(s->error.message, sizeof s->error.message, "not a request");
	cJSON_AddNumberToObject(a, "id", id ? id->valuedouble : 0);
	if (threads < 1 || threads > MOST_THREADS) {
		fail(s, "no such number of", "threads");
	} else if (case_ && prepare(s, case_)) {
		describe(s, a);
		value = 0;
	} else if (runs && s->kernel) {
		cJSON_AddNumberToObject(a, "seconds", value = timed(s, runs->valueint));
	} else if (of) {
		cJSON_AddNumberToObject(a, "peak", value = peak(s, request, threads));
	} else if (cJSON_GetObjectItem(request, "exps")) {
		enum isa isa = isa_asked(s, request);
		const char *narrow = cJSON_GetStringValue(cJSON_GetObjectItem(request, "operand"));
		if (s->machine.limits.clock <= 0)
			machine_measure(&s->machine);
		cJSON_AddNumberToObject(a, "exps", value = isa == ISAS ? -1 : s->machine.limits.exps[isa]);
		cJSON_AddNumberToObject(a, "beside",
		                        isa == ISAS ? -1 : roofline_beside(&s->machine.limits, isa, narrow && !strcmp(narrow, "bf16")));
	} else if (read && bytes) {
		cJSON_AddNumberToObject(a, "bandwidth", value = bandwidth(s, threads, (size_t)bytes->valuedouble));
	}
	if (value < 0)
		cJSON_AddStringToObject(a, "error", s->error.message);
	char *line = cJSON_PrintUnformatted(a);
	puts(line ? line : "{}");
	fflush(stdout);
	cJSON_free(line);
	cJSON_Delete(a);
}

int main(void)
{
	struct server s = {0};
	static char line[LINE];
	machine_detect(&s.machine);
	while (fgets(line, sizeof line, stdin)) {
		cJSON *request = cJSON_Parse(line);
		answer(&s, request);
		cJSON_Delete(request);
	}
	forget(&s);
	if (s.memory)
		munmap(s.memory, s.bytes);
	return 0;
}
