#include "cli/npy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Without the byte order in front. */
static const struct {
	const char *name;
	DLDataType type;
} types[] = {
        {"f8", {kDLFloat, 64, 1}}, {"f4", {kDLFloat, 32, 1}}, {"f2", {kDLFloat, 16, 1}},
        {"i8", {kDLInt, 64, 1}},   {"i4", {kDLInt, 32, 1}},   {"i1", {kDLInt, 8, 1}},
        {"u1", {kDLUInt, 8, 1}},   {"b1", {DL_BOOL, 8, 1}},   {"u2", {kDLUInt, 16, 1}},
};
enum { TYPES = sizeof types / sizeof *types };

static const char magic[] = "\x93NUMPY";
enum { MAGIC = 6, ALIGNMENT = 64, HEADER_LIMIT = 1 << 20 };

/* A file being read. */
struct reader {
	struct npy *npy;
	bool fortran, swapped;
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 2, 3))) static bool fail(const struct reader *r, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(r->why, r->why_size, format, ap);
	va_end(ap);
	return false;
}

/* The header: a Python dictionary of three keys in any order. */

static void skip_space(const char **s)
{
	*s += strspn(*s, " \t\n");
}

static bool take(const char **s, const char *what)
{
	skip_space(s);
	size_t n = strlen(what);
	if (strncmp(*s, what, n))
		return false;
	*s += n;
	return true;
}

/* 'text' or "text" */
static bool take_string(const char **s, char *to, size_t size)
{
	skip_space(s);
	char quote = **s;
	if (quote != '\'' && quote != '"')
		return false;
	const char *end = strchr(++*s, quote);
	if (!end || (size_t)(end - *s) >= size)
		return false;
	memcpy(to, *s, (size_t)(end - *s));
	to[end - *s] = 0;
	*s = end + 1;
	return true;
}

static bool take_type(struct reader *r, const char **s)
{
	char name[16];
	if (!take_string(s, name, sizeof name))
		return fail(r, "its element type is a record or not a string");
	bool ordered = name[0] && strchr("<>=|", name[0]);
	r->swapped = name[0] == '>';
	for (int i = 0; i < TYPES; i++)
		if (!strcmp(types[i].name, name + ordered)) {
			r->npy->tensor.dtype = types[i].type;
			return true;
		}
	return fail(r, "it has elements of type %s; supported are f8 f4 f2 i8 i4 i1 u1 b1, and u2 for bf16",
	            name);
}

/* (), (3,), (3, 4) or (3, 4,) */
static bool take_shape(struct reader *r, const char **s)
{
	if (!take(s, "("))
		return fail(r, "its shape is not a tuple");
	DLTensor *t = &r->npy->tensor;
	for (t->ndim = 0; !take(s, ")");) {
		skip_space(s);
		if (**s < '0' || **s > '9')
			return fail(r, "its shape is not a tuple of whole numbers");
		if (t->ndim == NPY_RANKS)
			return fail(r, "it has more than %d dimensions", NPY_RANKS);
		int64_t extent = 0;
		for (; **s >= '0' && **s <= '9'; ++*s)
			if (__builtin_mul_overflow(extent, 10, &extent) ||
			    __builtin_add_overflow(extent, **s - '0', &extent))
				return fail(r, "an extent of its shape does not fit 64 bits");
		t->shape[t->ndim++] = extent;
		if (!take(s, ",") && (skip_space(s), **s != ')'))
			return fail(r, "its shape is not a tuple of whole numbers");
	}
	return true;
}

