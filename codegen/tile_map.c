#include "codegen/tile_map.h"

#include <string.h>

#include "codegen/tile_run.h"

enum { WINDOW = 1 << 26, PAIRS_LIMIT = 1 << 26 };

struct mapping {
	struct arena *arena;
	const struct tile_program *program;
	const struct tile_map_options *options;
	struct tile_map *map;
	struct truth *truth;
	struct tile_walk *walk;
	struct tile_leaves leaves;
	const struct tile_phase *phase;
	uint32_t number;  /* of the phase */
	uint32_t indices; /* of the cascade; the program's own come after */
	int64_t *coordinate;
	unsigned char *state; /* of the rows of a window */
	int64_t low, high;    /* the window: high is past it */
	unsigned char *any, *all;
	struct map_head *head; /* being filled */
	struct map_cell *tile; /* of a row of tiles */
	double done, whole;    /* rows, for the progress */
};

int tile_map_phase(const struct tile_program *p, uint32_t stream)
{
	for (uint32_t i = 0; i < p->phase.n; i++)
		if (!strcmp(p->phase.v[i].name, arena_printf(p->arena, "stream%u", stream + 1)))
			return (int)i;
	return -1;
}

void tile_map_needs(struct arena *a, const struct streams *s, uint32_t stream, const struct tile_program *p,
                    bool *tensor)
{
	int phase = tile_map_phase(p, stream);
	truth_needs(s, &s->stream.v[stream], tensor);
	if (phase < 0)
		return;
	struct tile_wanted w = tile_wanted(a, p, (uint32_t)phase);
	for (uint32_t i = 0; i < p->tensor.n; i++) {
		uint32_t t = w.tensor[i] ? cascade_find_tensor(s->cascade, p->tensor.v[i].name) : UINT32_MAX;
		if (t != UINT32_MAX)
			tensor[t] = true;
	}
}

/* ---- marking ---- */

static struct tile_range clipped(const struct tile_walk *w, uint32_t index, int64_t low, int64_t high)
{
	if (index == NO_INDEX)
		return (struct tile_range){0, 0};
	struct tile_range r = w->range[index];
	return (struct tile_range){r.low < low ? low : r.low, r.high >= high ? high - 1 : r.high};
}

static void seen(void *user, const struct tile_walk *w, const struct tile_statement *s)
{
	struct mapping *m = user;
	const struct stream_plan *plan = m->map->plan;
	const struct tile_leaf *leaf = NULL;
	for (uint32_t i = 0; i < m->leaves.leaf.n; i++)
		if (m->leaves.leaf.v[i].statement == s)
			leaf = &m->leaves.leaf.v[i];
	if (!leaf)
		return;
	struct tile_range rows = clipped(w, plan->rows, m->low, m->high);
	struct tile_range columns = clipped(w, plan->walked, 0, m->map->walked);
	unsigned char bits =
	        (unsigned char)(leaf->masked ? MAP_BIT_VISITED : MAP_BIT_VISITED | MAP_BIT_PLAIN);
	for (int64_t r = rows.low; r <= rows.high; r++) {
		unsigned char *to = m->state + (r - m->low) * m->map->walked;
		for (int64_t i = columns.low; i <= columns.high; i++)
			to[i] = (unsigned char)(to[i] & MAP_BIT_VISITED ? to[i] | bits | MAP_BIT_TWICE
			                                                : bits);
	}
}

/* ---- counting ---- */

static void add(struct map_cell *to, const struct map_cell *x, int64_t times)
{
	to->pairs += times * x->pairs;
	to->present += times * x->present;
	to->certain += times * x->certain;
	to->visited += times * x->visited;
	to->plain += times * x->plain;
	to->missed += times * x->missed;
	to->admitted += times * x->admitted;
	to->twice += times * x->twice;
}

static struct map_cell count(const unsigned char *s, int64_t n)
{
	int64_t by[32] = {0};
	struct map_cell c = {.pairs = n};
	for (int64_t i = 0; i < n; i++)
		by[s[i]]++;
	for (int b = 0; b < 32; b++) {
		bool visited = b & MAP_BIT_VISITED, plain = b & MAP_BIT_PLAIN, present = b & MAP_BIT_PRESENT;
		c.present += present ? by[b] : 0;
		c.certain += b & MAP_BIT_CERTAIN ? by[b] : 0;
		c.visited += visited ? by[b] : 0;
		c.plain += plain ? by[b] : 0;
		c.missed += present && !visited ? by[b] : 0;
		c.admitted += plain && !(b & MAP_BIT_CERTAIN) ? by[b] : 0;
		c.twice += b & MAP_BIT_TWICE ? by[b] : 0;
	}
	return c;
}

