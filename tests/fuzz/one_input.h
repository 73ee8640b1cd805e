/* one_input.h: what must hold for any bytes at all; the fuzzer and the replay of what it found share it.
 *
 * The input is read as an .att file, a streams text, a schedule and a tile program. Whatever is accepted must
 * print to a text that reads back to one that prints the same. A program goes on through the analysis, and
 * with small extents through the default schedule to a tile program that the checker accepts and to C.
 */
#ifndef ATTUNE_TESTS_ONE_INPUT_H
#define ATTUNE_TESTS_ONE_INPUT_H

#include <stdio.h>
#include <string.h>

#include "codegen/schedule.h"
#include "dsl/parse.h"

/* NULL, or what went wrong. */
typedef const char *one_input_property(struct arena *, const char *, size_t);

static const char *as_streams(struct arena *a, const char *s, size_t n)
{
	struct diags d;
	struct text once, twice;
	diags_init(&d, a, "input", s, n);
	struct streams *x = streams_parse(a, s, n, &d);
	if (!x)
		return d.errors ? NULL : "streams text refused without an error";
	text_init(&once, a);
	text_init(&twice, a);
	streams_print(x, &once);
	diags_init(&d, a, "printed", once.s, once.len);
	if (!(x = streams_parse(a, once.s, once.len, &d)))
		return "streams text does not read back";
	streams_print(x, &twice);
	return strcmp(once.s, twice.s) ? "streams text reads back to another" : NULL;
}

static const char *as_tile(struct arena *a, const char *s, size_t n)
{
	struct diags d;
	struct text once, twice;
	diags_init(&d, a, "input", s, n);
	struct tile_program *x = tile_parse(a, s, n, &d);
	if (!x)
		return d.errors ? NULL : "tile program refused without an error";
	text_init(&once, a);
	text_init(&twice, a);
	tile_print(x, &once);
	diags_init(&d, a, "printed", once.s, once.len);
	if (!(x = tile_parse(a, once.s, once.len, &d)))
		return "tile program does not read back";
	tile_print(x, &twice);
	if (strcmp(once.s, twice.s))
		return "tile program reads back to another";
	tile_check(x, &twice);
	return NULL;
}

static const char *as_cascade(struct arena *a, const char *s, size_t n)
{
	struct diags d;
	struct text once, twice;
	text_init(&once, a);
	text_init(&twice, a);
	diags_init(&d, a, "input", s, n);
	struct cascade *c = cascade_parse(a, s, n, NULL, 0, &d);
	diags_print(&d, &twice);
	if (!c)
		return d.errors ? NULL : "program refused without an error";
	if (d.errors)
		return "program with errors accepted";
	cascade_print(c, &once);
	text_init(&twice, a);
	diags_init(&d, a, "printed", once.s, once.len);
	struct cascade *again = cascade_parse(a, once.s, once.len, NULL, 0, &d);
	if (!again)
		return "canonical cascade does not read back";
	cascade_print(again, &twice);
	if (strcmp(once.s, twice.s))
		return "canonical cascade reads back to another";
	if (strcmp(cascade_digest(c), cascade_digest(again)))
		return "canonical cascade has another digest";
	pass_table(a, c);
	struct streams *x = streams_derive(a, c, &(struct stream_options){0});
	text_init(&once, a);
	streams_print(x, &once);
	diags_init(&d, a, "streams", once.s, once.len);
	if (!streams_parse(a, once.s, once.len, &d))
		return "derived streams do not read back";
	return as_streams(a, once.s, once.len);
}

/* A device may refuse a program or its default with a reason; a host has a kernel for all. */
static const char *as_kernel_of(struct arena *a, const struct problem *problem, enum isa isa)
{
	struct diags d;
	struct text text;
	text_init(&text, a);
	struct schedule schedule = schedule_default(problem, isa), again;
	const char *why = schedule_illegal(a, problem, &schedule);
	if (why)
		return isa < HOST_ISAS ? "the default schedule is illegal" : NULL;
	schedule_print(problem, &schedule, &text);
	diags_init(&d, a, "schedule", text.s, text.len);
	if (!schedule_parse(problem, text.s, text.len, &again, &d))
		return "the default schedule does not read back";
	struct tile_program *program = tile_build(a, problem, &schedule);
	text_init(&text, a);
	if (!tile_check(program, &text))
		return arena_printf(a, "the tile program is refused: %s", text.s);
	struct kernel_source source = emit_kernel(a, program, schedule.isa, schedule.exp_degree);
	if (source.text && strlen(source.text))
		return NULL;
	return source.device && source.reason && *source.reason ? NULL : "no text, and no reason";
}

