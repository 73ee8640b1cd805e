/* Every input that the fuzzer found fault with once, and its seeds, again: tests/fuzz/one_input.h says what must
 * hold. */
#include <dirent.h>
#include <stdlib.h>

#include "tests/fuzz/one_input.h"
#include "tests/tap.h"

static void replay(const char *folder, const char *name)
{
	struct arena arena;
	struct text t;
	char block[4096];
	arena_init(&arena);
	text_init(&t, &arena);
	FILE *f = fopen(arena_printf(&arena, "%s/%s", folder, name), "rb");
	for (size_t n; f && (n = fread(block, 1, sizeof block, f)) > 0;)
		text_bytes(&t, block, n);
	const char *wrong = f ? one_input(t.s, t.len) : "cannot be read";
	if (f)
		fclose(f);
	ok(!wrong, "%s/%s%s%s", folder, name, wrong ? ": " : "", wrong ? wrong : "");
	arena_free(&arena);
}

static int is_input(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

int main(void)
{
	static const char *const folders[] = {"tests/fuzz/found", "tests/fuzz/seeds", "tests/cases", "tests/errors"};
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		struct dirent **entry;
		int n = scandir(folders[i], &entry, is_input, alphasort);
		ok(n > 0, "%s has inputs", folders[i]);
		for (int k = 0; k < n; k++) {
			replay(folders[i], entry[k]->d_name);
			free(entry[k]);
		}
		if (n >= 0)
			free(entry);
	}
	return tap_done();
}
