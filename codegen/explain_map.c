/* explain_map.c: predicates, bounds and tile maps as text and as JSON. */
#include <string.h>

#include "codegen/explain_tiles.h"

double map_ratio(const struct map_cell *c)
{
	if (!c->present)
		return c->visited ? (double)c->visited : 1;
	return (double)c->visited / (double)c->present;
}

enum map_look map_look(const struct map_cell *c)
{
	if (c->missed || c->admitted || c->twice)
		return LOOK_WRONG;
	if (!c->visited)
		return LOOK_EMPTY;
	if (!c->present)
		return LOOK_VAIN;
	return c->plain == c->pairs ? LOOK_FULL : LOOK_PARTIAL;
}

/* ---- names of heads ---- */

static int64_t told(const struct tile_map *m, int64_t number, int which)
{
	int64_t task = number * m->tasks / m->looked;
	for (int k = m->ntold; --k > which;)
		task /= m->told_extent[k];
	return task % m->told_extent[which];
}

static bool same_but_last(const struct tile_map *m, int64_t a, int64_t b)
{
	for (int k = 0; k + 1 < m->ntold; k++)
		if (told(m, a, k) != told(m, b, k))
			return false;
	return true;
}

void map_label(const struct tile_map *m, const struct map_head *h, const struct cascade *c, struct text *t)
{
	int last = m->ntold - 1;
	for (uint32_t i = 0; last >= 0 && i < h->task.n;) {
		text_add(t, i ? "; " : "");
		for (int k = 0; k < last; k++)
			text_printf(t, "%s %lld, ", c->index.v[m->told[k]].name,
			            (long long)told(m, h->task.v[i], k));
		text_printf(t, "%s ", c->index.v[m->told[last]].name);
		uint32_t first = i;
		while (i < h->task.n && same_but_last(m, h->task.v[first], h->task.v[i])) {
			uint32_t end = i;
			while (end + 1 < h->task.n && same_but_last(m, h->task.v[i], h->task.v[end + 1]) &&
			       told(m, h->task.v[end + 1], last) == told(m, h->task.v[end], last) + 1)
				end++;
			text_printf(t, "%s%lld", i > first ? ", " : "",
			            (long long)told(m, h->task.v[i], last));
			if (end > i)
				text_printf(t, "-%lld", (long long)told(m, h->task.v[end], last));
			i = end + 1;
		}
	}
	bool any = false;
	for (int k = 0; k < m->plan->ntasks; k++) { /* those that tell no tasks apart */
		uint32_t index = m->plan->task[k];
		bool tells = index == m->plan->rows;
		int64_t extent = 0;
		for (int q = 0; q < m->ntold; q++)
			tells |= m->told[q] == index;
		if (tells || !cascade_extent(c, c->index.v[index].extent, &extent) || extent < 2)
			continue;
		text_printf(t, "%s%s", any ? ", " : last < 0 ? "every " : ", every ", c->index.v[index].name);
		any = true;
	}
	if (last < 0 && !any)
		text_add(t, "all");
}

/* ---- text ---- */

static void quantity(struct text *t, double x)
{
	static const char *const prefix[] = {"", " thousand", " million", " billion", " trillion"};
	int i = 0;
	for (; x >= 10000 && i < 4; i++)
		x /= 1000;
	text_printf(t, "%.4g%s", x, prefix[i]);
}

