/* attune tune: a search with a line of progress, stopped but not lost by an interrupt. */
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* A handler can reach nothing else. */
static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
	(void)signal;
	interrupted = 1;
}

struct screen {
	FILE *record; /* or NULL */
	bool terminal;
	double next; /* seconds: when the next plain line is due */
	double best;
};

static void show_progress(void *user, const struct attune_progress *p)
{
	struct screen *s = user;
	const double PLAIN_EVERY = 5;
	bool news = p->best > 0 && p->best < s->best * 0.999;
	if (!s->terminal && !news && p->elapsed < s->next)
		return;
	s->next = p->elapsed + PLAIN_EVERY;
	if (p->best > 0)
		s->best = p->best;
	char best[32] = "-";
	if (p->best > 0)
		seconds_text(p->best, best);
	double left = p->budget - p->elapsed;
	fprintf(stderr, "%s%-10s best %s, %.2fx default; %d tried, %d reused, %d rejected; %.0f s left%s",
	        s->terminal ? "\r\033[K" : "", p->activity, best, p->ratio > 0 ? p->ratio : 1, p->evaluated,
	        p->reused, p->rejected, left > 0 ? left : 0, s->terminal ? "" : "\n");
	fflush(stderr);
}

static void write_record(void *user, const char *line)
{
	struct screen *s = user;
	size_t n = strlen(line);
	fprintf(s->record, "%s%s", line, n && line[n - 1] == '\n' ? "" : "\n");
}

/* 0, or an exit status after saying what is wrong with the file. */
static int close_record(FILE *f, const char *path)
{
	bool bad = ferror(f);
	return fclose(f) || bad ? complain_of(ATTUNE_SYSTEM, "%s: %s", path, strerror(errno)) : 0;
}

static int print_result(const struct attune_tune_result *r, bool json)
{
	if (json) {
		cJSON *object = cJSON_CreateObject(), *rejected = cJSON_CreateObject();
		json_number(object, "seconds", r->best);
		json_number(object, "default_seconds", r->control);
		json_number(object, "ratio", r->ratio);
		cJSON_AddBoolToObject(object, "modelled", r->modelled);
		json_number(object, "peak", r->peak);
		json_number(object, "flops", r->flops);
		json_number(object, "error", r->error);
		json_number(object, "noise", r->noise);
		cJSON_AddNumberToObject(object, "evaluated", r->evaluated);
		cJSON_AddNumberToObject(object, "reused", r->reused);
		for (int i = 0; i < r->rejections; i++)
			cJSON_AddNumberToObject(rejected, r->rejection[i].reason, r->rejection[i].count);
		cJSON_AddItemToObject(object, "rejected", rejected);
		cJSON_AddBoolToObject(object, "complete", r->complete);
		cJSON_AddBoolToObject(object, "kept", r->kept);
		if (r->note)
			cJSON_AddStringToObject(object, "note", r->note);
		cJSON_AddStringToObject(object, "schedule", r->schedule);
		return print_json(object);
	}
	char best[32], control[32];
	printf("winner    %s a run%s", seconds_text(r->best, best), r->modelled ? " by the model" : "");
	if (r->best > 0 && r->flops > 0)
		printf(", %.1f GFLOP/s", r->flops / r->best * 1e-9);
	if (r->peak > 0)
		printf(", %.0f%% of the peak measured in this run", 100 * r->peak);
	printf("\ndefault   %s a run: the winner is %.2fx as fast", seconds_text(r->control, control), r->ratio);
	if (!r->modelled)
		printf(" (noise %.1f%%)", 100 * r->noise);
	putchar('\n');
	printf("verified  largest normalised error %.2g\n", r->error);
	printf("search    %d %s, %d reused%s\n", r->evaluated, r->modelled ? "modelled" : "measured", r->reused,
	       r->complete ? "" : ", stopped before its end");
	for (int i = 0; i < r->rejections; i++)
		printf("rejected  %d %s%s%s\n", r->rejection[i].count, r->rejection[i].reason,
		       r->rejection[i].example ? ", the first: " : "",
		       r->rejection[i].example ? r->rejection[i].example : "");
	if (!r->kept)
		puts("cache     nothing was kept");
	if (r->note)
		printf("note      %s\n", r->note);
	printf("\n%s", r->schedule);
	return 0;
}

static int search(struct attune_program *program, const struct options *o, FILE *record)
{
	struct screen screen = {.record = record, .terminal = isatty(STDERR_FILENO), .best = 1e300};
	struct attune_tune_options options = {
	        .seconds = o->budget,
	        .evaluations = o->evaluations,
	        .seed = o->seed,
	        .strategy = o->strategy,
	        .progress = show_progress,
	        .record = record ? write_record : NULL,
	        .user = &screen,
	        .cancel = &interrupted,
	};
	struct attune_tune_result result;
	struct attune_error error;
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	enum attune_status tuned = attune_tune(program, &options, &result, &error);
	if (screen.terminal)
		fputs("\r\033[K", stderr);
	if (tuned)
		return complain(&error);
	int status = print_result(&result, o->json);
	attune_tune_result_free(&result);
	return status;
}

int command_tune(const struct options *o)
{
	int status = 0;
	struct attune_program *program = NULL;
	FILE *record = o->record ? fopen(o->record, "we") : NULL;
	if (o->record && !record)
		return complain_of(ATTUNE_SYSTEM, "%s: %s", o->record, strerror(errno));
	struct attune_context *context = open_context(o, &status);
	if (context && (program = open_program(context, o, &status)) && has_extents(program, &status)) {
		status = search(program, o, record);
		report_cache(context);
	}
	if (record && close_record(record, o->record) && !status)
		status = ATTUNE_SYSTEM;
	attune_program_free(program);
	attune_context_free(context);
	return status;
}