static void close_tiles(struct mapping *m)
{
	struct map_head *h = m->head;
	int64_t n = (m->map->walked + m->map->walked_tile - 1) / m->map->walked_tile;
	for (int64_t i = 0; i < n; i++) {
		const struct map_cell *t = &m->tile[i];
		if (!t->pairs)
			continue;
		++*(t->visited == 0        ? &h->kernel.empty
		    : t->plain == t->pairs ? &h->kernel.full
		                           : &h->kernel.partial);
		++*(t->present == 0          ? &h->truth.empty
		    : t->certain == t->pairs ? &h->truth.full
		                             : &h->truth.partial);
	}
	memset(m->tile, 0, (size_t)n * sizeof *m->tile);
}

static void count_row(struct mapping *m, int64_t row, unsigned char *s)
{
	struct tile_map *map = m->map;
	struct map_head *h = m->head;
	int64_t present = 0;
	for (int64_t i = 0; i < map->walked; i++) {
		s[i] |= (unsigned char)((m->any[i] ? MAP_BIT_PRESENT : 0) |
		                        (m->all[i] ? MAP_BIT_CERTAIN : 0));
		h->digest = (h->digest ^ s[i]) * 1099511628211u;
	}
	for (int64_t i = 0, k = 0; i < map->walked; i += map->cell_columns, k++) {
		int64_t rest = map->walked - i, n = rest < map->cell_columns ? rest : map->cell_columns;
		struct map_cell c = count(s + i, n);
		add(&h->cell[row / map->cell_rows * map->map_columns + k], &c, 1);
		add(&h->total, &c, 1);
		present += c.present;
	}
	for (int64_t i = 0, k = 0; i < map->walked; i += map->walked_tile, k++) {
		int64_t rest = map->walked - i, n = rest < map->walked_tile ? rest : map->walked_tile;
		struct map_cell c = count(s + i, n);
		add(&m->tile[k], &c, 1);
	}
	h->sparse_rows += !present;
	if (h->exact)
		memcpy(h->exact + row * map->walked, s, (size_t)map->walked);
}

/* ---- walking ---- */

static bool told_step(const struct tile_map *map, uint32_t index, int64_t task, int64_t *at)
{
	for (int k = map->ntold; k--; task /= map->told_extent[k])
		if (map->told[k] == index) {
			*at = task % map->told_extent[k];
			return true;
		}
	return false;
}

/* Every step of task index k from here on, for the window's rows. */
static bool walk_tasks(struct mapping *m, uint32_t k, int64_t task, int64_t *step)
{
	const struct stream_plan *plan = m->map->plan;
	if (k == m->phase->task.n)
		return tile_walk_task(m->walk, m->number, step);
	const struct tile_task *t = &m->phase->task.v[k];
	int64_t extent = m->program->index.v[t->index].extent, first = 0,
	        last = (extent + t->step - 1) / t->step - 1;
	bool own = t->index >= m->indices;
	if (t->index == plan->rows) {
		first = m->low / t->step;
		last = (m->high - 1) / t->step;
	} else if (!own) { /* parts are all walked; of what tells no tasks apart, one */
		last = 0;
		told_step(m->map, t->index, task, &last);
		first = last;
	}
	for (step[k] = first; step[k] <= last; step[k]++)
		if (!walk_tasks(m, k + 1, task, step))
			return false;
	return true;
}

static void begin_head(struct mapping *m, int64_t task)
{
	struct tile_map *map = m->map;
	struct map_head h = {.digest = 14695981039346656037u};
	vec_push(m->arena, &map->head, h);
	m->head = &map->head.v[map->head.n - 1];
	vec_push(m->arena, &m->head->task, task);
	m->head->cell =
	        arena_new_array(m->arena, (size_t)(map->map_rows * map->map_columns), struct map_cell);
	if (map->rows * map->walked <= MAP_EXACT)
		m->head->exact = arena_new_array(m->arena, (size_t)(map->rows * map->walked), unsigned char);
	for (uint32_t i = 0; i < m->indices; i++) {
		m->coordinate[i] = 0;
		told_step(map, i, task, &m->coordinate[i]);
	}
}

static bool look_at_window(struct mapping *m, int64_t task, int64_t low, int64_t high)
{
	struct tile_map *map = m->map;
	int64_t step[MAX_TASKS] = {0};
	m->low = low;
	m->high = high;
	memset(m->state, 0, (size_t)((high - low) * map->walked));
	if (!walk_tasks(m, 0, task, step))
		return false;
	for (int64_t row = low; row < high; row++) {
		if (map->plan->rows != NO_INDEX)
			m->coordinate[map->plan->rows] = row;
		truth_row(m->truth, m->coordinate, row == low, m->any, m->all);
		count_row(m, row, m->state + (row - low) * map->walked);
		if ((row + 1) % map->row_tile == 0 || row + 1 == high)
			close_tiles(m);
		m->done++;
		if (m->options->progress && (row & 63) == 0)
			m->options->progress(m->options->user, m->done / m->whole);
	}
	return true;
}

