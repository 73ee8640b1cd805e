/* Contractions whose result is a fragment, rows over the warps. On tensor cores by fragments of the operands
 * (cuda_operand.c); exact ones on plain cores, each thread its own elements of the result out of shared
 * memory. */
#include <string.h>

#include "codegen/cuda_product.h"

/* Registers of a thread. Beyond 144 for sums and kept operands together the assembler spills: the rest goes
 * into exponentials, addresses and operand b. */
enum { MOST_ACCUMULATORS = 256, MOST_KEPT = 32, MOST_LASTING = 144 };

static struct c_block *unroll(struct cuda *c, struct c_block *b, const char *i, int n)
{
	c_line(c->e.arena, b, "AT_UNROLL");
	return c_open(c->e.arena, b, "for (int %s = 0; %s < %d; %s++)", i, i, n, i);
}

/* A factor of rows that is no more than a number or a value. */
static bool plain_scale(const struct cuda *c, const struct tile_statement *s)
{
	double number;
	return !s->accumulate || !s->scale.id || expr_is_number(c->e.pool, s->scale, &number) ||
	       expr_at(c->e.pool, s->scale)->op == OP_VALUE;
}

bool contract_fits(const struct cuda *c, const struct tile_statement *s)
{
	const struct tile_program *p = c->e.program;
	int rank = value_rank(&c->e, s->value, s->lanes);
	if (s->rows == NO_INDEX || s->rows != c->row_index || c->e.real_double || rank < 0 ||
	    !plain_scale(c, s))
		return false;
	int64_t groups = (p->value.v[s->value].capacity[rank] + 7) / 8;
	return groups * 4 * c->groups <= MOST_ACCUMULATORS;
}

bool contract_from_fragment(const struct cuda *c, const struct tile_statement *s)
{
	const struct cuda_value *a = &c->value[expr_at(c->e.pool, s->a)->symbol];
	return a->fragment == FRAGMENT_MATRIX && a->lanes == s->index && s->rows == c->row_index &&
	       (s->operand == OPERAND_BF16 || s->operand == OPERAND_F16 || s->operand == OPERAND_TF32);
}

/* ---- what a loop leaves as it is ---- */

static bool assigns(const struct tile_block *b, uint32_t value)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		bool makes = s->kind == TILE_LOAD || s->kind == TILE_MAP || s->kind == TILE_REDUCE ||
		             s->kind == TILE_CONTRACT;
		if ((makes && s->value == value) || assigns(&s->body, value) || assigns(&s->other, value))
			return true;
	}
	return false;
}

static bool may_keep(const struct cuda *c, const struct tile_statement *loop, const struct tile_statement *s)
{
	uint32_t a = expr_at(c->e.pool, s->a)->symbol;
	return s->operand != OPERAND_COMPUTE && s->index != loop->index &&
	       value_rank(&c->e, a, loop->index) < 0 && c->value[s->value].fragment == FRAGMENT_MATRIX &&
	       !assigns(&loop->body, a);
}

static const struct kept *kept_of(const struct cuda *c, const struct tile_statement *s)
{
	for (uint32_t i = c->kept.n; i-- > 0;)
		if (c->kept.v[i].contract == s)
			return &c->kept.v[i];
	return NULL;
}

struct choice {
	struct cuda *c;
	const struct tile_statement *loop;
	int registers, most;
	bool tiles;
};

static bool same_operand(const struct cuda *c, const struct tile_statement *x, const struct tile_statement *y)
{
	return expr_same(x->a, y->a) && x->operand == y->operand && x->index == y->index &&
	       contract_from_fragment(c, x) == contract_from_fragment(c, y);
}

/* Registers of the results of contractions, each once. */
static int sums(const struct cuda *c, const struct tile_block *b, uint8_t *seen)
{
	int n = 0;
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		if (s->kind == TILE_CONTRACT && c->value[s->value].fragment == FRAGMENT_MATRIX &&
		    !seen[s->value]++)
			n += 4 * c->groups * c->value[s->value].lane_groups;
		n += sums(c, &s->body, seen) + sums(c, &s->other, seen);
	}
	return n;
}

