/* explain_svg.c: tile maps as one picture: what the kernel visits, in colour, element by element where that
 * is kept, else by cells, the paler the less of them is present. */
#include "codegen/explain_tiles.h"

enum { PANEL = 360, LEAST = 96, MARGIN = 24, AXIS = 44, CAPTION = 78, ACROSS = 3, MOST_PANELS = 24 };

struct frame {
	double x, y, width, height; /* of the map itself */
	double unit_x, unit_y;      /* of a cell */
};

static void escape(struct text *t, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '<': text_add(t, "&lt;"); break;
		case '>': text_add(t, "&gt;"); break;
		case '&': text_add(t, "&amp;"); break;
		case '"': text_add(t, "&quot;"); break;
		default: text_char(t, *s);
		}
}

static void write_at(struct text *t, double x, double y, const char *class, const char *s)
{
	text_printf(t, "<text x=\"%g\" y=\"%g\" class=\"%s\">", x, y, class);
	escape(t, s);
	text_add(t, "</text>\n");
}

static const char style[] =
        "<style>\n"
        "svg { --ground: #ffffff; --paper: #f4f5f7; --line: #c3c8d0; --ink: #1d2733; --soft: #5a6675;\n"
        "  --full: #0f8b8d; --partial: #e9a23b; --vain: #d9534f; --wrong: #b3005e; }\n"
        "@media (prefers-color-scheme: dark) {\n"
        "  svg { --ground: #12161c; --paper: #1b212a; --line: #3a4452; --ink: #e6eaf0; --soft: #9aa7b6;\n"
        "    --full: #2bb3b5; --partial: #f0b455; --vain: #e26d69; --wrong: #ff4fa3; } }\n"
        "text { font-family: system-ui, -apple-system, 'Segoe UI', sans-serif; fill: var(--ink); font-size: "
        "13px; }\n"
        ".title { font-size: 18px; font-weight: 600; } .head { font-size: 14px; font-weight: 600; }\n"
        ".small { font-size: 12px; fill: var(--soft); } .axis { font-size: 11px; fill: var(--soft); }\n"
        ".end { text-anchor: end; } .code { font-family: ui-monospace, monospace; font-size: 12px; fill: "
        "var(--soft); }\n"
        ".ground { fill: var(--ground); } .paper { fill: var(--paper); } .frame { fill: none; stroke: "
        "var(--line); }\n"
        ".full { fill: var(--full); } .partial { fill: var(--partial); } .vain { fill: var(--vain); "
        "fill-opacity: .45; }\n"
        ".wrong { fill: var(--wrong); }\n"
        "</style>\n";

/* A path of the runs of cells for which `wanted` says so, in cell units. */
static void runs(struct text *t, const char *class, const char *more, int64_t rows, int64_t columns,
                 bool (*wanted)(const void *, int64_t, int), const void *of, int which, const struct frame *f,
                 double unit_x, double unit_y)
{
	bool any = false;
	for (int64_t r = 0; r < rows; r++)
		for (int64_t k = 0; k < columns;) {
			int64_t end = k;
			while (end < columns && wanted(of, r * columns + end, which))
				end++;
			if (end == k) {
				k++;
				continue;
			}
			if (!any)
				text_printf(t, "<path class=\"%s\"%s d=\"", class, more);
			any = true;
			double x = f->x + (double)k * unit_x, y = f->y + (double)r * unit_y;
			double right = f->x + (double)end * unit_x, below = f->y + (double)(r + 1) * unit_y;
			right = right > f->x + f->width ? f->x + f->width : right;
			below = below > f->y + f->height ? f->y + f->height : below;
			text_printf(t, "M%.6g %.6gH%.6gV%.6gH%.6gz", x, y, right, below, x);
			k = end;
		}
	if (any)
		text_add(t, "\"/>\n");
}

static enum map_look exact_look(unsigned char bits)
{
	struct map_cell c = {.pairs = 1,
	                     .present = bits & MAP_BIT_PRESENT,
	                     .visited = !!(bits & MAP_BIT_VISITED),
	                     .plain = !!(bits & MAP_BIT_PLAIN),
	                     .twice = !!(bits & MAP_BIT_TWICE)};
	c.missed = c.present && !c.visited;
	c.admitted = c.plain && !(bits & MAP_BIT_CERTAIN);
	return map_look(&c);
}

static bool looks_exactly(const void *of, int64_t i, int look)
{
	return (int)exact_look(((const unsigned char *)of)[i]) == look;
}

static bool looks(const void *of, int64_t i, int look)
{
	return (int)map_look((const struct map_cell *)of + i) == look;
}

