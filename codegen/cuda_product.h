/* cuda_product.h: a contraction on tensor cores, as cuda_contract.c and cuda_operand.c see it; nobody else
 * includes it.
 *
 * Rows in groups of 16 (i), lanes in groups of 8 (j), the reduced index in steps (k) of 32 bytes of the
 * operands' type: 16 elements of 16 bits, 8 of tf32, 32 of i8. For each step the fragments of a for all i,
 * then those of b for each pair of j, used for all i: so operand b is loaded once a warp, and few registers
 * are taken.
 */
#ifndef ATTUNE_CODEGEN_CUDA_PRODUCT_H
#define ATTUNE_CODEGEN_CUDA_PRODUCT_H

#include "codegen/cuda.h"

struct product {
	struct cuda *c;
	const struct tile_statement *s;
	uint32_t a;       /* value */
	bool registers_a; /* a is computed as a fragment, and taken from there */
	const struct shared_tile *tile_a, *tile_b;
	const char *stage_b;
	bool b_by_lanes;         /* rows of b's tile are the lanes; else the reduced index */
	bool matrix_a, matrix_b; /* ldmatrix brings the fragments; else element by element */
	int each, steps, lanes;  /* elements of a step; steps; groups of lanes */
	const char
	        *left; /* coordinates of the reduced index from its low; NULL: operand a has zeroes beyond */
	const char *row_a, *column_a, *row_b, *column_b; /* where the operands begin in their tiles */
	const char *i, *j, *k;                           /* C names */
	const char *at_a, *at_b; /* C names of the addresses where a thread's matrices begin */
};

/* What is known before code is made; b is not looked at when `contract` is only to fill a's registers. */
void product_init_a(struct product *, struct cuda *, const struct tile_statement *contract);
void product_init_b(struct product *, struct c_block *);
/* Declares at_a, and left as what the thread's own elements are compared with; at_b. */
void product_begin_a(struct product *, struct c_block *);
void product_begin_b(struct product *, struct c_block *);
/* Fills x[4], C text, with a's fragment at (i, k). */
void product_a(struct product *, struct c_block *, const char *x);
/* Declares x: the fragments of b at (k, j) and (k, j + 1), x[4], where matrix_b; else at (k, j), x[2]. */
void product_b(struct product *, struct c_block *, const char *x);

#endif
