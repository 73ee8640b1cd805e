/* Into tiles: from tensors by all threads of the block, 16 bytes at a time where types and alignment allow,
 * and from the fragments of values. */
#include "codegen/cuda.h"

#include <string.h>

#include "base/whole.h"
#include "codegen/kernel.h"

enum { TURNS_AT_ONCE = 8 }; /* copies by one thread whose addresses may all be in registers */

static const char *number(struct cuda *c, int64_t n)
{
	return arena_printf(c->e.arena, "%lld", (long long)n);
}

static bool is_zero(const char *s)
{
	return !strcmp(s, "0");
}

/* ---- tensors ---- */

struct fetch {
	struct cuda *c;
	const struct shared_tile *tile;
	const char *stage;
	struct expr read;
	uint32_t rows, columns;               /* NO_INDEX: a tensor of one rank has no rows */
	const char *first_row, *first_column; /* names or numbers */
	int64_t row_limit, column_limit;      /* coordinates from there on are zero */
	int size;                             /* bytes a copy brings; 0: by elements */
};

/* Does the tensor hold what the tile shall, bit for bit? TF32 is f32 that mma's operands are rounded from. */
static bool same_type(enum dtype d, const struct shared_tile *t)
{
	switch (t->element) {
	case OPERAND_BF16: return d == DTYPE_BF16;
	case OPERAND_F16: return d == DTYPE_F16;
	case OPERAND_I8: return d == DTYPE_I8;
	case OPERAND_TF32: return d == DTYPE_F32;
	default: return d == (t->integer ? DTYPE_I32 : DTYPE_F32);
	}
}

/* The largest copy that divides every row of the tensor and the place where the columns begin. */
static int copy_size(const struct cuda *c, const struct shared_tile *tile, uint32_t tensor, uint32_t columns)
{
	const struct tile_tensor *t = &c->e.program->tensor.v[tensor];
	int bytes = tile_element_bytes(tile->element);
	if (!same_type(t->dtype, tile) || t->panel)
		return 0;
	int64_t aligned = gcd(t->extent[t->nranks - 1], c->e.range[columns]->align) * bytes;
	for (int size = 16; size >= 4; size /= 2)
		if (aligned % size == 0)
			return size;
	return 0;
}

/* The condition that the READ's coordinates but rows and columns lie in the tensor; "" where they are known
 * to. */
static const char *inside(struct nest *n, const struct fetch *f)
{
	struct emitter *e = n->e;
	const struct expr_node *read = expr_at(e->pool, f->read);
	const struct tile_tensor *t = &e->program->tensor.v[read->symbol];
	const char *condition = "";
	for (int r = 0; r < read->count; r++) {
		struct expr x = expr_operand(e->pool, f->read, r);
		const struct expr_node *at = expr_at(e->pool, x);
		double d;
		if (at->op == OP_INDEX && e->program->index.v[at->symbol].extent <= t->extent[r])
			continue;
		if (at->op == OP_INDEX && (at->symbol == f->rows || at->symbol == f->columns))
			continue; /* limited element by element */
		if (expr_is_number(e->pool, x, &d) && d >= 0 && d < (double)t->extent[r])
			continue;
		const struct expr_node *of = at->count ? expr_at(e->pool, expr_operand(e->pool, x, 0)) : NULL;
		if (at->op == OP_IDIV && of->op == OP_INDEX &&
		    expr_is_number(e->pool, expr_operand(e->pool, x, 1), &d) && d >= 1 &&
		    (e->program->index.v[of->symbol].extent - 1) / (int64_t)d < t->extent[r])
			continue;
		condition = arena_printf(
		        e->arena, "%s%s(unsigned)(%s) < %lld", condition, *condition ? " && " : "",
		        emit_strip(e, nest_text(n, x, KIND_INT, false)), (long long)t->extent[r]);
	}
	return condition;
}

/* "limit - first", or the number. */
static const char *left_of(struct cuda *c, int64_t limit, const char *first)
{
	return is_zero(first) ? number(c, limit)
	                      : arena_printf(c->e.arena, "%lld - %s", (long long)limit, first);
}

