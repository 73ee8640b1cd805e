/* variants.h: schedules near the default of a device: what a pack takes along to be timed. */
#ifndef ATTUNE_GPU_VARIANTS_H
#define ATTUNE_GPU_VARIANTS_H

#include "codegen/schedule.h"

struct variants {
	VEC(struct schedule) list;
};
/* Legal schedules other than `from` itself, those with the fewest changed decisions first. `split`: also
 * walks cut in parts, for problems whose tasks alone do not fill a device. */
void variants_of(struct arena *, const struct problem *, const struct schedule *from, bool split,
                 struct variants *);
/* Every second one from now on is the next of those that the static model takes for the quickest. */
void variants_by_model(struct arena *, const struct problem *, struct variants *);
/* The same schedule with every contraction in the type of computation, and tiles small enough to be legal;
 * false when there is none. `smaller`: halves tiles that many times more. */
bool variant_exact(struct arena *, const struct problem *, const struct schedule *from, int smaller,
                   struct schedule *out);

#endif
