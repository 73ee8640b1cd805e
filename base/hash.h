/* hash.h: a fast hash for tables in memory, and SHA-256 as text for what names a thing on disk. */
#ifndef ATTUNE_BASE_HASH_H
#define ATTUNE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* FNV-1a over bytes; fine for short keys. */
static inline uint32_t hash_bytes(const void *p, size_t n, uint32_t h)
{
	for (const unsigned char *s = p; n--; s++)
		h = (h ^ *s) * 16777619u;
	return h;
}
#define HASH_SEED 0x811c9dc5u

/* 64 lower-case hexadecimal digits and a NUL. */
char *digest_text(struct arena *, const void *, size_t);

#endif