/* Puts the head that was looked at last with one that is the same. */
static void join_equal(struct mapping *m)
{
	struct tile_map *map = m->map;
	const struct map_head *last = m->head;
	add(&map->total, &last->total, map->alike);
	map->sound &= !last->total.missed && !last->total.admitted && !last->total.twice;
	for (uint32_t i = 0; i + 1 < map->head.n; i++)
		if (map->head.v[i].digest == last->digest) {
			vec_push(m->arena, &map->head.v[i].task, last->task.v[0]);
			map->head.n--;
			return;
		}
}

/* ---- sizes ---- */

/* The least 2^k, or 3 * 2^k, that divides n into at most so many. */
static int64_t cell_size(int64_t n, int64_t most, bool three)
{
	int64_t c = 1;
	while ((n + c - 1) / c > most) {
		if (three && c > 1 && (n + c / 2 * 3 - 1) / (c / 2 * 3) <= most)
			return c / 2 * 3;
		c *= 2;
	}
	return c;
}

static bool mentions(const struct tile_program *p, struct expr e, uint32_t index)
{
	return e.id &&
	       (expr_mentions(p->pool, e, OP_INDEX, index) || expr_mentions(p->pool, e, OP_LOW, index) ||
	        expr_mentions(p->pool, e, OP_HIGH, index));
}

/* Does what a phase's structure is made of differ between coordinates of an index? */
static bool block_tells(const struct tile_program *p, const struct tile_block *b, const struct tile_wanted *w,
                        uint32_t index)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		bool structure = s->kind == TILE_FOR || s->kind == TILE_NARROW || s->kind == TILE_IF;
		bool wanted = structure || (!tile_stores(s) && w->value[s->value]);
		if (wanted && (mentions(p, s->low, index) || mentions(p, s->high, index) ||
		               mentions(p, s->expression, index) || mentions(p, s->b, index)))
			return true;
		if (block_tells(p, &s->body, w, index) || block_tells(p, &s->other, w, index))
			return true;
	}
	return false;
}

static void find_told(struct mapping *m, const struct streams *s, const struct tile_wanted *w)
{
	struct tile_map *map = m->map;
	map->tasks = map->alike = 1;
	for (uint32_t k = 0; k < m->phase->task.n; k++) {
		const struct tile_task *t = &m->phase->task.v[k];
		int64_t extent = m->program->index.v[t->index].extent;
		if (t->index >= m->indices || t->index == map->plan->rows || t->index == map->plan->wide || extent == 1)
			continue;
		bool told = truth_depends(s, map->plan->stream, t->index) ||
		            block_tells(m->program, &m->phase->body, w, t->index);
		if (!told || map->ntold == MAX_RANKS) {
			map->alike *= extent;
			continue;
		}
		map->told[map->ntold] = t->index;
		map->told_extent[map->ntold++] = extent;
		map->tasks *= extent;
	}
	map->looked = map->tasks < MAP_HEADS ? map->tasks : MAP_HEADS;
}

static bool rows_are_tasks(const struct mapping *m)
{
	for (uint32_t k = 0; k < m->phase->task.n; k++)
		if (m->phase->task.v[k].index == m->map->plan->rows)
			return true;
	return false;
}

static const char *find_sizes(struct mapping *m, const struct streams *s, const struct stream_schedule *sizes)
{
	struct tile_map *map = m->map;
	const struct stream_plan *plan = map->plan;
	map->rows = plan->rows == NO_INDEX ? 1 : plan_extent(s, plan->rows);
	map->walked = plan_extent(s, plan->walked);
	map->row_tile = plan->rows != NO_INDEX && sizes->row_tile > 0 ? sizes->row_tile : 1;
	map->walked_tile = sizes->granule > 0 ? sizes->granule : sizes->stream_tile > 0 ? sizes->stream_tile : 1;
	map->row_step = m->leaves.row_step ? m->leaves.row_step : map->row_tile;
	map->walked_step = m->leaves.walked_step ? m->leaves.walked_step : map->walked_tile;
	map->cell_rows = m->options->rows > 0 ? m->options->rows : cell_size(map->rows, MAP_ROWS, true);
	map->cell_columns =
	        m->options->columns > 0 ? m->options->columns : cell_size(map->walked, MAP_COLUMNS, false);
	map->map_rows = (map->rows + map->cell_rows - 1) / map->cell_rows;
	map->map_columns = (map->walked + map->cell_columns - 1) / map->cell_columns;
	if (map->map_rows * map->map_columns > MAP_CELLS)
		return arena_printf(m->arena, "a map of %lld by %lld cells is past the limit of %d cells",
		                    (long long)map->map_rows, (long long)map->map_columns, MAP_CELLS);
	return NULL;
}

