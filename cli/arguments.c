/* arguments.c: inputs from files to tensors of the declared types, outputs back. */
#include "cli/arguments.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/npy.h"

enum { WHY = 256 };

/* Those of the language. */
static const struct {
	const char *name;
	DLDataType type;
} types[] = {
        {"f64", {kDLFloat, 64, 1}},
        {"f32", {kDLFloat, 32, 1}},
        {"f16", {kDLFloat, 16, 1}},
        {"bf16", {kDLBfloat, 16, 1}},
        {"f8e4m3", {DL_FLOAT8_E4M3FN, 8, 1}},
        {"f8e5m2", {DL_FLOAT8_E5M2, 8, 1}},
        {"i64", {kDLInt, 64, 1}},
        {"i32", {kDLInt, 32, 1}},
        {"i8", {kDLInt, 8, 1}},
        {"u8", {kDLUInt, 8, 1}},
        {"i4", {kDLInt, 4, 1}},
        {"bool", {DL_BOOL, 8, 1}},
};
enum { TYPES = sizeof types / sizeof *types };

static bool same_type(DLDataType a, DLDataType b)
{
	return a.code == b.code && a.bits == b.bits;
}

static bool is_real(DLDataType t)
{
	return t.code != kDLInt && t.code != kDLUInt && t.code != DL_BOOL;
}

static const char *type_name(DLDataType t)
{
	for (int i = 0; i < TYPES; i++)
		if (same_type(types[i].type, t))
			return types[i].name;
	return t.code == kDLUInt && t.bits == 16 ? "u16" : "a type attune does not know";
}

bool argument_make(struct argument *a, const char *name, DLDataType type, int ndim, const int64_t *shape)
{
	int64_t bytes = type.bits < 8 ? 1 : type.bits / 8; /* half bytes get the room of whole ones */
	bool fits = ndim <= (int)(sizeof a->shape / sizeof *a->shape);
	for (int k = 0; fits && k < ndim; k++) {
		a->shape[k] = shape[k];
		fits = !__builtin_mul_overflow(bytes, shape[k], &bytes);
	}
	const int64_t LINE = 64;
	int64_t rounded = 0;
	fits = fits && !__builtin_add_overflow(bytes, LINE, &rounded);
	if (fits)
		a->data = aligned_alloc((size_t)LINE, (size_t)(rounded / LINE * LINE));
	if (!fits || !a->data) {
		complain_of(ATTUNE_SYSTEM, "no memory for '%s'", name);
		return false;
	}
	/* All ones is NaN in every float: what a kernel forgets to write shows. */
	memset(a->data, 0xff, (size_t)(rounded / LINE * LINE));
	a->tensor = (DLTensor){
	        .data = a->data, .device = {kDLCPU, 0}, .ndim = ndim, .dtype = type, .shape = a->shape};
	return true;
}

/* The argument of that name and role; -1 after printing what there is. */
static int find(const struct arguments *a, const char *name, enum attune_role role, const char *option)
{
	char names[512] = "";
	for (int i = 0; i < a->n; i++) {
		const struct attune_tensor *t = &a->declared[i];
		if (t->role == role && !strcmp(t->name, name))
			return i;
		size_t used = strlen(names);
		if (t->role == role)
			snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", t->name);
	}
	complain_of(ATTUNE_USAGE, "%s %s: the program has no such %s; it has %s", option, name,
	            role == ATTUNE_IN ? "input" : "output", *names ? names : "none");
	return -1;
}

/* What -t says of a tensor; `otherwise` where it says nothing; code kDLOpaqueHandle after printing an error.
 */
static DLDataType asked_type(const struct options *o, const char *name, DLDataType otherwise)
{
	for (int i = 0; i < o->type.n; i++) {
		if (strcmp(o->type.v[i].name, name))
			continue;
		for (int k = 0; k < TYPES; k++)
			if (!strcmp(types[k].name, o->type.v[i].text))
				return types[k].type;
		char names[128] = "";
		for (int k = 0; k < TYPES; k++)
			strcat(strcat(names, k ? ", " : ""), types[k].name);
		complain_of(ATTUNE_USAGE, "-t %s=%s: there is no such type; there are %s", name,
		            o->type.v[i].text, names);
		return (DLDataType){kDLOpaqueHandle, 0, 1};
	}
	return otherwise;
}

