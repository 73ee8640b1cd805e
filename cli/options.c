/* options.c: arguments and environment to struct options, by the tables in commands.h and switches.h. */
#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *synopsis, *summary, *about;
} commands[COMMANDS] = {
#define COMMAND(id, function, name, synopsis, summary, about) [COMMAND_##id] = {name, synopsis, summary, about},
#include "cli/commands.h"
#undef COMMAND
};

enum kind { FLAG, TEXT, WORDS, PAIRS, BINDINGS, TYPES, COUNT, SEED, SECONDS };
struct option_row {
	char letter;
	const char *name, *argument;
	enum kind kind;
	size_t member;
	unsigned commands;
	const char *help;
};
static const struct option_row switches[] = {
#define SWITCH(letter, name, argument, kind, member, commands, help)                                         \
	{letter, name, argument, kind, offsetof(struct options, member), commands, help},
#include "cli/switches.h"
#undef SWITCH
};
enum { SWITCHES = sizeof switches / sizeof *switches };

const char *command_name(enum command c)
{
	return commands[c].name;
}

__attribute__((format(printf, 1, 2))) static bool usage(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	fputs("attune: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	return false;
}

/* ---- what was likely meant ---- */

/* Edits from a to b: insert, delete, replace or swap neighbours. Longer words differ too much to be meant. */
static int distance(const char *a, const char *b)
{
	enum { LONGEST = 24 };
	int n = (int)strlen(a), m = (int)strlen(b);
	if (n > LONGEST || m > LONGEST)
		return LONGEST;
	int d[LONGEST + 1][LONGEST + 1];
	for (int i = 0; i <= n; i++)
		for (int j = 0; j <= m; j++) {
			if (!i || !j) {
				d[i][j] = i + j;
				continue;
			}
			int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	return d[n][m];
}

struct guess {
	const char *wanted, *best;
	int distance;
};

static void consider(struct guess *g, const char *name)
{
	int d = distance(g->wanted, name);
	if (d < g->distance) {
		g->distance = d;
		g->best = name;
	}
}

/* At most a third of a word may be wrong. */
static struct guess guess_new(const char *wanted)
{
	return (struct guess){wanted, NULL, (int)strlen(wanted) / 3 + 2};
}

enum command command_find(const char *name)
{
	struct guess g = guess_new(name);
	for (enum command c = 0; c < COMMANDS; c++) {
		if (!strcmp(commands[c].name, name))
			return c;
		consider(&g, commands[c].name);
	}
	if (g.best)
		usage("there is no command '%s'; did you mean '%s'?", name, g.best);
	else
		usage("there is no command '%s'; 'attune help' lists them", name);
	return COMMANDS;
}

/* ---- help ---- */

static void print_switch(const struct option_row *s)
{
	char left[64];
	snprintf(left, sizeof left, "%s%c%s--%s%s%s", s->letter ? "-" : " ", s->letter ? s->letter : ' ',
	         s->letter ? ", " : "  ", s->name, s->argument ? " " : "", s->argument ? s->argument : "");
	printf("  %-26s  %s\n", left, s->help);
}

void print_help(enum command c)
{
	if (c == COMMANDS) {
		puts("usage: attune COMMAND [ARGUMENT...]\n\n"
		     "Derives fused kernels from Einsums, tunes them on this machine, verifies and keeps "
		     "them.\n");
		for (enum command i = 0; i < COMMANDS; i++)
			printf("  %-9s  %s\n", commands[i].name, commands[i].summary);
		puts("\n'attune help COMMAND' tells all about one; 'attune --version' the version.\n"
		     "Exit status: 0 well, 1 a program or result at fault, 2 usage, 3 system or device.");
		return;
	}
	printf("usage: attune %s%s%s\n\n%c%s.\n", commands[c].name, *commands[c].synopsis ? " " : "",
	       commands[c].synopsis, toupper(commands[c].summary[0]), commands[c].summary + 1);
	if (*commands[c].about)
		printf("\n%s\n", commands[c].about);
	for (int i = 0, first = 1; i < SWITCHES; i++) {
		if (!(switches[i].commands >> c & 1))
			continue;
		if (first)
			puts("");
		first = 0;
		print_switch(&switches[i]);
	}
}

/* ---- values ---- */

static void *member(struct options *o, const struct option_row *s)
{
	return (char *)o + s->member;
}

static bool too_many(const struct option_row *s)
{
	return usage("more than %d of --%s", MAX_WORDS, s->name);
}

/* Splits NAME=TEXT where it stands, in argv. */
static bool split(const struct option_row *s, char *text, struct pair *p)
{
	char *equals = strchr(text, '=');
	if (!equals || equals == text || !equals[1])
		return usage("--%s takes %s, not '%s'", s->name, s->argument, text);
	*equals = 0;
	*p = (struct pair){text, equals + 1};
	return true;
}

/* One or more NAME=X, separated by commas. */
static bool take_bindings(struct bindings *b, const struct option_row *s, char *text)
{
	char *rest = NULL;
	for (char *part = strtok_r(text, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
		struct pair p;
		char *end;
		if (!split(s, part, &p))
			return false;
		double value = strtod(p.text, &end);
		if (*end || isnan(value))
			return usage("--%s %s: '%s' is no number", s->name, p.name, p.text);
		if (b->n == MAX_WORDS)
			return too_many(s);
		b->v[b->n++] = (struct attune_binding){p.name, value};
	}
	return true;
}

/* NAME,NAME=TYPE, and more after another comma. */
static bool take_types(struct pairs *p, const struct option_row *s, char *text)
{
	char *rest = NULL;
	int first = p->n; /* of the names whose type is still to come */
	for (char *part = strtok_r(text, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
		struct pair pair = {part, NULL};
		if (strchr(part, '=') && !split(s, part, &pair))
			return false;
		if (p->n == MAX_WORDS)
			return too_many(s);
		p->v[p->n++] = pair;
		for (; pair.text && first < p->n; first++)
			p->v[first].text = pair.text;
	}
	return first == p->n || usage("--%s %s: a type is missing; write %s=TYPE", s->name, p->v[first].name,
	                              p->v[first].name);
}

static bool take_whole(const struct option_row *s, const char *text, uint64_t least, uint64_t most,
                       uint64_t *value)
{
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || n < least || n > most)
		return usage("--%s takes a whole number from %llu to %llu, not '%s'", s->name,
		             (unsigned long long)least, (unsigned long long)most, text);
	*value = n;
	return true;
}

static bool take_seconds(const struct option_row *s, const char *text, double *value)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"m", 60}, {"min", 60}, {"h", 3600}};
	char *end;
	double n = strtod(text, &end);
	for (size_t i = 0; end != text && n > 0 && n < 1e9 && i < sizeof units / sizeof *units; i++)
		if (!strcmp(end, units[i].unit)) {
			*value = n * units[i].seconds;
			return true;
		}
	return usage("--%s takes a time such as 60s, 500ms or 5m, not '%s'", s->name, text);
}

