#include "base/hash.h"

#include <stdio.h>
#include <sys/types.h>

#include <sha256.h>

char *digest_text(struct arena *a, const void *p, size_t n)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	SHA256_CTX c;
	SHA256Init(&c);
	SHA256Update(&c, p, n);
	SHA256Final(sum, &c);
	char *s = arena_alloc(a, 2 * sizeof sum + 1);
	for (size_t i = 0; i < sizeof sum; i++)
		snprintf(s + 2 * i, 3, "%02x", sum[i]);
	return s;
}
