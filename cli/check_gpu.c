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

static int append(const char *path, const char *records)
{
	FILE *f = *records ? fopen(path, "ae") : NULL;
	if (!*records)
		return 0;
	if (!f || fputs(records, f) < 0 || fclose(f))
		return complain_of(ATTUNE_SYSTEM, "%s: %s", path, strerror(errno));
	return 0;
}

int command_check_gpu(const struct options *o)
{
	static const char peers[] = "scripts/peers_gpu.py", folder[] = "perf/gpu";
	if (o->word.n)
		return complain_of(ATTUNE_USAGE, "'attune check-gpu' takes no argument: '%s'", o->word.v[0]);
	struct attune_check_gpu_options options = {
	        .directory = o->pack ? o->pack : ".gpu",
	        .target = o->target,
	        .seconds = o->budget > 0 ? o->budget : 540,
	        .peers = access(peers, R_OK) ? NULL : "exec python3 scripts/peers_gpu.py",
	        .progress = print_line};
	if (o->peers)
		options.peers = strcmp(o->peers, "none") ? o->peers : NULL;
	const char *record = o->record ? o->record : access(folder, W_OK) ? NULL : "perf/gpu/measured.jsonl";
	char *report, *records;
	bool good;
	struct attune_error error;
	if (attune_check_gpu(&options, o->json ? ATTUNE_JSON : ATTUNE_TEXT, &report, &records, &good, &error))
		return complain(&error);
	fputs(report, stdout);
	int status = record ? append(record, records) : 0;
	attune_free(report);
	attune_free(records);
	return status ? status : good ? 0 : ATTUNE_PROGRAM;
}
