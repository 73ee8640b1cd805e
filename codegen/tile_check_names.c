/* tile_check_names.c: what tile_check proves of a program's declarations. */
#include <string.h>

#include "codegen/tile.h"

__attribute__((format(printf, 2, 0))) static bool fail(struct text *reason, const char *format, const char *name)
{
	text_printf(reason, format, name);
	return false;
}

static bool check_tensor(const struct tile_program *p, uint32_t i, struct text *reason)
{
	const struct tile_tensor *t = &p->tensor.v[i];
	enum operand_type held = t->dtype == DTYPE_BF16 ? OPERAND_BF16 : t->dtype == DTYPE_I8 ? OPERAND_I8 : OPERAND_COMPUTE;
	if (t->place == PLACE_ARGUMENT && i && p->tensor.v[i - 1].place == PLACE_WORK)
		return fail(reason, "argument %s stands after a work tensor", t->name);
	if (t->panel && (t->panel < 0 || t->nranks < 2 || t->lanes < t->nranks - 2 || t->lanes >= t->nranks ||
	                 t->place != PLACE_WORK))
		return fail(reason, "%s: panels cut one of the last two ranks of a work tensor", t->name);
	if (t->group > 1 && (!t->panel || t->group != operand_group(held)))
		return fail(reason, "%s: panels are by 2 of bf16 or by 4 of i8", t->name);
	return true;
}

static bool check_value(const struct tile_program *p, uint32_t i, struct text *reason)
{
	const struct tile_value *v = &p->value.v[i];
	bool narrow = p->compute == DTYPE_F32 && (v->dtype == DTYPE_BF16 || v->dtype == DTYPE_I8);
	if (v->dtype != p->compute && v->dtype != DTYPE_I32 && !narrow) {
		text_printf(reason, "value %s is %s, not %s or i32%s", v->name, dtype_info[v->dtype].spelling,
		            dtype_info[p->compute].spelling, p->compute == DTYPE_F32 ? ", bf16 or i8" : "");
		return false;
	}
	for (int k = 0; k < v->nranks; k++)
		for (int m = 0; m <= k; m++)
			if (v->index[k] >= p->index.n || (m < k && v->index[m] == v->index[k]))
				return fail(reason, "value %s has a rank twice, or one that is no index", v->name);
	return true;
}

static bool check_names(const struct tile_program *p, struct text *reason)
{
	uint32_t n = p->index.n + p->tensor.n + p->value.n;
	const char **name = arena_new_array(reason->arena, n, const char *);
	for (uint32_t i = 0; i < n; i++) {
		name[i] = i < p->index.n ? p->index.v[i].name
		          : i < p->index.n + p->tensor.n
		                  ? p->tensor.v[i - p->index.n].name
		                  : p->value.v[i - p->index.n - p->tensor.n].name;
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(name[i], name[k]))
				return fail(reason, "%s is the name of two things", name[i]);
	}
	return true;
}

bool tile_check_declarations(const struct tile_program *p, struct text *reason)
{
	if (p->compute != DTYPE_F32 && p->compute != DTYPE_F64)
		return fail(reason, "computation is in f32 or f64, not %s", dtype_info[p->compute].spelling);
	for (uint32_t i = 0; i < p->tensor.n; i++)
		if (!check_tensor(p, i, reason))
			return false;
	for (uint32_t i = 0; i < p->value.n; i++)
		if (!check_value(p, i, reason))
			return false;
	return check_names(p, reason);
}
