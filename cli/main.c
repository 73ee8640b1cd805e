/* attune: the command line. Everything it can do is in attune.h. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>

int main(int argc, char **argv)
{
	static int (*const run[COMMANDS])(const struct options *) = {
#define COMMAND(id, function, ...) [COMMAND_##id] = command_##function,
#include "cli/commands.h"
#undef COMMAND
	};
	struct options options;
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("attune " ATTUNE_VERSION);
		return 0;
	}
	if (!options_parse(&options, argc, argv))
		return ATTUNE_USAGE;
	int status = run[options.command](&options);
	if (fflush(stdout) || ferror(stdout))
		return complain_of(ATTUNE_SYSTEM, "standard output: %s", strerror(errno));
	return status;
}