/* Every coordinate of the tile's rows (or columns) that the range can have is below the limit. */
static bool all_inside(const struct cuda *c, uint32_t index, int64_t limit, int64_t count)
{
	if (index == NO_INDEX)
		return count <= 1;
	int64_t align = c->e.range[index]->align;
	return limit && limit % count == 0 && align % count == 0;
}

static const char *row_stride(struct cuda *c, const struct fetch *f)
{
	const struct expr_node *read = expr_at(c->e.pool, f->read);
	struct tensor_plan *p = &c->e.tensor[read->symbol];
	int r = read->count - 2;
	if (c->e.program->tensor.v[read->symbol].place != PLACE_ARGUMENT)
		return number(c, p->stride[r]);
	p->strides |= (uint8_t)(1 << r);
	return arena_printf(c->e.arena, "%s_stride%d", p->name, r);
}

static void fetch_chunks(struct nest *n, const struct fetch *f)
{
	struct cuda *c = f->c;
	struct arena *a = c->e.arena;
	const struct tensor_plan *p = &c->e.tensor[expr_at(c->e.pool, f->read)->symbol];
	struct c_block *b = n->body;
	int bytes = tile_element_bytes(f->tile->element), threads = 32 * c->warps, each = f->size / bytes;
	int width = f->tile->columns / each, total = f->tile->rows * width; /* copies of a row, of the tile */
	const char *from = plan_name(&c->e, "from"), *i = plan_name(&c->e, "i"),
	           *row = plan_name(&c->e, "row"), *part = plan_name(&c->e, "part"),
	           *left = plan_name(&c->e, "left"), *ok = plan_name(&c->e, "ok"), *condition = inside(n, f),
	           *test = "";
	const char *stride = f->rows == NO_INDEX ? "0" : row_stride(c, f);
	/* Where the width divides the threads, every thread stays in its column and goes on by whole rows.
	 * The row it begins with is part of the coordinate: a product of its own would last in registers. */
	bool column = threads % width == 0;
	if (column) {
		c_line(a, b, "const int %s = thread %% %d;", part, width);
		if (f->rows != NO_INDEX)
			c->e.range[f->rows]->low =
			        is_zero(f->first_row)
			                ? arena_printf(a, "(thread / %d)", width)
			                : arena_printf(a, "(%s + thread / %d)", f->first_row, width);
	}
	const char *address = nest_address(n, f->read, NULL);
	if (column)
		c_line(a, b, "const %s *%s = %s + %s * %d;", p->type, from, address, part, each);
	else
		c_line(a, b, "const %s *const %s = %s;", p->type, from, address);
	if (*condition || !all_inside(c, f->rows, f->row_limit, f->tile->rows)) {
		const char *rows = left_of(c, f->row_limit, f->first_row);
		c_line(a, b, *condition ? "const int %s = %s ? %s : 0;" : "const int %s = %s%s;", left,
		       condition, rows);
		test = arena_printf(a, "%s < %s", row, left);
	}
	const char *columns = left_of(c, f->column_limit, f->first_column), *count = number(c, f->size);
	if (!all_inside(c, f->columns, f->column_limit, f->tile->columns)) {
		const char *here = arena_printf(a, "%s * %d", part, each);
		test = arena_printf(a, "%s%s%s < %s", test, *test ? " && " : "", here, columns);
		if (f->column_limit % each)
			count = arena_printf(a, "i_min(%d, (%s - %s) * %d)", f->size, columns, here, bytes);
	}
	int turns = (total + threads - 1) / threads;
	c_line(a, b, turns > TURNS_AT_ONCE ? "AT_UNROLL_4" : "AT_UNROLL");
	struct c_block *loop = c_open(a, b, "for (int %s = 0; %s < %d; %s++)", i, i, turns, i);
	if (total % threads)
		loop = c_open(a, loop, "if (thread + %d * %s < %d)", threads, i, total);
	if (column) {
		c_line(a, loop, "const int %s = thread / %d + %d * %s;", row, width, threads / width, i);
	} else {
		c_line(a, loop, "const int %s = (thread + %d * %s) / %d;", row, threads, i, width);
		c_line(a, loop, "const int %s = (thread + %d * %s) %% %d;", part, threads, i, width);
	}
	const char *to = tile_element(c, f->tile, f->stage, row, arena_printf(a, "(%s * %d)", part, each));
	if (f->size == 16)
		to = tile_chunk(c, f->tile, f->stage, row, part);
	const char *source =
	        column ? from : arena_printf(a, "%s + %s * %s + %s * %d", from, row, stride, part, each);
	if (*test) {
		c_line(a, loop, "const int %s = %s;", ok, test);
		c_line(a, loop, "at_cp_async(%s, %s ? %s : %s, %d, %s ? %s : 0);", to, ok, source, p->name,
		       f->size, ok, count);
	} else {
		c_line(a, loop, "at_cp_async(%s, %s, %d, %s);", to, source, f->size, count);
	}
	if (column && f->rows != NO_INDEX)
		c_line(a, loop, "%s += %d * %s;", from, threads / width, stride);
}