static double percent(int64_t part, int64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_bounds(const struct tiles_explained *e, const struct tiles_stream *x, struct text *t)
{
	text_printf(t, "    %s in [%s, %s)", x->walked, x->low, x->high);
	if (e->origin && x->sizes->split > 1)
		text_printf(t, ", in %lld parts", (long long)x->sizes->split);
	if (x->begun_at > 1)
		text_printf(t, ", begun at a multiple of %lld", (long long)x->begun_at);
	text_char(t, '\n');
	for (uint32_t i = 0; i < x->unbounded.n; i++)
		text_printf(t, "    not bounded by %s: %s\n", x->unbounded.v[i].term, x->unbounded.v[i].why);
}

static void print_tests(const struct tiles_explained *e, const struct tiles_stream *x, struct text *t)
{
	if (!e->origin)
		return;
	long long granule = (long long)(x->sizes->granule ? x->sizes->granule : x->sizes->stream_tile);
	switch (x->sizes->sparsity) {
	case SPARSITY_TEST:
		text_printf(t, "    skipped by a test of every %lld of %s\n", granule, x->walked);
		break;
	case SPARSITY_LIST:
		text_printf(t,
		            "    skipped by a list for every %lld of %s, built once a call: which %lld of %s "
		            "hold something, and "
		            "which hold all\n",
		            (long long)x->sizes->row_tile, x->row ? x->row : "rows", granule, x->walked);
		if (x->sizes->granule_rows)
			text_printf(t, "    what is partial is walked by those of every %lld of %s that see some of it\n",
			            (long long)x->sizes->granule_rows, x->row ? x->row : "rows");
		break;
	case SPARSITY_MASK: text_add(t, "    nothing is skipped: the schedule masks\n"); break;
	default: text_add(t, "    skipped by where the walk begins and ends\n");
	}
	for (uint32_t i = 0; i < x->tested.n; i++)
		text_printf(t, "    looked at only if %s\n", x->tested.v[i]);
	if (!x->plain)
		text_add(t, "    the predicate is evaluated in every tile that is looked at\n");
	else if (*x->plain)
		text_printf(t, "    without the predicate if %s\n", x->plain);
	else
		text_add(t, "    the predicate is evaluated nowhere: the walk's bounds say it all\n");
	for (uint32_t i = 0; i < x->summary.n; i++)
		text_printf(t, "    known of a tile: %s\n", x->summary.v[i]);
	for (uint32_t i = 0; i < x->prepass.n; i++)
		text_printf(t, "%s%s", i ? ", " : "    made beforehand, once a call: ", x->prepass.v[i]);
	text_add(t, x->prepass.n ? "\n" : "");
}

static void print_counts(const struct map_classes *k, const char *what, struct text *t)
{
	text_printf(t, "%lld empty, %lld partial, %lld full%s", (long long)k->empty, (long long)k->partial,
	            (long long)k->full, what);
}

static void print_totals(const struct tile_map *m, struct text *t)
{
	const struct map_cell *c = &m->total;
	struct map_classes kernel = {0}, truth = {0};
	text_add(t, "    of ");
	quantity(t, (double)c->pairs);
	text_printf(t, " pairs %.3g%% are present; the kernel visits %.3g%%", percent(c->present, c->pairs),
	            percent(c->visited, c->pairs));
	if (c->present)
		text_printf(t, ", %.3g times the ideal", map_ratio(c));
	text_printf(t, ", and %.3g%% without the predicate\n", percent(c->plain, c->pairs));
	text_printf(t, "    skipped: %.3g%% of the work, of %.3g%% that could be\n",
	            percent(c->pairs - c->visited, c->pairs), percent(c->pairs - c->present, c->pairs));
	for (uint32_t i = 0; i < m->head.n; i++) {
		const struct map_head *h = &m->head.v[i];
		int64_t n = (int64_t)h->task.n * m->alike;
		kernel = (struct map_classes){kernel.empty + n * h->kernel.empty,
		                              kernel.partial + n * h->kernel.partial,
		                              kernel.full + n * h->kernel.full};
		truth = (struct map_classes){truth.empty + n * h->truth.empty,
		                             truth.partial + n * h->truth.partial,
		                             truth.full + n * h->truth.full};
	}
	text_printf(t, "    tiles of %lld x %lld: ", (long long)m->row_tile, (long long)m->walked_tile);
	print_counts(&truth, "; treated as ", t);
	print_counts(&kernel, "\n", t);
	if (m->share < 1 || m->looked < m->tasks)
		text_printf(t, "    looked at: %.3g%% of the rows of %lld of %lld tasks\n", 100 * m->share,
		            (long long)m->looked, (long long)m->tasks);
	if (!m->sound)
		text_printf(t,
		            "    UNSOUND: %lld present pairs are left out, %lld absent ones taken, %lld "
		            "taken twice\n",
		            (long long)c->missed, (long long)c->admitted, (long long)c->twice);
}

static const char *const ascii[LOOKS] = {
        [LOOK_EMPTY] = " ", [LOOK_VAIN] = ".", [LOOK_PARTIAL] = "+", [LOOK_FULL] = "#", [LOOK_WRONG] = "!"};
static const char *const shades[LOOKS] = {[LOOK_EMPTY] = " ",
                                          [LOOK_VAIN] = "\u00b7",
                                          [LOOK_PARTIAL] = "\u2591",
                                          [LOOK_FULL] = "\u2588",
                                          [LOOK_WRONG] = "!"};

static void print_map(const struct tile_map *m, const struct map_head *h, bool utf8, struct text *t)
{
	const char *const *glyph = utf8 ? shades : ascii;
	for (int64_t r = 0; r < m->map_rows; r++) {
		const struct map_cell *row = h->cell + r * m->map_columns;
		if (!row->pairs) /* not looked at */
			continue;
		text_printf(t, "    %7lld |", (long long)(r * m->cell_rows));
		for (int64_t k = 0; k < m->map_columns; k++)
			text_add(t, glyph[map_look(&row[k])]);
		text_add(t, "|\n");
	}
}

static bool is_small(const struct tile_map *m)
{
	return m->map_rows <= 24 && m->map_columns <= MAP_COLUMNS && m->head.n <= 2;
}

static void print_maps(const struct tiles_explained *e, const struct tiles_stream *x, bool utf8,
                       struct text *t)
{
	const struct tile_map *m = x->map;
	const char *const *glyph = utf8 ? shades : ascii;
	if (!m->map_rows || !m->map_columns)
		return;
	text_printf(
	        t,
	        "\n    A character is %lld %s down by %lld %s across: %s without the predicate, %s with it,\n"
	        "    %s visited where nothing is present, blank left out\n",
	        (long long)m->cell_rows, x->row ? x->row : "row", (long long)m->cell_columns, x->walked,
	        glyph[LOOK_FULL], glyph[LOOK_PARTIAL], glyph[LOOK_VAIN]);
	for (uint32_t i = 0; i < m->head.n; i++) {
		text_add(t, "\n    ");
		map_label(m, &m->head.v[i], e->streams->cascade, t);
		text_printf(t, ": %.3g%% present, %.3g%% visited\n",
		            percent(m->head.v[i].total.present, m->head.v[i].total.pairs),
		            percent(m->head.v[i].total.visited, m->head.v[i].total.pairs));
		print_map(m, &m->head.v[i], utf8, t);
	}
}

void tiles_text(const struct tiles_explained *e, enum map_drawing which, bool utf8, struct text *t)
{
	if (!e->stream.n)
		return;
	text_add(t, "\nWhat the predicates leave out\n\n");
	if (e->origin)
		text_printf(t, "  By the %s schedule%s%s%s%s\n", e->origin, e->form ? ", in the form " : "",
		            e->form ? e->form : "", e->data ? "; data " : "", e->data ? e->data : "");
	if (e->no_tiles)
		text_printf(t, "  Without a kernel, so of its predicates only: %s\n", e->no_tiles);
	if (e->forms)
		text_printf(t, "  Forms, and what they compute at most: %s\n", e->forms);
	for (uint32_t i = 0; i < e->stream.n; i++) {
		const struct tiles_stream *x = &e->stream.v[i];
		if (x->selects) {
			text_printf(t, "  %u. %s\n", x->stream + 1, x->selects);
			continue;
		}
		text_printf(t, "  %u. walks %s", x->stream + 1, x->walked);
		if (x->row)
			text_printf(t, " for tiles of %s, from %s0 to %s1", x->row, x->row, x->row);
		text_char(t, '\n');
		text_printf(t, "    present where %s\n", x->present);
		print_bounds(e, x, t);
		print_tests(e, x, t);
		if (x->no_map)
			text_printf(t, "    no map: %s\n", x->no_map);
		if (!x->map)
			continue;
		print_totals(x->map, t);
		if (which == MAPS_ALL || is_small(x->map))
			print_maps(e, x, utf8, t);
	}
}

/* ---- JSON ---- */

static void add_strings(cJSON *to, const char *name, const char *const *v, uint32_t n)
{
	cJSON *list = cJSON_AddArrayToObject(to, name);
	for (uint32_t i = 0; i < n; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(v[i]));
}

static void add_cell(cJSON *o, const struct map_cell *c)
{
	cJSON_AddNumberToObject(o, "pairs", (double)c->pairs);
	cJSON_AddNumberToObject(o, "present", (double)c->present);
	cJSON_AddNumberToObject(o, "visited", (double)c->visited);
	cJSON_AddNumberToObject(o, "without_predicate", (double)c->plain);
	cJSON_AddNumberToObject(o, "missed", (double)c->missed);
	cJSON_AddNumberToObject(o, "admitted", (double)c->admitted);
	cJSON_AddNumberToObject(o, "twice", (double)c->twice);
	cJSON_AddNumberToObject(o, "work_by_ideal", map_ratio(c));
}

static void add_classes(cJSON *o, const char *name, const struct map_classes *k)
{
	cJSON *x = cJSON_AddObjectToObject(o, name);
	cJSON_AddNumberToObject(x, "empty", (double)k->empty);
	cJSON_AddNumberToObject(x, "partial", (double)k->partial);
	cJSON_AddNumberToObject(x, "full", (double)k->full);
}

static void json_head(cJSON *list, const struct tiles_explained *e, const struct tile_map *m,
                      const struct map_head *h)
{
	struct arena *a = e->streams->cascade->arena;
	struct text label, row;
	cJSON *o = cJSON_CreateObject(), *rows;
	cJSON_AddItemToArray(list, o);
	text_init(&label, a);
	map_label(m, h, e->streams->cascade, &label);
	cJSON_AddStringToObject(o, "heads", label.s);
	cJSON_AddNumberToObject(o, "count", (double)h->task.n * (double)m->alike);
	add_cell(o, &h->total);
	cJSON_AddNumberToObject(o, "rows_of_nothing", (double)h->sparse_rows);
	add_classes(o, "tiles", &h->truth);
	add_classes(o, "treated_as", &h->kernel);
	rows = cJSON_AddArrayToObject(o, "map");
	for (int64_t r = 0; r < m->map_rows && m->map_columns; r++) {
		const struct map_cell *cell = h->cell + r * m->map_columns;
		text_init(&row, a);
		for (int64_t k = 0; k < m->map_columns && cell->pairs; k++)
			text_add(&row, ascii[map_look(&cell[k])]);
		cJSON_AddItemToArray(rows, cJSON_CreateString(row.s));
	}
}

static void json_map(cJSON *o, const struct tiles_explained *e, const struct tile_map *m)
{
	cJSON_AddNumberToObject(o, "row_tile", (double)m->row_tile);
	cJSON_AddNumberToObject(o, "walked_tile", (double)m->walked_tile);
	cJSON_AddNumberToObject(o, "cell_rows", (double)m->cell_rows);
	cJSON_AddNumberToObject(o, "cell_columns", (double)m->cell_columns);
	cJSON_AddNumberToObject(o, "rows_looked_at", m->share);
	cJSON_AddNumberToObject(o, "tasks", (double)m->tasks);
	cJSON_AddNumberToObject(o, "tasks_looked_at", (double)m->looked);
	cJSON_AddBoolToObject(o, "sound", m->sound);
	add_cell(o, &m->total);
	cJSON *list = cJSON_AddArrayToObject(o, "maps");
	for (uint32_t i = 0; i < m->head.n; i++)
		json_head(list, e, m, &m->head.v[i]);
}

static void json_stream(cJSON *list, const struct tiles_explained *e, const struct tiles_stream *x)
{
	cJSON *o = cJSON_CreateObject();
	cJSON_AddItemToArray(list, o);
	cJSON_AddNumberToObject(o, "stream", x->stream + 1);
	cJSON_AddStringToObject(o, "walks", x->walked);
	if (x->row)
		cJSON_AddStringToObject(o, "row", x->row);
	if (x->selects) {
		cJSON_AddStringToObject(o, "selects", x->selects);
		return;
	}
	cJSON_AddStringToObject(o, "present_where", x->present);
	if (e->origin)
		cJSON_AddStringToObject(o, "sparsity", sparsity_name[x->sizes->sparsity]);
	cJSON_AddStringToObject(o, "from", x->low);
	cJSON_AddStringToObject(o, "to", x->high);
	cJSON *terms = cJSON_AddArrayToObject(o, "not_bounded_by");
	for (uint32_t i = 0; i < x->unbounded.n; i++) {
		cJSON *y = cJSON_CreateObject();
		cJSON_AddItemToArray(terms, y);
		cJSON_AddStringToObject(y, "term", x->unbounded.v[i].term);
		cJSON_AddStringToObject(y, "why", x->unbounded.v[i].why);
	}
	if (e->origin) {
		if (x->plain)
			cJSON_AddStringToObject(o, "without_predicate_if", x->plain);
		add_strings(o, "looked_at_if", x->tested.v, x->tested.n);
		add_strings(o, "known_a_tile", x->summary.v, x->summary.n);
		add_strings(o, "made_beforehand", x->prepass.v, x->prepass.n);
	}
	if (x->no_map)
		cJSON_AddStringToObject(o, "no_map", x->no_map);
	if (x->map)
		json_map(o, e, x->map);
}

void tiles_json(const struct tiles_explained *e, cJSON *root)
{
	cJSON *list;
	if (e->origin)
		cJSON_AddStringToObject(root, "schedule", e->origin);
	if (e->form)
		cJSON_AddStringToObject(root, "form", e->form);
	if (e->no_tiles)
		cJSON_AddStringToObject(root, "no_kernel", e->no_tiles);
	if (e->forms)
		cJSON_AddStringToObject(root, "forms", e->forms);
	if (e->data)
		cJSON_AddStringToObject(root, "data", e->data);
	list = cJSON_AddArrayToObject(root, "streams");
	for (uint32_t i = 0; i < e->stream.n; i++)
		json_stream(list, e, &e->stream.v[i]);
}
