/* cli.h: what the commands share. Each is a function of the options that returns an exit status. */
#ifndef ATTUNE_CLI_CLI_H
#define ATTUNE_CLI_CLI_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "cli/options.h"

#define COMMAND(id, function, ...) int command_##function(const struct options *);
#include "cli/commands.h"
#undef COMMAND

/* Prints "attune: message" and returns the status. */
int complain(const struct attune_error *);
int complain_of(enum attune_status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The whole of a file, '-' for standard input; malloc'ed, NUL-terminated. NULL after printing why. */
char *read_whole(const char *path, size_t *size);

/* A context with the options' cache, threads, ISA and target. */
struct attune_context *open_context(const struct options *, int *status);
/* The one file of the command line, parsed, with diagnostics printed and ranks bound; NULL after printing
 * what is wrong. */
struct attune_program *open_program(struct attune_context *, const struct options *, int *status);
/* Have all ranks an extent? Else false after printing which to give. */
bool has_extents(const struct attune_program *, int *status);
/* A program from `path`; set, to be freed, also when the text was at fault. */
int read_program(struct attune_context *, const char *path, const struct options *, struct attune_program **);
/* The text of the file --schedule names; NULL, *status 0, when there is none. */
char *open_schedule(const struct options *, int *status);
/* Prints what the cache has to say, if anything. */
void report_cache(struct attune_context *);

/* Prints and deletes. */
int print_json(cJSON *);
/* A number JSON can hold, else null: NaN and infinities have no spelling there. */
void json_number(cJSON *, const char *name, double);

/* "1.234 ms": three or four digits and a unit that fits, in `text`, which is returned. */
const char *seconds_text(double seconds, char text[32]);

#endif
