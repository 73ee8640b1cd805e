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
	text_printf(t, "int %s(", b->name);
	for (int i = 0; i < b->ntensors; i++) {
		print_tensor(&b->tensor[i], t);
		text_add(t, ", ");
	}
	text_add(t, "void *workspace)");
}

void build_run_signature(const struct build *b, struct text *t)
{
	text_printf(
	        t,
	        "int %s_run(int phase, long begin, long end, const struct %s_tensors *call, void *work,\n",
	        b->name, b->library);
	text_printf(t, "%*svoid *scratch)", (int)strlen(b->name) + 9, "");
}

void build_struct(const struct build *b, struct text *t)
{
	text_printf(t, "struct %s_tensors {\n", b->library);
	for (int i = 0; i < b->ntensors; i++) {
		text_char(t, '\t');
		print_tensor(&b->tensor[i], t);
		text_add(t, ";\n");
	}
	text_add(t, "};\n");
}

/* On which processors it runs. */
static void print_processors(const struct build *form, int n, struct text *t)
{
	if (n == 1) {
		text_printf(t, "Runs on processors with %s (%s).\n */\n", isa_info[form->isa].name, isa_info[form->isa].march);
		return;
	}
	text_add(t, "Of\n *");
	for (int i = 0; i < n; i++)
		text_printf(t, "%s %s (%s)", i ? "," : "", isa_info[form[i].isa].name, isa_info[form[i].isa].march);
	text_add(t, " the best that the processor\n * runs is taken when it is first called.\n */\n");
}

static void print_choice(const struct build *b, struct text *t)
{
	text_printf(t,
	            "/* The instruction set in use, \"%s\"; NULL: this processor runs none that the library holds. Calls\n"
	            " * return -1 then. */\n"
	            "const char *%s_isa(void);\n"
	            "/* From now on that one; NULL: the best again. 0, or -1 where the library does not hold it or the\n"
	            " * processor does not run it. Not while a call is on its way, whose scratch and tasks it changes. */\n"
	            "int %s_use(const char *isa);\n\n",
	            isa_info[b->isa].name, b->library, b->library);
}

void build_header(const struct build *form, int n, struct text *t)
{
	struct build best = *form, *b = &best;
	const bool chooses = build_chooses(form, n);
	int phases = 0;
	best.name = best.library;
	for (int i = 0; i < n; i++) {
		best.work_bytes = form[i].work_bytes > best.work_bytes ? form[i].work_bytes : best.work_bytes;
		best.scratch_bytes = form[i].scratch_bytes > best.scratch_bytes ? form[i].scratch_bytes : best.scratch_bytes;
		phases = form[i].source->nphases > phases ? form[i].source->nphases : phases;
	}
	text_printf(t, "/* %s.h: the kernel %s for %s.\n *\n", b->name, b->kernel, b->shape);
	text_printf(t, " * Made by attune %s (%s schedule). ", ATTUNE_VERSION, b->origin);
	print_processors(form, n, t);
	text_printf(t, "#ifndef ATTUNE_BUILT_%s\n#define ATTUNE_BUILT_%s\n\n", b->name, b->name);
	text_add(t, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
	text_printf(
	        t,
	        "/* Bytes of work area, shared by all threads of a call, and of scratch, one a thread. */\n");
	text_printf(t, "#define %s_WORK_BYTES    %lldL\n", b->name, b->work_bytes);
	text_printf(t, "#define %s_SCRATCH_BYTES %lldL\n", b->name, b->scratch_bytes);
	text_printf(t, "#define %s_PHASES        %d\n\n", b->name, phases);

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
	         " * SCRATCH_BYTES, aligned to 64, of any content, not shared with a concurrent call.\n");
	text_add(t, chooses ? " * 0; or -1, and nothing is written, where the processor does not run the library's code. */\n"
	                    : " * 0: there is no error that it could return. */\n");
	print_signature(b, t);
	text_add(t, ";\n\n");

	text_add(t, "/* The same in parts, for threads of your own: the phases in order, each when all tasks "
	            "of the one\n"
	            " * before are done; the tasks [begin, end) of a phase in any split. work is one for all; "
	            "scratch is\n"
	            " * each thread's own; both are aligned to 64.");
	text_add(t, chooses ? " Where the processor does\n * not run the library's code there are -1 tasks, and a run of "
	                      "any returns -1; else 0. */\n"
	                    : " A run returns 0. */\n");
	build_struct(b, t);
	text_printf(t, "long %s_tasks(int phase);\n", b->name);
	build_run_signature(b, t);
	text_add(t, ";\n\n");
	if (chooses)
		print_choice(b, t);
	text_add(t, "#ifdef __cplusplus\n}\n#endif\n#endif\n");
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
	build_run_signature(b, t);
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
	text_add(t, "\t}\n\treturn 0;\n}\n\n");
}

void build_whole(const struct build *b, struct text *t)
{
	print_signature(b, t);
	text_printf(t, "\n{\n\tconst struct %s_tensors call = {", b->library);
	for (int i = 0; i < b->ntensors; i++) {
		text_add(t, i ? ", " : "");
		build_c_name(b->tensor[i].name, t);
	}
	text_printf(t, "};\n\tint status = 0;\n\tfor (int phase = 0; !status && phase < %d; phase++)\n",
	            b->source->nphases);
	text_printf(t,
	            "\t\tstatus = %s_run(phase, 0, %s_tasks(phase), &call, workspace, (char *)workspace + %lldL);\n"
	            "\treturn status;\n}\n",
	            b->name, b->name, b->work_bytes);
}

void build_source(const struct build *b, struct text *t)
{
	bool form = strcmp(b->name, b->library);
	text_add(t, b->source->text);
	text_printf(t, "\n/* ---- what %s.%s ---- */\n\n", b->library, form ? "c chooses from" : "h declares");
	build_struct(b, t);
	if (form) {
		text_printf(t, "long %s_tasks(int phase);\n", b->name);
		build_run_signature(b, t);
		text_add(t, ";\n");
	}
	print_run(b, t);
	text_printf(t, "long %s_tasks(int phase)\n{\n\tstatic const long tasks[] = {", b->name);
	for (int i = 0; i < b->source->nphases; i++)
		text_printf(t, "%s%ld", i ? ", " : "", b->source->phase[i].tasks);
	text_printf(t, "};\n\treturn phase >= 0 && phase < %d ? tasks[phase] : 0;\n}\n",
	            b->source->nphases);
	if (!form) {
		text_char(t, '\n');
		build_whole(b, t);
	}
}
