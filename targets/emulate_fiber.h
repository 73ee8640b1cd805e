/* emulate_fiber.h: stacks of their own, switched between without a system call.
 *
 * A fiber is started, runs till it switches to another, and goes on when somebody switches to it. All of it happens
 * in one thread. A stack ends in a guard page. Private to the emulator. */
#ifndef ATTUNE_TARGETS_EMULATE_FIBER_H
#define ATTUNE_TARGETS_EMULATE_FIBER_H

#include <stdbool.h>
#include <stddef.h>

struct fiber {
	void *stack_pointer;   /* while it does not run */
	char *low, *high;      /* its stack; both NULL: the thread's own */
	void *shadow;          /* AddressSanitizer's */
	void (*entry)(void *); /* never returns */
	void *context;
};

/* n stacks, in one piece. NULL: no memory. */
struct fiber_stacks {
	char *memory;
	size_t size;
};
bool fiber_stacks_new(struct fiber_stacks *, struct fiber **, int n);
void fiber_stacks_free(struct fiber_stacks *);

/* Makes the next switch to it call entry(context) on its stack, whose last `poison` bytes are all ones. */
void fiber_start(struct fiber *, void (*entry)(void *), void *context, size_t poison);
void fiber_switch(struct fiber *from, struct fiber *to);

#endif
