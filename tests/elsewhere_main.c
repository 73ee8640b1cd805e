/* elsewhere_main.c: the program that stages_elsewhere.h builds around a kernel for another processor. It reads the
 * arguments from a file, lays each before a page that faults, runs the phases and writes the arguments back:
 *
 *     elsewhere IN OUT
 *
 * All numbers are 64-bit: arguments, bytes of work area and scratch; of each argument its bytes and ELSEWHERE_RANKS
 * strides; the arguments' bytes. OUT gets those only. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ELSEWHERE_RANKS = 16, MOST = 64 };

struct at_args {
	void *const *data;
	const int64_t *const *stride;
	void *work;
};
extern void (*const elsewhere_phase[])(const struct at_args *, long, long, void *);
extern const long elsewhere_tasks[];
extern const int elsewhere_phases;

static void *before_guard(int64_t bytes, int64_t align)
{
	int64_t page = sysconf(_SC_PAGESIZE), size = (bytes + align - 1) / align * align;
	int64_t inner = (size + page - 1) / page * page;
	char *map = mmap(NULL, (size_t)(inner + page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED || mprotect(map + inner, (size_t)page, PROT_NONE))
		abort();
	return memset(map + inner - size, 0xff, (size_t)size);
}

static void read_all(void *to, int64_t bytes, FILE *f)
{
	if (fread(to, 1, (size_t)bytes, f) != (size_t)bytes)
		abort();
}

int main(int argc, char **argv)
{
	int64_t head[3], size[MOST], stride[MOST][ELSEWHERE_RANKS];
	const int64_t *strides[MOST];
	void *data[MOST];
	FILE *in = argc == 3 ? fopen(argv[1], "rb") : NULL, *out = in ? fopen(argv[2], "wb") : NULL;
	if (!out)
		return 2;
	read_all(head, sizeof head, in);
	for (int64_t i = 0; i < head[0] && i < MOST; i++) {
		read_all(&size[i], sizeof size[i], in);
		read_all(stride[i], sizeof stride[i], in);
		strides[i] = stride[i];
	}
	for (int64_t i = 0; i < head[0] && i < MOST; i++)
		read_all(data[i] = before_guard(size[i], 1), size[i], in);
	struct at_args args = {data, strides, before_guard(head[1], 64)};
	char *scratch = before_guard(head[2], 64);
	for (int p = 0; p < elsewhere_phases; p++) {
		long half = elsewhere_tasks[p] / 2;
		memset(scratch, 0xff, (size_t)head[2]);
		elsewhere_phase[p](&args, half, elsewhere_tasks[p], scratch);
		elsewhere_phase[p](&args, 0, half, scratch);
	}
	for (int64_t i = 0; i < head[0]; i++)
		if (fwrite(data[i], 1, (size_t)size[i], out) != (size_t)size[i])
			return 2;
	return fclose(out) ? 2 : 0;
}
