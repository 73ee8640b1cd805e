/* build_forms.c: a library that holds kernels for instruction sets that not every processor has, and takes the one that
 * suits, or says that there is none. */
#include "runtime/build.h"

#include <string.h>

extern const char embed_targets_x86_levels_h[];

/* Puts an ISA where it belongs, the best first; not twice. */
static int insert(enum isa isa[MOST_FORMS], int n, enum isa one)
{
	int at = 0;
	while (at < n && isa[at] > one)
		at++;
	if (at < n && isa[at] == one)
		return n;
	memmove(&isa[at + 1], &isa[at], sizeof *isa * (size_t)(n - at));
	isa[at] = one;
	return n + 1;
}

int build_isas(const char *list, enum isa isa[MOST_FORMS], struct attune_error *error)
{
	int n = 0;
	for (const char *s = list; *s;) {
		size_t length = strcspn(s, ",");
		enum isa one = 0;
		while (one < HOST_ISAS && (strlen(isa_info[one].name) != length || strncmp(isa_info[one].name, s, length)))
			one++;
		if (one == HOST_ISAS)
			return runtime_fail(error, ATTUNE_USAGE, "there is no ISA '%.*s'", (int)length, s), 0;
		n = insert(isa, n, one);
		s += length + (s[length] == ',');
	}
	if (!n)
		return runtime_fail(error, ATTUNE_USAGE, "the list of ISAs is empty"), 0;
	for (int i = 0; n > 1 && i < n; i++)
		if (isa_info[isa[i]].family == PROCESSOR_AARCH64)
			return runtime_fail(error, ATTUNE_USAGE, "%s goes alone: every processor of its kind has it, and no other",
			                    isa_info[isa[i]].name),
			       0;
	return n;
}

int build_isas_here(enum isa best, enum isa isa[MOST_FORMS])
{
	int n = insert(isa, 0, best);
	for (enum isa below = isa_below(best); below != best; best = below, below = isa_below(best))
		if (below == ISA_AVX2 || below == ISA_SCALAR)
			n = insert(isa, n, below);
	return n;
}

bool build_chooses(const struct build *form, int n)
{
	return n > 1 || isa_info[form->isa].family == PROCESSOR_X86_64;
}

/* The number that x86_level has for it. */
static int level(enum isa isa)
{
	static const int of[HOST_ISAS] = {[ISA_AVX2] = 1, [ISA_AVX512] = 2, [ISA_AVX512_BF16] = 3};
	return of[isa];
}

static void print_forms(const struct build *form, int n, struct text *t)
{
	for (int i = 0; i < n; i++) {
		text_printf(t, "long %s_tasks(int phase);\n", form[i].name);
		build_run_signature(&form[i], t);
		text_add(t, ";\n");
	}
	text_printf(t,
	            "\nstatic const struct form {\n"
	            "\tconst char *isa;\n"
	            "\tint level;\n"
	            "\tlong (*tasks)(int);\n"
	            "\tint (*run)(int, long, long, const struct %s_tensors *, void *, void *);\n"
	            "} form[] = {\n",
	            form->library);
	for (int i = 0; i < n; i++)
		text_printf(t, "\t{\"%s\", %d, %s_tasks, %s_run},\n", isa_info[form[i].isa].name, level(form[i].isa),
		            form[i].name, form[i].name);
	text_printf(t, "};\nenum { FORMS = %d };\n\n", n);
}

/* The choice is one number, and whoever finds it out first finds out the same. */
static void print_choosing(const char *name, struct text *t)
{
	text_add(t, "static int chosen; /* form + 1; 0: not asked for yet */\n\n"
	            "static int choose(void)\n"
	            "{\n"
	            "\tint i = __atomic_load_n(&chosen, __ATOMIC_RELAXED) - 1;\n"
	            "\tif (i >= 0)\n"
	            "\t\treturn i;\n"
	            "\tfor (i = 0; i < FORMS && form[i].level > x86_level();)\n"
	            "\t\ti++;\n"
	            "\t__atomic_store_n(&chosen, i + 1, __ATOMIC_RELAXED);\n"
	            "\treturn i;\n"
	            "}\n\n"
	            "static const struct form *here(void) /* null: the processor runs none */\n"
	            "{\n"
	            "\tint i = choose();\n"
	            "\treturn i < FORMS ? &form[i] : 0;\n"
	            "}\n\n");
	text_printf(t,
	            "const char *%s_isa(void)\n"
	            "{\n"
	            "\tconst struct form *f = here();\n"
	            "\treturn f ? f->isa : 0;\n"
	            "}\n\n"
	            "int %s_use(const char *isa)\n"
	            "{\n"
	            "\tif (!isa) {\n"
	            "\t\t__atomic_store_n(&chosen, 0, __ATOMIC_RELAXED);\n"
	            "\t\treturn 0;\n"
	            "\t}\n"
	            "\tfor (int i = 0; i < FORMS; i++)\n"
	            "\t\tif (!__builtin_strcmp(form[i].isa, isa) && form[i].level <= x86_level()) {\n"
	            "\t\t\t__atomic_store_n(&chosen, i + 1, __ATOMIC_RELAXED);\n"
	            "\t\t\treturn 0;\n"
	            "\t\t}\n"
	            "\treturn -1;\n"
	            "}\n\n",
	            name, name);
}

void build_choice(const struct build *form, int n, struct text *t)
{
	struct build b = *form;
	int phases = 0;
	b.name = b.library;
	for (int i = 0; i < n; i++) {
		b.work_bytes = form[i].work_bytes > b.work_bytes ? form[i].work_bytes : b.work_bytes;
		phases = form[i].source->nphases > phases ? form[i].source->nphases : phases;
	}
	struct kernel_source all = {.nphases = phases};
	b.source = &all;
	text_printf(t, "/* %s.c: which of the library's forms suits the processor. */\n\n", b.name);
	text_printf(t, "%s\n", embed_targets_x86_levels_h);
	build_struct(&b, t);
	print_forms(form, n, t);
	print_choosing(b.name, t);
	text_printf(t,
	            "long %s_tasks(int phase)\n{\n"
	            "\tconst struct form *f = here();\n"
	            "\treturn f ? f->tasks(phase) : -1;\n}\n\n",
	            b.name);
	build_run_signature(&b, t);
	text_add(t, "\n{\n"
	            "\tconst struct form *f = here();\n"
	            "\treturn f ? f->run(phase, begin, end, call, work, scratch) : -1;\n}\n\n");
	build_whole(&b, t);
}
