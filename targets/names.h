/* names.h: what generated code may call. It sees these names and no others of the process. */
#ifndef ATTUNE_TARGETS_NAMES_H
#define ATTUNE_TARGETS_NAMES_H

#include <stddef.h>

struct name {
	const char *name;
	void *address;
};

/* The C library's mathematics for double and float, and the four memory functions compilers call by
 * themselves. Ends with a NULL name. */
const struct name *generated_code_names(void);

#endif
