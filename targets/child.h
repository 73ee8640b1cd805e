/* child.h: work for a forked child, because it may crash, or leave behind in the process what must not be
 * there. */
#ifndef ATTUNE_TARGETS_CHILD_H
#define ATTUNE_TARGETS_CHILD_H

#include <stdbool.h>
#include <stddef.h>

/* Runs work(data, out) in a child and gives all that it wrote to `out`: malloc'ed, its length in `size`.
 * NULL, with the reason, when no child could be made, it did not end well, or took longer than
 * `seconds`. The caller is outside of the gate. The child has a copy of this process's memory and none of its
 * other threads; it dies with the thread that made it. */
void *child_read(void (*work)(const void *data, int out), const void *data, int seconds, size_t *size,
                 char *why, size_t room);
/* For the child: false when the parent has gone. */
bool child_write(int out, const void *bytes, size_t size);

#endif