static void choose(struct choice *y, const struct tile_block *b)
{
	struct cuda *c = y->c;
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		if (s->kind == TILE_IF) {
			choose(y, &s->body);
			choose(y, &s->other);
		}
		if (s->kind != TILE_CONTRACT || !may_keep(c, y->loop, s))
			continue;
		const char *name = NULL;
		for (uint32_t k = 0; k < c->kept.n; k++)
			if (c->kept.v[k].loop == y->loop && same_operand(c, c->kept.v[k].contract, s))
				name = c->kept.v[k].name;
		if (!name) {
			struct product p;
			product_init_a(&p, c, s);
			int registers = 4 * c->groups * p.steps;
			if (y->registers + registers > y->most)
				continue;
			y->registers += registers;
			y->tiles |= !p.registers_a;
			name = plan_name(&c->e, arena_printf(c->e.arena, "%s_kept", c->e.value[p.a].name));
		}
		vec_push(c->e.arena, &c->kept, (struct kept){y->loop, s, name});
	}
}

bool contract_choose_kept(struct cuda *c, const struct tile_statement *loop)
{
	struct choice y = {.c = c, .loop = loop};
	uint32_t n = 0;
	for (uint32_t i = 0; i < c->kept.n; i++) /* the code of a loop may be made more than once */
		if (c->kept.v[i].loop != loop)
			c->kept.v[n++] = c->kept.v[i];
	c->kept.n = n;
	uint8_t *seen = arena_alloc(c->e.arena, c->e.program->value.n + 1);
	y.most = MOST_LASTING - sums(c, &c->phase->body, seen);
	y.most = y.most < MOST_KEPT ? y.most : MOST_KEPT;
	choose(&y, &loop->body);
	return y.tiles;
}

static void fill_kept(struct cuda *c, struct c_block *b, const struct kept *kept)
{
	struct arena *a = c->e.arena;
	struct product p;
	product_init_a(&p, c, kept->contract);
	if (p.tile_a)
		shared_read(c, b, p.tile_a);
	c_line(a, b, "unsigned %s[%d][%d][4];", kept->name, c->groups, p.steps);
	uint32_t names = c->e.taken.n;
	b = c_open(a, b, "%s", "");
	p.i = plan_name(&c->e, "i");
	p.k = plan_name(&c->e, "k");
	product_begin_a(&p, b);
	b = unroll(c, unroll(c, b, p.i, c->groups), p.k, p.steps);
	product_a(&p, b, arena_printf(a, "%s[%s][%s]", kept->name, p.i, p.k));
	c->e.taken.n = names;
}

void contract_fill_kept(struct cuda *c, struct c_block *b, const struct tile_statement *loop)
{
	for (uint32_t i = 0; i < c->kept.n; i++) {
		const struct kept *k = &c->kept.v[i];
		bool filled = k->loop != loop;
		for (uint32_t j = 0; j < i && !filled; j++)
			filled = c->kept.v[j].loop == loop && !strcmp(c->kept.v[j].name, k->name);
		if (!filled)
			fill_kept(c, b, k);
	}
}

/* ---- the result ---- */

/* The factor of a row as C text, h being which of its two in a group of 16. */
static const char *row_factor(struct cuda *c, struct c_block *b, const struct tile_statement *s,
                              const char *i, const char *h)
{
	struct arena *a = c->e.arena;
	const struct expr_node *x = expr_at(c->e.pool, s->scale);
	double number;
	if (expr_is_number(c->e.pool, s->scale, &number))
		return emit_number(&c->e, number, KIND_REAL);
	const struct cuda_value *v = &c->value[x->symbol];
	const char *name = c->e.value[x->symbol].name;
	if (v->fragment == FRAGMENT_ROWS)
		return arena_printf(a, "%s[%s][%s]", name, i, h);
	if (v->fragment == FRAGMENT_SCALAR)
		return name;
	const struct tile_value *t = &c->e.program->value.v[x->symbol];
	struct nest n = {.e = &c->e, .lane = NO_INDEX};
	const char *row = tile_row(&n, c, x->symbol), *column = "0";
	int rank = value_rank(&c->e, x->symbol, s->rows);
	const char *at = arena_printf(a, "(warp_row + 16 * %s + 8 * %s + g)", i, h);
	if (rank >= 0 && rank == t->nranks - 1)
		column = at;
	else if (rank >= 0)
		row = strcmp(row, "0") ? arena_printf(a, "(%s + %s)", row, at) : at;
	const char *factor = plan_name(&c->e, "factor");
	c_line(a, b, "const float %s = %s;", factor,
	       tile_get(c, &v->tile, tile_element(c, &v->tile, "0", row, column)));
	return factor;
}

