/* Code for devices as NVRTC compiles it, with no device: every primitive alone for every architecture,
 * objects and what is read from them, errors. With LONG in the environment, on all architectures. Skipped
 * where NVRTC is missing. */
#include "targets/nvrtc.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "targets/target.h"
#include "tests/tap.h"

static struct arena arena;
static const int capabilities[] = {80, 86, 89, 90, 100, 0};

#define HEAD "struct at_device_args { void *data[2]; long stride[4]; void *work; };\n"

static struct text fresh(void)
{
	struct text t;
	text_init(&t, &arena);
	return t;
}

static bool compile(const char *source, int capability, struct object *object, struct text *why)
{
	struct target_options o = {.isa = ISA_SM80, .optimise = 3, .capability = capability};
	*why = fresh();
	return target_cuda.compile(source, &o, object, why);
}

static struct resources *judge(const struct object *object, const char *kernel, int threads, int64_t shared)
{
	struct kernel_phase phase = {
	        .symbol = kernel, .tasks = 1, .threads = threads, .shared_bytes = shared};
	struct kernel_source source = {.nphases = 1, .phase = &phase, .device = true};
	struct target_options o = {.isa = ISA_SM80};
	return target_cuda.device->resources(&arena, object, &source, &o);
}

/* ---- primitives ---- */

static const struct primitive {
	const char *result, *name, *parameters;
} primitives[] = {
#define PRIMITIVE(result, name, parameters, arguments) {#result, #name, #parameters},
#include "codegen/primitives.h"
#undef PRIMITIVE
};
enum { PRIMITIVES = sizeof primitives / sizeof *primitives };

/* A literal where one is asked for, bits from memory elsewhere, arrays in registers. */
static void argument(struct text *declare, struct text *call, const char *parameter, size_t n, int k)
{
	const char *p = arena_strndup(&arena, parameter, n), *name = p + n;
	while (name > p && (isalnum((unsigned char)name[-1]) || name[-1] == '_'))
		name--;
	text_add(call, k ? ", " : "");
	bool integer = !strncmp(p, "int ", 4) && !strchr(p, '*');
	if (integer)
		text_add(call, strcmp(name, "size") && strcmp(name, "bytes") ? "1" : "16");
	else if (strstr(p, "void *"))
		text_printf(call, "AT_ARGS->data[%d]", strstr(p, "const") == NULL);
	else if (strchr(p, '*')) {
		const char *type = strstr(p, "float") ? "float" : strstr(p, "int *") ? "int" : "unsigned";
		text_printf(declare,
		            "\t%s x%d[4];\n\tAT_UNROLL for (int i = 0; i < 4; i++) x%d[i] = "
		            "(%s)at_load_u32(q + i);\n",
		            type, k, k, type);
		text_printf(call, "x%d", k);
	} else if (strstr(p, "float"))
		text_printf(call, "at_f32_bits(at_load_u32(q + %d))", 4 + k);
	else
		text_printf(call, "at_load_u32(q + %d)", 4 + k);
}

/* A kernel that calls it, on values nobody can foresee, and stores what came of it. */
static const char *kernel_of(const struct primitive *p)
{
	struct text declare = fresh(), call = fresh(), all = fresh();
	int k = 0;
	bool array = false;
	for (const char *s = p->parameters + 1; *s && *s != ')' && strncmp(s, "void)", 5);) {
		size_t n = strcspn(s, ",)");
		argument(&declare, &call, s, n, k++);
		array = array || (memchr(s, '*', n) && !strstr(arena_strndup(&arena, s, n), "void"));
		s += n + (s[n] == ',' ? 2 : 0);
	}
	text_printf(
	        &all,
	        HEAD
	        "AT_KERNEL(%s_kernel, 128)\n{\n\tconst unsigned *q = (const unsigned *)AT_ARGS->data[0] + "
	        "at_thread();\n\tunsigned *out = (unsigned *)AT_ARGS->data[1] + at_thread();\n%s",
	        p->name, declare.s);
	if (!strcmp(p->result, "void"))
		text_printf(&all, "\tat_%s(%s);\n", p->name, call.s);
	else if (!strcmp(p->result, "float"))
		text_printf(&all, "\tat_store_u32(out, at_bits_f32(at_%s(%s)));\n", p->name, call.s);
	else if (!strcmp(p->result, "unsigned long"))
		text_printf(&all, "\tat_store_u64(out, at_%s(%s));\n", p->name, call.s);
	else
		text_printf(&all, "\tat_store_u32(out, at_%s(%s));\n", p->name, call.s);
	if (array)
		text_add(&all,
		         "\tAT_UNROLL for (int i = 0; i < 4; i++) at_store_u32(out + i, (unsigned)x0[i]);\n");
	text_add(&all, "}\n");
	return all.s;
}

