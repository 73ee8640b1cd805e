/* build_text.c: header and calling functions around generated code. */
#include "runtime/build.h"

#include <string.h>

void build_sizes(struct build *b)
{
	b->work_bytes = (b->source->work_bytes + 63) / 64 * 64;
	b->scratch_bytes = (b->source->scratch_bytes + 63) / 64 * 64;
}

/* The plain spelling: generated code includes no header. The header's <stdint.h> names are the same types. */
static const char *c_type(DLDataType t)
{
	switch (t.code) {
	case kDLFloat: return t.bits == 64 ? "double" : t.bits == 32 ? "float" : "unsigned short";
	case kDLInt: return t.bits == 64 ? "long" : t.bits == 32 ? "int" : "signed char";
	case kDLUInt: return "unsigned char";
	default: return t.bits == 16 ? "unsigned short" : "unsigned char";
	}
}

/* A tensor may be named as C names something else. */
void build_c_name(const char *name, struct text *t)
{
	static const char *const taken[] = {
	        "auto",     "break",  "case",   "char",     "const",    "continue", "default",   "do",
	        "double",   "else",   "enum",   "extern",   "float",    "for",      "goto",      "if",
	        "inline",   "int",    "long",   "register", "restrict", "return",   "short",     "signed",
	        "sizeof",   "static", "struct", "switch",   "typedef",  "union",    "unsigned",  "void",
	        "volatile", "while",  "asm",    "typeof",   "work",     "scratch",  "workspace", "phase",
	        "begin",    "end",    "data",   "strides",  "call",
	};
	text_add(t, name);
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		if (!strcmp(name, taken[i]))
			text_char(t, '_');
}

static void print_tensor(const struct attune_tensor *tensor, struct text *t)
{
	text_printf(t, "%s%s *", tensor->role == ATTUNE_IN ? "const " : "", c_type(tensor->dtype));
	build_c_name(tensor->name, t);
}

static void print_signature(const struct build *b, struct text *t)
{
	text_printf(t, "void %s(", b->name);
	for (int i = 0; i < b->ntensors; i++) {
		print_tensor(&b->tensor[i], t);
		text_add(t, ", ");
	}
	text_add(t, "void *workspace)");
}

static void print_run_signature(const struct build *b, struct text *t)
{
	text_printf(
	        t,
	        "void %s_run(int phase, long begin, long end, const struct %s_tensors *call, void *work,\n",
	        b->name, b->name);
	text_printf(t, "%*svoid *scratch)", (int)strlen(b->name) + 10, "");
}

static void print_struct(const struct build *b, struct text *t)
{
	text_printf(t, "struct %s_tensors {\n", b->name);
	for (int i = 0; i < b->ntensors; i++) {
		text_char(t, '\t');
		print_tensor(&b->tensor[i], t);
		text_add(t, ";\n");
	}
	text_add(t, "};\n");
}