static void begin_result(struct cuda *c, struct c_block *b, const struct tile_statement *s, int lanes)
{
	struct arena *a = c->e.arena;
	const char *name = c->e.value[s->value].name;
	if (s->accumulate && !s->scale.id)
		return;
	uint32_t names = c->e.taken.n;
	const char *i = plan_name(&c->e, "i"), *j = plan_name(&c->e, "j"), *h = plan_name(&c->e, "h");
	b = unroll(c, unroll(c, b, i, c->groups), h, 2);
	const char *factor = s->accumulate ? row_factor(c, b, s, i, h) : NULL;
	b = unroll(c, b, j, lanes);
	for (int e = 0; e < 2; e++) {
		const char *to = arena_printf(a, "%s[%s][%s][2 * %s%s]", name, i, j, h, e ? " + 1" : "");
		if (!factor)
			c_line(a, b, "%s = 0;", to);
		else if (c->e.value[s->value].integer)
			c_line(a, b, "%s = (int)((float)%s * %s);", to, to, factor);
		else
			c_line(a, b, "%s *= %s;", to, factor);
	}
	c->e.taken.n = names;
}

/* ---- tensor cores ---- */

static void multiply(struct product *p, struct c_block *b, const char *x, const char *y)
{
	struct cuda *c = p->c;
	struct arena *a = c->e.arena;
	const char *name = c->e.value[p->s->value].name, *mma = operand_type_name[p->s->operand];
	const struct kept *kept = kept_of(c, p->s);
	const char *from = kept ? arena_printf(a, "%s[%s][%s]", kept->name, p->i, p->k)
	                        : arena_printf(a, "%s[%s]", x, p->i);
	b = unroll(c, b, p->i, c->groups);
	c_line(a, b, "at_mma_%s(%s[%s][%s], %s, %s[0], %s[1]);", mma, name, p->i, p->j, from, y, y);
	if (!p->matrix_b)
		return;
	if (p->lanes % 2)
		b = c_open(a, b, "if (%s + 1 < %d)", p->j, p->lanes);
	c_line(a, b, "at_mma_%s(%s[%s][%s + 1], %s, %s[2], %s[3]);", mma, name, p->i, p->j, from, y, y);
}

static void tensor_cores(struct cuda *c, struct c_block *b, const struct tile_statement *s)
{
	struct arena *a = c->e.arena;
	struct product p;
	bool kept = kept_of(c, s) != NULL;
	product_init_a(&p, c, s);
	product_init_b(&p, b);
	if (p.tile_a && !kept)
		shared_read(c, b, p.tile_a);
	shared_read(c, b, p.tile_b);
	b = c_open(a, b, "%s", "");
	begin_result(c, b, s, p.lanes);
	p.i = plan_name(&c->e, "i");
	p.j = plan_name(&c->e, "j");
	p.k = plan_name(&c->e, "k");
	const char *x = plan_name(&c->e, "x"), *y = plan_name(&c->e, "y");
	if (!kept)
		product_begin_a(&p, b);
	product_begin_b(&p, b);
	b = unroll(c, b, p.k, p.steps);
	if (!kept) {
		c_line(a, b, "unsigned %s[%d][4];", x, c->groups);
		product_a(&p, unroll(c, b, p.i, c->groups), arena_printf(a, "%s[%s]", x, p.i));
	}
	c_line(a, b, "AT_UNROLL");
	b = c_open(a, b,
	           p.matrix_b ? "for (int %s = 0; %s < %d; %s += 2)" : "for (int %s = 0; %s < %d; %s++)", p.j,
	           p.j, p.lanes, p.j);
	product_b(&p, b, y);
	multiply(&p, b, x, y);
}

/* ---- plain cores ---- */

