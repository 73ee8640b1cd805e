/* clang_shim.h: Clang and LLVM behind a C interface; the shim is a library of its own, opened when first
 * needed.
 *
 * The library exports one function, attune_clang_shim, which makes one JIT for the process. Every function of
 * its table is thread-safe. What comes back through a pointer (diagnostics, bytes) is malloc'ed and the
 * caller's.
 */
#ifndef ATTUNE_TARGETS_CLANG_SHIM_H
#define ATTUNE_TARGETS_CLANG_SHIM_H

#include <stddef.h>

#include "targets/names.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CLANG_SHIM_SYMBOL "attune_clang_shim"
enum { CLANG_SHIM_ABI = 1 }; /* of this header; the first field of the table in every version */

struct clang_shim {
	int abi;
	const char *version; /* of the compiler, as it calls itself */
	/* Text to relocatable object, by the arguments of clang -cc1. 0: done; 1: errors; 2: the compiler
	 * crashed and was recovered. Diagnostics are never NULL; warnings are in them too. */
	int (*compile)(const char *text, const char *const *arguments, int n, void **bytes, size_t *size,
	               char **diagnostics);
	/* Object to code, linked at once. NULL with diagnostics. */
	void *(*load)(const void *bytes, size_t size, char **diagnostics);
	void *(*symbol)(const void *module, const char *name); /* NULL: not defined there */
	void (*unload)(void *module);
};

/* `names` is all that loaded code sees of the process; it must outlive it. NULL with diagnostics. */
typedef const struct clang_shim *clang_shim_open(const struct name *names, char **diagnostics);
clang_shim_open attune_clang_shim;

#ifdef __cplusplus
}
#endif
#endif