static bool parse_header(struct reader *r, const char *s)
{
	char key[32];
	bool type = false, order = false, shape = false;
	if (!take(&s, "{"))
		return fail(r, "its header is not a dictionary");
	while (!take(&s, "}")) {
		if (!take_string(&s, key, sizeof key) || !take(&s, ":"))
			return fail(r, "its header is not a dictionary of strings to values");
		if (!strcmp(key, "descr") && !type) {
			if (!take_type(r, &s))
				return false;
			type = true;
		} else if (!strcmp(key, "fortran_order") && !order) {
			r->fortran = take(&s, "True");
			if (!r->fortran && !take(&s, "False"))
				return fail(r, "its fortran_order is neither True nor False");
			order = true;
		} else if (!strcmp(key, "shape") && !shape) {
			if (!take_shape(r, &s))
				return false;
			shape = true;
		} else {
			return fail(r, "its header has an unknown or repeated key '%s'", key);
		}
		if (!take(&s, ",") && (skip_space(&s), *s != '}'))
			return fail(r, "its header is not a dictionary of strings to values");
	}
	if (!type || !order || !shape)
		return fail(r, "its header lacks %s", !type ? "descr" : !order ? "fortran_order" : "shape");
	return true;
}

/* Strides from the shape; false when elements or bytes do not fit. */
static bool lay_out(struct reader *r, int64_t *elements, int64_t *bytes)
{
	DLTensor *t = &r->npy->tensor;
	*elements = 1;
	for (int i = 0; i < t->ndim; i++) {
		int k = r->fortran ? i : t->ndim - 1 - i;
		t->strides[k] = *elements;
		if (__builtin_mul_overflow(*elements, t->shape[k], elements))
			return false;
	}
	return !__builtin_mul_overflow(*elements, t->dtype.bits / 8, bytes) && *bytes <= PTRDIFF_MAX;
}

static void swap_bytes(char *data, int64_t elements, int size)
{
	for (; elements--; data += size)
		for (int i = 0; i < size / 2; i++) {
			char c = data[i];
			data[i] = data[size - 1 - i];
			data[size - 1 - i] = c;
		}
}

static bool read_header(struct reader *r, FILE *f)
{
	unsigned char prefix[MAGIC + 2], length[4] = {0};
	if (fread(prefix, sizeof prefix, 1, f) != 1 || memcmp(prefix, magic, MAGIC))
		return fail(r, "it is not a .npy file");
	if (prefix[MAGIC] < 1 || prefix[MAGIC] > 3)
		return fail(r, "its format version is %d; known are 1, 2 and 3", prefix[MAGIC]);
	if (fread(length, prefix[MAGIC] == 1 ? 2 : 4, 1, f) != 1)
		return fail(r, "it ends inside its header");
	size_t size = length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16 | (size_t)length[3] << 24;
	if (size > HEADER_LIMIT)
		return fail(r, "its header of %zu bytes is over the limit of %d", size, HEADER_LIMIT);
	char *header = malloc(size + 1);
	if (!header)
		return fail(r, "out of memory");
	bool good = fread(header, 1, size, f) == size || fail(r, "it ends inside its header");
	header[good ? size : 0] = 0;
	good = good && parse_header(r, header);
	free(header);
	return good;
}

static bool read_elements(struct reader *r, FILE *f)
{
	DLTensor *t = &r->npy->tensor;
	struct stat status;
	int64_t elements, bytes;
	long at = ftell(f);
	if (at < 0 || fstat(fileno(f), &status))
		return fail(r, "%s", strerror(errno));
	if (!lay_out(r, &elements, &bytes))
		return fail(r, "its shape has more elements than fit memory");
	if (bytes > (int64_t)status.st_size - at)
		return fail(r, "it ends early: its shape needs %lld bytes of elements", (long long)bytes);
	t->data = malloc(bytes ? (size_t)bytes : 1);
	if (!t->data)
		return fail(r, "out of memory for its %lld bytes", (long long)bytes);
	if (fread(t->data, 1, (size_t)bytes, f) != (size_t)bytes)
		return fail(r, "reading its elements failed");
	if (r->swapped)
		swap_bytes(t->data, elements, t->dtype.bits / 8);
	return true;
}

static bool read_file(struct reader *r, FILE *f)
{
	struct stat status;
	if (fstat(fileno(f), &status))
		return fail(r, "%s", strerror(errno));
	return S_ISREG(status.st_mode) ? read_header(r, f) && read_elements(r, f)
	                               : fail(r, "it is not a file");
}

