/* workload.h: the arguments of a kernel at one shape, sets of inputs for it, and what has to come out.
 *
 * Expected values are float64. Whoever computes them, computes them from the inputs as stored, so storage
 * rounding of an input is no error of a kernel.
 */
#ifndef ATTUNE_SEARCH_WORKLOAD_H
#define ATTUNE_SEARCH_WORKLOAD_H

#include "dsl/cascade.h"

struct argument {
	const char *name;
	enum dtype dtype;
	enum role role;  /* ROLE_IN or ROLE_OUT */
	uint32_t tensor; /* in the cascade */
	int nranks;
	int64_t extent[MAX_RANKS], stride[MAX_RANKS]; /* dense, row-major, in elements */
	int64_t count;
	size_t bytes;
};

/* Two sets of inputs: standard normal, and one whose products and sums of products are large, where a softmax
 * without its maximum overflows. */
enum { SET_NORMAL, SET_LARGE, INPUT_SETS };
extern const char *const input_set_name[INPUT_SETS];

struct workload {
	const char *shape; /* "B=1 H=8 …", for messages */
	int arguments;
	struct argument *argument;
	double multiply_adds;          /* of all equations; what computing it naively costs */
	void **input[INPUT_SETS];      /* one an argument, as stored; NULL for outputs and unused sets */
	double **expected[INPUT_SETS]; /* one an argument; NULL for inputs, and until they are known */
	double *careful;               /* one an argument: the error of a careful f32 implementation on normal
	                                  inputs; NULL: not asked for */
};

/* Of a bound cascade, in `arena`; no set has inputs yet. */
struct workload *workload_new(struct arena *, const struct cascade *);

/* Draws a set of inputs. Floats are normal, times `amplitude`; an integer that indexes a tensor stays in its
 * range, one that is compared with an index rises from 0 to its extent along the last rank, like offsets and
 * lengths, other integers are small and sorted there, like ids of documents; bools are mostly true. */
void workload_inputs(struct arena *, struct workload *, const struct cascade *, int set, double amplitude,
                     uint64_t seed);

/* The same of one argument, into `data`. */
void workload_fill(const struct cascade *, const struct argument *, double amplitude, uint64_t *random, void *data);

/* cascade_flops, where predicates read the set's inputs. */
double workload_flops(const struct workload *, struct cascade *, int set);

/* Fills in expected[set] by the oracle. False with the reason when it fails or needs more than `memory`
 * bytes. */
bool workload_oracle(struct arena *, struct workload *, const struct cascade *, int set, size_t memory,
                     struct text *reason);

/* The normalised error of an output: the largest over its elements of |got − want| by the larger of |want|
 * and the root mean square of all finite wanted ones, or, of types of at most 16 bits, of those of its fiber along the last
 * rank where that is larger. INFINITY where one is NaN or infinite and the other is
 * not, or whole numbers differ. Numbers past what the type holds are not compared. `at`: the element it was
 * found at. */
double workload_error(const struct argument *, const void *got, const double *want, int64_t *at);
/* The error that is still right for an output of this type. */
double workload_bound(enum dtype, int set);
/* The same for argument i of a workload: four times what a careful f32 implementation makes, where that is known
 * and more. */
double workload_allows(const struct workload *, int i, int set);

#endif
