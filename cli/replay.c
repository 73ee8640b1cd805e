/* attune replay: strategies on a recorded landscape. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

enum { SEEDS = 25, FIRST_SHOWN = 8 };

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* fraction[seed][evaluation] */
static double median(const double *fraction, int evaluations, int at)
{
	double column[SEEDS];
	for (int i = 0; i < SEEDS; i++)
		column[i] = fraction[i * evaluations + at];
	qsort(column, SEEDS, sizeof *column, ascending);
	return column[SEEDS / 2];
}

static int print_strategy(const char *text, size_t size, const char *name, uint64_t seed, int evaluations,
                          double *fraction, cJSON *json)
{
	struct attune_error error;
	for (int i = 0; i < SEEDS; i++) {
		struct attune_replay_options options = {.strategy = name, .seed = seed + (uint64_t)i};
		if (attune_replay(text, size, &options, evaluations, fraction + i * evaluations, &error))
			return complain(&error);
	}
	cJSON *row = json ? cJSON_AddArrayToObject(json, name) : NULL;
	if (!json)
		printf("%-12s", name);
	for (int n = FIRST_SHOWN; n <= evaluations; n *= 2) {
		double share = median(fraction, evaluations, n - 1);
		if (row) {
			cJSON *point = cJSON_CreateObject();
			cJSON_AddNumberToObject(point, "evaluations", n);
			cJSON_AddNumberToObject(point, "share", share);
			cJSON_AddItemToArray(row, point);
		} else {
			printf("  %d: %.3f", n, share);
		}
	}
	if (!json)
		puts("");
	return 0;
}

int command_replay(const struct options *o)
{
	if (o->word.n != 1)
		return complain_of(ATTUNE_USAGE, "'attune replay' takes one FILE");
	const int EVALUATIONS = 128;
	int evaluations = o->evaluations ? o->evaluations : EVALUATIONS, status = 0;
	size_t size;
	char *text = read_whole(o->word.v[0], &size);
	double *fraction = malloc(SEEDS * sizeof(double) * (size_t)evaluations);
	cJSON *json = o->json ? cJSON_CreateObject() : NULL;
	if (!text || !fraction)
		status = ATTUNE_SYSTEM;
	uint64_t seed = o->seed ? o->seed : 1;
	const char *name;
	for (int i = 0; !status && !o->strategy && (name = attune_strategy(i)); i++)
		status = print_strategy(text, size, name, seed, evaluations, fraction, json);
	if (!status && o->strategy)
		status = print_strategy(text, size, o->strategy, seed, evaluations, fraction, json);
	if (json && !status)
		status = print_json(json);
	else
		cJSON_Delete(json);
	free(fraction);
	free(text);
	return status;
}
