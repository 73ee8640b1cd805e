/* npy.h: NumPy's array files, format versions 1 to 3, C and Fortran order.
 *
 * Types: f8 f4 f2, i8 i4 i1, u1, bool, and u2, which carries raw bf16 and is read as unsigned 16-bit integers.
 * Big-endian files are turned on reading. Header and size of a file are checked against each other, in 64 bits,
 * before anything is allocated; a bad file is an error with a reason, never a crash.
 */
#ifndef ATTUNE_CLI_NPY_H
#define ATTUNE_CLI_NPY_H

#include <dlpack/dlpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NPY_RANKS = 8 };
enum { DL_BOOL = 6, DL_FLOAT8_E4M3FN = 10, DL_FLOAT8_E5M2 = 12 }; /* of newer dlpack.h */

struct npy {
	DLTensor tensor; /* shape, strides and data point below and at malloc'ed memory; do not move the struct */
	int64_t shape[NPY_RANKS], stride[NPY_RANKS]; /* strides in elements, column-major for Fortran order */
};

/* False with the reason, without the path, in `why`. Give back with npy_free, also after false. */
bool npy_read(const char *path, struct npy *, char *why, size_t why_size);
void npy_free(struct npy *);

/* Writes any tensor of at most NPY_RANKS ranks, any strides, in C order as format 1, little-endian. bf16 is
 * written as u2, reals of 8 bits as u1, DLPack booleans as bool. The file is replaced at once or not at all.
 * False with the reason in `why`. */
bool npy_write(const char *path, const DLTensor *, char *why, size_t why_size);

#endif
