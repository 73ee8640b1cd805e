/* arena.h: memory that is freed all at once.
 *
 * One arena per compilation, one per candidate; nothing inside is freed alone.
 * An allocation never returns NULL: when memory runs out, or the n-th allocation is made to
 * fail by a test, control leaves through `arena->out_of_memory` with longjmp. An owner of an
 * arena sets that buffer with ARENA_TRY before it starts work; without one the process ends
 * with a message, which is a bug of the owner. Memory comes back zeroed and aligned to 16 bytes.
 */
#ifndef ATTUNE_BASE_ARENA_H
#define ATTUNE_BASE_ARENA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct arena_block;

struct arena {
	struct arena_block *block; /* newest first */
	char *at, *end;            /* free part of the newest block */
	size_t total;              /* bytes asked from the system */
	size_t limit;              /* 0: none; else running past it counts as out of memory */
	uint64_t count;            /* allocations so far */
	uint64_t fail_at;          /* 0: never; n: the n-th allocation fails (tests) */
	jmp_buf *out_of_memory;
};

void arena_init(struct arena *);
void arena_free(struct arena *);

void *arena_alloc(struct arena *, size_t size);
/* As arena_alloc, with n * size checked for overflow. */
void *arena_array(struct arena *, size_t n, size_t size);
void *arena_copy(struct arena *, const void *, size_t size);
char *arena_strdup(struct arena *, const char *);
char *arena_strndup(struct arena *, const char *, size_t);
char *arena_printf(struct arena *, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *, const char *format, va_list) __attribute__((format(printf, 2, 0)));

#define arena_new(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define arena_new_array(arena, n, type) ((type *)arena_array((arena), (n), sizeof(type)))

/* if (ARENA_TRY(&arena, &env)) { work } else { out of memory }.  The function that contains it
 * must still be on the stack while `arena` is used. */
#define ARENA_TRY(arena, env) ((arena)->out_of_memory = (env), setjmp(*(env)) == 0)

/* A growable array in an arena: struct { type *v; uint32_t n, cap; }. Pushing may move it. */
#define VEC(type)                                                                                            \
	struct {                                                                                             \
		type *v;                                                                                     \
		uint32_t n;                                                                                  \
		uint32_t cap;                                                                                \
	}
#define vec_push(arena, vec, ...)                                                                            \
	(*((vec)->n == (vec)->cap ? ((vec)->v = vec_grow((arena), (vec)->v, &(vec)->cap, sizeof *(vec)->v))  \
	                          : (vec)->v,                                                                \
	   &(vec)->v[(vec)->n++]) = (__VA_ARGS__))
void *vec_grow(struct arena *, void *old, uint32_t *cap, size_t size);

#endif
