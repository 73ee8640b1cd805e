/* crash.h: a call into a library that may crash, which this process survives. What the library held is leaked
 * and what it locked stays locked: it is not to be called again. */
#ifndef ATTUNE_TARGETS_CRASH_H
#define ATTUNE_TARGETS_CRASH_H

/* call(data); 0, or the signal that ended it. From any number of threads at once; not from inside itself. The
 * process's own handlers of SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT are back when no such call runs, and
 * hear of crashes elsewhere meanwhile. */
int crash_catch(void (*call)(void *), void *data);

#endif