/* All in one text: a compilation costs more than its kernels. On what fails they are told apart. */
static void all_primitives(int capability)
{
	struct text all = fresh(), why;
	struct object object;
	struct kernel_phase phase[PRIMITIVES];
	struct kernel_source source = {.nphases = PRIMITIVES, .phase = phase, .device = true};
	struct target_options o = {.isa = ISA_SM80};
	for (int i = 0; i < PRIMITIVES; i++) {
		const char *kernel = kernel_of(&primitives[i]);
		text_add(&all, kernel + (i ? strlen(HEAD) : 0));
		phase[i] =
		        (struct kernel_phase){.symbol = arena_printf(&arena, "%s_kernel", primitives[i].name),
		                              .tasks = 1,
		                              .threads = 128};
	}
	if (!ok(compile(all.s, capability, &object, &why), "capability %d: all %d primitives compile",
	        capability, PRIMITIVES)) {
		for (int i = 0; i < PRIMITIVES; i++)
			if (compile(kernel_of(&primitives[i]), capability, &object, &why))
				object_free(&object);
			else
				printf("# at_%s: %s\n", primitives[i].name, why.s);
		return;
	}
	const struct resources *r = target_cuda.device->resources(&arena, &object, &source, &o);
	int bad = 0;
	for (int i = 0; i < PRIMITIVES; i++)
		if (r[i].reject || r[i].notes || r[i].stack) {
			printf("# %s: %s %s\n", r[i].kernel, r[i].reject ? r[i].reject : "",
			       r[i].notes ? r[i].notes : "");
			bad++;
		}
	ok(!bad, "capability %d: none leaves an array in memory", capability);
	object_free(&object);
}

/* ---- objects ---- */

static const char *const spilling =
        HEAD "AT_KERNEL(spills, 1024)\n{\n"
             "\tconst unsigned *q = (const unsigned *)AT_ARGS->data[0] + at_thread();\n"
             "\tunsigned x[128];\n"
             "\tAT_UNROLL for (int i = 0; i < 128; i++) x[i] = at_load_u32(q + 64 * i);\n"
             "\tat_barrier();\n"
             "\tAT_UNROLL for (int i = 0; i < 128; i++) at_store_u32((unsigned *)AT_ARGS->data[1] + i, x[i] "
             "* x[127 - i]);\n"
             "}\n";
static const char *const indexed =
        HEAD "AT_KERNEL(indexed, 128)\n{\n"
             "\tunsigned x[256];\n"
             "\tfor (int i = 0; i < 256; i++) x[i] = at_load_u32((const unsigned *)AT_ARGS->data[0] + i);\n"
             "\tat_store_u32(AT_ARGS->data[1], x[at_thread()]);\n"
             "}\n";
static const char *const small = HEAD "AT_KERNEL(small, 128)\n{\n\tat_store_u32((unsigned *)AT_ARGS->data[1] "
                                      "+ at_thread(), at_block());\n}\n";

static void judgements(void)
{
	struct object object, same;
	struct text why;
	struct resources *r;
	if (ok(compile(spilling, 80, &object, &why), "a kernel of too many registers compiles")) {
		r = judge(&object, "spills", 1024, 0);
		ok(r->reject && !strncmp(r->reject, "spills ", 7) && r->registers <= 64,
		   "and is rejected: %s", r->reject);
		object_free(&object);
	}
	if (ok(compile(indexed, 80, &object, &why), "a kernel with an array in memory compiles")) {
		r = judge(&object, "indexed", 128, 0);
		ok(!r->reject && r->notes && strstr(r->notes, "1024 bytes of stack"), "which is noted: %s",
		   r->notes);
		object_free(&object);
	}
	if (!ok(compile(small, 90, &object, &why) && compile(small, 90, &same, &why),
	        "a small kernel compiles"))
		return;
	ok(object.size == same.size && !memcmp(object.bytes, same.bytes, same.size),
	   "the same text gives the same object, %zu bytes", object.size);
	object_free(&same);
	r = judge(&object, "small", 128, 100 << 10);
	ok(!r->reject && r->registers > 0 && r->blocks == 2 && !strcmp(r->bound, "shared memory"),
	   "its registers (%d) are the cubin's and the log's, and its blocks are counted", r->registers);
	r = judge(&object, "small", 128, 228 << 10);
	ok(r->reject && !r->blocks, "what fits in no multiprocessor is rejected: %s", r->reject);
	r = judge(&object, "other", 128, 0);
	ok(r->reject, "a kernel that is not there is rejected: %s", r->reject);
	object_free(&object);
}