/* Partial cells by the quarters of them that are present, rounded up. */
static bool shaded(const void *of, int64_t i, int quarters)
{
	const struct map_cell *c = (const struct map_cell *)of + i;
	return map_look(c) == LOOK_PARTIAL && (4 * c->present + c->pairs - 1) / c->pairs == quarters;
}

static const char *const look_class[LOOKS] = {
        [LOOK_VAIN] = "vain", [LOOK_PARTIAL] = "partial", [LOOK_FULL] = "full", [LOOK_WRONG] = "wrong"};

static void draw_map(struct text *t, const struct tile_map *m, const struct map_head *h,
                     const struct frame *f)
{
	static const char *const opacity[] = {"", " fill-opacity=\".4\"", " fill-opacity=\".6\"",
	                                      " fill-opacity=\".8\"", ""};
	for (int look = LOOK_VAIN; look < LOOKS; look++)
		if (h->exact)
			runs(t, look_class[look], "", m->rows, m->walked, looks_exactly, h->exact, look, f,
			     f->width / (double)m->walked, f->height / (double)m->rows);
		else if (look != LOOK_PARTIAL)
			runs(t, look_class[look], "", m->map_rows, m->map_columns, looks, h->cell, look, f,
			     f->unit_x, f->unit_y);
	for (int q = 1; q <= 4 && !h->exact; q++)
		runs(t, "partial", opacity[q], m->map_rows, m->map_columns, shaded, h->cell, q, f, f->unit_x,
		     f->unit_y);
}