static const char *plain_element(struct product *p, const struct shared_tile *t, const char *stage,
                                 const char *row0, const char *row, const char *column0, const char *column)
{
	struct arena *a = p->c->e.arena;
	if (strcmp(row0, "0"))
		row = arena_printf(a, "%s + %s", row0, row);
	if (strcmp(column0, "0"))
		column = arena_printf(a, "%s + %s", column0, column);
	return tile_get(
	        p->c, t,
	        tile_element(p->c, t, stage, arena_printf(a, "(%s)", row), arena_printf(a, "(%s)", column)));
}

/* An element of b in lane 8 j + 2 t + e, in the block of step k. Where the lanes are the columns of a
 * swizzled tile the address is that of lane 2 t but for bits that j changes: no register holds an address a
 * lane. `b` gets what all lanes share. */
static const char *plain_lane(struct product *p, struct c_block *b, const char *e)
{
	struct arena *a = p->c->e.arena;
	const struct shared_tile *t = p->tile_b;
	const char *lane = arena_printf(a, "8 * %s + 2 * t + %s", p->j, e);
	if (p->b_by_lanes || !t->swizzle || tile_element_bytes(t->element) != 4 || strcmp(p->column_b, "0"))
		return plain_element(p, t, p->stage_b, p->row_b, p->b_by_lanes ? lane : p->k, p->column_b,
		                     p->b_by_lanes ? p->k : lane);
	const char *at = plan_name(&p->c->e, "y_at");
	const char *row = strcmp(p->row_b, "0") ? arena_printf(a, "(%s + %s)", p->row_b, p->k) : p->k;
	c_line(a, b, "const unsigned %s = %s;", at, tile_element(p->c, t, p->stage_b, row, "(2 * t)"));
	return tile_get(
	        p->c, t,
	        arena_printf(a, "(%s ^ 2 * %s %% 8 * 16) + %s / 4 * 128 + %s * 4", at, p->j, p->j, e));
}

static void plain_cores(struct cuda *c, struct c_block *b, const struct tile_statement *s)
{
	struct arena *a = c->e.arena;
	struct product p;
	const struct current *reduced = c->e.range[s->index];
	const char *type = c->e.value[s->value].integer ? "int" : "float", *name = c->e.value[s->value].name;
	product_init_a(&p, c, s);
	product_init_b(&p, b);
	shared_read(c, b, p.tile_a);
	shared_read(c, b, p.tile_b);
	b = c_open(a, b, "%s", "");
	begin_result(c, b, s, p.lanes);
	p.i = plan_name(&c->e, "i");
	p.j = plan_name(&c->e, "j");
	p.k = plan_name(&c->e, "k");
	const char *x = plan_name(&c->e, "x"), *y = plan_name(&c->e, "y"), *e = plan_name(&c->e, "e");
	const char *count =
	        reduced->single ? "1" : emit_strip(&c->e, emit_left(&c->e, reduced, reduced->low));
	b = c_open(a, b, "for (int %s = 0; %s < %s; %s++)", p.k, p.k, count, p.k);
	c_line(a, b, "%s %s[%d][2];", type, x, c->groups);
	struct c_block *rows = unroll(c, unroll(c, b, p.i, c->groups), e, 2);
	c_line(a, rows, "%s[%s][%s] = %s;", x, p.i, e,
	       plain_element(&p, p.tile_a, "0", p.row_a,
	                     arena_printf(a, "warp_row + 16 * %s + 8 * %s + g", p.i, e), p.column_a, p.k));
	const char *lane = plain_lane(&p, b, e);
	b = unroll(c, unroll(c, b, p.j, p.lanes), e, 2);
	c_line(a, b, "const %s %s = %s;", type, y, lane);
	b = unroll(c, b, p.i, c->groups);
	for (int h = 0; h < 2; h++)
		c_line(a, b, "%s[%s][%s][%s%s] += %s[%s][%d] * %s;", name, p.i, p.j, h ? "2 + " : "", e, x,
		       p.i, h, y);
}

void cuda_contract(struct cuda *c, struct c_block *b, const struct tile_statement *s)
{
	uint32_t names = c->e.taken.n;
	const struct tile_index *index = c->e.program->index.v;
	if (!index[s->lanes].extent || !index[s->rows].extent)
		return;
	if (s->operand == OPERAND_COMPUTE)
		plain_cores(c, b, s);
	else
		tensor_cores(c, b, s);
	c->e.taken.n = names;
}