/* One element a thread at a time, converted. */
static void fetch_elements(struct nest *n, const struct fetch *f)
{
	struct cuda *c = f->c;
	struct arena *a = c->e.arena;
	int threads = 32 * c->warps;
	const char *i = plan_name(&c->e, "i"), *row = plan_name(&c->e, "row"),
	           *column = plan_name(&c->e, "column"), *x = plan_name(&c->e, "x");
	struct c_block *loop = c_open(a, n->body, "for (int %s = thread; %s < %d; %s += %d)", i, i,
	                              f->tile->rows * f->tile->columns, i, threads);
	c_line(a, loop, "const int %s = %s / %d;", row, i, f->tile->columns);
	c_line(a, loop, "const int %s = %s %% %d;", column, i, f->tile->columns);
	enum kind kind = f->tile->integer ? KIND_INT : KIND_REAL;
	c_line(a, loop, "%s %s = 0;", kind == KIND_INT ? "int" : "float", x);
	/* The element's coordinates are its row's and column's low end: the address is made for one element.
	 */
	struct current at_row, at_column, *rows = NULL, *columns = c->e.range[f->columns];
	if (f->rows != NO_INDEX) {
		rows = c->e.range[f->rows];
		at_row = *rows;
		at_row.low = at_row.high =
		        is_zero(f->first_row) ? row : arena_printf(a, "(%s + %s)", f->first_row, row);
		c->e.range[f->rows] = &at_row;
	}
	at_column = *columns;
	at_column.low = at_column.high =
	        is_zero(f->first_column) ? column : arena_printf(a, "(%s + %s)", f->first_column, column);
	c->e.range[f->columns] = &at_column;
	const char *test = arena_printf(a, "%s < %lld", at_column.low, (long long)f->column_limit);
	if (f->rows != NO_INDEX)
		test = arena_printf(a, "%s < %lld && %s", at_row.low, (long long)f->row_limit, test);
	struct c_block *then = c_open(a, loop, "if (%s)", test);
	n->row = n->body = then;
	nest_count(n, f->read);
	c_line(a, then, "%s = %s;", x, emit_strip(&c->e, nest_text(n, f->read, kind, false)));
	if (rows)
		c->e.range[f->rows] = rows;
	c->e.range[f->columns] = columns;
	c_line(a, loop, "%s", tile_put(c, f->tile, tile_element(c, f->tile, f->stage, row, column), x));
}

