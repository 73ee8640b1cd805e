/* build.h: the texts that `attune build` writes, apart from the writing. */
#ifndef ATTUNE_RUNTIME_BUILD_H
#define ATTUNE_RUNTIME_BUILD_H

#include "runtime/internal.h"

struct build {
	const char *name;    /* of functions, and of files */
	const char *library; /* the name that callers know: another where the library chooses between forms */
	const char *kernel; /* the program's */
	const char *shape, *origin;
	enum isa isa;
	const char *arch; /* "sm_90"; NULL: for a processor */
	const struct attune_tensor *tensor;
	int ntensors;
	const struct kernel_source *source;
	long long work_bytes, scratch_bytes; /* multiples of 64 */
};

void build_sizes(struct build *);
/* The kernel's own text, and after it the functions that build_header declares; of a form its tasks and its run. */
void build_source(const struct build *, struct text *);
/* Of a library with one form or with several, the best first. */
void build_header(const struct build *form, int n, struct text *);

/* Parts of those. */
void build_struct(const struct build *, struct text *);
void build_run_signature(const struct build *, struct text *);
/* The function that computes all on one thread. */
void build_whole(const struct build *, struct text *);

/* ---- build_forms.c ---- */

enum { MOST_FORMS = HOST_ISAS };

/* The ISAs of a list such as "avx2,scalar", the best first; how many, or 0 after an error. */
int build_isas(const char *list, enum isa isa[MOST_FORMS], struct attune_error *);
/* The best one here and those below it that processors differ in; how many. */
int build_isas_here(enum isa best, enum isa isa[MOST_FORMS]);
/* Does a processor that attune builds for perhaps run none of the forms, or several? Then the functions that callers know
 * are in a file of their own, made for any processor. */
bool build_chooses(const struct build *form, int n);
/* What build_header declares, by forms in other files: the one is taken that suits the processor. */
void build_choice(const struct build *form, int n, struct text *);

/* ---- build_archive.c ---- */

struct build_member {
	const char *name; /* at most 15 characters */
	const void *bytes;
	size_t size;
	const char *symbols; /* each ended by NUL, and the last by another */
};
/* An archive with the index of symbols that linkers ask for. */
void build_archive(const struct build_member *, int n, struct text *);
/* The symbols of a build's own object, and of what chooses between forms. */
const char *build_symbols(const struct build *, struct arena *);
const char *build_choice_symbols(const struct build *, struct arena *);

/* The name of a tensor as C may have it. */
void build_c_name(const char *name, struct text *);

/* ---- build_device.c ---- */

/* Launch geometry and the argument block. */
void build_device_header(const struct build *, struct text *);

#endif