static int check_types(const struct arguments *a, const struct options *o)
{
	for (int i = 0; i < o->type.n; i++) {
		bool found = false;
		for (int k = 0; k < a->n && !found; k++)
			found = !strcmp(a->declared[k].name, o->type.v[i].name);
		if (!found)
			return complain_of(ATTUNE_USAGE, "-t %s: the program has no such input or output",
			                   o->type.v[i].name);
	}
	return 0;
}

/* A file's numbers in the declared type. The same bits where the types agree: i64 would not survive doubles.
 */
static int adopt(struct argument *a, const struct attune_tensor *t, struct npy *file)
{
	struct attune_error error;
	if (!argument_make(a, t->name, t->dtype, file->tensor.ndim, file->tensor.shape))
		return ATTUNE_SYSTEM;
	bool from_bool = file->tensor.dtype.code == DL_BOOL, as_bool = !strcmp(t->type, "bool");
	if (is_real(t->dtype) != is_real(file->tensor.dtype) ||
	    (as_bool && !from_bool && file->tensor.dtype.bits != 8))
		return complain_of(ATTUNE_USAGE, "'%s' is declared %s, but the file holds %s", t->name,
		                   t->type, type_name(file->tensor.dtype));
	return attune_convert(&file->tensor, &a->tensor, &error) ? complain(&error) : 0;
}

/* Bytes that hold two each, the low half first: twice as many elements along the last rank. */
static bool halve(DLTensor *d)
{
	int last = d->ndim - 1;
	if (last < 0 || d->strides[last] != 1 || __builtin_mul_overflow(d->shape[last], 2, &d->shape[last]))
		return false;
	bool fits = true;
	for (int k = 0; fits && k < last; k++)
		fits = !__builtin_mul_overflow(d->strides[k], 2, &d->strides[k]);
	return fits;
}

/* A file's elements become of the type that -t says. Unsigned ones may be the bits of any type as wide. */
static int call_file(const struct attune_tensor *t, const struct options *o, const char *path, DLTensor *d)
{
	DLDataType has = d->dtype, type = asked_type(o, t->name, (DLDataType){0});
	bool raw = has.code == kDLUInt, asked = type.bits, halves = type.bits == 4;
	if (type.code == kDLOpaqueHandle)
		return ATTUNE_USAGE;
	if (!asked && raw && has.bits == 16)
		return complain_of(ATTUNE_USAGE, "%s holds uint16; if that is bf16, say so with -t %s=bf16",
		                   path, t->name);
	if (!asked && raw && (t->dtype.bits == 4 || (t->dtype.bits == 8 && is_real(t->dtype))))
		return complain_of(
		        ATTUNE_USAGE,
		        "%s holds uint8; if its bytes are codes of %s, say so with -t %s=%s; what holds "
		        "numbers has to be %s",
		        path, t->type, t->name, t->type, is_real(t->dtype) ? "of a float type" : "int8");
	if (!asked || (halves && has.code == kDLInt && has.bits == 8))
		return 0;
	if (halves ? !raw || has.bits != 8 || !halve(d)
	           : type.bits != has.bits || (!raw && !same_type(type, has) && type.code != DL_BOOL))
		return complain_of(ATTUNE_USAGE, "%s holds %s, which -t cannot call %s", path, type_name(has),
		                   type_name(type));
	d->dtype = type;
	return 0;
}

static int read_input(struct arguments *a, const struct options *o, const struct pair *input)
{
	int i = find(a, input->name, ATTUNE_IN, "-i");
	if (i < 0)
		return ATTUNE_USAGE;
	const struct attune_tensor *t = &a->declared[i];
	if (a->v[i].data)
		return complain_of(ATTUNE_USAGE, "-i %s is given twice", t->name);
	char why[WHY] = "";
	struct npy file = {0};
	int status = npy_read(input->text, &file, why, sizeof why)
	                     ? call_file(t, o, input->text, &file.tensor)
	                     : complain_of(ATTUNE_SYSTEM, "%s: %s", input->text, why);
	if (!status)
		status = adopt(&a->v[i], t, &file);
	npy_free(&file);
	if (!status)
		a->pointer[i] = &a->v[i].tensor;
	return status;
}