/* Looks at one task: all of its rows, or some tiles of them spread evenly. */
static bool look_at_task(struct mapping *m, int64_t task, int64_t windows, int64_t window)
{
	struct tile_map *map = m->map;
	int64_t all = (map->rows + window - 1) / window;
	begin_head(m, task);
	for (int64_t i = 0; i < windows; i++) {
		int64_t low = (2 * i + 1) * all / (2 * windows) * window,
		        high = low + window < map->rows ? low + window : map->rows;
		if (!look_at_window(m, task, low, high))
			return false;
	}
	join_equal(m);
	return true;
}

struct tile_map *tile_map(struct arena *a, const struct streams *s, const struct stream_plan *plan,
                          const struct stream_schedule *sizes, const struct tile_program *program,
                          struct oracle_tensor *data, const struct tile_map_options *options,
                          const char **why)
{
	struct text reason;
	int phase = tile_map_phase(program, (uint32_t)(plan->stream - s->stream.v));
	if (phase < 0) {
		*why = "the stream has no phase of its own";
		return NULL;
	}
	struct tile_map *map = arena_new(a, struct tile_map);
	struct mapping m = {.arena = a,
	                    .program = program,
	                    .options = options,
	                    .map = map,
	                    .number = (uint32_t)phase,
	                    .phase = &program->phase.v[phase],
	                    .indices = s->cascade->index.n};
	struct tile_wanted wanted = tile_wanted(a, program, m.number);
	*map = (struct tile_map){.plan = plan, .sound = true};
	m.leaves = tile_leaves(a, program, m.number, plan->rows, plan->walked, &wanted);
	if ((*why = find_sizes(&m, s, sizes)) || !(m.truth = truth_new(a, s, plan, data, why)))
		return NULL;
	find_told(&m, s, &wanted);

	double **tensor = arena_new_array(a, program->tensor.n, double *);
	for (uint32_t i = 0; i < program->tensor.n; i++) {
		uint32_t t = cascade_find_tensor(s->cascade, program->tensor.v[i].name);
		if (program->tensor.v[i].place == PLACE_ARGUMENT && t != UINT32_MAX)
			tensor[i] = data[t].data;
	}
	text_init(&reason, a);
	m.walk = tile_runner(a, program, &wanted, tensor, seen, &m, &reason);
	for (uint32_t i = 0; i < m.number; i++)
		if (wanted.phase[i] && !tile_walk_phase(m.walk, i)) {
			*why = reason.s;
			return NULL;
		}

	int64_t window = map->rows < 1 ? 1 : map->rows, windows = 1,
	        width = map->walked < 1 ? 1 : map->walked;
	double limit = options->limit ? (double)options->limit : PAIRS_LIMIT;
	double pairs = (double)map->rows * (double)width * (double)map->looked;
	if ((pairs > limit || map->rows > WINDOW / width) && rows_are_tasks(&m)) {
		int64_t all = (map->rows + map->row_tile - 1) / map->row_tile;
		double most = limit / ((double)map->row_tile * (double)width * (double)map->looked);
		window = map->row_tile;
		windows = most >= (double)all ? all : most < 1 ? 1 : (int64_t)most;
	}
	if (window > 4 * (int64_t)WINDOW / width) {
		*why = "a tile of rows is too long to be looked at";
		return NULL;
	}
	m.state = arena_new_array(a, (size_t)(window * width), unsigned char);
	m.any = arena_new_array(a, (size_t)width, unsigned char);
	m.all = arena_new_array(a, (size_t)width, unsigned char);
	m.coordinate = arena_new_array(a, m.indices, int64_t);
	m.tile = arena_new_array(a, (size_t)(width / map->walked_tile + 1), struct map_cell);
	m.whole = (double)(map->looked * windows * window);
	map->share = map->rows ? (double)(windows * window) / (double)map->rows : 1;
	if (map->share > 1)
		map->share = 1;
	for (int64_t i = 0; i < map->looked && map->rows; i++)
		if (!look_at_task(&m, i * map->tasks / map->looked, windows, window)) {
			*why = reason.s;
			return NULL;
		}
	return map;
}
