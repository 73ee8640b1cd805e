/* libFuzzer over every text parser and the analysis: make fuzz.
 *
 * Half of the mutations are libFuzzer's, on bytes; the others move whole words and lines, so that texts which
 * parse turn into others that do and the analysis is reached.
 */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/one_input.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t size, size_t limit, unsigned seed);
size_t LLVMFuzzerMutate(unsigned char *data, size_t size, size_t limit);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	/* A copy of the exact size, so that reading past it is caught. */
	char *s = malloc(size ? size : 1);
	if (!s)
		return 0;
	memcpy(s, data, size);
	const char *wrong = one_input(s, size);
	free(s);
	if (wrong) {
		fprintf(stderr, "%s\n", wrong);
		abort();
	}
	return 0;
}

static bool word(unsigned char c)
{
	return isalnum(c) || c == '_';
}

/* The word, or the line, around a place. */
static void piece(const unsigned char *s, size_t n, size_t at, bool line, size_t *begin, size_t *end)
{
	*begin = at;
	*end = at;
	if (line) {
		while (*begin > 0 && s[*begin - 1] != '\n')
			--*begin;
		while (*end < n && s[(*end)++] != '\n')
			;
		return;
	}
	while (*begin > 0 && word(s[*begin - 1]))
		--*begin;
	while (*end < n && word(s[*end]))
		++*end;
	if (*begin == *end)
		++*end;
}

/* A piece of the text takes the place of another one, or is put before or deleted. */
size_t LLVMFuzzerCustomMutator(unsigned char *s, size_t n, size_t limit, unsigned seed)
{
	unsigned char copy[4096];
	uint64_t random = seed * 6364136223846793005u + 1442695040888963407u;
	if (n < 2 || n > sizeof copy || seed % 2)
		return LLVMFuzzerMutate(s, n, limit);
	bool line = random >> 20 & 1;
	unsigned what = random >> 21 & 3;
	size_t from, from_end, to, to_end;
	piece(s, n, (size_t)(random >> 24 & 0xfffff) % n, line, &from, &from_end);
	piece(s, n, (size_t)(random >> 44) % n, line, &to, &to_end);
	if (what == 0)
		from_end = from; /* delete */
	if (what == 1)
		to_end = to; /* insert */
	size_t added = from_end - from, removed = to_end - to;
	if (n - removed + added > limit || to_end > n)
		return LLVMFuzzerMutate(s, n, limit);
	memcpy(copy, s, n);
	memcpy(s + to, copy + from, added);
	memcpy(s + to + added, copy + to_end, n - to_end);
	return n - removed + added;
}
