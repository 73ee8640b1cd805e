/* Tiles in shared memory: where an element lies, how it is read and written. Rows lie `pitch` bytes apart so
 * that the eight rows of a matrix that ldmatrix takes at a time, and the chunks of a row that cp_async
 * brings, never meet in a bank. */
#include "codegen/cuda.h"

#include <ctype.h>
#include <string.h>

#include "base/whole.h"

enum { CHUNK = 16, STEP_BYTES = 32 /* of a row that one mma takes, whatever the type */ };

int tile_element_bytes(enum operand_type t)
{
	static const int bytes[OPERANDS] = {[OPERAND_COMPUTE] = 4,
	                                    [OPERAND_BF16] = 2,
	                                    [OPERAND_F16] = 2,
	                                    [OPERAND_TF32] = 4,
	                                    [OPERAND_I8] = 1};
	return bytes[t];
}

struct shared_tile tile_shape(int rows, int columns, enum operand_type element, int stages)
{
	struct shared_tile t = {.element = element, .stages = stages > 1 ? stages : 1};
	int bytes = tile_element_bytes(element);
	bool line = rows <= 1 && element == OPERAND_COMPUTE;
	t.rows = line ? 1 : (int)round_up(rows > 1 ? rows : 1, element == OPERAND_I8 ? 32 : 16);
	t.columns = (int)round_up(columns > 1 ? columns : 1, STEP_BYTES / bytes);
	t.pitch = t.columns * bytes;
	t.swizzle = t.pitch % 128 == 0;
	if (!t.swizzle)
		t.pitch += CHUNK; /* it was a multiple of two chunks */
	t.stage_bytes = round_up((int64_t)t.rows * t.pitch, 128);
	return t;
}

/* Coordinates of rank r that lie apart in the rows of a value's tile. */
static int64_t rows_of_rank(const struct cuda *c, uint32_t value, int r, enum operand_type element)
{
	const struct tile_value *v = &c->e.program->value.v[value];
	int64_t rows = v->capacity[r];
	if (v->index[r] == c->row_index)
		rows = round_up(rows, (int64_t)c->warps * 16 * c->groups);
	if (r == v->nranks - 2 && rows > 1)
		rows = round_up(rows, element == OPERAND_I8 ? 32 : 16);
	return rows;
}

struct shared_tile tile_of_value(const struct cuda *c, uint32_t value, enum operand_type element)
{
	const struct tile_value *v = &c->e.program->value.v[value];
	int64_t rows = 1, columns = v->nranks ? v->capacity[v->nranks - 1] : 1;
	for (int r = 0; r < v->nranks - 1; r++)
		rows *= rows_of_rank(c, value, r, element);
	if (v->nranks && v->index[v->nranks - 1] == c->row_index)
		columns = round_up(columns, (int64_t)c->warps * 16 * c->groups);
	struct shared_tile t = tile_shape((int)rows, (int)columns, element, 1);
	t.integer = dtype_info[v->dtype].integer;
	return t;
}

/* The text as an operand: in parentheses unless it is a name, a number or has some already. */
static const char *operand(struct cuda *c, const char *s)
{
	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_')
			return s[0] == '(' && emit_strip(&c->e, s) != s ? s
			                                                : arena_printf(c->e.arena, "(%s)", s);
	return s;
}

const char *tile_row(const struct nest *n, const struct cuda *c, uint32_t value)
{
	struct emitter *e = n->e;
	const struct tile_value *v = &e->program->value.v[value];
	const char *sum = "";
	for (int r = 0; r < v->nranks - 1; r++) {
		const char *at = nest_coordinate(n, v->index[r]), *base = value_base(e, value, r)->low;
		int64_t stride = 1;
		for (int k = r + 1; k < v->nranks - 1; k++)
			stride *= rows_of_rank(c, value, k, c->value[value].tile.element);
		if (!strcmp(at, base))
			continue;
		if (strcmp(base, "0"))
			at = arena_printf(e->arena, "(%s - %s)", at, base);
		sum = emit_sum(e, sum, at, stride);
	}
	return *sum ? sum : "0";
}