/* Every cut of an object, and bytes of it changed at random. */
static void hostile(void)
{
	struct object object, part;
	struct text why;
	uint64_t random = 1;
	if (!ok(compile(small, 80, &object, &why), "an object to break"))
		return;
	int told = 0;
	for (size_t n = 0; n < object.size; n += 1 + n / 64) {
		/* In memory of its own, so that a sanitizer sees what reaches past it. */
		char *copy = malloc(n ? n : 1);
		memcpy(copy, object.bytes, n);
		part = (struct object){copy, n};
		told += judge(&part, "small", 128, 0) != NULL;
		told += resources_cubin_registers(copy, n, "small") > 255;
		free(copy);
	}
	ok(!told, "a part of an object is none");
	char *bytes = malloc(object.size);
	int survived = 0;
	for (int i = 0; i < 3000; i++) {
		memcpy(bytes, object.bytes, object.size);
		for (int k = 0; k < 6; k++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			/* Headers of ELF and of sections are at both ends of the cubin. */
			size_t at = (size_t)(random >> 20) % object.size;
			if (k & 1)
				at = (size_t)(random >> 20) % 64;
			bytes[at] = (char)(random >> 56);
		}
		part = (struct object){bytes, object.size};
		judge(&part, "small", 128, 0);
		survived += resources_cubin_registers(bytes, object.size, "small") < 256;
	}
	free(bytes);
	ok(survived == 3000, "and one with bytes changed hurts nobody");
	struct target_options o = {.isa = ISA_SM80};
	part = (struct object){(void *)(uintptr_t)small, strlen(small)};
	ok(!target_cuda.load(&part, &o, &why) && strstr(why.s, "not an object"),
	   "bytes that are no object are refused");
	object_free(&object);
}

/* ---- errors, threads, keys ---- */

static void errors(void)
{
	struct object object;
	struct text why;
	ok(!compile(HEAD "AT_KERNEL(k, 32)\n{\n\tnowhere();\n}\n", 80, &object, &why) &&
	           strstr(why.s, "nowhere") && strstr(why.s, "kernel(4)") && !object.bytes,
	   "an error comes back with its line");
	ok(!compile(HEAD "AT_KERNEL(k, 32)\n{\n\tasm volatile(\"nonsense;\");\n}\n", 80, &object, &why) &&
	           strstr(why.s, "ptxas"),
	   "so does one of the assembler's");
	bool refused = !compile(small, 75, &object, &why) && strstr(why.s, "7.5");
	ok(refused, "an old device is refused: %s", why.s);
	refused = !compile(small, 990, &object, &why) && strstr(why.s, "99.0");
	ok(refused, "and one that NVRTC does not know: %s", why.s);
	char arch[16];
	why = fresh();
	ok(nvrtc_arch(80, arch, &why) && !strcmp(arch, "sm_80") && nvrtc_arch(90, arch, &why) &&
	           !strcmp(arch, "sm_90a"),
	   "the architecture is named after the capability");
	ok(nvrtc_arch(85, arch, &why) && !strcmp(arch, "sm_80"), "one in between runs what is older");
	struct target_options a = {.isa = ISA_SM80, .capability = 80},
	                      b = {.isa = ISA_SM80, .capability = 90};
	const char *version = target_cuda.version(&arena, &a);
	ok(strcmp(version, target_cuda.version(&arena, &b)) && strstr(version, "NVRTC 1") &&
	           strstr(version, "sm_80 "),
	   "the version tells compiler, architecture and options: %s", version);
}

static void *compile_one(void *context)
{
	struct arena local;
	struct text why;
	struct object object;
	struct target_options o = {.isa = ISA_SM80, .capability = *(const int *)context};
	arena_init(&local);
	text_init(&why, &local);
	bool good = target_cuda.compile(small, &o, &object, &why);
	object_free(&object);
	arena_free(&local);
	return good ? context : NULL;
}

static void together(void)
{
	enum { N = 4 };
	pthread_t thread[N];
	int capability[N] = {80, 86, 89, 90}, good = 0, children = 0;
	for (int i = 0; i < N; i++)
		pthread_create(&thread[i], NULL, compile_one, &capability[i]);
	/* Forks among the compilations wait, and find no lock held. */
	for (int i = 0; i < 2; i++) {
		int status = 1;
		pid_t child = fork();
		if (!child)
			_exit(compile_one(&capability[i]) ? 0 : 1);
		waitpid(child, &status, 0);
		children += WIFEXITED(status) && !WEXITSTATUS(status);
	}
	for (int i = 0; i < N; i++) {
		void *result;
		pthread_join(thread[i], &result);
		good += result != NULL;
	}
	ok(good == N, "four threads compile at once");
	ok(children == 2, "and forked children meanwhile");
}

int main(void)
{
	arena_init(&arena);
	const char *missing = target_cuda.missing(&arena);
	if (missing) {
		printf("# %s\n", missing);
		tap_skip("NVRTC is missing here");
		arena_free(&arena);
		return tap_done();
	}
	struct text why = fresh();
	const struct nvrtc_about *about = nvrtc_about(&why);
	printf("# NVRTC %d.%d, %s\n", about->major, about->minor, about->path);
	ok(nvrtc_opened() && about->archs > 0 && strlen(about->build) >= 16,
	   "NVRTC is opened and tells its build");
	for (int i = 0; capabilities[i]; i++) {
		char arch[16];
		if (!nvrtc_arch(capabilities[i], arch, &why)) {
			tap_skip("an architecture this NVRTC does not know");
			continue;
		}
		if (getenv("LONG") || capabilities[i] == 80 || capabilities[i] == 90)
			all_primitives(capabilities[i]);
	}
	judgements();
	hostile();
	errors();
	together();
	arena_free(&arena);
	return tap_done();
}
