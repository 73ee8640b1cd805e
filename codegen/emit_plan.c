#include "codegen/emit.h"

#include <string.h>

#include "base/whole.h"
#include "dsl/dtype.h"

static const char *const reserved[] = {
        "args",   "auto",     "begin",  "break",  "case",     "char",     "const",   "continue", "default",
        "do",     "double",   "else",   "end",    "enum",     "extern",   "float",   "for",      "goto",
        "if",     "inline",   "int",    "long",   "register", "restrict", "return",  "scratch",  "short",
        "signed", "sizeof",   "static", "struct", "switch",   "task",     "typedef", "union",    "unsigned",
        "void",   "volatile", "while",  "asm",    "typeof",   "real",     "vreal",   "vint",     "LANES",
        "rest",   "work",     "main",   "exp",    "log",      "pow",      "sin",     "cos",      "tanh",
        "erf",    "sqrt",     "floor",  "at_key",   "select_topk", "select_largest", "select_order",
        "select_nucleus", "select_bytes", "select_flagged", "select_keys",
};

/* Begins as names of preludes do: at_max, s_max, si_get_i8, v_max. */
static bool is_prelude_like(const char *name)
{
	return !strncmp(name, "at_", 3) || !strncmp(name, "s_", 2) || !strncmp(name, "i_", 2) ||
	       !strncmp(name, "si_", 3) || !strncmp(name, "v_", 2) || !strncmp(name, "vi_", 3);
}

static bool taken(const struct emitter *e, const char *name)
{
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (!strcmp(name, reserved[i]))
			return true;
	for (const char *const *s = e->reserved; s && *s; s++)
		if (!strcmp(name, *s))
			return true;
	for (const char *const *s = e->prelude; s && *s && is_prelude_like(name); s++)
		if (c_text_mentions(*s, name))
			return true;
	for (uint32_t i = 0; i < e->taken.n; i++)
		if (!strcmp(name, e->taken.v[i]))
			return true;
	return false;
}

const char *plan_name(struct emitter *e, const char *stem)
{
	const char *name = stem;
	for (int i = 2; taken(e, name); i++)
		name = arena_printf(e->arena, "%s_%d", stem, i);
	vec_push(e->arena, &e->taken, name);
	return name;
}

struct current *plan_range(struct emitter *e, struct current r)
{
	struct current *p = arena_new(e->arena, struct current);
	*p = r;
	return p;
}

bool range_whole(const struct current *r, int64_t n)
{
	return r->multiple % n == 0;
}

int value_rank(const struct emitter *e, uint32_t value, uint32_t index)
{
	const struct tile_value *v = &e->program->value.v[value];
	for (int r = 0; r < v->nranks; r++)
		if (v->index[r] == index)
			return r;
	return -1;
}

/* The widest enclosing range that the capacity has room for: a value with room for the whole of a blocked
 * range keeps every block in its place. */
const struct current *value_base(const struct emitter *e, uint32_t value, int r)
{
	const struct tile_value *v = &e->program->value.v[value];
	const struct current *base = e->range[v->index[r]];
	while (base->narrow)
		base = base->outer;
	for (const struct current *p = base->outer; p; p = p->outer)
		if (!p->narrow && p->step <= v->capacity[r])
			base = p;
	return base;
}

bool value_may_spill(const struct emitter *e, uint32_t value, int r, int64_t width)
{
	const struct current *base = value_base(e, value, r);
	for (const struct current *p = e->range[e->program->value.v[value].index[r]]; p != base; p = p->outer)
		if (p->grain % width)
			return false;
	return true;
}

static void find_blocks(struct emitter *e, const struct tile_block *b)
{
	for (uint32_t i = 0; i < b->statement.n; i++) {
		const struct tile_statement *s = &b->statement.v[i];
		find_blocks(e, &s->body);
		find_blocks(e, &s->other);
		if (s->kind != TILE_CONTRACT)
			continue;
		int64_t *rows = s->rows == NO_INDEX ? NULL : &e->row_block[s->rows];
		if (rows && *rows < s->block_rows)
			*rows = s->block_rows;
		int64_t lanes = (int64_t)s->block_lanes * e->lanes;
		if (e->lane_block[s->lanes] < lanes)
			e->lane_block[s->lanes] = lanes;
	}
}

enum { WIDEST_GROUP = 4 };