/* "shared + 4096 + stage * 8192 + row * 144" */
const char *tile_start(struct cuda *c, const struct shared_tile *t, const char *stage, const char *row)
{
	const char *sum = "shared";
	if (t->offset)
		sum = arena_printf(c->e.arena, "%s + %lld", sum, (long long)t->offset);
	if (stage && strcmp(stage, "0"))
		sum = arena_printf(c->e.arena, "%s + %s * %lld", sum, operand(c, stage),
		                   (long long)t->stage_bytes);
	if (strcmp(row, "0"))
		sum = arena_printf(c->e.arena, "%s + %s * %d", sum, operand(c, row), t->pitch);
	return sum;
}

const char *tile_chunk(struct cuda *c, const struct shared_tile *t, const char *stage, const char *row,
                       const char *chunk)
{
	const char *start = tile_start(c, t, stage, row);
	if (t->swizzle && strcmp(row, "0"))
		return arena_printf(c->e.arena, "%s + (%s ^ (%s & 7)) * 16", start, operand(c, chunk),
		                    operand(c, row));
	return strcmp(chunk, "0") ? arena_printf(c->e.arena, "%s + %s * 16", start, operand(c, chunk))
	                          : start;
}

const char *tile_element(struct cuda *c, const struct shared_tile *t, const char *stage, const char *row,
                         const char *column)
{
	int bytes = tile_element_bytes(t->element), each = CHUNK / bytes;
	const char *at = operand(c, column);
	if (!t->swizzle || !strcmp(row, "0")) {
		const char *start = tile_start(c, t, stage, row);
		return strcmp(column, "0") ? arena_printf(c->e.arena, "%s + %s * %d", start, at, bytes)
		                           : start;
	}
	const char *chunk = arena_printf(c->e.arena, "(%s / %d)", at, each);
	return arena_printf(c->e.arena, "%s + %s %% %d * %d", tile_chunk(c, t, stage, row, chunk), at, each,
	                    bytes);
}

const char *tile_get(struct cuda *c, const struct shared_tile *t, const char *address)
{
	static const char *const form[OPERANDS] = {
	        [OPERAND_COMPUTE] = "at_f32_bits(at_load_shared_u32(%s))",
	        [OPERAND_BF16] = "at_f32_bits(at_load_shared_u16(%s) << 16)",
	        [OPERAND_F16] = "at_f32_f16(at_load_shared_u16(%s))",
	        [OPERAND_TF32] = "at_f32_bits(at_load_shared_u32(%s))",
	        [OPERAND_I8] = "(int)(signed char)at_load_shared_u8(%s)",
	};
	const char *use = t->integer && t->element == OPERAND_COMPUTE ? "(int)at_load_shared_u32(%s)"
	                                                              : form[t->element];
	struct text out;
	text_init(&out, c->e.arena);
	const char *hole = strstr(use, "%s");
	text_bytes(&out, use, (size_t)(hole - use));
	text_add(&out, address);
	text_add(&out, hole + 2);
	return out.s;
}

const char *tile_put(struct cuda *c, const struct shared_tile *t, const char *address, const char *x)
{
	struct arena *a = c->e.arena;
	switch (t->element) {
	case OPERAND_BF16:
		return arena_printf(a, "at_store_shared_u16(%s, at_pack_bf16(%s, 0.0f));", address, x);
	case OPERAND_F16:
		return arena_printf(a, "at_store_shared_u16(%s, at_pack_f16(%s, 0.0f));", address, x);
	case OPERAND_TF32: return arena_printf(a, "at_store_shared_u32(%s, at_tf32(%s));", address, x);
	case OPERAND_I8:
		return arena_printf(a, "at_store_shared_u8(%s, (unsigned)%s(%s));", address,
		                    t->integer ? "i_cast_i8" : "s_cast_i8", x);
	default:
		return t->integer ? arena_printf(a, "at_store_shared_u32(%s, (unsigned)(%s));", address, x)
		                  : arena_printf(a, "at_store_shared_u32(%s, at_bits_f32(%s));", address, x);
	}
}
