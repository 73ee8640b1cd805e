#include "search/replay.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

static bool legal(void *owner, const struct point *p)
{
	return point_set_find(&((struct landscape *)owner)->point, p) >= 0;
}

void landscape_init(struct arena *a, struct landscape *l, int dimensions, const int *choices)
{
	*l = (struct landscape){.grid = {.dimensions = dimensions, .legal = legal, .owner = l},
	                        .optimum = INFINITY};
	memcpy(l->grid.choices, choices, (size_t)dimensions * sizeof *choices);
	point_set_init(&l->point, a, dimensions);
}

void landscape_add(struct landscape *l, const struct point *p, double seconds)
{
	int at = point_set_add(&l->point, p);
	if (at == (int)l->seconds.n)
		vec_push(l->point.arena, &l->seconds, seconds);
	l->seconds.v[at] = seconds;
	if (seconds < l->optimum)
		l->optimum = seconds;
}

/* A whole number from a JSON array, below the limit; -1 when it is none. */
static int whole(const cJSON *array, int i, int limit)
{
	const cJSON *n = cJSON_GetArrayItem(array, i);
	return cJSON_IsNumber(n) && n->valuedouble >= 0 && n->valuedouble < limit &&
	                       n->valuedouble == floor(n->valuedouble)
	               ? n->valueint
	               : -1;
}

static bool read_head(struct arena *a, struct landscape *l, const cJSON *line)
{
	const cJSON *choices = cJSON_GetObjectItemCaseSensitive(line, "choices");
	int n = cJSON_GetArraySize(choices), count[MAX_DIMENSIONS];
	if (!cJSON_IsArray(choices) || n > MAX_DIMENSIONS)
		return false;
	for (int i = 0; i < n; i++) {
		if ((count[i] = whole(choices, i, MAX_CHOICES + 1)) < 1)
			return false;
	}
	landscape_init(a, l, n, count);
	return true;
}

static bool read_point(struct landscape *l, const cJSON *line)
{
	const cJSON *point = cJSON_GetObjectItemCaseSensitive(line, "point");
	const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(line, "seconds");
	struct point p = {{0}};
	if (!cJSON_IsArray(point) || cJSON_GetArraySize(point) != l->grid.dimensions ||
	    (!cJSON_IsNull(seconds) && !(cJSON_IsNumber(seconds) && seconds->valuedouble > 0)))
		return false;
	for (int i = 0; i < l->grid.dimensions; i++) {
		int c = whole(point, i, l->grid.choices[i]);
		if (c < 0)
			return false;
		p.choice[i] = (uint8_t)c;
	}
	landscape_add(l, &p, cJSON_IsNull(seconds) ? INFINITY : seconds->valuedouble);
	return true;
}

bool landscape_read(struct arena *a, struct landscape *l, const char *text, size_t size, struct text *reason)
{
	int number = 0;
	for (const char *at = text, *end = text + size; at < end; number++) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((line_end ? line_end : end) - at);
		cJSON *line = cJSON_ParseWithLength(at, n);
		bool good = line && (number ? read_point(l, line) : read_head(a, l, line));
		cJSON_Delete(line);
		if (!good) {
			text_printf(reason, "line %d: not a %s of a landscape", number + 1,
			            number ? "point" : "head");
			return false;
		}
		at += n + 1;
	}
	if (!number)
		text_add(reason, "line 1: no head of a landscape");
	return number > 0;
}

void landscape_print_head(const struct space *s, struct text *t)
{
	text_add(t, "{\"choices\": [");
	for (int i = 0; i < s->dimensions; i++)
		text_printf(t, "%s%d", i ? ", " : "", s->dimension[i].choices);
	text_add(t, "], \"names\": [");
	for (int i = 0; i < s->dimensions; i++)
		text_printf(t, "%s\"%s\"", i ? ", " : "", s->dimension[i].name); /* names hold no quotes */
	text_add(t, "]}\n");
}

void landscape_print_point(int dimensions, const struct point *p, double seconds, struct text *t)
{
	text_add(t, "{\"point\": [");
	for (int i = 0; i < dimensions; i++)
		text_printf(t, "%s%d", i ? ", " : "", p->choice[i]);
	text_add(t, "], \"seconds\": ");
	if (isfinite(seconds))
		text_number(t, seconds);
	else
		text_add(t, "null");
	text_add(t, "}\n");
}

void replay(struct arena *a, const struct landscape *l, const struct strategy *strategy, uint64_t seed,
            int first, int evaluations, double *fraction)
{
	enum { BATCH = 8 };
	struct strategy_state *s = strategy->start(a, &l->grid, seed);
	struct point *p = arena_new_array(a, (size_t)(first > BATCH ? first : BATCH), struct point);
	struct point_set met;
	uint64_t random = seed;
	double best = INFINITY;
	int done = 0;
	point_set_init(&met, a, l->grid.dimensions);
	while (done < evaluations) {
		int n = done ? strategy->propose(s, p, BATCH)
		             : sample_stratified(&l->grid, &met, &random, p, first);
		if (!n && done)
			break;
		for (int i = 0; i < n && done < evaluations; i++) {
			int at = point_set_find(&l->point, &p[i]);
			double seconds = at < 0 ? INFINITY : l->seconds.v[at];
			strategy->observe(s, &p[i], seconds);
			best = fmin(best, seconds);
			fraction[done++] = isinf(best) ? 0 : l->optimum / best;
		}
		if (!n)
			break;
	}
	for (; done < evaluations; done++)
		fraction[done] = done ? fraction[done - 1] : 0;
}