int arguments_read(struct arguments *a, struct attune_program *program, const struct options *o, bool all)
{
	struct attune_error error;
	*a = (struct arguments){.program = program};
	a->declared = attune_program_tensors(program, &a->n);
	if (a->n > MAX_TENSORS)
		return complain_of(ATTUNE_PROGRAM, "more than %d inputs and outputs", MAX_TENSORS);
	int status = check_types(a, o);
	for (int i = 0; !status && i < o->input.n; i++)
		status = read_input(a, o, &o->input.v[i]);
	for (int i = 0; !status && all && i < a->n; i++)
		if (a->declared[i].role == ATTUNE_IN && !a->v[i].data)
			status = complain_of(ATTUNE_USAGE, "the input %s is missing: -i %s=FILE.npy",
			                     a->declared[i].declared, a->declared[i].name);
	if (!status && attune_program_infer(program, a->pointer, a->n, &error))
		status = complain(&error);
	return status;
}

int arguments_make_outputs(struct arguments *a, bool wide)
{
	static const DLDataType f64 = {kDLFloat, 64, 1};
	int n;
	const struct attune_rank *rank = attune_program_ranks(a->program, &n);
	for (int i = 0; i < n; i++)
		if (rank[i].extent < 0)
			return complain_of(ATTUNE_USAGE,
			                   "no input says how long rank '%s' is; give it: -r %s=N",
			                   rank[i].name, rank[i].name);
	for (int i = 0; i < a->n; i++) {
		const struct attune_tensor *t = &a->declared[i];
		if (t->role != ATTUNE_OUT)
			continue;
		if (!argument_make(&a->v[i], t->name, wide ? f64 : t->dtype, t->ndim, t->shape))
			return ATTUNE_SYSTEM;
		a->pointer[i] = &a->v[i].tensor;
	}
	return 0;
}

static int write_output(const struct arguments *a, const struct options *o, const char *text)
{
	const char *equals = strchr(text, '=');
	if (!equals || equals == text || !equals[1])
		return complain_of(ATTUNE_USAGE, "-o takes TENSOR=FILE, not '%s'", text);
	char *name = strndup(text, (size_t)(equals - text));
	int i = name ? find(a, name, ATTUNE_OUT, "-o") : -1;
	free(name);
	if (i < 0)
		return ATTUNE_USAGE;
	const struct attune_tensor *t = &a->declared[i];
	struct argument copy = {0};
	const DLTensor *tensor = &a->v[i].tensor;
	DLDataType own = t->dtype;
	if (!strcmp(t->type, "bool"))
		own.code = DL_BOOL;
	DLDataType type = asked_type(o, t->name, own);
	if (type.code == kDLOpaqueHandle)
		return ATTUNE_USAGE;
	if (type.bits == 4) /* a file has whole bytes */
		type.bits = 8;
	struct attune_error error;
	char why[WHY] = "";
	int status = 0;
	if (!argument_make(&copy, t->name, type, t->ndim, t->shape))
		return ATTUNE_SYSTEM;
	if (attune_convert(tensor, &copy.tensor, &error))
		status = complain(&error);
	else if (!npy_write(equals + 1, &copy.tensor, why, sizeof why))
		status = complain_of(ATTUNE_SYSTEM, "%s: %s", equals + 1, why);
	free(copy.data);
	return status;
}

int arguments_write(const struct arguments *a, const struct options *o)
{
	int status = 0;
	for (int i = 0; !status && i < o->output.n; i++)
		status = write_output(a, o, o->output.v[i]);
	return status;
}

void arguments_free(struct arguments *a)
{
	for (int i = 0; i < a->n && i < MAX_TENSORS; i++)
		free(a->v[i].data);
}
