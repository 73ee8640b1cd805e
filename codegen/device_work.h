/* device_work.h: what the phases of a tile program make a device do, counted without data and before any text:
 * what the tensor cores, the plain ones and the memories are asked for. Tensor cores work on whole blocks, so what is
 * counted is what they do: rows in sixteens, lanes in eights, steps of the contraction as long as the instruction's.
 */
#ifndef ATTUNE_CODEGEN_DEVICE_WORK_H
#define ATTUNE_CODEGEN_DEVICE_WORK_H

#include "codegen/tile.h"

struct device_work {
	double tasks;
	double contract[OPERANDS];   /* flop, multiply and add apart */
	double map_flops, exps;      /* of plain cores, of special functions */
	double bytes;                /* asked of tensors */
	double operand_bytes;        /* read from shared memory: second operands, by every warp */
	double footprint;            /* bytes of the tensors that are touched, each counted once */
	double steps;                /* of walks, of all tasks together */
	/* What a task does one after the other, of all tasks together: instructions of tensor cores and of plain ones
	 * that each need the one before, reductions across lanes, maps and those of them with special functions. */
	double matrix_chain, plain_chain, reductions, maps, special_maps;
	int stages;                  /* of the ring of the walk; 0: loads are waited for */
	double heaviest;             /* the task with the most to do, by the mean of all; at least 1 */
	bool down;                   /* the heaviest first */
};

/* Of one phase of a checked program; `sample`: at most so many of its tasks are looked at. */
void device_work(const struct tile_program *, uint32_t phase, int64_t sample, struct device_work *);

#endif
