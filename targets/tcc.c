/* libtcc in memory: the scalar form, in a millisecond, for a first answer and where LLVM is missing.
 *
 * The object is the text itself, with its NUL. libtcc silently ignores vector_size, so only ISA_SCALAR is
 * supported. It optimises nothing, so the level means nothing.
 */
#include "targets/target.h"

#include <libtcc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "targets/names.h"

/* libtcc 0.9.27 keeps the state it compiles with in globals of its own: one at a time in a process. A fork
 * waits for its turn, so that the child finds that state whole. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void lock(void)
{
	pthread_mutex_lock(&one_at_a_time);
}

static void unlock(void)
{
	pthread_mutex_unlock(&one_at_a_time);
}

static void watch_forks(void)
{
	pthread_atfork(lock, unlock, unlock);
}

static void begin(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, watch_forks);
	lock();
}

struct module {
	TCCState *state;
};

static const char *missing(struct arena *a)
{
	(void)a;
	return NULL; /* linked in */
}

/* What libtcc says. Kept aside and handed on after the lock is free, because a text that finds no memory
 * leaves by longjmp. */
struct said {
	char s[4096];
	size_t len;
};

static void add_message(void *context, const char *message)
{
	struct said *said = context;
	int n = snprintf(said->s + said->len, sizeof said->s - said->len, "%s\n", message);
	if (n > 0)
		said->len +=
		        (size_t)n < sizeof said->s - said->len ? (size_t)n : sizeof said->s - said->len - 1;
}

/* Under the lock. NULL when something was said. */
static TCCState *parse(const char *source, struct said *said)
{
	*said = (struct said){.len = 0};
	TCCState *s = tcc_new();
	if (!s) {
		add_message(said, "libtcc: out of memory");
		return NULL;
	}
	tcc_set_error_func(s, said, add_message);
	tcc_set_options(s, "-nostdlib");
	tcc_set_output_type(s, TCC_OUTPUT_MEMORY);
	for (const struct name *n = generated_code_names(); n->name; n++)
		tcc_add_symbol(s, n->name, n->address);
	if (tcc_compile_string(s, source) < 0) {
		tcc_delete(s);
		return NULL;
	}
	return s;
}

/* The only place libtcc tells its version is a macro. */
static const char *version(struct arena *a, const struct target_options *o)
{
	(void)o;
	struct said said;
	int number = 0;
	begin();
	TCCState *s = parse("int version = __TINYC__;", &said);
	if (s && tcc_relocate(s, TCC_RELOCATE_AUTO) >= 0)
		number = *(const int *)tcc_get_symbol(s, "version");
	if (s)
		tcc_delete(s);
	unlock();
	return arena_printf(a, "libtcc %d -nostdlib", number);
}

static bool supports(enum isa isa)
{
	return isa == ISA_SCALAR;
}

static bool compile(const char *source, const struct target_options *o, struct object *object,
                    struct text *diagnostics)
{
	*object = (struct object){0};
	if (!supports(o->isa)) {
		text_printf(diagnostics, "tcc compiles the scalar form only, not %s\n",
		            isa_info[o->isa].name);
		return false;
	}
	struct said said;
	begin();
	TCCState *s = parse(source, &said);
	if (s)
		tcc_delete(s);
	unlock();
	text_add(diagnostics, said.s);
	if (!s)
		return false;
	object->size = strlen(source) + 1;
	object->bytes = malloc(object->size);
	if (!object->bytes) {
		text_add(diagnostics, "out of memory\n");
		return false;
	}
	memcpy(object->bytes, source, object->size);
	return true;
}

static struct module *load(const struct object *object, const struct target_options *o,
                           struct text *diagnostics)
{
	(void)o;
	const char *source = object->bytes;
	if (!object->size || source[object->size - 1]) {
		text_add(diagnostics, "not an object of tcc's: its text does not end\n");
		return NULL;
	}
	struct module *m = malloc(sizeof *m);
	if (!m) {
		text_add(diagnostics, "out of memory\n");
		return NULL;
	}
	struct said said;
	begin();
	m->state = parse(source, &said);
	if (m->state && tcc_relocate(m->state, TCC_RELOCATE_AUTO) < 0) {
		tcc_delete(m->state);
		m->state = NULL;
	}
	unlock();
	if (!m->state) {
		free(m);
		m = NULL;
	}
	text_add(diagnostics, said.s);
	return m;
}

static void *symbol(struct module *m, const char *name)
{
	begin();
	void *address = tcc_get_symbol(m->state, name);
	unlock();
	return address;
}

static void unload(struct module *m)
{
	if (!m)
		return;
	begin();
	tcc_delete(m->state);
	unlock();
	free(m);
}

const struct target target_tcc = {
        .name = "tcc",
        .missing = missing,
        .version = version,
        .supports = supports,
        .compile = compile,
        .load = load,
        .symbol = symbol,
        .unload = unload,
};