/* Room for register blocks that run past the end of a rank, and for whole vectors in the last one. */
static void plan_value(struct emitter *e, uint32_t value)
{
	const struct tile_value *v = &e->program->value.v[value];
	struct value_plan *p = &e->value[value];
	p->integer = dtype_info[v->dtype].integer;
	p->bytes = p->integer ? 4 : e->real_double ? 8 : 4;
	if (v->dtype == DTYPE_BF16 || v->dtype == DTYPE_I8) {
		p->narrow = dtype_info[v->dtype].spelling;
		p->bytes = v->dtype == DTYPE_BF16 ? 2 : 1;
	}
	int64_t size = 1;
	for (int r = v->nranks - 1; r >= 0; r--) {
		uint32_t i = v->index[r];
		int64_t capacity = v->capacity[r];
		int64_t unit = r == v->nranks - 1 ? e->lanes : 1;
		if (p->narrow && r >= v->nranks - 2 && unit < WIDEST_GROUP) /* groups, along either rank */
			unit = WIDEST_GROUP;
		if (e->row_block[i] > 1)
			capacity = round_up(capacity, e->row_block[i]) +
			           (capacity % e->row_block[i] ? e->row_block[i] : 0);
		if (e->lane_block[i] > unit)
			unit = e->lane_block[i];
		p->stride[r] = size;
		size *= round_up(capacity, unit);
	}
	p->size = round_up(size, e->lanes);
}

static const char *const c_types[DTYPES] = {
        [DTYPE_F64] = "double",
        [DTYPE_F32] = "float",
        [DTYPE_F16] = "unsigned short",
        [DTYPE_BF16] = "unsigned short",
        [DTYPE_F8E4M3] = "unsigned char",
        [DTYPE_F8E5M2] = "unsigned char",
        [DTYPE_I8] = "signed char",
        [DTYPE_U8] = "unsigned char",
        [DTYPE_I4] = "long",
        [DTYPE_I32] = "int",
        [DTYPE_I64] = "long",
        [DTYPE_BOOL] = "unsigned char",
};

static void plan_tensor(struct emitter *e, uint32_t tensor)
{
	const struct tile_tensor *t = &e->program->tensor.v[tensor];
	struct tensor_plan *p = &e->tensor[tensor];
	p->type = c_types[t->dtype];
	p->get = t->group > 1 && t->dtype == DTYPE_I8 ? "i8_biased" : dtype_info[t->dtype].spelling;
	if (t->place != PLACE_WORK)
		return;
	int64_t size = 1;
	for (int r = t->nranks - 1; r >= 0; r--) {
		p->stride[r] = size;
		size *= !t->panel || r < t->nranks - 2 ? t->extent[r]
		        : r == t->lanes                ? round_up(t->extent[r], t->panel)
		                                       : round_up(t->extent[r], t->group > 1 ? t->group : 1);
	}
	p->elements = size;
	p->offset = e->work_bytes;
	e->work_bytes += round_up(dtype_bytes(t->dtype, size), 64);
}

void plan_init(struct emitter *e)
{
	const struct tile_program *p = e->program;
	struct arena *a = e->arena;
	e->range = arena_new_array(a, p->index.n, struct current *);
	e->row_block = arena_new_array(a, p->index.n, int64_t);
	e->lane_block = arena_new_array(a, p->index.n, int64_t);
	e->index_name = arena_new_array(a, p->index.n, const char *);
	e->value = arena_new_array(a, p->value.n, struct value_plan);
	e->tensor = arena_new_array(a, p->tensor.n, struct tensor_plan);
	for (uint32_t i = 0; i < p->phase.n; i++)
		find_blocks(e, &p->phase.v[i].body);
	for (uint32_t i = 0; i < p->tensor.n; i++) {
		e->tensor[i].name = plan_name(e, p->tensor.v[i].name);
		plan_tensor(e, i);
	}
	for (uint32_t i = 0; i < p->index.n; i++)
		e->index_name[i] = plan_name(e, p->index.v[i].name);
	for (uint32_t i = 0; i < p->value.n; i++) {
		e->value[i].name = plan_name(e, p->value.v[i].name);
		plan_value(e, i);
	}
}

void plan_scratch(struct emitter *e)
{
	int64_t at = 0;
	for (uint32_t i = 0; i < e->program->value.n; i++) {
		struct value_plan *v = &e->value[i];
		if (!v->memory)
			continue;
		v->offset = at;
		at += round_up(v->size * v->bytes, 64);
	}
	e->select_offset = at;
	at += e->select_bytes;
	if (e->scratch_bytes < at)
		e->scratch_bytes = at;
}
