/* stages_test.c: every example through every stage, on ragged shapes and many schedules. */
#include <stdio.h>

#include "dsl/parse.h"
#include "tests/stages.h"
#include "tests/plain_examples.h"
#include "tests/tap.h"

struct shape {
	int64_t n, m, d;
	int points; /* random schedules */
};

static const struct shape shapes[] = {
	{63, 200, 64, 3}, {200, 63, 60, 2}, {63, 63, 128, 2}, {1, 200, 64, 4},
	{200, 1, 60, 4},  {1, 1, 128, 8},   {17, 40, 8, 20}, {3, 150, 24, 12},
};

/* Queries by N, keys by M, whatever is contracted or kept by D; few batches and heads. */
static int64_t extent_of(const char *rank, const struct shape *s)
{
	switch (*rank) {
	case 'B': return 1;
	case 'H': return 4;
	case 'N':
	case 'T': return s->n;
	case 'M': return s->m;
	default: return s->d;
	}
}

static struct cascade *bound(struct arena *a, const char *path, const struct shape *shape, struct text *errors)
{
	size_t size;
	char *source = stages_file(a, path, &size);
	struct diags d;
	text_init(errors, a);
	diags_init(&d, a, path, source, size);
	struct cascade *c = cascade_parse(a, source, size, NULL, 0, &d);
	diags_print(&d, errors);
	for (uint32_t i = 0; c && i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND)
			c->rank.v[i].extent = extent_of(c->rank.v[i].name, shape);
	return c;
}

/* At a real size programs are too large to interpret, but not to check. */
static void try_large(const char *path)
{
	static const struct shape large = {2048, 4096, 128, 40};
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	if (ARENA_TRY(&a, &env)) {
		struct text why;
		struct diags d;
		struct stages s = {.arena = &a, .random = 3, .cascade = bound(&a, path, &large, &why)};
		text_init(&s.fault, &a);
		diags_init(&d, &a, path, "", 0);
		bool good = s.cascade && (s.problem = problem_new(&a, s.cascade, &stages_machine, &d));
		for (int i = 0; good && i < large.points; i++) {
			struct schedule schedule = i ? stages_random(&s, (enum isa)(i % ISAS))
			                             : schedule_default(s.problem, ISA_AVX512);
			struct tile_program *p = tile_build(&a, s.problem, &schedule);
			good = tile_check(p, &s.fault) && stages_text(&s, p);
			if (!good)
				schedule_print(s.problem, &schedule, &s.fault);
		}
		ok(good, "%s at full size: %d programs check and read back %s%s", path, large.points, why.s, s.fault.s);
	} else {
		ok(false, "%s: memory", path);
	}
	arena_free(&a);
}

static void try_shape(const char *path, const struct shape *shape)
{
	struct arena a;
	jmp_buf env;
	arena_init(&a);
	a.limit = (size_t)2 << 30;
	if (!ARENA_TRY(&a, &env)) {
		ok(false, "%s: memory", path);
		arena_free(&a);
		return;
	}
	struct text errors;
	struct cascade *c = bound(&a, path, shape, &errors);
	if (!c) {
		ok(false, "%s parses: %s", path, errors.s);
		arena_free(&a);
		return;
	}
	struct stages s;
	bool good = stages_begin(&s, &a, c, 1);
	struct schedule schedule;
	for (int i = 0; good && i < shape->points + 4; i++) {
		enum isa isa = (enum isa)(i % ISAS);
		schedule = i == 0   ? schedule_default(s.problem, ISA_AVX512)
		           : i == 1 ? schedule_naive(s.problem, ISA_AVX512)
		           : i == 2 ? schedule_default(s.problem, ISA_SM80)
		           : i == 3 ? schedule_naive(s.problem, ISA_SM80)
		                    : stages_random(&s, isa);
		good = stages_schedule(&s, &schedule);
		if (!good) {
			schedule_print(s.problem, &schedule, &errors);
			printf("# with the schedule\n%s", errors.s);
		}
	}
	ok(good, "%s N %d M %d D %d: all stages agree on %d schedules %s", path, (int)shape->n, (int)shape->m,
	   (int)shape->d, shape->points + 4, s.fault.s);
	arena_free(&a);
}

int main(void)
{
	for (size_t i = 0; i < PLAIN_EXAMPLES; i++)
		try_large(plain_example[i]);
	for (size_t i = 0; i < PLAIN_EXAMPLES; i++)
		for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
			try_shape(plain_example[i], &shapes[k]);
	return tap_done();
}
