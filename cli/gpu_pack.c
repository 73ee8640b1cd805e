/* attune gpu-pack */
#include "cli/cli.h"

static void print_line(void *user, const char *line)
{
	(void)user;
	fprintf(stderr, "%s\n", line);
}

int command_gpu_pack(const struct options *o)
{
	if (o->word.n > 1)
		return complain_of(ATTUNE_USAGE, "'attune gpu-pack' takes one PLAN; '%s' is one too many",
		                   o->word.v[1]);
	if (o->output.n > 1)
		return complain_of(ATTUNE_USAGE, "'attune gpu-pack' writes one folder, not '%s' as well",
		                   o->output.v[1]);
	struct attune_gpu_pack_options options = {.plan = o->word.n ? o->word.v[0] : "perf/gpu/plan.json",
	                                          .directory = o->output.n ? o->output.v[0] : ".gpu",
	                                          .target = o->target,
	                                          .archs = o->archs,
	                                          .threads = o->threads,
	                                          .quick = o->quick,
	                                          .progress = print_line};
	struct attune_gpu_pack_result r;
	struct attune_error error;
	if (attune_gpu_pack(&options, &r, &error))
		return complain(&error);
	printf("%s: %d kernels of %d cases, %.1f MiB; %d rejected by the log; %d run under the emulator, %d "
	       "wrong;"
	       " %d defaults not to be used\n",
	       options.directory, r.kernels, r.cases, r.bytes / (1 << 20), r.rejected, r.emulated, r.wrong,
	       r.failed);
	return r.failed || r.wrong ? ATTUNE_PROGRAM : 0;
}