bool tile_fetch(struct cuda *c, struct c_block *b, const struct shared_tile *tile, const char *stage,
                struct expr read, uint32_t rows, uint32_t columns, const char *first_row,
                const char *first_column)
{
	uint32_t names = c->e.taken.n;
	const struct expr_node *node = expr_at(c->e.pool, read);
	const struct tile_tensor *t = &c->e.program->tensor.v[node->symbol];
	struct fetch f = {.c = c,
	                  .tile = tile,
	                  .stage = stage,
	                  .read = read,
	                  .rows = rows,
	                  .columns = columns,
	                  .first_row = rows == NO_INDEX ? "0" : first_row,
	                  .first_column = first_column,
	                  .row_limit = 1};
	const struct tile_index *index = c->e.program->index.v;
	int64_t extent = t->extent[t->nranks - 1];
	f.column_limit = index[columns].extent < extent ? index[columns].extent : extent;
	if (rows != NO_INDEX) {
		extent = t->extent[t->nranks - 2];
		f.row_limit = index[rows].extent < extent ? index[rows].extent : extent;
	}
	f.size = copy_size(c, tile, node->symbol, columns);
	c->e.tensor[node->symbol].used = true;
	b = c_open(c->e.arena, b, "%s", "");
	struct nest n = {.e = &c->e,
	                 .row = b,
	                 .body = b,
	                 .lane = NO_INDEX,
	                 .uses = arena_alloc(c->e.arena, c->e.pool->node.n)};
	if (f.size) {
		/* The address of the first element: its coordinates are where the ranges begin. */
		struct current at_row, at_column, *old_row = rows == NO_INDEX ? NULL : c->e.range[rows],
		                                  *old_column = c->e.range[columns];
		at_column = *old_column;
		at_column.low = first_column;
		c->e.range[columns] = &at_column;
		if (old_row) {
			at_row = *old_row;
			at_row.low = first_row;
			c->e.range[rows] = &at_row;
		}
		if (t->place == PLACE_ARGUMENT) {
			struct kernel_argument *k = &c->argument[node->symbol];
			k->align = k->align > f.size ? k->align : f.size;
		}
		fetch_chunks(&n, &f);
		if (old_row)
			c->e.range[rows] = old_row;
		c->e.range[columns] = old_column;
	} else {
		fetch_elements(&n, &f);
	}
	c->e.taken.n = names;
	return f.size != 0;
}

/* ---- fragments ---- */

/* The element if it is inside the ranges, else zero. */
static const char *guarded(struct cuda *c, const char *test, const char *x)
{
	return *test ? arena_printf(c->e.arena, "(%s ? %s : 0)", test, x) : x;
}

static const char *both(struct cuda *c, const char *x, const char *y)
{
	return *x && *y ? arena_printf(c->e.arena, "%s && %s", x, y) : *x ? x : y;
}

/* "" where the range of the index fills `count`; else that `at`, counted from its low, is inside. */
static const char *in_range(struct cuda *c, uint32_t index, int64_t count, const char *at)
{
	const struct current *r = c->e.range[index];
	if (cuda_whole(c, index, count))
		return "";
	if (r->single)
		return arena_printf(c->e.arena, "%s < 1", at);
	return arena_printf(c->e.arena, "%s < %s", at, emit_strip(&c->e, emit_left(&c->e, r, r->low)));
}

struct copy {
	struct cuda *c;
	const struct cuda_value *v;
	const struct shared_tile *tile;
	const char *name, *row0; /* of the value; the tile's row where its rows begin */
	bool row_last;           /* the rows are the tile's columns */
};

static void copy_matrix(struct copy *y, struct c_block *b)
{
	struct cuda *c = y->c;
	struct arena *a = c->e.arena;
	const struct shared_tile *tile = y->tile;
	const char *i = plan_name(&c->e, "i"), *j = plan_name(&c->e, "j"), *h = plan_name(&c->e, "h"),
	           *r = plan_name(&c->e, "row"), *k = plan_name(&c->e, "column");
	int groups = tile->columns / 8;
	c_line(a, b, "AT_UNROLL");
	b = c_open(a, b, "for (int %s = 0; %s < %d; %s++)", i, i, c->groups, i);
	c_line(a, b, "AT_UNROLL");
	b = c_open(a, b, "for (int %s = 0; %s < %d; %s++)", j, j, groups, j);
	c_line(a, b, "AT_UNROLL");
	b = c_open(a, b, "for (int %s = 0; %s < 2; %s++)", h, h, h);
	c_line(a, b, "const int %s = warp_row + 16 * %s + 8 * %s + g;", r, i, h);
	c_line(a, b, "const int %s = 8 * %s + 2 * t;", k, j);
	const char *x[2], *row_test = in_range(c, c->row_index, (int64_t)c->warps * 16 * c->groups, r);
	for (int e = 0; e < 2; e++) {
		const char *at = e ? arena_printf(a, "%s + 1", k) : k;
		const char *test = both(c, row_test, in_range(c, y->v->lanes, 8 * y->v->lane_groups, at));
		if (groups > y->v->lane_groups)
			test = both(c, arena_printf(a, "%s < %d", j, y->v->lane_groups), test);
		x[e] = guarded(c, test,
		               arena_printf(a, "%s[%s][%s][2 * %s%s]", y->name, i, j, h, e ? " + 1" : ""));
	}
	const char *row = is_zero(y->row0) ? r : arena_printf(a, "(%s + %s)", y->row0, r);
	const char *to = tile_element(c, tile, "0", row, k);
	if (tile->element == OPERAND_BF16 || tile->element == OPERAND_F16) {
		c_line(a, b, "at_store_shared_u32(%s, at_pack_%s(%s, %s));", to,
		       operand_type_name[tile->element], x[0], x[1]);
		return;
	}
	c_line(a, b, "%s", tile_put(c, tile, to, x[0]));
	c_line(a, b, "%s",
	       tile_put(c, tile, tile_element(c, tile, "0", row, arena_printf(a, "(%s + 1)", k)), x[1]));
}