static double percent(int64_t part, int64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void draw_axes(struct text *t, struct arena *a, const struct tiles_stream *x, const struct frame *f)
{
	const struct tile_map *m = x->map;
	write_at(t, f->x, f->y - 6, "axis", arena_printf(a, "%s 0", x->walked));
	write_at(t, f->x + f->width, f->y - 6, "axis end", arena_printf(a, "%lld", (long long)m->walked - 1));
	write_at(t, f->x - 6, f->y + 10, "axis end", arena_printf(a, "%s 0", x->row ? x->row : ""));
	if (m->rows > 1)
		write_at(t, f->x - 6, f->y + f->height, "axis end",
		         arena_printf(a, "%lld", (long long)m->rows - 1));
}

static void draw_head(struct text *t, const struct tiles_explained *e, const struct tiles_stream *x,
                      const struct map_head *h, const struct frame *f)
{
	const struct tile_map *m = x->map;
	const struct map_cell *c = &h->total;
	struct arena *a = t->arena;
	struct text label;
	text_init(&label, a);
	map_label(m, h, e->streams->cascade, &label);
	text_add(t, "<g role=\"img\" aria-label=\"");
	escape(t, label.s);
	text_printf(t, ": %.3g%% present, %.3g%% visited\">\n<title>", percent(c->present, c->pairs),
	            percent(c->visited, c->pairs));
	escape(t, label.s);
	text_add(t, "</title>\n");
	write_at(t, f->x, f->y - 22, "head", label.s);
	text_printf(t, "<rect class=\"paper\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\"/>\n", f->x, f->y,
	            f->width, f->height);
	draw_map(t, m, h, f);
	text_printf(t, "<rect class=\"frame\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\"/>\n", f->x, f->y,
	            f->width, f->height);
	draw_axes(t, a, x, f);
	write_at(t, f->x, f->y + f->height + 18, "small",
	         c->present
	                 ? arena_printf(a, "%.3g%% present, %.3g%% visited: %.3g times the ideal",
	                                percent(c->present, c->pairs), percent(c->visited, c->pairs),
	                                map_ratio(c))
	                 : arena_printf(a, "nothing present, %.3g%% visited", percent(c->visited, c->pairs)));
	write_at(t, f->x, f->y + f->height + 34, "small",
	         arena_printf(a, "tiles: %lld empty, %lld partial, %lld full", (long long)h->truth.empty,
	                      (long long)h->truth.partial, (long long)h->truth.full));
	write_at(t, f->x, f->y + f->height + 50, "small",
	         arena_printf(a, "treated as: %lld empty, %lld partial, %lld full",
	                      (long long)h->kernel.empty, (long long)h->kernel.partial,
	                      (long long)h->kernel.full));
	text_add(t, "</g>\n");
}

/* Cells as large as let the longer side fill a panel; pairs are square unless that leaves a line. */
static struct frame frame_of(const struct tile_map *m)
{
	struct frame f = {0};
	double rows = (double)m->rows, walked = (double)m->walked, most = rows > walked ? rows : walked;
	f.width = walked / most * PANEL;
	f.height = rows / most * PANEL;
	f.width = f.width < LEAST ? LEAST : f.width;
	f.height = f.height < LEAST ? LEAST : f.height;
	f.unit_x = f.width / walked * (double)m->cell_columns;
	f.unit_y = f.height / rows * (double)m->cell_rows;
	return f;
}

static double draw_stream(struct text *t, const struct tiles_explained *e, const struct tiles_stream *x,
                          double y)
{
	const struct tile_map *m = x->map;
	struct arena *a = t->arena;
	write_at(t, MARGIN, y += 22, "head",
	         arena_printf(a, "Stream %u walks %s, %s, for tiles of %lld x %lld%s", x->stream + 1,
	                      x->walked, x->sizes->down ? "last tile first" : "first tile first",
	                      (long long)m->row_tile, (long long)m->walked_tile,
	                      x->sizes->heavy_first ? ", last rows first" : ""));
	write_at(t, MARGIN, y += 18, "code", arena_printf(a, "present where %s", x->present));
	if (m->share < 1 || m->looked < m->tasks)
		write_at(t, MARGIN, y += 18, "small",
		         arena_printf(a, "looked at: %.3g%% of the rows of %lld of %lld tasks",
		                      100 * m->share, (long long)m->looked, (long long)m->tasks));
	if (m->head.n > MOST_PANELS)
		write_at(t, MARGIN, y += 18, "small",
		         arena_printf(a, "the first %d of %u different maps", MOST_PANELS, m->head.n));
	struct frame f = frame_of(m);
	for (uint32_t i = 0; i < m->head.n && i < MOST_PANELS; i++) {
		f.x = MARGIN + AXIS + (double)(i % ACROSS) * (PANEL + AXIS + MARGIN);
		f.y = y + 48 + (double)(i / ACROSS) * (f.height + CAPTION + 48);
		draw_head(t, e, x, &m->head.v[i], &f);
	}
	uint32_t n = m->head.n < MOST_PANELS ? m->head.n : MOST_PANELS;
	return y + (double)((n + ACROSS - 1) / ACROSS) * (f.height + CAPTION + 48);
}

static void draw_legend(struct text *t, double y)
{
	static const struct {
		const char *class, *text;
	} row[] = {{"full", "present, no predicate evaluated"},
	           {"partial", "present, predicate evaluated"},
	           {"vain", "visited, nothing there"},
	           {"wrong", "unsound"}};
	static const double at[] = {0, 236, 452, 620};
	for (int i = 0; i < 4; i++) {
		text_printf(t, "<rect class=\"%s\" x=\"%g\" y=\"%g\" width=\"14\" height=\"14\" rx=\"2\"/>\n",
		            row[i].class, MARGIN + at[i], y);
		write_at(t, MARGIN + at[i] + 20, y + 12, "small", row[i].text);
	}
}

static bool drawn(const struct tiles_stream *x)
{
	return x->map && x->map->rows && x->map->walked;
}

void tiles_svg(const struct tiles_explained *e, const char *kernel, struct text *t)
{
	struct text body;
	struct arena *a = t->arena;
	double y = 64;
	uint32_t across = 2;
	text_init(&body, a);
	for (uint32_t i = 0; i < e->stream.n; i++)
		if (drawn(&e->stream.v[i])) {
			y = draw_stream(&body, e, &e->stream.v[i], y);
			across = e->stream.v[i].map->head.n > 2 ? ACROSS : across;
		}
	if (y <= 64)
		write_at(&body, MARGIN, y += 22, "small",
		         "No stream has a predicate and a map: everything is visited.");
	double width = 2 * MARGIN + across * (PANEL + AXIS + MARGIN), height = y + 56;
	text_printf(t,
	            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" "
	            "height=\"%g\" role=\"img\" "
	            "aria-labelledby=\"title desc\">\n<title id=\"title\">",
	            width, height, width, height);
	escape(t, kernel);
	text_add(t, ": what the predicates leave out</title>\n<desc id=\"desc\">For every stream and every "
	            "head that differs, "
	            "rows downwards and walked coordinates to the right: which pairs are present, and which "
	            "the kernel "
	            "visits, with and without evaluating the predicate.</desc>\n");
	text_add(t, style);
	text_printf(t, "<rect class=\"ground\" width=\"%g\" height=\"%g\"/>\n", width, height);
	write_at(t, MARGIN, 36, "title", arena_printf(a, "%s: what the predicates leave out", kernel));
	write_at(t, MARGIN, 56, "small",
	         arena_printf(a, "%s schedule%s%s", e->origin ? e->origin : "no", e->data ? "; data " : "",
	                      e->data ? e->data : ""));
	text_add(t, body.s);
	draw_legend(t, height - 34);
	text_add(t, "</svg>\n");
}