void build_header(const struct build *b, struct text *t)
{
	text_printf(t, "/* %s.h: the kernel %s for %s.\n *\n", b->name, b->kernel, b->shape);
	text_printf(t, " * Made by attune %s (%s schedule). Runs on processors with %s.\n */\n",
	            ATTUNE_VERSION, b->origin, isa_info[b->isa].march);
	text_printf(t, "#ifndef ATTUNE_BUILT_%s\n#define ATTUNE_BUILT_%s\n\n", b->name, b->name);
	text_add(t, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
	text_printf(
	        t,
	        "/* Bytes of work area, shared by all threads of a call, and of scratch, one a thread. */\n");
	text_printf(t, "#define %s_WORK_BYTES    %lldL\n", b->name, b->work_bytes);
	text_printf(t, "#define %s_SCRATCH_BYTES %lldL\n", b->name, b->scratch_bytes);
	text_printf(t, "#define %s_PHASES        %d\n\n", b->name, b->source->nphases);

	text_add(t, "/* Computes on the calling thread. Tensors are dense and row-major");
	for (int i = 0; i < b->ntensors; i++) {
		const struct attune_tensor *a = &b->tensor[i];
		text_printf(t, "\n *     %-3s %s: %s [", a->role == ATTUNE_IN ? "in" : "out", a->declared,
		            a->type);
		for (int k = 0; k < a->ndim; k++)
			text_printf(t, "%s%lld", k ? ", " : "", (long long)a->shape[k]);
		text_char(t, ']');
	}
	text_add(t,
	         "\n * Outputs are written in full and must not overlap anything else. workspace: WORK_BYTES "
	         "+\n"
	         " * SCRATCH_BYTES, aligned to 64, of any content, not shared with a concurrent call. */\n");
	print_signature(b, t);
	text_add(t, ";\n\n");

	text_add(t, "/* The same in parts, for threads of your own: the phases in order, each when all tasks "
	            "of the one\n"
	            " * before are done; the tasks [begin, end) of a phase in any split, heaviest first. "
	            "work is one\n"
	            " * for all; scratch is each thread's own; both are aligned to 64. */\n");
	print_struct(b, t);
	text_printf(t, "long %s_tasks(int phase);\n", b->name);
	print_run_signature(b, t);
	text_add(t, ";\n\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
}

static void print_run(const struct build *b, struct text *t)
{
	for (int i = 0; i < b->ntensors; i++) {
		const struct attune_tensor *a = &b->tensor[i];
		int64_t stride[MAX_RANKS + 1], dense = 1;
		for (int k = a->ndim - 1; k >= 0; k--) {
			stride[k] = dense;
			dense *= a->shape[k] ? a->shape[k] : 1;
		}
		text_printf(t, "static const long %s_stride%d[] = {", b->name, i);
		for (int k = 0; k < a->ndim; k++)
			text_printf(t, "%s%lld", k ? ", " : "", (long long)stride[k]);
		text_printf(t, "%s};\n", a->ndim ? "" : "0");
	}
	text_add(t, "\n");
	print_run_signature(b, t);
	text_add(t, "\n{\n\tvoid *const data[] = {");
	for (int i = 0; i < b->ntensors; i++) {
		text_printf(t, "%s(void *)call->", i ? ", " : "");
		build_c_name(b->tensor[i].name, t);
	}
	text_add(t, "};\n\tstatic const long *const strides[] = {");
	for (int i = 0; i < b->ntensors; i++)
		text_printf(t, "%s%s_stride%d", i ? ", " : "", b->name, i);
	text_add(t, "};\n\tconst struct at_args args = {data, strides, work};\n\tswitch (phase) {\n");
	for (int i = 0; i < b->source->nphases; i++)
		text_printf(t, "\tcase %d: %s(&args, begin, end, scratch); break;\n", i,
		            b->source->phase[i].symbol);
	text_add(t, "\t}\n}\n\n");
}

void build_source(const struct build *b, struct text *t)
{
	text_add(t, b->source->text);
	text_printf(t, "\n/* ---- what %s.h declares ---- */\n\n", b->name);
	print_struct(b, t);
	print_run(b, t);
	text_printf(t, "long %s_tasks(int phase)\n{\n\tstatic const long tasks[] = {", b->name);
	for (int i = 0; i < b->source->nphases; i++)
		text_printf(t, "%s%ld", i ? ", " : "", b->source->phase[i].tasks);
	text_printf(t, "};\n\treturn phase >= 0 && phase < %d ? tasks[phase] : 0;\n}\n\n",
	            b->source->nphases);
	print_signature(b, t);
	text_printf(t, "\n{\n\tconst struct %s_tensors call = {", b->name);
	for (int i = 0; i < b->ntensors; i++) {
		text_add(t, i ? ", " : "");
		build_c_name(b->tensor[i].name, t);
	}
	text_printf(t, "};\n\tfor (int phase = 0; phase < %d; phase++)\n", b->source->nphases);
	text_printf(
	        t, "\t\t%s_run(phase, 0, %s_tasks(phase), &call, workspace, (char *)workspace + %lldL);\n}\n",
	        b->name, b->name, b->work_bytes);
}

/* ---- ar(5) ---- */

static void print_member(const char *name, size_t size, struct text *t)
{
	text_printf(t, "%-16s%-12d%-6d%-6d%-8s%-10zu`\n", name, 0, 0, 0, "644", size);
}

static void big_endian(uint32_t n, struct text *t)
{
	char byte[4] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
	text_bytes(t, byte, sizeof byte);
}

void build_archive(const struct build *b, const void *object, size_t size, struct text *t)
{
	struct arena *a = t->arena;
	struct text names;
	text_init(&names, a);
	uint32_t count = 3 + (uint32_t)b->source->nphases;
	const char *const own[] = {"", "_run", "_tasks"};
	for (int i = 0; i < 3; i++) {
		text_printf(&names, "%s%s", b->name, own[i]);
		text_char(&names, 0);
	}
	for (int i = 0; i < b->source->nphases; i++) {
		text_add(&names, b->source->phase[i].symbol);
		text_char(&names, 0);
	}
	if (names.len % 2)
		text_char(&names, 0);
	/* The index: a count, the place of the defining member for every symbol, the names. */
	const size_t MAGIC = 8, HEAD = 60;
	size_t index = 4 + 4 * (size_t)count + names.len;
	text_add(t, "!<arch>\n");
	print_member("/", index, t);
	big_endian(count, t);
	for (uint32_t i = 0; i < count; i++)
		big_endian((uint32_t)(MAGIC + HEAD + index), t);
	text_bytes(t, names.s, names.len);
	print_member("kernel.o/", size, t);
	text_bytes(t, object, size);
	if (size % 2)
		text_char(t, '\n');
}