static const char *as_kernel(struct arena *a, const char *s, size_t n)
{
	static const struct machine machine = {
	        .isa = ISA_AVX512, .cores = 2, .l1 = 32 << 10, .l2 = 1 << 20, .l3 = 16 << 20};
	static const int64_t extent[] = {4, 9, 1, 70, 6, 2, 16};
	struct diags d;
	diags_init(&d, a, "input", s, n);
	struct cascade *c = cascade_parse(a, s, n, NULL, 0, &d);
	for (uint32_t r = 0; c && r < c->rank.n; r++)
		if (c->rank.v[r].extent == NOT_BOUND)
			c->rank.v[r].extent = extent[(r + n) % (sizeof extent / sizeof *extent)];
	if (!c || !cascade_check_bound(c, &d))
		return NULL;
	struct problem *problem = problem_new(a, c, &machine, &d);
	if (!problem)
		return d.errors ? NULL : "no problem, and no error";
	const char *host = as_kernel_of(a, problem, ISA_AVX512);
	return host ? host : as_kernel_of(a, problem, ISA_SM80);
}

/* A schedule of causal attention: a legal one is a kernel. */
static const char *as_schedule(struct arena *a, const char *s, size_t n)
{
	static const char program[] =
	        "kernel flash_causal_gqa\nrank B = 1, H = 4, N = 63, M = 64, D = 16, E = 16\n"
	        "in Q[B,H,N,D], K[B,H/4,M,D], V[B,H/4,M,E]\nout O[B,H,N,E], L[B,H,N]\n"
	        "S[b,h,n,m] = Q[b,h,n,d] * K[b,h/4,m,d] / 4 where m <= n + (M - N)\n"
	        "P, L = softmax[m](S), logsumexp[m](S)\n"
	        "O[b,h,n,e] = P[b,h,n,m] * V[b,h/4,m,e]\n";
	static const struct machine machine = {
	        .isa = ISA_AVX512, .cores = 2, .l1 = 32 << 10, .l2 = 1 << 20, .l3 = 16 << 20};
	struct diags d;
	struct text once, twice;
	struct schedule x, y;
	if (n < 4 || memcmp(s, "isa ", 4))
		return NULL; /* a problem takes long; the inputs are mostly programs */
	text_init(&once, a);
	text_init(&twice, a);
	diags_init(&d, a, "program", program, strlen(program));
	struct cascade *c = cascade_parse(a, program, strlen(program), NULL, 0, &d);
	struct problem *problem = c ? problem_new(a, c, &machine, &d) : NULL;
	if (!problem)
		return "attention is no problem";
	diags_init(&d, a, "input", s, n);
	if (!schedule_parse(problem, s, n, &x, &d))
		return d.errors ? NULL : "schedule refused without an error";
	schedule_print(problem, &x, &once);
	diags_init(&d, a, "printed", once.s, once.len);
	if (!schedule_parse(problem, once.s, once.len, &y, &d))
		return "schedule does not read back";
	schedule_print(problem, &y, &twice);
	if (strcmp(once.s, twice.s))
		return "schedule reads back to another";
	if (schedule_illegal(a, problem, &x))
		return NULL;
	struct tile_program *tile = tile_build(a, problem, &x);
	text_init(&once, a);
	return tile_check(tile, &once) ? NULL : arena_printf(a, "the tile program is refused: %s", once.s);
}

/* Runs one property in an arena of its own; running out of its 256 MiB is a result like any other. */
static const char *one_property(one_input_property *property, const char *s, size_t n)
{
	struct arena a;
	jmp_buf env;
	const char *volatile wrong = NULL;
	arena_init(&a);
	a.limit = (size_t)256 << 20;
	static char why[200]; /* outlives the arena */
	if (ARENA_TRY(&a, &env) && (wrong = property(&a, s, n)) != NULL) {
		snprintf(why, sizeof why, "%s", wrong);
		wrong = why;
	}
	arena_free(&a);
	return wrong;
}

static const char *one_input(const char *s, size_t n)
{
	one_input_property *const properties[] = {as_cascade, as_streams, as_tile, as_kernel, as_schedule};
	const char *wrong = NULL;
	for (size_t i = 0; i < sizeof properties / sizeof *properties && !wrong; i++)
		wrong = one_property(properties[i], s, n);
	return wrong;
}

#endif
