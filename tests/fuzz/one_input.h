/* one_input.h: what must hold for any bytes at all; the fuzzer and the replay of what it found share it.
 *
 * The input is read as an .att file, as a streams text and as a tile program. Whatever is accepted must print
 * to a text that reads back to one that prints the same; a cascade goes on through the analysis.
 */
#ifndef ATTUNE_TESTS_ONE_INPUT_H
#define ATTUNE_TESTS_ONE_INPUT_H

#include <string.h>

#include "codegen/stream.h"
#include "codegen/tile.h"
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

/* Runs one property in an arena of its own; running out of its 256 MiB is a result like any other. */
static const char *one_property(one_input_property *property, const char *s, size_t n)
{
	struct arena a;
	jmp_buf env;
	const char *volatile wrong = NULL;
	arena_init(&a);
	a.limit = (size_t)256 << 20;
	if (ARENA_TRY(&a, &env))
		wrong = property(&a, s, n);
	arena_free(&a);
	return wrong;
}

static const char *one_input(const char *s, size_t n)
{
	one_input_property *const properties[] = {as_cascade, as_streams, as_tile};
	const char *wrong = NULL;
	for (size_t i = 0; i < sizeof properties / sizeof *properties && !wrong; i++)
		wrong = one_property(properties[i], s, n);
	return wrong;
}

#endif