static bool take(struct options *o, const struct option_row *s, char *text)
{
	void *at = member(o, s);
	uint64_t n;
	switch (s->kind) {
	case FLAG: *(bool *)at = true; return true;
	case TEXT: *(const char **)at = text; return true;
	case WORDS: {
		struct words *w = at;
		if (w->n == MAX_WORDS)
			return too_many(s);
		w->v[w->n++] = text;
		return true;
	}
	case PAIRS: {
		struct pairs *p = at;
		if (p->n == MAX_WORDS)
			return too_many(s);
		return split(s, text, &p->v[p->n++]);
	}
	case BINDINGS: return take_bindings(at, s, text);
	case TYPES: return take_types(at, s, text);
	case COUNT:
		if (!take_whole(s, text, 1, 1000000, &n))
			return false;
		*(int *)at = (int)n;
		return true;
	case SEED: return take_whole(s, text, 1, UINT64_MAX, at);
	case SECONDS: return take_seconds(s, text, at);
	}
	return false;
}

/* ---- the line ---- */

static bool unknown(enum command c, const char *text)
{
	const char *name = text + strspn(text, "-");
	struct guess g = guess_new(name);
	for (int i = 0; i < SWITCHES; i++) {
		if (text[1] != '-' ? name[0] == switches[i].letter && !name[1]
		                   : !strcmp(name, switches[i].name))
			return usage("'attune %s' has no option '%s'; 'attune help %s' lists those it has",
			             commands[c].name, text, commands[c].name);
		if (switches[i].commands >> c & 1)
			consider(&g, switches[i].name);
	}
	if (g.best && strlen(name) > 1)
		return usage("there is no option '%s'; did you mean '--%s'?", text, g.best);
	return usage("there is no option '%s'; 'attune help %s' lists them", text, commands[c].name);
}

