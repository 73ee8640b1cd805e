/* options.h: the command line as a value. The only place that reads the environment. */
#ifndef ATTUNE_CLI_OPTIONS_H
#define ATTUNE_CLI_OPTIONS_H

#include "attune.h"

enum command {
#define COMMAND(name, ...) COMMAND_##name,
#include "cli/commands.h"
#undef COMMAND
	COMMANDS
};

enum { MAX_WORDS = 256 };
/* NAME=TEXT */
struct pair {
	const char *name, *text;
};
struct pairs {
	int n;
	struct pair v[MAX_WORDS];
};
struct bindings {
	int n;
	struct attune_binding v[MAX_WORDS];
};
struct words {
	int n;
	const char *v[MAX_WORDS];
};

struct options {
	enum command command;
	struct words word; /* what is no option: files, or a command's own words */
	struct bindings rank, param;
	struct pairs input, type, as;
	struct words fill;   /* equations */
	struct words output; /* -o: TENSOR=FILE or a folder */
	char cache_file[4096]; /* where cache points when the environment says where */
	const char *schedule, *stage, *target, *arch, *isa, *strategy, *record, *name, *cache,
	        *pack, *archs, *peers, *svg;
	double budget; /* seconds */
	int threads, evaluations, rounds;
	uint64_t seed;
	bool json, oracle, compare, quick, map, measure;
	bool utf8; /* what the environment says of the terminal's letters */
};

/* Fills `o`, whose strings are argv's, cut where they stand. False after printing what is
 * wrong and what was likely meant. */
bool options_parse(struct options *o, int argc, char **argv);
const char *command_name(enum command);
/* Help on one command, or an overview with COMMANDS. */
void print_help(enum command);
/* COMMANDS, after a message with the likely name, when there is none. */
enum command command_find(const char *name);

#endif
