/* attune check-gpu */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void print_line(void *user, const char *line)
{
	(void)user;
	fprintf(stderr, "%s\n", line);
}

/* Where times are appended to; NULL: nowhere. */
struct record {
	const char *path;
	int failed; /* errno of the first line that could not be written */
};

static void append(void *user, const char *line)
{
	struct record *r = user;
	FILE *f = fopen(r->path, "ae");
	bool good = f && fprintf(f, "%s\n", line) > 0;
	if ((f && fclose(f)) || !good)
		r->failed = r->failed ? r->failed : errno;
}

int command_check_gpu(const struct options *o)
{
	static const char peers[] = "scripts/peers_gpu.py", folder[] = "perf/gpu";
	if (o->word.n)
		return complain_of(ATTUNE_USAGE, "'attune check-gpu' takes no argument: '%s'", o->word.v[0]);
	struct record record = {.path = o->record              ? o->record
	                                : access(folder, W_OK) ? NULL
	                                                       : "perf/gpu/measured.jsonl"};
	struct attune_check_gpu_options options = {
	        .directory = o->pack ? o->pack : ".gpu",
	        .target = o->target,
	        .seconds = o->budget > 0 ? o->budget : 540,
	        .peers = access(peers, R_OK) ? NULL : "exec python3 scripts/peers_gpu.py",
	        .progress = print_line,
	        .record = record.path ? append : NULL,
	        .user = &record};
	if (o->peers)
		options.peers = strcmp(o->peers, "none") ? o->peers : NULL;
	char *report = NULL;
	bool good = false;
	struct attune_error error;
	int status =
	        (int)attune_check_gpu(&options, o->json ? ATTUNE_JSON : ATTUNE_TEXT, &report, &good, &error);
	if (status)
		complain(&error);
	else
		fputs(report, stdout);
	attune_free(report);
	if (record.failed && !status)
		status = complain_of(ATTUNE_SYSTEM, "%s: %s", record.path, strerror(record.failed));
	return status ? status : good ? 0 : ATTUNE_PROGRAM;
}
