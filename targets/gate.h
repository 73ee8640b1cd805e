/* gate.h: compilers that live in this process keep locks of their own, and fork copies a lock as it is.
 * Whoever calls into one is inside the gate; a fork waits until nobody is, so that no child finds such a lock
 * held for good. */
#ifndef ATTUNE_TARGETS_GATE_H
#define ATTUNE_TARGETS_GATE_H

#include <stdbool.h>

void gate_enter(void); /* not while inside already */
bool gate_try(void);   /* false while somebody forks */
void gate_leave(void);

#endif
