/* .npy files: what is written reads back, every kind of header, and files that lie. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/npy.h"
#include "tap.h"

static char path[] = "/tmp/attune-npy-XXXXXX";
static char error[200];

static void put(const void *bytes, size_t n)
{
	FILE *f = fopen(path, "wb");
	if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) {
		puts("Bail out! cannot write a temporary file");
		exit(1);
	}
}

/* A file of version 1, 2 or 3 with this header and `size` bytes of elements, which count up from 0. */
static void put_header(int version, const char *header, size_t size)
{
	static unsigned char bytes[4096];
	size_t n = strlen(header), at = 8;
	memcpy(bytes, "\x93NUMPY", 6);
	bytes[6] = (unsigned char)version;
	bytes[7] = 0;
	for (int i = 0; i < (version == 1 ? 2 : 4); i++)
		bytes[at++] = (unsigned char)(n >> 8 * i);
	memcpy(bytes + at, header, n);
	for (size_t i = 0; i < size; i++)
		bytes[at + n + i] = (unsigned char)i;
	put(bytes, at + n + size);
}

static void rejects(const char *expected, const char *what)
{
	struct npy n;
	bool read = npy_read(path, &n, error, sizeof error);
	if (!ok(!read && strstr(error, expected), "%s: %s", what, expected))
		printf("#   got %s\n", read ? "no error" : error);
	npy_free(&n);
}

static void round_trip(DLDataType type, const char *name)
{
	unsigned char data[2 * 3 * 8];
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (unsigned char)(i * 37);
	int64_t shape[] = {2, 3};
	DLTensor t = {.data = data, .device = {kDLCPU, 0}, .ndim = 2, .dtype = type, .shape = shape};
	struct npy n;
	bool good = npy_write(path, &t, error, sizeof error) && npy_read(path, &n, error, sizeof error);
	if (type.code == kDLBfloat)
		type.code = kDLUInt;
	ok(good && n.tensor.ndim == 2 && n.shape[0] == 2 && n.shape[1] == 3 && n.stride[0] == 3 &&
	           n.stride[1] == 1 && n.tensor.dtype.code == type.code && n.tensor.dtype.bits == type.bits &&
	           !memcmp(n.tensor.data, data, 6u * type.bits / 8),
	   "%s reads back", name);
	if (good)
		npy_free(&n);
}

static void shapes(void)
{
	struct npy n;
	unsigned char data[24], wanted[] = {5, 4, 3, 2, 1, 0};
	for (int i = 0; i < 24; i++)
		data[i] = (unsigned char)i;
	int64_t shape[] = {2, 3}, strides[] = {-3, -1};
	DLTensor t = {.data = data, .ndim = 2, .dtype = {kDLUInt, 8, 1}, .shape = shape, .strides = strides};
	t.byte_offset = 5;
	ok(npy_write(path, &t, error, sizeof error) && npy_read(path, &n, error, sizeof error) &&
	           !memcmp(n.tensor.data, wanted, 6),
	   "negative strides and an offset are written in order");
	npy_free(&n);
	t.ndim = 0;
	ok(npy_write(path, &t, error, sizeof error) && npy_read(path, &n, error, sizeof error) &&
	           n.tensor.ndim == 0 && *(unsigned char *)n.tensor.data == 5,
	   "a number has no ranks");
	npy_free(&n);
	shape[0] = 0;
	t.ndim = 2;
	ok(npy_write(path, &t, error, sizeof error) && npy_read(path, &n, error, sizeof error) &&
	           n.shape[0] == 0 && n.shape[1] == 3,
	   "an empty tensor");
	npy_free(&n);
	char beside[64];
	snprintf(beside, sizeof beside, "%s.partial", path);
	ok(access(beside, F_OK) != 0, "nothing is left beside the file");
	ok(!npy_write("/nowhere/x.npy", &t, error, sizeof error) && *error, "an unwritable path: %s", error);
	t.dtype = (DLDataType){kDLFloat, 128, 1};
	ok(!npy_write(path, &t, error, sizeof error), "a type that .npy has not");
}