/* A line of rows or lanes, by the threads that have it first. */
static void copy_line(struct copy *y, struct c_block *b)
{
	struct cuda *c = y->c;
	struct arena *a = c->e.arena;
	const char *i = plan_name(&c->e, "i"), *h = plan_name(&c->e, "h"), *k = plan_name(&c->e, "at"), *test;
	bool rows = y->v->fragment == FRAGMENT_ROWS;
	int groups = rows ? c->groups : (y->row_last ? y->tile->columns : 8 * y->v->lane_groups) / 8;
	b = c_open(a, b, rows ? "if (t == 0)" : "if (warp == 0 && g == 0)");
	c_line(a, b, "AT_UNROLL");
	b = c_open(a, b, "for (int %s = 0; %s < %d; %s++)", i, i, groups, i);
	c_line(a, b, "AT_UNROLL");
	b = c_open(a, b, "for (int %s = 0; %s < 2; %s++)", h, h, h);
	if (rows) {
		c_line(a, b, "const int %s = warp_row + 16 * %s + 8 * %s + g;", k, i, h);
		test = in_range(c, c->row_index, (int64_t)c->warps * 16 * c->groups, k);
	} else {
		c_line(a, b, "const int %s = 8 * %s + 2 * t + %s;", k, i, h);
		test = in_range(c, y->v->lanes, 8 * groups, k);
		if (groups > y->v->lane_groups)
			test = both(c, arena_printf(a, "%s < %d", i, y->v->lane_groups), test);
	}
	const char *row = y->row_last        ? y->row0
	                  : is_zero(y->row0) ? k
	                                     : arena_printf(a, "(%s + %s)", y->row0, k);
	const char *to = tile_element(c, y->tile, "0", row, y->row_last ? k : "0");
	c_line(a, b, "%s",
	       tile_put(c, y->tile, to, guarded(c, test, arena_printf(a, "%s[%s][%s]", y->name, i, h))));
}

void tile_copy(struct cuda *c, struct c_block *b, uint32_t value)
{
	uint32_t names = c->e.taken.n;
	const struct tile_value *v = &c->e.program->value.v[value];
	struct copy y = {
	        .c = c, .v = &c->value[value], .tile = &c->value[value].tile, .name = c->e.value[value].name};
	struct nest n = {.e = &c->e, .row = b, .body = b, .lane = NO_INDEX};
	uint32_t line = y.v->fragment == FRAGMENT_ROWS ? c->row_index : y.v->lanes;
	y.row0 = tile_row(&n, c, value);
	y.row_last = v->nranks && v->index[v->nranks - 1] == line;
	shared_write(c, b, y.tile);
	b = c_open(c->e.arena, b, "%s", "");
	switch (y.v->fragment) {
	case FRAGMENT_MATRIX: copy_matrix(&y, b); break;
	case FRAGMENT_ROWS:
	case FRAGMENT_LANES: copy_line(&y, b); break;
	case FRAGMENT_SCALAR:
		b = c_open(c->e.arena, b, "if (thread == 0)");
		c_line(c->e.arena, b, "%s",
		       tile_put(c, y.tile, tile_element(c, y.tile, "0", y.row0, "0"), y.name));
		break;
	case FRAGMENT_NONE: break;
	}
	c->e.taken.n = names;
}
