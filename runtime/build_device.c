/* build_device.c: the header of a kernel that was built ahead of time for a device. */
#include "runtime/build.h"

#include <string.h>

static void print_tensors(const struct build *b, struct text *t)
{
	for (int i = 0; i < b->ntensors; i++) {
		const struct attune_tensor *a = &b->tensor[i];
		const struct kernel_argument *x = &b->source->argument[i];
		text_printf(t, " *     %-3s %s: %s [", a->role == ATTUNE_IN ? "in" : "out", a->declared, a->type);
		for (int k = 0; k < a->ndim; k++)
			text_printf(t, "%s%lld", k ? ", " : "", (long long)a->shape[k]);
		text_char(t, ']');
		if (x->unit)
			text_add(t, ", last stride 1");
		if (x->align > 1)
			text_printf(t, ", address%s multiples of %d bytes", a->ndim > 1 ? " and other strides" : "", x->align);
		text_char(t, '\n');
	}
}

void build_device_header(const struct build *b, struct text *t)
{
	const struct kernel_source *s = b->source;
	text_printf(t, "/* %s.h: how the kernel %s for %s is launched.\n *\n", b->name, b->kernel, b->shape);
	text_printf(t, " * Made by attune %s (%s schedule). %s.%s.cubin is the code for devices of that architecture%s;\n",
	            ATTUNE_VERSION, b->origin, b->name, b->arch,
	            strncmp(b->arch, "sm_8", 4) ? "" : " and later ones of 8.x");
	text_printf(t,
	            " * %s.cu is its text, which nvcc and NVRTC compile too.\n"
	            " *\n"
	            " * Launch the phases in order on one stream, each with its own blocks, threads and bytes of dynamic shared\n"
	            " * memory; more than 48 KiB of it must be asked for once (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES).\n"
	            " * The one parameter of every phase is struct %s_args, by value:\n"
	            " *\n"
	            " *     void *parameter[] = {&args};\n"
	            " *     cuLaunchKernel(function, p->blocks, 1, 1, p->threads, 1, 1, p->shared_bytes, stream, parameter, NULL);\n"
	            " *\n"
	            " * with pointers to device memory and strides in elements, one a rank:\n",
	            b->name, b->name);
	print_tensors(b, t);
	text_add(t, " * Outputs are written in full and must not overlap anything else. */\n");
	text_printf(t, "#ifndef ATTUNE_BUILT_%s\n#define ATTUNE_BUILT_%s\n\n", b->name, b->name);

	text_printf(t, "struct %s_args {\n", b->name);
	for (int i = 0; i < b->ntensors; i++) {
		text_printf(t, "\t%svoid *", b->tensor[i].role == ATTUNE_IN ? "const " : "");
		build_c_name(b->tensor[i].name, t);
		text_add(t, ";\n");
	}
	for (int i = 0; i < b->ntensors; i++)
		if (b->tensor[i].ndim)
			text_printf(t, "\tlong long %s_stride[%d];\n", b->tensor[i].name, b->tensor[i].ndim);
	text_printf(t, "\tvoid *work; /* %s_WORK_BYTES, aligned to 256, of any content */\n};\n\n", b->name);

	text_printf(t, "#define %s_WORK_BYTES %lldL\n#define %s_PHASES     %d\n\n", b->name, b->work_bytes, b->name,
	            s->nphases);
	text_printf(t,
	            "static const struct %s_phase {\n\tconst char *function;\n\tunsigned blocks, threads, shared_bytes;\n"
	            "} %s_phases[%s_PHASES] = {\n",
	            b->name, b->name, b->name);
	for (int i = 0; i < s->nphases; i++)
		text_printf(t, "\t{\"%s\", %ld, %d, %lld},\n", s->phase[i].symbol, s->phase[i].tasks, s->phase[i].threads,
		            (long long)s->phase[i].shared_bytes);
	text_add(t, "};\n\n#endif\n");
}
