/* tap.h: the Test Anything Protocol for a C test program; prove(1) reads it. */
#ifndef ATTUNE_TESTS_TAP_H
#define ATTUNE_TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 4, 5), unused)) static bool tap_ok(bool good, const char *file, int line,
                                                                 const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	if (!good) {
		tap_failed++;
		printf("#   failed at %s:%d\n", file, line);
	}
	fflush(stdout);
	return good;
}

/* ok(condition, "what %s", …) */
#define ok(good, ...) tap_ok((good), __FILE__, __LINE__, __VA_ARGS__)

__attribute__((unused)) static void tap_skip(const char *why)
{
	printf("ok %d # SKIP %s\n", ++tap_count, why);
	fflush(stdout);
}

/* The last line of main: return tap_done(); */
static int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

#endif
