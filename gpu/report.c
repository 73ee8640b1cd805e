/* report.c: what check_pack found, as a table, and as lines for perf/gpu. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/check.h"

static const char *string(const cJSON *object, const char *name)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(object, name);
	return cJSON_IsString(x) ? x->valuestring : "";
}

static double number(const cJSON *object, const char *name)
{
	const cJSON *x = cJSON_GetObjectItemCaseSensitive(object, name);
	return cJSON_IsNumber(x) ? x->valuedouble : 0;
}

static double seconds(const cJSON *object, const char *name)
{
	return number(cJSON_GetObjectItemCaseSensitive(object, name), "seconds");
}

static const cJSON *jobs_of(const cJSON *report)
{
	return cJSON_GetObjectItemCaseSensitive(report, "jobs");
}

/* Bytes a second of the fastest copy seen. */
static double copy_bandwidth(const cJSON *report)
{
	const cJSON *j;
	double best = 0;
	cJSON_ArrayForEach(j, jobs_of(report)) best =
	        fmax(best, fmax(number(j, "bandwidth"), number(j, "peer_bandwidth")));
	return best;
}

/* "0.123 ms  456.7 TFLOP/s  1.23 TB/s, 45% of a copy" */
static void print_speed(struct text *t, const char *name, double s, const cJSON *j, double copy)
{
	double bandwidth = number(j, "bytes") / s;
	text_printf(t, "    %-24s %9.4f ms  %7.1f TFLOP/s  %7.1f GB/s", name, s * 1e3,
	            number(j, "flops") / s * 1e-12, bandwidth * 1e-9);
	if (copy > 0)
		text_printf(t, ", %.0f%% of a copy", 100 * bandwidth / copy);
	text_char(t, '\n');
}

/* The best candidate of a case so far, by its ratio to the default in the same rounds. */
static const cJSON *best_candidate(const cJSON *report, const cJSON *speed, int *count)
{
	const cJSON *j, *best = NULL;
	double most = 0;
	*count = 0;
	cJSON_ArrayForEach(j, jobs_of(report))
	{
		if (strcmp(string(j, "kind"), "candidate") || strcmp(string(j, "state"), "good") ||
		    strcmp(string(j, "case"), string(speed, "case")))
			continue;
		double ratio = seconds(j, "control") / seconds(j, "own");
		*count += 1;
		if (ratio > most) {
			most = ratio;
			best = j;
		}
	}
	return best;
}

static void print_case(const cJSON *report, const cJSON *j, double copy, struct text *t)
{
	const cJSON *peer, *best;
	int count;
	text_printf(t, "  %s\n", string(j, "name"));
	print_speed(t, "attune, default", seconds(j, "own"), j, copy);
	if ((best = best_candidate(report, j, &count))) {
		double ratio = seconds(best, "control") / seconds(best, "own");
		print_speed(t, "attune, best candidate", seconds(best, "own"), j, copy);
		text_printf(t, "      %.3f times the default's speed, the best of %d:\n", ratio, count);
		for (const char *line = string(best, "schedule"); *line;) {
			size_t n = strcspn(line, "\n");
			text_printf(t, "      %.*s\n", (int)n, line);
			line += n + (line[n] == '\n');
		}
	}
	cJSON_ArrayForEach(peer, cJSON_GetObjectItemCaseSensitive(j, "peers"))
	        print_speed(t, peer->string, number(peer, "seconds"), j, copy);
	if (*string(j, "remark"))
		text_printf(t, "      %s\n", string(j, "remark"));
	if (*string(j, "clocks"))
		text_printf(t, "      %s\n", string(j, "clocks"));
}

static int count_of(const cJSON *report, const char *kind, const char *state)
{
	const cJSON *j;
	int n = 0;
	cJSON_ArrayForEach(j, jobs_of(report)) n +=
	        !strcmp(string(j, "kind"), kind) && (!state || !strcmp(string(j, "state"), state));
	return n;
}

void report_print(const cJSON *report, struct text *t)
{
	static const char *const kind[] = {"probe", "right", "speed", "candidate"};
	static const char *const what[] = {"primitives probed", "cases held against float64", "cases timed",
	                                   "candidates timed"};
	const cJSON *device = cJSON_GetObjectItemCaseSensitive(report, "device"), *j;
	double copy = copy_bandwidth(report);
	text_printf(t, "%s, capability %.0f, %.0f processors; code by %s\n", string(device, "name"),
	            number(device, "capability"), number(device, "processors"), string(report, "toolchain"));
	for (int i = 0; i < 4; i++)
		if (count_of(report, kind[i], NULL))
			text_printf(t, "%d of %d %s good, %d bad, %d not reached\n",
			            count_of(report, kind[i], "good"), count_of(report, kind[i], NULL),
			            what[i], count_of(report, kind[i], "bad"),
			            count_of(report, kind[i], "not reached"));
	cJSON_ArrayForEach(j, jobs_of(report))
	{
		if (!strcmp(string(j, "state"), "bad"))
			text_printf(t, "bad: %s: %s\n", string(j, "name"), string(j, "remark"));
	}
	if (copy > 0)
		text_printf(t, "copy %.3f TB/s, read and written\n", copy * 1e-12);
	if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(report, "timed")))
		text_printf(t, "speed is left out: %s tells no time\n", string(report, "target"));
	cJSON_ArrayForEach(j, jobs_of(report))
	{
		if (!strcmp(string(j, "kind"), "speed") && seconds(j, "own") > 0)
			print_case(report, j, copy, t);
	}
}

bool report_record(const cJSON *job, const cJSON *device, const char *toolchain, double copy,
                   const char *when, struct text *t)
{
	if (seconds(job, "own") <= 0 || strcmp(string(job, "state"), "good"))
		return false;
	cJSON *line = cJSON_Duplicate(job, true);
	cJSON_AddStringToObject(line, "when", when);
	cJSON_AddItemToObject(line, "device", cJSON_Duplicate(device, true));
	cJSON_AddStringToObject(line, "toolchain", toolchain);
	cJSON_AddNumberToObject(line, "copy", copy);
	char *text = cJSON_PrintUnformatted(line);
	cJSON_Delete(line);
	text_add(t, text ? text : "");
	free(text);
	return t->len > 0;
}
