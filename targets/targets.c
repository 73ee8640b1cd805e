#include "targets/target.h"

#include <stdlib.h>
#include <string.h>

const struct target *const targets[] = {&target_clang, &target_tcc, &target_cuda, &target_cuda_emulated, NULL};

const struct target *target_find(const char *name)
{
	for (int i = 0; targets[i]; i++)
		if (!strcmp(targets[i]->name, name))
			return targets[i];
	return NULL;
}

void object_free(struct object *o)
{
	free(o->bytes);
	*o = (struct object){0};
}
