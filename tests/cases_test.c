/* Every program of tests/cases through every stage before C, on a few shapes and schedules: what the language can
 * say, the stages can do. */
#include <dirent.h>
#include <stdlib.h>

#include "dsl/parse.h"
#include "tests/stages.h"
#include "tests/tap.h"

enum { SHAPES = 4, SCHEDULES = 6 };
/* Extents of unbound ranks, in order of declaration, again from the start when there are more. */
static const int64_t shapes[SHAPES][6] = {
        {8, 16, 32, 48, 8, 16}, {16, 16, 16, 16, 16, 16}, {2, 4, 70, 33, 6, 10}, {1, 1, 1, 1, 1, 1}};

static struct cascade *parse_file(struct arena *a, const char *path)
{
	struct text t;
	struct diags d;
	char block[4096];
	text_init(&t, a);
	FILE *f = fopen(path, "rb");
	for (size_t n; f && (n = fread(block, 1, sizeof block, f)) > 0;)
		text_bytes(&t, block, n);
	if (f)
		fclose(f);
	diags_init(&d, a, path, t.s, t.len);
	return cascade_parse(a, t.s, t.len, NULL, 0, &d);
}

/* Some programs divide an extent: not every shape is one of theirs. */
static bool bind(struct arena *a, struct cascade *c, const int64_t *extent)
{
	struct diags d;
	diags_init(&d, a, "bound", "", 0);
	for (uint32_t r = 0; r < c->rank.n; r++)
		if (c->rank.v[r].extent == NOT_BOUND)
			c->rank.v[r].extent = extent[r % 6];
	return cascade_check_bound(c, &d);
}

static bool through(struct stages *s, struct arena *a, struct cascade *c)
{
	if (!stages_begin(s, a, c, 7))
		return false;
	struct schedule schedule = schedule_default(s->problem, ISA_AVX512);
	for (int i = 0; i < SCHEDULES; i++) {
		if (!stages_schedule(s, &schedule))
			return false;
		schedule = i == 2  ? schedule_default(s->problem, ISA_SM80)
		           : i > 2 ? stages_random(s, ISA_SM80)
		                   : stages_random(s, i % 2 ? ISA_AVX2 : ISA_AVX512_BF16);
		if (isa_is_device(schedule.isa) && schedule.compute == DTYPE_F64)
			break; /* there is none */
	}
	return true;
}

static void try_file(const char *path)
{
	struct arena a;
	int fitting = 0;
	bool good = true;
	arena_init(&a);
	const struct cascade *c = parse_file(&a, path);
	for (int i = 0; c && good && i < SHAPES; i++) {
		struct stages s;
		struct cascade *bound = cascade_clone(&a, c);
		if (!bind(&a, bound, shapes[i]))
			continue;
		fitting++;
		good = through(&s, &a, bound);
		if (!good)
			printf("# shape %d: %s\n", i, s.fault.s);
	}
	ok(c && good && fitting, "%s on %d shapes", path, fitting);
	arena_free(&a);
}

static int is_att(const struct dirent *e)
{
	size_t n = strlen(e->d_name);
	return n > 4 && !strcmp(e->d_name + n - 4, ".att");
}

int main(void)
{
	struct dirent **entry;
	int n = scandir("tests/cases", &entry, is_att, alphasort);
	for (int i = 0; i < n; i++) {
		char path[300];
		snprintf(path, sizeof path, "tests/cases/%s", entry[i]->d_name);
		try_file(path);
		free(entry[i]);
	}
	if (n >= 0)
		free(entry);
	return tap_done();
}