/* Finds the option that `text` names; *value is what follows in the same argument, or NULL. */
static const struct option_row *find(enum command c, char *text, char **value)
{
	*value = NULL;
	if (text[1] != '-') {
		for (int i = 0; i < SWITCHES; i++)
			if (switches[i].letter && switches[i].letter == text[1] &&
			    switches[i].commands >> c & 1) {
				*value = text[2] ? text + 2 : NULL;
				return &switches[i];
			}
		return NULL;
	}
	char *equals = strchr(text, '=');
	size_t n = equals ? (size_t)(equals - text) - 2 : strlen(text) - 2;
	for (int i = 0; i < SWITCHES; i++)
		if (strlen(switches[i].name) == n && !strncmp(switches[i].name, text + 2, n) &&
		    switches[i].commands >> c & 1) {
			*value = equals ? equals + 1 : NULL;
			return &switches[i];
		}
	if (equals)
		*equals = 0; /* the message names the option alone */
	return NULL;
}

static bool is_list(const struct option_row *s)
{
	return s && (s->kind == WORDS || s->kind == PAIRS || s->kind == BINDINGS || s->kind == TYPES);
}

/* $XDG_CACHE_HOME, or .cache in $HOME; NULL where neither is set: the library then asks the user database. */
static const char *cache_from_environment(struct options *o)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	bool given = base && *base == '/';
	if (!given && !(home && *home == '/'))
		return NULL;
	int n = snprintf(o->cache_file, sizeof o->cache_file, "%s%s/attune/tune.db", given ? base : home,
	                 given ? "" : "/.cache");
	return n < (int)sizeof o->cache_file ? o->cache_file : NULL;
}

/* The first of these that is set decides. */
static bool utf8_from_environment(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *s = getenv(names[i]);
		if (s && *s)
			return strstr(s, "UTF-8") || strstr(s, "utf8") || strstr(s, "utf-8");
	}
	return false;
}

static bool parse_rest(struct options *o, int argc, char **argv)
{
	const struct option_row *list = NULL; /* the last option, while more of its list may follow */
	bool only_words = false;
	for (int i = 2; i < argc; i++) {
		char *text = argv[i], *value;
		if (!only_words && !strcmp(text, "--")) {
			only_words = true;
			continue;
		}
		if (!only_words && text[0] == '-' && text[1]) {
			const struct option_row *s = find(o->command, text, &value);
			if (!s)
				return !strcmp(text, "-h") || !strcmp(text, "--help")
				               ? (o->word.n = 1, o->word.v[0] = command_name(o->command),
				                  o->command = COMMAND_HELP, true)
				               : unknown(o->command, text);
			if (s->kind == FLAG && value)
				return usage("--%s takes no argument: '%s'", s->name, text);
			if (s->kind != FLAG && !value && !(value = argv[++i]))
				return usage("--%s takes %s", s->name, s->argument);
			if (!take(o, s, value))
				return false;
			list = is_list(s) ? s : NULL;
			continue;
		}
		if (!only_words && list && strchr(text, '=')) {
			if (!take(o, list, text))
				return false;
			continue;
		}
		if (o->word.n == MAX_WORDS)
			return usage("more than %d arguments", MAX_WORDS);
		o->word.v[o->word.n++] = text;
	}
	return true;
}

bool options_parse(struct options *o, int argc, char **argv)
{
	*o = (struct options){.command = COMMAND_HELP};
	if (argc < 2)
		return usage("a command is missing; 'attune help' lists them");
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))
		return true;
	o->command = command_find(argv[1]);
	if (o->command == COMMANDS || !parse_rest(o, argc, argv))
		return false;
	o->utf8 = utf8_from_environment();
	if (!o->cache)
		o->cache = cache_from_environment(o);
	else if (!strcmp(o->cache, "none"))
		o->cache = "";
	return true;
}
