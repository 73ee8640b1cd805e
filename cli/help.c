/* attune help */
#include "cli/cli.h"

int command_help(const struct options *o)
{
	enum command c = o->word.n ? command_find(o->word.v[0]) : COMMANDS;
	if (o->word.n && c == COMMANDS)
		return ATTUNE_USAGE;
	print_help(c);
	return 0;
}
