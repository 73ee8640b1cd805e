/* device.c: which device, or which architecture where there is none, code is made for. */
#include "runtime/internal.h"

#include <stdlib.h>
#include <string.h>

/* "sm_90", also with the letter of its own features, or the number alone; NULL: no such architecture. */
static const struct capability *architecture(const char *name)
{
	const char *digits = strncmp(name, "sm_", 3) ? name : name + 3;
	char *end;
	long n = strtol(digits, &end, 10);
	if (end == digits || n < 0 || n > 1000 || (*end && strcmp(end, "a") && strcmp(end, "f")))
		return NULL;
	return capability_find((int)n);
}

static const char *architectures(struct arena *a)
{
	struct text t;
	text_init(&t, a);
	for (int i = 0; i <= 1000; i++)
		if (capability_find(i))
			text_printf(&t, "%s%s", t.len ? ", " : "", capability_find(i)->arch);
	return t.s;
}

/* Code for a device of capability 8 runs on those of it that came later. From 9.0 on code has features of its own
 * architecture's, and runs on that alone. */
static bool runs_on(const struct capability *code, int capability)
{
	const int OWN = 90;
	return code->capability == capability || (code->capability < OWN && code->capability / 10 == capability / 10 &&
	                                          code->capability < capability);
}

bool context_on_device(const struct attune_context *c)
{
	return c->target && c->target->device;
}

enum attune_status context_device(struct attune_context *c, const char *arch, struct arena *scratch,
                                  struct attune_error *error)
{
	enum { LEAST = 80 };
	struct machine here = {0};
	struct text why;
	text_init(&why, scratch);
	bool found = c->target->device->machine(&here, &why);
	const struct capability *asked = arch ? architecture(arch) : capability_find(LEAST);
	if (arch && !asked)
		return runtime_fail(error, ATTUNE_USAGE, "there is no architecture '%s'; there are: %s", arch,
		                    architectures(scratch));
	if (found && (!arch || asked->capability == here.capability)) {
		if (here.capability < LEAST)
			return runtime_fail(error, ATTUNE_SYSTEM,
			                    "%s has compute capability %d.%d; kernels need 8.0 or more",
			                    here.model_name, here.capability / 10, here.capability % 10);
		c->machine = here;
	} else {
		bool emulated = c->target->device->emulated, runs = emulated || (found && runs_on(asked, here.capability));
		capability_machine(asked->capability, &c->machine);
		if (found && runs && !emulated) {
			c->machine = here;
			c->machine.capability = asked->capability;
			c->machine.shared = asked->shared_block < here.shared ? asked->shared_block : here.shared;
		}
		if (!found)
			c->no_device = arena_strdup(&c->arena, why.s);
		else if (!runs)
			c->no_device = arena_printf(&c->arena, "%s is sm_%d, which does not run code for %s",
			                            here.model_name, here.capability, asked->arch);
	}
	c->machine.isa = ISA_SM80;
	if (c->machine.cores < 1)
		c->machine.cores = 1;
	c->isa = ISA_SM80;
	c->isa_given = true;
	return ATTUNE_OK;
}