bool npy_read(const char *path, struct npy *n, char *why, size_t why_size)
{
	struct reader r = {.npy = n, .why = why, .why_size = why_size};
	memset(n, 0, sizeof *n);
	n->tensor.device.device_type = kDLCPU;
	n->tensor.shape = n->shape;
	n->tensor.strides = n->stride;
	FILE *f = fopen(path, "rb");
	if (!f)
		return fail(&r, "%s", strerror(errno));
	bool good = read_file(&r, f);
	fclose(f);
	return good;
}

void npy_free(struct npy *n)
{
	free(n->tensor.data);
	n->tensor.data = NULL;
}

/* Writing. */

static bool type_name(DLDataType t, char name[4])
{
	if (t.code == kDLBfloat || t.code == DL_FLOAT8_E4M3FN || t.code == DL_FLOAT8_E5M2)
		t.code = kDLUInt;
	for (int i = 0; i < TYPES; i++)
		if (types[i].type.code == t.code && types[i].type.bits == t.bits && t.lanes == 1) {
			snprintf(name, 4, "%c%s", t.bits == 8 ? '|' : '<', types[i].name);
			return true;
		}
	return false;
}

static bool is_dense(const DLTensor *t)
{
	int64_t stride = 1;
	for (int i = t->ndim - 1; t->strides && i >= 0; i--) {
		if (t->shape[i] != 1 && t->strides[i] != stride)
			return false;
		stride *= t->shape[i];
	}
	return true;
}

static bool write_elements(const DLTensor *t, FILE *f)
{
	const char *data = (const char *)t->data + t->byte_offset;
	size_t size = t->dtype.bits / 8, count = 1;
	for (int i = 0; i < t->ndim; i++)
		count *= (size_t)t->shape[i];
	if (is_dense(t))
		return fwrite(data, size, count, f) == count;
	int64_t at[NPY_RANKS] = {0}, offset = 0;
	while (count--) {
		if (fwrite(data + offset * (int64_t)size, size, 1, f) != 1)
			return false;
		for (int i = t->ndim - 1; i >= 0; i--) {
			offset += t->strides[i];
			if (++at[i] < t->shape[i])
				break;
			offset -= at[i] * t->strides[i];
			at[i] = 0;
		}
	}
	return true;
}

static bool write_header(const DLTensor *t, const char *type, FILE *f)
{
	char header[512];
	int n = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (", type);
	for (int i = 0; i < t->ndim; i++)
		n += snprintf(header + n, sizeof header - (size_t)n, "%lld,", (long long)t->shape[i]);
	n += snprintf(header + n, sizeof header - (size_t)n, "), }");
	/* Magic, version, length, header and its newline fill whole lines of 64 bytes. */
	int size = (MAGIC + 4 + n + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - MAGIC - 4;
	const unsigned char prefix[] = {1, 0, (unsigned char)(size & 255), (unsigned char)(size >> 8)};
	return fwrite(magic, MAGIC, 1, f) == 1 && fwrite(prefix, sizeof prefix, 1, f) == 1 &&
	       fprintf(f, "%-*s\n", size - 1, header) == size;
}

bool npy_write(const char *path, const DLTensor *t, char *why, size_t why_size)
{
	char type[4];
	const struct reader r = {.why = why, .why_size = why_size};
	if (t->ndim > NPY_RANKS || !type_name(t->dtype, type))
		return fail(&r, "a tensor of this type or rank has no .npy form");
	/* Written beside its place, so that a reader sees the old file or all of the new one. */
	size_t length = strlen(path);
	char *beside = malloc(length + sizeof ".partial");
	if (!beside)
		return fail(&r, "out of memory");
	memcpy(beside, path, length);
	memcpy(beside + length, ".partial", sizeof ".partial");
	FILE *f = fopen(beside, "wb");
	bool good = f && write_header(t, type, f) && write_elements(t, f);
	if (f && fclose(f))
		good = false;
	good = good && !rename(beside, path);
	if (!good) {
		fail(&r, "%s", strerror(errno));
		if (f)
			remove(beside);
	}
	free(beside);
	return good;
}
