/* arguments.h: the tensors of one run, from and to .npy files. */
#ifndef ATTUNE_CLI_ARGUMENTS_H
#define ATTUNE_CLI_ARGUMENTS_H

#include "cli/options.h"

enum { MAX_TENSORS = 64 };

/* A tensor and the memory it lies in, dense and row-major. */
struct argument {
	DLTensor tensor;
	int64_t shape[8];
	void *data; /* malloc'ed */
};

struct arguments {
	struct attune_program *program;
	const struct attune_tensor *declared;
	int n;
	struct argument v[MAX_TENSORS];
	const DLTensor *pointer[MAX_TENSORS]; /* as attune_call takes them; NULL where there is none yet */
};

/* Reads the inputs that the options name, converts them to the declared types, and binds the program's ranks from
 * their shapes. `all`: none may be missing. 0, or an exit status after printing what is wrong. Free in both cases. */
int arguments_read(struct arguments *, struct attune_program *, const struct options *, bool all);
/* Makes an output of every declared shape, poisoned; `wide`: as float64 whatever is declared. */
int arguments_make_outputs(struct arguments *, bool wide);
/* Writes the outputs that the options name. */
int arguments_write(const struct arguments *, const struct options *);
void arguments_free(struct arguments *);

/* Memory for a dense tensor; false after printing why not. */
bool argument_make(struct argument *, const char *name, DLDataType, int ndim, const int64_t *shape);

#endif