static void headers(void)
{
	struct npy n;
	put_header(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }          \n", 24);
	ok(npy_read(path, &n, error, sizeof error) && n.stride[0] == 1 && n.stride[1] == 2, "Fortran order");
	npy_free(&n);
	put_header(2, "{\"shape\":(4,),\"fortran_order\":False,\"descr\":\"|i1\"}", 4);
	ok(npy_read(path, &n, error, sizeof error) && n.tensor.ndim == 1 && n.shape[0] == 4 &&
	           ((char *)n.tensor.data)[3] == 3,
	   "version 2, other quotes, order and spacing");
	npy_free(&n);
	put_header(3, "{'descr': '>i4', 'fortran_order': False, 'shape': (2,)}\n", 8);
	ok(npy_read(path, &n, error, sizeof error) && ((int32_t *)n.tensor.data)[1] == 0x04050607,
	   "version 3, big-endian");
	npy_free(&n);
}

static void lies(void)
{
	static const struct {
		const char *header, *error;
	} cases[] = {
	        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 2), }", "ends early"},
	        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
	         "more elements"},
	        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }",
	         "more elements"},
	        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "64 bits"},
	        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "whole numbers"},
	        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 2), }", "whole numbers"},
	        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", "more than 8"},
	        {"{'descr': '<f4', 'fortran_order': False, 'shape': 3, }", "not a tuple"},
	        {"{'descr': '<f4', 'fortran_order': 1, 'shape': (3,), }", "neither True"},
	        {"{'descr': '<V2', 'fortran_order': False, 'shape': (3,), }", "type <V2"},
	        {"{'descr': '<c8', 'fortran_order': False, 'shape': (3,), }", "type <c8"},
	        {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3,), }", "record"},
	        {"{'descr': '<f4', 'shape': (3,), }", "lacks fortran_order"},
	        {"{'descr': '<f4', 'descr': '<f4', 'shape': (3,), }", "repeated key 'descr'"},
	        {"{'descr': '<f4', 'colour': 3, }", "unknown or repeated key 'colour'"},
	        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,", "whole numbers"},
	        {"{'descr': '<f4", "record"},
	        {"{'descr", "dictionary of"},
	        {"[1, 2]", "not a dictionary"},
	        {"", "not a dictionary"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		put_header(1, cases[i].header, 24);
		rejects(cases[i].error, *cases[i].header ? cases[i].header : "no header");
	}
	put_header(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 11);
	rejects("ends early", "a byte short");
	put_header(9, "{}", 0);
	rejects("version is 9", "version 9");
	put("\x93NUMPY\x01", 7);
	rejects("not a .npy", "seven bytes");
	put("\x93NUMPY\x01\x00\xff", 9);
	rejects("inside its header", "half a length");
	put("\x93NUMPY\x01\x00\xff\x00{", 11);
	rejects("inside its header", "a header that is cut off");
	put("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12);
	rejects("over the limit", "a header of 4 GiB");
	put("PK\x03\x04 an archive", 15);
	rejects("not a .npy", "another format");
	put("", 0);
	rejects("not a .npy", "an empty file");
	struct npy n;
	ok(!npy_read("/tmp", &n, error, sizeof error) && *error, "a folder: %s", error);
	ok(!npy_read("/nowhere/x.npy", &n, error, sizeof error) && *error, "no such file: %s", error);
}

int main(void)
{
	int fd = mkstemp(path);
	if (fd < 0)
		return 1;
	close(fd);
	round_trip((DLDataType){kDLFloat, 64, 1}, "f64");
	round_trip((DLDataType){kDLFloat, 32, 1}, "f32");
	round_trip((DLDataType){kDLFloat, 16, 1}, "f16");
	round_trip((DLDataType){kDLBfloat, 16, 1}, "bf16");
	round_trip((DLDataType){kDLInt, 64, 1}, "i64");
	round_trip((DLDataType){kDLInt, 32, 1}, "i32");
	round_trip((DLDataType){kDLInt, 8, 1}, "i8");
	round_trip((DLDataType){kDLUInt, 8, 1}, "u8");
	round_trip((DLDataType){6, 8, 1}, "bool");
	shapes();
	headers();
	lies();
	remove(path);
	return tap_done();
}
